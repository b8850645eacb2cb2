//! A run's weights as a checkpoint folder in Hugging Face's layout, which `aglet model export`
//! takes.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::checkpoint::{self, CheckpointError, StoredFloat};
use super::state::State;
use crate::model::Preprocessing;
pub use crate::model::manifest::TOKENIZER;
use crate::model::manifest::WEIGHTS;
use crate::model::preprocessor::{MEAN, STD};
use crate::train::net::config::NetConfig;
use crate::train::net::lora;
use crate::train::net::parameters::Parameters;

/// A run's checkpoint: the weights, the averaged ones, and the optimizer's state.
pub const LAST: &str = "last.safetensors";
/// A run's averaged weights at the best validation.
pub const BEST: &str = "best.safetensors";

/// Which of a run's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RunWeights {
    /// As the last step left them.
    Last,
    /// Averaged over the last steps.
    Average,
    /// Averaged, at the best validation.
    Best,
}

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
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
    config: &NetConfig,
    parameters: &Parameters,
    vocabulary: &str,
    float: StoredFloat,
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
    put(TOKENIZER, vocabulary)?;
    Ok(checkpoint::write_weights(
        &folder.join(WEIGHTS),
        parameters,
        float,
    )?)
}

/// With two fields of ours for what Hugging Face's cannot express: the photo is padded to a white
/// square, with or without its own margins (`aglet_fit`), and how large that is (`aglet_views`).
fn preprocessor(config: &NetConfig) -> serde_json::Value {
    let square = json!({"height": config.image_size(), "width": config.image_size()});
    json!({
        "image_processor_type": "CLIPImageProcessor", "do_resize": true, "do_rescale": true, "do_normalize": true,
        "do_center_crop": false, "do_convert_rgb": true, "resample": 3, "rescale_factor": 1.0 / 255.0,
        "size": square, "crop_size": square, "image_mean": MEAN, "image_std": STD, "aglet_fit": config.fit(),
        "aglet_views": config.views,
    })
}

/// Writes a run's weights as a checkpoint folder; how many parameters it has.
///
/// # Errors
/// If the run cannot be read, or a file cannot be written.
pub fn export(
    run: &Path,
    to: &Path,
    which: RunWeights,
    float: StoredFloat,
) -> Result<usize, FolderError> {
    let (config, parameters) = read_run(run, which)?;
    let path = run.join(TOKENIZER);
    let vocabulary =
        std::fs::read_to_string(&path).map_err(|source| FolderError::Io { path, source })?;
    write(to, &config, &parameters, &vocabulary, float)?;
    Ok(parameters.count())
}

/// The configuration and the weights of a run's folder.
///
/// # Errors
/// If a file is missing, broken or does not fit.
pub fn read_run(run: &Path, which: RunWeights) -> Result<(NetConfig, Parameters), FolderError> {
    let config = read_config(run)?;
    let mut parameters = Parameters::random(&config.clip, 0);
    let (file, prefix) = match which {
        RunWeights::Last => (LAST, "weights."),
        RunWeights::Average => (LAST, "average."),
        RunWeights::Best => (BEST, ""),
    };
    let path = run.join(file);
    let (mut arrays, metadata) = checkpoint::read(&path)?;
    checkpoint::fill(&path, &mut arrays, prefix, &mut parameters)?;
    if which != RunWeights::Best {
        // The best weights were written merged.
        let scale = State::parse(&path, &metadata)?.adapters;
        for (name, mut found) in arrays {
            if let Some(name) = name.strip_prefix(prefix).filter(|n| lora::is_adapter(n)) {
                name.clone_into(&mut found.name);
                parameters.0.push(found);
            }
        }
        parameters = scale.map_or_else(
            || parameters.clone(),
            |scale| lora::merged(&parameters, scale),
        );
    }
    Ok((config, parameters))
}

/// Writes a run's best weights as a checkpoint folder; the averaged ones if it has no best ones.
///
/// # Errors
/// As [`export`].
pub fn write_best(run: &Path, to: &Path) -> Result<(), FolderError> {
    let which = if run.join(BEST).is_file() {
        RunWeights::Best
    } else {
        RunWeights::Average
    };
    export(run, to, which, StoredFloat::F32)?;
    Ok(())
}

