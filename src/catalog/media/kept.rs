//! Where pictures are kept that came over HTTP, or that an import put there: `uploads/` of the data
//! folder, a folder that several machines share, or a bucket of S3.
//!
//! A picture has the same name in each of them, `ab/abcd..`, made of its sha256, and the database
//! knows that name alone. So a catalog moves from one to another by copying the files.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

pub use super::bucket::Access;
use super::bucket::Bucket;
use super::hosts::PictureHosts;
use super::links::{Links, PictureLinks};
use super::readers::{LONG, Readers};
use super::upload::{self, UPLOADS};
use super::{PicturePlace, PictureSource};
use crate::catalog::error::CatalogError;
use crate::util::blocking::blocking;
use crate::util::digest::sha256;

/// The setting `pictures`: where they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PicturesAt {
    /// `uploads/` of the data folder.
    #[default]
    Uploads,
    /// A folder, by its absolute path: `file:///mnt/pictures`.
    Folder(PathBuf),
    /// `s3://bucket/prefix`; the prefix may be empty.
    Bucket { name: String, prefix: String },
}

/// What a service has to know of pictures.
#[derive(Clone, Debug, Default)]
pub struct PictureOptions {
    /// Where pictures are fetched from by their web address.
    pub hosts: PictureHosts,
    pub at: PicturesAt,
    pub links: PictureLinks,
    pub access: Access,
}

/// Where pictures are kept, opened.
#[derive(Clone)]
pub(in crate::catalog) struct Kept {
    at: At,
    links: Links,
    readers: Readers,
}

#[derive(Clone)]
enum At {
    Folder {
        root: PathBuf,
        /// Machines share it: it is made by others, and may be away.
        shared: bool,
    },
    Bucket(Bucket),
}

impl FromStr for PicturesAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Uploads);
        }
        if let Some(path) = text.strip_prefix("file://") {
            let path = Path::new(path);
            if !path.is_absolute() {
                return Err("a folder has an absolute path, as in file:///mnt/pictures".to_owned());
            }
            return Ok(Self::Folder(path.to_owned()));
        }
        let Some(rest) = text.strip_prefix("s3://") else {
            let expected =
                "file:///mnt/pictures, s3://bucket/prefix, or nothing for the data folder";
            return Err(format!("it is not {expected}"));
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("{name:?} is not the name of a bucket"));
        }
        let prefix = prefix.trim_matches('/');
        let part = |part: &str| !["", ".", ".."].contains(&part) && part.chars().all(plain);
        if !prefix.is_empty() && !prefix.split('/').all(part) {
            let letters = "letters, digits, and - _ . with a / between its parts";
            return Err(format!("the prefix {prefix:?} is more than {letters}"));
        }
        Ok(Self::Bucket {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

impl TryFrom<String> for PicturesAt {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for PicturesAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uploads => Ok(()),
            Self::Folder(path) => write!(f, "file://{}", path.display()),
            Self::Bucket { name, prefix } if prefix.is_empty() => write!(f, "s3://{name}"),
            Self::Bucket { name, prefix } => write!(f, "s3://{name}/{prefix}"),
        }
    }
}

impl Serialize for PicturesAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<PictureHosts> for PictureOptions {
    /// In the data folder.
    fn from(hosts: PictureHosts) -> Self {
        Self {
            hosts,
            ..Self::default()
        }
    }
}

/// Whether it can be used: a bucket is asked, a folder looked at. Blocks for nobody for longer than
/// some seconds.
///
/// # Errors
/// [`CatalogError::PicturesAway`], which says what is wrong.
pub async fn check_pictures(data: &Path, options: &PictureOptions) -> Result<(), CatalogError> {
    Kept::open(data, options, Readers::default())?.check().await
}

