//! Another model is put in use without a pause: beside the one that answers it embeds the catalog, at
//! low priority, is indexed, looked at, and takes the place of the other in one step.
//!
//! What is wanted stands in the catalog ([`Serving`]), and so does what was
//! embedded: whatever is killed when, the next start goes on, or answers with what was chosen last.
//! The other model's embeddings and its saved index stay for as long as `keep_days` says, so that it
//! is back within seconds. The same way goes for another share of the words in the vectors.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::api::Service;
use super::error::ServiceError;
use super::follow::Ending;
use super::generation::{self, Generation, GenerationError, Making};
use super::status::{ChangeStatus, Step};
use crate::catalog::ingest::{self, IngestError};
use crate::catalog::{Catalog, CatalogError};
use crate::domain::{
    Ask, Facets, Filters, Mode, Order, Query, QueryText, Served, Serving, Wanted, Window,
    WordSearch,
};
use crate::encode::{EncodeError, Encoder, EncoderOptions};
use crate::index::Saved;
use crate::model::manifest::MANIFEST;
use crate::model::{ModelError, ModelFolder};
use crate::util::blocking::{BlockingError, blocking};
use crate::util::process::give_back_memory;

/// How often the catalog is looked at for what is wanted.
const LOOK: Duration = Duration::from_secs(1);
/// How long it embeds at a time: what the shop writes waits so long at most for its turn.
const SLICE: Duration = Duration::from_secs(1);
/// Before another try to follow other services.
const FOLLOW_AGAIN: Duration = Duration::from_secs(30);
/// How long it waits for others that embed.
const BREATH: Duration = Duration::from_millis(200);
/// An index may hold less than the one in use by as much: one in so many.
const MISSING: usize = 100;
/// Products that a look asks for.
const SAMPLE: usize = 100;

/// What a check found, or why what it looked at must not be used.
pub type Checked = Result<String, String>;

/// Looks at a generation beside the one in use.
pub type Check = Arc<
    dyn Fn(Arc<Generation>, Arc<Generation>) -> Pin<Box<dyn Future<Output = Checked> + Send>>
        + Send
        + Sync,
>;

/// What a service answers with, and what is to come.
#[derive(Clone, Debug)]
pub struct Answering {
    pub serving: Serving,
    /// What answers.
    pub current: Served,
    /// How far the change is that goes on.
    pub change: Option<ChangeStatus>,
}

