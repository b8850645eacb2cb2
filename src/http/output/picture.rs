//! Pictures as clients see them: their addresses and their bytes.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::error::ApiError;
use crate::catalog::{ShownPicture, StoredPicture};
use crate::domain::ProductId;
use crate::http::layers::etag::{etag, matches};
use crate::util::percent;

/// Where a picture of the product is; `None`: it cannot be shown.
pub fn picture_url(id: &ProductId, picture: &StoredPicture, public_url: &str) -> Option<String> {
    let path = || below(id, public_url, &format!("pictures/{}", picture.number));
    shown(picture, path)
}

/// Where the first picture is that can be shown.
pub fn image_url(id: &ProductId, pictures: &[StoredPicture], public_url: &str) -> Option<String> {
    let path = || below(id, public_url, "image");
    pictures.iter().find_map(|picture| shown(picture, path))
}

fn shown(picture: &StoredPicture, path: impl FnOnce() -> String) -> Option<String> {
    let elsewhere = picture.address.as_ref().or(picture.link.as_ref());
    picture
        .shown
        .then(|| elsewhere.cloned().unwrap_or_else(path))
}

fn below(id: &ProductId, public_url: &str, rest: &str) -> String {
    let id = percent::encode(id.as_str());
    format!("{public_url}/products/{id}/{rest}")
}

/// Answers with a picture, or with where it is; `none` when it is not there any more.
pub async fn answer(
    picture: Option<ShownPicture>,
    headers: &HeaderMap,
    none: impl Fn() -> ApiError,
) -> Result<Response, ApiError> {
    let picture = match picture.ok_or_else(&none)? {
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
