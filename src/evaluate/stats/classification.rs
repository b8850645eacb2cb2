//! The classification report: precision, recall and F1 per class, their averages, and the confusion
//! matrix.
//!
//! Figures and text equal those of scikit-learn's `classification_report` (checked against version
//! 1.9.1). A quotient whose denominator is zero (a class that is never predicted has no precision,
//! one that never occurs no recall) takes the value of [`ZeroDivision`]; F1 is `2 tp / (true +
//! predicted)`, undefined only for a class that neither occurs nor is predicted. Averages leave
//! undefined values out.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::metrics::{as_f64, order, place_of, rank_points, ratio};

/// What a quotient with denominator zero is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroDivision {
    #[default]
    Zero,
    One,
    /// NaN: left out of the averages.
    Undefined,
}

/// Which classes the report has a row for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// Those that occur or are predicted (scikit-learn without `labels`).
    #[default]
    Present,
    /// All that were named (scikit-learn with `labels`).
    All,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("there is no labeled image to report on")]
    Empty,
    #[error("{truth} true labels and {predicted} predictions do not pair up")]
    Lengths { truth: usize, predicted: usize },
    #[error("class number {class} is beyond the {classes} classes")]
    Class { class: usize, classes: usize },
}

/// Precision, recall and F1 in 0..=1 (NaN where undefined and [`ZeroDivision::Undefined`]; `null`
/// in JSON).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    #[serde(deserialize_with = "null_as_nan")]
    pub precision: f64,
    #[serde(deserialize_with = "null_as_nan")]
    pub recall: f64,
    #[serde(deserialize_with = "null_as_nan")]
    pub f1: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassRow {
    pub name: String,
    #[serde(flatten)]
    pub scores: Scores,
    /// How many images are truly of this class.
    pub support: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub classes: Vec<ClassRow>,
    pub accuracy: f64,
    pub macro_average: Scores,
    /// Weighted by support.
    pub weighted_average: Scores,
    pub support: usize,
    /// `confusion[true][predicted]`, in the order of `classes`.
    pub confusion: Vec<Vec<usize>>,
}

impl Report {
    /// `truth` and `predicted` are class numbers, positions in `names`.
    ///
    /// # Errors
    /// When there is nothing to report on, the lengths differ, or a number is not a position in
    /// `names`.
    pub fn new(
        truth: &[usize],
        predicted: &[usize],
        names: &[String],
        rows: Rows,
        zero: ZeroDivision,
    ) -> Result<Self, ReportError> {
        if truth.len() != predicted.len() {
            return Err(ReportError::Lengths {
                truth: truth.len(),
                predicted: predicted.len(),
            });
        }
        if truth.is_empty() {
            return Err(ReportError::Empty);
        }
        if let Some(&class) = truth.iter().chain(predicted).find(|c| **c >= names.len()) {
            return Err(ReportError::Class {
                class,
                classes: names.len(),
            });
        }
        let mut all = vec![vec![0; names.len()]; names.len()];
        for (&t, &p) in truth.iter().zip(predicted) {
            all[t][p] += 1;
        }
        let occurs = |c: usize| {
            all[c].iter().sum::<usize>() + all.iter().map(|row| row[c]).sum::<usize>() > 0
        };
        let kept: Vec<usize> = (0..names.len())
            .filter(|c| rows == Rows::All || occurs(*c))
            .collect();
        let confusion = kept
            .iter()
            .map(|&t| kept.iter().map(|&p| all[t][p]).collect())
            .collect();
        Ok(Self::from_confusion(
            confusion,
            kept.iter().map(|&c| names[c].clone()).collect(),
            zero,
        ))
    }

