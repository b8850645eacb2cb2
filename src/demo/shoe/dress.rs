//! Leather shoes on a heel block: oxfords and derbies with laces, loafers without (on a flat sole,
//! casual ones).

use super::closed::{GUM, Throat, collar, foot_width, tongue_paint, upper};
use super::dyes::{Dyes, band, seam};
use super::lacing::{Lacing, laces, tongue};
use super::sole::Sole;
use crate::demo::mesh::{Ink, Paint, Part, Vec3};
use crate::demo::palette::{Rgb, grey, mix, scale};
use crate::demo::shape::{Cap, Curve, Last};
use crate::util::random::Random;

/// A leather last: slim, with a heel block under it.
fn dress_last(r: &mut Random, opening: f32, heel: f32) -> Last {
    let pointed = r.range(0.0, 1.0);
    Last {
        width: Curve::new(&[
            (0.0, 0.112),
            (0.2, 0.115),
            (0.42, 0.108),
            (0.66, 0.152),
            (0.85, 0.15),
            (1.0, 0.14),
        ]),
        heel: Cap {
            length: 0.13,
            power: 2.2,
        },
        toe: Cap {
            length: 0.3 + 0.1 * pointed,
            power: 2.1 - 0.35 * pointed,
        },
        footbed: Curve::new(&[
            (0.0, heel + 0.035),
            (0.25, heel + 0.03),
            (0.62, 0.032),
            (0.85, 0.034),
            (1.0, 0.06),
        ]),
        top: Curve::new(&[
            (0.0, 0.215),
            (0.08, 0.205),
            (0.2, 0.165),
            (0.32, 0.19),
            (opening, 0.255),
            (0.52_f32.max(opening + 0.02), 0.235),
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

/// A thin sole with a block under the heel, and its wall's paint.
pub(super) fn heeled_sole(last: &Last, color: Rgb, thick: f32) -> (Sole, Paint) {
    let bottom = last
        .footbed
        .map(|x, z| if x < 0.27 { 0.0 } else { (z - thick).max(0.0) });
    let wall: Paint = Box::new(move |[x, _, z]: Vec3, _| {
        let line = if x < 0.27 && (z * 75.0).rem_euclid(1.0) < 0.12 {
            0.6
        } else {
            1.0
        };
        Ink {
            color: scale(color, line),
            gloss: 0.3,
        }
    });
    (
        Sole {
            bottom,
            flare: 0.012,
            lip: Curve::new(&[(0.0, 0.006), (1.0, 0.006)]),
            bulge: 0.0,
        },
        wall,
    )
}

fn sole_color(main: Rgb, r: &mut Random) -> Rgb {
    r.weighted(&[
        (grey(0.1), 4.0),
        (scale(main, 0.5), 2.0),
        ([0.3, 0.17, 0.09], 2.0),
    ])
}

/// The leather darkens where it meets the sole.
fn grounded(color: Rgb, height: f32, gloss: f32) -> Ink {
    Ink {
        color: scale(color, 0.7 + 0.3 * (height / 0.05).min(1.0)),
        gloss,
    }
}

pub(super) fn oxford(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let opening = r.range(0.4, 0.43);
    let heel = r.range(0.05, 0.075);
    let last = dress_last(r, opening, heel);
    let main = dyes.main;
    let throat = Throat {
        front: 0.6,
        gap: r.range(0.026, 0.034),
        stay: None,
        tongue: scale(main, 0.7),
    };
    let cap = r.weighted(&[(Some(0.83), 3.0), (None, 2.0)]);
    let wing = r.chance(0.3);
    let gloss = r.range(0.6, 1.0);
    let paint = move |[x, h, y]: Vec3| {
        let mut color = main;
        // The quarter's edge runs from the throat down to the sole.
        if y.abs() > 0.03 {
            color = seam(color, x - 0.63 + 0.25 * (0.2 - h).max(0.0), h);
        }
        color = seam(color, x - 0.2 + h * 0.15, h);
        if let Some(from) = cap {
            let bent = if wing {
                0.25 * y.abs() - 0.4 * y * y
            } else {
                0.3 * y * y
            };
            color = seam(color, x - from + bent, y);
            if wing {
                color = mix(
                    color,
                    scale(main, 0.5),
                    band((x - from + bent) + 0.018, 0.003, 0.002) * 0.6,
                );
            }
        }
        grounded(throat.color(color, x, y).unwrap_or(color), h, gloss)
    };
    let mut parts = upper(&last, dyes.lining, paint);
    parts.push(collar(&last, 0.007, scale(main, 0.8), 0.3));
    let (sole, wall) = heeled_sole(&last, sole_color(main, r), 0.03);
    parts.extend(sole.parts(&last, wall, scale(dyes.lining, 0.7)));
    parts.push(tongue(
        &last,
        0.05,
        r.range(0.04, 0.07),
        tongue_paint(scale(main, 0.8)),
    ));
    if let Some(color) = dyes.laces {
        let lacing = Lacing {
            front: 0.585,
            back: opening + 0.015,
            pairs: *r.pick(&[3, 4, 5]),
            gap: throat.gap + 0.016,
            wide: r.range(0.0095, 0.0125),
            thick: 0.0065,
            crossed: r.chance(0.3),
            bow: if r.chance(0.9) {
                r.range(0.08, 0.1)
            } else {
                0.0
            },
            eyelets: None,
        };
        parts.extend(laces(&last, &lacing, color, main));
    }
    parts
}

/// What crosses the instep of a loafer.
#[derive(Clone, Copy, PartialEq)]
enum Saddle {
    None,
    Slotted,
    Metal(Rgb),
}

pub(super) fn loafer(dyes: &Dyes, r: &mut Random, formal: bool) -> Vec<Part> {
    let opening = r.range(0.5, 0.54);
    let heel = if formal {
        r.range(0.05, 0.07)
    } else {
        r.range(0.015, 0.03)
    };
    let mut last = dress_last(r, opening, heel);
    last.taper = 0.2;
    if !formal {
        last.toe = Cap {
            length: 0.3,
            power: 2.1,
        };
        last.width = foot_width(r);
    }
    let main = dyes.main;
    let metal = *r.pick(&[[0.83, 0.69, 0.38], [0.78, 0.79, 0.81]]);
    let saddle = r.weighted(&[
        (Saddle::None, 2.0),
        (Saddle::Slotted, 2.0),
        (Saddle::Metal(metal), 1.0),
    ]);
    let gloss = if formal {
        r.range(0.6, 1.0)
    } else {
        r.range(0.05, 0.4)
    };
    let mut parts = upper(&last, dyes.lining, move |at| {
        loafer_ink(at, main, saddle, gloss, !formal)
    });
    parts.push(collar(&last, 0.007, scale(main, 0.8), 0.3));
    let flat = [grey(0.93), GUM, grey(0.15), scale(main, 0.55)];
    let color = if formal {
        sole_color(main, r)
    } else {
        *r.pick(&flat)
    };
    let (sole, wall) = heeled_sole(&last, color, 0.032);
    parts.extend(sole.parts(&last, wall, scale(dyes.lining, 0.8)));
    parts
}

fn loafer_ink([x, h, y]: Vec3, main: Rgb, saddle: Saddle, gloss: f32, pleated: bool) -> Ink {
    let mut color = main;
    // The apron's seam: a horseshoe over the toe.
    let apron = (((x - 0.58).max(0.0) / 0.3).powi(2) + (y / 0.098).powi(2) - 1.0) * 0.07;
    let run = x + y.abs();
    if x > 0.45 {
        color = seam(color, apron, run * 1.4);
        if pleated && (run * 32.0).fract() < 0.4 {
            color = mix(
                color,
                scale(main, 0.55),
                0.5 * band(apron - 0.016, 0.006, 0.004),
            );
        }
    }
    color = seam(color, x - 0.17 + h * 0.1, h);
    let across = (x - 0.585).abs();
    if saddle != Saddle::None && across < 0.034 && h > 0.03 {
        color = mix(
            scale(main, 0.85),
            scale(main, 0.45),
            band(across - 0.031, 0.002, 0.003),
        );
        match saddle {
            Saddle::Metal(metal) if across < 0.011 && y.abs() < 0.07 => {
                return Ink {
                    color: metal,
                    gloss: 1.0,
                };
            }
            Saddle::Slotted if across < 0.012 && y.abs() < 0.035 => color = scale(main, 0.3),
            _ => {}
        }
    }
    grounded(color, h, gloss)
}
