//! The vectors of products, and exact scores of them.
//!
//! Products are numbered by *slot*, 0 to n - 1. A slot has a *row* for each vector of its product, in
//! the order in which they were given; a product without a vector has no row. Its score is that of its
//! best row.
//!
//! Rows are bf16, rounded to nearest. A score is the dot product of the f32 query and the bf16 row,
//! whoever asks for it.

use std::ops::Range;
use std::sync::Arc;

use half::bf16;

use super::distant::port::DistantError;
use crate::domain::Embedding;
use crate::util::simd::vectorized;

/// Slots whose rows are kept, and copied when one of them changes, together.
const BLOCK: usize = 64;
/// A search looks at no more than so many times as many vectors as it wants products.
const MOST_A_PRODUCT: u64 = 4;

/// A vector of a product.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// The number of the picture that it is of; 0: of the words alone.
    pub picture: u8,
    pub embedding: Embedding,
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
    #[error(transparent)]
    Distant(#[from] DistantError),
}

/// How many vectors there are for each product that has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Density {
    pub products: u64,
    pub vectors: u64,
}

impl Density {
    /// One vector a product.
    pub const ONE: Self = Self {
        products: 1,
        vectors: 1,
    };

    /// The vectors that a walk looks for to find one product: the mean, rounded up, but at most
    /// four. A walk over products with more vectors than that finds fewer products.
    #[must_use]
    pub fn walked(self) -> u64 {
        let mean = self.vectors.div_ceil(self.products.max(1));
        mean.clamp(1, MOST_A_PRODUCT)
    }
}

/// Vectors as an index stores them: exact scores without a graph, the same to the last bit as an
/// [`Index`](super::graph::Index) of them gives. Clones share their blocks of [`BLOCK`] slots until
/// one changes.
#[derive(Clone)]
pub struct Vectors {
    dimensions: usize,
    /// How many slots there are.
    count: usize,
    blocks: Vec<Arc<Block>>,
    /// How many slots have a row.
    products: u64,
    /// How many rows there are.
    rows: u64,
}

/// The rows of [`BLOCK`] slots, one after the other.
#[derive(Clone)]
struct Block {
    /// The rows of a slot are those from its offset to the next one. A slot that does not exist yet
    /// has none.
    offsets: [u32; BLOCK + 1],
    /// The picture of each row.
    pictures: Vec<u8>,
    values: Vec<bf16>,
}

impl Block {
    fn new() -> Self {
        Self {
            offsets: [0; BLOCK + 1],
            pictures: Vec::new(),
            values: Vec::new(),
        }
    }

    fn rows(&self, place: usize) -> Range<usize> {
        self.offsets[place] as usize..self.offsets[place + 1] as usize
    }

    /// Puts these rows in the place of those of a slot. `exact`: without room for more than there is.
    fn replace(&mut self, place: usize, vectors: &[Vector], dimensions: usize, exact: bool) {
        let old = self.rows(place);
        if exact {
            let more = vectors.len().saturating_sub(old.len());
            self.pictures.reserve_exact(more);
            self.values.reserve_exact(more * dimensions);
        }
        let pictures = vectors.iter().map(|vector| vector.picture);
        self.pictures.splice(old.clone(), pictures);
        let values: Vec<bf16> = vectors.iter().flat_map(rounded).collect();
        let old_values = old.start * dimensions..old.end * dimensions;
        self.values.splice(old_values, values.iter().copied());
        let before = as_u32(old.len());
        let after = as_u32(vectors.len());
        for offset in &mut self.offsets[place + 1..] {
            *offset = *offset - before + after;
        }
    }

    fn shrink_to_fit(&mut self) {
        self.pictures.shrink_to_fit();
        self.values.shrink_to_fit();
    }
}

/// Whether an embedding has so many values.
pub(super) fn check(embedding: &Embedding, expected: usize) -> Result<(), IndexError> {
    let got = embedding.dimensions();
    if expected == got {
        Ok(())
    } else {
        Err(IndexError::Dimensions { expected, got })
    }
}

