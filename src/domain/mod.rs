//! Pure values of the trade: what a product, a query and an embedding are. No I/O, nothing of the
//! other rooms.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`product`] | products, attributes, their names and values |
//! | [`query`] | what a shopper asks for |
//! | [`embedding`] | vectors, and which model made them |
//!
//! A value that exists is valid: the constructors parse, and the rest of the program never checks
//! again.

pub mod embedding;
pub mod product;
pub mod query;

pub use embedding::{Embedding, EmbeddingError, ModelId};
pub use product::{
    AttributeName, AttributeValue, Attributes, KnownAttributes, Product, ProductError, ProductId,
    ProductKey,
};
pub use query::{
    Ask, Facets, Filters, MOST_EXCLUDED, Mode, PARAMETERS, Query, QueryError, QueryText, Window,
    WordSearch, is_parameter,
};

/// A text on one line, with one space between its words and none around them.
#[must_use]
pub fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
