//! From a catalog to a data set: chosen products, split, put into words.
//!
//! [`prepare`] reads a catalog (as `aglet import` does), keeps the products that match the filters
//! and whose picture can be decoded, joins attribute labels from CSV files, splits by product, and
//! writes a folder: `train.jsonl`, `validation.jsonl` and `test.jsonl` (one [`Entry`] a line), the
//! caption templates, and `report.json` with the counts per class and everything that was dropped
//! and why. Pictures are referred to, not copied.
//!
//! Products with the very same picture stay on one side of the split, or a test would measure what
//! was trained on. The same catalog and seed give the same folder, byte for byte. It refuses a
//! folder that holds a data set already.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::split::{self, TestSide};
use super::templates::{self, TemplateError, Templates};
use crate::catalog::source::{self, Lost, Source, SourceError};
use crate::catalog::{CatalogError, PictureFiles, PicturePlace};
use crate::domain::{AttributeName, AttributeValue, Attributes, Filters, Product};
use crate::evaluate::data::data_set::{self, DataSetError, Entry, Side};
use crate::train::data::images;
use crate::vision::{self, ImageError};

#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("{path}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {source}", path = path.display())]
    Csv { path: PathBuf, source: csv::Error },
    #[error("{path} has no column {column:?}; it has {}", found.join(", "), path = path.display())]
    Column {
        path: PathBuf,
        column: String,
        found: Vec<String>,
    },
    #[error(transparent)]
    Set(#[from] DataSetError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Pictures(#[from] CatalogError),
    #[error(transparent)]
    Templates(#[from] TemplateError),
    #[error("the report cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the caption templates name attributes that no product has: {}", .0.join(", "))]
    Slots(Vec<String>),
    #[error("{path} already holds a data set", path = path.display())]
    Exists { path: PathBuf },
    #[error("nothing is left of the catalog: {}", counts(.0))]
    Empty(BTreeMap<String, u64>),
}

fn counts(dropped: &BTreeMap<String, u64>) -> String {
    dropped
        .iter()
        .map(|(why, n)| format!("{n} {why}"))
        .collect::<Vec<_>>()
        .join(", ")
}

impl PrepareError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Writes a file, whole or not at all.
fn put(path: &Path, bytes: &[u8]) -> Result<(), PrepareError> {
    data_set::replace(path, bytes).map_err(|source| PrepareError::io(path, source))
}

/// What to prepare.
#[derive(Clone, Debug)]
pub struct Preparation {
    pub source: Source,
    /// The columns or attributes that must have one of the values (`subCategory=Shoes`).
    pub filters: Vec<(String, String)>,
    /// Attribute -> CSV file with the columns `id` and the attribute's name.
    pub labels: Vec<(AttributeName, PathBuf)>,
    /// Attributes without which a product is dropped.
    pub require: Vec<AttributeName>,
    /// The attribute whose values are the classes of the split and of the report.
    pub class: AttributeName,
    pub test: TestSide,
    pub validation: f64,
    pub seed: u64,
    pub templates: Templates,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PreparationReport {
    pub products: BTreeMap<Side, usize>,
    /// Attribute -> value -> side -> products, of the class and of every label.
    pub classes: BTreeMap<String, BTreeMap<String, BTreeMap<Side, usize>>>,
    /// Products that share their picture with another.
    pub duplicates: usize,
    /// Why -> how many.
    pub dropped: BTreeMap<String, u64>,
    /// The dropped products that have an id, except those that the filters left out.
    pub dropped_products: Vec<(String, String)>,
    /// Labels of products that are not in the data set.
    pub unused_labels: BTreeMap<String, usize>,
    pub seed: u64,
}

impl PreparationReport {
    /// For a person to read.
    #[must_use]
    pub fn table(&self, class: &AttributeName) -> String {
        let mut out = String::new();
        let row = |name: &str, [train, validation, test]: [usize; 3]| {
            format!("{name:<28} {train:>10} {validation:>10} {test:>10}\n")
        };
        let counts = |sides: &BTreeMap<Side, usize>| {
            Side::ALL.map(|side| sides.get(&side).copied().unwrap_or(0))
        };
        for (attribute, values) in &self.classes {
            let _ = writeln!(
                out,
                "{attribute:<28} {:>10} {:>10} {:>10}",
                "train", "validation", "test"
            );
            for (value, sides) in values {
                out += &row(&format!("  {value}"), counts(sides));
            }
        }
        out += &row(&format!("all, split by {class}"), counts(&self.products));
        if self.duplicates > 0 {
            let _ = writeln!(
                out,
                "{} products share their picture with another and stay on one side",
                self.duplicates
            );
        }
        for (why, count) in &self.dropped {
            let _ = writeln!(out, "dropped: {count} {why}");
        }
        for (attribute, count) in self.unused_labels.iter().filter(|(_, n)| **n > 0) {
            let _ = writeln!(
                out,
                "{count} labels for {attribute} belong to products that are not in the data set"
            );
        }
        out
    }

    fn drop(&mut self, id: Option<&str>, why: &str, detail: &str) {
        *self.dropped.entry(why.to_owned()).or_default() += 1;
        if let Some(id) = id {
            self.dropped_products.push((
                id.to_owned(),
                if detail.is_empty() { why } else { detail }.to_owned(),
            ));
        }
    }
}

/// The catalog in the Kaggle layout in `folder`. Without `images` its pictures are those beside it:
/// `images/`, whose photos are the larger ones, then archives.
///
/// # Errors
/// When the folder cannot be read.
pub fn kaggle_source(folder: &Path, images: Vec<PathBuf>) -> Result<Source, PrepareError> {
    let images = if images.is_empty() {
        pictures_beside(folder).map_err(|source| PrepareError::io(folder, source))?
    } else {
        images
    };
    let shoelaces = Some(folder.join("shoelaces.csv")).filter(|file| file.is_file());
    Ok(Source::kaggle(folder.join("styles.csv"), images, shoelaces))
}

fn pictures_beside(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("zip"))
        {
            archives.push(path);
        }
    }
    archives.sort();
    let images = Some(folder.join("images")).filter(|folder| folder.is_dir());
    Ok(images.into_iter().chain(archives).collect())
}

