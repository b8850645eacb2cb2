//! Soles: the walls around, the top that the foot stands on, and heels.

use crate::demo::mesh::{Ink, Paint, Part, Vec3, fraction, grid};
use crate::demo::palette::{Rgb, scale};
use crate::demo::shape::{Curve, Last, spread};

/// The form of a sole under a [`Last`].
pub(super) struct Sole {
    /// The underside above the ground.
    pub(super) bottom: Curve,
    /// How far it stands out from the upper.
    pub(super) flare: f32,
    /// How far its wall rises above the footbed.
    pub(super) lip: Curve,
    /// How far its wall bulges in the middle.
    pub(super) bulge: f32,
}

impl Sole {
    /// The outline's point beside `x`, `out` further out.
    fn outline(&self, last: &Last, x: f32, sign: f32, out: f32) -> (f32, f32) {
        let flare = self.flare + out;
        let y = last.half_width(x) * (1.0 + flare / 0.15);
        (0.5 + (x - 0.5) * (1.0 + 2.0 * flare), sign * y)
    }

    /// The wall's paint is asked with (`x`, part of the height, height above the ground).
    pub(super) fn parts(self, last: &Last, wall: Paint, insole: Rgb) -> Vec<Part> {
        let sole = std::rc::Rc::new(self);
        let (form, under) = (sole.clone(), last.clone());
        let around = grid(150, 10, 1.0, wall, move |u, v| {
            let (sign, t) = if u <= 0.5 {
                (-1.0, u * 2.0)
            } else {
                (1.0, 2.0 - u * 2.0)
            };
            let x = spread(t);
            let (px, py) = form.outline(
                &under,
                x,
                sign,
                form.bulge * (v * std::f32::consts::PI).sin(),
            );
            let (low, high) = (form.bottom.at(x), under.footbed.at(x) + form.lip.at(x));
            let z = low + (high - low).max(0.004) * v;
            ([px, py, z], [x, v, z])
        });
        let (form, under) = (sole.clone(), last.clone());
        let paint: Paint = Box::new(move |_, _| Ink {
            color: scale(insole, 0.92),
            gloss: 0.05,
        });
        let top = grid(60, 6, 1.0, paint, move |u, v| {
            let x = spread(u);
            let (px, py) = form.outline(&under, x, 1.0, 0.0);
            (
                [
                    px,
                    py * (2.0 * v - 1.0),
                    under.footbed.at(x) + form.lip.at(x).min(0.004),
                ],
                [x, v, 0.0],
            )
        });
        vec![around, top]
    }
}

/// A heel that narrows from the sole to the ground: (position from the heel end, half length, half
/// width) at both.
pub(super) fn heel(
    top: (f32, f32, f32),
    ground: (f32, f32, f32),
    height: f32,
    power: f32,
    paint: Paint,
) -> Part {
    grid(28, 14, -1.0, paint, move |u, v| {
        let (sin, cos) = (u * std::f32::consts::TAU).sin_cos();
        let t = v.powf(power);
        let at = |a: f32, b: f32| a + (b - a) * t;
        let x = at(top.0, ground.0) + cos * at(top.1, ground.1);
        // Slightly square: heels have flat breasts.
        let y = sin.signum() * sin.abs().powf(0.8) * at(top.2, ground.2);
        let z = height * (1.0 - v);
        ([x, y, z], [u, v, z])
    })
}

/// A band over the foot: through `points`, `half` wide on each side along the shoe, slightly arched
/// in its section.
pub(super) fn strap(points: &[(Vec3, Vec3)], half: f32, paint: Paint) -> Part {
    let last = points.len() - 1;
    let points = points.to_vec();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "u runs over the points' numbers"
    )]
    grid(last, 4, 1.0, paint, move |u, v| {
        let i = ((u * fraction(last, 1)).round() as usize).min(last);
        let (center, along) = points[i];
        let off = (2.0 * v - 1.0) * half;
        let arch = 0.006 * (1.0 - (2.0 * v - 1.0).powi(2));
        let position =
            std::array::from_fn(|k| center[k] + along[k] * off + if k == 2 { arch } else { 0.0 });
        (position, [u, v, 0.0])
    })
}
