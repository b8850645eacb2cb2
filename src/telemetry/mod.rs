//! What operations see: log lines, metrics and traces.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`metrics`] | the recorder, and what the process says of itself |
//! | [`traces`] | spans, sampled and sent to a collector (OTLP) |
//!
//! A span at level info is the log's: it stands beside the lines that are written within it. One at
//! level debug is a stage of a request and goes to traces alone; where there are none, it costs
//! nothing.

mod metrics;
mod traces;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::util::TryInitError;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

pub use metrics::{keep_metrics, rendered, start_metrics};
pub use traces::{TraceError, TraceOptions, Traces, continued};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the log filter is wrong: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("a log subscriber is installed already: {0}")]
    Log(#[from] TryInitError),
    #[error("the log filter cannot be changed: {0}")]
    Change(#[from] reload::Error),
    #[error(transparent)]
    Traces(#[from] TraceError),
}

/// Which log lines are written; can be changed while the process runs.
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Writes other lines from now on.
    ///
    /// # Errors
    /// When the filter is wrong: the lines stay as they were.
    pub fn change(&self, filter: &str) -> Result<(), TelemetryError> {
        Ok(self.0.reload(EnvFilter::try_new(filter)?)?)
    }
}

/// Starts logging to standard error. Once per process.
///
/// # Errors
/// When the filter is wrong or a subscriber is installed already.
pub fn start_logging(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    start(format, filter, None).map(|_| ())
}

/// Starts logging to standard error and, with `traces`, sending spans. Once per process.
///
/// # Errors
/// When the filter or the collector's address is wrong, or a subscriber is installed already.
pub fn start(
    format: LogFormat,
    filter: &str,
    traces: Option<&TraceOptions>,
) -> Result<(LogFilter, Option<Traces>), TelemetryError> {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
    let lines = filter.and(filter_fn(|about| !traces::is_stage(about)));
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // A line that nobody reads any more is none to panic about.
        .log_internal_errors(false);
    let log = match format {
        LogFormat::Text => {
            // Colors are for people: a file or a collector gets none.
            let colors = std::io::IsTerminal::is_terminal(&std::io::stderr());
            log.with_target(false)
                .with_ansi(colors)
                .with_filter(lines)
                .boxed()
        }
        LogFormat::Json => log.json().flatten_event(true).with_filter(lines).boxed(),
    };
    let traces = traces.map(Traces::start).transpose()?;
    // A list, since a layer that is not there (`None`) would have every span looked at when it is made.
    let mut layers = vec![log];
    layers.extend(traces.as_ref().map(|traces| traces.layer().boxed()));
    tracing_subscriber::registry().with(layers).try_init()?;
    Ok((LogFilter(handle), traces))
}
