//! Which products may answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::error::QueryError;
use super::product::{AttributeName, AttributeValue, Product};
use super::typed::{self, is_field};

/// Which products may answer: each attribute named must be as its condition says. No attribute
/// named: every product may.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters(BTreeMap<AttributeName, Condition>);

/// What the values of one attribute must be: one of `any`, where there are any, and none of `none`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    pub any: BTreeSet<Test>,
    pub none: BTreeSet<Test>,
}

/// What a value may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test {
    /// Anything: the product has a value.
    Present,
    /// This, as it is compared (see [`AttributeValue::folded`]).
    Value(String),
    Within(Range),
}

/// From a number or date to another one, both included; open where there is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    from: Option<String>,
    to: Option<String>,
}

/// A range as numbers; dates in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub from: f64,
    pub to: f64,
}

impl Interval {
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.from <= value && value <= self.to
    }
}

impl Range {
    /// # Errors
    /// When a bound is neither a number nor a date, when one is of each kind, when both are missing,
    /// or when the first is above the second.
    pub fn new(from: Option<&str>, to: Option<&str>) -> Result<Self, QueryError> {
        let bound = |text: Option<&str>| {
            let text = text.map(str::trim).filter(|text| !text.is_empty());
            text.map(str::to_owned)
        };
        let range = Self {
            from: bound(from),
            to: bound(to),
        };
        let wrong = || QueryError::Range {
            range: range.to_string(),
        };
        let interval = range.numbers().or_else(|| range.dates());
        match interval {
            Some(interval) if interval.from <= interval.to => Ok(range),
            _ => Err(wrong()),
        }
    }

    /// `50..100`, `50..`, `..100`; `None` when the text is not written like a range of numbers or
    /// dates.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, QueryError>> {
        let (from, to) = text.split_once("..")?;
        let known = |bound: &str| {
            let bound = bound.trim();
            bound.is_empty() || typed::number(bound).is_some() || typed::date(bound).is_some()
        };
        let looks = known(from) && known(to) && !(from.trim().is_empty() && to.trim().is_empty());
        looks.then(|| Self::new(Some(from), Some(to)))
    }

    /// As numbers; `None` when a bound is not one.
    #[must_use]
    pub fn numbers(&self) -> Option<Interval> {
        self.interval(typed::number, typed::number)
    }

    /// As dates; `None` when a bound is not one. A day ends with its last second.
    #[must_use]
    pub fn dates(&self) -> Option<Interval> {
        let first = |text: &str| typed::date(text).map(|period| period.first);
        let last = |text: &str| typed::date(text).map(|period| period.last);
        self.interval(first, last)
    }

    fn interval(
        &self,
        from: impl Fn(&str) -> Option<f64>,
        to: impl Fn(&str) -> Option<f64>,
    ) -> Option<Interval> {
        if self.from.is_none() && self.to.is_none() {
            return None;
        }
        let bound =
            |text: &Option<String>, read: &dyn Fn(&str) -> Option<f64>, open: f64| match text {
                None => Some(open),
                Some(text) => read(text),
            };
        Some(Interval {
            from: bound(&self.from, &from, f64::NEG_INFINITY)?,
            to: bound(&self.to, &to, f64::INFINITY)?,
        })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bound: &Option<String>| bound.clone().unwrap_or_default();
        write!(f, "{}..{}", text(&self.from), text(&self.to))
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("*"),
            Self::Value(value) => f.write_str(value),
            Self::Within(range) => range.fmt(f),
        }
    }
}

impl Filters {
    /// Values, ranges and the like in all.
    pub const MAX_VALUES: usize = 256;

    /// Products that have one of the values given, for each attribute.
    ///
    /// # Errors
    /// When there are more than [`Self::MAX_VALUES`] values in all.
    pub fn new(
        values: impl IntoIterator<Item = (AttributeName, AttributeValue)>,
    ) -> Result<Self, QueryError> {
        let tests = values
            .into_iter()
            .map(|(name, value)| (name, Test::Value(value.folded()), true));
        Self::of(tests)
    }

