//! Where the pictures of a source are.

use std::path::PathBuf;

use crate::catalog::error::CatalogError;
use crate::catalog::media::folder::Shelf;
use crate::catalog::media::read::Photos;

/// Several folders and archives of pictures: the first that has one gives it.
pub(super) struct Shelves(pub(super) Vec<Shelf>);

impl Shelves {
    pub(super) fn open(paths: &[PathBuf], photos: &Photos) -> Result<Self, CatalogError> {
        paths
            .iter()
            .map(|path| Shelf::open(path, photos))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// For a picture that is not there: the folder that was probably meant.
    pub(super) fn hint(&self) -> String {
        let within = self.0.iter().find_map(Shelf::images_within);
        within.map_or_else(String::new, |folder| {
            format!(" (was {} meant?)", folder.display())
        })
    }
}
