//! The loop: batches in, weights out, a checkpoint per epoch, and a way back after a kill.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::{self, CheckpointError, StoredFloat};
use super::embed::Embedder;
use super::epochs::{self, EpochError};
use super::folder;
use super::losses::Losses;
use super::metrics::{Log, Metric, StepMetric};
use super::plan::RunPlan;
use super::report::{self, ReportError};
use super::state::State;
use super::step;
use super::validate::{self, Scores};
use crate::train::data::attribute::Classes;
use crate::train::data::batch_source::{BatchSource, Drawing};
use crate::train::data::loader::{KeptPatches, Loader};
use crate::train::data::product::Product;
use crate::train::data::sampler::Sampling;
use crate::train::net::config::NetConfig;
use crate::train::net::lora::Lora;
use crate::train::net::parameters::{LOGIT_SCALE, Parameters};
use crate::train::optim::average::average;
use crate::train::optim::loss::LossKind;
use crate::train::optim::optimizer::{self, Optimizer, Treatment};
use crate::train::optim::scheduler::Scheduler;

#[derive(Debug, thiserror::Error)]
pub enum FitError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Epoch(#[from] EpochError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("the loss is {loss} at step {step}: lower the learning rate, or look at the data")]
    Diverged { step: u64, loss: f32 },
    #[error(
        "the gradients' norm is {norm} at step {step}: lower the learning rate, or look at the data"
    )]
    Gradients { step: u64, norm: f32 },
    #[error(
        "{path} is the checkpoint of another run: go on with that run (--resume), or choose another folder"
    )]
    Exists { path: PathBuf },
    #[error("there is no product {0}")]
    NoProduct(&'static str),
}

/// Products that are not trained on.
pub struct HeldOut {
    /// Of the run's own kind: the loss and the attribute are measured on them.
    pub products: Vec<Product>,
    /// Of a general catalog, for the retrieval scores; none: the same ones.
    pub general: Vec<Product>,
    /// The attribute that is learned.
    pub classes: Option<Classes>,
}

/// A run under way.
pub struct Run {
    config: NetConfig,
    plan: RunPlan,
    folder: PathBuf,
    source: Arc<BatchSource>,
    validation: BatchSource,
    general: Vec<Product>,
    classes: Option<Classes>,
    parameters: Parameters,
    average: Parameters,
    optimizer: Optimizer,
    treatments: Vec<Treatment>,
    scheduler: Scheduler,
    state: State,
    clock: Clock,
}

/// A run's time, pauses left out.
struct Clock {
    before: f64,
    start: Instant,
}

impl Clock {
    /// Goes on after so many seconds.
    fn after(before: f64) -> Self {
        Self {
            before,
            start: Instant::now(),
        }
    }

    fn seconds(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }
}

/// Where a run's checkpoint is.
fn last(run: &Path) -> PathBuf {
    run.join(folder::LAST)
}

/// Checks that a run may begin in the folder: none has its checkpoint there.
///
/// # Errors
/// If one has.
pub fn vacant(folder: &Path) -> Result<(), FitError> {
    let path = last(folder);
    if path.exists() {
        Err(FitError::Exists { path })
    } else {
        Ok(())
    }
}

