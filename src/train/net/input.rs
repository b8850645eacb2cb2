//! What goes into a network: photos as patches, words as token ids.

use std::ops::Range;

/// Patches of a batch of images.
#[derive(Clone, Debug)]
pub struct ImageBatch {
    pub images: usize,
    /// Patches kept of each image.
    pub kept: usize,
    /// `images x kept x 3*patch*patch`, normalized, channels first within a patch.
    pub patches: Vec<f32>,
    /// `images x kept`: which position of the grid (row by row) each patch holds.
    pub positions: Vec<u32>,
}

impl ImageBatch {
    /// Some of the images.
    #[must_use]
    pub fn part(&self, images: Range<usize>) -> Self {
        let pixels = self.patches.len() / self.images.max(1);
        Self {
            images: images.len(),
            kept: self.kept,
            patches: self.patches[images.start * pixels..images.end * pixels].to_vec(),
            positions: self.positions[images.start * self.kept..images.end * self.kept].to_vec(),
        }
    }
}

/// Token ids of a batch of texts, padded at the end with anything: the tower is causal and pooled
/// at the end.
#[derive(Clone, Debug)]
pub struct TextBatch {
    pub texts: usize,
    /// Padded length.
    pub length: usize,
    /// `texts x length`.
    pub ids: Vec<u32>,
    /// Tokens of each text, start and end included.
    pub lengths: Vec<usize>,
}

impl TextBatch {
    /// Pads to the longest.
    #[must_use]
    pub fn new(texts: &[Vec<u32>]) -> Self {
        let length = texts.iter().map(Vec::len).max().unwrap_or(0);
        let mut ids = vec![0; texts.len() * length];
        for (row, text) in ids.chunks_mut(length.max(1)).zip(texts) {
            row[..text.len()].copy_from_slice(text);
        }
        Self {
            texts: texts.len(),
            length,
            ids,
            lengths: texts.iter().map(Vec::len).collect(),
        }
    }
}
