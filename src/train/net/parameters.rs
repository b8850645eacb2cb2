//! What a CLIP is: its sizes ([`ClipConfig`], Hugging Face's `config.json`) and its weights
//! ([`Parameters`], plain `f32` on the host), named as in Hugging Face's `CLIPModel` so that a
//! checkpoint goes in and out without a table of names. What is computed with them stands in
//! [`super::network`].

use super::fused::Activation;
use crate::model::{Fit, Preprocessing};
use crate::train::draws::{Dice, Purpose};

/// Sizes of one tower.
#[derive(Clone, Debug, PartialEq)]
pub struct TowerConfig {
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    /// Width of the MLP's hidden layer.
    pub mlp: usize,
}

/// Sizes of a CLIP model.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipConfig {
    pub vision: TowerConfig,
    /// Edge of the square input in pixels.
    pub image_size: usize,
    /// White margins are cut off before a photo is padded to a square
    /// ([`crate::model::Fit::Trim`]).
    pub trim: bool,
    /// Edges of that square where the model is asked: it sees the middle `image_size` of each, and
    /// a photo's embedding is the mean of what it sees ([`crate::model::Preprocessing::views`]).
    pub views: Vec<usize>,
    /// Edge of a patch in pixels.
    pub patch: usize,
    pub text: TowerConfig,
    pub vocabulary: usize,
    /// Longest text in tokens, start and end included.
    pub context: usize,
    /// Length of an embedding.
    pub projection: usize,
    pub activation: Activation,
    /// Layer norm's epsilon.
    pub epsilon: f32,
}

