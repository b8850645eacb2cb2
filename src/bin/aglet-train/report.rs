//! `aglet-train report`: a run's curves.

use std::path::PathBuf;

use aglet::train::run::report;
use clap::Args;

/// Write a run's curves.svg and report.html again
#[derive(Args)]
pub struct ReportArgs {
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
}

pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    report::write(&args.run)?;
    println!("{}", args.run.join("report.html").display());
    Ok(())
}
