//! Labeled images: readers for the layouts that benchmarks come in.
//!
//! | reader | layout |
//! | --- | --- |
//! | [`fashion_mnist`] | `t10k-images-idx3-ubyte(.gz)` and `t10k-labels-idx1-ubyte(.gz)` |
//! | [`in_shop`] | DeepFashion In-shop: `Eval/list_eval_partition.txt` and `img/` |
//! | [`table`] | a CSV of paths and labels |
//! | [`folders`] | a folder of class folders |
//! | [`of_shop`] | a catalogue or a data set of `aglet-train prepare` ([`super::prepared`]): an attribute is the label |
//!
//! Each refuses a file that is missing or malformed, and says which, where, and what was expected.
//! A picture is not opened here: one that cannot be read is left out of the evaluation and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::compare::{PRETEST, RETRIEVAL};
use super::prompts::Prompts;
use super::shop::{Shop, ShopError};
use crate::catalog::{CatalogError, ImageSource, Photos};
use crate::domain::AttributeName;

pub mod fashion_mnist;
pub mod folders;
pub mod in_shop;
pub mod table;

pub struct LabeledSet {
    pub name: String,
    /// In the data's own order where it has one, else sorted.
    pub classes: Vec<String>,
    pub items: Vec<LabeledItem>,
    /// What is said of the classes when nothing else is given; see [`LabeledSet::prompts`].
    prompts: Prompts,
    pictures: Photos,
}

pub struct LabeledItem {
    pub id: String,
    /// Position in the classes.
    pub class: usize,
    /// What templates may say of the image beside its class: attribute -> value.
    pub attributes: BTreeMap<String, String>,
    picture: Picture,
}

