//! Every error code, provoked.

use std::collections::BTreeSet;

use aglet::catalog::ingest::{self, ImportOptions, Progress};
use aglet::catalog::source::Source;
use aglet::http::{AppState, ErrorCode, HttpOptions, ReloadFault, router};
use aglet::service::Generation;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, header};
use serde_json::json;

use super::{Answer, Shop, answer, request};

/// Provoked in the unit tests of `src/http`, where handlers can be made slow and to fail.
const ELSEWHERE: [&str; 8] = [
    "internal",
    "overloaded",
    "deadline_exceeded",
    "request_timeout",
    "incomplete_body",
    "bad_request",
    "store_unavailable",
    "pictures_unavailable",
];

#[tokio::test]
async fn every_code() {
    let shop = Shop::with(HttpOptions {
        max_body: 200_000,
        ..HttpOptions::default()
    })
    .await;
    let mut seen = BTreeSet::new();
    let mut expect = |answer: Answer, status: u16, code: &str| {
        assert_eq!(
            answer.problem(),
            (status, code.to_owned()),
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        seen.insert(code.to_owned());
    };
    expect(
        shop.get("/search?q=a&limit=251").await,
        400,
        "invalid_parameter",
    );
    expect(
        shop.get(&format!("/search?q={}", "x".repeat(513))).await,
        400,
        "invalid_parameter",
    );
    expect(shop.get("/search?q=a&q=b").await, 400, "repeated_parameter");
    expect(
        shop.get("/search?q=a&colour=Black").await,
        400,
        "unknown_attribute",
    );
    expect(
        shop.get("/products/1/similar?q=a").await,
        400,
        "unknown_attribute",
    );
    expect(
        shop.get("/attributes?values=0").await,
        400,
        "invalid_parameter",
    );
    expect(
        shop.get("/attributes?color=Red").await,
        400,
        "invalid_parameter",
    );
    expect(
        shop.json("/search", &json!({"query": "x"})).await,
        400,
        "unknown_attribute",
    );
    expect(
        shop.json("/search", &json!({"q": "x", "color": {"is": "red"}}))
            .await,
        422,
        "invalid_body",
    );
    expect(
        shop.json("/search", &json!({"q": "x", "filters": {"size": "9"}}))
            .await,
        400,
        "unknown_attribute",
    );
    expect(
        shop.json("/search", &json!({"q": "x", "size": 9})).await,
        400,
        "unknown_attribute",
    );
    expect(
        shop.json("/search", &json!({"q": "x", "limit": 251})).await,
        400,
        "invalid_parameter",
    );
    expect(
        shop.json("/search", &json!({"q": "x", "facet_limit": 0}))
            .await,
        400,
        "invalid_parameter",
    );
    expect(
        shop.get("/search?q=x&facets=colour").await,
        400,
        "unknown_attribute",
    );
    let post = async |kind: &str, body: &'static [u8]| {
        let kind = (header::CONTENT_TYPE.as_str(), kind);
        shop.call(request(Method::POST, "/search", &[kind], Body::from(body)))
            .await
    };
    expect(
        post("application/json", b"{\"q\": ").await,
        400,
        "malformed_json",
    );
    expect(
        post("text/plain", b"{}").await,
        415,
        "unsupported_media_type",
    );
    expect(
        shop.upload(&[("limit", b"3")]).await,
        400,
        "missing_parameter",
    );
    expect(shop.upload(&[("image", b"")]).await, 422, "empty_image");
    expect(
        shop.upload(&[("image", b"<svg/>")]).await,
        415,
        "unsupported_image_format",
    );
    let mut cut = shop.picture("1");
    cut.truncate(60);
    expect(shop.upload(&[("image", &cut)]).await, 422, "broken_image");
    expect(
        shop.upload(&[("image", &bomb())]).await,
        413,
        "image_too_large",
    );
    expect(
        shop.upload(&[("image", &vec![0; 200_001])]).await,
        413,
        "body_too_large",
    );
    let broken = request(
        Method::POST,
        "/search/image",
        &[("content-type", super::FORM)],
        Body::from("--b1--"),
    );
    expect(shop.call(broken).await, 400, "malformed_multipart");
    expect(shop.get("/products/404").await, 404, "product_not_found");
    expect(
        shop.get("/products/404/image").await,
        404,
        "product_not_found",
    );
    expect(
        shop.get("/products/404/similar").await,
        404,
        "product_not_found",
    );
    expect(
        shop.get("/products/no-picture/image").await,
        404,
        "image_not_found",
    );
    expect(shop.get("/problems/none").await, 404, "code_not_found");
    expect(shop.get("/nowhere").await, 404, "not_found");
    expect(
        shop.call(request(Method::PUT, "/search", &[], Body::empty()))
            .await,
        405,
        "method_not_allowed",
    );
    writes(&shop, &mut expect).await;
    keys(&mut expect).await;
    expect(added_since(&shop).await, 409, "product_not_embedded");
    expect(starting(&shop).await, 503, "not_ready");
    with_nothing_indexed(&shop).await;
    expect(misnamed(&shop).await, 400, "invalid_parameter");

    let all: BTreeSet<String> = ErrorCode::ALL
        .iter()
        .map(|code| code.as_str().to_owned())
        .collect();
    seen.extend(ELSEWHERE.map(str::to_owned));
    assert_eq!(seen, all);
}

