//! The loop that accepts connections, and its end: no new ones, requests in work are answered,
//! within a bound.
//!
//! A request that is answered before its body is read (too large, of a wrong type, one too many)
//! leaves a client that is still sending. Were the connection closed then, the system would reset
//! it, and the client might lose the answer with it; so what is left of a body is read and thrown
//! away for a while.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// For a request's head to arrive; also how long an idle connection is kept: longer than the 60 s
/// of common proxies, since a proxy that is not the one to close sends its next request into a
/// connection that has just gone.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// What is read at most of a body that nobody wants any more.
const REST_TIME: Duration = Duration::from_secs(2);
const REST_BYTES: usize = 64 << 20;
/// For the first head of a connection to arrive: who connects has something to ask.
const FIRST_HEAD: Duration = Duration::from_secs(10);
/// Files that the rest of the process may have open beside connections.
const OTHER_FILES: u64 = 256;
/// After a failed accept (no file descriptors left): time for connections to close.
const BREATH: Duration = Duration::from_millis(100);

/// Serves until `shutdown` completes, then waits at most `drain` for the requests in work. Returns
/// how many connections were still open then and have been closed.
///
/// HTTP/1.1 only: storefronts reach the service through a proxy that speaks the rest.
///
/// # Errors
/// When the listener has no address any more, which does not happen to one that is bound.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    bounds: Bounds,
) -> std::io::Result<usize> {
    let most = bounds.connections.max(1);
    tracing::info!(address = %listener.local_addr()?, "listening");
    let open = Arc::new(OpenConnections::default());
    // Every connection holds a receiver: the channel is the count of open connections and their
    // bell.
    let (bell, listening) = watch::channel(());
    let mut connections = tokio::task::JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if open.count() >= most && !open.close_idle() {
                        tracing::debug!(most, "a connection is refused: as many are open as may be");
                        continue;
                    }
                    let place = open.enter();
                    connections.spawn(connection(stream, router.clone(), listening.clone(), place));
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
    Ok(left)
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
    started: Instant,
    /// Milliseconds after `started` since when nothing is asked on it; [`BUSY`] while something is.
    idle_since: AtomicU64,
    /// Whether a head has arrived.
    asked: AtomicBool,
    close: Notify,
}

const BUSY: u64 = u64::MAX;

/// A connection's entry; leaves when dropped.
struct Entry {
    open: Arc<OpenConnections>,
    number: u64,
    connection: Arc<Connection>,
}

impl OpenConnections {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> usize {
        self.lock().len()
    }

    fn enter(self: &Arc<Self>) -> Entry {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            started: Instant::now(),
            idle_since: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            close: Notify::new(),
        });
        self.lock().insert(number, Arc::clone(&connection));
        metrics::gauge!(CONNECTIONS_METRIC).increment(1.0);
        Entry {
            open: Arc::clone(self),
            number,
            connection,
        }
    }

    /// Asks the connection that has been idle for longest to close, and forgets it.
    fn close_idle(&self) -> bool {
        let mut open = self.lock();
        let idle = open.iter().filter_map(|(number, connection)| {
            let since = connection.idle_since.load(Ordering::Acquire);
            let since = connection.started.checked_add(Duration::from_millis(since));
            since
                .filter(|since| *since <= Instant::now())
                .map(|since| (since, *number))
        });
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
    router: Router,
    mut bell: watch::Receiver<()>,
    entry: Entry,
) {
    // Answers are small and written at once: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let state = Arc::clone(&entry.connection);
    let service = TowerToHyperService::new(ServiceOf(router, Arc::clone(&state)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = bell.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = state.close.notified() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = nothing_asked(&state) => return,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Comes back when the first head has not arrived in its time.
async fn nothing_asked(connection: &Connection) {
    tokio::time::sleep(FIRST_HEAD).await;
    if connection.asked.load(Ordering::Acquire) {
        std::future::pending::<()>().await;
    }
}

/// The router over hyper's own body type.
#[derive(Clone)]
struct ServiceOf(Router, Arc<Connection>);

/// While one is held, its connection is busy.
struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        let since = self.0.started.elapsed().as_millis();
        let since = u64::try_from(since).unwrap_or(BUSY - 1);
        self.0.idle_since.store(since, Ordering::Release);
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
        // Whoever asked leave to send has not begun, and reading would be the leave.
        let request = if request.body().is_end_stream() || waits_for_leave(request.headers()) {
            request.map(Body::new)
        } else {
            request.map(|body| Body::new(Wanted(Some(body))))
        };
        self.1.asked.store(true, Ordering::Release);
        self.1.idle_since.store(BUSY, Ordering::Release);
        let busy = Busy(Arc::clone(&self.1));
        let answer = tower::Service::call(&mut self.0, request);
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
