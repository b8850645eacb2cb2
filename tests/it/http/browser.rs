//! The search page as a person sees it: the real server, and headless Chromium.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use aglet::domain::Scope;
use axum::Router;
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use serde_json::{Value, json};

use super::{PRODUCTS, Server, Shop};
use crate::support::skipped::skipped;

/// Chromium by one of the names it goes by. Without it the test is noted as skipped.
fn chromium(test: &str) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|p| std::env::split_paths(&p).collect())
        .unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let found = names
        .iter()
        .flat_map(|name| folders.iter().map(move |f| f.join(name)))
        .find(|path| path.is_file());
    if found.is_none() {
        skipped(test, "Chromium is not installed");
    }
    found
}

/// The page's DOM once its scripts have run out of work.
fn rendered(chromium: &PathBuf, url: &str) -> String {
    rendered_with(chromium, url, &[])
}

fn rendered_with(chromium: &PathBuf, url: &str, flags: &[&str]) -> String {
    let profile = tempfile::tempdir().expect("a folder");
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(flags)
        .args(["--virtual-time-budget=10000", "--dump-dom", url])
        .stderr(Stdio::null())
        .output()
        .expect("Chromium runs");
    String::from_utf8(output.stdout).expect("text")
}

/// The text between the first `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let from = text
        .find(start)
        .unwrap_or_else(|| panic!("{start} is not in the page"))
        + start.len();
    &text[from..from + text[from..].find(end).expect("it ends")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_searches_filters_and_looks_for_the_like() {
    let Some(chromium) = chromium("a_person_searches_filters_and_looks_for_the_like") else {
        return;
    };
    let shop = Shop::open().await;
    let server = Server::start(shop.router.clone()).await;
    let base = server.url.clone();
    let browse = tokio::task::spawn_blocking(move || {
        let start = rendered(&chromium, &format!("{base}/"));
        assert!(start.contains("black formal shoes") && start.contains("Filter by shoelace color"));
        assert!(
            between(&start, "id=\"results\"", "</section>")
                .matches("<article")
                .count()
                == 0
        );

        let found = rendered(
            &chromium,
            &format!("{base}/?q=leather+shoes&category=Formal+Shoes"),
        );
        let results = between(&found, "id=\"results\"", "</section>");
        assert_eq!(results.matches("<article").count(), 2, "{results}");
        assert!(
            results.contains(">Derby<")
                && results.contains(">Oxford<")
                && !results.contains("Sandal")
        );
        assert!(results.contains("/products/4/image") && results.contains("brown laces"));
        assert!(results.contains("aria-label=\"Similar to Derby\""));
        assert!(results.contains("aria-label=\"score "), "{results}");
        assert!(between(&found, "role=\"status\"", "</p>").contains("2 of 2 products"));
        assert!(found.contains("aria-label=\"Remove Category: Formal Shoes\""));
        let curl = between(&found, "id=\"curl\"", "</code>");
        assert!(
            curl.contains("/search?q=leather+shoes&amp;category=Formal+Shoes&amp;limit=24"),
            "{curl}"
        );

        let similar = rendered(&chromium, &format!("{base}/?similar=a%2Fb%20c"));
        assert!(similar.contains("aria-label=\"Remove Similar to: Chelsea Boot\""));
        assert_eq!(
            between(&similar, "id=\"results\"", "</section>")
                .matches("<article")
                .count(),
            10
        );

        // What the catalog does not have, and what trackers add to an address, is not asked for.
        let tracked = rendered(
            &chromium,
            &format!("{base}/?q=leather+shoes&category=Formal+Shoes&size=9&utm_source=x&gclid=1"),
        );
        assert!(between(&tracked, "role=\"status\"", "</p>").contains("2 of 2 products"));
        assert!(!between(&tracked, "id=\"curl\"", "</code>").contains("utm"));
        let nothing = rendered(&chromium, &format!("{base}/?q=x&color=Mauve"));
        assert!(
            between(&nothing, "role=\"status\"", "</p>")
                .contains("No product matches these filters")
        );
    });
    browse.await.expect("the page is as it should be");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_for_a_key() {
    let Some(chromium) = chromium("a_person_is_asked_for_a_key") else {
        return;
    };
    let shop = Shop::open().await;
    let key = super::access::key(&shop, Scope::Search, &[], None).await;
    // What the form does with a key that is typed.
    let used = format!(
        "<script>sessionStorage.setItem('aglet-key', '{key}');\
         location.replace('/?q=leather+shoes&category=Formal+Shoes')</script>"
    );
    let page = Router::new().route("/used", get(async move || Html(used)));
    let server = Server::start(shop.router.clone().merge(page)).await;
    let base = server.url.clone();
    let browse = tokio::task::spawn_blocking(move || {
        let asked = rendered(&chromium, &format!("{base}/?q=leather+shoes"));
        let error = between(&asked, "id=\"error\"", "</section>");
        assert!(error.contains("This service asks for a key."), "{error}");
        assert!(error.contains("<form id=\"key\">"), "{error}");
        let found = rendered(&chromium, &format!("{base}/used"));
        assert!(between(&found, "role=\"status\"", "</p>").contains("2 of 2 products"));
        let curl = between(&found, "id=\"curl\"", "</code>");
        assert!(
            curl.contains("Bearer $AGLET_API_KEY") && !curl.contains(&key),
            "{curl}"
        );
    });
    browse.await.expect("the page is as it should be");
    server.end().await;
}

/// The service with three pages more: the search page with a script beside its own, that script,
/// and a page with the first in a frame as wide as a phone (the browser's own window cannot be).
async fn probed(shop: &Shop) -> Router {
    let page = String::from_utf8(shop.get("/").await.body).expect("text");
    let script = "<script src=\"/probe.js\" type=\"module\"></script></head>";
    let kind = [(header::CONTENT_TYPE, "text/javascript")];
    let frame =
        "<!doctype html><body><iframe src=\"/probe\" width=\"390\" height=\"844\"></iframe></body>";
    Router::new()
        .route("/probe", get(Html(page.replace("</head>", script))))
        .route("/probe.js", get((kind, include_str!("probe.js"))))
        .route("/phone", get(Html(frame)))
        .fallback_service(shop.router.clone())
}

/// What the script saw.
fn seen(page: &str) -> Value {
    let text = between(page, "data-seen=\"", "\"")
        .replace("&quot;", "\"")
        .replace("&amp;", "&");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_searches_by_photo_on_a_phone_and_in_the_dark() {
    let Some(chromium) = chromium("a_person_searches_by_photo_on_a_phone_and_in_the_dark") else {
        return;
    };
    let shop = Shop::open().await;
    let server = Server::start(probed(&shop).await).await;
    let base = server.url.clone();
    let browse = tokio::task::spawn_blocking(move || {
        let dark = ["--blink-settings=preferredColorScheme=0"];
        let desk = seen(&rendered(&chromium, &format!("{base}/probe")));
        let phone = seen(&rendered(&chromium, &format!("{base}/phone")));
        let night = seen(&rendered_with(&chromium, &format!("{base}/phone"), &dark));
        for seen in [&desk, &phone, &night] {
            assert_eq!(
                (&seen["hits"], &seen["thumbnail"]),
                (&json!(PRODUCTS.len()), &json!(true)),
                "{seen}"
            );
            assert!(
                seen["curl"]
                    .as_str()
                    .is_some_and(|c| c.contains("-F 'image=@shoe.png'")),
                "{seen}"
            );
            // An arrow opens a list, it does not filter; nothing sticks out; what is written can be
            // read.
            assert_eq!(
                (&seen["kept"], &seen["overflow"]),
                (&json!(true), &json!(0)),
                "{seen}"
            );
            let contrast =
                ["words", "placeholder"].map(|what| seen[what].as_f64().expect("a number"));
            assert!(contrast.iter().all(|ratio| *ratio >= 4.5), "{seen}");
        }
        assert_eq!(
            (&desk["dark"], &night["dark"]),
            (&json!(false), &json!(true)),
            "{desk} {night}"
        );
        assert_eq!(
            (&phone["width"], &phone["columns"]),
            (&json!(390), &json!(2)),
            "{phone}"
        );
        assert!(desk["columns"].as_u64() > Some(2), "{desk}");
    });
    browse.await.expect("the page is as it should be");
    server.end().await;
}
