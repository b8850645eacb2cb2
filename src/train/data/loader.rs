//! Batches made on a thread of its own, ahead of the steps that use them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use super::batch::Batch;
use super::batch_source::BatchSource;

/// Batches that wait to be taken, at most; one more is under way.
const AHEAD: usize = 2;

/// Which batches hold whole images, and how many patches the others keep. That is a matter of the
/// batch's number and never of when it happens to be made, so that a run taken up again sees what
/// the unbroken one would have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptPatches {
    /// Patches kept of an image before the batch `full_from`,
    pub few: usize,
    /// and from it on.
    pub all: usize,
    pub full_from: u64,
}

/// Makes batches on a thread of its own, a few ahead.
pub struct Loader {
    batches: mpsc::Receiver<Batch>,
    full_from: Arc<AtomicU64>,
}

impl Loader {
    /// Starts the thread at the batch `first`.
    ///
    /// # Panics
    /// If the system refuses a thread.
    #[must_use]
    pub fn start(source: Arc<BatchSource>, first: u64, kept: KeptPatches) -> Self {
        let (send, batches) = mpsc::sync_channel(AHEAD);
        let full_from = Arc::new(AtomicU64::new(kept.full_from));
        let from = Arc::clone(&full_from);
        std::thread::Builder::new()
            .name("batches".into())
            .spawn(move || {
                for number in first.. {
                    let full = number >= from.load(Ordering::Acquire);
                    if send
                        .send(source.batch(number, if full { kept.all } else { kept.few }))
                        .is_err()
                    {
                        break;
                    }
                }
            })
            .expect("a thread for the batches");
        Self { batches, full_from }
    }

    /// Lets whole images begin as soon as possible: at the first batch that cannot have been begun
    /// while `next` is the one that is taken next. Returns its number, which decides from now on.
    pub fn fill(&self, next: u64) -> u64 {
        let soonest = next + AHEAD as u64 + 1;
        self.full_from
            .fetch_min(soonest, Ordering::Release)
            .min(soonest)
    }

    /// The next batch.
    ///
    /// # Panics
    /// If the thread panicked.
    #[must_use]
    pub fn next(&self) -> Batch {
        self.batches
            .recv()
            .expect("the batch thread runs as long as its loader")
    }
}
