//! A service that speaks the public search API over a real socket: what an evaluation may rely on
//! and nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aglet::domain::{AttributeName, AttributeValue, ProductId};
use aglet::evaluate::subject::folder::FolderEngine;
use aglet::evaluate::subject::{Ask, Engine, Need};
use axum::Router;
use axum::extract::{Multipart, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

pub struct ApiServer {
    pub url: String,
    pub uploads: Arc<AtomicUsize>,
    /// So many answers are 503 before the next good one.
    pub busy: Arc<AtomicUsize>,
    /// So many photos are refused.
    pub broken: Arc<AtomicUsize>,
    /// The last to let go of it: the engine holds a runtime, which must not end inside another.
    _engine: Arc<Mutex<FolderEngine>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    engine: Arc<Mutex<FolderEngine>>,
    key: Option<&'static str>,
    uploads: Arc<AtomicUsize>,
    busy: Arc<AtomicUsize>,
    broken: Arc<AtomicUsize>,
}

impl ApiServer {
    pub fn start(engine: FolderEngine, key: Option<&'static str>) -> Self {
        let [uploads, busy, broken] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
        let engine = Arc::new(Mutex::new(engine));
        let shared = Shared {
            engine: engine.clone(),
            key,
            uploads: uploads.clone(),
            busy: busy.clone(),
            broken: broken.clone(),
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let router = Router::new()
                    .route("/search", get(search))
                    .route("/search/image", post(search_image))
                    .route("/products/{id}/image", get(picture))
                    .with_state(shared);
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                let served = axum::serve(listener, router);
                tokio::select! {
                    served = async { served.await } => served.expect("serves"),
                    _ = stopped => {}
                }
            });
        });
        Self {
            url,
            uploads,
            busy,
            broken,
            _engine: engine,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn refuse(&self, headers: &HeaderMap) -> Option<Response> {
        if self.busy.load(Ordering::SeqCst) > 0 {
            self.busy.fetch_sub(1, Ordering::SeqCst);
            return Some(
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    [(header::RETRY_AFTER, "0")],
                )
                    .into_response(),
            );
        }
        let expected = self.key.map(|key| format!("Bearer {key}"));
        let got = headers
            .get(header::AUTHORIZATION)
            .and_then(|v| v.to_str().ok());
        if expected.as_deref() == got {
            return None;
        }
        let problem = json!({"code": "no_entry", "title": "No entry", "detail": "who are you", "status": 401});
        Some((StatusCode::UNAUTHORIZED, axum::Json(problem)).into_response())
    }

    /// Off the runtime: the engine blocks on one of its own.
    async fn answer(
        self,
        fields: Vec<(String, String)>,
        text: Option<String>,
        photo: Option<bytes::Bytes>,
    ) -> Value {
        let work = move || {
            let mut engine = self.engine.lock().expect("no panic before");
            let number = |name: &str| {
                fields
                    .iter()
                    .find(|(n, _)| n == name)
                    .map_or(0, |(_, v)| v.parse().expect("number"))
            };
            let (limit, offset): (usize, usize) = (number("limit"), number("offset"));
            assert!((1..=250).contains(&limit), "limit {limit}");
            let filters: Vec<_> = fields
                .iter()
                .filter(|(n, _)| !aglet::domain::is_parameter(n))
                .map(|(n, v)| {
                    (
                        AttributeName::new(n).expect("name"),
                        AttributeValue::new(v).expect("value"),
                    )
                })
                .collect();
            let ask = match (&text, &photo) {
                (Some(text), _) => Ask::Text(text),
                (None, photo) => Ask::Photo(photo.as_ref().expect("words or a photo")),
            };
            let excluded = fields.iter().filter(|(n, _)| n == "exclude");
            let exclude: Vec<_> = excluded
                .map(|(_, id)| ProductId::new(id).expect("an id"))
                .collect();
            let need = Need {
                results: usize::MAX,
                exclude: &exclude,
                filters: &filters,
                among: &|_| true,
            };
            let found = engine.search(&ask, &need).expect("answers");
            let total = found.len();
            let hits: Vec<Value> = found
                .into_iter()
                .skip(offset)
                .take(limit)
                .map(|f| json!({"id": f.id, "score": f.score, "product": {"title": f.title, "attributes": f.attributes}}))
                .collect();
            let subject = engine.subject();
            let model = json!({"name": subject.model, "id": subject.model_id});
            json!({
                "hits": hits, "estimated_total": total, "took_ms": 1.0, "model": model,
                "words_percent": subject.words_percent, "index_version": "1", "query": {}
            })
        };
        tokio::task::spawn_blocking(work).await.expect("no panic")
    }
}

async fn search(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Query(fields): Query<Vec<(String, String)>>,
) -> Response {
    if let Some(refused) = shared.refuse(&headers) {
        return refused;
    }
    let text = fields
        .iter()
        .find(|(n, _)| n == "q")
        .map(|(_, v)| v.clone());
    axum::Json(shared.answer(fields, text, None).await).into_response()
}

async fn search_image(
    State(shared): State<Shared>,
    headers: HeaderMap,
    mut form: Multipart,
) -> Response {
    if let Some(refused) = shared.refuse(&headers) {
        return refused;
    }
    let (mut fields, mut photo) = (Vec::new(), None);
    while let Some(field) = form.next_field().await.expect("a form") {
        let name = field.name().expect("a name").to_owned();
        if name == "image" {
            assert!(field.file_name().is_some(), "a photo is uploaded as a file");
            photo = Some(field.bytes().await.expect("whole"));
        } else {
            fields.push((name, field.text().await.expect("whole")));
        }
    }
    shared.uploads.fetch_add(1, Ordering::SeqCst);
    if shared.broken.load(Ordering::SeqCst) > 0 {
        shared.broken.fetch_sub(1, Ordering::SeqCst);
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    axum::Json(shared.answer(fields, None, photo).await).into_response()
}

async fn picture(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<HashMap<String, String>>,
) -> Response {
    if let Some(refused) = shared.refuse(&headers) {
        return refused;
    }
    let id = ProductId::new(&id["id"]).expect("an id");
    let found = tokio::task::spawn_blocking(move || {
        shared.engine.lock().expect("no panic before").picture(&id)
    })
    .await;
    found.expect("no panic").map_or(
        StatusCode::NOT_FOUND.into_response(),
        IntoResponse::into_response,
    )
}
