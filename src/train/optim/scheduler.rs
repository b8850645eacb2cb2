//! Learning rates over a run, number for number as PyTorch 2's schedulers give them, behind a
//! linear warm-up.
//!
//! A schedule gives the rate of each step ([`Scheduler::rate`]) and hears of each epoch's end with
//! the watched figure ([`Scheduler::epoch_ends`]): ReduceLROnPlateau, ExponentialLR and
//! CosineAnnealingLR move by epochs or by steps as the recipe's `per` says, CyclicLR by steps.

use serde::{Deserialize, Serialize};

/// Which schedule, with its settings; the names, the meaning and the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    Constant,
    /// From the full rate down half a cosine to `final_share` of it over the whole run, however its
    /// length is set (by steps or by minutes). CosineAnnealingLR for a run whose length is not
    /// known in advance.
    CosineToEnd {
        #[serde(default)]
        final_share: f64,
    },
    /// `rate * gamma^n`.
    Exponential {
        gamma: f64,
        #[serde(default)]
        per: Per,
    },
    /// `eta_min + (rate - eta_min) * (1 + cos(pi * n / t_max)) / 2`; past `t_max` it rises again,
    /// as in PyTorch.
    CosineAnnealing {
        t_max: u64,
        #[serde(default)]
        eta_min: f64,
        #[serde(default)]
        per: Per,
    },
    /// Up from `base` to the rate in `step_size_up` steps, down in `step_size_down`, again and
    /// again. Against it, with `cycle_momentum`, SGD's momentum (AdamW's `beta1`) goes down from
    /// `max_momentum` to `base_momentum`, in place of the rule's own.
    Cyclic {
        base: f64,
        #[serde(default = "defaults::step_size_up")]
        step_size_up: u64,
        /// As `step_size_up` when it is not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step_size_down: Option<u64>,
        #[serde(default)]
        mode: CyclicMode,
        #[serde(default = "defaults::gamma")]
        gamma: f64,
        #[serde(default = "defaults::cycle_momentum")]
        cycle_momentum: bool,
        #[serde(default = "defaults::base_momentum")]
        base_momentum: f64,
        #[serde(default = "defaults::max_momentum")]
        max_momentum: f64,
    },
    /// Multiplies by `factor` when the watched value has not improved for more than `patience`
    /// epochs.
    ReduceOnPlateau {
        #[serde(default)]
        mode: Mode,
        #[serde(default = "defaults::factor")]
        factor: f64,
        #[serde(default = "defaults::patience")]
        patience: u64,
        #[serde(default = "defaults::threshold")]
        threshold: f64,
        #[serde(default)]
        threshold_mode: ThresholdMode,
        #[serde(default)]
        cooldown: u64,
        #[serde(default)]
        min_rate: f64,
        #[serde(default = "defaults::eps")]
        eps: f64,
    },
}

/// PyTorch's defaults, where they are not zero.
mod defaults {
    pub fn step_size_up() -> u64 {
        2000
    }
    pub fn gamma() -> f64 {
        1.0
    }
    pub fn cycle_momentum() -> bool {
        true
    }
    pub fn base_momentum() -> f64 {
        0.8
    }
    pub fn max_momentum() -> f64 {
        0.9
    }
    pub fn factor() -> f64 {
        0.1
    }
    pub fn patience() -> u64 {
        10
    }
    pub fn threshold() -> f64 {
        1e-4
    }
    pub fn eps() -> f64 {
        1e-8
    }
}

impl Schedule {
    /// The settings that cannot be, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let checks = match *self {
            Self::Constant => vec![],
            Self::CosineToEnd { final_share } => vec![(
                (0.0..=1.0).contains(&final_share),
                "final_share is in [0, 1]",
            )],
            Self::Exponential { gamma, .. } => {
                vec![(gamma > 0.0 && gamma <= 1.0, "gamma is in (0, 1]")]
            }
            Self::CosineAnnealing { t_max, eta_min, .. } => {
                vec![
                    (t_max >= 1, "t_max is at least 1"),
                    (eta_min >= 0.0, "eta_min is not negative"),
                ]
            }
            Self::Cyclic {
                base,
                step_size_up,
                step_size_down,
                gamma,
                base_momentum,
                max_momentum,
                ..
            } => vec![
                (base >= 0.0, "base is not negative"),
                (
                    step_size_up >= 1 && step_size_down.is_none_or(|d| d >= 1),
                    "the step sizes are at least 1",
                ),
                (gamma > 0.0 && gamma <= 1.0, "gamma is in (0, 1]"),
                (
                    0.0 <= base_momentum && base_momentum <= max_momentum && max_momentum < 1.0,
                    "base_momentum and max_momentum are in [0, 1), in this order",
                ),
            ],
            Self::ReduceOnPlateau {
                factor,
                threshold,
                min_rate,
                eps,
                ..
            } => vec![
                (factor > 0.0 && factor < 1.0, "factor is in (0, 1)"),
                (
                    threshold >= 0.0 && min_rate >= 0.0 && eps >= 0.0,
                    "threshold, min_rate and eps are not negative",
                ),
            ],
        };
        checks
            .iter()
            .filter(|(right, _)| !right)
            .map(|(_, rule)| format!("optimizer.schedule: {rule}"))
            .collect()
    }
}

/// What a schedule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    Step,
    #[default]
    Epoch,
}

/// How CyclicLR's amplitude develops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CyclicMode {
    /// Stays.
    #[default]
    Triangular,
    /// Halves with each cycle.
    Triangular2,
    /// Shrinks by `gamma` with each step.
    ExpRange,
}

/// Whether less or more is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Min,
    Max,
}

