//! Shoes that show the foot's place: pumps, ballerinas, sandals, flip flops.

use super::closed::{collar, upper};
use super::dyes::{Dyes, band};
use super::sole::{Sole, heel, strap};
use crate::demo::mesh::{Ink, Paint, Part, Vec3, flat_tube, fraction, plain, sub, tube, unit};
use crate::demo::palette::{Rgb, grey, scale};
use crate::demo::shape::{Cap, Curve, Last};
use crate::util::random::Random;

/// A low-cut last, `height` high at the heel.
fn court_last(r: &mut Random, height: f32, platform: f32, round: bool) -> Last {
    let opening = r.range(0.68, 0.73);
    let side = r.range(0.095, 0.12);
    // The foot takes less ground the higher the heel; the drawing keeps the length and stays in
    // proportion.
    Last {
        width: Curve::new(&[
            (0.0, 0.095),
            (0.2, 0.1),
            (0.42, 0.098),
            (0.7, 0.145),
            (0.85, 0.14),
            (1.0, 0.13),
        ]),
        heel: Cap {
            length: 0.14,
            power: 2.1,
        },
        toe: if round {
            Cap {
                length: 0.32,
                power: 2.1,
            }
        } else {
            Cap {
                length: 0.38,
                power: r.range(1.6, 1.9),
            }
        },
        footbed: Curve::new(&[
            (0.0, platform + height),
            (0.14, platform + height * 0.98),
            (0.36, platform + height * 0.68),
            (0.52, platform + height * 0.3),
            (0.68, platform + height * 0.03),
            (0.85, platform),
            (1.0, platform + 0.025),
        ]),
        top: Curve::new(&[
            (0.0, side + 0.085),
            (0.08, side + 0.07),
            (0.25, side),
            (0.5, side - 0.02),
            (0.64, side - 0.005),
            (opening, side + 0.015),
            (0.82, 0.095),
            (0.93, 0.075),
            (1.0, 0.03),
        ]),
        opening,
        gape: 0.9,
        taper: 0.3,
        side: 0.72,
        crown: 0.85,
    }
}

pub(super) fn pump(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let height = r.range(0.26, 0.4);
    let platform = if r.chance(0.3) {
        r.range(0.05, 0.09)
    } else {
        0.022
    };
    let last = court_last(r, height, platform, false);
    let (main, gloss) = (dyes.main, if dyes.metal { 1.2 } else { r.range(0.3, 1.0) });
    let toe = r.chance(0.2).then_some(dyes.accent);
    let paint = move |[x, h, y]: Vec3| {
        let mut color = main;
        if let Some(c) = toe
            && x > 0.86 + 0.3 * y * y
        {
            color = c;
        }
        Ink {
            color: scale(color, 0.75 + 0.25 * (h / 0.04).min(1.0)),
            gloss,
        }
    };
    let mut parts = upper(&last, dyes.lining, paint);
    parts.push(collar(&last, 0.006, scale(main, 0.85), 0.3));
    let thin = last
        .footbed
        .map(move |_, z| (z - platform.max(0.022)).max(0.0));
    let edge = if platform > 0.03 {
        main
    } else {
        scale(main, 0.55)
    };
    let sole = Sole {
        bottom: thin,
        flare: 0.004,
        lip: Curve::new(&[(0.0, 0.004), (1.0, 0.004)]),
        bulge: 0.0,
    };
    parts.extend(sole.parts(&last, plain(edge, gloss), scale(dyes.lining, 0.85)));
    let block = r.chance(0.3);
    let ground = if block {
        (0.085, 0.06, 0.06)
    } else {
        (0.075, 0.016, 0.016)
    };
    let top = if block {
        (0.1, 0.088, 0.082)
    } else {
        (0.1, 0.09, 0.08)
    };
    let power = if block { 0.8 } else { r.range(0.38, 0.5) };
    let tip: Paint = Box::new(move |[_, _, z]: Vec3, _| {
        if z < 0.012 {
            Ink {
                color: grey(0.08),
                gloss: 0.2,
            }
        } else {
            Ink {
                color: scale(main, 0.9),
                gloss,
            }
        }
    });
    parts.push(heel(top, ground, last.footbed.at(0.08) - 0.005, power, tip));
    if r.chance(0.25) {
        parts.push(ankle_strap(&last, 0.12, main));
    }
    parts
}

