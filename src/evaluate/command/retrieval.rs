//! `aglet evaluate retrieval`: a suite asked of a model folder or of a service.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::choice::{CatalogChoice, ModelChoice, ServiceChoice};
use super::console::Console;
use super::error::CommandError;
use super::output::{Output, PictureSource};
use crate::domain::Filters;
use crate::evaluate::benchmark::document::{Document, Outcome, Part};
use crate::evaluate::benchmark::{part_names, retrieval};
use crate::evaluate::data::suite::Suite;
use crate::evaluate::subject::api::ApiEngine;
use crate::evaluate::subject::{ApiError, Engine};

#[derive(Clone, Debug)]
pub struct RetrievalRequest {
    /// The suite's file.
    pub suite: PathBuf,
    pub model: ModelChoice,
    /// Measured instead of the model folder.
    pub service: Option<ServiceChoice>,
    /// What the model folder answers from.
    pub catalog: CatalogChoice,
    /// How much of a product's vector is made of its words, with a model folder.
    pub words_percent: u8,
    pub output: Output,
}

/// Asks every case and adds up the points.
///
/// # Errors
/// When something cannot be read or started, a file cannot be written, a gate fails, or a case
/// could not be asked or answered.
pub fn run(request: &RetrievalRequest, console: &mut dyn Console) -> Result<(), CommandError> {
    let suite = Suite::load(&request.suite)?;
    let data_sha256 = suite.sha256();
    let baseline = request.output.baseline(&[("", &data_sha256)])?;
    let folder = request.suite.parent().unwrap_or(Path::new("."));
    let started = Instant::now();
    let (mut engine, warning) = engine(request, &suite, console)?;
    let total = suite.cases.len();
    console.begin("asking", total);
    let mut result = retrieval::run(&mut *engine, &suite, folder, |done| {
        console.advance(done, total);
    });
    console.end();
    result.warnings.extend(warning);
    let errors = result.errors();
    let part = Part {
        prefix: String::new(),
        title: part_names::suite_title(&suite),
        data_sha256,
        seconds: started.elapsed().as_secs_f64(),
        outcome: Outcome::Retrieval(result),
    };
    let document = Document::new(engine.subject().clone(), vec![part]);
    let pictures = PictureSource {
        engine: &mut *engine,
        suite: &suite,
        folder,
    };
    request
        .output
        .finish(&document, baseline.as_ref(), Some(pictures), console)?;
    if errors > 0 {
        return Err(CommandError::Cases(errors));
    }
    Ok(())
}

/// The service or the model folder, and what makes the suite's levels doubtful for it.
fn engine(
    request: &RetrievalRequest,
    suite: &Suite,
    console: &mut dyn Console,
) -> Result<(Box<dyn Engine>, Option<String>), CommandError> {
    if let Some(service) = &request.service {
        let api = service.connect()?;
        let doubt = doubt(&api, suite)?;
        return Ok((Box::new(api), doubt));
    }
    // Products outside the pool are not answers, but they vote on what a photo shows, as they do in
    // a service.
    let filters = Filters::new(suite.pool.pairs())?;
    let catalog = request.catalog.read()?.only(&filters, |_| true);
    let doubt = suite.doubt(catalog.bare());
    let engine = request
        .model
        .engine(catalog, request.words_percent, console)?;
    Ok((Box::new(engine), doubt))
}

/// What speaks against comparing this service's products with the suite's: numbers that differ.
fn doubt(api: &ApiEngine, suite: &Suite) -> Result<Option<String>, ApiError> {
    if suite.pool.held_out {
        // Which products those are cannot be counted from outside.
        return Ok(None);
    }
    let filters: Vec<_> = suite.pool.pairs().collect();
    let (count, built_on) = (api.count(&filters)?, suite.pool.products);
    Ok((count != built_on).then(|| {
        format!(
            "the service ranks {count} products, the suite was built on {built_on}: its levels and attainable points \
             may be wrong"
        )
    }))
}
