//! `model.safetensors`: which tensor lies where, and the same file with half the bytes.
//!
//! Reads the header only; the tensors' bytes are ONNX Runtime's business. Refuses a file whose
//! header and length do not fit each other. Format:
//! <https://huggingface.co/docs/safetensors/index#format>.

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

/// Headers beyond this are taken for damage, as the reference implementation does.
const MAX_HEADER: u64 = 100_000_000;

/// The header of a safetensors file.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    metadata: Metadata,
    /// Where the tensors' bytes begin in the file.
    start: u64,
}

/// One tensor's place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub dtype: FloatType,
    /// From the beginning of the file.
    pub offset: u64,
    pub bytes: u64,
}

/// The types of weights that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatType {
    Float32,
    Float16,
    Bfloat16,
}

impl FloatType {
    fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::Float32),
            Dtype::F16 => Some(Self::Float16),
            Dtype::BF16 => Some(Self::Bfloat16),
            _ => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is not a whole safetensors file: {reason}")]
    Broken { path: PathBuf, reason: String },
    #[error(
        "the weights lack the tensor {name}: this is not a CLIP checkpoint in Hugging Face's layout"
    )]
    Missing { name: String },
    #[error("the tensor {name} has the shape {found:?}, config.json means {expected:?}")]
    Shape {
        name: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    #[error("the tensor {name} is of type {found}; float32, float16 and bfloat16 are supported")]
    Type { name: String, found: String },
    #[error("the tensor {name} holds {value}, which float16 cannot: keep float32")]
    Range { name: String, value: f32 },
}

