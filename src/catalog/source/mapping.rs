//! A mapping: which columns of a shop's own table are which fields of a product.
//!
//! ```toml
//! separator = ";"       # default: seen in the first line
//! decimal = ","         # before the decimals of prices; default: seen in each price
//! list = "|"            # between several values of one field; default: a field is one value
//!
//! [columns]             # column -> field
//! "Artikel-Nr" = "id"
//! "Bezeichnung" = "title"
//! "Farbe" = "attributes.color"
//! "Bild" = "image"
//!
//! [values]              # what all products have that say nothing else
//! currency = "EUR"
//! "attributes.brand" = "Norrfold"
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::describe::{FIELDS, attribute_name};
use super::row::{SourceError, nearest};

/// What a shop says of its feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping {
    pub(super) separator: Option<char>,
    pub(super) decimal: Option<char>,
    pub(super) list: Option<char>,
    /// Column -> field, in no order.
    pub(super) columns: BTreeMap<String, Field>,
    pub(super) values: Map<String, Value>,
}

/// Where the value of a column goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// One of [`FIELDS`], or `category`: a path such as `Shoes > Boots`.
    Of(&'static str),
    Attribute(String),
    /// It is known, and not wanted: not reported.
    Nothing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    separator: Option<String>,
    decimal: Option<String>,
    list: Option<String>,
    #[serde(default)]
    columns: BTreeMap<String, String>,
    #[serde(default)]
    values: Map<String, Value>,
}

impl Mapping {
    /// # Errors
    /// When there is no such file, or it is no mapping.
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        let text = std::fs::read_to_string(path).map_err(|source| SourceError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|reason| SourceError::Mapping {
            path: path.to_owned(),
            reason,
        })
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let columns = file.columns.into_iter().map(|(column, field)| {
            let field = Field::parse(&field).map_err(|why| format!("column {column:?}: {why}"))?;
            Ok((column, field))
        });
        for (name, value) in &file.values {
            let known = match Field::parse(name).map_err(|why| format!("values: {why}"))? {
                Field::Of(field) => {
                    !["id", "title", "image", "images", "category"].contains(&field)
                }
                Field::Attribute(_) => true,
                Field::Nothing => false,
            };
            let fits = value.is_string() || value.is_number() || value.is_boolean();
            if !known || !fits {
                return Err(format!(
                    "values: {name} = {value}: a text or a number that all products may have, such as currency = \"EUR\""
                ));
            }
        }
        let decimal = one(file.decimal, "decimal")?;
        if decimal.is_some_and(|decimal| !matches!(decimal, '.' | ',')) {
            return Err("decimal is \".\" or \",\"".to_owned());
        }
        let columns: BTreeMap<_, _> = columns.collect::<Result<_, String>>()?;
        for field in ["id", "title"] {
            if !columns.is_empty() && !columns.values().any(|known| *known == Field::Of(field)) {
                return Err(format!("no column is the {field} of a product"));
            }
        }
        Ok(Self {
            separator: one(file.separator, "separator")?,
            decimal,
            list: one(file.list, "list")?,
            columns,
            values: file.values,
        })
    }
}

impl Field {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Nothing);
        }
        if let Some(name) = text.strip_prefix("attributes.") {
            let name = attribute_name(name)?;
            return Ok(Self::Attribute(name.as_str().to_owned()));
        }
        let fields = FIELDS.into_iter().filter(|field| *field != "attributes");
        let field = fields.chain(["category"]).find(|field| *field == text);
        field.map(Self::Of).ok_or_else(|| {
            let attribute = format!("attributes.{text}");
            let near = nearest(text, FIELDS.into_iter()).unwrap_or(attribute);
            format!("{text:?} is not a field of a product; did you mean {near:?}?")
        })
    }
}

fn one(text: Option<String>, name: &str) -> Result<Option<char>, String> {
    let Some(text) = text else { return Ok(None) };
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter != '"' && letter != '\n' => Ok(Some(letter)),
        _ => Err(format!("{name} is one character, not {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_says_which_columns_are_which_fields() {
        let mapping = Mapping::parse(
            "separator = \";\"\ndecimal = \",\"\n[columns]\n\"Artikel-Nr\" = \"id\"\nName = \"title\"\n\
             Farbe = \"attributes.color\"\nNotiz = \"\"\n[values]\ncurrency = \"EUR\"\n\"attributes.brand\" = \"N\"\n",
        )
        .expect("a mapping");
        assert_eq!((mapping.separator, mapping.decimal), (Some(';'), Some(',')));
        assert_eq!(mapping.columns["Farbe"], Field::Attribute("color".into()));
        assert_eq!(mapping.columns["Notiz"], Field::Nothing);
        assert_eq!(mapping.values.len(), 2);
        assert_eq!(Mapping::parse("").expect("nothing"), Mapping::default());
        for (text, says) in [
            ("[columns]\na = \"id\"", "the title of a product"),
            ("[columns]\na = \"tilte\"", "did you mean \"title\"?"),
            (
                "[columns]\na = \"color\"",
                "did you mean \"attributes.color\"?",
            ),
            ("[columns]\na = \"attributes.q\"", "parameter"),
            ("separator = \";;\"", "one character"),
            ("decimal = \"x\"", "decimal is"),
            ("[values]\nid = \"1\"", "values: id"),
            ("[values]\ncurrency = [\"EUR\"]", "values: currency"),
            ("column = 1", "column"),
        ] {
            let error = Mapping::parse(text).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
    }
}
