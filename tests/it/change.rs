//! The model is changed while a service answers: nobody is refused, and what is killed goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support;
use crate::support::noise::Noise;
use crate::support::postgres::Postgres;
use crate::support::service::{Service, aglet_with, json as body};

const PRODUCTS: usize = 300;

/// A folder with two models side by side, `one` and `two`, and a catalog of products.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    /// The models alone.
    fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, views) in [("one", &[100][..]), ("two", &[100, 80][..])] {
            let model = support::seeing(&support::tiny_model(), views);
            let to = folder.path().join(name);
            std::fs::rename(model.keep(), to).expect("moved");
        }
        Self { folder }
    }

    fn new(products: usize) -> Self {
        let shop = Self::empty();
        let words = [
            "Walker", "Stroller", "Derby", "Oxford", "Sandal", "Boot", "Loafer",
        ];
        let lines = (0..products).map(|number| {
            let title = format!("{} {number}", words[number % words.len()]);
            json!({"id": number.to_string(), "title": title, "attributes": {"color": "Red"}})
        });
        let lines: Vec<String> = lines.map(|line| line.to_string()).collect();
        let file = shop.path("products.jsonl");
        std::fs::write(&file, lines.join("\n")).expect("written");
        let mut import = aglet_with(&shop.path("one"), "import", &shop.path("data"));
        let output = import.arg("--products").arg(file).output().expect("runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn serve(&self, flags: &[&str]) -> Service {
        let serve = aglet_with(&self.path("one"), "serve", &self.path("data"));
        let mut service = Service::run(serve, flags);
        service.ready();
        service
    }
}

fn ask(service: &Service, method: &str, path: &str, with: Option<Value>) -> (u16, Value) {
    let url = format!("{}{path}", service.admin);
    let request = ureq::http::Request::builder().method(method).uri(url);
    let answer = match with {
        Some(with) => {
            let request = request.header("content-type", "application/json");
            service
                .agent
                .run(request.body(with.to_string()).expect("a request"))
        }
        None => service.agent.run(request.body(()).expect("a request")),
    };
    let answer = answer.expect("answers");
    (answer.status().as_u16(), body(answer))
}

fn report(service: &Service) -> Value {
    let (status, report) = ask(service, "GET", "/admin/model", None);
    assert_eq!(status, 200, "{report}");
    report
}

/// Waits until nothing is to change any more.
fn changed(service: &mut Service) -> Value {
    let done = |service: &Service| Some(report(service)).filter(|r| r["change"].is_null());
    service.until("the change", done)
}

/// The id of a model folder's model.
fn id(folder: &Path) -> String {
    let folder = aglet::model::ModelFolder::open(folder).expect("a model");
    folder.id().to_string()
}

#[test]
fn a_model_is_changed_and_brought_back_under_searches() {
    let shop = Shop::new(PRODUCTS);
    let (one, two) = (id(&shop.path("one")), id(&shop.path("two")));
    let mut service = shop.serve(&[]);
    let before = report(&service);
    assert_eq!(
        (&before["model"]["id"], &before["previous"]),
        (&json!(one), &Value::Null)
    );
    // Whoever searches meanwhile is answered, by one model and then by the other.
    let over = Arc::new(AtomicBool::new(false));
    let seen = {
        let (over, agent, url) = (over.clone(), service.agent.clone(), service.url.clone());
        std::thread::spawn(move || {
            let mut seen: Vec<String> = Vec::new();
            loop {
                // Once more after it is over.
                let last = over.load(Ordering::Acquire);
                let answer = agent.get(format!("{url}/search?q=derby&limit=3")).call();
                let answer = answer.expect("answers");
                assert_eq!(answer.status(), 200);
                let answer = body(answer);
                assert_eq!(answer["hits"].as_array().expect("hits").len(), 3);
                let model = answer["model"]["id"].as_str().expect("an id").to_owned();
                assert!(
                    answer["index_version"]
                        .as_str()
                        .expect("text")
                        .contains(&model[..12])
                );
                if seen.last() != Some(&model) {
                    seen.push(model);
                }
                if last {
                    return seen;
                }
            }
        })
    };
    let (status, answer) = ask(
        &service,
        "POST",
        "/admin/model",
        Some(json!({"model": "two"})),
    );
    assert_eq!(
        (status, &answer["change"]["to"]["model"]),
        (202, &json!("two"))
    );
    let after = changed(&mut service);
    assert_eq!(after["model"]["id"], two.as_str());
    assert_eq!(
        after["current"],
        json!({"model": "two", "words_percent": null})
    );
    let back = json!(shop.path("one"));
    assert_eq!(after["previous"]["model"], back);
    over.store(true, Ordering::Release);
    assert_eq!(
        seen.join().expect("all answered"),
        [one.clone(), two.clone()]
    );
    // What changes from then on is seen by the new one.
    let product = json!({"title": "Harbor Stroller"});
    let (status, _) = ask(
        &service,
        "PUT",
        "/products/new?wait=searchable",
        Some(product),
    );
    assert_eq!(status, 201);
    service.end();

    // It stays so, although the setting names the other one.
    let mut service = shop.serve(&[]);
    assert_eq!(report(&service)["model"]["id"], two.as_str());
    let (status, _) = ask(&service, "POST", "/admin/model/rollback", None);
    assert_eq!(status, 202);
    let after = changed(&mut service);
    assert_eq!(
        (&after["model"]["id"], &after["current"]["model"]),
        (&json!(one), &back)
    );
    assert_eq!(after["previous"]["model"], "two");
    // What came in between is there.
    service.until("the new product", |service| {
        let (_, answer) = service.get("/search?q=harbor+stroller&limit=1&mode=vector");
        (answer["hits"][0]["id"] == "new").then_some(())
    });
    service.end();
    // Another setting goes before what was chosen.
    let serve = aglet_with(&shop.path("two"), "serve", &shop.path("data"));
    let mut service = Service::run(serve, &[]);
    service.ready();
    assert_eq!(report(&service)["model"]["id"], two.as_str());
    service.end();
}

