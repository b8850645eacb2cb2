//! What a client asks for, from a query string, a form or JSON, into domain values; a bad value is
//! answered here.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::values::{self, RawTest};
use crate::domain::text::clean;
use crate::domain::{
    Ask, AttributeName, Facets, Filters, MOST_EXCLUDED, MOST_PICTURES, Mode, Order, ProductId,
    Query, QueryError, QueryText, Range, Window, WordSearch,
};
use crate::http::output::error::{ApiError, short};
use crate::service::Service;
use crate::util::percent;

/// Products in an answer when `limit` is not given.
pub const DEFAULT_LIMIT: usize = 20;

/// The parameters of a request as they come in, before anything is known about attributes.
#[derive(Debug, Default)]
pub struct RawQuery {
    pub(super) q: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) offset: Option<usize>,
    pub(super) exclude: Vec<String>,
    pub(super) facets: Vec<String>,
    pub(super) facet_limit: Option<usize>,
    /// `name:beginning`.
    pub(super) facet_queries: Vec<String>,
    /// `name:from..to`.
    pub(super) facet_ranges: Vec<String>,
    pub(super) tests: Vec<RawTest>,
    pub(super) sort: Vec<String>,
    pub(super) group_by: Option<String>,
    pub(super) diversify: Option<f32>,
    pub(super) explain: Option<bool>,
    pub(super) words: RawWords,
    pub(super) takes_words: bool,
}

/// How words are to be read and ranked.
#[derive(Debug, Default)]
pub(super) struct RawWords {
    pub(super) mode: Option<Mode>,
    pub(super) typo: Option<bool>,
    pub(super) prefix: Option<bool>,
    pub(super) relevant_only: Option<bool>,
    pub(super) weight: Option<f32>,
}

