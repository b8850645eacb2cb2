//! `aglet doctor`: what could keep the service from starting or working.

use std::path::PathBuf;
use std::process::ExitCode;

use aglet::config::{self, Config, ConfigError, Settings};
use aglet::doctor::{self, Finding, Verdict};

/// Look at everything that the service needs, and say what to do about what is wrong
///
/// A line a check: ok, warning or fault. The exit code is 1 when there is a fault. The settings are
/// those of `aglet serve`. It reads the whole database and the model, and may run beside a service.
#[derive(clap::Args)]
pub struct DoctorArgs {
    /// TOML file of settings, as `aglet serve` takes it
    #[arg(long, env = "AGLET_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document in place of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

fn config(args: &DoctorArgs) -> Result<Config, ConfigError> {
    let file = args.config.as_deref().map(config::read_file).transpose()?;
    Config::check(args.settings.clone().or(file.unwrap_or_default()))
}

pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut found = |finding: Finding| {
        if !args.json {
            println!("{finding}");
        }
        findings.push(finding);
    };
    match config(args) {
        Ok(config) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(doctor::examine(&config, &mut found));
        }
        Err(ConfigError::Problems(problems)) => {
            for problem in problems {
                found(Finding::fault("settings", problem));
            }
        }
        Err(error) => found(Finding::fault("settings", error)),
    }
    if args.json {
        println!("{}", serde_json::json!({ "findings": findings }));
    }
    let fault = findings.iter().any(|f| f.verdict == Verdict::Fault);
    Ok(if fault {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
