//! Products in, and what is missing embedded.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::embed::{LineOf, Run};
use super::embedder::Embedder;
use super::feed;
use super::keep;
use super::progress::{EmbedSummary, ImportOptions, IngestError, Progress, Summary};
use super::rejects::Rejects;
use super::rows::{BATCH, rows};
use super::survey;
use crate::catalog::error::CatalogError;
use crate::catalog::media::PictureSource;
use crate::catalog::media::readers::LONG;
use crate::catalog::media::remote::Validators;
use crate::catalog::source::read::{Rereadable, Source};
use crate::catalog::source::row::{Item, Lost, Record};
use crate::catalog::store::Catalog;
use crate::catalog::store::queue::PictureKey;
use crate::catalog::store::work::PictureWork;
use crate::catalog::store::write::{Change, Writer};
use crate::domain::{ProductKey, Tally};
use crate::encode::Encoder;

/// Files that one thread looks at in a row.
const LOOKS: usize = 50;

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
    let writer = if options.wait {
        Writer::wait(catalog).await?
    } else {
        Writer::lock(catalog).await?
    };
    let mut source = source.clone();
    let mut asked = match source.address.clone() {
        Some(address) => Some(feed::ask(&writer, &source, &address, options).await?),
        None => None,
    };
    let file = asked.as_ref().and_then(|asked| asked.file.as_ref());
    if let Some(file) = file {
        file.path().clone_into(&mut source.feed);
    }
    let mut rejects = rejects(catalog, options);
    let is_same = asked.is_some() && file.is_none();
    let (mut summary, lines) = if is_same {
        (Summary::default(), LineOf::new())
    } else {
        let source = &Rereadable::of(&source, catalog.data()).await?.source;
        survey::check(&writer, source, options, asked.as_ref()).await?;
        let feed = asked.as_ref().map(|asked| asked.known.key);
        load_rows(&writer, source, options, feed, &mut rejects, progress).await?
    };
    if let Some(asked) = &mut asked {
        if !is_same {
            asked.known.products = lines.len() as u64;
        }
        writer.feed_taken(&asked.known).await?;
        summary.fetched = Some(asked.fetched);
    }
    if let Some(embedder) = embedder {
        let _embedding = writer.embedding().await?;
        let import = Some((&lines, &mut rejects));
        let run = Run::new(&writer, embedder, progress, import).await?;
        run.look().await?;
        look_again(&writer, run.model(), &lines).await?;
        summary.embedded = run.embed(None).await?;
    }
    rejects.flush()?;
    summary.elapsed = start.elapsed();
    summary.rejected_rows = rejects.rows();
    summary.rejected_parts = rejects.parts();
    summary.rejects = rejects.path().map(ToOwned::to_owned);
    Ok(summary)
}

/// Embeds every picture and caption that this model has not seen, whoever brought it. Contents that
/// it could not embed before are left alone, and pictures are taken to be what they were: [`import`]
/// is what looks again.
///
/// # Errors
/// When the database cannot be used, an import is running, or the model stops.
pub async fn embed_missing<E: Embedder>(
    catalog: &Catalog,
    embedder: &E,
    progress: &Progress,
) -> Result<EmbedSummary, IngestError> {
    embed(catalog, embedder, progress, true, None).await
}

/// Embeds what waits in the queue and whose turn has come: at the cost of that alone. What changes
/// is put there with the change, so that whoever called [`embed_missing`] once needs no more.
///
/// # Errors
/// As [`embed_missing`].
pub async fn embed_queued<E: Embedder>(
    catalog: &Catalog,
    embedder: &E,
    progress: &Progress,
) -> Result<EmbedSummary, IngestError> {
    embed(catalog, embedder, progress, false, None).await
}

/// As [`embed_missing`] with `look`, else as [`embed_queued`]; begins nothing more after `time`.
///
/// # Errors
/// As [`embed_missing`].
pub async fn embed_for<E: Embedder>(
    catalog: &Catalog,
    embedder: &E,
    progress: &Progress,
    look: bool,
    time: Duration,
) -> Result<EmbedSummary, IngestError> {
    embed(catalog, embedder, progress, look, Some(time)).await
}

async fn embed<E: Embedder>(
    catalog: &Catalog,
    embedder: &E,
    progress: &Progress,
    look: bool,
    time: Option<Duration>,
) -> Result<EmbedSummary, IngestError> {
    let _running = progress.start();
    let writer = Writer::embedder(catalog).await?;
    let run = Run::new(&writer, embedder, progress, None).await?;
    if look {
        run.look().await?;
    }
    run.embed(time).await
}

/// Puts the pictures of an import into the queue that are not what they were, and what could not be
/// read or embedded before.
async fn look_again(writer: &Writer, model: i64, lines: &LineOf) -> Result<(), CatalogError> {
    let mut products: Vec<ProductKey> = lines.keys().copied().collect();
    products.sort_unstable();
    for page in products.chunks(BATCH) {
        let settled = writer.settled_pictures(model, page).await?;
        let again = changed(settled, writer.catalog()).await;
        writer.queue_again(model, &again, page).await?;
    }
    Ok(())
}

