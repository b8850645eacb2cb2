//! The catalogue benchmark: does a search find products of the kind that was asked for?
//!
//! Questions come from products that no model was trained on ([`super::split`]), in words ([`super::questions`]), by
//! photo, and by title:
//!
//! | figure | definition |
//! | --- | --- |
//! | `text_category_p10` | precision@10 on the category, mean over all questions of both forms |
//! | `color_type_p10` | precision@10 on category and color, mean over the questions "color type" |
//! | `type_gender_p10` | precision@10 on category and gender, mean over the questions "type for gender" |
//! | `image_category_p10` | precision@10 on the category for a held-out product's photo, the product itself left out |
//! | `title_recall_1`, `_5`, `_10`, `title_ndcg_10`, `title_mrr_10` | text-to-product: a product's title finds it; products of equal title count as found too. MRR within the first 10 |
//! | `title_mrr`, `title_map` | the same over the whole ranking: with a model folder only |
//! | `category_p1`, `_p10` | category-to-product: the category's name alone |
//! | `color_p1`, `_p10` | color-to-product: the color's name alone |
//!
//! Attributes are compared without regard to letter case. Answers come from the whole catalogue or from the held-out
//! tenth of it ([`Among`]); through an API too, since the split is a function of the id.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bootstrap::Draw;
use super::document::Figure;
use super::engine::{Ask, Engine, EngineError, FolderEngine, Found, Need};
use super::metrics::{Ranking, precision_at};
use super::questions::{self, ENOUGH, Form, Question};
use super::shop::{Offer, Shop};
use super::split::held_out;
use super::suite::{carries, hex};
use crate::domain::{AttributeName, AttributeValue, Filters, ProductId};

const RESULTS: usize = 10;

