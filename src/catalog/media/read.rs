//! Opening and reading pictures, from folders and, without unpacking them, from zip archives.
//!
//! A file is opened below its folder by `cap-std` (openat2 with RESOLVE_BENEATH on Linux): a link
//! that leads out of the folder is an error, whoever put it there and when. Only regular files are
//! read: a pipe, a device or a folder is an error. Opening never waits for the other end of a pipe.
//!
//! Everything here blocks for as long as the storage takes: see [`readers`](super::readers).

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use zip::ZipArchive;
use zip::result::ZipError;

use super::hosts::PictureHosts;
use super::web::Web;
use super::{LARGEST, PicturePlace};
use crate::catalog::error::CatalogError;

const OPEN_ARCHIVES: u64 = 8;

/// A cheap, clonable reader that keeps archives open: reading a directory of 41,615 members takes
/// far longer than reading one of them.
#[derive(Clone)]
pub struct PictureFiles {
    archives: moka::sync::Cache<PathBuf, Arc<Archive>>,
    hosts: PictureHosts,
    web: Web,
}

pub(super) struct Archive {
    /// An archive that was replaced on disk is opened anew.
    stamp: String,
    pub(super) zip: Mutex<ZipArchive<BufReader<File>>>,
}

impl Default for PictureFiles {
    /// Without the web.
    fn default() -> Self {
        Self::new(PictureHosts::default())
    }
}

pub(super) fn io_error(path: &Path, source: io::Error) -> CatalogError {
    CatalogError::io(path, source)
}

fn zip_error(path: &Path, error: ZipError) -> CatalogError {
    let source = match error {
        ZipError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    };
    io_error(path, source)
}

/// Size and time: what tells a file that was replaced from one that was not, without reading it.
fn file_stamp(metadata: &Metadata) -> String {
    let time = metadata
        .modified()
        .ok()
        .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default();
    format!("{}-{}", metadata.len(), time.as_nanos())
}

/// `None` for what is not there.
fn present<T>(path: &Path, result: io::Result<T>) -> Result<Option<T>, CatalogError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(io_error(path, error)),
    }
}

fn read_all(path: &Path, announced: u64, reader: impl Read) -> Result<Bytes, CatalogError> {
    let too_large = || io_error(path, io::Error::from(io::ErrorKind::FileTooLarge));
    if announced > LARGEST {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or_default());
    reader
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| io_error(path, e))?;
    if bytes.len() as u64 > LARGEST {
        Err(too_large())
    } else {
        Ok(bytes.into())
    }
}

/// Opens a picture that is a file, below its folder: it, its length and its stamp. `None` when it is
/// not there, or lies in an archive.
pub(in crate::catalog) fn open(
    source: &PicturePlace,
) -> Result<Option<(File, u64, String)>, CatalogError> {
    let PicturePlace::File { folder, name } = source else {
        return Ok(None);
    };
    let path = source.path();
    let opened = Dir::open_ambient_dir(folder, ambient_authority())
        .and_then(|folder| folder.open_with(name, &options()));
    let opened = opened.map_err(|error| match error.kind() {
        // cap-std's own word for it, which no system call gave.
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            io::Error::new(error.kind(), "is a link that leaves its folder")
        }
        _ => error,
    });
    let Some(file) = present(&path, opened)? else {
        return Ok(None);
    };
    let file = file.into_std();
    let metadata = file.metadata().map_err(|e| io_error(&path, e))?;
    if !metadata.is_file() {
        let reason = io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file");
        return Err(io_error(&path, reason));
    }
    if metadata.len() > LARGEST {
        return Err(io_error(&path, io::ErrorKind::FileTooLarge.into()));
    }
    let stamp = file_stamp(&metadata);
    Ok(Some((file, metadata.len(), stamp)))
}

/// For reading, without waiting: a pipe is opened at once and then refused.
fn options() -> cap_std::fs::OpenOptions {
    let mut options = cap_std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt as _;
        options.custom_flags(NONBLOCK);
    }
    options
}

/// `O_NONBLOCK`, which regular files take no notice of.
#[cfg(unix)]
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

impl PictureFiles {
    /// `hosts`: where pictures are fetched from.
    #[must_use]
    pub fn new(hosts: PictureHosts) -> Self {
        Self {
            archives: moka::sync::Cache::new(OPEN_ARCHIVES),
            web: Web::new(hosts.clone()),
            hosts,
        }
    }

    pub(in crate::catalog) fn hosts(&self) -> &PictureHosts {
        &self.hosts
    }

    /// Those on the web.
    pub(in crate::catalog) fn web(&self) -> &Web {
        &self.web
    }

    /// The bytes of a picture; `None` when it is not there. Blocking.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is larger than any picture should be.
    pub fn read(&self, source: &PicturePlace) -> Result<Option<Bytes>, CatalogError> {
        match source {
            PicturePlace::File { .. } => {
                let Some((file, length, _)) = open(source)? else {
                    return Ok(None);
                };
                read_all(&source.path(), length, file).map(Some)
            }
            PicturePlace::Zip {
                archive: path,
                member,
            } => {
                let Some(archive) = self.archive(path)? else {
                    return Ok(None);
                };
                let mut zip = archive.zip.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(index) = zip.index_for_name_raw(member.as_bytes()) else {
                    return Ok(None);
                };
                let entry = zip.by_index(index).map_err(|e| zip_error(path, e))?;
                read_all(path, entry.size(), entry).map(Some)
            }
        }
    }

    /// Differs when the picture does (size and time; CRC and size in an archive); `None` when it is
    /// not there.
    pub(in crate::catalog) fn stamp(
        &self,
        source: &PicturePlace,
    ) -> Result<Option<String>, CatalogError> {
        match source {
            PicturePlace::File { .. } => Ok(open(source)?.map(|(.., stamp)| stamp)),
            PicturePlace::Zip {
                archive: path,
                member,
            } => {
                let Some(archive) = self.archive(path)? else {
                    return Ok(None);
                };
                let zip = archive.zip.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(index) = zip.index_for_name_raw(member.as_bytes()) else {
                    return Ok(None);
                };
                let entry = zip.by_index_data(index).map_err(|e| zip_error(path, e))?;
                Ok(Some(format!("{:08x}-{}", entry.crc32(), entry.size())))
            }
        }
    }

    /// In bytes; `None` when it is not there.
    pub(super) fn length(&self, source: &PicturePlace) -> Result<Option<u64>, CatalogError> {
        let PicturePlace::Zip { archive, member } = source else {
            return Ok(open(source)?.map(|(_, length, _)| length));
        };
        let Some(open) = self.archive(archive)? else {
            return Ok(None);
        };
        let zip = open.zip.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = zip.index_for_name_raw(member.as_bytes()) else {
            return Ok(None);
        };
        let entry = zip
            .by_index_data(index)
            .map_err(|e| zip_error(archive, e))?;
        Ok(Some(entry.size()))
    }

    pub(super) fn archive(&self, path: &Path) -> Result<Option<Arc<Archive>>, CatalogError> {
        let Some(metadata) = present(path, path.metadata())? else {
            return Ok(None);
        };
        let stamp = file_stamp(&metadata);
        if let Some(open) = self.archives.get(path).filter(|a| a.stamp == stamp) {
            return Ok(Some(open));
        }
        let file = File::open(path).map_err(|e| io_error(path, e))?;
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|e| zip_error(path, e))?;
        let archive = Arc::new(Archive {
            stamp,
            zip: Mutex::new(zip),
        });
        self.archives.insert(path.to_owned(), archive.clone());
        Ok(Some(archive))
    }
}
