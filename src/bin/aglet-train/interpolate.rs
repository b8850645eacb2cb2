//! `aglet-train interpolate`: a base and its fine-tuned model, mixed where the mixture is best.

use std::path::PathBuf;

use aglet::train::run::checkpoint::StoredFloat;
use aglet::train::tools::interpolate::measure::Data;
use aglet::train::tools::interpolate::mix::{self, Request};
use anyhow::Context as _;
use clap::Args;

/// Mix a base with its fine-tuned model (WiSE-FT), at the share that is best on validation data
#[derive(Args)]
pub struct InterpolateArgs {
    /// The checkpoint folder that fine-tuning began at; it is brought to the tuned model's input size
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// The fine-tuned checkpoint folder; of several that differ in their seeds, the mean is taken (a
    /// model soup)
    #[arg(long, value_name = "DIR", required = true, num_args = 1..)]
    tuned: Vec<PathBuf>,
    /// Shares of the tuned model to try
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1"
    )]
    alphas: Vec<f32>,
    /// How far the text tower goes, as a share of alpha: it forgets sooner than the vision tower
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    text_share: f32,
    /// The data set that `prepare` made, whose validation side measures each share; without it one
    /// alpha is used as given
    #[arg(long, value_name = "DIR", requires = "recipe")]
    data: Option<PathBuf>,
    /// The recipe whose [attribute] is the new ability
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// A general catalog in the Kaggle layout. One half of its held-out products measures the base's
    /// abilities, at the base's own input size; the other half is left to report on [default: the
    /// validation side]
    #[arg(long, value_name = "DIR")]
    general: Option<PathBuf>,
    /// Points that each of the base's abilities may lose
    #[arg(long, value_name = "POINTS", default_value_t = 1.0)]
    most_lost: f64,
    /// Write the table as JSON
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// The checkpoint folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Half precision: half the size
    #[arg(long)]
    float16: bool,
}

pub fn run(args: &InterpolateArgs) -> anyhow::Result<()> {
    let data = args.data.as_deref().map(|set| Data {
        set,
        recipe: args.recipe.as_deref(),
        general: args.general.as_deref(),
    });
    let request = Request {
        base: &args.base,
        tuned: &args.tuned,
        alphas: &args.alphas,
        text_share: args.text_share,
        most_lost: args.most_lost,
        data,
    };
    let mixed = mix::mix(request, |doing| eprintln!("{doing}"))?;
    if let Some(before) = &mixed.before {
        let before = serde_json::to_string(before)?;
        println!("the base at its own input: {before}");
    }
    if let Some(sweep) = &mixed.sweep {
        println!("{}", sweep.table());
        if let Some(path) = &args.table {
            let json = serde_json::to_string_pretty(sweep)?;
            std::fs::write(path, json).with_context(|| path.display().to_string())?;
        }
    }
    mixed.write(&args.out, StoredFloat::half_if(args.float16))?;
    println!("alpha {} in {}", mixed.alpha, args.out.display());
    Ok(())
}
