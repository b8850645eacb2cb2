//! `aglet-train enrich`: a sentence about every photo of a data set.

use std::path::PathBuf;
use std::time::Duration;

use aglet::evaluate::data::data_set;
use aglet::train::data::set::enrich::{self, Asking};
use aglet::train::data::set::templates::Templates;
use clap::Args;

use super::progress;

/// Add a sentence about each photo, by a vision-language model
#[derive(Args)]
pub struct EnrichArgs {
    /// The data set's folder
    #[arg(long, value_name = "DIR")]
    set: PathBuf,
    /// A server that speaks Ollama's API
    #[arg(long, value_name = "URL", default_value = "http://localhost:11434")]
    endpoint: String,
    #[arg(long, value_name = "NAME", default_value = "bakllava")]
    model: String,
    #[arg(long, default_value = "Describe the item in the image.")]
    prompt: String,
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Tries of a request
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    tries: u32,
    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,
}

pub fn run(args: EnrichArgs) -> anyhow::Result<()> {
    let templates = args.set.join(data_set::CAPTIONS);
    if !Templates::open(&templates)?.names("sentence") {
        eprintln!(
            "{}: no template names {{sentence}}, so no caption will contain the sentences",
            templates.display()
        );
    }
    let asking = Asking {
        endpoint: args.endpoint,
        model: args.model,
        prompt: args.prompt,
        concurrency: usize::from(args.concurrency),
        tries: args.tries,
        pause: Duration::from_secs(1),
        patience: Duration::from_secs(args.patience),
    };
    let bar = progress::bar("asking")?;
    let summary = enrich::enrich(&args.set, &asking, |done, total| {
        progress::show(&bar, done, total);
    })?;
    bar.finish_and_clear();
    println!(
        "{} pictures described, {} products described before, {} without a sentence",
        summary.asked, summary.known, summary.failed
    );
    Ok(())
}
