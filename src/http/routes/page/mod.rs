//! `/`: the search page for people. Its files are in the binary; nothing comes from elsewhere.

use std::sync::Arc;

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

/// `public_url`: where clients reach the service. Its path goes before the addresses of the page for
/// those who come that way; for all others they are relative, so that the page works behind a proxy
/// that takes a path away, at its folder (`/find/`), and at the service itself.
pub fn routes<S: Clone + Send + Sync + 'static>(public_url: &str) -> Router<S> {
    let public: Option<(String, String)> = public_url.split_once("://").and_then(|(_, rest)| {
        let (host, path) = rest.split_once('/')?;
        Some((host.to_owned(), format!("/{}/", path.trim_matches('/'))))
    });
    let public = Arc::new(public);
    FILES.iter().fold(Router::new(), |router, file| {
        let plain = Arc::new(Page::of(file, ""));
        let prefixed = public
            .as_ref()
            .as_ref()
            .map(|(_, path)| Page::of(file, path));
        let (prefixed, public) = (Arc::new(prefixed), public.clone());
        let answer = move |headers: HeaderMap| async move {
            let host = headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok());
            let comes_that_way = public
                .as_ref()
                .as_ref()
                .is_some_and(|(public, _)| Some(public.as_str()) == host);
            match prefixed.as_ref() {
                Some(page) if comes_that_way => page.answer(&headers),
                _ => plain.answer(&headers),
            }
        };
        router.route(file.path, get(answer))
    })
}

/// A file as it is served.
struct Page {
    kind: &'static str,
    text: String,
    tag: String,
}

impl Page {
    /// `root`: what comes before the addresses in the page; nothing where they are relative.
    fn of(file: &File, root: &str) -> Self {
        let mut text = file.text.to_owned();
        if file.path == "/" && !root.is_empty() {
            for relative in ["page/", "docs/", "openapi.json", "readyz"] {
                text = text.replace(&format!("=\"{relative}"), &format!("=\"{root}{relative}"));
            }
            text = text.replace("href=\"./\"", &format!("href=\"{root}\""));
        }
        Self {
            kind: file.kind,
            tag: etag(&sha256(text.as_bytes())),
            text,
        }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let Self { kind, text, tag } = self;
        // Always asked again, so that a new version of the service shows its own page; 304 makes that
        // cheap.
        let cache = [
            (header::ETAG, tag.as_str()),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        if matches(headers, tag) {
            return (StatusCode::NOT_MODIFIED, cache).into_response();
        }
        let kinds = [
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
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
        (cache, kinds, text.clone()).into_response()
    }
}
