//! A search in words over a small catalog: what is found, what is meant, and that pages join.

use std::collections::BTreeSet;

use aglet::domain::{
    AttributeName, AttributeValue, Attributes, Embedding, Facets, Filters, KnownAttributes,
    ModelId, ProductFields, ProductKey, Types, Window,
};
use aglet::index::lexical::{Asked, Language, ProductText, Reading, Stems, Synonyms};
use aglet::index::{
    Builder, Entry, IndexVersion, Joining, Saved, Searcher, Selection, Update, Vector, rank,
};
use proptest::prelude::*;

use crate::support::noise::Noise;

const DIMENSIONS: usize = 8;

/// Id, title, description, attributes.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const SHOP: &[Row] = &[
    (
        "1001",
        "Puma Men Racer Red",
        "Light, for every day",
        &[
            ("category", "Sports Shoes"),
            ("color", "Red"),
            ("brand", "Puma"),
            ("gender", "Men"),
        ],
    ),
    (
        "1002",
        "Puma Men Racer Blue",
        "Light, not red",
        &[
            ("category", "Sports Shoes"),
            ("color", "Blue"),
            ("brand", "Puma"),
            ("gender", "Men"),
        ],
    ),
    (
        "1003",
        "Red Tape Men Oxford",
        "Leather",
        &[
            ("category", "Formal Shoes"),
            ("color", "Black"),
            ("brand", "Red Tape"),
            ("gender", "Men"),
            ("shoelace_color", "red"),
        ],
    ),
    (
        "1004",
        "Clarks Women Ankle Boots",
        "Suede",
        &[
            ("category", "Boots"),
            ("color", "Maroon"),
            ("brand", "Clarks"),
            ("gender", "Women"),
            ("shoelace_color", "none"),
        ],
    ),
    (
        "1005",
        "Nike T-Shirt Basic",
        "Cotton",
        &[
            ("category", "Tshirts"),
            ("color", "White"),
            ("brand", "Nike"),
            ("gender", "Unisex"),
        ],
    ),
    (
        "1006",
        "Nike Hoodie Warm",
        "Fleece",
        &[
            ("category", "Sweatshirts"),
            ("color", "Grey"),
            ("brand", "Nike"),
            ("gender", "Men"),
        ],
    ),
    (
        "1007",
        "Baggit Hand Bag Été",
        "Leather",
        &[
            ("category", "Handbags"),
            ("color", "Red"),
            ("brand", "Baggit"),
            ("gender", "Women"),
        ],
    ),
    (
        "1008",
        "Fila No Show Socks",
        "Short",
        &[
            ("category", "Socks"),
            ("color", "White"),
            ("brand", "Fila"),
            ("gender", "Men"),
        ],
    ),
    (
        "1009",
        "Lotto Jumper Shoe",
        "Bouncy",
        &[
            ("category", "Sports Shoes"),
            ("color", "White"),
            ("brand", "Lotto"),
            ("gender", "Men"),
        ],
    ),
    (
        "1010",
        "Arrow Knit Classic",
        "Wool",
        &[
            ("category", "Sweaters"),
            ("color", "Blue"),
            ("brand", "Arrow"),
            ("gender", "Men"),
        ],
    ),
    (
        "AB-77",
        "Arrow Knit Classic Slim",
        "Wool",
        &[
            ("category", "Sweaters"),
            ("color", "Red"),
            ("brand", "Arrow"),
            ("gender", "Women"),
        ],
    ),
    (
        "1012",
        "Tommy Women Casual Sandal",
        "Open",
        &[
            ("category", "Casual Shoes"),
            ("color", "Beige"),
            ("brand", "Tommy"),
            ("gender", "Women"),
            ("shoelace_color", "beige"),
        ],
    ),
    (
        "1013",
        "Kiwi Suede Brush",
        "For leather",
        &[
            ("category", "Shoe Accessories"),
            ("color", "Green"),
            ("brand", "Kiwi"),
            ("gender", "Unisex"),
        ],
    ),
    (
        "1014",
        "Lotto Women Runner",
        "Polyester",
        &[
            ("category", "Track Pants"),
            ("color", "Green"),
            ("brand", "Lotto"),
            ("gender", "Women"),
        ],
    ),
];

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    let mut all = Attributes::new();
    for (name, value) in pairs {
        let name = AttributeName::new(name).expect("a name");
        let value = AttributeValue::new(value).expect("a value");
        all.entry(name).or_default().push(value);
    }
    all
}

