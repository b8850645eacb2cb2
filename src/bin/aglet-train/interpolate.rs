//! `aglet-train interpolate`: a base and its fine-tuned model, mixed where the mixture is best.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aglet::train::data::attribute::{self, Classes};
use aglet::train::data::product::{self, Frame, Product};
use aglet::train::data::set::split::Side;
use aglet::train::data::vocabulary::Vocabulary;
use aglet::train::net::parameters::{ClipConfig, Parameters};
use aglet::train::run::checkpoint::Precision;
use aglet::train::run::metrics::Watch;
use aglet::train::run::recipe::Recipe;
use aglet::train::tools::interpolate::{self, Verdict};
use aglet::train::{folder, positions, validate};
use anyhow::{Context as _, bail};
use clap::Args;

/// Mix a base with what fine-tuning made of it (WiSE-FT), at the share that validation data likes
/// best
#[derive(Args)]
pub struct InterpolateArgs {
    /// The checkpoint folder that fine-tuning began at; brought to the tuned one's input size where
    /// that is another
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// The fine-tuned checkpoint folder; of several, which differ in their seeds, the mean (a model
    /// soup)
    #[arg(long, value_name = "DIR", required = true, num_args = 1..)]
    tuned: Vec<PathBuf>,
    /// Shares of the tuned model to try
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1"
    )]
    alphas: Vec<f32>,
    /// How far the text tower goes, as a share of alpha: what words lose of other meanings shows
    /// sooner than what photos do
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    text_share: f32,
    /// The data set that `prepare` made: its validation side judges; without it one alpha is taken
    /// as it is
    #[arg(long, value_name = "DIR", requires = "recipe")]
    data: Option<PathBuf>,
    /// The recipe whose [attribute] is the new ability
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// A catalog in the Kaggle layout, of whose held-out products one half shows the base's
    /// abilities, at the base's own input size; the other half stays unseen, to be reported on
    /// [default: the validation side]
    #[arg(long, value_name = "DIR")]
    general: Option<PathBuf>,
    /// Points that each of the base's abilities may lose
    #[arg(long, value_name = "POINTS", default_value_t = 1.0)]
    most_lost: f64,
    /// Write the table as JSON
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// The checkpoint folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Half precision: half the size
    #[arg(long)]
    float16: bool,
}

/// What a model sees of a photo.
fn seen(config: &ClipConfig) -> String {
    let ClipConfig {
        image_size,
        views,
        trim,
        ..
    } = config;
    let margins = if *trim {
        "white margins cut off"
    } else {
        "all of a photo"
    };
    if *views == [*image_size] {
        format!("{image_size} pixels, {margins}")
    } else {
        format!("the middle {image_size} of {views:?} pixels, {margins}")
    }
}

