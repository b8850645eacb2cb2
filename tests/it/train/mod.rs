//! The training companion.
//!
//! | file | what it tests |
//! | --- | --- |
//! | this one | steps, optimizers and schedules against PyTorch's recorded values; batches; embeddings |
//! | `losses` | the losses alone against PyTorch's |
//! | `lora` | low-rank pairs |
//! | `runs` | runs that stop, go on and are taken up again |
//! | `data` | `prepare`, `enrich` and `label` |
//! | `cli` | the program, from a catalog to a served model |

mod cli;
mod data;
mod lora;
mod losses;
mod runs;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aglet::demo;
use aglet::encode::{Device, Encoder, EncoderOptions, ImageLimits, Priority};
use aglet::model::ClipConfig;
use aglet::model::ModelFolder;
use aglet::model::clip_config::{Activation, Pooling, TextTower, Tower, VisionTower};
use aglet::model::preprocessor::{MEAN, STD};
use aglet::train::data::attribute::{self, Classes};
use aglet::train::data::batch::Batch;
use aglet::train::data::batch_source::{BatchSource, MixedIn};
use aglet::train::data::images;
use aglet::train::data::product::{Frame, Product};
use aglet::train::data::set::products as set_products;
use aglet::train::data::set::templates::{self, Templates};
use aglet::train::data::truth::Truth;
use aglet::train::data::vocabulary::{self, Vocabulary};
use aglet::train::data::{captions, drawn};
use aglet::train::net::config::NetConfig;
use aglet::train::net::input::{ImageBatch, TextBatch};
use aglet::train::net::network::Network;
use aglet::train::net::parameters::{Parameter, Parameters};
use aglet::train::optim::loss::LossKind;
use aglet::train::optim::optimizer::{self, Optimizer, Rule, Treatment};
use aglet::train::optim::scheduler::{CyclicMode, Mode, Per, Schedule, Scheduler, ThresholdMode};
use aglet::train::run::accuracy::Accuracy;
use aglet::train::run::checkpoint::{self, StoredFloat};
use aglet::train::run::embed::Embedder;
use aglet::train::run::fit::{HeldOut, Run};
use aglet::train::run::folder::{self, RunWeights};
use aglet::train::run::losses::LossWeights;
use aglet::train::run::metrics::Metric;
use aglet::train::run::plan::RunPlan;
use aglet::train::run::recipe::Recipe;
use aglet::train::run::report::History;
use aglet::train::run::step;
use aglet::train::run::training::Training;
use aglet::train::run::validate;

use crate::support;

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference")
        .join(name)
}

struct Recorded {
    config: ClipConfig,
    before: Parameters,
    batch: Batch,
    arrays: HashMap<String, Parameter>,
}

fn recorded_step() -> Recorded {
    let path = reference("train_step.safetensors");
    let (mut arrays, metadata) = checkpoint::read(&path).expect("recorded by train_step.py");
    let sizes: HashMap<String, usize> = serde_json::from_str(&metadata["sizes"]).expect("sizes");
    let tower = Tower {
        width: sizes["width"],
        layers: sizes["layers"],
        heads: sizes["heads"],
        feed_forward: sizes["mlp"],
        activation: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
    };
    let config = ClipConfig {
        text: TextTower {
            tower: tower.clone(),
            vocabulary: sizes["vocabulary"],
            context_length: sizes["context"],
            pooling: Pooling::HighestId,
        },
        vision: VisionTower {
            tower,
            image_size: sizes["size"],
            patch_size: sizes["patch"],
        },
        projection: sizes["projection"],
    };
    let mut before = Parameters::random(&config, 1);
    checkpoint::fill(&path, &mut arrays, "before.", &mut before)
        .expect("every parameter by Hugging Face's name");
    let texts = |ids: &str, lengths: &str| {
        let ids: Vec<Vec<u32>> = serde_json::from_str(&metadata[ids]).expect("ids");
        let lengths: Vec<usize> = serde_json::from_str(&metadata[lengths]).expect("lengths");
        let cut: Vec<Vec<u32>> = ids
            .iter()
            .zip(lengths)
            .map(|(ids, length)| ids[..length].to_vec())
            .collect();
        TextBatch::new(&cut)
    };
    let pixels = &arrays["pixels"];
    let (count, size) = (pixels.shape[0], config.vision.image_size);
    let mut patches = Vec::new();
    for image in pixels.values.chunks_exact(3 * size * size) {
        // Channels last and undone by the normalization, as `images::patches` wants them.
        let last: Vec<f32> = (0..3 * size * size)
            .map(|at| image[at % 3 * size * size + at / 3])
            .collect();
        patches.extend(images::patches(
            &last,
            size,
            config.vision.patch_size,
            [0.0; 3],
            [1.0 / 255.0; 3],
        ));
    }
    let kept = config.vision.patches();
    let positions = (0..count * kept)
        .map(|at| u32::try_from(at % kept).expect("small"))
        .collect();
    let truth = |name: &str| {
        let pairs = &arrays[name].values;
        Truth::new(count, count, |row, column| {
            pairs[row * count + column] > 0.5
        })
    };
    let batch = Batch {
        step: 0,
        images: ImageBatch {
            images: count,
            kept,
            patches,
            positions,
        },
        documents: texts("documents", "document_lengths"),
        queries: texts("queries", "query_lengths"),
        described: truth("described"),
        asked: truth("asked"),
        categories: vec![0, 1, 2, 1, 1, 0],
        labeled: Vec::new(),
        labels: Vec::new(),
        values: None,
        facts: Vec::new(),
        anchors: None,
    };
    Recorded {
        config,
        before,
        batch,
        arrays,
    }
}

