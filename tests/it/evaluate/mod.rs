//! Evaluation end to end with a tiny model: suites, engines, benchmarks, reports, exit codes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;

use aglet::config::{Config, Settings};
use aglet::domain::{AttributeName, AttributeValue, Filters};
use aglet::encode::{Device, EncoderOptions};
use aglet::evaluate::benchmark::catalog::result::CatalogResult;
use aglet::evaluate::benchmark::catalog::{Among, CatalogOptions, run as catalog};
use aglet::evaluate::benchmark::compare::{Comparison, Rule, Tasks};
use aglet::evaluate::benchmark::document::{Document, Outcome, Part};
use aglet::evaluate::benchmark::{retrieval, zero_shot};
use aglet::evaluate::data::labeled_catalog::{LabeledCatalog, source_at};
use aglet::evaluate::data::labeled_images::{fashion_mnist, products};
use aglet::evaluate::data::prompts::Prompts;
use aglet::evaluate::data::split::held_out;
use aglet::evaluate::data::suite::{Case, Query, QueryKind, Suite};
use aglet::evaluate::data::suite_build::{self, SuiteOptions, default_prompt};
use aglet::evaluate::report::html;
use aglet::evaluate::stats::scoring::{Level, RESULTS};
use aglet::evaluate::subject::Engine;
use aglet::evaluate::subject::api::ApiEngine;
use aglet::evaluate::subject::embedder::Embedder;
use aglet::evaluate::subject::folder::FolderEngine;
use aglet::model::ModelFolder;

use crate::support;
use crate::support::clip::tiny_model;
use api_server::ApiServer;
use service::Service;

mod api_server;
mod drawn;
mod service;
mod shopper;

const COLORS: [(&str, [u8; 3]); 4] = [
    ("white", [240, 240, 240]),
    ("black", [20, 20, 20]),
    ("red", [200, 20, 30]),
    ("navy blue", [20, 30, 110]),
];
const CATEGORIES: [&str; 3] = ["Casual Shoes", "Formal Shoes", "Sports Shoes"];

fn options() -> EncoderOptions {
    let settings = Settings {
        runtime: Some(support::runtime()),
        device: Some(Device::Cpu),
        session_threads: Some(1),
        ..Settings::default()
    };
    Config::check(settings).expect("valid").encoder
}

/// No input has company in its batch: what comes of it is then the same to the last bit, in a
/// folder as in a service.
fn one_by_one() -> EncoderOptions {
    EncoderOptions {
        max_batch: 1,
        ..options()
    }
}

fn embedder(cache: Option<&Path>) -> Embedder {
    embedder_with(&options(), cache)
}

fn embedder_with(options: &EncoderOptions, cache: Option<&Path>) -> Embedder {
    let folder = ModelFolder::open(&tiny_model()).expect("the tiny model");
    Embedder::start(&folder, options, cache).expect("starts")
}

/// A catalog of flat colored pictures with a little noise, so that no two are the same.
fn write_catalog(folder: &Path, products: usize) {
    std::fs::create_dir_all(folder.join("photos")).expect("a folder");
    let mut lines = String::new();
    for number in 0..products {
        let (color, rgb) = COLORS[number % 4];
        let (laces, _) = COLORS[number / 4 % 4];
        let category = CATEGORIES[number / 16 % 3];
        let gender = ["Men", "Women"][number / 48 % 2];
        let shade = |x: u32, y: u32| {
            let noise = (x * 31 + y * 17 + u32::try_from(number).expect("small") * 7) % 23;
            image::Rgb(rgb.map(|v| v.saturating_add(u8::try_from(noise).expect("below 23"))))
        };
        let photo = image::RgbImage::from_fn(24, 24, shade);
        photo
            .save(folder.join(format!("photos/{number}.png")))
            .expect("written");
        let attributes = format!(
            r#"{{"category": "{category}", "color": "{color}", "gender": "{gender}", "shoelace_color": "{laces}"}}"#
        );
        let _ = writeln!(
            lines,
            r#"{{"id": "{number}", "title": "Shoe {}", "image": "photos/{number}.png", "attributes": {attributes}}}"#,
            number / 2
        );
    }
    std::fs::write(folder.join("products.jsonl"), lines).expect("written");
}

fn labeled_catalog(folder: &Path, products: usize) -> LabeledCatalog {
    write_catalog(folder, products);
    LabeledCatalog::read(&source_at(folder, &[], None).expect("a catalog")).expect("readable")
}

