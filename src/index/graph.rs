//! Vectors and the graph over them: the only file that names usearch.
//!
//! A graph is built once and never changed. That rules out two of the library's hazards altogether
//! (searching while removing answers with the key `u64::MAX`, searching while adding answers with too
//! few); the others are met here:
//!
//! | hazard of usearch | what is done |
//! | --- | --- |
//! | more threads than reserved make a search fail | as many permits as threads were reserved ([`Budget`]) |
//! | adding without room, searching after a load without contexts | room and threads are reserved before both |
//! | a panic in the filter's predicate aborts the process | the predicate is a bitmap look-up that cannot panic |
//! | NaN and zero vectors poison the results | an [`Embedding`] is neither; a loaded vector is checked again |
//! | flipped bytes load as Ok | `disk.rs` compares a sha256 before this file sees the bytes |
//! | a load replaces dimensions and scalar kind | both are compared after the load |
//! | keys come back unchecked | a key that is no node, or comes twice, is dropped |
//!
//! Products are numbered by *slot*, 0 to n - 1, here; `inner.rs` knows which key a slot stands for.
//!
//! Vectors are kept as bf16 (rounded to nearest) twice: in the graph, and in plain rows for exact
//! scores. The graph only proposes; every score that leaves this file is the same dot product of the
//! f32 query and the bf16 row, whichever way the product was found.
//!
//! # Changes
//!
//! An [`Index`] with other vectors ([`Index::with`]) shares the graph. What the graph does not hold
//! is in the *delta*, a set of slots that every search scores exactly; a node of the graph whose slot
//! has another vector now is *stale* and passed over. [`Index::merged`] clones the graph and adds the
//! delta to it, which costs what the delta costs; [`Index::with_merged`] puts it in place, also when
//! vectors changed meanwhile. Stale nodes stay until the graph is built anew.

use std::cell::Cell;
use std::collections::HashSet;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use half::bf16;
use roaring::RoaringBitmap;
use usearch::{IndexOptions, MetricKind, ScalarKind};

use crate::domain::Embedding;
use crate::util::budget::Budget;
use crate::util::simd::vectorized;

/// Neighbors that a node keeps (`M` in Malkov & Yashunin, arXiv 1603.09320).
const CONNECTIVITY: usize = 16;
/// Candidates looked at when a node is added (`efConstruction`).
const EXPANSION_ADD: usize = 128;
/// Candidates kept by an ordinary search (`ef`), and so how many ranks one walk gives. See
/// docs/benchmarks.md for what more or fewer would buy.
pub const BREADTH: usize = 128;

/// The niceness of threads that build: searches go first.
const LOWEST_PRIORITY: i32 = 19;

/// Vectors with a graph over most of them. Clones share both.
#[derive(Clone)]
pub struct Index {
    graph: Arc<Graph>,
    vectors: Vectors,
    /// Slots whose vector the graph does not hold.
    delta: RoaringBitmap,
    /// Nodes of the graph whose slot has another vector now, or none.
    stale: RoaringBitmap,
}

struct Graph {
    library: usearch::Index,
    /// The slot of each node.
    slots: Vec<u32>,
    /// The last node of each slot; [`NO_NODE`] where there is none.
    nodes: Vec<u32>,
    /// As many searches at a time as the graph has contexts; the others wait.
    permits: Budget,
}

const NO_NODE: u32 = u32::MAX;

/// A graph with the delta of an index in it.
pub struct Merged {
    graph: usearch::Index,
    slots: Vec<u32>,
    /// As they were when the graph was cloned.
    vectors: Vectors,
}

/// What is saved of an index beside its graph.
pub struct Rest {
    /// The slot of each node.
    pub slots: Vec<u32>,
    pub stale: RoaringBitmap,
    /// With the rows, one after the other.
    pub delta: RoaringBitmap,
    pub rows: Vec<u16>,
}

/// Which slots a walk may find, and how long it goes on.
#[derive(Clone, Copy)]
pub struct Filter<'a> {
    pub allow: &'a dyn Fn(u32) -> bool,
    /// Of the nodes looked at and of those let pass: see [`Index::near`].
    pub go_on: &'a dyn Fn(u32, u32) -> bool,
}

/// What [`Index::near`] found.
#[derive(Debug, Default)]
pub struct Near {
    pub slots: Vec<u32>,
    /// So many were found by the walk, the others are the delta.
    pub walked: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The library's own words.
    #[error("{doing} the vector index: {message}")]
    Library {
        doing: &'static str,
        message: String,
    },
    #[error("a vector of {got} dimensions does not fit an index of {expected}")]
    Dimensions { expected: usize, got: usize },
    #[error("a worker that built the vector index died")]
    Worker,
    /// A file that loads but is not what it should be.
    #[error("the loaded vector index has {what}")]
    Unfit { what: &'static str },
}

impl Index {
    /// Builds the graph over `vectors`. Blocking, on all cores, at the lowest priority: see
    /// docs/benchmarks.md for the time.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn build(vectors: Vectors) -> Result<Self, IndexError> {
        let graph = empty_graph(vectors.dimensions)?;
        let slots: Vec<u32> = vectors.present().collect();
        add(&graph, &vectors, &slots, 0)?;
        Ok(Self::of(graph, slots, vectors))
    }

