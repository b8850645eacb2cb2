//! ONNX Runtime: the library, the device, and sessions over a model's two graphs. The only file
//! that names `ort`.
//!
//! The library is opened from a path once a process; a missing or too old one is an error that says
//! what to do. A [`Tower`] is one session and belongs to one thread (`Session::run` needs it
//! exclusively).
//!
//! [`Device::Cuda`] fails where CUDA is not to be had. [`Device::Auto`] falls back to the CPU and
//! says why, whatever kept CUDA from loading the model. What [`Sessions::provider`] names is what
//! runs: the provider was registered with errors on, and the session was asked for an allocator of
//! its device, which only a session that holds the provider can give.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider};
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{PrimitiveTensorElementType, TensorElementType, TensorRef, ValueType};

use super::device::{Device, Provider};
use crate::model::ModelFolder;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("there is no ONNX Runtime at {path}: `make runtime` puts it there")]
    NoRuntime { path: PathBuf },
    #[error("ONNX Runtime cannot be used: {reason}; `make runtime` fetches the one that fits")]
    BadRuntime { path: PathBuf, reason: String },
    #[error("CUDA was asked for and cannot be used: {reason}")]
    NoCuda { reason: String },
    #[error("{graph} cannot be loaded: {reason}")]
    Load { graph: PathBuf, reason: String },
    #[error("{graph} takes or gives something else than a tower of CLIP: {reason}")]
    Interface { graph: PathBuf, reason: String },
    #[error("inference failed: {reason}")]
    Run { reason: String },
    #[error("{graph} computes no embeddings: {reason}")]
    Output { graph: PathBuf, reason: String },
}

/// Opens ONNX Runtime's library, or gives the environment of the one that this process has opened
/// already (a second path is not looked at then). `runtime`: the library, or the folder that holds
/// it.
///
/// # Errors
/// [`SessionError::NoRuntime`], [`SessionError::BadRuntime`].
pub fn environment(runtime: &Path) -> Result<Environment, SessionError> {
    static OPENED: Mutex<Option<Environment>> = Mutex::new(None);
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*opened {
        return Ok(environment.clone());
    }
    let path = find(runtime)?;
    let bad = |reason: String| SessionError::BadRuntime {
        path: path.clone(),
        reason,
    };
    is_whole(&path).map_err(bad)?;
    let builder = ort::init_from(&path).map_err(|e| bad(e.to_string()))?;
    let environment = builder
        .with_name("aglet")
        .with_telemetry(false)
        .build()
        .map_err(|e| bad(e.to_string()))?;
    // ort hands every message of the library to `tracing`; what no log shows need not be formatted.
    environment.set_log_level(ort::logging::LogLevel::Warning);
    *opened = Some(environment.clone());
    Ok(environment)
}

/// Where the library is, given it or its folder. It is not opened.
///
/// # Errors
/// [`SessionError::NoRuntime`].
pub fn find(runtime: &Path) -> Result<PathBuf, SessionError> {
    library(runtime).ok_or_else(|| SessionError::NoRuntime {
        path: runtime.to_owned(),
    })
}

/// A library that was cut short is loaded all the same, and ends the process by a signal once it is used.
/// The last thing in an ELF file is the table of its sections: it must be there.
fn is_whole(path: &Path) -> Result<(), String> {
    let mut head = [0; 64];
    let read = File::open(path).and_then(|mut file| {
        file.read_exact(&mut head)?;
        Ok(file.metadata()?.len())
    });
    let has = read.map_err(|error| format!("{}: {error}", path.display()))?;
    // Anything but 64 bits and the least byte first is for the loader to judge.
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return Ok(());
    }
    let short = |at: usize| u64::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let table = head[40..48]
        .iter()
        .rev()
        .fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    let needs = table.saturating_add(short(58) * short(60));
    if has < needs {
        let path = path.display();
        return Err(format!("{path} is cut short: {has} bytes of {needs}"));
    }
    Ok(())
}