impl Kept {
    /// # Errors
    /// When what says how a bucket is asked is wrong. Nobody is asked.
    pub(in crate::catalog) fn open(
        data: &Path,
        options: &PictureOptions,
        readers: Readers,
    ) -> Result<Self, CatalogError> {
        let at = match &options.at {
            PicturesAt::Uploads => At::Folder {
                root: data.join(UPLOADS),
                shared: false,
            },
            PicturesAt::Folder(root) => At::Folder {
                root: root.clone(),
                shared: true,
            },
            PicturesAt::Bucket { name, prefix } => {
                At::Bucket(Bucket::open(name, prefix, &options.access)?)
            }
        };
        Ok(Self {
            at,
            links: Links::new(options.links.clone()),
            readers,
        })
    }

    pub(in crate::catalog) async fn check(&self) -> Result<(), CatalogError> {
        match &self.at {
            At::Folder { shared: false, .. } => Ok(()),
            At::Folder { root, .. } => {
                let (folder, what) = (root.clone(), root.display().to_string());
                let look = move || -> Result<(), String> {
                    let metadata = folder.metadata().map_err(|error| error.to_string())?;
                    if !metadata.is_dir() {
                        return Err("it is no folder".to_owned());
                    }
                    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
                    let access = rustix::fs::access(&folder, access);
                    access.map_err(|error| format!("it cannot be written to ({error})"))
                };
                let looked = self.readers.run(&what, LONG, look).await?;
                looked.map_err(|reason| CatalogError::PicturesAway {
                    place: what,
                    reason,
                })
            }
            At::Bucket(bucket) => bucket.check().await,
        }
    }

    /// Where a picture is, where that is a file, and the folder that may be away.
    pub(in crate::catalog) fn place(&self, name: &str) -> Result<Filed, &Bucket> {
        match &self.at {
            At::Folder { root, shared } => Ok(Filed {
                place: PicturePlace::File {
                    folder: root.clone(),
                    name: name.into(),
                },
                shared: shared.then(|| root.clone()),
            }),
            At::Bucket(bucket) => Err(bucket),
        }
    }

    /// Whether it is a shared folder with nothing in it: it is new, or not mounted.
    ///
    /// # Errors
    /// When it is not there.
    pub(in crate::catalog) async fn is_bare(&self) -> Result<bool, CatalogError> {
        let At::Folder { root, shared: true } = &self.at else {
            return Ok(false);
        };
        let (root, what) = (root.clone(), root.display().to_string());
        self.readers.run(&what, LONG, move || bare(&root)).await?
    }

    /// Why nothing is read or written, where it should not be bare.
    pub(in crate::catalog) fn unmounted(&self) -> CatalogError {
        let place = match &self.at {
            At::Folder { root, .. } => root.display().to_string(),
            At::Bucket(bucket) => bucket.shown(),
        };
        unmounted(place)
    }

    /// Keeps a picture, whole or not at all; its sha256. One that is there counts as written now: who
    /// cleans up looks at the time.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(in crate::catalog) async fn keep(&self, picture: Bytes) -> Result<[u8; 32], CatalogError> {
        let root = match &self.at {
            At::Folder {
                root,
                shared: false,
            } => {
                let root = root.clone();
                return blocking(move || upload::keep(&root, &picture)).await?;
            }
            At::Folder { root, .. } => root.clone(),
            At::Bucket(bucket) => {
                let bytes = picture.clone();
                let digest = blocking(move || sha256(&bytes)).await?;
                bucket.put(&upload::name(&digest), picture).await?;
                return Ok(digest);
            }
        };
        let what = root.display().to_string();
        let work = move || {
            bare(&root)?;
            upload::keep(&root, &picture).map_err(|error| away(&root, error))
        };
        self.readers.run(&what, LONG, work).await?
    }

    /// Whether a picture of this name is there.
    pub(in crate::catalog) async fn has(&self, name: &str) -> Result<bool, CatalogError> {
        match &self.at {
            At::Folder { root, .. } => {
                let (path, what) = (root.join(name), root.display().to_string());
                let look = move || path.is_file();
                self.readers.run(&what, LONG, look).await
            }
            At::Bucket(bucket) => bucket.has(name).await,
        }
    }

    /// Removes the pictures that were written longer than `age` ago and that `needed` does not name;
    /// how many.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub(in crate::catalog) async fn sweep(
        &self,
        age: Duration,
        needed: HashSet<String>,
    ) -> Result<u64, CatalogError> {
        match &self.at {
            At::Folder { root, shared } => {
                let (root, shared) = (root.clone(), *shared);
                let sweep = move || {
                    let swept = upload::sweep(&root, age, &|name| needed.contains(name));
                    swept.map_err(|error| if shared { away(&root, error) } else { error })
                };
                blocking(sweep).await?
            }
            At::Bucket(bucket) => bucket.sweep(age, &needed).await,
        }
    }

    /// The address that a client gets a picture from; `None`: that of the service.
    pub(in crate::catalog) async fn link(&self, name: &str) -> Option<String> {
        let bucket = match &self.at {
            At::Bucket(bucket) => Some(bucket),
            At::Folder { .. } => None,
        };
        self.links.to(name, bucket).await
    }
}

