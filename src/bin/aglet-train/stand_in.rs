//! `aglet-train stand-in`: a checkpoint of FashionCLIP's shape with random weights.

use std::path::PathBuf;

use aglet::train::tools::stand_in;
use clap::Args;

/// Write a ViT-B/32 with random weights in FashionCLIP's layout, to try a recipe on
#[derive(Args)]
pub struct StandInArgs {
    /// The checkpoint folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn run(args: &StandInArgs) -> anyhow::Result<()> {
    let parameters = stand_in::write(&args.out, args.seed)?;
    eprintln!("{parameters} random parameters in {}", args.out.display());
    Ok(())
}
