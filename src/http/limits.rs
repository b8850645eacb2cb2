//! Bounds on the work of a route: how many at once, and how long.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::state::{AppState, HttpOptions};

/// What the handlers' own deadlines leave to the last line of defence.
const GRACE: Duration = Duration::from_millis(250);

/// Takes a request on when there is room, else answers 503 at once: a queue here would only make everyone late.
pub async fn shed(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let Ok(_permit) = state.permits.try_acquire() else {
        return ApiError::Overloaded.into_response();
    };
    let time = allowance(request.method(), &state.options);
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::DeadlineExceeded.into_response(),
    }
}

fn allowance(method: &Method, options: &HttpOptions) -> Duration {
    let body = if *method == Method::POST { options.body_timeout } else { Duration::ZERO };
    body + options.request_timeout + GRACE
}
