//! What operations see of `aglet serve`: traces at a collector, metrics and what is made of them, the
//! lines of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use aglet::util::digest::hex;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use image::{ImageFormat, Rgb, RgbImage};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode as Code};
use prost::Message;
use serde_json::{Value, json};

use crate::support::multipart::{FORM, form};
use crate::support::serve;
use crate::support::service::{Service, aglet};
use crate::support::skipped::skipped;

/// A collector: takes OTLP as protobuf over HTTP on `/v1/traces`, as those of OpenTelemetry do on
/// port 4318.
struct Collector {
    endpoint: String,
    bodies: Arc<Mutex<Vec<Bytes>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    fn start() -> Self {
        let bodies = Arc::<Mutex<Vec<Bytes>>>::default();
        let kept = bodies.clone();
        let take = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            kept.lock().expect("no panic").push(body);
            // An empty message says that all was taken.
            (StatusCode::OK, [("content-type", "application/x-protobuf")])
        };
        let routes = axum::Router::new().route("/v1/traces", axum::routing::post(take));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("bound");
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self {
            endpoint: format!("http://{address}"),
            bodies,
            _runtime: runtime,
        }
    }

    /// All spans so far, by trace and then by their own id; the resource that they are of is looked at
    /// on the way.
    fn traces(&self) -> BTreeMap<String, Vec<Span>> {
        let mut traces = BTreeMap::<String, Vec<Span>>::new();
        for body in self.bodies.lock().expect("no panic").iter() {
            let request = ExportTraceServiceRequest::decode(body.clone()).expect("protobuf");
            for of_resource in request.resource_spans {
                let resource = of_resource.resource.expect("a resource").attributes;
                assert_eq!(text(&resource, "service.name").as_deref(), Some("aglet"));
                let spans = of_resource.scope_spans.into_iter().flat_map(|s| s.spans);
                for span in spans {
                    traces.entry(hex(&span.trace_id)).or_default().push(span);
                }
            }
        }
        traces
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        let bodies = self.bodies.lock().expect("no panic");
        bodies
            .iter()
            .any(|body| body.windows(bytes.len()).any(|part| part == bytes))
    }
}

fn value(attributes: &[KeyValue], name: &str) -> Option<Any> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    attribute.value.clone()?.value
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    match value(attributes, name) {
        Some(Any::StringValue(text)) => Some(text),
        _ => None,
    }
}

fn number(attributes: &[KeyValue], name: &str) -> Option<i64> {
    match value(attributes, name) {
        Some(Any::IntValue(number)) => Some(number),
        _ => None,
    }
}

