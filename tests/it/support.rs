//! What the integration tests share.

pub mod clip;

use std::path::{Path, PathBuf};

pub use clip::tiny_model;

/// The folder of real product photos, when there is one: `AGLET_SHARED_DATA`, or `../shared/data` beside the project.
/// Prints why a test that wants it is skipped.
pub fn shared_data(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("AGLET_SHARED_DATA").map_or(beside, PathBuf::from);
    if folder.join("README.md").is_file() {
        return Some(folder);
    }
    eprintln!("skipped {test}: no data at {}", folder.display());
    None
}

/// The folder with ONNX Runtime's library: `AGLET_RUNTIME`, or `.runtime` in the project.
pub fn runtime() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime");
    let folder = std::env::var_os("AGLET_RUNTIME").map_or(here, PathBuf::from);
    assert!(folder.is_dir(), "no ONNX Runtime at {}: run `make runtime`", folder.display());
    folder
}
