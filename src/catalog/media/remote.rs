//! What lies at web addresses, pictures before all: fetching it.
//!
//! [`Resolver`] looks at every IP address before it is connected to, with what [`PictureHosts`] says
//! of the host. ureq connects to what the resolver gave it and does not resolve again. Redirects are
//! followed here, not by ureq, so that each address passes the same checks.
//!
//! [`Remote::fetch_to`] makes one try. What is tried again, when, and how much at a time, is
//! [`web`](super::web)'s for pictures.
//!
//! A reason holds nothing of an answer but its status and its length, so that no answer can be read
//! through it.

use std::fmt;
use std::io::{self, Read as _, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::{HeaderMap, HeaderName, Uri, header};
use ureq::unversioned::resolver::{self, DefaultResolver, ResolvedSocketAddrs};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Timeout};

use super::LARGEST;
use super::hosts::{Host, PictureHosts, Refusal, Target, parse_port, split_port};

type Response = ureq::http::Response<ureq::Body>;

/// The longest validator that is kept, in bytes.
const LONGEST_VALIDATOR: usize = 512;
/// Read from a connection at a time.
const PIECE: usize = 64 << 10;
/// Connections that are kept open for the next fetch: of all hosts, and of one.
const IDLE_CONNECTIONS: usize = 64;
const IDLE_CONNECTIONS_PER_HOST: usize = 8;

/// Gives ureq only addresses that may be connected to.
#[derive(Debug)]
struct Resolver<R> {
    hosts: PictureHosts,
    names: R,
}

impl<R: resolver::Resolver> resolver::Resolver for Resolver<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let refused = |why: Refusal| ureq::Error::Other(Box::new(why));
        let (host, port) = split_port(uri.authority().map_or("", |a| a.as_str()));
        let host = Host::parse(host).ok_or_else(|| refused(Refusal::Host))?;
        let port = match (port, uri.scheme_str()) {
            (Some(port), _) => parse_port(port).ok_or_else(|| refused(Refusal::Port))?,
            (None, Some("https")) => 443,
            (None, _) => 80,
        };
        let trust = self.hosts.trust(&host, port).map_err(refused)?;
        let found = match host {
            Host::Address(address) => {
                let mut found = self.empty();
                found.push(SocketAddr::new(address, port));
                found
            }
            Host::Name(_) => self.names.resolve(uri, config, timeout)?,
        };
        let mut allowed = self.empty();
        let mut reason = None;
        for address in &found {
            match trust.allows(address.ip()) {
                Ok(()) => allowed.push(*address),
                Err(why) => reason = reason.or(Some(why)),
            }
        }
        match reason {
            _ if !allowed.is_empty() => Ok(allowed),
            Some(why) => Err(refused(why)),
            None => Err(ureq::Error::HostNotFound),
        }
    }
}

/// What is fetched, and what it may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::catalog) struct FetchOptions {
    /// In a reason: "the picture".
    pub what: &'static str,
    /// The request's `Accept`.
    pub accept: &'static str,
    /// Whether the answer may be compressed on its way. It is unpacked here, and its bytes count
    /// as they are then.
    pub gzip: bool,
    /// To find the host, and then to connect to it.
    pub connect: Duration,
    /// From the first connection to the last byte, redirects included.
    pub total: Duration,
    pub bytes: u64,
    pub redirects: usize,
}

impl FetchOptions {
    pub(in crate::catalog) const PICTURE: Self = Self {
        what: "the picture",
        accept: "image/*",
        // Pictures are compressed already.
        gzip: false,
        connect: Duration::from_secs(5),
        total: Duration::from_secs(20),
        bytes: LARGEST,
        redirects: 3,
    };
}

/// What a server said by which it knows again what it sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::catalog) struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

impl Validators {
    /// Whether there is nothing to ask with.
    pub(in crate::catalog) fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// What a catalog notes of a picture that is so many bytes: how to ask for it again.
    pub(in crate::catalog) fn stamp(&self, bytes: usize) -> String {
        if self.is_empty() {
            return bytes.to_string();
        }
        let Self {
            etag,
            last_modified,
        } = self;
        serde_json::json!([bytes, etag, last_modified]).to_string()
    }

    /// What such a note says.
    pub(in crate::catalog) fn of_stamp(stamp: &str) -> Self {
        let noted: Option<(u64, Option<String>, Option<String>)> = serde_json::from_str(stamp).ok();
        let (_, etag, last_modified) = noted.unwrap_or_default();
        Self {
            etag,
            last_modified,
        }
    }

    /// What can go back in a request: visible, and not without bounds.
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            let value = headers.get(name)?.to_str().ok()?.trim();
            let fits = !value.is_empty() && value.len() <= LONGEST_VALIDATOR;
            fits.then(|| value.to_owned())
        };
        Self {
            etag: text(header::ETAG),
            last_modified: text(header::LAST_MODIFIED),
        }
    }
}

/// What came of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::catalog) enum Fetched {
    /// It is what the validators of the request stand for; nothing was written.
    Same,
    /// It was written.
    Body(Body),
}

