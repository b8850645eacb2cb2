//! Why the catalog could not be read or changed.

use std::path::{Path, PathBuf};

use crate::util::blocking::BlockingError;

/// Why the catalog could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("{path} was written by a newer version of Aglet (it knows migration {found}, this one ends at {known}): \
             update Aglet, or name another data folder", path = path.display())]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error("{path} is damaged or no catalog of Aglet ({reason}): move it away and import again, or restore a copy", path = path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("another process{} is changing the catalog in {folder}: wait until it is done; an import waits itself with --wait", holder.map(|p| format!(" (pid {p})")).unwrap_or_default(), folder = folder.display())]
    Locked {
        folder: PathBuf,
        holder: Option<u32>,
    },
    #[error("no space is left for {path}: free some and run the same command again; what was reported done is kept", path = path.display())]
    Full { path: PathBuf },
    #[error("{path} cannot be written to, its file system is read-only: mount it so that it can be written to, also to search alone, or copy the data folder", path = path.display())]
    ReadOnly { path: PathBuf },
    #[error("{folder} holds {what}/ and no database: another volume is mounted there than was meant, or the database was lost. Name the right folder, or restore a backup; to begin anew, remove {what}/", folder = folder.display())]
    NoDatabase { folder: PathBuf, what: &'static str },
    #[error("the database {server} does not answer, or can only be read now: {source}", server = server.display())]
    Away {
        /// Its address, without the password.
        server: PathBuf,
        source: sqlx::Error,
    },
    #[error("{server} cannot keep vectors: {reason}. The setting `vectors = pgvector` needs a server of PostgreSQL \
             with pgvector 0.8 or later, and a user who may make the extension or one who has made it \
             (CREATE EXTENSION vector)", server = server.display())]
    NoPgvector { server: PathBuf, reason: String },
    #[error("the database stayed busy: {0}")]
    Busy(#[source] sqlx::Error),
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    #[error("{path}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the pictures in {place} cannot be reached: {reason}")]
    PicturesAway {
        /// A folder or a bucket.
        place: String,
        reason: String,
    },
    #[error("{what} was not read within {seconds} s: its storage does not answer")]
    PictureHangs { what: String, seconds: u64 },
    #[error("more pictures are being read than can be, or their storage does not answer")]
    PicturesBusy,
    #[error(transparent)]
    Interrupted(#[from] BlockingError),
}

impl CatalogError {
    /// Whether another try, later, may go through with nothing done about it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Busy(_)
                | Self::Away { .. }
                | Self::PicturesAway { .. }
                | Self::Full { .. }
                | Self::Locked { .. }
        )
    }

    pub(in crate::catalog) fn io(path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full {
                path: path.to_owned(),
            },
            std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly {
                path: path.to_owned(),
            },
            _ => Self::Io {
                path: path.to_owned(),
                source,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_of_a_file_becomes_what_to_do() {
        let said = |code| {
            let source = std::io::Error::from_raw_os_error(code);
            CatalogError::io(Path::new("data/migrate.lock"), source).to_string()
        };
        let read_only = rustix::io::Errno::ROFS.raw_os_error();
        assert!(said(read_only).contains("mount it"), "{}", said(read_only));
        for full in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
            let full = said(full.raw_os_error());
            assert!(full.contains("no space is left for data"), "{full}");
        }
    }
}
