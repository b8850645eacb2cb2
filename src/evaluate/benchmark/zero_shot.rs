//! Zero-shot classification: an image is of the class whose text is nearest by cosine.
//!
//! Class texts come from [`Prompts`]. Several templates are ensembled as CLIP does it: the mean of
//! the unit embeddings, scaled to unit length (Radford et al., arXiv 2103.00020, section 3.1.4). Of
//! classes whose texts are equally near, the first one is taken.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{Embedding, EmbeddingError};
use crate::evaluate::data::labeled_images::{LabeledImages, LabeledImagesError};
use crate::evaluate::data::prompts::{Prompts, PromptsError};
use crate::evaluate::stats::bootstrap::{self, Estimate, Paired};
use crate::evaluate::stats::classification::{
    Report, ReportError, Rows, TopK, ZeroDivision, f1_averages, judge,
};
use crate::evaluate::stats::figure::{Figure, SEED, Series};
use crate::evaluate::stats::metrics::rank_points;
use crate::evaluate::subject::embedder::{Embedder, EmbedderError};
use crate::util::digest::{hex, sha256};

/// The averages that lead, as [`f1_averages`] has them.
const AVERAGES: [&str; 2] = ["macro_f1", "weighted_f1"];

#[derive(Debug, thiserror::Error)]
pub enum ZeroShotError {
    #[error(transparent)]
    Prompts(#[from] PromptsError),
    #[error("the texts of two templates cancel out: {0}")]
    Ensemble(#[from] EmbeddingError),
    #[error("no image could be embedded; the first: {first}")]
    NothingEmbedded { first: String },
    #[error(transparent)]
    Images(#[from] LabeledImagesError),
    #[error(transparent)]
    Embedder(#[from] EmbedderError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ZeroShotResult {
    pub prompts: Prompts,
    pub report: Report,
    pub top: TopK,
    /// All classes that were asked; the report has those that occur or are predicted.
    pub classes: Vec<String>,
    /// For every image its class, the class predicted, and the place (from 0) of its class.
    pub truth: Vec<usize>,
    pub predicted: Vec<usize>,
    pub places: Vec<usize>,
    /// Images that could not be embedded.
    pub left_out: usize,
}

/// Classifies every image of the set. `done` is called with the number that is embedded.
///
/// # Errors
/// When the prompts do not fit the classes, the encoder ends, or not one image can be embedded.
pub fn run(
    embedder: &mut Embedder,
    set: &LabeledImages,
    prompts: &Prompts,
    done: impl FnMut(usize),
) -> Result<ZeroShotResult, ZeroShotError> {
    prompts.check(&set.classes)?;
    let images = embedder.images((0..set.items.len()).map(|i| set.picture(i)), done)?;
    let mut texts = Texts {
        embedder,
        known: HashMap::new(),
    };
    let (mut truth, mut predicted, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let mut refused: Vec<String> = Vec::new();
    for (item, image) in set.items.iter().zip(images) {
        let image = match image {
            Ok((_, image)) => image,
            Err(reason) => {
                refused.push(format!("{}: {reason}", item.id));
                continue;
            }
        };
        let scores: Result<Vec<f32>, ZeroShotError> = set
            .classes
            .iter()
            .map(|class| {
                Ok(texts
                    .ensemble(&prompts.texts(class, &item.attributes))?
                    .cosine(&image))
            })
            .collect();
        let (place, best) = judge(&scores?, item.class);
        truth.push(item.class);
        predicted.push(best);
        places.push(place);
    }
    if truth.is_empty() {
        return Err(ZeroShotError::NothingEmbedded {
            first: refused.into_iter().next().unwrap_or_default(),
        });
    }
    let report = Report::new(
        &truth,
        &predicted,
        &set.classes,
        Rows::Present,
        ZeroDivision::Zero,
    )?;
    let (classes, prompts, left_out) = (set.classes.clone(), prompts.clone(), refused.len());
    let top = TopK::of(&places);
    Ok(ZeroShotResult {
        prompts,
        report,
        top,
        classes,
        truth,
        predicted,
        places,
        left_out,
    })
}

/// Names images, labels and prompts: results on different data are never compared, results on the
/// same data with the same model need not be made twice. Reads every picture.
#[must_use]
pub fn data_sha256(set: &LabeledImages, prompts: &Prompts) -> String {
    let mut digest = Sha256::new();
    digest.update(serde_json::to_vec(&(prompts, &set.classes)).unwrap_or_default());
    for (position, item) in set.items.iter().enumerate() {
        digest.update(
            serde_json::to_vec(&(&item.id, item.class, &item.attributes)).unwrap_or_default(),
        );
        // A picture that cannot be read is left out of the result, for every model.
        digest.update(
            set.picture(position)
                .map(|file| sha256(&file).to_vec())
                .unwrap_or_default(),
        );
    }
    hex(&digest.finalize())
}

/// Class texts that were embedded before.
struct Texts<'a> {
    embedder: &'a Embedder,
    known: HashMap<Vec<String>, Embedding>,
}

impl Texts<'_> {
    fn ensemble(&mut self, texts: &[String]) -> Result<Embedding, ZeroShotError> {
        if let Some(known) = self.known.get(texts) {
            return Ok(known.clone());
        }
        let all: Result<Vec<Embedding>, _> =
            texts.iter().map(|text| self.embedder.text(text)).collect();
        let dimensions = self.embedder.encoder().dimensions();
        let made = Embedding::mean_direction(all?.iter().map(Embedding::as_slice), dimensions)?;
        self.known.insert(texts.to_vec(), made.clone());
        Ok(made)
    }
}

impl ZeroShotResult {
    /// `accuracy`, `top_5`, `rank_score` (share of 5 points an image), `macro_f1`, `weighted_f1`,
    /// each with its bootstrap interval over the images.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures: Vec<Figure> = self.series().iter().filter_map(Series::mean).collect();
        let values = [
            self.report.macro_average.f1,
            self.report.weighted_average.f1,
        ];
        for (i, (name, value)) in AVERAGES.into_iter().zip(values).enumerate() {
            let n = self.truth.len();
            let interval =
                bootstrap::interval(n, SEED, |drawn| self.f1(i, drawn, |at| self.predicted[at]));
            let estimate = interval.map(|interval| Estimate { value, interval, n });
            figures.extend(estimate.map(|estimate| Figure {
                name: name.to_owned(),
                estimate,
            }));
        }
        figures
    }

    /// An average over the images drawn, with the prediction that `predicted` has for each.
    fn f1(
        &self,
        average: usize,
        drawn: &[usize],
        predicted: impl Fn(usize) -> usize,
    ) -> Option<f64> {
        Some(
            f1_averages(
                drawn.iter().map(|&at| (self.truth[at], predicted(at))),
                self.classes.len(),
            )?[average],
        )
    }

    /// Tests of the F1 averages against another model's on the same images; none on others. What
    /// got better or worse is counted in classes.
    #[must_use]
    pub fn paired(&self, base: &Self) -> Vec<(String, Paired)> {
        if !self.pairs_with(base) {
            return Vec::new();
        }
        let f1 = |result: &Self, class: &str| {
            result
                .report
                .classes
                .iter()
                .find(|c| c.name == class)
                .map_or(0.0, |c| c.scores.f1)
        };
        let mut counts = [0; 3];
        for class in &self.classes {
            // What was read from a file differs in the last bit.
            let change = f1(self, class) - f1(base, class);
            counts[if change > 1e-9 {
                0
            } else if change < -1e-9 {
                2
            } else {
                1
            }] += 1;
        }
        let test = |average: usize| {
            bootstrap::paired_figure(self.truth.len(), SEED, counts, |drawn, exchanged| {
                let ours = |at: usize| {
                    if exchanged[at] {
                        base.predicted[at]
                    } else {
                        self.predicted[at]
                    }
                };
                let theirs = |at: usize| {
                    if exchanged[at] {
                        self.predicted[at]
                    } else {
                        base.predicted[at]
                    }
                };
                Some(self.f1(average, drawn, ours)? - self.f1(average, drawn, theirs)?)
            })
        };
        (0..)
            .zip(AVERAGES)
            .filter_map(|(i, name)| Some((name.to_owned(), test(i)?)))
            .collect()
    }

    /// The figures that are means, image by image.
    #[must_use]
    pub fn series(&self) -> Vec<Series> {
        let over = |name: &str, value: fn(usize) -> f64| {
            let cases = self
                .places
                .iter()
                .enumerate()
                .map(|(image, place)| (image.to_string(), value(*place)));
            Series {
                name: name.to_owned(),
                cases: cases.collect(),
            }
        };
        vec![
            over("accuracy", |place| if place == 0 { 1.0 } else { 0.0 }),
            over("top_5", |place| if place < 5 { 1.0 } else { 0.0 }),
            over("rank_score", |place| f64::from(rank_points(place)) / 5.0),
        ]
    }

    /// How many of the classes that were asked are an image's.
    #[must_use]
    pub fn occurring(&self) -> usize {
        self.report
            .classes
            .iter()
            .filter(|class| class.support > 0)
            .count()
    }

    /// Whether these are the same images in the same classes, so that they pair up by their
    /// position.
    #[must_use]
    pub fn pairs_with(&self, other: &Self) -> bool {
        self.truth == other.truth && self.classes == other.classes
    }
}