    fn of(graph: usearch::Index, slots: Vec<u32>, vectors: Vectors) -> Self {
        Self {
            graph: Arc::new(Graph::of(graph, slots, vectors.len())),
            vectors,
            delta: RoaringBitmap::new(),
            stale: RoaringBitmap::new(),
        }
    }

    /// With other vectors in some slots: `None` takes one away. There are `count` slots then; new
    /// ones have no vector unless one is given. The graph is shared.
    ///
    /// # Errors
    /// When an embedding is of another size.
    pub fn with<'a>(
        &self,
        count: u32,
        others: impl IntoIterator<Item = (u32, Option<&'a Embedding>)>,
    ) -> Result<Self, IndexError> {
        let mut next = self.clone();
        next.vectors.extend_to(count as usize);
        for (slot, embedding) in others {
            let changed = match embedding {
                Some(embedding) => next.vectors.set(slot as usize, embedding)?,
                None => next.vectors.clear(slot as usize),
            };
            if !changed {
                continue;
            }
            next.stale.extend(self.graph.node(slot));
            if embedding.is_some() {
                next.delta.insert(slot);
            } else {
                next.delta.remove(slot);
            }
        }
        Ok(next)
    }

    /// How many slots every search scores because the graph does not hold their vector.
    #[must_use]
    pub fn delta(&self) -> u64 {
        self.delta.len()
    }

    /// How many nodes of the graph are passed over.
    #[must_use]
    pub fn stale(&self) -> u64 {
        self.stale.len()
    }

