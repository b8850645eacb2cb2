//! Matrix products in bfloat16 on the tile unit of recent x86-64 processors (Intel AMX): factors
//! rounded to bf16, sums kept in f32.
//!
//! The tile unit multiplies 16 x 32 by 32 x 16 numbers in one instruction, some eight times what
//! AVX-512 does in f32. At a small model's widths the time then goes into moving numbers, so that
//! the factors are packed once, in the order in which the tiles read them, and a strip of the
//! result stays in cache until it is done.
//!
//! This is the one module of the crate with `unsafe` code: no stable interface of the standard
//! library reaches the unit. Callers need none: sizes are checked, and [`product`]
//! refuses a processor that has no such unit. Sources: Intel 64 and IA-32 Architectures Software
//! Developer's Manual, volume 1, chapter 18; Linux, `Documentation/arch/x86/xstate.rst` (the
//! permission).
#![expect(
    unsafe_code,
    reason = "the tile unit is reached through its instructions alone"
)]

use std::sync::LazyLock;

/// A matrix of `rows x columns` numbers that lie row by row, or column by column if `transposed`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub values: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    pub transposed: bool,
}

impl<'a> Matrix<'a> {
    /// Numbers that lie row by row.
    ///
    /// # Panics
    /// If there are not as many as `rows x columns`.
    #[must_use]
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(
            values.len(),
            rows * columns,
            "a matrix of {rows} x {columns}"
        );
        Self {
            values,
            rows,
            columns,
            transposed: false,
        }
    }

    /// The same numbers as a matrix of `columns x rows`.
    #[must_use]
    pub fn turned(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            transposed: !self.transposed,
            ..self
        }
    }
}

/// Whether this processor has the unit and the kernel lets this process use it.
#[must_use]
pub fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(unit::available);
    *AVAILABLE
}

