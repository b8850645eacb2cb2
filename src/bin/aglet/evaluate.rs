//! `aglet evaluate`: is a model better, by how much, and where?

mod compare;
mod inputs;
mod output;

use std::path::PathBuf;
use std::time::Instant;

use aglet::domain::{AttributeName, Filters};
use aglet::evaluate::api::ApiEngine;
use aglet::evaluate::catalog::{self, Among};
use aglet::evaluate::datasets::{self, Data, LabeledSet};
use aglet::evaluate::document::{Document, Outcome, Part};
use aglet::evaluate::embedder::Embedder;
use aglet::evaluate::engine::{Engine, FolderEngine, How, Subject};
use aglet::evaluate::retrieval;
use aglet::evaluate::shop::Shop;
use aglet::evaluate::suite::{Suite, pool_sha256};
use aglet::evaluate::zero_shot::{self, Prompts};
use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
pub use inputs::ShopArgs;
use inputs::{ModelArgs, ServiceArgs};
use output::{OutputArgs, bar};

/// Measure a model: classification, retrieval, benchmarks
#[derive(Args)]
pub struct EvaluateArgs {
    #[command(subcommand)]
    command: EvaluateCommand,
}

#[derive(Subcommand)]
enum EvaluateCommand {
    /// Classify labeled images by the nearest class text; prints scikit-learn's classification report
    Classify(ClassifyArgs),
    /// Recognize an attribute of a catalogue's products: accuracy, top 5, rank score
    ZeroShot(ZeroShotArgs),
    /// Run a retrieval suite on a model folder or on a running service
    Retrieval(RetrievalArgs),
    /// Guard general ability: labeled sets, and the catalogue's own questions
    Benchmark(BenchmarkArgs),
    Compare(compare::CompareArgs),
}

#[derive(Args)]
struct ClassifyArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// fashion-mnist:DIR, in-shop:DIR, classes:DIR (a folder a class), csv:FILE (columns image and label) or
    /// set:PATH[@ATTRIBUTE] (a data set of `aglet-train prepare`, or a catalogue; the category when not given)
    #[arg(long)]
    data: Data,
    #[command(flatten)]
    prompts: PromptArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args)]
struct PromptArgs {
    /// A text to compare images with, {} for the class, {category} for the image's own attribute; repeatable: the
    /// embeddings are averaged
    #[arg(long = "template", value_name = "TEXT")]
    templates: Vec<String>,
    /// A TOML file with templates, names of classes, and templates of single classes (see the documentation of
    /// `evaluate::zero_shot::Prompts`)
    #[arg(long, value_name = "FILE", conflicts_with = "templates")]
    prompts: Option<PathBuf>,
    /// At most about so many images, evenly out of the whole
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Args)]
struct ZeroShotArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    shop: ShopArgs,
    /// The attribute to recognize
    #[arg(long, default_value = "shoelace_color", value_parser = AttributeName::new)]
    attribute: AttributeName,
    /// Leave out products with this value of the attribute
    #[arg(long, value_name = "VALUE")]
    without: Vec<String>,
    #[command(flatten)]
    prompts: PromptArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args)]
struct RetrievalArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    service: ServiceArgs,
    /// The suite file (see `aglet suite build`)
    #[arg(long, value_name = "FILE")]
    suite: PathBuf,
    #[command(flatten)]
    shop: ShopArgs,
    /// Mix so much of each product's words into its vector, in percent, as a service may be set up to
    #[arg(long, value_name = "P", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    words_percent: u8,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args)]
struct BenchmarkArgs {
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
    labeled: Vec<Data>,
    #[command(flatten)]
    shop: ShopArgs,
    /// Which products of the catalogue may answer; questions always come from the held-out ones
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
    /// Mix so much of each product's words into its vector, in percent, as a service may be set up to
    #[arg(long, value_name = "P", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    words_percent: u8,
    #[command(flatten)]
    prompts: PromptArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    match &args.command {
        EvaluateCommand::Classify(args) => classify(args),
        EvaluateCommand::ZeroShot(args) => zero_shot(args),
        EvaluateCommand::Retrieval(args) => retrieve(args),
        EvaluateCommand::Benchmark(args) => benchmark(args),
        EvaluateCommand::Compare(args) => compare::run(args),
    }
}

