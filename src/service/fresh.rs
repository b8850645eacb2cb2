//! How long a write takes from its acknowledgment until it can be found: a metric.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Writes that are waited for at a time; of more, the others are not measured.
const MOST: usize = 10_000;

/// The writes that the index does not hold yet: their revision, in order, and when they were
/// acknowledged.
pub(super) struct Freshness {
    waiting: Mutex<VecDeque<(u64, Instant)>>,
    seconds: metrics::Histogram,
}

impl Default for Freshness {
    fn default() -> Self {
        metrics::describe_histogram!(
            "aglet_searchable_seconds",
            metrics::Unit::Seconds,
            "From the acknowledgment of a write until searches find it"
        );
        Self {
            waiting: Mutex::default(),
            seconds: metrics::histogram!("aglet_searchable_seconds"),
        }
    }
}

impl Freshness {
    /// A write made this revision.
    pub(super) fn written(&self, revision: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST {
            waiting.push_back((revision, Instant::now()));
        }
    }

    /// The index holds all up to this revision.
    pub(super) fn searchable(&self, revision: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(written, at)| {
            let waits = *written > revision;
            if !waits {
                self.seconds.record(at.elapsed());
            }
            waits
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_waits_until_its_revision_is_there() {
        let fresh = Freshness::default();
        for revision in [5, 7, 6] {
            fresh.written(revision);
        }
        let waiting = || -> Vec<u64> {
            let waiting = fresh.waiting.lock().expect("no panic");
            waiting.iter().map(|(revision, _)| *revision).collect()
        };
        fresh.searchable(4);
        assert_eq!(waiting(), [5, 7, 6]);
        fresh.searchable(6);
        assert_eq!(waiting(), [7]);
        fresh.searchable(9);
        assert!(waiting().is_empty());
    }
}
