//! The index while its products change: `cargo bench --bench index -- living`.
//!
//! As many changes as there are products come in batches, as the service takes them over: 40% are
//! other attributes and prices, 25% other vectors, 15% removals, 20% new products. Merges and builds
//! are those that the service would make; while a graph is merged, the changes go on. Recall is
//! against the scan of the same index: every product carries a part of the whole, and a filter for a
//! part so small is scanned.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aglet::domain::{
    AttributeName, AttributeValue, Embedding, Filters, ProductFields, ProductKey, Window,
};
use aglet::index::plan::{Plan, plan};
use aglet::index::vectors::Density;
use aglet::index::{GraphLag, Searcher, Selection, Update, Upkeep, Vector, rank};

use super::noise::Noise;
use super::{CLUSTERS, Product, Space, attributes, build, measure, megabytes, memory};

/// Changes that are taken over together.
const BATCH: usize = 100;
const PARTS: u32 = 32;

const ONE: &[u8] = &[1];
/// One to four pictures, 1.9 at the mean.
const SEVERAL: &[u8] = &[1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4];

/// A product, as the numbers that it is drawn from.
struct Seeds {
    values: u64,
    cluster: usize,
    vectors: u64,
    pictures: u8,
}

struct Catalog<'a> {
    space: &'a Space,
    noise: Noise,
    /// How many pictures a product has, each as likely.
    pictures: &'static [u8],
    /// By their keys.
    products: Vec<Option<Seeds>>,
}

impl<'a> Catalog<'a> {
    fn new(space: &'a Space, pictures: &'static [u8], count: usize) -> Self {
        let mut catalog = Self {
            space,
            noise: Noise(7),
            pictures,
            products: Vec::new(),
        };
        for _ in 0..count {
            let new = catalog.drawn();
            catalog.products.push(Some(new));
        }
        catalog
    }

    fn drawn(&mut self) -> Seeds {
        Seeds {
            values: self.noise.bits(),
            cluster: self.noise.below(CLUSTERS),
            vectors: self.noise.bits(),
            pictures: self.pictures[self.noise.below(self.pictures.len())],
        }
    }

    /// Changes a product, and says which.
    fn change(&mut self) -> usize {
        let (what, other) = (self.noise.below(100), self.drawn());
        if what >= 80 {
            self.products.push(Some(other));
            return self.products.len() - 1;
        }
        loop {
            let key = self.noise.below(self.products.len());
            let Some(product) = &mut self.products[key] else {
                continue;
            };
            match what {
                0..40 => product.values = other.values,
                40..65 => {
                    *product = Seeds {
                        values: product.values,
                        ..other
                    };
                }
                _ => self.products[key] = None,
            }
            return key;
        }
    }

    fn product(&self, key: usize) -> Option<Product> {
        let seeds = self.products[key].as_ref()?;
        let key = u32::try_from(key).expect("few");
        let mut noise = Noise(seeds.values);
        let mut attributes = attributes(&mut noise);
        attributes.insert(part_name(), vec![part(key % PARTS)]);
        let fields = ProductFields {
            price: Some(f64::from(
                u16::try_from(noise.below(10_000)).expect("below"),
            )),
            ..ProductFields::default()
        };
        let mut noise = Noise(seeds.vectors);
        let vectors = (1..=seeds.pictures).map(|picture| Vector {
            picture,
            embedding: self.space.member(seeds.cluster, &mut noise),
        });
        Some(Product {
            key: ProductKey(key),
            vectors: vectors.collect(),
            attributes,
            fields,
        })
    }

    fn all(&self) -> impl Iterator<Item = Product> + '_ {
        (0..self.products.len()).filter_map(|key| self.product(key))
    }

    fn build(&self) -> Searcher {
        build(self.space.dimensions, self.all())
    }
}

fn part_name() -> AttributeName {
    AttributeName::new("part").expect("a name")
}

fn part(number: u32) -> AttributeValue {
    AttributeValue::new(&number.to_string()).expect("a value")
}

/// An index that follows a catalog.
struct Living<'a> {
    catalog: Catalog<'a>,
    searcher: Searcher,
    changes: usize,
    merges: usize,
    builds: usize,
}

impl Living<'_> {
    fn follow(&mut self) {
        let changed: BTreeSet<usize> = (0..BATCH).map(|_| self.catalog.change()).collect();
        self.changes += BATCH;
        let is = |key| (key, self.catalog.product(key));
        let changed: Vec<(usize, Option<Product>)> = changed.into_iter().map(is).collect();
        let updates = changed.iter().map(|(key, product)| match product {
            Some(product) => Update::Is(product.entry()),
            None => Update::Gone(ProductKey(u32::try_from(*key).expect("few"))),
        });
        let next = self.searcher.with(&updates.collect::<Vec<_>>(), 1);
        self.searcher = next.expect("fits").expect("in order");
    }

    fn follow_until(&mut self, changes: usize) {
        while self.changes < changes {
            self.follow();
            match self.searcher.graph_lag().due() {
                None => {}
                Some(Upkeep::Merge) => {
                    let merged = self.searcher.merged().expect("merged");
                    self.follow();
                    self.searcher = self.searcher.with_merged(merged);
                    self.merges += 1;
                }
                Some(Upkeep::Build) => {
                    self.searcher = self.catalog.build();
                    self.builds += 1;
                }
            }
        }
    }

    fn row(&self, when: &str, queries: &[Embedding]) {
        let (merges, builds) = (self.merges, self.builds);
        row(
            when,
            &self.searcher,
            &format!("{merges}, {builds}"),
            queries,
        );
    }

    fn verify(&self) {
        let mut comparison = self.searcher.comparison();
        for product in self.catalog.all() {
            comparison.add(&product.entry());
        }
        assert_eq!(
            comparison.finish().1,
            [],
            "the index is what the catalog says"
        );
    }
}

