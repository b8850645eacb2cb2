//! The names in a folder or a zip archive of pictures that an import was pointed to.
//!
//! Paths that a catalog file names are held to the folder that was given for them: no absolute path
//! and no `..` ([`PictureFolder::at`]); a Kaggle id is looked up among the names that are really there
//! ([`PictureFolder::find`]). That no link leads out is checked whenever a picture is opened.
//!
//! Names are compared in Unicode's composed form, since a Mac writes them decomposed, and with `/` between
//! their parts, since archives made on Windows have `\`.

use std::collections::HashMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{OnceLock, PoisonError};

use unicode_normalization::{UnicodeNormalization, is_nfc};

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
    by_stem: OnceLock<HashMap<String, String>>,
    /// The plain name of a member -> its own; filled when a name is not there as it is written.
    by_plain: OnceLock<HashMap<String, String>>,
    members: Vec<String>,
}

/// A name as names are compared.
fn plain(name: &str) -> String {
    let name = name.replace('\\', "/");
    let name = name.trim_start_matches("./");
    if is_nfc(name) {
        name.to_owned()
    } else {
        name.nfc().collect()
    }
}

/// What a Mac keeps beside a file in an archive: it has the file's name and is none.
fn is_beside(plain: &str) -> bool {
    let file = plain.rsplit('/').next().unwrap_or(plain);
    plain.starts_with("__MACOSX/") || file.starts_with("._")
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
            by_stem: OnceLock::new(),
            by_plain: OnceLock::new(),
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
                let plain = plain(name);
                if is_beside(&plain) {
                    continue;
                }
                let file = Path::new(plain.rsplit('/').next().unwrap_or(&plain));
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
        by_stem.get(&plain(stem)).map(|name| self.source(name))
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
        let is_below = |path: &str| {
            let mut parts = Path::new(path).components();
            !path.is_empty() && parts.all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
        };
        let plain = plain(path);
        // `C:` is a disk where `\` is a separator.
        if !is_below(path)
            || !is_below(&plain)
            || plain
                .split('/')
                .next()
                .is_some_and(|first| first.ends_with(':'))
        {
            return Err("must be a relative path without \"..\"".to_owned());
        }
        if self.archive {
            let exact = self.members.binary_search_by(|m| m.as_str().cmp(path));
            if exact.is_ok() {
                return Ok(Some(self.source(path)));
            }
            return Ok(self.by_plain(&plain).map(|name| self.source(name)));
        }
        // A link that leads out is refused when the picture is opened, which says why.
        let there = |path: &str| self.root.join(path).symlink_metadata().is_ok();
        if there(path) {
            return Ok(Some(self.source(path)));
        }
        if plain != path && there(&plain) {
            return Ok(Some(self.source(&plain)));
        }
        Ok(self
            .written_otherwise(&plain)
            .map(|name| self.source(&name)))
    }

    fn by_plain(&self, name: &str) -> Option<&String> {
        let by_plain = self.by_plain.get_or_init(|| {
            let members = self.members.iter().map(|name| (plain(name), name.clone()));
            members.filter(|(plain, _)| !is_beside(plain)).collect()
        });
        by_plain.get(name)
    }

    /// The name of a file in a folder of which some part is written in another form.
    fn written_otherwise(&self, plain_name: &str) -> Option<String> {
        // Letters of ASCII alone have one form.
        if plain_name.is_ascii() {
            return None;
        }
        let mut found = String::new();
        for part in plain_name
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
        {
            let folder = self.root.join(&found);
            let exact = folder.join(part).symlink_metadata().is_ok();
            let name = if exact {
                part.to_owned()
            } else {
                let entries = std::fs::read_dir(&folder).ok()?;
                let mut names =
                    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
                names.find(|name| plain(name) == part)?
            };
            if !found.is_empty() {
                found.push('/');
            }
            found.push_str(&name);
        }
        Some(found)
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// An archive of empty files of these names, as they are.
    fn archive(folder: &Path, names: &[&str]) -> PictureFolder {
        let path = folder.join("pictures.zip");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).expect("made"));
        for name in names {
            zip.start_file(*name, zip::write::SimpleFileOptions::default())
                .expect("begun");
            zip.write_all(b"x").expect("written");
        }
        zip.finish().expect("whole");
        PictureFolder::open(&path, &PictureFiles::default()).expect("opens")
    }

    fn member(place: Option<PicturePlace>) -> Option<String> {
        match place? {
            PicturePlace::Zip { member, .. } => Some(member),
            PicturePlace::File { name, .. } => Some(name.to_string_lossy().into_owned()),
        }
    }

    #[test]
    fn names_of_archives_are_compared_as_people_read_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = [
            "images\\1.jpg",
            "photos/E\u{301}cru.jpg",
            "__MACOSX/photos/._2.jpg",
            "photos/2.jpg",
            "photos/._3.jpg",
        ];
        let archive = archive(folder.path(), &names);
        for (stem, is) in [
            ("1", Some("images\\1.jpg")),
            ("Écru", Some("photos/E\u{301}cru.jpg")),
            ("E\u{301}cru", Some("photos/E\u{301}cru.jpg")),
            ("2", Some("photos/2.jpg")),
            ("._2", None),
            ("3", None),
        ] {
            assert_eq!(member(archive.find(stem)).as_deref(), is, "{stem}");
        }
        for (path, is) in [
            ("images/1.jpg", Some("images\\1.jpg")),
            ("images\\1.jpg", Some("images\\1.jpg")),
            ("./photos/Écru.jpg", Some("photos/E\u{301}cru.jpg")),
            ("photos\\2.jpg", Some("photos/2.jpg")),
            ("photos/4.jpg", None),
        ] {
            assert_eq!(
                member(archive.at(path).expect(path)).as_deref(),
                is,
                "{path}"
            );
        }
        for path in [
            "../1.jpg",
            "..\\1.jpg",
            "images\\..\\..\\1.jpg",
            "/1.jpg",
            "\\1.jpg",
            "C:\\1.jpg",
            "",
        ] {
            assert!(archive.at(path).is_err(), "{path}");
        }
    }

    #[test]
    fn names_of_folders_are_compared_in_each_part() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("E\u{301}te\u{301}");
        std::fs::create_dir(&inner).expect("made");
        for name in ["1.jpg", "gru\u{308}n.jpg"] {
            std::fs::write(inner.join(name), "x").expect("written");
        }
        let pictures = PictureFolder::open(folder.path(), &PictureFiles::default()).expect("opens");
        for (path, is) in [
            ("Été/1.jpg", Some("E\u{301}te\u{301}/1.jpg")),
            ("Été\\grün.jpg", Some("E\u{301}te\u{301}/gru\u{308}n.jpg")),
            ("E\u{301}te\u{301}/1.jpg", Some("E\u{301}te\u{301}/1.jpg")),
            ("Été/2.jpg", None),
        ] {
            assert_eq!(
                member(pictures.at(path).expect(path)).as_deref(),
                is,
                "{path}"
            );
        }
        let within = PictureFolder::open(&inner, &PictureFiles::default()).expect("opens");
        assert_eq!(
            member(within.find("grün")).as_deref(),
            Some("gru\u{308}n.jpg")
        );
    }
}