fn photo(number: u8) -> Vec<u8> {
    let picture = RgbImage::from_fn(60, 80, |x, y| {
        Rgb([
            number.wrapping_mul(20),
            (3 * x).to_le_bytes()[0],
            (2 * y).to_le_bytes()[0],
        ])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("encodes");
    bytes.into_inner()
}

/// A service over a shop of some boots with a photo each, ready.
fn shop(folder: &Path, flags: &[&str]) -> Service {
    let data = folder.join("data");
    if !data.exists() {
        let line = |number: u8| {
            std::fs::write(folder.join(format!("{number}.png")), photo(number)).expect("written");
            let product = json!({"id": number.to_string(), "title": format!("Boot {number}"),
                "image": format!("{number}.png"), "attributes": {"category": "Boots", "color": "Black"}});
            format!("{product}\n")
        };
        let file = folder.join("products.jsonl");
        std::fs::write(&file, (1..=5).map(line).collect::<String>()).expect("written");
        let mut import = aglet("import", &data);
        import
            .arg("--products")
            .arg(&file)
            .arg("--images")
            .arg(folder);
        let output = import.output().expect("runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let mut service = Service::start(&data, flags);
    service.ready();
    service
}

/// A request for words or, with none, by photo.
fn search(service: &Service, q: Option<&str>, headers: &[(&str, &str)]) {
    let (path, answer);
    if let Some(q) = q {
        path = format!("{}/search?q={q}&limit=3", service.url);
        let mut request = service.agent.get(&path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer = request.call();
    } else {
        path = format!("{}/search/image", service.url);
        let mut request = service.agent.post(&path).header("content-type", FORM);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer = request.send(form(&[("image", &photo(9))]).as_slice());
    }
    assert_eq!(answer.expect("answers").status().as_u16(), 200);
}

/// The only span of that name.
fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let named: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    let [span] = named[..] else {
        panic!("{} spans {name}: {spans:#?}", named.len())
    };
    span
}

const WORDS: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PHOTO: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "00f067aa0ba902b7";

#[test]
fn a_search_is_a_trace_of_all_its_stages_below_the_callers_span() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::start());
    let flags = [
        "--otlp-endpoint",
        &collector.endpoint,
        "--trace-sample",
        "0",
    ];
    let mut service = shop(folder.path(), &flags);
    let sampled = |trace: &str| format!("00-{trace}-{CALLER}-01");
    let parent = sampled(WORDS);
    search(
        &service,
        Some("zanzibar+boots"),
        &[("traceparent", &parent)],
    );
    let parent = sampled(PHOTO);
    let headers = [
        ("traceparent", parent.as_str()),
        ("tracestate", "shop=t61rcWkgMzE"),
        ("user-agent", "shop/1"),
    ];
    search(&service, None, &headers);
    // Nobody asked for these: the caller says no, or nothing, and the share is 0.
    search(
        &service,
        Some("red"),
        &[(
            "traceparent",
            "00-11111111111111111111111111111111-00f067aa0ba902b7-00",
        )],
    );
    search(&service, Some("blue"), &[]);
    service.end();

    let traces = collector.traces();
    let found: Vec<&str> = traces.keys().map(String::as_str).collect();
    assert_eq!(found, [PHOTO, WORDS]);
    let names = |trace: &str| -> Vec<String> {
        let mut names: Vec<String> = traces[trace].iter().map(|span| span.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(WORDS),
        [
            "GET /search",
            "index",
            "lexical",
            "model",
            "render",
            "store",
            "tokenize",
            "wait",
            "wait"
        ]
    );
    assert_eq!(
        names(PHOTO),
        [
            "POST /search/image",
            "decode",
            "index",
            "model",
            "render",
            "store",
            "wait",
            "wait",
            "wait"
        ]
    );
    for (trace, name) in [(WORDS, "GET /search"), (PHOTO, "POST /search/image")] {
        let spans = &traces[trace];
        let server = only(spans, name);
        assert_eq!(hex(&server.parent_span_id), CALLER);
        assert_eq!(server.kind, SpanKind::Server as i32);
        let (method, route) = name.split_once(' ').expect("two words");
        let says = |name| text(&server.attributes, name);
        assert_eq!(says("http.request.method").as_deref(), Some(method));
        assert_eq!(says("http.route").as_deref(), Some(route));
        assert_eq!(says("url.path").as_deref(), Some(route), "and no query");
        assert_eq!(says("server.address").as_deref(), Some("127.0.0.1"));
        assert!(number(&server.attributes, "server.port").is_some_and(|port| port > 0));
        assert_eq!(
            number(&server.attributes, "http.response.status_code"),
            Some(200)
        );
        for span in spans.iter().filter(|span| span.name != name) {
            let parent = if span.name == "lexical" {
                only(spans, "index")
            } else {
                server
            };
            assert_eq!(span.parent_span_id, parent.span_id, "{}", span.name);
            assert!(
                span.start_time_unix_nano >= parent.start_time_unix_nano,
                "{}",
                span.name
            );
            assert!(
                span.end_time_unix_nano <= parent.end_time_unix_nano,
                "{}",
                span.name
            );
        }
        let model = &only(spans, "model").attributes;
        assert_eq!(number(model, "batch_size"), Some(1));
        let index = &only(spans, "index").attributes;
        assert_eq!(number(index, "products"), Some(5));
        assert!(number(index, "hits").is_some_and(|hits| hits <= 5));
    }
    let tower = |trace| text(&only(&traces[trace], "model").attributes, "tower");
    assert_eq!(
        (tower(WORDS).as_deref(), tower(PHOTO).as_deref()),
        (Some("text"), Some("image"))
    );
    let upload = only(&traces[PHOTO], "POST /search/image");
    assert_eq!(upload.trace_state, "shop=t61rcWkgMzE");
    assert_eq!(
        text(&upload.attributes, "user_agent.original").as_deref(),
        Some("shop/1")
    );
    assert!(collector.holds(b"GET /search") && !collector.holds(b"zanzibar"));
}

#[test]
fn each_request_of_a_batch_has_its_own_spans() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::start());
    // What waits goes together, and waits long enough for company.
    let flags = [
        "--otlp-endpoint",
        &collector.endpoint,
        "--max-wait-us",
        "200000",
        "--max-batch",
        "4",
    ];
    let mut service = shop(folder.path(), &flags);
    std::thread::scope(|scope| {
        for number in 1..=4_u8 {
            let service = &service;
            scope.spawn(move || {
                let parent = format!("00-{}-{CALLER}-01", format!("{number:02x}").repeat(16));
                search(
                    service,
                    Some(&format!("boot+{number}")),
                    &[("traceparent", &parent)],
                );
            });
        }
    });
    service.end();
    let traces = collector.traces();
    assert_eq!(traces.len(), 4);
    let mut together = 0;
    for spans in traces.values() {
        let (server, model) = (only(spans, "GET /search"), only(spans, "model"));
        assert_eq!(model.parent_span_id, server.span_id);
        together = together.max(number(&model.attributes, "batch_size").expect("a size"));
        assert_eq!(spans.iter().filter(|span| span.name == "wait").count(), 2);
    }
    assert!(together > 1, "none of them went together");
}

#[test]
fn the_share_of_traces_is_kept_and_the_log_names_the_trace() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::start());
    let flags = [
        "--otlp-endpoint",
        &collector.endpoint,
        "--trace-sample",
        "1",
        "--request-timeout-ms",
        "60000",
    ];
    let mut service = shop(folder.path(), &flags);
    search(&service, Some("boots"), &[]);
    search(
        &service,
        Some("red"),
        &[(
            "traceparent",
            "00-11111111111111111111111111111111-00f067aa0ba902b7-00",
        )],
    );
    assert_eq!(service.get("/readyz").0, 200);
    assert_eq!(service.get("/products/none").0, 404);
    service.end();
    let traces = collector.traces();
    // A search and a product that is not there: the probes are none, nor is what goes on beside them.
    assert_eq!(traces.len(), 2, "{traces:#?}");
    let (id, spans) = traces
        .iter()
        .find(|(_, spans)| spans.iter().any(|span| span.name == "GET /search"))
        .expect("the search");
    let server = only(spans, "GET /search");
    assert_eq!(hex(&server.parent_span_id), "");
    let lines = service.log();
    let answered = |id: &str| {
        let of_trace = |line: &&Value| line["span"]["trace_id"] == id;
        lines
            .iter()
            .filter(of_trace)
            .filter(|line| line["message"] == "answered")
            .count()
    };
    assert_eq!(answered(id), 1);
    assert_eq!(answered("11111111111111111111111111111111"), 1);
    let missing = traces
        .values()
        .flatten()
        .find(|span| span.name == "GET /products/{id}");
    let missing = missing.expect("the product");
    assert_eq!(
        number(&missing.attributes, "http.response.status_code"),
        Some(404)
    );
    // A client's mistake is no error of the server's.
    assert!(
        missing
            .status
            .as_ref()
            .is_none_or(|status| status.code == Code::Unset as i32)
    );
}

