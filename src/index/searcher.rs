//! One index: which products may answer, how they are found, and in which order they come.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use roaring::RoaringBitmap;

use super::columns::{Facet, TableBuilder};
use super::disk::{self, Unusable};
use super::distant::{self, port::Distant};
use super::graph::Index;
use super::inner::{Content, Inner};
use super::lexical::{Language, LexiconBuilder};
use super::place::{Merged, VectorIndex};
use super::plan::Candidates;
use super::ranking::Ranking;
use super::values::{Entry, GraphLag, Hits, IndexVersion, Saved, SearchError, Selection, Update};
use super::vectors::Vectors;
use crate::domain::{AttributeName, Embedding, Filters, ProductFields, ProductKey, Types};

/// An index that is never changed: another one with other products shares most of it
/// ([`Searcher::with`]). A cheap, clonable handle. Slot `i` of the graph and of the
/// bitmaps is the product `keys[i]`.
#[derive(Clone)]
pub struct Searcher {
    pub(super) inner: Arc<Inner>,
}

/// Gathers what an index is built of, in the form that the index keeps it in: a million vectors are
/// in memory once.
pub struct Builder {
    keys: Vec<ProductKey>,
    vectors: Place,
    attributes: TableBuilder,
    fields: Vec<ProductFields>,
    lexicon: LexiconBuilder,
}

/// Where the vectors are.
enum Place {
    Here(Vectors),
    Distant(distant::index::Index),
}

impl Builder {
    #[must_use]
    pub fn new(dimensions: usize, language: Language) -> Self {
        Self::of(Place::Here(Vectors::new(dimensions)), language)
    }

    /// Of an index whose vectors are there: of those that are given it is noted how many there are.
    #[must_use]
    pub fn distant(distant: Arc<dyn Distant>, dimensions: usize, language: Language) -> Self {
        let index = distant::index::Index::new(distant, dimensions);
        Self::of(Place::Distant(index), language)
    }

    fn of(vectors: Place, language: Language) -> Self {
        Self {
            keys: Vec::new(),
            vectors,
            attributes: TableBuilder::default(),
            fields: Vec::new(),
            lexicon: LexiconBuilder::new(language),
        }
    }

    /// Adds a product; products come in the order of their keys.
    ///
    /// # Errors
    /// When the key is not above the last one, or a vector is of another size.
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<(), SearchError> {
        if self.keys.last().is_some_and(|last| *last >= entry.key) {
            return Err(SearchError::KeyOrder { key: entry.key.0 });
        }
        match &mut self.vectors {
            Place::Here(vectors) => vectors.push(entry.vectors)?,
            Place::Distant(index) => {
                let slot = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
                index.set(slot, entry.vectors)?;
            }
        }
        self.attributes.add(entry.attributes);
        self.fields.push(entry.fields);
        self.lexicon.add(entry.text);
        self.keys.push(entry.key);
        Ok(())
    }

    /// Builds the index. Blocking, on all cores (docs/benchmarks.md), at the system's lowest
    /// priority, so that searches in another index do not wait for it. `types`: see
    /// [`Columns::new`](super::columns::Columns::new).
    ///
    /// # Errors
    /// When memory runs out.
    pub fn build(self, version: IndexVersion, types: &Types) -> Result<Searcher, SearchError> {
        let (start, products) = (Instant::now(), self.keys.len());
        let index = match self.vectors {
            Place::Here(vectors) => {
                let index = Index::build(vectors)?;
                if products > 0 {
                    let seconds = start.elapsed().as_secs_f32();
                    tracing::info!(products, seconds, "built the graph");
                }
                VectorIndex::Here(index)
            }
            Place::Distant(index) => VectorIndex::Distant(index),
        };
        let attributes = self.attributes.finish();
        let lexicon = self.lexicon.finish(&attributes);
        let parts = Content {
            keys: self.keys,
            dead: RoaringBitmap::new(),
            index,
            attributes,
            fields: self.fields,
            lexicon,
        };
        Ok(Searcher::of(version, parts, types))
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
            .build(version, &Types::default())
            .expect("nothing to add, nothing to fail")
    }

