//! `/livez`, `/readyz`, `/metrics`: for orchestrators and monitoring; never shed, never filtered.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::error::{ApiError, Problems};
use super::state::AppState;
use super::view::{ModelInfo, index_version};
use crate::catalog::Counts;
use crate::encode::{EncodeError, Provider};

/// How long the result of a probe is believed: a storm of probes costs one embedding in this time.
const BELIEVED: Duration = Duration::from_secs(2);
/// A model that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What readiness last saw.
#[derive(Default)]
pub struct Probe {
    last: Mutex<Option<(Instant, Seen)>>,
}

/// Milliseconds that a real embedding took (`None`: none was made yet), or why the model makes
/// none.
type Verdict = Result<Option<f64>, String>;

#[derive(Clone)]
struct Seen {
    embedding: Verdict,
    catalog: Result<Counts, String>,
}

impl Probe {
    /// Callers at the same time share one run.
    async fn run(&self, state: &AppState) -> Seen {
        let mut last = self.last.lock().await;
        if let Some((at, seen)) = last.as_ref()
            && at.elapsed() < BELIEVED
        {
            return seen.clone();
        }
        let before = last.as_ref().map(|(_, seen)| seen.embedding.clone());
        let seen = Seen {
            embedding: embed(state, before).await,
            catalog: count(state).await,
        };
        *last = Some((Instant::now(), seen.clone()));
        seen
    }
}

async fn embed(state: &AppState, before: Option<Verdict>) -> Verdict {
    let started = Instant::now();
    let probed = tokio::time::timeout(PATIENCE, state.encoder.probe()).await;
    verdict(
        probed.ok().map(|probed| probed.map(|()| started.elapsed())),
        before,
    )
}

/// What a probe (`None`: it took too long) says of the model, given what the one before it said.
///
/// A full queue says nothing: the model is busy, and taking the service out for that would send its
/// load to the others until they go the same way.
fn verdict(probed: Option<Result<Duration, EncodeError>>, before: Option<Verdict>) -> Verdict {
    match probed {
        Some(Ok(took)) => Ok(Some((took.as_secs_f64() * 1e6).round() / 1e3)),
        Some(Err(EncodeError::Overloaded)) => before.unwrap_or(Ok(None)),
        Some(Err(error)) => {
            tracing::error!(%error, "the readiness probe's embedding failed");
            Err("the model cannot embed".to_owned())
        }
        None => Err(format!(
            "the model did not embed within {} s",
            PATIENCE.as_secs()
        )),
    }
}

async fn count(state: &AppState) -> Result<Counts, String> {
    match tokio::time::timeout(PATIENCE, state.catalog.counts(state.encoder.model_id())).await {
        Ok(Ok(counts)) => Ok(counts),
        Ok(Err(error)) => {
            tracing::error!(%error, "how far the catalog is could not be read");
            Err("the catalog cannot be read".to_owned())
        }
        Err(_) => Err(format!(
            "the catalog did not answer within {} s",
            PATIENCE.as_secs()
        )),
    }
}

/// Whether searches are answered, and with what.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    /// Why not, when it is not.
    pub reasons: Vec<String>,
    pub model: ModelInfo,
    /// The execution provider in use: `cpu` or `cuda`.
    #[schema(value_type = String)]
    pub provider: Provider,
    /// Why the provider is not the one that was asked for, when it is not.
    pub provider_fallback: Option<String>,
    /// What the last real embedding took; at most 2 seconds old, or older when the model is too
    /// busy for another.
    pub embedding_ms: Option<f64>,
    pub index_version: String,
    /// Products in the index.
    pub products: usize,
    /// The catalog, and how far its embedding is; at most 2 seconds old.
    pub catalog: Option<CatalogProgress>,
}

/// How far the embedding of the catalog is.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogProgress {
    pub products: u64,
    /// Products whose picture is embedded by the model in use.
    pub embedded: u64,
    /// Products whose picture or words still wait for it.
    pub pending: u64,
    /// Products without a picture that can be read: found by their words alone.
    pub without_picture: u64,
}

impl From<Counts> for CatalogProgress {
    fn from(counts: Counts) -> Self {
        let Counts {
            products,
            embedded,
            without_embedding,
            pending,
        } = counts;
        Self {
            products,
            embedded,
            pending,
            without_picture: without_embedding,
        }
    }
}

