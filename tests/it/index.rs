//! The index: against brute force, across restarts, under damage and under load.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::thread;

use aglet::domain::{
    AttributeName, AttributeValue, Attributes, Embedding, Filters, ModelId, ProductFields,
    ProductId, ProductKey, Types, Window,
};
use aglet::index::lexical::{Language, ProductText};
use aglet::index::plan::{Plan, plan};
use aglet::index::vectors::Density;
use aglet::index::{
    Builder, Entry, Hit, Hits, IndexVersion, Saved, SearchError, Searcher, Selection, Update,
    Vector, rank,
};
use proptest::prelude::*;

use crate::support::noise::Noise;

const KINDS: [&str; 5] = ["Shirts", "Kurtas", "kurtas", "Sandals", "Socks"];
const COLORS: [&str; 4] = ["Black", "white", "Off White", "RED"];

fn embedding(noise: &mut Noise, dimensions: usize) -> Embedding {
    let mut value =
        || f32::from(u16::try_from(noise.bits() >> 48).expect("16 bits")) / 32_768.0 - 1.0;
    Embedding::new((0..dimensions).map(|_| value()).collect(), dimensions).expect("not zero")
}

fn version(catalog: u64) -> IndexVersion {
    IndexVersion {
        catalog,
        model: ModelId::new("ab".repeat(32)),
        words_percent: 30,
        language: Language::English,
    }
}

/// A product of an index.
#[derive(Clone, Debug)]
struct Product {
    key: ProductKey,
    vectors: Vec<Vector>,
    attributes: Attributes,
}

/// The only vector of a product.
fn only(embedding: Embedding) -> Vec<Vector> {
    vec![Vector {
        picture: 1,
        embedding,
    }]
}

fn build(
    version: IndexVersion,
    dimensions: usize,
    mut products: Vec<Product>,
) -> Result<Searcher, SearchError> {
    products.sort_by_key(|product| product.key);
    let mut builder = Builder::new(dimensions, version.language);
    for product in &products {
        builder.add(&entry(product))?;
    }
    builder.build(version, &Types::default())
}

fn entry(product: &Product) -> Entry<'_> {
    Entry {
        key: product.key,
        vectors: &product.vectors,
        attributes: &product.attributes,
        fields: ProductFields::default(),
        text: ProductText {
            id: "an id",
            title: "a title",
            description: None,
        },
    }
}

fn pair(name: &str, value: &str) -> (AttributeName, AttributeValue) {
    (
        AttributeName::new(name).expect("a name"),
        AttributeValue::new(value).expect("a value"),
    )
}

fn filters(pairs: &[(&str, &str)]) -> Filters {
    Filters::new(pairs.iter().map(|(n, v)| pair(n, v))).expect("few")
}

fn matches(filters: &Filters, attributes: &Attributes) -> bool {
    let id = ProductId::new("1").expect("an id");
    let plain = aglet::domain::Product::new(id, "x").expect("a title");
    filters.matches(&aglet::domain::Product {
        attributes: attributes.clone(),
        ..plain
    })
}

/// Keys with gaps, in no order; colors by chance, sizes with several values, some products without
/// any.
fn entries(count: usize, dimensions: usize, seed: u64) -> Vec<Product> {
    entries_of(count, dimensions, seed, 1..=1)
}

/// With so many vectors each: alike, as those of pictures of one thing are.
fn entries_of(
    count: usize,
    dimensions: usize,
    seed: u64,
    vectors: RangeInclusive<usize>,
) -> Vec<Product> {
    let mut noise = Noise(seed);
    let mut entries: Vec<_> = (0..count)
        .map(|i| {
            let mut attributes = Attributes::new();
            if noise.below(10) > 0 {
                let (name, value) = pair("color", COLORS[noise.below(COLORS.len())]);
                attributes.insert(name, vec![value]);
                let sizes = (0..=noise.below(3))
                    .map(|_| pair("size", &noise.below(6).to_string()).1)
                    .collect();
                attributes.insert(AttributeName::new("size").expect("a name"), sizes);
            }
            if noise.below(10) > 0 {
                let mut kinds = || pair("category", KINDS[noise.below(KINDS.len())]).1;
                let kinds = if i % 7 == 0 {
                    vec![kinds(), kinds()]
                } else {
                    vec![kinds()]
                };
                attributes.insert(AttributeName::new("category").expect("a name"), kinds);
            }
            let key = ProductKey(u32::try_from(i * 3 + 5).expect("small"));
            Product {
                key,
                vectors: self::vectors(&mut noise, dimensions, &vectors),
                attributes,
            }
        })
        .collect();
    for i in (1..count).rev() {
        entries.swap(i, noise.below(i + 1));
    }
    entries
}