#[test]
fn searches_go_on_without_the_collector() {
    let folder = tempfile::tempdir().expect("a folder");
    // One that refuses and one that takes connections and never answers.
    let closed = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    for address in [closed.expect("bound"), silent.local_addr().expect("bound")] {
        let endpoint = format!("http://{address}");
        let flags = ["--otlp-endpoint", &endpoint, "--trace-sample", "1"];
        let mut service = shop(folder.path(), &flags);
        search(&service, Some("boots"), &[]);
        service.until("a failure that is told", |service| {
            search(service, Some("red"), &[]);
            service.log().iter().any(not_delivered).then_some(())
        });
        let failed = r#"aglet_trace_spans_total{outcome="failed"} "#;
        let count = metric(&metrics(&service), failed).expect("counted");
        assert!(count >= 9.0, "{count}");
        search(&service, None, &[]);
        service.end();
        // Once, and perhaps once more for the last ones at its end.
        let told = service
            .log()
            .iter()
            .filter(|line| not_delivered(line))
            .count();
        assert_eq!(told, 1, "{:#?}", service.log());
        assert!(service.has_logged("stopped"));
    }
}

fn not_delivered(line: &Value) -> bool {
    line["message"]
        .as_str()
        .is_some_and(|text| text.starts_with("traces are not delivered"))
}

