//! The loop: batches in, weights out, a checkpoint per epoch, and a way back after a kill.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::attribute::{self, Attribute};
use super::batch::{Drawing, Loader, Source};
use super::checkpoint::{self, CheckpointError};
use super::dataset::Product;
use super::epochs::{self, EpochError, Keep};
use super::lora::Lora;
use super::loss::Kind;
use super::network::{ClipConfig, Parameters};
use super::optimizer::{self, Optimizer, Rule, Treatment};
use super::report::{self, ReportError};
use super::sampler::Sampling;
use super::scheduler::{Plateau, Schedule, Scheduler};
use super::step::{self, Losses, Training, Weights};
use super::validate::{self, Scores};
use super::wide::wide;

#[derive(Debug, thiserror::Error)]
pub enum FitError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Epoch(#[from] EpochError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("the loss is {loss} at step {step}: lower the learning rate, or look at the data")]
    Diverged { step: u64, loss: f32 },
}

/// How long, how fast.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub seed: u64,
    pub rule: Rule,
    /// Largest learning rate, steps of linear warm-up to it, and how it goes on.
    pub rate: f32,
    pub warmup: u64,
    pub schedule: Schedule,
    pub training: Training,
    /// Batches whose gradients are averaged into one step. Each is contrasted within itself alone.
    pub accumulate: u64,
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
    /// What is watched: it chooses the best checkpoint and drives ReduceLROnPlateau.
    pub watch: Watch,
    /// The run stops after so many validations in a row without a new best.
    pub patience: Option<u64>,
    /// Which validations leave a model folder.
    pub keep_epochs: Keep,
}

/// A figure of a validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// The loss on held-out products; less is better. More is better for all others.
    Loss,
    TextCategory,
    TextCategoryColor,
    ImageCategory,
    TitleRecall,
    /// The mean of the category and color precision of words and the category precision of photos.
    Retrieval,
    /// The mean of the accuracy over all labeled products and over those that have the thing at all.
    Attribute,
}

impl Watch {
    /// The figure, of a validation's loss and scores.
    #[must_use]
    pub fn value(self, loss: f32, scores: &Scores) -> f32 {
        match self {
            Self::Loss => loss,
            Self::TextCategory => scores.text_category,
            Self::TextCategoryColor => scores.text_category_color,
            Self::ImageCategory => scores.image_category,
            Self::TitleRecall => scores.title_recall,
            Self::Attribute => scores.attribute.map_or(0.0, |a| f32::midpoint(a.accuracy, a.present)),
            Self::Retrieval => (scores.text_category + scores.text_category_color + scores.image_category) / 3.0,
        }
    }

    fn better(self, new: f32, old: Option<f32>) -> bool {
        old.is_none_or(|old| if self == Self::Loss { new < old } else { new > old })
    }
}

/// What a checkpoint says beside its arrays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    step: u64,
    optimizer_steps: u64,
    seconds: f64,
    /// Best watched figure, and validations since.
    best: Option<f32>,
    stale: u64,
    epochs: u64,
    /// The validation that is the best so far.
    best_epoch: u64,
    plateau: Option<Plateau>,
    /// What the low-rank pairs count, where there are any (see [`super::lora`]).
    pub adapters: Option<f32>,
}

impl State {
    /// Reads it from a checkpoint's table.
    ///
    /// # Errors
    /// If it is not there or broken.
    pub fn parse(path: &Path, metadata: &checkpoint::Metadata) -> Result<Self, CheckpointError> {
        let state = metadata.get("run").ok_or(CheckpointError::NoState { path: path.into() })?;
        serde_json::from_str(state).map_err(|source| CheckpointError::State { path: path.into(), source })
    }
}

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Metric {
    Step(StepMetric),
    Validation {
        step: u64,
        seconds: f64,
        /// Validations so far, this one included; the name of its folder under `epochs/`.
        #[serde(default)]
        epoch: u64,
        /// Whether it is the best so far.
        #[serde(default)]
        best: bool,
        loss: Losses,
        weights: Scores,
        average: Scores,
    },
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
    /// The share of the step's time in which it did not wait.
    #[serde(default)]
    pub utilization: f32,
}

/// Products that are not trained on.
pub struct Held {
    /// Of the run's own kind: the loss and the attribute are measured on them.
    pub products: Vec<Product>,
    /// Of a general catalog, for the retrieval scores; none: the same ones.
    pub general: Vec<Product>,
    /// The attribute that is learned, and its values.
    pub attribute: Option<(Attribute, Vec<String>)>,
}

/// A run under way.
pub struct Run {
    config: ClipConfig,
    plan: Plan,
    folder: PathBuf,
    source: Arc<Source>,
    validation: Source,
    general: Vec<Product>,
    attribute: Option<(Attribute, Vec<String>)>,
    parameters: Parameters,
    average: Parameters,
    optimizer: Optimizer,
    treatments: Vec<Treatment>,
    scheduler: Scheduler,
    state: State,
}