impl Vectors {
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            count: 0,
            blocks: Vec::new(),
            products: 0,
            rows: 0,
        }
    }

    /// One vector a slot, of no picture.
    ///
    /// # Errors
    /// When an embedding is of another size.
    pub fn of(dimensions: usize, embeddings: &[Embedding]) -> Result<Self, IndexError> {
        let mut vectors = Self::new(dimensions);
        for embedding in embeddings {
            vectors.push(&[Vector {
                picture: 0,
                embedding: embedding.clone(),
            }])?;
        }
        Ok(vectors)
    }

    /// Slots with as many rows as `counts` says, of these pictures, slot by slot. The values of the
    /// rows are not there yet: see [`Vectors::restore`].
    pub(super) fn with_room(
        dimensions: usize,
        counts: &[u32],
        mut pictures: &[u8],
    ) -> Result<Self, IndexError> {
        let unfit = || IndexError::Unfit {
            what: "another number of pictures",
        };
        let mut vectors = Self::new(dimensions);
        for counts in counts.chunks(BLOCK) {
            let mut block = Block::new();
            let mut rows = 0;
            for place in 0..BLOCK {
                let count = counts.get(place).copied().unwrap_or_default();
                rows += count;
                block.offsets[place + 1] = rows;
                vectors.products += u64::from(count > 0);
            }
            let (own, others) = pictures.split_at_checked(rows as usize).ok_or_else(unfit)?;
            pictures = others;
            block.pictures = own.to_vec();
            block.values = vec![bf16::ZERO; own.len() * dimensions];
            vectors.rows += u64::from(rows);
            vectors.count += counts.len();
            vectors.blocks.push(Arc::new(block));
        }
        if pictures.is_empty() {
            Ok(vectors)
        } else {
            Err(unfit())
        }
    }

    /// Adds the next slot.
    ///
    /// # Errors
    /// When a vector is of another size.
    pub fn push(&mut self, vectors: &[Vector]) -> Result<(), IndexError> {
        let slot = self.count;
        self.extend_to(slot + 1);
        self.set(slot, vectors).map(|_| ())
    }

    /// Adds slots without a vector until there are `count`.
    pub(super) fn extend_to(&mut self, count: usize) {
        while self.blocks.len() < count.div_ceil(BLOCK) {
            // Nothing is added to the block before any more. One that is shared is a copy without
            // room to spare.
            if let Some(full) = self.blocks.last_mut().and_then(Arc::get_mut) {
                full.shrink_to_fit();
            }
            self.blocks.push(Arc::new(Block::new()));
        }
        self.count = self.count.max(count);
    }

    /// Puts these in the place of a slot's vectors. Whether its rows are others now: numbers of
    /// pictures are kept beside the rows, and no graph knows them.
    pub(super) fn set(&mut self, slot: usize, vectors: &[Vector]) -> Result<bool, IndexError> {
        for vector in vectors {
            self.check(&vector.embedding)?;
        }
        let (same_rows, same_pictures) = self.same(slot, vectors);
        if same_rows && same_pictures {
            return Ok(false);
        }
        let before = self.row_count(slot);
        let last = slot / BLOCK + 1 == self.blocks.len();
        let block = Arc::make_mut(&mut self.blocks[slot / BLOCK]);
        block.replace(slot % BLOCK, vectors, self.dimensions, !last);
        self.rows = self.rows - before as u64 + vectors.len() as u64;
        self.products = self.products - u64::from(before > 0) + u64::from(!vectors.is_empty());
        Ok(!same_rows)
    }

    /// Whether a slot has these rows, and whether they are of these pictures.
    fn same(&self, slot: usize, vectors: &[Vector]) -> (bool, bool) {
        let (block, rows) = self.place(slot);
        let pictures = vectors.iter().map(|vector| vector.picture);
        let same_pictures = block.pictures[rows].iter().copied().eq(pictures);
        let values = self.rows(slot).iter().copied();
        (values.eq(vectors.iter().flat_map(rounded)), same_pictures)
    }

    /// Whether a slot has these vectors and no others, as they are stored.
    pub(super) fn holds(&self, slot: usize, vectors: &[Vector]) -> bool {
        self.same(slot, vectors) == (true, true)
    }

    /// Fills a row of [`Vectors::with_room`] with what was saved of it: finite, and of unit length as
    /// far as bf16 goes.
    pub(super) fn restore(
        &mut self,
        slot: usize,
        row: usize,
        values: impl Iterator<Item = f32>,
    ) -> Result<(), IndexError> {
        let dimensions = self.dimensions;
        let block = Arc::make_mut(&mut self.blocks[slot / BLOCK]);
        let first = block.rows(slot % BLOCK).start;
        let to = &mut block.values[(first + row) * dimensions..][..dimensions];
        let mut squares = 0.0_f32;
        for (to, value) in to.iter_mut().zip(values) {
            squares += value * value;
            *to = bf16::from_f32(value);
        }
        // NaN is in no range.
        if !(0.95..1.05).contains(&squares) {
            return Err(IndexError::Unfit {
                what: "a vector that is not finite or not of unit length",
            });
        }
        Ok(())
    }

    pub(super) fn check(&self, embedding: &Embedding) -> Result<(), IndexError> {
        check(embedding, self.dimensions)
    }

    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
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

    #[must_use]
    pub fn density(&self) -> Density {
        match self.products {
            0 => Density::ONE,
            products => Density {
                products,
                vectors: self.rows,
            },
        }
    }

    /// How many vectors there are.
    pub(super) fn total(&self) -> u64 {
        self.rows
    }

    /// The cosine between an f32 query of the same size and the nearest vector in `slot`; 0 where
    /// there is none.
    #[must_use]
    pub fn cosine(&self, query: &Embedding, slot: usize) -> f32 {
        let (block, rows) = self.place(slot);
        let cosines = rows.map(|row| dot(query.as_slice(), self.row_of(block, row)));
        let best = cosines.reduce(f32::max);
        best.unwrap_or_default().clamp(-1.0, 1.0)
    }

    /// The number of the picture in `slot` whose vector is nearest to the query; the first of those
    /// that are equally near. `None` where no vector is of a picture.
    pub(super) fn picture(&self, query: &Embedding, slot: usize) -> Option<u8> {
        let (block, rows) = self.place(slot);
        let of_pictures = rows.filter(|row| block.pictures[*row] > 0);
        let nearest = of_pictures
            .map(|row| (row, dot(query.as_slice(), self.row_of(block, row))))
            .reduce(|best, next| if next.1 > best.1 { next } else { best });
        nearest.map(|(row, _)| block.pictures[row])
    }

    /// The first vector in `slot`, as it is stored.
    pub(super) fn first(&self, slot: usize) -> Option<Embedding> {
        if self.row_count(slot) == 0 {
            return None;
        }
        let row = self.row(slot, 0).iter().map(|value| value.to_f32());
        Embedding::new(row.collect(), self.dimensions).ok()
    }

    /// How many vectors a slot has; none where there is no such slot.
    pub(super) fn row_count(&self, slot: usize) -> usize {
        if slot < self.count {
            self.place(slot).1.len()
        } else {
            0
        }
    }

    /// Each slot, as often as it has vectors.
    pub(super) fn slots_of_rows(&self) -> impl Iterator<Item = u32> + '_ {
        (0..as_u32(self.count)).flat_map(|slot| self.repeated(slot))
    }

    /// A slot, as often as it has vectors.
    pub(super) fn repeated(&self, slot: u32) -> impl Iterator<Item = u32> + use<> {
        std::iter::repeat_n(slot, self.row_count(slot as usize))
    }

    /// The picture of each vector, slot by slot.
    pub(super) fn pictures(&self) -> impl Iterator<Item = u8> + '_ {
        let blocks = self.blocks.iter();
        blocks.flat_map(|block| block.pictures.iter().copied())
    }

    /// The rows of a slot, one after the other.
    pub(super) fn rows(&self, slot: usize) -> &[bf16] {
        let (block, rows) = self.place(slot);
        &block.values[rows.start * self.dimensions..rows.end * self.dimensions]
    }

    pub(super) fn row(&self, slot: usize, row: usize) -> &[bf16] {
        let (block, rows) = self.place(slot);
        self.row_of(block, rows.start + row)
    }

    fn place(&self, slot: usize) -> (&Block, Range<usize>) {
        let block = &*self.blocks[slot / BLOCK];
        (block, block.rows(slot % BLOCK))
    }

    fn row_of<'a>(&self, block: &'a Block, row: usize) -> &'a [bf16] {
        &block.values[row * self.dimensions..][..self.dimensions]
    }

    /// Bytes held.
    pub(super) fn memory_bytes(&self) -> usize {
        let of_block = |block: &Arc<Block>| {
            size_of::<Block>()
                + block.pictures.capacity()
                + block.values.capacity() * size_of::<bf16>()
        };
        self.blocks.iter().map(of_block).sum()
    }
}

