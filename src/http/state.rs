//! What the handlers work with.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::FromRef;
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{mpsc, oneshot};

use crate::config::Reloaded;
use crate::domain::{Rate, Scope};
use crate::service::{Door, Service};
use crate::util::budget::Budget;

/// Who is asked to take over the settings that can change while the service runs.
pub type Reloads = mpsc::Sender<oneshot::Sender<Result<Reloaded, ReloadFault>>>;

/// Why settings were not taken over.
#[derive(Debug, thiserror::Error)]
#[error("nothing was taken over: {0}")]
pub struct ReloadFault(pub String);

/// Cheap, clonable handles: the service, the metrics, and the limits of the door.
#[derive(Clone)]
pub struct AppState {
    pub service: Service,
    /// The registry that `/metrics` prints.
    pub metrics: PrometheusHandle,
    pub options: Arc<HttpOptions>,
    pub reloads: Option<Reloads>,
}

impl AppState {
    #[must_use]
    pub fn new(service: Service, metrics: PrometheusHandle, options: HttpOptions) -> Self {
        Self {
            service,
            metrics,
            options: Arc::new(options),
            reloads: None,
        }
    }

    /// With somebody who takes over other settings.
    #[must_use]
    pub fn with_reloads(self, reloads: Reloads) -> Self {
        Self {
            reloads: Some(reloads),
            ..self
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
    /// Put before the path in `image_url` and `picture_url`, and named as the server in the OpenAPI
    /// document; without a slash at its end. Empty: the path alone.
    pub public_url: String,
    pub listener: Listener,
    /// The same for all listeners.
    pub live: Arc<ArcSwap<LiveOptions>>,
    /// A search that takes so long gets a line of its own in the log; `None`: none does.
    pub slow_query: Option<Duration>,
    /// Whether such a line has the words of the query.
    pub slow_query_text: bool,
}

/// Whom a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Everybody.
    Public,
    /// The shop's own systems: while there are no keys, whoever reaches it may do everything.
    Admin,
}

/// What can change while the service runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveOptions {
    /// Whether searches need no key, also when there are keys.
    pub open_search: bool,
    /// How often an address may ask without a key of its own.
    pub address_rate: Option<Rate>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins (`https://shop.example`) whose pages may call the API from a browser.
    pub allowed_origins: Vec<String>,
}

impl HttpOptions {
    /// How far the listener is open without a key.
    #[must_use]
    pub fn door(&self) -> Door {
        let unlocked = match self.listener {
            Listener::Public => Scope::Search,
            Listener::Admin => Scope::Admin,
        };
        Door {
            unlocked: Some(unlocked),
            always: self.live.load().open_search.then_some(Scope::Search),
        }
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_body: 10 << 20,
            uploads: Budget::new(256 << 20),
            request_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            concurrency: 256,
            public_url: String::new(),
            listener: Listener::Public,
            live: Arc::default(),
            slow_query: None,
            slow_query_text: false,
        }
    }
}