    /// A copy of the graph with the delta added. Blocking, at the lowest priority.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn merged(&self) -> Result<Merged, IndexError> {
        let graph = self.graph.copy(self.dimensions())?;
        let mut slots = self.graph.slots.clone();
        let first = slots.len();
        slots.extend(&self.delta);
        add(&graph, &self.vectors, &slots, first)?;
        Ok(Merged {
            graph,
            slots,
            vectors: self.vectors.clone(),
        })
    }

    /// With the merged graph of an earlier state of this index.
    #[must_use]
    pub fn with_merged(&self, merged: Merged) -> Self {
        let mut next = self.clone();
        let first = self.graph.slots.len();
        for (node, slot) in (0..).zip(&merged.slots).skip(first) {
            let row = *slot as usize;
            let same = !self.vectors.absent.contains(*slot)
                && self.vectors.row(row) == merged.vectors.row(row);
            if same {
                next.delta.remove(*slot);
            } else {
                next.stale.insert(node);
            }
        }
        next.graph = Arc::new(Graph::of(merged.graph, merged.slots, self.len()));
        next
    }

    /// Writes the graph with its vectors to a new file.
    ///
    /// # Errors
    /// When the file cannot be written, or its path is not UTF-8.
    pub fn save(&self, file: &Path) -> Result<(), IndexError> {
        let graph = &self.graph.library;
        graph.save(utf8(file)?).map_err(library("saving"))
    }

    /// What [`Index::load`] wants to know beside the file.
    #[must_use]
    pub fn rest(&self) -> Rest {
        let rows = self.delta.iter().flat_map(|slot| {
            let row = self.vectors.row(slot as usize);
            row.iter().map(|value| value.to_bits())
        });
        Rest {
            slots: self.graph.slots.clone(),
            stale: self.stale.clone(),
            rows: rows.collect(),
            delta: self.delta.clone(),
        }
    }

    /// Loads what [`Index::save`] wrote, of `count` slots. The caller has compared the file's digest:
    /// the library notices no damage.
    ///
    /// # Errors
    /// When the file cannot be read, is of another kind, size or number of dimensions, or does not
    /// fit the rest.
    pub fn load(
        file: &Path,
        dimensions: usize,
        count: u32,
        rest: Rest,
    ) -> Result<Self, IndexError> {
        let graph = empty_graph(dimensions)?;
        graph.load(utf8(file)?).map_err(library("loading"))?;
        let Rest {
            slots,
            stale,
            delta,
            rows,
        } = rest;
        checked(&graph, dimensions, slots.len())?;
        let unfit = |what| Err(IndexError::Unfit { what });
        if slots.iter().any(|slot| *slot >= count)
            || delta.max().is_some_and(|slot| slot >= count)
            || rows.len() as u64 != delta.len() * dimensions as u64
        {
            return unfit("slots that it does not have");
        }
        reserve(&graph, slots.len())?;
        let mut vectors = Vectors::new(dimensions);
        vectors.extend_to(count as usize);
        let mut row = vec![0.0_f32; dimensions];
        for (node, slot) in (0..).zip(&slots).filter(|(node, _)| !stale.contains(*node)) {
            let got = graph.get(u64::from(node), &mut row);
            if got.map_err(library("reading"))? != 1 {
                return unfit("no vector for one of its nodes");
            }
            vectors.restore(*slot as usize, &row)?;
        }
        for (slot, values) in delta.iter().zip(rows.chunks(dimensions)) {
            let values = values.iter().map(|bits| bf16::from_bits(*bits).to_f32());
            let values: Vec<f32> = values.collect();
            vectors.restore(slot as usize, &values)?;
        }
        Ok(Self {
            graph: Arc::new(Graph::of(graph, slots, count as usize)),
            vectors,
            delta,
            stale,
        })
    }

    /// How many slots there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a slot has a vector.
    #[must_use]
    pub fn has(&self, slot: u32) -> bool {
        self.vectors.has(slot)
    }

    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.vectors.dimensions
    }

    /// Bytes held by the graph and the rows.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let nodes = self.graph.slots.len() + self.graph.nodes.len();
        self.graph.library.memory_usage()
            + nodes * size_of::<u32>()
            + self.vectors.len() * self.dimensions() * size_of::<bf16>()
    }

    /// Up to `breadth` slots near to `query` that `allow` lets pass (`None`: every slot), and all
    /// of the delta that it lets pass; in no order, none twice. It is approximate: some of the nearest may be missing, the more the
    /// smaller `breadth` is, and fewer may come back although more exist. The same question has the
    /// same answer as long as this index lives.
    ///
    /// `None` when the walk gave up, because `go_on` said so: it is asked after each node with the
    /// number of nodes looked at and of those that `allow` let pass.
    ///
    /// Waits while as many searches run as there are cores. The cost grows with `breadth / s`,
    /// where `s` is the share that `allow` lets pass near the query (see
    /// [`plan`](super::plan::plan)). Neither `allow` nor `go_on` may panic: that aborts the process.
    ///
    /// # Errors
    /// When `query` is of another size, or the library fails (memory).
    pub fn near(
        &self,
        query: &Embedding,
        breadth: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Option<Near>, IndexError> {
        self.check(query)?;
        if self.is_empty() || breadth == 0 {
            return Ok(Some(Near::default()));
        }
        let Graph {
            library: graph,
            slots,
            permits,
            ..
        } = &*self.graph;
        let slot_of = |node: u64| -> Option<u32> {
            let node = u32::try_from(node).ok()?;
            let slot = slots.get(node as usize)?;
            (!self.stale.contains(node)).then_some(*slot)
        };
        let gave_up = Cell::new(false);
        let permit = permits.wait(1);
        let found = match filter {
            _ if slots.is_empty() => Ok(Vec::new()),
            None if self.stale.is_empty() => graph
                .search(query.as_slice(), breadth)
                .map(|found| found.keys),
            None => {
                let predicate = |node| slot_of(node).is_some();
                let found = graph.filtered_search(query.as_slice(), breadth, predicate);
                found.map(|found| found.keys)
            }
            Some(Filter { allow, go_on }) => {
                let (seen, allowed) = (Cell::new(0_u32), Cell::new(0_u32));
                let predicate = |node| {
                    // The library has no way to end a walk: one that lets everything pass has soon
                    // found enough.
                    if gave_up.get() {
                        return true;
                    }
                    let passes = slot_of(node).is_some_and(allow);
                    seen.set(seen.get().saturating_add(1));
                    allowed.set(allowed.get().saturating_add(u32::from(passes)));
                    gave_up.set(!go_on(seen.get(), allowed.get()));
                    passes
                };
                let found = graph.filtered_search(query.as_slice(), breadth, predicate);
                found.map(|found| found.keys)
            }
        };
        drop(permit);
        if gave_up.get() {
            return Ok(None);
        }
        let found = found.map_err(library("searching"))?.into_iter();
        let mut seen = HashSet::with_capacity(breadth);
        let walked = found.filter_map(slot_of).filter(|&slot| seen.insert(slot));
        let mut slots: Vec<u32> = walked.collect();
        let walked = slots.len();
        let delta = self.delta.iter();
        let delta = delta.filter(|slot| filter.is_none_or(|filter| (filter.allow)(*slot)));
        slots.extend(delta.filter(|&slot| seen.insert(slot)));
        Ok(Some(Near { slots, walked }))
    }

    /// The cosine between `query` and each of `slots`, in their order; 0 where there is no vector. Exact up to the stored
    /// precision: the f32 query against the bf16 row. See docs/benchmarks.md for the cost of one.
    ///
    /// # Errors
    /// When `query` is of another size.
    pub fn scores<'a>(
        &'a self,
        query: &'a Embedding,
        slots: impl Iterator<Item = u32> + 'a,
    ) -> Result<impl Iterator<Item = (u32, f32)> + 'a, IndexError> {
        self.check(query)?;
        Ok(slots.map(|slot| (slot, self.vectors.cosine(query, slot as usize))))
    }

    /// The vector in `slot` as it is stored, rounded to bf16; `None` when it has none.
    #[must_use]
    pub fn embedding(&self, slot: u32) -> Option<Embedding> {
        if !self.has(slot) {
            return None;
        }
        let row = self
            .vectors
            .row(slot as usize)
            .iter()
            .map(|v| v.to_f32())
            .collect();
        Embedding::new(row, self.dimensions()).ok()
    }

    fn check(&self, query: &Embedding) -> Result<(), IndexError> {
        let (expected, got) = (self.dimensions(), query.dimensions());
        if expected == got {
            Ok(())
        } else {
            Err(IndexError::Dimensions { expected, got })
        }
    }
}

