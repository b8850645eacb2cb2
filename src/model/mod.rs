//! The model folder at rest: what is in it, whether it is whole, and how it comes into being.
//!
//! A folder holds a CLIP model in Hugging Face's layout (`config.json`, `preprocessor_config.json`,
//! `tokenizer.json`, `model.safetensors`) plus what serving adds: `text.onnx` and `image.onnx`, two
//! small graphs whose weights lie in the safetensors file, and `model.json`, the [`Manifest`].
//! Knows neither burn nor ort.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`manifest`] | `model.json`: sizes, preprocessing, the hash of every file; the model's id |
//! | [`clip_config`] | `config.json` of a CLIP checkpoint |
//! | [`preprocessor`] | `preprocessor_config.json` -> preprocessing |
//! | [`tokenizer`] | `tokenizer.json`, checked or made of a vocabulary |
//! | [`weights`] | `model.safetensors` |
//! | [`onnx`] | the graphs |
//! | [`export`](mod@export) | a checkpoint -> a model folder |
//! | [`pull`] | a checkpoint from a hub |
//!
//! [`ModelFolder::open`] refuses a folder in which any file differs from the manifest by a byte;
//! [`export()`] makes such a folder from a checkpoint, whole or not at all.

pub mod clip_config;
pub mod export;
pub mod manifest;
pub mod onnx;
pub mod preprocessor;
pub mod pull;
pub mod tokenizer;
pub mod weights;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::domain::ModelId;
use crate::util::digest::sha256_of_file;
pub use crate::vision::{Fit, Preprocessing};
pub use clip_config::ClipConfig;
pub use export::{ExportError, ExportOptions, WeightType, export};
pub use manifest::{FileEntry, Manifest, ManifestError};

/// A folder whose manifest was read and whose files are the ones that the manifest names.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    path: PathBuf,
    manifest: Manifest,
    id: ModelId,
}

/// Why a folder is not a usable model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("there is no model folder at {path}")]
    NoFolder { path: PathBuf },
    #[error(
        "{path} has no model.json: make a model folder from it with `aglet model export --from {path} --to models/NAME`"
    )]
    NotExported { path: PathBuf },
    #[error(
        "{path} is a Git LFS pointer, not the file itself: run git lfs pull where it was cloned"
    )]
    LfsPointer { path: PathBuf },
    #[error(
        "{path} is a folder of sentence-transformers; its CLIP checkpoint is the folder in it: name {inner}"
    )]
    SentenceTransformers { path: PathBuf, inner: PathBuf },
    #[error("{path}: {source}")]
    Manifest {
        path: PathBuf,
        source: ManifestError,
    },
    #[error("{path} is missing, model.json names it")]
    MissingFile { path: PathBuf },
    #[error("{path} has {found} bytes, model.json says {expected}: the copy is not whole")]
    Size {
        path: PathBuf,
        expected: u64,
        found: u64,
    },
    #[error("{path} is not the file that model.json names (its sha256 is {found}, not {expected})")]
    Hash {
        path: PathBuf,
        expected: String,
        found: String,
    },
}

impl ModelFolder {
    /// Reads the manifest alone; whether the files are those that it names is not looked at.
    ///
    /// # Errors
    /// [`ModelError`], when there is no manifest or it cannot be used.
    pub fn manifest_of(path: &Path) -> Result<Manifest, ModelError> {
        if !path.is_dir() {
            return Err(ModelError::NoFolder {
                path: path.to_owned(),
            });
        }
        let file = path.join(manifest::MANIFEST);
        let json = match fs::read(&file) {
            Ok(json) => json,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                no_other_folder(path)?;
                return Err(ModelError::NotExported {
                    path: path.to_owned(),
                });
            }
            Err(source) => return Err(ModelError::Io { path: file, source }),
        };
        if is_lfs_pointer(&json) {
            return Err(ModelError::LfsPointer { path: file });
        }
        Manifest::parse(&json).map_err(|source| ModelError::Manifest { path: file, source })
    }

    /// Reads the manifest and checks every file's size and sha256: all bytes are read once (hashing
    /// the 605 MB of a ViT-B/32 takes 0.4 s of a core that has the SHA instructions).
    ///
    /// # Errors
    /// [`ModelError`], which names the file and what to do.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let manifest = Self::manifest_of(path)?;

        // Sizes of all before the hash of any: a copy that was cut short is reported at once.
        for (name, entry) in &manifest.files {
            let path = path.join(name);
            match fs::metadata(&path) {
                Ok(data) if data.len() == entry.bytes => {}
                Ok(data) => {
                    if data.len() < 1_024 && fs::read(&path).is_ok_and(|file| is_lfs_pointer(&file))
                    {
                        return Err(ModelError::LfsPointer { path });
                    }
                    return Err(ModelError::Size {
                        path,
                        expected: entry.bytes,
                        found: data.len(),
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    return Err(ModelError::MissingFile { path });
                }
                Err(source) => return Err(ModelError::Io { path, source }),
            }
        }
        for (name, entry) in &manifest.files {
            let path = path.join(name);
            let found = file_entry(&path)?.sha256;
            if found != entry.sha256 {
                return Err(ModelError::Hash {
                    path,
                    expected: entry.sha256.clone(),
                    found,
                });
            }
        }
        let id = manifest.id();
        Ok(Self {
            path: path.to_owned(),
            manifest,
            id,
        })
    }

    /// Where the folder lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
    #[must_use]
    pub fn id(&self) -> &ModelId {
        &self.id
    }
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
    #[must_use]
    pub fn text_graph(&self) -> PathBuf {
        self.path.join(manifest::TEXT_GRAPH)
    }
    #[must_use]
    pub fn image_graph(&self) -> PathBuf {
        self.path.join(manifest::IMAGE_GRAPH)
    }
    #[must_use]
    pub fn tokenizer(&self) -> PathBuf {
        self.path.join(manifest::TOKENIZER)
    }
}

/// Whether a file is what Git has in place of a large one that was not fetched
/// (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).
fn is_lfs_pointer(file: &[u8]) -> bool {
    file.starts_with(b"version https://git-lfs.github.com/spec/")
}

/// # Errors
/// When the folder is one of sentence-transformers, which has the checkpoint in a folder of its own.
fn no_other_folder(path: &Path) -> Result<(), ModelError> {
    if !path.join("modules.json").is_file() {
        return Ok(());
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut inner: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|folder| folder.join("config.json").is_file())
        .collect();
    inner.sort();
    match inner.into_iter().next() {
        Some(inner) => Err(ModelError::SentenceTransformers {
            path: path.to_owned(),
            inner,
        }),
        None => Ok(()),
    }
}

/// A file's size and sha256.
fn file_entry(path: &Path) -> Result<FileEntry, ModelError> {
    let io = |source| ModelError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(io)?;
    let (bytes, sha256) = sha256_of_file(&mut file).map_err(io)?;
    Ok(FileEntry { bytes, sha256 })
}
