//! The catalogue benchmark: does a search find products of the kind that was asked for?
//!
//! Questions come from products that no model was trained on ([`super::split`]; of a prepared data
//! set all of the side that was read, as [`Shop::asks`] has it), in words ([`super::questions`]),
//! by photo, and by title:
//!
//! | figure | definition |
//! | --- | --- |
//! | `text_category_p10` | precision@10 on the category, mean over all questions of both forms |
//! | `color_type_p10` | precision@10 on category and color, mean over the questions "color type" |
//! | `type_gender_p10` | precision@10 on category and gender, mean over the questions "type for gender" |
//! | `image_category_p10` | precision@10 on the category for a held-out product's photo, the product itself left out |
//! | `title_recall_1`, `_5`, `_10` | text-to-product: the share of titles whose own product, or another of equal title, is in the first k |
//! | `title_ndcg_10`, `title_mrr_10` | the same questions, every product of equal title relevant. MRR within the first 10 |
//! | `title_mrr`, `title_map` | the same over the whole ranking: with a model folder only |
//! | `category_p1`, `_p10` | category-to-product: the category's name alone |
//! | `color_p1`, `_p10` | color-to-product: the color's name alone |
//!
//! Attributes and titles are compared without regard to letter case. Answers come from the whole
//! catalogue or from the products that the questions are made of ([`Among`]); through an API too,
//! where the others are passed over. A product without a photo is nowhere counted: it makes no
//! question, and no answer is missed for want of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bootstrap::Draw;
use super::document::{Figure, Series};
use super::engine::{Ask, Engine, EngineError, FolderEngine, Found, Need};
use super::metrics::{Ranking, precision_at};
use super::questions::{self, ENOUGH, Form, Question};
use super::shop::{Offer, Shop};
use super::suite::{carries, hex};
use crate::domain::{AttributeName, AttributeValue, Filters, ProductId};
use crate::vision::{ImageLimits, decode};

const RESULTS: usize = 10;

