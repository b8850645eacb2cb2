//! Casual shoes on a rubber sole: low and high sneakers, and slip-ons.

use super::closed::{GUM, Throat, collar, foot_width, spring, tongue_paint, upper};
use super::dyes::{Dyes, band, seam};
use super::lacing::{Lacing, laces, tongue};
use super::sole::Sole;
use crate::demo::mesh::{Ink, Paint, Part, Vec3};
use crate::demo::palette::{Rgb, grey, mix, scale};
use crate::demo::shape::{Cap, Curve, Last};
use crate::util::random::Random;

pub(super) fn sneaker(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let high = r.chance(0.3) && dyes.laces.is_some();
    let last = last(dyes.laces.is_some(), high, r);
    let look = Look::new(dyes, r);
    let mut parts = upper(&last, dyes.lining, move |at| look.ink(at));
    parts.push(collar(&last, 0.009, scale(dyes.main, 0.9), 0.05));
    parts.extend(sole(dyes, &last, r));
    if let Some(color) = dyes.laces {
        let lacing = Lacing {
            front: look.throat.front - 0.025,
            back: last.opening + 0.015,
            pairs: if high { 6 } else { *r.pick(&[4, 5, 6]) },
            gap: look.throat.gap + 0.016,
            wide: r.range(0.0125, 0.0165),
            thick: 0.0065,
            crossed: r.chance(0.6),
            bow: if r.chance(0.85) {
                r.range(0.085, 0.12)
            } else {
                0.0
            },
            eyelets: r
                .chance(0.5)
                .then(|| *r.pick(&[grey(0.75), grey(0.9), grey(0.2)])),
        };
        parts.push(tongue(
            &last,
            0.058,
            r.range(0.07, 0.11),
            tongue_paint(look.throat.tongue),
        ));
        parts.extend(laces(&last, &lacing, color, dyes.main));
    }
    parts
}

fn last(laced: bool, high: bool, r: &mut Random) -> Last {
    let thick = r.range(0.075, 0.105);
    let lift = if high {
        r.range(0.13, 0.2)
    } else {
        r.range(-0.01, 0.03)
    };
    let opening = if laced { r.range(0.42, 0.46) } else { 0.5 };
    Last {
        width: foot_width(r),
        heel: Cap {
            length: 0.14,
            power: 2.3,
        },
        toe: Cap {
            length: r.range(0.24, 0.3),
            power: r.range(2.1, 2.5),
        },
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
    }
}

/// What decorates the side of the shoe.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Plain,
    Wave,
    Seam,
    Stripes,
}

#[derive(Clone, Copy)]
struct Look {
    main: Rgb,
    accent: Rgb,
    laced: bool,
    gloss: f32,
    toe_cap: Option<Rgb>,
    cap_from: f32,
    side: Side,
    counter: Option<Rgb>,
    panel: f32,
    throat: Throat,
}

impl Look {
    fn new(dyes: &Dyes, r: &mut Random) -> Self {
        let main = dyes.main;
        Self {
            main,
            accent: dyes.accent,
            laced: dyes.laces.is_some(),
            gloss: *r.pick(&[0.05, 0.1, 0.35]),
            toe_cap: r.weighted(&[
                (None, 5.0),
                (Some(grey(0.93)), 3.0),
                (Some(dyes.accent), 1.0),
            ]),
            cap_from: r.range(0.84, 0.89),
            side: r.weighted(&[
                (Side::Plain, 4.0),
                (Side::Wave, 2.0),
                (Side::Seam, 2.0),
                (Side::Stripes, 2.0),
            ]),
            counter: r.chance(0.5).then(|| {
                if r.chance(0.5) {
                    dyes.accent
                } else {
                    scale(main, 0.82)
                }
            }),
            panel: r.range(0.36, 0.42),
            throat: Throat {
                front: r.range(0.655, 0.69),
                gap: r.range(0.036, 0.048),
                stay: r.chance(0.35).then(|| scale(main, r.range(0.8, 1.15))),
                tongue: if r.chance(0.6) {
                    scale(main, 0.86)
                } else {
                    dyes.lining
                },
            },
        }
    }

    fn ink(&self, [x, h, y]: Vec3) -> Ink {
        let mut color = self.decorated([x, h, y]);
        if self.laced {
            color = self.throat.color(color, x, y).unwrap_or(color);
        } else if (x - 0.52 + h * 0.3).abs() < 0.045 && h > 0.1 {
            // Elastic gores beside the opening.
            let rib = if (h * 110.0).rem_euclid(1.0) < 0.5 {
                0.9
            } else {
                0.7
            };
            color = scale(mix(self.main, grey(0.35), 0.5), rib);
        }
        let cap = x - self.cap_from - 0.35 * y * y;
        let mut gloss = self.gloss;
        match self.toe_cap {
            Some(rubber) if cap > 0.0 => (color, gloss) = (rubber, 0.3),
            _ if self.toe_cap.is_some() || self.side != Side::Wave => color = seam(color, cap, y),
            _ => {}
        }
        // The upper darkens where it meets the sole.
        Ink {
            color: scale(color, 0.8 + 0.2 * (h / 0.05).min(1.0)),
            gloss,
        }
    }

    fn decorated(&self, [x, h, y]: Vec3) -> Rgb {
        let mut color = self.main;
        if let Some(counter) = self.counter {
            let edge = x - 0.13 + h * 0.2;
            color = if edge < 0.0 {
                counter
            } else {
                seam(color, edge, h)
            };
        }
        let slant = x + h * 0.55;
        match self.side {
            Side::Plain => color,
            Side::Wave => {
                let wave = h - 0.09 - 0.12 * ((x - 0.3) * 5.0).sin().max(-0.6);
                let on =
                    (0.22..0.66).contains(&x) && band(wave, 0.016, 0.002) > 0.5 && y.abs() > 0.07;
                if on { self.accent } else { color }
            }
            Side::Seam => seam(color, slant - self.panel, h),
            Side::Stripes => {
                let k = (slant - 0.42) / 0.062;
                let on = (0.0..3.0).contains(&k)
                    && k.rem_euclid(1.0) < 0.55
                    && h < 0.17
                    && y.abs() > 0.06;
                if on { self.accent } else { color }
            }
        }
    }
}

fn sole(dyes: &Dyes, last: &Last, r: &mut Random) -> Vec<Part> {
    let rubber = r.weighted(&[
        (grey(0.93), 6.0),
        (GUM, 1.5),
        (grey(0.15), 1.0),
        (scale(dyes.main, 0.9), 0.7),
    ]);
    let line = r.weighted(&[(None, 3.0), (Some(grey(0.12)), 1.5), (Some(dyes.main), 1.5)]);
    let wall: Paint = Box::new(move |[x, v, _]: Vec3, _| {
        let mut color = line
            .filter(|_| band(v - 0.72, 0.06, 0.01) > 0.5)
            .unwrap_or(rubber);
        if x > 0.88 && v < 0.6 {
            color = scale(
                color,
                if (v * 14.0).rem_euclid(1.0) < 0.5 {
                    1.0
                } else {
                    0.9
                },
            );
        }
        Ink {
            color: scale(color, if v < 0.12 { 0.72 } else { 1.0 }),
            gloss: 0.12,
        }
    });
    let lip = Curve::new(&[(0.0, 0.02), (0.8, 0.014), (1.0, 0.03)]);
    Sole {
        bottom: spring(0.025),
        flare: 0.012,
        lip,
        bulge: 0.003,
    }
    .parts(last, wall, scale(dyes.lining, 0.7))
}
