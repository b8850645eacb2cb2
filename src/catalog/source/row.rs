//! What a source gives: rows that were taken, and what was not.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

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
