//! Photos as training keeps and changes them: small 8-bit squares in memory, cropped, flipped and
//! cut into patches.
#![expect(
    clippy::inline_always,
    reason = "what runs in `vectorized` is vectorized where it is inlined alone"
)]

use crate::train::draws::Stream;
use crate::util::simd::vectorized;
use crate::vision::{ImageLimits, Photo};

/// What a photo of a data set may be: a catalog's own photos are trusted further than an upload.
pub const LIMITS: ImageLimits = ImageLimits {
    max_pixels: 200_000_000,
    max_edge: 30_000,
};

/// The region of a square that is seen, in pixels of the square.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    pub left: f32,
    pub top: f32,
    pub width: f32,
    pub height: f32,
    /// Mirrored left to right.
    pub flipped: bool,
}

impl Region {
    /// All of a square of this edge.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "edges are small")]
    pub fn whole(edge: u32) -> Self {
        Self {
            left: 0.0,
            top: 0.0,
            width: edge as f32,
            height: edge as f32,
            flipped: false,
        }
    }

    /// The middle of a square of this edge, as large in it as `seen` pixels are in `view`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "edges are small")]
    pub fn middle(edge: u32, seen: usize, view: usize) -> Self {
        let whole = Self::whole(edge);
        let width = whole.width * seen as f32 / view as f32;
        let left = (whole.width - width) / 2.0;
        Self {
            left,
            top: left,
            width,
            height: width,
            flipped: false,
        }
    }

    /// A random crop of a square of this edge: its own edge is `crop` of that at least, and it is
    /// mirrored half of the time with `flip`. As in torchvision's `RandomResizedCrop` the
    /// ratio of its sides, up to `aspect` either way, is even in its logarithm and leaves the area
    /// as it is, until a side is as long as the square's.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "edges are small")]
    pub fn drawn(edge: u32, crop: f32, aspect: f32, flip: bool, draws: &mut Stream) -> Self {
        let whole = edge as f32;
        let edge = whole * draws.between(crop, 1.0);
        let stretch = if aspect > 1.0 {
            (0.5 * draws.between(-aspect.ln(), aspect.ln())).exp()
        } else {
            1.0
        };
        let (width, height) = ((edge * stretch).min(whole), (edge / stretch).min(whole));
        let (left, top) = (
            draws.between(0.0, whole - width),
            draws.between(0.0, whole - height),
        );
        Self {
            left,
            top,
            width,
            height,
            flipped: flip && draws.chance(0.5),
        }
    }
}

/// Longest edge to at most `edge` (never enlarged), centered on a white square.
#[must_use]
pub fn square(photo: &Photo, edge: u32) -> Photo {
    let (width, height) = photo.dimensions();
    let longest = width.max(height).max(1);
    let photo = if longest > edge {
        let scaled = |side: u32| (side * edge).div_ceil(longest).clamp(1, edge);
        &::image::imageops::resize(
            photo,
            scaled(width),
            scaled(height),
            ::image::imageops::FilterType::CatmullRom,
        )
    } else {
        photo
    };
    let (width, height) = photo.dimensions();
    let edge = width.max(height);
    let mut square = Photo::from_pixel(edge, edge, ::image::Rgb([255; 3]));
    let (left, top) = (
        i64::from((edge - width) / 2),
        i64::from((edge - height) / 2),
    );
    ::image::imageops::replace(&mut square, photo, left, top);
    square
}

/// For each pixel of a line of `size`: the first source pixel and the weights of it and its
/// neighbors; the cubic kernel with a = -0.5, widened when the window shrinks, as Pillow's bicubic.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "pixel positions are small and not negative"
)]
fn weights(start: f32, edge: f32, source: u32, size: u32) -> Vec<(usize, Vec<f32>)> {
    let ratio = edge / size as f32;
    let stretch = ratio.max(1.0);
    let cubic = |x: f32| {
        let x = x.abs();
        if x < 1.0 {
            (1.5 * x - 2.5) * x * x + 1.0
        } else if x < 2.0 {
            ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
        } else {
            0.0
        }
    };
    (0..size)
        .map(|at| {
            let center = start + (at as f32 + 0.5) * ratio;
            let first = (center - 2.0 * stretch + 0.5).max(0.0) as usize;
            let end = ((center + 2.0 * stretch + 0.5) as usize).min(source as usize);
            let line: Vec<f32> = (first..end)
                .map(|p| cubic((p as f32 + 0.5 - center) / stretch))
                .collect();
            let sum: f32 = line.iter().sum();
            (first, line.into_iter().map(|w| w / sum).collect())
        })
        .collect()
}

