//! Vectors that are not in this process's memory: a server has them, and answers questions about them.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`port`] | what is asked of whoever has the vectors |
//! | `counts` | how many vectors each slot has: all that is kept here |
//! | `known` | what was asked for the queries of late |
//! | `index` | an index whose vectors are there |
//!
//! What is kept here is of one state of the catalog, as all of an index is. The vectors there may be of
//! a later one: a vector of a product that this index does not hold, or holds without a vector, is
//! passed over; a product whose vectors are gone there scores 0, as one without.

mod counts;
pub(in crate::index) mod index;
mod known;
pub mod port;
