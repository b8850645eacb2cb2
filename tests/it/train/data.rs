//! From a catalog to a data set: prepare, enrich (against a stand-in for Ollama), label (through
//! its routes).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aglet::catalog::source::Source;
use aglet::demo;
use aglet::domain::AttributeName;
use aglet::evaluate::data::data_set::{self, Entry, PictureLocation, Side};
use aglet::train::data::set::enrich::{self, Asking, EnrichError};
use aglet::train::data::set::prepare::{self, Preparation, PreparationReport, PrepareError};
use aglet::train::data::set::split::TestSide;
use aglet::train::data::set::templates::{self, Templates};
use aglet::train::tools::label::{self, Decision, Item, LabelError, Labeling, Task};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).expect("a name")
}

/// A drawn catalog of 60 products, two of which share their picture, with a picture missing and one
/// broken.
fn catalog(folder: &Path) -> PathBuf {
    let shop = folder.join("shop");
    let plan = demo::Plan {
        out: &shop,
        products: 60,
        seed: 5,
        force: false,
        threads: 2,
    };
    demo::write(&plan, |_| {}).expect("drawn");
    let image = |id: u64| shop.join(format!("images/{id}.jpg"));
    fs::copy(image(100_001), image(100_002)).expect("a twin");
    fs::remove_file(image(100_003)).expect("removed");
    fs::write(image(100_004), "no picture").expect("broken");
    shop
}

fn plan(shop: &Path) -> Preparation {
    Preparation {
        source: Source::kaggle(
            shop.join("styles.csv"),
            vec![shop.join("images")],
            Some(shop.join("shoelaces.csv")),
        ),
        filters: Vec::new(),
        labels: Vec::new(),
        require: Vec::new(),
        class: name("category"),
        test: TestSide::Part(0.2),
        validation: 0.1,
        seed: 1,
        templates: Templates::parse(templates::DEFAULT).expect("templates"),
    }
}

fn sides(folder: &Path) -> BTreeMap<Side, Vec<Entry>> {
    Side::ALL
        .map(|side| (side, data_set::read_side(folder, side).expect("a side")))
        .into()
}

fn prepared(plan: &Preparation, out: &Path) -> PreparationReport {
    prepare::prepare(plan, out, |_, _| {}).expect("prepared")
}