/// Which products may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Among {
    /// The products that questions are made of: the held-out tenth, or a data set's side.
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
        Self {
            among: Among::All,
            questions: 100,
            photos: 500,
            titles: 500,
            seed: 1,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CatalogResult {
    pub among: Among,
    /// Products that could answer: those with a photo.
    pub products: usize,
    pub questions: Vec<QuestionResult>,
    pub photos: Vec<PhotoResult>,
    pub titles: Vec<TitleResult>,
    /// Precision@1 and @10 of each category's and each color's name.
    pub categories: BTreeMap<String, [f64; 2]>,
    pub colors: BTreeMap<String, [f64; 2]>,
    /// Products whose photo could not be asked with, for it cannot be read, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
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

/// How a product was found by its title.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TitleResult {
    pub product: ProductId,
    /// Place (from 1) of the first product of equal title.
    pub place: Option<usize>,
    #[serde(flatten)]
    pub ranking: Ranking,
}

/// Runs the benchmark. `shop` holds the catalogue that the engine answers from; it gives the
/// questions and, with an API, the photos to upload. `done` hears how many questions are answered,
/// and of how many.
///
/// # Errors
/// None of the questions could be answered: the first failure.
pub fn run(
    engine: &mut dyn Engine,
    shop: &Shop,
    plan: &Plan,
    mut done: impl FnMut(usize, usize),
) -> Result<CatalogResult, EngineError> {
    let seen = |offer: &&Offer| offer.image.is_some() && engine.finds(&offer.product.id);
    let shown: Vec<&Offer> = shop.offers.iter().filter(seen).collect();
    let unseen: Vec<&Offer> = shown
        .iter()
        .filter(|o| shop.asks(&o.product.id))
        .copied()
        .collect();
    let answering = match plan.among {
        Among::HeldOut => unseen.clone(),
        Among::All => shown,
    };
    let own: HashSet<&ProductId> = unseen.iter().map(|o| &o.product.id).collect();
    let among = |id: &ProductId| plan.among == Among::All || own.contains(id);
    let asked = questions::make(
        &unseen.iter().map(|o| &o.product),
        &attribute("category"),
        plan.questions,
        plan.seed,
    );
    let (photos, mut titles) = asked_products(shop, plan);
    titles.retain(|o| engine.finds(&o.product.id));
    let mut result = CatalogResult::empty(plan.among, answering.len());
    let supply = Supply::of(&answering);
    let (names, colors) = (supply.often("category"), supply.often("color"));
    let total = asked.len() + photos.len() + titles.len() + names.len() + colors.len();
    let mut run = Run {
        engine,
        among: &among,
        first: None,
        failures: Vec::new(),
    };
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
        match readable(shop, offer) {
            Ok(file) => result.photos.extend(run.photo(offer, &file, &supply)),
            Err(reason) => result
                .left_out
                .push(format!("{}: {reason}", offer.product.id)),
        }
        tick();
    }
    for offer in titles {
        result.titles.extend(run.title(offer, &supply));
        tick();
    }
    for (what, values, to) in [
        ("category", names, &mut result.categories),
        ("color", colors, &mut result.colors),
    ] {
        for value in values {
            if let Some(found) = run.text(&value.folded()) {
                let fits = fits(&found, &attribute(what), &value);
                to.insert(
                    value.to_string(),
                    [precision_at(1, &fits), precision_at(RESULTS, &fits)],
                );
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

/// The titles over the whole ranking, which a model folder alone can give. `engine`: over the
/// products that may answer ([`answering`]), which hold all that may be asked for.
///
/// # Errors
/// When the model makes no embedding of a title.
pub fn full_titles(
    engine: &mut FolderEngine,
    plan: &Plan,
) -> Result<Vec<TitleResult>, EngineError> {
    let mut titles: Vec<Offer> = asked_products(engine.shop(), plan)
        .1
        .into_iter()
        .cloned()
        .collect();
    titles.retain(|o| engine.finds(&o.product.id));
    titles
        .iter()
        .map(|offer| {
            let query = engine.embed(&Ask::Text(&offer.product.title))?;
            let ranked = engine.ranked(&query);
            let relevance = same_title(
                offer,
                ranked.iter().map(|(other, _)| other.product.title.as_str()),
            );
            let total = relevance.iter().filter(|r| **r).count();
            Ok(TitleResult::of(offer, &relevance, total, true))
        })
        .collect()
}

/// Which of the titles are the product's, letter case aside.
fn same_title<'a>(offer: &Offer, titles: impl Iterator<Item = &'a str>) -> Vec<bool> {
    let own = offer.product.title.to_lowercase();
    titles.map(|title| title.to_lowercase() == own).collect()
}

/// The held-out products whose photos are asked, and those whose titles are.
fn asked_products<'a>(shop: &'a Shop, plan: &Plan) -> (Vec<&'a Offer>, Vec<&'a Offer>) {
    let category = attribute("category");
    let can = |o: &&Offer| {
        shop.asks(&o.product.id)
            && o.image.is_some()
            && o.product.attributes.contains_key(&category)
    };
    let all: Vec<&Offer> = shop.offers.iter().filter(can).collect();
    let mut draw = Draw::new(plan.seed);
    (
        draw.sample(&all, plan.photos),
        draw.sample(&all, plan.titles),
    )
}

/// The products that may answer: all that a folder's engine needs to embed, but that a photo's
/// nearest then vote among these alone, where a service asks its whole catalogue.
#[must_use]
pub fn answering(shop: &Shop, plan: &Plan) -> Shop {
    match plan.among {
        Among::HeldOut => shop.clone().only(&Filters::default(), |p| shop.asks(&p.id)),
        Among::All => shop.clone(),
    }
}

/// Names the catalogue's products and the plan: results are compared only where both are the same.
/// Photos are not looked at: a catalogue is the same on two machines ([`Shop::photos_stamp`] tells
/// them apart on one).
#[must_use]
pub fn data_sha256(shop: &Shop, plan: &Plan) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("{plan:?} {}", shop.prepared));
    for product in shop.offers.iter().map(|o| &o.product) {
        digest.update(format!(
            "{:?} {:?} {:?}\n",
            product.id, product.title, product.attributes
        ));
    }
    hex(&digest.finalize())
}

impl TitleResult {
    fn of(offer: &Offer, relevance: &[bool], total: usize, complete: bool) -> Self {
        Self {
            product: offer.product.id.clone(),
            place: relevance.iter().position(|r| *r).map(|at| at + 1),
            ranking: Ranking::of(relevance, total, complete),
        }
    }

    /// 1 where a product of equal title is in the first `k`, else 0.
    fn found_within(&self, k: usize) -> f64 {
        if self.place.is_some_and(|place| place <= k) {
            1.0
        } else {
            0.0
        }
    }
}

