//! Products written over HTTP: each route, each refusal, and what the catalog holds then.

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aglet::catalog::PictureHosts;
use aglet::http::HttpOptions;
use aglet::util::budget::Budget;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::Frame;
use http_body_util::BodyExt;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Answer, PRODUCTS, Server, Shop, request};

const JSON: (&str, &str) = ("content-type", "application/json");
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const PNG: (&str, &str) = ("content-type", "image/png");

fn on() -> HttpOptions {
    HttpOptions {
        listener: aglet::http::Listener::Admin,
        request_timeout: Duration::from_millis(500),
        ..HttpOptions::default()
    }
}

impl Shop {
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.call(request(method, path, headers, body.into())).await
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, &[JSON], body.to_string())
            .await
    }

    async fn patch(&self, path: &str, body: &Value) -> Answer {
        let kind = ("content-type", "application/merge-patch+json");
        self.send(Method::PATCH, path, &[kind], body.to_string())
            .await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], Body::empty()).await
    }

    async fn bulk(&self, lines: impl Into<Body>) -> Vec<Value> {
        let answer = self
            .send(Method::POST, "/products:bulk", &[NDJSON], lines)
            .await;
        statuses(&answer)
    }

    /// Uploads a picture.
    async fn give(&self, path: &str, file: &[u8]) -> Answer {
        self.send(Method::PUT, path, &[PNG], file.to_vec()).await
    }

    async fn product(&self, id: &str) -> Value {
        self.get(&format!("/products/{id}")).await.ok()["product"].clone()
    }

    async fn tag(&self, id: &str) -> String {
        let answer = self.get(&format!("/products/{id}")).await;
        answer.ok();
        tag(&answer)
    }

    async fn revision(&self) -> u64 {
        let catalog = self.state.service.catalog();
        catalog.revision().await.expect("revision")
    }

    /// The lines of `GET /products`.
    async fn all(&self) -> Vec<Value> {
        statuses(&self.get("/products").await)
    }
}

/// The lines of an answer of NDJSON.
fn statuses(answer: &Answer) -> Vec<Value> {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, StatusCode::OK, "{text}");
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/x-ndjson");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn tag(answer: &Answer) -> String {
    let tag = answer.headers[header::ETAG].to_str().expect("text");
    tag.to_owned()
}

/// Status, and the member `status` of the answer.
fn outcome(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let status = body["status"].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), status)
}

fn problem(answer: &Answer) -> Value {
    answer.problem();
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory")
}

fn lines(values: impl IntoIterator<Item = Value>) -> String {
    let mut lines = String::new();
    for value in values {
        lines.push_str(&value.to_string());
        lines.push('\n');
    }
    lines
}

#[tokio::test]
async fn without_a_key_nothing_is_written() {
    let shop = Shop::open().await;
    let before = shop.revision().await;
    let body = json!({"title": "A"});
    let answers = [
        shop.put("/products/1", &body).await,
        shop.patch("/products/1", &body).await,
        shop.delete("/products/1").await,
        shop.give("/products/1/pictures/1", b"no picture").await,
        shop.delete("/products/1/pictures/1").await,
        shop.send(
            Method::POST,
            "/products:bulk",
            &[NDJSON],
            lines([json!({"id": 1, "title": "A"})]),
        )
        .await,
        // Before the body is looked at.
        shop.send(Method::PUT, "/products/1", &[], "no JSON").await,
    ];
    for answer in answers {
        assert_eq!(answer.problem(), (401, "key_missing".to_owned()));
    }
    assert_eq!(shop.get("/products").await.problem().1, "key_missing");
    assert_eq!(shop.revision().await, before);
}

#[tokio::test]
async fn a_put_is_the_whole_product() {
    let shop = Shop::with(on()).await;
    let start = shop.revision().await;
    let derby = json!({"title": " Derby ", "price": 89.9, "currency": "eur", "created": "2026-11-29",
        "colour": "misnamed", "attributes": {"Heel Height": 3.5, "color": ["Black", "Brown"], "vegan": true}});
    let created = shop.put("/products/new%2Fone", &derby).await;
    assert_eq!(outcome(&created), (201, "created".to_owned()));
    let answer: Value = serde_json::from_slice(&created.body).expect("JSON");
    assert_eq!(
        (&answer["id"], &answer["ignored"]),
        (&json!("new/one"), &json!(["colour"]))
    );
    assert_eq!(answer["revision"], shop.revision().await);
    assert!(shop.revision().await > start && answer.get("searchable").is_none());
    assert_eq!(tag(&created), format!("\"{}\"", answer["revision"]));
    assert_eq!(tag(&created), shop.tag("new%2Fone").await);
    let stored = shop.product("new%2Fone").await;
    assert_eq!(
        stored["attributes"],
        json!({"color": ["Black", "Brown"], "heel_height": ["3.5"], "vegan": ["true"]})
    );
    assert_eq!(
        (&stored["title"], &stored["currency"]),
        (&json!("Derby"), &json!("EUR"))
    );
    assert_eq!(stored["created"], "2026-11-29T00:00:00Z");

    // The same again, and the id in the body too.
    let mut same = derby.clone();
    same["id"] = json!("new/one");
    let again = shop.put("/products/new%2Fone", &same).await;
    assert_eq!(outcome(&again), (200, "unchanged".to_owned()));
    assert_eq!(tag(&again), tag(&created));

    // What is left out is gone, but for the date.
    let less = shop
        .put("/products/new%2Fone", &json!({"title": "Derby"}))
        .await;
    assert_eq!(outcome(&less), (200, "changed".to_owned()));
    assert!(tag(&less) != tag(&created));
    let stored = shop.product("new%2Fone").await;
    assert!(
        stored["price"].is_null() && stored["attributes"] == json!({}),
        "{stored}"
    );
    assert_eq!(stored["created"], "2026-11-29T00:00:00Z");
}

#[tokio::test]
async fn a_product_keeps_its_picture() {
    let shop = Shop::with(on()).await;
    shop.put("/products/1", &json!({"id": 1, "title": "Another name"}))
        .await
        .ok();
    shop.patch("/products/1", &json!({"price": 5})).await.ok();
    let stored = shop.product("1").await;
    assert_eq!(
        (&stored["title"], &stored["price"]),
        (&json!("Another name"), &json!(5.0))
    );
    assert_eq!(stored["image_url"], "/products/1/image");
    let picture = shop.get("/products/1/image").await;
    assert_eq!(picture.body, shop.picture("1"));
    // A path, also of a file that is there, is never opened.
    for image in ["2.png", "/etc/passwd", "../products.jsonl"] {
        for answer in [
            shop.put("/products/1", &json!({"title": "A", "image": image}))
                .await,
            shop.patch("/products/1", &json!({"image": image})).await,
        ] {
            let problem = problem(&answer);
            assert_eq!(
                (&problem["code"], &problem["field"], &problem["status"]),
                (&json!("invalid_product"), &json!("image"), &json!(422)),
            );
        }
    }
    assert_eq!(shop.product("1").await, stored);
}

