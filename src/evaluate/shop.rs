//! A labeled catalogue as evaluation reads it: products with their attributes and where their photos are, straight
//! from the shop's files or from a data set made of them, without a database.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::prepared::{self, PreparedError};
use crate::catalog::source::{Source, SourceError};
use crate::catalog::{CatalogError, ImageSource, Photos};
use crate::domain::{AttributeName, AttributeValue, Filters, Product, ProductId};

/// Products in the order of their file.
#[derive(Clone)]
pub struct Shop {
    pub offers: Vec<Offer>,
    /// How many rows of the file were not read, or not whole.
    pub rejected: usize,
    pictures: Photos,
}

/// A product, and its photo where it has one.
#[derive(Clone, Debug)]
pub struct Offer {
    pub product: Product,
    pub image: Option<ImageSource>,
}

#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Picture(#[from] CatalogError),
    #[error(transparent)]
    Prepared(#[from] PreparedError),
    #[error("{folder} has neither styles.csv nor products.jsonl, and is no data set of `aglet-train prepare`")]
    NoTable { folder: PathBuf },
    #[error("{what} has no product that can be used")]
    Empty { what: PathBuf },
    #[error("product {id} has no photo")]
    NoPhoto { id: ProductId },
}

/// The catalogue at a path: a JSON Lines file, or a folder with `products.jsonl`, or with `styles.csv` and beside it
/// `images/`, `images-60x80.zip` and `shoelaces.csv` as far as they are there and nothing else is given.
///
/// # Errors
/// When a folder has neither file.
pub fn source_at(path: &Path, images: &[PathBuf], shoelaces: Option<&Path>) -> Result<Source, ShopError> {
    let given = images.to_vec();
    if path.is_file() {
        return Ok(Source::JsonLines { file: path.to_owned(), images: given });
    }
    let there = |name: &str| Some(path.join(name)).filter(|p| p.exists());
    if let Some(styles) = there("styles.csv") {
        let beside = || ["images", "images-60x80.zip"].iter().filter_map(|n| there(n)).collect();
        let images = if given.is_empty() { beside() } else { given };
        let shoelaces = shoelaces.map(Path::to_owned).or_else(|| there("shoelaces.csv"));
        return Ok(Source::Kaggle { styles, images, shoelaces });
    }
    let file = there("products.jsonl").ok_or_else(|| ShopError::NoTable { folder: path.to_owned() })?;
    Ok(Source::JsonLines { file, images: given })
}

impl Shop {
    /// The catalogue or the data set at a path: see [`source_at`] and [`prepared`].
    ///
    /// # Errors
    /// When there is none, or as [`Shop::read`].
    pub fn at(path: &Path, images: &[PathBuf], shoelaces: Option<&Path>) -> Result<Self, ShopError> {
        match prepared::side_at(path) {
            Some(side) => Ok(Self { offers: prepared::read(&side)?, rejected: 0, pictures: Photos::default() }),
            None => Self::read(&source_at(path, images, shoelaces)?),
        }
    }

    /// Reads the catalogue's files; rows that cannot be used are counted, not refused.
    ///
    /// # Errors
    /// When a file is missing, cannot be read, or holds no product.
    pub fn read(source: &Source) -> Result<Self, ShopError> {
        let pictures = Photos::default();
        let loaded = crate::catalog::source::load(source, &pictures)?;
        let rejected = loaded.rejects.len();
        let offers: Vec<Offer> = loaded.products.into_iter().map(|(product, image)| Offer { product, image }).collect();
        if offers.is_empty() {
            let (Source::Kaggle { styles: file, .. } | Source::JsonLines { file, .. }) = source;
            return Err(ShopError::Empty { what: file.clone() });
        }
        Ok(Self { offers, rejected, pictures })
    }

    /// Keeps the products that match the filters and `wanted`.
    #[must_use]
    pub fn only(mut self, filters: &Filters, wanted: impl Fn(&Product) -> bool) -> Self {
        self.offers.retain(|o| filters.matches(&o.product.attributes) && wanted(&o.product));
        self
    }

    /// The file of a product's photo.
    ///
    /// # Errors
    /// When the product has none, or it cannot be read.
    pub fn photo(&self, offer: &Offer) -> Result<Bytes, ShopError> {
        let none = || ShopError::NoPhoto { id: offer.product.id.clone() };
        let source = offer.image.as_ref().ok_or_else(none)?;
        self.pictures.read(source)?.ok_or_else(none)
    }

    #[must_use]
    pub fn find(&self, id: &ProductId) -> Option<&Offer> {
        self.offers.iter().find(|o| &o.product.id == id)
    }
}

/// The values of an attribute, each once (letter case aside), in alphabetical order.
pub fn values<'a>(products: impl Iterator<Item = &'a Product>, name: &AttributeName) -> Vec<AttributeValue> {
    let mut found = std::collections::BTreeMap::new();
    for value in products.filter_map(|p| p.attributes.get(name)).flatten() {
        found.entry(value.folded()).or_insert_with(|| value.clone());
    }
    found.into_values().collect()
}
