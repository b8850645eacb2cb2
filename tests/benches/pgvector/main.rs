//! The index in memory beside pgvector, and beside exact search: recall, latency, times of build and
//! memory, unfiltered and where 10% and 0.1% of the products pass a filter.
//!
//! `tests/benches/pgvector.sh` starts a server of PostgreSQL and runs this over it:
//! `cargo bench --bench pgvector -- --database ADDRESS [--data FOLDER] [--lock FILE] [COUNT]` prints the
//! tables of docs/benchmarks.md. With `--data` the vectors are made of those of the products in a data
//! folder, else they are drawn (`points.rs`). With `--lock` latencies are taken while that file is
//! locked, so that programs that wait for it do not run beside them. Without `--bench` (as
//! `cargo test --all-targets` runs it) it is a small trial. Without a server it is the index alone.
//! `-- texts` measures what products take without vectors (`texts.rs`).
//!
//! One client asks one query at a time. All ways of searching take turns, twice. Queries are made as the
//! vectors are and are none of them. The truth is exact search over the f32 vectors: what bf16 (in memory)
//! and f16 (pgvector) cost is part of the recall.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark reports to whoever started it"
)]

#[path = "../../it/support/noise.rs"]
mod noise;
mod points;
mod server;
#[expect(dead_code, reason = "the benchmark of the index uses the rest of it")]
#[path = "../space.rs"]
mod space;
mod texts;

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aglet::domain::{
    AttributeName, AttributeValue, Attributes, Embedding, Filters, ModelId, ProductFields,
    ProductKey, Types, Window,
};
use aglet::index::lexical::{Language, ProductText};
use aglet::index::vectors::Vectors;
use aglet::index::{Builder, Entry, Hit, IndexVersion, Searcher, Selection, Vector, rank};
use roaring::RoaringBitmap;

use noise::Noise;
use points::{Points, dot, in_parts};
use server::{Client, Server};

/// As `index/graph.rs` has them.
const CONNECTIVITY: usize = 16;
const WIDTH: usize = 128;
const ROUNDS: usize = 2;
/// How long a way of searching is measured, of one filter and in one round.
const MOST: Duration = Duration::from_secs(20);
/// Queries that are asked before time is taken.
const WARM: usize = 10;

/// What passes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filter {
    None,
    Tenth,
    Thousandth,
}

const FILTERS: [Filter; 3] = [Filter::None, Filter::Tenth, Filter::Thousandth];

impl Filter {
    fn passes(self, number: usize) -> bool {
        match self {
            Self::None => true,
            Self::Tenth => share(number, 10) == 3,
            Self::Thousandth => share(number, 1_000) == 3,
        }
    }

    fn said(self) -> &'static str {
        match self {
            Self::None => "unfiltered",
            Self::Tenth => "10% pass",
            Self::Thousandth => "0.1% pass",
        }
    }
}

/// Which of so many parts a product is in, by chance.
fn share(number: usize, parts: usize) -> i16 {
    let seed = (number * 2_000 + parts) as u64;
    i16::try_from(Noise(!seed).below(parts)).expect("few")
}

struct Options {
    trial: bool,
    count: usize,
    queries: usize,
    database: Option<String>,
    data: Option<PathBuf>,
    lock: Option<PathBuf>,
    /// Another measurement: see `texts.rs`.
    other: Option<String>,
}

fn options() -> Options {
    let (mut trial, mut count) = (true, None);
    let (mut database, mut data, mut lock, mut other) = (None, None, None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value");
        match argument.as_str() {
            "--bench" => trial = false,
            "--database" => database = Some(value()),
            "--data" => data = Some(PathBuf::from(value())),
            "--lock" => lock = Some(PathBuf::from(value())),
            "texts" | "restored" => other = Some(argument),
            number => count = number.parse().ok().or(count),
        }
    }
    Options {
        trial,
        count: count.unwrap_or(if other.is_some() {
            1
        } else if trial {
            3_000
        } else {
            100_000
        }),
        queries: if trial { 20 } else { 200 },
        database,
        data,
        lock,
        other,
    }
}

