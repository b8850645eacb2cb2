//! `aglet health`: is a running service ready? For containers, whose images have no HTTP client.

use std::time::Duration;

use anyhow::{Context, ensure};

#[derive(clap::Args)]
pub struct HealthArgs {
    /// Where the service is.
    #[arg(default_value = "http://127.0.0.1:8080")]
    url: String,
}

pub fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(4)))
        .http_status_as_error(false)
        .build()
        .into();
    let url = format!("{}/readyz", args.url.trim_end_matches('/'));
    let mut response = agent
        .get(&url)
        .call()
        .with_context(|| format!("no answer from {url}"))?;
    let body = response.body_mut().read_to_string().unwrap_or_default();
    ensure!(
        response.status().is_success(),
        "{url} answers {}: {body}",
        response.status()
    );
    Ok(())
}
