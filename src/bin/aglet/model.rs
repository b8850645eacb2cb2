//! `aglet model`: checkpoints in, model folders out.

use std::path::PathBuf;

use aglet::catalog::Catalog;
use aglet::domain::{Served, Wanted};
use aglet::encode::session::check_export;
use aglet::model::pull::{ENDPOINT, Progress, PullOptions, Token, pull};
use aglet::model::{ExportOptions, ModelFolder, WeightType, export};
use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::place::CatalogPlace;

#[derive(Subcommand)]
pub enum ModelCommand {
    /// Download a CLIP checkpoint from a Hugging Face compatible hub.
    Pull(PullArgs),
    /// Make a model folder from a CLIP checkpoint in Hugging Face's layout.
    Export(ExportArgs),
    /// Check a model folder and say what is in it.
    Show {
        /// The model folder.
        folder: PathBuf,
    },
    /// Change the model that services of a catalog answer with, without a pause: they embed the
    /// catalog with it beside the one in use, and put it in its place when that is done.
    Use(UseArgs),
    /// Bring the model back that answered before.
    Rollback(CatalogPlace),
    /// Give up a change of the model.
    Keep(CatalogPlace),
    /// Say which model was chosen, which answered before, and which is to.
    Status(CatalogPlace),
}

#[derive(clap::Args)]
pub struct UseArgs {
    /// The model folder: a path, or the name of one beside that of the setting `model`
    model: PathBuf,
    /// Share of the words in a product's vector, in percent [default: that of the settings]
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
    words_percent: Option<u8>,
    /// Put it in use without a check
    #[arg(long)]
    unchecked: bool,
    #[command(flatten)]
    catalog: CatalogPlace,
}

#[derive(clap::Args)]
pub struct PullArgs {
    /// OWNER/NAME.
    repository: String,
    /// Folder to download to [default: data/checkpoints/NAME].
    #[arg(long)]
    to: Option<PathBuf>,
    /// Branch, tag or commit.
    #[arg(long, default_value = "main")]
    revision: String,
    /// The hub's address.
    #[arg(long, env = "HF_ENDPOINT", default_value = ENDPOINT)]
    endpoint: String,
    /// Access token for private and gated models (better given in the variable: others see
    /// arguments).
    #[arg(long, env = "HF_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(clap::Args)]
pub struct ExportArgs {
    /// Checkpoint folder: config.json, model.safetensors, tokenizer.json, preprocessor_config.json.
    #[arg(long)]
    from: PathBuf,
    /// Model folder to make, such as models/NAME.
    #[arg(long)]
    to: PathBuf,
    /// Type in which the weights are stored.
    #[arg(long, value_enum, default_value_t = Dtype::Keep)]
    dtype: Dtype,
    /// ONNX Runtime's library, or the folder that holds it: the result is run once before it
    /// counts.
    #[arg(long, env = "AGLET_RUNTIME", default_value = ".runtime")]
    runtime: PathBuf,
    /// Put the result in the place of a folder that is there already.
    #[arg(long)]
    replace: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dtype {
    /// As in the checkpoint.
    Keep,
    /// Half the size of float32.
    Float16,
}

pub fn run(command: ModelCommand) -> anyhow::Result<()> {
    match command {
        ModelCommand::Pull(args) => run_pull(args),
        ModelCommand::Export(args) => run_export(&args),
        ModelCommand::Show { folder } => {
            show(&ModelFolder::open(&folder)?);
            Ok(())
        }
        ModelCommand::Use(args) => run_use(&args),
        ModelCommand::Rollback(args) => with_catalog(&args, async |catalog| {
            let previous = catalog.serving().await?.previous;
            let previous = previous.context("no other model answered before the one in use")?;
            Ok(catalog.want(Some(&previous), false).await?)
        }),
        ModelCommand::Keep(args) => {
            with_catalog(&args, async |catalog| Ok(catalog.want(None, false).await?))
        }
        ModelCommand::Status(args) => with_catalog(&args, async |_| Ok(())),
    }
}

fn run_use(args: &UseArgs) -> anyhow::Result<()> {
    let mut model = args.model.clone();
    if model.components().count() > 1 || model.is_absolute() {
        // Services may run elsewhere in the file system.
        let found = model.canonicalize();
        model = found.with_context(|| format!("no model folder {}", model.display()))?;
        ModelFolder::open(&model)?;
    }
    let served = Served {
        model,
        words_percent: args.words_percent,
    };
    with_catalog(&args.catalog, async |catalog| {
        Ok(catalog.want(Some(&served), !args.unchecked).await?)
    })
}

/// Does it, and says how things stand then.
fn with_catalog(
    args: &CatalogPlace,
    work: impl AsyncFnOnce(&Catalog) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let catalog = args.open().await?;
        work(&catalog).await?;
        let serving = catalog.serving().await?;
        catalog.close().await;
        let name = |served: &Served| match served.words_percent {
            Some(percent) => format!("{} ({percent}% words)", served.model.display()),
            None => served.model.display().to_string(),
        };
        match &serving.chosen {
            Some((setting, served)) => println!(
                "chosen    {}, in the place of the setting {}",
                name(served),
                setting.display()
            ),
            None => println!("chosen    none: the setting `model` counts"),
        }
        if let Some(previous) = &serving.previous {
            println!("previous  {}", name(previous));
        }
        match &serving.wanted {
            None => {}
            Some(Wanted {
                served,
                failed: None,
                ..
            }) => println!(
                "wanted    {}: GET /admin/model of a running service says how far it is",
                name(served)
            ),
            Some(Wanted {
                served,
                failed: Some(reason),
                ..
            }) => println!("given up  {}: {reason}", name(served)),
        }
        Ok(())
    })
}

