//! Pictures in a bucket of S3, or of what speaks like it.
//!
//! An object is named as the file of an upload is, by the sha256 of its bytes: it is written whole or
//! not at all, and never becomes another one. Who may write to the bucket is trusted as who may write
//! to the database.
//!
//! Everything is bounded: each request in time, those that read at a time in number. What does not
//! come about for whatever reason but that an object is not there is [`CatalogError::PicturesAway`].

use std::collections::HashSet;
use std::error::Error as _;
use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path;
use object_store::signer::{Method, Signer as _};
use object_store::{
    Attribute, Attributes, Error, GetResult, ObjectStore as _, ObjectStoreExt as _, PutOptions,
    RetryConfig,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::LARGEST;
use super::transport::Transport;
use super::upload::is_name;
use crate::catalog::error::CatalogError;

/// For a client that waits: the first bytes of a picture, and each piece after them.
const READ: Duration = Duration::from_secs(5);
/// To write a picture, to look at the bucket, or to begin to read what is to be embedded.
const WRITE: Duration = Duration::from_secs(8);
/// To read a whole picture that is to be embedded.
const EMBED: Duration = Duration::from_secs(30);
/// Pictures that are read at a time; one more is refused.
const READS: usize = 128;
/// A request that failed is made again, so often and for so long.
const TRIES: usize = 2;
/// How long an address is valid that anybody may ask.
const SIGNED_FOR: Duration = Duration::from_hours(1);
/// An object is not changed: a browser need not ask again.
const CACHE: &str = "public, max-age=31536000, immutable";
/// A file of certificates, in the words of the tools of AWS.
const ROOTS: &str = "AWS_CA_BUNDLE";
/// The variables by one of which there are credentials, or none are needed.
const CREDENTIALS: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
];

/// How a bucket is asked, as variables of the environment say it: `AWS_ACCESS_KEY_ID` and so on.
#[derive(Clone, Default)]
pub struct Access(Vec<(String, String)>);

/// A cheap, clonable handle.
#[derive(Clone)]
pub(in crate::catalog) struct Bucket(Arc<Inner>);

struct Inner {
    store: AmazonS3,
    name: String,
    prefix: String,
    /// Whether credentials were given.
    credentials: bool,
    reads: Arc<Semaphore>,
}

/// An object whose bytes come as they are taken.
pub(super) struct Opened {
    pub(super) length: u64,
    rest: BoxStream<'static, object_store::Result<Bytes>>,
    bucket: Bucket,
    _turn: OwnedSemaphorePermit,
}

impl Access {
    /// The variables that say how a bucket is asked; others are left out.
    #[must_use]
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter();
        Self(
            variables
                .filter(|(name, _)| name.starts_with("AWS_"))
                .collect(),
        )
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&name[..], &value[..]))
    }
}

