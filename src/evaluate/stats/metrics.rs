//! Ranking metrics: what one ordered list of results is worth.
//!
//! Relevance is binary: `relevance[i]` says whether the result in place `i` (from 0) is what was
//! asked for, and `total` how many such products there are in the whole catalog. The definitions
//! are those of trec_eval (NIST): `P_k`, `recall_k`, `recip_rank`, `ndcg_cut_k` and `map`. A
//! question that no product answers (`total` 0) scores 0 everywhere; whether it belongs into a mean
//! is for the caller to decide.

use serde::{Deserialize, Serialize};

/// Share of the first `k` places that are relevant. Always divided by `k`: a list that ends early
/// is not rewarded.
#[must_use]
pub fn precision_at(k: usize, relevance: &[bool]) -> f64 {
    if k == 0 {
        0.0
    } else {
        ratio(found(k, relevance), k)
    }
}

/// Share of the relevant products in the first `k` places.
#[must_use]
pub fn recall_at(k: usize, relevance: &[bool], total: usize) -> f64 {
    if total == 0 {
        0.0
    } else {
        ratio(found(k, relevance), total)
    }
}

/// 1 / place (from 1) of the first relevant result; 0 when there is none. Its mean over questions
/// is the MRR (Voorhees, TREC-8 question answering track, 1999).
#[must_use]
pub fn reciprocal_rank(relevance: &[bool]) -> f64 {
    relevance
        .iter()
        .position(|&r| r)
        .map_or(0.0, |i| ratio(1, i + 1))
}

/// Normalized discounted cumulative gain of the first `k` places: the sum of `1 / log2(place + 1)`
/// over the relevant ones, divided by the largest sum that `total` relevant products allow
/// (Järvelin and Kekäläinen, ACM TOIS 20, 2002).
#[must_use]
pub fn ndcg_at(k: usize, relevance: &[bool], total: usize) -> f64 {
    let ideal: f64 = (0..k.min(total)).map(discount).sum();
    if ideal == 0.0 {
        return 0.0;
    }
    relevance
        .iter()
        .take(k)
        .enumerate()
        .filter(|(_, r)| **r)
        .map(|(i, _)| discount(i))
        .sum::<f64>()
        / ideal
}

/// Mean over all `total` relevant products of the precision at the place of each; one
/// that the list does not hold counts 0. Its mean over questions is the mAP (Manning, Raghavan and
/// Schütze, "Introduction to Information Retrieval", 2008, section 8.4).
#[must_use]
pub fn average_precision(relevance: &[bool], total: usize) -> f64 {
    if total == 0 {
        return 0.0;
    }
    let places = relevance
        .iter()
        .enumerate()
        .filter(|(_, r)| **r)
        .map(|(i, _)| i + 1);
    let sum: f64 = places
        .enumerate()
        .map(|(before, place)| ratio(before + 1, place))
        .sum();
    sum / as_f64(total)
}

/// Place (from 0) of `scores[of]` when the scores are ordered from high to low. Of equal scores the
/// one that is first in the list comes first, as in argmax.
#[must_use]
pub fn place_of(scores: &[f32], of: usize) -> usize {
    let own = scores[of];
    scores
        .iter()
        .enumerate()
        .filter(|&(i, &s)| s > own || (i < of && s.total_cmp(&own).is_eq()))
        .count()
}

/// The positions of `scores` from the highest score to the lowest; equal scores keep their order.
#[must_use]
pub fn order(scores: &[f32]) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..scores.len()).collect();
    positions.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    positions
}

/// 5 points for the first place (0) down to 1 for the fifth, none beyond.
#[must_use]
pub fn rank_points(place: usize) -> u32 {
    u32::try_from(place).map_or(0, |place| 5_u32.saturating_sub(place))
}

/// The usual metrics of one list, or their mean over several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    pub recall_at_1: f64,
    pub recall_at_5: f64,
    pub recall_at_10: f64,
    pub precision_at_1: f64,
    pub precision_at_10: f64,
    pub reciprocal_rank: f64,
    pub ndcg_at_10: f64,
    /// `None` where the list was cut off: average precision needs all of it.
    pub average_precision: Option<f64>,
}

impl Ranking {
    /// `complete`: the list holds every product of the catalog, so that nothing relevant is
    /// beyond its end.
    #[must_use]
    pub fn of(relevance: &[bool], total: usize, complete: bool) -> Self {
        Self {
            recall_at_1: recall_at(1, relevance, total),
            recall_at_5: recall_at(5, relevance, total),
            recall_at_10: recall_at(10, relevance, total),
            precision_at_1: precision_at(1, relevance),
            precision_at_10: precision_at(10, relevance),
            reciprocal_rank: reciprocal_rank(relevance),
            ndcg_at_10: ndcg_at(10, relevance, total),
            average_precision: complete.then(|| average_precision(relevance, total)),
        }
    }

    /// The plain mean, value by value; `None` without lists. When one list has no average
    /// precision, the mean has none.
    #[must_use]
    pub fn mean(lists: &[Self]) -> Option<Self> {
        let mean = |value: fn(&Self) -> f64| mean(&lists.iter().map(value).collect::<Vec<_>>());
        let map: Option<Vec<f64>> = lists.iter().map(|l| l.average_precision).collect();
        Some(Self {
            recall_at_1: mean(|l| l.recall_at_1)?,
            recall_at_5: mean(|l| l.recall_at_5)?,
            recall_at_10: mean(|l| l.recall_at_10)?,
            precision_at_1: mean(|l| l.precision_at_1)?,
            precision_at_10: mean(|l| l.precision_at_10)?,
            reciprocal_rank: mean(|l| l.reciprocal_rank)?,
            ndcg_at_10: mean(|l| l.ndcg_at_10)?,
            average_precision: map.and_then(|values| self::mean(&values)),
        })
    }
}

