//! `aglet evaluate shopper`.

use std::path::PathBuf;

use aglet::evaluate::command::Console;
use aglet::evaluate::command::choice::ServiceChoice;
use aglet::evaluate::command::shopper::{self, ShopperRequest};
use anyhow::Context as _;
use clap::Args;

use super::args::{OutputArgs, ServiceArgs};

#[derive(Args)]
pub struct ShopperArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// JSON Lines: what is typed, of which kind it is, and what is right (docs/evaluation.md)
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: ShopperArgs, console: &mut dyn Console) -> anyhow::Result<()> {
    let service: Option<ServiceChoice> = args.service.into();
    let request = ShopperRequest {
        queries: args.queries,
        service: service.context("name the service: --api URL")?,
        output: args.output.into(),
    };
    Ok(shopper::run(&request, console)?)
}
