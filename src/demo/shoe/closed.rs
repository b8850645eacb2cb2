//! Shoes that cover the foot: sneakers, running shoes, oxfords, loafers, boots.

use super::lacing::{Lacing, laces, tongue};
use super::sole::Sole;
use super::{Dyes, band, lined, seam};
use crate::demo::mesh::{Ink, Paint, Part, Vec3, fraction, grid, plain, tube};
use crate::demo::palette::{Rgb, brightness, grey, mix, scale};
use crate::demo::random::Random;
use crate::demo::shape::{Cap, Curve, Last, spread};

const GUM: Rgb = [0.72, 0.52, 0.32];

/// Both halves of the upper. The paint is asked with (`x`, height above the footbed, `y`).
pub(super) fn upper(last: &Last, lining: Rgb, outside: impl Fn(Vec3) -> Ink + Clone + 'static) -> Vec<Part> {
    [-1.0_f32, 1.0]
        .into_iter()
        .map(|sign| {
            let form = last.clone();
            grid(80, 22, -sign, lined(lining, outside.clone()), move |u, v| {
                let x = spread(u);
                let point = form.upper(x, v, sign);
                (point, [x, point[2] - form.footbed.at(x), point[1]])
            })
        })
        .collect()
}

/// The edge of the opening, as a cord.
pub(super) fn collar(last: &Last, thick: f32, color: Rgb, gloss: f32) -> Part {
    let side = |sign: f32| {
        (0..=40).map(move |i| last.upper(last.opening * (1.0 - fraction(i, 40)).powf(1.4).min(0.998), 1.0, sign))
    };
    let mut path: Vec<Vec3> = side(-1.0).collect();
    let back: Vec<Vec3> = side(1.0).collect();
    path.extend(back.into_iter().rev().skip(1));
    tube(&path, thick, 8, plain(color, gloss))
}

fn foot_width(r: &mut Random) -> Curve {
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
fn spring(height: f32) -> Curve {
    Curve::new(&[(0.0, 0.004), (0.08, 0.0), (0.75, 0.0), (1.0, height)])
}

/// The slit for the tongue, the rows of eyelets beside it, and everything that shows there.
#[derive(Clone, Copy)]
struct Throat {
    front: f32,
    gap: f32,
    stay: Option<Rgb>,
    tongue: Rgb,
}

impl Throat {
    /// The color at a point near the throat, or `None` where it does not reach.
    fn color(&self, base: Rgb, x: f32, y: f32) -> Option<Rgb> {
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
            let color = if outer < 0.0 { self.stay.unwrap_or(base) } else { base };
            return Some(seam(color, outer + 0.004, x));
        }
        None
    }
}

