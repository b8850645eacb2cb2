//! CLIP in burn: a vision transformer and a causal text transformer.
//!
//! The parameters live on the host ([`Parameters`]); a step binds them to autodiff leaves
//! ([`Network::bind`]), and the optimizer works on the host copy. On a CPU the copy costs about a
//! percent of a step and makes checkpoints, clipping, freezing and averaging plain loops over
//! slices.
//!
//! Patches come in cut and normalized (`rows x 3*patch*patch`), with the index of the position that
//! each holds: the patch embedding is one matrix product, and leaving patches out (FLIP, arXiv
//! 2212.00794) costs nothing. In the last layer only the pooled token is computed: nothing else of
//! that layer reaches the embedding.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::attention::{Heads, Sequence, attention};
use super::fused::{self, Precision};
use super::input::{ImageBatch, TextBatch};
use super::lora;
use super::parameters::{LOGIT_BIAS, LOGIT_SCALE, Parameter, Parameters};
use super::plain;
use crate::model::ClipConfig;
use crate::model::clip_config::Tower;
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

#[cfg(test)]
thread_local! {
    /// How often weights were copied to a device by this thread.
    pub(in crate::train) static COPIES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The weights on a device: for one step where they move, for as long as wanted where they do not.
pub struct Network {
    config: ClipConfig,
    device: Device,
    leaves: HashMap<String, Leaf>,
    /// The scale of low-rank pairs among the parameters.
    adapters: Option<f32>,
    precision: Precision,
    /// Whether the operations are [`fused`], or taken apart into burn's own.
    fused: bool,
}

/// What a step is computed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hardware {
    #[default]
    Cpu,
    /// The first GPU that wgpu knows (Vulkan, Metal, DirectX); with the cargo feature `gpu` or
    /// `vulkan` alone.
    Gpu,
}

impl Hardware {
    /// Whether this build can compute on it.
    #[must_use]
    pub fn built(self) -> bool {
        self == Self::Cpu || cfg!(feature = "gpu")
    }

    fn device(self) -> Device {
        match self {
            Self::Cpu => Device::flex(),
            #[cfg(feature = "gpu")]
            Self::Gpu => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
            #[cfg(not(feature = "gpu"))]
            Self::Gpu => {
                panic!("this build has no GPU support: recipes that ask for one are refused")
            }
        }
    }
}

struct Leaf {
    tensor: Tensor<1>,
    shape: Vec<usize>,
}

impl Network {
    /// [`Network::bind_on`] the CPU.
    #[must_use]
    pub fn bind(
        config: &ClipConfig,
        parameters: &Parameters,
        trained: impl Fn(&str) -> bool,
    ) -> Self {
        Self::bind_on(Hardware::Cpu, config, parameters, trained)
    }

    /// Copies the weights to autodiff leaves; those that `trained` refuses get no gradient.
    #[must_use]
    pub fn bind_on(
        hardware: Hardware,
        config: &ClipConfig,
        parameters: &Parameters,
        trained: impl Fn(&str) -> bool,
    ) -> Self {
        #[cfg(test)]
        COPIES.set(COPIES.get() + 1);
        let device = hardware.device().autodiff();
        let leaves = parameters
            .0
            .iter()
            .map(|p| {
                let data = TensorData::new(p.values.clone(), [p.values.len()]);
                let tensor = Tensor::<1>::from_data(data, &device);
                let tensor = if trained(&p.name) {
                    tensor.require_grad()
                } else {
                    tensor
                };
                (
                    p.name.clone(),
                    Leaf {
                        tensor,
                        shape: p.shape.clone(),
                    },
                )
            })
            .collect();
        let fused = hardware == Hardware::Cpu;
        Self {
            config: config.clone(),
            device,
            leaves,
            adapters: None,
            precision: Precision::F32,
            fused,
        }
    }

    /// Adds the low-rank pairs among the parameters, at `scale` (see [`lora`]).
    #[must_use]
    pub fn adapted(self, scale: f32) -> Self {
        Self {
            adapters: Some(scale),
            ..self
        }
    }

