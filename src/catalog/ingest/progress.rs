//! How far an import is, what it did, why it ended.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::max_removed::MaxRemoved;
use crate::catalog::error::CatalogError;
use crate::catalog::source::{Ignored, SourceError};
use crate::domain::{AttributeName, Tally};
use crate::encode::EncodeError;

#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, as on the command line"
)]
pub struct ImportOptions {
    /// Remove the products that the source does not have.
    pub prune: bool,
    /// More is not taken away, of products and of pictures; nothing is changed then.
    pub max_removed: MaxRemoved,
    /// Take a feed however much it takes away, and though it is what it was.
    pub force: bool,
    /// Of a feed that is fetched.
    pub feed_limits: FeedLimits,
    /// Wait for another import that is running, rather than to fail.
    pub wait: bool,
    /// Put pictures that lie in files and archives where the catalog keeps pictures, so that every
    /// machine reaches them.
    pub keep_pictures: bool,
    /// Where rejects are noted; `rejects-TIME.csv` in the data folder by default.
    pub rejects: Option<PathBuf>,
}

/// What a feed may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedLimits {
    /// As they come, unpacked where they were packed on their way.
    pub bytes: u64,
    pub time: Duration,
}

impl Default for FeedLimits {
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            time: Duration::from_mins(30),
        }
    }
}

/// How far an import is: shared with whoever shows it, read at any time.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) running: AtomicBool,
    pub(super) products: AtomicU64,
    pub(super) photos: AtomicU64,
    pub(super) words: AtomicU64,
    pub(super) photos_done: AtomicU64,
    pub(super) words_done: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// [`Progress`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// An import or an embedding is under way.
    pub running: bool,
    /// Products read from the source so far.
    pub products: u64,
    /// Pictures that wait to be embedded, and those that were and are written down (or whose content
    /// was embedded already).
    pub photos: u64,
    pub photos_done: u64,
    /// Captions to embed, and those that were.
    pub words: u64,
    pub words_done: u64,
    /// Pictures and captions that cannot be embedded.
    pub failed: u64,
}

impl Progress {
    #[must_use]
    pub fn status(&self) -> Status {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            running: self.running.load(Ordering::Relaxed),
            products: get(&self.products),
            photos: get(&self.photos),
            photos_done: get(&self.photos_done),
            words: get(&self.words),
            words_done: get(&self.words_done),
            failed: get(&self.failed),
        }
    }

    /// Starts counting anew, until the guard is dropped.
    pub(super) fn start(&self) -> Running<'_> {
        let all = [
            &self.products,
            &self.photos,
            &self.words,
            &self.photos_done,
            &self.words_done,
            &self.failed,
        ];
        for counter in all {
            counter.store(0, Ordering::Relaxed);
        }
        self.running.store(true, Ordering::Relaxed);
        Running(self)
    }
}

pub(super) struct Running<'a>(&'a Progress);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Relaxed);
    }
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub removed: u64,
    /// Pictures that were put where the catalog keeps them, and were not there.
    pub kept: u64,
    pub embedded: EmbedSummary,
    /// What came from the feed's web address, where it has one.
    pub fetched: Option<FetchedFeed>,
    /// Rows that were not taken.
    pub rejected_rows: u64,
    /// PictureFiles, attributes and letters that were not taken, of rows that were.
    pub rejected_parts: u64,
    /// Where the rejects are listed, when there are any.
    pub rejects: Option<PathBuf>,
    /// Fields that mean nothing here, with the number of rows that have them.
    pub ignored: Ignored,
    /// The attributes of the rows that were taken, with what their values are.
    pub attributes: BTreeMap<AttributeName, Tally>,
    /// Products should have been removed and were not: a rejected row has no readable id and might
    /// be one of them.
    pub prune_skipped: bool,
    pub elapsed: Duration,
}

/// What came from a feed's web address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchedFeed {
    /// It is what it was: nothing was read.
    Same,
    /// So many bytes.
    Read(u64),
}

/// What embedding did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbedSummary {
    /// Products whose photo had no embedding of this model and has one now.
    pub photos: u64,
    /// PictureFiles that the model was run on: of equal ones, the first.
    pub contents: u64,
    /// Captions that the model was run on: of equal ones, the first.
    pub words: u64,
    /// Of these, captions that are longer than the model reads: their attributes were put first.
    pub cut: u64,
    /// Products whose picture cannot be embedded or read, and captions that cannot be embedded.
    pub failed: u64,
    pub elapsed: Duration,
}

/// Why an import ended early. What was reported done is done.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("the model stopped: {0}")]
    Encode(#[source] EncodeError),
    #[error("the feed cannot be fetched: {0}")]
    Fetch(String),
    #[error("{feed} holds no product{why}: nothing was changed")]
    NothingTaken { feed: String, why: String },
    #[error(
        "the feed has {now} products now, and had {before}: less than half. Nothing was changed. \
         Look whether it is whole; --force takes it"
    )]
    FeedShrank { now: u64, before: u64 },
    #[error("the source holds no product that could be used: nothing was removed")]
    NothingToKeep,
    #[error(
        "the import would remove {removed} of {all} products, and {limit} are allowed: nothing was changed. \
         Look whether the file of products is whole; --max-removed {removed} allows it"
    )]
    TooManyRemoved { removed: u64, all: u64, limit: u64 },
    #[error(
        "the import would take away {lost} of {all} pictures, and {limit} are allowed: nothing was changed. \
         Look whether --images names the folder of pictures and it is mounted; --max-removed {lost} allows it"
    )]
    PicturesGone { lost: u64, all: u64, limit: u64 },
}
