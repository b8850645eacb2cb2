//! Softmax attention (arXiv 1706.03762) as one node of the autodiff graph, over sequences that lie
//! one after the other without padding: captions are of very different lengths, and a batch padded
//! to its longest is half padding.
//!
//! A sequence's head is small enough for the cache: its scores are made, used and dropped there,
//! and only the probabilities are kept for the way back.
#![expect(
    clippy::inline_always,
    reason = "what runs in `vectorized` is vectorized where it is inlined alone"
)]

use std::ops::Range;
use std::sync::Arc;

use burn::backend::Flex;
use burn::tensor::Tensor;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::fused::{dims, dot, exp, from_values, node, sum, values, wrap};
use crate::util::simd::vectorized;

/// Rows of one sequence: which ask, and which are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    pub queries: Range<usize>,
    pub keys: Range<usize>,
}

/// How the heads lie and what they see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    pub count: usize,
    /// What scores are multiplied by before the softmax.
    pub scale: f32,
    /// A query sees itself and what comes before: its own place counted from the end, as that of a
    /// last query that asks alone.
    pub causal: bool,
}

impl Heads {
    /// How many keys a query sees.
    #[inline(always)]
    pub(super) fn seen(self, query: usize, queries: usize, keys: usize) -> usize {
        if self.causal {
            query + 1 + keys - queries
        } else {
            keys
        }
    }
}

/// `softmax(scale * q k^T) v` within each sequence and head; `q` is `queries x width`, `k` and `v`
/// are `keys x width`, and a head takes `width / heads.count` columns.
///
/// # Panics
/// If a tensor is not on the CPU's autodiff device, or the sequences do not follow each other
/// without a gap.
#[must_use]
pub fn attention(
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
    sequences: Arc<[Sequence]>,
    heads: Heads,
) -> Tensor<2> {
    let (q, k, v) = (node(q), node(k), node(v));
    let guards = [q.node(), k.node(), v.node()];
    let [q, k, v] = [q, k, v].map(|node| node.into_primitive().to_contiguous());
    let shape = dims(&q);
    let width = shape[1];
    let mut out = vec![0.0_f32; shape[0] * width];
    let mut kept = vec![
        0.0_f32;
        sequences
            .iter()
            .map(|s| heads.count * s.queries.len() * s.keys.len())
            .sum()
    ];
    let outs = split(&mut out, sequences.iter().map(|s| s.queries.len() * width));
    let tables = split(
        &mut kept,
        sequences
            .iter()
            .map(|s| heads.count * s.queries.len() * s.keys.len()),
    );
    sequences
        .par_iter()
        .zip(outs)
        .zip(tables)
        .for_each(|((sequence, out), tables)| {
            let Sequence { queries, keys } = sequence;
            let inputs = [(&q, queries), (&k, keys), (&v, keys)]
                .map(|(tensor, rows)| Rows::of(tensor, rows, width));
            for (head, table) in tables
                .chunks_exact_mut(inputs[0].count * inputs[1].count)
                .enumerate()
            {
                vectorized(
                    #[inline(always)]
                    || forward(inputs, heads, head, table, out),
                );
            }
        });
    let out = from_values(out, &shape);
    wrap(
        match Attention
            .prepare::<NoCheckpointing>(guards)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(
                State {
                    inputs: [q, k, v],
                    kept: kept.into(),
                    sequences,
                    heads,
                },
                out,
            ),
            OpsKind::UnTracked(prep) => prep.finish(out),
        },
    )
}

/// Consecutive parts of these sizes, which are all there is.
fn split(mut rest: &mut [f32], sizes: impl Iterator<Item = usize>) -> Vec<&mut [f32]> {
    let parts = sizes
        .map(|size| rest.split_off_mut(..size).expect("the sequences' rows"))
        .collect();
    assert!(rest.is_empty(), "rows beyond the last sequence");
    parts
}

/// Some rows of a matrix.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    count: usize,
    width: usize,
}

