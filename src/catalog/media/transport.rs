//! How a bucket is asked: HTTP/1.1 by hyper, TLS by rustls with ring, as everything else here.
//!
//! The crate that speaks S3 ([`object_store`]) brings a client of its own, and with it a second
//! provider of TLS. This one knows no proxies and no time-outs but that of a connection:
//! [`bucket`](super::bucket) bounds what it asks.

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector as TcpConnector};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

/// For a connection over TCP.
const CONNECT: Duration = Duration::from_secs(2);
/// A connection that nobody has used for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_CONNECTIONS: usize = 32;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answer<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Makes clients.
#[derive(Clone)]
pub(super) struct Transport(Arc<ClientConfig>);

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl Transport {
    /// `roots`: a file of certificates that are trusted in place of the usual ones.
    ///
    /// # Errors
    /// In words, when the file cannot be read or has none.
    pub(super) fn new(roots: Option<&Path>) -> Result<Self, String> {
        let mut trusted = RootCertStore::empty();
        if let Some(path) = roots {
            let wrong = |error: String| format!("{}: {error}", path.display());
            let all = CertificateDer::pem_file_iter(path).map_err(|e| wrong(e.to_string()))?;
            for certificate in all {
                let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
                trusted.add(certificate).map_err(|e| wrong(e.to_string()))?;
            }
            if trusted.is_empty() {
                return Err(wrong("it holds no certificate".to_owned()));
            }
        } else {
            trusted.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

impl HttpConnector for Transport {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        let connector = Connector {
            tcp,
            tls: TlsConnector::from(Arc::clone(&self.0)),
            plain: plain.as_deref() == Some("true"),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Ok(HttpClient::new(Asked(client)))
    }
}

/// A client.
struct Asked(Client<Connector, HttpRequestBody>);

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}

impl HttpService for Asked {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let answer = self.0.request(request).await.map_err(failed)?;
            let (head, body) = answer.into_parts();
            let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
            Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
        })
    }
}

/// Each of these may be tried again.
fn failed(error: ClientError) -> HttpError {
    let kind = if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error)
}

#[derive(Clone)]
struct Connector {
    tcp: TcpConnector,
    tls: TlsConnector,
    /// Whether an address may be `http://`.
    plain: bool,
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Answer<Stream, BoxError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let https = to.scheme_str() == Some("https");
        if !https && !self.plain {
            let refused = "http:// without TLS is used only where AWS_ALLOW_HTTP is true";
            return Box::pin(std::future::ready(Err(refused.into())));
        }
        let host = to.host().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        let (connecting, tls) = (self.tcp.call(to), self.tls.clone());
        Box::pin(async move {
            let tcp = connecting.await?.into_inner();
            let stream: Box<dyn Socket> = if https {
                Box::new(tls.connect(ServerName::try_from(host)?, tcp).await?)
            } else {
                Box::new(tcp)
            };
            Ok(TokioIo::new(stream))
        })
    }
}

/// A connection, with TLS or without.
type Stream = TokioIo<Box<dyn Socket>>;

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

impl Connection for Box<dyn Socket> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