/// Writes the data set to `out`. Blocking. `seen` hears how many pictures of how many were read.
///
/// # Errors
/// When the catalog or a label file cannot be read, a template names what no product has, nothing
/// is left, `out` holds a data set already, or a file cannot be written.
pub fn prepare(
    preparation: &Preparation,
    out: &Path,
    seen: impl Fn(usize, usize),
) -> Result<PreparationReport, PrepareError> {
    if out.join(Side::Train.file_name()).exists() {
        return Err(PrepareError::Exists {
            path: out.to_owned(),
        });
    }
    let mut report = PreparationReport {
        seed: preparation.seed,
        ..PreparationReport::default()
    };
    let chosen = choose(preparation, &mut report)?;
    let (entries, groups) = check_pictures(preparation, chosen, &mut report, seen)?;
    if entries.is_empty() {
        return Err(PrepareError::Empty(report.dropped));
    }
    let unknown: Vec<String> = preparation
        .templates
        .unknown(entries.iter())
        .into_iter()
        .collect();
    // The built-in templates may name what this catalog does not have; a file's own may not.
    if !unknown.is_empty() && preparation.templates.source() != templates::DEFAULT {
        return Err(PrepareError::Slots(unknown));
    }
    let sides = split::split(
        &groups,
        preparation.test,
        preparation.validation,
        preparation.seed,
    );
    report.duplicates = groups.iter().map(|g| g.ids.len()).filter(|&n| n > 1).sum();
    let side_of: HashMap<&str, Side> = groups
        .iter()
        .zip(&sides)
        .flat_map(|(g, &side)| g.ids.iter().map(move |id| (id.as_str(), side)))
        .collect();
    let names: Vec<&AttributeName> = std::iter::once(&preparation.class)
        .chain(preparation.labels.iter().map(|(n, _)| n))
        .collect();
    let mut parts: BTreeMap<Side, Vec<Entry>> = Side::ALL.map(|side| (side, Vec::new())).into();
    for mut entry in entries {
        let side = side_of[entry.id.as_str()];
        entry.captions = preparation.templates.fill(&entry);
        for name in &names {
            let value = entry
                .attributes
                .get(name.as_str())
                .and_then(|v| v.first())
                .map_or("(not known)", |v| v);
            let class = report
                .classes
                .entry(name.to_string())
                .or_default()
                .entry(value.to_owned())
                .or_default();
            *class.entry(side).or_default() += 1;
        }
        *report.products.entry(side).or_default() += 1;
        parts.entry(side).or_default().push(entry);
    }
    std::fs::create_dir_all(out).map_err(|e| PrepareError::io(out, e))?;
    put(
        &out.join(data_set::CAPTIONS),
        preparation.templates.source().as_bytes(),
    )?;
    let text = serde_json::to_vec_pretty(&report)?;
    put(&out.join("report.json"), &text)?;
    // The training part is written last: a folder that has it is complete.
    for (side, entries) in parts.iter().rev() {
        data_set::write_side(out, *side, entries)?;
    }
    Ok(report)
}

