//! What decides the order of the products: pure functions, nothing else.
//!
//! **To change the ranking, change this file.** It answers these questions:
//!
//! | question | function |
//! | --- | --- |
//! | What represents a product: its picture, its words, how much of each? | [`fuse`] |
//! | How strongly does a word match: as a value, in a title, as a synonym? | [`strength`] |
//! | How much does each part of a query weigh? | [`weights`] |
//! | How do words and vectors count together? | [`joined`], [`Spread`] |
//! | Which products are meant at all? | [`is_relevant`] |
//! | What is a photo of, by the products that are nearest to it, and what is that worth? | [`shares`], [`lean`], together [`voted`] |
//! | Which of two products comes first? | [`best_first`] |
//! | Which of many are shown? | [`best`] |
//!
//! The way of a product: when it is embedded, [`fuse`] makes one vector of it, and the index keeps
//! that vector. When somebody searches, the index proposes candidates with their score (the cosine
//! between the query and that vector) and [`best`] puts them in order. There is no
//! cut-off by a flat score, which would be wrong for one half of the queries or the other: which
//! products a query in words means is relative to the best of them ([`is_relevant`]).
//!
//! # Words
//!
//! A query in words has parts ([`ask`](super::lexical::ask)): "red shoes" has "red" and "shoes". A
//! product matches each with a [`strength`], and its *coverage* is the mean of these, weighed by
//! [`weights`]. The cosine is brought to the same scale: its *nearness* is 0 at the mean of the index
//! and 1 at the nearest product ([`Spread`]). [`joined`] adds the two.
//!
//! A worked example, with 1,000 products of which 100 are shoes and 50 are red: the weight of "red" is
//! `ln(1 + 1000 / 50) = 3.04`; "shoes" has `ln(1 + 1000 / 100) = 2.40`, but says what the product is,
//! and weighs as much as the heaviest part, 3.04. A red shoe (`color` is Red: 1; "shoes" is a word of
//! its category Casual Shoes: 0.97) has coverage `(3.04 * 1 + 3.04 * 0.97) / 6.08 = 0.985`. A blue
//! shoe with "red" in its title (0.6) has 0.785, and a red bag 0.5. With a nearness of 0.8 the red
//! shoe scores `(0.985 + 0.3 * 0.8) / 1.3 = 0.942`; the blue one, were it nearer than any other
//! product, `(0.785 + 0.3) / 1.3 = 0.835`. So words decide between products that match a query in
//! different ways, and pictures between those that match alike.
//!
//! # Photos
//!
//! A photo says less than words do: the sleeve of a shirt looks like that of a kurta, and a ranking
//! by cosine alone wanders between the two. Therefore the [`VOTERS`] nearest products vote on the
//! category ([`shares`]), and a product's score rises by its category's share ([`lean`]):
//! pseudo-relevance feedback (Manning, Raghavan and Schütze, 2008, section 9.1.6) with the
//! catalog's own categories for terms. The [`LEADING`] nearest count as if they had all votes: who
//! photographs a product of the shop finds that product first, whatever its neighbors are. What is
//! gained and what it costs is in docs/acceptance.md.
//!
//! A change of [`fuse`] shows after the index is rebuilt (its share of words is part of
//! [`IndexVersion`](super::IndexVersion), so that an old snapshot is not taken for a new one); a
//! change of [`best_first`] shows at once. [`best_first`] must stay a total order that depends on
//! nothing but the two hits: pages are cut from it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::values::Hit;
use crate::domain::Embedding;

/// Share of the words in a product's vector unless the configuration says otherwise.
pub const DEFAULT_WORDS_PERCENT: u8 = 30;

/// How many of the nearest products say what a photo is of.
pub const VOTERS: usize = 50;
/// So many of the nearest stay at the top.
pub const LEADING: usize = 2;
/// A voter this much further than the nearest (in cosine) counts e times less.
const VOTE_SCALE: f32 = 0.02;
/// What a category that all voters agree on is worth, in cosine.
const AGREEMENT: f32 = 0.2;
/// A category with less of the votes is not looked at: it moves nothing, and costs a search.
const LEAST_SHARE: f32 = 0.05;

