//! Asks the questions of the catalog benchmark.

use std::collections::HashSet;

use bytes::Bytes;

use super::counts::AnswerCounts;
use super::options::{Among, CATEGORY, CatalogOptions};
use super::result::{CatalogResult, PhotoResult, QuestionResult, TitleResult};
use crate::domain::{AttributeName, AttributeValue, ProductId};
use crate::evaluate::data::attributes::has_value;
use crate::evaluate::data::labeled_catalog::{LabeledCatalog, LabeledProduct};
use crate::evaluate::data::questions::{self, Question};
use crate::evaluate::stats::metrics::precision_at;
use crate::evaluate::subject::folder::FolderEngine;
use crate::evaluate::subject::{Ask, Engine, EngineError, Found, Need};
use crate::vision::{ImageLimits, decode};

const RESULTS: usize = 10;
const COLOR: &str = "color";

/// Runs the benchmark. `catalog` is what the engine answers from; it gives the questions and, with
/// an API, the photos to upload. `done` is called with the number of questions that are
/// answered and the number of all.
///
/// # Errors
/// None of the questions could be answered: the first failure.
pub fn run(
    engine: &mut dyn Engine,
    catalog: &LabeledCatalog,
    options: &CatalogOptions,
    mut done: impl FnMut(usize, usize),
) -> Result<CatalogResult, EngineError> {
    let findable =
        |labeled: &&LabeledProduct| labeled.image.is_some() && engine.finds(&labeled.product.id);
    let all: Vec<&LabeledProduct> = catalog.products.iter().filter(findable).collect();
    let held_out = |labeled: &&&LabeledProduct| catalog.asks(&labeled.product.id);
    let own: Vec<&LabeledProduct> = all.iter().filter(held_out).copied().collect();
    let own_ids: HashSet<&ProductId> = own.iter().map(|labeled| &labeled.product.id).collect();
    let among = |id: &ProductId| options.among == Among::All || own_ids.contains(id);
    let answering = match options.among {
        Among::HeldOut => &own,
        Among::All => &all,
    };
    let counts = AnswerCounts::of(answering.iter().map(|labeled| &labeled.product));
    let mut result = CatalogResult::empty(options.among, answering.len());

    let questions = questions::make(
        &own.iter().map(|labeled| &labeled.product),
        &attribute(CATEGORY),
        options.questions,
        options.seed,
    );
    let (photos, mut titles) = options.asked(catalog);
    titles.retain(|labeled| engine.finds(&labeled.product.id));
    let (categories, colors) = (counts.often(CATEGORY), counts.often(COLOR));
    let total = questions.len() + photos.len() + titles.len() + categories.len() + colors.len();
    let mut count = 0;
    let mut tick = || {
        count += 1;
        done(count, total);
    };

    let mut asker = Asker {
        engine,
        counts: &counts,
        among: &among,
        first: None,
        failures: Vec::new(),
    };
    for question in questions {
        result.questions.extend(asker.question(&question));
        tick();
    }
    for labeled in photos {
        match readable(catalog, labeled) {
            Ok(file) => result.photos.extend(asker.photo(labeled, &file)),
            Err(reason) => {
                let line = format!("{}: {reason}", labeled.product.id);
                result.left_out.push(line);
            }
        }
        tick();
    }
    for labeled in titles {
        result.titles.extend(asker.title(labeled));
        tick();
    }
    for value in categories {
        let precision = asker.value(CATEGORY, &value);
        result
            .categories
            .extend(precision.map(|p| (value.to_string(), p)));
        tick();
    }
    for value in colors {
        let precision = asker.value(COLOR, &value);
        result
            .colors
            .extend(precision.map(|p| (value.to_string(), p)));
        tick();
    }
    result.failures = asker.failures;
    match asker.first {
        Some(error) if result.questions.is_empty() && result.photos.is_empty() => Err(error),
        _ => Ok(result),
    }
}

/// The titles over the whole ranking, which a model folder alone can give. `engine`: over the
/// products that may answer ([`CatalogOptions::answering`]), which hold all that may be asked for.
///
/// # Errors
/// When the model makes no embedding of a title.
pub fn full_titles(
    engine: &mut FolderEngine,
    options: &CatalogOptions,
) -> Result<Vec<TitleResult>, EngineError> {
    let (_, titles) = options.asked(engine.catalog());
    let mut titles: Vec<LabeledProduct> = titles.into_iter().cloned().collect();
    titles.retain(|labeled| engine.finds(&labeled.product.id));
    titles
        .iter()
        .map(|LabeledProduct { product, .. }| {
            let query = engine.embed(&Ask::Text(&product.title))?;
            let ranked = engine.ranked(&query);
            let ranked = ranked.iter().map(|(other, _)| other.product.title.as_str());
            let relevance = same_title(&product.title, ranked);
            let total = relevance.iter().filter(|r| **r).count();
            Ok(TitleResult::of(product, &relevance, total, true))
        })
        .collect()
}