impl PromptArgs {
    fn prompts(&self, default: Prompts) -> anyhow::Result<Prompts> {
        if let Some(path) = &self.prompts {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            return toml::from_str(&text).with_context(|| path.display().to_string());
        }
        Ok(if self.templates.is_empty() { default } else { Prompts::of(&self.templates) })
    }
}

fn classify(args: &ClassifyArgs) -> anyhow::Result<()> {
    let mut embedder = args.model.start()?;
    let set = args.data.read()?;
    let part = labeled_part(&mut embedder, set, "", &args.prompts, Prompts::default())?;
    args.output.finish(&Document::new(subject(&embedder, &args.model), vec![part]), None)
}

fn zero_shot(args: &ZeroShotArgs) -> anyhow::Result<()> {
    let shop = args.shop.read()?.only(&Filters::default(), |product| {
        let own = product.attribute(args.attribute.as_str()).map(str::to_lowercase);
        own.is_some_and(|own| !args.without.iter().any(|v| v.to_lowercase() == own))
    });
    let mut embedder = args.model.start()?;
    let set = datasets::of_shop(&shop, &args.attribute, &format!("{} of the catalogue", args.attribute))?;
    let mut default = Prompts::for_attribute(&args.attribute);
    default.instead.retain(|class, _| set.classes.contains(class));
    let part = labeled_part(&mut embedder, set, "", &args.prompts, default)?;
    args.output.finish(&Document::new(subject(&embedder, &args.model), vec![part]), None)
}

fn labeled_part(
    embedder: &mut Embedder,
    mut set: LabeledSet,
    prefix: &str,
    args: &PromptArgs,
    default: Prompts,
) -> anyhow::Result<Part> {
    if let Some(most) = args.limit {
        set.thin(most);
    }
    let prompts = args.prompts(default)?;
    let started = Instant::now();
    let progress = bar("embedding", set.items.len());
    let result = zero_shot::run(embedder, &set, &prompts, |n| progress.set_position(n as u64))?;
    progress.finish_and_clear();
    let title = format!("{}: {} images, {} classes", set.name, result.top.images, set.classes.len());
    let seconds = started.elapsed().as_secs_f64();
    let data_sha256 = zero_shot::data_sha256(&set, &prompts);
    Ok(Part { prefix: prefix.to_owned(), title, data_sha256, seconds, outcome: Outcome::ZeroShot(result) })
}

fn subject(embedder: &Embedder, model: &ModelArgs) -> Subject {
    Subject {
        model: embedder.encoder().model_name().to_owned(),
        model_id: embedder.encoder().model_id().to_string(),
        at: model.model.display().to_string(),
        how: How::Folder,
    }
}

fn retrieve(args: &RetrievalArgs) -> anyhow::Result<()> {
    let suite = Suite::load(&args.suite)?;
    let folder = args.suite.parent().unwrap_or(std::path::Path::new("."));
    let mut warnings = Vec::new();
    let started = Instant::now();
    let mut engine: Box<dyn Engine> = if let Some(api) = args.service.connect()? {
        warnings.extend(doubt(&api, &suite)?);
        Box::new(api)
    } else {
        let among = suite.pool.among();
        let shop = args.shop.read()?.only(&Filters::new(suite.pool.pairs())?, |p| among(&p.id));
        let sha256 = pool_sha256(shop.offers.iter().map(|o| &o.product), &suite.main, &suite.detail);
        if sha256 != suite.pool.sha256 {
            warnings.push("this catalogue is not the one that the suite was built on: its levels and attainable points may be wrong".to_owned());
        }
        Box::new(folder_engine(&args.model, shop, args.words_percent)?)
    };
    let progress = bar("asking", suite.cases.len());
    let mut result = retrieval::run(&mut *engine, &suite, folder, |n| progress.set_position(n as u64));
    progress.finish_and_clear();
    result.warnings = warnings;
    let title = format!("Retrieval suite {:?}: {} cases", suite.name, suite.cases.len());
    let (data_sha256, seconds) = (suite.sha256(), started.elapsed().as_secs_f64());
    let errors = result.errors();
    let part = Part { prefix: String::new(), title, data_sha256, seconds, outcome: Outcome::Retrieval(result) };
    let document = Document::new(engine.subject().clone(), vec![part]);
    args.output.finish(&document, Some((&mut *engine, &suite, folder)))?;
    ensure!(errors == 0, "{errors} cases could not be asked or answered");
    Ok(())
}