pub(super) fn sneaker(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let high = r.chance(0.3);
    let thick = r.range(0.075, 0.105);
    let lift = if high { r.range(0.13, 0.2) } else { r.range(-0.01, 0.03) };
    let laced = dyes.laces.is_some();
    let opening = if laced { r.range(0.42, 0.46) } else { 0.5 };
    let last = Last {
        width: foot_width(r),
        heel: Cap { length: 0.14, power: 2.3 },
        toe: Cap { length: r.range(0.24, 0.3), power: r.range(2.1, 2.5) },
        footbed: Curve::new(&[(0.0, thick), (0.7, thick), (1.0, thick + 0.02)]),
        top: Curve::new(&[
            (0.0, 0.235 + lift),
            (0.1, 0.215 + lift),
            (0.2, 0.20 + lift * 0.95),
            (0.32, 0.235 + lift),
            (opening, 0.29 + lift * 0.75),
            (0.52, 0.255 + lift * 0.3),
            (0.62, 0.21),
            (0.74, 0.155),
            (0.86, 0.12),
            (0.95, 0.095),
            (1.0, 0.05),
        ]),
        opening,
        gape: 0.66,
        taper: if laced { 0.12 } else { 0.25 },
        side: 0.75,
        crown: 0.85,
    };
    let toe_cap = r.weighted(&[(None, 5.0), (Some(grey(0.93)), 3.0), (Some(dyes.accent), 1.0)]);
    let cap_from = r.range(0.84, 0.89);
    let (stripes, stripe_color) = (r.weighted(&[(0_u8, 4.0), (1, 2.0), (2, 2.0), (3, 2.0)]), dyes.accent);
    let counter = r.chance(0.5).then(|| if r.chance(0.5) { dyes.accent } else { scale(dyes.main, 0.82) });
    let stay = r.chance(0.35).then(|| scale(dyes.main, r.range(0.8, 1.15)));
    let throat = Throat {
        front: r.range(0.655, 0.69),
        gap: r.range(0.036, 0.048),
        stay,
        tongue: if r.chance(0.6) { scale(dyes.main, 0.86) } else { dyes.lining },
    };
    let (gap, front) = (throat.gap, throat.front);
    let (main, gloss) = (dyes.main, *r.pick(&[0.05, 0.1, 0.35]));
    let tongue_color = throat.tongue;
    let panel = r.range(0.24, 0.3);
    let paint = move |[x, h, y]: Vec3| {
        let cap = x - cap_from - 0.35 * y * y;
        let mut color = main;
        if let Some(c) = counter {
            let edge = x - 0.13 + h * 0.2;
            color = if edge < 0.0 { c } else { seam(color, edge, h) };
        }
        let slant = x + h * 0.55;
        match stripes {
            1 => {
                let wave = h - 0.09 - 0.12 * ((x - 0.3) * 5.0).sin().max(-0.6);
                if (0.22..0.66).contains(&x) && band(wave, 0.016, 0.002) > 0.5 && y.abs() > 0.07 {
                    color = stripe_color;
                }
            }
            2 => color = seam(color, slant - panel - 0.12, h),
            3 if h < 0.17 && y.abs() > 0.06 => {
                let k = (slant - 0.42) / 0.062;
                if (0.0..3.0).contains(&k) && k.rem_euclid(1.0) < 0.55 {
                    color = stripe_color;
                }
            }
            _ => {}
        }
        if laced && let Some(c) = throat.color(color, x, y) {
            color = c;
        } else if !laced {
            // Elastic gores beside the opening.
            let gore = x - 0.52 + h * 0.3;
            if gore.abs() < 0.045 && h > 0.1 {
                color = scale(mix(main, grey(0.35), 0.5), if (h * 110.0).rem_euclid(1.0) < 0.5 { 0.9 } else { 0.7 });
            }
        }
        let mut shine = gloss;
        if let Some(c) = toe_cap {
            color = if cap > 0.0 { c } else { seam(color, cap, y) };
            shine = if cap > 0.0 { 0.3 } else { shine };
        } else if stripes != 1 {
            color = seam(color, cap, y);
        }
        Ink { color: scale(color, 0.8 + 0.2 * (h / 0.05).min(1.0)), gloss: shine }
    };
    let mut parts = upper(&last, dyes.lining, paint);
    parts.push(collar(&last, 0.009, scale(dyes.main, 0.9), 0.05));
    let rubber = r.weighted(&[(grey(0.93), 6.0), (GUM, 1.5), (grey(0.15), 1.0), (scale(dyes.main, 0.9), 0.7)]);
    let line = r.weighted(&[(None, 3.0), (Some(grey(0.12)), 1.5), (Some(dyes.main), 1.5)]);
    let wall: Paint = Box::new(move |[x, v, _]: Vec3, _| {
        let mut color = rubber;
        if let Some(c) = line
            && band(v - 0.72, 0.06, 0.01) > 0.5
        {
            color = c;
        }
        if x > 0.88 && v < 0.6 {
            color = scale(color, if (v * 14.0).rem_euclid(1.0) < 0.5 { 1.0 } else { 0.9 });
        }
        Ink { color: scale(color, if v < 0.12 { 0.72 } else { 1.0 }), gloss: 0.12 }
    });
    let sole = Sole {
        bottom: spring(0.025),
        flare: 0.012,
        lip: Curve::new(&[(0.0, 0.02), (0.8, 0.014), (1.0, 0.03)]),
        bulge: 0.003,
    };
    parts.extend(sole.parts(&last, wall, scale(dyes.lining, 0.7)));
    if let Some(color) = dyes.laces {
        let lacing = Lacing {
            front: front - 0.025,
            back: opening + 0.015,
            pairs: if high { 6 } else { *r.pick(&[4, 5, 6]) },
            gap: gap + 0.016,
            wide: r.range(0.0125, 0.0165),
            thick: 0.0065,
            crossed: r.chance(0.6),
            bow: if r.chance(0.85) { r.range(0.085, 0.12) } else { 0.0 },
            eyelets: r.chance(0.5).then(|| *r.pick(&[grey(0.75), grey(0.9), grey(0.2)])),
        };
        parts.push(tongue(&last, 0.058, r.range(0.07, 0.11), tongue_paint(tongue_color)));
        parts.extend(laces(&last, &lacing, color, dyes.main));
    }
    parts
}

