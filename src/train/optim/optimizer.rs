//! AdamW, SGD and Adagrad over the host's weights, step by step as PyTorch 2 defines them.
#![expect(
    clippy::inline_always,
    reason = "what runs in `vectorized` is vectorized where it is inlined alone"
)]

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::train::net::parameters::Parameters;
use crate::util::simd::vectorized;

/// Which rule, with its settings; the names, the meaning and the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// Decoupled weight decay (arXiv 1711.05101).
    Adamw {
        #[serde(default = "defaults::beta1")]
        beta1: f32,
        #[serde(default = "defaults::beta2")]
        beta2: f32,
        #[serde(default = "defaults::adamw_eps")]
        eps: f32,
        #[serde(default = "defaults::adamw_decay")]
        weight_decay: f32,
    },
    /// `v = momentum * v + (1 - dampening) * g`, the first velocity being the gradient itself;
    /// weight decay is added to the gradient.
    Sgd {
        #[serde(default)]
        momentum: f32,
        #[serde(default)]
        dampening: f32,
        #[serde(default)]
        nesterov: bool,
        #[serde(default)]
        weight_decay: f32,
    },
    /// Weight decay is added to the gradient.
    Adagrad {
        #[serde(default = "defaults::adagrad_eps")]
        eps: f32,
        #[serde(default)]
        lr_decay: f32,
        #[serde(default)]
        weight_decay: f32,
        #[serde(default)]
        initial_accumulator: f32,
    },
}

/// PyTorch's defaults, where they are not zero.
mod defaults {
    pub fn beta1() -> f32 {
        0.9
    }
    pub fn beta2() -> f32 {
        0.999
    }
    pub fn adamw_eps() -> f32 {
        1e-8
    }
    pub fn adamw_decay() -> f32 {
        0.01
    }
    pub fn adagrad_eps() -> f32 {
        1e-10
    }
}

impl Rule {
    /// What a slot holds at first.
    fn start(&self) -> f32 {
        match *self {
            Self::Adagrad {
                initial_accumulator,
                ..
            } => initial_accumulator,
            Self::Adamw { .. } | Self::Sgd { .. } => 0.0,
        }
    }

    /// How many arrays are remembered of each parameter.
    #[must_use]
    pub fn slots(&self) -> usize {
        match self {
            Self::Adamw { .. } => 2,
            Self::Sgd { .. } | Self::Adagrad { .. } => 1,
        }
    }

    /// Whether there is a momentum that a schedule could move: SGD's, or AdamW's `beta1`.
    #[must_use]
    pub fn has_momentum(&self) -> bool {
        !matches!(self, Self::Adagrad { .. })
    }

    /// The settings that cannot be, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let share = |v: f32| (0.0..1.0).contains(&v);
        let checks = match *self {
            Self::Adamw {
                beta1,
                beta2,
                eps,
                weight_decay,
            } => vec![
                (share(beta1) && share(beta2), "the betas are in [0, 1)"),
                (eps > 0.0, "eps is positive"),
                (weight_decay >= 0.0, "weight_decay is not negative"),
            ],
            Self::Sgd {
                momentum,
                dampening,
                nesterov,
                weight_decay,
            } => vec![
                (share(momentum), "momentum is in [0, 1)"),
                ((0.0..=1.0).contains(&dampening), "dampening is in [0, 1]"),
                (
                    !nesterov || (momentum > 0.0 && dampening == 0.0),
                    "nesterov needs a momentum and no dampening",
                ),
                (weight_decay >= 0.0, "weight_decay is not negative"),
            ],
            Self::Adagrad {
                eps,
                lr_decay,
                weight_decay,
                initial_accumulator,
            } => vec![
                (eps > 0.0, "eps is positive"),
                (
                    lr_decay >= 0.0 && weight_decay >= 0.0,
                    "lr_decay and weight_decay are not negative",
                ),
                (
                    initial_accumulator >= 0.0,
                    "initial_accumulator is not negative",
                ),
            ],
        };
        checks
            .iter()
            .filter(|(right, _)| !right)
            .map(|(_, rule)| format!("optimizer.rule: {rule}"))
            .collect()
    }
}

