//! The names in a folder or a zip archive of pictures that an import was pointed to.
//!
//! Paths that a catalog file names are held to the folder that was given for them: no absolute path
//! and no `..` ([`PictureFolder::at`]); a Kaggle id is looked up among the names that are really there
//! ([`PictureFolder::find`]). That no link leads out is checked whenever a picture is opened.

use std::collections::HashMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::PoisonError;

use super::PicturePlace;
use super::read::{PictureFiles, io_error};
use crate::catalog::error::CatalogError;

/// Endings of picture files, the preferred first.
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// A folder or an archive of pictures that an import was pointed to.
pub(in crate::catalog) struct PictureFolder {
    root: PathBuf,
    archive: bool,
    /// Stem (`1163` of `images/1163.jpg`) -> name inside; filled by the first [`PictureFolder::find`].
    by_stem: std::sync::OnceLock<HashMap<String, String>>,
    members: Vec<String>,
}

impl PictureFolder {
    /// # Errors
    /// When there is neither a folder nor a readable zip archive at `path`.
    pub(in crate::catalog) fn open(
        path: &Path,
        photos: &PictureFiles,
    ) -> Result<Self, CatalogError> {
        let root = path.canonicalize().map_err(|e| io_error(path, e))?;
        let archive = !root.is_dir();
        let members = if archive {
            archive_members(&root, photos)?
        } else {
            folder_members(&root)?
        };
        Ok(Self {
            root,
            archive,
            by_stem: std::sync::OnceLock::new(),
            members,
        })
    }

    /// `images` in the folder: many a catalog has its pictures there, and the folder above it is
    /// easily named instead.
    pub(in crate::catalog) fn images_within(&self) -> Option<PathBuf> {
        let within = self.root.join("images");
        (!self.archive && within.is_dir()).then_some(within)
    }

    /// The picture called `stem`, wherever in the archive, directly in the folder.
    pub(in crate::catalog) fn find(&self, stem: &str) -> Option<PicturePlace> {
        let by_stem = self.by_stem.get_or_init(|| {
            let mut found: HashMap<String, (usize, &String)> = HashMap::new();
            for name in &self.members {
                let file = Path::new(name.rsplit('/').next().unwrap_or(name));
                let ending = file
                    .extension()
                    .and_then(|e| e.to_str())
                    .unwrap_or_default()
                    .to_ascii_lowercase();
                let (Some(stem), Some(rank)) = (
                    file.file_stem().and_then(|s| s.to_str()),
                    ENDINGS.iter().position(|e| *e == ending),
                ) else {
                    continue;
                };
                let best = found.entry(stem.to_owned()).or_insert((rank, name));
                if rank < best.0 {
                    *best = (rank, name);
                }
            }
            found
                .into_iter()
                .map(|(stem, (_, name))| (stem, name.clone()))
                .collect()
        });
        by_stem.get(stem).map(|name| self.source(name))
    }

    fn source(&self, name: &str) -> PicturePlace {
        if self.archive {
            PicturePlace::Zip {
                archive: self.root.clone(),
                member: name.to_owned(),
            }
        } else {
            PicturePlace::File {
                folder: self.root.clone(),
                name: name.into(),
            }
        }
    }

    /// The picture at a relative path; `None` when it is not there.
    ///
    /// # Errors
    /// In words, when the path leaves the folder.
    pub(in crate::catalog) fn at(&self, path: &str) -> Result<Option<PicturePlace>, String> {
        if path.is_empty()
            || !Path::new(path)
                .components()
                .all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
        {
            return Err("must be a relative path without \"..\"".to_owned());
        }
        if self.archive {
            return Ok(self
                .members
                .binary_search_by(|m| m.as_str().cmp(path))
                .ok()
                .map(|_| self.source(path)));
        }
        // A link that leads out is refused when the picture is opened, which says why.
        let there = self.root.join(path).symlink_metadata().is_ok();
        Ok(there.then(|| self.source(path)))
    }
}

fn folder_members(root: &Path) -> Result<Vec<String>, CatalogError> {
    let entries = std::fs::read_dir(root).map_err(|e| io_error(root, e))?;
    let names = entries.map(|entry| entry.map(|e| e.file_name().into_string().ok()));
    names
        .filter_map(Result::transpose)
        .collect::<io::Result<_>>()
        .map_err(|e| io_error(root, e))
}

/// Sorted.
fn archive_members(root: &Path, photos: &PictureFiles) -> Result<Vec<String>, CatalogError> {
    let archive = photos
        .archive(root)?
        .ok_or_else(|| io_error(root, io::ErrorKind::NotFound.into()))?;
    let zip = archive.zip.lock().unwrap_or_else(PoisonError::into_inner);
    let names = zip
        .file_names_raw()
        .filter_map(|name| String::from_utf8(name.to_vec()).ok());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with('/')).collect();
    names.sort_unstable();
    Ok(names)
}
