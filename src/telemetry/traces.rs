//! Traces: spans, sampled, through a bounded queue to a collector by OTLP (protobuf over HTTP).
//!
//! A collector that is slow or gone costs its traces and nothing else: what does not fit into the
//! queue is dropped and counted, and the log says once that it happens and once that it is over.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use metrics::Counter;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingDecision, SamplingResult,
    SdkTracerProvider, ShouldSample, Span, SpanData, SpanExporter, SpanProcessor,
};
use tracing::{Level, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// Spans in memory that the collector has not acknowledged: a few MB.
const QUEUE: usize = 4_096;
/// Spans of one call.
const BATCH: usize = 512;
/// A span waits so long for others.
const DELAY: Duration = Duration::from_secs(2);
/// For one call, and for all tries of one batch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER: u64 = 64 << 10;

const SPANS: &str = "aglet_trace_spans_total";

/// Where traces go, and how many.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceOptions {
    /// The collector, as `http://collector:4318`.
    pub endpoint: String,
    /// The share of the requests that are traced, 0 to 1, where the caller's `traceparent` does not
    /// say.
    pub sample: f64,
}

#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent: {0}")]
pub struct TraceError(#[from] ExporterBuildError);

/// The sending of spans, from a thread of its own.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    pub(super) fn start(options: &TraceOptions) -> Result<Self, TraceError> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .build()
            .into();
        let sending = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Client(agent))
            .with_endpoint(format!("{}/v1/traces", options.endpoint))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            .build()?;
        let queue = Arc::new(Queue::new());
        let exporter = Exporter {
            sending,
            queue: Arc::clone(&queue),
        };
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let batches = BatchSpanProcessor::new(exporter, config);
        // What OTEL_RESOURCE_ATTRIBUTES says goes before.
        let resource = Resource::builder_empty()
            .with_service_name("aglet")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_detector(Box::new(EnvResourceDetector::new()))
            .build();
        let sampler = Requests(Sampler::TraceIdRatioBased(options.sample));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Bounded { batches, queue })
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource)
            .build();
        Ok(Self { provider })
    }

    /// What takes the stages of requests from `tracing`.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("aglet"))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(is_stage).with_max_level_hint(Level::DEBUG))
    }

    /// Sends what waits, for so long at most. Blocks.
    pub fn finish(self, patience: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(patience) {
            tracing::warn!(%error, "the last traces are not delivered");
        }
    }
}

/// Whether a span is a stage of a request: see [`telemetry`](super).
pub(super) fn is_stage(about: &Metadata<'_>) -> bool {
    about.is_span() && *about.level() == Level::DEBUG && about.target().starts_with("aglet")
}

/// Makes a span, which nobody has entered, continue the trace that the headers of a request name;
/// none: it begins one. The trace's id; `None` where there are no traces.
pub fn continued(span: &tracing::Span, caller: Option<&HeaderMap>) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    if let Some(headers) = caller {
        let headers = HeaderExtractor(headers);
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
        // It fails for a span that is not of a trace, which then has no id either.
        let _ = span.set_parent(context);
    }
    let trace = span.context().span().span_context().trace_id();
    (trace != TraceId::INVALID).then(|| trace.to_string())
}

/// A trace begins with a request: what the service does for itself is none.
#[derive(Clone, Debug)]
struct Requests(Sampler);

impl ShouldSample for Requests {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self
            .0
            .should_sample(parent, trace, name, kind, attributes, links);
        if *kind != SpanKind::Server {
            result.decision = SamplingDecision::Drop;
        }
        result
    }
}

/// How many spans are in memory, and what became of the others.
#[derive(Debug)]
struct Queue {
    waiting: AtomicUsize,
    /// Whether the last news were bad.
    failing: AtomicBool,
    sent: Counter,
    dropped: Counter,
    failed: Counter,
}

impl Queue {
    fn new() -> Self {
        metrics::describe_counter!(
            SPANS,
            "Spans that the collector took (sent), that did not fit into the queue (dropped), that \
             could not be delivered (failed)"
        );
        Self {
            waiting: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            sent: metrics::counter!(SPANS, "outcome" => "sent"),
            dropped: metrics::counter!(SPANS, "outcome" => "dropped"),
            failed: metrics::counter!(SPANS, "outcome" => "failed"),
        }
    }

    /// Whether there is room for one more, which it then has.
    fn enter(&self) -> bool {
        let more = |waiting| (waiting < QUEUE).then_some(waiting + 1);
        let entered = self
            .waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .is_ok();
        if !entered {
            self.dropped.increment(1);
        }
        entered
    }

    /// So many were tried.
    fn leave(&self, count: usize, tried: &OTelSdkResult) {
        self.waiting.fetch_sub(count, Ordering::AcqRel);
        match tried {
            Ok(()) => {
                self.sent.increment(count as u64);
                if self.failing.swap(false, Ordering::AcqRel) {
                    tracing::info!("traces are delivered again");
                }
            }
            Err(error) => {
                self.failed.increment(count as u64);
                if !self.failing.swap(true, Ordering::AcqRel) {
                    tracing::warn!(%error, "traces are not delivered; requests are answered all the same");
                }
            }
        }
    }
}

/// Lets spans to their batches while there is room.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    queue: Arc<Queue>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.queue.enter() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

#[derive(Debug)]
struct Exporter {
    sending: opentelemetry_otlp::SpanExporter,
    queue: Arc<Queue>,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let tried = self.sending.export(batch).await;
        self.queue.leave(count, &tried);
        tried
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.sending.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.sending.set_resource(resource);
    }
}

/// The HTTP client that the model's download uses; it blocks, on the thread that sends.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.run(request.map(|body| body.to_vec()))?;
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }
}

impl HttpClient for Client {
    // As async_trait writes it.
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(std::future::ready(self.send(request)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(share: f64, kind: &SpanKind) -> bool {
        let trace = TraceId::from_bytes([7; 16]);
        let sampler = Requests(Sampler::TraceIdRatioBased(share));
        let result = sampler.should_sample(None, trace, "x", kind, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn a_trace_begins_with_a_request_and_the_share_decides() {
        assert!(sampled(1.0, &SpanKind::Server));
        assert!(!sampled(0.0, &SpanKind::Server));
        assert!(!sampled(1.0, &SpanKind::Internal));
    }

    #[test]
    fn the_queue_takes_so_many_spans_and_no_more() {
        let queue = Queue::new();
        for _ in 0..QUEUE {
            assert!(queue.enter());
        }
        assert!(!queue.enter());
        queue.leave(2, &Ok(()));
        assert!(queue.enter() && queue.enter() && !queue.enter());
    }
}
