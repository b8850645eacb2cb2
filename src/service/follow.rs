//! The index follows the catalog, and what has no embedding gets one.
//!
//! A change of the catalog shows as another revision. The index takes over what changed since its
//! own, at the cost of these products alone, and shares all else with the one before it. What costs
//! more goes on beside that: vectors that the graph does not hold yet are merged into a copy of it;
//! a graph of which too much stands for nothing any more is built anew; a snapshot is written. So a
//! change waits for none of these.
//!
//! An error is logged and tried again, after a pause that grows; a panic too.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::api::Service;
use super::generation::{self, Generation, GenerationError};
use super::meters::Meters;
use crate::catalog::CatalogError;
use crate::catalog::ingest::{self, IngestError};
use crate::catalog::{Counts, Waiting};
use crate::index::{GraphLag, IndexVersion, Merged, Saved, Upkeep};
use crate::util::blocking::blocking;

/// How often an embedding in progress is looked at when the settings say never.
const SETTLE: Duration = Duration::from_secs(2);
/// Changes that come within this time are taken over together.
const TOGETHER: Duration = Duration::from_millis(100);
/// The longest pause after an error.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// The longest pause while the catalog's server is away.
const AWAY: Duration = Duration::from_secs(2);
/// How often embeddings that nobody needs are deleted.
const COLLECT: Duration = Duration::from_hours(24);
/// How often it is counted, at most, how far the catalog is embedded: that goes through all of it.
/// So many times what it took is left before the next.
const COUNT: Duration = Duration::from_secs(10);
const COUNT_REST: u32 = 20;
/// A snapshot is written after so many changes: a start takes over what came after it.
const UNSAVED: usize = 5_000;

/// Keeps the index what the catalog says.
#[derive(Clone)]
pub struct Follower {
    service: Service,
}

/// What goes on beside the following.
struct Beside {
    embedding: Option<Ending<Embedded>>,
    /// Whether all products were looked at for what is to be embedded. What changes after that comes
    /// into the queue by itself.
    looked: bool,
    /// Of the graph, and the model that it is of.
    upkeep: Option<Ending<Result<Upkept, GenerationError>>>,
    upkept: Option<IndexVersion>,
    saving: Option<Ending<()>>,
    counting: Option<Ending<Duration>>,
    /// Of embeddings that nobody needs.
    collecting: Option<Ending<bool>>,
    /// Changes that no snapshot has.
    unsaved: usize,
    count_after: Instant,
    /// Whether something changed since.
    uncounted: bool,
}

/// What became of an embedding.
enum Embedded {
    /// Whether anything was embedded, or could not be.
    Done {
        any: bool,
    },
    /// Somebody else imports or embeds.
    Busy,
    Failed,
}

