//! Pictures that came over HTTP: files in the data folder, named by their content.
//!
//! `uploads/ab/abcd..`: the sha256 of the bytes in hexadecimal digits, below a folder of its first
//! two. The same bytes are one file, whoever shows them.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::PicturePlace;
use crate::catalog::error::CatalogError;
use crate::util::digest::{hex, sha256};

/// Where they are, below the data folder.
pub(in crate::catalog) const UPLOADS: &str = "uploads";

/// Where the picture with this sha256 is.
pub(in crate::catalog) fn place(data: &Path, sha256: &[u8; 32]) -> PicturePlace {
    PicturePlace::File {
        folder: data.join(UPLOADS),
        name: name(sha256),
    }
}

fn name(sha256: &[u8; 32]) -> PathBuf {
    let digits = hex(sha256);
    Path::new(&digits[..2]).join(&digits)
}

/// Writes a picture to its place, whole and synced, unless it is there; its sha256. Blocking.
///
/// # Errors
/// When the folder cannot be written to.
pub(in crate::catalog) fn keep(data: &Path, picture: &[u8]) -> Result<[u8; 32], CatalogError> {
    let digest = sha256(picture);
    let path = place(data, &digest).path();
    let io = |source| CatalogError::io(&path, source);
    let folder = path.parent().unwrap_or(data);
    let there = fs::metadata(&path).is_ok_and(|file| file.len() == picture.len() as u64);
    if there {
        // It is needed again: whoever cleans up looks at the time.
        let file = fs::File::options().append(true).open(&path).map_err(io)?;
        file.set_modified(SystemTime::now()).map_err(io)?;
        return Ok(digest);
    }
    fs::create_dir_all(folder).map_err(io)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    file.write_all(picture)
        .and_then(|()| file.as_file().sync_all())
        .map_err(io)?;
    file.persist(&path).map_err(|error| io(error.error))?;
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io)?;
    Ok(digest)
}

/// The files of all uploads, in an order. One that is being written is not among them. Blocking.
///
/// # Errors
/// When the folder cannot be read.
pub(in crate::catalog) fn all(data: &Path) -> Result<Vec<PathBuf>, CatalogError> {
    let root = data.join(UPLOADS);
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut all = Vec::new();
        let folders = match fs::read_dir(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
            folders => folders?,
        };
        for folder in folders {
            for file in fs::read_dir(folder?.path())? {
                let file = file?;
                let name = file.file_name();
                let hidden = name.to_string_lossy().starts_with('.');
                if !hidden && file.file_type()?.is_file() {
                    all.push(file.path());
                }
            }
        }
        all.sort_unstable();
        Ok(all)
    };
    read().map_err(|error| CatalogError::io(&root, error))
}

/// Removes the files older than `age` that `needed` does not name, given their paths relative to the
/// data folder; how many. Blocking.
///
/// # Errors
/// When the folder cannot be read.
pub(in crate::catalog) fn sweep(
    data: &Path,
    age: Duration,
    needed: &dyn Fn(&str) -> bool,
) -> Result<u64, CatalogError> {
    let root = data.join(UPLOADS);
    let swept = || -> io::Result<u64> {
        let mut removed = 0;
        let folders = match fs::read_dir(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            folders => folders?,
        };
        for folder in folders {
            for file in fs::read_dir(folder?.path())? {
                let path = file?.path();
                let written = fs::metadata(&path)?.modified()?;
                let old = written.elapsed().is_ok_and(|since| since >= age);
                let below = path.strip_prefix(data).unwrap_or(&path);
                if old && !needed(&below.to_string_lossy()) {
                    fs::remove_file(&path)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    };
    swept().map_err(|error| CatalogError::io(&root, error))
}
