//! A catalog on a server of PostgreSQL: the suites of the catalog and of the API over it, services that
//! share it, work that is shared, and a catalog that moves.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::postgres::{Postgres, SHARED};
use crate::support::service::{Service, aglet, json as body};

/// Products that two workers embed.
const MANY: i64 = 3_000;

/// The tests of this binary, run again in a process of their own over that server.
#[test]
fn the_suites_of_the_catalog_and_of_the_api_pass_over_it() {
    let test = "the_suites_of_the_catalog_and_of_the_api_pass_over_it";
    let Some(server) = Postgres::start(test) else {
        return;
    };
    let mut again = Command::new(std::env::current_exe().expect("a path"));
    again.args(["catalog::import", "catalog::pictures", "catalog::queue"]);
    again.args(["catalog::gc", "catalog::sources", "http::"]);
    let output = again.env(SHARED, server.url()).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let passed = said.lines().filter(|line| line.ends_with("... ok")).count();
    assert!(passed > 80, "{said}");
}

fn start(data: &Path, database: &str, flags: &[&str]) -> Service {
    let flags = [&["--database", database], flags].concat();
    let mut service = Service::start(data, &flags);
    service.ready();
    service
}

fn put(service: &Service, id: &str, title: &str) {
    let url = format!("{}/products/{id}?wait=searchable", service.admin);
    let put = service
        .agent
        .put(url)
        .header("content-type", "application/json");
    let answer = put.send(json!({"title": title}).to_string());
    assert_eq!(answer.expect("answers").status(), 201);
}

fn found(service: &Service, words: &str) -> Vec<Value> {
    let url = format!("{}/search?q={words}&limit=50", service.url);
    let answer = body(service.agent.get(url).call().expect("answers"));
    answer["hits"].as_array().expect("hits").clone()
}

/// The ids of the hits of a search, once the service answers with so many.
fn ids(service: &mut Service, words: &str, many: usize) -> Vec<Value> {
    let hits = service.until("it is found", |service| {
        Some(found(service, words)).filter(|hits| hits.len() == many)
    });
    hits.iter().map(|hit| hit["id"].clone()).collect()
}

#[test]
fn services_share_a_catalog() {
    let Some(server) = Postgres::start("services_share_a_catalog") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = |name: &str| folder.path().join(name);
    let database = server.database("shop");
    let mut one = start(&data("one"), &database, &[]);
    let mut two = start(&data("two"), &database, &[]);
    for number in 0..20 {
        put(&one, &format!("a{number}"), &format!("Red boot {number}"));
    }
    // At the same version of the index they say the same, to the last digit.
    let answer = |service: &Service| {
        let url = format!("{}/search?q=red+boot&limit=50", service.url);
        let mut answer = body(service.agent.get(url).call().expect("answers"));
        answer["took_ms"] = Value::Null;
        answer
    };
    let (at_one, at_two) = two.until("both have all of it", |two| {
        let (one, two) = (answer(&one), answer(two));
        let both = one["index_version"] == two["index_version"];
        (both && one["hits"].as_array()?.len() == 20).then_some((one, two))
    });
    assert_eq!(at_one, at_two);

    // Keys are of the catalog.
    let made = one
        .agent
        .post(format!("{}/admin/keys", one.admin))
        .header("content-type", "application/json")
        .send(json!({"name": "shop", "scope": "admin"}).to_string());
    let key = body(made.expect("answers"))["key"].clone();
    let key = format!("Bearer {}", key.as_str().expect("a key"));
    let status = |service: &Service, key: Option<&str>| {
        let mut get = service.agent.get(format!("{}/search?q=boot", service.url));
        if let Some(key) = key {
            get = get.header("authorization", key);
        }
        get.call().expect("answers").status().as_u16()
    };
    two.until("it is shut", |two| (status(two, None) == 401).then_some(()));
    assert_eq!(status(&two, Some(&key)), 200);

    // One that is gone at any moment costs nothing but itself; one that starts has caught up.
    one.kill();
    let delete = two
        .agent
        .delete(format!("{}/products/a7", two.admin))
        .header("authorization", &key);
    assert_eq!(delete.call().expect("answers").status(), 204);
    let mut three = start(&data("one"), &database, &[]);
    let again = three
        .agent
        .get(format!("{}/search?q=boot&limit=50", three.url))
        .header("authorization", &key);
    let again = body(again.call().expect("answers"));
    assert_eq!(again["hits"].as_array().map(Vec::len), Some(19));
    three.end();
    two.end();

    let doctor = Command::new(env!("CARGO_BIN_EXE_aglet"))
        .args(["doctor", "--database", &database, "--data"])
        .arg(data("one"))
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(said.contains("19 products in"), "{said}");
}

