//! The operations that a transformer spends its time in, each as one node of the autodiff graph;
//! the one between tokens is [`super::attention`].
//!
//! burn's autodiff takes layer norm, softmax with a mask and quick GELU apart into a dozen
//! element-wise passes each; on a CPU those cost as much as the matrix products between them. Here
//! each is one pass forward and one backward over the rows, on the `flex` backend. The matrix
//! products stay burn's own.
//!
//! A tensor on another device panics: the training companion runs on the CPU (see the module
//! `train`).
#![expect(
    clippy::inline_always,
    reason = "what runs in `vectorized` is vectorized where it is inlined alone"
)]

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bf16::{self, Matrix};
use crate::model::clip_config::Activation;
use crate::util::simd::vectorized;

type Cpu = Autodiff<Flex>;
type Node = <Cpu as burn::backend::BackendTypes>::FloatTensorPrimitive;

/// Rows handed to a thread at once.
const ROWS: usize = 64;

pub(super) fn node<const D: usize>(tensor: Tensor<D>) -> Node {
    tensor
        .try_into_primitive::<Cpu>()
        .expect("training tensors live on the CPU's autodiff device")
}

pub(super) fn wrap<const D: usize>(node: Node) -> Tensor<D> {
    Tensor::from_primitive::<Cpu>(node)
}

pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("contiguous f32")
}

pub(super) fn from_values(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
}

pub(super) fn dims(tensor: &FlexTensor) -> Vec<usize> {
    tensor.layout().shape().to_vec()
}

/// e^x to about 2e-7 relative, without branches so that the compiler can use vector registers.
#[inline(always)]
#[expect(
    clippy::many_single_char_names,
    reason = "the letters of Cody and Waite"
)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding and subtracting it rounds to an integer, in one instruction each on every x86-64.
    const ROUND: f32 = 12_582_912.0;
    /// 355 / 512: the upper bits of ln 2.
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    let x = x.clamp(-87.0, 88.0);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    // ln 2 in two parts: the product with the first is exact (Cody and Waite).
    let r = (x - n * LN_2_HIGH) + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_65;
    let p = p * r + 0.5;
    let y = p * (r * r) + r + 1.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "n lies within -126..=127 after the clamp"
    )]
    let scale = f32::from_bits((((n as i32) + 127) << 23).cast_unsigned());
    y * scale
}

#[inline(always)]
pub(super) fn sum(row: &[f32]) -> f32 {
    lanes(row, |x| x)
}

/// Sums `f` over the row in 16 independent lanes, which is what lets the compiler vectorize a float
/// sum.
#[inline(always)]
fn lanes(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut acc = [0.0_f32; 16];
    let mut chunks = row.chunks_exact(16);
    for chunk in &mut chunks {
        for (a, &x) in acc.iter_mut().zip(chunk) {
            *a += f(x);
        }
    }
    acc.iter().sum::<f32>() + chunks.remainder().iter().map(|&x| f(x)).sum::<f32>()
}

#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut acc = [0.0_f32; 16];
    let (mut ca, mut cb) = (a.chunks_exact(16), b.chunks_exact(16));
    for (x, y) in (&mut ca).zip(&mut cb) {
        for ((s, &x), &y) in acc.iter_mut().zip(x).zip(y) {
            *s += x * y;
        }
    }
    let rest: f32 = ca
        .remainder()
        .iter()
        .zip(cb.remainder())
        .map(|(x, y)| x * y)
        .sum();
    acc.iter().sum::<f32>() + rest
}

/// The sum over rows of `rows x width`, one value per column.
fn column_sums(data: &[f32], width: usize) -> Vec<f32> {
    data.par_chunks(width * 1024)
        .map(|block| {
            let mut acc = vec![0.0_f32; width];
            vectorized(
                #[inline(always)]
                || {
                    for row in block.chunks_exact(width) {
                        for (a, &x) in acc.iter_mut().zip(row) {
                            *a += x;
                        }
                    }
                },
            );
            acc
        })
        .reduce(|| vec![0.0; width], add_into)
}

fn add_into(mut a: Vec<f32>, b: Vec<f32>) -> Vec<f32> {
    for (x, y) in a.iter_mut().zip(b) {
        *x += y;
    }
    a
}

// ---------------------------------------------------------------- layer norm

#[derive(Debug)]
struct LayerNorm;

#[derive(Clone, Debug)]
struct LayerNormState {
    x: FlexTensor,
    gamma: FlexTensor,
    /// (mean, 1 / standard deviation) of each row.
    moments: std::sync::Arc<Vec<(f32, f32)>>,
}

