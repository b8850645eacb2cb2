//! What a client asks for, from a query string, a form or JSON, into domain values; a bad value is
//! answered here.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

use crate::domain::{
    Ask, AttributeName, AttributeValue, Facets, Filters, MOST_EXCLUDED, Mode, ProductId, Query,
    QueryText, Window, WordSearch,
};
use crate::http::output::error::{ApiError, short};
use crate::service::Service;
use crate::util::percent;

/// Products in an answer when `limit` is not given.
pub const DEFAULT_LIMIT: usize = 20;

/// The parameters of a request as they come in, before anything is known about attributes.
#[derive(Debug, Default)]
pub struct RawQuery {
    q: Option<String>,
    limit: Option<usize>,
    offset: Option<usize>,
    exclude: Vec<String>,
    facets: Vec<String>,
    facet_limit: Option<usize>,
    attributes: Vec<(String, String)>,
    words: RawWords,
    takes_words: bool,
}

/// How words are to be read and ranked.
#[derive(Debug, Default)]
struct RawWords {
    mode: Option<Mode>,
    typo: Option<bool>,
    prefix: Option<bool>,
    relevant_only: Option<bool>,
}

impl RawWords {
    fn options(&self) -> WordSearch {
        let default = WordSearch::default();
        WordSearch {
            mode: self.mode.unwrap_or(default.mode),
            typo: self.typo.unwrap_or(default.typo),
            prefix: self.prefix.unwrap_or(default.prefix),
            relevant_only: self.relevant_only.unwrap_or(default.relevant_only),
        }
    }
}

impl RawQuery {
    /// `takes_words`: whether `q` is a parameter of the request.
    pub fn new(takes_words: bool) -> Self {
        Self {
            takes_words,
            ..Self::default()
        }
    }

    pub fn of_pairs(pairs: Vec<(String, String)>, takes_words: bool) -> Result<Self, ApiError> {
        let mut raw = Self::new(takes_words);
        for (name, value) in pairs {
            raw.add(name, value)?;
        }
        Ok(raw)
    }

    pub fn add(&mut self, name: String, value: String) -> Result<(), ApiError> {
        fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), ApiError> {
            match slot.replace(value) {
                None => Ok(()),
                Some(_) => Err(ApiError::RepeatedParameter {
                    name: name.to_owned(),
                }),
            }
        }
        match name.as_str() {
            "q" if self.takes_words => once(&mut self.q, "q", value),
            "limit" => once(&mut self.limit, "limit", number("limit", &value)?),
            "offset" => once(&mut self.offset, "offset", number("offset", &value)?),
            "mode" if self.takes_words => once(&mut self.words.mode, "mode", mode(&value)?),
            "typo" if self.takes_words => once(&mut self.words.typo, "typo", yes("typo", &value)?),
            "prefix" if self.takes_words => {
                once(&mut self.words.prefix, "prefix", yes("prefix", &value)?)
            }
            "cut" if self.takes_words => once(&mut self.words.relevant_only, "cut", cut(&value)?),
            "facets" if self.facets.len() > Facets::MOST => Err(too_many_facets()),
            "facets" => {
                let names = value
                    .split(',')
                    .map(str::trim)
                    .filter(|name| !name.is_empty());
                self.facets.extend(names.map(str::to_owned));
                Ok(())
            }
            "facet_limit" => once(
                &mut self.facet_limit,
                "facet_limit",
                number("facet_limit", &value)?,
            ),
            "exclude" if self.exclude.len() >= MOST_EXCLUDED => Err(too_many_excluded()),
            "exclude" => {
                self.exclude.push(value);
                Ok(())
            }
            // Far above what `Filters` allows: only a bound on the work before it is asked.
            _ if self.attributes.len() >= 4 * Filters::MAX_VALUES => Err(ApiError::parameter(
                "filters",
                "there are far too many of them",
            )),
            _ => {
                self.attributes.push((name, value));
                Ok(())
            }
        }
    }

    /// What is asked in words; without any, every product is meant.
    pub fn ask(&self) -> Result<Ask, ApiError> {
        match self.q.as_deref() {
            Some(q) if !q.trim().is_empty() => Ok(Ask::Words(QueryText::new(q)?)),
            _ => Ok(Ask::All),
        }
    }

    /// The query for `ask`. Whether its attributes are there is the service's to say: a name that
    /// cannot be one is refused here, with those that are there.
    pub fn query(self, ask: Ask, service: &Service) -> Result<Query, ApiError> {
        let facets = || service.facets().0;
        self.query_among(ask, || {
            facets().iter().map(|f| f.name.to_string()).collect()
        })
    }

    fn facet_names(&self, known: impl Fn() -> Vec<String>) -> Result<Facets, ApiError> {
        let values = self.facet_limit.unwrap_or(Facets::VALUES);
        if values == 0 || values > Facets::MOST_VALUES {
            return Err(ApiError::parameter(
                "facet_limit",
                format!("{values} is not from 1 to {}", Facets::MOST_VALUES),
            ));
        }
        let mut names: Vec<AttributeName> = Vec::with_capacity(self.facets.len());
        for name in &self.facets {
            let attribute = AttributeName::new(name).map_err(|_| ApiError::UnknownAttribute {
                name: short(name),
                known: known(),
            })?;
            if !names.contains(&attribute) {
                names.push(attribute);
            }
        }
        if names.len() > Facets::MOST {
            return Err(too_many_facets());
        }
        Ok(Facets { names, values })
    }

    fn query_among(self, ask: Ask, known: impl Fn() -> Vec<String>) -> Result<Query, ApiError> {
        let window = Window::new(
            self.limit.unwrap_or(DEFAULT_LIMIT),
            self.offset.unwrap_or(0),
        )?;
        if self.exclude.len() > MOST_EXCLUDED {
            return Err(too_many_excluded());
        }
        let exclude = self
            .exclude
            .iter()
            .map(|id| ProductId::new(id))
            .collect::<Result<_, _>>();
        let exclude = exclude.map_err(|error| ApiError::value("exclude", &error))?;
        let facets = self.facet_names(&known)?;
        let mut pairs = Vec::with_capacity(self.attributes.len());
        for (name, value) in self.attributes {
            let Ok(attribute) = AttributeName::new(&name) else {
                return Err(ApiError::UnknownAttribute {
                    name: short(&name),
                    known: known(),
                });
            };
            let value =
                AttributeValue::new(&value).map_err(|error| ApiError::value(&name, &error))?;
            pairs.push((attribute, value));
        }
        Ok(Query {
            ask,
            filters: Filters::new(pairs)?,
            exclude,
            window,
            facets,
            words: self.words.options(),
        })
    }
}

