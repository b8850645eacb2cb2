//! A search in words: which products are meant, and in which order they come.
//!
//! The products that cover as much of the query as each other are a *tier*. Within a tier the nearest
//! come first; the tiers' heads are compared by the score that [`rank::joined`] gives. So the ranking
//! needs the cosines of the products that are shown and of few more, however many match.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::inner::Inner;
use super::lexical::{Asked, Part, Reader, Reading, Synonyms};
use super::rank::{self, Spread};
use super::ranking::{Ranking, Tier};
use super::searcher::Searcher;
use super::values::{Hits, SearchError, Selection};
use crate::domain::Embedding;

/// Coverages that are told apart: products less than a thousandth apart are of one tier.
const LEVELS: usize = 1_000;
/// Sets of products that are told apart at once.
const MOST_SETS: usize = 256;

/// How words and vectors rank together.
#[derive(Clone, Copy, Debug)]
pub struct Joining<'a> {
    /// `None`: the words alone rank.
    pub vector: Option<&'a Embedding>,
    /// The share of the words in a score (see [`rank::joined`]).
    pub words_weight: f32,
}

impl Default for Joining<'_> {
    fn default() -> Self {
        Self {
            vector: None,
            words_weight: rank::WORDS_WEIGHT,
        }
    }
}

impl Searcher {
    /// What a query in words asks for, read against this index.
    #[must_use]
    pub fn read(&self, text: &str, reading: Reading<'_>, synonyms: &Synonyms) -> Asked {
        let inner = &*self.inner;
        let reader = Reader {
            lexicon: &inner.lexicon,
            values: &inner.values,
            attributes: inner.columns.table(),
            synonyms,
        };
        reader.read(text, reading)
    }

    /// The products that words ask for, among those that match the filters: ranked by how much of
    /// the query they cover and, with a vector, by how near they are (see [`rank`]). Only those that
    /// are meant, unless the selection is of all.
    ///
    /// Which products are meant, and their scores, do not depend on the filters.
    ///
    /// # Errors
    /// When the vector has another number of dimensions, or the vector library fails (memory).
    pub fn search_words(
        &self,
        asked: &Asked,
        joining: Joining<'_>,
        selection: &Selection,
    ) -> Result<Hits, SearchError> {
        let inner = &*self.inner;
        let near = match joining.vector {
            Some(query) => Some((query, inner.spread(query)?)),
            None => None,
        };
        let named = if selection.all { None } else { asked.named() };
        let among = inner.ranked_at_all(asked, selection.all, named.as_ref());
        let mut tiers = tiers(asked, among, inner.products());
        if !selection.all && !asked.only_excludes() {
            inner.keep_relevant(&mut tiers, near, named.as_ref())?;
        }
        let meant = tiers.iter().fold(RoaringBitmap::new(), |mut all, tier| {
            all |= &tier.slots;
            all
        });
        let ranking = Ranking::Words {
            tiers: &tiers,
            near,
            weight: joining.words_weight,
        };
        let mut hits = self.answer(selection, Some(&meant), ranking)?;
        if selection.explain {
            hits.explanations = inner.explained(&hits.hits, ranking, Some(asked))?;
        }
        Ok(hits)
    }
}

/// The tiers of the products of `among`, those that cover most first; the last is of those that cover
/// nothing.
#[expect(clippy::cast_precision_loss, reason = "a thousand levels")]
fn tiers(asked: &Asked, among: RoaringBitmap, count: u32) -> Vec<Tier> {
    let exact = &asked.exact - &asked.excluded;
    let weights = asked.weights(count);
    let total: f32 = weights.iter().sum();
    let shares: Vec<f32> = weights.into_iter().map(|weight| weight / total).collect();
    let among = among - &asked.excluded - &exact;
    let mut levels = levels(&asked.parts, &shares, among, MOST_SETS);
    lower(&mut levels, &asked.entitled);
    let exact = Tier {
        coverage: rank::EXACT,
        slots: exact,
    };
    let covering = levels.into_iter().map(|(Reverse(level), slots)| Tier {
        coverage: level as f32 / LEVELS as f32,
        slots,
    });
    std::iter::once(exact).chain(covering).collect()
}

