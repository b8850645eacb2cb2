//! Vectors in pgvector: beside a service that has them in memory, after changes, filled by services that
//! die, and where the server cannot keep them.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::multipart::{FORM, form};
use crate::support::postgres::Postgres;
use crate::support::service::{Service, aglet, json as body};

/// Few enough to be embedded soon, and too many to be scored one by one.
const MANY: usize = 3_000;
/// Products that carry what hardly any does.
const RARE: usize = 3;
const PGVECTOR: [&str; 2] = ["--vectors", "pgvector"];

const COLORS: [&str; 4] = ["Red", "Blue", "Green", "Black"];
const KINDS: [&str; 3] = ["Boots", "Sandals", "Shirts"];
const STYLES: [&str; 7] = [
    "plain", "striped", "dotted", "quilted", "woven", "waxed", "ribbed",
];

/// A catalog of words alone, embedded.
fn import(data: &Path, database: &str, many: usize) {
    let mut lines = String::new();
    for number in 0..many {
        let (color, kind) = (COLORS[number % 4], KINDS[number / 4 % 3]);
        let (one, other) = (STYLES[number / 12 % 7], STYLES[number / 84 % 7]);
        let rare = if number % (many / RARE) == 0 {
            "yes"
        } else {
            "no"
        };
        let line = json!({
            "id": format!("a{number}"),
            "title": format!("{color} {one} {kind} with a {other} back, number {number}"),
            "price": number % 97,
            "attributes": {"color": color, "category": kind, "rare": rare},
        });
        writeln!(lines, "{line}").expect("a string");
    }
    let file = data.with_extension("jsonl");
    std::fs::write(&file, lines).expect("written");
    let imported = aglet("import", data)
        .args(["--database", database, "--products"])
        .arg(&file)
        .output()
        .expect("runs");
    assert!(imported.status.success(), "{imported:?}");
}

fn start(data: &Path, database: &str, flags: &[&str]) -> Service {
    let mut service = Service::start(data, &[&["--database", database], flags].concat());
    service.ready();
    service
}

fn get(service: &Service, path: &str) -> Value {
    let answer = service.agent.get(format!("{}{path}", service.url)).call();
    let answer = answer.expect("answers");
    assert_eq!(answer.status(), 200, "{path}");
    body(answer)
}

fn put(service: &Service, id: &str, product: &Value) {
    let url = format!("{}/products/{id}?wait=searchable", service.admin);
    let put = service
        .agent
        .put(url)
        .header("content-type", "application/json");
    let answer = put.send(product.to_string()).expect("answers");
    assert!(answer.status().is_success(), "{answer:?}");
}

fn ids(answer: &Value) -> Vec<String> {
    let hits = answer["hits"].as_array().expect("hits").iter();
    hits.map(|hit| hit["id"].as_str().expect("an id").to_owned())
        .collect()
}

fn scores(answer: &Value) -> Vec<f64> {
    let hits = answer["hits"].as_array().expect("hits").iter();
    hits.map(|hit| hit["score"].as_f64().expect("a score"))
        .collect()
}

/// Cosines differ by no more, as far as the precision of either place goes.
const COSINES: f64 = 0.01;
/// Scores of words: a nearness makes the range of the cosines, which is small here, that from 0 to 1.
const WORDS: f64 = 0.05;

/// The same scores, or about: products that are about as near may change places, and among those at the
/// end of a page others may come.
fn assert_alike(memory: &Value, pgvector: &Value, most: f64, what: &str) {
    let (one, other) = (scores(memory), scores(pgvector));
    assert_eq!(one.len(), other.len(), "{what}");
    for (one, other) in one.iter().zip(&other) {
        assert!((one - other).abs() < most, "{what}: {one} {other}");
    }
}

fn photo() -> Vec<u8> {
    let image = image::RgbImage::from_fn(64, 64, |x, y| {
        let [x, y] = [x, y].map(|at| u8::try_from(at * 3).unwrap_or(u8::MAX));
        image::Rgb([x, y, 200])
    });
    let mut file = std::io::Cursor::new(Vec::new());
    image
        .write_to(&mut file, image::ImageFormat::Png)
        .expect("written");
    file.into_inner()
}