fn vectors(noise: &mut Noise, dimensions: usize, count: &RangeInclusive<usize>) -> Vec<Vector> {
    let first = embedding(noise, dimensions);
    if *count == (1..=1) {
        return only(first);
    }
    let (least, most) = (*count.start(), *count.end());
    let count = least + noise.below(most - least + 1);
    let mut vector = |place: usize| {
        // One in four products has a vector of its words, too.
        let of_words = place == 0 && noise.below(4) == 0;
        let other = embedding(noise, dimensions);
        let values = first.as_slice().iter().zip(other.as_slice());
        let values = values.map(|(first, other)| first + other).collect();
        let picture = if of_words { 0 } else { place + 1 };
        Vector {
            picture: u8::try_from(picture).expect("few"),
            embedding: Embedding::new(values, dimensions).expect("not zero"),
        }
    };
    (0..count).map(&mut vector).collect()
}

fn searcher(entries: Vec<Product>, dimensions: usize) -> Searcher {
    build(version(1), dimensions, entries).expect("built")
}

fn category() -> AttributeName {
    AttributeName::new("category").expect("a name")
}

const STORE: &str = "a database";

fn saved() -> Saved {
    Saved {
        store: STORE.to_owned(),
        whole: true,
    }
}

/// Where the files of this file's model are.
fn of_model(folder: &Path) -> std::path::PathBuf {
    folder.join(version(1).model.short())
}

