//! A base and what fine-tuning made of it, read from their folders and mixed at the best share.

use std::path::{Path, PathBuf};

use super::measure::{Data, Measure, MeasureError};
use super::mixture::{self, MixtureError};
use super::sweep::{self, Abilities, Sweep, SweepError};
use crate::train::data::vocabulary::{Vocabulary, VocabularyError};
use crate::train::net::config::NetConfig;
use crate::train::net::parameters::Parameters;
use crate::train::net::positions;
use crate::train::run::checkpoint::StoredFloat;
use crate::train::run::folder::{self, FolderError, TOKENIZER};

#[derive(Debug, thiserror::Error)]
pub enum MixError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("there is no tuned model")]
    NoTuned,
    #[error("the base and {folder} have different vocabularies")]
    Vocabularies { folder: PathBuf },
    #[error("{folder} differs from {first} in more than its weights")]
    TunedDiffer { folder: PathBuf, first: PathBuf },
    #[error("the two differ in more than their weights: {base:?} and {tuned:?}")]
    Differ {
        base: Box<NetConfig>,
        tuned: Box<NetConfig>,
    },
    #[error("several alphas need --data, by which one is chosen")]
    NoData,
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    #[error(transparent)]
    Mixture(#[from] MixtureError),
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error(transparent)]
    Sweep(#[from] SweepError),
}

/// What to mix, and how it is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The checkpoint folder that fine-tuning began at.
    pub base: &'a Path,
    /// Fine-tuned checkpoint folders; of several the mean.
    pub tuned: &'a [PathBuf],
    /// Shares of the tuned model to try.
    pub alphas: &'a [f32],
    /// How far the text tower goes, as a share of alpha.
    pub text_share: f32,
    /// Points that each of the base's abilities may lose.
    pub most_lost: f64,
    /// What is measured; without it one alpha is taken as it is.
    pub data: Option<Data<'a>>,
}

/// The chosen mixture.
pub struct Mixed {
    config: NetConfig,
    model: Parameters,
    vocabulary: String,
    pub alpha: f32,
    /// The base's abilities at its own input, where the tuned model has another.
    pub before: Option<Abilities>,
    pub sweep: Option<Sweep>,
}

impl Mixed {
    /// Writes the mixture as a checkpoint folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, to: &Path, float: StoredFloat) -> Result<(), FolderError> {
        folder::write(to, &self.config, &self.model, &self.vocabulary, float)
    }
}

/// Reads the models, brings the base to the tuned model's input, and mixes them at the share that
/// `request` chooses. `progress` hears what is being done.
///
/// # Errors
/// When a folder cannot be read, the models have different parameters, or there are several shares and no
/// data to choose by.
pub fn mix(request: Request<'_>, mut progress: impl FnMut(&str)) -> Result<Mixed, MixError> {
    let vocabulary = words(request.base)?;
    let (mut base_config, mut base) = folder::read(request.base)?;
    let (config, tuned) = tuned(request.tuned, &vocabulary)?;
    // Older configurations name the token that ends a text in another way; the tokenizers are the
    // same.
    base_config.clip.text.pooling = config.clip.text.pooling;
    let mut own_input = None;
    if sees(&base_config) != sees(&config) {
        progress(&format!(
            "the base is brought from {} to {}",
            described(&base_config),
            described(&config)
        ));
        own_input = Some((base_config.clone(), base.clone()));
        (base_config, base) = positions::resized(&base_config, base, config.image_size())
            .map_err(MixError::Config)?;
        base_config = base_config
            .framed(Some(config.trim), Some(config.views.clone()))
            .map_err(MixError::Config)?;
    }
    if base_config != config {
        return Err(MixError::Differ {
            base: Box::new(base_config),
            tuned: Box::new(config),
        });
    }
    let mut before = None;
    let (alpha, sweep) = match (request.data, request.alphas) {
        (None, [alpha]) => (*alpha, None),
        (None, _) => return Err(MixError::NoData),
        (Some(data), alphas) => {
            let measure = |config: &NetConfig| -> Result<Measure, MixError> {
                let context = config.clip.text.context_length;
                let vocabulary = Vocabulary::parse(&vocabulary, context)?;
                Ok(Measure::read(data, config, vocabulary)?)
            };
            if let Some((config, base)) = own_input {
                progress(&format!("the base: {}", described(&config)));
                before = Some(measure(&config)?.abilities(&config, &base));
            }
            let measure = measure(&config)?;
            let found = sweep::sweep(
                &base,
                &tuned,
                alphas,
                request.text_share,
                request.most_lost,
                before.as_ref(),
                |alpha, model| {
                    progress(&format!("alpha {alpha}"));
                    Ok(measure.abilities(&config, model))
                },
            )?;
            (found.best, Some(found))
        }
    };
    Ok(Mixed {
        model: mixture::between(&base, &tuned, alpha, request.text_share)?,
        config,
        vocabulary,
        alpha,
        before,
        sweep,
    })
}

/// The mean of the tuned models, which must differ in their weights alone and have the vocabulary
/// `vocabulary`.
fn tuned(folders: &[PathBuf], vocabulary: &str) -> Result<(NetConfig, Parameters), MixError> {
    let mut config: Option<NetConfig> = None;
    let mut models = Vec::new();
    for folder in folders {
        if words(folder)? != vocabulary {
            return Err(MixError::Vocabularies {
                folder: folder.clone(),
            });
        }
        let (its, model) = folder::read(folder)?;
        if *config.get_or_insert_with(|| its.clone()) != its {
            return Err(MixError::TunedDiffer {
                folder: folder.clone(),
                first: folders[0].clone(),
            });
        }
        models.push(model);
    }
    Ok((config.ok_or(MixError::NoTuned)?, mixture::mean(&models)?))
}

fn words(folder: &Path) -> Result<String, MixError> {
    let path = folder.join(TOKENIZER);
    std::fs::read_to_string(&path).map_err(|source| MixError::Io { path, source })
}

fn sees(config: &NetConfig) -> (usize, bool, &[usize]) {
    (config.image_size(), config.trim, &config.views)
}

/// What a model sees of a photo, in words.
fn described(config: &NetConfig) -> String {
    let (size, views) = (config.image_size(), &config.views);
    let margins = if config.trim {
        "white margins cut off"
    } else {
        "all of a photo"
    };
    if *views == [size] {
        format!("{size} pixels, {margins}")
    } else {
        format!("the middle {size} of {views:?} pixels, {margins}")
    }
}