impl<'a> Rows<'a> {
    fn of(tensor: &'a FlexTensor, rows: &Range<usize>, width: usize) -> Self {
        Self {
            values: &values(tensor)[rows.start * width..rows.end * width],
            count: rows.len(),
            width,
        }
    }

    /// A head's columns, row after row, each filled up with zeros to whole registers.
    #[inline(always)]
    fn head(self, head: usize, size: usize) -> Panel {
        let mut panel = Panel::zeros(self.count, size);
        for (to, from) in panel
            .values
            .chunks_exact_mut(panel.stride)
            .zip(self.values.chunks_exact(self.width))
        {
            to[..size].copy_from_slice(&from[head * size..][..size]);
        }
        panel
    }
}

/// A small matrix whose rows are whole registers.
struct Panel {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
    stride: usize,
}

/// Numbers in the widest register.
const LANES: usize = 16;

impl Panel {
    #[inline(always)]
    fn zeros(rows: usize, columns: usize) -> Self {
        let stride = columns.next_multiple_of(LANES);
        Self {
            values: vec![0.0; rows * stride],
            rows,
            columns,
            stride,
        }
    }

    #[inline(always)]
    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.stride..][..self.columns]
    }

    #[inline(always)]
    fn turned(&self) -> Self {
        let mut out = Self::zeros(self.columns, self.rows);
        for row in 0..self.rows {
            for (column, &value) in self.row(row).iter().enumerate() {
                out.values[column * out.stride + row] = value;
            }
        }
        out
    }

    /// `a self`, where `a(row, inner)` is a factor's element.
    #[inline(always)]
    fn times(&self, rows: usize, a: impl Fn(usize, usize) -> f32) -> Self {
        let mut out = Self::zeros(rows, self.columns);
        let mut row = 0;
        while row < rows {
            let mut column = 0;
            while column < self.stride {
                // As many sums as registers hold, each read of `self` used for four rows.
                if row + 4 <= rows && column + 2 * LANES <= self.stride {
                    self.block::<4, { 2 * LANES }>(row, column, &a, &mut out);
                    column += 2 * LANES;
                } else if row + 4 <= rows {
                    self.block::<4, LANES>(row, column, &a, &mut out);
                    column += LANES;
                } else {
                    self.block::<1, LANES>(row, column, &a, &mut out);
                    column += LANES;
                }
            }
            row += if row + 4 <= rows { 4 } else { 1 };
        }
        out
    }

    #[inline(always)]
    fn block<const R: usize, const C: usize>(
        &self,
        row: usize,
        column: usize,
        a: &impl Fn(usize, usize) -> f32,
        out: &mut Self,
    ) {
        let mut sums = [[0.0_f32; C]; R];
        for inner in 0..self.rows {
            let line = &self.values[inner * self.stride + column..][..C];
            for (at, sums) in sums.iter_mut().enumerate() {
                let factor = a(row + at, inner);
                for (sum, &value) in sums.iter_mut().zip(line) {
                    *sum += factor * value;
                }
            }
        }
        for (at, sums) in sums.iter().enumerate() {
            out.values[(row + at) * out.stride + column..][..C].copy_from_slice(sums);
        }
    }

    /// Writes its rows to a head's columns of `out`.
    #[inline(always)]
    fn put(&self, head: usize, out: &mut [f32], width: usize) {
        for (row, to) in out.chunks_exact_mut(width).enumerate() {
            to[head * self.columns..][..self.columns].copy_from_slice(self.row(row));
        }
    }
}