enum Picture {
    Source(ImageSource),
    /// A gray picture of 8 bits, row by row.
    Gray {
        edge: u32,
        pixels: Arc<[u8]>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not there: {expected}")]
    Missing {
        path: PathBuf,
        expected: &'static str,
    },
    #[error("{path}{}: {reason}", line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Malformed {
        path: PathBuf,
        line: Option<usize>,
        reason: String,
    },
    #[error("{path} has no labeled image")]
    Empty { path: PathBuf },
    #[error("no product has the attribute {attribute} and a photo")]
    NoLabel { attribute: AttributeName },
    #[error("{id} is of the class {class:?}, which is not among those to be asked")]
    NotAsked { id: String, class: String },
    #[error("the picture is not there")]
    NoPicture,
    #[error(transparent)]
    Picture(#[from] CatalogError),
    #[error(transparent)]
    Shop(#[from] ShopError),
    #[error("a gray picture could not be written as PNG: {0}")]
    Png(String),
}

impl LabeledSet {
    /// Out of (id, label, path): the classes are the labels, sorted.
    fn of_files(name: String, files: Vec<(String, String, PathBuf)>) -> Self {
        let mut classes: Vec<String> = files.iter().map(|(_, label, _)| label.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        let items = files
            .into_iter()
            .map(|(id, label, path)| LabeledItem {
                id,
                class: classes.binary_search(&label).unwrap_or(0),
                attributes: BTreeMap::new(),
                picture: Picture::Source(ImageSource::file(&path)),
            })
            .collect();
        Self {
            name,
            classes,
            items,
            prompts: Prompts::default(),
            pictures: Photos::default(),
        }
    }

    /// The file of a picture, whatever it is kept in.
    ///
    /// # Errors
    /// When it is gone or cannot be read.
    pub fn picture(&self, position: usize) -> Result<Bytes, DatasetError> {
        match &self.items[position].picture {
            Picture::Source(source) => self.pictures.read(source)?.ok_or(DatasetError::NoPicture),
            Picture::Gray { edge, pixels } => png(*edge, pixels),
        }
    }

    /// What the set's classes are asked with when nothing else is given.
    #[must_use]
    pub fn prompts(&self) -> Prompts {
        self.prompts.clone().only(&self.classes)
    }

    /// The same images, asked for other classes than those that occur: the few that a subset has
    /// are easier to tell apart than all that there are.
    ///
    /// # Errors
    /// When an image's class is not among them (letter case aside).
    pub fn asked(mut self, classes: Vec<String>) -> Result<Self, DatasetError> {
        let folded: Vec<String> = classes.iter().map(|class| class.to_lowercase()).collect();
        let place = |class: &String| {
            folded
                .iter()
                .position(|other| *other == class.to_lowercase())
        };
        let places: Vec<Option<usize>> = self.classes.iter().map(place).collect();
        for item in &mut self.items {
            let asked = places[item.class];
            let not_asked = || DatasetError::NotAsked {
                id: item.id.clone(),
                class: self.classes[item.class].clone(),
            };
            item.class = asked.ok_or_else(not_asked)?;
        }
        self.classes = classes;
        Ok(self)
    }

    /// Before the names of its figures: `fashion_mnist`.
    #[must_use]
    pub fn prefix(&self) -> String {
        let letter = |c: char| {
            if c.is_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        };
        self.name.chars().map(letter).collect()
    }

    /// Every n-th image, so that about `most` are left, the same for every model.
    pub fn thin(&mut self, most: usize) {
        let step = self.items.len().div_ceil(most.max(1)).max(1);
        let mut position = 0;
        self.items.retain(|_| {
            position += 1;
            (position - 1) % step == 0
        });
    }
}

/// The prefix of each set's figures, no two alike and none that another part of a document has: of
/// sets that are called the same, the second gets `_2`.
#[must_use]
pub fn prefixes(sets: &[LabeledSet]) -> Vec<String> {
    let mut taken: BTreeSet<String> = ["catalog", PRETEST, RETRIEVAL].map(str::to_owned).into();
    let mut free = |prefix: String| {
        let numbered = (2..).map(|number: u32| format!("{prefix}_{number}"));
        let found = std::iter::once(prefix.clone())
            .chain(numbered)
            .find(|name| taken.insert(name.clone()));
        found.unwrap_or(prefix)
    };
    sets.iter().map(|set| free(set.prefix())).collect()
}

/// A catalogue whose attribute `label` is to be recognized; products without it or without a photo
/// are passed over. Values that differ in letter case only are one class, written as the first. It
/// is asked as the attribute is ([`Prompts::for_attribute`]).
///
/// # Errors
/// When no product is left.
pub fn of_shop(shop: &Shop, label: &AttributeName, name: &str) -> Result<LabeledSet, DatasetError> {
    let labeled = |o: &&super::shop::Offer| {
        o.image.is_some() && o.product.attribute(label.as_str()).is_some()
    };
    let offers: Vec<_> = shop.offers.iter().filter(labeled).collect();
    let values = super::shop::values(offers.iter().map(|o| &o.product), label);
    let folded: Vec<String> = values
        .iter()
        .map(crate::domain::AttributeValue::folded)
        .collect();
    let items: Vec<LabeledItem> = offers
        .into_iter()
        .filter_map(|offer| {
            let value = offer.product.attribute(label.as_str())?.to_lowercase();
            let attributes = offer.product.attributes.keys();
            Some(LabeledItem {
                id: offer.product.id.to_string(),
                class: folded.iter().position(|f| *f == value)?,
                attributes: attributes
                    .filter_map(|n| {
                        Some((
                            n.to_string(),
                            offer.product.attribute(n.as_str())?.to_owned(),
                        ))
                    })
                    .collect(),
                picture: Picture::Source(offer.image.clone()?),
            })
        })
        .collect();
    if items.is_empty() {
        return Err(DatasetError::NoLabel {
            attribute: label.clone(),
        });
    }
    let classes = values.iter().map(ToString::to_string).collect();
    let prompts = Prompts::for_attribute(label);
    Ok(LabeledSet {
        name: name.to_owned(),
        classes,
        items,
        prompts,
        pictures: Photos::default(),
    })
}

/// Labeled images as a command line names them: `fashion-mnist:DIR`, `fashion-mnist-light:DIR`,
/// `in-shop:DIR`, `classes:DIR`, `csv:FILE`, `set:PATH` (the category of a data set's or a
/// catalogue's products) or `set:PATH@ATTRIBUTE`.
#[derive(Clone, Debug)]
pub struct Data {
    kind: Kind,
    path: PathBuf,
}

#[derive(Clone, Debug)]
enum Kind {
    Files(fn(&Path) -> Result<LabeledSet, DatasetError>),
    Products { label: AttributeName },
}

/// What [`Data`] may be, for a help text.
const KINDS: &str =
    "fashion-mnist:DIR, fashion-mnist-light:DIR, in-shop:DIR, classes:DIR, csv:FILE or set:PATH";

impl std::str::FromStr for Data {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, path) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?} is none of {KINDS}"))?;
        let kind = match kind {
            "fashion-mnist" => Kind::Files(fashion_mnist::read),
            "fashion-mnist-light" => Kind::Files(fashion_mnist::read_light),
            "in-shop" => Kind::Files(in_shop::read),
            "classes" => Kind::Files(folders::read),
            "csv" => Kind::Files(table::read),
            "set" => {
                let (path, label) = path.rsplit_once('@').unwrap_or((path, "category"));
                let label = AttributeName::new(label).map_err(|e| e.to_string())?;
                return Ok(Self {
                    kind: Kind::Products { label },
                    path: path.into(),
                });
            }
            _ => return Err(format!("{kind:?} is no kind of data: {KINDS}")),
        };
        Ok(Self {
            kind,
            path: path.into(),
        })
    }
}

