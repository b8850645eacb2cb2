//! The report of `/readyz` as clients see it.

use serde::Serialize;
use utoipa::ToSchema;

use super::view::{ModelInfo, index_version};
use crate::catalog::{Counts, Waiting};
use crate::encode::Provider;
use crate::service;

/// Whether searches are answered, and with what.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    /// Why not, when it is not.
    pub reasons: Vec<String>,
    /// What does not work though searches are answered: the server of the catalog is away, say.
    pub warnings: Vec<String>,
    pub model: ModelInfo,
    /// The execution provider in use: `cpu` or `cuda`.
    #[schema(value_type = String)]
    pub provider: Provider,
    /// Why the provider is not the one that was asked for, when it is not.
    pub provider_fallback: Option<String>,
    /// What the last real embedding of a probe took; some seconds old, or older when the model is
    /// too busy for another.
    pub embedding_ms: Option<f64>,
    pub index_version: String,
    /// Products in the index.
    pub products: usize,
    /// How far the catalog is embedded, as it was last counted.
    pub catalog: Option<CatalogProgress>,
    /// What waits to be embedded, as it was last counted: some seconds old at most while the catalog
    /// can be read. Null until it was counted.
    pub embedding_queue: Option<EmbeddingQueue>,
}

/// Pictures and words that wait to be embedded by the model in use.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingQueue {
    /// For their first try.
    pub waiting: u64,
    /// For another try: they could not be read or embedded the last time.
    pub retrying: u64,
}

impl From<Waiting> for EmbeddingQueue {
    fn from(waiting: Waiting) -> Self {
        Self {
            waiting: waiting.waiting,
            retrying: waiting.retrying,
        }
    }
}

/// How far the embedding of the catalog is.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogProgress {
    pub products: u64,
    /// Products whose picture is embedded by the model in use.
    pub embedded: u64,
    /// Products whose picture or words still wait for it.
    pub pending: u64,
    /// Products without a picture that can be read: found by their words alone.
    pub without_picture: u64,
}

impl From<Counts> for CatalogProgress {
    fn from(counts: Counts) -> Self {
        let Counts {
            products,
            embedded,
            without_embedding,
            pending,
        } = counts;
        Self {
            products,
            embedded,
            pending,
            without_picture: without_embedding,
        }
    }
}

impl From<service::Readiness> for Readiness {
    fn from(report: service::Readiness) -> Self {
        Self {
            ready: report.reasons.is_empty(),
            reasons: report.reasons,
            warnings: report.warnings,
            model: report.model.into(),
            provider: report.encoder.provider,
            provider_fallback: report.encoder.fallback,
            embedding_ms: report.embedding_ms,
            index_version: index_version(&report.index),
            products: report.products,
            catalog: report.counts.map(CatalogProgress::from),
            embedding_queue: report.queue.map(EmbeddingQueue::from),
        }
    }
}

/// An execution provider as a label of metrics.
pub fn provider(provider: Provider) -> &'static str {
    match provider {
        Provider::Cpu => "cpu",
        Provider::Cuda => "cuda",
    }
}
