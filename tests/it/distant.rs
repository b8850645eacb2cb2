//! An index whose vectors are elsewhere, beside one that has them: the same is found.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aglet::domain::{
    AttributeName, AttributeValue, Attributes, Embedding, Filters, KnownAttributes, ModelId, Order,
    ProductFields, ProductKey, SortBy, SortKey, Types, Window,
};
use aglet::index::distant::port::{Among, Distant, DistantError, Found};
use aglet::index::lexical::{Language, ProductText, Reading, Stems, Synonyms};
use aglet::index::{
    Builder, Entry, Hits, IndexVersion, Joining, Saved, SearchError, Searcher, Selection, Update,
    Vector, rank,
};
use half::bf16;

use crate::support::noise::Noise;

const DIMENSIONS: usize = 16;
const STORE: &str = "a database";
/// So many that neither index looks at all products for the nearest, and so few that both take the mean
/// of all.
const PRODUCTS: u32 = 2_047;

/// The vector of a picture.
type Numbered = (u8, Vec<f32>);

/// Whoever has the vectors: by going through all of them.
#[derive(Default)]
struct Elsewhere {
    /// Of each product the pictures and the vectors, rounded as an index here keeps them.
    vectors: Mutex<BTreeMap<ProductKey, Vec<Numbered>>>,
    asked: AtomicUsize,
    away: AtomicBool,
}

impl Elsewhere {
    fn set(&self, key: ProductKey, vectors: &[Vector]) {
        let rounded = vectors.iter().map(|vector| {
            let values = vector.embedding.as_slice().iter();
            let values = values.map(|value| bf16::from_f32(*value).to_f32());
            (vector.picture, values.collect())
        });
        let mut all = self.vectors.lock().expect("no panic");
        all.insert(key, rounded.collect());
    }

    fn all(&self, query: &Embedding) -> Result<Vec<Found>, DistantError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) {
            return Err(DistantError("nobody is there".into()));
        }
        let all = self.vectors.lock().expect("no panic");
        let found = all.iter().flat_map(|(key, vectors)| {
            vectors.iter().map(|(picture, vector)| Found {
                key: *key,
                picture: *picture,
                cosine: dot(query, vector),
            })
        });
        let mut found: Vec<Found> = found.collect();
        found.sort_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.key.cmp(&b.key)));
        Ok(found)
    }

    fn best_of_each(&self, query: &Embedding) -> Result<Vec<Found>, DistantError> {
        let mut met = std::collections::HashSet::new();
        let all = self.all(query)?.into_iter();
        Ok(all.filter(|found| met.insert(found.key)).collect())
    }

    /// How often it was asked since it was last asked how often.
    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

fn dot(query: &Embedding, vector: &[f32]) -> f32 {
    let pairs = query.as_slice().iter().zip(vector);
    pairs.map(|(a, b)| a * b).sum()
}

impl Distant for Elsewhere {
    fn nearest(&self, query: &Embedding, most: usize) -> Result<Vec<Found>, DistantError> {
        let mut all = self.all(query)?;
        all.truncate(most);
        Ok(all)
    }

    fn cosines(&self, query: &Embedding, of: &[ProductKey]) -> Result<Vec<Found>, DistantError> {
        let mut all = self.best_of_each(query)?;
        all.retain(|found| of.contains(&found.key));
        Ok(all)
    }

    fn best(
        &self,
        query: &Embedding,
        among: Among<'_>,
        most: usize,
    ) -> Result<Vec<(ProductKey, f32)>, DistantError> {
        let mut all = self.best_of_each(query)?;
        all.retain(|found| match among {
            Among::These(these) => these.contains(&found.key),
            Among::AllBut(others) => !others.contains(&found.key),
        });
        all.truncate(most);
        Ok(all
            .into_iter()
            .map(|found| (found.key, found.cosine))
            .collect())
    }

    fn vectors(&self, of: &[ProductKey]) -> Result<Vec<(ProductKey, u8, Embedding)>, DistantError> {
        self.all(&embedding(&mut Noise(1)))?;
        let all = self.vectors.lock().expect("no panic");
        let found = of.iter().flat_map(|key| {
            let vectors = all.get(key).into_iter().flatten();
            vectors.map(|(picture, vector)| {
                let embedding = Embedding::new(vector.clone(), DIMENSIONS).expect("not zero");
                (*key, *picture, embedding)
            })
        });
        Ok(found.collect())
    }

