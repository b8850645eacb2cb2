//! `PUT`, `PATCH` and `DELETE` of `/products/{id}`: one product, written.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Map;

use crate::domain::{Write, WriteOp, WriteResult, WriteStatus, Written};
use crate::http::input::params::IdPath;
use crate::http::input::product::{
    PatchBody, ProductBody, ProductInput, ProductPatch, Wait, write_of,
};
use crate::http::input::schema;
use crate::http::layers::etag::conditions;
use crate::http::output::error::{ApiError, DeleteProblems, WriteProblems, etag_of};
use crate::http::output::written::WriteResponse;
use crate::http::state::AppState;

/// Write a product
///
/// All of it: what is left out it does not have, but for its pictures and the date that it was created,
/// which stay. The same again changes nothing. `If-Match` with the product's ETag writes over nobody
/// else's change, `If-None-Match: *` over no product.
#[utoipa::path(
    put, path = "/products/{id}", operation_id = "put_product", tag = "products",
    params(("id" = String, Path, description = "The shop's own id of the product", max_length = 128), schema::WriteParams),
    request_body = ProductInput,
    responses(
        (status = 200, description = "It is so now, or was", body = WriteResponse, headers(("etag" = String, description = "Of the product"))),
        (status = 201, description = "It is new", body = WriteResponse, headers(("etag" = String, description = "Of the product"))),
        WriteProblems,
    )
)]
pub async fn put_product(
    State(state): State<AppState>,
    id: IdPath,
    wait: Wait,
    headers: HeaderMap,
    ProductBody(json): ProductBody,
) -> Result<Response, ApiError> {
    let write = write_of(&id, WriteOp::Put, json, conditions(&headers));
    make(&state, write, wait).await
}

/// Change a product
///
/// A JSON merge patch (RFC 7396): what is left out stays, null removes. What comes out must be a product
/// as `PUT` takes it. `If-Match` with the product's ETag writes over nobody else's change.
#[utoipa::path(
    patch, path = "/products/{id}", operation_id = "patch_product", tag = "products",
    params(("id" = String, Path, description = "The shop's own id of the product", max_length = 128), schema::WriteParams),
    request_body(content((ProductPatch = "application/merge-patch+json"), (ProductPatch = "application/json"))),
    responses(
        (status = 200, description = "It is so now, or was", body = WriteResponse, headers(("etag" = String, description = "Of the product"))),
        WriteProblems,
    )
)]
pub async fn patch_product(
    State(state): State<AppState>,
    id: IdPath,
    wait: Wait,
    headers: HeaderMap,
    PatchBody(json): PatchBody,
) -> Result<Response, ApiError> {
    let write = write_of(&id, WriteOp::Patch, json, conditions(&headers));
    make(&state, write, wait).await
}

/// Delete a product
///
/// Its embeddings are kept for `keep_days`, for the day that it comes back.
#[utoipa::path(
    delete, path = "/products/{id}", operation_id = "delete_product", tag = "products",
    params(("id" = String, Path, description = "The shop's own id of the product", max_length = 128), schema::WriteParams),
    responses(
        (status = 200, description = "It is deleted: with `wait=searchable`", body = WriteResponse),
        (status = 204, description = "It is deleted"),
        DeleteProblems,
    )
)]
pub async fn delete_product(
    State(state): State<AppState>,
    id: IdPath,
    wait: Wait,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let write = write_of(&id, WriteOp::Delete, Map::new(), conditions(&headers));
    make(&state, write, wait).await
}

/// Makes a change and answers with what became of it.
pub async fn make(state: &AppState, write: Write, wait: Wait) -> Result<Response, ApiError> {
    let until = Instant::now() + state.options.request_timeout;
    let results = state.service.write(vec![write]).await?;
    let result = results.into_iter().next().ok_or_else(unanswered)?;
    answer(state, result, wait, until).await
}

/// Answers with what became of a change.
pub async fn answer(
    state: &AppState,
    result: WriteResult,
    wait: Wait,
    until: Instant,
) -> Result<Response, ApiError> {
    let written = result.result?;
    let searchable = match wait {
        Wait(true) => Some(state.service.searchable(written.revision, until).await),
        Wait(false) => None,
    };
    let status = match (written.status, searchable) {
        (WriteStatus::Created, _) => StatusCode::CREATED,
        (WriteStatus::Deleted, None) => return Ok(StatusCode::NO_CONTENT.into_response()),
        _ => StatusCode::OK,
    };
    let mut headers = HeaderMap::new();
    if let Some(tag) = tag(&written)? {
        headers.insert(header::ETAG, tag);
    }
    let response = WriteResponse::new(result.id.unwrap_or_default(), written, searchable);
    Ok((status, headers, Json(response)).into_response())
}

/// The ETag of what is there now.
fn tag(written: &Written) -> Result<Option<HeaderValue>, ApiError> {
    if written.status == WriteStatus::Deleted {
        return Ok(None);
    }
    let tag = HeaderValue::try_from(etag_of(written.revision));
    tag.map(Some)
        .map_err(|error| ApiError::internal("an ETag is not a header", error))
}

fn unanswered() -> ApiError {
    let error = std::io::Error::other("a write has no result");
    ApiError::internal("a write has no result", error)
}
