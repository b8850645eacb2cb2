//! The layers and the server loop, with handlers that are slow, fail or panic on purpose.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tower::ServiceExt;

use super::layers::cors::Origins;
use super::state::{HttpOptions, LiveOptions};
use super::{Bounds, layered, serve};
use crate::catalog::CatalogError;
use crate::http::input::body::{JsonBody, Upload};
use crate::http::layers::limits::{Gate, shed};
use crate::http::output::error::ApiError;
use crate::util::budget::Budget;

fn options() -> HttpOptions {
    HttpOptions {
        max_body: 1_000,
        request_timeout: Duration::from_millis(50),
        body_timeout: Duration::from_millis(80),
        concurrency: 2,
        ..HttpOptions::default()
    }
}

/// A service whose handlers do nothing but what is tested.
fn service(options: HttpOptions, release: Arc<Notify>) -> Router {
    let options = Arc::new(options);
    let held = release.clone();
    let routes = Router::new()
        .route("/search", get(async || "found ".repeat(100)))
        .route(
            "/slow",
            get(async move || release.notified().await).post(async |_: JsonBody<Value>| ()),
        )
        .route("/never", get(std::future::pending::<()>))
        .route(
            "/panic",
            get(async || -> () { panic!("the handler's secret") }),
        )
        .route(
            "/status/{code}",
            get(async |code: axum::extract::Path<u16>| {
                StatusCode::from_u16(*code).expect("a status")
            }),
        )
        .route(
            "/json",
            post(async |JsonBody(value): JsonBody<Value>| axum::Json(value)),
        )
        .route(
            "/hold",
            post(async move |upload: Upload| {
                held.notified().await;
                upload.image.len().to_string()
            }),
        )
        .route(
            "/upload",
            post(async |upload: Upload| upload.image.len().to_string()),
        )
        .route(
            "/products/{id}",
            get(async |id: crate::http::input::params::IdPath| id.0.to_string()),
        )
        .route_layer(from_fn_with_state(Gate::new(options.clone()), shed))
        .with_state(options.clone());
    layered(routes, origins(options))
}

fn origins(options: Arc<HttpOptions>) -> Origins {
    Origins {
        options,
        service: None,
    }
}

async fn call(service: &Router, request: Request) -> (StatusCode, HeaderMap, Vec<u8>) {
    let response: Response = service.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .expect("a body");
    (parts.status, parts.headers, body.to_vec())
}

fn request(method: Method, path: &str) -> Request {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .expect("a request")
}

async fn get_from(service: &Router, path: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
    call(service, request(Method::GET, path)).await
}

/// The problem's code, after a look at the members that every problem has.
fn code(answer: &(StatusCode, HeaderMap, Vec<u8>)) -> String {
    let (status, headers, body) = answer;
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    let problem: Value = serde_json::from_slice(body).expect("JSON");
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(
        problem["request_id"],
        headers["x-request-id"].to_str().expect("text")
    );
    assert_eq!(
        problem["type"],
        format!("/problems/{}", problem["code"].as_str().expect("text"))
    );
    assert!(problem["title"].is_string() && problem["detail"].is_string());
    problem["code"].as_str().expect("text").to_owned()
}

fn plain() -> Router {
    service(options(), Arc::new(Notify::new()))
}

