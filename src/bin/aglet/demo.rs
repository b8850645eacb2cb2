//! `aglet demo`: writes a demonstration catalog.

use std::path::PathBuf;

use aglet::demo::{self, Plan};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

/// Draw a catalog of invented shoes: styles.csv, shoelaces.csv and images/, in the layout of the
/// Kaggle data set
#[derive(clap::Args)]
pub struct DemoArgs {
    /// The folder to write; a new or an empty one
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many products
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    products: u64,
    /// The same seed draws the same products
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Replace the catalog in a folder that is not empty; other files in it stay
    #[arg(long)]
    force: bool,
    /// Also write one picture (PNG) with the first products side by side
    #[arg(long, value_name = "FILE")]
    contact_sheet: Option<PathBuf>,
}

/// How many products a contact sheet shows, how many in a row, and how wide each is.
const SHEET: (u64, u32, u32) = (96, 12, 112);

pub fn run(arguments: &DemoArgs) -> anyhow::Result<()> {
    let DemoArgs {
        out,
        products,
        seed,
        force,
        contact_sheet,
    } = arguments;
    let style = ProgressStyle::with_template("drawing {wide_bar} {pos}/{len} {eta}")?;
    let bar = ProgressBar::new(*products).with_style(style);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let plan = Plan {
        out,
        products: *products,
        seed: *seed,
        force: *force,
        threads,
    };
    demo::write(&plan, |done| bar.set_position(done))?;
    bar.finish_and_clear();
    if let Some(file) = contact_sheet {
        let (most, columns, width) = SHEET;
        let shown: Vec<_> = (0..*products.min(&most))
            .map(|i| demo::draw(*seed, i))
            .collect();
        let sheet = demo::contact_sheet(&shown, columns, width);
        sheet
            .save(file)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    println!("{products} products in {}", out.display());
    Ok(())
}
