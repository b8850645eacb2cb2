//! A side of a data set as training's products, and other products in the words of its templates.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::templates::Templates;
use crate::catalog::PictureFiles;
use crate::evaluate::data::data_set::{self, Entry, PictureLocation, Side};
use crate::train::data::attribute::{self, Attribute, Classes};
use crate::train::data::error::DataError;
use crate::train::data::images;
use crate::train::data::product::{Facts, Frame, Product};
use crate::vision;

/// Reads a side of a data set; `label` names the attribute that is to be learned.
///
/// # Errors
/// If the folder is not a data set, it has no product on this side, or a photo is gone or broken,
/// which it was not when the set was prepared.
pub fn read(
    folder: &Path,
    side: Side,
    label: Option<&str>,
    frame: Frame,
) -> Result<Vec<Product>, DataError> {
    let photos = PictureFiles::default();
    let entries = data_set::read_side(folder, side)?;
    let product = |entry: Entry| {
        let picture = entry.image.clone().into();
        let gone = || vision::ImageError::Broken {
            reason: "the file is gone".to_owned(),
        };
        let file = photos.read(&picture)?;
        let photo = file
            .ok_or_else(gone)
            .and_then(|file| vision::decode(&file, &images::LIMITS));
        let photo = photo.map_err(|source| DataError::Photo {
            id: entry.id.clone(),
            source,
        })?;
        let (facts, label) = (
            facts(&entry),
            label.and_then(|label| value(&entry, label).map(str::to_lowercase)),
        );
        Ok(Product {
            id: entry.id,
            facts,
            captions: entry.captions,
            label,
            square: frame.square(&photo),
        })
    };
    let products: Vec<Product> = entries
        .into_par_iter()
        .map(product)
        .collect::<Result<_, DataError>>()?;
    if products.is_empty() {
        Err(DataError::EmptySide {
            path: folder.into(),
            side,
        })
    } else {
        Ok(products)
    }
}

/// The attribute that is to be learned, with the values that the products `train` of the data set's
/// training side have.
///
/// # Errors
/// If there are none, or the side cannot be read to name the attributes that there are.
pub fn classes(
    folder: &Path,
    attribute: Attribute,
    train: &[Product],
) -> Result<Classes, DataError> {
    let values = attribute::values(train);
    if !values.is_empty() {
        return Ok(Classes { attribute, values });
    }
    let entries = data_set::read_side(folder, Side::Train)?;
    let found: BTreeSet<String> = entries
        .into_iter()
        .flat_map(|entry| entry.attributes.into_keys())
        .collect();
    let (path, attribute) = (folder.into(), attribute.name);
    Err(DataError::Attribute {
        path,
        attribute,
        found: found.into_iter().collect(),
    })
}

/// The ids of a side of a data set.
///
/// # Errors
/// If its file cannot be read.
pub fn ids(folder: &Path, side: Side) -> Result<Vec<String>, DataError> {
    Ok(data_set::read_side(folder, side)?
        .into_iter()
        .map(|entry| entry.id)
        .collect())
}

fn value<'a>(entry: &'a Entry, attribute: &str) -> Option<&'a str> {
    entry
        .attributes
        .get(attribute)
        .and_then(|values| values.first())
        .map(String::as_str)
}

fn facts(entry: &Entry) -> Facts {
    let value = |name| value(entry, name).unwrap_or_default().to_owned();
    Facts {
        title: entry.title.clone(),
        category: value("category"),
        section: value("section"),
        color: value("color"),
        gender: value("gender"),
        usage: value("usage"),
        shoelaces: entry
            .attributes
            .get("shoelace_color")
            .and_then(|v| v.first())
            .map(|v| v.to_lowercase()),
    }
}

/// A product that came with facts alone, in the words of a data set's templates.
#[must_use]
pub fn phrased(product: Product, templates: &Templates, label: Option<&str>) -> Product {
    let entry = entry(&product);
    Product {
        label: label.and_then(|label| value(&entry, label).map(str::to_lowercase)),
        captions: templates.fill(&entry),
        ..product
    }
}

/// The product's facts as an entry, without a picture.
fn entry(product: &Product) -> Entry {
    let Facts {
        title,
        category,
        section,
        color,
        gender,
        usage,
        shoelaces,
    } = product.facts.clone();
    let pairs = [
        ("category", category),
        ("section", section),
        ("color", color),
        ("gender", gender),
        ("usage", usage),
        ("shoelace_color", shoelaces.unwrap_or_default()),
    ];
    let attributes = pairs
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), vec![value]))
        .collect();
    Entry {
        id: product.id.clone(),
        title,
        image: PictureLocation::File {
            file: PathBuf::new(),
        },
        attributes,
        sentence: None,
        captions: Vec::new(),
    }
}
