//! Request bodies, read up to a cap and within a time: JSON and the upload form. What is held of
//! them counts toward the memory that all bodies share (`uploads` of [`HttpOptions`]).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::http::input::params::{self, RawQuery};
use crate::http::layers::limits::Place;
use crate::http::output::error::{ApiError, short};
use crate::http::state::HttpOptions;
use crate::util::budget::Share;

/// JSON bodies hold words and filters: 256 values of 256 characters fit well.
const MAX_JSON: usize = 1024 * 1024;
/// A text field of the upload form.
const MAX_FIELD: usize = 4 * 1024;
/// Beyond the picture, the form may hold this much in fields, headers and boundaries.
const FORM_OVERHEAD: usize = 256 * 1024;

/// What some editors put before a text in UTF-8. It is passed over.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A JSON body of type `T`.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T>
where
    Arc<HttpOptions>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let options = Arc::<HttpOptions>::from_ref(state);
        if !is_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType {
                expected: "application/json",
            });
        }
        all_in_body(request.uri(), "a member of the JSON")?;
        read_json(request, &options).await.map(Self)
    }
}

/// The body as JSON, whatever its type says.
pub(super) async fn read_json<T: DeserializeOwned>(
    request: Request,
    options: &HttpOptions,
) -> Result<T, ApiError> {
    let limit = MAX_JSON.min(options.max_body);
    announced(request.headers(), "the body", limit)?;
    let mut share = options.uploads.nothing();
    let place = request.extensions().get::<Place>().cloned();
    let bytes = within(
        options.body_timeout,
        whole(request.into_body(), "the body", limit, &mut share),
    )
    .await?;
    arrived(place.as_ref())?;
    parse(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes))
}

/// The body is here: the request takes its place in the work.
fn arrived(place: Option<&Place>) -> Result<(), ApiError> {
    place.map_or(Ok(()), Place::take)
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let wrong = |path: &serde_path_to_error::Path, error: &serde_json::Error| match error.classify()
    {
        serde_json::error::Category::Data => ApiError::InvalidBody {
            reason: super::wrong::reason(path, error),
        },
        _ => ApiError::MalformedJson {
            reason: error.to_string(),
        },
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| wrong(error.path(), error.inner()))?;
    json.end().map_err(|error| ApiError::MalformedJson {
        reason: error.to_string(),
    })?;
    // serde reads an array as the fields in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(ApiError::InvalidBody {
            reason: "it is an array and not an object".to_owned(),
        });
    }
    Ok(read)
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = essence(headers);
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Refuses parameters in the URL of a request that has a body: passed over, `POST
/// /search/image?limit=3` would get 20 products and `?color=Black` all colors, without a word.
fn all_in_body(uri: &Uri, instead: &str) -> Result<(), ApiError> {
    match params::decode(uri.query().unwrap_or(""))?
        .into_iter()
        .next()
    {
        Some((name, _)) => {
            let reason = format!("this request takes nothing from its URL; send it as {instead}");
            Err(ApiError::parameter(short(&name), reason))
        }
        None => Ok(()),
    }
}

/// The media type without parameters, in lower case.
pub(super) fn essence(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    value
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase()
}

/// Whether a body is compressed with gzip; refuses other encodings.
pub(super) fn is_gzip(headers: &HeaderMap) -> Result<bool, ApiError> {
    let Some(given) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(false);
    };
    match given.to_str().map(str::trim) {
        Ok("identity" | "") => Ok(false),
        Ok(coding) if ["gzip", "x-gzip"].contains(&coding.to_ascii_lowercase().as_str()) => {
            Ok(true)
        }
        other => Err(ApiError::UnsupportedEncoding {
            given: short(other.unwrap_or("?")),
        }),
    }
}

/// Refuses a body that is compressed, for the paths that read none.
pub(super) fn uncompressed(headers: &HeaderMap) -> Result<(), ApiError> {
    if is_gzip(headers)? {
        return Err(ApiError::UnsupportedEncoding {
            given: "gzip".to_owned(),
        });
    }
    Ok(())
}

