//! The last: the form that a shoe is built on. Profiles along the shoe, and the surface that they
//! span.

use super::mesh::{Vec3, cross, sub, times, unit};

/// A smooth function on [0, 1], given by points and sampled once.
#[derive(Clone)]
pub(super) struct Curve(Vec<f32>);

const SAMPLES: usize = 256;

impl Curve {
    /// Through the points (by rising position), monotone between them (Fritsch and Butland 1984),
    /// constant outside.
    pub(super) fn new(points: &[(f32, f32)]) -> Self {
        let n = points.len();
        let slope = |i: usize| (points[i + 1].1 - points[i].1) / (points[i + 1].0 - points[i].0);
        let tangent = |i: usize| {
            if i == 0 || i == n - 1 {
                return 0.0;
            }
            let (before, after) = (slope(i - 1), slope(i));
            if before * after <= 0.0 {
                0.0
            } else {
                2.0 * before * after / (before + after)
            }
        };
        let value = |x: f32| {
            if x <= points[0].0 {
                return points[0].1;
            }
            let Some(i) = (0..n - 1).find(|&i| x <= points[i + 1].0) else {
                return points[n - 1].1;
            };
            let width = points[i + 1].0 - points[i].0;
            let t = (x - points[i].0) / width;
            let (t2, t3) = (t * t, t * t * t);
            points[i].1 * (2.0 * t3 - 3.0 * t2 + 1.0)
                + tangent(i) * width * (t3 - 2.0 * t2 + t)
                + points[i + 1].1 * (3.0 * t2 - 2.0 * t3)
                + tangent(i + 1) * width * (t3 - t2)
        };
        Self(
            (0..=SAMPLES)
                .map(|i| value(super::mesh::fraction(i, SAMPLES)))
                .collect(),
        )
    }

    pub(super) fn at(&self, x: f32) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "256 samples")]
        let place = x.clamp(0.0, 1.0) * SAMPLES as f32;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the samples"
        )]
        let i = (place as usize).min(SAMPLES - 1);
        #[expect(clippy::cast_precision_loss, reason = "256 samples")]
        let t = place - i as f32;
        self.0[i] * (1.0 - t) + self.0[i + 1] * t
    }

    pub(super) fn map(&self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(
            self.0
                .iter()
                .enumerate()
                .map(|(i, &v)| f(super::mesh::fraction(i, SAMPLES), v))
                .collect(),
        )
    }
}

/// How the plan of the shoe is rounded at an end: over which length, and how (2 an ellipse, more is
/// squarer).
#[derive(Clone, Copy, Debug)]
pub(super) struct Cap {
    pub(super) length: f32,
    pub(super) power: f32,
}

impl Cap {
    fn at(self, from_end: f32) -> f32 {
        if from_end >= self.length {
            return 1.0;
        }
        let t = 1.0 - (from_end / self.length).max(0.0);
        (1.0 - t.powf(self.power)).max(0.0).powf(1.0 / self.power)
    }
}

/// The profiles of a shoe over its length (`x` from heel to toe).
#[derive(Clone)]
pub(super) struct Last {
    /// Half the width before the ends are rounded.
    pub(super) width: Curve,
    pub(super) heel: Cap,
    pub(super) toe: Cap,
    /// Where the foot stands: the top of the sole above the ground.
    pub(super) footbed: Curve,
    /// The top of the upper above the footbed: the collar where the shoe is open, the ridge in
    /// front of it.
    pub(super) top: Curve,
    /// Where the opening ends in front.
    pub(super) opening: f32,
    /// Half the width of the opening, as a part of the shoe's.
    pub(super) gape: f32,
    /// Over which length the opening narrows to its front.
    pub(super) taper: f32,
    /// The section's exponents: below 1 the sides stand up and the top is broad.
    pub(super) side: f32,
    pub(super) crown: f32,
}

impl Last {
    pub(super) fn half_width(&self, x: f32) -> f32 {
        self.width.at(x) * self.heel.at(x) * self.toe.at(1.0 - x)
    }

    /// Half the opening's width as a part of the section's; 0 where the shoe is closed.
    fn open_part(&self, x: f32) -> f32 {
        if x >= self.opening {
            return 0.0;
        }
        let t = 1.0 - ((self.opening - x) / self.taper).min(1.0);
        self.gape * (1.0 - t * t).max(0.0).sqrt()
    }

    /// The largest angle of the section at `x`; a quarter turn where it is closed.
    fn last_angle(&self, x: f32) -> f32 {
        self.open_part(x)
            .powf(1.0 / self.side)
            .clamp(0.0, 1.0)
            .acos()
    }

    /// The point of the section at `x` with that angle, on the side of `sign`.
    fn section(&self, x: f32, angle: f32, sign: f32) -> Vec3 {
        let rise = self.top.at(x) / self.last_angle(x).sin().max(0.05).powf(self.crown);
        let y = self.half_width(x) * angle.cos().max(0.0).powf(self.side);
        let height = rise * angle.sin().max(0.0).powf(self.crown);
        // The heel's back leans in towards the ankle, the more the higher.
        let near = (1.0 - x / 0.22).max(0.0);
        [
            x + near * near * height * 0.22,
            sign * y,
            self.footbed.at(x) + height,
        ]
    }

    /// The upper's surface: `along` from heel to toe, `up` from the sole (0) to the collar or ridge
    /// (1).
    pub(super) fn upper(&self, along: f32, up: f32, sign: f32) -> Vec3 {
        self.section(along, up * self.last_angle(along), sign)
    }

    /// The surface above the point (`x`, `y`) of the plan, and its outward normal.
    pub(super) fn over(&self, x: f32, y: f32) -> (Vec3, Vec3) {
        let point = |x: f32, y: f32| {
            let part = (y.abs() / self.half_width(x).max(1e-4)).min(0.999);
            let angle = part.powf(1.0 / self.side).acos().min(self.last_angle(x));
            self.section(x, angle, if y < 0.0 { -1.0 } else { 1.0 })
        };
        let step = 0.006;
        let along = sub(
            point((x + step).min(0.995), y),
            point((x - step).max(0.005), y),
        );
        let across = sub(point(x, y + step), point(x, y - step));
        let normal = unit(cross(along, across));
        (
            point(x, y),
            if normal[2] < 0.0 {
                times(normal, -1.0)
            } else {
                normal
            },
        )
    }
}

/// Positions along the shoe, closer together at the rounded ends.
pub(super) fn spread(u: f32) -> f32 {
    let ease = 0.5 - 0.5 * (u * std::f32::consts::PI).cos();
    0.6 * ease + 0.4 * u
}
