//! An index whose products change: after any changes, merges and restarts it answers as one that is
//! built of the same products.

use std::collections::BTreeMap;
use std::path::Path;

use aglet::domain::{
    AttributeName, AttributeValue, Attributes, Embedding, Facets, Filters, KnownAttributes,
    ModelId, Order, ProductFields, ProductKey, Range, SortBy, SortKey, Test, Types, Window,
};
use aglet::index::lexical::{Language, ProductText, Reading, Stems, Synonyms};
use aglet::index::{
    Builder, Entry, Explanation, FacetCounts, Hits, IndexVersion, Joining, Saved, Searcher,
    Selection, Update, Vector, rank,
};

use crate::support::noise::Noise;

const DIMENSIONS: usize = 8;
const STORE: &str = "a store";

/// A product by chance.
#[derive(Clone)]
struct Product {
    id: String,
    title: String,
    description: Option<String>,
    attributes: Attributes,
    fields: ProductFields,
    vectors: Vec<Vector>,
}

fn name(name: &str) -> AttributeName {
    AttributeName::new(name).expect("a name")
}

fn embedding(noise: &mut Noise) -> Embedding {
    let mut value =
        || f32::from(u16::try_from(noise.bits() >> 48).expect("16 bits")) / 32_768.0 - 1.0;
    Embedding::new((0..DIMENSIONS).map(|_| value()).collect(), DIMENSIONS).expect("not zero")
}

/// None to four vectors, of any pictures and of the words.
fn vectors(noise: &mut Noise) -> Vec<Vector> {
    let count = noise.below(5);
    (0..count).map(|_| vector(noise)).collect()
}

fn vector(noise: &mut Noise) -> Vector {
    Vector {
        picture: u8::try_from(noise.below(7)).expect("few"),
        embedding: embedding(noise),
    }
}

/// One vector changes, or comes, or goes; the order changes, or the number of a picture; or all of it.
fn change_vectors(of: &mut Vec<Vector>, noise: &mut Noise) {
    let count = of.len();
    let place = noise.below(count.max(1));
    match (noise.below(7), of.get_mut(place)) {
        (0, Some(one)) => one.embedding = embedding(noise),
        (1, Some(one)) => one.picture += 1,
        (2, Some(_)) => of.rotate_left(1),
        (3, Some(_)) => drop(of.remove(place)),
        (4, _) if count < 4 => of.insert(place, vector(noise)),
        (5, Some(one)) => *one = vector(noise),
        _ => *of = vectors(noise),
    }
}

/// Few words and values, so that many products share them; some come once and go again.
fn product(key: u32, noise: &mut Noise) -> Product {
    let word = |noise: &mut Noise| {
        let words = [
            "red", "shoe", "shoes", "runner", "Puma", "bag", "hand-bag", "classic", "boot",
            "boots", "sandal", "lace",
        ];
        match noise.below(14) {
            place @ ..12 => words[place].to_owned(),
            _ => format!("word{}", noise.below(30)),
        }
    };
    let words = |noise: &mut Noise, least: usize| {
        let count = least + noise.below(4);
        (0..count)
            .map(|_| word(noise))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let title = words(noise, 1);
    let description = (noise.below(3) == 0).then(|| words(noise, 0));
    let mut attributes = Attributes::new();
    let mut add = |of: &str, value: &str| {
        let value = AttributeValue::new(value).expect("a value");
        attributes.entry(name(of)).or_default().push(value);
    };
    add(
        "category",
        ["Shoes", "Shoe Care", "Bags", "Boots"][noise.below(4)],
    );
    for _ in 0..noise.below(3) {
        add("color", ["Red", "red", "Blue", "Dark Blue"][noise.below(4)]);
    }
    if noise.below(3) > 0 {
        // Numbers alone, as long as nobody is "one size".
        let size = 36 + noise.below(9);
        add(
            "size",
            &if noise.below(200) == 0 {
                "one size".to_owned()
            } else {
                size.to_string()
            },
        );
    }
    if noise.below(20) == 0 {
        add("limited", ["yes", "TRUE", "no"][noise.below(3)]);
    }
    if noise.below(4) == 0 {
        add("shoelace_color", ["red", "white", "none"][noise.below(3)]);
    }
    let price = |noise: &mut Noise| u32::try_from(noise.below(9)).map(f64::from).ok();
    Product {
        id: format!("SKU-{key}"),
        title,
        description,
        attributes,
        fields: ProductFields {
            price: price(noise).filter(|price| *price > 1.0),
            sale_price: price(noise).filter(|price| *price < 2.0),
            created: (noise.below(2) == 0).then_some(i64::from(key % 5) * 86_400),
        },
        vectors: vectors(noise),
    }
}

fn entry(key: u32, product: &Product) -> Entry<'_> {
    Entry {
        key: ProductKey(key),
        vectors: &product.vectors,
        attributes: &product.attributes,
        fields: product.fields,
        text: ProductText {
            id: &product.id,
            title: &product.title,
            description: product.description.as_deref(),
        },
    }
}

