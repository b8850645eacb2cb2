//! Sports shoes: a thick foam sole in two colors, mesh with overlays, a padded collar.

use super::closed::{GUM, Throat, collar, foot_width, tongue_paint, upper};
use super::dyes::{Dyes, band, seam};
use super::lacing::{Lacing, laces, tongue};
use super::sole::Sole;
use crate::demo::mesh::{Ink, Paint, Part, Vec3};
use crate::demo::palette::{Rgb, brightness, grey, mix, scale};
use crate::demo::shape::{Cap, Curve, Last};
use crate::util::random::Random;

pub(super) fn runner(dyes: &Dyes, r: &mut Random) -> Vec<Part> {
    let last = last(r);
    let look = Look::new(dyes, r);
    let mut parts = upper(&last, dyes.lining, move |at| look.ink(at));
    parts.push(collar(&last, 0.017, mix(dyes.lining, dyes.main, 0.5), 0.05));
    parts.extend(sole(dyes, &last, r));
    parts.push(tongue(
        &last,
        0.06,
        r.range(0.08, 0.12),
        tongue_paint(look.throat.tongue),
    ));
    if let Some(color) = dyes.laces {
        let lacing = Lacing {
            front: look.throat.front - 0.02,
            back: last.opening + 0.015,
            pairs: *r.pick(&[5, 6]),
            gap: look.throat.gap + 0.014,
            wide: r.range(0.0115, 0.015),
            thick: 0.0065,
            crossed: r.chance(0.75),
            bow: if r.chance(0.85) {
                r.range(0.08, 0.11)
            } else {
                0.0
            },
            eyelets: None,
        };
        parts.extend(laces(&last, &lacing, color, dyes.main));
    }
    parts
}

fn last(r: &mut Random) -> Last {
    let (rear, fore) = (r.range(0.13, 0.17), r.range(0.09, 0.115));
    let opening = r.range(0.42, 0.45);
    Last {
        width: foot_width(r),
        heel: Cap {
            length: 0.15,
            power: 2.2,
        },
        toe: Cap {
            length: r.range(0.28, 0.34),
            power: r.range(1.9, 2.2),
        },
        footbed: Curve::new(&[
            (0.0, rear),
            (0.25, rear),
            (0.65, fore),
            (0.82, fore + 0.005),
            (1.0, fore + 0.05),
        ]),
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
    }
}

/// What is laid over the mesh of the side.
#[derive(Clone, Copy)]
enum Overlay {
    Bars,
    Wave,
    Cross,
}

#[derive(Clone, Copy)]
struct Look {
    main: Rgb,
    accent: Rgb,
    overlay: Rgb,
    style: Overlay,
    lean: f32,
    laced: bool,
    /// Where the two hook-and-loop straps of a shoe without laces are.
    straps: [f32; 2],
    throat: Throat,
}

impl Look {
    fn new(dyes: &Dyes, r: &mut Random) -> Self {
        let main = dyes.main;
        let shade = if brightness(main) > 0.3 { 0.78 } else { 1.7 };
        let overlay = if r.chance(0.5) {
            dyes.accent
        } else {
            scale(main, shade)
        };
        Self {
            main,
            accent: dyes.accent,
            overlay,
            style: *r.pick(&[Overlay::Bars, Overlay::Wave, Overlay::Cross]),
            lean: r.range(0.5, 0.9),
            laced: dyes.laces.is_some(),
            straps: [r.range(0.46, 0.48), r.range(0.56, 0.59)],
            throat: Throat {
                front: r.range(0.64, 0.67),
                gap: r.range(0.038, 0.048),
                stay: r.chance(0.6).then_some(overlay),
                tongue: scale(main, 0.8),
            },
        }
    }

    fn ink(&self, at: Vec3) -> Ink {
        let [x, h, y] = at;
        let hole = ((x * 60.0).fract() - 0.5).abs() + ((h * 60.0).fract() - 0.5).abs() < 0.32;
        let mut ink = Ink {
            color: scale(self.main, if hole { 0.86 } else { 1.0 }),
            gloss: 0.08,
        };
        let counter = x - 0.17 + h * 0.45;
        let guard = x - 0.9 + h * 0.5 - y * y * 0.8;
        if self.covered(at) || counter < 0.0 || guard > 0.0 {
            ink = Ink {
                color: self.overlay,
                gloss: 0.25,
            };
        }
        if counter > 0.0 && guard < 0.0 {
            ink.color = seam(ink.color, counter, h);
        }
        if self.laced {
            ink.color = self.throat.color(ink.color, x, y).unwrap_or(ink.color);
        } else if self
            .straps
            .iter()
            .any(|s| (x - s + (h - 0.25) * 0.15).abs() < 0.034)
            && h > 0.07
        {
            ink = Ink {
                color: self.accent,
                gloss: 0.2,
            };
        }
        ink.color = scale(ink.color, 0.75 + 0.25 * (h / 0.06).min(1.0));
        ink
    }

    fn covered(&self, [x, h, y]: Vec3) -> bool {
        let slant = x + h * self.lean;
        match self.style {
            Overlay::Bars => {
                let k = (slant - 0.4) / 0.11;
                (0.0..3.0).contains(&k) && k.rem_euclid(1.0) < 0.4 && h < 0.2 && y.abs() > 0.06
            }
            Overlay::Wave => {
                let wave = h - 0.08 - 0.09 * ((x - 0.35) * 6.0).sin();
                band(wave, 0.02 * (1.3 - x), 0.002) > 0.5 && (0.2..0.75).contains(&x)
            }
            Overlay::Cross => {
                let back = band(x - h * self.lean - 0.42, 0.03, 0.002) > 0.5 && h < 0.2;
                band(slant - 0.5, 0.035, 0.002) > 0.5 || back
            }
        }
    }
}

fn sole(dyes: &Dyes, last: &Last, r: &mut Random) -> Vec<Part> {
    let (main, accent) = (dyes.main, dyes.accent);
    let foam = r.weighted(&[
        (grey(0.94), 5.0),
        (grey(0.2), 1.0),
        (grey(0.75), 1.0),
        (scale(main, 0.95), 1.0),
    ]);
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
        Ink {
            color: scale(color, 1.0 - 0.3 * groove),
            gloss: 0.12,
        }
    });
    let shape = Sole {
        bottom: Curve::new(&[(0.0, 0.03), (0.1, 0.0), (0.7, 0.0), (1.0, 0.075)]),
        flare: r.range(0.02, 0.03),
        lip: Curve::new(&[
            (0.0, 0.05),
            (0.2, 0.025),
            (0.5, 0.012),
            (0.8, 0.012),
            (1.0, 0.03),
        ]),
        bulge: r.range(0.006, 0.012),
    };
    shape.parts(last, wall, scale(dyes.lining, 0.7))
}
