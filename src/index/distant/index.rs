//! An index whose vectors are elsewhere.
//!
//! Where few products match, their cosines are asked for: that is exact. Where many do, the nearest are
//! asked for, more of them each time, until enough of them match or that costs more than the cosines of
//! all that do. A question costs its way to the server and back: what is to be compared is asked for at
//! once ([`Index::prefetch`]), and an answer is remembered for as long as this index lives.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard};

use roaring::RoaringBitmap;

use super::counts::{Counts, DIGITS};
use super::known::{Known, Lately, locked};
use super::port::{Among, Distant};
use crate::domain::{Embedding, ProductKey};
use crate::index::graph::{Filter, Near};
use crate::index::plan::{Plan, goes_on_where, plan_where};
use crate::index::vectors::{Density, IndexError, Vector, Vectors, check};

/// How many cosines of products cost as much as the nearest few without a filter (measured, see
/// docs/scaling.md).
const WALK: u64 = 2_000;
/// In an index with more products than this, those that are meant for their nearness alone are among
/// the nearest; in a smaller one all are looked at.
pub(in crate::index) const LOOKED_AT: u32 = 10_000;
/// Products whose cosines one question asks for.
const ASKED: usize = 20_000;
/// Of more products than this the best alone come back.
const ALL_BACK: usize = 4_000;
/// Products whose cosines are asked for before it is known that they are needed.
const PREFETCHED: u64 = 10_000;
/// Vectors among the nearest that are looked through for what matches.
const MOST_NEAREST: usize = 8_192;
/// So many times as many of the nearest are asked for next.
const GROWTH: usize = 4;
/// The best so many more are asked for than are wanted: of some this index does not know.
const SLACK: usize = 32;

/// Which slots have vectors, and who has these. Clones share what is known of the queries of late.
#[derive(Clone)]
pub struct Index {
    distant: Arc<dyn Distant>,
    dimensions: usize,
    /// The product of each slot, ascending.
    keys: Arc<Vec<ProductKey>>,
    counts: Counts,
    lately: Arc<Lately>,
}

impl Index {
    /// Over no slot.
    #[must_use]
    pub fn new(distant: Arc<dyn Distant>, dimensions: usize) -> Self {
        Self {
            distant,
            dimensions,
            keys: Arc::default(),
            counts: Counts::default(),
            lately: Arc::default(),
        }
    }

    /// With as many vectors as were saved.
    pub(in crate::index) fn restored(mut self, digits: [RoaringBitmap; DIGITS]) -> Self {
        self.counts = Counts::restored(digits);
        self
    }

    pub(in crate::index) fn digits(&self) -> &[RoaringBitmap; DIGITS] {
        self.counts.digits()
    }

    /// Over the slots of these products.
    #[must_use]
    pub fn with_keys(mut self, keys: &Arc<Vec<ProductKey>>) -> Self {
        self.keys = Arc::clone(keys);
        self
    }

    /// Notes how many vectors a slot has.
    pub fn set(&mut self, slot: u32, vectors: &[Vector]) -> Result<(), IndexError> {
        let expected = self.dimensions;
        for vector in vectors {
            check(&vector.embedding, self.dimensions)?;
        }
        let count = u8::try_from(vectors.len());
        let count = count.map_err(|_| IndexError::Dimensions {
            expected,
            got: vectors.len(),
        })?;
        self.counts.set(slot, count);
        Ok(())
    }

    /// With other vectors in some slots. What was known of queries is not, of this one.
    pub fn with<'a>(
        &self,
        keys: &Arc<Vec<ProductKey>>,
        others: impl IntoIterator<Item = (u32, &'a [Vector])>,
    ) -> Result<Self, IndexError> {
        let mut next = self.clone().with_keys(keys);
        next.lately = Arc::default();
        for (slot, vectors) in others {
            next.set(slot, vectors)?;
        }
        Ok(next)
    }

    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    #[must_use]
    pub fn has(&self, slot: u32) -> bool {
        self.counts.has(slot)
    }

    /// How many vectors a slot has.
    #[must_use]
    pub fn count(&self, slot: u32) -> usize {
        usize::from(self.counts.of(slot))
    }

    #[must_use]
    pub fn vectors(&self) -> u64 {
        self.counts.vectors()
    }

