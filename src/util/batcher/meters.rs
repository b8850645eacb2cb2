//! What a batcher reports of itself, through the `metrics` facade: handles made once, so that a
//! request pays for an atomic operation and not for a look-up by name.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};

/// One queue's metrics, labeled `tower`: `decode`, `text`, `image` or `search`.
pub struct Meters {
    batch_size: Histogram,
    queue_search: Histogram,
    queue_bulk: Histogram,
    run_seconds: Histogram,
    queued_search: Gauge,
    queued_bulk: Gauge,
    skipped: Counter,
    refused: Counter,
}

impl Meters {
    pub fn new(tower: &'static str) -> Self {
        metrics::describe_histogram!("aglet_encode_batch_size", "Requests that ran together");
        metrics::describe_histogram!(
            "aglet_encode_queue_seconds",
            Unit::Seconds,
            "From a request's arrival to the start of its batch"
        );
        metrics::describe_histogram!(
            "aglet_encode_run_seconds",
            Unit::Seconds,
            "What a batch took"
        );
        metrics::describe_gauge!("aglet_encode_queued", "Requests that wait");
        metrics::describe_counter!(
            "aglet_encode_skipped_total",
            "Requests whose caller had gone or time was over"
        );
        metrics::describe_counter!(
            "aglet_encode_refused_total",
            "Searches that found the queue full"
        );
        Self {
            batch_size: metrics::histogram!("aglet_encode_batch_size", "tower" => tower),
            queue_search: metrics::histogram!("aglet_encode_queue_seconds", "tower" => tower, "priority" => "search"),
            queue_bulk: metrics::histogram!("aglet_encode_queue_seconds", "tower" => tower, "priority" => "bulk"),
            run_seconds: metrics::histogram!("aglet_encode_run_seconds", "tower" => tower),
            queued_search: metrics::gauge!("aglet_encode_queued", "tower" => tower, "priority" => "search"),
            queued_bulk: metrics::gauge!("aglet_encode_queued", "tower" => tower, "priority" => "bulk"),
            skipped: metrics::counter!("aglet_encode_skipped_total", "tower" => tower),
            refused: metrics::counter!("aglet_encode_refused_total", "tower" => tower),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "queues are short")]
    pub fn queued(&self, search: usize, bulk: usize) {
        self.queued_search.set(search as f64);
        self.queued_bulk.set(bulk as f64);
    }

    /// `search`: it was no work for the catalog.
    pub fn waited(&self, search: bool, time: Duration) {
        let queue = if search {
            &self.queue_search
        } else {
            &self.queue_bulk
        };
        queue.record(time);
    }

    #[expect(clippy::cast_precision_loss, reason = "batches are small")]
    pub fn ran(&self, size: usize, time: Duration) {
        self.batch_size.record(size as f64);
        self.run_seconds.record(time);
    }

    pub fn skipped(&self) {
        self.skipped.increment(1);
    }

    pub fn refused(&self) {
        self.refused.increment(1);
    }
}