    fn from_confusion(confusion: Vec<Vec<usize>>, names: Vec<String>, zero: ZeroDivision) -> Self {
        let classes: Vec<ClassRow> = names
            .into_iter()
            .enumerate()
            .map(|(c, name)| {
                let right = confusion[c][c];
                let support = confusion[c].iter().sum();
                let predicted = confusion.iter().map(|row| row[c]).sum();
                let scores = Scores {
                    precision: quotient(right, predicted, zero),
                    recall: quotient(right, support, zero),
                    f1: quotient(2 * right, support + predicted, zero),
                };
                ClassRow {
                    name,
                    scores,
                    support,
                }
            })
            .collect();
        let support = classes.iter().map(|c| c.support).sum();
        let right: usize = (0..classes.len()).map(|c| confusion[c][c]).sum();
        let averaged = |weight: fn(&ClassRow) -> f64| Scores {
            precision: average(classes.iter().map(|c| (c.scores.precision, weight(c)))),
            recall: average(classes.iter().map(|c| (c.scores.recall, weight(c)))),
            f1: average(classes.iter().map(|c| (c.scores.f1, weight(c)))),
        };
        Self {
            accuracy: ratio(right, support),
            macro_average: averaged(|_| 1.0),
            weighted_average: averaged(|c| as_f64(c.support)),
            classes,
            support,
            confusion,
        }
    }

    /// The table as scikit-learn prints it, with so many decimals (2 there by default).
    #[must_use]
    pub fn text(&self, digits: usize) -> String {
        let longest = self
            .classes
            .iter()
            .map(|c| c.name.chars().count())
            .max()
            .unwrap_or(0);
        let width = longest.max("weighted avg".len()).max(digits);
        let mut out = format!("{:>width$} ", "");
        for head in ["precision", "recall", "f1-score", "support"] {
            let _ = write!(out, " {head:>9}");
        }
        out.push_str("\n\n");
        let row = |out: &mut String, name: &str, s: Scores, support: usize| {
            let [p, r, f] = [s.precision, s.recall, s.f1].map(|v| decimal(v, digits));
            let _ = writeln!(out, "{name:>width$}  {p:>9} {r:>9} {f:>9} {support:>9}");
        };
        for class in &self.classes {
            row(&mut out, &class.name, class.scores, class.support);
        }
        let accuracy = decimal(self.accuracy, digits);
        let _ = writeln!(
            out,
            "\n{:>width$}  {:>9} {:>9} {accuracy:>9} {:>9}",
            "accuracy", "", "", self.support
        );
        row(&mut out, "macro avg", self.macro_average, self.support);
        row(
            &mut out,
            "weighted avg",
            self.weighted_average,
            self.support,
        );
        out
    }
}

/// Macro and weighted average of F1 alone, out of (truth, predicted), as a [`Report`] of
/// [`Rows::Present`] and [`ZeroDivision::Zero`] has them: resampling asks for them thousands of
/// times. `None` without images.
pub fn f1_averages(
    pairs: impl Iterator<Item = (usize, usize)>,
    classes: usize,
) -> Option<[f64; 2]> {
    // Of each class: right, true, predicted.
    let mut counts = vec![[0_usize; 3]; classes];
    for (truth, predicted) in pairs {
        counts[truth][0] += usize::from(truth == predicted);
        counts[truth][1] += 1;
        counts[predicted][2] += 1;
    }
    let present = counts
        .iter()
        .filter(|[_, truth, predicted]| truth + predicted > 0);
    let scored: Vec<(f64, f64)> = present
        .map(|[right, truth, predicted]| (ratio(2 * right, truth + predicted), as_f64(*truth)))
        .collect();
    (!scored.is_empty()).then(|| {
        let plain = scored.iter().map(|(f1, _)| (*f1, 1.0));
        [average(plain), average(scored.iter().copied())]
    })
}

/// How the classes were ranked for every image, beyond the first place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopK {
    pub images: usize,
    /// Share of the images whose class has the highest score.
    pub top_1: f64,
    /// Share of the images whose class is among the five highest.
    pub top_5: f64,
    /// 5 points where the right class comes first, down to 1 where it comes fifth.
    pub rank_score: u32,
    /// 5 points an image.
    pub rank_score_max: u32,
}

