//! Products written to a running service: searchable soon, and never lost once they are acknowledged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::noise::Noise;
use crate::support::service::{Service, aglet};

/// What a service answers to a write.
fn send(
    agent: &ureq::Agent,
    method: &str,
    url: &str,
    body: Option<&Value>,
) -> Option<(u16, Value)> {
    let request = ureq::http::Request::builder().method(method).uri(url);
    let answer = match body {
        Some(body) => {
            let request = request.header("content-type", "application/json");
            agent.run(request.body(body.to_string()).expect("a request"))
        }
        None => agent.run(request.body(()).expect("a request")),
    };
    let mut answer = answer.ok()?;
    let text = answer.body_mut().read_to_string().ok()?;
    let value = serde_json::from_str(&text).unwrap_or(Value::Null);
    Some((answer.status().as_u16(), value))
}

fn write(service: &Service, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let url = format!("{}{path}", service.url);
    send(&service.agent, method, &url, body).expect("an answer")
}

/// The ids of what a search finds, best first.
fn ids(service: &Service, path: &str) -> Vec<String> {
    let (status, answer) = service.get(path);
    assert_eq!(status, 200, "{answer}");
    let hits = answer["hits"].as_array().expect("hits").iter();
    hits.map(|hit| hit["id"].as_str().expect("an id").to_owned())
        .collect()
}

fn product(title: &str, color: &str, price: u32) -> Value {
    json!({"title": title, "price": price, "attributes": {"category": "Boots", "color": color}})
}

/// Has the saved index compared with the catalog.
fn verified(data: &Path) {
    let output = aglet("verify", data).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("products compared"), "{said}");
}

#[test]
fn what_is_written_is_searchable() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // Changes are not looked for: a write is heard of by itself.
    let flags = ["--refresh-seconds", "600"];
    let mut service = Service::start(&data, &flags).at_admin();
    service.ready();
    for (id, title, color) in [
        ("a", "Hilltop Walker", "Red"),
        ("b", "Valley Walker", "Blue"),
        ("c", "Harbor Stroller", "Red"),
    ] {
        let path = format!("/products/{id}?wait=searchable");
        let (status, answer) = write(&service, "PUT", &path, Some(&product(title, color, 20)));
        assert_eq!(
            (status, &answer["searchable"]),
            (201, &json!(true)),
            "{answer}"
        );
    }
    assert_eq!(ids(&service, "/search?q=harbor"), ["c"]);
    assert_eq!(ids(&service, "/search?q=walker&color=Blue"), ["b"]);
    assert_eq!(ids(&service, "/search?sort=price&color=Red"), ["a", "c"]);
    // Prices, attributes and titles change; what the index shares with the one before stays.
    for (id, patch) in [
        ("a", json!({"price": 30})),
        ("b", json!({"attributes": {"color": ["Green"]}})),
        ("c", json!({"title": "Harbor Walker"})),
    ] {
        let path = format!("/products/{id}?wait=searchable");
        let (status, answer) = write(&service, "PATCH", &path, Some(&patch));
        assert_eq!(
            (status, &answer["searchable"]),
            (200, &json!(true)),
            "{answer}"
        );
    }
    assert_eq!(ids(&service, "/search?sort=-price&limit=1"), ["a"]);
    assert_eq!(ids(&service, "/search?color=Green"), ["b"]);
    assert_eq!(ids(&service, "/search?q=stroller"), [""; 0]);
    assert_eq!(ids(&service, "/search?q=harbor+walker")[0], "c");
    let (_, answer) = service.get("/search?limit=0&facets=color,price");
    assert_eq!(answer["facets"][0]["distinct"], 2, "{answer}");
    assert_eq!(answer["facets"][1]["max"], 30.0, "{answer}");
    // Its vector follows by itself, too.
    let path = "/products/d?wait=searchable";
    write(
        &service,
        "PUT",
        path,
        Some(&product("Snow Walker", "Red", 40)),
    );
    service.until("its vector", |service| {
        (service.get("/products/d/similar").0 == 200).then_some(())
    });
    write(&service, "DELETE", "/products/d?wait=searchable", None);
    // Removed.
    let (status, answer) = write(&service, "DELETE", "/products/a?wait=searchable", None);
    assert_eq!(
        (status, &answer["searchable"]),
        (200, &json!(true)),
        "{answer}"
    );
    assert_eq!(ids(&service, "/search?q=walker").len(), 2);
    assert_eq!(service.get("/search").1["estimated_total"], 2);
    // What has an embedding by now is near to a query of the model.
    service.until("it is embedded", |service| {
        let report = service.get("/readyz").1;
        (report["catalog"]["pending"] == 0 && report["products"] == 2).then_some(())
    });
    let near = service.get("/search?q=walker&mode=vector").1;
    assert!(
        near["hits"][0]["score"].as_f64().expect("a score") > 0.0,
        "{near}"
    );
    service.end();
    let built = service.log();
    let built = built.iter().filter(|line| line["message"] == "index built");
    assert_eq!(built.count(), 1, "the first, of nothing");
    verified(&data);
}

