//! Measures a checkpoint on products that it was not trained on.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::evaluate::data::data_set::Side;
use crate::evaluate::data::split::held_out;
use crate::train::data::catalog;
use crate::train::data::error::DataError;
use crate::train::data::product::{Frame, Product};
use crate::train::data::set::products as set_products;
use crate::train::data::vocabulary::{Vocabulary, VocabularyError};
use crate::train::run::accuracy;
use crate::train::run::embed::Embedder;
use crate::train::run::folder::{self, FolderError, TOKENIZER};
use crate::train::run::recipe::{Recipe, RecipeError};
use crate::train::run::validate;

#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    #[error("{path}: none of the {count} products is held out")]
    NoHeldOut { path: PathBuf, count: usize },
    #[error("scores cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Data(#[from] DataError),
}

/// The scores of the checkpoint in `model`, as JSON: over the held-out products of a catalog in the
/// Kaggle layout, or over a side of a data set. With a recipe the accuracy of its attribute is among
/// them, beside what a guess from category and color reaches.
///
/// # Errors
/// When a folder or the recipe cannot be read, or there is no product to measure on.
pub fn score(
    model: &Path,
    data: &Path,
    side: Side,
    recipe: Option<&Path>,
) -> Result<String, ScoreError> {
    let (config, parameters) = folder::read(model)?;
    let context = config.clip.text.context_length;
    let vocabulary = Vocabulary::open(&model.join(TOKENIZER), context)?;
    let frame = Frame::of(&config);
    let embedder = Embedder::new(&config, &parameters, &vocabulary);
    if !data.join(Side::Train.file_name()).is_file() {
        let products = catalog::read(data, frame)?;
        let held: Vec<&Product> = products.iter().filter(|p| held_out(&p.id)).collect();
        if held.is_empty() {
            return Err(ScoreError::NoHeldOut {
                path: data.to_owned(),
                count: products.len(),
            });
        }
        return Ok(serde_json::to_string_pretty(&validate::scores(
            &embedder, &held,
        ))?);
    }
    let recipe = recipe.map(|file| Recipe::open(file, &[])).transpose()?;
    let attribute = recipe.and_then(|recipe| recipe.attribute);
    let name = attribute.as_ref().map(|attribute| attribute.name.clone());
    let list = set_products::read(data, side, name.as_deref(), frame)?;
    let products: Vec<&Product> = list.iter().collect();
    let (mut classes, mut guess) = (None, None);
    if let Some(attribute) = attribute {
        let train = set_products::read(data, Side::Train, name.as_deref(), frame)?;
        let known = set_products::classes(data, attribute, &train)?;
        guess = accuracy::guess(&known, &train, &products);
        classes = Some(known);
    }
    let scores = validate::measure(&embedder, &products, &[], classes.as_ref());
    let both = json!({"scores": scores, "guess": guess});
    Ok(serde_json::to_string_pretty(&both)?)
}