fn search(searcher: &Searcher, query: &Embedding, filters: &Filters) -> Vec<aglet::index::Hit> {
    let window = Window::new(10, 0).expect("allowed");
    let hits = searcher.search(query, &Selection::of(filters, window, &[]));
    hits.expect("hits").hits
}

/// The nearest products, by the scan of each part.
fn exact(searcher: &Searcher, query: &Embedding) -> Vec<ProductKey> {
    let of_part = |number| {
        let filters = Filters::new([(part_name(), part(number))]).expect("one");
        search(searcher, query, &filters)
    };
    let best = rank::best((0..PARTS).flat_map(of_part).collect(), 10);
    best.iter().map(|hit| hit.key).collect()
}

fn row(when: &str, searcher: &Searcher, upkeep: &str, queries: &[Embedding]) {
    let GraphLag { size, delta, stale } = searcher.graph_lag();
    let products = searcher.len();
    assert_eq!(
        plan(products, 2 * products / PARTS as usize, Density::ONE),
        Plan::Scan
    );
    let exact: Vec<_> = queries.iter().map(|query| exact(searcher, query)).collect();
    let all = Filters::default();
    let (median, _, recall) = measure(queries, &exact, |query| search(searcher, query, &all));
    let held = megabytes(searcher.memory_bytes());
    let lag = format!("{products} | {size} | {delta} | {stale} | {upkeep}");
    println!(
        "| {when} | {lag} | {recall} | {median} | {held} | {} |",
        memory()
    );
}

/// The median time of a search in each, in turns.
fn in_turns(searchers: &[&Searcher], queries: &[Embedding]) -> Vec<Duration> {
    let mut times = vec![Vec::new(); searchers.len()];
    for query in queries.iter().cycle().take(5 * queries.len()) {
        for (searcher, times) in searchers.iter().zip(&mut times) {
            let start = Instant::now();
            search(searcher, query, &Filters::default());
            times.push(start.elapsed());
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    times.into_iter().map(median).collect()
}

fn ratio(one: f64, other: f64) -> String {
    format!("{:.3}", one / other)
}

#[expect(clippy::cast_precision_loss, reason = "bytes are printed")]
fn live(catalog: Catalog<'_>, queries: &[Embedding]) -> Searcher {
    println!(
        "| after | products | vectors | not in the graph | stale | merges, builds | recall@10 | median ms | graph and vectors | resident |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let count = catalog.products.len();
    let searcher = catalog.build();
    let mut living = Living {
        catalog,
        searcher,
        changes: 0,
        merges: 0,
        builds: 0,
    };
    living.row("the build", queries);
    for quarter in 1..=4 {
        living.follow_until(quarter * count / 4);
        living.row(&format!("{} changes", living.changes), queries);
    }
    living.verify();
    let merged = living.searcher.merged().expect("merged");
    living.searcher = living.searcher.with_merged(merged);
    living.merges += 1;
    living.row("the last merge", queries);
    let fresh = living.catalog.build();
    let times = in_turns(&[&living.searcher, &fresh], queries);
    let bytes = living.searcher.memory_bytes() as f64;
    drop(living);
    row("another build", &fresh, "", queries);
    println!(
        "\nThe living index beside the fresh one: {} of its memory, {} of its time\n",
        ratio(bytes, fresh.memory_bytes() as f64),
        ratio(times[0].as_secs_f64(), times[1].as_secs_f64()),
    );
    fresh
}

pub fn run(count: usize, dimensions: usize, questions: usize) {
    println!("{count} products, {dimensions} dimensions, {questions} queries\n");
    let mut space = Space::new(dimensions);
    let queries: Vec<Embedding> = (0..questions).map(|_| space.point()).collect();
    println!("One vector a product:\n");
    live(Catalog::new(&space, ONE, count), &queries);
    println!("Several vectors a product:\n");
    let several = live(Catalog::new(&space, SEVERAL, count), &queries);

    let vectors = usize::try_from(several.graph_lag().size).expect("few");
    let one = |count| Catalog::new(&space, ONE, count).build();
    let (same_products, same_vectors) = (one(several.len()), one(vectors));
    let all = [&several, &same_products, &same_vectors];
    let times = in_turns(&all, &queries);
    println!("| products | vectors | median ms | several beside it |\n| --- | --- | --- | --- |");
    for (searcher, time) in all.into_iter().zip(&times) {
        let ratio = ratio(times[0].as_secs_f64(), time.as_secs_f64());
        let (products, vectors) = (searcher.len(), searcher.graph_lag().size);
        let time = super::milliseconds(*time);
        println!("| {products} | {vectors} | {time} | {ratio} |");
    }
}
