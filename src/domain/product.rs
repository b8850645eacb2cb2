//! Products and their attributes.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::{clean, folded};

/// The shop's own identifier: 1 to 128 characters, no control characters, no surrounding white
/// space.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProductId(String);

/// The catalog's own number of a product: the key in the vector index and the bitmaps. Never
/// shown to clients.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct ProductKey(pub u32);

/// What an attribute is called: a lower-case letter, then lower-case letters, digits or `_`; 64 at
/// most.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttributeName(String);

/// One value of an attribute as the shop writes it: 1 to 256 characters, cleaned. Compared by
/// [`AttributeValue::folded`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttributeValue(String);

/// A product's attributes; each has one or more values (a shirt comes in several sizes).
pub type Attributes = BTreeMap<AttributeName, Vec<AttributeValue>>;

/// What some attributes of a catalog mean to the service. Settings, since a shop of furniture has
/// other ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAttributes {
    /// An answer repeats the first value of each of these beside the product's title, and a filter
    /// by one of them is good even where no product carries it: a storefront's filters must not
    /// break on a catalog that has no laces yet. Shoppers name what they want by them: who says
    /// "red" means nothing else.
    pub shown: Vec<AttributeName>,
    /// What the products nearest to a photo vote on.
    pub category: AttributeName,
}

impl Default for KnownAttributes {
    /// Those of a fashion shop: `category`, `color`, `brand`, `gender`, `shoelace_color`.
    fn default() -> Self {
        let name = |name: &str| AttributeName(name.to_owned());
        Self {
            shown: ["category", "color", "brand", "gender", "shoelace_color"]
                .map(name)
                .to_vec(),
            category: name("category"),
        }
    }
}

/// The most pictures that a product has: their numbers go from 1 to this.
pub const MOST_PICTURES: u8 = 32;

/// What the shop says of a product. The picture is the catalog's business.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    pub id: ProductId,
    /// 1 to 1,000 characters.
    pub title: String,
    pub description: Option<String>,
    pub attributes: Attributes,
    /// Finite, not negative.
    pub price: Option<f64>,
    /// What is asked for now in place of the price; finite, not negative.
    pub sale_price: Option<f64>,
    /// Of both prices, as ISO 4217 writes it: `EUR`. `None`: the shop's own.
    pub currency: Option<String>,
    /// When the shop got it, in Unix seconds; from a catalog: when that got it, where the shop does
    /// not say.
    pub created: Option<i64>,
    pub url: Option<String>,
}

/// What a product has beside its attributes that can be filtered and sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProductFields {
    pub price: Option<f64>,
    pub sale_price: Option<f64>,
    /// In Unix seconds.
    pub created: Option<i64>,
}

impl ProductFields {
    /// One of [`FIELDS`](super::typed::FIELDS) as filters and sorts see it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "price" => self.price,
            "sale_price" => self.sale_price,
            "current_price" => self.sale_price.or(self.price),
            #[expect(clippy::cast_precision_loss, reason = "seconds of these centuries")]
            "created" => self.created.map(|seconds| seconds as f64),
            _ => None,
        }
    }
}

/// Why a value is none of a product's.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProductError {
    #[error("{what} is empty")]
    Empty { what: &'static str },
    #[error("{what} has {got} characters, at most {max} are allowed")]
    TooLong {
        what: &'static str,
        got: usize,
        max: usize,
    },
    #[error("{what} has a control character")]
    ControlCharacter { what: &'static str },
    #[error(
        "{name:?} is not an attribute name: a lower-case letter, then lower-case letters, digits or '_', at most 64"
    )]
    AttributeName { name: String },
    #[error("the price {price} is negative or not finite")]
    Price { price: f64 },
    #[error("{currency:?} is not a currency as ISO 4217 writes it, such as EUR")]
    Currency { currency: String },
}

/// [`clean`], not empty, at most `max` characters, without control characters.
fn line(what: &'static str, text: &str, max: usize) -> Result<String, ProductError> {
    let text = clean(text);
    if text.is_empty() {
        return Err(ProductError::Empty { what });
    }
    let got = text.chars().count();
    if got > max {
        return Err(ProductError::TooLong { what, got, max });
    }
    if text.chars().any(char::is_control) {
        return Err(ProductError::ControlCharacter { what });
    }
    Ok(text)
}

/// # Errors
/// When `currency` is not three capital letters.
pub fn check_currency(currency: &str) -> Result<(), ProductError> {
    if currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(ProductError::Currency {
        currency: currency.chars().take(40).collect(),
    })
}

impl ProductId {
    /// # Errors
    /// When `id` is empty, longer than 128 characters or holds a control character.
    pub fn new(id: &str) -> Result<Self, ProductError> {
        line("the product id", id, 128).map(Self)
    }

