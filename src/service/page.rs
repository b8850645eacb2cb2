//! What a search answers.

use super::generation::ModelName;
use crate::catalog::StoredProduct;
use crate::index::IndexVersion;

/// Products, best first.
#[derive(Clone, Debug)]
pub struct Page {
    pub hits: Vec<Hit>,
    /// How many products match the filters.
    pub total: usize,
    pub model: ModelName,
    pub index: IndexVersion,
}

#[derive(Clone, Debug)]
pub struct Hit {
    /// See [`crate::index::Hit::score`].
    pub score: f32,
    pub product: StoredProduct,
}
