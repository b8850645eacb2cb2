//! What is downloaded from where, how far it is, and why it ended.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
pub struct Token(pub(super) String);

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
    #[error("{repository:?} is not a repository name (OWNER/NAME)")]
    Repository { repository: String },
    #[error("{endpoint:?} is not an endpoint (http://.. or https://..)")]
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

pub(super) fn io_error(path: &Path, source: io::Error) -> PullError {
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