/// Refuses a body that says itself that it is too large, before a byte of it is read.
fn announced(headers: &HeaderMap, what: &'static str, limit: usize) -> Result<(), ApiError> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<u64>().ok());
    match length {
        Some(length) if length > limit as u64 => Err(ApiError::BodyTooLarge { what, limit }),
        _ => Ok(()),
    }
}

pub(super) async fn within<T>(
    time: Duration,
    read: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    tokio::time::timeout(time, read)
        .await
        .unwrap_or(Err(ApiError::BodyTimeout { within: time }))
}

async fn whole(
    mut body: Body,
    what: &'static str,
    limit: usize,
    share: &mut Share,
) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers are no part of the content.
        let Ok(chunk) = frame.map_err(|_| ApiError::IncompleteBody)?.into_data() else {
            continue;
        };
        take(&mut bytes, &chunk, what, limit, share)?;
    }
    Ok(bytes.freeze())
}

/// Adds a chunk to what was read, within the cap and the shared memory.
fn take(
    bytes: &mut BytesMut,
    chunk: &[u8],
    what: &'static str,
    limit: usize,
    share: &mut Share,
) -> Result<(), ApiError> {
    if bytes.len() + chunk.len() > limit {
        return Err(ApiError::BodyTooLarge { what, limit });
    }
    if !share.grow(chunk.len() as u64) {
        return Err(ApiError::Overloaded);
    }
    bytes.extend_from_slice(chunk);
    Ok(())
}

/// A picture that is the whole body, as it is.
pub struct PictureFile {
    pub bytes: Bytes,
    /// Its room in memory: to be kept until the picture is not needed any more.
    pub share: Share,
}

impl<S: Send + Sync> FromRequest<S> for PictureFile
where
    Arc<HttpOptions>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let options = Arc::<HttpOptions>::from_ref(state);
        let kind = essence(request.headers());
        if !kind.starts_with("image/") && kind != "application/octet-stream" {
            let expected = "a picture: image/jpeg, another image type, or application/octet-stream";
            return Err(ApiError::UnsupportedMediaType { expected });
        }
        uncompressed(request.headers())?;
        let (what, limit) = ("the picture", options.max_body);
        announced(request.headers(), what, limit)?;
        let mut share = options.uploads.nothing();
        let place = request.extensions().get::<Place>().cloned();
        let read = whole(request.into_body(), what, limit, &mut share);
        let bytes = within(options.body_timeout, read).await?;
        arrived(place.as_ref())?;
        Ok(Self { bytes, share })
    }
}

/// The form of `POST /search/image`: the photo's bytes and the fields beside it.
pub struct Upload {
    pub image: Bytes,
    pub fields: RawQuery,
    /// The form's room in memory: to be kept until the photo is not needed any more.
    pub share: Share,
}

impl<S: Send + Sync> FromRequest<S> for Upload
where
    Arc<HttpOptions>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let options = Arc::<HttpOptions>::from_ref(state);
        if essence(request.headers()) != "multipart/form-data" {
            return Err(ApiError::UnsupportedMediaType {
                expected: "multipart/form-data",
            });
        }
        all_in_body(request.uri(), "a field of the form")?;
        let limit = options.max_body;
        announced(request.headers(), "the form", limit + FORM_OVERHEAD)?;
        let (parts, body) = request.into_parts();
        let place = parts.extensions.get::<Place>().cloned();
        let body = Body::new(http_body_util::Limited::new(body, limit + FORM_OVERHEAD));
        let form = Multipart::from_request(Request::from_parts(parts, body), &())
            .await
            .map_err(|rejection| {
                let reason = match rejection {
                    MultipartRejection::InvalidBoundary(_) => {
                        "its Content-Type has no boundary".to_owned()
                    }
                    other => other.body_text(),
                };
                ApiError::MalformedMultipart { reason }
            })?;
        let upload = within(
            options.body_timeout,
            read_form(form, limit, options.uploads.nothing()),
        )
        .await?;
        arrived(place.as_ref())?;
        Ok(upload)
    }
}

