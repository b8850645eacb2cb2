//! Many models or epochs on the same questions: one table, the best by a stated rule, and why.
//!
//! Every model sits the same [`Exam`]: a pretest (zero-shot recognition of an attribute), the retrieval suite, the
//! catalogue benchmark and labeled sets, as far as each is given. What a model answered is kept (`MODEL-DATA.json`,
//! named by the hash of the model and that of the questions), so that a run with one more epoch measures that epoch.
//!
//! **The rule** ([`Rule`]): among the models whose guarded figures are at most `tolerance` below the base's (the first
//! model), the one with the largest weighted sum of figures; of equals, the first. By default scoring (c) of the suite
//! plus the pretest's macro F1, and every macro F1 of a labeled set is guarded, with a tolerance of one point.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::catalog;
use super::datasets::LabeledSet;
use super::document::{Document, DocumentError, Outcome, Part};
use super::embedder::{Embedder, EmbedderError};
use super::engine::{EngineError, FolderEngine, How, Subject};
use super::retrieval;
use super::shop::Shop;
use super::suite::{Suite, hex};
use super::table::Table;
use super::terminal::percent;
use super::zero_shot::{self, Prompts, ZeroShotError};
use crate::encode::EncoderOptions;
use crate::model::{ModelError, ModelFolder};

pub const PRETEST: &str = "pretest";
pub const RETRIEVAL: &str = "retrieval";

/// What is asked of every model.
#[derive(Default)]
pub struct Exam {
    pub pretest: Option<(LabeledSet, Prompts)>,
    /// The suite, the folder where its file lies, and the catalogue it is asked of.
    pub suite: Option<(Suite, PathBuf, Shop)>,
    pub catalog: Option<(Shop, catalog::Plan)>,
    pub labeled: Vec<LabeledSet>,
}

/// Which model is the best. In a recipe: the table `[compare]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Figure -> weight in the sum.
    pub weights: BTreeMap<String, f64>,
    /// Figures that must not fall below the base's.
    pub guards: Vec<String>,
    /// By how much they may, all the same.
    pub tolerance: f64,
}

/// The outcome.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Name and result; the first is the base.
    pub models: Vec<(String, Document)>,
    pub rule: Rule,
    /// The weighted sum of each model; `None` where a figure is missing.
    pub sums: Vec<Option<f64>>,
    /// Position in `models`; `None` when no model has all the figures.
    pub best: Option<usize>,
    /// In words, why.
    pub why: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("{path} is no model folder and holds none")]
    NoModel { path: PathBuf },
    #[error("there is nothing to ask: give a suite, a catalogue or labeled images")]
    NothingToAsk,
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Embedder(#[from] EmbedderError),
    #[error(transparent)]
    ZeroShot(#[from] ZeroShotError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Default for Rule {
    fn default() -> Self {
        let weights = [(format!("{RETRIEVAL}.c"), 1.0), (format!("{PRETEST}.macro_f1"), 1.0)];
        Self { weights: weights.into(), guards: Vec::new(), tolerance: 0.01 }
    }
}

/// The model folders at the paths given: a path with a `model.json`, or every folder below it (two levels) that has
/// one, in order of their names with numbers in them ordered as numbers (`epoch-9` before `epoch-10`).
///
/// # Errors
/// When a path leads to no model folder.
pub fn model_folders(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CompareError> {
    let mut all = Vec::new();
    for path in paths {
        let mut found = Vec::new();
        collect(path, 2, &mut found);
        if found.is_empty() {
            return Err(CompareError::NoModel { path: path.clone() });
        }
        found.sort_by_key(|p| natural(&p.to_string_lossy()));
        all.extend(found.into_iter().filter(|p| !all.contains(p)).collect::<Vec<_>>());
    }
    Ok(all)
}

fn collect(path: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if path.join("model.json").is_file() {
        found.push(path.to_owned());
    } else if depth > 0 {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path());
        for folder in entries.filter(|p| p.is_dir()) {
            collect(&folder, depth - 1, found);
        }
    }
}

/// Words and the numbers after them, in turn: runs of digits compare as numbers.
fn natural(text: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (before, after) = rest.split_at(word);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        parts.push((before.to_owned(), after[..digits].parse().unwrap_or(0)));
        rest = &after[digits..];
    }
    parts
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
        let model = self.folder.manifest().name.clone();
        // A file that cannot be read is measured again.
        let known = std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Part>(&text).ok());
        if let Some(known) = known.filter(|part| part.data_sha256 == data_sha256) {
            (self.report)(&format!("{model}: {prefix} is known"));
            return Ok(Part { prefix: prefix.to_owned(), title, ..known });
        }
        (self.report)(&format!("{model}: {prefix}"));
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

