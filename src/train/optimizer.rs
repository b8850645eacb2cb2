//! AdamW, SGD and Adagrad over the host's weights, step by step as PyTorch 2 defines them.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::network::Parameters;
use super::wide::wide;

/// Which rule, with its settings; the names and the meaning are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// Decoupled weight decay (arXiv 1711.05101).
    Adamw { beta1: f32, beta2: f32, eps: f32, weight_decay: f32 },
    /// Momentum as PyTorch has it: `v = momentum * v + g`, no dampening; weight decay is added to the gradient.
    Sgd { momentum: f32, nesterov: bool, weight_decay: f32 },
    /// Weight decay is added to the gradient.
    Adagrad { eps: f32, lr_decay: f32, weight_decay: f32, initial_accumulator: f32 },
}

impl Rule {
    /// What a slot holds at first.
    fn start(&self) -> f32 {
        match *self {
            Self::Adagrad { initial_accumulator, .. } => initial_accumulator,
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

    /// The settings that cannot be, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let share = |v: f32| (0.0..1.0).contains(&v);
        let checks = match *self {
            Self::Adamw { beta1, beta2, eps, weight_decay } => vec![
                (share(beta1) && share(beta2), "the betas are in [0, 1)"),
                (eps > 0.0, "eps is positive"),
                (weight_decay >= 0.0, "weight_decay is not negative"),
            ],
            Self::Sgd { momentum, nesterov, weight_decay } => vec![
                (share(momentum), "momentum is in [0, 1)"),
                (!nesterov || momentum > 0.0, "nesterov needs a momentum"),
                (weight_decay >= 0.0, "weight_decay is not negative"),
            ],
            Self::Adagrad { eps, lr_decay, weight_decay, initial_accumulator } => vec![
                (eps > 0.0, "eps is positive"),
                (lr_decay >= 0.0 && weight_decay >= 0.0, "lr_decay and weight_decay are not negative"),
                (initial_accumulator >= 0.0, "initial_accumulator is not negative"),
            ],
        };
        checks.iter().filter(|(right, _)| !right).map(|(_, rule)| format!("optimizer.rule: {rule}")).collect()
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
    /// For each parameter its slots: AdamW's first and second moment, SGD's velocity, Adagrad's sum of squares; none
    /// before its first gradient, so that what is frozen costs nothing.
    pub slots: Vec<Vec<Vec<f32>>>,
}

impl Optimizer {
    #[must_use]
    pub fn new(rule: Rule, parameters: &Parameters) -> Self {
        Self { rule, steps: 0, slots: vec![Vec::new(); parameters.0.len()] }
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
        parameters.0.par_iter_mut().zip(&mut self.slots).zip(gradients).zip(treatments).for_each(
            |(((parameter, slots), gradient), treatment)| {
                if let Some(gradient) = gradient {
                    if slots.is_empty() {
                        *slots = vec![vec![rule.start(); gradient.len()]; rule.slots()];
                    }
                    let (rate, decays) = (rate * treatment.rate, treatment.decays);
                    wide(#[inline(always)] || rule.apply(steps, &mut parameter.values, slots, gradient, rate, decays));
                }
            },
        );
    }
}

impl Rule {
    #[inline(always)]
    fn apply(&self, steps: u64, w: &mut [f32], slots: &mut [Vec<f32>], gradient: &[f32], rate: f32, decays: bool) {
        let decay = |weight_decay: f32| if decays { weight_decay } else { 0.0 };
        match *self {
            Self::Adamw { beta1, beta2, eps, weight_decay } => {
                let [first, second] = slots else { unreachable!("AdamW keeps two moments") };
                let correction = |beta: f32| 1.0 - f64::from(beta).powf(steps_f64(steps));
                #[expect(clippy::cast_possible_truncation, reason = "arithmetic in f32, as in PyTorch")]
                let (size, root) = ((f64::from(rate) / correction(beta1)) as f32, correction(beta2).sqrt() as f32);
                let keep = 1.0 - rate * decay(weight_decay);
                for (((w, m), v), &g) in w.iter_mut().zip(first).zip(second).zip(gradient) {
                    *m += (g - *m) * (1.0 - beta1);
                    *v = *v * beta2 + g * g * (1.0 - beta2);
                    *w = *w * keep - size * *m / (v.sqrt() / root + eps);
                }
            }
            Self::Sgd { momentum, nesterov, weight_decay } => {
                let decay = decay(weight_decay);
                for ((w, v), &g) in w.iter_mut().zip(&mut slots[0]).zip(gradient) {
                    let g = g + decay * *w;
                    // The first velocity is the gradient itself: the buffer starts at zero.
                    *v = momentum * *v + g;
                    *w -= rate * if nesterov { g + momentum * *v } else { *v };
                }
            }
            Self::Adagrad { eps, lr_decay, weight_decay, .. } => {
                let decay = decay(weight_decay);
                #[expect(clippy::cast_possible_truncation, reason = "arithmetic in f32, as in PyTorch")]
                let rate = (f64::from(rate) / (1.0 + (steps_f64(steps) - 1.0) * f64::from(lr_decay))) as f32;
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

/// Scales all gradients together so that their common norm is at most `largest`; returns the norm before.
///
/// PyTorch's `clip_grad_norm_`, with its 1e-6 in the denominator.
#[expect(clippy::cast_possible_truncation, reason = "the factor is applied in f32")]
pub fn clip(gradients: &mut [Option<Vec<f32>>], largest: f32) -> f32 {
    let sum: f64 = gradients
        .par_iter()
        .flatten()
        .map(|g| wide(#[inline(always)] || squares(g)))
        .sum();
    let norm = sum.sqrt();
    let factor = (f64::from(largest) / (norm + 1e-6)).min(1.0) as f32;
    if factor < 1.0 {
        gradients.par_iter_mut().flatten().for_each(|g| wide(#[inline(always)] || g.iter_mut().for_each(|x| *x *= factor)));
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
