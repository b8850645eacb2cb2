//! What a backup says of itself.

use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::catalog::media::upload::UPLOADS;
use crate::catalog::store::FILE;

/// The archive's layout; another one has another number.
pub(super) const FORMAT: u32 = 1;
/// The manifest's own name.
pub(super) const NAME: &str = "manifest.json";
/// Below the data folder: pictures that the shop kept elsewhere.
pub(super) const PICTURES: &str = "pictures";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub format: u32,
    /// The version that made it.
    pub aglet: String,
    /// The last migration of the database.
    pub schema: i64,
    /// When, as RFC 3339 has it.
    pub created: String,
    pub products: u64,
    pub files: Vec<FileEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FileEntry {
    /// In the data folder.
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
    /// When it was changed, since 1970: by this a picture is known to be the one that was read.
    pub modified: Duration,
}

impl FileEntry {
    pub(super) fn modified(&self) -> SystemTime {
        UNIX_EPOCH + self.modified
    }

    /// Whether a backup may hold a file of this name: nothing that leads out of the data folder, and
    /// nothing that is no part of a catalog.
    pub(super) fn is_sound(&self) -> bool {
        let path = Path::new(&self.path);
        let plain = path.components().all(|c| matches!(c, Component::Normal(_)))
            && path.components().collect::<PathBuf>().as_os_str() == path.as_os_str()
            && !self.path.contains('\0');
        let below = |folder: &str| {
            let rest = self.path.strip_prefix(folder);
            rest.is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        };
        plain && (self.path == FILE || below(UPLOADS) || below(PICTURES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        let sound = |path: &str| {
            let file = FileEntry {
                path: path.to_owned(),
                bytes: 0,
                sha256: String::new(),
                modified: Duration::ZERO,
            };
            file.is_sound()
        };
        for path in [
            "catalog.sqlite",
            "uploads/ab/abcd",
            "pictures/1/a b/..c.jpg",
        ] {
            assert!(sound(path), "{path}");
        }
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "uploads",
            "uploads/",
            "uploads/../../x",
            "uploads//x",
            "uploads/./x",
            "uploadsx/y",
            "catalog.sqlite/",
            "catalog.sqlite-wal",
            "index/x",
            "pictures/a\0b",
        ] {
            assert!(!sound(path), "{path:?}");
        }
    }
}
