//! The rule that chooses a model, and the choice.
//!
//! **The rule** ([`Rule`]): among the models whose guarded figures are at most `tolerance` below the
//! base's (the first model), the one with the largest weighted sum of figures; of equals, the
//! first. By default the sum is scoring (c) of the suite plus the pretest's macro F1, and every
//! macro F1 of a labeled set is guarded, with a tolerance of one point. A figure of the rule that
//! was not measured, and whatever else makes the choice doubtful, is among the reasons.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::evaluate::benchmark::document::{Document, Outcome};
use crate::evaluate::benchmark::part_names::{PRETEST, RETRIEVAL};
use crate::evaluate::stats::figure::percent;

/// Which model is the best. In a recipe: the table `[compare]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Figure -> weight in the sum.
    pub weights: BTreeMap<String, f64>,
    /// Figures that must not fall below the base's.
    pub guards: Vec<String>,
    /// By how much they may fall.
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

impl Default for Rule {
    fn default() -> Self {
        let weights = [
            (format!("{RETRIEVAL}.c"), 1.0),
            (format!("{PRETEST}.macro_f1"), 1.0),
        ];
        Self {
            weights: weights.into(),
            guards: Vec::new(),
            tolerance: 0.01,
        }
    }
}

impl Comparison {
    /// Chooses among the models; the first is the base. Figures of the rule that no model has are
    /// left out of it.
    #[must_use]
    pub fn new(models: Vec<(String, Document)>, rule: &Rule) -> Self {
        let mut rule = rule.clone();
        let mut why = rule.fit(&models);
        why.extend(doubts(&models));
        let sums: Vec<Option<f64>> = models
            .iter()
            .map(|(_, document)| rule.sum(document))
            .collect();
        let base = models.first().map(|(_, document)| document);
        let mut best: Option<(usize, f64)> = None;
        for (position, (name, document)) in models.iter().enumerate() {
            let lost = base
                .map(|base| rule.lost(document, base))
                .unwrap_or_default();
            if !lost.is_empty() {
                why.push(format!("{name} is out: {}", lost.join(", ")));
                continue;
            }
            match sums[position] {
                None if rule.weights.is_empty() => {}
                None => why.push(format!("{name} is out: a figure of the rule is missing")),
                Some(sum) if best.is_none_or(|(_, most)| sum > most) => {
                    best = Some((position, sum))
                }
                Some(_) => {}
            }
        }
        if let Some((position, sum)) = best {
            let terms: Vec<String> = rule
                .weights
                .iter()
                .map(|(figure, weight)| format!("{weight} x {figure}"))
                .collect();
            why.push(format!(
                "{} has the largest {}: {sum:.4}",
                models[position].0,
                terms.join(" + ")
            ));
        }
        Self {
            models,
            rule,
            sums,
            best: best.map(|(position, _)| position),
            why,
        }
    }
}

/// Warnings of the suite's part, each once, and questions that a model did not answer.
fn doubts(models: &[(String, Document)]) -> Vec<String> {
    let mut doubts: Vec<String> = Vec::new();
    for (name, document) in models {
        for part in &document.parts {
            if let Outcome::Retrieval(result) = &part.outcome {
                doubts.extend(
                    result
                        .warnings
                        .iter()
                        .map(|warning| format!("{}: {warning}", part.title)),
                );
            }
            let failures = part.outcome.failures();
            if failures > 0 {
                doubts.push(format!(
                    "{name}: {failures} questions were not answered ({})",
                    part.title
                ));
            }
        }
    }
    let mut seen = BTreeSet::new();
    doubts.retain(|doubt| seen.insert(doubt.clone()));
    doubts
}

impl Rule {
    /// Leaves out what was not measured, and says so; guards every labeled set where no guard is
    /// named.
    fn fit(&mut self, models: &[(String, Document)]) -> Vec<String> {
        let known = |figure: &String| {
            models
                .iter()
                .any(|(_, document)| document.figure(figure).is_some())
        };
        let missing = self.weights.keys().filter(|figure| !known(figure));
        let mut why: Vec<String> = missing
            .map(|f| format!("{f} was not measured and does not count"))
            .collect();
        self.weights.retain(|figure, _| known(figure));
        let missing = self.guards.iter().filter(|figure| !known(figure));
        why.extend(
            missing.map(|figure| format!("WARNING: {figure} was not measured: it guards nothing")),
        );
        if self.guards.is_empty() {
            let labeled = |name: &str| {
                name.ends_with(".macro_f1") && !name.starts_with(&format!("{PRETEST}."))
            };
            let names = models
                .first()
                .map(|(_, document)| document.figures.iter().map(|f| f.name.clone()));
            self.guards = names
                .into_iter()
                .flatten()
                .filter(|name| labeled(name))
                .collect();
        }
        self.guards.retain(known);
        if self.guards.is_empty() {
            why.push(
                "WARNING: nothing is guarded against what a model forgets: no labeled set was measured".to_owned(),
            );
        }
        if self.weights.is_empty() {
            why.push("nothing that the rule weighs was measured: there is no best".to_owned());
        }
        why
    }

