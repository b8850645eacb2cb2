//! Feeds of every format, with the products that come out of them: see `tests/it/feeds`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::describe;
use super::mapping::Mapping;
use super::read::{Source, read};
use super::row::{Item, Record, Reject};
use crate::catalog::media::PictureSource;
use crate::catalog::media::hosts::PictureHosts;
use crate::catalog::media::read::PictureFiles;

#[derive(Deserialize)]
struct Said {
    rejects: Vec<SaidReject>,
    ignored: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct SaidReject {
    line: u64,
    id: Option<String>,
    lost: String,
    reason: String,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/feeds")
}

fn source(name: &str) -> Source {
    let feed = fixtures().join(name);
    let mapping = fixtures().join(format!(
        "{}.toml",
        name.split('.').next().unwrap_or_default()
    ));
    let mapping = if name.starts_with("plain") {
        fixtures().join("mapping.toml")
    } else {
        mapping
    };
    Source {
        mapping: mapping
            .exists()
            .then(|| Mapping::read(&mapping).expect("a mapping")),
        ..Source::feed(feed, vec![])
    }
}

/// As the expected files have it: without the pictures that are not there, which are named otherwise.
fn shown(record: &Record) -> Map<String, Value> {
    let mut row = describe::row(&record.product, &[]);
    let images = record.pictures.iter().map(|(_, source)| match source {
        PictureSource::Address(at) => at.clone(),
        other => panic!("{other}"),
    });
    let images: Vec<String> = images.collect();
    if !images.is_empty() {
        row.insert("images".to_owned(), json!(images));
    }
    row
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a test that goes through a whole way is long"
)]
fn what_comes_out_of_each_feed() {
    let mut names: Vec<String> = std::fs::read_dir(fixtures())
        .expect("fixtures")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    let feeds: Vec<&String> = names
        .iter()
        .filter(|name| names.contains(&format!("{name}.expected.json")))
        .collect();
    assert!(feeds.len() >= 12, "{names:?}");
    let hosts = PictureHosts::new(&["*".to_owned()]).expect("hosts");
    let mut wrong = Vec::new();
    for name in feeds {
        let photos = PictureFiles::new(hosts.clone());
        let (mut records, mut rejects) = (Vec::<Record>::new(), Vec::<Reject>::new());
        let mut emit = |item| {
            match item {
                Item::Record(record) => records.push(record),
                Item::Reject(reject) => rejects.push(reject),
            }
            true
        };
        let ignored = match read(&source(name), &photos, &mut emit) {
            Ok(ignored) => ignored,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let json = |suffix: &str| {
            std::fs::read_to_string(fixtures().join(format!("{name}.{suffix}.json")))
        };
        let expected: Vec<Map<String, Value>> =
            serde_json::from_str(&json("expected").expect("there")).expect("JSON");
        // Pictures in files are not beside the fixtures: each is a loss that names it.
        let here = |images: &Value| -> Vec<Value> {
            let all = images.as_array().into_iter().flatten().cloned();
            all.filter(|at| at.as_str().is_some_and(|at| at.contains("//")))
                .collect()
        };
        for (place, expected) in expected.iter().enumerate() {
            let mut expected = expected.clone();
            let images = expected.remove("images").unwrap_or_default();
            for missing in images
                .as_array()
                .into_iter()
                .flatten()
                .filter(|at| !here(&images).contains(at))
            {
                let is_named = rejects.iter().any(|reject| {
                    reject.lost.as_str() == "photo" && reject.reason.contains(&format!("{missing}"))
                });
                if !is_named {
                    wrong.push(format!("{name}: nobody looked for {missing}"));
                }
            }
            if !here(&images).is_empty() {
                expected.insert("images".to_owned(), json!(here(&images)));
            }
            let got = records.get(place).map(shown).unwrap_or_default();
            // A day is exported as the time at which it begins.
            if let Some(day) = expected.get("created").and_then(Value::as_str) {
                let time = format!("{day}T00:00:00Z");
                expected.insert("created".to_owned(), time.into());
            }
            if expected.get("attributes") == Some(&json!({})) {
                expected.remove("attributes");
            }
            if got != expected {
                let differs: BTreeSet<&String> = got.keys().chain(expected.keys()).collect();
                let differs = differs
                    .into_iter()
                    .filter(|field| got.get(*field) != expected.get(*field));
                let differs = differs.map(|field| {
                    format!(
                        "\n    {field}: {:?} is not {:?}",
                        got.get(field).map(Value::to_string),
                        expected.get(field).map(Value::to_string)
                    )
                });
                wrong.push(format!(
                    "{name} {}: {}",
                    expected["id"],
                    differs.collect::<String>()
                ));
            }
        }
        if records.len() != expected.len() {
            let ids: Vec<&str> = records
                .iter()
                .map(|record| record.product.id.as_str())
                .collect();
            wrong.push(format!(
                "{name}: {} products, {} expected: {ids:?}",
                records.len(),
                expected.len()
            ));
        }
        let said = json("said").map(|said| serde_json::from_str::<Said>(&said).expect("JSON"));
        let Ok(said) = said else { continue };
        for must in &said.rejects {
            let is_said = rejects.iter().any(|reject| {
                (reject.line, reject.lost.as_str()) == (must.line, must.lost.as_str())
                    && reject.id == must.id
                    && reject.reason.contains(&must.reason)
            });
            if !is_said {
                let near: Vec<&Reject> = rejects
                    .iter()
                    .filter(|reject| reject.line == must.line || reject.id == must.id)
                    .collect();
                wrong.push(format!(
                    "{name}: not said: {} {:?} {} {:?}; near: {near:?}",
                    must.line, must.id, must.lost, must.reason
                ));
            }
        }
        let more = rejects.iter().filter(|reject| {
            reject.lost.as_str() != "photo"
                && !said
                    .rejects
                    .iter()
                    .any(|must| must.line == reject.line && must.lost == reject.lost.as_str())
        });
        wrong.extend(more.map(|reject| format!("{name}: said too much: {reject:?}")));
        for (field, rows) in &said.ignored {
            if ignored.0.get(field).map(|field| field.rows) != Some(*rows) {
                wrong.push(format!(
                    "{name}: ignored {field:?} of {rows} rows: {:?}",
                    ignored.0.get(field)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