impl Data {
    /// # Errors
    /// See the reader of the kind.
    pub fn read(&self) -> Result<LabeledSet, DatasetError> {
        match &self.kind {
            Kind::Files(read) => read(&self.path),
            Kind::Products { label } => {
                let stem = self
                    .path
                    .file_stem()
                    .map_or_else(|| "products".to_owned(), |n| n.display().to_string());
                of_shop(
                    &Shop::at(&self.path, &[], None)?,
                    label,
                    &format!("{label} of {stem}"),
                )
            }
        }
    }
}

fn png(edge: u32, pixels: &[u8]) -> Result<Bytes, DatasetError> {
    let mut file = std::io::Cursor::new(Vec::new());
    image::write_buffer_with_format(
        &mut file,
        pixels,
        edge,
        edge,
        image::ExtendedColorType::L8,
        image::ImageFormat::Png,
    )
    .map_err(|e| DatasetError::Png(e.to_string()))?;
    Ok(file.into_inner().into())
}

fn malformed(path: &Path, line: Option<usize>, reason: impl Into<String>) -> DatasetError {
    DatasetError::Malformed {
        path: path.to_owned(),
        line,
        reason: reason.into(),
    }
}

fn read_text(path: &Path, expected: &'static str) -> Result<String, DatasetError> {
    std::fs::read_to_string(path).map_err(|source| missing_or(path, expected, source))
}

fn missing_or(path: &Path, expected: &'static str, source: std::io::Error) -> DatasetError {
    let path = path.to_owned();
    match source.kind() {
        std::io::ErrorKind::NotFound => DatasetError::Missing { path, expected },
        _ => DatasetError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, labels: &[&str]) -> LabeledSet {
        let files = labels.iter().map(|label| {
            (
                format!("{label}.jpg"),
                (*label).to_owned(),
                PathBuf::from(label),
            )
        });
        LabeledSet::of_files(name.to_owned(), files.collect())
    }

    #[test]
    fn sets_of_the_same_name_have_figures_of_their_own() {
        let names = ["own", "own", "own 2", "own", "catalog", "Pretest"];
        let sets: Vec<LabeledSet> = names.iter().map(|name| set(name, &["a"])).collect();
        assert_eq!(
            prefixes(&sets),
            ["own", "own_2", "own_2_2", "own_3", "catalog_2", "pretest_2"]
        );
    }

    #[test]
    fn other_classes_may_be_asked_than_occur() {
        let all = ["black", "green", "Red"].map(str::to_owned).to_vec();
        let asked = set("laces", &["red", "black"])
            .asked(all)
            .expect("among them");
        let classes: Vec<&str> = asked
            .items
            .iter()
            .map(|item| asked.classes[item.class].as_str())
            .collect();
        assert_eq!((classes, asked.classes.len()), (vec!["Red", "black"], 3));
        let error = set("laces", &["red", "blue"])
            .asked(vec!["Red".to_owned()])
            .err()
            .expect("refused")
            .to_string();
        assert!(
            error.contains("blue.jpg") && error.contains("not among those"),
            "{error}"
        );
    }
}
