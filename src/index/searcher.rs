//! One index: which products may answer, how they are found, and in which order they come.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use roaring::RoaringBitmap;

use super::columns::{AttributeTable, Facet, FacetCounts, TableBuilder};
use super::disk::{self, Unusable};
use super::graph::{BREADTH, Filter, Index, Vectors};
use super::lexical::{Language, Lexicon, LexiconBuilder, ValueWords};
use super::plan::{Candidates, Plan, goes_on, plan};
use super::rank::{self, LEADING, VOTERS};
use super::values::{Entry, Hit, Hits, IndexVersion, Saved, SearchError};
use crate::domain::{AttributeName, Embedding, Facets, Filters, ProductKey, Window};

/// An index that is never changed; a cheap, clonable handle on it. Slot `i` of the graph and of the
/// bitmaps is the product `keys[i]`.
#[derive(Clone)]
pub struct Searcher {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    version: IndexVersion,
    /// Ascending, so that the order of slots is the order of keys.
    pub(super) keys: Vec<ProductKey>,
    pub(super) index: Index,
    pub(super) attributes: AttributeTable,
    pub(super) lexicon: Lexicon,
    pub(super) values: ValueWords,
    facets: Arc<Vec<Facet>>,
}

/// Gathers what an index is built of, in the form that the index keeps it in: a million vectors are
/// in memory once.
pub struct Builder {
    keys: Vec<ProductKey>,
    vectors: Vectors,
    attributes: TableBuilder,
    lexicon: LexiconBuilder,
}

impl Builder {
    #[must_use]
    pub fn new(dimensions: usize, language: Language) -> Self {
        Self {
            keys: Vec::new(),
            vectors: Vectors::new(dimensions),
            attributes: TableBuilder::default(),
            lexicon: LexiconBuilder::new(language),
        }
    }

    /// Adds a product; products come in the order of their keys.
    ///
    /// # Errors
    /// When the key is not above the last one, or the vector is of another size.
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<(), SearchError> {
        if self.keys.last().is_some_and(|last| *last >= entry.key) {
            return Err(SearchError::KeyOrder { key: entry.key.0 });
        }
        self.vectors.push(entry.embedding)?;
        self.attributes.add(entry.attributes);
        self.lexicon.add(entry.text);
        self.keys.push(entry.key);
        Ok(())
    }

    /// Builds the index. Blocking, on all cores (docs/benchmarks.md), at the system's lowest
    /// priority, so that searches in another index do not wait for it.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn build(self, version: IndexVersion) -> Result<Searcher, SearchError> {
        let (start, products) = (Instant::now(), self.keys.len());
        let index = Index::build(self.vectors)?;
        if products > 0 {
            let seconds = start.elapsed().as_secs_f32();
            tracing::info!(products, seconds, "built the graph");
        }
        let attributes = self.attributes.finish();
        let lexicon = self.lexicon.finish(&attributes);
        Ok(Searcher::of(version, self.keys, index, attributes, lexicon))
    }
}

impl Searcher {
    /// A searcher over nothing, for a service that starts before its catalog is embedded.
    ///
    /// # Panics
    /// When the vector library cannot make an empty index of that size, which only a lack of memory
    /// explains.
    #[must_use]
    pub fn empty(version: IndexVersion, dimensions: usize) -> Self {
        Builder::new(dimensions, version.language)
            .build(version)
            .expect("nothing to add, nothing to fail")
    }

