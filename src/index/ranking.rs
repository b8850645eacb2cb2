//! What ranks the candidates of a search, and their first so many.

use std::collections::{HashMap, HashSet};

use roaring::RoaringBitmap;

use super::graph::{BREADTH, Filter};
use super::inner::Inner;
use super::plan::{Candidates, Plan};
use super::rank::{self, LEADING, Spread, VOTERS};
use super::values::{Hit, SearchError};
use crate::domain::{AttributeName, Embedding};

/// What ranks the candidates. Each ranking is the same however many of it are asked for: pages join.
#[derive(Clone, Copy)]
pub(super) enum Ranking<'a> {
    /// Nothing: they come in the order of the catalog.
    Catalog,
    /// Their vectors.
    Near(&'a Embedding),
    /// Their vectors, and the vote of the nearest on this attribute.
    Vote(&'a Embedding, &'a AttributeName),
    /// How much of the query they cover, and their vectors.
    Words {
        tiers: &'a [Tier],
        near: Option<(&'a Embedding, Spread)>,
        /// The share of the words.
        weight: f32,
    },
}

impl<'a> Ranking<'a> {
    /// The vector that products are compared with.
    pub(super) fn vector(self) -> Option<&'a Embedding> {
        match self {
            Self::Catalog => None,
            Self::Near(query) | Self::Vote(query, _) => Some(query),
            Self::Words { near, .. } => near.map(|(query, _)| query),
        }
    }
}

/// Products that cover as much of a query as each other.
pub(super) struct Tier {
    pub coverage: f32,
    pub slots: RoaringBitmap,
}

/// What a product is ranked by.
pub(super) struct Scored {
    pub score: f32,
    /// Tells products of equal scores apart: those that are further than the mean are equally near.
    pub cosine: f32,
}

impl Inner {
    /// The first `wanted` of the candidates, which are at least as many.
    pub(super) fn first(
        &self,
        ranking: Ranking<'_>,
        candidates: &Candidates,
        wanted: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        match ranking {
            Ranking::Catalog => {
                let slots = candidates.slots().take(wanted);
                Ok(slots.map(|slot| self.hit(slot, 0.0)).collect())
            }
            Ranking::Near(query) => self.ranked(query, candidates, wanted),
            Ranking::Vote(query, category) => {
                self.ranked_by_vote(query, candidates, wanted, category)
            }
            Ranking::Words {
                tiers,
                near,
                weight,
            } => self.ranked_tiers(tiers, candidates, near, weight, wanted),
        }
    }

    /// The score of each slot, in the order given.
    pub(super) fn scored(
        &self,
        ranking: Ranking<'_>,
        slots: &[u32],
    ) -> Result<Vec<Scored>, SearchError> {
        // Of products that are sorted by something else the vote tells nothing.
        let cosines = match ranking.vector() {
            None => vec![0.0; slots.len()],
            Some(query) => {
                let scores = self.index.scores(query, slots.iter().copied())?;
                scores.map(|(_, cosine)| cosine).collect()
            }
        };
        let Ranking::Words {
            tiers,
            near,
            weight,
        } = ranking
        else {
            let scored = |cosine| Scored {
                score: cosine,
                cosine,
            };
            return Ok(cosines.into_iter().map(scored).collect());
        };
        let among: RoaringBitmap = slots.iter().copied().collect();
        let covering = tiers.iter().flat_map(|tier| {
            let own = &tier.slots & &among;
            own.into_iter().map(|slot| (slot, tier.coverage))
        });
        let coverage: HashMap<u32, f32> = covering.collect();
        let scored = |(slot, cosine): (&u32, f32)| {
            let coverage = coverage.get(slot).copied().unwrap_or_default();
            let nearness = near.map_or(0.0, |(_, spread)| spread.nearness(cosine));
            Scored {
                score: rank::joined(coverage, nearness, weight),
                cosine,
            }
        };
        Ok(slots.iter().zip(cosines).map(scored).collect())
    }

    /// The number of each hit's picture that is nearest to the query.
    pub(super) fn pictures(
        &self,
        hits: &[Hit],
        ranking: Ranking<'_>,
    ) -> Result<Vec<Option<u8>>, SearchError> {
        let Some(query) = ranking.vector() else {
            return Ok(vec![None; hits.len()]);
        };
        let slots = hits.iter().filter_map(|hit| self.slot(hit.key));
        Ok(self.index.pictures(query, slots)?.collect())
    }

