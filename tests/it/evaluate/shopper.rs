//! `aglet evaluate shopper`: what shoppers type, asked of a real service.

use serde_json::{Value, json};

use super::service::Service;
use super::{aglet, labeled_catalog, path};

#[test]
fn the_command_scores_what_shoppers_type_by_kind_and_gates() {
    let folder = tempfile::tempdir().expect("a folder");
    let products = labeled_catalog(folder.path(), 40).products;
    let service = Service::start(folder.path(), 30);
    let mut lines: Vec<Value> = products[..5]
        .iter()
        .map(|labeled| {
            let id = labeled.product.id.as_str();
            json!({"q": id, "kind": "article number", "want": [{"id": [id]}], "relevant": 1})
        })
        .collect();
    let category = products[0]
        .product
        .attribute("category")
        .expect("a category");
    // By the column's name in Kaggle's layout, and by an expression.
    let of_category = products
        .iter()
        .filter(|labeled| labeled.product.attribute("category") == Some(category))
        .count();
    lines.push(
        json!({"q": category, "kind": "category", "want": [{"articleType": [category]}],
                      "relevant": of_category}),
    );
    lines.push(json!({"q": category, "kind": "never", "want": [{"title": "(?!)"}], "relevant": 3}));
    let queries = folder.path().join("queries.jsonl");
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(&queries, lines.join("\n")).expect("written");
    let result = folder.path().join("result.json");
    let run = |more: &[&str]| {
        let arguments = [
            "evaluate",
            "shopper",
            "--api",
            &service.url,
            "--queries",
            path(&queries),
            "--json",
            path(&result),
        ];
        aglet(&[&arguments[..], more].concat())
    };
    let output = run(&["--min-share", "shopper.article_number=1"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value =
        serde_json::from_slice(&std::fs::read(&result).expect("reads")).expect("JSON");
    let figure = |name: &str| {
        let figures = document["figures"].as_array().expect("figures");
        let found = figures.iter().find(|figure| figure["name"] == name);
        found.unwrap_or_else(|| panic!("{name}: {figures:?}"))["value"].clone()
    };
    assert_eq!(figure("shopper.article_number"), 1.0);
    assert_eq!(figure("shopper.category"), 1.0);
    assert_eq!(figure("shopper.never"), 0.0);
    let mean = figure("shopper").as_f64().expect("a number");
    assert!((mean - 2.0 / 3.0).abs() < 1e-9, "of the kinds: {mean}");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("(never)"), "the worst are listed: {shown}");
    // A gate that is not reached, and a paired test against itself.
    let failed = run(&["--min-share", "shopper=0.9"]);
    assert!(!failed.status.success());
    std::fs::copy(&result, folder.path().join("before.json")).expect("copied");
    let before = folder.path().join("before.json");
    let again = run(&["--baseline", path(&before)]);
    assert!(again.status.success());
    assert!(String::from_utf8_lossy(&again.stdout).contains("shopper_p10"));
}

#[test]
fn a_catalog_makes_its_own_queries_and_the_legs_are_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let products = labeled_catalog(folder.path(), 40).products;
    let service = Service::start(folder.path(), 30);
    let result = folder.path().join("result.json");
    let output = aglet(&[
        "evaluate",
        "shopper",
        "--api",
        &service.url,
        "--catalog",
        path(folder.path()),
        "--legs",
        "--json",
        path(&result),
        "--min-share",
        "hybrid.shopper_first.article_number=1",
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let document: Value =
        serde_json::from_slice(&std::fs::read(&result).expect("reads")).expect("JSON");
    let names: Vec<&str> = document["figures"]
        .as_array()
        .expect("figures")
        .iter()
        .map(|figure| figure["name"].as_str().expect("text"))
        .collect();
    for leg in ["hybrid", "lexical", "vector"] {
        assert!(
            names.contains(&format!("{leg}.shopper.article_number").as_str()),
            "{names:?}"
        );
    }
    let numbers = document["parts"][0]["shopper"]["queries"]
        .as_array()
        .expect("queries");
    let of_kind = numbers
        .iter()
        .filter(|query| query["kind"] == "article number");
    assert_eq!(of_kind.count(), products.len());
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("hybrid against vector"), "{shown}");
    let nothing = aglet(&["evaluate", "shopper", "--api", &service.url]);
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(
        !nothing.status.success() && said.contains("--queries FILE"),
        "{said}"
    );
}

#[test]
fn queries_that_are_none_are_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let queries = folder.path().join("queries.jsonl");
    std::fs::write(&queries, "{\"q\": \"shoes\"}\n").expect("written");
    let output = aglet(&[
        "evaluate",
        "shopper",
        "--api",
        "http://127.0.0.1:1",
        "--queries",
        path(&queries),
    ]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("line 1"), "{said}");
}