/// What speaks against comparing this service's products with the suite's: numbers that differ.
fn doubt(api: &ApiEngine, suite: &Suite) -> anyhow::Result<Option<String>> {
    if suite.pool.held_out {
        // Which products those are cannot be counted from outside.
        return Ok(None);
    }
    let filters: Vec<_> = suite.pool.pairs().collect();
    let count = api.count(&filters)?;
    if count == suite.pool.products {
        return Ok(None);
    }
    Ok(Some(format!(
        "the service ranks {count} products, the suite was built on {}: its levels and attainable points may be wrong",
        suite.pool.products
    )))
}

fn folder_engine(model: &ModelArgs, shop: Shop, words_percent: u8) -> anyhow::Result<FolderEngine> {
    let embedder = model.start()?;
    let progress = bar("embedding", shop.offers.len());
    let at = model.model.display().to_string();
    let engine = FolderEngine::new(embedder, shop, &at, words_percent, |n| progress.set_position(n as u64))?;
    progress.finish_and_clear();
    if let Some((id, reason)) = engine.left_out.first() {
        eprintln!("{} photos are left out, the first of product {id}: {reason}", engine.left_out.len());
    }
    Ok(engine)
}

fn benchmark(args: &BenchmarkArgs) -> anyhow::Result<()> {
    let mut parts = Vec::new();
    let mut whose = None;
    let mut sets = Vec::new();
    if let Some(folder) = &args.fashion_mnist {
        let set = datasets::fashion_mnist::read(folder)?;
        sets.push((set.prefix(), set));
    }
    if let Some(folder) = &args.in_shop {
        let set = datasets::in_shop::read(folder)?;
        sets.push((set.prefix(), set));
    }
    for data in &args.labeled {
        let set = data.read()?;
        sets.push((set.prefix(), set));
    }
    if args.service.api.is_some() {
        ensure!(sets.is_empty(), "labeled images are classified by a model folder, not through an API");
    } else if !sets.is_empty() {
        let mut embedder = args.model.start()?;
        for (prefix, set) in sets {
            parts.push(labeled_part(&mut embedder, set, &prefix, &args.prompts, Prompts::default())?);
        }
        whose = Some(subject(&embedder, &args.model));
    }
    if args.shop.given() {
        let (part, subject) = catalog_part(args)?;
        parts.push(part);
        whose = Some(subject);
    }
    let Some(subject) = whose else {
        bail!("nothing to measure: give --fashion-mnist, --in-shop, --labeled or --catalog")
    };
    args.output.finish(&Document::new(subject, parts), None)
}

fn catalog_part(args: &BenchmarkArgs) -> anyhow::Result<(Part, Subject)> {
    let BenchmarkArgs { among, questions, photos, titles, seed, .. } = *args;
    let plan = catalog::Plan { among, questions, photos, titles, seed };
    let shop = args.shop.read()?;
    let started = Instant::now();
    let progress = bar("asking", 0);
    let tick = |n: usize, of: usize| {
        progress.set_length(of as u64);
        progress.set_position(n as u64);
    };
    let data_sha256 = catalog::data_sha256(&shop, &plan);
    let (result, whole_titles, subject) = if let Some(mut api) = args.service.connect()? {
        (catalog::run(&mut api, &shop, &plan, tick)?, Vec::new(), api.subject().clone())
    } else {
        let answering = catalog::answering(&shop, &plan);
        let mut engine = folder_engine(&args.model, answering, args.words_percent)?;
        let result = catalog::run(&mut engine, &shop, &plan, tick)?;
        (result, catalog::full_titles(&mut engine, &plan)?, engine.subject().clone())
    };
    progress.finish_and_clear();
    let title = format!("Catalogue of {} products", shop.offers.len());
    let (prefix, seconds) = ("catalog".to_owned(), started.elapsed().as_secs_f64());
    Ok((Part { prefix, title, data_sha256, seconds, outcome: Outcome::Catalog { result, whole_titles } }, subject))
}
