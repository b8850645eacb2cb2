//! Caption templates: a TOML file, checked once, then filled in for every product.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::domain::single_spaced;
use crate::evaluate::data::data_set::Entry;

/// The templates that are used when none are given; also the format's documentation.
pub const DEFAULT: &str = include_str!("captions.toml");

/// Names that no product need have: every product has a title, sentences come
/// later (`enrich`), and brands are read out of titles where enough products share one.
const OPTIONAL: [&str; 3] = ["title", "sentence", "brand"];

#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("{path}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the caption templates: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("the caption templates: the list is empty")]
    None,
    #[error("the caption template {template:?}: a brace is not closed, or is empty")]
    Braces { template: String },
}

/// Several ways to put a product into words.
#[derive(Clone, Debug)]
pub struct Templates {
    source: String,
    list: Vec<Template>,
    absent: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone, Debug)]
struct Template {
    pieces: Vec<Piece>,
    /// Attribute -> the value that a product must have for this template.
    when: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Words(String),
    Slot(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    templates: Vec<Written>,
    #[serde(default)]
    absent: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Always(String),
    When(Conditional),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Conditional {
    text: String,
    when: BTreeMap<String, String>,
}

impl Templates {
    /// # Errors
    /// When the file cannot be read, has unknown fields, no template, or a template whose braces do
    /// not match.
    pub fn open(path: &Path) -> Result<Self, TemplateError> {
        let text = std::fs::read_to_string(path).map_err(|source| TemplateError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text)
    }

    /// # Errors
    /// As [`Self::open`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let file: File = toml::from_str(text)?;
        if file.templates.is_empty() {
            return Err(TemplateError::None);
        }
        let template = |written: Written| match written {
            Written::Always(text) => Ok(Template {
                pieces: pieces(&text)?,
                when: BTreeMap::new(),
            }),
            Written::When(Conditional { text, when }) => Ok(Template {
                pieces: pieces(&text)?,
                when,
            }),
        };
        let list = file
            .templates
            .into_iter()
            .map(template)
            .collect::<Result<_, TemplateError>>()?;
        Ok(Self {
            source: text.to_owned(),
            list,
            absent: file.absent,
        })
    }

    /// The file's text, to be kept with what was made by it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether a template names the attribute.
    #[must_use]
    pub fn names(&self, attribute: &str) -> bool {
        let named = |piece: &Piece| matches!(piece, Piece::Slot(name) if name == attribute);
        self.list.iter().flat_map(|t| &t.pieces).any(named)
    }

    /// The names in braces that no product of `entries` has: probably misspelled, but for
    /// [`OPTIONAL`].
    #[must_use]
    pub fn unknown<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> BTreeSet<String> {
        let slots = self
            .list
            .iter()
            .flat_map(|t| &t.pieces)
            .filter_map(|piece| match piece {
                Piece::Slot(name) if !OPTIONAL.contains(&name.as_str()) => Some(name),
                _ => None,
            });
        let conditions = self.list.iter().flat_map(|t| t.when.keys());
        let mut names: BTreeSet<String> = slots.chain(conditions).cloned().collect();
        for entry in entries {
            names.retain(|name| !entry.attributes.contains_key(name));
        }
        names
    }

    /// The captions of a product: each template whose slots all have a value, once. Of several values
    /// of an attribute the first is used. Lower case, as the text tower reads everything.
    #[must_use]
    pub fn fill(&self, entry: &Entry) -> Vec<String> {
        let mut captions: Vec<String> = Vec::new();
        for template in &self.list {
            let has = |(name, wanted): (&String, &String)| {
                entry
                    .attributes
                    .get(name)
                    .is_some_and(|v| v.iter().any(|v| v.eq_ignore_ascii_case(wanted)))
            };
            if !template.when.iter().all(has) {
                continue;
            }
            let words: Option<Vec<&str>> = template
                .pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Words(words) => Some(words.as_str()),
                    Piece::Slot(name) => self.value(entry, name),
                })
                .collect();
            let Some(words) = words else { continue };
            let caption = single_spaced(&words.concat().to_lowercase());
            if !captions.contains(&caption) {
                captions.push(caption);
            }
        }
        captions
    }

    fn value<'a>(&self, entry: &'a Entry, name: &str) -> Option<&'a str> {
        let value = match name {
            "title" => Some(entry.title.as_str()),
            "sentence" => entry.sentence.as_deref(),
            _ => entry
                .attributes
                .get(name)
                .and_then(|v| v.first())
                .map(String::as_str),
        }?;
        let absent = self
            .absent
            .get(name)
            .is_some_and(|words| words.contains(&value.to_lowercase()));
        (!absent).then_some(value)
    }
}

