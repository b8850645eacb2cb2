//! Weights and the state of a run in safetensors files: written beside the old one and renamed, so
//! that a kill at any point leaves a whole checkpoint.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::train::net::parameters::{Parameter, Parameters};

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {source}")]
    Format {
        path: PathBuf,
        source: safetensors::SafeTensorError,
    },
    #[error(
        "{path}: {name} is stored as {dtype:?}; only float32, float16 and bfloat16 can be read"
    )]
    Dtype {
        path: PathBuf,
        name: String,
        dtype: Dtype,
    },
    #[error("{path}: {name} is missing")]
    Missing { path: PathBuf, name: String },
    #[error("{path}: {name} has shape {found:?}, but the model needs {wanted:?}")]
    Shape {
        path: PathBuf,
        name: String,
        found: Vec<usize>,
        wanted: Vec<usize>,
    },
    #[error("{path}: the state of a run is missing: this is not a run's checkpoint")]
    NoState { path: PathBuf },
    #[error("{path}: the run's state: {source}")]
    State {
        path: PathBuf,
        source: serde_json::Error,
    },
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredFloat {
    F32,
    F16,
}

impl StoredFloat {
    /// Half precision where that is wanted.
    #[must_use]
    pub fn half_if(half: bool) -> Self {
        if half { Self::F16 } else { Self::F32 }
    }
}

/// Name, shape and values.
pub type Array<'a> = (String, &'a [usize], &'a [f32]);

/// A file's table of texts.
pub type Metadata = HashMap<String, String>;

/// A file's arrays by name.
pub type Arrays = HashMap<String, Parameter>;

fn bytes(values: &[f32], float: StoredFloat) -> Vec<u8> {
    match float {
        StoredFloat::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        StoredFloat::F16 => values
            .iter()
            .flat_map(|v| f16::from_f32(*v).to_le_bytes())
            .collect(),
    }
}

/// Writes arrays and a metadata table; atomic.
///
/// # Errors
/// If the file cannot be written.
pub fn write(
    path: &Path,
    arrays: &[Array<'_>],
    metadata: Metadata,
    float: StoredFloat,
) -> Result<(), CheckpointError> {
    let format = |source| CheckpointError::Format {
        path: path.into(),
        source,
    };
    let dtype = match float {
        StoredFloat::F32 => Dtype::F32,
        StoredFloat::F16 => Dtype::F16,
    };
    let raw: Vec<Vec<u8>> = arrays
        .iter()
        .map(|(_, _, values)| bytes(values, float))
        .collect();
    let views = arrays
        .iter()
        .zip(&raw)
        .map(|((name, shape, _), raw)| {
            Ok((name.as_str(), TensorView::new(dtype, shape.to_vec(), raw)?))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(format)?;
    let beside = path.with_extension("part");
    safetensors::serialize_to_file(views, Some(metadata), &beside).map_err(format)?;
    std::fs::rename(&beside, path).map_err(|source| CheckpointError::Io {
        path: path.into(),
        source,
    })
}

/// Writes a model's weights under their own names, `logit_scale` as a scalar.
///
/// # Errors
/// If the file cannot be written.
pub fn write_weights(
    path: &Path,
    parameters: &Parameters,
    float: StoredFloat,
) -> Result<(), CheckpointError> {
    let arrays: Vec<_> = parameters
        .0
        .iter()
        .map(|p| (p.name.clone(), p.shape.as_slice(), p.values.as_slice()))
        .collect();
    write(
        path,
        &arrays,
        HashMap::from([("format".to_owned(), "pt".to_owned())]),
        float,
    )
}

/// Every array of a file as f32, by name, and its metadata table.
///
/// # Errors
/// If it cannot be read, or holds an integer array other than the position ids that old checkpoints
/// carry.
pub fn read(path: &Path) -> Result<(Arrays, Metadata), CheckpointError> {
    let file = std::fs::read(path).map_err(|source| CheckpointError::Io {
        path: path.into(),
        source,
    })?;
    let format = |source| CheckpointError::Format {
        path: path.into(),
        source,
    };
    let (_, metadata) = SafeTensors::read_metadata(&file).map_err(format)?;
    let tensors = SafeTensors::deserialize(&file).map_err(format)?;
    let mut arrays = HashMap::new();
    for (name, view) in tensors.iter() {
        let values = match view.dtype() {
            Dtype::F32 => view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Dtype::F16 => view
                .data()
                .chunks_exact(2)
                .map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            Dtype::BF16 => view
                .data()
                .chunks_exact(2)
                .map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            _ if name.ends_with("position_ids") => continue,
            dtype => {
                return Err(CheckpointError::Dtype {
                    path: path.into(),
                    name: name.to_owned(),
                    dtype,
                });
            }
        };
        arrays.insert(
            name.to_owned(),
            Parameter {
                name: name.to_owned(),
                shape: view.shape().to_vec(),
                values,
            },
        );
    }
    Ok((arrays, metadata.metadata().clone().unwrap_or_default()))
}

/// Fills `parameters` from `arrays`, whose names carry `prefix`.
///
/// # Errors
/// If one is missing or of another shape (`logit_scale` may be `[]` or `[1]`).
pub fn fill(
    path: &Path,
    arrays: &mut Arrays,
    prefix: &str,
    parameters: &mut Parameters,
) -> Result<(), CheckpointError> {
    for parameter in &mut parameters.0 {
        let name = format!("{prefix}{}", parameter.name);
        let Some(found) = arrays.remove(&name) else {
            return Err(CheckpointError::Missing {
                path: path.into(),
                name,
            });
        };
        let scalar = parameter.values.len() == 1 && found.values.len() == 1;
        if found.shape != parameter.shape && !scalar {
            let (found, wanted) = (found.shape, parameter.shape.clone());
            return Err(CheckpointError::Shape {
                path: path.into(),
                name,
                found,
                wanted,
            });
        }
        parameter.values = found.values;
    }
    Ok(())
}
