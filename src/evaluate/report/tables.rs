//! The tables and sentences that several reports show.

use super::table::Table;
use crate::evaluate::benchmark::compare::Comparison;
use crate::evaluate::benchmark::gate::GateResult;
use crate::evaluate::benchmark::retrieval::{Group, RetrievalResult};
use crate::evaluate::data::suite::{Case, QueryKind};
use crate::evaluate::stats::bootstrap::{Estimate, Paired};
use crate::evaluate::stats::figure::{Figure, percent};
use crate::evaluate::stats::scoring::{Level, Points};
use crate::evaluate::subject::Subject;

/// `34.2% [30.1, 38.0]`
#[must_use]
pub fn with_interval(e: &Estimate) -> String {
    format!(
        "{} [{:.1}, {:.1}]",
        percent(e.value),
        e.interval.low * 100.0,
        e.interval.high * 100.0
    )
}

/// That the products' words are part of what is searched, where they are: pictures alone would
/// answer otherwise.
#[must_use]
pub fn words_line(subject: &Subject) -> Option<String> {
    let percent = subject.words_percent.filter(|percent| *percent > 0)?;
    Some(format!(
        "words make up {percent}% of each product's vector, the photo the rest"
    ))
}

/// Figures with their intervals.
#[must_use]
pub fn figures(figures: &[Figure]) -> Table {
    let mut table = Table::new(&["figure", "value", "95% interval", "n"]);
    for Figure { name, estimate: e } in figures {
        let interval = format!(
            "[{:.1}, {:.1}]",
            e.interval.low * 100.0,
            e.interval.high * 100.0
        );
        table.push([name.clone(), percent(e.value), interval, e.n.to_string()]);
    }
    table
}

/// The suite's table: a row a group, for each scoring points of the nominal maximum, its share, and
/// (with `attainable`) the share of what the catalog allows.
#[must_use]
pub fn groups(result: &RetrievalResult, attainable: bool) -> Table {
    let mut heading = vec!["cases".to_owned(), "n".to_owned()];
    for letter in Points::NAMES {
        heading.extend([format!("({letter})"), "of max".to_owned()]);
        heading.extend(attainable.then(|| "of attainable".to_owned()));
    }
    let share = |e: Option<Estimate>| e.map_or("-".to_owned(), |e| percent(e.value));
    let mut table = Table {
        heading,
        rows: Vec::new(),
    };
    for group in result.groups() {
        let mut row = vec![label(&group), group.cases.to_string()];
        for i in 0..4 {
            row.push(format!(
                "{}/{}",
                group.points.values()[i],
                group.maxima.nominal.values()[i]
            ));
            row.push(share(group.of_nominal[i]));
            row.extend(attainable.then(|| share(group.of_attainable[i])));
        }
        table.rows.push(row);
    }
    table
}

/// The shares over all levels with their intervals: of all cases, in words, by photo.
#[must_use]
pub fn intervals(result: &RetrievalResult) -> Table {
    let mut table = Table::new(&["cases", "scoring", "of max", "of attainable"]);
    let show = |e: Option<Estimate>| e.as_ref().map_or("-".to_owned(), with_interval);
    for group in result.groups().into_iter().filter(|g| g.level.is_none()) {
        for (i, letter) in Points::NAMES.iter().enumerate() {
            let scoring = format!("({letter})");
            table.push([
                label(&group),
                scoring,
                show(group.of_nominal[i]),
                show(group.of_attainable[i]),
            ]);
        }
    }
    table
}

/// `text, level 1`
#[must_use]
pub fn label(group: &Group) -> String {
    match (group.kind, group.level) {
        (None, None) => "all".to_owned(),
        (Some(kind), None) => kind.name().to_owned(),
        (None, Some(level)) => format!("level {}", level.number()),
        (Some(kind), Some(level)) => format!("{}, level {}", kind.name(), level.number()),
    }
}