fn name(name: &str) -> AttributeName {
    AttributeName::new(name).expect("name")
}

/// The suite over the catalog, written with its photos into the folder.
fn suite(catalog: &LabeledCatalog, folder: &Path) -> Suite {
    let detail = name("shoelace_color");
    let options = SuiteOptions {
        name: "test".to_owned(),
        main: name("category"),
        prompt: default_prompt(&detail),
        detail,
        without: vec![AttributeValue::new("none").expect("value")],
        results: RESULTS,
        per_level: None,
        seed: 3,
        filters: std::collections::BTreeMap::new(),
        held_out: false,
        words: false,
    };
    let suite = suite_build::of_catalog(&options, catalog).expect("something to ask");
    suite_build::save(&suite, catalog, &folder.join("suite.json")).expect("written");
    Suite::load(&folder.join("suite.json")).expect("consistent")
}

/// With the embeddings kept in the folder: two engines of one test then have the same to the last
/// bit, whatever batches the pictures went through in.
fn folder_engine(catalog: LabeledCatalog, folder: &Path) -> FolderEngine {
    FolderEngine::new(
        embedder(Some(&folder.join("kept"))),
        catalog,
        "tiny",
        0,
        |_| {},
    )
    .expect("embedded")
}

#[test]
fn a_suite_scores_the_same_in_the_folder_and_through_the_api() {
    let folder = tempfile::tempdir().expect("a folder");
    let products = labeled_catalog(folder.path(), 70);
    let suite = suite(&products, folder.path());
    assert!(suite.cases.iter().any(|c| c.kind() == QueryKind::Image));
    let mut local = folder_engine(products.clone(), folder.path());
    let here = retrieval::run(&mut local, &suite, folder.path(), |_| {});

    let service = ApiServer::start(folder_engine(products, folder.path()), Some("secret"));
    let mut api = ApiEngine::connect(&service.url, Some("secret")).expect("connects");
    assert_eq!(api.subject().model_id, local.subject().model_id);
    let there = retrieval::run(&mut api, &suite, folder.path(), |_| {});

    assert_eq!(
        (here.errors(), there.errors()),
        (0, 0),
        "{:?}",
        there.cases.iter().find_map(|c| c.error.clone())
    );
    for (a, b) in here.cases.iter().zip(&there.cases) {
        let ids = |case: &retrieval::CaseResult| {
            case.results
                .iter()
                .map(|r| r.id.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(a), ids(b), "{}", a.name);
        assert_eq!(a.points, b.points, "{}", a.name);
        assert_eq!(a.results.len(), RESULTS);
        assert!(
            a.results.iter().all(|r| r.id.as_str() != a.query),
            "{}: the query's own product came back",
            a.name
        );
    }
    assert!(
        service.uploads.load(Ordering::SeqCst) > 0,
        "photos went up as uploads"
    );
    assert!(
        api.picture(&here.cases[0].results[0].id)
            .is_some_and(|p| p.starts_with(b"\x89PNG"))
    );
}

#[test]
fn the_real_service_gives_the_scores_of_the_model_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let products = labeled_catalog(folder.path(), 70);
    let suite = suite(&products, folder.path());
    for words_percent in [0, 30] {
        let embedder = embedder_with(&one_by_one(), None);
        let mut local =
            FolderEngine::new(embedder, products.clone(), "tiny", words_percent, |_| {})
                .expect("embedded");
        let here = retrieval::run(&mut local, &suite, folder.path(), |_| {});
        let service = Service::start(folder.path(), words_percent);
        let mut api = ApiEngine::connect_by(&service.url, None, Some("vector")).expect("connects");
        assert_eq!(api.count(&[]).expect("answers"), suite.pool.products);
        assert_eq!(api.subject().words_percent, Some(words_percent));
        let there = retrieval::run(&mut api, &suite, folder.path(), |_| {});
        assert_eq!(
            (here.errors(), there.errors()),
            (0, 0),
            "{:?}",
            there.cases.iter().find_map(|c| c.error.clone())
        );
        // Exactly: both keep vectors in bf16, score all of so few products with the same dot
        // product, and put equal ones in the order of the catalog. What batches do to an
        // embedding's last bits, which may round to another bf16, is ruled out by having none.
        for (a, b) in here.cases.iter().zip(&there.cases) {
            let ids = |case: &retrieval::CaseResult| {
                case.results
                    .iter()
                    .map(|r| r.id.clone())
                    .collect::<Vec<_>>()
            };
            assert_eq!(ids(a), ids(b), "words {words_percent}%: {}", a.name);
            assert_eq!(a.points, b.points, "words {words_percent}%: {}", a.name);
        }
    }
}

