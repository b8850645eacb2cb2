//! A run's curves, from the lines of its `metrics.jsonl`: `curves.svg`, and `report.html` with the
//! curves, the validations and the recipe. Both are whole in themselves (no script, nothing
//! fetched) and follow the reader's choice of light or dark.
//!
//! | file | what it holds |
//! | --- | --- |
//! | this one | the lines of `metrics.jsonl`, and the page |
//! | `chart` | line charts as SVG |
//!
//! A run that was killed and taken up again has written some steps twice: of each, the later line
//! counts. A line that a kill cut short is left out and counted.

mod chart;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chart::{Panel, Series};

use super::accuracy::Accuracy;
use super::losses::Losses;
use super::metrics::{Metric, StepMetric};
use super::validate::Scores;

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} holds neither a step nor a validation of a run")]
    Empty { path: PathBuf },
}

/// A validation's line.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    pub step: u64,
    pub seconds: f64,
    pub epoch: u64,
    pub best: bool,
    pub loss: Losses,
    pub scores: Scores,
}

/// What a run has written of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    pub steps: Vec<StepMetric>,
    pub validations: Vec<Validation>,
    /// Lines that could not be read.
    pub broken: usize,
}

impl History {
    /// Reads the lines of a `metrics.jsonl`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut history = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str(line) {
                Ok(Metric::Step(step)) => {
                    history.forget(step.step);
                    history.steps.push(step);
                }
                Ok(Metric::Validation {
                    step,
                    seconds,
                    epoch,
                    best,
                    loss,
                    average,
                    ..
                }) => {
                    history.validations.retain(|v| v.step < step);
                    history.validations.push(Validation {
                        step,
                        seconds,
                        epoch,
                        best,
                        loss,
                        scores: average,
                    });
                }
                Err(_) => history.broken += 1,
            }
        }
        history
    }

    /// Forgets a step that is repeated, and everything after it.
    fn forget(&mut self, step: u64) {
        while self.steps.last().is_some_and(|last| last.step >= step) {
            self.steps.pop();
        }
        while self
            .validations
            .last()
            .is_some_and(|last| last.step >= step)
        {
            self.validations.pop();
        }
    }

    /// The best validation so far.
    #[must_use]
    pub fn best(&self) -> Option<&Validation> {
        self.validations.iter().rev().find(|v| v.best)
    }

    /// The mean over the steps, weighted by their time.
    fn mean(&self, of: impl Fn(&StepMetric) -> f64) -> f64 {
        let time: f64 = self.steps.iter().map(|s| s.seconds_per_step).sum();
        self.steps
            .iter()
            .map(|s| of(s) * s.seconds_per_step)
            .sum::<f64>()
            / time.max(f64::MIN_POSITIVE)
    }
}

/// Writes `curves.svg` and `report.html` into the run's folder, from its `metrics.jsonl` and
/// `recipe.toml`.
///
/// # Errors
/// If the metrics cannot be read or are empty, or a file cannot be written.
pub fn write(run: &Path) -> Result<(), ReportError> {
    let path = run.join("metrics.jsonl");
    let text = std::fs::read(&path).map_err(|source| ReportError::Io {
        path: path.clone(),
        source,
    })?;
    let history = History::parse(&String::from_utf8_lossy(&text));
    if history.steps.is_empty() && history.validations.is_empty() {
        return Err(ReportError::Empty { path });
    }
    let svg = curves(&history);
    let name = run
        .file_name()
        .map_or_else(|| "run".into(), |n| n.to_string_lossy().into_owned());
    let recipe = std::fs::read_to_string(run.join("recipe.toml")).ok();
    let page = page(&name, &history, &svg, recipe.as_deref());
    for (name, text) in [("curves.svg", svg), ("report.html", page)] {
        let (path, part) = (run.join(name), run.join(format!("{name}.part")));
        std::fs::write(&part, text).map_err(|source| ReportError::Io {
            path: part.clone(),
            source,
        })?;
        std::fs::rename(&part, &path).map_err(|source| ReportError::Io { path, source })?;
    }
    Ok(())
}