    /// Keeps the factors of its matrix products in this precision.
    #[must_use]
    pub fn at(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Computes by burn's own operations, as on a GPU.
    #[must_use]
    pub fn taken_apart(self) -> Self {
        Self {
            fused: false,
            ..self
        }
    }

    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The gradients in the order of `parameters`; `None` where a parameter had none.
    ///
    /// # Panics
    /// Never: gradients of `f32` weights are `f32`.
    #[must_use]
    pub fn gradients(
        &self,
        parameters: &Parameters,
        gradients: &Gradients,
    ) -> Vec<Option<Vec<f32>>> {
        let found = parameters
            .0
            .iter()
            .map(|p| self.leaves.get(p.name.as_str())?.tensor.grad(gradients));
        let values = |gradient: Tensor<1>| {
            gradient
                .try_into_vec_as::<f32>()
                .expect("gradients are f32")
        };
        if self.fused {
            return found.map(|gradient| gradient.map(values)).collect();
        }
        // A GPU is waited for at each transfer: there is one.
        let found: Vec<Option<Tensor<1>>> = found.collect();
        let all = found.iter().flatten().cloned().collect::<Vec<_>>();
        let all = if all.is_empty() {
            Vec::new()
        } else {
            values(Tensor::cat(all, 0))
        };
        let mut rest = all.as_slice();
        let mut next = |p: &Parameter| {
            let (one, others) = rest.split_at(p.values.len());
            rest = others;
            one.to_vec()
        };
        parameters
            .0
            .iter()
            .zip(&found)
            .map(|(p, gradient)| gradient.as_ref().map(|_| next(p)))
            .collect()
    }

    fn vector(&self, name: &str) -> Tensor<1> {
        self.leaves
            .get(name)
            .unwrap_or_else(|| panic!("no parameter {name}"))
            .tensor
            .clone()
    }

    /// A parameter as a matrix: the first axis, and all others as one.
    fn matrix(&self, name: &str) -> Tensor<2> {
        let leaf = self
            .leaves
            .get(name)
            .unwrap_or_else(|| panic!("no parameter {name}"));
        let rows = leaf.shape[0];
        let columns = leaf.shape[1..].iter().product();
        leaf.tensor.clone().reshape([rows, columns])
    }

    /// The temperature's logarithm, a tensor of one value.
    #[must_use]
    pub fn logit_scale(&self) -> Tensor<1> {
        self.vector(LOGIT_SCALE)
    }

    /// What is added to every logit of SigLIP's loss, a tensor of one value.
    ///
    /// # Panics
    /// If the parameters have none.
    #[must_use]
    pub fn logit_bias(&self) -> Tensor<1> {
        self.vector(LOGIT_BIAS)
    }

    fn norm(&self, name: &str, x: Tensor<2>) -> Tensor<2> {
        let (weight, bias) = (
            self.vector(&format!("{name}.weight")),
            self.vector(&format!("{name}.bias")),
        );
        let norm = if self.fused {
            fused::layer_norm
        } else {
            plain::layer_norm
        };
        let tower = if name.starts_with("text_model") {
            &self.config.text.tower
        } else {
            &self.config.vision.tower
        };
        norm(x, weight, bias, tower.layer_norm_eps)
    }

    fn linear(&self, name: &str, x: Tensor<2>) -> Tensor<2> {
        let (weight, bias) = (
            self.matrix(&format!("{name}.weight")),
            self.vector(&format!("{name}.bias")),
        );
        let (down, up) = lora::names(name);
        if !self.leaves.contains_key(down.as_str()) {
            return self.product(x, weight, bias);
        }
        let scale = self
            .adapters
            .expect("pairs take part at a scale (`adapted`), or are merged before");
        let beside = x
            .clone()
            .matmul(self.matrix(&down).transpose())
            .matmul(self.matrix(&up).transpose());
        self.product(x, weight, bias) + beside.mul_scalar(scale)
    }

    fn product(&self, x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
        if self.fused {
            fused::linear(x, weight, bias, self.precision)
        } else {
            plain::linear(x, weight, bias)
        }
    }

    /// A linear layer without a bias.
    fn projected(&self, name: &str, x: Tensor<2>) -> Tensor<2> {
        let weight = self.matrix(name);
        let none = Tensor::zeros([weight.dims()[0]], &self.device);
        self.product(x, weight, none)
    }

    pub(in crate::train) fn ints(&self, values: impl Iterator<Item = usize>) -> Tensor<1, Int> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            reason = "row numbers of a batch"
        )]
        let values: Vec<i32> = values.map(|v| v as i32).collect();
        let count = values.len();
        Tensor::from_data(TensorData::new(values, [count]), &self.device)
    }

    /// Unit embeddings, `images x projection`.
    ///
    /// # Panics
    /// If the batch's arrays do not have its sizes.
    #[must_use]
    pub fn image(&self, batch: &ImageBatch) -> Tensor<2> {
        let config = &self.config;
        let (images, kept, width) = (batch.images, batch.kept, config.vision.tower.width);
        let pixels = 3 * config.vision.patch_size.pow(2);
        let patches = TensorData::new(batch.patches.clone(), [images * kept, pixels]);
        let patches = Tensor::<2>::from_data(patches, &self.device);
        let positions = self.matrix("vision_model.embeddings.position_embedding.weight");
        let at = self.ints(batch.positions.iter().map(|&p| p as usize + 1));
        let x = self.projected("vision_model.embeddings.patch_embedding.weight", patches);
        let x = x + if self.fused {
            positions.clone().select(0, at)
        } else {
            plain::rows(positions.clone(), at)
        };
        let class = self
            .vector("vision_model.embeddings.class_embedding")
            .reshape([1, 1, width])
            + positions.slice_dim(0, 0..1).reshape([1, 1, width]);
        let x = Tensor::cat(
            vec![
                class.expand([images, 1, width]),
                x.reshape([images, kept, width]),
            ],
            1,
        );
        let tokens = kept + 1;
        let x = self.norm(
            "vision_model.pre_layrnorm",
            x.reshape([images * tokens, width]),
        );
        let sequences: Vec<Range<usize>> =
            (0..images).map(|i| i * tokens..(i + 1) * tokens).collect();
        let x = self.tower(
            "vision_model",
            &config.vision.tower,
            x,
            &sequences,
            Pooled::First,
        );
        self.embed("vision_model.post_layernorm", "visual_projection.weight", x)
    }

    /// Unit embeddings, `texts x projection`.
    ///
    /// # Panics
    /// If a length is 0 or above the context.
    #[must_use]
    pub fn text(&self, batch: &TextBatch) -> Tensor<2> {
        let config = &self.config;
        let padded = plain::pad(
            batch.lengths.iter().copied().max().unwrap_or(0),
            config.text.context_length,
        );
        let (mut ids, mut places, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        for (text, &length) in batch.ids.chunks(batch.length.max(1)).zip(&batch.lengths) {
            assert!(
                (1..=config.text.context_length).contains(&length),
                "a text of {length} tokens"
            );
            let rows = if self.fused { length } else { padded };
            sequences.push(ids.len()..ids.len() + length);
            ids.extend(
                text[..length]
                    .iter()
                    .map(|&id| id as usize)
                    .chain(std::iter::repeat_n(0, rows - length)),
            );
            places.extend(0..rows);
        }
        let tokens = self
            .matrix("text_model.embeddings.token_embedding.weight")
            .select(0, self.ints(ids.into_iter()));
        let (table, places) = (
            self.matrix("text_model.embeddings.position_embedding.weight"),
            self.ints(places.into_iter()),
        );
        let x = tokens
            + if self.fused {
                table.select(0, places)
            } else {
                plain::rows(table, places)
            };
        let x = self.tower(
            "text_model",
            &config.text.tower,
            x,
            &sequences,
            Pooled::Last,
        );
        self.embed("text_model.final_layer_norm", "text_projection.weight", x)
    }

    fn embed(&self, norm: &str, projection: &str, pooled: Tensor<2>) -> Tensor<2> {
        let x = self.projected(projection, self.norm(norm, pooled));
        let length = (x.clone() * x.clone()).sum_dim(1).sqrt();
        x / length
    }

    /// The layers of a tower over sequences that lie one after the other; returns the pooled row of
    /// each.
    #[expect(
        clippy::many_single_char_names,
        reason = "queries, keys, values and hidden states, as in the papers"
    )]
    fn tower(
        &self,
        prefix: &str,
        tower: &Tower,
        mut x: Tensor<2>,
        sequences: &[Range<usize>],
        pooled: Pooled,
    ) -> Tensor<2> {
        #[expect(clippy::cast_precision_loss, reason = "widths are small")]
        let scale = ((tower.width / tower.heads) as f32).powf(-0.5);
        let heads = Heads {
            count: tower.heads,
            scale,
            causal: pooled == Pooled::Last,
        };
        let all: Arc<[Sequence]> = sequences
            .iter()
            .map(|s| Sequence {
                queries: s.clone(),
                keys: s.clone(),
            })
            .collect();
        let one = |(at, s): (usize, &Range<usize>)| Sequence {
            queries: at..at + 1,
            keys: s.clone(),
        };
        let ends: Arc<[Sequence]> = sequences.iter().enumerate().map(one).collect();
        for layer in 0..tower.layers {
            let at = format!("{prefix}.encoder.layers.{layer}");
            // Of the last layer nothing but the pooled rows reaches the embedding.
            let last = layer + 1 == tower.layers;
            let only = |x: Tensor<2>| {
                if last {
                    x.select(0, self.ints(sequences.iter().map(|s| pooled.of(s))))
                } else {
                    x
                }
            };
            let h = self.norm(&format!("{at}.layer_norm1"), x.clone());
            let k = self.linear(&format!("{at}.self_attn.k_proj"), h.clone());
            let v = self.linear(&format!("{at}.self_attn.v_proj"), h.clone());
            let q = self.linear(&format!("{at}.self_attn.q_proj"), only(h));
            let sequences = if last { &ends } else { &all };
            let mixed = if self.fused {
                attention(q, k, v, Arc::clone(sequences), heads)
            } else {
                plain::attention(q, k, v, sequences, heads)
            };
            x = only(x) + self.linear(&format!("{at}.self_attn.out_proj"), mixed);
            let h = self.linear(
                &format!("{at}.mlp.fc1"),
                self.norm(&format!("{at}.layer_norm2"), x.clone()),
            );
            let activate = if self.fused {
                fused::activate
            } else {
                plain::activate
            };
            x = x + self.linear(&format!("{at}.mlp.fc2"), activate(h, tower.activation));
        }
        x
    }
}