fn by_photo(service: &Service, filter: &str) -> Value {
    let photo = photo();
    let mut parts: Vec<(&str, &[u8])> = vec![("image", &photo), ("limit", b"30")];
    let pairs = filter.split('&').filter_map(|pair| pair.split_once('='));
    parts.extend(pairs.map(|(name, value)| (name, value.as_bytes())));
    let answer = service
        .agent
        .post(format!("{}/search/image", service.url))
        .header("content-type", FORM)
        .send(&form(&parts)[..])
        .expect("answers");
    assert_eq!(answer.status(), 200);
    body(answer)
}

fn verified(data: &Path, database: &str) -> Output {
    let mut verify = aglet("verify", data);
    verify.args(["--database", database]).args(PGVECTOR);
    verify.output().expect("runs")
}

fn said(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn the_same_is_found_in_pgvector_as_in_memory() {
    let Some(server) = Postgres::start("the_same_is_found_in_pgvector_as_in_memory") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = |name: &str| folder.path().join(name);
    let database = server.database("shop");
    import(&data("one"), &database, MANY);
    let one = start(&data("one"), &database, &[]);
    let mut two = start(&data("two"), &database, &PGVECTOR);
    let many = i64::try_from(MANY).expect("small");
    let count = |sql: &str| server.ask("shop", sql);
    assert_eq!(count("SELECT count(*) FROM vectors_1"), many);
    assert_eq!(count("SELECT vectors FROM vector_sets"), many);

    // Without a query no vector counts: it is the same to the last digit.
    let bare = |service: &Service, path: &str| {
        let mut answer = get(service, path);
        answer["took_ms"] = Value::Null;
        answer
    };
    for path in [
        "/search?facets=color,category&color=Red&limit=20",
        "/search?sort=-price&filter=price:..50&limit=30",
        "/search?q=red+boots&mode=lexical&facets=color&limit=20",
    ] {
        assert_eq!(bare(&one, path), bare(&two, path), "{path}");
    }
    let filters = ["", "&color=Red", "&color=Red&category=Boots", "&rare=yes"];
    for filter in filters {
        for path in [
            "/search?q=red+boots&limit=20&cut=none",
            "/search?q=striped+shirts+number&limit=20&cut=none",
            "/search?q=woven+red+boots&limit=30&mode=vector",
            "/products/a77/similar?limit=40",
        ] {
            let path = format!("{path}{filter}");
            let (memory, pgvector) = (get(&one, &path), get(&two, &path));
            assert_eq!(
                memory["estimated_total"], pgvector["estimated_total"],
                "{path}"
            );
            let words = path.contains("cut=none");
            let most = if words { WORDS } else { COSINES };
            assert_alike(&memory, &pgvector, most, &path);
            if filter == "&rare=yes" {
                let sorted = |answer: &Value| {
                    let mut ids = ids(answer);
                    ids.sort();
                    ids
                };
                assert_eq!(sorted(&memory).len(), RARE, "{path}");
                assert_eq!(sorted(&memory), sorted(&pgvector), "{path}");
            }
        }
        let filter = filter.trim_start_matches('&');
        let (memory, pgvector) = (by_photo(&one, filter), by_photo(&two, filter));
        assert_alike(&memory, &pgvector, COSINES, filter);
    }
    // A product is most like itself, here as there.
    let near = get(
        &two,
        "/search?q=Red+plain+Boots+with+a+plain+back,+number+0&limit=1",
    );
    assert_eq!(ids(&near), ["a0"]);
    // What is meant is about the same.
    let path = "/search?q=quilted+sandals&limit=50";
    let (memory, pgvector) = (get(&one, path), get(&two, path));
    let total = |answer: &Value| answer["estimated_total"].as_f64().expect("a number");
    let (here, there) = (total(&memory), total(&pgvector));
    assert!(
        (here - there).abs() <= 0.02 * here.max(50.0),
        "{here} {there}"
    );

    // Pages join, and a filter gives all there are.
    for path in [
        "/search?q=red+boots&cut=none",
        "/products/a77/similar?color=Red",
    ] {
        let mark = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        for page in 0.. {
            let path = format!("{path}{mark}limit=100&offset={}", 100 * page);
            let found = ids(&get(&two, &path));
            if found.is_empty() || all.len() >= 1_500 {
                break;
            }
            all.extend(found);
        }
        let expected = if path.contains("Red") {
            MANY / 4
        } else {
            1_500
        };
        assert_eq!(all.len(), expected, "{path}");
        all.sort();
        all.dedup();
        assert_eq!(all.len(), expected, "{path}: one came twice");
    }

    // A change at one is found at the other; another price changes no vector.
    let before = count("SELECT count(*) FROM vectors_1");
    put(
        &one,
        "new",
        &json!({"title": "A purple cloak of velvet", "attributes": {"color": "Purple"}}),
    );
    two.until("it is found", |two| {
        (ids(&get(two, "/search?q=velvet+cloak&limit=5")) == ["new"]).then_some(())
    });
    let revision = || count("SELECT revision FROM vector_sets");
    two.until("its vector is there", |two| {
        let similar = two
            .agent
            .get(format!("{}/products/new/similar", two.url))
            .call();
        (similar.expect("answers").status() == 200).then_some(())
    });
    assert_eq!(count("SELECT count(*) FROM vectors_1"), before + 1);
    let place = "SELECT (ctid::text::point)[0]::bigint * 1000 + (ctid::text::point)[1]::bigint
                 FROM vectors_1 WHERE product = (SELECT key FROM products WHERE id = 'new')";
    let (placed, at) = (count(place), revision());
    put(
        &two,
        "new",
        &json!({"title": "A purple cloak of velvet", "price": 9, "attributes": {"color": "Purple"}}),
    );
    assert!(revision() > at);
    assert_eq!(count(place), placed, "the row was written again");
    put(
        &two,
        "new",
        &json!({"title": "A yellow hat", "price": 9, "attributes": {"color": "Yellow"}}),
    );
    two.until("its words are embedded", |_| {
        (count(place) != placed).then_some(())
    });
    let delete = two
        .agent
        .delete(format!("{}/products/new", two.admin))
        .call();
    assert_eq!(delete.expect("answers").status(), 204);
    two.until("it is gone", |two| {
        let gone = count("SELECT count(*) FROM vectors_1") == many;
        let found = ids(&get(two, "/search?q=yellow+hat&limit=250&cut=none"));
        (gone && !found.contains(&"new".to_owned())).then_some(())
    });

    // What is restored answers as before, and is what the catalog says.
    let path = "/products/a77/similar?limit=40";
    let before = ids(&get(&two, path));
    two.end();
    let verify = verified(&data("two"), &database);
    assert!(
        verify.status.success() && said(&verify).contains(" 0 differences"),
        "{}",
        said(&verify)
    );
    let mut two = start(&data("two"), &database, &PGVECTOR);
    assert!(!two.has_logged("index built"), "{:#?}", two.log());
    assert_eq!(ids(&get(&two, path)), before);

    // While the server is away that is said, and afterwards it goes on.
    server.stop();
    let away = two
        .agent
        .get(format!("{}{path}", two.url))
        .call()
        .expect("answers");
    assert_eq!(away.status(), 503);
    assert!(away.headers().contains_key("retry-after"));
    assert_eq!(body(away)["code"], "store_unavailable");
    server.go_on();
    two.until("it answers again", |two| {
        let again = two
            .agent
            .get(format!("{}{path}", two.url))
            .call()
            .expect("answers");
        (again.status() == 200).then_some(())
    });
    two.end();

    // A vector that is another one is seen.
    let spoil = "WITH one AS (UPDATE vectors_1 SET vector = (SELECT vector FROM vectors_1 WHERE product = 9)
                 WHERE product = 8 RETURNING 1) SELECT count(*) FROM one";
    assert_eq!(count(spoil), 1);
    let verify = verified(&data("two"), &database);
    assert!(!verify.status.success(), "{}", said(&verify));
    assert!(
        said(&verify).contains("its vectors are others"),
        "{}",
        said(&verify)
    );
    assert!(
        said(&verify).contains(" 1 differences"),
        "{}",
        said(&verify)
    );
}

