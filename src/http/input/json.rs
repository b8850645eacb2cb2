//! `POST /search`: the parameters of a search as JSON.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

use super::params::{RawQuery, RawWords};
use super::values::{self, RawTest, RawValue};
use crate::domain::Mode;
use crate::http::output::error::{ApiError, short};

/// `POST /search`. Every further field is an attribute, as in `GET /search`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "q": "black formal shoes",
    "filters": {"gender": "Men", "color": ["Black", "Brown"], "price": {"from": 20, "to": 80}, "brand": {"not": ["Acme"]}},
    "facets": ["color", "brand", "price"], "sort": ["price:asc"], "limit": 10
}))]
pub struct SearchBody {
    /// What is wanted, in words; 512 characters at most. Without any, every product that matches the
    /// filters is found.
    #[schema(max_length = 512)]
    pub q: Option<String>,
    /// Attribute -> what it must be: a value, a list of values of which one must be the product's, or
    /// a condition. Different attributes add up.
    #[serde(default, deserialize_with = "filters")]
    #[schema(value_type = Option<BTreeMap<String, FilterValue>>)]
    pub filters: BTreeMap<String, FilterValue>,
    /// The same as text, as in `GET /search`: `brand:Nike`, `price:50..100`, `-color:Blue`,
    /// `sale_price:*`.
    pub filter: Option<Vec<String>>,
    /// Products in the answer, 0 to 250; 20 when not given. 0: the total and the facets alone.
    #[schema(minimum = 0, maximum = 250)]
    #[serde(default, deserialize_with = "count")]
    pub limit: Option<usize>,
    /// How many of the best products are skipped, 0 to 10,000; none when not given.
    #[schema(minimum = 0, maximum = 10_000)]
    #[serde(default, deserialize_with = "count")]
    pub offset: Option<usize>,
    /// What products are sorted by: attributes, `price`, `sale_price`, `current_price` (the sale price
    /// where there is one), `created`, `relevance`; with `:desc` behind or `-` before it the greatest
    /// first. Products without the value come last. 5 at most.
    #[schema(max_items = 5, example = json!(["price:asc"]))]
    pub sort: Option<Vec<String>>,
    /// An attribute: of the products with the same value only the first is shown, and totals and
    /// pages count these.
    pub group_by: Option<String>,
    /// How much products that look like those before them are put off, 0 (not at all) to 1.
    #[schema(minimum = 0, maximum = 1)]
    pub diversify: Option<f32>,
    /// What ranks the products: words and vectors together, or one of them alone.
    pub mode: Option<ModeName>,
    /// The share of the words in a score, 0 to 1; the vectors have the rest.
    #[schema(minimum = 0, maximum = 1)]
    pub words_weight: Option<f32>,
    /// Whether slips of the pen are corrected; they are when not given.
    pub typo: Option<bool>,
    /// Whether the last word may be unfinished; it is not when not given.
    pub prefix: Option<bool>,
    /// Which products are counted and shown: those that are meant, or all that match the filters.
    pub cut: Option<CutName>,
    /// Attributes whose values are counted over the products that are found, each as if nothing
    /// were chosen of itself; 20 at most.
    #[schema(max_items = 20)]
    pub facets: Option<Vec<String>>,
    /// Values of each of them, the most frequent first; 20 when not given.
    #[schema(minimum = 1, maximum = 1000)]
    #[serde(default, deserialize_with = "count")]
    pub facet_limit: Option<usize>,
    /// Of a facet only the values with a word that begins so: `brand:ni`.
    #[schema(max_items = 20)]
    pub facet_query: Option<Vec<String>>,
    /// Ranges of a facet of numbers or dates that are counted: `price:0..50`.
    #[schema(max_items = 100)]
    pub facet_ranges: Option<Vec<String>>,
    /// Whether each hit says why it is where it is.
    pub explain: Option<bool>,
    /// The id or ids of products that are left out, 100 at most; ids that the catalog does not have
    /// are ignored.
    #[serde(default, deserialize_with = "exclude")]
    pub exclude: Option<OneOrMany>,
    /// Any attribute that `/attributes` lists, as under `filters`.
    #[serde(flatten, deserialize_with = "attributes")]
    #[schema(ignore)]
    pub attributes: BTreeMap<String, FilterValue>,
}

/// What ranks the products.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModeName {
    Hybrid,
    Lexical,
    Vector,
}

/// Which products are counted and shown.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CutName {
    Relevant,
    None,
}

