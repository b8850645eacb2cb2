//! `/products/{id}`: a product, its picture, and the products that look like it.

use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::error::{ApiError, Problems};
use super::params::{IdPath, Pairs, RawQuery};
use super::search::{Wanted, answer, serving};
use super::state::AppState;
use super::view::{ProductDocument, ProductView, QueryEcho, SearchResponse};
use crate::catalog::StoredProduct;
use crate::domain::ProductId;
use crate::telemetry::blocking;

/// One product
#[utoipa::path(
    get, path = "/products/{id}", operation_id = "product", tag = "products",
    params(("id" = String, Path, description = "The shop's own id of the product", max_length = 128)),
    responses((status = 200, description = "The product", body = ProductDocument), Problems)
)]
pub async fn product(
    State(state): State<AppState>,
    id: IdPath,
) -> Result<Json<ProductDocument>, ApiError> {
    let stored = find(&state, &id.0).await?;
    let product = ProductView::new(stored, &state.options.public_url);
    Ok(Json(ProductDocument {
        id: id.0.to_string(),
        product,
    }))
}

async fn find(state: &AppState, id: &ProductId) -> Result<StoredProduct, ApiError> {
    state
        .catalog
        .product(id)
        .await?
        .ok_or_else(|| ApiError::NoProduct { id: id.to_string() })
}

/// A product's picture
#[utoipa::path(
    get, path = "/products/{id}/image", operation_id = "product_image", tag = "products",
    params(("id" = String, Path, description = "The shop's own id of the product", max_length = 128)),
    responses(
        (status = 200, description = "The file as the catalog has it", content_type = "image/*"),
        (status = 304, description = "The ETag given in If-None-Match still holds"),
        Problems,
    )
)]
pub async fn product_image(
    State(state): State<AppState>,
    id: IdPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let stored = find(&state, &id.0).await?;
    let source = stored.image.ok_or_else(|| ApiError::NoPicture {
        id: id.0.to_string(),
    })?;
    let gone = || ApiError::NoPicture {
        id: id.0.to_string(),
    };
    let file = state.catalog.image(&source).await?.ok_or_else(gone)?;
    let hashed = file.clone();
    let etag = blocking(move || etag(&hashed)).await?;
    let cache = [
        (
            header::ETAG,
            HeaderValue::try_from(&etag)
                .map_err(|e| ApiError::internal("an ETag is no header", e))?,
        ),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=3600"),
        ),
    ];
    if matches(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, cache).into_response());
    }
    let kind = [(
        header::CONTENT_TYPE,
        HeaderValue::from_static(media_type(&file)),
    )];
    // A file that is no picture must not become a page of this origin.
    let sandbox = [(
        HeaderName::from_static("content-security-policy"),
        "default-src 'none'; sandbox",
    )];
    Ok((cache, kind, sandbox, Body::from(file)).into_response())
}

/// A strong validator: the same bytes, the same tag.
pub fn etag(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let start = digest
        .first_chunk()
        .map_or(0, |start| u128::from_be_bytes(*start));
    format!("\"{start:032x}\"")
}

/// `If-None-Match`, RFC 9110 section 13.1.2: weak comparison, a list, or `*`.
pub fn matches(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn media_type(file: &[u8]) -> &'static str {
    match image::guess_format(file) {
        Ok(format) => format.to_mime_type(),
        Err(_) => "application/octet-stream",
    }
}

/// Products like this one
///
/// Ranked by the distance of their embeddings; the product itself is left out.
#[utoipa::path(
    get, path = "/products/{id}/similar", operation_id = "similar", tag = "products",
    params(
        ("id" = String, Path, description = "The shop's own id of the product", max_length = 128),
        super::openapi::WindowParams, super::openapi::FilterParams,
    ),
    responses((status = 200, description = "Products, most similar first", body = SearchResponse), Problems)
)]
pub async fn similar(
    State(state): State<AppState>,
    id: IdPath,
    pairs: Pairs,
) -> Result<Json<SearchResponse>, ApiError> {
    let started = Instant::now();
    let raw = RawQuery::of_pairs(pairs.0, false)?;
    serving(&state)?;
    let asked = raw.check(&state.searcher)?;
    let stored = find(&state, &id.0).await?;
    let embedding = state
        .searcher
        .embedding(stored.key)
        .ok_or_else(|| ApiError::NotEmbedded {
            id: id.0.to_string(),
        })?;
    let echo = QueryEcho {
        similar_to: Some(id.0.to_string()),
        ..QueryEcho::new(&asked)
    };
    answer(
        state,
        Wanted::Like(embedding, stored.key),
        asked,
        echo,
        started,
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match() {
        let matches = |value: &'static str| {
            matches(
                &HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(value))]),
                "\"abc\"",
            )
        };
        assert!(
            matches("\"abc\"") && matches("W/\"abc\"") && matches("\"x\", \"abc\"") && matches("*")
        );
        assert!(!matches("\"ab\"") && !matches("abc") && !matches(""));
    }

    #[test]
    fn what_is_no_picture_is_not_called_one() {
        assert_eq!(media_type(b"\xff\xd8\xff\xe0rest"), "image/jpeg");
        assert_eq!(
            media_type(b"<svg onload=alert(1)>"),
            "application/octet-stream"
        );
        assert_eq!(media_type(b""), "application/octet-stream");
    }
}
