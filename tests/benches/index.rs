//! The index at size: recall and latency against exact search, filters by both plans, times of
//! build, save and load.
//!
//! `cargo bench --bench index` prints the tables of docs/benchmarks.md; `cargo bench --bench index
//! -- 20000` does it for that many vectors, `-- living` measures an index whose products change
//! (`living.rs`). Without `--bench` (as `cargo test --all-targets` runs it) it is a small trial of
//! both.
//!
//! The vectors are synthetic and clustered (`space.rs`). Queries are drawn alike and are none of the
//! vectors. One thread searches.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark reports to whoever started it"
)]

mod living;
#[path = "../it/support/noise.rs"]
mod noise;
mod space;

use std::time::{Duration, Instant};

use aglet::domain::{
    AttributeName, AttributeValue, Attributes, Embedding, Filters, ModelId, ProductFields,
    ProductKey, Types, Window,
};
use aglet::index::graph::{Filter, Index, Rest};
use aglet::index::lexical::{Language, ProductText};
use aglet::index::plan::{Candidates, plan};
use aglet::index::vectors::Density;
use aglet::index::{Builder, Entry, Hit, IndexVersion, Saved, Searcher, Selection, Vector, rank};
use roaring::RoaringBitmap;

use noise::Noise;
use space::{CLUSTERS, Space};

/// Share of the products that carry the value, in thousandths.
const SHARES: [u32; 7] = [500, 200, 150, 100, 50, 10, 1];

fn version() -> IndexVersion {
    IndexVersion {
        catalog: 1,
        model: ModelId::new("00"),
        words_percent: 0,
        language: Language::None,
    }
}

/// A product of the index.
struct Product {
    key: ProductKey,
    vectors: Vec<Vector>,
    attributes: Attributes,
    fields: ProductFields,
}

impl Product {
    fn entry(&self) -> Entry<'_> {
        Entry {
            key: self.key,
            vectors: &self.vectors,
            attributes: &self.attributes,
            fields: self.fields,
            text: ProductText::default(),
        }
    }
}

fn build(dimensions: usize, products: impl Iterator<Item = Product>) -> Searcher {
    let mut builder = Builder::new(dimensions, Language::None);
    for product in products {
        builder.add(&product.entry()).expect("in order");
    }
    builder.build(version(), &Types::default()).expect("built")
}

fn share_name(share: u32) -> AttributeName {
    AttributeName::new(&format!("share_{share}")).expect("a name")
}

/// What a product by chance carries.
fn attributes(noise: &mut Noise) -> Attributes {
    let yes = || vec![AttributeValue::new("yes").expect("a value")];
    let carried = SHARES
        .into_iter()
        .filter(|&share| noise.below(1_000) < share as usize);
    carried.map(|share| (share_name(share), yes())).collect()
}