impl Run {
    /// Begins at the weights `from`, or at random ones, or where `folder` left off if `resume` and it has a checkpoint.
    ///
    /// # Errors
    /// If the folder cannot be made or its checkpoint does not fit.
    pub fn new(
        plan: Plan,
        folder: &Path,
        source: Source,
        held: Held,
        from: Option<Parameters>,
        resume: bool,
    ) -> Result<Self, FitError> {
        std::fs::create_dir_all(folder).map_err(|source| FitError::Io { path: folder.into(), source })?;
        let config = source.config.clone();
        let path = folder.join("config.json");
        std::fs::write(&path, format!("{:#}\n", config.to_hugging_face()))
            .map_err(|source| FitError::Io { path, source })?;
        let mut parameters = from.unwrap_or_else(|| Parameters::random(&config, plan.seed));
        plan.training.begin(plan.weights.kind, &mut parameters, plan.seed);
        let drawing = Drawing { crop: 1.0, flip: false, blur: 0.0, ..source.drawing.clone() };
        let Held { products, general, attribute } = held;
        let vocabulary = source.vocabulary.clone();
        let validation = Source::new(products, Vec::new(), vocabulary, config.clone(), drawing, Sampling::default());
        let mut run = Self {
            optimizer: Optimizer::new(plan.rule.clone(), &parameters),
            treatments: plan.training.treatments(&config, &parameters),
            scheduler: Scheduler::new(plan.schedule.clone(), plan.rate, plan.warmup),
            average: parameters.clone(),
            parameters,
            config,
            plan,
            folder: folder.into(),
            source: Arc::new(source),
            validation,
            general,
            attribute,
            state: State::default(),
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
        let loader = Loader::start(
            Arc::clone(&self.source),
            self.state.step * self.plan.accumulate,
            self.kept(self.progress(before)),
        );
        let mut log = self.log()?;
        let mut validated = None;
        loop {
            let begun = Instant::now();
            let progress = self.progress(self.state.seconds);
            if progress >= 1.0 {
                break;
            }
            loader.keep(self.kept(progress));
            #[expect(clippy::cast_possible_truncation, reason = "the weights are f32")]
            let rate = self.scheduler.rate(self.state.step, progress) as f32;
            let Advance { losses, norm, waited, images } = self.advance(&loader, rate)?;
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
                images_per_second: images as f32 / begun.elapsed().as_secs_f32(),
                waited,
                utilization: (1.0 - waited / begun.elapsed().as_secs_f32()).clamp(0.0, 1.0),
            });
            self.write(&mut log, &metric)?;
            report(&metric);
            if self.state.step.is_multiple_of(self.plan.validate_every) {
                self.validate(&mut log, &mut report)?;
                validated = Some(self.state.step);
                self.state.seconds = before + start.elapsed().as_secs_f64();
                if self.plan.patience.is_some_and(|patience| self.state.stale >= patience) {
                    return Ok(());
                }
            }
        }
        if validated == Some(self.state.step) { Ok(()) } else { self.validate(&mut log, &mut report) }
    }

    fn advance(&mut self, loader: &Loader, rate: f32) -> Result<Advance, FitError> {
        let (mut list, mut sum, mut waited, mut images) = (Vec::new(), Vec::new(), 0.0, 0);
        for _ in 0..self.plan.accumulate {
            let begun = Instant::now();
            let batch = loader.next();
            waited += begun.elapsed().as_secs_f32();
            images += batch.images.images;
            let (losses, found) =
                step::gradients(&self.config, &self.parameters, &batch, self.plan.weights, &self.plan.training);
            list.push(losses);
            sum = if sum.is_empty() { found } else { added(sum, &found) };
        }
        let (mut gradients, losses) = (divided(sum, self.plan.accumulate), Losses::mean(&list));
        if !losses.total.is_finite() {
            return Err(FitError::Diverged { step: self.state.step, loss: losses.total });
        }
        let norm = optimizer::clip(&mut gradients, self.plan.clip);
        self.optimizer.step(&mut self.parameters, &gradients, rate, &self.treatments);
        let capped = self.plan.weights.kind == Kind::Contrastive && self.plan.training.moves("logit_scale");
        if let Some(scale) = self.parameters.get_mut("logit_scale").filter(|_| capped) {
            // CLIP's cap: a temperature below 1/100 makes training unstable.
            scale.values[0] = scale.values[0].clamp(0.0, 100.0_f32.ln());
        }
        #[expect(clippy::cast_precision_loss, reason = "a ramp over the first steps")]
        let keep = self.plan.average.min((1.0 + self.state.step as f32) / (10.0 + self.state.step as f32));
        average(&mut self.average, &self.parameters, keep);
        self.state.step += 1;
        Ok(Advance { losses, norm, waited, images })
    }

    fn validate(&mut self, log: &mut std::fs::File, report: &mut impl FnMut(&Metric)) -> Result<(), FitError> {
        let plain = self.plan.training.plain(&self.average);
        let weights = self.scores(&self.plan.training.plain(&self.parameters));
        let average = self.scores(&plain);
        let loss = self.validation_loss();
        let (step, seconds) = (self.state.step, self.state.seconds);
        let watched = self.plan.watch.value(loss.total, &average);
        let best = self.plan.watch.better(watched, self.state.best);
        self.scheduler.epoch_ends(f64::from(watched));
        let epoch = self.scheduler.state().0;
        if best {
            self.state.best = Some(watched);
            self.state.best_epoch = epoch;
            let path = self.folder.join("best.safetensors");
            checkpoint::write_weights(&path, &plain, checkpoint::Precision::F32)?;
        }
        self.state.stale = if best { 0 } else { self.state.stale + 1 };
        self.plan.keep_epochs.apply(&self.folder, epoch, self.state.best_epoch, |to| {
            epochs::write(to, &self.folder, &self.config, &plain, epochs::provenance(epoch, step, loss.total, &average))
        })?;
        let metric = Metric::Validation { step, seconds, epoch, best, loss, weights, average };
        self.write(log, &metric)?;
        report(&metric);
        self.save(&self.folder.join("last.safetensors"))?;
        Ok(report::write(&self.folder)?)
    }

    fn scores(&self, parameters: &Parameters) -> Scores {
        let (config, vocabulary) = (&self.config, &self.source.vocabulary);
        let own: Vec<&Product> = self.validation.products.iter().collect();
        let general: Vec<&Product> = self.general.iter().collect();
        let general = if general.is_empty() { &own } else { &general };
        let mut scores = validate::scores(config, parameters, vocabulary, general);
        if let Some((attribute, values)) = &self.attribute {
            let words = attribute::embed(attribute, values, config, parameters, vocabulary);
            let photos = validate::embed_photos(config, parameters, &own);
            scores.attribute = attribute::classify(attribute, values, &words, &own, &photos);
        }
        scores
    }

    /// The averaged weights' loss on a few batches of held-out products, the same ones each time.
    fn validation_loss(&self) -> Losses {
        let source = &self.validation;
        let batches = source.steps_per_epoch().min(VALIDATION_BATCHES);
        let all = self.config.patches();
        let list: Vec<Losses> = (0..batches)
            .map(|at| {
                let batch = source.batch(at, all);
                step::losses(&self.config, &self.average, &batch, self.plan.weights, &self.plan.training)
            })
            .collect();
        Losses::mean(&list)
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
        let (epochs, plateau) = self.scheduler.state();
        let adapters = self.plan.training.lora.as_ref().map(Lora::scale);
        let optimizer_steps = self.optimizer.steps;
        let state = State { optimizer_steps, epochs, plateau: Some(plateau), adapters, ..self.state };
        let state = serde_json::to_string(&state).expect("numbers are JSON");
        let metadata = HashMap::from([("run".to_owned(), state)]);
        Ok(checkpoint::write(path, &arrays, metadata, checkpoint::Precision::F32)?)
    }

    fn load(&mut self, path: &Path) -> Result<(), FitError> {
        let (mut arrays, metadata) = checkpoint::read(path)?;
        let state = State::parse(path, &metadata)?;
        checkpoint::fill(path, &mut arrays, "weights.", &mut self.parameters)?;
        checkpoint::fill(path, &mut arrays, "average.", &mut self.average)?;
        for (parameter, slots) in self.parameters.0.iter().zip(&mut self.optimizer.slots) {
            // All slots of a parameter or none: it has not moved yet.
            let found = (0..self.plan.rule.slots()).map(|n| arrays.remove(&format!("slot{n}.{}", parameter.name)));
            let found: Option<Vec<_>> = found.collect();
            *slots = found.unwrap_or_default().into_iter().map(|slot| slot.values).collect();
        }
        self.optimizer.steps = state.optimizer_steps;
        if let Some(plateau) = state.plateau {
            self.scheduler.restore((state.epochs, plateau));
        }
        self.state = state;
        Ok(())
    }
}

