//! `aglet import`: brings a catalog in and embeds what is missing.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aglet::catalog::ingest::{
    self, FeedLimits, FetchedFeed, ImportOptions, MaxRemoved, Progress, Status, Summary,
};
use aglet::catalog::source::{Format, Ignored, Mapping, Source};
use aglet::catalog::{Catalog, Database, PicturesAt};
use aglet::config::{self, Config, Settings};
use aglet::domain::{Types, ValueType};
use aglet::encode::{Device, Encoder};
use aglet::model::ModelFolder;
use aglet::service::in_use;
use aglet::telemetry::{self, LogFormat};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

/// Some rows or photos were rejected. Not 2, which clap uses for arguments it does not understand.
const SOME_REJECTED: u8 = 3;

/// Bring a catalog in, and embed the photos and words that are new
///
/// May be interrupted and repeated: what was reported done is done, what is unchanged is not
/// embedded again, and a service that is running takes the changes up by itself. Takes the settings
/// of `aglet serve`, from the same file too.
///
/// Exit code: 0 when everything was taken; 3 when it went through but some rows or photos were
/// rejected (see the rejects file); 2 when the arguments are wrong; 1 when it failed.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(group(clap::ArgGroup::new("source").required(true).args(["styles", "feed"])))]
pub struct ImportArgs {
    /// The file of products: Google Merchant Center (TSV, CSV, RSS, Atom), Shopify, WooCommerce,
    /// JSON-LD, JSON Lines, an array of JSON, or a table; packed with gzip or not; a file, or a web
    /// address that it is fetched from
    #[arg(long, visible_alias = "products", value_name = "FILE|ADDRESS")]
    feed: Option<String>,
    /// The format of the feed: merchant, shopify, woocommerce, json-ld, json, table, kaggle [default:
    /// as it can be seen in the file]
    #[arg(long, value_name = "NAME")]
    format: Option<Format>,
    /// TOML file that says which column of a table is which field (docs/import.md)
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// styles.csv in the layout of Kaggle's "Fashion Product Images": --feed with --format kaggle
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "mapping"])]
    styles: Option<PathBuf>,
    /// Folder or zip archive of photos; may be repeated, the first that has a product's photo gives
    /// it
    #[arg(long, value_name = "DIR_OR_ZIP")]
    images: Vec<PathBuf>,
    /// shoelaces.csv: id, shoelace_colour
    #[arg(long, value_name = "FILE")]
    shoelaces: Option<PathBuf>,
    /// Remove the products that are not in the file; of a web address, those that came from it before
    #[arg(long)]
    prune: bool,
    /// Take a feed from a web address though it is what it was, or has less than half of the products
    /// that it had; --max-removed is not looked at
    #[arg(long)]
    force: bool,
    /// How many products, and how many pictures, the import may take away: a number, or a share of
    /// what the catalog has. When it would be more, nothing is changed and the exit code is 1
    #[arg(long, value_name = "N|N%", default_value_t = MaxRemoved::default())]
    max_removed: MaxRemoved,
    /// When another import is running, wait until it is done rather than to fail
    #[arg(long)]
    wait: bool,
    /// Put the pictures where the catalog keeps pictures, so that every machine reaches them. Default: so
    /// where the setting `pictures` says where that is; else they stay where they are
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    upload_pictures: Option<bool>,
    /// Where pictures are kept, as `aglet serve` takes it [default: uploads/ of the data folder]
    #[arg(long, env = "AGLET_PICTURES", value_name = "PLACE")]
    pictures: Option<PicturesAt>,
    /// Where to list what was not taken [default: rejects-TIME.csv in the data folder]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Take the products in without embedding them; `aglet serve` does it when it starts
    #[arg(long)]
    skip_embedding: bool,
    /// TOML file of settings, as `aglet serve` takes it
    #[arg(long, env = "AGLET_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Model folder [default: models/aglet-small]
    #[arg(long, env = "AGLET_MODEL", value_name = "DIR")]
    model: Option<PathBuf>,
    /// Folder of the catalog's database [default: data]
    #[arg(long, env = "AGLET_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// The catalog's database where it is not in that folder: postgres://user:password@host/name
    #[arg(
        long,
        env = "AGLET_DATABASE",
        value_name = "URL",
        hide_env_values = true
    )]
    database: Option<Database>,
    /// File that says what attributes are, as `aglet serve` takes it [default: none]
    #[arg(long, env = "AGLET_TYPES", value_name = "FILE")]
    types: Option<PathBuf>,
    /// Hosts that pictures are fetched from by their web address, comma separated [default: any, at
    /// public IP addresses]
    #[arg(
        long,
        env = "AGLET_PICTURE_HOSTS",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    picture_hosts: Option<Vec<String>>,
    /// ONNX Runtime's library, or the folder that holds it [default: .runtime]
    #[arg(long, env = "AGLET_RUNTIME", value_name = "PATH")]
    runtime: Option<PathBuf>,
    /// auto: CUDA where it works, else the CPU [default: auto]
    #[arg(long, env = "AGLET_DEVICE")]
    device: Option<Device>,
    /// How log lines are written [default: text]
    #[arg(long, env = "AGLET_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// Which log lines are written, as RUST_LOG has it [default: warn,ort=error]
    #[arg(long, env = "AGLET_LOG")]
    log_filter: Option<String>,
}

