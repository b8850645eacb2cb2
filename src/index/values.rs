//! What goes into an index and comes out of it.

use std::path::PathBuf;

use roaring::RoaringBitmap;

use super::graph::IndexError;
use super::lexical::{Language, ProductText};
use crate::domain::{Attributes, Embedding, ModelId, ProductKey};

/// One product as the index sees it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub key: ProductKey,
    pub embedding: &'a Embedding,
    pub attributes: &'a Attributes,
    pub text: ProductText<'a>,
}

/// What an index must be equal in to serve: the catalog's state and the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexVersion {
    /// The catalog's revision (see `catalog::Catalog::revision`).
    pub catalog: u64,
    pub model: ModelId,
    /// Share of the words in each product's vector (see [`rank::fuse`](super::rank::fuse)), in percent.
    pub words_percent: u8,
    /// By whose rules the endings of words are cut off.
    pub language: Language,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub key: ProductKey,
    /// Cosine similarity in [-1, 1], of the f32 query and the product's bf16 vector.
    pub score: f32,
}

#[derive(Clone, Debug)]
pub struct Hits {
    pub hits: Vec<Hit>,
    /// How many products match the filters (all of them are ranked; none is cut off by a score).
    /// Exact; the excluded product is not counted.
    pub estimated_total: usize,
    /// The slots that are meant, whatever the filters; `None`: all.
    pub(super) meant: Option<RoaringBitmap>,
}

/// What is said of a saved index beside what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The identity of the database that the keys are of.
    pub store: String,
    /// Whether everything that the catalog had was in it, or in one before it.
    pub whole: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("the index holds vectors of {index} dimensions, this one has {query}")]
    Dimensions { index: usize, query: usize },
    #[error("the key {key} does not come after the one before it")]
    KeyOrder { key: u32 },
    #[error(transparent)]
    Index(IndexError),
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl From<IndexError> for SearchError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Dimensions { expected, got } => Self::Dimensions {
                index: expected,
                query: got,
            },
            other => Self::Index(other),
        }
    }
}
