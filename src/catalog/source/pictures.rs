//! Where the pictures of a source are.

use std::path::PathBuf;

use crate::catalog::error::CatalogError;
use crate::catalog::media::folder::PictureFolder;
use crate::catalog::media::read::PictureFiles;

/// Several folders and archives of pictures: the first that has one gives it.
pub(super) struct PictureFolders(pub(super) Vec<PictureFolder>);

impl PictureFolders {
    pub(super) fn open(paths: &[PathBuf], photos: &PictureFiles) -> Result<Self, CatalogError> {
        paths
            .iter()
            .map(|path| PictureFolder::open(path, photos))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// For a picture that is not there: the folder that was probably meant.
    pub(super) fn hint(&self) -> String {
        let within = self.0.iter().find_map(PictureFolder::images_within);
        within.map_or_else(String::new, |folder| {
            format!(" (was {} meant?)", folder.display())
        })
    }
}
