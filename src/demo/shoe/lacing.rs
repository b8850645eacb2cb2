//! Laces: eyelets, bars or crosses over the tongue, and a bow.

use std::f32::consts::{PI, TAU};

use crate::demo::mesh::{
    Ink, Paint, Part, Vec3, add, cross, flat_tube, fraction, grid, length, plain, sub, times, tube,
    unit,
};
use crate::demo::palette::{Rgb, scale};
use crate::demo::shape::Last;

#[derive(Clone, Copy)]
pub(super) struct Lacing {
    /// From the eyelets next to the toe to those next to the leg.
    pub(super) front: f32,
    pub(super) back: f32,
    pub(super) pairs: usize,
    /// Half the distance between the rows of eyelets.
    pub(super) gap: f32,
    /// Half the lace's width, and half its thickness.
    pub(super) wide: f32,
    pub(super) thick: f32,
    pub(super) crossed: bool,
    pub(super) bow: f32,
    pub(super) eyelets: Option<Rgb>,
}

/// A place on the plan of the shoe: `x`, `y`.
type Spot = (f32, f32);

/// Where the ridge of the last is cut into equal lengths.
fn stations(last: &Last, lacing: &Lacing) -> Vec<f32> {
    let steps = 60;
    let at = |i: usize| lacing.front + (lacing.back - lacing.front) * fraction(i, steps);
    let ridge = |x: f32| [x, 0.0, last.footbed.at(x) + last.top.at(x)];
    let mut runs = vec![0.0];
    for i in 1..=steps {
        runs.push(runs[i - 1] + length(sub(ridge(at(i)), ridge(at(i - 1)))));
    }
    let total = runs[steps];
    (0..lacing.pairs)
        .map(|k| {
            let wanted = total * fraction(k, lacing.pairs - 1);
            at(runs
                .iter()
                .position(|&r| r >= wanted - 1e-6)
                .unwrap_or(steps))
        })
        .collect()
}

/// Cloth of a lace: a fine weave along it.
fn cloth(color: Rgb) -> Paint {
    Box::new(move |at, _| {
        let weave = if (at[0] * 70.0 + at[1] * 2.0).rem_euclid(1.0) < 0.5 {
            1.0
        } else {
            0.93
        };
        Ink {
            color: scale(color, weave),
            gloss: 0.12,
        }
    })
}

/// The laces of a shoe; `ground` is what they lie on (their shadow is cast on it).
pub(super) fn laces(last: &Last, lacing: &Lacing, color: Rgb, ground: Rgb) -> Vec<Part> {
    let stations = stations(last, lacing);
    let eyelet = |k: usize, sign: f32| (stations[k], sign * lacing.gap);
    // From, to, and on which layer.
    let mut runs: Vec<(Spot, Spot, f32)> = Vec::new();
    if lacing.crossed {
        runs.push((eyelet(0, -1.0), eyelet(0, 1.0), 1.0));
        for k in 1..lacing.pairs {
            runs.push((eyelet(k - 1, 1.0), eyelet(k, -1.0), 1.0));
            runs.push((eyelet(k - 1, -1.0), eyelet(k, 1.0), 2.2));
        }
    } else {
        runs.extend((0..lacing.pairs).map(|k| (eyelet(k, -1.0), eyelet(k, 1.0), 1.0)));
    }
    let mut parts = Vec::new();
    for (from, to, layer) in runs {
        let lift = lacing.thick * layer;
        let place = |t: f32, lift: f32| {
            let (x, y) = (from.0 + (to.0 - from.0) * t, from.1 + (to.1 - from.1) * t);
            let (point, normal) = last.over(x, y);
            (
                add(point, times(normal, lift * (0.3 + 0.7 * (t * PI).sin()))),
                normal,
            )
        };
        let run = |lift: f32| -> (Vec<Vec3>, Vec<Vec3>) {
            (0..=12).map(|i| place(fraction(i, 12), lift)).unzip()
        };
        let (path, up) = run(lift);
        parts.push(flat_tube(
            &path,
            lacing.wide,
            lacing.thick,
            Some(&up),
            10,
            cloth(color),
        ));
        let (path, up) = run(lacing.thick * 0.2);
        parts.push(flat_tube(
            &path,
            lacing.wide * 1.5,
            lacing.thick * 0.8,
            Some(&up),
            8,
            plain(scale(ground, 0.5), 0.0),
        ));
    }
    if let Some(metal) = lacing.eyelets {
        for (k, sign) in (0..lacing.pairs).flat_map(|k| [(k, -1.0), (k, 1.0)]) {
            let (x, y) = eyelet(k, sign);
            parts.push(ring(
                last,
                x,
                y + sign * lacing.wide * 0.4,
                lacing.wide * 1.1,
                metal,
            ));
        }
    }
    if lacing.bow > 0.0 {
        parts.extend(bow(last, lacing, stations[lacing.pairs - 1], color));
    }
    parts
}

