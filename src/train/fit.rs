//! The loop: batches in, weights out, a checkpoint per epoch, and a way back after a kill.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::checkpoint::{self, CheckpointError};
use super::dataset::{Batch, Loader, Product, Source};
use super::loss;
use super::network::{ClipConfig, Network, Parameters};
use super::optimizer::{self, Optimizer, Rule, Treatment};
use super::validate::{self, Scores};

#[derive(Debug, thiserror::Error)]
pub enum FitError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the loss is {loss} at step {step}: lower the learning rate, or look at the data")]
    Diverged { step: u64, loss: f32 },
}

/// How long, how fast.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub seed: u64,
    pub rule: Rule,
    /// Largest learning rate.
    pub rate: f32,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// The run ends after so many steps,
    pub steps: u64,
    /// or after so much time, whichever is first; the learning rate follows whichever is further.
    pub time: Option<Duration>,
    /// Share of the patches kept, and until which part of the run; then all are.
    pub keep_patches: f32,
    pub keep_until: f32,
    /// Largest common norm of the gradients.
    pub clip: f32,
    /// Decay of the averaged weights, per step.
    pub average: f32,
    pub weights: Weights,
    /// Steps between checkpoints with validation.
    pub validate_every: u64,
}

/// What a checkpoint says beside its arrays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    step: u64,
    optimizer_steps: u64,
    seconds: f64,
    best: f32,
}

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Metric {
    Step(StepMetric),
    Validation { step: u64, seconds: f64, weights: Scores, average: Scores },
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMetric {
    /// Steps taken, this one included.
    pub step: u64,
    /// Since the run began, pauses left out.
    pub seconds: f64,
    pub seconds_per_step: f64,
    #[serde(flatten)]
    pub losses: Losses,
    pub rate: f32,
    /// Before clipping.
    pub gradient_norm: f32,
    pub logit_scale: f32,
    pub images_per_second: f32,
    /// Seconds that the step waited for its batch.
    pub waited: f32,
}

/// A run under way.
pub struct Run {
    config: ClipConfig,
    plan: Plan,
    folder: PathBuf,
    source: Arc<Source>,
    validation: Vec<Product>,
    parameters: Parameters,
    average: Parameters,
    optimizer: Optimizer,
    treatments: Vec<Treatment>,
    state: State,
}

/// The parts of a step's loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    #[serde(rename = "loss")]
    pub total: f32,
    pub described: f32,
    pub asked: f32,
    pub texts: f32,
    pub likeness: f32,
}

/// What the parts of the loss count beside the two between photos and words, which count a half each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Between the long and the short caption of a product.
    pub texts: f32,
    /// Between photos of one category.
    pub likeness: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { texts: 0.25, likeness: 0.25 }
    }
}

/// Loss and gradients of a batch.
///
/// # Panics
/// If the network is on no CPU.
#[must_use]
pub fn gradients(
    config: &ClipConfig,
    parameters: &Parameters,
    batch: &Batch,
    weights: Weights,
) -> (Losses, Vec<Option<Vec<f32>>>) {
    let network = Network::bind(config, parameters, |_| true);
    let image = network.image(&batch.images);
    let document = network.text(&batch.documents);
    let query = network.text(&batch.queries);
    let (scale, device) = (network.logit_scale(), network.device());
    let described = loss::contrastive(image.clone(), document.clone(), scale.clone(), &batch.described, device);
    let likeness = loss::likeness(image.clone(), &batch.categories, 0.1, device);
    let asked = loss::contrastive(image, query.clone(), scale.clone(), &batch.asked, device);
    let texts = loss::contrastive(document, query, scale, &batch.asked, device);
    let total = (described.clone() + asked.clone()).mul_scalar(0.5)
        + texts.clone().mul_scalar(weights.texts)
        + likeness.clone().mul_scalar(weights.likeness);
    let value = |t: burn::Tensor<1>| t.into_scalar::<f32>();
    let losses = Losses {
        total: value(total.clone()),
        described: value(described),
        asked: value(asked),
        texts: value(texts),
        likeness: value(likeness),
    };
    let found = total.backward();
    (losses, network.gradients(parameters, &found))
}

