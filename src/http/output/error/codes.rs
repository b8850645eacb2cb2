//! The table of error codes: part of the API, so a code's text and status never change once
//! released.

use axum::http::StatusCode;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

macro_rules! codes {
    ($($variant:ident, $text:literal, $status:ident, $title:literal, $meaning:literal;)*) => {
        /// What went wrong, in a word that clients may rely on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
        pub enum ErrorCode {
            $(#[doc = $meaning] #[serde(rename = $text)] $variant,)*
        }

        impl ErrorCode {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// The same for every problem of this code.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What a client should know about it.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    MissingParameter, "missing_parameter", BAD_REQUEST, "A parameter is missing",
        "A parameter or form field that this request cannot do without is not there; `parameter` names it.";
    InvalidParameter, "invalid_parameter", BAD_REQUEST, "A parameter has a wrong value",
        "A value cannot be read, is empty, too long or out of range; `parameter` names it.";
    RepeatedParameter, "repeated_parameter", BAD_REQUEST, "A parameter is given twice",
        "Only attributes may be given more than once; `parameter` names the one that was.";
    UnknownAttribute, "unknown_attribute", BAD_REQUEST, "No such attribute",
        "`parameter` is neither a parameter of this request nor an attribute of any product; `known` lists those.";
    MalformedJson, "malformed_json", BAD_REQUEST, "The body is not JSON",
        "The body cannot be parsed as JSON; `detail` tells line and column.";
    MalformedMultipart, "malformed_multipart", BAD_REQUEST, "The form cannot be read",
        "The multipart body has no boundary, a broken one, broken headers or no end.";
    IncompleteBody, "incomplete_body", BAD_REQUEST, "The body is not whole",
        "The connection ended, or the transfer broke, before the whole body had arrived.";
    BadRequest, "bad_request", BAD_REQUEST, "The request cannot be understood",
        "The request is refused before it reaches a handler, for example over a broken header; the status may be any 4xx.";
    KeyMissing, "key_missing", UNAUTHORIZED, "A key is needed",
        "This needs a key, as `Authorization: Bearer KEY`; `detail` names the scope.";
    KeyInvalid, "key_invalid", UNAUTHORIZED, "The key is not valid",
        "There is no such key, or it was revoked or has expired.";
    KeyForbidden, "key_forbidden", FORBIDDEN, "The key is not for this",
        "The key's scope does not reach as far, or it is for pages of other origins.";
    RateLimited, "rate_limited", TOO_MANY_REQUESTS, "Too many requests",
        "The key, or without one the address, has asked more often than it may; `retry_after_s` and the header `Retry-After` say when to come back.";
    NotFound, "not_found", NOT_FOUND, "Nothing at this path",
        "There is no such path; /openapi.json lists those there are.";
    ProductNotFound, "product_not_found", NOT_FOUND, "No such product",
        "The catalog has no product of this id.";
    ImageNotFound, "image_not_found", NOT_FOUND, "The product has no picture",
        "The product exists, but no such picture of it, or none that can be shown.";
    KeyNotFound, "key_not_found", NOT_FOUND, "No such key",
        "There never was a key of this id.";
    CodeNotFound, "code_not_found", NOT_FOUND, "No such error code",
        "The path names an error code that does not exist.";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed",
        "The path exists, but not for this method; the Allow header lists the methods.";
    RequestTimeout, "request_timeout", REQUEST_TIMEOUT, "The body took too long",
        "The body did not arrive in time; send it again over a better connection, or a smaller picture.";
    ProductNotEmbedded, "product_not_embedded", CONFLICT, "The product is not embedded yet",
        "The product has no embedding: its turn is still to come, or its picture cannot be read.";
    NothingBefore, "nothing_before", CONFLICT, "Nothing to go back to",
        "No other model answered before the one in use.";
    PreconditionFailed, "precondition_failed", PRECONDITION_FAILED, "The product is another by now",
        "If-Match or If-None-Match does not hold; `etag` is the product's own, null where there is no product.";
    BodyTooLarge, "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large",
        "More bytes than allowed; `limit_bytes` tells how many are.";
    ImageTooLarge, "image_too_large", PAYLOAD_TOO_LARGE, "The picture has too many pixels",
        "The picture is not decoded; `max_pixels` and `max_edge` tell what would be.";
    UnsupportedMediaType, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "Wrong Content-Type",
        "The Content-Type is not the one that this path reads; `detail` names it.";
    UnsupportedEncoding, "unsupported_encoding", UNSUPPORTED_MEDIA_TYPE, "Wrong Content-Encoding",
        "The body is compressed in a way that this path does not read; `detail` names those that it does.";
    UnsupportedImageFormat, "unsupported_image_format", UNSUPPORTED_MEDIA_TYPE, "No picture that can be read",
        "The file is not a JPEG, PNG, WebP, GIF or BMP, judged by its first bytes.";
    EmptyImage, "empty_image", UNPROCESSABLE_ENTITY, "The picture is empty",
        "The form's `image` field, or the body of an upload, holds no byte.";
    BrokenImage, "broken_image", UNPROCESSABLE_ENTITY, "The picture is broken",
        "The file starts like a picture but cannot be decoded.";
    InvalidBody, "invalid_body", UNPROCESSABLE_ENTITY, "The JSON has a wrong shape",
        "The body is JSON, but a field is missing or of a wrong type; `detail` tells which.";
    InvalidProduct, "invalid_product", UNPROCESSABLE_ENTITY, "The product cannot be taken",
        "A field of the product is missing, of a wrong type, too long or not taken here; `field` names it.";
    Internal, "internal", INTERNAL_SERVER_ERROR, "Internal error",
        "Our fault; the request id finds the cause in the service's log.";
    SettingsInvalid, "settings_invalid", UNPROCESSABLE_ENTITY, "The settings are wrong",
        "The settings were read again and something in them is wrong, as `detail` says; those in force stay.";
    Overloaded, "overloaded", SERVICE_UNAVAILABLE, "Too many requests at once",
        "The service sheds load; try again after the seconds in Retry-After.";
    NotReady, "not_ready", SERVICE_UNAVAILABLE, "Not ready",
        "The service is starting or stopping, has nothing indexed yet, or its model does not answer; `readiness` holds the report of /readyz.";
    StoreUnavailable, "store_unavailable", SERVICE_UNAVAILABLE, "The catalog cannot be changed now",
        "The disk is full, or the database stayed busy: nothing was written. Try again after the seconds in Retry-After.";
    PicturesUnavailable, "pictures_unavailable", SERVICE_UNAVAILABLE, "The pictures cannot be reached now",
        "Where the catalog keeps its pictures does not answer: nothing was written. Try again after the seconds in Retry-After.";
    DeadlineExceeded, "deadline_exceeded", GATEWAY_TIMEOUT, "No answer in time",
        "The service could not answer within its request time-out.";
}

/// By hand: the derive does not see through the macro's renaming.
impl utoipa::PartialSchema for ErrorCode {
    fn schema() -> RefOr<Schema> {
        let rows = Self::ALL.iter().fold(String::new(), |rows, code| {
            format!(
                "{rows}\n| `{}` | {} | {} |",
                code.as_str(),
                code.status().as_u16(),
                code.meaning()
            )
        });
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(format!(
                "| code | status | meaning |\n| --- | --- | --- |{rows}"
            )))
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())));
        RefOr::T(Schema::Object(schema.build()))
    }
}

impl utoipa::ToSchema for ErrorCode {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::ErrorCode;

    #[test]
    fn codes_are_distinct_and_serialize_as_written() {
        let texts: HashSet<_> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(texts.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(
                serde_json::to_value(code).expect("plain"),
                serde_json::json!(code.as_str())
            );
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }
}