/// An image's place for its true class (from 0) and the class that scored highest, out of the score
/// of every class.
#[must_use]
pub fn judge(scores: &[f32], truth: usize) -> (usize, usize) {
    let best = order(scores).first().copied().unwrap_or(0);
    (place_of(scores, truth), best)
}

impl TopK {
    /// Out of the place of the true class of every image.
    #[must_use]
    pub fn of(places: &[usize]) -> Self {
        let within = |k: usize| ratio(places.iter().filter(|p| **p < k).count(), places.len());
        Self {
            images: places.len(),
            top_1: within(1),
            top_5: within(5),
            rank_score: places.iter().map(|p| rank_points(*p)).sum(),
            rank_score_max: u32::try_from(places.len() * 5).unwrap_or(u32::MAX),
        }
    }
}

fn quotient(part: usize, whole: usize, zero: ZeroDivision) -> f64 {
    match (whole, zero) {
        (0, ZeroDivision::Zero) => 0.0,
        (0, ZeroDivision::One) => 1.0,
        (0, ZeroDivision::Undefined) => f64::NAN,
        _ => ratio(part, whole),
    }
}

/// The weighted mean of the values that are defined; their plain mean when all weights are 0; NaN
/// without values.
fn average(values: impl Iterator<Item = (f64, f64)>) -> f64 {
    let defined: Vec<(f64, f64)> = values.filter(|(v, _)| !v.is_nan()).collect();
    let weights: f64 = defined.iter().map(|(_, w)| w).sum();
    if weights > 0.0 {
        defined.iter().map(|(v, w)| v * w).sum::<f64>() / weights
    } else if defined.is_empty() {
        f64::NAN
    } else {
        defined.iter().map(|(v, _)| v).sum::<f64>() / as_f64(defined.len())
    }
}

/// As Python prints it.
fn decimal(value: f64, digits: usize) -> String {
    if value.is_nan() {
        "nan".to_owned()
    } else {
        format!("{value:.digits$}")
    }
}

