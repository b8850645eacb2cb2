//! `config.json` of a Hugging Face CLIP checkpoint: the architecture of its two towers, read and
//! written. Serving and training read it here, so that a checkpoint means the same to both.
//!
//! Fields that are left out take the defaults of transformers' `CLIPConfig`. Refuses what neither
//! the graph writer nor the training network can express: other model types (SigLIP and the like),
//! other activations, images that are not square.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Both towers, and the length of the embeddings that they share.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipConfig {
    pub text: TextTower,
    pub vision: VisionTower,
    /// Length of an embedding.
    pub projection: usize,
}

/// What both towers have: a pre-norm transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct Tower {
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    /// Width of the hidden layer of each feed-forward block.
    pub feed_forward: usize,
    pub activation: Activation,
    pub layer_norm_eps: f32,
}

/// Between the two layers of a feed-forward block, by its name in `hidden_act`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`, OpenAI's CLIP.
    QuickGelu,
    /// The exact `x * Phi(x)`, with erf; LAION's.
    Gelu,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TextTower {
    pub tower: Tower,
    pub vocabulary: usize,
    /// Positions, start and end tokens included.
    pub context_length: usize,
    /// Where the tower is pooled.
    pub pooling: Pooling,
}

/// The `eos_token_id` of checkpoints older than transformers 4.31, which is not the end's id.
const HIGHEST_ID: u32 = 2;

/// The token whose first occurrence the text tower is pooled at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// This id.
    EndOfText(u32),
    /// The highest id in the text. Checkpoints older than transformers 4.31 say `eos_token_id: 2`
    /// and mean this.
    HighestId,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VisionTower {
    pub tower: Tower,
    /// Edge of the square image in pixels.
    pub image_size: usize,
    pub patch_size: usize,
}

impl VisionTower {
    /// Patches along one edge.
    #[must_use]
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patches of a whole image.
    #[must_use]
    pub fn patches(&self) -> usize {
        self.grid().pow(2)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{0}")]
    Json(String),
    #[error(
        "the model type is {found:?}: only CLIP checkpoints in Hugging Face's layout are supported (not SigLIP, BLIP, ..)"
    )]
    ModelType { found: String },
    #[error("`{field}` is {found}, which is not supported (expected {expected})")]
    Value {
        field: String,
        found: String,
        expected: &'static str,
    },
}

impl ClipConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// [`ConfigError`] for broken JSON and for every architecture that is not a CLIP as described
    /// above.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let root: Map<String, Value> =
            serde_json::from_slice(json).map_err(|e| ConfigError::Json(e.to_string()))?;
        check_type(&root)?;
        let text = Section::new(&root, "text_config");
        let vision = Section::new(&root, "vision_config");
        let config = Self {
            text: TextTower {
                tower: text.tower(512, 8, 2048)?,
                vocabulary: text.size("vocab_size", 49408)?,
                context_length: text.size("max_position_embeddings", 77)?,
                pooling: text.pooling()?,
            },
            vision: VisionTower {
                tower: vision.tower(768, 12, 3072)?,
                image_size: vision.edge("image_size", 224)?,
                patch_size: vision.edge("patch_size", 32)?,
            },
            projection: Section {
                name: "",
                fields: root.clone(),
            }
            .size("projection_dim", 512)?,
        };
        let channels = vision.size("num_channels", 3)?;
        if channels != 3 {
            return Err(unsupported("vision_config.num_channels", &channels, "3"));
        }
        let VisionTower {
            image_size,
            patch_size,
            ..
        } = config.vision;
        if !image_size.is_multiple_of(patch_size) {
            return Err(unsupported(
                "vision_config.image_size",
                &image_size,
                "a multiple of patch_size",
            ));
        }
        Ok(config)
    }

    /// The `config.json` that [`Self::parse`] reads as this configuration, with the fields that
    /// transformers wants beside it.
    #[must_use]
    pub fn to_hugging_face(&self) -> Value {
        let last = self.text.vocabulary.saturating_sub(1);
        let end = match self.text.pooling {
            Pooling::EndOfText(id) => Value::from(id),
            Pooling::HighestId => Value::from(HIGHEST_ID),
        };
        let tower = |tower: &Tower| {
            json!({
                "hidden_size": tower.width, "intermediate_size": tower.feed_forward,
                "num_hidden_layers": tower.layers, "num_attention_heads": tower.heads,
                "hidden_act": tower.activation, "layer_norm_eps": tower.layer_norm_eps,
                "projection_dim": self.projection, "attention_dropout": 0.0,
            })
        };
        let mut vision = tower(&self.vision.tower);
        vision["model_type"] = "clip_vision_model".into();
        vision["image_size"] = self.vision.image_size.into();
        vision["patch_size"] = self.vision.patch_size.into();
        vision["num_channels"] = 3.into();
        let mut text = tower(&self.text.tower);
        text["model_type"] = "clip_text_model".into();
        text["vocab_size"] = self.text.vocabulary.into();
        text["max_position_embeddings"] = self.text.context_length.into();
        text["bos_token_id"] = last.saturating_sub(1).into();
        text["eos_token_id"] = end;
        text["pad_token_id"] = last.into();
        json!({
            "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": self.projection,
            "logit_scale_init_value": 2.6592, "vision_config": vision, "text_config": text,
            "torch_dtype": "float32",
        })
    }
}

