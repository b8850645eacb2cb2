//! What an evaluation leaves behind: one JSON document that a pipeline reads, a later run is
//! compared with, and the reports are made of.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bootstrap::{self, Estimate, Paired};
use super::catalog::{CatalogResult, TitleResult};
use super::engine::Subject;
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
}

/// A named figure in 0..=1 with its interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// A figure case by case: the mean of it is a [`Figure`], and two of the same name make a paired
/// test.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    /// What names the case (a question, a product, an image), and what it is worth.
    pub cases: Vec<(String, f64)>,
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
    Io {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is no result of an evaluation: {source}")]
    Json {
        path: std::path::PathBuf,
        source: serde_json::Error,
    },
    #[error("{path} is of format {got}, this program reads {FORMAT}")]
    Format { path: std::path::PathBuf, got: u32 },
}

impl Series {
    /// The mean with its interval; `None` of no cases.
    #[must_use]
    pub fn mean(&self) -> Option<Figure> {
        let values: Vec<f64> = self.cases.iter().map(|(_, value)| *value).collect();
        Some(Figure {
            name: self.name.clone(),
            estimate: bootstrap::mean_estimate(&values, SEED)?,
        })
    }

    /// Compares another model's with this one over the cases that both have: one of them may have
    /// failed where the other did not. `None` where they have none in common.
    #[must_use]
    pub fn paired(&self, base: &Self) -> Option<Paired> {
        let theirs: HashMap<&str, f64> = base
            .cases
            .iter()
            .map(|(case, value)| (case.as_str(), *value))
            .collect();
        let both = self
            .cases
            .iter()
            .filter_map(|(case, value)| Some((*theirs.get(case.as_str())?, *value)));
        let (first, second): (Vec<f64>, Vec<f64>) = both.unzip();
        bootstrap::paired(&first, &second, SEED)
    }
}

impl Outcome {
    /// Questions that were not asked or not answered. Images that cannot be read are none of them:
    /// no model is asked.
    #[must_use]
    pub fn failures(&self) -> usize {
        match self {
            Self::ZeroShot(_) => 0,
            Self::Retrieval(result) => result.errors(),
            Self::Catalog { result, .. } => result.failures.len(),
        }
    }
}

impl std::str::FromStr for Gate {
    type Err = String;

    /// `NAME=VALUE`, as in `c=0.35`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (figure, least) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not of the form c=0.35"))?;
        let least: f64 = least
            .trim()
            .parse()
            .map_err(|_| format!("{least:?} is no number"))?;
        if !(0.0..=1.0).contains(&least) {
            return Err(format!("{least} is no share: give a number from 0 to 1"));
        }
        Ok(Self {
            figure: figure.trim().to_owned(),
            least,
        })
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
            Outcome::Catalog {
                result,
                whole_titles,
            } => result.figures(whole_titles),
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

    #[must_use]
    pub fn judge(&self, gates: &[Gate]) -> Vec<Verdict> {
        let verdict = |gate: &Gate| Verdict {
            gate: gate.clone(),
            value: self.figure(&gate.figure).map(|e| e.value),
        };
        gates.iter().map(verdict).collect()
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

/// Writes a file that shows results, and the folders above it.
///
/// # Errors
/// When the file or a folder cannot be written; which one stands in the error.
pub fn write(path: &Path, text: &str) -> Result<(), DocumentError> {
    let io = |path: &Path, source| DocumentError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| io(folder, source))?;
    }
    std::fs::write(path, text).map_err(|source| io(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_pair_by_their_cases() {
        let series = |cases: &[(&str, f64)]| Series {
            name: "p10".to_owned(),
            cases: cases
                .iter()
                .map(|(case, value)| ((*case).to_owned(), *value))
                .collect(),
        };
        let base = series(&[("red shoes", 0.5), ("black shoes", 0.2), ("boots", 0.1)]);
        // The first question failed: what stands in a place is not what stood there.
        let ours = series(&[("boots", 0.1), ("black shoes", 0.4), ("sandals", 1.0)]);
        let test = ours.paired(&base).expect("two in common");
        assert_eq!((test.better, test.equal, test.worse), (1, 1, 0));
        assert!((test.difference.value - 0.1).abs() < 1e-12);
        assert!(ours.paired(&series(&[("belts", 1.0)])).is_none() && series(&[]).mean().is_none());
    }

    #[test]
    fn other_shares_of_words_are_doubted() {
        let with = |words_percent| {
            let mut document = super::super::fixtures::document();
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

    #[test]
    fn gates_are_read_and_judged() {
        let gate: Gate = "c=0.35".parse().expect("a gate");
        assert_eq!(
            gate,
            Gate {
                figure: "c".to_owned(),
                least: 0.35
            }
        );
        for bad in ["c", "c=x", "c=35", "c=-0.1"] {
            assert!(bad.parse::<Gate>().is_err(), "{bad}");
        }
        let verdict = |value| Verdict {
            gate: gate.clone(),
            value,
        };
        assert!(verdict(Some(0.35)).passed());
        assert!(!verdict(Some(0.349)).passed());
        assert!(
            !verdict(None).passed(),
            "a figure that does not exist is no reason to go on"
        );
    }
}
