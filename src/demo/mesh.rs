//! Surfaces as triangles: grids, tubes and bands, each with the paint that colors its points.
//!
//! The frame of a shoe: `x` runs from the heel (0) to the toe (1), `y` across, `z` up from the
//! ground; the unit is the shoe's length.

use super::palette::Rgb;

pub(super) type Vec3 = [f32; 3];

pub(super) fn add(a: Vec3, b: Vec3) -> Vec3 {
    std::array::from_fn(|i| a[i] + b[i])
}

pub(super) fn sub(a: Vec3, b: Vec3) -> Vec3 {
    std::array::from_fn(|i| a[i] - b[i])
}

pub(super) fn times(a: Vec3, by: f32) -> Vec3 {
    a.map(|v| v * by)
}

pub(super) fn dot(a: Vec3, b: Vec3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

pub(super) fn length(a: Vec3) -> f32 {
    dot(a, a).sqrt()
}

/// Of unit length; straight up where there is no direction.
pub(super) fn unit(a: Vec3) -> Vec3 {
    let len = length(a);
    if len < 1e-9 {
        [0.0, 0.0, 1.0]
    } else {
        times(a, 1.0 / len)
    }
}

/// A point's color before light falls on it, and how much it shines (0 cloth, 1 patent leather).
#[derive(Clone, Copy)]
pub(super) struct Ink {
    pub(super) color: Rgb,
    pub(super) gloss: f32,
}

/// Colors a point by its two or three surface coordinates; `true` where the surface is seen from
/// behind.
pub(super) type Paint = Box<dyn Fn(Vec3, bool) -> Ink>;

pub(super) struct Vertex {
    pub(super) position: Vec3,
    pub(super) normal: Vec3,
    /// What the paint is asked with.
    pub(super) at: Vec3,
}

pub(super) struct Part {
    pub(super) vertices: Vec<Vertex>,
    pub(super) triangles: Vec<[usize; 3]>,
    pub(super) paint: Paint,
}

#[expect(clippy::cast_precision_loss, reason = "grids have a few hundred lines")]
pub(super) fn fraction(i: usize, n: usize) -> f32 {
    i as f32 / n as f32
}

/// A surface over the unit square, cut into `columns` times `rows` cells. `surface` gives the
/// position and the paint's coordinates; normals follow from the neighbors and point to the left of
/// `u` seen along `v` (`outward` = 1), or to the other side (-1).
pub(super) fn grid(
    columns: usize,
    rows: usize,
    outward: f32,
    paint: Paint,
    surface: impl Fn(f32, f32) -> (Vec3, Vec3),
) -> Part {
    let points: Vec<(Vec3, Vec3)> = (0..=rows)
        .flat_map(|j| (0..=columns).map(move |i| (i, j)))
        .map(|(i, j)| surface(fraction(i, columns), fraction(j, rows)))
        .collect();
    let index = |i: usize, j: usize| j * (columns + 1) + i;
    let mut vertices = Vec::with_capacity(points.len());
    for j in 0..=rows {
        for i in 0..=columns {
            let along = sub(
                points[index((i + 1).min(columns), j)].0,
                points[index(i.saturating_sub(1), j)].0,
            );
            let across = sub(
                points[index(i, (j + 1).min(rows))].0,
                points[index(i, j.saturating_sub(1))].0,
            );
            let (position, at) = points[index(i, j)];
            vertices.push(Vertex {
                position,
                normal: times(unit(cross(along, across)), outward),
                at,
            });
        }
    }
    Part {
        vertices,
        triangles: cells(columns, rows),
        paint,
    }
}

fn cells(columns: usize, rows: usize) -> Vec<[usize; 3]> {
    let index = |i: usize, j: usize| j * (columns + 1) + i;
    (0..rows)
        .flat_map(|j| (0..columns).map(move |i| (i, j)))
        .flat_map(|(i, j)| {
            let [a, b, c, d] = [
                index(i, j),
                index(i + 1, j),
                index(i, j + 1),
                index(i + 1, j + 1),
            ];
            [[a, b, c], [b, d, c]]
        })
        .collect()
}

/// A round cord along a path; the paint's coordinates are (length from the start, angle in turns,
/// 0).
pub(super) fn tube(path: &[Vec3], radius: f32, sides: usize, paint: Paint) -> Part {
    flat_tube(path, radius, radius, None, sides, paint)
}

/// A cord of elliptic section: `wide` across and `thick` along the `up` direction (a flat lace lies
/// on the shoe).
pub(super) fn flat_tube(
    path: &[Vec3],
    wide: f32,
    thick: f32,
    up: Option<&[Vec3]>,
    sides: usize,
    paint: Paint,
) -> Part {
    let last = path.len() - 1;
    let mut vertices = Vec::with_capacity(path.len() * (sides + 1));
    let mut run = 0.0;
    let mut previous_up = [0.13, 0.27, 0.95];
    for (i, &center) in path.iter().enumerate() {
        let direction = unit(sub(path[(i + 1).min(last)], path[i.saturating_sub(1)]));
        let wanted = up.map_or(previous_up, |u| u[i]);
        let side = unit(cross(direction, wanted));
        let top = cross(side, direction);
        previous_up = top;
        if i > 0 {
            run += length(sub(center, path[i - 1]));
        }
        for k in 0..=sides {
            let turn = fraction(k, sides);
            let (sin, cos) = (turn * std::f32::consts::TAU).sin_cos();
            let offset = add(times(side, cos * wide), times(top, sin * thick));
            let normal = unit(add(times(side, cos / wide), times(top, sin / thick)));
            vertices.push(Vertex {
                position: add(center, offset),
                normal,
                at: [run, turn, 0.0],
            });
        }
    }
    Part {
        vertices,
        triangles: cells(sides, last),
        paint,
    }
}

impl Part {
    /// The same part of the other foot.
    pub(super) fn mirrored(mut self) -> Self {
        for v in &mut self.vertices {
            v.position[1] = -v.position[1];
            v.normal[1] = -v.normal[1];
        }
        self
    }

    /// Turned about the upright axis by `angle` (radians), then shifted.
    pub(super) fn placed(mut self, angle: f32, shift: Vec3) -> Self {
        let (sin, cos) = angle.sin_cos();
        for v in &mut self.vertices {
            for w in [&mut v.position, &mut v.normal] {
                *w = [w[0] * cos - w[1] * sin, w[0] * sin + w[1] * cos, w[2]];
            }
            v.position = add(v.position, shift);
        }
        self
    }
}

/// A paint of one color.
pub(super) fn plain(color: Rgb, gloss: f32) -> Paint {
    Box::new(move |_, _| Ink { color, gloss })
}