/// Which products may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Among {
    /// The held-out tenth.
    HeldOut,
    /// The whole catalogue.
    All,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub among: Among,
    /// Questions of each form in words, at most.
    pub questions: usize,
    /// Photos that are asked, at most.
    pub photos: usize,
    /// Titles that are asked, at most.
    pub titles: usize,
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { among: Among::All, questions: 100, photos: 500, titles: 500, seed: 1 }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CatalogResult {
    pub among: Among,
    /// Products that could answer, as the catalogue's files have it.
    pub products: usize,
    pub questions: Vec<QuestionResult>,
    pub photos: Vec<PhotoResult>,
    pub titles: Vec<Ranking>,
    /// Precision@1 and @10 of each category's and each color's name.
    pub categories: BTreeMap<String, [f64; 2]>,
    pub colors: BTreeMap<String, [f64; 2]>,
    /// Questions that were not answered, with the reason.
    pub failures: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuestionResult {
    pub text: String,
    pub form: Form,
    pub category: AttributeValue,
    pub other: AttributeValue,
    /// Products with both, and of the category, among those that may answer.
    pub both: usize,
    pub of_category: usize,
    pub category_p10: f64,
    pub both_p10: f64,
    pub results: Vec<ProductId>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhotoResult {
    pub product: ProductId,
    pub category: AttributeValue,
    /// Other products of the category among those that may answer.
    pub of_category: usize,
    pub category_p10: f64,
    pub results: Vec<ProductId>,
}

/// Runs the benchmark. `shop` holds the catalogue that the engine answers from; it gives the questions and, with an
/// API, the photos to upload. `done` hears how many questions are answered, and of how many.
///
/// # Errors
/// None of the questions could be answered: the first failure.
pub fn run(
    engine: &mut dyn Engine,
    shop: &Shop,
    plan: &Plan,
    mut done: impl FnMut(usize, usize),
) -> Result<CatalogResult, EngineError> {
    let ids = |offer: &&Offer| held_out(offer.product.id.as_str());
    let unseen: Vec<&Offer> = shop.offers.iter().filter(ids).collect();
    let answering: Vec<&Offer> = match plan.among {
        Among::HeldOut => unseen.clone(),
        Among::All => shop.offers.iter().collect(),
    };
    let category = attribute("category");
    let asked = questions::make(&unseen.iter().map(|o| &o.product), &category, plan.questions, plan.seed);
    let (photos, titles) = asked_products(shop, plan);
    let mut result = CatalogResult {
        among: plan.among,
        products: answering.len(),
        questions: Vec::new(),
        photos: Vec::new(),
        titles: Vec::new(),
        categories: BTreeMap::new(),
        colors: BTreeMap::new(),
        failures: Vec::new(),
    };
    let supply = Supply::of(&answering);
    let (names, colors) = (supply.often("category"), supply.often("color"));
    let total = asked.len() + photos.len() + titles.len() + names.len() + colors.len();
    let mut run = Run { engine, among: plan.among, first: None, failures: Vec::new() };
    let mut count = 0;
    let mut tick = || {
        count += 1;
        done(count, total);
    };
    for question in asked {
        result.questions.extend(run.question(&question, &supply));
        tick();
    }
    for offer in photos {
        result.photos.extend(run.photo(offer, shop, &supply));
        tick();
    }
    for offer in titles {
        let title = &offer.product.title;
        let total = supply.titles.get(title.to_lowercase().as_str()).copied().unwrap_or(1);
        if let Some(found) = run.text(title) {
            let relevance: Vec<bool> = found.iter().map(|f| f.title.to_lowercase() == title.to_lowercase()).collect();
            result.titles.push(Ranking::of(&relevance, total, false));
        }
        tick();
    }
    for (what, values, to) in [("category", names, &mut result.categories), ("color", colors, &mut result.colors)] {
        for value in values {
            if let Some(found) = run.text(&value.folded()) {
                let fits = fits(&found, &attribute(what), &value);
                to.insert(value.to_string(), [precision_at(1, &fits), precision_at(RESULTS, &fits)]);
            }
            tick();
        }
    }
    let (first, failures) = (run.first, run.failures);
    result.failures = failures;
    match first {
        Some(error) if result.questions.is_empty() && result.photos.is_empty() => Err(error),
        _ => Ok(result),
    }
}

/// The rank metrics over the whole ranking, which a model folder alone can give.
///
/// # Errors
/// When the model makes no embedding of a title.
pub fn full_titles(engine: &mut FolderEngine, plan: &Plan) -> Result<Vec<Ranking>, EngineError> {
    let among = |id: &ProductId| plan.among == Among::All || held_out(id.as_str());
    // The products that may answer hold all that may be asked for.
    let titles: Vec<Offer> = asked_products(engine.shop(), plan).1.into_iter().cloned().collect();
    titles
        .iter()
        .map(|offer| {
            let title = offer.product.title.to_lowercase();
            let query = engine.embed(&Ask::Text(&offer.product.title))?;
            let ranked = engine.ranked(&query).into_iter().filter(|(o, _)| among(&o.product.id));
            let relevance: Vec<bool> = ranked.map(|(o, _)| o.product.title.to_lowercase() == title).collect();
            let total = relevance.iter().filter(|r| **r).count();
            Ok(Ranking::of(&relevance, total, true))
        })
        .collect()
}

/// The held-out products whose photos are asked, and those whose titles are.
fn asked_products<'a>(shop: &'a Shop, plan: &Plan) -> (Vec<&'a Offer>, Vec<&'a Offer>) {
    let category = attribute("category");
    let can = |o: &&Offer| {
        held_out(o.product.id.as_str()) && o.image.is_some() && o.product.attributes.contains_key(&category)
    };
    let all: Vec<&Offer> = shop.offers.iter().filter(can).collect();
    let mut draw = Draw::new(plan.seed);
    (draw.sample(&all, plan.photos), draw.sample(&all, plan.titles))
}

/// The products that may answer.
#[must_use]
pub fn answering(shop: &Shop, plan: &Plan) -> Shop {
    match plan.among {
        Among::HeldOut => shop.clone().only(&Filters::default(), |p| held_out(p.id.as_str())),
        Among::All => shop.clone(),
    }
}

/// Names the catalogue's products and the plan: results are compared only where both are the same.
#[must_use]
pub fn data_sha256(shop: &Shop, plan: &Plan) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("{plan:?}"));
    for product in shop.offers.iter().map(|o| &o.product) {
        digest.update(format!("{:?} {:?} {:?}\n", product.id, product.title, product.attributes));
    }
    hex(&digest.finalize())
}

impl CatalogResult {
    /// The headline figures; see the module.
    #[must_use]
    pub fn figures(&self, whole_titles: &[Ranking]) -> Vec<Figure> {
        let of = |form: Form| self.questions.iter().filter(move |q| q.form == form).map(|q| q.both_p10).collect();
        let text: Vec<f64> = self.questions.iter().map(|q| q.category_p10).collect();
        let color_type: Vec<f64> = of(Form::ColorType);
        let type_gender: Vec<f64> = of(Form::TypeForGender);
        let image: Vec<f64> = self.photos.iter().map(|p| p.category_p10).collect();
        let titles = |value: fn(&Ranking) -> f64| self.titles.iter().map(value).collect::<Vec<_>>();
        let at = |values: &BTreeMap<String, [f64; 2]>, i: usize| values.values().map(|v| v[i]).collect::<Vec<_>>();
        let mut figures = vec![
            ("text_category_p10", text),
            ("color_type_p10", color_type),
            ("type_gender_p10", type_gender),
            ("image_category_p10", image),
            ("title_recall_1", titles(|t| t.recall_at_1)),
            ("title_recall_5", titles(|t| t.recall_at_5)),
            ("title_recall_10", titles(|t| t.recall_at_10)),
            ("title_ndcg_10", titles(|t| t.ndcg_at_10)),
            // These rankings end at ten.
            ("title_mrr_10", titles(|t| t.reciprocal_rank)),
            ("category_p1", at(&self.categories, 0)),
            ("category_p10", at(&self.categories, 1)),
            ("color_p1", at(&self.colors, 0)),
            ("color_p10", at(&self.colors, 1)),
        ];
        figures.push(("title_mrr", whole_titles.iter().map(|t| t.reciprocal_rank).collect()));
        figures.push(("title_map", whole_titles.iter().filter_map(|t| t.average_precision).collect()));
        figures.into_iter().filter_map(|(name, values)| Figure::mean(name, &values)).collect()
    }
}

