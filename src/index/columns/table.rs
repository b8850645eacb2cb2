//! Which products carry which value of which attribute.
//!
//! Every value of every attribute has a bitmap of the slots that carry it. A filter is answered by OR
//! within an attribute and AND across attributes, so the set of products that match is known before
//! the search: the search never guesses how many there are, and never finds fewer than it should
//! because others were in the way.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use crate::domain::{AttributeName, Attributes};

/// Which slots carry which value of which attribute.
#[derive(Debug, Default, PartialEq)]
pub struct AttributeTable(pub(in crate::index) BTreeMap<AttributeName, BTreeMap<String, Carriers>>);

/// The products that carry a value (see
/// [`AttributeValue::folded`](crate::domain::AttributeValue::folded)).
#[derive(Debug, PartialEq)]
pub(in crate::index) struct Carriers {
    /// How the shop most often writes the value; of two ways equally frequent, the one that sorts
    /// first.
    pub spelling: String,
    pub slots: RoaringBitmap,
}

/// Gathers an [`AttributeTable`].
#[derive(Default)]
pub struct TableBuilder {
    found: BTreeMap<AttributeName, BTreeMap<String, Found>>,
    slots: u32,
}

/// What is known of a value.
#[derive(Default)]
struct Found {
    spellings: BTreeMap<String, usize>,
    slots: RoaringBitmap,
}

impl TableBuilder {
    /// Adds the product of the next slot.
    pub fn add(&mut self, attributes: &Attributes) {
        let slot = self.slots;
        self.slots += 1;
        for (name, values) in attributes {
            if !self.found.contains_key(name) {
                self.found.insert(name.clone(), BTreeMap::new());
            }
            let Some(of_name) = self.found.get_mut(name) else {
                continue;
            };
            for value in values {
                let of_value = of_name.entry(value.folded()).or_default();
                match of_value.spellings.get_mut(value.as_str()) {
                    Some(count) => *count += 1,
                    None => {
                        of_value.spellings.insert(value.to_string(), 1);
                    }
                }
                of_value.slots.insert(slot);
            }
        }
    }

    #[must_use]
    pub fn finish(self) -> AttributeTable {
        let carriers = |Found { spellings, slots }: Found| {
            // `max_by_key` takes the last of equals: reversed, that is the one that sorts first.
            let spelling = spellings.into_iter().rev().max_by_key(|(_, n)| *n);
            Carriers {
                spelling: spelling.map(|(spelling, _)| spelling).unwrap_or_default(),
                slots,
            }
        };
        let table = self.found.into_iter().map(|(name, values)| {
            let values = values.into_iter().map(|(v, f)| (v, carriers(f)));
            (name, values.collect())
        });
        AttributeTable(table.collect())
    }
}

impl AttributeTable {
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
        let values = self.0.get(name).into_iter().flat_map(BTreeMap::values);
        values.map(|carriers| (carriers.spelling.as_str(), &carriers.slots))
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
        let values = self.0.values().flatten();
        values.map(|(folded, carriers)| (folded.as_str(), &carriers.slots))
    }

    /// The values of one attribute as they are compared, with the slots that carry them.
    pub fn of(&self, name: &AttributeName) -> impl Iterator<Item = (&str, &RoaringBitmap)> + Clone {
        let values = self.0.get(name).into_iter().flatten();
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
        let Carriers { spelling, slots } = self.0.get(name)?.get(folded)?;
        Some((spelling.as_str(), slots))
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
        let facet = |(name, values): (&AttributeName, &BTreeMap<String, Carriers>)| {
            let mut values: Vec<_> = values
                .values()
                .map(|c| (c.spelling.clone(), c.slots.len()))
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
