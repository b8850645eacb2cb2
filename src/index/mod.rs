//! Embedding -> ranked products.
//!
//! A [`Searcher`] is never changed: another one is built beside it and put in its place (by
//! [`service`](crate::service)). A search sees one from its first step to its last, so that its hits
//! and its total belong together.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`rank`] | **the ranking**: what represents a product, and which of two comes first |
//! | [`searcher`] | one index: filter, walk or scan, ranking |
//! | `words` | a search in words: which products are meant, and their order |
//! | [`lexical`] | what a query in words asks for, and which products match it |
//! | `ranking` | what ranks the candidates of a search: their vectors, a vote, words |
//! | `order` | other orders: sorts, groups, diversity |
//! | [`columns`] | what products are filtered, counted and sorted by |
//! | `facets` | how many of the products found carry which value |
//! | `explain` | why a product is where it is |
//! | [`plan`] | which products may answer, and whether they are scanned or walked to |
//! | [`vectors`] | the vectors of the products, several of each, and exact scores |
//! | [`graph`] | the graph over the vectors (usearch) |
//! | [`distant`] | vectors that a server has |
//! | `place` | vectors of either place, asked alike |
//! | `inner` | what an index holds |
//! | `disk` | the index on disk |
//! | `values` | products, hits, versions, errors |
//! | `verify` | whether an index holds what a catalog says |
//!
//! # What it promises
//!
//! - Filters are exact: no product that does not match, and never fewer than `min(limit, matching -
//!   offset)`.
//! - Scores are the cosine between the query and the nearest of the product's stored (bf16) vectors,
//!   the same whichever way the product was found; a hit says which picture that vector is of. For a photo ([`Searcher::search_photo`]) what [`rank::lean`] makes of
//!   it.
//! - Of one index, pages cut at any offsets join without a product twice and without one left
//!   out.
//! - Where the matching products are few ([`plan::plan`]) the ranking is exact. Elsewhere the
//!   first [`graph::BREADTH`] ranks are approximate: see the recall in docs/benchmarks.md.
//!
//! # What it costs
//!
//! Everything here is CPU work; nothing waits for I/O but `save` and `restore`, and the searches of an
//! index whose vectors a server has ([`distant`]). A search takes from
//! some tens of microseconds to some milliseconds (docs/benchmarks.md) and should run off the async
//! threads. It has no limit of its own: whoever calls it bounds how many run at once.
//!
//! It refuses a query of another size than the index ([`SearchError::Dimensions`]). It does not
//! know texts, photos or product names: only vectors, keys and attributes.

pub mod columns;
mod disk;
pub mod distant;
mod explain;
mod facets;
pub mod graph;
mod inner;
pub mod lexical;
mod order;
mod place;
pub mod plan;
pub mod rank;
mod ranking;
pub mod searcher;
mod values;
pub mod vectors;
mod verify;
mod words;

pub use columns::Facet;
pub use facets::FacetCounts;
pub use place::Merged;
pub use searcher::{Builder, Searcher};
pub use values::{
    Entry, Explanation, GraphLag, Group, Hit, Hits, IndexVersion, PartMatch, Saved, SearchError,
    Selection, Update, Upkeep,
};
pub use vectors::Vector;
pub use verify::{Comparison, Difference};
pub use words::Joining;