/// The products that match the filters, with their labels.
fn choose(
    preparation: &Preparation,
    report: &mut PreparationReport,
) -> Result<Vec<(Product, PicturePlace)>, PrepareError> {
    let loaded = source::load(&preparation.source, &PictureFiles::default())?;
    for reject in loaded.rejects.iter().filter(|r| r.lost == Lost::Row) {
        report.drop(
            reject.id.as_deref(),
            "rows that cannot be read",
            &reject.reason,
        );
    }
    let mut labels = Vec::new();
    for (name, path) in &preparation.labels {
        labels.push((name, read_labels(path, name)?));
    }
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let filters = filters(&preparation.filters);
    let mut chosen = Vec::new();
    for (mut product, image) in loaded.products {
        let mut labeled = Vec::new();
        for (name, values) in &labels {
            if let Some(value) = values.get(product.id.as_str()) {
                product
                    .attributes
                    .insert((*name).clone(), vec![value.clone()]);
                labeled.push(name.to_string());
            }
        }
        if !filters.as_ref().is_some_and(|f| f.matches(&product)) {
            report.drop(None, "left out by the filters", "");
            continue;
        }
        let missing = std::iter::once(&preparation.class)
            .chain(&preparation.require)
            .find(|n| !product.attributes.contains_key(*n));
        if let Some(name) = missing {
            report.drop(Some(product.id.as_str()), &format!("without {name}"), "");
            continue;
        }
        let Some(image) = image else {
            report.drop(Some(product.id.as_str()), "without a picture", "");
            continue;
        };
        for name in labeled {
            *used.entry(name).or_default() += 1;
        }
        chosen.push((product, image));
    }
    for (name, values) in &labels {
        let used = used.get(name.as_str()).copied().unwrap_or(0);
        report
            .unused_labels
            .insert(name.to_string(), values.len() - used);
    }
    Ok(chosen)
}

/// The filters over attributes; `None` when a name or a value is not valid, so that nothing matches.
fn filters(wanted: &[(String, String)]) -> Option<Filters> {
    let pairs = wanted.iter().map(|(column, value)| {
        let name = source::attribute_of_column(column)
            .map_or_else(|| column.to_lowercase(), str::to_owned);
        Some((
            AttributeName::new(&name).ok()?,
            AttributeValue::new(value).ok()?,
        ))
    });
    Filters::new(pairs.collect::<Option<Vec<_>>>()?).ok()
}