/// `"Black"` or `["Black", "Brown"]`, as text: a number or a boolean is what it is written as, null
/// is not a value.
#[derive(Debug)]
pub struct OneOrMany(Vec<String>);

/// What an attribute must be: its values, or a [`FilterCondition`].
#[derive(Debug)]
pub struct FilterValue(Vec<(RawValue, bool)>);

/// What the values of an attribute must be.
#[derive(utoipa::ToSchema)]
#[expect(
    dead_code,
    reason = "describes the condition in the OpenAPI document; it is read by hand, for its errors"
)]
pub struct FilterCondition {
    /// One of these must be the product's.
    any: Option<Vec<String>>,
    /// None of these may be the product's.
    not: Option<Vec<String>>,
    /// The least number or the first day (`2026-11-29`).
    #[schema(value_type = Option<RangeBound>)]
    from: Option<String>,
    /// The greatest number or the last day.
    #[schema(value_type = Option<RangeBound>)]
    to: Option<String>,
    /// Whether the product must have a value, or must have none.
    exists: Option<bool>,
}

/// A number, or a day or time as text.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes a bound in the OpenAPI document")]
pub enum RangeBound {
    Number(f64),
    Text(String),
}

impl OneOrMany {
    fn of(given: Value) -> Option<Self> {
        let given = if let Value::Array(list) = given {
            list
        } else {
            vec![given]
        };
        given
            .into_iter()
            .filter(|value| !value.is_null())
            .map(scalar)
            .collect::<Option<_>>()
            .map(Self)
    }
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl FilterValue {
    fn of(name: &str, given: Value) -> Result<Self, String> {
        match given {
            Value::Object(condition) => Self::condition(name, condition),
            other => {
                let values = one_or_many(name, other)?.0.into_iter();
                Ok(Self(
                    values.map(|text| (RawValue::Text(text), true)).collect(),
                ))
            }
        }
    }

    fn condition(name: &str, condition: Map<String, Value>) -> Result<Self, String> {
        if condition.is_empty() {
            return Err(format!("the condition of {:?} says nothing", short(name)));
        }
        let mut tests = Vec::new();
        let (mut from, mut to) = (None, None);
        for (key, value) in condition {
            if value.is_null() {
                continue;
            }
            match key.as_str() {
                "any" | "not" => {
                    let values = one_or_many(name, value)?.0.into_iter();
                    tests.extend(values.map(|text| (RawValue::Text(text), key == "any")));
                }
                "from" => from = Some(bound(name, value)?),
                "to" => to = Some(bound(name, value)?),
                "exists" => {
                    let wrong =
                        || format!("\"exists\" of {:?} is neither true nor false", short(name));
                    tests.push((RawValue::Present, value.as_bool().ok_or_else(wrong)?));
                }
                other => {
                    return Err(format!(
                        "the condition of {:?} has a field {:?}; known are any, not, from, to and exists",
                        short(name),
                        short(other)
                    ));
                }
            }
        }
        if from.is_some() || to.is_some() {
            tests.push((RawValue::Range(from, to), true));
        }
        Ok(Self(tests))
    }
}

fn bound(name: &str, value: Value) -> Result<String, String> {
    let wrong = || {
        format!(
            "a bound of {:?} is neither a number nor a date",
            short(name)
        )
    };
    scalar(value).ok_or_else(wrong)
}

/// By hand: a schema of one line where the derive would make three.
impl utoipa::PartialSchema for OneOrMany {
    fn schema() -> RefOr<Schema> {
        let schema = text_or_texts().description(Some(
            "`\"Black\"` or `[\"Black\", \"Brown\"]`; a number or a boolean is read as its text, null is no value.",
        ));
        RefOr::T(Schema::AnyOf(schema.build()))
    }
}

impl utoipa::ToSchema for OneOrMany {}

impl utoipa::PartialSchema for FilterValue {
    fn schema() -> RefOr<Schema> {
        let schema = text_or_texts()
            .item(utoipa::openapi::Ref::from_schema_name("FilterCondition"))
            .description(Some("A value, values of which one must be the product's, or a condition; a number or a boolean is read as its text, null is no value. Where a generated client loses the values of a list, `{\"any\": [..]}` and the texts of `filter` say the same."));
        RefOr::T(Schema::AnyOf(schema.build()))
    }
}

impl utoipa::ToSchema for FilterValue {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        let condition = <FilterCondition as utoipa::PartialSchema>::schema();
        schemas.push(("FilterCondition".to_owned(), condition));
        <FilterCondition as utoipa::ToSchema>::schemas(schemas);
    }
}