/// What is refused of writes.
async fn writes(shop: &Shop, expect: &mut impl FnMut(Answer, u16, &str)) {
    let send = async |router: &Router, headers: &[(&str, &str)], body: &'static str| {
        let put = request(Method::PUT, "/products/1", headers, Body::from(body));
        answer(router.clone(), put).await
    };
    let kind = (header::CONTENT_TYPE.as_str(), "application/json");
    let off = send(&shop.router, &[kind], "{}").await;
    expect(off, 401, "key_missing");
    let options = HttpOptions {
        listener: aglet::http::Listener::Admin,
        ..HttpOptions::default()
    };
    let service = shop.state.service.clone();
    let on = router(AppState::new(service, super::metrics(), options));
    expect(send(&on, &[kind], "{}").await, 422, "invalid_product");
    let title = "{\"title\": \"A\"}";
    let tagged = [kind, ("if-match", "\"1\"")];
    expect(send(&on, &tagged, title).await, 412, "precondition_failed");
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/x-ndjson"),
        ("content-encoding", "zstd"),
    ];
    let bulk = request(Method::POST, "/products:bulk", &headers, Body::from(title));
    expect(answer(on, bulk).await, 415, "unsupported_encoding");
}

/// What is refused over keys.
async fn keys(expect: &mut impl FnMut(Answer, u16, &str)) {
    let shop = Shop::admin().await;
    let rollback = request(Method::POST, "/admin/model/rollback", &[], Body::empty());
    expect(shop.call(rollback).await, 409, "nothing_before");
    let gone = request(Method::DELETE, "/admin/keys/0", &[], Body::empty());
    expect(shop.call(gone).await, 404, "key_not_found");
    let (reloads, mut asked) = tokio::sync::mpsc::channel(1);
    let wrong = router(shop.state.clone().with_reloads(reloads));
    tokio::spawn(async move {
        let answer: tokio::sync::oneshot::Sender<_> = asked.recv().await.expect("asked");
        let fault = ReloadFault("queue: 0 is not from 1 to 1048576".to_owned());
        answer.send(Err(fault)).expect("waits");
    });
    let reload = request(Method::POST, "/admin/reload", &[], Body::empty());
    expect(answer(wrong, reload).await, 422, "settings_invalid");
    let body = json!({"name": "A", "scope": "search", "requests_per_second": 1, "burst": 2});
    let made = shop.json("/admin/keys", &body).await;
    let made: serde_json::Value = serde_json::from_slice(&made.body).expect("JSON");
    let bearer = format!("Bearer {}", made["key"].as_str().expect("a key"));
    let send = async |method, path: &str, bearer: &str| {
        let headers = [(header::AUTHORIZATION.as_str(), bearer)];
        shop.call(request(method, path, &headers, Body::empty()))
            .await
    };
    expect(
        send(Method::GET, "/search?q=boots", "Bearer aglet").await,
        401,
        "key_invalid",
    );
    expect(
        send(Method::DELETE, "/products/1", &bearer).await,
        403,
        "key_forbidden",
    );
    // As often as it takes: a slow machine gives more in the meantime.
    let late = loop {
        let answer = send(Method::GET, "/search?q=boots", &bearer).await;
        if answer.status != 200 {
            break answer;
        }
    };
    expect(late, 429, "rate_limited");
}

/// A product that came after the index was built.
async fn added_since(shop: &Shop) -> Answer {
    let file = shop.folder.path().join("more.jsonl");
    std::fs::write(&file, "{\"id\": \"new\", \"title\": \"New Boot\"}\n").expect("written");
    let source = Source::feed(file, Vec::new());
    ingest::load(
        shop.state.service.catalog(),
        &source,
        &ImportOptions::default(),
        &Progress::default(),
    )
    .await
    .expect("loads");
    shop.get("/products/new").await.ok();
    shop.get("/products/new/similar").await
}

/// The same service before its first index is in use.
async fn starting(shop: &Shop) -> Answer {
    let shop = beside(shop, false);
    assert_eq!(shop.get("/readyz").await.problem().0, 503);
    assert_eq!(shop.get("/livez").await.body, b"ok\n");
    shop.get("/search?q=x").await
}

/// The same service over an index of nothing.
fn beside(shop: &Shop, whole: bool) -> Shop {
    let service = &shop.state.service;
    let encoder = service.generation().encoder.clone();
    let nothing = Generation {
        whole,
        ..Generation::empty(encoder, &super::MAKING)
    };
    let folder = tempfile::tempdir().expect("a folder");
    Shop::over(
        service.catalog().clone(),
        nothing,
        HttpOptions::default(),
        folder,
    )
}

/// The same service with an index in use that is known to be of an empty catalog: any filter may be
/// asked for.
async fn with_nothing_indexed(shop: &Shop) {
    let shop = beside(shop, true);
    for query in ["category=Boots&shoelace_color=red", "heel_height=high"] {
        assert_eq!(
            shop.get(&format!("/search?q=x&{query}")).await.ok()["estimated_total"],
            0,
            "{query}"
        );
    }
    shop.get("/readyz").await.ok();
}

/// `curl -F file=@photo.jpg`.
async fn misnamed(shop: &Shop) -> Answer {
    let body = "--b0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"photo.jpg\"\r\n\r\nx\r\n--b0--\r\n";
    let kind = (header::CONTENT_TYPE.as_str(), super::FORM);
    let answer = shop
        .call(request(
            Method::POST,
            "/search/image",
            &[kind],
            Body::from(body),
        ))
        .await;
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert!(
        problem["parameter"] == "file" && problem["detail"].to_string().contains("as `image`"),
        "{problem}"
    );
    answer
}

/// The head of a PNG that says it is 30,000 x 30,000.
fn bomb() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x75\x30\0\0\x75\x30\x08\x02\0\0\0".to_vec();
    png.extend_from_slice(&[0; 64]);
    png
}