    fn mean(&self, query: &Embedding) -> f32 {
        let all = self.vectors.lock().expect("no panic");
        let (mut sum, mut count) = (0.0, 0.0);
        for (_, vector) in all.values().flatten() {
            sum += dot(query, vector);
            count += 1.0;
        }
        sum / f32::max(count, 1.0)
    }
}

fn embedding(noise: &mut Noise) -> Embedding {
    let mut value =
        || f32::from(u16::try_from(noise.bits() >> 48).expect("16 bits")) / 32_768.0 - 1.0;
    Embedding::new((0..DIMENSIONS).map(|_| value()).collect(), DIMENSIONS).expect("not zero")
}

fn name(name: &str) -> AttributeName {
    AttributeName::new(name).expect("a name")
}

fn filters(pairs: &[(&str, &str)]) -> Filters {
    let pairs = pairs.iter().map(|(of, value)| {
        let value = AttributeValue::new(value).expect("a value");
        (name(of), value)
    });
    Filters::new(pairs).expect("few")
}

struct Product {
    key: ProductKey,
    title: String,
    attributes: Attributes,
    vectors: Vec<Vector>,
}

/// `most`: vectors of a product; one in ten has none where it may have several.
fn product(key: u32, most: usize, noise: &mut Noise) -> Product {
    let mut attributes = Attributes::new();
    let mut add = |of: &str, value: &str| {
        let value = AttributeValue::new(value).expect("a value");
        attributes.insert(name(of), vec![value]);
    };
    let color = ["Red", "Blue", "Green", "Black"][noise.below(4)];
    let kind = ["Shoes", "Shirts", "Boots"][noise.below(3)];
    add("color", color);
    add("category", kind);
    if key.is_multiple_of(700) {
        add("rare", "yes");
    }
    let count = if most == 1 {
        1
    } else if noise.below(10) == 0 {
        0
    } else {
        1 + noise.below(most)
    };
    let vectors = (1..).take(count).map(|picture| Vector {
        picture,
        embedding: embedding(noise),
    });
    Product {
        key: ProductKey(key),
        title: format!("Plain {kind} of {}", ["wool", "linen"][key as usize % 2]),
        vectors: vectors.collect(),
        attributes,
    }
}

fn entry(product: &Product) -> Entry<'_> {
    Entry {
        key: product.key,
        vectors: &product.vectors,
        attributes: &product.attributes,
        fields: ProductFields {
            price: Some(f64::from(product.key.0 % 50)),
            ..ProductFields::default()
        },
        text: ProductText {
            id: "an id",
            title: &product.title,
            description: None,
        },
    }
}

fn version(catalog: u64) -> IndexVersion {
    IndexVersion {
        catalog,
        model: ModelId::new("ab".repeat(32)),
        words_percent: 30,
        language: Language::English,
    }
}

/// The same products in both.
struct Both {
    here: Searcher,
    distant: Searcher,
    elsewhere: Arc<Elsewhere>,
}

fn both(most: usize) -> Both {
    let mut noise = Noise(most as u64);
    let elsewhere = Arc::new(Elsewhere::default());
    let mut here = Builder::new(DIMENSIONS, Language::English);
    let server: Arc<dyn Distant> = elsewhere.clone();
    let mut distant = Builder::distant(server, DIMENSIONS, Language::English);
    for key in 1..=PRODUCTS {
        let product = product(key, most, &mut noise);
        here.add(&entry(&product)).expect("in order");
        distant.add(&entry(&product)).expect("in order");
        elsewhere.set(product.key, &product.vectors);
    }
    let built = |builder: Builder| builder.build(version(1), &Types::default()).expect("built");
    Both {
        here: built(here),
        distant: built(distant),
        elsewhere,
    }
}

fn selection(filters: &Filters, limit: usize, offset: usize) -> Selection {
    let window = Window::new(limit, offset).expect("small");
    Selection::of(filters, window, &[ProductKey(3)])
}

/// A search by words.
fn by_words(
    searcher: &Searcher,
    words: &str,
    vector: &Embedding,
    selection: &Selection,
) -> Result<Hits, SearchError> {
    let known = KnownAttributes::default();
    let synonyms = Synonyms::read(&Stems::of(Language::English), None).expect("the list");
    let reading = Reading {
        typo: true,
        prefix: false,
        category: &known.category,
        named: &known.shown,
    };
    let asked = searcher.read(words, reading, &synonyms);
    let joining = Joining {
        vector: Some(vector),
        words_weight: rank::WORDS_WEIGHT,
    };
    searcher.search_words(&asked, joining, selection)
}

