//! What the following of the catalog reports of itself, through the `metrics` facade.

use std::time::{Duration, SystemTime};

use metrics::{Counter, Histogram};

const CHECKED: &str = "aglet_index_checked_timestamp_seconds";
const SECONDS: &str = "aglet_index_work_seconds";
const FAILURES: &str = "aglet_index_failures_total";

/// Made once, so that all of them are there from the start.
pub(super) struct Meters {
    pub update: Histogram,
    pub build: Histogram,
    pub merge: Histogram,
    pub save: Histogram,
    pub follow_failed: Counter,
    pub save_failed: Counter,
    pub embed_failed: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        metrics::describe_gauge!(
            CHECKED,
            metrics::Unit::Seconds,
            "When the index was last seen to be what the catalog says, in Unix time"
        );
        metrics::describe_histogram!(
            SECONDS,
            metrics::Unit::Seconds,
            "Work on the index: to take over what changed (update), to build it anew (build), to \
             merge new vectors into the graph (merge), to write a snapshot (save)"
        );
        metrics::describe_counter!(
            FAILURES,
            "Failures to follow the catalog (follow), to write a snapshot (save), to embed (embed)"
        );
        let work = |name: &'static str| metrics::histogram!(SECONDS, "work" => name);
        let failed = |name: &'static str| metrics::counter!(FAILURES, "work" => name);
        Self {
            update: work("update"),
            build: work("build"),
            merge: work("merge"),
            save: work("save"),
            follow_failed: failed("follow"),
            save_failed: failed("save"),
            embed_failed: failed("embed"),
        }
    }
}

impl Meters {
    /// The index is what the catalog says, now. A gauge that is made only then: where nobody looks
    /// for changes, there is none to grow old.
    pub fn checked() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        metrics::gauge!(CHECKED).set(now.unwrap_or(Duration::ZERO).as_secs_f64());
    }
}
