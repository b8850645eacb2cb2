//! The studio: places the shoe, sets light and camera, and takes the photo.

use image::{Rgb as Pixel, RgbImage};

use super::mesh::{Part, Vec3};
use super::palette::{Rgb, mix, scale};
use super::product::{DemoProduct, View};
use super::raster::{Camera, Canvas, Frame, Light};
use super::shoe;
use crate::util::random::Random;

/// The photos' size in pixels: portrait 3:4, as in the Kaggle data set.
pub const WIDTH: u32 = 240;
pub const HEIGHT: u32 = 320;

/// Samples a pixel in each direction.
const FINE: usize = 2;

/// The product's photo: [`WIDTH`] by [`HEIGHT`], on a light ground.
#[must_use]
pub fn render(product: &DemoProduct) -> RgbImage {
    let (width, height) = (WIDTH as usize, HEIGHT as usize);
    let mut random = Random::new(product.look ^ 0x5EED_0F11_6472_0001);
    let (parts, camera) = pose(product, &mut random);
    let frame = frame(&parts, &camera, &mut random);
    let light = Light {
        direction: [
            random.range(-0.5, -0.1),
            random.range(0.6, 0.9),
            random.range(0.45, 0.7),
        ],
        ambient: random.range(0.42, 0.5),
        strength: random.range(0.58, 0.66),
    };
    let mut canvas = Canvas::new(width * FINE, height * FINE);
    for part in &parts {
        canvas.draw(part, &camera, &frame, &light);
    }
    let ground = ground(&parts, &camera, &frame, &mut random);
    let flip = random.chance(0.5);
    develop(&canvas, &ground, flip)
}

/// One shoe or both, and where the camera stands.
fn pose(product: &DemoProduct, r: &mut Random) -> (Vec<Part>, Camera) {
    let shoe = shoe::build(product);
    let distance = r.range(3.5, 6.0);
    let camera = match product.view {
        View::Side => Camera {
            yaw: r.range(0.1, 0.38),
            pitch: r.range(0.22, 0.42),
            roll: r.range(-0.03, 0.03),
            distance,
        },
        View::ThreeQuarter => Camera {
            yaw: r.range(0.4, 0.85),
            pitch: r.range(0.32, 0.55),
            roll: r.range(-0.05, 0.05),
            distance,
        },
        View::Pair => {
            let steep = r.range(0.85, 1.25);
            Camera {
                yaw: std::f32::consts::FRAC_PI_2 + r.range(-0.15, 0.15),
                pitch: steep,
                roll: 0.0,
                distance,
            }
        }
    };
    if product.view != View::Pair {
        return (shoe, camera);
    }
    let (apart, splay) = (r.range(0.2, 0.24), r.range(-0.04, 0.12));
    let other = shoe::build(product);
    let left = shoe
        .into_iter()
        .map(|p| p.placed(-splay, [0.0, -apart, 0.0]));
    let right = other
        .into_iter()
        .map(|p| p.mirrored().placed(splay, [0.0, apart, 0.0]));
    (left.chain(right).collect(), camera)
}