/// A statement that was prepared with a null takes a number in its place.
#[test]
fn prices_come_and_go() {
    let Some(server) = Postgres::start("prices_come_and_go") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let database = server.database("shop");
    let mut service = start(&folder.path().join("data"), &database, &[]);
    let prices = [
        json!(null),
        json!(0.1),
        json!(null),
        json!(1_358.860_000_000_000_1),
    ];
    for (id, expected) in [("a1", 201), ("a2", 201), ("a1", 204)] {
        for (number, price) in prices.iter().enumerate() {
            let url = format!("{}/products/{id}-{number}", service.admin);
            let put = service.agent.put(&url);
            let put = put.header("content-type", "application/json");
            let row = json!({"title": "Boot", "price": price, "sale_price": prices[3 - number]});
            let answer = put.send(row.to_string()).expect("answers");
            assert!(
                [expected, 200, 204].contains(&answer.status().as_u16()),
                "{}",
                answer.status()
            );
            let read = body(service.agent.get(&url).call().expect("answers"));
            assert_eq!(&read["product"]["price"], price, "{read}");
        }
    }
    service.end();
}

/// Its words wait until a worker comes, and it is told to stop as an orchestrator does.
#[test]
fn a_service_that_does_not_embed_leaves_that_to_workers() {
    let Some(server) = Postgres::start("a_service_that_does_not_embed_leaves_that_to_workers")
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let database = server.database("shop");
    let data = |name: &str| folder.path().join(name);
    let mut service = start(&data("service"), &database, &["--embed", "false"]);
    let url = format!("{}/products/a1", service.admin);
    let put = service.agent.put(url);
    let put = put.header("content-type", "application/json");
    let answer = put.send(json!({"title": "Red boot"}).to_string());
    assert_eq!(answer.expect("answers").status(), 201);
    assert_eq!(ids(&mut service, "boot", 1), [json!("a1")]);
    let waits = |service: &Service| {
        let (_, report) = service.get("/readyz");
        let report = report.get("readiness").unwrap_or(&report);
        report["catalog"]["pending"].clone()
    };
    service.until("it waits", |service| (waits(service) == 1).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(server.ask("shop", "SELECT count(*) FROM embeddings"), 0);
    let mut worker = aglet("embed", &data("worker"));
    let mut worker = worker
        .args(["--database", &database])
        .spawn()
        .expect("runs");
    service.until("it is embedded", |service| {
        (waits(service) == 0).then_some(())
    });
    assert_eq!(server.ask("shop", "SELECT count(*) FROM embeddings"), 1);
    let told = Command::new("kill").arg(worker.id().to_string()).status();
    assert!(told.expect("runs").success());
    assert_eq!(worker.wait().expect("ends").code(), Some(0));
    service.end();
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let Some(server) = Postgres::start("a_server_that_is_away_is_waited_for") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let database = server.database("shop");
    let mut service = start(&folder.path().join("data"), &database, &[]);
    put(&service, "a1", "Red boot");
    put(&service, "a2", "Blue boot");
    assert_eq!(ids(&mut service, "boot", 2).len(), 2);
    service.until("the rows are in memory", |service| {
        let said = service.has_logged("the rows of products are in memory");
        said.then_some(())
    });
    server.stop();
    let put_again = |service: &Service| {
        let url = format!("{}/products/a3?wait=searchable", service.admin);
        let put = service
            .agent
            .put(url)
            .header("content-type", "application/json");
        put.send(json!({"title": "Green boot"}).to_string())
            .expect("answers")
    };
    let refused = put_again(&service);
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(body(refused)["code"], "store_unavailable");
    // Searches are answered from memory: words, facets, like, exclude.
    for (path, first) in [
        ("/search?q=red+boot", "a1"),
        ("/search?q=boot&exclude=a1", "a2"),
        ("/products/a1/similar", "a2"),
    ] {
        let (status, answer) = service.get(path);
        assert_eq!(
            (status, &answer["hits"][0]["id"]),
            (200, &json!(first)),
            "{path} {answer}"
        );
    }
    // It stays in the balancer's list, and says what does not work.
    let report = service.until("it is noticed", |service| {
        let (status, report) = service.get("/readyz");
        assert_eq!(status, 200, "{report}");
        Some(report).filter(|report| report["warnings"] != json!([]))
    });
    let warning = report["warnings"][0].as_str().expect("text");
    assert!(warning.contains("answered from memory"), "{warning}");
    server.go_on();
    service.until("it is written", |service| {
        (put_again(service).status() == 201).then_some(())
    });
    assert_eq!(ids(&mut service, "boot", 3).len(), 3);
    service.until("nothing is missing", |service| {
        (service.get("/readyz").1["warnings"] == json!([])).then_some(())
    });
    service.end();
}

/// As whoever moves a catalog to another server does with the former one.
#[test]
fn a_server_that_may_only_be_read_is_searched() {
    let Some(server) = Postgres::start("a_server_that_may_only_be_read_is_searched") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let database = server.database("shop");
    let mut service = start(&folder.path().join("data"), &database, &[]);
    put(&service, "a1", "Red boot");
    let only_read = |value: &str| {
        // What holds for connections made from then on, which those there are closed for.
        let set = format!("ALTER DATABASE shop SET default_transaction_read_only = {value}");
        server.run(
            "shop",
            &format!("SET default_transaction_read_only = off; {set}"),
        );
        let close = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE application_name = 'aglet'";
        server.ask("shop", close);
    };
    only_read("on");
    let url = format!("{}/products/a2?wait=searchable", service.admin);
    let write = |service: &Service| {
        let put = service.agent.put(&url);
        let put = put.header("content-type", "application/json");
        put.send(json!({"title": "Blue boot"}).to_string())
            .expect("answers")
    };
    let refused = service.until("it is refused", |service| {
        Some(write(service)).filter(|answer| answer.status() != 201)
    });
    assert_eq!(refused.status(), 503);
    assert_eq!(body(refused)["code"], "store_unavailable");
    assert_eq!(ids(&mut service, "boot", 1), [json!("a1")]);
    // Again written to, by connections that were made meanwhile too.
    let set = "ALTER DATABASE shop SET default_transaction_read_only = off";
    server.run(
        "shop",
        &format!("SET default_transaction_read_only = off; {set}"),
    );
    service.until("it is written", |service| {
        (write(service).status() == 201).then_some(())
    });
    assert_eq!(ids(&mut service, "boot", 2).len(), 2);
    service.end();
}

/// Rows that do not fit into memory are read from the server.
#[test]
fn rows_that_do_not_fit_are_read_from_the_server() {
    let Some(server) = Postgres::start("rows_that_do_not_fit_are_read_from_the_server") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let database = server.database("shop");
    let mut service = start(
        &folder.path().join("data"),
        &database,
        &["--rows-memory-bytes", "1"],
    );
    put(&service, "a1", "Red boot");
    assert_eq!(ids(&mut service, "boot", 1), [json!("a1")]);
    service.until("it is said", |service| {
        let said = "no more rows of products fit into rows_memory_bytes: searches read the others from the server";
        service.has_logged(said).then_some(())
    });
    server.stop();
    let url = format!("{}/search?q=boot", service.url);
    let searched = service.agent.get(url).call().expect("answers");
    assert_eq!(searched.status(), 503);
    assert!(searched.headers().contains_key("retry-after"));
    service.until("it is not ready", |service| {
        (service.get("/readyz").0 == 503).then_some(())
    });
    server.go_on();
    assert_eq!(ids(&mut service, "boot", 1), [json!("a1")]);
    service.end();
}

#[test]
fn a_server_is_asked_by_tls() {
    let Some(server) = Postgres::start("a_server_is_asked_by_tls") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    server.database("shop");
    let (port, root) = server.secured();
    let trusted = folder.path().join("root.crt");
    std::fs::write(&trusted, root).expect("written");
    let other = folder.path().join("other.crt");
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("made");
    std::fs::write(&other, made.cert.pem()).expect("written");
    let by = |root: &Path| {
        let database = format!(
            "postgres://postgres@127.0.0.1:{port}/shop?sslmode=verify-full&sslrootcert={}",
            root.display()
        );
        let mut keys = Command::new(env!("CARGO_BIN_EXE_aglet"));
        keys.args(["key", "list", "--database", &database, "--data"]);
        keys.arg(folder.path().join("data")).output().expect("runs")
    };
    let refused = by(&other);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("certificate"),
        "{said}"
    );
    let taken = by(&trusted);
    assert!(taken.status.success(), "{taken:?}");
}