fn tongue_paint(color: Rgb) -> Paint {
    Box::new(move |[u, v, _], behind| {
        let rim = band(u - 0.5, 0.42, 0.05).min(band(v - 0.5, 0.44, 0.04));
        Ink { color: scale(color, if behind { 0.6 } else { 0.8 + 0.2 * rim }), gloss: 0.05 }
    })
}

pub(super) fn runner(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let (rear, fore) = (r.range(0.13, 0.17), r.range(0.09, 0.115));
    let opening = r.range(0.42, 0.45);
    let last = Last {
        width: foot_width(r),
        heel: Cap { length: 0.15, power: 2.2 },
        toe: Cap { length: r.range(0.28, 0.34), power: r.range(1.9, 2.2) },
        footbed: Curve::new(&[(0.0, rear), (0.25, rear), (0.65, fore), (0.82, fore + 0.005), (1.0, fore + 0.05)]),
        top: Curve::new(&[
            (0.0, 0.29),
            (0.05, 0.275),
            (0.12, 0.235),
            (0.2, 0.205),
            (0.32, 0.235),
            (opening, 0.29),
            (0.52, 0.255),
            (0.62, 0.205),
            (0.74, 0.15),
            (0.86, 0.115),
            (0.95, 0.085),
            (1.0, 0.04),
        ]),
        opening,
        gape: 0.62,
        taper: 0.12,
        side: 0.75,
        crown: 0.88,
    };
    let accent = dyes.accent;
    let main = dyes.main;
    let overlay = if r.chance(0.5) { accent } else { scale(main, if brightness(main) > 0.3 { 0.78 } else { 1.7 }) };
    let throat = Throat {
        front: r.range(0.64, 0.67),
        gap: r.range(0.038, 0.048),
        stay: r.chance(0.6).then_some(overlay),
        tongue: scale(main, 0.8),
    };
    let (gap, front, tongue_color) = (throat.gap, throat.front, throat.tongue);
    let laced = dyes.laces.is_some();
    let style = *r.pick(&[0_u8, 1, 2]);
    let lean = r.range(0.5, 0.9);
    let velcro = [r.range(0.46, 0.48), r.range(0.56, 0.59)];
    let paint = move |[x, h, y]: Vec3| {
        let mesh = if ((x * 60.0).fract() - 0.5).abs() + ((h * 60.0).fract() - 0.5).abs() < 0.32 { 0.86 } else { 1.0 };
        let mut color = scale(main, mesh);
        let mut gloss = 0.08;
        let slant = x + h * lean;
        let panel = match style {
            0 => {
                let k = (slant - 0.4) / 0.11;
                (0.0..3.0).contains(&k) && k.rem_euclid(1.0) < 0.4 && h < 0.2 && y.abs() > 0.06
            }
            1 => {
                band(h - 0.08 - 0.09 * ((x - 0.35) * 6.0).sin(), 0.02 * (1.3 - x), 0.002) > 0.5
                    && (0.2..0.75).contains(&x)
            }
            _ => band(slant - 0.5, 0.035, 0.002) > 0.5 || band(x - h * lean - 0.42, 0.03, 0.002) > 0.5 && h < 0.2,
        };
        if panel {
            (color, gloss) = (overlay, 0.25);
        }
        // Heel counter and toe guard.
        let counter = x - 0.17 + h * 0.45;
        let guard = x - 0.9 + h * 0.5 - y * y * 0.8;
        if counter < 0.0 || guard > 0.0 {
            (color, gloss) = (overlay, 0.25);
        } else {
            color = seam(color, counter, h);
        }
        if laced {
            if let Some(c) = throat.color(color, x, y) {
                color = c;
            }
        } else if velcro.iter().any(|v| (x - v + (h - 0.25) * 0.15).abs() < 0.034) && h > 0.07 {
            (color, gloss) = (accent, 0.2);
        }
        Ink { color: scale(color, 0.75 + 0.25 * (h / 0.06).min(1.0)), gloss }
    };
    let mut parts = upper(&last, dyes.lining, paint);
    parts.push(collar(&last, 0.017, mix(dyes.lining, main, 0.5), 0.05));
    let foam = r.weighted(&[(grey(0.94), 5.0), (grey(0.2), 1.0), (grey(0.75), 1.0), (scale(main, 0.95), 1.0)]);
    let tread = r.weighted(&[(grey(0.14), 3.0), (main, 2.0), (accent, 2.0), (GUM, 0.6)]);
    let (waves, depth) = (r.range(3.0, 7.0), r.range(0.03, 0.09));
    let wedge = r.chance(0.6);
    let wall: Paint = Box::new(move |[x, v, _]: Vec3, _| {
        let border = 0.3 + depth * (x * waves * std::f32::consts::TAU).sin();
        let mut color = if v < border { tread } else { foam };
        if v < border && (x * 26.0).rem_euclid(1.0) < 0.22 {
            color = scale(color, 0.55);
        }
        if wedge && x < 0.42 && band(v - 0.62, 0.13 * (1.0 - x / 0.42), 0.01) > 0.5 {
            color = accent;
        }
        let groove = band(v - border, 0.015, 0.03);
        Ink { color: scale(color, 1.0 - 0.3 * groove), gloss: 0.12 }
    });
    let sole = Sole {
        bottom: Curve::new(&[(0.0, 0.03), (0.1, 0.0), (0.7, 0.0), (1.0, 0.075)]),
        flare: r.range(0.02, 0.03),
        lip: Curve::new(&[(0.0, 0.05), (0.2, 0.025), (0.5, 0.012), (0.8, 0.012), (1.0, 0.03)]),
        bulge: r.range(0.006, 0.012),
    };
    parts.extend(sole.parts(&last, wall, scale(dyes.lining, 0.7)));
    parts.push(tongue(&last, 0.06, r.range(0.08, 0.12), tongue_paint(tongue_color)));
    if let Some(color) = dyes.laces {
        let lacing = Lacing {
            front: front - 0.02,
            back: opening + 0.015,
            pairs: *r.pick(&[5, 6]),
            gap: gap + 0.014,
            wide: r.range(0.0115, 0.015),
            thick: 0.0065,
            crossed: r.chance(0.75),
            bow: if r.chance(0.85) { r.range(0.08, 0.11) } else { 0.0 },
            eyelets: None,
        };
        parts.extend(laces(&last, &lacing, color, main));
    }
    parts
}

