//! `aglet serve`: the service, until it is asked to stop.

use std::path::PathBuf;
use std::time::Duration;

use aglet::app::{App, Reloading};
use aglet::config::{self, Config, ConfigError, Settings};
use aglet::doctor::{self, Verdict};
use aglet::http::Reloads;
use aglet::{http, telemetry};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::oneshot;

use crate::signals::Signals;

/// For the model that is being loaded when the service is told to stop: the process must not end
/// under ONNX Runtime.
const LOADING: Duration = Duration::from_secs(5);
/// For the last traces to reach their collector.
const FLUSH: Duration = Duration::from_secs(2);

/// Serve the catalog over HTTP
///
/// A flag goes before its variable, the variable before the file, the file before the default.
/// SIGTERM and Ctrl-C stop the service: requests in work are answered first. A second one ends it at
/// once. SIGHUP reads the file again and takes over what can change while the service runs: log_filter,
/// cors_origins, open_search, address_rate, address_burst and trusted_proxies.
#[derive(clap::Args)]
pub struct ServeArgs {
    /// TOML file of settings: the names of the flags, with _ for -
    #[arg(long, env = "AGLET_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the settings, print the values in force as TOML, and end. The exit code is 1 when a value
    /// is wrong, or a file or folder that one names is not there
    #[arg(long)]
    check_config: bool,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    let check_only = args.check_config;
    let settings = move || read(&args);
    let config = settings()?;
    if check_only {
        print!("{}", config.to_toml());
        return places_are_there(&config);
    }
    // The recorder first: what is sent of traces is counted.
    let metrics = telemetry::start_metrics()?;
    http::describe_metrics();
    let (filter, traces) = telemetry::start(
        config.log_format,
        &config.log_filter,
        config.traces.as_ref(),
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let (reloading, reloads) = Reloading::new(Box::new(settings), filter);
    let served = runtime.block_on(serve(config, metrics, reloading, reloads));
    // An index that is being built is of no use any more: not waited for.
    let patience = if matches!(served, Ok(Ended::Starting)) {
        LOADING
    } else {
        Duration::from_secs(1)
    };
    runtime.shutdown_timeout(patience);
    if let Some(traces) = traces
        && !matches!(served, Ok(Ended::Hurried))
    {
        traces.finish(FLUSH);
    }
    if served.is_ok() {
        tracing::info!("stopped");
    }
    served.map(|_| ())
}

/// The settings as they are now: the file may have changed since the start.
fn read(args: &ServeArgs) -> Result<Config, ConfigError> {
    let file = args.config.as_deref().map(config::read_file).transpose()?;
    Config::check(args.settings.clone().or(file.unwrap_or_default()))
}

fn places_are_there(config: &Config) -> anyhow::Result<()> {
    let findings = doctor::places(config);
    for finding in findings.iter().filter(|f| f.verdict != Verdict::Ok) {
        eprintln!("{finding}");
    }
    let faults = findings.iter().any(|f| f.verdict == Verdict::Fault);
    anyhow::ensure!(!faults, "the service would not start with these settings");
    Ok(())
}

/// Where the signal found the service.
enum Ended {
    Starting,
    Serving,
    /// Told so twice.
    Hurried,
}

async fn serve(
    config: Config,
    metrics: PrometheusHandle,
    reloading: Reloading,
    reloads: Reloads,
) -> anyhow::Result<Ended> {
    let mut signals = Signals::catch()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    let app = tokio::select! {
        app = App::start(config, metrics) => app?,
        () = signals.arrive(None) => return Ok(Ended::Starting),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let run = app.run(Some(reloading), async {
        let _ = stopped.await;
    });
    tokio::pin!(run);
    tokio::select! {
        ended = &mut run => ended?,
        () = signals.arrive(Some(&reloads)) => {
            let _ = stop.send(());
            tokio::select! {
                ended = run => ended?,
                () = signals.arrive(None) => {
                    tracing::warn!("told to stop once more: requests in work are not waited for");
                    return Ok(Ended::Hurried);
                }
            }
        }
    }
    Ok(Ended::Serving)
}
