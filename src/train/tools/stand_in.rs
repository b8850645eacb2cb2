//! A checkpoint with the files, names and shapes of FashionCLIP's and random weights, to try a recipe
//! on where the real one cannot be fetched.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::model::ClipConfig;
use crate::model::clip_config::{Activation, Pooling, TextTower, VisionTower};
use crate::model::preprocessor::{MEAN, STD};
use crate::model::tokenizer::{END, START};
use crate::train::data::product::Frame;
use crate::train::data::vocabulary::{self, VocabularyError};
use crate::train::data::{captions, drawn};
use crate::train::net::config::{self, NetConfig};
use crate::train::net::parameters::Parameters;
use crate::train::run::checkpoint::StoredFloat;
use crate::train::run::folder::{self, FolderError};

#[derive(Debug, thiserror::Error)]
pub enum StandInError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the vocabulary: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// Writes the checkpoint folder; how many parameters it has.
///
/// # Errors
/// When a file cannot be written.
pub fn write(to: &Path, seed: u64) -> Result<usize, StandInError> {
    let tower = |width| config::tower(width, 12, Activation::QuickGelu);
    let config = NetConfig::new(ClipConfig {
        text: TextTower {
            tower: tower(512),
            vocabulary: 49_408,
            context_length: 77,
            pooling: Pooling::HighestId,
        },
        vision: VisionTower {
            tower: tower(768),
            image_size: 224,
            patch_size: 32,
        },
        projection: 512,
    });
    let words = words(seed, config.clip.text.vocabulary)?;
    let parameters = Parameters::random(&config.clip, seed);
    folder::write(to, &config, &parameters, &words, StoredFloat::F32)?;
    // FashionCLIP's own files leave out what is a default.
    let fields = json!({
        "architectures": ["CLIPModel"], "model_type": "clip", "initializer_factor": 1.0, "projection_dim": 512,
        "logit_scale_init_value": 2.6592, "torch_dtype": "float32",
        "text_config": {"model_type": "clip_text_model", "eos_token_id": 2}, "vision_config": {"model_type": "clip_vision_model"},
    });
    put(&to.join("config.json"), &fields)?;
    let preprocessor = json!({
        "feature_extractor_type": "CLIPFeatureExtractor", "do_resize": true, "size": 224, "resample": 3,
        "do_center_crop": true, "crop_size": 224, "do_normalize": true, "image_mean": MEAN,
        "image_std": STD,
    });
    put(&to.join("preprocessor_config.json"), &preprocessor)?;
    Ok(parameters.count())
}

fn put(path: &Path, value: &Value) -> Result<(), StandInError> {
    std::fs::write(path, format!("{value:#}\n")).map_err(|source| StandInError::Io {
        path: path.to_owned(),
        source,
    })
}

/// A tokenizer.json whose start and end tokens have the two highest ids, as in OpenAI's. That
/// vocabulary is not available; one learned from a few captions has fewer words of the same kind, and
/// the ids between stay unused.
fn words(seed: u64, size: usize) -> Result<String, StandInError> {
    let frame = Frame {
        edge: 8,
        trim: false,
    };
    let texts = captions::sample(&drawn::drawn(seed, 400, frame), seed);
    let learned = vocabulary::learn(texts.iter().map(String::as_str), 4000)?;
    let mut json: Value = serde_json::from_str(&learned)?;
    let marks = [(START, "cls", size - 2), (END, "sep", size - 1)];
    for (at, (mark, side, id)) in marks.into_iter().enumerate() {
        json["model"]["vocab"][mark] = id.into();
        json["added_tokens"][at]["id"] = id.into();
        json["post_processor"][side][1] = id.into();
    }
    Ok(json.to_string())
}