#[test]
fn a_slow_search_has_a_line_and_its_words_only_where_they_may_be() {
    let folder = tempfile::tempdir().expect("a folder");
    for text in ["false", "true"] {
        let flags = ["--slow-query-ms", "1", "--slow-query-text", text];
        let mut service = shop(folder.path(), &flags);
        let mut tries = 0..;
        let tries = std::cell::RefCell::new(&mut tries);
        let line = service.until("a slow search", |service| {
            // Another query each time: a known one takes less than a millisecond.
            let number: u32 = tries.borrow_mut().next().expect("endless");
            let parent = format!("00-{WORDS}-{CALLER}-01");
            let headers = [("traceparent", parent.as_str()), ("user-agent", "shop/1")];
            search(service, Some(&format!("zanzibar+{number}")), &headers);
            service
                .log()
                .into_iter()
                .find(|line| line["message"] == "slow query")
        });
        service.end();
        assert!(line["ms"].as_f64().is_some_and(|ms| ms >= 1.0), "{line}");
        assert_eq!(
            (&line["level"], &line["words"]),
            (&json!("WARN"), &json!(2))
        );
        assert_eq!(line["span"]["trace_id"], WORDS);
        assert!(line["hits"].is_number() && line["span"]["request_id"].is_string());
        let q = line["q"].as_str();
        assert_eq!(
            q.is_some_and(|q| q.starts_with("zanzibar ")),
            text == "true",
            "{line}"
        );
        let logged = service
            .log()
            .iter()
            .any(|line| line.to_string().contains("zanzibar"));
        assert_eq!(logged, text == "true");
        let answered =
            |line: &Value| line["message"] == "answered" && line["user_agent"] == "shop/1";
        assert!(service.log().iter().any(answered));
    }
}

fn metrics(service: &Service) -> String {
    let answer = service
        .agent
        .get(format!("{}/metrics", service.admin))
        .call();
    answer
        .expect("answers")
        .into_body()
        .read_to_string()
        .expect("text")
}

/// The value of the first line that begins so.
fn metric(text: &str, begin: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(begin)?.parse().ok())
}

/// The file's names of metrics: words that begin as ours or those of a process do.
fn named(text: &str) -> BTreeSet<&str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let ours = |name: &&str| name.starts_with("aglet_") || name.starts_with("process_");
    text.split(word).filter(ours).collect()
}

fn project(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A service after some of everything: searches in words and by photo, a write, an error.
fn scraped() -> String {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::start());
    let feed = "id,title\nfed,A pair of gloves\n";
    let port = serve(axum::Router::new().route("/f.csv", axum::routing::get(async move || feed)));
    let feeds = folder.path().join("feeds.toml");
    let address = format!("http://127.0.0.1:{port}/f.csv");
    std::fs::write(&feeds, format!("[[feed]]\naddress = \"{address}\"\n")).expect("written");
    let flags = [
        "--otlp-endpoint",
        &collector.endpoint,
        "--trace-sample",
        "1",
        "--feeds",
        feeds.to_str().expect("a path"),
    ];
    let mut service = shop(folder.path(), &flags);
    service.until("the feed is taken", |service| {
        let taken = "aglet_feeds_total{feed=\"http://127.0.0.1:";
        metrics(service).contains(taken).then_some(())
    });
    search(&service, Some("boots"), &[]);
    search(&service, Some("boots"), &[]);
    search(&service, None, &[]);
    assert_eq!(service.get("/products/none").0, 404);
    let product = json!({"title": "Boot 6", "attributes": {"category": "Boots"}}).to_string();
    let put = service.agent.put(format!("{}/products/6", service.admin));
    let put = put
        .header("content-type", "application/json")
        .send(&product);
    assert_eq!(put.expect("answers").status().as_u16(), 201);
    service.until("the write is searchable", |service| {
        metric(&metrics(service), "aglet_searchable_seconds_count ").filter(|count| *count > 0.0)
    });
    let text = metrics(&service);
    service.end();
    text
}