impl CatalogResult {
    fn empty(among: Among, products: usize) -> Self {
        Self {
            among,
            products,
            questions: Vec::new(),
            photos: Vec::new(),
            titles: Vec::new(),
            categories: BTreeMap::new(),
            colors: BTreeMap::new(),
            left_out: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// The headline figures; see the module.
    #[must_use]
    pub fn figures(&self, whole_titles: &[TitleResult]) -> Vec<Figure> {
        self.series(whole_titles)
            .iter()
            .filter_map(Series::mean)
            .collect()
    }

    /// The headline figures, question by question.
    #[must_use]
    pub fn series(&self, whole_titles: &[TitleResult]) -> Vec<Series> {
        let asked = |form: Option<Form>, value: fn(&QuestionResult) -> f64| {
            let of = self
                .questions
                .iter()
                .filter(|q| form.is_none_or(|form| form == q.form));
            of.map(|q| (q.case(), value(q))).collect::<Vec<_>>()
        };
        let photos = self
            .photos
            .iter()
            .map(|p| (p.product.to_string(), p.category_p10))
            .collect();
        let titles = |of: &[TitleResult], value: &dyn Fn(&TitleResult) -> Option<f64>| {
            of.iter()
                .filter_map(|t| Some((t.product.to_string(), value(t)?)))
                .collect::<Vec<_>>()
        };
        let within = |k: usize| titles(&self.titles, &|t| Some(t.found_within(k)));
        let named = |values: &BTreeMap<String, [f64; 2]>, at: usize| {
            values
                .iter()
                .map(|(name, value)| (name.clone(), value[at]))
                .collect::<Vec<_>>()
        };
        let series = [
            ("text_category_p10", asked(None, |q| q.category_p10)),
            (
                "color_type_p10",
                asked(Some(Form::ColorType), |q| q.both_p10),
            ),
            (
                "type_gender_p10",
                asked(Some(Form::TypeForGender), |q| q.both_p10),
            ),
            ("image_category_p10", photos),
            ("title_recall_1", within(1)),
            ("title_recall_5", within(5)),
            ("title_recall_10", within(10)),
            (
                "title_ndcg_10",
                titles(&self.titles, &|t| Some(t.ranking.ndcg_at_10)),
            ),
            // These rankings end at ten.
            (
                "title_mrr_10",
                titles(&self.titles, &|t| Some(t.ranking.reciprocal_rank)),
            ),
            ("category_p1", named(&self.categories, 0)),
            ("category_p10", named(&self.categories, 1)),
            ("color_p1", named(&self.colors, 0)),
            ("color_p10", named(&self.colors, 1)),
            (
                "title_mrr",
                titles(whole_titles, &|t| Some(t.ranking.reciprocal_rank)),
            ),
            (
                "title_map",
                titles(whole_titles, &|t| t.ranking.average_precision),
            ),
        ];
        series
            .into_iter()
            .map(|(name, cases)| Series {
                name: name.to_owned(),
                cases,
            })
            .collect()
    }
}

impl QuestionResult {
    /// Two combinations may make the same words.
    fn case(&self) -> String {
        format!(
            "{}: {} / {}",
            self.form.name(),
            self.category.folded(),
            self.other.folded()
        )
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
        let mut supply = Self {
            counts: HashMap::new(),
            titles: HashMap::new(),
            pairs: HashMap::new(),
        };
        for product in offers.iter().map(|o| &o.product) {
            *supply
                .titles
                .entry(product.title.to_lowercase())
                .or_default() += 1;
            let category = product.attribute("category").map(str::to_lowercase);
            for (name, values) in &product.attributes {
                for value in values {
                    let key = (name.to_string(), value.folded());
                    supply
                        .counts
                        .entry(key)
                        .or_insert_with(|| (value.clone(), 0))
                        .1 += 1;
                    if let Some(category) = &category {
                        *supply
                            .pairs
                            .entry((category.clone(), name.to_string(), value.folded()))
                            .or_default() += 1;
                    }
                }
            }
        }
        supply
    }

    fn with(&self, attribute: &str, value: &AttributeValue) -> usize {
        self.counts
            .get(&(attribute.to_owned(), value.folded()))
            .map_or(0, |(_, n)| *n)
    }

    fn with_both(
        &self,
        category: &AttributeValue,
        attribute: &str,
        value: &AttributeValue,
    ) -> usize {
        self.pairs
            .get(&(category.folded(), attribute.to_owned(), value.folded()))
            .copied()
            .unwrap_or(0)
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
    among: &'a dyn Fn(&ProductId) -> bool,
    first: Option<EngineError>,
    failures: Vec<String>,
}

impl Run<'_> {
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

    fn question(&mut self, question: &Question, supply: &Supply) -> Option<QuestionResult> {
        let found = self.text(&question.text)?;
        let category = fits(&found, &attribute("category"), &question.category);
        let other = fits(
            &found,
            &attribute(question.form.attribute()),
            &question.other,
        );
        let both: Vec<bool> = category.iter().zip(&other).map(|(c, o)| *c && *o).collect();
        Some(QuestionResult {
            text: question.text.clone(),
            form: question.form,
            both: supply.with_both(
                &question.category,
                question.form.attribute(),
                &question.other,
            ),
            of_category: supply.with("category", &question.category),
            category: question.category.clone(),
            other: question.other.clone(),
            category_p10: precision_at(RESULTS, &category),
            both_p10: precision_at(RESULTS, &both),
            results: found.into_iter().map(|f| f.id).collect(),
        })
    }

    fn title(&mut self, offer: &Offer, supply: &Supply) -> Option<TitleResult> {
        let found = self.text(&offer.product.title)?;
        let relevance = same_title(offer, found.iter().map(|f| f.title.as_str()));
        let own = supply
            .titles
            .get(&offer.product.title.to_lowercase())
            .copied()
            .unwrap_or(0);
        // A service may find more of them than there are photos, by their words.
        let total = own.max(relevance.iter().filter(|r| **r).count());
        Some(TitleResult::of(offer, &relevance, total, false))
    }

    fn photo(&mut self, offer: &Offer, file: &Bytes, supply: &Supply) -> Option<PhotoResult> {
        let category = offer
            .product
            .attributes
            .get(&attribute("category"))?
            .first()?
            .clone();
        let found = self.search(&Ask::Photo(file), std::slice::from_ref(&offer.product.id))?;
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

/// The file of a photo that is one: what is none is the catalogue's fault and no model's or
/// service's.
fn readable(shop: &Shop, offer: &Offer) -> Result<Bytes, String> {
    let file = shop.photo(offer).map_err(|error| error.to_string())?;
    decode(&file, &ImageLimits::DEFAULT).map_err(|error| error.to_string())?;
    Ok(file)
}

fn fits(found: &[Found], name: &AttributeName, wanted: &AttributeValue) -> Vec<bool> {
    found
        .iter()
        .map(|f| carries(&f.attributes, name, wanted))
        .collect()
}

fn attribute(name: &'static str) -> AttributeName {
    AttributeName::new(name).expect("a name written in this file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Product;

    fn offer(id: &str, title: &str) -> Offer {
        Offer {
            product: Product::new(ProductId::new(id).expect("id"), title).expect("title"),
            image: None,
        }
    }

    #[test]
    fn a_title_is_found_by_any_product_of_equal_title() {
        let relevance = same_title(
            &offer("1", "Red Shoe"),
            ["red shoe", "blue shoe", "Red Shoe"].into_iter(),
        );
        assert_eq!(relevance, [true, false, true]);
        let title = TitleResult::of(&offer("1", "Red Shoe"), &relevance, 4, false);
        // One of four is enough to be found; the others count in nDCG.
        assert_eq!(
            (title.place, title.found_within(1), title.found_within(5)),
            (Some(1), 1.0, 1.0)
        );
        assert!(title.ranking.recall_at_10 < 1.0 && title.ranking.ndcg_at_10 < 1.0);
        let lost = TitleResult::of(&offer("1", "Red Shoe"), &[false, false], 1, false);
        assert_eq!((lost.place, lost.found_within(10)), (None, 0.0));
        let late = TitleResult::of(&offer("1", "Red Shoe"), &[false, false, true], 1, false);
        assert_eq!((late.found_within(1), late.found_within(5)), (0.0, 1.0));
    }

    #[test]
    fn every_figure_has_its_cases() {
        let mut result = CatalogResult::empty(Among::All, 3);
        let title = |id: &str, right: bool| TitleResult::of(&offer(id, "x"), &[right], 1, true);
        result.titles = vec![title("1", true), title("2", false)];
        result.colors = BTreeMap::from([
            ("Red".to_owned(), [1.0, 0.3]),
            ("Blue".to_owned(), [0.0, 0.1]),
        ]);
        let whole = result.titles.clone();
        let series = result.series(&whole);
        for figure in result.figures(&whole) {
            assert!(
                series
                    .iter()
                    .any(|s| s.name == figure.name && s.cases.len() == figure.estimate.n),
                "{figure:?}"
            );
        }
        let map = series
            .iter()
            .find(|s| s.name == "title_map")
            .expect("a folder's");
        assert_eq!(map.cases, [("1".to_owned(), 1.0), ("2".to_owned(), 0.0)]);
    }
}
