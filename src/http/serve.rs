//! The loop that accepts connections, and its end: no new ones, requests in work are answered,
//! within a bound.
//!
//! A request that is answered before its body is read (too large, of a wrong type, one too many)
//! leaves a client that is still sending. Were the connection closed then, the system would reset
//! it, and the client might lose the answer with it; so what is left of a body is read and thrown
//! away for a while.
//!
//! HTTP/1.1 and HTTP/2, over TLS where there is a certificate; without one HTTP/2 by prior knowledge
//! (RFC 9113, section 3.3).

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use super::layers::client::Peer;
use super::moving::Moving;
use super::tls::Tls;

/// For a request's head to arrive; also how long an idle connection is kept: longer than the 60 s
/// of common proxies, since a proxy that is not the one to close sends its next request into a
/// connection that has just gone.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// What is read at most of a body that nobody wants any more.
const REST_TIME: Duration = Duration::from_secs(2);
const REST_BYTES: usize = 64 << 20;
/// Requests that an HTTP/2 connection may have in work.
const STREAMS: u32 = 128;
/// Bytes of the heads of one HTTP/2 request, and of an answer that waits for its client.
const HEADS: u32 = 64 << 10;
const UNSENT: usize = 64 << 10;
/// An HTTP/2 client is asked after this time whether it is still there, and has as long to answer.
const STILL_THERE: Duration = Duration::from_secs(30);
/// For the handshake, and for the first head of a connection to arrive: who connects has something to
/// ask.
const FIRST_HEAD: Duration = Duration::from_secs(10);
/// Files that the rest of the process may have open beside connections.
const OTHER_FILES: u64 = 256;
/// After a failed accept (no file descriptors left): time for connections to close.
const BREATH: Duration = Duration::from_millis(100);

/// Serves until `shutdown` completes, then waits at most `drain` for the requests in work. Returns
/// how many connections were still open then and have been closed.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    shutdown: impl Future<Output = ()>,
    bounds: Bounds,
) -> usize {
    let most = bounds.connections.max(1);
    let open = Arc::new(OpenConnections::default());
    // Every connection holds a receiver: the channel is the count of open connections and their
    // bell.
    let (bell, listening) = watch::channel(());
    let mut connections = tokio::task::JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if open.count() >= most && !open.close_idle() {
                        tracing::debug!(most, "a connection is refused: as many are open as may be");
                        continue;
                    }
                    let service = ServiceOf {
                        router: router.clone(),
                        peer: Peer(peer.ip()),
                        connection: Arc::new(Connection::new()),
                    };
                    let place = open.enter(&service.connection);
                    let tls = tls.as_ref().map(|tls| tls.acceptor());
                    connections.spawn(connection(stream, tls, service, listening.clone(), place));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(BREATH).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    tracing::info!(open = connections.len(), "draining");
    bell.send_replace(());
    let drained = tokio::time::timeout(bounds.drain, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    let left = connections.len();
    if drained.is_err() {
        tracing::warn!(left, "the time to drain is over; connections are closed");
        connections.shutdown().await;
    }
    left
}

/// How much the loop takes on, and how it ends.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections open at a time. One more closes the one that has been idle for longest, or is
    /// refused where none is.
    pub connections: usize,
    /// What requests in work get to finish.
    pub drain: Duration,
}

impl Bounds {
    /// So many connections, or as many as the system has files for.
    #[must_use]
    pub fn within_files(connections: usize, drain: Duration) -> Self {
        let files = crate::util::process::raise_file_limit().unwrap_or(u64::MAX);
        let left = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
        Self {
            connections: connections.min(left.max(1)),
            drain,
        }
    }
}

const CONNECTIONS_METRIC: &str = "aglet_http_connections";

/// Tells the recorder that is installed what the metric of this file means.
pub fn describe_connections() {
    metrics::describe_gauge!(CONNECTIONS_METRIC, "Connections that are open");
}

/// The connections that are open, and since when each is idle.
#[derive(Default)]
struct OpenConnections(Mutex<HashMap<u64, Arc<Connection>>>);

/// One connection.
struct Connection {
    activity: Mutex<Activity>,
    close: Notify,
}

struct Activity {
    /// Whether a head has arrived.
    asked: bool,
    /// Requests that are being answered.
    in_work: usize,
    /// Since when there is none.
    idle_since: Instant,
}

