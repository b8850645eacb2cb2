//! What was asked for the queries of late: one search asks for the same products several times over, and
//! so does the one for the next page.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Embedding;

/// Queries that are remembered.
const QUERIES: usize = 32;
/// Products of a query whose cosines are remembered.
const PRODUCTS: usize = 30_000;

/// What is known for one query.
#[derive(Default)]
pub(super) struct Known {
    /// The slots of the nearest vectors, each once, the nearest first. It only ever grows at its end:
    /// what is cut from it at several places joins.
    pub nearest: Vec<u32>,
    /// How many of the nearest vectors were asked for.
    pub asked: usize,
    /// Whether there are no more, or whoever has the vectors looks no further.
    pub exhausted: bool,
    /// The cosine of the nearest vector of a slot, and the picture that it is of. 0 and none: it has no
    /// vector.
    cosines: HashMap<u32, (f32, u8)>,
}

impl Known {
    pub fn cosine(&self, slot: u32) -> Option<(f32, u8)> {
        self.cosines.get(&slot).copied()
    }

    /// Whether so many more can be remembered.
    pub fn has_room(&self, more: usize) -> bool {
        self.cosines.len() + more <= PRODUCTS
    }

    pub fn note(&mut self, slot: u32, cosine: f32, picture: u8) {
        self.cosines.insert(slot, (cosine, picture));
    }

    /// The nearest are these. Those that are known stay in their places.
    pub fn extend_nearest(&mut self, slots: impl Iterator<Item = u32>) {
        let mut before: HashSet<u32> = self.nearest.iter().copied().collect();
        self.nearest
            .extend(slots.filter(|slot| before.insert(*slot)));
    }
}

/// The queries of late.
#[derive(Default)]
pub(super) struct Lately(Mutex<VecDeque<(Embedding, Arc<Mutex<Known>>)>>);

impl Lately {
    /// What is known for a query. Locked by whoever asks more: two searches for the same ask once.
    pub fn of(&self, query: &Embedding) -> Arc<Mutex<Known>> {
        let mut queries = locked(&self.0);
        if let Some(place) = queries.iter().position(|(of, _)| of == query)
            && let Some(found) = queries.remove(place)
        {
            let known = Arc::clone(&found.1);
            queries.push_back(found);
            return known;
        }
        if queries.len() >= QUERIES {
            queries.pop_front();
        }
        let known = Arc::default();
        queries.push_back((query.clone(), Arc::clone(&known)));
        known
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_query_is_forgotten() {
        let lately = Lately::default();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let query = |n: usize| Embedding::new(vec![1.0, n as f32], 2).expect("finite");
        for n in 0..QUERIES {
            locked(&lately.of(&query(n))).exhausted = true;
        }
        assert!(locked(&lately.of(&query(0))).exhausted, "asked again");
        assert!(!locked(&lately.of(&query(QUERIES))).exhausted);
        assert!(locked(&lately.of(&query(0))).exhausted);
        assert!(!locked(&lately.of(&query(1))).exhausted, "forgotten");
    }

    #[test]
    fn what_is_known_of_the_nearest_stays_in_its_place() {
        let mut known = Known::default();
        known.extend_nearest([3, 1, 3, 2].into_iter());
        known.extend_nearest([1, 9, 3, 2, 8].into_iter());
        assert_eq!(known.nearest, [3, 1, 2, 9, 8]);
    }
}
