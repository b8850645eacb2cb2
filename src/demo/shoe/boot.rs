//! Boots: laced up the shaft, or with elastic wedges.

use super::closed::{GUM, Throat, collar, tongue_paint, upper};
use super::dress::heeled_sole;
use super::dyes::{Dyes, seam};
use super::lacing::{Lacing, laces, tongue};
use crate::demo::mesh::{Ink, Paint, Part, Vec3};
use crate::demo::palette::{Rgb, grey, mix, scale};
use crate::demo::shape::{Cap, Curve, Last};
use crate::util::random::Random;

pub(super) fn boot(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let shaft = r.range(0.46, 0.6);
    let thick = r.range(0.035, 0.06);
    let last = last(shaft, thick, r);
    let main = dyes.main;
    let look = Look {
        main,
        collar: if r.chance(0.4) {
            scale(dyes.accent, 0.9)
        } else {
            scale(main, 0.75)
        },
        laced: dyes.laces.is_some(),
        shaft,
        cap: r.chance(0.4),
        gloss: r.range(0.1, 0.7),
        throat: Throat {
            front: 0.6,
            gap: r.range(0.032, 0.04),
            stay: r.chance(0.3).then(|| scale(main, 0.85)),
            tongue: scale(main, 0.72),
        },
    };
    let rise = last.footbed.clone();
    let mut parts = upper(&last, dyes.lining, move |at| {
        look.ink(at, at[1] + rise.at(at[0]))
    });
    parts.push(collar(&last, 0.011, look.collar, 0.1));
    parts.extend(sole(dyes, &last, thick, r));
    if let Some(color) = dyes.laces {
        let lacing = Lacing {
            front: 0.58,
            back: last.opening + 0.022,
            pairs: *r.pick(&[6, 7, 8]),
            gap: look.throat.gap + 0.016,
            wide: r.range(0.0115, 0.015),
            thick: 0.007,
            crossed: r.chance(0.75),
            bow: if r.chance(0.85) {
                r.range(0.08, 0.11)
            } else {
                0.0
            },
            eyelets: r
                .chance(0.6)
                .then(|| *r.pick(&[[0.80, 0.66, 0.36], grey(0.75), grey(0.15)])),
        };
        parts.push(tongue(
            &last,
            0.05,
            r.range(0.03, 0.06),
            tongue_paint(scale(main, 0.8)),
        ));
        parts.extend(laces(&last, &lacing, color, main));
    }
    parts
}

fn last(shaft: f32, thick: f32, r: &mut Random) -> Last {
    let heel = r.range(0.05, 0.08);
    let opening = 0.37;
    Last {
        width: Curve::new(&[
            (0.0, 0.118),
            (0.2, 0.125),
            (0.42, 0.125),
            (0.68, 0.168),
            (0.85, 0.16),
            (1.0, 0.15),
        ]),
        heel: Cap {
            length: 0.16,
            power: 2.2,
        },
        toe: Cap {
            length: r.range(0.26, 0.32),
            power: r.range(2.0, 2.5),
        },
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
    }
}

#[derive(Clone, Copy)]
struct Look {
    main: Rgb,
    collar: Rgb,
    laced: bool,
    shaft: f32,
    cap: bool,
    gloss: f32,
    throat: Throat,
}

impl Look {
    /// `z` is the height above the ground.
    fn ink(&self, [x, h, y]: Vec3, z: f32) -> Ink {
        let main = self.main;
        let mut color = main;
        if self.cap {
            color = seam(color, x - 0.83 + 0.3 * y * y, y);
        }
        color = seam(color, x - 0.19 + h * 0.12, h);
        if self.laced {
            color = match self.throat.color(color, x, y) {
                Some(near) => near,
                None if y.abs() > 0.05 => seam(color, x - 0.6 + (0.2 - h).max(0.0) * 0.3, h),
                None => color,
            };
        } else {
            // The elastic wedge of a Chelsea boot.
            let wedge = (x - 0.245).abs() - 0.03 - (z - 0.22).max(0.0) * 0.16;
            if wedge < 0.0 && z > 0.22 {
                let rib = if (x * 100.0).rem_euclid(1.0) < 0.5 {
                    1.0
                } else {
                    0.8
                };
                color = scale(mix(scale(main, 0.5), grey(0.15), 0.5), rib);
            } else if z > 0.2 {
                color = seam(color, wedge, z);
            }
        }
        let under_collar = h - self.shaft + 0.06;
        if under_collar > 0.006 {
            color = if self.laced && y.abs() < 0.05 {
                color
            } else {
                mix(color, self.collar, 0.9)
            };
        } else if under_collar > 0.0 {
            color = scale(color, 0.7);
        }
        Ink {
            color: scale(color, 0.7 + 0.3 * (h / 0.05).min(1.0)),
            gloss: self.gloss,
        }
    }
}

fn sole(dyes: &Dyes, last: &Last, thick: f32, r: &mut Random) -> Vec<Part> {
    let color = r.weighted(&[
        (grey(0.1), 4.0),
        (GUM, 1.5),
        ([0.3, 0.17, 0.09], 2.0),
        (grey(0.9), 0.5),
    ]);
    let (mut form, _) = heeled_sole(last, color, thick);
    form.flare = 0.018;
    let lugs = r.chance(0.6);
    let welt = r.chance(0.5).then_some(GUM);
    let wall: Paint = Box::new(move |[x, v, z]: Vec3, _| {
        let mut c = if lugs && z < 0.025 && (x * 22.0).rem_euclid(1.0) < 0.35 {
            scale(color, 0.4)
        } else {
            color
        };
        if let Some(thread) = welt.filter(|_| v > 0.8) {
            c = if (x * 60.0).rem_euclid(1.0) < 0.6 {
                thread
            } else {
                scale(c, 0.8)
            };
        }
        Ink {
            color: c,
            gloss: 0.15,
        }
    });
    form.parts(last, wall, scale(dyes.lining, 0.6))
}
