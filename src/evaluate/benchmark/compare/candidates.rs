//! What may be compared: model folders, checkpoints in Hugging Face's layout, and training runs.
//!
//! | it has | it is |
//! | --- | --- |
//! | `model.json` | a model folder, taken as it is |
//! | `config.json`, `model.safetensors` | a checkpoint: exported once into the cache, named by the hash of its files |
//! | `config.json`, `last.safetensors` | a run of `aglet-train fit`: the checkpoints and model folders below it (such as `epochs/003`); a run that kept none is itself the candidate, with its best weights |
//! | none of these | a folder of such folders, up to two levels deep |
//!
//! Hidden folders and those called `.partial`, which are still being written, are passed over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::error::CompareError;
use crate::model::{ExportOptions, ModelFolder, export};
use crate::util::digest::{sha256_hex, sha256_of_file};

/// One model of a comparison, before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidate {
    Model(PathBuf),
    Checkpoint(PathBuf),
    /// A run that kept no checkpoints. Opening its weights takes the training companion.
    Run(PathBuf),
}

impl Candidate {
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Model(path) | Self::Checkpoint(path) | Self::Run(path) => path,
        }
    }
}

/// What the paths lead to, each once; below one path in the order of names, with numbers in them
/// ordered as numbers (`epoch-9` before `epoch-10`).
///
/// # Errors
/// When a path leads to nothing that can be compared.
pub fn candidates(paths: &[PathBuf]) -> Result<Vec<Candidate>, CompareError> {
    let mut all = Vec::new();
    for path in paths {
        let mut found = Vec::new();
        collect(path, 2, &mut found);
        if found.is_empty() {
            return Err(CompareError::NoModel { path: path.clone() });
        }
        found.sort_by_key(|c| natural(&c.path().to_string_lossy()));
        for candidate in found {
            if !all.contains(&candidate) {
                all.push(candidate);
            }
        }
    }
    Ok(all)
}

fn collect(path: &Path, depth: usize, found: &mut Vec<Candidate>) {
    let has = |name: &str| path.join(name).is_file();
    if has("model.json") {
        found.push(Candidate::Model(path.to_owned()));
    } else if has("config.json") && has("model.safetensors") {
        found.push(Candidate::Checkpoint(path.to_owned()));
    } else {
        let run = has("config.json") && (has("best.safetensors") || has("last.safetensors"));
        let before = found.len();
        // A run's epochs are counted from the run, wherever it was found.
        if let Some(depth) = if run { Some(1) } else { depth.checked_sub(1) } {
            let entries = std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.path());
            for folder in entries.filter(|p| p.is_dir() && !passed_over(p)) {
                collect(&folder, depth, found);
            }
        }
        if run && found.len() == before {
            found.push(Candidate::Run(path.to_owned()));
        }
    }
}

fn passed_over(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || name.ends_with(".partial")
}

/// Words and the numbers after them, in turn: runs of digits compare as numbers.
fn natural(text: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (before, after) = rest.split_at(word);
        let digits = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        parts.push((before.to_owned(), after[..digits].parse().unwrap_or(0)));
        rest = &after[digits..];
    }
    parts
}

/// Names the content of a folder's own files, those in folders below it left out.
///
/// # Errors
/// When one cannot be read.
pub fn files_sha256(folder: &Path) -> io::Result<String> {
    let mut hashes = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().is_file() {
            let (_, sha256) = sha256_of_file(&mut File::open(entry.path())?)?;
            hashes.insert(entry.file_name(), sha256);
        }
    }
    Ok(sha256_hex(format!("{hashes:?}").as_bytes()))
}

/// The model folder of a checkpoint in the cache: the one that was made before, or made now.
///
/// # Errors
/// When the checkpoint cannot be exported, or the cache cannot be written.
pub fn export_once(checkpoint: &Path, cache: &Path) -> Result<PathBuf, CompareError> {
    let io = |source| CompareError::Io {
        path: checkpoint.to_owned(),
        source,
    };
    let sha256 = files_sha256(checkpoint).map_err(io)?;
    // The folder's name becomes the model's.
    let name = checkpoint.file_name().unwrap_or("checkpoint".as_ref());
    let target = cache.join("models").join(&sha256[..16]).join(name);
    if ModelFolder::open(&target).is_ok() {
        return Ok(target);
    }
    let failed = |source| CompareError::Export {
        path: checkpoint.to_owned(),
        source: Box::new(source),
    };
    std::fs::create_dir_all(target.parent().unwrap_or(cache)).map_err(io)?;
    let options = ExportOptions {
        replace: target.exists(),
        ..ExportOptions::default()
    };
    export(checkpoint, &target, &options, |_| Ok(())).map_err(failed)?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
            std::fs::write(path, "{}").expect("written");
        }
    }

    #[test]
    fn runs_are_opened_in_the_order_of_their_epochs() {
        let root = tempfile::tempdir().expect("a folder");
        touch(
            root.path(),
            &[
                "run/epoch-10/model.json",
                "run/epoch-9/model.json",
                "run/best/model.json",
            ],
        );
        touch(
            root.path(),
            &[
                "single/model.json",
                "run/.epoch-11/model.json",
                "run/epoch-11.partial/model.json",
            ],
        );
        let at = |name: &str| root.path().join(name);
        let found = candidates(&[at("single"), at("run"), at("run/best")]).expect("models");
        let names =
            ["single", "run/best", "run/epoch-9", "run/epoch-10"].map(|n| Candidate::Model(at(n)));
        assert_eq!(found, names, "each once");
        let error = candidates(&[at("none")])
            .expect_err("nothing there")
            .to_string();
        assert!(
            error.contains("none is not a model folder, a checkpoint or a training run"),
            "{error}"
        );
    }

    #[test]
    fn a_run_gives_its_epochs_and_itself_when_it_kept_none() {
        let root = tempfile::tempdir().expect("a folder");
        let run = [
            "config.json",
            "tokenizer.json",
            "last.safetensors",
            "best.safetensors",
        ];
        touch(&root.path().join("runs/kept"), &run);
        touch(
            &root.path().join("runs/kept/epochs/002"),
            &["config.json", "model.safetensors"],
        );
        touch(
            &root.path().join("runs/kept/epochs/010"),
            &["config.json", "model.safetensors"],
        );
        touch(&root.path().join("runs/plain"), &run);
        let at = |name: &str| root.path().join("runs").join(name);
        let epochs = ["kept/epochs/002", "kept/epochs/010"].map(|n| Candidate::Checkpoint(at(n)));
        assert_eq!(candidates(&[at("kept")]).expect("epochs"), epochs);
        let both = candidates(&[root.path().join("runs")]).expect("two runs");
        assert_eq!(both, [&epochs[..], &[Candidate::Run(at("plain"))]].concat());
    }

    #[test]
    fn a_folder_is_named_by_the_content_of_its_files() {
        let root = tempfile::tempdir().expect("a folder");
        touch(root.path(), &["config.json", "model.safetensors"]);
        let before = files_sha256(root.path()).expect("readable");
        touch(root.path(), &["epochs/1/config.json"]);
        assert_eq!(files_sha256(root.path()).expect("readable"), before);
        std::fs::write(root.path().join("model.safetensors"), "other").expect("written");
        assert_ne!(files_sha256(root.path()).expect("readable"), before);
        let error = export_once(root.path(), &root.path().join("cache"))
            .expect_err("no checkpoint")
            .to_string();
        assert!(error.contains("config.json"), "{error}");
    }
}
