//! Tables of text: for the terminal, Markdown and CSV.

use super::bootstrap::{Estimate, Paired};
use super::catalog::{Among, CatalogResult};
use super::document::{Document, Figure, Outcome, Verdict};
use super::retrieval::{Group, RetrievalResult};
use super::scoring::Points;
use super::zero_shot::ZeroShotResult;

/// Rows under a heading; the first column is words (to the left), the others numbers (to the right).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub heading: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    #[must_use]
    pub fn new(heading: &[&str]) -> Self {
        Self { heading: heading.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new() }
    }

    pub fn push(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    fn widths(&self) -> Vec<usize> {
        let cell = |row: &Vec<String>, i: usize| row.get(i).map_or(0, |c| c.chars().count());
        (0..self.heading.len())
            .map(|i| self.rows.iter().chain([&self.heading]).map(|row| cell(row, i)).max().unwrap_or(0))
            .collect()
    }

    fn line(&self, row: &[String], widths: &[usize], between: &str) -> String {
        let cells = widths.iter().enumerate().map(|(i, width)| {
            let cell = row.get(i).map_or("", String::as_str);
            if i == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join(between)
    }

    /// Columns in line, two spaces between them.
    #[must_use]
    pub fn plain(&self) -> String {
        let widths = self.widths();
        let rule = widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>().join("  ");
        let rows = self.rows.iter().map(|row| self.line(row, &widths, "  "));
        let lines: Vec<String> = [self.line(&self.heading, &widths, "  "), rule].into_iter().chain(rows).collect();
        lines.iter().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    #[must_use]
    pub fn markdown(&self) -> String {
        let widths: Vec<usize> = self.widths().into_iter().map(|w| w.max(3)).collect();
        let side = |(i, w): (usize, &usize)| if i == 0 { "-".repeat(*w) } else { "-".repeat(w - 1) + ":" };
        let rule = widths.iter().enumerate().map(side).collect::<Vec<_>>().join(" | ");
        let escaped = |row: &Vec<String>| row.iter().map(|c| c.replace('|', "\\|")).collect::<Vec<_>>();
        let rows = self.rows.iter().map(|row| self.line(&escaped(row), &widths, " | "));
        let lines = [self.line(&escaped(&self.heading), &widths, " | "), rule].into_iter().chain(rows);
        lines.map(|line| format!("| {line} |\n")).collect()
    }

    /// RFC 4180.
    #[must_use]
    pub fn csv(&self) -> String {
        let cell = |text: &String| {
            if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.clone() }
        };
        let line = |row: &Vec<String>| row.iter().map(cell).collect::<Vec<_>>().join(",") + "\r\n";
        [&self.heading].into_iter().chain(&self.rows).map(line).collect()
    }
}

/// `34.2%`
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// `34.2% [30.1, 38.0]`
#[must_use]
pub fn with_interval(e: &Estimate) -> String {
    format!("{} [{:.1}, {:.1}]", percent(e.value), e.interval.low * 100.0, e.interval.high * 100.0)
}

/// What the terminal shows of a document.
#[must_use]
pub fn document(document: &Document) -> String {
    let mut text = format!("{} ({})\n", document.subject.model, document.subject.at);
    for part in &document.parts {
        text += &format!("\n{} ({:.1} s)\n\n", part.title, part.seconds);
        text += &match &part.outcome {
            Outcome::ZeroShot(result) => zero_shot(result, &part.figures()),
            Outcome::Retrieval(result) => retrieval(result),
            Outcome::Catalog { result, .. } => catalog(result, &part.figures()),
        };
    }
    text
}

fn zero_shot(result: &ZeroShotResult, all: &[Figure]) -> String {
    let t = &result.top;
    format!(
        "{}\n{}\nrank score {} of {}; {} images, {} could not be read\n",
        result.report.text(4),
        figures(all).plain(),
        t.rank_score,
        t.rank_score_max,
        t.images,
        result.left_out
    )
}

fn catalog(result: &CatalogResult, all: &[Figure]) -> String {
    let among = match result.among {
        Among::HeldOut => "the held-out products",
        Among::All => "the whole catalog",
    };
    let (text, photos) = (result.questions.len(), result.photos.len());
    let failed = if result.failures.is_empty() { String::new() } else { format!(", {} FAILED", result.failures.len()) };
    format!(
        "among {among} ({}): {text} questions in words, {photos} photos{failed}\n\n{}",
        result.products,
        figures(all).plain()
    )
}

/// Figures with their intervals.
#[must_use]
pub fn figures(figures: &[Figure]) -> Table {
    let mut table = Table::new(&["figure", "value", "95% interval", "n"]);
    for Figure { name, estimate: e } in figures {
        let interval = format!("[{:.1}, {:.1}]", e.interval.low * 100.0, e.interval.high * 100.0);
        table.push([name.clone(), percent(e.value), interval, e.n.to_string()]);
    }
    table
}

/// The suite's table: a row a group, for each scoring points of the nominal maximum, its share, and the share of what
/// the catalogue allows.
#[must_use]
pub fn groups(result: &RetrievalResult) -> Table {
    let mut heading = vec!["cases".to_owned(), "n".to_owned()];
    for letter in Points::NAMES {
        heading.extend([format!("({letter})"), "of max".to_owned(), "of attainable".to_owned()]);
    }
    let mut table = Table { heading, rows: Vec::new() };
    for group in result.groups() {
        let mut row = vec![label(&group), group.cases.to_string()];
        for i in 0..4 {
            row.push(format!("{}/{}", group.points.values()[i], group.maxima.nominal.values()[i]));
            row.push(group.of_nominal[i].map_or("-".to_owned(), |e| percent(e.value)));
            row.push(group.of_attainable[i].map_or("-".to_owned(), |e| percent(e.value)));
        }
        table.rows.push(row);
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
    let mut text = groups(result).plain();
    if let Some(all) = result.group(None, None) {
        let mut table = Table::new(&["scoring", "of max", "of attainable"]);
        let show = |e: Option<Estimate>| e.as_ref().map_or("-".to_owned(), with_interval);
        for (i, letter) in Points::NAMES.iter().enumerate() {
            table.push([format!("({letter})"), show(all.of_nominal[i]), show(all.of_attainable[i])]);
        }
        text += &format!("\n{}", table.plain());
    }
    for warning in &result.warnings {
        text += &format!("warning: {warning}\n");
    }
    for case in result.cases.iter().filter(|c| c.error.is_some()) {
        text += &format!("FAILED {}: {}\n", case.name, case.error.as_deref().unwrap_or_default());
    }
    text
}

/// The paired tests against an earlier result.
#[must_use]
pub fn paired(tests: &[(String, Paired)]) -> Table {
    let mut table =
        Table::new(&["against the baseline", "difference", "95% interval", "p", "better", "equal", "worse"]);
    for (name, test) in tests {
        let d = &test.difference;
        table.push([
            name.clone(),
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
    verdicts.iter().map(|verdict| format!("{}\n", self::verdict(verdict))).collect()
}

/// `gate c >= 0.35: 0.412, passed`
#[must_use]
pub fn verdict(verdict: &Verdict) -> String {
    let (gate, passed) = (&verdict.gate, if verdict.passed() { "passed" } else { "FAILED" });
    match verdict.value {
        Some(value) => format!("gate {} >= {}: {value:.4}, {passed}", gate.figure, gate.least),
        None => format!("gate {} >= {}: there is no such figure, FAILED", gate.figure, gate.least),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_write_a_table() {
        let mut table = Table::new(&["model", "c"]);
        table.push(["a | b".to_owned(), "9".to_owned()]);
        table.push(["long, \"quoted\"".to_owned(), "10.5".to_owned()]);
        assert_eq!(
            table.plain(),
            "model              c\n--------------  ----\na | b              9\nlong, \"quoted\"  10.5\n"
        );
        assert!(table.markdown().contains("| a \\| b"));
        assert!(table.markdown().lines().nth(1).expect("a rule").ends_with("---: |"));
        assert_eq!(table.csv(), "model,c\r\na | b,9\r\n\"long, \"\"quoted\"\"\",10.5\r\n");
    }
}
