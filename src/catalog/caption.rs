//! The caption: the words that the text tower reads for a product.

use std::fmt::Write;

use crate::domain::{AttributeName, AttributeValue, Product, ProductId};
use crate::util::digest::sha256_hex;

/// One sentence in the form that shoppers ask and models are trained on: `{title}, {color}
/// {category} with {shoelace_color} shoelaces for {gender}`, each part only where the product has
/// it, attributes in lower case. For several values of an attribute, the first speaks.
///
/// Left out on purpose: usage, season and section, which say little that the category does not, and
/// the description, which is longer than the text tower reads. `none` is not a color of laces.
#[must_use]
pub fn caption(product: &Product) -> String {
    let value = |name: &str| product.attribute(name).map(str::to_lowercase);
    let mut caption = product.title.clone();
    let kind: Vec<String> = ["color", "category"]
        .into_iter()
        .filter_map(value)
        .collect();
    if !kind.is_empty() {
        let _ = write!(caption, ", {}", kind.join(" "));
    }
    if let Some(laces) = value("shoelace_color").filter(|l| l != "none") {
        let _ = write!(caption, " with {laces} shoelaces");
    }
    if let Some(gender) = value("gender") {
        let _ = write!(caption, " for {gender}");
    }
    caption
}

/// Another value, and captions are made in another way: every stored one has to be made anew.
#[must_use]
pub fn template_digest() -> String {
    let parts = ["category", "color", "gender", "shoelace_color"];
    let product = |choice: u32, value: &str| {
        let mut product = Product::new(ProductId::new("1").ok()?, "Title").ok()?;
        for (at, part) in parts.into_iter().enumerate() {
            if choice & (1 << at) != 0 {
                let values = vec![
                    AttributeValue::new(value).ok()?,
                    AttributeValue::new("Other").ok()?,
                ];
                product
                    .attributes
                    .insert(AttributeName::new(part).ok()?, values);
            }
        }
        Some(caption(&product))
    };
    // Every choice of parts, since the template leaves out what a product does not have.
    let captions = (0..1_u32 << parts.len())
        .flat_map(|choice| ["Red", "none"].map(|value| product(choice, value)))
        .flatten();
    sha256_hex(captions.collect::<Vec<_>>().join("\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shoe(attributes: &[(&str, &str)]) -> Product {
        let mut product =
            Product::new(ProductId::new("1").expect("id"), "Puma Urban Low").expect("title");
        for (name, value) in attributes {
            let name = AttributeName::new(name).expect("name");
            product
                .attributes
                .entry(name)
                .or_default()
                .push(AttributeValue::new(value).expect("value"));
        }
        product
    }

    #[test]
    fn says_what_is_known_and_no_more() {
        let all = [
            ("category", "Casual Shoes"),
            ("color", "Black"),
            ("gender", "Men"),
            ("shoelace_color", "White"),
        ];
        assert_eq!(
            caption(&shoe(&all)),
            "Puma Urban Low, black casual shoes with white shoelaces for men"
        );
        assert_eq!(
            caption(&shoe(&all[..3])),
            "Puma Urban Low, black casual shoes for men"
        );
        assert_eq!(
            caption(&shoe(&[("category", "Heels"), ("shoelace_color", "none")])),
            "Puma Urban Low, heels"
        );
        assert_eq!(
            caption(&shoe(&[("usage", "Party"), ("season", "Summer")])),
            "Puma Urban Low"
        );
        assert_eq!(
            caption(&shoe(&[("color", "Red"), ("color", "Blue")])),
            "Puma Urban Low, red"
        );
    }
}
