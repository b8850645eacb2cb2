//! The products of a run: what is trained on, what is mixed in, and what is kept from it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::fit::HeldOut;
use super::recipe::Recipe;
use crate::evaluate::data::data_set::{self, DataSetError, Side};
use crate::evaluate::data::split::{held_out, validates};
use crate::train::data::batch_source::MixedIn;
use crate::train::data::catalog;
use crate::train::data::drawn;
use crate::train::data::error::DataError;
use crate::train::data::product::{Frame, Product};
use crate::train::data::set::products as set_products;
use crate::train::data::set::templates::{TemplateError, Templates};

#[derive(Debug, thiserror::Error)]
pub enum ProductsError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Set(#[from] DataSetError),
    #[error(transparent)]
    Templates(#[from] TemplateError),
    #[error(
        "{path} is not a data set (it has no train.jsonl); make one with `aglet-train prepare`"
    )]
    NoDataSet { path: PathBuf },
    #[error(
        "{path}: the catalog is too small: of {count} products {train} are left to train on and {held} to validate on"
    )]
    TooFew {
        path: PathBuf,
        count: usize,
        train: usize,
        held: usize,
    },
    #[error("data.drawn_per_batch and data.replay_per_batch leave no room in data.batch")]
    NoRoom,
}

/// Where products come from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// A data set, or a catalog in the Kaggle layout.
    pub data: &'a Path,
    /// A general catalog beside a data set.
    pub replay: Option<&'a Path>,
}

pub struct RunProducts {
    pub train: Vec<Product>,
    pub beside: Vec<MixedIn>,
    pub held: HeldOut,
    /// What a person should know, one line each.
    pub warnings: Vec<String>,
}

/// Reads everything that the run needs, photos in this frame.
///
/// # Errors
/// When the data cannot be read, or there are too few products.
pub fn gather(
    from: Sources<'_>,
    recipe: &Recipe,
    frame: Frame,
) -> Result<RunProducts, ProductsError> {
    if from.data.join(Side::Train.file_name()).is_file() {
        of_set(from, recipe, frame)
    } else if from.replay.is_some() || recipe.attribute.is_some() {
        Err(ProductsError::NoDataSet {
            path: from.data.to_owned(),
        })
    } else {
        of_catalog(from, recipe, frame)
    }
}

/// A catalog: all of it but the held-out products, beside drawn ones.
fn of_catalog(
    from: Sources<'_>,
    recipe: &Recipe,
    frame: Frame,
) -> Result<RunProducts, ProductsError> {
    let mut products = catalog::read(from.data, frame)?;
    let mut drawn = drawn::drawn(recipe.run.seed, recipe.data.drawn, frame);
    if !recipe.data.shoelaces {
        products
            .iter_mut()
            .chain(&mut drawn)
            .for_each(|p| p.facts.shoelaces = None);
    }
    let count = products.len();
    let (products, train) = apart(products, &[], recipe);
    if products.is_empty() || train.is_empty() {
        return Err(ProductsError::TooFew {
            path: from.data.to_owned(),
            count,
            train: train.len(),
            held: products.len(),
        });
    }
    let beside = vec![MixedIn {
        products: drawn,
        per_batch: recipe.data.drawn_in_batch(),
        replayed: false,
    }];
    Ok(RunProducts {
        train,
        beside,
        warnings: Vec::new(),
        held: HeldOut {
            products,
            general: Vec::new(),
            classes: None,
        },
    })
}

/// A catalog's products by which a run is judged, none of them `trained` on, and those that may be
/// trained on. The half of the held-out ones that the models are reported on is among neither.
fn apart(
    products: Vec<Product>,
    trained: &[Product],
    recipe: &Recipe,
) -> (Vec<Product>, Vec<Product>) {
    let (held, rest) = products.into_iter().partition(|p| held_out(&p.id));
    (
        sample(choosing(held, trained), recipe.data.validation),
        rest,
    )
}

/// A data set's training side, beside products of a general catalog and drawn ones in the words of
/// the same templates.
fn of_set(from: Sources<'_>, recipe: &Recipe, frame: Frame) -> Result<RunProducts, ProductsError> {
    let name = recipe.attribute.as_ref().map(|a| a.name.as_str());
    let train = set_products::read(from.data, Side::Train, name, frame)?;
    let validation = set_products::read(from.data, Side::Validation, name, frame)?;
    let classes = recipe
        .attribute
        .clone()
        .map(|a| set_products::classes(from.data, a, &train))
        .transpose()?;
    let templates = Templates::open(&from.data.join(data_set::CAPTIONS))?;
    let phrase = |list: Vec<Product>| {
        list.into_iter()
            .map(|product| set_products::phrased(product, &templates, name))
            .collect()
    };
    let drawn = phrase(drawn::drawn(recipe.run.seed, recipe.data.drawn, frame));
    let mut beside = vec![MixedIn {
        products: drawn,
        per_batch: recipe.data.drawn_in_batch(),
        replayed: false,
    }];
    let (mut general, mut warnings) = (Vec::new(), Vec::new());
    if let Some(replay) = from.replay {
        if !recipe.data.has_room_for_replay() {
            return Err(ProductsError::NoRoom);
        }
        // A product of the data set comes from there or, where it is kept from training, not at
        // all; its labels are not known to the catalog.
        let mut own: HashSet<String> = train
            .iter()
            .chain(&validation)
            .map(|p| p.id.clone())
            .collect();
        if from.data.join(Side::Test.file_name()).is_file() {
            own.extend(
                data_set::read_side(from.data, Side::Test)?
                    .into_iter()
                    .map(|entry| entry.id),
            );
        }
        let mut products = catalog::read(replay, frame)?;
        for product in &mut products {
            product.facts.shoelaces = None;
        }
        let (held, rest) = apart(products, &train, recipe);
        if held.is_empty() {
            warnings.push(format!(
                "{}: too few products: none is held out, and the validation side is used instead",
                replay.display()
            ));
        }
        general = held;
        let rest = rest.into_iter().filter(|p| !own.contains(&p.id)).collect();
        beside.push(MixedIn {
            products: phrase(rest),
            per_batch: recipe.data.replayed_in_batch(),
            replayed: true,
        });
    }
    Ok(RunProducts {
        train,
        beside,
        warnings,
        held: HeldOut {
            products: validation,
            general,
            classes,
        },
    })
}

/// At most `count` of the products, chosen by a hash of the id: the same ones each time.
fn sample(mut products: Vec<Product>, count: usize) -> Vec<Product> {
    products.sort_by_cached_key(|p| Sha256::digest(&p.id));
    products.truncate(count);
    products
}

/// Of a general catalog's products those that show what a model forgets: the half of the held-out
/// ones by which models are chosen ([`validates`]), without those that a data set trains on because
/// it was split otherwise. What was learned by name is not forgotten.
#[must_use]
pub fn choosing(mut products: Vec<Product>, trained: &[Product]) -> Vec<Product> {
    let trained: HashSet<&str> = trained.iter().map(|product| product.id.as_str()).collect();
    products.retain(|product| validates(&product.id) && !trained.contains(product.id.as_str()));
    products
}