/// A leather last: slim, with a heel block under it.
fn dress_last(r: &mut Random, opening: f32, heel: f32) -> Last {
    let pointed = r.range(0.0, 1.0);
    Last {
        width: Curve::new(&[(0.0, 0.112), (0.2, 0.115), (0.42, 0.108), (0.66, 0.152), (0.85, 0.15), (1.0, 0.14)]),
        heel: Cap { length: 0.13, power: 2.2 },
        toe: Cap { length: 0.3 + 0.1 * pointed, power: 2.1 - 0.35 * pointed },
        footbed: Curve::new(&[(0.0, heel + 0.035), (0.25, heel + 0.03), (0.62, 0.032), (0.85, 0.034), (1.0, 0.06)]),
        top: Curve::new(&[
            (0.0, 0.215),
            (0.08, 0.205),
            (0.2, 0.165),
            (0.32, 0.19),
            (opening, 0.255),
            (0.52, 0.235),
            (0.62, 0.195),
            (0.74, 0.14),
            (0.86, 0.105),
            (0.95, 0.085),
            (1.0, 0.045),
        ]),
        opening,
        gape: 0.64,
        taper: 0.14,
        side: 0.75,
        crown: 0.85,
    }
}

/// A thin sole with a block under the heel.
fn heeled_sole(last: &Last, color: Rgb, thick: f32) -> (Sole, Paint) {
    let under = last.footbed.map(|_, z| (z - thick).max(0.0));
    let bottom = under.map(|x, z| if x < 0.27 { 0.0 } else { z });
    let wall: Paint = Box::new(move |[x, _, z]: Vec3, _| {
        let line = if x < 0.27 && (z * 75.0).rem_euclid(1.0) < 0.12 { 0.6 } else { 1.0 };
        Ink { color: scale(color, line), gloss: 0.3 }
    });
    (Sole { bottom, flare: 0.012, lip: Curve::new(&[(0.0, 0.006), (1.0, 0.006)]), bulge: 0.0 }, wall)
}

