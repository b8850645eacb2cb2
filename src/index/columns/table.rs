//! Which products carry which value of which attribute.
//!
//! Every value of every attribute has a bitmap of the slots that carry it. A filter is answered by OR
//! within an attribute and AND across attributes, so the set of products that match is known before
//! the search: the search never guesses how many there are, and never finds fewer than it should
//! because others were in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::domain::{AttributeName, Attributes};

/// Which slots carry which value of which attribute. Clones share what does not change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttributeTable(pub(in crate::index) BTreeMap<AttributeName, Arc<Values>>);

/// The values of an attribute as they are compared (see
/// [`AttributeValue::folded`](crate::domain::AttributeValue::folded)), with the products of each.
pub(in crate::index) type Values = BTreeMap<String, Arc<Carriers>>;

/// The products that carry a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::index) struct Carriers {
    slots: RoaringBitmap,
    /// Each way to write the value with the products that do, in order. Where there is one way, its
    /// products are `slots` and not written down twice.
    spellings: Vec<(String, RoaringBitmap)>,
}

impl Carriers {
    fn of(spellings: BTreeMap<String, RoaringBitmap>) -> Self {
        let mut slots = RoaringBitmap::new();
        let mut spellings: Vec<_> = spellings.into_iter().collect();
        spellings.retain(|(_, of)| !of.is_empty());
        for (_, of) in &spellings {
            slots |= of;
        }
        if let [(_, only)] = &mut spellings[..] {
            *only = RoaringBitmap::new();
        }
        Self { slots, spellings }
    }

    /// From what was saved: `None` when the spellings do not make up the slots.
    pub(in crate::index) fn restored(
        slots: RoaringBitmap,
        spellings: Vec<(String, RoaringBitmap)>,
    ) -> Option<Self> {
        let good = match &spellings[..] {
            [] => false,
            [(_, only)] => only.is_empty(),
            several => {
                several
                    .iter()
                    .fold(RoaringBitmap::new(), |all, (_, of)| all | of)
                    == slots
            }
        };
        (good && !slots.is_empty()).then_some(Self { slots, spellings })
    }

    /// How the shop most often writes the value; of two ways equally frequent, the one that sorts
    /// first.
    pub(in crate::index) fn spelling(&self) -> &str {
        // `max_by_key` takes the last of equals: reversed, that is the one that sorts first.
        let usual = self.spellings.iter().rev().max_by_key(|(_, of)| of.len());
        usual.map_or("", |(spelling, _)| spelling.as_str())
    }

    pub(in crate::index) fn slots(&self) -> &RoaringBitmap {
        &self.slots
    }

    pub(in crate::index) fn spellings(&self) -> &[(String, RoaringBitmap)] {
        &self.spellings
    }

    /// Each spelling with its products.
    fn each(&self) -> BTreeMap<String, RoaringBitmap> {
        if let [(only, _)] = &self.spellings[..] {
            return BTreeMap::from([(only.clone(), self.slots.clone())]);
        }
        self.spellings.iter().cloned().collect()
    }

    /// What the products of `touched` carry of this value, each with its spelling.
    fn among(&self, touched: &RoaringBitmap) -> BTreeMap<&str, RoaringBitmap> {
        let mut among = BTreeMap::new();
        if self.slots.is_disjoint(touched) {
            return among;
        }
        for (spelling, of) in &self.spellings {
            let of = if self.spellings.len() == 1 {
                &self.slots
            } else {
                of
            };
            let of = of & touched;
            if !of.is_empty() {
                among.insert(spelling.as_str(), of);
            }
        }
        among
    }
}

/// Products by attribute, value and spelling.
type Found = BTreeMap<AttributeName, BTreeMap<String, BTreeMap<String, RoaringBitmap>>>;

fn add(found: &mut Found, slot: u32, attributes: &Attributes) {
    for (name, values) in attributes {
        if !found.contains_key(name) {
            found.insert(name.clone(), BTreeMap::new());
        }
        let Some(of_name) = found.get_mut(name) else {
            continue;
        };
        for value in values {
            let of_value = of_name.entry(value.folded()).or_default();
            if let Some(slots) = of_value.get_mut(value.as_str()) {
                slots.insert(slot);
            } else {
                of_value.insert(value.to_string(), RoaringBitmap::from([slot]));
            }
        }
    }
}

