//! Gathers requests into batches: a bounded queue, some worker threads, and what happens when
//! things go wrong.
//!
//! Knows nothing of models: a job has a length, a worker turns jobs into as many results. The
//! rules:
//!
//! - every request is answered exactly once: with its result, or with a [`BatchError`] that says
//!   why not;
//! - searches go first; catalog work gets every batch that no search wants, [`Priority::New`] before
//!   [`Priority::Bulk`], and one job after [`SEARCHES_PER_BULK`] batches of searches in a row, so that it neither
//!   starves nor is starved;
//! - a search that would be one too many, or that would not be answered in its time by what jobs
//!   took so far, is refused at once; catalog work waits for room;
//! - requests whose caller has gone, or whose time is over, are skipped before they cost anything;
//! - a batch holds requests of similar length, led by the oldest;
//! - a panic of the worker is the error of its batch and of no other;
//! - a trace shows for each request its `wait` and its work: every request of a batch has a span of its
//!   own for that, as long as the batch; spans that the worker makes belong to the oldest request;
//! - when the batcher is closed or dropped, what was accepted is still worked off, then the threads
//!   end; closing and dropping wait for that.
//!
//! `meters` reports how many wait and what batches take.

mod meters;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Span;

use meters::Meters;

use crate::util::process::give_way;
use crate::util::signed::signed;

/// Searches go before the embedding of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    Search,
    /// What the shop has just changed.
    New,
    /// All else of the catalog.
    Bulk,
}

/// Batches of searches in a row after which waiting catalog work gets one job in.
pub const SEARCHES_PER_BULK: u32 = 8;
/// A batch of catalog work takes about this long at most: the longest that a search waits for it.
const BULK_BUDGET: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    /// Names the threads and the metrics.
    pub name: &'static str,
    /// Searches that may wait; and as much catalog work.
    pub queue: usize,
    pub max_batch: usize,
    /// How long an idle worker waits for the oldest request to get company. Zero: it takes what is
    /// there.
    pub max_wait: Duration,
    /// Whether its threads let all others go first.
    pub background: bool,
    /// Makes the span of a request's work, in a batch of so many.
    pub span: fn(&'static str, i64) -> Span,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("more requests are waiting than can be answered in time")]
    Overloaded,
    #[error("the request's time was over before its turn came")]
    Expired,
    #[error("the batcher is closed")]
    Closed,
    #[error("the batch failed: {0}")]
    Failed(Arc<str>),
}

/// Turns jobs into as many results, in the same order; an error is every job's.
pub type Worker<J, R> = Box<dyn FnMut(Vec<J>) -> Result<Vec<R>, String> + Send>;

/// How much is waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Queued {
    pub search: usize,
    pub bulk: usize,
}

struct Request<J, R> {
    job: J,
    length: usize,
    queued: Instant,
    deadline: Option<Instant>,
    reply: oneshot::Sender<Result<R, BatchError>>,
    priority: Priority,
    /// The caller's span.
    caller: Span,
    /// While it is held, the request waits.
    wait: Span,
    /// Its room in the queue, for catalog work.
    _room: Option<OwnedSemaphorePermit>,
}

struct State<J, R> {
    search: VecDeque<Request<J, R>>,
    /// What is new before all else.
    bulk: VecDeque<Request<J, R>>,
    searches_in_a_row: u32,
    /// Running mean of what one job takes, in seconds; zero before the first.
    seconds_per_job: f64,
    closed: bool,
}

struct Shared<J, R> {
    options: BatchOptions,
    state: Mutex<State<J, R>>,
    changed: Condvar,
    bulk_room: Arc<Semaphore>,
    workers: usize,
    /// Batches that were answered with results.
    batches: AtomicU64,
    meters: Meters,
}

