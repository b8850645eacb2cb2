//! Embeds what is missing: threads read and hash pictures, a bounded number of requests is with the
//! encoder, results are written some hundred at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::embedder::Embedder;
use super::progress::{EmbedSummary, IngestError, Progress};
use super::read_ahead::{PictureToRead, ReadPicture, Reading, read_ahead};
use super::rejects::Rejects;
use crate::catalog::caption::caption;
use crate::catalog::error::CatalogError;
use crate::catalog::source::row::{Lost, Reject};
use crate::catalog::store::row::{Hash, hash};
use crate::catalog::store::write::{Outcome, State, Task, Writer};
use crate::domain::{Embedding, ProductKey};
use crate::encode::EncodeError;

/// Results in one transaction, and the longest that a result waits for it.
const BATCH: usize = 256;
const PATIENCE: Duration = Duration::from_secs(2);
/// Requests with the encoder at a time: two of its largest batches.
const IN_FLIGHT: usize = 64;
/// Captions are asked of the database this many at a time.
const PAGE: usize = 256;

/// The line of the source that each product is in.
pub(super) type LineOf = HashMap<ProductKey, u64>;

/// One embedding of everything that is missing.
pub(super) struct Run<'a, E> {
    writer: &'a Writer,
    embedder: &'a E,
    progress: &'a Progress,
    /// Of an import: its products are looked at again, and what fails is noted.
    import: Option<(&'a LineOf, &'a mut Rejects)>,
    summary: EmbedSummary,
    outcomes: Vec<Outcome>,
    written: Instant,
}

/// What is known of a picture's content, to this model.
enum Known {
    Embedded,
    /// It cannot be embedded, and why.
    Failed(String),
    /// It is with the encoder; these have the same one and are answered with it.
    Asked(Vec<ReadPicture>),
}

type Requests = JoinSet<(Outcome, Option<EncodeError>)>;
type Answer = Result<(Outcome, Option<EncodeError>), tokio::task::JoinError>;

impl<'a, E: Embedder> Run<'a, E> {
    pub(super) fn new(
        writer: &'a Writer,
        embedder: &'a E,
        progress: &'a Progress,
        import: Option<(&'a LineOf, &'a mut Rejects)>,
    ) -> Self {
        let summary = EmbedSummary::default();
        Self {
            writer,
            embedder,
            progress,
            import,
            summary,
            outcomes: Vec::new(),
            written: Instant::now(),
        }
    }

    /// `since`: of the products that the shop changed after this revision; `None`: of all.
    pub(super) async fn embed(&mut self, since: Option<u64>) -> Result<EmbedSummary, IngestError> {
        let start = Instant::now();
        let model = self.writer.model(self.embedder.model()).await?;
        let renewed = self.writer.renew_captions().await?;
        if renewed > 0 {
            tracing::info!(products = renewed, "captions are made in another way now");
        }
        let tasks = self.writer.tasks(model, since).await?;
        let again = self.import.is_some();
        let wanted = |state| state == State::Missing || (again && state == State::Failed);
        let words: Vec<ProductKey> = tasks
            .iter()
            .filter(|t| wanted(t.words))
            .map(|t| t.key)
            .collect();
        let pictures: VecDeque<PictureToRead> = tasks
            .into_iter()
            .filter_map(|task| self.to_read(task))
            .collect();
        self.progress
            .words
            .store(words.len() as u64, Ordering::Relaxed);
        self.progress
            .photos
            .store(pictures.len() as u64, Ordering::Relaxed);
        if !words.is_empty() {
            self.words(model, &words).await?;
        }
        if !pictures.is_empty() {
            self.photos(model, pictures).await?;
        }
        self.summary.elapsed = start.elapsed();
        Ok(self.summary)
    }

    /// Whether a picture has to be looked at, and how closely.
    fn to_read(&self, task: Task) -> Option<PictureToRead> {
        let in_source = self
            .import
            .as_ref()
            .is_some_and(|(lines, _)| lines.contains_key(&task.key));
        let embed = match task.photo {
            State::Vector => false,
            State::Missing => in_source || !task.unreadable,
            State::Failed => in_source,
        };
        let Task {
            key,
            image,
            stamp,
            hash,
            ..
        } = task;
        image
            .filter(|_| embed || in_source)
            .map(|image| PictureToRead {
                key,
                image,
                stamp,
                hash,
                embed,
            })
    }

