//! One step: a batch's loss and gradients, and how each parameter is treated.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use burn::Tensor;

use crate::train::data::batch::{Anchors, Batch, Values};
use crate::train::net::fused::Precision;
use crate::train::net::lora::{self, Lora};
use crate::train::net::network::{Hardware, Network};
use crate::train::net::parameters::{ClipConfig, Parameters};
use crate::train::optim::loss::{self, Kind};
use crate::train::optim::optimizer::Treatment;

/// The parts of a step's loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    #[serde(rename = "loss")]
    pub total: f32,
    /// Photo against long caption.
    pub described: f32,
    /// Photo against short caption.
    pub asked: f32,
    /// Long against short caption.
    pub texts: f32,
    /// Photo against photo.
    pub likeness: f32,
    /// Photo against photo, by category and label.
    #[serde(default)]
    pub labels: f32,
    /// Photo against all values of the attribute in words.
    #[serde(default)]
    pub values: f32,
    /// Photo against the names of all categories and of all colors.
    #[serde(default)]
    pub facts: f32,
    /// Photos of replayed products against what the model saw in them before.
    #[serde(default)]
    pub keep_photos: f32,
    /// Their captions against what the model read in them before.
    #[serde(default)]
    pub keep_words: f32,
}

impl Losses {
    /// The mean of several.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    pub fn mean(list: &[Self]) -> Self {
        let mean = |part: fn(&Self) -> f32| list.iter().map(part).sum::<f32>() / list.len() as f32;
        Self {
            total: mean(|l| l.total),
            described: mean(|l| l.described),
            asked: mean(|l| l.asked),
            texts: mean(|l| l.texts),
            likeness: mean(|l| l.likeness),
            labels: mean(|l| l.labels),
            values: mean(|l| l.values),
            facts: mean(|l| l.facts),
            keep_photos: mean(|l| l.keep_photos),
            keep_words: mean(|l| l.keep_words),
        }
    }
}

/// Which loss, and what its parts count beside the two between photos and words, which count a half
/// each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    pub kind: Kind,
    /// Between the long and the short caption of a product.
    pub texts: f32,
    /// Between photos of one category.
    pub likeness: f32,
    /// Between photos of one category and one value of the attribute that is learned.
    pub labels: f32,
    /// Between labeled photos and all values of that attribute in words (see
    /// [`loss::classification`]).
    pub values: f32,
    /// Between photos and the names of all categories, and of all colors: what every photo is,
    /// beside what is learned of some, so that the one does not displace the other.
    pub facts: f32,
    /// Between the embeddings of replayed photos and what these were before fine-tuning (see
    /// [`loss::drift`]): the more, the less is forgotten. Photos of categories that have labeled
    /// products are free: there the model is to see more.
    pub keep_photos: f32,
    /// The same between the captions of all replayed products.
    pub keep_words: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            kind: Kind::Contrastive,
            texts: 0.25,
            likeness: 0.25,
            labels: 0.0,
            values: 0.0,
            facts: 0.0,
            keep_photos: 0.0,
            keep_words: 0.0,
        }
    }
}

impl Weights {
    /// Whether they are weights at all.
    #[must_use]
    pub fn are_not_negative(&self) -> bool {
        let Self {
            kind: _,
            texts,
            likeness,
            labels,
            values,
            facts,
            keep_photos,
            keep_words,
        } = *self;
        [
            texts,
            likeness,
            labels,
            values,
            facts,
            keep_photos,
            keep_words,
        ]
        .iter()
        .all(|&weight| weight >= 0.0)
    }

    /// Whether anything is held to what the model said before.
    #[must_use]
    pub fn keep(&self) -> bool {
        self.keep_photos > 0.0 || self.keep_words > 0.0
    }
}

