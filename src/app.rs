//! Owns the parts: the order in which they start, the index that follows the catalog, the order in
//! which they stop.
//!
//! Start: the address is bound first (a taken port is the commonest mistake and should not be reported
//! after a minute), then the model, the catalog, the saved index. When none fits, requests are
//! answered at once and `/readyz` says no until one is built. Stop: `/readyz` says no, a load
//! balancer gets the time to see it, requests in work are answered within a bound, the database is
//! closed.

use metrics_exporter_prometheus::PrometheusHandle;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpListener;

use crate::catalog::{Catalog, CatalogError};
use crate::config::Config;
use crate::encode::{EncodeError, Encoder};
use crate::http::{self, AppState, Bounds, HttpOptions};
use crate::index::lexical::SynonymsError;
use crate::model::{ModelError, ModelFolder};
use crate::service::generation::{self, GenerationError};
use crate::service::thesaurus::Thesaurus;
use crate::service::{Follower, Making, Service, ServiceOptions};
use crate::telemetry;
use crate::util::blocking::{BlockingError, blocking};
use crate::util::budget::Budget;

/// Why the service does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the model in {folder} does not start: {source}", folder = folder.display())]
    Encoder {
        folder: PathBuf,
        source: EncodeError,
    },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Synonyms(#[from] SynonymsError),
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error("the search workers do not start: {0}")]
    Workers(#[source] std::io::Error),
    #[error(transparent)]
    Blocking(#[from] BlockingError),
    #[error("the server's socket failed: {0}")]
    Serve(#[source] std::io::Error),
}

/// A service that is bound, and whose parts are up.
pub struct App {
    listener: TcpListener,
    service: Service,
    metrics: PrometheusHandle,
    config: Config,
}

impl App {
    /// Brings the parts up in their order.
    ///
    /// # Errors
    /// When one of them does not come up; the error names it.
    pub async fn start(config: Config, metrics: PrometheusHandle) -> Result<Self, AppError> {
        let address = config.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| AppError::Listen { address, source })?;
        let encoder = start_encoder(&config).await?;
        let catalog = Catalog::open_with(&config.data, config.picture_hosts.clone()).await?;
        if catalog.is_empty().await? {
            let data = catalog.data().display();
            tracing::warn!(%data, "the catalog is empty: import products into this folder, or name another one");
        }
        let making = Making {
            words_percent: config.words_percent,
            language: config.language,
            types: config.types.clone(),
        };
        let thesaurus = Thesaurus::read(config.language, config.synonyms.clone())?;
        let first = generation::restore(&catalog, encoder, &making).await?;
        let options = ServiceOptions {
            known: config.known.clone(),
            queue: config.encoder.queue,
            refresh: config.refresh,
            keep: config.keep,
            making,
        };
        let service =
            Service::new(catalog, first, thesaurus, options).map_err(AppError::Workers)?;
        Ok(Self {
            listener,
            service,
            metrics,
            config,
        })
    }

    /// Where it listens: the port that was given for port 0.
    ///
    /// # Errors
    /// When the socket has no address, which does not happen to one that is bound.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` completes and the requests in work are answered.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), AppError> {
        let Self {
            listener,
            service,
            metrics,
            config,
        } = self;
        let upkeep = tokio::spawn(telemetry::keep_metrics(metrics.clone()));
        let following = tokio::spawn(Follower::new(service.clone()).run());
        let parts = AppState::new(service.clone(), metrics, door(&config));
        let served = http::serve(
            listener,
            http::router(parts),
            async {
                shutdown.await;
                service.set_stopping();
                tokio::time::sleep(config.stop_delay).await;
            },
            Bounds::within_files(config.max_connections, config.drain),
        )
        .await;
        // Between two transactions nothing is lost: what was written down stays.
        following.abort();
        let _ = following.await;
        upkeep.abort();
        service.shutdown().await;
        served.map(|_| ()).map_err(AppError::Serve)
    }
}

/// The limits of the door, as the settings have them.
fn door(config: &Config) -> HttpOptions {
    HttpOptions {
        max_body: config.max_body_bytes,
        uploads: Budget::new(config.max_upload_bytes as u64),
        request_timeout: config.request_timeout,
        body_timeout: config.body_timeout,
        concurrency: config.max_concurrency,
        allowed_origins: config.cors_origins.clone(),
        public_url: config.public_url.clone(),
        writes: config.writes,
        slow_query: config.slow_query,
        slow_query_text: config.slow_query_text,
    }
}

async fn start_encoder(config: &Config) -> Result<Encoder, AppError> {
    let (path, options) = (config.model.clone(), config.encoder.clone());
    blocking(move || {
        let folder = ModelFolder::open(&path)?;
        let encoder = Encoder::start(&folder, &options).map_err(|source| AppError::Encoder { folder: path, source })?;
        tracing::info!(model = encoder.model_name(), id = folder.id().short(), provider = ?encoder.provider(), "model");
        Ok(encoder)
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn the_door_is_as_the_settings_say() {
        let settings = Settings {
            max_body_bytes: Some(2_000),
            request_timeout_ms: Some(70),
            body_timeout_ms: Some(90),
            max_concurrency: Some(3),
            cors_origins: Some(vec!["https://shop.example".to_owned()]),
            public_url: Some("https://api.shop.example/".to_owned()),
            writes: Some(true),
            ..Settings::default()
        };
        let door = door(&Config::check(settings).expect("valid"));
        assert_eq!((door.max_body, door.concurrency), (2_000, 3));
        assert_eq!(
            (
                door.request_timeout.as_millis(),
                door.body_timeout.as_millis()
            ),
            (70, 90)
        );
        assert_eq!(door.allowed_origins, ["https://shop.example"]);
        assert_eq!(door.public_url, "https://api.shop.example");
        assert!(door.writes);
    }
}