/// The pictures whose files are not what they were, those that failed among them, and those on the web
/// whose server said how to ask whether they are. Others on the web, and what the catalog keeps, are
/// what they were: another picture has another address, or another name.
async fn changed(settled: Vec<PictureWork>, catalog: &Catalog) -> Vec<PictureKey> {
    let inner = &catalog.inner;
    let mut all = settled.into_iter();
    let mut changed = Vec::new();
    loop {
        let page: Vec<_> = all.by_ref().take(LOOKS).collect();
        if page.is_empty() {
            return changed;
        }
        let keys: Vec<PictureKey> = page.iter().map(|work| work.picture).collect();
        let photos = inner.photos.clone();
        let look = move || -> Vec<PictureKey> {
            let same = |work: &PictureWork| match &work.source {
                PictureSource::Kept { .. } => work.embedded,
                PictureSource::Address(_) => {
                    let known = work.stamp.as_deref().map(Validators::of_stamp);
                    work.embedded && known.is_none_or(|known| known.is_empty())
                }
                PictureSource::Stored(place) => {
                    let now = photos.stamp(place).ok().flatten();
                    work.embedded && now.is_some() && now == work.stamp
                }
            };
            let changed = page.into_iter().filter(|work| !same(work));
            changed.map(|work| work.picture).collect()
        };
        let looked = inner.readers.run("pictures", LONG, look).await;
        // Storage that does not answer is found out picture by picture.
        changed.extend(looked.unwrap_or(keys));
    }
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

async fn load_rows(
    writer: &Writer,
    source: &Source,
    options: &ImportOptions,
    feed: Option<i64>,
    rejects: &mut Rejects,
    progress: &Progress,
) -> Result<(Summary, LineOf), IngestError> {
    let (mut receive, reader) = rows(writer, source);
    let (mut summary, mut lines) = (Summary::default(), LineOf::new());
    let (mut batch, mut rejected) = (Vec::with_capacity(BATCH), Vec::new());
    let mut first_lost = None;
    while let Some(item) = receive.recv().await {
        match item {
            Item::Record(record) => {
                for (name, values) in &record.product.attributes {
                    if !summary.attributes.contains_key(name) {
                        summary.attributes.insert(name.clone(), Tally::default());
                    }
                    if let Some(tally) = summary.attributes.get_mut(name) {
                        for value in values {
                            tally.add(value.as_str());
                        }
                    }
                }
                batch.push(record);
            }
            Item::Reject(reject) => {
                rejects.add(&reject)?;
                if reject.lost == Lost::Row && first_lost.is_none() {
                    first_lost = Some(format!("line {}: {}", reject.line, reject.reason));
                }
                // A part of a row, or a row of the laces, does not say that its product is there.
                if reject.lost == Lost::Row {
                    rejected.extend(reject.id);
                }
            }
        }
        if batch.len() == BATCH {
            summary.kept += keep_pictures(writer, &mut batch, options).await?;
            write(writer, &mut batch, feed, &mut summary, &mut lines, progress).await?;
        }
    }
    summary.kept += keep_pictures(writer, &mut batch, options).await?;
    write(writer, &mut batch, feed, &mut summary, &mut lines, progress).await?;
    rejects.flush()?;
    summary.ignored = reader.ended().await?;
    if lines.is_empty() {
        let rows = rejects.rows();
        let listed = rejects
            .path()
            .map(|path| format!("; all are listed in {}", path.display()));
        let why = first_lost.map(|first| {
            format!(
                " that can be used: {rows} rows were rejected, the first in {first}{}",
                listed.unwrap_or_default()
            )
        });
        return Err(IngestError::NothingTaken {
            feed: source.name(),
            why: why.unwrap_or_default(),
        });
    }
    if options.prune {
        prune(writer, feed, &mut summary, &lines, &rejected, rejects).await?;
    }
    Ok((summary, lines))
}

async fn keep_pictures(
    writer: &Writer,
    batch: &mut [Record],
    options: &ImportOptions,
) -> Result<u64, CatalogError> {
    if !options.keep_pictures {
        return Ok(0);
    }
    keep::pictures(writer.catalog(), batch).await
}

async fn write(
    writer: &Writer,
    batch: &mut Vec<Record>,
    feed: Option<i64>,
    summary: &mut Summary,
    lines: &mut LineOf,
    progress: &Progress,
) -> Result<(), CatalogError> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut keys = Vec::with_capacity(batch.len());
    for ((key, change), record) in writer.upsert(batch).await?.into_iter().zip(batch.iter()) {
        lines.insert(key, record.line);
        match change {
            Change::New => summary.new += 1,
            Change::Changed => summary.changed += 1,
            Change::Unchanged => summary.unchanged += 1,
        }
        keys.push(key);
    }
    if let Some(feed) = feed {
        writer.set_feed(feed, &keys).await?;
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
    feed: Option<i64>,
    summary: &mut Summary,
    lines: &LineOf,
    rejected: &[String],
    rejects: &Rejects,
) -> Result<(), IngestError> {
    if rejects.nameless() {
        summary.prune_skipped = true;
        return Ok(());
    }
    let mut kept: HashSet<ProductKey> = lines.keys().copied().collect();
    kept.extend(writer.keys(rejected).await?);
    summary.removed = writer.keep_only(&kept, feed).await?;
    Ok(())
}
