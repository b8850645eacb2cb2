//! Whether an index holds what a catalog says, product by product.

use std::collections::BTreeSet;

use roaring::RoaringBitmap;

use super::columns::{AttributeTable, TableBuilder};
use super::inner::Inner;
use super::lexical::{LexiconBuilder, ProductText};
use super::searcher::Searcher;
use super::values::Entry;
use crate::domain::{Attributes, ProductKey};

/// A product of which an index does not hold what the catalog says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub key: ProductKey,
    pub what: &'static str,
}

/// A comparison of an index with the products of a catalog.
pub struct Comparison<'a> {
    inner: &'a Inner,
    attributes: TableBuilder,
    lexicon: LexiconBuilder,
    /// Slots that came so far, those of removed products included.
    slots: u32,
    products: u64,
    found: BTreeSet<Difference>,
}

impl Searcher {
    /// Begins a comparison.
    #[must_use]
    pub fn comparison(&self) -> Comparison<'_> {
        Comparison {
            inner: &self.inner,
            attributes: TableBuilder::default(),
            lexicon: LexiconBuilder::new(self.inner.lexicon.language()),
            slots: 0,
            products: 0,
            found: BTreeSet::new(),
        }
    }
}

impl Comparison<'_> {
    /// Compares a product with what the index holds of it; products come in the order of their keys.
    pub fn add(&mut self, entry: &Entry<'_>) {
        self.products += 1;
        let Some(slot) = self.inner.slot(entry.key) else {
            self.found(entry.key, "it is not in the index");
            return;
        };
        self.pass(slot);
        self.attributes.add(entry.attributes);
        self.lexicon.add(entry.text);
        self.slots = slot + 1;
        if !self.inner.index.holds(slot, entry.vectors) {
            self.found(entry.key, "its vectors are others");
        }
        if self.inner.columns.fields_of(slot) != entry.fields {
            self.found(entry.key, "its prices or dates are others");
        }
    }

    fn found(&mut self, key: ProductKey, what: &'static str) {
        self.found.insert(Difference { key, what });
    }

    /// Goes on to a slot; the products before it are not in the catalog.
    fn pass(&mut self, slot: u32) {
        for gone in self.slots..slot {
            self.attributes.add(&Attributes::new());
            self.lexicon.add(ProductText::default());
            if !self.inner.dead.contains(gone) {
                let key = self.inner.keys[gone as usize];
                self.found(key, "it is not in the catalog");
            }
        }
        self.slots = self.slots.max(slot);
    }

    /// How many products were compared, and which differ, in the order of their keys.
    #[must_use]
    pub fn finish(mut self) -> (u64, Vec<Difference>) {
        self.pass(self.inner.count());
        let attributes = std::mem::take(&mut self.attributes).finish();
        let language = self.inner.lexicon.language();
        let lexicon = std::mem::replace(&mut self.lexicon, LexiconBuilder::new(language));
        let lexicon = lexicon.finish(&attributes);
        let differing = differing(self.inner.columns.table(), &attributes);
        self.found_slots(&differing, "its attributes are others");
        let differing = self.inner.lexicon.differing(&lexicon) - &self.inner.dead;
        self.found_slots(&differing, "its words are others");
        (self.products, self.found.into_iter().collect())
    }

    fn found_slots(&mut self, slots: &RoaringBitmap, what: &'static str) {
        for slot in slots {
            let key = self.inner.keys[slot as usize];
            self.found(key, what);
        }
    }
}

/// The slots that carry in one table what they do not in the other.
fn differing(one: &AttributeTable, other: &AttributeTable) -> RoaringBitmap {
    let mut differing = RoaringBitmap::new();
    let names: BTreeSet<_> = one.names().chain(other.names()).collect();
    for name in names {
        let values: BTreeSet<&str> = one.of(name).chain(other.of(name)).map(|v| v.0).collect();
        for value in values {
            let of = |table: &AttributeTable| table.slots(name, value).cloned();
            differing |= of(one).unwrap_or_default() ^ of(other).unwrap_or_default();
        }
    }
    differing
}