/// An absolute path of the library, also where only the file with the version in its name is there.
fn library(runtime: &Path) -> Option<PathBuf> {
    let runtime = std::path::absolute(runtime).ok()?;
    if runtime.is_file() {
        return Some(runtime);
    }
    let name = format!(
        "{}onnxruntime{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let plain = runtime.join(&name);
    if plain.is_file() {
        return Some(plain);
    }
    let versioned = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with(&name))
    };
    std::fs::read_dir(&runtime)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(versioned)
        .max()
}

/// A tower's session, and the names of its ends.
pub struct Tower {
    session: Session,
    input: String,
    output: String,
    dimensions: usize,
}

/// All sessions of an encoder.
pub struct Sessions {
    pub text: Vec<Tower>,
    pub image: Vec<Tower>,
    pub provider: Provider,
    /// Why [`Device::Auto`] did not become CUDA.
    pub fallback: Option<String>,
}

/// How many sessions, with how many threads each.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub text: usize,
    pub image: usize,
    pub intra_threads: usize,
}

impl Sessions {
    /// Opens the folder's graphs, each as often as asked.
    ///
    /// # Errors
    /// [`SessionError`], when the library, the device or a graph cannot be used.
    pub fn open(
        folder: &ModelFolder,
        runtime: &Path,
        device: Device,
        counts: Counts,
    ) -> Result<Self, SessionError> {
        let environment = environment(runtime)?;
        match device {
            Device::Cpu => Self::on(&environment, folder, Provider::Cpu, counts),
            Device::Cuda => Self::on(&environment, folder, Provider::Cuda, counts),
            Device::Auto => {
                let (sessions, fallback) = prefer(
                    Self::on(&environment, folder, Provider::Cuda, counts),
                    || Self::on(&environment, folder, Provider::Cpu, counts),
                )?;
                Ok(Self {
                    fallback,
                    ..sessions
                })
            }
        }
    }

    fn on(
        environment: &Environment,
        folder: &ModelFolder,
        provider: Provider,
        counts: Counts,
    ) -> Result<Self, SessionError> {
        let dimensions = folder.manifest().dimensions;
        let open = |graph: PathBuf, element, count: usize| -> Result<Vec<Tower>, SessionError> {
            let tower = || {
                Tower::open(
                    environment,
                    &graph,
                    element,
                    dimensions,
                    provider,
                    counts.intra_threads,
                )
            };
            (0..count.max(1)).map(|_| tower()).collect()
        };
        Ok(Self {
            text: open(folder.text_graph(), TensorElementType::Int64, counts.text)?,
            image: open(
                folder.image_graph(),
                TensorElementType::Float32,
                counts.image,
            )?,
            provider,
            fallback: None,
        })
    }
}

impl Tower {
    fn open(
        environment: &Environment,
        graph: &Path,
        element: TensorElementType,
        dimensions: usize,
        provider: Provider,
        intra_threads: usize,
    ) -> Result<Self, SessionError> {
        let load = |e: &dyn std::fmt::Display| SessionError::Load {
            graph: graph.to_owned(),
            reason: e.to_string(),
        };
        let mut builder = Session::builder(environment)
            .map_err(|e| load(&e))?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(|e| load(&e))?
            .with_intra_threads(intra_threads.max(1))
            .map_err(|e| load(&e))?;
        if provider == Provider::Cuda {
            if !ep::CUDA::is_available().unwrap_or(false) {
                return Err(no_cuda(&"this ONNX Runtime was built without it"));
            }
            // TF32 would leave ten bits of each factor's fraction; and the one convolution, the
            // patches', needs no search for the quickest way anew at each size of a batch.
            let cuda = ep::CUDA::default()
                .with_tf32(false)
                .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
                .build()
                .error_on_failure();
            builder = builder
                .with_execution_providers([cuda])
                .map_err(|e| no_cuda(&e))?;
        }
        let session = builder.commit_from_file(graph).map_err(|e| load(&e))?;
        if provider == Provider::Cuda {
            MemoryInfo::new(
                AllocationDevice::CUDA,
                0,
                AllocatorType::Device,
                MemoryType::Default,
            )
            .and_then(|memory| Allocator::new(&session, memory))
            .map_err(|e| no_cuda(&format_args!("the session came up without it: {e}")))?;
        }
        Self::of(session, graph, element, dimensions)
    }

