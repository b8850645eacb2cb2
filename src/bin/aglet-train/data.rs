//! `aglet-train prepare | enrich | label`: from a catalog to a data set.
#![expect(clippy::print_stdout, reason = "a command prints its result")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use aglet::catalog::source::Source;
use aglet::domain::AttributeName;
use aglet::train::data::set::enrich::Asking;
use aglet::train::data::set::prepare::{self, Plan, Report};
use aglet::train::data::set::split::{self, Side, Test};
use aglet::train::data::set::templates::{self, Templates};
use aglet::train::tools::label::{self, Labeling};
use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

/// Make a data set of a catalog: choose products, split them, put them into words
#[derive(Args)]
pub struct PrepareArgs {
    /// The catalog in the Kaggle layout: styles.csv, images/ or a zip of images, shoelaces.csv
    /// where there is one
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
    /// Folders and zip archives of pictures, the preferred first [default: those beside the
    /// catalog]
    #[arg(long, value_name = "PATH")]
    images: Vec<PathBuf>,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only products with this value, such as subCategory=Shoes; one column twice: either value,
    /// two columns: both
    #[arg(long = "where", value_name = "COLUMN=VALUE", value_parser = pair)]
    filters: Vec<(String, String)>,
    /// Join an attribute from a CSV file with the columns id and ATTRIBUTE
    #[arg(long, value_name = "ATTRIBUTE=FILE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Drop products without this attribute
    #[arg(long, value_name = "ATTRIBUTE", value_parser = attribute)]
    require: Vec<AttributeName>,
    /// The attribute whose values are split alike
    #[arg(long, value_name = "ATTRIBUTE", default_value = "category", value_parser = attribute)]
    class: AttributeName,
    /// The part of every class that is kept for the test, or held-out: the products kept from the
    /// bundled models
    #[arg(long, value_name = "PART", default_value = "0.2")]
    test: Test,
    /// The part of the rest that chooses the best epoch
    #[arg(long, value_name = "PART", default_value = "0.1", value_parser = split::part)]
    validation: f64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Caption templates, a TOML file [default: built in; written to the folder]
    #[arg(long, value_name = "FILE")]
    templates: Option<PathBuf>,
}

/// Add a sentence per product, said by a vision-language model that looks at its photo
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
    /// Tries of one request
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    tries: u32,
    /// Seconds that one answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,
}

/// Say photo by photo what an attribute's value is, on a local page driven by the keyboard
#[derive(Args)]
pub struct LabelArgs {
    /// The data set's folder
    #[arg(long, value_name = "DIR")]
    set: PathBuf,
    #[arg(long, value_name = "NAME", default_value = "shoelace_color", value_parser = attribute)]
    attribute: AttributeName,
    /// The values to choose from, separated by commas [default: those of the data set]
    #[arg(long, value_name = "VALUES", value_delimiter = ',')]
    values: Vec<String>,
    /// The CSV file of the result; what it holds counts as done
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where the page is; 0: any free port
    #[arg(long, default_value_t = 8091)]
    port: u16,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("wants NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn attribute(text: &str) -> Result<AttributeName, String> {
    AttributeName::new(text).map_err(|e| e.to_string())
}

pub fn prepare(args: &PrepareArgs) -> anyhow::Result<()> {
    let labels = args
        .labels
        .iter()
        .map(|(name, file)| Ok((AttributeName::new(name)?, PathBuf::from(file))));
    let plan = Plan {
        source: source(args)?,
        filters: args.filters.clone(),
        labels: labels.collect::<anyhow::Result<_>>()?,
        require: args.require.clone(),
        class: args.class.clone(),
        test: args.test,
        validation: args.validation,
        seed: args.seed,
        templates: match &args.templates {
            Some(file) => Templates::open(file)?,
            None => Templates::parse(templates::DEFAULT)?,
        },
    };
    let bar = bar("reading pictures")?;
    let report = prepare::prepare(&plan, &args.out, |done, total| show(&bar, done, total))?;
    bar.finish_and_clear();
    print(&report, &args.class, &args.out);
    Ok(())
}

fn source(args: &PrepareArgs) -> anyhow::Result<Source> {
    if let Some(file) = &args.products {
        return Ok(Source::JsonLines {
            file: file.clone(),
            images: args.images.clone(),
        });
    }
    let Some(folder) = &args.data else {
        bail!("--data or --products must be given")
    };
    let images = if args.images.is_empty() {
        pictures_beside(folder)?
    } else {
        args.images.clone()
    };
    let shoelaces = Some(folder.join("shoelaces.csv")).filter(|file| file.is_file());
    Ok(Source::Kaggle {
        styles: folder.join("styles.csv"),
        images,
        shoelaces,
    })
}

/// `images/`, then archives: a folder's photos are the larger ones.
fn pictures_beside(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("zip"))
        {
            archives.push(path);
        }
    }
    archives.sort();
    Ok(Some(folder.join("images"))
        .filter(|f| f.is_dir())
        .into_iter()
        .chain(archives)
        .collect())
}