/// How strongly a word matches a product, between 0 and 1.
pub mod strength {
    /// It is a value of an attribute: "red" for a product whose color is Red.
    pub const WHOLE_VALUE: f32 = 1.0;
    /// It is a word of a value: "shoes" for one whose category is Casual Shoes.
    pub const IN_VALUE: f32 = 0.97;
    /// It is a word of a category, but not the one that says what the products are: "shoe" for one
    /// whose category is Shoe Accessories.
    pub const BESIDE: f32 = 0.85;
    /// It is in the title.
    pub const TITLE: f32 = 0.8;
    /// It is in the title of a product that says otherwise: "red" in that of one whose color is Blue.
    pub const MENTION: f32 = 0.6;
    /// It is in the description, which says much that a product is not.
    pub const DESCRIPTION: f32 = 0.4;
    /// So much of that, for words that are written together in the catalog.
    pub const JOINED: f32 = 0.97;
    /// For a word that begins with what was typed.
    pub const UNFINISHED: f32 = 0.95;
    /// For a synonym.
    pub const SYNONYM: f32 = 0.95;
    /// For a word that says what products are, and a product that is not of that kind but has the
    /// word elsewhere: "jumper" finds sweaters before shoes of that name.
    pub const OTHER_KIND: f32 = 0.9;
    /// For what is only near in meaning, such as maroon for red.
    pub const NEAR: f32 = 0.75;
}

/// What the greatest nearness is worth beside the greatest coverage.
pub const NEARNESS: f32 = 0.3;
/// Above every coverage: the product whose article number or title the query is.
pub const EXACT: f32 = 2.0;
/// A product that is meant matches so strongly what the query names outright: a value, a kind.
pub const NAMED: f32 = 0.7;
/// A product says a part of the query when it matches it so strongly: in its title, say, though its
/// color is another one. One that says all parts is looked at, too.
pub const SAID: f32 = 0.57;
/// Where titles hold every word of a longer query, all other products cover so much less.
pub const NOT_IN_TITLE: f32 = 0.05;
/// A product is meant when it covers so much of what the best one covers ..
const COVERED: f32 = 0.85;
/// .. or so much, when it is also this near.
const HALF_COVERED: f32 = 0.4;
const NEAR_TOO: f32 = 0.8;
/// Where the catalog knows none of the words, a product that is this near is meant.
pub const NEAR_ALONE: f32 = 0.7;

/// The weight of each part of a query. `parts`: how many products match it, of how many words it is,
/// and whether it says what the product is.
///
/// A part weighs as much as it tells products apart: `ln(1 + products / matching)` a word (Sparck
/// Jones 1972), from 1 to 8. One that says what the product is weighs as much as the heaviest.
#[must_use]
pub fn weights(parts: &[(u64, usize, bool)], products: u64) -> Vec<f32> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts are far below 2^24 in effect"
    )]
    let weight = |(matching, words, _): &(u64, usize, bool)| {
        let rarity = (1.0 + products as f32 / (*matching).max(1) as f32).ln();
        rarity.clamp(1.0, 8.0) * *words as f32
    };
    let weights: Vec<f32> = parts.iter().map(weight).collect();
    let heaviest = weights.iter().copied().fold(0.0, f32::max);
    let of_kind = parts.iter().zip(weights);
    of_kind
        .map(|((_, _, kind), weight)| if *kind { heaviest } else { weight })
        .collect()
}

/// How the cosines of a query and all products of an index lie, whatever the filter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub mean: f32,
    pub best: f32,
}

impl Spread {
    /// 0 at the mean of the index and below, 1 at the nearest product.
    #[must_use]
    pub fn nearness(&self, cosine: f32) -> f32 {
        let range = self.best - self.mean;
        if range <= f32::EPSILON {
            return 0.0;
        }
        ((cosine - self.mean) / range).clamp(0.0, 1.0)
    }

    /// The least cosine of such a nearness.
    #[must_use]
    pub fn cosine(&self, nearness: f32) -> f32 {
        self.mean + nearness * (self.best - self.mean)
    }
}

/// The share of the words in a score unless a query says otherwise: that of the coverage in
/// `coverage + NEARNESS * nearness`.
pub const WORDS_WEIGHT: f32 = 1.0 / (1.0 + NEARNESS);

