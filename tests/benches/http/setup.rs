//! What is measured: a model, a catalog with stored embeddings, the service over them, words to ask
//! for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aglet::app::App;
use aglet::catalog::Catalog;
use aglet::catalog::ingest::{self, Embedder, ImportOptions, Lane, Progress};
use aglet::catalog::source::Source;
use aglet::config::{Config, Settings};
use aglet::domain::{Embedding, ModelId};
use aglet::encode::{Device, EncodeError};
use aglet::model::{ExportOptions, ModelFolder, export};
use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::client::Client;
use super::clip;

const COLORS: [&str; 13] = [
    "black",
    "white",
    "navy blue",
    "red",
    "green",
    "beige",
    "grey",
    "brown",
    "pink",
    "yellow",
    "purple",
    "orange",
    "maroon",
];
const KINDS: [&str; 16] = [
    "casual shoes",
    "sports shoes",
    "formal shoes",
    "sandals",
    "heels",
    "flip flops",
    "boots",
    "t-shirt",
    "shirt",
    "kurta",
    "jeans",
    "dress",
    "backpack",
    "handbag",
    "watch",
    "sunglasses",
];
const FOR: [&str; 6] = [
    "",
    " for men",
    " for women",
    " for boys",
    " for girls",
    " for the office",
];
const WITH: [&str; 11] = [
    "",
    " with white laces",
    " with stripes",
    " with a logo",
    " made of leather",
    " of cotton",
    " for summer",
    " size 42",
    " with a zip",
    " with buttons",
    " under 50",
];

/// Queries of two to ten words, none twice in 13,728: none is known to a cache.
pub struct Words(AtomicUsize);

impl Words {
    pub fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub fn next(&self) -> String {
        // A step that has no factor in common with the number of queries: neighbors differ in every
        // part.
        const ALL: usize = COLORS.len() * KINDS.len() * FOR.len() * WITH.len();
        let at = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(5_393) % ALL;
        let (color, rest) = (COLORS[at % COLORS.len()], at / COLORS.len());
        let (kind, rest) = (KINDS[rest % KINDS.len()], rest / KINDS.len());
        format!(
            "{color} {kind}{}{}",
            FOR[rest % FOR.len()],
            WITH[rest / FOR.len()]
        )
    }
}

/// The folder that is named; for `random`, a ViT-B/32 with random weights, made once under target/.
pub fn model(name: &str) -> PathBuf {
    if name != "random" {
        return PathBuf::from(name);
    }
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("random-vit-b-32");
    let folder = home.join("model");
    if ModelFolder::open(&folder).is_err() {
        let checkpoint = home.join("checkpoint");
        clip::random_clip(
            &checkpoint,
            &clip::reference("vit_b_32")["config"],
            7,
            "float32",
        );
        let options = ExportOptions {
            replace: true,
            ..ExportOptions::default()
        };
        export(&checkpoint, &folder, &options, |_| Ok(())).expect("exports");
        std::fs::remove_dir_all(checkpoint).expect("removed");
    }
    folder
}

pub fn runtime() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime");
    std::env::var_os("AGLET_RUNTIME").map_or(here, PathBuf::from)
}

/// Stands in for the model while the catalog is filled: vectors by chance, stored under the model's
/// name.
#[derive(Clone)]
struct Chance {
    model: ModelId,
    dimensions: usize,
}

impl Embedder for Chance {
    fn model(&self) -> &ModelId {
        &self.model
    }

    async fn photo(&self, _: Bytes, _: Lane) -> Result<Embedding, EncodeError> {
        Err(EncodeError::WorkerGone)
    }

    async fn words(&self, text: &str, _: Lane) -> Result<Embedding, EncodeError> {
        let mut state = text.bytes().fold(7_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut number = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f32::from(u16::try_from(state >> 48).unwrap_or_default()) / 32_768.0 - 1.0
        };
        Ok(Embedding::new(
            (0..self.dimensions).map(|_| number()).collect(),
            self.dimensions,
        )?)
    }
}

/// A catalog of so many products with attributes and stored embeddings.
pub fn fill(runtime: &Runtime, data: &Path, folder: &ModelFolder, products: usize) {
    let words = Words::new();
    let line = |number: usize| {
        let (color, kind) = (
            COLORS[number % COLORS.len()],
            KINDS[number / COLORS.len() % KINDS.len()],
        );
        let gender = ["Men", "Women"][number % 2];
        let attributes = serde_json::json!({"category": kind, "color": color, "gender": gender});
        let title = format!("{} no. {number}", words.next());
        format!(
            "{}\n",
            serde_json::json!({"id": number, "title": title, "price": 50, "attributes": attributes})
        )
    };
    let file = data.join("products.jsonl");
    std::fs::write(&file, (1..=products).map(line).collect::<String>()).expect("written");
    let chance = Chance {
        model: folder.id().clone(),
        dimensions: folder.manifest().dimensions,
    };
    runtime.block_on(async {
        let catalog = Catalog::open(data).await.expect("opens");
        let source = Source::feed(file, Vec::new());
        let summary = ingest::import(
            &catalog,
            &chance,
            &source,
            &ImportOptions::default(),
            &Progress::default(),
        )
        .await;
        assert_eq!(summary.expect("imports").embedded.words, products as u64);
        catalog.close().await;
    });
}

/// The service, on a port of its own.
pub struct Service {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Service {
    /// Comes back when it is ready, with the time that took.
    pub fn start(
        runtime: &Runtime,
        data: &Path,
        model: &Path,
        metrics: &PrometheusHandle,
    ) -> (Self, Duration) {
        let settings = Settings {
            listen: Some("127.0.0.1:0".to_owned()),
            data: Some(data.to_owned()),
            model: Some(model.to_owned()),
            runtime: Some(self::runtime()),
            device: Some(Device::Cpu),
            // Every query is computed.
            cache: Some(0),
            refresh_seconds: Some(0),
            ..Settings::default()
        };
        let config = Config::check(settings).expect("valid");
        let start = Instant::now();
        let app = runtime
            .block_on(App::start(config, metrics.clone()))
            .expect("starts");
        let address = app.address().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let task = runtime.spawn(async {
            app.run(None, async { stopped.await.unwrap_or(()) })
                .await
                .expect("serves");
        });
        let mut client = Client::connect(address);
        while client.search("shoes") != 200 {
            std::thread::sleep(Duration::from_millis(1));
        }
        (
            Self {
                address,
                stop,
                task,
            },
            start.elapsed(),
        )
    }

    pub fn end(self, runtime: &Runtime) {
        self.stop.send(()).expect("serving");
        runtime.block_on(self.task).expect("no panic");
    }
}