    fn of(
        version: IndexVersion,
        keys: Vec<ProductKey>,
        index: Index,
        attributes: AttributeTable,
        lexicon: Lexicon,
    ) -> Self {
        let inner = Inner {
            version,
            keys,
            index,
            facets: Arc::new(attributes.facets()),
            values: ValueWords::of(&attributes, lexicon.stems()),
            attributes,
            lexicon,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Loads what was saved in `folder` when it is whole and of the model, the share of words and
    /// the database that `expected` names, with what was said of it; `None` when there is none such,
    /// or none that can be read (the log says why): whoever asks builds the index anew, as for one
    /// that is damaged. It may be of an earlier state of the catalog.
    ///
    /// Blocking: it reads and hashes the files, 42 MB for 41,615 products of 512 dimensions.
    #[must_use]
    pub fn restore(
        folder: &Path,
        expected: &IndexVersion,
        dimensions: usize,
        store: &str,
    ) -> Option<(Self, Saved)> {
        let start = Instant::now();
        let restored = match disk::restore(folder, expected, dimensions, store) {
            Ok(restored) => restored,
            Err(Unusable::Missing) => {
                tracing::info!(folder = %folder.display(), "there is no saved index");
                return None;
            }
            Err(reason) => {
                tracing::warn!(folder = %folder.display(), %reason, "the saved index cannot be used");
                return None;
            }
        };
        let disk::Restored {
            version,
            saved,
            keys,
            index,
            attributes,
            lexicon,
        } = restored;
        tracing::info!(
            products = keys.len(),
            seconds = start.elapsed().as_secs_f32(),
            "restored the index"
        );
        let searcher = Self::of(version, keys, index, attributes, lexicon);
        Some((searcher, saved))
    }

    /// Saves the index, atomically: a save that is killed leaves the one before it, or none. Two
    /// processes that save at the same time do so one after the other. Blocking: it writes, syncs
    /// and hashes as much as `restore` reads.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn save(&self, folder: &Path, saved: &Saved) -> Result<(), SearchError> {
        let Inner {
            version,
            keys,
            index,
            attributes,
            lexicon,
            ..
        } = &*self.inner;
        let parts = disk::Parts {
            version,
            saved,
            keys,
            index,
            attributes,
            lexicon,
        };
        disk::save(folder, &parts)
    }

    /// The products nearest to `query` among those that match: `window.limit()` of them after
    /// `window.offset()`, fewer only when fewer match. `exclude`: products that are left out,
    /// such as the one that the query is made of ("similar"); what the index does not hold is
    /// passed over.
    ///
    /// CPU work, without I/O: see the module's note on cost. Ranks past [`BREADTH`] cost
    /// more, those past four times as many a scan of all that match.
    ///
    /// # Errors
    /// When the query has another number of dimensions, or the vector library fails (memory).
    pub fn search(
        &self,
        query: &Embedding,
        filters: &Filters,
        window: Window,
        exclude: &[ProductKey],
    ) -> Result<Hits, SearchError> {
        self.answer(
            filters,
            window,
            exclude,
            None,
            |index, candidates, wanted| index.ranked(query, candidates, wanted),
        )
    }

    /// As [`Searcher::search`] for a query that is a photo: the products' categories count (see
    /// [`rank`]), those of the nearest among the products that may answer. Costs a search more for
    /// every category that they may be of.
    ///
    /// # Errors
    /// As [`Searcher::search`].
    pub fn search_photo(
        &self,
        query: &Embedding,
        filters: &Filters,
        window: Window,
        exclude: &[ProductKey],
        category: &AttributeName,
    ) -> Result<Hits, SearchError> {
        self.answer(
            filters,
            window,
            exclude,
            None,
            |index, candidates, wanted| index.ranked_by_vote(query, candidates, wanted, category),
        )
    }

    /// `among`: the slots that are meant; `None`: all.
    pub(super) fn answer(
        &self,
        filters: &Filters,
        window: Window,
        exclude: &[ProductKey],
        among: Option<&RoaringBitmap>,
        rank: impl FnOnce(&Inner, &Candidates, usize) -> Result<Vec<Hit>, SearchError>,
    ) -> Result<Hits, SearchError> {
        let inner = &*self.inner;
        let except = exclude.iter().filter_map(|key| inner.slot(*key)).collect();
        let matching = inner.attributes.matching(filters);
        let candidates = Candidates::new(inner.count(), matching, except);
        let candidates = match among {
            Some(slots) => candidates.among(slots),
            None => candidates,
        };
        let estimated_total = candidates.len();
        let depth = window.depth().min(estimated_total);
        let wanted = if window.offset() < depth { depth } else { 0 };
        let mut hits = rank(inner, &candidates, wanted)?;
        hits.drain(..window.offset().min(hits.len()));
        Ok(Hits {
            hits,
            estimated_total,
            meant: among.cloned(),
        })
    }

    /// All products that match the filters, in the catalog's order; their score is 0.
    ///
    /// # Errors
    /// None today: the signature is that of every search.
    pub fn browse(
        &self,
        filters: &Filters,
        window: Window,
        exclude: &[ProductKey],
    ) -> Result<Hits, SearchError> {
        self.answer(
            filters,
            window,
            exclude,
            None,
            |inner, candidates, wanted| {
                let slots = candidates.slots().take(wanted);
                let hit = |slot: u32| Hit {
                    key: inner.keys[slot as usize],
                    score: 0.0,
                };
                Ok(slots.map(hit).collect())
            },
        )
    }

    /// How many of the products that `found` means carry each value of the attributes asked for, the
    /// most frequent first, with how many values there are in all. The filters count, but for those
    /// by the attribute itself: so a shopper who chose one value sees what the others would bring.
    #[must_use]
    pub fn counts(
        &self,
        found: &Hits,
        facets: &Facets,
        filters: &Filters,
        exclude: &[ProductKey],
    ) -> Vec<FacetCounts> {
        let inner = &*self.inner;
        let except: RoaringBitmap = exclude.iter().filter_map(|key| inner.slot(*key)).collect();
        let mut all = RoaringBitmap::new();
        all.insert_range(0..inner.count());
        let meant = found.meant.as_ref().unwrap_or(&all) - &except;
        let counted = facets.names.iter().map(|name| {
            let others = inner.attributes.matching(&filters.without(name));
            let base = match others {
                Some(others) => others & &meant,
                None => meant.clone(),
            };
            inner.attributes.counts(name, &base, facets.values)
        });
        counted.collect()
    }

    /// The stored vector of a product, rounded to bf16; `None` when the index has no such product.
    /// Microseconds.
    #[must_use]
    pub fn embedding(&self, key: ProductKey) -> Option<Embedding> {
        self.inner.index.embedding(self.inner.slot(key)?)
    }

    /// Computed when the index was built: costs nothing to ask for.
    #[must_use]
    pub fn facets(&self) -> Arc<Vec<Facet>> {
        Arc::clone(&self.inner.facets)
    }

    #[must_use]
    pub fn version(&self) -> &IndexVersion {
        &self.inner.version
    }

    /// How many products the index holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.keys.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    /// How many slots there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.keys.len()).unwrap_or(u32::MAX)
    }

