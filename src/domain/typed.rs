//! Values that are more than text: numbers, booleans and dates, as shops write them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::product::AttributeName;

/// What the values of an attribute are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    #[default]
    Text,
    /// Decimal, such as `42.5`.
    Number,
    /// `true` or `yes`, `false` or `no`.
    Boolean,
    /// `2026-11-29`, or a time (RFC 3339).
    Date,
}

/// The types that a shop says its attributes have; those of the others are seen in their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Types(pub BTreeMap<AttributeName, ValueType>);

/// Values of an attribute as they come in, for a report of what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    values: u64,
    numbers: u64,
    booleans: u64,
    dates: u64,
}

impl Tally {
    pub fn add(&mut self, value: &str) {
        self.values += 1;
        let of = |kind: ValueType| u64::from(kind.value(value).is_some());
        self.numbers += of(ValueType::Number);
        self.booleans += of(ValueType::Boolean);
        self.dates += of(ValueType::Date);
    }

    /// How many of the values are of a type.
    #[must_use]
    pub fn of(&self, kind: ValueType) -> u64 {
        match kind {
            ValueType::Text => self.values,
            ValueType::Number => self.numbers,
            ValueType::Boolean => self.booleans,
            ValueType::Date => self.dates,
        }
    }

    /// How many values there are.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.values
    }

    /// The type that all values are of.
    #[must_use]
    pub fn kind(&self) -> ValueType {
        [ValueType::Number, ValueType::Boolean, ValueType::Date]
            .into_iter()
            .find(|kind| self.values > 0 && self.of(*kind) == self.values)
            .unwrap_or_default()
    }
}

/// The seconds that a date or a time stands for: a day is all of its seconds. Unix time, UTC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period {
    pub first: f64,
    pub last: f64,
}

impl ValueType {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
        }
    }

    /// Whether its values can be compared as numbers are.
    #[must_use]
    pub fn has_order(self) -> bool {
        matches!(self, Self::Number | Self::Date)
    }

    /// What a value counts as in ranges and sorts: a number as itself, a boolean as 0 or 1, a date as
    /// its first second in Unix time. `None` for text, and for what is not of the type.
    #[must_use]
    pub fn value(self, text: &str) -> Option<f64> {
        match self {
            Self::Text => None,
            Self::Number => number(text),
            Self::Boolean => boolean(text).map(|yes| if yes { 1.0 } else { 0.0 }),
            Self::Date => date(text).map(|period| period.first),
        }
    }

    /// The type that all of `values` are of; text when there are none.
    #[must_use]
    pub fn of_all<'a>(values: &(impl Iterator<Item = &'a str> + Clone)) -> Self {
        if values.clone().next().is_none() {
            return Self::Text;
        }
        [Self::Number, Self::Boolean, Self::Date]
            .into_iter()
            .find(|kind| values.clone().all(|value| kind.value(value).is_some()))
            .unwrap_or_default()
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A decimal number: digits, at most one point, a sign, an exponent; finite.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let looks = text.ends_with(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    let parsed: f64 = looks.then(|| text.parse().ok()).flatten()?;
    // There is one zero.
    parsed.is_finite().then_some(parsed + 0.0)
}

/// `true` or `yes`, `false` or `no`; letter case does not matter.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    let is = |word: &&str| text.trim().eq_ignore_ascii_case(word);
    if ["true", "yes"].iter().any(is) {
        return Some(true);
    }
    ["false", "no"].iter().any(is).then_some(false)
}

/// A day (`2026-11-29`) or a time (RFC 3339: `2026-11-29T10:30:00Z`, `.. +01:00`).
#[must_use]
pub fn date(text: &str) -> Option<Period> {
    let text = text.trim();
    if text.len() == 10 {
        let day = Date::from_str(text).ok()?;
        let start = |day: Date| {
            let midnight = TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()?;
            Some(seconds(midnight))
        };
        let first = start(day)?;
        let next = day.tomorrow().ok().and_then(start);
        return Some(Period {
            first,
            last: next.map_or(first, |next| next - 1.0),
        });
    }
    let at = seconds(Timestamp::from_str(text).ok()?);
    Some(Period {
        first: at,
        last: at,
    })
}

#[expect(clippy::cast_precision_loss, reason = "seconds of these centuries")]
fn seconds(time: Timestamp) -> f64 {
    time.as_second() as f64
}

