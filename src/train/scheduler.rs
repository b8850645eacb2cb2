//! Learning rates over a run, number for number as PyTorch 2's schedulers give them, behind a linear warm-up.
//!
//! A schedule is asked once per step ([`Scheduler::rate`]) and told of each epoch's end with the validation loss
//! ([`Scheduler::epoch_ends`]): ReduceLROnPlateau, ExponentialLR and CosineAnnealingLR move by epochs or by steps as
//! the recipe's `per` says, CyclicLR by steps.

use serde::{Deserialize, Serialize};

/// Which schedule, with its settings; the names and the meaning are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    Constant,
    /// From the full rate down half a cosine to `final_share` of it over the whole run, however its length is set
    /// (by steps or by minutes). CosineAnnealingLR for a run whose length is not known in advance.
    CosineToEnd {
        final_share: f64,
    },
    /// `rate * gamma^n`.
    Exponential {
        gamma: f64,
        per: Per,
    },
    /// `eta_min + (rate - eta_min) * (1 + cos(pi * n / t_max)) / 2`; past `t_max` it rises again, as in PyTorch.
    CosineAnnealing {
        t_max: u64,
        eta_min: f64,
        per: Per,
    },
    /// Up from `base` to the rate in `step_size_up` steps, down in `step_size_down`, again and again.
    Cyclic {
        base: f64,
        step_size_up: u64,
        step_size_down: Option<u64>,
        mode: CyclicMode,
        gamma: f64,
    },
    /// Multiplies by `factor` when the watched value has not improved for more than `patience` epochs.
    ReduceOnPlateau {
        mode: Mode,
        factor: f64,
        patience: u64,
        threshold: f64,
        threshold_mode: ThresholdMode,
        cooldown: u64,
        min_rate: f64,
        eps: f64,
    },
}

impl Schedule {
    /// The settings that cannot be, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let checks = match *self {
            Self::Constant => vec![],
            Self::CosineToEnd { final_share } => vec![((0.0..=1.0).contains(&final_share), "final_share is in [0, 1]")],
            Self::Exponential { gamma, .. } => vec![(gamma > 0.0 && gamma <= 1.0, "gamma is in (0, 1]")],
            Self::CosineAnnealing { t_max, eta_min, .. } => {
                vec![(t_max >= 1, "t_max is at least 1"), (eta_min >= 0.0, "eta_min is not negative")]
            }
            Self::Cyclic { base, step_size_up, step_size_down, gamma, .. } => vec![
                (base >= 0.0, "base is not negative"),
                (step_size_up >= 1 && step_size_down.is_none_or(|d| d >= 1), "the step sizes are at least 1"),
                (gamma > 0.0 && gamma <= 1.0, "gamma is in (0, 1]"),
            ],
            Self::ReduceOnPlateau { factor, threshold, min_rate, eps, .. } => vec![
                (factor > 0.0 && factor < 1.0, "factor is in (0, 1)"),
                (threshold >= 0.0 && min_rate >= 0.0 && eps >= 0.0, "threshold, min_rate and eps are not negative"),
            ],
        };
        checks.iter().filter(|(right, _)| !right).map(|(_, rule)| format!("optimizer.schedule: {rule}")).collect()
    }
}

/// What a schedule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    Step,
    Epoch,
}

/// How CyclicLR's amplitude develops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CyclicMode {
    /// Stays.
    Triangular,
    /// Halves with each cycle.
    Triangular2,
    /// Shrinks by `gamma` with each step.
    ExpRange,
}

/// Whether less or more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Min,
    Max,
}

/// What the threshold is a share of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdMode {
    /// Of the best value.
    Rel,
    /// Of nothing: it is added.
    Abs,
}

/// What ReduceLROnPlateau remembers; part of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    rate: f64,
    best: Option<f64>,
    bad: u64,
    cooling: u64,
}

/// A schedule under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduler {
    schedule: Schedule,
    rate: f64,
    warmup: u64,
    epochs: u64,
    plateau: Plateau,
}

