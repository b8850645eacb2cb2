//! What all shoes that cover the foot share: the two halves of the upper, the collar, the throat
//! with its tongue.

use super::dyes::{band, lined, seam};
use crate::demo::mesh::{Ink, Paint, Part, Vec3, fraction, grid, plain, tube};
use crate::demo::palette::{Rgb, mix, scale};
use crate::demo::shape::{Curve, Last, spread};
use crate::util::random::Random;

pub(super) const GUM: Rgb = [0.72, 0.52, 0.32];

/// Both halves of the upper. The paint is asked with (`x`, height above the footbed, `y`).
pub(super) fn upper(
    last: &Last,
    lining: Rgb,
    outside: impl Fn(Vec3) -> Ink + Clone + 'static,
) -> Vec<Part> {
    [-1.0_f32, 1.0]
        .into_iter()
        .map(|sign| {
            let form = last.clone();
            grid(
                80,
                22,
                -sign,
                lined(lining, outside.clone()),
                move |u, v| {
                    let x = spread(u);
                    let point = form.upper(x, v, sign);
                    (point, [x, point[2] - form.footbed.at(x), point[1]])
                },
            )
        })
        .collect()
}

/// The edge of the opening, as a cord.
pub(super) fn collar(last: &Last, thick: f32, color: Rgb, gloss: f32) -> Part {
    let side = |sign: f32| {
        (0..=40).map(move |i| {
            last.upper(
                last.opening * (1.0 - fraction(i, 40)).powf(1.4).min(0.998),
                1.0,
                sign,
            )
        })
    };
    let mut path: Vec<Vec3> = side(-1.0).collect();
    let back: Vec<Vec3> = side(1.0).collect();
    path.extend(back.into_iter().rev().skip(1));
    tube(&path, thick, 8, plain(color, gloss))
}

pub(super) fn foot_width(r: &mut Random) -> Curve {
    let k = r.range(0.94, 1.05);
    Curve::new(&[
        (0.0, 0.122 * k),
        (0.2, 0.126 * k),
        (0.42, 0.124 * k),
        (0.68, 0.172 * k),
        (0.85, 0.165 * k),
        (1.0, 0.15 * k),
    ])
}

/// The toe's underside rises a little.
pub(super) fn spring(height: f32) -> Curve {
    Curve::new(&[(0.0, 0.004), (0.08, 0.0), (0.75, 0.0), (1.0, height)])
}

/// The slit for the tongue, the rows of eyelets beside it, and everything that shows there.
#[derive(Clone, Copy)]
pub(super) struct Throat {
    pub(super) front: f32,
    pub(super) gap: f32,
    pub(super) stay: Option<Rgb>,
    pub(super) tongue: Rgb,
}

impl Throat {
    /// The color at a point near the throat, or `None` where it does not reach.
    pub(super) fn color(&self, base: Rgb, x: f32, y: f32) -> Option<Rgb> {
        let ahead = x - self.front;
        let side = y.abs() - self.gap * (1.0 - (ahead / 0.03).clamp(0.0, 1.0));
        if ahead < 0.03 && side < 0.0 {
            let edge = band(side, 0.0, 0.018);
            return Some(mix(self.tongue, scale(self.tongue, 0.45), edge));
        }
        let stay = self.gap + 0.042;
        let reach = stay - (ahead / 0.05).clamp(0.0, 1.0) * stay;
        let outer = y.abs() - reach;
        if ahead < 0.05 && outer < 0.012 {
            let color = if outer < 0.0 {
                self.stay.unwrap_or(base)
            } else {
                base
            };
            return Some(seam(color, outer + 0.004, x));
        }
        None
    }
}

pub(super) fn tongue_paint(color: Rgb) -> Paint {
    Box::new(move |[u, v, _], behind| {
        let rim = band(u - 0.5, 0.42, 0.05).min(band(v - 0.5, 0.44, 0.04));
        Ink {
            color: scale(color, if behind { 0.6 } else { 0.8 + 0.2 * rim }),
            gloss: 0.05,
        }
    })
}