#[tokio::test]
async fn what_is_no_product_is_refused_by_the_field() {
    let shop = Shop::with(on()).await;
    let before = (shop.revision().await, shop.all().await);
    let long = "x".repeat(1_001);
    let wrong = [
        (json!({}), "title"),
        (json!({"title": null}), "title"),
        (json!({"title": 7}), "title"),
        (json!({"title": " "}), "title"),
        (json!({"title": long}), "title"),
        (json!({"title": "A", "id": "2"}), "id"),
        (json!({"title": "A", "id": 1.5}), "id"),
        (
            json!({"title": "A", "description": "x".repeat(20_001)}),
            "description",
        ),
        (json!({"title": "A", "description": ["x"]}), "description"),
        (json!({"title": "A", "price": "12"}), "price"),
        (json!({"title": "A", "price": -1}), "price"),
        (json!({"title": "A", "sale_price": "12"}), "sale_price"),
        (json!({"title": "A", "sale_price": -1}), "sale_price"),
        (json!({"title": "A", "currency": "euros"}), "currency"),
        (json!({"title": "A", "created": "yesterday"}), "created"),
        (json!({"title": "A", "url": "x".repeat(2_049)}), "url"),
        (json!({"title": "A", "attributes": ["color"]}), "attributes"),
        (
            json!({"title": "A", "attributes": {"color": {"a": 1}}}),
            "attributes.color",
        ),
        (
            json!({"title": "A", "attributes": {"color": ["Red", "x".repeat(257)]}}),
            "attributes.color",
        ),
        (
            json!({"title": "A", "attributes": {"limit": "x"}}),
            "attributes.limit",
        ),
        (
            json!({"title": "A", "attributes": {"price": "x"}}),
            "attributes.price",
        ),
        (
            json!({"title": "A", "attributes": {"2nd": "x"}}),
            "attributes.2nd",
        ),
    ];
    for (body, field) in &wrong {
        let problem = problem(&shop.put("/products/1", body).await);
        assert_eq!(
            (&problem["code"], &problem["field"]),
            (&json!("invalid_product"), &json!(field)),
            "{body} {problem}"
        );
        assert!(!problem["detail"].as_str().expect("text").is_empty());
    }
    let code = |answer: &Answer| answer.problem();
    let put = async |kind: &str, body: &str| {
        let kind = ("content-type", kind);
        shop.send(Method::PUT, "/products/1", &[kind], body.to_owned())
            .await
    };
    let refused = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(
        code(&put("application/json", "{").await),
        refused(400, "malformed_json")
    );
    assert_eq!(
        code(&put("application/json", "[]").await),
        refused(422, "invalid_body")
    );
    for kind in ["text/plain", "application/merge-patch+json", ""] {
        assert_eq!(
            code(&put(kind, "{}").await),
            refused(415, "unsupported_media_type")
        );
    }
    let large = json!({"title": "A", "x": "x".repeat(1 << 20)});
    assert_eq!(
        code(&shop.put("/products/1", &large).await),
        refused(413, "body_too_large")
    );
    let path = "/products/1?wait=indexed";
    assert_eq!(
        code(&shop.delete(path).await),
        refused(400, "invalid_parameter")
    );
    let path = "/products/1?wait=searchable&wait=searchable";
    assert_eq!(
        code(&shop.delete(path).await),
        refused(400, "repeated_parameter")
    );
    let path = "/products/1?color=Red";
    assert_eq!(
        code(&shop.delete(path).await),
        refused(400, "invalid_parameter")
    );
    let path = format!("/products/{}", "x".repeat(129));
    let named = shop.put(&path, &json!({"title": "A"})).await;
    assert_eq!(code(&named), refused(400, "invalid_parameter"));
    assert_eq!((shop.revision().await, shop.all().await), before);
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let shop = Shop::with(on()).await;
    let before = shop.product("1").await;
    let patch = json!({"price": 49.9, "sale_price": null, "created": null, "id": 1,
        "attributes": {"Color": ["Red", "White"], "shoelace_color": null, "season": "Fall"}});
    let answer = shop.patch("/products/1", &patch).await;
    assert_eq!(outcome(&answer), (200, "changed".to_owned()));
    assert_eq!(tag(&answer), shop.tag("1").await);
    let mut expected = before.clone();
    expected["price"] = json!(49.9);
    expected["sale_price"] = Value::Null;
    expected["color"] = json!("Red");
    expected["shoelace_color"] = Value::Null;
    expected["attributes"]["color"] = json!(["Red", "White"]);
    expected["attributes"]["season"] = json!(["Fall"]);
    expected["attributes"]
        .as_object_mut()
        .expect("attributes")
        .remove("shoelace_color");
    assert_eq!(shop.product("1").await, expected);

    // By the other type, and to no effect.
    let same = shop
        .send(Method::PATCH, "/products/1", &[JSON], patch.to_string())
        .await;
    assert_eq!(outcome(&same), (200, "unchanged".to_owned()));
    assert_eq!(tag(&same), tag(&answer));
    let nothing = shop.patch("/products/1", &json!({})).await;
    assert_eq!(outcome(&nothing), (200, "unchanged".to_owned()));

    for (wrong, field) in [
        (json!({"title": null}), "title"),
        (json!({"price": -1}), "price"),
        (
            json!({"attributes": {"color": {"deep": 1}}}),
            "attributes.color",
        ),
        (json!({"id": "2"}), "id"),
    ] {
        let problem = problem(&shop.patch("/products/1", &wrong).await);
        assert_eq!(
            (&problem["status"], &problem["field"]),
            (&json!(422), &json!(field))
        );
    }
    let unknown = shop.patch("/products/404", &json!({"title": "A"})).await;
    assert_eq!(unknown.problem(), (404, "product_not_found".to_owned()));
    let array = shop
        .patch("/products/1", &json!([{"op": "remove", "path": "/title"}]))
        .await;
    assert_eq!(array.problem(), (422, "invalid_body".to_owned()));
    let kind = ("content-type", "application/json-patch+json");
    let other = shop.send(Method::PATCH, "/products/1", &[kind], "{}").await;
    assert_eq!(other.problem(), (415, "unsupported_media_type".to_owned()));
    assert_eq!(shop.product("1").await, expected);
}

