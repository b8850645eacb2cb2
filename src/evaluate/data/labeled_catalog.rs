//! A labeled catalog: products with their attributes and where their pictures are, straight from
//! the shop's files or from a data set made of them, without a database.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::data_set::{self, DataSetError};
use super::split::held_out;
use crate::catalog::source::{self, Source, SourceError};
use crate::catalog::{CatalogError, PictureFiles, PicturePlace};
use crate::domain::{Filters, Product, ProductId};
use crate::util::digest::hex;

/// Products in the order of their file.
#[derive(Clone)]
pub struct LabeledCatalog {
    pub products: Vec<LabeledProduct>,
    /// How many rows of the file were not read, or not whole.
    pub rejected: usize,
    /// Whether this is a side of a data set: its own split has chosen the products, all of them.
    pub is_data_set: bool,
    pictures: PictureFiles,
}

/// A product, and where its picture is, if it has one.
#[derive(Clone, Debug)]
pub struct LabeledProduct {
    pub product: Product,
    pub image: Option<PicturePlace>,
}

#[derive(Debug, thiserror::Error)]
pub enum LabeledCatalogError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Picture(#[from] CatalogError),
    #[error(transparent)]
    DataSet(#[from] DataSetError),
    #[error(
        "{folder} has neither styles.csv nor products.jsonl, and is not a data set of `aglet-train prepare`"
    )]
    NoTable { folder: PathBuf },
    #[error("{what} has no product that can be used")]
    Empty { what: PathBuf },
    #[error("product {id} has no picture")]
    NoPicture { id: ProductId },
}

/// The catalog at a path: a JSON Lines file, or a folder with `products.jsonl`, or with
/// `styles.csv` and beside it `images/`, `images-60x80.zip` and `shoelaces.csv` as far as they are
/// there and nothing else is given.
///
/// # Errors
/// When a folder has neither file.
pub fn source_at(
    path: &Path,
    images: &[PathBuf],
    shoelaces: Option<&Path>,
) -> Result<Source, LabeledCatalogError> {
    let given = images.to_vec();
    if path.is_file() {
        return Ok(Source::feed(path.to_owned(), given));
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
        return Ok(Source::kaggle(styles, images, shoelaces));
    }
    let file = there("products.jsonl").ok_or_else(|| LabeledCatalogError::NoTable {
        folder: path.to_owned(),
    })?;
    Ok(Source::feed(file, given))
}

impl LabeledCatalog {
    /// The catalog or the data set at a path: see [`source_at`] and [`data_set`].
    ///
    /// # Errors
    /// When there is none, or as [`LabeledCatalog::read`].
    pub fn at(
        path: &Path,
        images: &[PathBuf],
        shoelaces: Option<&Path>,
    ) -> Result<Self, LabeledCatalogError> {
        match data_set::side_at(path) {
            Some(side) => Ok(Self::of_data_set(labeled(data_set::products(&side)?))),
            None => Self::read(&source_at(path, images, shoelaces)?),
        }
    }

    /// The products of all sides of the data set that a path is of; a side may be empty.
    ///
    /// # Errors
    /// When a side cannot be read.
    pub fn all_sides_at(path: &Path) -> Result<Self, LabeledCatalogError> {
        let mut products = Vec::new();
        for side in data_set::sides_at(path) {
            match data_set::products(&side) {
                Err(DataSetError::Empty { .. }) => {}
                found => products.extend(labeled(found?)),
            }
        }
        Ok(Self::of_data_set(products))
    }

    fn of_data_set(products: Vec<LabeledProduct>) -> Self {
        Self {
            products,
            rejected: 0,
            is_data_set: true,
            pictures: PictureFiles::default(),
        }
    }

    /// Reads the catalog's files; rows that cannot be used are counted, not refused.
    ///
    /// # Errors
    /// When a file is missing, cannot be read, or holds no product.
    pub fn read(source: &Source) -> Result<Self, LabeledCatalogError> {
        let pictures = PictureFiles::default();
        let loaded = source::load(source, &pictures)?;
        let rejected = loaded.rejects.len();
        let products: Vec<LabeledProduct> = loaded
            .products
            .into_iter()
            .map(|(product, image)| LabeledProduct { product, image })
            .collect();
        if products.is_empty() {
            let what = source.feed.clone();
            return Err(LabeledCatalogError::Empty { what });
        }
        Ok(Self {
            products,
            rejected,
            is_data_set: false,
            pictures,
        })
    }