    fn of(version: IndexVersion, content: Content, types: &Types) -> Self {
        let inner = Inner::new(version, content, types);
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The same index after some products changed, each at most once, which is then the state of the
    /// catalog at this revision. It shares what did not change: the graph, and the columns and words
    /// that these products do not touch. `None` when a new product's key does not come after all
    /// others: the index has to be built anew.
    ///
    /// # Errors
    /// When a vector is of another size.
    pub fn with(&self, updates: &[Update<'_>], revision: u64) -> Result<Option<Self>, SearchError> {
        let inner = self.inner.with(updates, revision)?;
        Ok(inner.map(|inner| Self {
            inner: Arc::new(inner),
        }))
    }

    /// How far the graph is from what it would be were it built now: vectors that it does not hold,
    /// which every search scores one by one, and nodes that stand for nothing any more.
    #[must_use]
    pub fn graph_lag(&self) -> GraphLag {
        let index = &self.inner.index;
        GraphLag {
            size: index.vectors().max(u64::from(self.inner.products())),
            delta: index.delta(),
            stale: index.stale().max(self.inner.dead.len()),
        }
    }

    /// Bytes held by the graph and the vectors.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.inner.index.memory_bytes()
    }

    /// Some of the products that have a vector, `most` at most, spread over all of them.
    #[must_use]
    pub fn sample(&self, most: usize) -> Vec<ProductKey> {
        let inner = &*self.inner;
        let slots = inner.keys.len();
        let step = (slots / most.max(1)).max(1);
        let slots = (0..slots).step_by(step).take(most);
        let has = |slot: &usize| u32::try_from(*slot).is_ok_and(|slot| inner.index.has(slot));
        slots.filter(has).map(|slot| inner.keys[slot]).collect()
    }

    /// A copy of the graph with all vectors in it. Blocking, at the lowest priority: it costs what
    /// the vectors cost that are not in it yet, and the copying of the graph.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn merged(&self) -> Result<Merged, SearchError> {
        Ok(self.inner.index.merged()?)
    }

    /// With the merged graph of this index or of an earlier one that this one came of by
    /// [`Searcher::with`].
    #[must_use]
    pub fn with_merged(&self, merged: Merged) -> Self {
        Self {
            inner: Arc::new(self.inner.with_merged(merged)),
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
        types: &Types,
    ) -> Option<(Self, Saved)> {
        Self::restore_at(folder, expected, dimensions, store, types, None)
    }

    /// The same of an index whose vectors are there, when there is one.
    #[must_use]
    pub fn restore_at(
        folder: &Path,
        expected: &IndexVersion,
        dimensions: usize,
        store: &str,
        types: &Types,
        distant: Option<Arc<dyn Distant>>,
    ) -> Option<(Self, Saved)> {
        let start = Instant::now();
        let restored = match disk::restore(folder, expected, dimensions, store, distant) {
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
            content,
        } = restored;
        tracing::info!(
            products = content.keys.len(),
            seconds = start.elapsed().as_secs_f32(),
            "restored the index"
        );
        Some((Self::of(version, content, types), saved))
    }

    /// Saves the index, atomically: a save that is killed leaves the one before it, or none. Two
    /// processes that save at the same time do so one after the other. Blocking: it writes, syncs
    /// and hashes as much as `restore` reads.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn save(&self, folder: &Path, saved: &Saved) -> Result<(), SearchError> {
        let inner = &*self.inner;
        let parts = disk::Parts {
            version: &inner.version,
            saved,
            keys: &inner.keys,
            dead: &inner.dead,
            index: &inner.index,
            columns: &inner.columns,
            lexicon: &inner.lexicon,
        };
        disk::save(folder, &parts)
    }

    /// The products nearest to `query` among those that match: `window.limit()` of them after
    /// `window.offset()`, fewer only when fewer match.
    ///
    /// CPU work, without I/O: see the module's note on cost. Ranks past
    /// [`BREADTH`](super::graph::BREADTH) cost more, those past four times as many a scan of all that
    /// match. Sorted by something else, those alone are found that are near enough to the query to
    /// be meant by it.
    ///
    /// # Errors
    /// When the query has another number of dimensions, or the vector library fails (memory).
    pub fn search(&self, query: &Embedding, selection: &Selection) -> Result<Hits, SearchError> {
        let among = self.meant_by(query, selection)?;
        self.explained_answer(selection, among.as_ref(), Ranking::Near(query))
    }

