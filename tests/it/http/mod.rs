//! The API as its clients see it: through the router, over a socket, and in a browser.

mod access;
mod api;
mod browser;
mod errors;
mod robustness;
mod writes;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use aglet::catalog::ingest::{self, ImportOptions, Progress};
use aglet::catalog::source::Source;
use aglet::catalog::{Catalog, PictureHosts};
use aglet::encode::Encoder;
use aglet::http::{AppState, Bounds, HttpOptions, Listener, router};
use aglet::index::lexical::Language;
use aglet::model::ModelFolder;
use aglet::service::thesaurus::Thesaurus;
use aglet::service::{Follower, Making, Service, ServiceOptions, generation};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use image::{Rgb, RgbImage};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::support;
use crate::support::multipart::{FORM, form};

const MAKING: Making = Making {
    words_percent: 30,
    language: Language::English,
    types: aglet::domain::Types(std::collections::BTreeMap::new()),
};

/// The whole service over the tiny model (whose embeddings mean nothing) and a shop of drawn
/// products.
struct Shop {
    router: Router,
    state: AppState,
    folder: TempDir,
}

/// id, title, category, color, gender, color of the laces.
const PRODUCTS: &[(&str, &str, &str, &str, &str, &str)] = &[
    (
        "1",
        "Plain Canvas Sneaker",
        "Casual Shoes",
        "Black",
        "Men",
        "white",
    ),
    (
        "2",
        "Low Canvas Sneaker",
        "Casual Shoes",
        "White",
        "Women",
        "beige",
    ),
    (
        "3",
        "High Canvas Sneaker",
        "Casual Shoes",
        "Red",
        "Men",
        "white",
    ),
    ("4", "Derby", "Formal Shoes", "Brown", "Men", "brown"),
    ("5", "Oxford", "Formal Shoes", "Black", "Men", "black"),
    ("6", "Beach Sandal", "Sandals", "Blue", "Women", ""),
    ("7", "Strap Sandal", "Sandals", "Red", "Women", ""),
    ("8", "Hiking Boot", "Boots", "Brown", "Unisex", "yellow"),
    ("9", "Rain Boot", "Boots", "Green", "Unisex", ""),
    ("a/b c", "Chelsea Boot", "Boots", "Black", "Women", ""),
    ("no-picture", "Gift Card", "Cards", "White", "Unisex", ""),
];

impl Shop {
    async fn open() -> Self {
        Self::with(HttpOptions::default()).await
    }

    /// At the admin listener, where everything is open while there are no keys.
    async fn admin() -> Self {
        Self::with(HttpOptions {
            listener: Listener::Admin,
            ..HttpOptions::default()
        })
        .await
    }

    async fn with(options: HttpOptions) -> Self {
        Self::fetching(options, PictureHosts::default()).await
    }

    /// With pictures of these hosts.
    async fn fetching(options: HttpOptions, hosts: PictureHosts) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let encoder = Encoder::start(
            &ModelFolder::open(&support::tiny_model()).expect("the tiny model"),
            &support::encoding(),
        )
        .expect("the encoder starts");
        let data = folder.path().join("data");
        let catalog = Catalog::open_with(&data, &support::postgres::database(&data), hosts)
            .await
            .expect("a catalog");
        let source = draw(folder.path());
        let summary = ingest::import(
            &catalog,
            &encoder,
            &source,
            &ImportOptions::default(),
            &Progress::default(),
        )
        .await
        .expect("imports");
        assert_eq!(
            (summary.new, summary.rejected_rows),
            (PRODUCTS.len() as u64, 0)
        );
        let (first, _) = generation::build(&catalog, encoder, &MAKING)
            .await
            .expect("an index");
        assert!(first.whole);
        let shop = Self::over(catalog, first, options, folder);
        shop.state.service.count().await.expect("counts");
        shop
    }

    fn over(
        catalog: Catalog,
        first: generation::Generation,
        options: HttpOptions,
        folder: TempDir,
    ) -> Self {
        let thesaurus = Thesaurus::read(MAKING.language, None).expect("the default list");
        let service =
            Service::new(catalog, first, thesaurus, ServiceOptions::default()).expect("starts");
        let state = AppState::new(service, metrics(), options);
        Self {
            router: router(state.clone()),
            state,
            folder,
        }
    }

    /// Embeds what waits and takes it into the index.
    async fn embed(&self) {
        Follower::new(self.state.service.clone()).run().await;
    }

    async fn call(&self, request: Request) -> Answer {
        answer(self.router.clone(), request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(request(Method::GET, path, &[], Body::empty()))
            .await
    }

    async fn json(&self, path: &str, body: &Value) -> Answer {
        let kind = (header::CONTENT_TYPE.as_str(), "application/json");
        self.call(request(
            Method::POST,
            path,
            &[kind],
            Body::from(body.to_string()),
        ))
        .await
    }

    async fn upload(&self, parts: &[(&str, &[u8])]) -> Answer {
        let kind = (header::CONTENT_TYPE.as_str(), FORM);
        self.call(request(
            Method::POST,
            "/search/image",
            &[kind],
            Body::from(form(parts)),
        ))
        .await
    }

    fn picture(&self, id: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(format!("{id}.png"))).expect("a drawn picture")
    }
}

