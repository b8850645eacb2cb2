//! `aglet-train bench`: the step of `fit` on drawn numbers, for tests/benches/train_step.py, which
//! times PyTorch's beside it. Reads lines from standard input: each asks for one step, whose
//! seconds are answered; at the end the peak memory is.

use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use aglet::train::data::batch::Batch;
use aglet::train::draws::{Dice, Purpose};
use aglet::train::net::fused::{Activation, Precision};
use aglet::train::net::network::{ImageBatch, TextBatch};
use aglet::train::net::parameters::{ClipConfig, Parameters, TowerConfig};
use aglet::train::optim::loss::Truth;
use aglet::train::optim::optimizer::{self, Optimizer, Rule};
use aglet::train::run::fit;
use aglet::train::run::step::{self, Training, Weights};
use clap::{Args, ValueEnum};

#[derive(Args)]
pub struct BenchArgs {
    #[arg(long, value_enum)]
    shape: Shape,
    /// As the recipe's training.precision
    #[arg(long)]
    bf16: bool,
}

/// The sizes stand in tests/benches/train_step.py as well.
#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    /// ViT-B/32, batch 16, 224 px
    VitB32,
    /// 5.5 million parameters, batch 64, 128 px
    Small,
}

impl Shape {
    fn config(self) -> (ClipConfig, usize) {
        let tower = |width, layers| TowerConfig {
            width,
            layers,
            heads: width / 64,
            mlp: width * 4,
        };
        let (vision, text, image_size, patch, vocabulary, projection, batch) = match self {
            Self::VitB32 => (tower(768, 12), tower(512, 12), 224, 32, 49_408, 512, 16),
            Self::Small => (tower(192, 6), tower(192, 4), 128, 16, 4096, 192, 64),
        };
        let activation = Activation::QuickGelu;
        let config = ClipConfig {
            vision,
            image_size,
            trim: false,
            views: vec![image_size],
            patch,
            text,
            vocabulary,
            context: 77,
            projection,
            activation,
            epsilon: 1e-5,
        };
        (config, batch)
    }
}

/// Texts of `least` to `least + spread - 1` tokens: what captions are, not the context's 77.
fn texts(
    config: &ClipConfig,
    count: usize,
    least: usize,
    spread: usize,
    dice: &mut Dice,
) -> TextBatch {
    let id = |at: usize| u32::try_from(at).expect("a vocabulary is small");
    let text = |row: usize, dice: &mut Dice| -> Vec<u32> {
        let words = least + row * 7 % spread - 2;
        let mut ids = vec![id(config.vocabulary - 2)];
        ids.extend((0..words).map(|_| id(dice.below(config.vocabulary - 2))));
        ids.push(id(config.vocabulary - 1));
        ids
    };
    TextBatch::new(&(0..count).map(|row| text(row, dice)).collect::<Vec<_>>())
}

fn batch(config: &ClipConfig, count: usize) -> Batch {
    let mut dice = Dice::new(1, Purpose::Batch, 0);
    let kept = config.patches();
    let positions = (0..count * kept)
        .map(|at| u32::try_from(at % kept).expect("few patches"))
        .collect();
    let patches = (0..count * kept * 3 * config.patch * config.patch)
        .map(|_| dice.normal())
        .collect();
    let truth = || Truth::new(count, count, |row, column| row == column);
    Batch {
        step: 0,
        images: ImageBatch {
            images: count,
            kept,
            patches,
            positions,
        },
        documents: texts(config, count, 12, 17, &mut dice),
        queries: texts(config, count, 4, 5, &mut dice),
        described: truth(),
        asked: truth(),
        categories: (0..count).map(|at| at % 8).collect(),
        labeled: Vec::new(),
        labels: Vec::new(),
        values: None,
        facts: Vec::new(),
        anchors: None,
    }
}

#[expect(clippy::print_stdout, reason = "the protocol with the script")]
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let (config, count) = args.shape.config();
    let mut parameters = Parameters::random(&config, 1);
    let precision = if args.bf16 {
        Precision::Bf16
    } else {
        Precision::F32
    };
    let (training, weights) = (
        Training {
            precision,
            ..Training::default()
        },
        Weights::default(),
    );
    let treatments = training.treatments(&config, &parameters);
    let rule = Rule::Adamw {
        beta1: 0.9,
        beta2: 0.98,
        eps: 1e-6,
        weight_decay: 0.1,
    };
    let mut optimizer = Optimizer::new(rule, &parameters);
    let mut average = parameters.clone();
    let batch = batch(&config, count);
    println!("ready {}", parameters.count());
    for line in std::io::stdin().lock().lines() {
        line?;
        let begun = Instant::now();
        let (losses, mut gradients) =
            step::gradients(&config, &parameters, &batch, weights, &training);
        optimizer::clip(&mut gradients, 1.0);
        optimizer.step(&mut parameters, &gradients, 1e-4, &treatments);
        fit::average(&mut average, &parameters, 0.995);
        println!("{} {}", begun.elapsed().as_secs_f64(), losses.total);
        std::io::stdout().flush()?;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or("unknown");
    println!("peak {}", peak.trim());
    Ok(())
}