/// What the threshold is a share of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdMode {
    /// Of the best value.
    #[default]
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
        let plateau = Plateau {
            rate,
            best: None,
            bad: 0,
            cooling: 0,
        };
        Self {
            schedule,
            rate,
            warmup,
            epochs: 0,
            plateau,
        }
    }

    /// The learning rate of the step after `step` steps, `progress` (0 to 1) into the run.
    ///
    /// During the warm-up it is the first `(step + 1) / warmup` of the schedule's first rate; the
    /// schedule begins to count when the warm-up is over.
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
                    + (1.0 - final_share)
                        * 0.5
                        * (1.0 + (std::f64::consts::PI * f64::from(progress)).cos()))
            }
            Schedule::Exponential { gamma, per } => rate * gamma.powf(count(per)),
            Schedule::CosineAnnealing {
                t_max,
                eta_min,
                per,
            } => {
                eta_min
                    + (rate - eta_min)
                        * 0.5
                        * (1.0 + (std::f64::consts::PI * count(per) / t_max as f64).cos())
            }
            Schedule::Cyclic { base, .. } => base + (rate - base) * self.height(step),
            Schedule::ReduceOnPlateau { .. } => self.plateau.rate,
        }
    }

    /// How high CyclicLR is above its base, as a share of its whole amplitude.
    #[expect(clippy::cast_precision_loss, reason = "nobody takes 2^52 steps")]
    fn height(&self, step: u64) -> f64 {
        let Schedule::Cyclic {
            step_size_up,
            step_size_down,
            mode,
            gamma,
            ..
        } = self.schedule
        else {
            return 0.0;
        };
        let up = step_size_up as f64;
        let total = up + step_size_down.unwrap_or(step_size_up) as f64;
        let cycle = (step as f64 / total).floor();
        let at = step as f64 / total - cycle;
        let peak = up / total;
        let height = if at <= peak {
            at / peak
        } else {
            (at - 1.0) / (peak - 1.0)
        };
        let scale = match mode {
            CyclicMode::Triangular => 1.0,
            CyclicMode::Triangular2 => 0.5_f64.powf(cycle),
            CyclicMode::ExpRange => gamma.powf(step as f64),
        };
        height * scale
    }

    /// The momentum of the step after `step` steps, where the schedule moves it; the warm-up has
    /// the first one.
    #[must_use]
    pub fn momentum(&self, step: u64) -> Option<f64> {
        match self.schedule {
            Schedule::Cyclic {
                cycle_momentum: true,
                base_momentum,
                max_momentum,
                ..
            } => {
                let height = self.height(step.saturating_sub(self.warmup));
                Some(max_momentum - (max_momentum - base_momentum) * height)
            }
            _ => None,
        }
    }

    /// An epoch is over; `value` is the watched metric. Not to be called during the warm-up's
    /// epochs.
    pub fn epoch_ends(&mut self, value: f64) {
        self.epochs += 1;
        let Schedule::ReduceOnPlateau {
            mode,
            factor,
            patience,
            threshold,
            threshold_mode,
            cooldown,
            min_rate,
            eps,
        } = self.schedule
        else {
            return;
        };
        let state = &mut self.plateau;
        // Beyond every number at first, so that NaN is never the best.
        let best = state.best.unwrap_or(if mode == Mode::Min {
            f64::INFINITY
        } else {
            f64::NEG_INFINITY
        });
        let better = match (mode, threshold_mode) {
            (Mode::Min, ThresholdMode::Rel) => value < best * (1.0 - threshold),
            (Mode::Min, ThresholdMode::Abs) => value < best - threshold,
            (Mode::Max, ThresholdMode::Rel) => value > best * (threshold + 1.0),
            (Mode::Max, ThresholdMode::Abs) => value > best + threshold,
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plateau(more: &str) -> Schedule {
        toml::from_str(&format!("kind = 'reduce_on_plateau'\n{more}")).expect("a schedule")
    }

    #[test]
    fn what_a_schedule_leaves_out_is_pytorchs_default() {
        let wanted = Schedule::ReduceOnPlateau {
            mode: Mode::Min,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            threshold_mode: ThresholdMode::Rel,
            cooldown: 0,
            min_rate: 0.0,
            eps: 1e-8,
        };
        assert_eq!(plateau(""), wanted);
        let cyclic: Schedule = toml::from_str("kind = 'cyclic'\nbase = 1e-3").expect("a schedule");
        let wanted = Schedule::Cyclic {
            base: 1e-3,
            step_size_up: 2000,
            step_size_down: None,
            mode: CyclicMode::Triangular,
            gamma: 1.0,
            cycle_momentum: true,
            base_momentum: 0.8,
            max_momentum: 0.9,
        };
        assert_eq!(cyclic, wanted);
        let cosine: Schedule =
            toml::from_str("kind = 'cosine_annealing'\nt_max = 9").expect("a schedule");
        assert_eq!(
            cosine,
            Schedule::CosineAnnealing {
                t_max: 9,
                eta_min: 0.0,
                per: Per::Epoch
            }
        );
        let exponential: Schedule =
            toml::from_str("kind = 'exponential'\ngamma = 0.9").expect("a schedule");
        assert_eq!(
            exponential,
            Schedule::Exponential {
                gamma: 0.9,
                per: Per::Epoch
            }
        );
    }

    #[test]
    fn a_first_value_that_is_no_number_is_never_the_best() {
        let mut scheduler = Scheduler::new(plateau("patience = 1"), 1.0, 0);
        scheduler.epoch_ends(f64::NAN);
        assert_eq!((scheduler.plateau.best, scheduler.plateau.bad), (None, 1));
        scheduler.epoch_ends(2.0);
        assert_eq!(
            (scheduler.plateau.best, scheduler.plateau.bad),
            (Some(2.0), 0)
        );
    }
}
