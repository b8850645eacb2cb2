//! `aglet evaluate`: is a model better, by how much, and where?

mod compare;
mod inputs;
mod labeled;
mod output;

use std::path::PathBuf;
use std::time::Instant;

use aglet::domain::Filters;
use aglet::evaluate::api::ApiEngine;
use aglet::evaluate::catalog::{self, Among};
use aglet::evaluate::datasets::{self, Data};
use aglet::evaluate::document::{Document, Outcome, Part};
use aglet::evaluate::engine::{Engine, FolderEngine, Subject};
use aglet::evaluate::retrieval;
use aglet::evaluate::shop::Shop;
use aglet::evaluate::suite::Suite;
use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
pub use inputs::ShopArgs;
use inputs::{ModelArgs, ServiceArgs};
use labeled::{ClassifyArgs, Labeled, PromptArgs, ZeroShotArgs};
use output::{OutputArgs, bar};

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
    /// Mix so much of each product's words into its vector, in percent, as a service may be set up
    /// to
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
    /// Which products of the catalogue may answer; questions always come from the held-out ones (of
    /// a data set of `aglet-train prepare`: from its whole test side)
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

pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    match &args.command {
        EvaluateCommand::Classify(args) => labeled::classify(args),
        EvaluateCommand::ZeroShot(args) => labeled::zero_shot(args),
        EvaluateCommand::Retrieval(args) => retrieve(args),
        EvaluateCommand::Benchmark(args) => benchmark(args),
        EvaluateCommand::Compare(args) => compare::run(args),
    }
}

fn retrieve(args: &RetrievalArgs) -> anyhow::Result<()> {
    let suite = Suite::load(&args.suite)?;
    let data_sha256 = suite.sha256();
    let baseline = args.output.baseline(&[("", &data_sha256)])?;
    let folder = args.suite.parent().unwrap_or(std::path::Path::new("."));
    let mut warnings = Vec::new();
    let started = Instant::now();
    let mut engine: Box<dyn Engine> = if let Some(api) = args.service.connect()? {
        warnings.extend(doubt(&api, &suite)?);
        Box::new(api)
    } else {
        // Products outside the pool are no answers, but the service's vote on what a photo shows is
        // theirs too.
        let shop = args
            .shop
            .read()?
            .only(&Filters::new(suite.pool.pairs())?, |_| true);
        warnings.extend(suite.doubt(shop.offers.iter().map(|o| &o.product)));
        Box::new(folder_engine(&args.model, shop, args.words_percent)?)
    };
    let progress = bar("asking", suite.cases.len());
    let mut result = retrieval::run(&mut *engine, &suite, folder, |n| {
        progress.set_position(n as u64)
    });
    progress.finish_and_clear();
    result.warnings = warnings;
    let title = format!(
        "Retrieval suite {:?}: {} cases",
        suite.name,
        suite.cases.len()
    );
    let seconds = started.elapsed().as_secs_f64();
    let errors = result.errors();
    let part = Part {
        prefix: String::new(),
        title,
        data_sha256,
        seconds,
        outcome: Outcome::Retrieval(result),
    };
    let document = Document::new(engine.subject().clone(), vec![part]);
    args.output.finish(
        &document,
        baseline.as_ref(),
        Some((&mut *engine, &suite, folder)),
    )?;
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
    let engine = FolderEngine::new(embedder, shop, &at, words_percent, |n| {
        progress.set_position(n as u64)
    })?;
    progress.finish_and_clear();
    if let Some((id, reason)) = engine.left_out.first() {
        eprintln!(
            "{} photos are left out, the first of product {id}: {reason}",
            engine.left_out.len()
        );
    }
    Ok(engine)
}

fn benchmark(args: &BenchmarkArgs) -> anyhow::Result<()> {
    let sets = labeled_sets(args)?;
    let shop = args.shop.given().then(|| args.shop.read()).transpose()?;
    ensure!(
        args.service.api.is_none() || sets.is_empty(),
        "labeled images are classified by a model folder, not through an API"
    );
    let catalog_sha256 = shop
        .as_ref()
        .map(|shop| catalog::data_sha256(shop, &plan(args)));
    let catalog = catalog_sha256.as_deref().map(|sha256| (CATALOG, sha256));
    let data: Vec<_> = sets.iter().map(Labeled::names).chain(catalog).collect();
    let baseline = args.output.baseline(&data)?;
    let mut parts = Vec::new();
    let mut whose = None;
    if !sets.is_empty() {
        let mut embedder = args.model.start()?;
        for set in sets {
            parts.push(set.measure(&mut embedder)?);
        }
        whose = Some(labeled::subject(&embedder, &args.model));
    }
    if let Some(shop) = shop {
        let (part, subject) = catalog_part(args, &shop)?;
        parts.push(part);
        whose = Some(subject);
    }
    let Some(subject) = whose else {
        bail!("nothing to measure: give --fashion-mnist, --in-shop, --labeled or --catalog")
    };
    let failures: usize = parts.iter().map(|part| part.outcome.failures()).sum();
    args.output
        .finish(&Document::new(subject, parts), baseline.as_ref(), None)?;
    ensure!(failures == 0, "{failures} questions were not answered");
    Ok(())
}

const CATALOG: &str = "catalog";

fn labeled_sets(args: &BenchmarkArgs) -> anyhow::Result<Vec<Labeled>> {
    let mut sets = Vec::new();
    if let Some(folder) = &args.fashion_mnist {
        sets.push(datasets::fashion_mnist::read(folder)?);
    }
    if let Some(folder) = &args.in_shop {
        sets.push(datasets::in_shop::read(folder)?);
    }
    for data in &args.labeled {
        sets.push(data.read()?);
    }
    let prefixes = datasets::prefixes(&sets);
    sets.into_iter()
        .zip(&prefixes)
        .map(|(set, prefix)| Labeled::new(prefix, set, &args.prompts))
        .collect()
}

fn plan(args: &BenchmarkArgs) -> catalog::Plan {
    let BenchmarkArgs {
        among,
        questions,
        photos,
        titles,
        seed,
        ..
    } = *args;
    catalog::Plan {
        among,
        questions,
        photos,
        titles,
        seed,
    }
}

fn catalog_part(args: &BenchmarkArgs, shop: &Shop) -> anyhow::Result<(Part, Subject)> {
    let plan = plan(args);
    let started = Instant::now();
    let progress = bar("asking", 0);
    let tick = |n: usize, of: usize| {
        progress.set_length(of as u64);
        progress.set_position(n as u64);
    };
    let data_sha256 = catalog::data_sha256(shop, &plan);
    let (result, whole_titles, subject) = if let Some(mut api) = args.service.connect()? {
        (
            catalog::run(&mut api, shop, &plan, tick)?,
            Vec::new(),
            api.subject().clone(),
        )
    } else {
        let answering = catalog::answering(shop, &plan);
        let mut engine = folder_engine(&args.model, answering, args.words_percent)?;
        let result = catalog::run(&mut engine, shop, &plan, tick)?;
        (
            result,
            catalog::full_titles(&mut engine, &plan)?,
            engine.subject().clone(),
        )
    };
    progress.finish_and_clear();
    let title = format!("Catalogue of {} products", shop.offers.len());
    let (prefix, seconds) = (CATALOG.to_owned(), started.elapsed().as_secs_f64());
    Ok((
        Part {
            prefix,
            title,
            data_sha256,
            seconds,
            outcome: Outcome::Catalog {
                result,
                whole_titles,
            },
        },
        subject,
    ))
}
