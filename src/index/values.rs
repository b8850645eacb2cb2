//! What goes into an index and comes out of it.

use std::path::PathBuf;

use roaring::RoaringBitmap;

use super::distant::port::DistantError;
use super::lexical::{Language, ProductText};
use super::vectors::{IndexError, Vector};
use crate::domain::{Attributes, Filters, ModelId, Order, ProductFields, ProductKey, Window};

/// One product as the index sees it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub key: ProductKey,
    /// It is ranked by the nearest of them. Empty: it has none yet, and is found by its words and
    /// attributes alone.
    pub vectors: &'a [Vector],
    pub attributes: &'a Attributes,
    pub fields: ProductFields,
    pub text: ProductText<'a>,
}

/// What became of a product.
#[derive(Clone, Copy, Debug)]
pub enum Update<'a> {
    /// It is this now: new, or changed.
    Is(Entry<'a>),
    /// It was removed.
    Gone(ProductKey),
}

/// See [`Searcher::graph_lag`](super::Searcher::graph_lag).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphLag {
    /// Vectors of today, or products, whichever are more.
    pub size: u64,
    /// Vectors that the graph does not hold.
    pub delta: u64,
    /// Nodes without a vector of today, or slots without a product, whichever are more.
    pub stale: u64,
}

/// What is to be done for a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// What it does not hold is merged into a copy of it.
    Merge,
    /// The index is built anew.
    Build,
}

impl GraphLag {
    /// What it is time for.
    #[must_use]
    pub fn due(self) -> Option<Upkeep> {
        let Self { size, delta, stale } = self;
        if stale > (size / 10).max(1_000) {
            Some(Upkeep::Build)
        } else if delta > (size / 50).clamp(256, 4_000) {
            Some(Upkeep::Merge)
        } else {
            None
        }
    }
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

/// Which of the products that a search finds are wanted, and in which order.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    pub filters: Filters,
    /// Products that are left out, such as the one that the query is made of; what the index does not
    /// hold is passed over.
    pub exclude: Vec<ProductKey>,
    pub window: Window,
    pub order: Order,
    /// All that match are ranked, whether or not the query means them.
    pub all: bool,
    /// Each hit says why it is where it is.
    pub explain: bool,
}

impl Selection {
    /// Those that match the filters, by the ranking.
    #[must_use]
    pub fn of(filters: &Filters, window: Window, exclude: &[ProductKey]) -> Self {
        Self {
            filters: filters.clone(),
            exclude: exclude.to_vec(),
            window,
            order: Order::default(),
            all: false,
            explain: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub key: ProductKey,
    /// Cosine similarity in [-1, 1], of the f32 query and the nearest of the product's bf16 vectors.
    pub score: f32,
}

#[derive(Clone, Debug)]
pub struct Hits {
    pub hits: Vec<Hit>,
    /// The number of each hit's picture that is nearest to the query's vector. `None` where the query
    /// has no vector, or the product none of a picture.
    pub pictures: Vec<Option<u8>>,
    /// Where products are grouped, the group of each hit; of a product without the value, none.
    pub groups: Vec<Option<Group>>,
    /// How many products, or groups of products, are meant and match the filters. Exact; the excluded
    /// product is not counted.
    pub estimated_total: usize,
    /// Of each hit, when that was asked for.
    pub explanations: Vec<Explanation>,
    /// The slots that are meant, whatever the filters; `None`: all.
    pub(super) meant: Option<RoaringBitmap>,
}

/// Products with the same value, of which the first is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub value: String,
    /// How many of them are meant and match the filters.
    pub products: u64,
}

/// Why a product is where it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// How much of the query in words the product covers; above 1: it is what the query names.
    pub coverage: Option<f32>,
    /// Where its cosine lies between the mean of the index (0) and the nearest product (1).
    pub nearness: Option<f32>,
    pub cosine: Option<f32>,
    /// Of a photo: the share of the votes that its category has.
    pub votes: Option<f32>,
    /// The parts of the query in words that it matches.
    pub parts: Vec<PartMatch>,
}

/// How a product matches a part of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct PartMatch {
    pub text: String,
    /// The share of the part in the query.
    pub weight: f32,
    /// How strongly the product matches it, 0 to 1.
    pub strength: f32,
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
    /// Whoever has the vectors does not answer.
    #[error(transparent)]
    Distant(DistantError),
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
            IndexError::Distant(error) => Self::Distant(error),
            other => Self::Index(other),
        }
    }
}
