//! The order in which candidates come: the ranking, or sorted by something else; groups, of which
//! the first product is shown; and products put off that are like those before them.
//!
//! Every order is total and the same on every page: pages cut at any offsets join.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use super::columns::numbers::Numbers;
use super::columns::ordinals::Ordinals;
use super::inner::Inner;
use super::plan::Candidates;
use super::rank;
use super::ranking::Ranking;
use super::values::{Group, Hit, SearchError, Selection};
use crate::domain::{AttributeName, SortBy, SortKey};

/// The best so many are told apart by how much they are like each other.
const DIVERSIFIED: usize = 100;
/// Products looked at for each group wanted, at first.
const OF_GROUP: usize = 4;

/// What one key sorts by.
enum Column<'a> {
    Numbers(&'a Numbers),
    Texts(Arc<Ordinals>),
    /// No product has it.
    Nothing,
}

/// What one key sorts by, and which way.
struct Sorted<'a> {
    column: Column<'a>,
    descending: bool,
}

impl Sorted<'_> {
    /// What a product comes by, the least first; one without a value comes last.
    fn place(&self, slot: u32) -> f64 {
        let value = match &self.column {
            Column::Numbers(numbers) => numbers.of_slot(slot, self.descending),
            Column::Texts(ordinals) => {
                let last = self.descending.then(|| ordinals.last_of_slot(slot));
                last.unwrap_or_else(|| ordinals.of_slot(slot))
                    .map(f64::from)
            }
            Column::Nothing => None,
        };
        match value {
            None => f64::INFINITY,
            Some(value) if self.descending => -value,
            Some(value) => value,
        }
    }
}

/// A page.
#[derive(Default)]
pub(super) struct Ordered {
    pub hits: Vec<Hit>,
    /// Where products are grouped, the group of each hit.
    pub groups: Vec<Option<Group>>,
    /// How many products, or groups of them, there are.
    pub total: usize,
}

impl Inner {
    /// The hits of a page with their groups, and how many products or groups there are.
    pub(super) fn ordered(
        &self,
        ranking: Ranking<'_>,
        candidates: &Candidates,
        selection: &Selection,
    ) -> Result<Ordered, SearchError> {
        let (window, order) = (selection.window, &selection.order);
        let groups = order.group_by.as_ref();
        let groups = groups.map(|name| (name, self.columns.ordinals(name)));
        let total = match &groups {
            None => candidates.len(),
            Some((_, ordinals)) => ordinals.groups(candidates.slots()),
        };
        let depth = window.depth().min(total);
        if window.offset() >= depth {
            return Ok(Ordered {
                total,
                ..Ordered::default()
            });
        }
        let put_off = order.diversify > 0.0 && order.is_ranking();
        let wanted = if put_off {
            depth.max(DIVERSIFIED.min(total))
        } else {
            depth
        };
        let mut hits = match &groups {
            None => self.in_order(ranking, candidates, &order.keys, wanted)?,
            Some((_, ordinals)) => {
                self.first_of_groups(ranking, candidates, &order.keys, ordinals, wanted)?
            }
        };
        if put_off {
            self.diversify(&mut hits, order.diversify, depth)?;
        }
        hits.truncate(depth);
        hits.drain(..window.offset().min(hits.len()));
        let groups = match &groups {
            None => Vec::new(),
            Some((name, ordinals)) => self.groups_of(&hits, name, ordinals, candidates),
        };
        Ok(Ordered {
            hits,
            groups,
            total,
        })
    }

