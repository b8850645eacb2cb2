//! What a network is: the sizes of its two towers ([`ClipConfig`], as serving reads them), and which
//! part of a photo it sees.
//!
//! `config.json` has two fields of ours for the second, `aglet_fit` and `aglet_views`. Without them a
//! model sees all of a photo, once.

use serde_json::Value;

use crate::model::clip_config::{Activation, Tower};
use crate::model::{ClipConfig, Fit, Preprocessing};

/// The configuration of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct NetConfig {
    pub clip: ClipConfig,
    /// White margins are cut off before a photo is padded to a square ([`Fit::Trim`]).
    pub trim: bool,
    /// Edges of the squares that a photo is resized to. The model sees the middle `image_size` of
    /// each, and a photo's embedding is the mean of what it sees ([`Preprocessing::views`]).
    pub views: Vec<usize>,
}

impl NetConfig {
    /// A network that sees all of a photo, once.
    #[must_use]
    pub fn new(clip: ClipConfig) -> Self {
        Self {
            views: vec![clip.vision.image_size],
            trim: false,
            clip,
        }
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// In words, if a field has a value that the network does not support.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let clip = ClipConfig::parse(json).map_err(|error| error.to_string())?;
        let fields: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let views = match &fields["aglet_views"] {
            Value::Null => None,
            views => Some(
                serde_json::from_value(views.clone())
                    .map_err(|e| format!("aglet_views is {views}: {e}"))?,
            ),
        };
        let trim = fields["aglet_fit"] == serde_json::json!(Fit::Trim);
        Self::new(clip).framed(Some(trim), views)
    }

    /// The `config.json` that [`Self::parse`] reads.
    #[must_use]
    pub fn to_hugging_face(&self) -> Value {
        let mut fields = self.clip.to_hugging_face();
        fields["aglet_fit"] = serde_json::json!(self.fit());
        fields["aglet_views"] = serde_json::json!(self.views);
        fields
    }

    /// Edge of the square input in pixels.
    #[must_use]
    pub fn image_size(&self) -> usize {
        self.clip.vision.image_size
    }

    /// How a photo becomes a square.
    #[must_use]
    pub fn fit(&self) -> Fit {
        if self.trim { Fit::Trim } else { Fit::Pad }
    }

    /// The model that sees another part of a photo; what is not given stays as it is.
    ///
    /// # Errors
    /// In words, if its input is larger than one of the squares, or there are none or too many.
    pub fn framed(self, trim: Option<bool>, views: Option<Vec<usize>>) -> Result<Self, String> {
        let (trim, views) = (trim.unwrap_or(self.trim), views.unwrap_or(self.views));
        let size = self.clip.vision.image_size;
        if let Some(edge) = views.iter().find(|&&edge| edge < size) {
            return Err(format!(
                "a square of {edge} pixels has no middle of {size} (training.views)"
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
            clip: self.clip,
            trim,
            views,
        })
    }
}

/// A tower with heads of 64 and an MLP four times as wide as itself, as OpenAI's are.
#[must_use]
pub fn tower(width: usize, layers: usize, activation: Activation) -> Tower {
    Tower {
        width,
        layers,
        heads: width / 64,
        feed_forward: width * 4,
        activation,
        layer_norm_eps: 1e-5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<NetConfig, String> {
        NetConfig::parse(json.as_bytes())
    }

    /// What training once read otherwise than serving; the authority is transformers' `CLIPConfig`.
    #[test]
    fn a_checkpoint_means_to_training_what_it_means_to_serving() {
        let same = [
            // The feed-forward width has a default of its own, whatever the tower's width.
            r#"{"model_type": "clip", "vision_config": {"hidden_size": 384, "num_attention_heads": 6},
                "text_config": {"hidden_size": 256}}"#,
            // The older `.._dict` wins over the section.
            r#"{"model_type": "clip", "vision_config_dict": {"patch_size": 16}, "vision_config": {"patch_size": 8}}"#,
            // Each tower has its own epsilon and its own activation.
            r#"{"model_type": "clip", "text_config": {"layer_norm_eps": 1e-6, "hidden_act": "gelu"}}"#,
            r#"{"model_type": "clip", "vision_config": {"image_size": [96, 96]}}"#,
            r#"{"model_type": "clip", "text_config": {"eos_token_id": 2}}"#,
        ];
        for json in same {
            let read = parse(json).expect("valid");
            let served = ClipConfig::parse(json.as_bytes()).expect("valid");
            assert_eq!(read.clip, served, "{json}");
            let written = read.to_hugging_face().to_string();
            assert_eq!(parse(&written), Ok(read), "{written}");
            assert_eq!(ClipConfig::parse(written.as_bytes()), Ok(served));
        }
        let feed_forward = parse(same[0]).expect("valid").clip;
        assert_eq!(
            (
                feed_forward.vision.tower.feed_forward,
                feed_forward.text.tower.feed_forward
            ),
            (3072, 2048)
        );
        for refused in [
            r#"{"model_type": "siglip"}"#,
            r#"{"model_type": "clip", "projection_dim": "512"}"#,
            r#"{"model_type": "clip", "text_config": {"hidden_act": 1}}"#,
            r#"{"model_type": "clip", "vision_config": {"num_channels": 1}}"#,
            r#"{"model_type": "clip", "vision_config": {"image_size": 225}}"#,
            r#"{"model_type": "clip", "vision_config": {"num_hidden_layers": 0}}"#,
        ] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn what_a_model_sees_of_a_photo_is_read_back() {
        let config = parse(r#"{"model_type": "clip"}"#).expect("valid");
        assert_eq!((config.trim, config.views.as_slice()), (false, &[224][..]));
        let framed = config
            .framed(Some(true), Some(vec![224, 256]))
            .expect("they have middles");
        assert_eq!(parse(&framed.to_hugging_face().to_string()), Ok(framed));
        assert!(parse(r#"{"model_type": "clip", "aglet_views": [100]}"#).is_err());
        assert!(parse(r#"{"model_type": "clip", "aglet_views": "all"}"#).is_err());
    }
}