/// The definition of a score: the greatest cosine of all of a product's vectors, in f64; 0 where it
/// has none.
fn best_cosine(vectors: &[Vector], query: &Embedding) -> f64 {
    let cosine = |vector: &Vector| -> f64 {
        let values = vector.embedding.as_slice().iter().zip(query.as_slice());
        values.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    vectors.iter().map(cosine).reduce(f64::max).unwrap_or(0.0)
}

/// The definition: every entry that matches, by its score, best first.
fn brute_force(
    entries: &[Product],
    query: &Embedding,
    filters: &Filters,
    exclude: Option<ProductKey>,
) -> Vec<(ProductKey, f64)> {
    let matching = entries
        .iter()
        .filter(|e| matches(filters, &e.attributes) && Some(e.key) != exclude);
    let mut all: Vec<_> = matching
        .map(|e| (e.key, best_cosine(&e.vectors, query)))
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

/// Of each hit the picture that is named is the nearest of the product's pictures.
fn assert_pictures(hits: &Hits, entries: &[Product], query: &Embedding) {
    let by_key: BTreeMap<_, _> = entries.iter().map(|e| (e.key, e)).collect();
    assert_eq!(hits.pictures.len(), hits.hits.len());
    for (hit, picture) in hits.hits.iter().zip(&hits.pictures) {
        let vectors = by_key[&hit.key].vectors.iter();
        let pictures: Vec<Vector> = vectors.filter(|of| of.picture > 0).cloned().collect();
        let named = pictures.iter().find(|of| Some(of.picture) == *picture);
        assert_eq!(named.is_none(), pictures.is_empty(), "{picture:?}");
        if let Some(named) = named {
            let cosine = best_cosine(std::slice::from_ref(named), query);
            let best = best_cosine(&pictures, query);
            assert!(best - cosine < ROUNDING, "{picture:?}: {cosine} of {best}");
        }
    }
}

/// The definition of a photo's ranking: the nearest vote on the category, and each product's score
/// rises by the share of its own; of several, of the one with most votes. The leading ones' by the
/// whole.
fn voted(entries: &[Product], ranked: &[Hit]) -> Vec<(ProductKey, f64)> {
    let name = AttributeName::new("category").expect("a name");
    let categories = |key: ProductKey| -> Vec<String> {
        let entry = entries.iter().find(|e| e.key == key).expect("one of them");
        entry
            .attributes
            .get(&name)
            .into_iter()
            .flatten()
            .map(AttributeValue::folded)
            .collect()
    };
    let votes = ranked
        .iter()
        .take(rank::VOTERS)
        .map(|hit| (hit.score, categories(hit.key)));
    let shares = rank::shares(votes.collect());
    let share = |key| {
        let own = categories(key);
        shares
            .iter()
            .filter(|(category, _)| own.contains(category))
            .map(|(_, share)| *share)
            .fold(0.0, f32::max)
    };
    let lifted = |(place, hit): (usize, &Hit)| {
        let share = if place < rank::LEADING {
            1.0
        } else {
            share(hit.key)
        };
        (hit.key, f64::from(rank::lean(hit.score, share)))
    };
    let mut all: Vec<_> = ranked.iter().enumerate().map(lifted).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

/// bf16 keeps the direction but not quite the length, and the index does not scale it again.
const ROUNDING: f64 = 4e-3;

/// Rank by rank the same score, and every product with its own score.
fn assert_exact(hits: &Hits, expected: &[(ProductKey, f64)], window: Window) {
    let scores: BTreeMap<_, _> = expected.iter().copied().collect();
    let page = &expected[window.offset().min(expected.len())..window.depth().min(expected.len())];
    assert_eq!(hits.estimated_total, expected.len());
    assert_eq!(hits.hits.len(), page.len());
    for (hit, (_, score)) in hits.hits.iter().zip(page) {
        assert!(
            (f64::from(hit.score) - score).abs() < ROUNDING,
            "{hit:?} {score}"
        );
        assert!(
            (f64::from(hit.score) - scores[&hit.key]).abs() < ROUNDING,
            "{hit:?} does not match or has its score"
        );
    }
    assert!(
        hits.hits
            .is_sorted_by(|a, b| rank::best_first(a, b).is_lt())
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn small_catalogs_are_ranked_exactly(
        count in 0_usize..120,
        seed: u64,
        vectors in prop_oneof![Just(1..=1), Just(0..=2), Just(1..=4)],
        colors in prop::collection::vec(0_usize..5, 0..3),
        sizes in prop::collection::vec(0_usize..7, 0..3),
        limit in 1_usize..40,
        offset in 0_usize..60,
        excluded in prop::option::of(0_usize..120),
    ) {
        let entries = entries_of(count, 8, seed, vectors);
        let searcher = searcher(entries.clone(), 8);
        let query = embedding(&mut Noise(!seed), 8);
        let color = |i: usize| COLORS.get(i).copied().unwrap_or("nothing has it").to_uppercase();
        let pairs = colors.iter().map(|&i| pair("color", &color(i)));
        let pairs = pairs.chain(sizes.iter().map(|i| pair("size", &i.to_string())));
        let filters = Filters::new(pairs).expect("few");
        let window = Window::new(limit, offset).expect("small");
        let exclude = excluded.and_then(|i| entries.get(i)).map(|e| e.key);

        let hits = searcher.search(&query, &Selection::of(&filters, window, exclude.as_slice())).expect("a search");
        let expected = brute_force(&entries, &query, &filters, exclude);
        assert_exact(&hits, &expected, window);
        assert_pictures(&hits, &entries, &query);

        // The vote is on the scores as the index has them: in bf16 they differ by more than the
        // weights forgive.
        let all = searcher.search(&query, &Selection::of(&filters, Window::new(250, 0).expect("all"), exclude.as_slice()));
        let all = all.expect("a search").hits;
        let hits = searcher.search_photo(&query, &category(), &Selection::of(&filters, window, exclude.as_slice())).expect("a search");
        assert_exact(&hits, &voted(&entries, &all), window);
    }

    #[test]
    fn large_catalogs_never_answer_too_few(
        seed: u64,
        colors in prop::collection::vec(0_usize..5, 0..4),
        limit in 1_usize..=250,
        offset in prop_oneof![0_usize..300, 2_000_usize..6_000],
        exclude: bool,
    ) {
        let (entries, searcher) = large();
        let query = embedding(&mut Noise(seed), 24);
        let pairs = colors.iter().map(|&i| pair("color", COLORS.get(i).copied().unwrap_or("nothing has it")));
        let filters = Filters::new(pairs).expect("few");
        let exclude = exclude.then_some(entries[0].key);
        let window = Window::new(limit, offset).expect("allowed");

        let hits = searcher.search(&query, &Selection::of(&filters, window, exclude.as_slice())).expect("a search");
        let matching: BTreeMap<_, _> =
            brute_force(entries, &query, &filters, exclude).into_iter().collect();
        prop_assert_eq!(hits.estimated_total, matching.len());
        prop_assert_eq!(hits.hits.len(), limit.min(matching.len().saturating_sub(offset)));
        for hit in &hits.hits {
            let score = matching.get(&hit.key).copied();
            prop_assert!(score.is_some_and(|s| (s - f64::from(hit.score)).abs() < ROUNDING), "{:?} {:?}", hit, score);
        }
    }
}

/// Large enough that the graph is walked, built once.
fn large() -> &'static (Vec<Product>, Searcher) {
    static LARGE: std::sync::LazyLock<(Vec<Product>, Searcher)> = std::sync::LazyLock::new(|| {
        let entries = entries(5_000, 24, 11);
        let searcher = searcher(entries.clone(), 24);
        assert_eq!(plan(5_000, 5_000, Density::ONE), Plan::Graph);
        (entries, searcher)
    });
    &LARGE
}

fn recall_at_10(filters: &Filters) -> usize {
    let (entries, searcher) = large();
    let top = Window::new(10, 0).expect("allowed");
    let mut noise = Noise(23);
    let found = |query: Embedding| {
        let hits = searcher
            .search(&query, &Selection::of(filters, top, &[]))
            .expect("a search")
            .hits;
        let exact = brute_force(entries, &query, filters, None);
        exact[..10]
            .iter()
            .filter(|(key, _)| hits.iter().any(|h| h.key == *key))
            .count()
    };
    (0..50).map(|_| found(embedding(&mut noise, 24))).sum()
}

#[test]
fn the_walk_finds_nearly_all_of_the_best() {
    let without = recall_at_10(&Filters::default());
    assert!(without >= 485, "{without} of 500");
    let most = filters(&COLORS.map(|color| ("color", color)));
    let count = large()
        .0
        .iter()
        .filter(|e| matches(&most, &e.attributes))
        .count();
    assert_eq!(plan(5_000, count, Density::ONE), Plan::Graph);
    let with = recall_at_10(&most);
    assert!(with >= 485, "{with} of 500");
}

/// Products with one to four vectors each in the graph: built, changed and merged.
fn several() -> &'static (Vec<Product>, Searcher) {
    static SEVERAL: std::sync::LazyLock<(Vec<Product>, Searcher)> =
        std::sync::LazyLock::new(|| {
            let mut entries = entries_of(20_000, 24, 13, 1..=4);
            entries.sort_by_key(|entry| entry.key);
            let mut before = entries[..17_000].to_vec();
            // One loses a vector, one has another one, one has had them in another order.
            for (place, product) in before.iter_mut().enumerate() {
                match place % 30 {
                    0 => drop(product.vectors.pop()),
                    1 => product.vectors.clone_from(&entries[place + 1].vectors),
                    2 => product.vectors.reverse(),
                    _ => {}
                }
            }
            let mut searcher = searcher(before, 24);
            for (revision, changed) in [(2, 0..9_000), (3, 9_000..20_000)] {
                let changed: Vec<_> = entries[changed]
                    .iter()
                    .map(|e| Update::Is(entry(e)))
                    .collect();
                let next = searcher.with(&changed, revision).expect("fits");
                let next = next.expect("in order");
                assert!(next.graph_lag().delta > 1_000);
                searcher = next.with_merged(next.merged().expect("merged"));
                assert_eq!(searcher.graph_lag().delta, 0);
            }
            (entries, searcher)
        });
    &SEVERAL
}

#[test]
fn the_best_of_several_vectors_is_found_and_named() {
    let (entries, searcher) = several();
    let window = Window::new(10, 0).expect("allowed");
    let mut noise = Noise(29);
    let two = filters(&[("color", "black"), ("color", "white")]);
    for filters in [Filters::default(), two] {
        let selection = Selection::of(&filters, window, &[]);
        let matching: Vec<&Product> = entries
            .iter()
            .filter(|entry| matches(&filters, &entry.attributes))
            .collect();
        let mut found = 0;
        for _ in 0..50 {
            let query = embedding(&mut noise, 24);
            let hits = searcher.search(&query, &selection).expect("a search");
            let exact = matching.iter();
            let exact = exact.map(|entry| (entry.key, best_cosine(&entry.vectors, &query)));
            let mut exact: Vec<(ProductKey, f64)> = exact.collect();
            exact.sort_by(|a, b| b.1.total_cmp(&a.1));
            assert_eq!(hits.estimated_total, exact.len(), "the filter is exact");
            assert_eq!(hits.hits.len(), 10);
            let scores: BTreeMap<_, _> = exact.iter().copied().collect();
            for hit in &hits.hits {
                let score = scores.get(&hit.key).copied().expect("it matches");
                assert!(
                    (f64::from(hit.score) - score).abs() < ROUNDING,
                    "{hit:?} {score}"
                );
            }
            assert_pictures(&hits, entries, &query);
            let best = exact[..10].iter();
            found += best
                .filter(|(key, _)| hits.hits.iter().any(|hit| hit.key == *key))
                .count();
        }
        // Several threads build the graph: it is not the same twice.
        assert!(found >= 490, "{found} of 500");
    }
}

#[test]
fn several_vectors_are_the_same_after_a_restart() {
    let (entries, searcher) = several();
    let folder = tempfile::tempdir().expect("a folder");
    searcher.save(folder.path(), &saved()).expect("saved");
    let restored = restored_as(folder.path(), searcher.version(), 24, STORE).expect("whole");
    let mut noise = Noise(31);
    for (limit, offset) in [(250, 0), (50, 900)] {
        let window = Window::new(limit, offset).expect("allowed");
        let selection = Selection::of(&Filters::default(), window, &[]);
        let query = embedding(&mut noise, 24);
        let answer = |searcher: &Searcher| {
            let hits = searcher.search(&query, &selection).expect("a search");
            (hits.hits, hits.pictures)
        };
        assert_eq!(answer(&restored), answer(searcher));
    }
    let mut comparison = restored.comparison();
    for product in entries {
        comparison.add(&entry(product));
    }
    assert_eq!(comparison.finish(), (20_000, Vec::new()));
    // What comes after the restart finds the nodes of what was there before.
    let other = &entries[5];
    let lag = restored.graph_lag();
    let gone = restored.with(&[Update::Gone(other.key)], 4).expect("fits");
    let gone = gone.expect("in order").graph_lag();
    assert_eq!(gone.stale - lag.stale, other.vectors.len() as u64);
    assert_eq!(lag.size - gone.size, other.vectors.len() as u64);
}

#[test]
fn a_query_without_a_vector_names_no_picture() {
    let searcher = searcher(entries_of(50, 8, 3, 1..=4), 8);
    let window = Window::new(20, 0).expect("allowed");
    let selection = Selection::of(&Filters::default(), window, &[]);
    let hits = searcher.browse(&selection).expect("a search");
    assert_eq!(hits.pictures, [None; 20]);
    // Excluded products and pages leave the pictures with their hits.
    let query = embedding(&mut Noise(8), 8);
    let all = searcher.search(&query, &selection).expect("a search");
    let exclude = [all.hits[0].key];
    let window = Window::new(5, 2).expect("allowed");
    let page = searcher.search(
        &query,
        &Selection::of(&Filters::default(), window, &exclude),
    );
    let page = page.expect("a search");
    assert_eq!(page.hits, all.hits[3..8]);
    assert_eq!(page.pictures, all.pictures[3..8]);
}

#[test]
fn pages_join_without_repeating_or_losing_a_product() {
    let (entries, searcher) = large();
    assert_pages_join(entries, searcher, 24);
    // With several vectors, and with more than a walk reckons with, half of them not in the graph.
    for vectors in [1..=4, 0..=12] {
        let mut entries = entries_of(4_000, 16, 12, vectors);
        entries.sort_by_key(|entry| entry.key);
        let built = self::searcher(entries[..3_600].to_vec(), 16);
        let new: Vec<_> = entries[3_600..]
            .iter()
            .map(|e| Update::Is(entry(e)))
            .collect();
        let searcher = built.with(&new, 2).expect("fits").expect("in order");
        assert!(searcher.graph_lag().delta > 400);
        assert_pages_join(&entries, &searcher, 16);
    }
}

fn assert_pages_join(entries: &[Product], searcher: &Searcher, dimensions: usize) {
    for (filters, exclude) in [
        (Filters::default(), None),
        (Filters::default(), Some(entries[7].key)),
        (filters(&COLORS.map(|color| ("color", color))), None),
        (filters(&[("color", "black"), ("size", "3")]), None),
    ] {
        let query = embedding(&mut Noise(5), dimensions);
        for photo in [false, true] {
            let page = |limit, offset| {
                let window = Window::new(limit, offset).expect("allowed");
                let exclude = exclude.as_slice();
                let hits = if photo {
                    searcher.search_photo(
                        &query,
                        &category(),
                        &Selection::of(&filters, window, exclude),
                    )
                } else {
                    searcher.search(&query, &Selection::of(&filters, window, exclude))
                };
                hits.expect("a search")
            };
            let total = page(1, 0).estimated_total;
            let by = |limit: usize| -> Vec<_> {
                (0..total.div_ceil(limit))
                    .flat_map(|i| page(limit, i * limit).hits)
                    .collect()
            };
            let all = by(250);
            let mut keys: Vec<_> = all.iter().map(|h| h.key).collect();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), total, "every product once");
            assert_eq!(by(97), all, "the same ranking whatever the pages' size");
            assert!(page(250, total).hits.is_empty() && page(250, 10_000).hits.is_empty());
            assert_eq!(page(250, 10_000).estimated_total, total);
        }
    }
}

