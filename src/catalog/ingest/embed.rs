//! Works off the queue of what is to be embedded: pictures are read and hashed ahead of the encoder,
//! a bounded number of requests is with the encoder, results are written some hundred at a time.
//!
//! What is new has a lane of its own ([`Lane::New`]): while a catalog is embedded by another model,
//! which takes hours, a new product waits for nothing but its own turn.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::embedder::Embedder;
use super::progress::{EmbedSummary, IngestError, Progress};
use super::read_ahead::{ReadAhead, ReadPicture, Reading};
use super::rejects::Rejects;
use crate::catalog::caption::Caption;
use crate::catalog::error::CatalogError;
use crate::catalog::source::row::{Lost, Reject};
use crate::catalog::store::queue::Lane;
use crate::catalog::store::row::{Hash, hash};
use crate::catalog::store::work::{Outcome, Work};
use crate::catalog::store::write::Writer;
use crate::domain::{Embedding, ProductKey};
use crate::encode::EncodeError;

/// Results in one transaction.
const BATCH: usize = 256;
/// Requests with the encoder at a time: two of its largest batches.
const IN_FLIGHT: usize = 64;
/// Work that is taken from the queue at a time, when less than that waits to be begun.
const PAGE: usize = 128;
/// Pictures on the web that are on their way at a time, most of them waiting for their host: on a server
/// of PostgreSQL what is taken is this process's own for two minutes.
const ON_THE_WEB: usize = 384;
/// How often the lane of what is new is looked at while the other one is worked off.
const LOOK: Duration = Duration::from_millis(200);

/// The line of the source that each product is in.
pub(super) type LineOf = HashMap<ProductKey, u64>;

/// What the lanes of an embedding share.
pub(super) struct Run<'a, E> {
    writer: &'a Writer,
    embedder: &'a E,
    model: i64,
    progress: &'a Progress,
    /// Of an import: what fails is noted.
    rejects: Option<(&'a LineOf, Mutex<&'a mut Rejects>)>,
    summary: Mutex<EmbedSummary>,
    said_away: AtomicBool,
}

/// One lane, while it is worked off.
struct Worked<'r, 'a, E> {
    run: &'r Run<'a, E>,
    lane: Lane,
    /// When no more is begun.
    until: Option<Instant>,
    /// What was taken from the queue and is not written yet: the keys in the queue.
    taken: HashSet<i64>,
    /// Whether there was no more in the queue.
    all_taken: bool,
    /// Of what was taken, what is answered by [`Worked::outcomes`].
    settled: Vec<i64>,
    /// What is known of the contents of pictures that came by.
    photos: HashMap<Hash, Known<(i64, ReadPicture)>>,
    /// Likewise of captions, with the products that have them.
    words: HashMap<Hash, Known<i64>>,
    requests: Requests,
    outcomes: Vec<Outcome>,
    written: Instant,
}

/// What is known of a content, to this model.
enum Known<T> {
    Embedded,
    /// It cannot be embedded, and why.
    Failed(String),
    /// It is with the encoder; these have the same one and are answered with it.
    Asked(Vec<T>),
}

/// The key in the queue, what it came to, and the error that ends all.
type Answer = (i64, Outcome, Option<EncodeError>);
type Requests = JoinSet<Answer>;

impl<'a, E: Embedder> Run<'a, E> {
    /// `import`: the lines of its products, and where what fails is noted.
    pub(super) async fn new(
        writer: &'a Writer,
        embedder: &'a E,
        progress: &'a Progress,
        import: Option<(&'a LineOf, &'a mut Rejects)>,
    ) -> Result<Self, CatalogError> {
        Ok(Self {
            model: writer.model(embedder.model()).await?,
            writer,
            embedder,
            progress,
            rejects: import.map(|(lines, rejects)| (lines, Mutex::new(rejects))),
            summary: Mutex::default(),
            said_away: AtomicBool::new(false),
        })
    }

    /// Puts into the queue what the model lacks of all products.
    pub(super) async fn look(&self) -> Result<(), IngestError> {
        let renewed = self.writer.renew_captions().await?;
        if renewed > 0 {
            tracing::info!(products = renewed, "captions are made in another way now");
        }
        Ok(self.writer.queue_missing(self.model).await?)
    }

    pub(super) fn model(&self) -> i64 {
        self.model
    }