/// The products of `among` by how much they cover, in thousandths, the greatest first. `shares`: of
/// each part. `most_sets`: beyond so many sets products are gone through one by one.
fn levels(
    parts: &[Part],
    shares: &[f32],
    among: RoaringBitmap,
    most_sets: usize,
) -> BTreeMap<Reverse<usize>, RoaringBitmap> {
    // Sets of products that match all parts so far alike are split by each further part. A query has
    // few parts, and these sets are few; one of many common words makes thousands.
    let mut alike = vec![(0.0_f32, among)];
    let mut left = parts.iter().zip(shares);
    while alike.len() <= most_sets
        && let Some((part, share)) = left.next()
    {
        let mut split = Vec::with_capacity(2 * alike.len());
        for (coverage, mut slots) in alike {
            for (strength, matching) in part.strengths.sets() {
                let own = &slots & matching;
                if !own.is_empty() {
                    slots -= &own;
                    split.push((coverage + share * strength, own));
                }
            }
            if !slots.is_empty() {
                split.push((coverage, slots));
            }
        }
        alike = split;
    }
    let mut levels: BTreeMap<Reverse<usize>, RoaringBitmap> = BTreeMap::new();
    if left.len() == 0 {
        for (coverage, slots) in alike {
            *levels.entry(Reverse(level(coverage))).or_default() |= slots;
        }
        return levels;
    }
    let among = alike
        .iter()
        .fold(RoaringBitmap::new(), |all, (_, slots)| all | slots);
    let mut covered = vec![0.0_f32; among.max().map_or(0, |last| last as usize + 1)];
    for (coverage, slots) in &alike {
        for slot in slots {
            covered[slot as usize] = *coverage;
        }
    }
    for (part, share) in left {
        let mut others = among.clone();
        for (strength, matching) in part.strengths.sets() {
            let own = &others & matching;
            for slot in &own {
                covered[slot as usize] += share * strength;
            }
            others -= own;
        }
    }
    for slot in &among {
        let level = level(covered[slot as usize]);
        levels.entry(Reverse(level)).or_default().insert(slot);
    }
    levels
}