#[test]
fn the_nearest_of_a_photo_lift_their_category() {
    // Nearest of all is one kurta; behind it come shirts, and a sock that is nearer than the other
    // kurta.
    let at = |key: u32, x: f32, kind: Option<&str>| {
        let attributes = kind
            .map(|kind| pair("category", kind))
            .into_iter()
            .map(|(n, v)| (n, vec![v]))
            .collect();
        let embedding = Embedding::new(vec![x, (1.0 - x * x).sqrt()], 2).expect("not zero");
        Product {
            key: ProductKey(key),
            vectors: only(embedding),
            attributes,
        }
    };
    let kurtas = [at(1, 0.99, Some("Kurtas")), at(2, 0.60, Some("kurtas"))];
    let others = [
        at(3, 0.90, Some("Shirts")),
        at(4, 0.70, Some("Socks")),
        at(5, 0.65, None),
    ];
    let searcher = searcher(kurtas.into_iter().chain(others).collect(), 2);
    let query = Embedding::new(vec![1.0, 0.0], 2).expect("not zero");
    let window = Window::new(5, 0).expect("allowed");
    let keys = |exclude: &[ProductKey]| -> Vec<u32> {
        let hits = searcher
            .search_photo(
                &query,
                &category(),
                &Selection::of(&Filters::default(), window, exclude),
            )
            .expect("a search")
            .hits;
        hits.iter().map(|hit| hit.key.0).collect()
    };
    let plain = searcher
        .search(&query, &Selection::of(&Filters::default(), window, &[]))
        .expect("a search")
        .hits;
    assert_eq!(
        plain.iter().map(|hit| hit.key.0).collect::<Vec<_>>(),
        [1, 3, 4, 5, 2]
    );
    // The kurta decides the vote, but the shirt is one of the leading two.
    assert_eq!(keys(&[]), [1, 3, 2, 4, 5]);
    // A product that is left out has no vote.
    assert_eq!(keys(&[ProductKey(1), ProductKey(99)]), [3, 4, 5, 2]);
}

