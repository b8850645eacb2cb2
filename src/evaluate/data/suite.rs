//! The suite file: retrieval cases with what they expect, in a form that a person can read and
//! check.
//!
//! The file is JSON, `"format": 1`. The folder beside it has the photos that the image cases
//! upload, so that a suite can be run with nothing but the address of a service. A suite is about
//! two attributes: a main one (`category`) and a detail (`shoelace_color`, `collar`, `sole`).
//!
//! Refused when read: another format, case names that repeat, a case that does not say what it
//! expects of both attributes, points that do not follow from the supply, sums that are not those
//! of the cases, a photo outside the suite's folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::attributes::has_value;
use super::split::held_out;
use crate::domain::{AttributeName, AttributeValue, Attributes, Product, ProductId};
use crate::evaluate::stats::scoring::{Fit, Level, Points, Supply, attainable, nominal};
use crate::util::digest::sha256_hex;

/// Version of the file's format.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suite {
    pub format: u32,
    pub name: String,
    /// The main attribute.
    pub main: AttributeName,
    /// The detail.
    pub detail: AttributeName,
    /// What the text cases were written with.
    pub prompt: String,
    /// How many results of a case are scored.
    pub results: usize,
    pub pool: Pool,
    /// Sums over all cases.
    pub maxima: Maxima,
    pub cases: Vec<Case>,
}

/// The catalog that the levels were counted in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub products: usize,
    /// sha256 over the products' ids and their values of the two attributes.
    pub sha256: String,
    /// Every search of the suite is restricted to these values; empty: the whole catalog.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub filters: BTreeMap<AttributeName, Vec<AttributeValue>>,
    /// Only products that no model is trained on count as results (see [`super::split`]); others
    /// are passed over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held_out: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maxima {
    pub nominal: Points,
    pub attainable: Points,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Unique in the suite.
    pub name: String,
    pub level: Level,
    pub query: Query,
    /// The value of the main attribute and of the detail.
    pub expect: BTreeMap<AttributeName, AttributeValue>,
    /// The products that fit, the query's own left out.
    pub supply: Supply,
    #[serde(flatten)]
    pub maxima: Maxima,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Query {
    Text {
        text: String,
    },
    /// A photo beside the suite file, and the product that it shows.
    Image {
        image: PathBuf,
        product: ProductId,
        /// Other products that the shop shows with the very same photo.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        same: Vec<ProductId>,
    },
}

/// How a case asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryKind {
    Text,
    Image,
}

#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not a suite: {source}")]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("the suite is of format {got}, this program reads {FORMAT}")]
    Format { got: u32 },
    #[error("the suite has no cases")]
    NoCases,
    #[error("{results} results a case cannot be asked for: 1 to 100")]
    Results { results: usize },
    #[error("two cases are called {name:?}")]
    Repeated { name: String },
    #[error("case {name:?} does not say which {attribute} it expects")]
    Expectation {
        name: String,
        attribute: AttributeName,
    },
    #[error("case {name:?}: its {what} does not follow from its supply")]
    Inconsistent { name: String, what: &'static str },
    #[error("the suite's {what} maxima are not the sums over its cases")]
    Sums { what: &'static str },
    #[error("case {name:?}: the photo {image:?} is not a path below the suite's folder")]
    Outside { name: String, image: PathBuf },
}

impl Pool {
    /// The filters as a search takes them.
    pub fn pairs(&self) -> impl Iterator<Item = (AttributeName, AttributeValue)> {
        self.filters
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |v| (name.clone(), v.clone())))
    }

    /// Whether a product may be among the results.
    #[must_use]
    pub fn among(&self) -> fn(&ProductId) -> bool {
        if self.held_out {
            |id| held_out(id.as_str())
        } else {
            |_| true
        }
    }
}

impl Maxima {
    /// The sums over the cases.
    #[must_use]
    pub fn of(cases: &[Case]) -> Self {
        let sum = |of: fn(&Case) -> Points| cases.iter().map(of).sum();
        Self {
            nominal: sum(|case| case.maxima.nominal),
            attainable: sum(|case| case.maxima.attainable),
        }
    }
}

