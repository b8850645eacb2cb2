//! The encoder: words or the bytes of a photo -> an embedding.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::Instrument;

use crate::domain::{Embedding, EmbeddingError, ModelId};
use crate::model::{Manifest, ModelFolder};

use super::device::{Device, Provider};
use super::meters::CacheMeters;
use super::session::{Counts, SessionError, Sessions, Tower};
use super::text::{TextError, TextTokenizer};
use crate::util::batcher::{BatchError, BatchOptions, Batcher, Priority, Queued, Worker};
use crate::util::budget::Budget;
use crate::util::signed::signed;
use crate::vision::{self, ImageError, ImageLimits, Photo};

/// Longer texts are tokenized on a blocking thread: this many bytes take a fraction of a
/// millisecond.
const SHORT_TEXT: usize = 4096;
/// Most decode threads: what decoding takes is a fraction of what the image tower takes.
const DECODERS: usize = 8;

/// The squares that the model sees of one photo.
type Views = Vec<Photo>;

/// A cheap, clonable handle; the sessions' threads end when the last one is dropped.
#[derive(Clone)]
pub struct Encoder {
    inner: Arc<Inner>,
}

struct Inner {
    manifest: Manifest,
    id: ModelId,
    tokenizer: TextTokenizer,
    /// By token ids: what two texts have in common when the model cannot tell them apart. Of this
    /// model alone.
    cache: moka::sync::Cache<Box<[u32]>, Embedding>,
    cache_meters: CacheMeters,
    decode: Batcher<Bytes, Result<Views, ImageError>>,
    text: Batcher<Box<[u32]>, Result<Embedding, EmbeddingError>>,
    image: Batcher<Views, Result<Embedding, EmbeddingError>>,
    provider: Provider,
    asked: Device,
    fallback: Option<String>,
    sessions: Counts,
}

#[derive(Clone, Debug)]
pub struct EncoderOptions {
    /// `libonnxruntime.so`, or the folder that holds it.
    pub runtime: PathBuf,
    pub device: Device,
    pub text_sessions: usize,
    pub image_sessions: usize,
    /// Threads within one session.
    pub intra_threads: usize,
    /// Requests that may wait, per tower; one more is [`EncodeError::Overloaded`].
    pub queue: usize,
    pub max_batch: usize,
    /// How long a batch waits for company when sessions are idle; zero: not at all.
    pub max_wait: Duration,
    /// Query embeddings kept, by model and normalized text.
    pub cache: u64,
    pub image_limits: ImageLimits,
    /// Its threads take what others leave of the processor.
    pub background: bool,
}

impl EncoderOptions {
    /// For work that nobody waits for.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self {
            text_sessions: 1,
            image_sessions: 1,
            intra_threads: 1,
            cache: 0,
            background: true,
            ..self.clone()
        }
    }
}

/// What is in use and how much is waiting.
#[derive(Clone, Debug, serde::Serialize)]
pub struct EncoderStatus {
    pub asked: Device,
    pub provider: Provider,
    /// Why the provider is not the one that [`Device::Auto`] prefers, when it is not.
    pub fallback: Option<String>,
    pub decode_threads: usize,
    pub text_sessions: usize,
    pub image_sessions: usize,
    pub decode: Queued,
    pub text: Queued,
    pub image: Queued,
    /// Query embeddings in the cache.
    pub cached: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("more requests are waiting than can be answered in time")]
    Overloaded,
    #[error("the request's time was over before its turn came")]
    Expired,
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error("the model made no valid embedding: {0}")]
    Embedding(#[from] EmbeddingError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("a worker thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The whole batch failed: ONNX Runtime's error, or a panic.
    #[error("inference failed: {0}")]
    Failed(Arc<str>),
    #[error("the inference worker has ended")]
    WorkerGone,
}

impl From<BatchError> for EncodeError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Overloaded => Self::Overloaded,
            BatchError::Expired => Self::Expired,
            BatchError::Closed => Self::WorkerGone,
            BatchError::Failed(reason) => Self::Failed(reason),
        }
    }
}