fn version() -> IndexVersion {
    IndexVersion {
        catalog: 1,
        model: ModelId::new("ab".repeat(32)),
        words_percent: 30,
        language: Language::English,
    }
}

fn embedding(noise: &mut Noise) -> Embedding {
    let mut value =
        || f32::from(u16::try_from(noise.bits() >> 48).expect("16 bits")) / 32_768.0 - 1.0;
    Embedding::new((0..DIMENSIONS).map(|_| value()).collect(), DIMENSIONS).expect("not zero")
}

fn vector(noise: &mut Noise) -> Vector {
    Vector {
        picture: 1,
        embedding: embedding(noise),
    }
}

/// The shop so many times over; vectors by chance.
fn shop(times: usize) -> Searcher {
    shop_of(times, |_| true)
}

/// The same of the products with these keys alone.
fn shop_of(times: usize, keep: impl Fn(ProductKey) -> bool) -> Searcher {
    let mut builder = Builder::new(DIMENSIONS, Language::English);
    let mut noise = Noise(7);
    for round in 0..times {
        for (i, (id, title, description, pairs)) in SHOP.iter().enumerate() {
            let (id, title) = if round == 0 {
                ((*id).to_owned(), (*title).to_owned())
            } else {
                (format!("{id}/{round}"), format!("{title} {round}"))
            };
            let key = ProductKey(u32::try_from(round * SHOP.len() + i + 1).expect("small"));
            let vectors = [vector(&mut noise)];
            if !keep(key) {
                continue;
            }
            let entry = Entry {
                key,
                vectors: &vectors,
                attributes: &attributes(pairs),
                fields: ProductFields::default(),
                text: ProductText {
                    id: &id,
                    title: &title,
                    description: Some(description),
                },
            };
            builder.add(&entry).expect("in order");
        }
    }
    builder.build(version(), &Types::default()).expect("built")
}

fn joining(vector: Option<&Embedding>) -> Joining<'_> {
    Joining {
        vector,
        ..Joining::default()
    }
}

fn read(searcher: &Searcher, text: &str, typo: bool, prefix: bool) -> Asked {
    let known = KnownAttributes::default();
    let synonyms = Synonyms::read(&Stems::of(Language::English), None).expect("the list");
    let reading = Reading {
        typo,
        prefix,
        category: &known.category,
        named: &known.shown,
    };
    searcher.read(text, reading, &synonyms)
}

/// Where removed products have left a slot, and where they have not.
#[test]
fn scores_are_those_of_an_index_that_is_built_anew() {
    let gone = |key: ProductKey| key.0.is_multiple_of(3) || key.0 > 3_000;
    let built = shop_of(300, |key| !gone(key));
    let keys = 1..=u32::try_from(300 * SHOP.len()).expect("small");
    let updates = keys
        .map(ProductKey)
        .filter(|key| gone(*key))
        .map(Update::Gone);
    let living = shop(300)
        .with(&updates.collect::<Vec<_>>(), 2)
        .expect("taken over")
        .expect("keys as before");
    assert_eq!(living.len(), built.len());
    let mut noise = Noise(11);
    let window = Window::new(50, 0).expect("a window");
    let selection = Selection::of(&Filters::default(), window, &[]);
    for text in ["red shoes", "puma racer", "leather", "sandal women"] {
        let query = embedding(&mut noise);
        let hits = |searcher: &Searcher| {
            let asked = read(searcher, text, true, false);
            let found = searcher.search_words(&asked, joining(Some(&query)), &selection);
            found.expect("a search").hits
        };
        assert_eq!(hits(&living), hits(&built), "{text}");
    }
}