/// A picture that is a file.
#[derive(Clone)]
pub(in crate::catalog) struct Filed {
    pub(in crate::catalog) place: PicturePlace,
    /// The folder that it is in, where machines share it.
    pub(in crate::catalog) shared: Option<PathBuf>,
}

impl From<PicturePlace> for Filed {
    fn from(place: PicturePlace) -> Self {
        Self {
            place,
            shared: None,
        }
    }
}

impl Filed {
    /// What not finding or not reading it means: a shared folder may be away as a whole. Blocking.
    ///
    /// # Errors
    /// [`CatalogError::PicturesAway`] when it is.
    pub(in crate::catalog) fn is_there(&self) -> Result<(), CatalogError> {
        match &self.shared {
            Some(root) if bare(root)? => Err(unmounted(root.display().to_string())),
            _ => Ok(()),
        }
    }

    /// The same of what went wrong.
    pub(in crate::catalog) fn meaning(&self, error: CatalogError) -> CatalogError {
        match &self.shared {
            Some(root) => away(root, error),
            None => error,
        }
    }
}

/// Whether a shared folder has nothing in it; an error when it is not there. Blocking.
fn bare(root: &Path) -> Result<bool, CatalogError> {
    let entries = root
        .read_dir()
        .map_err(|error| away(root, CatalogError::io(root, error)))?;
    Ok(entries.take(1).count() == 0)
}

fn unmounted(place: String) -> CatalogError {
    CatalogError::PicturesAway {
        place,
        reason: "it is empty: is it mounted?".to_owned(),
    }
}

fn away(root: &Path, error: CatalogError) -> CatalogError {
    match error {
        CatalogError::Io { source, .. } => CatalogError::PicturesAway {
            place: root.display().to_string(),
            reason: source.to_string(),
        },
        other => other,
    }
}

/// The picture with this sha256, as it came over HTTP.
pub(in crate::catalog) fn uploaded(sha256: &[u8; 32]) -> PictureSource {
    PictureSource::Kept {
        name: upload::name(sha256),
        imported: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_and_shown_as_it_was_written() {
        for text in [
            "",
            "file:///mnt/pictures",
            "s3://shop",
            "s3://shop.pictures/a-b/c_d.e",
        ] {
            let at: PicturesAt = text.parse().expect(text);
            assert_eq!(at.to_string(), text);
        }
        let at: PicturesAt = "s3://shop/a/b//".parse().expect("a slash is no part");
        assert_eq!(at.to_string(), "s3://shop/a/b");
        for (wrong, why) in [
            ("pictures", "file:///mnt/pictures, s3://bucket/prefix"),
            ("file://pictures", "absolute"),
            ("s3://", "bucket"),
            ("s3://a b/c", "bucket"),
            ("s3://shop/../other", "prefix"),
            ("s3://shop/a//b", "prefix"),
            ("s3://shop/a?b", "prefix"),
            ("https://shop/a", "s3://bucket/prefix"),
        ] {
            let error = wrong.parse::<PicturesAt>().expect_err(wrong);
            assert!(error.contains(why), "{error}");
        }
    }
}
