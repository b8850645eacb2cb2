//! A search in words: which products are meant, and in which order they come.
//!
//! The products that cover as much of the query as each other are a *tier*. Within a tier the nearest
//! come first; the tiers' heads are compared by the score that [`rank::joined`] gives. So the ranking
//! needs the cosines of the products that are shown and of few more, however many match.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::inner::Inner;
use super::lexical::{Asked, Reader, Reading, Synonyms};
use super::rank::{self, Spread};
use super::ranking::{Ranking, Tier};
use super::searcher::Searcher;
use super::values::{Hits, SearchError, Selection};
use crate::domain::Embedding;

/// Coverages that are told apart: products less than a thousandth apart are of one tier.
const LEVELS: usize = 1_000;

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
        let among = inner.ranked_at_all(asked, selection.all);
        let mut tiers = tiers(asked, &among, inner.count());
        if !selection.all && !asked.only_excludes() {
            inner.keep_relevant(&mut tiers, near, asked.named().as_ref())?;
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
fn tiers(asked: &Asked, among: &RoaringBitmap, count: u32) -> Vec<Tier> {
    let exact = &asked.exact - &asked.excluded;
    // Sets of products that match all parts so far alike are split by each further part.
    let mut alike = vec![(0.0_f32, among - &asked.excluded - &exact)];
    let weights = asked.weights(count);
    let total: f32 = weights.iter().sum();
    for (part, weight) in asked.parts.iter().zip(weights) {
        let share = weight / total;
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
    // By thousandths, the greatest first.
    let mut levels: BTreeMap<Reverse<usize>, RoaringBitmap> = BTreeMap::new();
    for (coverage, slots) in alike {
        *levels.entry(Reverse(level(coverage))).or_default() |= slots;
    }
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
    fn ranked_at_all(&self, asked: &Asked, all: bool) -> RoaringBitmap {
        if all {
            return self.all();
        }
        if let Some(named) = asked.named() {
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