/// The score of a product that covers so much of the query and is so near to it: 0 to 1, and above 1
/// for [`EXACT`]. `words_weight`: the share of the words, [`WORDS_WEIGHT`] unless the query says
/// otherwise.
#[must_use]
pub fn joined(coverage: f32, nearness: f32, words_weight: f32) -> f32 {
    // What the query names comes first, however little the words are to count.
    let share = if coverage >= EXACT {
        words_weight.max(WORDS_WEIGHT)
    } else {
        words_weight
    };
    share * coverage + (1.0 - share) * nearness
}

/// Whether a product is meant by a query: it covers about as much as the product that covers most
/// (`best`), or a good part of that and is among the nearest. Both are of the products that match
/// what the query names outright ([`NAMED`]), where there are any.
#[must_use]
pub fn is_relevant(coverage: f32, best: f32, nearness: f32) -> bool {
    if coverage >= EXACT {
        return true;
    }
    if best <= 0.0 {
        return nearness >= NEAR_ALONE;
    }
    coverage >= COVERED * best || (coverage >= HALF_COVERED * best && nearness >= NEAR_TOO)
}

/// The least nearness with which a product of that coverage is meant; `None` when none is enough.
#[must_use]
pub fn needed_nearness(coverage: f32, best: f32) -> Option<f32> {
    [0.0, NEAR_ALONE, NEAR_TOO]
        .into_iter()
        .find(|nearness| is_relevant(coverage, best, *nearness))
}

/// One vector for a product out of its photo's and its words' embedding (title and attributes):
/// `normalize((1 - w) * photo + w * words)` with `w = words_percent / 100`. With one of them
/// missing, the other alone. `None` when both are.
///
/// Above 100 percent counts as 100. Two vectors that cannot be mixed (opposite ones that cancel
/// out, or of different sizes, which one model never makes) leave the photo alone.
#[must_use]
pub fn fuse(
    photo: Option<&Embedding>,
    words: Option<&Embedding>,
    words_percent: u8,
) -> Option<Embedding> {
    let (photo, words) = match (photo, words) {
        (Some(photo), Some(words)) => (photo, words),
        (one, other) => return one.or(other).cloned(),
    };
    let w = f32::from(words_percent.min(100)) / 100.0;
    let mixed = photo
        .as_slice()
        .iter()
        .zip(words.as_slice())
        .map(|(p, t)| (1.0 - w) * p + w * t)
        .collect();
    Some(Embedding::new(mixed, photo.dimensions()).unwrap_or_else(|_| photo.clone()))
}

