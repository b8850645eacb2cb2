//! Owns the parts: the order in which they start, the index that follows the catalog, the order in
//! which they stop.
//!
//! Start: the address is bound first (a taken port is the commonest mistake and should not be reported
//! after a minute), then the model, the catalog, the saved index. When none fits, requests are
//! answered at once and `/readyz` says no until one is built. Stop: `/readyz` says no, a load
//! balancer gets the time to see it, requests in work are answered within a bound, the database is
//! closed. In between, the settings that can change are taken over when they are asked for again.

use metrics_exporter_prometheus::PrometheusHandle;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::catalog::{Catalog, CatalogError, VectorPlace};
use crate::config::{Config, ConfigError, Reloaded};
use crate::domain::Served;
use crate::encode::{EncodeError, Encoder};
use crate::gate;
use crate::http::{
    self, AppState, Bounds, HttpOptions, Listener, LiveOptions, ReloadFault, Reloads, Tls, TlsError,
};
use crate::index::lexical::SynonymsError;
use crate::model::{ModelError, ModelFolder};
use crate::service::generation::{self, GenerationError};
use crate::service::thesaurus::Thesaurus;
use crate::service::{
    Changer, Follower, Making, Service, ServiceError, ServiceOptions, access, feeds, in_use,
};
use crate::telemetry::{self, LogFilter};
use crate::util::blocking::{BlockingError, blocking};
use crate::util::budget::Budget;

