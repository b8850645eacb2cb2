//! The weights of a CLIP at rest: plain `f32` on the host, named as in Hugging Face's `CLIPModel`, so
//! that a checkpoint goes in and out without a table of names. What is computed with them is in
//! [`super::network`].

use crate::model::ClipConfig;
use crate::model::clip_config::Tower;
use crate::train::draws::{Purpose, Stream};

/// The temperature's logarithm: cosines are multiplied by its exponential in the loss.
pub const LOGIT_SCALE: &str = "logit_scale";

/// The parameter that SigLIP's loss adds to every logit; its name in Hugging Face's `SiglipModel`.
///
/// It belongs to training alone: added to all scores of a query it changes no order and no cosine,
/// so that an exported model does without it.
pub const LOGIT_BIAS: &str = "logit_bias";

/// One named array.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// The weights at rest on the host, in a fixed order.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Parameters(pub Vec<Parameter>);

impl Parameters {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.iter().find(|p| p.name == name)
    }

    #[must_use]
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Parameter> {
        self.0.iter_mut().find(|p| p.name == name)
    }

    /// How many numbers.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().map(|p| p.values.len()).sum()
    }

    /// Random weights, spread as OpenAI's CLIP spreads them (its `initialize_parameters`).
    #[must_use]
    pub fn random(config: &ClipConfig, seed: u64) -> Self {
        let mut draws = Stream::new(seed, Purpose::Weights, 0);
        let mut list = Vec::new();
        for (name, shape, start) in layout(config) {
            let count = shape.iter().product();
            let values = match start {
                Start::Value(value) => vec![value; count],
                Start::Spread(deviation) => {
                    (0..count).map(|_| draws.normal() * deviation).collect()
                }
            };
            list.push(Parameter {
                name,
                shape,
                values,
            });
        }
        Self(list)
    }
}

enum Start {
    Value(f32),
    Spread(f32),
}

/// Name, shape and start of every parameter.
#[expect(clippy::cast_precision_loss, reason = "widths are small")]
fn layout(config: &ClipConfig) -> Vec<(String, Vec<usize>, Start)> {
    let mut list = Vec::new();
    let mut add =
        |name: String, shape: &[usize], start: Start| list.push((name, shape.to_vec(), start));
    let norm = |add: &mut dyn FnMut(String, &[usize], Start), name: &str, width: usize| {
        add(format!("{name}.weight"), &[width], Start::Value(1.0));
        add(format!("{name}.bias"), &[width], Start::Value(0.0));
    };
    let tower = |add: &mut dyn FnMut(String, &[usize], Start), prefix: &str, t: &Tower| {
        let attention = (t.width as f32).powf(-0.5);
        let output = attention * (2.0 * t.layers as f32).powf(-0.5);
        let hidden = (2.0 * t.width as f32).powf(-0.5);
        for layer in 0..t.layers {
            let at = format!("{prefix}.encoder.layers.{layer}");
            norm(add, &format!("{at}.layer_norm1"), t.width);
            for (name, spread) in [
                ("q_proj", attention),
                ("k_proj", attention),
                ("v_proj", attention),
                ("out_proj", output),
            ] {
                add(
                    format!("{at}.self_attn.{name}.weight"),
                    &[t.width, t.width],
                    Start::Spread(spread),
                );
                add(
                    format!("{at}.self_attn.{name}.bias"),
                    &[t.width],
                    Start::Value(0.0),
                );
            }
            norm(add, &format!("{at}.layer_norm2"), t.width);
            add(
                format!("{at}.mlp.fc1.weight"),
                &[t.feed_forward, t.width],
                Start::Spread(hidden),
            );
            add(
                format!("{at}.mlp.fc1.bias"),
                &[t.feed_forward],
                Start::Value(0.0),
            );
            add(
                format!("{at}.mlp.fc2.weight"),
                &[t.width, t.feed_forward],
                Start::Spread(output),
            );
            add(format!("{at}.mlp.fc2.bias"), &[t.width], Start::Value(0.0));
        }
    };
    let (v, t) = (&config.vision.tower, &config.text.tower);
    let spread = (v.width as f32).powf(-0.5);
    add(
        "vision_model.embeddings.class_embedding".into(),
        &[v.width],
        Start::Spread(spread),
    );
    let edge = config.vision.patch_size;
    let patch = [v.width, 3, edge, edge];
    add(
        "vision_model.embeddings.patch_embedding.weight".into(),
        &patch,
        Start::Spread(0.02),
    );
    let positions = [config.vision.patches() + 1, v.width];
    add(
        "vision_model.embeddings.position_embedding.weight".into(),
        &positions,
        Start::Spread(spread),
    );
    norm(&mut add, "vision_model.pre_layrnorm", v.width);
    tower(&mut add, "vision_model", v);
    norm(&mut add, "vision_model.post_layernorm", v.width);
    add(
        "visual_projection.weight".into(),
        &[config.projection, v.width],
        Start::Spread(spread),
    );
    add(
        "text_model.embeddings.token_embedding.weight".into(),
        &[config.text.vocabulary, t.width],
        Start::Spread(0.02),
    );
    add(
        "text_model.embeddings.position_embedding.weight".into(),
        &[config.text.context_length, t.width],
        Start::Spread(0.01),
    );
    tower(&mut add, "text_model", t);
    norm(&mut add, "text_model.final_layer_norm", t.width);
    let spread = (t.width as f32).powf(-0.5);
    add(
        "text_projection.weight".into(),
        &[config.projection, t.width],
        Start::Spread(spread),
    );
    add(LOGIT_SCALE.into(), &[], Start::Value((1.0_f32 / 0.07).ln()));
    list
}