#[test]
fn equal_vectors_are_ordered_by_key_and_all_found() {
    let same = embedding(&mut Noise(1), 12);
    for count in [300_u32, 4_000] {
        let entries = (0..count).rev().map(|key| Product {
            key: ProductKey(key),
            vectors: only(same.clone()),
            attributes: Attributes::new(),
        });
        let searcher = searcher(entries.collect(), 12);
        let window = Window::new(200, 0).expect("allowed");
        let hits = searcher
            .search(&same, &Selection::of(&Filters::default(), window, &[]))
            .expect("a search")
            .hits;
        assert_eq!(hits.len(), 200);
        if plan(count as usize, count as usize, Density::ONE) == Plan::Scan {
            assert!(hits.iter().map(|h| h.key.0).eq(0..200), "ties by key");
        }
        let keys: std::collections::BTreeSet<_> = hits.iter().map(|h| h.key.0).collect();
        assert_eq!(keys.len(), 200);
    }
}

#[test]
fn nothing_and_one_product() {
    let searcher = Searcher::empty(version(0), 8);
    let query = embedding(&mut Noise(2), 8);
    let window = Window::new(250, 0).expect("allowed");
    let hits = searcher
        .search(
            &query,
            &Selection::of(&Filters::default(), window, &[ProductKey(1)]),
        )
        .expect("a search");
    assert!(hits.hits.is_empty() && hits.estimated_total == 0);
    assert_eq!(*searcher.version(), version(0));
    assert!(
        searcher.is_empty()
            && searcher.facets().is_empty()
            && searcher.embedding(ProductKey(1)).expect("here").is_none()
    );

    let one = entries(1, 8, 3).remove(0);
    let own = &one.vectors[0].embedding;
    let searcher = build(version(1), 8, vec![one.clone()]).expect("built");
    let hits = searcher
        .search(own, &Selection::of(&Filters::default(), window, &[]))
        .expect("a search");
    assert_eq!((hits.hits.len(), hits.estimated_total), (1, 1));
    assert_eq!(*searcher.version(), version(1));
    assert!(hits.hits[0].key == one.key && hits.hits[0].score > 0.99);
    let hits = searcher
        .search(own, &Selection::of(&Filters::default(), window, &[one.key]))
        .expect("a search");
    assert!(hits.hits.is_empty() && hits.estimated_total == 0);
    let stored = searcher.embedding(one.key).expect("here").expect("indexed");
    assert!(stored.cosine(own) > 0.9999);
}

