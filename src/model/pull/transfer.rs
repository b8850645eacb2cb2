//! One file over HTTP: redirects, resuming, retries, checks.
//!
//! The hub's protocol: `GET {endpoint}/{repository}/resolve/{revision}/{file}` answers small files
//! itself and sends large ones elsewhere (302) with `X-Linked-Etag` (their sha256) and
//! `X-Linked-Size`; `X-Repo-Commit` names the commit that a branch stands at. Redirects are
//! followed here and not by the HTTP client, because those headers are on the first answer and the
//! token must stay with the endpoint.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode, Uri, header};
use ureq::{Agent, Body};

use super::options::{Progress, PullError, PullOptions, io_error};
use crate::model::file_entry;
use crate::util::percent;

const REDIRECTS: usize = 5;
const LONGEST_WAIT: Duration = Duration::from_mins(1);

type Response = ureq::http::Response<Body>;

pub(super) struct Client<'a> {
    options: &'a PullOptions,
    agent: Agent,
    endpoint: Uri,
    /// What the first answer said the revision is; later files come from there.
    commit: Option<String>,
}

/// What became of one attempt.
enum Attempt {
    Done,
    NotThere,
    /// Worth another attempt; `reached` bytes are on the disk.
    Failed {
        reason: String,
        reached: u64,
    },
}

/// What the hub says about a file before its bytes.
struct Announced {
    /// Names the content: the sha256 of large files.
    etag: Option<String>,
    size: Option<u64>,
}

impl Announced {
    fn sha256(&self) -> Option<&str> {
        self.etag
            .as_deref()
            .filter(|tag| tag.len() == 64 && tag.bytes().all(|b| b.is_ascii_hexdigit()))
    }
}

impl<'a> Client<'a> {
    pub(super) fn new(options: &'a PullOptions) -> Result<Self, PullError> {
        let part =
            |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
        let parts: Vec<_> = options.repository.split('/').collect();
        if parts.len() > 2 || !parts.iter().all(|p| part(p)) {
            return Err(PullError::Repository {
                repository: options.repository.clone(),
            });
        }
        let no_endpoint = || PullError::Endpoint {
            endpoint: options.endpoint.clone(),
        };
        let endpoint: Uri = options.endpoint.parse().map_err(|_| no_endpoint())?;
        if !matches!(endpoint.scheme_str(), Some("http" | "https")) || endpoint.host().is_none() {
            return Err(no_endpoint());
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("aglet/", env!("CARGO_PKG_VERSION")))
            // Compressed on the way, sizes and offsets would be others.
            .accept_encoding("identity")
            .timeout_connect(Some(options.silence))
            .timeout_recv_response(Some(options.silence))
            .timeout_per_read(Some(options.silence));
        if !options.environment_proxy {
            config = config.proxy(None);
        }
        Ok(Self {
            options,
            agent: config.build().new_agent(),
            endpoint,
            commit: None,
        })
    }

    pub(super) fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    pub(super) fn missing(&self, file: &str) -> PullError {
        PullError::NoFile {
            repository: self.options.repository.clone(),
            revision: self.options.revision.clone(),
            file: file.to_owned(),
        }
    }

    fn url(&self, name: &str) -> String {
        let revision = self.commit.as_deref().unwrap_or(&self.options.revision);
        let (endpoint, repository) = (
            self.options.endpoint.trim_end_matches('/'),
            &self.options.repository,
        );
        format!(
            "{endpoint}/{repository}/resolve/{}/{name}",
            percent::encode(revision)
        )
    }

