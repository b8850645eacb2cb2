//! Products and embeddings at rest: one SQLite database in the data folder, and the pictures where
//! the shop keeps them.
//!
//! | room | what it is for |
//! | --- | --- |
//! | `store` | the database: opened and read, changed, kept small |
//! | [`media`] | pictures: opened, read, shown |
//! | [`source`] | the file formats that a catalog comes in |
//! | [`ingest`] | products in, embeddings for those that lack one: where the catalog meets `encode` |
//! | [`caption`] | what the text tower is told about a product |
//!
//! Any number of processes may read; one at a time may write, held by a lock file, not by luck.
//! Pictures are not copied into the database: it remembers where they are, their sha256, and what
//! each model made of them.
//!
//! Refused: a database of a newer version, a damaged one, a second writer, picture paths that leave
//! the folder that was named for them. Nothing here decodes a picture or knows a model.

pub mod caption;
pub mod ingest;
pub mod media;
pub mod source;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::{Attributes, Embedding, ModelId, Product, ProductId, ProductKey};
use crate::util::blocking::BlockingError;
use crate::util::budget::Budget;
pub use media::ImageSource;
pub use media::picture::{OpenPicture, Picture, PictureBody};
pub use media::read::Photos;
use media::readers::Readers;

/// A cheap, clonable handle on the database and the pictures.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    /// The data folder, absolute.
    data: PathBuf,
    searches: sqlx::SqlitePool,
    upkeep: sqlx::SqlitePool,
    /// One connection: writers wait here instead of in SQLite's busy loop.
    writer: sqlx::SqlitePool,
    photos: Photos,
    readers: Readers,
    /// Bytes of pictures that are held whole for clients.
    pictures: Budget,
}

/// A product with what the catalog adds.
#[derive(Clone, Debug)]
pub struct StoredProduct {
    pub key: ProductKey,
    pub product: Product,
    /// Where its picture is; `None` when it has none.
    pub image: Option<ImageSource>,
    /// Whether there is a picture that can be shown: one that was decoded at import.
    pub has_picture: bool,
}

/// What [`Catalog::embedded`] gave, beside the products.
#[derive(Clone, Copy, Debug)]
pub struct AllEmbedded {
    /// That the products are the state of.
    pub revision: u64,
    pub counts: Counts,
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
    #[error("{what} was not read within {seconds} s: its storage does not answer")]
    PictureHangs { what: String, seconds: u64 },
    #[error("more pictures are being read than can be, or their storage does not answer")]
    PicturesBusy,
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
        store::read::open(data).await
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
        store::read::product(self, id).await
    }

    /// The products of `keys` in that order, by one query; keys that are gone are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn products(&self, keys: &[ProductKey]) -> Result<Vec<StoredProduct>, CatalogError> {
        store::read::products(self, keys).await
    }

    /// The keys of the products with these ids, in no order; ids that are unknown are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn keys(&self, ids: &[ProductId]) -> Result<Vec<ProductKey>, CatalogError> {
        store::read::keys(self, self.readers(), ids).await
    }

    /// The picture of the product with the shop's id `id`, for a client. `None` when there is no
    /// such product; in it, `None` when it has no picture that was decoded at import.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn picture(&self, id: &ProductId) -> Result<Option<Option<Picture>>, CatalogError> {
        store::read::picture(self, id).await
    }

    /// Gives every product that has an embedding of `model` to `each`, in the order of the keys, and
    /// says which revision that was the state of and how far the catalog is embedded. A stored
    /// vector that is not an embedding of `dimensions` values is left out with a warning in the log.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn embedded(
        &self,
        model: &ModelId,
        dimensions: usize,
        each: impl FnMut(Embedded),
    ) -> Result<AllEmbedded, CatalogError> {
        store::read::embedded(self, model, dimensions, each).await
    }

    /// Names this database: another one in its place has another name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn identity(&self) -> Result<String, CatalogError> {
        store::read::identity(self).await
    }

    /// Grows with every change that the index must follow, and with every one that leaves something
    /// to embed. Starts at the time of creation in Unix milliseconds, so that another database in
    /// the same place never answers with a number that this one had.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn revision(&self) -> Result<u64, CatalogError> {
        store::read::revision(self).await
    }

    /// How many products there are, and how many of them have an embedding of `model`. Goes through
    /// all products: for those who can wait.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn counts(&self, model: &ModelId) -> Result<Counts, CatalogError> {
        store::read::counts(self, model).await
    }

    /// Ends all connections; the write-ahead log is folded into the database by the last one.
    pub async fn close(&self) {
        self.inner.searches.close().await;
        self.inner.upkeep.close().await;
        self.inner.writer.close().await;
    }
}
