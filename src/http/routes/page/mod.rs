//! `/`: the search page for people. Its files are in the binary; nothing comes from elsewhere.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::http::layers::etag::{etag, matches};
use crate::util::digest::sha256;

struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const FILES: [File; 10] = [
    File {
        path: "/",
        kind: "text/html; charset=utf-8",
        text: include_str!("index.html"),
    },
    File {
        path: "/page/app.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("app.js"),
    },
    File {
        path: "/page/address.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("address.js"),
    },
    File {
        path: "/page/cards.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("cards.js"),
    },
    File {
        path: "/page/dom.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("dom.js"),
    },
    File {
        path: "/page/facets.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("facets.js"),
    },
    File {
        path: "/page/photo.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("photo.js"),
    },
    File {
        path: "/page/request.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("request.js"),
    },
    File {
        path: "/page/style.css",
        kind: "text/css; charset=utf-8",
        text: include_str!("style.css"),
    },
    File {
        path: "/page/icon.svg",
        kind: "image/svg+xml",
        text: include_str!("icon.svg"),
    },
];

/// No inline script or style, no frames, nothing from other origins but product pictures of the
/// shop.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data: https:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    FILES
        .iter()
        .map(|file| etag(&sha256(file.text.as_bytes())))
        .collect()
});

pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES
        .iter()
        .enumerate()
        .fold(Router::new(), |router, (index, file)| {
            router.route(
                file.path,
                get(move |headers: HeaderMap| async move { serve(index, &headers) }),
            )
        })
}

fn serve(index: usize, headers: &HeaderMap) -> Response {
    let (file, tag) = (&FILES[index], &TAGS[index]);
    // Always asked again, so that a new version of the service shows its own page; 304 makes that
    // cheap.
    let cache = [
        (header::ETAG, tag.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    if matches(headers, tag) {
        return (StatusCode::NOT_MODIFIED, cache).into_response();
    }
    let kind = [
        (header::CONTENT_TYPE, HeaderValue::from_static(file.kind)),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("geolocation=(), microphone=()"),
        ),
    ];
    (cache, kind, file.text).into_response()
}
