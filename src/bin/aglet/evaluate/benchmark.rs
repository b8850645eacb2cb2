//! `aglet evaluate benchmark`.

use std::path::PathBuf;

use aglet::evaluate::benchmark::catalog::{Among, CatalogOptions};
use aglet::evaluate::command::Console;
use aglet::evaluate::command::benchmark::{self, BenchmarkRequest};
use aglet::evaluate::data::labeled_images::location::LabeledImagesLocation;
use clap::Args;

use super::args::{CatalogArgs, ModelArgs, OutputArgs, PromptArgs, ServiceArgs};

#[derive(Args)]
pub struct BenchmarkArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    service: ServiceArgs,
    /// The folder with Fashion-MNIST's idx files
    #[arg(long, value_name = "DIR")]
    fashion_mnist: Option<PathBuf>,
    /// The folder of DeepFashion In-shop
    #[arg(long, value_name = "DIR")]
    in_shop: Option<PathBuf>,
    /// A retailer's own set: csv:FILE, classes:DIR or set:PATH[@ATTRIBUTE]; repeatable
    #[arg(long, value_name = "DATA")]
    labeled: Vec<LabeledImagesLocation>,
    #[command(flatten)]
    catalog: CatalogArgs,
    /// Which products of the catalog may answer; questions always come from the held-out ones (of a
    /// data set of `aglet-train prepare`: from its whole test side)
    #[arg(long, default_value = "all")]
    among: Among,
    /// Questions of each form in words, at most
    #[arg(long, default_value_t = 100)]
    questions: usize,
    /// Photos, at most
    #[arg(long, default_value_t = 500)]
    photos: usize,
    /// Titles, at most
    #[arg(long, default_value_t = 500)]
    titles: usize,
    /// Draws questions, photos and titles
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Mix so much of each product's words into its vector, in percent, as a service may be set up
    /// to
    #[arg(long, value_name = "P", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    words_percent: u8,
    #[command(flatten)]
    prompts: PromptArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: BenchmarkArgs, console: &mut dyn Console) -> anyhow::Result<()> {
    let request = BenchmarkRequest {
        model: args.model.into(),
        service: args.service.into(),
        fashion_mnist: args.fashion_mnist,
        in_shop: args.in_shop,
        labeled: args.labeled,
        catalog: args.catalog.into(),
        options: CatalogOptions {
            among: args.among,
            questions: args.questions,
            photos: args.photos,
            titles: args.titles,
            seed: args.seed,
        },
        words_percent: args.words_percent,
        prompts: args.prompts.into(),
        output: args.output.into(),
    };
    Ok(benchmark::run_all(&request, console)?)
}