/// Fits what is to be seen into the photo, not always in the same place.
fn frame(parts: &[Part], camera: &Camera, r: &mut Random) -> Frame {
    let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
    for vertex in parts.iter().flat_map(|p| &p.vertices) {
        let plane = camera.project(vertex.position);
        for k in 0..2 {
            low[k] = low[k].min(plane[k]);
            high[k] = high[k].max(plane[k]);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred pixels")]
    let (width, height) = (
        (WIDTH as usize * FINE) as f32,
        (HEIGHT as usize * FINE) as f32,
    );
    let fill = r.range(0.78, 0.93);
    let scale = (width * fill / (high[0] - low[0])).min(height * 0.8 / (high[1] - low[1]));
    let middle = |k: usize| f32::midpoint(low[k], high[k]);
    let shift = [r.range(-0.02, 0.02) * width, r.range(-0.04, 0.05) * height];
    let origin = [
        width / 2.0 + shift[0] - middle(0) * scale,
        height / 2.0 + shift[1] + middle(1) * scale,
    ];
    Frame { scale, origin }
}

/// The background with the shadow on it, in output pixels.
fn ground(parts: &[Part], camera: &Camera, frame: &Frame, r: &mut Random) -> Vec<Rgb> {
    let (width, height) = (WIDTH as usize, HEIGHT as usize);
    let base = r.weighted(&[(1.0, 4.0), (0.97, 2.0), (0.93, 1.5), (0.88, 1.0)]);
    let tint: Rgb = [r.range(-0.01, 0.01), 0.0, r.range(-0.01, 0.012)];
    let vignette = if base > 0.99 { 0.0 } else { r.range(0.0, 0.12) };
    let strength = r.range(0.25, 0.5);
    let close = shadow(parts, camera, frame, 3);
    let wide = shadow(parts, camera, frame, 10);
    (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .map(|(x, y)| {
            let from = |v: usize, n: usize| (super::mesh::fraction(v, n) - 0.5) * 2.0;
            let edge = (from(x, width).powi(2) + from(y, height).powi(2)).min(1.6);
            let level = base - vignette * edge;
            let dark =
                strength * (close[y * width + x] * 0.75 + wide[y * width + x] * 0.6).min(1.0);
            let color: Rgb = std::array::from_fn(|i| (level + tint[i]).clamp(0.0, 1.0));
            mix(color, scale(color, 0.25), dark)
        })
        .collect()
}

/// How much of the ground's light is taken at each pixel: the parts near the ground, blurred.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "checked against the photo's size"
)]
fn shadow(parts: &[Part], camera: &Camera, frame: &Frame, blur: usize) -> Vec<f32> {
    let (width, height) = (WIDTH as usize, HEIGHT as usize);
    let small = Frame {
        scale: frame.scale / FINE as f32,
        origin: frame.origin.map(|v| v / FINE as f32),
    };
    let mut depth = vec![0.0_f32; width * height];
    for part in parts {
        let pixels: Vec<Vec3> = part
            .vertices
            .iter()
            .map(|v| {
                let [x, y, z] = v.position;
                small.pixel(camera.project([x - z * 0.08, y + z * 0.12, 0.0]))
            })
            .collect();
        for corners in &part.triangles {
            let center: Vec3 =
                std::array::from_fn(|k| corners.iter().map(|&c| pixels[c][k]).sum::<f32>() / 3.0);
            let rise = part.vertices[corners[0]].position[2];
            let (x, y) = (center[0] as usize, center[1] as usize);
            if center[0] >= 0.0 && center[1] >= 0.0 && x < width && y < height {
                let at = y * width + x;
                depth[at] = depth[at].max((1.0 - rise * 4.0).max(0.15));
            }
        }
    }
    for _ in 0..2 {
        depth = box_blur(&depth, width, height, blur);
    }
    depth.iter().map(|d| (d * 1.6).min(1.0)).collect()
}

fn box_blur(values: &[f32], width: usize, height: usize, radius: usize) -> Vec<f32> {
    let pass = |values: &[f32], lines: usize, length: usize, step: usize, stride: usize| {
        let mut out = vec![0.0; values.len()];
        #[expect(clippy::cast_precision_loss, reason = "a window of a few pixels")]
        let weight = 1.0 / (2 * radius + 1) as f32;
        for line in 0..lines {
            let at = |i: usize| line * stride + i * step;
            let mut sum: f32 = (0..radius.min(length)).map(|i| values[at(i)]).sum();
            for i in 0..length {
                if i + radius < length {
                    sum += values[at(i + radius)];
                }
                out[at(i)] = sum * weight;
                if i >= radius {
                    sum -= values[at(i - radius)];
                }
            }
        }
        out
    };
    let across = pass(values, height, width, 1, width);
    pass(&across, width, height, width, 1)
}

/// Samples to pixels, over the background.
fn develop(canvas: &Canvas, ground: &[Rgb], flip: bool) -> RgbImage {
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let x = if flip { WIDTH - 1 - x } else { x };
        let back = ground[(y * WIDTH + x) as usize];
        let mut sum = [0.0_f32; 3];
        for j in 0..FINE {
            for i in 0..FINE {
                let at = (y as usize * FINE + j) * canvas.width + x as usize * FINE + i;
                let color = if canvas.depth[at] > f32::NEG_INFINITY {
                    canvas.color[at]
                } else {
                    back
                };
                for k in 0..3 {
                    sum[k] += color[k];
                }
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to a byte"
        )]
        let byte = |v: f32| (v / 4.0 * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
        Pixel(sum.map(byte))
    })
}