fn check_type(root: &Map<String, Value>) -> Result<(), ConfigError> {
    let named = root.get("model_type").and_then(Value::as_str);
    let by_architecture = || {
        root.get("architectures")?
            .as_array()?
            .first()?
            .as_str()
            .filter(|name| !name.starts_with("CLIPModel"))
    };
    match named {
        Some("clip") => Ok(()),
        Some(other) => Err(ConfigError::ModelType {
            found: other.to_owned(),
        }),
        None => match by_architecture() {
            Some(other) => Err(ConfigError::ModelType {
                found: other.to_owned(),
            }),
            None if root.contains_key("text_config") && root.contains_key("vision_config") => {
                Ok(())
            }
            None => Err(ConfigError::ModelType {
                found: "none".to_owned(),
            }),
        },
    }
}

fn unsupported(
    field: impl Into<String>,
    found: &impl ToString,
    expected: &'static str,
) -> ConfigError {
    ConfigError::Value {
        field: field.into(),
        found: found.to_string(),
        expected,
    }
}

/// One tower's fields.
struct Section {
    name: &'static str,
    fields: Map<String, Value>,
}

impl Section {
    /// `NAME`; where the older `NAME_dict` is there too, its fields win and those it leaves out
    /// take their defaults, as in transformers.
    fn new(root: &Map<String, Value>, name: &'static str) -> Self {
        let object = |key: &str| root.get(key).and_then(Value::as_object).cloned();
        let fields = object(&format!("{name}_dict"))
            .or_else(|| object(name))
            .unwrap_or_default();
        Self { name, fields }
    }

