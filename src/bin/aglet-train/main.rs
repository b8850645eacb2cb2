//! `aglet-train`: the training companion. Each subcommand turns its arguments into library calls.

mod bench;
#[path = "../aglet/evaluate/compare.rs"]
mod compare;
mod data;
mod interpolate;
mod products;
mod stand_in;

use std::path::PathBuf;
use std::time::Duration;

use aglet::evaluate::split::held_out;
use aglet::train::data::attribute;
use aglet::train::data::batch::Source;
use aglet::train::data::product::{self, Frame, Product};
use aglet::train::data::set::split::Side;
use aglet::train::data::vocabulary::{self, Vocabulary};
use aglet::train::net::parameters::ClipConfig;
use aglet::train::net::positions;
use aglet::train::run::checkpoint::Precision;
use aglet::train::run::fit::{self, Run};
use aglet::train::run::folder::{self, Which};
use aglet::train::run::metrics::Metric;
use aglet::train::run::recipe::Recipe;
use aglet::train::run::validate;
use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use products::Products;

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
    Prepare(data::PrepareArgs),
    Enrich(data::EnrichArgs),
    Label(data::LabelArgs),
    Fit(FitArgs),
    Export(ExportArgs),
    Score(ScoreArgs),
    Compare(compare::CompareArgs),
    Interpolate(interpolate::InterpolateArgs),
    Report(ReportArgs),
    StandIn(stand_in::StandInArgs),
    /// Time the step of `fit` (see tests/benches/train_step.py)
    #[command(hide = true)]
    Bench(bench::BenchArgs),
}