#[test]
fn filters_of_the_suite_restrict_both_ways() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = labeled_catalog(folder.path(), 96);
    let only = (name("gender"), AttributeValue::new("Men").expect("value"));
    let men = all
        .clone()
        .only(&Filters::new([only.clone()]).expect("few"), |_| true);
    assert_eq!((all.products.len(), men.products.len()), (96, 48));
    let mut suite = suite(&men, folder.path());
    suite.pool.filters.insert(only.0, vec![only.1]);
    let here = retrieval::run(
        &mut folder_engine(all.clone(), folder.path()),
        &suite,
        folder.path(),
        |_| {},
    );
    let service = ApiServer::start(folder_engine(all, folder.path()), None);
    let mut api = ApiEngine::connect(&service.url, None).expect("connects");
    let there = retrieval::run(&mut api, &suite, folder.path(), |_| {});
    for (a, b) in here.cases.iter().zip(&there.cases) {
        assert_eq!(a.results, b.results, "{}", a.name);
        let man = |r: &retrieval::Scored| men.find(&r.id).is_some();
        assert!(a.results.iter().all(man), "{}", a.name);
    }
}

#[test]
fn the_catalog_benchmark_scores_the_same_both_ways() {
    let folder = tempfile::tempdir().expect("a folder");
    let products = labeled_catalog(folder.path(), 1_500);
    for among in [Among::HeldOut, Among::All] {
        let options = CatalogOptions {
            among,
            questions: 5,
            photos: 20,
            titles: 20,
            seed: 1,
        };
        let mut local = folder_engine(products.clone(), folder.path());
        let here = catalog::run(&mut local, &products, &options, |_, _| {}).expect("answers");
        let mut few = folder_engine(options.answering(&products), folder.path());
        let whole = catalog::full_titles(&mut few, &options).expect("answers");
        // Products that do not answer need not be there, but for the vote on what a photo shows.
        let alone = catalog::run(&mut few, &products, &options, |_, _| {}).expect("answers");
        let results = |r: &CatalogResult| {
            r.questions
                .iter()
                .map(|q| q.results.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(results(&alone), results(&here));
        let service = ApiServer::start(folder_engine(products.clone(), folder.path()), None);
        let mut api = ApiEngine::connect(&service.url, None).expect("connects");
        let there = catalog::run(&mut api, &products, &options, |_, _| {}).expect("answers");
        assert!(
            here.failures.is_empty() && there.failures.is_empty(),
            "{:?}",
            there.failures
        );
        assert_eq!(
            (here.questions.len(), here.photos.len(), here.titles.len()),
            (10, 20, 20)
        );
        assert_eq!(here.figures(&[]), there.figures(&[]), "{among:?}");
        let names: Vec<String> = here.figures(&whole).into_iter().map(|f| f.name).collect();
        for wanted in [
            "text_category_p10",
            "color_type_p10",
            "image_category_p10",
            "title_recall_10",
            "title_map",
            "color_p1",
        ] {
            assert!(names.contains(&wanted.to_owned()), "{wanted}");
        }
        for question in &here.questions {
            assert_eq!(question.results.len(), 10);
            let held = question.results.iter().all(|id| held_out(id.as_str()));
            assert_eq!(held, among == Among::HeldOut, "{}", question.text);
        }
    }
}

#[test]
fn a_busy_service_is_asked_again_and_an_error_names_its_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = ApiServer::start(
        folder_engine(labeled_catalog(folder.path(), 8), folder.path()),
        Some("secret"),
    );
    service.busy.store(2, Ordering::SeqCst);
    ApiEngine::connect(&service.url, Some("secret")).expect("the third answer is a good one");
    assert_eq!(service.busy.load(Ordering::SeqCst), 0);
    let error = ApiEngine::connect(&service.url, Some("wrong"))
        .err()
        .expect("refused")
        .to_string();
    assert!(
        error.contains("401") && error.contains("(no_entry)") && error.contains("who are you"),
        "{error}"
    );
    assert!(ApiEngine::connect("http://127.0.0.1:1", None).is_err());
}

#[test]
fn pictures_are_embedded_once_and_broken_ones_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("cache");
    let products = labeled_catalog(folder.path(), 12);
    std::fs::write(folder.path().join("photos/5.png"), b"no picture").expect("written");
    let set = products::read(&products, &name("color"), "colors").expect("labels");
    assert_eq!(set.classes, ["black", "navy blue", "red", "white"]);
    let prompts = Prompts::for_attribute(&name("color"));
    let run = |cache: &Path| {
        zero_shot::run(&mut embedder(Some(cache)), &set, &prompts, |_| {}).expect("classified")
    };
    let first = run(&cache);
    assert_eq!(
        (first.left_out, first.top.images, first.report.support),
        (1, 11, 11)
    );
    let size = || {
        let files = std::fs::read_dir(&cache)
            .expect("a folder")
            .map(|e| e.expect("entry").metadata().expect("size").len());
        files.collect::<Vec<_>>()
    };
    let kept = size();
    assert_eq!(kept, [11 * (32 + 4 * 24)]);
    let again = run(&cache);
    assert_eq!(again.places, first.places);
    assert_eq!(size(), kept, "nothing was embedded again");
}