/// The index in memory.
fn build(points: &Points, count: usize) -> Searcher {
    let mut builder = Builder::new(points.dimensions(), Language::None);
    let name = |parts: usize| AttributeName::new(&format!("part_{parts}")).expect("a name");
    let value = |part: i16| vec![AttributeValue::new(&part.to_string()).expect("a value")];
    let [tenth, thousandth] = [10, 1_000].map(name);
    for number in 0..count {
        let attributes: Attributes = [
            (tenth.clone(), value(share(number, 10))),
            (thousandth.clone(), value(share(number, 1_000))),
        ]
        .into_iter()
        .collect();
        let entry = Entry {
            key: ProductKey(u32::try_from(number).expect("few")),
            vectors: &[Vector {
                picture: 1,
                embedding: points.point(number as u64),
            }],
            attributes: &attributes,
            fields: ProductFields::default(),
            text: ProductText::default(),
        };
        builder.add(&entry).expect("in order");
    }
    let version = IndexVersion {
        catalog: 1,
        model: ModelId::new("00"),
        words_percent: 0,
        language: Language::None,
    };
    builder.build(version, &Types::default()).expect("built")
}

fn selection(filter: Filter) -> Selection {
    let of = |parts: usize| {
        let name = AttributeName::new(&format!("part_{parts}")).expect("a name");
        Filters::new([(name, AttributeValue::new("3").expect("a value"))]).expect("one")
    };
    let filters = match filter {
        Filter::None => Filters::default(),
        Filter::Tenth => of(10),
        Filter::Thousandth => of(1_000),
    };
    Selection::of(&filters, Window::new(10, 0).expect("allowed"), &[])
}

/// Vectors without a graph, as the index keeps them.
struct Exact {
    vectors: Vectors,
    passing: [RoaringBitmap; 3],
}

impl Exact {
    fn new(points: &Points, count: usize) -> Self {
        let mut vectors = Vectors::new(points.dimensions());
        for number in 0..count {
            let vector = Vector {
                picture: 1,
                embedding: points.point(number as u64),
            };
            vectors.push(&[vector]).expect("fits");
        }
        let passing = FILTERS.map(|filter| {
            let numbers = (0..count).filter(|&number| filter.passes(number));
            numbers
                .map(|number| u32::try_from(number).expect("few"))
                .collect()
        });
        Self { vectors, passing }
    }

    fn search(&self, query: &Embedding, filter: Filter) -> Vec<u32> {
        let hits = self.passing[filter as usize].iter().map(|slot| Hit {
            key: ProductKey(slot),
            score: self.vectors.cosine(query, slot as usize),
        });
        keys(&rank::best(hits.collect(), 10))
    }
}

fn keys(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.key.0).collect()
}

/// The ten nearest of each query, for each filter.
fn truth(points: &Points, count: usize, queries: &[Embedding]) -> [Vec<Vec<u32>>; 3] {
    let best_of = |part: std::ops::Range<usize>| {
        let mut best = FILTERS.map(|_| vec![Vec::<Hit>::new(); queries.len()]);
        for number in part {
            let point = points.point(number as u64);
            let key = ProductKey(u32::try_from(number).expect("few"));
            let passed = FILTERS.map(|filter| filter.passes(number));
            for (place, query) in queries.iter().enumerate() {
                let score = dot(query.as_slice(), point.as_slice());
                for (best, _) in best.iter_mut().zip(passed).filter(|(_, passed)| *passed) {
                    let best = &mut best[place];
                    let least = best.last().map_or(f32::MIN, |hit| hit.score);
                    if best.len() < 10 || score > least {
                        best.push(Hit { key, score });
                        best.sort_by(rank::best_first);
                        best.truncate(10);
                    }
                }
            }
        }
        best
    };
    let parts = in_parts(count, best_of);
    std::array::from_fn(|filter| {
        let of = |place: usize| {
            let hits = parts.iter().flat_map(|part| part[filter][place].iter());
            keys(&rank::best(hits.copied().collect(), 10))
        };
        (0..queries.len()).map(of).collect()
    })
}

/// What was measured of one way of searching, with one filter.
#[derive(Default)]
struct Measured {
    by: String,
    times: Vec<Duration>,
    found: usize,
    wanted: usize,
    short: usize,
}

impl Measured {
    fn add(
        &mut self,
        queries: &[Embedding],
        truth: &[Vec<u32>],
        mut search: impl FnMut(&Embedding) -> Vec<u32>,
    ) {
        let start = Instant::now();
        for query in queries.iter().take(WARM) {
            search(query);
            if start.elapsed() > MOST / 4 {
                break;
            }
        }
        let start = Instant::now();
        for (query, truth) in queries.iter().zip(truth) {
            let asked = Instant::now();
            let found = search(query);
            self.times.push(asked.elapsed());
            self.found += truth.iter().filter(|key| found.contains(key)).count();
            self.wanted += truth.len();
            self.short += usize::from(found.len() < truth.len());
            if start.elapsed() > MOST {
                break;
            }
        }
    }

