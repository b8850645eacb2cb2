//! The operations of [`super::fused`] and [`super::attention`] by burn's own operations, for a GPU,
//! which compiles its kernels of them. A test compares the two on the CPU.

use burn::tensor::{Int, Tensor, TensorData, activation};

use super::attention::{Heads, Sequence};
use crate::model::clip_config::Activation;

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

/// See [`super::attention::attention`]: here each sequence has as many rows as any other, those
/// beyond its end filled with anything ([`pad`]). A GPU copies no rows together, and sees few
/// shapes.
#[must_use]
pub fn attention(
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
    sequences: &[Sequence],
    heads: Heads,
) -> Tensor<2> {
    let device = q.device();
    let count = sequences.len();
    let ([asking, width], [asked, _]) = (q.dims(), k.dims());
    let (queries, keys) = (asking / count, asked / count);
    let apart = |x: Tensor<2>, rows: usize| {
        x.reshape([count, rows, heads.count, width / heads.count])
            .swap_dims(1, 2)
    };
    let (q, k, v) = (apart(q, queries), apart(k, keys), apart(v, keys));
    let mut scores = q.matmul(k.swap_dims(2, 3)).mul_scalar(heads.scale);
    if heads.causal || sequences.iter().any(|s| s.keys.len() < keys) {
        let mut hidden = vec![0.0_f32; count * queries * keys];
        for (table, s) in hidden.chunks_exact_mut(queries * keys).zip(sequences) {
            for (query, line) in table.chunks_exact_mut(keys).enumerate() {
                let query = query.min(s.queries.len() - 1);
                line[heads.seen(query, s.queries.len(), s.keys.len())..].fill(-1e9);
            }
        }
        scores =
            scores + Tensor::from_data(TensorData::new(hidden, [count, 1, queries, keys]), &device);
    }
    activation::softmax(scores, 3)
        .matmul(v)
        .swap_dims(1, 2)
        .reshape([asking, width])
}

/// Rows of each sequence for [`attention`]: the longest's, rounded up to a multiple of eight, so
/// that shapes are few.
#[must_use]
pub fn pad(longest: usize, context: usize) -> usize {
    longest.next_multiple_of(8).min(context)
}

/// The rows of a small table at `at`, as a product: a GPU adds up the gradient of a `select` one
/// row after the other.
///
/// # Panics
/// If the table has more than 2^63 rows.
#[must_use]
pub fn rows(table: Tensor<2>, at: Tensor<1, Int>) -> Tensor<2> {
    let count = table.dims()[0];
    let places = Tensor::<1, Int>::arange(
        0..i64::try_from(count).expect("a small table"),
        &table.device(),
    );
    at.unsqueeze_dim::<2>(1)
        .equal(places.unsqueeze())
        .float()
        .matmul(table)
}