#[test]
fn a_catalog_becomes_a_data_set_that_says_what_was_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let shop = catalog(folder.path());
    let set = folder.path().join("set");
    let report = prepared(&plan(&shop), &set);
    let sides = sides(&set);
    assert_eq!(sides.values().map(Vec::len).sum::<usize>(), 58);
    assert_eq!(report.products.values().sum::<usize>(), 58);
    assert_eq!(report.duplicates, 2);
    let dropped: Vec<(&str, u64)> = report
        .dropped
        .iter()
        .map(|(why, n)| (why.as_str(), *n))
        .collect();
    assert_eq!(
        dropped,
        [
            ("with a picture that cannot be read", 1),
            ("without a picture", 1)
        ]
    );
    let side_of = |id: &str| {
        sides
            .iter()
            .find(|(_, e)| e.iter().any(|e| e.id == id))
            .map(|(side, _)| *side)
    };
    assert!(side_of("100001").is_some());
    assert_eq!(side_of("100001"), side_of("100002"), "twins stay together");
    for entry in sides.values().flatten() {
        assert!(
            entry.captions.contains(&entry.title.to_lowercase()),
            "{entry:?}"
        );
        let laces = &entry.attributes["shoelace_color"][0];
        let told = entry
            .captions
            .iter()
            .any(|c| c.contains(&format!("with {laces} shoelaces")));
        assert_eq!(told, laces != "none", "{entry:?}");
        assert!(matches!(&entry.image, PictureLocation::File { file } if file.is_file()));
    }
    let again = folder.path().join("again");
    prepared(&plan(&shop), &again);
    for file in [
        "train.jsonl",
        "validation.jsonl",
        "test.jsonl",
        "report.json",
        "captions.toml",
    ] {
        assert_eq!(
            fs::read(set.join(file)).expect(file),
            fs::read(again.join(file)).expect(file),
            "{file}"
        );
    }
    let refused = prepare::prepare(&plan(&shop), &set, |_, _| {});
    assert!(
        matches!(refused, Err(PrepareError::Exists { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_photo_that_ends_too_soon_is_dropped_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let shop = catalog(folder.path());
    let photo = shop.join("images/100006.jpg");
    let bytes = fs::read(&photo).expect("a photo");
    fs::write(&photo, &bytes[..bytes.len() / 2]).expect("cut");
    let report = prepared(&plan(&shop), &folder.path().join("set"));
    assert_eq!(report.products.values().sum::<usize>(), 57);
    let (_, reason) = report
        .dropped_products
        .iter()
        .find(|(id, _)| id == "100006")
        .expect("dropped");
    assert!(
        reason.contains("broken"),
        "its header is whole, its rows are not: {reason}"
    );
}

#[test]
fn columns_filter_and_labels_join() {
    let folder = tempfile::tempdir().expect("a folder");
    let shop = catalog(folder.path());
    let labels = folder.path().join("soles.csv");
    fs::write(
        &labels,
        "id,sole,by\n100001,rubber,me\n100005,leather,me\n1,wood,me\n",
    )
    .expect("written");
    let chosen = |filters: &[(&str, &str)], out: &str| {
        let filters = filters
            .iter()
            .map(|(c, v)| ((*c).to_owned(), (*v).to_owned()))
            .collect();
        let plan = Preparation {
            filters,
            labels: vec![(name("sole"), labels.clone())],
            ..plan(&shop)
        };
        prepare::prepare(&plan, &folder.path().join(out), |_, _| {})
    };
    let report = chosen(
        &[
            ("subCategory", "shoes"),
            ("articleType", "Boots"),
            ("articleType", "Heels"),
        ],
        "some",
    );
    report.expect("prepared");
    let entries: Vec<Entry> = sides(&folder.path().join("some"))
        .into_values()
        .flatten()
        .collect();
    let kinds: BTreeSet<&str> = entries
        .iter()
        .map(|e| e.attributes["category"][0].as_str())
        .collect();
    assert_eq!(kinds, BTreeSet::from(["Boots", "Heels"]));
    let report = chosen(&[("sole", "Rubber")], "rubber").expect("prepared");
    assert_eq!(report.products.values().sum::<usize>(), 1);
    assert_eq!(
        report.unused_labels["sole"], 2,
        "of a product that was left out and of a stranger"
    );
    assert_eq!(report.classes["sole"]["rubber"].values().sum::<usize>(), 1);
    let nothing = chosen(&[("color", "Mauve")], "nothing");
    assert!(
        matches!(&nothing, Err(PrepareError::Empty(why)) if why["left out by the filters"] == 60),
        "{nothing:?}"
    );
    assert!(!folder.path().join("nothing").exists());
}

#[test]
fn mistakes_in_templates_and_label_files_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let shop = catalog(folder.path());
    let out = folder.path().join("set");
    let typo = Templates::parse("templates = ['{colour} {title}']").expect("templates");
    let wrong = prepare::prepare(
        &Preparation {
            templates: typo,
            ..plan(&shop)
        },
        &out,
        |_, _| {},
    );
    assert!(
        matches!(&wrong, Err(PrepareError::Slots(names)) if names == &["colour"]),
        "{wrong:?}"
    );
    let labels = vec![(name("sole"), shop.join("shoelaces.csv"))];
    let wrong = prepare::prepare(
        &Preparation {
            labels,
            ..plan(&shop)
        },
        &out,
        |_, _| {},
    )
    .expect_err("no such column");
    assert!(
        wrong.to_string().contains("id, shoelace_colour, basis"),
        "{wrong}"
    );
}

#[test]
fn json_lines_are_a_catalog_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let shop = catalog(folder.path());
    let row = |id: u64, collar: &str| {
        let attributes = json!({"category": "Shirts", "collar": collar});
        json!({"id": id, "title": "Plain", "image": format!("images/{id}.jpg"), "attributes": attributes}).to_string()
    };
    let file = shop.join("products.jsonl");
    fs::write(
        &file,
        [
            row(100_005, "button-down"),
            row(100_006, "spread"),
            "{".to_owned(),
        ]
        .join("\n"),
    )
    .expect("rows");
    let source = Source::feed(file, Vec::new());
    let templates =
        Templates::parse("templates = ['{category} with a {collar} collar']").expect("templates");
    let report = prepared(
        &Preparation {
            source,
            templates,
            test: TestSide::Part(0.5),
            ..plan(&shop)
        },
        &folder.path().join("set"),
    );
    assert_eq!(report.dropped["rows that cannot be read"], 1);
    let captions: BTreeSet<String> = sides(&folder.path().join("set"))
        .into_values()
        .flatten()
        .flat_map(|e| e.captions)
        .collect();
    let wanted = [
        "shirts with a button-down collar",
        "shirts with a spread collar",
    ];
    assert_eq!(captions, wanted.map(str::to_owned).into());
}

/// The original's numbers: shoes of the real catalog, split 80/20 by product and kind.
#[test]
fn the_real_shoes_are_split_alike_in_every_category() {
    let Some(data) =
        crate::support::shared_data("the_real_shoes_are_split_alike_in_every_category")
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let shop = data.join("fashion-product-images");
    let source = Source::kaggle(
        shop.join("styles.csv"),
        vec![shop.join("images"), shop.join("images-60x80.zip")],
        Some(shop.join("shoelaces.csv")),
    );
    let filters = vec![("subCategory".to_owned(), "Shoes".to_owned())];
    let report = prepared(
        &Preparation {
            source,
            filters,
            ..plan(&shop)
        },
        &folder.path().join("set"),
    );
    let [train, validation, test] = Side::ALL.map(|side| report.products[&side]);
    assert!(train + validation + test > 6_600, "{report:?}");
    for (kind, counts) in report.classes["category"]
        .iter()
        .filter(|(_, c)| c.values().sum::<usize>() > 100)
    {
        let [train, validation, test] = Side::ALL.map(|side| counts[&side]);
        let all = train + validation + test;
        assert!(
            test.abs_diff(all / 5) <= 2 && validation.abs_diff((all - test) / 10) <= 2,
            "{kind} {counts:?}"
        );
    }
}

/// A server that speaks `/api/generate`, remembers what it was asked, and fails as it is told to.
#[derive(Default)]
struct Ollama {
    asked: Mutex<Vec<Value>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
    /// Request number -> status.
    failing: HashMap<usize, u16>,
    /// Every request from this one on fails.
    down_after: Option<usize>,
}

/// The bytes of base64 text.
fn decoded(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(*b"+/")
        .collect();
    let value = |c: u8| {
        digits
            .iter()
            .position(|&d| d == c)
            .map(|at| u32::try_from(at).expect("below 64"))
    };
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group
            .iter()
            .fold(0, |bits, &c| bits << 6 | value(c).expect("base64"))
            << (6 * (4 - group.len()));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}

async fn generate(
    State(server): State<Arc<Ollama>>,
    Json(question): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let number = {
        let mut asked = server.asked.lock().expect("no panic");
        asked.push(question.clone());
        asked.len() - 1
    };
    server.most.fetch_max(
        server.under_way.fetch_add(1, Ordering::SeqCst) + 1,
        Ordering::SeqCst,
    );
    // Until another request is there, or long enough: what is to be seen is that two are under way
    // together.
    for _ in 0..100 {
        if server.most.load(Ordering::SeqCst) > 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.under_way.fetch_sub(1, Ordering::SeqCst);
    if question["model"] != "bakllava" {
        return (
            StatusCode::NOT_FOUND,
            Json(json!({"error": "model \"llava9\" not found, try pulling it first"})),
        );
    }
    let down = server
        .down_after
        .is_some_and(|after| number >= after)
        .then_some(503);
    if let Some(status) = down.or_else(|| server.failing.get(&number).copied()) {
        let status = StatusCode::from_u16(status).expect("a status");
        return (status, Json(json!({"error": "not now"})));
    }
    let picture = question["images"][0].as_str().unwrap_or_default();
    let bytes = decoded(picture);
    if image::load_from_memory(&bytes).is_err() {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": "illegal base64 data"})),
        );
    }
    let response = format!(" A shoe of {} bytes. It is on a table.", bytes.len());
    (
        StatusCode::OK,
        Json(json!({"model": "bakllava", "response": response, "done": true})),
    )
}

/// Starts the server; it runs as long as the runtime that comes with it.
fn start(server: Ollama) -> (Arc<Ollama>, String, tokio::runtime::Runtime) {
    let server = Arc::new(server);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runtime");
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let endpoint = format!("http://{}/", listener.local_addr().expect("an address"));
    let app = axum::Router::new()
        .route("/api/generate", post(generate))
        .layer(axum::extract::DefaultBodyLimit::max(1 << 24))
        .with_state(server.clone());
    runtime.spawn(async move { axum::serve(listener, app).await });
    (server, endpoint, runtime)
}

fn asking(endpoint: &str) -> Asking {
    Asking {
        endpoint: endpoint.to_owned(),
        model: "bakllava".to_owned(),
        prompt: "Describe the item in the image.".to_owned(),
        concurrency: 3,
        tries: 3,
        pause: Duration::from_millis(1),
        patience: Duration::from_secs(20),
    }
}

fn data_set(folder: &Path) -> PathBuf {
    let set = folder.join("set");
    prepared(&plan(&catalog(folder)), &set);
    set
}

#[test]
fn every_product_gets_its_sentence_and_is_asked_about_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = data_set(folder.path());
    let (server, endpoint, _runtime) = start(Ollama {
        failing: [(3, 500), (4, 429)].into(),
        ..Ollama::default()
    });
    let summary = enrich::enrich(&set, &asking(&endpoint), |_, _| {}).expect("enriched");
    assert_eq!(
        (summary.asked, summary.known, summary.failed),
        (57, 0, 0),
        "58 products, two with the same picture"
    );
    let asked = server.asked.lock().expect("no panic").clone();
    assert_eq!(asked.len(), 57 + 2, "two were asked again");
    assert_eq!(asked[0]["prompt"], "Describe the item in the image.");
    assert_eq!(asked[0]["stream"], false);
    assert!(server.most.load(Ordering::SeqCst) > 1, "several at a time");
    for entry in sides(&set).values().flatten() {
        let PictureLocation::File { file } = &entry.image else {
            panic!("{entry:?}")
        };
        let bytes = fs::metadata(file).expect("a picture").len();
        let sentence = format!("A shoe of {bytes} bytes.");
        assert_eq!(entry.sentence.as_deref(), Some(sentence.as_str()));
        assert!(
            entry.captions.contains(&sentence.to_lowercase()),
            "{entry:?}"
        );
    }
    let again = enrich::enrich(&set, &asking(&endpoint), |_, _| {}).expect("enriched");
    assert_eq!((again.asked, again.known, again.failed), (0, 58, 0));
    let other = Asking {
        prompt: "What is it?".to_owned(),
        ..asking(&endpoint)
    };
    assert_eq!(
        enrich::enrich(&set, &other, |_, _| {})
            .expect("enriched")
            .asked,
        57,
        "another prompt asks anew"
    );
}

