//! The service under load, beside what it cannot be quicker than: ONNX Runtime alone on the same
//! graphs, in the same run on the same machine. Prints the tables of docs/benchmarks.md.
//!
//! `cargo bench --bench http -- MODEL [--products N] [--seconds S] [--photo FILE]`; MODEL is a
//! model folder, models/aglet-small when none is named, or `random` for a ViT-B/32 with random
//! weights. Without `--bench` (as `cargo test --bench http` runs it) it is a short trial.
//! AGLET_RUNTIME names ONNX Runtime's folder when it is not .runtime.
//!
//! The service runs as `aglet serve` would, with its default settings but for the cache of query
//! embeddings, which keeps nothing, so that every query is computed. Clients are threads of the
//! same process: what they take of the processor is part of the service's time. Queries have two to
//! ten words and do not repeat; products have stored vectors by chance, which no graph orders well:
//! the index takes several times what it takes with real ones. What runs alone and what runs in the
//! service take turns, so that a busy moment of the machine meets both.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark reports to whoever started it"
)]

mod client;
#[expect(dead_code, reason = "the tests use the rest of it")]
#[path = "../../it/support/clip.rs"]
mod clip;
mod setup;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aglet::catalog::Catalog;
use aglet::domain::{Embedding, Filters, KnownAttributes, ProductKey, Types, Window};
use aglet::encode::ImageLimits;
use aglet::encode::session::{Counts, Sessions, Tower};
use aglet::encode::text::TextTokenizer;
use aglet::index::lexical::Language;
use aglet::index::{IndexVersion, Searcher, Selection, rank};
use aglet::model::ModelFolder;
use aglet::vision;
use tokio::runtime::Runtime;

use client::{Client, load};
use setup::{Service, Words};

struct Options {
    model: PathBuf,
    products: usize,
    /// Of one measurement of throughput.
    time: Duration,
    /// Queries and photos whose latency is taken.
    count: usize,
    photo: Option<PathBuf>,
}

fn options() -> Options {
    let mut arguments = std::env::args().skip(1);
    let (mut model, mut products, mut seconds, mut photo, mut trial) =
        (None, None, None, None, true);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .unwrap_or_else(|| panic!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--bench" => trial = false,
            "--products" => products = value().parse().ok(),
            "--seconds" => seconds = value().parse().ok(),
            "--photo" => photo = Some(PathBuf::from(value())),
            name => model = Some(name.to_owned()),
        }
    }
    let model = model.or_else(|| std::env::var("AGLET_BENCH_MODEL").ok());
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/models/aglet-small");
    Options {
        model: setup::model(model.as_deref().unwrap_or(default)),
        products: products.unwrap_or(if trial { 300 } else { 5_000 }),
        time: Duration::from_secs_f64(seconds.unwrap_or(if trial { 0.3 } else { 10.0 })),
        count: if trial { 10 } else { 400 },
        photo,
    }
}

/// Times of one step.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn take<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.0.push(start.elapsed());
        done
    }

    /// In milliseconds; `per_mille` 500 is the median.
    fn at(&self, per_mille: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted
            .get((sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1)))
            .map_or(0.0, |t| t.as_secs_f64() * 1e3)
    }

    fn row(&self, step: &str) {
        println!("| {step} | {:.2} | {:.2} |", self.at(500), self.at(990));
    }
}

fn main() {
    let options = options();
    let folder = ModelFolder::open(&options.model).expect("a model folder");
    let manifest = folder.manifest();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{}: {} dimensions, {} products, {threads} threads\n",
        manifest.name, manifest.dimensions, options.products
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let metrics = aglet::telemetry::start_metrics().expect("the only one");
    let data = tempfile::tempdir().expect("a folder");
    setup::fill(&runtime, data.path(), &folder, options.products);

    let (first, built) = Service::start(&runtime, data.path(), &options.model, &metrics);
    first.end(&runtime);
    let (service, restored) = Service::start(&runtime, data.path(), &options.model, &metrics);
    println!("| from the start to the first answer | s |\n| --- | --- |");
    println!(
        "| index built | {:.2} |\n| saved index | {:.2} |\n",
        built.as_secs_f64(),
        restored.as_secs_f64()
    );

    let mut bench = Bench::new(&runtime, data.path(), &folder, threads);
    bench.words(&service, options.count);
    bench.throughput(&service, options.time);
    bench.photos(&service, options.count / 2, options.photo.as_deref());
    service.end(&runtime);
}

/// The parts of the service by themselves.
struct Bench<'a> {
    runtime: &'a Runtime,
    folder: &'a ModelFolder,
    tokenizer: TextTokenizer,
    sessions: Sessions,
    catalog: Catalog,
    searcher: Searcher,
    words: Words,
}