/// Asks one question at a time and keeps what failed.
struct Asker<'a> {
    engine: &'a mut dyn Engine,
    counts: &'a AnswerCounts,
    among: &'a dyn Fn(&ProductId) -> bool,
    first: Option<EngineError>,
    failures: Vec<String>,
}

impl Asker<'_> {
    fn search(&mut self, ask: &Ask<'_>, exclude: &[ProductId]) -> Option<Vec<Found>> {
        let need = Need {
            results: RESULTS,
            exclude,
            filters: &[],
            among: self.among,
        };
        match self.engine.search(ask, &need) {
            Ok(found) => Some(found),
            Err(error) => {
                self.failures.push(error.to_string());
                self.first.get_or_insert(error);
                None
            }
        }
    }

    fn text(&mut self, text: &str) -> Option<Vec<Found>> {
        self.search(&Ask::Text(text), &[])
    }

    fn question(&mut self, question: &Question) -> Option<QuestionResult> {
        let found = self.text(&question.text)?;
        let other = question.form.attribute();
        let right_category = fits(&found, CATEGORY, &question.category);
        let right_other = fits(&found, other, &question.other);
        let right_both: Vec<bool> = right_category
            .iter()
            .zip(&right_other)
            .map(|(category, other)| *category && *other)
            .collect();
        Some(QuestionResult {
            text: question.text.clone(),
            form: question.form,
            both: self
                .counts
                .with_both(&question.category, other, &question.other),
            of_category: self.counts.with(CATEGORY, &question.category),
            category: question.category.clone(),
            other: question.other.clone(),
            category_p10: precision_at(RESULTS, &right_category),
            both_p10: precision_at(RESULTS, &right_both),
            results: found.into_iter().map(|f| f.id).collect(),
        })
    }

    fn title(&mut self, labeled: &LabeledProduct) -> Option<TitleResult> {
        let product = &labeled.product;
        let found = self.text(&product.title)?;
        let relevance = same_title(&product.title, found.iter().map(|f| f.title.as_str()));
        // A service may find more of them than there are pictures, by their words.
        let came = relevance.iter().filter(|r| **r).count();
        let total = self.counts.titled(&product.title).max(came);
        Some(TitleResult::of(product, &relevance, total, false))
    }

    fn photo(&mut self, labeled: &LabeledProduct, file: &Bytes) -> Option<PhotoResult> {
        let product = &labeled.product;
        let category = product.attributes.get(&attribute(CATEGORY))?.first()?;
        let found = self.search(&Ask::Photo(file), std::slice::from_ref(&product.id))?;
        let right = fits(&found, CATEGORY, category);
        Some(PhotoResult {
            product: product.id.clone(),
            of_category: self.counts.with(CATEGORY, category).saturating_sub(1),
            category: category.clone(),
            category_p10: precision_at(RESULTS, &right),
            results: found.into_iter().map(|f| f.id).collect(),
        })
    }

    /// Precision@1 and @10 of an attribute's value alone.
    fn value(&mut self, name: &'static str, value: &AttributeValue) -> Option<[f64; 2]> {
        let found = self.text(&value.folded())?;
        let right = fits(&found, name, value);
        Some([precision_at(1, &right), precision_at(RESULTS, &right)])
    }
}

/// Which of the titles are equal to `title`, letter case aside.
fn same_title<'a>(title: &str, titles: impl Iterator<Item = &'a str>) -> Vec<bool> {
    let own = title.to_lowercase();
    titles.map(|title| title.to_lowercase() == own).collect()
}

/// The file of a picture that can be decoded: one that cannot be is a defect of the catalog, not of
/// the model or the service.
fn readable(catalog: &LabeledCatalog, labeled: &LabeledProduct) -> Result<Bytes, String> {
    let file = catalog
        .picture(labeled)
        .map_err(|error| error.to_string())?;
    decode(&file, &ImageLimits::DEFAULT).map_err(|error| error.to_string())?;
    Ok(file)
}

fn fits(found: &[Found], name: &'static str, wanted: &AttributeValue) -> Vec<bool> {
    let name = attribute(name);
    found
        .iter()
        .map(|f| has_value(&f.attributes, &name, wanted))
        .collect()
}

fn attribute(name: &'static str) -> AttributeName {
    AttributeName::new(name).expect("a name written in this room")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_compared_without_regard_to_letter_case() {
        let titles = ["red shoe", "blue shoe", "Red Shoe"];
        assert_eq!(
            same_title("Red Shoe", titles.into_iter()),
            [true, false, true]
        );
    }
}
