//! The attribute that a run is to learn, such as the color of the laces, and its values in words.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::product::Product;
use super::sampler::Sampling;

/// The recipe's section `[attribute]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Its name in the data set.
    pub name: String,
    /// Texts for a value, which replaces `{}`. They name the value and nothing else: `loss.values`
    /// teaches one of them at a time for every labeled photo, and a category in it would be taught
    /// with it.
    pub prompts: Vec<String>,
    /// The value of products that do not have the thing (`none`), which has texts of its own.
    #[serde(default)]
    pub absent: Option<String>,
    #[serde(default)]
    pub absent_prompts: Vec<String>,
    /// How labeled products are chosen for a batch.
    #[serde(default)]
    pub sampling: Sampling,
}

impl Attribute {
    /// Everything that is wrong, one line each.
    pub(in crate::train) fn problems(&self) -> Vec<String> {
        let checks = [
            (
                !self.prompts.is_empty(),
                "attribute.prompts: at least one is needed",
            ),
            (
                self.prompts.iter().all(|p| p.matches("{}").count() == 1),
                "attribute.prompts hold {} once each",
            ),
            (
                self.absent.is_some() != self.absent_prompts.is_empty(),
                "attribute.absent and attribute.absent_prompts come together",
            ),
        ];
        let wrong = checks
            .into_iter()
            .filter(|(right, _)| !right)
            .map(|(_, rule)| rule.to_owned());
        wrong.chain(self.sampling.problems()).collect()
    }

    pub(in crate::train) fn texts(&self, value: &str) -> Vec<String> {
        if self.absent.as_deref() == Some(value) {
            return self.absent_prompts.clone();
        }
        self.prompts
            .iter()
            .map(|prompt| prompt.replace("{}", value))
            .collect()
    }
}

/// An attribute and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    pub attribute: Attribute,
    pub values: Vec<String>,
}

impl Classes {
    /// A value's number.
    #[must_use]
    pub fn of(&self, value: &str) -> Option<usize> {
        self.values.iter().position(|known| known == value)
    }

    /// The number of the value of products that do not have the thing.
    pub(in crate::train) fn absent(&self) -> Option<usize> {
        self.attribute
            .absent
            .as_deref()
            .and_then(|absent| self.of(absent))
    }

    /// How many ways there are to put the values into words.
    pub(in crate::train) fn wordings(&self) -> usize {
        self.attribute.prompts.len()
    }

    /// Each value in the words of its prompt of this number; where absence has fewer, they come
    /// around again.
    pub(in crate::train) fn worded(&self, number: usize) -> Vec<String> {
        let texts = self.values.iter().map(|value| self.attribute.texts(value));
        texts
            .map(|mut texts| texts.swap_remove(number % texts.len()))
            .collect()
    }
}

/// The values that the products have, in order.
#[must_use]
pub fn values(products: &[Product]) -> Vec<String> {
    let distinct: BTreeSet<&String> = products.iter().filter_map(|p| p.label.as_ref()).collect();
    distinct.into_iter().cloned().collect()
}

#[cfg(test)]
impl Attribute {
    /// The color of laces, in one prompt.
    pub(in crate::train) fn laces() -> Self {
        Self {
            name: "shoelace_color".into(),
            prompts: vec!["{} shoelaces".into()],
            absent: Some("none".into()),
            absent_prompts: vec!["no shoelaces".into()],
            sampling: Sampling::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_is_checked() {
        assert!(Attribute::laces().problems().is_empty());
        let wrong = Attribute {
            prompts: vec!["shoelaces".into()],
            absent_prompts: Vec::new(),
            ..Attribute::laces()
        };
        assert_eq!(wrong.problems().len(), 2);
    }
}