fn sole_color(main: Rgb, r: &mut Random) -> Rgb {
    r.weighted(&[(grey(0.1), 4.0), (scale(main, 0.5), 2.0), ([0.3, 0.17, 0.09], 2.0)])
}

pub(super) fn oxford(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let opening = r.range(0.4, 0.43);
    let heel = r.range(0.05, 0.075);
    let last = dress_last(r, opening, heel);
    let throat = Throat { front: 0.6, gap: r.range(0.026, 0.034), stay: None, tongue: scale(dyes.main, 0.7) };
    let (gap, main) = (throat.gap, dyes.main);
    let cap = r.weighted(&[(Some(0.83), 3.0), (None, 2.0)]);
    let wing = r.chance(0.3);
    let gloss = r.range(0.6, 1.0);
    let paint = move |[x, h, y]: Vec3| {
        let mut color = main;
        // The quarter's edge runs from the throat down to the sole.
        let quarter = x - 0.63 + 0.25 * (0.2 - h).max(0.0);
        if y.abs() > 0.03 {
            color = seam(color, quarter, h);
        }
        color = seam(color, x - 0.2 + h * 0.15, h);
        if let Some(from) = cap {
            let bent = if wing { 0.25 * y.abs() - 0.4 * y * y } else { 0.3 * y * y };
            color = seam(color, x - from + bent, y);
            if wing {
                color = mix(color, scale(main, 0.5), band((x - from + bent) + 0.018, 0.003, 0.002) * 0.6);
            }
        }
        if let Some(c) = throat.color(color, x, y) {
            color = c;
        }
        Ink { color: scale(color, 0.7 + 0.3 * (h / 0.05).min(1.0)), gloss }
    };
    let mut parts = upper(&last, dyes.lining, paint);
    parts.push(collar(&last, 0.007, scale(main, 0.8), 0.3));
    let (sole, wall) = heeled_sole(&last, sole_color(main, r), 0.03);
    parts.extend(sole.parts(&last, wall, scale(dyes.lining, 0.7)));
    parts.push(tongue(&last, 0.05, r.range(0.04, 0.07), tongue_paint(scale(main, 0.8))));
    if let Some(color) = dyes.laces {
        let lacing = Lacing {
            front: 0.585,
            back: opening + 0.015,
            pairs: *r.pick(&[3, 4, 5]),
            gap: gap + 0.016,
            wide: r.range(0.0095, 0.0125),
            thick: 0.0065,
            crossed: r.chance(0.3),
            bow: if r.chance(0.9) { r.range(0.08, 0.1) } else { 0.0 },
            eyelets: None,
        };
        parts.extend(laces(&last, &lacing, color, main));
    }
    parts
}