/// The window, stretched to `size x size`, as values from 0 to 255, three per pixel.
#[must_use]
pub fn resample(square: &Photo, region: &Region, size: u32) -> Vec<f32> {
    vectorized(
        #[inline(always)]
        || resampled(square, region, size),
    )
}

#[inline(always)]
fn resampled(square: &Photo, region: &Region, size: u32) -> Vec<f32> {
    let source = square.width();
    let across = weights(region.left, region.width, source, size);
    let down = weights(region.top, region.height, source, size);
    let (row, size) = (source as usize * 3, size as usize);
    let raw = square.as_raw();
    let (top, bottom) = (
        down[0].0,
        down.last().map_or(0, |(first, line)| first + line.len()),
    );
    // Horizontal first, for the rows that the vertical pass needs.
    let mut lines = vec![0.0_f32; (bottom - top) * size * 3];
    for (line, from) in lines
        .chunks_exact_mut(size * 3)
        .zip(raw[top * row..bottom * row].chunks_exact(row))
    {
        for (at, (first, taps)) in across.iter().enumerate() {
            let mut pixel = [0.0_f32; 3];
            for (tap, rgb) in taps.iter().zip(from[first * 3..].chunks_exact(3)) {
                for (p, &v) in pixel.iter_mut().zip(rgb) {
                    *p += tap * f32::from(v);
                }
            }
            let at = if region.flipped { size - 1 - at } else { at };
            line[at * 3..at * 3 + 3].copy_from_slice(&pixel);
        }
    }
    let mut out = vec![0.0_f32; size * size * 3];
    for (line, (first, taps)) in out.chunks_exact_mut(size * 3).zip(&down) {
        for (tap, from) in taps
            .iter()
            .zip(lines[(first - top) * size * 3..].chunks_exact(size * 3))
        {
            for (o, &v) in line.iter_mut().zip(from) {
                *o += tap * v;
            }
        }
        for o in line {
            *o = o.clamp(0.0, 255.0);
        }
    }
    out
}

/// A light blur of a square of pixels (`size x size x 3`): each is mixed with its neighbors, 1 2 1
/// across and down.
#[must_use]
pub fn blur(pixels: &[f32], size: usize) -> Vec<f32> {
    let mixed = |from: &[f32], step: usize, place: fn(usize, usize) -> usize| -> Vec<f32> {
        let mix = |(at, &value): (usize, &f32)| {
            let before = if place(at, size) == 0 {
                value
            } else {
                from[at - step]
            };
            let after = if place(at, size) + 1 == size {
                value
            } else {
                from[at + step]
            };
            0.25 * before + 0.5 * value + 0.25 * after
        };
        from.iter().enumerate().map(mix).collect()
    };
    let across = mixed(pixels, 3, |at, size| at / 3 % size);
    mixed(&across, size * 3, |at, size| at / 3 / size)
}