/// What a product is after a write that was acknowledged: nothing when it was removed.
type State = Option<u32>;

/// Writes until the service does not answer any more: each product by one writer, one write after the
/// other. What was acknowledged goes into `known`; gives back what was not.
fn writer(
    url: &str,
    ids: std::ops::Range<u32>,
    seed: u64,
    known: &Mutex<BTreeMap<u32, State>>,
) -> (u32, State) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into();
    let mut noise = Noise(seed);
    let count = usize::try_from(ids.end - ids.start).expect("few");
    loop {
        let id = ids.start + u32::try_from(noise.below(count)).expect("few");
        let number = u32::try_from(noise.below(1 << 20)).expect("20 bits");
        let there = known.lock().expect("no panic").get(&id).copied().flatten();
        let address = format!("{url}/products/{id}");
        let title = format!("Boot {number}");
        let (state, answer) = match (noise.below(5), there) {
            (0, Some(_)) => (None, send(&agent, "DELETE", &address, None)),
            (1 | 2, Some(_)) => {
                let attributes = json!({"stock": [number.to_string()]});
                let patch = json!({"title": title, "price": number, "attributes": attributes});
                (Some(number), send(&agent, "PATCH", &address, Some(&patch)))
            }
            _ => {
                let attributes = json!({"category": "Boots", "stock": [number.to_string()]});
                let whole = json!({"title": title, "price": number, "attributes": attributes});
                (Some(number), send(&agent, "PUT", &address, Some(&whole)))
            }
        };
        match answer {
            Some((200 | 201 | 204, _)) => {
                known.lock().expect("no panic").insert(id, state);
            }
            Some(other) => panic!("{other:?}"),
            None => return (id, state),
        }
    }
}

/// The state of a product as the service answers it. All of it is of one write.
fn state(service: &Service, id: u32) -> State {
    let (status, answer) = service.get(&format!("/products/{id}"));
    if status == 404 {
        return None;
    }
    let product = &answer["product"];
    let stock = product["attributes"]["stock"][0].as_str();
    let number: u32 = stock.expect("a stock").parse().expect("a number");
    assert_eq!(product["title"], format!("Boot {number}"), "{answer}");
    assert_eq!(
        product["attributes"]["stock"][0],
        number.to_string(),
        "{answer}"
    );
    Some(number)
}

/// So many kills as `AGLET_TEST_KILLS` says.
#[test]
fn every_acknowledged_write_survives_a_kill() {
    let kills = std::env::var("AGLET_TEST_KILLS").ok();
    let kills: u64 = kills.map_or(4, |kills| kills.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let known = Arc::new(Mutex::new(BTreeMap::new()));
    let mut noise = Noise(21);
    let mut acknowledged = 0;
    for kill in 0..kills {
        let service = Service::start(&data, &[]).at_admin();
        let writers: Vec<_> = (0..4_u32)
            .map(|place| {
                let (url, known) = (service.url.clone(), Arc::clone(&known));
                let seed = kill * 4 + u64::from(place);
                let ids = 40 * place..40 * (place + 1);
                std::thread::spawn(move || writer(&url, ids, seed, &known))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(noise.below(700) as u64));
        drop(service);
        let unsure: BTreeMap<u32, State> = writers
            .into_iter()
            .map(|writer| writer.join().expect("no wrong answer"))
            .collect();
        let again = Service::start(&data, &[]).at_admin();
        let mut known = known.lock().expect("no panic");
        acknowledged += known.len();
        for id in 0..160 {
            let is = state(&again, id);
            let was = known.get(&id).copied().flatten();
            let may = unsure.get(&id);
            assert!(
                is == was || may == Some(&is),
                "kill {kill}, product {id}: {is:?}, {was:?}, {may:?}"
            );
            known.insert(id, is);
        }
        drop(again);
        verified(&data);
    }
    assert!(acknowledged > 0, "nothing was written");
}