/// As train_step.py weighs the parts.
const WEIGHTS: LossWeights = LossWeights {
    kind: LossKind::Contrastive,
    texts: 0.25,
    likeness: 0.5,
    labels: 0.0,
    values: 0.0,
    facts: 0.0,
    keep_photos: 0.0,
    keep_words: 0.0,
};

/// With replayed products held to what the model said of them.
const KEPT: LossWeights = LossWeights {
    keep_photos: 10.0,
    keep_words: 20.0,
    ..WEIGHTS
};

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values
        .map(|v| f64::from(v) * f64::from(v))
        .sum::<f64>()
        .sqrt()
}

#[test]
fn the_forward_pass_is_transformers() {
    let Recorded {
        config,
        before,
        batch,
        arrays,
    } = recorded_step();
    let network = Network::bind(&config, &before, |_| false);
    let image = network
        .image(&batch.images)
        .try_into_vec_as::<f32>()
        .expect("f32");
    assert!(furthest(&image, &arrays["image"].values) < 1e-5);
    for (name, texts) in [("document", &batch.documents), ("query", &batch.queries)] {
        let text = network.text(texts).try_into_vec_as::<f32>().expect("f32");
        assert!(furthest(&text, &arrays[name].values) < 1e-5, "{name}");
    }
}

#[test]
fn a_training_step_is_pytorchs() {
    let Recorded {
        config,
        before,
        batch,
        arrays,
    } = recorded_step();
    let (losses, mut gradients) =
        step::gradients(&config, &before, &batch, WEIGHTS, &Training::default());
    let found = [
        losses.total,
        losses.described,
        losses.asked,
        losses.texts,
        losses.likeness,
    ];
    assert!(
        furthest(&found, &arrays["losses"].values) < 1e-5,
        "{found:?} {:?}",
        arrays["losses"].values
    );
    for (parameter, gradient) in before.0.iter().zip(&gradients) {
        let wanted = &arrays[&format!("gradient.{}", parameter.name)].values;
        let gradient = gradient.as_ref().expect("every parameter takes part");
        let error = norm(gradient.iter().zip(wanted).map(|(a, b)| a - b))
            / (norm(wanted.iter().copied()) + 1e-7);
        // The keys' biases shift all scores of a query alike: their true gradient is zero, and what
        // is left is noise.
        assert!(
            error < 1e-4 || parameter.name.ends_with("k_proj.bias"),
            "{}: {error}",
            parameter.name
        );
    }
    let total = optimizer::clip(&mut gradients, 1.0);
    assert!((total - arrays["norm"].values[0]).abs() < 1e-4);
    let rule = Rule::Adamw {
        beta1: 0.9,
        beta2: 0.98,
        eps: 1e-6,
        weight_decay: 0.1,
    };
    let mut after = before.clone();
    let mut adamw = Optimizer::new(rule, &before);
    adamw.step(
        &mut after,
        &gradients,
        1e-3,
        &Training::default().treatments(&config, &before),
    );
    let (mut difference, mut update) = (0.0, 0.0);
    for (parameter, start) in after.0.iter().zip(&before.0) {
        if parameter.name.ends_with("k_proj.bias") {
            continue;
        }
        let wanted = &arrays[&format!("after.{}", parameter.name)].values;
        difference += norm(parameter.values.iter().zip(wanted).map(|(a, b)| a - b)).powi(2);
        update += norm(wanted.iter().zip(&start.values).map(|(a, b)| a - b)).powi(2);
    }
    let error = (difference / update).sqrt();
    assert!(error < 1e-4, "the update differs from PyTorch's by {error}");
}

#[derive(serde::Deserialize)]
struct Reference {
    rate: f32,
    optimizers: Vec<OptimizerRun>,
    /// Under a CyclicLR that moves the momentum.
    cycled: Vec<OptimizerRun>,
    schedules: HashMap<String, serde_json::Value>,
}

#[derive(serde::Deserialize)]
struct OptimizerRun {
    rule: Rule,
    schedule: Option<Schedule>,
    start: Vec<Vec<f32>>,
    gradients: Vec<Vec<Vec<f32>>>,
    end: Vec<Vec<f32>>,
}

fn recorded() -> Reference {
    let text = std::fs::read_to_string(reference("train_reference.json"))
        .expect("recorded by train_reference.py");
    serde_json::from_str(&text).expect("as recorded")
}