    /// Where the cosines of all products lie.
    pub(super) fn spread(&self, query: &Embedding) -> Result<Spread, SearchError> {
        let all = Candidates::new(self.count(), None, self.dead.clone());
        let best = self.ranked(query, &all, 1.min(all.len()))?;
        Ok(Spread {
            mean: self.index.mean(query, self.sample())?,
            best: best.first().map_or(0.0, |hit| hit.score),
        })
    }

    /// The slots among which products are looked for that are meant for their nearness; `None`: all.
    pub(super) fn nearest(&self, query: &Embedding) -> Result<Option<RoaringBitmap>, SearchError> {
        if self.count() <= self.index.looked_at() {
            return Ok(None);
        }
        let found = self.index.near(query, 4 * BREADTH, None)?;
        let found = found.into_iter().flat_map(|found| found.slots);
        let found: RoaringBitmap = found.collect();
        Ok(Some(found - &self.dead))
    }

    /// The products that are near enough to a query to be meant by it.
    pub(super) fn near_enough(&self, query: &Embedding) -> Result<RoaringBitmap, SearchError> {
        let least = self.spread(query)?.cosine(rank::NEAR_ALONE);
        let among = self.nearest(query)?.unwrap_or_else(|| self.all());
        let scores = self.index.scores(query, among.iter())?;
        let near = scores.filter(|(_, cosine)| *cosine >= least);
        Ok(near.map(|(slot, _)| slot).collect())
    }

    /// The first `wanted` of `candidates`, which are at least as many.
    ///
    /// Where the graph is walked, a deeper walk may find a product that a shallow one missed, so
    /// that pages cut from walks of different depth would repeat a product or lose one. Therefore
    /// the ranking is put together from parts that do not depend on how deep the question goes: the
    /// best of a shallow walk, then what a deeper walk adds, then all others in exact order. A
    /// question takes as many parts as it needs.
    pub(super) fn ranked(
        &self,
        query: &Embedding,
        candidates: &Candidates,
        wanted: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        let mut ranked: Vec<Hit> = Vec::new();
        let mut known: HashSet<u32> = HashSet::new();
        let density = self.index.density();
        if self.index.plan(candidates.len()) == Plan::Graph {
            for breadth in [BREADTH, 4 * BREADTH] {
                if ranked.len() >= wanted {
                    break;
                }
                let filter = Filter {
                    allow: &|slot| candidates.contains(slot),
                    go_on: &|seen, passed| {
                        self.index.goes_on(seen, passed, candidates.len(), density)
                    },
                };
                let unfiltered =
                    matches!(candidates, Candidates::All { except, .. } if except.is_empty());
                let filter = (!unfiltered).then_some(filter);
                // Gave up, or too few: near the query hardly anything matches, or the walk came to
                // a part of the graph without a way out. The scan below finds them all.
                let Some(found) = self
                    .index
                    .near(query, breadth, filter)?
                    .filter(|found| found.full || found.slots.len() >= candidates.len())
                else {
                    break;
                };
                // As deep as the walk goes, and no deeper, though all that is not in the graph yet
                // comes with it: further down the others count, too. A walk that is full of the
                // nodes of few products goes as deep as these.
                let depth = if found.full {
                    breadth.min(found.walked)
                } else {
                    breadth
                };
                let new = found.slots.into_iter();
                let new = new.filter(|slot| !known.contains(slot));
                let part = self.best(query, new, depth.saturating_sub(known.len()))?;
                known.extend(part.iter().filter_map(|hit| self.slot(hit.key)));
                ranked.extend(part);
            }
        }
        if ranked.len() < wanted {
            let others = candidates.slots().filter(|slot| !known.contains(slot));
            let rest = wanted - ranked.len();
            ranked.extend(self.best(query, others, rest)?);
        }
        ranked.truncate(wanted);
        Ok(ranked)
    }

