//! A decoded photo, the limits of decoding, and why there is none.

use ::image::Limits;

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
    #[error("not an image in a format that is read here (JPEG, PNG, WebP, GIF, BMP)")]
    UnsupportedFormat,
    #[error(
        "the image is {width} x {height} pixels, at most {max_pixels} pixels and {max_edge} an edge are decoded"
    )]
    TooLarge {
        width: u32,
        height: u32,
        max_pixels: u64,
        max_edge: u32,
    },
    #[error("the image is broken: {reason}")]
    Broken { reason: String },
}

impl ImageLimits {
    /// What is decoded where nothing else is set.
    pub const DEFAULT: Self = Self {
        // Phones take 64 megapixels.
        max_pixels: 1 << 26,
        max_edge: 20_000,
    };

    pub(super) fn check(&self, width: u32, height: u32) -> Result<(), ImageError> {
        let &Self {
            max_pixels,
            max_edge,
        } = self;
        if width.max(height) > max_edge || u64::from(width) * u64::from(height) > max_pixels {
            return Err(ImageError::TooLarge {
                width,
                height,
                max_pixels,
                max_edge,
            });
        }
        Ok(())
    }

    pub(super) fn of_decoder(&self) -> Limits {
        let mut limits = Limits::default();
        limits.max_image_width = Some(self.max_edge);
        limits.max_image_height = Some(self.max_edge);
        // The picture itself takes up to 8 bytes a pixel (16-bit RGBA), an interlaced or framed one
        // twice that; the rest is for metadata and tables.
        limits.max_alloc = Some(self.max_pixels.saturating_mul(16).saturating_add(64 << 20));
        limits
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "what `map_err` calls it with"
)]
pub(super) fn broken(reason: impl ToString) -> ImageError {
    ImageError::Broken {
        reason: reason.to_string(),
    }
}
