//! What an evaluation leaves behind: one JSON document that a pipeline reads, a later run is compared with, and the
//! reports are made of.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bootstrap::{self, Estimate, Paired};
use super::catalog::CatalogResult;
use super::engine::Subject;
use super::metrics::Ranking;
use super::retrieval::RetrievalResult;
use super::zero_shot::ZeroShotResult;

/// Version of the document's format.
pub const FORMAT: u32 = 1;
/// Seed of all intervals and tests.
pub const SEED: u64 = 20_260_829;

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
    /// Before the figures' names: `fashion_mnist.macro_f1`. Empty when the document has a single part.
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
        whole_titles: Vec<Ranking>,
    },
}

/// A named figure in 0..=1 with its interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// A figure below which the command fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    pub figure: String,
    pub least: f64,
}

/// How a gate went.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub gate: Gate,
    /// `None`: there is no such figure, which fails the gate.
    pub value: Option<f64>,
}

#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("{path}: {source}")]
    Io { path: std::path::PathBuf, source: std::io::Error },
    #[error("{path} is no result of an evaluation: {source}")]
    Json { path: std::path::PathBuf, source: serde_json::Error },
    #[error("{path} is of format {got}, this program reads {FORMAT}")]
    Format { path: std::path::PathBuf, got: u32 },
}

impl Figure {
    /// The mean of a figure over cases; `None` of no cases.
    #[must_use]
    pub fn mean(name: &str, values: &[f64]) -> Option<Self> {
        Some(Self { name: name.to_owned(), estimate: bootstrap::mean_estimate(values, SEED)? })
    }
}

impl std::str::FromStr for Gate {
    type Err = String;

    /// `NAME=VALUE`, as in `c=0.35`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (figure, least) = text.split_once('=').ok_or_else(|| format!("{text:?} is not of the form c=0.35"))?;
        let least: f64 = least.trim().parse().map_err(|_| format!("{least:?} is no number"))?;
        if !(0.0..=1.0).contains(&least) {
            return Err(format!("{least} is no share: give a number from 0 to 1"));
        }
        Ok(Self { figure: figure.trim().to_owned(), least })
    }
}

impl Verdict {
    #[must_use]
    pub fn passed(&self) -> bool {
        self.value.is_some_and(|v| v >= self.gate.least)
    }
}

impl Part {
    /// The part's headline figures, with its prefix.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = match &self.outcome {
            Outcome::ZeroShot(result) => result.figures(),
            Outcome::Retrieval(result) => result.figures(),
            Outcome::Catalog { result, whole_titles } => result.figures(whole_titles),
        };
        if !self.prefix.is_empty() {
            for figure in &mut figures {
                figure.name = format!("{}.{}", self.prefix, figure.name);
            }
        }
        figures
    }

    /// The figure of every case, in an order that is the same for every model: what a paired test is made of. Each
    /// series has a name; those of two parts pair up by name.
    #[must_use]
    pub fn series(&self) -> Vec<(String, Vec<f64>)> {
        match &self.outcome {
            Outcome::ZeroShot(result) => result.series(),
            Outcome::Retrieval(result) => result.series(),
            Outcome::Catalog { result, .. } => {
                let question =
                    |value: fn(&super::catalog::QuestionResult) -> f64| result.questions.iter().map(value).collect();
                vec![
                    ("text_category_p10".to_owned(), question(|q| q.category_p10)),
                    ("text_both_p10".to_owned(), question(|q| q.both_p10)),
                    ("image_category_p10".to_owned(), result.photos.iter().map(|p| p.category_p10).collect()),
                    ("title_recall_10".to_owned(), result.titles.iter().map(|t| t.recall_at_10).collect()),
                ]
            }
        }
    }
}

impl Document {
    #[must_use]
    pub fn new(subject: Subject, parts: Vec<Part>) -> Self {
        let figures = parts.iter().flat_map(Part::figures).collect();
        Self { format: FORMAT, subject, figures, parts }
    }

    #[must_use]
    pub fn figure(&self, name: &str) -> Option<&Estimate> {
        self.figures.iter().find(|f| f.name == name).map(|f| &f.estimate)
    }

    #[must_use]
    pub fn judge(&self, gates: &[Gate]) -> Vec<Verdict> {
        let verdict = |gate: &Gate| Verdict { gate: gate.clone(), value: self.figure(&gate.figure).map(|e| e.value) };
        gates.iter().map(verdict).collect()
    }

    /// # Errors
    /// When the file cannot be read or is of another kind or format.
    pub fn load(path: &Path) -> Result<Self, DocumentError> {
        let io = |source| DocumentError::Io { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(io)?;
        let document: Self =
            serde_json::from_str(&text).map_err(|source| DocumentError::Json { path: path.to_owned(), source })?;
        if document.format != FORMAT {
            return Err(DocumentError::Format { path: path.to_owned(), got: document.format });
        }
        Ok(document)
    }

    /// Paired tests of this document against an earlier one, for every series that both have on the same data.
    #[must_use]
    pub fn against(&self, base: &Self) -> Vec<(String, Paired)> {
        let mut tests = Vec::new();
        for part in &self.parts {
            let Some(other) = base.parts.iter().find(|p| p.prefix == part.prefix && p.data_sha256 == part.data_sha256)
            else {
                continue;
            };
            let theirs = other.series();
            let mut named = |name: String, test: Paired| {
                let name = if part.prefix.is_empty() { name } else { format!("{}.{name}", part.prefix) };
                tests.push((name, test));
            };
            for (name, ours) in part.series() {
                let Some((_, base)) = theirs.iter().find(|(n, _)| *n == name) else { continue };
                if let Some(test) = bootstrap::paired(base, &ours, SEED) {
                    named(name, test);
                }
            }
            if let (Outcome::ZeroShot(ours), Outcome::ZeroShot(theirs)) = (&part.outcome, &other.outcome) {
                ours.paired(theirs).into_iter().for_each(|(name, test)| named(name, test));
            }
        }
        tests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read_and_judged() {
        let gate: Gate = "c=0.35".parse().expect("a gate");
        assert_eq!(gate, Gate { figure: "c".to_owned(), least: 0.35 });
        for bad in ["c", "c=x", "c=35", "c=-0.1"] {
            assert!(bad.parse::<Gate>().is_err(), "{bad}");
        }
        let verdict = |value| Verdict { gate: gate.clone(), value };
        assert!(verdict(Some(0.35)).passed());
        assert!(!verdict(Some(0.349)).passed());
        assert!(!verdict(None).passed(), "a figure that does not exist is no reason to go on");
    }
}
