//! Where the vectors of an index are: in this process's memory, with a graph over them, or elsewhere.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::distant;
use super::graph::{self, Filter, Near};
use super::plan::{self, Plan};
use super::vectors::{Density, IndexError, Vector, Vectors};
use crate::domain::{Embedding, ProductKey};

/// In an index with more products than this, those that are meant for their nearness alone are among
/// the nearest that a walk finds; in a smaller one all are looked at.
const LOOKED_AT: u32 = 100_000;

/// The vectors of products, by slot.
#[derive(Clone)]
pub(super) enum VectorIndex {
    Here(graph::Index),
    Distant(distant::index::Index),
}

/// What a merge made: see [`graph::Index::merged`].
pub struct Merged(Option<graph::Merged>);

/// Results from either place.
pub(super) enum Either<A, B> {
    Here(A),
    Distant(B),
}

impl<T, A: Iterator<Item = T>, B: Iterator<Item = T>> Iterator for Either<A, B> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self {
            Self::Here(here) => here.next(),
            Self::Distant(distant) => distant.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Here(here) => here.size_hint(),
            Self::Distant(distant) => distant.size_hint(),
        }
    }
}

/// Vectors of some slots, to be compared with each other.
pub(super) enum Pool<'a> {
    Here(&'a graph::Index),
    Brought(Vectors, HashMap<u32, usize>),
}

impl VectorIndex {
    /// With other vectors in some slots, which are of these products.
    pub fn with<'a>(
        &self,
        keys: &Arc<Vec<ProductKey>>,
        others: impl IntoIterator<Item = (u32, &'a [Vector])>,
    ) -> Result<Self, IndexError> {
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        Ok(match self {
            Self::Here(index) => Self::Here(index.with(count, others)?),
            Self::Distant(index) => Self::Distant(index.with(keys, others)?),
        })
    }

    /// Over the slots of these products.
    pub fn with_keys(self, keys: &Arc<Vec<ProductKey>>) -> Self {
        match self {
            Self::Distant(index) => Self::Distant(index.with_keys(keys)),
            here @ Self::Here(_) => here,
        }
    }

    pub fn merged(&self) -> Result<Merged, IndexError> {
        let merged = match self {
            Self::Here(index) => Some(index.merged()?),
            Self::Distant(_) => None,
        };
        Ok(Merged(merged))
    }

    pub fn with_merged(&self, merged: Merged) -> Self {
        match (self, merged.0) {
            (Self::Here(index), Some(merged)) => Self::Here(index.with_merged(merged)),
            _ => self.clone(),
        }
    }

    pub fn delta(&self) -> u64 {
        match self {
            Self::Here(index) => index.delta(),
            Self::Distant(_) => 0,
        }
    }

    pub fn stale(&self) -> u64 {
        match self {
            Self::Here(index) => index.stale(),
            Self::Distant(_) => 0,
        }
    }

    pub fn density(&self) -> Density {
        match self {
            Self::Here(index) => index.density(),
            Self::Distant(index) => index.density(),
        }
    }

    pub fn vectors(&self) -> u64 {
        match self {
            Self::Here(index) => index.vectors(),
            Self::Distant(index) => index.vectors(),
        }
    }

    pub fn has(&self, slot: u32) -> bool {
        match self {
            Self::Here(index) => index.has(slot),
            Self::Distant(index) => index.has(slot),
        }
    }

    /// Whether a slot has these vectors; of distant ones, as many.
    pub fn holds(&self, slot: u32, vectors: &[Vector]) -> bool {
        match self {
            Self::Here(index) => index.holds(slot, vectors),
            Self::Distant(index) => index.count(slot) == vectors.len(),
        }
    }