    fn sum(&self, document: &Document) -> Option<f64> {
        let terms = self
            .weights
            .iter()
            .map(|(figure, weight)| Some(weight * document.figure(figure)?.value));
        terms
            .collect::<Option<Vec<f64>>>()
            .filter(|t| !t.is_empty())
            .map(|t| t.iter().sum())
    }

    /// What of the base's abilities is lost, in words.
    fn lost(&self, document: &Document, base: &Document) -> Vec<String> {
        let lost = |figure: &String| {
            let before = base.figure(figure)?.value;
            let Some(own) = document.figure(figure).map(|e| e.value) else {
                return Some(format!("{figure} was not measured"));
            };
            // Exactly one point below is still within one point, whatever the rounding.
            (own < before - self.tolerance - 1e-9)
                .then(|| format!("{figure} fell from {} to {}", percent(before), percent(own)))
        };
        self.guards.iter().filter_map(lost).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::fixtures;
    use crate::evaluate::report::tables;
    use crate::evaluate::stats::bootstrap::{Estimate, Interval};
    use crate::evaluate::stats::figure::Figure;

    fn document(name: &str, figures: &[(&str, f64)]) -> (String, Document) {
        let interval = Interval {
            low: 0.0,
            high: 1.0,
        };
        let figure = |(name, value): &(&str, f64)| Figure {
            name: (*name).to_owned(),
            estimate: Estimate {
                value: *value,
                interval,
                n: 9,
            },
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
        assert!(comparison.why.iter().any(|w| {
            w.contains("epoch-2 is out: fashion_mnist.macro_f1 fell from 50.0% to 48.0%")
        }));
        let table = tables::comparison(&comparison).plain();
        assert!(
            table.contains("* epoch-1") && table.contains("0.8000"),
            "{table}"
        );
        // A wider tolerance, or other weights, choose another.
        let tolerant = Rule {
            tolerance: 0.05,
            ..Rule::default()
        };
        assert_eq!(Comparison::new(models.clone(), &tolerant).best, Some(2));
        let only_c: Rule =
            toml::from_str("tolerance = 0.01\n[weights]\n\"retrieval.c\" = 1.0\n").expect("a rule");
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
    fn a_guard_that_was_not_measured_is_named() {
        let models = vec![
            document("a", &[(C, 0.2), (FMNIST, 0.5)]),
            document("b", &[(C, 0.3), (FMNIST, 0.1)]),
        ];
        let misspelt = Rule {
            guards: vec!["fashon_mnist.macro_f1".to_owned()],
            ..Rule::default()
        };
        let comparison = Comparison::new(models.clone(), &misspelt);
        let said = |what: &str| comparison.why.iter().any(|w| w.contains(what));
        assert!(
            said("fashon_mnist.macro_f1 was not measured: it guards nothing"),
            "{:?}",
            comparison.why
        );
        assert!(
            said("nothing is guarded") && comparison.best == Some(1),
            "{:?}",
            comparison.why
        );
        assert!(!tables::comparison(&comparison).plain().contains("fashon"));
        let right = Rule {
            guards: vec![FMNIST.to_owned()],
            ..Rule::default()
        };
        let comparison = Comparison::new(models, &right);
        assert!(
            comparison.best == Some(0) && !comparison.why.iter().any(|w| w.contains("guard")),
            "{:?}",
            comparison.why
        );
        // A model that was not asked is not trusted.
        let models = vec![
            document("a", &[(C, 0.2), (FMNIST, 0.5)]),
            document("b", &[(C, 0.3)]),
        ];
        let comparison = Comparison::new(models, &right);
        assert!(
            comparison
                .why
                .iter()
                .any(|w| w.contains("b is out: fashion_mnist.macro_f1 was not measured"))
        );
    }

    #[test]
    fn what_went_wrong_stands_among_the_reasons() {
        let model = |name: &str| (name.to_owned(), fixtures::document());
        let why = Comparison::new(vec![model("a"), model("b")], &Rule::default()).why;
        let count = |what: &str| why.iter().filter(|w| w.contains(what)).count();
        assert_eq!(
            (
                count("other products"),
                count("1 questions were not answered")
            ),
            (1, 2),
            "{why:?}"
        );
    }

    #[test]
    fn nothing_measured_is_no_winner() {
        let comparison = Comparison::new(vec![document("a", &[(FMNIST, 0.5)])], &Rule::default());
        assert_eq!(comparison.best, None);
        assert!(
            comparison
                .why
                .last()
                .expect("a reason")
                .contains("there is no best"),
            "{:?}",
            comparison.why
        );
        assert_eq!(Comparison::new(Vec::new(), &Rule::default()).best, None);
    }
}
