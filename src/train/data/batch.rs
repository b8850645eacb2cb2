//! One step's input: photos, their words, and what is known of them.

use std::ops::Range;

use super::truth::Truth;
use crate::train::net::input::{ImageBatch, TextBatch};

/// One step's input.
#[derive(Clone, Debug)]
pub struct Batch {
    pub step: u64,
    pub images: ImageBatch,
    pub documents: TextBatch,
    pub queries: TextBatch,
    /// Product against document.
    pub described: Truth,
    /// Product against query.
    pub asked: Truth,
    /// The products' categories, as numbers that mean nothing beyond the batch.
    pub categories: Vec<usize>,
    /// The rows whose label is known, and these products' category and label, numbered the same
    /// way.
    pub labeled: Vec<usize>,
    pub labels: Vec<usize>,
    /// The values of the attribute that is learned, where a photo of the batch has one of them.
    pub values: Option<Values>,
    /// The categories and the colors by name alone, and which of them each photo has.
    pub facts: Vec<Values>,
    /// Embeddings of the replayed products before fine-tuning.
    pub anchors: Option<Anchors>,
}

/// All values of an attribute or a fact in words, and which photos have which.
#[derive(Clone, Debug)]
pub struct Values {
    pub prompts: TextBatch,
    /// The rows whose value is one of these, and which.
    pub rows: Vec<usize>,
    pub classes: Vec<usize>,
}

/// Unit embeddings, `rows x projection`, that the rows of a batch are to stay at.
#[derive(Clone, Debug)]
pub struct Anchors {
    /// The rows whose captions are to stay,
    pub rows: Range<usize>,
    /// and those of them whose photos are to stay: not the ones of a category that has labeled
    /// products.
    pub photos: Range<usize>,
    pub images: Vec<f32>,
    pub documents: Vec<f32>,
    pub queries: Vec<f32>,
}
