//! [`Service`]: what `http` calls.
//!
//! The way of a search: the generation in use is taken; words and photos are embedded by its
//! encoder; one hand-over to a search worker, which filters and ranks; the rows of the hits.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;

use super::check;
use super::distant;
use super::error::ServiceError;
use super::fresh::Freshness;
use super::generation::{Generation, Making};
use super::health::Health;
use super::keys::Keys;
use super::meters::Meters;
use super::page::{Hit, Page};
use super::rows::Rows;
use super::status::ChangeStatus;
use super::thesaurus::Thesaurus;
use super::worker::{self, Found, Job, Target};
use crate::catalog::{Catalog, Counts, ProductProgress, ShownPicture, StoredProduct, Waiting};
use crate::domain::{
    Ask, AttributeName, AttributeValue, Embedding, KnownAttributes, Mode, ProductId, ProductKey,
    Query, Types,
};
use crate::encode::{EncoderStatus, Priority};
use crate::index::lexical::Language;
use crate::index::{Facet, Hits, Selection, rank};
use crate::util::batcher::{BatchOptions, Batcher};
use crate::util::blocking::blocking;
use crate::util::signed::signed;

/// What a service is set up with.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    pub known: KnownAttributes,
    /// Searches that may wait for a worker; one more is [`ServiceError::Overloaded`].
    pub queue: usize,
    /// How often the catalog is looked at for changes; `None`: only at the start.
    pub refresh: Option<Duration>,
    /// Whether it embeds what waits; if not, others do.
    pub embeds: bool,
    /// How long embeddings are kept that nobody needs.
    pub keep: Duration,
    /// Bytes that the rows of products may take in memory, where the catalog is on a server.
    pub rows_memory: usize,
    pub making: Making,
    /// The setting `model`: what answers where nothing else was chosen, and where others are beside.
    pub model: PathBuf,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            known: KnownAttributes::default(),
            queue: 512,
            refresh: None,
            embeds: true,
            keep: Duration::from_hours(7 * 24),
            rows_memory: 1 << 30,
            making: Making {
                words_percent: rank::DEFAULT_WORDS_PERCENT,
                language: Language::default(),
                types: Types::default(),
            },
            model: PathBuf::new(),
        }
    }
}

/// A cheap, clonable handle on the parts.
#[derive(Clone)]
pub struct Service {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) catalog: Catalog,
    current: ArcSwap<Generation>,
    /// One thread a core: filter, index and ranking.
    workers: Batcher<Job, Result<Found, ServiceError>>,
    pub(super) options: ServiceOptions,
    stopping: AtomicBool,
    pub(super) health: Health,
    thesaurus: Arc<Thesaurus>,
    /// Rung after every change that came by [`Service::write`]: whoever follows the catalog need not
    /// wait for its next look.
    pub(super) written: Notify,
    pub(super) fresh: Freshness,
    pub(super) keys: Keys,
    /// Held by whoever reads the generation in use to put another in its place.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// How far a change of the model is.
    pub(super) change: ArcSwapOption<ChangeStatus>,
    pub(super) meters: Meters,
    pub(super) rows: Rows,
    /// Whether the index in use was the state of the catalog at a time since the start.
    pub(super) caught_up: AtomicBool,
    /// Why feeds could not be taken the last time, by their names.
    pub(super) feed_faults: std::sync::Mutex<BTreeMap<String, String>>,
}

