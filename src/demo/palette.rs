//! The colors: Kaggle's words for a product's main color, the labels' words for laces, and what
//! each looks like.

use crate::util::random::Random;

/// A color's word with its sRGB value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swatch {
    /// As the catalog writes it: `Navy Blue` for a shoe, `blue` for laces.
    pub name: &'static str,
    pub rgb: [u8; 3],
}

const fn swatch(name: &'static str, r: u8, g: u8, b: u8) -> Swatch {
    Swatch {
        name,
        rgb: [r, g, b],
    }
}

/// The main colors of drawn products (`baseColour` in the Kaggle layout).
pub const SHOE_COLORS: [Swatch; 18] = [
    swatch("Black", 30, 30, 33),
    swatch("White", 240, 240, 238),
    swatch("Brown", 101, 60, 33),
    swatch("Blue", 35, 96, 190),
    swatch("Navy Blue", 27, 36, 78),
    swatch("Grey", 132, 134, 138),
    swatch("Red", 196, 28, 34),
    swatch("Green", 38, 134, 66),
    swatch("Pink", 238, 130, 168),
    swatch("Purple", 108, 54, 150),
    swatch("Beige", 216, 196, 160),
    swatch("Yellow", 244, 206, 44),
    swatch("Orange", 240, 116, 28),
    swatch("Tan", 190, 124, 66),
    swatch("Olive", 98, 100, 50),
    swatch("Maroon", 104, 22, 38),
    swatch("Silver", 192, 196, 202),
    swatch("Gold", 206, 168, 82),
];

/// The colors of drawn laces, in the words of `shoelaces.csv`.
pub const LACE_COLORS: [Swatch; 12] = [
    swatch("black", 24, 24, 26),
    swatch("white", 246, 246, 244),
    swatch("grey", 140, 142, 146),
    swatch("brown", 104, 62, 32),
    swatch("beige", 220, 200, 162),
    swatch("blue", 30, 92, 210),
    swatch("red", 212, 24, 32),
    swatch("green", 34, 150, 64),
    swatch("yellow", 250, 216, 36),
    swatch("orange", 250, 118, 20),
    swatch("pink", 246, 120, 172),
    swatch("purple", 122, 52, 176),
];

/// The main color of that name. Panics on a name that is none: only this room's tables name colors.
pub(super) fn shoe(name: &str) -> &'static Swatch {
    SHOE_COLORS
        .iter()
        .find(|s| s.name == name)
        .expect("a color of the table")
}

pub(super) fn lace(name: &str) -> &'static Swatch {
    LACE_COLORS
        .iter()
        .find(|s| s.name == name)
        .expect("a lace color of the table")
}

/// An sRGB color with channels in [0, 1].
pub(super) type Rgb = [f32; 3];

impl Swatch {
    pub(super) fn rgb(&self) -> Rgb {
        self.rgb.map(|c| f32::from(c) / 255.0)
    }

    /// The color as one product has it: a little lighter or darker, and a little off in tint.
    pub(super) fn dyed(&self, random: &mut Random) -> Rgb {
        let light = random.range(0.9, 1.1);
        let lift = random.range(-0.012, 0.02);
        self.rgb()
            .map(|c| (c * light * random.range(0.97, 1.03) + lift).clamp(0.0, 1.0))
    }
}

pub(super) fn scale(color: Rgb, by: f32) -> Rgb {
    color.map(|c| c * by)
}

pub(super) fn mix(a: Rgb, b: Rgb, part: f32) -> Rgb {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * part)
}

pub(super) fn grey(level: f32) -> Rgb {
    [level; 3]
}

/// Relative brightness of a color, 0 to 1.
pub(super) fn brightness(color: Rgb) -> f32 {
    0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
}