    /// Keeps the products that match the filters and `wanted`.
    #[must_use]
    pub fn only(mut self, filters: &Filters, wanted: impl Fn(&Product) -> bool) -> Self {
        self.products
            .retain(|p| filters.matches(&p.product) && wanted(&p.product));
        self
    }

    /// The products alone.
    pub fn bare(&self) -> impl Iterator<Item = &Product> + Clone {
        self.products.iter().map(|p| &p.product)
    }

    /// The file of a product's picture.
    ///
    /// # Errors
    /// When the product has none, or it cannot be read.
    pub fn picture(&self, product: &LabeledProduct) -> Result<Bytes, LabeledCatalogError> {
        let none = || LabeledCatalogError::NoPicture {
            id: product.product.id.clone(),
        };
        let source = product.image.as_ref().ok_or_else(none)?;
        self.pictures.read(source)?.ok_or_else(none)
    }

    /// Whether a model may be asked about the product, because none was trained on it: of a data
    /// set every product of the side that was read, of a plain catalog the held-out ones
    /// ([`super::split`]). A data set's own split may have put a held-out product into training.
    #[must_use]
    pub fn asks(&self, id: &ProductId) -> bool {
        self.is_data_set || held_out(id.as_str())
    }

    /// Names the pictures: differs when one changes. Made of their sizes and times, of an archive
    /// of the archive's; no picture is opened.
    #[must_use]
    pub fn pictures_stamp(&self) -> String {
        let mut known: HashMap<PathBuf, String> = HashMap::new();
        let mut digest = Sha256::new();
        for LabeledProduct { product, image } in &self.products {
            let (path, member) = match image {
                None => continue,
                Some(file @ PicturePlace::File { .. }) => (file.path(), ""),
                Some(zip @ PicturePlace::Zip { member, .. }) => (zip.path(), member.as_str()),
            };
            let stamp = known
                .entry(path)
                .or_insert_with_key(|path| file_stamp(path));
            digest.update(format!("{:?} {member:?} {stamp}\n", product.id.as_str()));
        }
        hex(&digest.finalize())
    }

    #[must_use]
    pub fn find(&self, id: &ProductId) -> Option<&LabeledProduct> {
        self.products.iter().find(|p| &p.product.id == id)
    }
}

fn labeled(products: Vec<(Product, PicturePlace)>) -> Vec<LabeledProduct> {
    products
        .into_iter()
        .map(|(product, image)| LabeledProduct {
            product,
            image: Some(image),
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_picture_has_another_stamp() {
        let folder = tempfile::tempdir().expect("a folder");
        let line = |id: u32| {
            format!("{{\"id\": \"{id}\", \"title\": \"Shoe\", \"image\": \"{id}.png\"}}\n")
        };
        std::fs::write(folder.path().join("products.jsonl"), line(7) + &line(8)).expect("written");
        std::fs::write(folder.path().join("7.png"), "one").expect("written");
        std::fs::write(folder.path().join("8.png"), "other").expect("written");
        let stamp = || {
            LabeledCatalog::at(folder.path(), &[], None)
                .expect("a catalog")
                .pictures_stamp()
        };
        let before = stamp();
        assert_eq!(stamp(), before);
        std::fs::write(folder.path().join("8.png"), "another").expect("written");
        assert_ne!(stamp(), before);
    }

    #[test]
    fn a_catalog_asks_its_held_out_products_and_a_data_set_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let line = |id: u32| {
            format!(
                "{{\"id\":\"{id}\",\"title\":\"x\",\"image\":{{\"file\":\"{id}.png\"}},\"attributes\":{{}}}}\n"
            )
        };
        std::fs::write(folder.path().join("captions.toml"), "").expect("written");
        std::fs::write(folder.path().join("test.jsonl"), line(7) + &line(8)).expect("written");
        let set = LabeledCatalog::at(folder.path(), &[], None).expect("a data set");
        let plain = LabeledCatalog {
            is_data_set: false,
            ..set.clone()
        };
        let asked = |catalog: &LabeledCatalog| {
            catalog
                .bare()
                .filter(|product| catalog.asks(&product.id))
                .count()
        };
        assert_eq!(
            (asked(&set), asked(&plain)),
            (2, 1),
            "7 is held out, 8 is not"
        );
    }
}
