//! What was last seen of the model and the catalog.
//!
//! A report never waits for a look: it answers what was seen last, and where that is old, a look
//! begins beside it. So a report comes at once however busy the service is, and probes in a storm
//! share one look.
//!
//! A model that is busy is not broken: the look's own embedding waits in the queue behind the
//! searches, and while batches come out of it, what was seen before stands. Only a model that gives
//! an error, or gives nothing at all for [`PATIENCE`] while something waits, is broken.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::catalog::{Catalog, CatalogError, Counts, Waiting};
use crate::encode::{EncodeError, Encoder};
use crate::util::blocking::blocking;

/// How old a look may be before the next begins.
const FRESH: Duration = Duration::from_secs(2);
/// A model or a database that gives nothing for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(10);
const UNREADABLE: &str = "the catalog cannot be read";

/// What was seen last.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Milliseconds that a real embedding took (`None`: none was made yet), or why the model makes
    /// none.
    pub embedding: Option<Result<Option<f64>, String>>,
    /// Why the catalog cannot be read, when it cannot.
    pub catalog: Option<String>,
    /// Whether that is because its server is away, or busy, which may pass.
    pub away: bool,
    /// How far the catalog is embedded, as it was last counted.
    pub counts: Option<Counts>,
    /// How much waits to be embedded, as it was last counted.
    pub queue: Option<Waiting>,
}

/// A keeper of [`Seen`].
#[derive(Default)]
pub struct Health {
    state: Mutex<State>,
    /// When the queue was last counted; locked by whoever counts it.
    queue: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct State {
    seen: Seen,
    looked: Option<Instant>,
    looking: bool,
}

/// The right to look; given back when dropped.
struct Looking<'a>(&'a Health);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.lock().looking = false;
    }
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen last, and whether another look is due.
    pub fn seen(&self) -> (Seen, bool) {
        let state = self.lock();
        let old = state.looked.is_none_or(|at| at.elapsed() > FRESH);
        (state.seen.clone(), old && !state.looking)
    }

    /// Notes how far the catalog is, or why that cannot be read.
    pub fn counted(&self, counts: Result<Counts, &CatalogError>) {
        let mut state = self.lock();
        match counts {
            Ok(counts) => state.seen.counts = Some(counts),
            Err(error) => {
                tracing::error!(%error, "how far the catalog is could not be read");
                state.seen.catalog = Some(UNREADABLE.to_owned());
                state.seen.away = error.may_pass();
            }
        }
    }

    /// Counts what waits to be embedded, unless somebody does or has just done so. A count that cannot
    /// be made leaves the one before.
    pub async fn count_queue(&self, encoder: &Encoder, catalog: &Catalog) {
        let Ok(mut counted) = self.queue.try_lock() else {
            return;
        };
        if counted.is_some_and(|at| at.elapsed() <= FRESH) {
            return;
        }
        match tokio::time::timeout(PATIENCE, catalog.waiting(encoder.model_id())).await {
            Ok(Ok(waiting)) => self.lock().seen.queue = Some(waiting),
            Ok(Err(error)) => {
                tracing::error!(%error, "what waits to be embedded cannot be read");
            }
            Err(_) => tracing::warn!("what waits to be embedded takes too long to count"),
        }
        *counted = Some(Instant::now());
    }

    /// Looks at the model and the catalog, unless somebody does.
    pub async fn look(&self, encoder: &Encoder, catalog: &Catalog) {
        {
            let mut state = self.lock();
            if state.looking {
                return;
            }
            state.looking = true;
        }
        let looking = Looking(self);
        let (embedding, catalog) = tokio::join!(probe(encoder), read(catalog));
        let mut state = self.lock();
        let before = state.seen.embedding.take();
        state.seen.embedding = Some(verdict(embedding, before));
        state.seen.away = catalog.as_ref().is_some_and(|unread| unread.may_pass);
        state.seen.catalog = catalog.map(|unread| unread.reason);
        state.looked = Some(Instant::now());
        drop(state);
        drop(looking);
    }
}

/// What became of a look's embedding.
#[derive(Debug)]
enum Probed {
    Took(Duration),
    Failed(EncodeError),
    /// None was made, but others were.
    Busy,
    /// None was made, nor any other.
    Nothing,
}

async fn probe(encoder: &Encoder) -> Probed {
    let (started, before) = (Instant::now(), encoder.batches());
    match tokio::time::timeout(PATIENCE, encoder.probe()).await {
        Ok(Ok(())) => Probed::Took(started.elapsed()),
        Ok(Err(EncodeError::Overloaded)) => Probed::Busy,
        Ok(Err(error)) => Probed::Failed(error),
        Err(_) if encoder.batches() > before => Probed::Busy,
        Err(_) => Probed::Nothing,
    }
}

fn verdict(
    probed: Probed,
    before: Option<Result<Option<f64>, String>>,
) -> Result<Option<f64>, String> {
    match probed {
        Probed::Took(time) => Ok(Some((time.as_secs_f64() * 1e6).round() / 1e3)),
        Probed::Busy => before.unwrap_or(Ok(None)),
        Probed::Failed(error) => {
            tracing::error!(%error, "the embedding of a readiness probe failed");
            Err("the model cannot embed".to_owned())
        }
        Probed::Nothing => Err(format!(
            "the model has embedded nothing for {} s",
            PATIENCE.as_secs()
        )),
    }
}

/// Why the catalog cannot be read.
struct Unread {
    reason: String,
    may_pass: bool,
}

async fn read(catalog: &Catalog) -> Option<Unread> {
    let looked = async {
        catalog.revision().await?;
        let opened = catalog.clone();
        blocking(move || opened.in_place()).await?
    };
    let (reason, may_pass) = match tokio::time::timeout(PATIENCE, looked).await {
        Ok(Ok(true)) => return None,
        Ok(Ok(false)) => {
            let reason = "the data folder was removed or replaced: restart the service";
            tracing::error!(data = %catalog.data().display(), "{reason}");
            (reason.to_owned(), false)
        }
        Ok(Err(error @ CatalogError::Away { .. })) => {
            tracing::error!(%error, "the catalog cannot be read");
            ("the server of the catalog is away".to_owned(), true)
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the catalog cannot be read");
            (UNREADABLE.to_owned(), error.may_pass())
        }
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            (
                format!("the catalog has not answered for {seconds} s"),
                true,
            )
        }
    };
    Some(Unread { reason, may_pass })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_model_is_taken_for_what_it_was_and_a_broken_one_is_not() {
        let good: Result<Option<f64>, String> = Ok(Some(1.5));
        let took = Probed::Took(Duration::from_micros(1_500));
        assert_eq!(verdict(took, None), good);
        assert_eq!(verdict(Probed::Busy, Some(good.clone())), good);
        assert_eq!(verdict(Probed::Busy, None), Ok(None));
        for broken in [
            Probed::Failed(EncodeError::WorkerGone),
            Probed::Failed(EncodeError::Failed("it is".into())),
            Probed::Nothing,
        ] {
            let bad = verdict(broken, Some(good.clone()));
            assert!(bad.is_err());
            assert_eq!(
                verdict(Probed::Busy, Some(bad.clone())),
                bad,
                "a queue that fills up behind it is no cure"
            );
        }
    }
}