/// How one parameter is treated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Treatment {
    /// Factor on the learning rate; 0 leaves the parameter as it is.
    pub rate: f32,
    /// Whether weight decay applies.
    pub decays: bool,
}

/// The rule with what it remembers of each parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    rule: Rule,
    /// Steps taken.
    pub steps: u64,
    /// For each parameter its slots: AdamW's first and second moment, SGD's velocity, Adagrad's sum
    /// of squares; none before its first gradient, so that what is frozen costs nothing.
    pub slots: Vec<Vec<Vec<f32>>>,
}

impl Optimizer {
    #[must_use]
    pub fn new(rule: Rule, parameters: &Parameters) -> Self {
        Self {
            rule,
            steps: 0,
            slots: vec![Vec::new(); parameters.0.len()],
        }
    }

    /// Takes another momentum from the next step on, as PyTorch's CyclicLR sets SGD's `momentum`
    /// and AdamW's `beta1`.
    pub fn set_momentum(&mut self, to: f32) {
        match &mut self.rule {
            Rule::Adamw { beta1, .. } => *beta1 = to,
            Rule::Sgd { momentum, .. } => *momentum = to,
            Rule::Adagrad { .. } => {}
        }
    }

    /// One step. A parameter without a gradient stays as it is, as in PyTorch.
    ///
    /// # Panics
    /// If the lists differ in length.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradients: &[Option<Vec<f32>>],
        rate: f32,
        treatments: &[Treatment],
    ) {
        assert_eq!(parameters.0.len(), gradients.len());
        assert_eq!(parameters.0.len(), treatments.len());
        self.steps += 1;
        let (rule, steps) = (&self.rule, self.steps);
        parameters
            .0
            .par_iter_mut()
            .zip(&mut self.slots)
            .zip(gradients)
            .zip(treatments)
            .for_each(|(((parameter, slots), gradient), treatment)| {
                if let Some(gradient) = gradient {
                    let first = slots.is_empty();
                    if first {
                        *slots = vec![vec![rule.start(); gradient.len()]; rule.slots()];
                    }
                    let at = At {
                        steps,
                        first,
                        rate: rate * treatment.rate,
                        decays: treatment.decays,
                    };
                    vectorized(
                        #[inline(always)]
                        || rule.apply(at, &mut parameter.values, slots, gradient),
                    );
                }
            });
    }
}

/// Where a parameter's step is taken.
#[derive(Clone, Copy)]
struct At {
    /// Steps of the run, this one included.
    steps: u64,
    /// Whether the parameter has not moved before.
    first: bool,
    rate: f32,
    decays: bool,
}