pub(super) fn loafer(dyes: &Dyes, r: &mut Random, formal: bool) -> Vec<Part> {
    let opening = r.range(0.5, 0.54);
    let heel = if formal { r.range(0.05, 0.07) } else { r.range(0.015, 0.03) };
    let mut last = dress_last(r, opening, heel);
    last.taper = 0.2;
    if !formal {
        last.toe = Cap { length: 0.3, power: 2.1 };
        last.width = foot_width(r);
    }
    let main = dyes.main;
    let bit = r.weighted(&[(0_u8, 2.0), (1, 2.0), (2, 1.0)]);
    let metal = *r.pick(&[[0.83, 0.69, 0.38], [0.78, 0.79, 0.81]]);
    let gloss = if formal { r.range(0.6, 1.0) } else { r.range(0.05, 0.4) };
    let paint = move |[x, h, y]: Vec3| {
        let mut color = main;
        // The apron's seam: a horseshoe over the toe.
        let apron = ((x - 0.58).max(0.0) / 0.3).powi(2) + (y / 0.098).powi(2) - 1.0;
        if x > 0.45 {
            color = seam(color, apron * 0.07, (x + y.abs()) * 1.4);
            if !formal {
                let pleat = band(apron * 0.07 - 0.016, 0.006, 0.004)
                    * if ((x + y.abs()) * 32.0).fract() < 0.4 { 0.5 } else { 0.0 };
                color = mix(color, scale(main, 0.55), pleat);
            }
        }
        let strap = x - 0.585;
        let mut shine = gloss;
        if bit > 0 && strap.abs() < 0.034 && h > 0.03 {
            color = scale(main, 0.85);
            color = mix(color, scale(main, 0.45), band(strap.abs() - 0.031, 0.002, 0.003));
            if bit == 2 && strap.abs() < 0.011 && y.abs() < 0.07 {
                (color, shine) = (metal, 1.0);
            } else if bit == 1 && strap.abs() < 0.012 && y.abs() < 0.035 {
                color = scale(main, 0.3);
            }
        }
        color = seam(color, x - 0.17 + h * 0.1, h);
        Ink { color: scale(color, 0.7 + 0.3 * (h / 0.05).min(1.0)), gloss: shine }
    };
    let mut parts = upper(&last, dyes.lining, paint);
    parts.push(collar(&last, 0.007, scale(main, 0.8), 0.3));
    let color = if formal { sole_color(main, r) } else { *r.pick(&[grey(0.93), GUM, grey(0.15), scale(main, 0.55)]) };
    let (sole, wall) = heeled_sole(&last, color, 0.032);
    parts.extend(sole.parts(&last, wall, scale(dyes.lining, 0.8)));
    parts
}

