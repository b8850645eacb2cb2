//! Which model a service answers with, which it did before, and which it is to.

use std::path::PathBuf;

/// A model, and what else decides on the vectors of the products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its folder.
    pub model: PathBuf,
    /// Share of the words in a product's vector, in percent; `None`: that of the settings.
    pub words_percent: Option<u8>,
}

/// What was chosen while services ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// What answers, and the setting `model` in whose place it does: with another setting it counts
    /// no more.
    pub chosen: Option<(PathBuf, Served)>,
    /// What answered before.
    pub previous: Option<Served>,
    /// What is to answer, once everything is embedded.
    pub wanted: Option<Wanted>,
}

/// What is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub served: Served,
    /// Whether it is checked before it does.
    pub checked: bool,
    /// Why it was given up, when it was.
    pub failed: Option<String>,
}

impl Serving {
    /// What a service with this setting answers with.
    #[must_use]
    pub fn of(&self, setting: &std::path::Path) -> Served {
        match &self.chosen {
            Some((over, served)) if over == setting => served.clone(),
            _ => Served {
                model: setting.to_owned(),
                words_percent: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_setting_goes_before_what_was_chosen() {
        let served = |model: &str| Served {
            model: model.into(),
            words_percent: None,
        };
        let serving = Serving {
            chosen: Some(("models/a".into(), served("models/b"))),
            ..Serving::default()
        };
        assert_eq!(serving.of("models/a".as_ref()), served("models/b"));
        assert_eq!(serving.of("models/c".as_ref()), served("models/c"));
        assert_eq!(
            Serving::default().of("models/a".as_ref()),
            served("models/a")
        );
    }
}
