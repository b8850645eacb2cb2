//! Asks questions of what is measured: a model folder with exact search, or a running service.
//!
//! Both get the same questions and give the same kind of answer. Everything that is scored is in
//! the answer (ids, attributes, order), so that the same code scores both.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::embedder::Embedder;
use super::error::EngineError;
use crate::domain::{AttributeName, AttributeValue, Attributes, ProductId};

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
    /// Products whose id this refuses are passed over, as if the catalog did not hold them.
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

/// What was measured.
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

/// How a subject answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Exact cosine over all products.
    Folder,
    /// Through the public API.
    Api,
}

impl Subject {
    /// A model folder, at the path `at`.
    #[must_use]
    pub fn of_folder(embedder: &Embedder, at: &str, words_percent: Option<u8>) -> Self {
        let encoder = embedder.encoder();
        Self {
            model: encoder.model_name().to_owned(),
            model_id: encoder.model_id().to_string(),
            at: at.to_owned(),
            how: How::Folder,
            words_percent,
        }
    }
}

/// Answers questions.
pub trait Engine {
    fn subject(&self) -> &Subject;
    /// The best products for a question, best first.
    ///
    /// # Errors
    /// When the question cannot be asked or is not answered.
    fn search(&mut self, ask: &Ask<'_>, need: &Need<'_>) -> Result<Vec<Found>, EngineError>;
    /// A product's picture for the report; `None` when it cannot be had.
    fn picture(&mut self, id: &ProductId) -> Option<Bytes>;
    /// Whether a search can find the product, as far as is known: a folder knows which pictures
    /// it could not embed.
    fn finds(&self, id: &ProductId) -> bool {
        let _ = id;
        true
    }
}
