//! Bootstrap intervals of figures, and a paired test of two models on the same cases.
//!
//! **Intervals**: the percentile bootstrap (Efron and Tibshirani, "An Introduction to the
//! Bootstrap", 1993, chapter 13): the cases are drawn with replacement, as many as there are,
//! [`RESAMPLES`] times; the interval lies between the 2.5th and the 97.5th percentile of the figure
//! over the draws (linear interpolation between neighbors, numpy's default). It says how the figure
//! would vary over other cases of the same kind, not over other training seeds. With fewer than
//! about 20 cases it is too narrow.
//!
//! **Paired test**: Fisher's randomization test as recommended for retrieval by Smucker, Allan and
//! Carterette (CIKM 2007): were both models equally good, each case's difference could as well have
//! the other sign. The p-value is the share of sign patterns whose mean difference is at least as
//! large as the one seen, in either direction: all patterns when there are at most 2^16, otherwise
//! drawn ones with one added to both counts (Phipson and Smyth 2010).
//!
//! A figure that is not a mean over cases, such as a macro F1, is tested in the same way: the two
//! models exchange their answers to a case, or do not, and the figure's difference is taken again
//! ([`paired_figure`]; always drawn, never all patterns).
//!
//! Seeded: the same cases give the same figures on every machine.

use serde::{Deserialize, Serialize};

use super::metrics::{as_f64, mean, ratio};
use crate::util::random::Random;

/// Draws per interval and per test.
pub const RESAMPLES: usize = 2_000;

/// Up to this many differences that are not zero, every pattern of signs is tried.
const EXACT_UP_TO: usize = 16;

/// So that a test does not draw the numbers of the interval beside it.
const PAIRED: u64 = 0x7061_6972_6564;

/// A 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// A figure with its 95% bootstrap interval over `n` cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub value: f64,
    #[serde(flatten)]
    pub interval: Interval,
    pub n: usize,
}

/// The outcome of a paired test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Mean of (second - first) over the cases, with its bootstrap interval.
    pub difference: Estimate,
    /// Two-sided.
    pub p_value: f64,
    /// Cases (of a figure over classes: classes) on which the second model does better, as well,
    /// worse.
    pub better: usize,
    pub equal: usize,
    pub worse: usize,
}

impl Paired {
    /// `better` or `worse` where chance is an unlikely explanation (p below 0.05), else `not
    /// clear`.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self.difference.value {
            _ if self.p_value >= 0.05 => "not clear",
            d if d > 0.0 => "better",
            _ => "worse",
        }
    }
}

/// The interval of any figure over `n` cases: `figure` gets the positions drawn (with repeats) and
/// returns `None` where the figure is undefined for that draw. `None` when it always is, or when
/// there is no case.
pub fn interval(
    n: usize,
    seed: u64,
    mut figure: impl FnMut(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let mut draw = Random::new(seed);
    let mut positions = vec![0; n];
    let mut figures = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        positions.fill_with(|| draw.below(n));
        figures.extend(figure(&positions).filter(|f| f.is_finite()));
    }
    figures.sort_by(f64::total_cmp);
    Some(Interval {
        low: percentile(&figures, 0.025)?,
        high: percentile(&figures, 0.975)?,
    })
}

/// The mean of `values` with its interval; `None` of no values.
#[must_use]
pub fn mean_estimate(values: &[f64], seed: u64) -> Option<Estimate> {
    let pick = |positions: &[usize]| {
        Some(positions.iter().map(|&i| values[i]).sum::<f64>() / as_f64(positions.len()))
    };
    Some(Estimate {
        value: mean(values)?,
        interval: interval(values.len(), seed, pick)?,
        n: values.len(),
    })
}

/// `sum(part) / sum(whole)` over cases with its interval: the share of the points that could be
/// had.
#[must_use]
pub fn share_estimate(part: &[f64], whole: &[f64], seed: u64) -> Option<Estimate> {
    let share = |positions: &mut dyn Iterator<Item = usize>| {
        let (p, w) = positions.fold((0.0, 0.0), |(p, w), i| (p + part[i], w + whole[i]));
        (w > 0.0).then_some(p / w)
    };
    let value = share(&mut (0..part.len()))?;
    let interval = interval(part.len(), seed, |positions| {
        share(&mut positions.iter().copied())
    })?;
    Some(Estimate {
        value,
        interval,
        n: part.len(),
    })
}

/// Compares two models on the same cases: `first[i]` and `second[i]` are their figures on case `i`.
/// `None` when the lengths differ or are 0.
#[must_use]
pub fn paired(first: &[f64], second: &[f64], seed: u64) -> Option<Paired> {
    if first.len() != second.len() {
        return None;
    }
    // Equal figures of which one was read from a file may differ in the last bit.
    let beyond = |d: f64| if d.abs() < 1e-12 { 0.0 } else { d };
    let differences: Vec<f64> = first
        .iter()
        .zip(second)
        .map(|(a, b)| beyond(b - a))
        .collect();
    let difference = mean_estimate(&differences, seed)?;
    let better = differences.iter().filter(|d| **d > 0.0).count();
    let worse = differences.iter().filter(|d| **d < 0.0).count();
    let equal = differences.len() - better - worse;
    Some(Paired {
        difference,
        p_value: randomization(&differences, seed),
        better,
        equal,
        worse,
    })
}

