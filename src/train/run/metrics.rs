//! What a run writes of itself while it goes on: `metrics.jsonl`, a line for each step and each
//! validation, and the figure among them that chooses the best.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::losses::Losses;
use super::validate::Scores;

/// A figure of a validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// The loss on held-out products; less is better. More is better for all others.
    Loss,
    TextCategory,
    TextCategoryColor,
    ImageCategory,
    TitleRecall,
    /// The mean of the category and color precision of words and the category precision of photos.
    Retrieval,
    /// The mean of the accuracy over all labeled products and over those that have the thing at
    /// all.
    Attribute,
    /// As `attribute`, of the macro F1, for which rare values count as much as common ones.
    AttributeMacroF1,
}

impl Watch {
    /// The figure, of a validation's loss and scores.
    #[must_use]
    pub fn value(self, loss: f32, scores: &Scores) -> f32 {
        match self {
            Self::Loss => loss,
            Self::TextCategory => scores.text_category,
            Self::TextCategoryColor => scores.text_category_color,
            Self::ImageCategory => scores.image_category,
            Self::TitleRecall => scores.title_recall,
            Self::Attribute => scores
                .attribute
                .map_or(0.0, |a| f32::midpoint(a.accuracy, a.present)),
            Self::AttributeMacroF1 => scores
                .attribute
                .map_or(0.0, |a| f32::midpoint(a.macro_f1, a.present_macro_f1)),
            Self::Retrieval => {
                (scores.text_category + scores.text_category_color + scores.image_category) / 3.0
            }
        }
    }

    /// Whether it is a figure of the attribute that is learned.
    #[must_use]
    pub fn needs_attribute(self) -> bool {
        matches!(self, Self::Attribute | Self::AttributeMacroF1)
    }

    /// Whether `new` is better than the best so far; NaN never is.
    #[must_use]
    pub fn better(self, new: f32, old: Option<f32>) -> bool {
        !new.is_nan()
            && old.is_none_or(|old| {
                if self == Self::Loss {
                    new < old
                } else {
                    new > old
                }
            })
    }
}

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Metric {
    Step(StepMetric),
    Validation {
        step: u64,
        seconds: f64,
        /// Validations so far, this one included; the name of its folder under `epochs/`.
        #[serde(default)]
        epoch: u64,
        /// Whether it is the best so far.
        #[serde(default)]
        best: bool,
        loss: Losses,
        weights: Scores,
        average: Scores,
    },
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMetric {
    /// Steps taken, this one included.
    pub step: u64,
    /// Since the run began, pauses left out.
    pub seconds: f64,
    pub seconds_per_step: f64,
    #[serde(flatten)]
    pub losses: Losses,
    pub rate: f32,
    /// Before clipping.
    pub gradient_norm: f32,
    pub logit_scale: f32,
    pub images_per_second: f32,
    /// Seconds that the step waited for its batch.
    pub waited: f32,
    /// The share of the step's time in which it did not wait.
    #[serde(default)]
    pub utilization: f32,
}

/// The file, open for further lines.
pub struct Log(File);

impl Log {
    /// Opens a run's file. What a kill left of a line is ended, so that the next line is
    /// one of its own.
    ///
    /// # Errors
    /// If it cannot be opened, read or written.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        if file.metadata()?.len() > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self(file))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If it cannot be written.
    ///
    /// # Panics
    /// Never: numbers are JSON.
    pub fn add(&mut self, metric: &Metric) -> std::io::Result<()> {
        let line = serde_json::to_string(metric).expect("numbers are JSON") + "\n";
        self.0.write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_never_the_best() {
        assert!(Watch::Loss.better(2.0, None) && Watch::Loss.better(1.0, Some(2.0)));
        assert!(
            !Watch::Loss.better(f32::NAN, None) && !Watch::Attribute.better(f32::NAN, Some(0.5))
        );
        assert!(
            Watch::Attribute.better(0.6, Some(0.5)) && !Watch::Attribute.better(0.5, Some(0.5))
        );
    }

    #[test]
    fn a_line_that_a_kill_cut_off_takes_no_other_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("metrics.jsonl");
        let (loss, weights) = (Losses::default(), Scores::default());
        let metric = Metric::Validation {
            step: 1,
            seconds: 1.0,
            epoch: 1,
            best: true,
            loss,
            weights,
            average: weights,
        };
        Log::open(&path)
            .expect("opens")
            .add(&metric)
            .expect("writes");
        let whole = std::fs::read_to_string(&path).expect("is there");
        std::fs::write(&path, format!("{whole}{{\"kind\":\"st")).expect("torn");
        Log::open(&path)
            .expect("opens")
            .add(&metric)
            .expect("writes");
        assert_eq!(
            std::fs::read_to_string(&path).expect("is there"),
            format!("{whole}{{\"kind\":\"st\n{whole}")
        );
    }
}
