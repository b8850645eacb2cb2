//! `aglet-train`: the training companion. Each subcommand turns its arguments into a library call.

/// As the standard library's, for a reader that may have gone: see [`aglet::util::output`].
macro_rules! println {
    ($($text:tt)*) => { aglet::util::output::out(format_args!("{}\n", format_args!($($text)*))) };
}

/// As `println`.
macro_rules! print {
    ($($text:tt)*) => { aglet::util::output::out(format_args!($($text)*)) };
}

/// As `println`.
macro_rules! eprintln {
    ($($text:tt)*) => { aglet::util::output::err(format_args!("{}\n", format_args!($($text)*))) };
}

mod bench;
mod compare;
mod enrich;
mod export;
mod fit;
mod interpolate;
mod label;
mod prepare;
mod progress;
mod report;
mod score;
mod stand_in;

use aglet::evaluate::command::compare::CompareArgs;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "aglet-train",
    version,
    about = "From a catalog to a model that the server loads"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Prepare(prepare::PrepareArgs),
    Enrich(enrich::EnrichArgs),
    Label(label::LabelArgs),
    Fit(fit::FitArgs),
    Export(export::ExportArgs),
    Score(score::ScoreArgs),
    Compare(CompareArgs),
    Interpolate(interpolate::InterpolateArgs),
    Report(report::ReportArgs),
    StandIn(stand_in::StandInArgs),
    /// Time the step of `fit` (see tests/benches/train_step.py)
    #[command(hide = true)]
    Bench(bench::BenchArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Prepare(args) => prepare::run(args),
        Command::Enrich(args) => enrich::run(args),
        Command::Label(args) => label::run(args),
        Command::Fit(args) => fit::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Interpolate(args) => interpolate::run(&args),
        Command::Report(args) => report::run(&args),
        Command::StandIn(args) => stand_in::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}
