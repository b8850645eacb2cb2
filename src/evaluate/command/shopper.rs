//! `aglet evaluate shopper`: what shoppers type, asked of a service.

use std::path::PathBuf;
use std::time::Instant;

use super::choice::{CatalogChoice, ServiceChoice};
use super::console::Console;
use super::error::CommandError;
use super::output::Output;
use crate::evaluate::benchmark::document::{Document, Outcome, Part};
use crate::evaluate::benchmark::shopper;
use crate::evaluate::data::shopper::ShopperQueries;
use crate::evaluate::report::tables;
use crate::evaluate::stats::bootstrap::Paired;
use crate::evaluate::subject::{Engine as _, Subject};

#[derive(Clone, Debug)]
pub struct ShopperRequest {
    pub asked: Asked,
    pub service: ServiceChoice,
    /// Every query is asked by words, by vectors and by both, and these are compared.
    pub legs: bool,
    pub output: Output,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A file of queries.
    File(PathBuf),
    /// Brands, titles and article numbers of a catalog.
    Catalog(CatalogChoice),
}

/// What ranks, as the API's `mode`, the one that the others are compared with first.
const LEGS: [&str; 3] = ["hybrid", "lexical", "vector"];

impl Asked {
    fn queries(&self) -> Result<ShopperQueries, CommandError> {
        match self {
            Self::File(path) => Ok(ShopperQueries::load(path)?),
            Self::Catalog(choice) => {
                let catalog = choice.read()?;
                Ok(ShopperQueries::of_catalog(catalog.bare()))
            }
        }
    }
}

/// Asks every query and adds up what is right.
///
/// # Errors
/// When the queries cannot be read, the service does not answer, a file cannot be written, a gate
/// fails, or a query was not answered.
pub fn run(request: &ShopperRequest, console: &mut dyn Console) -> Result<(), CommandError> {
    let queries = request.asked.queries()?;
    let modes: Vec<Option<&str>> = if request.legs {
        LEGS.map(Some).to_vec()
    } else {
        vec![request.service.mode.as_deref()]
    };
    let prefix = |mode: Option<&str>| match mode {
        Some(mode) if request.legs => mode.to_owned(),
        // The figures are called so already.
        _ => String::new(),
    };
    let first = prefix(modes[0]);
    let baseline = request.output.baseline(&[(&first, &queries.sha256)])?;
    let mut subject: Option<Subject> = None;
    let mut parts = Vec::with_capacity(modes.len());
    let total = queries.queries.len();
    for mode in modes {
        let started = Instant::now();
        let service = ServiceChoice {
            mode: mode.map(str::to_owned),
            ..request.service.clone()
        };
        let mut api = service.connect()?.meant_alone();
        console.begin("asking", total);
        let result = shopper::run(&mut api, &queries, |done| console.advance(done, total))?;
        console.end();
        subject.get_or_insert_with(|| api.subject().clone());
        let by = mode.map_or(String::new(), |mode| format!(", by mode={mode}"));
        parts.push(Part {
            prefix: prefix(mode),
            title: format!("what shoppers type: {total} queries{by}"),
            data_sha256: queries.sha256.clone(),
            seconds: started.elapsed().as_secs_f64(),
            outcome: Outcome::Shopper(result),
        });
    }
    let Some(subject) = subject else {
        return Ok(());
    };
    let document = Document::new(subject, parts);
    request
        .output
        .finish(&document, baseline.as_ref(), None, console)?;
    if let [all, others @ ..] = &document.parts[..] {
        for other in others {
            console.print(&format!(
                "\n{} against {}\n{}",
                all.prefix,
                other.prefix,
                tables::paired(&compared(all, other)).plain()
            ));
        }
    }
    match document.failures() {
        0 => Ok(()),
        failures => Err(CommandError::Questions(failures)),
    }
}

/// Paired tests of one leg against another, figure by figure.
fn compared(all: &Part, other: &Part) -> Vec<(String, Paired)> {
    let theirs = other.series();
    let test = |ours: crate::evaluate::stats::figure::Series| {
        let base = theirs.iter().find(|base| base.name == ours.name)?;
        let test = ours.paired(base)?;
        Some((ours.name, test))
    };
    all.series().into_iter().filter_map(test).collect()
}
