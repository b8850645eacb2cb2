//! Embedding -> ranked products.
//!
//! A [`Searcher`] hands out immutable snapshots of the index: a new one is built beside the old and
//! swapped in. A search sees one snapshot from its first step to its last, so that its hits, its
//! total and its version belong together.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `rank.rs` | **the ranking**: what stands for a product, and which of two comes first |
//! | `filter.rs` | attribute filters as bitmaps; scan or walk |
//! | `index.rs` | vectors and the graph over them (usearch) |
//! | `snapshot.rs` | the index on disk |
//!
//! # What it promises
//!
//! - Filters are exact: no product that does not match, and never fewer than `min(limit, matching -
//!   offset)`.
//! - Scores are the cosine between the query and the stored (bf16) vector, the same whichever way
//!   the product was found; for a photo ([`Searcher::search_photo`]) what [`rank::lean`] makes of
//!   it.
//! - Of one snapshot, pages cut at any offsets join without a product twice and without one left
//!   out.
//! - Where the matching products are few ([`filter::plan`]) the ranking is exact. Elsewhere the
//!   first [`index::BREADTH`] ranks are approximate: see the recall in docs/benchmarks.md.
//!
//! # What it costs
//!
//! Everything here is CPU work; nothing waits for I/O but `save` and `restore`. A search takes from
//! some tens of microseconds to some milliseconds (docs/benchmarks.md) and should run off the async
//! threads. It has no limit of its own: whoever calls it bounds how many run at once.
//!
//! It refuses a query of another size than the index ([`SearchError::Dimensions`]). It does not
//! know texts, photos or product names: only vectors, keys and attributes.

pub mod filter;
pub mod index;
pub mod rank;
mod snapshot;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::domain::{AttributeName, Attributes, Embedding, Filters, ModelId, ProductKey, Window};
use filter::{AttributeTable, Candidates, Plan};
use index::{BREADTH, Index, IndexError};
use rank::{LEADING, VOTERS};
use snapshot::Unusable;

/// The attribute that the nearest products of a photo vote on.
pub const CATEGORY: &str = "category";

/// A cheap, clonable handle on the index in use.
#[derive(Clone)]
pub struct Searcher {
    inner: Arc<Inner>,
}

struct Inner {
    dimensions: usize,
    current: ArcSwap<Snapshot>,
    /// Held while an index is built or saved: two at once would only take memory and cores from
    /// each other.
    changing: Mutex<()>,
}

/// An index with what belongs to it; slot `i` of the index and of the bitmaps is the product
/// `keys[i]`.
struct Snapshot {
    version: IndexVersion,
    /// Ascending, so that the order of slots is the order of keys.
    keys: Vec<ProductKey>,
    index: Index,
    attributes: AttributeTable,
    facets: Arc<Vec<Facet>>,
}

/// One product as the index sees it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: ProductKey,
    pub embedding: Embedding,
    pub attributes: Attributes,
}

/// What an index must be equal in to serve: the catalogue's state and the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexVersion {
    /// The catalogue's revision (see `catalog::Catalog::revision`).
    pub catalog: u64,
    pub model: ModelId,
    /// Share of the words in each product's vector (see [`rank::fuse`]), in percent.
    pub words_percent: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub key: ProductKey,
    /// Cosine similarity in [-1, 1], of the f32 query and the product's bf16 vector.
    pub score: f32,
}

#[derive(Clone, Debug)]
pub struct Hits {
    pub hits: Vec<Hit>,
    /// How many products match the filters (all of them are ranked; none is cut off by a score).
    /// Exact; the excluded product is not counted.
    pub estimated_total: usize,
    pub version: IndexVersion,
}

/// An attribute's values with the number of products that carry each: as the shop most often writes
/// them, the most frequent first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    pub name: AttributeName,
    pub values: Vec<(String, u64)>,
}