pub(super) fn text_or_texts() -> AnyOfBuilder {
    let types = [Type::String, Type::Number, Type::Boolean, Type::Null];
    let value = || ObjectBuilder::new().schema_type(SchemaType::from_iter(types.clone()));
    AnyOfBuilder::new()
        .item(value())
        .item(ArrayBuilder::new().items(value()))
}

/// Attributes with their values; one without a value is reported by its name, which serde alone would not
/// tell.
fn attributes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, FilterValue>, D::Error> {
    let given = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let read = |(name, given): (String, Value)| {
        let value = FilterValue::of(&name, given)?;
        Ok((name, value))
    };
    let read: Result<_, String> = given.into_iter().map(read).collect();
    read.map_err(serde::de::Error::custom)
}

/// As [`attributes`], or null for none.
fn filters<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, FilterValue>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None => Ok(BTreeMap::new()),
        // Where a language has no other empty table than an empty list.
        Some(Value::Array(none)) if none.is_empty() => Ok(BTreeMap::new()),
        Some(given) => attributes(given).map_err(serde::de::Error::custom),
    }
}

/// A whole number, or null for none: JSON has no other numbers than `20.0`, and many that write it say 20
/// so.
pub fn count<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
{
    let given = Option::<Number>::deserialize(deserializer)?;
    let read = given.map(|given| {
        let text = given.to_string();
        let whole = text.strip_suffix(".0").unwrap_or(&text);
        let wrong = |_| {
            let reason = format!("the number {text} is not a whole one, or out of range");
            serde::de::Error::custom(reason)
        };
        whole.parse().map_err(wrong)
    });
    read.transpose()
}