/// Which row of a sequence becomes its embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pooled {
    /// A photo's class token, which sees all others.
    First,
    /// A text's end, which sees what comes before, as every token of a text does.
    Last,
}

impl Pooled {
    fn of(self, sequence: &Range<usize>) -> usize {
        match self {
            Self::First => sequence.start,
            Self::Last => sequence.end - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clip_config::{Activation, Pooling, TextTower, VisionTower};
    use crate::train::draws::{Purpose, Stream};

    /// What a GPU computes is what the CPU does: embeddings and gradients of photos and texts of
    /// many lengths.
    #[test]
    fn operations_taken_apart_are_the_fused_ones() {
        let tower = |width, activation| Tower {
            width,
            layers: 2,
            heads: 2,
            feed_forward: width * 2,
            activation,
            layer_norm_eps: 1e-5,
        };
        let config = ClipConfig {
            vision: VisionTower {
                tower: tower(24, Activation::QuickGelu),
                image_size: 12,
                patch_size: 4,
            },
            text: TextTower {
                tower: tower(16, Activation::Gelu),
                vocabulary: 40,
                context_length: 9,
                pooling: Pooling::EndOfText(39),
            },
            projection: 8,
        };
        let parameters = Parameters::random(&config, 2);
        let mut draws = Stream::new(2, Purpose::Batch, 0);
        let (images, kept) = (3, 9);
        let batch = ImageBatch {
            images,
            kept,
            patches: (0..images * kept * 48).map(|_| draws.normal()).collect(),
            positions: (0..27).map(|at| at % 9).collect(),
        };
        let texts = TextBatch::new(&[
            vec![38, 39],
            vec![38, 1, 2, 3, 4, 5, 6, 7, 39],
            vec![38, 9, 10, 39],
        ]);
        let run = |network: Network| {
            let (a, b) = (network.image(&batch), network.text(&texts));
            let gradients = (a.clone() * b.clone()).sum().backward();
            let values = |t: Tensor<2>| t.try_into_vec_as::<f32>().expect("f32");
            let mut all = vec![values(a), values(b)];
            all.extend(
                network
                    .gradients(&parameters, &gradients)
                    .into_iter()
                    .flatten(),
            );
            all
        };
        let bind = || Network::bind(&config, &parameters, |_| true);
        let (fused, apart) = (run(bind()), run(bind().taken_apart()));
        assert_eq!(fused.len(), apart.len());
        for (fused, apart) in fused.iter().zip(&apart) {
            let size = fused.iter().fold(1e-3_f32, |m, v| m.max(v.abs()));
            assert!(
                fused
                    .iter()
                    .zip(apart)
                    .all(|(f, a)| (f - a).abs() < 1e-4 * size)
            );
        }
    }
}
