//! Makes a suite out of a labeled catalog: every combination of a main attribute's and a detail's
//! values, asked in words and by photo, its level found by counting.
//!
//! **Text cases**: every main value that has the detail at all, times every value of the detail; a
//! combination that no product has is a case of level 3. **Image cases**: for every combination
//! that occurs, one photo drawn by the seed; the products that have that very photo are left out of
//! the count as they will be left out of the results, so a combination with a single product is a
//! case of level 3. Values that mean "has none" (`none`) make no cases.
//!
//! A picture that cannot be decoded counts as missing. A product without one counts where products
//! are found by their words too ([`SuiteOptions::words`]); otherwise no search can find it, and it
//! is in the pool only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::attributes::has_value;
use super::labeled_catalog::{LabeledCatalog, LabeledCatalogError, LabeledProduct};
use super::suite::{Case, FORMAT, Maxima, Pool, Query, QueryKind, Suite, pool_sha256};
use crate::domain::{AttributeName, AttributeValue, Product, ProductId};
use crate::evaluate::stats::scoring::{Level, Supply, attainable, nominal};
use crate::util::digest::{sha256, sha256_hex};
use crate::util::random::Random;
use crate::vision::{ImageLimits, decode};

/// What the suite is to ask, and of what.
#[derive(Clone, Debug)]
pub struct SuiteOptions {
    pub name: String,
    pub main: AttributeName,
    pub detail: AttributeName,
    /// With `{main}` and `{detail}`, or the attributes' own names in braces.
    pub prompt: String,
    /// Values of the detail that mean that there is none.
    pub without: Vec<AttributeValue>,
    pub results: usize,
    /// At most so many cases of each level and kind, drawn by the seed; `None`: all.
    pub per_level: Option<usize>,
    pub seed: u64,
    /// Written into the suite; the products given must already be those that match.
    pub filters: BTreeMap<AttributeName, Vec<AttributeValue>>,
    /// The products given are held out, and no others count.
    pub held_out: bool,
    /// Words are part of the products' vectors, so that a product without a usable photo can be
    /// found.
    pub words: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Catalog(#[from] LabeledCatalogError),
    #[error("product {id} is asked for by its photo, and the catalog does not hold it")]
    NoProduct { id: ProductId },
    #[error(
        "no product has both a {main} and a {detail} other than none: there is nothing to ask for"
    )]
    NothingToAsk {
        main: AttributeName,
        detail: AttributeName,
    },
    #[error("the prompt {prompt:?} names neither the {main} nor the {detail}")]
    Prompt {
        prompt: String,
        main: AttributeName,
        detail: AttributeName,
    },
}

/// The prompt where none is given: "{main} with {detail} shoelace." for `shoelace_color`, "...
/// collar." for `collar`.
#[must_use]
pub fn default_prompt(detail: &AttributeName) -> String {
    let noun = detail.as_str().trim_end_matches("_color").replace('_', " ");
    format!("{{main}} with {{detail}} {noun}.")
}

/// Builds the suite over a catalog. Decodes every photo: one that cannot be is not asked with.
///
/// # Errors
/// As [`build`].
pub fn of_catalog(options: &SuiteOptions, catalog: &LabeledCatalog) -> Result<Suite, BuildError> {
    let readable = |file: &Bytes| decode(file, &ImageLimits::DEFAULT).is_ok();
    let photo = |product: &LabeledProduct| {
        let file = catalog.picture(product).ok().filter(readable);
        file.map(|file| sha256(&file))
    };
    let products: Vec<_> = catalog
        .products
        .iter()
        .map(|product| (&product.product, photo(product)))
        .collect();
    build(options, &products)
}

/// Writes the suite's file, and beside it the photos that it asks with.
///
/// # Errors
/// When a photo cannot be read or a file cannot be written.
pub fn save(suite: &Suite, catalog: &LabeledCatalog, path: &Path) -> Result<(), BuildError> {
    let put = |path: PathBuf, bytes: &[u8]| {
        let folder = path.parent().unwrap_or(Path::new(""));
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, bytes));
        written.map_err(|source| BuildError::Io { path, source })
    };
    for case in &suite.cases {
        if let Query::Image { image, product, .. } = &case.query {
            let product = catalog.find(product).ok_or_else(|| BuildError::NoProduct {
                id: product.clone(),
            })?;
            put(
                path.parent().unwrap_or(Path::new("")).join(image),
                &catalog.picture(product)?,
            )?;
        }
    }
    put(path.to_owned(), suite.to_json().as_bytes())
}