/// Each has a data folder of its own, and none is asked but the first.
#[test]
fn all_services_of_a_catalog_follow_a_change() {
    let Some(server) = Postgres::start("all_services_of_a_catalog_follow_a_change") else {
        return;
    };
    let shop = Shop::empty();
    let database = server.database("shop");
    let serve = |name: &str, model: &str| {
        let serve = aglet_with(&shop.path(model), "serve", &shop.path(name));
        let mut service = Service::run(serve, &["--database", &database]);
        service.ready();
        service
    };
    let (mut asked, mut other) = (serve("a", "one"), serve("b", "one"));
    let two = id(&shop.path("two"));
    for number in 0..30 {
        let product = json!({"title": format!("Derby {number}")});
        let path = format!("/products/{number}?wait=searchable");
        assert_eq!(ask(&asked, "PUT", &path, Some(product)).0, 201);
    }
    let wanted = Some(json!({"model": "two"}));
    assert_eq!(ask(&asked, "POST", "/admin/model", wanted).0, 202);
    assert_eq!(changed(&mut asked)["model"]["id"], two.as_str());
    other.until("the other service follows", |other| {
        let (_, answer) = other.get("/search?q=derby&limit=30");
        assert_eq!(answer["hits"].as_array().expect("hits").len(), 30);
        (answer["model"]["id"] == two.as_str()).then_some(())
    });
    // One that starts later begins with it.
    let mut late = serve("c", "one");
    assert_eq!(report(&late)["model"]["id"], two.as_str());
    // Back again, asked for elsewhere.
    assert_eq!(ask(&late, "POST", "/admin/model/rollback", None).0, 202);
    for service in [&mut asked, &mut other, &mut late] {
        let one = id(&shop.path("one"));
        service.until("all go back", |service| {
            (report(service)["model"]["id"] == one.as_str()).then_some(())
        });
        service.end();
    }
}

#[test]
fn a_model_that_cannot_be_used_changes_nothing() {
    let shop = Shop::new(20);
    let one = id(&shop.path("one"));
    let mut service = shop.serve(&[]);
    for wrong in ["none", "../two", "/etc", ""] {
        let (status, problem) = ask(
            &service,
            "POST",
            "/admin/model",
            Some(json!({"model": wrong})),
        );
        assert_eq!(
            (status, &problem["parameter"]),
            (400, &json!("model")),
            "{problem}"
        );
    }
    let (status, _) = ask(
        &service,
        "POST",
        "/admin/model",
        Some(json!({"words_percent": 101})),
    );
    assert_eq!(status, 400);
    let (status, problem) = ask(&service, "POST", "/admin/model/rollback", None);
    assert_eq!((status, &problem["code"]), (409, &json!("nothing_before")));
    // One that is cut short.
    let weights = shop.path("two").join("model.safetensors");
    let whole = std::fs::read(&weights).expect("reads");
    std::fs::write(&weights, &whole[..whole.len() / 2]).expect("written");
    ask(
        &service,
        "POST",
        "/admin/model",
        Some(json!({"model": "two"})),
    );
    let failed = |service: &Service| {
        Some(report(service)).filter(|report| report["change"]["state"] == "failed")
    };
    let given_up = service.until("it is given up", failed);
    let reason = given_up["change"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("model.safetensors"), "{reason}");
    assert_eq!(given_up["model"]["id"], one.as_str());
    // Mended, it is asked for again.
    std::fs::write(&weights, &whole).expect("written");
    ask(
        &service,
        "POST",
        "/admin/model",
        Some(json!({"model": "two"})),
    );
    assert_eq!(changed(&mut service)["current"]["model"], "two");
    service.end();
}