fn too_many_facets() -> ApiError {
    ApiError::parameter(
        "facets",
        format!("at most {} attributes can be counted", Facets::MOST),
    )
}

fn too_many_excluded() -> ApiError {
    ApiError::parameter(
        "exclude",
        format!("at most {MOST_EXCLUDED} products can be left out"),
    )
}

fn mode(text: &str) -> Result<Mode, ApiError> {
    match text {
        "hybrid" => Ok(Mode::Hybrid),
        "lexical" => Ok(Mode::Lexical),
        "vector" => Ok(Mode::Vector),
        _ => Err(ApiError::parameter(
            "mode",
            format!("{:?} is not hybrid, lexical or vector", short(text)),
        )),
    }
}

fn cut(text: &str) -> Result<bool, ApiError> {
    match text {
        "relevant" => Ok(true),
        "none" => Ok(false),
        _ => Err(ApiError::parameter(
            "cut",
            format!("{:?} is not relevant or none", short(text)),
        )),
    }
}

fn yes(name: &str, text: &str) -> Result<bool, ApiError> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ApiError::parameter(
            name,
            format!("{:?} is not true or false", short(text)),
        )),
    }
}

fn number(name: &str, text: &str) -> Result<usize, ApiError> {
    // `parse` takes a leading '+', which a number here never has.
    match text.parse() {
        Ok(number) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(ApiError::parameter(
            name,
            format!(
                "{:?} is not a number",
                text.chars().take(40).collect::<String>()
            ),
        )),
    }
}

