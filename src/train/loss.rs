//! The losses that pull an image's embedding to the embeddings of the words that are true of it.

use burn::tensor::{Device, Tensor, TensorData};

/// Which pairs of a batch belong together: `rows x columns`, 1 where they do.
///
/// A caption such as "blue tshirts" is true of every blue T-shirt in the batch. To treat the others as wrong answers
/// (as the plain loss of CLIP does) teaches the model to tell apart what the words do not; so all of them count as
/// right answers, each with an equal share (UniCL, arXiv 2204.03610; SupCon, arXiv 2004.11362).
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    pub rows: usize,
    pub columns: usize,
    pub pairs: Vec<f32>,
}

impl Truth {
    /// # Panics
    /// If a row or a column belongs to nothing: it would have no right answer.
    #[must_use]
    pub fn new(rows: usize, columns: usize, belongs: impl Fn(usize, usize) -> bool) -> Self {
        let pairs: Vec<f32> =
            (0..rows * columns).map(|at| f32::from(u8::from(belongs(at / columns, at % columns)))).collect();
        let truth = Self { rows, columns, pairs };
        assert!(truth.shares(true).iter().all(|s| s.is_finite()), "a row without a partner");
        assert!(truth.shares(false).iter().all(|s| s.is_finite()), "a column without a partner");
        truth
    }

    /// The pairs with each row (or each column) summing to one.
    fn shares(&self, by_row: bool) -> Vec<f32> {
        let group = |at: usize| if by_row { at / self.columns } else { at % self.columns };
        let mut sums = vec![0.0_f32; if by_row { self.rows } else { self.columns }];
        for (at, &pair) in self.pairs.iter().enumerate() {
            sums[group(at)] += pair;
        }
        self.pairs.iter().enumerate().map(|(at, &pair)| pair / sums[group(at)]).collect()
    }
}

/// The symmetric contrastive loss: cross-entropy of each row against the columns and of each column against the
/// rows, averaged. `a` and `b` are unit embeddings, `logit_scale` the temperature's logarithm (one value).
#[must_use]
pub fn contrastive(a: Tensor<2>, b: Tensor<2>, logit_scale: Tensor<1>, truth: &Truth, device: &Device) -> Tensor<1> {
    let sizes = [truth.rows, truth.columns];
    let target = |by_row| Tensor::<2>::from_data(TensorData::new(truth.shares(by_row), sizes), device);
    let logits = a.matmul(b.transpose()) * logit_scale.exp().reshape([1, 1]);
    let rows = (target(true) * log_softmax(logits.clone(), 1)).sum();
    let columns = (target(false) * log_softmax(logits, 0)).sum();
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    let (per_row, per_column) = (-0.5 / truth.rows as f32, -0.5 / truth.columns as f32);
    rows.mul_scalar(per_row) + columns.mul_scalar(per_column)
}

/// The supervised contrastive loss within one modality (SupCon, arXiv 2004.11362, its `L_out`): rows of the same
/// `label` attract each other, at the given temperature; a row alone with its label takes no part.
///
/// Contrast between images and words leaves the images' own neighborhoods to chance: a photo's neighbors are what a
/// photo query answers with, and this is what orders them.
#[must_use]
pub fn likeness<T: PartialEq>(a: Tensor<2>, labels: &[T], temperature: f32, device: &Device) -> Tensor<1> {
    let count = labels.len();
    let mut shares = vec![0.0_f32; count * count];
    let mut rows = 0.0_f32;
    for (row, shares) in shares.chunks_exact_mut(count).enumerate() {
        let alike: Vec<usize> = (0..count).filter(|&c| c != row && labels[c] == labels[row]).collect();
        rows += f32::from(u8::from(!alike.is_empty()));
        for &column in &alike {
            #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
            let share = 1.0 / alike.len() as f32;
            shares[column] = share;
        }
    }
    // A row's likeness to itself is no answer: far below every other in the softmax.
    let own: Vec<f32> = (0..count * count).map(|at| if at / count == at % count { -1e4 } else { 0.0 }).collect();
    let matrix = |values| Tensor::<2>::from_data(TensorData::new(values, [count, count]), device);
    let logits = a.clone().matmul(a.transpose()).mul_scalar(1.0 / temperature) + matrix(own);
    (matrix(shares) * log_softmax(logits, 1)).sum().mul_scalar(-1.0 / rows.max(1.0))
}

fn log_softmax(logits: Tensor<2>, dim: usize) -> Tensor<2> {
    burn::tensor::activation::log_softmax(logits, dim)
}
