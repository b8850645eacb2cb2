//! The first and the last value of each product: what texts are sorted and products grouped by.

use roaring::RoaringBitmap;

use super::table::AttributeTable;
use crate::domain::AttributeName;

/// For each slot the numbers of its first and its last value, in the order of the values.
#[derive(Debug, Default)]
pub struct Ordinals {
    of_slot: Vec<u32>,
    last_of_slot: Vec<u32>,
    /// As they are compared.
    values: Vec<String>,
}

/// No value.
const NONE: u32 = u32::MAX;

impl Ordinals {
    #[must_use]
    pub fn of(table: &AttributeTable, name: &AttributeName, count: u32) -> Self {
        let mut ordinals = Self {
            of_slot: vec![NONE; count as usize],
            last_of_slot: vec![NONE; count as usize],
            values: Vec::new(),
        };
        for (number, (folded, slots)) in (0..).zip(table.of(name)) {
            ordinals.values.push(folded.to_owned());
            for slot in slots {
                if let Some(of_slot) = ordinals.of_slot.get_mut(slot as usize) {
                    *of_slot = (*of_slot).min(number);
                    // The values come in their order.
                    ordinals.last_of_slot[slot as usize] = number;
                }
            }
        }
        ordinals
    }

    /// The number of a slot's value; `None` when it has none.
    #[must_use]
    pub fn of_slot(&self, slot: u32) -> Option<u32> {
        let number = self.of_slot.get(slot as usize).copied();
        number.filter(|number| *number != NONE)
    }

    /// The number of a slot's last value; `None` when it has none.
    #[must_use]
    pub fn last_of_slot(&self, slot: u32) -> Option<u32> {
        let number = self.last_of_slot.get(slot as usize).copied();
        number.filter(|number| *number != NONE)
    }

    /// A value as it is compared.
    #[must_use]
    pub fn value(&self, number: u32) -> &str {
        self.values.get(number as usize).map_or("", String::as_str)
    }

    /// How many groups the slots make; one without a value is a group of its own.
    #[must_use]
    pub fn groups(&self, slots: impl Iterator<Item = u32>) -> usize {
        let mut met = vec![false; self.values.len()];
        let mut groups = 0;
        for slot in slots {
            let first = match self.of_slot(slot) {
                Some(number) => !std::mem::replace(&mut met[number as usize], true),
                None => true,
            };
            groups += usize::from(first);
        }
        groups
    }

    /// How many of `among` are of a group, given the slots that carry its value at all.
    #[must_use]
    pub fn of_group(&self, number: u32, carriers: &RoaringBitmap, among: &RoaringBitmap) -> u64 {
        let of = (carriers & among)
            .iter()
            .filter(|slot| self.of_slot(*slot) == Some(number))
            .count();
        of as u64
    }
}