    /// Says once that what is kept cannot be reached: it is the same for all pictures.
    fn say_away(&self, reason: &str) {
        if !self.said_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "pictures are embedded later");
        }
    }

    /// Works off both lanes. What fails and may pass is left for another time.
    /// After `time` no more is begun.
    pub(super) async fn embed(&self, time: Option<Duration>) -> Result<EmbedSummary, IngestError> {
        let start = Instant::now();
        let until = time.map(|time| start + time);
        for lane in [Lane::New, Lane::Later] {
            let (words, pictures) = self.writer.waiting_now(self.model, lane).await?;
            self.progress.words.fetch_add(words, Ordering::Relaxed);
            self.progress.photos.fetch_add(pictures, Ordering::Relaxed);
        }
        self.work_off(Lane::New, until).await?;
        let later = self.work_off(Lane::Later, until);
        tokio::pin!(later);
        loop {
            tokio::select! {
                done = &mut later => break done?,
                () = tokio::time::sleep(LOOK) => {}
            }
            // Beside each other: neither waits for the other.
            let new = self.work_off(Lane::New, until);
            tokio::pin!(new);
            tokio::select! {
                done = &mut new => done?,
                done = &mut later => {
                    done?;
                    new.await?;
                    break;
                }
            }
        }
        let mut summary = *self.summary.lock().await;
        summary.elapsed = start.elapsed();
        Ok(summary)
    }

    async fn work_off(&self, lane: Lane, until: Option<Instant>) -> Result<(), IngestError> {
        let mut worked = Worked {
            run: self,
            lane,
            until,
            taken: HashSet::new(),
            all_taken: false,
            settled: Vec::new(),
            photos: HashMap::new(),
            words: HashMap::new(),
            requests: Requests::new(),
            outcomes: Vec::new(),
            written: Instant::now(),
        };
        worked.work_off().await
    }

    async fn reject(
        &self,
        key: ProductKey,
        lost: Lost,
        reason: String,
    ) -> Result<(), CatalogError> {
        let found = self.writer.catalog().products(&[key]).await?;
        let id = found.first().map(|p| p.product.id.to_string());
        let Some((lines, rejects)) = &self.rejects else {
            tracing::warn!(id, reason, "a product cannot be embedded");
            return Ok(());
        };
        rejects.lock().await.add(&Reject {
            line: lines.get(&key).copied().unwrap_or_default(),
            id,
            lost,
            reason,
        })
    }

    async fn count(&self, outcome: &Outcome) {
        let mut summary = self.summary.lock().await;
        let progress = self.progress;
        let one = |counter: &std::sync::atomic::AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        match outcome {
            Outcome::Words {
                embedding: Ok(_), ..
            } => {
                summary.words += 1;
                one(&progress.words_done);
            }
            Outcome::Photo {
                embedding, news, ..
            } if !matches!(embedding, Some(Err(_))) => {
                summary.photos += u64::from(*news);
                summary.contents += u64::from(embedding.is_some());
                one(&progress.photos_done);
            }
            Outcome::KnownWords { .. } => one(&progress.words_done),
            // It is no fault of the picture, and its turn comes.
            Outcome::Away { .. } => {}
            _ => {
                summary.failed += 1;
                one(&progress.failed);
            }
        }
    }
}

impl<E: Embedder> Worked<'_, '_, E> {
    async fn work_off(&mut self) -> Result<(), IngestError> {
        let inner = &self.run.writer.catalog().inner;
        let mut read = ReadAhead::start(&inner.photos, &inner.readers, &inner.kept);
        loop {
            let (files, web) = read.waiting();
            let begun = files + self.requests.len();
            if !self.all_taken && begun < PAGE / 2 && web < ON_THE_WEB {
                let mut words = Vec::new();
                for (key, work) in self.take().await? {
                    match work {
                        Work::Words { product } => words.push((key, product)),
                        Work::Picture(picture) => read.push(key, *picture),
                    }
                }
                self.ask_words(words).await?;
                continue;
            }
            if files + web == 0 && self.requests.is_empty() {
                if self.taken.is_empty() {
                    return Ok(());
                }
                self.write().await?;
                continue;
            }
            let patience = self.patience();
            tokio::select! {
                Some(answer) = self.requests.join_next() => self.answered(answer).await?,
                Some((key, reading)) = read.next(), if self.requests.len() < IN_FLIGHT =>
                    self.ask_photo(key, reading).await?,
                () = tokio::time::sleep(patience), if !self.outcomes.is_empty() => self.write().await?,
            }
        }
    }

