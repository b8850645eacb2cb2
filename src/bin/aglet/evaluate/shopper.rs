//! `aglet evaluate shopper`.

use std::path::PathBuf;

use aglet::evaluate::command::Console;
use aglet::evaluate::command::choice::{CatalogChoice, ServiceChoice};
use aglet::evaluate::command::shopper::{self, Asked, ShopperRequest};
use anyhow::Context as _;
use clap::Args;

use super::args::{CatalogArgs, OutputArgs, ServiceArgs};

#[derive(Args)]
pub struct ShopperArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// JSON Lines: what is typed, of which kind it is, and what is right (docs/evaluation.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["catalog", "styles"])]
    queries: Option<PathBuf>,
    /// In place of a file of queries: brands, titles and article numbers of this catalog are asked for
    #[command(flatten)]
    catalog: CatalogArgs,
    /// Ask by words, by vectors and by both, and compare them
    #[arg(long, conflicts_with = "mode")]
    legs: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: ShopperArgs, console: &mut dyn Console) -> anyhow::Result<()> {
    let service: Option<ServiceChoice> = args.service.into();
    let catalog = CatalogChoice::from(args.catalog);
    let asked = match args.queries {
        Some(path) => Asked::File(path),
        None if catalog.is_given() => Asked::Catalog(catalog),
        None => anyhow::bail!("name what is asked: --queries FILE, or --catalog PATH"),
    };
    let request = ShopperRequest {
        asked,
        service: service.context("name the service: --api URL")?,
        legs: args.legs,
        output: args.output.into(),
    };
    Ok(shopper::run(&request, console)?)
}