    /// Downloads `name` into `folder`; `false` when the repository does not have it.
    pub(super) fn fetch(
        &mut self,
        name: &str,
        folder: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<bool, PullError> {
        let (mut failures, mut furthest) = (0, 0);
        loop {
            match self.attempt(name, folder, progress)? {
                Attempt::Done => return Ok(true),
                Attempt::NotThere => return Ok(false),
                Attempt::Failed { reason, reached } => {
                    // Only bytes that no attempt had before count: a server that always breaks at
                    // the same place and knows no ranges must not keep us forever.
                    failures = if reached > furthest { 1 } else { failures + 1 };
                    furthest = furthest.max(reached);
                    if failures >= self.options.attempts {
                        return Err(PullError::Interrupted {
                            url: self.url(name),
                            attempts: failures,
                            reason,
                        });
                    }
                    tracing::warn!(
                        file = name,
                        failures,
                        reason,
                        "the download failed, trying again"
                    );
                    let wait = self
                        .options
                        .backoff
                        .saturating_mul(1 << (failures - 1).min(10));
                    std::thread::sleep(wait.min(LONGEST_WAIT));
                }
            }
        }
    }

    fn attempt(
        &mut self,
        name: &str,
        folder: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Attempt, PullError> {
        let mut part = Part::open(folder, name)?;
        let url = self.url(name);
        let (announced, response) = match self.request(&url, part.length)? {
            Ok(answer) => answer,
            Err(reason) => return Ok(Attempt::Failed { reason, reached: 0 }),
        };
        if let Some(attempt) = self.judge(&url, &response, part.length > 0)? {
            return Ok(attempt);
        }
        if is_complete(&part.target, &announced) {
            part.discard()?;
            return Ok(Attempt::Done);
        }
        let total = announced.size.or_else(|| total(&response));
        let same = part.etag.is_some() && part.etag == announced.etag;
        let status = response.status();
        if part.length > 0 && same && total == Some(part.length) {
            // Only its name was missing.
            part.finish(name, &announced, total)?;
            return Ok(Attempt::Done);
        }
        let resumes = same
            && status == StatusCode::PARTIAL_CONTENT
            && content_range(response.headers())
                .is_some_and(|(start, _)| start == Some(part.length));
        if part.length > 0 && !resumes && status != StatusCode::OK {
            // Another file, or no such range in it: from the beginning.
            part.discard()?;
            return Ok(Attempt::Failed {
                reason: "the file has changed".to_owned(),
                reached: 0,
            });
        }
        part.begin(&announced, resumes)?;
        let broken = part.receive(response, |done| {
            progress(Progress {
                file: name,
                done,
                total,
            });
        })?;
        let short = || (total > Some(part.length)).then(|| "the connection ended early".to_owned());
        if let Some(reason) = broken.or_else(short) {
            return Ok(Attempt::Failed {
                reason,
                reached: part.length,
            });
        }
        part.finish(name, &announced, total)?;
        Ok(Attempt::Done)
    }

    /// Asks for the file from `start` on, and follows redirects. The inner error is a failure of
    /// the connection.
    fn request(
        &mut self,
        url: &str,
        start: u64,
    ) -> Result<Result<(Announced, Response), String>, PullError> {
        let mut announced = None;
        let mut uri: Uri = url.parse().map_err(|_| PullError::Endpoint {
            endpoint: url.to_owned(),
        })?;
        for _ in 0..=REDIRECTS {
            let mut request = self.agent.get(&uri);
            if start > 0 {
                request = request.header(header::RANGE, format!("bytes={start}-"));
            }
            let home = uri.scheme() == self.endpoint.scheme()
                && uri.authority() == self.endpoint.authority();
            if let Some(token) = self.options.token.as_ref().filter(|_| home) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.0));
            }
            let response = match request.call() {
                Ok(response) => response,
                Err(error) => return Ok(Err(error.to_string())),
            };
            let headers = response.headers();
            // Relative redirects within the hub (a renamed repository) come before the answer that
            // tells.
            if announced.is_none() || headers.contains_key("x-linked-etag") {
                announced = Some(Announced {
                    etag: text(headers, "x-linked-etag")
                        .or_else(|| text(headers, "etag"))
                        .map(bare_tag),
                    size: text(headers, "x-linked-size").and_then(|n| n.parse().ok()),
                });
            }
            if self.commit.is_none() {
                let plain_commit = |c: &&str| !c.is_empty() && c.bytes().all(plain);
                self.commit = text(headers, "x-repo-commit")
                    .filter(plain_commit)
                    .map(str::to_owned);
            }
            if !response.status().is_redirection() {
                let mut announced = announced.unwrap_or(Announced {
                    etag: None,
                    size: None,
                });
                if announced.etag.is_none() {
                    announced.etag = text(response.headers(), "etag").map(bare_tag);
                }
                return Ok(Ok((announced, response)));
            }
            let location = text(headers, "location").unwrap_or_default();
            uri = follow(&uri, location).ok_or_else(|| PullError::Redirect {
                url: url.to_owned(),
                location: location.to_owned(),
            })?;
        }
        Err(PullError::Redirect {
            url: url.to_owned(),
            location: format!("more than {REDIRECTS} redirects"),
        })
    }

    /// `None`: the answer holds the file, or says that the range is wrong.
    fn judge(
        &self,
        url: &str,
        response: &Response,
        ranged: bool,
    ) -> Result<Option<Attempt>, PullError> {
        let status = response.status();
        let url = url.to_owned();
        let code = text(response.headers(), "x-error-code").unwrap_or_default();
        let reason = text(response.headers(), "x-error-message")
            .map(|m| format!(" ({m})"))
            .unwrap_or_default();
        match status.as_u16() {
            200 | 206 => Ok(None),
            416 if ranged => Ok(None),
            401 | 403 if code == "GatedRepo" => Err(PullError::Forbidden { url, reason }),
            401 if self.options.token.is_none() => Err(PullError::TokenMissing { url }),
            401 => Err(PullError::TokenRefused { url }),
            403 => Err(PullError::Forbidden { url, reason }),
            404 if matches!(code, "RepoNotFound" | "RevisionNotFound") => {
                Err(PullError::NoRevision {
                    repository: self.options.repository.clone(),
                    revision: self.options.revision.clone(),
                    reason,
                })
            }
            404 => Ok(Some(Attempt::NotThere)),
            408 | 425 | 429 | 500..=599 => Ok(Some(Attempt::Failed {
                reason: format!("the server answered {status}"),
                reached: 0,
            })),
            status => Err(PullError::Status { url, status }),
        }
    }
}