fn entries(space: &mut Space, count: usize) -> Vec<Product> {
    let entry = |key: usize| {
        let embedding = space.point();
        Product {
            key: ProductKey(u32::try_from(key).expect("few")),
            vectors: vec![Vector {
                picture: 1,
                embedding,
            }],
            attributes: attributes(&mut space.noise),
            fields: ProductFields::default(),
        }
    };
    (0..count).map(entry).collect()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

/// Median and 99th percentile of the time that `search` takes, and its recall of `exact`'s first
/// ten.
fn measure(
    queries: &[Embedding],
    exact: &[Vec<ProductKey>],
    search: impl Fn(&Embedding) -> Vec<Hit>,
) -> (String, String, String) {
    let (mut times, mut found, mut wanted) = (Vec::new(), 0, 0);
    for (query, exact) in queries.iter().zip(exact) {
        let start = Instant::now();
        let hits = search(query);
        times.push(start.elapsed());
        let top = &exact[..exact.len().min(10)];
        found += top
            .iter()
            .filter(|key| hits.iter().any(|h| h.key == **key))
            .count();
        wanted += top.len();
    }
    times.sort();
    let recall = f64::from(u32::try_from(found).expect("few"))
        / f64::from(u32::try_from(wanted.max(1)).expect("few"));
    (
        milliseconds(times[times.len() / 2]),
        milliseconds(times[times.len() * 99 / 100]),
        format!("{recall:.4}"),
    )
}

fn scan(index: &Index, query: &Embedding, candidates: &Candidates) -> Vec<Hit> {
    let hit = |(slot, score)| Hit {
        key: ProductKey(slot),
        score,
    };
    rank::best(
        index
            .scores(query, candidates.slots())
            .expect("scores")
            .map(hit)
            .collect(),
        10,
    )
}

fn walk(
    index: &Index,
    query: &Embedding,
    breadth: usize,
    candidates: Option<&Candidates>,
) -> Vec<Hit> {
    let filter = Filter {
        allow: &|slot| candidates.is_some_and(|c| c.contains(slot)),
        go_on: &|_, _| true,
    };
    let found = index
        .near(query, breadth, candidates.is_some().then_some(filter))
        .expect("a walk")
        .expect("whole");
    let hit = |(slot, score)| Hit {
        key: ProductKey(slot),
        score,
    };
    rank::best(
        index
            .scores(query, found.slots.into_iter())
            .expect("scores")
            .map(hit)
            .collect(),
        10,
    )
}

/// Resident memory of the process.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kilobytes = kilobytes.and_then(|of| of.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map_or("not known here".to_owned(), |of: usize| {
        megabytes(of * 1_024)
    })
}

fn megabytes(bytes: usize) -> String {
    format!("{} MB", bytes / 1_000_000)
}

fn times(entries: Vec<Product>, dimensions: usize) -> (Searcher, Index) {
    let folder = tempfile::tempdir().expect("a folder");
    let timed = |what: &str, action: &mut dyn FnMut()| {
        let start = Instant::now();
        action();
        println!("| {what} | {:.2} s |", start.elapsed().as_secs_f64());
    };
    println!("| step | |\n| --- | --- |");
    let (mut entries, mut built) = (Some(entries), None);
    timed("build", &mut || {
        let entries = entries.take().expect("once");
        built = Some(build(dimensions, entries.into_iter()));
    });
    let searcher = built.expect("built");
    let saved = Saved {
        store: "a database".to_owned(),
        whole: true,
    };
    println!("| resident memory after the build | {} |", memory());
    timed("save", &mut || {
        searcher.save(folder.path(), &saved).expect("saved");
    });
    let mut restored = None;
    timed("restore", &mut || {
        restored = Searcher::restore(
            folder.path(),
            &version(),
            dimensions,
            &saved.store,
            &Types::default(),
        );
    });
    let (restored, _) = restored.expect("whole");
    let of_model = folder.path().join(version().model.short());
    let files = std::fs::read_dir(&of_model).expect("a folder").flatten();
    let bytes: u64 = files
        .filter_map(|f| f.metadata().ok())
        .map(|m| m.len())
        .sum();
    println!("| on disk | {} MB |", bytes / 1_000_000);
    // The same graph by itself, to try each plan: its slots are the keys.
    let graph = std::fs::read_dir(&of_model)
        .expect("a folder")
        .flatten()
        .map(|f| f.path());
    let graph = graph
        .into_iter()
        .find(|f| f.extension().is_some_and(|e| e == "usearch"))
        .expect("a graph");
    let count = u32::try_from(restored.len()).expect("few");
    let index = Index::load(&graph, dimensions, count, Rest::of_new(count)).expect("loaded");
    println!(
        "| graph and vectors in memory | {} |\n",
        megabytes(index.memory_bytes())
    );
    (restored, index)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let trial = !arguments.iter().any(|a| a == "--bench");
    let count = arguments
        .iter()
        .find_map(|a| a.parse().ok())
        .unwrap_or(if trial { 3_000 } else { 100_000 });
    let (dimensions, questions) = if trial { (16, 20) } else { (512, 100) };
    let living = arguments.iter().any(|a| a == "living");
    if !living {
        still(count, dimensions, questions);
    }
    if living || trial {
        living::run(count, dimensions, questions);
    }
}

