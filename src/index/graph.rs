//! The graph over the vectors: the only file that names usearch.
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
//! Each vector of a slot is a node of the graph: a slot has as many nodes as vectors, one after the
//! other and in the order of its rows.
//!
//! Vectors are kept as bf16 (rounded to nearest) twice: in the graph, and in the rows of [`Vectors`]
//! for exact scores. The graph only proposes; every score that leaves this file is that of the
//! product's best row, whichever way the product was found.
//!
//! # Changes
//!
//! An [`Index`] with other vectors ([`Index::with`]) shares the graph. What the graph does not hold
//! is in the *delta*, a set of slots that every search scores exactly. A slot of which a vector
//! changes is in the delta with all its vectors, and all its nodes are *stale* and passed over: the
//! nodes of a slot that are not stale are exactly its rows. [`Index::merged`] clones the graph and
//! adds the delta to it, which costs what the delta costs; [`Index::with_merged`] puts it in place,
//! also when vectors changed meanwhile. Stale nodes stay until the graph is built anew.

use std::cell::Cell;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use half::bf16;
use roaring::RoaringBitmap;
use usearch::{IndexOptions, MetricKind, ScalarKind};

use super::vectors::{Density, IndexError, Vector, Vectors};
use crate::domain::Embedding;
use crate::util::budget::Budget;
use crate::util::process::give_back_memory;
use crate::util::process::give_way;

/// Neighbors that a node keeps (`M` in Malkov & Yashunin, arXiv 1603.09320).
const CONNECTIVITY: usize = 16;
/// Candidates looked at when a node is added (`efConstruction`).
const EXPANSION_ADD: usize = 128;
/// Candidates kept by an ordinary search (`ef`), and so how many ranks one walk gives; with several
/// vectors a product so many times as many ([`Density::walked`]). See docs/benchmarks.md for what
/// more or fewer would buy.
pub const BREADTH: usize = 128;

/// Vectors with a graph over most of them. Clones share both.
#[derive(Clone)]
pub struct Index {
    /// Dropped before the graph.
    vectors: Vectors,
    graph: Arc<Graph>,
    /// Slots whose vectors the graph does not hold; each has one at least.
    delta: RoaringBitmap,
    /// Nodes of the graph whose slot has other vectors now, or none.
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
    /// The slot of each row that the graph does not hold.
    pub delta: Vec<u32>,
    /// These rows, one after the other.
    pub rows: Vec<u16>,
    /// The picture of each vector, slot by slot.
    pub pictures: Vec<u8>,
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
    /// Those that the walk found, then those of the delta.
    pub slots: Vec<u32>,
    /// How many the walk found. When it is full, they are the nearest so many: the nearest nodes are
    /// of the nearest products.
    pub walked: usize,
    /// Whether the walk found as many nodes as it looked for.
    pub full: bool,
}

impl Index {
    /// Builds the graph over `vectors`. Blocking, on all cores, at the lowest priority: see
    /// docs/benchmarks.md for the time.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn build(vectors: Vectors) -> Result<Self, IndexError> {
        let graph = empty_graph(vectors.dimensions())?;
        let slots: Vec<u32> = vectors.slots_of_rows().collect();
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

    /// With other vectors in some slots: none takes away those that a slot has. There are `count`
    /// slots then; new ones have no vector unless one is given. The graph is shared.
    ///
    /// # Errors
    /// When an embedding is of another size.
    pub fn with<'a>(
        &self,
        count: u32,
        others: impl IntoIterator<Item = (u32, &'a [Vector])>,
    ) -> Result<Self, IndexError> {
        let mut next = self.clone();
        next.vectors.extend_to(count as usize);
        for (slot, vectors) in others {
            if !next.vectors.set(slot as usize, vectors)? {
                continue;
            }
            next.stale.extend(self.graph.nodes_of(slot));
            if vectors.is_empty() {
                next.delta.remove(slot);
            } else {
                next.delta.insert(slot);
            }
        }
        Ok(next)
    }

    /// How many vectors every search scores because the graph does not hold them. Vectors and not
    /// slots: each costs a score in a search, and a node in a merge.
    #[must_use]
    pub fn delta(&self) -> u64 {
        let rows = |slot: u32| self.vectors.row_count(slot as usize) as u64;
        self.delta.iter().map(rows).sum()
    }

