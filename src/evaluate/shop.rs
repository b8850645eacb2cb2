//! A labeled catalogue as evaluation reads it: products with their attributes and where their
//! photos are, straight from the shop's files or from a data set made of them, without a database.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::data::data_set::{self, DataSetError};
use super::split::held_out;
use super::suite::hex;
use crate::catalog::source::{Source, SourceError};
use crate::catalog::{CatalogError, ImageSource, Photos};
use crate::domain::{AttributeName, AttributeValue, Filters, Product, ProductId};

/// Products in the order of their file.
#[derive(Clone)]
pub struct Shop {
    pub offers: Vec<Offer>,
    /// How many rows of the file were not read, or not whole.
    pub rejected: usize,
    /// Whether this is a side of a prepared data set: its own split has chosen the products, all of
    /// them.
    pub prepared: bool,
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
    Prepared(#[from] DataSetError),
    #[error(
        "{folder} has neither styles.csv nor products.jsonl, and is no data set of `aglet-train prepare`"
    )]
    NoTable { folder: PathBuf },
    #[error("{what} has no product that can be used")]
    Empty { what: PathBuf },
    #[error("product {id} has no photo")]
    NoPhoto { id: ProductId },
}

/// The catalogue at a path: a JSON Lines file, or a folder with `products.jsonl`, or with
/// `styles.csv` and beside it `images/`, `images-60x80.zip` and `shoelaces.csv` as far as they are
/// there and nothing else is given.
///
/// # Errors
/// When a folder has neither file.
pub fn source_at(
    path: &Path,
    images: &[PathBuf],
    shoelaces: Option<&Path>,
) -> Result<Source, ShopError> {
    let given = images.to_vec();
    if path.is_file() {
        return Ok(Source::JsonLines {
            file: path.to_owned(),
            images: given,
        });
    }
    let there = |name: &str| Some(path.join(name)).filter(|p| p.exists());
    if let Some(styles) = there("styles.csv") {
        let beside = || {
            ["images", "images-60x80.zip"]
                .iter()
                .filter_map(|n| there(n))
                .collect()
        };
        let images = if given.is_empty() { beside() } else { given };
        let shoelaces = shoelaces
            .map(Path::to_owned)
            .or_else(|| there("shoelaces.csv"));
        return Ok(Source::Kaggle {
            styles,
            images,
            shoelaces,
        });
    }
    let file = there("products.jsonl").ok_or_else(|| ShopError::NoTable {
        folder: path.to_owned(),
    })?;
    Ok(Source::JsonLines {
        file,
        images: given,
    })
}

