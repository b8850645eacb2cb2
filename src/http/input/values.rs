//! One value of one parameter each, as text.

use crate::domain::{AttributeName, AttributeValue, Mode, Order, Range, SortBy, SortKey, Test};
use crate::http::output::error::{ApiError, short};

pub fn mode(text: &str) -> Result<Mode, ApiError> {
    match text {
        "hybrid" => Ok(Mode::Hybrid),
        "lexical" => Ok(Mode::Lexical),
        "vector" => Ok(Mode::Vector),
        _ => Err(not("mode", text, "hybrid, lexical or vector")),
    }
}

pub fn cut(text: &str) -> Result<bool, ApiError> {
    match text {
        "relevant" => Ok(true),
        "none" => Ok(false),
        _ => Err(not("cut", text, "relevant or none")),
    }
}

pub fn yes(name: &str, text: &str) -> Result<bool, ApiError> {
    // "True" is how a client in Python may write it.
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(not(name, text, "true or false")),
    }
}

pub fn number(name: &str, text: &str) -> Result<usize, ApiError> {
    // `parse` takes a leading '+', which a number here never has.
    match text.parse() {
        Ok(number) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(not(name, text, "a number")),
    }
}

/// A number from 0 to 1, as text.
pub fn share(name: &str, text: &str) -> Result<f32, ApiError> {
    let given = text.parse().ok();
    given
        .map_or(Err(()), |share| in_one(share).ok_or(()))
        .map_err(|()| not(name, text, "from 0 to 1"))
}

/// A number from 0 to 1.
pub fn checked_share(name: &str, share: f32) -> Result<f32, ApiError> {
    in_one(share).ok_or_else(|| not(name, &share.to_string(), "from 0 to 1"))
}

fn in_one(share: f32) -> Option<f32> {
    (0.0..=1.0).contains(&share).then_some(share)
}

fn not(name: &str, text: &str, expected: &str) -> ApiError {
    let text: String = text.chars().take(40).collect();
    ApiError::parameter(name, format!("{text:?} is not {expected}"))
}

/// What a request says of one attribute, before anything is known about attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTest {
    pub name: String,
    pub value: RawValue,
    /// Whether products must pass it, or must not.
    pub wanted: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RawValue {
    /// A value, `from..to`, or `*`.
    Text(String),
    Range(Option<String>, Option<String>),
    Present,
}

impl RawTest {
    /// `name=value`.
    pub fn of(name: String, value: String) -> Self {
        Self {
            name,
            value: RawValue::Text(value),
            wanted: true,
        }
    }

    /// `name:value`, `-name:value`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let (wanted, rest) = match text.strip_prefix('-') {
            Some(rest) => (false, rest),
            None => (true, text),
        };
        let Some((name, value)) = rest.split_once(':') else {
            return Err(not("filter", text, "name:value, such as brand:Nike"));
        };
        Ok(Self {
            name: name.trim().to_owned(),
            value: RawValue::Text(value.to_owned()),
            wanted,
        })
    }

    /// The value as it is compared.
    pub fn test(&self) -> Result<Test, ApiError> {
        let refused = |error: &dyn std::fmt::Display| {
            ApiError::parameter(short(&self.name), error.to_string())
        };
        match &self.value {
            RawValue::Present => Ok(Test::Present),
            RawValue::Range(from, to) => Range::new(from.as_deref(), to.as_deref())
                .map(Test::Within)
                .map_err(|error| refused(&error)),
            RawValue::Text(text) if text.trim() == "*" => Ok(Test::Present),
            RawValue::Text(text) => match Range::parse(text) {
                Some(range) => range.map(Test::Within).map_err(|error| refused(&error)),
                None => AttributeValue::new(text)
                    .map(|value| Test::Value(value.folded()))
                    .map_err(|error| refused(&error)),
            },
        }
    }
}

/// `price`, `price:desc`, `-price`, `relevance`.
pub fn sort_key(text: &str, known: impl Fn() -> Vec<String>) -> Result<SortKey, ApiError> {
    let wrong = || not("sort", text, "price:asc, price:desc, -price or relevance");
    let (name, way) = match text.strip_prefix('-') {
        Some(name) => (name, Some("desc")),
        None => match text.split_once(':') {
            Some((name, way)) => (name, Some(way)),
            None => (text, None),
        },
    };
    let descending = match way {
        None => false,
        Some("asc") if name != "relevance" => false,
        Some("desc") => true,
        Some(_) => return Err(wrong()),
    };
    if name.contains(':') {
        return Err(wrong());
    }
    if name == "relevance" {
        return Ok(SortKey {
            by: SortBy::Relevance,
            descending: true,
        });
    }
    let by = AttributeName::new(name).map_err(|_| ApiError::UnknownAttribute {
        name: short(name),
        known: known(),
    })?;
    Ok(SortKey {
        by: SortBy::Attribute(by),
        descending,
    })
}

pub fn too_many_keys() -> ApiError {
    ApiError::parameter("sort", format!("at most {} keys", Order::MOST_KEYS))
}

/// `name:rest`, of a parameter that says something of a facet.
pub fn of_facet<'a>(parameter: &str, text: &'a str) -> Result<(&'a str, &'a str), ApiError> {
    text.split_once(':')
        .map(|(name, rest)| (name.trim(), rest))
        .ok_or_else(|| not(parameter, text, "the name of a facet, a colon, and a value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_as_text() {
        let test = |text: &str| {
            let raw = RawTest::parse(text).expect(text);
            (raw.name.clone(), raw.test().expect(text), raw.wanted)
        };
        assert_eq!(
            test("brand:Red: Tape"),
            ("brand".into(), Test::Value("red: tape".into()), true)
        );
        let range = Range::new(Some("50"), None).expect("a range");
        assert_eq!(
            test("-price:50.."),
            ("price".into(), Test::Within(range), false)
        );
        assert_eq!(
            test("-sale_price:*"),
            ("sale_price".into(), Test::Present, false)
        );
        assert!(RawTest::parse("brand").is_err());
        for bad in ["brand:", "price:5..1", "price:1..2026-01-01"] {
            let raw = RawTest::parse(bad).expect("a filter");
            assert!(raw.test().is_err(), "{bad}");
        }
    }

    #[test]
    fn sorts_as_text() {
        let key = |text: &str| sort_key(text, Vec::new).map(|key| (key.by, key.descending));
        let price = || SortBy::Attribute(AttributeName::new("price").expect("a name"));
        for (text, down) in [
            ("price", false),
            ("price:asc", false),
            ("-price", true),
            ("price:desc", true),
        ] {
            assert_eq!(key(text).expect(text), (price(), down));
        }
        assert_eq!(key("relevance").expect("good").0, SortBy::Relevance);
        for bad in ["", "-", "price:up", "-price:asc", "relevance:asc", "Price"] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_are_from_0_to_1() {
        assert!((share("diversify", "0.5").expect("good") - 0.5).abs() < f32::EPSILON);
        for bad in ["", "1.1", "-0.1", "NaN", "x"] {
            assert!(share("diversify", bad).is_err(), "{bad}");
        }
    }
}
