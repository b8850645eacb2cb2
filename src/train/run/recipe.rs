//! A recipe: everything that decides a run, as a TOML file with a default for every field.
//!
//! A field that does not exist is refused, and all wrong values are reported together.
//! `--set` overrides a field by its dotted path (`--set optimizer.rate=1e-4`; `lr` is another name
//! of that one).
//!
//! A tower without all fields takes the others from the default tower. A `rule` or a `schedule` with
//! a `kind` takes the others from PyTorch's defaults; one without changes the default rule or
//! schedule, so that `--set optimizer.rule.weight_decay=0.2` changes that and nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::epochs::Keep;
use super::losses::LossWeights;
use super::metrics::Watch;
use super::plan::RunPlan;
use super::training::{Training, broken};
use crate::model::ClipConfig;
use crate::model::clip_config::{Activation, Pooling, TextTower, VisionTower};
use crate::train::data::attribute::Attribute;
use crate::train::data::batch_source::Drawing;
use crate::train::data::sampler::Sampling;
use crate::train::net::config::{self, NetConfig};
use crate::train::net::lora::Lora;
use crate::train::optim::optimizer::Rule;
use crate::train::optim::scheduler::{Mode, Schedule};

#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the recipe: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("--set {0}: a field and a value are expected, such as optimizer.rate=1e-4")]
    Set(String),
    #[error("the recipe has values that cannot be used:\n  {}", .0.join("\n  "))]
    Values(Vec<String>),
}

/// The whole recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    pub model: Model,
    pub data: Data,
    pub loss: LossWeights,
    pub training: Training,
    pub optimizer: Optimization,
    /// An attribute that the model is to learn from labeled products.
    pub attribute: Option<Attribute>,
    pub run: Length,
    /// The rule by which `aglet-train compare` chooses among the run's epochs; it has a default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<crate::evaluate::benchmark::compare::Rule>,
}

/// The model's sizes, for weights that begin at random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// Edge of the square input in pixels, and of its patches.
    pub image_size: usize,
    pub patch: usize,
    pub vision: Tower,
    pub text: Tower,
    /// Ids of the vocabulary that is learned from the captions, at most.
    pub vocabulary: usize,
    /// Longest text in tokens.
    pub context: usize,
    /// Length of an embedding.
    pub projection: usize,
    pub activation: Activation,
}

/// One tower: its MLP is four times as wide as itself, a head 64.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tower {
    pub width: usize,
    pub layers: usize,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            image_size: 112,
            patch: 16,
            vision: Tower {
                width: 256,
                layers: 6,
            },
            text: Tower {
                width: 256,
                layers: 3,
            },
            vocabulary: 6000,
            context: 32,
            projection: 256,
            activation: Activation::QuickGelu,
        }
    }
}

/// What is seen, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Products of a batch.
    pub batch: usize,
    /// Drawn products to choose from, and how many of them are in a batch; 10 of 128 by
    /// default.
    pub drawn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn_per_batch: Option<usize>,
    /// Products of the general catalog in a batch, so that what is known is not forgotten; a
    /// quarter by default. Without `fit --replay` there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_per_batch: Option<usize>,
    /// Smallest edge of the random crop, as a share of the photo's.
    pub crop: f32,
    /// Largest ratio of the crop's sides, either way; 1 leaves it a square. What is cropped is
    /// stretched to the input.
    pub aspect: f32,
    /// Mirror half of the photos.
    pub flip: bool,
    /// Probability of a light blur.
    pub blur: f32,
    /// Probability that a labeled photo's red, green and blue change places, and the colors in its
    /// words with them: for an attribute that is a color (see `src/train/data/channels.rs`).
    pub channels: f32,
    /// Put the color of the laces into words where it is known.
    pub shoelaces: bool,
    /// Held-out products that each validation asks for.
    pub validation: usize,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            batch: 128,
            drawn: 2000,
            drawn_per_batch: None,
            replay_per_batch: None,
            crop: 0.8,
            aspect: 1.0,
            flip: true,
            blur: 0.0,
            channels: 0.0,
            shoelaces: true,
            validation: 800,
        }
    }
}

