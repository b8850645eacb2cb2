//! Arguments that several subcommands take: model folder, service, catalog, prompts, output.

use std::path::PathBuf;

use aglet::domain::{AttributeName, AttributeValue};
use aglet::encode::Device;
use aglet::evaluate::benchmark::gate::Gate;
use aglet::evaluate::command::choice::{CatalogChoice, ModelChoice, ServiceChoice};
use aglet::evaluate::command::labeled::PromptChoice;
use aglet::evaluate::command::output::Output;
use clap::Args;

#[derive(Args)]
pub struct ModelArgs {
    /// Model folder
    #[arg(
        long,
        value_name = "DIR",
        default_value = "models/aglet-small",
        env = "AGLET_MODEL"
    )]
    model: PathBuf,
    /// ONNX Runtime's library, or the folder that holds it
    #[arg(long, value_name = "PATH", env = "AGLET_RUNTIME")]
    runtime: Option<PathBuf>,
    /// auto: CUDA where it works, else the CPU
    #[arg(long, env = "AGLET_DEVICE")]
    device: Option<Device>,
    /// Keep embeddings of pictures in this folder, by model
    #[arg(long, value_name = "DIR", env = "AGLET_EVALUATE_CACHE")]
    cache: Option<PathBuf>,
}

impl From<ModelArgs> for ModelChoice {
    fn from(args: ModelArgs) -> Self {
        Self {
            folder: args.model,
            runtime: args.runtime,
            device: args.device,
            cache: args.cache,
        }
    }
}

#[derive(Args)]
pub struct ServiceArgs {
    /// Measure a running service instead of a model folder: its address
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// Sent as a bearer token
    #[arg(
        long,
        value_name = "KEY",
        env = "AGLET_API_KEY",
        hide_env_values = true
    )]
    api_key: Option<String>,
    /// What ranks questions in words, as the API's `mode`: hybrid, lexical or vector [default: as
    /// the service does by itself]
    #[arg(long, value_name = "MODE", requires = "api", value_parser = ["hybrid", "lexical", "vector"])]
    mode: Option<String>,
}

impl From<ServiceArgs> for Option<ServiceChoice> {
    fn from(args: ServiceArgs) -> Self {
        let url = args.api?;
        Some(ServiceChoice {
            url,
            key: args.api_key,
            mode: args.mode,
        })
    }
}

/// A labeled catalog.
#[derive(Args)]
pub struct CatalogArgs {
    /// A catalog: a folder with styles.csv (and shoelaces.csv, images/, images-60x80.zip) or
    /// products.jsonl, a JSON Lines file, or a data set of `aglet-train prepare` (its test side, or
    /// the side that is named)
    #[arg(long, value_name = "PATH")]
    catalog: Option<PathBuf>,
    /// The catalog's table, instead of --catalog
    #[arg(long, value_name = "FILE", conflicts_with = "catalog")]
    styles: Option<PathBuf>,
    /// A folder or zip of the catalog's pictures; repeatable, the first that has a picture gives it
    #[arg(long, value_name = "DIR_OR_ZIP")]
    images: Vec<PathBuf>,
    /// A table of id and shoelace color that adds to styles.csv
    #[arg(long, value_name = "FILE")]
    shoelaces: Option<PathBuf>,
    /// Only products with this value of an attribute; repeatable as in a search
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = filter)]
    filters: Vec<(AttributeName, AttributeValue)>,
    /// Only products that no model of ours is trained on (a fixed tenth, by a hash of the id; a
    /// data set's test side needs no such choice)
    #[arg(long)]
    held_out: bool,
}

impl From<CatalogArgs> for CatalogChoice {
    fn from(args: CatalogArgs) -> Self {
        Self {
            path: args.catalog,
            styles: args.styles,
            images: args.images,
            shoelaces: args.shoelaces,
            filters: args.filters,
            held_out: args.held_out,
        }
    }
}

fn filter(text: &str) -> Result<(AttributeName, AttributeValue), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not of the form category=Casual Shoes"))?;
    let name = AttributeName::new(name.trim()).map_err(|e| e.to_string())?;
    Ok((name, AttributeValue::new(value).map_err(|e| e.to_string())?))
}

#[derive(Args)]
pub struct PromptArgs {
    /// A text to compare images with, {} for the class, {category} for the image's own attribute;
    /// repeatable: the embeddings are averaged [default: what suits the data]
    #[arg(long = "template", value_name = "TEXT")]
    templates: Vec<String>,
    /// A TOML file with templates, names of classes, and templates of single classes (see the
    /// documentation of `evaluate::data::prompts::Prompts`)
    #[arg(long, value_name = "FILE", conflicts_with = "templates")]
    prompts: Option<PathBuf>,
    /// At most about so many images, evenly out of the whole
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl From<PromptArgs> for PromptChoice {
    fn from(args: PromptArgs) -> Self {
        Self {
            templates: args.templates,
            file: args.prompts,
            limit: args.limit,
        }
    }
}

#[derive(Args)]
pub struct OutputArgs {
    /// Write the whole result
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write JUnit XML: every case, and every gate
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a report for people, one file with all pictures in it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Compare with an earlier result (JSON) on the same data: paired tests
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Fail when a figure is lower: c=0.35, text.level1.c=0.5, macro_f1=0.6; repeatable
    #[arg(long = "min-share", value_name = "FIGURE=SHARE")]
    gates: Vec<Gate>,
}

impl From<OutputArgs> for Output {
    fn from(args: OutputArgs) -> Self {
        Self {
            json: args.json,
            junit: args.junit,
            html: args.html,
            baseline: args.baseline,
            gates: args.gates,
        }
    }
}
