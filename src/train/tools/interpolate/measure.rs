//! What every model of a sweep is measured by: the new ability over a data set's validation side, and
//! the base's abilities over held-out products of a general catalog.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::sweep::Abilities;
use crate::evaluate::data::data_set::Side;
use crate::train::data::attribute::Classes;
use crate::train::data::catalog;
use crate::train::data::error::DataError;
use crate::train::data::product::{Frame, Product};
use crate::train::data::set::products as set_products;
use crate::train::data::vocabulary::Vocabulary;
use crate::train::net::config::NetConfig;
use crate::train::net::parameters::Parameters;
use crate::train::run::embed::Embedder;
use crate::train::run::metrics::Watch;
use crate::train::run::products::choosing;
use crate::train::run::recipe::{Recipe, RecipeError};
use crate::train::run::validate;

#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    #[error("--data needs --recipe, which names the attribute")]
    NoRecipe,
    #[error("the recipe has no [attribute], which is the ability to measure")]
    NoAttribute,
    #[error("{path}: too few products: none is held out to measure the base's abilities")]
    TooFew { path: PathBuf },
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Data(#[from] DataError),
}

/// The data that models are measured on.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// The data set whose validation side counts.
    pub set: &'a Path,
    /// The recipe whose attribute is the new ability.
    pub recipe: Option<&'a Path>,
    /// A general catalog; none: the validation side shows the base's abilities too.
    pub general: Option<&'a Path>,
}

/// Measures models with one configuration.
pub struct Measure {
    vocabulary: Vocabulary,
    classes: Classes,
    labeled: Vec<Product>,
    general: Vec<Product>,
}

impl Measure {
    /// Reads the products, in the frame of `config`.
    ///
    /// # Errors
    /// When the recipe names no attribute, the data cannot be read, or the catalog is too small.
    pub fn read(
        data: Data<'_>,
        config: &NetConfig,
        vocabulary: Vocabulary,
    ) -> Result<Self, MeasureError> {
        let recipe = Recipe::open(data.recipe.ok_or(MeasureError::NoRecipe)?, &[])?;
        let attribute = recipe.attribute.ok_or(MeasureError::NoAttribute)?;
        let (name, frame) = (Some(attribute.name.as_str()), Frame::of(config));
        let train = set_products::read(data.set, Side::Train, name, frame)?;
        let labeled = set_products::read(data.set, Side::Validation, name, frame)?;
        let classes = set_products::classes(data.set, attribute, &train)?;
        let mut general = Vec::new();
        if let Some(folder) = data.general {
            general = choosing(catalog::read(folder, frame)?, &train);
            if general.is_empty() {
                return Err(MeasureError::TooFew {
                    path: folder.to_owned(),
                });
            }
        }
        Ok(Self {
            vocabulary,
            classes,
            labeled,
            general,
        })
    }

    /// A model's abilities.
    #[must_use]
    pub fn abilities(&self, config: &NetConfig, model: &Parameters) -> Abilities {
        let own: Vec<&Product> = self.labeled.iter().collect();
        let general: Vec<&Product> = self.general.iter().collect();
        let embedder = Embedder::new(config, model, &self.vocabulary);
        let scores = validate::measure(&embedder, &own, &general, Some(&self.classes));
        // Over every product. The few "color category" queries that many products answer in full
        // move by more than the point that may be lost when one product changes places.
        let kept = [
            ("type", scores.zero_shot_category),
            ("color", scores.zero_shot_color),
            ("photo", scores.image_category),
            ("title", scores.title_recall),
        ];
        Abilities {
            ability: f64::from(Watch::Attribute.value(0.0, &scores)),
            general: BTreeMap::from(kept.map(|(name, score)| (name.to_owned(), f64::from(score)))),
        }
    }
}