/// Quieter than the service's: what an import has to say it says itself.
const LOG_FILTER: &str = "warn,ort=error";

pub fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let file = args
        .config
        .as_deref()
        .map(config::read_file)
        .transpose()?
        .unwrap_or_default();
    let settings = Settings {
        model: args.model,
        data: args.data,
        database: args.database,
        types: args.types,
        pictures: args.pictures,
        picture_hosts: args.picture_hosts,
        runtime: args.runtime,
        device: args.device,
        log_format: args.log_format,
        log_filter: args.log_filter,
        ..Settings::default()
    };
    let quiet = Settings {
        log_filter: Some(LOG_FILTER.to_owned()),
        ..Settings::default()
    };
    let config = Config::check(settings.or(file).or(quiet))?;
    telemetry::start_logging(config.log_format, &config.log_filter)?;
    let mut source = match (args.styles, args.feed) {
        (Some(styles), _) => Source::kaggle(styles, args.images, args.shoelaces),
        (None, Some(feed)) => Source {
            shoelaces: args.shoelaces,
            ..Source::at(&feed, args.images)
        },
        (None, None) => anyhow::bail!("name --feed or --styles"),
    };
    source.format = args.format.or(source.format);
    source.mapping = args.mapping.as_deref().map(Mapping::read).transpose()?;
    let options = ImportOptions {
        prune: args.prune,
        force: args.force,
        feed_limits: FeedLimits::default(),
        max_removed: args.max_removed,
        wait: args.wait,
        keep_pictures: args
            .upload_pictures
            .unwrap_or(config.pictures.at != PicturesAt::Uploads),
        rejects: args.rejects,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let summary = runtime.block_on(import(&config, &source, &options, args.skip_embedding))?;
    report(&summary, &config.types);
    Ok(if summary.rejects.is_none() {
        ExitCode::SUCCESS
    } else {
        SOME_REJECTED.into()
    })
}

async fn import(
    config: &Config,
    source: &Source,
    options: &ImportOptions,
    skip_embedding: bool,
) -> anyhow::Result<Summary> {
    let progress = Arc::new(Progress::default());
    let catalog =
        Catalog::open_with(&config.data, &config.database, config.pictures.clone()).await?;
    catalog.check_pictures().await?;
    // The model before the source: a wrong path should not be reported after a minute of reading.
    let encoder = if skip_embedding {
        None
    } else {
        let (folder, _) = in_use(&catalog, &config.model).await?;
        let model = ModelFolder::open(&folder)?;
        Some(
            Encoder::start(&model, &config.encoder)
                .with_context(|| format!("model {}", folder.display()))?,
        )
    };
    let shown = tokio::spawn(show(progress.clone()));
    let summary = match &encoder {
        Some(encoder) => ingest::import(&catalog, encoder, source, options, &progress).await,
        None => ingest::load(&catalog, source, options, &progress).await,
    };
    shown.abort();
    // An aborted task's bar is drawn until the task has ended.
    let _ = shown.await;
    if let Some(encoder) = &encoder {
        encoder.shutdown().await;
    }
    catalog.close().await;
    Ok(summary?)
}

