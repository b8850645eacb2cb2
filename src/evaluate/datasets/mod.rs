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
//! Each refuses a file that is missing or malformed, and says which, where, and what was expected. A picture is not
//! opened here: one that cannot be read is left out of the evaluation and counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

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
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} is not there: {expected}")]
    Missing { path: PathBuf, expected: &'static str },
    #[error("{path}{}: {reason}", line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Malformed { path: PathBuf, line: Option<usize>, reason: String },
    #[error("{path} has no labeled image")]
    Empty { path: PathBuf },
    #[error("no product has the attribute {attribute} and a photo")]
    NoLabel { attribute: AttributeName },
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
                picture: Picture::Source(ImageSource::File(path)),
            })
            .collect();
        Self { name, classes, items, pictures: Photos::default() }
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

    /// Before the names of its figures: `fashion_mnist`.
    #[must_use]
    pub fn prefix(&self) -> String {
        let letter = |c: char| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
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

/// A catalogue whose attribute `label` is to be recognized; products without it or without a photo are passed over.
/// Values that differ in letter case only are one class, written as the first.
///
/// # Errors
/// When no product is left.
pub fn of_shop(shop: &Shop, label: &AttributeName, name: &str) -> Result<LabeledSet, DatasetError> {
    let labeled = |o: &&super::shop::Offer| o.image.is_some() && o.product.attribute(label.as_str()).is_some();
    let offers: Vec<_> = shop.offers.iter().filter(labeled).collect();
    let values = super::shop::values(offers.iter().map(|o| &o.product), label);
    let folded: Vec<String> = values.iter().map(crate::domain::AttributeValue::folded).collect();
    let items: Vec<LabeledItem> = offers
        .into_iter()
        .filter_map(|offer| {
            let value = offer.product.attribute(label.as_str())?.to_lowercase();
            let attributes = offer.product.attributes.keys();
            Some(LabeledItem {
                id: offer.product.id.to_string(),
                class: folded.iter().position(|f| *f == value)?,
                attributes: attributes
                    .filter_map(|n| Some((n.to_string(), offer.product.attribute(n.as_str())?.to_owned())))
                    .collect(),
                picture: Picture::Source(offer.image.clone()?),
            })
        })
        .collect();
    if items.is_empty() {
        return Err(DatasetError::NoLabel { attribute: label.clone() });
    }
    let classes = values.iter().map(ToString::to_string).collect();
    Ok(LabeledSet { name: name.to_owned(), classes, items, pictures: Photos::default() })
}

/// Labeled images as a command line names them: `fashion-mnist:DIR`, `fashion-mnist-light:DIR`, `in-shop:DIR`,
/// `classes:DIR`, `csv:FILE`, `set:PATH` (the category of a data set's or a catalogue's products) or
/// `set:PATH@ATTRIBUTE`.
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
const KINDS: &str = "fashion-mnist:DIR, fashion-mnist-light:DIR, in-shop:DIR, classes:DIR, csv:FILE or set:PATH";

impl std::str::FromStr for Data {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, path) = text.split_once(':').ok_or_else(|| format!("{text:?} is none of {KINDS}"))?;
        let kind = match kind {
            "fashion-mnist" => Kind::Files(fashion_mnist::read),
            "fashion-mnist-light" => Kind::Files(fashion_mnist::read_light),
            "in-shop" => Kind::Files(in_shop::read),
            "classes" => Kind::Files(folders::read),
            "csv" => Kind::Files(table::read),
            "set" => {
                let (path, label) = path.rsplit_once('@').unwrap_or((path, "category"));
                let label = AttributeName::new(label).map_err(|e| e.to_string())?;
                return Ok(Self { kind: Kind::Products { label }, path: path.into() });
            }
            _ => return Err(format!("{kind:?} is no kind of data: {KINDS}")),
        };
        Ok(Self { kind, path: path.into() })
    }
}

impl Data {
    /// # Errors
    /// See the reader of the kind.
    pub fn read(&self) -> Result<LabeledSet, DatasetError> {
        match &self.kind {
            Kind::Files(read) => read(&self.path),
            Kind::Products { label } => {
                let stem = self.path.file_stem().map_or_else(|| "products".to_owned(), |n| n.display().to_string());
                of_shop(&Shop::at(&self.path, &[], None)?, label, &format!("{label} of {stem}"))
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
    DatasetError::Malformed { path: path.to_owned(), line, reason: reason.into() }
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