/// What is known of a body beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::catalog) struct Body {
    pub validators: Validators,
    /// As they were written.
    pub bytes: u64,
    pub content_type: Option<String>,
    /// How the bytes are still encoded; `None` for gzip, which was unpacked.
    pub content_encoding: Option<String>,
}

/// Fetches from web addresses. A clonable handle; clones share connections.
#[derive(Clone)]
pub struct Remote {
    hosts: PictureHosts,
    agent: Agent,
    /// What the agent is set up for.
    usual: FetchOptions,
}

/// Why nothing came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RemoteError {
    /// Names the host and what is wrong, for whoever runs the shop.
    pub reason: String,
    /// Whether another try later may succeed: the host was not reached, took too long, or said that
    /// it cannot now.
    pub again: bool,
    /// For how long the host asks not to be asked.
    pub after: Option<Duration>,
    /// Whether the host did not answer, or not in time: others will fare no better.
    pub silent: bool,
}

impl RemoteError {
    pub(super) fn lasting(reason: impl fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
            again: false,
            after: None,
            silent: false,
        }
    }

    pub(in crate::catalog) fn passing(reason: impl fmt::Display) -> Self {
        Self {
            again: true,
            ..Self::lasting(reason)
        }
    }

    fn silent(reason: impl fmt::Display) -> Self {
        Self {
            silent: true,
            ..Self::passing(reason)
        }
    }

    /// The same with the host before it.
    pub(super) fn of(self, host: &str) -> Self {
        Self {
            reason: format!("{host}: {}", self.reason),
            ..self
        }
    }
}

impl Remote {
    pub fn new(hosts: PictureHosts) -> Self {
        let usual = FetchOptions::PICTURE;
        Self::with(hosts, usual, DefaultResolver::default())
    }

    pub(super) fn with(
        hosts: PictureHosts,
        usual: FetchOptions,
        names: impl resolver::Resolver,
    ) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy would resolve names by itself.
            .proxy(None)
            .user_agent(concat!("aglet/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS_PER_HOST)
            .accept_encoding("")
            .timeout_resolve(Some(usual.connect))
            .timeout_connect(Some(usual.connect))
            .timeout_global(Some(usual.total))
            .build();
        let resolver = Resolver {
            hosts: hosts.clone(),
            names,
        };
        Self {
            hosts,
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver),
            usual,
        }
    }

    /// The host of an address and its port, as errors name them; nobody is asked.
    ///
    /// # Errors
    /// When the address may not be fetched.
    pub(super) fn host(&self, address: &str) -> Result<(String, u16), RemoteError> {
        let target = self.hosts.target(address).map_err(RemoteError::lasting)?;
        let usual = if target.uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = target.uri.port_u16().unwrap_or(usual);
        Ok((target.host, port))
    }

    /// Writes what is at a web address to `to`, unless it is what `known` stands for. One try, which
    /// blocks for `total` at most and a slow `to`. What was written before an error is no whole body.
    ///
    /// # Errors
    /// When the address may not be fetched, nothing or not all came from there, it is larger than
    /// allowed, or `to` fails.
    pub(in crate::catalog) fn fetch_to(
        &self,
        address: &str,
        known: &Validators,
        options: &FetchOptions,
        to: &mut dyn Write,
    ) -> Result<Fetched, RemoteError> {
        let target = self.hosts.target(address).map_err(RemoteError::lasting)?;
        let host = target.host.clone();
        let fetch = Fetch {
            remote: self,
            options,
            known,
        };
        fetch.run(target, to).map_err(|error| error.of(&host))
    }
}

/// One fetch under way.
struct Fetch<'a> {
    remote: &'a Remote,
    options: &'a FetchOptions,
    known: &'a Validators,
}

