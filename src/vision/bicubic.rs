//! Pillow's bicubic resampling, bit for bit.
//!
//! Models are trained on Pillow's pixels, so this computes what `Image.resize(.., BICUBIC)`
//! computes for 8-bit images: a = -0.5, support widened by the reduction (antialiasing),
//! coefficients rounded to 22 fractional bits, the horizontal pass first and its result rounded to
//! 8 bits. Refuses nothing and cannot fail; the callers give shapes that fit.

/// Fractional bits of a coefficient: 32 less 8 of the pixel less 2 of headroom.
const PRECISION: u32 = 22;
/// Reach of the kernel in pixels of the coarser grid.
const SUPPORT: f64 = 2.0;
/// Rows that the horizontal pass takes together: two numbers of 64 bits fill a register of the
/// baseline.
const ROWS: usize = 2;
/// Columns (times channels) that the vertical pass takes together.
const COLUMNS: usize = 16;

/// The part of the resized image that is computed: along each axis, the scaled length and the range
/// that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub scaled: usize,
    pub start: usize,
    pub length: usize,
}

impl Window {
    #[must_use]
    pub fn whole(scaled: usize) -> Self {
        Self {
            scaled,
            start: 0,
            length: scaled,
        }
    }
}

/// For each output position of one axis: where its taps begin in the input, and the taps.
///
/// The taps are Pillow's fixed-point numbers, held as `f64`: a sum of products of 23-bit by 8-bit
/// integers is exact there, and every x86-64 processor multiplies two such lanes at a time, while
/// its baseline has no multiplication of 32-bit integers by lanes.
struct Axis {
    starts: Vec<usize>,
    /// Ends of the slices of `taps`.
    ends: Vec<usize>,
    taps: Vec<f64>,
    /// First input position that is read, and one past the last.
    first: usize,
    last: usize,
}

fn kernel(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

impl Axis {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "Pillow's own conversions; lengths of images are far below 2^52"
    )]
    fn new(input: usize, window: Window) -> Self {
        let scale = input as f64 / window.scaled as f64;
        let widening = scale.max(1.0);
        let support = SUPPORT * widening;
        let mut axis = Self {
            starts: Vec::with_capacity(window.length),
            ends: Vec::with_capacity(window.length),
            taps: Vec::new(),
            first: input,
            last: 0,
        };
        let mut weights: Vec<f64> = Vec::new();
        for position in 0..window.length {
            let center = ((position + window.start) as f64 + 0.5) * scale;
            // `as` truncates toward zero and stops at zero, as Pillow's cast and clamp do.
            let from = (center - support + 0.5) as usize;
            let to = ((center + support + 0.5) as usize).min(input);
            weights.clear();
            weights
                .extend((from..to).map(|x| kernel((x as f64 - center + 0.5) * (1.0 / widening))));
            let sum: f64 = weights.iter().sum();
            axis.taps.extend(weights.iter().map(|weight| {
                let share = if sum == 0.0 { *weight } else { weight / sum };
                (share * f64::from(1u32 << PRECISION) + 0.5f64.copysign(share)).trunc()
            }));
            axis.ends.push(axis.taps.len());
            axis.starts.push(from);
            axis.first = axis.first.min(from);
            axis.last = axis.last.max(to);
        }
        axis
    }

    /// For each output position: the input position of the first tap, and the taps.
    fn positions(&self) -> impl Iterator<Item = (usize, &[f64])> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        self.starts
            .iter()
            .zip(begins.zip(&self.ends))
            .map(|(&start, (begin, &end))| (start, &self.taps[begin..end]))
    }
}

/// A sum of taps times pixels -> a pixel: half is added, the fraction cut off, the rest clamped.
/// Negative numbers are shifted arithmetically, as in Pillow.
#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    reason = "see below"
)]
fn pixel(sum: f64) -> u8 {
    // An integer of 32 bits added to 1.5 * 2^52 stands in the low bits of the sum: a conversion
    // without branches.
    const TO_LOW_BITS: f64 = 6_755_399_441_055_744.0;
    let sum = (sum + TO_LOW_BITS).to_bits() as u32 as i32;
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}