#[test]
fn a_service_that_is_killed_while_it_fills_leaves_what_it_did_to_another() {
    let test = "a_service_that_is_killed_while_it_fills_leaves_what_it_did_to_another";
    let Some(server) = Postgres::start(test) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = |name: &str| folder.path().join(name);
    let database = server.database("shop");
    import(&data("one"), &database, MANY);
    let count = |sql: &str| server.ask("shop", sql);
    // It takes its time for the index, at the end.
    let slow = "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_sleep(3); END $$;
                CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('CREATE INDEX')
                EXECUTE FUNCTION slow(); SELECT 1";
    assert_eq!(count(slow), 1);
    let flags = [&["--database", &database][..], &PGVECTOR].concat();
    let mut one = Service::start(&data("one"), &flags);
    let filling =
        "SELECT coalesce((SELECT max(filled_to) FROM vector_sets WHERE filled_to > 0), 0)";
    let begun = Instant::now();
    while count(filling) == 0 {
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "nothing is filled"
        );
    }
    one.kill();
    let filled = count(filling);
    assert!(filled > 0, "it was through before");
    // It is not answered from before it is whole.
    assert_eq!(
        count("SELECT count(*) FROM vector_sets WHERE filled_to IS NULL"),
        0
    );
    assert_eq!(count("DROP EVENT TRIGGER slow; SELECT 1"), 1);
    // Meanwhile the catalog changes.
    let mut other = start(&data("memory"), &database, &[]);
    put(&other, "a1", &json!({"title": "Another title by now"}));
    other.end();
    // Two at once, each of which may do it.
    let mut two = Service::start(&data("two"), &flags);
    let mut three = Service::start(&data("three"), &flags);
    two.ready();
    three.ready();
    assert_eq!(count("SELECT count(*) FROM vector_sets"), 1);
    let many = i64::try_from(MANY).expect("small");
    assert_eq!(count("SELECT count(*) FROM vectors_1"), many);
    assert_eq!(
        ids(&get(&two, "/search?q=another+title+by+now&limit=1")),
        ["a1"]
    );
    let similar = "/products/a1/similar?limit=50";
    let (one, other) = (get(&two, similar), get(&three, similar));
    assert_eq!(ids(&one), ids(&other));
    two.end();
    three.end();
    for name in ["two", "three"] {
        let verify = verified(&data(name), &database);
        assert!(
            verify.status.success() && said(&verify).contains(" 0 differences"),
            "{}",
            said(&verify)
        );
    }
}

