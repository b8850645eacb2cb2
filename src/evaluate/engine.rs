//! Who answers the questions: a model folder with exact search, or a running service.
//!
//! Both get the same questions and give the same kind of answer; everything that is scored is in
//! the answer (ids, attributes, order), so that the same code judges both. The folder keeps its
//! vectors as the service's index does (in bf16): what is measured there is what the service will
//! answer.

use std::collections::HashMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::api::ApiError;
use super::embedder::{Embedder, EmbedderError};
use super::shop::{Offer, Shop, ShopError};
use crate::domain::{
    AttributeName, AttributeValue, Attributes, Embedding, Filters, ProductError, ProductId,
    QueryError,
};
use crate::index::graph::{IndexError, Vectors};
use crate::index::rank;

/// A question.
#[derive(Clone, Debug)]
pub enum Ask<'a> {
    Text(&'a str),
    /// The bytes of a photo's file.
    Photo(&'a Bytes),
}

/// Which products may answer, and how many are wanted.
#[derive(Clone, Copy)]
pub struct Need<'a> {
    pub results: usize,
    /// The product that the photo shows, and any other with the very same photo.
    pub exclude: &'a [ProductId],
    pub filters: &'a [(AttributeName, AttributeValue)],
    /// Products whose id this refuses are passed over, as if the catalogue did not hold them.
    pub among: &'a dyn Fn(&ProductId) -> bool,
}

/// One product of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub id: ProductId,
    pub title: String,
    pub attributes: Attributes,
    /// Cosine similarity.
    pub score: f32,
}