#[test]
fn another_number_of_dimensions_is_an_error() {
    let searcher = searcher(entries(10, 8, 4), 8);
    let window = Window::new(3, 0).expect("allowed");
    let wrong = searcher.search(
        &embedding(&mut Noise(1), 9),
        &Selection::of(&Filters::default(), window, &[]),
    );
    assert!(
        matches!(wrong, Err(SearchError::Dimensions { index: 8, query: 9 })),
        "{wrong:?}"
    );
    let wrong = build(version(2), 8, entries(10, 9, 4)).map(|_| ());
    assert!(
        matches!(wrong, Err(SearchError::Dimensions { index: 8, query: 9 })),
        "{wrong:?}"
    );
    let mut twice = entries(10, 8, 4);
    twice[3].key = twice[8].key;
    let wrong = build(version(2), 8, twice).map(|_| ());
    assert!(
        matches!(wrong, Err(SearchError::KeyOrder { .. })),
        "{wrong:?}"
    );
}

#[test]
fn many_threads_search_one_index() {
    let searcher = searcher(entries(1_500, 16, 1), 16);
    let window = Window::new(20, 0).expect("allowed");
    thread::scope(|scope| {
        for seed in 0..48 {
            let searcher = searcher.clone();
            scope.spawn(move || {
                let mut noise = Noise(seed);
                for _ in 0..20 {
                    let query = embedding(&mut noise, 16);
                    let hits = searcher
                        .search(&query, &Selection::of(&Filters::default(), window, &[]))
                        .expect("a search");
                    assert_eq!((hits.estimated_total, hits.hits.len()), (1_500, 20));
                }
            });
        }
    });
}

