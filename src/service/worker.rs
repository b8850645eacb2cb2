//! The threads that search: one hand-over for the keys of the ids, the filter, the index, the
//! ranking and the rows of the hits.
//!
//! A job whose caller has gone, or whose time is over, is skipped before it costs anything
//! ([`batcher`](crate::util::batcher)); one that has begun is finished.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::error::ServiceError;
use super::generation::Generation;
use super::page::Hit;
use crate::catalog::{Catalog, StoredProduct};
use crate::domain::{AttributeName, Embedding, Filters, ProductId, ProductKey, Window};
use crate::util::batcher::Worker;

/// What a worker does.
pub(super) struct Job {
    pub generation: Arc<Generation>,
    pub target: Target,
    pub filters: Filters,
    pub exclude: Vec<ProductId>,
    pub window: Window,
}

/// What the products are compared with.
pub(super) enum Target {
    Words(Embedding),
    /// The nearest products vote on what it is of: on their values of this attribute.
    Photo(Embedding, AttributeName),
    Like(ProductId),
}

/// What a worker found.
pub(super) struct Found {
    pub hits: Vec<Hit>,
    pub total: usize,
}

/// A thread that answers jobs one by one.
pub(super) fn worker(catalog: &Catalog) -> Worker<Job, Result<Found, ServiceError>> {
    let (catalog, runtime) = (catalog.clone(), Handle::current());
    Box::new(move |jobs| {
        let found = jobs.into_iter().map(|job| find(&catalog, &runtime, job));
        Ok(found.collect())
    })
}

fn find(catalog: &Catalog, runtime: &Handle, job: Job) -> Result<Found, ServiceError> {
    let Job {
        generation,
        target,
        filters,
        exclude,
        window,
    } = job;
    let index = &generation.index;
    let mut without = if exclude.is_empty() {
        Vec::new()
    } else {
        runtime.block_on(catalog.keys(&exclude))?
    };
    let found = match target {
        Target::Words(vector) => index.search(&vector, &filters, window, &without)?,
        Target::Photo(vector, category) => {
            index.search_photo(&vector, &filters, window, &without, &category)?
        }
        Target::Like(id) => {
            let (key, vector) = vector_of(catalog, runtime, &generation, &id)?;
            without.push(key);
            index.search(&vector, &filters, window, &without)?
        }
    };
    let keys: Vec<ProductKey> = found.hits.iter().map(|hit| hit.key).collect();
    let rows = runtime.block_on(catalog.products(&keys))?;
    let mut rows: HashMap<ProductKey, StoredProduct> =
        rows.into_iter().map(|row| (row.key, row)).collect();
    let hits = found.hits.iter().filter_map(|hit| {
        // A product removed since the index was built is left out.
        let product = rows.remove(&hit.key)?;
        Some(Hit {
            score: hit.score,
            product,
        })
    });
    Ok(Found {
        hits: hits.collect(),
        total: found.estimated_total,
    })
}

fn vector_of(
    catalog: &Catalog,
    runtime: &Handle,
    generation: &Generation,
    id: &ProductId,
) -> Result<(ProductKey, Embedding), ServiceError> {
    let keys = runtime.block_on(catalog.keys(std::slice::from_ref(id)))?;
    let Some(key) = keys.first() else {
        return Err(ServiceError::NoProduct { id: id.to_string() });
    };
    let vector = generation.index.embedding(*key);
    let vector = vector.ok_or_else(|| ServiceError::NotEmbedded { id: id.to_string() })?;
    Ok((*key, vector))
}