fn pieces(template: &str) -> Result<Vec<Piece>, TemplateError> {
    let wrong = || TemplateError::Braces {
        template: template.to_owned(),
    };
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((words, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(wrong)?;
        if name.trim().is_empty() || name.contains('{') || words.contains('}') {
            return Err(wrong());
        }
        pieces.push(Piece::Words(words.to_owned()));
        pieces.push(Piece::Slot(name.trim().to_owned()));
        rest = after;
    }
    if rest.contains('}') {
        return Err(wrong());
    }
    pieces.push(Piece::Words(rest.to_owned()));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::data::data_set::PictureLocation;

    fn shoe(laces: Option<&str>) -> Entry {
        let attributes = [
            ("color", Some("Navy Blue")),
            ("category", Some("Casual Shoes")),
            ("shoelace_color", laces),
        ];
        let attributes = attributes
            .into_iter()
            .filter_map(|(n, v)| Some((n.to_owned(), vec![v?.to_owned()])))
            .collect();
        Entry {
            attributes,
            ..Entry {
                id: "7".to_owned(),
                title: "Vans Authentic".to_owned(),
                image: PictureLocation::File {
                    file: PathBuf::new(),
                },
                attributes: BTreeMap::new(),
                sentence: None,
                captions: Vec::new(),
            }
        }
    }

    #[test]
    fn a_template_is_used_only_if_all_its_values_are_known() {
        let templates = Templates::parse(
            "templates = ['{title}', '{color}  {category}', '{category} with {shoelace_color} laces', '{sentence}']\n\
             [absent]\nshoelace_color = ['none']",
        )
        .expect("templates");
        let base = ["vans authentic", "navy blue casual shoes"];
        assert_eq!(templates.fill(&shoe(None)), base);
        assert_eq!(templates.fill(&shoe(Some("None"))), base);
        assert_eq!(
            templates.fill(&shoe(Some("red")))[2..],
            ["casual shoes with red laces"]
        );
        let without = Templates::parse(
            "templates = ['{color} {category}', { text = '{category} without laces', when = { shoelace_color = 'none' } }]",
        )
        .expect("templates");
        assert_eq!(
            without.fill(&shoe(Some("None"))),
            ["navy blue casual shoes", "casual shoes without laces"]
        );
        assert_eq!(without.fill(&shoe(Some("red"))), ["navy blue casual shoes"]);
        let described = Entry {
            sentence: Some("A blue shoe.".to_owned()),
            ..shoe(None)
        };
        assert_eq!(templates.fill(&described)[2..], ["a blue shoe."]);
    }

    #[test]
    fn mistakes_are_reported() {
        let odd = "templates = [{ text = '{title}', if = { color = 'red' } }]";
        assert!(matches!(Templates::parse(odd), Err(TemplateError::Toml(_))));
        for wrong in ["'{title'", "'title}'", "'{}'", "'{a{b}}'"] {
            let parsed = Templates::parse(&format!("templates = [{wrong}]"));
            assert!(
                matches!(parsed, Err(TemplateError::Braces { .. })),
                "{wrong}"
            );
        }
        assert!(matches!(
            Templates::parse("templates = []"),
            Err(TemplateError::None)
        ));
        assert!(matches!(
            Templates::parse("template = ['x']"),
            Err(TemplateError::Toml(_))
        ));
        let templates =
            Templates::parse("templates = ['{colour} {category} {title}']").expect("templates");
        assert_eq!(
            templates.unknown([shoe(None)].iter()),
            BTreeSet::from(["colour".to_owned()])
        );
        let templates = Templates::parse("templates = ['{brand} {category}', '{sentence}']")
            .expect("templates");
        assert_eq!(templates.unknown([shoe(None)].iter()), BTreeSet::new());
        assert!(templates.names("sentence") && !templates.names("title"));
    }

    #[test]
    fn the_default_templates_are_templates() {
        assert!(
            Templates::parse(DEFAULT)
                .expect("templates")
                .fill(&shoe(Some("red")))
                .len()
                > 4
        );
    }
}
