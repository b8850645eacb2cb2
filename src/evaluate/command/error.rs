//! Why a command fails.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::domain::QueryError;
use crate::evaluate::benchmark::compare::CompareError;
use crate::evaluate::benchmark::document::DocumentError;
use crate::evaluate::benchmark::zero_shot::ZeroShotError;
use crate::evaluate::data::labeled_catalog::LabeledCatalogError;
use crate::evaluate::data::labeled_images::LabeledImagesError;
use crate::evaluate::data::prompts::PromptsError;
use crate::evaluate::data::shopper::ShopperError;
use crate::evaluate::data::suite::SuiteError;
use crate::evaluate::data::suite_build::BuildError;
use crate::evaluate::subject::embedder::EmbedderError;
use crate::evaluate::subject::{ApiError, EngineError};
use crate::model::ModelError;

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("give the catalog: --catalog DIR or --styles FILE --images DIR")]
    NoCatalog,
    #[error("no product of the catalog is left after --where and --held-out")]
    NoProductLeft,
    #[error("nothing to measure: give --fashion-mnist, --in-shop, --labeled or --catalog")]
    NothingToMeasure,
    #[error("labeled images are classified by a model folder, not through an API")]
    LabeledThroughApi,
    #[error("{path} names no class")]
    NoClass { path: PathBuf },
    #[error("{path} was measured on other data: nothing can be compared")]
    OtherData { path: PathBuf },
    #[error("the baseline has no case in common with this result")]
    NothingInCommon,
    #[error("{failed} of {gates} gates failed")]
    Gates { failed: usize, gates: usize },
    #[error("{0} cases could not be asked or answered")]
    Cases(usize),
    #[error("{0} questions were not answered")]
    Questions(usize),
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {source}")]
    Toml {
        path: PathBuf,
        source: toml::de::Error,
    },
    #[error("the prompts of {set}: {source}")]
    Prompts { set: String, source: PromptsError },
    #[error("the result cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The weights of a training run could not be read, or this program does not read any.
    #[error(transparent)]
    Run(Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Shopper(#[from] ShopperError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Catalog(#[from] LabeledCatalogError),
    #[error(transparent)]
    Images(#[from] LabeledImagesError),
    #[error(transparent)]
    Suite(#[from] SuiteError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Embedder(#[from] EmbedderError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    ZeroShot(#[from] ZeroShotError),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Compare(#[from] CompareError),
}