/// Where titles hold the whole query, all other products cover less by [`rank::NOT_IN_TITLE`].
fn lower(levels: &mut BTreeMap<Reverse<usize>, RoaringBitmap>, entitled: &RoaringBitmap) {
    if entitled.is_empty() {
        return;
    }
    for (Reverse(at), slots) in std::mem::take(levels) {
        let below = at.saturating_sub(level(rank::NOT_IN_TITLE));
        for (at, slots) in [(at, &slots & entitled), (below, slots - entitled)] {
            if !slots.is_empty() {
                *levels.entry(Reverse(at)).or_default() |= slots;
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of one"
)]
fn level(coverage: f32) -> usize {
    (coverage.clamp(0.0, 1.0) * LEVELS as f32).round() as usize
}

impl Inner {
    /// The products that a query in words ranks: all, or those of which some may be meant. These match
    /// what it names outright, or say all of it; where it names nothing, anything of it; where no
    /// product does, they are all, some of which are near.
    fn ranked_at_all(
        &self,
        asked: &Asked,
        all: bool,
        named: Option<&RoaringBitmap>,
    ) -> RoaringBitmap {
        if all {
            return self.all();
        }
        if let Some(named) = named {
            return named | asked.whole();
        }
        let matching = asked.parts.iter().map(|part| part.strengths.all());
        let matching = matching.fold(RoaringBitmap::new(), |all, part| all | part);
        if matching.is_subset(&asked.excluded) {
            return self.all();
        }
        matching
    }

    /// Leaves in each tier the products that are meant. `named`: those that match what the query names
    /// outright; others must cover enough whether or not they are near.
    fn keep_relevant(
        &self,
        tiers: &mut [Tier],
        near: Option<(&Embedding, Spread)>,
        named: Option<&RoaringBitmap>,
    ) -> Result<(), SearchError> {
        let covering = tiers
            .iter()
            .filter(|tier| tier.coverage <= 1.0 && !tier.slots.is_empty());
        let best = covering.map(|tier| tier.coverage).fold(0.0, f32::max);
        let mut nearest = None;
        if let Some((query, _)) = near
            && self.count() <= self.index.looked_at()
        {
            self.index.prefetch(query, || {
                let compared = tiers.iter().filter(|tier| {
                    rank::needed_nearness(tier.coverage, best).is_some_and(|needed| needed > 0.0)
                });
                let all = compared.fold(RoaringBitmap::new(), |all, tier| all | &tier.slots);
                match named {
                    Some(named) => all & named,
                    None => all,
                }
            })?;
        }
        for tier in tiers {
            match (rank::needed_nearness(tier.coverage, best), near) {
                (Some(needed), _) if needed <= 0.0 => {}
                (Some(needed), Some((query, spread))) => {
                    if let Some(named) = named {
                        tier.slots &= named;
                    }
                    let found = match &nearest {
                        Some(found) => found,
                        None => nearest.insert(self.nearest(query)?),
                    };
                    if let Some(found) = found {
                        tier.slots &= found;
                    }
                    let least = spread.cosine(needed);
                    let scores = self.index.scores(query, tier.slots.iter())?;
                    let kept = scores.filter(|(_, cosine)| *cosine >= least);
                    tier.slots = kept.map(|(slot, _)| slot).collect();
                }
                _ => tier.slots.clear(),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::lexical::Strengths;

    #[test]
    fn products_without_the_whole_title_cover_less() {
        let slots = |slots: &[u32]| slots.iter().copied().collect::<RoaringBitmap>();
        let mut levels = BTreeMap::from([
            (Reverse(1_000), slots(&[1, 2])),
            (Reverse(980), slots(&[3])),
            (Reverse(950), slots(&[4])),
            (Reverse(20), slots(&[5])),
        ]);
        lower(&mut levels, &RoaringBitmap::new());
        assert_eq!(levels.len(), 4);
        lower(&mut levels, &slots(&[3, 4]));
        let expected = BTreeMap::from([
            (Reverse(980), slots(&[3])),
            (Reverse(950), slots(&[1, 2, 4])),
            (Reverse(0), slots(&[5])),
        ]);
        assert_eq!(levels, expected);
    }

    /// Many parts that match by chance: by sets, one by one, and half and half.
    #[test]
    fn products_are_told_apart_the_same_way_by_sets_and_one_by_one() {
        let mut state = 7_u64;
        let mut chance = |of: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % of
        };
        let part = |chance: &mut dyn FnMut(u64) -> u64| {
            let mut strengths = Strengths::default();
            for strength in [1.0, 0.8, 0.4] {
                let slots = (0..500).filter(|_| chance(3) == 0);
                strengths.add(strength, &slots.collect());
            }
            Part {
                text: String::new(),
                words: 1,
                kind: false,
                named: false,
                strengths,
            }
        };
        let parts: Vec<Part> = (0..9).map(|_| part(&mut chance)).collect();
        let shares = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0].map(|part| part / 45.0);
        let among: RoaringBitmap = (0..500).filter(|_| chance(4) > 0).collect();
        let by_sets = levels(&parts, &shares, among.clone(), usize::MAX);
        assert!(by_sets.len() > 50, "{}", by_sets.len());
        for most in [0, 20] {
            assert_eq!(levels(&parts, &shares, among.clone(), most), by_sets);
        }
        let all = by_sets
            .into_values()
            .fold(RoaringBitmap::new(), |all, of| all | of);
        assert_eq!(all, among);
    }
}
