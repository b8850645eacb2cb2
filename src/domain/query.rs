//! What a shopper asks for.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::product::{AttributeName, AttributeValue, Attributes, ProductId};

/// A whole question: what the products are compared with, which of them may answer, and which part
/// of the ranking is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub ask: Ask,
    pub filters: Filters,
    /// Products that are left out; ids that the catalog does not have are passed over.
    pub exclude: Vec<ProductId>,
    pub window: Window,
    /// Attributes whose values are counted over the products that are meant.
    pub facets: Facets,
    /// How words are read and ranked; photos and products are ranked by their vectors.
    pub words: WordSearch,
}

/// How a question in words is read and ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordSearch {
    pub mode: Mode,
    /// Words that the catalog does not hold are corrected to those that it holds.
    pub typo: bool,
    /// The last word may be unfinished.
    pub prefix: bool,
    /// Only the products that are meant; else all are ranked.
    pub relevant_only: bool,
}

impl Default for WordSearch {
    fn default() -> Self {
        Self {
            mode: Mode::Hybrid,
            typo: true,
            prefix: false,
            relevant_only: true,
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
}

impl Facets {
    /// Attributes that a query may have counted.
    pub const MOST: usize = 20;
    /// Values of each attribute, when the query does not say.
    pub const VALUES: usize = 20;
    /// Most values of each attribute.
    pub const MOST_VALUES: usize = 1_000;
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
pub const PARAMETERS: [&str; 13] = [
    "q",
    "limit",
    "offset",
    "exclude",
    "filters",
    "similar",
    "image",
    "mode",
    "typo",
    "prefix",
    "cut",
    "facets",
    "facet_limit",
];

/// Whether a request uses this name for a part of a [`Query`].
#[must_use]
pub fn is_parameter(name: &str) -> bool {
    PARAMETERS.contains(&name)
}

/// A question in words: 1 to 512 characters, trimmed, white space collapsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryText(String);

/// Which products may answer: for every attribute named, one of its values must be the product's.
/// No attribute named: every product may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<AttributeName, BTreeSet<String>>);

/// Products that a search may leave out by their ids.
pub const MOST_EXCLUDED: usize = 100;

/// Which part of the ranking is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    limit: usize,
    offset: usize,
}

/// Why a request is not a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("the query is empty")]
    EmptyText,
    #[error("the query has {got} characters, at most {max} are allowed")]
    TextTooLong { got: usize, max: usize },
    #[error("limit is {got}, it must be from 0 to {max}")]
    Limit { got: usize, max: usize },
    #[error("offset is {got}, it must be from 0 to {max}")]
    Offset { got: usize, max: usize },
    #[error("there are {got} filter values, at most {max} are allowed")]
    TooManyFilters { got: usize, max: usize },
}

impl QueryText {
    pub const MAX_CHARACTERS: usize = 512;

    /// # Errors
    /// When nothing but white space and control characters is left, or more than
    /// [`Self::MAX_CHARACTERS`].
    pub fn new(text: &str) -> Result<Self, QueryError> {
        let words = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|w| !w.is_empty());
        let text = words.collect::<Vec<_>>().join(" ");
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

impl Filters {
    pub const MAX_VALUES: usize = 256;

    /// # Errors
    /// When there are more than [`Self::MAX_VALUES`] values in all.
    pub fn new(
        values: impl IntoIterator<Item = (AttributeName, AttributeValue)>,
    ) -> Result<Self, QueryError> {
        let mut filters: BTreeMap<AttributeName, BTreeSet<String>> = BTreeMap::new();
        for (name, value) in values {
            filters.entry(name).or_default().insert(value.folded());
        }
        let got = filters.values().map(BTreeSet::len).sum();
        if got > Self::MAX_VALUES {
            return Err(QueryError::TooManyFilters {
                got,
                max: Self::MAX_VALUES,
            });
        }
        Ok(Self(filters))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These, but for those by one attribute.
    #[must_use]
    pub fn without(&self, name: &AttributeName) -> Self {
        let mut others = self.0.clone();
        others.remove(name);
        Self(others)
    }

    /// Each attribute with its folded values (see [`AttributeValue::folded`]).
    pub fn iter(&self) -> impl Iterator<Item = (&AttributeName, &BTreeSet<String>)> {
        self.0.iter()
    }

    /// The definition that the bitmaps are tested against.
    #[must_use]
    pub fn matches(&self, attributes: &Attributes) -> bool {
        self.0.iter().all(|(name, wanted)| {
            attributes
                .get(name)
                .is_some_and(|values| values.iter().any(|v| wanted.contains(&v.folded())))
        })
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

    fn pair(name: &str, value: &str) -> (AttributeName, AttributeValue) {
        (
            AttributeName::new(name).expect("name"),
            AttributeValue::new(value).expect("value"),
        )
    }

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
    fn values_of_one_attribute_are_alternatives_and_attributes_add_up() {
        let filters = Filters::new([
            pair("color", "black"),
            pair("color", "White"),
            pair("gender", "Men"),
        ])
        .expect("few");
        let product = |values: &[(&str, &str)]| -> Attributes {
            values
                .iter()
                .map(|(n, v)| pair(n, v))
                .map(|(n, v)| (n, vec![v]))
                .collect()
        };
        assert!(filters.matches(&product(&[("color", "Black"), ("gender", "men")])));
        assert!(filters.matches(&product(&[("color", "white"), ("gender", "Men")])));
        assert!(!filters.matches(&product(&[("color", "Red"), ("gender", "Men")])));
        assert!(!filters.matches(&product(&[("color", "Black")])));
        assert!(Filters::default().matches(&product(&[])));
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
