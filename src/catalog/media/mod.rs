//! Pictures: where a shop keeps them, and reading them without leaving their folder and without
//! waiting for ever.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`folder`] | the names in a folder or a zip archive that an import was pointed to |
//! | [`read`] | opening a picture: no link out of its folder, no pipe, no device |
//! | [`readers`] | the threads that read, and their time |
//! | [`picture`] | a product's picture for a client: what was decoded at import, in pieces |
//! | [`hosts`] | the web addresses that pictures may be fetched from: hosts, and where they may be |
//! | [`remote`] | fetching from web addresses: one guarded try |
//! | [`web`] | pictures from many hosts at a time, and what is tried again |
//! | [`kept`] | where pictures are kept that came over HTTP or that an import put there |
//! | [`upload`] | kept in a folder |
//! | [`bucket`], [`transport`] | kept in a bucket of S3; how that is asked |
//! | [`links`] | addresses of kept pictures that lead past the service |
//!
//! Paths never come from a client: the catalog makes them of what was imported.

pub(in crate::catalog) mod bucket;
pub(in crate::catalog) mod folder;
pub(in crate::catalog) mod hosts;
pub(in crate::catalog) mod kept;
pub(in crate::catalog) mod links;
pub(in crate::catalog) mod picture;
pub(in crate::catalog) mod read;
pub(in crate::catalog) mod readers;
pub(in crate::catalog) mod remote;
mod transport;
pub(in crate::catalog) mod upload;
pub(in crate::catalog) mod web;

use std::fmt;
use std::path::{Path, PathBuf};

/// No product picture is larger, in bytes; a file that says so is a mistake or a bomb.
const LARGEST: u64 = 64 << 20;

/// Where a picture lies: a file below a folder, or a member of a zip archive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PicturePlace {
    File {
        /// What no link may lead out of.
        folder: PathBuf,
        /// Relative to it.
        name: PathBuf,
    },
    Zip {
        archive: PathBuf,
        member: String,
    },
}

impl PicturePlace {
    /// A file, in the folder that it is in.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self::File {
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            name: path.file_name().unwrap_or_default().into(),
        }
    }

    /// The file, or the archive.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match self {
            Self::File { folder, name } => folder.join(name),
            Self::Zip { archive, .. } => archive.clone(),
        }
    }
}

/// What the shop says of where a picture is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::catalog) enum PictureSource {
    Stored(PicturePlace),
    /// Where the catalog keeps pictures ([`kept`]), under this name.
    Kept {
        name: String,
        /// By an import, whose file of products says of it; else it came over HTTP.
        imported: bool,
    },
    /// On the web.
    Address(String),
}

impl fmt::Display for PictureSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored(place) => place.path().display().fmt(f),
            Self::Kept { name: text, .. } | Self::Address(text) => f.write_str(text),
        }
    }
}
