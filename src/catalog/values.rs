//! What the catalog gives: products, vectors, counts.

use crate::domain::{Attributes, Embedding, Product, ProductFields, ProductKey};

/// A product with what the catalog adds.
#[derive(Clone, Debug)]
pub struct StoredProduct {
    pub key: ProductKey,
    pub product: Product,
    /// Whether there is a picture that can be shown: one that was decoded at import.
    pub has_picture: bool,
    /// The revision in which the shop last changed it; 0: before there was a log of changes.
    pub version: u64,
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

/// A product with the embeddings that it has: of its photo, of its words, or none yet.
#[derive(Clone, Debug)]
pub struct Embedded {
    pub key: ProductKey,
    pub id: String,
    pub title: String,
    pub description: Option<String>,
    pub photo: Option<Embedding>,
    /// Of the title and the attributes that describe it (see [`caption`](crate::catalog::caption)).
    pub words: Option<Embedding>,
    pub attributes: Attributes,
    pub fields: ProductFields,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub products: u64,
    /// Products whose picture is embedded by the model asked for.
    pub embedded: u64,
    /// Products that have no picture, or one that cannot be read or embedded: found by their words
    /// alone.
    pub without_embedding: u64,
    /// Products whose picture or words still wait to be embedded: what
    /// [`embed_missing`](crate::catalog::ingest::embed_missing) would do.
    pub pending: u64,
}
