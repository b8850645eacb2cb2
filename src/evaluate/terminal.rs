//! What the terminal shows of a result.

use std::fmt::Write as _;

use super::bootstrap::{Estimate, Paired};
use super::catalog::{Among, CatalogResult};
use super::document::{Document, Figure, Outcome, Verdict};
use super::engine::Subject;
use super::retrieval::{Group, RetrievalResult};
use super::scoring::Points;
use super::table::Table;
use super::zero_shot::ZeroShotResult;

/// `34.2%`
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

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

/// What the terminal shows of a document.
#[must_use]
pub fn document(document: &Document) -> String {
    let mut text = format!("{} ({})\n", document.subject.model, document.subject.at);
    if let Some(words) = words(&document.subject) {
        let _ = writeln!(text, "{words}");
    }
    for part in &document.parts {
        let _ = write!(text, "\n{} ({:.1} s)\n\n", part.title, part.seconds);
        text += &match &part.outcome {
            Outcome::ZeroShot(result) => zero_shot(result, &part.figures()),
            Outcome::Retrieval(result) => retrieval(result),
            Outcome::Catalog { result, .. } => catalog(result, &part.figures()),
        };
    }
    text
}

/// That the products' words are part of what is searched, where they are: the photos alone answer
/// otherwise.
#[must_use]
pub fn words(subject: &Subject) -> Option<String> {
    let percent = subject.words_percent.filter(|percent| *percent > 0)?;
    Some(format!(
        "words make up {percent}% of each product's vector, the photo the rest"
    ))
}

fn zero_shot(result: &ZeroShotResult, all: &[Figure]) -> String {
    let t = &result.top;
    format!(
        "{}\n{}\nrank score {} of {}; {} images, {} could not be read; {} classes asked, {} occur\n",
        result.report.text(4),
        figures(all).plain(),
        t.rank_score,
        t.rank_score_max,
        t.images,
        result.left_out,
        result.classes.len(),
        result.occurring()
    )
}

fn catalog(result: &CatalogResult, all: &[Figure]) -> String {
    let among = match result.among {
        Among::HeldOut => "the products that questions are made of",
        Among::All => "the whole catalog",
    };
    let (text, photos) = (result.questions.len(), result.photos.len());
    let some = |n: usize, what: &str| {
        if n == 0 {
            String::new()
        } else {
            format!(", {n} {what}")
        }
    };
    let unread = some(result.left_out.len(), "more could not be read");
    let mut text = format!(
        "among {among} ({}): {text} questions in words, {photos} photos{unread}{}\n\n{}",
        result.products,
        some(result.failures.len(), "FAILED"),
        figures(all).plain()
    );
    for failure in &result.failures {
        let _ = writeln!(text, "FAILED {failure}");
    }
    text
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
/// (if wanted) the share of what the catalogue allows.
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

fn retrieval(result: &RetrievalResult) -> String {
    let mut text = groups(result, true).plain();
    let _ = write!(text, "\nwith 95% intervals\n{}", intervals(result).plain());
    for warning in &result.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    for case in result.cases.iter().filter(|c| c.error.is_some()) {
        let _ = writeln!(
            text,
            "FAILED {}: {}",
            case.name,
            case.error.as_deref().unwrap_or_default()
        );
    }
    text
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

/// How the gates went.
#[must_use]
pub fn verdicts(verdicts: &[Verdict]) -> String {
    verdicts
        .iter()
        .map(|verdict| self::verdict(verdict) + "\n")
        .collect()
}

/// `gate c >= 0.35: 0.412, passed`
#[must_use]
pub fn verdict(verdict: &Verdict) -> String {
    let (gate, passed) = (
        &verdict.gate,
        if verdict.passed() { "passed" } else { "FAILED" },
    );
    match verdict.value {
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

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn says_what_was_asked_of_whom() {
        let mut mixed = fixtures::document();
        assert!(!document(&mixed).contains("of each product's vector"));
        mixed.subject.words_percent = Some(30);
        let text = document(&mixed);
        assert!(
            text.contains("words make up 30% of each product's vector"),
            "{text}"
        );
        assert!(text.contains("3 classes asked, 3 occur"), "{text}");
    }
}