/// Train a model by a recipe. Never trained on: a data set's validation and test sides, and of a
/// catalog the products that `evaluate::split` holds out
#[derive(Args)]
struct FitArgs {
    /// The recipe, a TOML file (models/recipes/)
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// Change a field of the recipe, such as optimizer.rate=1e-4
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// A data set that `prepare` made, or a catalog in the Kaggle layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// A catalog in the Kaggle layout, some products of which are in every batch beside those of a
    /// data set, so that what the model knows of it is not forgotten
    #[arg(long, value_name = "DIR")]
    replay: Option<PathBuf>,
    /// The run's folder: checkpoint, metrics, vocabulary
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Begin at the weights and the vocabulary of this checkpoint folder (Hugging Face's layout)
    /// instead of random ones; the recipe's [model] then says nothing
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Go on where the run in that folder stopped
    #[arg(long)]
    resume: bool,
}

/// Write a run's weights as a checkpoint folder in Hugging Face's layout, for `aglet model export`
#[derive(Args)]
struct ExportArgs {
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[arg(long, value_enum, default_value = "average")]
    weights: Which,
    /// Half precision: half the size
    #[arg(long)]
    float16: bool,
}

/// Draw a run's curves anew: curves.svg and report.html in its folder
#[derive(Args)]
struct ReportArgs {
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
}

/// Measure a checkpoint folder on products that it was not trained on
#[derive(Args)]
struct ScoreArgs {
    /// A checkpoint folder in Hugging Face's layout
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// A data set that `prepare` made, or a catalog in the Kaggle layout, of which the held-out
    /// products count
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The side of the data set
    #[arg(long, value_enum, default_value = "test")]
    side: Side,
    /// The recipe whose [attribute] is measured on the data set, beside a guess from category and
    /// color alone
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Prepare(args) => data::prepare(&args),
        Command::Enrich(args) => data::enrich(args),
        Command::Label(args) => data::label(&args),
        Command::Fit(args) => fit(&args),
        Command::Export(args) => export(&args),
        Command::Score(args) => score(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Interpolate(args) => interpolate::run(&args),
        Command::Report(args) => report(&args),
        Command::StandIn(args) => stand_in::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}

fn fit(args: &FitArgs) -> anyhow::Result<()> {
    let recipe = Recipe::open(&args.recipe, &args.set)?;
    if !args.resume {
        // Before anything in it is written over.
        fit::vacant(&args.out)?;
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("making {}", args.out.display()))?;
    if recipe.training.lora.is_some() && args.from.is_none() {
        bail!("training.lora leaves the base as it is: --from must name one");
    }
    if recipe.loss.keep() && (args.from.is_none() || args.replay.is_none()) {
        bail!(
            "loss.keep_photos and loss.keep_words hold on to what a base says of a catalog: --from and --replay name them"
        );
    }
    let base = args.from.as_deref().map(folder::read).transpose()?;
    let base = match (base, recipe.training.image_size) {
        (Some((config, parameters)), Some(size)) => {
            Some(positions::resized(&config, parameters, size).map_err(anyhow::Error::msg)?)
        }
        (base, _) => base,
    };
    let framed = |config: ClipConfig| {
        config
            .framed(recipe.training.trim, recipe.training.views.clone())
            .map_err(anyhow::Error::msg)
    };
    let base = base
        .map(|(config, parameters)| anyhow::Ok((framed(config)?, parameters)))
        .transpose()?;
    let frame = match &base {
        Some((config, _)) => Frame::of(config),
        None => Frame::of(&framed(recipe.config(recipe.model.vocabulary))?),
    };
    let Products {
        train,
        beside,
        held,
    } = products::gather(args, &recipe, frame)?;
    let file = args.out.join("tokenizer.json");
    if let (Some(from), false) = (&args.from, args.resume && file.exists()) {
        std::fs::copy(from.join("tokenizer.json"), &file)
            .context("copying the checkpoint's tokenizer.json")?;
    } else if !(args.resume && file.exists()) {
        let texts = product::sample_captions(&train, recipe.run.seed);
        let learned = vocabulary::learn(texts.iter().map(String::as_str), recipe.model.vocabulary)?;
        std::fs::write(&file, learned).with_context(|| format!("writing {}", file.display()))?;
    }
    let context = base
        .as_ref()
        .map_or(recipe.model.context, |(config, _)| config.context);
    let vocabulary = Vocabulary::open(&file, context)?;
    let (config, from) = match base {
        Some((config, parameters)) => (config, Some(parameters)),
        None => (framed(recipe.config(vocabulary.size()))?, None),
    };
    let file = args.out.join("recipe.toml");
    std::fs::write(&file, toml::to_string(&recipe)?)
        .with_context(|| format!("writing {}", file.display()))?;
    let source = Source::new(train, beside, vocabulary, config, recipe.drawing())
        .teaching(held.classes.clone());
    let source = match &from {
        Some(base) => source.anchored(base, recipe.loss),
        None => source,
    };
    let source = if recipe.loss.facts > 0.0 {
        source.naming()
    } else {
        source
    };
    let plan = recipe.plan(source.steps_per_epoch());
    let (steps, time) = (plan.steps, plan.time);
    let mut run = Run::new(plan, &args.out, source, held, from, args.resume)?;
    if run.is_over() {
        eprintln!(
            "the run in {} is over: {} steps",
            args.out.display(),
            run.step()
        );
        return Ok(());
    }
    eprintln!(
        "{} parameters, at most {steps} steps",
        run.parameters().count()
    );
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}")?;
    let bar = ProgressBar::new(steps).with_style(style);
    run.train(|metric| show(&bar, metric, steps, time))?;
    bar.finish();
    Ok(())
}

/// The bar for a person at a terminal; a line now and then for a log file.
fn show(bar: &ProgressBar, metric: &Metric, steps: u64, time: Option<Duration>) {
    match metric {
        Metric::Step(step) => {
            #[expect(clippy::cast_precision_loss, reason = "a rough remaining time")]
            let by_steps = step.seconds_per_step * (steps.saturating_sub(step.step)) as f64;
            let left = time
                .map_or(by_steps, |t| by_steps.min(t.as_secs_f64() - step.seconds))
                .max(0.0);
            let line = format!(
                "loss {:.3} lr {:.1e} {:.0} images/s, {:.0} min left",
                step.losses.total,
                step.rate,
                step.images_per_second,
                left / 60.0
            );
            if bar.is_hidden() && step.step % 20 == 0 {
                eprintln!("step {} {line}", step.step);
            }
            bar.set_position(step.step);
            bar.set_message(line);
        }
        Metric::Validation { average, .. } => {
            bar.suspend(|| eprintln!("{}", serde_json::to_string(average).unwrap_or_default()));
        }
    }
}

fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let (config, parameters) = folder::read_run(&args.run, args.weights)?;
    let vocabulary = std::fs::read_to_string(args.run.join("tokenizer.json"))
        .context("the run's tokenizer.json")?;
    let precision = if args.float16 {
        Precision::F16
    } else {
        Precision::F32
    };
    folder::write(&args.to, &config, &parameters, &vocabulary, precision)?;
    eprintln!("{} parameters in {}", parameters.count(), args.to.display());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result")]
fn score(args: &ScoreArgs) -> anyhow::Result<()> {
    let (config, parameters) = folder::read(&args.model)?;
    let vocabulary = Vocabulary::open(&args.model.join("tokenizer.json"), config.context)?;
    let frame = Frame::of(&config);
    if !args.data.join("train.jsonl").is_file() {
        let products = product::read(&args.data, frame)?;
        let held: Vec<&Product> = products.iter().filter(|p| held_out(&p.id)).collect();
        if held.is_empty() {
            bail!(
                "{}: no product is held out, of a catalog of {}",
                args.data.display(),
                products.len()
            );
        }
        let scores = validate::scores(&config, &parameters, &vocabulary, &held);
        println!("{}", serde_json::to_string_pretty(&scores)?);
        return Ok(());
    }
    let recipe = args
        .recipe
        .as_deref()
        .map(|file| Recipe::open(file, &[]))
        .transpose()?;
    let attribute = recipe.and_then(|recipe| recipe.attribute);
    let name = attribute.as_ref().map(|a| a.name.as_str());
    let list = product::read_set(&args.data, args.side, name, frame)?;
    let products: Vec<&Product> = list.iter().collect();
    let mut scores = validate::scores(&config, &parameters, &vocabulary, &products);
    let mut guessed = None;
    if let Some(attribute) = attribute.clone() {
        let train = product::read_set(&args.data, Side::Train, name, frame)?;
        let classes = product::classes(&args.data, attribute, &train)?;
        let words = attribute::embed(&classes, &config, &parameters, &vocabulary);
        let photos = validate::embed_photos(&config, &parameters, &products);
        scores.attribute = attribute::classify(&classes, &words, &products, &photos);
        guessed = attribute::guess(&classes, &train, &products);
    }
    println!(
        "{}",
        serde_json::to_string_pretty(&serde_json::json!({"scores": scores, "guess": guessed}))?
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result")]
fn report(args: &ReportArgs) -> anyhow::Result<()> {
    aglet::train::run::report::write(&args.run)?;
    println!("{}", args.run.join("report.html").display());
    Ok(())
}
