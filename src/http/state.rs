//! What the handlers work with.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::service::Service;
use crate::util::budget::Budget;

/// Cheap, clonable handles: the service, the metrics, and the limits of the door.
#[derive(Clone)]
pub struct AppState {
    pub service: Service,
    /// The registry that `/metrics` prints.
    pub metrics: PrometheusHandle,
    pub options: Arc<HttpOptions>,
}

impl AppState {
    #[must_use]
    pub fn new(service: Service, metrics: PrometheusHandle, options: HttpOptions) -> Self {
        Self {
            service,
            metrics,
            options: Arc::new(options),
        }
    }
}

impl FromRef<AppState> for Arc<HttpOptions> {
    fn from_ref(state: &AppState) -> Self {
        state.options.clone()
    }
}

/// The limits of the door. Every one of them is a bound on what a stranger can make the service do.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Largest body in bytes; reading stops there.
    pub max_body: usize,
    /// Bytes of the bodies of all requests together: of JSON until it is parsed, of a form from its
    /// arrival until its photo is embedded, of a picture until it is kept.
    pub uploads: Budget,
    /// From the whole request to the answer.
    pub request_timeout: Duration,
    /// For the body to arrive.
    pub body_timeout: Duration,
    /// API requests in work at once; one more is answered 503. Health, metrics and the page are not
    /// counted.
    pub concurrency: usize,
    /// Origins (`https://shop.example`) whose pages may call the API from a browser; none by
    /// default.
    pub allowed_origins: Vec<String>,
    /// Put before the path in `image_url` and `picture_url`, and named as the server in the OpenAPI
    /// document; without a slash at its end. Empty: the path alone.
    pub public_url: String,
    /// Whether products can be written.
    pub writes: bool,
    /// A search that takes so long gets a line of its own in the log; `None`: none does.
    pub slow_query: Option<Duration>,
    /// Whether such a line has the words of the query.
    pub slow_query_text: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_body: 10 << 20,
            uploads: Budget::new(256 << 20),
            request_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            concurrency: 256,
            allowed_origins: Vec::new(),
            public_url: String::new(),
            writes: false,
            slow_query: None,
            slow_query_text: false,
        }
    }
}
