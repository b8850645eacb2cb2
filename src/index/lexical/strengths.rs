//! How strongly products match: sets of slots, each with a strength.

use roaring::RoaringBitmap;

/// Slots by how strongly they match, the strongest first; a slot counts with the first set that
/// holds it. Strengths are in thousandths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strengths(Vec<(u16, RoaringBitmap)>);

impl Strengths {
    /// Adds slots that match so strongly, between 0 and 1.
    pub fn add(&mut self, strength: f32, slots: &RoaringBitmap) {
        if slots.is_empty() {
            return;
        }
        let strength = thousandths(strength);
        match self.0.binary_search_by(|(known, _)| strength.cmp(known)) {
            Ok(place) => self.0[place].1 |= slots,
            Err(place) => self.0.insert(place, (strength, slots.clone())),
        }
    }

    /// Adds all that another one holds, with this share of its strength.
    pub fn add_all(&mut self, share: f32, other: &Self) {
        for (strength, slots) in &other.0 {
            self.add(share * f32::from(*strength) / 1e3, slots);
        }
    }

    /// The slots that all of `several` hold, each with the least of its strengths.
    #[must_use]
    pub fn least(several: &[Self]) -> Self {
        let [first, rest @ ..] = several else {
            return Self::default();
        };
        let mut least = first.clone();
        for other in rest {
            let mut levels: Vec<u16> = least.0.iter().chain(&other.0).map(|(s, _)| *s).collect();
            levels.sort_unstable_by(|a, b| b.cmp(a));
            levels.dedup();
            let both = levels.into_iter().map(|level| {
                let slots = least.at_least(level) & other.at_least(level);
                (level, slots)
            });
            least = Self(both.filter(|(_, slots)| !slots.is_empty()).collect());
        }
        least
    }

    fn at_least(&self, level: u16) -> RoaringBitmap {
        let strong = self.0.iter().take_while(|(strength, _)| *strength >= level);
        strong.fold(RoaringBitmap::new(), |mut all, (_, slots)| {
            all |= slots;
            all
        })
    }

    /// The slots that match at least so strongly.
    #[must_use]
    pub fn from(&self, strength: f32) -> RoaringBitmap {
        self.at_least(thousandths(strength))
    }

    /// How strongly a slot matches; `None` when it does not.
    #[must_use]
    pub fn of(&self, slot: u32) -> Option<f32> {
        let strongest = self.0.iter().find(|(_, slots)| slots.contains(slot));
        strongest.map(|(strength, _)| f32::from(*strength) / 1e3)
    }

    /// All slots that match.
    #[must_use]
    pub fn all(&self) -> RoaringBitmap {
        self.at_least(0)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each strength, the greatest first, with slots that match at least so strongly.
    pub fn sets(&self) -> impl Iterator<Item = (f32, &RoaringBitmap)> {
        let sets = self.0.iter();
        sets.map(|(strength, slots)| (f32::from(*strength) / 1e3, slots))
    }

    /// Each strength with the slots that match just so strongly.
    #[cfg(test)]
    fn each(&self) -> impl Iterator<Item = (f32, RoaringBitmap)> + '_ {
        let mut seen = RoaringBitmap::new();
        self.0.iter().map(move |(strength, slots)| {
            let new = slots - &seen;
            seen |= slots;
            (f32::from(*strength) / 1e3, new)
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded before"
)]
fn thousandths(strength: f32) -> u16 {
    (strength.clamp(0.0, 1.0) * 1e3).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(slots: &[u32]) -> RoaringBitmap {
        slots.iter().copied().collect()
    }

    fn each(strengths: &Strengths) -> Vec<(f32, Vec<u32>)> {
        let each = strengths
            .each()
            .map(|(s, slots)| (s, slots.iter().collect()));
        each.filter(|(_, slots): &(f32, Vec<u32>)| !slots.is_empty())
            .collect()
    }

    #[test]
    fn a_slot_counts_with_its_greatest_strength_and_with_the_least_of_several_words() {
        let mut one = Strengths::default();
        one.add(0.9, &slots(&[1, 2, 3]));
        one.add(1.0, &slots(&[2]));
        assert_eq!(each(&one), [(1.0, vec![2]), (0.9, vec![1, 3])]);
        let mut other = Strengths::default();
        other.add(0.4, &slots(&[1]));
        other.add(1.0, &slots(&[2, 3, 4]));
        let both = Strengths::least(&[one.clone(), other]);
        assert_eq!(
            each(&both),
            [(1.0, vec![2]), (0.9, vec![3]), (0.4, vec![1])]
        );
        assert_eq!(both.from(0.9), slots(&[2, 3]));
        let mut half = Strengths::default();
        half.add_all(0.5, &one);
        assert_eq!(each(&half), [(0.5, vec![2]), (0.45, vec![1, 3])]);
        assert!(Strengths::least(&[]).is_empty() && Strengths::default().all().is_empty());
    }
}
