//! What the handlers work with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::extract::FromRef;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;
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
    pub stage: Stage,
    /// The registry that `/metrics` prints.
    pub metrics: PrometheusHandle,
    pub options: Arc<HttpOptions>,
    pub(super) probe: Arc<Probe>,
}

impl AppState {
    #[must_use]
    pub fn new(
        encoder: Encoder,
        searcher: Searcher,
        catalog: Catalog,
        stage: Stage,
        metrics: PrometheusHandle,
        options: HttpOptions,
    ) -> Self {
        Self {
            encoder,
            searcher,
            catalog,
            stage,
            metrics,
            options: Arc::new(options),
            probe: Arc::default(),
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
    /// The bodies of all requests together.
    pub uploads: UploadBudget,
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
    /// Put before the path in `image_url`, and named as the server in the OpenAPI document; without
    /// a slash at its end. Empty: the path alone.
    pub public_url: String,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_body: 10 << 20,
            uploads: UploadBudget::new(256 << 20),
            request_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            concurrency: 256,
            allowed_origins: Vec::new(),
            public_url: String::new(),
        }
    }
}

/// Counts the bytes of request bodies that are held in memory: of JSON until it is parsed, of a
/// form from its arrival until its photo is embedded. Clones share the count.
#[derive(Clone, Debug)]
pub struct UploadBudget(Arc<Semaphore>);

impl UploadBudget {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Nothing taken yet.
    pub(super) fn share(&self) -> UploadShare {
        UploadShare {
            budget: self.0.clone(),
            taken: None,
        }
    }
}

/// One request's part of an [`UploadBudget`]; gives it back when dropped.
pub(super) struct UploadShare {
    budget: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl UploadShare {
    /// Takes room for `bytes` more, or says at once that there is none: whoever waited for room
    /// while holding some could wait for ever.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
        let more = self
            .budget
            .clone()
            .try_acquire_many_owned(wanted)
            .map_err(|_| ApiError::Overloaded)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

/// Where the service is between its start and its end: set by whoever starts and stops it, shown by
/// `/readyz`.
#[derive(Clone, Default)]
pub struct Stage(Arc<AtomicU8>);

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const STOPPING: u8 = 2;

impl Stage {
    /// An index is in use: searches are answered from now on.
    pub fn set_serving(&self) {
        // Never back from stopping.
        let _ = self
            .0
            .compare_exchange(STARTING, SERVING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// No new requests are wanted; those that come all the same are answered.
    pub fn set_stopping(&self) {
        self.0.store(STOPPING, Ordering::Release);
    }

    #[must_use]
    pub fn starting(&self) -> bool {
        self.0.load(Ordering::Acquire) == STARTING
    }

    #[must_use]
    pub fn stopping(&self) -> bool {
        self.0.load(Ordering::Acquire) == STOPPING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stopping_does_not_start_again() {
        let stage = Stage::default();
        assert!(stage.starting());
        stage.set_serving();
        assert!(!stage.starting() && !stage.stopping());
        stage.set_stopping();
        stage.set_serving();
        assert!(stage.stopping());
    }
}
