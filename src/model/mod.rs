//! The model folder at rest: what is in it, whether it is whole, and how it comes into being.
//!
//! A folder holds a CLIP model in Hugging Face's layout (`config.json`, `preprocessor_config.json`,
//! `tokenizer.json`, `model.safetensors`) plus what serving adds: `text.onnx` and `image.onnx`, two small graphs
//! whose weights lie in the safetensors file, and `model.json`, the [`Manifest`]. Knows neither burn nor ort.

pub mod manifest;

use std::path::{Path, PathBuf};

use crate::domain::ModelId;
pub use manifest::{Fit, Manifest, Preprocessing};

/// A folder whose manifest was read and whose files are the ones that the manifest names.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    path: PathBuf,
    manifest: Manifest,
    id: ModelId,
}

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

impl ModelFolder {
    /// Reads the manifest and checks every file's size and sha256.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        todo!("{}", path.display())
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
        self.path.join("text.onnx")
    }
    #[must_use]
    pub fn image_graph(&self) -> PathBuf {
        self.path.join("image.onnx")
    }
    #[must_use]
    pub fn tokenizer(&self) -> PathBuf {
        self.path.join("tokenizer.json")
    }
}