impl Encoder {
    /// Loads the model and starts the threads: blocks for as long as ONNX Runtime takes (a second
    /// or so).
    ///
    /// # Errors
    /// When ONNX Runtime, the device, the tokenizer or a graph cannot be used.
    pub fn start(folder: &ModelFolder, options: &EncoderOptions) -> Result<Self, EncodeError> {
        let manifest = folder.manifest().clone();
        let tokenizer = TextTokenizer::open(
            &folder.tokenizer(),
            manifest.context_length,
            manifest.end_of_text,
        )?;
        let mut counts = Counts {
            text: options.text_sessions.max(1),
            image: options.image_sessions.max(1),
            intra_threads: options.intra_threads,
        };
        let sessions = Sessions::open(folder, &options.runtime, options.device, counts)?;
        (counts.text, counts.image) = (sessions.text.len(), sessions.image.len());
        let of = |name, max_batch, max_wait| BatchOptions {
            name,
            queue: options.queue,
            max_batch,
            max_wait,
            background: options.background,
            span: |tower, batch_size| tracing::debug_span!("model", tower, batch_size),
        };
        let decoding = BatchOptions {
            span: |_, _| tracing::debug_span!("decode"),
            ..of("decode", 1, Duration::ZERO)
        };
        let text = sessions
            .text
            .into_iter()
            .map(|tower| text_worker(tower, &manifest))
            .collect();
        let image = sessions
            .image
            .into_iter()
            .map(|tower| image_worker(tower, &manifest))
            .collect();
        let inner = Inner {
            tokenizer,
            cache: moka::sync::Cache::new(options.cache),
            cache_meters: CacheMeters::new(),
            decode: Batcher::start(decoding, decode_workers(options.image_limits, &manifest))?,
            text: Batcher::start(of("text", options.max_batch, options.max_wait), text)?,
            image: Batcher::start(of("image", options.max_batch, options.max_wait), image)?,
            provider: sessions.provider,
            asked: options.device,
            fallback: sessions.fallback,
            sessions: counts,
            id: folder.id().clone(),
            manifest,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Embeds words. `deadline`: after it, the request is skipped and answered
    /// [`EncodeError::Expired`].
    ///
    /// # Errors
    /// [`EncodeError`]; [`EncodeError::Overloaded`] only with [`Priority::Search`].
    pub async fn text(
        &self,
        text: &str,
        priority: Priority,
        deadline: Option<Instant>,
    ) -> Result<Embedding, EncodeError> {
        let tokenize = tracing::debug_span!("tokenize", tokens = tracing::field::Empty);
        let ids = self.ids(text).instrument(tokenize.clone()).await?;
        tokenize.record("tokens", signed(ids.len()));
        drop(tokenize);
        if let Some(known) = self.inner.cache.get(&ids) {
            self.inner.cache_meters.hits.increment(1);
            return Ok(known);
        }
        let embedding = self.words(ids.clone(), priority, deadline).await?;
        // The catalog's texts are embedded once each: they would only push the shoppers' words out.
        if priority == Priority::Search {
            self.inner.cache_meters.misses.increment(1);
            self.inner.cache.insert(ids, embedding.clone());
        }
        Ok(embedding)
    }

    /// Embeds a photo given as the bytes of its file (JPEG, PNG, WebP, GIF, BMP).
    ///
    /// # Errors
    /// [`EncodeError`]; [`EncodeError::Overloaded`] only with [`Priority::Search`].
    pub async fn image(
        &self,
        file: Bytes,
        priority: Priority,
        deadline: Option<Instant>,
    ) -> Result<Embedding, EncodeError> {
        // What is being decoded will wait for the tower before this one does.
        let decoding = self.inner.decode.queued().search;
        let expected = self.inner.decode.expected(0) + self.inner.image.expected(decoding);
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if priority == Priority::Search && left.is_some_and(|left| expected > left) {
            return Err(EncodeError::Overloaded);
        }
        let views = self
            .inner
            .decode
            .submit(file, 0, priority, deadline)
            .await??;
        Ok(self
            .inner
            .image
            .submit(views, 0, priority, deadline)
            .await??)
    }

    /// Decodes a photo as [`Encoder::image`] would, and nothing more.
    ///
    /// # Errors
    /// As [`Encoder::image`].
    pub async fn check_image(
        &self,
        file: Bytes,
        deadline: Option<Instant>,
    ) -> Result<(), EncodeError> {
        let decode = &self.inner.decode;
        decode.submit(file, 0, Priority::New, deadline).await??;
        Ok(())
    }

    /// Runs one real embedding through each tower, past the cache: readiness.
    ///
    /// # Errors
    /// [`EncodeError`], when either tower gives none.
    pub async fn probe(&self) -> Result<(), EncodeError> {
        let ids = self.ids("a photo of a product").await?;
        self.words(ids, Priority::Search, None).await?;
        let preprocessing = &self.inner.manifest.preprocessing;
        let gray = Photo::from_pixel(
            preprocessing.size,
            preprocessing.size,
            ::image::Rgb([128; 3]),
        );
        let views = vision::views(&gray, preprocessing);
        self.inner
            .image
            .submit(views, 0, Priority::Search, None)
            .await??;
        Ok(())
    }

    /// Accepts nothing more, and comes back when all that was accepted is answered and the threads
    /// have ended.
    pub async fn shutdown(&self) {
        let inner = Arc::clone(&self.inner);
        // In the order of a photo's way. The work does not panic, and a runtime that ends waits no
        // more.
        let _ = tokio::task::spawn_blocking(move || {
            inner.decode.finish();
            inner.text.finish();
            inner.image.finish();
        })
        .await;
    }

    async fn ids(&self, text: &str) -> Result<Box<[u32]>, EncodeError> {
        if text.len() <= SHORT_TEXT {
            return Ok(self.inner.tokenizer.ids(text)?.into());
        }
        let (inner, text) = (Arc::clone(&self.inner), text.to_owned());
        let ids = tokio::task::spawn_blocking(move || inner.tokenizer.ids(&text)).await;
        Ok(ids.map_err(|_| EncodeError::WorkerGone)??.into())
    }

    async fn words(
        &self,
        ids: Box<[u32]>,
        priority: Priority,
        deadline: Option<Instant>,
    ) -> Result<Embedding, EncodeError> {
        let length = ids.len();
        Ok(self
            .inner
            .text
            .submit(ids, length, priority, deadline)
            .await??)
    }

    /// How many batches the towers have run: grows while they work.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.inner.text.batches() + self.inner.image.batches()
    }

    /// The execution provider in use, which need not be the one that was asked for.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.inner.provider
    }

