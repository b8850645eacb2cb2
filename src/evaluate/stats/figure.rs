//! Named figures. Every benchmark gives its result in this form, so that gates, tables and paired
//! tests need to know no benchmark.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::bootstrap::{self, Estimate, Paired};

/// Seed of all intervals and tests.
pub const SEED: u64 = 20_260_829;

/// A named figure in 0..=1 with its interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// A figure case by case: the mean of it is a [`Figure`], and two of the same name make a paired
/// test.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    /// What names the case (a question, a product, an image), and what it is worth.
    pub cases: Vec<(String, f64)>,
}

impl Series {
    /// The mean with its interval; `None` of no cases.
    #[must_use]
    pub fn mean(&self) -> Option<Figure> {
        let values: Vec<f64> = self.cases.iter().map(|(_, value)| *value).collect();
        Some(Figure {
            name: self.name.clone(),
            estimate: bootstrap::mean_estimate(&values, SEED)?,
        })
    }

    /// Compares another model's series (`base`) with this one over the cases that both have: one of
    /// them may have failed where the other did not. `None` where they have none in common.
    #[must_use]
    pub fn paired(&self, base: &Self) -> Option<Paired> {
        let theirs: HashMap<&str, f64> = base
            .cases
            .iter()
            .map(|(case, value)| (case.as_str(), *value))
            .collect();
        let both = self
            .cases
            .iter()
            .filter_map(|(case, value)| Some((*theirs.get(case.as_str())?, *value)));
        let (first, second): (Vec<f64>, Vec<f64>) = both.unzip();
        bootstrap::paired(&first, &second, SEED)
    }
}

/// A share as people read it: `34.2%`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_pair_by_their_cases() {
        let series = |cases: &[(&str, f64)]| Series {
            name: "p10".to_owned(),
            cases: cases
                .iter()
                .map(|(case, value)| ((*case).to_owned(), *value))
                .collect(),
        };
        let base = series(&[("red shoes", 0.5), ("black shoes", 0.2), ("boots", 0.1)]);
        // The first question failed, so that the places of the others have moved.
        let ours = series(&[("boots", 0.1), ("black shoes", 0.4), ("sandals", 1.0)]);
        let test = ours.paired(&base).expect("two in common");
        assert_eq!((test.better, test.equal, test.worse), (1, 1, 0));
        assert!((test.difference.value - 0.1).abs() < 1e-12);
        assert!(ours.paired(&series(&[("belts", 1.0)])).is_none() && series(&[]).mean().is_none());
    }
}
