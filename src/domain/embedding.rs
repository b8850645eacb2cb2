//! Embeddings: what a model makes of words or of a photo.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A finite vector of unit length (Euclidean), cheap to clone.
///
/// NaN, infinities and zero vectors stop at [`Embedding::new`]: a vector index accepts them and
/// then answers nonsense, for that product and for its neighbors.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Arc<[f32]>);

/// Why a vector is not an embedding.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EmbeddingError {
    #[error("the vector has {got} dimensions, the model makes {expected}")]
    Dimensions { expected: usize, got: usize },
    #[error("the vector's value at position {position} is not finite")]
    NotFinite { position: usize },
    #[error("the vector's length is zero")]
    Zero,
}

impl Embedding {
    /// Takes a model's raw output, checks it, and scales it to unit length.
    ///
    /// # Errors
    /// When the length differs from `dimensions`, a value is not finite, or the vector is (nearly)
    /// zero.
    pub fn new(mut values: Vec<f32>, dimensions: usize) -> Result<Self, EmbeddingError> {
        if values.len() != dimensions {
            return Err(EmbeddingError::Dimensions {
                expected: dimensions,
                got: values.len(),
            });
        }
        if let Some(position) = values.iter().position(|v| !v.is_finite()) {
            return Err(EmbeddingError::NotFinite { position });
        }
        // In f64: the squares of large finite f32 values overflow f32.
        let norm = values
            .iter()
            .map(|&v| f64::from(v) * f64::from(v))
            .sum::<f64>()
            .sqrt();
        if norm < 1e-12 {
            return Err(EmbeddingError::Zero);
        }
        // A vector that is already of unit length keeps its bits, so that storing and reading it is
        // exact.
        if (norm - 1.0).abs() > 1e-6 {
            for v in &mut values {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "back to the precision that the index stores"
                )]
                let scaled = (f64::from(*v) / norm) as f32;
                *v = scaled;
            }
        }
        Ok(Self(values.into()))
    }

    /// The direction of the mean of several vectors. The sum has it too, so that nothing is
    /// divided.
    ///
    /// # Errors
    /// When there are no vectors, one is not of `dimensions` values, or their sum is not a vector
    /// that [`Embedding::new`] takes (they cancel out).
    pub fn mean_direction<'a>(
        vectors: impl IntoIterator<Item = &'a [f32]>,
        dimensions: usize,
    ) -> Result<Self, EmbeddingError> {
        let mut sum: Option<Vec<f32>> = None;
        for vector in vectors {
            if vector.len() != dimensions {
                return Err(EmbeddingError::Dimensions {
                    expected: dimensions,
                    got: vector.len(),
                });
            }
            match &mut sum {
                None => sum = Some(vector.to_vec()),
                Some(sum) => {
                    for (total, value) in sum.iter_mut().zip(vector) {
                        *total += value;
                    }
                }
            }
        }
        Self::new(sum.ok_or(EmbeddingError::Zero)?, dimensions)
    }

    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.0.len()
    }

    /// Cosine similarity in [-1, 1]; of unit vectors, the dot product.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f32 {
        debug_assert_eq!(
            self.dimensions(),
            other.dimensions(),
            "embeddings of two models never meet"
        );
        self.0
            .iter()
            .zip(other.0.iter())
            .map(|(a, b)| a * b)
            .sum::<f32>()
            .clamp(-1.0, 1.0)
    }
}

/// Names the exact model that made a vector: the hexadecimal sha256 over the names and hashes of
/// the files that decide what it computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelId(String);

impl ModelId {
    /// `hex` is a lower-case hexadecimal digest; [`crate::model::ModelFolder::id`] makes it.
    #[must_use]
    pub fn new(hex: impl Into<String>) -> Self {
        Self(hex.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_to_unit_length() {
        let e = Embedding::new(vec![3.0, 4.0], 2).expect("valid");
        assert!((e.as_slice()[0] - 0.6).abs() < 1e-7 && (e.as_slice()[1] - 0.8).abs() < 1e-7);
        assert!((e.cosine(&e) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn refuses_what_poisons_an_index() {
        assert_eq!(
            Embedding::new(vec![1.0, f32::NAN], 2),
            Err(EmbeddingError::NotFinite { position: 1 })
        );
        assert_eq!(
            Embedding::new(vec![f32::INFINITY, 0.0], 2),
            Err(EmbeddingError::NotFinite { position: 0 })
        );
        assert_eq!(Embedding::new(vec![0.0, 0.0], 2), Err(EmbeddingError::Zero));
        assert_eq!(
            Embedding::new(vec![1.0], 2),
            Err(EmbeddingError::Dimensions {
                expected: 2,
                got: 1
            })
        );
    }

    #[test]
    fn large_finite_values_do_not_overflow() {
        let e = Embedding::new(vec![f32::MAX, f32::MAX], 2).expect("finite");
        assert!((e.as_slice()[0] - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-6);
    }

    #[test]
    fn the_mean_direction_lies_between() {
        let mean = |vectors: &[&[f32]]| Embedding::mean_direction(vectors.iter().copied(), 2);
        let both = mean(&[&[1.0, 0.0], &[0.0, 1.0]]).expect("valid");
        let between = Embedding::new(vec![1.0, 1.0], 2).expect("valid");
        assert!((both.cosine(&between) - 1.0).abs() < 1e-6);
        assert_eq!(
            mean(&[&[1.0, 0.0], &[-1.0, 0.0]]),
            Err(EmbeddingError::Zero)
        );
        assert_eq!(mean(&[]), Err(EmbeddingError::Zero));
        let short = mean(&[&[1.0, 0.0], &[1.0]]);
        let (expected, got) = (2, 1);
        assert_eq!(short, Err(EmbeddingError::Dimensions { expected, got }));
    }

    #[test]
    fn a_unit_vector_keeps_its_bits() {
        let first = Embedding::new(vec![0.3, 0.5, 0.7], 3).expect("valid");
        let again = Embedding::new(first.as_slice().to_vec(), 3).expect("valid");
        assert_eq!(first, again);
    }
}
