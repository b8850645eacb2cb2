//! What a search answers.

use super::generation::ModelName;
use crate::catalog::StoredProduct;
use crate::index::{Explanation, FacetCounts, Group, IndexVersion};

/// Products, best first.
#[derive(Clone, Debug)]
pub struct Page {
    pub hits: Vec<Hit>,
    /// How many products, or groups of products, are meant and match the filters.
    pub total: usize,
    /// The words of the query with slips corrected, when there were any.
    pub corrected: Option<String>,
    /// Words of the query that the catalog does not hold and that were not corrected.
    pub unknown: Vec<String>,
    /// Of the attributes that the query has counted.
    pub facets: Vec<FacetCounts>,
    pub model: ModelName,
    pub index: IndexVersion,
}

#[derive(Clone, Debug)]
pub struct Hit {
    /// See [`crate::index::Hit::score`].
    pub score: f32,
    /// The number of its picture that is nearest to the query; see [`crate::index::Hits::pictures`].
    pub picture: Option<u8>,
    /// The products that it stands for, where the query groups them.
    pub group: Option<Group>,
    /// Why it is where it is, where the query asks.
    pub explanation: Option<Explanation>,
    pub product: StoredProduct,
}
