//! The database.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`database`] | [`Catalog`]: opened, brought up to date, closed |
//! | [`read`] | products, vectors, counts |
//! | [`mod@write`] | changes, by one writer at a time |

mod database;
mod read;
pub(super) mod write;

pub use database::Catalog;