/// Gathers an [`AttributeTable`].
#[derive(Default)]
pub struct TableBuilder {
    found: Found,
    slots: u32,
}

impl TableBuilder {
    /// Adds the product of the next slot.
    pub fn add(&mut self, attributes: &Attributes) {
        add(&mut self.found, self.slots, attributes);
        self.slots += 1;
    }

    #[must_use]
    pub fn finish(self) -> AttributeTable {
        let table = self.found.into_iter().map(|(name, values)| {
            let values = values
                .into_iter()
                .map(|(value, spellings)| (value, Arc::new(Carriers::of(spellings))));
            (name, Arc::new(values.collect()))
        });
        AttributeTable(table.collect())
    }
}

/// A value whose products changed: which attribute, the value, how many products had it and have it.
pub(in crate::index) struct ChangedValue {
    pub name: AttributeName,
    pub folded: String,
    pub before: u64,
    pub after: u64,
}

impl AttributeTable {
    /// With other attributes of some products: all that each of them has. And which values changed.
    pub(in crate::index) fn with<'a>(
        &self,
        others: impl IntoIterator<Item = (u32, &'a Attributes)>,
    ) -> (Self, Vec<ChangedValue>) {
        let (mut touched, mut wanted) = (RoaringBitmap::new(), Found::new());
        for (slot, attributes) in others {
            touched.insert(slot);
            add(&mut wanted, slot, attributes);
        }
        let mut next = self.clone();
        let mut changed = Vec::new();
        let names: BTreeSet<AttributeName> = self.0.keys().chain(wanted.keys()).cloned().collect();
        for name in names {
            let of_name = next.0.entry(name.clone()).or_default();
            let mut new: BTreeMap<String, Carriers> = BTreeMap::new();
            let mut wanted = wanted.remove(&name).unwrap_or_default();
            for (folded, carriers) in &**of_name {
                let has = carriers.among(&touched);
                let wants = wanted.remove(folded).unwrap_or_default();
                let same = has.len() == wants.len()
                    && has
                        .iter()
                        .zip(&wants)
                        .all(|((a, x), (b, y))| *a == b && x == y);
                if !same {
                    let mut spellings = carriers.each();
                    for of in spellings.values_mut() {
                        *of -= &touched;
                    }
                    for (spelling, of) in wants {
                        *spellings.entry(spelling).or_default() |= of;
                    }
                    new.insert(folded.clone(), Carriers::of(spellings));
                }
            }
            let added = wanted.into_iter();
            new.extend(added.map(|(folded, of)| (folded, Carriers::of(of))));
            if !new.is_empty() {
                let values = Arc::make_mut(of_name);
                for (folded, carriers) in new {
                    let after = carriers.slots.len();
                    let old = if after == 0 {
                        values.remove(&folded)
                    } else {
                        values.insert(folded.clone(), Arc::new(carriers))
                    };
                    changed.push(ChangedValue {
                        name: name.clone(),
                        folded,
                        before: old.map_or(0, |old| old.slots.len()),
                        after,
                    });
                }
            }
            if of_name.is_empty() {
                next.0.remove(&name);
            }
        }
        (next, changed)
    }

