//! What operations see: log lines and metrics.

use std::time::Duration;

use clap::ValueEnum;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Upper bounds of the latency histograms' buckets in seconds: from half a millisecond (a cached
/// query) to the default request time-out.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How often [`keep_metrics`] tidies up.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the metrics recorder cannot be installed: {0}")]
    Metrics(#[from] BuildError),
    #[error("the log filter is wrong: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("a log subscriber is installed already: {0}")]
    Log(#[from] TryInitError),
}

/// Starts logging to standard error. Once per process.
///
/// # Errors
/// When the filter is wrong or a subscriber is installed already.
pub fn start_logging(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    use tracing_subscriber::fmt::format::FmtSpan;
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = EnvFilter::try_new(filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that nobody reads any more is none to panic about.
        .log_internal_errors(false)
        .with_span_events(FmtSpan::NONE);
    match format {
        LogFormat::Text => {
            // Colors are for people: a file or a collector gets none.
            let colors = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder
                .with_target(false)
                .with_ansi(colors)
                .finish()
                .try_init()?;
        }
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// Installs the process's metrics recorder and returns the handle that renders `/metrics`. Once per
/// process. Whoever runs for long runs [`keep_metrics`] beside it.
///
/// # Errors
/// When a recorder is installed already.
pub fn start_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?;
    Ok(builder.install_recorder()?)
}

/// Folds what the histograms were given into their buckets, for ever: otherwise only a scrape does,
/// and where nobody scrapes, every request would leave a few numbers in memory.
pub async fn keep_metrics(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        handle.run_upkeep();
    }
}
