//! `aglet-train fit`: a run by a recipe.

use std::path::PathBuf;
use std::time::Duration;

use aglet::train::run::begin::{self, Inputs};
use aglet::train::run::metrics::Metric;
use aglet::train::run::products::Sources;
use aglet::train::run::recipe::Recipe;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

/// Train a model by a recipe. A data set's validation and test sides are not trained on, nor are a
/// catalog's held-out products (a tenth, by a hash of the id)
#[derive(Args)]
pub struct FitArgs {
    /// The recipe, a TOML file (models/recipes/)
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// Change a field of the recipe, such as optimizer.rate=1e-4
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// A data set that `prepare` made, or a catalog in the Kaggle layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// A general catalog in the Kaggle layout. Some of its products are in every batch, so that the
    /// model does not forget what it knows of them
    #[arg(long, value_name = "DIR")]
    replay: Option<PathBuf>,
    /// The run's folder: checkpoint, metrics, vocabulary
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Begin at the weights and the vocabulary of this checkpoint folder (Hugging Face's layout)
    /// instead of random weights; the recipe's [model] is then not used
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Go on where the run in that folder stopped
    #[arg(long)]
    resume: bool,
}

pub fn run(args: &FitArgs) -> anyhow::Result<()> {
    let recipe = Recipe::open(&args.recipe, &args.set)?;
    let inputs = Inputs {
        sources: Sources {
            data: &args.data,
            replay: args.replay.as_deref(),
        },
        out: &args.out,
        from: args.from.as_deref(),
        resume: args.resume,
    };
    let mut begun = begin::begin(&recipe, inputs)?;
    for warning in &begun.warnings {
        eprintln!("{warning}");
    }
    let mixed_in: Vec<String> = begun.mixed_in.iter().map(usize::to_string).collect();
    eprintln!(
        "{} products to train on, {} mixed in (drawn, replayed), {} held out",
        begun.train,
        mixed_in.join(" and "),
        begun.held_out
    );
    let (steps, time) = (begun.steps, begun.time);
    if begun.run.is_over() {
        let done = begun.run.step();
        eprintln!("the run in {} is over: {done} steps", args.out.display());
        return Ok(());
    }
    let parameters = begun.run.parameters().count();
    eprintln!("{parameters} parameters, at most {steps} steps");
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}")?;
    let bar = ProgressBar::new(steps).with_style(style);
    begun.run.train(|metric| show(&bar, metric, steps, time))?;
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