impl Comparison {
    /// Chooses among the models; the first is the base. Figures of the rule that no model has are left out of it.
    #[must_use]
    pub fn new(models: Vec<(String, Document)>, rule: &Rule) -> Self {
        let mut rule = rule.clone();
        let known = |figure: &String| models.iter().any(|(_, d)| d.figure(figure).is_some());
        let mut why: Vec<String> = rule
            .weights
            .keys()
            .filter(|f| !known(f))
            .map(|f| format!("{f} was not measured and does not count"))
            .collect();
        rule.weights.retain(|figure, _| known(figure));
        if rule.guards.is_empty() {
            let labeled = |name: &str| name.ends_with(".macro_f1") && !name.starts_with(PRETEST);
            let names = models.first().map(|(_, d)| d.figures.iter().map(|f| f.name.clone()));
            rule.guards = names.into_iter().flatten().filter(|n| labeled(n)).collect();
        }
        let sums: Vec<Option<f64>> = models.iter().map(|(_, document)| rule.sum(document)).collect();
        let base = models.first().map(|(_, document)| document);
        let mut best: Option<(usize, f64)> = None;
        for (position, (name, document)) in models.iter().enumerate() {
            let lost = base.map(|base| rule.lost(document, base)).unwrap_or_default();
            if !lost.is_empty() {
                why.push(format!("{name} is out: {}", lost.join(", ")));
                continue;
            }
            match sums[position] {
                None => why.push(format!("{name} is out: a figure of the rule is missing")),
                Some(sum) if best.is_none_or(|(_, most)| sum > most) => best = Some((position, sum)),
                Some(_) => {}
            }
        }
        if let Some((position, sum)) = best {
            let terms: Vec<String> =
                rule.weights.iter().map(|(figure, weight)| format!("{weight} x {figure}")).collect();
            why.push(format!("{} has the largest {}: {sum:.4}", models[position].0, terms.join(" + ")));
        }
        Self { models, rule, sums, best: best.map(|(position, _)| position), why }
    }

    /// A row a model: the sum, the figures of the rule, then the other headline figures.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut names: Vec<&str> = self.rule.weights.keys().map(String::as_str).collect();
        names.extend(self.rule.guards.iter().map(String::as_str));
        let documents = self.models.iter().map(|(_, d)| d);
        for figure in documents.flat_map(|d| &d.figures).map(|f| f.name.as_str()).filter(|n| headline(n)) {
            if !names.contains(&figure) {
                names.push(figure);
            }
        }
        let heading: Vec<&str> = ["model", "sum"].into_iter().chain(names.iter().copied()).collect();
        let mut table = Table::new(&heading);
        for (position, (name, document)) in self.models.iter().enumerate() {
            let mark = if self.best == Some(position) { "* " } else { "" };
            let sum = self.sums[position].map_or("-".to_owned(), |s| format!("{s:.4}"));
            let value = |figure: &&str| document.figure(figure).map_or("-".to_owned(), |e| percent(e.value));
            table.push([format!("{mark}{name}"), sum].into_iter().chain(names.iter().map(value)));
        }
        table
    }
}

/// Figures over all cases of a suite and of a set; those of single groups are in each model's own report.
fn headline(name: &str) -> bool {
    !name.contains("level") && !name.contains(".text.") && !name.contains(".image.") && !name.ends_with("_attainable")
}

impl Rule {
    fn sum(&self, document: &Document) -> Option<f64> {
        let terms = self.weights.iter().map(|(figure, weight)| Some(weight * document.figure(figure)?.value));
        terms.collect::<Option<Vec<f64>>>().filter(|t| !t.is_empty()).map(|t| t.iter().sum())
    }

