//! What an import reads: a file of products in one of two formats, and the pictures that belong to
//! it.

//!
//! | file | what it holds |
//! | --- | --- |
//! | [`read`] | a source, read row by row or at once |
//! | `kaggle` | Kaggle's "Fashion Product Images" |
//! | `jsonl` | JSON Lines |
//! | [`brand`] | brands out of product names |
//! | `row` | rows that were taken, and what was not |
//! | `lines` | lines of files that may be damaged |
//! | `pictures` | where the pictures of a source are |

pub mod brand;
pub(in crate::catalog) mod jsonl;
mod kaggle;
mod lines;
mod pictures;
pub mod read;
pub(in crate::catalog) mod row;

pub use read::{Loaded, Source, attribute_of_column, load};
pub use row::{Ignored, Lost, Reject, SourceError};