#[tokio::test]
async fn what_no_handler_answered_is_a_problem_too() {
    let service = plain();
    let answer = get_from(&service, "/nowhere").await;
    assert_eq!(
        (answer.0, code(&answer).as_str()),
        (StatusCode::NOT_FOUND, "not_found")
    );
    let answer = call(&service, request(Method::DELETE, "/search")).await;
    assert_eq!(
        (answer.0, code(&answer).as_str()),
        (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
    );
    assert_eq!(answer.1[header::ALLOW], "GET,HEAD");
    let answer = get_from(&service, "/status/431").await;
    assert_eq!(
        (answer.0.as_u16(), code(&answer).as_str()),
        (431, "bad_request")
    );
    let answer = get_from(&service, "/status/502").await;
    assert_eq!(
        (answer.0, code(&answer).as_str()),
        (StatusCode::BAD_GATEWAY, "internal")
    );
    let answer = get_from(&service, "/status/504").await;
    assert_eq!(
        (answer.0, code(&answer).as_str()),
        (StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded")
    );
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing() {
    let service = plain();
    let answer = get_from(&service, "/panic").await;
    assert_eq!(
        (answer.0, code(&answer).as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, "internal")
    );
    assert!(!String::from_utf8_lossy(&answer.2).contains("secret"));
    assert_eq!(get_from(&service, "/search").await.0, StatusCode::OK);
}

#[tokio::test]
async fn more_than_can_be_taken_on_is_shed_and_room_is_made_again() {
    let release = Arc::new(Notify::new());
    let long = HttpOptions {
        request_timeout: Duration::from_mins(1),
        ..options()
    };
    let service = service(long, release.clone());
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { get_from(&service, "/slow").await.0 })
        })
        .collect();
    // Both are in the handler once a third is refused.
    let refused = loop {
        let answer = get_from(&service, "/search").await;
        if answer.0 != StatusCode::OK {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (refused.0, code(&refused).as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
    );
    assert_eq!(refused.1[header::RETRY_AFTER], "1");
    for task in busy {
        // `notify_one` keeps its permit when nobody waits yet.
        release.notify_one();
        release.notify_one();
        assert_eq!(task.await.expect("no panic"), StatusCode::OK);
    }
    assert_eq!(get_from(&service, "/search").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_body_on_its_way_keeps_nobody_out() {
    let long = HttpOptions {
        body_timeout: Duration::from_mins(1),
        request_timeout: Duration::from_mins(1),
        ..options()
    };
    let service = service(long, Arc::new(Notify::new()));
    // Many times as many as may be in work.
    let slow: Vec<_> = (0..50)
        .map(|number| {
            let (path, kind) = if number % 2 == 0 {
                ("/json", "application/json")
            } else {
                ("/upload", "multipart/form-data; boundary=x")
            };
            let request = Request::post(path)
                .header(header::CONTENT_TYPE, kind)
                .body(Body::new(NeverEnding))
                .expect("a request");
            let service = service.clone();
            tokio::spawn(async move { call(&service, request).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(get_from(&service, "/search").await.0, StatusCode::OK);
    let whole = Request::post("/json")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("{}"))
        .expect("a request");
    assert_eq!(call(&service, whole).await.0, StatusCode::OK);
    for task in slow {
        assert!(!task.is_finished());
        task.abort();
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_makes_room() {
    let long = HttpOptions {
        request_timeout: Duration::from_mins(1),
        concurrency: 1,
        ..options()
    };
    let service = service(long, Arc::new(Notify::new()));
    let left = tokio::time::timeout(Duration::from_millis(20), get_from(&service, "/never")).await;
    assert!(left.is_err(), "it waits for ever");
    assert_eq!(get_from(&service, "/search").await.0, StatusCode::OK);
}

#[tokio::test]
async fn time_is_bounded() {
    let service = plain();
    let answer = get_from(&service, "/never").await;
    assert_eq!(
        (answer.0, code(&answer).as_str()),
        (StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded")
    );
    // A body that never comes is the client's fault.
    for (path, kind) in [
        ("/json", "application/json"),
        ("/upload", "multipart/form-data; boundary=x"),
    ] {
        let body = Body::new(NeverEnding);
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, kind)
            .body(body)
            .expect("a request");
        let answer = call(&service, request).await;
        assert_eq!(
            (answer.0, code(&answer).as_str()),
            (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            "{path}"
        );
    }
}

/// A body whose next part never comes.
struct NeverEnding;

impl hyper::body::Body for NeverEnding {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn bodies_are_judged_before_they_are_used() {
    let service = plain();
    let send = async |path: &str, kind: &str, body: Vec<u8>| {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .expect("a request");
        call(&service, request).await
    };
    let answer = send("/json", "application/json", b"{\"a\":1}".to_vec()).await;
    assert_eq!(
        (answer.0, answer.2.as_slice()),
        (StatusCode::OK, b"{\"a\":1}".as_slice())
    );
    for (kind, body, status, expected) in [
        ("application/json", b"{".to_vec(), 400, "malformed_json"),
        ("application/json", vec![b' '; 1_001], 413, "body_too_large"),
        ("text/plain", b"{}".to_vec(), 415, "unsupported_media_type"),
    ] {
        let answer = send("/json", kind, body).await;
        assert_eq!(
            (answer.0.as_u16(), code(&answer).as_str()),
            (status, expected)
        );
    }
    let answer = call(&service, request(Method::POST, "/json")).await;
    assert_eq!(code(&answer), "unsupported_media_type");
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parts {
        body.extend_from_slice(
            format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b0--\r\n");
    body
}

#[tokio::test]
async fn photos_in_memory_are_bounded_whatever_the_number_of_requests() {
    let release = Arc::new(Notify::new());
    let long = HttpOptions {
        request_timeout: Duration::from_mins(1),
        concurrency: 100,
        ..options()
    };
    let service = service(
        HttpOptions {
            uploads: Budget::new(2_500),
            ..long
        },
        release.clone(),
    );
    let upload = |path: &'static str, body: Vec<u8>| {
        let request =
            Request::post(path).header(header::CONTENT_TYPE, "multipart/form-data; boundary=b0");
        let (service, request) = (
            service.clone(),
            request.body(Body::from(body)).expect("a request"),
        );
        tokio::spawn(async move { call(&service, request).await })
    };
    let whole = || form(&[("image", &[7; 1_000])]);
    let held = [upload("/hold", whole()), upload("/hold", whole())];
    // Both hold 1,000 bytes once there is no room for 1,000 more.
    let refused = loop {
        let answer = upload("/upload", whole()).await.expect("no panic");
        if answer.0 != StatusCode::OK {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (refused.0, code(&refused).as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
    );
    assert_eq!(refused.1[header::RETRY_AFTER], "1");
    // The fields beside a photo and bodies of JSON count too.
    let fields = upload(
        "/upload",
        form(&[("color", &[b'x'; 600]), ("image", b"small")]),
    )
    .await
    .expect("no panic");
    let json = Request::post("/json")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(vec![b' '; 600]));
    let json = call(&service, json.expect("a request")).await;
    assert_eq!(
        (code(&fields).as_str(), code(&json).as_str()),
        ("overloaded", "overloaded")
    );
    // What is refused or broken gives back what it took.
    for _ in 0..10 {
        let small = upload("/upload", form(&[("image", &[7; 400])]))
            .await
            .expect("no panic");
        assert_eq!(
            (small.0, small.2.as_slice()),
            (StatusCode::OK, b"400".as_slice())
        );
        let cut = upload("/upload", whole()[..400].to_vec())
            .await
            .expect("no panic");
        assert_eq!(code(&cut), "malformed_multipart");
    }
    for task in held {
        release.notify_one();
        release.notify_one();
        assert_eq!(task.await.expect("no panic").0, StatusCode::OK);
    }
    assert_eq!(
        upload("/upload", whole()).await.expect("no panic").0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn forms_of_every_kind() {
    let service = plain();
    let kind = "multipart/form-data; boundary=b0";
    let send = async |kind: &str, body: Vec<u8>| {
        let request = Request::post("/upload")
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .expect("a request");
        call(&service, request).await
    };
    let answer = send(
        kind,
        form(&[("color", b"Black"), ("image", &[7; 1_000]), ("limit", b"3")]),
    )
    .await;
    assert_eq!(
        (answer.0, answer.2.as_slice()),
        (StatusCode::OK, b"1000".as_slice())
    );
    // An empty picture is for the decoder to refuse.
    assert_eq!(send(kind, form(&[("image", b"")])).await.2, b"0");
    let whole = form(&[("image", b"picture")]);
    let cut = whole[..whole.len() - 12].to_vec();
    for (kind, body, status, expected) in [
        (kind, form(&[]), 400, "missing_parameter"),
        (kind, form(&[("limit", b"3")]), 400, "missing_parameter"),
        (
            kind,
            form(&[("image", b"1"), ("image", b"2")]),
            400,
            "repeated_parameter",
        ),
        (
            kind,
            form(&[("image", b"1"), ("limit", b"x")]),
            400,
            "invalid_parameter",
        ),
        (
            kind,
            form(&[("image", b"1"), ("limit", b"1"), ("limit", b"1")]),
            400,
            "repeated_parameter",
        ),
        (
            kind,
            form(&[("image", b"1"), ("color", b"\xff")]),
            400,
            "invalid_parameter",
        ),
        (
            kind,
            form(&[("file\"; filename=\"a.jpg", b"1")]),
            400,
            "invalid_parameter",
        ),
        (kind, form(&[("image", &[7; 1_001])]), 413, "body_too_large"),
        (
            kind,
            form(&[("image", b"1"), ("color", &[b'x'; 4_097])]),
            413,
            "body_too_large",
        ),
        (
            kind,
            form(&[("image", b"1"), ("color", &vec![b'x'; 300_000])]),
            413,
            "body_too_large",
        ),
        (kind, cut, 400, "malformed_multipart"),
        (kind, b"no form at all".to_vec(), 400, "malformed_multipart"),
        (kind, Vec::new(), 400, "malformed_multipart"),
        (
            "multipart/form-data; boundary=other",
            whole.clone(),
            400,
            "malformed_multipart",
        ),
        (
            "multipart/form-data",
            whole.clone(),
            400,
            "malformed_multipart",
        ),
        (
            "multipart/form-data; boundary=",
            whole.clone(),
            400,
            "malformed_multipart",
        ),
        (
            "multipart/mixed; boundary=b0",
            whole.clone(),
            415,
            "unsupported_media_type",
        ),
        (
            "image/jpeg",
            b"\xff\xd8".to_vec(),
            415,
            "unsupported_media_type",
        ),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let answer = send(kind, body).await;
        assert_eq!(
            (answer.0.as_u16(), code(&answer).as_str()),
            (status, expected),
            "{kind}: {shown}"
        );
    }
}

#[tokio::test]
async fn parameters_of_a_request_with_a_body_are_in_the_body() {
    let service = plain();
    let send = async |path: &str, kind: &str, body: Vec<u8>| {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body));
        call(&service, request.expect("a request")).await
    };
    let (multipart, picture) = (
        "multipart/form-data; boundary=b0",
        form(&[("image", b"picture")]),
    );
    for (path, kind, body, parameter) in [
        ("/upload?limit=3", multipart, picture.clone(), "limit"),
        (
            "/upload?colo%72=Black&limit=3",
            multipart,
            picture.clone(),
            "color",
        ),
        ("/upload?limit", multipart, picture.clone(), "limit"),
        ("/json?q=shoes", "application/json", b"{}".to_vec(), "q"),
    ] {
        let answer = send(path, kind, body).await;
        assert_eq!(
            (answer.0, code(&answer).as_str()),
            (StatusCode::BAD_REQUEST, "invalid_parameter"),
            "{path}"
        );
        let problem: Value = serde_json::from_slice(&answer.2).expect("JSON");
        assert_eq!(problem["parameter"], parameter, "{path}");
        assert!(
            problem["detail"]
                .as_str()
                .expect("text")
                .contains("nothing from its URL"),
            "{problem}"
        );
    }
    let answer = send("/upload?color=%ff", multipart, picture.clone()).await;
    assert_eq!(code(&answer), "invalid_parameter");
    // An empty query string asks for nothing.
    assert_eq!(send("/upload?", multipart, picture).await.0, StatusCode::OK);
    assert_eq!(
        send("/json?&", "application/json", b"{}".to_vec()).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let service = plain();
    let (status, headers, body) = call(&service, request(Method::HEAD, "/search")).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
    assert_eq!(headers[header::CONTENT_LENGTH], "600");
    let (status, headers, body) = call(&service, request(Method::HEAD, "/nowhere")).await;
    assert_eq!((status, body.len()), (StatusCode::NOT_FOUND, 0));
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn a_trailing_slash_changes_nothing() {
    let service = plain();
    assert_eq!(get_from(&service, "/search/?q=x").await.0, StatusCode::OK);
    assert_eq!(get_from(&service, "/products/7/").await.2, b"7");
    assert_eq!(get_from(&service, "/products/a%2Fb").await.2, b"a/b");
    assert_eq!(
        code(&get_from(&service, "/products/%20").await),
        "invalid_parameter"
    );
    assert_eq!(
        code(&get_from(&service, "/products/%ff").await),
        "invalid_parameter"
    );
    assert_eq!(get_from(&service, "//").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn request_ids_come_back() {
    let service = plain();
    let request = Request::get("/search")
        .header("x-request-id", "shop-42")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(call(&service, request).await.1["x-request-id"], "shop-42");
    let made = get_from(&service, "/search").await.1["x-request-id"].clone();
    assert!(uuid::Uuid::parse_str(made.to_str().expect("text")).is_ok());
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask() {
    let service = plain();
    let request = Request::get("/search")
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())
        .expect("ok");
    let (_, headers, body) = call(&service, request).await;
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    assert!(body.starts_with(b"\x1f\x8b") && body.len() < 600);
    assert!(
        !get_from(&service, "/search")
            .await
            .1
            .contains_key(header::CONTENT_ENCODING)
    );
}

#[tokio::test]
async fn other_origins_are_let_in_by_name_alone() {
    let preflight = |origin: &str| {
        Request::builder()
            .method(Method::OPTIONS)
            .uri("/json")
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type")
            .body(Body::empty())
            .expect("a request")
    };
    let closed = plain();
    let answer = call(&closed, preflight("https://shop.example")).await;
    assert_eq!(code(&answer), "method_not_allowed");
    assert!(
        answer
            .1
            .keys()
            .all(|name| !name.as_str().starts_with("access-control"))
    );

    let allowed = options();
    allowed.live.store(Arc::new(LiveOptions {
        allowed_origins: vec!["https://shop.example".to_owned()],
        ..LiveOptions::default()
    }));
    let open = service(allowed, Arc::new(Notify::new()));
    let (status, headers, _) = call(&open, preflight("https://shop.example")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        headers[header::ACCESS_CONTROL_ALLOW_ORIGIN],
        "https://shop.example"
    );
    let (_, headers, _) = call(&open, preflight("https://evil.example")).await;
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    // A page of that origin can read errors too.
    let request = Request::get("/nowhere")
        .header(header::ORIGIN, "https://shop.example")
        .body(Body::empty())
        .expect("ok");
    assert_eq!(
        call(&open, request).await.1[header::ACCESS_CONTROL_ALLOW_ORIGIN],
        "https://shop.example"
    );
}

/// A served router, its address, and the bell that ends it.
async fn served(
    router: Router,
    drain: Duration,
) -> (String, oneshot::Sender<()>, tokio::task::JoinHandle<usize>) {
    let bounds = Bounds {
        connections: 1_000,
        drain,
    };
    served_within(router, bounds).await
}

async fn served_within(
    router: Router,
    bounds: Bounds,
) -> (String, oneshot::Sender<()>, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { stopped.await.unwrap_or(()) };
    let task = tokio::spawn(serve(listener, None, router, shutdown, bounds));
    (address, stop, task)
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A connection that is cut ends what can be read.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_stop_answers_what_is_in_work_and_takes_no_more() {
    let release = Arc::new(Notify::new());
    let long = HttpOptions {
        request_timeout: Duration::from_mins(1),
        ..options()
    };
    let router = service(long, release.clone());
    let (address, stop, task) = served(router.clone(), Duration::from_mins(1)).await;
    let mut idle = TcpStream::connect(&address).await.expect("connects");
    idle.write_all(b"GET /search HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("writes");
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.expect("an answer");
    let mut busy = TcpStream::connect(&address).await.expect("connects");
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("writes");
    // In the handler once its permit is taken: of two, one more request finds room and the next
    // does not.
    let mut hold = TcpStream::connect(&address).await.expect("connects");
    hold.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("writes");
    while get_from(&router, "/search").await.0 == StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.send(()).expect("serving");
    // An idle connection is closed at once, a new one is refused.
    assert!(read_all(idle).await.ends_with("found "));
    while TcpStream::connect(&address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    release.notify_one();
    release.notify_waiters();
    assert!(read_all(busy).await.starts_with("HTTP/1.1 200"));
    assert!(read_all(hold).await.starts_with("HTTP/1.1 200"));
    assert_eq!(task.await.expect("no panic"), 0);
}

#[tokio::test]
async fn one_connection_too_many_takes_the_place_of_the_one_idle_for_longest() {
    let bounds = Bounds {
        connections: 2,
        drain: Duration::ZERO,
    };
    let (address, _stop, _task) = served_within(plain(), bounds).await;
    let asked = async || {
        let mut connection = TcpStream::connect(&address).await.expect("connects");
        connection
            .write_all(b"GET /search HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .expect("writes");
        let mut first = [0; 12];
        connection.read_exact(&mut first).await.expect("an answer");
        // Idle times are compared in milliseconds.
        tokio::time::sleep(Duration::from_millis(5)).await;
        (connection, first)
    };
    let (oldest, _) = asked().await;
    let (mut second, _) = asked().await;
    let (_third, answer) = asked().await;
    assert_eq!(answer, *b"HTTP/1.1 200");
    // The oldest is closed, the other goes on.
    assert!(read_all(oldest).await.ends_with("found "));
    second
        .write_all(b"GET /search HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .expect("writes");
    assert!(read_all(second).await.contains("HTTP/1.1 200"));
}

#[tokio::test]
async fn draining_has_an_end() {
    let long = HttpOptions {
        request_timeout: Duration::from_hours(1),
        ..options()
    };
    let router = service(
        HttpOptions {
            concurrency: 1,
            ..long
        },
        Arc::new(Notify::new()),
    );
    let (address, stop, task) = served(router.clone(), Duration::from_millis(30)).await;
    let mut stuck = TcpStream::connect(&address).await.expect("connects");
    stuck
        .write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("writes");
    while get_from(&router, "/search").await.0 == StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.send(()).expect("serving");
    assert_eq!(task.await.expect("no panic"), 1);
    assert_eq!(read_all(stuck).await, "");
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_work() {
    let long = HttpOptions {
        request_timeout: Duration::from_hours(1),
        concurrency: 1,
        ..options()
    };
    let router = service(long, Arc::new(Notify::new()));
    let (address, _stop, _task) = served(router.clone(), Duration::ZERO).await;
    let mut client = TcpStream::connect(&address).await.expect("connects");
    client
        .write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("writes");
    while get_from(&router, "/search").await.0 == StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(client);
    // The permit comes back.
    while get_from(&router, "/search").await.0 != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_large_body_is_answered_before_it_is_sent() {
    let (address, _stop, _task) = served(plain(), Duration::ZERO).await;
    let mut client = TcpStream::connect(&address).await.expect("connects");
    let head = "POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("writes");
    let answer = read_all(client).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(
        answer.contains("body_too_large") && answer.to_lowercase().contains("connection: close"),
        "{answer}"
    );
}

/// The head of a POST whose body is said to have so many bytes.
fn head(path: &str, kind: &str, length: usize, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}\r\n"
    )
}

#[tokio::test]
async fn whoever_sends_a_large_body_to_its_end_hears_why_it_was_refused() {
    const LENGTH: usize = 12 << 20;
    let piece = vec![b' '; 1 << 20];
    let (address, _stop, _task) = served(plain(), Duration::ZERO).await;
    for (path, kind, status) in [
        ("/json", "application/json", "413"),
        ("/upload", "multipart/form-data; boundary=b0", "413"),
        ("/json", "text/plain", "415"),
    ] {
        let mut client = TcpStream::connect(&address).await.expect("connects");
        client
            .write_all(head(path, kind, LENGTH, "Connection: close\r\n").as_bytes())
            .await
            .expect("writes");
        for _ in 0..LENGTH / piece.len() {
            client
                .write_all(&piece)
                .await
                .expect("nobody hangs up on it");
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("no reset");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn whoever_asks_leave_to_send_is_answered_without_it() {
    let (address, _stop, _task) = served(plain(), Duration::ZERO).await;
    let mut client = TcpStream::connect(&address).await.expect("connects");
    let head = head(
        "/json",
        "application/json",
        12 << 20,
        "Expect: 100-continue\r\n",
    );
    client.write_all(head.as_bytes()).await.expect("writes");
    let answer = read_all(client).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && !answer.contains("100 Continue"),
        "{answer}"
    );
}

#[tokio::test]
async fn half_an_upload_harms_nobody() {
    let (address, _stop, _task) = served(plain(), Duration::ZERO).await;
    for sent in [20, 150, 300] {
        let mut client = TcpStream::connect(&address).await.expect("connects");
        let body = form(&[("image", &[7; 500])]);
        let head = head(
            "/upload",
            "multipart/form-data; boundary=b0",
            body.len(),
            "",
        );
        client
            .write_all(&[head.as_bytes(), &body[..sent]].concat())
            .await
            .expect("writes");
        client.shutdown().await.expect("half-closes");
        let answer = read_all(client).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
    }
    let mut client = TcpStream::connect(&address).await.expect("connects");
    client
        .write_all(b"GET /search HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .expect("writes");
    assert!(read_all(client).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn nonsense_is_no_request() {
    let (address, _stop, _task) = served(plain(), Duration::ZERO).await;
    let mut client = TcpStream::connect(&address).await.expect("connects");
    client
        .write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        .await
        .expect("writes");
    assert!(read_all(client).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_catalog_that_cannot_be_changed_is_unavailable() {
    let routes = Router::new()
        .route(
            "/search",
            get(async || -> Result<(), ApiError> {
                let path = "/secret/catalog.sqlite".into();
                Err(CatalogError::Full { path }.into())
            }),
        )
        .route(
            "/slow",
            get(async || -> Result<(), ApiError> {
                Err(CatalogError::Busy(sqlx::Error::PoolClosed).into())
            }),
        )
        .route(
            "/products",
            get(async || -> Result<(), ApiError> {
                let (place, reason) = ("s3://secret".to_owned(), "secret".to_owned());
                Err(CatalogError::PicturesAway { place, reason }.into())
            }),
        );
    let service = layered(routes, origins(Arc::default()));
    for (path, code_of_it) in [
        ("/search", "store_unavailable"),
        ("/slow", "store_unavailable"),
        ("/products", "pictures_unavailable"),
    ] {
        let answer = get_from(&service, path).await;
        assert_eq!(
            (answer.0, code(&answer).as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, code_of_it)
        );
        assert_eq!(answer.1[header::RETRY_AFTER], "1");
        assert!(!String::from_utf8_lossy(&answer.2).contains("secret"));
    }
}
