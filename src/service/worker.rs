//! The threads that search: filter, index and ranking, which are CPU work alone. What has to be asked
//! of the store, before and after, is awaited by the caller: a store may be on another machine.
//!
//! A job whose caller has gone, or whose time is over, is skipped before it costs anything
//! ([`batcher`](crate::util::batcher)); one that has begun is finished.

use std::sync::Arc;

use super::error::ServiceError;
use super::generation::Generation;
use crate::domain::{AttributeName, Embedding, Filters, ProductKey, Window};
use crate::index::Hits;
use crate::util::batcher::Worker;

/// What a worker does.
pub(super) struct Job {
    pub generation: Arc<Generation>,
    pub target: Target,
    pub filters: Filters,
    pub exclude: Vec<ProductKey>,
    pub window: Window,
}

/// What the products are compared with.
pub(super) enum Target {
    Words(Embedding),
    /// The nearest products vote on what it is of: on their values of this attribute.
    Photo(Embedding, AttributeName),
}

/// A thread that answers jobs one by one.
pub(super) fn worker() -> Worker<Job, Result<Hits, ServiceError>> {
    Box::new(move |jobs| Ok(jobs.into_iter().map(|job| find(&job)).collect()))
}

fn find(job: &Job) -> Result<Hits, ServiceError> {
    let index = &job.generation.index;
    let found = match &job.target {
        Target::Words(vector) => index.search(vector, &job.filters, job.window, &job.exclude)?,
        Target::Photo(vector, category) => {
            index.search_photo(vector, &job.filters, job.window, &job.exclude, category)?
        }
    };
    Ok(found)
}