#[tokio::test]
async fn a_product_is_deleted_once() {
    let shop = Shop::with(on()).await;
    let gone = shop.delete("/products/a%2Fb%20c").await;
    assert_eq!((gone.status, gone.body.len()), (StatusCode::NO_CONTENT, 0));
    assert!(!gone.headers.contains_key(header::ETAG));
    let missing = (404, "product_not_found".to_owned());
    assert_eq!(shop.get("/products/a%2Fb%20c").await.problem(), missing);
    assert_eq!(shop.delete("/products/a%2Fb%20c").await.problem(), missing);
    assert_eq!(shop.all().await.len(), PRODUCTS.len() - 1);
    // It comes back as another product.
    let back = shop
        .put("/products/a%2Fb%20c", &json!({"title": "Back"}))
        .await;
    assert_eq!(outcome(&back), (201, "created".to_owned()));
    assert!(shop.product("a%2Fb%20c").await["image_url"].is_null());
}

#[tokio::test]
async fn conditions_are_kept() {
    let shop = Shop::with(on()).await;
    let first = shop.tag("1").await;
    let send = async |method: Method, id: &str, name: &str, value: &str, price: u32| {
        let body = json!({"title": "A", "price": price}).to_string();
        let path = format!("/products/{id}");
        shop.send(method, &path, &[JSON, (name, value)], body).await
    };
    let failed = (412, "precondition_failed".to_owned());
    for (name, value) in [
        ("if-match", "\"1\""),
        ("if-match", &format!("W/{first}")),
        ("if-match", first.trim_matches('"')),
        ("if-match", ""),
        ("if-none-match", "*"),
        ("if-none-match", &first),
        ("if-none-match", &format!("\"1\", W/{first}")),
        ("if-none-match", first.trim_matches('"')),
    ] {
        for method in [Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = send(method, "1", name, value, 1).await;
            assert_eq!(answer.problem(), failed, "{name}: {value}");
            assert_eq!(problem(&answer)["etag"], first.as_str());
        }
    }
    assert_eq!(shop.tag("1").await, first);
    let listed = format!("\"1\", {first}");
    let second = send(Method::PUT, "1", "if-match", &listed, 2).await;
    assert_eq!(outcome(&second), (200, "changed".to_owned()));
    let third = send(Method::PATCH, "1", "if-match", &tag(&second), 3).await;
    assert_eq!(outcome(&third), (200, "changed".to_owned()));
    let any = send(Method::PATCH, "1", "if-match", "*", 4).await;
    assert_eq!(outcome(&any), (200, "changed".to_owned()));
    let not = send(Method::PATCH, "1", "if-none-match", &tag(&third), 5).await;
    assert_eq!(outcome(&not), (200, "changed".to_owned()));

    // Where there is no product.
    for value in ["*", first.as_str()] {
        let answer = send(Method::PUT, "404", "if-match", value, 1).await;
        assert_eq!(answer.problem(), failed);
        assert!(problem(&answer)["etag"].is_null());
        let missing = (404, "product_not_found".to_owned());
        assert_eq!(
            send(Method::PATCH, "404", "if-match", value, 1)
                .await
                .problem(),
            missing
        );
        assert_eq!(
            send(Method::DELETE, "404", "if-match", value, 1)
                .await
                .problem(),
            missing
        );
    }
    let created = send(Method::PUT, "404", "if-none-match", "*", 1).await;
    assert_eq!(outcome(&created), (201, "created".to_owned()));
    let again = send(Method::PUT, "404", "if-none-match", "*", 1).await;
    assert_eq!(again.problem(), failed);
    let gone = send(Method::DELETE, "404", "if-match", &tag(&created), 0).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_changes_under_one_tag_one_is_made() {
    let shop = Arc::new(Shop::with(on()).await);
    for round in 0..5 {
        let tag = shop.tag("1").await;
        let patches = (0..8).map(|price| {
            let (shop, tag) = (Arc::clone(&shop), tag.clone());
            tokio::spawn(async move {
                let body = json!({"price": 100 * (round + 1) + price}).to_string();
                let headers = [JSON, ("if-match", tag.as_str())];
                let answer = shop
                    .send(Method::PATCH, "/products/1", &headers, body)
                    .await;
                (answer.status.as_u16(), price)
            })
        });
        let patches: Vec<_> = patches.collect();
        let mut made = Vec::new();
        for patch in patches {
            match patch.await.expect("no panic") {
                (200, price) => made.push(price),
                (status, _) => assert_eq!(status, 412),
            }
        }
        assert_eq!(made.len(), 1, "{made:?}");
        let price = f64::from(100 * (round + 1) + made[0]);
        assert_eq!(shop.product("1").await["price"], price);
    }
}

#[tokio::test]
async fn a_bad_line_of_a_bulk_costs_itself() {
    let shop = Shop::with(on()).await;
    let product =
        |n: u32| json!({"id": n, "title": format!("Product {n}"), "price": f64::from(n) / 8.0});
    let mut body = Vec::new();
    for n in 1..=1_000 {
        let line = if n == 700 {
            "{\"id\": 1700, \"title\": ".to_owned()
        } else {
            product(1_000 + n).to_string()
        };
        body.extend([line.as_bytes(), b"\n"].concat());
    }
    let before = shop.revision().await;
    let answers = shop.bulk(body.clone()).await;
    assert_eq!(answers.len(), 1_000);
    for (number, answer) in (1_u32..).zip(&answers) {
        assert_eq!(answer["line"], number);
        if number == 700 {
            assert!(answer.get("status").is_none(), "{answer}");
            let error = &answer["error"];
            assert_eq!(error["type"], "/problems/malformed_json");
            assert_eq!(
                (&error["code"], &error["status"]),
                (&json!("malformed_json"), &json!(400))
            );
            assert!(error["title"].is_string() && error["detail"].is_string());
        } else {
            assert_eq!(answer["status"], "created", "{answer}");
            assert_eq!(answer["id"], (1_000 + number).to_string());
            assert!(answer.get("error").is_none() && answer["revision"].as_u64() > Some(before));
        }
    }
    assert_eq!(shop.all().await.len(), PRODUCTS.len() + 999);
    assert_eq!(shop.product("2000").await["price"], 250.0);

    // The same again changes nothing.
    let (revision, all) = (shop.revision().await, shop.all().await);
    let again = shop.bulk(body).await;
    let unchanged = again
        .iter()
        .filter(|answer| answer["status"] == "unchanged");
    assert_eq!(unchanged.count(), 999);
    assert_eq!((shop.revision().await, shop.all().await), (revision, all));
    for (first, second) in answers.iter().zip(&again) {
        assert_eq!(first["revision"], second["revision"]);
    }
}

#[tokio::test]
async fn a_bulk_puts_patches_and_deletes() {
    let shop = Shop::with(on()).await;
    let wrong = "{\"id\": \"1\", \"op\": \"upsert\"}\n[]\n7\n\n{\"title\": \"No id\"}\n";
    let right = lines([
        json!({"id": "10", "title": "Ten", "op": "put", "other": 1}),
        json!({"id": "10", "op": "patch", "price": 10, "attributes": {"color": "Red"}}),
        json!({"id": 10, "op": "patch", "attributes": {"color": null, "size": [41, 42]}}),
        json!({"id": "2", "op": "delete"}),
        json!({"id": "2", "op": "delete"}),
        json!({"id": "404", "op": "patch", "price": 1}),
        json!({"id": "3", "title": "A", "price": -1}),
        json!({"id": "3", "title": "A", "image": "/etc/passwd"}),
    ]);
    let answers = shop.bulk(format!("{wrong}{right}")).await;
    let seen: Vec<_> = answers
        .iter()
        .map(|answer| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let word = text(&answer["status"]) + &text(&answer["error"]["code"]);
            let field = text(&answer["error"]["field"]);
            (
                answer["line"].as_u64().expect("a number"),
                text(&answer["id"]),
                word,
                field,
            )
        })
        .collect();
    let expected = [
        (1, "", "invalid_product", "op"),
        (2, "", "invalid_body", ""),
        (3, "", "invalid_body", ""),
        (5, "", "invalid_product", "id"),
        (6, "10", "created", ""),
        (7, "10", "changed", ""),
        (8, "10", "changed", ""),
        (9, "2", "deleted", ""),
        (10, "2", "product_not_found", ""),
        (11, "404", "product_not_found", ""),
        (12, "3", "invalid_product", "price"),
        (13, "3", "invalid_product", "image"),
    ];
    let expected = expected
        .map(|(line, id, word, field)| (line, id.to_owned(), word.to_owned(), field.to_owned()));
    assert_eq!(seen, expected);
    assert_eq!(answers[4]["ignored"], json!(["other"]));
    let ten = shop.product("10").await;
    assert_eq!(
        (&ten["price"], &ten["attributes"]),
        (&json!(10.0), &json!({"size": ["41", "42"]}))
    );
    assert_eq!(shop.get("/products/2").await.status, StatusCode::NOT_FOUND);
    assert_eq!(shop.product("3").await["title"], "High Canvas Sneaker");
}

