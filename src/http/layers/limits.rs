//! Bounds on the work of a route: how many at once, and how long.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::http::output::error::ApiError;
use crate::http::state::HttpOptions;

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

    /// Bodies come with POST alone, and their arrival has a time of its own.
    fn allowance(&self, method: &Method) -> Duration {
        let body = if *method == Method::POST {
            self.options.body_timeout
        } else {
            Duration::ZERO
        };
        body + self.options.request_timeout + GRACE
    }
}

/// Takes a request on when there is room, else answers 503 at once: a queue here would only make
/// everyone late.
pub async fn shed(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Ok(_permit) = gate.permits.try_acquire() else {
        return ApiError::Overloaded.into_response();
    };
    let allowance = gate.allowance(request.method());
    match tokio::time::timeout(allowance, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::DeadlineExceeded.into_response(),
    }
}
