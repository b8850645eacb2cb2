//! Pictures as files of a folder, named by their content: see [`kept`](super::kept).
//!
//! `ab/abcd..`: the sha256 of the bytes in hexadecimal digits, below a folder of its first two. The
//! same bytes are one file, whoever shows them.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::catalog::error::CatalogError;
use crate::util::digest::{hex, sha256};

/// Where those that came over HTTP are, below the data folder unless they are kept elsewhere. In the
/// database this is their root, and their path begins with it, wherever they are kept.
pub(in crate::catalog) const UPLOADS: &str = "uploads";
/// The root of those that an import put there.
pub(in crate::catalog) const IMPORTED: &str = "uploads:import";

/// The name of the picture with this sha256.
pub(in crate::catalog) fn name(sha256: &[u8; 32]) -> String {
    let digits = hex(sha256);
    format!("{}/{digits}", &digits[..2])
}

/// Whether it is the name of a picture that is kept: the first two digits of its sha256, and all of
/// them.
pub(super) fn is_name(name: &str) -> bool {
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.split_once('/').is_some_and(|(first, digits)| {
        first.len() == 2
            && digits.len() == 64
            && digits.starts_with(first)
            && digits.bytes().all(hexadecimal)
    })
}

/// Writes a picture to its place, whole and synced, unless it is there; its sha256. Blocking.
///
/// # Errors
/// When the folder cannot be written to.
pub(in crate::catalog) fn keep(root: &Path, picture: &[u8]) -> Result<[u8; 32], CatalogError> {
    let digest = sha256(picture);
    let path = root.join(name(&digest));
    let io = |source| CatalogError::io(&path, source);
    let folder = path.parent().unwrap_or(root);
    let there = fs::metadata(&path).is_ok_and(|file| file.len() == picture.len() as u64);
    if there {
        // It is needed again: whoever cleans up looks at the time.
        let file = fs::File::options().append(true).open(&path).map_err(io)?;
        file.set_modified(SystemTime::now()).map_err(io)?;
        return Ok(digest);
    }
    fs::create_dir_all(folder).map_err(io)?;
    // Whoever serves the folder may read them.
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(io)?;
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

/// Removes the pictures older than `age` that `needed` does not name, and what is left of writing some;
/// how many. Other files stay, whatever they are. Blocking.
///
/// # Errors
/// When the folder cannot be read.
pub(in crate::catalog) fn sweep(
    root: &Path,
    age: Duration,
    needed: &dyn Fn(&str) -> bool,
) -> Result<u64, CatalogError> {
    let swept = || -> io::Result<u64> {
        let mut removed = 0;
        let folders = match fs::read_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            folders => folders?,
        };
        for folder in folders {
            let folder = folder?;
            let of_ours = folder.file_name().len() == 2 && folder.file_type()?.is_dir();
            if !of_ours {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let path = file?.path();
                let written = fs::metadata(&path)?.modified()?;
                let old = written.elapsed().is_ok_and(|since| since >= age);
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
                let begun = name.get(3..).is_some_and(|file| file.starts_with(".tmp"));
                if old && (begun || is_name(&name)) && !needed(&name) {
                    fs::remove_file(&path)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    };
    swept().map_err(|error| CatalogError::io(root, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_kept_here_has_no_name_of_ours() {
        let digits = "ab".repeat(32);
        assert!(is_name(&format!("ab/{digits}")));
        for other in [
            digits.clone(),
            format!("ac/{digits}"),
            format!("ab/{digits}.jpg"),
            format!("ab/{}", "AB".repeat(32)),
            format!("ab/cd/{digits}"),
            "shoes/1.jpg".to_owned(),
        ] {
            assert!(!is_name(&other), "{other}");
        }
    }
}