/// The ids that words alone find, best first; of the first round.
fn found(searcher: &Searcher, text: &str) -> Vec<&'static str> {
    let asked = read(searcher, text, true, false);
    ids(searcher, &asked, None, true)
}

fn ids(
    searcher: &Searcher,
    asked: &Asked,
    vector: Option<&Embedding>,
    relevant_only: bool,
) -> Vec<&'static str> {
    let window = Window::new(250, 0).expect("a window");
    let hits = searcher
        .search_words(
            asked,
            joining(vector),
            &Selection {
                all: !relevant_only,
                ..Selection::of(&Filters::default(), window, &[])
            },
        )
        .expect("a search");
    assert_eq!(hits.hits.len(), hits.estimated_total.min(250));
    let place = |key: ProductKey| (key.0 as usize - 1) % SHOP.len();
    hits.hits.iter().map(|hit| SHOP[place(hit.key)].0).collect()
}

#[test]
fn shoppers_find_what_they_mean() {
    let shop = shop(1);
    for (text, expected) in [
        // The shoe's color, not the laces', the name's or another shoe's description.
        ("red shoes", &["1001"][..]),
        ("shoes with red laces", &["1003"]),
        ("red laces shoes", &["1003"]),
        ("shoes with laces in red", &["1003"]),
        ("boots without laces", &["1004"]),
        ("laceless boots", &["1004"]),
        // What shoes are kept clean with is no shoe.
        ("shoes", &["1001", "1002", "1003", "1009", "1012"]),
        ("shoe accessories", &["1013"]),
        ("men's shoes with scarlet-colored laces", &["1003"]),
        ("wine colour boots", &["1004"]),
        ("trackpants", &["1014"]),
        ("maroon boot", &["1004"]),
        ("puma", &["1001", "1002"]),
        ("puma shoes not blue", &["1001"]),
        ("puma -blue", &["1001"]),
        ("AB-77", &["AB-77"]),
        ("ab-77", &["AB-77"]),
        ("1004", &["1004"]),
        ("racer blue", &["1002"]),
        // Slips, synonyms, words apart and together, accents.
        ("pumma", &["1001", "1002"]),
        ("tee", &["1005"]),
        ("tshirt", &["1005"]),
        ("t shirt", &["1005"]),
        ("handbag", &["1007"]),
        ("hand bag ete", &["1007"]),
        ("purse", &["1007"]),
        ("no show socks", &["1008"]),
        ("red tape", &["1003"]),
        ("ladies boots", &["1004"]),
        // What it says is not what it is.
        ("jumper", &["1010", "AB-77", "1006"]),
    ] {
        let found = found(&shop, text);
        let (found, expected): (BTreeSet<_>, BTreeSet<_>) = (
            found.iter().copied().take(expected.len()).collect(),
            expected.iter().copied().collect(),
        );
        assert_eq!(found, expected, "{text}");
    }
    for (text, meant) in [
        ("red shoes", 1),
        ("puma", 2),
        ("purse", 1),
        ("shoes for men", 4),
        ("shoes", 5),
    ] {
        assert_eq!(found(&shop, text).len(), meant, "{text}");
    }
}

#[test]
fn the_whole_title_comes_first_and_a_longer_one_after_it() {
    let shop = shop(1);
    assert_eq!(found(&shop, "arrow knit classic")[..2], ["1010", "AB-77"]);
    assert_eq!(found(&shop, "Arrow Knit Classic Slim")[0], "AB-77");
    let asked = read(&shop, "arrow knit classic", true, false);
    assert_eq!(asked.exact.len(), 1);
    // Its words in another order; two words are in many titles by chance.
    for (text, entitled) in [
        ("slim arrow classic", 1),
        ("classic arrow knit", 2),
        ("arrow knit", 0),
        ("arrow classic red", 0),
        ("arrow classic -slim", 0),
    ] {
        let asked = read(&shop, text, true, false);
        assert_eq!(asked.entitled.len(), entitled, "{text}");
    }
}