fn print(report: &Report, class: &AttributeName, out: &Path) {
    for (attribute, values) in &report.classes {
        println!(
            "{attribute:<28} {:>10} {:>10} {:>10}",
            "train", "validation", "test"
        );
        for (value, sides) in values {
            let [train, validation, test] =
                Side::ALL.map(|side| sides.get(&side).copied().unwrap_or(0));
            println!("  {value:<26} {train:>10} {validation:>10} {test:>10}");
        }
    }
    let [train, validation, test] =
        Side::ALL.map(|side| report.products.get(&side).copied().unwrap_or(0));
    println!(
        "{:<28} {train:>10} {validation:>10} {test:>10}",
        format!("all, split by {class}")
    );
    if report.duplicates > 0 {
        println!(
            "{} products share their picture with another and stay on one side",
            report.duplicates
        );
    }
    for (why, count) in &report.dropped {
        println!("dropped: {count} {why}");
    }
    for (attribute, count) in report.unused_labels.iter().filter(|(_, n)| **n > 0) {
        println!("{count} labels for {attribute} belong to products that are not in the data set");
    }
    println!(
        "written to {} (report.json names every product that was dropped)",
        out.display()
    );
}

fn bar(what: &'static str) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}")?;
    Ok(ProgressBar::new(0).with_style(style).with_message(what))
}

fn show(bar: &ProgressBar, done: usize, total: usize) {
    bar.set_length(total as u64);
    bar.set_position(done as u64);
}

pub fn enrich(args: EnrichArgs) -> anyhow::Result<()> {
    let templates = args.set.join("captions.toml");
    if !Templates::open(&templates)?.names("sentence") {
        eprintln!(
            "{}: no template names {{sentence}}, so that no caption will hold what is said",
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
    let bar = bar("asking")?;
    let summary = aglet::train::data::set::enrich::enrich(&args.set, &asking, |done, total| {
        show(&bar, done, total)
    })?;
    bar.finish_and_clear();
    println!(
        "{} pictures described, {} products known before, {} without a sentence",
        summary.asked, summary.known, summary.failed
    );
    Ok(())
}

pub fn label(args: &LabelArgs) -> anyhow::Result<()> {
    let labeling = Labeling::open(&args.set, args.attribute.clone(), &args.values, &args.out)?;
    let (total, labeled) = labeling.progress();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let address = (std::net::Ipv4Addr::LOCALHOST, args.port);
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| {
                format!(
                    "port {} of this machine: choose another with --port",
                    args.port
                )
            })?;
        println!(
            "{labeled} of {total} photos labeled; open http://localhost:{}",
            listener.local_addr()?.port()
        );
        tokio::select! {
            served = label::serve(listener, labeling) => served.map_err(anyhow::Error::from),
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}
