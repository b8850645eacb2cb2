//! Which model, service and catalog are meant.

use std::path::{Path, PathBuf};

use super::console::Console;
use super::error::CommandError;
use crate::catalog::source::Source;
use crate::config::{Config, Settings};
use crate::domain::{AttributeName, AttributeValue, Filters};
use crate::encode::{Device, EncoderOptions};
use crate::evaluate::data::labeled_catalog::LabeledCatalog;
use crate::evaluate::data::split::held_out;
use crate::evaluate::subject::api::ApiEngine;
use crate::evaluate::subject::embedder::Embedder;
use crate::evaluate::subject::folder::FolderEngine;
use crate::evaluate::subject::{ApiError, Subject};
use crate::model::ModelFolder;

/// A model folder, and what runs it.
#[derive(Clone, Debug)]
pub struct ModelChoice {
    pub folder: PathBuf,
    /// ONNX Runtime's library, or the folder that holds it.
    pub runtime: Option<PathBuf>,
    pub device: Option<Device>,
    /// The folder for embeddings of pictures that were made before.
    pub cache: Option<PathBuf>,
}

impl ModelChoice {
    pub(super) fn start(&self) -> Result<Embedder, CommandError> {
        let folder = ModelFolder::open(&self.folder)?;
        let options = encoder_options(self.runtime.as_deref(), self.device)?;
        Ok(Embedder::start(&folder, &options, self.cache.as_deref())?)
    }

    pub(super) fn engine(
        &self,
        catalog: LabeledCatalog,
        words_percent: u8,
        console: &mut dyn Console,
    ) -> Result<FolderEngine, CommandError> {
        let embedder = self.start()?;
        let total = catalog.products.len();
        console.begin("embedding", total);
        let at = self.folder.display().to_string();
        let engine = FolderEngine::new(embedder, catalog, &at, words_percent, |done| {
            console.advance(done, total);
        })?;
        console.end();
        if let Some((id, reason)) = engine.left_out.first() {
            let count = engine.left_out.len();
            console.note(&format!(
                "{count} pictures are left out, the first of product {id}: {reason}"
            ));
        }
        Ok(engine)
    }

    /// The model where labeled images alone are asked about: no product is searched.
    pub(super) fn subject(&self, embedder: &Embedder) -> Subject {
        Subject::of_folder(embedder, &self.folder.display().to_string(), None)
    }
}

pub(super) fn encoder_options(
    runtime: Option<&Path>,
    device: Option<Device>,
) -> Result<EncoderOptions, CommandError> {
    let settings = Settings {
        runtime: runtime.map(Path::to_owned),
        device,
        ..Settings::default()
    };
    Ok(Config::check(settings)?.encoder)
}

/// A running service.
#[derive(Clone, Debug)]
pub struct ServiceChoice {
    pub url: String,
    /// Sent as a bearer token.
    pub key: Option<String>,
    /// What ranks questions in words, as the API's `mode`.
    pub mode: Option<String>,
}

impl ServiceChoice {
    pub(super) fn connect(&self) -> Result<ApiEngine, ApiError> {
        ApiEngine::connect_by(&self.url, self.key.as_deref(), self.mode.as_deref())
    }
}

/// A labeled catalog, or some of its products.
#[derive(Clone, Debug, Default)]
pub struct CatalogChoice {
    /// See [`LabeledCatalog::at`].
    pub path: Option<PathBuf>,
    /// The catalog's table, instead of the path.
    pub styles: Option<PathBuf>,
    /// Folders and archives of the catalog's pictures.
    pub images: Vec<PathBuf>,
    pub shoelaces: Option<PathBuf>,
    /// Only products with these values.
    pub filters: Vec<(AttributeName, AttributeValue)>,
    /// Only held-out products.
    pub held_out: bool,
}

impl CatalogChoice {
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.path.is_some() || self.styles.is_some()
    }

    /// The products that the filters leave.
    pub(super) fn read(&self) -> Result<LabeledCatalog, CommandError> {
        let filters = Filters::new(self.filters.iter().cloned())?;
        let catalog = self.unfiltered()?.only(&filters, |product| {
            !self.held_out || held_out(product.id.as_str())
        });
        if catalog.products.is_empty() {
            return Err(CommandError::NoProductLeft);
        }
        Ok(catalog)
    }

    /// All products that there are, whatever the filters leave: of a data set those of all its
    /// sides.
    pub(super) fn whole(&self) -> Result<LabeledCatalog, CommandError> {
        let catalog = self.unfiltered()?;
        match &self.path {
            Some(path) if catalog.is_data_set => Ok(LabeledCatalog::all_sides_at(path)?),
            _ => Ok(catalog),
        }
    }

    fn unfiltered(&self) -> Result<LabeledCatalog, CommandError> {
        if let Some(styles) = &self.styles {
            return Ok(LabeledCatalog::read(&Source::kaggle(
                styles.clone(),
                self.images.clone(),
                self.shoelaces.clone(),
            ))?);
        }
        let path = self.path.as_deref().ok_or(CommandError::NoCatalog)?;
        Ok(LabeledCatalog::at(
            path,
            &self.images,
            self.shoelaces.as_deref(),
        )?)
    }
}
