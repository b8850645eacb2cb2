//! The loop that accepts connections, and its end: no new ones, requests in work are answered, within a bound.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// For a request's head to arrive; also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After a failed accept (no file descriptors left): time for connections to close.
const BREATH: Duration = Duration::from_millis(100);

/// Serves until `shutdown` completes, then waits at most `drain` for the requests in work. Returns how many connections
/// were still open then and have been closed.
///
/// HTTP/1.1 only: storefronts reach the service through a proxy that speaks the rest.
///
/// # Errors
/// When the listener has no address any more, which does not happen to one that is bound.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) -> std::io::Result<usize> {
    tracing::info!(address = %listener.local_addr()?, "listening");
    // Every connection holds a receiver: the channel is the count of open connections and their bell.
    let (bell, listening) = watch::channel(());
    let mut connections = tokio::task::JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), listening.clone()));
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
    let drained = tokio::time::timeout(drain, async { while connections.join_next().await.is_some() {} }).await;
    let left = connections.len();
    if drained.is_err() {
        tracing::warn!(left, "the time to drain is over; connections are closed");
        connections.shutdown().await;
    }
    Ok(left)
}

async fn connection(stream: TcpStream, router: Router, mut bell: watch::Receiver<()>) {
    // Answers are small and written at once: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(ServiceOf(router));
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
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The router over hyper's own body type.
#[derive(Clone)]
struct ServiceOf(Router);

impl tower::Service<hyper::Request<hyper::body::Incoming>> for ServiceOf {
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = axum::routing::future::RouteFuture<Infallible>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: hyper::Request<hyper::body::Incoming>) -> Self::Future {
        tower::Service::call(&mut self.0, request.map(axum::body::Body::new))
    }
}