#[test]
fn fashion_mnist_in_its_own_format() {
    let Some(data) = support::shared_data("fashion_mnist_in_its_own_format") else {
        return;
    };
    let mut set = fashion_mnist::read(&data.join("fashion-mnist")).expect("idx files");
    assert_eq!((set.items.len(), set.classes.len()), (10_000, 10));
    set.thin(200);
    let result =
        zero_shot::run(&mut embedder(None), &set, &set.prompts(), |_| {}).expect("classified");
    assert_eq!((result.report.support, result.left_out), (200, 0));
    assert!(
        result.classes.contains(&"T-shirt/top".to_owned()),
        "classes keep their names"
    );
}

#[test]
fn what_a_model_answered_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let products = labeled_catalog(folder.path(), 70);
    let suite = suite(&products, folder.path());
    let set = products::read(&products, &name("shoelace_color"), "laces").expect("labels");
    let tasks = Tasks {
        pretest: Some((
            set,
            Prompts::of(&["{category} with {} shoelaces".to_owned()]),
        )),
        suite: Some((suite, folder.path().to_owned(), products)),
        ..Tasks::default()
    };
    let cache = folder.path().join("cache");
    let measure = || {
        let mut doing = Vec::new();
        let mut hear = |text: &str| doing.push(text.to_owned());
        let document = tasks
            .measure(&tiny_model(), &options(), &cache, &mut hear)
            .expect("measured");
        (document, doing)
    };
    let (first, doing) = measure();
    assert!(doing.iter().all(|d| !d.contains("is known")), "{doing:?}");
    let (second, doing) = measure();
    assert!(
        doing.len() == 2 && doing.iter().all(|d| d.contains("is known")),
        "{doing:?}"
    );
    assert_eq!(first.figures, second.figures);
    let models = vec![("base".to_owned(), first), ("same".to_owned(), second)];
    let comparison = Comparison::new(models, &Rule::default());
    assert_eq!(comparison.best, Some(0), "{:?}", comparison.why);
    let page = html::comparison(&comparison);
    assert!(page.contains("Best: <b>base</b>") && page.contains("retrieval.c"));
}

#[test]
fn a_part_is_measured_again_where_a_picture_changed_or_a_case_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let products = labeled_catalog(folder.path(), 70);
    let suite = suite(&products, folder.path());
    let query = folder
        .path()
        .join(suite.cases.iter().find_map(image_of).expect("a photo"));
    let tasks = Tasks {
        suite: Some((suite, folder.path().to_owned(), products)),
        ..Tasks::default()
    };
    let cache = folder.path().join("cache");
    let known = || {
        let mut doing = Vec::new();
        let document = tasks.measure(&tiny_model(), &options(), &cache, &mut |text| {
            doing.push(text.to_owned());
        });
        let failures: usize = document
            .expect("measured")
            .parts
            .iter()
            .map(|part| part.outcome.failures())
            .sum();
        (doing.iter().any(|text| text.contains("is known")), failures)
    };
    assert_eq!((known(), known()), ((false, 0), (true, 0)));
    std::fs::copy(
        folder.path().join("photos/1.png"),
        folder.path().join("photos/2.png"),
    )
    .expect("another photo");
    assert_eq!((known(), known()), ((false, 0), (true, 0)));
    let photo = std::fs::read(&query).expect("beside the suite");
    std::fs::write(&query, b"no picture").expect("written");
    assert_eq!(
        (known(), known()),
        ((false, 1), (false, 1)),
        "what failed is not kept"
    );
    std::fs::write(&query, photo).expect("written");
    assert_eq!(known(), (true, 0));
}

