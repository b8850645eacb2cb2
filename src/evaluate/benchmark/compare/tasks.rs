//! What every model is asked, and its answers as they were kept.
//!
//! A part is kept under the model, the questions and the pictures: where a picture changed, it is
//! measured again. A part of which questions failed is not kept: it is asked again the next time.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::CompareError;
use crate::encode::EncoderOptions;
use crate::evaluate::benchmark::catalog::{CatalogOptions, run as catalog_run};
use crate::evaluate::benchmark::document::{Document, Outcome, Part};
use crate::evaluate::benchmark::{part_names, retrieval, zero_shot};
use crate::evaluate::data::data_set;
use crate::evaluate::data::labeled_catalog::LabeledCatalog;
use crate::evaluate::data::labeled_images::LabeledImages;
use crate::evaluate::data::prompts::Prompts;
use crate::evaluate::data::suite::{Query, Suite};
use crate::evaluate::subject::embedder::Embedder;
use crate::evaluate::subject::folder::FolderEngine;
use crate::evaluate::subject::{How, Subject};
use crate::model::ModelFolder;
use crate::util::digest::{hex, sha256, sha256_hex};

/// What is asked of every model.
#[derive(Default)]
pub struct Tasks {
    /// Recognize one attribute of a catalog's products.
    pub pretest: Option<(LabeledImages, Prompts)>,
    /// The suite, the folder where its file is, and the catalog it is asked of.
    pub suite: Option<(Suite, PathBuf, LabeledCatalog)>,
    pub catalog: Option<(LabeledCatalog, CatalogOptions)>,
    pub labeled: Vec<LabeledImages>,
}

impl Tasks {
    /// Asks one model everything, or takes the answers that were kept. `report` is called with what
    /// is being done.
    ///
    /// # Errors
    /// When the model cannot be opened, something cannot be measured, or the cache cannot be
    /// written.
    pub fn measure(
        &self,
        model: &Path,
        options: &EncoderOptions,
        cache: &Path,
        report: &mut dyn FnMut(&str),
    ) -> Result<Document, CompareError> {
        let folder = ModelFolder::open(model)?;
        let mut model_run = ModelRun {
            folder: &folder,
            model,
            options,
            cache,
            embedder: None,
            report,
        };
        let mut parts = Vec::new();
        if let Some((set, prompts)) = &self.pretest {
            parts.push(model_run.labeled(part_names::PRETEST, set, prompts)?);
        }
        if let Some((suite, beside, catalog)) = &self.suite {
            parts.push(model_run.suite(suite, beside, catalog)?);
        }
        if let Some((catalog, options)) = &self.catalog {
            parts.push(model_run.catalog(catalog, options)?);
        }
        let names = part_names::of_labeled(&self.labeled);
        for (set, prefix) in self.labeled.iter().zip(names) {
            parts.push(model_run.labeled(&prefix, set, &set.prompts())?);
        }
        if parts.is_empty() {
            return Err(CompareError::NothingToAsk);
        }
        let subject = Subject {
            model: folder.manifest().name.clone(),
            model_id: folder.id().to_string(),
            at: model.display().to_string(),
            how: How::Folder,
            words_percent: Some(0),
        };
        Ok(Document::new(subject, parts))
    }
}

/// One model while it is asked.
struct ModelRun<'a> {
    folder: &'a ModelFolder,
    model: &'a Path,
    options: &'a EncoderOptions,
    cache: &'a Path,
    /// Started when something is not in the cache.
    embedder: Option<Embedder>,
    report: &'a mut dyn FnMut(&str),
}

/// What is asked, before it is known whether the answers were kept.
struct Task<'a> {
    prefix: &'a str,
    title: String,
    data_sha256: String,
    /// Names the data as it is on this machine, photos included.
    key: String,
}

/// The file of a part that was measured.
#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    part: Part,
}