/// Alive
///
/// The process answers. Says nothing about the model: that is `/readyz`.
#[utoipa::path(
    get, path = "/livez", operation_id = "livez", tag = "operations",
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain"), Problems)
)]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Ready
///
/// Runs a real embedding (shared by all probes of 2 seconds). 503 with the same report under
/// `readiness` when searches would not be answered.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "operations",
    responses((status = 200, description = "Searches are answered", body = Readiness), Problems)
)]
pub async fn readyz(State(state): State<AppState>) -> Result<Json<Readiness>, ApiError> {
    let seen = state.probe.run(&state).await;
    let mut reasons = Vec::new();
    if state.stage.stopping() {
        reasons.push("the service is stopping".to_owned());
    }
    if state.stage.starting() {
        reasons.push("no index is in use yet".to_owned());
    }
    reasons.extend(seen.embedding.as_ref().err().cloned());
    reasons.extend(seen.catalog.as_ref().err().cloned());
    let pending = seen.catalog.as_ref().map_or(0, |counts| counts.pending);
    if state.searcher.is_empty() && pending > 0 {
        reasons.push(format!(
            "nothing is indexed yet; {pending} products wait to be embedded"
        ));
    }
    let report = Readiness {
        ready: reasons.is_empty(),
        model: ModelInfo::of(&state),
        provider: state.encoder.provider(),
        provider_fallback: state.encoder.status().fallback,
        embedding_ms: seen.embedding.ok().flatten(),
        index_version: index_version(&state.searcher.version()),
        products: state.searcher.len(),
        catalog: seen.catalog.ok().map(CatalogProgress::from),
        reasons,
    };
    if report.ready {
        return Ok(Json(report));
    }
    let reason = report.reasons.join("; ");
    let report = serde_json::to_value(&report)
        .map_err(|e| ApiError::internal("a report that cannot be written", e))?;
    Err(ApiError::NotReady { reason, report })
}

/// Metrics
///
/// In Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "operations",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"), Problems)
)]
pub async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    gauge(&state).await;
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        state.metrics.render(),
    )
}

const PROVIDER_METRIC: &str = "aglet_execution_provider";
const INDEXED_METRIC: &str = "aglet_indexed_products";
const PENDING_METRIC: &str = "aglet_pending_products";

/// Tells the recorder that is installed what the gauges of this file mean.
pub fn describe_gauges() {
    metrics::describe_gauge!(
        PROVIDER_METRIC,
        "1; its labels tell what the model runs on, and whether as a fallback"
    );
    metrics::describe_gauge!(INDEXED_METRIC, "Products in the index that is in use");
    metrics::describe_gauge!(
        PENDING_METRIC,
        "Products whose picture or words wait to be embedded"
    );
}

/// What is a state and no event is looked up when it is asked for.
#[expect(
    clippy::cast_precision_loss,
    reason = "catalogs are far below 2^52 products"
)]
async fn gauge(state: &AppState) {
    let status = state.encoder.status();
    let provider = match status.provider {
        Provider::Cpu => "cpu",
        Provider::Cuda => "cuda",
    };
    let fallback = if status.fallback.is_some() {
        "true"
    } else {
        "false"
    };
    metrics::gauge!(PROVIDER_METRIC, "provider" => provider, "fallback" => fallback).set(1.0);
    metrics::gauge!(INDEXED_METRIC).set(state.searcher.len() as f64);
    if let Ok(counts) = count(state).await {
        metrics::gauge!(PENDING_METRIC).set(counts.pending as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_model_is_believed_what_it_was_and_a_broken_one_is_not() {
        let busy = || Some(Err(EncodeError::Overloaded));
        let good: Verdict = Ok(Some(1.5));
        assert_eq!(verdict(Some(Ok(Duration::from_micros(1_500))), None), good);
        assert_eq!(verdict(busy(), Some(good.clone())), good);
        assert_eq!(verdict(busy(), None), Ok(None));
        for broken in [
            Some(Err(EncodeError::WorkerGone)),
            Some(Err(EncodeError::Failed("it is".into()))),
            None,
        ] {
            let bad = verdict(broken, Some(good.clone()));
            assert!(bad.is_err());
            assert_eq!(
                verdict(busy(), Some(bad.clone())),
                bad,
                "a queue that fills up behind it is no cure"
            );
        }
    }
}