impl Data {
    /// Drawn products of a batch.
    #[must_use]
    pub fn drawn_in_batch(&self) -> usize {
        self.drawn_per_batch.unwrap_or(self.batch * 10 / 128)
    }

    /// Replayed products of a batch, where there are any to replay.
    #[must_use]
    pub fn replayed_in_batch(&self) -> usize {
        self.replay_per_batch.unwrap_or(self.batch / 4)
    }

    /// Whether a batch of both has room for the products that the run is about.
    #[must_use]
    pub fn has_room_for_replay(&self) -> bool {
        self.drawn_in_batch()
            .saturating_add(self.replayed_in_batch())
            < self.batch
    }
}

/// How the weights move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimization {
    /// Largest learning rate.
    pub rate: f32,
    /// Steps of linear warm-up.
    pub warmup: u64,
    pub rule: Rule,
    /// How the rate goes on after the warm-up.
    pub schedule: Schedule,
    /// Batches whose gradients are averaged into one step.
    pub accumulate: u64,
    /// Largest common norm of the gradients.
    pub clip: f32,
    /// Decay of the averaged weights, per step.
    pub average: f32,
}

impl Default for Optimization {
    fn default() -> Self {
        let rule = Rule::Adamw {
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-6,
            weight_decay: 0.1,
        };
        let schedule = Schedule::CosineToEnd { final_share: 0.001 };
        Self {
            rate: 1e-3,
            warmup: 100,
            rule,
            schedule,
            accumulate: 1,
            clip: 1.0,
            average: 0.995,
        }
    }
}

/// How long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Length {
    pub seed: u64,
    /// Times that every product is seen.
    pub epochs: f32,
    /// The run ends after so many minutes if that is sooner; the learning rate reaches its end
    /// either way.
    pub minutes: Option<f64>,
    /// Share of an image's patches that is seen until that part of the run; then all are.
    pub keep_patches: f32,
    pub keep_until: f32,
    /// Validations and checkpoints in an epoch; below 1, one in several epochs (small data sets).
    pub validations_per_epoch: f32,
    /// The figure that chooses the best checkpoint (and drives ReduceLROnPlateau).
    pub watch: Watch,
    /// Stop after so many validations in a row without a new best.
    pub patience: Option<u64>,
    /// Which validations leave a model folder under `epochs/`: "none", "best", "all" or `{ last = 3
    /// }` (and the best).
    pub keep_epochs: Keep,
}

impl Default for Length {
    fn default() -> Self {
        Self {
            seed: 1,
            epochs: 8.0,
            minutes: None,
            keep_patches: 0.5,
            keep_until: 0.75,
            validations_per_epoch: 1.0,
            watch: Watch::Retrieval,
            patience: None,
            keep_epochs: Keep::Best,
        }
    }
}

impl Model {
    fn problems(&self) -> Vec<String> {
        let towers = [self.vision, self.text];
        broken([
            (
                self.patch > 0
                    && self.image_size.is_multiple_of(self.patch.max(1))
                    && self.image_size >= self.patch,
                "model.image_size is a multiple of model.patch",
            ),
            (self.image_size <= 1024, "model.image_size is at most 1024"),
            (
                towers
                    .iter()
                    .all(|t| t.width > 0 && t.width.is_multiple_of(64)),
                "a tower's width is a multiple of 64",
            ),
            (
                towers.iter().all(|t| (1..=48).contains(&t.layers)),
                "a tower has 1 to 48 layers",
            ),
            (
                (515..=65_536).contains(&self.vocabulary),
                "model.vocabulary is between 515 and 65536",
            ),
            (
                (4..=512).contains(&self.context),
                "model.context is between 4 and 512",
            ),
            (
                (1..=4096).contains(&self.projection),
                "model.projection is between 1 and 4096",
            ),
        ])
    }
}

