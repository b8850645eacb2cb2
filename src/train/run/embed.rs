//! Embeddings of photos and words as the server makes them.
//!
//! An [`Embedder`] copies the weights once, however many photos and texts it embeds: those of a
//! ViT-B/32 are 600 MB.

use burn::Tensor;

use crate::domain::Embedding;
use crate::model::preprocessor::{MEAN, STD};
use crate::train::data::attribute::Classes;
use crate::train::data::images::{self, Region};
use crate::train::data::product::Product;
use crate::train::data::vocabulary::Vocabulary;
use crate::train::net::config::NetConfig;
use crate::train::net::input::{ImageBatch, TextBatch};
use crate::train::net::network::Network;
use crate::train::net::parameters::Parameters;

/// Photos that go through the network together.
const PHOTOS: usize = 64;
/// Texts that do.
const TEXTS: usize = 128;

/// A model that is asked and not trained.
pub struct Embedder<'a> {
    config: &'a NetConfig,
    vocabulary: &'a Vocabulary,
    network: Network,
}

impl<'a> Embedder<'a> {
    #[must_use]
    pub fn new(config: &'a NetConfig, parameters: &Parameters, vocabulary: &'a Vocabulary) -> Self {
        Self {
            config,
            vocabulary,
            network: Network::bind(&config.clip, parameters, |_| false),
        }
    }

    /// Length of an embedding.
    #[must_use]
    pub fn projection(&self) -> usize {
        self.config.clip.projection
    }

    /// Unit embeddings of the photos, `products x projection`: the mean of what the model sees.
    #[must_use]
    pub fn photos(&self, products: &[&Product]) -> Vec<f32> {
        let mut all = Vec::with_capacity(products.len() * self.projection());
        for group in products.chunks(PHOTOS) {
            let mut views: Vec<Vec<f32>> = self
                .config
                .views
                .iter()
                .map(|&view| self.view(group, view))
                .collect();
            if views.len() == 1 {
                all.append(&mut views[0]);
                continue;
            }
            for photo in 0..group.len() {
                let row = photo * self.projection()..(photo + 1) * self.projection();
                all.extend(self.mean(views.iter().map(|view| &view[row.clone()])));
            }
        }
        all
    }

    /// Embeddings of the photos as squares of this edge, of which the model sees the middle.
    fn view(&self, products: &[&Product], edge: usize) -> Vec<f32> {
        let vision = &self.config.clip.vision;
        let (seen, kept) = (vision.image_size, vision.patches());
        let size = u32::try_from(seen).unwrap_or(u32::MAX);
        let mut patches = Vec::new();
        for product in products {
            let region = Region::middle(product.square.width(), seen, edge);
            let pixels = images::resample(&product.square, &region, size);
            patches.extend(images::patches(&pixels, seen, vision.patch_size, MEAN, STD));
        }
        #[expect(clippy::cast_possible_truncation, reason = "patches of a small image")]
        let positions = (0..products.len() * kept)
            .map(|at| (at % kept) as u32)
            .collect();
        values(self.network.image(&ImageBatch {
            images: products.len(),
            kept,
            patches,
            positions,
        }))
    }

    /// Unit embeddings of the texts, `texts x projection`.
    #[must_use]
    pub fn texts(&self, texts: &[impl AsRef<str>]) -> Vec<f32> {
        let mut all = Vec::with_capacity(texts.len() * self.projection());
        for group in texts.chunks(TEXTS) {
            let ids: Vec<Vec<u32>> = group
                .iter()
                .map(|text| self.vocabulary.encode(&text.as_ref().to_lowercase()))
                .collect();
            all.extend(values(self.network.text(&TextBatch::new(&ids))));
        }
        all
    }

    /// The unit embedding of each value's words, `values x projection`.
    #[must_use]
    pub fn values(&self, classes: &Classes) -> Vec<f32> {
        let mut all = Vec::with_capacity(classes.values.len() * self.projection());
        for value in &classes.values {
            let rows = self.texts(&classes.attribute.texts(value));
            all.extend(self.mean(rows.chunks_exact(self.projection())));
        }
        all
    }

    /// The direction of unit vectors' mean; of such as have none (a model that diverged) zeros,
    /// which are near to nothing.
    fn mean<'r>(&self, rows: impl Iterator<Item = &'r [f32]>) -> Vec<f32> {
        Embedding::mean_direction(rows, self.projection()).map_or_else(
            |_| vec![0.0; self.projection()],
            |mean| mean.as_slice().to_vec(),
        )
    }
}

fn values(embeddings: Tensor<2>) -> Vec<f32> {
    embeddings
        .try_into_vec_as::<f32>()
        .expect("embeddings are f32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::data::attribute::Attribute;
    use crate::train::data::product::Frame;
    use crate::train::data::{captions, drawn, vocabulary};
    use crate::train::net::network::COPIES;
    use crate::train::run::recipe::Recipe;
    use crate::train::run::validate;

    /// More photos and texts than go through the network together.
    #[test]
    fn a_validation_holds_one_copy_of_the_weights() {
        let tower = ["vision", "text"].map(|t| format!("model.{t}={{ width = 64, layers = 1 }}"));
        let sets = [&tower[..], &["model.image_size=16".to_owned()]].concat();
        let recipe = Recipe::parse("", &sets).expect("a recipe");
        let frame = Frame {
            edge: 16,
            trim: false,
        };
        let mut list = drawn::drawn(1, 2 * PHOTOS as u64 + 2, frame);
        for product in &mut list {
            product.label.clone_from(&product.facts.shoelaces);
        }
        let texts = captions::sample(&list, 1);
        let json = vocabulary::learn(texts.iter().map(String::as_str), 600).expect("learned");
        let vocabulary = Vocabulary::parse(&json, recipe.model.context).expect("parses");
        let config = recipe.config(vocabulary.size());
        let parameters = Parameters::random(&config.clip, 1);
        let classes = Classes {
            attribute: Attribute::laces(),
            values: vec!["black".into(), "none".into(), "white".into()],
        };
        let products: Vec<&Product> = list.iter().collect();
        let before = COPIES.get();
        let embedder = Embedder::new(&config, &parameters, &vocabulary);
        let scores = validate::measure(&embedder, &products, &products, Some(&classes));
        assert!(scores.attribute.is_some(), "{scores:?}");
        assert_eq!(COPIES.get() - before, 1);
    }
}