/// What became of the graph.
enum Upkept {
    Merged(Box<Merged>),
    Built(Generation, Counts),
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
        let embeds = self.service.inner.options.embeds;
        let mut beside = Beside {
            embedding: embeds.then(|| self.embed(true)),
            looked: false,
            upkeep: None,
            upkept: None,
            saving: None,
            counting: None,
            collecting: None,
            unsaved: 0,
            count_after: Instant::now(),
            uncounted: true,
        };
        let (mut failures, mut embed_failures) = (0, 0);
        let mut embed_after = Instant::now();
        // Whether anything waits to be embedded.
        let mut queued = false;
        let mut said = false;
        let mut collect_at = Instant::now();
        loop {
            let mut rest = TOGETHER;
            let mut changed = false;
            self.service.renew_synonyms().await;
            match self.renew(&mut beside).await {
                Ok(any) => {
                    (failures, changed) = (0, any);
                    if refresh.is_some() {
                        Meters::checked();
                    }
                    if !std::mem::replace(&mut said, true) {
                        self.service.inner.caught_up.store(true, Ordering::Release);
                        tracing::info!("the index is what the catalog says; changes are followed");
                    }
                }
                Err(error) => {
                    failures += 1;
                    self.service.inner.meters.follow_failed.increment(1);
                    rest = pause(failures, refresh.unwrap_or(SETTLE));
                    if error.may_pass() {
                        rest = rest.min(AWAY);
                    }
                    tracing::error!(%error, again_in = ?rest, "the index does not follow the catalog; the one in use stays");
                }
            }
            tokio::time::sleep(rest).await;
            let embedded = beside.embedding.as_ref();
            let embedded = embedded.is_some_and(|task| task.0.is_finished());
            let filling = failures == 0 && self.fill().await;
            if failures == 0 && !changed && !embedded && !filling {
                let written = self.service.inner.written.notified();
                let mut wait = refresh.unwrap_or(SETTLE);
                if queued {
                    // Whoever else embeds does not say when it ends, nor does a pause.
                    wait = wait.min(SETTLE);
                }
                tokio::select! {
                    () = written => {}
                    () = self.service.catalog().told() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
            if let Some(task) = beside.embedding.take_if(|task| task.0.is_finished()) {
                let done = task.result().await.unwrap_or(Embedded::Failed);
                let rest = match done {
                    Embedded::Done { .. } => {
                        (beside.looked, embed_failures) = (true, 0);
                        Duration::ZERO
                    }
                    // A change of the model lets others go first.
                    Embedded::Busy if self.service.inner.change.load().is_some() => TOGETHER,
                    Embedded::Busy => SETTLE,
                    Embedded::Failed => {
                        embed_failures += 1;
                        self.service.inner.meters.embed_failed.increment(1);
                        pause(embed_failures, Duration::ZERO)
                    }
                };
                embed_after = Instant::now() + rest;
                if self.service.generation().whole && refresh.is_some() {
                    beside.uncounted |= matches!(done, Embedded::Done { any: true });
                } else {
                    self.service.count().await;
                }
            }
            if beside.embedding.is_some() {
                continue;
            }
            if refresh.is_none() {
                // The last embeddings may have come after the catalog was read.
                if let Err(error) = self.renew(&mut beside).await {
                    self.service.inner.meters.follow_failed.increment(1);
                    tracing::error!(%error, "the index does not follow the catalog");
                }
                self.finish(beside).await;
                return;
            }
            if let Some(task) = beside.collecting.take_if(|task| task.0.is_finished())
                && task.result().await.unwrap_or(true)
            {
                collect_at = Instant::now() + COLLECT;
            }
            if Instant::now() >= collect_at && beside.collecting.is_none() {
                let follower = self.clone();
                beside.collecting = Some(Ending(tokio::spawn(
                    async move { follower.collect().await },
                )));
            }
            let waiting = self.service.waiting().await.unwrap_or_else(|error| {
                tracing::error!(%error, "what waits to be embedded cannot be read");
                Waiting::default()
            });
            queued = !beside.looked || waiting.waiting + waiting.retrying > 0;
            let due = !beside.looked || waiting.due > 0;
            if embeds && due && Instant::now() >= embed_after {
                beside.embedding = Some(self.embed(!beside.looked));
            }
        }
    }

    /// Deletes embeddings that nobody needs; whether that was done, or is not worth another try soon.
    async fn collect(&self) -> bool {
        let (catalog, generation) = (self.service.catalog(), self.service.generation());
        let keep = self.service.inner.options.keep;
        let model = generation.encoder.model_id();
        let used = (model, generation.version().words_percent);
        match catalog.drop_unused_vectors(keep, used).await {
            Ok(0) => {}
            Ok(sets) => tracing::info!(sets, "dropped sets of vectors that nobody uses"),
            Err(error) => tracing::error!(%error, "sets of vectors could not be dropped"),
        }
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

    /// Embeds what waits; `look`: all products are looked at first for what they lack.
    fn embed(&self, look: bool) -> Ending<Embedded> {
        let service = self.service.clone();
        Ending(tokio::spawn(async move {
            let progress = ingest::Progress::default();
            let (catalog, generation) = (service.catalog(), service.generation());
            let embedder = &generation.encoder;
            let done = if look {
                ingest::embed_missing(catalog, embedder, &progress).await
            } else {
                ingest::embed_queued(catalog, embedder, &progress).await
            };
            // What came in is a change to follow, as one that the shop made.
            service.inner.written.notify_one();
            match done {
                Ok(done) => {
                    let any = done.photos + done.words + done.failed > 0;
                    let (photos, words, failed) = (done.photos, done.words, done.failed);
                    if done.cut > 0 {
                        let cut = done.cut;
                        tracing::info!(
                            cut,
                            "captions are longer than the model reads: their attributes were put first"
                        );
                    }
                    if any && look {
                        tracing::info!(photos, words, failed, "catalog embedded");
                    } else if any {
                        tracing::debug!(photos, words, failed, "what waited is embedded");
                    }
                    Embedded::Done { any }
                }
                // The import embeds what it brings.
                Err(IngestError::Catalog(CatalogError::Locked { .. })) => {
                    tracing::info!("somebody else imports or embeds; it is looked at again");
                    Embedded::Busy
                }
                Err(error) => {
                    tracing::error!(%error, "the catalog could not be embedded");
                    Embedded::Failed
                }
            }
        }))
    }

    /// Takes over what changed in the catalog; whether anything did.
    async fn renew(&self, beside: &mut Beside) -> Result<bool, GenerationError> {
        // Nobody puts another model in use between what is read here and what comes of it.
        let _turn = self.service.inner.turn.lock().await;
        self.take_upkept(beside).await?;
        let (service, now) = (&self.service, self.service.generation());
        let catalog = service.catalog();
        let revision = catalog.revision().await?;
        let renewed = now.version().catalog != revision;
        if renewed {
            let started = Instant::now();
            if let Some((index, changes)) = generation::changed(catalog, &now.index).await? {
                // Before it: who waits until a write is searchable sees what was written.
                service.inner.rows.follow(catalog).await?;
                service.inner.meters.update.record(started.elapsed());
                beside.unsaved += changes;
                beside.uncounted = true;
                service.swap(Generation {
                    index,
                    ..Generation::clone(&now)
                });
            } else {
                // The graph goes with the index that it was of.
                beside.upkeep = None;
                let (next, counts) = self.build().await?;
                self.built(next, counts, beside);
            }
        } else {
            self.note_whole(&now, beside).await?;
        }
        // Others put an index in use, too: a change of the model, a graph that was built anew.
        service.inner.rows.follow(catalog).await?;
        self.keep_up(beside);
        if beside.unsaved >= UNSAVED {
            self.save(beside).await?;
        }
        self.keep_counted(beside).await;
        Ok(renewed)
    }

    /// Reads some of the rows that hits show; whether there are more.
    async fn fill(&self) -> bool {
        let started = Instant::now();
        let (rows, catalog) = (&self.service.inner.rows, self.service.catalog());
        while started.elapsed() < TOGETHER {
            match rows.fill(catalog).await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    tracing::warn!(%error, "the rows of products cannot be read");
                    return false;
                }
            }
        }
        true
    }