impl Data {
    fn problems(&self) -> Vec<String> {
        broken([
            (
                self.batch >= 2,
                "data.batch is at least 2: contrast needs something to differ from",
            ),
            (
                self.drawn_in_batch() < self.batch,
                "data.drawn_per_batch leaves room in data.batch",
            ),
            (self.validation >= 1, "data.validation is at least 1"),
            ((0.0..=1.0).contains(&self.blur), "data.blur is in [0, 1]"),
            (
                (0.0..=1.0).contains(&self.channels),
                "data.channels is in [0, 1]",
            ),
            (is_share(self.crop), "data.crop is in (0, 1]"),
            (
                (1.0..=4.0).contains(&self.aspect),
                "data.aspect is in [1, 4]",
            ),
        ])
    }
}

impl Optimization {
    fn problems(&self) -> Vec<String> {
        broken([
            (self.accumulate >= 1, "optimizer.accumulate is at least 1"),
            (
                self.rate > 0.0 && self.rate.is_finite(),
                "optimizer.rate is positive",
            ),
            (self.clip > 0.0, "optimizer.clip is positive"),
            (
                (0.0..1.0).contains(&self.average),
                "optimizer.average is in [0, 1)",
            ),
        ])
    }
}

impl Length {
    fn problems(&self) -> Vec<String> {
        broken([
            (
                self.patience.is_none_or(|p| p >= 1),
                "run.patience is at least 1",
            ),
            (
                self.epochs > 0.0 && self.epochs.is_finite(),
                "run.epochs is positive",
            ),
            (
                self.minutes.is_none_or(|m| m > 0.0 && m.is_finite()),
                "run.minutes is positive",
            ),
            (is_share(self.keep_patches), "run.keep_patches is in (0, 1]"),
            (
                (0.0..=1.0).contains(&self.keep_until),
                "run.keep_until is in [0, 1]",
            ),
            (
                self.validations_per_epoch > 0.0,
                "run.validations_per_epoch is positive",
            ),
        ])
    }
}

fn is_share(value: f32) -> bool {
    value > 0.0 && value <= 1.0
}