/// A strap around the ankle above the heel.
fn ankle_strap(last: &Last, above: f32, color: Rgb) -> Part {
    let center = 0.17;
    let points: Vec<(Vec3, Vec3)> = (0..=40)
        .map(|i| {
            let (sin, cos) = (fraction(i, 40) * std::f32::consts::TAU).sin_cos();
            let x = center - 0.16 * cos;
            let z = last.footbed.at(0.1) + 0.1 + above - 0.05 * cos;
            ([x, sin * 0.085, z], [0.0, 0.0, 1.0])
        })
        .collect();
    strap(&points, 0.014, plain(color, 0.4))
}

pub(super) fn ballerina(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let rise = r.range(0.008, 0.03);
    let last = court_last(r, rise, 0.022, true);
    let (main, gloss) = (dyes.main, if dyes.metal { 1.2 } else { r.range(0.1, 0.8) });
    let toe = r.chance(0.3).then_some(dyes.accent);
    let paint = move |[x, h, y]: Vec3| {
        let mut color = main;
        if let Some(c) = toe
            && x > 0.85 + 0.3 * y * y
        {
            color = c;
        }
        Ink {
            color: scale(color, 0.75 + 0.25 * (h / 0.04).min(1.0)),
            gloss,
        }
    };
    let mut parts = upper(&last, dyes.lining, paint);
    parts.push(collar(&last, 0.008, scale(main, 0.8), 0.2));
    let sole = Sole {
        bottom: Curve::new(&[(0.0, 0.0), (0.8, 0.0), (1.0, 0.018)]),
        flare: 0.005,
        lip: Curve::new(&[(0.0, 0.003), (1.0, 0.003)]),
        bulge: 0.0,
    };
    let edge = *r.pick(&[grey(0.1), [0.3, 0.17, 0.09], scale(main, 0.5)]);
    parts.extend(sole.parts(&last, plain(edge, 0.2), scale(dyes.lining, 0.85)));
    parts
}

/// The place of a bare foot: straps are led over it.
fn foot_last(sole: f32, heel: f32) -> Last {
    Last {
        width: Curve::new(&[
            (0.0, 0.118),
            (0.2, 0.12),
            (0.42, 0.118),
            (0.7, 0.165),
            (0.85, 0.16),
            (1.0, 0.15),
        ]),
        heel: Cap {
            length: 0.15,
            power: 2.2,
        },
        toe: Cap {
            length: 0.28,
            power: 2.2,
        },
        footbed: Curve::new(&[
            (0.0, sole + heel),
            (0.2, sole + heel),
            (0.6, sole + heel * 0.1),
            (0.85, sole),
            (1.0, sole + 0.01),
        ]),
        top: Curve::new(&[
            (0.0, 0.1),
            (0.15, 0.2),
            (0.3, 0.27),
            (0.42, 0.245),
            (0.55, 0.19),
            (0.7, 0.13),
            (0.85, 0.09),
            (1.0, 0.05),
        ]),
        opening: 0.0,
        gape: 0.0,
        taper: 0.1,
        side: 0.75,
        crown: 0.85,
    }
}

/// A band straight or slanting over the foot, from the sole's edge to its other edge.
fn over_foot(last: &Last, x: f32, slant: f32, half: f32, paint: Paint) -> Part {
    let points: Vec<(Vec3, Vec3)> = (0..=32)
        .map(|i| {
            let t = fraction(i, 32);
            let place = |off: f32| {
                let x = x + slant * (t - 0.5) + off;
                let angle = (t * 2.0 - 1.0).abs();
                let side = if t < 0.5 { -1.0 } else { 1.0 };
                last.upper(x, 1.0 - angle, side)
            };
            let (a, b) = (place(-0.01), place(0.01));
            (place(0.0), unit(sub(b, a)))
        })
        .collect();
    strap(&points, half, paint)
}

fn stitched(color: Rgb, gloss: f32) -> Paint {
    Box::new(move |[_, v, _], behind| {
        let edge = band((v - 0.5).abs() - 0.42, 0.015, 0.04);
        Ink {
            color: scale(color, if behind { 0.5 } else { 1.0 - 0.3 * edge }),
            gloss,
        }
    })
}