/// `a b`, `rows of a x columns of b`; `bias`, one number a column, is added to every row.
///
/// # Panics
/// If the sizes do not fit, or the unit is not [`available`].
#[must_use]
pub fn product(a: Matrix<'_>, b: Matrix<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    assert_eq!(a.columns, b.rows, "the factors' inner sizes");
    assert!(
        bias.is_none_or(|bias| bias.len() == b.columns),
        "a bias for each column"
    );
    assert!(available(), "no bf16 tile unit");
    for matrix in [&a, &b] {
        assert_eq!(
            matrix.values.len(),
            matrix.rows * matrix.columns,
            "a matrix's numbers"
        );
    }
    unit::product(a, b, bias)
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod unit {
    use super::Matrix;

    pub fn available() -> bool {
        false
    }

    pub fn product(_: Matrix<'_>, _: Matrix<'_>, _: Option<&[f32]>) -> Vec<f32> {
        unreachable!("not available")
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod unit {
    use std::arch::asm;
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16, _mm512_setzero_si512,
        _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
        _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    };
    use std::cell::RefCell;
    use std::mem::MaybeUninit;

    use rayon::prelude::*;

    use super::Matrix;

    /// Rows of a tile; also its f32 columns.
    const TILE: usize = 16;
    /// bf16 numbers in a row of a tile.
    const DEPTH: usize = 2 * TILE;
    /// Pairs of bf16 numbers in a tile.
    const PAIRS: usize = TILE * TILE;
    /// Edge of the block of the result that four tiles hold.
    const BLOCK: usize = 2 * TILE;
    /// Inner numbers between two visits of a block: what both factors' tiles take of the cache.
    const SLICE: usize = 1024 / DEPTH;
    /// Rows of the result that a thread makes at once.
    const ROWS: usize = 4 * BLOCK;

    /// A tile as 16 registers; each lane a pair of bf16 numbers.
    type Tile = [__m512i; TILE];

    pub fn available() -> bool {
        let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
        let (bf16, tile) = (features >> 22 & 1 == 1, features >> 24 & 1 == 1);
        let vectors = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16");
        bf16 && tile && vectors && permitted()
    }

    /// Asks the kernel for the tiles' registers: `arch_prctl(ARCH_REQ_XCOMP_PERM,
    /// XFEATURE_XTILEDATA)`.
    fn permitted() -> bool {
        const ARCH_PRCTL: i64 = 158;
        let result: i64;
        // SAFETY: the call reads no memory; it clobbers what every system call does.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => result,
                in("rdi") 0x1023_i64,
                in("rsi") 18_i64,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack)
            );
        }
        result == 0
    }

    /// The right factor as the tiles read it, and what a row of the result begins at.
    struct Right {
        /// Tiles row by row: a row of them has two for each block of columns.
        packed: Vec<u32>,
        start: Vec<f32>,
        columns: usize,
        /// Tiles along the inner numbers.
        depth: usize,
    }

    /// What a thread keeps from one strip to the next.
    #[derive(Default)]
    struct Room {
        packed: Vec<MaybeUninit<u32>>,
        strip: Vec<f32>,
    }

    thread_local! {
        static ROOM: RefCell<Room> = RefCell::default();
    }

    pub fn product(a: Matrix<'_>, b: Matrix<'_>, bias: Option<&[f32]>) -> Vec<f32> {
        let (rows, columns, inner) = (a.rows, b.columns, a.columns);
        if rows * columns == 0 {
            return Vec::new();
        }
        let (blocks, depth) = (columns.div_ceil(BLOCK), inner.div_ceil(DEPTH));
        // SAFETY: `available` has seen the vector instructions; rows of tiles are written whole.
        let pack = |(at, out): (usize, &mut [MaybeUninit<u32>])| unsafe {
            pack_right(&b, at * DEPTH, out);
        };
        let packed = unsafe {
            filled(depth * blocks * 2 * PAIRS, |out| {
                out.par_chunks_mut(blocks * 2 * PAIRS)
                    .enumerate()
                    .with_min_len(4)
                    .for_each(pack);
            })
        };
        let mut start = vec![0.0_f32; blocks * BLOCK];
        if let Some(bias) = bias {
            start[..columns].copy_from_slice(bias);
        }
        let right = Right {
            packed,
            start,
            columns,
            depth,
        };
        // SAFETY: every row of a strip is copied out whole.
        unsafe {
            filled(rows * columns, |out| {
                out.par_chunks_mut(ROWS * columns)
                    .enumerate()
                    .for_each(|(at, out)| {
                        ROOM.with_borrow_mut(|room| strip(&a, at * ROWS, &right, out, room));
                    });
            })
        }
    }

    /// So many numbers as `fill` writes: memory that is written anyway is not cleared before.
    ///
    /// # Safety
    /// `fill` writes all of them.
    unsafe fn filled<T: Send>(count: usize, fill: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
        let mut list = Vec::with_capacity(count);
        fill(&mut list.spare_capacity_mut()[..count]);
        // SAFETY: the caller's promise.
        unsafe { list.set_len(count) };
        list
    }

    /// The rows of the result from `first`: `out`.
    fn strip(
        a: &Matrix<'_>,
        first: usize,
        right: &Right,
        out: &mut [MaybeUninit<f32>],
        room: &mut Room,
    ) {
        let Right {
            packed: right,
            start,
            columns,
            depth,
        } = right;
        let blocks = (out.len() / columns).div_ceil(BLOCK);
        // An odd number of cache lines: rows at a power of two would share a set of the cache.
        let stride = start.len() + TILE;
        let row_of_tiles = start.len() * TILE;
        let Room { packed, strip } = room;
        if strip.len() < blocks * BLOCK * stride {
            strip.resize(blocks * BLOCK * stride, 0.0);
        }
        let _tiles = Tiles::configured();
        for from in (0..(*depth).max(1)).step_by(SLICE) {
            let length = SLICE.min(depth - from);
            if packed.len() < blocks * 2 * length * PAIRS {
                packed.resize(blocks * 2 * length * PAIRS, MaybeUninit::uninit());
            }
            let packed = &mut packed[..blocks * 2 * length * PAIRS];
            // SAFETY: `available` has seen the vector instructions; all tiles are written.
            let packed = unsafe {
                pack_left(a, first, from * DEPTH, length, packed);
                packed.assume_init_ref()
            };
            let right = &right[from * row_of_tiles..][..length * row_of_tiles];
            for column in 0..start.len() / BLOCK {
                for (row, strip) in strip
                    .chunks_exact_mut(BLOCK * stride)
                    .take(blocks)
                    .enumerate()
                {
                    let left = &packed[2 * row * length * PAIRS..][..2 * length * PAIRS];
                    let right = right.get(2 * column * PAIRS..).unwrap_or_default();
                    let start = (from == 0).then(|| &start[column * BLOCK..][..BLOCK]);
                    block(
                        left,
                        (right, row_of_tiles),
                        start,
                        &mut strip[column * BLOCK..],
                        stride,
                    );
                }
            }
        }
        for (out, strip) in out
            .chunks_exact_mut(*columns)
            .zip(strip.chunks_exact(stride))
        {
            out.write_copy_of_slice(&strip[..*columns]);
        }
    }

    /// Adds the product of two rows of tiles, one after the other in `left`, and two columns of
    /// tiles, `apart` from one row to the next, to a block of 32 x 32 numbers, `stride` apart, or
    /// to `start` in each row.
    fn block(
        left: &[u32],
        right: (&[u32], usize),
        start: Option<&[f32]>,
        out: &mut [f32],
        stride: usize,
    ) {
        let (right, apart) = right;
        let tiles = left.len() / (2 * PAIRS);
        assert!(tiles == 0 || right.len() >= (tiles - 1) * apart + 2 * PAIRS);
        assert!(
            out.len() >= (BLOCK - 1) * stride + BLOCK
                && start.is_none_or(|start| start.len() == BLOCK)
        );
        let to = out.as_mut_ptr();
        let (from, from_stride) =
            start.map_or((to.cast_const(), 4 * stride), |start| (start.as_ptr(), 0));
        // SAFETY: the assertions bound every tile that is read or written; the caller's guard has configured the tiles.
        unsafe {
            let below = |start: *const f32| start.add(from_stride / 4 * TILE);
            asm!(
                "tileloadd tmm0, [{a} + {s}]",
                "tileloadd tmm1, [{a} + {s} + 64]",
                "tileloadd tmm2, [{b} + {s}]",
                "tileloadd tmm3, [{b} + {s} + 64]",
                a = in(reg) from, b = in(reg) below(from), s = in(reg) from_stride,
                options(nostack, readonly, preserves_flags)
            );
            if tiles > 0 {
                asm!(
                    "2:",
                    "tileloadd tmm4, [{a} + {s}]",
                    "tileloadd tmm6, [{c} + {s}]",
                    "tileloadd tmm7, [{c} + {s} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{b} + {s}]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {a}, 1024",
                    "add {b}, 1024",
                    "add {c}, {apart}",
                    "dec {n}",
                    "jnz 2b",
                    a = inout(reg) left.as_ptr() => _, b = inout(reg) left[tiles * PAIRS..].as_ptr() => _,
                    c = inout(reg) right.as_ptr() => _, apart = in(reg) 4 * apart,
                    n = inout(reg) tiles => _, s = in(reg) 64_usize,
                    options(nostack, readonly)
                );
            }
            asm!(
                "tilestored [{a} + {s}], tmm0",
                "tilestored [{a} + {s} + 64], tmm1",
                "tilestored [{b} + {s}], tmm2",
                "tilestored [{b} + {s} + 64], tmm3",
                a = in(reg) to, b = in(reg) to.add(TILE * stride), s = in(reg) 4 * stride,
                options(nostack, preserves_flags)
            );
        }
    }

    /// While it lives, this thread's eight tiles are 16 rows of 64 bytes.
    struct Tiles;

    impl Tiles {
        fn configured() -> Self {
            #[repr(C, align(64))]
            struct Layout {
                palette: [u8; 16],
                bytes: [u16; 16],
                rows: [u8; 16],
            }
            let mut layout = Layout {
                palette: [0; 16],
                bytes: [0; 16],
                rows: [0; 16],
            };
            layout.palette[0] = 1;
            layout.bytes[..8].fill(64);
            layout.rows[..8].fill(16);
            // SAFETY: 64 bytes in the layout that the instruction defines; the kernel has given its permission.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &raw const layout, options(nostack, readonly, preserves_flags));
            };
            Self
        }
    }

    impl Drop for Tiles {
        fn drop(&mut self) {
            // SAFETY: it forgets the tiles' contents, of which nothing is left.
            unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
        }
    }

    /// Rows of `a` from `row` as rows of `length` tiles, from `column` on: `[row][pair of columns]`
    /// within a tile.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn pack_left(
        a: &Matrix<'_>,
        row: usize,
        column: usize,
        length: usize,
        out: &mut [MaybeUninit<u32>],
    ) {
        let count = if length == 0 {
            0
        } else {
            out.len() / (length * PAIRS)
        };
        let mut put = |at: usize, tile: Tile| store(&tile, &mut out[at * PAIRS..][..PAIRS]);
        // In the order in which the numbers lie.
        if a.transposed {
            for along in 0..length {
                for down in 0..count {
                    put(
                        down * length + along,
                        exchanged(&across(a, column + along * DEPTH, row + down * TILE)),
                    );
                }
            }
        } else {
            for down in 0..count {
                for at in 0..length {
                    put(
                        down * length + at,
                        along(a, row + down * TILE, column + at * DEPTH),
                    );
                }
            }
        }
    }

    /// 32 rows of `b` from `row`, a row of tiles: `[pair of rows][column]` within each.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn pack_right(b: &Matrix<'_>, row: usize, out: &mut [MaybeUninit<u32>]) {
        for (out, column) in out.chunks_exact_mut(PAIRS).zip((0..).step_by(TILE)) {
            let tile = if b.transposed {
                exchanged(&along(b, column, row))
            } else {
                across(b, row, column)
            };
            store(&tile, out);
        }
    }

    /// How many lines the numbers lie in, and how long these are.
    fn lines(m: &Matrix<'_>) -> (usize, usize) {
        if m.transposed {
            (m.columns, m.rows)
        } else {
            (m.rows, m.columns)
        }
    }

    /// 16 lines of 32 numbers each: each lane two neighbors.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn along(m: &Matrix<'_>, line: usize, at: usize) -> Tile {
        let (count, length) = lines(m);
        let mut tile = [_mm512_setzero_si512(); TILE];
        for (lane, line) in tile.iter_mut().zip(line..count) {
            let line = &m.values[line * length..][..length];
            *lane = rounded(load(line, at), load(line, at + TILE));
        }
        tile
    }

    /// 32 lines of 16 numbers each: each lane a number and the one below.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn across(m: &Matrix<'_>, line: usize, at: usize) -> Tile {
        const ORDER: [u16; DEPTH] = {
            let mut order = [0; DEPTH];
            let mut lane = 0;
            while lane < DEPTH {
                #[expect(clippy::cast_possible_truncation, reason = "below 32")]
                let from = (lane / 2 + lane % 2 * TILE) as u16;
                order[lane] = from;
                lane += 1;
            }
            order
        };
        let (count, length) = lines(m);
        // SAFETY: 64 bytes of a constant.
        let order = unsafe { _mm512_loadu_si512(ORDER.as_ptr().cast()) };
        let line_at = |line: usize| {
            if line < count {
                &m.values[line * length..][..length]
            } else {
                &[]
            }
        };
        let mut tile = [_mm512_setzero_si512(); TILE];
        for (lane, line) in tile.iter_mut().zip((line..).step_by(2)) {
            let both = rounded(load(line_at(line), at), load(line_at(line + 1), at));
            *lane = _mm512_permutexvar_epi16(order, both);
        }
        tile
    }

    /// 16 numbers of a line; zeros where it has ended.
    #[target_feature(enable = "avx512f")]
    fn load(line: &[f32], at: usize) -> __m512 {
        let rest = line.get(at..).unwrap_or_default();
        if rest.len() >= TILE {
            // SAFETY: there are 16 numbers.
            unsafe { _mm512_loadu_ps(rest.as_ptr()) }
        } else {
            // SAFETY: the mask lets through the numbers that there are; others are not touched.
            unsafe { _mm512_maskz_loadu_ps((1 << rest.len()) - 1, rest.as_ptr()) }
        }
    }

    /// Rounded to the nearest bf16, ties to even.
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn rounded(low: __m512, high: __m512) -> __m512i {
        // SAFETY: both are 512 bits without any that is invalid.
        unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
    }

    #[target_feature(enable = "avx512f")]
    fn store(tile: &Tile, out: &mut [MaybeUninit<u32>]) {
        for (lanes, out) in tile.iter().zip(out.chunks_exact_mut(TILE)) {
            // SAFETY: there is room for 16.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), *lanes) }
        }
    }

    /// Rows for columns, in three rounds of exchanges between registers.
    #[target_feature(enable = "avx512f")]
    fn exchanged(t: &Tile) -> Tile {
        let mut pairs = *t;
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_epi32(t[2 * i], t[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_epi32(t[2 * i], t[2 * i + 1]);
        }
        // Afterwards lane group g of fours[4 i + j] holds column 4 g + j of the rows 4 i to 4 i +
        // 3.
        let mut fours = pairs;
        for i in 0..4 {
            let p = &pairs[4 * i..4 * i + 4];
            fours[4 * i] = _mm512_unpacklo_epi64(p[0], p[2]);
            fours[4 * i + 1] = _mm512_unpackhi_epi64(p[0], p[2]);
            fours[4 * i + 2] = _mm512_unpacklo_epi64(p[1], p[3]);
            fours[4 * i + 3] = _mm512_unpackhi_epi64(p[1], p[3]);
        }
        let mut out = fours;
        for j in 0..4 {
            let rows = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
            let (upper, lower) = (
                _mm512_shuffle_i32x4::<0x88>(rows[0], rows[1]),
                _mm512_shuffle_i32x4::<0x88>(rows[2], rows[3]),
            );
            out[j] = _mm512_shuffle_i32x4::<0x88>(upper, lower);
            out[8 + j] = _mm512_shuffle_i32x4::<0xdd>(upper, lower);
            let (upper, lower) = (
                _mm512_shuffle_i32x4::<0xdd>(rows[0], rows[1]),
                _mm512_shuffle_i32x4::<0xdd>(rows[2], rows[3]),
            );
            out[4 + j] = _mm512_shuffle_i32x4::<0x88>(upper, lower);
            out[12 + j] = _mm512_shuffle_i32x4::<0xdd>(upper, lower);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::draws::{Purpose, Stream};

    fn to_bf16(x: f32) -> f64 {
        f64::from(half::bf16::from_f32(x).to_f32())
    }

    /// Sizes around the edges of tiles, blocks, strips and slices, each factor lying both ways.
    #[test]
    fn products_are_those_of_the_rounded_factors() {
        if !available() {
            crate::util::skipped::skipped(
                "products_are_those_of_the_rounded_factors",
                "this processor has no bf16 tile unit",
            );
            return;
        }
        let mut draws = Stream::new(5, Purpose::Weights, 0);
        let sizes = [
            (1, 1, 1),
            (16, 16, 32),
            (33, 31, 65),
            (129, 40, 1056),
            (7, 100, 2),
            (260, 64, 33),
            (4, 5, 0),
        ];
        for (rows, columns, inner) in sizes {
            let a: Vec<f32> = (0..rows * inner).map(|_| draws.normal()).collect();
            let b: Vec<f32> = (0..inner * columns).map(|_| draws.normal()).collect();
            let bias: Vec<f32> = (0..columns).map(|_| draws.normal()).collect();
            for ways in 0..8 {
                let left = if ways & 1 == 0 {
                    Matrix::new(&a, rows, inner)
                } else {
                    Matrix::new(&a, inner, rows).turned()
                };
                let right = if ways & 2 == 0 {
                    Matrix::new(&b, inner, columns)
                } else {
                    Matrix::new(&b, columns, inner).turned()
                };
                let bias = (ways & 4 != 0).then_some(bias.as_slice());
                let at = |m: &Matrix<'_>, row: usize, column: usize| {
                    to_bf16(
                        m.values[if m.transposed {
                            column * m.rows + row
                        } else {
                            row * m.columns + column
                        }],
                    )
                };
                let found = product(left, right, bias);
                assert_eq!(found.len(), rows * columns);
                for row in 0..rows {
                    for column in 0..columns {
                        let terms = (0..inner).map(|i| at(&left, row, i) * at(&right, i, column));
                        let (mut sum, mut size) = (bias.map_or(0.0, |b| f64::from(b[column])), 1.0);
                        for term in terms {
                            sum += term;
                            size += term.abs();
                        }
                        let off = (f64::from(found[row * columns + column]) - sum).abs();
                        assert!(
                            off < 1e-6 * size,
                            "{rows}x{columns}x{inner}, {ways}, {row}, {column}: off by {off}"
                        );
                    }
                }
            }
        }
    }
}