    fn row(&mut self, way: &str) {
        self.times.sort();
        let count = self.times.len();
        let milliseconds = |place: usize| {
            let time = self.times[place.min(count - 1)];
            format!("{:.2}", time.as_secs_f64() * 1e3)
        };
        let recall = f64::from(u32::try_from(self.found).expect("few"))
            / f64::from(u32::try_from(self.wanted.max(1)).expect("few"));
        println!(
            "| {way} | {} | {recall:.3} | {} | {} | {} of {count} |",
            self.by,
            milliseconds(count / 2),
            milliseconds(count * 99 / 100),
            self.short,
        );
    }
}

/// A way of searching the table.
struct Way {
    name: &'static str,
    settings: Vec<String>,
    only: Option<Filter>,
}

impl Way {
    fn new(name: &'static str, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self {
            name,
            settings,
            only: None,
        }
    }

    fn by_graph(name: &'static str, scan: &str, breadth: usize) -> Self {
        let mut way = Self::new(name, &["enable_seqscan = off", "enable_sort = off"]);
        way.settings.push(format!("hnsw.iterative_scan = {scan}"));
        way.settings.push(format!("hnsw.ef_search = {breadth}"));
        way
    }

    fn measures(&self, filter: Filter) -> bool {
        self.only.is_none_or(|only| only == filter)
    }
}

fn by_graph() -> Vec<Way> {
    let mut whole = Way::by_graph(
        "pgvector, strict order, 128, `max_scan_tuples` all, `work_mem` 256 MB",
        "strict_order",
        128,
    );
    whole
        .settings
        .push(format!("hnsw.max_scan_tuples = {}", i32::MAX));
    whole.settings.push("work_mem = '256MB'".to_owned());
    whole.only = Some(Filter::Thousandth);
    vec![
        Way::by_graph("pgvector, strict order, `ef_search` 40", "strict_order", 40),
        Way::by_graph("pgvector, strict order, 128", "strict_order", 128),
        Way::by_graph("pgvector, relaxed order, 128", "relaxed_order", 128),
        Way::by_graph("pgvector, no iterative scan, 128", "off", 128),
        whole,
    ]
}

/// Where the columns have indexes, the planner chooses.
fn planned() -> Vec<Way> {
    let strict = "hnsw.iterative_scan = strict_order";
    let planned = Way::new(
        "pgvector, columns indexed, the planner's choice, strict order, 128",
        &[strict, "hnsw.ef_search = 128"],
    );
    let exact = Way::new(
        "PostgreSQL, exact",
        &["enable_indexscan = off", "enable_bitmapscan = off"],
    );
    vec![planned, exact]
}

/// The most memory that a client's process held: see [`Client::memory`].
fn measure_server(
    server: &Server<'_>,
    ways: &[Way],
    queries: &[Embedding],
    truth: &[Vec<Vec<u32>>; 3],
    measured: &mut [[Measured; 3]],
) -> Option<(u64, u64)> {
    let mut most = None;
    for (way, measured) in ways.iter().zip(measured) {
        for filter in FILTERS.into_iter().filter(|&filter| way.measures(filter)) {
            // Of its own: a statement that was planned stays as it is, whatever is set after it.
            let mut client: Client<'_> = server.client(&way.settings);
            let measured = &mut measured[filter as usize];
            measured.by = client.plan(&queries[0], filter);
            let search = |query: &Embedding| client.search(query, filter);
            measured.add(queries, &truth[filter as usize], search);
            most = most.max(client.memory());
        }
    }
    most
}

/// Resident memory of this process.
fn resident() -> usize {
    of_status("VmRSS:")
}

/// A line of what the system says of this process, in bytes.
fn of_status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.unwrap_or(0_usize) * 1_024
}

fn megabytes(bytes: usize) -> String {
    format!("{} MB", bytes / 1_000_000)
}

