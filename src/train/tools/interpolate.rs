//! WiSE-FT (arXiv 2109.01903): between a base and what fine-tuning made of it lie models that have
//! the new ability and still the old ones. `theta = (1 - alpha) base + alpha tuned`, parameter by
//! parameter; which alpha is best is seen on validation data, never on the test set.
//!
//! The tuned model may be the mean of several that began at the same base and differ in their seeds
//! (a model soup, arXiv 2203.05482): what each of them learned by chance cancels out, what all of
//! them learned stays.
//!
//! The two models must have the same parameters of the same shapes. A tuned model with a larger
//! input has a larger table of positions and is refused: resize the base's table to the larger
//! input first, then interpolate.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::train::net::parameters::{Parameter, Parameters};

#[derive(Debug, thiserror::Error)]
pub enum InterpolateError {
    #[error("{name} is in the {only} model alone: the two are not of one kind")]
    Names { name: String, only: &'static str },
    #[error("{name} has shape {base:?} in the base and {tuned:?} in the tuned model")]
    Shape {
        name: String,
        base: Vec<usize>,
        tuned: Vec<usize>,
    },
    #[error(
        "{name} has {base} positions in the base and {tuned} in the tuned model: their inputs differ in size, and no \
         position of one is that of the other. Bring the base to the tuned model's input first"
    )]
    Positions {
        name: String,
        base: usize,
        tuned: usize,
    },
    #[error("a share of {0} is not between 0 and 1")]
    Share(f32),
    #[error("the scores at alpha {alpha} lack {name}, which the base has")]
    Score { alpha: f32, name: String },
    #[error("judging alpha {alpha}: {source}")]
    Judge {
        alpha: f32,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Says whether the two are of one kind.
fn check(base: &Parameters, tuned: &Parameters) -> Result<(), InterpolateError> {
    for (list, other, only) in [(base, tuned, "base"), (tuned, base, "tuned")] {
        if let Some(lone) = list.0.iter().find(|p| other.get(&p.name).is_none()) {
            return Err(InterpolateError::Names {
                name: lone.name.clone(),
                only,
            });
        }
    }
    for (b, t) in base.0.iter().filter_map(|b| Some((b, tuned.get(&b.name)?))) {
        let (name, base, tuned) = (b.name.clone(), b.shape.clone(), t.shape.clone());
        if base != tuned && name == "vision_model.embeddings.position_embedding.weight" {
            return Err(InterpolateError::Positions {
                name,
                base: base[0],
                tuned: tuned[0],
            });
        }
        if base != tuned {
            return Err(InterpolateError::Shape { name, base, tuned });
        }
    }
    Ok(())
}

/// The model at `alpha` of the way from `base` (0) to `tuned` (1), its text tower at `text_share`
/// of that way. Where that is 1 the ends are exactly the two.
///
/// # Errors
/// If the two are not of one kind, or `alpha` or `text_share` is not between 0 and 1.
///
/// # Panics
/// Never: the names are compared before.
pub fn between(
    base: &Parameters,
    tuned: &Parameters,
    alpha: f32,
    text_share: f32,
) -> Result<Parameters, InterpolateError> {
    if let Some(&wrong) = [alpha, text_share]
        .iter()
        .find(|share| !(0.0..=1.0).contains(*share))
    {
        return Err(InterpolateError::Share(wrong));
    }
    check(base, tuned)?;
    let mix = |b: &Parameter| {
        let t = tuned.get(&b.name).expect("checked");
        let alpha = if b.name.starts_with("text_") {
            alpha * text_share
        } else {
            alpha
        };
        // Written so that both ends are exact: x * 1 + y * 0 is x for every finite y.
        let values = b
            .values
            .iter()
            .zip(&t.values)
            .map(|(b, t)| b * (1.0 - alpha) + t * alpha)
            .collect();
        Parameter {
            name: b.name.clone(),
            shape: b.shape.clone(),
            values,
        }
    };
    Ok(Parameters(base.0.iter().map(mix).collect()))
}

/// The mean of models of one kind, parameter by parameter.
///
/// # Errors
/// If they are not of one kind.
///
/// # Panics
/// If there are none.
pub fn mean(models: &[Parameters]) -> Result<Parameters, InterpolateError> {
    let mut mean = models.first().expect("at least one model").clone();
    for (before, model) in (1_u16..).zip(&models[1..]) {
        mean = between(&mean, model, 1.0 / (f32::from(before) + 1.0), 1.0)?;
    }
    Ok(mean)
}

/// What a model is worth on validation data; shares of 1, more is better.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The new ability.
    pub ability: f64,
    /// The abilities of the base that are to be kept, by name.
    pub general: BTreeMap<String, f64>,
}