/// The service on a socket of its own.
struct Server {
    url: String,
    end: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<usize>,
}

impl Server {
    async fn start(router: Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (end, ended) = tokio::sync::oneshot::channel();
        let shutdown = async { ended.await.unwrap_or(()) };
        let task = tokio::spawn(aglet::http::serve(
            listener,
            None,
            router,
            shutdown,
            Bounds {
                connections: 1_000,
                drain: Duration::from_secs(5),
            },
        ));
        Self { url, end, task }
    }

    /// Ends it, which cuts nobody off.
    async fn end(self) {
        self.end.send(()).expect("serving");
        assert_eq!(self.task.await.expect("no panic"), 0);
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    /// The body of a success.
    fn ok(&self) -> Value {
        assert_eq!(
            self.status,
            StatusCode::OK,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Status and code of a problem.
    fn problem(&self) -> (u16, String) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json",
            "{text}"
        );
        let problem: Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!(
            problem["request_id"],
            self.headers["x-request-id"].to_str().expect("text")
        );
        assert_eq!(problem["status"], self.status.as_u16());
        (
            self.status.as_u16(),
            problem["code"].as_str().expect("text").to_owned(),
        )
    }
}

async fn answer(router: Router, request: Request) -> Answer {
    let response = router.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .expect("a body");
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.to_vec(),
    }
}

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Request {
    let builder = Request::builder().method(method).uri(path);
    let builder = headers.iter().fold(builder, |builder, (name, value)| {
        builder.header(*name, *value)
    });
    builder.body(body).expect("a request")
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["hits"]
        .as_array()
        .expect("hits")
        .iter()
        .map(|hit| hit["id"].as_str().expect("an id"))
        .collect()
}

/// The recorder of the process: one for all tests, as a process has one.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            aglet::telemetry::start_metrics().expect("the first recorder of the process")
        })
        .clone()
}

/// Writes the products as JSON Lines with a picture each.
fn draw(folder: &Path) -> Source {
    let mut lines = String::new();
    for (number, (id, title, category, color, gender, laces)) in (0_u8..).zip(PRODUCTS) {
        let file = format!("{}.png", id.replace(['/', ' '], "-"));
        let mut product = json!({"id": id, "title": title, "price": 10.5 + f64::from(number), "currency": "EUR",
            "created": format!("2026-01-{:02}", 1 + number),
            "url": format!("https://shop.example/{number}"),
            "attributes": {"category": category, "color": color, "gender": gender}});
        if !laces.is_empty() {
            product["attributes"]["shoelace_color"] = json!(laces);
        }
        if number % 4 == 0 {
            product["sale_price"] = json!(5.0);
        }
        if *id != "no-picture" {
            let shade = 20 * number;
            let picture = RgbImage::from_fn(60, 80, |x, y| {
                Rgb([shade, (3 * x).to_le_bytes()[0], (2 * y).to_le_bytes()[0]])
            });
            picture.save(folder.join(&file)).expect("a picture");
            product["image"] = json!(file);
        }
        lines.extend([product.to_string().as_str(), "\n"]);
    }
    let file = folder.join("products.jsonl");
    std::fs::write(&file, lines).expect("written");
    Source::feed(file, vec![folder.to_owned()])
}