fn image_of(case: &Case) -> Option<&Path> {
    match &case.query {
        Query::Image { image, .. } => Some(image),
        Query::Text { .. } => None,
    }
}

#[test]
fn what_is_no_photo_is_neither_asked_nor_supplied() {
    let folder = tempfile::tempdir().expect("a folder");
    let products = labeled_catalog(folder.path(), 70);
    let before = suite(&products, folder.path());
    for number in 0..16 {
        // All of one category, whatever its laces.
        std::fs::write(
            folder.path().join(format!("photos/{number}.png")),
            b"\x89PNG\r\n\x1a\n no more",
        )
        .expect("written");
    }
    let after = suite(&products, folder.path());
    let casual = |suite: &Suite, kind: QueryKind| {
        let of = suite
            .cases
            .iter()
            .filter(|c| c.kind() == kind && c.name.contains("Casual Shoes, white"));
        of.map(|case| case.supply.both).collect::<Vec<_>>()
    };
    // Of products 0 to 69 the first 16 and 48 to 63 are casual shoes; four of each sixteen have
    // white laces.
    assert_eq!(
        (
            casual(&before, QueryKind::Text),
            casual(&after, QueryKind::Text)
        ),
        (vec![8], vec![4])
    );
    assert_eq!(
        (
            casual(&before, QueryKind::Image),
            casual(&after, QueryKind::Image)
        ),
        (vec![7], vec![3])
    );
    assert_eq!(after.pool, before.pool, "the catalog is the same");
}

