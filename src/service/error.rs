//! Why a request has no answer.

use std::sync::Arc;

use crate::catalog::CatalogError;
use crate::domain::ValueType;
use crate::encode::EncodeError;
use crate::index::SearchError;
use crate::util::batcher::BatchError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("the catalog is still being prepared; /readyz reports how far it is")]
    NotReady,
    #[error("{name:?} is not an attribute of the products")]
    UnknownAttribute { name: String, known: Vec<String> },
    #[error("{range:?} is not a range of {name:?}, whose values are {}", of(*.kind))]
    NoRange {
        name: String,
        kind: ValueType,
        range: String,
    },
    #[error("products cannot be grouped by {name:?}: it is not an attribute")]
    NoGroup { name: String },
    #[error("there is no product {id:?}")]
    NoProduct { id: String },
    #[error("the product {id:?} has no embedding yet, so nothing can be compared with it")]
    NotEmbedded { id: String },
    #[error("there is no model folder {name:?}")]
    NoModel { name: String },
    #[error("more requests are waiting than can be answered in time")]
    Overloaded,
    #[error("the request's time was over before its turn came")]
    Late,
    #[error("the query could not be embedded: {0}")]
    Encode(#[source] EncodeError),
    #[error("the index could not be searched: {0}")]
    Index(#[source] SearchError),
    #[error("the catalog could not be read: {0}")]
    Catalog(#[from] CatalogError),
    #[error("a search ended without a result: {0}")]
    Failed(Arc<str>),
}

/// What ranges of such values are of.
fn of(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Text => "text; the file that the setting `types` names says what they are",
        ValueType::Number => "numbers",
        ValueType::Boolean => "true or false",
        ValueType::Date => "dates: 2026-11-29, or a time as RFC 3339 writes it",
    }
}

impl From<EncodeError> for ServiceError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Overloaded => Self::Overloaded,
            EncodeError::Expired => Self::Late,
            other => Self::Encode(other),
        }
    }
}

impl From<BatchError> for ServiceError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Overloaded => Self::Overloaded,
            BatchError::Expired => Self::Late,
            BatchError::Closed => Self::Failed("the service has stopped".into()),
            BatchError::Failed(reason) => Self::Failed(reason),
        }
    }
}
