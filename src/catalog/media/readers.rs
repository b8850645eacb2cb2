//! The threads that read pictures.
//!
//! Storage can hang: a network mount that is gone, a file on a sleeping disk. A read that hangs
//! keeps its thread for as long as the system does, so pictures have threads of their own: no
//! search, no import and no end of the process waits for one. Whoever asks has a time-out; a thread
//! that did not come back in that time is given up and another one started in its place, up to
//! [`GIVEN_UP`] of them. Then pictures are refused at once, until one comes back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::catalog::error::CatalogError;

/// Threads that read at a time.
const THREADS: usize = 16;
/// Reads that wait for a thread; one more is refused.
const WAITING: usize = 512;
/// Threads that may hang beside those that work.
const GIVEN_UP: usize = 56;
/// A thread that has had nothing to do for so long ends.
const IDLE: Duration = Duration::from_mins(1);

/// For a client that waits.
pub(in crate::catalog) const SHORT: Duration = Duration::from_secs(5);
/// For an import.
pub(in crate::catalog) const LONG: Duration = Duration::from_secs(30);

/// A clonable handle; clones share the threads.
#[derive(Clone)]
pub(in crate::catalog) struct Readers(Arc<Shared>);

/// How many threads there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads {
    /// That read at a time.
    pub working: usize,
    /// Reads that wait for one; one more is refused.
    pub waiting: usize,
    /// That may hang beside those that work.
    pub given_up: usize,
}

struct Shared {
    threads: Threads,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Read>,
    /// Threads that are neither given up nor ended.
    threads: usize,
    idle: usize,
    given_up: usize,
}

struct Read {
    work: Box<dyn FnOnce() + Send>,
    stage: Arc<AtomicU8>,
}

const WAITS: u8 = 0;
const RUNS: u8 = 1;
const ENDED: u8 = 2;
/// Whoever asked has gone: it is not begun, or its thread is given up.
const LEFT: u8 = 3;

impl Default for Readers {
    /// For files and archives.
    fn default() -> Self {
        Self::with(Threads {
            working: THREADS,
            waiting: WAITING,
            given_up: GIVEN_UP,
        })
    }
}

impl Readers {
    pub(super) fn with(threads: Threads) -> Self {
        Self(Arc::new(Shared {
            threads,
            state: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Runs `work` on one of the threads, `what` being read.
    ///
    /// # Errors
    /// [`CatalogError::PicturesBusy`] when too many reads wait or hang,
    /// [`CatalogError::PictureHangs`] when it takes longer than `time`.
    pub(in crate::catalog) async fn run<T: Send + 'static>(
        &self,
        what: &str,
        time: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CatalogError> {
        let (reply, answer) = oneshot::channel();
        let stage = Arc::new(AtomicU8::new(WAITS));
        let work = Box::new(move || drop(reply.send(work())));
        self.push(Read {
            work,
            stage: Arc::clone(&stage),
        })?;
        // Also when this future is dropped, as it is when a client leaves.
        let mut waiting = Waiting {
            shared: &self.0,
            stage: Some(stage),
        };
        let hangs = || CatalogError::PictureHangs {
            what: what.to_owned(),
            seconds: time.as_secs(),
        };
        let answer = tokio::time::timeout(time, answer).await;
        let answer = answer.map_err(|_| hangs())?;
        waiting.stage = None;
        // Without an answer when the work panicked.
        answer.map_err(|_| hangs())
    }

    fn push(&self, read: Read) -> Result<(), CatalogError> {
        let mut state = self.0.lock();
        let most = self.0.threads;
        if state.queue.len() >= most.waiting
            || (state.threads == 0 && state.given_up >= most.given_up)
        {
            return Err(CatalogError::PicturesBusy);
        }
        state.queue.push_back(read);
        if state.idle < state.queue.len()
            && state.threads < most.working
            && state.given_up < most.given_up
        {
            let shared = Arc::clone(&self.0);
            let started = std::thread::Builder::new()
                .name("pictures".to_owned())
                .spawn(move || shared.work());
            if started.is_ok() {
                state.threads += 1;
            } else if state.threads == 0 {
                state.queue.pop_back();
                return Err(CatalogError::PicturesBusy);
            }
        }
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }
}

/// A caller that waits. When it leaves before the answer, a read that has not begun is not begun,
/// and the thread of one that has is given up.
struct Waiting<'a> {
    shared: &'a Shared,
    stage: Option<Arc<AtomicU8>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(of_read) = &self.stage else { return };
        let mut state = self.shared.lock();
        if of_read.swap(LEFT, Ordering::AcqRel) == RUNS {
            state.threads -= 1;
            state.given_up += 1;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            let Some(read) = state.queue.pop_front() else {
                state.idle += 1;
                let (woken, time) = self
                    .changed
                    .wait_timeout(state, IDLE)
                    .unwrap_or_else(PoisonError::into_inner);
                state = woken;
                state.idle -= 1;
                if time.timed_out() && state.queue.is_empty() {
                    state.threads -= 1;
                    return;
                }
                continue;
            };
            let Read { work, stage } = read;
            let begun = stage.compare_exchange(WAITS, RUNS, Ordering::AcqRel, Ordering::Acquire);
            if begun.is_err() {
                continue;
            }
            drop(state);
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
            if panicked {
                tracing::error!("reading a picture panicked");
            }
            state = self.lock();
            // Under the lock, as the other side's.
            if stage.swap(ENDED, Ordering::AcqRel) == LEFT {
                // Given up meanwhile; another thread may have taken its place.
                state.given_up -= 1;
                if state.threads >= self.threads.working {
                    return;
                }
                state.threads += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_read_that_hangs_costs_its_caller_the_time_and_nobody_else_anything() {
        let readers = Readers::default();
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        for _ in 0..2 * THREADS {
            let held = Arc::clone(&held);
            let hung = readers.run("a", SOON, move || {
                held.lock().expect("no panic").recv().expect("released");
            });
            assert!(matches!(hung.await, Err(CatalogError::PictureHangs { .. })));
        }
        assert_eq!(readers.run("b", LONG, || 7).await.expect("answers"), 7);
        assert_eq!(readers.0.lock().given_up, 2 * THREADS);
        for _ in 0..2 * THREADS {
            release.send(()).expect("held");
        }
        while readers.0.lock().given_up > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(readers.0.lock().threads <= THREADS);
        assert_eq!(readers.run("c", LONG, || 8).await.expect("answers"), 8);
    }

    #[tokio::test]
    async fn when_everything_hangs_more_is_refused_at_once() {
        let readers = Readers::default();
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let mut refused = false;
        for _ in 0..2 * (GIVEN_UP + THREADS) {
            let held = Arc::clone(&held);
            let hung = readers.run("a", Duration::from_millis(2), move || {
                let _ = held.lock().expect("no panic").recv();
            });
            refused |= matches!(hung.await, Err(CatalogError::PicturesBusy));
        }
        assert!(refused);
        drop(release);
        while readers.0.lock().given_up > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(readers.run("b", LONG, || 1).await.expect("answers"), 1);
    }

    #[tokio::test]
    async fn a_panic_costs_its_caller_alone() {
        let readers = Readers::default();
        assert!(readers.run("a", LONG, || panic!("broken")).await.is_err());
        assert_eq!(readers.run("b", LONG, || 1).await.expect("answers"), 1);
    }
}
