//! A search in words: which products are meant, and in which order they come.
//!
//! The products that cover as much of the query as each other are a *tier*. Within a tier the nearest
//! come first; the tiers' heads are compared by the score that [`rank::joined`] gives. So the ranking
//! needs the cosines of the products that are shown and of few more, however many match.

use roaring::RoaringBitmap;

use super::graph::BREADTH;
use super::lexical::{Asked, Reader, Reading, Synonyms};
use super::plan::Candidates;
use super::rank::{self, Spread};
use super::searcher::{Inner, Searcher};
use super::values::{Hit, Hits, SearchError};
use crate::domain::{Embedding, Filters, ProductKey, Window};

/// Products whose cosines say where the mean of an index lies.
const SAMPLE: u32 = 1_024;
/// In an index with more products than this, those that are meant for their nearness alone are among
/// the nearest that a walk finds; in a smaller one all are looked at.
const LOOKED_AT: u32 = 100_000;

/// Coverages that are told apart: products less than a thousandth apart are of one tier.
const LEVELS: usize = 1_000;

/// Products that cover as much of a query as each other.
struct Tier {
    coverage: f32,
    slots: RoaringBitmap,
}

impl Searcher {
    /// What a query in words asks for, read against this index.
    #[must_use]
    pub fn read(&self, text: &str, reading: Reading<'_>, synonyms: &Synonyms) -> Asked {
        let inner = &*self.inner;
        let reader = Reader {
            lexicon: &inner.lexicon,
            values: &inner.values,
            attributes: &inner.attributes,
            synonyms,
        };
        reader.read(text, reading)
    }

    /// The products that words ask for, among those that match the filters: ranked by how much of
    /// the query they cover and, with a `vector`, by how near they are (see [`rank`]).
    /// `relevant_only`: those that are meant; else all products are ranked.
    ///
    /// Which products are meant, and their scores, do not depend on the filters.
    ///
    /// # Errors
    /// When the vector has another number of dimensions, or the vector library fails (memory).
    pub fn search_words(
        &self,
        asked: &Asked,
        vector: Option<&Embedding>,
        relevant_only: bool,
        filters: &Filters,
        window: Window,
        exclude: &[ProductKey],
    ) -> Result<Hits, SearchError> {
        let inner = &*self.inner;
        let near = match vector {
            Some(query) => Some((query, inner.spread(query)?)),
            None => None,
        };
        let mut tiers = tiers(asked, inner.count());
        if relevant_only {
            if let Some(named) = asked.named() {
                for tier in &mut tiers {
                    tier.slots &= &named | &asked.exact;
                }
            }
            inner.keep_relevant(&mut tiers, near)?;
        }
        let meant = tiers.iter().fold(RoaringBitmap::new(), |mut all, tier| {
            all |= &tier.slots;
            all
        });
        self.answer(
            filters,
            window,
            exclude,
            Some(&meant),
            |_, candidates, wanted| inner.ranked_tiers(&tiers, candidates, near, wanted),
        )
    }
}

