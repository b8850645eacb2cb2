//! A photo's bytes -> pixels as Pillow would make them.

use crate::model::Preprocessing;

#[derive(Clone, Copy, Debug)]
pub struct ImageLimits {
    /// Largest width x height that is decoded.
    pub max_pixels: u64,
    /// Largest edge.
    pub max_edge: u32,
}

/// An upright photo, 8 bits, alpha composed over white.
pub type Photo = ::image::RgbImage;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("the upload is empty")]
    Empty,
    #[error("this is no image in a format that is read here (JPEG, PNG, WebP, GIF, BMP)")]
    UnsupportedFormat,
    #[error("the image is {width} x {height} pixels, at most {max_pixels} pixels and {max_edge} an edge are decoded")]
    TooLarge { width: u32, height: u32, max_pixels: u64, max_edge: u32 },
    #[error("the image is broken: {reason}")]
    Broken { reason: String },
}

/// Sniffs the format, checks the header's dimensions, decodes, turns upright.
pub fn decode(file: &[u8], limits: &ImageLimits) -> Result<Photo, ImageError> {
    todo!("{} {limits:?}", file.len())
}

/// The square of `preprocessing.size` that the model sees, as 8-bit RGB.
#[must_use]
pub fn fit(photo: &Photo, preprocessing: &Preprocessing) -> Photo {
    todo!("{:?} {preprocessing:?}", photo.dimensions())
}

/// Normalized pixels, `3 x size x size`, channels first.
#[must_use]
pub fn normalize(square: &Photo, preprocessing: &Preprocessing) -> Vec<f32> {
    todo!("{:?} {preprocessing:?}", square.dimensions())
}
