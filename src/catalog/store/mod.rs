//! The database.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`database`] | [`Catalog`]: opened, brought up to date, closed |
//! | [`db`] | what SQLite and PostgreSQL do not have in common |
//! | [`sqlite`], [`postgres`] | connections to either, what its errors mean |
//! | [`schema`] | the files of `migrations/` |
//! | [`lock`] | who alone may do something |
//! | [`as_it_is`] | a database looked at beside whoever uses it |
//! | [`read`] | products, vectors, counts |
//! | [`mod@write`] | changes, by one writer at a time |
//! | [`edit`] | products changed one by one, each under its conditions |
//! | [`row`] | a row of `products`, compared and written |
//! | [`pictures`] | rows of `pictures`, compared and written |
//! | [`queue`] | what waits to be embedded, put into the queue |
//! | [`work`] | what waits, taken from it, and what became of it |
//! | [`api_keys`] | keys of the API |
//! | [`feeds`] | feeds that are fetched, and whose products are whose |
//! | [`serving`] | which model answers |
//! | [`mod@copy`] | all of a catalog, from one database to another |
//! | [`vectors`] | the vectors of indexes, in PostgreSQL |
//! | [`gc`] | what nobody needs any more is deleted |

mod api_keys;
pub(super) mod as_it_is;
mod copy;
mod database;
mod db;
mod edit;
pub(super) mod feeds;
mod gc;
mod lock;
pub(super) mod pictures;
mod postgres;
pub(super) mod queue;
mod read;
pub(super) mod row;
pub(super) mod schema;
mod serving;
mod sqlite;
mod vectors;
pub(super) mod work;
pub(super) mod write;

pub use as_it_is::{Inspected, inspect};
pub use copy::{CopyError, copy};
pub use database::{Catalog, Database};
pub use gc::Garbage;
pub(super) use sqlite::{FILE, RESTORING};
pub use vectors::{Difference, Expected, Pgvector, VectorPlace, VectorSet};