#[test]
fn a_server_that_goes_down_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = data_set(folder.path());
    let (_, endpoint, _first) = start(Ollama {
        down_after: Some(20),
        ..Ollama::default()
    });
    let down = enrich::enrich(&set, &asking(&endpoint), |_, _| {});
    assert!(
        matches!(&down, Err(EnrichError::Down { reason, .. }) if reason.contains("503")),
        "{down:?}"
    );
    let journal = set.join("sentences.jsonl");
    let text = fs::read_to_string(&journal).expect("the answers");
    assert_eq!(text.lines().count(), 20);
    // A kill in the middle of a line: that answer is asked for again, no other.
    fs::write(&journal, &text[..text.len() - 9]).expect("torn");
    let (server, endpoint, _second) = start(Ollama::default());
    let summary = enrich::enrich(&set, &asking(&endpoint), |_, _| {}).expect("enriched");
    assert_eq!((summary.asked, summary.failed), (57 - 19, 0));
    assert_eq!(server.asked.lock().expect("no panic").len(), 38);
    assert!(sides(&set).values().flatten().all(|e| e.sentence.is_some()));
}

#[test]
fn a_model_that_is_not_there_ends_the_run_and_a_picture_that_is_refused_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = data_set(folder.path());
    let (server, endpoint, _runtime) = start(Ollama {
        failing: [(0, 400)].into(),
        ..Ollama::default()
    });
    let unknown = Asking {
        model: "llava9".to_owned(),
        concurrency: 1,
        ..asking(&endpoint)
    };
    let refused = enrich::enrich(&set, &unknown, |_, _| {});
    assert!(
        matches!(&refused, Err(EnrichError::Refused { reason, .. }) if reason.contains("not found")),
        "{refused:?}"
    );
    assert_eq!(
        server.asked.lock().expect("no panic").len(),
        1,
        "asked once, not 57 times"
    );
    server.asked.lock().expect("no panic").clear();
    let summary = enrich::enrich(&set, &asking(&endpoint), |_, _| {}).expect("enriched");
    assert_eq!(summary.asked, 56);
    assert!(
        (1..=2).contains(&summary.failed),
        "one picture, of one product or of the twins: {summary:?}"
    );
}