pub(super) fn sandal(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let sole = r.range(0.05, 0.08);
    let heel = if r.chance(0.4) {
        r.range(0.05, 0.14)
    } else {
        r.range(0.0, 0.02)
    };
    let last = foot_last(sole, heel);
    let (main, gloss) = (dyes.main, if dyes.metal { 1.0 } else { r.range(0.1, 0.5) });
    let footbed = *r.pick(&[
        [0.72, 0.56, 0.38],
        grey(0.25),
        scale(main, 0.8),
        [0.55, 0.36, 0.22],
    ]);
    let base = *r.pick(&[grey(0.14), [0.36, 0.24, 0.15], [0.75, 0.6, 0.42], grey(0.3)]);
    let wall: Paint = Box::new(move |[_, v, _]: Vec3, _| Ink {
        color: if v > 0.75 { footbed } else { base },
        gloss: 0.1,
    });
    let form = Sole {
        bottom: Curve::new(&[(0.0, 0.0), (0.8, 0.0), (1.0, 0.02)]),
        flare: 0.012,
        lip: Curve::new(&[(0.0, 0.006), (1.0, 0.006)]),
        bulge: 0.004,
    };
    let mut parts = form.parts(&last, wall, footbed);
    let crossed = r.chance(0.35);
    let width = r.range(0.024, 0.04);
    let paint = || stitched(main, gloss);
    if crossed {
        parts.push(over_foot(&last, 0.66, 0.16, width, paint()));
        parts.push(over_foot(&last, 0.66, -0.16, width, paint()));
    } else {
        parts.push(over_foot(&last, 0.74, 0.03, width, paint()));
        parts.push(over_foot(&last, 0.6, -0.03, width, paint()));
    }
    if r.chance(0.8) {
        // Around the ankle, and down to the sole on both sides.
        parts.push(ankle_strap(&last, 0.1 - heel * 0.3, main));
        parts.push(over_foot(&last, 0.36, 0.0, width * 0.7, paint()));
        for sign in [-1.0_f32, 1.0] {
            let bed = last.footbed.at(0.15);
            let strut = [
                [0.15, sign * 0.117, bed - 0.01],
                [0.15, sign * 0.11, bed + 0.1],
                [0.16, sign * 0.088, bed + 0.21],
            ];
            parts.push(flat_tube(
                &strut,
                width * 0.6,
                0.005,
                Some(&[[0.0, sign, 0.2]; 3]),
                8,
                plain(main, gloss),
            ));
        }
    } else {
        parts.push(over_foot(&last, 0.47, 0.0, width, paint()));
    }
    parts
}

pub(super) fn flip_flop(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let sole = r.range(0.05, 0.085);
    let mut last = foot_last(sole, 0.0);
    last.top = Curve::new(&[
        (0.0, 0.05),
        (0.3, 0.07),
        (0.45, 0.1),
        (0.6, 0.12),
        (0.75, 0.09),
        (0.84, 0.03),
        (1.0, 0.02),
    ]);
    let main = dyes.main;
    let bed = r.weighted(&[(main, 3.0), (dyes.accent, 1.0), (scale(main, 0.8), 2.0)]);
    let straps = r.weighted(&[(main, 3.0), (scale(main, 0.7), 2.0)]);
    let layers = r.chance(0.5).then_some(dyes.accent);
    let wall: Paint = Box::new(move |[_, v, _]: Vec3, _| {
        let middle = if (0.35..0.6).contains(&v) {
            layers
        } else {
            None
        };
        Ink {
            color: middle.unwrap_or(scale(bed, 0.92)),
            gloss: 0.08,
        }
    });
    let form = Sole {
        bottom: Curve::new(&[(0.0, 0.0), (0.85, 0.0), (1.0, 0.015)]),
        flare: 0.012,
        lip: Curve::new(&[(0.0, 0.004), (1.0, 0.004)]),
        bulge: 0.003,
    };
    let mut parts = form.parts(&last, wall, bed);
    let (width, root) = (r.range(0.02, 0.03), r.range(0.4, 0.46));
    for sign in [-1.0_f32, 1.0] {
        let (path, up): (Vec<Vec3>, Vec<Vec3>) = (0..=24)
            .map(|i| {
                let t = fraction(i, 24);
                let x = root + (0.8 - root) * t;
                let side = sign * 0.14 * (1.0 - t).powf(0.75) + 0.012;
                let arch = (t.powf(0.8) * std::f32::consts::PI)
                    .sin()
                    .max(0.0)
                    .powf(0.7);
                let height = last.footbed.at(x) + 0.012 + 0.1 * arch;
                ([x, side, height], [0.2, sign * 0.9 * (1.0 - t), 0.8])
            })
            .unzip();
        parts.push(flat_tube(
            &path,
            width,
            0.008,
            Some(&up),
            12,
            plain(straps, 0.25),
        ));
    }
    let post = [
        [0.79, 0.012, last.footbed.at(0.8) + 0.035],
        [0.8, 0.012, last.footbed.at(0.8)],
    ];
    parts.push(tube(&post, 0.017, 8, plain(straps, 0.2)));
    parts
}