/// The begun file and, beside it, the etag of the content that it is a part of.
struct Part {
    target: PathBuf,
    path: PathBuf,
    etag_path: PathBuf,
    length: u64,
    etag: Option<String>,
}

impl Part {
    fn open(folder: &Path, name: &str) -> Result<Self, PullError> {
        let path = folder.join(format!("{name}.part"));
        let etag_path = folder.join(format!("{name}.part.etag"));
        let etag = fs::read_to_string(&etag_path).ok();
        // A part of unknown origin is worth nothing.
        let length = match fs::metadata(&path) {
            Ok(data) if etag.is_some() => data.len(),
            Ok(_) => 0,
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(e) => return Err(io_error(&path, e)),
        };
        Ok(Self {
            target: folder.join(name),
            path,
            etag_path,
            length,
            etag,
        })
    }

    fn begin(&mut self, announced: &Announced, resumes: bool) -> Result<(), PullError> {
        if !resumes {
            self.discard()?;
            if let Some(etag) = &announced.etag {
                fs::write(&self.etag_path, etag).map_err(|e| io_error(&self.etag_path, e))?;
            }
        }
        Ok(())
    }

    fn discard(&mut self) -> Result<(), PullError> {
        self.length = 0;
        for path in [&self.etag_path, &self.path] {
            match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error(path, e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Appends the body. `Some(reason)` when the connection broke; what came before is on the disk.
    fn receive(
        &mut self,
        response: Response,
        mut progress: impl FnMut(u64),
    ) -> Result<Option<String>, PullError> {
        let mut body = response.into_body().into_reader();
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path);
        let mut file = file.map_err(|e| io_error(&self.path, e))?;
        let mut buffer = vec![0; 1 << 17];
        loop {
            match body.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(read) => {
                    file.write_all(&buffer[..read])
                        .map_err(|e| io_error(&self.path, e))?;
                    self.length += read as u64;
                    progress(self.length);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Ok(Some(e.to_string())),
            }
        }
    }

    /// Checks the whole file and gives it its name.
    fn finish(
        &mut self,
        name: &str,
        announced: &Announced,
        total: Option<u64>,
    ) -> Result<(), PullError> {
        let file = name.to_owned();
        if let Some(expected) = total.filter(|&total| total != self.length) {
            let found = self.length;
            self.discard()?;
            return Err(PullError::Size {
                file,
                expected,
                found,
            });
        }
        if let Some(expected) = announced.sha256().map(str::to_ascii_lowercase) {
            let found = sha256(&self.path)?;
            if found != expected {
                self.discard()?;
                return Err(PullError::Hash {
                    file,
                    expected,
                    found,
                });
            }
        }
        File::open(&self.path)
            .and_then(|file| file.sync_all())
            .map_err(|e| io_error(&self.path, e))?;
        fs::rename(&self.path, &self.target).map_err(|e| io_error(&self.path, e))?;
        self.discard()
    }
}

/// Whether the file was downloaded by an earlier run. Only a hash can tell; small files have none
/// and come again.
fn is_complete(target: &Path, announced: &Announced) -> bool {
    let right_size =
        fs::metadata(target).is_ok_and(|data| announced.size.is_none_or(|size| size == data.len()));
    right_size
        && announced
            .sha256()
            .is_some_and(|expected| sha256(target).is_ok_and(|found| found == expected))
}

fn sha256(path: &Path) -> Result<String, PullError> {
    match file_entry(path) {
        Ok(entry) => Ok(entry.sha256),
        Err(e) => Err(io_error(path, io::Error::other(e))),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// An etag without its quotes and the mark of a weak one.
fn bare_tag(tag: &str) -> String {
    tag.trim_start_matches("W/").trim_matches('"').to_owned()
}

/// Start and total of `Content-Range: bytes START-END/TOTAL`, or `bytes */TOTAL` where there is no
/// such range.
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = text(headers, "content-range")?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    Some((
        range
            .split_once('-')
            .and_then(|(start, _)| start.parse().ok()),
        total.parse().ok(),
    ))
}

/// The whole file's size as this answer tells it.
fn total(response: &Response) -> Option<u64> {
    match response.status() {
        StatusCode::OK => text(response.headers(), "content-length")?.parse().ok(),
        _ => content_range(response.headers())?.1,
    }
}

/// The address of a redirect; never from https down to http.
fn follow(from: &Uri, location: &str) -> Option<Uri> {
    let absolute = if location.starts_with('/') && !location.starts_with("//") {
        format!("{}://{}{location}", from.scheme_str()?, from.authority()?)
    } else {
        location.to_owned()
    };
    let to: Uri = absolute.parse().ok()?;
    let allowed = match to.scheme_str() {
        Some("https") => true,
        Some("http") => from.scheme_str() == Some("http"),
        _ => false,
    };
    allowed.then_some(to)
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_resolved_and_never_lose_https() {
        let https: Uri = "https://hub.example:8443/a/b?c=d".parse().expect("valid");
        let to = |location| follow(&https, location).map(|uri| uri.to_string());
        assert_eq!(
            to("/api/x?y=1").as_deref(),
            Some("https://hub.example:8443/api/x?y=1")
        );
        assert_eq!(
            to("https://cdn.example/x").as_deref(),
            Some("https://cdn.example/x")
        );
        for refused in [
            "http://hub.example/x",
            "file:///etc/passwd",
            "",
            "relative",
            "//cdn.example/x",
        ] {
            assert_eq!(to(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn revisions_are_one_path_segment() {
        assert_eq!(percent::encode("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(percent::encode("v1.0_a-b"), "v1.0_a-b");
    }

    #[test]
    fn names_that_are_no_repositories_are_refused() {
        for name in ["", "/", "a/b/c", "../x", "a b", "a/..", "a?b/c"] {
            assert!(
                matches!(
                    Client::new(&PullOptions::new(name)),
                    Err(PullError::Repository { .. })
                ),
                "{name:?}"
            );
        }
        for name in ["gpt2", "owner/name-1.0_x"] {
            assert!(Client::new(&PullOptions::new(name)).is_ok(), "{name:?}");
        }
    }
}
