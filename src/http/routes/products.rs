//! `/products/{id}`: a product, its picture, and the products that look like it.

use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::search::answer;
use crate::catalog::ShownPicture;
use crate::domain::Ask;
use crate::http::input::params::{IdPath, Pairs, RawQuery};
use crate::http::input::schema;
use crate::http::layers::etag::{etag, matches};
use crate::http::output::error::{ApiError, ProductProblems, SimilarProblems, etag_of};
use crate::http::output::view::{ProductDocument, ProductView, SearchResponse};
use crate::http::state::AppState;

/// One product
///
/// As the catalog has it.
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
    let tag = [(header::ETAG, etag_of(stored.version))];
    let product = ProductView::new(stored, state.service.known(), &state.options.public_url);
    let id = id.0.to_string();
    Ok((tag, Json(ProductDocument { id, product })))
}

/// A product's picture
///
/// As it was when it was imported: a file that was replaced since is not shown.
#[utoipa::path(
    get, path = "/products/{id}/image", operation_id = "product_image", tag = "products",
    params(("id" = String, Path, description = "The shop's own id of the product", max_length = 128)),
    responses(
        (status = 200, description = "The file as the catalog has it", content_type = "image/*"),
        (status = 304, description = "The ETag given in If-None-Match still holds"),
        ProductProblems,
    )
)]
pub async fn product_image(
    State(state): State<AppState>,
    id: IdPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let none = || ApiError::NoPicture {
        id: id.0.to_string(),
    };
    let picture = match state.service.picture(&id.0, None).await?.ok_or_else(none)? {
        ShownPicture::Here(picture) => picture,
        ShownPicture::Elsewhere(address) => {
            return Ok(Redirect::temporary(&address).into_response());
        }
    };
    let tag = etag(&picture.sha256);
    let tag_header = HeaderValue::try_from(&tag)
        .map_err(|error| ApiError::internal("an ETag is not a header", error))?;
    let cache = [
        (header::ETAG, tag_header),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=3600"),
        ),
    ];
    if matches(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, cache).into_response());
    }
    let file = picture.open().await?.ok_or_else(none)?;
    let kind = [(
        header::CONTENT_TYPE,
        HeaderValue::from_static(file.media_type),
    )];
    // What a browser takes for something else than a picture must not become a page of this origin.
    let sandbox = [(
        HeaderName::from_static("content-security-policy"),
        "default-src 'none'; sandbox",
    )];
    Ok((cache, kind, sandbox, Body::new(file.body)).into_response())
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