/// `POST /search`. Every further field is an attribute, as in `GET /search`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({"q": "black formal shoes", "gender": "Men", "color": ["Black", "Brown"], "limit": 10}))]
pub struct SearchBody {
    /// What is wanted, in words; 512 characters at most. Without any, every product that matches the
    /// filters is found.
    #[schema(max_length = 512)]
    pub q: Option<String>,
    /// Attribute -> value or values: values of one attribute are alternatives, different attributes
    /// add up. The same as the attributes beside `q`, with which they are put together.
    #[serde(default, deserialize_with = "filters")]
    pub filters: BTreeMap<String, OneOrMany>,
    /// Products in the answer, 0 to 250; 20 when not given. 0: the total and the facets alone.
    #[schema(minimum = 0, maximum = 250, default = 20)]
    pub limit: Option<usize>,
    /// How many of the best products are skipped, 0 to 10,000.
    #[schema(minimum = 0, maximum = 10_000, default = 0)]
    pub offset: Option<usize>,
    /// What ranks the products: words and vectors together, or one of them alone.
    pub mode: Option<ModeName>,
    /// Whether slips of the pen are corrected; they are when not given.
    #[schema(default = true)]
    pub typo: Option<bool>,
    /// Whether the last word may be unfinished; it is not when not given.
    #[schema(default = false)]
    pub prefix: Option<bool>,
    /// Which products are counted and shown: those that are meant, or all that match the filters.
    pub cut: Option<CutName>,
    /// Attributes whose values are counted over the products that are found, each as if nothing
    /// were chosen of itself; 20 at most.
    #[schema(max_items = 20)]
    pub facets: Option<Vec<String>>,
    /// Values of each of them, the most frequent first; 20 when not given.
    #[schema(minimum = 1, maximum = 1000, default = 20)]
    pub facet_limit: Option<usize>,
    /// The id or ids of products that are left out, 100 at most; ids that the catalog does not have
    /// are ignored.
    #[serde(default, deserialize_with = "exclude")]
    pub exclude: Option<OneOrMany>,
    /// Any attribute that `/attributes` lists, with its value or values.
    #[serde(flatten, deserialize_with = "attributes")]
    pub attributes: BTreeMap<String, OneOrMany>,
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

impl OneOrMany {
    fn of(given: Value) -> Option<Self> {
        let given = if let Value::Array(list) = given {
            list
        } else {
            vec![given]
        };
        let text = |value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(yes) => Some(yes.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        given
            .into_iter()
            .filter(|value| !value.is_null())
            .map(text)
            .collect::<Option<_>>()
            .map(Self)
    }
}

/// By hand: a schema of one line where the derive would make three.
impl utoipa::PartialSchema for OneOrMany {
    fn schema() -> RefOr<Schema> {
        let value = || {
            ObjectBuilder::new().schema_type(SchemaType::from_iter([
                Type::String,
                Type::Number,
                Type::Boolean,
            ]))
        };
        let schema = OneOfBuilder::new()
            .item(value())
            .item(ArrayBuilder::new().items(value()))
            .description(Some("`\"Black\"` or `[\"Black\", \"Brown\"]`; a number or a boolean is read as its text."));
        RefOr::T(Schema::OneOf(schema.build()))
    }
}

impl utoipa::ToSchema for OneOrMany {}

/// Attributes with their values; one without a value is reported by its name, which serde alone would not
/// tell.
fn attributes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, OneOrMany>, D::Error> {
    let given = BTreeMap::<String, Value>::deserialize(deserializer)?;
    given
        .into_iter()
        .map(|(name, given)| Ok((name.clone(), one_or_many(&name, given)?)))
        .collect()
}

/// As [`attributes`], or null for none.
fn filters<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, OneOrMany>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None => Ok(BTreeMap::new()),
        Some(given) => attributes(given).map_err(serde::de::Error::custom),
    }
}

fn exclude<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OneOrMany>, D::Error> {
    one_or_many("exclude", Value::deserialize(deserializer)?).map(Some)
}

fn one_or_many<E: serde::de::Error>(name: &str, given: Value) -> Result<OneOrMany, E> {
    OneOrMany::of(given).ok_or_else(|| {
        let name = short(name);
        E::custom(format!(
            "{name:?} holds neither text, a number, a boolean, nor a list of them"
        ))
    })
}

impl From<SearchBody> for RawQuery {
    fn from(body: SearchBody) -> Self {
        let attributes = body.attributes.into_iter().chain(body.filters);
        let attributes = attributes.flat_map(|(name, OneOrMany(values))| {
            values.into_iter().map(move |value| (name.clone(), value))
        });
        Self {
            attributes: attributes.collect(),
            q: body.q,
            facets: body.facets.unwrap_or_default(),
            facet_limit: body.facet_limit,
            limit: body.limit,
            offset: body.offset,
            exclude: body.exclude.map(|OneOrMany(ids)| ids).unwrap_or_default(),
            words: RawWords {
                mode: body.mode.map(|mode| match mode {
                    ModeName::Hybrid => Mode::Hybrid,
                    ModeName::Lexical => Mode::Lexical,
                    ModeName::Vector => Mode::Vector,
                }),
                typo: body.typo,
                prefix: body.prefix,
                relevant_only: body.cut.map(|cut| matches!(cut, CutName::Relevant)),
            },
            takes_words: true,
        }
    }
}

/// The decoded pairs of the query string, in order.
pub struct Pairs(pub Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Pairs {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        decode(parts.uri.query().unwrap_or("")).map(Self)
    }
}

/// application/x-www-form-urlencoded as the WHATWG URL standard parses it, but strict about UTF-8:
/// a query in another encoding would be searched as gibberish.
pub(super) fn decode(query: &str) -> Result<Vec<(String, String)>, ApiError> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((component(name)?, component(value)?))
        })
        .collect()
}

