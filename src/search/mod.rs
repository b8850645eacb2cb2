//! Embedding -> ranked products.
//!
//! A [`Searcher`] hands out immutable snapshots of the index: a new one is built beside the old and swapped in.

pub mod rank;

use std::path::Path;
use std::sync::Arc;

use crate::domain::{AttributeName, Attributes, Embedding, Filters, ModelId, ProductKey, Window};

/// A cheap, clonable handle on the index in use.
#[derive(Clone)]
pub struct Searcher {
    inner: Arc<()>,
}

/// One product as the index sees it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: ProductKey,
    pub embedding: Embedding,
    pub attributes: Attributes,
}

/// What an index must be equal in to serve: the catalogue's state and the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexVersion {
    /// The catalogue's revision (see `catalog::Catalog::revision`).
    pub catalog: u64,
    pub model: ModelId,
    /// Share of the words in each product's vector (see [`rank::fuse`]), in percent.
    pub words_percent: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub key: ProductKey,
    /// Cosine similarity, exact in f32 or as the index stores it.
    pub score: f32,
}

#[derive(Clone, Debug)]
pub struct Hits {
    pub hits: Vec<Hit>,
    /// How many products match the filters (all of them are ranked; none is cut off by a score).
    pub estimated_total: usize,
    pub version: IndexVersion,
}

/// An attribute's values with the number of products that carry each.
#[derive(Clone, Debug)]
pub struct Facet {
    pub name: AttributeName,
    pub values: Vec<(String, u64)>,
}

#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("the index holds vectors of {index}, the query is of {query} dimensions")]
    Dimensions { index: usize, query: usize },
    #[error("{path}: {source}")]
    Io { path: std::path::PathBuf, source: std::io::Error },
}

impl Searcher {
    /// A searcher over nothing, for a service that starts before its catalogue is embedded.
    #[must_use]
    pub fn empty(version: IndexVersion, dimensions: usize) -> Self {
        todo!("{version:?} {dimensions}")
    }
    /// Builds an index of `entries` beside the one in use and swaps it in. Blocking, all cores.
    pub fn rebuild(&self, version: IndexVersion, entries: Vec<Entry>) -> Result<(), SearchError> {
        todo!("{version:?} {}", entries.len())
    }
    /// Loads the snapshot in `folder` when it is whole and of `version`; false when there is none such.
    pub fn restore(&self, folder: &Path, version: &IndexVersion) -> Result<bool, SearchError> {
        todo!("{} {version:?}", folder.display())
    }
    /// Saves the index in use, atomically.
    pub fn save(&self, folder: &Path) -> Result<(), SearchError> {
        todo!("{}", folder.display())
    }
    /// The products nearest to `query` among those that match: `window.limit()` of them after `window.offset()`, fewer
    /// only when fewer match. `exclude`: the product that the query is made of ("similar").
    pub fn search(
        &self,
        query: &Embedding,
        filters: &Filters,
        window: Window,
        exclude: Option<ProductKey>,
    ) -> Result<Hits, SearchError> {
        todo!("{query:?} {filters:?} {window:?} {exclude:?}")
    }
    /// The stored vector of a product, as far as the index keeps its precision.
    #[must_use]
    pub fn embedding(&self, key: ProductKey) -> Option<Embedding> {
        todo!("{key:?}")
    }
    #[must_use]
    pub fn facets(&self) -> Arc<Vec<Facet>> {
        todo!()
    }
    #[must_use]
    pub fn version(&self) -> IndexVersion {
        todo!()
    }
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