impl Weights {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// When the file cannot be read, is cut short, or its header is not a safetensors header.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let io = |source| WeightsError::Io {
            path: path.to_owned(),
            source,
        };
        let broken = |reason: String| WeightsError::Broken {
            path: path.to_owned(),
            reason,
        };
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if length < 8 {
            return Err(broken(format!("{length} bytes")));
        }
        let mut prefix = [0; 8];
        file.read_exact(&mut prefix).map_err(io)?;
        // As a length it would be the number of these letters.
        if &prefix == b"version " {
            return Err(broken(
                "it is a Git LFS pointer: run git lfs pull where it was cloned".to_owned(),
            ));
        }
        let header = u64::from_le_bytes(prefix);
        if header > MAX_HEADER || header > length - 8 {
            return Err(broken(format!(
                "a header of {header} bytes in a file of {length}"
            )));
        }
        let mut json = Vec::new();
        file.take(header).read_to_end(&mut json).map_err(io)?;
        let metadata: Metadata =
            serde_json::from_slice(&json).map_err(|e| broken(e.to_string()))?;
        let expected = 8 + header + metadata.data_len() as u64;
        if length != expected {
            return Err(broken(format!(
                "{length} bytes, its header means {expected}"
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            metadata,
            start: 8 + header,
        })
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, WeightsError> {
        self.metadata
            .info(name)
            .ok_or_else(|| WeightsError::Missing {
                name: name.to_owned(),
            })
    }

    /// Where a tensor of exactly this shape lies.
    ///
    /// # Errors
    /// When it is absent, of another shape or of a type that is not served.
    pub fn place(&self, name: &str, shape: &[usize]) -> Result<Place, WeightsError> {
        let info = self.info(name)?;
        if info.shape != shape {
            let (found, expected) = (info.shape.clone(), shape.to_vec());
            return Err(WeightsError::Shape {
                name: name.to_owned(),
                found,
                expected,
            });
        }
        let dtype = FloatType::of(info.dtype).ok_or_else(|| WeightsError::Type {
            name: name.to_owned(),
            found: info.dtype.to_string(),
        })?;
        let (from, to) = info.data_offsets;
        Ok(Place {
            dtype,
            offset: self.start + from as u64,
            bytes: (to - from) as u64,
        })
    }

    /// The value of a tensor with one element (shape `[]` or `[1]`).
    ///
    /// # Errors
    /// As [`Self::place`], and when the file cannot be read.
    pub fn scalar(&self, name: &str) -> Result<f32, WeightsError> {
        let shape = self.info(name)?.shape.clone();
        let expected = if shape == [1] { &shape[..] } else { &[] };
        let place = self.place(name, expected)?;
        let mut bytes = vec![0; usize::try_from(place.bytes).unwrap_or(0)];
        self.read_at(place.offset, &mut bytes)?;
        Ok(floats(&bytes, place.dtype)[0])
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), WeightsError> {
        let mut read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(bytes)
        };
        read().map_err(|source| WeightsError::Io {
            path: self.path.clone(),
            source,
        })
    }

    /// Writes the same tensors with floats of rank 1 and more as float16 (round to nearest, ties to
    /// even); scalars keep their type. One tensor at a time is in memory.
    ///
    /// # Errors
    /// When a file cannot be read or written, or a finite value is beyond float16's range.
    ///
    /// # Panics
    /// Never: the names are the header's own.
    pub fn write_float16(&self, to: &Path) -> Result<(), WeightsError> {
        let io = |source| WeightsError::Io {
            path: to.to_owned(),
            source,
        };
        let halve =
            |info: &TensorInfo| FloatType::of(info.dtype).filter(|_| !info.shape.is_empty());
        let mut names = self.metadata.offset_keys();
        let info = |name: &str| {
            self.metadata
                .info(name)
                .expect("the name is the header's own")
        };
        // Wide types first, so that every tensor stays aligned to its elements.
        names.sort_by_key(|name| {
            Reverse(halve(info(name)).map_or(info(name).dtype.bitsize(), |_| 16))
        });
        let mut end = 0;
        let layout = names.iter().map(|name| {
            let mut entry = info(name).clone();
            let (from, to) = entry.data_offsets;
            let mut bytes = to - from;
            if halve(&entry).is_some() {
                bytes = bytes / (entry.dtype.bitsize() / 8) * 2;
                entry.dtype = Dtype::F16;
            }
            entry.data_offsets = (end, end + bytes);
            end += bytes;
            (name.clone(), entry)
        });
        let broken = |reason: String| WeightsError::Broken {
            path: self.path.clone(),
            reason,
        };
        let header = Metadata::new(self.metadata.metadata().clone(), layout.collect())
            .map_err(|e| broken(e.to_string()))?;
        let mut json = serde_json::to_vec(&header).map_err(|e| broken(e.to_string()))?;
        json.resize(json.len().next_multiple_of(8), b' ');

        let mut out = BufWriter::new(File::create(to).map_err(io)?);
        out.write_all(&(json.len() as u64).to_le_bytes())
            .and_then(|()| out.write_all(&json))
            .map_err(io)?;
        let source = File::open(&self.path).map_err(|source| WeightsError::Io {
            path: self.path.clone(),
            source,
        })?;
        let mut source = BufReader::new(source);
        for name in &names {
            let entry = info(name);
            let mut bytes = vec![0; entry.data_offsets.1 - entry.data_offsets.0];
            source
                .seek(SeekFrom::Start(self.start + entry.data_offsets.0 as u64))
                .and_then(|_| source.read_exact(&mut bytes))
                .map_err(|source| WeightsError::Io {
                    path: self.path.clone(),
                    source,
                })?;
            if let Some(dtype) = halve(entry) {
                bytes =
                    to_float16(&floats(&bytes, dtype)).map_err(|value| WeightsError::Range {
                        name: name.clone(),
                        value,
                    })?;
            }
            out.write_all(&bytes).map_err(io)?;
        }
        out.into_inner()
            .map_err(|e| io(e.into_error()))?
            .sync_all()
            .map_err(io)
    }
}

