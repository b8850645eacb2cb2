//! Prompts: the texts that classes of labeled images are asked with.
//!
//! `{}` is replaced by the class, `{category}` by the image's own value of that attribute (lower
//! case): "{category} with {} shoelaces" becomes "casual shoes with white shoelaces". Labeled
//! images bring prompts of their own ([`LabeledImages::prompts`]); other templates, or a file,
//! replace them.
//!
//! [`LabeledImages::prompts`]: crate::evaluate::data::labeled_images::LabeledImages::prompts

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{AttributeName, single_spaced};

/// A TOML file:
///
/// ```toml
/// templates = ["a photo of {}", "{}"]
/// [names]                       # what a class is called in the templates; else its own name in lower case
/// "T-shirt/top" = "t-shirt"
/// [instead]                     # other templates for a class
/// none = ["{category} without shoelaces"]
/// ```
///
/// Letter case of a class does not matter: `none` applies to a class `None` too, which keeps its
/// name in every report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompts {
    pub templates: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instead: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptsError {
    #[error("there is no template to make class texts of")]
    NoTemplates,
    #[error("the prompts name a class {class:?} that the data does not have")]
    UnknownClass { class: String },
}

impl Default for Prompts {
    /// The class's name alone, and in a photo.
    fn default() -> Self {
        Self::of(&["{}", "a photo of {}"].map(str::to_owned))
    }
}

impl Prompts {
    /// What a catalog's attribute is asked with when nothing else is said: the category by its
    /// name, a color before the category, anything else as "{category} with {} shoelaces" and, for
    /// `none`, "without".
    #[must_use]
    pub fn for_attribute(attribute: &AttributeName) -> Self {
        let noun = match attribute.as_str() {
            "category" => return Self::of(&["{}".to_owned()]),
            "color" => return Self::of(&["{} {category}".to_owned()]),
            "gender" => return Self::of(&["{category} for {}".to_owned()]),
            "shoelace_color" => "shoelaces".to_owned(),
            other => other.trim_end_matches("_color").replace('_', " "),
        };
        let without = vec![format!("{{category}} without {noun}")];
        let instead = BTreeMap::from([("none".to_owned(), without)]);
        Self {
            instead,
            ..Self::of(&[format!("{{category}} with {{}} {noun}")])
        }
    }

    #[must_use]
    pub fn of(templates: &[String]) -> Self {
        Self {
            templates: templates.to_vec(),
            names: BTreeMap::new(),
            instead: BTreeMap::new(),
        }
    }

    /// With words for classes whose own name is not used in speech.
    #[must_use]
    pub fn called(mut self, names: &[(&str, &str)]) -> Self {
        self.names.extend(
            names
                .iter()
                .map(|(class, words)| ((*class).to_owned(), (*words).to_owned())),
        );
        self
    }

    /// Without what is said of classes that are not among these: prompts for an attribute, as they
    /// fit some of its values.
    #[must_use]
    pub fn only(mut self, classes: &[String]) -> Self {
        self.names.retain(|class, _| is_among(class, classes));
        self.instead.retain(|class, _| is_among(class, classes));
        self
    }

    /// # Errors
    /// When there is no template, or one names a class that is not among these.
    pub fn check(&self, classes: &[String]) -> Result<(), PromptsError> {
        if self.templates.is_empty() || self.instead.values().any(Vec::is_empty) {
            return Err(PromptsError::NoTemplates);
        }
        match self
            .names
            .keys()
            .chain(self.instead.keys())
            .find(|class| !is_among(class, classes))
        {
            Some(class) => Err(PromptsError::UnknownClass {
                class: class.clone(),
            }),
            None => Ok(()),
        }
    }

    /// The texts of a class for an image with these attributes.
    #[must_use]
    pub fn texts(&self, class: &str, attributes: &BTreeMap<String, String>) -> Vec<String> {
        let name = said_of(&self.names, class)
            .cloned()
            .unwrap_or_else(|| class.to_lowercase());
        let templates = said_of(&self.instead, class).unwrap_or(&self.templates);
        templates
            .iter()
            .map(|template| fill(template, &name, attributes))
            .collect()
    }
}

fn is_among(class: &str, classes: &[String]) -> bool {
    let folded = class.to_lowercase();
    classes.iter().any(|other| other.to_lowercase() == folded)
}

/// The class's own entry, or else the one that differs in letter case.
fn said_of<'a, T>(entries: &'a BTreeMap<String, T>, class: &str) -> Option<&'a T> {
    entries.get(class).or_else(|| {
        let folded = class.to_lowercase();
        entries
            .iter()
            .find(|(name, _)| name.to_lowercase() == folded)
            .map(|(_, said)| said)
    })
}

/// Puts class and attributes in; an attribute that the image lacks leaves nothing behind.
fn fill(template: &str, class: &str, attributes: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            text.push('{');
            rest = after;
            continue;
        };
        match name {
            "" => text.push_str(class),
            name => text.push_str(
                &attributes
                    .get(name)
                    .map(|v| v.to_lowercase())
                    .unwrap_or_default(),
            ),
        }
        rest = after;
    }
    text.push_str(rest);
    single_spaced(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled() {
        let attributes = BTreeMap::from([("category".to_owned(), "Casual Shoes".to_owned())]);
        let text = |template: &str| fill(template, "white", &attributes);
        assert_eq!(
            text("{category} with {} shoelaces"),
            "casual shoes with white shoelaces"
        );
        assert_eq!(text("{gender} {category} , {}"), "casual shoes , white");
        assert_eq!(text("a { brace"), "a { brace");
        assert_eq!(text("plain"), "plain");
    }

    #[test]
    fn classes_may_have_names_and_templates_of_their_own() {
        let prompts: Prompts = toml::from_str(
            "templates = [\"a photo of {}\", \"{}\"]\n[names]\nTshirts = \"t-shirt\"\n[instead]\nnone = [\"without laces\"]\n",
        )
        .expect("prompts");
        let none = BTreeMap::new();
        assert_eq!(
            prompts.texts("Tshirts", &none),
            ["a photo of t-shirt", "t-shirt"]
        );
        assert_eq!(prompts.texts("Dress", &none), ["a photo of dress", "dress"]);
        assert_eq!(prompts.texts("none", &none), ["without laces"]);
        let classes = ["Tshirts", "none"].map(str::to_owned);
        assert_eq!(prompts.check(&classes), Ok(()));
        assert!(matches!(
            prompts.check(&classes[..1]),
            Err(PromptsError::UnknownClass { .. })
        ));
        assert_eq!(prompts.only(&classes[..1]).check(&classes[..1]), Ok(()));
        assert_eq!(
            Prompts::of(&[]).check(&classes),
            Err(PromptsError::NoTemplates)
        );
    }

    #[test]
    fn letter_case_does_not_matter() {
        let classes = ["None", "White"].map(str::to_owned);
        let prompts =
            Prompts::for_attribute(&AttributeName::new("shoelace_color").expect("a name"))
                .only(&classes);
        assert_eq!(prompts.check(&classes), Ok(()));
        let attributes = BTreeMap::from([("category".to_owned(), "Flats".to_owned())]);
        assert_eq!(
            prompts.texts("None", &attributes),
            ["flats without shoelaces"]
        );
        assert_eq!(
            prompts.texts("White", &attributes),
            ["flats with white shoelaces"]
        );
        assert!(prompts.only(&classes[1..]).instead.is_empty());
        let called = Prompts::default().called(&[("Bag", "handbag")]);
        assert_eq!(
            called.texts("BAG", &attributes),
            ["handbag", "a photo of handbag"]
        );
    }
}
