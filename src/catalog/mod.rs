//! Products and embeddings at rest.

pub mod ingest;

use std::path::{Path, PathBuf};

use crate::domain::{Attributes, Embedding, ModelId, Product, ProductId, ProductKey};

/// A cheap, clonable handle on the database.
#[derive(Clone)]
pub struct Catalog {
    pool: sqlx::SqlitePool,
}

/// A product with what the catalogue adds.
#[derive(Clone, Debug)]
pub struct StoredProduct {
    pub key: ProductKey,
    pub product: Product,
    /// Where its picture is; `None` when it has none.
    pub image: Option<ImageSource>,
}

/// Where a picture lies: a file, or a member of a zip archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    File(PathBuf),
    Zip { archive: PathBuf, member: String },
}

/// What the index is built of.
#[derive(Clone, Debug)]
pub struct Embedded {
    pub key: ProductKey,
    pub photo: Option<Embedding>,
    /// Of the title and the attributes that describe it.
    pub words: Option<Embedding>,
    pub attributes: Attributes,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

impl Catalog {
    /// Opens the SQLite database in the data folder, creating and migrating it as needed.
    pub async fn open(data: &Path) -> Result<Self, CatalogError> {
        todo!("{}", data.display())
    }
    pub async fn product(&self, id: &ProductId) -> Result<Option<StoredProduct>, CatalogError> {
        todo!("{id}")
    }
    /// The products of `keys` in that order, by one query; keys that are gone are left out.
    pub async fn products(&self, keys: &[ProductKey]) -> Result<Vec<StoredProduct>, CatalogError> {
        todo!("{keys:?}")
    }
    /// The bytes of a product's picture.
    pub async fn image(&self, source: &ImageSource) -> Result<bytes::Bytes, CatalogError> {
        todo!("{source:?}")
    }
    /// Every product that has an embedding of `model`, of its photo, its words, or both.
    pub async fn embedded(&self, model: &ModelId, dimensions: usize) -> Result<Vec<Embedded>, CatalogError> {
        todo!("{model} {dimensions}")
    }
    /// Grows with every change that the index must follow.
    pub async fn revision(&self) -> Result<u64, CatalogError> {
        todo!()
    }
    /// How many products there are, and how many of them have an embedding of `model`.
    pub async fn counts(&self, model: &ModelId) -> Result<Counts, CatalogError> {
        todo!("{model}")
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub products: u64,
    /// Products whose picture is embedded by the model asked for.
    pub embedded: u64,
    /// Products that have a picture which could not be embedded, or none.
    pub without_embedding: u64,
}
