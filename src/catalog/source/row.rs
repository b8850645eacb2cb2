//! What a source gives: rows that were taken, and what was not.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::catalog::error::CatalogError;
use crate::catalog::media::{PicturePlace, PictureSource};
use crate::domain::Product;

/// Why a file of products cannot be read at all; a single bad row is a [`Reject`].
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    /// It is no feed, or not of the format that was said; what it is and what to do.
    #[error("{path} {what}", path = path.display())]
    Not { path: PathBuf, what: String },
    #[error("the mapping {path}: {reason}", path = path.display())]
    Mapping { path: PathBuf, reason: String },
    #[error(transparent)]
    Pictures(#[from] CatalogError),
}

impl SourceError {
    pub(super) fn not(path: &Path, what: impl Into<String>) -> Self {
        Self::Not {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

/// What of a row was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// All of it.
    Row,
    /// Its picture: the product is found by its words.
    Photo,
    /// One of its attributes, or its laces.
    Attribute,
    /// Letters: not UTF-8 and shown as U+FFFD, or more than a title or a description may have.
    Letters,
}

impl Lost {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Photo => "photo",
            Self::Attribute => "attribute",
            Self::Letters => "letters",
        }
    }
}

/// A row, or a part of one, that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// In the file of products, or the one of laces (the reason then says so); the first line is 1.
    pub line: u64,
    pub id: Option<String>,
    pub lost: Lost,
    pub reason: String,
}

/// A row that was taken.
#[derive(Clone, Debug)]
pub(in crate::catalog) struct Record {
    pub line: u64,
    pub product: Product,
    /// Each with its number, in their order.
    pub pictures: Vec<(u8, PictureSource)>,
}

impl Record {
    /// The first picture that is stored, where a reader knows one picture a product.
    pub fn first_stored(&self) -> Option<PicturePlace> {
        let mut places = self.pictures.iter();
        places.find_map(|(_, source)| match source {
            PictureSource::Stored(place) => Some(place.clone()),
            PictureSource::Kept { .. } | PictureSource::Address(_) => None,
        })
    }
}

/// A product as the reader of a format gives it: in the fields of our own JSON, see [`describe`](super::describe).
/// Prices may be texts.
#[derive(Default)]
pub(super) struct Row {
    /// Where it is in the file.
    pub(super) line: u64,
    pub(super) json: Map<String, Value>,
    /// Parts that were lost before.
    pub(super) lost: Vec<(Lost, String)>,
    /// Pictures that the reader found itself.
    pub(super) found: Vec<PictureSource>,
}

impl Row {
    /// Sets a field, unless it has one or the text says nothing.
    pub(super) fn text(&mut self, field: &str, text: Option<&str>) {
        let text = text.map(str::trim).filter(|text| !text.is_empty());
        if let Some(text) = text
            && !self.json.contains_key(field)
        {
            self.json.insert(field.to_owned(), text.into());
        }
    }

    /// Adds a value to an attribute, unless the text says nothing.
    pub(super) fn attribute(&mut self, name: &str, text: Option<&str>) {
        let text = text.map(str::trim).filter(|text| !text.is_empty());
        let Some(text) = text else { return };
        // `describe` takes each once.
        self.list("attributes", name).push(text.into());
    }

    pub(super) fn has_attribute(&self, name: &str) -> bool {
        let attributes = self.json.get("attributes").and_then(Value::as_object);
        attributes.is_some_and(|attributes| attributes.contains_key(name))
    }

    /// Takes an attribute away.
    pub(super) fn unset(&mut self, name: &str) {
        if let Some(Value::Object(attributes)) = self.json.get_mut("attributes") {
            attributes.remove(name);
        }
    }

    /// Adds a picture behind the others.
    pub(super) fn image(&mut self, at: &str) {
        let at = at.trim();
        let images = self
            .json
            .entry("images")
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(images) = images
            && !at.is_empty()
        {
            images.push(at.into());
        }
    }

    pub(super) fn lose(&mut self, lost: Lost, reason: impl Into<String>) {
        self.lost.push((lost, reason.into()));
    }

    fn list(&mut self, field: &str, name: &str) -> &mut Vec<Value> {
        let map = self
            .json
            .entry(field)
            .or_insert_with(|| Value::Object(Map::new()));
        if !map.is_object() {
            *map = Value::Object(Map::new());
        }
        let Value::Object(map) = map else {
            unreachable!("it was just made")
        };
        let list = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if !list.is_array() {
            *list = Value::Array(vec![list.take()]);
        }
        let Value::Array(list) = list else {
            unreachable!("it was just made")
        };
        list
    }
}

pub(in crate::catalog) enum Item {
    Record(Record),
    Reject(Reject),
}

pub(super) const NOT_UTF8: &str = "bytes that are not UTF-8 were replaced by U+FFFD";

/// Fields or columns of the file that are not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored(pub BTreeMap<String, IgnoredField>);

/// A field that is not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoredField {
    /// How many rows say something in it.
    pub rows: u64,
    /// The known name that was probably meant.
    pub meant: Option<String>,
}

impl Ignored {
    /// The names alone.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Names that are kept: a file whose fields are all different is no table of products.
    const MOST: usize = 1_000;

    pub(super) fn add(&mut self, name: &str, rows: u64, meant: impl FnOnce() -> Option<String>) {
        let name: String = name.chars().take(64).collect();
        if let Some(known) = self.0.get_mut(&name) {
            known.rows += rows;
        } else if self.0.len() < Self::MOST {
            let meant = meant();
            self.0.insert(name, IgnoredField { rows, meant });
        }
    }
}

/// The known name that a name is nearest to, when it is near enough for a slip of the pen, or for
/// another spelling of the word.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let plain = |name: &str| -> String {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    // Longer than any slip of the pen.
    if name.len() > 200 {
        return None;
    }
    let name = plain(name);
    if name.chars().count() < 3 {
        return None;
    }
    let near = known.filter_map(|known| {
        let plain = plain(known);
        let slips = strsim::osa_distance(&name, &plain);
        let longest = name.chars().count().max(plain.chars().count());
        (slips * 3 <= longest && slips <= 3).then_some((slips, known))
    });
    let best = near.min_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)));
    best.map(|(_, known)| known.to_owned())
}
