//! A run's epochs as model folders, `epochs/NNN` in the run's folder: each is what the validation
//! of that number measured (the averaged weights, low-rank pairs merged), with graphs and manifest,
//! so that `aglet-train compare` reads it and `aglet serve` loads it as it is; it is a checkpoint
//! folder in Hugging Face's layout too.
//!
//! A folder appears whole or not at all. Old ones are removed by the recipe's `run.keep_epochs`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::checkpoint::StoredFloat;
use super::folder::{self, FolderError};
use super::validate::Scores;
use crate::model::{ExportError, ExportOptions, export};
use crate::train::net::config::NetConfig;
use crate::train::net::parameters::Parameters;

#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// Which epochs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    None,
    /// The best one alone.
    Best,
    All,
    /// So many of the newest, and the best.
    Last(u32),
}

impl Keep {
    fn keeps(self, epoch: u64, newest: u64, best: u64) -> bool {
        match self {
            Self::None => false,
            Self::Best => epoch == best,
            Self::All => true,
            Self::Last(count) => epoch == best || epoch + u64::from(count) > newest,
        }
    }

    /// Lets `write` make the folder of `epoch` if it is to be kept, and removes those that are not
    /// any more.
    ///
    /// # Errors
    /// What `write` answers, or if a folder cannot be removed.
    pub fn apply(
        self,
        run: &Path,
        epoch: u64,
        best: u64,
        write: impl FnOnce(&Path) -> Result<(), EpochError>,
    ) -> Result<(), EpochError> {
        if self == Self::None {
            return Ok(());
        }
        let folder = run.join("epochs");
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| EpochError::Io { path, source }
        };
        std::fs::create_dir_all(&folder).map_err(io(&folder))?;
        if self.keeps(epoch, epoch, best) {
            write(&folder.join(format!("{epoch:03}")))?;
        }
        for entry in std::fs::read_dir(&folder).map_err(io(&folder))? {
            let path = entry.map_err(io(&folder))?.path();
            let number: Option<u64> = path
                .file_name()
                .and_then(|n| n.to_str())
                .and_then(|n| n.parse().ok());
            // A later number was left by a run that was killed after it, and is soon written again.
            if number.is_some_and(|number| number <= epoch && !self.keeps(number, epoch, best)) {
                std::fs::remove_dir_all(&path).map_err(io(&path))?;
            }
        }
        Ok(())
    }
}

/// Writes a model folder, in place of one that is there.
///
/// # Errors
/// If the run has no `tokenizer.json`, or a file cannot be written.
pub fn write(
    to: &Path,
    run: &Path,
    config: &NetConfig,
    parameters: &Parameters,
    provenance: Map<String, Value>,
) -> Result<(), EpochError> {
    let path = run.join(folder::TOKENIZER);
    let vocabulary =
        std::fs::read_to_string(&path).map_err(|source| EpochError::Io { path, source })?;
    let beside = to.parent().unwrap_or(run);
    let checkpoint = tempfile::Builder::new()
        .prefix(".checkpoint")
        .tempdir_in(beside);
    let checkpoint = checkpoint.map_err(|source| EpochError::Io {
        path: beside.to_owned(),
        source,
    })?;
    folder::write(
        checkpoint.path(),
        config,
        parameters,
        &vocabulary,
        StoredFloat::F32,
    )?;
    let options = ExportOptions {
        replace: true,
        provenance,
        ..ExportOptions::default()
    };
    export(checkpoint.path(), to, &options, |_| Ok(()))?;
    Ok(())
}

/// What a model folder records of its validation.
#[must_use]
pub fn provenance(epoch: u64, step: u64, loss: f32, scores: &Scores) -> Map<String, Value> {
    Map::from_iter([(
        "training".to_owned(),
        json!({"epoch": epoch, "step": step, "loss": loss, "scores": scores}),
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_says_which_folders_stay() {
        let cases: [(Keep, &[&str]); 5] = [
            (Keep::None, &[]),
            (Keep::Best, &["002"]),
            (Keep::All, &["001", "002", "003", "004", "005"]),
            (Keep::Last(2), &["002", "004", "005"]),
            (Keep::Last(9), &["001", "002", "003", "004", "005"]),
        ];
        for (keep, wanted) in cases {
            let run = tempfile::tempdir().expect("folder");
            // Epoch 1 is the best until 2 is.
            for (epoch, best) in [(1, 1), (2, 2), (3, 2), (4, 2), (5, 2)] {
                let write = |to: &Path| {
                    std::fs::create_dir(to).map_err(|source| EpochError::Io {
                        path: to.into(),
                        source,
                    })
                };
                keep.apply(run.path(), epoch, best, write).expect("applies");
            }
            let entries = std::fs::read_dir(run.path().join("epochs"))
                .into_iter()
                .flatten()
                .flatten();
            let mut found: Vec<String> = entries
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .collect();
            found.sort();
            assert_eq!(found, wanted, "{keep:?}");
        }
    }
}