    #[must_use]
    pub fn status(&self) -> EncoderStatus {
        let inner = &*self.inner;
        EncoderStatus {
            asked: inner.asked,
            provider: inner.provider,
            fallback: inner.fallback.clone(),
            decode_threads: decode_threads(),
            text_sessions: inner.sessions.text,
            image_sessions: inner.sessions.image,
            decode: inner.decode.queued(),
            text: inner.text.queued(),
            image: inner.image.queued(),
            cached: inner.cache.entry_count(),
        }
    }

    #[must_use]
    pub fn model_id(&self) -> &ModelId {
        &self.inner.id
    }

    #[must_use]
    pub fn model_name(&self) -> &str {
        &self.inner.manifest.name
    }

    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.inner.manifest.dimensions
    }

    /// Whether the model reads a text to its end, or its end is cut off.
    #[must_use]
    pub fn reads_whole(&self, text: &str) -> bool {
        self.inner.tokenizer.reads_whole(text)
    }

    /// Whether the model's training has seen the word often (see [`TextTokenizer::knows`]).
    #[must_use]
    pub fn knows(&self, word: &str) -> bool {
        self.inner.tokenizer.knows(word)
    }
}

fn decode_threads() -> usize {
    std::thread::available_parallelism()
        .map_or(2, NonZero::get)
        .min(DECODERS)
}

fn text_worker(
    mut tower: Tower,
    manifest: &Manifest,
) -> Worker<Box<[u32]>, Result<Embedding, EmbeddingError>> {
    let (dimensions, end) = (manifest.dimensions, i64::from(manifest.end_of_text));
    let mut ids = Vec::new();
    Box::new(move |texts| {
        let length = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        ids.clear();
        for text in &texts {
            // The tower is causal and pooled at the first end token: more of them behind it change
            // nothing.
            let filling = std::iter::repeat_n(end, length - text.len());
            ids.extend(text.iter().map(|&id| i64::from(id)).chain(filling));
        }
        let rows = tower
            .run([texts.len(), length], &ids)
            .map_err(|e| e.to_string())?;
        Ok(rows
            .into_iter()
            .map(|row| Embedding::new(row, dimensions))
            .collect())
    })
}

fn image_worker(
    mut tower: Tower,
    manifest: &Manifest,
) -> Worker<Views, Result<Embedding, EmbeddingError>> {
    let (dimensions, preprocessing) = (manifest.dimensions, manifest.preprocessing.clone());
    let (size, each) = (preprocessing.size as usize, preprocessing.edges().len());
    let mut pixels = Vec::new();
    Box::new(move |photos| {
        pixels.clear();
        for square in photos.iter().flatten() {
            pixels.extend(vision::normalize(square, &preprocessing));
        }
        let rows = tower
            .run([photos.len() * each, 3, size, size], &pixels)
            .map_err(|e| e.to_string())?;
        Ok(rows
            .chunks(each)
            .map(|views| Embedding::mean_direction(views.iter().map(Vec::as_slice), dimensions))
            .collect())
    })
}

/// Files -> the small squares that the model sees; those are 8-bit, a quarter of the tensor's size,
/// while they wait.
fn decode_workers(
    limits: ImageLimits,
    manifest: &Manifest,
) -> Vec<Worker<Bytes, Result<Views, ImageError>>> {
    // Together the threads hold one of the largest photos and one of half that, or as many smaller ones
    // as there are threads.
    let budget = Budget::new(limits.max_pixels.saturating_add(limits.max_pixels / 2));
    let worker = || -> Worker<Bytes, Result<Views, ImageError>> {
        let (budget, preprocessing) = (budget.clone(), manifest.preprocessing.clone());
        Box::new(move |files| {
            let views = |file: Bytes| {
                let (width, height) = vision::dimensions(&file, &limits)?;
                let _share = budget.wait(u64::from(width) * u64::from(height));
                Ok(vision::views(
                    &vision::decode(&file, &limits)?,
                    &preprocessing,
                ))
            };
            Ok(files.into_iter().map(views).collect())
        })
    };
    (0..decode_threads()).map(|_| worker()).collect()
}
