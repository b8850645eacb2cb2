//! Settings: from flags, `AGLET_*` variables and one optional TOML file to a checked [`Config`].
//!
//! [`Settings`] is what was written, every field optional; [`Config`] is what it means. A flag goes
//! before its variable, the variable before the file, the file before the default.
//! [`Config::check`] reports all problems together, each with the name of the setting, so that one
//! start tells everything that is wrong.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | the settings, and what they mean |
//! | `names` | names that are no settings, and those that were perhaps meant |

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::catalog::ingest::ScheduledFeed;
use crate::catalog::{
    Access, Database, PictureHosts, PictureLinks, PictureOptions, PicturesAt, VectorPlace,
};
use crate::domain::{
    AttributeName, KnownAttributes, Rate, Types, is_field, is_origin, is_parameter,
};
use crate::encode::{Device, EncoderOptions, ImageLimits};
use crate::index::lexical::Language;
use crate::telemetry::{LogFormat, TraceOptions};

mod names;

use names::listed;
pub use names::{Unknown, UnknownVariables, check_variables};

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $env:literal;)*) => {
        /// The settings as they were written. Every one is a flag, a variable and a key of the TOML
        /// file.
        #[derive(Clone, Debug, Default, clap::Args, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Settings {
            $($(#[doc = $doc])+ #[arg(long, env = $env, hide_env_values = true)] pub $name: Option<$type>,)*
            /// Web origins that may call from a browser, comma separated; none by default.
            #[arg(long, env = "AGLET_CORS_ORIGINS", value_delimiter = ',')]
            pub cors_origins: Option<Vec<String>>,
            /// Attributes whose first value answers repeat beside the title, and by which a filter is good even where
            /// no product has them; comma separated. Default: category, color, brand, gender, shoelace_color.
            #[arg(long, env = "AGLET_KNOWN_ATTRIBUTES", value_delimiter = ',')]
            pub known_attributes: Option<Vec<String>>,
            /// Hosts that pictures are fetched from by their web address, comma separated: cdn.shop.example
            /// (ports 80 and 443), cdn.shop.example:8443, *.shop.example (below it), * (any; the default).
            /// Empty: none. What only a wildcard names is fetched from public IP addresses alone.
            #[arg(long, env = "AGLET_PICTURE_HOSTS", value_delimiter = ',')]
            pub picture_hosts: Option<Vec<String>>,
            /// Networks of the shop's own proxies, whose X-Forwarded-For says who the client is, comma separated:
            /// 10.0.0.0/8, fd00::/8, 192.0.2.7; none by default.
            #[arg(long, env = "AGLET_TRUSTED_PROXIES", value_delimiter = ',')]
            pub trusted_proxies: Option<Vec<String>>,
        }

        /// The names of all settings, as the file has them.
        pub const NAMES: &[&str] = &[
            $(stringify!($name),)*
            "cors_origins", "known_attributes", "picture_hosts", "trusted_proxies",
        ];

        /// Every setting's value, the defaults filled in.
        #[derive(Clone, Debug, Serialize)]
        struct Values {
            $($name: $type,)*
            cors_origins: Vec<String>,
            known_attributes: Vec<String>,
            picture_hosts: Vec<String>,
            trusted_proxies: Vec<String>,
        }

        impl Settings {
            /// These, and where one is missing, `below`'s.
            #[must_use]
            pub fn or(self, below: Self) -> Self {
                Self {
                    $($name: self.$name.or(below.$name),)*
                    cors_origins: self.cors_origins.or(below.cors_origins),
                    known_attributes: self.known_attributes.or(below.known_attributes),
                    picture_hosts: self.picture_hosts.or(below.picture_hosts),
                    trusted_proxies: self.trusted_proxies.or(below.trusted_proxies),
                }
            }

            fn fill(self) -> Values {
                Values {
                    $($name: self.$name.unwrap_or_else(|| $default),)*
                    cors_origins: self.cors_origins.unwrap_or_default(),
                    known_attributes: self.known_attributes.unwrap_or_else(|| {
                        let shown = KnownAttributes::default().shown;
                        shown.iter().map(ToString::to_string).collect()
                    }),
                    picture_hosts: self.picture_hosts.map_or_else(|| vec!["*".to_owned()], |hosts| {
                        // An empty flag or variable is an empty list.
                        if hosts == [""] { Vec::new() } else { hosts }
                    }),
                    trusted_proxies: self.trusted_proxies.unwrap_or_default(),
                }
            }
        }
    };
}

