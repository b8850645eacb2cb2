//! Retrieval over held-out products: the numbers that choose an epoch.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::accuracy::{self, Accuracy};
use super::embed::Embedder;
use crate::train::data::attribute::Classes;
use crate::train::data::product::Product;

/// Precision among the first ten, and how many questions it is the mean of; zero-shot accuracy over
/// all products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// "color category" queries: right category.
    pub text_category: f32,
    /// "color category" queries: right category and color.
    pub text_category_color: f32,
    /// "category for gender" queries: right category.
    pub gender_category: f32,
    /// "category for gender" queries: right category and gender.
    pub gender_both: f32,
    /// Photo queries: right category, the product itself left out.
    pub image_category: f32,
    /// Title to its own product among the first ten.
    pub title_recall: f32,
    pub color_queries: usize,
    pub gender_queries: usize,
    /// Photos whose category is the one with the nearest name, of all that the products have.
    #[serde(default)]
    pub zero_shot_category: f32,
    /// The same of the color.
    #[serde(default)]
    pub zero_shot_color: f32,
    /// The attribute that is learned, where the recipe names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<Accuracy>,
}

/// The `count` best rows for a query, best first.
fn best(rows: &[f32], query: &[f32], count: usize, except: Option<usize>) -> Vec<usize> {
    let mut scored: Vec<(f32, usize)> = rows
        .chunks_exact(query.len())
        .enumerate()
        .filter(|(at, _)| Some(*at) != except)
        .map(|(at, row)| (row.iter().zip(query).map(|(a, b)| a * b).sum(), at))
        .collect();
    let count = count.min(scored.len());
    if count < scored.len() {
        scored.select_nth_unstable_by(count, |a, b| b.0.total_cmp(&a.0));
    }
    scored.truncate(count);
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().map(|(_, at)| at).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0_usize), |(s, n), v| (s + v, n + 1));
    if count == 0 { 0.0 } else { sum / count as f32 }
}

/// Products by two of their facts, and how many have both.
type Counts<'a> = BTreeMap<(&'a str, &'a str), usize>;

/// A model with the products that it is measured over.
struct Pool<'a> {
    embedder: &'a Embedder<'a>,
    products: &'a [&'a Product],
    /// The photos' embeddings.
    photos: Vec<f32>,
}

impl Pool<'_> {
    /// The ten best products for each text.
    fn hits(&self, texts: &[impl AsRef<str>]) -> Vec<Vec<usize>> {
        let queries = self.embedder.texts(texts);
        queries
            .chunks_exact(self.embedder.projection())
            .map(|query| best(&self.photos, query, 10, None))
            .collect()
    }

    fn share(&self, hits: &[usize], right: impl Fn(&Product) -> bool) -> f32 {
        mean(
            hits.iter()
                .map(|&at| f32::from(u8::from(right(self.products[at])))),
        )
    }

    /// The share of photos that are nearest to the name of their own fact, among the names that the
    /// products have.
    fn zero_shot(&self, fact: impl Fn(&Product) -> &str) -> f32 {
        let known: BTreeSet<&str> = self
            .products
            .iter()
            .map(|p| fact(p))
            .filter(|name| !name.is_empty())
            .collect();
        let names: Vec<&str> = known.into_iter().collect();
        let words = self.embedder.texts(&names);
        let photos = self
            .products
            .iter()
            .zip(self.photos.chunks_exact(self.embedder.projection()));
        let asked = photos.filter(|(product, _)| !fact(product).is_empty());
        mean(asked.map(|(product, photo)| {
            f32::from(u8::from(
                names[accuracy::nearest(&words, photo, None)] == fact(product),
            ))
        }))
    }

    /// The mean over the queries of the share of right hits.
    fn precision(
        &self,
        asked: &[(&str, &str)],
        hits: &[Vec<usize>],
        right: impl Fn(&Product, (&str, &str)) -> bool,
    ) -> f32 {
        mean(
            asked
                .iter()
                .zip(hits)
                .map(|(&facts, hits)| self.share(hits, |product| right(product, facts))),
        )
    }
}

