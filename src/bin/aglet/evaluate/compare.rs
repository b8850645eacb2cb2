//! `aglet evaluate compare` and `aglet-train compare`: many epochs or models, one table, the best and why.

use std::path::{Path, PathBuf};

use aglet::config::{Config, Settings};
use aglet::domain::{AttributeName, Filters};
use aglet::encode::Device;
use aglet::evaluate::catalog::{Among, Plan};
use aglet::evaluate::compare::{Candidate, Comparison, Exam, Rule, candidates, export_once};
use aglet::evaluate::datasets::{self, Data};
use aglet::evaluate::html;
use aglet::evaluate::shop::Shop;
use aglet::evaluate::split::held_out;
use aglet::evaluate::suite::Suite;
use aglet::evaluate::zero_shot::Prompts;
use anyhow::Context as _;
use clap::Args;

/// Compare models or a run's epochs: pretest, retrieval, benchmarks in one table; the best by a stated rule
#[derive(Args)]
pub struct CompareArgs {
    /// Model folders, checkpoints in Hugging Face's layout, runs of `aglet-train fit` (every epoch that was kept, else
    /// the best weights), or folders of such; the first is the base
    #[arg(required = true, value_name = "RUN|MODEL")]
    models: Vec<PathBuf>,
    /// A labeled catalogue (see `aglet evaluate --help`): the pretest and the catalogue benchmark ask its held-out
    /// products, the suite all of it
    #[arg(long, value_name = "PATH")]
    catalog: Option<PathBuf>,
    /// The pretest recognizes this attribute
    #[arg(long, default_value = "shoelace_color", value_parser = AttributeName::new)]
    attribute: AttributeName,
    /// A retrieval suite over the catalogue
    #[arg(long, value_name = "FILE", requires = "catalog")]
    suite: Option<PathBuf>,
    /// Leave the catalogue benchmark out
    #[arg(long)]
    no_catalog_benchmark: bool,
    /// fashion-mnist:DIR, in-shop:DIR, classes:DIR, csv:FILE or set:PATH[@ATTRIBUTE]; repeatable. Their macro F1 is guarded
    #[arg(long, value_name = "DATA")]
    labeled: Vec<Data>,
    /// A TOML file with the rule: weights, guards, tolerance, at the top or in a table [compare] [default: that of the
    /// recipe of the first run that has one]
    #[arg(long, value_name = "FILE")]
    rule: Option<PathBuf>,
    /// Where answers are kept, by model and data, and model folders made of checkpoints
    #[arg(long, value_name = "DIR", default_value = "target/evaluate")]
    cache: PathBuf,
    /// ONNX Runtime's library, or the folder that holds it
    #[arg(long, value_name = "PATH", env = "AGLET_RUNTIME")]
    runtime: Option<PathBuf>,
    /// auto: CUDA where it works, else the CPU
    #[arg(long, env = "AGLET_DEVICE")]
    device: Option<Device>,
    /// Write the table
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the table and the reasons
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write a report with each model against the base
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(serde::Deserialize)]
struct RuleFile {
    compare: Option<Rule>,
}

#[expect(clippy::print_stdout, reason = "the result")]
pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    let (exam, rule) = (exam(args)?, rule(args)?);
    let settings = Settings { runtime: args.runtime.clone(), device: args.device, ..Settings::default() };
    let options = Config::check(settings)?.encoder;
    let mut models = Vec::new();
    for candidate in candidates(&args.models)? {
        let name = candidate.path().display().to_string();
        let folder = opened(&candidate, &args.cache)?;
        let document = exam.sit(&folder, &options, &args.cache, &mut |doing| eprintln!("{name}: {doing}"))?;
        models.push((name, document));
    }
    let comparison = Comparison::new(models, &rule);
    let reasons = |before: &str| comparison.why.iter().map(|w| [before, w, "\n"].concat()).collect::<String>();
    println!("{}\n{}", comparison.table().plain(), reasons(""));
    let write = |path: &Option<PathBuf>, text: String| match path {
        Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string()),
        None => Ok(()),
    };
    write(&args.csv, comparison.table().csv())?;
    write(&args.markdown, format!("{}\n{}", comparison.table().markdown(), reasons("- ")))?;
    write(&args.html, html::comparison(&comparison))
}