impl ModelRun<'_> {
    fn labeled(
        &mut self,
        prefix: &str,
        set: &LabeledImages,
        prompts: &Prompts,
    ) -> Result<Part, CompareError> {
        let data_sha256 = zero_shot::data_sha256(set, prompts);
        let title = part_names::labeled_title(set, set.items.len());
        // Its name is made of the photos themselves.
        let key = data_sha256.clone();
        self.kept(
            Task {
                prefix,
                title,
                data_sha256,
                key,
            },
            |run| {
                let mut embedder = run.start()?;
                let result = zero_shot::run(&mut embedder, set, prompts, |_| {})?;
                run.embedder = Some(embedder);
                Ok(Outcome::ZeroShot(result))
            },
        )
    }

    fn suite(
        &mut self,
        suite: &Suite,
        beside: &Path,
        catalog: &LabeledCatalog,
    ) -> Result<Part, CompareError> {
        let pool = CatalogOptions::default().data_sha256(catalog);
        let data_sha256 = named(&[&suite.sha256(), &pool]);
        let key = named(&[
            &data_sha256,
            &catalog.pictures_stamp(),
            &queries_sha256(suite, beside),
        ]);
        let title = part_names::suite_title(suite);
        self.kept(
            Task {
                prefix: part_names::RETRIEVAL,
                title,
                data_sha256,
                key,
            },
            |run| {
                let mut engine = run.engine(catalog.clone())?;
                let mut result = retrieval::run(&mut engine, suite, beside, |_| {});
                result.warnings.extend(suite.doubt(catalog.bare()));
                run.embedder = Some(engine.into_embedder());
                Ok(Outcome::Retrieval(result))
            },
        )
    }

    fn catalog(
        &mut self,
        catalog: &LabeledCatalog,
        options: &CatalogOptions,
    ) -> Result<Part, CompareError> {
        let title = part_names::catalog_title(catalog);
        let data_sha256 = options.data_sha256(catalog);
        let key = named(&[&data_sha256, &catalog.pictures_stamp()]);
        self.kept(
            Task {
                prefix: part_names::CATALOG,
                title,
                data_sha256,
                key,
            },
            |run| {
                let mut engine = run.engine(options.answering(catalog))?;
                let result = catalog_run::run(&mut engine, catalog, options, |_, _| {})?;
                let whole_titles = catalog_run::full_titles(&mut engine, options)?;
                run.embedder = Some(engine.into_embedder());
                Ok(Outcome::Catalog {
                    result,
                    whole_titles,
                })
            },
        )
    }

    fn engine(&mut self, catalog: LabeledCatalog) -> Result<FolderEngine, CompareError> {
        let embedder = self.start()?;
        Ok(FolderEngine::new(
            embedder,
            catalog,
            &self.model.display().to_string(),
            0,
            |_| {},
        )?)
    }

    fn start(&mut self) -> Result<Embedder, CompareError> {
        if let Some(embedder) = self.embedder.take() {
            return Ok(embedder);
        }
        Ok(Embedder::start(
            self.folder,
            self.options,
            Some(self.cache),
        )?)
    }

    /// The part as it was measured before, or measured now and kept.
    fn kept(
        &mut self,
        task: Task<'_>,
        measure: impl FnOnce(&mut Self) -> Result<Outcome, CompareError>,
    ) -> Result<Part, CompareError> {
        let Task {
            prefix,
            title,
            data_sha256,
            key,
        } = task;
        let path = self
            .cache
            .join(format!("{}-{}.json", self.folder.id().short(), &key[..12]));
        // A file that cannot be read is measured again.
        let known = std::fs::read_to_string(&path)
            .ok()
            .and_then(|text| serde_json::from_str::<Kept>(&text).ok());
        if let Some(Kept { part, .. }) = known.filter(|kept| kept.key == key) {
            (self.report)(&format!("{prefix} is known"));
            return Ok(Part {
                prefix: prefix.to_owned(),
                title,
                ..part
            });
        }
        (self.report)(prefix);
        let started = Instant::now();
        let outcome = measure(self)?;
        let seconds = started.elapsed().as_secs_f64();
        let part = Part {
            prefix: prefix.to_owned(),
            title,
            data_sha256,
            seconds,
            outcome,
        };
        if part.outcome.failures() > 0 {
            return Ok(part);
        }
        let kept = Kept { key, part };
        self.keep(&path, &kept)?;
        Ok(kept.part)
    }

    /// Whole or not at all.
    fn keep(&self, path: &Path, kept: &Kept) -> Result<(), CompareError> {
        let io = |source| CompareError::Io {
            path: path.to_owned(),
            source,
        };
        std::fs::create_dir_all(self.cache).map_err(io)?;
        let text = serde_json::to_string(kept).map_err(|e| io(e.into()))?;
        data_set::replace(path, text.as_bytes()).map_err(io)
    }
}

fn named(by: &[&str]) -> String {
    sha256_hex(by.join(" ").as_bytes())
}

/// Names the photos that a suite asks with, which its file does not.
fn queries_sha256(suite: &Suite, beside: &Path) -> String {
    let mut digest = Sha256::new();
    for case in &suite.cases {
        if let Query::Image { image, .. } = &case.query {
            // One that cannot be read fails its case, and the part is not kept.
            let file = std::fs::read(beside.join(image)).unwrap_or_default();
            digest.update(sha256(&file));
        }
    }
    hex(&digest.finalize())
}