/// Who was examined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The model's name.
    pub model: String,
    /// The model's id (see [`crate::domain::ModelId`]).
    pub model_id: String,
    /// A model folder, or the address of a service.
    pub at: String,
    pub how: How,
    /// How much of a product's vector is made of its words, in percent
    /// ([`crate::index::rank::fuse`]); `None` where no product is searched, or a service does not
    /// say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words_percent: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Exact cosine over all products.
    Folder,
    /// Through the public API.
    Api,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Embedder(#[from] EmbedderError),
    #[error(transparent)]
    Shop(#[from] ShopError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the question cannot be asked: {0}")]
    Query(#[from] QueryError),
    #[error("the answer holds a product that is none: {0}")]
    Product(#[from] ProductError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("no photo of the catalogue could be embedded; the first: {first}")]
    NothingEmbedded { first: String },
}

pub trait Engine {
    fn subject(&self) -> &Subject;
    /// The best products for a question, best first.
    ///
    /// # Errors
    /// When the question cannot be asked or is not answered.
    fn search(&mut self, ask: &Ask<'_>, need: &Need<'_>) -> Result<Vec<Found>, EngineError>;
    /// A product's picture for the report; `None` when there is none to be had.
    fn picture(&mut self, id: &ProductId) -> Option<Bytes>;
    /// Whether a search can find the product, as far as is known: a folder knows whose photo it
    /// could not embed.
    fn finds(&self, id: &ProductId) -> bool {
        let _ = id;
        true
    }
}

/// A model folder: the catalogue's photos embedded, every question compared with all of them.
pub struct FolderEngine {
    embedder: Embedder,
    shop: Shop,
    subject: Subject,
    /// Position in the shop of the products that have an embedding, in the order of `vectors`.
    embedded: Vec<usize>,
    vectors: Vectors,
    by_id: HashMap<ProductId, usize>,
    /// Products whose photo is missing or refused, with the reason.
    pub left_out: Vec<(ProductId, String)>,
}

impl FolderEngine {
    /// Embeds the shop's photos. `words_percent`: mix each photo with the product's own words, as a
    /// service that is set up so does (see [`crate::index::rank::fuse`]); 0: photos alone. `done`
    /// hears how many are finished.
    ///
    /// # Errors
    /// When the encoder ends, or not one photo can be embedded.
    pub fn new(
        mut embedder: Embedder,
        shop: Shop,
        at: &str,
        words_percent: u8,
        done: impl FnMut(usize),
    ) -> Result<Self, EngineError> {
        let photos = embedder.images(shop.offers.iter().map(|offer| shop.photo(offer)), done)?;
        let (mut positions, mut vectors, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for (position, photo) in photos.into_iter().enumerate() {
            let product = &shop.offers[position].product;
            let photo = match photo {
                Ok((_, photo)) => Some(photo),
                Err(reason) => {
                    left_out.push((product.id.clone(), reason));
                    None
                }
            };
            let vector = if words_percent == 0 {
                photo
            } else {
                let words = embedder.text(&crate::catalog::caption::caption(product))?;
                rank::fuse(photo.as_ref(), Some(&words), words_percent)
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
        let subject = Subject {
            model: embedder.encoder().model_name().to_owned(),
            model_id: embedder.encoder().model_id().to_string(),
            at: at.to_owned(),
            how: How::Folder,
            words_percent: Some(words_percent),
        };
        let by_id = shop
            .offers
            .iter()
            .enumerate()
            .map(|(i, o)| (o.product.id.clone(), i))
            .collect();
        Ok(Self {
            embedder,
            shop,
            subject,
            embedded: positions,
            vectors,
            by_id,
            left_out,
        })
    }

    #[must_use]
    pub fn shop(&self) -> &Shop {
        &self.shop
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
            Ask::Text(text) => self
                .embedder
                .text(crate::domain::QueryText::new(text)?.as_str())?,
            Ask::Photo(file) => self.embedder.image(file)?,
        })
    }

    /// Every product with its cosine, best first; of equal ones the one that the catalogue names
    /// first.
    pub fn ranked(&self, query: &Embedding) -> Vec<(&Offer, f32)> {
        let scores: Vec<f32> = (0..self.vectors.len())
            .map(|slot| self.vectors.cosine(query, slot))
            .collect();
        let order = super::metrics::order(&scores);
        order
            .into_iter()
            .map(|i| (&self.shop.offers[self.embedded[i]], scores[i]))
            .collect()
    }
}

/// A photo's answers as a service ranks them ([`crate::index::Searcher::search_photo`]), exactly.
fn lift_by_vote(ranked: &mut [(&Offer, f32)]) {
    let categories = |offer: &Offer| -> Vec<String> {
        let values = offer
            .product
            .attributes
            .iter()
            .filter(|(name, _)| name.as_str() == "category");
        values
            .flat_map(|(_, values)| values.iter().map(AttributeValue::folded))
            .collect()
    };
    let voters = ranked
        .iter()
        .take(rank::VOTERS)
        .map(|(offer, score)| (*score, categories(offer)))
        .collect();
    let shares = rank::shares(voters);
    for (place, (offer, score)) in ranked.iter_mut().enumerate() {
        let own = categories(offer);
        let share = shares
            .iter()
            .find(|(category, _)| own.contains(category))
            .map_or(0.0, |(_, share)| *share);
        *score = rank::lean(*score, if place < rank::LEADING { 1.0 } else { share });
    }
    // Stable: of equals the one that was first.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
}

impl Engine for FolderEngine {
    fn subject(&self) -> &Subject {
        &self.subject
    }

    fn search(&mut self, ask: &Ask<'_>, need: &Need<'_>) -> Result<Vec<Found>, EngineError> {
        let filters = Filters::new(need.filters.iter().cloned())?;
        let query = self.embed(ask)?;
        let mut ranked = self.ranked(&query);
        ranked.retain(|(offer, _)| {
            !need.exclude.contains(&offer.product.id) && filters.matches(&offer.product.attributes)
        });
        if let Ask::Photo(_) = ask {
            lift_by_vote(&mut ranked);
        }
        let best = ranked
            .into_iter()
            .filter(|(offer, _)| (need.among)(&offer.product.id))
            .take(need.results);
        Ok(best
            .map(|(offer, score)| Found {
                id: offer.product.id.clone(),
                title: offer.product.title.clone(),
                attributes: offer.product.attributes.clone(),
                score,
            })
            .collect())
    }

    fn picture(&mut self, id: &ProductId) -> Option<Bytes> {
        self.shop
            .photo(&self.shop.offers[*self.by_id.get(id)?])
            .ok()
    }

    fn finds(&self, id: &ProductId) -> bool {
        self.by_id
            .get(id)
            .is_some_and(|position| self.embedded.binary_search(position).is_ok())
    }
}
