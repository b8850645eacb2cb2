//! Attribute filters: which products may answer, exactly.
//!
//! Every value of every attribute has a bitmap of the slots that carry it. A question is answered
//! by OR within an attribute and AND across attributes, so the set of products that match is known
//! before the search: the search never guesses how many there are, and never finds fewer than it
//! should because others were in the way.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use crate::domain::{AttributeName, Attributes, Filters};

/// An attribute's values with the number of products that carry each: as the shop most often writes
/// them, the most frequent first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    pub name: AttributeName,
    pub values: Vec<(String, u64)>,
}

/// An attribute's values among some products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetCounts {
    pub name: AttributeName,
    /// As the shop most often writes them, with the number of products; the most frequent first.
    pub values: Vec<(String, u64)>,
    /// How many values there are, those that are not listed included.
    pub distinct: usize,
}

/// Which slots carry which value of which attribute.
#[derive(Debug, Default, PartialEq)]
pub struct AttributeTable(pub(super) BTreeMap<AttributeName, BTreeMap<String, Carriers>>);

/// The products that carry a value (see
/// [`AttributeValue::folded`](crate::domain::AttributeValue::folded)).
#[derive(Debug, PartialEq)]
pub(super) struct Carriers {
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
    fn build<'a>(products: impl Iterator<Item = &'a Attributes>) -> Self {
        let mut builder = TableBuilder::default();
        products.for_each(|attributes| builder.add(attributes));
        builder.finish()
    }

    /// The slots that match; `None` when nothing is asked for and every slot does. An attribute or
    /// a value that no product has matches none. Costs some microseconds for 100,000 products.
    #[must_use]
    pub fn matching(&self, filters: &Filters) -> Option<RoaringBitmap> {
        let mut matching: Option<RoaringBitmap> = None;
        for (name, wanted) in filters.iter() {
            let known = self.0.get(name);
            let any = wanted.iter().filter_map(|value| known?.get(value)).fold(
                RoaringBitmap::new(),
                |mut any, c| {
                    any |= &c.slots;
                    any
                },
            );
            matching = Some(match matching {
                None => any,
                Some(all) => all & any,
            });
        }
        matching
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
    pub fn of(&self, name: &AttributeName) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        let values = self.0.get(name).into_iter().flatten();
        values.map(|(folded, carriers)| (folded.as_str(), &carriers.slots))
    }

    /// The slots that carry a value, given as it is compared.
    #[must_use]
    pub fn slots(&self, name: &AttributeName, folded: &str) -> Option<&RoaringBitmap> {
        Some(&self.0.get(name)?.get(folded)?.slots)
    }

    /// The slots that carry each of an attribute's values, in the order of the values; none of an
    /// unknown attribute.
    pub(super) fn carriers(&self, name: &AttributeName) -> impl Iterator<Item = &RoaringBitmap> {
        let values = self.0.get(name).into_iter();
        values.flat_map(|values| values.values().map(|carriers| &carriers.slots))
    }

    /// The values of one attribute among the slots of `base`, the `most` most frequent.
    #[must_use]
    pub fn counts(&self, name: &AttributeName, base: &RoaringBitmap, most: usize) -> FacetCounts {
        let carriers = self.0.get(name).into_iter().flat_map(BTreeMap::values);
        let mut values: Vec<(&str, u64)> = carriers
            .map(|carriers| {
                let products = carriers.slots.intersection_len(base);
                (carriers.spelling.as_str(), products)
            })
            .filter(|(_, products)| *products > 0)
            .collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        FacetCounts {
            name: name.clone(),
            distinct: values.len(),
            values: values
                .into_iter()
                .take(most)
                .map(|(value, products)| (value.to_owned(), products))
                .collect(),
        }
    }

    /// Each attribute with its values as the shop writes them and the number of products that carry
    /// each; the most frequent value first, of equals the one that sorts first.
    #[must_use]
    pub fn facets(&self) -> Vec<Facet> {
        let facet = |(name, values): (&AttributeName, &BTreeMap<String, Carriers>)| {
            let mut values: Vec<_> = values
                .values()
                .map(|c| (c.spelling.clone(), c.slots.len()))
                .collect();
            values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            Facet {
                name: name.clone(),
                values,
            }
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

    fn matching(pairs: &[(&str, &str)]) -> Option<Vec<u32>> {
        let filters = attributes(pairs)
            .into_iter()
            .flat_map(|(n, vs)| vs.into_iter().map(move |v| (n.clone(), v)));
        let filters = Filters::new(filters).expect("few");
        table()
            .matching(&filters)
            .map(|slots| slots.iter().collect())
    }

    #[test]
    fn or_within_an_attribute_and_across() {
        assert_eq!(matching(&[]), None);
        assert_eq!(matching(&[("color", "black")]), Some(vec![0, 1, 2]));
        assert_eq!(
            matching(&[("color", "black"), ("color", "WHITE")]),
            Some(vec![0, 1, 2, 3])
        );
        assert_eq!(
            matching(&[("color", "black"), ("gender", "men")]),
            Some(vec![0, 2])
        );
        assert_eq!(
            matching(&[("color", "black"), ("gender", "nobody")]),
            Some(vec![])
        );
        assert_eq!(matching(&[("heel", "flat")]), Some(vec![]));
    }

    #[test]
    fn facets_count_products_and_keep_the_usual_spelling() {
        let facets = table().facets();
        let color = facets
            .iter()
            .find(|f| f.name.as_str() == "color")
            .expect("color");
        // Slot 3 carries white twice, in two spellings, and counts once; "White" is written twice,
        // "white" once.
        assert_eq!(
            color.values,
            [("Black".to_owned(), 3), ("White".to_owned(), 2)]
        );
        let gender = facets
            .iter()
            .find(|f| f.name.as_str() == "gender")
            .expect("gender");
        assert_eq!(
            gender.values,
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
            AttributeTable::build(products.iter()).facets()[0].values,
            [("Red".to_owned(), 2)]
        );
    }
}