/// A bar on a terminal, else a line every ten seconds.
async fn show(progress: Arc<Progress>) {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    let _clear = Clear(bar.clone());
    let lines = !std::io::stderr().is_terminal();
    let mut told = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let status = progress.status();
        if lines && told.elapsed() >= Duration::from_secs(10) {
            eprintln!("{}", line(&status));
            told = Instant::now();
        }
        let (what, done, all) = match status {
            Status {
                photos,
                words,
                products,
                ..
            } if photos + words == 0 => ("products", products, products),
            Status {
                words,
                words_done,
                photos_done: 0,
                ..
            } if words_done < words => ("words", words_done, words),
            _ => ("photos", status.photos_done, status.photos),
        };
        bar.set_message(what);
        bar.set_length(all);
        bar.set_position(done);
    }
}

struct Clear(ProgressBar);

impl Drop for Clear {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn line(status: &Status) -> String {
    let Status {
        products,
        words,
        words_done,
        photos,
        photos_done,
        failed,
        ..
    } = status;
    format!(
        "{products} products read; embedded {words_done} of {words} captions, {photos_done} of {photos} photos; \
         {failed} failed"
    )
}

/// What the service takes the attributes for.
fn report_types(summary: &Summary, said: &Types) {
    let mut names: BTreeMap<ValueType, Vec<&str>> = BTreeMap::new();
    for (name, tally) in &summary.attributes {
        let kind = said.0.get(name).copied().unwrap_or_else(|| tally.kind());
        names.entry(kind).or_default().push(name.as_str());
    }
    for (kind, names) in names {
        println!("{:<9} {}", kind.as_str(), names.join(", "));
    }
    for (name, kind) in &said.0 {
        let Some(tally) = summary.attributes.get(name) else {
            println!("types     no product has the attribute {name}");
            continue;
        };
        let others = tally.values() - tally.of(*kind);
        if others > 0 {
            println!(
                "types     {others} of {} values of {name} are no {kind}: found as text alone",
                tally.values()
            );
        }
    }
}

/// What of the file means nothing here: each name that was perhaps another one's, the rest in a line.
fn report_ignored(ignored: &Ignored) {
    let rows = |count: u64| {
        if count == 1 {
            "1 row".to_owned()
        } else {
            format!("{count} rows")
        }
    };
    let mut others = Vec::new();
    for (name, field) in &ignored.0 {
        match &field.meant {
            Some(meant) => println!(
                "ignored   field {name:?} of {}: did you mean {meant:?}?",
                rows(field.rows)
            ),
            None => others.push(format!("{name:?} of {}", rows(field.rows))),
        }
    }
    if !others.is_empty() {
        println!("ignored   field {}", others.join(", "));
    }
}

fn report(summary: &Summary, types: &Types) {
    let Summary {
        new,
        changed,
        unchanged,
        removed,
        kept,
        embedded,
        rejected_rows,
        rejected_parts,
        fetched,
        ..
    } = summary;
    match fetched {
        Some(FetchedFeed::Same) => println!("feed      is what it was: nothing was read"),
        Some(FetchedFeed::Read(bytes)) => println!("feed      {bytes} bytes fetched"),
        None => {}
    }
    println!("products  {new} new, {changed} changed, {unchanged} unchanged, {removed} removed");
    if *kept > 0 {
        println!("pictures  {kept} put where the catalog keeps them");
    }
    let seconds = embedded.elapsed.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = embedded.contents as f64 / seconds.max(1e-3);
    println!(
        "embedded  {} photos, {} captions in {seconds:.1} s ({rate:.1} photos/s), {} failed",
        embedded.photos, embedded.words, embedded.failed
    );
    if embedded.contents < embedded.photos {
        println!(
            "          {} different photos: equal ones are embedded once",
            embedded.contents
        );
    }
    if embedded.cut > 0 {
        println!(
            "captions  {} longer than the model reads: their attributes were put first",
            embedded.cut
        );
    }
    println!("rejected  {rejected_rows} rows, {rejected_parts} photos or attributes");
    if let Some(path) = &summary.rejects {
        println!("          listed in {}", path.display());
    }
    report_types(summary, types);
    report_ignored(&summary.ignored);
    if summary.prune_skipped {
        println!(
            "kept      products that the file may not have: a rejected row without an id might be one of them"
        );
    }
    println!("took      {:.1} s", summary.elapsed.as_secs_f64());
}