    #[cfg(test)]
    pub(in crate::index) fn build<'a>(products: impl Iterator<Item = &'a Attributes>) -> Self {
        let mut builder = TableBuilder::default();
        products.for_each(|attributes| builder.add(attributes));
        builder.finish()
    }

    /// Whether any product has a value of the attribute.
    #[must_use]
    pub fn has(&self, name: &AttributeName) -> bool {
        self.0.contains_key(name)
    }

    /// The values of one attribute as the shop most often writes them, in the order in which they
    /// are compared, with the slots that carry them.
    pub fn spelled(&self, name: &AttributeName) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        let values = self.0.get(name).into_iter().flat_map(|of| of.values());
        values.map(|carriers| (carriers.spelling(), &carriers.slots))
    }

    /// The attributes.
    pub fn names(&self) -> impl Iterator<Item = &AttributeName> {
        self.0.keys()
    }

    /// Each value of each attribute as it is compared.
    pub fn folded(&self) -> impl Iterator<Item = (&AttributeName, &str)> {
        self.0
            .iter()
            .flat_map(|(name, values)| values.keys().map(move |folded| (name, folded.as_str())))
    }

    /// Each value as it is compared, with the slots that carry it.
    pub fn values(&self) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        let values = self.0.values().flat_map(|of| of.iter());
        values.map(|(folded, carriers)| (folded.as_str(), &carriers.slots))
    }

    /// The values of one attribute as they are compared, with the slots that carry them.
    pub fn of(&self, name: &AttributeName) -> impl Iterator<Item = (&str, &RoaringBitmap)> + Clone {
        let values = self.0.get(name).into_iter().flat_map(|of| of.iter());
        values.map(|(folded, carriers)| (folded.as_str(), &carriers.slots))
    }

    /// The slots that carry a value, given as it is compared.
    #[must_use]
    pub fn slots(&self, name: &AttributeName, folded: &str) -> Option<&RoaringBitmap> {
        self.carriers_of(name, folded).map(|(_, slots)| slots)
    }

    /// The same, and how the shop most often writes the value.
    #[must_use]
    pub fn carriers_of(
        &self,
        name: &AttributeName,
        folded: &str,
    ) -> Option<(&str, &RoaringBitmap)> {
        let carriers = self.0.get(name)?.get(folded)?;
        Some((carriers.spelling(), &carriers.slots))
    }

    /// The slots that carry each of an attribute's values, in the order of the values; none of an
    /// unknown attribute.
    pub(in crate::index) fn carriers(
        &self,
        name: &AttributeName,
    ) -> impl Iterator<Item = &RoaringBitmap> {
        let values = self.0.get(name).into_iter();
        values.flat_map(|values| values.values().map(|carriers| &carriers.slots))
    }

    /// Each attribute with its values as the shop writes them and the number of products that carry
    /// each; the most frequent value first, of equals the one that sorts first.
    #[must_use]
    pub fn facets(&self) -> Vec<(AttributeName, Vec<(String, u64)>)> {
        let facet = |(name, values): (&AttributeName, &Arc<Values>)| {
            let mut values: Vec<_> = values
                .values()
                .map(|c| (c.spelling().to_owned(), c.slots.len()))
                .collect();
            values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            (name.clone(), values)
        };
        self.0.iter().map(facet).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AttributeValue;

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        let mut all = Attributes::new();
        for (name, value) in pairs {
            let name = AttributeName::new(name).expect("a name");
            all.entry(name)
                .or_default()
                .push(AttributeValue::new(value).expect("a value"));
        }
        all
    }

    fn table() -> AttributeTable {
        let products = [
            attributes(&[("color", "Black"), ("gender", "Men")]),
            attributes(&[("color", "BLACK"), ("gender", "Women")]),
            attributes(&[("color", "Black"), ("color", "White"), ("gender", "Men")]),
            attributes(&[("color", "white"), ("color", "White")]),
            attributes(&[]),
        ];
        AttributeTable::build(products.iter())
    }

    #[test]
    fn facets_count_products_and_keep_the_usual_spelling() {
        let facets = table().facets();
        let of = |wanted: &str| {
            let found = facets.iter().find(|(name, _)| name.as_str() == wanted);
            &found.expect(wanted).1
        };
        // Slot 3 carries white twice, in two spellings, and counts once; "White" is written twice,
        // "white" once.
        assert_eq!(
            *of("color"),
            [("Black".to_owned(), 3), ("White".to_owned(), 2)]
        );
        assert_eq!(
            *of("gender"),
            [("Men".to_owned(), 2), ("Women".to_owned(), 1)]
        );
    }

    #[test]
    fn of_two_spellings_equally_frequent_the_first_in_order() {
        let products = [
            attributes(&[("color", "red")]),
            attributes(&[("color", "Red")]),
        ];
        assert_eq!(
            AttributeTable::build(products.iter()).facets()[0].1,
            [("Red".to_owned(), 2)]
        );
    }
}