/// The paired tests against an earlier result.
#[must_use]
pub fn paired(tests: &[(String, Paired)]) -> Table {
    let mut table = Table::new(&[
        "against the baseline",
        "",
        "difference",
        "95% interval",
        "p",
        "cases better",
        "equal",
        "worse",
    ]);
    for (name, test) in tests {
        let d = &test.difference;
        table.push([
            name.clone(),
            test.verdict().to_owned(),
            format!("{:+.4}", d.value),
            format!("[{:+.4}, {:+.4}]", d.interval.low, d.interval.high),
            format!("{:.4}", test.p_value),
            test.better.to_string(),
            test.equal.to_string(),
            test.worse.to_string(),
        ]);
    }
    table
}

/// A row a model: the sum, the figures of the rule, then the other headline figures.
#[must_use]
pub fn comparison(comparison: &Comparison) -> Table {
    let mut names: Vec<&str> = comparison.rule.weights.keys().map(String::as_str).collect();
    names.extend(comparison.rule.guards.iter().map(String::as_str));
    let documents = comparison.models.iter().map(|(_, d)| d);
    for figure in documents
        .flat_map(|d| &d.figures)
        .map(|f| f.name.as_str())
        .filter(|n| headline(n))
    {
        if !names.contains(&figure) {
            names.push(figure);
        }
    }
    let heading: Vec<&str> = ["model", "sum"]
        .into_iter()
        .chain(names.iter().copied())
        .collect();
    let mut table = Table::new(&heading);
    for (position, (name, document)) in comparison.models.iter().enumerate() {
        let mark = if comparison.best == Some(position) {
            "* "
        } else {
            ""
        };
        let sum = comparison.sums[position].map_or("-".to_owned(), |s| format!("{s:.4}"));
        let value = |figure: &&str| {
            document
                .figure(figure)
                .map_or("-".to_owned(), |e| percent(e.value))
        };
        table.push(
            [format!("{mark}{name}"), sum]
                .into_iter()
                .chain(names.iter().map(value)),
        );
    }
    table
}

/// Figures over all cases of a suite and of a set; those of single groups are in each model's own
/// report.
fn headline(name: &str) -> bool {
    !name.contains("level")
        && !name.contains(".text.")
        && !name.contains(".image.")
        && !name.ends_with("_attainable")
}

/// The cases of a suite by kind and level, with what can be had.
#[must_use]
pub fn suite_overview(cases: &[Case]) -> Table {
    let mut heading = vec!["cases".to_owned(), "n".to_owned()];
    for letter in Points::NAMES {
        heading.extend([format!("({letter}) max"), "attainable".to_owned()]);
    }
    let mut table = Table {
        heading,
        rows: Vec::new(),
    };
    for kind in [QueryKind::Text, QueryKind::Image] {
        for level in Level::ALL {
            let group = || {
                cases
                    .iter()
                    .filter(move |c| c.kind() == kind && c.level == level)
            };
            let nominal: Points = group().map(|c| c.maxima.nominal).sum();
            let attainable: Points = group().map(|c| c.maxima.attainable).sum();
            let mut row = vec![
                format!("{}, level {}", kind.name(), level.number()),
                group().count().to_string(),
            ];
            for i in 0..Points::NAMES.len() {
                row.push(nominal.values()[i].to_string());
                row.push(attainable.values()[i].to_string());
            }
            table.rows.push(row);
        }
    }
    table
}

/// `gate c >= 0.35: 0.412, passed`
#[must_use]
pub fn gate_line(result: &GateResult) -> String {
    let (gate, passed) = (
        &result.gate,
        if result.passed() { "passed" } else { "FAILED" },
    );
    match result.value {
        Some(value) => format!(
            "gate {} >= {}: {value:.4}, {passed}",
            gate.figure, gate.least
        ),
        None => format!(
            "gate {} >= {}: there is no such figure, FAILED",
            gate.figure, gate.least
        ),
    }
}