#[test]
fn an_answer_says_what_was_corrected_and_can_be_told_not_to() {
    let shop = shop(2);
    let asked = read(&shop, "pumma racer", true, false);
    assert_eq!(asked.corrected.as_deref(), Some("puma racer"));
    let plain = read(&shop, "pumma racer", false, false);
    assert_eq!(plain.corrected, None);
    assert_eq!(plain.unknown, ["pumma"]);
    // A word that the catalog holds is never changed.
    assert_eq!(read(&shop, "racer puma", true, false).corrected, None);
}

#[test]
fn nonsense_means_nothing() {
    let shop = shop(2);
    for text in ["asdfgh qwerty", "\u{200b}\u{200b}", "!!!", "rote schuhe"] {
        let asked = read(&shop, text, true, false);
        assert!(asked.parts.is_empty(), "{text}: {asked:?}");
        assert!(ids(&shop, &asked, None, true).is_empty(), "{text}");
        assert_eq!(ids(&shop, &asked, None, false).len(), 2 * SHOP.len());
    }
}

#[test]
fn an_unfinished_word_finds_those_that_begin_so() {
    let shop = shop(1);
    let of = |text: &str, prefix: bool| {
        let asked = read(&shop, text, false, prefix);
        ids(&shop, &asked, None, true)
    };
    assert_eq!(of("clar", true), ["1004"]);
    assert_eq!(of("women bo", true), ["1004"]);
    assert!(of("clar", false).is_empty());
}

#[test]
fn negation_is_not_read_into_names() {
    let shop = shop(1);
    let asked = read(&shop, "white socks not red", true, false);
    assert!(asked.excluded.contains(0), "the red shoe");
    assert!(!asked.excluded.contains(7), "the white socks");
    assert!(
        read(&shop, "no show socks", true, false)
            .excluded
            .is_empty()
    );
}

#[test]
fn what_is_ruled_out_in_the_ways_that_shoppers_say_it() {
    let shop = shop(1);
    let of = |color: &str| -> BTreeSet<&str> {
        let of_color = SHOP
            .iter()
            .filter(|(.., pairs)| pairs.contains(&("color", color)));
        of_color.map(|(id, ..)| *id).collect()
    };
    for (text, gone) in [
        ("shoes not red or blue", &["Red", "Blue"][..]),
        ("shoes other than blue", &["Blue"]),
        ("anything but red", &["Red"]),
        ("shoes -\"blue\"", &["Blue"]),
        ("shoes \u{2013}blue", &["Blue"]),
        ("not white", &["White"]),
    ] {
        let found = found(&shop, text);
        assert!(!found.is_empty(), "{text}");
        for color in gone {
            let of_color = of(color);
            assert!(
                found.iter().all(|id| !of_color.contains(id)),
                "{text}: {found:?}"
            );
        }
    }
    // What is ruled out alone leaves all others.
    assert_eq!(
        found(&shop, "not white").len(),
        SHOP.len() - of("White").len()
    );
}

#[test]
fn a_number_that_titles_hold_is_their_word() {
    let mut builder = Builder::new(DIMENSIONS, Language::English);
    let mut noise = Noise(5);
    for (key, (id, title)) in (1..).zip([
        ("2011", "Puma Cap"),
        ("7", "Nike Max 2011"),
        ("15970", "Nike Max"),
    ]) {
        let entry = Entry {
            key: ProductKey(key),
            vectors: &[vector(&mut noise)],
            attributes: &Attributes::new(),
            fields: ProductFields::default(),
            text: ProductText {
                id,
                title,
                description: None,
            },
        };
        builder.add(&entry).expect("in order");
    }
    let searcher = builder.build(version(), &Types::default()).expect("built");
    let exact =
        |text: &str| -> Vec<u32> { read(&searcher, text, true, false).exact.iter().collect() };
    assert_eq!(exact("nike 2011"), [0_u32; 0]);
    assert_eq!(exact("2011"), [0]);
    assert_eq!(exact("nike 15970"), [2]);
    assert_eq!(exact("nike max 2011"), [1], "its title");
}