fn run_pull(args: PullArgs) -> anyhow::Result<()> {
    let name = args
        .repository
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let to = args
        .to
        .unwrap_or_else(|| PathBuf::from("data/checkpoints").join(&name));
    // An empty variable means the default, as in Hugging Face's own tools.
    let endpoint = if args.endpoint.trim().is_empty() {
        ENDPOINT.to_owned()
    } else {
        args.endpoint
    };
    let options = PullOptions {
        endpoint,
        revision: args.revision,
        token: args.token.as_deref().and_then(Token::new),
        ..PullOptions::new(args.repository)
    };
    let mut shown: Option<(String, ProgressBar)> = None;
    let mut progress = |at: Progress<'_>| {
        if shown.as_ref().is_none_or(|(file, _)| file != at.file) {
            finish(shown.take());
            shown = Some((at.file.to_owned(), bar(at.file)));
        }
        if let Some((_, bar)) = &shown {
            bar.set_length(at.total.unwrap_or(at.done));
            bar.set_position(at.done);
        }
    };
    let pulled = pull(&options, &to, &mut progress);
    finish(shown);
    pulled?;
    println!("{} is in {}", options.repository, to.display());
    println!(
        "next: aglet model export --from {} --to models/{name}",
        to.display()
    );
    Ok(())
}

fn bar(file: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg:24} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    );
    let bar = ProgressBar::new(0).with_message(file.to_owned());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn finish(bar: Option<(String, ProgressBar)>) {
    if let Some((_, bar)) = bar {
        bar.abandon();
    }
}

fn run_export(args: &ExportArgs) -> anyhow::Result<()> {
    let weights = match args.dtype {
        Dtype::Keep => WeightType::Keep,
        Dtype::Float16 => WeightType::Float16,
    };
    let options = ExportOptions {
        weights,
        replace: args.replace,
        ..Default::default()
    };
    let check = |folder: &ModelFolder| check_export(folder, &args.runtime).map_err(Into::into);
    let folder =
        export(&args.from, &args.to, &options, check).context("no model folder was made")?;
    show(&folder);
    Ok(())
}

fn show(folder: &ModelFolder) {
    let manifest = folder.manifest();
    let bytes: u64 = manifest.files.values().map(|file| file.bytes).sum();
    println!("{} in {}", manifest.name, folder.path().display());
    println!("  id          {}", folder.id());
    println!(
        "  size        {}.{} MB in {} files",
        bytes / 1_000_000,
        bytes / 100_000 % 10,
        manifest.files.len()
    );
    println!("  embeddings  {} dimensions", manifest.dimensions);
    println!("  text        up to {} tokens", manifest.context_length);
    let preprocessing = &manifest.preprocessing;
    println!(
        "  images      {} px, {:?}, views of {:?}",
        preprocessing.size,
        preprocessing.fit,
        preprocessing.edges()
    );
}