/// Which parts of the model stay as they are, and how much slower the layers far from the output
/// move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "one switch per part")]
pub struct Training {
    pub vision: bool,
    pub text: bool,
    /// The two projections into the shared space.
    pub projections: bool,
    /// The loss's temperature, and SigLIP's bias.
    pub logit_scale: bool,
    /// Factor on the learning rate for each layer further from the output (arXiv 2212.06138); 1
    /// treats all alike.
    pub layer_decay: f32,
    /// Edge of the input in pixels where it is to differ from the model's that is fine-tuned (`fit
    /// --from`).
    pub image_size: Option<usize>,
    /// Cut off a photo's white margins before it is padded to a square; when it is not said, as the
    /// model that is fine-tuned wants it, else not.
    pub trim: Option<bool>,
    /// Edges in pixels of the squares whose middle the model sees where it is asked, in validation
    /// and by the server; a photo's embedding is the mean of theirs, and costs as many times what
    /// one does. Crops are drawn from all of a photo, and show a product larger than that does: 8/7
    /// of the input is the scale of crops of 3/4 to all of an edge (arXiv 1906.06423). When it is
    /// not said, as the model that is fine-tuned wants it, else all of a photo, once.
    pub views: Option<Vec<usize>>,
    /// How the factors of the layers' matrix products are kept: "f32", or "bf16" where the
    /// processor has a unit for it.
    pub precision: Precision,
    /// What steps are computed on: "cpu", or "gpu" in a build with that feature. Validation runs on
    /// the CPU.
    pub device: Hardware,
    /// Train low-rank pairs beside the matrices of the towers that move, and nothing else but what
    /// belongs to the loss (`logit_scale`).
    pub lora: Option<Lora>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            vision: true,
            text: true,
            projections: true,
            logit_scale: true,
            layer_decay: 1.0,
            image_size: None,
            trim: None,
            views: None,
            precision: Precision::F32,
            device: Hardware::Cpu,
            lora: None,
        }
    }
}

impl Training {
    /// Whether a parameter gets a gradient at all.
    #[must_use]
    pub fn moves(&self, name: &str) -> bool {
        let beside_pairs = lora::is_adapter(name) || matches!(name, "logit_scale" | loss::BIAS);
        (self.lora.is_none() || beside_pairs) && self.takes_part(name)
    }

    fn takes_part(&self, name: &str) -> bool {
        match name.split('.').next().unwrap_or_default() {
            "vision_model" => self.vision,
            "text_model" => self.text,
            "visual_projection" | "text_projection" => self.projections,
            _ => self.logit_scale,
        }
    }

    /// What low-rank pairs count.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.lora.as_ref().map_or(1.0, Lora::scale)
    }

    /// Adds to the model's weights what training needs beside them: the low-rank pairs, the loss's
    /// bias.
    pub fn begin(&self, kind: Kind, parameters: &mut Parameters, seed: u64) {
        loss::begin(kind, parameters);
        if let Some(lora) = &self.lora {
            lora.attach(parameters, seed, |name| self.takes_part(name));
        }
    }

    /// The model's weights alone, as they are validated and exported.
    #[must_use]
    pub fn plain<'a>(&self, parameters: &'a Parameters) -> Cow<'a, Parameters> {
        let extra = parameters
            .0
            .iter()
            .any(|p| p.name == loss::BIAS || lora::is_adapter(&p.name));
        if !extra {
            return Cow::Borrowed(parameters);
        }
        let mut merged = lora::merged(parameters, self.scale());
        merged.0.retain(|p| p.name != loss::BIAS);
        Cow::Owned(merged)
    }

    /// How each parameter is treated. Weight decay applies to matrices alone: not to norms, biases,
    /// positions, the class token and the temperature.
    #[must_use]
    pub fn treatments(&self, config: &ClipConfig, parameters: &Parameters) -> Vec<Treatment> {
        let treat = |name: &str, shape: &[usize]| Treatment {
            rate: if self.moves(name) {
                self.layer_decay.powi(distance(config, name))
            } else {
                0.0
            },
            decays: shape.len() >= 2 && !name.contains("position_embedding"),
        };
        parameters
            .0
            .iter()
            .map(|p| treat(&p.name, &p.shape))
            .collect()
    }
}

/// Layers between a parameter and its tower's output: 0 for the last norm and the projections.
fn distance(config: &ClipConfig, name: &str) -> i32 {
    let (layers, rest) = if let Some(rest) = name.strip_prefix("vision_model.") {
        (config.vision.layers, rest)
    } else if let Some(rest) = name.strip_prefix("text_model.") {
        (config.text.layers, rest)
    } else {
        return 0;
    };
    let distance = if let Some(rest) = rest.strip_prefix("encoder.layers.") {
        let layer: usize = rest
            .split('.')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(layers);
        layers.saturating_sub(layer)
    } else if rest.starts_with("embeddings") || rest.starts_with("pre_layrnorm") {
        layers + 1
    } else {
        0
    };
    i32::try_from(distance).unwrap_or(i32::MAX)
}