#[tokio::test]
async fn a_byte_order_mark_is_passed_over() {
    let shop = Shop::with(on()).await;
    let product = format!("\u{feff}{}", json!({"id": " 10 ", "title": "Ten"}));
    let put = shop
        .send(Method::PUT, "/products/10", &[JSON], product.clone())
        .await;
    assert_eq!(outcome(&put), (201, "created".to_owned()));
    let patch = format!("\u{feff}{}", json!({"price": 5}));
    let patch = shop
        .send(Method::PATCH, "/products/10", &[JSON], patch)
        .await;
    assert_eq!(outcome(&patch), (200, "changed".to_owned()));
    let answers = shop.bulk(product.clone()).await;
    assert_eq!(answers[0]["status"], "changed");
    // The id is the product's own.
    assert_eq!(answers[0]["id"], "10");
    let wrong = shop.bulk(lines([json!({"id": " 10 ", "price": 1})])).await;
    assert_eq!(
        (&wrong[0]["id"], &wrong[0]["error"]["field"]),
        (&json!("10"), &json!("title"))
    );
    // One, at the beginning.
    let twice = format!("\u{feff}{product}");
    let put = shop.send(Method::PUT, "/products/10", &[JSON], twice).await;
    assert_eq!(put.problem(), (400, "malformed_json".to_owned()));
}

