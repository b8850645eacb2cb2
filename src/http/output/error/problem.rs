//! The problem document (RFC 9457) and what OpenAPI says about it.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderValue, header, response::Parts};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};

use super::{ApiError, ErrorCode};

pub const MEDIA_TYPE: &str = "application/problem+json";

/// Every answer with a status of 400 or above.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "/problems/invalid_parameter", "title": "A parameter has a wrong value", "status": 400,
    "detail": "the parameter limit: limit is 900, it must be from 1 to 250", "code": "invalid_parameter",
    "request_id": "0193a5c2-7f00-7cc0-8d8e-0f3f6f2f0a11", "parameter": "limit"
}))]
pub struct Problem {
    /// Where the code is explained: `/problems/{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this very request, for people.
    pub detail: String,
    /// What to program against.
    pub code: ErrorCode,
    /// The same as in the `x-request-id` header.
    pub request_id: String,
    /// More, depending on the code: `parameter`, `known`, `limit_bytes`, `max_pixels`, `max_edge`,
    /// `retry_after_s`, `readiness`, `field`, `etag`.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub specifics: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(error: &ApiError, request_id: &str) -> Self {
        let code = error.code();
        Self {
            kind: format!("/problems/{}", code.as_str()),
            title: code.title().to_owned(),
            status: error.status().as_u16(),
            detail: error.detail(),
            code,
            request_id: request_id.to_owned(),
            specifics: error
                .specifics()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }

    /// Puts the document into a response whose status and headers (`Allow`, `Retry-After`) are
    /// already right.
    pub(crate) fn into_response(self, mut parts: Parts) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        parts
            .headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        parts
            .headers
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        parts
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        Response::from_parts(parts, Body::from(body))
    }
}

/// Why a line of a bulk was not taken: a [`Problem`] within an answer that is a success.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineProblem {
    /// Where the code is explained: `/problems/{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: &'static str,
    /// The HTTP status that a request of this line alone would have.
    pub status: u16,
    pub detail: String,
    pub code: ErrorCode,
    /// More, depending on the code: `field`, `limit_bytes`.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub specifics: Map<String, Value>,
}

impl From<&ApiError> for LineProblem {
    fn from(error: &ApiError) -> Self {
        let whole = Problem::new(error, "");
        Self {
            kind: whole.kind,
            title: error.code().title(),
            status: whole.status,
            detail: whole.detail,
            code: whole.code,
            specifics: whole.specifics,
        }
    }
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident: $($status:literal)*;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
                listed(&[$($status),*])
            }
        }
    )*};
}

// The statuses of problems that a route may answer with, each by its number: not every generator of
// clients knows `4XX`.
problems! {
    /// Of a route that reads no body.
    PlainProblems: 400 500 503 504;
    /// Of a route that reads a body.
    BodyProblems: 400 408 413 415 422 500 503 504;
    /// Of a route about one product.
    ProductProblems: 400 404 500 503 504;
    /// Of a route that writes a product.
    WriteProblems: 400 404 408 412 413 415 422 500 503 504;
    /// Of a route that deletes one.
    DeleteProblems: 400 404 412 500 503 504;
    /// Of the route that writes many: each line has problems of its own.
    BulkProblems: 400 408 415 500 503 504;
    /// Of a route that compares with one product.
    SimilarProblems: 400 404 409 500 503 504;
    /// Of what is asked for by a name that may not be there.
    NameProblems: 404 500;
    /// Of what the service is asked about itself.
    AdminProblems: 500 503 504;
    /// Of a route that makes a key.
    NewKeyProblems: 400 408 413 415 422 500 503 504;
    /// Of a route about one key.
    KeyProblems: 404 500 503 504;
    /// Of a route that takes something back.
    RollbackProblems: 409 500 503 504;
    /// Of a route that reads settings.
    ReloadProblems: 422 500 503 504;
    /// Of what is always there.
    FixedProblems: 500;
    /// Of a report of what is ready.
    ReadyProblems: 500 503;
}

pub(in crate::http) fn listed(
    statuses: &[u16],
) -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let response = |status: &u16| {
        let codes = ErrorCode::ALL
            .iter()
            .filter(|code| code.status() == *status);
        let codes: Vec<String> = codes.map(|code| format!("`{}`", code.as_str())).collect();
        let response = ResponseBuilder::new()
            .description(format!("A problem, one of {}", codes.join(", ")))
            .content(
                MEDIA_TYPE,
                Content::new(Some(Ref::from_schema_name("Problem"))),
            )
            .build();
        (status.to_string(), RefOr::T(response))
    };
    statuses.iter().map(response).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn specifics_stand_beside_the_members_that_every_problem_has() {
        let error = ApiError::UnknownAttribute {
            name: "colour".into(),
            known: vec!["color".into()],
        };
        let document = serde_json::to_value(Problem::new(&error, "r-1")).expect("serializes");
        assert_eq!(
            document,
            json!({
                "type": "/problems/unknown_attribute", "title": "No such attribute", "status": 400,
                "detail": "\"colour\" is neither a parameter nor an attribute of the products; attributes are: color",
                "code": "unknown_attribute", "request_id": "r-1", "parameter": "colour", "known": ["color"]
            })
        );
    }

    #[test]
    fn the_cause_of_an_internal_error_is_for_the_log_alone() {
        let error = ApiError::internal(
            "the catalog could not be read",
            std::io::Error::other("/secret/path is gone"),
        );
        let text = serde_json::to_string(&Problem::new(&error, "r-1")).expect("serializes");
        assert!(
            !text.contains("secret") && !text.contains("catalog"),
            "{text}"
        );
        assert_eq!(error.causes(), "/secret/path is gone");
    }
}