    /// Another index, of the whole catalog.
    async fn build(&self) -> Result<(Generation, Counts), GenerationError> {
        let started = Instant::now();
        let (service, now) = (&self.service, self.service.generation());
        let making = &service.inner.options.making;
        let making = making.with_words(Some(now.version().words_percent));
        let (built, counts) =
            generation::build(service.catalog(), now.encoder.clone(), &making).await?;
        service.inner.meters.build.record(started.elapsed());
        tracing::info!(products = built.index.len(), elapsed = ?started.elapsed(), "index built");
        Ok((built, counts))
    }

    /// Puts an index in use that was built of the whole catalog.
    fn built(&self, built: Generation, counts: Counts, beside: &mut Beside) {
        self.service.inner.health.counted(Ok(counts));
        if counts.products == 0 {
            tracing::warn!("the catalog is empty: every search answers without a hit");
        }
        let whole = self.service.generation().whole || counts.settled();
        self.service.swap(Generation { whole, ..built });
        beside.unsaved = UNSAVED;
    }

    /// Puts in use what was done for the graph.
    async fn take_upkept(&self, beside: &mut Beside) -> Result<(), GenerationError> {
        let Some(task) = beside.upkeep.take_if(|task| task.0.is_finished()) else {
            return Ok(());
        };
        let now = self.service.generation();
        let upkept = task.result().await.transpose()?;
        if beside
            .upkept
            .as_ref()
            .is_none_or(|of| !same_vectors(of, now.version()))
        {
            // Another model is in use by now.
            return Ok(());
        }
        match upkept {
            None => {}
            Some(Upkept::Merged(merged)) => {
                self.service.swap(Generation {
                    index: now.index.with_merged(*merged),
                    ..Generation::clone(&now)
                });
                beside.unsaved = UNSAVED;
            }
            Some(Upkept::Built(mut built, counts)) => {
                // What changed since it was read; meanwhile the one in use followed.
                while built.version().catalog < now.version().catalog {
                    let catalog = self.service.catalog();
                    let Some((next, _)) = generation::changed(catalog, &built.index).await? else {
                        return Ok(());
                    };
                    built.index = next;
                }
                self.built(built, counts, beside);
            }
        }
        Ok(())
    }