async fn read_form(
    mut form: Multipart,
    limit: usize,
    mut share: Share,
) -> Result<Upload, ApiError> {
    let mut image = None;
    let mut fields = RawQuery::new(false);
    while let Some(field) = form
        .next_field()
        .await
        .map_err(|error| broken(&error, limit))?
    {
        let name = field.name().unwrap_or("").to_owned();
        if name == "image" {
            if image.is_some() {
                return Err(ApiError::RepeatedParameter { name });
            }
            image = Some(read_field(field, "the picture", limit, &mut share).await?);
        } else if field.file_name().is_some() {
            // `curl -F file=@photo.jpg`: read as an attribute, the photo would only be one with a
            // strange value.
            return Err(ApiError::parameter(
                short(&name),
                "it holds a file; send the photo as `image`",
            ));
        } else {
            let value = read_field(field, "a form field", MAX_FIELD, &mut share).await?;
            let value = std::str::from_utf8(&value)
                .map_err(|_| ApiError::NotUtf8)?
                .to_owned();
            fields.add(name, value)?;
        }
    }
    let image = image.ok_or(ApiError::MissingParameter { name: "image" })?;
    Ok(Upload {
        image,
        fields,
        share,
    })
}

/// Stops at the cap instead of reading on to find out how much more there is.
async fn read_field(
    mut field: Field<'_>,
    what: &'static str,
    limit: usize,
    share: &mut Share,
) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error, limit))? {
        take(&mut bytes, &chunk, what, limit, share)?;
    }
    Ok(bytes.freeze())
}

fn broken(error: &MultipartError, limit: usize) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::BodyTooLarge {
            what: "the form",
            limit: limit + FORM_OVERHEAD,
        };
    }
    // A transport error below multer is a server error to axum; here it is the client's connection
    // that broke.
    if error.status().is_server_error() {
        return ApiError::IncompleteBody;
    }
    ApiError::MalformedMultipart {
        reason: error.body_text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::budget::Budget;

    fn headers(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static(content_type),
        )])
    }

    #[test]
    fn an_array_is_not_read_as_the_fields_of_an_object() {
        #[derive(Debug, serde::Deserialize)]
        struct Wanted {
            model: Option<String>,
        }
        let wanted: Wanted = parse(br#" {"model": "a"}"#).expect("an object");
        assert_eq!(wanted.model.as_deref(), Some("a"));
        let error = parse::<Wanted>(br#" ["a"]"#).expect_err("an array");
        assert_eq!(error.code().as_str(), "invalid_body");
    }

    #[test]
    fn media_types() {
        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/ld+json",
        ] {
            assert!(is_json(&headers(good)), "{good}");
        }
        for bad in ["text/json", "application/jsonp", "", "multipart/form-data"] {
            assert!(!is_json(&headers(bad)), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn json_of_a_wrong_shape_is_not_broken_json() {
        let code = |text: &str| {
            parse::<Vec<u8>>(text.as_bytes())
                .expect_err("refused")
                .code()
                .as_str()
        };
        assert_eq!(code("[1,"), "malformed_json");
        assert_eq!(code(""), "malformed_json");
        assert_eq!(code("[1] 2"), "malformed_json");
        assert_eq!(code("{\"a\":1}"), "invalid_body");
        assert_eq!(code("[300]"), "invalid_body");
    }

    #[tokio::test]
    async fn reading_stops_at_the_cap_and_at_the_end_of_the_shared_memory() {
        let budget = Budget::new(15);
        let read = async |limit, share: &mut Share| {
            whole(Body::from(vec![0u8; 10]), "the body", limit, share).await
        };
        let mut first = budget.nothing();
        assert_eq!(read(10, &mut first).await.expect("fits").len(), 10);
        assert!(matches!(
            read(9, &mut budget.nothing()).await,
            Err(ApiError::BodyTooLarge { limit: 9, .. })
        ));
        assert!(matches!(
            read(10, &mut budget.nothing()).await,
            Err(ApiError::Overloaded)
        ));
        drop(first);
        assert!(read(10, &mut budget.nothing()).await.is_ok());
    }
}