settings! {
    /// Address to listen on: an IP address or a name with a port, or a port alone, which is one of
    /// this machine's own (127.0.0.1).
    listen: String = "127.0.0.1:8080".to_owned(), "AGLET_LISTEN";
    /// Model folder.
    model: PathBuf = PathBuf::from("models/aglet-small"), "AGLET_MODEL";
    /// Folder of the catalog's database and the saved index.
    data: PathBuf = PathBuf::from("data"), "AGLET_DATA";
    /// The catalog's database where it is not a file in that folder: postgres://user:password@host/name.
    /// Any number of services share it.
    database: Database = Database::Folder, "AGLET_DATABASE";
    /// Where the vectors of the index are. memory: in each service's own. pgvector: in the database, which
    /// is a server of PostgreSQL then, with pgvector.
    vectors: VectorPlace = VectorPlace::Memory, "AGLET_VECTORS";
    /// Where pictures are kept that come over HTTP or that an import puts there: file:///mnt/pictures, a
    /// folder that machines share, or s3://bucket/prefix (with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    /// AWS_REGION, AWS_ENDPOINT_URL and the like); empty: uploads/ of the data folder.
    pictures: PicturesAt = PicturesAt::Uploads, "AGLET_PICTURES";
    /// Where the addresses of kept pictures lead: service (through it), presigned (to the bucket, for an
    /// hour), or the address of what serves the bucket or the folder, as `https://cdn.shop.example/pictures`.
    picture_links: PictureLinks = PictureLinks::Service, "AGLET_PICTURE_LINKS";
    /// ONNX Runtime's library, or the folder that holds it (`make runtime` puts it there).
    runtime: PathBuf = PathBuf::from(".runtime"), "AGLET_RUNTIME";
    /// auto: CUDA where it works, else the CPU. cuda: CUDA or no start.
    device: Device = Device::Auto, "AGLET_DEVICE";
    /// Threads that own a session of the text tower.
    text_sessions: usize = 1, "AGLET_TEXT_SESSIONS";
    /// Threads that own a session of the image tower.
    image_sessions: usize = 1, "AGLET_IMAGE_SESSIONS";
    /// Threads that one session computes with.
    session_threads: usize = cores(), "AGLET_SESSION_THREADS";
    /// Requests that may wait for a tower; one more is answered 503.
    queue: usize = 512, "AGLET_QUEUE";
    /// Most requests computed together.
    max_batch: usize = 32, "AGLET_MAX_BATCH";
    /// Microseconds that a request waits for company; 0: none, what is waiting goes together.
    max_wait_us: u64 = 0, "AGLET_MAX_WAIT_US";
    /// Query embeddings kept; 0: none.
    cache: u64 = 10_000, "AGLET_CACHE";
    /// Share of a product's words (title and attributes) in its vector, in percent; the photo has
    /// the rest.
    words_percent: u8 = crate::index::rank::DEFAULT_WORDS_PERCENT, "AGLET_WORDS_PERCENT";
    /// Language of the catalog, whose endings are cut off when words are compared, or none.
    language: Language = Language::English, "AGLET_LANGUAGE";
    /// File of synonyms beside the default list, read again when it changes; empty: none. A rule a
    /// line: `purse, handbag`, one way `pants => trousers`, near in meaning `red ~> maroon`.
    synonyms: PathBuf = PathBuf::new(), "AGLET_SYNONYMS";
    /// File that says what attributes are, a TOML table: `heel_height = "number"` (text, number,
    /// boolean or date); empty: none. Those of the others are seen in their values.
    types: PathBuf = PathBuf::new(), "AGLET_TYPES";
    /// File that says which feeds of products are fetched, and how often (docs/import.md); empty: none.
    feeds: PathBuf = PathBuf::new(), "AGLET_FEEDS";
    /// Attribute that the products nearest to a photo vote on.
    category_attribute: String = KnownAttributes::default().category.to_string(), "AGLET_CATEGORY_ATTRIBUTE";
    /// Largest request body in bytes.
    max_body_bytes: usize = 10 << 20, "AGLET_MAX_BODY_BYTES";
    /// Most bytes of request bodies held at once, all requests together; one more is answered 503.
    max_upload_bytes: usize = 256 << 20, "AGLET_MAX_UPLOAD_BYTES";
    /// Largest photo that is decoded, in pixels; one and a half times as many may be in decoding at a
    /// time.
    max_pixels: u64 = ImageLimits::DEFAULT.max_pixels, "AGLET_MAX_PIXELS";
    /// Longest edge of a photo that is decoded, in pixels.
    max_edge: u32 = ImageLimits::DEFAULT.max_edge, "AGLET_MAX_EDGE";
    /// Milliseconds after which a request is given up.
    request_timeout_ms: u64 = 10_000, "AGLET_REQUEST_TIMEOUT_MS";
    /// Milliseconds that a request's body may take to arrive.
    body_timeout_ms: u64 = 30_000, "AGLET_BODY_TIMEOUT_MS";
    /// Requests in flight; one more is answered 503.
    max_concurrency: usize = 1_024, "AGLET_MAX_CONCURRENCY";
    /// Connections open at a time; one more closes the one that has been idle for longest.
    max_connections: usize = 10_000, "AGLET_MAX_CONNECTIONS";
    /// Where clients reach the service, as `https://api.shop.example` or with a path: put before
    /// image_url, and the server of the OpenAPI document. Empty: both are relative.
    public_url: String = String::new(), "AGLET_PUBLIC_URL";
    /// Address of the admin listener, for metrics, keys and writes: while there are no keys, whoever
    /// reaches it may do everything. Empty: 127.0.0.1, at the port after that of `listen`. off: none.
    /// Otherwise as `listen`.
    admin_listen: String = String::new(), "AGLET_ADMIN_LISTEN";
    /// Whether searches need no key, also once there are keys.
    open_search: bool = false, "AGLET_OPEN_SEARCH";
    /// Requests a second that an address may make without a key of its own; 0: any number.
    address_rate: u32 = 0, "AGLET_ADDRESS_RATE";
    /// Requests that an address may make at once; 0: what ten seconds give.
    address_burst: u32 = 0, "AGLET_ADDRESS_BURST";
    /// PEM file of the certificate, the chain below it: `listen` speaks TLS then. Read again when it
    /// changes; empty: no TLS.
    tls_cert: PathBuf = PathBuf::new(), "AGLET_TLS_CERT";
    /// PEM file of the certificate's private key.
    tls_key: PathBuf = PathBuf::new(), "AGLET_TLS_KEY";
    /// File of shoppers' queries (docs/evaluation.md) that another model must answer as well as the one in
    /// use, or no more than one percent below, before it is put in use; empty: none.
    model_queries: PathBuf = PathBuf::new(), "AGLET_MODEL_QUERIES";
    /// The score of these queries, in percent, that another model must have.
    model_least_percent: u8 = 0, "AGLET_MODEL_LEAST_PERCENT";
    /// Milliseconds from SIGTERM, when /readyz begins to answer 503, to the end of accepting
    /// connections: time for a load balancer to look.
    stop_delay_ms: u64 = 0, "AGLET_STOP_DELAY_MS";
    /// Seconds that requests in flight get to finish at shutdown.
    drain_seconds: u64 = 20, "AGLET_DRAIN_SECONDS";
    /// Seconds between two looks for changes that an import made; 0: never.
    refresh_seconds: u64 = 5, "AGLET_REFRESH_SECONDS";
    /// Whether the service embeds what waits; false: workers do (`aglet embed`), or other services of the
    /// catalog.
    embed: bool = true, "AGLET_EMBED";
    /// Days that the embeddings of former models, and those that no product needs, are kept before
    /// the service deletes them.
    keep_days: u64 = DEFAULT_KEEP_DAYS, "AGLET_KEEP_DAYS";
    /// Bytes that the rows of products may take in memory, where the catalog is on a server: what does
    /// not fit is read from the server, and is not shown while that is away.
    rows_memory_bytes: usize = 1 << 30, "AGLET_ROWS_MEMORY_BYTES";
    /// How log lines are written.
    log_format: LogFormat = LogFormat::Text, "AGLET_LOG_FORMAT";
    /// Which log lines are written, as `RUST_LOG` has it.
    log_filter: String = "info,ort=warn,sqlx=warn".to_owned(), "AGLET_LOG";
    /// A search that takes so many milliseconds gets a line of its own in the log; 0: none does.
    slow_query_ms: u64 = 1_000, "AGLET_SLOW_QUERY_MS";
    /// Whether such a line has the words of the query.
    slow_query_text: bool = false, "AGLET_SLOW_QUERY_TEXT";
    /// Collector that traces are sent to by OTLP over HTTP, as `http://collector:4318`; empty: no
    /// traces. Default: `OTEL_EXPORTER_OTLP_ENDPOINT`.
    otlp_endpoint: String = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or_default(), "AGLET_OTLP_ENDPOINT";
    /// Share of the requests that are traced, 0 to 1, where the caller's traceparent does not say.
    trace_sample: f64 = 0.01, "AGLET_TRACE_SAMPLE";
}