impl Run {
    /// Begins at the weights `from`, or at random ones, or where `folder` left off if `resume` and
    /// it has a checkpoint.
    ///
    /// # Errors
    /// If the folder cannot be made, its checkpoint does not fit, or is there without `resume`, or there are no products to train on or to validate on.
    pub fn new(
        plan: RunPlan,
        folder: &Path,
        config: NetConfig,
        source: BatchSource,
        held: HeldOut,
        from: Option<Parameters>,
        resume: bool,
    ) -> Result<Self, FitError> {
        if !resume {
            vacant(folder)?;
        }
        if source.products.is_empty() {
            return Err(FitError::NoProduct("to train on"));
        }
        if held.products.is_empty() {
            return Err(FitError::NoProduct("held out, to validate on"));
        }
        std::fs::create_dir_all(folder).map_err(|source| FitError::Io {
            path: folder.into(),
            source,
        })?;
        let path = folder.join("config.json");
        std::fs::write(&path, format!("{:#}\n", config.to_hugging_face()))
            .map_err(|source| FitError::Io { path, source })?;
        let mut parameters = from.unwrap_or_else(|| Parameters::random(&config.clip, plan.seed));
        plan.training
            .begin(plan.weights.kind, &mut parameters, plan.seed);
        // With few products the batch is small: none comes twice in it.
        let batch = source.drawing.batch.min(held.products.len().max(1));
        let sampling = Sampling::default();
        let drawing = Drawing {
            crop: 1.0,
            aspect: 1.0,
            flip: false,
            blur: 0.0,
            channels: 0.0,
            batch,
            sampling,
            ..source.drawing
        };
        let HeldOut {
            products,
            general,
            classes,
        } = held;
        let vocabulary = source.vocabulary.clone();
        let validation = BatchSource::new(
            products,
            Vec::new(),
            vocabulary,
            config.clip.clone(),
            drawing,
        )
        .teaching(classes.clone());
        let mut run = Self {
            optimizer: Optimizer::new(plan.rule.clone(), &parameters),
            treatments: plan.training.treatments(&config.clip, &parameters),
            scheduler: Scheduler::new(plan.schedule.clone(), plan.rate, plan.warmup),
            average: parameters.clone(),
            parameters,
            config,
            plan,
            folder: folder.into(),
            source: Arc::new(source),
            validation,
            general,
            classes,
            state: State::default(),
            clock: Clock::after(0.0),
        };
        let last = last(folder);
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

    /// How far it is into the run, 0 to 1, when the state was last brought up to date.
    fn progress(&self) -> f32 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a share of the run"
        )]
        let (steps, time) = (
            self.state.step as f32 / self.plan.steps as f32,
            self.plan
                .time
                .map_or(0.0, |t| self.state.seconds / t.as_secs_f64()) as f32,
        );
        steps.max(time).min(1.0)
    }

    /// Whether there is nothing more to do: the plan's end is reached, or it stopped early.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.progress() >= 1.0
            || self
                .plan
                .patience
                .is_some_and(|patience| self.state.stale >= patience)
    }

    /// Which batches hold whole images: those after the plan's share of the steps, or from where
    /// the time decided it.
    fn kept(&self) -> KeptPatches {
        let all = self.config.clip.vision.patches();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the patches, a share of the steps"
        )]
        let (few, steps) = (
            (all as f32 * self.plan.keep_patches).round() as usize,
            (self.plan.steps as f32 * self.plan.keep_until).ceil() as u64,
        );
        let by_steps = steps * self.plan.accumulate;
        KeptPatches {
            few: few.clamp(1, all),
            all,
            full_from: self.state.full_from.map_or(by_steps, |at| at.min(by_steps)),
        }
    }

    /// The next batch's number.
    fn next_batch(&self) -> u64 {
        self.state.step * self.plan.accumulate
    }

    /// Trains to the plan's end. A run that is over, as one that is taken up again may be, stays as
    /// it is.
    ///
    /// # Errors
    /// If a file cannot be written, or the loss or a gradient is not finite.
    pub fn train(&mut self, mut report: impl FnMut(&Metric)) -> Result<(), FitError> {
        if self.is_over() {
            return Ok(());
        }
        // A checkpoint is written at validations and nowhere else: what was loaded was validated.
        let mut validated = self.state.step;
        self.clock = Clock::after(self.state.seconds);
        let mut log = self.log()?;
        let loader = Loader::start(Arc::clone(&self.source), self.next_batch(), self.kept());
        while !self.is_over() {
            if self.state.full_from.is_none()
                && self.plan.time.is_some()
                && self.progress() >= self.plan.keep_until
            {
                self.state.full_from = Some(loader.fill(self.next_batch()));
            }
            let metric = Metric::Step(self.advance(&loader)?);
            self.write(&mut log, &metric)?;
            report(&metric);
            if self.state.step.is_multiple_of(self.plan.validate_every) {
                self.validate(&mut log, &mut report)?;
                validated = self.state.step;
            }
        }
        if validated == self.state.step {
            Ok(())
        } else {
            self.validate(&mut log, &mut report)
        }
    }

    /// Takes a step.
    fn advance(&mut self, loader: &Loader) -> Result<StepMetric, FitError> {
        let begun = Instant::now();
        let step = self.state.step;
        #[expect(clippy::cast_possible_truncation, reason = "the weights are f32")]
        let rate = self.scheduler.rate(step, self.progress()) as f32;
        let Gathered {
            mut gradients,
            losses,
            waited,
            images,
        } = self.gather(loader);
        if !losses.total.is_finite() {
            return Err(FitError::Diverged {
                step,
                loss: losses.total,
            });
        }
        let norm = optimizer::clip(&mut gradients, self.plan.clip);
        if !norm.is_finite() {
            return Err(FitError::Gradients { step, norm });
        }
        self.apply(&gradients, rate);
        self.state.step += 1;
        self.state.seconds = self.clock.seconds();
        let took = begun.elapsed();
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        let images = images as f32;
        Ok(StepMetric {
            step: self.state.step,
            seconds: self.state.seconds,
            seconds_per_step: took.as_secs_f64(),
            losses,
            rate,
            gradient_norm: norm,
            logit_scale: self
                .parameters
                .get(LOGIT_SCALE)
                .map_or(0.0, |p| p.values[0].exp()),
            images_per_second: images / took.as_secs_f32(),
            waited,
            utilization: (1.0 - waited / took.as_secs_f32()).clamp(0.0, 1.0),
        })
    }

    /// The mean gradient of the step's batches.
    fn gather(&self, loader: &Loader) -> Gathered {
        let (mut list, mut sum, mut waited, mut images) = (Vec::new(), Vec::new(), 0.0, 0);
        for _ in 0..self.plan.accumulate {
            let begun = Instant::now();
            let batch = loader.next();
            waited += begun.elapsed().as_secs_f32();
            images += batch.images.images;
            let (losses, found) = step::gradients(
                &self.config.clip,
                &self.parameters,
                &batch,
                self.plan.weights,
                &self.plan.training,
            );
            list.push(losses);
            sum = if sum.is_empty() {
                found
            } else {
                added(sum, &found)
            };
        }
        Gathered {
            gradients: divided(sum, self.plan.accumulate),
            losses: Losses::mean(&list),
            waited,
            images,
        }
    }

    /// Moves the weights and their average.
    fn apply(&mut self, gradients: &[Option<Vec<f32>>], rate: f32) {
        if let Some(momentum) = self.scheduler.momentum(self.state.step) {
            #[expect(clippy::cast_possible_truncation, reason = "the weights are f32")]
            self.optimizer.set_momentum(momentum as f32);
        }
        self.optimizer
            .step(&mut self.parameters, gradients, rate, &self.treatments);
        let capped = self.plan.weights.kind == LossKind::Contrastive
            && self.plan.training.moves(LOGIT_SCALE);
        if let Some(scale) = self.parameters.get_mut(LOGIT_SCALE).filter(|_| capped) {
            // CLIP's cap: a temperature below 1/100 makes training unstable.
            scale.values[0] = scale.values[0].clamp(0.0, 100.0_f32.ln());
        }
        #[expect(clippy::cast_precision_loss, reason = "a ramp over the first steps")]
        let keep = self
            .plan
            .average
            .min((1.0 + self.state.step as f32) / (10.0 + self.state.step as f32));
        average(&mut self.average, &self.parameters, keep);
    }

    fn validate(
        &mut self,
        log: &mut Log,
        report: &mut impl FnMut(&Metric),
    ) -> Result<(), FitError> {
        let plain = self.plan.training.plain(&self.average);
        let weights = self.scores(&self.plan.training.plain(&self.parameters));
        let average = self.scores(&plain);
        let loss = self.validation_loss();
        let (step, seconds) = (self.state.step, self.state.seconds);
        let watched = self.plan.watch.value(loss.total, &average);
        let best = self.plan.watch.better(watched, self.state.best);
        // The schedule does not count an epoch of warm-up steps alone.
        if step > self.plan.warmup {
            self.scheduler.epoch_ends(f64::from(watched));
        }
        let epoch = self.state.epoch.unwrap_or_default() + 1;
        self.state.epoch = Some(epoch);
        if best {
            self.state.best = Some(watched);
            self.state.best_epoch = epoch;
            let path = self.folder.join(folder::BEST);
            checkpoint::write_weights(&path, &plain, StoredFloat::F32)?;
        }
        self.state.stale = if best { 0 } else { self.state.stale + 1 };
        self.plan
            .keep_epochs
            .apply(&self.folder, epoch, self.state.best_epoch, |to| {
                epochs::write(
                    to,
                    &self.folder,
                    &self.config,
                    &plain,
                    epochs::provenance(epoch, step, loss.total, &average),
                )
            })?;
        let metric = Metric::Validation {
            step,
            seconds,
            epoch,
            best,
            loss,
            weights,
            average,
        };
        self.write(log, &metric)?;
        report(&metric);
        self.state.seconds = self.clock.seconds();
        self.save(&last(&self.folder))?;
        Ok(report::write(&self.folder)?)
    }

    fn scores(&self, parameters: &Parameters) -> Scores {
        let embedder = Embedder::new(&self.config, parameters, &self.source.vocabulary);
        let own: Vec<&Product> = self.validation.products.iter().collect();
        let general: Vec<&Product> = self.general.iter().collect();
        validate::measure(&embedder, &own, &general, self.classes.as_ref())
    }

    /// The averaged weights' loss on batches of held-out products, the same ones each time: all
    /// that are full, up to about [`VALIDATION_PRODUCTS`].
    fn validation_loss(&self) -> Losses {
        let source = &self.validation;
        let most = VALIDATION_PRODUCTS.div_ceil(source.drawing.batch as u64);
        let batches = source.steps_per_epoch().min(most);
        let all = self.config.clip.vision.patches();
        Losses::mean(&step::losses(
            &self.config.clip,
            &self.average,
            (0..batches).map(|at| source.batch(at, all)),
            self.plan.weights,
            &self.plan.training,
        ))
    }

    fn log(&self) -> Result<Log, FitError> {
        let path = self.folder.join("metrics.jsonl");
        Log::open(&path).map_err(|source| FitError::Io { path, source })
    }

    fn write(&self, log: &mut Log, metric: &Metric) -> Result<(), FitError> {
        log.add(metric).map_err(|source| FitError::Io {
            path: self.folder.join("metrics.jsonl"),
            source,
        })
    }

    fn save(&self, path: &Path) -> Result<(), FitError> {
        let mut arrays = Vec::new();
        for (at, p) in self.parameters.0.iter().enumerate() {
            arrays.push((
                format!("weights.{}", p.name),
                p.shape.as_slice(),
                p.values.as_slice(),
            ));
            arrays.push((
                format!("average.{}", p.name),
                p.shape.as_slice(),
                self.average.0[at].values.as_slice(),
            ));
            for (number, slot) in self.optimizer.slots[at].iter().enumerate() {
                arrays.push((
                    format!("slot{number}.{}", p.name),
                    p.shape.as_slice(),
                    slot.as_slice(),
                ));
            }
        }
        let (epochs, plateau) = self.scheduler.state();
        let adapters = self.plan.training.lora.as_ref().map(Lora::scale);
        let optimizer_steps = self.optimizer.steps;
        let state = State {
            optimizer_steps,
            epochs,
            plateau: Some(plateau),
            adapters,
            ..self.state
        };
        let state = serde_json::to_string(&state).expect("numbers are JSON");
        let metadata = HashMap::from([("run".to_owned(), state)]);
        Ok(checkpoint::write(
            path,
            &arrays,
            metadata,
            StoredFloat::F32,
        )?)
    }

    fn load(&mut self, path: &Path) -> Result<(), FitError> {
        let (mut arrays, metadata) = checkpoint::read(path)?;
        let state = State::parse(path, &metadata)?;
        checkpoint::fill(path, &mut arrays, "weights.", &mut self.parameters)?;
        checkpoint::fill(path, &mut arrays, "average.", &mut self.average)?;
        for (parameter, slots) in self.parameters.0.iter().zip(&mut self.optimizer.slots) {
            // All slots of a parameter or none: it has not moved yet.
            let found = (0..self.plan.rule.slots())
                .map(|n| arrays.remove(&format!("slot{n}.{}", parameter.name)));
            let found: Option<Vec<_>> = found.collect();
            *slots = found
                .unwrap_or_default()
                .into_iter()
                .map(|slot| slot.values)
                .collect();
        }
        self.optimizer.steps = state.optimizer_steps;
        if let Some(plateau) = state.plateau {
            self.scheduler.restore((state.epochs, plateau));
        }
        self.state = State {
            epoch: Some(state.epoch.unwrap_or(state.epochs)),
            ..state
        };
        Ok(())
    }
}

/// HeldOut-out products whose loss a validation takes, about.
const VALIDATION_PRODUCTS: u64 = 1000;

/// What a step's batches come to.
struct Gathered {
    gradients: Vec<Option<Vec<f32>>>,
    losses: Losses,
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
        sum.iter_mut()
            .flatten()
            .for_each(|g| g.iter_mut().for_each(|v| *v *= share));
    }
    sum
}
