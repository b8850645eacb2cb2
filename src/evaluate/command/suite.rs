//! `aglet suite build`: a suite out of a labeled catalog, and its photos beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::choice::CatalogChoice;
use super::error::CommandError;
use crate::domain::{AttributeName, AttributeValue, Filters};
use crate::evaluate::data::attributes::values;
use crate::evaluate::data::suite::Suite;
use crate::evaluate::data::suite_build::{self, SuiteOptions, default_prompt};

#[derive(Clone, Debug)]
pub struct SuiteRequest {
    pub catalog: CatalogChoice,
    /// The suite's file.
    pub out: PathBuf,
    /// The file's name when not given.
    pub name: Option<String>,
    pub main: AttributeName,
    pub detail: AttributeName,
    /// Only products of which the detail is known.
    pub labeled_only: bool,
    pub prompt: Option<String>,
    /// Values of the detail that mean that there is none.
    pub without: Vec<AttributeValue>,
    pub results: usize,
    pub per_level: Option<usize>,
    pub seed: u64,
    /// How much of the products' vectors is their words, where the suite will be asked.
    pub words_percent: u8,
}

/// Builds the suite and writes it.
///
/// # Errors
/// When the catalog cannot be read, there is nothing to ask for, or a file cannot be written.
pub fn build(request: &SuiteRequest) -> Result<Suite, CommandError> {
    let mut catalog = request.catalog.read()?;
    let mut filters: BTreeMap<AttributeName, Vec<AttributeValue>> = BTreeMap::new();
    for (name, value) in &request.catalog.filters {
        filters.entry(name.clone()).or_default().push(value.clone());
    }
    if request.labeled_only {
        let known = values(catalog.bare(), &request.detail);
        let all = known
            .iter()
            .map(|value| (request.detail.clone(), value.clone()));
        catalog = catalog.only(&Filters::new(all)?, |_| true);
        filters.insert(request.detail.clone(), known);
    }
    let stem = || {
        let stem = request.out.file_stem();
        stem.map_or_else(|| "suite".to_owned(), |s| s.to_string_lossy().into_owned())
    };
    let options = SuiteOptions {
        name: request.name.clone().unwrap_or_else(stem),
        main: request.main.clone(),
        detail: request.detail.clone(),
        prompt: request
            .prompt
            .clone()
            .unwrap_or_else(|| default_prompt(&request.detail)),
        without: request.without.clone(),
        results: request.results,
        per_level: request.per_level,
        seed: request.seed,
        filters,
        held_out: request.catalog.held_out,
        words: request.words_percent > 0,
    };
    let suite = suite_build::of_catalog(&options, &catalog)?;
    suite_build::save(&suite, &catalog, &request.out)?;
    Ok(suite)
}