#[inline(always)]
fn forward(inputs: [Rows<'_>; 3], heads: Heads, head: usize, table: &mut [f32], out: &mut [f32]) {
    let width = inputs[0].width;
    let size = width / heads.count;
    let [q, k, v] = inputs.map(|rows| rows.head(head, size));
    let keys = k.turned();
    let scores = keys.times(q.rows, |row, inner| q.values[row * q.stride + inner]);
    for (query, line) in table.chunks_exact_mut(k.rows).enumerate() {
        let seen = heads.seen(query, q.rows, k.rows);
        let scores = &scores.row(query)[..seen];
        let largest = scores.iter().fold(f32::MIN, |m, &x| m.max(x));
        for (p, &s) in line.iter_mut().zip(scores) {
            *p = exp((s - largest) * heads.scale);
        }
        let inverse = 1.0 / sum(&line[..seen]);
        for p in &mut line[..seen] {
            *p *= inverse;
        }
    }
    let count = k.rows;
    v.times(q.rows, |row, inner| table[row * count + inner])
        .put(head, out, width);
}

#[derive(Debug)]
struct Attention;

#[derive(Clone, Debug)]
struct State {
    inputs: [FlexTensor; 3],
    /// The probabilities, `queries x keys` for each head of each sequence.
    kept: Arc<[f32]>,
    sequences: Arc<[Sequence]>,
    heads: Heads,
}

impl Backward<Flex, 3> for Attention {
    type State = State;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let State {
            inputs,
            kept,
            sequences,
            heads,
        } = ops.state;
        let width = dims(&grad)[1];
        let mut found = inputs
            .each_ref()
            .map(|tensor| vec![0.0_f32; values(tensor).len()]);
        let [dq, dk, dv] = &mut found;
        let of_queries = |s: &Sequence| s.queries.len() * width;
        let of_keys = |s: &Sequence| s.keys.len() * width;
        let outs = split(dq, sequences.iter().map(of_queries))
            .into_iter()
            .zip(split(dk, sequences.iter().map(of_keys)))
            .zip(split(dv, sequences.iter().map(of_keys)));
        let mut from = 0;
        let tables: Vec<&[f32]> = sequences
            .iter()
            .map(|s| {
                let table = &kept[from..from + heads.count * s.queries.len() * s.keys.len()];
                from += table.len();
                table
            })
            .collect();
        let outs: Vec<_> = outs.collect();
        sequences.par_iter().zip(outs).zip(tables).for_each(
            |((sequence, ((dq, dk), dv)), tables)| {
                let Sequence { queries, keys } = sequence;
                let rows = [queries, keys, keys];
                let view = |at: usize| Rows::of(&inputs[at], rows[at], width);
                let inputs = [view(0), view(1), view(2)];
                let grad = Rows::of(&grad, queries, width);
                for (head, table) in tables.chunks_exact(queries.len() * keys.len()).enumerate() {
                    vectorized(
                        #[inline(always)]
                        || {
                            backward(
                                inputs,
                                grad,
                                heads,
                                head,
                                table,
                                [&mut *dq, &mut *dk, &mut *dv],
                            );
                        },
                    );
                }
            },
        );
        for (node, (values, tensor)) in ops.parents.into_iter().zip(found.into_iter().zip(&inputs))
        {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, from_values(values, &dims(tensor)));
            }
        }
    }
}

