//! How long a run is, how fast it goes, and what it watches.

use std::time::Duration;

use super::epochs::Keep;
use super::losses::LossWeights;
use super::metrics::Watch;
use super::training::Training;
use crate::train::optim::optimizer::Rule;
use crate::train::optim::scheduler::Schedule;

/// The plan of a run, made of its recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPlan {
    pub seed: u64,
    pub rule: Rule,
    /// Largest learning rate, steps of linear warm-up to it, and how it goes on.
    pub rate: f32,
    pub warmup: u64,
    pub schedule: Schedule,
    pub training: Training,
    /// Batches whose gradients are averaged into one step. Each is contrasted within itself alone.
    pub accumulate: u64,
    /// The run ends after so many steps,
    pub steps: u64,
    /// or after so much time, whichever is first; the learning rate follows whichever is further.
    pub time: Option<Duration>,
    /// Share of the patches kept, and until which part of the run; then all are.
    pub keep_patches: f32,
    pub keep_until: f32,
    /// Largest common norm of the gradients.
    pub clip: f32,
    /// Decay of the averaged weights, per step.
    pub average: f32,
    pub weights: LossWeights,
    /// Steps between checkpoints with validation.
    pub validate_every: u64,
    /// What is watched: it chooses the best checkpoint and drives ReduceLROnPlateau.
    pub watch: Watch,
    /// The run stops after so many validations in a row without a new best.
    pub patience: Option<u64>,
    /// Which validations leave a model folder.
    pub keep_epochs: Keep,
}
