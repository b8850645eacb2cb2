//! The colors that a shoe is made in, and how seams and linings take them.

use crate::demo::mesh::{Ink, Paint};
use crate::demo::palette::{Rgb, brightness, grey, mix, scale};
use crate::demo::product::DemoProduct;
use crate::util::random::Random;

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
    pub(super) fn new(product: &DemoProduct, r: &mut Random) -> Self {
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
pub(super) fn band(distance: f32, half: f32, soft: f32) -> f32 {
    1.0 - ((distance.abs() - half) / soft).clamp(0.0, 1.0)
}

/// A seam: a dark groove, with dashes of thread beside it where `run` (along the seam) says.
pub(super) fn seam(color: Rgb, distance: f32, run: f32) -> Rgb {
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
pub(super) fn lined(lining: Rgb, outside: impl Fn([f32; 3]) -> Ink + 'static) -> Paint {
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