/// The curves as one picture.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "positions in a picture")]
pub fn curves(history: &History) -> String {
    let steps = |name: &'static str, of: &dyn Fn(&StepMetric) -> f64| {
        Series::line(
            name,
            history
                .steps
                .iter()
                .map(|s| (s.step as f64, of(s)))
                .collect(),
        )
    };
    let checks = |name: &'static str, of: &dyn Fn(&Validation) -> f64| {
        Series::dots(
            name,
            history
                .validations
                .iter()
                .map(|v| (v.step as f64, of(v)))
                .collect(),
        )
    };
    let loss = |name, of: fn(&Losses) -> f32| steps(name, &move |s| f64::from(of(&s.losses)));
    let score =
        |name, of: &dyn Fn(&Scores) -> f32| checks(name, &|v| f64::from(of(&v.scores)) * 100.0);
    let best = history.best().map(|v| v.step as f64);
    let mut panels = vec![
        Panel::new(
            "Loss",
            vec![
                loss("training", |l| l.total).smoothed(),
                checks("validation", &|v| f64::from(v.loss.total)),
            ],
        ),
        Panel::new(
            "Parts of the loss",
            vec![
                loss("long caption", |l| l.described).smoothed(),
                loss("short caption", |l| l.asked).smoothed(),
                loss("captions", |l| l.texts).smoothed(),
                loss("photos", |l| l.likeness).smoothed(),
                loss("labels", |l| l.labels).smoothed(),
                loss("values", |l| l.values).smoothed(),
                loss("facts", |l| l.facts).smoothed(),
                loss("photos: drift", |l| l.keep_photos).smoothed(),
                loss("words: drift", |l| l.keep_words).smoothed(),
            ],
        )
        .without_zeros(),
        Panel::new(
            "Validation, % (line: best)",
            vec![
                score("words: type", &|s| s.text_category),
                score("words: type and color", &|s| s.text_category_color),
                score("photo: type", &|s| s.image_category),
                score("title", &|s| s.title_recall),
            ],
        )
        .marked(best),
        Panel::new("Learning rate", vec![steps("rate", &|s| f64::from(s.rate))]).above_zero(),
        Panel::new(
            "Images a second",
            vec![steps("images/s", &|s| f64::from(s.images_per_second)).smoothed()],
        )
        .above_zero(),
        Panel::new(
            "Utilization, % (not waiting for batches)",
            vec![steps("utilization", &|s| f64::from(s.utilization) * 100.0).smoothed()],
        )
        .within(0.0, 100.0),
    ];
    if history
        .validations
        .iter()
        .any(|v| v.scores.attribute.is_some())
    {
        let of = |name: &'static str, of: fn(&Accuracy) -> f32| {
            score(name, &|s| s.attribute.map_or(f32::NAN, |a| of(&a)))
        };
        let series = vec![
            of("accuracy", |a| a.accuracy),
            of("macro F1", |a| a.macro_f1),
            of("accuracy among those that have one", |a| a.present),
        ];
        panels.insert(
            3,
            Panel::new("Attribute, % (line: best)", series).marked(best),
        );
    }
    let last = history
        .steps
        .last()
        .map_or(0, |s| s.step)
        .max(history.validations.last().map_or(0, |v| v.step));
    chart::picture(&panels, last as f64)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn duration(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole minutes of a run"
    )]
    let minutes = (seconds / 60.0).round() as u64;
    if minutes == 0 {
        format!("{seconds:.0} s")
    } else {
        format!("{} h {:02} min", minutes / 60, minutes % 60)
    }
}

const PAGE: &str = include_str!("page.css");

/// The page; `svg` is what [`curves`] drew, `recipe` the text of the run's recipe.
#[must_use]
pub fn page(name: &str, history: &History, svg: &str, recipe: Option<&str>) -> String {
    let name = escaped(name);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>\n{PAGE}</style></head>\n\
         <body><main>\n<h1>{name}</h1>\n<dl>"
    );
    let seconds = history.steps.last().map_or(0.0, |s| s.seconds);
    let seconds = seconds.max(history.validations.last().map_or(0.0, |v| v.seconds));
    let mut facts = vec![
        (
            "steps",
            history.steps.last().map_or(0, |s| s.step).to_string(),
        ),
        ("time", duration(seconds)),
    ];
    if let Some(last) = history.steps.last() {
        facts.push(("loss", format!("{:.3}", last.losses.total)));
        facts.push((
            "images a second",
            format!("{:.1}", history.mean(|s| f64::from(s.images_per_second))),
        ));
        facts.push((
            "utilization",
            format!("{:.1}%", 100.0 * history.mean(|s| f64::from(s.utilization))),
        ));
    }
    if let Some(best) = history.best() {
        facts.push((
            "best validation",
            format!("{} (step {})", best.epoch, best.step),
        ));
    }
    if history.broken > 0 {
        facts.push(("lines skipped", history.broken.to_string()));
    }
    for (what, value) in facts {
        let _ = write!(out, "<div><dt>{what}</dt><dd>{value}</dd></div>");
    }
    let _ = write!(out, "</dl>\n<figure>{svg}</figure>\n");
    out.push_str(&table(&history.validations, history.best().map(|v| v.step)));
    if let Some(recipe) = recipe {
        let _ = write!(
            out,
            "<h2>Recipe</h2>\n<pre>{}</pre>\n",
            escaped(recipe.trim_end())
        );
    }
    out.push_str("</main></body></html>\n");
    out
}