/// Closes when dropped; see the module's rules.
pub struct Batcher<J, R> {
    shared: Arc<Shared<J, R>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<J: Send + 'static, R: Send + 'static> Batcher<J, R> {
    /// Starts one thread for each worker.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(options: BatchOptions, workers: Vec<Worker<J, R>>) -> std::io::Result<Self> {
        let options = BatchOptions {
            max_batch: options.max_batch.max(1),
            ..options
        };
        let state = State {
            search: VecDeque::new(),
            bulk: VecDeque::new(),
            searches_in_a_row: 0,
            seconds_per_job: 0.0,
            closed: false,
        };
        let shared = Arc::new(Shared {
            options,
            state: Mutex::new(state),
            changed: Condvar::new(),
            bulk_room: Arc::new(Semaphore::new(options.queue.max(1))),
            workers: workers.len().max(1),
            batches: AtomicU64::new(0),
            meters: Meters::new(options.name),
        });
        // Made before the threads: should one not start, dropping it ends the others.
        let batcher = Self {
            shared,
            threads: Mutex::default(),
        };
        for (number, worker) in workers.into_iter().enumerate() {
            let shared = Arc::clone(&batcher.shared);
            let name = format!("{}-{number}", options.name);
            let thread = std::thread::Builder::new().name(name).spawn(move || {
                if shared.options.background {
                    give_way();
                }
                shared.work(worker);
            })?;
            batcher
                .threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(thread);
        }
        Ok(batcher)
    }

    /// Queues a job and waits for its result.
    ///
    /// # Errors
    /// [`BatchError`]; [`BatchError::Overloaded`] only for searches.
    pub async fn submit(
        &self,
        job: J,
        length: usize,
        priority: Priority,
        deadline: Option<Instant>,
    ) -> Result<R, BatchError> {
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(BatchError::Expired);
        }
        let answer = async {
            let room = match priority {
                Priority::Search => None,
                Priority::New | Priority::Bulk => {
                    let room = Arc::clone(&self.shared.bulk_room).acquire_owned().await;
                    Some(room.map_err(|_| BatchError::Closed)?)
                }
            };
            let (reply, answer) = oneshot::channel();
            let queue = self.shared.options.name;
            let request = Request {
                job,
                length,
                queued: Instant::now(),
                deadline,
                reply,
                priority,
                caller: Span::current(),
                wait: tracing::debug_span!("wait", queue),
                _room: room,
            };
            self.shared.push(request)?;
            // The other end is dropped unanswered only with a worker that died outside of its work.
            answer.await.unwrap_or(Err(BatchError::Closed))
        };
        match deadline {
            None => answer.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), answer)
                .await
                .unwrap_or(Err(BatchError::Expired)),
        }
    }

    /// How long a search that came now would wait for those before it, by what jobs took so far;
    /// `more`: jobs that will be queued before it. Zero when none is, so that one slow job does not
    /// keep out all that come after it for ever.
    #[must_use]
    pub fn expected(&self, more: usize) -> Duration {
        self.shared.expected(&self.shared.lock(), more)
    }

    /// How many batches were answered with results so far.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.shared.batches.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn queued(&self) -> Queued {
        let state = self.shared.lock();
        Queued {
            search: state.search.len(),
            bulk: state.bulk.len(),
        }
    }
}

impl<J, R> Batcher<J, R> {
    /// Accepts nothing more and waits until what was accepted is answered and the threads have
    /// ended: blocks.
    pub fn finish(&self) {
        self.shared.close();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // The last handle may be dropped by a worker's own job.
            if thread.thread().id() != std::thread::current().id() {
                // A worker's panic was contained and logged where it happened.
                let _ = thread.join();
            }
        }
    }
}

/// Waits for the threads, as [`Batcher::finish`] does: nobody waits for an answer any more, so that
/// takes a batch at most. Were they left behind at the end of `main`, they would put down their
/// sessions while CUDA's own libraries are unloaded, which ends the process with a segmentation
/// fault after all of its work (seen with ONNX Runtime 1.31.1).
impl<J, R> Drop for Batcher<J, R> {
    fn drop(&mut self) {
        self.finish();
    }
}