#[expect(clippy::print_stdout, reason = "the result")]
pub fn run(args: &InterpolateArgs) -> anyhow::Result<()> {
    let (mut before, mut base) = folder::read(&args.base)?;
    let words = |folder: &PathBuf| {
        let file = folder.join("tokenizer.json");
        std::fs::read_to_string(&file).with_context(|| file.display().to_string())
    };
    let vocabulary = words(&args.base)?;
    let (mut config, mut models) = (None, Vec::new());
    for folder in &args.tuned {
        if words(folder)? != vocabulary {
            bail!(
                "the base and {} have different vocabularies: an id of one is another word in the other",
                folder.display()
            );
        }
        let (its, model) = folder::read(folder)?;
        let first: &ClipConfig = config.get_or_insert_with(|| its.clone());
        if its != *first {
            bail!(
                "{} differs from {} in more than its weights",
                folder.display(),
                args.tuned[0].display()
            );
        }
        models.push(model);
    }
    let config = config.expect("clap wants at least one");
    let tuned = interpolate::mean(&models)?;
    let sees = |config: &ClipConfig| (config.image_size, config.trim, config.views.clone());
    let own = (sees(&before) != sees(&config)).then(|| (before.clone(), base.clone()));
    if own.is_some() {
        eprintln!(
            "the base is brought from {} to {}",
            seen(&before),
            seen(&config)
        );
        (before, base) =
            positions::resized(&before, base, config.image_size).map_err(anyhow::Error::msg)?;
        before = before
            .framed(Some(config.trim), Some(config.views.clone()))
            .map_err(anyhow::Error::msg)?;
    }
    if before != config {
        bail!("the two differ in more than their weights: {before:?} and {config:?}");
    }
    let alpha = match (&args.data, args.alphas.as_slice()) {
        (None, [alpha]) => *alpha,
        (None, _) => bail!("--data is needed to choose among several alphas"),
        (Some(data), alphas) => {
            let exam = |config: &ClipConfig| {
                Exam::read(
                    args,
                    data,
                    config,
                    Vocabulary::parse(&vocabulary, config.context)?,
                )
            };
            let before = match own {
                Some((config, base)) => {
                    eprintln!("the base: {}", seen(&config));
                    Some(exam(&config)?.judge(&config, &base))
                }
                None => None,
            };
            if let Some(before) = &before {
                println!(
                    "the base at its own input: {}",
                    serde_json::to_string(before)?
                );
            }
            let exam = exam(&config)?;
            let sweep = interpolate::sweep(
                &base,
                &tuned,
                alphas,
                args.text_share,
                args.most_lost,
                before.as_ref(),
                |alpha, model| {
                    eprintln!("alpha {alpha}");
                    Ok(exam.judge(&config, model))
                },
            )?;
            println!("{}", sweep.table());
            if let Some(path) = &args.table {
                let json = serde_json::to_string_pretty(&sweep)?;
                std::fs::write(path, json).with_context(|| path.display().to_string())?;
            }
            sweep.best
        }
    };
    let model = interpolate::between(&base, &tuned, alpha, args.text_share)?;
    let precision = if args.float16 {
        Precision::F16
    } else {
        Precision::F32
    };
    folder::write(&args.out, &config, &model, &vocabulary, precision)?;
    println!("alpha {alpha} in {}", args.out.display());
    Ok(())
}

/// What every mixture is asked.
struct Exam {
    vocabulary: Vocabulary,
    classes: Classes,
    labeled: Vec<Product>,
    general: Vec<Product>,
}

impl Exam {
    fn read(
        args: &InterpolateArgs,
        data: &std::path::Path,
        config: &ClipConfig,
        vocabulary: Vocabulary,
    ) -> anyhow::Result<Self> {
        let recipe = args
            .recipe
            .as_deref()
            .context("--recipe names the attribute")?;
        let recipe = Recipe::open(recipe, &[])?;
        let attribute = recipe
            .attribute
            .context("the recipe has no [attribute]: nothing says what is the new ability")?;
        let (name, frame) = (Some(attribute.name.as_str()), Frame::of(config));
        let train = product::read_set(data, Side::Train, name, frame)?;
        let labeled = product::read_set(data, Side::Validation, name, frame)?;
        let classes = product::classes(data, attribute, &train)?;
        let general = args
            .general
            .as_deref()
            .map_or(Ok(Vec::new()), |folder| product::read(folder, frame))?;
        let general = product::judges(general, &train);
        if let (Some(folder), true) = (&args.general, general.is_empty()) {
            bail!(
                "{}: too few products to hold some out that could show the base's abilities",
                folder.display()
            );
        }
        Ok(Self {
            vocabulary,
            classes,
            labeled,
            general,
        })
    }

    fn judge(&self, config: &ClipConfig, model: &Parameters) -> Verdict {
        let own: Vec<&Product> = self.labeled.iter().collect();
        let general: Vec<&Product> = self.general.iter().collect();
        let general = if general.is_empty() { &own } else { &general };
        let mut scores = validate::scores(config, model, &self.vocabulary, general);
        let words = attribute::embed(&self.classes, config, model, &self.vocabulary);
        let photos = validate::embed_photos(config, model, &own);
        scores.attribute = attribute::classify(&self.classes, &words, &own, &photos);
        // Of every product: precision over the few "color category" queries that so many products
        // answer in full moves by more than the point that may be lost when one product changes
        // places.
        let kept = [
            ("type", scores.zero_shot_category),
            ("color", scores.zero_shot_color),
            ("photo", scores.image_category),
            ("title", scores.title_recall),
        ];
        Verdict {
            ability: f64::from(Watch::Attribute.value(0.0, &scores)),
            general: BTreeMap::from(kept.map(|(name, score)| (name.to_owned(), f64::from(score)))),
        }
    }
}