impl OptimizerRun {
    /// Takes the recorded steps and compares where they end.
    fn check(self, rate: f32) {
        assert!(
            self.gradients.len() == 12 && furthest(&self.start[0], &self.end[0]) > 1e-3,
            "nothing recorded"
        );
        let parameter = |(at, values): (usize, &Vec<f32>)| Parameter {
            name: at.to_string(),
            shape: vec![values.len()],
            values: values.clone(),
        };
        let mut parameters = Parameters(self.start.iter().enumerate().map(parameter).collect());
        let treatments = [
            Treatment {
                rate: 1.0,
                decays: true,
            },
            Treatment {
                rate: 1.0,
                decays: false,
            },
        ];
        let mut optimizer = Optimizer::new(self.rule.clone(), &parameters);
        let scheduler = Scheduler::new(self.schedule.unwrap_or(Schedule::Constant), rate, 0);
        for (step, gradients) in (0..).zip(self.gradients) {
            let gradients: Vec<Option<Vec<f32>>> = gradients.into_iter().map(Some).collect();
            #[expect(clippy::cast_possible_truncation, reason = "the weights are f32")]
            let (rate, momentum) = (
                scheduler.rate(step, 0.0) as f32,
                scheduler.momentum(step).map(|m| m as f32),
            );
            if let Some(momentum) = momentum {
                optimizer.set_momentum(momentum);
            }
            optimizer.step(&mut parameters, &gradients, rate, &treatments);
        }
        assert_eq!(parameters.0.len(), self.end.len());
        for (found, wanted) in parameters.0.iter().zip(&self.end) {
            assert!(
                furthest(&found.values, wanted) < 2e-6,
                "{:?}: {:?} {wanted:?}",
                self.rule,
                found.values
            );
        }
    }
}

#[test]
fn optimizers_move_the_weights_as_pytorchs_do() {
    let Reference {
        rate,
        optimizers,
        cycled,
        ..
    } = recorded();
    let kind = |run: &OptimizerRun| match run.rule {
        Rule::Adamw { .. } => "adamw",
        Rule::Sgd { nesterov: true, .. } => "nesterov",
        Rule::Sgd { dampening, .. } if dampening > 0.0 => "dampened",
        Rule::Sgd { .. } => "sgd",
        Rule::Adagrad { .. } => "adagrad",
    };
    assert_eq!(
        optimizers.iter().map(kind).collect::<Vec<_>>(),
        ["adamw", "sgd", "nesterov", "adagrad", "dampened"]
    );
    assert_eq!(
        cycled.iter().map(kind).collect::<Vec<_>>(),
        ["nesterov", "adamw"]
    );
    assert!(cycled.iter().all(|run| run.schedule.is_some()));
    optimizers
        .into_iter()
        .chain(cycled)
        .for_each(|run| run.check(rate));
}

