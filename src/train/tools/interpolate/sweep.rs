//! A sweep over the shares of a mixture: each is measured, and the best is chosen.

use std::collections::BTreeMap;

use serde::Serialize;

use super::mixture::{MixtureError, between};
use crate::train::net::parameters::Parameters;

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Mixture(#[from] MixtureError),
    #[error("the model at alpha {alpha} was not measured by {name}, as the base was")]
    Score { alpha: f32, name: String },
    #[error("measuring alpha {alpha}: {source}")]
    Measure {
        alpha: f32,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What a model can do, measured on validation data; shares of 1, more is better.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Abilities {
    /// The new ability.
    pub ability: f64,
    /// The abilities of the base that are to be kept, by name.
    pub general: BTreeMap<String, f64>,
}

/// A model of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mixture {
    pub alpha: f32,
    #[serde(flatten)]
    pub abilities: Abilities,
    /// The most that one of the base's abilities has lost, in points (hundredths); negative if all
    /// gained.
    pub lost: f64,
    /// Whether that is at most what may be lost.
    pub allowed: bool,
}

/// All models of a sweep, and which of them is best.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// By alpha; the base is the first.
    pub rows: Vec<Mixture>,
    /// Points that an ability of the base may lose.
    pub most_lost: f64,
    /// The alpha with the best new ability among the allowed; of equals the one nearest to the
    /// base.
    pub best: f32,
}

/// Measures the model at every alpha, 0 (the base) included, its text tower at `text_share` of the
/// way ([`between`]), and chooses: the best new ability, subject to at most `most_lost` points lost
/// on each of the base's abilities; where every model loses more, the one that loses least.
///
/// `before`: the base's abilities where they are not those of alpha 0, because the base was brought
/// to another input for the sweep, which costs it something that is lost too.
///
/// # Errors
/// If the two have different parameters, an alpha is not a share, or `measure` fails.
///
/// # Panics
/// Never: alpha 0 is always there.
pub fn sweep(
    base: &Parameters,
    tuned: &Parameters,
    alphas: &[f32],
    text_share: f32,
    most_lost: f64,
    before: Option<&Abilities>,
    mut measure: impl FnMut(
        f32,
        &Parameters,
    ) -> Result<Abilities, Box<dyn std::error::Error + Send + Sync>>,
) -> Result<Sweep, SweepError> {
    let mut alphas: Vec<f32> = alphas.iter().copied().chain([0.0]).collect();
    alphas.sort_by(f32::total_cmp);
    alphas.dedup();
    let mut rows: Vec<Mixture> = Vec::new();
    for alpha in alphas {
        let model = between(base, tuned, alpha, text_share)?;
        let abilities =
            measure(alpha, &model).map_err(|source| SweepError::Measure { alpha, source })?;
        let first = before.unwrap_or_else(|| rows.first().map_or(&abilities, |row| &row.abilities));
        let mut lost = f64::NEG_INFINITY;
        for (name, before) in &first.general {
            let now = abilities.general.get(name);
            let now = now.ok_or_else(|| SweepError::Score {
                alpha,
                name: name.clone(),
            })?;
            lost = lost.max((before - now) * 100.0);
        }
        // With a tolerance: 0.81 - 0.80 is a little more than one point in floating point.
        let allowed = lost <= most_lost + 1e-9;
        let lost = if lost.is_finite() { lost } else { 0.0 };
        rows.push(Mixture {
            alpha,
            abilities,
            lost,
            allowed,
        });
    }
    // Of equals the first, which is the nearest to the base.
    let able = rows.iter().rev().filter(|row| row.allowed);
    let able = able.max_by(|a, b| a.abilities.ability.total_cmp(&b.abilities.ability));
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
            .flat_map(|row| row.abilities.general.keys())
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
                row.abilities.ability * 100.0
            );
            for name in &names {
                let score = row
                    .abilities
                    .general
                    .get(*name)
                    .copied()
                    .unwrap_or(f64::NAN)
                    * 100.0;
                let _ = write!(out, " {score:>width$.2}", width = name.len().max(7));
            }
            let mark = if row.alpha.to_bits() == self.best.to_bits() {
                if row.allowed {
                    "  best"
                } else {
                    "  loses too much, but least"
                }
            } else if row.allowed {
                ""
            } else {
                "  loses too much"
            };
            let _ = writeln!(out, " {:>6.2}{mark}", row.lost);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::tools::interpolate::mixture::tests::model;

    #[test]
    fn the_best_ability_among_those_that_keep_the_bases_is_chosen() {
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
            Ok(Abilities {
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
            Ok(Abilities {
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
        let abilities = |type_: f64, ability: f64| Abilities {
            ability,
            general: BTreeMap::from([("type".into(), type_)]),
        };
        // At its own input the base had 0.80: brought to another it has 0.76, and tuning gives some
        // of that back.
        let judge = |alpha: f32, _: &Parameters| {
            Ok(abilities(
                0.76 + 0.04 * f64::from(alpha),
                0.5 - f64::from(alpha) / 9.0,
            ))
        };
        let before = abilities(0.80, 0.5);
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
            Some(&abilities(0.9, 0.5)),
            judge,
        )
        .expect("judged");
        assert!(found.rows.iter().all(|row| !row.allowed) && (found.best - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_measurement_that_fails_or_lacks_a_score_stops_the_sweep() {
        let base = model([0.0, 0.0]);
        let fails = |_: f32, _: &Parameters| Err("no photos".into());
        assert!(matches!(
            sweep(&base, &base, &[1.0], 1.0, 1.0, None, fails),
            Err(SweepError::Measure { .. })
        ));
        let forgets = |alpha: f32, _: &Parameters| {
            let general = if alpha == 0.0 {
                BTreeMap::from([("type".into(), 0.5)])
            } else {
                BTreeMap::new()
            };
            Ok(Abilities {
                ability: 0.5,
                general,
            })
        };
        assert!(matches!(
            sweep(&base, &base, &[1.0], 1.0, 1.0, None, forgets),
            Err(SweepError::Score { .. })
        ));
    }
}