/// Id -> value, of a CSV file with a header: the column of the attribute's name (`colour` for
/// `color` will do).
fn read_labels(
    path: &Path,
    name: &AttributeName,
) -> Result<HashMap<String, AttributeValue>, PrepareError> {
    let failed = |source| PrepareError::Csv {
        path: path.to_owned(),
        source,
    };
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(path)
        .map_err(failed)?;
    let header: Vec<String> = reader
        .headers()
        .map_err(failed)?
        .iter()
        .map(|h| h.trim().to_lowercase())
        .collect();
    let column = |wanted: &str| {
        let british = wanted.replace("color", "colour");
        header
            .iter()
            .position(|h| h == wanted || *h == british)
            .ok_or_else(|| PrepareError::Column {
                path: path.to_owned(),
                column: wanted.to_owned(),
                found: header.clone(),
            })
    };
    let (id, value) = (column("id")?, column(name.as_str())?);
    let mut labels = HashMap::new();
    for row in reader.records() {
        let row = row.map_err(failed)?;
        if let (Some(id), Some(Ok(value))) = (row.get(id), row.get(value).map(AttributeValue::new))
        {
            labels.insert(id.trim().to_owned(), value);
        }
    }
    Ok(labels)
}

/// What came of reading a picture.
enum PictureCheck {
    Missing,
    Broken(ImageError),
    /// The sha256 of its bytes.
    Whole(Vec<u8>),
}

/// Reads and decodes a picture: what training could not read is better dropped now than met then.
fn check_picture(
    photos: &PictureFiles,
    image: &PicturePlace,
) -> Result<PictureCheck, CatalogError> {
    let Some(bytes) = photos.read(image)? else {
        return Ok(PictureCheck::Missing);
    };
    Ok(match vision::decode(&bytes, &images::LIMITS) {
        Ok(_) => PictureCheck::Whole(Sha256::digest(&bytes).to_vec()),
        Err(error) => PictureCheck::Broken(error),
    })
}

/// Pictures that are read together, before progress is reported.
const TOGETHER: usize = 64;

/// Decodes every picture once: a file that is not a picture is dropped with its product, and
/// products with the very same picture are grouped.
fn check_pictures(
    preparation: &Preparation,
    chosen: Vec<(Product, PicturePlace)>,
    report: &mut PreparationReport,
    seen: impl Fn(usize, usize),
) -> Result<(Vec<Entry>, Vec<split::Group>), PrepareError> {
    let photos = PictureFiles::default();
    let total = chosen.len();
    let mut entries = Vec::new();
    let mut groups: Vec<split::Group> = Vec::new();
    let mut group_of: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut checks = Vec::with_capacity(total);
    for some in chosen.chunks(TOGETHER) {
        let found = some
            .par_iter()
            .map(|(_, image)| check_picture(&photos, image));
        checks.extend(found.collect::<Result<Vec<_>, _>>()?);
        seen(checks.len(), total);
    }
    for ((product, image), check) in chosen.into_iter().zip(checks) {
        let id = product.id.to_string();
        let digest = match check {
            PictureCheck::Whole(digest) => digest,
            PictureCheck::Missing => {
                report.drop(Some(&id), "without a picture", "");
                continue;
            }
            PictureCheck::Broken(error) => {
                report.drop(
                    Some(&id),
                    "with a picture that cannot be read",
                    &error.to_string(),
                );
                continue;
            }
        };
        let class = product
            .attribute(preparation.class.as_str())
            .unwrap_or_default()
            .to_owned();
        let group = *group_of.entry(digest).or_insert_with(|| {
            groups.push(split::Group {
                class,
                ids: Vec::new(),
            });
            groups.len() - 1
        });
        groups[group].ids.push(id.clone());
        entries.push(Entry {
            id,
            title: product.title,
            image: image.into(),
            attributes: plain(product.attributes),
            sentence: None,
            captions: Vec::new(),
        });
    }
    Ok((entries, groups))
}

fn plain(attributes: Attributes) -> BTreeMap<String, Vec<String>> {
    let values = |v: Vec<AttributeValue>| v.into_iter().map(String::from).collect();
    attributes
        .into_iter()
        .map(|(name, v)| (name.into(), values(v)))
        .collect()
}
