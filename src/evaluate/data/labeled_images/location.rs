//! Where labeled images are, and in which layout.

use std::path::{Path, PathBuf};

use super::images::{LabeledImages, LabeledImagesError};
use super::{csv_file, fashion_mnist, folders, in_shop, products};
use crate::domain::AttributeName;
use crate::evaluate::data::labeled_catalog::LabeledCatalog;

/// Labeled images as a command line names them: `fashion-mnist:DIR`, `fashion-mnist-light:DIR`,
/// `in-shop:DIR`, `classes:DIR`, `csv:FILE`, `set:PATH` (the category of a data set's or a
/// catalog's products) or `set:PATH@ATTRIBUTE`.
#[derive(Clone, Debug)]
pub struct LabeledImagesLocation {
    layout: Layout,
    path: PathBuf,
}

#[derive(Clone, Debug)]
enum Layout {
    Files(fn(&Path) -> Result<LabeledImages, LabeledImagesError>),
    Products { label: AttributeName },
}

/// For error texts.
const LAYOUTS: &str =
    "fashion-mnist:DIR, fashion-mnist-light:DIR, in-shop:DIR, classes:DIR, csv:FILE or set:PATH";

impl std::str::FromStr for LabeledImagesLocation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (layout, path) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?} is not one of {LAYOUTS}"))?;
        let layout = match layout {
            "fashion-mnist" => Layout::Files(fashion_mnist::read),
            "fashion-mnist-light" => Layout::Files(fashion_mnist::read_light),
            "in-shop" => Layout::Files(in_shop::read),
            "classes" => Layout::Files(folders::read),
            "csv" => Layout::Files(csv_file::read),
            "set" => {
                let (path, label) = path.rsplit_once('@').unwrap_or((path, "category"));
                let label = AttributeName::new(label).map_err(|e| e.to_string())?;
                return Ok(Self {
                    layout: Layout::Products { label },
                    path: path.into(),
                });
            }
            _ => return Err(format!("{layout:?} is not a kind of data: {LAYOUTS}")),
        };
        Ok(Self {
            layout,
            path: path.into(),
        })
    }
}

impl LabeledImagesLocation {
    /// # Errors
    /// See the reader of the layout.
    pub fn read(&self) -> Result<LabeledImages, LabeledImagesError> {
        match &self.layout {
            Layout::Files(read) => read(&self.path),
            Layout::Products { label } => {
                let stem = self
                    .path
                    .file_stem()
                    .map_or_else(|| "products".to_owned(), |n| n.display().to_string());
                let catalog = LabeledCatalog::at(&self.path, &[], None)?;
                products::read(&catalog, label, &format!("{label} of {stem}"))
            }
        }
    }
}
