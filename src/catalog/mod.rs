//! Products and embeddings at rest: one SQLite database in the data folder, and the pictures where
//! the shop keeps them.
//!
//! * `sqlite` opens the database and reads it, `writer` changes it, `photos` reads pictures from
//!   folders and archives;
//! * `kaggle` and `jsonl` read the two file formats a catalog may come in; `rejects` notes the rows
//!   that were not taken;
//! * `ingest` is where the catalog meets `encode`: products in, embeddings for those that lack one.
//!
//! Any number of processes may read; one at a time may write, held by a lock file, not by luck.
//! Pictures are not copied into the database: it remembers where they are, their sha256, and what
//! each model made of them.
//!
//! Refused: a database of a newer version, a damaged one, a second writer, picture paths that leave
//! the folder that was named for them. Nothing here decodes a picture or knows a model.

pub mod caption;
pub mod ingest;
mod photos;
mod rejects;
pub mod source;
mod sqlite;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::domain::{Attributes, Embedding, ModelId, Product, ProductId, ProductKey};
use crate::telemetry::{self, BlockingError};
pub use photos::Photos;

/// A cheap, clonable handle on the database and the pictures.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    /// The data folder, absolute.
    data: PathBuf,
    readers: sqlx::SqlitePool,
    /// One connection: writers wait here instead of in SQLite's busy loop.
    writer: sqlx::SqlitePool,
    photos: Photos,
    /// What [`Catalog::counts`] answered last, of which model and which revision.
    counted: Mutex<Option<(ModelId, u64, Counts)>>,
}

/// A product with what the catalog adds.
#[derive(Clone, Debug)]
pub struct StoredProduct {
    pub key: ProductKey,
    pub product: Product,
    /// Where its picture is; `None` when it has none.
    pub image: Option<ImageSource>,
}

/// Where a picture lies: a file, or a member of a zip archive. Only the catalog makes them, from
/// what was imported: no part of a client's request ever becomes a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageSource {
    File(PathBuf),
    Zip { archive: PathBuf, member: String },
}

/// What an index is built of: everything that has an embedding, as of one revision.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub revision: u64,
    pub products: Vec<Embedded>,
}

/// A product with an embedding of its photo, of its words, or of both.
#[derive(Clone, Debug)]
pub struct Embedded {
    pub key: ProductKey,
    pub photo: Option<Embedding>,
    /// Of the title and the attributes that describe it (see [`caption::caption`]).
    pub words: Option<Embedding>,
    pub attributes: Attributes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub products: u64,
    /// Products whose picture is embedded by the model asked for.
    pub embedded: u64,
    /// Products that have no picture, or one that cannot be read or embedded: found by their words
    /// alone.
    pub without_embedding: u64,
    /// Products whose picture or words still wait to be embedded: what [`ingest::embed_missing`]
    /// would do.
    pub pending: u64,
}

/// Why the catalog could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("{path} was written by a newer version of Aglet (it knows migration {found}, this one ends at {known}): \
             update Aglet, or name another data folder", path = path.display())]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error("{path} is damaged or no catalog of Aglet ({reason}): move it away and import again, or restore a copy", path = path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("another process{} is changing the catalog in {folder}: wait until it is done", holder.map(|p| format!(" (pid {p})")).unwrap_or_default(), folder = folder.display())]
    Locked {
        folder: PathBuf,
        holder: Option<u32>,
    },
    #[error("no space is left for {path}: free some and run the same command again; what was reported done is kept", path = path.display())]
    Full { path: PathBuf },
    #[error("the database stayed busy: {0}")]
    Busy(#[source] sqlx::Error),
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    #[error("{path}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Interrupted(#[from] BlockingError),
}

impl CatalogError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full {
                path: path.to_owned(),
            },
            _ => Self::Io {
                path: path.to_owned(),
                source,
            },
        }
    }
}

impl Catalog {
    /// Opens the database in the data folder, creating folder and database and bringing the schema
    /// up to date.
    ///
    /// # Errors
    /// When the folder cannot be made, or the database is damaged, of a newer version, or not to be
    /// opened.
    pub async fn open(data: &Path) -> Result<Self, CatalogError> {
        sqlite::open(data).await
    }

    /// The data folder, absolute.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.inner.data
    }

    /// The product with the shop's id `id`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn product(&self, id: &ProductId) -> Result<Option<StoredProduct>, CatalogError> {
        sqlite::product(self, id).await
    }

    /// The products of `keys` in that order, by one query; keys that are gone are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn products(&self, keys: &[ProductKey]) -> Result<Vec<StoredProduct>, CatalogError> {
        sqlite::products(self, keys).await
    }

    /// The keys of the products with these ids, in no order; ids that are unknown are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn keys(&self, ids: &[ProductId]) -> Result<Vec<ProductKey>, CatalogError> {
        sqlite::keys(self, self.readers(), ids).await
    }

    /// The bytes of a product's picture, as the shop made the file; `None` when it is gone.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is larger than any picture should be.
    pub async fn image(&self, source: &ImageSource) -> Result<Option<Bytes>, CatalogError> {
        let (photos, source) = (self.inner.photos.clone(), source.clone());
        telemetry::blocking(move || photos.read(&source)).await?
    }

    /// Every product that has an embedding of `model`, with the revision that this is the state of.
    /// A stored vector that is no embedding of `dimensions` values is left out with a warning in
    /// the log.
    ///
    /// A service that restores a saved index needs [`Catalog::revision`] alone.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn embedded(
        &self,
        model: &ModelId,
        dimensions: usize,
    ) -> Result<Snapshot, CatalogError> {
        sqlite::embedded(self, model, dimensions).await
    }

    /// Grows with every change that the index must follow, and with every one that leaves something
    /// to embed. Starts at the time of creation in Unix milliseconds, so that another database in
    /// the same place never answers with a number that this one had.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn revision(&self) -> Result<u64, CatalogError> {
        sqlite::revision(self).await
    }

    /// How many products there are, and how many of them have an embedding of `model`.
    ///
    /// May be asked every few seconds: while nothing is pending and the revision stands still, the
    /// last answer still holds, and the products are not gone through again.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn counts(&self, model: &ModelId) -> Result<Counts, CatalogError> {
        sqlite::counts(self, model).await
    }

    /// Ends all connections; the write-ahead log is folded into the database by the last one.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        self.inner.writer.close().await;
    }
}
