//! `aglet evaluate classify` and `zero-shot`.

use aglet::domain::AttributeName;
use aglet::evaluate::command::Console;
use aglet::evaluate::command::labeled::{self, ClassChoice, ClassifyRequest, ZeroShotRequest};
use aglet::evaluate::data::labeled_images::location::LabeledImagesLocation;
use clap::Args;

use super::args::{CatalogArgs, ModelArgs, OutputArgs, PromptArgs};

#[derive(Args)]
pub struct ClassifyArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// fashion-mnist:DIR, fashion-mnist-light:DIR, in-shop:DIR, classes:DIR (a folder a class),
    /// csv:FILE (columns image and label) or set:PATH[@ATTRIBUTE] (a data set of `aglet-train
    /// prepare`, or a catalog; the category when not given)
    #[arg(long)]
    data: LabeledImagesLocation,
    #[command(flatten)]
    prompts: PromptArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args)]
pub struct ZeroShotArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    catalog: CatalogArgs,
    /// The attribute to recognize
    #[arg(long, default_value = "shoelace_color", value_parser = AttributeName::new)]
    attribute: AttributeName,
    /// Leave out products with this value of the attribute
    #[arg(long, value_name = "VALUE")]
    without: Vec<String>,
    /// The classes to choose from: `all` values of the whole catalog (of a data set, of all its
    /// sides), or a file with a class a line [default: the values of the products that are asked]
    #[arg(long, value_name = "all|FILE")]
    classes: Option<ClassChoice>,
    #[command(flatten)]
    prompts: PromptArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn classify(args: ClassifyArgs, console: &mut dyn Console) -> anyhow::Result<()> {
    let request = ClassifyRequest {
        model: args.model.into(),
        data: args.data,
        prompts: args.prompts.into(),
        output: args.output.into(),
    };
    Ok(labeled::classify(&request, console)?)
}

pub fn zero_shot(args: ZeroShotArgs, console: &mut dyn Console) -> anyhow::Result<()> {
    let request = ZeroShotRequest {
        model: args.model.into(),
        catalog: args.catalog.into(),
        attribute: args.attribute,
        without: args.without,
        classes: args.classes,
        prompts: args.prompts.into(),
        output: args.output.into(),
    };
    Ok(labeled::zero_shot(&request, console)?)
}
