//! How many of the answering products are what was asked for.

use std::collections::HashMap;

use crate::domain::{AttributeValue, Product};
use crate::evaluate::data::questions::ENOUGH;

/// Counted over the answering products.
pub struct AnswerCounts {
    /// (attribute, folded value) -> products.
    counts: HashMap<(String, String), (AttributeValue, usize)>,
    /// Lower-case title -> products.
    titles: HashMap<String, usize>,
    pairs: HashMap<(String, String, String), usize>,
}

impl AnswerCounts {
    pub fn of<'a>(products: impl Iterator<Item = &'a Product>) -> Self {
        let mut counts = Self {
            counts: HashMap::new(),
            titles: HashMap::new(),
            pairs: HashMap::new(),
        };
        for product in products {
            *counts
                .titles
                .entry(product.title.to_lowercase())
                .or_default() += 1;
            let category = product.attribute("category").map(str::to_lowercase);
            for (name, values) in &product.attributes {
                for value in values {
                    let key = (name.to_string(), value.folded());
                    counts
                        .counts
                        .entry(key)
                        .or_insert_with(|| (value.clone(), 0))
                        .1 += 1;
                    if let Some(category) = &category {
                        *counts
                            .pairs
                            .entry((category.clone(), name.to_string(), value.folded()))
                            .or_default() += 1;
                    }
                }
            }
        }
        counts
    }

    pub fn with(&self, attribute: &str, value: &AttributeValue) -> usize {
        self.counts
            .get(&(attribute.to_owned(), value.folded()))
            .map_or(0, |(_, n)| *n)
    }

    pub fn with_both(
        &self,
        category: &AttributeValue,
        attribute: &str,
        value: &AttributeValue,
    ) -> usize {
        self.pairs
            .get(&(category.folded(), attribute.to_owned(), value.folded()))
            .copied()
            .unwrap_or(0)
    }

    /// Of a title, letter case aside.
    pub fn titled(&self, title: &str) -> usize {
        self.titles.get(&title.to_lowercase()).copied().unwrap_or(0)
    }

    /// Values of an attribute that enough products have.
    pub fn often(&self, attribute: &str) -> Vec<AttributeValue> {
        let mut often: Vec<_> = self
            .counts
            .iter()
            .filter(|((name, _), (_, n))| name == attribute && *n >= ENOUGH)
            .map(|((_, folded), (value, _))| (folded, value.clone()))
            .collect();
        often.sort();
        often.into_iter().map(|(_, value)| value).collect()
    }
}
