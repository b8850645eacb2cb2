//! The index follows the catalog, and what has no embedding gets one.
//!
//! A change of the catalog shows as another revision. Then another index is built beside the one in
//! use and put in its place; what a build took is left to searches several times over before the
//! next. Embedding goes on beside it, so that a catalog in the making can be searched.
//!
//! An error is logged and tried again, after a pause that grows; a panic too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::api::Service;
use super::generation::{self, Generation, GenerationError};
use crate::catalog::CatalogError;
use crate::catalog::ingest::{self, IngestError};
use crate::index::Saved;

/// How often an embedding in progress is looked at when the settings say never.
const SETTLE: Duration = Duration::from_secs(2);
/// After an index was built, this many times what that took is left to searches before the next.
const REST: u32 = 5;
/// The longest pause after an error.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// How often embeddings that nobody needs are deleted.
const COLLECT: Duration = Duration::from_hours(24);

/// Keeps the index what the catalog says.
#[derive(Clone)]
pub struct Follower {
    service: Service,
}

impl Follower {
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    /// For as long as the service runs, or until everything is embedded and indexed when the
    /// settings say that changes are not looked for.
    pub async fn run(self) {
        let mut panics = 0;
        loop {
            // In a task of its own: a panic ends the task and not this loop.
            let mut following = Ending(tokio::spawn(self.clone().follow()));
            match (&mut following.0).await {
                Ok(()) => return,
                Err(error) => tracing::error!(%error, "following the catalog stopped; it goes on"),
            }
            panics += 1;
            tokio::time::sleep(pause(panics, SETTLE)).await;
        }
    }

    async fn follow(self) {
        let refresh = self.service.inner.options.refresh;
        let mut embedding = Some(self.embed());
        let (mut failures, mut fruitless) = (0, 0);
        let mut embed_after = Instant::now();
        let mut followed = false;
        let mut collect_at = Instant::now();
        loop {
            let started = Instant::now();
            let mut rest = Duration::ZERO;
            self.service.renew_synonyms().await;
            match self.renew().await {
                Ok(built) => {
                    failures = 0;
                    if !std::mem::replace(&mut followed, true) {
                        tracing::info!("the index is what the catalog says; changes are followed");
                    }
                    if built {
                        rest = started.elapsed() * REST;
                    }
                }
                Err(error) => {
                    failures += 1;
                    rest = pause(failures, refresh.unwrap_or(SETTLE));
                    tracing::error!(%error, again_in = ?rest, "the index does not follow the catalog; the one in use stays");
                }
            }
            tokio::time::sleep(refresh.unwrap_or(SETTLE).max(rest)).await;
            if let Some(task) = embedding.take_if(|task| task.0.is_finished()) {
                let fruitful = task.result().await.unwrap_or(false);
                fruitless = if fruitful { 0 } else { fruitless + 1 };
                embed_after = Instant::now() + pause(fruitless, Duration::ZERO);
                self.service.count().await;
            }
            if embedding.is_some() {
                continue;
            }
            if refresh.is_none() {
                // The last embeddings may have come after the catalog was read.
                if let Err(error) = self.renew().await {
                    tracing::error!(%error, "the index does not follow the catalog");
                }
                return;
            }
            if Instant::now() >= collect_at && self.collect().await {
                collect_at = Instant::now() + COLLECT;
            }
            let (seen, _) = self.service.inner.health.seen();
            let pending = seen.counts.is_none_or(|counts| counts.pending > 0);
            if pending && Instant::now() >= embed_after {
                embedding = Some(self.embed());
            }
        }
    }

    /// Deletes embeddings that nobody needs; whether that was done, or is not worth another try soon.
    async fn collect(&self) -> bool {
        let (catalog, generation) = (self.service.catalog(), self.service.generation());
        let keep = self.service.inner.options.keep;
        let model = generation.encoder.model_id();
        match catalog.collect_garbage(keep, Some(model), false).await {
            Ok(garbage) => {
                if garbage.embeddings > 0 {
                    tracing::info!(
                        embeddings = garbage.embeddings,
                        models = garbage.models,
                        "deleted embeddings that nobody needs"
                    );
                }
                true
            }
            Err(CatalogError::Locked { .. }) => false,
            Err(error) => {
                tracing::error!(%error, "embeddings that nobody needs could not be deleted");
                true
            }
        }
    }