#[test]
fn learning_rates_follow_pytorchs_schedulers() {
    let Reference {
        rate, schedules, ..
    } = recorded();
    let per = Per::Step;
    let cyclic = |step_size_up, step_size_down, mode, gamma| Schedule::Cyclic {
        base: 1e-3,
        step_size_up,
        step_size_down,
        mode,
        gamma,
        cycle_momentum: true,
        base_momentum: 0.8,
        max_momentum: 0.9,
    };
    let by_steps = [
        ("exponential", Schedule::Exponential { gamma: 0.93, per }, 0),
        (
            "cosine",
            Schedule::CosineAnnealing {
                t_max: 15,
                eta_min: 1e-4,
                per,
            },
            0,
        ),
        (
            "triangular",
            cyclic(4, Some(7), CyclicMode::Triangular, 1.0),
            0,
        ),
        (
            "triangular2",
            cyclic(5, None, CyclicMode::Triangular2, 1.0),
            0,
        ),
        ("exp_range", cyclic(6, None, CyclicMode::ExpRange, 0.97), 0),
        ("warmup", Schedule::Constant, 8),
    ];
    for (name, schedule, warmup) in by_steps {
        let scheduler = Scheduler::new(schedule, rate, warmup);
        let wanted: Vec<f64> = serde_json::from_value(schedules[name].clone()).expect("rates");
        let several = if name == "warmup" { 8 } else { 15 };
        assert!(
            wanted
                .iter()
                .map(|v| v.to_bits())
                .collect::<HashSet<_>>()
                .len()
                >= several,
            "{name}: nothing moves"
        );
        for (step, wanted) in (0..).zip(wanted) {
            let found = scheduler.rate(step, 0.0);
            assert!(
                (found - wanted).abs() < 1e-6 * f64::from(rate),
                "{name} at {step}: {found} {wanted}"
            );
        }
    }
    // Those that may count epochs instead: the same rates, whatever the step.
    let by_epochs = [
        (
            "exponential",
            Schedule::Exponential {
                gamma: 0.93,
                per: Per::Epoch,
            },
        ),
        (
            "cosine",
            Schedule::CosineAnnealing {
                t_max: 15,
                eta_min: 1e-4,
                per: Per::Epoch,
            },
        ),
    ];
    for (name, schedule) in by_epochs {
        let mut scheduler = Scheduler::new(schedule, rate, 0);
        for (epoch, wanted) in serde_json::from_value::<Vec<f64>>(schedules[name].clone())
            .expect("rates")
            .iter()
            .enumerate()
        {
            let found = scheduler.rate(1000 - epoch as u64, 0.5);
            assert!(
                (found - wanted).abs() < 1e-6 * f64::from(rate),
                "{name} in epoch {epoch}: {found} {wanted}"
            );
            scheduler.epoch_ends(1.0);
        }
    }
    let plateau = |mode, factor, patience, threshold, threshold_mode, cooldown, min_rate, eps| {
        Schedule::ReduceOnPlateau {
            mode,
            factor,
            patience,
            threshold,
            threshold_mode,
            cooldown,
            min_rate,
            eps,
        }
    };
    for (name, schedule) in [
        (
            "plateau_min",
            plateau(Mode::Min, 0.5, 1, 1e-3, ThresholdMode::Rel, 1, 1e-3, 1e-8),
        ),
        (
            "plateau_max",
            plateau(Mode::Max, 0.1, 2, 0.02, ThresholdMode::Abs, 0, 0.0, 1e-8),
        ),
        (
            "plateau_min_abs",
            plateau(Mode::Min, 0.3, 0, 0.015, ThresholdMode::Abs, 2, 1e-5, 1e-8),
        ),
        (
            "plateau_max_rel",
            plateau(Mode::Max, 0.7, 1, 0.03, ThresholdMode::Rel, 0, 0.0, 2.5e-3),
        ),
    ] {
        let list = |field: &str| -> Vec<f64> {
            serde_json::from_value(schedules[name][field].clone()).expect("a list of numbers")
        };
        let mut scheduler = Scheduler::new(schedule, rate, 0);
        let reductions: HashSet<u64> = list("rates").iter().map(|v| v.to_bits()).collect();
        assert!(
            reductions.len() >= 2 && list("values").len() == list("rates").len(),
            "{name}: nothing moves"
        );
        for (epoch, (value, wanted)) in list("values").into_iter().zip(list("rates")).enumerate() {
            scheduler.epoch_ends(value);
            let found = scheduler.rate(100, 0.5);
            assert!(
                (found - wanted).abs() < 1e-6 * f64::from(rate),
                "{name} after {epoch}: {found} {wanted}"
            );
        }
    }
}

/// As a model of 32 pixels has its photos.
const FRAME: Frame = Frame {
    edge: 36,
    trim: false,
};

/// Drawn shoes in prepared words, with the color of their laces as the label.
fn labeled(seed: u64, count: u64) -> Vec<Product> {
    let templates = Templates::parse(templates::DEFAULT).expect("templates");
    drawn::drawn(seed, count, FRAME)
        .into_iter()
        .map(|product| set_products::phrased(product, &templates, Some("shoelace_color")))
        .collect()
}

/// What a run over drawn shoes is made of: small, but everything takes part.
struct Small {
    recipe: Recipe,
    classes: Classes,
    vocabulary: Vocabulary,
}

impl Small {
    /// `more` overrides the recipe.
    fn new(folder: &Path, more: &[&str]) -> Self {
        let products = labeled(3, 48);
        let texts = captions::sample(&products, 1);
        let json = vocabulary::learn(texts.iter().map(String::as_str), 700).expect("a vocabulary");
        std::fs::write(folder.join("tokenizer.json"), &json).expect("the run's vocabulary");
        let mut overrides: Vec<String> = [
            "image_size=32",
            "patch=16",
            "vision={ width = 64, layers = 1 }",
            "text={ width = 64, layers = 1 }",
        ]
        .map(|o| format!("model.{o}"))
        .into();
        overrides.extend(more.iter().map(|o| (*o).to_owned()));
        let text = "[data]\nbatch = 12\nblur = 0.5\ndrawn_per_batch = 4\n[loss]\nlabels = 0.5\nvalues = 0.5\n\
            [run]\nepochs = 2.0\nwatch = 'attribute'\n[optimizer]\nwarmup = 2\naccumulate = 2\n\
            [attribute]\nname = 'shoelace_color'\nprompts = ['shoes with {} shoelaces']\nabsent = 'none'\n\
            absent_prompts = ['shoes without shoelaces']\nsampling = { balance = 0.5, contrast = 3 }";
        let recipe = Recipe::parse(text, &overrides).expect("a recipe");
        let vocabulary = Vocabulary::parse(&json, recipe.model.context).expect("parses");
        let attribute = recipe.attribute.clone().expect("the recipe names one");
        let classes = Classes {
            attribute,
            values: attribute::values(&products),
        };
        Self {
            recipe,
            classes,
            vocabulary,
        }
    }

    fn config(&self) -> NetConfig {
        self.recipe.config(self.vocabulary.size())
    }

