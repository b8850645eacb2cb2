//! The four scorings of a retrieval case, and what can be reached in each.
//!
//! A case asks for a main attribute (a category of shoes) and a detail (the color of its laces).
//! Its first `K` results (5 in the suite) are scored four ways:
//!
//! | scoring | points for the result in place i (from 1) | largest for K = 5 |
//! | --- | --- | --- |
//! | (a) | 2 for the right main attribute, and 1 for the right detail | 15 |
//! | (b) | 1 for the right detail | 5 |
//! | (c) | K + 1 - i where both are right | 15 |
//! | (d) | K + 1 - i where the detail is right | 15 |
//!
//! The largest sums are out of reach where the catalog holds fewer than K such products:
//! [`attainable`] says what a perfect search would get.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// How many results of a case are scored.
pub const RESULTS: usize = 5;

/// What is right about one result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fit {
    pub main: bool,
    pub detail: bool,
}

/// Points in the four scorings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Points {
    pub a: u32,
    pub b: u32,
    pub c: u32,
    pub d: u32,
}

/// How many products of the catalog (the query's own left out) fit a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supply {
    pub both: usize,
    /// The main attribute alone.
    pub main_only: usize,
    /// The detail alone.
    pub detail_only: usize,
}

/// How hard a case is, by the products that fit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Level {
    /// As many as are scored, or more.
    One,
    /// Some, but fewer than are scored.
    Two,
    /// None: the nearest products are scored.
    Three,
}

/// Points of the result in `place` (from 0) in each scoring.
#[must_use]
pub fn points_at(place: usize, fit: Fit, k: usize) -> Points {
    if place >= k {
        return Points::default();
    }
    let by_place = count(k - place);
    Points {
        a: 2 * u32::from(fit.main) + u32::from(fit.detail),
        b: u32::from(fit.detail),
        c: if fit.main && fit.detail { by_place } else { 0 },
        d: if fit.detail { by_place } else { 0 },
    }
}

/// The points of a case whose results, best first, fit as given; those beyond `k` do not count.
#[must_use]
pub fn score(results: &[Fit], k: usize) -> Points {
    results
        .iter()
        .enumerate()
        .map(|(place, fit)| points_at(place, *fit, k))
        .sum()
}

/// The largest points that the scorings allow: `k` results right in both.
#[must_use]
pub fn nominal(k: usize) -> Points {
    score(
        &vec![
            Fit {
                main: true,
                detail: true
            };
            k
        ],
        k,
    )
}

/// The largest points that the catalog allows, each scoring by itself: the order that is best for
/// (a) need not be the best for (d).
#[must_use]
pub fn attainable(supply: Supply, k: usize) -> Points {
    let both = supply.both.min(k);
    let main_only = supply.main_only.min(k - both);
    let detail_only = supply.detail_only.min(k - both - main_only);
    let detail = (supply.both + supply.detail_only).min(k);
    let by_place = |n: usize| (0..n).map(|place| count(k - place)).sum();
    Points {
        a: 3 * count(both) + 2 * count(main_only) + count(detail_only),
        b: count(detail),
        c: by_place(both),
        d: by_place(detail),
    }
}

impl Level {
    pub const ALL: [Self; 3] = [Self::One, Self::Two, Self::Three];

    #[must_use]
    pub fn of(matching: usize, k: usize) -> Self {
        match matching {
            0 => Self::Three,
            n if n < k => Self::Two,
            _ => Self::One,
        }
    }

    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

impl TryFrom<u8> for Level {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|l| l.number() == number)
            .ok_or_else(|| format!("{number} is no level: 1, 2 or 3"))
    }
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        level.number()
    }
}

impl Points {
    /// The four scorings by their letters.
    pub const NAMES: [&'static str; 4] = ["a", "b", "c", "d"];

    #[must_use]
    pub fn values(self) -> [u32; 4] {
        [self.a, self.b, self.c, self.d]
    }

    /// `self / of`, scoring by scoring; `None` where `of` is 0.
    #[must_use]
    pub fn shares(self, of: Self) -> [Option<f64>; 4] {
        let (part, whole) = (self.values(), of.values());
        std::array::from_fn(|i| (whole[i] > 0).then(|| f64::from(part[i]) / f64::from(whole[i])))
    }
}

impl Add for Points {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            a: self.a + other.a,
            b: self.b + other.b,
            c: self.c + other.c,
            d: self.d + other.d,
        }
    }
}

