//! What the terminal shows of a document.

use std::fmt::Write as _;

use super::tables::{figures, gate_line, groups, intervals, words_line};
use crate::evaluate::benchmark::catalog::Among;
use crate::evaluate::benchmark::catalog::result::CatalogResult;
use crate::evaluate::benchmark::document::{Document, Outcome};
use crate::evaluate::benchmark::gate::GateResult;
use crate::evaluate::benchmark::retrieval::RetrievalResult;
use crate::evaluate::benchmark::shopper::ShopperResult;
use crate::evaluate::benchmark::zero_shot::ZeroShotResult;
use crate::evaluate::stats::figure::Figure;

/// Queries with less than half right that are listed.
const WORST: usize = 10;

/// What the terminal shows of a document.
#[must_use]
pub fn document(document: &Document) -> String {
    let mut text = format!("{} ({})\n", document.subject.model, document.subject.at);
    if let Some(words) = words_line(&document.subject) {
        let _ = writeln!(text, "{words}");
    }
    for part in &document.parts {
        let _ = write!(text, "\n{} ({:.1} s)\n\n", part.title, part.seconds);
        text += &match &part.outcome {
            Outcome::ZeroShot(result) => zero_shot(result, &part.figures()),
            Outcome::Retrieval(result) => retrieval(result),
            Outcome::Catalog { result, .. } => catalog(result, &part.figures()),
            Outcome::Shopper(result) => shopper(result, &part.figures()),
        };
    }
    text
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

fn shopper(result: &ShopperResult, all: &[Figure]) -> String {
    let mut text = figures(all).plain();
    let mut worst: Vec<_> = result.queries.iter().filter(|q| q.score < 0.5).collect();
    worst.sort_by(|a, b| a.score.total_cmp(&b.score));
    for query in worst.iter().take(WORST) {
        let _ = writeln!(text, "{:.1}  {} ({})", query.score, query.text, query.kind);
    }
    for failure in &result.failures {
        let _ = writeln!(text, "FAILED {failure}");
    }
    text
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

/// How the gates went, a line each.
#[must_use]
pub fn gates(results: &[GateResult]) -> String {
    let line = |result: &GateResult| gate_line(result) + "\n";
    results.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::fixtures;

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