impl Rest {
    /// Of a graph that was just built over so many slots, each with a vector.
    #[must_use]
    pub fn of_new(slots: u32) -> Self {
        Self {
            slots: (0..slots).collect(),
            stale: RoaringBitmap::new(),
            delta: RoaringBitmap::new(),
            rows: Vec::new(),
        }
    }
}

impl Graph {
    fn of(graph: usearch::Index, slots: Vec<u32>, count: usize) -> Self {
        let mut nodes = vec![NO_NODE; count];
        for (node, slot) in (0..).zip(&slots) {
            if let Some(place) = nodes.get_mut(*slot as usize) {
                *place = node;
            }
        }
        Self {
            library: graph,
            slots,
            nodes,
            permits: Budget::new(threads() as u64),
        }
    }

    /// The last node of a slot.
    fn node(&self, slot: u32) -> Option<u32> {
        let node = self.nodes.get(slot as usize).copied();
        node.filter(|node| *node != NO_NODE)
    }

    /// The same graph once more, to be added to.
    fn copy(&self, dimensions: usize) -> Result<usearch::Index, IndexError> {
        let copy = empty_graph(dimensions)?;
        if self.slots.is_empty() {
            return Ok(copy);
        }
        let mut bytes = vec![0; self.library.serialized_length()];
        self.library
            .save_to_buffer(&mut bytes)
            .and_then(|()| copy.load_from_buffer(&bytes))
            .map_err(library("copying"))?;
        checked(&copy, dimensions, self.slots.len())?;
        Ok(copy)
    }
}

/// Adds the rows of `slots[first..]` as nodes of these numbers, on all cores.
fn add(
    graph: &usearch::Index,
    vectors: &Vectors,
    slots: &[u32],
    first: usize,
) -> Result<(), IndexError> {
    reserve(graph, slots.len())?;
    let next = AtomicUsize::new(first);
    let work = || -> Result<(), IndexError> {
        // Of this thread alone, which ends with the build.
        let _ = rustix::process::nice(LOWEST_PRIORITY);
        let mut row = Vec::with_capacity(vectors.dimensions);
        loop {
            let node = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = slots.get(node) else {
                return Ok(());
            };
            row.clear();
            // The rounded values, so that the graph holds bit for bit what the rows hold.
            row.extend(vectors.row(*slot as usize).iter().map(|v| v.to_f32()));
            graph.add(node as u64, &row).map_err(library("adding to"))?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads()).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|w| w.join().unwrap_or(Err(IndexError::Worker)))
    })?;
    if graph.size() != slots.len() {
        return Err(IndexError::Unfit {
            what: "another number of vectors",
        });
    }
    Ok(())
}

fn reserve(graph: &usearch::Index, nodes: usize) -> Result<(), IndexError> {
    graph
        .reserve_capacity_and_threads(nodes, threads())
        .map_err(library("reserving room in"))
}

/// What a loaded graph is, compared with what it should be.
fn checked(graph: &usearch::Index, dimensions: usize, nodes: usize) -> Result<(), IndexError> {
    let unfit = |what| Err(IndexError::Unfit { what });
    if graph.dimensions() != dimensions {
        return unfit("another number of dimensions");
    }
    if graph.size() != nodes {
        return unfit("another number of vectors");
    }
    if graph.scalar_kind() != ScalarKind::BF16
        || graph.metric_kind() != MetricKind::IP
        || graph.multi()
    {
        return unfit("another scalar kind or metric");
    }
    Ok(())
}

/// Rows that are kept, and copied when one of them changes, together.
const BLOCK: usize = 256;