/// What the answering products are.
struct Supply {
    /// (attribute, folded value) -> products.
    counts: HashMap<(String, String), (AttributeValue, usize)>,
    /// Lower-case title -> products.
    titles: HashMap<String, usize>,
    pairs: HashMap<(String, String, String), usize>,
}

impl Supply {
    fn of(offers: &[&Offer]) -> Self {
        let mut supply = Self { counts: HashMap::new(), titles: HashMap::new(), pairs: HashMap::new() };
        for product in offers.iter().map(|o| &o.product) {
            *supply.titles.entry(product.title.to_lowercase()).or_default() += 1;
            let category = product.attribute("category").map(str::to_lowercase);
            for (name, values) in &product.attributes {
                for value in values {
                    let key = (name.to_string(), value.folded());
                    supply.counts.entry(key).or_insert_with(|| (value.clone(), 0)).1 += 1;
                    if let Some(category) = &category {
                        *supply.pairs.entry((category.clone(), name.to_string(), value.folded())).or_default() += 1;
                    }
                }
            }
        }
        supply
    }

    fn with(&self, attribute: &str, value: &AttributeValue) -> usize {
        self.counts.get(&(attribute.to_owned(), value.folded())).map_or(0, |(_, n)| *n)
    }

    fn with_both(&self, category: &AttributeValue, attribute: &str, value: &AttributeValue) -> usize {
        self.pairs.get(&(category.folded(), attribute.to_owned(), value.folded())).copied().unwrap_or(0)
    }

    /// Values of an attribute that enough products have.
    fn often(&self, attribute: &str) -> Vec<AttributeValue> {
        let mut often: Vec<_> = self
            .counts
            .iter()
            .filter(|((name, _), (_, n))| name == attribute && *n >= ENOUGH)
            .map(|((_, folded), (value, _))| (folded, value.clone()))
            .collect();
        often.sort();
        often.into_iter().map(|(_, value)| value).collect()
    }
}

struct Run<'a> {
    engine: &'a mut dyn Engine,
    among: Among,
    first: Option<EngineError>,
    failures: Vec<String>,
}

impl Run<'_> {
    fn search(&mut self, ask: &Ask<'_>, exclude: &[ProductId]) -> Option<Vec<Found>> {
        let among: fn(&ProductId) -> bool = match self.among {
            Among::HeldOut => |id| held_out(id.as_str()),
            Among::All => |_| true,
        };
        let need = Need { results: RESULTS, exclude, filters: &[], among };
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

    fn question(&mut self, question: &Question, supply: &Supply) -> Option<QuestionResult> {
        let found = self.text(&question.text)?;
        let category = fits(&found, &attribute("category"), &question.category);
        let other = fits(&found, &attribute(question.form.attribute()), &question.other);
        let both: Vec<bool> = category.iter().zip(&other).map(|(c, o)| *c && *o).collect();
        Some(QuestionResult {
            text: question.text.clone(),
            form: question.form,
            both: supply.with_both(&question.category, question.form.attribute(), &question.other),
            of_category: supply.with("category", &question.category),
            category: question.category.clone(),
            other: question.other.clone(),
            category_p10: precision_at(RESULTS, &category),
            both_p10: precision_at(RESULTS, &both),
            results: found.into_iter().map(|f| f.id).collect(),
        })
    }

    fn photo(&mut self, offer: &Offer, shop: &Shop, supply: &Supply) -> Option<PhotoResult> {
        let category = offer.product.attributes.get(&attribute("category"))?.first()?.clone();
        let file = match shop.photo(offer) {
            Ok(file) => file,
            Err(error) => {
                self.failures.push(error.to_string());
                return None;
            }
        };
        let found = self.search(&Ask::Photo(&file), std::slice::from_ref(&offer.product.id))?;
        let fits = fits(&found, &attribute("category"), &category);
        Some(PhotoResult {
            product: offer.product.id.clone(),
            of_category: supply.with("category", &category).saturating_sub(1),
            category,
            category_p10: precision_at(RESULTS, &fits),
            results: found.into_iter().map(|f| f.id).collect(),
        })
    }
}

fn fits(found: &[Found], name: &AttributeName, wanted: &AttributeValue) -> Vec<bool> {
    found.iter().map(|f| carries(&f.attributes, name, wanted)).collect()
}

fn attribute(name: &'static str) -> AttributeName {
    AttributeName::new(name).expect("a name written in this file")
}