fn exam(args: &CompareArgs) -> anyhow::Result<Exam> {
    let mut exam = Exam::default();
    if let Some(path) = &args.catalog {
        let shop = Shop::at(path, &[], None)?;
        let unseen = shop.clone().only(&Filters::default(), |p| held_out(p.id.as_str()));
        // A catalogue without the attribute, or too small to hold anything out, has no pretest.
        if let Ok(set) = datasets::of_shop(&unseen, &args.attribute, &format!("{}, held out", args.attribute)) {
            let mut prompts = Prompts::for_attribute(&args.attribute);
            prompts.instead.retain(|class, _| set.classes.contains(class));
            exam.pretest = Some((set, prompts));
        }
        if let Some(path) = &args.suite {
            let suite = Suite::load(path)?;
            let among = suite.pool.among();
            let pool = shop.clone().only(&Filters::new(suite.pool.pairs())?, |p| among(&p.id));
            exam.suite = Some((suite, path.parent().unwrap_or(Path::new(".")).to_owned(), pool));
        }
        if !args.no_catalog_benchmark {
            exam.catalog = Some((shop, Plan { among: Among::HeldOut, ..Plan::default() }));
        }
    }
    exam.labeled = args.labeled.iter().map(Data::read).collect::<Result<_, _>>()?;
    Ok(exam)
}

/// The candidate as a model folder.
fn opened(candidate: &Candidate, cache: &Path) -> anyhow::Result<PathBuf> {
    Ok(match candidate {
        Candidate::Model(folder) => folder.clone(),
        Candidate::Checkpoint(folder) => export_once(folder, cache)?,
        Candidate::Run(folder) => export_once(&checkpoint_of(folder, cache)?, cache)?,
    })
}

/// The best weights of a run (the averaged ones where none were chosen), as a checkpoint in the cache.
#[cfg(feature = "train")]
fn checkpoint_of(run: &Path, cache: &Path) -> anyhow::Result<PathBuf> {
    use aglet::evaluate::compare::files_sha256;
    use aglet::train::checkpoint::Precision;
    use aglet::train::folder::{self, Which};

    let sha256 = files_sha256(run).with_context(|| run.display().to_string())?;
    let name = run.file_name().context("a run's folder has a name")?;
    let checkpoint = cache.join("checkpoints").join(&sha256[..16]).join(name);
    if !checkpoint.join("model.safetensors").is_file() {
        let which = if run.join("best.safetensors").is_file() { Which::Best } else { Which::Average };
        let (config, parameters) = folder::read_run(run, which)?;
        let tokenizer = run.join("tokenizer.json");
        let vocabulary = std::fs::read_to_string(&tokenizer).with_context(|| tokenizer.display().to_string())?;
        folder::write(&checkpoint, &config, &parameters, &vocabulary, Precision::F32)?;
    }
    Ok(checkpoint)
}

#[cfg(not(feature = "train"))]
fn checkpoint_of(run: &Path, _: &Path) -> anyhow::Result<PathBuf> {
    let run = run.display();
    anyhow::bail!(
        "{run} is a training run, whose weights this program does not read: compare with `aglet-train compare`, or make \
         a checkpoint of it first (`aglet-train export --run {run} --to CHECKPOINT`)"
    )
}

fn rule(args: &CompareArgs) -> anyhow::Result<Rule> {
    if let Some(path) = &args.rule {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        return match rule_of_recipe(&text) {
            Some(rule) => Ok(rule),
            None => toml::from_str(&text).with_context(|| path.display().to_string()),
        };
    }
    let mut recipes = args.models.iter().filter_map(|path| std::fs::read_to_string(path.join("recipe.toml")).ok());
    Ok(recipes.find_map(|text| rule_of_recipe(&text)).unwrap_or_default())
}

fn rule_of_recipe(text: &str) -> Option<Rule> {
    toml::from_str::<RuleFile>(text).ok()?.compare
}