fn null_as_nan<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn pairs(value: &Value) -> (Vec<usize>, Vec<usize>) {
        let number = |v: &Value| usize::try_from(v.as_u64().expect("number")).expect("small");
        let runs = value.as_array().expect("runs").iter();
        runs.flat_map(|r| std::iter::repeat_n((number(&r[0]), number(&r[1])), number(&r[2])))
            .unzip()
    }

    /// Where not one prediction is right, scikit-learn counts in floats and prints the support as
    /// `1.0`: we print a whole number.
    fn whole_support(text: &Value) -> String {
        let line = |l: &str| l.strip_suffix(".0").map_or(l.to_owned(), whole);
        text.as_str()
            .expect("text")
            .split('\n')
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn whole(head: &str) -> String {
        let (before, number) = head.rsplit_once(' ').expect("columns");
        format!("{before}   {number}")
    }

    fn same(ours: f64, theirs: &Value) -> bool {
        theirs
            .as_f64()
            .map_or(ours.is_nan(), |t| (ours - t).abs() < 1e-12)
    }

    #[test]
    fn equal_to_scikit_learn() {
        let recorded: Value =
            serde_json::from_str(include_str!("../../../tests/reference/classification.json"))
                .expect("recorded JSON");
        let names: Vec<String> = serde_json::from_value(recorded["names"].clone()).expect("names");
        let cases = recorded["cases"].as_array().expect("cases");
        assert_eq!(cases.len(), 48);
        for case in cases {
            let (truth, predicted) = pairs(&case["pairs"]);
            let rows = if case["labels"] == "all" {
                Rows::All
            } else {
                Rows::Present
            };
            let zero = match case["zero_division"].as_f64() {
                None => ZeroDivision::Undefined,
                Some(v) if v > 0.5 => ZeroDivision::One,
                Some(_) => ZeroDivision::Zero,
            };
            let what = format!("{} {rows:?} {zero:?}", case["what"]);
            let report = Report::new(&truth, &predicted, &names, rows, zero).expect("valid");
            assert_eq!(report.text(2), whole_support(&case["text"]), "{what}");
            assert_eq!(report.text(4), whole_support(&case["text4"]), "{what}");
            assert_eq!(
                serde_json::to_value(&report.confusion).expect("JSON"),
                case["confusion"],
                "{what}"
            );
            let table = &case["table"];
            assert!(same(report.accuracy, &table["accuracy"]), "{what}");
            let averages = [
                ("macro avg", report.macro_average),
                ("weighted avg", report.weighted_average),
            ];
            let classes = report.classes.iter().map(|c| (c.name.as_str(), c.scores));
            for (name, s) in classes.chain(averages) {
                let row = &table[name];
                for (ours, theirs) in [
                    (s.precision, "precision"),
                    (s.recall, "recall"),
                    (s.f1, "f1-score"),
                ] {
                    assert!(
                        same(ours, &row[theirs]),
                        "{what}: {name} {theirs} is {ours}, not {}",
                        row[theirs]
                    );
                }
            }
        }
    }

    #[test]
    fn undefined_values_survive_json() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let report = Report::new(&[0, 1], &[0, 0], &names, Rows::All, ZeroDivision::Undefined)
            .expect("valid");
        let text = serde_json::to_string(&report).expect("JSON");
        let again: Report = serde_json::from_str(&text).expect("JSON");
        assert!(again.classes[2].scores.recall.is_nan());
        assert_eq!(again.confusion, report.confusion);
    }

    #[test]
    fn refuses_what_is_no_report() {
        let names = vec!["a".to_owned()];
        let report =
            |t: &[usize], p: &[usize]| Report::new(t, p, &names, Rows::Present, ZeroDivision::Zero);
        assert_eq!(report(&[], &[]), Err(ReportError::Empty));
        assert_eq!(
            report(&[0], &[]),
            Err(ReportError::Lengths {
                truth: 1,
                predicted: 0
            })
        );
        assert_eq!(
            report(&[0], &[1]),
            Err(ReportError::Class {
                class: 1,
                classes: 1
            })
        );
    }

    #[test]
    fn ties_go_to_the_class_named_first() {
        assert_eq!(judge(&[0.4, 0.4, 0.1], 1), (1, 0));
        assert_eq!(judge(&[0.4, 0.4, 0.1], 0), (0, 0));
    }

    #[test]
    fn top_five_and_rank_score() {
        let t = TopK::of(&[0, 0, 1, 4, 5, 9]);
        assert!((t.top_1 - 2.0 / 6.0).abs() < 1e-12 && (t.top_5 - 4.0 / 6.0).abs() < 1e-12);
        assert_eq!((t.rank_score, t.rank_score_max), (5 + 5 + 4 + 1, 30));
        assert_eq!(TopK::of(&[0; 1_465]).rank_score_max, 7_325);
    }

    proptest! {
        #[test]
        fn averages_and_margins_agree(pairs in proptest::collection::vec((0_usize..6, 0_usize..6), 1..80)) {
            let names: Vec<String> = (0..6).map(|i| format!("class {i}")).collect();
            let (t, p): (Vec<usize>, Vec<usize>) = pairs.into_iter().unzip();
            let report = Report::new(&t, &p, &names, Rows::Present, ZeroDivision::Zero).expect("valid");
            let [plain, weighted] = f1_averages(t.iter().copied().zip(p.iter().copied()), 6).expect("images");
            prop_assert!((plain - report.macro_average.f1).abs() < 1e-12);
            prop_assert!((weighted - report.weighted_average.f1).abs() < 1e-12);
            // Weighted recall is accuracy; the matrix holds every image once.
            prop_assert!((report.weighted_average.recall - report.accuracy).abs() < 1e-12);
            prop_assert_eq!(report.confusion.iter().flatten().sum::<usize>(), t.len());
            for c in &report.classes {
                let (p, r, f) = (c.scores.precision, c.scores.recall, c.scores.f1);
                let harmonic = if p + r > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 };
                prop_assert!((f - harmonic).abs() < 1e-12);
            }
        }
    }
}
