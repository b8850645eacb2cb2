//! Vectors and the graph over them: the only file that names usearch.
//!
//! An [`Index`] is built once and never changed. That rules out two of the library's hazards
//! altogether (searching while removing answers with the key `u64::MAX`, searching while adding
//! answers with too few); the others are met here:
//!
//! | hazard of usearch | what is done |
//! | --- | --- |
//! | more threads than reserved make a search fail | as many permits as threads were reserved ([`Budget`]) |
//! | adding without room, searching after a load without contexts | room and threads are reserved before both |
//! | a panic in the filter's predicate aborts the process | the predicate is a bitmap look-up that cannot panic |
//! | NaN and zero vectors poison the results | an [`Embedding`] is neither; a loaded vector is checked again |
//! | flipped bytes load as Ok | `snapshot.rs` compares a sha256 before this file sees the bytes |
//! | a load replaces dimensions and scalar kind | both are compared after the load |
//! | keys come back unchecked | a key that is no slot, or comes twice, is dropped |
//!
//! Products are numbered by *slot*, 0 to n - 1, here; `mod.rs` knows which key a slot stands for.
//!
//! Vectors are kept as bf16 (rounded to nearest) twice: in the graph, and in a plain matrix for
//! exact scores. The graph only proposes; every score that leaves this file is the same dot product
//! of the f32 query and the bf16 row, whichever way the product was found.

use std::cell::Cell;
use std::collections::HashSet;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use half::bf16;
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

/// Unchanging vectors with a graph over them.
pub struct Index {
    graph: usearch::Index,
    vectors: Vectors,
    /// As many searches at a time as the graph has contexts; the others wait.
    permits: Budget,
}