/// Resamples interleaved 8-bit RGB of `width` to the windows `across` and `down`; returns
/// `down.length * across.length * 3` bytes.
///
/// Each pass rounds to 8 bits, so their order shows by a few levels: see [`vertical_first`].
#[must_use]
pub fn resize(rgb: &[u8], width: usize, across: Window, down: Window) -> Vec<u8> {
    let height = rgb.len() / (width * 3);
    let (columns, rows) = (Axis::new(width, across), Axis::new(height, down));
    if vertical_first((width, height), (across.scaled, down.scaled)) {
        let flat = vertical(rgb, width * 3, 0, &rows);
        return horizontal(&flat, width, &columns);
    }
    let needed = &rgb[rows.first * width * 3..rows.last * width * 3];
    if across == Window::whole(width) {
        return vertical(needed, width * 3, rows.first, &rows);
    }
    let narrow = horizontal(needed, width, &columns);
    if down == Window::whole(height) {
        narrow
    } else {
        vertical(&narrow, across.length * 3, rows.first, &rows)
    }
}

/// Pillow goes horizontally first; since 13.0 (pull request 9549) vertically first where the height
/// loses more than twice what the width does, as it is with tall photos. The rule was found by
/// trying sizes against Pillow 13.0.
fn vertical_first(from: (usize, usize), to: (usize, usize)) -> bool {
    to.1 < from.1 && from.1 - to.1 + 2 * to.0 > 2 * from.0
}

fn horizontal(rgb: &[u8], width: usize, columns: &Axis) -> Vec<u8> {
    let line = columns.starts.len() * 3;
    let mut out = vec![0; rgb.len() / width * columns.starts.len()];
    // Two rows, interleaved: what lies under one tap in both of them is one register.
    let mut block = vec![[[0f64; ROWS]; 3]; width];
    for (rows, out) in rgb
        .chunks(width * 3 * ROWS)
        .zip(out.chunks_mut(line * ROWS))
    {
        // The last one may be alone; its double goes nowhere.
        let (first, second) = rows.split_at(width * 3);
        let second = if second.is_empty() { first } else { second };
        for ((pair, &first), &second) in block.as_flattened_mut().iter_mut().zip(first).zip(second)
        {
            *pair = [f64::from(first), f64::from(second)];
        }
        for (position, (start, taps)) in columns.positions().enumerate() {
            let mut sums = [[0f64; ROWS]; 3];
            for (cell, &tap) in block[start..].iter().zip(taps) {
                for (sums, values) in sums.iter_mut().zip(cell) {
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum += value * tap;
                    }
                }
            }
            for (lane, out) in out.chunks_exact_mut(line).enumerate() {
                for (out, sums) in out[position * 3..].iter_mut().zip(&sums) {
                    *out = pixel(sums[lane]);
                }
            }
        }
    }
    out
}

/// `offset`: which row of the whole image `rows` begins with.
fn vertical(rows: &[u8], row: usize, offset: usize, axis: &Axis) -> Vec<u8> {
    let mut out = vec![0; axis.starts.len() * row];
    for ((start, taps), out) in axis.positions().zip(out.chunks_exact_mut(row)) {
        let input = &rows[(start - offset) * row..];
        for (block, out) in out.chunks_mut(COLUMNS).enumerate() {
            let mut sums = [0f64; COLUMNS];
            for (input, &tap) in input.chunks_exact(row).zip(taps) {
                let input = &input[block * COLUMNS..];
                match input.first_chunk::<COLUMNS>() {
                    Some(input) => add(&mut sums, input, tap),
                    None => add(&mut sums[..input.len()], input, tap),
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = pixel(sum);
            }
        }
    }
    out
}

fn add(sums: &mut [f64], pixels: &[u8], tap: f64) {
    for (sum, &value) in sums.iter_mut().zip(pixels) {
        *sum += f64::from(value) * tap;
    }
}