    fn source(&self) -> BatchSource {
        let beside = vec![MixedIn {
            products: labeled(4, 6),
            per_batch: self.recipe.data.drawn_in_batch(),
            replayed: false,
        }];
        let (vocabulary, config) = (self.vocabulary.clone(), self.config().clip);
        BatchSource::new(
            labeled(3, 48),
            beside,
            vocabulary,
            config,
            self.recipe.drawing(),
        )
        .teaching(Some(self.classes.clone()))
    }

    /// Its source with the products beside it replayed; each `nth` is a hat, and no hat is labeled.
    fn replaying(&self, nth: usize) -> BatchSource {
        let mut source = self.source();
        let replay = &mut source.beside[0];
        replay.replayed = true;
        let hats = replay
            .products
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| (at + 1) % nth == 0);
        hats.for_each(|(_, product)| product.facts.category = "Hats".into());
        source
    }

    fn run(&self, folder: &Path, steps: u64, resume: bool) -> Run {
        let plan = RunPlan {
            steps,
            validate_every: 2,
            schedule: Schedule::Constant,
            ..self.recipe.plan(4)
        };
        let classes = Some(self.classes.clone());
        let held = HeldOut {
            products: labeled(5, 24),
            general: drawn::drawn(6, 24, FRAME),
            classes,
        };
        Run::new(
            plan,
            folder,
            self.config(),
            self.source(),
            held,
            None,
            resume,
        )
        .expect("a run")
    }
}

/// Runs it; the losses of its steps.
fn small_run(folder: &Path, steps: u64, resume: bool, more: &[&str]) -> Vec<f32> {
    let mut run = Small::new(folder, more).run(folder, steps, resume);
    let (mut losses, mut labels, mut values) = (Vec::new(), 0.0_f32, 0.0_f32);
    let keep = |metric: &Metric| match metric {
        Metric::Step(step) => {
            labels += step.losses.labels;
            values += step.losses.values;
            losses.push(step.losses.total);
        }
        Metric::Validation { average, .. } => {
            let found: Accuracy = average.attribute.expect("the recipe names an attribute");
            // A color that no product of the training side has is no class.
            assert!((20..=24).contains(&found.products), "{found:?}");
            assert!(
                found.present_products < found.products && found.present_products > 0,
                "{found:?}"
            );
        }
    };
    run.train(keep).expect("trains");
    assert!(
        losses.is_empty() || labels > 0.0 && values > 0.0,
        "labeled photos take part"
    );
    losses
}

#[test]
fn a_run_taken_up_again_is_the_unbroken_run() {
    let (whole, broken) = (
        tempfile::tempdir().expect("folder"),
        tempfile::tempdir().expect("folder"),
    );
    let unbroken = small_run(whole.path(), 4, false, &[]);
    let mut halves = small_run(broken.path(), 2, false, &[]);
    // The kill came in the middle of a line.
    let metrics = broken.path().join("metrics.jsonl");
    let written = std::fs::read_to_string(&metrics).expect("is there");
    std::fs::write(&metrics, format!("{written}{{\"kind\":\"step\",\"st")).expect("torn");
    halves.extend(small_run(broken.path(), 4, true, &[]));
    assert_eq!(unbroken, halves);
    let history = History::parse(&std::fs::read_to_string(&metrics).expect("is there"));
    assert_eq!(
        (
            history.steps.len(),
            history.validations.len(),
            history.broken
        ),
        (4, 2, 1)
    );
    // That steps go downhill is shown on one batch elsewhere: four batches differ more than four
    // steps do.
    assert!(
        unbroken.len() == 4 && unbroken.iter().all(|loss| loss.is_finite()),
        "{unbroken:?}"
    );
    for name in ["curves.svg", "report.html"] {
        assert!(
            broken
                .path()
                .join(name)
                .metadata()
                .expect("drawn at each validation")
                .len()
                > 1000,
            "{name}"
        );
    }
    let (config, parameters) =
        folder::read_run(broken.path(), RunWeights::Best).expect("a best checkpoint");
    assert_ne!(
        parameters,
        Parameters::random(&config.clip, 1),
        "the steps move the weights"
    );
    let out = broken.path().join("folder");
    folder::write(&out, &config, &parameters, "{}", StoredFloat::F32).expect("writes");
    assert_eq!(folder::read(&out).expect("reads"), (config, parameters));
}

#[test]
fn labeled_photos_are_asked_for_their_value_among_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = Small::new(folder.path(), &[]);
    let batch = small.source().batch(0, 4);
    let values = batch.values.expect("labeled photos are in it");
    assert_eq!(values.prompts.texts, small.classes.values.len());
    assert!(
        values.rows.len() > 1 && values.rows.iter().all(|row| batch.labeled.contains(row)),
        "{values:?}"
    );
    // Photos of one category and value, as the batch numbers them, are of one class.
    let number = |row: &usize| {
        batch.labels[batch
            .labeled
            .iter()
            .position(|at| at == row)
            .expect("is labeled")]
    };
    for (a, class) in values.rows.iter().zip(&values.classes) {
        assert!(*class < small.classes.values.len());
        let alike = values
            .rows
            .iter()
            .zip(&values.classes)
            .filter(|(b, _)| number(b) == number(a));
        assert!(
            alike.into_iter().all(|(_, other)| other == class),
            "{values:?}"
        );
    }
    let other = Classes {
        values: vec!["no such value".into()],
        ..small.classes.clone()
    };
    assert!(
        Small {
            classes: other,
            ..small
        }
        .source()
        .batch(0, 4)
        .values
        .is_none()
    );
}

