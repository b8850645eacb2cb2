//! Owns the parts: the order in which they start, the index that follows the catalog, the order in
//! which they stop.
//!
//! Start: the address is bound first (a taken port is the commonest mistake and should not be told
//! after a minute), then the model, the catalog, the saved index. When none fits, requests are
//! answered at once and `/readyz` says no until one is built. Stop: `/readyz` says no, a load
//! balancer gets the time to see it, requests in work are answered within a bound, the database is
//! closed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::catalog::ingest::{self, IngestError};
use crate::catalog::{Catalog, CatalogError};
use crate::config::Config;
use crate::encode::{EncodeError, Encoder};
use crate::http::{self, AppState, HttpOptions, Stage, UploadBudget};
use crate::model::{ModelError, ModelFolder};
use crate::search::{Entry, IndexVersion, SearchError, Searcher, rank};
use crate::telemetry::{self, BlockingError};

/// How often the state of an embedding in progress is looked at when the configuration says never.
const SETTLE: Duration = Duration::from_secs(2);
/// After an index was built, this many times what that took is left to searches before the next.
const REST: u32 = 5;

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
    Index(#[from] SearchError),
    #[error(transparent)]
    Blocking(#[from] BlockingError),
    #[error("the server's socket failed: {0}")]
    Serve(#[source] std::io::Error),
}

/// A service that is bound, and whose parts are up.
pub struct App {
    listener: TcpListener,
    keeper: Keeper,
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
        let catalog = Catalog::open(&config.data).await?;
        let keeper = Keeper::new(catalog, encoder, config.words_percent).await?;
        Ok(Self {
            listener,
            keeper,
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
            keeper,
            metrics,
            config,
        } = self;
        let stage = keeper.stage.clone();
        let Keeper {
            encoder,
            searcher,
            catalog,
            ..
        } = keeper.clone();
        let upkeep = tokio::spawn(telemetry::keep_metrics(metrics.clone()));
        let parts = AppState::new(
            encoder.clone(),
            searcher,
            catalog.clone(),
            stage.clone(),
            metrics,
            door(&config),
        );
        let keeping = tokio::spawn(keeper.keep(config.refresh));
        let served = http::serve(
            listener,
            http::router(parts),
            async {
                shutdown.await;
                stage.set_stopping();
                tokio::time::sleep(config.stop_delay).await;
            },
            config.drain,
        )
        .await;
        // Between two transactions nothing is lost: what was written down stays.
        keeping.abort();
        let _ = keeping.await;
        upkeep.abort();
        // Its threads end before the process does, and none of the runtime's waits for them.
        encoder.shutdown().await;
        catalog.close().await;
        served.map(|_| ()).map_err(AppError::Serve)
    }
}

/// The limits of the door, as the settings have them.
fn door(config: &Config) -> HttpOptions {
    HttpOptions {
        max_body: config.max_body_bytes,
        uploads: UploadBudget::new(config.max_upload_bytes),
        request_timeout: config.request_timeout,
        body_timeout: config.body_timeout,
        concurrency: config.max_concurrency,
        allowed_origins: config.cors_origins.clone(),
        public_url: config.public_url.clone(),
    }
}

async fn start_encoder(config: &Config) -> Result<Encoder, AppError> {
    let (path, options) = (config.model.clone(), config.encoder.clone());
    telemetry::blocking(move || {
        let folder = ModelFolder::open(&path)?;
        let encoder = Encoder::start(&folder, &options).map_err(|source| AppError::Encoder { folder: path, source })?;
        tracing::info!(model = encoder.model_name(), id = folder.id().short(), provider = ?encoder.provider(), "model");
        Ok(encoder)
    })
    .await?
}

/// Keeps the index what the catalog says: embeds what has no embedding, and follows what an import
/// changes.
#[derive(Clone)]
struct Keeper {
    catalog: Catalog,
    encoder: Encoder,
    searcher: Searcher,
    stage: Stage,
    words_percent: u8,
}

impl Keeper {
    /// With the saved index when it fits, else with an empty one.
    async fn new(catalog: Catalog, encoder: Encoder, words_percent: u8) -> Result<Self, AppError> {
        let nothing = IndexVersion {
            catalog: 0,
            model: encoder.model_id().clone(),
            words_percent,
        };
        let searcher = Searcher::empty(nothing, encoder.dimensions());
        let keeper = Self {
            catalog,
            encoder,
            searcher,
            stage: Stage::default(),
            words_percent,
        };
        let started = Instant::now();
        let (searcher, folder) = (keeper.searcher.clone(), keeper.folder());
        let version = keeper.version(keeper.catalog.revision().await?);
        if telemetry::blocking(move || searcher.restore(&folder, &version)).await? {
            tracing::info!(products = keeper.searcher.len(), elapsed = ?started.elapsed(), "saved index loaded");
            keeper.stage.set_serving();
        }
        Ok(keeper)
    }

    /// For as long as the service runs.
    async fn keep(self, refresh: Option<Duration>) {
        // Beside the index, so that a catalog in the making can be searched. A set, so that it ends
        // with its keeper.
        let mut embedding = JoinSet::new();
        embedding.spawn(self.clone().embed());
        loop {
            let started = Instant::now();
            let built = match self.follow().await {
                Ok(built) => built,
                Err(error) => {
                    tracing::error!(%error, "the index could not be brought up to date; the one in use stays");
                    false
                }
            };
            let rest = if built {
                started.elapsed() * REST
            } else {
                Duration::ZERO
            };
            tokio::time::sleep(refresh.unwrap_or(SETTLE).max(rest)).await;
            while embedding.try_join_next().is_some() {}
            if !embedding.is_empty() {
                continue;
            }
            if refresh.is_none() {
                // One more look: the last embeddings may have come after `follow` read the catalog.
                if let Err(error) = self.follow().await {
                    tracing::error!(%error, "the index could not be brought up to date");
                }
                return;
            }
            if self.pending().await {
                embedding.spawn(self.clone().embed());
            }
        }
    }

    /// Whether products wait for their embedding.
    async fn pending(&self) -> bool {
        self.catalog
            .counts(self.encoder.model_id())
            .await
            .is_ok_and(|counts| counts.pending > 0)
    }

    async fn embed(self) {
        let progress = ingest::Progress::default();
        match ingest::embed_missing(&self.catalog, &self.encoder, &progress).await {
            Ok(done) if done.photos + done.words + done.failed > 0 => {
                tracing::info!(
                    photos = done.photos,
                    words = done.words,
                    failed = done.failed,
                    "catalog embedded"
                );
            }
            Ok(_) => {}
            // The import embeds what it brings.
            Err(IngestError::Catalog(CatalogError::Locked { .. })) => {
                tracing::info!("an import is running")
            }
            Err(error) => tracing::error!(%error, "the catalog could not be embedded"),
        }
    }

    /// Builds and saves a new index when the catalog has changed; whether it had.
    async fn follow(&self) -> Result<bool, AppError> {
        let revision = self.catalog.revision().await?;
        if self.searcher.version() == self.version(revision) {
            return Ok(false);
        }
        let started = Instant::now();
        let snapshot = self
            .catalog
            .embedded(self.encoder.model_id(), self.encoder.dimensions())
            .await?;
        let version = self.version(snapshot.revision);
        let (searcher, percent, folder) =
            (self.searcher.clone(), self.words_percent, self.folder());
        telemetry::blocking(move || -> Result<(), SearchError> {
            let entries = snapshot.products.into_iter().filter_map(|product| {
                let embedding =
                    rank::fuse(product.photo.as_ref(), product.words.as_ref(), percent)?;
                Some(Entry {
                    key: product.key,
                    embedding,
                    attributes: product.attributes,
                })
            });
            searcher.rebuild(version, entries.collect())?;
            if let Err(error) = searcher.save(&folder) {
                // It serves all the same; the next start builds it again.
                tracing::warn!(%error, "the index could not be saved");
            }
            Ok(())
        })
        .await??;
        tracing::info!(products = self.searcher.len(), elapsed = ?started.elapsed(), "index built");
        self.stage.set_serving();
        Ok(true)
    }

    fn version(&self, catalog: u64) -> IndexVersion {
        IndexVersion {
            catalog,
            model: self.encoder.model_id().clone(),
            words_percent: self.words_percent,
        }
    }

    fn folder(&self) -> PathBuf {
        self.catalog.data().join("index")
    }
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
    }
}