impl Shop {
    /// The catalogue or the data set at a path: see [`source_at`] and [`data_set`].
    ///
    /// # Errors
    /// When there is none, or as [`Shop::read`].
    pub fn at(
        path: &Path,
        images: &[PathBuf],
        shoelaces: Option<&Path>,
    ) -> Result<Self, ShopError> {
        match data_set::side_at(path) {
            Some(side) => {
                let (offers, pictures) = (offers_of(&side)?, Photos::default());
                Ok(Self {
                    offers,
                    rejected: 0,
                    prepared: true,
                    pictures,
                })
            }
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
        let offers: Vec<Offer> = loaded
            .products
            .into_iter()
            .map(|(product, image)| Offer { product, image })
            .collect();
        if offers.is_empty() {
            let (Source::Kaggle { styles: file, .. } | Source::JsonLines { file, .. }) = source;
            return Err(ShopError::Empty { what: file.clone() });
        }
        Ok(Self {
            offers,
            rejected,
            prepared: false,
            pictures,
        })
    }

    /// Keeps the products that match the filters and `wanted`.
    #[must_use]
    pub fn only(mut self, filters: &Filters, wanted: impl Fn(&Product) -> bool) -> Self {
        self.offers
            .retain(|o| filters.matches(&o.product.attributes) && wanted(&o.product));
        self
    }

    /// The file of a product's photo.
    ///
    /// # Errors
    /// When the product has none, or it cannot be read.
    pub fn photo(&self, offer: &Offer) -> Result<Bytes, ShopError> {
        let none = || ShopError::NoPhoto {
            id: offer.product.id.clone(),
        };
        let source = offer.image.as_ref().ok_or_else(none)?;
        self.pictures.read(source)?.ok_or_else(none)
    }

    /// Whether a model may be asked about the product, for none was trained on it: of a prepared
    /// data set every product of the side that was read, of a plain catalogue the held-out ones
    /// ([`super::split`]). A set's own split may have put a held-out product into training.
    #[must_use]
    pub fn asks(&self, id: &ProductId) -> bool {
        self.prepared || held_out(id.as_str())
    }

    /// Differs when a photo does: by its size and time, of an archive by the archive's. No photo is
    /// opened.
    #[must_use]
    pub fn photos_stamp(&self) -> String {
        let mut known: HashMap<PathBuf, String> = HashMap::new();
        let mut digest = Sha256::new();
        for offer in &self.offers {
            let (path, member) = match &offer.image {
                None => continue,
                Some(file @ ImageSource::File { .. }) => (file.path(), ""),
                Some(zip @ ImageSource::Zip { member, .. }) => (zip.path(), member.as_str()),
            };
            let stamp = known
                .entry(path)
                .or_insert_with_key(|path| file_stamp(path));
            digest.update(format!(
                "{:?} {member:?} {stamp}\n",
                offer.product.id.as_str()
            ));
        }
        hex(&digest.finalize())
    }

    #[must_use]
    pub fn find(&self, id: &ProductId) -> Option<&Offer> {
        self.offers.iter().find(|o| &o.product.id == id)
    }
}

/// The products of a side of a data set.
///
/// # Errors
/// As [`data_set::products`].
pub fn offers_of(side: &Path) -> Result<Vec<Offer>, DataSetError> {
    let products = data_set::products(side)?;
    Ok(products
        .into_iter()
        .map(|(product, image)| Offer {
            product,
            image: Some(image),
        })
        .collect())
}

/// Nothing for a file that is not there.
fn file_stamp(path: &Path) -> String {
    let Ok(metadata) = path.metadata() else {
        return String::new();
    };
    let time = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default();
    format!("{} {}", metadata.len(), time.as_nanos())
}

/// The values of an attribute, each once (letter case aside), in alphabetical order.
pub fn values<'a>(
    products: impl Iterator<Item = &'a Product>,
    name: &AttributeName,
) -> Vec<AttributeValue> {
    let mut found = std::collections::BTreeMap::new();
    for value in products.filter_map(|p| p.attributes.get(name)).flatten() {
        found.entry(value.folded()).or_insert_with(|| value.clone());
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_photo_has_another_stamp() {
        let folder = tempfile::tempdir().expect("a folder");
        let line = |id: u32| {
            format!("{{\"id\": \"{id}\", \"title\": \"Shoe\", \"image\": \"{id}.png\"}}\n")
        };
        std::fs::write(folder.path().join("products.jsonl"), line(7) + &line(8)).expect("written");
        std::fs::write(folder.path().join("7.png"), "one").expect("written");
        std::fs::write(folder.path().join("8.png"), "other").expect("written");
        let stamp = || {
            Shop::at(folder.path(), &[], None)
                .expect("a catalogue")
                .photos_stamp()
        };
        let before = stamp();
        assert_eq!(stamp(), before);
        std::fs::write(folder.path().join("8.png"), "another").expect("written");
        assert_ne!(stamp(), before);
    }

    #[test]
    fn a_catalogue_asks_its_held_out_products_and_a_data_set_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let line = |id: u32| {
            format!(
                "{{\"id\":\"{id}\",\"title\":\"x\",\"image\":{{\"file\":\"{id}.png\"}},\"attributes\":{{}}}}\n"
            )
        };
        std::fs::write(folder.path().join("captions.toml"), "").expect("written");
        std::fs::write(folder.path().join("test.jsonl"), line(7) + &line(8)).expect("written");
        let set = Shop::at(folder.path(), &[], None).expect("a data set");
        let plain = Shop {
            prepared: false,
            ..set.clone()
        };
        let asked = |shop: &Shop| {
            shop.offers
                .iter()
                .filter(|o| shop.asks(&o.product.id))
                .count()
        };
        assert_eq!(
            (asked(&set), asked(&plain)),
            (2, 1),
            "7 is held out, 8 is not"
        );
    }
}
