//! A camera and a depth buffer: triangles to pixels.

use super::mesh::{Part, Vec3, dot, unit};
use super::palette::Rgb;

/// Where the photo is taken from. Angles in radians.
#[derive(Clone, Copy, Debug)]
pub(super) struct Camera {
    /// 0: the toe points right; positive: the toe turns to the camera.
    pub(super) yaw: f32,
    /// 0: level with the ground; a quarter turn: straight from above.
    pub(super) pitch: f32,
    /// Turn of the picture in its own plane.
    pub(super) roll: f32,
    /// From the camera to the shoe's middle, in shoe lengths: the smaller, the stronger the
    /// perspective.
    pub(super) distance: f32,
}

impl Camera {
    /// Into the camera's frame: right, up, towards the camera.
    pub(super) fn turn(&self, v: Vec3) -> Vec3 {
        let (sy, cy) = self.yaw.sin_cos();
        let (sp, cp) = self.pitch.sin_cos();
        let (sr, cr) = self.roll.sin_cos();
        let (x, y, z) = (v[0] * cy + v[1] * sy, v[1] * cy - v[0] * sy, v[2]);
        let (up, near) = (z * cp + y * sp, z * sp - y * cp);
        [x * cr - up * sr, x * sr + up * cr, near]
    }

    /// A point on the image plane: right, up (in shoe lengths), and nearness.
    pub(super) fn project(&self, point: Vec3) -> Vec3 {
        let [x, up, near] = self.turn([point[0] - 0.5, point[1], point[2] - 0.12]);
        let scale = self.distance / (self.distance - near).max(0.2);
        [x * scale, up * scale, near]
    }
}

/// From the image plane to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) scale: f32,
    /// The pixel of the plane's origin.
    pub(super) origin: [f32; 2],
}

impl Frame {
    pub(super) fn pixel(&self, plane: Vec3) -> Vec3 {
        [
            self.origin[0] + plane[0] * self.scale,
            self.origin[1] - plane[1] * self.scale,
            plane[2],
        ]
    }
}

/// The light of the studio, in the camera's frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Light {
    pub(super) direction: Vec3,
    pub(super) ambient: f32,
    pub(super) strength: f32,
}

impl Light {
    /// A surface's color as the camera sees it; `normal` faces the camera.
    fn shade(&self, color: Rgb, gloss: f32, normal: Vec3) -> Rgb {
        let direction = unit(self.direction);
        let lambert = dot(normal, direction);
        // Half of the light comes around the corner, as from a soft box.
        let diffuse = (lambert * 0.65 + 0.35).max(0.0);
        // Edges that turn away from the camera darken, so that a white shoe stands out from a white
        // ground.
        let facing = normal[2].clamp(0.0, 1.0);
        let level = (self.ambient + self.strength * diffuse) * (0.80 + 0.20 * facing);
        let half = unit([direction[0], direction[1], direction[2] + 1.0]);
        let shine = dot(normal, half).max(0.0);
        let shine = gloss * (0.42 * shine.powi(40) + 0.16 * shine.powi(8));
        color.map(|c| (c * level + shine).clamp(0.0, 1.0))
    }
}

/// Pixels with a depth.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    /// `None`-like where the depth is minus infinity.
    pub(super) color: Vec<Rgb>,
    pub(super) depth: Vec<f32>,
}

struct Seen {
    pixel: Vec3,
    normal: Vec3,
    at: Vec3,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let pixels = width * height;
        Self {
            width,
            height,
            color: vec![[0.0; 3]; pixels],
            depth: vec![f32::NEG_INFINITY; pixels],
        }
    }

    pub(super) fn draw(&mut self, part: &Part, camera: &Camera, frame: &Frame, light: &Light) {
        let seen: Vec<Seen> = part
            .vertices
            .iter()
            .map(|v| Seen {
                pixel: frame.pixel(camera.project(v.position)),
                normal: camera.turn(v.normal),
                at: v.at,
            })
            .collect();
        for &[a, b, c] in &part.triangles {
            self.triangle([&seen[a], &seen[b], &seen[c]], part, light);
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        clippy::many_single_char_names,
        reason = "pixel positions are clamped to the canvas first; corners and weights have no better names"
    )]
    fn triangle(&mut self, corners: [&Seen; 3], part: &Part, light: &Light) {
        let [a, b, c] = corners.map(|s| s.pixel);
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        if area.abs() < 1e-6 {
            return;
        }
        let bound = |k: usize, limit: usize| {
            let low = a[k].min(b[k]).min(c[k]).floor().clamp(0.0, limit as f32);
            let high = a[k].max(b[k]).max(c[k]).ceil().clamp(0.0, limit as f32);
            low as usize..high as usize
        };
        let columns = bound(0, self.width);
        for y in bound(1, self.height) {
            for x in columns.clone() {
                let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
                let u = ((b[0] - px) * (c[1] - py) - (c[0] - px) * (b[1] - py)) / area;
                let v = ((c[0] - px) * (a[1] - py) - (a[0] - px) * (c[1] - py)) / area;
                let w = 1.0 - u - v;
                if u < 0.0 || v < 0.0 || w < 0.0 {
                    continue;
                }
                let depth = u * a[2] + v * b[2] + w * c[2];
                let pixel = y * self.width + x;
                if depth <= self.depth[pixel] {
                    continue;
                }
                self.depth[pixel] = depth;
                let blend = |of: fn(&Seen) -> Vec3| -> Vec3 {
                    let [p, q, r] = corners.map(of);
                    std::array::from_fn(|i| u * p[i] + v * q[i] + w * r[i])
                };
                let mut normal = unit(blend(|s| s.normal));
                let behind = normal[2] < 0.0;
                if behind {
                    normal = normal.map(|n| -n);
                }
                let ink = (part.paint)(blend(|s| s.at), behind);
                self.color[pixel] = light.shade(ink.color, ink.gloss, normal);
            }
        }
    }
}