impl<'a> Bench<'a> {
    fn new(
        runtime: &'a Runtime,
        data: &Path,
        folder: &'a ModelFolder,
        intra_threads: usize,
    ) -> Self {
        let manifest = folder.manifest();
        let tokenizer = TextTokenizer::open(
            &folder.tokenizer(),
            manifest.context_length,
            manifest.end_of_text,
        );
        let counts = Counts {
            text: 1,
            image: 1,
            intra_threads,
        };
        let sessions = Sessions::open(
            folder,
            &setup::runtime(),
            aglet::encode::Device::Cpu,
            counts,
        );
        let catalog = runtime.block_on(Catalog::open(data)).expect("opens");
        let revision = runtime.block_on(catalog.revision()).expect("reads");
        let version = IndexVersion {
            catalog: revision,
            model: folder.id().clone(),
            words_percent: rank::DEFAULT_WORDS_PERCENT,
            language: Language::default(),
        };
        let store = runtime.block_on(catalog.identity()).expect("reads");
        let index = data.join("index");
        let (searcher, _) = Searcher::restore(
            &index,
            &version,
            manifest.dimensions,
            &store,
            &Types::default(),
        )
        .expect("the service saved its index");
        Self {
            runtime,
            folder,
            tokenizer: tokenizer.expect("opens"),
            sessions: sessions.expect("opens"),
            catalog,
            searcher,
            words: Words::new(),
        }
    }

    fn ids(&self, text: &str) -> Vec<i64> {
        self.tokenizer
            .ids(text)
            .expect("tokenizes")
            .into_iter()
            .map(i64::from)
            .collect()
    }

    fn embedding(&self, row: Vec<f32>) -> Embedding {
        Embedding::new(row, self.folder.manifest().dimensions).expect("an embedding")
    }

    /// The index, then the products of the hits.
    fn search(&self, photo: bool, query: &Embedding, index: &mut Times, products: &mut Times) {
        let window = Window::new(10, 0).expect("allowed");
        let (filters, category) = (Filters::default(), KnownAttributes::default().category);
        let hits = index
            .take(|| {
                let index = &self.searcher;
                if photo {
                    index.search_photo(query, &category, &Selection::of(&filters, window, &[]))
                } else {
                    index.search(query, &Selection::of(&filters, window, &[]))
                }
            })
            .expect("hits")
            .hits;
        let keys: Vec<ProductKey> = hits.iter().map(|hit| hit.key).collect();
        let found = products
            .take(|| self.runtime.block_on(self.catalog.products(&keys)))
            .expect("reads");
        assert_eq!(found.len(), keys.len());
    }

    /// One search at a time, and its parts alone.
    fn words(&mut self, service: &Service, count: usize) {
        /// Turns are long enough for the other side's threads to have gone to sleep.
        const TURN: usize = 20;
        let (mut tokens, mut session, mut index, mut products, mut whole) =
            <(Times, Times, Times, Times, Times)>::default();
        let mut client = Client::connect(service.address);
        let mut lengths = 0;
        for _ in 0..count.div_ceil(TURN) {
            let texts: Vec<String> = (0..TURN).map(|_| self.words.next()).collect();
            for text in &texts {
                let ids = tokens.take(|| self.ids(text));
                lengths += ids.len();
                let tower = &mut self.sessions.text[0];
                let row = session
                    .take(|| tower.run([1, ids.len()], &ids))
                    .expect("runs")
                    .remove(0);
                let query = self.embedding(row);
                self.search(false, &query, &mut index, &mut products);
            }
            for text in &texts {
                assert_eq!(whole.take(|| client.search(text)), 200);
            }
        }
        let mean = lengths / whole.0.len().max(1);
        println!(
            "One search at a time, {} of each, {mean} tokens on average:\n",
            whole.0.len()
        );
        println!("| words | median ms | p99 ms |\n| --- | --- | --- |");
        tokens.row("tokens, alone");
        session.row("ONNX Runtime, alone");
        index.row("index, alone");
        products.row("products of the hits, alone");
        whole.row("`GET /search`");
        let (median, p99) = (
            whole.at(500) - session.at(500),
            whole.at(990) - session.at(990),
        );
        println!("| `GET /search` less ONNX Runtime | {median:.2} | {p99:.2} |\n");
    }

