//! The part of labeled images: bars per class, the confusion matrix, the commonest mistakes.

use std::fmt::Write as _;

use super::elements::{hundredths, meter, signed, table};
use crate::evaluate::benchmark::zero_shot::ZeroShotResult;
use crate::evaluate::report::markup::escaped;
use crate::evaluate::report::table::Table;
use crate::evaluate::stats::classification::Report;
use crate::evaluate::stats::figure::percent;

/// Beyond so many classes the matrix is not readable; the list of mistakes remains.
const LARGEST_MATRIX: usize = 70;
const MISTAKES: usize = 15;
const MACRO: &str = "macro average";
const WEIGHTED: &str = "weighted average";

/// `base`: another model's result on the same images.
pub fn section(result: &ZeroShotResult, base: Option<&ZeroShotResult>) -> String {
    let t = &result.top;
    let mut html = format!(
        "<p class=\"note\">{} images{}, each taken for the class, of {} asked ({} occur), whose text is nearest. accuracy: \
         the right class comes first; top_5: it is among the first five; rank score {} of {}: 5 points where it comes \
         first, down to 1 where it comes fifth; macro_f1 and weighted_f1: mean over the classes, plain and weighted by \
         their images. The thin line on a bar is the 95% interval. Texts, with the class's name for {{}}: {}.</p>\n",
        t.images,
        if result.left_out == 0 {
            String::new()
        } else {
            format!(", {} more could not be read", result.left_out)
        },
        result.classes.len(),
        result.occurring(),
        t.rank_score,
        t.rank_score_max,
        result
            .prompts
            .templates
            .iter()
            .map(|t| format!("<code>{}</code>", escaped(t)))
            .collect::<Vec<_>>()
            .join(", ")
    );
    html.push_str(&bars(&result.report, base.map(|b| &b.report)));
    if result.report.classes.len() <= LARGEST_MATRIX {
        html.push_str(&matrix(&result.report));
    }
    html + &mistakes(&result.report)
}

fn bars(report: &Report, base: Option<&Report>) -> String {
    let mut html = "<h3>Classes</h3>\n<div class=\"scroll\"><table><thead><tr><th>class<th>precision<th><th>recall<th>\
                    <th>F1<th>"
        .to_owned();
    html.push_str(if base.is_some() {
        "<th>F1 against baseline<th>images<tbody>\n"
    } else {
        "<th>images<tbody>\n"
    });
    let before = |name: &str| {
        base.map(|base| match name {
            MACRO => base.macro_average.f1,
            WEIGHTED => base.weighted_average.f1,
            class => base
                .classes
                .iter()
                .find(|c| c.name == class)
                .map_or(0.0, |c| c.scores.f1),
        })
    };
    let averages = [
        (MACRO, report.macro_average),
        (WEIGHTED, report.weighted_average),
    ];
    let classes = report
        .classes
        .iter()
        .map(|c| (c.name.as_str(), c.scores, c.support, ""));
    let averages = averages
        .into_iter()
        .map(|(name, scores)| (name, scores, report.support, " class=\"sum\""));
    for (name, s, support, class) in classes.chain(averages) {
        let _ = write!(html, "<tr{class}><td>{}", escaped(name));
        for value in [s.precision, s.recall, s.f1] {
            let _ = write!(html, "<td>{value:.3}<td>{}", meter(value, None, "small"));
        }
        if let Some(before) = before(name) {
            let _ = write!(html, "<td>{}", signed(s.f1 - before, 3));
        }
        let _ = writeln!(html, "<td>{support}");
    }
    html + "</table></div>\n"
}

fn matrix(report: &Report) -> String {
    let mut html = "<h3>What was taken for what</h3>\n<p class=\"note\">Rows are the true classes, columns the \
                    predicted ones; the shade is the share of the row, green where they agree.</p>\n<div \
                    class=\"scroll\"><table class=\"confusion\"><thead><tr><th>"
        .to_owned();
    for class in &report.classes {
        let _ = write!(html, "<th>{}", escaped(&class.name));
    }
    html.push_str("<tbody>\n");
    for (truth, row) in report.confusion.iter().enumerate() {
        let _ = write!(html, "<tr><th>{}", escaped(&report.classes[truth].name));
        for (predicted, &count) in row.iter().enumerate() {
            let share = hundredths(count, report.classes[truth].support);
            let color = if truth == predicted {
                "--good"
            } else {
                "--bad"
            };
            let title = format!(
                "{} taken for {}: {count}",
                report.classes[truth].name, report.classes[predicted].name
            );
            let text = if count == 0 {
                String::new()
            } else {
                count.to_string()
            };
            let _ = write!(
                html,
                "<td title=\"{}\" style=\"background:color-mix(in srgb, var({color}) {:.0}%, transparent)\">{text}",
                escaped(&title),
                // Half of the full color, so that the number on it stays readable.
                share * 0.55
            );
        }
        html.push('\n');
    }
    html + "</table></div>\n"
}

fn mistakes(report: &Report) -> String {
    let mut all: Vec<(usize, usize, usize)> = Vec::new();
    for (truth, row) in report.confusion.iter().enumerate() {
        all.extend(
            row.iter()
                .enumerate()
                .filter(|(p, n)| *p != truth && **n > 0)
                .map(|(p, n)| (*n, truth, p)),
        );
    }
    all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    let mut rows = Table::new(&["commonest mistakes", "taken for", "images", "of the class"]);
    for (count, truth, predicted) in all.into_iter().take(MISTAKES) {
        let (truth, predicted) = (&report.classes[truth], &report.classes[predicted]);
        let share = percent(hundredths(count, truth.support) / 100.0);
        rows.push([
            truth.name.clone(),
            predicted.name.clone(),
            count.to_string(),
            share,
        ]);
    }
    if rows.rows.is_empty() {
        String::new()
    } else {
        table(&rows)
    }
}
