//! What can go wrong with a request, and how it is reported: RFC 9457 problem documents with a stable
//! `code`.
//!
//! Handlers and extractors return an [`ApiError`]; `into_response` only sets the status and leaves
//! the error in the response's extensions. The outermost layer (`edge`) knows the request id,
//! writes the document and logs it once. Nothing of the database, the file system or the model is
//! shown to a client: such errors are [`ApiError::Internal`], and their cause goes to the log alone.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `codes` | the table of codes: text, status, title, meaning |
//! | `problem` | the problem document |

mod codes;
mod problem;

use std::error::Error as StdError;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::catalog::CatalogError;
use crate::domain::{FieldFault, KeyFault, ProductError, QueryError, Refused};
use crate::encode::{EncodeError, ImageError};
use crate::http::state::ReloadFault;
use crate::service::{Denied, ServiceError};

pub use codes::ErrorCode;
pub(in crate::http) use problem::listed;
pub use problem::{
    AdminProblems, BodyProblems, BulkProblems, DeleteProblems, FixedProblems, KeyProblems,
    LineProblem, NameProblems, NewKeyProblems, PlainProblems, Problem, ProductProblems,
    ReadyProblems, ReloadProblems, RollbackProblems, SimilarProblems, WriteProblems,
};

/// Why a request is not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the parameter {name} is missing")]
    MissingParameter { name: &'static str },
    #[error("the parameter {name}: {reason}")]
    InvalidParameter { name: String, reason: String },
    #[error("the parameter {name} is given more than once")]
    RepeatedParameter { name: String },
    #[error("{name:?} is neither a parameter nor an attribute of the products")]
    UnknownAttribute { name: String, known: Vec<String> },
    #[error("the query string or form is not UTF-8 after percent-decoding")]
    NotUtf8,
    #[error("the body is not JSON: {reason}")]
    MalformedJson { reason: String },
    #[error("the JSON is not what is expected here: {reason}")]
    InvalidBody { reason: String },
    #[error("the multipart body cannot be read: {reason}")]
    MalformedMultipart { reason: String },
    #[error("the body ended before it was whole")]
    IncompleteBody,
    #[error("the body must be {expected}")]
    UnsupportedMediaType { expected: &'static str },
    #[error("the body is compressed as {given:?}, which is not read here")]
    UnsupportedEncoding { given: String },
    #[error("the gzip of the body is broken: {reason}")]
    BrokenGzip { reason: String },
    #[error("{0}")]
    Denied(Denied),
    #[error(
        "more requests than this key, or this address, may make: come back in {retry_after_s} s"
    )]
    RateLimited { retry_after_s: u64 },
    #[error("{reason}")]
    InvalidProduct { field: String, reason: String },
    #[error("If-Match or If-None-Match does not hold: {}", the_etag(*.version))]
    Precondition { version: Option<u64> },
    #[error("{reason}")]
    StoreUnavailable {
        reason: &'static str,
        #[source]
        source: CatalogError,
    },
    #[error("the pictures cannot be reached now")]
    PicturesUnavailable {
        #[source]
        source: CatalogError,
    },
    #[error("{what} is larger than {limit} bytes")]
    BodyTooLarge { what: &'static str, limit: usize },
    #[error("{0}")]
    Image(ImageError),
    #[error("there is nothing at this path")]
    NoRoute,
    #[error("there is no product {id:?}")]
    NoProduct { id: String },
    #[error("the product {id:?} has no picture{}", numbered(*.number))]
    NoPicture { id: String, number: Option<u8> },
    #[error("there is no key {id:?}")]
    NoKey { id: String },
    #[error("no other model answered before the one in use")]
    NothingBefore,
    #[error(transparent)]
    Settings(#[from] ReloadFault),
    #[error("there is no error code {code:?}")]
    NoSuchCode { code: String },
    #[error("the product {id:?} has no embedding yet, so nothing can be compared with it")]
    NotEmbedded { id: String },
    #[error("this method is not allowed here")]
    MethodNotAllowed,
    #[error("the request was refused with status {status}")]
    Refused { status: StatusCode },
    #[error("a layer answered {status} without saying why")]
    Unexplained { status: StatusCode },
    #[error("the body did not arrive within {} s", .within.as_secs_f32())]
    BodyTimeout { within: Duration },
    #[error("no answer could be made in time")]
    DeadlineExceeded,
    #[error("more requests are in work than this service takes on at once")]
    Overloaded,
    #[error("{reason}")]
    NotReady { reason: String, report: Value },
    #[error("{context}")]
    Internal {
        context: &'static str,
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
}

/// The strong validator of a product of this version.
pub fn etag_of(version: u64) -> String {
    format!("\"{version}\"")
}

fn the_etag(version: Option<u64>) -> String {
    match version {
        Some(version) => format!("the product's ETag is {}", etag_of(version)),
        None => "there is no such product".to_owned(),
    }
}

fn numbered(number: Option<u8>) -> String {
    number.map_or_else(String::new, |number| format!(" {number}"))
}

/// As much of a name that a client gave as an answer repeats.
pub fn short(name: &str) -> String {
    name.chars().take(80).collect()
}

impl ApiError {
    /// An error whose cause is for the log alone.
    pub fn internal(context: &'static str, source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Internal {
            context,
            source: Some(Box::new(source)),
        }
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "most reasons are made where they are given"
    )]
    pub fn parameter(name: impl Into<String>, reason: impl ToString) -> Self {
        Self::InvalidParameter {
            name: name.into(),
            reason: reason.to_string(),
        }
    }

    /// For a response that another layer made without a problem document.
    pub(in crate::http) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NoRoute,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::SERVICE_UNAVAILABLE => Self::Overloaded,
            StatusCode::GATEWAY_TIMEOUT => Self::DeadlineExceeded,
            status if status.is_client_error() => Self::Refused { status },
            status => Self::Unexplained { status },
        }
    }

    /// The one place that decides what an error is to a client.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::MissingParameter { .. } => ErrorCode::MissingParameter,
            Self::InvalidParameter { .. } | Self::NotUtf8 => ErrorCode::InvalidParameter,
            Self::RepeatedParameter { .. } => ErrorCode::RepeatedParameter,
            Self::UnknownAttribute { .. } => ErrorCode::UnknownAttribute,
            Self::MalformedJson { .. } => ErrorCode::MalformedJson,
            Self::InvalidBody { .. } => ErrorCode::InvalidBody,
            Self::MalformedMultipart { .. } => ErrorCode::MalformedMultipart,
            Self::IncompleteBody | Self::BrokenGzip { .. } => ErrorCode::IncompleteBody,
            Self::UnsupportedEncoding { .. } => ErrorCode::UnsupportedEncoding,
            Self::Denied(denied) => match denied {
                Denied::NoKeys { .. } | Denied::NoKey { .. } => ErrorCode::KeyMissing,
                Denied::Key(KeyFault::Origin | KeyFault::Scope { .. }) => ErrorCode::KeyForbidden,
                Denied::NotAKey
                | Denied::Key(KeyFault::Unknown | KeyFault::Revoked | KeyFault::Expired) => {
                    ErrorCode::KeyInvalid
                }
            },
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::InvalidProduct { .. } => ErrorCode::InvalidProduct,
            Self::Precondition { .. } => ErrorCode::PreconditionFailed,
            Self::StoreUnavailable { .. } => ErrorCode::StoreUnavailable,
            Self::PicturesUnavailable { .. } => ErrorCode::PicturesUnavailable,
            Self::UnsupportedMediaType { .. } => ErrorCode::UnsupportedMediaType,
            Self::BodyTooLarge { .. } => ErrorCode::BodyTooLarge,
            Self::Image(error) => match error {
                ImageError::Empty => ErrorCode::EmptyImage,
                ImageError::UnsupportedFormat => ErrorCode::UnsupportedImageFormat,
                ImageError::TooLarge { .. } => ErrorCode::ImageTooLarge,
                ImageError::Broken { .. } => ErrorCode::BrokenImage,
            },
            Self::NoRoute => ErrorCode::NotFound,
            Self::NoSuchCode { .. } => ErrorCode::CodeNotFound,
            Self::NoKey { .. } => ErrorCode::KeyNotFound,
            Self::NothingBefore => ErrorCode::NothingBefore,
            Self::Settings(_) => ErrorCode::SettingsInvalid,
            Self::NoProduct { .. } => ErrorCode::ProductNotFound,
            Self::NoPicture { .. } => ErrorCode::ImageNotFound,
            Self::NotEmbedded { .. } => ErrorCode::ProductNotEmbedded,
            Self::MethodNotAllowed => ErrorCode::MethodNotAllowed,
            Self::Refused { .. } => ErrorCode::BadRequest,
            Self::BodyTimeout { .. } => ErrorCode::RequestTimeout,
            Self::DeadlineExceeded => ErrorCode::DeadlineExceeded,
            Self::Overloaded => ErrorCode::Overloaded,
            Self::NotReady { .. } => ErrorCode::NotReady,
            Self::Internal { .. } | Self::Unexplained { .. } => ErrorCode::Internal,
        }
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Refused { status } | Self::Unexplained { status } => *status,
            other => other.code().status(),
        }
    }

    /// The sentence for a person.
    fn detail(&self) -> String {
        match self {
            Self::Internal { .. } | Self::Unexplained { .. } => {
                "Something went wrong on our side; the request id finds it in the log.".to_owned()
            }
            Self::UnknownAttribute { known, .. } if known.is_empty() => {
                format!("{self}; no product has any attribute yet")
            }
            Self::UnknownAttribute { known, .. } => {
                format!("{self}; attributes are: {}", known.join(", "))
            }
            other => other.to_string(),
        }
    }

    /// Members of the document beyond those that every problem has.
    fn specifics(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::MissingParameter { name } => vec![("parameter", json!(name))],
            Self::InvalidParameter { name, .. } | Self::RepeatedParameter { name } => {
                vec![("parameter", json!(name))]
            }
            Self::UnknownAttribute { name, known } => {
                vec![("parameter", json!(name)), ("known", json!(known))]
            }
            Self::BodyTooLarge { limit, .. } => vec![("limit_bytes", json!(limit))],
            Self::Image(ImageError::TooLarge {
                width,
                height,
                max_pixels,
                max_edge,
            }) => vec![
                ("width", json!(width)),
                ("height", json!(height)),
                ("max_pixels", json!(max_pixels)),
                ("max_edge", json!(max_edge)),
            ],
            Self::InvalidProduct { field, .. } => vec![("field", json!(field))],
            Self::Precondition { version } => vec![("etag", json!(version.map(etag_of)))],
            Self::Overloaded | Self::StoreUnavailable { .. } | Self::PicturesUnavailable { .. } => {
                vec![("retry_after_s", json!(RETRY_AFTER_S))]
            }
            Self::RateLimited { retry_after_s } => vec![("retry_after_s", json!(retry_after_s))],
            Self::NotReady { report, .. } => match report {
                Value::Null => vec![("retry_after_s", json!(RETRY_AFTER_S))],
                report => vec![
                    ("retry_after_s", json!(RETRY_AFTER_S)),
                    ("readiness", report.clone()),
                ],
            },
            _ => Vec::new(),
        }
    }

    /// The causes below, for the log.
    pub(in crate::http) fn causes(&self) -> String {
        let mut text = String::new();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// What `Retry-After` says: a queue of searches empties in well under a second.
const RETRY_AFTER_S: u64 = 1;

/// An error on its way to the edge.
#[derive(Clone)]
pub(in crate::http) struct Carried(pub std::sync::Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let wait = match &self {
            Self::Overloaded
            | Self::NotReady { .. }
            | Self::StoreUnavailable { .. }
            | Self::PicturesUnavailable { .. } => Some(RETRY_AFTER_S),
            Self::RateLimited { retry_after_s } => Some(*retry_after_s),
            _ => None,
        };
        if let Some(wait) = wait {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        if let Self::Denied(denied) = self {
            let challenge = HeaderValue::from_str(&challenge(denied));
            if let Ok(challenge) = challenge {
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, challenge);
            }
        }
        // The rest of the body was not read: the connection cannot be used again.
        if matches!(self, Self::BodyTimeout { .. } | Self::BodyTooLarge { .. }) {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
            .extensions_mut()
            .insert(Carried(std::sync::Arc::new(self)));
        response
    }
}

/// RFC 6750, section 3: what is wrong with the key, where there was one.
fn challenge(denied: Denied) -> String {
    match denied {
        Denied::NoKeys { .. } | Denied::NoKey { .. } => "Bearer realm=\"aglet\"".to_owned(),
        Denied::Key(KeyFault::Scope { needs, .. }) => {
            format!("Bearer realm=\"aglet\", error=\"insufficient_scope\", scope=\"{needs}\"")
        }
        Denied::NotAKey | Denied::Key(_) => {
            "Bearer realm=\"aglet\", error=\"invalid_token\"".to_owned()
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let name = match error {
            QueryError::EmptyText | QueryError::TextTooLong { .. } => "q",
            QueryError::Limit { .. } => "limit",
            QueryError::Offset { .. } => "offset",
            QueryError::TooManyFilters { .. } | QueryError::Range { .. } => "filters",
        };
        Self::parameter(name, error)
    }
}

impl ApiError {
    /// A value that the domain refuses, under the parameter's name.
    pub(in crate::http) fn value(name: &str, error: &ProductError) -> Self {
        Self::parameter(name, error)
    }
}

impl From<ImageError> for ApiError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NotReady => Self::NotReady {
                reason: error.to_string(),
                report: Value::Null,
            },
            ServiceError::UnknownAttribute { name, known } => {
                Self::UnknownAttribute { name, known }
            }
            ServiceError::NoRange { ref name, .. } => Self::parameter(name.clone(), error),
            ServiceError::NoModel { .. } => Self::parameter("model", error),
            ServiceError::NoGroup { .. } => Self::parameter("group_by", error),
            ServiceError::NoProduct { id } => Self::NoProduct { id },
            ServiceError::NotEmbedded { id } => Self::NotEmbedded { id },
            ServiceError::Encode(EncodeError::Image(error)) => Self::Image(error),
            ServiceError::Overloaded | ServiceError::Catalog(CatalogError::PicturesBusy) => {
                Self::Overloaded
            }
            ServiceError::Late | ServiceError::Catalog(CatalogError::PictureHangs { .. }) => {
                Self::DeadlineExceeded
            }
            ServiceError::Catalog(source @ CatalogError::Full { .. }) => Self::StoreUnavailable {
                reason: "no space is left for the catalog",
                source,
            },
            ServiceError::Catalog(source @ (CatalogError::Busy(_) | CatalogError::Away { .. })) => {
                Self::StoreUnavailable {
                    reason: "the catalog's database stayed busy",
                    source,
                }
            }
            ServiceError::Catalog(source @ CatalogError::PicturesAway { .. }) => {
                Self::PicturesUnavailable { source }
            }
            other => Self::internal("the service could not answer", other),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoProduct { id } => Self::NoProduct { id },
            Refused::NoPicture { id, number } => Self::NoPicture {
                id,
                number: Some(number),
            },
            Refused::Condition { version } => Self::Precondition { version },
            Refused::Field(FieldFault { field, reason }) => Self::InvalidProduct { field, reason },
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        ServiceError::Catalog(error).into()
    }
}