    /// Embeds what is missing; whether anything was.
    fn embed(&self) -> Ending<bool> {
        let service = self.service.clone();
        Ending(tokio::spawn(async move {
            let (generation, progress) = (service.generation(), ingest::Progress::default());
            let encoder = &generation.encoder;
            match ingest::embed_missing(service.catalog(), encoder, &progress).await {
                Ok(done) => {
                    let any = done.photos + done.words + done.failed > 0;
                    if any {
                        tracing::info!(
                            photos = done.photos,
                            words = done.words,
                            failed = done.failed,
                            "catalog embedded"
                        );
                    }
                    any
                }
                // The import embeds what it brings.
                Err(IngestError::Catalog(CatalogError::Locked { .. })) => {
                    tracing::info!("an import is running");
                    true
                }
                Err(error) => {
                    tracing::error!(%error, "the catalog could not be embedded");
                    false
                }
            }
        }))
    }

    /// Builds, uses and saves another index when the catalog has changed; whether it had.
    async fn renew(&self) -> Result<bool, GenerationError> {
        let (service, now) = (&self.service, self.service.generation());
        let catalog = service.catalog();
        let revision = catalog.revision().await?;
        if now.version().catalog == revision {
            self.note_whole(&now).await?;
            return Ok(false);
        }
        let started = Instant::now();
        let (built, counts) =
            generation::build(catalog, now.encoder.clone(), &service.inner.options.making).await?;
        service.inner.health.counted(Ok(counts));
        let next = Generation {
            // What was searchable stays so: no product leaves the index but by being removed.
            whole: now.whole || counts.pending == 0,
            ..built
        };
        if counts.products == 0 {
            tracing::warn!("the catalog is empty: every search answers without a hit");
        }
        tracing::info!(products = next.index.len(), elapsed = ?started.elapsed(), "index built");
        self.put_in_use(next).await?;
        Ok(true)
    }

    /// An index that waited for embeddings is whole once it is known that none comes any more.
    async fn note_whole(&self, now: &Arc<Generation>) -> Result<(), GenerationError> {
        if now.whole {
            return Ok(());
        }
        // Counted when the last embedding ended, or when the index was built.
        let settled = self.service.counts().filter(|counts| counts.pending == 0);
        let Some(counts) = settled else {
            return Ok(());
        };
        // Nothing may have come in between.
        if self.service.catalog().revision().await? == now.version().catalog {
            tracing::info!(products = counts.products, "the index is whole");
            let whole = Generation {
                encoder: now.encoder.clone(),
                index: now.index.clone(),
                whole: true,
            };
            self.put_in_use(whole).await?;
        }
        Ok(())
    }

    async fn put_in_use(&self, next: Generation) -> Result<(), GenerationError> {
        let service = &self.service;
        let saved = Saved {
            store: service.catalog().identity().await?,
            whole: next.whole,
        };
        let (index, folder) = (next.index.clone(), generation::folder(service.catalog()));
        service.swap(next);
        let saving = crate::util::blocking::blocking(move || index.save(&folder, &saved)).await?;
        if let Err(error) = saving {
            // It serves all the same; the next start builds it again.
            tracing::warn!(%error, "the index could not be saved");
        }
        Ok(())
    }
}

/// A task that ends with its owner.
struct Ending<T>(JoinHandle<T>);

impl<T> Ending<T> {
    /// `None` when it panicked.
    async fn result(mut self) -> Option<T> {
        let result = (&mut self.0).await;
        if let Err(error) = &result {
            tracing::error!(%error, "a task in the background ended early");
        }
        result.ok()
    }
}

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// After so many failures in a row: twice as long each time.
fn pause(failures: u32, least: Duration) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let least = least.max(Duration::from_secs(1));
    least
        .saturating_mul(1 << failures.min(16))
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(0, second), Duration::ZERO);
        assert_eq!(pause(1, second), 2 * second);
        assert_eq!(pause(3, second), 8 * second);
        assert_eq!(pause(1, 5 * second), 10 * second);
        assert_eq!(pause(40, second), LONGEST_PAUSE);
    }
}
