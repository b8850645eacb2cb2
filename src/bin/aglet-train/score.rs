//! `aglet-train score`: a checkpoint on products that it was not trained on.

use std::path::PathBuf;

use aglet::evaluate::data::data_set::Side;
use aglet::train::tools::score;
use clap::Args;

/// Measure a checkpoint folder on products that it was not trained on
#[derive(Args)]
pub struct ScoreArgs {
    /// A checkpoint folder in Hugging Face's layout
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// A data set that `prepare` made; or a catalog in the Kaggle layout, whose held-out products
    /// are measured
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The side of the data set
    #[arg(long, value_enum, default_value = "test")]
    side: Side,
    /// The recipe whose [attribute] is measured on the data set, and compared with a guess from
    /// category and color alone
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
}

pub fn run(args: &ScoreArgs) -> anyhow::Result<()> {
    let scores = score::score(&args.model, &args.data, args.side, args.recipe.as_deref())?;
    println!("{scores}");
    Ok(())
}