    async fn words(&mut self, model: i64, keys: &[ProductKey]) -> Result<(), IngestError> {
        let mut asked: HashMap<Hash, ProductKey> = HashMap::new();
        let mut requests = Requests::new();
        for page in keys.chunks(PAGE) {
            for stored in self.writer.catalog().products(page).await? {
                let text = caption(&stored.product);
                let hash = hash(text.as_bytes());
                if asked.insert(hash, stored.key).is_some() {
                    self.progress.words_done.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                while requests.len() >= IN_FLIGHT {
                    self.take_words(model, requests.join_next().await, &asked)
                        .await?;
                }
                let embedder = self.embedder.clone();
                requests.spawn(async move {
                    let (embedding, fatal) = patiently(|| embedder.words(&text)).await;
                    (Outcome::Words { hash, embedding }, fatal)
                });
            }
        }
        while !requests.is_empty() {
            self.take_words(model, requests.join_next().await, &asked)
                .await?;
        }
        self.write(model).await
    }

    async fn photos(
        &mut self,
        model: i64,
        pictures: VecDeque<PictureToRead>,
    ) -> Result<(), IngestError> {
        let mut known: HashMap<Hash, Known> = HashMap::new();
        let inner = &self.writer.catalog().inner;
        let mut read = read_ahead(pictures, &inner.photos, &inner.readers);
        let mut requests = Requests::new();
        let mut reading = true;
        while reading || !requests.is_empty() {
            tokio::select! {
                done = requests.join_next(), if !requests.is_empty() => self.take_photo(model, done, &mut known).await?,
                seen = read.recv(), if reading && requests.len() < IN_FLIGHT => match seen {
                    None => reading = false,
                    Some(seen) => self.ask(model, seen, &mut known, &mut requests).await?,
                },
                () = tokio::time::sleep(PATIENCE), if !self.outcomes.is_empty() => self.write(model).await?,
            }
        }
        self.write(model).await
    }

    /// Passes a picture on to the encoder, unless its content is known.
    async fn ask(
        &mut self,
        model: i64,
        seen: Reading,
        known: &mut HashMap<Hash, Known>,
        requests: &mut Requests,
    ) -> Result<(), IngestError> {
        match seen {
            Reading::Unchanged => {
                self.progress.photos_done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Reading::Unreadable { key, reason } => {
                self.done(model, Outcome::Unreadable { key, reason }).await
            }
            Reading::Unanswered { key, reason } => {
                self.summary.failed += 1;
                self.progress.failed.fetch_add(1, Ordering::Relaxed);
                self.reject(key, Lost::Photo, reason).await?;
                Ok(())
            }
            Reading::Read(picture, bytes) => match self.known(model, &picture.hash, known).await? {
                Some(Known::Embedded) => self.done(model, picture.outcome(None)).await,
                Some(Known::Failed(reason)) => {
                    let failed = Some(Err(reason.clone()));
                    self.done(model, picture.outcome(failed)).await
                }
                Some(Known::Asked(pictures)) => {
                    pictures.push(picture);
                    Ok(())
                }
                None => {
                    known.insert(picture.hash, Known::Asked(Vec::new()));
                    let embedder = self.embedder.clone();
                    requests.spawn(async move {
                        let (embedding, fatal) = patiently(|| embedder.photo(bytes.clone())).await;
                        (picture.outcome(Some(embedding)), fatal)
                    });
                    Ok(())
                }
            },
        }
    }

    /// What is known of a picture's content; asked of the database when it comes for the first time.
    async fn known<'k>(
        &self,
        model: i64,
        hash: &Hash,
        known: &'k mut HashMap<Hash, Known>,
    ) -> Result<Option<&'k mut Known>, CatalogError> {
        if !known.contains_key(hash) {
            // An import asks once more for the contents that could not be embedded.
            let again = self.import.is_some();
            match self.writer.seen(model, "photo", hash).await? {
                None => {}
                Some(None) => {
                    known.insert(*hash, Known::Embedded);
                }
                Some(Some(_)) if again => {}
                Some(Some(reason)) => {
                    known.insert(*hash, Known::Failed(reason));
                }
            }
        }
        Ok(known.get_mut(hash))
    }