/// A model of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub alpha: f32,
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The most that one of the base's abilities has lost, in points (hundredths); negative if all
    /// gained.
    pub lost: f64,
    /// Whether that is no more than may be lost.
    pub allowed: bool,
}

/// All models of a sweep, and which of them is best.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// By alpha; the base is the first.
    pub rows: Vec<Row>,
    /// Points that an ability of the base may lose.
    pub most_lost: f64,
    /// The alpha with the best new ability among the allowed; of equals the one nearest to the
    /// base.
    pub best: f32,
}

/// Judges the model at every alpha, 0 (the base) included, its text tower at `text_share` of the
/// way ([`between`]), and chooses: the best new ability, subject to at most `most_lost` points lost
/// on each of the base's abilities; where every model loses more, the one that loses least.
///
/// `before`: the base's abilities where they are not those of alpha 0, because the base was brought
/// to another input for the sweep, which costs it something that is lost too.
///
/// # Errors
/// If the two are not of one kind, an alpha is none, or `judge` fails.
///
/// # Panics
/// Never: alpha 0 is always there.
pub fn sweep(
    base: &Parameters,
    tuned: &Parameters,
    alphas: &[f32],
    text_share: f32,
    most_lost: f64,
    before: Option<&Verdict>,
    mut judge: impl FnMut(f32, &Parameters) -> Result<Verdict, Box<dyn std::error::Error + Send + Sync>>,
) -> Result<Sweep, InterpolateError> {
    let mut alphas: Vec<f32> = alphas.iter().copied().chain([0.0]).collect();
    alphas.sort_by(f32::total_cmp);
    alphas.dedup();
    let mut rows: Vec<Row> = Vec::new();
    for alpha in alphas {
        let model = between(base, tuned, alpha, text_share)?;
        let verdict =
            judge(alpha, &model).map_err(|source| InterpolateError::Judge { alpha, source })?;
        let first = before.unwrap_or_else(|| rows.first().map_or(&verdict, |row| &row.verdict));
        let mut lost = f64::NEG_INFINITY;
        for (name, before) in &first.general {
            let now = verdict.general.get(name);
            let now = now.ok_or_else(|| InterpolateError::Score {
                alpha,
                name: name.clone(),
            })?;
            lost = lost.max((before - now) * 100.0);
        }
        // A hair of slack: 0.81 - 0.80 is a little more than one point in floating point.
        let allowed = lost <= most_lost + 1e-9;
        let lost = if lost.is_finite() { lost } else { 0.0 };
        rows.push(Row {
            alpha,
            verdict,
            lost,
            allowed,
        });
    }
    // Of equals the first, which is the nearest to the base.
    let able = rows.iter().rev().filter(|row| row.allowed);
    let able = able.max_by(|a, b| a.verdict.ability.total_cmp(&b.verdict.ability));
    let best = able.or_else(|| rows.iter().min_by(|a, b| a.lost.total_cmp(&b.lost)));
    let best = best.expect("alpha 0 is among them").alpha;
    Ok(Sweep {
        rows,
        most_lost,
        best,
    })
}

