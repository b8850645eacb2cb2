//! What is asked of whoever has the vectors.

use std::error::Error;

use crate::domain::{Embedding, ProductKey};

/// A vector that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    pub key: ProductKey,
    /// The number of the picture that it is of; 0: of the words alone.
    pub picture: u8,
    /// Of the vector and the query.
    pub cosine: f32,
}

/// The products that are compared with a query.
#[derive(Clone, Copy, Debug)]
pub enum Among<'a> {
    These(&'a [ProductKey]),
    AllBut(&'a [ProductKey]),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("the vectors cannot be asked for: {0}")]
pub struct DistantError(pub Box<dyn Error + Send + Sync>);

/// Whoever has the vectors of products. Calls wait for the answer, which may come from another machine:
/// not for async threads. Vectors, products and cosines of one answer are of one state of the set.
pub trait Distant: Send + Sync {
    /// The vectors nearest to the query, the nearest first, `most` of them at most. It is approximate:
    /// some may be missing. Fewer than `most`: there are no more, or it looks no further.
    ///
    /// # Errors
    /// When whoever has them does not answer.
    fn nearest(&self, query: &Embedding, most: usize) -> Result<Vec<Found>, DistantError>;

    /// The nearest vector of each of these products, in no order; one without a vector is left out.
    ///
    /// # Errors
    /// As [`Distant::nearest`].
    fn cosines(&self, query: &Embedding, of: &[ProductKey]) -> Result<Vec<Found>, DistantError>;

    /// The `most` products among these that are nearest, each with the cosine of its nearest vector, best
    /// first; of equally near ones the lower key. Exact.
    ///
    /// # Errors
    /// As [`Distant::nearest`].
    fn best(
        &self,
        query: &Embedding,
        among: Among<'_>,
        most: usize,
    ) -> Result<Vec<(ProductKey, f32)>, DistantError>;

    /// All vectors of these products as they are stored, by product and picture.
    ///
    /// # Errors
    /// As [`Distant::nearest`].
    fn vectors(&self, of: &[ProductKey]) -> Result<Vec<(ProductKey, u8, Embedding)>, DistantError>;

    /// The mean of the cosines of a query and all vectors. Asks nobody.
    fn mean(&self, query: &Embedding) -> f32;
}
