//! A run from its recipe: reads the base and the products, learns or copies the vocabulary, writes
//! `tokenizer.json` and `recipe.toml`, and hands back a [`Run`] that is ready to train.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fit::{self, FitError, Run};
use super::folder::{self, FolderError, TOKENIZER};
use super::products::{self, ProductsError, RunProducts, Sources};
use super::recipe::Recipe;
use crate::train::data::batch_source::BatchSource;
use crate::train::data::captions;
use crate::train::data::product::{Frame, Product};
use crate::train::data::vocabulary::{self, Vocabulary, VocabularyError};
use crate::train::net::config::NetConfig;
use crate::train::net::parameters::Parameters;
use crate::train::net::positions;

/// The recipe, as the run follows it.
pub const RECIPE: &str = "recipe.toml";

#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("training.lora needs a base: name one with --from")]
    LoraWithoutBase,
    #[error(
        "loss.keep_photos and loss.keep_words need a base and a catalog: name them with --from and --replay"
    )]
    KeepWithoutBase,
    #[error("{0}")]
    Config(String),
    #[error("the recipe cannot be written: {0}")]
    Recipe(#[from] toml::ser::Error),
    #[error(transparent)]
    Fit(#[from] FitError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Products(#[from] ProductsError),
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
}

impl BeginError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Where a run gets what from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub sources: Sources<'a>,
    /// The run's folder.
    pub out: &'a Path,
    /// A checkpoint folder to begin at, in place of random weights.
    pub from: Option<&'a Path>,
    /// Go on where the run in the folder stopped.
    pub resume: bool,
}

/// A run that is ready, and what a person should know of it.
pub struct Begun {
    pub run: Run,
    pub train: usize,
    /// Products of each list that is mixed in.
    pub mixed_in: Vec<usize>,
    pub held_out: usize,
    pub warnings: Vec<String>,
    /// The run ends after so many steps,
    pub steps: u64,
    /// or after so much time.
    pub time: Option<Duration>,
}

/// Prepares a run.
///
/// # Errors
/// When the recipe asks for a base and none is named, a file cannot be read or written, the base
/// does not fit the recipe, there are too few products, or the folder holds another run.
pub fn begin(recipe: &Recipe, inputs: Inputs<'_>) -> Result<Begun, BeginError> {
    if !inputs.resume {
        // Before anything in it is written over.
        fit::vacant(inputs.out)?;
    }
    if recipe.training.lora.is_some() && inputs.from.is_none() {
        return Err(BeginError::LoraWithoutBase);
    }
    let anchored = recipe.loss.anchored();
    if anchored.any() && (inputs.from.is_none() || inputs.sources.replay.is_none()) {
        return Err(BeginError::KeepWithoutBase);
    }
    std::fs::create_dir_all(inputs.out).map_err(BeginError::io(inputs.out))?;
    let base = base(recipe, inputs.from)?;
    let frame = match &base {
        Some((config, _)) => Frame::of(config),
        None => Frame::of(&framed(recipe, recipe.config(recipe.model.vocabulary))?),
    };
    let RunProducts {
        train,
        beside,
        held,
        warnings,
    } = products::gather(inputs.sources, recipe, frame)?;
    let context = base.as_ref().map_or(recipe.model.context, |(config, _)| {
        config.clip.text.context_length
    });
    let vocabulary = vocabulary(recipe, inputs, &train, context)?;
    let (config, from) = match base {
        Some((config, parameters)) => (config, Some(parameters)),
        None => (framed(recipe, recipe.config(vocabulary.size()))?, None),
    };
    let file = inputs.out.join(RECIPE);
    std::fs::write(&file, toml::to_string(recipe)?).map_err(BeginError::io(&file))?;
    let mixed_in = beside.iter().map(|list| list.products.len()).collect();
    let held_out = if held.general.is_empty() {
        held.products.len()
    } else {
        held.general.len()
    };
    let products = train.len();
    let mut source = BatchSource::new(
        train,
        beside,
        vocabulary,
        config.clip.clone(),
        recipe.drawing(),
    )
    .teaching(held.classes.clone());
    if let Some(base) = &from {
        source = source.anchored(base, anchored);
    }
    if recipe.loss.facts > 0.0 {
        source = source.naming();
    }
    let plan = recipe.plan(source.steps_per_epoch());
    let (steps, time) = (plan.steps, plan.time);
    let run = Run::new(plan, inputs.out, config, source, held, from, inputs.resume)?;
    Ok(Begun {
        run,
        train: products,
        mixed_in,
        held_out,
        warnings,
        steps,
        time,
    })
}

/// The base, with the input size and the views of the recipe.
fn base(
    recipe: &Recipe,
    from: Option<&Path>,
) -> Result<Option<(NetConfig, Parameters)>, BeginError> {
    let Some(from) = from else {
        return Ok(None);
    };
    let (mut config, mut parameters) = folder::read(from)?;
    if let Some(size) = recipe.training.image_size {
        (config, parameters) =
            positions::resized(&config, parameters, size).map_err(BeginError::Config)?;
    }
    Ok(Some((framed(recipe, config)?, parameters)))
}

fn framed(recipe: &Recipe, config: NetConfig) -> Result<NetConfig, BeginError> {
    config
        .framed(recipe.training.trim, recipe.training.views.clone())
        .map_err(BeginError::Config)
}

/// The vocabulary in the run's folder: the one that is there when a run is resumed, else the base's,
/// else one that is learned from the products' captions.
fn vocabulary(
    recipe: &Recipe,
    inputs: Inputs<'_>,
    train: &[Product],
    context: usize,
) -> Result<Vocabulary, BeginError> {
    let file = inputs.out.join(TOKENIZER);
    if !(inputs.resume && file.exists()) {
        if let Some(from) = inputs.from {
            let theirs = from.join(TOKENIZER);
            std::fs::copy(&theirs, &file).map_err(BeginError::io(&theirs))?;
        } else {
            let texts = captions::sample(train, recipe.run.seed);
            let learned =
                vocabulary::learn(texts.iter().map(String::as_str), recipe.model.vocabulary)?;
            std::fs::write(&file, learned).map_err(BeginError::io(&file))?;
        }
    }
    Ok(Vocabulary::open(&file, context)?)
}