    /// What of the base's abilities is lost, in words.
    fn lost(&self, document: &Document, base: &Document) -> Vec<String> {
        let lost = |figure: &String| {
            let (own, before) = (document.figure(figure)?.value, base.figure(figure)?.value);
            // A hair of slack: one point below is still within one point.
            (own < before - self.tolerance - 1e-9)
                .then(|| format!("{figure} fell from {} to {}", percent(before), percent(own)))
        };
        self.guards.iter().filter_map(lost).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap::{Estimate, Interval};
    use super::super::document::Figure;
    use super::super::fixtures;
    use super::*;

    fn document(name: &str, figures: &[(&str, f64)]) -> (String, Document) {
        let interval = Interval { low: 0.0, high: 1.0 };
        let figure = |(name, value): &(&str, f64)| Figure {
            name: (*name).to_owned(),
            estimate: Estimate { value: *value, interval, n: 9 },
        };
        let mut document = Document::new(fixtures::subject(name), Vec::new());
        document.figures = figures.iter().map(figure).collect();
        (name.to_owned(), document)
    }

    const C: &str = "retrieval.c";
    const F1: &str = "pretest.macro_f1";
    const FMNIST: &str = "fashion_mnist.macro_f1";

    #[test]
    fn the_best_is_the_largest_sum_among_those_that_forgot_nothing() {
        let models = vec![
            document("base", &[(C, 0.2), (F1, 0.3), (FMNIST, 0.50)]),
            document("epoch-1", &[(C, 0.3), (F1, 0.5), (FMNIST, 0.49)]),
            document("epoch-2", &[(C, 0.4), (F1, 0.6), (FMNIST, 0.48)]),
            document("epoch-3", &[(C, 0.4), (F1, 0.4), (FMNIST, 0.52)]),
        ];
        let comparison = Comparison::new(models.clone(), &Rule::default());
        assert_eq!(comparison.best, Some(1), "{:?}", comparison.why);
        assert!(
            comparison
                .why
                .iter()
                .any(|w| w.contains("epoch-2 is out: fashion_mnist.macro_f1 fell from 50.0% to 48.0%"))
        );
        let table = comparison.table().plain();
        assert!(table.contains("* epoch-1") && table.contains("0.8000"), "{table}");
        // A wider tolerance, or other weights, choose another.
        let wide = Rule { tolerance: 0.05, ..Rule::default() };
        assert_eq!(Comparison::new(models.clone(), &wide).best, Some(2));
        let only_c: Rule = toml::from_str("tolerance = 0.01\n[weights]\n\"retrieval.c\" = 1.0\n").expect("a rule");
        assert_eq!(Comparison::new(models, &only_c).best, Some(3));
    }

    #[test]
    fn of_equals_the_first() {
        let models = vec![document("a", &[(C, 0.2)]), document("b", &[(C, 0.2)])];
        let comparison = Comparison::new(models, &Rule::default());
        assert_eq!(comparison.best, Some(0));
        assert!(comparison.why[0].contains("pretest.macro_f1 was not measured"));
    }

    #[test]
    fn nothing_measured_is_no_winner() {
        assert_eq!(Comparison::new(vec![document("a", &[])], &Rule::default()).best, None);
        assert_eq!(Comparison::new(Vec::new(), &Rule::default()).best, None);
    }

    #[test]
    fn runs_are_opened_in_the_order_of_their_epochs() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["run/epoch-10", "run/epoch-9", "run/best", "single"] {
            let model = folder.path().join(name);
            std::fs::create_dir_all(&model).expect("a folder");
            std::fs::write(model.join("model.json"), "{}").expect("written");
        }
        let found = model_folders(&[folder.path().join("single"), folder.path().join("run")]).expect("models");
        let names: Vec<_> = found.iter().map(|p| p.file_name().expect("a name").to_string_lossy()).collect();
        assert_eq!(names, ["single", "best", "epoch-9", "epoch-10"]);
        assert!(matches!(model_folders(&[folder.path().join("none")]), Err(CompareError::NoModel { .. })));
    }
}
