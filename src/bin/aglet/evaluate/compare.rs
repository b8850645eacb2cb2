//! `aglet evaluate compare` and `aglet-train compare`: many epochs or models, one table, the best and why.

use std::path::{Path, PathBuf};

use aglet::config::{Config, Settings};
use aglet::domain::{AttributeName, Filters};
use aglet::encode::Device;
use aglet::evaluate::catalog::{Among, Plan};
use aglet::evaluate::compare::{Comparison, Exam, Rule, model_folders};
use aglet::evaluate::datasets::{self, Data};
use aglet::evaluate::html;
use aglet::evaluate::shop::{Shop, source_at};
use aglet::evaluate::split::held_out;
use aglet::evaluate::suite::Suite;
use aglet::evaluate::zero_shot::Prompts;
use anyhow::Context as _;
use clap::Args;

/// Compare models or a run's epochs: pretest, retrieval, benchmarks in one table; the best by a stated rule
#[derive(Args)]
pub struct CompareArgs {
    /// Model folders, or folders of them; the first is the base
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
    /// fashion-mnist:DIR, in-shop:DIR, classes:DIR or csv:FILE; repeatable. Their macro F1 is guarded
    #[arg(long, value_name = "DATA")]
    labeled: Vec<Data>,
    /// A TOML file with the rule: weights, guards, tolerance, at the top or in a table [compare]
    #[arg(long, value_name = "FILE")]
    rule: Option<PathBuf>,
    /// Where answers are kept, by model and data
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
    let (exam, rule) = (exam(args)?, rule(args.rule.as_deref())?);
    let settings = Settings { runtime: args.runtime.clone(), device: args.device, ..Settings::default() };
    let options = Config::check(settings)?.encoder;
    let folders = model_folders(&args.models)?;
    let mut models = Vec::new();
    for folder in &folders {
        let document = exam.sit(folder, &options, &args.cache, &mut |doing| eprintln!("{doing}"))?;
        models.push((folder.display().to_string(), document));
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
        let shop = Shop::read(&source_at(path, &[], None)?)?;
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

fn rule(path: Option<&Path>) -> anyhow::Result<Rule> {
    let Some(path) = path else { return Ok(Rule::default()) };
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let recipe: Option<RuleFile> = toml::from_str(&text).ok();
    match recipe.and_then(|file| file.compare) {
        Some(rule) => Ok(rule),
        None => toml::from_str(&text).with_context(|| path.display().to_string()),
    }
}
