//! The report for people: one HTML file with everything in it (pictures, styles), light and dark,
//! no script.
//!
//! For each part: the figures with their intervals; of a labeled set bars per class and the
//! confusion matrix; of a suite the table by kind and level and, case by case, the pictures that
//! came back with their points. With a baseline: the paired tests, and both models' strips beside
//! each other, the largest differences first.

mod labeled;
mod pictures;
mod strips;

use std::fmt::Write as _;

pub use pictures::{Pictures, gather};

use super::compare::Comparison;
use super::document::{Document, Figure, Outcome, Part, Verdict};
use super::junit::escaped;
use super::metrics::as_f64;
use super::table::Table;
use super::terminal::{self, percent};

const STYLE: &str = include_str!("html/report.css");

/// The whole file.
#[must_use]
pub fn render(
    document: &Document,
    baseline: Option<&Document>,
    verdicts: &[Verdict],
    pictures: &Pictures,
) -> String {
    let subject = &document.subject;
    let mut html = head(
        &format!("Evaluation of {}", subject.model),
        &pictures.style(),
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
    if let Some(words) = terminal::words(subject) {
        let _ = writeln!(html, "<p class=\"soft\">{}</p>", escaped(&words));
    }
    if let Some(doubt) = baseline.and_then(|base| document.doubt(base)) {
        let _ = writeln!(html, "<p class=\"error\">{}</p>", escaped(&doubt));
    }
    if !verdicts.is_empty() {
        let line = |v: &Verdict| {
            let class = if v.passed() { "up" } else { "down" };
            format!(
                "<li class=\"{class}\">{}</li>\n",
                escaped(&terminal::verdict(v))
            )
        };
        let _ = write!(
            html,
            "<ul>\n{}</ul>\n",
            verdicts.iter().map(line).collect::<String>()
        );
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
            table(&terminal::paired(&tests))
        );
    }
    for part in &document.parts {
        html += &self::part(part, baseline, pictures);
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
    let _ = write!(html, "</ul>\n{}", table(&comparison.table()));
    let Some(((base_name, base), others)) = comparison.models.split_first() else {
        return html + "</html>\n";
    };
    for (name, document) in others {
        let tests = terminal::paired(&document.against(base));
        let _ = write!(
            html,
            "<h2>{} against {}</h2>\n{}{}",
            escaped(name),
            escaped(base_name),
            figures(&document.figures, &base.figures),
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

fn part(part: &Part, baseline: Option<&Document>, pictures: &Pictures) -> String {
    // Of the same data only.
    let base = baseline.and_then(|b| Some((b, b.part(&part.prefix, &part.data_sha256)?)));
    let mut html = format!("<h2>{}</h2>\n", escaped(&part.title));
    let base_figures = base.map(|(_, p)| p.figures()).unwrap_or_default();
    let inside = match &part.outcome {
        Outcome::ZeroShot(result) => {
            let other = base.and_then(|(_, part)| match &part.outcome {
                Outcome::ZeroShot(result) => Some(result),
                _ => None,
            });
            figures(&part.figures(), &base_figures) + &labeled::section(result, other)
        }
        Outcome::Retrieval(result) => {
            let other = base.and_then(|(document, part)| match &part.outcome {
                Outcome::Retrieval(result) => Some((document.subject.at.as_str(), result)),
                _ => None,
            });
            strips::section(result, other, pictures)
        }
        Outcome::Catalog { result, .. } => {
            let mut html = figures(&part.figures(), &base_figures);
            html.push_str(
                "<p class=\"note\">P@10 (p10) is the share of the first ten results that are right. text_category: the \
                 category of a question in words; color_type and type_gender: the category and the color or gender; \
                 image_category: the category of a photo; title: whether a product, or another of equal title, is \
                 found by its title; category and color: by such a word alone. The thin line on a bar is the 95% \
                 interval.</p>\n",
            );
            for failure in &result.failures {
                let _ = writeln!(
                    html,
                    "<p class=\"error\">not answered: {}</p>",
                    escaped(failure)
                );
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
    };
    html.push_str(&inside);
    html
}

/// Figures as bars with their intervals; the baseline's beside them.
fn figures(figures: &[Figure], base: &[Figure]) -> String {
    let mut html =
        "<div class=\"scroll\"><table><thead><tr><th>figure<th>value<th>95% interval<th>"
            .to_owned();
    html.push_str(if base.is_empty() {
        "<tbody>\n"
    } else {
        "<th>baseline<th>difference<tbody>\n"
    });
    for figure in figures {
        let e = &figure.estimate;
        let _ = write!(
            html,
            "<tr><td>{}<td>{}<td class=\"soft\">{:.1} &ndash; {:.1}<td>{}",
            escaped(&figure.name),
            percent(e.value),
            e.interval.low * 100.0,
            e.interval.high * 100.0,
            meter(e.value, Some((e.interval.low, e.interval.high)), "")
        );
        if let Some(other) = base.iter().find(|b| b.name == figure.name) {
            let difference = e.value - other.estimate.value;
            let _ = write!(
                html,
                "<td class=\"soft\">{}<td>{}",
                percent(other.estimate.value),
                signed(difference * 100.0, 1)
            );
        }
        html.push('\n');
    }
    html + "</table></div>\n"
}

/// A bar of a share, with an interval drawn over it.
fn meter(share: f64, interval: Option<(f64, f64)>, class: &str) -> String {
    let cut = |v: f64| (v * 100.0).clamp(0.0, 100.0);
    let over = interval.map(|(low, high)| {
        format!(
            "<u style=\"left:{:.1}%;width:{:.1}%\"></u>",
            cut(low),
            (cut(high) - cut(low)).max(0.4)
        )
    });
    format!(
        "<span class=\"meter {class}\"><i style=\"width:{:.1}%\"></i>{}</span>",
        cut(share),
        over.unwrap_or_default()
    )
}

/// `+1.2`, green or red.
fn signed(difference: f64, digits: usize) -> String {
    let smallest = 0.5 / 10_f64.powi(i32::try_from(digits).unwrap_or(0));
    let class = match difference {
        d if d >= smallest => "up",
        d if d <= -smallest => "down",
        _ => "soft",
    };
    format!("<span class=\"{class}\">{difference:+.digits$}</span>")
}

fn table(table: &Table) -> String {
    let cells = |tag: &str, row: &[String]| {
        row.iter()
            .map(|c| ["<", tag, ">", &escaped(c)].concat())
            .collect::<String>()
    };
    let mut html = format!(
        "<div class=\"scroll\"><table><thead><tr>{}<tbody>\n",
        cells("th", &table.heading)
    );
    for row in &table.rows {
        let _ = writeln!(html, "<tr>{}", cells("td", row));
    }
    html + "</table></div>\n"
}

/// Share of `part` in `whole` as a percentage, for a style.
fn hundredths(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        100.0 * as_f64(part) / as_f64(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::document;
    use super::*;

    #[test]
    fn names_are_escaped_and_nothing_is_fetched() {
        let mut other = document();
        other.subject.model = "the <base>".to_owned();
        let document = document();
        let verdicts = document.judge(&["c=0.9".parse().expect("gate")]);
        let html = render(&document, Some(&other), &verdicts, &Pictures::default());
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
        let plain = render(&document, None, &[], &Pictures::default());
        assert!(!plain.contains("baseline") && !plain.contains("words make up"));
        let mut mixed = document.clone();
        mixed.subject.words_percent = Some(30);
        let html = render(&mixed, Some(&document), &[], &Pictures::default());
        assert!(
            html.contains("words make up 30% of each product")
                && html.contains("0% in the baseline"),
            "{html}"
        );
    }

    #[test]
    fn differences_have_a_sign_and_a_color() {
        assert!(signed(1.26, 1).contains("up") && signed(1.26, 1).contains("+1.3"));
        assert!(signed(-0.2, 1).contains("down"));
        assert!(signed(0.04, 1).contains("soft"));
    }
}