/// Compares two models by a figure that is not a mean over cases. `difference` says by how much the
/// second model is the better one over the cases in the positions given (with repeats), where the
/// answers of the two are exchanged in the positions (of the original cases) that are marked;
/// `None` where it is undefined. `counts`: better, equal, worse.
pub fn paired_figure(
    n: usize,
    seed: u64,
    counts: [usize; 3],
    difference: impl Fn(&[usize], &[bool]) -> Option<f64>,
) -> Option<Paired> {
    let (all, mut exchanged): (Vec<usize>, _) = ((0..n).collect(), vec![false; n]);
    let value = difference(&all, &exchanged)?;
    let interval = interval(n, seed, |positions| difference(positions, &exchanged))?;
    let mut draw = Random::new(seed ^ PAIRED);
    let mut extreme = 0;
    for _ in 0..RESAMPLES {
        exchanged.fill_with(|| draw.number() >> 63 == 1);
        let again = difference(&all, &exchanged).unwrap_or(0.0);
        extreme += usize::from(again.abs() >= value.abs() - 1e-12);
    }
    let [better, equal, worse] = counts;
    let p_value = ratio(extreme + 1, RESAMPLES + 1);
    Some(Paired {
        difference: Estimate { value, interval, n },
        p_value,
        better,
        equal,
        worse,
    })
}

/// The two-sided p-value of the randomization test on the cases' differences.
fn randomization(differences: &[f64], seed: u64) -> f64 {
    // A difference of zero is zero under either sign.
    let changed: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let observed = changed.iter().sum::<f64>().abs();
    // Sums of the same numbers in another order may differ in the last bits.
    let reaches = |sum: f64| sum.abs() >= observed - 1e-9 * observed.max(1e-12);
    if changed.len() <= EXACT_UP_TO {
        let patterns = 1_usize << changed.len();
        let signed = |pattern: usize| {
            changed
                .iter()
                .enumerate()
                .map(move |(i, d)| if pattern >> i & 1 == 1 { *d } else { -d })
        };
        let extreme = (0..patterns).filter(|p| reaches(signed(*p).sum())).count();
        return ratio(extreme, patterns);
    }
    let mut draw = Random::new(seed ^ PAIRED);
    let rounds = RESAMPLES * 5;
    let extreme = (0..rounds)
        .filter(|_| {
            reaches(
                changed
                    .iter()
                    .map(|d| if draw.number() >> 63 == 1 { *d } else { -d })
                    .sum(),
            )
        })
        .count();
    ratio(extreme + 1, rounds + 1)
}