#[test]
fn a_catalog_moves_from_one_to_the_other_and_back() {
    let Some(server) = Postgres::start("a_catalog_moves_from_one_to_the_other_and_back") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = |name: &str| folder.path().join(name);
    let mut service = Service::start(&data("one"), &[]);
    service.ready();
    for number in 0..5 {
        put(
            &service,
            &format!("a{number}"),
            &format!("Red boot {number}"),
        );
    }
    service.end();
    let copy = |from: &str, to: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_aglet"))
            .args(["catalog", "copy", "--from", from, "--to", to, "--data"])
            .arg(data("two"))
            .output()
            .expect("runs");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let database = server.database("shop");
    let of = |name: &str| format!("sqlite:{}", data(name).display());
    let (copied, said) = copy(&of("one"), &database);
    assert!(copied && said.contains("5 products"), "{said}");
    let (copied, said) = copy(&of("one"), &database);
    assert!(
        !copied && said.contains("there is a catalog already"),
        "{said}"
    );

    let mut service = start(&data("two"), &database, &[]);
    assert_eq!(ids(&mut service, "boot", 5).len(), 5);
    put(&service, "b1", "Green boot");
    assert_eq!(ids(&mut service, "boot", 6).len(), 6);
    service.end();
    let (copied, said) = copy(&database, &of("three"));
    assert!(copied && said.contains("6 products"), "{said}");
    let mut service = Service::start(&data("three"), &[]);
    service.ready();
    put(&service, "b2", "Blue boot");
    assert_eq!(ids(&mut service, "boot", 7).len(), 7);
    service.end();
}