fn aglet(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_aglet"))
        .args(arguments)
        .env("AGLET_RUNTIME", support::runtime())
        .env_remove("AGLET_API_KEY")
        .output()
        .expect("runs")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn the_command_builds_a_suite_measures_it_and_gates() {
    let folder = tempfile::tempdir().expect("a folder");
    write_catalog(folder.path(), 70);
    let file = |name: &str| folder.path().join("out").join(name);
    std::fs::create_dir(folder.path().join("out")).expect("a folder");
    let (catalog, suite, model) = (folder.path(), file("suite.json"), tiny_model());
    let built = aglet(&[
        "suite",
        "build",
        "--catalog",
        path(catalog),
        "--out",
        path(&suite),
        "--per-level",
        "3",
    ]);
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    assert!(Suite::load(&suite).expect("a suite").cases.len() >= 6);

    let (json, junit, html) = (file("r.json"), file("r.xml"), file("r.html"));
    let arguments = [
        "evaluate",
        "retrieval",
        "--suite",
        path(&suite),
        "--catalog",
        path(catalog),
        "--model",
        path(&model),
        "--device",
        "cpu",
    ];
    let outputs = [
        "--json",
        path(&json),
        "--junit",
        path(&junit),
        "--html",
        path(&html),
    ];
    let run = |more: &[&str]| aglet(&[&arguments[..], more].concat());
    let good = run(&[&outputs[..], &["--min-share", "a=0"]].concat());
    assert!(
        good.status.success(),
        "{}",
        String::from_utf8_lossy(&good.stderr)
    );
    let table = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(
        table.contains("text, level 1") && table.contains("of attainable"),
        "{table}"
    );
    let document = Document::load(&json).expect("a result");
    assert!(matches!(
        document.parts[..],
        [Part {
            outcome: Outcome::Retrieval(_),
            ..
        }]
    ));
    assert!(
        std::fs::read_to_string(&junit)
            .expect("XML")
            .contains("<testsuite name=\"gates\" tests=\"1\" failures=\"0\"")
    );
    assert!(
        std::fs::read_to_string(&html)
            .expect("HTML")
            .contains("data:image/jpeg;base64,")
    );

    let compared = run(&["--baseline", path(&json)]);
    let table = String::from_utf8_lossy(&compared.stdout).into_owned();
    assert!(
        table.contains("against the baseline") && table.contains("image.c"),
        "{table}"
    );
    let verdicts = |what: &str| {
        table
            .lines()
            .filter(|l| l.split_whitespace().nth(1) == Some(what))
            .count()
    };
    assert_eq!(
        (verdicts("not"), verdicts("better"), verdicts("worse")),
        (12, 0, 0),
        "it is as good as itself: {table}"
    );
    let failed = run(&["--min-share", "c=0.999"]);
    assert!(!failed.status.success());
    assert!(String::from_utf8_lossy(&failed.stdout).contains("FAILED"));
    let unknown = run(&["--min-share", "no_such_figure=0"]);
    assert!(
        !unknown.status.success(),
        "a gate on a figure that does not exist fails"
    );
}

#[test]
fn the_command_asks_a_service_with_its_key_and_says_how_it_mixes() {
    let folder = tempfile::tempdir().expect("a folder");
    let products = labeled_catalog(folder.path(), 70);
    suite(&products, folder.path());
    let at = |name: &str| folder.path().join(name);
    let (suite, json, html) = (at("suite.json"), at("out/r.json"), at("out/r.html"));
    let ask = |url: &str, more: &[&str]| {
        aglet(
            &[
                &[
                    "evaluate",
                    "retrieval",
                    "--suite",
                    path(&suite),
                    "--api",
                    url,
                ][..],
                more,
            ]
            .concat(),
        )
    };
    let engine =
        FolderEngine::new(embedder(None), products.clone(), "tiny", 30, |_| {}).expect("embedded");
    let service = ApiServer::start(engine, Some("secret"));
    for refused in [
        ask(&service.url, &[]),
        ask(&service.url, &["--api-key", "other"]),
    ] {
        assert!(!refused.status.success());
        assert!(String::from_utf8_lossy(&refused.stderr).contains("401 (no_entry)"));
    }
    let outputs = [
        "--api-key",
        "secret",
        "--json",
        path(&json),
        "--html",
        path(&html),
    ];
    let mixed = ask(&service.url, &outputs);
    assert!(
        mixed.status.success(),
        "{}",
        String::from_utf8_lossy(&mixed.stderr)
    );
    assert!(
        service.uploads.load(Ordering::SeqCst) > 0,
        "photos went up with the key too"
    );
    let said = "words make up 30% of each product";
    assert!(String::from_utf8_lossy(&mixed.stdout).contains(said));
    assert!(
        std::fs::read_to_string(&html)
            .expect("a report")
            .contains(said)
    );
    assert_eq!(
        Document::load(&json)
            .expect("a result")
            .subject
            .words_percent,
        Some(30)
    );

    let plain = ApiServer::start(folder_engine(products, folder.path()), None);
    let compared = ask(&plain.url, &["--baseline", path(&json)]);
    assert!(
        compared.status.success(),
        "{}",
        String::from_utf8_lossy(&compared.stderr)
    );
    let table = String::from_utf8_lossy(&compared.stdout).into_owned();
    assert!(!table.contains(said), "{table}");
    assert!(
        table.contains(
            "warning: words make up 0% of a product's vector here and 30% in the baseline"
        ),
        "{table}"
    );
}

#[test]
fn a_baseline_that_cannot_be_compared_with_is_refused_before_anything_is_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    write_catalog(folder.path(), 20);
    let at = |name: &str| folder.path().join(name);
    let (json, again, model) = (at("color.json"), at("again/color.json"), tiny_model());
    let colors = format!("set:{}@color", path(folder.path()));
    let laces = format!("set:{}@shoelace_color", path(folder.path()));
    let classify = |data: &str, more: &[&str]| {
        let given = [
            "evaluate",
            "classify",
            "--model",
            path(&model),
            "--device",
            "cpu",
            "--data",
            data,
        ];
        aglet(&[&given[..], more].concat())
    };
    assert!(classify(&colors, &["--json", path(&json)]).status.success());
    let other = classify(&laces, &["--baseline", path(&json), "--json", path(&again)]);
    assert!(!other.status.success() && other.stdout.is_empty() && !again.exists());
    assert!(String::from_utf8_lossy(&other.stderr).contains("was measured on other data"));
    assert!(
        !classify(&colors, &["--baseline", path(&at("none.json"))])
            .status
            .success()
    );
    // A gate that fails does so after everything is written.
    let failed = classify(
        &colors,
        &[
            "--baseline",
            path(&json),
            "--json",
            path(&again),
            "--min-share",
            "top_5=1.0",
            "--min-share",
            "none=0",
        ],
    );
    assert!(!failed.status.success() && Document::load(&again).is_ok());
}