    /// As `ranked`, with the vote of the nearest on the category counted in.
    ///
    /// The products of each category that got votes are ranked by themselves, all others too, and
    /// the heads of these rankings compared. Within one all scores rise by the same, so that each
    /// keeps its order, and pages join as they do without a vote.
    fn ranked_by_vote(
        &self,
        query: &Embedding,
        candidates: &Candidates,
        wanted: usize,
        category: &AttributeName,
    ) -> Result<Vec<Hit>, SearchError> {
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let voters = self.ranked(query, candidates, VOTERS.min(candidates.len()))?;
        let categories: Vec<_> = self.columns.table().carriers(category).collect();
        let of = |slot: u32| {
            (0..categories.len())
                .filter(|&i| categories[i].contains(slot))
                .collect()
        };
        let vote = |hit: &Hit| (hit.score, self.slot(hit.key).map(of).unwrap_or_default());
        let shares = rank::shares(voters.iter().map(vote).collect());
        let leading: Vec<Hit> = voters.into_iter().take(LEADING).collect();
        let mut others = candidates.without(
            &leading
                .iter()
                .filter_map(|hit| self.slot(hit.key))
                .collect(),
        );
        self.index.prefetch(query, || {
            let voted = shares.iter().map(|(category, _)| categories[*category]);
            let few = voted.map(|own| others.among(own));
            let few = few.filter(|own| self.index.plan(own.len()) == Plan::Scan);
            few.fold(RoaringBitmap::new(), |all, own| all | own.bitmap())
        })?;
        let mut rankings = Vec::with_capacity(shares.len() + 2);
        rankings.push((leading, 1.0));
        for (category, share) in shares {
            // A product of two categories is of the one with more votes.
            let own = others.among(categories[category]);
            others = others.without(categories[category]);
            rankings.push((self.ranked(query, &own, wanted.min(own.len()))?, share));
        }
        rankings.push((self.ranked(query, &others, wanted.min(others.len()))?, 0.0));
        Ok(merged(rankings, wanted))
    }

    /// The first `wanted` candidates of the tiers.
    fn ranked_tiers(
        &self,
        tiers: &[Tier],
        candidates: &Candidates,
        near: Option<(&Embedding, Spread)>,
        weight: f32,
        wanted: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        let score = |coverage: f32, cosine: Option<f32>| {
            let nearness = near.zip(cosine);
            let nearness = nearness.map_or(0.0, |((_, spread), cosine)| spread.nearness(cosine));
            rank::joined(coverage, nearness, weight)
        };
        if let Some((query, _)) = near {
            let prefetched = || self.looked_at_first(tiers, candidates, wanted);
            self.index.prefetch(query, prefetched)?;
        }
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
                let hits: Vec<Hit> = if let Some((query, _)) = near {
                    let found = self.ranked(query, &own, most)?.into_iter();
                    let scored = found.map(|hit| Hit {
                        score: score(tier.coverage, Some(hit.score)),
                        ..hit
                    });
                    scored.collect()
                } else {
                    let score = score(tier.coverage, None);
                    let slots = own.slots().take(most);
                    slots.map(|slot| self.hit(slot, score)).collect()
                };
                open.push(hits.into_iter().peekable());
                continue;
            }
            let Some((first, _)) = best else { break };
            ranked.extend(open[first].next());
        }
        Ok(ranked)
    }

    /// The candidates of the first tiers that have as many as are wanted, as far as each of them is
    /// compared with the query.
    fn looked_at_first(
        &self,
        tiers: &[Tier],
        candidates: &Candidates,
        wanted: usize,
    ) -> RoaringBitmap {
        let (mut all, mut met) = (RoaringBitmap::new(), 0);
        for tier in tiers {
            if met >= wanted {
                break;
            }
            let own = candidates.among(&tier.slots);
            met += own.len();
            if self.index.plan(own.len()) == Plan::Scan {
                all |= own.bitmap();
            }
        }
        all
    }

    fn best(
        &self,
        query: &Embedding,
        slots: impl Iterator<Item = u32>,
        count: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        let scores = self.index.best(query, slots, count)?;
        let hits = scores.map(|(slot, score)| self.hit(slot, score));
        Ok(rank::best(hits.collect(), count))
    }
}

/// The first `wanted` of several rankings, whose scores rise by the share beside them: always the
/// better of their heads.
fn merged(rankings: Vec<(Vec<Hit>, f32)>, wanted: usize) -> Vec<Hit> {
    let lifted = |(hits, share): (Vec<Hit>, f32)| {
        hits.into_iter()
            .map(move |hit| Hit {
                score: rank::lean(hit.score, share),
                ..hit
            })
            .peekable()
    };
    let mut rankings: Vec<_> = rankings.into_iter().map(lifted).collect();
    let mut merged = Vec::new();
    while merged.len() < wanted {
        let heads = rankings
            .iter_mut()
            .enumerate()
            .filter_map(|(i, ranking)| Some((i, *ranking.peek()?)));
        let Some((first, _)) = heads.min_by(|a, b| rank::best_first(&a.1, &b.1)) else {
            break;
        };
        merged.extend(rankings[first].next());
    }
    merged
}
