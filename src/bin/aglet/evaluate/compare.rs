//! `aglet evaluate compare` and `aglet-train compare`: many epochs or models, one table, the best
//! and why.

use std::path::{Path, PathBuf};

use aglet::config::{Config, Settings};
use aglet::domain::{AttributeName, Filters};
use aglet::encode::Device;
use aglet::evaluate::catalog::{Among, Plan};
use aglet::evaluate::compare::{Candidate, Comparison, Exam, Rule, candidates, export_once};
use aglet::evaluate::data::data_set;
use aglet::evaluate::datasets::{self, Data};
use aglet::evaluate::document;
use aglet::evaluate::html;
use aglet::evaluate::shop::Shop;
use aglet::evaluate::suite::Suite;
use anyhow::{Context as _, ensure};
use clap::Args;

/// Compare models or a run's epochs: pretest, retrieval, benchmarks in one table; the best by a
/// stated rule
#[derive(Args)]
pub struct CompareArgs {
    /// Model folders, checkpoints in Hugging Face's layout, runs of `aglet-train fit` (every epoch
    /// that was kept, else the best weights), or folders of such; the first is the base
    #[arg(required = true, value_name = "RUN|MODEL")]
    models: Vec<PathBuf>,
    /// A labeled catalogue: the pretest and the catalogue benchmark ask its held-out products, the
    /// suite all of it. Or a data set of `aglet-train prepare`, such as WORK/set, of which the
    /// whole test side is asked: give that where a run was trained on it, for its split is its own
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
    /// fashion-mnist:DIR, in-shop:DIR, classes:DIR, csv:FILE or set:PATH[@ATTRIBUTE]; repeatable.
    /// Their macro F1 is guarded
    #[arg(long, value_name = "DATA")]
    labeled: Vec<Data>,
    /// A TOML file with the rule: weights, guards, tolerance, at the top or in a table [compare]
    /// [default: that of the recipe of the first run that has one]
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

/// What shows of a run's recipe, on which data it was trained.
#[derive(serde::Deserialize)]
struct Recipe {
    attribute: Option<toml::Table>,
}

#[expect(clippy::print_stdout, reason = "the result")]
pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    let (exam, rule) = (exam(args)?, rule(args)?);
    let settings = Settings {
        runtime: args.runtime.clone(),
        device: args.device,
        ..Settings::default()
    };
    let options = Config::check(settings)?.encoder;
    let mut models = Vec::new();
    let candidates = candidates(&args.models)?;
    for candidate in &candidates {
        let name = candidate.path().display().to_string();
        let folder = opened(candidate, &args.cache)?;
        let document = exam.sit(&folder, &options, &args.cache, &mut |doing| {
            eprintln!("{name}: {doing}")
        })?;
        models.push((name, document));
    }
    let mut comparison = Comparison::new(models, &rule);
    if args
        .catalog
        .as_deref()
        .is_some_and(|path| data_set::side_at(path).is_none())
    {
        comparison.why.extend(other_splits(&candidates));
    }
    let reasons = |before: &str| {
        comparison
            .why
            .iter()
            .map(|w| [before, w, "\n"].concat())
            .collect::<String>()
    };
    println!("{}\n{}", comparison.table().plain(), reasons(""));
    if let Some(path) = &args.csv {
        document::write(path, &comparison.table().csv())?;
    }
    if let Some(path) = &args.markdown {
        document::write(
            path,
            &format!("{}\n{}", comparison.table().markdown(), reasons("- ")),
        )?;
    }
    if let Some(path) = &args.html {
        document::write(path, &html::comparison(&comparison))?;
    }
    let parts = comparison
        .models
        .iter()
        .flat_map(|(_, document)| &document.parts);
    let failures: usize = parts.map(|part| part.outcome.failures()).sum();
    ensure!(failures == 0, "{failures} questions were not answered");
    Ok(())
}

/// The runs that were trained on a data set with a split of its own, which may have put held-out
/// products into training. A run's recipe shows it by the attribute that is learned, which takes
/// such a set.
fn other_splits(candidates: &[Candidate]) -> Vec<String> {
    let mut runs: Vec<&Path> = Vec::new();
    for candidate in candidates {
        // A kept epoch lies in epochs/003 of its run.
        let run = candidate
            .path()
            .ancestors()
            .take(3)
            .find(|folder| learns_an_attribute(folder));
        runs.extend(run.filter(|run| !runs.contains(run)));
    }
    let line = |run: &Path| {
        format!(
            "WARNING: {} was trained on a data set of `aglet-train prepare`. Unless that was made with `--test held-out`, \
             products that are asked here may be among those that it was trained on: compare with --catalog SET, which \
             asks the set's own test side",
            run.display()
        )
    };
    runs.into_iter().map(line).collect()
}

fn learns_an_attribute(run: &Path) -> bool {
    let recipe = std::fs::read_to_string(run.join("recipe.toml")).ok();
    recipe
        .and_then(|text| toml::from_str::<Recipe>(&text).ok())
        .is_some_and(|recipe| recipe.attribute.is_some())
}

fn exam(args: &CompareArgs) -> anyhow::Result<Exam> {
    let mut exam = Exam::default();
    if let Some(path) = &args.catalog {
        let shop = Shop::at(path, &[], None)?;
        let unseen = shop.clone().only(&Filters::default(), |p| shop.asks(&p.id));
        let which = if shop.prepared {
            "of the data set"
        } else {
            "held out"
        };
        // A catalogue without the attribute, or too small to hold anything out, has no pretest.
        if let Ok(set) = datasets::of_shop(
            &unseen,
            &args.attribute,
            &format!("{}, {which}", args.attribute),
        ) {
            let prompts = set.prompts();
            exam.pretest = Some((set, prompts));
        }
        if let Some(path) = &args.suite {
            let suite = Suite::load(path)?;
            let shop = shop
                .clone()
                .only(&Filters::new(suite.pool.pairs())?, |_| true);
            exam.suite = Some((
                suite,
                path.parent().unwrap_or(Path::new(".")).to_owned(),
                shop,
            ));
        }
        if !args.no_catalog_benchmark {
            exam.catalog = Some((
                shop,
                Plan {
                    among: Among::HeldOut,
                    ..Plan::default()
                },
            ));
        }
    }
    exam.labeled = args
        .labeled
        .iter()
        .map(Data::read)
        .collect::<Result<_, _>>()?;
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

/// The best weights of a run, as a checkpoint in the cache.
#[cfg(feature = "train")]
fn checkpoint_of(run: &Path, cache: &Path) -> anyhow::Result<PathBuf> {
    Ok(aglet::train::tools::compared::checkpoint_of(run, cache)?)
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
    let mut recipes = args
        .models
        .iter()
        .filter_map(|path| std::fs::read_to_string(path.join("recipe.toml")).ok());
    Ok(recipes
        .find_map(|text| rule_of_recipe(&text))
        .unwrap_or_default())
}

fn rule_of_recipe(text: &str) -> Option<Rule> {
    toml::from_str::<RuleFile>(text).ok()?.compare
}