/// Embeddings as an index stores them (bf16), a row for each slot: exact scores without a graph,
/// the same to the last bit as an [`Index`] of the same embeddings gives. Clones share their blocks
/// of [`BLOCK`] rows until one changes.
#[derive(Clone)]
pub struct Vectors {
    dimensions: usize,
    count: usize,
    blocks: Vec<Arc<Vec<bf16>>>,
    /// Slots without a vector: their rows are zero.
    absent: RoaringBitmap,
}

impl Vectors {
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            count: 0,
            blocks: Vec::new(),
            absent: RoaringBitmap::new(),
        }
    }

    /// # Errors
    /// When an embedding is of another size.
    pub fn of(dimensions: usize, embeddings: &[Embedding]) -> Result<Self, IndexError> {
        let mut vectors = Self::new(dimensions);
        embeddings.iter().try_for_each(|e| vectors.push(Some(e)))?;
        Ok(vectors)
    }

    /// Adds the row of the next slot.
    ///
    /// # Errors
    /// When the embedding is of another size.
    pub fn push(&mut self, embedding: Option<&Embedding>) -> Result<(), IndexError> {
        let slot = self.count;
        self.extend_to(slot + 1);
        match embedding {
            Some(embedding) => self.set(slot, embedding).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Adds slots without a vector until there are `count`.
    fn extend_to(&mut self, count: usize) {
        while self.count < count {
            let in_block = self.count % BLOCK;
            if in_block == 0 {
                self.blocks.push(Arc::new(Vec::new()));
            }
            let more = (BLOCK - in_block).min(count - self.count);
            if let Some(block) = self.blocks.last_mut() {
                let block = Arc::make_mut(block);
                block.resize((in_block + more) * self.dimensions, bf16::ZERO);
            }
            let added = self.count..self.count + more;
            self.absent
                .insert_range(as_slot(added.start)..as_slot(added.end));
            self.count = added.end;
        }
    }

    /// Whether the row was another one, or none.
    fn set(&mut self, slot: usize, embedding: &Embedding) -> Result<bool, IndexError> {
        if embedding.dimensions() != self.dimensions {
            return Err(IndexError::Dimensions {
                expected: self.dimensions,
                got: embedding.dimensions(),
            });
        }
        let row = embedding.as_slice().iter().map(|&v| bf16::from_f32(v));
        let row: Vec<bf16> = row.collect();
        let absent = self.absent.remove(as_slot(slot));
        if !absent && self.row(slot) == row {
            return Ok(false);
        }
        self.row_mut(slot).copy_from_slice(&row);
        Ok(true)
    }

    /// Takes a row away; whether there was one.
    fn clear(&mut self, slot: usize) -> bool {
        let had = self.absent.insert(as_slot(slot));
        if had {
            self.row_mut(slot).fill(bf16::ZERO);
        }
        had
    }

    /// A row that was saved: finite, and of unit length as far as bf16 goes.
    fn restore(&mut self, slot: usize, values: &[f32]) -> Result<(), IndexError> {
        let squares = values.iter().map(|v| v * v).sum::<f32>();
        // NaN is in no range.
        if !(0.95..1.05).contains(&squares) {
            return Err(IndexError::Unfit {
                what: "a vector that is not finite or not of unit length",
            });
        }
        self.absent.remove(as_slot(slot));
        for (to, value) in self.row_mut(slot).iter_mut().zip(values) {
            *to = bf16::from_f32(*value);
        }
        Ok(())
    }

    /// How many slots there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The slots with a vector.
    fn present(&self) -> impl Iterator<Item = u32> + '_ {
        (0..as_slot(self.count)).filter(|slot| !self.absent.contains(*slot))
    }

    fn has(&self, slot: u32) -> bool {
        (slot as usize) < self.count && !self.absent.contains(slot)
    }

    /// The cosine between an f32 query of the same size and the row in `slot`; 0 where there is none.
    #[must_use]
    pub fn cosine(&self, query: &Embedding, slot: usize) -> f32 {
        dot(query.as_slice(), self.row(slot)).clamp(-1.0, 1.0)
    }

    fn row(&self, slot: usize) -> &[bf16] {
        let block = &self.blocks[slot / BLOCK];
        &block[slot % BLOCK * self.dimensions..][..self.dimensions]
    }

    fn row_mut(&mut self, slot: usize) -> &mut [bf16] {
        let block = Arc::make_mut(&mut self.blocks[slot / BLOCK]);
        &mut block[slot % BLOCK * self.dimensions..][..self.dimensions]
    }
}