/// Their values are secrets.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl Bucket {
    /// `prefix`: without slashes at its ends. Asks nobody.
    ///
    /// # Errors
    /// [`CatalogError::PicturesAway`] when a variable of `access` has a wrong value.
    pub(super) fn open(name: &str, prefix: &str, access: &Access) -> Result<Self, CatalogError> {
        let wrong = |reason: String| CatalogError::PicturesAway {
            place: shown(name, prefix),
            reason,
        };
        let mut builder = AmazonS3Builder::new();
        let mut roots = None;
        for (variable, value) in access.pairs() {
            if variable == ROOTS {
                roots = Some(FilePath::new(value));
            } else if let Ok(key) = variable.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let transport = Transport::new(roots).map_err(|e| wrong(format!("{ROOTS}: {e}")))?;
        let retries = RetryConfig {
            max_retries: TRIES,
            retry_timeout: READ,
            ..RetryConfig::default()
        };
        let store = builder
            .with_bucket_name(name)
            .with_retry(retries)
            .with_http_connector(transport)
            .build()
            .map_err(|error| wrong(innermost(&error)))?;
        let given = |variable: &&str| access.pairs().any(|(name, _)| name == *variable);
        Ok(Self(Arc::new(Inner {
            store,
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            credentials: CREDENTIALS.iter().any(given),
            reads: Arc::new(Semaphore::new(READS)),
        })))
    }

    /// As the setting has it.
    pub(super) fn shown(&self) -> String {
        shown(&self.0.name, &self.0.prefix)
    }

    /// Whether it is there and can be listed.
    pub(super) async fn check(&self) -> Result<(), CatalogError> {
        let options = PaginatedListOptions {
            max_keys: Some(1),
            ..PaginatedListOptions::default()
        };
        let prefix = format!("{}/", self.0.prefix);
        let prefix = Some(prefix.as_str()).filter(|prefix| *prefix != "/");
        let looked = self.0.store.list_paginated(prefix, options);
        self.within(WRITE, looked).await.map(|_| ())
    }

    /// Writes an object; one that was there is written again, so that its time is of now.
    pub(super) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), CatalogError> {
        let kind = image::guess_format(&bytes);
        let kind = kind.map_or("application/octet-stream", |format| format.to_mime_type());
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, kind),
            (Attribute::CacheControl, CACHE),
        ]);
        let options = PutOptions::from(attributes);
        let path = self.path(name);
        let written = self.0.store.put_opts(&path, bytes.into(), options);
        self.within(WRITE, written).await.map(|_| ())
    }

    pub(super) async fn has(&self, name: &str) -> Result<bool, CatalogError> {
        Ok(self.written(&self.path(name)).await?.is_some())
    }

    /// When an object was written; `None` when it is not there.
    async fn written(&self, path: &Path) -> Result<Option<SystemTime>, CatalogError> {
        let head = self.present(READ, self.0.store.head(path)).await?;
        Ok(head.map(|head| head.last_modified.into()))
    }

    /// All of an object; `None` when it is not there.
    pub(in crate::catalog) async fn read(&self, name: &str) -> Result<Option<Bytes>, CatalogError> {
        let read = async {
            let Some(mut opened) = self.get(name, WRITE).await? else {
                return Ok(None);
            };
            let length = usize::try_from(opened.length).unwrap_or_default();
            let mut all = BytesMut::with_capacity(length);
            while let Some(piece) = opened.piece().await? {
                all.extend_from_slice(&piece);
            }
            Ok(Some(all.freeze()))
        };
        let in_time = tokio::time::timeout(EMBED, read).await;
        in_time.unwrap_or_else(|_| Err(self.late(EMBED)))
    }

    /// An object for a client; `None` when it is not there.
    pub(super) async fn open_object(&self, name: &str) -> Result<Option<Opened>, CatalogError> {
        self.get(name, READ).await
    }

    async fn get(&self, name: &str, time: Duration) -> Result<Option<Opened>, CatalogError> {
        let turn = Arc::clone(&self.0.reads).try_acquire_owned();
        let turn = turn.map_err(|_| CatalogError::PicturesBusy)?;
        let path = self.path(name);
        let got: Option<GetResult> = self.present(time, self.0.store.get(&path)).await?;
        let Some(got) = got else { return Ok(None) };
        if got.meta.size > LARGEST {
            let what = FilePath::new(name);
            let large = std::io::ErrorKind::FileTooLarge;
            return Err(CatalogError::io(what, large.into()));
        }
        Ok(Some(Opened {
            length: got.meta.size,
            rest: got.into_stream(),
            bucket: self.clone(),
            _turn: turn,
        }))
    }

    /// Removes the objects of this catalog's kind that were written longer than `age` ago and that
    /// `needed` does not name; how many. An object is looked at again right before.
    pub(super) async fn sweep(
        &self,
        age: Duration,
        needed: &HashSet<String>,
    ) -> Result<u64, CatalogError> {
        let old = |written: SystemTime| written.elapsed().is_ok_and(|since| since >= age);
        let prefix = Path::from(self.0.prefix.as_str());
        let prefix = Some(&prefix).filter(|_| !self.0.prefix.is_empty());
        let mut listed = self.0.store.list(prefix);
        let mut removed = 0;
        loop {
            let next = tokio::time::timeout(EMBED, listed.next()).await;
            let next = next.map_err(|_| self.late(EMBED))?;
            let Some(found) = next else {
                return Ok(removed);
            };
            let found = found.map_err(|error| self.away(&error))?;
            let Some(name) = self.name_of(&found.location) else {
                continue;
            };
            if needed.contains(&name) || !old(found.last_modified.into()) {
                continue;
            }
            // It may have come again since it was listed.
            if self.written(&found.location).await?.is_some_and(old) {
                let removal = self.0.store.delete(&found.location);
                removed += u64::from(self.present(WRITE, removal).await?.is_some());
            }
        }
    }

    /// An address of an object that anybody may ask for an hour. With credentials that were given it is
    /// made without asking anybody.
    pub(super) async fn sign(&self, name: &str) -> Result<String, CatalogError> {
        let path = self.path(name);
        let signed = self.0.store.signed_url(Method::GET, &path, SIGNED_FOR);
        self.within(READ, signed).await.map(String::from)
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.0.prefix))
    }

    /// The name of a picture that was kept here; of everything else that may be in the bucket, nothing.
    fn name_of(&self, path: &Path) -> Option<String> {
        let name = path.as_ref().strip_prefix(self.0.prefix.as_str())?;
        let name = name.strip_prefix('/').unwrap_or(name);
        is_name(name).then(|| name.to_owned())
    }

    async fn within<T>(
        &self,
        time: Duration,
        asked: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, CatalogError> {
        let answered = tokio::time::timeout(time, asked).await;
        let answered = answered.map_err(|_| self.late(time))?;
        answered.map_err(|error| self.away(&error))
    }

    /// The same of an object that may not be there.
    async fn present<T>(
        &self,
        time: Duration,
        asked: impl Future<Output = object_store::Result<T>>,
    ) -> Result<Option<T>, CatalogError> {
        let asked = async {
            match asked.await {
                Ok(found) => Ok(Some(found)),
                Err(Error::NotFound { source, .. }) if !no_bucket(&source.to_string()) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.within(time, asked).await
    }

    fn late(&self, time: Duration) -> CatalogError {
        let reason = format!("it did not answer within {} s", time.as_secs());
        self.because(reason)
    }

    fn because(&self, reason: String) -> CatalogError {
        let reason = if self.0.credentials {
            reason
        } else {
            format!(
                "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where \
                 a role gives them ({reason})"
            )
        };
        CatalogError::PicturesAway {
            place: self.shown(),
            reason,
        }
    }

    /// What an error means to whoever runs the shop.
    fn away(&self, error: &Error) -> CatalogError {
        let said = error.to_string();
        let code = code(&said).unwrap_or("no code");
        match error {
            _ if no_bucket(&said) => CatalogError::PicturesAway {
                place: self.shown(),
                reason: format!("there is no bucket {:?}", self.0.name),
            },
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                self.because(format!("the credentials are refused ({code})"))
            }
            _ => self.because(innermost(error)),
        }
    }
}

impl Opened {
    /// The next bytes; `None` at the end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, CatalogError> {
        let next = tokio::time::timeout(READ, self.rest.next()).await;
        let next = next.map_err(|_| self.bucket.late(READ))?;
        next.transpose().map_err(|error| self.bucket.away(&error))
    }
}

fn shown(bucket: &str, prefix: &str) -> String {
    match prefix {
        "" => format!("s3://{bucket}"),
        _ => format!("s3://{bucket}/{prefix}"),
    }
}

fn no_bucket(said: &str) -> bool {
    said.contains("NoSuchBucket")
}

/// The code in an error document of S3.
fn code(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code)
}

/// The cause behind all others: what is wrapped around it are addresses and counts of tries.
fn innermost(error: &Error) -> String {
    let said = error.to_string();
    if let Some(code) = code(&said) {
        return format!("it answers {code}");
    }
    let mut inner = error.source();
    while let Some(below) = inner.and_then(std::error::Error::source) {
        inner = Some(below);
    }
    inner.map_or(said, ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_not_shown() {
        let access = Access::of([
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "s3cret".to_owned()),
            ("HOME".to_owned(), "/".to_owned()),
        ]);
        assert_eq!(format!("{access:?}"), "[\"AWS_SECRET_ACCESS_KEY\"]");
    }
}