impl Connection {
    fn new() -> Self {
        Self {
            activity: Mutex::new(Activity {
                asked: false,
                in_work: 0,
                idle_since: Instant::now(),
            }),
            close: Notify::new(),
        }
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: something is asked on it.
    fn idle_since(&self) -> Option<Instant> {
        let activity = self.activity();
        (activity.in_work == 0).then_some(activity.idle_since)
    }

    /// Comes back when the first head has not arrived in its time, or nothing was asked for long.
    async fn forsaken(&self) {
        tokio::time::sleep(FIRST_HEAD).await;
        if !self.activity().asked {
            return;
        }
        loop {
            let idle = self.idle_since().map_or(Duration::ZERO, |at| at.elapsed());
            match HEAD_TIMEOUT
                .checked_sub(idle)
                .filter(|left| !left.is_zero())
            {
                Some(left) => tokio::time::sleep(left).await,
                None => return,
            }
        }
    }
}

/// A connection's entry; leaves when dropped.
struct Entry {
    open: Arc<OpenConnections>,
    number: u64,
}

impl OpenConnections {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> usize {
        self.lock().len()
    }

    fn enter(self: &Arc<Self>, connection: &Arc<Connection>) -> Entry {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Arc::clone(connection));
        metrics::gauge!(CONNECTIONS_METRIC).increment(1.0);
        Entry {
            open: Arc::clone(self),
            number,
        }
    }

    /// Asks the connection that has been idle for longest to close, and forgets it.
    fn close_idle(&self) -> bool {
        let mut open = self.lock();
        let idle = open
            .iter()
            .filter_map(|(number, connection)| Some((connection.idle_since()?, *number)));
        let Some((_, longest)) = idle.min() else {
            return false;
        };
        if let Some(connection) = open.remove(&longest) {
            connection.close.notify_one();
        }
        true
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.open.lock().remove(&self.number);
        metrics::gauge!(CONNECTIONS_METRIC).decrement(1.0);
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<tokio_rustls::TlsAcceptor>,
    service: ServiceOf,
    bell: watch::Receiver<()>,
    entry: Entry,
) {
    // Answers are small and written at once: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return converse(stream, service, bell, entry).await;
    };
    match tokio::time::timeout(FIRST_HEAD, tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, service, bell, entry).await,
        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: ServiceOf,
    mut bell: watch::Receiver<()>,
    _entry: Entry,
) {
    let state = Arc::clone(&service.connection);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADS)
        .max_send_buf_size(UNSENT)
        .keep_alive_interval(STILL_THERE)
        .keep_alive_timeout(STILL_THERE);
    let io = TokioIo::new(Moving::new(stream));
    let connection = builder.serve_connection(io, TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = async {
            tokio::select! {
                _ = bell.changed() => {}
                () = state.close.notified() => {}
            }
        } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = state.forsaken() => {
            connection.as_mut().graceful_shutdown();
            // What is still to be sent is sent; who has not even begun to ask is not waited for.
            if !state.activity().asked {
                return;
            }
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended early");
    }
}

/// The router over hyper's own body type.
#[derive(Clone)]
struct ServiceOf {
    router: Router,
    peer: Peer,
    connection: Arc<Connection>,
}

/// While one is held, its connection is busy.
struct Busy(Arc<Connection>);

impl Busy {
    fn new(connection: &Arc<Connection>) -> Self {
        let mut activity = connection.activity();
        activity.asked = true;
        activity.in_work += 1;
        drop(activity);
        Self(Arc::clone(connection))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut activity = self.0.activity();
        activity.in_work -= 1;
        activity.idle_since = Instant::now();
    }
}

impl tower::Service<hyper::Request<Incoming>> for ServiceOf {
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: hyper::Request<Incoming>) -> Self::Future {
        // RFC 9112, section 3.2: a proxy in front may have gone by another host than we would.
        let hosts = request.headers().get_all(header::HOST).iter().count();
        if request.version() == Version::HTTP_11 && hosts != 1 {
            let close = [(header::CONNECTION, "close")];
            let refused = (StatusCode::BAD_REQUEST, close).into_response();
            return Box::pin(async move { Ok(refused) });
        }
        // Whoever asked leave to send has not begun, and reading would be the leave.
        let request = if request.body().is_end_stream() || waits_for_leave(request.headers()) {
            request.map(Body::new)
        } else {
            request.map(|body| Body::new(Wanted(Some(body))))
        };
        let mut request = request;
        request.extensions_mut().insert(self.peer);
        let busy = Busy::new(&self.connection);
        let answer = tower::Service::call(&mut self.router, request);
        Box::pin(async move {
            let answer = answer.await;
            drop(busy);
            answer
        })
    }
}

fn waits_for_leave(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// A request's body, whose rest is read to no purpose when it is dropped before its end.
struct Wanted(Option<Incoming>);

impl hyper::body::Body for Wanted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let Some(body) = self.0.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        // Without a runtime the connection has ended too.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(REST_TIME, read_rest(body)));
        }
    }
}

async fn read_rest(mut body: Incoming) {
    let mut left = REST_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(less) => left = less,
            None => return,
        }
    }
}