/// Settings that are taken over while the service runs.
const LIVE: &[&str] = &[
    "address_burst",
    "address_rate",
    "cors_origins",
    "log_filter",
    "open_search",
    "trusted_proxies",
];

/// A week: a model may be taken back, and a product that was removed by mistake come back.
pub const DEFAULT_KEEP_DAYS: u64 = 7;

const DAY: Duration = Duration::from_hours(24);

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The settings checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub model: PathBuf,
    pub data: PathBuf,
    pub database: Database,
    pub vectors: VectorPlace,
    pub encoder: EncoderOptions,
    /// See [`crate::index::rank::fuse`].
    pub words_percent: u8,
    pub language: Language,
    /// The shop's own synonyms.
    pub synonyms: Option<PathBuf>,
    /// What the shop says its attributes are.
    pub types: Types,
    /// Fetched by the running service.
    pub feeds: Vec<ScheduledFeed>,
    pub known: KnownAttributes,
    /// Where pictures may be fetched from by their web address.
    pub picture_hosts: PictureHosts,
    /// That, where they are kept, and where their addresses lead.
    pub pictures: PictureOptions,
    pub max_body_bytes: usize,
    pub max_upload_bytes: usize,
    pub request_timeout: Duration,
    pub body_timeout: Duration,
    pub max_concurrency: usize,
    pub max_connections: usize,
    pub cors_origins: Vec<String>,
    /// Without a slash at its end; empty when there is none.
    pub public_url: String,
    /// `None`: there is no admin listener.
    pub admin_listen: Option<SocketAddr>,
    pub open_search: bool,
    /// How often an address may ask that has no key of its own.
    pub address_rate: Option<Rate>,
    /// Whose word is taken for who a client is.
    pub trusted_proxies: Vec<IpNet>,
    /// The files of the certificate and of its key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The queries that another model must answer, and the least score in percent.
    pub model_gate: Option<(PathBuf, u8)>,
    /// How long connections are still accepted once the service is told to stop.
    pub stop_delay: Duration,
    pub drain: Duration,
    /// `None`: an import of another process is not looked for.
    pub refresh: Option<Duration>,
    /// Whether the service embeds what waits.
    pub embeds: bool,
    /// How long embeddings are kept that nobody needs.
    pub keep: Duration,
    /// Bytes that the rows of products may take in memory.
    pub rows_memory: usize,
    pub log_format: LogFormat,
    pub log_filter: String,
    /// From when on a search is slow; `None`: none is.
    pub slow_query: Option<Duration>,
    /// Whether the log may have the words of a slow query.
    pub slow_query_text: bool,
    pub traces: Option<TraceOptions>,
    /// Every setting with its value, for `--check-config`.
    shown: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration file {path} cannot be read: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the configuration file {path} is wrong: {source}")]
    Parse {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("the configuration file {path} has settings that are not:{}", listed(.unknown))]
    Unknown {
        path: PathBuf,
        unknown: Vec<Unknown>,
    },
    #[error("the configuration is wrong:{}", .0.iter().fold(String::new(), |all, p| format!("{all}\n  - {p}")))]
    Problems(Vec<Problem>),
}