/// Weight decay applies to matrices alone: not to norms, biases, positions, the class token and the temperature.
#[must_use]
pub fn treatments(parameters: &Parameters) -> Vec<Treatment> {
    let decays = |name: &str, shape: &[usize]| shape.len() >= 2 && !name.contains("position_embedding");
    parameters.0.iter().map(|p| Treatment { rate: 1.0, decays: decays(&p.name, &p.shape) }).collect()
}

impl Run {
    /// Begins at random weights, or where `folder` left off if `resume` and it has a checkpoint.
    ///
    /// # Errors
    /// If the folder cannot be made or its checkpoint does not fit.
    pub fn new(
        plan: Plan,
        folder: &Path,
        source: Source,
        validation: Vec<Product>,
        resume: bool,
    ) -> Result<Self, FitError> {
        std::fs::create_dir_all(folder).map_err(|source| FitError::Io { path: folder.into(), source })?;
        let config = source.config.clone();
        let parameters = Parameters::random(&config, plan.seed);
        let mut run = Self {
            optimizer: Optimizer::new(plan.rule.clone(), &parameters),
            treatments: treatments(&parameters),
            average: parameters.clone(),
            parameters,
            config,
            plan,
            folder: folder.into(),
            source: Arc::new(source),
            validation,
            state: State { step: 0, optimizer_steps: 0, seconds: 0.0, best: 0.0 },
        };
        let last = folder.join("last.safetensors");
        if resume && last.exists() {
            run.load(&last)?;
        }
        Ok(run)
    }

    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Steps taken.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.state.step
    }

    fn progress(&self, seconds: f64) -> f32 {
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a share of the run")]
        let (steps, time) = (
            self.state.step as f32 / self.plan.steps as f32,
            self.plan.time.map_or(0.0, |t| seconds / t.as_secs_f64()) as f32,
        );
        steps.max(time).min(1.0)
    }

    fn rate(&self, progress: f32) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "warm-up is short")]
        let warm = ((self.state.step + 1) as f32 / self.plan.warmup.max(1) as f32).min(1.0);
        self.plan.rate * warm * (0.5 * (1.0 + (std::f32::consts::PI * progress).cos())).max(0.001)
    }

    fn kept(&self, progress: f32) -> usize {
        let all = self.config.patches();
        if progress >= self.plan.keep_until {
            return all;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the patches"
        )]
        let kept = (all as f32 * self.plan.keep_patches).round() as usize;
        kept.clamp(1, all)
    }

    /// Trains to the plan's end.
    ///
    /// # Errors
    /// If a file cannot be written or the loss is no number any more.
    pub fn train(&mut self, mut report: impl FnMut(&Metric)) -> Result<(), FitError> {
        let before = self.state.seconds;
        let start = Instant::now();
        let loader = Loader::start(Arc::clone(&self.source), self.state.step, self.kept(self.progress(before)));
        let mut log = self.log()?;
        loop {
            let begun = Instant::now();
            let progress = self.progress(self.state.seconds);
            if progress >= 1.0 {
                break;
            }
            loader.keep(self.kept(progress));
            let batch = loader.next();
            let waited = begun.elapsed().as_secs_f32();
            let rate = self.rate(progress);
            let (losses, norm) = self.advance(&batch, rate)?;
            self.state.seconds = before + start.elapsed().as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
            let metric = Metric::Step(StepMetric {
                step: self.state.step,
                seconds: self.state.seconds,
                seconds_per_step: begun.elapsed().as_secs_f64(),
                losses,
                rate,
                gradient_norm: norm,
                logit_scale: self.parameters.get("logit_scale").map_or(0.0, |p| p.values[0].exp()),
                images_per_second: batch.images.images as f32 / begun.elapsed().as_secs_f32(),
                waited,
            });
            self.write(&mut log, &metric)?;
            report(&metric);
            if self.state.step % self.plan.validate_every == 0 {
                self.validate(&mut log, &mut report)?;
                self.state.seconds = before + start.elapsed().as_secs_f64();
            }
        }
        self.validate(&mut log, &mut report)
    }

    fn advance(&mut self, batch: &Batch, rate: f32) -> Result<(Losses, f32), FitError> {
        let (losses, mut gradients) = gradients(&self.config, &self.parameters, batch, self.plan.weights);
        if !losses.total.is_finite() {
            return Err(FitError::Diverged { step: self.state.step, loss: losses.total });
        }
        let norm = optimizer::clip(&mut gradients, self.plan.clip);
        self.optimizer.step(&mut self.parameters, &gradients, rate, &self.treatments);
        if let Some(scale) = self.parameters.get_mut("logit_scale") {
            // CLIP's cap: a temperature below 1/100 makes training unstable.
            scale.values[0] = scale.values[0].clamp(0.0, 100.0_f32.ln());
        }
        #[expect(clippy::cast_precision_loss, reason = "a ramp over the first steps")]
        let keep = self.plan.average.min((1.0 + self.state.step as f32) / (10.0 + self.state.step as f32));
        for (average, now) in self.average.0.iter_mut().zip(&self.parameters.0) {
            for (a, &w) in average.values.iter_mut().zip(&now.values) {
                *a += (w - *a) * (1.0 - keep);
            }
        }
        self.state.step += 1;
        Ok((losses, norm))
    }

    fn validate(&mut self, log: &mut std::fs::File, report: &mut impl FnMut(&Metric)) -> Result<(), FitError> {
        let products: Vec<&Product> = self.validation.iter().collect();
        let vocabulary = &self.source.vocabulary;
        let weights = validate::scores(&self.config, &self.parameters, vocabulary, &products);
        let average = validate::scores(&self.config, &self.average, vocabulary, &products);
        let metric = Metric::Validation { step: self.state.step, seconds: self.state.seconds, weights, average };
        self.write(log, &metric)?;
        report(&metric);
        self.save(&self.folder.join("last.safetensors"))
    }

    fn log(&self) -> Result<std::fs::File, FitError> {
        let path = self.folder.join("metrics.jsonl");
        let open = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        open.map_err(|source| FitError::Io { path, source })
    }

    fn write(&self, log: &mut std::fs::File, metric: &Metric) -> Result<(), FitError> {
        let line = serde_json::to_string(metric).expect("numbers are JSON");
        writeln!(log, "{line}").map_err(|source| FitError::Io { path: self.folder.join("metrics.jsonl"), source })
    }

    fn save(&self, path: &Path) -> Result<(), FitError> {
        let mut arrays = Vec::new();
        for (at, p) in self.parameters.0.iter().enumerate() {
            arrays.push((format!("weights.{}", p.name), p.shape.as_slice(), p.values.as_slice()));
            arrays.push((format!("average.{}", p.name), p.shape.as_slice(), self.average.0[at].values.as_slice()));
            for (number, slot) in self.optimizer.slots[at].iter().enumerate() {
                arrays.push((format!("slot{number}.{}", p.name), p.shape.as_slice(), slot.as_slice()));
            }
        }
        let state = State { optimizer_steps: self.optimizer.steps, ..self.state };
        let state = serde_json::to_string(&state).expect("numbers are JSON");
        let metadata = HashMap::from([("run".to_owned(), state)]);
        Ok(checkpoint::write(path, &arrays, metadata, checkpoint::Precision::F32)?)
    }

    fn load(&mut self, path: &Path) -> Result<(), FitError> {
        let (mut arrays, metadata) = checkpoint::read(path)?;
        let state = metadata.get("run").ok_or(CheckpointError::NoState { path: path.into() })?;
        let state: State =
            serde_json::from_str(state).map_err(|source| CheckpointError::State { path: path.into(), source })?;
        checkpoint::fill(path, &mut arrays, "weights.", &mut self.parameters)?;
        checkpoint::fill(path, &mut arrays, "average.", &mut self.average)?;
        let mut slot = self.parameters.clone();
        for number in 0..self.optimizer.slots.first().map_or(0, Vec::len) {
            checkpoint::fill(path, &mut arrays, &format!("slot{number}."), &mut slot)?;
            for (slots, filled) in self.optimizer.slots.iter_mut().zip(&slot.0) {
                slots[number].clone_from(&filled.values);
            }
        }
        self.optimizer.steps = state.optimizer_steps;
        self.state = state;
        Ok(())
    }
}