fn labeling(set: &Path, out: &Path) -> Result<Labeling, LabelError> {
    Labeling::open(set, name("shoelace_color"), &[], out)
}

async fn call(
    app: &axum::Router,
    method: &str,
    path: &str,
    body: Option<Decision>,
) -> (StatusCode, Vec<u8>) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:8091");
    let request = match body {
        Some(decision) => request
            .header("content-type", "application/json")
            .body(Body::from(serde_json::to_vec(&decision).expect("json"))),
        None => request.body(Body::empty()),
    };
    let response = app
        .clone()
        .oneshot(request.expect("a request"))
        .await
        .expect("an answer");
    let status = response.status();
    (
        status,
        response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes()
            .to_vec(),
    )
}

async fn item(app: &axum::Router, path: &str) -> Item {
    let (status, body) = call(app, "GET", path, None).await;
    assert_eq!(status, StatusCode::OK);
    serde_json::from_slice(&body).expect("an item")
}

#[tokio::test]
async fn a_person_labels_photo_by_photo_and_goes_on_where_they_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = data_set(folder.path());
    let out = folder.path().join("laces.csv");
    fs::write(&out, "id,shoelace_color\n1163,red\n").expect("of another catalog");
    let app = label::router(labeling(&set, &out).expect("opened"));
    let (_, page) = call(&app, "GET", "/", None).await;
    assert!(String::from_utf8_lossy(&page).contains("keydown"));
    let (_, task) = call(&app, "GET", "/task", None).await;
    let task: Task = serde_json::from_slice(&task).expect("a task");
    assert_eq!((task.attribute.as_str(), task.start), ("shoelace_color", 0));
    assert_eq!(task.values[0], "none", "the commonest first");
    let first = item(&app, "/items/0").await;
    assert_eq!(
        (first.id.as_str(), first.total, first.labeled),
        ("100001", 58, 0)
    );
    assert!(
        task.values
            .contains(first.proposal.as_ref().expect("what the data set says"))
    );
    let (status, photo) = call(&app, "GET", "/items/0/image", None).await;
    assert!(status.is_success() && image::load_from_memory(&photo).is_ok());
    let red = || {
        Some(Decision {
            value: Some("red".to_owned()),
        })
    };
    let (status, body) = call(&app, "POST", "/items/0", red()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        serde_json::from_slice::<Item>(&body)
            .expect("an item")
            .next_open,
        Some(1)
    );
    call(&app, "POST", "/items/1", red()).await;
    call(&app, "POST", "/items/2", red()).await;
    call(&app, "POST", "/items/1", Some(Decision { value: None })).await;
    let text = fs::read_to_string(&out).expect("the labels");
    assert_eq!(
        text,
        "id,shoelace_color\n100001,red\n100005,red\n1163,red\n"
    );
    let reopened = labeling(&set, &out).expect("opened");
    assert_eq!(reopened.progress(), (58, 2));
    let app = label::router(reopened);
    let (_, task) = call(&app, "GET", "/task", None).await;
    assert_eq!(
        serde_json::from_slice::<Task>(&task).expect("a task").start,
        1
    );
    assert_eq!(item(&app, "/items/2").await.value.as_deref(), Some("red"));
    // What was labeled is what prepare joins.
    let plan = Preparation {
        labels: vec![(name("shoelace_color"), out)],
        ..plan(&folder.path().join("shop"))
    };
    let report = prepared(&plan, &folder.path().join("labeled"));
    assert!(
        report.classes["shoelace_color"]["red"]
            .values()
            .sum::<usize>()
            >= 2
    );
}

