//! What a source gives: rows that were taken, and what was not.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::catalog::error::CatalogError;
use crate::catalog::media::{PicturePlace, PictureSource};
use crate::domain::Product;

/// Why a file of products cannot be read at all; a single bad row is a [`Reject`].
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} has no column {column:?} in its first line", path = path.display())]
    Column { path: PathBuf, column: &'static str },
    #[error("{path} is written in UTF-16: save it as UTF-8", path = path.display())]
    Utf16 { path: PathBuf },
    #[error(transparent)]
    Pictures(#[from] CatalogError),
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
    /// Letters that are not UTF-8, shown as U+FFFD.
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

/// Fields of the file that mean nothing here, with the number of rows that have them.
pub type Ignored = BTreeMap<String, u64>;