/// The sha256 of a picture's file.
type PictureHash = [u8; 32];

/// A product of the pool, and the hash of its picture where it can be asked with.
type Pooled<'a> = (&'a Product, Option<PictureHash>);

/// Builds the suite. `products`: the whole pool. The photo of product ID is expected at
/// `images/ID.jpg` beside the suite file ([`photo_path`]).
///
/// # Errors
/// When nothing in the catalog can be asked for, or the prompt would ask for nothing.
pub fn build(options: &SuiteOptions, products: &[Pooled<'_>]) -> Result<Suite, BuildError> {
    let (main, detail) = (options.main.clone(), options.detail.clone());
    let places = |text: &str| {
        text.contains("{main}")
            || text.contains("{detail}")
            || text.contains(&format!("{{{main}}}"))
            || text.contains(&format!("{{{detail}}}"))
    };
    if !places(&options.prompt) {
        return Err(BuildError::Prompt {
            prompt: options.prompt.clone(),
            main,
            detail,
        });
    }
    let found: Vec<Pooled<'_>> = products
        .iter()
        .filter(|(_, photo)| options.words || photo.is_some())
        .copied()
        .collect();
    let combinations = Combinations::of(options, &found);
    if combinations.details.is_empty() {
        return Err(BuildError::NothingToAsk { main, detail });
    }
    let mut cases = limited(options, &combinations.text_cases(options, &found), 1);
    cases.extend(limited(
        options,
        &combinations.image_cases(options, &found),
        2,
    ));
    let maxima = Maxima::of(&cases);
    let sha256 = pool_sha256(products.iter().map(|(p, _)| *p), &main, &detail);
    let pool = Pool {
        products: products.len(),
        sha256,
        filters: options.filters.clone(),
        held_out: options.held_out,
    };
    let prompt = options.prompt.clone();
    Ok(Suite {
        format: FORMAT,
        name: options.name.clone(),
        main,
        detail,
        prompt,
        results: options.results,
        pool,
        maxima,
        cases,
    })
}

/// Where the photo of a query lies beside the suite file. Ids hold what file names must not, so
/// that they are numbered by their hash when they are anything but letters, digits, `-` and `_`.
#[must_use]
pub fn photo_path(product: &Product) -> PathBuf {
    let id = product.id.as_str();
    let plain = id.len() <= 64
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let stem = if plain {
        id.to_owned()
    } else {
        sha256_hex(id.as_bytes())
    };
    PathBuf::from("images").join(format!("{stem}.jpg"))
}

/// The values that occur, as the catalog writes them first (`Black` and `black` are one).
struct Combinations {
    mains: BTreeMap<String, AttributeValue>,
    details: BTreeMap<String, AttributeValue>,
}

impl Combinations {
    fn of(options: &SuiteOptions, products: &[Pooled<'_>]) -> Self {
        let without: BTreeSet<String> =
            options.without.iter().map(AttributeValue::folded).collect();
        let mut found = Self {
            mains: BTreeMap::new(),
            details: BTreeMap::new(),
        };
        for (product, _) in products {
            let values = |name| {
                product
                    .attributes
                    .get(name)
                    .map(Vec::as_slice)
                    .unwrap_or_default()
            };
            let details: Vec<_> = values(&options.detail)
                .iter()
                .filter(|v| !without.contains(&v.folded()))
                .collect();
            if details.is_empty() || values(&options.main).is_empty() {
                continue;
            }
            for value in details {
                found
                    .details
                    .entry(value.folded())
                    .or_insert_with(|| value.clone());
            }
            for value in values(&options.main) {
                found
                    .mains
                    .entry(value.folded())
                    .or_insert_with(|| value.clone());
            }
        }
        found
    }

    fn pairs(&self) -> impl Iterator<Item = (&AttributeValue, &AttributeValue)> {
        self.mains
            .values()
            .flat_map(|m| self.details.values().map(move |d| (m, d)))
    }

    fn text_cases(&self, options: &SuiteOptions, products: &[Pooled<'_>]) -> Vec<Case> {
        let case = |(main, detail)| {
            let text = render(options, main, detail);
            make(
                options,
                QueryKind::Text,
                main,
                detail,
                Query::Text { text },
                supply(options, products, None, main, detail),
            )
        };
        self.pairs().map(case).collect()
    }

    fn image_cases(&self, options: &SuiteOptions, products: &[Pooled<'_>]) -> Vec<Case> {
        let mut draw = Random::new(options.seed);
        let mut cases = Vec::new();
        for (main, detail) in self.pairs() {
            let fits = |p: &Product| {
                has_value(&p.attributes, &options.main, main)
                    && has_value(&p.attributes, &options.detail, detail)
            };
            let candidates: Vec<(&Product, PictureHash)> = products
                .iter()
                .filter(|(p, _)| fits(p))
                .filter_map(|(p, photo)| Some((*p, (*photo)?)))
                .collect();
            for (product, photo) in draw.sample(&candidates, 1) {
                let others = products
                    .iter()
                    .filter(|(p, other)| *other == Some(photo) && p.id != product.id);
                let query = Query::Image {
                    image: photo_path(product),
                    product: product.id.clone(),
                    same: others.map(|(p, _)| p.id.clone()).collect(),
                };
                let supply = supply(options, products, Some(photo), main, detail);
                cases.push(make(options, QueryKind::Image, main, detail, query, supply));
            }
        }
        cases
    }
}

/// What of the pool fits, the products with the photo `asked` left out.
fn supply(
    options: &SuiteOptions,
    products: &[Pooled<'_>],
    asked: Option<PictureHash>,
    main: &AttributeValue,
    detail: &AttributeValue,
) -> Supply {
    let counted = products
        .iter()
        .filter(|(_, photo)| asked.is_none() || *photo != asked);
    counted.fold(Supply::default(), |mut supply, (p, _)| {
        match (
            has_value(&p.attributes, &options.main, main),
            has_value(&p.attributes, &options.detail, detail),
        ) {
            (true, true) => supply.both += 1,
            (true, false) => supply.main_only += 1,
            (false, true) => supply.detail_only += 1,
            (false, false) => {}
        }
        supply
    })
}

fn make(
    options: &SuiteOptions,
    kind: QueryKind,
    main: &AttributeValue,
    detail: &AttributeValue,
    query: Query,
    supply: Supply,
) -> Case {
    let level = Level::of(supply.both, options.results);
    let maxima = Maxima {
        nominal: nominal(options.results),
        attainable: attainable(supply, options.results),
    };
    let name = format!("{}: {main}, {detail}", kind.name());
    let expect = BTreeMap::from([
        (options.main.clone(), main.clone()),
        (options.detail.clone(), detail.clone()),
    ]);
    Case {
        name,
        level,
        query,
        expect,
        supply,
        maxima,
    }
}

/// At most `per_level` cases of each level, in level order; within a level in the order they came.
fn limited(options: &SuiteOptions, cases: &[Case], salt: u64) -> Vec<Case> {
    let mut draw = Random::new(options.seed ^ salt);
    let mut kept = Vec::new();
    for level in Level::ALL {
        let of_level: Vec<usize> = (0..cases.len())
            .filter(|i| cases[*i].level == level)
            .collect();
        let mut chosen = draw.sample(&of_level, options.per_level.unwrap_or(usize::MAX));
        chosen.sort_unstable();
        kept.extend(chosen);
    }
    kept.into_iter().map(|i| cases[i].clone()).collect()
}

fn render(options: &SuiteOptions, main: &AttributeValue, detail: &AttributeValue) -> String {
    let (main, detail) = (sentence(main.as_str()), sentence(detail.as_str()));
    let own = |name: &AttributeName| format!("{{{name}}}");
    let text = options
        .prompt
        .replace("{main}", &main)
        .replace("{detail}", &detail);
    text.replace(&own(&options.main), &main)
        .replace(&own(&options.detail), &detail)
}

/// `Casual Shoes` -> `Casual shoes`.
fn sentence(value: &str) -> String {
    let mut letters = value.chars();
    letters.next().map_or(String::new(), |first| {
        first
            .to_uppercase()
            .chain(letters.flat_map(char::to_lowercase))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::stats::scoring::RESULTS;

    fn name(n: &str) -> AttributeName {
        AttributeName::new(n).expect("name")
    }

    fn value(v: &str) -> AttributeValue {
        AttributeValue::new(v).expect("value")
    }

    fn options(detail: &str) -> SuiteOptions {
        SuiteOptions {
            name: "test".to_owned(),
            main: name("category"),
            detail: name(detail),
            prompt: default_prompt(&name(detail)),
            without: vec![value("none")],
            results: RESULTS,
            per_level: None,
            seed: 1,
            filters: BTreeMap::new(),
            held_out: false,
            words: false,
        }
    }

    fn products_of(detail: &str, kinds: &[(&str, Option<&str>, usize)]) -> Vec<Product> {
        let mut products = Vec::new();
        for (category, laces, n) in kinds {
            for _ in 0..*n {
                let id = ProductId::new(&format!("{}", products.len())).expect("id");
                let mut product = Product::new(id, "a shoe").expect("title");
                product
                    .attributes
                    .insert(name("category"), vec![value(category)]);
                if let Some(laces) = laces {
                    product.attributes.insert(name(detail), vec![value(laces)]);
                }
                products.push(product);
            }
        }
        products
    }

    /// Every product with a photo of its own.
    fn pool(products: &[Product]) -> Vec<Pooled<'_>> {
        products
            .iter()
            .map(|p| (p, Some(sha256(p.id.as_str().as_bytes()))))
            .collect()
    }

    fn built(options: &SuiteOptions, products: &[Product]) -> Suite {
        let suite = build(options, &pool(products)).expect("something to ask");
        suite.check().expect("consistent");
        suite
    }

    fn case<'a>(suite: &'a Suite, name: &str) -> &'a Case {
        suite
            .cases
            .iter()
            .find(|c| c.name == name)
            .unwrap_or_else(|| panic!("no case {name}"))
    }

    #[test]
    fn levels_prompts_and_maxima_by_counting() {
        let products = products_of(
            "shoelace_color",
            &[
                ("Casual Shoes", Some("white"), 6),
                ("Casual Shoes", Some("Beige"), 2),
                ("Formal Shoes", Some("black"), 1),
                ("Formal Shoes", Some("none"), 3),
                ("Sandals", None, 4),
            ],
        );
        let suite = built(&options("shoelace_color"), &products);
        // 2 categories with laces x 3 colors in words, 3 combinations that occur as photos; sandals
        // have no laces.
        assert_eq!(
            suite
                .cases
                .iter()
                .filter(|c| c.kind() == QueryKind::Text)
                .count(),
            6
        );
        assert_eq!(suite.cases.len(), 9);
        let beige = case(&suite, "text: Casual Shoes, Beige");
        assert_eq!(
            beige.query,
            Query::Text {
                text: "Casual shoes with Beige shoelace.".to_owned()
            }
        );
        assert_eq!(
            beige.supply,
            Supply {
                both: 2,
                main_only: 6,
                detail_only: 0
            }
        );
        assert_eq!(
            (
                beige.level,
                beige.maxima.attainable.c,
                beige.maxima.attainable.a
            ),
            (Level::Two, 9, 12)
        );
        assert_eq!(case(&suite, "text: Casual Shoes, white").level, Level::One);
        assert_eq!(
            case(&suite, "text: Formal Shoes, white").level,
            Level::Three
        );
        // The photo's own product is never among the results.
        assert_eq!(case(&suite, "image: Casual Shoes, white").supply.both, 5);
        assert_eq!(
            case(&suite, "image: Formal Shoes, black").level,
            Level::Three
        );
        assert_eq!(suite.maxima.nominal.a, 9 * 15);
    }

    #[test]
    fn products_with_the_very_same_photo_are_left_out_together() {
        let products = products_of(
            "collar",
            &[("Shirts", Some("polo"), 3), ("Tshirts", Some("polo"), 1)],
        );
        let photo = sha256(b"one photo");
        let all: Vec<Pooled<'_>> = products
            .iter()
            .map(|p| (p, (p.id.as_str() != "1").then_some(photo)))
            .collect();
        let by_words = SuiteOptions {
            words: true,
            ..options("collar")
        };
        let suite = build(&by_words, &all).expect("something to ask");
        let asked = case(&suite, "image: Shirts, polo");
        assert_eq!(asked.own().len(), 3, "{:?}", asked.query);
        assert_eq!(
            asked.supply,
            Supply {
                both: 1,
                main_only: 0,
                detail_only: 0
            },
            "the one without a photo is left"
        );
        let suite = build(&options("collar"), &all).expect("something to ask");
        assert_eq!(
            case(&suite, "image: Shirts, polo").supply,
            Supply::default(),
            "no search can bring it"
        );
        assert_eq!(
            (
                case(&suite, "text: Shirts, polo").supply.both,
                suite.pool.products
            ),
            (2, 4)
        );
    }

    #[test]
    fn any_other_detail_does_as_well() {
        let products = products_of(
            "collar",
            &[
                ("Shirts", Some("mandarin"), 2),
                ("Tshirts", Some("polo"), 1),
            ],
        );
        let suite = built(&options("collar"), &products);
        let Query::Text { text } = &case(&suite, "text: Shirts, mandarin").query else {
            panic!("a text case")
        };
        assert_eq!(text, "Shirts with Mandarin collar.");
    }

    #[test]
    fn caps_and_seeds() {
        let products = products_of(
            "collar",
            &[
                ("Shirts", Some("a"), 3),
                ("Shirts", Some("b"), 3),
                ("Shirts", Some("c"), 3),
            ],
        );
        let capped = SuiteOptions {
            per_level: Some(2),
            ..options("collar")
        };
        assert_eq!(built(&capped, &products).cases.len(), 4);
        assert_eq!(built(&capped, &products), built(&capped, &products));
        let other = SuiteOptions {
            seed: 2,
            ..options("collar")
        };
        assert_ne!(
            built(&other, &products),
            built(&options("collar"), &products),
            "another seed draws other photos"
        );
    }

    #[test]
    fn refuses_to_ask_for_nothing() {
        let products = products_of("collar", &[("Shirts", Some("none"), 3)]);
        let all = pool(&products);
        assert!(matches!(
            build(&options("collar"), &all),
            Err(BuildError::NothingToAsk { .. })
        ));
        let mute = SuiteOptions {
            prompt: "shoes".to_owned(),
            ..options("collar")
        };
        assert!(matches!(build(&mute, &all), Err(BuildError::Prompt { .. })));
    }

    #[test]
    fn photos_have_harmless_names() {
        let path = |id: &str| {
            photo_path(&Product::new(ProductId::new(id).expect("id"), "x").expect("title"))
        };
        assert_eq!(path("1163"), PathBuf::from("images/1163.jpg"));
        assert!(!path("../../etc").to_string_lossy().contains(".."));
    }

    proptest! {
        #[test]
        fn every_suite_is_consistent(kinds in proptest::collection::vec((0_usize..3, 0_usize..5, 1_usize..8), 1..12), seed in any::<u64>()) {
            let mains = ["Casual Shoes", "Formal Shoes", "Sandals"];
            let details = [Some("white"), Some("black"), Some("none"), None, Some("red")];
            let kinds: Vec<_> = kinds.into_iter().map(|(m, d, n)| (mains[m], details[d], n)).collect();
            let products = products_of("shoelace_color", &kinds);
            // Every fourth product shares its photo with the one before it.
            let mut all = pool(&products);
            for i in (1..all.len()).step_by(4) {
                all[i].1 = all[i - 1].1;
            }
            if let Ok(suite) = build(&SuiteOptions { seed, ..options("shoelace_color") }, &all) {
                prop_assert!(suite.check().is_ok());
                for case in &suite.cases {
                    // Counting again, product by product, with the definition that results are
                    // scored by.
                    let own = case.own();
                    let fits: Vec<_> = products.iter().filter(|p| !own.contains(&p.id)).map(|p| suite.fit(case, &p.attributes)).collect();
                    prop_assert_eq!(fits.iter().filter(|f| f.main && f.detail).count(), case.supply.both);
                    prop_assert_eq!(fits.iter().filter(|f| !f.main && f.detail).count(), case.supply.detail_only);
                }
            }
        }
    }
}