/// The tiers of all products that the query does not rule out, those that cover most first; the last
/// is of those that cover nothing.
#[expect(clippy::cast_precision_loss, reason = "a thousand levels")]
fn tiers(asked: &Asked, count: u32) -> Vec<Tier> {
    let weights = asked.weights(count);
    let total: f32 = weights.iter().sum();
    let mut coverage = vec![0.0_f32; count as usize];
    let mut covered = RoaringBitmap::new();
    for (part, weight) in asked.parts.iter().zip(weights) {
        for (strength, slots) in part.strengths.each() {
            let share = weight * strength / total;
            for slot in &slots {
                coverage[slot as usize] += share;
            }
            covered |= slots;
        }
    }
    let exact = &asked.exact - &asked.excluded;
    covered -= &asked.excluded;
    covered -= &exact;
    // By thousandths.
    let mut by_coverage: Vec<Vec<u32>> = vec![Vec::new(); LEVELS + 1];
    for slot in &covered {
        by_coverage[level(coverage[slot as usize])].push(slot);
    }
    let mut rest = RoaringBitmap::new();
    rest.insert_range(0..count);
    rest -= &covered;
    rest -= &exact;
    rest -= &asked.excluded;
    let exact = Tier {
        coverage: rank::EXACT,
        slots: exact,
    };
    let covering = by_coverage.into_iter().enumerate().rev();
    let covering = covering.filter(|(_, slots)| !slots.is_empty());
    let covering = covering.map(|(level, slots)| Tier {
        coverage: level as f32 / LEVELS as f32,
        // In order: the slots were gone through in order.
        slots: RoaringBitmap::from_sorted_iter(slots).unwrap_or_default(),
    });
    let rest = Tier {
        coverage: 0.0,
        slots: rest,
    };
    std::iter::once(exact)
        .chain(covering)
        .chain([rest])
        .collect()
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
    /// Where the cosines of all products lie.
    fn spread(&self, query: &Embedding) -> Result<Spread, SearchError> {
        let all = Candidates::new(self.count(), None, RoaringBitmap::new());
        let best = self.ranked(query, &all, 1.min(all.len()))?;
        let step = (self.count() / SAMPLE).max(1) as usize;
        let sample = (0..self.count()).step_by(step);
        let (mut sum, mut number) = (0.0, 0.0);
        for (_, cosine) in self.index.scores(query, sample)? {
            sum += cosine;
            number += 1.0;
        }
        Ok(Spread {
            mean: sum / f32::max(number, 1.0),
            best: best.first().map_or(0.0, |hit| hit.score),
        })
    }

    /// Leaves in each tier the products that are meant.
    fn keep_relevant(
        &self,
        tiers: &mut [Tier],
        near: Option<(&Embedding, Spread)>,
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
                    if self.count() > LOOKED_AT {
                        let found = match &nearest {
                            Some(found) => found,
                            None => nearest.insert(self.nearest(query)?),
                        };
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

    fn nearest(&self, query: &Embedding) -> Result<RoaringBitmap, SearchError> {
        let found = self.index.near(query, 4 * BREADTH, None)?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The first `wanted` candidates of the tiers.
    fn ranked_tiers(
        &self,
        tiers: &[Tier],
        candidates: &Candidates,
        near: Option<(&Embedding, Spread)>,
        wanted: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        let score = |coverage: f32, cosine: Option<f32>| {
            let nearness = near.zip(cosine);
            let nearness = nearness.map_or(0.0, |((_, spread), cosine)| spread.nearness(cosine));
            rank::joined(coverage, nearness)
        };
        let mut waiting = tiers.iter().peekable();
        let mut open = Vec::new();
        let mut ranked: Vec<Hit> = Vec::new();
        while ranked.len() < wanted {
            let heads = open.iter_mut().enumerate().filter_map(
                |(i, hits): (usize, &mut std::iter::Peekable<std::vec::IntoIter<Hit>>)| {
                    Some((i, *hits.peek()?))
                },
            );
            let best = heads.min_by(|a, b| rank::best_first(&a.1, &b.1));
            // A tier is looked at once its nearest product could come next.
            let next = waiting.next_if(|tier| {
                let most = score(tier.coverage, Some(1.0));
                best.is_none_or(|(_, head)| head.score <= most)
            });
            if let Some(tier) = next {
                let own = candidates.among(&tier.slots);
                let most = wanted.min(own.len());
                let hits: Vec<Hit> = match near {
                    Some((query, _)) => {
                        let found = self.ranked(query, &own, most)?.into_iter();
                        let scored = found.map(|hit| Hit {
                            score: score(tier.coverage, Some(hit.score)),
                            ..hit
                        });
                        scored.collect()
                    }
                    None => own
                        .slots()
                        .take(most)
                        .map(|slot| Hit {
                            key: self.keys[slot as usize],
                            score: score(tier.coverage, None),
                        })
                        .collect(),
                };
                open.push(hits.into_iter().peekable());
                continue;
            }
            let Some((first, _)) = best else { break };
            ranked.extend(open[first].next());
        }
        Ok(ranked)
    }
}