fn ring(last: &Last, x: f32, y: f32, radius: f32, metal: Rgb) -> Part {
    let (center, normal) = last.over(x, y);
    let side = unit(cross(normal, [0.3, 1.0, 0.2]));
    let other = cross(normal, side);
    let path: Vec<Vec3> = (0..=14)
        .map(|i| {
            let (sin, cos) = (fraction(i, 14) * TAU).sin_cos();
            let off = add(times(side, cos * radius), times(other, sin * radius));
            add(center, add(off, times(normal, 0.003)))
        })
        .collect();
    tube(&path, radius * 0.42, 6, plain(metal, 0.9))
}

/// Two loops and two ends on the topmost crossing, sagging to the sides.
fn bow(last: &Last, lacing: &Lacing, x: f32, color: Rgb) -> Vec<Part> {
    let (point, normal) = last.over(x, 0.0);
    let knot = add(point, times(normal, lacing.thick * 3.0));
    let ahead = unit(sub(last.over(x + 0.05, 0.0).0, point));
    let across = [0.0, 1.0, 0.0];
    let size = lacing.bow;
    let local = |forward: f32, side: f32| {
        // The cord follows the instep's round back to both sides.
        let sag = side * side * 3.2 / (1.0 + 12.0 * side.abs());
        add(
            knot,
            add(
                add(times(ahead, forward), times(across, side)),
                times(normal, lacing.thick - sag),
            ),
        )
    };
    let mut parts = Vec::new();
    for sign in [-1.0, 1.0] {
        let lobe: Vec<Vec3> = (0..=24)
            .map(|i| {
                let turn = fraction(i, 24) * TAU;
                let reach = (1.0 - turn.cos()) / 2.0;
                let open = turn.sin() * 0.33 * reach.sqrt();
                local(size * (0.35 * reach + open), sign * size * reach)
            })
            .collect();
        parts.push(tube(&lobe, lacing.wide * 0.62, 8, cloth(color)));
        let end: Vec<Vec3> = (0..=12)
            .map(|i| {
                let t = fraction(i, 12);
                local(
                    size * (0.95 * t + 0.15 * (t * 6.0).sin() * t),
                    sign * size * 0.62 * t,
                )
            })
            .collect();
        parts.push(tube(&end, lacing.wide * 0.55, 8, cloth(color)));
    }
    let dots: Vec<Vec3> = [-1.0, -0.4, 0.4, 1.0]
        .iter()
        .map(|s| local(0.0, s * lacing.wide * 1.3))
        .collect();
    parts.push(tube(
        &dots,
        lacing.wide * 1.1,
        10,
        cloth(scale(color, 0.92)),
    ));
    parts
}

/// The tongue above the opening's front.
pub(super) fn tongue(last: &Last, half: f32, reach: f32, paint: Paint) -> Part {
    let front = last.opening + 0.05;
    let ridge = |x: f32| [x, 0.0, last.footbed.at(x) + last.top.at(x)];
    let (start, direction) = (
        ridge(front),
        unit(sub(ridge(last.opening + 0.01), ridge(front))),
    );
    let normal = [direction[2], 0.0, -direction[0]];
    let inside = if normal[2] > 0.0 {
        times(normal, -0.012)
    } else {
        times(normal, 0.012)
    };
    grid(12, 12, -1.0, paint, move |u, v| {
        let y = (2.0 * u - 1.0) * half * (1.0 + 0.15 * v);
        let round = (1.0 - (2.0 * u - 1.0).powi(4)) * 0.02;
        let along = (0.05 + reach) * v + if v > 0.9 { round } else { 0.0 };
        let sag = (y / half).powi(2) * 0.022;
        let mut place = add(add(start, inside), times(direction, along));
        place[1] = y;
        place[2] -= sag;
        (place, [u, v, 0.0])
    })
}