impl Recipe {
    /// Reads a recipe, applies the overrides and checks it.
    ///
    /// # Errors
    /// If the file cannot be read, names a field that does not exist, or holds values that cannot
    /// be.
    pub fn open(path: &Path, overrides: &[String]) -> Result<Self, RecipeError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Io {
            path: path.into(),
            source,
        })?;
        Self::parse(&text, overrides)
    }

    /// As [`Recipe::open`], from the file's text.
    ///
    /// # Errors
    /// See [`Recipe::open`].
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self, RecipeError> {
        let mut table: toml::Table = toml::from_str(text)?;
        for set in overrides {
            let (path, value) = set
                .split_once('=')
                .ok_or_else(|| RecipeError::Set(set.clone()))?;
            put(&mut table, path.trim(), value.trim())
                .ok_or_else(|| RecipeError::Set(set.clone()))?;
        }
        complete(&mut table);
        let recipe: Self = table.try_into()?;
        let problems = recipe.problems();
        if problems.is_empty() {
            Ok(recipe)
        } else {
            Err(RecipeError::Values(problems))
        }
    }

    /// Everything that is wrong, one line each.
    fn problems(&self) -> Vec<String> {
        let mut problems = self.model.problems();
        problems.extend(self.data.problems());
        problems.extend(self.training.problems());
        problems.extend(self.optimizer.problems());
        problems.extend(self.run.problems());
        problems.extend(self.disagreements());
        problems.extend(self.training.lora.iter().flat_map(Lora::problems));
        problems.extend(self.optimizer.rule.problems());
        problems.extend(self.optimizer.schedule.problems());
        problems.extend(self.attribute.iter().flat_map(Attribute::problems));
        problems
    }

    /// What is wrong between the sections.
    fn disagreements(&self) -> Vec<String> {
        let Self {
            loss,
            attribute,
            run,
            ..
        } = self;
        broken([
            (
                loss.are_not_negative(),
                "the weights of the loss are not negative",
            ),
            (
                loss.values == 0.0 || attribute.is_some(),
                "loss.values needs an [attribute]",
            ),
            (
                !run.watch.needs_attribute() || attribute.is_some(),
                "run.watch = \"attribute\" needs an [attribute]",
            ),
            (
                self.plateau_goes_with_watch(),
                "optimizer.schedule: mode is \"min\" for run.watch = \"loss\", else \"max\"",
            ),
            (
                self.momentum_can_cycle(),
                "optimizer.schedule: cycle_momentum needs a rule with a momentum (sgd, adamw)",
            ),
        ])
    }

    /// ReduceLROnPlateau follows the watched figure, of which less is better or more.
    fn plateau_goes_with_watch(&self) -> bool {
        match self.optimizer.schedule {
            Schedule::ReduceOnPlateau { mode, .. } => {
                (mode == Mode::Min) == (self.run.watch == Watch::Loss)
            }
            _ => true,
        }
    }

    fn momentum_can_cycle(&self) -> bool {
        let cycles = matches!(
            self.optimizer.schedule,
            Schedule::Cyclic {
                cycle_momentum: true,
                ..
            }
        );
        !cycles || self.optimizer.rule.has_momentum()
    }

    /// The model's sizes with the vocabulary that was learned; it sees all of a photo.
    #[must_use]
    pub fn config(&self, vocabulary: usize) -> NetConfig {
        let tower = |tower: Tower| config::tower(tower.width, tower.layers, self.model.activation);
        let end = u32::try_from(vocabulary)
            .unwrap_or(u32::MAX)
            .saturating_sub(1);
        NetConfig::new(ClipConfig {
            text: TextTower {
                tower: tower(self.model.text),
                vocabulary,
                context_length: self.model.context,
                pooling: Pooling::EndOfText(end),
            },
            vision: VisionTower {
                tower: tower(self.model.vision),
                image_size: self.model.image_size,
                patch_size: self.model.patch,
            },
            projection: self.model.projection,
        })
    }

    /// How batches are drawn.
    #[must_use]
    pub fn drawing(&self) -> Drawing {
        let Data {
            batch,
            crop,
            aspect,
            flip,
            blur,
            channels,
            ..
        } = self.data;
        let sampling = self
            .attribute
            .as_ref()
            .map_or_else(Sampling::default, |a| a.sampling);
        Drawing {
            seed: self.run.seed,
            batch,
            crop,
            aspect,
            flip,
            blur,
            channels,
            sampling,
        }
    }

    /// The loop's plan, given the batches that hold every product once.
    #[must_use]
    pub fn plan(&self, batches_per_epoch: u64) -> RunPlan {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of steps"
        )]
        let (steps, every) = {
            let epoch = batches_per_epoch as f64 / self.optimizer.accumulate as f64;
            let validations = f64::from(self.run.validations_per_epoch);
            (
                (f64::from(self.run.epochs) * epoch).ceil() as u64,
                (epoch / validations).round() as u64,
            )
        };
        RunPlan {
            seed: self.run.seed,
            rule: self.optimizer.rule.clone(),
            rate: self.optimizer.rate,
            warmup: self.optimizer.warmup,
            schedule: self.optimizer.schedule.clone(),
            training: self.training.clone(),
            accumulate: self.optimizer.accumulate,
            steps,
            time: self.run.minutes.map(|m| Duration::from_secs_f64(m * 60.0)),
            keep_patches: self.run.keep_patches,
            keep_until: self.run.keep_until,
            clip: self.optimizer.clip,
            average: self.optimizer.average,
            weights: self.loss,
            watch: self.run.watch,
            patience: self.run.patience,
            keep_epochs: self.run.keep_epochs,
            validate_every: every.max(1),
        }
    }
}

