//! What the catalog gives: products, vectors, counts.

use serde::{Deserialize, Serialize};

use crate::domain::{Attributes, Embedding, Product, ProductFields, ProductKey};

/// A product with what the catalog adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredProduct {
    pub key: ProductKey,
    pub product: Product,
    /// In their order.
    pub pictures: Vec<StoredPicture>,
    /// The revision in which the shop last changed it; 0: before there was a log of changes.
    pub version: u64,
}

/// A picture of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPicture {
    pub number: u8,
    /// Where it is on the web; `None`: the catalog has it.
    pub address: Option<String>,
    /// Whether it can be shown: it was decoded.
    pub shown: bool,
    /// Its name where the catalog keeps pictures, once it was read from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// Where clients get it past the service: see [`Catalog::link`](crate::catalog::Catalog::link).
    #[serde(skip)]
    pub link: Option<String>,
}

/// A feed that is fetched from a web address, as it was last taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedState {
    pub address: String,
    /// Products that it had.
    pub products: u64,
    /// When it was last taken, or found to be the same, in Unix seconds.
    pub taken: Option<i64>,
    /// Why the last try failed.
    pub error: Option<String>,
}

/// How far a product is embedded by a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductProgress {
    pub words: PartProgress,
    /// Of each picture, in their order, with its number.
    pub pictures: Vec<(u8, PartProgress)>,
}

/// How far the words or a picture of a product are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartProgress {
    pub embedded: bool,
    /// Its turn is still to come.
    pub waits: bool,
    /// Why it is not embedded, or could not be read the last time.
    pub failed: Option<String>,
    /// How often it failed, and when it is tried again (Unix seconds).
    pub attempts: u32,
    pub again_at: Option<i64>,
}

/// How much waits to be embedded: words and pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// For their first try.
    pub waiting: u64,
    /// For another try.
    pub retrying: u64,
    /// Of both, those whose turn has come.
    pub due: u64,
}

/// What [`Catalog::embedded`](crate::catalog::Catalog::embedded) gave, beside the products.
#[derive(Clone, Copy, Debug)]
pub struct AllEmbedded {
    /// That the products are the state of.
    pub revision: u64,
    pub counts: Counts,
}

/// What became of a product since a revision.
#[derive(Clone, Debug)]
pub enum Changed {
    /// It is this now.
    Is(Box<Embedded>),
    /// It was removed.
    Gone(ProductKey),
}

/// A product with the embeddings that it has: of its pictures, of its words, or none yet.
#[derive(Clone, Debug)]
pub struct Embedded {
    pub key: ProductKey,
    pub id: String,
    pub title: String,
    pub description: Option<String>,
    /// Each with its number, in their order.
    pub photos: Vec<(u8, Embedding)>,
    /// Of the title and the attributes that describe it (see [`caption`](crate::catalog::caption)).
    pub words: Option<Embedding>,
    pub attributes: Attributes,
    pub fields: ProductFields,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub products: u64,
    /// Products of which a picture is embedded by the model asked for.
    pub embedded: u64,
    /// Products that have no picture, or none that can be read and embedded: found by their words
    /// alone.
    pub without_embedding: u64,
    /// Products of which a picture or the words still wait to be embedded: what
    /// [`embed_missing`](crate::catalog::ingest::embed_missing) would do.
    pub pending: u64,
}

impl Counts {
    /// Whether nearly all is embedded: of a catalog that is written all the time some always waits, and
    /// its products are found by their words meanwhile.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.pending.saturating_mul(100) <= self.products
    }
}
