//! How far a change of the model is.

use std::time::Duration;

use crate::domain::Served;

/// How far a change is.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeStatus {
    pub served: Served,
    pub step: Step,
    /// Words and pictures that are embedded, and that wait.
    pub embedded: u64,
    pub waiting: u64,
    /// What is left of the embedding at the pace so far.
    pub remaining: Option<Duration>,
}

/// What a change is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Loading,
    Embedding,
    Indexing,
    Checking,
}

impl Step {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Embedding => "embedding",
            Self::Indexing => "indexing",
            Self::Checking => "checking",
        }
    }
}
