//! Pure values of the trade: what a product, a query and an embedding are. No I/O, nothing of the
//! other rooms.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`product`] | products, attributes, their names and values |
//! | [`serving`] | which model answers |
//! | [`query`] | what a shopper asks for |
//! | [`error`] | why a request is not a query |
//! | [`filter`] | which products may answer |
//! | [`typed`] | values that are numbers, booleans or dates |
//! | [`money`] | prices as shops write them |
//! | [`text`] | text cleaned: what looks the same is the same |
//! | [`embedding`] | vectors, and which model made them |
//! | [`access`] | keys: who may ask what |
//! | [`mod@write`] | changes of products, and what became of them |
//!
//! A value that exists is valid: the constructors parse, and the rest of the program never checks
//! again.

pub mod access;
pub mod embedding;
pub mod error;
pub mod filter;
pub mod money;
pub mod product;
pub mod query;
pub mod serving;
pub mod text;
pub mod typed;
pub mod write;

pub use access::{ApiKey, ApiKeyRecord, KeyFault, NewApiKey, NewKeyFault, Rate, Scope, is_origin};
pub use embedding::{Embedding, EmbeddingError, ModelId};
pub use error::QueryError;
pub use filter::{Condition, Filters, Interval, Range, Test};
pub use money::Money;
pub use product::{
    AttributeName, AttributeValue, Attributes, KnownAttributes, MOST_PICTURES, Product,
    ProductError, ProductFields, ProductId, ProductKey, check_currency,
};
pub use query::{
    Ask, Facets, MOST_EXCLUDED, Mode, Order, PARAMETERS, Query, QueryText, SortBy, SortKey, Window,
    WordSearch, is_parameter,
};
pub use serving::{Served, Serving, Wanted};
pub use typed::{FIELDS, Tally, Types, ValueType, is_field};
pub use write::{
    Conditions, FieldFault, Refused, Versions, Write, WriteOp, WriteResult, WriteStatus, Written,
};

/// A text on one line, with one space between its words and none around them.
#[must_use]
pub fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