#[inline(always)]
fn backward(
    inputs: [Rows<'_>; 3],
    grad: Rows<'_>,
    heads: Heads,
    head: usize,
    table: &[f32],
    outs: [&mut [f32]; 3],
) {
    let width = grad.width;
    let size = width / heads.count;
    let [q, k, v] = inputs.map(|rows| rows.head(head, size));
    let grad = grad.head(head, size);
    let count = k.rows;
    let dv = grad.times(count, |key, query| table[query * count + key]);
    let mut ds = v
        .turned()
        .times(q.rows, |row, inner| grad.values[row * grad.stride + inner]);
    let stride = ds.stride;
    for (line, p) in ds
        .values
        .chunks_exact_mut(stride)
        .zip(table.chunks_exact(count))
    {
        let mean = dot(p, &line[..count]);
        for (d, &p) in line.iter_mut().zip(p) {
            *d = heads.scale * p * (*d - mean);
        }
    }
    let dq = k.times(q.rows, |row, inner| ds.values[row * stride + inner]);
    let dk = q.times(count, |key, query| ds.values[query * stride + key]);
    for (panel, out) in [dq, dk, dv].iter().zip(outs) {
        panel.put(head, out, width);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::train::draws::{Purpose, Stream};

    /// The definition, a number at a time in f64.
    fn plain(
        input: &[Vec<f64>; 3],
        width: usize,
        sequences: &[Sequence],
        heads: Heads,
    ) -> Vec<f64> {
        let size = width / heads.count;
        let mut out = vec![0.0; input[0].len()];
        for s in sequences {
            for (at, query) in s.queries.clone().enumerate() {
                for head in 0..heads.count {
                    let column = |i: usize| head * size + i;
                    let last = heads.seen(at, s.queries.len(), s.keys.len());
                    let score = |key: usize| -> f64 {
                        let terms = (0..size).map(|i| {
                            input[0][query * width + column(i)] * input[1][key * width + column(i)]
                        });
                        (terms.sum::<f64>() * f64::from(heads.scale)).exp()
                    };
                    let keys = s.keys.start..s.keys.start + last;
                    let total: f64 = keys.clone().map(score).sum();
                    for i in 0..size {
                        out[query * width + column(i)] = keys
                            .clone()
                            .map(|key| score(key) / total * input[2][key * width + column(i)])
                            .sum();
                    }
                }
            }
        }
        out
    }

    #[test]
    fn values_and_gradients_are_those_of_the_definition() {
        let mut draws = Stream::new(3, Purpose::Weights, 0);
        let device = Device::flex().autodiff();
        let spans = |lengths: &[usize], alone: bool| -> Arc<[Sequence]> {
            let (mut from, mut list) = (0, Vec::new());
            for (at, &length) in lengths.iter().enumerate() {
                let queries = if alone {
                    at..at + 1
                } else {
                    from..from + length
                };
                list.push(Sequence {
                    queries,
                    keys: from..from + length,
                });
                from += length;
            }
            list.into()
        };
        for (width, count, causal, alone) in [
            (24, 2, false, false),
            (20, 1, true, false),
            (36, 3, true, true),
        ] {
            let sequences = spans(&[5, 1, 18], alone);
            let heads = Heads {
                count,
                scale: 0.4,
                causal,
            };
            let queries = if alone { 3 } else { 24 };
            let numbers = [queries, 24, 24].map(|rows| {
                (0..rows * width)
                    .map(|_| draws.normal())
                    .collect::<Vec<f32>>()
            });
            let tensors = numbers.clone().map(|values| {
                let rows = values.len() / width;
                Tensor::<2>::from_data(TensorData::new(values, [rows, width]), &device)
                    .require_grad()
            });
            let [q, k, v] = tensors.clone();
            let out = attention(q, k, v, Arc::clone(&sequences), heads);
            // A sum with weights, so that every output's gradient is another.
            let weights: Vec<f32> = (0..queries * width).map(|_| draws.normal()).collect();
            let weighted =
                Tensor::<2>::from_data(TensorData::new(weights.clone(), [queries, width]), &device);
            let gradients = (out.clone() * weighted).sum().backward();
            let exact = numbers
                .clone()
                .map(|values| values.into_iter().map(f64::from).collect::<Vec<f64>>());
            let expected = plain(&exact, width, &sequences, heads);
            let found = out.try_into_vec_as::<f32>().expect("f32");
            assert!(
                found
                    .iter()
                    .zip(&expected)
                    .all(|(&f, e)| (f64::from(f) - e).abs() < 1e-5)
            );
            let loss = |input: &[Vec<f64>; 3]| -> f64 {
                let out = plain(input, width, &sequences, heads);
                out.iter()
                    .zip(&weights)
                    .map(|(o, &w)| o * f64::from(w))
                    .sum()
            };
            for (part, tensor) in tensors.iter().enumerate() {
                let gradient = tensor
                    .grad(&gradients)
                    .expect("a gradient")
                    .try_into_vec_as::<f32>()
                    .expect("f32");
                for at in (0..gradient.len()).step_by(7) {
                    let moved = |by: f64| {
                        let mut input = exact.clone();
                        input[part][at] += by;
                        loss(&input)
                    };
                    let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                    let off = (f64::from(gradient[at]) - slope).abs();
                    assert!(
                        off < 1e-4 * (1.0 + slope.abs()),
                        "{part} {at}: {} for {slope}",
                        gradient[at]
                    );
                }
            }
        }
    }
}
