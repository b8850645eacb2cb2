//! `aglet evaluate`: is a model better, by how much, and where?

mod args;
mod benchmark;
mod console;
mod labeled;
mod retrieval;
mod shopper;

use aglet::evaluate::command::compare::{self, CompareArgs};
pub use args::CatalogArgs;
use clap::{Args, Subcommand};
use console::Terminal;

/// Measure a model: classification, retrieval, benchmarks
#[derive(Args)]
pub struct EvaluateArgs {
    #[command(subcommand)]
    command: EvaluateCommand,
}

#[derive(Subcommand)]
enum EvaluateCommand {
    /// Classify labeled images by the nearest class text; prints scikit-learn's classification
    /// report
    Classify(labeled::ClassifyArgs),
    /// Recognize an attribute of a catalog's products: accuracy, top 5, rank score
    ZeroShot(labeled::ZeroShotArgs),
    /// Run a retrieval suite on a model folder or on a running service
    Retrieval(retrieval::RetrievalArgs),
    /// Guard general ability: labeled sets, and the catalog's own questions
    Benchmark(benchmark::BenchmarkArgs),
    /// Ask a running service what shoppers type: right products in the first ten, by kind of query
    Shopper(shopper::ShopperArgs),
    Compare(CompareArgs),
}

pub fn run(args: EvaluateArgs) -> anyhow::Result<()> {
    let mut terminal = Terminal::default();
    match args.command {
        EvaluateCommand::Classify(args) => labeled::classify(args, &mut terminal),
        EvaluateCommand::ZeroShot(args) => labeled::zero_shot(args, &mut terminal),
        EvaluateCommand::Retrieval(args) => retrieval::run(args, &mut terminal),
        EvaluateCommand::Benchmark(args) => benchmark::run(args, &mut terminal),
        EvaluateCommand::Shopper(args) => shopper::run(args, &mut terminal),
        EvaluateCommand::Compare(args) => {
            Ok(compare::run(&args, &write_checkpoint, &mut terminal)?)
        }
    }
}

#[cfg(feature = "train")]
fn write_checkpoint(
    run: &std::path::Path,
    to: &std::path::Path,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ok(aglet::train::run::folder::write_best(run, to)?)
}

#[cfg(not(feature = "train"))]
use compare::refuse_run as write_checkpoint;
