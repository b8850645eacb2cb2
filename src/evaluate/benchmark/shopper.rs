//! What shoppers type, asked of a service or a model folder: the share of right products in the
//! first ten, by kind of query.
//!
//! A query's score is (right products among the first ten) / min(10, right products there are). The
//! headline figure is the mean of the kinds' means, so that a kind with many queries counts as much
//! as one with few.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ProductId;
use crate::evaluate::data::shopper::{ShopperQueries, ShopperQuery};
use crate::evaluate::stats::bootstrap::{Estimate, Interval};
use crate::evaluate::stats::figure::{Figure, Series};
use crate::evaluate::subject::{Ask, Engine, EngineError, Need};

const RESULTS: usize = 10;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShopperResult {
    pub queries: Vec<QueryResult>,
    /// Queries that were not answered, with the reason.
    pub failures: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueryResult {
    pub text: String,
    pub kind: String,
    /// 0 to 1.
    pub score: f64,
    pub first_right: bool,
    pub results: Vec<ProductId>,
}

impl QueryResult {
    fn first(&self) -> f64 {
        if self.first_right { 1.0 } else { 0.0 }
    }
}

/// Asks every query; `done` is called with the number of those that are answered.
///
/// # Errors
/// None of the queries could be answered: the first failure.
pub fn run(
    engine: &mut dyn Engine,
    queries: &ShopperQueries,
    mut done: impl FnMut(usize),
) -> Result<ShopperResult, EngineError> {
    let mut result = ShopperResult {
        queries: Vec::new(),
        failures: Vec::new(),
    };
    let mut first_failure = None;
    for (number, query) in queries.queries.iter().enumerate() {
        match ask(engine, query) {
            Ok(answered) => result.queries.push(answered),
            Err(error) => {
                result.failures.push(format!("{}: {error}", query.text));
                first_failure.get_or_insert(error);
            }
        }
        done(number + 1);
    }
    match first_failure {
        Some(error) if result.queries.is_empty() => Err(error),
        _ => Ok(result),
    }
}

fn ask(engine: &mut dyn Engine, query: &ShopperQuery) -> Result<QueryResult, EngineError> {
    let need = Need {
        results: RESULTS,
        exclude: &[],
        filters: &[],
        among: &|_| true,
    };
    let found = engine.search(&Ask::Text(&query.text), &need)?;
    let right: Vec<bool> = found
        .iter()
        .map(|product| query.is_right(product))
        .collect();
    let most = query.relevant.unwrap_or(RESULTS).min(RESULTS);
    Ok(QueryResult {
        text: query.text.clone(),
        kind: query.kind.clone(),
        score: share(right.iter().filter(|right| **right).count(), most),
        first_right: right.first() == Some(&true),
        results: found.into_iter().map(|product| product.id).collect(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "ten at most")]
fn share(right: usize, most: usize) -> f64 {
    // More may be right than were counted: the catalog has grown.
    (right as f64 / most.max(1) as f64).min(1.0)
}

impl ShopperResult {
    /// The mean of the kinds, the headline figure; `None` where no query was answered.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        let kinds: Vec<Figure> = self.kinds().iter().filter_map(Series::mean).collect();
        mean_of(&kinds).map(|figure| figure.estimate.value)
    }

    /// The mean of the kinds, the share of queries whose first product is right, and both by kind.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let kinds: Vec<Figure> = self.kinds().iter().filter_map(Series::mean).collect();
        let first = self.first();
        let mut figures: Vec<Figure> = mean_of(&kinds).into_iter().collect();
        figures.extend(first.mean());
        figures.extend(kinds);
        figures.extend(self.firsts().iter().filter_map(Series::mean));
        figures
    }

    /// The figures query by query.
    #[must_use]
    pub fn series(&self) -> Vec<Series> {
        let all = self.queries.iter().map(|q| (q.text.clone(), q.score));
        let all = Series {
            name: "shopper_p10".to_owned(),
            cases: all.collect(),
        };
        [all, self.first()]
            .into_iter()
            .chain(self.kinds())
            .chain(self.firsts())
            .collect()
    }

    fn first(&self) -> Series {
        let first = |query: &QueryResult| (query.text.clone(), query.first());
        Series {
            name: "shopper_first".to_owned(),
            cases: self.queries.iter().map(first).collect(),
        }
    }

    fn kinds(&self) -> Vec<Series> {
        self.by_kind("shopper", |query| query.score)
    }

    fn firsts(&self) -> Vec<Series> {
        self.by_kind("shopper_first", QueryResult::first)
    }

    fn by_kind(&self, name: &str, value: impl Fn(&QueryResult) -> f64) -> Vec<Series> {
        let mut kinds: BTreeMap<&str, Vec<(String, f64)>> = BTreeMap::new();
        for query in &self.queries {
            let of_kind = kinds.entry(&query.kind).or_default();
            of_kind.push((query.text.clone(), value(query)));
        }
        let series = kinds.into_iter().map(|(kind, cases)| Series {
            name: format!("{name}.{}", plain(kind)),
            cases,
        });
        series.collect()
    }
}

/// The mean of several figures, whose interval is that of independent means.
fn mean_of(kinds: &[Figure]) -> Option<Figure> {
    if kinds.is_empty() {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let number = kinds.len() as f64;
    let mean = |of: fn(&Estimate) -> f64| {
        kinds.iter().map(|kind| of(&kind.estimate)).sum::<f64>() / number
    };
    let value = mean(|estimate| estimate.value);
    // The halves of independent intervals add up by their squares.
    let half = |of: fn(&Estimate) -> f64| {
        let squares = kinds.iter().map(|kind| of(&kind.estimate).powi(2));
        squares.sum::<f64>().sqrt() / number
    };
    Some(Figure {
        name: "shopper".to_owned(),
        estimate: Estimate {
            value,
            interval: Interval {
                low: value - half(|estimate| estimate.value - estimate.interval.low),
                high: value + half(|estimate| estimate.interval.high - estimate.value),
            },
            n: kinds.iter().map(|kind| kind.estimate.n).sum(),
        },
    })
}

/// As a figure's name has it.
fn plain(kind: &str) -> String {
    let word = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    kind.chars().map(word).collect()
}