/// Which slots a walk may find, and how long it goes on.
#[derive(Clone, Copy)]
pub struct Filter<'a> {
    pub allow: &'a dyn Fn(u32) -> bool,
    /// Of the nodes looked at and of those let pass: see [`Index::near`].
    pub go_on: &'a dyn Fn(u32, u32) -> bool,
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
    /// Builds the graph over `vectors`; their order numbers the slots. Blocking, on all cores, at
    /// the lowest priority: see docs/benchmarks.md for the time.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn build(vectors: Vectors) -> Result<Self, IndexError> {
        let (threads, dimensions) = (threads(), vectors.dimensions);
        let graph = empty_graph(dimensions)?;
        graph
            .reserve_capacity_and_threads(vectors.len(), threads)
            .map_err(library("reserving room in"))?;

        let next = AtomicUsize::new(0);
        let work = || -> Result<(), IndexError> {
            // Of this thread alone, which ends with the build.
            let _ = rustix::process::nice(LOWEST_PRIORITY);
            let mut row = Vec::with_capacity(dimensions);
            loop {
                let slot = next.fetch_add(1, Ordering::Relaxed);
                if slot >= vectors.len() {
                    return Ok(());
                }
                row.clear();
                // The rounded values, so that the graph holds bit for bit what the matrix holds.
                row.extend(vectors.row(slot).iter().map(|v| v.to_f32()));
                graph.add(slot as u64, &row).map_err(library("adding to"))?;
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|w| w.join().unwrap_or(Err(IndexError::Worker)))
        })?;
        Self::checked(graph, vectors)
    }

    /// Writes the graph with its vectors to a new file. The matrix is not written: it is the same
    /// numbers.
    ///
    /// # Errors
    /// When the file cannot be written, or its path is not UTF-8.
    pub fn save(&self, file: &Path) -> Result<(), IndexError> {
        self.graph.save(utf8(file)?).map_err(library("saving"))
    }

    /// Loads what [`Index::save`] wrote. The caller has compared the file's digest: the library
    /// notices no damage.
    ///
    /// # Errors
    /// When the file cannot be read or is of another kind, size or number of dimensions.
    pub fn load(file: &Path, dimensions: usize, count: usize) -> Result<Self, IndexError> {
        let graph = empty_graph(dimensions)?;
        graph.load(utf8(file)?).map_err(library("loading"))?;
        let unfit = |what| Err(IndexError::Unfit { what });
        if graph.dimensions() != dimensions {
            return unfit("another number of dimensions");
        }
        if graph.size() != count {
            return unfit("another number of vectors");
        }
        if graph.scalar_kind() != ScalarKind::BF16
            || graph.metric_kind() != MetricKind::IP
            || graph.multi()
        {
            return unfit("another scalar kind or metric");
        }
        graph
            .reserve_capacity_and_threads(count, threads())
            .map_err(library("reserving room in"))?;
        let vectors = Vectors::of_graph(&graph, count)?;
        Self::checked(graph, vectors)
    }

    fn checked(graph: usearch::Index, vectors: Vectors) -> Result<Self, IndexError> {
        if graph.size() != vectors.len() {
            return Err(IndexError::Unfit {
                what: "another number of vectors",
            });
        }
        Ok(Self {
            graph,
            vectors,
            permits: Budget::new(threads() as u64),
        })
    }

    /// How many vectors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.vectors.dimensions
    }

    /// Bytes held by the graph and the matrix.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.graph.memory_usage() + self.vectors.values.len() * size_of::<bf16>()
    }

    /// Up to `breadth` slots near to `query` that `allow` lets pass (`None`: every slot), in no
    /// order, none twice. It is approximate: some of the nearest may be missing, the more the
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
    ) -> Result<Option<Vec<u32>>, IndexError> {
        self.check(query)?;
        if self.is_empty() || breadth == 0 {
            return Ok(Some(Vec::new()));
        }
        let gave_up = Cell::new(false);
        let permit = self.permits.wait(1);
        let found = match filter {
            None => self.graph.search(query.as_slice(), breadth),
            Some(Filter { allow, go_on }) => {
                let (seen, allowed) = (Cell::new(0_u32), Cell::new(0_u32));
                let predicate = |key| {
                    // The library has no way to end a walk: one that lets everything pass has soon
                    // found enough.
                    if gave_up.get() {
                        return true;
                    }
                    let passes = slot_of(key).is_some_and(allow);
                    seen.set(seen.get().saturating_add(1));
                    allowed.set(allowed.get().saturating_add(u32::from(passes)));
                    gave_up.set(!go_on(seen.get(), allowed.get()));
                    passes
                };
                self.graph
                    .filtered_search(query.as_slice(), breadth, predicate)
            }
        };
        drop(permit);
        if gave_up.get() {
            return Ok(None);
        }
        let mut seen = HashSet::with_capacity(breadth);
        let found = found.map_err(library("searching"))?.keys;
        let valid = found
            .into_iter()
            .filter_map(slot_of)
            .filter(|&slot| (slot as usize) < self.len());
        Ok(Some(valid.filter(|&slot| seen.insert(slot)).collect()))
    }

    /// The cosine between `query` and each of `slots`, in their order. Exact up to the stored
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

    /// The vector in `slot` as it is stored, rounded to bf16; `None` when there is no such slot.
    #[must_use]
    pub fn embedding(&self, slot: u32) -> Option<Embedding> {
        if slot as usize >= self.len() {
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

/// Embeddings as an index stores them (bf16), a row for each slot: exact scores without a graph,
/// the same to the last bit as an [`Index`] of the same embeddings gives.
pub struct Vectors {
    dimensions: usize,
    values: Vec<bf16>,
}

impl Vectors {
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            values: Vec::new(),
        }
    }

    /// # Errors
    /// When an embedding is of another size.
    pub fn of(dimensions: usize, embeddings: &[Embedding]) -> Result<Self, IndexError> {
        let mut vectors = Self::new(dimensions);
        vectors.values.reserve(dimensions * embeddings.len());
        embeddings.iter().try_for_each(|e| vectors.push(e))?;
        Ok(vectors)
    }

    /// Adds the row of the next slot.
    ///
    /// # Errors
    /// When the embedding is of another size.
    pub fn push(&mut self, embedding: &Embedding) -> Result<(), IndexError> {
        if embedding.dimensions() != self.dimensions {
            return Err(IndexError::Dimensions {
                expected: self.dimensions,
                got: embedding.dimensions(),
            });
        }
        let row = embedding.as_slice().iter().map(|&v| bf16::from_f32(v));
        self.values.extend(row);
        Ok(())
    }

    /// Copies the vectors out of a loaded graph and checks each: finite, and of unit length as far
    /// as bf16 goes.
    fn of_graph(graph: &usearch::Index, count: usize) -> Result<Self, IndexError> {
        let dimensions = graph.dimensions();
        let mut values = Vec::with_capacity(dimensions * count);
        let mut row = vec![0.0_f32; dimensions];
        for slot in 0..count {
            if graph
                .get(slot as u64, &mut row)
                .map_err(library("reading"))?
                != 1
            {
                return Err(IndexError::Unfit {
                    what: "no vector for one of its slots",
                });
            }
            let squares = row.iter().map(|v| v * v).sum::<f32>();
            // NaN is in no range.
            if !(0.95..1.05).contains(&squares) {
                return Err(IndexError::Unfit {
                    what: "a vector that is not finite or not of unit length",
                });
            }
            values.extend(row.iter().map(|&v| bf16::from_f32(v)));
        }
        Ok(Self { dimensions, values })
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() / self.dimensions.max(1)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The cosine between an f32 query of the same size and the row in `slot`.
    #[must_use]
    pub fn cosine(&self, query: &Embedding, slot: usize) -> f32 {
        dot(query.as_slice(), self.row(slot)).clamp(-1.0, 1.0)
    }

    fn row(&self, slot: usize) -> &[bf16] {
        &self.values[slot * self.dimensions..][..self.dimensions]
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

fn slot_of(key: u64) -> Option<u32> {
    u32::try_from(key).ok()
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
        Index::load(&file, 4, 2)
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
            Index::load(&file, 16, 2_000).expect("loaded")
        };
        let odd = |slot: u32| slot % 2 == 1;
        for index in [&index, &loaded] {
            let queries = embeddings(100, 16, 2);
            thread::scope(|scope| {
                for _ in 0..16 * threads() + 16 {
                    scope.spawn(|| {
                        for query in &queries {
                            let found = index.near(query, 20, None).expect("a search");
                            assert_eq!(found.map(|slots| slots.len()), Some(20));
                            let filter = Filter {
                                allow: &odd,
                                go_on: &|_, _| true,
                            };
                            let found = index
                                .near(query, 20, Some(filter))
                                .expect("a filtered search")
                                .expect("whole");
                            assert!(
                                found.len() == 20 && found.iter().all(|&slot| odd(slot)),
                                "{found:?}"
                            );
                        }
                    });
                }
            });
            assert_eq!(index.permits.used(), 0);
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
            let found = index.near(&query, BREADTH, None).expect("a search");
            let found = found.expect("whole");
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
        let nearest = index.near(query, 1_000, None).expect("a search");
        let nearest: HashSet<u32> = nearest.expect("whole").into_iter().collect();
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
            let found = index.near(query, 64, Some(filter)).expect("a search");
            (found, most.get())
        };
        let (found, walked) = looked_at(u32::MAX);
        assert!(found.is_some_and(|found| found.len() == 64 && found.iter().all(|&s| far(s))));
        assert!(walked > 200, "{walked}");
        assert_eq!(looked_at(100), (None, 100));
    }

    #[test]
    fn the_graph_holds_what_the_matrix_holds() {
        let index = built(40, &embeddings(300, 40, 5)).expect("built");
        let of_graph = Vectors::of_graph(&index.graph, 300).expect("whole");
        assert!(of_graph.values == index.vectors.values);
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
