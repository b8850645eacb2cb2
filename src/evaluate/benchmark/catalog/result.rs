//! What came of each question, and the benchmark's figures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::options::Among;
use crate::domain::{AttributeValue, Product, ProductId};
use crate::evaluate::data::questions::Form;
use crate::evaluate::stats::figure::{Figure, Series};
use crate::evaluate::stats::metrics::Ranking;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CatalogResult {
    pub among: Among,
    /// Products that could answer: those with a picture.
    pub products: usize,
    pub questions: Vec<QuestionResult>,
    pub photos: Vec<PhotoResult>,
    pub titles: Vec<TitleResult>,
    /// Precision@1 and @10 of each category's and each color's name.
    pub categories: BTreeMap<String, [f64; 2]>,
    pub colors: BTreeMap<String, [f64; 2]>,
    /// Products whose photo could not be asked with because it cannot be read, with the reason.
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

impl TitleResult {
    pub(super) fn of(product: &Product, relevance: &[bool], total: usize, complete: bool) -> Self {
        Self {
            product: product.id.clone(),
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
    pub(super) fn empty(among: Among, products: usize) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn product(id: &str) -> Product {
        Product::new(ProductId::new(id).expect("id"), "Red Shoe").expect("title")
    }

    #[test]
    fn one_product_of_equal_title_is_enough_to_be_found() {
        let title = TitleResult::of(&product("1"), &[true, false, true], 4, false);
        // The others of the four count in nDCG.
        assert_eq!(
            (title.place, title.found_within(1), title.found_within(5)),
            (Some(1), 1.0, 1.0)
        );
        assert!(title.ranking.recall_at_10 < 1.0 && title.ranking.ndcg_at_10 < 1.0);
        let lost = TitleResult::of(&product("1"), &[false, false], 1, false);
        assert_eq!((lost.place, lost.found_within(10)), (None, 0.0));
        let late = TitleResult::of(&product("1"), &[false, false, true], 1, false);
        assert_eq!((late.found_within(1), late.found_within(5)), (0.0, 1.0));
    }

    #[test]
    fn every_figure_has_its_cases() {
        let mut result = CatalogResult::empty(Among::All, 3);
        let title = |id: &str, right: bool| TitleResult::of(&product(id), &[right], 1, true);
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
