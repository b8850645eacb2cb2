//! The result of an evaluation: one JSON document. A pipeline reads it, a later run is compared
//! with it, and the reports are made of it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::catalog::result::{CatalogResult, TitleResult};
use super::retrieval::RetrievalResult;
use super::shopper::ShopperResult;
use super::zero_shot::ZeroShotResult;
use crate::evaluate::stats::bootstrap::{Estimate, Paired};
use crate::evaluate::stats::figure::{Figure, Series};
use crate::evaluate::subject::Subject;

/// Version of the document's format.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    pub format: u32,
    pub subject: Subject,
    /// The headline figures of all parts, each under a name of its own.
    pub figures: Vec<Figure>,
    pub parts: Vec<Part>,
}

/// One benchmark's outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Before the figures' names: `fashion_mnist.macro_f1`. Empty when the document has a single
    /// part.
    #[serde(default)]
    pub prefix: String,
    pub title: String,
    /// Names the data: parts on different data are never compared.
    pub data_sha256: String,
    pub seconds: f64,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    ZeroShot(ZeroShotResult),
    Retrieval(RetrievalResult),
    Catalog {
        #[serde(flatten)]
        result: CatalogResult,
        /// Over the whole ranking; empty when asked through an API.
        whole_titles: Vec<TitleResult>,
    },
    Shopper(ShopperResult),
}

#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not the result of an evaluation: {source}")]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{path} is of format {got}, this program reads {FORMAT}")]
    Format { path: PathBuf, got: u32 },
}

impl Outcome {
    /// Questions that were not asked or not answered. Images that cannot be read do not count: no
    /// model is asked about them.
    #[must_use]
    pub fn failures(&self) -> usize {
        match self {
            Self::ZeroShot(_) => 0,
            Self::Retrieval(result) => result.errors(),
            Self::Catalog { result, .. } => result.failures.len(),
            Self::Shopper(result) => result.failures.len(),
        }
    }
}

impl Part {
    /// The part's headline figures, with its prefix.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = match &self.outcome {
            Outcome::ZeroShot(result) => result.figures(),
            Outcome::Retrieval(result) => result.figures(),
            Outcome::Catalog {
                result,
                whole_titles,
            } => result.figures(whole_titles),
            Outcome::Shopper(result) => result.figures(),
        };
        if !self.prefix.is_empty() {
            for figure in &mut figures {
                figure.name = format!("{}.{}", self.prefix, figure.name);
            }
        }
        figures
    }

    /// The figures that are means, case by case.
    #[must_use]
    pub fn series(&self) -> Vec<Series> {
        match &self.outcome {
            Outcome::ZeroShot(result) => result.series(),
            Outcome::Retrieval(result) => result.series(),
            Outcome::Catalog {
                result,
                whole_titles,
            } => result.series(whole_titles),
            Outcome::Shopper(result) => result.series(),
        }
    }

    /// Paired tests against another model's part on the same data, figure by figure.
    fn against(&self, base: &Self) -> Vec<(String, Paired)> {
        let (theirs, mut tests) = (base.series(), Vec::new());
        let mut test_series = || {
            for ours in self.series() {
                let test = theirs
                    .iter()
                    .find(|base| base.name == ours.name)
                    .and_then(|base| ours.paired(base));
                tests.extend(test.map(|test| (ours.name, test)));
            }
        };
        match (&self.outcome, &base.outcome) {
            // Images have no name but their place.
            (Outcome::ZeroShot(ours), Outcome::ZeroShot(theirs)) if ours.pairs_with(theirs) => {
                test_series();
                tests.extend(ours.paired(theirs));
            }
            (Outcome::ZeroShot(_), _) => {}
            _ => test_series(),
        }
        if !self.prefix.is_empty() {
            for (name, _) in &mut tests {
                *name = format!("{}.{name}", self.prefix);
            }
        }
        tests
    }
}

impl Document {
    #[must_use]
    pub fn new(subject: Subject, parts: Vec<Part>) -> Self {
        let figures = parts.iter().flat_map(Part::figures).collect();
        Self {
            format: FORMAT,
            subject,
            figures,
            parts,
        }
    }

    #[must_use]
    pub fn figure(&self, name: &str) -> Option<&Estimate> {
        self.figures
            .iter()
            .find(|f| f.name == name)
            .map(|f| &f.estimate)
    }

    /// Questions of all parts that were not asked or not answered.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.parts.iter().map(|part| part.outcome.failures()).sum()
    }

    /// # Errors
    /// When the file cannot be read or is of another kind or format.
    pub fn load(path: &Path) -> Result<Self, DocumentError> {
        let io = |source| DocumentError::Io {
            path: path.to_owned(),
            source,
        };
        let text = std::fs::read_to_string(path).map_err(io)?;
        let document: Self = serde_json::from_str(&text).map_err(|source| DocumentError::Json {
            path: path.to_owned(),
            source,
        })?;
        if document.format != FORMAT {
            return Err(DocumentError::Format {
                path: path.to_owned(),
                got: document.format,
            });
        }
        Ok(document)
    }

    /// The part that was measured on this data.
    #[must_use]
    pub fn part(&self, prefix: &str, data_sha256: &str) -> Option<&Part> {
        self.parts
            .iter()
            .find(|part| part.prefix == prefix && part.data_sha256 == data_sha256)
    }

    /// Paired tests of this document against an earlier one, for every series that both have on the
    /// same data.
    #[must_use]
    pub fn against(&self, base: &Self) -> Vec<(String, Paired)> {
        let both = self
            .parts
            .iter()
            .filter_map(|part| Some((part, base.part(&part.prefix, &part.data_sha256)?)));
        both.flat_map(|(part, other)| part.against(other)).collect()
    }

    /// What makes the difference to an earlier document another thing than the models' difference.
    #[must_use]
    pub fn doubt(&self, base: &Self) -> Option<String> {
        let (ours, theirs) = (self.subject.words_percent?, base.subject.words_percent?);
        (ours != theirs).then(|| {
            format!(
                "words make up {ours}% of a product's vector here and {theirs}% in the baseline: the difference is not \
                 the models' alone"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn other_shares_of_words_are_doubted() {
        let with = |words_percent| {
            let mut document = crate::evaluate::fixtures::document();
            document.subject.words_percent = words_percent;
            document
        };
        assert!(
            with(Some(30))
                .doubt(&with(Some(0)))
                .is_some_and(|doubt| doubt.contains("30%") && doubt.contains("0%"))
        );
        assert_eq!(with(Some(30)).doubt(&with(Some(30))), None);
        assert_eq!(
            with(Some(30)).doubt(&with(None)),
            None,
            "an earlier document does not say"
        );
    }
}
