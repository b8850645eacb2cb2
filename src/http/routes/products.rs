//! `/products/{id}`: a product, and the products that look like it.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::search::answer;
use crate::domain::Ask;
use crate::http::input::params::{IdPath, Pairs, RawQuery};
use crate::http::input::schema;
use crate::http::layers::etag::matches;
use crate::http::output::error::{ApiError, ProductProblems, SimilarProblems, etag_of};
use crate::http::output::view::{ProductDocument, SearchResponse};
use crate::http::state::AppState;

/// One product
///
/// As the catalog has it, with its pictures and how far it is embedded. Its ETag is of what the shop
/// says of it alone: with `If-None-Match` nobody hears that it was embedded.
#[utoipa::path(
    get, path = "/products/{id}", operation_id = "product", tag = "products",
    params(
        ("id" = String, Path, description = "The shop's own id of the product", max_length = 128),
        schema::KnownParams,
    ),
    responses(
        (status = 200, description = "The product", body = ProductDocument, headers(("etag" = String, description = "Another one after every change that the shop makes: for `If-Match` of a write"))),
        (status = 304, description = "The ETag given in If-None-Match still holds"),
        ProductProblems,
    )
)]
pub async fn product(
    State(state): State<AppState>,
    id: IdPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let stored = state.service.product(&id.0).await?;
    let text = etag_of(stored.version);
    let tag = [(header::ETAG, text.clone())];
    if matches(&headers, &text) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    let progress = state.service.progress(stored.key).await?;
    let (known, public_url) = (state.service.known(), &state.options.public_url);
    let document = ProductDocument::new(stored, progress, known, public_url);
    Ok((tag, Json(document)).into_response())
}

/// Products like this one
///
/// Ranked by the distance of their embeddings; the product itself is left out.
#[utoipa::path(
    get, path = "/products/{id}/similar", operation_id = "similar", tag = "products",
    params(
        ("id" = String, Path, description = "The shop's own id of the product", max_length = 128),
        schema::FilterParams, schema::OrderParams, schema::FacetParams, schema::WindowParams,
    ),
    responses((status = 200, description = "Products, most similar first", body = SearchResponse), SimilarProblems)
)]
pub async fn similar(
    State(state): State<AppState>,
    id: IdPath,
    pairs: Pairs,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let raw = RawQuery::of_pairs(pairs.0, false)?;
    let query = raw.query(Ask::Like(id.0), &state.service)?;
    answer(&state, query, started).await
}