impl Suite {
    /// Reads and checks a suite file. The photos are opened when they are used.
    ///
    /// # Errors
    /// See the module: an unreadable file, and everything that [`Suite::check`] finds.
    pub fn load(path: &Path) -> Result<Self, SuiteError> {
        let text = std::fs::read_to_string(path).map_err(|source| SuiteError::Io {
            path: path.to_owned(),
            source,
        })?;
        let suite: Self = serde_json::from_str(&text).map_err(|source| SuiteError::Json {
            path: path.to_owned(),
            source,
        })?;
        suite.check()?;
        Ok(suite)
    }

    /// The file's text: indented, one key a line, ends with a line feed.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// # Errors
    /// When the suite contradicts itself; see the module.
    pub fn check(&self) -> Result<(), SuiteError> {
        if self.format != FORMAT {
            return Err(SuiteError::Format { got: self.format });
        }
        if !(1..=100).contains(&self.results) {
            return Err(SuiteError::Results {
                results: self.results,
            });
        }
        if self.cases.is_empty() {
            return Err(SuiteError::NoCases);
        }
        let mut names = BTreeSet::new();
        for case in &self.cases {
            if !names.insert(&case.name) {
                return Err(SuiteError::Repeated {
                    name: case.name.clone(),
                });
            }
            self.check_case(case)?;
        }
        let sums = Maxima::of(&self.cases);
        let wrong = [
            ("nominal", sums.nominal != self.maxima.nominal),
            ("attainable", sums.attainable != self.maxima.attainable),
        ];
        match wrong.into_iter().find(|(_, wrong)| *wrong) {
            Some((what, _)) => Err(SuiteError::Sums { what }),
            None => Ok(()),
        }
    }

    fn check_case(&self, case: &Case) -> Result<(), SuiteError> {
        let name = || case.name.clone();
        for attribute in [&self.main, &self.detail] {
            if !case.expect.contains_key(attribute) {
                return Err(SuiteError::Expectation {
                    name: name(),
                    attribute: attribute.clone(),
                });
            }
        }
        let wrong = [
            (
                "level",
                case.level != Level::of(case.supply.both, self.results),
            ),
            (
                "nominal maximum",
                case.maxima.nominal != nominal(self.results),
            ),
            (
                "attainable maximum",
                case.maxima.attainable != attainable(case.supply, self.results),
            ),
        ];
        if let Some((what, _)) = wrong.into_iter().find(|(_, wrong)| *wrong) {
            return Err(SuiteError::Inconsistent { name: name(), what });
        }
        if let Query::Image { image, .. } = &case.query {
            let below = image
                .components()
                .all(|c| matches!(c, Component::Normal(_)));
            if !below || image.as_os_str().is_empty() {
                return Err(SuiteError::Outside {
                    name: name(),
                    image: image.clone(),
                });
            }
        }
        Ok(())
    }

    /// Why results over these products would be doubtful: those in the suite's pool are not the
    /// ones that it was built on.
    #[must_use]
    pub fn doubt<'a>(&self, products: impl Iterator<Item = &'a Product>) -> Option<String> {
        let among = self.pool.among();
        let products = products.filter(|product| among(&product.id));
        (pool_sha256(products, &self.main, &self.detail) != self.pool.sha256).then(|| {
            "this catalog is not the one that the suite was built on: its levels and attainable points may be wrong"
                .to_owned()
        })
    }

    /// Names the suite's content: results of two different suites are never compared.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256_hex(self.to_json().as_bytes())
    }

    /// What is right about a product with these attributes. A product with several values fits by
    /// any of them; upper and lower case do not matter.
    #[must_use]
    pub fn fit(&self, case: &Case, attributes: &Attributes) -> Fit {
        let has = |name: &AttributeName| {
            case.expect
                .get(name)
                .is_some_and(|wanted| has_value(attributes, name, wanted))
        };
        Fit {
            main: has(&self.main),
            detail: has(&self.detail),
        }
    }
}

impl Case {
    #[must_use]
    pub fn kind(&self) -> QueryKind {
        match self.query {
            Query::Text { .. } => QueryKind::Text,
            Query::Image { .. } => QueryKind::Image,
        }
    }

