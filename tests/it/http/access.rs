//! Keys, rates and the admin listener: who may do what.

use aglet::domain::{NewApiKey, Rate, Scope};
use aglet::http::{HttpOptions, Listener, LiveOptions, document, router};
use axum::body::Body;
use axum::http::{Method, header};
use serde_json::{Value, json};

use super::{Answer, Shop, answer, request};

const ORIGIN: &str = "https://shop.example";

/// A key of the shop's, made without asking for it over HTTP.
pub async fn key(shop: &Shop, scope: Scope, origins: &[&str], rate: Option<Rate>) -> String {
    let new = NewApiKey {
        name: format!("{scope} of a test"),
        scope,
        origins: origins.iter().map(ToString::to_string).collect(),
        expires: None,
        rate,
    };
    let (key, _) = shop.state.service.make_key(new).await.expect("made");
    key.text()
}

async fn send(shop: &Shop, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    shop.call(request(method, path, headers, Body::empty()))
        .await
}

async fn with(shop: &Shop, method: Method, path: &str, key: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    send(shop, method, path, &[("authorization", &bearer)]).await
}

/// The shop's other listener.
fn admin_of(shop: &Shop) -> axum::Router {
    let mut state = shop.state.clone();
    let options = HttpOptions {
        listener: Listener::Admin,
        ..(*state.options).clone()
    };
    state.options = options.into();
    router(state)
}

/// The operations of the document: method, path, and the scope that it says they need.
fn operations(shop: &Shop) -> Vec<(Method, String, Option<String>)> {
    let document = document(shop.state.service.known());
    let document = serde_json::to_value(document).expect("JSON");
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let method = method.to_uppercase().parse().expect("a method");
            let scope = operation["security"][0]["key"][0].as_str();
            let path = path.replace("{id}", "1").replace("{number}", "1");
            let path = path.replace("{code}", "internal");
            all.push((method, path, scope.map(str::to_owned)));
        }
    }
    assert!(all.len() > 20);
    all
}

#[tokio::test]
async fn every_operation_needs_the_scope_that_the_document_says() {
    let shop = Shop::open().await;
    let scopes = [Scope::Search, Scope::Write, Scope::Admin];
    let mut keys = Vec::new();
    for scope in scopes {
        keys.push((scope, key(&shop, scope, &[], None).await));
    }
    let mut refused = 0;
    for (method, path, needed) in operations(&shop) {
        let what = format!("{method} {path}");
        let without = send(&shop, method.clone(), &path, &[]).await;
        let Some(needed) = needed.as_deref().and_then(Scope::parse) else {
            assert!(without.status != 401 && without.status != 403, "{what}");
            continue;
        };
        assert_eq!(without.problem(), (401, "key_missing".to_owned()), "{what}");
        assert_eq!(
            without.headers[header::WWW_AUTHENTICATE],
            "Bearer realm=\"aglet\"",
            "{what}"
        );
        for (scope, key) in keys.iter().filter(|(scope, _)| *scope < needed) {
            let less = with(&shop, method.clone(), &path, key).await;
            let forbidden = (403, "key_forbidden".to_owned());
            assert_eq!(less.problem(), forbidden, "{what} with {scope}");
            refused += 1;
        }
    }
    // A search key over every route that writes, and over those of the operator.
    assert!(refused > 15, "{refused}");
    // Nothing was written, and the right key does it.
    let (_, write) = &keys[1];
    shop.get("/readyz").await.ok();
    let deleted = with(&shop, Method::DELETE, "/products/1", write).await;
    assert_eq!(deleted.status, 204);
}