#[test]
fn replayed_products_are_held_to_what_the_model_said_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = Small::new(folder.path(), &[]);
    let config = small.recipe.config(small.vocabulary.size()).clip;
    let (before, other) = (
        Parameters::random(&config, 1),
        Parameters::random(&config, 2),
    );
    let batch = small
        .replaying(1)
        .anchored(&before, KEPT.anchored())
        .batch(0, config.vision.patches());
    let anchors = batch.anchors.as_ref().expect("replayed products are in it");
    assert_eq!(
        (anchors.rows.clone(), anchors.photos.clone()),
        (8..12, 8..12)
    );
    let training = Training::default();
    let losses = |parameters| step::losses(&config, parameters, [&batch], KEPT, &training)[0];
    let unmoved = losses(&before);
    assert!(
        unmoved.keep_photos.abs() < 1e-5 && unmoved.keep_words.abs() < 1e-5,
        "{unmoved:?}"
    );
    let found = losses(&other);
    assert!(
        found.keep_photos > 0.1 && found.keep_words > 0.1,
        "{found:?}"
    );
    // The anchors' rows are the batch's own: their photos as this step sees them.
    let network = Network::bind(&config, &before, |_| false);
    let all = network
        .image(&batch.images)
        .try_into_vec_as::<f32>()
        .expect("f32");
    assert!(furthest(&all[8 * config.projection..], &anchors.images) < 1e-5);
    let kept = 10.0 * found.keep_photos + 20.0 * found.keep_words;
    let without = step::losses(&config, &other, [&batch], WEIGHTS, &training)[0];
    assert!(
        (found.total - without.total - kept).abs() < 1e-3,
        "{found:?} {without:?}"
    );
    assert!(
        small
            .source()
            .anchored(&before, KEPT.anchored())
            .batch(0, 4)
            .anchors
            .is_none(),
        "nothing is replayed"
    );
}

#[test]
fn what_does_not_count_is_not_embedded() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = Small::new(folder.path(), &[]);
    let config = small.recipe.config(small.vocabulary.size()).clip;
    let before = Parameters::random(&config, 1);
    let anchors = |weights: LossWeights| {
        small
            .replaying(1)
            .anchored(&before, weights.anchored())
            .batch(0, 4)
            .anchors
    };
    let words = anchors(LossWeights {
        keep_photos: 0.0,
        ..KEPT
    })
    .expect("words are kept");
    assert!(
        words.images.is_empty() && words.documents.len() == 4 * config.projection,
        "{words:?}"
    );
    let photos = anchors(LossWeights {
        keep_words: 0.0,
        ..KEPT
    })
    .expect("photos are kept");
    assert!(
        photos.images.len() == 4 * config.projection && photos.queries.is_empty(),
        "{photos:?}"
    );
    assert!(anchors(WEIGHTS).is_none());
}

#[test]
fn photos_of_what_the_attribute_is_learned_of_are_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = Small::new(folder.path(), &[]);
    let config = small.recipe.config(small.vocabulary.size()).clip;
    let before = Parameters::random(&config, 1);
    let training = Training::default();
    // All replayed products are shoes, as the labeled ones are; then every other one is not.
    let mut seen = Vec::new();
    for hats in [false, true] {
        let source = small
            .replaying(if hats { 2 } else { usize::MAX })
            .anchored(&before, KEPT.anchored());
        let batch = (0..1000).map(|step| source.batch(step, 4)).find(|batch| {
            let photos = &batch
                .anchors
                .as_ref()
                .expect("replayed products are in it")
                .photos;
            photos.is_empty() != hats && photos.len() < 4
        });
        let batch = batch.expect("drawn");
        let anchors = batch.anchors.as_ref().expect("replayed products are in it");
        assert_eq!((anchors.rows.clone(), anchors.photos.start), (8..12, 8));
        assert_eq!(
            anchors.images.len(),
            anchors.photos.len() * config.projection
        );
        let found = step::losses(
            &config,
            &Parameters::random(&config, 2),
            [&batch],
            KEPT,
            &training,
        )[0];
        assert!(found.keep_words > 0.1, "{found:?}");
        seen.push(found.keep_photos > 0.1);
    }
    assert_eq!(seen, [false, true]);
}