/// The values of a vector as they are stored.
fn rounded(vector: &Vector) -> impl Iterator<Item = bf16> + '_ {
    let values = vector.embedding.as_slice().iter();
    values.map(|value| bf16::from_f32(*value))
}

fn as_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A product by chance: as many vectors, of these pictures on.
    fn product(state: &mut u64, vectors: u8, dimensions: usize) -> Vec<Vector> {
        let mut chance = || {
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            u16::try_from(*state >> 48).expect("16 bits")
        };
        let mut vector = |_| {
            let picture = u8::try_from(chance() % 5).expect("few");
            let value = |bits: u16| f32::from(bits) / 32_768.0 - 1.0;
            let values = (0..dimensions).map(|_| value(chance())).collect();
            let embedding = Embedding::new(values, dimensions).expect("not zero");
            Vector { picture, embedding }
        };
        (0..vectors).map(&mut vector).collect()
    }

    #[test]
    fn the_dot_product_takes_every_element() {
        for dimensions in [1, 15, 16, 17, 40, 512] {
            let [a, b] = &product(&mut 7, 2, dimensions)[..] else {
                panic!("two")
            };
            let (a, b) = (&a.embedding, &b.embedding);
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

    /// The definition: what each slot holds, in a list of its own.
    fn assert_same(vectors: &Vectors, expected: &[Vec<Vector>]) {
        assert_eq!(vectors.len(), expected.len());
        let rows = expected.iter().map(Vec::len).sum::<usize>() as u64;
        assert_eq!(vectors.total(), rows);
        let products = expected.iter().filter(|of| !of.is_empty()).count() as u64;
        if products > 0 {
            let density = Density {
                products,
                vectors: rows,
            };
            assert_eq!(vectors.density(), density);
        }
        let pictures = expected.iter().flatten().map(|vector| vector.picture);
        assert!(vectors.pictures().eq(pictures));
        let query = &product(&mut 99, 1, vectors.dimensions())[0].embedding;
        for (slot, of) in expected.iter().enumerate() {
            assert!(vectors.holds(slot, of), "{slot}");
            assert_eq!(vectors.row_count(slot), of.len());
            let cosine = |vector: &Vector| {
                let row: Vec<bf16> = rounded(vector).collect();
                (vector.picture, dot(query.as_slice(), &row))
            };
            let cosines: Vec<(u8, f32)> = of.iter().map(cosine).collect();
            let best = cosines.iter().map(|of| of.1).reduce(f32::max);
            let cosine = vectors.cosine(query, slot).to_bits();
            assert_eq!(cosine, best.unwrap_or(0.0).to_bits());
            let pictures = cosines.into_iter().filter(|of| of.0 > 0);
            let nearest = pictures.max_by(|a, b| a.1.total_cmp(&b.1));
            assert_eq!(vectors.picture(query, slot), nearest.map(|of| of.0));
            assert_eq!(vectors.first(slot).is_some(), !of.is_empty());
        }
    }

    #[test]
    fn slots_hold_what_they_were_given_whatever_changes() {
        let (dimensions, mut state) = (6, 3);
        let state = &mut state;
        let mut expected: Vec<Vec<Vector>> = Vec::new();
        let mut vectors = Vectors::new(dimensions);
        for slot in 0..600_u32 {
            let vectors_of = u8::try_from(slot % 5).expect("few");
            expected.push(product(state, vectors_of, dimensions));
            vectors.push(&expected[slot as usize]).expect("fits");
        }
        assert_same(&vectors, &expected);
        let (before, expected_before) = (vectors.clone(), expected.clone());
        // Slots at the ends of blocks, and others; more vectors, fewer, none, others, the same.
        for (place, slot) in [0, 1, 254, 255, 256, 257, 400, 511, 512, 599]
            .into_iter()
            .enumerate()
        {
            for vectors_of in [3, 0, 0, 2, 2, 7, 1] {
                expected[slot] = product(state, vectors_of, dimensions);
                let other = vectors_of > 0 || vectors.row_count(slot) > 0;
                assert_eq!(vectors.set(slot, &expected[slot]).expect("fits"), other);
                assert!(
                    !vectors.set(slot, &expected[slot]).expect("fits"),
                    "the same"
                );
            }
            // Rows that are of another picture are the same rows.
            expected[slot][0].picture = u8::try_from(100 + place).expect("few");
            assert!(!vectors.holds(slot, &expected[slot]));
            assert!(!vectors.set(slot, &expected[slot]).expect("fits"));
            assert!(vectors.holds(slot, &expected[slot]));
        }
        assert_same(&vectors, &expected);
        vectors.extend_to(1_300);
        expected.resize(1_300, Vec::new());
        assert_same(&vectors, &expected);
        assert_eq!(vectors.row_count(1_300), 0);
        assert_same(&before, &expected_before);
        // The order counts.
        expected[0] = product(state, 2, dimensions);
        vectors.set(0, &expected[0]).expect("fits");
        expected[0].reverse();
        assert!(!vectors.holds(0, &expected[0]));
        assert!(vectors.set(0, &expected[0]).expect("fits"));
        assert_same(&vectors, &expected);
    }

    #[test]
    fn what_is_restored_row_by_row_is_the_same() {
        let (dimensions, mut state) = (6, 5);
        let of = |slot: u32| product(&mut state, u8::try_from(slot % 4).expect("few"), dimensions);
        let expected: Vec<Vec<Vector>> = (0..700).map(of).collect();
        let counts: Vec<u32> = expected.iter().map(|of| as_u32(of.len())).collect();
        let pictures = expected.iter().flatten().map(|vector| vector.picture);
        let pictures: Vec<u8> = pictures.collect();
        let mut vectors = Vectors::with_room(dimensions, &counts, &pictures).expect("fits");
        // In any order.
        for (slot, of) in expected.iter().enumerate().rev() {
            for (row, vector) in of.iter().enumerate() {
                let values = vector.embedding.as_slice().iter().copied();
                vectors.restore(slot, row, values).expect("of unit length");
            }
        }
        assert_same(&vectors, &expected);
        let values = [f32::NAN, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert!(vectors.restore(1, 0, values.into_iter()).is_err());
        assert!(vectors.restore(1, 0, [0.0; 6].into_iter()).is_err());
        let fewer = &pictures[1..];
        assert!(Vectors::with_room(dimensions, &counts, fewer).is_err());
        let more = [&pictures[..], &[1]].concat();
        assert!(Vectors::with_room(dimensions, &counts, &more).is_err());
    }

    #[test]
    fn one_vector_a_product_takes_little_more_than_the_vector() {
        let (dimensions, mut state) = (512, 7);
        let of = |_| product(&mut state, 1, dimensions);
        let products: Vec<Vec<Vector>> = (0..1_024).map(of).collect();
        let mut vectors = Vectors::new(dimensions);
        for product in &products {
            vectors.push(product).expect("fits");
        }
        let least = products.len() * dimensions * size_of::<bf16>();
        let most = least + products.len() * 8;
        let bytes = vectors.memory_bytes();
        assert!((least..=most).contains(&bytes), "{bytes} of {least}");
        // Several: no room to spare in a block that is full, whether it was built or changed.
        let several: Vec<Vector> = products[..3].concat();
        for slot in 0..600 {
            vectors.set(slot, &several).expect("fits");
        }
        let more = 600 * 2 * (dimensions * size_of::<bf16>() + 1);
        let bytes = vectors.memory_bytes();
        assert!(bytes <= most + more, "{bytes} of {}", most + more);
    }

    #[test]
    fn a_walk_looks_for_the_mean_rounded_up() {
        let of = |products, vectors| Density { products, vectors }.walked();
        assert_eq!(Density::ONE.walked(), 1);
        assert_eq!(
            [of(10, 10), of(10, 11), of(10, 20), of(10, 21)],
            [1, 2, 2, 3]
        );
        assert_eq!([of(10, 31), of(10, 1_000), of(0, 0)], [4, 4, 1]);
    }
}