impl Fetch<'_> {
    fn run(&self, mut target: Target, to: &mut dyn Write) -> Result<Fetched, RemoteError> {
        let options = self.options;
        let begun = Instant::now();
        for redirects in 0..=options.redirects {
            // The first request has the agent's time: TLS is set up once for all such requests.
            let left = (redirects > 0 || *options != self.remote.usual)
                .then(|| options.total.saturating_sub(begun.elapsed()));
            let response = self.ask(&target, left)?;
            let status = response.status();
            match status.as_u16() {
                200 | 203 => return self.receive(response, to).map(Fetched::Body),
                304 if !self.known.is_empty() => return Ok(Fetched::Same),
                301 | 302 | 303 | 307 | 308 => {
                    target = self.follow(&target, response.headers())?;
                }
                408 | 425 | 429 | 500..=599 => {
                    return Err(RemoteError {
                        after: retry_after(response.headers()),
                        ..RemoteError::passing(format!("answered {status}"))
                    });
                }
                _ => return Err(RemoteError::lasting(format!("answered {status}"))),
            }
        }
        let most = options.redirects;
        Err(RemoteError::lasting(format!(
            "redirects more than {most} times"
        )))
    }

    fn ask(&self, target: &Target, left: Option<Duration>) -> Result<Response, RemoteError> {
        let options = self.options;
        let mut request = self.remote.agent.get(&target.uri);
        let known = [
            (header::ACCEPT, Some(options.accept)),
            (header::ACCEPT_ENCODING, options.gzip.then_some("gzip")),
            (header::IF_NONE_MATCH, self.known.etag.as_deref()),
            (
                header::IF_MODIFIED_SINCE,
                self.known.last_modified.as_deref(),
            ),
        ];
        for (name, value) in known {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let Some(left) = left {
            request = request
                .config()
                .timeout_resolve(Some(options.connect))
                .timeout_connect(Some(options.connect))
                .timeout_global(Some(left))
                .build();
        }
        request.call().map_err(|error| self.failed(error))
    }

    /// Where a redirect leads to, checked as the first address was.
    fn follow(&self, from: &Target, headers: &HeaderMap) -> Result<Target, RemoteError> {
        let location = headers.get(header::LOCATION);
        let location = location.and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        let location =
            location.ok_or_else(|| RemoteError::lasting("redirects without an address"))?;
        // The other host is part of the answer: it is not named.
        let refused = |why: Refusal| RemoteError::lasting(format!("redirects, but there {why}"));
        let to = self.remote.hosts.target(&absolute(&from.uri, location));
        let to = to.map_err(|error| refused(error.why))?;
        if from.uri.scheme_str() == Some("https") && to.uri.scheme_str() != Some("https") {
            return Err(refused(Refusal::Downgrade));
        }
        Ok(to)
    }

    fn receive(&self, response: Response, to: &mut dyn Write) -> Result<Body, RemoteError> {
        let FetchOptions {
            what, bytes: most, ..
        } = *self.options;
        let too_large = || RemoteError::lasting(format!("{what} is larger than {most} bytes"));
        let announced = response.body().content_length();
        if announced > Some(most) {
            return Err(too_large());
        }
        let text = |name: HeaderName| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let mut body = Body {
            validators: Validators::of(response.headers()),
            bytes: 0,
            content_type: text(header::CONTENT_TYPE),
            content_encoding: text(header::CONTENT_ENCODING),
        };
        let mut reader = response.into_body().into_reader();
        let mut piece = vec![0; PIECE];
        loop {
            let read = match reader.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broke_off(error, body.bytes, announced)),
            };
            body.bytes += read as u64;
            if body.bytes > most {
                return Err(too_large());
            }
            to.write_all(&piece[..read]).map_err(|error| {
                RemoteError::lasting(format!("{what} came and cannot be kept: {error}"))
            })?;
        }
        if announced.is_some_and(|announced| body.bytes < announced) {
            let error = io::ErrorKind::UnexpectedEof.into();
            return Err(self.broke_off(error, body.bytes, announced));
        }
        Ok(body)
    }

    /// Why the rest of a body did not come.
    fn broke_off(&self, error: io::Error, bytes: u64, announced: Option<u64>) -> RemoteError {
        let what = self.options.what;
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => RemoteError::passing(match announced {
                Some(all) => format!("{what} broke off after {bytes} of {all} bytes"),
                None => format!("{what} broke off after {bytes} bytes"),
            }),
            _ => match error.into() {
                ureq::Error::Decompress(_, _) => {
                    RemoteError::passing(format!("{what} is compressed, and that is broken"))
                }
                error => self.failed(error),
            },
        }
    }

    /// An error of ureq without what the other side said.
    fn failed(&self, error: ureq::Error) -> RemoteError {
        let within = |limit: Duration| humantime::format_duration(limit);
        let FetchOptions {
            what,
            connect,
            total,
            ..
        } = *self.options;
        match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                RemoteError::silent(format!("is not reached within {}", within(connect)))
            }
            ureq::Error::Timeout(_) => {
                RemoteError::silent(format!("{what} did not come within {}", within(total)))
            }
            ureq::Error::HostNotFound => RemoteError::silent("is not found"),
            // The kind alone: TLS puts what it was sent into the text.
            ureq::Error::Io(error) => {
                RemoteError::silent(format!("the connection failed ({})", error.kind()))
            }
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
                RemoteError::silent("there is no secure connection")
            }
            ureq::Error::ConnectionFailed => RemoteError::silent("the connection failed"),
            ureq::Error::Other(why) => match why.downcast::<Refusal>() {
                Ok(why) => RemoteError::lasting(why),
                Err(_) => RemoteError::silent("the connection failed"),
            },
            _ => RemoteError::lasting("the answer is not HTTP"),
        }
    }
}

/// How long a server asks to be left alone, in seconds or until a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(
        at.duration_since(std::time::SystemTime::now())
            .unwrap_or_default(),
    )
}

