//! The outermost layer: who asks (request id, trace), what it cost (metrics, access log), and how
//! errors are reported.
//!
//! Refuses nothing. A client that goes away ends its request here, which is logged and counted as
//! status 499 and drops everything that waited for it.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::client;
use crate::http::output::error::{ApiError, Carried, Problem};
use crate::http::state::HttpOptions;
use crate::telemetry;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What nginx made the usual status of a request whose client left.
const CLIENT_LEFT: u16 = 499;

/// Bytes of a user agent that are kept.
const MOST_OF_AGENT: usize = 200;

const DURATION_METRIC: &str = "aglet_http_request_duration_seconds";
const REQUESTS_METRIC: &str = "aglet_http_requests_total";
const IN_FLIGHT_METRIC: &str = "aglet_http_requests_in_flight";

/// Tells the recorder that is installed what the metrics of this room mean; call once it is.
pub fn describe_metrics() {
    metrics::describe_counter!(
        REQUESTS_METRIC,
        "Requests by route, method and status; 499: the client left"
    );
    metrics::describe_histogram!(
        DURATION_METRIC,
        metrics::Unit::Seconds,
        "From the head of a request to its answer"
    );
    metrics::describe_gauge!(IN_FLIGHT_METRIC, "Requests that are being answered");
    crate::http::routes::health::describe_gauges();
    crate::http::serve::describe_connections();
}

/// The span whose fields stand in the lines of a request; an extension of it.
#[derive(Clone)]
pub struct LineOfRequest(pub Span);

pub async fn edge(
    State(options): State<Arc<HttpOptions>>,
    mut request: Request,
    next: Next,
) -> Response {
    let request_id = request_id(request.headers());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", |path| template(path.as_str()));
    let mut visit = Visit::begin(method(request.method()), route);
    let trace = request
        .headers()
        .get("traceparent")
        .and_then(|v| v.to_str().ok())
        .and_then(trace_id)
        .map(str::to_owned);
    let client = client::address(&request, &options.live.load().trusted_proxies);
    let span = tracing::info_span!(
        "request", %request_id, trace_id = trace.as_deref(), method = visit.method, route, %client,
        key = Empty,
    );
    visit.span = span.clone();
    request.extensions_mut().insert(LineOfRequest(span.clone()));
    visit.user_agent = user_agent(request.headers()).map(str::to_owned);
    if !is_watch(route) {
        visit.trace = traced(&span, &request, &visit, &request_id);
        let caller = trace.is_some().then(|| request.headers());
        if let Some(id) = telemetry::continued(&visit.trace, caller)
            && trace.is_none()
        {
            span.record("trace_id", id);
        }
    }
    let head = request.method() == Method::HEAD;

    let work = next.run(request).instrument(visit.trace.clone());
    let response = work.instrument(span.clone()).await;

    let _entered = span.enter();
    let mut response = explained(response, &request_id);
    if head {
        response = without_body(response);
    }
    if let Ok(value) = HeaderValue::try_from(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    visit.end(
        response.status().as_u16(),
        response.body().size_hint().exact(),
    );
    response
}

/// The server's span of a trace, named and described as OpenTelemetry has it for HTTP.
fn traced(log: &Span, request: &Request, visit: &Visit, request_id: &str) -> Span {
    let span = tracing::debug_span!(
        parent: log,
        "http",
        otel.name = format!("{} {}", visit.method, visit.route),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = visit.method,
        http.route = visit.route,
        http.response.status_code = Empty,
        url.scheme = "http",
        url.path = request.uri().path(),
        server.address = Empty,
        server.port = Empty,
        user_agent.original = visit.user_agent,
        aglet.request_id = request_id,
    );
    if !span.is_disabled()
        && let Some(host) = request.headers().get(header::HOST)
        && let Ok(host) = Authority::try_from(host.as_bytes())
    {
        span.record("server.address", host.host());
        span.record("server.port", host.port_u16().map(i64::from));
    }
    span
}

/// Probes and scrapes come every few seconds and say nothing.
fn is_watch(route: &str) -> bool {
    matches!(route, "/livez" | "/readyz" | "/metrics")
}

/// What the client says it is, as far as a log needs it.
fn user_agent(headers: &HeaderMap) -> Option<&str> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    // It is ASCII: `to_str` takes nothing else.
    Some(&agent[..agent.len().min(MOST_OF_AGENT)])
}

/// Turns what an error left in the response into a problem document, and logs it: the one place
/// that does.
fn explained(response: Response, request_id: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (parts, _) = response.into_parts();
    let carried = parts.extensions.get::<Carried>().cloned();
    let carried = carried.unwrap_or_else(|| Carried(ApiError::of_status(status).into()));
    let error = &*carried.0;
    let (code, causes) = (error.code().as_str(), error.causes());
    if status.is_server_error()
        && !matches!(error, ApiError::NotReady { .. } | ApiError::Overloaded)
    {
        tracing::error!(code, causes, "{error}");
    } else {
        tracing::debug!(code, "{error}");
    }
    Problem::new(error, request_id).into_response(parts)
}