#[test]
fn classes_may_come_from_the_whole_catalog() {
    let folder = tempfile::tempdir().expect("a folder");
    write_catalog(folder.path(), 70);
    let (json, file, model) = (
        folder.path().join("r.json"),
        folder.path().join("classes.txt"),
        tiny_model(),
    );
    std::fs::write(&file, "White\nblack\n\nRed\nnavy blue\nteal\nwhite\n").expect("written");
    let run = |more: &[&str]| {
        let given = [
            "evaluate",
            "zero-shot",
            "--catalog",
            path(folder.path()),
            "--model",
            path(&model),
            "--attribute",
        ];
        let given = [
            &given[..],
            &[
                "color",
                "--where",
                "color=white",
                "--where",
                "color=red",
                "--json",
                path(&json),
            ],
            more,
        ];
        let output = aglet(&given.concat());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        let document = Document::load(&json).expect("a result");
        let Outcome::ZeroShot(result) = &document.parts[0].outcome else {
            panic!("a labeled set")
        };
        (result.classes.clone(), result.occurring(), table)
    };
    let (classes, occur, table) = run(&[]);
    assert_eq!(
        (classes, occur),
        (["red", "white"].map(str::to_owned).to_vec(), 2)
    );
    assert!(table.contains("2 classes asked, 2 occur"), "{table}");
    let (classes, occur, table) = run(&["--classes", "all", "--without", "black"]);
    assert_eq!(
        (classes, occur),
        (["navy blue", "red", "white"].map(str::to_owned).to_vec(), 2)
    );
    assert!(table.contains("3 classes asked, 2 occur"), "{table}");
    assert_eq!(
        run(&["--classes", path(&file)]).0,
        ["White", "black", "Red", "navy blue", "teal"]
    );
}

#[test]
fn a_benchmark_with_unanswered_questions_fails_after_it_wrote_them_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let products = labeled_catalog(folder.path(), 400);
    let service = ApiServer::start(folder_engine(products, folder.path()), None);
    let (json, junit) = (
        folder.path().join("out/r.json"),
        folder.path().join("out/r.xml"),
    );
    let ask = || {
        aglet(&[
            "evaluate",
            "benchmark",
            "--catalog",
            path(folder.path()),
            "--api",
            &service.url,
            "--photos",
            "4",
            "--titles",
            "4",
            "--json",
            path(&json),
            "--junit",
            path(&junit),
        ])
    };
    let good = ask();
    assert!(
        good.status.success(),
        "{}",
        String::from_utf8_lossy(&good.stderr)
    );
    service.broken.store(1, Ordering::SeqCst);
    let failed = ask();
    assert!(!failed.status.success());
    assert!(String::from_utf8_lossy(&failed.stderr).contains("1 questions were not answered"));
    assert!(String::from_utf8_lossy(&failed.stdout).contains("1 FAILED"));
    let failures: usize = Document::load(&json)
        .expect("a result")
        .parts
        .iter()
        .map(|p| p.outcome.failures())
        .sum();
    assert_eq!(failures, 1);
    assert!(
        std::fs::read_to_string(&junit)
            .expect("XML")
            .contains("errors=\"1\"")
    );
}

#[test]
fn the_bundled_suite_asks_in_words_and_by_photo_at_every_level() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/retrieval");
    let suite = Suite::load(&folder.join("suite.json")).expect("consistent");
    for kind in [QueryKind::Text, QueryKind::Image] {
        for level in Level::ALL {
            // Of every combination that was drawn at all there are several shoes: no photo is of
            // level 3.
            let drawn = (kind, level) != (QueryKind::Image, Level::Three);
            assert_eq!(
                suite
                    .cases
                    .iter()
                    .any(|c| c.kind() == kind && c.level == level),
                drawn,
                "{kind:?} {level:?}"
            );
        }
    }
    for case in &suite.cases {
        if let Query::Image { image, .. } = &case.query {
            let photo = std::fs::read(folder.join(image)).expect("beside the suite");
            assert!(
                image::load_from_memory(&photo).is_ok(),
                "{}",
                image.display()
            );
        }
    }
}