fn table(validations: &[Validation], best: Option<u64>) -> String {
    let learned = validations.iter().any(|v| v.scores.attribute.is_some());
    let more = if learned {
        "<th>attribute</th><th>macro F1</th><th>among those that have one</th>"
    } else {
        ""
    };
    let mut out = format!(
        "<h2>Validations</h2>\n<p>Averaged weights, held-out products: precision of the first ten hits in \
                   percent, and the share of titles that find their own product among the first ten.</p>\n<div class=\"wide\">\
                   <table><thead><tr><th>epoch</th><th>step</th><th>time</th><th>loss</th><th>words: type</th>\
                   <th>words: type and color</th><th>type for gender</th><th>both</th><th>photo: type</th>\
                   <th>title</th>{more}</tr></thead><tbody>\n"
    );
    for v in validations {
        let class = if Some(v.step) == best {
            " class=\"best\""
        } else {
            ""
        };
        let _ = write!(
            out,
            "<tr{class}><td>{}</td><td>{}</td><td>{}</td><td>{:.3}</td>",
            v.epoch,
            v.step,
            duration(v.seconds),
            v.loss.total
        );
        let s = &v.scores;
        let scores = [
            s.text_category,
            s.text_category_color,
            s.gender_category,
            s.gender_both,
            s.image_category,
            s.title_recall,
        ];
        let attribute = s.attribute.filter(|_| learned).into_iter();
        for score in scores
            .into_iter()
            .chain(attribute.flat_map(|a| [a.accuracy, a.macro_f1, a.present]))
        {
            let _ = write!(out, "<td>{:.1}</td>", score * 100.0);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64, loss: f32) -> String {
        let losses = Losses {
            total: loss,
            ..Losses::default()
        };
        let step = StepMetric {
            step,
            seconds: 2.0 * 60.0,
            seconds_per_step: 1.0,
            losses,
            rate: 1e-3,
            gradient_norm: 1.0,
            logit_scale: 14.0,
            images_per_second: 64.0,
            waited: 0.25,
            utilization: 0.75,
        };
        serde_json::to_string(&Metric::Step(step)).expect("JSON")
    }

    fn validation(step: u64, epoch: u64, best: bool) -> String {
        let scores = Scores {
            text_category: 0.625,
            ..Scores::default()
        };
        let loss = Losses {
            total: 3.0,
            ..Losses::default()
        };
        let metric = Metric::Validation {
            step,
            seconds: 9.0,
            epoch,
            best,
            loss,
            weights: scores,
            average: scores,
        };
        serde_json::to_string(&metric).expect("JSON")
    }

    #[test]
    fn steps_done_twice_count_once_and_broken_lines_are_skipped() {
        let lines = [
            step(1, 5.0),
            step(2, 4.0),
            validation(2, 1, true),
            step(3, 3.0),
            step(4, 2.9),
        ];
        // Killed in the fourth step's line, taken up again after the second step.
        let cut = &lines[4][..20];
        let text = [
            &lines[..4].join("\n"),
            cut,
            &step(3, 3.5),
            &validation(3, 2, false),
        ]
        .join("\n");
        let history = History::parse(&text);
        assert_eq!(
            history
                .steps
                .iter()
                .map(|s| (s.step, s.losses.total))
                .collect::<Vec<_>>(),
            [(1, 5.0), (2, 4.0), (3, 3.5)]
        );
        assert_eq!(
            history
                .validations
                .iter()
                .map(|v| v.epoch)
                .collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(
            (history.best().map(|v| v.epoch), history.broken),
            (Some(1), 1)
        );
    }

    #[test]
    fn the_page_stands_alone_and_says_what_the_run_did() {
        let folder = tempfile::tempdir().expect("folder");
        let text = [step(1, 5.0), step(2, 4.0), validation(2, 1, true)].join("\n");
        std::fs::write(folder.path().join("metrics.jsonl"), text).expect("writes");
        std::fs::write(folder.path().join("recipe.toml"), "name = \"<b>\"").expect("writes");
        write(folder.path()).expect("writes");
        let read =
            |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("is there");
        let (svg, page) = (read("curves.svg"), read("report.html"));
        for wanted in [
            "62.5",
            "75.0%",
            "0 h 02 min",
            "&lt;b&gt;",
            "prefers-color-scheme: dark",
            &svg,
        ] {
            assert!(page.contains(wanted), "{wanted}");
        }
        assert!(svg.starts_with("<svg xmlns=") && svg.matches("<polyline").count() >= 8);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        for foreign in ["<script", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(matches!(
            write(&folder.path().join("none")),
            Err(ReportError::Io { .. })
        ));
        std::fs::write(folder.path().join("metrics.jsonl"), "\n").expect("writes");
        assert!(matches!(
            write(folder.path()),
            Err(ReportError::Empty { .. })
        ));
    }
}
