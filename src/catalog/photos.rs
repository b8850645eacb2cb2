//! Reading pictures: from folders and, without unpacking them, from zip archives.
//!
//! Paths never come from a client. Those that a catalog file names are held to the folder that was
//! given for them: no absolute path, no `..`, no link that leads out ([`Shelf::at`]); a Kaggle id
//! is looked up among the names that are really there ([`Shelf::find`]).

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use zip::ZipArchive;
use zip::result::ZipError;

use super::{CatalogError, ImageSource};

/// No product picture is larger; a file that says so is a mistake or a bomb.
const LARGEST: u64 = 64 << 20;
/// Endings of picture files, the preferred first.
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];
const OPEN_ARCHIVES: u64 = 8;

/// A cheap, clonable reader that keeps archives open: reading a directory of 41,615 members takes
/// far longer than reading one of them.
#[derive(Clone)]
pub struct Photos {
    archives: moka::sync::Cache<PathBuf, Arc<Archive>>,
}

struct Archive {
    /// An archive that was replaced on disk is opened anew.
    stamp: String,
    zip: Mutex<ZipArchive<BufReader<File>>>,
}

impl Default for Photos {
    fn default() -> Self {
        Self {
            archives: moka::sync::Cache::new(OPEN_ARCHIVES),
        }
    }
}

fn io_error(path: &Path, source: io::Error) -> CatalogError {
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

impl Photos {
    /// The bytes of a picture; `None` when it is not there. Blocking.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is larger than any picture should be.
    pub fn read(&self, source: &ImageSource) -> Result<Option<Bytes>, CatalogError> {
        match source {
            ImageSource::File(path) => {
                let Some(file) = present(path, File::open(path))? else {
                    return Ok(None);
                };
                let length = file.metadata().map_err(|e| io_error(path, e))?.len();
                read_all(path, length, file).map(Some)
            }
            ImageSource::Zip {
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
    pub(super) fn stamp(&self, source: &ImageSource) -> Result<Option<String>, CatalogError> {
        match source {
            ImageSource::File(path) => Ok(present(path, path.metadata())?.map(|m| file_stamp(&m))),
            ImageSource::Zip {
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

    fn archive(&self, path: &Path) -> Result<Option<Arc<Archive>>, CatalogError> {
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

/// A folder or an archive of pictures that an import was pointed to.
pub(super) struct Shelf {
    root: PathBuf,
    archive: bool,
    /// Stem (`1163` of `images/1163.jpg`) -> name inside; filled by the first [`Shelf::find`].
    by_stem: std::sync::OnceLock<HashMap<String, String>>,
    members: Vec<String>,
}

impl Shelf {
    /// # Errors
    /// When there is neither a folder nor a readable zip archive at `path`.
    pub(super) fn open(path: &Path, photos: &Photos) -> Result<Self, CatalogError> {
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
    pub(super) fn images_within(&self) -> Option<PathBuf> {
        let within = self.root.join("images");
        (!self.archive && within.is_dir()).then_some(within)
    }

    /// The picture called `stem`, wherever in the archive, directly in the folder.
    pub(super) fn find(&self, stem: &str) -> Option<ImageSource> {
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

    fn source(&self, name: &str) -> ImageSource {
        if self.archive {
            ImageSource::Zip {
                archive: self.root.clone(),
                member: name.to_owned(),
            }
        } else {
            ImageSource::File(self.root.join(name))
        }
    }

    /// The picture at a relative path; `None` when it is not there.
    ///
    /// # Errors
    /// In words, when the path leaves the folder.
    pub(super) fn at(&self, path: &str) -> Result<Option<ImageSource>, String> {
        if path.contains("://") {
            return Err("is a web address: pictures are read from files".to_owned());
        }
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
        match self.root.join(path).canonicalize() {
            Ok(real) if !real.starts_with(&self.root) => {
                Err("is a link that leaves the folder".to_owned())
            }
            Ok(real) if real.is_file() => Ok(Some(ImageSource::File(real))),
            _ => Ok(None),
        }
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
fn archive_members(root: &Path, photos: &Photos) -> Result<Vec<String>, CatalogError> {
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
