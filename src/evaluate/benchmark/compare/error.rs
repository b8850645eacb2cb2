//! Why a comparison cannot be made.

use std::path::PathBuf;

use crate::evaluate::benchmark::zero_shot::ZeroShotError;
use crate::evaluate::subject::EngineError;
use crate::evaluate::subject::embedder::EmbedderError;
use crate::model::{ExportError, ModelError};

#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error(
        "{path} is not a model folder, a checkpoint or a training run, and holds none: a model folder has model.json, \
         a checkpoint config.json and model.safetensors, a run config.json and last.safetensors"
    )]
    NoModel { path: PathBuf },
    #[error("{path}: {source}")]
    Export {
        path: PathBuf,
        source: Box<ExportError>,
    },
    #[error("there is nothing to ask: give a suite, a catalog or labeled images")]
    NothingToAsk,
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Embedder(#[from] EmbedderError),
    #[error(transparent)]
    ZeroShot(#[from] ZeroShotError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}