/// Moves the averaged weights towards the present ones: `keep` of theirs stays.
pub fn average(average: &mut Parameters, now: &Parameters, keep: f32) {
    average.0.par_iter_mut().zip(&now.0).for_each(|(average, now)| {
        wide(#[inline(always)] || {
            for (a, &w) in average.values.iter_mut().zip(&now.values) {
                *a += (w - *a) * (1.0 - keep);
            }
        });
    });
}

/// Held-out batches whose loss a validation takes.
const VALIDATION_BATCHES: u64 = 3;

/// What a step was like.
struct Advance {
    losses: Losses,
    /// Of the gradients, before clipping.
    norm: f32,
    waited: f32,
    images: usize,
}

fn added(mut sum: Vec<Option<Vec<f32>>>, more: &[Option<Vec<f32>>]) -> Vec<Option<Vec<f32>>> {
    for (sum, more) in sum.iter_mut().zip(more) {
        if let (Some(sum), Some(more)) = (sum, more) {
            sum.iter_mut().zip(more).for_each(|(s, m)| *s += m);
        }
    }
    sum
}

fn divided(mut sum: Vec<Option<Vec<f32>>>, count: u64) -> Vec<Option<Vec<f32>>> {
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let share = 1.0 / count as f32;
    if count > 1 {
        sum.iter_mut().flatten().for_each(|g| g.iter_mut().for_each(|v| *v *= share));
    }
    sum
}
