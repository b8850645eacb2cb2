//! `/products/{id}/image` and `/products/{id}/pictures/{number}`: a product's pictures, shown, uploaded
//! and removed.

use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::Map;

use super::write::answer;
use crate::domain::{ProductId, Write, WriteOp};
use crate::http::input::body::PictureFile;
use crate::http::input::params::{IdPath, PicturePath};
use crate::http::input::product::{Wait, WritesOn};
use crate::http::input::schema;
use crate::http::layers::etag::{conditions, etag, matches};
use crate::http::output::error::{ApiError, DeleteProblems, ProductProblems, WriteProblems};
use crate::http::output::written::WriteResponse;
use crate::http::state::AppState;
use crate::service::PictureAt;

/// A product's picture
///
/// The first of its pictures that can be shown, as it was when it was read: a file that was replaced
/// since is not shown. One that is on the web is not here: the answer leads there.
#[utoipa::path(
    get, path = "/products/{id}/image", operation_id = "product_image", tag = "products",
    params(("id" = String, Path, description = "The shop's own id of the product", max_length = 128)),
    responses(
        (status = 200, description = "The file as the catalog has it", content_type = "image/*"),
        (status = 304, description = "The ETag given in If-None-Match still holds"),
        (status = 307, description = "It is on the web, at this Location"),
        ProductProblems,
    )
)]
pub async fn product_image(
    State(state): State<AppState>,
    id: IdPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    show(&state, &id.0, None, &headers).await
}

/// One of a product's pictures
///
/// As `/products/{id}/image`, by its number.
#[utoipa::path(
    get, path = "/products/{id}/pictures/{number}", operation_id = "product_picture", tag = "products",
    params(
        ("id" = String, Path, description = "The shop's own id of the product", max_length = 128),
        ("number" = u8, Path, description = "Of the picture among those of the product", minimum = 1, maximum = 32),
    ),
    responses(
        (status = 200, description = "The file as the catalog has it", content_type = "image/*"),
        (status = 304, description = "The ETag given in If-None-Match still holds"),
        (status = 307, description = "It is on the web, at this Location"),
        ProductProblems,
    )
)]
pub async fn product_picture(
    State(state): State<AppState>,
    path: PicturePath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    show(&state, &path.id, Some(path.number), &headers).await
}

/// Upload a picture
///
/// The bytes of an image, as this picture of the product: the pictures are in the order of their
/// numbers, and there may be gaps. It is embedded when its turn comes, before whatever was there
/// already. The same again changes nothing.
#[utoipa::path(
    put, path = "/products/{id}/pictures/{number}", operation_id = "put_picture", tag = "products",
    params(
        ("id" = String, Path, description = "The shop's own id of the product", max_length = 128),
        ("number" = u8, Path, description = "Of the picture among those of the product", minimum = 1, maximum = 32),
        schema::WriteParams,
    ),
    request_body(content_type = "application/octet-stream", content = Vec<u8>, description = "JPEG, PNG, WebP, GIF or BMP; the type may also be `image/*`"),
    responses(
        (status = 200, description = "It is so now, or was", body = WriteResponse, headers(("etag" = String, description = "Of the product"))),
        WriteProblems,
    )
)]
pub async fn put_picture(
    State(state): State<AppState>,
    _on: WritesOn,
    path: PicturePath,
    wait: Wait,
    headers: HeaderMap,
    file: PictureFile,
) -> Result<Response, ApiError> {
    let until = Instant::now() + state.options.request_timeout;
    let service = &state.service;
    let written = service.put_picture(
        path.id,
        path.number,
        file.bytes,
        conditions(&headers),
        Some(until),
    );
    answer(&state, written.await?, wait, until).await
}

/// Remove a picture
///
/// Of the product; the others keep their numbers.
#[utoipa::path(
    delete, path = "/products/{id}/pictures/{number}", operation_id = "delete_picture", tag = "products",
    params(
        ("id" = String, Path, description = "The shop's own id of the product", max_length = 128),
        ("number" = u8, Path, description = "Of the picture among those of the product", minimum = 1, maximum = 32),
        schema::WriteParams,
    ),
    responses(
        (status = 200, description = "It is removed", body = WriteResponse, headers(("etag" = String, description = "Of the product"))),
        DeleteProblems,
    )
)]
pub async fn delete_picture(
    State(state): State<AppState>,
    _on: WritesOn,
    path: PicturePath,
    wait: Wait,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let until = Instant::now() + state.options.request_timeout;
    let write = Write {
        id: Some(path.id),
        op: WriteOp::DeletePicture(path.number),
        json: Map::new(),
        conditions: conditions(&headers),
    };
    let written = state.service.write_one(write).await?;
    answer(&state, written, wait, until).await
}

async fn show(
    state: &AppState,
    id: &ProductId,
    number: Option<u8>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let none = || ApiError::NoPicture { id: id.to_string() };
    let picture = state.service.picture(id, number).await?.ok_or_else(none)?;
    let picture = match picture {
        PictureAt::Here(picture) => picture,
        PictureAt::Elsewhere(address) => {
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
    if matches(headers, &tag) {
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
