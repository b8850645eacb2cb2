//! `aglet evaluate retrieval`.

use std::path::PathBuf;

use aglet::evaluate::command::Console;
use aglet::evaluate::command::retrieval::{self, RetrievalRequest};
use clap::Args;

use super::args::{CatalogArgs, ModelArgs, OutputArgs, ServiceArgs};

#[derive(Args)]
pub struct RetrievalArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    service: ServiceArgs,
    /// The suite file (see `aglet suite build`)
    #[arg(long, value_name = "FILE")]
    suite: PathBuf,
    #[command(flatten)]
    catalog: CatalogArgs,
    /// Mix so much of each product's words into its vector, in percent, as a service may be set up
    /// to
    #[arg(long, value_name = "P", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    words_percent: u8,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: RetrievalArgs, console: &mut dyn Console) -> anyhow::Result<()> {
    let request = RetrievalRequest {
        suite: args.suite,
        model: args.model.into(),
        service: args.service.into(),
        catalog: args.catalog.into(),
        words_percent: args.words_percent,
        output: args.output.into(),
    };
    Ok(retrieval::run(&request, console)?)
}