fn version(revision: u64) -> IndexVersion {
    IndexVersion {
        catalog: revision,
        model: ModelId::new("ab".repeat(32)),
        words_percent: 30,
        language: Language::English,
    }
}

fn fresh(products: &BTreeMap<u32, Product>, revision: u64) -> Searcher {
    let mut builder = Builder::new(DIMENSIONS, Language::English);
    for (key, product) in products {
        builder.add(&entry(*key, product)).expect("in order");
    }
    builder
        .build(version(revision), &Types::default())
        .expect("built")
}

fn restarted(searcher: &Searcher, folder: &Path) -> Searcher {
    let saved = Saved {
        store: STORE.to_owned(),
        whole: true,
    };
    searcher.save(folder, &saved).expect("saved");
    let version = searcher.version();
    let restored = Searcher::restore(folder, version, DIMENSIONS, STORE, &Types::default());
    restored.expect("restored").0
}

type Answer = (
    Vec<(u32, f32)>,
    Vec<Option<u8>>,
    Vec<Option<(String, u64)>>,
    usize,
    Vec<Explanation>,
);

fn answer(hits: &Hits) -> Answer {
    let groups = hits.groups.iter();
    let groups = groups.map(|group| group.as_ref().map(|g| (g.value.clone(), g.products)));
    (
        hits.hits.iter().map(|hit| (hit.key.0, hit.score)).collect(),
        hits.pictures.clone(),
        groups.collect(),
        hits.estimated_total,
        hits.explanations.clone(),
    )
}

/// Everything that can be asked, as an answer that can be compared.
fn answers(searcher: &Searcher) -> (Vec<Answer>, Vec<Vec<FacetCounts>>, Vec<String>) {
    let known = KnownAttributes::default();
    let synonyms = Synonyms::read(&Stems::of(Language::English), None).expect("the own list");
    let window = Window::new(250, 0).expect("a window");
    let range = Range::new(Some("2"), Some("40")).expect("a range");
    let filters = [
        Filters::default(),
        Filters::of([(name("color"), Test::Value("red".to_owned()), true)]).expect("one"),
        Filters::of([(name("size"), Test::Within(range), true)]).expect("one"),
        Filters::of([(name("color"), Test::Value("red".to_owned()), false)]).expect("one"),
        Filters::of([(name("price"), Test::Present, false)]).expect("one"),
    ];
    let sorted = |by: &str, descending| Order {
        keys: vec![SortKey {
            by: SortBy::Attribute(name(by)),
            descending,
        }],
        ..Order::default()
    };
    let orders = [
        Order::default(),
        sorted("current_price", false),
        sorted("size", true),
        sorted("color", false),
        Order {
            group_by: Some(name("category")),
            ..Order::default()
        },
    ];
    let mut facets = Facets {
        values: 50,
        ..Facets::default()
    };
    for of in [
        "category",
        "color",
        "size",
        "limited",
        "current_price",
        "created",
    ] {
        facets.add(name(of));
    }
    let query = embedding(&mut Noise(77));
    let (mut all, mut counts, mut said) = (Vec::new(), Vec::new(), Vec::new());
    for filters in &filters {
        for order in &orders {
            let selection = Selection {
                order: order.clone(),
                explain: true,
                ..Selection::of(filters, window, &[])
            };
            let browsed = searcher.browse(&selection).expect("a search");
            counts.push(searcher.counts(&browsed, &facets, &selection));
            all.push(answer(&browsed));
            all.push(answer(
                &searcher.search(&query, &selection).expect("a search"),
            ));
            let photo = searcher.search_photo(&query, &name("category"), &selection);
            all.push(answer(&photo.expect("a search")));
            for text in [
                "red shoes",
                "puma",
                "handbag",
                "shoe with red laces",
                "sku-7",
                "clasic runer",
                "boots not red",
                "word3",
                "wrd12",
                "red shoes classic",
            ] {
                let reading = Reading {
                    typo: true,
                    prefix: false,
                    category: &known.category,
                    named: &known.shown,
                };
                let asked = searcher.read(text, reading, &synonyms);
                said.push(format!("{:?} {:?}", asked.corrected, asked.unknown));
                for vector in [None, Some(&query)] {
                    let joining = Joining {
                        vector,
                        words_weight: rank::WORDS_WEIGHT,
                    };
                    let found = searcher.search_words(&asked, joining, &selection);
                    let found = found.expect("a search");
                    counts.push(searcher.counts(&found, &facets, &selection));
                    all.push(answer(&found));
                }
            }
        }
    }
    (all, counts, said)
}