    /// As many searches as can be had, beside the largest batches that could be made of as many
    /// requests.
    fn throughput(&mut self, service: &Service, time: Duration) {
        println!(
            "Searches a second with so many at once; alone: ONNX Runtime on batches of that many:\n"
        );
        println!(
            "| at once | batch | alone | `GET /search` | share | median ms | p99 ms |\n| --- | --- | --- | --- | --- | --- | --- |"
        );
        for (connections, batch) in [(1, 1), (8, 8), (64, 32)] {
            let half = time / 2;
            // Alone, served, served, alone: a machine that gets slower or quicker meanwhile favors
            // neither.
            let before = self.alone(batch, half);
            let query = || self.words.next();
            let (one, mut latencies) = load(service.address, connections, half, &query);
            let (two, more) = load(service.address, connections, half, &query);
            let after = self.alone(batch, half);
            latencies.extend(more);
            let (alone, served, times) = (
                f64::midpoint(before, after),
                f64::midpoint(one, two),
                Times(latencies),
            );
            println!(
                "| {connections} | {batch} | {alone:.1} | {served:.1} | {:.2} | {:.1} | {:.1} |",
                served / alone,
                times.at(500),
                times.at(990)
            );
        }
        println!();
    }

    /// Texts a second through one session in batches: tokenized, filled up to the longest, run, and
    /// nothing else.
    fn alone(&mut self, batch: usize, time: Duration) -> f64 {
        let end = i64::from(self.folder.manifest().end_of_text);
        let (start, mut done) = (Instant::now(), 0_u32);
        while start.elapsed() < time {
            let texts: Vec<Vec<i64>> = (0..batch).map(|_| self.ids(&self.words.next())).collect();
            let length = texts.iter().map(Vec::len).max().unwrap_or(0);
            let filled = |ids: Vec<i64>| {
                let filling = length - ids.len();
                ids.into_iter().chain(std::iter::repeat_n(end, filling))
            };
            let ids: Vec<i64> = texts.into_iter().flat_map(filled).collect();
            self.sessions.text[0]
                .run([batch, length], &ids)
                .expect("runs");
            done += u32::try_from(batch).expect("few");
        }
        f64::from(done) / start.elapsed().as_secs_f64()
    }

    /// One photo at a time, and its parts alone.
    fn photos(&mut self, service: &Service, count: usize, photo: Option<&Path>) {
        let file = photo.map_or_else(drawn, |path| std::fs::read(path).expect("the photo"));
        let preprocessing = self.folder.manifest().preprocessing.clone();
        let size = preprocessing.size as usize;
        let (mut decode, mut resize, mut normalize, mut session) =
            <(Times, Times, Times, Times)>::default();
        let (mut index, mut products, mut whole) = <(Times, Times, Times)>::default();
        let mut client = Client::connect(service.address);
        let mut dimensions = (0, 0);
        for _ in 0..count.max(1) {
            let picture = decode
                .take(|| vision::decode(&file, &ImageLimits::DEFAULT))
                .expect("decodes");
            dimensions = picture.dimensions();
            let views = resize.take(|| vision::views(&picture, &preprocessing));
            let normalized = || {
                views
                    .iter()
                    .flat_map(|view| vision::normalize(view, &preprocessing))
                    .collect::<Vec<_>>()
            };
            let pixels = normalize.take(normalized);
            let tower: &mut Tower = &mut self.sessions.image[0];
            let rows = session
                .take(|| tower.run([views.len(), 3, size, size], &pixels))
                .expect("runs");
            let sum = rows
                .into_iter()
                .reduce(|sum, row| sum.iter().zip(row).map(|(a, b)| a + b).collect());
            let query = self.embedding(sum.expect("a view"));
            self.search(true, &query, &mut index, &mut products);
            assert_eq!(whole.take(|| client.photo(&file)), 200);
        }
        let (width, height) = dimensions;
        println!(
            "One photo of {width} x {height} pixels at a time ({} KB), {} of each:\n",
            file.len() / 1000,
            whole.0.len()
        );
        println!("| photo | median ms | p99 ms |\n| --- | --- | --- |");
        decode.row("decode, alone");
        resize.row(&format!("resize to {size}, alone"));
        normalize.row("normalize, alone");
        session.row("ONNX Runtime, alone");
        index.row("index, alone");
        products.row("products of the hits, alone");
        whole.row("`POST /search/image`");
        let parts: f64 = [&decode, &resize, &normalize, &session, &index, &products]
            .iter()
            .map(|t| t.at(500))
            .sum();
        println!(
            "| `POST /search/image` less its parts | {:.2} | |\n",
            whole.at(500) - parts
        );
    }
}

/// A drawn shoe as a shopper's photo: 1080 x 1440 pixels of JPEG.
fn drawn() -> Vec<u8> {
    let small = aglet::demo::render(&aglet::demo::draw(1, 3));
    let large = vision::resize(&small, 1080, 1440);
    let mut file = Vec::new();
    let mut encoder = ::image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 90);
    encoder.encode_image(&large).expect("encodes");
    file
}