    /// Checks the graph's ends.
    fn of(
        session: Session,
        graph: &Path,
        element: TensorElementType,
        dimensions: usize,
    ) -> Result<Self, SessionError> {
        let wrong = |reason: String| SessionError::Interface {
            graph: graph.to_owned(),
            reason,
        };
        let [input] = session.inputs() else {
            return Err(wrong(format!("it has {} inputs", session.inputs().len())));
        };
        let Some(output) = session.outputs().first() else {
            return Err(wrong("it has no output".to_owned()));
        };
        match input.dtype() {
            ValueType::Tensor { ty, .. } if *ty == element => {}
            other => {
                return Err(wrong(format!(
                    "its input is {other}, not a tensor of {element}"
                )));
            }
        }
        match output.dtype() {
            ValueType::Tensor {
                ty: TensorElementType::Float32,
                ..
            } => {}
            other => return Err(wrong(format!("its output is {other}, not a tensor of f32"))),
        }
        let (input, output) = (input.name().to_owned(), output.name().to_owned());
        Ok(Self {
            session,
            input,
            output,
            dimensions,
        })
    }

    /// Runs `shape[0]` inputs of equal shape; returns as many rows of `dimensions` numbers,
    /// unchecked.
    ///
    /// # Errors
    /// [`SessionError::Run`].
    pub fn run<
        T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
        const N: usize,
    >(
        &mut self,
        shape: [usize; N],
        values: &[T],
    ) -> Result<Vec<Vec<f32>>, SessionError> {
        let failed = |e: ort::Error| SessionError::Run {
            reason: e.to_string(),
        };
        let tensor = TensorRef::from_array_view((shape, values)).map_err(failed)?;
        let outputs = self
            .session
            .run(ort::inputs![self.input.as_str() => tensor])
            .map_err(failed)?;
        let (found, rows) = outputs[self.output.as_str()]
            .try_extract_tensor::<f32>()
            .map_err(failed)?;
        if rows.len() != shape[0] * self.dimensions {
            let reason = format!(
                "{} inputs gave {found:?}, expected {} numbers for each",
                shape[0], self.dimensions
            );
            return Err(SessionError::Run { reason });
        }
        Ok(rows
            .chunks_exact(self.dimensions)
            .map(<[f32]>::to_vec)
            .collect())
    }
}

/// What CUDA gave, else what the CPU gives and why it had to: a library that is missing, a driver
/// that is too old or memory that is taken may all show only when a graph is loaded. When the CPU
/// fails as well, CUDA was not the reason.
fn prefer<T>(
    cuda: Result<T, SessionError>,
    cpu: impl FnOnce() -> Result<T, SessionError>,
) -> Result<(T, Option<String>), SessionError> {
    let reason = match cuda {
        Ok(sessions) => return Ok((sessions, None)),
        Err(SessionError::NoCuda { reason }) => reason,
        Err(error) => error.to_string(),
    };
    let sessions = cpu()?;
    tracing::warn!(reason, "no CUDA, the model runs on the CPU");
    Ok((sessions, Some(reason)))
}

fn no_cuda(reason: &dyn std::fmt::Display) -> SessionError {
    SessionError::NoCuda {
        reason: reason.to_string(),
    }
}