/// Thirty-two sums side by side, because the compiler may not reorder one; a bf16 is the upper half
/// of an f32.
fn dot(query: &[f32], row: &[bf16]) -> f32 {
    let widen = |v: bf16| f32::from_bits(u32::from(v.to_bits()) << 16);
    vectorized(
        #[inline(always)]
        || {
            let mut sums = [0.0_f32; 32];
            let (query, query_rest) = query.as_chunks::<32>();
            let (row, row_rest) = row.as_chunks::<32>();
            for (q, r) in query.iter().zip(row) {
                for ((sum, &q), &r) in sums.iter_mut().zip(q).zip(r) {
                    *sum += q * widen(r);
                }
            }
            let rest = query_rest.iter().zip(row_rest);
            let rest: f32 = rest.map(|(&q, &r)| q * widen(r)).sum();
            sums.iter().sum::<f32>() + rest
        },
    )
}

/// One for each core, for building and for searching: more would only take turns.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

fn empty_graph(dimensions: usize) -> Result<usearch::Index, IndexError> {
    // Inner product: of unit vectors it is the cosine, without computing two norms for every
    // distance.
    let options = IndexOptions {
        dimensions,
        metric: MetricKind::IP,
        quantization: ScalarKind::BF16,
        connectivity: CONNECTIVITY,
        expansion_add: EXPANSION_ADD,
        // The least there is: the library takes the greater of this and how many are asked for.
        expansion_search: 1,
        multi: false,
    };
    usearch::Index::new(&options).map_err(library("creating"))
}

fn as_slot(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

fn utf8(file: &Path) -> Result<&str, IndexError> {
    let message = || format!("{} is not UTF-8", file.display());
    file.to_str().ok_or_else(|| IndexError::Library {
        doing: "naming the file of",
        message: message(),
    })
}

/// Which version of the library reads and writes the files.
#[must_use]
pub fn library_version() -> &'static str {
    usearch::version()
}

