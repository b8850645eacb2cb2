//! How far a run is: what its checkpoint holds beside the arrays.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::checkpoint::{self, CheckpointError};
use crate::train::optim::scheduler::Plateau;

/// The state of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub(super) step: u64,
    pub(super) optimizer_steps: u64,
    pub(super) seconds: f64,
    /// Best watched figure, and validations since.
    pub(super) best: Option<f32>,
    pub(super) stale: u64,
    /// Validations so far; not there in checkpoints of older runs, whose schedule counted every one
    /// of them.
    pub(super) epoch: Option<u64>,
    /// Epochs that the schedule has counted: those after the warm-up.
    pub(super) epochs: u64,
    /// The validation that is the best so far.
    pub(super) best_epoch: u64,
    /// The first batch of whole images, once the time of the run has decided it.
    pub(super) full_from: Option<u64>,
    pub(super) plateau: Option<Plateau>,
    /// The scale of the low-rank pairs, if there are any (see [`crate::train::net::lora`]).
    pub adapters: Option<f32>,
}

impl State {
    /// Reads it from a checkpoint's table.
    ///
    /// # Errors
    /// If it is not there or broken.
    pub fn parse(path: &Path, metadata: &checkpoint::Metadata) -> Result<Self, CheckpointError> {
        let state = metadata
            .get("run")
            .ok_or(CheckpointError::NoState { path: path.into() })?;
        serde_json::from_str(state).map_err(|source| CheckpointError::State {
            path: path.into(),
            source,
        })
    }
}
