//! What a shopper asks for.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::error::QueryError;
use super::filter::{Filters, Range};
use super::product::{AttributeName, ProductId};
use super::text::clean;

/// A whole question: what the products are compared with, which of them may answer, and which part
/// of the ranking is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub ask: Ask,
    pub filters: Filters,
    /// Products that are left out; ids that the catalog does not have are passed over.
    pub exclude: Vec<ProductId>,
    pub window: Window,
    pub order: Order,
    /// Attributes whose values are counted over the products that are meant.
    pub facets: Facets,
    /// How words are read and ranked; photos and products are ranked by their vectors.
    pub words: WordSearch,
    /// Each hit is to say why it is where it is.
    pub explain: bool,
}

/// In which order products come, and which of them share a place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Order {
    /// The first that tells two products apart decides; after the last, the ranking does. None: the
    /// ranking alone.
    pub keys: Vec<SortKey>,
    /// Of the products with the same value of this attribute only the first is shown.
    pub group_by: Option<AttributeName>,
    /// How much products that are like those before them are put off: 0 (not at all) to 1.
    pub diversify: f32,
}

/// What products are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    pub by: SortBy,
    pub descending: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// The ranking, the best first in any case.
    Relevance,
    /// An attribute, or one of [`FIELDS`](super::typed::FIELDS). Products without it come last.
    Attribute(AttributeName),
}

impl Order {
    /// Keys that one query may be sorted by.
    pub const MOST_KEYS: usize = 5;

    /// Whether the ranking alone decides.
    #[must_use]
    pub fn is_ranking(&self) -> bool {
        self.keys
            .first()
            .is_none_or(|key| key.by == SortBy::Relevance)
    }

    /// The attributes that products are sorted by.
    pub fn names(&self) -> impl Iterator<Item = &AttributeName> {
        self.keys.iter().filter_map(|key| match &key.by {
            SortBy::Attribute(name) => Some(name),
            SortBy::Relevance => None,
        })
    }
}

/// How a question in words is read and ranked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WordSearch {
    pub mode: Mode,
    /// Words that the catalog does not hold are corrected to those that it holds.
    pub typo: bool,
    /// The last word may be unfinished.
    pub prefix: bool,
    /// Only the products that are meant; else all are ranked.
    pub relevant_only: bool,
    /// The share of the words in a score, 0 to 1; `None`: as the ranking has it.
    pub weight: Option<f32>,
}

impl Default for WordSearch {
    fn default() -> Self {
        Self {
            mode: Mode::Hybrid,
            typo: true,
            prefix: false,
            relevant_only: true,
            weight: None,
        }
    }
}

/// What ranks the products of a question in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Words and vectors together.
    #[default]
    Hybrid,
    /// The words that products hold.
    Lexical,
    /// Vectors alone: every product that matches the filters, the nearest first.
    Vector,
}

/// Attributes whose values are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    pub names: Vec<AttributeName>,
    /// Values of each, the most frequent first.
    pub values: usize,
    /// Of these attributes only values with a word that begins so are listed.
    pub beginnings: BTreeMap<AttributeName, String>,
    /// Ranges of these attributes that are counted.
    pub ranges: BTreeMap<AttributeName, Vec<Range>>,
}

impl Facets {
    /// Has an attribute counted, once.
    pub fn add(&mut self, name: AttributeName) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// Attributes that a query may have counted.
    pub const MOST: usize = 20;
    /// Values of each attribute, when the query does not say.
    pub const VALUES: usize = 20;
    /// Most values of each attribute.
    pub const MOST_VALUES: usize = 1_000;
    /// Ranges that a query may have counted.
    pub const MOST_RANGES: usize = 100;
}

/// What the products are compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Nothing: every product that matches the filters, in the catalog's order.
    All,
    Words(QueryText),
    /// The bytes of an image file.
    Photo(Bytes),
    /// A product of the catalog, which is left out of the answer.
    Like(ProductId),
}

/// The names that a request uses for the parts of a [`Query`], so that no attribute can be called
/// so in one. Checked where attributes come in (imports, requests), not in [`AttributeName`]: a new
/// name here must not make an old database unreadable.
pub const PARAMETERS: [&str; 21] = [
    "q",
    "limit",
    "offset",
    "exclude",
    "filter",
    "filters",
    "sort",
    "group_by",
    "diversify",
    "similar",
    "image",
    "mode",
    "typo",
    "prefix",
    "cut",
    "facets",
    "facet_limit",
    "facet_query",
    "facet_ranges",
    "words_weight",
    "explain",
];

/// Whether a request uses this name for a part of a [`Query`].
#[must_use]
pub fn is_parameter(name: &str) -> bool {
    PARAMETERS.contains(&name)
}

/// A question in words: 1 to 512 characters, trimmed, white space collapsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryText(String);

/// Products that a search may leave out by their ids.
pub const MOST_EXCLUDED: usize = 100;

/// Which part of the ranking is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    limit: usize,
    offset: usize,
}

impl QueryText {
    pub const MAX_CHARACTERS: usize = 512;

    /// # Errors
    /// When nothing but white space and control characters is left, or more than
    /// [`Self::MAX_CHARACTERS`].
    pub fn new(text: &str) -> Result<Self, QueryError> {
        let text = clean(&text.replace(char::is_control, " "));
        let got = text.chars().count();
        match got {
            0 => Err(QueryError::EmptyText),
            1..=Self::MAX_CHARACTERS => Ok(Self(text)),
            _ => Err(QueryError::TextTooLong {
                got,
                max: Self::MAX_CHARACTERS,
            }),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Window {
    pub const MAX_LIMIT: usize = 250;
    pub const MAX_OFFSET: usize = 10_000;

    /// A limit of 0 asks for the total and the facets alone.
    ///
    /// # Errors
    /// When `limit` is above [`Self::MAX_LIMIT`], or `offset` above [`Self::MAX_OFFSET`].
    pub fn new(limit: usize, offset: usize) -> Result<Self, QueryError> {
        if limit > Self::MAX_LIMIT {
            return Err(QueryError::Limit {
                got: limit,
                max: Self::MAX_LIMIT,
            });
        }
        if offset > Self::MAX_OFFSET {
            return Err(QueryError::Offset {
                got: offset,
                max: Self::MAX_OFFSET,
            });
        }
        Ok(Self { limit, offset })
    }

    #[must_use]
    pub fn limit(self) -> usize {
        self.limit
    }

    #[must_use]
    pub fn offset(self) -> usize {
        self.offset
    }

    /// How many best products must be known to answer.
    #[must_use]
    pub fn depth(self) -> usize {
        self.limit + self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_trimmed_and_bounded() {
        assert_eq!(
            QueryText::new("  black \n shoes ").expect("valid").as_str(),
            "black shoes"
        );
        assert_eq!(QueryText::new(" \t "), Err(QueryError::EmptyText));
        assert!(QueryText::new(&"x".repeat(512)).is_ok());
        assert_eq!(
            QueryText::new(&"x".repeat(513)),
            Err(QueryError::TextTooLong { got: 513, max: 512 })
        );
    }

    #[test]
    fn windows_are_bounded() {
        assert_eq!(Window::new(250, 10_000).expect("largest").depth(), 10_250);
        assert_eq!(Window::new(0, 0).expect("totals alone").depth(), 0);
        assert_eq!(
            Window::new(251, 0),
            Err(QueryError::Limit { got: 251, max: 250 })
        );
        assert_eq!(
            Window::new(10, 10_001),
            Err(QueryError::Offset {
                got: 10_001,
                max: 10_000
            })
        );
    }
}
