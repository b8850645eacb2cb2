//! Sorts, groups and diversity: against what a person would do by hand, and pages that join.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use aglet::domain::{
    AttributeName, AttributeValue, Attributes, Embedding, Facets, Filters, KnownAttributes,
    ModelId, Order, Product, ProductFields, ProductId, ProductKey, Range, SortBy, SortKey, Test,
    Types, Window,
};
use aglet::index::lexical::{Language, ProductText, Reading, Stems, Synonyms};
use aglet::index::{
    Builder, Entry, Hit, Hits, IndexVersion, Joining, Searcher, Selection, Vector, rank,
};
use proptest::prelude::*;

use crate::support::noise::Noise;

const DIMENSIONS: usize = 8;
const PRODUCTS: u32 = 400;

fn name(name: &str) -> AttributeName {
    AttributeName::new(name).expect("a name")
}

/// A shop by chance: few prices, so that many are equal; styles of one to some products; some
/// products without any of it.
struct Shop {
    searcher: Searcher,
    products: BTreeMap<u32, Product>,
}

static SHOP: LazyLock<Shop> = LazyLock::new(|| {
    let mut noise = Noise(11);
    let mut products = BTreeMap::new();
    let mut builder = Builder::new(DIMENSIONS, Language::English);
    for key in 1..=PRODUCTS {
        let id = ProductId::new(&key.to_string()).expect("an id");
        let kind = ["Shoes", "Shirts", "Boots"][noise.below(3)];
        let mut product = Product::new(id, &format!("Plain {kind}")).expect("a title");
        let mut add = |of: &str, value: String| {
            let value = AttributeValue::new(&value).expect("a value");
            product.attributes.entry(name(of)).or_default().push(value);
        };
        add("category", kind.to_owned());
        if noise.below(10) > 0 {
            add("style", format!("style {}", noise.below(90)));
        }
        for _ in 0..noise.below(3) {
            add("heel", format!("{}", noise.below(9)));
        }
        add("vegan", ["yes", "TRUE", "No"][noise.below(3)].to_owned());
        for _ in 0..=noise.below(2) {
            add("color", ["Red", "Blue", "Green"][noise.below(3)].to_owned());
        }
        let price = |noise: &mut Noise| u32::try_from(noise.below(12)).map(f64::from).ok();
        product.price = price(&mut noise).filter(|price| *price > 1.0);
        product.sale_price = price(&mut noise).filter(|price| *price < 3.0);
        product.created = (noise.below(4) > 0).then_some(i64::from(key % 7) * 86_400);
        let mut value =
            || f32::from(u16::try_from(noise.bits() >> 48).expect("16 bits")) / 32_768.0 - 1.0;
        let vector = (0..DIMENSIONS).map(|_| value()).collect();
        let vector = Vector {
            picture: 1,
            embedding: Embedding::new(vector, DIMENSIONS).expect("not zero"),
        };
        let entry = Entry {
            key: ProductKey(key),
            vectors: &[vector],
            attributes: &product.attributes,
            fields: product.fields(),
            text: ProductText {
                id: product.id.as_str(),
                title: &product.title,
                description: None,
            },
        };
        builder.add(&entry).expect("in order");
        products.insert(key, product);
    }
    let version = IndexVersion {
        catalog: 1,
        model: ModelId::new("ab".repeat(32)),
        words_percent: 30,
        language: Language::English,
    };
    let searcher = builder.build(version, &Types::default()).expect("built");
    Shop { searcher, products }
});

#[derive(Clone, Copy, Debug)]
enum Asks {
    Nothing,
    Words,
    Both,
    Near,
}

fn vector() -> Embedding {
    let values = (0..DIMENSIONS).map(|i| if i % 2 == 0 { 1.0 } else { 0.3 });
    Embedding::new(values.collect(), DIMENSIONS).expect("not zero")
}