impl Rule {
    #[inline(always)]
    fn apply(&self, at: At, w: &mut [f32], slots: &mut [Vec<f32>], gradient: &[f32]) {
        let At {
            steps,
            first,
            rate,
            decays,
        } = at;
        let decay = |weight_decay: f32| if decays { weight_decay } else { 0.0 };
        match *self {
            Self::Adamw {
                beta1,
                beta2,
                eps,
                weight_decay,
            } => {
                let [mean, square] = slots else {
                    unreachable!("AdamW keeps two moments")
                };
                let correction = |beta: f32| 1.0 - f64::from(beta).powf(steps_f64(steps));
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "arithmetic in f32, as in PyTorch"
                )]
                let (size, root) = (
                    (f64::from(rate) / correction(beta1)) as f32,
                    correction(beta2).sqrt() as f32,
                );
                let keep = 1.0 - rate * decay(weight_decay);
                for (((w, m), v), &g) in w.iter_mut().zip(mean).zip(square).zip(gradient) {
                    *m += (g - *m) * (1.0 - beta1);
                    *v = *v * beta2 + g * g * (1.0 - beta2);
                    *w = *w * keep - size * *m / (v.sqrt() / root + eps);
                }
            }
            Self::Sgd {
                momentum,
                dampening,
                nesterov,
                weight_decay,
            } => {
                let decay = decay(weight_decay);
                // The first velocity is the gradient itself, and so is every one without momentum.
                let take = if first || momentum == 0.0 {
                    1.0
                } else {
                    1.0 - dampening
                };
                for ((w, v), &g) in w.iter_mut().zip(&mut slots[0]).zip(gradient) {
                    let g = g + decay * *w;
                    *v = momentum * *v + take * g;
                    *w -= rate * if nesterov { g + momentum * *v } else { *v };
                }
            }
            Self::Adagrad {
                eps,
                lr_decay,
                weight_decay,
                ..
            } => {
                let decay = decay(weight_decay);
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "arithmetic in f32, as in PyTorch"
                )]
                let rate = (f64::from(rate)
                    / (1.0 + (steps_f64(steps) - 1.0) * f64::from(lr_decay)))
                    as f32;
                for ((w, s), &g) in w.iter_mut().zip(&mut slots[0]).zip(gradient) {
                    let g = g + decay * *w;
                    *s += g * g;
                    *w -= rate * g / (s.sqrt() + eps);
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody takes 2^52 steps")]
fn steps_f64(steps: u64) -> f64 {
    steps as f64
}

/// Scales all gradients together so that their common norm is at most `largest`; returns the norm
/// before.
///
/// PyTorch's `clip_grad_norm_`, with its 1e-6 in the denominator.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the factor is applied in f32"
)]
pub fn clip(gradients: &mut [Option<Vec<f32>>], largest: f32) -> f32 {
    let sum: f64 = gradients
        .par_iter()
        .flatten()
        .map(|g| {
            vectorized(
                #[inline(always)]
                || squares(g),
            )
        })
        .sum();
    let norm = sum.sqrt();
    let factor = (f64::from(largest) / (norm + 1e-6)).min(1.0) as f32;
    if factor < 1.0 {
        gradients.par_iter_mut().flatten().for_each(|g| {
            vectorized(
                #[inline(always)]
                || g.iter_mut().for_each(|x| *x *= factor),
            );
        });
    }
    norm as f32
}

/// The sum of squares: 16 sums in f32 for each few thousand numbers, these in f64.
#[inline(always)]
fn squares(values: &[f32]) -> f64 {
    let of = |chunk: &[f32]| {
        let mut sums = [0.0_f32; 16];
        let mut rows = chunk.chunks_exact(16);
        for row in &mut rows {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += x * x;
            }
        }
        f64::from(sums.iter().sum::<f32>() + rows.remainder().iter().map(|x| x * x).sum::<f32>())
    };
    values.chunks(4096).map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_leaves_out_is_pytorchs_default() {
        let parse = |text: &str| toml::from_str::<Rule>(text).expect("a rule");
        let adamw = Rule::Adamw {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
        };
        assert_eq!(parse("kind = 'adamw'"), adamw);
        let sgd = Rule::Sgd {
            momentum: 0.9,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        };
        assert_eq!(parse("kind = 'sgd'\nmomentum = 0.9"), sgd);
        let adagrad = Rule::Adagrad {
            eps: 1e-10,
            lr_decay: 0.0,
            weight_decay: 0.0,
            initial_accumulator: 0.0,
        };
        assert_eq!(parse("kind = 'adagrad'"), adagrad);
        assert!(
            toml::from_str::<Rule>("kind = 'sgd'\nbeta1 = 0.9").is_err(),
            "no field of SGD's"
        );
    }

    #[test]
    fn nesterov_needs_a_momentum_and_no_dampening() {
        let rule = |momentum, dampening| Rule::Sgd {
            momentum,
            dampening,
            nesterov: true,
            weight_decay: 0.0,
        };
        assert!(rule(0.9, 0.0).problems().is_empty());
        assert_eq!(
            (
                rule(0.0, 0.0).problems().len(),
                rule(0.9, 0.5).problems().len()
            ),
            (1, 1)
        );
    }
}