/// One setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub setting: &'static str,
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.reason)
    }
}

/// Reads a TOML file of settings.
///
/// # Errors
/// When the file cannot be read, is not TOML, or has a key that is not a setting.
pub fn read_file(path: &Path) -> Result<Settings, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let parse = |source| ConfigError::Parse {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let table: toml::Table = toml::from_str(&text).map_err(parse)?;
    let unknown = table.keys().filter(|key| !NAMES.contains(&key.as_str()));
    let unknown: Vec<_> = unknown
        .map(|key| Unknown::of(key, NAMES.iter().copied()))
        .collect();
    if !unknown.is_empty() {
        let path = path.to_owned();
        return Err(ConfigError::Unknown { path, unknown });
    }
    toml::from_str(&text).map_err(parse)
}

impl Config {
    /// Checks every setting.
    ///
    /// # Errors
    /// With all problems at once.
    pub fn check(settings: Settings) -> Result<Self, ConfigError> {
        let values = settings.fill();
        let mut problems = problems(&values);
        let known = known(&values, &mut problems);
        let types = types(&values, &mut problems);
        let feeds = feeds(&values, &mut problems);
        let picture_hosts = picture_hosts(&values, &mut problems);
        let pictures = PictureOptions {
            hosts: picture_hosts.clone(),
            links: values.picture_links.clone(),
            ..pictures_at(values.pictures.clone())
        };
        let listen = listen(&values, &mut problems);
        let admin_listen = admin_listen(&values, listen, &mut problems);
        let trusted_proxies = trusted_proxies(&values, &mut problems);
        if !problems.is_empty() {
            return Err(ConfigError::Problems(problems));
        }
        let shown = match serde_json::to_value(&values) {
            Ok(serde_json::Value::Object(map)) => map.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        Ok(Self {
            listen,
            model: values.model,
            data: values.data,
            database: values.database,
            vectors: values.vectors,
            encoder: EncoderOptions {
                runtime: values.runtime,
                device: values.device,
                text_sessions: values.text_sessions,
                image_sessions: values.image_sessions,
                intra_threads: values.session_threads,
                queue: values.queue,
                max_batch: values.max_batch,
                max_wait: Duration::from_micros(values.max_wait_us),
                cache: values.cache,
                image_limits: ImageLimits {
                    max_pixels: values.max_pixels,
                    max_edge: values.max_edge,
                },
                background: false,
            },
            words_percent: values.words_percent,
            language: values.language,
            synonyms: Some(values.synonyms).filter(|path| !path.as_os_str().is_empty()),
            types,
            feeds,
            known,
            picture_hosts,
            pictures,
            max_body_bytes: values.max_body_bytes,
            max_upload_bytes: values.max_upload_bytes,
            request_timeout: Duration::from_millis(values.request_timeout_ms),
            body_timeout: Duration::from_millis(values.body_timeout_ms),
            max_concurrency: values.max_concurrency,
            max_connections: values.max_connections,
            cors_origins: values.cors_origins,
            public_url: values.public_url.trim_end_matches('/').to_owned(),
            admin_listen,
            open_search: values.open_search,
            address_rate: Rate::new(values.address_rate, values.address_burst),
            trusted_proxies,
            tls: (!values.tls_cert.as_os_str().is_empty())
                .then_some((values.tls_cert, values.tls_key)),
            model_gate: (!values.model_queries.as_os_str().is_empty())
                .then_some((values.model_queries, values.model_least_percent)),
            stop_delay: Duration::from_millis(values.stop_delay_ms),
            drain: Duration::from_secs(values.drain_seconds),
            refresh: Some(values.refresh_seconds)
                .filter(|s| *s > 0)
                .map(Duration::from_secs),
            embeds: values.embed,
            keep: DAY * u32::try_from(values.keep_days).unwrap_or(u32::MAX),
            rows_memory: values.rows_memory_bytes,
            log_format: values.log_format,
            log_filter: values.log_filter,
            slow_query: Some(values.slow_query_ms)
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis),
            slow_query_text: values.slow_query_text,
            traces: Some(values.otlp_endpoint.trim_end_matches('/'))
                .filter(|endpoint| !endpoint.is_empty())
                .map(|endpoint| TraceOptions {
                    endpoint: endpoint.to_owned(),
                    sample: values.trace_sample,
                }),
            shown,
        })
    }

