//! The same questions for every model, and its answers as they were kept.
//!
//! Kept is what a model answered to these questions over these photos: a photo that changed is
//! looked at again, and a part of which questions failed is asked again the next time.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::catalog;
use super::super::datasets::{LabeledSet, prefixes};
use super::super::document::{Document, Outcome, Part};
use super::super::embedder::Embedder;
use super::super::engine::{FolderEngine, How, Subject};
use super::super::prompts::Prompts;
use super::super::retrieval;
use super::super::shop::Shop;
use super::super::suite::{Query, Suite, hex};
use super::super::zero_shot;
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
    /// When the model cannot be opened, something cannot be measured, or the cache cannot be
    /// written.
    pub fn sit(
        &self,
        model: &Path,
        options: &EncoderOptions,
        cache: &Path,
        report: &mut dyn FnMut(&str),
    ) -> Result<Document, CompareError> {
        let folder = ModelFolder::open(model)?;
        let mut sitting = Sitting {
            folder: &folder,
            model,
            options,
            cache,
            embedder: None,
            report,
        };
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
        for (set, prefix) in self.labeled.iter().zip(prefixes(&self.labeled)) {
            parts.push(sitting.labeled(&prefix, set, &set.prompts())?);
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

/// What is asked, before it is known whether the answers are.
struct Question<'a> {
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

impl Sitting<'_> {
    fn labeled(
        &mut self,
        prefix: &str,
        set: &LabeledSet,
        prompts: &Prompts,
    ) -> Result<Part, CompareError> {
        let data_sha256 = zero_shot::data_sha256(set, prompts);
        let title = format!(
            "{}: {} images, {} classes",
            set.name,
            set.items.len(),
            set.classes.len()
        );
        // Its name is made of the photos themselves.
        let key = data_sha256.clone();
        self.kept(
            Question {
                prefix,
                title,
                data_sha256,
                key,
            },
            |sitting| {
                let mut embedder = sitting.start()?;
                let result = zero_shot::run(&mut embedder, set, prompts, |_| {})?;
                sitting.embedder = Some(embedder);
                Ok(Outcome::ZeroShot(result))
            },
        )
    }

    fn suite(&mut self, suite: &Suite, beside: &Path, shop: &Shop) -> Result<Part, CompareError> {
        let pool = catalog::data_sha256(shop, &catalog::Plan::default());
        let data_sha256 = named(&[&suite.sha256(), &pool]);
        let key = named(&[
            &data_sha256,
            &shop.photos_stamp(),
            &queries_sha256(suite, beside),
        ]);
        let title = format!(
            "Retrieval suite {:?}: {} cases",
            suite.name,
            suite.cases.len()
        );
        self.kept(
            Question {
                prefix: RETRIEVAL,
                title,
                data_sha256,
                key,
            },
            |sitting| {
                let mut engine = sitting.engine(shop.clone())?;
                let mut result = retrieval::run(&mut engine, suite, beside, |_| {});
                result
                    .warnings
                    .extend(suite.doubt(shop.offers.iter().map(|o| &o.product)));
                sitting.embedder = Some(engine.into_embedder());
                Ok(Outcome::Retrieval(result))
            },
        )
    }

    fn catalog(&mut self, shop: &Shop, plan: &catalog::Plan) -> Result<Part, CompareError> {
        let title = format!("Catalogue of {} products", shop.offers.len());
        let data_sha256 = catalog::data_sha256(shop, plan);
        let key = named(&[&data_sha256, &shop.photos_stamp()]);
        self.kept(
            Question {
                prefix: "catalog",
                title,
                data_sha256,
                key,
            },
            |sitting| {
                let mut engine = sitting.engine(catalog::answering(shop, plan))?;
                let result = catalog::run(&mut engine, shop, plan, |_, _| {})?;
                let whole_titles = catalog::full_titles(&mut engine, plan)?;
                sitting.embedder = Some(engine.into_embedder());
                Ok(Outcome::Catalog {
                    result,
                    whole_titles,
                })
            },
        )
    }

    fn engine(&mut self, shop: Shop) -> Result<FolderEngine, CompareError> {
        let embedder = self.start()?;
        Ok(FolderEngine::new(
            embedder,
            shop,
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
        question: Question<'_>,
        measure: impl FnOnce(&mut Self) -> Result<Outcome, CompareError>,
    ) -> Result<Part, CompareError> {
        let Question {
            prefix,
            title,
            data_sha256,
            key,
        } = question;
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
        let beside = path.with_extension("part");
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(io)
    }
}

fn named(by: &[&str]) -> String {
    hex(&Sha256::digest(by.join(" ")))
}

/// Names the photos that a suite asks with, which its file does not.
fn queries_sha256(suite: &Suite, beside: &Path) -> String {
    let mut digest = Sha256::new();
    for case in &suite.cases {
        if let Query::Image { image, .. } = &case.query {
            // One that cannot be read fails its case, and nothing is kept.
            digest.update(Sha256::digest(
                std::fs::read(beside.join(image)).unwrap_or_default(),
            ));
        }
    }
    hex(&digest.finalize())
}
