//! `aglet evaluate compare` and `aglet-train compare`: many epochs or models, one table, the best
//! and why. Both programs parse [`CompareArgs`] and call [`run`].

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::choice::encoder_options;
use super::console::Console;
use super::error::CommandError;
use super::output::write;
use crate::domain::{AttributeName, Filters};
use crate::encode::Device;
use crate::evaluate::benchmark::catalog::{Among, CatalogOptions};
use crate::evaluate::benchmark::compare::candidates::{export_once, files_sha256};
use crate::evaluate::benchmark::compare::{Candidate, Comparison, Rule, Tasks, candidates};
use crate::evaluate::data::data_set;
use crate::evaluate::data::labeled_catalog::LabeledCatalog;
use crate::evaluate::data::labeled_images::location::LabeledImagesLocation;
use crate::evaluate::data::labeled_images::products;
use crate::evaluate::data::suite::Suite;
use crate::evaluate::report::{html, tables};

/// Compare models or a run's epochs: pretest, retrieval, benchmarks in one table; the best by a
/// stated rule
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// Model folders, checkpoints in Hugging Face's layout, runs of `aglet-train fit` (every epoch
    /// that was kept, else the best weights), or folders of such; the first is the base
    #[arg(required = true, value_name = "RUN|MODEL")]
    models: Vec<PathBuf>,
    /// A labeled catalog: the pretest and the catalog benchmark ask its held-out products, the
    /// suite all of it. Or a data set of `aglet-train prepare`, such as WORK/set, of which the
    /// whole test side is asked: give that where a run was trained on it, because its split is its
    /// own
    #[arg(long, value_name = "PATH")]
    catalog: Option<PathBuf>,
    /// The pretest recognizes this attribute
    #[arg(long, default_value = "shoelace_color", value_parser = AttributeName::new)]
    attribute: AttributeName,
    /// A retrieval suite over the catalog
    #[arg(long, value_name = "FILE", requires = "catalog")]
    suite: Option<PathBuf>,
    /// Leave the catalog benchmark out
    #[arg(long)]
    no_catalog_benchmark: bool,
    /// fashion-mnist:DIR, in-shop:DIR, classes:DIR, csv:FILE or `set:PATH[@ATTRIBUTE]`; repeatable.
    /// Their macro F1 is guarded
    #[arg(long, value_name = "DATA")]
    labeled: Vec<LabeledImagesLocation>,
    /// A TOML file with the rule: weights, guards, tolerance, at the top or in a table `[compare]`
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

/// Writes the best weights of a training run (the first path) as a checkpoint folder (the second).
/// That takes the training companion, which this room does not know.
pub type CheckpointWriter<'a> =
    &'a dyn Fn(&Path, &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// For a program without the training companion: refuses every run, and says what to do.
///
/// # Errors
/// Always.
pub fn refuse_run(run: &Path, _: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let run = run.display();
    let reason = format!(
        "{run} is a training run, whose weights this program does not read: compare with `aglet-train compare`, or make \
         a checkpoint of it first (`aglet-train export --run {run} --to CHECKPOINT`)"
    );
    Err(reason.into())
}

/// Measures every model, chooses, prints and writes.
///
/// # Errors
/// When something cannot be read or measured, a file cannot be written, or a question was not
/// answered.
pub fn run(
    args: &CompareArgs,
    write_checkpoint: CheckpointWriter<'_>,
    console: &mut dyn Console,
) -> Result<(), CommandError> {
    let (tasks, rule) = (tasks(args)?, rule(args)?);
    let options = encoder_options(args.runtime.as_deref(), args.device)?;
    let candidates = candidates(&args.models)?;
    let mut models = Vec::new();
    for candidate in &candidates {
        let name = candidate.path().display().to_string();
        let folder = model_folder(candidate, &args.cache, write_checkpoint)?;
        let document = tasks.measure(&folder, &options, &args.cache, &mut |doing| {
            console.note(&format!("{name}: {doing}"));
        })?;
        models.push((name, document));
    }
    let mut comparison = Comparison::new(models, &rule);
    let asks_a_catalog = args
        .catalog
        .as_deref()
        .is_some_and(|path| data_set::side_at(path).is_none());
    if asks_a_catalog {
        comparison.why.extend(other_splits(&candidates));
    }
    show(args, &comparison, console)?;
    let failures: usize = comparison
        .models
        .iter()
        .map(|(_, document)| document.failures())
        .sum();
    match failures {
        0 => Ok(()),
        failures => Err(CommandError::Questions(failures)),
    }
}

