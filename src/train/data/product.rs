//! Products as training sees them: facts, words and small squares in memory. They come from a
//! catalog in the Kaggle layout ([`read`]), from the data set that [`crate::train::data::set::prepare`] made of any
//! catalog ([`read_set`]), or are drawn ([`drawn`]).

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::Digest;

use super::attribute::{self, Attribute, Classes};
use super::captions::{self, Facts};
use super::images;
use super::set::prepare::{self, Entry, Picture, PrepareError};
use super::set::split::Side;
use super::set::templates::Templates;
use crate::catalog::{CatalogError, Photos};
use crate::domain::single_spaced;
use crate::encode::image::{self, ImageLimits, Photo};
use crate::evaluate::split::validates;
use crate::train::draws::{Dice, Purpose};
use crate::train::net::parameters::ClipConfig;

#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {source}")]
    Csv { path: PathBuf, source: csv::Error },
    #[error("{path}: {source}")]
    Zip {
        path: PathBuf,
        source: zip::result::ZipError,
    },
    #[error("{path}: no column {column}")]
    Column { path: PathBuf, column: &'static str },
    #[error("no product of {path} has a photo that can be read")]
    Empty { path: PathBuf },
    #[error(
        "the {side} side of {path} has no product: prepare the data set with other parts (--test, --validation)"
    )]
    EmptySide { path: PathBuf, side: Side },
    #[error("no product of {path} has the attribute {attribute:?}; they have {}", found.join(", "))]
    Attribute {
        path: PathBuf,
        attribute: String,
        found: Vec<String>,
    },
    #[error(transparent)]
    Set(#[from] PrepareError),
    #[error(transparent)]
    Picture(#[from] CatalogError),
    #[error("the photo of product {id}: {source}")]
    Photo {
        id: String,
        source: image::ImageError,
    },
}

/// A product with its photo.
#[derive(Clone, Debug)]
pub struct Product {
    pub id: String,
    pub facts: Facts,
    /// The product in words, as they were prepared; without any, they are drawn from the facts.
    pub captions: Vec<String>,
    /// The value of the attribute that is to be learned, where it is known.
    pub label: Option<String>,
    /// The photo on a white square, in its [`Frame`].
    pub square: Photo,
}

/// How photos are kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Edge to which larger ones are reduced.
    pub edge: u32,
    /// Without their white margins.
    pub trim: bool,
}

impl Frame {
    /// For a model: a little more than it sees, so that a crop loses nothing.
    #[must_use]
    pub fn of(config: &ClipConfig) -> Self {
        let edge = config
            .views
            .iter()
            .fold(config.image_size * 8 / 7, |most, &edge| most.max(edge));
        Self {
            edge: u32::try_from(edge).unwrap_or(u32::MAX),
            trim: config.trim,
        }
    }

    fn square(self, photo: &Photo) -> Photo {
        let photo = if self.trim {
            image::trim(photo)
        } else {
            Cow::Borrowed(photo)
        };
        images::square(&photo, self.edge)
    }
}

/// What a photo of a data set may be: a catalog's own photos are trusted further than an upload.
pub(super) const LIMITS: ImageLimits = ImageLimits {
    max_pixels: 200_000_000,
    max_edge: 30_000,
};

/// Reads the Kaggle layout: `styles.csv`, photos as `images/ID.jpg`, else from `images-60x80.zip`,
/// and the laces' colors of `shoelaces.csv` where there is one. A product without a readable photo
/// is left out.
///
/// # Errors
/// If `styles.csv` cannot be read, the archive is broken, or nothing is left.
pub fn read(folder: &Path, frame: Frame) -> Result<Vec<Product>, DatasetError> {
    let laces = read_laces(&folder.join("shoelaces.csv"))?;
    let facts = read_facts(&folder.join("styles.csv"), &laces)?;
    let archive = read_archive(&folder.join("images-60x80.zip"))?;
    let photos = folder.join("images");
    let products: Vec<Product> = facts
        .into_par_iter()
        .filter_map(|(id, facts)| {
            let file = std::fs::read(photos.join(format!("{id}.jpg"))).ok();
            let file = file
                .as_deref()
                .or_else(|| archive.get(&format!("images/{id}.jpg")).map(Vec::as_slice))?;
            let photo = image::decode(file, &LIMITS).ok()?;
            let (captions, label) = (Vec::new(), None);
            Some(Product {
                id: id.to_string(),
                facts,
                captions,
                label,
                square: frame.square(&photo),
            })
        })
        .collect();
    if products.is_empty() {
        Err(DatasetError::Empty {
            path: folder.into(),
        })
    } else {
        Ok(products)
    }
}

