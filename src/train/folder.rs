//! A run's weights as a checkpoint folder in Hugging Face's layout, which `aglet model export` takes.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::checkpoint::{self, CheckpointError, Precision};
use super::dataset::{MEAN, STD};
use super::fit::State;
use super::lora;
use super::network::{ClipConfig, Parameters};

/// Which of a checkpoint's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// As the last step left them.
    Last,
    /// Averaged over the last steps.
    Average,
    /// Averaged, at the validation that the watched figure liked best.
    Best,
}

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{path}: {reason}")]
    Config { path: PathBuf, reason: String },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Writes the four files of a checkpoint folder. `vocabulary` is the text of its `tokenizer.json`.
///
/// # Errors
/// If a file cannot be written.
pub fn write(
    folder: &Path,
    config: &ClipConfig,
    parameters: &Parameters,
    vocabulary: &str,
    precision: Precision,
) -> Result<(), FolderError> {
    let io = |path: PathBuf| move |source| FolderError::Io { path, source };
    std::fs::create_dir_all(folder).map_err(io(folder.into()))?;
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(io(path))
    };
    let pretty = |value: &serde_json::Value| format!("{value:#}\n");
    put("config.json", &pretty(&config.to_hugging_face()))?;
    put("preprocessor_config.json", &pretty(&preprocessor(config)))?;
    put("tokenizer.json", vocabulary)?;
    Ok(checkpoint::write_weights(&folder.join("model.safetensors"), parameters, precision)?)
}

/// `aglet_fit` says what Hugging Face's own fields cannot: the photo is padded to a white square.
fn preprocessor(config: &ClipConfig) -> serde_json::Value {
    let square = json!({"height": config.image_size, "width": config.image_size});
    json!({
        "image_processor_type": "CLIPImageProcessor", "do_resize": true, "do_rescale": true, "do_normalize": true,
        "do_center_crop": false, "do_convert_rgb": true, "resample": 3, "rescale_factor": 1.0 / 255.0,
        "size": square, "crop_size": square, "image_mean": MEAN, "image_std": STD, "aglet_fit": "pad",
    })
}

/// The configuration and the weights of a run's folder.
///
/// # Errors
/// If a file is missing, broken or does not fit.
pub fn read_run(run: &Path, which: Which) -> Result<(ClipConfig, Parameters), FolderError> {
    let config = read_config(run)?;
    let mut parameters = Parameters::random(&config, 0);
    let (file, prefix) = match which {
        Which::Last => ("last.safetensors", "weights."),
        Which::Average => ("last.safetensors", "average."),
        Which::Best => ("best.safetensors", ""),
    };
    let path = run.join(file);
    let (mut arrays, metadata) = checkpoint::read(&path)?;
    checkpoint::fill(&path, &mut arrays, prefix, &mut parameters)?;
    if which != Which::Best {
        // The best weights were written merged.
        let scale = State::parse(&path, &metadata)?.adapters;
        for (name, mut found) in arrays {
            if let Some(name) = name.strip_prefix(prefix).filter(|n| lora::is_adapter(n)) {
                name.clone_into(&mut found.name);
                parameters.0.push(found);
            }
        }
        parameters = scale.map_or_else(|| parameters.clone(), |scale| lora::merged(&parameters, scale));
    }
    Ok((config, parameters))
}

/// The configuration and the weights of a checkpoint folder in Hugging Face's layout.
///
/// # Errors
/// If a file is missing, broken or does not fit.
pub fn read(folder: &Path) -> Result<(ClipConfig, Parameters), FolderError> {
    let config = read_config(folder)?;
    let mut parameters = Parameters::random(&config, 0);
    let path = folder.join("model.safetensors");
    let (mut arrays, _) = checkpoint::read(&path)?;
    checkpoint::fill(&path, &mut arrays, "", &mut parameters)?;
    Ok((config, parameters))
}

fn read_config(folder: &Path) -> Result<ClipConfig, FolderError> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|source| FolderError::Io { path: path.clone(), source })?;
    let value = serde_json::from_str(&text).map_err(|source| FolderError::Json { path: path.clone(), source })?;
    ClipConfig::from_hugging_face(&value).map_err(|reason| FolderError::Config { path, reason })
}
