//! A catalog in the Kaggle layout as training's products.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::error::DataError;
use super::images;
use super::product::{Facts, Frame, Product};
use crate::catalog::source::{self, Source};
use crate::catalog::{PictureFiles, PicturePlace};
use crate::domain;
use crate::vision;

/// Reads `styles.csv`, photos from `images/`, else from `images-60x80.zip`, and the laces' colors of
/// `shoelaces.csv` where there is one. A product without a category or a photo that can be read is
/// left out.
///
/// # Errors
/// If `styles.csv` cannot be read, the archive is broken, or nothing is left.
pub fn read(folder: &Path, frame: Frame) -> Result<Vec<Product>, DataError> {
    let photos = PictureFiles::default();
    let loaded = source::load(&source_in(folder), &photos)?;
    let products: Vec<Product> = loaded
        .products
        .into_par_iter()
        .filter_map(|(product, image)| framed(&product, &image?, &photos, frame))
        .collect();
    if products.is_empty() {
        return Err(DataError::Empty {
            path: folder.into(),
        });
    }
    Ok(products)
}

fn source_in(folder: &Path) -> Source {
    let there = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
    let images: Vec<PathBuf> = ["images", "images-60x80.zip"]
        .into_iter()
        .filter_map(there)
        .collect();
    Source::kaggle(folder.join("styles.csv"), images, there("shoelaces.csv"))
}

/// The product with its photo; `None` where it has none that can be read, or no category.
fn framed(
    product: &domain::Product,
    image: &PicturePlace,
    photos: &PictureFiles,
    frame: Frame,
) -> Option<Product> {
    let facts = facts(product);
    if facts.category.is_empty() {
        return None;
    }
    let file = photos.read(image).ok()??;
    let photo = vision::decode(&file, &images::LIMITS).ok()?;
    Some(Product {
        id: product.id.to_string(),
        facts,
        captions: Vec::new(),
        label: None,
        square: frame.square(&photo),
    })
}

fn facts(product: &domain::Product) -> Facts {
    let value = |name| product.attribute(name).unwrap_or_default().to_owned();
    Facts {
        title: product.title.clone(),
        category: value("category"),
        section: value("section"),
        color: value("color"),
        gender: value("gender"),
        usage: value("usage"),
        shoelaces: product.attribute("shoelace_color").map(str::to_owned),
    }
}
