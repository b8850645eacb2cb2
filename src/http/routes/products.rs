//! `/products/{id}`: a product, and the products that look like it.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};

use super::search::answer;
use crate::domain::Ask;
use crate::http::input::params::{IdPath, Pairs, RawQuery};
use crate::http::input::schema;
use crate::http::output::error::{ApiError, ProductProblems, SimilarProblems, etag_of};
use crate::http::output::view::{ProductDocument, SearchResponse};
use crate::http::state::AppState;

/// One product
///
/// As the catalog has it, and how far it is embedded.
#[utoipa::path(
    get, path = "/products/{id}", operation_id = "product", tag = "products",
    params(("id" = String, Path, description = "The shop's own id of the product", max_length = 128)),
    responses(
        (status = 200, description = "The product", body = ProductDocument, headers(("etag" = String, description = "Another one after every change that the shop makes: for `If-Match` of a write"))),
        ProductProblems,
    )
)]
pub async fn product(
    State(state): State<AppState>,
    id: IdPath,
) -> Result<([(HeaderName, String); 1], Json<ProductDocument>), ApiError> {
    let stored = state.service.product(&id.0).await?;
    let progress = state.service.progress(stored.key).await?;
    let tag = [(header::ETAG, etag_of(stored.version))];
    let known = state.service.known();
    let document = ProductDocument::new(stored, progress, known, &state.options.public_url);
    Ok((tag, Json(document)))
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
) -> Result<Json<SearchResponse>, ApiError> {
    let started = Instant::now();
    let raw = RawQuery::of_pairs(pairs.0, false)?;
    let query = raw.query(Ask::Like(id.0), &state.service)?;
    answer(&state, query, started).await
}
