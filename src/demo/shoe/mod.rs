//! From a product to the parts of one shoe: which last, which sole, which paint.

mod boot;
mod closed;
mod dress;
mod lacing;
mod open;
mod runner;
mod sneaker;
mod sole;

use super::mesh::{Ink, Paint, Part};
use super::palette::{Rgb, brightness, grey, mix, scale};
use super::product::{Category, DemoProduct};
use crate::util::random::Random;

/// The parts of one shoe (the left one, its outer side at negative `y`).
pub(super) fn build(product: &DemoProduct) -> Vec<Part> {
    let mut random = Random::new(product.look);
    let dyes = Dyes::new(product, &mut random);
    match product.category {
        Category::CasualShoes if dyes.laces.is_none() && random.chance(0.45) => {
            dress::loafer(&dyes, &mut random, false)
        }
        Category::CasualShoes => sneaker::sneaker(&dyes, &mut random),
        Category::SportsShoes => runner::runner(&dyes, &mut random),
        Category::FormalShoes if dyes.laces.is_none() => dress::loafer(&dyes, &mut random, true),
        Category::FormalShoes => dress::oxford(&dyes, &mut random),
        Category::Boots => boot::boot(&dyes, &mut random),
        Category::Heels => open::pump(&dyes, &mut random),
        Category::Flats => open::ballerina(&dyes, &mut random),
        Category::Sandals => open::sandal(&dyes, &mut random),
        Category::FlipFlops => open::flip_flop(&dyes, &mut random),
    }
}

/// The colors that one shoe is made in.
pub(super) struct Dyes {
    pub(super) main: Rgb,
    pub(super) laces: Option<Rgb>,
    /// A second color that goes with the main one and leaves it the main one.
    pub(super) accent: Rgb,
    pub(super) lining: Rgb,
    /// Leather and metal shine, cloth does not.
    pub(super) metal: bool,
}

impl Dyes {
    fn new(product: &DemoProduct, r: &mut Random) -> Self {
        let main = product.color.dyed(r);
        let light = brightness(main) > 0.55;
        let accents = if light {
            [
                scale(main, 0.75),
                [0.16, 0.17, 0.20],
                [0.45, 0.46, 0.48],
                [0.15, 0.22, 0.42],
            ]
        } else {
            [
                mix(main, grey(1.0), 0.25),
                grey(0.92),
                scale(main, 0.6),
                [0.72, 0.73, 0.74],
            ]
        };
        let accent = *r.pick(&accents);
        let linings = [
            grey(0.9),
            mix(main, grey(0.5), 0.4),
            [0.78, 0.68, 0.54],
            grey(0.25),
            scale(main, 0.8),
        ];
        Self {
            main,
            laces: product.laces.map(|l| l.dyed(r)),
            accent,
            lining: *r.pick(&linings),
            metal: matches!(product.color.name, "Silver" | "Gold"),
        }
    }
}

/// 1 within `half` of zero, falling to 0 over `soft` more.
fn band(distance: f32, half: f32, soft: f32) -> f32 {
    1.0 - ((distance.abs() - half) / soft).clamp(0.0, 1.0)
}

/// A seam: a dark groove, with dashes of thread beside it where `run` (along the seam) says.
fn seam(color: Rgb, distance: f32, run: f32) -> Rgb {
    let groove = mix(color, scale(color, 0.55), band(distance, 0.002, 0.004));
    let dash = if (run * 90.0).rem_euclid(1.0) < 0.6 {
        1.0
    } else {
        0.0
    };
    let thread = mix(
        color,
        if brightness(color) > 0.5 {
            grey(0.45)
        } else {
            grey(0.8)
        },
        0.5,
    );
    mix(
        groove,
        thread,
        dash * 0.7 * band(distance - 0.009, 0.0015, 0.003),
    )
}

/// Inside, a shoe shows its lining, in its own shadow.
fn lined(lining: Rgb, outside: impl Fn([f32; 3]) -> Ink + 'static) -> Paint {
    Box::new(move |at, behind| {
        if behind {
            Ink {
                color: scale(lining, 0.55),
                gloss: 0.0,
            }
        } else {
            outside(at)
        }
    })
}