#[test]
fn where_vectors_cannot_be_kept_it_is_said_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let refused = |database: &str| {
        let mut serve = aglet("serve", &data);
        serve.args(["--listen", "127.0.0.1:0"]).args(PGVECTOR);
        if !database.is_empty() {
            serve.args(["--database", database]);
        }
        let output = serve.output().expect("ends");
        assert!(!output.status.success());
        said(&output)
    };
    let without = refused("");
    assert!(
        without.contains("vectors: pgvector goes with a server of PostgreSQL"),
        "{without}"
    );
    let Some(server) = Postgres::start("where_vectors_cannot_be_kept_it_is_said_why") else {
        return;
    };
    let database = server.database("shop");
    // Somebody who may make tables and no extension.
    for sql in [
        "CREATE ROLE shop LOGIN",
        "GRANT ALL ON SCHEMA public TO shop",
    ] {
        let psql = Command::new(Postgres::psql())
            .args([&database, "-qc", sql])
            .output();
        assert!(psql.expect("runs").status.success(), "{sql}");
    }
    let shop = database.replace("postgres@", "shop@");
    let may_not = refused(&shop);
    assert!(
        may_not.contains("permission denied to create extension")
            && may_not.contains("CREATE EXTENSION vector"),
        "{may_not}"
    );
    // Once somebody else has made it, all goes well.
    assert_eq!(server.ask("shop", "CREATE EXTENSION vector; SELECT 1"), 1);
    let mut service = start(&data, &shop, &PGVECTOR);
    put(&service, "a1", &json!({"title": "Red boot"}));
    assert_eq!(ids(&get(&service, "/search?q=boot")), ["a1"]);
    service.end();
}
