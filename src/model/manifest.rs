//! `model.json`: sizes, preprocessing, and the hash of every file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's format: 1.
    pub format: u32,
    pub name: String,
    /// Length of an embedding.
    pub dimensions: usize,
    /// Longest input of the text tower in tokens, start and end included.
    pub context_length: usize,
    /// Id of the token that ends a text; the text tower is pooled at its first occurrence.
    pub end_of_text: u32,
    /// exp(logit_scale): the factor that training put on the cosine.
    pub temperature_scale: f32,
    pub preprocessing: Preprocessing,
    /// File name -> hash, for every file but this one and MODEL_CARD.md.
    pub files: BTreeMap<String, FileEntry>,
    /// Where the weights came from, how they were trained, what they score: for people, not read by the program.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub provenance: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    pub bytes: u64,
    pub sha256: String,
}

/// From an upright RGB photo to the pixels that the image tower was trained on: `3 x size x size` (channels first),
/// `(v / 255 - mean) / std`. Resampling is Pillow's bicubic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    pub size: u32,
    pub fit: Fit,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

/// How a photo of any shape becomes a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Shortest edge to `size`, center crop (CLIP's way).
    Crop,
    /// Longest edge to `size`, centered on a white square: nothing of the product is cut off.
    Pad,
    /// Both edges to `size`, the aspect ratio given up.
    Squash,
}