/// Temperature of the loss between photos, as SupCon has it.
const LIKENESS_TEMPERATURE: f32 = 0.1;

/// The loss as the graph's last node, and its parts.
fn forward(network: &Network<'_>, batch: &Batch, weights: Weights) -> (Tensor<1>, Losses) {
    let image = network.image(&batch.images);
    let document = network.text(&batch.documents);
    let query = network.text(&batch.queries);
    let device = network.device();
    let pairs = |a: &Tensor<2>, b: &Tensor<2>, truth| {
        let (a, b, scale) = (a.clone(), b.clone(), network.logit_scale());
        match weights.kind {
            Kind::Contrastive => loss::contrastive(a, b, scale, truth, device),
            Kind::Siglip => loss::siglip(a, b, scale, network.logit_bias(), truth, device),
        }
    };
    let described = pairs(&image, &document, &batch.described);
    let likeness = loss::likeness(
        image.clone(),
        &batch.categories,
        LIKENESS_TEMPERATURE,
        device,
    );
    let labels = match batch.labeled.len() {
        0 | 1 => None,
        _ if weights.labels == 0.0 => None,
        _ => {
            let rows = image
                .clone()
                .select(0, network.ints(batch.labeled.iter().copied()));
            Some(loss::likeness(
                rows,
                &batch.labels,
                LIKENESS_TEMPERATURE,
                device,
            ))
        }
    };
    let classified = |values: &Values| {
        let words = network.text(&values.prompts);
        let rows = image
            .clone()
            .select(0, network.ints(values.rows.iter().copied()));
        loss::classification(rows, words, network.logit_scale(), &values.classes, device)
    };
    let values = batch
        .values
        .as_ref()
        .filter(|_| weights.values > 0.0)
        .map(classified);
    #[expect(clippy::cast_precision_loss, reason = "two")]
    let share = 1.0 / batch.facts.len() as f32;
    let facts = batch
        .facts
        .iter()
        .filter(|_| weights.facts > 0.0)
        .map(classified);
    let facts = facts
        .reduce(|sum, part| sum + part)
        .map(|sum| sum.mul_scalar(share));
    let drift = |embeddings: &Tensor<2>, anchors: &[f32], rows: &Range<usize>| {
        loss::drift(
            embeddings.clone().select(0, network.ints(rows.clone())),
            anchors,
            device,
        )
    };
    let anchors = batch.anchors.as_ref();
    let keep_photos = anchors
        .filter(|anchors| weights.keep_photos > 0.0 && !anchors.photos.is_empty())
        .map(|anchors| drift(&image, &anchors.images, &anchors.photos));
    let keep_words = anchors.filter(|_| weights.keep_words > 0.0).map(|anchors| {
        let Anchors {
            rows,
            documents,
            queries,
            ..
        } = anchors;
        (drift(&document, documents, rows) + drift(&query, queries, rows)).mul_scalar(0.5)
    });
    let asked = pairs(&image, &query, &batch.asked);
    let texts = pairs(&document, &query, &batch.asked);
    let total = (described.clone() + asked.clone()).mul_scalar(0.5)
        + texts.clone().mul_scalar(weights.texts)
        + likeness.clone().mul_scalar(weights.likeness);
    let optional = [
        (&labels, weights.labels),
        (&values, weights.values),
        (&facts, weights.facts),
        (&keep_photos, weights.keep_photos),
        (&keep_words, weights.keep_words),
    ];
    let present = optional
        .into_iter()
        .filter_map(|(part, weight)| Some(part.clone()?.mul_scalar(weight)));
    let total = present.fold(total, |total, part| total + part);
    // Fetched together: a GPU is waited for at each transfer.
    let none = || Tensor::zeros([1], device);
    let [labels, values, facts, keep_photos, keep_words] =
        [labels, values, facts, keep_photos, keep_words].map(|part| part.unwrap_or_else(none));
    let parts = vec![
        total.clone(),
        described,
        asked,
        texts,
        likeness,
        labels,
        values,
        facts,
        keep_photos,
        keep_words,
    ];
    let parts = Tensor::cat(parts, 0)
        .try_into_vec_as::<f32>()
        .expect("losses are f32");
    let [
        total_value,
        described,
        asked,
        texts,
        likeness,
        labels,
        values,
        facts,
        keep_photos,
        keep_words,
    ] = parts[..]
    else {
        unreachable!("ten losses were put together")
    };
    let losses = Losses {
        total: total_value,
        described,
        asked,
        texts,
        likeness,
        labels,
        values,
        facts,
        keep_photos,
        keep_words,
    };
    (total, losses)
}