impl<J, R> Shared<J, R> {
    /// No code that can panic runs under this lock; should it, the queues are still whole.
    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.bulk_room.close();
        self.changed.notify_all();
    }

    fn expected(&self, state: &State<J, R>, more: usize) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "queues are short")]
        let rounds = (state.search.len() + more) as f64 / self.workers as f64;
        Duration::from_secs_f64(rounds * state.seconds_per_job)
    }

    fn push(&self, request: Request<J, R>) -> Result<(), BatchError> {
        let mut state = self.lock();
        if state.closed {
            return Err(BatchError::Closed);
        }
        match request.priority {
            Priority::Search => {
                if state.search.len() >= self.options.queue {
                    state.skip_dead(&self.meters);
                }
                let late = request.deadline.is_some_and(|deadline| {
                    let left = deadline.saturating_duration_since(request.queued);
                    self.expected(&state, 0) > left
                });
                if late || state.search.len() >= self.options.queue {
                    self.meters.refused();
                    return Err(BatchError::Overloaded);
                }
                state.search.push_back(request);
            }
            // Its permit is the bound.
            Priority::New => {
                let is_new = |request: &Request<J, R>| request.priority == Priority::New;
                let place = state.bulk.partition_point(is_new);
                state.bulk.insert(place, request);
            }
            Priority::Bulk => state.bulk.push_back(request),
        }
        self.meters.queued(state.search.len(), state.bulk.len());
        drop(state);
        if self.options.max_wait.is_zero() {
            self.changed.notify_one();
        } else {
            // All, since the one that is woken may be waiting for company of another length.
            self.changed.notify_all();
        }
        Ok(())
    }

    /// The next batch; nothing when closed and worked off. Blocks.
    fn take(&self) -> Option<Vec<Request<J, R>>> {
        let mut state = self.lock();
        loop {
            state.skip_dead(&self.meters);
            let Some((priority, limit)) = state.choose(self.options.max_batch) else {
                if state.closed {
                    return None;
                }
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let members = members(state.queue(priority), limit);
            let due = state
                .queue(priority)
                .front()
                .map(|leader| leader.queued + self.options.max_wait);
            let patience = due.map_or(Duration::ZERO, |due| {
                due.saturating_duration_since(Instant::now())
            });
            if members.len() < limit && !state.closed && !patience.is_zero() {
                state = self
                    .changed
                    .wait_timeout(state, patience)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                continue;
            }
            let batch = state.remove(priority, &members);
            self.meters.queued(state.search.len(), state.bulk.len());
            return Some(batch);
        }
    }

    fn span(&self, size: usize) -> Span {
        (self.options.span)(self.options.name, signed(size))
    }

    fn work(&self, mut worker: Worker<J, R>) {
        while let Some(batch) = self.take() {
            let started = Instant::now();
            let size = batch.len();
            let mut jobs = Vec::with_capacity(size);
            let mut replies = Vec::with_capacity(size);
            let mut spans = Vec::with_capacity(size);
            for request in batch {
                let is_search = request.priority == Priority::Search;
                self.meters.waited(is_search, started - request.queued);
                drop(request.wait);
                spans.push(request.caller.in_scope(|| self.span(size)));
                jobs.push(request.job);
                replies.push(request.reply);
            }
            let results = match catch_unwind(AssertUnwindSafe(|| {
                let oldest = spans.first().cloned().unwrap_or_else(Span::none);
                oldest.in_scope(|| worker(jobs))
            })) {
                Ok(Ok(results)) if results.len() == size => Ok(results),
                Ok(Ok(results)) => Err(format!("{} results for {size} jobs", results.len())),
                Ok(Err(reason)) => Err(reason),
                Err(panic) => Err(format!("the worker panicked: {}", message(&*panic))),
            };
            let took = started.elapsed();
            drop(spans);
            self.meters.ran(size, took);
            self.lock().learn(took, size);
            match results {
                Ok(results) => {
                    self.batches.fetch_add(1, Ordering::Relaxed);
                    for (reply, result) in replies.into_iter().zip(results) {
                        // An answer that nobody waits for any more is dropped.
                        drop(reply.send(Ok(result)));
                    }
                }
                Err(reason) => {
                    tracing::error!(batcher = self.options.name, size, reason, "a batch failed");
                    let reason: Arc<str> = reason.into();
                    for reply in replies {
                        drop(reply.send(Err(BatchError::Failed(reason.clone()))));
                    }
                }
            }
        }
    }
}