    /// The same without products that have one of these values, unless the attribute is filtered by.
    #[must_use]
    pub fn but_for(mut self, name: &AttributeName, values: &[AttributeValue]) -> Self {
        let none = values.iter().map(|value| Test::Value(value.folded()));
        let condition = Condition {
            none: none.collect(),
            ..Condition::default()
        };
        if !values.is_empty() {
            self.0.entry(name.clone()).or_insert(condition);
        }
        self
    }

    /// Each test with its attribute, and whether the product must pass it or must not.
    ///
    /// # Errors
    /// When there are more than [`Self::MAX_VALUES`] in all.
    pub fn of(
        tests: impl IntoIterator<Item = (AttributeName, Test, bool)>,
    ) -> Result<Self, QueryError> {
        let mut filters: BTreeMap<AttributeName, Condition> = BTreeMap::new();
        for (name, test, wanted) in tests {
            let condition = filters.entry(name).or_default();
            if wanted {
                condition.any.insert(test);
            } else {
                condition.none.insert(test);
            }
        }
        let got = filters
            .values()
            .map(|condition| condition.any.len() + condition.none.len())
            .sum();
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

    /// These, but for what one attribute must be. What it must not be stays: a shopper who ruled a
    /// value out does not want to be offered it.
    #[must_use]
    pub fn without(&self, name: &AttributeName) -> Self {
        let mut others = self.0.clone();
        if let Some(condition) = others.get_mut(name) {
            condition.any.clear();
            if condition.none.is_empty() {
                others.remove(name);
            }
        }
        Self(others)
    }

    /// Each attribute with its condition.
    pub fn iter(&self) -> impl Iterator<Item = (&AttributeName, &Condition)> {
        self.0.iter()
    }

    /// The definition that the bitmaps are tested against.
    #[must_use]
    pub fn matches(&self, product: &Product) -> bool {
        self.0.iter().all(|(name, condition)| {
            let passes = |test: &Test| passes(product, name, test);
            (condition.any.is_empty() || condition.any.iter().any(passes))
                && !condition.none.iter().any(passes)
        })
    }
}

fn passes(product: &Product, name: &AttributeName, test: &Test) -> bool {
    if is_field(name.as_str()) {
        let Some(value) = product.fields().get(name.as_str()) else {
            return false;
        };
        return match test {
            Test::Present => true,
            Test::Value(exact) => {
                Range::new(Some(exact), Some(exact)).is_ok_and(|range| within(&range, name, value))
            }
            Test::Within(range) => within(range, name, value),
        };
    }
    let values = product.attributes.get(name).into_iter().flatten();
    let mut folded = values.map(AttributeValue::folded);
    match test {
        Test::Present => folded.next().is_some(),
        Test::Value(wanted) => folded.any(|value| value == *wanted),
        Test::Within(range) => folded.any(|value| {
            let (of, at) = if let Some(numbers) = range.numbers() {
                (Some(numbers), typed::number(&value))
            } else {
                (range.dates(), typed::date(&value).map(|day| day.first))
            };
            of.zip(at).is_some_and(|(of, at)| of.contains(at))
        }),
    }
}

fn within(range: &Range, name: &AttributeName, value: f64) -> bool {
    let kind = typed::field_type(name.as_str()).unwrap_or_default();
    let interval = match kind {
        typed::ValueType::Date => range.dates(),
        _ => range.numbers(),
    };
    interval.is_some_and(|interval| interval.contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Attributes, ProductId};

    fn name(name: &str) -> AttributeName {
        AttributeName::new(name).expect("a name")
    }

    fn pair(of: &str, value: &str) -> (AttributeName, AttributeValue) {
        (name(of), AttributeValue::new(value).expect("value"))
    }

    fn product(values: &[(&str, &str)], price: Option<f64>) -> Product {
        let mut attributes = Attributes::new();
        for (of, value) in values {
            let (of, value) = pair(of, value);
            attributes.entry(of).or_default().push(value);
        }
        let plain = Product::new(ProductId::new("1").expect("id"), "x").expect("title");
        Product {
            attributes,
            price,
            ..plain
        }
    }

    #[test]
    fn values_of_one_attribute_are_alternatives_and_attributes_add_up() {
        let filters = Filters::new([
            pair("color", "black"),
            pair("color", "White"),
            pair("gender", "Men"),
        ])
        .expect("few");
        let matches = |values: &[(&str, &str)]| filters.matches(&product(values, None));
        assert!(matches(&[("color", "Black"), ("gender", "men")]));
        assert!(matches(&[("color", "white"), ("gender", "Men")]));
        assert!(!matches(&[("color", "Red"), ("gender", "Men")]));
        assert!(!matches(&[("color", "Black")]));
        assert!(Filters::default().matches(&product(&[], None)));
    }

    #[test]
    fn ranges_negations_and_presence() {
        let range = |text: &str| Test::Within(Range::parse(text).expect("a range").expect(text));
        let of =
            |of: &str, test: Test, wanted| Filters::of([(name(of), test, wanted)]).expect("one");
        let cheap = of("price", range("10..20"), true);
        for (price, expected) in [(10.0, true), (20.0, true), (20.5, false), (9.0, false)] {
            assert_eq!(
                cheap.matches(&product(&[], Some(price))),
                expected,
                "{price}"
            );
        }
        assert!(!cheap.matches(&product(&[], None)));
        let no_price = of("price", Test::Present, false);
        assert!(
            no_price.matches(&product(&[], None)) && !no_price.matches(&product(&[], Some(1.0)))
        );
        let exactly = of("price", Test::Value("10.50".to_owned()), true);
        assert!(exactly.matches(&product(&[], Some(10.5))));
        let not_blue = of("color", Test::Value("blue".to_owned()), false);
        assert!(not_blue.matches(&product(&[], None)));
        assert!(!not_blue.matches(&product(&[("color", "Red"), ("color", "Blue")], None)));
        let new = of("released", range("2026-02-01..2026-02-28"), true);
        assert!(new.matches(&product(&[("released", "2026-02-28T23:00:00Z")], None)));
        assert!(!new.matches(&product(&[("released", "2026-03-01")], None)));
        let large = of("size", range("42.."), true);
        assert!(large.matches(&product(&[("size", "38"), ("size", "44")], None)));
        assert!(!large.matches(&product(&[("size", "XL")], None)));
    }

    #[test]
    fn a_range_has_a_bound_and_an_order() {
        for bad in [("", ""), ("x", "1"), ("2", "1"), ("1", "2026-01-01")] {
            let range = Range::new(Some(bad.0), Some(bad.1));
            assert!(matches!(range, Err(QueryError::Range { .. })), "{bad:?}");
        }
        for text in ["..", "a..b", "1", "v..2"] {
            assert!(Range::parse(text).is_none(), "{text}");
        }
        assert!(Range::parse("5..1").expect("a range").is_err());
        assert_eq!(
            Range::parse(" 1 .. ")
                .expect("a range")
                .expect("good")
                .to_string(),
            "1.."
        );
    }

    #[test]
    fn what_a_facet_leaves_out_is_what_was_chosen_of_it_and_not_what_was_ruled_out() {
        let filters = Filters::of([
            (name("color"), Test::Value("red".to_owned()), true),
            (name("color"), Test::Value("blue".to_owned()), false),
            (name("size"), Test::Value("41".to_owned()), true),
        ])
        .expect("few");
        let without = filters.without(&name("color"));
        assert!(without.matches(&product(&[("color", "Green"), ("size", "41")], None)));
        assert!(!without.matches(&product(&[("color", "Blue"), ("size", "41")], None)));
        assert_eq!(filters.without(&name("size")).iter().count(), 1);
    }
}