    /// Which settings have other values in `next`: those that are taken over while the service runs, and
    /// those that are not.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Reloaded {
        let changed = next.shown.iter();
        let changed = changed.filter(|(name, value)| self.shown.get(*name) != Some(value));
        let (changed, at_start) = changed
            .map(|(name, _)| name.clone())
            .partition(|name| LIVE.contains(&name.as_str()));
        Reloaded { changed, at_start }
    }

    /// These, with what is taken over while the service runs from `next`.
    #[must_use]
    pub fn with_live_of(&self, next: Self) -> Self {
        let mut shown = self.shown.clone();
        for name in LIVE {
            if let Some(value) = next.shown.get(*name) {
                shown.insert((*name).to_owned(), value.clone());
            }
        }
        Self {
            address_rate: next.address_rate,
            cors_origins: next.cors_origins,
            log_filter: next.log_filter,
            open_search: next.open_search,
            trusted_proxies: next.trusted_proxies,
            shown,
            ..self.clone()
        }
    }

    /// Every setting with the value in force, as the TOML file would have it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.shown).unwrap_or_default()
    }
}

/// What came of reading the settings again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Settings that have another value now.
    pub changed: Vec<String>,
    /// Settings that were changed, and will have the other value after the next start.
    pub at_start: Vec<String>,
}

fn problems(values: &Values) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut range = |setting, value: u64, low: u64, high: u64| {
        if value < low || value > high {
            found.push(Problem {
                setting,
                reason: format!("{value} is not from {low} to {high}"),
            });
        }
    };
    range("text_sessions", values.text_sessions as u64, 1, 64);
    range("image_sessions", values.image_sessions as u64, 1, 64);
    range("session_threads", values.session_threads as u64, 1, 256);
    range("queue", values.queue as u64, 1, 1 << 20);
    range("max_batch", values.max_batch as u64, 1, 1_024);
    range("max_wait_us", values.max_wait_us, 0, 1_000_000);
    range("words_percent", u64::from(values.words_percent), 0, 100);
    range(
        "max_body_bytes",
        values.max_body_bytes as u64,
        1_024,
        1 << 30,
    );
    range(
        "max_upload_bytes",
        values.max_upload_bytes as u64,
        values.max_body_bytes as u64,
        1 << 40,
    );
    range("max_pixels", values.max_pixels, 1_024, 1 << 30);
    range("max_edge", u64::from(values.max_edge), 32, 65_535);
    range("request_timeout_ms", values.request_timeout_ms, 10, 600_000);
    range("body_timeout_ms", values.body_timeout_ms, 10, 3_600_000);
    range("max_concurrency", values.max_concurrency as u64, 1, 1 << 20);
    range("max_connections", values.max_connections as u64, 1, 1 << 20);
    let least = u64::from(values.model_least_percent);
    range("model_least_percent", least, 0, 100);
    range("keep_days", values.keep_days, 0, 3_650);
    range("stop_delay_ms", values.stop_delay_ms, 0, 600_000);
    range("drain_seconds", values.drain_seconds, 0, 3_600);
    if values.vectors == VectorPlace::Pgvector && values.database == Database::Folder {
        found.push(Problem {
            setting: "vectors",
            reason: "pgvector goes with a server of PostgreSQL: set database to its address"
                .to_owned(),
        });
    }
    for origin in &values.cors_origins {
        if !is_origin(origin) {
            let reason = format!("{origin:?} is not an origin such as https://shop.example");
            found.push(Problem {
                setting: "cors_origins",
                reason,
            });
        }
    }
    if values.tls_cert.as_os_str().is_empty() != values.tls_key.as_os_str().is_empty() {
        found.push(Problem {
            setting: "tls_cert",
            reason: "it goes with tls_key: set both or neither".to_owned(),
        });
    }
    if values.address_rate == 0 && values.address_burst > 0 {
        found.push(Problem {
            setting: "address_burst",
            reason: "it goes with address_rate, which is 0".to_owned(),
        });
    }
    if !values.public_url.is_empty() && !is_address(&values.public_url) {
        let reason = format!(
            "{:?} is not an address such as https://api.shop.example",
            values.public_url
        );
        found.push(Problem {
            setting: "public_url",
            reason,
        });
    }
    if !values.otlp_endpoint.is_empty() && !is_address(&values.otlp_endpoint) {
        let reason = format!(
            "{:?} is not an address such as http://collector:4318",
            values.otlp_endpoint
        );
        found.push(Problem {
            setting: "otlp_endpoint",
            reason,
        });
    }
    let in_a_bucket = matches!(values.pictures, PicturesAt::Bucket { .. });
    if values.picture_links == PictureLinks::Presigned && !in_a_bucket {
        found.push(Problem {
            setting: "picture_links",
            reason: "presigned is for pictures in a bucket: set pictures to s3://bucket/prefix"
                .to_owned(),
        });
    }
    if !(0.0..=1.0).contains(&values.trace_sample) {
        found.push(Problem {
            setting: "trace_sample",
            reason: format!("{} is not from 0 to 1", values.trace_sample),
        });
    }
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&values.log_filter) {
        found.push(Problem {
            setting: "log_filter",
            reason: format!("{:?}: {error}", values.log_filter),
        });
    }
    found
}