fn answers(searcher: &Searcher) -> Vec<(u32, u32)> {
    let mut noise = Noise(99);
    let window = Window::new(20, 0).expect("allowed");
    let of = |query| {
        searcher
            .search(
                &query,
                &Selection::of(&filters(&[("color", "black")]), window, &[]),
            )
            .expect("a search")
            .hits
    };
    (0..5)
        .flat_map(|_| of(embedding(&mut noise, 8)))
        .map(|h| (h.key.0, h.score.to_bits()))
        .collect()
}

fn restored(folder: &Path) -> Option<Searcher> {
    restored_as(folder, &version(1), 8, STORE)
}

fn restored_as(
    folder: &Path,
    expected: &IndexVersion,
    dimensions: usize,
    store: &str,
) -> Option<Searcher> {
    let (searcher, said) =
        Searcher::restore(folder, expected, dimensions, store, &Types::default())?;
    assert_eq!(said, saved());
    Some(searcher)
}

#[test]
fn a_snapshot_gives_back_the_same_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = &folder.path().join("not/there/yet");
    for count in [0, 1, 200] {
        let first = searcher(entries(count, 8, 6), 8);
        first.save(folder, &saved()).expect("saved");
        let restored = restored(folder).expect("whole");
        assert_eq!(answers(&restored), answers(&first));
        assert_eq!(
            (restored.len(), restored.version(), restored.facets()),
            (count, &version(1), first.facets())
        );
    }
    // The large one answers by the graph.
    let (_, large) = large();
    large.save(folder, &saved()).expect("saved");
    let restored = restored_as(folder, &version(1), 24, STORE).expect("whole");
    let window = Window::new(250, 400).expect("allowed");
    let answers = |s: &Searcher| {
        s.search(
            &embedding(&mut Noise(3), 24),
            &Selection::of(&Filters::default(), window, &[]),
        )
        .expect("hits")
        .hits
    };
    assert_eq!(answers(&restored), answers(large));
}

#[test]
fn what_was_saved_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    assert!(restored(folder).is_none());
    searcher(entries(20, 8, 6), 8)
        .save(folder, &saved())
        .expect("saved");
    let other_model = IndexVersion {
        model: ModelId::new("cd".repeat(32)),
        ..version(1)
    };
    let other_words = IndexVersion {
        words_percent: 31,
        ..version(1)
    };
    // A later state than the database is in: it was restored from a copy, and keys may mean others.
    for other in [version(0), other_model, other_words] {
        assert!(restored_as(folder, &other, 8, STORE).is_none(), "{other:?}");
    }
    assert!(restored_as(folder, &version(1), 9, STORE).is_none());
    assert!(restored_as(folder, &version(1), 8, "another database").is_none());
    assert!(restored(folder).is_some());
    // An earlier state serves until the index of this one is built.
    let earlier = restored_as(folder, &version(5), 8, STORE).expect("serves");
    assert_eq!(*earlier.version(), version(1));
}

/// Two services with different models on one data folder save whenever they like.
#[test]
fn saves_of_two_models_at_once_never_mix() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let of = |model: &str, seed| {
        let version = IndexVersion {
            model: ModelId::new(model.repeat(32)),
            ..version(1)
        };
        build(version, 8, entries(300, 8, seed)).expect("built")
    };
    let both = [of("ab", 1), of("cd", 2)];
    thread::scope(|scope| {
        for searcher in &both {
            for _ in 0..2 {
                scope.spawn(move || {
                    for _ in 0..20 {
                        searcher.save(folder, &saved()).expect("saved");
                        let restored = restored_as(folder, searcher.version(), 8, STORE);
                        // `None` while another of the same model saves.
                        if let Some(restored) = restored {
                            assert_eq!(answers(&restored), answers(searcher));
                        }
                    }
                });
            }
        }
    });
    for searcher in &both {
        let restored = restored_as(folder, searcher.version(), 8, STORE).expect("whole");
        assert_eq!(answers(&restored), answers(searcher));
    }
}

/// A head beside the graph of another model, both whole files.
#[test]
fn a_head_never_takes_another_ones_graph() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let other = build(
        IndexVersion {
            model: ModelId::new("cd".repeat(32)),
            ..version(1)
        },
        8,
        entries(60, 8, 9),
    )
    .expect("built");
    let own = searcher(entries(60, 8, 6), 8);
    own.save(folder, &saved()).expect("saved");
    other.save(folder, &saved()).expect("saved");
    let graph = |of: &Searcher| {
        files(&folder.join(of.version().model.short()))
            .into_iter()
            .find(|file| file.extension().is_some_and(|e| e == "usearch"))
            .expect("a graph")
    };
    fs::copy(graph(&other), graph(&own)).expect("copied");
    assert!(restored(folder).is_none());
}