impl Sweep {
    /// For a person to read.
    #[must_use]
    pub fn table(&self) -> String {
        use std::fmt::Write as _;
        let names: Vec<&String> = self
            .rows
            .first()
            .into_iter()
            .flat_map(|row| row.verdict.general.keys())
            .collect();
        let mut out = format!("{:>6} {:>9}", "alpha", "ability");
        for name in &names {
            let _ = write!(out, " {name:>width$}", width = name.len().max(7));
        }
        out.push_str("   lost\n");
        for row in &self.rows {
            let _ = write!(
                out,
                "{:>6.2} {:>9.2}",
                row.alpha,
                row.verdict.ability * 100.0
            );
            for name in &names {
                let score = row.verdict.general.get(*name).copied().unwrap_or(f64::NAN) * 100.0;
                let _ = write!(out, " {score:>width$.2}", width = name.len().max(7));
            }
            let mark = if row.alpha.to_bits() == self.best.to_bits() {
                if row.allowed {
                    "  best"
                } else {
                    "  too much, but the least"
                }
            } else if row.allowed {
                ""
            } else {
                "  too much"
            };
            let _ = writeln!(out, " {:>6.2}{mark}", row.lost);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(values: [f32; 2]) -> Parameters {
        let parameter = |name: &str, shape: &[usize], value: f32| Parameter {
            name: name.into(),
            shape: shape.to_vec(),
            values: vec![value; shape.iter().product()],
        };
        Parameters(vec![
            parameter(
                "vision_model.embeddings.position_embedding.weight",
                &[2, 3],
                values[0],
            ),
            parameter("logit_scale", &[], values[1]),
        ])
    }

    #[test]
    fn the_ends_are_the_two_models_exactly_and_the_middle_is_between() {
        let (base, tuned) = (model([0.1, 3.3]), model([-0.7, 1e-9]));
        assert_eq!(between(&base, &tuned, 0.0, 1.0).expect("of one kind"), base);
        assert_eq!(
            between(&base, &tuned, 1.0, 1.0).expect("of one kind"),
            tuned
        );
        let middle =
            between(&model([1.0, 2.0]), &model([3.0, -2.0]), 0.25, 1.0).expect("of one kind");
        assert_eq!(middle, model([1.5, 1.0]));
        let mut words = model([1.0, 2.0]);
        words.0[1].name = "text_projection.weight".into();
        let mut tuned_words = model([3.0, -2.0]);
        tuned_words.0[1].name = "text_projection.weight".into();
        let middle = between(&words, &tuned_words, 0.5, 0.5).expect("of one kind");
        assert_eq!(
            (middle.0[0].values[0], middle.0[1].values[0]),
            (2.0, 1.0),
            "words go half as far"
        );
        assert!(matches!(
            between(&base, &tuned, 0.5, -0.1),
            Err(InterpolateError::Share(_))
        ));
        assert!(matches!(
            between(&base, &tuned, 1.5, 1.0),
            Err(InterpolateError::Share(_))
        ));
        assert!(matches!(
            between(&base, &tuned, f32::NAN, 1.0),
            Err(InterpolateError::Share(_))
        ));
    }

    #[test]
    fn a_soup_is_the_mean_of_its_models() {
        let soup =
            mean(&[model([1.0, 6.0]), model([2.0, 0.0]), model([6.0, -3.0])]).expect("of one kind");
        for (parameter, mean) in soup.0.iter().zip([3.0, 1.0]) {
            assert!(
                parameter.values.iter().all(|v| (v - mean).abs() < 1e-6),
                "{parameter:?}"
            );
        }
        assert_eq!(mean(&[model([0.1, 3.3])]).expect("one"), model([0.1, 3.3]));
        let lone = Parameters(vec![model([0.0, 0.0]).0[1].clone()]);
        assert!(matches!(
            mean(&[model([0.0, 0.0]), lone]),
            Err(InterpolateError::Names { .. })
        ));
    }

    #[test]
    fn models_of_two_kinds_are_refused_by_name() {
        let base = model([0.0, 0.0]);
        let mut tuned = base.clone();
        tuned.0[0].shape = vec![5, 3];
        tuned.0[0].values = vec![0.0; 15];
        let error = between(&base, &tuned, 0.5, 1.0).expect_err("another input");
        assert!(
            matches!(
                error,
                InterpolateError::Positions {
                    base: 2,
                    tuned: 5,
                    ..
                }
            ),
            "{error}"
        );
        tuned.0[1].shape = vec![2];
        tuned.0.swap_remove(0);
        assert!(matches!(
            between(&base, &tuned, 0.5, 1.0),
            Err(InterpolateError::Names { only: "base", .. })
        ));
        assert!(matches!(
            between(&tuned, &base, 0.5, 1.0),
            Err(InterpolateError::Names { only: "tuned", .. })
        ));
        let base = Parameters(vec![base.0[1].clone()]);
        assert!(matches!(
            between(&base, &tuned, 0.5, 1.0),
            Err(InterpolateError::Shape { .. })
        ));
    }

    #[test]
    fn the_best_ability_wins_among_those_that_keep_the_bases() {
        let (base, tuned) = (model([0.0, 0.0]), model([1.0, 1.0]));
        let judge = |alpha: f32, model: &Parameters| {
            assert!((model.0[1].values[0] - alpha).abs() < 1e-6);
            let alpha = f64::from(alpha);
            // The ability rises all the way; the first general score falls by 4 points, the second
            // rises.
            let general = BTreeMap::from([
                ("color".into(), 0.9 - 0.04 * alpha),
                ("type".into(), 0.5 + alpha),
            ]);
            Ok(Verdict {
                ability: 0.3 + alpha / 2.0,
                general,
            })
        };
        let found = sweep(
            &base,
            &tuned,
            &[1.0, 0.75, 0.25, 0.5],
            1.0,
            2.0,
            None,
            judge,
        )
        .expect("judged");
        assert_eq!(
            found.rows.iter().map(|r| r.alpha).collect::<Vec<_>>(),
            [0.0, 0.25, 0.5, 0.75, 1.0]
        );
        assert_eq!(
            found.rows.iter().map(|r| r.allowed).collect::<Vec<_>>(),
            [true, true, true, false, false]
        );
        assert!((found.best - 0.5).abs() < 1e-6 && (found.rows[4].lost - 4.0).abs() < 1e-6);
        let table = found.table();
        assert!(
            table.lines().nth(3).is_some_and(|l| l.ends_with("best")),
            "{table}"
        );
        // Nothing gained: the base stays.
        let flat = |_: f32, _: &Parameters| {
            Ok(Verdict {
                ability: 0.5,
                general: BTreeMap::new(),
            })
        };
        assert!(
            sweep(&base, &tuned, &[0.5, 1.0], 1.0, 1.0, None, flat)
                .expect("judged")
                .best
                .abs()
                < 1e-9
        );
    }

    #[test]
    fn what_a_larger_input_costs_the_base_counts() {
        let (base, tuned) = (model([0.0, 0.0]), model([1.0, 1.0]));
        let verdict = |type_: f64, ability: f64| Verdict {
            ability,
            general: BTreeMap::from([("type".into(), type_)]),
        };
        // At its own input the base had 0.80: brought to another it has 0.76, and tuning gives some
        // of that back.
        let judge = |alpha: f32, _: &Parameters| {
            Ok(verdict(
                0.76 + 0.04 * f64::from(alpha),
                0.5 - f64::from(alpha) / 9.0,
            ))
        };
        let before = verdict(0.80, 0.5);
        let found = sweep(
            &base,
            &tuned,
            &[0.5, 0.8, 1.0],
            1.0,
            1.0,
            Some(&before),
            judge,
        )
        .expect("judged");
        assert_eq!(
            found.rows.iter().map(|r| r.allowed).collect::<Vec<_>>(),
            [false, false, true, true]
        );
        assert!((found.best - 0.8).abs() < 1e-6 && (found.rows[0].lost - 4.0).abs() < 1e-6);
        // Nothing keeps the base's abilities: the least is lost.
        let found = sweep(
            &base,
            &tuned,
            &[0.5, 1.0],
            1.0,
            1.0,
            Some(&verdict(0.9, 0.5)),
            judge,
        )
        .expect("judged");
        assert!(found.rows.iter().all(|row| !row.allowed) && (found.best - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_judge_that_fails_and_one_that_forgets_a_score_stop_the_sweep() {
        let base = model([0.0, 0.0]);
        let fails = |_: f32, _: &Parameters| Err("no photos".into());
        assert!(matches!(
            sweep(&base, &base, &[1.0], 1.0, 1.0, None, fails),
            Err(InterpolateError::Judge { .. })
        ));
        let forgets = |alpha: f32, _: &Parameters| {
            let general = if alpha == 0.0 {
                BTreeMap::from([("type".into(), 0.5)])
            } else {
                BTreeMap::new()
            };
            Ok(Verdict {
                ability: 0.5,
                general,
            })
        };
        assert!(matches!(
            sweep(&base, &base, &[1.0], 1.0, 1.0, None, forgets),
            Err(InterpolateError::Score { .. })
        ));
    }
}