/// Of a name the first address, one of IPv4 before others: that is what clients of this machine use.
fn listen(values: &Values, problems: &mut Vec<Problem>) -> SocketAddr {
    address("listen", &values.listen, "", problems)
        .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// An address, a name with a port, or a port of this machine alone; `or`: what else it might be.
fn address(
    setting: &'static str,
    text: &str,
    or: &str,
    problems: &mut Vec<Problem>,
) -> Option<SocketAddr> {
    let text = text.trim();
    if let Ok(port) = text.parse() {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let found = text.to_socket_addrs().map(|all| {
        let all: Vec<SocketAddr> = all.collect();
        let first = all.iter().find(|address| address.is_ipv4());
        first.or(all.first()).copied()
    });
    if let Ok(Some(address)) = found {
        return Some(address);
    }
    let reason = found.err().map(|error| format!(": {error}"));
    problems.push(Problem {
        setting,
        reason: format!(
            "{text:?} is not an address such as 127.0.0.1:8080, localhost:8080 or 8080{or}{}",
            reason.unwrap_or_default()
        ),
    });
    None
}

fn known(values: &Values, problems: &mut Vec<Problem>) -> KnownAttributes {
    let mut known = KnownAttributes::default();
    match AttributeName::new(&values.category_attribute) {
        Ok(name) => known.category = name,
        Err(error) => problems.push(Problem {
            setting: "category_attribute",
            reason: error.to_string(),
        }),
    }
    known.shown.clear();
    for name in &values.known_attributes {
        match AttributeName::new(name) {
            // Beside these fields of an answer it could not be distinguished.
            Ok(name) if is_product_field(name.as_str()) => problems.push(Problem {
                setting: "known_attributes",
                reason: format!("{name:?} is a field that every product of an answer has"),
            }),
            Ok(name) => known.shown.push(name),
            Err(error) => problems.push(Problem {
                setting: "known_attributes",
                reason: error.to_string(),
            }),
        }
    }
    known
}

fn types(values: &Values, problems: &mut Vec<Problem>) -> Types {
    if values.types.as_os_str().is_empty() {
        return Types::default();
    }
    let read = std::fs::read_to_string(&values.types).map_err(|error| error.to_string());
    let read = read.and_then(|text| text.parse());
    read.unwrap_or_else(|error: String| {
        problems.push(Problem {
            setting: "types",
            reason: format!("{}: {}", values.types.display(), error.trim()),
        });
        Types::default()
    })
}

fn feeds(values: &Values, problems: &mut Vec<Problem>) -> Vec<ScheduledFeed> {
    if values.feeds.as_os_str().is_empty() {
        return Vec::new();
    }
    let keep_pictures = values.pictures != PicturesAt::Uploads;
    match ScheduledFeed::read_all(&values.feeds) {
        Ok(mut feeds) => {
            for feed in &mut feeds {
                feed.options.keep_pictures = keep_pictures;
            }
            feeds
        }
        Err(error) => {
            problems.push(Problem {
                setting: "feeds",
                reason: format!("{}: {}", values.feeds.display(), error.trim()),
            });
            Vec::new()
        }
    }
}

fn picture_hosts(values: &Values, problems: &mut Vec<Problem>) -> PictureHosts {
    let entries = &values.picture_hosts;
    for entry in entries {
        if let Err(error) = PictureHosts::new(std::slice::from_ref(entry)) {
            problems.push(Problem {
                setting: "picture_hosts",
                reason: error.to_string(),
            });
        }
    }
    PictureHosts::new(entries).unwrap_or_default()
}

/// Where pictures are kept, with what the environment says of how a bucket is asked.
#[must_use]
pub fn pictures_at(at: PicturesAt) -> PictureOptions {
    let access = match &at {
        PicturesAt::Bucket { .. } => {
            let variables = std::env::vars_os().filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.into_string().ok()?))
            });
            Access::of(variables)
        }
        PicturesAt::Uploads | PicturesAt::Folder(_) => Access::default(),
    };
    PictureOptions {
        at,
        access,
        ..PictureOptions::default()
    }
}

fn admin_listen(
    values: &Values,
    listen: SocketAddr,
    problems: &mut Vec<Problem>,
) -> Option<SocketAddr> {
    const SETTING: &str = "admin_listen";
    match values.admin_listen.trim() {
        "off" => None,
        "" => {
            let port = match listen.port() {
                // Any free port.
                0 => Some(0),
                port => port.checked_add(1),
            };
            if port.is_none() {
                problems.push(Problem {
                    setting: SETTING,
                    reason: "there is no port after that of listen: name one, or off".to_owned(),
                });
            }
            Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port?)))
        }
        text => address(SETTING, text, ", nor off", problems),
    }
}

fn trusted_proxies(values: &Values, problems: &mut Vec<Problem>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in &values.trusted_proxies {
        let network = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match network {
            Ok(network) => networks.push(network),
            Err(_) => problems.push(Problem {
                setting: "trusted_proxies",
                reason: format!(
                    "{text:?} is neither a network such as 10.0.0.0/8 nor an IP address"
                ),
            }),
        }
    }
    networks
}

fn is_product_field(name: &str) -> bool {
    let fields = [
        "title",
        "description",
        "currency",
        "url",
        "image_url",
        "attributes",
    ];
    fields.contains(&name) || is_field(name) || is_parameter(name)
}

