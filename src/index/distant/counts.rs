//! How many vectors each slot has.

use roaring::RoaringBitmap;

use crate::index::vectors::Density;

/// The bits of a count.
pub(in crate::index) const DIGITS: usize = 8;

/// For each bit of a count the slots whose count has it: where nearly all slots have one vector, that is
/// one bitmap with nearly all bits set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::index) struct Counts([RoaringBitmap; DIGITS]);

impl Counts {
    pub fn set(&mut self, slot: u32, count: u8) {
        for (digit, slots) in self.0.iter_mut().enumerate() {
            if count >> digit & 1 == 1 {
                slots.insert(slot);
            } else {
                slots.remove(slot);
            }
        }
    }

    pub fn of(&self, slot: u32) -> u8 {
        let digits = self.0.iter().enumerate();
        digits.fold(0, |count, (digit, slots)| {
            count | u8::from(slots.contains(slot)) << digit
        })
    }

    /// Whether a slot has a vector.
    pub fn has(&self, slot: u32) -> bool {
        self.0.iter().any(|slots| slots.contains(slot))
    }

    /// The slots that have a vector.
    pub fn any(&self) -> RoaringBitmap {
        self.0.iter().fold(RoaringBitmap::new(), |all, of| all | of)
    }

    pub fn vectors(&self) -> u64 {
        let digits = self.0.iter().enumerate();
        digits.map(|(digit, slots)| slots.len() << digit).sum()
    }

    pub fn density(&self) -> Density {
        match self.any().len() {
            0 => Density::ONE,
            products => Density {
                products,
                vectors: self.vectors(),
            },
        }
    }

    pub fn digits(&self) -> &[RoaringBitmap; DIGITS] {
        &self.0
    }

    pub fn restored(digits: [RoaringBitmap; DIGITS]) -> Self {
        Self(digits)
    }

    /// Bytes held, about.
    pub fn memory_bytes(&self) -> usize {
        self.0.iter().map(RoaringBitmap::serialized_size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_as_they_were_set() {
        let mut counts = Counts::default();
        let mut expected = [0_u8; 300];
        for round in 0..3_usize {
            for (slot, count) in (0_u32..).zip(&mut expected) {
                *count = u8::try_from(slot as usize * (7 + round) % 33).expect("small");
                counts.set(slot, *count);
            }
        }
        for (slot, count) in (0..).zip(expected) {
            assert_eq!(counts.of(slot), count);
            assert_eq!(counts.has(slot), count > 0);
        }
        let (products, vectors) = expected.iter().fold((0, 0), |(products, vectors), count| {
            let count = u64::from(*count);
            (products + u64::from(count > 0), vectors + count)
        });
        assert_eq!(counts.density(), Density { products, vectors });
        assert_eq!(counts.any().len(), products);
        assert_eq!(Counts::restored(counts.digits().clone()), counts);
    }
}