    /// Products that are never among the results that are scored: those that the query's photo
    /// shows.
    #[must_use]
    pub fn own(&self) -> Vec<ProductId> {
        match &self.query {
            Query::Text { .. } => Vec::new(),
            Query::Image { product, same, .. } => {
                std::iter::once(product).chain(same).cloned().collect()
            }
        }
    }
}

impl QueryKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
        }
    }
}

/// Names the products and their values of the suite's attributes, whatever their order.
#[must_use]
pub fn pool_sha256<'a>(
    products: impl Iterator<Item = &'a Product>,
    main: &AttributeName,
    detail: &AttributeName,
) -> String {
    let mut lines: Vec<String> = products
        .map(|p| {
            let values = |name: &AttributeName| {
                p.attributes
                    .get(name)
                    .map(Vec::as_slice)
                    .unwrap_or_default()
            };
            format!(
                "{:?} {:?} {:?}\n",
                p.id.as_str(),
                values(main),
                values(detail)
            )
        })
        .collect();
    lines.sort_unstable();
    sha256_hex(lines.concat().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite() -> Suite {
        let text = include_str!("../../../tests/reference/small_suite.json");
        serde_json::from_str(text).expect("a suite")
    }

    #[test]
    fn reads_what_it_writes() {
        let suite = suite();
        suite.check().expect("consistent");
        assert_eq!(
            serde_json::from_str::<Suite>(&suite.to_json()).expect("JSON"),
            suite
        );
        assert_eq!(
            suite.cases.iter().map(Case::kind).collect::<Vec<_>>(),
            [QueryKind::Text, QueryKind::Image]
        );
    }

    #[test]
    fn refuses_what_contradicts_itself() {
        let broken = |change: fn(&mut Suite)| {
            let mut suite = suite();
            change(&mut suite);
            suite.check().expect_err("contradiction").to_string()
        };
        assert!(broken(|s| s.format = 2).contains("format 2"));
        assert!(broken(|s| s.results = 0).contains("0 results"));
        assert!(broken(|s| s.cases.clear()).contains("no cases"));
        assert!(broken(|s| s.cases[1].name = s.cases[0].name.clone()).contains("two cases"));
        assert!(broken(|s| s.cases[0].level = Level::One).contains("level"));
        assert!(broken(|s| s.cases[0].maxima.attainable.c += 1).contains("attainable"));
        assert!(broken(|s| s.cases[0].maxima.nominal.c += 1).contains("nominal"));
        assert!(broken(|s| s.maxima.nominal.d += 1).contains("nominal maxima are not the sums"));
        assert!(
            broken(|s| s.maxima.attainable.a -= 1).contains("attainable maxima are not the sums")
        );
        assert!(broken(|s| s.cases.truncate(1)).contains("sums"));
        assert!(broken(|s| s.cases[0].expect.clear()).contains("does not say which"));
        let photo = |image: &str| Query::Image {
            image: image.into(),
            product: ProductId::new("1").expect("id"),
            same: Vec::new(),
        };
        let mut suite = suite();
        for outside in ["../secret.jpg", "/etc/passwd", "images/../../x.jpg", ""] {
            suite.cases[1].query = photo(outside);
            assert!(
                matches!(suite.check(), Err(SuiteError::Outside { .. })),
                "{outside}"
            );
        }
    }

    #[test]
    fn any_of_several_values_fits_in_any_case() {
        let suite = suite();
        let value = |v: &str| AttributeValue::new(v).expect("value");
        let product = |category: &str, laces: &[&str]| {
            let laces = laces.iter().map(|v| value(v)).collect();
            Attributes::from([
                (suite.main.clone(), vec![value(category)]),
                (suite.detail.clone(), laces),
            ])
        };
        let fit = |attributes| suite.fit(&suite.cases[0], &attributes);
        let (main, detail) = (|f: Fit| f.main, |f: Fit| f.detail);
        let both = fit(product("CASUAL shoes", &["white", "Beige"]));
        assert!(main(both) && detail(both));
        let neither = fit(product("Casual", &[]));
        assert!(!main(neither) && !detail(neither));
    }
}