#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("the index holds vectors of {index} dimensions, this one has {query}")]
    Dimensions { index: usize, query: usize },
    #[error("two entries have the key {key}")]
    DuplicateKey { key: u32 },
    #[error(transparent)]
    Index(IndexError),
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl From<IndexError> for SearchError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Dimensions { expected, got } => Self::Dimensions {
                index: expected,
                query: got,
            },
            other => Self::Index(other),
        }
    }
}

impl Searcher {
    /// A searcher over nothing, for a service that starts before its catalogue is embedded.
    /// `dimensions` holds for its whole life: whoever changes the model makes a new searcher.
    ///
    /// # Panics
    /// When the vector library cannot make an empty index of that size, which only a lack of memory
    /// explains.
    #[must_use]
    pub fn empty(version: IndexVersion, dimensions: usize) -> Self {
        let snapshot = Snapshot::build(version, dimensions, Vec::new())
            .expect("nothing to add, nothing to fail");
        let current = ArcSwap::from_pointee(snapshot);
        Self {
            inner: Arc::new(Inner {
                dimensions,
                current,
                changing: Mutex::new(()),
            }),
        }
    }

    /// Builds an index of `entries` beside the one in use and swaps it in. Searches go on
    /// meanwhile.
    ///
    /// Blocking, on all cores (docs/benchmarks.md); holds both indexes and `entries` in memory
    /// until it is done. Of two at a time the second waits for the first.
    ///
    /// # Errors
    /// When two entries have the same key, one has a vector of another size, or memory runs out.
    /// The index in use stays then.
    pub fn rebuild(&self, version: IndexVersion, entries: Vec<Entry>) -> Result<(), SearchError> {
        let _alone = self.change();
        let (start, count) = (Instant::now(), entries.len());
        let snapshot = Snapshot::build(version, self.inner.dimensions, entries)?;
        self.inner.current.store(Arc::new(snapshot));
        tracing::info!(
            products = count,
            seconds = start.elapsed().as_secs_f32(),
            "built the index"
        );
        Ok(())
    }

    /// Loads the snapshot in `folder` when it is whole and of `version`; false when there is none
    /// such, or none that can be read (the log says why): whoever asks builds the index anew, as
    /// for one that is damaged. Blocking: it reads and hashes the files, 42 MB for 41,615 products
    /// of 512 dimensions and as much again for the graph.
    #[must_use]
    pub fn restore(&self, folder: &Path, version: &IndexVersion) -> bool {
        let _alone = self.change();
        let start = Instant::now();
        let restored = match snapshot::restore(folder, version, self.inner.dimensions) {
            Ok(restored) => restored,
            Err(Unusable::Missing) => {
                tracing::info!(folder = %folder.display(), "no snapshot of the index");
                return false;
            }
            Err(reason) => {
                tracing::warn!(folder = %folder.display(), %reason, "the snapshot of the index is of no use");
                return false;
            }
        };
        let snapshot::Restored {
            keys,
            index,
            attributes,
        } = restored;
        let facets = Arc::new(attributes.facets());
        let count = keys.len();
        let snapshot = Snapshot {
            version: version.clone(),
            keys,
            index,
            attributes,
            facets,
        };
        self.inner.current.store(Arc::new(snapshot));
        tracing::info!(
            products = count,
            seconds = start.elapsed().as_secs_f32(),
            "restored the index"
        );
        true
    }

