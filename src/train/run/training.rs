//! Which parts of a model are trained, and how: the recipe's section `[training]`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::model::ClipConfig;
use crate::train::net::fused::Precision;
use crate::train::net::lora::{self, Lora};
use crate::train::net::network::Hardware;
use crate::train::net::parameters::{LOGIT_BIAS, LOGIT_SCALE, Parameters};
use crate::train::optim::loss::{self, LossKind};
use crate::train::optim::optimizer::Treatment;

/// Which parts of the model are trained, and how much slower the layers far from the output move.
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
    /// Cut off a photo's white margins before it is padded to a square; by default as the
    /// model that is fine-tuned has it, else not.
    pub trim: Option<bool>,
    /// Edges in pixels of the squares whose middle the model sees in validation and in the server; a
    /// photo's embedding is the mean of theirs, and costs as many times what one does. Crops are drawn from all of a photo, and show a product larger than that does: 8/7
    /// of the input is the scale of crops of 3/4 to all of an edge (arXiv 1906.06423). By default as the model
    /// that is fine-tuned has it, else all of a photo, once.
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

/// The rules that do not hold.
pub(super) fn broken<const N: usize>(rules: [(bool, &str); N]) -> Vec<String> {
    rules
        .into_iter()
        .filter(|(holds, _)| !holds)
        .map(|(_, rule)| rule.to_owned())
        .collect()
}

impl Training {
    /// Everything that is wrong, one line each.
    pub(super) fn problems(&self) -> Vec<String> {
        broken([
            (
                self.image_size
                    .is_none_or(|size| (16..=1024).contains(&size)),
                "training.image_size is 16 to 1024",
            ),
            (
                self.views.iter().flatten().all(|&edge| edge <= 2048),
                "training.views are at most 2048",
            ),
            (
                self.device.built(),
                "training.device = \"gpu\" needs a build with the cargo feature gpu (or vulkan)",
            ),
            (
                self.layer_decay > 0.0 && self.layer_decay <= 1.0,
                "training.layer_decay is in (0, 1]",
            ),
            (
                self.vision || self.text || self.projections || self.logit_scale,
                "training: something has to be trained",
            ),
            (
                self.lora.is_none() || self.vision || self.text,
                "training.lora needs a tower that is trained",
            ),
        ])
    }

    /// Whether a parameter gets a gradient at all.
    #[must_use]
    pub fn moves(&self, name: &str) -> bool {
        let beside_pairs = lora::is_adapter(name) || matches!(name, LOGIT_SCALE | LOGIT_BIAS);
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

    /// The scale of low-rank pairs.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.lora.as_ref().map_or(1.0, Lora::scale)
    }

    /// Adds to the model's weights what training needs beside them: the low-rank pairs, the loss's
    /// bias.
    pub fn begin(&self, kind: LossKind, parameters: &mut Parameters, seed: u64) {
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
            .any(|p| p.name == LOGIT_BIAS || lora::is_adapter(&p.name));
        if !extra {
            return Cow::Borrowed(parameters);
        }
        let mut merged = lora::merged(parameters, self.scale());
        merged.0.retain(|p| p.name != LOGIT_BIAS);
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
        (config.vision.tower.layers, rest)
    } else if let Some(rest) = name.strip_prefix("text_model.") {
        (config.text.tower.layers, rest)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clip_config::{Activation, Pooling, TextTower, Tower, VisionTower};

    #[test]
    fn frozen_parts_stand_still_and_early_layers_move_less() {
        let tower = Tower {
            width: 8,
            layers: 2,
            heads: 1,
            feed_forward: 8,
            activation: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        };
        let config = ClipConfig {
            text: TextTower {
                tower: tower.clone(),
                vocabulary: 10,
                context_length: 4,
                pooling: Pooling::HighestId,
            },
            vision: VisionTower {
                tower,
                image_size: 4,
                patch_size: 2,
            },
            projection: 8,
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
            [down.as_str(), "logit_scale", LOGIT_BIAS]
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
        assert!(fixed.moves(&down) && !fixed.moves("logit_scale") && !fixed.moves(LOGIT_BIAS));
    }
}
