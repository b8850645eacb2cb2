//! `aglet serve`: the service, until it is told to stop.

use std::path::PathBuf;
use std::time::Duration;

use aglet::app::App;
use aglet::config::{self, Config, Settings};
use aglet::{http, telemetry};

/// Serve the catalog over HTTP
///
/// A flag goes before its variable, the variable before the file, the file before the default. SIGTERM and Ctrl-C stop
/// the service: requests in work are answered first.
#[derive(clap::Args)]
pub struct ServeArgs {
    /// TOML file of settings: the names of the flags, with _ for -
    #[arg(long, env = "AGLET_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the settings, print the values in force as TOML, and end
    #[arg(long)]
    check_config: bool,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    let file = args.config.as_deref().map(config::read_file).transpose()?.unwrap_or_default();
    let config = Config::check(args.settings.or(file))?;
    if args.check_config {
        print!("{}", config.to_toml());
        return Ok(());
    }
    telemetry::start_logging(config.log_format, &config.log_filter)?;
    let metrics = telemetry::start_metrics()?;
    http::describe_metrics();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let app = App::start(config, metrics).await?;
        app.run(stop()).await
    });
    // An index that is being built is of no use any more: not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(served?)
}

/// SIGTERM (an orchestrator) or SIGINT (a person).
async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        tracing::warn!("SIGTERM cannot be caught here: only Ctrl-C stops the service in order");
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM"),
        _ = tokio::signal::ctrl_c() => tracing::info!("interrupted"),
    }
}
