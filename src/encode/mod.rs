//! Words or pixels -> [`Embedding`]: the one door to the model.
//!
//! `text` tokenizes, `image` decodes and resizes, `batcher` gathers requests, `session` runs them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::domain::{Embedding, EmbeddingError, ModelId};
use crate::model::ModelFolder;

pub mod image;

pub use image::{ImageError, ImageLimits};

/// A cheap, clonable handle; the sessions' threads end when the last one is dropped.
#[derive(Clone)]
pub struct Encoder {
    inner: Arc<Inner>,
}
struct Inner {}

/// Which hardware is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// CUDA where it works, else the CPU (said in the log, `/readyz` and `/metrics`).
    Auto,
    Cpu,
    /// CUDA, or an error at the start.
    Cuda,
}

/// Which ONNX Runtime execution provider is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    Cpu,
    Cuda,
}

/// Searches go before the embedding of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    Search,
    Bulk,
}

#[derive(Clone, Debug)]
pub struct EncoderOptions {
    /// `libonnxruntime.so`, or the folder that holds it.
    pub runtime: PathBuf,
    pub device: Device,
    pub text_sessions: usize,
    pub image_sessions: usize,
    /// Threads within one session.
    pub intra_threads: usize,
    /// Requests that may wait, per tower; one more is [`EncodeError::Overloaded`].
    pub queue: usize,
    pub max_batch: usize,
    /// How long a batch waits for company when sessions are idle; zero: not at all.
    pub max_wait: Duration,
    /// Query embeddings kept, by model and normalized text.
    pub cache: u64,
    pub image_limits: ImageLimits,
}

#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("more requests are waiting than the queue holds")]
    Overloaded,
    #[error("the request's time was over before its turn came")]
    Expired,
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("the model made no valid embedding: {0}")]
    Embedding(#[from] EmbeddingError),
    #[error("the inference worker has ended")]
    WorkerGone,
}

impl Encoder {
    pub fn start(folder: &ModelFolder, options: &EncoderOptions) -> Result<Self, EncodeError> {
        todo!("{folder:?} {options:?}")
    }
    /// Embeds words. `deadline`: after it, the request is skipped and answered [`EncodeError::Expired`].
    pub async fn text(
        &self,
        text: &str,
        priority: Priority,
        deadline: Option<Instant>,
    ) -> Result<Embedding, EncodeError> {
        todo!("{text} {priority:?} {deadline:?}")
    }
    /// Embeds a photo given as the bytes of its file (JPEG, PNG, WebP, GIF, BMP).
    pub async fn image(
        &self,
        file: Bytes,
        priority: Priority,
        deadline: Option<Instant>,
    ) -> Result<Embedding, EncodeError> {
        todo!("{} {priority:?} {deadline:?}", file.len())
    }
    /// Runs one real embedding through each tower, past the cache: readiness.
    pub async fn probe(&self) -> Result<(), EncodeError> {
        todo!()
    }
    #[must_use]
    pub fn provider(&self) -> Provider {
        todo!()
    }
    #[must_use]
    pub fn model_id(&self) -> &ModelId {
        todo!()
    }
    #[must_use]
    pub fn model_name(&self) -> &str {
        todo!()
    }
    #[must_use]
    pub fn dimensions(&self) -> usize {
        todo!()
    }
}
