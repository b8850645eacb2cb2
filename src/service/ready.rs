//! Whether searches are answered, and with what.
//!
//! Ready means: what the catalog has for the model is in the index, or was in an older index that
//! serves meanwhile ([`Generation::whole`](super::Generation)). Where other services share the
//! catalog, one that starts first takes over what changed since its snapshot. Of a server that is away
//! it is no less ready as long as it has all that searches show.
//!
//! A report reads what is kept in memory and waits for nothing but, briefly, for a look that has just
//! begun.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::api::Service;
use super::generation::ModelName;
use crate::catalog::{Counts, Waiting};
use crate::encode::EncoderStatus;
use crate::index::IndexVersion;

/// How long a report waits for a look that has just begun: an idle model is through by then.
const GLANCE: Duration = Duration::from_millis(250);
/// The same for the first look, before which nothing is known.
const FIRST: Duration = Duration::from_millis(900);

/// A report.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// Why searches are not answered; empty when they are.
    pub reasons: Vec<String>,
    /// What else does not work.
    pub warnings: Vec<String>,
    pub model: ModelName,
    pub encoder: EncoderStatus,
    /// Milliseconds that the last real embedding took.
    pub embedding_ms: Option<f64>,
    pub index: IndexVersion,
    /// Products in the index.
    pub products: usize,
    /// How far the catalog is embedded, as it was last counted.
    pub counts: Option<Counts>,
    /// How much waits to be embedded, as it was last counted.
    pub queue: Option<Waiting>,
}

impl Service {
    /// Whether searches are answered.
    pub async fn readiness(&self) -> Readiness {
        let generation = self.generation();
        let (mut seen, due) = self.inner.health.seen();
        if due {
            let (service, used) = (self.clone(), generation.clone());
            let look = tokio::spawn(async move {
                let inner = &service.inner;
                tokio::join!(
                    inner.health.look(&used.encoder, &inner.catalog),
                    inner.health.count_queue(&used.encoder, &inner.catalog),
                );
            });
            let patience = if seen.embedding.is_some() {
                GLANCE
            } else {
                FIRST
            };
            let _ = tokio::time::timeout(patience, look).await;
            (seen, _) = self.inner.health.seen();
        }
        let (mut reasons, mut warnings) = (Vec::new(), Vec::new());
        if self.stopping() {
            reasons.push("the service is stopping".to_owned());
        }
        if !generation.whole {
            reasons.push(match seen.counts {
                Some(counts) if counts.pending > 0 => {
                    format!("{} products wait to be embedded", counts.pending)
                }
                _ => "the catalog is not indexed yet".to_owned(),
            });
        }
        let inner = &self.inner;
        let shared = inner.catalog.is_shared();
        if shared && inner.options.refresh.is_some() && !inner.caught_up.load(Ordering::Acquire) {
            reasons.push("the index has not caught up with the catalog yet".to_owned());
        }
        match &seen.embedding {
            None => reasons.push("the model has embedded nothing yet".to_owned()),
            Some(Err(reason)) => reasons.push(reason.clone()),
            Some(Ok(_)) => {}
        }
        let from_memory = inner.rows.complete() && !generation.index.is_distant();
        match seen.catalog {
            Some(reason) if shared && seen.away && from_memory => warnings.push(format!(
                "{reason}: searches are answered from memory, writes are refused"
            )),
            unread => reasons.extend(unread),
        }
        let faults = inner
            .feed_faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let faults = faults
            .iter()
            .map(|(feed, why)| format!("the feed {feed} is not taken: {why}"));
        warnings.extend(faults.collect::<Vec<_>>());
        Readiness {
            reasons,
            warnings,
            model: generation.model(),
            encoder: generation.encoder.status(),
            embedding_ms: seen.embedding.and_then(Result::ok).flatten(),
            index: generation.version().clone(),
            products: generation.index.len(),
            counts: seen.counts,
            queue: seen.queue,
        }
    }

    /// How much waits to be embedded: counted anew where the last count is old, and as it was last
    /// counted where that takes longer than a moment.
    pub async fn queue(&self) -> Option<Waiting> {
        let (service, used) = (self.clone(), self.generation());
        let count = tokio::spawn(async move {
            let inner = &service.inner;
            let health = &inner.health;
            health.count_queue(&used.encoder, &inner.catalog).await;
        });
        let _ = tokio::time::timeout(GLANCE, count).await;
        self.inner.health.seen().0.queue
    }
}