#[tokio::test]
async fn a_key_stops_being_good() {
    let shop = Shop::open().await;
    let admin = key(&shop, Scope::Admin, &[], None).await;
    let made = json!({"name": "the app", "scope": "search", "expires": "2999-01-01T00:00:00Z"});
    let bearer = format!("Bearer {admin}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let asked = |body: Value| {
        let body = Body::from(body.to_string());
        shop.call(request(Method::POST, "/admin/keys", &headers, body))
    };
    let made = asked(made).await;
    assert_eq!(
        (made.status.as_u16(), &made.headers["cache-control"]),
        (201, &"no-store".parse().expect("a header"))
    );
    let made: Value = serde_json::from_slice(&made.body).expect("JSON");
    assert_eq!(made["expires"], "2999-01-01T00:00:00Z");
    let (id, text) = (
        made["id"].as_str().expect("id"),
        made["key"].as_str().expect("key"),
    );
    assert!(text.starts_with(&format!("aglet_{id}_")));
    with(&shop, Method::GET, "/search?q=boots", text).await.ok();
    // The list tells everything of it but the key.
    let list = with(&shop, Method::GET, "/admin/keys", &admin).await.ok();
    let secret = text.rsplit('_').next().expect("a secret");
    assert!(!list.to_string().contains(secret) && list.to_string().contains(id));
    // Revoked, it is good for nothing at once, and stays so.
    let path = format!("/admin/keys/{id}");
    let revoked = with(&shop, Method::DELETE, &path, &admin).await.ok();
    assert!(revoked["revoked"].is_string());
    assert_eq!(
        with(&shop, Method::DELETE, &path, &admin).await.ok(),
        revoked
    );
    let refused = with(&shop, Method::GET, "/search?q=boots", text).await;
    assert_eq!(refused.problem(), (401, "key_invalid".to_owned()));
    assert_eq!(
        refused.headers[header::WWW_AUTHENTICATE],
        "Bearer realm=\"aglet\", error=\"invalid_token\""
    );
    // What is wrong with a key is said of the field.
    for (body, field) in [
        (json!({"name": "", "scope": "search"}), "name"),
        (
            json!({"name": "a", "scope": "search", "origins": ["*"]}),
            "origins",
        ),
        (
            json!({"name": "a", "scope": "write", "origins": [ORIGIN]}),
            "scope",
        ),
        (
            json!({"name": "a", "scope": "search", "expires": "2001-01-01T00:00:00Z"}),
            "expires",
        ),
        (
            json!({"name": "a", "scope": "search", "expires": "soon"}),
            "expires",
        ),
        (json!({"name": "a", "scope": "search", "burst": 5}), "burst"),
    ] {
        let answer = asked(body.clone()).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_parameter".to_owned()),
            "{body}"
        );
        let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(problem["parameter"], field, "{body}");
    }
    let answer = asked(json!({"name": "a", "scope": "all"})).await;
    assert_eq!(answer.problem(), (422, "invalid_body".to_owned()));
}

#[tokio::test]
async fn without_keys_the_admin_listener_is_open_and_the_other_one_searches() {
    let shop = Shop::open().await;
    shop.get("/search?q=boots").await.ok();
    assert_eq!(shop.get("/metrics").await.problem().0, 401);
    let admin = admin_of(&shop);
    let at_admin = async |method: Method, path: &str, headers: &[(&str, &str)]| {
        answer(admin.clone(), request(method, path, headers, Body::empty())).await
    };
    assert_eq!(at_admin(Method::GET, "/metrics", &[]).await.status, 200);
    assert_eq!(
        at_admin(Method::GET, "/admin/keys", &[]).await.ok(),
        json!({"keys": []})
    );
    assert_eq!(
        at_admin(Method::DELETE, "/products/1", &[]).await.status,
        204
    );
    // A page that somebody has open on the machine writes nothing.
    let page = [("origin", "https://evil.example")];
    let refused = at_admin(Method::DELETE, "/products/2", &page).await;
    assert_eq!(refused.problem(), (401, "key_missing".to_owned()));
    // From the first key on it is shut as well, but for what is looked at.
    let key = key(&shop, Scope::Write, &[], None).await;
    assert_eq!(
        at_admin(Method::DELETE, "/products/2", &[]).await.status,
        401
    );
    assert_eq!(at_admin(Method::GET, "/admin/keys", &[]).await.status, 401);
    assert_eq!(at_admin(Method::GET, "/metrics", &[]).await.status, 200);
    let bearer = format!("Bearer {key}");
    let keyed = [("authorization", bearer.as_str()), page[0]];
    assert_eq!(
        at_admin(Method::DELETE, "/products/2", &keyed).await.status,
        204
    );
    assert_eq!(shop.get("/search?q=boots").await.status, 401);
    shop.state.options.live.store(
        LiveOptions {
            open_search: true,
            ..LiveOptions::default()
        }
        .into(),
    );
    shop.get("/search?q=boots").await.ok();
}