fn floats(bytes: &[u8], dtype: FloatType) -> Vec<f32> {
    let pairs = || bytes.as_chunks::<2>().0.iter();
    match dtype {
        FloatType::Float32 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect(),
        FloatType::Float16 => pairs().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        FloatType::Bfloat16 => pairs().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
    }
}

/// Little-endian float16, or the finite value that would become infinite.
fn to_float16(values: &[f32]) -> Result<Vec<u8>, f32> {
    let mut out = Vec::with_capacity(values.len() * 2);
    for &value in values {
        let rounded = f16::from_f32(value);
        if value.is_finite() && !rounded.is_finite() {
            return Err(value);
        }
        out.extend_from_slice(&rounded.to_le_bytes());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn write(folder: &Path) -> PathBuf {
        let path = folder.join("w.safetensors");
        let matrix: Vec<u8> = [1.5f32, -2.0, 0.1, 65504.0]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let scale = 4.6f32.to_le_bytes();
        let brain: Vec<u8> = [bf16::from_f32(3.0), bf16::from_f32(-0.5)]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let tensors = [
            (
                "matrix",
                TensorView::new(Dtype::F32, vec![2, 2], &matrix).expect("fits"),
            ),
            (
                "scale",
                TensorView::new(Dtype::F32, vec![], &scale).expect("fits"),
            ),
            (
                "brain",
                TensorView::new(Dtype::BF16, vec![2], &brain).expect("fits"),
            ),
        ];
        safetensors::serialize_to_file(tensors, None, &path).expect("writes");
        path
    }

    #[test]
    fn finds_tensors_where_they_are() {
        let folder = tempfile::tempdir().expect("temp");
        let path = write(folder.path());
        let weights = Weights::open(&path).expect("whole");
        let place = weights.place("matrix", &[2, 2]).expect("there");
        assert_eq!((place.dtype, place.bytes), (FloatType::Float32, 16));
        let file = std::fs::read(&path).expect("reads");
        let at = usize::try_from(place.offset).expect("small");
        assert_eq!(file[at..at + 4], 1.5f32.to_le_bytes());
        assert!((weights.scalar("scale").expect("there") - 4.6).abs() < 1e-6);
        assert!(matches!(
            weights.place("matrix", &[4]),
            Err(WeightsError::Shape { .. })
        ));
        assert!(matches!(
            weights.place("nothing", &[4]),
            Err(WeightsError::Missing { .. })
        ));
    }

    #[test]
    fn half_the_bytes_hold_the_rounded_values() {
        let folder = tempfile::tempdir().expect("temp");
        let weights = Weights::open(&write(folder.path())).expect("whole");
        let path = folder.path().join("half.safetensors");
        weights.write_float16(&path).expect("writes");
        let file = std::fs::read(&path).expect("reads");
        let halved = safetensors::SafeTensors::deserialize(&file)
            .expect("valid for the reference reader too");
        let matrix = halved.tensor("matrix").expect("there");
        let values = floats(matrix.data(), FloatType::Float16);
        assert_eq!((matrix.dtype(), matrix.shape()), (Dtype::F16, &[2, 2][..]));
        assert_eq!(values, [1.5, -2.0, f16::from_f32(0.1).to_f32(), 65504.0]);
        assert_eq!(
            floats(
                halved.tensor("brain").expect("there").data(),
                FloatType::Float16
            ),
            [3.0, -0.5]
        );
        assert_eq!(halved.tensor("scale").expect("there").dtype(), Dtype::F32);
        assert_eq!(to_float16(&[70000.0]), Err(70000.0));
    }

    #[test]
    fn a_file_cut_short_is_refused() {
        let folder = tempfile::tempdir().expect("temp");
        let path = write(folder.path());
        let whole = std::fs::read(&path).expect("reads");
        for length in [0, 7, 9, 60, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).expect("writes");
            assert!(
                matches!(Weights::open(&path), Err(WeightsError::Broken { .. })),
                "{length} bytes"
            );
        }
    }
}