#[test]
fn what_says_all_of_it_is_meant_though_it_is_called_otherwise() {
    // The color of the one is Green; it says all four words, and comes with those of the color Olive.
    let mut builder = Builder::new(DIMENSIONS, Language::English);
    let mut noise = Noise(5);
    for (key, (title, color)) in (1..).zip([
        ("Plain Olive Green Cargo Shorts", "Green"),
        ("Plain Olive Shorts", "Olive"),
        ("Plain Green Shorts", "Green"),
        ("Blue Shorts", "Blue"),
    ]) {
        let entry = Entry {
            key: ProductKey(key),
            vectors: &[vector(&mut noise)],
            attributes: &attributes(&[("category", "Shorts"), ("color", color)]),
            fields: ProductFields::default(),
            text: ProductText {
                id: title,
                title,
                description: None,
            },
        };
        builder.add(&entry).expect("in order");
    }
    let searcher = builder.build(version(), &Types::default()).expect("built");
    let asked = read(&searcher, "olive green cargo shorts", true, false);
    let window = Window::new(10, 0).expect("a window");
    let selection = Selection::of(&Filters::default(), window, &[]);
    let hits = searcher
        .search_words(&asked, joining(None), &selection)
        .expect("a search");
    assert_eq!(hits.hits[0].key, ProductKey(1), "{:?}", hits.hits);
}

#[test]
fn words_are_saved_with_the_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let searcher = shop(3);
    let saved = Saved {
        store: "a database".to_owned(),
        whole: true,
    };
    searcher.save(folder.path(), &saved).expect("saved");
    let restored = Searcher::restore(
        folder.path(),
        &version(),
        DIMENSIONS,
        "a database",
        &Types::default(),
    );
    let (restored, _) = restored.expect("restored");
    for text in [
        "red shoes",
        "pumma",
        "AB-77",
        "arrow knit classic",
        "women bo",
    ] {
        let (before, after) = (
            read(&searcher, text, true, true),
            read(&restored, text, true, true),
        );
        assert_eq!(before.corrected, after.corrected);
        assert_eq!(
            ids(&searcher, &before, None, false),
            ids(&restored, &after, None, false),
            "{text}"
        );
    }
    // By other rules other words are equal: it has to be built anew.
    let german = IndexVersion {
        language: Language::German,
        ..version()
    };
    assert!(
        Searcher::restore(
            folder.path(),
            &german,
            DIMENSIONS,
            "a database",
            &Types::default()
        )
        .is_none()
    );
}

#[test]
fn the_worked_example() {
    let weights = rank::weights(&[(50, 1, false), (100, 1, true)], 1_000);
    assert!((weights[0] - 3.04).abs() < 0.01 && (weights[1] - weights[0]).abs() < 1e-6);
    let coverage =
        |red: f32, shoes: f32| (weights[0] * red + weights[1] * shoes) / (weights[0] + weights[1]);
    let red_shoe = coverage(rank::strength::WHOLE_VALUE, rank::strength::IN_VALUE);
    let blue_shoe = coverage(rank::strength::MENTION, rank::strength::IN_VALUE);
    let red_bag = coverage(rank::strength::WHOLE_VALUE, 0.0);
    assert!((red_shoe - 0.985).abs() < 1e-3, "{red_shoe}");
    assert!((blue_shoe - 0.785).abs() < 1e-3, "{blue_shoe}");
    assert!((red_bag - 0.5).abs() < 1e-3, "{red_bag}");
    assert!((rank::joined(red_shoe, 0.8, rank::WORDS_WEIGHT) - 0.942).abs() < 1e-3);
    // However near it is.
    assert!(
        rank::joined(blue_shoe, 1.0, rank::WORDS_WEIGHT)
            < rank::joined(red_shoe, 0.8, rank::WORDS_WEIGHT)
    );
}

