//! Pages of other origins: which may call the API from a browser (the CORS protocol of the Fetch
//! standard). Those of the setting `cors_origins`, and those that a key was made for.
//!
//! For any other origin there is no header, and the browser keeps its page out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tower::{Layer, ServiceExt};
use tower_http::cors::CorsLayer;

use crate::http::state::HttpOptions;
use crate::service::Service;

/// Who knows which origins may call.
#[derive(Clone)]
pub struct Origins {
    pub options: Arc<HttpOptions>,
    /// `None`: there are no keys.
    pub service: Option<Service>,
}

impl Origins {
    fn allow(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let live = self.options.live.load();
        live.allowed_origins.iter().any(|own| own == origin)
            || self.service.as_ref().is_some_and(|s| s.has_key_of(origin))
    }
}

pub async fn cors(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let Some(origin) = origin.filter(|origin| origins.allow(origin)) else {
        return next.run(request).await;
    };
    let own = |names: &[&'static str]| -> Vec<HeaderName> {
        names
            .iter()
            .map(|name| HeaderName::from_static(name))
            .collect()
    };
    let mut asked = own(&["x-request-id", "traceparent"]);
    asked.extend([header::CONTENT_TYPE, header::AUTHORIZATION]);
    let mut shown = own(&["x-request-id", "ratelimit", "ratelimit-policy"]);
    shown.push(header::RETRY_AFTER);
    let layer = CorsLayer::new()
        .allow_origin([origin])
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(asked)
        .expose_headers(shown)
        .max_age(Duration::from_hours(1));
    let answered: Result<Response, Infallible> = layer.layer(next).oneshot(request).await;
    match answered {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