/// An index that does not change.
fn still(count: usize, dimensions: usize, questions: usize) {
    println!("{count} vectors of {dimensions} dimensions, {questions} queries\n");

    let mut space = Space::new(dimensions);
    let entries = entries(&mut space, count);
    let queries: Vec<Embedding> = (0..questions).map(|_| space.point()).collect();
    let embeddings: Vec<Embedding> = entries
        .iter()
        .map(|e| e.vectors[0].embedding.clone())
        .collect();
    let carriers = |share| -> Candidates {
        let carry = entries
            .iter()
            .filter(|e| e.attributes.contains_key(&share_name(share)))
            .map(|e| e.key.0);
        Candidates::Some(carry.collect())
    };
    let all = Candidates::new(
        u32::try_from(count).expect("few"),
        None,
        RoaringBitmap::new(),
    );
    let filtered: Vec<(u32, Candidates)> = SHARES
        .into_iter()
        .map(|share| (share, carriers(share)))
        .collect();
    let (searcher, index) = times(entries, dimensions);

    // The truth is that of the f32 vectors: what bf16 costs is part of the recall.
    let truth = |candidates: &Candidates| -> Vec<Vec<ProductKey>> {
        let of = |query: &Embedding| {
            let hit = |slot| Hit {
                key: ProductKey(slot),
                score: query.cosine(&embeddings[slot as usize]),
            };
            rank::best(candidates.slots().map(hit).collect(), 10)
                .iter()
                .map(|h| h.key)
                .collect()
        };
        queries.iter().map(of).collect()
    };
    let exact = truth(&all);
    println!("| unfiltered | median ms | p99 ms | recall@10 |\n| --- | --- | --- | --- |");
    let row = |name: &str, (median, p99, recall): (String, String, String)| {
        println!("| {name} | {median} | {p99} | {recall} |");
    };
    row("scan", measure(&queries, &exact, |q| scan(&index, q, &all)));
    for breadth in [32, 64, 96, 128, 192, 256, 512] {
        row(
            &format!("walk, breadth {breadth}"),
            measure(&queries, &exact, |q| walk(&index, q, breadth, None)),
        );
    }
    for (limit, offset) in [(10, 0), (50, 0), (250, 0), (250, 10_000)] {
        let window = Window::new(limit, offset).expect("allowed");
        let search = |q: &Embedding| {
            searcher
                .search(q, &Selection::of(&Filters::default(), window, &[]))
                .expect("hits")
                .hits
        };
        let (median, p99, recall) = measure(&queries, &exact, search);
        let recall = if offset == 0 { recall } else { String::new() };
        row(
            &format!("`search`, limit {limit}, offset {offset}"),
            (median, p99, recall),
        );
    }

    println!(
        "\n| filter | plan | scan ms | walk ms | walk's recall@10 | `search` ms | p99 ms | recall@10 |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (share, candidates) in &filtered {
        let exact = truth(candidates);
        let (scan_time, _, _) = measure(&queries, &exact, |q| scan(&index, q, candidates));
        let (walk_time, _, walk_recall) =
            measure(&queries, &exact, |q| walk(&index, q, 128, Some(candidates)));
        let yes = AttributeValue::new("yes").expect("a value");
        let filters = Filters::new([(share_name(*share), yes)]).expect("one");
        let window = Window::new(10, 0).expect("allowed");
        let search = |q: &Embedding| {
            searcher
                .search(q, &Selection::of(&filters, window, &[]))
                .expect("hits")
                .hits
        };
        let (median, p99, recall) = measure(&queries, &exact, search);
        let (percent, plan) = (
            f64::from(*share) / 10.0,
            plan(count, candidates.len(), Density::ONE),
        );
        let plans = format!("{percent}% | {plan:?} | {scan_time} | {walk_time} | {walk_recall}");
        println!("| {plans} | {median} | {p99} | {recall} |");
    }
}