#[tokio::test]
async fn a_bulk_of_any_size_is_read_line_by_line() {
    let shop = Shop::with(HttpOptions {
        max_body: 10_000,
        ..on()
    })
    .await;
    // Three megabytes, one line of them over the limit.
    let long = "x".repeat(1 << 20);
    let text = "long ".repeat(1_000);
    let many = (0..400).map(|n| json!({"id": format!("n{n}"), "title": "A", "description": text}));
    let body = format!(
        "{}{}\n{}",
        lines(many),
        json!({"id": "long", "title": long}),
        json!({"id": "last", "title": "B"})
    );
    for encoding in ["identity", "gzip"] {
        let bytes = match encoding {
            "gzip" => gzip(body.as_bytes()),
            _ => body.clone().into_bytes(),
        };
        let headers = [NDJSON, ("content-encoding", encoding)];
        let answer = shop
            .send(Method::POST, "/products:bulk", &headers, bytes)
            .await;
        let answers = statuses(&answer);
        assert_eq!(answers.len(), 402);
        let expected = if encoding == "gzip" {
            "unchanged"
        } else {
            "created"
        };
        let (first, last) = (&answers[..400], &answers[401]);
        assert!(first.iter().all(|answer| answer["status"] == expected));
        assert_eq!(
            (&last["status"], &last["line"]),
            (&json!(expected), &json!(402))
        );
        let error = &answers[400]["error"];
        assert_eq!(
            (&error["code"], &error["limit_bytes"]),
            (&json!("body_too_large"), &json!(1 << 20))
        );
    }
    assert_eq!(
        shop.get("/products/long").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(shop.state.options.uploads.used(), 0);
}

#[tokio::test]
async fn a_bulk_that_cannot_be_read_says_so() {
    let shop = Shop::with(on()).await;
    let post = async |headers: &[(&str, &str)], body: Vec<u8>| {
        shop.send(Method::POST, "/products:bulk", headers, body)
            .await
    };
    let line = lines([json!({"id": "10", "title": "Ten"})]).into_bytes();
    for kind in ["application/json", "text/csv", ""] {
        let answer = post(&[("content-type", kind)], line.clone()).await;
        assert_eq!(answer.problem(), (415, "unsupported_media_type".to_owned()));
    }
    let answer = post(&[NDJSON, ("content-encoding", "br")], line.clone()).await;
    assert_eq!(answer.problem(), (415, "unsupported_encoding".to_owned()));
    let answer = post(&[NDJSON, ("content-encoding", "gzip")], line.clone()).await;
    assert_eq!(answer.problem(), (400, "incomplete_body".to_owned()));
    // One product is sent as it is.
    for coding in ["br", "gzip"] {
        let headers = [JSON, ("content-encoding", coding)];
        let body = json!({"title": "A"}).to_string();
        let answer = shop.send(Method::PUT, "/products/11", &headers, body).await;
        assert_eq!(answer.problem(), (415, "unsupported_encoding".to_owned()));
    }
    // A condition would be one on all of its products.
    for name in ["if-match", "if-none-match"] {
        let answer = post(&[NDJSON, (name, "*")], line.clone()).await;
        assert_eq!(answer.problem(), (400, "invalid_parameter".to_owned()));
        let parameter = problem(&answer)["parameter"].clone();
        assert_eq!(
            parameter.as_str().map(str::to_lowercase).as_deref(),
            Some(name)
        );
    }
    assert!(statuses(&post(&[NDJSON], Vec::new()).await).is_empty());
    assert_eq!(shop.get("/products/10").await.status, StatusCode::NOT_FOUND);

    // Cut off behind lines that are whole: those are written, and the last line says what happened.
    let many = (0..2_000)
        .map(|n| json!({"id": format!("n{n}"), "title": format!("Product {n} {:x}", n * 7_919)}));
    let mut cut = gzip(lines(many).as_bytes());
    cut.truncate(cut.len() - 6);
    let answers = statuses(&post(&[NDJSON, ("content-encoding", "gzip")], cut).await);
    let (last, written) = answers.split_last().expect("answers");
    assert_eq!(last["error"]["code"], "incomplete_body");
    assert_eq!(last["line"].as_u64(), Some(written.len() as u64 + 1));
    assert!(written.len() > 500 && written.iter().all(|answer| answer["status"] == "created"));
    assert_eq!(shop.all().await.len(), PRODUCTS.len() + written.len());
}

/// A picture that looks like no other: stripes of this color, so wide.
fn drawn(color: [u8; 3], width: u32) -> Vec<u8> {
    let picture = RgbImage::from_fn(64, 64, |x, y| {
        let dark = (x / width + y / (2 * width)).is_multiple_of(2);
        Rgb(if dark { [0; 3] } else { color })
    });
    let mut file = std::io::Cursor::new(Vec::new());
    let written = picture.write_to(&mut file, ImageFormat::Png);
    written.expect("a picture");
    file.into_inner()
}

#[tokio::test]
async fn a_product_has_the_pictures_that_are_uploaded() {
    let shop = Shop::with(on()).await;
    let (first, second) = (drawn([250, 40, 0], 3), drawn([0, 200, 255], 11));
    let derby = json!({"title": "Derby", "attributes": {"category": "Formal Shoes"}});
    shop.put("/products/new%2Fone", &derby).await;
    let path = |number: u8| format!("/products/new%2Fone/pictures/{number}");
    for (number, file) in [(1, &first), (2, &second)] {
        let given = shop.give(&path(number), file).await;
        assert_eq!(outcome(&given), (200, "changed".to_owned()));
        assert_eq!(tag(&given), shop.tag("new%2Fone").await);
    }
    let before = shop.tag("new%2Fone").await;
    let kind = ("content-type", "application/octet-stream");
    let again = shop
        .send(Method::PUT, &path(2), &[kind], second.clone())
        .await;
    assert_eq!(outcome(&again), (200, "unchanged".to_owned()));
    assert_eq!(tag(&again), before);
    assert_eq!(shop.state.options.uploads.used(), 0);

    // Nobody has looked at them yet.
    let missing = (404, "image_not_found".to_owned());
    assert_eq!(shop.get(&path(2)).await.problem(), missing);
    let document = shop.get("/products/new%2Fone").await.ok();
    let waiting = json!({"status": "waiting"});
    let part = |number: u8| json!({"number": number, "url": null, "embedding": waiting});
    assert_eq!(document["pictures"], json!([part(1), part(2)]));
    assert_eq!(document["words"], waiting);
    assert_eq!(
        shop.get("/readyz").await.ok()["embedding_queue"],
        json!({"waiting": 3, "retrying": 0})
    );
    let metrics = String::from_utf8(shop.get("/metrics").await.body).expect("text");
    for state in ["waiting", "retrying"] {
        let name = format!("aglet_embedding_queue{{state=\"{state}\"}} ");
        assert!(metrics.contains(&name), "{metrics}");
    }

    shop.embed().await;
    let document = shop.get("/products/new%2Fone").await;
    assert_eq!(tag(&document), before);
    let document = document.ok();
    let embedded = json!({"status": "embedded"});
    let part = |number: u8| json!({"number": number, "url": path(number), "embedding": embedded});
    assert_eq!(document["pictures"], json!([part(1), part(2)]));
    assert_eq!(document["words"], embedded);
    let image = "/products/new%2Fone/image";
    assert_eq!(document["product"]["image_url"], image);
    for (number, file) in [(1, &first), (2, &second)] {
        let found = shop.upload(&[("image", file), ("limit", b"1")]).await.ok();
        let hit = &found["hits"][0];
        assert_eq!(
            (&hit["id"], &hit["picture_url"]),
            (&json!("new/one"), &json!(path(number))),
            "{found}"
        );
        assert_eq!(hit["product"]["image_url"], image);
        let shown = shop.get(&path(number)).await;
        assert!(shown.status == StatusCode::OK && shown.body == *file);
        assert_eq!(shown.headers[header::CONTENT_TYPE], "image/png");
        let policy = &shown.headers["content-security-policy"];
        assert_eq!(policy, "default-src 'none'; sandbox");
        let known = [("if-none-match", tag(&shown))];
        let known = known.each_ref().map(|(name, tag)| (*name, tag.as_str()));
        let kept = shop
            .send(Method::GET, &path(number), &known, Body::empty())
            .await;
        assert_eq!(
            (kept.status, kept.body.len()),
            (StatusCode::NOT_MODIFIED, 0)
        );
    }
    assert_eq!(shop.get(image).await.body, first);
    // Words alone decide.
    let found = shop.get("/search?q=derby&mode=lexical").await.ok();
    let hits = found["hits"].as_array().expect("hits");
    assert!(!hits.is_empty() && hits.iter().all(|hit| hit["picture_url"].is_null()));

    // Under a condition, which is the product's.
    let failed = (412, "precondition_failed".to_owned());
    for method in [Method::PUT, Method::DELETE] {
        let headers = [PNG, ("if-match", "\"1\"")];
        let answer = shop.send(method, &path(2), &headers, first.clone()).await;
        assert_eq!(answer.problem(), failed);
        assert_eq!(problem(&answer)["etag"], before.as_str());
    }
    let headers = [PNG, ("if-match", before.as_str())];
    let same = shop
        .send(Method::PUT, &path(2), &headers, second.clone())
        .await;
    assert_eq!(outcome(&same), (200, "unchanged".to_owned()));
    let gone = shop
        .send(Method::DELETE, &path(2), &headers, Body::empty())
        .await;
    assert_eq!((gone.status, gone.body.len()), (StatusCode::NO_CONTENT, 0));
    assert!(tag(&gone) != before && tag(&gone) == shop.tag("new%2Fone").await);
    assert_eq!(shop.get(&path(2)).await.problem(), missing);
    assert_eq!(shop.delete(&path(2)).await.problem(), missing);
    shop.embed().await;
    let found = shop.upload(&[("image", &second)]).await.ok();
    assert!(!found.to_string().contains(&path(2)), "{found}");
    assert!(found.to_string().contains(&path(1)), "{found}");
    let gone = shop.delete(&format!("{}?wait=searchable", path(1))).await;
    assert_eq!(outcome(&gone), (200, "changed".to_owned()));
    let document = shop.get("/products/new%2Fone").await.ok();
    assert_eq!(document["pictures"], json!([]));
    assert!(document["product"]["image_url"].is_null());
}

#[tokio::test]
async fn an_upload_that_cannot_be_is_refused() {
    let shop = Shop::with(HttpOptions {
        max_body: 20_000,
        ..on()
    })
    .await;
    let before = (shop.tag("1").await, shop.revision().await);
    let good = drawn([9, 200, 9], 5);
    let path = "/products/1/pictures/2";
    let refused = |status: u16, code: &str| (status, code.to_owned());
    let cut = &good[..good.len() / 2];
    let large = vec![b'x'; 20_001];
    for (file, status, code) in [
        (b"no picture".as_slice(), 415, "unsupported_image_format"),
        (cut, 422, "broken_image"),
        (b"", 422, "empty_image"),
        (&large, 413, "body_too_large"),
    ] {
        let answer = shop.give(path, file).await;
        assert_eq!(answer.problem(), refused(status, code));
    }
    for (kind, coding, code) in [
        ("text/plain", "identity", "unsupported_media_type"),
        ("", "identity", "unsupported_media_type"),
        ("multipart/form-data", "identity", "unsupported_media_type"),
        ("image/png", "gzip", "unsupported_encoding"),
    ] {
        let headers = [("content-type", kind), ("content-encoding", coding)];
        let answer = shop.send(Method::PUT, path, &headers, good.clone()).await;
        assert_eq!(answer.problem(), refused(415, code), "{kind}");
    }
    for number in ["0", "33", "01", "one"] {
        let path = format!("/products/1/pictures/{number}");
        for answer in [
            shop.give(&path, &good).await,
            shop.get(&path).await,
            shop.delete(&path).await,
        ] {
            assert_eq!(answer.problem(), refused(400, "invalid_parameter"));
            let problem = problem(&answer);
            assert_eq!(problem["parameter"], "number");
            let detail = problem["detail"].as_str().expect("text");
            assert!(detail.contains("from 1 to 32"), "{detail}");
        }
    }
    for answer in [
        shop.give("/products/404/pictures/1", &good).await,
        shop.get("/products/404/pictures/1").await,
        shop.delete("/products/404/pictures/1").await,
    ] {
        assert_eq!(answer.problem(), refused(404, "product_not_found"));
    }
    let color = shop.give("/products/1/pictures/2?color=Red", &good).await;
    assert_eq!(color.problem(), refused(400, "invalid_parameter"));
    let none = shop.delete("/products/1/pictures/32").await;
    assert_eq!(none.problem(), refused(404, "image_not_found"));
    assert_eq!((shop.tag("1").await, shop.revision().await), before);
    assert_eq!(shop.state.options.uploads.used(), 0);
    let uploads = shop.folder.path().join("data/uploads");
    assert!(!uploads.exists(), "nothing is kept of what is refused");
    // It counts toward the memory of all bodies.
    let full = Shop::with(HttpOptions {
        uploads: Budget::new(100),
        ..on()
    });
    let answer = full.await.give(path, &good).await;
    assert_eq!(answer.problem(), refused(503, "overloaded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_fetched_from_their_addresses() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = listener.await.expect("a port");
    let host = listener.local_addr().expect("bound").to_string();
    let (one, two) = (drawn([250, 40, 0], 3), drawn([0, 200, 255], 11));
    let file = |file: &Vec<u8>| {
        let file = file.clone();
        get(async move || ([PNG], file))
    };
    let pictures = Router::new()
        .route("/one.png", file(&one))
        .route("/two.png", file(&two))
        .route("/busy.png", get(async || StatusCode::SERVICE_UNAVAILABLE));
    let server = tokio::spawn(async { axum::serve(listener, pictures).await });
    let hosts = PictureHosts::new(std::slice::from_ref(&host)).expect("a host");
    let shop = Shop::fetching(on(), hosts).await;
    let at = |name: &str| format!("http://{host}/{name}");

    // A host that no setting names.
    let other = "https://other.example/one.png";
    for (body, field) in [
        (json!({"image": other}), "image"),
        (json!({"images": [other]}), "images[0]"),
        (json!({"images": [at("one.png"), other]}), "images[1]"),
        (
            json!({"image": at("one.png"), "images": [other]}),
            "images[0]",
        ),
    ] {
        let answer = shop.patch("/products/4", &body).await;
        let problem = problem(&answer);
        assert_eq!(
            (&problem["code"], &problem["field"], &problem["status"]),
            (&json!("invalid_product"), &json!(field), &json!(422)),
            "{problem}"
        );
        assert!(
            problem["detail"]
                .as_str()
                .expect("text")
                .contains("other.example")
        );
    }
    let many: Vec<_> = (0..33).map(|n| at(&format!("{n}.png"))).collect();
    let answer = shop.patch("/products/4", &json!({"images": many})).await;
    assert_eq!(problem(&answer)["field"], "images");

    let images = ["gone.png", "two.png", "busy.png"].map(at);
    let boot = json!({"title": "Boot", "image": at("one.png"), "images": images});
    assert_eq!(
        outcome(&shop.put("/products/web", &boot).await),
        (201, "created".to_owned())
    );
    shop.embed().await;
    let document = shop.get("/products/web").await.ok();
    let pictures = document["pictures"].as_array().expect("pictures");
    assert_eq!(pictures.len(), 4, "{document}");
    let embedded = json!({"status": "embedded"});
    for (at_index, name) in [(0, "one.png"), (2, "two.png")] {
        let expected = json!({"number": at_index + 1, "url": at(name), "embedding": embedded});
        assert_eq!(pictures[at_index], expected);
    }
    let (gone, busy) = (&pictures[1]["embedding"], &pictures[3]["embedding"]);
    assert!(pictures[1]["url"].is_null() && pictures[3]["url"].is_null());
    assert_eq!(gone["status"], "failed");
    assert!(
        gone["reason"].as_str().expect("text").contains("404"),
        "{gone}"
    );
    assert!(gone.get("next_try").is_none(), "{gone}");
    assert_eq!(
        (&busy["status"], &busy["attempts"]),
        (&json!("retrying"), &json!(1))
    );
    assert!(
        busy["reason"].as_str().expect("text").contains("503"),
        "{busy}"
    );
    let next = busy["next_try"].as_str().expect("a time");
    assert!(next.starts_with("20") && next.ends_with('Z'), "{next}");
    assert_eq!(document["words"], embedded);
    assert_eq!(document["product"]["image_url"], at("one.png"));
    let queue = &shop.get("/readyz").await.ok()["embedding_queue"];
    assert_eq!(queue, &json!({"waiting": 0, "retrying": 1}));

    // Each is found by its own vector, and shown from where it is.
    for (file, name, number) in [(&one, "one.png", 1), (&two, "two.png", 3)] {
        let found = shop.upload(&[("image", file), ("limit", b"1")]).await.ok();
        let hit = &found["hits"][0];
        assert_eq!(
            (&hit["id"], &hit["picture_url"]),
            (&json!("web"), &json!(at(name))),
            "{found}"
        );
        let answer = shop.get(&format!("/products/web/pictures/{number}")).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(answer.headers[header::LOCATION], at(name));
    }
    let missing = (404, "image_not_found".to_owned());
    let answer = shop.get("/products/web/pictures/2").await;
    assert_eq!(answer.problem(), missing);

    // They come out as they came in, and go when they are taken away.
    let all = shop.all().await;
    let row = all.iter().find(|row| row["id"] == "web").expect("the row");
    let listed = ["one.png", "gone.png", "two.png", "busy.png"].map(at);
    assert_eq!(row["images"], json!(listed));
    assert_eq!(
        shop.bulk(lines([row.clone()])).await[0]["status"],
        "unchanged"
    );
    shop.put("/products/web", &json!({"title": "Boot"}))
        .await
        .ok();
    let kept = shop.get("/products/web").await.ok();
    assert_eq!(kept["pictures"].as_array().map(Vec::len), Some(4));
    for nothing in [json!({"images": []}), json!({"image": null})] {
        shop.patch("/products/web", &json!({"images": [at("one.png")]}))
            .await
            .ok();
        let one = shop.get("/products/web").await.ok();
        assert_eq!(one["pictures"].as_array().map(Vec::len), Some(1));
        shop.patch("/products/web", &nothing).await.ok();
        assert_eq!(shop.get("/products/web").await.ok()["pictures"], json!([]));
    }
    server.abort();
}

#[tokio::test]
async fn a_product_that_is_known_is_not_sent_again() {
    let shop = Shop::with(on()).await;
    let first = shop.tag("1").await;
    let ask = async |method: Method, tag: &str| {
        let headers = [("if-none-match", tag)];
        shop.send(method, "/products/1", &headers, Body::empty())
            .await
    };
    for method in [Method::GET, Method::HEAD] {
        for known in [first.clone(), format!("\"1\", W/{first}"), "*".to_owned()] {
            let answer = ask(method.clone(), &known).await;
            assert_eq!(
                (answer.status, answer.body.len()),
                (StatusCode::NOT_MODIFIED, 0)
            );
            assert_eq!(tag(&answer), first);
        }
        let answer = ask(method, "\"1\"").await;
        assert_eq!(
            (answer.status, tag(&answer)),
            (StatusCode::OK, first.clone())
        );
    }
    assert!(ask(Method::HEAD, "\"1\"").await.body.is_empty());
    shop.patch("/products/1", &json!({"price": 7})).await.ok();
    assert_eq!(ask(Method::GET, &first).await.ok()["product"]["price"], 7.0);
}

/// A body that goes on for as long as it is read.
struct Endless {
    line: Bytes,
    read: Arc<AtomicUsize>,
    dropped: Arc<AtomicBool>,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.read.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(self.line.clone()))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_bulk() {
    let shop = Shop::with(on()).await;
    let (read, dropped) = (Arc::default(), Arc::<AtomicBool>::default());
    let body = Endless {
        line: lines([json!({"id": "10", "title": "Ten"})]).into(),
        read: Arc::clone(&read),
        dropped: Arc::clone(&dropped),
    };
    let request: Request = request(Method::POST, "/products:bulk", &[NDJSON], Body::new(body));
    let answer = shop
        .router
        .clone()
        .oneshot(request)
        .await
        .expect("infallible");
    let mut body = answer.into_body();
    let frame = body.frame().await.expect("an answer").expect("whole");
    let first = frame.into_data().expect("data");
    assert!(
        first.starts_with(b"{\"line\":1,\"id\":\"10\",\"status\":\"created\""),
        "{first:?}"
    );
    assert!(read.load(Ordering::SeqCst) >= 500 && !dropped.load(Ordering::SeqCst));
    drop(body);
    let ended = tokio::time::timeout(Duration::from_secs(30), async {
        while !dropped.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    ended.await.expect("nobody reads on");
    assert_eq!(shop.state.options.uploads.used(), 0);
    assert_eq!(shop.product("10").await["title"], "Ten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_goes_through_a_socket() {
    let shop = Shop::with(on()).await;
    let server = Server::start(shop.router.clone()).await;
    let many = (0..3_000).map(|n| json!({"id": format!("n{n}"), "title": "A"}));
    let (body, url) = (lines(many), format!("{}/products:bulk", server.url));
    let answer = tokio::task::spawn_blocking(move || {
        let request = ureq::post(url).header("content-type", "application/x-ndjson");
        let answer = request
            .header("expect", "100-continue")
            .send(body)
            .expect("answers");
        answer.into_body().read_to_string().expect("whole")
    });
    let answer = answer.await.expect("no panic");
    assert_eq!(answer.lines().count(), 3_000);
    assert_eq!(answer.matches("\"status\":\"created\"").count(), 3_000);
    server.end().await;
}

#[tokio::test]
async fn what_came_in_comes_out() {
    let shop = Shop::with(on()).await;
    let many = (0..1_200).map(|n| {
        json!({"id": format!("n{n}"), "title": format!("Product {n}"), "price": f64::from(n) + 0.1,
            "sale_price": 3.3, "currency": "EUR", "created": "2026-11-29T10:11:12Z", "url": "https://shop.example/x",
            "description": "Line one\nline two", "attributes": {"size": [41, "42 1/2"], "é": "dropped"}})
    });
    // An attribute of a name that cannot be is refused here.
    let refused = shop.bulk(lines(many.clone().take(1))).await;
    assert_eq!(refused[0]["error"]["field"], "attributes.é");
    let many = many.map(|mut product| {
        product["attributes"]
            .as_object_mut()
            .expect("attributes")
            .remove("é");
        product
    });
    shop.bulk(lines(many)).await;
    let before = (shop.revision().await, shop.all().await);
    let all = &before.1;
    assert_eq!(all.len(), PRODUCTS.len() + 1_200);
    let imported = json!({"id": "1", "title": "Plain Canvas Sneaker", "price": 10.5, "sale_price": 5.0, "currency": "EUR",
        "created": "2026-01-01T00:00:00Z", "url": "https://shop.example/0",
        "attributes": {"category": ["Casual Shoes"], "color": ["Black"], "gender": ["Men"], "shoelace_color": ["white"]}});
    assert_eq!(all[0], imported);

    // Each line can be sent back and changes nothing.
    let answers = shop.bulk(lines(all.clone())).await;
    assert_eq!(answers.len(), all.len());
    assert!(answers.iter().all(|answer| answer["status"] == "unchanged"));
    assert_eq!((shop.revision().await, &shop.all().await), (before.0, all));

    // From the middle on, and into another catalog.
    let rest = statuses(&shop.get("/products?after=n500").await);
    assert_eq!(rest, all[all.len() - 699..]);
    assert!(statuses(&shop.get("/products?after=n1199").await).is_empty());
    let missing = shop.get("/products?after=404").await;
    assert_eq!(missing.problem(), (404, "product_not_found".to_owned()));
    let other = Shop::with(on()).await;
    for (id, ..) in PRODUCTS {
        let path = format!("/products/{}", id.replace('/', "%2F").replace(' ', "%20"));
        assert_eq!(other.delete(&path).await.status, StatusCode::NO_CONTENT);
    }
    other.bulk(lines(all.clone())).await;
    assert_eq!(&other.all().await, all);
}

#[tokio::test]
async fn a_list_of_what_matches() {
    let shop = Shop::with(on()).await;
    let ids = |answer: &Answer| -> Vec<String> {
        let lines = statuses(answer);
        let id = |line: &Value| line["id"].as_str().expect("an id").to_owned();
        lines.iter().map(id).collect()
    };
    let red = shop.get("/products?color=Red").await;
    assert_eq!(ids(&red), ["3", "7"]);
    let all = shop.all().await;
    assert_eq!(statuses(&red), [all[2].clone(), all[6].clone()]);
    for (query, matching) in [
        ("filter=color:red&after=3", &["7"][..]),
        ("color=Red&color=Green", &["3", "7", "9"]),
        ("filter=price:..12&filter=-color:White", &["1"]),
        ("gender=Unisex&after=8", &["9", "no-picture"]),
        ("color=Purple", &[]),
    ] {
        assert_eq!(
            ids(&shop.get(&format!("/products?{query}")).await),
            matching,
            "{query}"
        );
    }
    for (query, status, code) in [
        ("colour=Red", 400, "unknown_attribute"),
        ("filter=color", 400, "invalid_parameter"),
        ("filter=gender:1..2", 400, "invalid_parameter"),
        ("limit=3", 400, "invalid_parameter"),
        ("after=1&after=2", 400, "repeated_parameter"),
        ("color=Red&after=404", 404, "product_not_found"),
    ] {
        let answer = shop.get(&format!("/products?{query}")).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{query}");
    }

    // The index says what matches, the catalog what it is.
    assert_eq!(
        shop.delete("/products/3").await.status,
        StatusCode::NO_CONTENT
    );
    shop.patch("/products/7", &json!({"price": 1})).await;
    let red = statuses(&shop.get("/products?color=Red").await);
    assert_eq!((red.len(), &red[0]["price"]), (1, &json!(1.0)));

    // Pages of which the first has nothing left.
    let many = (0..1_100).map(|n| {
        let product =
            json!({"id": format!("n{n}"), "title": "Sock", "attributes": {"color": "Pink"}});
        product.to_string() + "\n"
    });
    shop.bulk(many.collect::<String>()).await;
    shop.embed().await;
    let gone = (0..600).map(|n| json!({"op": "delete", "id": format!("n{n}")}).to_string() + "\n");
    shop.bulk(gone.collect::<String>()).await;
    let pink = ids(&shop.get("/products?color=pink").await);
    assert_eq!((pink.len(), &*pink[0], &*pink[499]), (500, "n600", "n1099"));
    let rest = ids(&shop.get("/products?color=pink&after=n1089").await);
    assert_eq!(rest, pink[490..]);
}

#[tokio::test]
async fn a_write_waits_for_the_index() {
    let shop = Shop::with(on()).await;
    let searchable = |answer: &Answer| {
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        body["searchable"].clone()
    };
    // What the index in use is of is searchable at once; nobody makes another one here.
    let same = shop.patch("/products/1?wait=searchable", &json!({})).await;
    assert_eq!(searchable(&same), true);
    let started = std::time::Instant::now();
    let other = shop
        .put("/products/1?wait=searchable", &json!({"title": "A"}))
        .await;
    assert_eq!(
        (outcome(&other), searchable(&other)),
        ((200, "changed".to_owned()), json!(false))
    );
    assert!(started.elapsed() >= Duration::from_millis(500));
    let gone = shop.delete("/products/1?wait=searchable").await;
    assert_eq!(
        (outcome(&gone), searchable(&gone)),
        ((200, "deleted".to_owned()), json!(false))
    );
    let bulk = async |products: Vec<Value>| {
        let path = "/products:bulk?wait=searchable";
        let answer = shop
            .send(Method::POST, path, &[NDJSON], lines(products))
            .await;
        statuses(&answer).pop().expect("an end")
    };
    let end = bulk(vec![json!({"id": "10", "title": "Ten"})]).await;
    assert_eq!(
        end,
        json!({"searchable": false, "revision": shop.revision().await})
    );
    assert_eq!(
        bulk(Vec::new()).await,
        json!({"searchable": true, "revision": 0})
    );
}
