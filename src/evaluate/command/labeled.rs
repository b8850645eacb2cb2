//! `aglet evaluate classify` and `zero-shot`, and the labeled sets of a benchmark.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use super::choice::{CatalogChoice, ModelChoice};
use super::console::Console;
use super::error::CommandError;
use super::output::Output;
use crate::domain::{AttributeName, Filters};
use crate::evaluate::benchmark::document::{Document, Outcome, Part};
use crate::evaluate::benchmark::{part_names, zero_shot};
use crate::evaluate::data::attributes::values;
use crate::evaluate::data::labeled_images::location::LabeledImagesLocation;
use crate::evaluate::data::labeled_images::{LabeledImages, products};
use crate::evaluate::data::prompts::Prompts;
use crate::evaluate::subject::embedder::Embedder;

/// What labeled images are asked with, and how many of them.
#[derive(Clone, Debug, Default)]
pub struct PromptChoice {
    /// Instead of the set's own.
    pub templates: Vec<String>,
    /// A file of [`Prompts`], instead of the set's own.
    pub file: Option<PathBuf>,
    /// At most about so many images.
    pub limit: Option<usize>,
}

impl PromptChoice {
    /// What is given, else a set's own prompts; templates alone leave the classes their names.
    fn over(&self, own: Prompts) -> Result<Prompts, CommandError> {
        if let Some(path) = &self.file {
            return toml::from_str(&read_text(path)?).map_err(|source| CommandError::Toml {
                path: path.clone(),
                source,
            });
        }
        if self.templates.is_empty() {
            return Ok(own);
        }
        Ok(Prompts {
            names: own.names,
            ..Prompts::of(&self.templates)
        })
    }
}

/// The classes that products are told apart by.
#[derive(Clone, Debug)]
pub enum ClassChoice {
    /// All values of the whole catalog.
    All,
    /// A file with a class a line.
    File(PathBuf),
}

impl FromStr for ClassChoice {
    type Err = Infallible;

    /// `all`, or a file's path.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "all" {
            Self::All
        } else {
            Self::File(text.into())
        })
    }
}

#[derive(Clone, Debug)]
pub struct ClassifyRequest {
    pub model: ModelChoice,
    pub data: LabeledImagesLocation,
    pub prompts: PromptChoice,
    pub output: Output,
}

#[derive(Clone, Debug)]
pub struct ZeroShotRequest {
    pub model: ModelChoice,
    pub catalog: CatalogChoice,
    /// The attribute to recognize.
    pub attribute: AttributeName,
    /// Products with these values of it are left out.
    pub without: Vec<String>,
    /// `None`: the values of the products that are asked.
    pub classes: Option<ClassChoice>,
    pub prompts: PromptChoice,
    pub output: Output,
}

/// Classifies labeled images.
///
/// # Errors
/// When something cannot be read or measured, a file cannot be written, or a gate fails.
pub fn classify(request: &ClassifyRequest, console: &mut dyn Console) -> Result<(), CommandError> {
    let task = LabeledTask::new("", request.data.read()?, &request.prompts)?;
    measure_alone(task, &request.model, &request.output, console)
}

/// Recognizes an attribute of a catalog's products.
///
/// # Errors
/// As [`classify`].
pub fn zero_shot(request: &ZeroShotRequest, console: &mut dyn Console) -> Result<(), CommandError> {
    let set = recognizable(request)?;
    let task = LabeledTask::new("", set, &request.prompts)?;
    measure_alone(task, &request.model, &request.output, console)
}

/// The products that are asked, with the classes to choose from.
fn recognizable(request: &ZeroShotRequest) -> Result<LabeledImages, CommandError> {
    let attribute = &request.attribute;
    let unwanted: Vec<String> = request.without.iter().map(|v| v.to_lowercase()).collect();
    let catalog = request
        .catalog
        .read()?
        .only(&Filters::default(), |product| {
            product
                .attribute(attribute.as_str())
                .is_some_and(|own| !unwanted.contains(&own.to_lowercase()))
        });
    let name = format!("{attribute} of the catalog");
    let set = products::read(&catalog, attribute, &name)?;
    let Some(choice) = &request.classes else {
        return Ok(set);
    };
    let mut classes = match choice {
        ClassChoice::All => {
            let whole = request.catalog.whole()?;
            let values = values(whole.bare(), attribute);
            values.iter().map(ToString::to_string).collect()
        }
        ClassChoice::File(path) => listed_classes(path)?,
    };
    classes.retain(|class| !unwanted.contains(&class.to_lowercase()));
    Ok(set.asked(classes)?)
}

/// A class a line; empty lines and a class that came before are passed over.
fn listed_classes(path: &Path) -> Result<Vec<String>, CommandError> {
    let text = read_text(path)?;
    let mut classes: Vec<String> = Vec::new();
    for class in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let folded = class.to_lowercase();
        if !classes.iter().any(|known| known.to_lowercase() == folded) {
            classes.push(class.to_owned());
        }
    }
    if classes.is_empty() {
        let path = path.to_owned();
        return Err(CommandError::NoClass { path });
    }
    Ok(classes)
}

fn read_text(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|source| CommandError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Measures a set by itself: a document of one part.
fn measure_alone(
    task: LabeledTask,
    model: &ModelChoice,
    output: &Output,
    console: &mut dyn Console,
) -> Result<(), CommandError> {
    let baseline = output.baseline(&[task.names()])?;
    let mut embedder = model.start()?;
    let part = task.measure(&mut embedder, console)?;
    let document = Document::new(model.subject(&embedder), vec![part]);
    output.finish(&document, baseline.as_ref(), None, console)
}

/// Labeled images as they will be asked.
pub(super) struct LabeledTask {
    prefix: String,
    set: LabeledImages,
    prompts: Prompts,
    data_sha256: String,
}

impl LabeledTask {
    pub(super) fn new(
        prefix: &str,
        mut set: LabeledImages,
        choice: &PromptChoice,
    ) -> Result<Self, CommandError> {
        if let Some(most) = choice.limit {
            set.thin(most);
        }
        let prompts = choice.over(set.prompts())?;
        prompts
            .check(&set.classes)
            .map_err(|source| CommandError::Prompts {
                set: set.name.clone(),
                source,
            })?;
        let data_sha256 = zero_shot::data_sha256(&set, &prompts);
        Ok(Self {
            prefix: prefix.to_owned(),
            set,
            prompts,
            data_sha256,
        })
    }

    /// Prefix and data of the part that it will be.
    pub(super) fn names(&self) -> (&str, &str) {
        (&self.prefix, &self.data_sha256)
    }

    pub(super) fn measure(
        self,
        embedder: &mut Embedder,
        console: &mut dyn Console,
    ) -> Result<Part, CommandError> {
        let started = Instant::now();
        let total = self.set.items.len();
        console.begin("embedding", total);
        let result = zero_shot::run(embedder, &self.set, &self.prompts, |done| {
            console.advance(done, total);
        })?;
        console.end();
        Ok(Part {
            prefix: self.prefix,
            title: part_names::labeled_title(&self.set, result.top.images),
            data_sha256: self.data_sha256,
            seconds: started.elapsed().as_secs_f64(),
            outcome: Outcome::ZeroShot(result),
        })
    }
}