    /// The longest that a result waits to be written.
    fn patience(&self) -> Duration {
        match self.lane {
            Lane::New => Duration::from_millis(200),
            Lane::Later => Duration::from_secs(2),
        }
    }

    /// The next work that was not taken yet.
    async fn take(&mut self) -> Result<Vec<(i64, Work)>, CatalogError> {
        if self.until.is_some_and(|until| until <= Instant::now()) {
            self.all_taken = true;
            return Ok(Vec::new());
        }
        let Run { writer, model, .. } = self.run;
        let begun = self.taken.len();
        let mut due = writer.due(*model, self.lane, begun, PAGE).await?;
        due.retain(|(key, _)| self.taken.insert(*key));
        self.all_taken = due.is_empty();
        Ok(due)
    }

    async fn ask_words(&mut self, work: Vec<(i64, ProductKey)>) -> Result<(), IngestError> {
        if work.is_empty() {
            return Ok(());
        }
        let Run {
            writer,
            model,
            embedder,
            ..
        } = self.run;
        let keys: Vec<ProductKey> = work.iter().map(|(_, product)| *product).collect();
        let products = writer.catalog().products(&keys).await?;
        let mut in_queue: HashMap<ProductKey, i64> = work
            .into_iter()
            .map(|(key, product)| (product, key))
            .collect();
        for stored in products {
            let Some(key) = in_queue.remove(&stored.key) else {
                continue;
            };
            let caption = Caption::of(&stored.product);
            let hash = hash(caption.content().as_bytes());
            if !self.words.contains_key(&hash)
                && let Some(seen) = writer.seen(*model, "words", &hash).await?
            {
                let known = seen.map_or(Known::Embedded, Known::Failed);
                self.words.insert(hash, known);
            }
            match self.words.get_mut(&hash) {
                Some(Known::Asked(others)) => others.push(key),
                Some(_) => self.done(key, Outcome::KnownWords { hash }).await?,
                None => {
                    self.words.insert(hash, Known::Asked(Vec::new()));
                    let (words, is_cut) = caption.words(|text| embedder.reads_whole(text));
                    self.run.summary.lock().await.cut += u64::from(is_cut);
                    let (text, embedder, lane) = (words.to_owned(), E::clone(embedder), self.lane);
                    self.requests.spawn(async move {
                        let (embedding, fatal) = patiently(|| embedder.words(&text, lane)).await;
                        (key, Outcome::Words { hash, embedding }, fatal)
                    });
                }
            }
        }
        // Their products were removed, and so was their work.
        for key in in_queue.into_values() {
            self.taken.remove(&key);
        }
        Ok(())
    }

    /// Passes a picture on to the encoder, unless its content is known.
    async fn ask_photo(&mut self, key: i64, reading: Reading) -> Result<(), IngestError> {
        let (picture, bytes, room) = match reading {
            Reading::Read(picture, bytes, room) => (picture, bytes, room),
            Reading::Same(picture) => return self.done(key, picture.outcome(None)).await,
            Reading::Unreadable(outcome) => return self.done(key, outcome).await,
        };
        let Run {
            writer,
            model,
            embedder,
            ..
        } = self.run;
        let hash = picture.hash;
        if !self.photos.contains_key(&hash)
            && let Some(seen) = writer.seen(*model, "photo", &hash).await?
        {
            let known = seen.map_or(Known::Embedded, Known::Failed);
            self.photos.insert(hash, known);
        }
        match self.photos.get_mut(&hash) {
            Some(Known::Embedded) => self.done(key, picture.outcome(None)).await,
            Some(Known::Failed(reason)) => {
                let failed = Some(Err(reason.clone()));
                self.done(key, picture.outcome(failed)).await
            }
            Some(Known::Asked(others)) => {
                others.push((key, picture));
                Ok(())
            }
            None => {
                self.photos.insert(hash, Known::Asked(Vec::new()));
                let (embedder, lane) = (E::clone(embedder), self.lane);
                self.requests.spawn(async move {
                    let (embedding, fatal) =
                        patiently(|| embedder.photo(bytes.clone(), lane)).await;
                    drop(room);
                    (key, picture.outcome(Some(embedding)), fatal)
                });
                Ok(())
            }
        }
    }

