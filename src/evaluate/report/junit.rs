//! JUnit XML, so that a pipeline shows every case and every gate.
//!
//! A test suite per part of the document: a retrieval case is a test case (class `text.level1`, its
//! points in the output), an error where it could not be asked or answered. It never fails for its
//! points alone: whether those suffice is what the gates say, a suite of their own in which a gate
//! that is not reached is a failure. Figures go into the properties. Layout as in
//! <https://github.com/testmoapp/junitxml>: times in seconds, `timestamp` (UTC) when a suite began,
//! taking it that the parts were measured one after the other and the last has just ended.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::markup::escaped;
use super::tables::gate_line;
use crate::evaluate::benchmark::document::{Document, Outcome, Part};
use crate::evaluate::benchmark::gate::GateResult;
use crate::evaluate::benchmark::retrieval::{CaseResult, RetrievalResult};
use crate::evaluate::stats::scoring::Points;

/// The whole document, of which the last part was measured by `now`.
#[must_use]
pub fn render(document: &Document, gates: &[GateResult], now: SystemTime) -> String {
    let mut suites: Vec<TestSuite> = document.parts.iter().map(part).collect();
    let mut began = now;
    for suite in suites.iter_mut().rev() {
        let took = Duration::try_from_secs_f64(suite.seconds).unwrap_or_default();
        began = began.checked_sub(took).unwrap_or(UNIX_EPOCH);
        suite.timestamp = timestamp(began);
    }
    if !gates.is_empty() {
        suites.push(TestSuite {
            timestamp: timestamp(now),
            ..gate_suite(gates)
        });
    }
    let sum = |of: fn(&TestSuite) -> usize| suites.iter().map(of).sum::<usize>();
    let name = escaped(&format!("aglet evaluate {}", document.subject.model));
    let (tests, failures, errors) = (sum(|s| s.tests), sum(|s| s.failures), sum(|s| s.errors));
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let (time, at) = (
        document.parts.iter().map(|part| part.seconds).sum::<f64>(),
        timestamp(began),
    );
    let _ = writeln!(
        xml,
        "<testsuites name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{time:.3}\" \
         timestamp=\"{at}\">"
    );
    xml.extend(suites.iter().map(TestSuite::xml));
    xml.push_str("</testsuites>\n");
    xml
}

#[derive(Default)]
struct TestSuite {
    name: String,
    seconds: f64,
    timestamp: String,
    tests: usize,
    failures: usize,
    errors: usize,
    properties: Vec<(String, String)>,
    cases: String,
}

impl TestSuite {
    fn xml(&self) -> String {
        let Self {
            tests,
            failures,
            errors,
            seconds,
            timestamp,
            ..
        } = self;
        let mut xml = format!(
            "  <testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" \
             time=\"{seconds:.3}\" timestamp=\"{timestamp}\">\n",
            escaped(&self.name)
        );
        if !self.properties.is_empty() {
            xml.push_str("    <properties>\n");
            for (name, value) in &self.properties {
                let _ = writeln!(
                    xml,
                    "      <property name=\"{}\" value=\"{}\"/>",
                    escaped(name),
                    escaped(value)
                );
            }
            xml.push_str("    </properties>\n");
        }
        xml + &self.cases + "  </testsuite>\n"
    }

    /// `seconds`: where the case was timed by itself; `inside`: the content of the test case's
    /// element.
    fn case(&mut self, class: &str, name: &str, seconds: Option<f64>, inside: &str) {
        self.tests += 1;
        let _ = writeln!(
            self.cases,
            "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">{inside}</testcase>",
            escaped(class),
            escaped(name),
            seconds.unwrap_or(0.0)
        );
    }
}