#[test]
fn workers_share_what_waits_and_take_over_what_a_dead_one_had() {
    let test = "workers_share_what_waits_and_take_over_what_a_dead_one_had";
    let Some(server) = Postgres::start(test) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let database = server.database("shop");
    let data = folder.path().join("data");
    let lines: Vec<String> = (0..MANY)
        .map(|n| json!({"id": format!("a{n}"), "title": format!("Boot number {n}")}).to_string())
        .collect();
    let file = folder.path().join("products.jsonl");
    std::fs::write(&file, lines.join("\n")).expect("written");
    let imported = aglet("import", &data)
        .args(["--database", &database, "--skip-embedding", "--products"])
        .arg(&file)
        .output()
        .expect("runs");
    assert!(imported.status.success(), "{imported:?}");
    let work = |name: &str| {
        let mut worker = aglet("embed", &folder.path().join(name));
        worker.args(["--database", &database, "--once"]);
        worker.stderr(Stdio::piped());
        worker.spawn().expect("starts")
    };
    let count = |sql: &str| server.ask("shop", sql);
    // What is taken is put off.
    let taken = "SELECT count(*) FROM work WHERE due > 0";
    let mut first = work("first");
    let begun = Instant::now();
    while count(taken) == 0 {
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "nothing was taken"
        );
    }
    first.kill().expect("killed");
    first.wait().expect("ended");
    let left = count("SELECT count(*) FROM work");
    assert!(
        left > 0 && count(taken) > 0,
        "it was through before: {left}"
    );

    // Its two minutes are over.
    assert_eq!(
        count("WITH over AS (UPDATE work SET due = 1 WHERE due > 0 RETURNING 1) SELECT 0"),
        0
    );
    for worker in [work("second"), work("third")] {
        let output = worker.wait_with_output().expect("ends");
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(count("SELECT count(*) FROM work"), 0);
    assert_eq!(
        count("SELECT count(*) FROM embeddings"),
        MANY,
        "each caption once"
    );
    let mut service = start(&data, &database, &[]);
    assert_eq!(ids(&mut service, "boot", 50).len(), 50);
    service.end();
}
