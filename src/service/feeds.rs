//! Feeds are fetched again and again, each in its time.
//!
//! Of several services of one catalog, the one that comes first takes a feed's turn. What came is a
//! change like any other: the index follows it, and what has no embedding gets one. A feed that cannot
//! be taken is logged, shown as a warning of `/readyz`, and tried again in its time; what was taken of
//! it before stays.

use std::sync::PoisonError;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::task::JoinSet;

use super::api::Service;
use crate::catalog::ingest::feed::shown;
use crate::catalog::ingest::{self, FetchedFeed, IngestError, Progress, ScheduledFeed, Summary};
use crate::util::digest::sha256_hex;

/// How often it is looked whose turn it is.
const LOOK: Duration = Duration::from_secs(20);

const TAKEN: &str = "aglet_feed_taken_timestamp_seconds";
const FEEDS: &str = "aglet_feeds_total";

/// Fetches the feeds for as long as the service runs.
pub async fn follow(service: Service, feeds: Vec<ScheduledFeed>) {
    metrics::describe_gauge!(
        TAKEN,
        metrics::Unit::Seconds,
        "When a feed was last taken, or found to be what it was, in Unix time"
    );
    metrics::describe_counter!(FEEDS, "Feeds that were fetched, by what came of it");
    let mut all = JoinSet::new();
    for feed in feeds {
        all.spawn(one(service.clone(), feed));
    }
    while let Some(ended) = all.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a feed is not fetched any more");
        }
    }
}

async fn one(service: Service, mut feed: ScheduledFeed) {
    let name = shown(&feed.address);
    // One file for each feed, which the next time writes over.
    let digest = sha256_hex(feed.address.as_bytes());
    let rejects = format!("rejects-feed-{}.csv", &digest[..8]);
    feed.options.rejects = Some(service.catalog().data().join(rejects));
    loop {
        let turn = service
            .catalog()
            .take_turn_of_feed(&feed.address, feed.every.as_secs())
            .await;
        match turn {
            Ok(true) => take(&service, &feed, &name).await,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(feed = name, %error, "whose turn a feed is cannot be read");
            }
        }
        tokio::time::sleep(LOOK.min(feed.every)).await;
    }
}

async fn take(service: &Service, feed: &ScheduledFeed, name: &str) {
    let catalog = service.catalog();
    if let Some(rejects) = &feed.options.rejects {
        // Of the time before; a clean import writes none.
        let _ = std::fs::remove_file(rejects);
    }
    let taken = import(service, feed).await;
    service.inner.written.notify_one();
    note(service, name, taken.as_ref().err());
    let outcome = match &taken {
        Ok(summary) => {
            let Summary {
                new,
                changed,
                removed,
                rejected_rows,
                rejected_parts,
                ..
            } = summary;
            if summary.fetched == Some(FetchedFeed::Same) {
                tracing::info!(feed = name, "the feed is what it was");
            } else {
                tracing::info!(
                    feed = name, new, changed, removed, rejected_rows, rejected_parts,
                    rejects = ?summary.rejects, ignored = ?summary.ignored.names(), "the feed was taken"
                );
            }
            #[expect(clippy::cast_precision_loss, reason = "seconds of these centuries")]
            let now = jiff::Timestamp::now().as_second() as f64;
            gauge!(TAKEN, "feed" => name.to_owned()).set(now);
            "taken"
        }
        Err(error) => {
            tracing::error!(feed = name, %error, "the feed cannot be taken; what was taken before stays");
            let noted = catalog.feed_failed(&feed.address, &error.to_string()).await;
            if let Err(error) = noted {
                tracing::warn!(feed = name, %error, "why a feed failed cannot be written down");
            }
            "failed"
        }
    };
    counter!(FEEDS, "feed" => name.to_owned(), "outcome" => outcome).increment(1);
}

/// What `/readyz` warns of.
fn note(service: &Service, name: &str, error: Option<&IngestError>) {
    let faults = service.inner.feed_faults.lock();
    let mut faults = faults.unwrap_or_else(PoisonError::into_inner);
    match error {
        None => drop(faults.remove(name)),
        Some(error) => drop(faults.insert(name.to_owned(), error.to_string())),
    }
}

async fn import(service: &Service, feed: &ScheduledFeed) -> Result<Summary, IngestError> {
    let (catalog, progress) = (service.catalog(), Progress::default());
    if !service.inner.options.embeds {
        return ingest::load(catalog, &feed.source, &feed.options, &progress).await;
    }
    let generation = service.generation();
    ingest::import(
        catalog,
        &generation.encoder,
        &feed.source,
        &feed.options,
        &progress,
    )
    .await
}
