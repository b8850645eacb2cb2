//! The API, its errors, its OpenAPI document and the search page: the only room that knows HTTP.
//!
//! | room | what it holds |
//! | --- | --- |
//! | `routes` | the handlers, a file a path |
//! | `input` | query strings, forms and JSON -> domain values |
//! | `output` | products, pages and errors as clients see them |
//! | `layers` | what a request passes before and after its handler |
//! | `moving` | a connection that ends when nothing moves on it |
//! | `openapi` | the OpenAPI document, assembled from the routes |
//! | `serve` | the loop that accepts connections, and its end |
//! | `state` | what the handlers work with, and the limits |
//! | `tls` | a certificate, read again when its files change |
//!
//! A request passes, from outside: `gzip` -> `edge` (request id, trace, metrics, access log,
//! problem documents) -> `cors` (closed unless origins are named) -> panics caught -> `access` (keys,
//! rates) -> for the routes that do work, `limits` (how many at once, how long) -> the handler, whose
//! extractors read no more of the body than allowed.
//!
//! Refuses what it cannot read (4xx) and more than it can take on (503), always with a problem
//! document (see [`ErrorCode`]). Fails with 500 only by a fault of ours, and then tells the client
//! nothing but the request id.

mod input;
mod layers;
mod moving;
mod openapi;
mod output;
mod routes;
mod serve;
mod state;
#[cfg(test)]
mod tests;
mod tls;

use std::any::Any;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Uri, uri::PathAndQuery};
use axum::middleware::{from_fn_with_state, map_request};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use layers::cors::{self, Origins};
pub use layers::edge::describe_metrics;
use layers::{access, edge, limits};
pub use openapi::{document, document_text};
pub use output::error::{ApiError, ErrorCode};
use routes::page;
pub use serve::{Bounds, serve};
pub use state::{AppState, HttpOptions, Listener, LiveOptions, ReloadFault, Reloads};
pub use tls::{Tls, TlsError};

/// The whole service.
pub fn router(state: AppState) -> Router {
    let (work, _) = openapi::work().split_for_parts();
    let (watch, _) = openapi::watch().split_for_parts();
    let gate = limits::Gate::new(state.options.clone());
    let guard = access::Guard::new(state.service.clone(), state.options.clone());
    // Whoever asks the admin listener does not come by the public address.
    let public_url = match state.options.listener {
        Listener::Public => state.options.public_url.as_str(),
        Listener::Admin => "",
    };
    let routes = work
        .route_layer(from_fn_with_state(gate, limits::shed))
        .merge(watch)
        .merge(openapi::docs())
        .merge(page::routes(public_url))
        .route_layer(from_fn_with_state(guard, access::access))
        .route_layer(from_fn_with_state(state.service.clone(), limits::leave));
    let origins = Origins {
        options: state.options.clone(),
        service: Some(state.service.clone()),
    };
    layered(routes.with_state(state), origins)
}

/// What every route passes through. Apart from [`router`] so that tests can put slow and failing
/// handlers behind it.
fn layered(routes: Router, origins: Origins) -> Router {
    let options = origins.options.clone();
    let layers = routes
        .fallback(async || ApiError::NoRoute)
        // The extractors have their own limits, which also tell what they are.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(origins, cors::cors))
        .layer(from_fn_with_state(options, edge::edge))
        .layer(CompressionLayer::new());
    // Around the routes, since a path must be rewritten before they are matched.
    Router::new()
        .fallback_service(layers)
        .layer(map_request(without_trailing_slash))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the layer asks for"
)]
fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    ApiError::internal("a handler panicked", std::io::Error::other(text.to_owned())).into_response()
}

/// `/search/` is `/search`. Swagger UI lives under `/docs/` and needs its slash.
async fn without_trailing_slash(mut request: Request) -> Request {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() == path.len() || trimmed.is_empty() || trimmed == "/docs" {
        return request;
    }
    let rewritten = match request.uri().query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    if let Ok(path_and_query) = PathAndQuery::try_from(rewritten) {
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}