impl<J, R> State<J, R> {
    fn queue(&mut self, priority: Priority) -> &mut VecDeque<Request<J, R>> {
        match priority {
            Priority::Search => &mut self.search,
            Priority::New | Priority::Bulk => &mut self.bulk,
        }
    }

    /// Takes out what nobody waits for and what is too late; the latter is told so.
    fn skip_dead(&mut self, meters: &Meters) {
        let now = Instant::now();
        let dead = |request: &Request<J, R>| {
            request.reply.is_closed() || request.deadline.is_some_and(|at| at <= now)
        };
        for queue in [&mut self.search, &mut self.bulk] {
            if !queue.iter().any(dead) {
                continue;
            }
            let (gone, alive): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(queue).into_iter().partition(dead);
            *queue = alive;
            for request in gone {
                meters.skipped();
                drop(request.reply.send(Err(BatchError::Expired)));
            }
        }
    }

    /// Whose turn it is, and how many may go together.
    fn choose(&self, max_batch: usize) -> Option<(Priority, usize)> {
        match (self.search.is_empty(), self.bulk.is_empty()) {
            (true, true) => None,
            (false, false) if self.searches_in_a_row >= SEARCHES_PER_BULK => {
                Some((Priority::Bulk, 1))
            }
            (false, _) => Some((Priority::Search, max_batch)),
            (true, false) => Some((Priority::Bulk, self.bulk_limit(max_batch))),
        }
    }

    fn bulk_limit(&self, max_batch: usize) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and is bounded next"
        )]
        let affordable = (BULK_BUDGET.as_secs_f64() / self.seconds_per_job.max(1e-9)) as usize;
        affordable.clamp(1, max_batch)
    }

    fn learn(&mut self, took: Duration, size: usize) {
        #[expect(clippy::cast_precision_loss, reason = "batches are small")]
        let seconds = took.as_secs_f64() / size as f64;
        self.seconds_per_job = if self.seconds_per_job == 0.0 {
            seconds
        } else {
            0.7 * self.seconds_per_job + 0.3 * seconds
        };
    }

    /// Takes the requests at `members` (ascending) out of the queue.
    fn remove(&mut self, priority: Priority, members: &[usize]) -> Vec<Request<J, R>> {
        self.searches_in_a_row = match priority {
            Priority::Search if !self.bulk.is_empty() => self.searches_in_a_row.saturating_add(1),
            _ => 0,
        };
        let queue = self.queue(priority);
        if members.len() == queue.len() {
            return std::mem::take(queue).into();
        }
        let mut batch = Vec::with_capacity(members.len());
        let mut rest = VecDeque::with_capacity(queue.len());
        let mut next = members.iter().peekable();
        for (position, request) in std::mem::take(queue).into_iter().enumerate() {
            if next.next_if(|&&member| member == position).is_some() {
                batch.push(request);
            } else {
                rest.push_back(request);
            }
        }
        *queue = rest;
        batch
    }
}

/// The oldest request and up to `limit - 1` younger ones that are about as long: the shortest is
/// filled up to the longest, which should cost little.
fn members<J, R>(queue: &VecDeque<Request<J, R>>, limit: usize) -> Vec<usize> {
    let Some(leader) = queue.front() else {
        return Vec::new();
    };
    let (mut shortest, mut longest) = (leader.length, leader.length);
    let mut members = Vec::new();
    for (position, request) in queue.iter().enumerate() {
        let (low, high) = (shortest.min(request.length), longest.max(request.length));
        if high - low <= 4 || high * 4 <= low * 5 {
            (shortest, longest) = (low, high);
            members.push(position);
            if members.len() == limit {
                break;
            }
        }
    }
    members
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests;
