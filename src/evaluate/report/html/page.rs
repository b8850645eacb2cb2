//! The report of a document, and that of a comparison.
//!
//! For each part: the figures with their intervals; of labeled images bars per class and the
//! confusion matrix; of a suite the table by kind and level and, case by case, the pictures that
//! came back with their points. With a baseline: the paired tests, and both models' results beside
//! each other, the largest differences first.

use std::fmt::Write as _;

use super::elements::table;
use super::figures::bars;
use super::thumbnails::Thumbnails;
use super::{cases, classes};
use crate::evaluate::benchmark::catalog::result::CatalogResult;
use crate::evaluate::benchmark::compare::Comparison;
use crate::evaluate::benchmark::document::{Document, Outcome, Part};
use crate::evaluate::benchmark::gate::GateResult;
use crate::evaluate::benchmark::shopper::ShopperResult;
use crate::evaluate::report::markup::escaped;
use crate::evaluate::report::table::Table;
use crate::evaluate::report::tables;
use crate::evaluate::stats::figure::percent;

const STYLE: &str = include_str!("report.css");

/// The whole file.
#[must_use]
pub fn render(
    document: &Document,
    baseline: Option<&Document>,
    gates: &[GateResult],
    thumbnails: &Thumbnails,
) -> String {
    let subject = &document.subject;
    let mut html = head(
        &format!("Evaluation of {}", subject.model),
        &thumbnails.style(),
    );
    let _ = writeln!(
        html,
        "<p class=\"soft\">Model <code>{}</code> at <code>{}</code>{}</p>",
        escaped(&subject.model_id),
        escaped(&subject.at),
        baseline
            .map(|b| format!(
                ", compared with <b>{}</b> at <code>{}</code>",
                escaped(&b.subject.model),
                escaped(&b.subject.at)
            ))
            .unwrap_or_default()
    );
    if let Some(words) = tables::words_line(subject) {
        let _ = writeln!(html, "<p class=\"soft\">{}</p>", escaped(&words));
    }
    if let Some(doubt) = baseline.and_then(|base| document.doubt(base)) {
        let _ = writeln!(html, "<p class=\"error\">{}</p>", escaped(&doubt));
    }
    if !gates.is_empty() {
        let line = |gate: &GateResult| {
            let class = if gate.passed() { "up" } else { "down" };
            let text = escaped(&tables::gate_line(gate));
            format!("<li class=\"{class}\">{text}</li>\n")
        };
        let lines: String = gates.iter().map(line).collect();
        let _ = write!(html, "<ul>\n{lines}</ul>\n");
    }
    if let Some(base) = baseline {
        let tests = document.against(base);
        let _ = write!(
            html,
            "<h2>Is it better?</h2>\n<p class=\"note\">{}, case by case on the same data: the mean difference with its \
             95% bootstrap interval, and the two-sided p-value of a randomization test, that is how often two equally \
             good models would differ as much by chance; <b>not clear</b> where that is 5% or more. (Of twenty tests of \
             equal models one comes out clear all the same.) a, b, c and d are points a case in the four scorings, with \
             text. or image. before them for the cases asked in words or by photo; other figures are shares of \
             one.</p>\n{}",
            against(
                &subject.model,
                &subject.at,
                &base.subject.model,
                &base.subject.at
            ),
            table(&tables::paired(&tests))
        );
    }
    for part in &document.parts {
        html += &self::part(part, baseline, thumbnails);
    }
    html.push_str("</html>\n");
    html
}

/// The report of a comparison: the table, the choice and why, and each model against the base.
#[must_use]
pub fn comparison(comparison: &Comparison) -> String {
    let count = comparison.models.len();
    let mut html = head(&format!("Comparison of {count} models"), "");
    let best = comparison.best.map(|i| comparison.models[i].0.as_str());
    let _ = writeln!(
        html,
        "<p>Best: <b>{}</b></p>\n<ul>",
        escaped(best.unwrap_or("none"))
    );
    for line in &comparison.why {
        let _ = writeln!(html, "<li>{}</li>", escaped(line));
    }
    let _ = write!(html, "</ul>\n{}", table(&tables::comparison(comparison)));
    let Some(((base_name, base), others)) = comparison.models.split_first() else {
        return html + "</html>\n";
    };
    for (name, document) in others {
        let tests = tables::paired(&document.against(base));
        let _ = write!(
            html,
            "<h2>{} against {}</h2>\n{}{}",
            escaped(name),
            escaped(base_name),
            bars(&document.figures, &base.figures),
            table(&tests)
        );
    }
    html + "</html>\n"
}

/// Which of two is measured against which: by place where they are called the same.
fn against(name: &str, at: &str, base: &str, base_at: &str) -> String {
    let (ours, theirs) = if name == base {
        (at, base_at)
    } else {
        (name, base)
    };
    format!(
        "<b>{}</b> against the baseline <b>{}</b>",
        escaped(ours),
        escaped(theirs)
    )
}

