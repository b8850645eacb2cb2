//! The database.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`database`] | [`Catalog`]: opened, brought up to date, closed |
//! | [`read`] | products, vectors, counts |
//! | [`mod@write`] | changes, by one writer at a time |
//! | [`edit`] | products changed one by one, each under its conditions |
//! | [`row`] | a row of `products`, compared and written |
//! | [`gc`] | what nobody needs any more is deleted |

mod database;
mod edit;
mod gc;
mod read;
pub(super) mod row;
pub(super) mod write;

pub use database::Catalog;
pub use gc::Garbage;