/// The arithmetic mean; `None` without values.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / as_f64(values.len()))
}

/// `part / whole`; 0 when `whole` is 0.
#[must_use]
pub fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        as_f64(part) / as_f64(whole)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of products stay far below 2^53"
)]
pub(crate) fn as_f64(count: usize) -> f64 {
    count as f64
}

fn found(k: usize, relevance: &[bool]) -> usize {
    relevance.iter().take(k).filter(|r| **r).count()
}

fn discount(place: usize) -> f64 {
    1.0 / as_f64(place + 2).log2()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn equal_to_trec_eval() {
        let recorded: Value = serde_json::from_str(include_str!(
            "../../../tests/reference/ranking_metrics.json"
        ))
        .expect("recorded JSON");
        let cases = recorded["cases"].as_array().expect("cases");
        assert!(cases.len() >= 50, "{} cases", cases.len());
        for case in cases {
            let relevance: Vec<bool> = case["relevance"]
                .as_array()
                .expect("list")
                .iter()
                .map(|v| v == &Value::from(1))
                .collect();
            let total = usize::try_from(case["total"].as_u64().expect("number")).expect("small");
            let ours = Ranking::of(&relevance, total, true);
            for (name, value) in [
                ("P_1", ours.precision_at_1),
                ("P_10", ours.precision_at_10),
                ("recall_1", ours.recall_at_1),
                ("recall_5", ours.recall_at_5),
                ("recall_10", ours.recall_at_10),
                ("recip_rank", ours.reciprocal_rank),
                ("ndcg_cut_10", ours.ndcg_at_10),
                ("map", ours.average_precision.expect("complete")),
            ] {
                let theirs = case["trec_eval"][name].as_f64().expect("number");
                assert!(
                    (value - theirs).abs() < 1e-6,
                    "{name}: {value} and {theirs} for {relevance:?} of {total}"
                );
            }
        }
    }

    #[test]
    fn ties_go_to_the_first() {
        let scores = [0.2, 0.9, 0.9, 0.1, 0.9];
        assert_eq!(
            [1, 2, 4, 0, 3].map(|i| place_of(&scores, i)),
            [0, 1, 2, 3, 4]
        );
        assert_eq!(order(&scores), [1, 2, 4, 0, 3]);
    }

    #[test]
    fn five_points_down_to_one() {
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 64].map(rank_points),
            [5, 4, 3, 2, 1, 0, 0]
        );
    }

    #[test]
    fn questions_without_an_answer_score_nothing() {
        let none = Ranking::of(&[false, false], 0, true);
        assert_eq!(none.average_precision, Some(0.0));
        assert!(none.ndcg_at_10.abs() < f64::EPSILON && none.recall_at_10.abs() < f64::EPSILON);
        assert_eq!(Ranking::mean(&[]), None);
    }

    #[test]
    fn one_cut_list_leaves_no_map() {
        let whole = Ranking::of(&[true], 1, true);
        let cut = Ranking::of(&[true], 1, false);
        assert_eq!(
            Ranking::mean(&[whole, whole])
                .expect("two")
                .average_precision,
            Some(1.0)
        );
        assert_eq!(
            Ranking::mean(&[whole, cut]).expect("two").average_precision,
            None
        );
    }

    proptest! {
        #[test]
        fn metrics_stay_within_their_bounds(relevance in proptest::collection::vec(any::<bool>(), 0..40), beyond in 0_usize..5) {
            let total = relevance.iter().filter(|r| **r).count() + beyond;
            let r = Ranking::of(&relevance, total, true);
            for value in [r.recall_at_1, r.recall_at_5, r.recall_at_10, r.precision_at_1, r.precision_at_10,
                          r.reciprocal_rank, r.ndcg_at_10, r.average_precision.expect("complete")] {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&value));
            }
            prop_assert!(r.recall_at_1 <= r.recall_at_5 && r.recall_at_5 <= r.recall_at_10);
            prop_assert!(r.precision_at_1 <= r.reciprocal_rank);
        }

        #[test]
        fn a_relevant_result_moved_up_never_costs(mut relevance in proptest::collection::vec(any::<bool>(), 2..40), at in 1_usize..39) {
            let at = at % (relevance.len() - 1) + 1;
            prop_assume!(relevance[at] && !relevance[at - 1]);
            let total = relevance.iter().filter(|r| **r).count();
            let before = Ranking::of(&relevance, total, true);
            relevance.swap(at, at - 1);
            let after = Ranking::of(&relevance, total, true);
            prop_assert!(after.average_precision > before.average_precision);
            prop_assert!(after.ndcg_at_10 >= before.ndcg_at_10 && after.reciprocal_rank >= before.reciprocal_rank);
        }

        #[test]
        fn a_perfect_list_scores_one(total in 1_usize..30, rest in 0_usize..30) {
            let relevance: Vec<bool> = (0..total + rest).map(|i| i < total).collect();
            let r = Ranking::of(&relevance, total, true);
            prop_assert!((r.ndcg_at_10 - 1.0).abs() < 1e-12);
            prop_assert!((r.average_precision.expect("complete") - 1.0).abs() < 1e-12);
        }

        #[test]
        fn places_agree_with_the_order(scores in proptest::collection::vec(-3_i8..3, 1..20)) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            for (place, &position) in order(&scores).iter().enumerate() {
                prop_assert_eq!(place_of(&scores, position), place);
            }
        }
    }
}
