//! How products come in, and how those without an embedding get one: where `catalog` meets
//! `encode`.
//!
//! [`import`] reads a [`Source`], writes its products in batches, and embeds what is missing;
//! [`embed_missing`] does the latter alone, for a service that was given another model. Both may be
//! ended at any point and run again: every batch is one transaction, and what [`Progress`] counts
//! as embedded is on the disk. Contents are told apart by their sha256, so that nothing is embedded
//! twice by the same model.
//!
//! A row or a picture that cannot be used is noted in the rejects file and the rest goes on; a full
//! disk, a broken database, a second writer or a dead model end the import with an error.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::source::{self, Ignored, Item, Record, Source, SourceError};
use super::store::write::{Change, Writer};
use super::{Catalog, CatalogError};
use crate::domain::{Embedding, ModelId, ProductKey};
use crate::encode::{EncodeError, Encoder, Priority};
use crate::util::blocking::{BlockingError, blocking};
use rejects::Rejects;

mod embed;
mod rejects;

/// Products in one transaction.
const BATCH: usize = 500;

/// What turns pictures and words into embeddings; [`Encoder`], or something quicker in a test.
pub trait Embedder: Clone + Send + Sync + 'static {
    fn model(&self) -> &ModelId;
    /// Embeds the picture in `file`, behind all searches.
    fn photo(&self, file: Bytes) -> impl Future<Output = Result<Embedding, EncodeError>> + Send;
    /// Embeds a caption, behind all searches.
    fn words(&self, text: &str) -> impl Future<Output = Result<Embedding, EncodeError>> + Send;
}

impl Embedder for Encoder {
    fn model(&self) -> &ModelId {
        self.model_id()
    }
    async fn photo(&self, file: Bytes) -> Result<Embedding, EncodeError> {
        self.image(file, Priority::Bulk, None).await
    }
    async fn words(&self, text: &str) -> Result<Embedding, EncodeError> {
        self.text(text, Priority::Bulk, None).await
    }
}

#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Remove the products that the source does not have.
    pub prune: bool,
    /// Where rejects are noted; `rejects-TIME.csv` in the data folder by default.
    pub rejects: Option<PathBuf>,
}

/// How far an import is: shared with whoever shows it, read at any time.
#[derive(Debug, Default)]
pub struct Progress {
    running: AtomicBool,
    products: AtomicU64,
    photos: AtomicU64,
    words: AtomicU64,
    photos_done: AtomicU64,
    words_done: AtomicU64,
    failed: AtomicU64,
}

/// [`Progress`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// An import or an embedding is under way.
    pub running: bool,
    /// Products read from the source so far.
    pub products: u64,
    /// Pictures to look at, and those that were embedded and written down (or found embedded
    /// already).
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
    fn start(&self) -> Running<'_> {
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

struct Running<'a>(&'a Progress);

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
    pub embedded: EmbedSummary,
    /// Rows that were not taken.
    pub rejected_rows: u64,
    /// Photos, attributes and letters that were not taken, of rows that were.
    pub rejected_parts: u64,
    /// Where the rejects are listed, when there are any.
    pub rejects: Option<PathBuf>,
    /// Fields that mean nothing here, with the number of rows that have them.
    pub ignored: Ignored,
    /// Products should have been removed and were not: a rejected row has no readable id and might
    /// be one of them.
    pub prune_skipped: bool,
    pub elapsed: Duration,
}

/// What embedding did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbedSummary {
    /// Products whose photo had no embedding of this model and has one now.
    pub photos: u64,
    /// Photos that the model was run on: of equal ones, the first.
    pub contents: u64,
    /// Captions that the model was run on: of equal ones, the first.
    pub words: u64,
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
    #[error("the source holds no product that could be used: nothing was removed")]
    NothingToKeep,
}

/// Brings the catalog to what `source` says and embeds what is missing. The second run over the
/// same source changes nothing, not even the revision; it looks again at pictures that could not be
/// embedded.
///
/// # Errors
/// When the source or the database cannot be used, another import is running, or the model stops.
pub async fn import<E: Embedder>(
    catalog: &Catalog,
    embedder: &E,
    source: &Source,
    options: &ImportOptions,
    progress: &Progress,
) -> Result<Summary, IngestError> {
    bring_in(catalog, Some(embedder), source, options, progress).await
}

/// [`import`] without the embedding.
///
/// # Errors
/// When the source or the database cannot be used, or another import is running.
pub async fn load(
    catalog: &Catalog,
    source: &Source,
    options: &ImportOptions,
    progress: &Progress,
) -> Result<Summary, IngestError> {
    bring_in(catalog, None::<&Encoder>, source, options, progress).await
}

