//! The vectors of products in PostgreSQL, by pgvector, for those who do not hold them in memory.
//!
//! A *set* is what one model and one share of the words make of the catalog: a table of its own, with an
//! HNSW index, and a row in `vector_sets` that says of which revision of the catalog it is. It is made
//! of the embeddings and can be thrown away at any time, as a saved index can: none of it is part of the
//! schema of `migrations/`.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`server`] | connections for these statements, and what is known of each set |
//! | [`set`] | [`VectorSet`]: the set of a model; the extension and the tables |
//! | [`follow`] | the set becomes what the catalog says: filled, then change by change |
//! | [`ask`] | the nearest vectors, cosines, vectors |
//! | [`compare`] | whether the set is what the catalog says |
//! | [`wire`] | vectors as the server reads and writes them |

mod ask;
mod compare;
mod follow;
pub(super) mod server;
mod set;
mod wire;

pub use compare::{Difference, Expected};
pub use set::{Pgvector, VectorPlace, VectorSet};
