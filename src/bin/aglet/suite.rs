//! `aglet suite`: makes retrieval suites.

use std::path::PathBuf;

use aglet::domain::{AttributeName, AttributeValue};
use aglet::evaluate::command::suite::{self, SuiteRequest};
use aglet::evaluate::report::tables::suite_overview;
use clap::{Args, Subcommand};

use crate::evaluate::CatalogArgs;

/// Make retrieval suites
#[derive(Args)]
pub struct SuiteArgs {
    #[command(subcommand)]
    command: SuiteCommand,
}

#[derive(Subcommand)]
enum SuiteCommand {
    /// Build a suite out of a labeled catalog: cases, levels, prompts, what can be attained
    Build(BuildArgs),
}

#[derive(Args)]
struct BuildArgs {
    #[command(flatten)]
    catalog: CatalogArgs,
    /// The suite file; query photos go to images/ beside it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the suite is called; the file's name when not given
    #[arg(long)]
    name: Option<String>,
    /// The main attribute
    #[arg(long, default_value = "category", value_parser = AttributeName::new)]
    main: AttributeName,
    /// The detail
    #[arg(long, default_value = "shoelace_color", value_parser = AttributeName::new)]
    detail: AttributeName,
    /// Only products of which the detail is known: the others are neither right nor wrong. The
    /// suite's searches are then filtered by all its values
    #[arg(long)]
    labeled_only: bool,
    /// How text cases ask, with {main} and {detail}; "{main} with {detail} shoelace." for
    /// shoelace_color
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Values of the detail that mean that there is none
    #[arg(long, value_name = "VALUE", default_value = "none", value_parser = AttributeValue::new)]
    without: Vec<AttributeValue>,
    /// How many results of a case are scored
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    results: u8,
    /// At most so many cases of each level and kind
    #[arg(long, value_name = "N")]
    per_level: Option<usize>,
    /// Draws cases and photos
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much of the products' vectors is their words, in percent, where the suite will be asked:
    /// with 0, a product without a picture that can be decoded is counted nowhere, because it
    /// cannot be found
    #[arg(long, value_name = "P", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    words_percent: u8,
}

pub fn run(args: SuiteArgs) -> anyhow::Result<()> {
    let SuiteCommand::Build(args) = args.command;
    let out = args.out.clone();
    let request = SuiteRequest {
        catalog: args.catalog.into(),
        out: args.out,
        name: args.name,
        main: args.main,
        detail: args.detail,
        labeled_only: args.labeled_only,
        prompt: args.prompt,
        without: args.without,
        results: usize::from(args.results),
        per_level: args.per_level,
        seed: args.seed,
        words_percent: args.words_percent,
    };
    let suite = suite::build(&request)?;
    println!(
        "{} cases over {} products in {}\n",
        suite.cases.len(),
        suite.pool.products,
        out.display()
    );
    print!("{}", suite_overview(&suite.cases).plain());
    Ok(())
}
