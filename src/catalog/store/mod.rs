//! The database.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`database`] | [`Catalog`]: opened, brought up to date, closed |
//! | [`as_it_is`] | a database looked at beside whoever uses it |
//! | [`read`] | products, vectors, counts |
//! | [`mod@write`] | changes, by one writer at a time |
//! | [`edit`] | products changed one by one, each under its conditions |
//! | [`row`] | a row of `products`, compared and written |
//! | [`pictures`] | rows of `pictures`, compared and written |
//! | [`queue`] | what waits to be embedded, put into the queue |
//! | [`work`] | what waits, taken from it, and what became of it |
//! | [`api_keys`] | keys of the API |
//! | [`serving`] | which model answers |
//! | [`gc`] | what nobody needs any more is deleted |

mod api_keys;
pub(super) mod as_it_is;
mod database;
mod edit;
mod gc;
pub(super) mod pictures;
pub(super) mod queue;
mod read;
pub(super) mod row;
mod serving;
pub(super) mod work;
pub(super) mod write;

pub use as_it_is::{Inspected, inspect};
pub use database::Catalog;
pub(super) use database::{FILE, RESTORING};
pub use gc::Garbage;