/// Reads a side of a data set; `label` names the attribute that is to be learned.
///
/// # Errors
/// If the folder is no data set, it has no product on this side, or a photo is gone or broken: when
/// the set was prepared it was not.
pub fn read_set(
    folder: &Path,
    side: Side,
    label: Option<&str>,
    frame: Frame,
) -> Result<Vec<Product>, DatasetError> {
    let photos = Photos::default();
    let entries = prepare::read_side(folder, side)?;
    let product = |entry: Entry| {
        let picture = entry.image.clone().into();
        let gone = || image::ImageError::Broken {
            reason: "the file is gone".to_owned(),
        };
        let file = photos.read(&picture)?;
        let photo = file
            .ok_or_else(gone)
            .and_then(|file| image::decode(&file, &LIMITS));
        let photo = photo.map_err(|source| DatasetError::Photo {
            id: entry.id.clone(),
            source,
        })?;
        let (facts, label) = (
            facts(&entry),
            label.and_then(|label| value(&entry, label).map(str::to_lowercase)),
        );
        Ok(Product {
            id: entry.id,
            facts,
            captions: entry.captions,
            label,
            square: frame.square(&photo),
        })
    };
    let products: Vec<Product> = entries
        .into_par_iter()
        .map(product)
        .collect::<Result<_, DatasetError>>()?;
    if products.is_empty() {
        Err(DatasetError::EmptySide {
            path: folder.into(),
            side,
        })
    } else {
        Ok(products)
    }
}

/// The attribute that is to be learned, with the values that the products `train` of the data set's
/// training side have.
///
/// # Errors
/// If there are none, or the side cannot be read to say what there is instead.
pub fn classes(
    folder: &Path,
    attribute: Attribute,
    train: &[Product],
) -> Result<Classes, DatasetError> {
    let values = attribute::values(train);
    if !values.is_empty() {
        return Ok(Classes { attribute, values });
    }
    let entries = prepare::read_side(folder, Side::Train)?;
    let found: BTreeSet<String> = entries
        .into_iter()
        .flat_map(|entry| entry.attributes.into_keys())
        .collect();
    let (path, attribute) = (folder.into(), attribute.name);
    Err(DatasetError::Attribute {
        path,
        attribute,
        found: found.into_iter().collect(),
    })
}

/// The ids of a side of a data set.
///
/// # Errors
/// If its file cannot be read.
pub fn ids(folder: &Path, side: Side) -> Result<Vec<String>, DatasetError> {
    Ok(prepare::read_side(folder, side)?
        .into_iter()
        .map(|entry| entry.id)
        .collect())
}

fn value<'a>(entry: &'a Entry, attribute: &str) -> Option<&'a str> {
    entry
        .attributes
        .get(attribute)
        .and_then(|values| values.first())
        .map(String::as_str)
}

fn facts(entry: &Entry) -> Facts {
    let value = |name| value(entry, name).unwrap_or_default().to_owned();
    Facts {
        title: entry.title.clone(),
        category: value("category"),
        section: value("section"),
        color: value("color"),
        gender: value("gender"),
        usage: value("usage"),
        shoelaces: entry
            .attributes
            .get("shoelace_color")
            .and_then(|v| v.first())
            .map(|v| v.to_lowercase()),
    }
}

impl Product {
    /// Puts a product of the Kaggle layout, or a drawn one, into the words of a data set's
    /// templates.
    #[must_use]
    pub fn phrased(mut self, templates: &Templates, label: Option<&str>) -> Self {
        let Facts {
            title,
            category,
            section,
            color,
            gender,
            usage,
            shoelaces,
        } = self.facts.clone();
        let pairs = [
            ("category", category),
            ("section", section),
            ("color", color),
            ("gender", gender),
            ("usage", usage),
        ];
        let attributes = pairs
            .into_iter()
            .chain(shoelaces.map(|laces| ("shoelace_color", laces)));
        let attributes = attributes
            .filter(|(_, v)| !v.is_empty())
            .map(|(n, v)| (n.to_owned(), vec![v]))
            .collect();
        let image = Picture::File {
            file: PathBuf::new(),
        };
        let entry = Entry {
            id: self.id.clone(),
            title,
            image,
            attributes,
            sentence: None,
            captions: Vec::new(),
        };
        self.label = label.and_then(|label| value(&entry, label).map(str::to_lowercase));
        self.captions = templates.fill(&entry);
        self
    }

    /// Whether the caption holds the product's title.
    #[must_use]
    pub fn is_named_in(&self, caption: &str) -> bool {
        // As captions are written.
        let title = single_spaced(&self.facts.title.to_lowercase());
        !title.is_empty() && caption.contains(&title)
    }
}

fn read_laces(path: &Path) -> Result<HashMap<u64, String>, DatasetError> {
    if !path.exists() {
        return Ok(HashMap::new());
    }
    let fail = |source| DatasetError::Csv {
        path: path.into(),
        source,
    };
    let mut reader = csv::Reader::from_path(path).map_err(fail)?;
    let mut laces = HashMap::new();
    for row in reader.records() {
        let row = row.map_err(fail)?;
        if let (Some(Ok(id)), Some(color)) = (row.get(0).map(str::parse), row.get(1)) {
            laces.insert(id, color.to_owned());
        }
    }
    Ok(laces)
}