impl ClipConfig {
    /// Patches of a whole image.
    #[must_use]
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch).pow(2)
    }

    /// How a photo becomes a square.
    #[must_use]
    pub fn fit(&self) -> Fit {
        if self.trim { Fit::Trim } else { Fit::Pad }
    }

    /// The model that sees another part of a photo; what is not said stays as it is.
    ///
    /// # Errors
    /// In words, if its input is larger than a square whose middle it is to see, or there is no
    /// square or too many.
    pub fn framed(self, trim: Option<bool>, views: Option<Vec<usize>>) -> Result<Self, String> {
        let (trim, views) = (trim.unwrap_or(self.trim), views.unwrap_or(self.views));
        if let Some(edge) = views.iter().find(|&&edge| edge < self.image_size) {
            return Err(format!(
                "a square of {edge} pixels has no middle of {} (training.views)",
                self.image_size
            ));
        }
        if !(1..=Preprocessing::MOST_VIEWS).contains(&views.len()) {
            return Err(format!(
                "{} views of a photo: there are 1 to {}",
                views.len(),
                Preprocessing::MOST_VIEWS
            ));
        }
        Ok(Self {
            trim,
            views,
            ..self
        })
    }

    /// Hugging Face's `config.json`; `aglet_fit` and `aglet_views` say what none of its fields can.
    #[must_use]
    pub fn to_hugging_face(&self) -> serde_json::Value {
        let (bos, eos) = (self.vocabulary - 2, self.vocabulary - 1);
        let tower = |t: &TowerConfig| {
            serde_json::json!({
                "hidden_size": t.width, "intermediate_size": t.mlp, "num_hidden_layers": t.layers,
                "num_attention_heads": t.heads, "hidden_act": self.activation, "layer_norm_eps": self.epsilon,
                "projection_dim": self.projection, "attention_dropout": 0.0,
            })
        };
        let mut vision = tower(&self.vision);
        vision["model_type"] = "clip_vision_model".into();
        vision["image_size"] = self.image_size.into();
        vision["patch_size"] = self.patch.into();
        vision["num_channels"] = 3.into();
        let mut text = tower(&self.text);
        text["model_type"] = "clip_text_model".into();
        text["vocab_size"] = self.vocabulary.into();
        text["max_position_embeddings"] = self.context.into();
        text["bos_token_id"] = bos.into();
        text["eos_token_id"] = eos.into();
        text["pad_token_id"] = eos.into();
        serde_json::json!({
            "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": self.projection,
            "logit_scale_init_value": 2.6592, "vision_config": vision, "text_config": text, "torch_dtype": "float32",
            "aglet_fit": self.fit(), "aglet_views": self.views,
        })
    }

    /// Reads `config.json`; fields that Hugging Face leaves out have `CLIPConfig`'s defaults.
    ///
    /// # Errors
    /// The reason, where a field is none that this network does.
    pub fn from_hugging_face(config: &serde_json::Value) -> Result<Self, String> {
        let number = |part: &str, field: &str, default: usize| match config[part].get(field) {
            None | Some(serde_json::Value::Null) => Ok(default),
            Some(value) => value
                .as_u64()
                .and_then(|v| usize::try_from(v).ok())
                .ok_or_else(|| format!("{part}.{field} is {value}, not a size")),
        };
        let tower = |part: &str, width, heads| {
            let tower = TowerConfig {
                width: number(part, "hidden_size", width)?,
                layers: number(part, "num_hidden_layers", 12)?,
                heads: number(part, "num_attention_heads", heads)?,
                mlp: number(part, "intermediate_size", width * 4)?,
            };
            if tower.heads == 0 || !tower.width.is_multiple_of(tower.heads) {
                return Err(format!(
                    "{part}: {} heads do not divide a width of {}",
                    tower.heads, tower.width
                ));
            }
            Ok(tower)
        };
        let activation =
            |part: &str| match config[part]["hidden_act"].as_str().unwrap_or("quick_gelu") {
                "quick_gelu" => Ok(Activation::QuickGelu),
                "gelu" => Ok(Activation::Gelu),
                other => Err(format!(
                    "{part}.hidden_act is {other}; quick_gelu and gelu are done here"
                )),
            };
        if activation("vision_config")? != activation("text_config")? {
            return Err("the towers differ in hidden_act".to_owned());
        }
        let projection = config["projection_dim"].as_u64().unwrap_or(512);
        let image_size = number("vision_config", "image_size", 224)?;
        let views = match &config["aglet_views"] {
            serde_json::Value::Null => None,
            views => Some(
                serde_json::from_value(views.clone())
                    .map_err(|e| format!("aglet_views is {views}: {e}"))?,
            ),
        };
        #[expect(clippy::cast_possible_truncation, reason = "an epsilon")]
        let config = Self {
            vision: tower("vision_config", 768, 12)?,
            image_size,
            views: vec![image_size],
            trim: config["aglet_fit"] == serde_json::json!(Fit::Trim),
            patch: number("vision_config", "patch_size", 32)?,
            text: tower("text_config", 512, 8)?,
            vocabulary: number("text_config", "vocab_size", 49_408)?,
            context: number("text_config", "max_position_embeddings", 77)?,
            projection: usize::try_from(projection).map_err(|e| e.to_string())?,
            activation: activation("text_config")?,
            epsilon: config["vision_config"]["layer_norm_eps"]
                .as_f64()
                .unwrap_or(1e-5) as f32,
        };
        config.framed(None, views)
    }
}

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
        let mut dice = Dice::new(seed, Purpose::Weights, 0);
        let mut list = Vec::new();
        for (name, shape, start) in layout(config) {
            let count = shape.iter().product();
            let values = match start {
                Start::Value(value) => vec![value; count],
                Start::Spread(deviation) => (0..count).map(|_| dice.normal() * deviation).collect(),
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
    let tower = |add: &mut dyn FnMut(String, &[usize], Start), prefix: &str, t: &TowerConfig| {
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
                &[t.mlp, t.width],
                Start::Spread(hidden),
            );
            add(format!("{at}.mlp.fc1.bias"), &[t.mlp], Start::Value(0.0));
            add(
                format!("{at}.mlp.fc2.weight"),
                &[t.width, t.mlp],
                Start::Spread(output),
            );
            add(format!("{at}.mlp.fc2.bias"), &[t.width], Start::Value(0.0));
        }
    };
    let (v, t) = (&config.vision, &config.text);
    let spread = (v.width as f32).powf(-0.5);
    add(
        "vision_model.embeddings.class_embedding".into(),
        &[v.width],
        Start::Spread(spread),
    );
    let patch = [v.width, 3, config.patch, config.patch];
    add(
        "vision_model.embeddings.patch_embedding.weight".into(),
        &patch,
        Start::Spread(0.02),
    );
    let positions = [config.patches() + 1, v.width];
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
        &[config.vocabulary, t.width],
        Start::Spread(0.02),
    );
    add(
        "text_model.embeddings.position_embedding.weight".into(),
        &[config.context, t.width],
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
    add(
        "logit_scale".into(),
        &[],
        Start::Value((1.0_f32 / 0.07).ln()),
    );
    list
}