impl AddAssign for Points {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Points {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn case(query: (&str, &str), results: &[(&str, &str)]) -> Points {
        let fits: Vec<Fit> = results
            .iter()
            .map(|(category, laces)| Fit {
                main: *category == query.0,
                detail: *laces == query.1,
            })
            .collect();
        score(&fits, RESULTS)
    }

    #[test]
    fn first_worked_example() {
        let casual = |laces| ("Casual", laces);
        let results = ["Beige", "Black", "Black", "Black", "Black"].map(casual);
        let points = case(("Casual", "Black"), &results);
        assert_eq!(points.c, 10); // 0+4+3+2+1
        assert_eq!(
            points,
            Points {
                a: 14,
                b: 4,
                c: 10,
                d: 10
            }
        );
    }

    #[test]
    fn second_worked_example() {
        let casual = |laces| ("Casual", laces);
        let results = ["Grey", "White", "Beige", "Grey", "Black"].map(casual);
        let points = case(("Casual", "Grey"), &results);
        assert_eq!(points.c, 7); // 5+0+0+2+0
        assert_eq!(
            points,
            Points {
                a: 12,
                b: 2,
                c: 7,
                d: 7
            }
        );
    }

    #[test]
    fn the_detail_counts_alone_in_b_and_d() {
        let points = case(
            ("Casual", "Grey"),
            &[("Sports", "Grey"), ("Casual", "White"), ("Casual", "Grey")],
        );
        assert_eq!(
            points,
            Points {
                a: 1 + 2 + 3,
                b: 2,
                c: 3,
                d: 5 + 3
            }
        );
    }

    #[test]
    fn maxima_of_26_cases() {
        let sum: Points = (0..26).map(|_| nominal(RESULTS)).sum();
        assert_eq!(
            sum,
            Points {
                a: 390,
                b: 130,
                c: 390,
                d: 390
            }
        );
    }

    #[test]
    fn levels_by_counting() {
        let levels = [0, 1, 4, 5, 60].map(|n| Level::of(n, RESULTS).number());
        assert_eq!(levels, [3, 2, 2, 1, 1]);
    }

    #[test]
    fn results_beyond_the_fifth_do_not_count() {
        let all = Fit {
            main: true,
            detail: true,
        };
        assert_eq!(score(&[all; 9], RESULTS), nominal(RESULTS));
    }

    /// The best of every way to fill `k` places out of a small supply.
    fn brute_force(supply: Supply, k: usize) -> Points {
        let mut best = Points::default();
        for pattern in 0..4_usize.pow(u32::try_from(k).expect("small")) {
            let fits: Vec<Fit> = (0..k)
                .map(|i| pattern / 4_usize.pow(u32::try_from(i).expect("small")) % 4)
                .map(|kind| Fit {
                    main: kind & 1 == 1,
                    detail: kind & 2 == 2,
                })
                .collect();
            let have = |main, detail| {
                fits.iter()
                    .filter(|f| f.main == main && f.detail == detail)
                    .count()
            };
            if have(true, true) > supply.both
                || have(true, false) > supply.main_only
                || have(false, true) > supply.detail_only
            {
                continue;
            }
            let p = score(&fits, k);
            best = Points {
                a: best.a.max(p.a),
                b: best.b.max(p.b),
                c: best.c.max(p.c),
                d: best.d.max(p.d),
            };
        }
        best
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn attainable_is_the_best_of_all_lists(both in 0_usize..7, main_only in 0_usize..7, detail_only in 0_usize..7) {
            let supply = Supply { both, main_only, detail_only };
            prop_assert_eq!(attainable(supply, RESULTS), brute_force(supply, RESULTS));
        }
    }

    #[test]
    fn nothing_attainable_has_no_share() {
        let none = attainable(
            Supply {
                both: 0,
                main_only: 9,
                detail_only: 0,
            },
            RESULTS,
        );
        assert_eq!(
            none,
            Points {
                a: 10,
                b: 0,
                c: 0,
                d: 0
            }
        );
        assert_eq!(
            Points {
                a: 5,
                ..Points::default()
            }
            .shares(none),
            [Some(0.5), None, None, None]
        );
    }
}