    fn path(&self, field: &str) -> String {
        if self.name.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.name)
        }
    }

    /// The field, unless it is absent or null.
    fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// A positive integer.
    fn size(&self, field: &str, default: usize) -> Result<usize, ConfigError> {
        let Some(value) = self.get(field) else {
            return Ok(default);
        };
        let number = value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n > 0);
        number.ok_or_else(|| unsupported(self.path(field), value, "a positive integer"))
    }

    /// The edge of a square: an integer or two equal ones.
    fn edge(&self, field: &str, default: usize) -> Result<usize, ConfigError> {
        match self.get(field) {
            Some(value @ Value::Array(edges)) => match edges.as_slice() {
                [a, b] if a == b => Section {
                    name: self.name,
                    fields: Map::from_iter([(field.to_owned(), a.clone())]),
                }
                .size(field, default),
                _ => Err(unsupported(self.path(field), value, "a square")),
            },
            _ => self.size(field, default),
        }
    }

    fn tower(&self, width: usize, heads: usize, feed_forward: usize) -> Result<Tower, ConfigError> {
        let activation = match self
            .get("hidden_act")
            .map(|v| v.as_str().unwrap_or_default())
        {
            None | Some("quick_gelu") => Activation::QuickGelu,
            Some("gelu") => Activation::Gelu,
            Some(other) => {
                return Err(unsupported(
                    self.path("hidden_act"),
                    &other,
                    "quick_gelu or gelu",
                ));
            }
        };
        let eps = self.get("layer_norm_eps").map_or(Some(1e-5), Value::as_f64);
        let tower = Tower {
            width: self.size("hidden_size", width)?,
            layers: self.size("num_hidden_layers", 12)?,
            heads: self.size("num_attention_heads", heads)?,
            feed_forward: self.size("intermediate_size", feed_forward)?,
            activation,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "ONNX keeps the epsilon as f32"
            )]
            layer_norm_eps: eps
                .ok_or_else(|| unsupported(self.path("layer_norm_eps"), &"no number", "a number"))?
                as f32,
        };
        if !tower.width.is_multiple_of(tower.heads) {
            return Err(unsupported(
                self.path("num_attention_heads"),
                &tower.heads,
                "a divisor of hidden_size",
            ));
        }
        Ok(tower)
    }

    fn pooling(&self) -> Result<Pooling, ConfigError> {
        let Some(value) = self.get("eos_token_id") else {
            return Ok(Pooling::EndOfText(49407));
        };
        match value.as_u64().map(u32::try_from) {
            Some(Ok(HIGHEST_ID)) => Ok(Pooling::HighestId),
            Some(Ok(id)) => Ok(Pooling::EndOfText(id)),
            _ => Err(unsupported(
                self.path("eos_token_id"),
                value,
                "one token id",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<ClipConfig, ConfigError> {
        ClipConfig::parse(json.as_bytes())
    }

    #[test]
    fn an_almost_empty_file_is_vit_b_32() {
        let config = parse(r#"{"model_type": "clip"}"#).expect("valid");
        assert_eq!(
            (
                config.text.tower.width,
                config.text.tower.heads,
                config.text.vocabulary
            ),
            (512, 8, 49408)
        );
        assert_eq!(
            (
                config.vision.tower.width,
                config.vision.image_size,
                config.vision.grid()
            ),
            (768, 224, 7)
        );
        assert_eq!((config.projection, config.text.context_length), (512, 77));
        assert_eq!(config.text.pooling, Pooling::EndOfText(49407));
        assert_eq!(config.vision.tower.activation, Activation::QuickGelu);
    }

    #[test]
    fn the_older_dict_wins_as_in_transformers() {
        let json = r#"{"model_type": "clip", "vision_config_dict": {"patch_size": 16}, "text_config_dict": null,
            "text_config": {"eos_token_id": 2, "hidden_act": "gelu"}, "vision_config": {"patch_size": 8, "hidden_size": 96}}"#;
        let config = parse(json).expect("valid");
        assert_eq!(
            (config.vision.patch_size, config.vision.tower.width),
            (16, 768)
        );
        assert_eq!(
            (config.text.pooling, config.text.tower.activation),
            (Pooling::HighestId, Activation::Gelu)
        );
    }

    #[test]
    fn other_models_and_shapes_are_named() {
        assert_eq!(
            parse(r#"{"model_type": "siglip"}"#),
            Err(ConfigError::ModelType {
                found: "siglip".to_owned()
            })
        );
        assert!(matches!(parse("{}"), Err(ConfigError::ModelType { .. })));
        for vision in [
            r#"{"hidden_act": "relu"}"#,
            r#"{"num_attention_heads": 7}"#,
            r#"{"image_size": 225}"#,
            r#"{"image_size": [224, 192]}"#,
            r#"{"num_hidden_layers": 0}"#,
            r#"{"num_channels": 1}"#,
        ] {
            let json = format!(r#"{{"model_type": "clip", "vision_config": {vision}}}"#);
            assert!(
                matches!(parse(&json), Err(ConfigError::Value { .. })),
                "{vision}"
            );
        }
        assert!(
            parse(r#"{"model_type": "clip", "vision_config": {"image_size": [96, 96]}}"#).is_ok()
        );
    }
}
