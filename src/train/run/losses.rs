//! The parts of a step's loss, and what each of them weighs.

use serde::{Deserialize, Serialize};

use crate::train::data::batch_source::Anchored;
use crate::train::optim::loss::LossKind;

/// The parts of a step's loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    #[serde(rename = "loss")]
    pub total: f32,
    /// Photo against long caption.
    pub described: f32,
    /// Photo against short caption.
    pub asked: f32,
    /// Long against short caption.
    pub texts: f32,
    /// Photo against photo.
    pub likeness: f32,
    /// Photo against photo, by category and label.
    #[serde(default)]
    pub labels: f32,
    /// Photo against all values of the attribute in words.
    #[serde(default)]
    pub values: f32,
    /// Photo against the names of all categories and of all colors.
    #[serde(default)]
    pub facts: f32,
    /// Photos of replayed products against their embeddings before fine-tuning.
    #[serde(default)]
    pub keep_photos: f32,
    /// Their captions against their embeddings before fine-tuning.
    #[serde(default)]
    pub keep_words: f32,
}

impl Losses {
    /// The mean of several.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    pub fn mean(list: &[Self]) -> Self {
        let mean = |part: fn(&Self) -> f32| list.iter().map(part).sum::<f32>() / list.len() as f32;
        Self {
            total: mean(|l| l.total),
            described: mean(|l| l.described),
            asked: mean(|l| l.asked),
            texts: mean(|l| l.texts),
            likeness: mean(|l| l.likeness),
            labels: mean(|l| l.labels),
            values: mean(|l| l.values),
            facts: mean(|l| l.facts),
            keep_photos: mean(|l| l.keep_photos),
            keep_words: mean(|l| l.keep_words),
        }
    }
}

/// Which loss, and the weights of its parts beside the two between photos and words, which have a
/// half each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    pub kind: LossKind,
    /// Between the long and the short caption of a product.
    pub texts: f32,
    /// Between photos of one category.
    pub likeness: f32,
    /// Between photos of one category and one value of the attribute that is learned.
    pub labels: f32,
    /// Between labeled photos and all values of that attribute in words (see
    /// [`crate::train::optim::loss::classification`]).
    pub values: f32,
    /// Between photos and the names of all categories, and of all colors: what every photo is,
    /// beside what is learned of some, so that the one does not displace the other.
    pub facts: f32,
    /// Between the embeddings of replayed photos and what these were before fine-tuning (see
    /// [`crate::train::optim::loss::drift`]): the more, the less is forgotten. Photos of categories that have labeled
    /// products are free: there the model is to see more.
    pub keep_photos: f32,
    /// The same between the captions of all replayed products.
    pub keep_words: f32,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self {
            kind: LossKind::Contrastive,
            texts: 0.25,
            likeness: 0.25,
            labels: 0.0,
            values: 0.0,
            facts: 0.0,
            keep_photos: 0.0,
            keep_words: 0.0,
        }
    }
}

impl LossWeights {
    /// Whether none of them is negative.
    #[must_use]
    pub fn are_not_negative(&self) -> bool {
        let Self {
            kind: _,
            texts,
            likeness,
            labels,
            values,
            facts,
            keep_photos,
            keep_words,
        } = *self;
        [
            texts,
            likeness,
            labels,
            values,
            facts,
            keep_photos,
            keep_words,
        ]
        .iter()
        .all(|&weight| weight >= 0.0)
    }

    /// What is held to the embeddings before fine-tuning.
    #[must_use]
    pub fn anchored(&self) -> Anchored {
        Anchored {
            photos: self.keep_photos > 0.0,
            words: self.keep_words > 0.0,
        }
    }
}
