//! The same questions for every model, and its answers as they were kept.

use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::super::catalog;
use super::super::datasets::LabeledSet;
use super::super::document::{Document, Outcome, Part};
use super::super::embedder::Embedder;
use super::super::engine::{FolderEngine, How, Subject};
use super::super::retrieval;
use super::super::shop::Shop;
use super::super::suite::{Suite, hex};
use super::super::zero_shot::{self, Prompts};
use super::{CompareError, PRETEST, RETRIEVAL};
use crate::encode::EncoderOptions;
use crate::model::ModelFolder;

/// What is asked of every model.
#[derive(Default)]
pub struct Exam {
    pub pretest: Option<(LabeledSet, Prompts)>,
    /// The suite, the folder where its file lies, and the catalogue it is asked of.
    pub suite: Option<(Suite, PathBuf, Shop)>,
    pub catalog: Option<(Shop, catalog::Plan)>,
    pub labeled: Vec<LabeledSet>,
}

impl Exam {
    /// Asks one model everything, or takes what is kept. `report` hears what is being done.
    ///
    /// # Errors
    /// When the model cannot be opened, something cannot be measured, or the cache cannot be written.
    pub fn sit(
        &self,
        model: &Path,
        options: &EncoderOptions,
        cache: &Path,
        report: &mut dyn FnMut(&str),
    ) -> Result<Document, CompareError> {
        let folder = ModelFolder::open(model)?;
        let mut sitting = Sitting { folder: &folder, model, options, cache, embedder: None, report };
        let mut parts = Vec::new();
        if let Some((set, prompts)) = &self.pretest {
            parts.push(sitting.labeled(PRETEST, set, prompts)?);
        }
        if let Some((suite, beside, shop)) = &self.suite {
            parts.push(sitting.suite(suite, beside, shop)?);
        }
        if let Some((shop, plan)) = &self.catalog {
            parts.push(sitting.catalog(shop, plan)?);
        }
        for set in &self.labeled {
            parts.push(sitting.labeled(&set.prefix(), set, &Prompts::default())?);
        }
        if parts.is_empty() {
            return Err(CompareError::NothingToAsk);
        }
        let subject = Subject {
            model: folder.manifest().name.clone(),
            model_id: folder.id().to_string(),
            at: model.display().to_string(),
            how: How::Folder,
        };
        Ok(Document::new(subject, parts))
    }
}

/// One model at its exam.
struct Sitting<'a> {
    folder: &'a ModelFolder,
    model: &'a Path,
    options: &'a EncoderOptions,
    cache: &'a Path,
    /// Started when something is not in the cache.
    embedder: Option<Embedder>,
    report: &'a mut dyn FnMut(&str),
}

impl Sitting<'_> {
    fn labeled(&mut self, prefix: &str, set: &LabeledSet, prompts: &Prompts) -> Result<Part, CompareError> {
        let sha256 = zero_shot::data_sha256(set, prompts);
        let title = format!("{}: {} images, {} classes", set.name, set.items.len(), set.classes.len());
        self.kept(prefix, title, sha256, |sitting| {
            let mut embedder = sitting.start()?;
            let result = zero_shot::run(&mut embedder, set, prompts, |_| {})?;
            sitting.embedder = Some(embedder);
            Ok(Outcome::ZeroShot(result))
        })
    }

    fn suite(&mut self, suite: &Suite, beside: &Path, shop: &Shop) -> Result<Part, CompareError> {
        let pool = catalog::data_sha256(shop, &catalog::Plan::default());
        let sha256 = hex(&Sha256::digest(format!("{} {pool}", suite.sha256())));
        let title = format!("Retrieval suite {:?}: {} cases", suite.name, suite.cases.len());
        self.kept(RETRIEVAL, title, sha256, |sitting| {
            let mut engine = sitting.engine(shop.clone())?;
            let result = retrieval::run(&mut engine, suite, beside, |_| {});
            sitting.embedder = Some(engine.into_embedder());
            Ok(Outcome::Retrieval(result))
        })
    }

    fn catalog(&mut self, shop: &Shop, plan: &catalog::Plan) -> Result<Part, CompareError> {
        let title = format!("Catalogue of {} products", shop.offers.len());
        self.kept("catalog", title, catalog::data_sha256(shop, plan), |sitting| {
            let mut engine = sitting.engine(catalog::answering(shop, plan))?;
            let result = catalog::run(&mut engine, shop, plan, |_, _| {})?;
            let whole_titles = catalog::full_titles(&mut engine, plan)?;
            sitting.embedder = Some(engine.into_embedder());
            Ok(Outcome::Catalog { result, whole_titles })
        })
    }

    fn engine(&mut self, shop: Shop) -> Result<FolderEngine, CompareError> {
        let embedder = self.start()?;
        Ok(FolderEngine::new(embedder, shop, &self.model.display().to_string(), 0, |_| {})?)
    }

    fn start(&mut self) -> Result<Embedder, CompareError> {
        if let Some(embedder) = self.embedder.take() {
            return Ok(embedder);
        }
        Ok(Embedder::start(self.folder, self.options, Some(self.cache))?)
    }

    /// The part as it was measured before, or measured now and kept.
    fn kept(
        &mut self,
        prefix: &str,
        title: String,
        data_sha256: String,
        measure: impl FnOnce(&mut Self) -> Result<Outcome, CompareError>,
    ) -> Result<Part, CompareError> {
        let name = format!("{}-{}.json", self.folder.id().short(), &data_sha256[..12]);
        let path = self.cache.join(name);
        // A file that cannot be read is measured again.
        let known = std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Part>(&text).ok());
        if let Some(known) = known.filter(|part| part.data_sha256 == data_sha256) {
            (self.report)(&format!("{prefix} is known"));
            return Ok(Part { prefix: prefix.to_owned(), title, ..known });
        }
        (self.report)(prefix);
        let started = Instant::now();
        let outcome = measure(self)?;
        let seconds = started.elapsed().as_secs_f64();
        let part = Part { prefix: prefix.to_owned(), title, data_sha256, seconds, outcome };
        let io = |source| CompareError::Io { path: path.clone(), source };
        std::fs::create_dir_all(self.cache).map_err(io)?;
        let text = serde_json::to_string(&part).map_err(|e| io(e.into()))?;
        // Whole or not at all.
        let beside = path.with_extension("part");
        std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &path)).map_err(io)?;
        Ok(part)
    }
}