#[tokio::test]
async fn the_page_refuses_what_it_should() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = data_set(folder.path());
    let out = folder.path().join("laces.csv");
    let app = label::router(labeling(&set, &out).expect("opened"));
    let mauve = Some(Decision {
        value: Some("mauve".to_owned()),
    });
    assert_eq!(
        call(&app, "POST", "/items/0", mauve).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let none = || Some(Decision { value: None });
    assert_eq!(
        call(&app, "POST", "/items/58", none()).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        call(&app, "GET", "/items/58/image", None).await.0,
        StatusCode::NOT_FOUND
    );
    let send = |host: &str, kind: &str| {
        let body = Body::from(r#"{"value":"none"}"#);
        let request = Request::post("/items/0")
            .header("host", host)
            .header("content-type", kind)
            .body(body);
        app.clone().oneshot(request.expect("a request"))
    };
    let status = |r: Result<axum::response::Response, _>| {
        r.map_or_else(
            |never: std::convert::Infallible| match never {},
            |r| r.status(),
        )
    };
    assert_eq!(
        status(send("evil.example:8091", "application/json").await),
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        status(send("localhost:8091", "text/plain").await),
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert!(!out.exists(), "nothing was decided");
    fs::write(&out, "id,collar\n7,spread\n").expect("another attribute");
    assert!(matches!(
        labeling(&set, &out),
        Err(LabelError::Header { .. })
    ));
}