    /// Takes the answer to a picture, which is the answer to all that have the same content.
    async fn take_photo(
        &mut self,
        model: i64,
        answer: Option<Answer>,
        known: &mut HashMap<Hash, Known>,
    ) -> Result<(), IngestError> {
        let Some(outcome) = self.answered(model, answer).await? else {
            return Ok(());
        };
        let Outcome::Photo {
            hash,
            embedding: Some(embedding),
            ..
        } = &outcome
        else {
            return self.done(model, outcome).await;
        };
        let (hash, failed) = (*hash, embedding.as_ref().err().cloned());
        self.done(model, outcome).await?;
        let now = failed.clone().map_or(Known::Embedded, Known::Failed);
        if let Some(Known::Asked(pictures)) = known.insert(hash, now) {
            for picture in pictures {
                self.done(model, picture.outcome(failed.clone().map(Err)))
                    .await?;
            }
        }
        Ok(())
    }

    /// Takes the answer to a caption.
    async fn take_words(
        &mut self,
        model: i64,
        answer: Option<Answer>,
        asked: &HashMap<Hash, ProductKey>,
    ) -> Result<(), IngestError> {
        let Some(outcome) = self.answered(model, answer).await? else {
            return Ok(());
        };
        if let Outcome::Words {
            hash,
            embedding: Err(reason),
        } = &outcome
            && let Some(key) = asked.get(hash)
        {
            self.reject(
                *key,
                Lost::Attribute,
                format!("its words cannot be embedded: {reason}"),
            )
            .await?;
        }
        self.done(model, outcome).await
    }

    /// What a request came to. When the model is gone, what it answered before is written first.
    async fn answered(
        &mut self,
        model: i64,
        answer: Option<Answer>,
    ) -> Result<Option<Outcome>, IngestError> {
        let Some(answer) = answer else {
            return Ok(None);
        };
        let (outcome, fatal) =
            answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        if let Some(error) = fatal {
            self.write(model).await?;
            return Err(IngestError::Encode(error));
        }
        Ok(Some(outcome))
    }

    async fn done(&mut self, model: i64, outcome: Outcome) -> Result<(), IngestError> {
        match &outcome {
            Outcome::Photo {
                key,
                embedding: Some(Err(reason)),
                ..
            }
            | Outcome::Unreadable { key, reason } => {
                self.reject(*key, Lost::Photo, reason.clone()).await?;
            }
            _ => {}
        }
        self.outcomes.push(outcome);
        if self.outcomes.len() >= BATCH || self.written.elapsed() >= PATIENCE {
            self.write(model).await?;
        }
        Ok(())
    }

    async fn reject(
        &mut self,
        key: ProductKey,
        lost: Lost,
        reason: String,
    ) -> Result<(), CatalogError> {
        let found = self.writer.catalog().products(&[key]).await?;
        let id = found.first().map(|p| p.product.id.to_string());
        let Some((lines, rejects)) = &mut self.import else {
            tracing::warn!(id, reason, "a product cannot be embedded");
            return Ok(());
        };
        rejects.add(&Reject {
            line: lines.get(&key).copied().unwrap_or_default(),
            id,
            lost,
            reason,
        })
    }

    /// Writes what is waiting, and only then counts it.
    async fn write(&mut self, model: i64) -> Result<(), IngestError> {
        self.written = Instant::now();
        if self.outcomes.is_empty() {
            return Ok(());
        }
        self.writer.store(model, &self.outcomes).await?;
        for outcome in std::mem::take(&mut self.outcomes) {
            self.count(&outcome);
        }
        Ok(())
    }

    fn count(&mut self, outcome: &Outcome) {
        let Self {
            summary, progress, ..
        } = self;
        let good = match outcome {
            Outcome::Words { embedding, .. } => embedding.is_ok(),
            Outcome::Photo { embedding, .. } => !matches!(embedding, Some(Err(_))),
            Outcome::Unreadable { .. } => false,
        };
        if !good {
            summary.failed += 1;
            progress.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Outcome::Photo {
            news, embedding, ..
        } = outcome
        {
            summary.photos += u64::from(*news);
            summary.contents += u64::from(embedding.is_some());
            progress.photos_done.fetch_add(1, Ordering::Relaxed);
        } else {
            summary.words += 1;
            progress.words_done.fetch_add(1, Ordering::Relaxed);
        }
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