#[test]
fn every_photo_is_asked_for_its_category_and_its_color_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = Small::new(folder.path(), &[]);
    assert!(
        small.source().batch(0, 4).facts.is_empty(),
        "not unless it is wanted"
    );
    let mut source = small.source();
    source
        .products
        .iter_mut()
        .for_each(|product| product.facts.color.clear());
    source.beside[0]
        .products
        .iter_mut()
        .for_each(|product| product.facts.category = "Hats".into());
    let source = source.naming();
    let batch = source.batch(0, 4);
    let [categories, colors] = &batch.facts[..] else {
        panic!("two facts: {:?}", batch.facts)
    };
    let distinct = |products: &[Product]| -> usize {
        products
            .iter()
            .map(|p| p.facts.category.as_str())
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    };
    assert_eq!(
        categories.prompts.texts,
        distinct(&source.products) + 1,
        "hats too"
    );
    assert_eq!(categories.rows, (0..12).collect::<Vec<_>>());
    let hats = categories.classes[8];
    assert!(
        categories
            .classes
            .iter()
            .enumerate()
            .all(|(row, class)| (*class == hats) == (row >= 8)),
        "{categories:?}"
    );
    assert_eq!(
        colors.rows,
        (8..12).collect::<Vec<_>>(),
        "the others have none"
    );
    let config = small.recipe.config(small.vocabulary.size()).clip;
    let losses = |weights| {
        step::losses(
            &config,
            &Parameters::random(&config, 2),
            [&batch],
            weights,
            &Training::default(),
        )[0]
    };
    let (found, without) = (
        losses(LossWeights {
            facts: 2.0,
            ..WEIGHTS
        }),
        losses(WEIGHTS),
    );
    assert!(
        found.facts > 0.1 && without.facts == 0.0,
        "{found:?} {without:?}"
    );
    assert!(
        (found.total - without.total - 2.0 * found.facts).abs() < 1e-3,
        "{found:?} {without:?}"
    );
}

#[test]
fn photos_whose_channels_change_places_are_called_what_they_then_show() {
    let folder = tempfile::tempdir().expect("a folder");
    let values: Vec<String> = ["blue", "green", "red"].map(str::to_owned).into();
    let plain = |channels: &str| {
        let small = Small::new(folder.path(), &[channels]);
        let classes = Classes {
            values: values.clone(),
            ..small.classes.clone()
        };
        let mut source = Small { classes, ..small }.source();
        for product in &mut source.products {
            product.square = aglet::vision::Photo::from_pixel(36, 36, image::Rgb([200, 10, 10]));
            product.label = Some("red".into());
            product.captions = vec!["shoes with red shoelaces".into()];
        }
        source
    };
    let source = plain("data.channels=1.0");
    let shown = |batch: &Batch, row: usize| {
        let pixel =
            (0..3).map(|c| batch.images.patches[row * 4 * 768 + c * 256] * STD[c] + MEAN[c]);
        // The strongest channel: 0 is red.
        pixel
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(channel, _)| 2 - channel)
    };
    let mut seen = HashSet::new();
    for step in 0..10 {
        let batch = source.batch(step, 4);
        let asked = batch.values.as_ref().expect("labeled photos are in it");
        for (row, class) in asked
            .rows
            .iter()
            .zip(&asked.classes)
            .filter(|(row, _)| **row < 8)
        {
            assert_eq!(shown(&batch, *row), Some(*class), "step {step}, row {row}");
            assert_eq!(
                batch.documents.ids,
                source.batch(step, 4).documents.ids,
                "the same each time"
            );
            seen.insert(*class);
        }
    }
    assert_eq!(seen.len(), 3, "red, green and blue come of it");
    let still = plain("data.channels=0.0")
        .batch(0, 4)
        .values
        .expect("labeled photos are in it");
    assert!(
        still
            .rows
            .iter()
            .zip(&still.classes)
            .all(|(row, class)| *row >= 8 || *class == 2),
        "not unless wanted"
    );
}

#[test]
fn each_step_asks_for_the_values_in_one_of_the_wordings() {
    let folder = tempfile::tempdir().expect("a folder");
    let prompts =
        "attribute.prompts=['shoes with {} shoelaces', '{} shoelaces', 'shoes with {} laces']";
    let small = Small::new(folder.path(), &[prompts]);
    let source = small.source();
    let asked: Vec<Vec<u32>> = (0..30)
        .map(|step| {
            source
                .batch(step, 4)
                .values
                .expect("labeled photos are in it")
                .prompts
                .ids
        })
        .collect();
    let distinct: std::collections::BTreeSet<_> = asked.iter().collect();
    assert_eq!(
        distinct.len(),
        3,
        "each of the three, all values the same way"
    );
    assert_eq!(
        asked[7],
        source.batch(7, 4).values.expect("the same").prompts.ids
    );
}