/// The quantile `q` of sorted values, linearly between neighbors (Hyndman and Fan's type 7).
fn percentile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q * as_f64(last);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 <= at <= last"
    )]
    let below = at.floor() as usize;
    let next = sorted[(below + 1).min(last)];
    Some(sorted[below] + (next - sorted[below]) * (at - as_f64(below)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn numbers(value: &Value) -> Vec<f64> {
        value
            .as_array()
            .expect("list")
            .iter()
            .map(|v| v.as_f64().expect("number"))
            .collect()
    }

    #[test]
    fn percentiles_as_numpy_makes_them() {
        let recorded: Value =
            serde_json::from_str(include_str!("../../../tests/reference/statistics.json"))
                .expect("recorded JSON");
        for case in recorded["percentiles"].as_array().expect("list") {
            let mut values = numbers(&case["values"]);
            values.sort_by(f64::total_cmp);
            for (q, name) in [(0.025, "low"), (0.5, "median"), (0.975, "high")] {
                let theirs = case[name].as_f64().expect("number");
                assert!((percentile(&values, q).expect("values") - theirs).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn randomization_test_as_scipy_computes_it() {
        let recorded: Value =
            serde_json::from_str(include_str!("../../../tests/reference/statistics.json"))
                .expect("recorded JSON");
        for case in recorded["paired"].as_array().expect("list") {
            let test = paired(&numbers(&case["first"]), &numbers(&case["second"]), 1)
                .expect("same length");
            let (theirs, tolerance) = (
                case["p_value"].as_f64().expect("number"),
                case["tolerance"].as_f64().expect("number"),
            );
            assert!(
                (test.p_value - theirs).abs() <= tolerance,
                "{} and {theirs}",
                test.p_value
            );
        }
    }

    #[test]
    fn the_interval_of_a_mean_is_near_the_normal_one() {
        // 400 zeros and ones, 30% of them ones: the standard error of the mean is sqrt(.3 * .7 /
        // 400) = .0229.
        let values: Vec<f64> = (0..400)
            .map(|i| if i % 10 < 3 { 1.0 } else { 0.0 })
            .collect();
        let e = mean_estimate(&values, 7).expect("values");
        assert!((e.value - 0.3).abs() < 1e-12);
        assert!(
            (e.interval.low - (0.3 - 1.96 * 0.0229)).abs() < 0.006,
            "{e:?}"
        );
        assert!(
            (e.interval.high - (0.3 + 1.96 * 0.0229)).abs() < 0.006,
            "{e:?}"
        );
        assert_eq!(
            mean_estimate(&values, 7),
            Some(e),
            "the same seed gives the same interval"
        );
        assert_ne!(mean_estimate(&values, 8), Some(e));
    }

    #[test]
    fn shares_weigh_cases_by_what_could_be_had() {
        let e = share_estimate(&[15.0, 0.0, 0.0], &[15.0, 5.0, 0.0], 1).expect("points");
        assert!((e.value - 0.75).abs() < 1e-12);
        assert_eq!(share_estimate(&[0.0], &[0.0], 1), None);
        assert_eq!(share_estimate(&[], &[], 1), None);
    }

    #[test]
    fn equal_models_differ_by_nothing() {
        let test = paired(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], 1).expect("same length");
        assert!((test.p_value - 1.0).abs() < 1e-12);
        assert_eq!((test.better, test.equal, test.worse), (0, 3, 0));
        assert_eq!(test.verdict(), "not clear");
        let (low, high) = ([1.0; 9], [2.0; 9]);
        let verdict = |a: &[f64], b: &[f64]| paired(a, b, 1).expect("same length").verdict();
        assert_eq!(
            (verdict(&low, &high), verdict(&high, &low)),
            ("better", "worse")
        );
        assert_eq!(paired(&[1.0], &[], 1), None);
    }

    #[test]
    fn a_mean_tested_as_a_figure_is_tested_as_a_mean() {
        let first: Vec<f64> = (0..60).map(|i| f64::from(i % 7)).collect();
        let second: Vec<f64> = (0..60)
            .map(|i| f64::from(i % 7) + f64::from(i % 5) - 1.6)
            .collect();
        let difference = |positions: &[usize], exchanged: &[bool]| {
            let one = |&i: &usize| {
                if exchanged[i] {
                    first[i] - second[i]
                } else {
                    second[i] - first[i]
                }
            };
            mean(&positions.iter().map(one).collect::<Vec<_>>())
        };
        let (figure, plain) = (
            paired_figure(60, 3, [0; 3], difference).expect("defined"),
            paired(&first, &second, 3).expect("same"),
        );
        assert!((figure.difference.value - plain.difference.value).abs() < 1e-12);
        assert_eq!(figure.difference.interval, plain.difference.interval);
        assert!(
            (figure.p_value - plain.p_value).abs() < 0.03,
            "{} and {}",
            figure.p_value,
            plain.p_value
        );
        assert!(paired_figure(3, 3, [0; 3], |_, _| None).is_none());
    }

    #[test]
    fn every_position_is_drawn_about_as_often() {
        let mut draw = Random::new(3);
        let mut seen = [0_u32; 7];
        for _ in 0..7_000 {
            seen[draw.below(7)] += 1;
        }
        assert!(seen.iter().all(|n| (850..1_150).contains(n)), "{seen:?}");
    }

    proptest! {
        #[test]
        fn a_sample_repeats_nothing(n in 0_usize..30, of in 0_usize..30, seed in any::<u64>()) {
            let items: Vec<usize> = (0..of).collect();
            let mut sample = Random::new(seed).sample(&items, n);
            prop_assert_eq!(sample.len(), n.min(of));
            sample.sort_unstable();
            sample.dedup();
            prop_assert_eq!(sample.len(), n.min(of));
        }

        #[test]
        fn an_interval_lies_within_the_values(values in proptest::collection::vec(-5.0_f64..5.0, 1..20), seed in any::<u64>()) {
            let e = mean_estimate(&values, seed).expect("values");
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            prop_assert!(e.interval.low >= low - 1e-9 && e.interval.high <= high + 1e-9);
            prop_assert!(e.interval.low <= e.interval.high);
        }

        #[test]
        fn which_model_comes_first_changes_only_the_sign(
            pairs in proptest::collection::vec((0_u8..6, 0_u8..6), 1..14), seed in any::<u64>()
        ) {
            let a: Vec<f64> = pairs.iter().map(|p| f64::from(p.0)).collect();
            let b: Vec<f64> = pairs.iter().map(|p| f64::from(p.1)).collect();
            let (ab, ba) = (paired(&a, &b, seed).expect("same"), paired(&b, &a, seed).expect("same"));
            prop_assert!((ab.p_value - ba.p_value).abs() < 1e-12);
            prop_assert!((ab.difference.value + ba.difference.value).abs() < 1e-12);
        }
    }
}