/// An absolute http(s) address without query and fragment.
fn is_address(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|r| {
        !r.is_empty() && !r.starts_with('/') && !r.contains(['?', '#', '*', '"', '<', '\\', ' '])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        let config = Config::check(Settings::default()).expect("defaults");
        assert_eq!(config.listen.port(), 8080);
        assert!(
            config.listen.ip().is_loopback(),
            "nothing is open to the network unless asked for"
        );
        assert!(config.cors_origins.is_empty());
    }

    #[test]
    fn all_problems_are_reported_together() {
        let settings = Settings {
            words_percent: Some(101),
            vectors: Some(VectorPlace::Pgvector),
            queue: Some(0),
            cors_origins: Some(vec!["*".to_owned()]),
            public_url: Some("shop.example".to_owned()),
            max_upload_bytes: Some(1),
            log_filter: Some("a=b=c".to_owned()),
            ..Settings::default()
        };
        let Err(ConfigError::Problems(problems)) = Config::check(settings) else {
            panic!("must be refused")
        };
        let names: Vec<_> = problems.iter().map(|p| p.setting).collect();
        assert_eq!(
            names,
            [
                "queue",
                "words_percent",
                "max_upload_bytes",
                "vectors",
                "cors_origins",
                "public_url",
                "log_filter"
            ]
        );
    }

    #[test]
    fn it_listens_on_an_address_a_name_or_a_port() {
        let listen = |text: &str| {
            let settings = Settings {
                listen: Some(text.to_owned()),
                ..Settings::default()
            };
            Config::check(settings).map(|config| config.listen.to_string())
        };
        for (text, address) in [
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::]:8080", "[::]:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("8081", "127.0.0.1:8081"),
        ] {
            assert_eq!(listen(text).expect(text), address);
        }
        for wrong in ["", ":", "localhost", "127.0.0.1", "70000", "127.0.0.1:x"] {
            let error = listen(wrong).expect_err(wrong).to_string();
            assert!(
                error.contains("listen") && error.contains("localhost:8080"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_public_address_is_kept_without_its_slash() {
        let public = |url: &str| {
            let settings = Settings {
                public_url: Some(url.to_owned()),
                ..Settings::default()
            };
            Config::check(settings).map(|config| config.public_url).ok()
        };
        assert_eq!(
            public("https://api.shop.example/").as_deref(),
            Some("https://api.shop.example")
        );
        assert_eq!(
            public("http://10.0.0.7:8080/search/v1").as_deref(),
            Some("http://10.0.0.7:8080/search/v1")
        );
        assert_eq!(public("").as_deref(), Some(""));
        for bad in [
            "/",
            "https://",
            "https:///x",
            "ftp://x",
            "https://a?b",
            "https://a b",
            "javascript:alert(1)",
        ] {
            assert_eq!(public(bad), None, "{bad}");
        }
    }

    #[test]
    fn traces_need_a_collector_and_a_share() {
        let config = |text: &str| Config::check(toml::from_str(text).expect("toml"));
        let traces = config("otlp_endpoint = \"http://collector:4318/\"\ntrace_sample = 0.5");
        let expected = TraceOptions {
            endpoint: "http://collector:4318".to_owned(),
            sample: 0.5,
        };
        assert_eq!(traces.expect("valid").traces, Some(expected));
        assert_eq!(config("otlp_endpoint = \"\"").expect("valid").traces, None);
        for (wrong, setting) in [
            ("otlp_endpoint = \"collector:4318\"", "otlp_endpoint"),
            ("trace_sample = 1.5", "trace_sample"),
            ("trace_sample = nan", "trace_sample"),
        ] {
            let Err(ConfigError::Problems(problems)) = config(wrong) else {
                panic!("must be refused: {wrong}")
            };
            assert_eq!(problems[0].setting, setting);
        }
        let slow = |text| config(text).expect("valid").slow_query;
        assert_eq!(slow("slow_query_ms = 0"), None);
        assert_eq!(slow("slow_query_ms = 20"), Some(Duration::from_millis(20)));
    }

    #[test]
    fn flags_go_before_the_file() {
        let file: Settings = toml::from_str("queue = 7\nmax_batch = 3\n").expect("toml");
        let flags = Settings {
            queue: Some(9),
            ..Settings::default()
        };
        let config = Config::check(flags.or(file)).expect("valid");
        assert_eq!((config.encoder.queue, config.encoder.max_batch), (9, 3));
    }

    #[test]
    fn picture_hosts_come_from_the_file_and_each_wrong_one_is_named() {
        let config = |text: &str| Config::check(toml::from_str(text).expect("toml"));
        let any = config("").expect("valid").picture_hosts;
        assert!(any.check("https://cdn.shop.example/1.jpg").is_ok());
        for none in ["picture_hosts = []", "picture_hosts = [\"\"]"] {
            assert!(config(none).expect("valid").picture_hosts.is_empty());
        }
        let shop = config(r#"picture_hosts = ["cdn.shop.example", "*.images.example:8443"]"#);
        let shop = shop.expect("valid");
        let fetched = |address| shop.picture_hosts.check(address).is_ok();
        assert!(fetched("https://cdn.shop.example/1.jpg"));
        assert!(fetched("https://a.images.example:8443/1.jpg"));
        assert!(!fetched("https://shop.example/1.jpg"));
        let again: Settings = toml::from_str(&shop.to_toml()).expect("toml");
        let again = Config::check(again).expect("valid").picture_hosts;
        assert_eq!(again, shop.picture_hosts);

        let wrong = config(r#"picture_hosts = ["*.*", "cdn.shop.example", "http://x"]"#);
        let Err(ConfigError::Problems(problems)) = wrong else {
            panic!("must be refused")
        };
        assert!(problems.iter().all(|p| p.setting == "picture_hosts"));
        let named: Vec<_> = problems.iter().map(|p| &p.reason[..6]).collect();
        assert_eq!(named, ["\"*.*\":", "\"http:"]);
    }

    #[test]
    fn picture_hosts_are_a_flag_as_well() {
        #[derive(clap::Parser)]
        struct Flags {
            #[command(flatten)]
            settings: Settings,
        }
        let flags = [
            "aglet",
            "--picture-hosts",
            "cdn.shop.example,*.shop.example",
        ];
        let flags = <Flags as clap::Parser>::parse_from(flags);
        let file = toml::from_str(r#"picture_hosts = ["other.example"]"#).expect("toml");
        let hosts = Config::check(flags.settings.or(file)).expect("valid");
        assert!(hosts.picture_hosts.check("http://a.shop.example/").is_ok());
        assert!(hosts.picture_hosts.check("http://other.example/").is_err());
    }

    #[test]
    fn signed_addresses_need_a_bucket() {
        let config = |text: &str| Config::check(toml::from_str(text).expect("toml"));
        let bucket = "pictures = \"s3://shop/a\"\npicture_links = \"presigned\"";
        let signed = config(bucket).expect("valid").pictures;
        assert_eq!(signed.links, PictureLinks::Presigned);
        assert_eq!(signed.at.to_string(), "s3://shop/a");
        let Err(ConfigError::Problems(problems)) = config("picture_links = \"presigned\"") else {
            panic!("must be refused")
        };
        assert_eq!(problems[0].setting, "picture_links");
        let public = "pictures = \"file:///mnt/a\"\npicture_links = \"https://cdn.example/\"";
        assert!(config(public).is_ok());
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("aglet.toml");
        std::fs::write(&path, "quue = 7\nmax_batch = 3\nwrites = true\n").expect("write");
        let error = read_file(&path).expect_err("must be refused").to_string();
        assert!(error.contains("- quue: is queue meant?\n"), "{error}");
        assert!(error.ends_with("- writes"), "{error}");
    }

    #[test]
    fn the_admin_listener_is_beside_the_other_one() {
        let admin = |listen: &str, admin: &str| {
            let settings = Settings {
                listen: Some(listen.to_owned()),
                admin_listen: Some(admin.to_owned()),
                ..Settings::default()
            };
            let config = Config::check(settings).ok()?;
            Some(config.admin_listen.map(|address| address.to_string()))
        };
        let some = |address: &str| Some(Some(address.to_owned()));
        assert_eq!(admin("0.0.0.0:8080", ""), some("127.0.0.1:8081"));
        assert_eq!(admin("127.0.0.1:0", ""), some("127.0.0.1:0"));
        assert_eq!(
            admin("0.0.0.0:8080", "10.0.0.7:9000"),
            some("10.0.0.7:9000")
        );
        assert_eq!(admin("0.0.0.0:8080", "off"), Some(None));
        assert_eq!(admin("0.0.0.0:65535", ""), None);
        assert_eq!(admin("0.0.0.0:8080", "none"), None);
    }

    #[test]
    fn what_changed_is_taken_over_or_waits_for_the_next_start() {
        let config =
            |text: &str| Config::check(toml::from_str(text).expect("toml")).expect("valid");
        let before = config("queue = 7\n");
        assert_eq!(before.changes(&before), Reloaded::default());
        let after = config("queue = 8\naddress_rate = 5\nopen_search = true\n");
        assert_eq!(
            before.changes(&after),
            Reloaded {
                changed: vec!["address_rate".to_owned(), "open_search".to_owned()],
                at_start: vec!["queue".to_owned()],
            }
        );
        assert!(LIVE.iter().all(|name| NAMES.contains(name)));
        let now = before.with_live_of(after.clone());
        assert!(now.open_search && now.encoder.queue == 7);
        assert_eq!(now.changes(&after).at_start, ["queue"]);
        assert!(now.changes(&after).changed.is_empty());
    }

    #[test]
    fn proxies_are_networks_or_addresses() {
        let proxies = |text: &str| {
            let config = Config::check(toml::from_str(text).expect("toml")).ok()?;
            Some(
                config
                    .trusted_proxies
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
            )
        };
        let some = |text: &[&str]| Some(text.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            proxies(r#"trusted_proxies = ["10.0.0.0/8", "fd00::1"]"#),
            some(&["10.0.0.0/8", "fd00::1/128"])
        );
        assert_eq!(proxies(r#"trusted_proxies = ["10.0.0.0/33"]"#), None);
    }

    #[test]
    fn what_is_shown_reads_back() {
        let shown = Config::check(Settings::default())
            .expect("defaults")
            .to_toml();
        let again: Settings = toml::from_str(&shown).expect("toml");
        assert_eq!(Config::check(again).expect("valid").to_toml(), shown);
    }
}