impl Service {
    /// Over `catalog`, with `first` in use. Starts the search workers; call it within a Tokio
    /// runtime, which must outlive the service.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(
        catalog: Catalog,
        first: Generation,
        thesaurus: Thesaurus,
        options: ServiceOptions,
    ) -> std::io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, NonZero::get);
        // Those that wait for the database leave the cores to others.
        let threads = threads.max(catalog.asking().unwrap_or_default());
        let workers = (0..threads).map(|_| worker::worker()).collect();
        let batching = BatchOptions {
            name: "search",
            queue: options.queue,
            max_batch: 1,
            max_wait: Duration::ZERO,
            background: false,
            span: |_, _| worker::span(),
        };
        let rows_memory = if catalog.is_shared() {
            options.rows_memory
        } else {
            0
        };
        Ok(Self {
            inner: Arc::new(Inner {
                rows: Rows::new(rows_memory),
                caught_up: AtomicBool::new(false),
                feed_faults: std::sync::Mutex::default(),
                workers: Batcher::start(batching, workers)?,
                current: ArcSwap::from_pointee(first),
                catalog,
                options,
                stopping: AtomicBool::new(false),
                health: Health::default(),
                thesaurus: Arc::new(thesaurus),
                written: Notify::new(),
                fresh: Freshness::default(),
                keys: Keys::default(),
                turn: tokio::sync::Mutex::default(),
                change: ArcSwapOption::empty(),
                meters: Meters::default(),
            }),
        })
    }

    /// The generation in use.
    #[must_use]
    pub fn generation(&self) -> Arc<Generation> {
        self.inner.current.load_full()
    }

    /// Puts another generation in the place of the one in use; a search that has begun ends with
    /// the one that it began with.
    pub fn swap(&self, next: Generation) {
        let revision = next.version().catalog;
        self.inner.current.store(Arc::new(next));
        self.inner.fresh.searchable(revision);
    }

    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    #[must_use]
    pub fn known(&self) -> &KnownAttributes {
        &self.inner.options.known
    }

    /// The attributes of the products with their values and counts, and the index that they are of.
    #[must_use]
    pub fn facets(&self) -> (Arc<Vec<Facet>>, Arc<Generation>) {
        let generation = self.generation();
        (generation.index.facets(), generation)
    }

    /// The product with the shop's id `id`.
    ///
    /// # Errors
    /// When there is none, or the catalog cannot be read.
    pub async fn product(&self, id: &ProductId) -> Result<StoredProduct, ServiceError> {
        let found = self.inner.catalog.product(id).await?;
        let mut found = found.ok_or_else(|| ServiceError::NoProduct { id: id.to_string() })?;
        self.inner.catalog.link(&mut found).await;
        Ok(found)
    }

    /// A picture of the product, that with the number or the first; `None` when it has none such that
    /// can be shown.
    ///
    /// # Errors
    /// When there is no such product, or the catalog cannot be read in time.
    pub async fn picture(
        &self,
        id: &ProductId,
        number: Option<u8>,
    ) -> Result<Option<ShownPicture>, ServiceError> {
        let found = self.inner.catalog.picture(id, number).await?;
        found.ok_or_else(|| ServiceError::NoProduct { id: id.to_string() })
    }

    /// How far a product is embedded by the model in use.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn progress(&self, key: ProductKey) -> Result<ProductProgress, ServiceError> {
        let generation = self.generation();
        let model = generation.encoder.model_id();
        Ok(self.inner.catalog.progress(key, model).await?)
    }

    /// How much waits to be embedded by the model in use.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn waiting(&self) -> Result<Waiting, ServiceError> {
        let generation = self.generation();
        let model = generation.encoder.model_id();
        Ok(self.inner.catalog.waiting(model).await?)
    }

    /// How far the catalog is embedded, as it was last counted.
    #[must_use]
    pub fn counts(&self) -> Option<Counts> {
        self.inner.health.seen().0.counts
    }

    /// Counts how far the catalog is embedded, for reports; `None` when it cannot be read.
    pub async fn count(&self) -> Option<Counts> {
        let generation = self.generation();
        let counts = self.catalog().counts(generation.encoder.model_id()).await;
        self.inner.health.counted(counts.as_ref().copied());
        counts.ok()
    }

    /// Reads the shop's synonyms again when their file has changed.
    pub(super) async fn renew_synonyms(&self) {
        let thesaurus = Arc::clone(&self.inner.thesaurus);
        match blocking(move || thesaurus.renew()).await {
            Ok(Ok(true)) => tracing::info!("the synonyms are read again"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the synonyms cannot be used; those from before stay");
            }
            Err(error) => tracing::error!(%error, "the synonyms could not be looked at"),
        }
    }

    /// What the encoder runs on and how much is waiting.
    #[must_use]
    pub fn encoder_status(&self) -> EncoderStatus {
        self.generation().encoder.status()
    }

    /// No new requests are wanted; those that come all the same are answered.
    pub fn set_stopping(&self) {
        self.inner.stopping.store(true, Ordering::Release);
    }

    #[must_use]
    pub fn stopping(&self) -> bool {
        self.inner.stopping.load(Ordering::Acquire)
    }

    /// Answers what was accepted and ends the workers, the encoder's threads and the database's
    /// connections.
    pub async fn shutdown(&self) {
        let inner = Arc::clone(&self.inner);
        // The work does not panic, and a runtime that ends waits no more.
        let _ = tokio::task::spawn_blocking(move || inner.workers.finish()).await;
        self.generation().encoder.shutdown().await;
        self.inner.catalog.close().await;
    }

    /// Answers a query. `deadline`: what has not begun by then is not begun.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn search(
        &self,
        query: Query,
        deadline: Option<Instant>,
    ) -> Result<Page, ServiceError> {
        self.search_in(&self.answering()?, query, deadline).await
    }

    /// Answers a query with a generation, whether it is in use or not.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn search_in(
        &self,
        generation: &Arc<Generation>,
        query: Query,
        deadline: Option<Instant>,
    ) -> Result<Page, ServiceError> {
        check::attributes(&generation.index.facets(), self.known(), &query)?;
        let encoder = &generation.encoder;
        let mut exclude = match &query.exclude[..] {
            [] => Vec::new(),
            ids => {
                let _store = tracing::debug_span!("store", keys = signed(ids.len()));
                self.keys_of(generation, ids).await?
            }
        };
        let mut filters = query.filters;
        let target = match query.ask {
            Ask::All => Target::Nothing,
            Ask::Words(text) => {
                let vector = match query.words.mode {
                    Mode::Lexical => None,
                    Mode::Hybrid | Mode::Vector => {
                        let text = text.as_str();
                        Some(encoder.text(text, Priority::Search, deadline).await?)
                    }
                };
                match (query.words.mode, vector) {
                    (Mode::Vector, Some(vector)) => Target::Near(vector),
                    (_, vector) => Target::Words {
                        text,
                        vector,
                        options: query.words,
                        known: self.known().clone(),
                        synonyms: self.inner.thesaurus.current(),
                    },
                }
            }
            Ask::Photo(file) => {
                let vector = encoder.image(file, Priority::Search, deadline).await?;
                Target::Photo(vector, self.known().category.clone())
            }
            Ask::Like(id) => {
                let (key, vector) = self.vector_of(generation, &id).await?;
                exclude.push(key);
                // The other sizes of a shoe are not like it: they are it.
                let style = AttributeName::style();
                if let Some(values) = self.values_of(key, &style).await? {
                    filters = filters.but_for(&style, &values);
                }
                Target::Near(vector)
            }
        };
        let selection = Selection {
            filters,
            exclude,
            window: query.window,
            order: query.order,
            all: !query.words.relevant_only,
            explain: query.explain,
        };
        let job = Job {
            generation: Arc::clone(generation),
            target,
            selection,
            facets: query.facets,
        };
        let workers = &self.inner.workers;
        let found = workers.submit(job, 0, Priority::Search, deadline).await??;
        let total = found.hits.estimated_total;
        let store = tracing::debug_span!("store", rows = signed(found.hits.hits.len()));
        let hits = self.rows(found.hits).await?;
        drop(store);
        Ok(Page {
            total,
            hits,
            corrected: found.corrected,
            unknown: found.unknown,
            facets: found.facets,
            model: generation.model(),
            index: generation.version().clone(),
        })
    }

    /// The products of the hits; one that was removed since the index was built is left out.
    async fn rows(&self, found: Hits) -> Result<Vec<Hit>, ServiceError> {
        let keys: Vec<ProductKey> = found.hits.iter().map(|hit| hit.key).collect();
        let mut rows = self.inner.rows.get(&keys);
        let missing: Vec<ProductKey> = keys
            .into_iter()
            .filter(|key| !rows.contains_key(key))
            .collect();
        if !missing.is_empty() {
            let read = self.inner.catalog.products(&missing).await?;
            rows.extend(read.into_iter().map(|row| (row.key, row)));
        }
        let mut pictures = found.pictures.into_iter();
        let mut groups = found.groups.into_iter();
        let mut explanations = found.explanations.into_iter();
        let hits = found.hits.iter().filter_map(|hit| {
            // All go on by one, also where the product is gone.
            let picture = pictures.next().flatten();
            let (group, explanation) = (groups.next().flatten(), explanations.next());
            let product = rows.remove(&hit.key)?;
            Some(Hit {
                score: hit.score,
                picture,
                group,
                explanation,
                product,
            })
        });
        let mut hits: Vec<Hit> = hits.collect();
        for hit in &mut hits {
            self.inner.catalog.link(&mut hit.product).await;
        }
        Ok(hits)
    }

    /// The keys of the products with these ids; ids that are unknown are left out.
    async fn keys_of(
        &self,
        generation: &Generation,
        ids: &[ProductId],
    ) -> Result<Vec<ProductKey>, ServiceError> {
        let found = ids
            .iter()
            .map(|id| self.inner.rows.key(&generation.index, id));
        match found.collect::<Option<Vec<_>>>() {
            Some(found) => Ok(found),
            None => Ok(self.inner.catalog.keys(ids).await?),
        }
    }

    async fn vector_of(
        &self,
        generation: &Generation,
        id: &ProductId,
    ) -> Result<(ProductKey, Embedding), ServiceError> {
        let store = tracing::debug_span!("store", keys = 1_i64);
        let keys = self.keys_of(generation, std::slice::from_ref(id)).await?;
        drop(store);
        let Some(key) = keys.first() else {
            return Err(ServiceError::NoProduct { id: id.to_string() });
        };
        let vector = distant::embedding(&generation.index, *key).await?;
        let vector = vector.ok_or_else(|| ServiceError::NotEmbedded { id: id.to_string() })?;
        Ok((*key, vector))
    }

    /// The values that a product has of an attribute.
    async fn values_of(
        &self,
        key: ProductKey,
        name: &AttributeName,
    ) -> Result<Option<Vec<AttributeValue>>, ServiceError> {
        let mut row = self.inner.rows.get(&[key]).remove(&key);
        if row.is_none() {
            row = self.inner.catalog.products(&[key]).await?.pop();
        }
        Ok(row.and_then(|mut row| row.product.attributes.remove(name)))
    }

    /// Refuses a query before its body is read, where none is answered.
    ///
    /// # Errors
    /// [`ServiceError::NotReady`]: before the first index is in use, every answer would be an empty
    /// list that looks like an answer.
    pub fn answering(&self) -> Result<Arc<Generation>, ServiceError> {
        Some(self.generation())
            .filter(|generation| generation.answers())
            .ok_or(ServiceError::NotReady)
    }
}