    #[must_use]
    pub fn density(&self) -> Density {
        self.counts.density()
    }

    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.counts.memory_bytes()
    }

    pub(in crate::index) fn plan(&self, matching: usize) -> Plan {
        plan_where(WALK, self.keys.len(), matching, self.density())
    }

    pub(in crate::index) fn goes_on(&self, seen: u32, passed: u32, matching: usize) -> bool {
        goes_on_where(WALK, (seen, passed), matching, self.density())
    }

    #[must_use]
    pub fn mean(&self, query: &Embedding) -> f32 {
        self.distant.mean(query)
    }

    /// The slot of a product that has a vector here.
    fn slot(&self, key: ProductKey) -> Option<u32> {
        let slot = self.keys.binary_search(&key).ok()?;
        let slot = u32::try_from(slot).ok()?;
        self.has(slot).then_some(slot)
    }

    fn key(&self, slot: u32) -> ProductKey {
        self.keys[slot as usize]
    }

    /// Slots near to `query` that the filter lets pass: as
    /// [`graph::Index::near`](crate::index::graph::Index::near).
    pub fn near(
        &self,
        query: &Embedding,
        breadth: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Option<Near>, IndexError> {
        check(query, self.dimensions)?;
        if self.keys.is_empty() || breadth == 0 {
            return Ok(Some(Near::default()));
        }
        let known = self.lately.of(query);
        let mut known = locked(&known);
        let factor = usize::try_from(self.density().walked()).unwrap_or(1);
        let mut most = breadth.saturating_mul(factor);
        loop {
            self.know_nearest(&mut known, query, most)?;
            let (mut slots, mut seen) = (Vec::new(), 0);
            // No more than was asked for, though more may be known: the answer does not depend on that.
            for slot in known.nearest.iter().take(most) {
                if slots.len() >= breadth {
                    break;
                }
                seen += 1;
                if filter.is_none_or(|filter| (filter.allow)(*slot)) {
                    slots.push(*slot);
                }
            }
            let full = slots.len() >= breadth;
            let exhausted = known.exhausted && known.nearest.len() <= most;
            if full || exhausted || most >= MOST_NEAREST {
                return Ok(Some(Near {
                    walked: slots.len(),
                    slots,
                    full,
                }));
            }
            let passed = u32::try_from(slots.len()).unwrap_or(u32::MAX);
            let goes_on = filter.is_none_or(|filter| (filter.go_on)(seen, passed));
            if !goes_on {
                return Ok(None);
            }
            most = most.saturating_mul(GROWTH).min(MOST_NEAREST);
        }
    }

    fn know_nearest(
        &self,
        known: &mut MutexGuard<'_, Known>,
        query: &Embedding,
        most: usize,
    ) -> Result<(), IndexError> {
        if known.exhausted || known.asked >= most {
            return Ok(());
        }
        let found = self.distant.nearest(query, most)?;
        known.asked = most;
        known.exhausted = found.len() < most;
        // Of a product with several vectors another may be nearer.
        let Density { products, vectors } = self.density();
        let one = products == vectors;
        let slots: Vec<u32> = found
            .iter()
            .filter_map(|found| {
                let slot = self.slot(found.key)?;
                if one && known.cosine(slot).is_none() && known.has_room(1) {
                    known.note(slot, found.cosine, found.picture);
                }
                Some(slot)
            })
            .collect();
        known.extend_nearest(slots.into_iter());
        Ok(())
    }

    /// The cosine between `query` and the nearest vector of each of `slots`, with its picture, in their
    /// order; 0 where there is none.
    fn nearest_of(
        &self,
        query: &Embedding,
        slots: &[u32],
    ) -> Result<Vec<(u32, f32, u8)>, IndexError> {
        check(query, self.dimensions)?;
        let known = self.lately.of(query);
        let mut known = locked(&known);
        let unknown = slots.iter().copied();
        let unknown = unknown.filter(|slot| self.has(*slot) && known.cosine(*slot).is_none());
        let unknown: Vec<u32> = unknown.collect();
        let mut others: HashMap<u32, (f32, u8)> = HashMap::new();
        for slots in unknown.chunks(ASKED) {
            let keys: Vec<ProductKey> = slots.iter().map(|slot| self.key(*slot)).collect();
            let found = self.distant.cosines(query, &keys)?;
            let remember = known.has_room(slots.len());
            let mut note = |slot: u32, cosine: f32, picture: u8| {
                if remember {
                    known.note(slot, cosine, picture);
                } else {
                    others.insert(slot, (cosine, picture));
                }
            };
            let mut met = HashSet::with_capacity(found.len());
            for found in found {
                if let Some(slot) = self.slot(found.key) {
                    met.insert(slot);
                    note(slot, found.cosine, found.picture);
                }
            }
            // Their vectors are gone there.
            for slot in slots.iter().filter(|slot| !met.contains(slot)) {
                note(*slot, 0.0, 0);
            }
        }
        let of = |slot: u32| {
            let cosine = known.cosine(slot).or_else(|| others.get(&slot).copied());
            let (cosine, picture) = cosine.unwrap_or_default();
            (slot, cosine, picture)
        };
        Ok(slots.iter().map(|slot| of(*slot)).collect())
    }

    /// As [`graph::Index::scores`](crate::index::graph::Index::scores).
    pub fn scores(
        &self,
        query: &Embedding,
        slots: impl Iterator<Item = u32>,
    ) -> Result<Vec<(u32, f32)>, IndexError> {
        let slots: Vec<u32> = slots.collect();
        let found = self.nearest_of(query, &slots)?.into_iter();
        Ok(found.map(|(slot, cosine, _)| (slot, cosine)).collect())
    }

    /// As [`graph::Index::pictures`](crate::index::graph::Index::pictures).
    pub fn pictures(
        &self,
        query: &Embedding,
        slots: impl Iterator<Item = u32>,
    ) -> Result<Vec<Option<u8>>, IndexError> {
        let slots: Vec<u32> = slots.collect();
        let found = self.nearest_of(query, &slots)?.into_iter();
        let picture = |(_, _, picture)| Some(picture).filter(|picture| *picture > 0);
        Ok(found.map(picture).collect())
    }

    /// Scores of some of `slots`: the best `count` are among them.
    pub fn best(
        &self,
        query: &Embedding,
        slots: impl Iterator<Item = u32>,
        count: usize,
    ) -> Result<Vec<(u32, f32)>, IndexError> {
        check(query, self.dimensions)?;
        let slots: Vec<u32> = slots.collect();
        if slots.len() <= ALL_BACK {
            return self.scores(query, slots.into_iter());
        }
        let (with, without): (Vec<u32>, Vec<u32>) = slots.iter().partition(|slot| self.has(**slot));
        let with: RoaringBitmap = with.into_iter().collect();
        let all = self.counts.any();
        let wanted = count + SLACK;
        let keys = |slots: &RoaringBitmap| -> Vec<ProductKey> {
            slots.iter().map(|slot| self.key(slot)).collect()
        };
        let found = if with.len() * 2 > all.len() {
            let others = keys(&(all - &with));
            self.distant.best(query, Among::AllBut(&others), wanted)?
        } else {
            self.distant
                .best(query, Among::These(&keys(&with)), wanted)?
        };
        let found = found.into_iter().filter_map(|(key, cosine)| {
            let slot = self.slot(key).filter(|slot| with.contains(*slot))?;
            Some((slot, cosine))
        });
        let mut best: Vec<(u32, f32)> = found.collect();
        let expected = usize::try_from(with.len()).unwrap_or(usize::MAX);
        if best.len() < count.min(expected) {
            // The set is of a later state than this index.
            return self.scores(query, slots.into_iter());
        }
        best.extend(without.into_iter().take(count).map(|slot| (slot, 0.0)));
        Ok(best)
    }

    /// Asks for the cosines of these slots at once, when they are not too many.
    pub fn prefetch(&self, query: &Embedding, slots: &RoaringBitmap) -> Result<(), IndexError> {
        if slots.len() > PREFETCHED {
            return Ok(());
        }
        let slots: Vec<u32> = slots.iter().collect();
        self.nearest_of(query, &slots).map(|_| ())
    }

    /// The first vector of a slot.
    pub fn embedding(&self, slot: u32) -> Result<Option<Embedding>, IndexError> {
        if !self.has(slot) {
            return Ok(None);
        }
        let vectors = self.distant.vectors(&[self.key(slot)])?;
        Ok(vectors.into_iter().next().map(|(.., first)| first))
    }

    /// The vectors of some slots, here: the place of each slot among them.
    pub fn here(&self, slots: &[u32]) -> Result<(Vectors, HashMap<u32, usize>), IndexError> {
        let keys: Vec<ProductKey> = slots.iter().map(|slot| self.key(*slot)).collect();
        let mut of: HashMap<ProductKey, Vec<Vector>> = HashMap::new();
        for (key, picture, embedding) in self.distant.vectors(&keys)? {
            let vectors = of.entry(key).or_default();
            vectors.push(Vector { picture, embedding });
        }
        let mut vectors = Vectors::new(self.dimensions);
        let mut places = HashMap::new();
        for (place, (slot, key)) in slots.iter().zip(keys).enumerate() {
            vectors.push(&of.remove(&key).unwrap_or_default())?;
            places.insert(*slot, place);
        }
        Ok((vectors, places))
    }
}
