//! What products are filtered, counted and sorted by, a column for each attribute and field.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`table`] | which products carry which value of an attribute, as bitmaps |
//! | [`numbers`] | numbers of products: prices, dates, attributes whose values are numbers |
//! | [`ordinals`] | the first value of each product, for sorts and groups |
//!
//! [`Columns`] puts them together. The numbers of attributes are read off the table; those of the
//! fields ([`FIELDS`]) come from the catalog. Columns with other values of some products
//! ([`Columns::with`]) share all that did not change.

pub mod numbers;
pub mod ordinals;
pub mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roaring::RoaringBitmap;

use crate::domain::{
    AttributeName, Attributes, Condition, FIELDS, Filters, Interval, ProductFields, Range, Test,
    Types, ValueType, typed,
};
use numbers::Numbers;
use ordinals::Ordinals;
pub(super) use table::ChangedValue;
pub use table::{AttributeTable, TableBuilder};

/// An attribute's values with the number of products that carry each: as the shop most often writes
/// them, the most frequent first.
#[derive(Clone, Debug, PartialEq)]
pub struct Facet {
    pub name: AttributeName,
    pub kind: ValueType,
    pub values: Vec<(String, u64)>,
    /// The least and the greatest, of numbers and dates.
    pub bounds: Option<(f64, f64)>,
}

/// All that is filtered, counted and sorted by.
pub struct Columns {
    table: AttributeTable,
    /// What the shop says its attributes are.
    types: Arc<Types>,
    /// Of the attributes that are more than text.
    typed: BTreeMap<AttributeName, (ValueType, Arc<Numbers>)>,
    fields: BTreeMap<AttributeName, Arc<Numbers>>,
    count: u32,
    /// Slots of products that were removed.
    dead: RoaringBitmap,
    /// Made when they are first asked for.
    ordinals: Mutex<HashMap<AttributeName, Arc<Ordinals>>>,
}

/// What a product is filtered and sorted by.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    pub attributes: &'a Attributes,
    pub fields: ProductFields,
}

impl Columns {
    /// `types`: what the shop says its attributes are; what the others are is seen in their values.
    #[must_use]
    pub fn new(
        table: AttributeTable,
        fields: &[ProductFields],
        dead: RoaringBitmap,
        types: &Types,
    ) -> Self {
        let count = u32::try_from(fields.len()).unwrap_or(u32::MAX);
        let mut columns = Self {
            typed: BTreeMap::new(),
            types: Arc::new(types.clone()),
            fields: columns_of(fields),
            count,
            dead,
            ordinals: Mutex::default(),
            table,
        };
        let names = columns.table.names().cloned();
        let numbers = names.filter_map(|name| Some((name.clone(), columns.read_numbers(&name)?)));
        columns.typed = numbers.collect();
        columns
    }

    /// What an attribute is, read off its values.
    fn seen_kind(&self, name: &AttributeName) -> ValueType {
        let seen = || ValueType::of_all(&self.table.of(name).map(|(value, _)| value));
        self.types.0.get(name).copied().unwrap_or_else(seen)
    }

    /// The numbers of an attribute, read off its values; `None` when it is text.
    fn read_numbers(&self, name: &AttributeName) -> Option<(ValueType, Arc<Numbers>)> {
        let kind = self.seen_kind(name);
        let values = self.table.of(name);
        let pairs = values.filter_map(|(value, slots)| Some((kind.value(value)?, slots)));
        let pairs = pairs.flat_map(|(value, slots)| slots.iter().map(move |slot| (slot, value)));
        (kind != ValueType::Text).then(|| (kind, Arc::new(Numbers::of(self.count, pairs))))
    }

