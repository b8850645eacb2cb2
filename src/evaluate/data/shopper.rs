//! What shoppers type: queries with a rule for what is right.
//!
//! A file of JSON Lines, a query a line:
//!
//! ```json
//! {"q": "red shoes", "kind": "color", "want": [{"category": ["Casual Shoes"]}, {"title": "(?i)red"}], "relevant": 139}
//! ```
//!
//! `kind` groups the figures. A product is right when every rule of `want` holds: one of the listed
//! values is the product's (of `id`, `title` or an attribute, which may be called as the column of
//! Kaggle's layout is), or the regular expression (of any syntax that looks around, as Python's does)
//! is found in it. `relevant` is how many products of the catalog are right, where it is known: a
//! query with fewer than ten cannot have ten.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fancy_regex::Regex;
use serde::Deserialize;

use crate::catalog::source::attribute_of_column;
use crate::domain::AttributeValue;
use crate::evaluate::subject::Found;
use crate::util::digest::sha256_hex;

/// Queries of one file.
#[derive(Debug)]
pub struct ShopperQueries {
    pub queries: Vec<ShopperQuery>,
    /// Names the data.
    pub sha256: String,
}

/// A query and what is right for it.
#[derive(Debug)]
pub struct ShopperQuery {
    pub text: String,
    pub kind: String,
    rules: Vec<Rule>,
    pub relevant: Option<usize>,
}

#[derive(Debug)]
struct Rule {
    /// `id`, `title` or an attribute.
    field: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    OneOf(Vec<String>),
    Matches(Box<Regex>),
}

/// Why the queries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShopperError {
    #[error("{path}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}, line {line}: {reason}", path = path.display())]
    Line {
        path: PathBuf,
        line: usize,
        reason: String,
    },
    #[error("{path} holds no query", path = path.display())]
    Empty { path: PathBuf },
}

#[derive(Deserialize)]
struct Line {
    q: String,
    kind: String,
    want: Vec<BTreeMap<String, Wanted>>,
    relevant: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Wanted {
    Values(Vec<String>),
    Pattern(String),
}

impl ShopperQueries {
    /// # Errors
    /// When the file cannot be read, holds nothing, or a line of it is not a query.
    pub fn load(path: &Path) -> Result<Self, ShopperError> {
        let text = std::fs::read_to_string(path).map_err(|source| ShopperError::Io {
            path: path.to_owned(),
            source,
        })?;
        let mut queries = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let query = ShopperQuery::parse(line).map_err(|reason| ShopperError::Line {
                path: path.to_owned(),
                line: number + 1,
                reason,
            })?;
            queries.push(query);
        }
        if queries.is_empty() {
            return Err(ShopperError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            queries,
            sha256: sha256_hex(text.as_bytes()),
        })
    }
}

impl ShopperQuery {
    fn parse(line: &str) -> Result<Self, String> {
        let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if line.want.iter().all(BTreeMap::is_empty) {
            return Err("`want` has no rule".to_owned());
        }
        if line.relevant == Some(0) {
            return Err("no product is right".to_owned());
        }
        let rules = line.want.into_iter().flatten().map(|(field, wanted)| {
            let test = match wanted {
                Wanted::Values(values) => Test::OneOf(values),
                Wanted::Pattern(pattern) => {
                    let regex = Regex::new(&pattern);
                    Test::Matches(Box::new(
                        regex.map_err(|error| format!("{pattern:?}: {error}"))?,
                    ))
                }
            };
            let field = attribute_of_column(&field).map_or(field, str::to_owned);
            Ok(Rule { field, test })
        });
        Ok(Self {
            text: line.q,
            kind: line.kind,
            rules: rules.collect::<Result<_, String>>()?,
            relevant: line.relevant,
        })
    }

    /// A query for which the products with this value are right.
    #[must_use]
    pub fn of_value(kind: &str, text: &str, field: &str, value: &str, relevant: usize) -> Self {
        Self {
            text: text.to_owned(),
            kind: kind.to_owned(),
            rules: vec![Rule {
                field: field.to_owned(),
                test: Test::OneOf(vec![value.to_owned()]),
            }],
            relevant: Some(relevant),
        }
    }

    /// Whether a product is right.
    #[must_use]
    pub fn is_right(&self, found: &Found) -> bool {
        self.rules.iter().all(|rule| rule.holds(found))
    }
}

impl Rule {
    fn holds(&self, found: &Found) -> bool {
        let mut values = match self.field.as_str() {
            "id" => vec![found.id.as_str()],
            "title" => vec![found.title.as_str()],
            name => {
                let of = found.attributes.iter();
                let named = of.filter(|(attribute, _)| attribute.as_str() == name);
                named
                    .flat_map(|(_, values)| values)
                    .map(AttributeValue::as_str)
                    .collect()
            }
        }
        .into_iter();
        match &self.test {
            Test::OneOf(wanted) => values.any(|value| wanted.iter().any(|w| w == value)),
            // An expression that backtracks beyond its bound matches nothing.
            Test::Matches(regex) => values.any(|value| regex.is_match(value).unwrap_or(false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AttributeName, ProductId};

    fn found(id: &str, title: &str, attributes: &[(&str, &str)]) -> Found {
        Found {
            id: ProductId::new(id).expect("id"),
            title: title.to_owned(),
            attributes: attributes
                .iter()
                .map(|(name, value)| {
                    let value = AttributeValue::new(value).expect("value");
                    (AttributeName::new(name).expect("name"), vec![value])
                })
                .collect(),
            score: 0.0,
        }
    }

    #[test]
    fn every_rule_must_hold() {
        let query = ShopperQuery::parse(
            r#"{"q": "ray-ban sunglasses", "kind": "brand", "relevant": 97,
                "want": [{"title": "(?i)(?<!\\w)ray-?ban(?!\\w)"}, {"articleType": ["Sunglasses"]}]}"#,
        )
        .expect("a query");
        let right = |title, category| query.is_right(&found("1", title, &[("category", category)]));
        assert!(right("Ray-Ban Aviator", "Sunglasses") && right("RayBan", "Sunglasses"));
        assert!(!right("Ray-Ban Aviator", "Frames") && !right("Rayband", "Sunglasses"));
        assert_eq!((query.kind.as_str(), query.relevant), ("brand", Some(97)));
        let number = ShopperQuery::parse(r#"{"q": "7", "kind": "n", "want": [{"id": ["7"]}]}"#);
        assert!(number.expect("a query").is_right(&found("7", "x", &[])));
    }

    #[test]
    fn what_is_not_a_query_is_named_by_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("queries.jsonl");
        let error = |text: &str| {
            std::fs::write(&path, text).expect("written");
            ShopperQueries::load(&path)
                .expect_err("refused")
                .to_string()
        };
        let good = r#"{"q": "7", "kind": "n", "want": [{"id": ["7"]}]}"#;
        assert!(error(&format!("{good}\n{{}}\n")).contains("line 2: missing field"));
        assert!(error(r#"{"q": "7", "kind": "n", "want": []}"#).contains("has no rule"));
        assert!(error(r#"{"q": "7", "kind": "n", "want": [{"title": "("}]}"#).contains("line 1"));
        assert!(error("\n\n").contains("holds no query"));
    }
}