/// A time in Unix seconds as RFC 3339 writes it.
#[must_use]
pub fn date_text(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds).ok().map(|t| t.to_string())
}

impl FromStr for Types {
    type Err = String;

    /// A TOML table of attributes and their types: `heel_height = "number"`.
    fn from_str(text: &str) -> Result<Self, String> {
        let read: BTreeMap<String, ValueType> =
            toml::from_str(text).map_err(|error| error.to_string())?;
        let types = read.into_iter().map(|(name, kind)| {
            let name = AttributeName::new(&name).map_err(|error| error.to_string())?;
            if is_field(name.as_str()) {
                return Err(format!(
                    "{name} is not an attribute: its type is always the same"
                ));
            }
            Ok((name, kind))
        });
        types.collect::<Result<_, _>>().map(Self)
    }
}

/// What products have beside attributes that can be filtered and sorted by: the price, the sale
/// price, what is paid now (the sale price where there is one, else the price), and when the catalog
/// got the product.
pub const FIELDS: [&str; 4] = ["price", "sale_price", "current_price", "created"];

/// Whether this name is one of [`FIELDS`], so that no attribute is meant by it.
#[must_use]
pub fn is_field(name: &str) -> bool {
    FIELDS.contains(&name)
}

/// The type of one of [`FIELDS`].
#[must_use]
pub fn field_type(name: &str) -> Option<ValueType> {
    match name {
        "created" => Some(ValueType::Date),
        other => is_field(other).then_some(ValueType::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_booleans_and_dates() {
        assert_eq!(number(" 42.5 "), Some(42.5));
        assert_eq!(number("-1e3"), Some(-1000.0));
        for not in [
            "", "x", "nan", "inf", "1e999", "4 1/2", "1,5", "0x10", "12 cm", "1.", "-",
        ] {
            assert_eq!(number(not), None, "{not:?}");
        }
        assert_eq!(
            (boolean("Yes"), boolean("FALSE"), boolean("1")),
            (Some(true), Some(false), None)
        );
        let day = date("2026-11-29").expect("a day");
        let whole = |seconds: f64| format!("{seconds}");
        assert_eq!(whole(day.first), "1795910400");
        assert_eq!(whole(day.last - day.first), "86399");
        let time = date("2026-11-29T01:00:00+01:00").expect("a time");
        assert_eq!((time.first, time.last), (day.first, day.first));
        for not in [
            "2026",
            "2026-13-01",
            "2026-02-30",
            "29.11.2026",
            "yesterday!",
        ] {
            assert_eq!(date(not), None, "{not:?}");
        }
        assert_eq!(
            date_text(1_795_910_400).as_deref(),
            Some("2026-11-29T00:00:00Z")
        );
    }

    #[test]
    fn the_type_of_an_attribute_is_that_of_all_its_values() {
        let of = |values: &[&str]| ValueType::of_all(&values.iter().copied());
        assert_eq!(of(&["41", "42.5"]), ValueType::Number);
        assert_eq!(of(&["41", "XL"]), ValueType::Text);
        assert_eq!(of(&["yes", "no"]), ValueType::Boolean);
        assert_eq!(of(&["2026-01-01", "2026-01-02T10:00:00Z"]), ValueType::Date);
        assert_eq!(of(&["2026-01-01", "2026"]), ValueType::Text);
        assert_eq!(of(&[]), ValueType::Text);
        let mut tally = Tally::default();
        assert_eq!(tally.kind(), ValueType::Text);
        for value in ["41", "42", "XL"] {
            let all: ValueType = tally.kind();
            assert!(tally.values() == 0 || all == ValueType::Number);
            tally.add(value);
        }
        assert_eq!(
            (tally.kind(), tally.of(ValueType::Number), tally.values()),
            (ValueType::Text, 2, 3)
        );
    }

    #[test]
    fn a_file_of_types() {
        let types: Types = "heel = \"number\"\nvegan = \"boolean\"\n"
            .parse()
            .expect("good");
        assert_eq!(types.0.len(), 2);
        for (bad, why) in [
            ("heel = \"length\"", "length"),
            ("Heel = \"text\"", "Heel"),
            ("price = \"text\"", "always the same"),
            ("heel", "expected"),
        ] {
            let error = bad.parse::<Types>().expect_err(bad);
            assert!(error.contains(why), "{error}");
        }
    }
}