/// Turns the library's exception into an error of ours.
fn library<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> IndexError {
    move |e| IndexError::Library {
        doing,
        message: e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` vectors of `dimensions`, spread over the sphere; the same for the same seed.
    fn built(dimensions: usize, embeddings: &[Embedding]) -> Result<Index, IndexError> {
        Index::build(Vectors::of(dimensions, embeddings)?)
    }

    fn embeddings(count: usize, dimensions: usize, seed: u64) -> Vec<Embedding> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f32::from(u16::try_from(state >> 48).expect("16 bits")) / 32_768.0 - 1.0
        };
        let mut vector = || (0..dimensions).map(|_| next()).collect();
        (0..count)
            .map(|_| Embedding::new(vector(), dimensions).expect("not zero"))
            .collect()
    }

    fn options(dimensions: usize, quantization: ScalarKind) -> IndexOptions {
        IndexOptions {
            dimensions,
            metric: MetricKind::IP,
            quantization,
            ..IndexOptions::default()
        }
    }

    /// Saves what the library takes without complaint and loads it as ours.
    fn load_foreign(options: &IndexOptions, vectors: &[Vec<f32>]) -> Result<Index, IndexError> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("foreign");
        let foreign = usearch::Index::new(options).expect("an index");
        foreign.reserve(vectors.len()).expect("room");
        for (key, vector) in vectors.iter().enumerate() {
            foreign
                .add(key as u64, vector)
                .expect("the library takes anything");
        }
        foreign.save(file.to_str().expect("UTF-8")).expect("a file");
        Index::load(&file, 4, 2, Rest::of_new(2))
    }

    /// The slots that a walk finds.
    fn near(
        index: &Index,
        query: &Embedding,
        breadth: usize,
        filter: Option<Filter<'_>>,
    ) -> Option<Vec<u32>> {
        let found = index.near(query, breadth, filter).expect("a search");
        found.map(|found| found.slots)
    }

    #[test]
    fn the_dot_product_takes_every_element() {
        for dimensions in [1, 15, 16, 17, 40, 512] {
            let [a, b] = &embeddings(2, dimensions, 7)[..] else {
                panic!("two")
            };
            let row: Vec<bf16> = b.as_slice().iter().map(|&v| bf16::from_f32(v)).collect();
            let expected: f64 = a
                .as_slice()
                .iter()
                .zip(&row)
                .map(|(&q, r)| f64::from(q) * f64::from(r.to_f32()))
                .sum();
            assert!(
                (f64::from(dot(a.as_slice(), &row)) - expected).abs() < 1e-5,
                "{dimensions}"
            );
        }
    }

    #[test]
    fn a_file_of_another_kind_is_refused_after_the_load() {
        let good = [vec![1.0, 0.0, 0.0, 0.0], vec![0.0, 1.0, 0.0, 0.0]];
        assert!(load_foreign(&options(4, ScalarKind::BF16), &good).is_ok());
        let unfit =
            |options: &IndexOptions, vectors: &[Vec<f32>]| match load_foreign(options, vectors) {
                Err(IndexError::Unfit { what }) => what,
                other => panic!("{:?}", other.err()),
            };
        // The library replaces what it was told to be by what the file says, and says Ok.
        assert_eq!(
            unfit(&options(4, ScalarKind::F32), &good),
            "another scalar kind or metric"
        );
        let cosine = IndexOptions {
            metric: MetricKind::Cos,
            ..options(4, ScalarKind::BF16)
        };
        assert_eq!(unfit(&cosine, &good), "another scalar kind or metric");
        assert_eq!(
            unfit(&options(2, ScalarKind::BF16), &[vec![1.0, 0.0]]),
            "another number of dimensions"
        );
        assert_eq!(
            unfit(&options(4, ScalarKind::BF16), &good[..1]),
            "another number of vectors"
        );
    }

    #[test]
    fn a_poisoned_vector_in_a_file_is_refused() {
        for poison in [
            vec![f32::NAN, 0.0, 0.0, 0.0],
            vec![0.0; 4],
            vec![f32::INFINITY, 0.0, 0.0, 0.0],
        ] {
            let vectors = [vec![1.0, 0.0, 0.0, 0.0], poison.clone()];
            let loaded = load_foreign(&options(4, ScalarKind::BF16), &vectors);
            assert!(
                matches!(loaded, Err(IndexError::Unfit { .. })),
                "{poison:?}"
            );
        }
    }

    #[test]
    fn many_more_threads_than_permits_all_find_everything() {
        let index = built(16, &embeddings(2_000, 16, 1)).expect("built");
        let loaded = {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("graph");
            index.save(&file).expect("saved");
            Index::load(&file, 16, 2_000, index.rest()).expect("loaded")
        };
        let odd = |slot: u32| slot % 2 == 1;
        for index in [&index, &loaded] {
            let queries = embeddings(100, 16, 2);
            thread::scope(|scope| {
                for _ in 0..16 * threads() + 16 {
                    scope.spawn(|| {
                        for query in &queries {
                            let found = near(index, query, 20, None);
                            assert_eq!(found.map(|slots| slots.len()), Some(20));
                            let filter = Filter {
                                allow: &odd,
                                go_on: &|_, _| true,
                            };
                            let found = near(index, query, 20, Some(filter)).expect("whole");
                            assert!(
                                found.len() == 20 && found.iter().all(|&slot| odd(slot)),
                                "{found:?}"
                            );
                        }
                    });
                }
            });
            assert_eq!(index.graph.permits.used(), 0);
        }
    }

    #[test]
    fn the_graph_finds_what_is_near() {
        let all = embeddings(3_000, 24, 3);
        let index = built(24, &all).expect("built");
        let mut found_of_best = 0;
        for query in embeddings(50, 24, 4) {
            let mut exact: Vec<_> = index.scores(&query, 0..3_000).expect("scores").collect();
            exact.sort_by(|a, b| b.1.total_cmp(&a.1));
            let found = near(&index, &query, BREADTH, None).expect("whole");
            found_of_best += exact[..10]
                .iter()
                .filter(|(slot, _)| found.contains(slot))
                .count();
        }
        assert!(found_of_best >= 490, "{found_of_best} of 500");
    }

    #[test]
    fn a_walk_that_finds_too_little_gives_up_early() {
        let all = embeddings(3_000, 24, 3);
        let index = built(24, &all).expect("built");
        let query = &embeddings(1, 24, 4)[0];
        let nearest = near(&index, query, 1_000, None).expect("whole");
        let nearest: HashSet<u32> = nearest.into_iter().collect();
        // All but the nearest thousand: a walk has to leave the neighborhood first.
        let far = |slot: u32| !nearest.contains(&slot);
        let looked_at = |limit: u32| {
            let most = Cell::new(0);
            let go_on = |seen, _| {
                most.set(seen);
                seen < limit
            };
            let filter = Filter {
                allow: &far,
                go_on: &go_on,
            };
            (near(&index, query, 64, Some(filter)), most.get())
        };
        let (found, walked) = looked_at(u32::MAX);
        assert!(found.is_some_and(|found| found.len() == 64 && found.iter().all(|&s| far(s))));
        assert!(walked > 200, "{walked}");
        assert_eq!(looked_at(100), (None, 100));
    }

    /// What an index knows of its slots. A walk finds slots with a vector, each once, and the nearest
    /// of them.
    fn known(index: &Index, queries: &[Embedding]) -> Vec<Option<Embedding>> {
        let count = u32::try_from(index.len()).expect("few");
        let mut found_of_best = 0;
        for query in queries {
            let found = near(index, query, BREADTH, None).expect("whole");
            let distinct: HashSet<u32> = found.iter().copied().collect();
            assert_eq!(distinct.len(), found.len());
            assert!(found.iter().all(|slot| index.has(*slot)), "{found:?}");
            let with_vector = (0..count).filter(|slot| index.has(*slot));
            let mut exact: Vec<_> = index.scores(query, with_vector).expect("scores").collect();
            exact.sort_by(|a, b| b.1.total_cmp(&a.1));
            let best = exact.iter().take(10);
            found_of_best += best.filter(|(slot, _)| distinct.contains(slot)).count();
        }
        assert!(found_of_best >= 9 * queries.len(), "{found_of_best}");
        (0..count).map(|slot| index.embedding(slot)).collect()
    }

    #[test]
    fn changed_vectors_are_found_before_and_after_a_merge_and_a_restart() {
        let (dimensions, queries) = (16, embeddings(5, 16, 9));
        let [old, new, newer] = [1, 2, 3].map(|seed| embeddings(400, dimensions, seed));
        let index = built(dimensions, &old[..300]).expect("built");
        // Every third is another one, every seventh is taken away, a hundred are added.
        let others = (0..400_u32).filter_map(|slot| match slot {
            300.. => Some((slot, Some(&old[slot as usize]))),
            _ if slot.is_multiple_of(7) => Some((slot, None)),
            _ if slot.is_multiple_of(3) => Some((slot, Some(&new[slot as usize]))),
            _ => None,
        });
        let others: Vec<(u32, Option<&Embedding>)> = others.collect();
        let changed = index.with(400, others).expect("changed");
        let vector = |slot: u32| match slot {
            300.. => Some(&old[slot as usize]),
            _ if slot.is_multiple_of(7) => None,
            _ if slot.is_multiple_of(3) => Some(&new[slot as usize]),
            _ => Some(&old[slot as usize]),
        };
        let fresh = |vector: &dyn Fn(u32) -> Option<Embedding>| {
            let mut vectors = Vectors::new(dimensions);
            for slot in 0..400 {
                vectors.push(vector(slot).as_ref()).expect("a row");
            }
            known(&Index::build(vectors).expect("built"), &queries)
        };
        let expected = fresh(&|slot| vector(slot).cloned());
        assert_eq!(known(&changed, &queries), expected);
        assert_eq!((changed.delta(), changed.stale()), (185, 128));
        // The index that it came of is what it was.
        assert_eq!(index.len(), 300);
        assert_eq!((index.delta(), index.stale()), (0, 0));
        // While the graph is merged, more changes.
        let merged = changed.merged().expect("merged");
        let more = [
            (1, Some(&newer[1])),
            (3, Some(&newer[3])),
            (350, None),
            (7, Some(&newer[7])),
        ];
        let later = changed.with(400, more).expect("changed");
        let index = later.with_merged(merged);
        let vector = |slot: u32| match slot {
            1 | 3 | 7 => Some(newer[slot as usize].clone()),
            350 => None,
            _ => vector(slot).cloned(),
        };
        let expected = fresh(&vector);
        assert_eq!(known(&index, &queries), expected);
        assert_eq!(index.delta(), 3, "what changed since");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("graph");
        index.save(&file).expect("saved");
        let loaded = Index::load(&file, dimensions, 400, index.rest()).expect("loaded");
        assert_eq!(known(&loaded, &queries), expected);
        let again = loaded.merged().expect("merged");
        let again = loaded.with_merged(again);
        assert_eq!((known(&again, &queries), again.delta()), (expected, 0));
        // The same vector once more changes nothing.
        let same = again.with(400, [(1, Some(&newer[1]))]).expect("changed");
        assert_eq!((same.delta(), same.stale()), (0, again.stale()));
    }

    #[test]
    fn an_index_of_nothing_grows() {
        let all = embeddings(3, 8, 1);
        let index = Index::build(Vectors::new(8)).expect("built");
        let index = index
            .with(3, [(0, Some(&all[0])), (2, Some(&all[2]))])
            .expect("changed");
        let found = || near(&index, &all[2], 10, None);
        assert_eq!(found(), Some(vec![0, 2]));
        assert!(index.embedding(1).is_none() && !index.has(1) && index.has(2));
        let scores: Vec<_> = index
            .scores(&all[2], [1].into_iter())
            .expect("scores")
            .collect();
        assert_eq!(scores, [(1, 0.0)]);
        let index = index.with_merged(index.merged().expect("merged"));
        assert_eq!(
            (
                index.delta(),
                near(&index, &all[2], 10, None).map(|f| f.len())
            ),
            (0, Some(2))
        );
    }

    #[test]
    fn sizes_are_compared() {
        assert!(matches!(
            built(8, &embeddings(3, 9, 1)),
            Err(IndexError::Dimensions {
                expected: 8,
                got: 9
            })
        ));
        let index = built(8, &embeddings(3, 8, 1)).expect("built");
        let query = &embeddings(1, 9, 1)[0];
        assert!(matches!(
            index.near(query, 1, None),
            Err(IndexError::Dimensions {
                expected: 8,
                got: 9
            })
        ));
        assert!(index.scores(query, 0..3).is_err());
        assert!(index.embedding(3).is_none() && index.embedding(2).is_some());
    }
}