    /// Saves the index in use, atomically: a save that is killed leaves the snapshot before it, or
    /// none. Blocking: it writes, syncs and hashes as much as `restore` reads.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn save(&self, folder: &Path) -> Result<(), SearchError> {
        let _alone = self.change();
        let Snapshot {
            version,
            keys,
            index,
            attributes,
            ..
        } = &*self.inner.current.load_full();
        snapshot::save(
            folder,
            &snapshot::Parts {
                version,
                keys,
                index,
                attributes,
            },
        )
    }

    /// The products nearest to `query` among those that match: `window.limit()` of them after
    /// `window.offset()`, fewer only when fewer match. `exclude`: products that are not to come,
    /// such as the one that the query is made of ("similar"); what the index does not hold is
    /// passed over.
    ///
    /// CPU work, without I/O: see the module's note on cost. Ranks past [`index::BREADTH`] cost
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
        self.answer(filters, window, exclude, |snapshot, candidates, wanted| {
            snapshot.ranked(query, candidates, wanted)
        })
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
    ) -> Result<Hits, SearchError> {
        self.answer(filters, window, exclude, |snapshot, candidates, wanted| {
            snapshot.ranked_by_vote(query, candidates, wanted)
        })
    }

    fn answer(
        &self,
        filters: &Filters,
        window: Window,
        exclude: &[ProductKey],
        rank: impl FnOnce(&Snapshot, &Candidates, usize) -> Result<Vec<Hit>, SearchError>,
    ) -> Result<Hits, SearchError> {
        let snapshot = self.inner.current.load_full();
        let except = exclude
            .iter()
            .filter_map(|key| snapshot.slot(*key))
            .collect();
        let count = snapshot.index.len();
        let matching = snapshot.attributes.matching(filters);
        let candidates =
            Candidates::new(u32::try_from(count).unwrap_or(u32::MAX), matching, except);
        let estimated_total = candidates.len();
        let depth = window.depth().min(estimated_total);
        let wanted = if window.offset() < depth { depth } else { 0 };
        let mut hits = rank(&snapshot, &candidates, wanted)?;
        hits.drain(..window.offset().min(hits.len()));
        Ok(Hits {
            hits,
            estimated_total,
            version: snapshot.version.clone(),
        })
    }

    /// The stored vector of a product, rounded to bf16; `None` when the index has no such product.
    /// Microseconds.
    #[must_use]
    pub fn embedding(&self, key: ProductKey) -> Option<Embedding> {
        let snapshot = self.inner.current.load();
        snapshot.index.embedding(snapshot.slot(key)?)
    }

    /// Computed when the index was built: costs nothing to ask for.
    #[must_use]
    pub fn facets(&self) -> Arc<Vec<Facet>> {
        Arc::clone(&self.inner.current.load().facets)
    }

    #[must_use]
    pub fn version(&self) -> IndexVersion {
        self.inner.current.load().version.clone()
    }

    /// How many products the index holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.current.load().keys.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.inner
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    fn build(
        version: IndexVersion,
        dimensions: usize,
        mut entries: Vec<Entry>,
    ) -> Result<Self, SearchError> {
        entries.sort_unstable_by_key(|entry| entry.key);
        if let Some([twice, _]) = entries.array_windows().find(|[a, b]| a.key == b.key) {
            return Err(SearchError::DuplicateKey { key: twice.key.0 });
        }
        let attributes = AttributeTable::build(entries.iter().map(|entry| &entry.attributes));
        let facets = Arc::new(attributes.facets());
        let (keys, embeddings): (Vec<_>, Vec<_>) =
            entries.into_iter().map(|e| (e.key, e.embedding)).unzip();
        let index = Index::build(dimensions, &embeddings)?;
        Ok(Self {
            version,
            keys,
            index,
            attributes,
            facets,
        })
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
    fn ranked(
        &self,
        query: &Embedding,
        candidates: &Candidates,
        wanted: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        let mut ranked: Vec<Hit> = Vec::new();
        let mut known: HashSet<u32> = HashSet::new();
        if filter::plan(self.index.len(), candidates.len()) == Plan::Graph {
            for breadth in [BREADTH, 4 * BREADTH] {
                if ranked.len() >= wanted {
                    break;
                }
                let allow = |slot: u32| candidates.contains(slot);
                let unfiltered =
                    matches!(candidates, Candidates::All { except, .. } if except.is_empty());
                let found = self.index.near(
                    query,
                    breadth,
                    if unfiltered { None } else { Some(&allow) },
                )?;
                // Too few: the walk came to a part of the graph without a way out. The scan below
                // finds them all.
                if found.len() < breadth.min(candidates.len()) {
                    break;
                }
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
    ) -> Result<Vec<Hit>, SearchError> {
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let voters = self.ranked(query, candidates, VOTERS.min(candidates.len()))?;
        let categories: Vec<_> = self.attributes.carriers(CATEGORY).collect();
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
