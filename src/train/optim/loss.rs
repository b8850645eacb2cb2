//! The losses that draw a photo's embedding to the embeddings of the words that are true of it.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::train::data::truth::Truth;
use crate::train::net::parameters::{LOGIT_BIAS, LOGIT_SCALE, Parameter, Parameters};

/// How images and words, and long and short captions, are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// A softmax over the batch, CLIP's (see [`contrastive`]).
    #[default]
    Contrastive,
    /// Each pair on its own, SigLIP's (see [`siglip`]).
    Siglip,
}

/// Sets the loss's own parameters to their first values: SigLIP's temperature to 10 and its bias to
/// -10 (arXiv 2303.15343, section 3.2), so that the many pairs that do not belong together cost
/// little at first. CLIP's loss keeps the temperature that is there.
pub fn begin(kind: LossKind, parameters: &mut Parameters) {
    parameters.0.retain(|p| p.name != LOGIT_BIAS);
    if kind == LossKind::Siglip {
        if let Some(scale) = parameters.get_mut(LOGIT_SCALE) {
            scale.values[0] = 10.0_f32.ln();
        }
        parameters.0.push(Parameter {
            name: LOGIT_BIAS.to_owned(),
            shape: vec![1],
            values: vec![-10.0],
        });
    }
}

/// The symmetric contrastive loss: cross-entropy of each row against the columns and of each column
/// against the rows, averaged. `a` and `b` are unit embeddings, `logit_scale` the temperature's
/// logarithm (one value).
#[must_use]
pub fn contrastive(
    a: Tensor<2>,
    b: Tensor<2>,
    logit_scale: Tensor<1>,
    truth: &Truth,
    device: &Device,
) -> Tensor<1> {
    let sizes = [truth.rows, truth.columns];
    let target =
        |by_row| Tensor::<2>::from_data(TensorData::new(truth.shares(by_row), sizes), device);
    let logits = a.matmul(b.transpose()) * logit_scale.exp().reshape([1, 1]);
    let rows = (target(true) * log_softmax(logits.clone(), 1)).sum();
    let columns = (target(false) * log_softmax(logits, 0)).sum();
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    let (per_row, per_column) = (-0.5 / truth.rows as f32, -0.5 / truth.columns as f32);
    rows.mul_scalar(per_row) + columns.mul_scalar(per_column)
}

/// SigLIP's loss (arXiv 2303.15343): each pair is judged on its own; `-sum_ij log sigmoid(z_ij (exp(logit_scale) a_i.b_j + bias)) / rows`, with `z` 1 for
/// the pairs that `truth` knows (several in a row, where one caption is true of several products)
/// and -1 for all others.
#[must_use]
pub fn siglip(
    a: Tensor<2>,
    b: Tensor<2>,
    logit_scale: Tensor<1>,
    bias: Tensor<1>,
    truth: &Truth,
    device: &Device,
) -> Tensor<1> {
    let signs: Vec<f32> = truth.pairs.iter().map(|pair| 2.0 * pair - 1.0).collect();
    let signs = Tensor::<2>::from_data(TensorData::new(signs, [truth.rows, truth.columns]), device);
    let logits = a.matmul(b.transpose()) * logit_scale.exp().reshape([1, 1]) + bias.reshape([1, 1]);
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    let per_row = -1.0 / truth.rows as f32;
    burn::tensor::activation::log_sigmoid(signs * logits)
        .sum()
        .mul_scalar(per_row)
}

/// Cross-entropy of each image over all `classes` in words: zero-shot classification (CLIP, arXiv
/// 2103.00020, section 3.1) as a loss. `images` and `words` are unit embeddings, `logit_scale` the
/// temperature's logarithm (one value), `classes` the right row of `words` for each image.
///
/// Contrast within a batch tells products apart mostly by title, category and color. Here only the
/// class counts.
#[must_use]
pub fn classification(
    images: Tensor<2>,
    words: Tensor<2>,
    logit_scale: Tensor<1>,
    classes: &[usize],
    device: &Device,
) -> Tensor<1> {
    let [rows, columns] = [classes.len(), words.dims()[0]];
    let mut right = vec![0.0_f32; rows * columns];
    for (row, &class) in right.chunks_exact_mut(columns).zip(classes) {
        row[class] = 1.0;
    }
    let right = Tensor::<2>::from_data(TensorData::new(right, [rows, columns]), device);
    let logits = images.matmul(words.transpose()) * logit_scale.exp().reshape([1, 1]);
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    let per_row = -1.0 / rows as f32;
    (right * log_softmax(logits, 1)).sum().mul_scalar(per_row)
}

/// How far unit embeddings are from the `anchors` (unit embeddings, as many) that they are to stay
/// at: the mean of `1 - cosine`, zero where nothing moved (learning without forgetting, arXiv
/// 1606.09282, in the space that is searched).
#[must_use]
pub fn drift(a: Tensor<2>, anchors: &[f32], device: &Device) -> Tensor<1> {
    let [rows, width] = a.dims();
    let anchors = Tensor::<2>::from_data(TensorData::new(anchors.to_vec(), [rows, width]), device);
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    let per_row = -1.0 / rows as f32;
    (a * anchors).sum().mul_scalar(per_row).add_scalar(1.0)
}

/// The supervised contrastive loss within one modality (SupCon, arXiv 2004.11362, its `L_out`):
/// rows of the same `label` attract each other, at the given temperature; a row alone with its
/// label takes no part.
///
/// Contrast between images and words leaves the neighborhoods among images to chance. A photo query
/// answers with a photo's neighbors, and this loss orders them.
#[must_use]
pub fn likeness<T: PartialEq>(
    a: Tensor<2>,
    labels: &[T],
    temperature: f32,
    device: &Device,
) -> Tensor<1> {
    let count = labels.len();
    let mut shares = vec![0.0_f32; count * count];
    let mut rows = 0.0_f32;
    for (row, shares) in shares.chunks_exact_mut(count).enumerate() {
        let alike: Vec<usize> = (0..count)
            .filter(|&c| c != row && labels[c] == labels[row])
            .collect();
        rows += f32::from(u8::from(!alike.is_empty()));
        for &column in &alike {
            #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
            let share = 1.0 / alike.len() as f32;
            shares[column] = share;
        }
    }
    // A row is not compared with itself: far below every other in the softmax.
    let own: Vec<f32> = (0..count * count)
        .map(|at| if at / count == at % count { -1e4 } else { 0.0 })
        .collect();
    let matrix = |values| Tensor::<2>::from_data(TensorData::new(values, [count, count]), device);
    let logits = a
        .clone()
        .matmul(a.transpose())
        .mul_scalar(1.0 / temperature)
        + matrix(own);
    (matrix(shares) * log_softmax(logits, 1))
        .sum()
        .mul_scalar(-1.0 / rows.max(1.0))
}

fn log_softmax(logits: Tensor<2>, dim: usize) -> Tensor<2> {
    burn::tensor::activation::log_softmax(logits, dim)
}