fn part(part: &Part) -> TestSuite {
    let properties = part
        .figures()
        .into_iter()
        .map(|f| (f.name, format!("{:.6}", f.estimate.value)))
        .collect();
    let mut suite = TestSuite {
        name: part.title.clone(),
        seconds: part.seconds,
        properties,
        ..TestSuite::default()
    };
    match &part.outcome {
        Outcome::Retrieval(result) => {
            for case in &result.cases {
                suite.errors += usize::from(case.error.is_some());
                let class = format!("{}.level{}", case.kind.name(), case.level.number());
                suite.case(
                    &class,
                    &case.name,
                    Some(case.seconds),
                    &retrieval_case(result, case),
                );
            }
        }
        Outcome::ZeroShot(result) => {
            for class in &result.report.classes {
                let s = class.scores;
                let (p, r, f) = (s.precision, s.recall, s.f1);
                let line = format!(
                    "precision {p:.4}, recall {r:.4}, F1 {f:.4}, {} images",
                    class.support
                );
                suite.case(
                    "class",
                    &class.name,
                    None,
                    &format!("<system-out>{}</system-out>", escaped(&line)),
                );
            }
        }
        Outcome::Shopper(result) => {
            for query in &result.queries {
                let line = format!("right in the first ten: {:.2}", query.score);
                suite.case(
                    &query.kind,
                    &query.text,
                    None,
                    &format!("<system-out>{}</system-out>", escaped(&line)),
                );
            }
            for failure in &result.failures {
                suite.errors += 1;
                let line = format!("<error>{}</error>", escaped(failure));
                suite.case("unanswered", failure, None, &line);
            }
        }
        Outcome::Catalog { result, .. } => {
            for question in &result.questions {
                let (category, both) = (question.category_p10, question.both_p10);
                let line = format!(
                    "precision@10: category {category:.1}, with {} {both:.1}",
                    question.form.attribute()
                );
                suite.case(
                    question.form.name(),
                    &question.text,
                    None,
                    &format!("<system-out>{}</system-out>", escaped(&line)),
                );
            }
            for (number, failure) in result.failures.iter().enumerate() {
                suite.errors += 1;
                suite.case(
                    "unanswered",
                    &format!("question {}", number + 1),
                    None,
                    &error(failure),
                );
            }
        }
    }
    suite
}

fn retrieval_case(result: &RetrievalResult, case: &CaseResult) -> String {
    let mut text = format!("{}\n", case.query);
    for (letter, (points, most)) in Points::NAMES.iter().zip(
        case.points
            .values()
            .into_iter()
            .zip(case.maxima.attainable.values()),
    ) {
        let _ = write!(text, "({letter}) {points} of {most} attainable  ");
    }
    text.push('\n');
    for (place, scored) in case.results.iter().enumerate() {
        let value = |name| {
            scored
                .values
                .get(name)
                .and_then(|v| v.first())
                .map_or("-", |v| v.as_str())
        };
        let (main, detail) = (value(&result.main), value(&result.detail));
        let _ = writeln!(
            text,
            "{}. {} {} ({main}, {detail})",
            place + 1,
            scored.id,
            scored.title
        );
    }
    let out = format!("<system-out>{}</system-out>", escaped(&text));
    case.error.as_deref().map(error).unwrap_or_default() + &out
}

fn error(message: &str) -> String {
    format!(
        "<error type=\"unanswered\" message=\"{}\"/>",
        escaped(message)
    )
}

fn gate_suite(gates: &[GateResult]) -> TestSuite {
    let mut suite = TestSuite {
        name: "gates".to_owned(),
        ..TestSuite::default()
    };
    for gate in gates {
        let line = gate_line(gate);
        let failure = || format!("<failure type=\"gate\" message=\"{}\"/>", escaped(&line));
        let inside = if gate.passed() {
            String::new()
        } else {
            failure()
        };
        suite.failures += usize::from(!gate.passed());
        suite.case(
            "gate",
            &format!("{} >= {}", gate.gate.figure, gate.gate.least),
            None,
            &inside,
        );
    }
    suite
}

/// `2026-08-29T13:05:09`, ISO 8601 in UTC; JUnit's schema takes no zone.
fn timestamp(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at)
        .to_string()
        .trim_end_matches('Z')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::benchmark::gate::Gate;
    use crate::evaluate::fixtures::document;

    #[test]
    fn every_case_and_gate_is_a_test_case() {
        let document = document();
        let gates = [
            "c=0.9".parse().expect("gate"),
            "a=0.0".parse().expect("gate"),
        ];
        // Each part took 1.5 s.
        let now = UNIX_EPOCH + Duration::from_secs(7_464_960_013);
        let xml = render(&document, &Gate::check_all(&gates, &document), now);
        assert_eq!(xml.matches("<testcase ").count(), 3 + 2 + 2, "{xml}");
        let head =
            r#"tests="7" failures="1" errors="1" time="3.000" timestamp="2206-07-23T00:00:10">"#;
        assert!(xml.contains(head), "{xml}");
        assert!(
            xml.contains(r#"time="1.500" timestamp="2206-07-23T00:00:11">"#),
            "{xml}"
        );
        assert!(
            xml.contains(
                r#"classname="text.level2" name="text: Casual Shoes, beige" time="0.250">"#
            )
        );
        assert!(xml.contains("<failure type=\"gate\" message="));
        assert!(xml.contains(
            "<error type=\"unanswered\" message=\"images/9.jpg: gone &amp; &lt;lost&gt;\"/>"
        ));
        assert!(xml.contains("1. 1 Loafer &quot;A&quot; (Casual Shoes, Beige)"));
        assert!(xml.contains("gate c &gt;= 0.9: "));
        assert_eq!(
            xml.matches("<testsuite ").count(),
            xml.matches("</testsuite>").count()
        );
    }
}
