//! `aglet-train export`: a run's weights as a checkpoint folder.

use std::path::PathBuf;

use aglet::train::run::checkpoint::StoredFloat;
use aglet::train::run::folder::{self, RunWeights};
use clap::Args;

/// Write a run's weights as a checkpoint folder in Hugging Face's layout, for `aglet model export`
#[derive(Args)]
pub struct ExportArgs {
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[arg(long, value_enum, default_value = "average")]
    weights: RunWeights,
    /// Half precision: half the size
    #[arg(long)]
    float16: bool,
}

pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let float = StoredFloat::half_if(args.float16);
    let parameters = folder::export(&args.run, &args.to, args.weights, float)?;
    eprintln!("{parameters} parameters in {}", args.to.display());
    Ok(())
}
