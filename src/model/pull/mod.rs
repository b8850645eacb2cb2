//! Downloads a CLIP checkpoint from a Hugging Face compatible endpoint into a folder that
//! [`export()`] reads.
//!
//! Of the repository only what an export needs is fetched, all from one commit. An interrupted
//! download goes on where it stopped, if the file is still the same; weights are checked against
//! the sha256 that the hub names. Reads no environment: endpoint and token are the caller's.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`options`] | options, progress, errors |
//! | `transfer` | one file over HTTP: resumed, checked |
//!
//! [`export()`]: crate::model::export()

pub mod options;
mod transfer;

use std::fs;
use std::path::Path;

use serde_json::json;

use super::export::SOURCE;
use super::manifest::{TOKENIZER, WEIGHTS};
use options::io_error;
pub use options::{ENDPOINT, Progress, PullError, PullOptions, Token};
use transfer::Client;

/// Downloads what an export needs into `to`, and writes there where it came from.
///
/// # Errors
/// [`PullError`]. Files that are complete stay, and so does the begun part of the one that failed.
pub fn pull(
    options: &PullOptions,
    to: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), PullError> {
    fs::create_dir_all(to).map_err(|e| io_error(to, e))?;
    let mut client = Client::new(options)?;
    let mut fetch = |name: &str| client.fetch(name, to, progress);
    if !fetch("config.json")? {
        // Every model has one: what is missing is more likely the repository or the revision.
        return Err(client.missing("config.json"));
    }
    let mut required = |names: &[&str]| {
        for name in names {
            if !fetch(name)? {
                return Ok(Some((*name).to_owned()));
            }
        }
        Ok::<_, PullError>(None)
    };
    let missing = match required(&["preprocessor_config.json"])? {
        Some(name) => required(&["processor_config.json"])?.map(|_| name),
        None => None,
    };
    let missing = match (missing, required(&[TOKENIZER])?) {
        (None, Some(_)) => required(&["vocab.json", "merges.txt"])?.map(|_| TOKENIZER.to_owned()),
        (missing, _) => missing,
    };
    if let Some(name) = missing {
        return Err(client.missing(&name));
    }
    if required(&[WEIGHTS])?.is_some() {
        let (repository, revision) = (options.repository.clone(), options.revision.clone());
        return Err(PullError::NoSafetensors {
            repository,
            revision,
        });
    }
    let source = json!({"endpoint": options.endpoint, "repository": options.repository,
        "revision": options.revision, "commit": client.commit()});
    let path = to.join(SOURCE);
    fs::write(&path, format!("{source:#}\n")).map_err(|e| io_error(&path, e))
}