    /// How many nodes of the graph are passed over.
    #[must_use]
    pub fn stale(&self) -> u64 {
        self.stale.len()
    }

    /// How many vectors there are for each product that has any.
    #[must_use]
    pub fn density(&self) -> Density {
        self.vectors.density()
    }

    /// How many vectors there are.
    #[must_use]
    pub fn vectors(&self) -> u64 {
        self.vectors.total()
    }

    /// A copy of the graph with the delta added. Blocking, at the lowest priority.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn merged(&self) -> Result<Merged, IndexError> {
        let graph = self.graph.copy(self.dimensions())?;
        let mut slots = self.graph.slots.clone();
        let first = slots.len();
        slots.extend(self.delta_rows());
        add(&graph, &self.vectors, &slots, first)?;
        Ok(Merged {
            graph,
            slots,
            vectors: self.vectors.clone(),
        })
    }

    /// The slot of each row that the graph does not hold.
    fn delta_rows(&self) -> impl Iterator<Item = u32> + '_ {
        let slots = self.delta.iter();
        slots.flat_map(|slot| self.vectors.repeated(slot))
    }

    /// With the merged graph of an earlier state of this index.
    #[must_use]
    pub fn with_merged(&self, merged: Merged) -> Self {
        let mut next = self.clone();
        let mut node = self.graph.slots.len();
        for nodes in merged.slots[node..].chunk_by(|a, b| a == b) {
            let slot = nodes[0];
            let rows = self.vectors.rows(slot as usize);
            if !rows.is_empty() && rows == merged.vectors.rows(slot as usize) {
                next.delta.remove(slot);
            } else {
                let end = node + nodes.len();
                next.stale.insert_range(as_node(node)..as_node(end));
            }
            node += nodes.len();
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
            let rows = self.vectors.rows(slot as usize);
            rows.iter().map(|value| value.to_bits())
        });
        Rest {
            slots: self.graph.slots.clone(),
            stale: self.stale.clone(),
            rows: rows.collect(),
            delta: self.delta_rows().collect(),
            pictures: self.vectors.pictures().collect(),
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
            pictures,
        } = rest;
        checked(&graph, dimensions, slots.len())?;
        let unfit = |what| Err(IndexError::Unfit { what });
        if slots.iter().chain(&delta).any(|slot| *slot >= count)
            || rows.len() as u64 != delta.len() as u64 * dimensions as u64
        {
            return unfit("slots that it does not have");
        }
        reserve(&graph, slots.len())?;
        // The rows are counted first, so that each has its place and none is moved.
        let living = || (0_u32..).zip(&slots).filter(|of| !stale.contains(of.0));
        let mut counts = vec![0_u32; count as usize];
        for (_, slot) in living() {
            counts[*slot as usize] += 1;
        }
        let of_delta: RoaringBitmap = delta.iter().copied().collect();
        if of_delta.iter().any(|slot| counts[slot as usize] > 0) {
            return unfit("a product both in the graph and beside it");
        }
        for slot in &delta {
            counts[*slot as usize] += 1;
        }
        let mut vectors = Vectors::with_room(dimensions, &counts, &pictures)?;
        let mut filled = vec![0; count as usize];
        let mut next_row = |slot: u32| {
            let filled = &mut filled[slot as usize];
            *filled += 1;
            *filled - 1
        };
        let mut row = vec![0.0_f32; dimensions];
        for (node, slot) in living() {
            let got = graph.get(u64::from(node), &mut row);
            if got.map_err(library("reading"))? != 1 {
                return unfit("no vector for one of its nodes");
            }
            vectors.restore(*slot as usize, next_row(*slot), row.iter().copied())?;
        }
        for (slot, values) in delta.iter().zip(rows.chunks(dimensions)) {
            let values = values.iter().map(|bits| bf16::from_bits(*bits).to_f32());
            vectors.restore(*slot as usize, next_row(*slot), values)?;
        }
        Ok(Self {
            graph: Arc::new(Graph::of(graph, slots, count as usize)),
            vectors,
            delta: of_delta,
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
        self.vectors.row_count(slot as usize) > 0
    }

    /// Whether a slot has these vectors and no others, as they are stored.
    #[must_use]
    pub fn holds(&self, slot: u32, vectors: &[Vector]) -> bool {
        self.vectors.holds(slot as usize, vectors)
    }

    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.vectors.dimensions()
    }

    /// Bytes held by the graph and the rows.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let nodes = self.graph.slots.len() + self.graph.nodes.len();
        let library = &self.graph.library;
        // The library doubles the room that it sets aside, and counts all of it; no memory stands
        // behind what was never written to.
        let room = library.memory_stats();
        let room = room.graph_reserved + room.vectors_reserved;
        let library = library.memory_usage().saturating_sub(room);
        library + nodes * size_of::<u32>() + self.vectors.memory_bytes()
    }

    /// Slots near to `query` that `allow` lets pass (`None`: every slot), and all of the delta that
    /// it lets pass; in no order, none twice. It is approximate: some of the nearest may be missing,
    /// the more the smaller `breadth` is, and fewer may come back although more exist. The same
    /// question has the same answer as long as this index lives.
    ///
    /// The walk looks for `breadth` nodes; with several vectors a product for so many times as many
    /// ([`Density::walked`]). That makes `breadth` slots and more, or fewer where most of the nearest
    /// nodes are of products with many vectors.
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
        self.vectors.check(query)?;
        if self.is_empty() || breadth == 0 {
            return Ok(Some(Near::default()));
        }
        let factor = usize::try_from(self.density().walked()).unwrap_or(1);
        let breadth = breadth.saturating_mul(factor);
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
        let found = found.map_err(library("searching"))?;
        let nodes = found.into_iter().filter(|node| slot_of(*node).is_some());
        let nodes = distinct(nodes.collect());
        let full = nodes.len() >= breadth;
        let mut slots = distinct(nodes.into_iter().filter_map(slot_of).collect());
        let walked = slots.len();
        // None of them has a node that the walk could have found.
        let delta = self.delta.iter();
        slots.extend(delta.filter(|slot| filter.is_none_or(|filter| (filter.allow)(*slot))));
        Ok(Some(Near {
            slots,
            walked,
            full,
        }))
    }

    /// The cosine between `query` and the nearest vector of each of `slots`, in their order; 0 where
    /// there is none. Exact up to the stored precision: the f32 query against the bf16 row. See
    /// docs/benchmarks.md for the cost of one.
    ///
    /// # Errors
    /// When `query` is of another size.
    pub fn scores<'a>(
        &'a self,
        query: &'a Embedding,
        slots: impl Iterator<Item = u32> + 'a,
    ) -> Result<impl Iterator<Item = (u32, f32)> + 'a, IndexError> {
        self.vectors.check(query)?;
        Ok(slots.map(|slot| (slot, self.vectors.cosine(query, slot as usize))))
    }

    /// The number of the picture of each of `slots` that is nearest to `query`, in their order;
    /// `None` where no vector is of a picture.
    ///
    /// # Errors
    /// When `query` is of another size.
    pub fn pictures<'a>(
        &'a self,
        query: &'a Embedding,
        slots: impl Iterator<Item = u32> + 'a,
    ) -> Result<impl Iterator<Item = Option<u8>> + 'a, IndexError> {
        self.vectors.check(query)?;
        Ok(slots.map(|slot| self.vectors.picture(query, slot as usize)))
    }

    /// The first vector in `slot` as it is stored, rounded to bf16; `None` when it has none.
    #[must_use]
    pub fn embedding(&self, slot: u32) -> Option<Embedding> {
        self.vectors.first(slot as usize)
    }
}

