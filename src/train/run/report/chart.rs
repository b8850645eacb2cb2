//! Line charts as SVG: panels of one size, two beside each other, over one common axis of steps.

use std::fmt::Write as _;

/// A panel's frame in the picture, and the room within it for its curves.
const WIDTH: f64 = 470.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 52.0;
const BOTTOM: f64 = 32.0;
/// Points of a curve, at most: a longer one is drawn by the means of its parts.
const POINTS: usize = 300;

const STYLE: &str = "<style>\
.aglet-curves{--paper:#fbfbfa;--ink:#1c1e21;--dim:#5d636b;--grid:#e3e5e8;--c0:#2a6fdb;--c1:#c2571a;--c2:#178058;--c3:#8b4fc4;--c4:#a8323e}\
@media (prefers-color-scheme: dark){\
.aglet-curves{--paper:#15171a;--ink:#e8eaed;--dim:#9aa1aa;--grid:#33373d;--c0:#6aa5ff;--c1:#f0945a;--c2:#4fc79a;--c3:#b98cf0;--c4:#f2858f}}\
.aglet-curves .paper{fill:var(--paper)}\
.aglet-curves text{font:11px system-ui,sans-serif;fill:var(--dim)}\
.aglet-curves .title{font-size:13px;font-weight:600;fill:var(--ink)}\
.aglet-curves .grid{stroke:var(--grid);stroke-width:1}\
.aglet-curves .mark{stroke:var(--dim);stroke-width:1;stroke-dasharray:3 3}\
.aglet-curves polyline{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}\
.aglet-curves .s0{stroke:var(--c0)}.aglet-curves .s1{stroke:var(--c1)}\
.aglet-curves .s2{stroke:var(--c2)}.aglet-curves .s3{stroke:var(--c3)}.aglet-curves .s4{stroke:var(--c4)}\
.aglet-curves .f0{fill:var(--c0)}.aglet-curves .f1{fill:var(--c1)}\
.aglet-curves .f2{fill:var(--c2)}.aglet-curves .f3{fill:var(--c3)}.aglet-curves .f4{fill:var(--c4)}\
</style>";

/// One curve.
pub struct Series {
    name: &'static str,
    points: Vec<(f64, f64)>,
    dots: bool,
}

impl Series {
    pub fn line(name: &'static str, points: Vec<(f64, f64)>) -> Self {
        Self {
            name,
            points,
            dots: false,
        }
    }

    /// A line with a dot at every point: there are few.
    pub fn dots(name: &'static str, points: Vec<(f64, f64)>) -> Self {
        Self {
            name,
            points,
            dots: true,
        }
    }

    /// A running mean over about a fiftieth of the curve, so that batches' noise does not hide
    /// where it goes.
    pub fn smoothed(mut self) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a count of steps")]
        let share = 1.0 / (self.points.len() as f64 / 50.0).max(1.0);
        let mut mean = self.points.first().map_or(0.0, |p| p.1);
        for point in &mut self.points {
            mean += (point.1 - mean) * share;
            point.1 = mean;
        }
        self
    }

    /// The finite points, few enough to draw.
    fn drawn(&self) -> Vec<(f64, f64)> {
        let points: Vec<(f64, f64)> = self
            .points
            .iter()
            .copied()
            .filter(|p| p.1.is_finite())
            .collect();
        if points.len() <= POINTS || self.dots {
            return points;
        }
        let mean = |part: &[(f64, f64)]| {
            #[expect(clippy::cast_precision_loss, reason = "a few points")]
            let count = part.len() as f64;
            let (x, y) = part.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
            (x / count, y / count)
        };
        points
            .chunks(points.len().div_ceil(POINTS))
            .map(mean)
            .collect()
    }
}

/// Curves that share an axis.
pub struct Panel {
    title: &'static str,
    series: Vec<Series>,
    /// A step to mark.
    mark: Option<f64>,
    /// What the axis holds in any case, and what it never goes beyond.
    least: Option<f64>,
    most: Option<f64>,
}

impl Panel {
    pub fn new(title: &'static str, series: Vec<Series>) -> Self {
        Self {
            title,
            series,
            mark: None,
            least: None,
            most: None,
        }
    }

    pub fn marked(self, step: Option<f64>) -> Self {
        Self { mark: step, ..self }
    }

    /// Leaves out what is zero all along: it takes no part.
    pub fn without_zeros(mut self) -> Self {
        self.series
            .retain(|series| series.points.iter().any(|p| p.1 != 0.0));
        self
    }

    pub fn above_zero(self) -> Self {
        Self {
            least: Some(0.0),
            ..self
        }
    }

    pub fn within(self, least: f64, most: f64) -> Self {
        Self {
            least: Some(least),
            most: Some(most),
            ..self
        }
    }

    /// The ends of the axis.
    fn span(&self, curves: &[Vec<(f64, f64)>]) -> (f64, f64) {
        let values = || curves.iter().flatten().map(|p| p.1);
        let low = self
            .least
            .unwrap_or_else(|| values().fold(f64::INFINITY, f64::min));
        let high = self
            .most
            .unwrap_or_else(|| values().fold(f64::NEG_INFINITY, f64::max));
        if !(low.is_finite() && high.is_finite()) {
            return (0.0, 1.0);
        }
        if high - low > 1e-12 * high.abs().max(1e-6) {
            (low, high)
        } else {
            (low, low + low.abs().max(1e-6))
        }
    }