    /// With other values of some of then `count` products: all that each has. `dead`: the slots of
    /// products that were removed. And which values of attributes changed.
    pub(super) fn with(
        &self,
        count: u32,
        dead: RoaringBitmap,
        others: &[(u32, Values<'_>)],
    ) -> (Self, Vec<ChangedValue>) {
        let attributes = others.iter().map(|(slot, of)| (*slot, of.attributes));
        let (table, changed) = self.table.with(attributes);
        let names: BTreeSet<&AttributeName> = changed.iter().map(|value| &value.name).collect();
        let mut ordinals = self.made().clone();
        ordinals.retain(|name, _| !names.contains(name));
        let mut next = Self {
            table,
            types: Arc::clone(&self.types),
            typed: self.typed.clone(),
            fields: self.fields.clone(),
            count,
            dead,
            ordinals: Mutex::new(ordinals),
        };
        let touched: RoaringBitmap = others.iter().map(|(slot, _)| *slot).collect();
        for name in names {
            let former = self.typed.get(name);
            let kind = next.seen_kind(name);
            let column = match former {
                Some((former, numbers)) if *former == kind => {
                    let values = others.iter().flat_map(|(slot, of)| {
                        let values = of.attributes.get(name).into_iter().flatten();
                        values.map(|value| (*slot, value.folded()))
                    });
                    let pairs =
                        values.filter_map(|(slot, value)| Some((slot, kind.value(&value)?)));
                    Some((kind, Arc::new(numbers.with(count, &touched, pairs))))
                }
                _ => next.read_numbers(name),
            };
            match column.filter(|_| next.table.has(name)) {
                Some(column) => next.typed.insert(name.clone(), column),
                None => next.typed.remove(name),
            };
        }
        for (name, numbers) in &mut next.fields {
            let differs = |(slot, of): &&(u32, Values<'_>)| {
                let is = numbers.of_slot(*slot, false);
                is != of.fields.get(name.as_str())
            };
            let others: Vec<_> = others.iter().filter(differs).collect();
            if others.is_empty() {
                continue;
            }
            let touched = others.iter().map(|(slot, _)| *slot).collect();
            let pairs = others.iter();
            let pairs = pairs.filter_map(|(slot, of)| Some((*slot, of.fields.get(name.as_str())?)));
            *numbers = Arc::new(numbers.with(count, &touched, pairs));
        }
        (next, changed)
    }

    /// What a slot's product has beside its attributes.
    #[must_use]
    pub fn fields_of(&self, slot: u32) -> ProductFields {
        let of = |name: &str| {
            let name = AttributeName::new(name).ok()?;
            self.fields.get(&name)?.of_slot(slot, false)
        };
        ProductFields {
            price: of("price"),
            sale_price: of("sale_price"),
            #[expect(clippy::cast_possible_truncation, reason = "whole seconds were put in")]
            created: of("created").map(|seconds| seconds as i64),
        }
    }

    #[must_use]
    pub fn table(&self) -> &AttributeTable {
        &self.table
    }

    /// What the values of an attribute or a field are; `None` when no product has one.
    #[must_use]
    pub fn kind(&self, name: &AttributeName) -> Option<ValueType> {
        if let Some(kind) = typed::field_type(name.as_str()) {
            return Some(kind);
        }
        if let Some((kind, _)) = self.typed.get(name) {
            return Some(*kind);
        }
        self.table.has(name).then_some(ValueType::Text)
    }

    /// The numbers of an attribute or a field.
    #[must_use]
    pub fn numbers(&self, name: &AttributeName) -> Option<&Numbers> {
        let of_attribute = || self.typed.get(name).map(|(_, numbers)| numbers);
        self.fields.get(name).or_else(of_attribute).map(Arc::as_ref)
    }

    /// The first value of each product, in the order of the values.
    #[must_use]
    pub fn ordinals(&self, name: &AttributeName) -> Arc<Ordinals> {
        self.made()
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Ordinals::of(&self.table, name, self.count)))
            .clone()
    }