const TEXTS: [&str; 12] = [
    "red shoes",
    "puma",
    "shoes for men",
    "shoes with red laces",
    "white socks not red",
    "jumper",
    "arrow knit classic",
    "racer 3",
    "warm",
    "asdf",
    "women",
    "light leather",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From any offsets, no product comes twice and none is lost; a filter makes no product relevant
    /// that was not, and takes none away but those that do not match.
    #[test]
    fn pages_join_and_filters_only_take_away(
        text in 0..TEXTS.len(),
        with_vector in any::<bool>(),
        relevant_only in any::<bool>(),
        color in prop::sample::select(vec!["", "Red", "White", "Blue"]),
        limits in prop::collection::vec(1_usize..40, 1..30),
        seed in 1_u64..1_000,
    ) {
        // Built once: it is the same for every case.
        static SHOP_OF_MANY: std::sync::LazyLock<Searcher> = std::sync::LazyLock::new(|| shop(30));
        let searcher = &*SHOP_OF_MANY;
        let asked = read(searcher, TEXTS[text], true, false);
        let vector = with_vector.then(|| embedding(&mut Noise(seed)));
        let filters = if color.is_empty() {
            Filters::default()
        } else {
            let name = AttributeName::new("color").expect("a name");
            let value = AttributeValue::new(color).expect("a value");
            Filters::new([(name, value)]).expect("few")
        };
        let search = |filters: &Filters, limit, offset| {
            let window = Window::new(limit, offset).expect("a window");
            searcher
                .search_words(&asked, joining(vector.as_ref()), &Selection {
                    all: !relevant_only,
                    ..Selection::of(filters, window, &[])
                })
                .expect("a search")
        };
        let whole = |filters: &Filters| {
            let mut all = search(filters, 250, 0).hits;
            all.extend(search(filters, 250, 250).hits);
            all
        };
        let expected = whole(&filters);
        let total = search(&filters, 1, 0).estimated_total;
        prop_assert_eq!(expected.len(), total);
        let mut joined = Vec::new();
        for limit in limits.iter().cycle() {
            let page = search(&filters, *limit, joined.len()).hits;
            if page.is_empty() {
                break;
            }
            joined.extend(page);
        }
        prop_assert_eq!(&joined, &expected);
        let keys: BTreeSet<u32> = expected.iter().map(|hit| hit.key.0).collect();
        prop_assert_eq!(keys.len(), expected.len(), "none twice");
        // The same products, in the same order, less those that do not match.
        let unfiltered = whole(&Filters::default());
        let of_color: Vec<_> = unfiltered
            .into_iter()
            .filter(|hit| {
                let (.., pairs) = SHOP[(hit.key.0 as usize - 1) % SHOP.len()];
                color.is_empty() || pairs.contains(&("color", color))
            })
            .collect();
        prop_assert_eq!(of_color, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A facet counts what a person would count; and with a value chosen as well, as many products
    /// are found as it said.
    #[test]
    fn facets_count_what_is_found(
        text in prop::option::of(0..TEXTS.len()),
        chosen in prop::sample::subsequence(
            vec![("color", "Red"), ("color", "White"), ("gender", "Men"), ("brand", "Nike")],
            0..=3,
        ),
        facet in prop::sample::select(vec!["color", "gender", "category", "brand"]),
    ) {
        static SHOP_OF_MANY: std::sync::LazyLock<Searcher> = std::sync::LazyLock::new(|| shop(12));
        let searcher = &*SHOP_OF_MANY;
        let name = AttributeName::new(facet).expect("a name");
        let filters = |pairs: &[(&str, &str)]| {
            Filters::new(pairs.iter().map(|(name, value)| (
                AttributeName::new(name).expect("a name"),
                AttributeValue::new(value).expect("a value"),
            )))
            .expect("few")
        };
        let search = |filters: &Filters| {
            let window = Window::new(250, 0).expect("a window");
            match text {
                None => searcher.browse(&Selection::of(filters, window, &[])),
                Some(text) => {
                    let asked = read(searcher, TEXTS[text], true, false);
                    searcher.search_words(&asked, joining(None), &Selection::of(filters, window, &[]))
                }
            }
            .expect("a search")
        };
        let own = filters(&chosen);
        let facets = Facets { names: vec![name.clone()], values: 100, ..Facets::default() };
        let window = Window::new(250, 0).expect("a window");
        let counts = searcher.counts(&search(&own), &facets, &Selection::of(&own, window, &[]));
        prop_assert_eq!(counts.len(), 1);
        // By hand: all that is found with the other filters, value by value.
        let found = search(&own.without(&name));
        let mut expected = std::collections::BTreeMap::new();
        for hit in &found.hits {
            let (.., pairs) = SHOP[(hit.key.0 as usize - 1) % SHOP.len()];
            for (of, value) in pairs {
                if *of == facet {
                    *expected.entry((*value).to_owned()).or_insert(0_u64) += 1;
                }
            }
        }
        let counted: std::collections::BTreeMap<_, _> =
            counts[0].values.iter().cloned().collect();
        prop_assert_eq!(&counted, &expected);
        prop_assert_eq!(counts[0].distinct, expected.len());
        prop_assert!(counts[0].values.is_sorted_by(|a, b| a.1 >= b.1));
        let others: Vec<_> = chosen.iter().copied().filter(|(of, _)| *of != facet).collect();
        for (value, count) in &counts[0].values {
            let mut with = others.clone();
            with.push((facet, value));
            prop_assert_eq!(search(&filters(&with)).estimated_total as u64, *count);
        }
    }
}

#[test]
fn browsing_is_in_the_catalogs_order_and_a_limit_of_nothing_counts() {
    let searcher = shop(2);
    let window = |limit, offset| Window::new(limit, offset).expect("a window");
    let all = searcher
        .browse(&Selection::of(
            &Filters::default(),
            window(250, 0),
            &[ProductKey(2)],
        ))
        .expect("a search");
    let keys: Vec<u32> = all.hits.iter().map(|hit| hit.key.0).collect();
    assert_eq!(keys.len(), 2 * SHOP.len() - 1);
    assert!(keys.is_sorted() && !keys.contains(&2));
    let none = searcher
        .browse(&Selection::of(&Filters::default(), window(0, 0), &[]))
        .expect("a search");
    assert_eq!((none.hits.len(), none.estimated_total), (0, 2 * SHOP.len()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is typed is read, and every product is ranked once at most.
    #[test]
    fn any_text_is_read(
        noise in "\\PC{0,40}",
        words in prop::collection::vec(
            prop::sample::select(vec![
                "red", "laces", "without", "not", "-", "no", "shoes", "t", "shirt", "pumma", "1001",
                "of", "\u{301}", "it's", "AB-77", "a", "women", "laces", "x",
            ]),
            0..12,
        ),
        typo in any::<bool>(),
        prefix in any::<bool>(),
        relevant_only in any::<bool>(),
    ) {
        static SHOP_OF_FEW: std::sync::LazyLock<Searcher> = std::sync::LazyLock::new(|| shop(3));
        let searcher = &*SHOP_OF_FEW;
        let text = format!("{} {noise}", words.join(" "));
        let asked = read(searcher, &text, typo, prefix);
        let window = Window::new(250, 0).expect("a window");
        let hits = searcher
            .search_words(&asked, joining(None), &Selection {
                all: !relevant_only,
                ..Selection::of(&Filters::default(), window, &[])
            })
            .expect("a search");
        let keys: BTreeSet<_> = hits.hits.iter().map(|hit| hit.key).collect();
        prop_assert_eq!(keys.len(), hits.hits.len());
        prop_assert_eq!(hits.hits.len(), hits.estimated_total);
        prop_assert!(hits.hits.is_sorted_by(|a, b| a.score >= b.score));
        prop_assert!(typo || asked.corrected.is_none());
    }
}