/// Completes tables that give a part of their fields by the defaults' (see the module).
fn complete(table: &mut toml::Table) {
    let defaults = toml::Table::try_from(Recipe::default()).expect("a recipe is plain data");
    for (section, name) in [
        ("model", "vision"),
        ("model", "text"),
        ("optimizer", "rule"),
        ("optimizer", "schedule"),
    ] {
        let Some(given) = table
            .get_mut(section)
            .and_then(|s| s.get_mut(name))
            .and_then(toml::Value::as_table_mut)
        else {
            continue;
        };
        let default = defaults[section][name]
            .as_table()
            .filter(|_| !given.contains_key("kind"));
        for (field, value) in default.into_iter().flatten() {
            given.entry(field).or_insert_with(|| value.clone());
        }
    }
}

/// Puts a value at a dotted path; a word that is not a TOML value is a string.
fn put(table: &mut toml::Table, path: &str, value: &str) -> Option<()> {
    let path = if ["lr", "optimizer.lr"].contains(&path) {
        "optimizer.rate"
    } else {
        path
    };
    let value = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = table;
    for part in parents.split('.').filter(|p| !p.is_empty()) {
        let entry = at
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = entry.as_table_mut()?;
    }
    (!last.is_empty()).then(|| at.insert(last.to_owned(), value))?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::optim::loss::LossKind;

    #[test]
    fn an_empty_recipe_is_the_defaults_and_an_override_changes_one_field() {
        let recipe = Recipe::parse(
            "",
            &["optimizer.rate=1e-4".into(), "run.minutes = 3.5".into()],
        )
        .expect("valid");
        assert_eq!(
            (recipe.optimizer.rate, recipe.run.minutes),
            (1e-4, Some(3.5))
        );
        assert_eq!(
            Recipe {
                optimizer: Optimization::default(),
                run: Length::default(),
                ..recipe
            },
            Recipe::default()
        );
        let changed = [
            "training.lora={ rank = 4 }",
            "run.keep_epochs={ last = 3 }",
            "loss.kind=siglip",
        ];
        let recipe = Recipe::parse("", &changed.map(String::from)).expect("valid");
        assert_eq!(
            recipe.training.lora,
            Some(Lora {
                rank: 4,
                ..Lora::default()
            })
        );
        assert_eq!(
            (recipe.run.keep_epochs, recipe.loss.kind),
            (Keep::Last(3), LossKind::Siglip)
        );
        let text = toml::to_string(&recipe).expect("writes");
        assert_eq!(
            Recipe::parse(&text, &[]).expect("reads what it wrote"),
            recipe
        );
        let text = toml::to_string(&Recipe::default()).expect("writes");
        assert_eq!(
            Recipe::parse(&text, &[]).expect("reads what it wrote"),
            Recipe::default()
        );
    }

    #[test]
    fn every_problem_is_named_at_once_and_a_field_that_is_none_is_refused() {
        let Err(RecipeError::Values(problems)) = Recipe::parse(
            "[data]\nbatch = 1\ndrawn_per_batch = 1\ncrop = 0.0\n[model]\npatch = 15",
            &[],
        ) else {
            panic!("refused");
        };
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(matches!(
            Recipe::parse("[data]\nbatches = 2", &[]),
            Err(RecipeError::Toml(_))
        ));
        assert!(matches!(
            Recipe::parse("", &["rate".into()]),
            Err(RecipeError::Set(_))
        ));
        let wrong = |text: &str| match Recipe::parse(text, &[]) {
            Err(RecipeError::Values(problems)) => problems.concat(),
            other => panic!("{text}: {other:?}"),
        };
        assert!(wrong("[data]\nvalidation = 0").contains("data.validation"));
        assert!(wrong("[run]\nwatch = 'attribute_macro_f1'").contains("[attribute]"));
        assert!(wrong("[loss]\nvalues = 1.0").contains("loss.values needs"));
        assert!(wrong("[loss]\nkeep_words = -1.0").contains("not negative"));
        let plateau = "[optimizer]\nschedule = { kind = 'reduce_on_plateau'";
        assert!(
            wrong(&format!("{plateau} }}")).contains("mode is"),
            "more is better of what is watched by default"
        );
        assert!(
            wrong(&format!(
                "{plateau}, mode = 'max' }}\n[run]\nwatch = 'loss'"
            ))
            .contains("mode is")
        );
        Recipe::parse(&format!("{plateau} }}\n[run]\nwatch = 'loss'"), &[])
            .expect("less is better of both");
        let cyclic =
            "[optimizer]\nrule = { kind = 'adagrad' }\nschedule = { kind = 'cyclic', base = 0.0";
        assert!(wrong(&format!("{cyclic} }}")).contains("cycle_momentum"));
        Recipe::parse(&format!("{cyclic}, cycle_momentum = false }}"), &[])
            .expect("nothing cycles");
        let still = "[training]\nvision = false\ntext = false\nlora = { rank = 0 }";
        assert!(matches!(Recipe::parse(still, &[]), Err(RecipeError::Values(p)) if p.len() == 2));
    }

    #[test]
    fn what_an_override_leaves_out_stays_or_is_pytorchs() {
        let parse = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
            Recipe::parse("", &sets).expect("a recipe")
        };
        for name in ["lr", "optimizer.lr"] {
            assert_eq!(
                parse(&[format!("{name}=1e-5").as_str()]),
                parse(&["optimizer.rate=1e-5"])
            );
        }
        let sgd = Rule::Sgd {
            momentum: 0.9,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        };
        assert_eq!(
            parse(&["optimizer.rule={kind=\"sgd\",momentum=0.9}"])
                .optimizer
                .rule,
            sgd
        );
        assert_eq!(
            parse(&["optimizer.rule.momentum=0.9", "optimizer.rule.kind=sgd"])
                .optimizer
                .rule,
            sgd
        );
        let adamw = Rule::Adamw {
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-6,
            weight_decay: 0.2,
        };
        assert_eq!(
            parse(&["optimizer.rule.weight_decay=0.2"]).optimizer.rule,
            adamw
        );
        let adamw = Rule::Adamw {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
        };
        assert_eq!(parse(&["optimizer.rule.kind=adamw"]).optimizer.rule, adamw);
        let schedule = parse(&["optimizer.schedule.final_share=0.5"])
            .optimizer
            .schedule;
        assert_eq!(schedule, Schedule::CosineToEnd { final_share: 0.5 });
        let model = parse(&["model.text.width=128", "model.vision={layers=4}"]).model;
        assert_eq!(
            (model.text, model.vision),
            (
                Tower {
                    width: 128,
                    layers: 3
                },
                Tower {
                    width: 256,
                    layers: 4
                }
            )
        );
    }

    #[test]
    fn a_smaller_batch_has_its_share_of_drawn_and_replayed_products() {
        let data = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
            Recipe::parse("", &sets).expect("a recipe").data
        };
        let both = |data: &Data| (data.drawn_in_batch(), data.replayed_in_batch());
        assert_eq!(both(&data(&[])), (10, 32));
        let small = data(&["data.batch=16"]);
        assert!(both(&small) == (1, 4) && small.has_room_for_replay());
        assert_eq!(both(&data(&["data.batch=2"])), (0, 0));
        // Too many replayed products are accepted if nothing is replayed.
        let many = data(&["data.batch=16", "data.replay_per_batch=48"]);
        assert!(!many.has_room_for_replay());
    }

    #[test]
    fn steps_and_validations_are_counted_in_steps_of_the_optimizer() {
        let sets = [
            "optimizer.accumulate=4",
            "run.epochs=3",
            "run.validations_per_epoch=2",
        ]
        .map(String::from);
        let plan = Recipe::parse("", &sets).expect("a recipe").plan(80);
        assert_eq!((plan.steps, plan.validate_every), (60, 10));
    }
}
