//! The operations of [`super::fused`] and [`super::attention`] in burn's own terms, for devices that these are not
//! written for: a GPU makes its kernels of them. A test holds the two against each other on the CPU.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use super::attention::{Heads, Sequence};
use super::fused::Activation;

/// See [`super::fused::layer_norm`].
#[must_use]
pub fn layer_norm(x: Tensor<2>, gamma: Tensor<1>, beta: Tensor<1>, eps: f32) -> Tensor<2> {
    let centered = x.clone() - x.mean_dim(1);
    let variance = (centered.clone() * centered.clone()).mean_dim(1);
    centered / variance.add_scalar(eps).sqrt() * gamma.unsqueeze() + beta.unsqueeze()
}

/// See [`super::fused::linear`].
#[must_use]
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    x.matmul(weight.transpose()) + bias.unsqueeze()
}

/// See [`super::fused::activate`].
#[must_use]
pub fn activate(x: Tensor<2>, kind: Activation) -> Tensor<2> {
    match kind {
        Activation::QuickGelu => x.clone() * activation::sigmoid(x.mul_scalar(1.702)),
        Activation::Gelu => activation::gelu(x),
    }
}

/// See [`super::attention::attention`]: here the sequences are padded to the longest.
///
/// # Panics
/// If there are more than 2^31 rows.
#[must_use]
pub fn attention(q: Tensor<2>, k: Tensor<2>, v: Tensor<2>, sequences: &[Sequence], heads: Heads) -> Tensor<2> {
    let device = q.device();
    let (count, width) = (sequences.len(), q.dims()[1]);
    let queries = sequences.iter().map(|s| s.queries.len()).max().unwrap_or(0);
    let keys = sequences.iter().map(|s| s.keys.len()).max().unwrap_or(0);
    let padded = |x: Tensor<2>, rows: usize, at: Vec<usize>| {
        let x = x.select(0, ints(&at, &device));
        x.reshape([count, rows, heads.count, width / heads.count]).swap_dims(1, 2)
    };
    // What stands in a place beyond a sequence's end is never seen; any row will do.
    let place = |from: usize, length: usize, at: usize| from + at.min(length.saturating_sub(1));
    let at = |rows: usize, range: fn(&Sequence) -> &std::ops::Range<usize>| -> Vec<usize> {
        let of = |s| (0..rows).map(move |at| place(range(s).start, range(s).len(), at));
        sequences.iter().flat_map(of).collect()
    };
    let q = padded(q, queries, at(queries, |s| &s.queries));
    let k = padded(k, keys, at(keys, |s| &s.keys));
    let v = padded(v, keys, at(keys, |s| &s.keys));
    let mut hidden = vec![0.0_f32; count * queries * keys];
    for (table, s) in hidden.chunks_exact_mut((queries * keys).max(1)).zip(sequences) {
        for (query, line) in table.chunks_exact_mut(keys).enumerate() {
            let query = query.min(s.queries.len() - 1);
            line[heads.seen(query, s.queries.len(), s.keys.len())..].fill(-1e9);
        }
    }
    let hidden = Tensor::<4>::from_data(TensorData::new(hidden, [count, 1, queries, keys]), &device);
    let scores = q.matmul(k.swap_dims(2, 3)).mul_scalar(heads.scale) + hidden;
    let mixed = activation::softmax(scores, 3).matmul(v).swap_dims(1, 2).reshape([count * queries, width]);
    let back = sequences.iter().enumerate().flat_map(|(n, s)| n * queries..n * queries + s.queries.len());
    mixed.select(0, ints(&back.collect::<Vec<usize>>(), &device))
}

fn ints(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|&v| i32::try_from(v).expect("row numbers of a batch")).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}