fn search(asks: Asks, selection: &Selection) -> Hits {
    let searcher = &SHOP.searcher;
    let vector = vector();
    let found = match asks {
        Asks::Nothing => searcher.browse(selection),
        Asks::Near => searcher.search(&vector, selection),
        Asks::Words | Asks::Both => {
            let known = KnownAttributes::default();
            let synonyms = Synonyms::read(&Stems::of(Language::English), None).expect("the list");
            let reading = Reading {
                typo: true,
                prefix: false,
                category: &known.category,
                named: &known.shown,
            };
            let asked = searcher.read("red shoes", reading, &synonyms);
            let joining = Joining {
                vector: matches!(asks, Asks::Both).then_some(&vector),
                words_weight: rank::WORDS_WEIGHT,
            };
            searcher.search_words(&asked, joining, selection)
        }
    };
    found.expect("a search")
}

fn selection(
    filters: &Filters,
    order: &Order,
    all: bool,
    limit: usize,
    offset: usize,
) -> Selection {
    let window = Window::new(limit, offset).expect("a window");
    Selection {
        order: order.clone(),
        all,
        ..Selection::of(filters, window, &[])
    }
}

/// All that is found, by the largest pages.
fn whole(asks: Asks, filters: &Filters, order: &Order, all: bool) -> Vec<Hit> {
    let mut hits = Vec::new();
    loop {
        let page = search(asks, &selection(filters, order, all, 250, hits.len())).hits;
        if page.is_empty() {
            return hits;
        }
        hits.extend(page);
    }
}

/// What a product is sorted by: its least or its greatest number, or its first value.
fn place(product: &Product, by: &str, descending: bool) -> Option<(f64, String)> {
    let number = |number: f64| (number, String::new());
    if let Some(field) = product.fields().get(by) {
        return Some(number(field));
    }
    let values = product
        .attributes
        .get(&name(by))?
        .iter()
        .map(AttributeValue::folded);
    if by == "heel" {
        let numbers = values.map(|value| value.parse::<f64>().expect("a number"));
        let best = numbers.reduce(if descending { f64::max } else { f64::min });
        return best.map(number);
    }
    let text = if descending {
        values.max()
    } else {
        values.min()
    };
    text.map(|text| (0.0, text))
}

/// Of equals, what `ranked` has first.
fn by_keys(a: Hit, b: Hit, keys: &[SortKey], ranked: &[Hit]) -> Ordering {
    let rank = |of: Hit| ranked.iter().position(|hit| hit.key == of.key);
    let product = |hit: Hit| &SHOP.products[&hit.key.0];
    for key in keys {
        let SortBy::Attribute(by) = &key.by else {
            return rank(a).cmp(&rank(b));
        };
        let of = |hit: Hit| place(product(hit), by.as_str(), key.descending);
        let order = match (of(a), of(b)) {
            (Some(a), Some(b)) => {
                let order = a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1));
                if key.descending {
                    order.reverse()
                } else {
                    order
                }
            }
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        if order.is_ne() {
            return order;
        }
    }
    rank(a).cmp(&rank(b))
}

fn group(hit: Hit, by: &AttributeName) -> Option<String> {
    let values = SHOP.products[&hit.key.0].attributes.get(by)?.iter();
    values.map(AttributeValue::folded).min()
}

fn keys() -> impl Strategy<Value = Vec<SortKey>> {
    let key = (
        prop::sample::select(vec![
            "price",
            "sale_price",
            "current_price",
            "created",
            "heel",
            "style",
            "color",
            "relevance",
        ]),
        any::<bool>(),
    );
    let key = key.prop_map(|(by, descending)| SortKey {
        by: match by {
            "relevance" => SortBy::Relevance,
            by => SortBy::Attribute(name(by)),
        },
        descending,
    });
    prop::collection::vec(key, 0..4)
}

fn asks() -> impl Strategy<Value = Asks> {
    prop::sample::select(vec![Asks::Nothing, Asks::Words, Asks::Both, Asks::Near])
}