fn assert_same(here: Result<Hits, SearchError>, distant: Result<Hits, SearchError>, what: &str) {
    let (here, distant) = (here.expect("searches"), distant.expect("searches"));
    let keys = |hits: &Hits| hits.hits.iter().map(|hit| hit.key.0).collect::<Vec<_>>();
    assert_eq!(keys(&here), keys(&distant), "{what}");
    assert_eq!(here.pictures, distant.pictures, "{what}");
    assert_eq!(here.estimated_total, distant.estimated_total, "{what}");
    for (one, other) in here.hits.iter().zip(&distant.hits) {
        assert!((one.score - other.score).abs() < 2e-3, "{what}");
    }
}

fn all_filters() -> [Filters; 5] {
    [
        filters(&[]),
        filters(&[("color", "Red")]),
        filters(&[("color", "Red"), ("category", "Shirts")]),
        filters(&[("rare", "yes")]),
        filters(&[("rare", "no")]),
    ]
}

#[test]
fn the_same_is_found_wherever_the_vectors_are() {
    for most in [1, 4] {
        let both = both(most);
        let mut noise = Noise(77);
        for filters in all_filters() {
            for (limit, offset) in [(10, 0), (20, 120), (250, 0), (50, 600)] {
                let query = embedding(&mut noise);
                let what = format!("{most} {filters:?} {limit} {offset}");
                let mut selection = selection(&filters, limit, offset);
                let near = |searcher: &Searcher| searcher.search(&query, &selection);
                assert_same(near(&both.here), near(&both.distant), &what);
                let category = name("category");
                let photo =
                    |searcher: &Searcher| searcher.search_photo(&query, &category, &selection);
                assert_same(photo(&both.here), photo(&both.distant), &what);
                if most > 1 {
                    // The mean is of all vectors there, and of the products' nearest here.
                    continue;
                }
                for words in [
                    "red shoes",
                    "wool",
                    "plain linen boots",
                    "something unknown",
                ] {
                    let what = format!("{what} {words}");
                    let by = |searcher: &Searcher| by_words(searcher, words, &query, &selection);
                    assert_same(by(&both.here), by(&both.distant), &what);
                }
                selection.order = Order {
                    keys: vec![SortKey {
                        by: SortBy::Attribute(name("price")),
                        descending: true,
                    }],
                    ..Order::default()
                };
                let by = |searcher: &Searcher| by_words(searcher, "wool", &query, &selection);
                assert_same(by(&both.here), by(&both.distant), &what);
                selection.order = Order {
                    diversify: 0.5,
                    ..Order::default()
                };
                // What is compared with each other is rounded once more: about the same come.
                let by = |searcher: &Searcher| {
                    let hits = by_words(searcher, "wool", &query, &selection).expect("searches");
                    hits.hits.iter().map(|hit| hit.key.0).collect::<Vec<_>>()
                };
                let (here, distant) = (by(&both.here), by(&both.distant));
                assert_eq!((here.first(), here.len()), (distant.first(), distant.len()));
                let alike = here.iter().filter(|key| distant.contains(key)).count();
                assert!(
                    alike * 10 >= here.len() * 8,
                    "{what}: {alike} of {}",
                    here.len()
                );
            }
        }
    }
}

#[test]
fn what_lies_deep_is_exact() {
    let mut noise = Noise(8);
    let elsewhere = Arc::new(Elsewhere::default());
    let server: Arc<dyn Distant> = elsewhere.clone();
    let mut builder = Builder::distant(server, DIMENSIONS, Language::English);
    let mut colors = BTreeMap::new();
    for key in 1..=10_000 {
        let product = product(key, 1, &mut noise);
        builder.add(&entry(&product)).expect("in order");
        elsewhere.set(product.key, &product.vectors);
        let color = product.attributes[&name("color")][0].as_str().to_owned();
        colors.insert(product.key, color);
    }
    let searcher = builder.build(version(1), &Types::default());
    let searcher = searcher.expect("built");
    let query = embedding(&mut noise);
    let ranked = elsewhere.best_of_each(&query).expect("there");
    // All but a few are compared, and half of them.
    let half = filters(&[("color", "Red"), ("color", "Blue")]);
    for (filters, of) in [(filters(&[]), None), (half, Some(["Red", "Blue"]))] {
        let expected = ranked.iter().map(|found| found.key);
        let expected = expected.filter(|key| {
            let color = colors[key].as_str();
            *key != ProductKey(3) && of.is_none_or(|of| of.contains(&color))
        });
        let expected: Vec<ProductKey> = expected.skip(700).take(250).collect();
        let found = searcher.search(&query, &selection(&filters, 250, 700));
        let found = found.expect("searches").hits.into_iter();
        let found: Vec<ProductKey> = found.map(|hit| hit.key).collect();
        assert_eq!(found, expected, "{filters:?}");
    }
}