/// What is the same in two searchers, or the first difference.
fn compare(living: &Searcher, built: &Searcher, when: &str) {
    assert_eq!(living.len(), built.len(), "{when}");
    let facets = |searcher: &Searcher| {
        let facets = searcher.facets();
        facets
            .iter()
            .cloned()
            .map(|mut facet| {
                facet.values.sort();
                facet
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(facets(living), facets(built), "{when}");
    let (a, b) = (answers(living), answers(built));
    assert_eq!(a.2, b.2, "{when}");
    for (place, (a, b)) in a.0.iter().zip(&b.0).enumerate() {
        assert_eq!(a, b, "{when}, answer {place}");
    }
    for (place, (a, b)) in a.1.iter().zip(&b.1).enumerate() {
        assert_eq!(a, b, "{when}, counts {place}");
    }
}

/// A history by chance: batches of new, changed, repriced and removed products, merges that other
/// changes overtake, restarts.
fn history(seed: u64) {
    let mut noise = Noise(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let mut products = BTreeMap::new();
    let mut last = 0;
    let mut more = |products: &mut BTreeMap<u32, Product>, noise: &mut Noise| {
        last += 1 + u32::try_from(noise.below(2)).expect("few");
        products.insert(last, product(last, noise));
        last
    };
    for _ in 0..noise.below(120) {
        more(&mut products, &mut noise);
    }
    let mut searcher = fresh(&products, 1);
    let mut merging = None;
    for revision in 2..=13 {
        let mut touched = std::collections::BTreeSet::new();
        for _ in 0..noise.below(25) {
            let some = |noise: &mut Noise, products: &BTreeMap<u32, Product>| {
                let place = noise.below(products.len().max(1));
                products.keys().nth(place).copied()
            };
            match noise.below(8) {
                0 => {
                    touched.insert(more(&mut products, &mut noise));
                }
                1 => {
                    if let Some(key) = some(&mut noise, &products) {
                        products.remove(&key);
                        touched.insert(key);
                    }
                }
                2 => {
                    if let Some(key) = some(&mut noise, &products) {
                        let other = product(key, &mut noise).fields;
                        products.get_mut(&key).expect("there").fields = other;
                        touched.insert(key);
                    }
                }
                3..=5 => {
                    if let Some(key) = some(&mut noise, &products) {
                        let of = &mut products.get_mut(&key).expect("there").vectors;
                        change_vectors(of, &mut noise);
                        touched.insert(key);
                    }
                }
                _ => {
                    if let Some(key) = some(&mut noise, &products) {
                        let kept = products[&key].vectors.clone();
                        let other = product(key, &mut noise);
                        products.insert(
                            key,
                            Product {
                                vectors: kept,
                                ..other
                            },
                        );
                        touched.insert(key);
                    }
                }
            }
        }
        let updates: Vec<Update<'_>> = touched
            .iter()
            .map(|key| match products.get(key) {
                Some(product) => Update::Is(entry(*key, product)),
                None => Update::Gone(ProductKey(*key)),
            })
            .collect();
        let next = searcher.with(&updates, revision).expect("fits");
        searcher = next.expect("keys in order");
        if noise.below(3) == 0 && merging.is_none() {
            merging = Some(searcher.merged().expect("merged"));
        } else if let Some(merged) = merging.take_if(|_| noise.below(2) == 0) {
            searcher = searcher.with_merged(merged);
        }
        if noise.below(5) == 0 {
            searcher = restarted(&searcher, folder.path());
            // The merge was of the graph of another process.
            merging = None;
        }
        assert_eq!(*searcher.version(), version(revision));
    }
    compare(&searcher, &fresh(&products, 13), &format!("seed {seed}"));
    assert_eq!(differences(&searcher, &products), []);
    let again = restarted(&searcher, folder.path());
    compare(&again, &searcher, &format!("seed {seed}, restarted"));
    assert_eq!(differences(&again, &products), []);
}

#[test]
fn any_history_gives_the_answers_of_a_fresh_build() {
    for seed in 1..=16 {
        history(seed);
    }
}

/// In what an index differs from a catalog, by key.
fn differences(searcher: &Searcher, products: &BTreeMap<u32, Product>) -> Vec<(u32, &'static str)> {
    let mut comparison = searcher.comparison();
    for (key, product) in products {
        comparison.add(&entry(*key, product));
    }
    let (compared, found) = comparison.finish();
    assert_eq!(compared, products.len() as u64);
    found.into_iter().map(|of| (of.key.0, of.what)).collect()
}

#[test]
fn a_comparison_finds_what_differs_and_nothing_else() {
    let mut noise = Noise(5);
    let mut products: BTreeMap<u32, Product> = BTreeMap::new();
    for key in 1..=40 {
        products.insert(key, product(key, &mut noise));
    }
    let searcher = fresh(&products, 1);
    // One removed, one new, one changed: as a service does it.
    products.remove(&9);
    products.insert(41, product(41, &mut noise));
    products.insert(20, product(20, &mut noise));
    for key in [5, 8, 10] {
        let two = (1..=2).map(|picture| Vector {
            picture,
            embedding: embedding(&mut noise),
        });
        products.get_mut(&key).expect("there").vectors = two.collect();
    }
    let updates = [
        Update::Is(entry(5, &products[&5])),
        Update::Is(entry(8, &products[&8])),
        Update::Gone(ProductKey(9)),
        Update::Is(entry(10, &products[&10])),
        Update::Is(entry(20, &products[&20])),
        Update::Is(entry(41, &products[&41])),
    ];
    let searcher = searcher.with(&updates, 2).expect("fits").expect("in order");
    assert_eq!(differences(&searcher, &products), []);
    // What the index was not told.
    products
        .get_mut(&2)
        .expect("there")
        .title
        .push_str(" unheard");
    products.get_mut(&3).expect("there").description = Some("unheard".to_owned());
    products.get_mut(&4).expect("there").fields.price = Some(1e6);
    products.get_mut(&5).expect("there").vectors[1].embedding = embedding(&mut noise);
    let unheard = AttributeValue::new("Unheard").expect("a value");
    let attributes = &mut products.get_mut(&6).expect("there").attributes;
    attributes.insert(name("color"), vec![unheard]);
    products.remove(&7);
    products.get_mut(&8).expect("there").vectors[1].picture = 3;
    products.get_mut(&10).expect("there").vectors.reverse();
    products.insert(42, product(42, &mut noise));
    let (words, vectors) = ("its words are others", "its vectors are others");
    let expected = [
        (2, words),
        (3, words),
        (4, "its prices or dates are others"),
        (5, vectors),
        (6, "its attributes are others"),
        (7, "it is not in the catalog"),
        (8, vectors),
        (10, vectors),
        (42, "it is not in the index"),
    ];
    let mut found = differences(&searcher, &products);
    // Of a product that is too much in the index all differs.
    found.retain(|(key, what)| *key != 7 || *what == "it is not in the catalog");
    assert_eq!(found, expected);
}

#[test]
fn a_key_that_does_not_come_last_wants_another_build() {
    let mut noise = Noise(3);
    let mut products = BTreeMap::new();
    for key in [1, 2, 9] {
        products.insert(key, product(key, &mut noise));
    }
    let searcher = fresh(&products, 1);
    let other = product(5, &mut noise);
    assert!(
        searcher
            .with(&[Update::Is(entry(5, &other))], 2)
            .expect("fits")
            .is_none()
    );
    // One that is removed and unknown is passed over.
    let same = searcher
        .with(&[Update::Gone(ProductKey(5))], 2)
        .expect("fits");
    assert_eq!(same.expect("fits").len(), 3);
}
