//! A CLIP checkpoint in Hugging Face's layout -> a model folder, whole or not at all.
//!
//! Everything is written into a hidden folder beside the target, opened and checked there, and
//! renamed at the end; an export that fails or is killed leaves no target. Refuses what would be
//! served wrongly: other architectures, weights that do not fit config.json, preprocessing that is
//! not done here, a tokenizer that is not CLIP's.

use std::error::Error;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::clip_config::{ClipConfig, ConfigError};
use super::manifest::{FORMAT, IMAGE_GRAPH, MANIFEST, Manifest, TEXT_GRAPH, TOKENIZER, WEIGHTS};
use super::preprocessor::PreprocessorError;
use super::tokenizer::{self, TokenizerError};
use super::weights::{Weights, WeightsError};
use super::{ModelError, ModelFolder, file_entry, onnx};
use crate::vision::Preprocessing;

/// Where a download says what it is; its content goes into the manifest's provenance.
pub const SOURCE: &str = "aglet_source.json";

const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const CARD: &str = "MODEL_CARD.md";

#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// In which type the weights are stored; embeddings are computed in float32 either way.
    pub weights: WeightType,
    /// Put in the place of a target that is there already.
    pub replace: bool,
    /// How the model was trained, what it scores, ..: fields of the manifest's provenance.
    pub provenance: serde_json::Map<String, Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightType {
    /// As in the checkpoint, byte for byte.
    #[default]
    Keep,
    /// Half the size of float32. Embeddings of a random ViT-B/32 moved by at most 1.1e-3 of their
    /// length (cosine 0.999999).
    Float16,
}

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("there is no checkpoint folder at {path}")]
    NoCheckpoint { path: PathBuf },
    #[error(
        "{path} has no {name}: it is needed beside model.safetensors (`aglet model pull` fetches a whole checkpoint)"
    )]
    Missing { path: PathBuf, name: &'static str },
    #[error(
        "{path} has its weights only as pytorch_model.bin, a pickle, which is not read here. Convert it once:\n  \
         python -c \"from transformers import CLIPModel; CLIPModel.from_pretrained('{path}')\
         .save_pretrained('{path}', safe_serialization=True)\"\n\
         or fetch a revision of the model that has model.safetensors"
    )]
    PickleOnly { path: PathBuf },
    #[error(
        "the weights in {path} are split over several files; save them as one model.safetensors (max_shard_size)"
    )]
    Sharded { path: PathBuf },
    #[error("{path}: {source}")]
    Config { path: PathBuf, source: ConfigError },
    #[error("{path}: {source}")]
    Preprocessor {
        path: PathBuf,
        source: PreprocessorError,
    },
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("logit_scale is {value}, which is not a usable temperature")]
    LogitScale { value: f32 },
    #[error("{path} is there already; it is left as it is unless it may be replaced (--replace)")]
    TargetExists { path: PathBuf },
    #[error("{path} names no folder")]
    Target { path: PathBuf },
    #[error("the exported model does not work: {source}")]
    Check {
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Makes the model folder `to` from the checkpoint `from`. `check` gets the finished folder before
/// it is renamed to its place: run the model there (this room does not know ONNX Runtime).
///
/// # Errors
/// [`ExportError`]; nothing is at `to` then that was not there before.
pub fn export(
    from: &Path,
    to: &Path,
    options: &ExportOptions,
    check: impl FnOnce(&ModelFolder) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> Result<ModelFolder, ExportError> {
    let name = to
        .file_name()
        .and_then(|n| n.to_str())
        .ok_or_else(|| ExportError::Target {
            path: to.to_owned(),
        })?;
    if to.exists() && !options.replace {
        return Err(ExportError::TargetExists {
            path: to.to_owned(),
        });
    }
    let checkpoint = Checkpoint::read(from)?;
    let parent = to
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
    let staging = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(".partial")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(|e| io_error(parent, e))?;
    checkpoint.write(staging.path(), name, options)?;
    let folder = ModelFolder::open(staging.path())?;
    check(&folder).map_err(|source| ExportError::Check { source })?;
    put(staging, to)?;
    Ok(ModelFolder {
        path: to.to_owned(),
        ..folder
    })
}

/// What is read and understood of a checkpoint before the first byte is written.
struct Checkpoint {
    folder: PathBuf,
    config: ClipConfig,
    /// The text of preprocessor_config.json, as found.
    preprocessor: Vec<u8>,
    preprocessing: Preprocessing,
    tokenizer: Vec<u8>,
    end_of_text: u32,
    weights: Weights,
}

impl Checkpoint {
    fn read(folder: &Path) -> Result<Self, ExportError> {
        if !folder.is_dir() {
            return Err(ExportError::NoCheckpoint {
                path: folder.to_owned(),
            });
        }
        if !folder.join(WEIGHTS).is_file() {
            super::no_other_folder(folder)?;
        }
        let path = folder.join(CONFIG);
        let config = ClipConfig::parse(&required(folder, CONFIG)?)
            .map_err(|source| ExportError::Config { path, source })?;
        let weights = folder.join(WEIGHTS);
        if !weights.is_file() {
            let path = folder.to_owned();
            return Err(
                match (
                    folder.join(format!("{WEIGHTS}.index.json")),
                    folder.join("pytorch_model.bin"),
                ) {
                    (index, _) if index.is_file() => ExportError::Sharded { path },
                    (_, pickle) if pickle.is_file() => ExportError::PickleOnly { path },
                    _ => ExportError::Missing {
                        path,
                        name: WEIGHTS,
                    },
                },
            );
        }
        // Newer transformers write the image processor into the processor's file.
        let newer = folder.join("processor_config.json");
        let preprocessor = match required(folder, PREPROCESSOR) {
            Err(ExportError::Missing { .. }) if newer.is_file() => {
                fs::read(&newer).map_err(|e| io_error(&newer, e))?
            }
            other => other?,
        };
        let path = folder.join(PREPROCESSOR);
        let preprocessing = Preprocessing::parse(&preprocessor, config.vision.image_size)
            .map_err(|source| ExportError::Preprocessor { path, source })?;
        let tokenizer = tokenizer::read(folder)?;
        let end_of_text = tokenizer::end_of_text(&tokenizer, &config.text)?;
        let weights = Weights::open(&weights)?;
        Ok(Self {
            folder: folder.to_owned(),
            config,
            preprocessor,
            preprocessing,
            tokenizer,
            end_of_text,
            weights,
        })
    }

    /// Writes every file of the model folder, the manifest last.
    fn write(&self, to: &Path, name: &str, options: &ExportOptions) -> Result<(), ExportError> {
        let (source, weights) = (self.folder.join(WEIGHTS), to.join(WEIGHTS));
        match options.weights {
            WeightType::Keep => copy(&source, &weights)?,
            WeightType::Float16 => self.weights.write_float16(&weights)?,
        }
        let weights = Weights::open(&weights)?;
        let temperature_scale = weights.scalar("logit_scale")?.exp();
        if !(temperature_scale.is_finite() && temperature_scale > 0.0) {
            return Err(ExportError::LogitScale {
                value: temperature_scale.ln(),
            });
        }
        write(
            &to.join(TEXT_GRAPH),
            &onnx::text_graph(&self.config, &weights)?,
        )?;
        write(
            &to.join(IMAGE_GRAPH),
            &onnx::image_graph(&self.config, &weights)?,
        )?;
        copy(&self.folder.join(CONFIG), &to.join(CONFIG))?;
        write(&to.join(PREPROCESSOR), &self.preprocessor)?;
        write(&to.join(TOKENIZER), &self.tokenizer)?;
        let mut files = std::collections::BTreeMap::new();
        for file in [
            CONFIG,
            PREPROCESSOR,
            TOKENIZER,
            WEIGHTS,
            TEXT_GRAPH,
            IMAGE_GRAPH,
        ] {
            files.insert(file.to_owned(), file_entry(&to.join(file))?);
        }
        let card = self.folder.join(CARD);
        if card.is_file() {
            copy(&card, &to.join(CARD))?;
        }
        let manifest = Manifest {
            format: FORMAT,
            name: name.to_owned(),
            dimensions: self.config.projection,
            context_length: self.config.text.context_length,
            end_of_text: self.end_of_text,
            temperature_scale,
            preprocessing: self.preprocessing.clone(),
            files,
            provenance: self.provenance(options),
        };
        let mut json = serde_json::to_vec_pretty(&manifest).expect("a manifest serializes");
        json.push(b'\n');
        Ok(write(&to.join(MANIFEST), &json)?)
    }

    /// The caller's fields, what a download or an earlier export said, and who exported.
    fn provenance(&self, options: &ExportOptions) -> Value {
        let read = |name: &str| {
            serde_json::from_slice::<Value>(&fs::read(self.folder.join(name)).ok()?).ok()
        };
        let mut out = options.provenance.clone();
        let earlier =
            read(MANIFEST).and_then(|mut manifest| Some(manifest.get_mut("provenance")?.take()));
        if let Some(Value::Object(earlier)) = earlier {
            for (key, value) in earlier {
                out.entry(key).or_insert(value);
            }
        }
        if let Some(source) = read(SOURCE) {
            out.entry("source").or_insert(source);
        }
        out.insert(
            "exported_by".to_owned(),
            json!(format!("aglet {}", env!("CARGO_PKG_VERSION"))),
        );
        Value::Object(out)
    }
}

fn required(folder: &Path, name: &'static str) -> Result<Vec<u8>, ExportError> {
    let path = folder.join(name);
    match fs::read(&path) {
        Ok(bytes) if super::is_lfs_pointer(&bytes) => Err(ModelError::LfsPointer { path }.into()),
        Ok(bytes) => Ok(bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(ExportError::Missing {
            path: folder.to_owned(),
            name,
        }),
        Err(e) => Err(io_error(&path, e).into()),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), ModelError> {
    fs::copy(from, to).map_err(|e| io_error(from, e))?;
    // A read-only source gives a read-only copy, which could not be synced or replaced.
    fs::set_permissions(to, Permissions::from_mode(0o644)).map_err(|e| io_error(to, e))?;
    File::open(to)
        .and_then(|file| file.sync_all())
        .map_err(|e| io_error(to, e))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| io_error(path, e))
}

/// Renames the finished folder to its place. An old one steps aside first and is deleted last: a
/// kill between the two renames leaves both under hidden names and nothing half at the target.
fn put(staging: tempfile::TempDir, to: &Path) -> Result<(), ModelError> {
    let aside = staging.path().with_extension("old");
    let replaced = to.exists();
    if replaced {
        fs::rename(to, &aside).map_err(|e| io_error(to, e))?;
    }
    if let Err(e) = fs::rename(staging.path(), to) {
        if replaced {
            fs::rename(&aside, to).map_err(|e| io_error(to, e))?;
        }
        return Err(io_error(to, e));
    }
    // It is no longer there under its old name.
    drop(staging.keep());
    if replaced {
        keep_others(&aside, to)?;
        fs::remove_dir_all(&aside).map_err(|e| io_error(&aside, e))?;
    }
    Ok(())
}

/// What somebody put beside the model, such as its card, stays beside the new one.
fn keep_others(from: &Path, to: &Path) -> Result<(), ModelError> {
    for entry in fs::read_dir(from).map_err(|e| io_error(from, e))? {
        let entry = entry.map_err(|e| io_error(from, e))?;
        let kept = to.join(entry.file_name());
        if !kept.exists() {
            fs::rename(entry.path(), &kept).map_err(|e| io_error(&kept, e))?;
        }
    }
    Ok(())
}

fn io_error(path: &Path, source: io::Error) -> ModelError {
    ModelError::Io {
        path: path.to_owned(),
        source,
    }
}