/// A square of pixels (`size x size x 3`, 0 to 255) as normalized patches, `grid * grid x 3 * patch
/// * patch`, channels first within a patch.
#[must_use]
pub fn patches(
    pixels: &[f32],
    size: usize,
    patch: usize,
    mean: [f32; 3],
    std: [f32; 3],
) -> Vec<f32> {
    let grid = size / patch;
    let mut out = vec![0.0_f32; grid * grid * 3 * patch * patch];
    for (at, cell) in out.chunks_exact_mut(3 * patch * patch).enumerate() {
        let (top, left) = (at / grid * patch, at % grid * patch);
        for (channel, plane) in cell.chunks_exact_mut(patch * patch).enumerate() {
            let (shift, scale) = (mean[channel] * 255.0, 1.0 / (std[channel] * 255.0));
            for (y, line) in plane.chunks_exact_mut(patch).enumerate() {
                let from = &pixels[((top + y) * size + left) * 3..];
                for (o, rgb) in line.iter_mut().zip(from.chunks_exact(3)) {
                    *o = (rgb[channel] - shift) * scale;
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::draws::Purpose;

    #[test]
    fn a_whole_square_at_its_own_size_stays_as_it_is_and_flips() {
        let square = Photo::from_fn(8, 8, |x, y| {
            ::image::Rgb([(x * 10).to_le_bytes()[0], (y * 20).to_le_bytes()[0], 7])
        });
        let same = resample(&square, &Region::whole(8), 8);
        assert!(
            same.iter()
                .zip(square.as_raw())
                .all(|(&a, &b)| (a - f32::from(b)).abs() < 1e-3)
        );
        let flipped = resample(
            &square,
            &Region {
                flipped: true,
                ..Region::whole(8)
            },
            8,
        );
        assert!((flipped[0] - 70.0).abs() < 1e-3 && (flipped[21] - 0.0).abs() < 1e-3);
    }

    #[test]
    fn the_middle_of_a_square_is_cut_out_as_it_is() {
        let square = Photo::from_fn(11, 11, |x, y| {
            ::image::Rgb([(x * 10).to_le_bytes()[0], (y * 20).to_le_bytes()[0], 7])
        });
        let middle = resample(&square, &Region::middle(11, 7, 11), 7);
        let expected = ::image::imageops::crop_imm(&square, 2, 2, 7, 7).to_image();
        assert!(
            middle
                .iter()
                .zip(expected.as_raw())
                .all(|(&a, &b)| (a - f32::from(b)).abs() < 1e-3)
        );
        assert_eq!(Region::middle(80, 160, 160), Region::whole(80));
        assert_eq!(
            Region::middle(80, 160, 200),
            Region {
                left: 8.0,
                top: 8.0,
                width: 64.0,
                height: 64.0,
                flipped: false
            }
        );
    }

    #[test]
    fn a_crop_is_within_the_square_and_as_oblong_as_it_may_be() {
        let drawn = |aspect| {
            let mut draws = Stream::new(1, Purpose::Batch, 0);
            (0..1000)
                .map(|_| Region::drawn(100, 0.5, aspect, true, &mut draws))
                .collect::<Vec<_>>()
        };
        let ratio = |region: &Region| region.width / region.height;
        assert!(
            drawn(1.0)
                .iter()
                .all(|w| (ratio(w) - 1.0).abs() < 1e-6 && (50.0..=100.0).contains(&w.width))
        );
        let oblong = drawn(1.5);
        for w in &oblong {
            assert!(
                w.left >= 0.0 && w.top >= 0.0 && (1.0 / 1.501..1.501).contains(&ratio(w)),
                "{w:?}"
            );
            assert!(
                w.left + w.width < 100.001 && w.top + w.height < 100.001,
                "{w:?}"
            );
        }
        let (wide, mirrored) = (
            oblong.iter().filter(|w| ratio(w) > 1.2),
            oblong.iter().filter(|w| w.flipped),
        );
        assert!(wide.count() > 150 && (400..600).contains(&mirrored.count()));
    }

    #[test]
    fn blur_spreads_a_dot_and_keeps_the_sum_and_what_is_plain() {
        let mut dot = vec![0.0; 5 * 5 * 3];
        dot[(2 * 5 + 2) * 3 + 1] = 16.0;
        let out = blur(&dot, 5);
        let green = |x: usize, y: usize| out[(y * 5 + x) * 3 + 1];
        assert_eq!(
            (green(2, 2), green(1, 2), green(1, 1), green(0, 2)),
            (4.0, 2.0, 1.0, 0.0)
        );
        assert_eq!((out.iter().sum::<f32>(), out[(2 * 5 + 2) * 3]), (16.0, 0.0));
        assert_eq!(blur(&[7.0; 75], 5), [7.0; 75]);
    }

    #[test]
    fn patches_run_row_by_row_with_channels_first() {
        let pixels: Vec<f32> = (0..4_u8 * 4 * 3).map(f32::from).collect();
        let out = patches(&pixels, 4, 2, [0.0; 3], [1.0 / 255.0; 3]);
        // The second patch starts at column 2 of row 0; its red plane comes first.
        assert_eq!(&out[12..16], &[6.0, 9.0, 18.0, 21.0]);
        assert_eq!(&out[16..18], &[7.0, 10.0]);
    }

    #[test]
    fn a_tall_photo_is_centered_on_white() {
        let square = square(&Photo::from_pixel(6, 8, ::image::Rgb([0; 3])), 128);
        assert_eq!(square.dimensions(), (8, 8));
        assert_eq!(
            (
                square.get_pixel(0, 0).0,
                square.get_pixel(1, 0).0,
                square.get_pixel(7, 7).0[0]
            ),
            ([255; 3], [0; 3], 255)
        );
    }
}
