//! What an import reads: a feed of products in one of several formats, and the pictures that belong
//! to it.
//!
//! A reader makes rows of a format; [`describe`] makes products of rows, for all formats and for the
//! API alike. `docs/import.md` says what is taken from which column.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`read`] | a source, read row by row or at once |
//! | [`format`](mod@format) | formats, and which one a file is in |
//! | `json` | our own rows: JSON Lines, and arrays |
//! | `jsonld` | schema.org's products |
//! | `merchant`, `xml` | Google Merchant Center; the items of RSS and Atom |
//! | `shopify` | Shopify's CSV |
//! | `woocommerce` | WooCommerce's CSV |
//! | `plain`, [`mapping`] | any other table, and what a shop says of its columns |
//! | `kaggle`, [`brand`] | Kaggle's "Fashion Product Images", and brands out of product names |
//! | `sink` | where the readers put their rows |
//! | `describe` | a row -> a product |
//! | `facts` | what several formats say in the same ways |
//! | `row` | rows that were taken, and what was not |
//! | `table` | comma-separated values and their like |
//! | `objects` | the objects of a JSON file |
//! | `lines` | lines of files that may be damaged |
//! | `input` | the bytes of a feed |
//! | `pictures` | where the pictures of a source are |
//! | `properties` | what holds of the feeds of every format |

pub mod brand;
pub(in crate::catalog) mod describe;
mod facts;
pub mod format;
mod input;
mod json;
mod jsonld;
mod kaggle;
mod lines;
pub mod mapping;
mod merchant;
mod objects;
mod pictures;
mod plain;
#[cfg(test)]
mod properties;
pub mod read;
pub(in crate::catalog) mod row;
mod shopify;
mod sink;
mod table;
#[cfg(test)]
mod tests;
mod woocommerce;
mod xml;

pub use format::Format;
pub use mapping::Mapping;
pub use read::{Loaded, Source, attribute_of_column, load, load_bytes};
pub use row::{Ignored, IgnoredField, Lost, Reject, SourceError};
