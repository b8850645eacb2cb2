//! Why a question is not answered.

use super::embedder::EmbedderError;
use crate::domain::{ProductError, QueryError};
use crate::evaluate::data::labeled_catalog::LabeledCatalogError;
use crate::index::vectors::IndexError;

/// What a service answered, or why it did not.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{url}: {source}")]
    Transport {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("{url} answered {status}{}: {detail}", if code.is_empty() { String::new() } else { format!(" ({code})") })]
    Status {
        url: String,
        status: u16,
        code: String,
        detail: String,
    },
    #[error("{url} answered what this program cannot read: {reason}")]
    Answer { url: String, reason: String },
}

/// Why a model folder or a service does not answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Embedder(#[from] EmbedderError),
    #[error(transparent)]
    Catalog(#[from] LabeledCatalogError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the question cannot be asked: {0}")]
    Query(#[from] QueryError),
    #[error("the answer holds something that is not a product: {0}")]
    Product(#[from] ProductError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("the service did not answer: {0}")]
    Service(String),
    #[error("no picture of the catalog could be embedded; the first: {first}")]
    NothingEmbedded { first: String },
}