/// The queries that at least ten products answer in full.
fn asked(counts: Counts<'_>) -> Vec<(&str, &str)> {
    counts
        .into_iter()
        .filter(|(_, count)| *count >= 10)
        .map(|(facts, _)| facts)
        .collect()
}

/// Measures a model: retrieval over the products `general`, over `own` where there are none, and the
/// accuracy of the attribute over `own`.
#[must_use]
pub fn measure(
    embedder: &Embedder<'_>,
    own: &[&Product],
    general: &[&Product],
    classes: Option<&Classes>,
) -> Scores {
    let photos = (general.is_empty() || classes.is_some()).then(|| embedder.photos(own));
    let attribute = classes.and_then(|classes| {
        let words = embedder.values(classes);
        accuracy::classify(classes, &words, own, photos.as_deref().unwrap_or_default())
    });
    let scores = match photos {
        Some(photos) if general.is_empty() => retrieval(embedder, own, photos),
        _ => scores(embedder, general),
    };
    Scores {
        attribute,
        ..scores
    }
}

/// Measures retrieval over these products alone.
#[must_use]
pub fn scores(embedder: &Embedder<'_>, products: &[&Product]) -> Scores {
    retrieval(embedder, products, embedder.photos(products))
}

/// A query is asked if at least ten products answer it in full: with fewer, no model can reach a
/// precision of one.
fn retrieval(embedder: &Embedder<'_>, products: &[&Product], photos: Vec<f32>) -> Scores {
    let pool = Pool {
        embedder,
        products,
        photos,
    };
    let (mut colors, mut genders) = (Counts::new(), Counts::new());
    for p in products {
        *colors
            .entry((&p.facts.color, &p.facts.category))
            .or_default() += 1;
        *genders
            .entry((&p.facts.category, &p.facts.gender))
            .or_default() += 1;
    }
    let (colors, genders) = (asked(colors), asked(genders));
    let texts: Vec<String> = colors
        .iter()
        .map(|(color, category)| format!("{color} {category}"))
        .collect();
    let by_color = pool.hits(&texts);
    let texts: Vec<String> = genders
        .iter()
        .map(|(category, gender)| format!("{category} for {gender}"))
        .collect();
    let by_gender = pool.hits(&texts);
    // Every product asks: of five hundred of four thousand, the share that finds itself is off by
    // two points.
    let titles: Vec<&str> = products.iter().map(|p| p.facts.title.as_str()).collect();
    let by_title = pool.hits(&titles);
    let by_photo = pool.photos.chunks_exact(embedder.projection()).enumerate();
    Scores {
        text_category: pool.precision(&colors, &by_color, |p, (_, category)| {
            p.facts.category == category
        }),
        text_category_color: pool.precision(&colors, &by_color, |p, (color, category)| {
            p.facts.category == category && p.facts.color == color
        }),
        gender_category: pool.precision(&genders, &by_gender, |p, (category, _)| {
            p.facts.category == category
        }),
        gender_both: pool.precision(&genders, &by_gender, |p, (category, gender)| {
            p.facts.category == category && p.facts.gender == gender
        }),
        image_category: mean(by_photo.map(|(at, photo)| {
            let hits = best(&pool.photos, photo, 10, Some(at));
            pool.share(&hits, |p| p.facts.category == products[at].facts.category)
        })),
        title_recall: mean(products.iter().zip(&by_title).map(|(own, hits)| {
            f32::from(u8::from(
                hits.iter()
                    .any(|&hit| products[hit].facts.title == own.facts.title),
            ))
        })),
        color_queries: colors.len(),
        gender_queries: genders.len(),
        zero_shot_category: pool.zero_shot(|p| &p.facts.category),
        zero_shot_color: pool.zero_shot(|p| &p.facts.color),
        attribute: None,
    }
}