    pub fn dimensions(&self) -> usize {
        match self {
            Self::Here(index) => index.dimensions(),
            Self::Distant(index) => index.dimensions(),
        }
    }

    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Here(index) => index.memory_bytes(),
            Self::Distant(index) => index.memory_bytes(),
        }
    }

    /// Writes what takes a file of its own; nothing of distant ones.
    pub fn save(&self, file: &Path) -> Result<(), IndexError> {
        match self {
            Self::Here(index) => index.save(file),
            Self::Distant(_) => Ok(()),
        }
    }

    /// How `matching` candidates of `total` products are found.
    pub fn plan(&self, matching: usize) -> Plan {
        match self {
            Self::Here(index) => plan::plan(index.len(), matching, index.density()),
            Self::Distant(index) => index.plan(matching),
        }
    }

    /// See [`plan::goes_on`].
    pub fn goes_on(&self, seen: u32, passed: u32, matching: usize, density: Density) -> bool {
        match self {
            Self::Here(_) => plan::goes_on(seen, passed, matching, density),
            Self::Distant(index) => index.goes_on(seen, passed, matching),
        }
    }

    /// In an index with more products than this, those that are meant for their nearness alone are
    /// among the nearest that are found; in a smaller one all are looked at.
    pub fn looked_at(&self) -> u32 {
        match self {
            Self::Here(_) => LOOKED_AT,
            Self::Distant(_) => distant::index::LOOKED_AT,
        }
    }

    /// See [`graph::Index::near`].
    pub fn near(
        &self,
        query: &Embedding,
        breadth: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Option<Near>, IndexError> {
        match self {
            Self::Here(index) => index.near(query, breadth, filter),
            Self::Distant(index) => index.near(query, breadth, filter),
        }
    }

    /// See [`graph::Index::scores`].
    pub fn scores<'a>(
        &'a self,
        query: &'a Embedding,
        slots: impl Iterator<Item = u32> + 'a,
    ) -> Result<impl Iterator<Item = (u32, f32)> + 'a, IndexError> {
        Ok(match self {
            Self::Here(index) => Either::Here(index.scores(query, slots)?),
            Self::Distant(index) => Either::Distant(index.scores(query, slots)?.into_iter()),
        })
    }

    /// The same, at least of the best `count` of `slots`.
    pub fn best<'a>(
        &'a self,
        query: &'a Embedding,
        slots: impl Iterator<Item = u32> + 'a,
        count: usize,
    ) -> Result<impl Iterator<Item = (u32, f32)> + 'a, IndexError> {
        Ok(match self {
            Self::Here(index) => Either::Here(index.scores(query, slots)?),
            Self::Distant(index) => Either::Distant(index.best(query, slots, count)?.into_iter()),
        })
    }

    /// These slots are compared with `query` soon: where each question takes its time, it is asked now.
    pub fn prefetch(
        &self,
        query: &Embedding,
        slots: impl FnOnce() -> RoaringBitmap,
    ) -> Result<(), IndexError> {
        match self {
            Self::Here(_) => Ok(()),
            Self::Distant(index) => index.prefetch(query, &slots()),
        }
    }

    /// See [`graph::Index::pictures`].
    pub fn pictures<'a>(
        &'a self,
        query: &'a Embedding,
        slots: impl Iterator<Item = u32> + 'a,
    ) -> Result<impl Iterator<Item = Option<u8>> + 'a, IndexError> {
        Ok(match self {
            Self::Here(index) => Either::Here(index.pictures(query, slots)?),
            Self::Distant(index) => Either::Distant(index.pictures(query, slots)?.into_iter()),
        })
    }

    /// The mean of the cosines; here of these slots, distant of all vectors.
    pub fn mean(&self, query: &Embedding, sample: &[u32]) -> Result<f32, IndexError> {
        let index = match self {
            Self::Here(index) => index,
            Self::Distant(index) => return Ok(index.mean(query)),
        };
        let sample = sample.iter().copied().filter(|slot| index.has(*slot));
        let (mut sum, mut number) = (0.0, 0.0);
        for (_, cosine) in index.scores(query, sample)? {
            sum += cosine;
            number += 1.0;
        }
        Ok(sum / f32::max(number, 1.0))
    }

    /// The first vector of a slot as it is stored.
    pub fn embedding(&self, slot: u32) -> Result<Option<Embedding>, IndexError> {
        match self {
            Self::Here(index) => Ok(index.embedding(slot)),
            Self::Distant(index) => index.embedding(slot),
        }
    }

    /// The vectors of these slots.
    pub fn pool(&self, slots: &[u32]) -> Result<Pool<'_>, IndexError> {
        Ok(match self {
            Self::Here(index) => Pool::Here(index),
            Self::Distant(index) => {
                let (vectors, places) = index.here(slots)?;
                Pool::Brought(vectors, places)
            }
        })
    }
}

impl Pool<'_> {
    /// The first vector of a slot.
    pub fn embedding(&self, slot: u32) -> Option<Embedding> {
        match self {
            Self::Here(index) => index.embedding(slot),
            Self::Brought(vectors, places) => vectors.first(*places.get(&slot)?),
        }
    }

    /// The cosine between a vector and the nearest of each slot.
    pub fn scores(
        &self,
        query: &Embedding,
        slots: impl Iterator<Item = u32>,
    ) -> Result<Vec<f32>, IndexError> {
        match self {
            Self::Here(index) => {
                let scores = index.scores(query, slots)?;
                Ok(scores.map(|(_, cosine)| cosine).collect())
            }
            Self::Brought(vectors, places) => {
                let cosine = |slot: u32| {
                    let place = places.get(&slot);
                    place.map_or(0.0, |place| vectors.cosine(query, *place))
                };
                Ok(slots.map(cosine).collect())
            }
        }
    }
}