    /// As the catalog has it, which may be older than a rule of [`ProductId::new`].
    #[must_use]
    pub fn stored(id: String) -> Self {
        Self(id)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AttributeName {
    /// # Errors
    /// When `name` is not of the form given at [`AttributeName`].
    pub fn new(name: &str) -> Result<Self, ProductError> {
        let letters = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if name.len() > 64 || !letters || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(ProductError::AttributeName {
                name: name.chars().take(80).collect(),
            });
        }
        Ok(Self(name.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The attribute that variants of one product share.
    #[must_use]
    pub fn style() -> Self {
        Self("style".to_owned())
    }
}

impl AttributeValue {
    /// # Errors
    /// When `value` is empty, longer than 256 characters or holds a control character.
    pub fn new(value: &str) -> Result<Self, ProductError> {
        line("the attribute's value", value, 256).map(Self)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What values are compared by: a filter `black` finds `Black`.
    #[must_use]
    pub fn folded(&self) -> String {
        folded(&self.0)
    }
}

impl Product {
    pub const LONGEST_TITLE: usize = 1_000;
    pub const LONGEST_DESCRIPTION: usize = 20_000;
    pub const LONGEST_URL: usize = 2_048;

    /// A product with a title alone; the other fields are set afterwards and checked by
    /// [`Product::check`].
    ///
    /// # Errors
    /// When the title is empty, longer than 1,000 characters or holds a control character.
    pub fn new(id: ProductId, title: &str) -> Result<Self, ProductError> {
        let title = line("the title", title, Self::LONGEST_TITLE)?;
        Ok(Self {
            id,
            title,
            description: None,
            attributes: Attributes::new(),
            price: None,
            sale_price: None,
            currency: None,
            created: None,
            url: None,
        })
    }

    /// # Errors
    /// When the price is negative or not finite, or the URL or the description is too long.
    pub fn check(self) -> Result<Self, ProductError> {
        for price in [self.price, self.sale_price].into_iter().flatten() {
            if !price.is_finite() || price < 0.0 {
                return Err(ProductError::Price { price });
            }
        }
        if let Some(currency) = &self.currency {
            check_currency(currency)?;
        }
        if let Some(url) = &self.url {
            line("the url", url, Self::LONGEST_URL)?;
        }
        let got = self.description.as_ref().map_or(0, |d| d.chars().count());
        if got > Self::LONGEST_DESCRIPTION {
            return Err(ProductError::TooLong {
                what: "the description",
                got,
                max: Self::LONGEST_DESCRIPTION,
            });
        }
        Ok(self)
    }

    /// What it has beside its attributes that can be filtered and sorted by.
    #[must_use]
    pub fn fields(&self) -> ProductFields {
        ProductFields {
            price: self.price,
            sale_price: self.sale_price,
            created: self.created,
        }
    }

    /// The first value of an attribute, as responses show it.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(n, _)| n.as_str() == name)
            .and_then(|(_, v)| v.first())
            .map(AttributeValue::as_str)
    }
}

macro_rules! string_value {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = ProductError;
            fn try_from(text: String) -> Result<Self, ProductError> {
                Self::new(&text)
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
string_value!(ProductId, AttributeName, AttributeValue);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_names() {
        for good in ["color", "shoelace_color", "heel2", "q", "filters"] {
            assert!(AttributeName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Color", "2heel", "heel-height", "_x", &"x".repeat(65)] {
            assert!(AttributeName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_are_trimmed_and_bounded() {
        assert_eq!(ProductId::new(" 1163 ").expect("valid").as_str(), "1163");
        assert_eq!(
            ProductId::new("  "),
            Err(ProductError::Empty {
                what: "the product id"
            })
        );
        assert!(matches!(
            ProductId::new(&"9".repeat(129)),
            Err(ProductError::TooLong {
                got: 129,
                max: 128,
                ..
            })
        ));
        assert!(matches!(
            AttributeValue::new("a\u{0}b"),
            Err(ProductError::ControlCharacter { .. })
        ));
        assert_eq!(
            AttributeValue::new("Off White").expect("valid").folded(),
            "off white"
        );
    }

    #[test]
    fn a_price_is_finite_and_not_negative() {
        let product = Product::new(ProductId::new("1").expect("id"), "Shoe").expect("title");
        for price in [-1.0, f64::NAN, f64::INFINITY] {
            let wrong = Product {
                price: Some(price),
                ..product.clone()
            };
            assert!(matches!(wrong.check(), Err(ProductError::Price { .. })));
        }
        assert!(
            Product {
                price: Some(0.0),
                ..product
            }
            .check()
            .is_ok()
        );
    }
}