fn exclude<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OneOrMany>, D::Error> {
    one_or_many("exclude", Value::deserialize(deserializer)?)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

fn one_or_many(name: &str, given: Value) -> Result<OneOrMany, String> {
    OneOrMany::of(given).ok_or_else(|| {
        format!(
            "{:?} holds neither text, a number, a boolean, nor a list of them",
            short(name)
        )
    })
}

impl SearchBody {
    /// The parameters that it holds.
    ///
    /// # Errors
    /// When a filter is not written as one, or a share is not from 0 to 1.
    pub fn raw(self) -> Result<RawQuery, ApiError> {
        let attributes = self.attributes.into_iter().chain(self.filters);
        let tests = attributes.flat_map(|(name, FilterValue(tests))| {
            tests.into_iter().map(move |(value, wanted)| RawTest {
                name: name.clone(),
                value,
                wanted,
            })
        });
        let mut tests: Vec<RawTest> = tests.collect();
        for text in self.filter.into_iter().flatten() {
            tests.push(RawTest::parse(&text)?);
        }
        let share = |name: &str, share: Option<f32>| {
            share
                .map(|share| values::checked_share(name, share))
                .transpose()
        };
        Ok(RawQuery {
            tests,
            q: self.q,
            facets: self.facets.unwrap_or_default(),
            facet_limit: self.facet_limit,
            facet_queries: self.facet_query.unwrap_or_default(),
            facet_ranges: self.facet_ranges.unwrap_or_default(),
            limit: self.limit,
            offset: self.offset,
            sort: self.sort.unwrap_or_default(),
            group_by: self.group_by,
            diversify: share("diversify", self.diversify)?,
            explain: self.explain,
            exclude: self.exclude.map(|OneOrMany(ids)| ids).unwrap_or_default(),
            words: RawWords {
                mode: self.mode.map(|mode| match mode {
                    ModeName::Hybrid => Mode::Hybrid,
                    ModeName::Lexical => Mode::Lexical,
                    ModeName::Vector => Mode::Vector,
                }),
                typo: self.typo,
                prefix: self.prefix,
                relevant_only: self.cut.map(|cut| matches!(cut, CutName::Relevant)),
                weight: share("words_weight", self.words_weight)?,
            },
            takes_words: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::input::params::tests::{asked, of_raw};

    #[test]
    fn json_takes_attributes_beside_the_words_or_under_filters() {
        let read = |text: &str| {
            let body: SearchBody = serde_json::from_str(text).expect(text);
            of_raw(body.raw()?)
        };
        let get = asked("q=x&color=Black&color=White&category=Boots").expect("good");
        for same in [
            r#"{"q":"x","filters":{"color":["Black","White"],"category":"Boots"}}"#,
            r#"{"q":"x","color":["Black","White"],"category":"Boots"}"#,
            r#"{"q":"x","color":"Black","filters":{"color":"White","category":["Boots"]},"limit":null}"#,
            r#"{"q":"x","color":["Black",null,"White"],"category":"Boots","size":null}"#,
        ] {
            assert_eq!(read(same).expect(same), get, "{same}");
        }
        let excluded = |text: &str| {
            read(text)
                .expect(text)
                .exclude
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(excluded(r#"{"q":"x","exclude":["7","9"]}"#), ["7", "9"]);
        assert_eq!(excluded(r#"{"q":"x","exclude":7}"#), ["7"]);
        assert_eq!(excluded(r#"{"q":"x","exclude":null}"#), [""; 0]);
        let five = read(r#"{"q":"x","limit":5}"#).expect("a number");
        assert_eq!(read(r#"{"q":"x","limit":5.0}"#).expect("the same"), five);
        for limit in ["5.5", "-1", "1e300", "\"5\""] {
            let body = format!(r#"{{"q":"x","limit":{limit}}}"#);
            serde_json::from_str::<SearchBody>(&body).expect_err(limit);
        }
        assert!(
            read(r#"{"q":"x","filters":null}"#)
                .expect("none")
                .filters
                .is_empty()
        );
        assert_eq!(asked_in_url("q=x&exclude=7&exclude=9"), ["7", "9"]);
        let many = format!(r#"{{"q":"x","exclude":{:?}}}"#, vec!["1"; 101]);
        assert_eq!(
            read(&many).expect_err("too many").code().as_str(),
            "invalid_parameter"
        );
        let numbers = read(r#"{"q":"x","size":[41,42.5],"vegan":true}"#).expect("good");
        let filters: Vec<_> = numbers
            .filters
            .iter()
            .flat_map(|(_, of)| of.any.iter().map(ToString::to_string))
            .collect();
        assert_eq!(filters, ["41", "42.5", "true"]);
        let condition = |name: &str, condition: &str| {
            read(&format!(r#"{{"filters":{{"{name}":{condition}}}}}"#)).expect(condition)
        };
        for (name, json, text) in [
            ("price", r#"{"from":50,"to":99.5}"#, "filter=price:50..99.5"),
            ("price", r#"{"to":"100"}"#, "filter=price:..100"),
            (
                "color",
                r#"{"any":"Red","not":["Blue",7]}"#,
                "filter=color:Red&filter=-color:Blue&filter=-color:7",
            ),
            ("size", r#"{"exists":false,"any":null}"#, "filter=-size:*"),
        ] {
            assert_eq!(condition(name, json), asked(text).expect(text), "{json}");
        }
        let lists =
            read(r#"{"filter":["-color:Blue"],"sort":["price:asc"],"facet_query":["brand:ni"]}"#);
        let same = asked("filter=-color:Blue&sort=price&facet_query=brand:ni");
        assert_eq!(lists.expect("good"), same.expect("good"));
        // An attribute of an old catalog that has the name of a parameter is reached under
        // `filters`.
        let old = read(r#"{"q":"x","filters":{"limit":"a"}}"#).expect("good");
        assert_eq!(old.filters.iter().count(), 1);
        let unknown = read(r#"{"q":"x","Color":"Black"}"#).expect_err("not a name");
        assert!(matches!(unknown, ApiError::UnknownAttribute { name, .. } if name == "Color"));
    }

    fn asked_in_url(query: &str) -> Vec<String> {
        asked(query)
            .expect("good")
            .exclude
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn json_that_holds_no_value_is_told_by_its_name() {
        let error = |text: &str| {
            serde_json::from_str::<SearchBody>(text)
                .expect_err("refused")
                .to_string()
        };
        assert!(error(r#"{"q":"x","color":[[]]}"#).contains("\"color\" holds neither"));
        assert!(
            error(r#"{"q":"x","filters":{"color":[["Black"]]}}"#)
                .contains("\"color\" holds neither")
        );
        assert!(error(r#"{"filters":{"price":{"min":1}}}"#).contains("known are any, not, from"));
        assert!(error(r#"{"filters":{"price":{}}}"#).contains("says nothing"));
        assert!(error(r#"{"filters":{"price":{"exists":1}}}"#).contains("neither true nor false"));
        assert!(error(r#"{"filters":{"price":{"from":[1]}}}"#).contains("neither a number nor"));
    }
}