    fn made(&self) -> MutexGuard<'_, HashMap<AttributeName, Arc<Ordinals>>> {
        self.ordinals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slots that match; `None` when nothing is asked for and every slot does. An attribute or
    /// a value that no product has matches none.
    #[must_use]
    pub fn matching(&self, filters: &Filters) -> Option<RoaringBitmap> {
        let mut matching: Option<RoaringBitmap> = None;
        let mut ruled_out = RoaringBitmap::new();
        for (name, Condition { any, none }) in filters.iter() {
            if !any.is_empty() {
                let passing = self.any(name, any.iter());
                matching = Some(match matching {
                    None => passing,
                    Some(all) => all & passing,
                });
            }
            ruled_out |= self.any(name, none.iter());
        }
        if ruled_out.is_empty() {
            return matching;
        }
        Some(matching.unwrap_or_else(|| self.all()) - ruled_out)
    }

    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.count);
        all - &self.dead
    }

    /// The slots that pass one of the tests at least.
    fn any<'a>(
        &self,
        name: &AttributeName,
        tests: impl Iterator<Item = &'a Test>,
    ) -> RoaringBitmap {
        let mut passing = RoaringBitmap::new();
        for test in tests {
            match test {
                Test::Present => match self.fields.get(name) {
                    Some(numbers) => passing |= numbers.present(),
                    None => self.table.of(name).for_each(|(_, slots)| passing |= slots),
                },
                Test::Value(value) => self.add_value(name, value, &mut passing),
                Test::Within(range) => {
                    passing |= self.within(name, range);
                    // A text that is written like a range.
                    if let Some(slots) = self.table.slots(name, &range.to_string().to_lowercase()) {
                        passing |= slots;
                    }
                }
            }
        }
        passing
    }

    fn add_value(&self, name: &AttributeName, value: &str, passing: &mut RoaringBitmap) {
        if let Some(slots) = self.table.slots(name, value) {
            *passing |= slots;
        }
        match (self.kind(name), self.numbers(name)) {
            // "yes" asks for those that say "true", too.
            (Some(ValueType::Boolean), Some(numbers)) => {
                if let Some(wanted) = ValueType::Boolean.value(value) {
                    *passing |= numbers.within(Interval {
                        from: wanted,
                        to: wanted,
                    });
                }
            }
            // 42.0 is 42.
            (Some(ValueType::Number | ValueType::Date), Some(_)) => {
                if let Ok(range) = Range::new(Some(value), Some(value)) {
                    *passing |= self.within(name, &range);
                }
            }
            _ => {}
        }
    }

    /// The slots with a value in a range; none where the values are not what the range is of.
    #[must_use]
    pub fn within(&self, name: &AttributeName, range: &Range) -> RoaringBitmap {
        let interval = self.interval(name, range);
        let numbers = self.numbers(name).zip(interval);
        numbers.map_or_else(RoaringBitmap::new, |(numbers, of)| numbers.within(of))
    }

    /// A range as what the values of an attribute are.
    #[must_use]
    pub fn interval(&self, name: &AttributeName, range: &Range) -> Option<Interval> {
        match self.kind(name)? {
            ValueType::Number => range.numbers(),
            ValueType::Date => range.dates(),
            ValueType::Text | ValueType::Boolean => None,
        }
    }

    /// Each attribute with its values as the shop writes them and the number of products that carry
    /// each, and the fields that any product has.
    #[must_use]
    pub fn facets(&self) -> Vec<Facet> {
        let all = self.all();
        let of_attributes = self.table.facets().into_iter().map(|(name, values)| Facet {
            kind: self.kind(&name).unwrap_or_default(),
            bounds: self.bounds(&name, &all),
            name,
            values,
        });
        let of_fields = self.fields.keys().filter_map(|name| {
            Some(Facet {
                name: name.clone(),
                kind: self.kind(name)?,
                values: Vec::new(),
                bounds: Some(self.bounds(name, &all)?),
            })
        });
        let mut facets: Vec<Facet> = of_attributes.collect();
        facets.extend(of_fields);
        facets
    }

    /// The least and the greatest among the slots of `base`, of numbers and dates.
    #[must_use]
    pub fn bounds(&self, name: &AttributeName, base: &RoaringBitmap) -> Option<(f64, f64)> {
        self.kind(name).filter(|kind| kind.has_order())?;
        self.numbers(name)?.bounds(base)
    }
}