    fn slot(&self, key: ProductKey) -> Option<u32> {
        self.keys
            .binary_search(&key)
            .ok()
            .and_then(|slot| u32::try_from(slot).ok())
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
        if plan(self.index.len(), candidates.len()) == Plan::Graph {
            for breadth in [BREADTH, 4 * BREADTH] {
                if ranked.len() >= wanted {
                    break;
                }
                let filter = Filter {
                    allow: &|slot| candidates.contains(slot),
                    go_on: &|seen, passed| goes_on(seen, passed, candidates.len()),
                };
                let unfiltered =
                    matches!(candidates, Candidates::All { except, .. } if except.is_empty());
                let filter = (!unfiltered).then_some(filter);
                // Gave up, or too few: near the query hardly anything matches, or the walk came to
                // a part of the graph without a way out. The scan below finds them all.
                let Some(found) = self
                    .index
                    .near(query, breadth, filter)?
                    .filter(|found| found.len() >= breadth.min(candidates.len()))
                else {
                    break;
                };
                let new: Vec<u32> = found
                    .into_iter()
                    .filter(|&slot| known.insert(slot))
                    .collect();
                ranked.extend(self.best(query, new.into_iter(), usize::MAX)?);
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
        let categories: Vec<_> = self.attributes.carriers(category).collect();
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

    fn best(
        &self,
        query: &Embedding,
        slots: impl Iterator<Item = u32>,
        count: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        let hit = |(slot, score)| Hit {
            key: self.keys[slot as usize],
            score,
        };
        Ok(rank::best(
            self.index.scores(query, slots)?.map(hit).collect(),
            count,
        ))
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
