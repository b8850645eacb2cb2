//! What an index holds, and what is looked up in it by slot and by key.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::columns::{AttributeTable, Columns, Facet};
use super::graph::Index;
use super::lexical::{Lexicon, ValueWords};
use super::values::{Hit, IndexVersion};
use crate::domain::{ProductFields, ProductKey, Types};

/// What an index holds.
pub(super) struct Content {
    pub keys: Vec<ProductKey>,
    pub index: Index,
    pub attributes: AttributeTable,
    pub fields: Vec<ProductFields>,
    pub lexicon: Lexicon,
}

/// Behind pointers is what another index may share: one with other prices shares all but those.
pub(super) struct Inner {
    pub(super) version: IndexVersion,
    /// Ascending, so that the order of slots is the order of keys.
    pub(super) keys: Arc<Vec<ProductKey>>,
    pub(super) index: Arc<Index>,
    pub(super) columns: Columns,
    pub(super) lexicon: Arc<Lexicon>,
    pub(super) values: Arc<ValueWords>,
    pub(super) facets: Arc<Vec<Facet>>,
    pub(super) fields: Vec<ProductFields>,
}

impl Inner {
    /// `types`: see [`Columns::new`].
    pub(super) fn new(version: IndexVersion, content: Content, types: &Types) -> Self {
        let Content {
            keys,
            index,
            attributes,
            fields,
            lexicon,
        } = content;
        let values = ValueWords::of(&attributes, lexicon.stems());
        let columns = Columns::new(attributes, &fields, types);
        Self {
            version,
            keys: Arc::new(keys),
            index: Arc::new(index),
            facets: Arc::new(columns.facets()),
            values: Arc::new(values),
            columns,
            lexicon: Arc::new(lexicon),
            fields,
        }
    }

    /// The same with other prices and dates.
    pub(super) fn with_fields(
        &self,
        others: impl IntoIterator<Item = (ProductKey, ProductFields)>,
        revision: u64,
    ) -> Self {
        let mut fields = self.fields.clone();
        for (key, other) in others {
            if let Some(slot) = self.slot(key) {
                fields[slot as usize] = other;
            }
        }
        let columns = self.columns.with_fields(&fields);
        Self {
            version: IndexVersion {
                catalog: revision,
                ..self.version.clone()
            },
            keys: Arc::clone(&self.keys),
            index: Arc::clone(&self.index),
            facets: Arc::new(columns.facets()),
            values: Arc::clone(&self.values),
            columns,
            lexicon: Arc::clone(&self.lexicon),
            fields,
        }
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

    /// Every slot.
    pub(super) fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.count());
        all
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
    }
}