impl RawWords {
    fn options(&self) -> WordSearch {
        let default = WordSearch::default();
        WordSearch {
            mode: self.mode.unwrap_or(default.mode),
            typo: self.typo.unwrap_or(default.typo),
            prefix: self.prefix.unwrap_or(default.prefix),
            relevant_only: self.relevant_only.unwrap_or(default.relevant_only),
            weight: self.weight,
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
        let list = |value: &str| -> Vec<String> {
            let items = value.split(',').map(str::trim);
            let items = items.filter(|item| !item.is_empty());
            items.map(str::to_owned).collect()
        };
        let takes_words = self.takes_words;
        match name.as_str() {
            "q" if takes_words => once(&mut self.q, &name, value)?,
            "limit" => once(&mut self.limit, &name, values::number(&name, &value)?)?,
            "offset" => once(&mut self.offset, &name, values::number(&name, &value)?)?,
            "mode" if takes_words => once(&mut self.words.mode, &name, values::mode(&value)?)?,
            "typo" if takes_words => {
                once(&mut self.words.typo, &name, values::yes(&name, &value)?)?;
            }
            "prefix" if takes_words => {
                once(&mut self.words.prefix, &name, values::yes(&name, &value)?)?;
            }
            "words_weight" if takes_words => {
                once(&mut self.words.weight, &name, values::share(&name, &value)?)?;
            }
            "cut" => once(&mut self.words.relevant_only, &name, values::cut(&value)?)?,
            "sort" if self.sort.len() > Order::MOST_KEYS => return Err(values::too_many_keys()),
            "sort" => self.sort.extend(list(&value)),
            "group_by" => once(&mut self.group_by, &name, value)?,
            "diversify" => once(&mut self.diversify, &name, values::share(&name, &value)?)?,
            "explain" => once(&mut self.explain, &name, values::yes(&name, &value)?)?,
            "facets" if self.facets.len() > Facets::MOST => return Err(too_many_facets()),
            "facets" => self.facets.extend(list(&value)),
            "facet_limit" => once(&mut self.facet_limit, &name, values::number(&name, &value)?)?,
            "facet_query" if self.facet_queries.len() >= Facets::MOST => {
                return Err(too_many_facets());
            }
            "facet_query" => self.facet_queries.push(value),
            "facet_ranges" if self.facet_ranges.len() >= Facets::MOST_RANGES => {
                return Err(too_many_ranges());
            }
            "facet_ranges" => self.facet_ranges.push(value),
            "exclude" if self.exclude.len() >= MOST_EXCLUDED => return Err(too_many_excluded()),
            "exclude" => self.exclude.push(value),
            // Far above what `Filters` allows: only a bound on the work before it is asked.
            _ if self.tests.len() >= 4 * Filters::MAX_VALUES => {
                let reason = "there are far too many of them";
                return Err(ApiError::parameter("filters", reason));
            }
            "filter" => self.tests.push(RawTest::parse(&value)?),
            _ => self.tests.push(RawTest::of(name, value)),
        }
        Ok(())
    }

    /// What is asked in words; without any, every product is meant.
    pub fn ask(&self) -> Result<Ask, ApiError> {
        match self.q.as_deref() {
            Some(q) if !clean(q).is_empty() => Ok(Ask::Words(QueryText::new(q)?)),
            _ => Ok(Ask::All),
        }
    }

    /// The query for `ask`. Whether its attributes are there is the service's to say: a name that
    /// cannot be one is refused here, with those that are there.
    pub fn query(self, ask: Ask, service: &Service) -> Result<Query, ApiError> {
        self.query_among(ask, known(service))
    }

    /// What products must be, of a request that knows no more than that. As for [`RawQuery::query`].
    pub fn filters(&self, service: &Service) -> Result<Filters, ApiError> {
        self.filters_among(known(service))
    }

    fn filters_among(&self, known: impl Fn() -> Vec<String>) -> Result<Filters, ApiError> {
        let mut tests = Vec::with_capacity(self.tests.len());
        for raw in &self.tests {
            tests.push((attribute(&raw.name, &known)?, raw.test()?, raw.wanted));
        }
        Ok(Filters::of(tests)?)
    }

    fn asked_facets(&self, known: impl Fn() -> Vec<String>) -> Result<Facets, ApiError> {
        let values = self.facet_limit.unwrap_or(Facets::VALUES);
        if values == 0 || values > Facets::MOST_VALUES {
            return Err(ApiError::parameter(
                "facet_limit",
                format!("{values} is not from 1 to {}", Facets::MOST_VALUES),
            ));
        }
        let mut facets = Facets {
            values,
            ..Facets::default()
        };
        for name in &self.facets {
            facets.add(attribute(name, &known)?);
        }
        for text in &self.facet_queries {
            let (name, beginning) = values::of_facet("facet_query", text)?;
            let name = attribute(name, &known)?;
            facets.add(name.clone());
            facets.beginnings.insert(name, clean(beginning));
        }
        for text in &self.facet_ranges {
            let (name, range) = values::of_facet("facet_ranges", text)?;
            let name = attribute(name, &known)?;
            let not_one = || QueryError::Range {
                range: short(range),
            };
            let range = Range::parse(range).unwrap_or_else(|| Err(not_one()));
            let range = range.map_err(|error| ApiError::parameter("facet_ranges", error))?;
            facets.add(name.clone());
            facets.ranges.entry(name).or_default().push(range);
        }
        if facets.names.len() > Facets::MOST {
            return Err(too_many_facets());
        }
        if self.facet_ranges.len() > Facets::MOST_RANGES {
            return Err(too_many_ranges());
        }
        Ok(facets)
    }

    fn asked_order(&self, known: impl Fn() -> Vec<String>) -> Result<Order, ApiError> {
        if self.sort.len() > Order::MOST_KEYS {
            return Err(values::too_many_keys());
        }
        let keys = self.sort.iter().map(|text| values::sort_key(text, &known));
        let group_by = self.group_by.as_deref();
        Ok(Order {
            keys: keys.collect::<Result<_, _>>()?,
            group_by: group_by.map(|name| attribute(name, &known)).transpose()?,
            diversify: self.diversify.unwrap_or_default(),
        })
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
        let facets = self.asked_facets(&known)?;
        let order = self.asked_order(&known)?;
        Ok(Query {
            ask,
            filters: self.filters_among(&known)?,
            exclude,
            window,
            order,
            facets,
            words: self.words.options(),
            explain: self.explain.unwrap_or_default(),
        })
    }
}

/// The names of the attributes that there are.
fn known(service: &Service) -> impl Fn() -> Vec<String> {
    move || {
        let facets = service.facets().0;
        facets.iter().map(|f| f.name.to_string()).collect()
    }
}

fn attribute(name: &str, known: impl Fn() -> Vec<String>) -> Result<AttributeName, ApiError> {
    AttributeName::new(name).map_err(|_| ApiError::UnknownAttribute {
        name: short(name),
        known: known(),
    })
}

fn too_many_ranges() -> ApiError {
    ApiError::parameter(
        "facet_ranges",
        format!("at most {} ranges can be counted", Facets::MOST_RANGES),
    )
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

/// The product id and the number of a picture of the path.
pub struct PicturePath {
    pub id: ProductId,
    pub number: u8,
}

impl<S: Send + Sync> FromRequestParts<S> for PicturePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<(String, String)>::from_request_parts(parts, state).await;
        let axum::extract::Path((id, number)) =
            path.map_err(|rejection| ApiError::parameter("id", rejection.body_text()))?;
        let id = ProductId::new(&id).map_err(|error| ApiError::value("id", &error))?;
        let number = picture_number(&number)?;
        Ok(Self { id, number })
    }
}

fn picture_number(text: &str) -> Result<u8, ApiError> {
    let number = text.parse().ok();
    let number = number.filter(|number| (1..=MOST_PICTURES).contains(number));
    // One picture has one address: neither `01` nor `+1`.
    let number = number.filter(|number: &u8| number.to_string() == text);
    number.ok_or_else(|| {
        let reason = format!(
            "{:?} is not a number from 1 to {MOST_PICTURES}",
            short(text)
        );
        ApiError::parameter("number", reason)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::http::input) fn asked(query: &str) -> Result<Query, ApiError> {
        of_raw(RawQuery::of_pairs(decode(query)?, true)?)
    }

    pub(in crate::http::input) fn of_raw(raw: RawQuery) -> Result<Query, ApiError> {
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
            .flat_map(|(name, of)| of.any.iter().map(move |test| format!("{name}:{test}")))
            .collect();
        assert_eq!(
            filters,
            ["category:casual shoes", "color:black", "color:white"]
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
    fn numbers_of_pictures() {
        assert_eq!(picture_number("1").expect("a number"), 1);
        assert_eq!(picture_number("32").expect("a number"), 32);
        for none in ["0", "33", "256", "-1", "+1", "01", "1.0", "one", ""] {
            let error = picture_number(none).expect_err("refused");
            assert_eq!(error.code().as_str(), "invalid_parameter", "{none}");
        }
    }

    #[test]
    fn percent_signs_that_escape_nothing_stand_for_themselves() {
        assert_eq!(component("100%+wool%2").expect("text"), "100% wool%2");
        assert_eq!(component("%+1%2b").expect("text"), "% 1+");
    }
}