pub(super) fn boot(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let laced = dyes.laces.is_some();
    let shaft = r.range(0.46, 0.6);
    let heel = r.range(0.05, 0.08);
    let thick = r.range(0.035, 0.06);
    let opening = 0.37;
    let last = Last {
        width: Curve::new(&[(0.0, 0.118), (0.2, 0.125), (0.42, 0.125), (0.68, 0.168), (0.85, 0.16), (1.0, 0.15)]),
        heel: Cap { length: 0.16, power: 2.2 },
        toe: Cap { length: r.range(0.26, 0.32), power: r.range(2.0, 2.5) },
        footbed: Curve::new(&[
            (0.0, heel + thick),
            (0.25, heel + thick),
            (0.6, thick),
            (0.85, thick),
            (1.0, thick + 0.03),
        ]),
        top: Curve::new(&[
            (0.0, shaft),
            (0.15, shaft - 0.015),
            (opening - 0.01, shaft + 0.01),
            (0.395, shaft - 0.06),
            (0.44, shaft * 0.68),
            (0.5, 0.285),
            (0.56, 0.245),
            (0.64, 0.205),
            (0.74, 0.16),
            (0.86, 0.13),
            (0.95, 0.1),
            (1.0, 0.05),
        ]),
        opening,
        gape: 0.8,
        taper: 0.1,
        side: 0.7,
        crown: 0.75,
    };
    let main = dyes.main;
    let throat = Throat {
        front: 0.6,
        gap: r.range(0.032, 0.04),
        stay: r.chance(0.3).then(|| scale(main, 0.85)),
        tongue: scale(main, 0.72),
    };
    let gap = throat.gap;
    let cap = r.chance(0.4);
    let gloss = r.range(0.1, 0.7);
    let rise = last.footbed.clone();
    let gore_color = mix(scale(main, 0.5), grey(0.15), 0.5);
    let collar_color = if r.chance(0.4) { scale(dyes.accent, 0.9) } else { scale(main, 0.75) };
    let paint = move |[x, h, y]: Vec3| {
        let mut color = main;
        let z = h + rise.at(x);
        if cap {
            color = seam(color, x - 0.83 + 0.3 * y * y, y);
        }
        color = seam(color, x - 0.19 + h * 0.12, h);
        if laced {
            if let Some(c) = throat.color(color, x, y) {
                color = c;
            } else if y.abs() > 0.05 {
                color = seam(color, x - 0.6 + (0.2 - h).max(0.0) * 0.3, h);
            }
        } else {
            // The elastic wedge of a Chelsea boot.
            let wedge = (x - 0.245).abs() - 0.03 - (z - 0.22).max(0.0) * 0.16;
            if wedge < 0.0 && z > 0.22 {
                color = scale(gore_color, if (x * 100.0).rem_euclid(1.0) < 0.5 { 1.0 } else { 0.8 });
            } else if z > 0.2 {
                color = seam(color, wedge, z);
            }
        }
        if h > shaft - 0.06 {
            color = if h > shaft - 0.054 {
                mix(color, collar_color, if laced && y.abs() < 0.05 { 0.0 } else { 0.9 })
            } else {
                scale(color, 0.7)
            };
        }
        Ink { color: scale(color, 0.7 + 0.3 * (h / 0.05).min(1.0)), gloss }
    };
    let mut parts = upper(&last, dyes.lining, paint);
    parts.push(collar(&last, 0.011, collar_color, 0.1));
    let color = r.weighted(&[(grey(0.1), 4.0), (GUM, 1.5), ([0.3, 0.17, 0.09], 2.0), (grey(0.9), 0.5)]);
    let (mut sole, _) = heeled_sole(&last, color, thick);
    sole.flare = 0.018;
    let lugs = r.chance(0.6);
    let welt = r.chance(0.5).then_some(GUM);
    let wall: Paint = Box::new(move |[x, v, z]: Vec3, _| {
        let mut c = color;
        if lugs && z < 0.025 && (x * 22.0).rem_euclid(1.0) < 0.35 {
            c = scale(c, 0.4);
        }
        if let Some(thread) = welt
            && v > 0.8
        {
            c = if (x * 60.0).rem_euclid(1.0) < 0.6 { thread } else { scale(c, 0.8) };
        }
        Ink { color: c, gloss: 0.15 }
    });
    parts.extend(sole.parts(&last, wall, scale(dyes.lining, 0.6)));
    if let Some(color) = dyes.laces {
        let lacing = Lacing {
            front: 0.58,
            back: opening + 0.022,
            pairs: *r.pick(&[6, 7, 8]),
            gap: gap + 0.016,
            wide: r.range(0.0115, 0.015),
            thick: 0.007,
            crossed: r.chance(0.75),
            bow: if r.chance(0.85) { r.range(0.08, 0.11) } else { 0.0 },
            eyelets: r.chance(0.6).then(|| *r.pick(&[[0.80, 0.66, 0.36], grey(0.75), grey(0.15)])),
        };
        parts.push(tongue(&last, 0.05, r.range(0.03, 0.06), tongue_paint(scale(main, 0.8))));
        parts.extend(laces(&last, &lacing, color, main));
    }
    parts
}
