//! The recorder of the metrics, and what the process says of itself.

use std::fmt::Write as _;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::util::process;

/// Upper bounds of the latency histograms' buckets in seconds: from half a millisecond (a cached
/// query) to the default request time-out.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// The same for work in the background, which takes up to an hour.
const LONG_SECONDS: &[f64] = &[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];
const LONG: [&str; 2] = ["aglet_searchable_seconds", "aglet_index_work_seconds"];
/// Upper bounds of how many go together.
const SIZES: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// How often [`keep_metrics`] tidies up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the process's metrics recorder and returns the handle that renders `/metrics`. Once per
/// process. Whoever runs for long runs [`keep_metrics`] beside it.
///
/// # Errors
/// When a recorder is installed already.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = recorder()?.install_recorder()?;
    metrics::describe_gauge!("aglet_build_info", "1; its label says which version runs");
    metrics::gauge!("aglet_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

fn recorder() -> Result<PrometheusBuilder, BuildError> {
    let mut builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), SIZES)?;
    for name in LONG {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), LONG_SECONDS)?;
    }
    Ok(builder)
}

/// Folds what the histograms were given into their buckets, for ever: otherwise only a scrape does,
/// and where nobody scrapes, every request would leave a few numbers in memory.
pub async fn keep_metrics(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        handle.run_upkeep();
    }
}

/// All metrics in Prometheus' text format: those of the recorder, and those of the process under the
/// names that Prometheus' own clients give them. Those of the process are written here, since the
/// recorder knows whole counters only.
#[must_use]
pub fn rendered(handle: &PrometheusHandle) -> String {
    let mut text = handle.render();
    let Some(usage) = process::usage() else {
        return text;
    };
    let mut add = |name: &str, kind: &str, help: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        );
    };
    let cpu = format!("{:.6}", usage.cpu.as_secs_f64());
    add(
        "process_cpu_seconds_total",
        "counter",
        "Processor time, of the user and of the system",
        cpu,
    );
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Memory that is resident",
            usage.resident,
        ),
        (
            "process_virtual_memory_bytes",
            "Memory that is mapped",
            usage.mapped,
        ),
        ("process_threads", "Threads", usage.threads),
        ("process_open_fds", "Files that are open", usage.open_files),
    ] {
        add(name, "gauge", help, value.to_string());
    }
    if let Some(most) = usage.most_files {
        let help = "Files that may be open";
        add("process_max_fds", "gauge", help, most.to_string());
    }
    let started = format!("{:.3}", usage.started.as_secs_f64());
    let help = "When the process started, in Unix time";
    add("process_start_time_seconds", "gauge", help, started);
    text
}
