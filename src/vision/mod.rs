//! A photo's bytes -> the pixels that the model sees, as Pillow and transformers would make them.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`photo`] | a decoded photo, the limits of decoding, errors |
//! | [`mod@decode`] | formats, orientation, transparency |
//! | `jpeg` | JPEG by libjpeg-turbo |
//! | [`preprocessing`] | what a model wants to see, as its manifest says it; [`ALGORITHM`] |
//! | [`squares`] | views, resampling, normalized pixels |
//! | `margins` | white margins cut off |
//! | `bicubic` | Pillow's bicubic resampling, to the bit |
//!
//! A change that makes other pixels of the same file is another [`ALGORITHM`].

mod bicubic;
pub mod decode;
mod jpeg;
mod margins;
pub mod photo;
pub mod preprocessing;
pub mod squares;

pub use decode::{decode, dimensions};
pub use margins::trim;
pub use photo::{ImageError, ImageLimits, Photo};
pub use preprocessing::{ALGORITHM, Fit, Preprocessing};
pub use squares::{normalize, resize, views};

#[cfg(test)]
mod tests;
