//! What `aglet-train compare` adds to the comparison of models: a run's best weights as a checkpoint.

use std::path::{Path, PathBuf};

use crate::evaluate::compare::files_sha256;
use crate::model::manifest::WEIGHTS;
use crate::train::run::checkpoint::StoredFloat;
use crate::train::run::folder::{self, FolderError, RunWeights};

/// The best weights of a run (the averaged ones where none were chosen) as a checkpoint folder below
/// `cache`, written once for as long as the run's files stay the same.
///
/// # Errors
/// When the run cannot be read, or the checkpoint cannot be written.
pub fn checkpoint_of(run: &Path, cache: &Path) -> Result<PathBuf, FolderError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::Io { path, source }
    };
    let sha256 = files_sha256(run).map_err(io(run))?;
    let name = run.file_name().unwrap_or_default();
    let checkpoint = cache.join("checkpoints").join(&sha256[..16]).join(name);
    if !checkpoint.join(WEIGHTS).is_file() {
        let which = if run.join(folder::BEST).is_file() {
            RunWeights::Best
        } else {
            RunWeights::Average
        };
        folder::export(run, &checkpoint, which, StoredFloat::F32)?;
    }
    Ok(checkpoint)
}
