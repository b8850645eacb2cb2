//! Labeled images: `aglet evaluate classify` and `zero-shot`, and the labeled sets of a benchmark.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use aglet::domain::{AttributeName, Filters};
use aglet::evaluate::datasets::{self, Data, LabeledSet};
use aglet::evaluate::document::{Document, Outcome, Part};
use aglet::evaluate::embedder::Embedder;
use aglet::evaluate::engine::{How, Subject};
use aglet::evaluate::prompts::Prompts;
use aglet::evaluate::shop;
use aglet::evaluate::zero_shot;
use anyhow::{Context as _, ensure};
use clap::Args;

use super::inputs::{ModelArgs, ShopArgs};
use super::output::{OutputArgs, bar};

#[derive(Args)]
pub struct ClassifyArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// fashion-mnist:DIR, fashion-mnist-light:DIR, in-shop:DIR, classes:DIR (a folder a class),
    /// csv:FILE (columns image and label) or set:PATH[@ATTRIBUTE] (a data set of `aglet-train
    /// prepare`, or a catalogue; the category when not given)
    #[arg(long)]
    data: Data,
    #[command(flatten)]
    prompts: PromptArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args)]
pub struct PromptArgs {
    /// A text to compare images with, {} for the class, {category} for the image's own attribute;
    /// repeatable: the embeddings are averaged [default: what suits the data]
    #[arg(long = "template", value_name = "TEXT")]
    templates: Vec<String>,
    /// A TOML file with templates, names of classes, and templates of single classes (see the
    /// documentation of `evaluate::prompts::Prompts`)
    #[arg(long, value_name = "FILE", conflicts_with = "templates")]
    prompts: Option<PathBuf>,
    /// At most about so many images, evenly out of the whole
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Args)]
pub struct ZeroShotArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    shop: ShopArgs,
    /// The attribute to recognize
    #[arg(long, default_value = "shoelace_color", value_parser = AttributeName::new)]
    attribute: AttributeName,
    /// Leave out products with this value of the attribute
    #[arg(long, value_name = "VALUE")]
    without: Vec<String>,
    /// The classes to choose from: `all` values of the whole catalogue (of a data set, of all its
    /// sides), or a file with a class a line [default: the values of the products that are asked]
    #[arg(long, value_name = "all|FILE")]
    classes: Option<Classes>,
    #[command(flatten)]
    prompts: PromptArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone)]
enum Classes {
    All,
    File(PathBuf),
}

impl FromStr for Classes {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "all" {
            Self::All
        } else {
            Self::File(text.into())
        })
    }
}

impl PromptArgs {
    /// What is given, else what the data brings; templates alone leave the classes their names.
    fn over(&self, default: Prompts) -> anyhow::Result<Prompts> {
        if let Some(path) = &self.prompts {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            return toml::from_str(&text).with_context(|| path.display().to_string());
        }
        if self.templates.is_empty() {
            return Ok(default);
        }
        Ok(Prompts {
            names: default.names,
            ..Prompts::of(&self.templates)
        })
    }
}

/// Labeled images as they will be asked.
pub struct Labeled {
    prefix: String,
    set: LabeledSet,
    prompts: Prompts,
    data_sha256: String,
}

impl Labeled {
    pub fn new(prefix: &str, mut set: LabeledSet, args: &PromptArgs) -> anyhow::Result<Self> {
        if let Some(most) = args.limit {
            set.thin(most);
        }
        let prompts = args.over(set.prompts())?;
        prompts
            .check(&set.classes)
            .with_context(|| set.name.clone())?;
        let data_sha256 = zero_shot::data_sha256(&set, &prompts);
        Ok(Self {
            prefix: prefix.to_owned(),
            set,
            prompts,
            data_sha256,
        })
    }

    /// Prefix and data of the part that it will be.
    pub fn names(&self) -> (&str, &str) {
        (&self.prefix, &self.data_sha256)
    }

    pub fn measure(self, embedder: &mut Embedder) -> anyhow::Result<Part> {
        let Self {
            prefix,
            set,
            prompts,
            data_sha256,
        } = self;
        let started = Instant::now();
        let progress = bar("embedding", set.items.len());
        let result = zero_shot::run(embedder, &set, &prompts, |n| {
            progress.set_position(n as u64)
        })?;
        progress.finish_and_clear();
        let title = format!(
            "{}: {} images, {} classes",
            set.name,
            result.top.images,
            set.classes.len()
        );
        let seconds = started.elapsed().as_secs_f64();
        Ok(Part {
            prefix,
            title,
            data_sha256,
            seconds,
            outcome: Outcome::ZeroShot(result),
        })
    }
}

pub fn classify(args: &ClassifyArgs) -> anyhow::Result<()> {
    alone(
        Labeled::new("", args.data.read()?, &args.prompts)?,
        &args.model,
        &args.output,
    )
}

pub fn zero_shot(args: &ZeroShotArgs) -> anyhow::Result<()> {
    let unwanted: Vec<String> = args
        .without
        .iter()
        .map(|value| value.to_lowercase())
        .collect();
    let shop = args.shop.read()?.only(&Filters::default(), |product| {
        let own = product
            .attribute(args.attribute.as_str())
            .map(str::to_lowercase);
        own.is_some_and(|own| !unwanted.contains(&own))
    });
    let mut set = datasets::of_shop(
        &shop,
        &args.attribute,
        &format!("{} of the catalogue", args.attribute),
    )?;
    if let Some(classes) = &args.classes {
        let classes = match classes {
            Classes::All => all_values(args)?,
            Classes::File(path) => listed(path)?,
        };
        set = set.asked(
            classes
                .into_iter()
                .filter(|class| !unwanted.contains(&class.to_lowercase()))
                .collect(),
        )?;
    }
    alone(
        Labeled::new("", set, &args.prompts)?,
        &args.model,
        &args.output,
    )
}

fn all_values(args: &ZeroShotArgs) -> anyhow::Result<Vec<String>> {
    let whole = args.shop.whole()?;
    let values = shop::values(
        whole.offers.iter().map(|offer| &offer.product),
        &args.attribute,
    );
    Ok(values.iter().map(ToString::to_string).collect())
}

/// A class a line; empty lines and a class that came before are passed over.
fn listed(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut classes: Vec<String> = Vec::new();
    for class in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !classes
            .iter()
            .any(|known| known.to_lowercase() == class.to_lowercase())
        {
            classes.push(class.to_owned());
        }
    }
    ensure!(!classes.is_empty(), "{} names no class", path.display());
    Ok(classes)
}

/// A document of this one part.
fn alone(labeled: Labeled, model: &ModelArgs, output: &OutputArgs) -> anyhow::Result<()> {
    let baseline = output.baseline(&[labeled.names()])?;
    let mut embedder = model.start()?;
    let part = labeled.measure(&mut embedder)?;
    output.finish(
        &Document::new(subject(&embedder, model), vec![part]),
        baseline.as_ref(),
        None,
    )
}

/// Whoever is asked about labeled images alone: no product is searched.
pub fn subject(embedder: &Embedder, model: &ModelArgs) -> Subject {
    Subject {
        model: embedder.encoder().model_name().to_owned(),
        model_id: embedder.encoder().model_id().to_string(),
        at: model.model.display().to_string(),
        how: How::Folder,
        words_percent: None,
    }
}