/// The address that `location` means at `base` (RFC 3986, 5.2); `..` is left to the server.
fn absolute(base: &Uri, location: &str) -> String {
    let before_path = location.split(['/', '?', '#']).next().unwrap_or_default();
    if before_path.contains(':') {
        return location.to_owned();
    }
    let scheme = base.scheme_str().unwrap_or_default();
    if location.starts_with("//") {
        return format!("{scheme}:{location}");
    }
    let authority = base.authority().map_or("", |a| a.as_str());
    let path = base.path();
    let folder = match location.chars().next() {
        Some('/') => "",
        Some('?' | '#') | None => path,
        Some(_) => path.rfind('/').map_or("/", |slash| &path[..=slash]),
    };
    format!("{scheme}://{authority}{folder}{location}")
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};

    use axum::Router;
    use axum::body::Body;
    use axum::http::Request;
    use axum::response::IntoResponse;
    use axum::routing::get;
    use bytes::Bytes;
    use http_body::Frame;
    use tokio::time::Sleep;

    use super::super::hosts::Class;
    use super::super::hosts::tests::hosts;
    use super::*;

    const PICTURE: &[u8] = b"\x89PNG and more";
    pub(in crate::catalog::media) const SHORT: FetchOptions = FetchOptions {
        total: Duration::from_millis(700),
        bytes: 100_000,
        ..FetchOptions::PICTURE
    };

    impl Remote {
        fn get(&self, address: &str) -> Result<Bytes, RemoteError> {
            let mut bytes = Vec::new();
            let none = Validators::default();
            match self.fetch_to(address, &none, &self.usual, &mut bytes)? {
                Fetched::Body(body) => assert_eq!(body.bytes, bytes.len() as u64),
                Fetched::Same => panic!("nothing was known"),
            }
            Ok(bytes.into())
        }
    }

    fn remote(hosts: PictureHosts) -> Remote {
        Remote::with(hosts, SHORT, DefaultResolver::default())
    }

    /// A server on 127.0.0.1 for the rest of the process.
    pub(in crate::catalog::media) fn serve(router: Router) -> u16 {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.set_nonblocking(true).expect("nonblocking");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().expect("runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
                axum::serve(listener, router).await.expect("serve");
            });
        });
        port
    }

    /// The server, and what fetches from it and from nowhere else.
    fn shop(router: Router) -> (Remote, String) {
        let host = format!("127.0.0.1:{}", serve(router));
        (remote(hosts(&[&host])), format!("http://{host}"))
    }

    fn answer(status: u16) -> axum::http::response::Builder {
        axum::http::Response::builder().status(status)
    }

    fn redirect(to: impl Into<String>) -> axum::http::Response<Body> {
        let answer = answer(302).header(header::LOCATION, to.into());
        answer.body(Body::empty()).expect("a redirect")
    }

    /// A body that comes in pieces, with a pause after each; its length is not announced.
    struct Pieces {
        left: usize,
        bytes: usize,
        pause: Duration,
        sleep: Pin<Box<Sleep>>,
    }

    impl Pieces {
        fn body(left: usize, bytes: usize, pause: Duration) -> Body {
            Body::new(Self {
                left,
                bytes,
                pause,
                sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            })
        }
    }

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            if self.sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.left -= 1;
            self.sleep = Box::pin(tokio::time::sleep(self.pause));
            Poll::Ready(Some(Ok(Frame::data(vec![7; self.bytes].into()))))
        }
    }

    /// Answers of a resolver, one for each time that it is asked.
    #[derive(Debug)]
    struct Answers(Mutex<VecDeque<Vec<SocketAddr>>>);

    impl Answers {
        fn new(answers: &[&[&str]], port: u16) -> Self {
            let address = |ip: &&str| SocketAddr::new(ip.parse().expect("an address"), port);
            let answers = answers.iter().map(|a| a.iter().map(address).collect());
            Self(Mutex::new(answers.collect()))
        }
    }

    impl resolver::Resolver for Answers {
        fn resolve(
            &self,
            _: &Uri,
            _: &Config,
            _: NextTimeout,
        ) -> Result<ResolvedSocketAddrs, ureq::Error> {
            let answer = self.0.lock().expect("lock").pop_front().expect("an answer");
            let mut addresses = self.empty();
            for address in answer {
                addresses.push(address);
            }
            Ok(addresses)
        }
    }

    #[test]
    fn a_picture_comes_and_no_more_is_said_than_must_be() {
        let heard = Arc::new(Mutex::new(HeaderMap::new()));
        let server = heard.clone();
        let picture = async move |request: Request<Body>| {
            *server.lock().expect("lock") = request.headers().clone();
            assert_eq!(request.uri(), "/a%20b/%C3%BC.png?w=1");
            ([(header::SET_COOKIE, "a=b")], PICTURE)
        };
        let (remote, shop) = shop(Router::new().route("/{*path}", get(picture)));
        for _ in 0..2 {
            let picture = remote.get(&format!("{shop}/a b/ü.png?w=1#part"));
            assert_eq!(picture.as_deref(), Ok(PICTURE));
            let heard = heard.lock().expect("lock").clone();
            let text = |name: &str| {
                heard
                    .get(name)
                    .map(|v| v.to_str().expect("text").to_owned())
            };
            assert_eq!(text("accept").as_deref(), Some("image/*"));
            let agent = text("user-agent").expect("a user agent");
            assert_eq!(agent, format!("aglet/{}", env!("CARGO_PKG_VERSION")));
            assert_eq!(
                text("host"),
                shop.strip_prefix("http://").map(str::to_owned)
            );
            assert_eq!(heard.len(), 3, "{heard:?}");
        }
    }

    #[test]
    fn a_proxy_of_the_environment_is_not_asked() {
        let test =
            "catalog::media::remote::tests::a_picture_comes_and_no_more_is_said_than_must_be";
        let mut again = std::process::Command::new(std::env::current_exe().expect("this program"));
        again
            .args(["--exact", test])
            .env_remove("NO_PROXY")
            .env_remove("no_proxy");
        for name in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy"] {
            again.env(name, "http://127.0.0.1:9");
        }
        let output = again.output().expect("run");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && printed.contains("1 passed"),
            "{printed}"
        );
    }

    #[test]
    fn what_the_status_says_decides_whether_to_try_again() {
        let says = async |path: axum::extract::Path<u16>| {
            let answer = answer(*path).header("x-secret", "secret");
            answer.body(Body::from("secret")).expect("an answer")
        };
        let (remote, shop) = shop(Router::new().route("/{status}", get(says)));
        for (status, again) in [
            (204, false),
            (304, false),
            (400, false),
            (403, false),
            (404, false),
            (410, false),
            (408, true),
            (425, true),
            (429, true),
            (500, true),
            (503, true),
        ] {
            let error = remote
                .get(&format!("{shop}/{status}"))
                .expect_err("no picture");
            assert_eq!(error.again, again, "{error}");
            let said = format!("127.0.0.1: answered {status} ");
            assert!(error.reason.starts_with(&said), "{error}");
            assert!(!error.reason.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_slow_body_and_a_slow_head_end_by_the_time_limit() {
        let slow = async || Pieces::body(1_000, 1, Duration::from_millis(50)).into_response();
        let silent = async || tokio::time::sleep(Duration::from_mins(1)).await;
        let router = Router::new().route("/slow", get(slow));
        let (remote, shop) = shop(router.route("/silent", get(silent)));
        for path in ["slow", "silent"] {
            let begun = Instant::now();
            let error = remote
                .get(&format!("{shop}/{path}"))
                .expect_err("no picture");
            let said = "127.0.0.1: the picture did not come within 700ms";
            assert_eq!((error.reason.as_str(), error.again), (said, true));
            assert!(begun.elapsed() < Duration::from_secs(5), "{path}");
        }
    }

    #[test]
    fn redirects_have_the_time_of_one_fetch() {
        let slow = async |path: axum::extract::Path<usize>| {
            tokio::time::sleep(Duration::from_millis(300)).await;
            redirect(format!("/{}", *path + 1))
        };
        let (remote, shop) = shop(Router::new().route("/{hop}", get(slow)));
        let error = remote.get(&format!("{shop}/0")).expect_err("no picture");
        assert!(
            error.again && error.reason.contains("did not come within"),
            "{error}"
        );
    }

    #[test]
    fn what_is_too_large_is_not_read_to_its_end() {
        let announced = async || {
            let length = [(header::CONTENT_LENGTH, "100001")];
            // Whoever waits for the body runs out of time.
            (length, Pieces::body(2, 1, Duration::from_mins(1)))
        };
        let counted = async || Pieces::body(usize::MAX, 1_000, Duration::ZERO);
        let packed = async || {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut packed, &vec![0; 200_000]).expect("write");
            let packed = packed.finish().expect("gzip");
            assert!(packed.len() < 10_000);
            ([(header::CONTENT_ENCODING, "gzip")], packed)
        };
        let fits = async || vec![7; 100_000];
        let router = Router::new()
            .route("/announced", get(announced))
            .route("/counted", get(counted))
            .route("/packed", get(packed))
            .route("/fits", get(fits));
        let (remote, shop) = shop(router);
        for path in ["announced", "counted", "packed"] {
            let error = remote
                .get(&format!("{shop}/{path}"))
                .expect_err("too large");
            let said = "127.0.0.1: the picture is larger than 100000 bytes";
            assert_eq!(
                (error.reason.as_str(), error.again),
                (said, false),
                "{path}"
            );
        }
        let fits = remote.get(&format!("{shop}/fits")).expect("a picture");
        assert_eq!(fits.len(), 100_000);
    }

    #[test]
    fn a_connection_that_breaks_may_be_better_later() {
        let cut = async || {
            (
                [(header::CONTENT_LENGTH, "100")],
                Pieces::body(2, 1, Duration::ZERO),
            )
        };
        let (remote, shop) = shop(Router::new().route("/cut", get(cut)));
        let error = remote
            .get(&format!("{shop}/cut"))
            .expect_err("half a picture");
        // The second piece may be lost with the connection.
        let said = ["1", "2"]
            .map(|bytes| format!("127.0.0.1: the picture broke off after {bytes} of 100 bytes"));
        assert!(said.contains(&error.reason) && error.again, "{error}");
        assert!(!error.silent, "the host answers");

        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let nobody = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let refused = super::tests::remote(hosts(&[&nobody])).get(&format!("http://{nobody}/"));
        let refused = refused.expect_err("nobody is there");
        let said = "127.0.0.1: the connection failed (connection refused)";
        assert_eq!((refused.reason.as_str(), refused.again), (said, true));
        assert!(refused.silent);
    }

    #[test]
    fn what_is_known_is_asked_for_and_does_not_come_again() {
        let heard = Arc::new(Mutex::new(HeaderMap::new()));
        let server = heard.clone();
        let picture = async move |request: Request<Body>| {
            let tag = "\"1\"";
            *server.lock().expect("lock") = request.headers().clone();
            if request.headers().get(header::IF_NONE_MATCH) == Some(&tag.parse().expect("a tag")) {
                return answer(304).body(Body::empty()).expect("an answer");
            }
            let answer = answer(200).header(header::ETAG, tag);
            let answer = answer.header(header::LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT");
            let answer = answer.header(header::CONTENT_TYPE, "image/png");
            answer.body(Body::from(PICTURE)).expect("an answer")
        };
        let moved = async || redirect("/1");
        let router = Router::new().route("/1", get(picture));
        let (remote, shop) = shop(router.route("/moved", get(moved)));
        let fetch = |path: &str, known: &Validators| {
            let mut bytes = Vec::new();
            let fetched = remote.fetch_to(&format!("{shop}{path}"), known, &SHORT, &mut bytes);
            (fetched.expect("it comes"), bytes)
        };
        let (first, bytes) = fetch("/1", &Validators::default());
        let Fetched::Body(body) = first else {
            panic!("nothing was known")
        };
        assert_eq!(bytes, PICTURE);
        assert_eq!(body.bytes, PICTURE.len() as u64);
        assert_eq!(body.content_type.as_deref(), Some("image/png"));
        let known = body.validators;
        assert_eq!(known.etag.as_deref(), Some("\"1\""));
        for path in ["/1", "/moved"] {
            assert_eq!(fetch(path, &known), (Fetched::Same, Vec::new()));
            let asked = heard.lock().expect("lock").clone();
            assert_eq!(
                asked
                    .get(header::IF_MODIFIED_SINCE)
                    .map(header::HeaderValue::as_bytes),
                Some(&b"Sun, 06 Nov 1994 08:49:37 GMT"[..])
            );
        }
        let other = Validators {
            etag: Some("\"2\"".to_owned()),
            last_modified: None,
        };
        assert_eq!(fetch("/1", &other).1, PICTURE);
    }

    #[test]
    fn validators_that_could_not_go_back_are_not_kept() {
        let mut headers = HeaderMap::new();
        let long = format!("\"{}\"", "x".repeat(LONGEST_VALIDATOR));
        headers.insert(header::ETAG, long.parse().expect("a value"));
        let odd = header::HeaderValue::from_bytes(b"Sun\xff").expect("a value");
        headers.insert(header::LAST_MODIFIED, odd);
        assert!(Validators::of(&headers).is_empty());
    }

    #[test]
    fn a_note_says_how_to_ask_again() {
        let known = Validators {
            etag: Some("W/\"a\\b\"".to_owned()),
            last_modified: None,
        };
        assert_eq!(Validators::of_stamp(&known.stamp(7)), known);
        let none = Validators::default();
        assert_eq!(none.stamp(7), "7", "as a version before wrote it");
        for stamp in ["7", "", "{}", "[1,2]"] {
            assert_eq!(Validators::of_stamp(stamp), none, "{stamp}");
        }
    }

    #[test]
    fn a_server_says_how_long_to_wait() {
        let after = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().expect("a value"));
            retry_after(&headers)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("soon"), None);
        assert_eq!(
            after("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::ZERO),
            "it is past"
        );
        let later = std::time::SystemTime::now() + Duration::from_secs(100);
        let later = after(&httpdate::fmt_http_date(later)).expect("a date");
        assert!((98..=100).contains(&later.as_secs()), "{later:?}");
    }

    #[test]
    fn what_comes_packed_is_unpacked_and_a_part_of_it_is_an_error() {
        let packed = || {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            let text: String = (0..5_000).map(|n| n.to_string()).collect();
            packed.write_all(text.as_bytes()).expect("write");
            packed.finish().expect("gzip")
        };
        let whole = async move |request: Request<Body>| {
            let asked = request.headers().get(header::ACCEPT_ENCODING);
            assert_eq!(asked.map(header::HeaderValue::as_bytes), Some(&b"gzip"[..]));
            ([(header::CONTENT_ENCODING, "gzip")], packed())
        };
        let half = async move || {
            let mut half = packed();
            half.truncate(half.len() / 2);
            ([(header::CONTENT_ENCODING, "gzip")], half)
        };
        let router = Router::new().route("/whole", get(whole));
        let (remote, shop) = shop(router.route("/half", get(half)));
        let options = FetchOptions {
            what: "the feed",
            accept: "*/*",
            gzip: true,
            ..SHORT
        };
        let fetch = |path: &str, to: &mut dyn Write| {
            let address = format!("{shop}/{path}");
            remote.fetch_to(&address, &Validators::default(), &options, to)
        };
        let mut text = Vec::new();
        let Ok(Fetched::Body(body)) = fetch("whole", &mut text) else {
            panic!("it must come")
        };
        assert_eq!((text.len(), body.bytes), (18_890, 18_890));
        assert_eq!(body.content_encoding, None);
        let error = fetch("half", &mut Vec::new()).expect_err("half a feed");
        assert!(error.again && error.reason.contains("the feed"), "{error}");
        let mut small = [0; 10];
        let full = fetch("whole", &mut &mut small[..]).expect_err("no room");
        assert!(
            !full.again && full.reason.contains("cannot be kept"),
            "{full}"
        );
    }

    #[test]
    fn redirects_are_followed_and_end() {
        let count = Arc::new(AtomicUsize::new(0));
        let counts = count.clone();
        let around = async move || {
            counts.fetch_add(1, Ordering::Relaxed);
            redirect("/around")
        };
        let router = Router::new()
            .route("/a/1", get(async || redirect("2?x")))
            .route("/a/2", get(async || redirect("/3")))
            .route("/3", get(async || redirect("4")))
            .route("/4", get(async || PICTURE))
            .route(
                "/none",
                get(async || answer(302).body(Body::empty()).expect("an answer")),
            )
            .route("/around", get(around));
        let (remote, shop) = shop(router);
        let picture = remote.get(&format!("{shop}/a/1"));
        assert_eq!(picture.as_deref(), Ok(PICTURE));
        let error = remote.get(&format!("{shop}/around")).expect_err("a circle");
        let said = "127.0.0.1: redirects more than 3 times";
        assert_eq!((error.reason.as_str(), error.again), (said, false));
        assert_eq!(count.load(Ordering::Relaxed), 4);
        let error = remote.get(&format!("{shop}/none")).expect_err("nowhere");
        assert_eq!(error.reason, "127.0.0.1: redirects without an address");
    }

    #[test]
    fn a_redirect_to_what_is_not_allowed_is_refused() {
        let asked = Arc::new(AtomicUsize::new(0));
        let asks = asked.clone();
        let other = async move || {
            asks.fetch_add(1, Ordering::Relaxed);
            PICTURE
        };
        let other = serve(Router::new().route("/secret", get(other)));
        let to = async move |path: axum::extract::Path<String>| {
            redirect(match path.as_str() {
                "port" => format!("http://127.0.0.1:{other}/secret"),
                "name" => format!("http://localhost:{other}/secret"),
                "user" => format!("http://secret@127.0.0.1:{other}/secret"),
                "metadata" => "http://169.254.169.254/secret".to_owned(),
                _ => "file:///secret".to_owned(),
            })
        };
        let (remote, shop) = shop(Router::new().route("/{to}", get(to)));
        for (path, why) in [
            ("port", Refusal::OtherPort),
            ("name", Refusal::NotListed),
            ("user", Refusal::User),
            ("metadata", Refusal::NotListed),
            ("file", Refusal::Scheme),
        ] {
            let error = remote
                .get(&format!("{shop}/{path}"))
                .expect_err("not allowed");
            let said = format!("127.0.0.1: redirects, but there {why}");
            assert_eq!((error.reason, error.again), (said, false));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_redirect_through_a_wildcard_does_not_come_into_the_house() {
        let to = async |path: axum::extract::Path<String>| redirect(format!("http://{}/", *path));
        let shop = format!("127.0.0.1:{}", serve(Router::new().route("/{to}", get(to))));
        let remote = remote(hosts(&[&shop, "*"]));
        for to in ["localhost", "127.0.0.1", "10.0.0.1", "169.254.169.254"] {
            let error = remote
                .get(&format!("http://{shop}/{to}"))
                .expect_err("not public");
            assert!(
                error.reason.starts_with("127.0.0.1: it is at a "),
                "{error}"
            );
            assert!(!error.again);
        }
    }

    #[test]
    fn https_does_not_go_on_to_http() {
        let remote = remote(hosts(&["cdn.example", "other.example"]));
        let from = |address: &str| remote.hosts.target(address).expect("allowed");
        let follow = |from: &Target, to: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, to.parse().expect("a value"));
            let fetch = Fetch {
                remote: &remote,
                options: &SHORT,
                known: &Validators::default(),
            };
            let to = fetch.follow(from, &headers);
            to.map(|to| to.uri.to_string()).map_err(|e| e.reason)
        };
        let https = from("https://cdn.example/a/b.png?c");
        let http = from("http://cdn.example/a/b.png");
        let refused = follow(&https, "http://cdn.example/").expect_err("refused");
        assert_eq!(refused, "redirects, but there https does not go on to http");
        for (from, location, to) in [
            (
                &https,
                "https://other.example:443/x",
                "https://other.example/x",
            ),
            (&https, "//other.example/x", "https://other.example/x"),
            (&https, "HTTPS://Other.Example", "https://other.example/"),
            (&https, "/x?y#z", "https://cdn.example/x?y"),
            (&https, "x/y", "https://cdn.example/a/x/y"),
            (&https, "x?at=1:2", "https://cdn.example/a/x?at=1:2"),
            (&https, "?d", "https://cdn.example/a/b.png?d"),
            (&http, "http://cdn.example/x", "http://cdn.example/x"),
            (&http, "https://cdn.example/x", "https://cdn.example/x"),
        ] {
            assert_eq!(follow(from, location).as_deref(), Ok(to), "{location}");
        }
    }

    #[test]
    fn a_wildcard_does_not_come_into_the_house() {
        let port = serve(Router::new().fallback(get(async || PICTURE)));
        let any = format!("*:{port}");
        let remote = remote(hosts(&["*", &any]));
        for (host, class) in [
            ("127.0.0.1", Class::Loopback),
            ("[::1]", Class::Loopback),
            ("localhost", Class::Loopback),
            ("10.0.0.1", Class::Private),
            ("169.254.169.254", Class::LinkLocal),
            ("[::ffff:127.0.0.1]", Class::Loopback),
            ("[::ffff:7f00:1]", Class::Loopback),
            ("0.0.0.0", Class::Reserved),
            ("[::]", Class::Reserved),
        ] {
            for address in [format!("http://{host}:{port}/"), format!("https://{host}/")] {
                let error = remote.get(&address).expect_err("not public");
                let (begin, end) = (format!("{host}: it is at {class}"), "names it");
                let named =
                    error.reason.starts_with("[::ffff:") || error.reason.starts_with(&begin);
                assert!(
                    named && error.reason.contains(&class.to_string()),
                    "{error}"
                );
                let never = class == Class::LinkLocal;
                assert!(
                    !error.again && (never || error.reason.ends_with(end)),
                    "{error}"
                );
            }
        }
        // The system's resolver takes all of these for 127.0.0.1.
        for host in [
            "2130706433",
            "0x7f000001",
            "017700000001",
            "127.1",
            "0177.0.0.1",
            "0x7f.1",
        ] {
            let error = remote
                .get(&format!("http://{host}:{port}/"))
                .expect_err("not public");
            assert_eq!(error, RemoteError::lasting(Refusal::Host), "{host}");
        }
    }

    #[test]
    fn a_host_that_is_named_may_be_in_the_house() {
        let port = serve(Router::new().fallback(get(async || PICTURE)));
        let name = format!("localhost:{port}");
        let shop = remote(hosts(&["*", &name]));
        let picture = shop.get(&format!("http://LocalHost:{port}/1.png"));
        assert_eq!(picture.as_deref(), Ok(PICTURE));
        assert!(shop.get(&format!("http://127.0.0.1:{port}/1.png")).is_err());
    }

    #[test]
    fn what_a_name_leads_to_is_looked_at_each_time() {
        let port = serve(Router::new().fallback(get(async || PICTURE)));
        let host = format!("pictures.example:{port}");
        let address = format!("http://{host}/");
        let answers: &[&[&str]] = &[
            // Nobody else is connected to: there a connection would wait.
            &["169.254.1.1", "127.0.0.1", "fd00:ec2::254"],
            &["127.0.0.1"],
            &["169.254.169.254", "::ffff:169.254.169.254"],
            &[],
        ];
        let names = Answers::new(answers, port);
        let remote = Remote::with(hosts(&[&host]), SHORT, names);
        let first = remote.get(&address);
        assert_eq!(first.as_deref(), Ok(PICTURE));
        let second = remote.get(&address);
        assert_eq!(second.as_deref(), Ok(PICTURE));
        // The open connection of the times before is not used either.
        let third = remote.get(&address).expect_err("refused");
        let said = "pictures.example: it is at a link-local address";
        assert_eq!((third.reason.as_str(), third.again), (said, false));
        let fourth = remote.get(&address).expect_err("nowhere");
        let said = "pictures.example: is not found";
        assert_eq!((fourth.reason.as_str(), fourth.again), (said, true));

        let names = Answers::new(&[&["127.0.0.1"]], port);
        let below = Remote::with(hosts(&[&format!("*.example:{port}")]), SHORT, names);
        let error = below.get(&address).expect_err("not public");
        assert_eq!(
            error.reason,
            "pictures.example: it is at a loopback address, and only a wildcard of the setting \
             picture_hosts names it"
        );
    }

    #[test]
    fn ureq_gets_nothing_for_a_host_that_is_not_allowed() {
        let remote = remote(hosts(&["cdn.example"]));
        let error = remote.agent.get("http://127.0.0.1/").call();
        let Err(ureq::Error::Other(why)) = error else {
            panic!("must be refused")
        };
        assert_eq!(why.downcast_ref(), Some(&Refusal::NotListed));
    }

    #[test]
    fn without_hosts_the_setting_is_named() {
        let none = PictureHosts::default();
        assert!(none.is_empty());
        let error = Remote::new(none)
            .get("https://cdn.example/")
            .expect_err("off");
        assert!(
            error.reason.contains("picture_hosts") && !error.again,
            "{error}"
        );
    }
}
