//! Why there is no backup, or it was not restored.

use std::io;
use std::path::{Path, PathBuf};

use crate::catalog::error::CatalogError;
use crate::util::blocking::BlockingError;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{folder} holds no catalog: name the data folder of the service", folder = .0.display())]
    NoCatalog(PathBuf),
    #[error("{path} is there already: name another file, or replace it with --force", path = .0.display())]
    Exists(PathBuf),
    #[error("{path} is a folder: name a file in it", path = .0.display())]
    Folder(PathBuf),
    #[error("{folder} is not empty (it holds {entry:?}): a backup is restored into a new or an empty folder", folder = folder.display())]
    NotEmpty { folder: PathBuf, entry: String },
    #[error("{path} is not a backup of Aglet ({reason})", path = path.display())]
    NotABackup { path: PathBuf, reason: String },
    #[error("{path} is damaged ({what}): nothing was restored, take another backup", path = path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("{path} holds {entry:?}, which no backup has ({reason}): nothing was restored", path = path.display())]
    Foreign {
        path: PathBuf,
        entry: String,
        reason: &'static str,
    },
    #[error("{path} was made by Aglet {aglet}, a newer version: update Aglet", path = path.display())]
    Newer { path: PathBuf, aglet: String },
    #[error("the catalog in {folder} is of an earlier version, whose pictures cannot be backed up: start this version on it once, or leave --pictures out", folder = .0.display())]
    OldPictures(PathBuf),
    #[error("no space is left for {path}: free some, or name another place", path = .0.display())]
    Full(PathBuf),
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Interrupted(#[from] BlockingError),
}

impl BackupError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full(path.to_owned())
            }
            _ => Self::Io {
                path: path.to_owned(),
                source,
            },
        }
    }
}