#[tokio::test]
async fn a_browsers_key_is_for_its_pages_alone() {
    let shop = Shop::open().await;
    let key = key(&shop, Scope::Search, &[ORIGIN], None).await;
    let bearer = format!("Bearer {key}");
    let search = async |origin: Option<&str>| {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        send(&shop, Method::GET, "/search?q=boots", &headers).await
    };
    let own = search(Some(ORIGIN)).await;
    own.ok();
    // The browser lets the page read it, though no setting names the origin.
    assert_eq!(own.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], ORIGIN);
    for other in [None, Some("https://evil.example")] {
        let refused = search(other).await;
        assert_eq!(refused.problem(), (403, "key_forbidden".to_owned()));
        assert!(
            !refused
                .headers
                .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        );
    }
    let preflight = [
        ("origin", ORIGIN),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let leave = send(&shop, Method::OPTIONS, "/search", &preflight).await;
    assert_eq!(leave.status, 200);
    let allowed = leave.headers[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str();
    assert!(allowed.expect("text").contains("authorization"));
}

/// Asks until it is told that it is too often: a slow machine gives more in the meantime.
async fn until_late(ask: impl AsyncFn() -> Answer) -> Answer {
    loop {
        let answer = ask().await;
        if answer.status != 200 {
            return answer;
        }
    }
}

#[tokio::test]
async fn a_rate_is_of_a_key_or_of_an_address() {
    let shop = Shop::open().await;
    shop.state.options.live.store(
        LiveOptions {
            open_search: true,
            address_rate: Rate::new(1, 2),
            trusted_proxies: vec!["0.0.0.0/32".parse().expect("a network")],
            ..LiveOptions::default()
        }
        .into(),
    );
    let from = async |client: &str, key: Option<&str>| {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let mut headers = vec![("x-forwarded-for", client)];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        send(&shop, Method::GET, "/search?q=boots", &headers).await
    };
    let first = from("203.0.113.9", None).await;
    first.ok();
    assert_eq!(first.headers["ratelimit-policy"], "\"address\";q=2;w=2");
    assert_eq!(first.headers["ratelimit"], "\"address\";r=1;t=1");
    let late = until_late(async || from("203.0.113.9", None).await).await;
    assert_eq!(late.problem(), (429, "rate_limited".to_owned()));
    assert_eq!(late.headers[header::RETRY_AFTER], "1");
    assert_eq!(late.headers["ratelimit"], "\"address\";r=0;t=2");
    // Another client, and the shop's own systems, are not concerned.
    from("203.0.113.10", None).await.ok();
    let own = key(&shop, Scope::Search, &[], None).await;
    let answer = from("203.0.113.9", Some(&own)).await;
    assert!(!answer.headers.contains_key("ratelimit"));
    answer.ok();
    let limited = key(&shop, Scope::Search, &[], Rate::new(1, 3)).await;
    let answer = from("203.0.113.9", Some(&limited)).await;
    assert_eq!(answer.headers["ratelimit"], "\"key\";r=2;t=1");
    let late = until_late(async || from("203.0.113.10", Some(&limited)).await).await;
    assert_eq!(late.problem(), (429, "rate_limited".to_owned()));
    // Whoever tries keys is counted too.
    let late = loop {
        let answer = from("203.0.113.11", Some("aglet_000000000000_0")).await;
        if answer.status == 429 {
            break answer;
        }
    };
    assert_eq!(late.problem().1, "rate_limited");
    // Health is not counted.
    for _ in 0..5 {
        shop.get("/readyz").await.ok();
    }
}