impl Scheduler {
    /// `rate` is the largest learning rate; it is reached after `warmup` steps.
    #[must_use]
    pub fn new(schedule: Schedule, rate: f32, warmup: u64) -> Self {
        let rate = f64::from(rate);
        let plateau = Plateau { rate, best: None, bad: 0, cooling: 0 };
        Self { schedule, rate, warmup, epochs: 0, plateau }
    }

    /// The learning rate of the step after `step` steps, `progress` (0 to 1) into the run.
    ///
    /// During the warm-up it is the first `(step + 1) / warmup` of the schedule's first rate; the schedule begins to
    /// count when the warm-up is over.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nobody takes 2^52 steps")]
    pub fn rate(&self, step: u64, progress: f32) -> f64 {
        if step < self.warmup {
            return self.at(0, 0.0) * (step + 1) as f64 / self.warmup as f64;
        }
        self.at(step - self.warmup, progress)
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody takes 2^52 steps")]
    fn at(&self, step: u64, progress: f32) -> f64 {
        let rate = self.rate;
        let count = |per: Per| (if per == Per::Step { step } else { self.epochs }) as f64;
        match self.schedule {
            Schedule::Constant => rate,
            Schedule::CosineToEnd { final_share } => {
                rate * (final_share
                    + (1.0 - final_share) * 0.5 * (1.0 + (std::f64::consts::PI * f64::from(progress)).cos()))
            }
            Schedule::Exponential { gamma, per } => rate * gamma.powf(count(per)),
            Schedule::CosineAnnealing { t_max, eta_min, per } => {
                eta_min + (rate - eta_min) * 0.5 * (1.0 + (std::f64::consts::PI * count(per) / t_max as f64).cos())
            }
            Schedule::Cyclic { base, step_size_up, step_size_down, mode, gamma } => {
                let up = step_size_up as f64;
                let total = up + step_size_down.unwrap_or(step_size_up) as f64;
                let cycle = (step as f64 / total).floor();
                let at = step as f64 / total - cycle;
                let peak = up / total;
                let height = if at <= peak { at / peak } else { (at - 1.0) / (peak - 1.0) };
                let scale = match mode {
                    CyclicMode::Triangular => 1.0,
                    CyclicMode::Triangular2 => 0.5_f64.powf(cycle),
                    CyclicMode::ExpRange => gamma.powf(step as f64),
                };
                base + (rate - base) * height * scale
            }
            Schedule::ReduceOnPlateau { .. } => self.plateau.rate,
        }
    }

    /// An epoch is over; `value` is the watched metric. Not to be called during the warm-up's epochs.
    pub fn epoch_ends(&mut self, value: f64) {
        self.epochs += 1;
        let Schedule::ReduceOnPlateau { mode, factor, patience, threshold, threshold_mode, cooldown, min_rate, eps } =
            self.schedule
        else {
            return;
        };
        let state = &mut self.plateau;
        let better = state.best.is_none_or(|best| match (mode, threshold_mode) {
            (Mode::Min, ThresholdMode::Rel) => value < best * (1.0 - threshold),
            (Mode::Min, ThresholdMode::Abs) => value < best - threshold,
            (Mode::Max, ThresholdMode::Rel) => value > best * (threshold + 1.0),
            (Mode::Max, ThresholdMode::Abs) => value > best + threshold,
        });
        if better {
            state.best = Some(value);
            state.bad = 0;
        } else {
            state.bad += 1;
        }
        if state.cooling > 0 {
            state.cooling -= 1;
            state.bad = 0;
        }
        if state.bad > patience {
            let lower = (state.rate * factor).max(min_rate);
            if state.rate - lower > eps {
                state.rate = lower;
            }
            state.cooling = cooldown;
            state.bad = 0;
        }
    }

    /// What has to be kept to go on later.
    #[must_use]
    pub fn state(&self) -> (u64, Plateau) {
        (self.epochs, self.plateau)
    }

    /// Goes on from there.
    pub fn restore(&mut self, (epochs, plateau): (u64, Plateau)) {
        self.epochs = epochs;
        self.plateau = plateau;
    }
}