fn head(title: &str, style: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}{style}</style>\n<h1>{title}</h1>\n"
    )
}

fn part(part: &Part, baseline: Option<&Document>, thumbnails: &Thumbnails) -> String {
    // Of the same data only.
    let base = baseline.and_then(|b| Some((b, b.part(&part.prefix, &part.data_sha256)?)));
    let bars = || {
        let base_figures = base.map(|(_, part)| part.figures()).unwrap_or_default();
        bars(&part.figures(), &base_figures)
    };
    let inside = match &part.outcome {
        Outcome::ZeroShot(result) => {
            let other = base.and_then(|(_, part)| match &part.outcome {
                Outcome::ZeroShot(result) => Some(result),
                _ => None,
            });
            bars() + &classes::section(result, other)
        }
        Outcome::Retrieval(result) => {
            let other = base.and_then(|(document, part)| match &part.outcome {
                Outcome::Retrieval(result) => Some((document.subject.at.as_str(), result)),
                _ => None,
            });
            cases::section(result, other, thumbnails)
        }
        Outcome::Catalog { result, .. } => bars() + &questions(result),
        Outcome::Shopper(result) => bars() + &queries(result),
    };
    format!("<h2>{}</h2>\n{inside}", escaped(&part.title))
}

/// What the figures of shoppers' queries mean, and every query, the weakest first.
fn queries(result: &ShopperResult) -> String {
    let mut html = "<p class=\"note\">A query's score is the share of right products in the first ten, of those that \
                    there are. shopper is the mean of the kinds' means.</p>\n"
        .to_owned();
    for failure in &result.failures {
        let failure = escaped(failure);
        let _ = writeln!(html, "<p class=\"error\">not answered: {failure}</p>");
    }
    let mut rows = Table::new(&["query", "kind", "right in the first ten"]);
    let mut queries: Vec<_> = result.queries.iter().collect();
    queries.sort_by(|a, b| a.score.total_cmp(&b.score));
    for query in queries {
        rows.push([query.text.clone(), query.kind.clone(), percent(query.score)]);
    }
    let _ = writeln!(html, "{}", table(&rows));
    html
}

/// What the figures of the catalog benchmark mean, what was not answered, and every question.
fn questions(result: &CatalogResult) -> String {
    let mut html = "<p class=\"note\">P@10 (p10) is the share of the first ten results that are right. text_category: \
                    the category of a question in words; color_type and type_gender: the category and the color or \
                    gender; image_category: the category of a photo; title: whether a product, or another of equal \
                    title, is found by its title; category and color: by such a word alone. The thin line on a bar is \
                    the 95% interval.</p>\n"
        .to_owned();
    for failure in &result.failures {
        let failure = escaped(failure);
        let _ = writeln!(html, "<p class=\"error\">not answered: {failure}</p>");
    }
    let mut rows = Table::new(&["question", "matching", "category P@10", "both P@10"]);
    let mut questions: Vec<_> = result.questions.iter().collect();
    questions.sort_by(|a, b| a.both_p10.total_cmp(&b.both_p10));
    for q in questions {
        rows.push([
            q.text.clone(),
            q.both.to_string(),
            percent(q.category_p10),
            percent(q.both_p10),
        ]);
    }
    let count = rows.rows.len();
    let _ = writeln!(
        html,
        "<details><summary>{count} questions, weakest first</summary>{}</details>",
        table(&rows)
    );
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::benchmark::gate::Gate;
    use crate::evaluate::fixtures::document;

    #[test]
    fn names_are_escaped_and_nothing_is_fetched() {
        let mut other = document();
        other.subject.model = "the <base>".to_owned();
        let document = document();
        let gates = Gate::check_all(&["c=0.9".parse().expect("gate")], &document);
        let html = render(&document, Some(&other), &gates, &Thumbnails::default());
        assert!(html.contains("Dress &lt;long&gt;") && !html.contains("Dress <long>"));
        assert!(html.contains("the &lt;base&gt;") && html.contains("gone &amp; &lt;lost&gt;"));
        for outside in ["http://", "https://", "<script", "src=\"/", "@import"] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert_eq!(html.matches("class=\"case\"").count(), 2);
        // Three classes, macro and weighted average, none of them changed.
        assert!(
            html.contains("F1 against baseline") && html.matches("+0.000</span>").count() == 5,
            "{html}"
        );
        let plain = render(&document, None, &[], &Thumbnails::default());
        assert!(!plain.contains("baseline") && !plain.contains("words make up"));
        let mut mixed = document.clone();
        mixed.subject.words_percent = Some(30);
        let html = render(&mixed, Some(&document), &[], &Thumbnails::default());
        assert!(
            html.contains("words make up 30% of each product")
                && html.contains("0% in the baseline"),
            "{html}"
        );
    }
}