fn show(
    args: &CompareArgs,
    comparison: &Comparison,
    console: &mut dyn Console,
) -> Result<(), CommandError> {
    let table = tables::comparison(comparison);
    let reasons = |before: &str| -> String {
        let lines = comparison.why.iter();
        lines.map(|line| [before, line, "\n"].concat()).collect()
    };
    console.print(&format!("{}\n{}\n", table.plain(), reasons("")));
    if let Some(path) = &args.csv {
        write(path, &table.csv())?;
    }
    if let Some(path) = &args.markdown {
        write(path, &format!("{}\n{}", table.markdown(), reasons("- ")))?;
    }
    if let Some(path) = &args.html {
        write(path, &html::comparison(comparison))?;
    }
    Ok(())
}

fn tasks(args: &CompareArgs) -> Result<Tasks, CommandError> {
    let mut tasks = Tasks::default();
    for location in &args.labeled {
        tasks.labeled.push(location.read()?);
    }
    let Some(path) = &args.catalog else {
        return Ok(tasks);
    };
    let catalog = LabeledCatalog::at(path, &[], None)?;
    let unseen = catalog
        .clone()
        .only(&Filters::default(), |p| catalog.asks(&p.id));
    let which = if catalog.is_data_set {
        "of the data set"
    } else {
        "held out"
    };
    let name = format!("{}, {which}", args.attribute);
    // A catalog without the attribute, or too small to hold anything out, has no pretest.
    if let Ok(set) = products::read(&unseen, &args.attribute, &name) {
        let prompts = set.prompts();
        tasks.pretest = Some((set, prompts));
    }
    if let Some(path) = &args.suite {
        let suite = Suite::load(path)?;
        let filters = Filters::new(suite.pool.pairs())?;
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        let pool = catalog.clone().only(&filters, |_| true);
        tasks.suite = Some((suite, folder, pool));
    }
    if !args.no_catalog_benchmark {
        let options = CatalogOptions {
            among: Among::HeldOut,
            ..CatalogOptions::default()
        };
        tasks.catalog = Some((catalog, options));
    }
    Ok(tasks)
}

/// The candidate as a model folder.
fn model_folder(
    candidate: &Candidate,
    cache: &Path,
    write_checkpoint: CheckpointWriter<'_>,
) -> Result<PathBuf, CommandError> {
    Ok(match candidate {
        Candidate::Model(folder) => folder.clone(),
        Candidate::Checkpoint(folder) => export_once(folder, cache)?,
        Candidate::Run(run) => export_once(&checkpoint_of(run, cache, write_checkpoint)?, cache)?,
    })
}

/// The best weights of a run as a checkpoint in the cache: the one that was made before, or made
/// now.
fn checkpoint_of(
    run: &Path,
    cache: &Path,
    write_checkpoint: CheckpointWriter<'_>,
) -> Result<PathBuf, CommandError> {
    let sha256 = files_sha256(run).map_err(|source| CommandError::Io {
        path: run.to_owned(),
        source,
    })?;
    // The folder's name becomes the model's.
    let name = run.file_name().unwrap_or("run".as_ref());
    let checkpoint = cache.join("checkpoints").join(&sha256[..16]).join(name);
    if !checkpoint.join("model.safetensors").is_file() {
        write_checkpoint(run, &checkpoint).map_err(CommandError::Run)?;
    }
    Ok(checkpoint)
}

/// Warns of the runs that were trained on a data set with a split of its own, which may have put
/// held-out products into training. A run's recipe shows it by the attribute that is learned, which
/// takes such a set.
fn other_splits(candidates: &[Candidate]) -> Vec<String> {
    let mut runs: Vec<&Path> = Vec::new();
    for candidate in candidates {
        // A kept epoch is in epochs/003 of its run.
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

/// As much of a run's recipe as a comparison needs.
#[derive(Deserialize)]
struct Recipe {
    compare: Option<Rule>,
}

#[derive(Deserialize)]
struct LearningRecipe {
    attribute: Option<toml::Table>,
}

fn learns_an_attribute(run: &Path) -> bool {
    let recipe = std::fs::read_to_string(run.join("recipe.toml")).ok();
    recipe
        .and_then(|text| toml::from_str::<LearningRecipe>(&text).ok())
        .is_some_and(|recipe| recipe.attribute.is_some())
}

fn rule(args: &CompareArgs) -> Result<Rule, CommandError> {
    if let Some(path) = &args.rule {
        let text = std::fs::read_to_string(path).map_err(|source| CommandError::Io {
            path: path.clone(),
            source,
        })?;
        if let Some(rule) = rule_of_recipe(&text) {
            return Ok(rule);
        }
        return toml::from_str(&text).map_err(|source| CommandError::Toml {
            path: path.clone(),
            source,
        });
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
    toml::from_str::<Recipe>(text).ok()?.compare
}
