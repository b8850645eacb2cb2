//! Words: what a query in words asks for, and which products match it how strongly.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`text`] | text -> words: folded, joined, stemmed |
//! | [`lexicon`] | which products hold which word; every word of the catalog |
//! | [`values`] | the words of attributes' values |
//! | [`synonyms`] | other words for the same thing |
//! | [`spelling`] | slips of the pen |
//! | [`ask`] | query -> parts, each with the products that match |
//! | [`matches`](mod@matches) | which products match a phrase, and how strongly |
//! | [`strengths`] | sets of products by how strongly they match |
//! | `stored` | a lexicon as bytes |
//!
//! How much a match counts is not decided here but in [`rank`](super::rank).
//!
//! # Why no search engine is underneath
//!
//! A search engine such as tantivy keeps, for each word, how often it comes in which document, and
//! ranks by that (BM25). In a shop's titles a word comes once, and what matters is *where* it matches:
//! "red" as the value of `color` and not in a name, "red laces" as the value of `shoelace_color`. Sets
//! of products answer that, they join with filters as they are, and one changed product changes a
//! few of them. BM25 answers 0.80 of what shoppers type over the real catalog, 0.88 with corrected
//! words, and this 0.99 (docs/benchmarks.md).

pub mod ask;
pub mod lexicon;
pub mod matches;
pub mod spelling;
pub(super) mod stored;
pub mod strengths;
pub mod synonyms;
pub mod text;
pub mod values;

pub use ask::{Asked, Part};
pub use lexicon::{Lexicon, LexiconBuilder, ProductText};
pub use matches::{Reader, Reading};
pub use strengths::Strengths;
pub use synonyms::{Synonyms, SynonymsError};
pub use text::{Language, Stems, UnknownLanguage};
pub use values::ValueWords;