    /// As [`Searcher::search`] for a query that is a photo: the products' categories count (see
    /// [`rank`](super::rank)), those of the nearest among the products that may answer. Costs a
    /// search more for every category that they may be of.
    ///
    /// # Errors
    /// As [`Searcher::search`].
    pub fn search_photo(
        &self,
        query: &Embedding,
        category: &AttributeName,
        selection: &Selection,
    ) -> Result<Hits, SearchError> {
        let among = self.meant_by(query, selection)?;
        self.explained_answer(selection, among.as_ref(), Ranking::Vote(query, category))
    }

    /// All products that match the filters, in the catalog's order; their score is 0.
    ///
    /// # Errors
    /// As [`Searcher::search`].
    pub fn browse(&self, selection: &Selection) -> Result<Hits, SearchError> {
        self.answer(selection, None, Ranking::Catalog)
    }

    /// The keys of all products that match the filters, ascending.
    pub fn matching(&self, filters: &Filters) -> impl Iterator<Item = ProductKey> + Send + use<> {
        let inner = &*self.inner;
        let matching = inner.columns.matching(filters);
        let matching = Candidates::new(inner.count(), matching, inner.dead.clone());
        let keys = matching.slots().map(|slot| inner.keys[slot as usize].0);
        let keys: RoaringBitmap = keys.collect();
        keys.into_iter().map(ProductKey)
    }

    /// The keys of the products with this id, letter case aside, ascending.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Vec<ProductKey> {
        let inner = &*self.inner;
        let slots = inner.lexicon.with_id(id) - &inner.dead;
        slots.iter().map(|slot| inner.keys[slot as usize]).collect()
    }

    /// The slots that a vector means: all where it ranks, those that are near where something else
    /// does.
    fn meant_by(
        &self,
        query: &Embedding,
        selection: &Selection,
    ) -> Result<Option<RoaringBitmap>, SearchError> {
        if selection.order.is_ranking() || selection.all {
            return Ok(None);
        }
        self.inner.near_enough(query).map(Some)
    }

    fn explained_answer(
        &self,
        selection: &Selection,
        among: Option<&RoaringBitmap>,
        ranking: Ranking<'_>,
    ) -> Result<Hits, SearchError> {
        let mut hits = self.answer(selection, among, ranking)?;
        if selection.explain {
            hits.explanations = self.inner.explained(&hits.hits, ranking, None)?;
        }
        Ok(hits)
    }

    /// `among`: the slots that are meant; `None`: all.
    pub(super) fn answer(
        &self,
        selection: &Selection,
        among: Option<&RoaringBitmap>,
        ranking: Ranking<'_>,
    ) -> Result<Hits, SearchError> {
        let inner = &*self.inner;
        let except = inner.slots_of(&selection.exclude) | &inner.dead;
        let matching = inner.columns.matching(&selection.filters);
        let candidates = Candidates::new(inner.count(), matching, except);
        let candidates = match among {
            Some(slots) => candidates.among(slots),
            None => candidates,
        };
        let page = inner.ordered(ranking, &candidates, selection)?;
        Ok(Hits {
            pictures: inner.pictures(&page.hits, ranking)?,
            hits: page.hits,
            groups: page.groups,
            estimated_total: page.total,
            explanations: Vec::new(),
            meant: among.cloned(),
        })
    }

    /// The first of a product's vectors as it is stored, rounded to bf16; `None` when the index has no
    /// such product, or no vector of it. Microseconds, unless the vectors are elsewhere
    /// ([`Searcher::is_distant`]).
    ///
    /// # Errors
    /// When whoever has the vectors does not answer.
    pub fn embedding(&self, key: ProductKey) -> Result<Option<Embedding>, SearchError> {
        let Some(slot) = self.inner.slot(key) else {
            return Ok(None);
        };
        Ok(self.inner.index.embedding(slot)?)
    }

    /// Whether the vectors are elsewhere: a search waits for whoever has them.
    #[must_use]
    pub fn is_distant(&self) -> bool {
        matches!(self.inner.index, VectorIndex::Distant(_))
    }

    /// Counted when they are first asked for.
    #[must_use]
    pub fn facets(&self) -> Arc<Vec<Facet>> {
        self.inner.facets()
    }

    #[must_use]
    pub fn version(&self) -> &IndexVersion {
        &self.inner.version
    }

    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.inner.index.dimensions()
    }

    /// How many products the index holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.products() as usize
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
