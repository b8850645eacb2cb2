//! Downloads a CLIP checkpoint from a Hugging Face compatible endpoint into a folder that
//! [`export()`] reads.
//!
//! Of the repository only what an export needs is fetched, all from one commit. An interrupted
//! download goes on where it stopped, if the file is still the same; weights are checked against
//! the sha256 that the hub names. Reads no environment: endpoint and token are the caller's.
//!
//! [`export()`]: crate::model::export()

mod transfer;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::export::SOURCE;
use super::manifest::{TOKENIZER, WEIGHTS};
use transfer::Client;

/// Where checkpoints come from unless the caller names another endpoint.
pub const ENDPOINT: &str = "https://huggingface.co";

#[derive(Clone, Debug)]
pub struct PullOptions {
    /// The hub's address, such as [`ENDPOINT`].
    pub endpoint: String,
    /// `OWNER/NAME`.
    pub repository: String,
    /// Branch, tag or commit.
    pub revision: String,
    pub token: Option<Token>,
    /// Whether `HTTPS_PROXY`, `NO_PROXY` and the like are followed, as other HTTP clients do.
    pub environment_proxy: bool,
    /// Failures in a row, without a byte of progress between them, before the download is given up.
    pub attempts: u32,
    /// The wait after the first failure; doubles with each one in a row, up to a minute.
    pub backoff: Duration,
    /// A connection that is silent for so long has failed.
    pub silence: Duration,
}

impl PullOptions {
    /// `repository` at its branch `main` from [`ENDPOINT`], without a token.
    #[must_use]
    pub fn new(repository: impl Into<String>) -> Self {
        Self {
            endpoint: ENDPOINT.to_owned(),
            repository: repository.into(),
            revision: "main".to_owned(),
            token: None,
            environment_proxy: true,
            attempts: 6,
            backoff: Duration::from_secs(1),
            silence: Duration::from_mins(1),
        }
    }
}

/// An access token. Sent to the endpoint only, and never shown.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// `None` for an empty one.
    #[must_use]
    pub fn new(token: &str) -> Option<Self> {
        let token = token.trim();
        (!token.is_empty()).then(|| Self(token.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// How far the current file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    pub file: &'a str,
    /// Bytes that are on the disk, those of an earlier run included.
    pub done: u64,
    /// The whole file's, where the server says it.
    pub total: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error("{repository:?} is no repository name (OWNER/NAME)")]
    Repository { repository: String },
    #[error("{endpoint:?} is no endpoint (http://.. or https://..)")]
    Endpoint { endpoint: String },
    #[error(
        "{url} asks for a token: none was sent (HF_TOKEN); a repository that does not exist asks for one, too"
    )]
    TokenMissing { url: String },
    #[error("{url} does not take this token")]
    TokenRefused { url: String },
    #[error(
        "{url} is not open to you{reason}: a gated model's terms are accepted on its page, then a token is needed"
    )]
    Forbidden { url: String, reason: String },
    #[error("{repository} has no revision {revision}, or is not there at all{reason}")]
    NoRevision {
        repository: String,
        revision: String,
        reason: String,
    },
    #[error("{repository} has no {file} at revision {revision}")]
    NoFile {
        repository: String,
        revision: String,
        file: String,
    },
    #[error(
        "{repository} has no model.safetensors at revision {revision}: look for a revision that has \
         (such as refs/pr/1, --revision), or save it with save_pretrained(.., safe_serialization=True)"
    )]
    NoSafetensors {
        repository: String,
        revision: String,
    },
    #[error("{url} answered {status}")]
    Status { url: String, status: u16 },
    #[error("{url} leads to {location:?}, which is not followed")]
    Redirect { url: String, location: String },
    #[error(
        "{url}: {reason} (given up after {attempts} attempts; what has come is kept, run it again to go on)"
    )]
    Interrupted {
        url: String,
        attempts: u32,
        reason: String,
    },
    #[error("{file}: {found} bytes came, {expected} were announced; it was deleted")]
    Size {
        file: String,
        expected: u64,
        found: u64,
    },
    #[error("{file} is damaged: its sha256 is {found}, the hub says {expected}; it was deleted")]
    Hash {
        file: String,
        expected: String,
        found: String,
    },
    #[error("the disk is full: {path}")]
    DiskFull { path: PathBuf },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

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

fn io_error(path: &Path, source: io::Error) -> PullError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => PullError::DiskFull {
            path: path.to_owned(),
        },
        _ => PullError::Io {
            path: path.to_owned(),
            source,
        },
    }
}