/// Builds both, and says what that took.
fn both_built(points: &Points, count: usize, server: Option<&Server<'_>>) -> Searcher {
    println!("| | time | memory |\n| --- | --- | --- |");
    let (before, start) = (resident(), Instant::now());
    let searcher = build(points, count);
    println!(
        "| in memory: build | {:.1} s | {} of graph and vectors, the process {} more |",
        start.elapsed().as_secs_f64(),
        megabytes(searcher.memory_bytes()),
        megabytes(resident().saturating_sub(before))
    );
    if let Some(server) = server {
        let took = server.fill(points, count);
        println!(
            "| pgvector: table filled (COPY, VACUUM) | {:.1} s | {}, its primary key {} |",
            took.time.as_secs_f64(),
            server.megabytes("points"),
            server.megabytes("points_pkey")
        );
        let took = server.graph();
        let cpu = took.cpu.map_or(String::new(), |cpu| {
            format!(" ({:.0} s of the processors)", cpu.as_secs_f64())
        });
        println!(
            "| pgvector: HNSW | {:.1} s{cpu} | {} |",
            took.time.as_secs_f64(),
            server.megabytes("points_graph")
        );
    }
    searcher
}

fn main() {
    let options = options();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    match (options.other.as_deref(), &options.data) {
        (Some("texts"), Some(data)) => return texts::run(data, options.count, &runtime),
        (Some(_), Some(folder)) => return texts::restored(folder),
        (Some(other), None) => panic!("{other} needs --data"),
        (None, _) => {}
    }
    let points = match &options.data {
        Some(data) => Points::of(data, &runtime),
        None => Points::drawn(if options.trial { 16 } else { 512 }),
    };
    let count = options.count;
    println!(
        "{count} vectors of {} dimensions, {}; {} queries, {ROUNDS} times\n",
        points.dimensions(),
        points.said(),
        options.queries
    );
    let queries = points.queries(options.queries);

    let address = options.database.as_deref();
    let server = address.map(|address| Server::new(address, &runtime));
    let searcher = both_built(&points, count, server.as_ref());
    let exact = Exact::new(&points, count);
    println!(
        "| exact, in memory | | {} |\n",
        megabytes(count * points.dimensions() * 2)
    );
    let truth = truth(&points, count, &queries);

    let lock = options.lock.map(|path| {
        let file = File::create(path).expect("a file");
        file.lock().expect("locked");
        file
    });
    let (graph, planned) = (by_graph(), planned());
    let none = || FILTERS.map(|_| Measured::default());
    let mut own: [[Measured; 3]; 2] = [none(), none()];
    let mut of_graph: Vec<_> = graph.iter().map(|_| none()).collect();
    let mut of_planned: Vec<_> = planned.iter().map(|_| none()).collect();
    let mut most = None;
    for _ in 0..ROUNDS {
        for filter in FILTERS {
            let selection = selection(filter);
            let search = |query: &Embedding| {
                let hits = searcher.search(query, &selection).expect("hits");
                keys(&hits.hits)
            };
            let truth = &truth[filter as usize];
            own[0][filter as usize].add(&queries, truth, search);
            let search = |query: &Embedding| exact.search(query, filter);
            own[1][filter as usize].add(&queries, truth, search);
        }
        if let Some(server) = &server {
            most = measure_server(server, &graph, &queries, &truth, &mut of_graph);
        }
    }
    if let Some(server) = &server {
        server.columns();
        for _ in 0..ROUNDS {
            most = most.max(measure_server(
                server,
                &planned,
                &queries,
                &truth,
                &mut of_planned,
            ));
        }
    }
    drop(lock);

    let of_server = graph.iter().zip(&mut of_graph);
    let mut of_server: Vec<_> = of_server
        .chain(planned.iter().zip(&mut of_planned))
        .collect();
    for filter in FILTERS {
        println!(
            "| {} | by | recall@10 | p50 ms | p99 ms | short answers |\n\
             | --- | --- | --- | --- | --- | --- |",
            filter.said()
        );
        let [search, scan] = &mut own;
        search[filter as usize].row("in memory, `search`");
        scan[filter as usize].row("in memory, exact");
        if server.is_some() {
            for (way, measured) in &mut of_server {
                if way.measures(filter) {
                    measured[filter as usize].row(way.name);
                }
            }
        }
        println!();
    }
    if let Some((whole, own)) = most {
        println!("A client's process holds {whole} MB, {own} MB of them not shared buffers\n");
    }
    if let Some(server) = &server {
        println!(
            "PostgreSQL {}; shared_buffers {}, maintenance_work_mem {}, workers of a build {}",
            server.versions(),
            server.setting("shared_buffers"),
            server.setting("maintenance_work_mem"),
            server.setting("max_parallel_maintenance_workers"),
        );
    }
}