fn component(text: &str) -> Result<String, ApiError> {
    percent::decode_form(text).ok_or(ApiError::NotUtf8)
}

/// The product id of the path.
pub struct IdPath(pub ProductId);

impl<S: Send + Sync> FromRequestParts<S> for IdPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let axum::extract::Path(id) =
            path.map_err(|rejection| ApiError::parameter("id", rejection.body_text()))?;
        ProductId::new(&id)
            .map(Self)
            .map_err(|error| ApiError::value("id", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Query, ApiError> {
        of_raw(RawQuery::of_pairs(decode(query)?, true)?)
    }

    fn of_raw(raw: RawQuery) -> Result<Query, ApiError> {
        let ask = raw.ask()?;
        raw.query_among(ask, || vec!["color".to_owned()])
    }

    fn code(query: &str) -> &'static str {
        asked(query).expect_err("refused").code().as_str()
    }

    #[test]
    fn words_filters_and_window() {
        let asked =
            asked("q=black+%C3%A9t%C3%A9&color=Black&color=white&category=Casual%20Shoes&limit=5&offset=10")
                .expect("good");
        let words = QueryText::new("black été").expect("words");
        assert_eq!(asked.ask, Ask::Words(words));
        assert_eq!(asked.window, Window::new(5, 10).expect("in range"));
        let filters: Vec<_> = asked
            .filters
            .iter()
            .map(|(n, v)| (n.as_str(), v.iter().map(String::as_str).collect::<Vec<_>>()))
            .collect();
        assert_eq!(
            filters,
            [
                ("category", vec!["casual shoes"]),
                ("color", vec!["black", "white"])
            ]
        );
    }

    #[test]
    fn defaults() {
        let asked = asked("q=x").expect("good");
        assert_eq!(
            (asked.window.limit(), asked.window.offset()),
            (DEFAULT_LIMIT, 0)
        );
        assert!(asked.exclude.is_empty());
        assert!(asked.filters.is_empty());
    }

    #[test]
    fn what_is_refused() {
        for nothing in ["", "q=", "q=+"] {
            assert_eq!(asked(nothing).expect("good").ask, Ask::All);
        }
        assert_eq!(code("facet_limit=0"), "invalid_parameter");
        assert_eq!(code("facets=Color"), "unknown_attribute");
        let many = (0..21).map(|i| format!("a{i}")).collect::<Vec<_>>();
        let many = format!("facets={}", many.join(","));
        assert_eq!(code(&many), "invalid_parameter");
        for bad in ["mode=best", "typo=yes", "prefix=", "cut=all"] {
            assert_eq!(code(&format!("q=a&{bad}")), "invalid_parameter", "{bad}");
        }
        assert_eq!(code("q=a&q=b"), "repeated_parameter");
        assert_eq!(code("q=a&limit=1&limit=1"), "repeated_parameter");
        for bad in [
            "limit=251",
            "limit=-1",
            "limit=+1",
            "limit=",
            "limit=1e9",
            "offset=10001",
            "color=",
        ] {
            assert_eq!(code(&format!("q=a&{bad}")), "invalid_parameter", "{bad}");
        }
        assert_eq!(code("q=%ff"), "invalid_parameter");
        assert_eq!(code("q=a&Color=Black"), "unknown_attribute");
        assert_eq!(
            code(&format!("q=a{}", "&color=x".repeat(1025))),
            "invalid_parameter"
        );
        assert_eq!(code("q=a&exclude="), "invalid_parameter");
        assert_eq!(
            code(&format!("q=a{}", "&exclude=x".repeat(101))),
            "invalid_parameter"
        );
    }

    #[test]
    fn percent_signs_that_escape_nothing_stand_for_themselves() {
        assert_eq!(component("100%+wool%2").expect("text"), "100% wool%2");
        assert_eq!(component("%+1%2b").expect("text"), "% 1+");
    }

    #[test]
    fn json_takes_attributes_beside_the_words_or_under_filters() {
        let read = |text: &str| {
            let body: SearchBody = serde_json::from_str(text).expect(text);
            of_raw(RawQuery::from(body))
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
        let asked = read(r#"{"q":"x","size":[41,42.5],"vegan":true}"#).expect("good");
        let filters: Vec<_> = asked
            .filters
            .iter()
            .flat_map(|(_, values)| values.iter().map(String::as_str))
            .collect();
        assert_eq!(filters, ["41", "42.5", "true"]);
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
        assert!(error(r#"{"q":"x","filter":{}}"#).contains("\"filter\" holds neither"));
        assert!(
            error(r#"{"q":"x","filters":{"color":[["Black"]]}}"#)
                .contains("\"color\" holds neither")
        );
    }
}
