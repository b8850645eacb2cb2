//! The step of `fit` on drawn numbers, one at a time, for tests/benches/train_step.py, which times
//! PyTorch's beside it.

use std::time::{Duration, Instant};

use crate::model::ClipConfig;
use crate::model::clip_config::{Activation, Pooling, TextTower, VisionTower};
use crate::train::data::batch::Batch;
use crate::train::data::truth::Truth;
use crate::train::draws::{Purpose, Stream};
use crate::train::net::config;
use crate::train::net::fused::Precision;
use crate::train::net::input::{ImageBatch, TextBatch};
use crate::train::net::parameters::Parameters;
use crate::train::optim::average::average;
use crate::train::optim::optimizer::{self, Optimizer, Rule, Treatment};
use crate::train::run::losses::LossWeights;
use crate::train::run::step;
use crate::train::run::training::Training;

/// A model and a batch. The sizes are in tests/benches/train_step.py as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// ViT-B/32, batch 16, 224 px
    VitB32,
    /// 5.5 million parameters, batch 64, 128 px
    Small,
}

impl Shape {
    /// The model's sizes, and the products of a batch.
    #[must_use]
    pub fn config(self) -> (ClipConfig, usize) {
        let tower = |width, layers| config::tower(width, layers, Activation::QuickGelu);
        let (vision, text, image_size, patch_size, vocabulary, projection, batch) = match self {
            Self::VitB32 => (tower(768, 12), tower(512, 12), 224, 32, 49_408, 512, 16),
            Self::Small => (tower(192, 6), tower(192, 4), 128, 16, 4096, 192, 64),
        };
        let config = ClipConfig {
            text: TextTower {
                tower: text,
                vocabulary,
                context_length: 77,
                pooling: Pooling::EndOfText(id(vocabulary - 1)),
            },
            vision: VisionTower {
                tower: vision,
                image_size,
                patch_size,
            },
            projection,
        };
        (config, batch)
    }
}

fn id(at: usize) -> u32 {
    u32::try_from(at).expect("a vocabulary is small")
}

/// Texts of `least` to `least + spread - 1` tokens: as long as captions are, not the context's 77.
fn texts(
    vocabulary: usize,
    count: usize,
    least: usize,
    spread: usize,
    draws: &mut Stream,
) -> TextBatch {
    let mut texts = Vec::with_capacity(count);
    for row in 0..count {
        let words = least + row * 7 % spread - 2;
        let mut ids = vec![id(vocabulary - 2)];
        ids.extend((0..words).map(|_| id(draws.below(vocabulary - 2))));
        ids.push(id(vocabulary - 1));
        texts.push(ids);
    }
    TextBatch::new(&texts)
}

fn batch(config: &ClipConfig, count: usize) -> Batch {
    let mut draws = Stream::new(1, Purpose::Batch, 0);
    let kept = config.vision.patches();
    let positions = (0..count * kept)
        .map(|at| u32::try_from(at % kept).expect("few patches"))
        .collect();
    let patches = (0..count * kept * 3 * config.vision.patch_size.pow(2))
        .map(|_| draws.normal())
        .collect();
    let truth = || Truth::new(count, count, |row, column| row == column);
    let vocabulary = config.text.vocabulary;
    Batch {
        step: 0,
        images: ImageBatch {
            images: count,
            kept,
            patches,
            positions,
        },
        documents: texts(vocabulary, count, 12, 17, &mut draws),
        queries: texts(vocabulary, count, 4, 5, &mut draws),
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

/// A model under way.
pub struct Bench {
    config: ClipConfig,
    parameters: Parameters,
    average: Parameters,
    optimizer: Optimizer,
    treatments: Vec<Treatment>,
    training: Training,
    batch: Batch,
}

impl Bench {
    #[must_use]
    pub fn new(shape: Shape, precision: Precision) -> Self {
        let (config, count) = shape.config();
        let parameters = Parameters::random(&config, 1);
        let training = Training {
            precision,
            ..Training::default()
        };
        let rule = Rule::Adamw {
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-6,
            weight_decay: 0.1,
        };
        Self {
            average: parameters.clone(),
            optimizer: Optimizer::new(rule, &parameters),
            treatments: training.treatments(&config, &parameters),
            batch: batch(&config, count),
            training,
            parameters,
            config,
        }
    }

    /// How many numbers the model has.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parameters.count()
    }

    /// Takes a step: how long it took, and the loss.
    pub fn step(&mut self) -> (Duration, f32) {
        let begun = Instant::now();
        let (losses, mut gradients) = step::gradients(
            &self.config,
            &self.parameters,
            &self.batch,
            LossWeights::default(),
            &self.training,
        );
        optimizer::clip(&mut gradients, 1.0);
        self.optimizer
            .step(&mut self.parameters, &gradients, 1e-4, &self.treatments);
        average(&mut self.average, &self.parameters, 0.995);
        (begun.elapsed(), losses.total)
    }
}

/// The most memory that this process had in use, as Linux writes it; "unknown" elsewhere.
#[must_use]
pub fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.unwrap_or("unknown").trim().to_owned()
}
