//! What is done with a photo before the model sees it: part of a model's manifest, and of its id.

use serde::{Deserialize, Serialize};

/// The number of what this room computes. Another way to decode, trim or resample is another
/// number: it is part of a model's id, so that vectors made in two ways never meet.
pub const ALGORITHM: u32 = 1;

/// From an upright RGB photo to the pixels that the image tower was trained on: `3 x size x size`
/// (channels first), `(v / 255 - mean) / std`. Resampling is Pillow's bicubic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Edge of the square that the model sees, in pixels.
    pub size: u32,
    /// How a photo of any shape becomes a square.
    pub fit: Fit,
    /// Edges of that square, for each of which the model sees its middle; the photo's embedding is
    /// the mean of what it sees (multi-crop evaluation, arXiv 1409.4842, section 7). Where none is
    /// named there is one, `size`: all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<u32>,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl Preprocessing {
    /// Most views: a photo costs as many times what one does.
    pub const MOST_VIEWS: usize = 8;

    /// Edges of the squares whose middles are seen: `views`, or all of one.
    #[must_use]
    pub fn edges(&self) -> &[u32] {
        if self.views.is_empty() {
            std::slice::from_ref(&self.size)
        } else {
            &self.views
        }
    }
}

/// How a photo of any shape becomes a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Shortest edge to that of the square, center crop (CLIP's way).
    Crop,
    /// Longest edge to that of the square, centered on white: nothing of the product is cut off.
    Pad,
    /// White margins cut off, then as [`Fit::Pad`]: what is small in a product photo is seen
    /// larger.
    Trim,
    /// Both edges to that of the square, the aspect ratio given up.
    Squash,
}
