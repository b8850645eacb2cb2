//! A model folder as an [`Engine`]: the pictures of a labeled catalog embedded, every question
//! compared with all of them. The vectors are kept as the service's index keeps them (in bf16):
//! what is measured here is what the service will answer.

use std::collections::HashMap;

use bytes::Bytes;

use super::embedder::Embedder;
use super::engine::{Ask, Engine, Found, Need, Subject};
use super::error::EngineError;
use crate::catalog::caption::Caption;
use crate::domain::{AttributeValue, Embedding, Filters, KnownAttributes, ProductId, QueryText};
use crate::evaluate::data::labeled_catalog::{LabeledCatalog, LabeledProduct};
use crate::evaluate::stats::metrics;
use crate::index::rank;
use crate::index::vectors::Vectors;

pub struct FolderEngine {
    embedder: Embedder,
    catalog: LabeledCatalog,
    subject: Subject,
    /// Position in the catalog of the products that have an embedding, in the order of `vectors`.
    embedded: Vec<usize>,
    vectors: Vectors,
    by_id: HashMap<ProductId, usize>,
    /// Products whose picture is missing or refused, with the reason.
    pub left_out: Vec<(ProductId, String)>,
}

impl FolderEngine {
    /// Embeds the catalog's pictures. `words_percent`: mix each picture with the product's own
    /// words, as a service that is set up so does (see [`rank::fuse`]); 0: pictures alone. `done`
    /// is called with the number that is finished.
    ///
    /// # Errors
    /// When the encoder ends, or not one picture can be embedded.
    pub fn new(
        mut embedder: Embedder,
        catalog: LabeledCatalog,
        at: &str,
        words_percent: u8,
        done: impl FnMut(usize),
    ) -> Result<Self, EngineError> {
        let files = catalog.products.iter().map(|p| catalog.picture(p));
        let pictures = embedder.images(files, done)?;
        let (mut positions, mut vectors, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for (position, picture) in pictures.into_iter().enumerate() {
            let product = &catalog.products[position].product;
            let picture = match picture {
                Ok((_, picture)) => Some(picture),
                Err(reason) => {
                    left_out.push((product.id.clone(), reason));
                    None
                }
            };
            let vector = if words_percent == 0 {
                picture
            } else {
                let caption = Caption::of(product);
                let (words, _) = caption.words(|text| embedder.encoder().reads_whole(text));
                let words = embedder.text(words)?;
                rank::fuse(picture.as_ref(), Some(&words), words_percent)
            };
            if let Some(vector) = vector {
                positions.push(position);
                vectors.push(vector);
            }
        }
        if vectors.is_empty() {
            let first = left_out
                .first()
                .map(|(id, reason)| format!("{id}: {reason}"))
                .unwrap_or_default();
            return Err(EngineError::NothingEmbedded { first });
        }
        let vectors = Vectors::of(embedder.encoder().dimensions(), &vectors)?;
        let subject = Subject::of_folder(&embedder, at, Some(words_percent));
        let by_id = catalog
            .bare()
            .enumerate()
            .map(|(position, product)| (product.id.clone(), position))
            .collect();
        Ok(Self {
            embedder,
            catalog,
            subject,
            embedded: positions,
            vectors,
            by_id,
            left_out,
        })
    }

    #[must_use]
    pub fn catalog(&self) -> &LabeledCatalog {
        &self.catalog
    }

    pub fn embedder(&mut self) -> &mut Embedder {
        &mut self.embedder
    }

    /// Gives the model back, with the embeddings that it made.
    #[must_use]
    pub fn into_embedder(self) -> Embedder {
        self.embedder
    }

    /// Products that can be found.
    #[must_use]
    pub fn len(&self) -> usize {
        self.embedded.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.embedded.is_empty()
    }

    /// # Errors
    /// When the model makes no embedding of the question.
    pub fn embed(&mut self, ask: &Ask<'_>) -> Result<Embedding, EngineError> {
        Ok(match ask {
            Ask::Text(text) => self.embedder.text(QueryText::new(text)?.as_str())?,
            Ask::Photo(file) => self.embedder.image(file)?,
        })
    }

    /// Every product with its cosine, best first; of equal ones the one that the catalog names
    /// first.
    pub fn ranked(&self, query: &Embedding) -> Vec<(&LabeledProduct, f32)> {
        let scores: Vec<f32> = (0..self.vectors.len())
            .map(|slot| self.vectors.cosine(query, slot))
            .collect();
        metrics::order(&scores)
            .into_iter()
            .map(|i| (&self.catalog.products[self.embedded[i]], scores[i]))
            .collect()
    }
}

/// Counts the vote of a photo's nearest products in, as a service does
/// ([`crate::index::Searcher::search_photo`]), exactly.
fn count_votes(ranked: &mut [(&LabeledProduct, f32)]) {
    let with_categories: Vec<(f32, Vec<String>)> = ranked
        .iter()
        .map(|(labeled, cosine)| (*cosine, categories(labeled)))
        .collect();
    let scores = rank::voted(&with_categories);
    for ((_, score), voted) in ranked.iter_mut().zip(scores) {
        *score = voted;
    }
    // Stable: of equals the one that was first.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
}

fn categories(labeled: &LabeledProduct) -> Vec<String> {
    let category = KnownAttributes::default().category;
    let attributes = labeled.product.attributes.iter();
    attributes
        .filter(|(name, _)| **name == category)
        .flat_map(|(_, values)| values.iter().map(AttributeValue::folded))
        .collect()
}

impl Engine for FolderEngine {
    fn subject(&self) -> &Subject {
        &self.subject
    }

    fn search(&mut self, ask: &Ask<'_>, need: &Need<'_>) -> Result<Vec<Found>, EngineError> {
        let filters = Filters::new(need.filters.iter().cloned())?;
        let query = self.embed(ask)?;
        let mut ranked = self.ranked(&query);
        ranked.retain(|(LabeledProduct { product, .. }, _)| {
            !need.exclude.contains(&product.id) && filters.matches(product)
        });
        if let Ask::Photo(_) = ask {
            count_votes(&mut ranked);
        }
        let best = ranked
            .into_iter()
            .filter(|(labeled, _)| (need.among)(&labeled.product.id))
            .take(need.results);
        Ok(best
            .map(|(LabeledProduct { product, .. }, score)| Found {
                id: product.id.clone(),
                title: product.title.clone(),
                attributes: product.attributes.clone(),
                score,
            })
            .collect())
    }

    fn picture(&mut self, id: &ProductId) -> Option<Bytes> {
        let labeled = &self.catalog.products[*self.by_id.get(id)?];
        self.catalog.picture(labeled).ok()
    }

    fn finds(&self, id: &ProductId) -> bool {
        self.by_id
            .get(id)
            .is_some_and(|position| self.embedded.binary_search(position).is_ok())
    }
}