impl Rest {
    /// Of a graph that was just built over so many slots, each with a vector of no picture.
    #[must_use]
    pub fn of_new(slots: u32) -> Self {
        Self {
            slots: (0..slots).collect(),
            stale: RoaringBitmap::new(),
            delta: Vec::new(),
            rows: Vec::new(),
            pictures: vec![0; slots as usize],
        }
    }
}

impl Drop for Graph {
    /// When a graph goes, another one has taken its place, and what was made for that is freed.
    fn drop(&mut self) {
        give_back_memory();
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

    /// The nodes that were added last for a slot. Before them there may be some of the same slot that
    /// were added earlier; these are stale.
    fn nodes_of(&self, slot: u32) -> Range<u32> {
        let last = self.nodes.get(slot as usize).copied();
        let Some(last) = last.filter(|node| *node != NO_NODE) else {
            return 0..0;
        };
        let until_last = self.slots[..=last as usize].iter().rev();
        let nodes = until_last.take_while(|of| **of == slot).count();
        last + 1 - as_node(nodes)..last + 1
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

/// Adds the rows of `slots[first..]` as nodes of these numbers, on all cores. A slot is there as often
/// as it has rows.
fn add(
    graph: &usearch::Index,
    vectors: &Vectors,
    slots: &[u32],
    first: usize,
) -> Result<(), IndexError> {
    reserve(graph, slots.len())?;
    let next = AtomicUsize::new(first);
    let work = || -> Result<(), IndexError> {
        // Searches go first; this thread ends with the build.
        give_way();
        let mut row = Vec::with_capacity(vectors.dimensions());
        loop {
            let node = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = slots.get(node) else {
                return Ok(());
            };
            let before = slots[first..node].iter().rev();
            let before = before.take_while(|of| *of == slot).count();
            row.clear();
            // The rounded values, so that the graph holds bit for bit what the rows hold.
            let values = vectors.row(*slot as usize, before).iter();
            row.extend(values.map(|value| value.to_f32()));
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

fn as_node(node: usize) -> u32 {
    u32::try_from(node).unwrap_or(u32::MAX)
}

/// Each once, in ascending order.
fn distinct<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort_unstable();
    all.dedup();
    all
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
    use std::collections::HashSet;

    use super::*;

    fn built(dimensions: usize, embeddings: &[Embedding]) -> Result<Index, IndexError> {
        Index::build(Vectors::of(dimensions, embeddings)?)
    }

    /// `count` vectors of `dimensions`, spread over the sphere; the same for the same seed.
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
        // Threads build a graph in no fixed order: a few more or less are found each time.
        assert!(found_of_best >= 480, "{found_of_best} of 500");
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

    /// What an index holds of its slots. A walk finds slots with a vector, each once, and the nearest
    /// of them.
    fn known(index: &Index, queries: &[Embedding]) -> Vec<(Vec<bf16>, Vec<u8>)> {
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
        // The nodes of a slot that are not stale are its rows, unless it is in the delta.
        let nodes = (0..).zip(&index.graph.slots);
        let living = nodes.filter(|(node, _)| !index.stale.contains(*node));
        let living: Vec<u32> = living.map(|(_, slot)| *slot).collect();
        let rows = index.vectors.slots_of_rows();
        let rows: Vec<u32> = rows.filter(|slot| !index.delta.contains(*slot)).collect();
        assert_eq!(distinct_runs(living), rows);
        let pictures: Vec<u8> = index.vectors.pictures().collect();
        let mut pictures = pictures.into_iter();
        let of = |slot: u32| {
            let rows = index.vectors.row_count(slot as usize);
            let pictures = pictures.by_ref().take(rows).collect();
            (index.vectors.rows(slot as usize).to_vec(), pictures)
        };
        (0..count).map(of).collect()
    }

    /// Sorted, where those that are equal came together.
    fn distinct_runs(mut slots: Vec<u32>) -> Vec<u32> {
        let runs = slots.chunk_by(|a, b| a == b).count();
        slots.sort_unstable();
        assert_eq!(slots.chunk_by(|a, b| a == b).count(), runs);
        slots
    }

    /// The vectors of each slot: none to four of them.
    fn products(count: usize, dimensions: usize, seed: u64) -> Vec<Vec<Vector>> {
        let mut all = embeddings(4 * count, dimensions, seed).into_iter();
        let mut product = |slot: usize| {
            let embeddings = all.by_ref().take(slot * 7 % 5);
            let vectors = (1..).zip(embeddings);
            let vectors = vectors.map(|(picture, embedding)| Vector { picture, embedding });
            vectors.collect()
        };
        (0..count).map(&mut product).collect()
    }

    fn fresh(dimensions: usize, products: &[Vec<Vector>]) -> Index {
        let mut vectors = Vectors::new(dimensions);
        for product in products {
            vectors.push(product).expect("fits");
        }
        Index::build(vectors).expect("built")
    }

    #[test]
    fn changed_vectors_are_found_before_and_after_a_merge_and_a_restart() {
        let (dimensions, queries) = (16, embeddings(5, 16, 9));
        let mut now = products(400, dimensions, 1);
        let new = products(400, dimensions, 2);
        let index = fresh(dimensions, &now[..300]);
        let rows = |products: &[Vec<Vector>]| products.iter().map(Vec::len).sum::<usize>() as u64;
        let before = rows(&now[..300]);
        assert_eq!(index.vectors(), before);
        // Slots change in every way there is, and a hundred are added.
        let (mut stale, mut delta) = (0, rows(&now[300..]));
        let mut others: Vec<u32> = (300..400).collect();
        for slot in 0..300_u32 {
            let vectors = &mut now[slot as usize];
            let old = vectors.clone();
            match slot % 11 {
                0 => vectors.clear(),
                1 => new[slot as usize].clone_into(vectors),
                2 => drop(vectors.pop()),
                3 => vectors.reverse(),
                4 => vectors.extend(new[slot as usize].first().cloned()),
                5 => {
                    if let Some(last) = vectors.last_mut() {
                        last.embedding = embeddings(1, dimensions, u64::from(slot))[0].clone();
                    }
                }
                // Neither the graph nor the delta knows numbers of pictures.
                6 => vectors.iter_mut().for_each(|vector| vector.picture += 9),
                _ => continue,
            }
            others.push(slot);
            let rows = |vectors: &[Vector]| -> Vec<Embedding> {
                vectors.iter().map(|v| v.embedding.clone()).collect()
            };
            if rows(&old) != rows(vectors) {
                stale += old.len() as u64;
                delta += vectors.len() as u64;
            }
        }
        let of_slots = |slots: &[u32], products: &[Vec<Vector>]| -> Vec<(u32, Vec<Vector>)> {
            let change = |slot: &u32| (*slot, products[*slot as usize].clone());
            slots.iter().map(change).collect()
        };
        let with = |index: &Index, changes: &[(u32, Vec<Vector>)]| {
            let changes = changes.iter();
            index.with(400, changes.map(|(slot, vectors)| (*slot, &vectors[..])))
        };
        let changed = with(&index, &of_slots(&others, &now)).expect("changed");
        assert_eq!(
            known(&changed, &queries),
            known(&fresh(dimensions, &now), &queries)
        );
        assert_eq!((changed.delta(), changed.stale()), (delta, stale));
        assert_eq!(changed.vectors(), rows(&now));
        // The index that it came of is what it was.
        assert_eq!((index.len(), index.vectors()), (300, before));
        assert_eq!((index.delta(), index.stale()), (0, 0));
        // While the graph is merged, more changes: of slots that are merged and of others.
        let merged = changed.merged().expect("merged");
        let more = [1, 7, 12, 24, 351, 352];
        for slot in more {
            let vectors = &mut now[slot as usize];
            match slot {
                351 => vectors.clear(),
                352 => vectors.iter_mut().for_each(|vector| vector.picture += 1),
                _ => *vectors = new[slot as usize + 1].clone(),
            }
        }
        let later = with(&changed, &of_slots(&more, &now)).expect("changed");
        let index = later.with_merged(merged);
        let expected = known(&fresh(dimensions, &now), &queries);
        assert_eq!(known(&index, &queries), expected);
        let since = [1, 7, 12, 24].map(|slot| now[slot].len() as u64);
        assert_eq!(
            index.delta(),
            since.iter().sum::<u64>(),
            "what changed since"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("graph");
        index.save(&file).expect("saved");
        let load = |rest| Index::load(&file, dimensions, 400, rest);
        let loaded = load(index.rest()).expect("loaded");
        assert_eq!(known(&loaded, &queries), expected);
        assert_eq!(loaded.density(), index.density());
        let again = loaded.merged().expect("merged");
        let again = loaded.with_merged(again);
        assert_eq!((known(&again, &queries), again.delta()), (expected, 0));
        // The same vectors once more change nothing.
        let all: Vec<u32> = (0..400).collect();
        let same = with(&again, &of_slots(&all, &now)).expect("changed");
        assert_eq!((same.delta(), same.stale()), (0, again.stale()));
        // What is beside the graph must fit it.
        let unfit = |change: &dyn Fn(&mut Rest)| {
            let mut rest = index.rest();
            change(&mut rest);
            match load(rest) {
                Err(IndexError::Unfit { what }) => what,
                other => panic!("{:?}", other.err()),
            }
        };
        let pictures = "another number of pictures";
        assert_eq!(unfit(&|rest| rest.pictures.push(1)), pictures);
        assert_eq!(unfit(&|rest| rest.pictures.truncate(1)), pictures);
        let slots = "slots that it does not have";
        assert_eq!(unfit(&|rest| rest.delta[0] = 400), slots);
        assert_eq!(unfit(&|rest| rest.rows.truncate(1)), slots);
        let both = "a product both in the graph and beside it";
        let (_, living) = (0..)
            .zip(&index.graph.slots)
            .find(|(node, _)| !index.stale.contains(*node))
            .expect("some");
        assert_eq!(unfit(&|rest| rest.delta[0] = *living), both);
    }

    #[test]
    fn as_many_stale_nodes_as_there_may_be_take_less_than_a_tenth() {
        // The library sets twice as much room aside for the two-hundred that are added.
        let (dimensions, all) = (2_048, embeddings(2_200, 2_048, 8));
        let vector = |embedding: &Embedding| {
            vec![Vector {
                picture: 1,
                embedding: embedding.clone(),
            }]
        };
        let mut products: Vec<_> = all[..2_000].iter().map(vector).collect();
        let index = fresh(dimensions, &products);
        for (product, other) in products.iter_mut().step_by(10).zip(&all[2_000..]) {
            *product = vector(other);
        }
        let others = (0..).zip(&products).step_by(10);
        let others = others.map(|(slot, product)| (slot, &product[..]));
        let index = index.with(2_000, others).expect("changed");
        let index = index.with_merged(index.merged().expect("merged"));
        assert_eq!((index.delta(), index.stale()), (0, 200));
        let (bytes, least) = (
            index.memory_bytes(),
            fresh(dimensions, &products).memory_bytes(),
        );
        assert!(bytes * 100 <= least * 110, "{bytes} of {least}");
    }

    #[test]
    fn a_walk_looks_for_as_many_nodes_as_products_have_vectors() {
        // Four vectors each: alike, and by chance.
        let all = embeddings(4_000, 16, 5);
        let alike = all[..1_000].iter().map(|e| vec![e.clone(); 4]);
        let unlike = all.chunks(4).map(<[Embedding]>::to_vec);
        for (products, least) in [
            (alike.collect::<Vec<_>>(), 32),
            (unlike.collect::<Vec<_>>(), 64),
        ] {
            let products: Vec<Vec<Vector>> = products
                .into_iter()
                .map(|of| {
                    of.into_iter().map(|embedding| Vector {
                        picture: 1,
                        embedding,
                    })
                })
                .map(Iterator::collect)
                .collect();
            let index = fresh(16, &products);
            assert_eq!(index.density().walked(), 4);
            for query in embeddings(5, 16, 6) {
                let found = index.near(&query, 64, None).expect("a search");
                let found = found.expect("whole");
                assert!(found.full);
                assert_eq!(found.walked, found.slots.len());
                assert!((least..=256).contains(&found.walked), "{}", found.walked);
                // They are the nearest so many products.
                let mut exact: Vec<_> = index.scores(&query, 0..1_000).expect("scores").collect();
                exact.sort_by(|a, b| b.1.total_cmp(&a.1));
                let nearest = exact[..found.walked].iter();
                let met = nearest
                    .filter(|(slot, _)| found.slots.contains(slot))
                    .count();
                assert!(met * 100 >= found.walked * 95, "{met} of {}", found.walked);
            }
        }
    }

    #[test]
    fn an_index_of_nothing_grows() {
        let all = embeddings(3, 8, 1).into_iter();
        let all: Vec<Vector> = (1..)
            .zip(all)
            .map(|(picture, embedding)| Vector { picture, embedding })
            .collect();
        let index = Index::build(Vectors::new(8)).expect("built");
        let index = index
            .with(3, [(0, &all[..1]), (2, &all[1..])])
            .expect("changed");
        let query = &all[2].embedding;
        let found = || near(&index, query, 10, None);
        assert_eq!(found(), Some(vec![0, 2]));
        assert!(index.embedding(1).is_none() && !index.has(1) && index.has(2));
        let scores: Vec<_> = index
            .scores(query, [1].into_iter())
            .expect("scores")
            .collect();
        assert_eq!(scores, [(1, 0.0)]);
        assert_eq!(index.delta(), 3, "vectors, not slots");
        let index = index.with_merged(index.merged().expect("merged"));
        assert_eq!(
            (index.delta(), near(&index, query, 10, None)),
            (0, Some(vec![0, 2]))
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