/// `gamma * (x - mean) / sqrt(var + eps) + beta` over the last axis of `rows x width` (arXiv
/// 1607.06450).
///
/// # Panics
/// If a tensor is not on the CPU's autodiff device.
#[must_use]
pub fn layer_norm(x: Tensor<2>, gamma: Tensor<1>, beta: Tensor<1>, eps: f32) -> Tensor<2> {
    let (x, gamma, beta) = (node(x), node(gamma), node(beta));
    let guards = [x.node(), gamma.node(), beta.node()];
    let (x, gamma) = (
        x.into_primitive().to_contiguous(),
        gamma.into_primitive().to_contiguous(),
    );
    let beta = beta.into_primitive().to_contiguous();
    let shape = dims(&x);
    let width = shape[1];
    let (g, b) = (values(&gamma), values(&beta));
    let mut out = vec![0.0_f32; shape[0] * width];
    let mut moments = vec![(0.0_f32, 0.0_f32); shape[0]];
    #[expect(clippy::cast_precision_loss, reason = "widths are small")]
    let inverse = 1.0 / width as f32;
    (
        values(&x).par_chunks(ROWS * width),
        out.par_chunks_mut(ROWS * width),
        moments.par_chunks_mut(ROWS),
    )
        .into_par_iter()
        .for_each(|(x, out, moments)| {
            vectorized(
                #[inline(always)]
                || {
                    for ((x, out), m) in x
                        .chunks_exact(width)
                        .zip(out.chunks_exact_mut(width))
                        .zip(moments)
                    {
                        let mean = sum(x) * inverse;
                        let variance = lanes(x, |v| (v - mean) * (v - mean)) * inverse;
                        let scale = 1.0 / (variance + eps).sqrt();
                        for (((o, &x), &g), &b) in out.iter_mut().zip(x).zip(g).zip(b) {
                            *o = (x - mean) * scale * g + b;
                        }
                        *m = (mean, scale);
                    }
                },
            );
        });
    let out = from_values(out, &shape);
    wrap(
        match LayerNorm
            .prepare::<NoCheckpointing>(guards)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(
                LayerNormState {
                    x,
                    gamma,
                    moments: moments.into(),
                },
                out,
            ),
            OpsKind::UnTracked(prep) => prep.finish(out),
        },
    )
}

impl Backward<Flex, 3> for LayerNorm {
    type State = LayerNormState;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [x_node, gamma_node, beta_node] = ops.parents;
        let state = ops.state;
        let shape = dims(&state.x);
        let width = shape[1];
        let gamma = values(&state.gamma);
        #[expect(clippy::cast_precision_loss, reason = "widths are small")]
        let inverse = 1.0 / width as f32;
        let mut dx = vec![0.0_f32; shape[0] * width];
        let zeros = || (vec![0.0_f32; width], vec![0.0_f32; width]);
        let (dgamma, dbeta) = (
            values(&state.x).par_chunks(ROWS * width),
            values(&grad).par_chunks(ROWS * width),
            dx.par_chunks_mut(ROWS * width),
            state.moments.par_chunks(ROWS),
        )
            .into_par_iter()
            .fold(zeros, |(mut dgamma, mut dbeta), (x, grad, dx, moments)| {
                let rows = x
                    .chunks_exact(width)
                    .zip(grad.chunks_exact(width))
                    .zip(dx.chunks_exact_mut(width));
                let mut scaled = vec![0.0_f32; width];
                vectorized(
                    #[inline(always)]
                    || {
                        for (((x, grad), dx), &(mean, scale)) in rows.zip(moments) {
                            // dx holds the normalized input until its gradient is known.
                            for ((((n, s), &x), &d), &g) in
                                dx.iter_mut().zip(&mut scaled).zip(x).zip(grad).zip(gamma)
                            {
                                *n = (x - mean) * scale;
                                *s = d * g;
                            }
                            for (((dg, db), &n), &d) in
                                dgamma.iter_mut().zip(&mut dbeta).zip(&*dx).zip(grad)
                            {
                                *dg += n * d;
                                *db += d;
                            }
                            let mean_s = sum(&scaled) * inverse;
                            let mean_sn = dot(&scaled, dx) * inverse;
                            for (n, &s) in dx.iter_mut().zip(&scaled) {
                                *n = scale * (s - mean_s - *n * mean_sn);
                            }
                        }
                    },
                );
                (dgamma, dbeta)
            })
            .reduce(zeros, |a, b| (add_into(a.0, b.0), add_into(a.1, b.1)));
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, from_values(dx, &shape));
        }
        if let Some(node) = gamma_node {
            grads.register::<Flex>(node.id, from_values(dgamma, &[width]));
        }
        if let Some(node) = beta_node {
            grads.register::<Flex>(node.id, from_values(dbeta, &[width]));
        }
    }
}

// -------------------------------------------------------------------- linear

/// How the factors of a layer's matrix products are kept; their sums are f32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    #[default]
    F32,
    /// Rounded to bf16 where the processor multiplies these faster (see [`bf16`]); f32 elsewhere.
    Bf16,
}

/// A factor, and whether its rows count as columns.
type Factor<'a> = (&'a FlexTensor, bool);