/// Loads both graphs of an exported folder on the CPU and demands finite embeddings of unit length
/// and of the size that the manifest names, which do not change with the company that an input has
/// in its batch.
///
/// # Errors
/// [`SessionError`], which says what is wrong.
pub fn check_export(folder: &ModelFolder, runtime: &Path) -> Result<(), SessionError> {
    let counts = Counts {
        text: 1,
        image: 1,
        intra_threads: 1,
    };
    let mut sessions = Sessions::open(folder, runtime, Device::Cpu, counts)?;
    let manifest = folder.manifest();
    for length in [2, manifest.context_length.min(5), manifest.context_length] {
        // The end token only where it ends the text: the others are small ids, which every
        // vocabulary has.
        let text = |odd: bool| {
            (0..length - 1)
                .map(move |at| i64::from((at % 2 == 1) ^ odd))
                .chain([manifest.end_of_text.into()])
        };
        let inputs: Vec<i64> = text(false).chain(text(true)).collect();
        check_tower(
            &mut sessions.text[0],
            &folder.text_graph(),
            &inputs,
            |batch| [batch, length],
        )?;
    }
    let size = manifest.preprocessing.size as usize;
    #[expect(clippy::cast_precision_loss, reason = "below 97")]
    let pixels: Vec<f32> = (0..2 * 3 * size * size)
        .map(|at| (at % 97) as f32 / 97.0 - 0.5)
        .collect();
    check_tower(
        &mut sessions.image[0],
        &folder.image_graph(),
        &pixels,
        |batch| [batch, 3, size, size],
    )
}

/// `inputs`: two of them.
fn check_tower<
    T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
    const N: usize,
>(
    tower: &mut Tower,
    graph: &Path,
    inputs: &[T],
    shape: impl Fn(usize) -> [usize; N],
) -> Result<(), SessionError> {
    let wrong = |reason: String| SessionError::Output {
        graph: graph.to_owned(),
        reason,
    };
    let both = tower.run(shape(2), inputs)?;
    let alone = tower.run(shape(1), &inputs[..inputs.len() / 2])?;
    for row in both.iter().chain(&alone) {
        if let Some(value) = row.iter().find(|v| !v.is_finite()) {
            return Err(wrong(format!("it gives {value}")));
        }
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        if (norm - 1.0).abs() > 1e-3 {
            return Err(wrong(format!("an embedding has length {norm}, not 1")));
        }
    }
    let differences = both[0].iter().zip(&alone[0]).map(|(a, b)| (a - b).abs());
    let most = differences.fold(0.0, f32::max);
    if most > 1e-3 {
        return Err(wrong(format!(
            "an input's embedding differs by {most} with another beside it"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_steps_in_for_whatever_keeps_cuda_from_working() {
        let load = |reason: &str| SessionError::Load {
            graph: "text.onnx".into(),
            reason: reason.to_owned(),
        };
        assert_eq!(prefer(Ok(1), || panic!("not asked")), Ok((1, None)));
        assert_eq!(
            prefer(Err(no_cuda(&"no driver")), || Ok(2)),
            Ok((2, Some("no driver".to_owned())))
        );
        let (sessions, fallback) =
            prefer(Err(load("out of memory")), || Ok(2)).expect("on the CPU");
        assert!(sessions == 2 && fallback.is_some_and(|reason| reason.contains("out of memory")));
        assert_eq!(
            prefer::<u8>(Err(load("on CUDA")), || Err(load("on both"))),
            Err(load("on both"))
        );
    }

    #[test]
    fn a_missing_or_wrong_library_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().expect("folder");
        let missing = environment(folder.path()).expect_err("there is none");
        assert_eq!(
            missing,
            SessionError::NoRuntime {
                path: folder.path().to_owned()
            }
        );
        assert!(missing.to_string().contains("make runtime"));

        let file = folder.path().join("libonnxruntime.so.1.2.3");
        std::fs::write(&file, "no library").expect("writes");
        let wrong = environment(folder.path()).expect_err("it is none");
        assert!(
            matches!(&wrong, SessionError::BadRuntime { path, .. } if *path == file),
            "{wrong:?}"
        );
        assert!(wrong.to_string().contains("make runtime"));
    }
}