fn columns_of(fields: &[ProductFields]) -> BTreeMap<AttributeName, Arc<Numbers>> {
    let count = u32::try_from(fields.len()).unwrap_or(u32::MAX);
    let column = |name: &&str| {
        let pairs = (0..).zip(fields);
        let pairs = pairs.filter_map(|(slot, fields)| Some((slot, fields.get(name)?)));
        let name = AttributeName::new(name).ok()?;
        Some((name, Arc::new(Numbers::of(count, pairs))))
    };
    FIELDS.iter().filter_map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AttributeValue, Attributes};

    fn name(name: &str) -> AttributeName {
        AttributeName::new(name).expect("a name")
    }

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        let mut all = Attributes::new();
        for (of, value) in pairs {
            let value = AttributeValue::new(value).expect("a value");
            all.entry(name(of)).or_default().push(value);
        }
        all
    }

    fn columns(types: &Types) -> Columns {
        let products = [
            attributes(&[
                ("color", "Black"),
                ("gender", "Men"),
                ("size", "41"),
                ("new", "yes"),
            ]),
            attributes(&[("color", "BLACK"), ("gender", "Women"), ("size", "XL")]),
            attributes(&[
                ("color", "Black"),
                ("color", "White"),
                ("heel", "3.5"),
                ("new", "true"),
            ]),
            attributes(&[
                ("color", "white"),
                ("heel", "7"),
                ("heel", "9"),
                ("new", "No"),
            ]),
            attributes(&[("fit", "1..2")]),
        ];
        let price = |price: f64| ProductFields {
            price: Some(price),
            ..ProductFields::default()
        };
        let fields = [
            price(10.0),
            ProductFields {
                sale_price: Some(5.0),
                ..price(20.0)
            },
            price(30.0),
            ProductFields {
                created: Some(1_795_910_400),
                ..ProductFields::default()
            },
            ProductFields::default(),
        ];
        Columns::new(
            AttributeTable::build(products.iter()),
            &fields,
            RoaringBitmap::new(),
            types,
        )
    }

    fn matching(tests: &[(&str, &str, bool)]) -> Option<Vec<u32>> {
        let test = |(of, text, wanted): &(&str, &str, bool)| {
            let test = match Range::parse(text) {
                Some(range) => Test::Within(range.expect("a range")),
                None if *text == "*" => Test::Present,
                None => Test::Value(text.to_lowercase()),
            };
            (name(of), test, *wanted)
        };
        let filters = Filters::of(tests.iter().map(test)).expect("few");
        let slots = columns(&Types::default()).matching(&filters)?;
        Some(slots.iter().collect())
    }

    #[test]
    fn or_within_an_attribute_and_across() {
        let of = |tests: &[(&str, &str)]| {
            let wanted: Vec<_> = tests.iter().map(|(of, text)| (*of, *text, true)).collect();
            matching(&wanted)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("color", "black")]), Some(vec![0, 1, 2]));
        assert_eq!(
            of(&[("color", "black"), ("color", "WHITE")]),
            Some(vec![0, 1, 2, 3])
        );
        assert_eq!(of(&[("color", "black"), ("gender", "men")]), Some(vec![0]));
        assert_eq!(
            of(&[("color", "black"), ("gender", "nobody")]),
            Some(vec![])
        );
        assert_eq!(of(&[("material", "flat")]), Some(vec![]));
    }

    #[test]
    fn ranges_negations_and_presence() {
        assert_eq!(matching(&[("price", "10..20", true)]), Some(vec![0, 1]));
        assert_eq!(
            matching(&[("current_price", "..10", true)]),
            Some(vec![0, 1])
        );
        assert_eq!(matching(&[("price", "20", true)]), Some(vec![1]));
        assert_eq!(matching(&[("price", "*", false)]), Some(vec![3, 4]));
        assert_eq!(matching(&[("created", "2026-11-29", true)]), Some(vec![3]));
        assert_eq!(
            matching(&[("heel", "8..", true), ("heel", "..4", true)]),
            Some(vec![2, 3])
        );
        assert_eq!(matching(&[("size", "40..42", true)]), Some(vec![]), "text");
        assert_eq!(
            matching(&[("heel", "7.0", true)]),
            Some(vec![3]),
            "a number"
        );
        assert_eq!(matching(&[("size", "41.0", true)]), Some(vec![]), "a text");
        assert_eq!(
            matching(&[("fit", "1..2", true)]),
            Some(vec![4]),
            "written like a range"
        );
        assert_eq!(matching(&[("color", "white", false)]), Some(vec![0, 1, 4]));
        assert_eq!(
            matching(&[
                ("color", "black", true),
                ("color", "white", false),
                ("price", "15..", true)
            ]),
            Some(vec![1])
        );
        assert_eq!(
            matching(&[("new", "true", true)]),
            Some(vec![0, 2]),
            "yes is true"
        );
        assert_eq!(matching(&[("color", "*", true)]), Some(vec![0, 1, 2, 3]));
    }

    #[test]
    fn types_are_seen_in_the_values_or_said() {
        let kinds = |types: &Types| {
            let columns = columns(types);
            let kind = |of: &str| columns.kind(&name(of));
            (
                kind("heel"),
                kind("size"),
                kind("new"),
                kind("price"),
                kind("nothing"),
            )
        };
        let (number, text, boolean) = (ValueType::Number, ValueType::Text, ValueType::Boolean);
        assert_eq!(
            kinds(&Types::default()),
            (Some(number), Some(text), Some(boolean), Some(number), None)
        );
        let said: Types = "heel = \"text\"\nsize = \"number\"".parse().expect("types");
        assert_eq!(kinds(&said).0, Some(text));
        let within = Range::parse("40..50").expect("a range").expect("good");
        let found = columns(&said).within(&name("size"), &within);
        assert_eq!(
            found.iter().collect::<Vec<_>>(),
            [0],
            "XL is no number and costs nothing"
        );
    }

    #[test]
    fn facets_have_the_bounds_of_numbers_and_fields_have_facets() {
        let facets = columns(&Types::default()).facets();
        let of = |of: &str| facets.iter().find(|facet| facet.name.as_str() == of);
        assert_eq!(of("heel").expect("heel").bounds, Some((3.5, 9.0)));
        assert_eq!(of("color").expect("color").bounds, None);
        assert_eq!(of("new").expect("new").bounds, None);
        let price = of("current_price").expect("a price");
        assert_eq!((price.bounds, price.values.len()), (Some((5.0, 30.0)), 0));
        let none = Attributes::new();
        let nothing = Values {
            attributes: &none,
            fields: ProductFields::default(),
        };
        let nothing: Vec<_> = (0..5).map(|slot| (slot, nothing)).collect();
        let (other, _) = columns(&Types::default()).with(5, RoaringBitmap::new(), &nothing);
        assert!(
            other
                .facets()
                .iter()
                .all(|facet| facet.name.as_str() != "price")
        );
    }
}
