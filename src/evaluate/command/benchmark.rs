//! `aglet evaluate benchmark`: labeled sets, and a catalog's own questions.

use std::path::PathBuf;
use std::time::Instant;

use super::choice::{CatalogChoice, ModelChoice, ServiceChoice};
use super::console::Console;
use super::error::CommandError;
use super::labeled::{LabeledTask, PromptChoice};
use super::output::Output;
use crate::evaluate::benchmark::catalog::{CatalogOptions, run};
use crate::evaluate::benchmark::document::{Document, Outcome, Part};
use crate::evaluate::benchmark::part_names;
use crate::evaluate::data::labeled_catalog::LabeledCatalog;
use crate::evaluate::data::labeled_images::location::LabeledImagesLocation;
use crate::evaluate::data::labeled_images::{fashion_mnist, in_shop};
use crate::evaluate::subject::{Engine as _, Subject};

#[derive(Clone, Debug)]
pub struct BenchmarkRequest {
    pub model: ModelChoice,
    /// Asked the catalog's questions instead of the model folder.
    pub service: Option<ServiceChoice>,
    pub fashion_mnist: Option<PathBuf>,
    pub in_shop: Option<PathBuf>,
    pub labeled: Vec<LabeledImagesLocation>,
    pub catalog: CatalogChoice,
    pub options: CatalogOptions,
    /// How much of a product's vector is made of its words, with a model folder.
    pub words_percent: u8,
    pub prompts: PromptChoice,
    pub output: Output,
}

/// Measures all that is given.
///
/// # Errors
/// When there is nothing to measure, something cannot be read or started, a file cannot be written,
/// a gate fails, or a question was not answered.
pub fn run_all(request: &BenchmarkRequest, console: &mut dyn Console) -> Result<(), CommandError> {
    let tasks = labeled_tasks(request)?;
    let catalog = if request.catalog.is_given() {
        Some(request.catalog.read()?)
    } else {
        None
    };
    if request.service.is_some() && !tasks.is_empty() {
        return Err(CommandError::LabeledThroughApi);
    }
    let catalog_sha256 = catalog
        .as_ref()
        .map(|catalog| request.options.data_sha256(catalog));
    let mut data: Vec<(&str, &str)> = tasks.iter().map(LabeledTask::names).collect();
    data.extend(
        catalog_sha256
            .as_deref()
            .map(|sha256| (part_names::CATALOG, sha256)),
    );
    let baseline = request.output.baseline(&data)?;

    let mut parts = Vec::new();
    let mut subject = None;
    if !tasks.is_empty() {
        let mut embedder = request.model.start()?;
        for task in tasks {
            parts.push(task.measure(&mut embedder, console)?);
        }
        subject = Some(request.model.subject(&embedder));
    }
    if let Some(catalog) = &catalog {
        let (part, measured) = catalog_part(request, catalog, console)?;
        parts.push(part);
        subject = Some(measured);
    }
    let document = Document::new(subject.ok_or(CommandError::NothingToMeasure)?, parts);
    request
        .output
        .finish(&document, baseline.as_ref(), None, console)?;
    match document.failures() {
        0 => Ok(()),
        failures => Err(CommandError::Questions(failures)),
    }
}

fn labeled_tasks(request: &BenchmarkRequest) -> Result<Vec<LabeledTask>, CommandError> {
    let mut sets = Vec::new();
    if let Some(folder) = &request.fashion_mnist {
        sets.push(fashion_mnist::read(folder)?);
    }
    if let Some(folder) = &request.in_shop {
        sets.push(in_shop::read(folder)?);
    }
    for location in &request.labeled {
        sets.push(location.read()?);
    }
    let prefixes = part_names::of_labeled(&sets);
    sets.into_iter()
        .zip(&prefixes)
        .map(|(set, prefix)| LabeledTask::new(prefix, set, &request.prompts))
        .collect()
}

fn catalog_part(
    request: &BenchmarkRequest,
    catalog: &LabeledCatalog,
    console: &mut dyn Console,
) -> Result<(Part, Subject), CommandError> {
    let options = &request.options;
    let started = Instant::now();
    let (result, whole_titles, subject);
    if let Some(service) = &request.service {
        let mut api = service.connect()?;
        console.begin("asking", 0);
        result = run::run(&mut api, catalog, options, |done, total| {
            console.advance(done, total);
        })?;
        whole_titles = Vec::new();
        subject = api.subject().clone();
    } else {
        let answering = options.answering(catalog);
        let mut engine = request
            .model
            .engine(answering, request.words_percent, console)?;
        console.begin("asking", 0);
        result = run::run(&mut engine, catalog, options, |done, total| {
            console.advance(done, total);
        })?;
        whole_titles = run::full_titles(&mut engine, options)?;
        subject = engine.subject().clone();
    }
    console.end();
    let part = Part {
        prefix: part_names::CATALOG.to_owned(),
        title: part_names::catalog_title(catalog),
        data_sha256: options.data_sha256(catalog),
        seconds: started.elapsed().as_secs_f64(),
        outcome: Outcome::Catalog {
            result,
            whole_titles,
        },
    };
    Ok((part, subject))
}