    /// Has the graph merged or built anew when it is time.
    fn keep_up(&self, beside: &mut Beside) {
        if beside.upkeep.is_some() {
            return;
        }
        let now = self.service.generation();
        beside.upkept = Some(now.version().clone());
        let lag = now.index.graph_lag();
        let GraphLag { size, delta, stale } = lag;
        match lag.due() {
            None => {}
            Some(Upkeep::Build) => {
                tracing::info!(stale, size, "the graph is built anew");
                let follower = self.clone();
                beside.upkeep = Some(Ending(tokio::spawn(async move {
                    let (built, counts) = follower.build().await?;
                    Ok(Upkept::Built(built, counts))
                })));
            }
            Some(Upkeep::Merge) => {
                tracing::debug!(delta, size, "new vectors are merged into the graph");
                let (index, service) = (now.index.clone(), self.service.clone());
                beside.upkeep = Some(Ending(tokio::spawn(async move {
                    let started = Instant::now();
                    let merged = blocking(move || index.merged()).await??;
                    service.inner.meters.merge.record(started.elapsed());
                    Ok(Upkept::Merged(Box::new(merged)))
                })));
            }
        }
    }

    /// An index that waited for embeddings is whole once it is known that none comes any more.
    async fn note_whole(
        &self,
        now: &Arc<Generation>,
        beside: &mut Beside,
    ) -> Result<(), GenerationError> {
        if now.whole {
            return Ok(());
        }
        // Counted when the last embedding ended, or when the index was built.
        let settled = self.service.counts().filter(Counts::settled);
        let Some(counts) = settled else {
            return Ok(());
        };
        // Nothing may have come in between, unless something always does.
        if counts.pending > 0 || self.service.catalog().revision().await? == now.version().catalog {
            tracing::info!(products = counts.products, "the index is whole");
            self.service.swap(Generation {
                whole: true,
                ..Generation::clone(now)
            });
            beside.unsaved = UNSAVED;
        }
        Ok(())
    }

    /// Writes a snapshot, unless one is being written.
    async fn save(&self, beside: &mut Beside) -> Result<(), GenerationError> {
        beside.saving.take_if(|task| task.0.is_finished());
        if beside.saving.is_some() {
            return Ok(());
        }
        let service = &self.service;
        let now = service.generation();
        let saved = Saved {
            store: service.catalog().identity().await?,
            whole: now.whole,
        };
        let (index, folder) = (now.index.clone(), generation::folder(service.catalog()));
        beside.unsaved = 0;
        let service = service.clone();
        beside.saving = Some(Ending(tokio::spawn(async move {
            let (meters, started) = (&service.inner.meters, Instant::now());
            let saved = blocking(move || index.save(&folder, &saved)).await;
            match saved
                .map_err(GenerationError::from)
                .and_then(|saved| Ok(saved?))
            {
                Ok(()) => meters.save.record(started.elapsed()),
                // It serves all the same; the next start builds it again.
                Err(error) => {
                    meters.save_failed.increment(1);
                    tracing::warn!(%error, "the index could not be saved");
                }
            }
        })));
        Ok(())
    }

    /// Writes what no snapshot has, and waits for it.
    async fn finish(&self, mut beside: Beside) {
        loop {
            if let Some(saving) = beside.saving.take() {
                saving.result().await;
            }
            if beside.unsaved == 0 {
                return;
            }
            if let Err(error) = self.save(&mut beside).await {
                self.service.inner.meters.save_failed.increment(1);
                tracing::warn!(%error, "the index could not be saved");
                return;
            }
        }
    }

    /// Has it counted how far the catalog is embedded, from time to time while it changes.
    async fn keep_counted(&self, beside: &mut Beside) {
        if let Some(task) = beside.counting.take_if(|task| task.0.is_finished()) {
            let took = task.result().await.unwrap_or_default();
            beside.count_after = Instant::now() + COUNT.max(took * COUNT_REST);
        }
        let due = beside.uncounted && Instant::now() >= beside.count_after;
        if due && beside.counting.is_none() {
            beside.uncounted = false;
            let service = self.service.clone();
            beside.counting = Some(Ending(tokio::spawn(async move {
                let started = Instant::now();
                service.count().await;
                started.elapsed()
            })));
        }
    }
}

/// A task that ends with its owner.
pub(super) struct Ending<T>(pub(super) JoinHandle<T>);

impl<T> Ending<T> {
    /// `None` when it panicked.
    pub(super) async fn result(mut self) -> Option<T> {
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

/// Whether the vectors of two indexes are made in the same way.
fn same_vectors(one: &IndexVersion, other: &IndexVersion) -> bool {
    one.model == other.model && one.words_percent == other.words_percent
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
