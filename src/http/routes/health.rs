//! `/livez`, `/readyz`, `/metrics`, `/version`: for orchestrators and monitoring; never shed, never
//! filtered.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::output::error::{ApiError, FixedProblems, ReadyProblems};
use crate::http::output::readiness::{Readiness, provider};
use crate::http::output::view::{ModelInfo, index_version};
use crate::http::state::AppState;
use crate::telemetry;

/// Alive
///
/// The process answers. Says nothing about the model: that is `/readyz`.
#[utoipa::path(
    get, path = "/livez", operation_id = "livez", tag = "operations",
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain"), FixedProblems)
)]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Ready
///
/// Answers within a second, however busy the service is. 503 with the same report under `readiness`
/// when searches would not be answered, or not with all that the catalog has.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "operations",
    responses((status = 200, description = "Searches are answered", body = Readiness), ReadyProblems)
)]
pub async fn readyz(State(state): State<AppState>) -> Result<Json<Readiness>, ApiError> {
    let report = Readiness::from(state.service.readiness().await);
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
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"), FixedProblems)
)]
pub async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    gauge(&state).await;
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        telemetry::rendered(&state.metrics),
    )
}

/// What runs here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub struct Running {
    /// Aglet's.
    version: &'static str,
    /// The commit that it was built from; null where the build was not told (`AGLET_COMMIT`).
    commit: Option<&'static str>,
    /// What it was built for: architecture and system.
    target: String,
    /// What was compiled in beyond the server, as `train`.
    features: Vec<&'static str>,
    model: ModelInfo,
    index_version: String,
}

/// Version
///
/// What was built, and which model answers.
#[utoipa::path(
    get, path = "/version", operation_id = "version", tag = "operations",
    responses((status = 200, description = "What runs here", body = Running), FixedProblems)
)]
pub async fn version(State(state): State<AppState>) -> Json<Running> {
    let generation = state.service.generation();
    let compiled = [
        ("train", cfg!(feature = "train")),
        ("gpu", cfg!(feature = "gpu")),
    ];
    Json(Running {
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("AGLET_COMMIT").filter(|commit| !commit.is_empty()),
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        features: compiled.iter().filter(|f| f.1).map(|f| f.0).collect(),
        model: generation.model().into(),
        index_version: index_version(generation.version()),
    })
}

const PROVIDER_METRIC: &str = "aglet_execution_provider";
const INDEXED_METRIC: &str = "aglet_indexed_products";
const PENDING_METRIC: &str = "aglet_pending_products";
const QUEUE_METRIC: &str = "aglet_embedding_queue";
const READY_METRIC: &str = "aglet_ready";
const CACHE_METRIC: &str = "aglet_encode_cache_entries";
const VECTORS_METRIC: &str = "aglet_index_vectors";
const UNMERGED_METRIC: &str = "aglet_index_unmerged_vectors";
const STALE_METRIC: &str = "aglet_index_stale_vectors";
const MEMORY_METRIC: &str = "aglet_index_memory_bytes";
const CHANGED_METRIC: &str = "aglet_index_changed_timestamp_seconds";

/// Tells the recorder that is installed what the gauges of this file mean.
pub fn describe_gauges() {
    metrics::describe_gauge!(
        PROVIDER_METRIC,
        "1; its labels say what the model runs on, and whether as a fallback"
    );
    metrics::describe_gauge!(INDEXED_METRIC, "Products in the index that is in use");
    metrics::describe_gauge!(
        PENDING_METRIC,
        "Products of which a picture or the words wait to be embedded, as last counted"
    );
    metrics::describe_gauge!(
        QUEUE_METRIC,
        "Pictures and words that wait to be embedded: for their first try (waiting), or for another \
         after a failure (retrying)"
    );
    metrics::describe_gauge!(
        READY_METRIC,
        "1 where /readyz says that searches are answered, else 0"
    );
    metrics::describe_gauge!(CACHE_METRIC, "Query embeddings in the cache");
    metrics::describe_gauge!(
        VECTORS_METRIC,
        "Vectors of the index, or its products where those are more"
    );
    metrics::describe_gauge!(
        UNMERGED_METRIC,
        "Vectors that the graph does not hold yet: every search goes through them one by one"
    );
    metrics::describe_gauge!(
        STALE_METRIC,
        "Nodes of the graph, or slots of the index, that stand for nothing any more"
    );
    metrics::describe_gauge!(
        MEMORY_METRIC,
        metrics::Unit::Bytes,
        "Memory of the graph and the vectors"
    );
    metrics::describe_gauge!(
        CHANGED_METRIC,
        metrics::Unit::Seconds,
        "The last change of the catalog that the index in use holds, in Unix time"
    );
}

/// What is a state and not an event is looked up when it is asked for; in memory, but for what
/// `/readyz` looks at and the queue, which are looked at every 2 seconds at most and waited for for a
/// moment.
#[expect(
    clippy::cast_precision_loss,
    reason = "catalogs are far below 2^52 products"
)]
async fn gauge(state: &AppState) {
    let status = state.service.encoder_status();
    let fallback = if status.fallback.is_some() {
        "true"
    } else {
        "false"
    };
    metrics::gauge!(PROVIDER_METRIC, "provider" => provider(status.provider), "fallback" => fallback).set(1.0);
    metrics::gauge!(CACHE_METRIC).set(status.cached as f64);
    let ready = state.service.readiness().await.reasons.is_empty();
    metrics::gauge!(READY_METRIC).set(f64::from(u8::from(ready)));
    let generation = state.service.generation();
    let index = &generation.index;
    metrics::gauge!(INDEXED_METRIC).set(index.len() as f64);
    metrics::gauge!(MEMORY_METRIC).set(index.memory_bytes() as f64);
    let lag = index.graph_lag();
    metrics::gauge!(VECTORS_METRIC).set(lag.size as f64);
    metrics::gauge!(UNMERGED_METRIC).set(lag.delta as f64);
    metrics::gauge!(STALE_METRIC).set(lag.stale as f64);
    // An index of nothing holds no change.
    let changed = Some(generation.version().catalog).filter(|revision| *revision > 0);
    if let Some(milliseconds) = changed {
        metrics::gauge!(CHANGED_METRIC).set(milliseconds as f64 / 1e3);
    }
    if let Some(counts) = state.service.counts() {
        metrics::gauge!(PENDING_METRIC).set(counts.pending as f64);
    }
    if let Some(queue) = state.service.queue().await {
        for (name, number) in [("waiting", queue.waiting), ("retrying", queue.retrying)] {
            metrics::gauge!(QUEUE_METRIC, "state" => name).set(number as f64);
        }
    }
}