/// Each category's share of the voters' weight, the largest first; of equals the one that sorts
/// first. `voters`: the score of each with its categories, of which a product may have none or
/// several.
///
/// A voter's weight is `exp((score - best) / 0.02)`: where one product is much nearer than all
/// others, as the very product that the photo shows, its word decides.
#[must_use]
pub fn shares<K: Ord>(voters: Vec<(f32, Vec<K>)>) -> Vec<(K, f32)> {
    let best = voters
        .iter()
        .map(|(score, _)| *score)
        .fold(f32::NEG_INFINITY, f32::max);
    let mut sums: BTreeMap<K, f32> = BTreeMap::new();
    let mut total = 0.0;
    for (score, mut kinds) in voters {
        kinds.sort_unstable();
        kinds.dedup();
        let weight = ((score - best) / VOTE_SCALE).exp();
        total += weight;
        for kind in kinds {
            *sums.entry(kind).or_default() += weight;
        }
    }
    let mut shares: Vec<(K, f32)> = sums
        .into_iter()
        .map(|(kind, sum)| (kind, sum / total))
        .collect();
    shares.retain(|(_, share)| *share >= LEAST_SHARE);
    // Stable: equals stay in the order of the map.
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

/// The score of a product whose category has this share of the votes: in [-1, 1] as the cosine is.
#[must_use]
pub fn lean(cosine: f32, share: f32) -> f32 {
    (cosine + AGREEMENT * share) / (1.0 + AGREEMENT)
}

/// The share of the votes that makes this score of this cosine: [`lean`] the other way round.
#[must_use]
pub fn share_of(score: f32, cosine: f32) -> f32 {
    ((score * (1.0 + AGREEMENT) - cosine) / AGREEMENT).clamp(0.0, 1.0)
}

/// The scores of products after the vote. `ranked`: the cosine of each with its categories, best
/// first, of which the first [`VOTERS`] vote.
///
/// The definition of the vote as a whole, for whoever ranks every product.
/// [`Searcher::search_photo`](super::Searcher::search_photo) comes to the same without that.
#[must_use]
pub fn voted<K: Ord + Clone>(ranked: &[(f32, Vec<K>)]) -> Vec<f32> {
    let shares = shares(ranked.iter().take(VOTERS).cloned().collect());
    let share = |categories: &[K]| {
        // A product of two categories is of the one with more votes.
        let best = shares.iter().find(|(voted, _)| categories.contains(voted));
        best.map_or(0.0, |(_, share)| *share)
    };
    let score = |(place, (cosine, categories)): (usize, &(f32, Vec<K>))| {
        let leads = place < LEADING;
        lean(*cosine, if leads { 1.0 } else { share(categories) })
    };
    ranked.iter().enumerate().map(score).collect()
}

/// The order of the answers: the higher score first; of equal scores the product that the catalog
/// knew first. Two different products never compare equal, so that the order is the same on every
/// page and on every machine.
#[must_use]
pub fn best_first(a: &Hit, b: &Hit) -> Ordering {
    b.score.total_cmp(&a.score).then(a.key.cmp(&b.key))
}

/// The first `count` of `hits` in the order of [`best_first`]; all of them when there are fewer.
///
/// O(n + count log count): what is not shown is not sorted.
#[must_use]
pub fn best(mut hits: Vec<Hit>, count: usize) -> Vec<Hit> {
    if count == 0 {
        return Vec::new();
    }
    if count < hits.len() {
        hits.select_nth_unstable_by(count - 1, best_first);
        hits.truncate(count);
    }
    hits.sort_unstable_by(best_first);
    hits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProductKey;

    fn embedding(values: &[f32]) -> Embedding {
        Embedding::new(values.to_vec(), values.len()).expect("finite")
    }

    /// The worked example. Three shoes, each with a photo and a title, in a space of two
    /// directions: "looks black" and "looks like a boot". The query asks for both alike.
    #[test]
    fn a_worked_example() {
        let query = embedding(&[1.0, 1.0]);
        let products = [
            // The photo shows a boot, the title says "black": together what was asked for.
            (
                ProductKey(1),
                embedding(&[0.0, 1.0]),
                embedding(&[1.0, 0.0]),
            ),
            // Photo and title agree on black, and that it is a boot is told by neither.
            (
                ProductKey(2),
                embedding(&[1.0, 0.0]),
                embedding(&[1.0, 0.0]),
            ),
            // The photo alone would have won; the title leads astray.
            (
                ProductKey(3),
                embedding(&[1.0, 1.0]),
                embedding(&[0.0, -1.0]),
            ),
        ];
        let ranking = |words_percent: u8| -> Vec<(u32, f32)> {
            let hits = products.iter().map(|(key, photo, words)| {
                let fused = fuse(Some(photo), Some(words), words_percent).expect("both");
                Hit {
                    key: *key,
                    score: (query.cosine(&fused) * 100.0).round() / 100.0,
                }
            });
            best(hits.collect(), 3)
                .iter()
                .map(|h| (h.key.0, h.score))
                .collect()
        };
        // Photos alone: product 3 is exactly the query; 1 and 2 are at 45 degrees and the lower key
        // comes first.
        assert_eq!(ranking(0), [(3, 1.0), (1, 0.71), (2, 0.71)]);
        // Half and half: product 1 is normalize((0.5, 0.5)), exactly the query.
        assert_eq!(ranking(50), [(1, 1.0), (2, 0.71), (3, 0.38)]);
        // Words alone.
        assert_eq!(ranking(100), [(1, 0.71), (2, 0.71), (3, -0.71)]);
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let (photo, words) = (embedding(&[1.0, 0.0]), embedding(&[0.0, 1.0]));
        assert_eq!(fuse(Some(&photo), None, 90), Some(photo.clone()));
        assert_eq!(fuse(None, Some(&words), 10), Some(words.clone()));
        assert_eq!(fuse(None, None, 50), None);
        assert_eq!(fuse(Some(&photo), Some(&words), 0), Some(photo.clone()));
        assert_eq!(fuse(Some(&photo), Some(&words), 100), Some(words.clone()));
        assert_eq!(fuse(Some(&photo), Some(&words), 255), Some(words));
    }

    #[test]
    fn what_cannot_be_mixed_leaves_the_photo() {
        let photo = embedding(&[1.0, 0.0]);
        assert_eq!(
            fuse(Some(&photo), Some(&embedding(&[-1.0, 0.0])), 50),
            Some(photo.clone())
        );
        assert_eq!(
            fuse(Some(&photo), Some(&embedding(&[1.0])), 50),
            Some(photo)
        );
    }

    #[test]
    fn the_nearest_vote_on_what_a_photo_is_of() {
        // Two shirts and a kurta nearly as near; a shoe so far off that its vote counts nothing.
        let voters = vec![
            (0.80, vec!["shirts"]),
            (0.80, vec!["kurtas"]),
            (0.78, vec!["shirts"]),
            (0.30, vec!["shoes"]),
        ];
        let found = shares(voters);
        let e = (-1.0_f32).exp();
        let expected = [
            ("shirts", (1.0 + e) / (2.0 + e)),
            ("kurtas", 1.0 / (2.0 + e)),
        ];
        assert_eq!(found.len(), 2, "{found:?}");
        for ((kind, share), (name, expected)) in found.iter().zip(expected) {
            assert!(
                *kind == name && (share - expected).abs() < 1e-4,
                "{found:?}"
            );
        }
        // One that is much nearer decides alone; one without a category takes its weight with it.
        let sure = shares(vec![(0.95, vec!["bags", "bags"]), (0.7, vec!["belts"])]);
        assert!(
            sure.len() == 1 && sure[0].0 == "bags" && (sure[0].1 - 1.0).abs() < 1e-4,
            "{sure:?}"
        );
        let half = shares(vec![(0.5, vec![]), (0.5, vec!["belts"])]);
        assert!(half[0].0 == "belts" && (half[0].1 - 0.5).abs() < 1e-6);
        assert_eq!(shares::<&str>(Vec::new()), []);
        // Of two kinds with the same share the first in order: nothing depends on chance.
        let names: Vec<_> = shares(vec![(0.5, vec!["b"]), (0.5, vec!["a"])])
            .into_iter()
            .map(|s| s.0)
            .collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn votes_lift_the_category_that_is_shown() {
        let ranked = [
            (0.80, vec!["shirts"]),
            (0.79, vec!["kurtas"]),
            (0.78, vec!["kurtas"]),
            (0.77, vec!["shirts", "kurtas"]),
            (0.76, vec![]),
        ];
        let scores = voted(&ranked);
        let found: BTreeMap<_, _> = shares(ranked.to_vec()).into_iter().collect();
        let more = found["shirts"].max(found["kurtas"]);
        let expected = [
            lean(0.80, 1.0),
            lean(0.79, 1.0),
            lean(0.78, found["kurtas"]),
            lean(0.77, more),
            lean(0.76, 0.0),
        ];
        assert_eq!(scores, expected);
    }

    #[test]
    fn agreement_lifts_a_product_past_one_that_is_a_little_nearer() {
        assert!(lean(0.70, 1.0) > lean(0.85, 0.0) && lean(0.60, 1.0) < lean(0.85, 0.0));
        assert!((lean(1.0, 1.0) - 1.0).abs() < 1e-6 && lean(-1.0, 0.0) >= -1.0);
    }

    #[test]
    fn the_best_are_sorted_and_ties_go_to_the_lower_key() {
        let hit = |key, score| Hit {
            key: ProductKey(key),
            score,
        };
        let hits = vec![
            hit(5, 0.5),
            hit(1, 0.1),
            hit(3, 0.5),
            hit(9, 0.9),
            hit(4, 0.5),
        ];
        let keys = |count| {
            best(hits.clone(), count)
                .iter()
                .map(|h| h.key.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(0), [0; 0]);
        assert_eq!(keys(3), [9, 3, 4]);
        assert_eq!(keys(5), [9, 3, 4, 5, 1]);
        assert_eq!(keys(50), [9, 3, 4, 5, 1]);
    }
}
