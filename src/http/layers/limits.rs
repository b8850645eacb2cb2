//! Bounds on the work of a route: how many at once, and how long; and its end when the service stops.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::output::error::ApiError;
use crate::http::state::HttpOptions;
use crate::service::Service;

/// What the handlers' own deadlines leave to the last line of defence.
const GRACE: Duration = Duration::from_millis(250);

/// The door to the routes that do work.
#[derive(Clone)]
pub struct Gate {
    permits: Arc<Semaphore>,
    options: Arc<HttpOptions>,
}

impl Gate {
    pub fn new(options: Arc<HttpOptions>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(options.concurrency)),
            options,
        }
    }

    /// The arrival of a body has a time of its own.
    fn allowance(&self, method: &Method) -> Duration {
        let body = if has_body(method) {
            self.options.body_timeout
        } else {
            Duration::ZERO
        };
        body + self.options.request_timeout + GRACE
    }
}

/// An answer of a service that stops ends its connection (RFC 9112, section 9.6): a client that keeps it
/// open would send its next request into one that is about to close. HTTP/2 has a frame for that.
pub async fn leave(State(service): State<Service>, request: Request, next: Next) -> Response {
    let version = request.version();
    let mut response = next.run(request).await;
    if service.stopping() && version <= Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

fn has_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// One request's place in the work; shared by the layer, which holds it for as long as the request
/// is answered, and by whoever reads the body, who takes it.
#[derive(Clone)]
pub struct Place {
    gate: Gate,
    permit: Arc<OnceLock<OwnedSemaphorePermit>>,
}

impl Place {
    /// Takes a place, or says that there is none: a queue here would only make everyone late.
    pub fn take(&self) -> Result<(), ApiError> {
        let permit = Arc::clone(&self.gate.permits).try_acquire_owned();
        let permit = permit.map_err(|_| ApiError::Overloaded)?;
        // A second permit of the same request is given back.
        let _ = self.permit.set(permit);
        Ok(())
    }
}

/// Takes a request on when there is room, else answers 503 at once. A request with a body takes its
/// place when the body has arrived ([`body`](crate::http::input::body)): until then it costs a
/// connection and its bytes, which have bounds of their own, and keeps nobody out.
pub async fn shed(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let allowance = gate.allowance(request.method());
    let place = Place {
        gate,
        permit: Arc::default(),
    };
    if !has_body(request.method())
        && let Err(full) = place.take()
    {
        return full.into_response();
    }
    // Whoever answers beyond the head of the answer keeps the place for as long.
    request.extensions_mut().insert(place.clone());
    match tokio::time::timeout(allowance, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::DeadlineExceeded.into_response(),
    }
}