async fn bring_in<E: Embedder>(
    catalog: &Catalog,
    embedder: Option<&E>,
    source: &Source,
    options: &ImportOptions,
    progress: &Progress,
) -> Result<Summary, IngestError> {
    let (_running, start) = (progress.start(), Instant::now());
    let writer = Writer::lock(catalog)?;
    let mut rejects = rejects(catalog, options);
    let (mut summary, lines) = load_rows(&writer, source, options, &mut rejects, progress).await?;
    if let Some(embedder) = embedder {
        let mut run = embed::Run::new(&writer, embedder, progress, Some((&lines, &mut rejects)));
        summary.embedded = run.embed().await?;
    }
    rejects.flush()?;
    summary.elapsed = start.elapsed();
    summary.rejected_rows = rejects.rows();
    summary.rejected_parts = rejects.parts();
    summary.rejects = rejects.path().map(ToOwned::to_owned);
    Ok(summary)
}

/// Embeds every picture and caption that this model has not seen. Contents that it could not embed
/// before are left alone, and pictures are taken to be what they were: [`import`] is what looks
/// again.
///
/// # Errors
/// When the database cannot be used, an import is running, or the model stops.
pub async fn embed_missing<E: Embedder>(
    catalog: &Catalog,
    embedder: &E,
    progress: &Progress,
) -> Result<EmbedSummary, IngestError> {
    let _running = progress.start();
    let writer = Writer::lock(catalog)?;
    embed::Run::new(&writer, embedder, progress, None)
        .embed()
        .await
}

fn rejects(catalog: &Catalog, options: &ImportOptions) -> Rejects {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let default = || {
        catalog
            .data()
            .join(format!("rejects-{}.csv", now.as_secs()))
    };
    Rejects::new(options.rejects.clone().unwrap_or_else(default))
}

/// The line of the source that each product is in.
type LineOf = std::collections::HashMap<ProductKey, u64>;

async fn load_rows(
    writer: &Writer,
    source: &Source,
    options: &ImportOptions,
    rejects: &mut Rejects,
    progress: &Progress,
) -> Result<(Summary, LineOf), IngestError> {
    let (send, mut receive) = mpsc::channel(2 * BATCH);
    let (source, photos) = (source.clone(), writer.catalog().inner.photos.clone());
    let reader = tokio::spawn(blocking(move || {
        source::read(&source, &photos, &mut |item| {
            send.blocking_send(item).is_ok()
        })
    }));
    let (mut summary, mut lines) = (Summary::default(), LineOf::new());
    let (mut batch, mut rejected) = (Vec::with_capacity(BATCH), Vec::new());
    while let Some(item) = receive.recv().await {
        match item {
            Item::Record(record) => batch.push(record),
            Item::Reject(reject) => {
                rejects.add(&reject)?;
                rejected.extend(reject.id);
            }
        }
        if batch.len() == BATCH {
            write(writer, &mut batch, &mut summary, &mut lines, progress).await?;
        }
    }
    write(writer, &mut batch, &mut summary, &mut lines, progress).await?;
    rejects.flush()?;
    summary.ignored = reader
        .await
        .map_err(BlockingError::from)
        .and_then(|read| read)
        .map_err(CatalogError::from)??;
    if options.prune {
        prune(writer, &mut summary, &lines, &rejected, rejects).await?;
    }
    Ok((summary, lines))
}

async fn write(
    writer: &Writer,
    batch: &mut Vec<Record>,
    summary: &mut Summary,
    lines: &mut LineOf,
    progress: &Progress,
) -> Result<(), CatalogError> {
    if batch.is_empty() {
        return Ok(());
    }
    for ((key, change), record) in writer.upsert(batch).await?.into_iter().zip(batch.iter()) {
        lines.insert(key, record.line);
        match change {
            Change::New => summary.new += 1,
            Change::Changed => summary.changed += 1,
            Change::Unchanged => summary.unchanged += 1,
        }
    }
    progress
        .products
        .fetch_add(batch.len() as u64, Ordering::Relaxed);
    batch.clear();
    Ok(())
}

/// A product whose row was rejected is in the source all the same: it stays as it was.
async fn prune(
    writer: &Writer,
    summary: &mut Summary,
    lines: &LineOf,
    rejected: &[String],
    rejects: &Rejects,
) -> Result<(), IngestError> {
    if lines.is_empty() {
        return Err(IngestError::NothingToKeep);
    }
    if rejects.nameless() {
        summary.prune_skipped = true;
        return Ok(());
    }
    let mut kept: HashSet<ProductKey> = lines.keys().copied().collect();
    kept.extend(writer.keys(rejected).await?);
    summary.removed = writer.keep_only(&kept).await?;
    Ok(())
}
