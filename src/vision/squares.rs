//! A photo -> the squares that the model sees, and their normalized pixels. To the bit what
//! `CLIPImageProcessor` (Hugging Face transformers) and Pillow make.

use std::borrow::Cow;

use super::bicubic::{self, Window};
use super::margins::trim;
use super::photo::Photo;
use super::preprocessing::{Fit, Preprocessing};

/// What the model sees of a photo: squares of `preprocessing.size`, 8-bit RGB, one for each of
/// `preprocessing.edges()`.
///
/// [`Fit::Crop`] is `CLIPImageProcessor`'s way (of Hugging Face transformers), [`Fit::Pad`] is
/// Pillow's `ImageOps.pad` on white, both to the bit; [`Fit::Trim`] is that of the photo without
/// its white margins ([`trim`]). They make the photo as large as the edge says. The middle of that
/// is seen, as `CLIPImageProcessor` cuts it out; the rest is never computed.
#[must_use]
pub fn views(photo: &Photo, preprocessing: &Preprocessing) -> Vec<Photo> {
    let &Preprocessing { size, fit, .. } = preprocessing;
    let photo = if fit == Fit::Trim {
        trim(photo)
    } else {
        Cow::Borrowed(photo)
    };
    preprocessing
        .edges()
        .iter()
        .map(|&edge| view(&photo, fit, edge, size))
        .collect()
}

fn view(photo: &Photo, fit: Fit, edge: u32, size: u32) -> Photo {
    let (width, height) = photo.dimensions();
    if width == 0 || height == 0 || size == 0 {
        return Photo::from_pixel(size, size, ::image::Rgb([255; 3]));
    }
    let (long, seen) = (edge as usize, size as usize);
    let (scaled, canvas) = match fit {
        Fit::Squash => ((long, long), (long, long)),
        Fit::Crop => {
            // The other edge is rounded down.
            let scale = |of: u32, short: u32| long * of as usize / short as usize;
            let scaled = if width <= height {
                (long, scale(height, width))
            } else {
                (scale(width, height), long)
            };
            (scaled, scaled)
        }
        Fit::Pad | Fit::Trim => (contained_size(width, height, edge), (long, long)),
    };
    let (across, left) = middle(scaled.0, canvas.0, seen);
    let (down, top) = middle(scaled.1, canvas.1, seen);
    let pixels = bicubic::resize(photo.as_raw(), width as usize, across, down);
    let square = on_white(pixels, (across.length, left), (down.length, top), seen);
    Photo::from_raw(size, size, square).expect("it is size x size")
}

/// Along one axis, of `scaled` pixels that lie centered on a canvas: those within its middle
/// `size`, and how far into that they begin. An odd rest is split as `ImageOps.pad` does (halves to
/// even) around the photo, and as `CLIPImageProcessor` does (rounded down) around the middle.
fn middle(scaled: usize, canvas: usize, size: usize) -> (Window, usize) {
    let rest = canvas - scaled;
    let begin = rest / 2 + usize::from(rest % 4 == 3);
    let cut = (canvas - size) / 2;
    let (from, to) = (begin.max(cut), (begin + scaled).min(cut + size));
    (
        Window {
            scaled,
            start: from - begin,
            length: to - from,
        },
        from - cut,
    )
}

/// `Image.resize((width, height), BICUBIC)` of Pillow, to the bit.
#[must_use]
#[expect(
    clippy::missing_panics_doc,
    reason = "it cannot: the windows are of that size"
)]
pub fn resize(photo: &Photo, width: u32, height: u32) -> Photo {
    if photo.is_empty() {
        return Photo::new(width, height);
    }
    let (across, down) = (
        Window::whole(width as usize),
        Window::whole(height as usize),
    );
    let resized = bicubic::resize(photo.as_raw(), photo.width() as usize, across, down);
    Photo::from_raw(width, height, resized).expect("the windows are width x height")
}

/// Width and height of the largest picture of the same shape that fits the square, rounded as
/// `ImageOps.contain` does (in floating point, halves to even), but never zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 1 and size"
)]
fn contained_size(width: u32, height: u32, size: u32) -> (usize, usize) {
    let other = |short: u32, long: u32| {
        let exact = f64::from(short) / f64::from(long) * f64::from(size);
        (exact.round_ties_even() as usize).max(1)
    };
    let edge = size as usize;
    match width.cmp(&height) {
        std::cmp::Ordering::Equal => (edge, edge),
        std::cmp::Ordering::Greater => (edge, other(height, width)),
        std::cmp::Ordering::Less => (other(width, height), edge),
    }
}

/// Lays `columns x rows` pixels on a white square, each with its place along its axis.
fn on_white(
    rgb: Vec<u8>,
    (columns, left): (usize, usize),
    (rows, top): (usize, usize),
    edge: usize,
) -> Vec<u8> {
    if (columns, rows) == (edge, edge) {
        return rgb;
    }
    let mut square = vec![255; edge * edge * 3];
    for (row, line) in rgb.chunks_exact(columns * 3).enumerate() {
        let start = ((top + row) * edge + left) * 3;
        square[start..start + line.len()].copy_from_slice(line);
    }
    square
}

/// Normalized pixels, `3 x size x size`, channels first: `(v / 255 - mean) / std`.
#[must_use]
pub fn normalize(square: &Photo, preprocessing: &Preprocessing) -> Vec<f32> {
    let pixels = square.as_raw().as_chunks::<3>().0;
    let mut planes = Vec::with_capacity(pixels.len() * 3);
    for channel in 0..3 {
        let (mean, std) = (preprocessing.mean[channel], preprocessing.std[channel]);
        let values: [f32; 256] =
            std::array::from_fn(|v| (f32::from(u8::try_from(v).unwrap_or(0)) / 255.0 - mean) / std);
        planes.extend(
            pixels
                .iter()
                .map(|pixel| values[usize::from(pixel[channel])]),
        );
    }
    planes
}