fn read_facts(
    path: &Path,
    laces: &HashMap<u64, String>,
) -> Result<Vec<(u64, Facts)>, DatasetError> {
    let fail = |source| DatasetError::Csv {
        path: path.into(),
        source,
    };
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(path)
        .map_err(fail)?;
    let header = reader.headers().map_err(fail)?.clone();
    let column = |name: &'static str| {
        header
            .iter()
            .position(|h| h == name)
            .ok_or(DatasetError::Column {
                path: path.into(),
                column: name,
            })
    };
    let (id, title) = (column("id")?, column("productDisplayName")?);
    let (category, section) = (column("articleType")?, column("subCategory")?);
    let (color, gender, usage) = (column("baseColour")?, column("gender")?, column("usage")?);
    let mut list = Vec::new();
    for row in reader.records() {
        let row = row.map_err(fail)?;
        let field = |at: usize| row.get(at).unwrap_or_default().trim().to_owned();
        let Ok(id) = field(id).parse::<u64>() else {
            continue;
        };
        // The name is the last column; its unquoted commas make further fields.
        let name: Vec<&str> = row.iter().skip(title).collect();
        let facts = Facts {
            title: name.join(",").trim().to_owned(),
            category: field(category),
            section: field(section),
            color: field(color),
            gender: field(gender),
            usage: field(usage),
            shoelaces: laces.get(&id).cloned(),
        };
        if !facts.title.is_empty() && !facts.category.is_empty() {
            list.push((id, facts));
        }
    }
    Ok(list)
}

fn read_archive(path: &Path) -> Result<HashMap<String, Vec<u8>>, DatasetError> {
    if !path.exists() {
        return Ok(HashMap::new());
    }
    let file = std::fs::File::open(path).map_err(|source| DatasetError::Io {
        path: path.into(),
        source,
    })?;
    let fail = |source| DatasetError::Zip {
        path: path.into(),
        source,
    };
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file)).map_err(fail)?;
    let mut entries = HashMap::with_capacity(archive.len());
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).map_err(fail)?;
        let name = entry.name().map_err(fail)?.into_owned();
        let mut bytes = Vec::new();
        entry
            .read_to_end(&mut bytes)
            .map_err(|source| DatasetError::Io {
                path: path.into(),
                source,
            })?;
        entries.insert(name, bytes);
    }
    Ok(entries)
}

/// Drawn footwear (see [`crate::demo`]), whose laces are known.
#[must_use]
pub fn drawn(seed: u64, count: u64, frame: Frame) -> Vec<Product> {
    (0..count)
        .into_par_iter()
        .map(|index| {
            let product = crate::demo::draw(seed, index);
            let facts = Facts {
                title: product.title.clone(),
                category: product.category.name().to_owned(),
                section: product.category.section().to_owned(),
                color: product.color.name.to_owned(),
                gender: product.gender.to_owned(),
                usage: product.usage.to_owned(),
                shoelaces: Some(product.shoelace_color().to_owned()),
            };
            let square = frame.square(&crate::demo::render(&product));
            Product {
                id: product.id.to_string(),
                facts,
                captions: Vec::new(),
                label: None,
                square,
            }
        })
        .collect()
}

/// Captions to learn a vocabulary from: three long and three short ones of each product, and the
/// colors of laces as often as common words, since few products' laces are known.
#[must_use]
pub fn sample_captions(products: &[Product], seed: u64) -> Vec<String> {
    const LACES: [&str; 13] = [
        "black", "white", "grey", "brown", "beige", "blue", "red", "green", "yellow", "orange",
        "pink", "purple", "multi",
    ];
    let mut texts = Vec::with_capacity(products.len() * 6 + LACES.len() * 500);
    for (at, product) in products.iter().enumerate() {
        let mut dice = Dice::new(seed, Purpose::Vocabulary, at as u64);
        for _ in 0..3 {
            texts.push(captions::document(&product.facts, &mut dice).text);
            texts.push(captions::query(&product.facts, &mut dice).text);
        }
    }
    for color in LACES {
        texts.extend(
            (0..500).map(|_| format!("{color} shoelaces, with {color} laces, stripes, dots")),
        );
    }
    texts
}

/// At most `count` of the products, chosen by a hash of the id: the same ones each time.
#[must_use]
pub fn some(mut products: Vec<Product>, count: usize) -> Vec<Product> {
    products.sort_by_cached_key(|p| sha2::Sha256::digest(&p.id));
    products.truncate(count);
    products
}

/// Of a general catalog's products those that show what a model forgets: the half of the held-out
/// ones by which models are chosen ([`validates`]), without those that a data set trains on because
/// it was split otherwise. What was learned by name is not forgotten.
#[must_use]
pub fn judges(mut products: Vec<Product>, trained: &[Product]) -> Vec<Product> {
    let trained: HashSet<&str> = trained.iter().map(|product| product.id.as_str()).collect();
    products.retain(|product| validates(&product.id) && !trained.contains(product.id.as_str()));
    products
}

/// CLIP's mean and deviation of each channel.
pub const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
pub const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];