#[test]
fn another_share_of_the_words_goes_the_same_way() {
    let shop = Shop::new(20);
    let mut service = shop.serve(&["--words-percent", "30"]);
    let share = |service: &Service| service.get("/search?q=derby").1["words_percent"].clone();
    assert_eq!(share(&service), 30);
    ask(
        &service,
        "POST",
        "/admin/model",
        Some(json!({"words_percent": 70})),
    );
    let after = changed(&mut service);
    assert_eq!(
        (share(&service), &after["current"]["words_percent"]),
        (json!(70), &json!(70))
    );
    // A product that comes is made as the others are.
    let product = json!({"title": "Harbor Stroller"});
    ask(
        &service,
        "PUT",
        "/products/new?wait=searchable",
        Some(product),
    );
    assert_eq!(share(&service), 70);
    service.end();
    let mut service = shop.serve(&["--words-percent", "30"]);
    assert_eq!(share(&service), 70);
    ask(&service, "POST", "/admin/model/rollback", None);
    changed(&mut service);
    assert_eq!(share(&service), 30);
    service.end();
}

#[test]
fn a_change_that_is_killed_goes_on_or_has_been_made() {
    let shop = Shop::new(PRODUCTS);
    let (one, two) = (id(&shop.path("one")), id(&shop.path("two")));
    let mut noise = Noise(5);
    let mut wanted = ("two", &two);
    let mut changes = 0;
    for _ in 0..6 {
        let mut service = shop.serve(&[]);
        let now = report(&service);
        let model = &now["model"]["id"];
        assert!(model == one.as_str() || model == two.as_str(), "{now}");
        // An answer comes from one of them, whole.
        let (status, answer) = service.get("/search?q=derby&limit=250");
        assert_eq!(status, 200);
        let hits = answer["hits"].as_array().expect("hits").len();
        assert!(hits > 30, "{hits}");
        if now["change"].is_null() {
            changes += 1;
            let next = if model == one.as_str() {
                ("two", &two)
            } else {
                ("one", &one)
            };
            wanted = next;
            ask(
                &service,
                "POST",
                "/admin/model",
                Some(json!({"model": wanted.0})),
            );
        }
        std::thread::sleep(Duration::from_millis(noise.below(2_500) as u64));
        service.signal("KILL");
        let _ = service.wait();
    }
    assert!(changes > 0);
    let mut service = shop.serve(&[]);
    assert_eq!(changed(&mut service)["model"]["id"], wanted.1.as_str());
    let (status, answer) = service.get("/search?q=derby&limit=250");
    assert_eq!(
        (status, answer["model"]["id"] == wanted.1.as_str()),
        (200, true)
    );
    service.end();
    let output = aglet_with(&shop.path("one"), "verify", &shop.path("data")).output();
    let output = output.expect("runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn the_command_asks_for_a_change_and_gives_it_up() {
    let shop = Shop::new(20);
    let model = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_aglet"))
            .arg("model")
            .args(args)
            .arg("--data")
            .arg(shop.path("data"))
            .output()
            .expect("runs");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8(text).expect("text"),
        )
    };
    assert!(model(&["status"]).1.starts_with("chosen    none"));
    let (ok, text) = model(&["rollback"]);
    assert!(!ok && text.contains("no other model answered"), "{text}");
    let two = shop.path("two");
    let (ok, text) = model(&["use", two.to_str().expect("text")]);
    assert!(ok && text.contains("wanted"), "{text}");
    let (ok, text) = model(&["keep"]);
    assert!(ok && !text.contains("wanted"), "{text}");
    let (ok, text) = model(&["use", "two"]);
    assert!(ok && text.contains("wanted    two"), "{text}");
    let (ok, text) = model(&["use", "./none/two"]);
    assert!(!ok && text.contains("no model folder"), "{text}");
    let mut service = shop.serve(&[]);
    assert_eq!(changed(&mut service)["current"]["model"], "two");
    service.end();
    let (_, text) = model(&["status"]);
    assert!(text.starts_with("chosen    two, in the place of"), "{text}");
}