#[derive(Debug, thiserror::Error)]
enum ChangeError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the model does not start: {0}")]
    Encoder(#[from] EncodeError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(transparent)]
    Blocking(#[from] BlockingError),
    #[error("the check failed: {0}")]
    Check(String),
    #[error("something else is wanted by now")]
    NoMore,
}

impl ChangeError {
    /// Whether another try may go through.
    fn may_pass(&self) -> bool {
        let (Self::Catalog(catalog)
        | Self::Ingest(IngestError::Catalog(catalog))
        | Self::Generation(GenerationError::Catalog(catalog))) = self
        else {
            return matches!(self, Self::NoMore);
        };
        catalog.may_pass()
    }
}

/// Changes the model of a service when that is wanted, or when another service of the catalog has
/// changed it.
#[derive(Clone)]
pub struct Changer {
    pub service: Service,
    pub encoder: EncoderOptions,
    /// Beside the look that every model gets.
    pub check: Option<Check>,
    /// What the service answers with.
    pub answers: Served,
}

impl Changer {
    /// For as long as the service runs.
    pub async fn run(mut self) {
        let mut follow_after = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let serving = match self.service.catalog().serving().await {
                Ok(serving) => serving,
                Err(error) => {
                    tracing::warn!(%error, "whether another model is wanted cannot be read");
                    continue;
                }
            };
            let chosen = serving.of(&self.service.inner.options.model);
            let wanted = serving.wanted.filter(|wanted| wanted.failed.is_none());
            let follows = wanted.is_none();
            let wanted = wanted.unwrap_or(Wanted {
                served: chosen,
                checked: false,
                failed: None,
            });
            if follows && (wanted.served == self.answers || Instant::now() < follow_after) {
                continue;
            }
            // In a task of its own: a panic ends the change and not this loop.
            let changer = self.clone();
            let served = wanted.served.clone();
            let change = Ending(tokio::spawn(async move { changer.change(&wanted).await }));
            let ended = change.result().await;
            self.service.inner.change.store(None);
            let model = served.model.display();
            let reason = match ended {
                Some(Ok(())) => {
                    self.answers = served;
                    continue;
                }
                Some(Err(error)) if error.may_pass() => {
                    tracing::warn!(%model, %error, "the change of the model goes on later");
                    continue;
                }
                Some(Err(error)) => error.to_string(),
                None => "it broke off; the log has more".to_owned(),
            };
            if follows {
                // Others answer with it: it is this one alone that cannot.
                follow_after = Instant::now() + FOLLOW_AGAIN;
                tracing::error!(%model, reason, again_in = ?FOLLOW_AGAIN, "other services changed the model; this one stays with its own");
                continue;
            }
            tracing::error!(%model, reason, "the model is not changed");
            if let Err(error) = self.service.catalog().give_up(&served, &reason).await {
                tracing::error!(%error, "that could not be noted");
            }
        }
    }

    async fn change(&self, wanted: &Wanted) -> Result<(), ChangeError> {
        let served = &wanted.served;
        let started = Instant::now();
        self.tell(served, Step::Loading, (0, 0), None);
        let folder = folder_of(&self.service.inner.options.model, &served.model);
        let folder = blocking(move || ModelFolder::open(&folder)).await??;
        let (service, before) = (&self.service, self.service.generation());
        let catalog = service.catalog();
        let making = service
            .inner
            .options
            .making
            .with_words(served.words_percent);
        tracing::info!(
            model = %folder.path().display(),
            id = folder.id().short(),
            words_percent = making.words_percent,
            "another model is prepared"
        );
        let encoder = if folder.id() == before.encoder.model_id() {
            before.encoder.clone()
        } else {
            self.embed(served, &folder).await?;
            let options = self.encoder.clone();
            blocking(move || Encoder::start(&folder, &options)).await??
        };
        self.tell(served, Step::Indexing, (0, 0), None);
        let mut next = generation::restore(catalog, encoder.clone(), &making).await?;
        if next.index.is_empty() {
            next = generation::build(catalog, encoder, &making).await?.0;
        }
        next = self.follow(next, &making).await?;
        if wanted.checked {
            self.tell(served, Step::Checking, (0, 0), None);
            self.check(&next).await?;
        }
        self.put_in_use(served, next, &making).await?;
        tracing::info!(
            model = %served.model.display(),
            elapsed = ?started.elapsed(),
            "another model answers"
        );
        Ok(())
    }

    fn tell(
        &self,
        served: &Served,
        step: Step,
        (embedded, waiting): (u64, u64),
        remaining: Option<Duration>,
    ) {
        let status = ChangeStatus {
            served: served.clone(),
            step,
            embedded,
            waiting,
            remaining,
        };
        self.service.inner.change.store(Some(Arc::new(status)));
    }

    /// Whether it is wanted, or was chosen by another service meanwhile.
    async fn still_wanted(&self, served: &Served) -> Result<(), ChangeError> {
        let serving = self.service.catalog().serving().await?;
        let chosen = serving.of(&self.service.inner.options.model);
        let wanted = serving.wanted.filter(|wanted| wanted.failed.is_none());
        let target = wanted.map_or(chosen, |wanted| wanted.served);
        if target == *served {
            return Ok(());
        }
        Err(ChangeError::NoMore)
    }

    /// Embeds what the model has not seen, a slice at a time: what the shop writes for the model in use
    /// goes in between.
    async fn embed(&self, served: &Served, folder: &ModelFolder) -> Result<(), ChangeError> {
        let (folder, options) = (folder.clone(), self.encoder.in_background());
        let encoder = blocking(move || Encoder::start(&folder, &options)).await??;
        let embedded = self.embed_with(served, &encoder).await;
        encoder.shutdown().await;
        embedded
    }

    async fn embed_with(&self, served: &Served, encoder: &Encoder) -> Result<(), ChangeError> {
        let (service, catalog) = (&self.service, self.service.catalog());
        let progress = ingest::Progress::default();
        let (mut looked, mut embedded, mut worked) = (false, 0, Duration::ZERO);
        loop {
            self.still_wanted(served).await?;
            let others = service.waiting().await.map_err(|error| match error {
                ServiceError::Catalog(error) => ChangeError::from(error),
                other => ChangeError::Check(other.to_string()),
            })?;
            if others.due > 0 {
                tokio::time::sleep(BREATH).await;
                continue;
            }
            if !service.inner.options.embeds {
                let counts = catalog.counts(encoder.model_id()).await?;
                self.tell(
                    served,
                    Step::Embedding,
                    (counts.embedded, counts.pending),
                    None,
                );
                if counts.pending == 0 {
                    return Ok(());
                }
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let began = Instant::now();
            let slice = ingest::embed_for(catalog, encoder, &progress, !looked, SLICE).await;
            match slice {
                Ok(done) => {
                    looked = true;
                    embedded += done.photos + done.words + done.failed;
                    worked += began.elapsed();
                }
                // Somebody else imports or embeds.
                Err(IngestError::Catalog(CatalogError::Locked { .. })) => {
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let waiting = catalog.waiting(encoder.model_id()).await?;
            let (done, left) = (narrow(embedded).max(1), narrow(waiting.waiting));
            let remaining = (worked / done).saturating_mul(left);
            let counted = (embedded, waiting.waiting);
            self.tell(served, Step::Embedding, counted, Some(remaining));
            // What failed and is tried again later holds nobody up.
            if waiting.waiting == 0 && waiting.due == 0 {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Takes over what changed in the catalog since, as far as the index in use has it. Of a catalog
    /// that is written all the time there is always more; the following takes that over afterwards.
    async fn follow(
        &self,
        mut next: Generation,
        making: &Making,
    ) -> Result<Generation, ChangeError> {
        let catalog = self.service.catalog();
        let reached = self.service.generation().version().catalog;
        while next.version().catalog < reached {
            next = match generation::changed(catalog, &next.index).await? {
                Some((index, _)) => Generation { index, ..next },
                None => {
                    generation::build(catalog, next.encoder.clone(), making)
                        .await?
                        .0
                }
            };
        }
        Ok(next)
    }

    /// What every model gets: it must hold what the one in use holds, and find products by what they
    /// are called at least half as well. Then the shop's own check.
    async fn check(&self, next: &Generation) -> Result<(), ChangeError> {
        let (next, now) = (Arc::new(next.clone()), self.service.generation());
        let (has, had) = (next.index.len(), now.index.len());
        if has + had / MISSING < had {
            let reason = format!("{has} products would be indexed where {had} are");
            return Err(ChangeError::Check(reason));
        }
        let found = self.service.finds_titles(&next).await;
        let before = self.service.finds_titles(&now).await;
        let error = |error: ServiceError| ChangeError::Check(error.to_string());
        let (found, before) = (found.map_err(error)?, before.map_err(error)?);
        tracing::info!(found, before, "products found by their titles, in percent");
        if 2 * found < before {
            let reason = format!(
                "vectors find {found}% of the products by their titles, where those in use find {before}%"
            );
            return Err(ChangeError::Check(reason));
        }
        if let Some(check) = &self.check {
            let report = check(next, now).await.map_err(ChangeError::Check)?;
            tracing::info!(report, "the check is passed");
        }
        Ok(())
    }

    async fn put_in_use(
        &self,
        served: &Served,
        next: Generation,
        making: &Making,
    ) -> Result<(), ChangeError> {
        let (service, catalog) = (&self.service, self.service.catalog());
        // From here on nobody else puts another index in use.
        let _turn = service.inner.turn.lock().await;
        let next = self.follow(next, making).await?;
        let now = service.generation();
        let next = Generation {
            // What is searchable stays so.
            whole: now.whole || next.whole,
            ..next
        };
        let saved = Saved {
            store: catalog.identity().await?,
            whole: next.whole,
        };
        let (index, folder) = (next.index.clone(), generation::folder(catalog));
        if let Err(error) = blocking(move || index.save(&folder, &saved)).await? {
            // It serves all the same; the next start builds it again.
            tracing::warn!(%error, "the index could not be saved");
        }
        let setting = &service.inner.options.model;
        let before = catalog.serving().await?.of(setting);
        // Another service may have been first.
        if !catalog.chosen(setting, &before, served).await?
            && catalog.serving().await?.of(setting) != *served
        {
            return Err(ChangeError::NoMore);
        }
        service.swap(next);
        drop(now);
        // What the other model and its index held. The change is made, whatever becomes of that.
        let _ = blocking(give_back_memory).await;
        Ok(())
    }
}

/// The model folder that a service with this setting answers with, and what was chosen with it.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn in_use(catalog: &Catalog, setting: &Path) -> Result<(PathBuf, Served), CatalogError> {
    let served = catalog.serving().await?.of(setting);
    let folder = folder_of(setting, &served.model);
    if folder != setting {
        tracing::info!(
            model = %folder.display(),
            setting = %setting.display(),
            "another model than the setting's was chosen (aglet model status)"
        );
    }
    Ok((folder, served))
}

/// As much of a count as a time can be divided by.
fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A name is that of a folder beside the setting's.
pub(super) fn folder_of(setting: &Path, model: &Path) -> PathBuf {
    if model.components().count() > 1 || model.is_absolute() {
        return model.to_owned();
    }
    setting
        .parent()
        .map_or_else(|| model.to_owned(), |beside| beside.join(model))
}

impl Service {
    /// What answers, and what is to.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn answering_with(&self) -> Result<Answering, ServiceError> {
        let serving = self.inner.catalog.serving().await?;
        let change = self.inner.change.load_full();
        Ok(Answering {
            current: serving.of(&self.inner.options.model),
            serving,
            change: change.map(|change| ChangeStatus::clone(&change)),
        })
    }

    /// Asks for another model, or another share of the words. It takes until everything is embedded.
    ///
    /// # Errors
    /// When there is no such model folder, or the catalog cannot be written.
    pub async fn want_model(&self, served: &Served) -> Result<(), ServiceError> {
        let folder = folder_of(&self.inner.options.model, &served.model);
        if !folder.join(MANIFEST).is_file() {
            let name = served.model.display().to_string();
            return Err(ServiceError::NoModel { name });
        }
        Ok(self.inner.catalog.want(Some(served), true).await?)
    }

    /// Asks for what answered before; `false`: there is none such.
    ///
    /// # Errors
    /// When the catalog cannot be read or written.
    pub async fn want_previous(&self) -> Result<bool, ServiceError> {
        let Some(previous) = self.inner.catalog.serving().await?.previous else {
            return Ok(false);
        };
        self.inner.catalog.want(Some(&previous), false).await?;
        Ok(true)
    }

    /// Gives a change up.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn stay(&self) -> Result<(), ServiceError> {
        Ok(self.inner.catalog.want(None, false).await?)
    }

    /// Of some products, how many in a hundred vectors find among the first ten by their titles.
    async fn finds_titles(&self, generation: &Arc<Generation>) -> Result<usize, ServiceError> {
        let (mut asked, mut found) = (0, 0);
        let Ok(window) = Window::new(10, 0) else {
            return Ok(0);
        };
        for key in generation.index.sample(SAMPLE) {
            let rows = self.inner.catalog.products(&[key]).await?;
            let Some(stored) = rows.first() else { continue };
            let Ok(text) = QueryText::new(&stored.product.title) else {
                continue;
            };
            let query = Query {
                ask: Ask::Words(text),
                filters: Filters::default(),
                exclude: Vec::new(),
                window,
                order: Order::default(),
                facets: Facets::default(),
                words: WordSearch {
                    mode: Mode::Vector,
                    relevant_only: false,
                    ..WordSearch::default()
                },
                explain: false,
            };
            let page = self.search_in(generation, query, None).await?;
            asked += 1;
            found += usize::from(page.hits.iter().any(|hit| hit.product.key == key));
        }
        Ok((found * 100).checked_div(asked).unwrap_or(100))
    }
}