impl Precision {
    /// `a b`, to whose rows `bias` is added.
    fn product(self, a: Factor<'_>, b: Factor<'_>, bias: Option<&[f32]>) -> FlexTensor {
        if self == Self::Bf16 && bf16::available() {
            let (left, right) = (a.0.to_contiguous(), b.0.to_contiguous());
            let (a, b) = (matrix(&left, a.1), matrix(&right, b.1));
            return from_values(bf16::product(a, b, bias), &[a.rows, b.columns]);
        }
        let lying = |(tensor, turned): Factor<'_>| {
            if turned {
                tensor.transpose(0, 1)
            } else {
                tensor.clone()
            }
        };
        let mut out = Flex::float_matmul(lying(a), lying(b));
        if let Some(bias) = bias {
            out.storage_mut::<f32>()
                .par_chunks_mut(bias.len() * ROWS)
                .for_each(|rows| {
                    for row in rows.chunks_exact_mut(bias.len()) {
                        for (o, &b) in row.iter_mut().zip(bias) {
                            *o += b;
                        }
                    }
                });
        }
        out
    }
}

fn matrix(tensor: &FlexTensor, turned: bool) -> Matrix<'_> {
    let shape = tensor.layout().shape();
    let matrix = Matrix::new(values(tensor), shape[0], shape[1]);
    if turned { matrix.turned() } else { matrix }
}

#[derive(Debug)]
struct Linear;

#[derive(Clone, Debug)]
struct LinearState {
    x: FlexTensor,
    weight: FlexTensor,
    precision: Precision,
}

/// `x W^T + b`: `x` is `rows x in`, `weight` `out x in` as Hugging Face stores it, `bias` `out`.
///
/// # Panics
/// If a tensor is not on the CPU's autodiff device.
#[must_use]
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, precision: Precision) -> Tensor<2> {
    let (x, weight, bias) = (node(x), node(weight), node(bias));
    let guards = [x.node(), weight.node(), bias.node()];
    let (x, weight) = (x.into_primitive(), weight.into_primitive());
    let bias = bias.into_primitive().to_contiguous();
    let out = precision.product((&x, false), (&weight, true), Some(values(&bias)));
    wrap(
        match Linear
            .prepare::<NoCheckpointing>(guards)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(
                LinearState {
                    x,
                    weight,
                    precision,
                },
                out,
            ),
            OpsKind::UnTracked(prep) => prep.finish(out),
        },
    )
}

impl Backward<Flex, 3> for Linear {
    type State = LinearState;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let LinearState {
            x,
            weight,
            precision,
        } = ops.state;
        let [x_node, weight_node, bias_node] = ops.parents;
        if let Some(node) = bias_node {
            let width = weight.layout().shape()[0];
            grads.register::<Flex>(
                node.id,
                from_values(column_sums(values(&grad), width), &[width]),
            );
        }
        if let Some(node) = weight_node {
            grads.register::<Flex>(node.id, precision.product((&grad, true), (&x, false), None));
        }
        if let Some(node) = x_node {
            grads.register::<Flex>(
                node.id,
                precision.product((&grad, false), (&weight, false), None),
            );
        }
    }
}
// ---------------------------------------------------------------- activation

#[derive(Debug)]
struct QuickGelu;

/// Applies the activation element by element.
///
/// # Panics
/// If the tensor is not on the CPU's autodiff device.
#[must_use]
pub fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    match activation {
        Activation::QuickGelu => quick_gelu(x),
        Activation::Gelu => burn::tensor::activation::gelu(x),
    }
}

fn quick_gelu(x: Tensor<2>) -> Tensor<2> {
    let x = node(x);
    let guards = [x.node()];
    let x = x.into_primitive().to_contiguous();
    let shape = dims(&x);
    let mut out = vec![0.0_f32; values(&x).len()];
    (values(&x).par_chunks(8192), out.par_chunks_mut(8192))
        .into_par_iter()
        .for_each(|(x, out)| {
            vectorized(
                #[inline(always)]
                || {
                    for (o, &x) in out.iter_mut().zip(x) {
                        *o = x / (1.0 + exp(-1.702 * x));
                    }
                },
            );
        });
    let out = from_values(out, &shape);
    wrap(
        match QuickGelu
            .prepare::<NoCheckpointing>(guards)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(x, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        },
    )
}

impl Backward<Flex, 1> for QuickGelu {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [Some(node)] = ops.parents else { return };
        let shape = dims(&grad);
        let mut dx = vec![0.0_f32; values(&grad).len()];
        (
            values(&ops.state).par_chunks(8192),
            values(&grad).par_chunks(8192),
            dx.par_chunks_mut(8192),
        )
            .into_par_iter()
            .for_each(|(x, grad, dx)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for ((o, &x), &d) in dx.iter_mut().zip(x).zip(grad) {
                            let s = 1.0 / (1.0 + exp(-1.702 * x));
                            *o = d * s * (1.702 * x * (1.0 - s) + 1.0);
                        }
                    },
                );
            });
        grads.register::<Flex>(node.id, from_values(dx, &shape));
    }
}