fn filters() -> impl Strategy<Value = Filters> {
    let test = prop::sample::select(vec![
        ("color", "red", true),
        ("color", "blue", false),
        ("price", "3..9", true),
        ("heel", "..4", true),
        ("sale_price", "*", false),
        ("created", "1970-01-03..", true),
    ]);
    prop::collection::vec(test, 0..3).prop_map(|tests| {
        let test = |(of, text, wanted): (&str, &str, bool)| {
            let test = match Range::parse(text) {
                Some(range) => Test::Within(range.expect("a range")),
                None if text == "*" => Test::Present,
                None => Test::Value(text.to_owned()),
            };
            (name(of), test, wanted)
        };
        Filters::of(tests.into_iter().map(test)).expect("few")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Sorted and grouped, the answer is what a person makes of the ranking by hand.
    #[test]
    fn sorted_and_grouped_as_by_hand(
        asks in asks(),
        keys in keys(),
        by in prop::option::of(prop::sample::select(vec!["style", "color", "heel"])),
        filters in filters(),
        all in any::<bool>(),
    ) {
        // A vector alone means what is near once something else sorts: see the test of that.
        let all = all || matches!(asks, Asks::Near);
        let plain = Order::default();
        let ranked = whole(asks, &filters, &plain, all);
        for hit in &ranked {
            prop_assert!(filters.matches(&SHOP.products[&hit.key.0]));
        }
        let mut expected = ranked.clone();
        expected.sort_by(|a, b| by_keys(*a, *b, &keys, &ranked));
        let group_by = by.map(name);
        let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
        if let Some(by) = &group_by {
            let mut met = BTreeSet::new();
            for hit in &expected {
                if let Some(group) = group(*hit, by) {
                    *sizes.entry(group).or_default() += 1;
                }
            }
            expected.retain(|hit| group(*hit, by).is_none_or(|group| met.insert(group)));
        }
        let order = Order { keys, group_by: group_by.clone(), diversify: 0.0 };
        let found = whole(asks, &filters, &order, all);
        let of = |hits: &[Hit]| hits.iter().map(|hit| hit.key.0).collect::<Vec<_>>();
        prop_assert_eq!(of(&found), of(&expected));
        let first = search(asks, &selection(&filters, &order, all, 250, 0));
        prop_assert_eq!(first.estimated_total, expected.len());
        if let Some(by) = &group_by {
            for (hit, shown) in first.hits.iter().zip(&first.groups) {
                let value = group(*hit, by);
                prop_assert_eq!(shown.as_ref().map(|group| group.value.to_lowercase()), value.clone());
                let size = value.map(|value| sizes[&value]);
                prop_assert_eq!(shown.as_ref().map(|group| group.products), size);
            }
        }
    }

    /// Pages join, whatever the order.
    #[test]
    fn pages_join(
        asks in asks(),
        keys in keys(),
        by in prop::option::of(prop::sample::select(vec!["style", "color"])),
        diversify in prop::sample::select(vec![0.0, 0.3, 1.0]),
        filters in filters(),
        all in any::<bool>(),
        limits in prop::collection::vec(1_usize..70, 1..20),
    ) {
        let order = Order { keys, group_by: by.map(name), diversify };
        let expected = whole(asks, &filters, &order, all);
        let mut joined: Vec<Hit> = Vec::new();
        for limit in limits.iter().cycle() {
            let page = search(asks, &selection(&filters, &order, all, *limit, joined.len()));
            prop_assert_eq!(page.estimated_total, expected.len());
            if page.hits.is_empty() {
                break;
            }
            joined.extend(page.hits);
        }
        prop_assert_eq!(&joined, &expected);
        let different: BTreeSet<u32> = joined.iter().map(|hit| hit.key.0).collect();
        prop_assert_eq!(different.len(), joined.len(), "none twice");
        // Diversity changes the order and not what is found.
        let plain = Order { diversify: 0.0, ..order };
        let plain: BTreeSet<u32> =
            whole(asks, &filters, &plain, all).iter().map(|hit| hit.key.0).collect();
        prop_assert_eq!(different, plain);
    }

    /// With a value chosen, as many groups are found as its count said.
    #[test]
    fn facets_count_groups(asks in asks(), filters in filters(), facet in prop::sample::select(vec!["color", "category", "price", "vegan"])) {
        let order = Order { group_by: Some(name("style")), ..Order::default() };
        let all = true;
        let found = search(asks, &selection(&filters, &order, all, 0, 0));
        let range = Range::new(Some("4"), Some("8")).expect("a range");
        let facets = Facets {
            names: vec![name(facet)],
            values: 100,
            ranges: [(name(facet), vec![range.clone()])].into_iter().filter(|(of, _)| of.as_str() == "price").collect(),
            ..Facets::default()
        };
        let counts = SHOP.searcher.counts(&found, &facets, &selection(&filters, &order, all, 0, 0));
        let others = filters.without(&name(facet));
        let with = |test: Test| {
            let mut tests = vec![(name(facet), test, true)];
            for (of, condition) in others.iter() {
                tests.extend(condition.any.iter().map(|test| (of.clone(), test.clone(), true)));
                tests.extend(condition.none.iter().map(|test| (of.clone(), test.clone(), false)));
            }
            let filters = Filters::of(tests).expect("few");
            search(asks, &selection(&filters, &order, all, 0, 0)).estimated_total as u64
        };
        for (value, count) in &counts[0].values {
            prop_assert_eq!(with(Test::Value(value.to_lowercase())), *count);
        }
        for (interval, count) in &counts[0].ranges {
            prop_assert_eq!((interval.from, interval.to), (4.0, 8.0));
            prop_assert_eq!(with(Test::Within(range.clone())), *count);
        }
        let prices = whole(asks, &others, &Order::default(), all);
        let prices = prices.iter().filter_map(|hit| SHOP.products[&hit.key.0].price);
        let bounds = prices.fold(None, |bounds: Option<(f64, f64)>, price| {
            let (least, most) = bounds.unwrap_or((price, price));
            Some((least.min(price), most.max(price)))
        });
        if facet == "price" {
            prop_assert_eq!(counts[0].bounds, bounds);
        }
    }
}

#[test]
fn a_vector_means_what_is_near_once_something_else_sorts() {
    let order = Order {
        keys: vec![SortKey {
            by: SortBy::Attribute(name("price")),
            descending: false,
        }],
        ..Order::default()
    };
    let none = Filters::default();
    let near = whole(Asks::Near, &none, &order, false);
    let ranked = whole(Asks::Near, &none, &Order::default(), false);
    assert!(
        !near.is_empty() && near.len() < ranked.len() / 2,
        "{} of {}",
        near.len(),
        ranked.len()
    );
    // Just the first so many of the ranking.
    let first: BTreeSet<u32> = ranked[..near.len()].iter().map(|hit| hit.key.0).collect();
    assert_eq!(first, near.iter().map(|hit| hit.key.0).collect());
}

#[test]
fn what_is_like_what_came_before_is_put_off() {
    let mut builder = Builder::new(2, Language::None);
    // Four that are the same to the eye, and a fifth that is a little further and looks different.
    for (key, angle) in [
        (1, 0.10_f32),
        (2, 0.11),
        (3, 0.12),
        (4, 0.13),
        (5, -0.20),
        (6, 1.2),
    ] {
        let vector = Vector {
            picture: 1,
            embedding: Embedding::new(vec![angle.cos(), angle.sin()], 2).expect("not zero"),
        };
        let entry = Entry {
            key: ProductKey(key),
            vectors: &[vector],
            attributes: &Attributes::new(),
            fields: ProductFields::default(),
            text: ProductText::default(),
        };
        builder.add(&entry).expect("in order");
    }
    let version = SHOP.searcher.version().clone();
    let searcher = builder.build(version, &Types::default()).expect("built");
    let query = Embedding::new(vec![1.0, 0.0], 2).expect("not zero");
    let order = |diversify| {
        let order = Order {
            diversify,
            ..Order::default()
        };
        let found = searcher.search(&query, &selection(&Filters::default(), &order, false, 6, 0));
        let hits = found.expect("a search").hits;
        hits.iter().map(|hit| hit.key.0).collect::<Vec<_>>()
    };
    assert_eq!(order(0.0), [1, 2, 3, 4, 5, 6]);
    let some = order(0.3);
    assert_eq!((some[0], some[1]), (1, 5), "{some:?}");
    let much = order(1.0);
    assert_eq!((much[0], much[1]), (1, 6), "{much:?}");
}