/// RFC 9110: an answer to HEAD has the headers of GET's and no content.
fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        parts
            .headers
            .entry(header::CONTENT_LENGTH)
            .or_insert(HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::empty())
}

/// The client's own id when it is one that a log can hold: 1 to 128 letters, digits, `-`, `_`, `.`,
/// `:`; else a new UUIDv7.
fn request_id(headers: &HeaderMap) -> String {
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
    };
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(sane);
    given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// The trace id of a W3C `traceparent` (Trace Context, section 3.2): `00-TRACE-PARENT-FLAGS`,
/// lower-case hexadecimal, not all zeros. Later versions may append fields; version ff is
/// forbidden. Anything else is ignored, as the standard asks.
fn trace_id(header: &str) -> Option<&str> {
    let hex = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let zero = |text: &str| text.bytes().all(|b| b == b'0');
    let mut parts = header.trim().split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let well_formed = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    let allowed = version != "ff" && (version != "00" || parts.next().is_none());
    (well_formed && allowed && !zero(trace) && !zero(parent)).then_some(trace)
}

/// Methods and routes are labels of metrics: a stranger must not be able to invent new ones.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// The route's template; a static string because the routes are.
fn template(path: &str) -> &'static str {
    const TEMPLATES: &[&str] = &[
        "/",
        "/search",
        "/search/image",
        "/attributes",
        "/products",
        "/products:bulk",
        "/products/{id}",
        "/products/{id}/image",
        "/products/{id}/pictures/{number}",
        "/products/{id}/similar",
        "/livez",
        "/readyz",
        "/metrics",
        "/version",
        "/admin/keys",
        "/admin/keys/{id}",
        "/admin/model",
        "/admin/model/rollback",
        "/admin/reload",
        "/openapi.json",
        "/problems/{code}",
    ];
    TEMPLATES
        .iter()
        .copied()
        .find(|template| *template == path)
        .unwrap_or("static")
}

/// One request from its head to its answer; dropped before its end when the client leaves.
struct Visit {
    method: &'static str,
    route: &'static str,
    started: Instant,
    user_agent: Option<String>,
    /// The log's.
    span: Span,
    /// The trace's.
    trace: Span,
    ended: bool,
}

impl Visit {
    fn begin(method: &'static str, route: &'static str) -> Self {
        metrics::gauge!(IN_FLIGHT_METRIC).increment(1.0);
        Self {
            method,
            route,
            started: Instant::now(),
            user_agent: None,
            span: Span::none(),
            trace: Span::none(),
            ended: false,
        }
    }

    fn end(&mut self, status: u16, bytes: Option<u64>) {
        self.ended = true;
        let elapsed = self.started.elapsed();
        let (method, route) = (self.method, self.route);
        metrics::gauge!(IN_FLIGHT_METRIC).decrement(1.0);
        metrics::counter!(REQUESTS_METRIC, "method" => method, "route" => route, "status" => status.to_string())
            .increment(1);
        metrics::histogram!(DURATION_METRIC, "method" => method, "route" => route)
            .record(elapsed.as_secs_f64());
        let code = i64::from(status);
        self.trace.record("http.response.status_code", code);
        if status >= 500 {
            self.trace.record("otel.status_code", "error");
        }
        let ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
        let user_agent = self.user_agent.as_deref();
        if is_watch(route) && status < 400 {
            tracing::debug!(parent: &self.span, status, ms, bytes, user_agent, "answered");
        } else {
            tracing::info!(parent: &self.span, status, ms, bytes, user_agent, "answered");
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.ended {
            self.end(CLIENT_LEFT, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_as_the_standard_has_it() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = |text: &str| assert_eq!(trace_id(text), Some(trace), "{text}");
        good("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        good("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later-fields");
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn request_ids_are_taken_when_sane() {
        let id = |value: &str| {
            request_id(&HeaderMap::from_iter([(
                REQUEST_ID,
                HeaderValue::from_str(value).expect("a header"),
            )]))
        };
        assert_eq!(id("abc-1.2_3:4"), "abc-1.2_3:4");
        for bad in ["", "a b", "a\"b", &"x".repeat(129)] {
            assert_eq!(
                uuid::Uuid::parse_str(&id(bad))
                    .expect("a new one")
                    .get_version_num(),
                7,
                "{bad}"
            );
        }
    }

    #[test]
    fn every_route_of_the_document_has_a_template() {
        for path in crate::http::openapi::document(&crate::domain::KnownAttributes::default())
            .paths
            .paths
            .keys()
        {
            assert_eq!(template(path), path);
        }
    }
}