    /// Takes the answer to a content, which is the answer to all that have the same. When the model
    /// is gone, what it answered before is written first.
    async fn answered(
        &mut self,
        answer: Result<Answer, tokio::task::JoinError>,
    ) -> Result<(), IngestError> {
        let (key, outcome, fatal) =
            answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        if let Some(error) = fatal {
            self.write().await?;
            return Err(IngestError::Encode(error));
        }
        match &outcome {
            Outcome::Words { hash, embedding } => {
                let failed = embedding.as_ref().err().cloned();
                let now = failed.map_or(Known::Embedded, Known::Failed);
                // They leave the queue with the caption that they share.
                if let Some(Known::Asked(others)) = self.words.insert(*hash, now) {
                    let done = others.len() as u64;
                    self.run
                        .progress
                        .words_done
                        .fetch_add(done, Ordering::Relaxed);
                    self.settled.extend(others);
                }
                self.done(key, outcome).await
            }
            Outcome::Photo {
                hash,
                embedding: Some(embedding),
                ..
            } => {
                let failed = embedding.as_ref().err().cloned();
                let now = failed.clone().map_or(Known::Embedded, Known::Failed);
                let others = self.photos.insert(*hash, now);
                self.done(key, outcome).await?;
                if let Some(Known::Asked(others)) = others {
                    for (key, picture) in others {
                        let outcome = picture.outcome(failed.clone().map(Err));
                        self.done(key, outcome).await?;
                    }
                }
                Ok(())
            }
            _ => self.done(key, outcome).await,
        }
    }

    async fn done(&mut self, key: i64, outcome: Outcome) -> Result<(), IngestError> {
        match &outcome {
            Outcome::Photo {
                picture,
                embedding: Some(Err(reason)),
                ..
            }
            | Outcome::Unreadable {
                picture, reason, ..
            } => {
                let product = ProductKey(picture.product);
                self.run
                    .reject(product, Lost::Photo, reason.clone())
                    .await?;
            }
            Outcome::Away { reason, .. } => self.run.say_away(reason),
            Outcome::Words {
                hash,
                embedding: Err(reason),
            } => {
                let reason = format!("its words cannot be embedded: {reason}");
                for product in self.run.writer.with_caption(hash).await? {
                    self.run
                        .reject(product, Lost::Attribute, reason.clone())
                        .await?;
                }
            }
            _ => {}
        }
        self.settled.push(key);
        self.outcomes.push(outcome);
        if self.outcomes.len() >= BATCH || self.written.elapsed() >= self.patience() {
            self.write().await?;
        }
        Ok(())
    }

    /// Writes what is waiting, and only then counts it.
    async fn write(&mut self) -> Result<(), IngestError> {
        self.written = Instant::now();
        let outcomes = std::mem::take(&mut self.outcomes);
        if !outcomes.is_empty() {
            self.run.writer.store(self.run.model, &outcomes).await?;
        }
        for outcome in &outcomes {
            self.run.count(outcome).await;
        }
        // From here the database knows them, and says when they are deleted.
        self.photos
            .retain(|_, known| matches!(known, Known::Asked(_)));
        self.words
            .retain(|_, known| matches!(known, Known::Asked(_)));
        // What changed meanwhile is in the queue again.
        for key in self.settled.drain(..) {
            self.taken.remove(&key);
        }
        self.all_taken = false;
        Ok(())
    }
}

/// Asks until the encoder has room. What a content cannot be embedded for is an answer; what the
/// encoder cannot answer for is the second value, and ends the run: by then a photo is a tensor
/// like any other, so that a batch that fails again and again fails for the model's reasons.
async fn patiently<F: Future<Output = Result<Embedding, EncodeError>>>(
    ask: impl Fn() -> F,
) -> (Result<Embedding, String>, Option<EncodeError>) {
    let (mut pause, mut failures) = (Duration::from_millis(10), 0);
    loop {
        match ask().await {
            Ok(embedding) => return (Ok(embedding), None),
            Err(
                error @ (EncodeError::Image(_) | EncodeError::Text(_) | EncodeError::Embedding(_)),
            ) => {
                return (Err(error.to_string()), None);
            }
            Err(EncodeError::Overloaded | EncodeError::Expired) => {}
            Err(EncodeError::Failed(_)) if failures < 2 => failures += 1,
            Err(error) => return (Err(error.to_string()), Some(error)),
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(Duration::from_secs(1));
    }
}
