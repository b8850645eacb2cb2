//! `aglet-train prepare`: from a catalog to a data set.

use std::path::PathBuf;

use aglet::catalog::source::Source;
use aglet::domain::AttributeName;
use aglet::train::data::set::prepare::{self, Preparation};
use aglet::train::data::set::split::{self, TestSide};
use aglet::train::data::set::templates::{self, Templates};
use anyhow::Context as _;
use clap::Args;

use super::progress;

/// Make a data set of a catalog: choose products, split them, write their captions
#[derive(Args)]
pub struct PrepareArgs {
    /// The catalog in the Kaggle layout: styles.csv, images/ or a zip archive of images, and
    /// shoelaces.csv if there is one
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "products",
        conflicts_with = "products"
    )]
    data: Option<PathBuf>,
    /// The catalog in Aglet's own layout: a file of JSON Lines
    #[arg(long, value_name = "FILE")]
    products: Option<PathBuf>,
    /// Folders and zip archives of pictures, the preferred one first [default: those beside the
    /// catalog]
    #[arg(long, value_name = "PATH")]
    images: Vec<PathBuf>,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only products with this value, such as subCategory=Shoes; the same column again adds a value,
    /// another column must match too
    #[arg(long = "where", value_name = "COLUMN=VALUE", value_parser = pair)]
    filters: Vec<(String, String)>,
    /// Join an attribute from a CSV file with the columns id and ATTRIBUTE
    #[arg(long, value_name = "ATTRIBUTE=FILE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Drop products without this attribute
    #[arg(long, value_name = "ATTRIBUTE", value_parser = attribute)]
    require: Vec<AttributeName>,
    /// The attribute whose values are split in the same proportions
    #[arg(long, value_name = "ATTRIBUTE", default_value = "category", value_parser = attribute)]
    class: AttributeName,
    /// The part of every class that is kept for the test; or held-out: the products that the bundled
    /// models were not trained on
    #[arg(long, value_name = "PART", default_value = "0.2")]
    test: TestSide,
    /// The part of the rest that chooses the best epoch
    #[arg(long, value_name = "PART", default_value = "0.1", value_parser = split::part)]
    validation: f64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Caption templates, a TOML file [default: built in; written to the folder]
    #[arg(long, value_name = "FILE")]
    templates: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn attribute(text: &str) -> Result<AttributeName, String> {
    AttributeName::new(text).map_err(|e| e.to_string())
}

pub fn run(args: PrepareArgs) -> anyhow::Result<()> {
    let source = match (args.products, args.data) {
        (Some(file), _) => Source::feed(file, args.images),
        (None, folder) => {
            let folder = folder.context("--data or --products must be given")?;
            prepare::kaggle_source(&folder, args.images)?
        }
    };
    let labels = args
        .labels
        .into_iter()
        .map(|(name, file)| Ok((AttributeName::new(&name)?, PathBuf::from(file))));
    let preparation = Preparation {
        source,
        filters: args.filters,
        labels: labels.collect::<anyhow::Result<_>>()?,
        require: args.require,
        class: args.class,
        test: args.test,
        validation: args.validation,
        seed: args.seed,
        templates: match &args.templates {
            Some(file) => Templates::open(file)?,
            None => Templates::parse(templates::DEFAULT)?,
        },
    };
    let bar = progress::bar("reading pictures")?;
    let report = prepare::prepare(&preparation, &args.out, |done, total| {
        progress::show(&bar, done, total);
    })?;
    bar.finish_and_clear();
    print!("{}", report.table(&preparation.class));
    println!(
        "written to {} (report.json names every product that was dropped)",
        args.out.display()
    );
    Ok(())
}
