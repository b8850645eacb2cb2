//! A small result for the tests of the reports: one zero-shot part, one suite of two cases of which
//! one failed.

use std::collections::BTreeMap;

use super::benchmark::document::{Document, Outcome, Part};
use super::benchmark::retrieval::{CaseResult, RetrievalResult, Scored};
use super::benchmark::zero_shot::ZeroShotResult;
use super::data::prompts::Prompts;
use super::data::suite::Suite;
use super::stats::bootstrap::Estimate;
use super::stats::classification::{Report, Rows, TopK, ZeroDivision};
use super::stats::scoring::points_at;
use super::subject::{How, Subject};
use crate::domain::{AttributeName, AttributeValue, ProductId};

pub fn document() -> Document {
    let parts = vec![
        part("labeled", Outcome::ZeroShot(zero_shot())),
        part("", Outcome::Retrieval(retrieval())),
    ];
    Document::new(subject("small"), parts)
}

pub fn subject(model: &str) -> Subject {
    Subject {
        model: model.to_owned(),
        model_id: "0123456789abcdef".to_owned(),
        at: "models/small".to_owned(),
        how: How::Folder,
        words_percent: Some(0),
    }
}

pub fn part(prefix: &str, outcome: Outcome) -> Part {
    let title = if prefix.is_empty() { "suite" } else { prefix };
    let (prefix, title) = (prefix.to_owned(), title.to_owned());
    Part {
        prefix,
        title,
        data_sha256: "d".to_owned(),
        seconds: 1.5,
        outcome,
    }
}

pub fn zero_shot() -> ZeroShotResult {
    let classes = ["Bag", "Dress <long>", "Coat"].map(str::to_owned).to_vec();
    let (truth, predicted, places) = (
        vec![0, 0, 1, 2, 2, 2],
        vec![0, 1, 1, 2, 0, 2],
        vec![0, 1, 0, 0, 2, 0],
    );
    let report = Report::new(
        &truth,
        &predicted,
        &classes,
        Rows::Present,
        ZeroDivision::Zero,
    )
    .expect("valid");
    let (prompts, top) = (Prompts::default(), TopK::of(&places));
    ZeroShotResult {
        prompts,
        report,
        top,
        classes,
        truth,
        predicted,
        places,
        left_out: 0,
    }
}

pub fn retrieval() -> RetrievalResult {
    let suite: Suite = serde_json::from_str(include_str!("../../tests/reference/small_suite.json"))
        .expect("a suite");
    let found = [
        ("1", "Loafer \"A\"", "Casual Shoes", "Beige"),
        ("2", "Runner", "Sports Shoes", "beige"),
        ("3", "Oxford", "Formal Shoes", "black"),
    ];
    let cases = suite.cases.iter().map(|case| {
        let results: Vec<Scored> = found
            .iter()
            .filter(|_| case.level.number() == 2)
            .enumerate()
            .map(|(place, (id, title, category, laces))| {
                let value = |v: &str| vec![AttributeValue::new(v).expect("value")];
                let name = |n: &str| AttributeName::new(n).expect("name");
                let values = BTreeMap::from([
                    (name("category"), value(category)),
                    (name("shoelace_color"), value(laces)),
                ]);
                let fit = suite.fit(case, &values);
                Scored {
                    id: ProductId::new(id).expect("id"),
                    title: (*title).to_owned(),
                    score: 0.4,
                    values,
                    fit,
                    points: points_at(place, fit, 5),
                }
            })
            .collect();
        CaseResult {
            name: case.name.clone(),
            kind: case.kind(),
            level: case.level,
            query: "Casual shoes with Beige shoelace.".to_owned(),
            expect: case.expect.clone(),
            points: results.iter().map(|r| r.points).sum(),
            results,
            maxima: case.maxima,
            seconds: 0.25,
            error: (case.level.number() == 3).then(|| "images/9.jpg: gone & <lost>".to_owned()),
        }
    });
    RetrievalResult {
        suite: suite.name.clone(),
        main: suite.main.clone(),
        detail: suite.detail.clone(),
        results: suite.results,
        warnings: vec!["other products".to_owned()],
        cases: cases.collect(),
    }
}

#[test]
fn a_document_reads_what_it_writes_and_compares_with_itself() {
    let document = document();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("result.json");
    std::fs::write(
        &path,
        serde_json::to_string_pretty(&document).expect("JSON"),
    )
    .expect("written");
    let again = Document::load(&path).expect("a document");
    // serde_json reads the last bit of a float differently without its feature float_roundtrip.
    assert_eq!(again.figures.len(), document.figures.len());
    for (ours, theirs) in document.figures.iter().zip(&again.figures) {
        assert_eq!(
            (&ours.name, ours.estimate.n),
            (&theirs.name, theirs.estimate.n)
        );
        assert!(
            (ours.estimate.value - theirs.estimate.value).abs() < 1e-12,
            "{}",
            ours.name
        );
        assert!(
            (ours.estimate.interval.low - theirs.estimate.interval.low).abs() < 1e-12,
            "{}",
            ours.name
        );
    }
    let tests = document.against(&again);
    assert_eq!(tests.len(), 3 + 2 + 12);
    assert!(
        tests
            .iter()
            .all(|(_, t)| t.better + t.worse == 0 && (t.p_value - 1.0).abs() < 1e-12)
    );
    let accuracy: &Estimate = document.figure("labeled.accuracy").expect("a figure");
    assert!((accuracy.value - 4.0 / 6.0).abs() < 1e-12);
    std::fs::write(&path, "{}").expect("written");
    assert!(Document::load(&path).is_err());
}
