//! Questions that shoppers would ask, made from a catalog: "navy blue tshirts", "kurtas for
//! women".
//!
//! A combination is asked when at least [`ENOUGH`] of the products among which the answers count
//! have it, so that a precision@10 of 1 is possible for every question. Where more combinations
//! qualify than are asked for, the seed draws.

use std::collections::BTreeMap;

use crate::domain::{AttributeName, AttributeValue, Product};
use crate::util::random::Random;

/// A combination with fewer products is not asked.
pub const ENOUGH: usize = 10;

/// A question in words with what its answers should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub text: String,
    pub form: Form,
    pub category: AttributeValue,
    /// The color, or the gender.
    pub other: AttributeValue,
    /// Products with both, and with the category.
    pub both: usize,
    pub of_category: usize,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// "color type"
    ColorType,
    /// "type for gender"
    TypeForGender,
}

impl Form {
    pub const ALL: [Self; 2] = [Self::ColorType, Self::TypeForGender];

    /// The attribute beside the category.
    #[must_use]
    pub fn attribute(self) -> &'static str {
        match self {
            Self::ColorType => "color",
            Self::TypeForGender => "gender",
        }
    }

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ColorType => "color type",
            Self::TypeForGender => "type for gender",
        }
    }
}

/// At most `per_form` questions of each form; `category` is the attribute that says what a product
/// is.
pub fn make<'a>(
    products: &(impl Iterator<Item = &'a Product> + Clone),
    category: &AttributeName,
    per_form: usize,
    seed: u64,
) -> Vec<Question> {
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    for value in products
        .clone()
        .filter_map(|p| p.attributes.get(category)?.first())
    {
        *types.entry(value.folded()).or_default() += 1;
    }
    let mut questions = Vec::new();
    for form in Form::ALL {
        let mut counts: BTreeMap<(String, String), (AttributeValue, AttributeValue, usize)> =
            BTreeMap::new();
        for product in products.clone() {
            let first = |name: &str| {
                product
                    .attributes
                    .iter()
                    .find(|(n, _)| n.as_str() == name)?
                    .1
                    .first()
            };
            if let (Some(c), Some(o)) = (first(category.as_str()), first(form.attribute())) {
                counts
                    .entry((c.folded(), o.folded()))
                    .or_insert_with(|| (c.clone(), o.clone(), 0))
                    .2 += 1;
            }
        }
        let all: Vec<Question> = counts
            .into_values()
            .filter(|(.., n)| *n >= ENOUGH)
            .map(|(category, other, both)| Question {
                text: words(form, &category, &other),
                form,
                of_category: types[&category.folded()],
                category,
                other,
                both,
            })
            .collect();
        let mut drawn = Random::new(seed).sample(&all, per_form);
        drawn.sort_by(|a, b| a.text.cmp(&b.text));
        questions.extend(drawn);
    }
    questions
}

fn words(form: Form, category: &AttributeValue, other: &AttributeValue) -> String {
    let (category, other) = (category.folded(), other.folded());
    match form {
        Form::ColorType => format!("{other} {category}"),
        Form::TypeForGender => format!("{category} for {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProductId;

    fn product(id: usize, color: &str, gender: &str) -> Product {
        let mut product =
            Product::new(ProductId::new(&id.to_string()).expect("id"), "x").expect("title");
        for (name, value) in [
            ("category", "Casual Shoes"),
            ("color", color),
            ("gender", gender),
        ] {
            let name = AttributeName::new(name).expect("name");
            product
                .attributes
                .insert(name, vec![AttributeValue::new(value).expect("value")]);
        }
        product
    }

    #[test]
    fn asks_for_what_ten_products_have() {
        let mut products: Vec<Product> = (0..10).map(|i| product(i, "Navy Blue", "Men")).collect();
        products.extend((10..19).map(|i| product(i, "Red", "Women")));
        let category = AttributeName::new("category").expect("name");
        let questions = make(&products.iter(), &category, 100, 1);
        let texts: Vec<&str> = questions.iter().map(|q| q.text.as_str()).collect();
        assert_eq!(texts, ["navy blue casual shoes", "casual shoes for men"]);
        assert_eq!((questions[0].both, questions[0].of_category), (10, 19));
        products.push(product(19, "red", "Women"));
        assert_eq!(
            make(&products.iter(), &category, 100, 1).len(),
            4,
            "Red and red are one color"
        );
        assert_eq!(make(&products.iter(), &category, 1, 1).len(), 2);
    }
}
