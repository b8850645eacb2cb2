//! What an index holds, and what is looked up in it by slot and by key.

use std::sync::{Arc, OnceLock};

use roaring::RoaringBitmap;

use super::columns::{self, AttributeTable, Columns, Facet};
use super::lexical::{Lexicon, ProductText, ValueWords};
use super::place::{Merged, VectorIndex};
use super::values::{Hit, IndexVersion, SearchError, Update};
use super::vectors::Vector;
use crate::domain::{Attributes, ProductFields, ProductKey, Types};

/// Products, at least, whose cosines say where the mean of an index lies.
const SAMPLE: u32 = 1_024;

/// What an index holds.
pub(super) struct Content {
    pub keys: Vec<ProductKey>,
    pub dead: RoaringBitmap,
    pub index: VectorIndex,
    pub attributes: AttributeTable,
    pub fields: Vec<ProductFields>,
    pub lexicon: Lexicon,
}

/// An index that others share most of: one with changed products has only these for itself.
pub(super) struct Inner {
    pub(super) version: IndexVersion,
    /// Ascending, so that the order of slots is the order of keys.
    pub(super) keys: Arc<Vec<ProductKey>>,
    /// Slots of products that were removed. Nothing else knows these slots.
    pub(super) dead: RoaringBitmap,
    pub(super) index: VectorIndex,
    pub(super) columns: Arc<Columns>,
    pub(super) lexicon: Arc<Lexicon>,
    pub(super) values: ValueWords,
    facets: OnceLock<Arc<Vec<Facet>>>,
    sample: OnceLock<Vec<u32>>,
}

impl Inner {
    /// `types`: see [`Columns::new`].
    pub(super) fn new(version: IndexVersion, content: Content, types: &Types) -> Self {
        let Content {
            keys,
            dead,
            index,
            attributes,
            fields,
            lexicon,
        } = content;
        let keys = Arc::new(keys);
        Self {
            version,
            values: ValueWords::of(&attributes, lexicon.stems()),
            columns: Arc::new(Columns::new(attributes, &fields, dead.clone(), types)),
            dead,
            index: index.with_keys(&keys),
            keys,
            lexicon: Arc::new(lexicon),
            facets: OnceLock::new(),
            sample: OnceLock::new(),
        }
    }

    /// The same after some products changed. `None` when a new product does not come after all
    /// others.
    pub(super) fn with(
        &self,
        updates: &[Update<'_>],
        revision: u64,
    ) -> Result<Option<Self>, SearchError> {
        let mut keys = Arc::clone(&self.keys);
        let mut dead = self.dead.clone();
        let nothing = Attributes::new();
        let mut vectors: Vec<(u32, &[Vector])> = Vec::new();
        let mut values: Vec<(u32, columns::Values<'_>)> = Vec::new();
        let mut texts: Vec<(u32, Option<ProductText<'_>>)> = Vec::new();
        for update in updates {
            match update {
                Update::Is(entry) => {
                    let slot = match keys.binary_search(&entry.key) {
                        Ok(slot) => slot,
                        Err(place) if place == keys.len() => {
                            Arc::make_mut(&mut keys).push(entry.key);
                            place
                        }
                        Err(_) => return Ok(None),
                    };
                    let slot = u32::try_from(slot).unwrap_or(u32::MAX);
                    dead.remove(slot);
                    vectors.push((slot, entry.vectors));
                    let of = columns::Values {
                        attributes: entry.attributes,
                        fields: entry.fields,
                    };
                    values.push((slot, of));
                    texts.push((slot, Some(entry.text)));
                }
                Update::Gone(key) => {
                    let Some(slot) = self.slot(*key) else {
                        continue;
                    };
                    dead.insert(slot);
                    vectors.push((slot, &[]));
                    let of = columns::Values {
                        attributes: &nothing,
                        fields: ProductFields::default(),
                    };
                    values.push((slot, of));
                    texts.push((slot, None));
                }
            }
        }
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        let (columns, changed) = self.columns.with(count, dead.clone(), &values);
        let lexicon = self.lexicon.with(&texts, &changed);
        Ok(Some(Self {
            version: IndexVersion {
                catalog: revision,
                ..self.version.clone()
            },
            dead,
            index: self.index.with(&keys, vectors)?,
            keys,
            values: self.values.with(columns.table(), lexicon.stems(), &changed),
            columns: Arc::new(columns),
            lexicon: Arc::new(lexicon),
            facets: OnceLock::new(),
            sample: OnceLock::new(),
        }))
    }

    /// The same with the delta in the graph.
    pub(super) fn with_merged(&self, merged: Merged) -> Self {
        Self {
            version: self.version.clone(),
            keys: Arc::clone(&self.keys),
            dead: self.dead.clone(),
            index: self.index.with_merged(merged),
            values: self.values.clone(),
            columns: Arc::clone(&self.columns),
            lexicon: Arc::clone(&self.lexicon),
            facets: self.facets.clone(),
            sample: self.sample.clone(),
        }
    }

    /// Made when they are first asked for.
    pub(super) fn facets(&self) -> Arc<Vec<Facet>> {
        let facets = self.facets.get_or_init(|| Arc::new(self.columns.facets()));
        Arc::clone(facets)
    }

    /// Slots whose cosines say where the mean of the index lies. Which products they are depends on these
    /// alone, and not on where removed ones have left a slot: two indexes of one state of a catalog
    /// give the same scores.
    pub(super) fn sample(&self) -> &[u32] {
        self.sample.get_or_init(|| {
            let step = (self.products() / SAMPLE).max(1);
            let slots = (0..self.count()).zip(self.keys.iter());
            let chosen = slots.filter(|(slot, key)| {
                // Keys follow each other: multiplied, they are spread (Knuth, volume 3, 6.4).
                let spread = key.0.wrapping_mul(2_654_435_769) >> 8;
                spread % step == 0 && !self.dead.contains(*slot)
            });
            chosen.map(|(slot, _)| slot).collect()
        })
    }

    pub(super) fn hit(&self, slot: u32, score: f32) -> Hit {
        Hit {
            key: self.keys[slot as usize],
            score,
        }
    }

    /// How many slots there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.keys.len()).unwrap_or(u32::MAX)
    }

    /// How many products there are.
    pub(super) fn products(&self) -> u32 {
        let dead = u32::try_from(self.dead.len()).unwrap_or(u32::MAX);
        self.count().saturating_sub(dead)
    }

    /// The slot of every product.
    pub(super) fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.count());
        all - &self.dead
    }

    /// The slots of the products that the index holds of these.
    pub(super) fn slots_of(&self, keys: &[ProductKey]) -> RoaringBitmap {
        keys.iter().filter_map(|key| self.slot(*key)).collect()
    }

    pub(super) fn slot(&self, key: ProductKey) -> Option<u32> {
        self.keys
            .binary_search(&key)
            .ok()
            .and_then(|slot| u32::try_from(slot).ok())
            .filter(|slot| !self.dead.contains(*slot))
    }
}
