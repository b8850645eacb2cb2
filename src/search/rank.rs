//! What decides the order of the products: pure functions, nothing else.
//!
//! **To change the ranking, change this file.** It answers three questions, each by one function:
//!
//! | question | function |
//! | --- | --- |
//! | What stands for a product: its photo, its words, how much of each? | [`fuse`] |
//! | Which of two products comes first? | [`best_first`] |
//! | Which of many are shown? | [`best`] |
//!
//! The way of a product: when it is embedded, [`fuse`] makes one vector of it, and the index keeps that vector. When
//! somebody searches, the index proposes candidates with their score (the cosine between the query and that vector)
//! and [`best`] puts them in order. Nothing after it reorders or drops a product: there is no cut-off by score, for a
//! flat one would be wrong for one half of the queries or the other.
//!
//! A change of [`fuse`] shows after the index is rebuilt (its share of words is part of
//! [`IndexVersion`](super::IndexVersion), so that an old snapshot is not taken for a new one); a change of
//! [`best_first`] shows at once. [`best_first`] must stay a total order that depends on nothing but the two hits:
//! pages are cut from it.

use std::cmp::Ordering;

use super::Hit;
use crate::domain::Embedding;

/// Share of the words in a product's vector unless the configuration says otherwise.
pub const DEFAULT_WORDS_PERCENT: u8 = 30;

/// One vector for a product out of its photo's and its words' embedding (title and attributes):
/// `normalize((1 - w) * photo + w * words)` with `w = words_percent / 100`. With one of them missing, the other alone.
/// `None` when both are.
///
/// Above 100 percent counts as 100. Two vectors that cannot be mixed (opposite ones that cancel out, or of different
/// sizes, which one model never makes) leave the photo alone.
#[must_use]
pub fn fuse(photo: Option<&Embedding>, words: Option<&Embedding>, words_percent: u8) -> Option<Embedding> {
    let (photo, words) = match (photo, words) {
        (Some(photo), Some(words)) => (photo, words),
        (one, other) => return one.or(other).cloned(),
    };
    let w = f32::from(words_percent.min(100)) / 100.0;
    let mixed = photo.as_slice().iter().zip(words.as_slice()).map(|(p, t)| (1.0 - w) * p + w * t).collect();
    Some(Embedding::new(mixed, photo.dimensions()).unwrap_or_else(|_| photo.clone()))
}

/// The order of the answers: the higher score first; of equal scores the product that the catalogue knew first. Two
/// different products never compare equal, so that the order is the same on every page and on every machine.
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

    /// The worked example. Three shoes, each with a photo and a title, in a space of two directions: "looks black"
    /// and "looks like a boot". The query asks for both alike.
    #[test]
    fn a_worked_example() {
        let query = embedding(&[1.0, 1.0]);
        let products = [
            // The photo shows a boot, the title says "black": together what was asked for.
            (ProductKey(1), embedding(&[0.0, 1.0]), embedding(&[1.0, 0.0])),
            // Photo and title agree on black, and that it is a boot is told by neither.
            (ProductKey(2), embedding(&[1.0, 0.0]), embedding(&[1.0, 0.0])),
            // The photo alone would have won; the title leads astray.
            (ProductKey(3), embedding(&[1.0, 1.0]), embedding(&[0.0, -1.0])),
        ];
        let ranking = |words_percent: u8| -> Vec<(u32, f32)> {
            let hits = products.iter().map(|(key, photo, words)| {
                let fused = fuse(Some(photo), Some(words), words_percent).expect("both");
                Hit { key: *key, score: (query.cosine(&fused) * 100.0).round() / 100.0 }
            });
            best(hits.collect(), 3).iter().map(|h| (h.key.0, h.score)).collect()
        };
        // Photos alone: product 3 is exactly the query; 1 and 2 are at 45 degrees and the lower key comes first.
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
        assert_eq!(fuse(Some(&photo), Some(&embedding(&[-1.0, 0.0])), 50), Some(photo.clone()));
        assert_eq!(fuse(Some(&photo), Some(&embedding(&[1.0])), 50), Some(photo));
    }

    #[test]
    fn the_best_are_sorted_and_ties_go_to_the_lower_key() {
        let hit = |key, score| Hit { key: ProductKey(key), score };
        let hits = vec![hit(5, 0.5), hit(1, 0.1), hit(3, 0.5), hit(9, 0.9), hit(4, 0.5)];
        let keys = |count| best(hits.clone(), count).iter().map(|h| h.key.0).collect::<Vec<_>>();
        assert_eq!(keys(0), [0; 0]);
        assert_eq!(keys(3), [9, 3, 4]);
        assert_eq!(keys(5), [9, 3, 4, 5, 1]);
        assert_eq!(keys(50), [9, 3, 4, 5, 1]);
    }
}
