//! The pictures of a product: read, uploaded and removed.

use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Map;

use super::write::{answer, make};
use crate::domain::{Write, WriteOp};
use crate::http::input::body::PictureFile;
use crate::http::input::params::{IdPath, PicturePath};
use crate::http::input::product::Wait;
use crate::http::input::schema;
use crate::http::layers::etag::conditions;
use crate::http::output::error::{ApiError, DeleteProblems, ProductProblems, WriteProblems};
use crate::http::output::picture;
use crate::http::output::written::WriteResponse;
use crate::http::state::AppState;

/// A product's picture
///
/// The first that can be shown, as it was when it was read: a file that was replaced since is not
/// shown.
#[utoipa::path(
    get, path = "/products/{id}/image", operation_id = "product_image", tag = "products",
    params(
        ("id" = String, Path, description = "The shop's own id of the product", max_length = 128),
        schema::KnownParams,
    ),
    responses(
        (status = 200, description = "The file as the catalog has it", content_type = "image/*"),
        (status = 304, description = "The ETag given in If-None-Match still holds"),
        (status = 307, description = "It is on the web, at the address in Location"),
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
        number: None,
    };
    let found = state.service.picture(&id.0, None).await?;
    picture::answer(found, &headers, none).await
}

/// One of a product's pictures
///
/// As it was when it was read. One that was uploaded can be shown once it is embedded.
#[utoipa::path(
    get, path = "/products/{id}/pictures/{number}", operation_id = "product_picture", tag = "products",
    params(
        ("id" = String, Path, description = "The shop's own id of the product", max_length = 128),
        ("number" = u8, Path, description = "Of the picture", minimum = 1, maximum = 32),
        schema::KnownParams,
    ),
    responses(
        (status = 200, description = "The file as the catalog has it", content_type = "image/*"),
        (status = 304, description = "The ETag given in If-None-Match still holds"),
        (status = 307, description = "It is on the web, at the address in Location"),
        ProductProblems,
    )
)]
pub async fn product_picture(
    State(state): State<AppState>,
    PicturePath { id, number }: PicturePath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let none = || ApiError::NoPicture {
        id: id.to_string(),
        number: Some(number),
    };
    let found = state.service.picture(&id, Some(number)).await?;
    picture::answer(found, &headers, none).await
}

/// Upload a picture
///
/// The body is the file: JPEG, PNG, WebP, GIF (its first frame) or BMP, recognized by content. It takes
/// the place of the picture that has this number. The ETag, `If-Match` and `If-None-Match` are of the
/// product.
#[utoipa::path(
    put, path = "/products/{id}/pictures/{number}", operation_id = "put_picture", tag = "products",
    params(
        ("id" = String, Path, description = "The shop's own id of the product", max_length = 128),
        ("number" = u8, Path, description = "Of the picture: pictures are shown in the order of their numbers", minimum = 1, maximum = 32),
        schema::WriteParams,
    ),
    request_body(content = inline(schema::Binary), content_type = "application/octet-stream", description = "The file"),
    responses(
        (status = 200, description = "It is so now, or was", body = WriteResponse, headers(("etag" = String, description = "Of the product"))),
        WriteProblems,
    )
)]
pub async fn put_picture(
    State(state): State<AppState>,
    PicturePath { id, number }: PicturePath,
    wait: Wait,
    headers: HeaderMap,
    file: PictureFile,
) -> Result<Response, ApiError> {
    let until = Instant::now() + state.options.request_timeout;
    // Its room in memory is kept until the file is on the disk.
    let PictureFile {
        bytes,
        share: _share,
    } = file;
    let on = conditions(&headers);
    let service = &state.service;
    let result = service.put_picture(id, number, bytes, on, Some(until));
    answer(&state, result.await?, wait, until).await
}

/// Remove a picture
///
/// The numbers of the others stay. `If-Match` and `If-None-Match` are of the product.
#[utoipa::path(
    delete, path = "/products/{id}/pictures/{number}", operation_id = "delete_picture", tag = "products",
    params(
        ("id" = String, Path, description = "The shop's own id of the product", max_length = 128),
        ("number" = u8, Path, description = "Of the picture", minimum = 1, maximum = 32),
        schema::WriteParams,
    ),
    responses(
        (status = 200, description = "It is removed: with `wait=searchable`", body = WriteResponse, headers(("etag" = String, description = "Of the product"))),
        (status = 204, description = "It is removed", headers(("etag" = String, description = "Of the product"))),
        DeleteProblems,
    )
)]
pub async fn delete_picture(
    State(state): State<AppState>,
    PicturePath { id, number }: PicturePath,
    wait: Wait,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let write = Write {
        id: Some(id),
        op: WriteOp::DeletePicture(number),
        json: Map::new(),
        conditions: conditions(&headers),
    };
    let response = make(&state, write, wait).await?;
    if wait.0 {
        return Ok(response);
    }
    let tag = response.headers().get(header::ETAG);
    let tag = tag.map(|tag| (header::ETAG, tag.clone()));
    let headers = HeaderMap::from_iter(tag);
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}