    /// The first `wanted` candidates by the keys, then by the ranking.
    fn in_order(
        &self,
        ranking: Ranking<'_>,
        candidates: &Candidates,
        keys: &[SortKey],
        wanted: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        // The ranking tells any two products apart: keys after it decide nothing.
        let deciding = keys.iter().map_while(|key| match &key.by {
            SortBy::Attribute(name) => Some(Sorted {
                column: self.sort_column(name),
                descending: key.descending,
            }),
            SortBy::Relevance => None,
        });
        let sorted: Vec<Sorted<'_>> = deciding.collect();
        let Some(decisive) = sorted.first() else {
            return self.first(ranking, candidates, wanted);
        };
        // The first key alone leaves few, whom the others and the ranking then tell apart.
        let mut first: Vec<(f64, u32)> = candidates
            .slots()
            .map(|slot| (decisive.place(slot), slot))
            .collect();
        if wanted < first.len() {
            let by_first = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0);
            let (_, last, _) = first.select_nth_unstable_by(wanted - 1, by_first);
            let last = last.0;
            first.retain(|(place, _)| *place <= last);
        }
        let slots: Vec<u32> = first.into_iter().map(|(_, slot)| slot).collect();
        let scores = self.scored(ranking, &slots)?;
        let mut rows: Vec<(Vec<f64>, f32, Hit)> = slots
            .iter()
            .zip(scores)
            .map(|(slot, scored)| {
                let places = sorted.iter().map(|key| key.place(*slot));
                (
                    places.collect(),
                    scored.cosine,
                    self.hit(*slot, scored.score),
                )
            })
            .collect();
        rows.sort_by(|a, b| {
            let pairs = a.0.iter().zip(&b.0);
            pairs
                .fold(Ordering::Equal, |so_far, (a, b)| {
                    so_far.then_with(|| a.total_cmp(b))
                })
                .then_with(|| b.2.score.total_cmp(&a.2.score))
                .then_with(|| b.1.total_cmp(&a.1))
                .then_with(|| rank::best_first(&a.2, &b.2))
        });
        rows.truncate(wanted);
        Ok(rows.into_iter().map(|(.., hit)| hit).collect())
    }

    fn sort_column(&self, name: &AttributeName) -> Column<'_> {
        if let Some(numbers) = self.columns.numbers(name) {
            return Column::Numbers(numbers);
        }
        if self.columns.table().has(name) {
            return Column::Texts(self.columns.ordinals(name));
        }
        Column::Nothing
    }

    /// The first product of each of the first `wanted` groups.
    fn first_of_groups(
        &self,
        ranking: Ranking<'_>,
        candidates: &Candidates,
        keys: &[SortKey],
        ordinals: &Ordinals,
        wanted: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        let mut depth = wanted.saturating_mul(OF_GROUP);
        loop {
            depth = depth.min(candidates.len());
            let hits = self.in_order(ranking, candidates, keys, depth)?;
            let mut met = HashSet::new();
            let first = hits.into_iter().filter(|hit| {
                let slot = self.slot(hit.key);
                let group = slot.and_then(|slot| ordinals.of_slot(slot));
                group.is_none_or(|group| met.insert(group))
            });
            let first: Vec<Hit> = first.take(wanted).collect();
            if first.len() >= wanted || depth >= candidates.len() {
                return Ok(first);
            }
            depth = depth.saturating_mul(OF_GROUP);
        }
    }

    fn groups_of(
        &self,
        hits: &[Hit],
        name: &AttributeName,
        ordinals: &Ordinals,
        candidates: &Candidates,
    ) -> Vec<Option<Group>> {
        let among = candidates.bitmap();
        let group = |hit: &Hit| {
            let number = ordinals.of_slot(self.slot(hit.key)?)?;
            let table = self.columns.table();
            let (spelling, carriers) = table.carriers_of(name, ordinals.value(number))?;
            Some(Group {
                value: spelling.to_owned(),
                products: ordinals.of_group(number, carriers, &among),
            })
        };
        hits.iter().map(group).collect()
    }

    /// Puts off, among the first [`DIVERSIFIED`], what is like those before it: maximal marginal
    /// relevance (Carbonell and Goldstein, 1998). The next is the one with the greatest
    /// `(1 - share) * score - share * likeness`, where the scores of these products go from 0 to 1
    /// and the likeness, to that before it which it is most like, is the cosine of that one's first
    /// vector and the nearest of its own, from the least (0) to 1. Only the first `depth` are put in order.
    fn diversify(&self, hits: &mut [Hit], share: f32, depth: usize) -> Result<(), SearchError> {
        let pool = hits.len().min(DIVERSIFIED);
        let pool = &mut hits[..pool];
        let slots: Vec<u32> = pool.iter().filter_map(|hit| self.slot(hit.key)).collect();
        let index = self.index.pool(&slots)?;
        let vector = |hit: &Hit| index.embedding(self.slot(hit.key)?);
        let mut vectors: Vec<_> = pool.iter().map(vector).collect();
        let (best, worst) = match (pool.first(), pool.last()) {
            (Some(first), Some(last)) => (first.score, last.score),
            _ => return Ok(()),
        };
        let range = (best - worst).max(f32::EPSILON);
        let mut likeness = vec![0.0_f32; pool.len()];
        for place in 1..pool.len().min(depth) {
            if let Some(chosen) = &vectors[place - 1] {
                let slots = pool[place..].iter().filter_map(|hit| self.slot(hit.key));
                let cosines = index.scores(chosen, slots)?;
                for (like, cosine) in likeness[place..].iter_mut().zip(cosines) {
                    *like = like.max(cosine);
                }
            }
            let least = likeness[place..].iter().copied().fold(1.0, f32::min);
            let worth = |at: usize| {
                let score = (pool[at].score - worst) / range;
                let like = (likeness[at] - least) / (1.0 - least).max(f32::EPSILON);
                (1.0 - share) * score - share * like
            };
            let next = (place..pool.len()).reduce(|a, b| if worth(b) > worth(a) { b } else { a });
            let Some(next) = next else { break };
            // The others keep their order.
            pool[place..=next].rotate_right(1);
            vectors[place..=next].rotate_right(1);
            likeness[place..=next].rotate_right(1);
        }
        Ok(())
    }
}