#[test]
fn a_search_asks_seldom() {
    let both = both(1);
    let mut noise = Noise(5);
    for filters in all_filters() {
        let query = embedding(&mut noise);
        both.elsewhere.asked();
        let page = |offset| {
            by_words(
                &both.distant,
                "red shoes",
                &query,
                &selection(&filters, 20, offset),
            )
        };
        page(0).expect("searches");
        assert!(both.elsewhere.asked() <= 4, "{filters:?}");
        page(20).expect("searches");
        assert!(both.elsewhere.asked() <= 1, "{filters:?}");
        let near = |offset| {
            both.distant
                .search(&query, &selection(&filters, 20, offset))
        };
        near(0).expect("searches");
        assert!(both.elsewhere.asked() <= 2, "{filters:?}");
        near(20).expect("searches");
        assert_eq!(both.elsewhere.asked(), 0, "{filters:?}");
    }
}

#[test]
fn whoever_is_away_is_an_error_of_its_own() {
    let both = both(2);
    both.elsewhere.away.store(true, Ordering::Relaxed);
    let query = embedding(&mut Noise(9));
    let selection = selection(&filters(&[]), 10, 0);
    let failed = both.distant.search(&query, &selection);
    assert!(matches!(failed, Err(SearchError::Distant(_))), "{failed:?}");
    let failed = both.distant.embedding(ProductKey(1));
    assert!(matches!(failed, Err(SearchError::Distant(_))), "{failed:?}");
    // What needs no vector is found all the same.
    let browsed = both.distant.browse(&selection).expect("browses");
    assert_eq!(browsed.hits.len(), 10);
    both.elsewhere.away.store(false, Ordering::Relaxed);
    let again = both.distant.search(&query, &selection);
    assert_eq!(again.expect("searches").hits.len(), 10);
}

#[test]
fn changes_are_found_and_a_vector_that_the_index_does_not_hold_is_not() {
    let Both {
        here,
        distant,
        elsewhere,
    } = both(3);
    let mut noise = Noise(31);
    let mut changed: Vec<Product> = [5, 9, PRODUCTS + 1, PRODUCTS + 2]
        .map(|key| product(key, 3, &mut noise))
        .into();
    // One that has no vector any more.
    changed[1].vectors.clear();
    for product in &changed {
        elsewhere.set(product.key, &product.vectors);
    }
    elsewhere.set(ProductKey(12), &[]);
    let query = changed[2]
        .vectors
        .first()
        .map_or_else(|| embedding(&mut noise), |vector| vector.embedding.clone());
    let wide = selection(&filters(&[]), 250, 0);
    // The vectors are those of a later state: a product that this index has not is passed over.
    let before = distant.search(&query, &wide).expect("searches");
    assert_eq!(before.hits.len(), 250);
    assert!(before.hits.iter().all(|hit| hit.key.0 <= PRODUCTS));

    let mut updates: Vec<Update<'_>> = changed.iter().map(|p| Update::Is(entry(p))).collect();
    updates.push(Update::Gone(ProductKey(12)));
    let with = |searcher: &Searcher| {
        let next = searcher.with(&updates, 2).expect("fits");
        next.expect("after all others")
    };
    let (here, distant) = (with(&here), with(&distant));
    let near = |searcher: &Searcher, offset| {
        searcher.search(&query, &selection(&filters(&[]), 250, offset))
    };
    for offset in [0, 400, 1_900] {
        assert_same(near(&here, offset), near(&distant, offset), "changed");
    }

    // Saved and restored it is the same, and not taken for one that has its vectors.
    let folder = tempfile::tempdir().expect("a folder");
    let saved = Saved {
        store: STORE.to_owned(),
        whole: true,
    };
    distant.save(folder.path(), &saved).expect("saved");
    let restored = |server| {
        let types = Types::default();
        let path = folder.path();
        Searcher::restore_at(path, &version(2), DIMENSIONS, STORE, &types, server)
    };
    assert!(restored(None).is_none());
    let server: Arc<dyn Distant> = elsewhere.clone();
    let (again, _) = restored(Some(server.clone())).expect("restored");
    assert!(again.is_distant() && again.len() == distant.len());
    assert_same(near(&here, 0), near(&again, 0), "restored");
    here.save(folder.path(), &saved).expect("saved");
    assert!(restored(Some(server)).is_none());
    assert!(restored(None).is_some());
}