#[test]
fn what_cannot_be_read_is_built_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    searcher(entries(20, 8, 6), 8)
        .save(folder.path(), &saved())
        .expect("saved");
    // What the rights of a file keep from everyone but root, a folder in its place keeps from root
    // too.
    let head = of_model(folder.path()).join("index.head");
    fs::remove_file(&head).expect("removed");
    fs::create_dir(&head).expect("a folder");
    assert!(restored(folder.path()).is_none());
}

/// Graph, head and lock.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|e| e.expect("an entry").path())
        .collect();
    files.sort();
    files
}

#[test]
fn a_damaged_snapshot_is_never_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    searcher(entries(60, 8, 6), 8)
        .save(folder, &saved())
        .expect("saved");
    let mut files = files(&of_model(folder));
    files.retain(|file| !file.ends_with("save.lock"));
    assert_eq!(files.len(), 2);
    for file in files {
        let whole = fs::read(&file).expect("readable");
        for position in (0..whole.len()).step_by(5).chain([1, 9, whole.len() - 1]) {
            let mut flipped = whole.clone();
            flipped[position] ^= 1 << (position % 8);
            fs::write(&file, &flipped).expect("written");
            assert!(
                restored(folder).is_none(),
                "{} flipped at {position}",
                file.display()
            );
        }
        for length in [
            0,
            1,
            8,
            12,
            40,
            whole.len() / 2,
            whole.len() - 33,
            whole.len() - 1,
        ] {
            fs::write(&file, &whole[..length]).expect("written");
            assert!(
                restored(folder).is_none(),
                "{} cut at {length}",
                file.display()
            );
        }
        fs::write(&file, [&whole[..], &[0]].concat()).expect("written");
        assert!(
            restored(folder).is_none(),
            "{} with a byte more",
            file.display()
        );
        fs::remove_file(&file).expect("removed");
        assert!(restored(folder).is_none(), "without {}", file.display());
        fs::write(&file, &whole).expect("written");
        assert!(restored(folder).is_some(), "whole again");
    }
}

#[test]
fn a_killed_save_leaves_the_old_files_and_is_swept_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let old = searcher(entries(60, 8, 6), 8);
    old.save(folder, &saved()).expect("saved");
    // Killed while writing the graph; killed between the graph and the head; and a file that is
    // none of ours.
    let own = of_model(folder);
    fs::write(own.join("graph-x1y2.tmp"), b"half of a gra").expect("written");
    fs::write(
        own.join("graph-0123456789abcdef.usearch"),
        b"whole, but no head speaks of it",
    )
    .expect("written");
    fs::write(own.join("notes.txt"), b"mine").expect("written");
    // As version 0.1 left them.
    fs::write(folder.join("graph.tmp"), b"half").expect("written");
    fs::write(folder.join("index.head"), b"whole").expect("written");
    assert_eq!(
        answers(&restored(folder).expect("the old one")),
        answers(&old)
    );

    let new = searcher(entries(80, 8, 7), 8);
    new.save(folder, &saved()).expect("saved");
    assert_eq!(
        answers(&restored(folder).expect("the new one")),
        answers(&new)
    );
    assert_eq!(files(&own).len(), 4, "{:?}", files(&own));
    assert!(own.join("notes.txt").is_file());
    assert_eq!(files(folder), [own]);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, b"").expect("written");
    let result = searcher(entries(3, 8, 6), 8).save(&file, &saved());
    assert!(matches!(result, Err(SearchError::Io { .. })), "{result:?}");
}

#[test]
fn facets_count_what_a_filter_finds() {
    let searcher = searcher(entries(200, 8, 9), 8);
    let facets = searcher.facets();
    let color = facets
        .iter()
        .find(|f| f.name.as_str() == "color")
        .expect("color");
    for (value, count) in &color.values {
        let window = Window::new(1, 0).expect("allowed");
        let filter = filters(&[("color", value)]);
        let hits = searcher
            .search(
                &embedding(&mut Noise(1), 8),
                &Selection::of(&filter, window, &[]),
            )
            .expect("a search");
        assert_eq!(hits.estimated_total as u64, *count, "{value}");
    }
    assert!(color.values.is_sorted_by(|a, b| a.1 >= b.1));
    assert!(
        COLORS
            .iter()
            .all(|c| color.values.iter().any(|(v, _)| v == c)),
        "{:?}",
        color.values
    );
}