    fn draw(&self, out: &mut String, left: f64, top: f64, last: f64) {
        let curves: Vec<Vec<(f64, f64)>> = self.series.iter().map(Series::drawn).collect();
        let (low, high) = self.span(&curves);
        let marks = ticks(low, high, 4);
        // The axis ends at a mark, unless its end is given.
        let step = if marks.len() > 1 {
            marks[1] - marks[0]
        } else {
            high - low
        };
        let (low, high) = match (self.least, self.most) {
            (Some(l), Some(h)) => (l, h),
            (Some(l), None) => (l, (high / step).ceil() * step),
            _ => ((low / step).floor() * step, (high / step).ceil() * step),
        };
        let x = |v: f64| left + LEFT + v / last.max(1.0) * (WIDTH - LEFT - RIGHT);
        let y = |v: f64| top + TOP + (high - v) / (high - low) * (HEIGHT - TOP - BOTTOM);
        let _ = write!(
            out,
            "<text class=\"title\" x=\"{:.0}\" y=\"{:.0}\">{}</text>",
            left + 12.0,
            top + 20.0,
            self.title
        );
        let mut at = left + 12.0;
        for (number, series) in self
            .series
            .iter()
            .enumerate()
            .filter(|_| self.series.len() > 1)
        {
            let _ = write!(
                out,
                "<rect class=\"f{number}\" x=\"{at:.0}\" y=\"{:.0}\" width=\"9\" height=\"9\" rx=\"2\"/>",
                top + 29.0
            );
            let _ = write!(
                out,
                "<text x=\"{:.0}\" y=\"{:.0}\">{}</text>",
                at + 13.0,
                top + 37.5,
                series.name
            );
            #[expect(clippy::cast_precision_loss, reason = "a short name")]
            let wide = series.name.len() as f64 * 5.7;
            at += 13.0 + wide + 12.0;
        }
        for mark in ticks(low, high, 4) {
            let (x1, x2, y) = (x(0.0), x(last), y(mark));
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{x1:.1}\" x2=\"{x2:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            );
            let _ = write!(
                out,
                "<text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x1 - 6.0,
                y + 4.0,
                label(mark)
            );
        }
        for mark in ticks(0.0, last.max(1.0), 5) {
            let _ = write!(
                out,
                "<text text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x(mark),
                top + HEIGHT - BOTTOM + 16.0,
                label(mark)
            );
        }
        if let Some(mark) = self.mark {
            let (x, y1, y2) = (x(mark), y(low), y(high));
            let _ = write!(
                out,
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y1:.1}\" y2=\"{y2:.1}\"/>"
            );
        }
        for (number, (series, points)) in self.series.iter().zip(&curves).enumerate() {
            let line: Vec<String> = points
                .iter()
                .map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1)))
                .collect();
            let _ = write!(
                out,
                "<polyline class=\"s{number}\" points=\"{}\"/>",
                line.join(" ")
            );
            for point in points.iter().filter(|_| series.dots) {
                let _ = write!(
                    out,
                    "<circle class=\"f{number}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"/>",
                    x(point.0),
                    y(point.1)
                );
            }
        }
        if curves.iter().all(Vec::is_empty) {
            let _ = write!(
                out,
                "<text x=\"{:.0}\" y=\"{:.0}\">nothing yet</text>",
                left + LEFT + 8.0,
                top + TOP + 20.0
            );
        }
    }
}

/// At most about `count` round numbers between the two.
fn ticks(low: f64, high: f64, count: u8) -> Vec<f64> {
    let rough = (high - low) / f64::from(count);
    let power = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|s| *s >= rough * 0.999)
        .unwrap_or(rough);
    let mut ticks = Vec::new();
    let mut at = (low / step - 1e-6).ceil();
    while at * step <= high + step * 1e-6 && ticks.len() < 20 {
        ticks.push(at * step);
        at += 1.0;
    }
    ticks
}

/// A number as short as it can be read.
fn label(value: f64) -> String {
    if value.abs() < 1e-12 {
        return "0".to_owned();
    }
    if value.abs() < 0.01 {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// All panels as one picture; the axis ends at the step `last`.
pub fn picture(panels: &[Panel], last: f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "six panels")]
    let rows = panels.len().div_ceil(2) as f64;
    let (width, height) = (2.0 * WIDTH, rows * HEIGHT);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"aglet-curves\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"Curves of the run over its steps\">{STYLE}\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>"
    );
    let (mut left, mut top) = (0.0, 0.0);
    for panel in panels {
        panel.draw(&mut out, left, top, last);
        (left, top) = if left == 0.0 {
            (WIDTH, top)
        } else {
            (0.0, top + HEIGHT)
        };
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(0.0, 100.0, 4), [0.0, 50.0, 100.0]);
        assert_eq!(ticks(2.1, 5.2, 4), [3.0, 4.0, 5.0]);
        assert_eq!(
            ticks(0.0, 1e-3, 4)
                .into_iter()
                .map(label)
                .collect::<Vec<_>>(),
            ["0", "5e-4", "1e-3"]
        );
        assert_eq!(
            [0.5, 1200.0, 2.25, 1.5e-5].map(label),
            ["0.5", "1200", "2.25", "1.5e-5"]
        );
    }

    #[test]
    fn a_long_curve_is_thinned_and_a_flat_or_empty_one_is_drawn() {
        let long = Series::line(
            "long",
            (0..10_000)
                .map(|at| (f64::from(at), f64::from(at)))
                .collect(),
        );
        let drawn = long.drawn();
        assert!(drawn.len() <= POINTS && drawn.len() > POINTS / 2);
        assert!((drawn[0].1 - 16.5).abs() < 1e-9);
        let flat = Series::line("flat", vec![(0.0, 2.0), (1.0, 2.0)]).smoothed();
        let svg = picture(
            &[
                Panel::new("flat", vec![flat]),
                Panel::new("none", vec![Series::line("none", vec![])]),
            ],
            1.0,
        );
        assert!(
            !svg.contains("NaN") && !svg.contains("inf") && svg.contains("nothing yet"),
            "{svg}"
        );
    }
}