#[test]
fn zero_shot_is_the_share_of_photos_that_are_nearest_to_their_own_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = Small::new(folder.path(), &[]);
    let config = small.config();
    let parameters = Parameters::random(&config.clip, 5);
    let embedder = Embedder::new(&config, &parameters, &small.vocabulary);
    let mut products = labeled(8, 40);
    products[3].facts.color = String::new();
    let products: Vec<&Product> = products.iter().collect();
    let found = validate::scores(&embedder, &products);
    let photos = embedder.photos(&products);
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let share = |fact: fn(&Product) -> &str| {
        let mut names: Vec<&str> = products
            .iter()
            .map(|p| fact(p))
            .filter(|n| !n.is_empty())
            .collect();
        names.sort_unstable();
        names.dedup();
        let words: Vec<Vec<f32>> = names.iter().map(|name| embedder.texts(&[name])).collect();
        let (mut right, mut asked) = (0_u8, 0_u8);
        for (product, photo) in products
            .iter()
            .zip(photos.chunks_exact(embedder.projection()))
        {
            let Some(own) = names.iter().position(|name| *name == fact(product)) else {
                continue;
            };
            asked += 1;
            right += u8::from(
                words
                    .iter()
                    .all(|word| cosine(word, photo) <= cosine(&words[own], photo)),
            );
        }
        assert!(
            names.len() > 2 && right < asked,
            "{right} of {asked}, {names:?}"
        );
        (f32::from(right) / f32::from(asked), asked)
    };
    let ((category, all), (color, some)) =
        (share(|p| &p.facts.category), share(|p| &p.facts.color));
    assert_eq!(
        (all, some),
        (40, 39),
        "a product without a color is not asked for it"
    );
    assert!(
        (found.zero_shot_category - category).abs() < 1e-6,
        "{found:?} {category}"
    );
    assert!(
        (found.zero_shot_color - color).abs() < 1e-6,
        "{found:?} {color}"
    );
}

async fn served_photo(encoder: &Encoder, photo: &::image::RgbImage) -> Vec<f32> {
    let mut file = std::io::Cursor::new(Vec::new());
    photo
        .write_to(&mut file, ::image::ImageFormat::Png)
        .expect("encodes");
    let served = encoder
        .image(file.into_inner().into(), Priority::Search, None)
        .await
        .expect("embeds");
    served.as_slice().to_vec()
}

#[tokio::test]
async fn the_bundled_models_graphs_are_the_training_codes_forward_pass() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/aglet-small");
    let (bundled, parameters) = folder::read(&path).expect("the checkpoint in the model folder");
    let whole = support::seeing(&path, &[160]);
    let config = bundled
        .clone()
        .framed(None, Some(vec![160]))
        .expect("all of a photo");
    let vocabulary = Vocabulary::open(
        &path.join("tokenizer.json"),
        config.clip.text.context_length,
    )
    .expect("its vocabulary");
    let options = EncoderOptions {
        runtime: support::runtime(),
        device: Device::Cpu,
        text_sessions: 1,
        image_sessions: 1,
        intra_threads: 1,
        queue: 8,
        max_batch: 4,
        max_wait: Duration::ZERO,
        cache: 0,
        background: false,
        image_limits: ImageLimits {
            max_pixels: 1_000_000,
            max_edge: 1000,
        },
    };
    let start = |path: &Path| {
        Encoder::start(&ModelFolder::open(path).expect("opens"), &options).expect("starts")
    };
    let encoder = start(whole.path());
    let texts = [
        "black casual shoes with white shoelaces",
        "Tshirts for Women",
        "\u{2602} 42",
    ];
    let once = Embedder::new(&config, &parameters, &vocabulary);
    let trained = once.texts(&texts);
    for (text, trained) in texts.iter().zip(trained.chunks_exact(once.projection())) {
        let served = encoder
            .text(text, Priority::Search, None)
            .await
            .expect("embeds");
        assert!(furthest(served.as_slice(), trained) < 1e-4, "{text}");
    }
    // A square of the model's own size, without a margin, reaches both unchanged.
    let edge = u32::try_from(config.image_size()).expect("small");
    let product = drawn::drawn(6, 1, Frame { edge: 128, ..FRAME }).remove(0);
    let mut square = ::image::imageops::resize(
        &product.square,
        edge,
        edge,
        ::image::imageops::FilterType::CatmullRom,
    );
    for at in 0..edge {
        for (x, y) in [(at, 0), (at, edge - 1), (0, at), (edge - 1, at)] {
            square.put_pixel(x, y, ::image::Rgb([90; 3]));
        }
    }
    let served = served_photo(&encoder, &square).await;
    let product = Product { square, ..product };
    let trained = once.photos(&[&product]);
    assert!(furthest(&served, &trained) < 1e-4);
    // Any other is cut, padded, reduced and seen alike, if not to the bit: training keeps it
    // somewhat larger in between.
    let photo = demo::render(&demo::draw(6, 0));
    let kept = drawn::drawn(6, 1, Frame::of(&bundled)).remove(0);
    let served = served_photo(&start(&path), &photo).await;
    let trained = Embedder::new(&bundled, &parameters, &vocabulary).photos(&[&kept]);
    let cosine = |trained: &[f32]| -> f32 { served.iter().zip(trained).map(|(a, b)| a * b).sum() };
    let (both, single) = (cosine(&trained), cosine(&once.photos(&[&kept])));
    assert!(
        both > 0.99 && both > single,
        "{both} by the bundled model's views, {single} by one"
    );
}