#[test]
fn the_metrics_are_those_that_are_described_and_used() {
    let text = scraped();
    let exported: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for begin in [
        "aglet_ready 1",
        "aglet_http_connections ",
        "aglet_index_memory_bytes ",
        "aglet_encode_batch_size_bucket{tower=\"text\",le=\"1\"} ",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        concat!(
            "aglet_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
        "aglet_index_failures_total{work=\"follow\"} 0",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(begin)),
            "{begin} is not in\n{text}"
        );
    }
    let checked = metric(&text, "aglet_index_checked_timestamp_seconds ").expect("seen");
    let changed = metric(&text, "aglet_index_changed_timestamp_seconds ").expect("seen");
    let started = metric(&text, "process_start_time_seconds ").expect("seen");
    assert!(
        checked >= started && changed >= started,
        "{checked} {changed} {started}"
    );

    // What every one is called says what it is, and each is described.
    for name in &exported {
        assert!(
            text.contains(&format!("# HELP {name} ")),
            "{name} is not described"
        );
        let counts = text.contains(&format!("# TYPE {name} counter"));
        assert_eq!(name.ends_with("_total"), counts, "{name}");
    }
    // Names of time series: those of a histogram have an end.
    let series = |name: &str| {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        exported.contains(name) || base.is_some_and(|base| exported.contains(base))
    };
    for file in [
        "docker/observability/alerts.yml",
        "docker/observability/alerts.test.yml",
        "docker/observability/grafana/aglet.json",
    ] {
        let file_text = project(file);
        let used = named(&file_text);
        assert!(used.len() > 5, "{file}");
        for name in used {
            assert!(series(name), "{file}: nothing exports {name}");
        }
    }
    let documented = project("docs/observability.md");
    for name in &exported {
        assert!(
            documented.contains(&format!("`{name}`")),
            "docs/observability.md: {name}"
        );
    }
    for name in named(&documented) {
        assert!(
            series(name),
            "docs/observability.md: nothing exports {name}"
        );
    }

    let checked = "the_metrics_are_those_that_are_described_and_used";
    let Ok(mut lint) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
    else {
        skipped(checked, "no promtool: the rest of it was tested");
        return;
    };
    let mut input = lint.stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, text.as_bytes()).expect("written");
    drop(input);
    let output = lint.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The dashboard's panels ask for something, and every alert has its page in the runbook.
#[test]
fn the_dashboard_is_whole_and_every_alert_has_a_page() {
    let dashboard: Value =
        serde_json::from_str(&project("docker/observability/grafana/aglet.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let (rows, charts): (Vec<&Value>, Vec<&Value>) =
        panels.iter().partition(|panel| panel["type"] == "row");
    assert!(!rows.is_empty() && charts.len() > 10);
    let ids: BTreeSet<u64> = panels
        .iter()
        .filter_map(|panel| panel["id"].as_u64())
        .collect();
    assert_eq!(ids.len(), panels.len(), "each has an id of its own");
    for panel in charts {
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            assert!(
                !named(target["expr"].as_str().expect("a query")).is_empty(),
                "{panel}"
            );
        }
    }

    let (rules, runbook) = (
        project("docker/observability/alerts.yml"),
        project("docs/runbook.md"),
    );
    let sections: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let mut alerts = BTreeSet::new();
    // Each begins with its name; what belongs to it follows.
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().expect("a name").trim();
        assert!(alerts.insert(name), "{name} is there twice");
        assert!(
            sections.contains(name),
            "docs/runbook.md has no section {name}"
        );
        let link = format!("docs/runbook.md#{}", name.to_lowercase());
        assert!(
            rule.contains("runbook: ") && rule.contains(&link),
            "{name}: no link to {link}"
        );
        let tests = project("docker/observability/alerts.test.yml");
        assert!(
            tests.contains(&format!("alertname: {name}")),
            "{name} is not tested"
        );
    }
    assert!(alerts.len() > 5);
    let other: Vec<&&str> = sections.difference(&alerts).collect();
    assert_eq!(other, [] as [&&str; 0], "sections of no alert");
}
