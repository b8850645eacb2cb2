//! `aglet evaluate shopper`: what shoppers type, asked of a service.

use std::path::PathBuf;
use std::time::Instant;

use super::choice::ServiceChoice;
use super::console::Console;
use super::error::CommandError;
use super::output::Output;
use crate::evaluate::benchmark::document::{Document, Outcome, Part};
use crate::evaluate::benchmark::shopper;
use crate::evaluate::data::shopper::ShopperQueries;
use crate::evaluate::subject::Engine as _;

#[derive(Clone, Debug)]
pub struct ShopperRequest {
    /// The file of queries.
    pub queries: PathBuf,
    pub service: ServiceChoice,
    pub output: Output,
}

/// Asks every query and adds up what is right.
///
/// # Errors
/// When the queries cannot be read, the service does not answer, a file cannot be written, a gate
/// fails, or a query was not answered.
pub fn run(request: &ShopperRequest, console: &mut dyn Console) -> Result<(), CommandError> {
    let queries = ShopperQueries::load(&request.queries)?;
    let baseline = request.output.baseline(&[("", &queries.sha256)])?;
    let started = Instant::now();
    let mut api = request.service.connect()?;
    let total = queries.queries.len();
    console.begin("asking", total);
    let result = shopper::run(&mut api, &queries, |done| console.advance(done, total))?;
    console.end();
    let part = Part {
        // The figures are called so already.
        prefix: String::new(),
        title: format!("what shoppers type: {total} queries"),
        data_sha256: queries.sha256,
        seconds: started.elapsed().as_secs_f64(),
        outcome: Outcome::Shopper(result),
    };
    let document = Document::new(api.subject().clone(), vec![part]);
    request
        .output
        .finish(&document, baseline.as_ref(), None, console)?;
    match document.failures() {
        0 => Ok(()),
        failures => Err(CommandError::Questions(failures)),
    }
}
