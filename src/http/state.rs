//! What the handlers work with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use super::health::Probe;
use crate::catalog::Catalog;
use crate::encode::Encoder;
use crate::search::Searcher;

/// Cheap, clonable handles on the parts, and the limits of the door.
#[derive(Clone)]
pub struct AppState {
    pub encoder: Encoder,
    pub searcher: Searcher,
    pub catalog: Catalog,
    pub progress: Progress,
    /// The registry that `/metrics` prints.
    pub metrics: PrometheusHandle,
    pub options: Arc<HttpOptions>,
    pub(super) probe: Arc<Probe>,
    pub(super) permits: Arc<Semaphore>,
}

impl AppState {
    #[must_use]
    pub fn new(
        encoder: Encoder,
        searcher: Searcher,
        catalog: Catalog,
        progress: Progress,
        metrics: PrometheusHandle,
        options: HttpOptions,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(options.concurrency));
        let options = Arc::new(options);
        Self { encoder, searcher, catalog, progress, metrics, options, probe: Arc::default(), permits }
    }
}

/// The limits of the door. Every one of them is a bound on what a stranger can make the service do.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Largest body in bytes; reading stops there.
    pub max_body: usize,
    /// From the whole request to the answer.
    pub request_timeout: Duration,
    /// For the body to arrive.
    pub body_timeout: Duration,
    /// API requests in work at once; one more is answered 503. Health, metrics and the page are not counted.
    pub concurrency: usize,
    /// Origins (`https://shop.example`) whose pages may call the API from a browser; none by default.
    pub allowed_origins: Vec<String>,
    /// Put before the path in `image_url`, without a slash at its end; empty: the path alone.
    pub public_url: String,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_body: 10 * 1024 * 1024,
            request_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            concurrency: 256,
            allowed_origins: Vec::new(),
            public_url: String::new(),
        }
    }
}

/// How far the start is, and the embedding of the catalog: written by `app`, read by `/readyz`.
#[derive(Clone, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Default)]
struct Counters {
    ready: AtomicBool,
    draining: AtomicBool,
    embedding: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
    failed: AtomicU64,
}

/// The embedding of the catalog at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct EmbeddingProgress {
    /// Whether it is going on.
    pub running: bool,
    /// Products done since it began.
    pub done: u64,
    /// Products that had no embedding when it began.
    pub total: u64,
    /// Products whose picture could not be embedded.
    pub failed: u64,
}

impl Progress {
    /// An index is in use: searches are answered from now on.
    pub fn set_ready(&self) {
        self.0.ready.store(true, Ordering::Release);
    }

    /// The service is stopping: `/readyz` says no, so that no new request is sent here.
    pub fn set_draining(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    pub fn set_embedding(&self, progress: EmbeddingProgress) {
        self.0.done.store(progress.done, Ordering::Relaxed);
        self.0.total.store(progress.total, Ordering::Relaxed);
        self.0.failed.store(progress.failed, Ordering::Relaxed);
        self.0.embedding.store(progress.running, Ordering::Release);
    }

    #[must_use]
    pub fn embedding(&self) -> EmbeddingProgress {
        EmbeddingProgress {
            running: self.0.embedding.load(Ordering::Acquire),
            done: self.0.done.load(Ordering::Relaxed),
            total: self.0.total.load(Ordering::Relaxed),
            failed: self.0.failed.load(Ordering::Relaxed),
        }
    }

    #[must_use]
    pub fn ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    #[must_use]
    pub fn draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }
}