/// The configuration and the weights of a checkpoint folder in Hugging Face's layout.
///
/// # Errors
/// If a file is missing, broken or does not fit, or the checkpoint was trained with another mean
/// and deviation of its pixels than CLIP's: training would show it colors that it does not know.
pub fn read(folder: &Path) -> Result<(NetConfig, Parameters), FolderError> {
    let config = read_config(folder)?;
    check_colors(folder, config.image_size())?;
    let mut parameters = Parameters::random(&config.clip, 0);
    let path = folder.join(WEIGHTS);
    let (mut arrays, _) = checkpoint::read(&path)?;
    checkpoint::fill(&path, &mut arrays, "", &mut parameters)?;
    Ok((config, parameters))
}

/// Without a `preprocessor_config.json` the constants are CLIP's.
fn check_colors(folder: &Path, image_size: usize) -> Result<(), FolderError> {
    let path = folder.join("preprocessor_config.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(FolderError::Io { path, source }),
    };
    let refused = |reason: String| FolderError::Config {
        path: path.clone(),
        reason,
    };
    let Preprocessing { mean, std, .. } =
        Preprocessing::parse(&text, image_size).map_err(|error| refused(error.to_string()))?;
    // Files round the constants to seven digits or fewer.
    let near = |found: [f32; 3], wanted: [f32; 3]| {
        found.iter().zip(wanted).all(|(f, w)| (f - w).abs() < 1e-4)
    };
    if near(mean, MEAN) && near(std, STD) {
        return Ok(());
    }
    Err(refused(format!(
        "image_mean {mean:?} and image_std {std:?} are not CLIP's ({MEAN:?}, {STD:?}), which training uses"
    )))
}

fn read_config(folder: &Path) -> Result<NetConfig, FolderError> {
    let path = folder.join("config.json");
    let text = std::fs::read(&path).map_err(|source| FolderError::Io {
        path: path.clone(),
        source,
    })?;
    NetConfig::parse(&text).map_err(|reason| FolderError::Config { path, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fit;
    use crate::train::run::recipe::Recipe;

    #[test]
    fn training_and_the_server_read_the_same_of_what_a_model_sees() {
        let folder = tempfile::tempdir().expect("a folder");
        let small = [
            "model.image_size=32",
            "model.vision.width=64",
            "model.vision.layers=1",
        ]
        .map(str::to_owned);
        for (trim, fit, views) in [
            (true, Fit::Trim, vec![32]),
            (false, Fit::Pad, vec![32]),
            (true, Fit::Trim, vec![32, 36]),
        ] {
            let recipe = Recipe::parse("", &small).expect("a recipe");
            let config = recipe
                .config(600)
                .framed(Some(trim), Some(views.clone()))
                .expect("they have middles");
            let parameters = Parameters::random(&config.clip, 1);
            write(folder.path(), &config, &parameters, "{}", StoredFloat::F32).expect("written");
            assert_eq!(
                read(folder.path()).expect("read"),
                (config.clone(), parameters)
            );
            let file =
                std::fs::read(folder.path().join("preprocessor_config.json")).expect("is there");
            let preprocessing = Preprocessing::parse(&file, 32).expect("valid");
            let edges: Vec<usize> = preprocessing
                .edges()
                .iter()
                .map(|&edge| edge as usize)
                .collect();
            assert_eq!((preprocessing.fit, edges), (fit, views));
        }
    }

    #[test]
    fn a_checkpoint_with_other_colors_than_clips_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |json: serde_json::Value| {
            std::fs::write(
                folder.path().join("preprocessor_config.json"),
                json.to_string(),
            )
            .expect("written");
            check_colors(folder.path(), 224)
        };
        check_colors(folder.path(), 224).expect("CLIP's by default");
        check(
            json!({"image_mean": [0.4815, 0.4578, 0.4082], "image_std": [0.2686, 0.2613, 0.2758]}),
        )
        .expect("rounded");
        let error = check(json!({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}))
            .expect_err("refused");
        assert!(
            error
                .to_string()
                .contains("preprocessor_config.json: image_mean [0.5, 0.5, 0.5]"),
            "{error}"
        );
        assert!(check(json!({"do_normalize": false})).is_err());
    }
}
