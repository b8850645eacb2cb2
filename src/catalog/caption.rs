//! The caption: the words that the text tower reads for a product.

use crate::domain::{AttributeName, AttributeValue, Product, ProductId};
use crate::util::digest::sha256_hex;

/// The words of a product, in two arrangements: which one a model reads depends on how much it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    /// One sentence in the form that shoppers ask and models are trained on: `{title}, {color}
    /// {category} with {shoelace_color} shoelaces for {gender}`, each part only where the product has
    /// it, attributes in lower case. For several values of an attribute, the first speaks.
    ///
    /// Left out on purpose: usage, season and section, which say little that the category does not, and
    /// the description, which is longer than the text tower reads. `none` is not a color of laces.
    usual: String,
    /// The same with the attributes before the title: of a title that is longer than a model reads, its
    /// end is lost, and not what the product is.
    attributes_first: String,
}

/// Characters above which a model that is in use may not read a caption whole.
const LONG: usize = 110;

impl Caption {
    #[must_use]
    pub fn of(product: &Product) -> Self {
        let value = |name: &str| product.attribute(name).map(str::to_lowercase);
        let kind: Vec<String> = ["color", "category"]
            .into_iter()
            .filter_map(value)
            .collect();
        let mut said = kind.join(" ");
        let mut add = |text: String| {
            if !said.is_empty() {
                said.push(' ');
            }
            said.push_str(&text);
        };
        if let Some(laces) = value("shoelace_color").filter(|l| l != "none") {
            add(format!("with {laces} shoelaces"));
        }
        if let Some(gender) = value("gender") {
            add(format!("for {gender}"));
        }
        let title = &product.title;
        let (usual, attributes_first) = match (kind.is_empty(), said.is_empty()) {
            (_, true) => (title.clone(), title.clone()),
            (true, _) => (format!("{title} {said}"), format!("{said}, {title}")),
            (false, _) => (format!("{title}, {said}"), format!("{said}, {title}")),
        };
        Self {
            usual,
            attributes_first,
        }
    }

    /// The words for a model, and whether their end is cut off: `reads_whole` says whether it reads a
    /// text to its end.
    #[must_use]
    pub fn words(&self, reads_whole: impl Fn(&str) -> bool) -> (&str, bool) {
        if reads_whole(&self.usual) {
            (&self.usual, false)
        } else {
            (&self.attributes_first, true)
        }
    }

    /// What identifies it: products with the same are embedded once.
    #[must_use]
    pub fn content(&self) -> String {
        if self.usual.chars().count() > LONG {
            // Read otherwise than before there were two arrangements.
            format!("{}\n{}", self.usual, self.attributes_first)
        } else {
            self.usual.clone()
        }
    }
}

/// Another value, and captions are made in another way: every stored one has to be made anew.
#[must_use]
pub fn template_digest() -> String {
    let parts = ["category", "color", "gender", "shoelace_color"];
    let long = "long title ".repeat(LONG / 10);
    let product = |choice: u32, value: &str, title: &str| {
        let mut product = Product::new(ProductId::new("1").ok()?, title).ok()?;
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
        Some(Caption::of(&product).content())
    };
    // Every choice of parts, since the template leaves out what a product does not have.
    let captions = (0..1_u32 << parts.len())
        .flat_map(|choice| ["Red", "none"].map(|value| (choice, value)))
        .flat_map(|(choice, value)| ["Title", &long].map(|title| product(choice, value, title)))
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

    fn caption(product: &Product) -> String {
        Caption::of(product).usual
    }

    #[test]
    fn of_a_long_title_the_end_is_lost_and_not_the_attributes() {
        let all = [
            ("category", "Heels"),
            ("color", "Red"),
            ("gender", "Women"),
            ("shoelace_color", "White"),
        ];
        let mut product = shoe(&all);
        let short = Caption::of(&product);
        assert_eq!(short.content(), short.usual);
        assert_eq!(short.words(|_| true), (short.usual.as_str(), false));
        product.title = "Comfortable ".repeat(10).trim().to_owned();
        let long = Caption::of(&product);
        assert_ne!(long.content(), long.usual);
        let (words, is_cut) = long.words(|text| text.len() < 50);
        assert!(
            is_cut && words.starts_with("red heels with white shoelaces for women, Comfortable"),
            "{words}"
        );
        product.attributes.clear();
        let bare = Caption::of(&product);
        assert_eq!(bare.words(|_| false), (product.title.as_str(), true));
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
