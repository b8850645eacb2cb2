//! Retrieval over held-out products: the numbers that choose an epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dataset::{MEAN, Product, STD};
use super::images::{self, Window};
use super::network::{ClipConfig, ImageBatch, Network, Parameters, TextBatch};
use super::vocabulary::Vocabulary;

/// Precision among the first ten, and how many questions it is the mean of.
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
}

/// Unit embeddings of the photos, whole, `products x projection`.
#[must_use]
pub fn embed_photos(config: &ClipConfig, parameters: &Parameters, products: &[&Product]) -> Vec<f32> {
    let size = u32::try_from(config.image_size).unwrap_or(u32::MAX);
    let count = config.patches();
    let mut out = Vec::new();
    for group in products.chunks(64) {
        let network = Network::bind(config, parameters, |_| false);
        let mut patches = Vec::new();
        for product in group {
            let pixels = images::resample(&product.square, &Window::whole(product.square.width()), size);
            patches.extend(images::patches(&pixels, config.image_size, config.patch, MEAN, STD));
        }
        #[expect(clippy::cast_possible_truncation, reason = "patches of a small image")]
        let positions = (0..group.len() * count).map(|at| (at % count) as u32).collect();
        let batch = ImageBatch { images: group.len(), kept: count, patches, positions };
        out.extend(network.image(&batch).try_into_vec_as::<f32>().expect("embeddings are f32"));
    }
    out
}

/// Unit embeddings of the texts, `texts x projection`.
#[must_use]
pub fn embed_texts(
    config: &ClipConfig,
    parameters: &Parameters,
    vocabulary: &Vocabulary,
    texts: &[impl AsRef<str>],
) -> Vec<f32> {
    let mut out = Vec::new();
    for group in texts.chunks(128) {
        let network = Network::bind(config, parameters, |_| false);
        let ids: Vec<Vec<u32>> = group.iter().map(|t| vocabulary.encode(&t.as_ref().to_lowercase())).collect();
        out.extend(network.text(&TextBatch::new(&ids)).try_into_vec_as::<f32>().expect("embeddings are f32"));
    }
    out
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

/// Measures the model over these products alone. A query is asked if at least ten products answer it in full: with
/// fewer, no model can reach a precision of one.
#[must_use]
pub fn scores(config: &ClipConfig, parameters: &Parameters, vocabulary: &Vocabulary, products: &[&Product]) -> Scores {
    let photos = embed_photos(config, parameters, products);
    let width = config.projection;
    let share = |hits: &[usize], right: &dyn Fn(&Product) -> bool| {
        mean(hits.iter().map(|&at| f32::from(u8::from(right(products[at])))))
    };
    let mut colors: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut genders: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for p in products {
        *colors.entry((&p.facts.color, &p.facts.category)).or_default() += 1;
        *genders.entry((&p.facts.category, &p.facts.gender)).or_default() += 1;
    }
    let asked = |counts: &BTreeMap<(&str, &str), usize>| -> Vec<(String, String)> {
        let often = counts.iter().filter(|(_, n)| **n >= 10);
        often.map(|((a, b), _)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let (colors, genders) = (asked(&colors), asked(&genders));
    let texts: Vec<String> = colors.iter().map(|(color, category)| format!("{color} {category}")).collect();
    let by_color = embed_texts(config, parameters, vocabulary, &texts);
    let texts: Vec<String> = genders.iter().map(|(category, gender)| format!("{category} for {gender}")).collect();
    let by_gender = embed_texts(config, parameters, vocabulary, &texts);
    let color_hits: Vec<Vec<usize>> = by_color.chunks_exact(width).map(|q| best(&photos, q, 10, None)).collect();
    let gender_hits: Vec<Vec<usize>> = by_gender.chunks_exact(width).map(|q| best(&photos, q, 10, None)).collect();
    let titled: Vec<usize> = (0..products.len()).step_by((products.len() / 500).max(1)).collect();
    let titles: Vec<&str> = titled.iter().map(|&at| products[at].facts.title.as_str()).collect();
    let by_title = embed_texts(config, parameters, vocabulary, &titles);
    Scores {
        text_category: mean(colors.iter().zip(&color_hits).map(|((_, c), h)| share(h, &|p| p.facts.category == *c))),
        text_category_color: mean(
            colors
                .iter()
                .zip(&color_hits)
                .map(|((t, c), h)| share(h, &|p| p.facts.category == *c && p.facts.color == *t)),
        ),
        gender_category: mean(
            genders.iter().zip(&gender_hits).map(|((c, _), h)| share(h, &|p| p.facts.category == *c)),
        ),
        gender_both: mean(
            genders
                .iter()
                .zip(&gender_hits)
                .map(|((c, g), h)| share(h, &|p| p.facts.category == *c && p.facts.gender == *g)),
        ),
        image_category: mean(titled.iter().map(|&at| {
            let hits = best(&photos, &photos[at * width..(at + 1) * width], 10, Some(at));
            share(&hits, &|p| p.facts.category == products[at].facts.category)
        })),
        title_recall: mean(titled.iter().zip(by_title.chunks_exact(width)).map(|(&at, q)| {
            let hits = best(&photos, q, 10, None);
            f32::from(u8::from(hits.iter().any(|&h| products[h].facts.title == products[at].facts.title)))
        })),
        color_queries: colors.len(),
        gender_queries: genders.len(),
    }
}