/// Why the service does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("cannot listen on {address} ({setting}): {source}")]
    Listen {
        setting: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Tls(#[from] TlsError),
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
    #[error("the keys cannot be read: {0}")]
    Keys(#[source] ServiceError),
    #[error(transparent)]
    Blocking(#[from] BlockingError),
    #[error("the server's socket failed: {0}")]
    Socket(#[from] std::io::Error),
}

/// Reads the settings anew, where they were read at the start.
pub type Settings = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// A service that is bound, and whose parts are up.
pub struct App {
    listener: TcpListener,
    admin: Option<TcpListener>,
    tls: Option<Arc<Tls>>,
    service: Service,
    /// The model that was chosen to answer at the start.
    answers: Served,
    metrics: PrometheusHandle,
    config: Config,
}

impl App {
    /// Brings the parts up in their order.
    ///
    /// # Errors
    /// When one of them does not come up; the error names it.
    pub async fn start(config: Config, metrics: PrometheusHandle) -> Result<Self, AppError> {
        let listener = bind("listen", config.listen).await?;
        let admin = match config.admin_listen {
            Some(address) => Some(bind("admin_listen", address).await?),
            None => None,
        };
        let tls = match &config.tls {
            Some((certificate, key)) => Some(Arc::new(Tls::read(certificate, key)?)),
            None => None,
        };
        let catalog =
            Catalog::open_with(&config.data, &config.database, config.pictures.clone()).await?;
        catalog.check_pictures().await?;
        if config.vectors == VectorPlace::Pgvector {
            catalog.keep_vectors().await?;
        }
        // What was chosen while a service ran goes before the setting that it was chosen over.
        let (folder, answers) = in_use(&catalog, &config.model).await?;
        let encoder = start_encoder(folder, &config).await?;
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
        let chosen = making.with_words(answers.words_percent);
        let first = generation::restore(&catalog, encoder, &chosen).await?;
        let options = ServiceOptions {
            known: config.known.clone(),
            queue: config.encoder.queue,
            refresh: config.refresh,
            embeds: config.embeds,
            keep: config.keep,
            rows_memory: config.rows_memory,
            making,
            model: config.model.clone(),
        };
        let service =
            Service::new(catalog, first, thesaurus, options).map_err(AppError::Workers)?;
        service.renew_keys().await.map_err(AppError::Keys)?;
        Ok(Self {
            listener,
            admin,
            tls,
            service,
            answers,
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

    /// Serves until `shutdown` completes and the requests in work are answered. `reloading`: how settings
    /// are taken over meanwhile; `None`: they are not.
    ///
    /// # Errors
    /// When a socket fails.
    pub async fn run(
        self,
        reloading: Option<Reloading>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), AppError> {
        let Self {
            listener,
            admin,
            tls,
            service,
            answers,
            metrics,
            config,
        } = self;
        announce(&listener, admin.as_ref(), &service)?;
        let live = Arc::new(ArcSwap::from_pointee(live_options(&config)));
        let mut tasks = tokio::task::JoinSet::new();
        let asks = reloading.as_ref().map(|reloading| reloading.asks.clone());
        if let Some(Reloading {
            settings,
            filter,
            asked,
            ..
        }) = reloading
        {
            let reloader = Reloader {
                config: config.clone(),
                settings,
                filter,
                live: live.clone(),
                service: service.clone(),
                tls: tls.clone(),
            };
            tasks.spawn(reloader.run(asked));
        }
        tasks.spawn(access::follow(service.clone()));
        tasks.spawn(telemetry::keep_metrics(metrics.clone()));
        tasks.spawn(Follower::new(service.clone()).run());
        tasks.spawn(feeds::follow(service.clone(), config.feeds.clone()));
        let changer = Changer {
            service: service.clone(),
            encoder: config.encoder.clone(),
            check: config
                .model_gate
                .clone()
                .map(|(queries, least)| gate::check(service.clone(), queries, least)),
            answers,
        };
        tasks.spawn(changer.run());
        if let Some(tls) = tls.clone() {
            tasks.spawn(tls.follow());
        }
        let options = options(&config, live);
        let router = |listener| {
            let options = HttpOptions {
                listener,
                ..options.clone()
            };
            let state = AppState::new(service.clone(), metrics.clone(), options);
            http::router(match &asks {
                Some(asks) => state.with_reloads(asks.clone()),
                None => state,
            })
        };
        let bounds = Bounds::within_files(config.max_connections, config.drain);
        let (ring, bell) = watch::channel(());
        let told = |mut bell: watch::Receiver<()>| async move {
            let _ = bell.changed().await;
        };
        let public = http::serve(
            listener,
            tls,
            router(Listener::Public),
            told(bell.clone()),
            bounds,
        );
        let admin = async {
            if let Some(listener) = admin {
                let router = router(Listener::Admin);
                http::serve(listener, None, router, told(bell.clone()), bounds).await;
            }
        };
        let stop = async {
            shutdown.await;
            service.set_stopping();
            tokio::time::sleep(config.stop_delay).await;
            ring.send_replace(());
        };
        tokio::join!(public, admin, stop);
        // Between two transactions nothing is lost: what was written down stays.
        tasks.shutdown().await;
        service.shutdown().await;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| AppError::Listen {
        setting,
        address,
        source,
    })
}

/// Says where it listens, and how far it is open.
fn announce(
    public: &TcpListener,
    admin: Option<&TcpListener>,
    service: &Service,
) -> std::io::Result<()> {
    tracing::info!(address = %public.local_addr()?, "listening");
    let admin = admin.map(TcpListener::local_addr).transpose()?;
    if let Some(address) = admin {
        tracing::info!(%address, "admin listener");
    }
    match admin {
        _ if service.has_keys() => {}
        Some(address) if !address.ip().is_loopback() => tracing::warn!(
            %address,
            "there are no keys: whoever reaches the admin listener may write and make keys (aglet key create)"
        ),
        Some(_) => tracing::info!(
            "there are no keys: searches are open, writes are taken on the admin listener alone (aglet key create)"
        ),
        None => tracing::info!(
            "there are no keys: searches are open, writes are refused (aglet key create)"
        ),
    }
    tracing::info!("serving");
    Ok(())
}

/// What it takes to take over settings while the service runs.
pub struct Reloading {
    settings: Settings,
    filter: LogFilter,
    asked: mpsc::Receiver<oneshot::Sender<Result<Reloaded, ReloadFault>>>,
    asks: Reloads,
}

impl Reloading {
    /// Whoever holds the second may ask for it.
    #[must_use]
    pub fn new(settings: Settings, filter: LogFilter) -> (Self, Reloads) {
        let (asks, asked) = mpsc::channel(1);
        let reloading = Self {
            settings,
            filter,
            asked,
            asks: asks.clone(),
        };
        (reloading, asks)
    }
}

struct Reloader {
    /// As they are in force.
    config: Config,
    settings: Settings,
    filter: LogFilter,
    live: Arc<ArcSwap<LiveOptions>>,
    service: Service,
    tls: Option<Arc<Tls>>,
}

impl Reloader {
    async fn run(
        mut self,
        mut asked: mpsc::Receiver<oneshot::Sender<Result<Reloaded, ReloadFault>>>,
    ) {
        while let Some(answer) = asked.recv().await {
            let reloaded = self.reload().await.map_err(ReloadFault);
            match &reloaded {
                Ok(Reloaded { changed, at_start }) => {
                    tracing::info!(?changed, ?at_start, "settings were read again");
                }
                Err(fault) => tracing::error!("{fault}"),
            }
            // Whoever asked may have left.
            let _ = answer.send(reloaded);
        }
    }

    /// All that can change, or nothing of it.
    async fn reload(&mut self) -> Result<Reloaded, String> {
        let next = (self.settings)().map_err(|error| error.to_string())?;
        self.service
            .renew_keys()
            .await
            .map_err(|error| error.to_string())?;
        if let Some(tls) = self.tls.clone() {
            let renewed = blocking(move || tls.renew()).await;
            let renewed = renewed.map_err(|error| error.to_string())?;
            renewed.map_err(|error| error.to_string())?;
        }
        let reloaded = self.config.changes(&next);
        if self.config.log_filter != next.log_filter {
            let changed = self.filter.change(&next.log_filter);
            changed.map_err(|error| error.to_string())?;
        }
        self.live.store(Arc::new(live_options(&next)));
        self.config = self.config.with_live_of(next);
        Ok(reloaded)
    }
}

fn live_options(config: &Config) -> LiveOptions {
    LiveOptions {
        open_search: config.open_search,
        address_rate: config.address_rate,
        trusted_proxies: config.trusted_proxies.clone(),
        allowed_origins: config.cors_origins.clone(),
    }
}

/// The limits of the listeners, as the settings have them.
fn options(config: &Config, live: Arc<ArcSwap<LiveOptions>>) -> HttpOptions {
    HttpOptions {
        max_body: config.max_body_bytes,
        uploads: Budget::new(config.max_upload_bytes as u64),
        request_timeout: config.request_timeout,
        body_timeout: config.body_timeout,
        concurrency: config.max_concurrency,
        public_url: config.public_url.clone(),
        listener: Listener::Public,
        live,
        slow_query: config.slow_query,
        slow_query_text: config.slow_query_text,
    }
}

async fn start_encoder(path: PathBuf, config: &Config) -> Result<Encoder, AppError> {
    let options = config.encoder.clone();
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
    use crate::domain::{Rate, Scope};

    #[test]
    fn the_limits_are_as_the_settings_say() {
        let settings = Settings {
            max_body_bytes: Some(2_000),
            request_timeout_ms: Some(70),
            body_timeout_ms: Some(90),
            max_concurrency: Some(3),
            cors_origins: Some(vec!["https://shop.example".to_owned()]),
            public_url: Some("https://api.shop.example/".to_owned()),
            open_search: Some(true),
            address_rate: Some(5),
            ..Settings::default()
        };
        let config = Config::check(settings).expect("valid");
        let live = live_options(&config);
        assert_eq!(live.allowed_origins, ["https://shop.example"]);
        assert!(live.open_search && live.address_rate == Rate::new(5, 50));
        let door = options(&config, Arc::new(ArcSwap::from_pointee(live)));
        assert_eq!((door.max_body, door.concurrency), (2_000, 3));
        assert_eq!(
            (
                door.request_timeout.as_millis(),
                door.body_timeout.as_millis()
            ),
            (70, 90)
        );
        assert_eq!(door.public_url, "https://api.shop.example");
        assert_eq!(door.door().always, Some(Scope::Search));
    }
}
