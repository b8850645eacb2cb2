//! Which products are trained on, which choose the best epoch, and which are kept for the test.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::evaluate::data::data_set::Side;
use crate::evaluate::data::split::held_out;

/// Which products are kept for the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TestSide {
    /// This part of every class.
    Part(f64),
    /// Those that no model of ours is trained on (see [`crate::evaluate::data::split`]).
    HeldOut,
}

impl std::str::FromStr for TestSide {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "held-out" => Ok(Self::HeldOut),
            _ => part(text).map(Self::Part),
        }
    }
}

/// A part: at least 0, below 1.
///
/// # Errors
/// In words, when it is not one.
pub fn part(text: &str) -> Result<f64, String> {
    let part: f64 = text
        .parse()
        .map_err(|_| format!("{text:?} is not a number"))?;
    if (0.0..1.0).contains(&part) {
        Ok(part)
    } else {
        Err(format!("{part} is not from 0 to below 1"))
    }
}

/// What is split: products that must stay together, as those with the very same picture must.
#[derive(Clone, Debug)]
pub struct Group {
    pub class: String,
    pub ids: Vec<String>,
}

/// The side of each group. Of every class, `test` is kept for the test and `validation` of the rest
/// chooses the best epoch, as closely as whole groups allow. The order of the groups does not
/// matter: the sha256 of the seed and a group's smallest id decides, so that the same seed gives
/// the same split.
#[must_use]
pub fn split(groups: &[Group], test: TestSide, validation: f64, seed: u64) -> Vec<Side> {
    let mut sides = vec![Side::Train; groups.len()];
    let mut classes: BTreeMap<&str, Vec<(Vec<u8>, usize)>> = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        let mut hash = Sha256::new_with_prefix(seed.to_le_bytes());
        hash.update(group.ids.iter().min().map_or("", String::as_str));
        classes
            .entry(&group.class)
            .or_default()
            .push((hash.finalize().to_vec(), at));
    }
    for members in classes.values_mut() {
        members.sort_unstable();
        let size = |chosen: &[usize]| chosen.iter().map(|&at| groups[at].ids.len()).sum::<usize>();
        let all: Vec<usize> = members.iter().map(|&(_, at)| at).collect();
        let (kept, rest): (Vec<usize>, Vec<usize>) = match test {
            TestSide::HeldOut => all
                .into_iter()
                .partition(|&at| groups[at].ids.iter().any(|id| held_out(id))),
            TestSide::Part(part) => take(groups, &all, wanted(size(&all), part)),
        };
        let (chosen, _) = take(groups, &rest, wanted(size(&rest), validation));
        for (list, side) in [(kept, Side::Test), (chosen, Side::Validation)] {
            for at in list {
                sides[at] = side;
            }
        }
    }
    sides
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a part of a count of products"
)]
fn wanted(size: usize, part: f64) -> usize {
    (size as f64 * part).round() as usize
}

/// Groups until there are `wanted` products, without going over it; and the others.
fn take(groups: &[Group], order: &[usize], wanted: usize) -> (Vec<usize>, Vec<usize>) {
    let mut left = wanted;
    order.iter().partition(|&&at| {
        let size = groups[at].ids.len();
        let fits = size <= left;
        left -= if fits { size } else { 0 };
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Vec<Group> {
        let classes = [("Shoes", 200), ("Sandals", 50), ("Rare", 1)];
        let single = classes.into_iter().flat_map(|(class, n)| {
            (0..n).map(move |i| Group {
                class: class.to_owned(),
                ids: vec![format!("{class}{i}")],
            })
        });
        let same_picture = Group {
            class: "Shoes".to_owned(),
            ids: vec!["7".to_owned(), "8".to_owned()],
        };
        single.chain([same_picture]).collect()
    }

    fn count(groups: &[Group], sides: &[Side], class: &str, side: Side) -> usize {
        let of = groups
            .iter()
            .zip(sides)
            .filter(|(g, s)| g.class == class && **s == side);
        of.map(|(g, _)| g.ids.len()).sum()
    }

    #[test]
    fn every_class_is_split_alike() {
        let groups = groups();
        let sides = split(&groups, TestSide::Part(0.2), 0.1, 1);
        let counts = |class| Side::ALL.map(|side| count(&groups, &sides, class, side));
        assert_eq!(
            counts("Shoes"),
            [146, 16, 40],
            "202 products: 20% of them, and 10% of the rest"
        );
        assert_eq!(counts("Sandals"), [36, 4, 10]);
        assert_eq!(
            counts("Rare"),
            [1, 0, 0],
            "too rare to be tested is still trained on"
        );
    }

    #[test]
    fn the_order_does_not_matter_but_the_seed_does() {
        let forward = groups();
        let backward: Vec<Group> = groups().into_iter().rev().collect();
        let sides = split(&forward, TestSide::Part(0.2), 0.1, 1);
        let mut reversed = split(&backward, TestSide::Part(0.2), 0.1, 1);
        reversed.reverse();
        assert_eq!(sides, reversed);
        assert_ne!(sides, split(&forward, TestSide::Part(0.2), 0.1, 2));
    }

    #[test]
    fn products_with_a_held_out_picture_are_held_out() {
        assert!(
            held_out("7") && !held_out("8"),
            "as recorded in evaluate::data::split"
        );
        let groups = groups();
        let sides = split(&groups, TestSide::HeldOut, 0.1, 1);
        assert_eq!(sides.last(), Some(&Side::Test));
        let agree = groups
            .iter()
            .zip(&sides)
            .all(|(g, s)| g.ids.iter().any(|id| held_out(id)) == (*s == Side::Test));
        assert!(agree);
    }

    #[test]
    fn parts_are_parts() {
        assert_eq!("held-out".parse(), Ok(TestSide::HeldOut));
        assert_eq!("0.2".parse(), Ok(TestSide::Part(0.2)));
        assert!(
            "1.0".parse::<TestSide>().is_err()
                && "-0.1".parse::<TestSide>().is_err()
                && "x".parse::<TestSide>().is_err()
        );
    }
}