/// A batch's loss.
#[must_use]
pub fn losses(
    config: &ClipConfig,
    parameters: &Parameters,
    batch: &Batch,
    weights: Weights,
    training: &Training,
) -> Losses {
    let network = Network::bind_on(training.device, config, parameters, |_| false)
        .adapted(training.scale())
        .at(training.precision);
    forward(&network, batch, weights).1
}

/// A batch's loss and its gradients, in the order of the parameters; `None` for those that do not
/// move.
#[must_use]
pub fn gradients(
    config: &ClipConfig,
    parameters: &Parameters,
    batch: &Batch,
    weights: Weights,
    training: &Training,
) -> (Losses, Vec<Option<Vec<f32>>>) {
    let network = Network::bind_on(training.device, config, parameters, |name| {
        training.moves(name)
    })
    .adapted(training.scale())
    .at(training.precision);
    let (total, losses) = forward(&network, batch, weights);
    let found = total.backward();
    (losses, network.gradients(parameters, &found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::net::fused::Activation;
    use crate::train::net::parameters::TowerConfig;

    #[test]
    fn frozen_parts_stand_still_and_early_layers_move_less() {
        let tower = TowerConfig {
            width: 8,
            layers: 2,
            heads: 1,
            mlp: 8,
        };
        let config = ClipConfig {
            vision: tower.clone(),
            image_size: 4,
            trim: false,
            views: vec![4],
            patch: 2,
            text: tower,
            vocabulary: 10,
            context: 4,
            projection: 8,
            activation: Activation::QuickGelu,
            epsilon: 1e-5,
        };
        let parameters = Parameters::random(&config, 1);
        let training = Training {
            text: false,
            layer_decay: 0.5,
            ..Training::default()
        };
        let treatments = training.treatments(&config, &parameters);
        let of = |name: &str| {
            let at = parameters
                .0
                .iter()
                .position(|p| p.name == name)
                .expect("a parameter");
            (treatments[at].rate, treatments[at].decays)
        };
        assert_eq!(
            of("vision_model.embeddings.patch_embedding.weight"),
            (0.125, true)
        );
        assert_eq!(
            of("vision_model.embeddings.position_embedding.weight"),
            (0.125, false)
        );
        assert_eq!(
            of("vision_model.encoder.layers.0.mlp.fc1.weight"),
            (0.25, true)
        );
        assert_eq!(
            of("vision_model.encoder.layers.1.mlp.fc1.bias"),
            (0.5, false)
        );
        assert_eq!(of("vision_model.post_layernorm.weight"), (1.0, false));
        assert_eq!(
            of("text_model.encoder.layers.1.mlp.fc1.weight"),
            (0.0, true)
        );
        assert_eq!(of("logit_scale"), (1.0, false));
    }

    #[test]
    fn low_rank_pairs_leave_the_temperature_and_the_bias_to_move() {
        let training = Training {
            lora: Some(Lora::default()),
            ..Training::default()
        };
        let (down, _) = lora::names("text_model.encoder.layers.0.self_attn.q_proj");
        assert!(
            [down.as_str(), "logit_scale", loss::BIAS]
                .iter()
                .all(|name| training.moves(name))
        );
        let still = [
            "text_model.encoder.layers.0.self_attn.q_proj.weight",
            "text_projection.weight",
        ];
        assert!(!still.iter().any(|name| training.moves(name)));
        let fixed = Training {
            logit_scale: false,
            ..training
        };
        assert!(fixed.moves(&down) && !fixed.moves("logit_scale") && !fixed.moves(loss::BIAS));
    }
}
