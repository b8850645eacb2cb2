//! Pictures from web addresses: fetching them.
//!
//! [`Resolver`] looks at every IP address before it is connected to, with what [`PictureHosts`] says
//! of the host. ureq connects to what the resolver gave it and does not resolve again. Redirects are
//! followed here, not by ureq, so that each address passes the same checks.
//!
//! A reason holds nothing of an answer but its status, so that no answer can be read through it.

use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ureq::config::Config;
use ureq::http::{HeaderMap, Uri, header};
use ureq::unversioned::resolver::{self, DefaultResolver, ResolvedSocketAddrs};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Timeout};

use super::LARGEST;
use super::hosts::{Host, PictureHosts, Refusal, Target, parse_port, split_port};

type Response = ureq::http::Response<ureq::Body>;

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

/// What a fetch may cost.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// To find the host, and then to connect to it.
    connect: Duration,
    /// From the first connection to the last byte, redirects included.
    total: Duration,
    bytes: u64,
    redirects: usize,
}

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(20),
    bytes: LARGEST,
    redirects: 3,
};

/// Fetches pictures from web addresses. A clonable handle; clones share connections.
#[derive(Clone)]
pub struct Remote {
    hosts: PictureHosts,
    agent: Agent,
    limits: Limits,
}

/// Why a picture did not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RemoteError {
    /// Names the host and what is wrong, for whoever runs the shop.
    pub reason: String,
    /// Whether another try later may succeed: the host was not reached, took too long, or said that
    /// it cannot now.
    pub again: bool,
}

impl RemoteError {
    fn lasting(reason: impl fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
            again: false,
        }
    }

    fn passing(reason: impl fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
            again: true,
        }
    }
}

impl Remote {
    pub fn new(hosts: PictureHosts) -> Self {
        Self::with(hosts, LIMITS, DefaultResolver::default())
    }

    fn with(hosts: PictureHosts, limits: Limits, names: impl resolver::Resolver) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy would resolve names by itself.
            .proxy(None)
            .user_agent(concat!("aglet/", env!("CARGO_PKG_VERSION")))
            .accept("image/*")
            // None: pictures are compressed already.
            .accept_encoding("")
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_global(Some(limits.total))
            .build();
        let resolver = Resolver {
            hosts: hosts.clone(),
            names,
        };
        Self {
            hosts,
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver),
            limits,
        }
    }

    /// The bytes at a web address, which may be a picture. Blocking.
    ///
    /// # Errors
    /// When the address may not be fetched, or nothing came from there.
    pub fn get(&self, address: &str) -> Result<Bytes, RemoteError> {
        let target = self.hosts.target(address).map_err(RemoteError::lasting)?;
        let host = target.host.clone();
        self.fetch(target).map_err(|error| RemoteError {
            reason: format!("{host}: {}", error.reason),
            ..error
        })
    }

    fn fetch(&self, mut target: Target) -> Result<Bytes, RemoteError> {
        let begun = Instant::now();
        for redirects in 0..=self.limits.redirects {
            let mut request = self.agent.get(&target.uri);
            // The first request has the agent's time: TLS is set up once for all such requests.
            if redirects > 0 {
                let left = self.limits.total.saturating_sub(begun.elapsed());
                request = request.config().timeout_global(Some(left)).build();
            }
            let response = request.call().map_err(|error| self.failed(error))?;
            let status = response.status();
            match status.as_u16() {
                200 | 203 => return self.receive(response),
                301 | 302 | 303 | 307 | 308 => {
                    target = self.follow(&target, response.headers())?;
                }
                408 | 425 | 429 | 500..=599 => {
                    return Err(RemoteError::passing(format!("answered {status}")));
                }
                _ => return Err(RemoteError::lasting(format!("answered {status}"))),
            }
        }
        let most = self.limits.redirects;
        Err(RemoteError::lasting(format!(
            "redirects more than {most} times"
        )))
    }

    /// Where a redirect leads to, checked as the first address was.
    fn follow(&self, from: &Target, headers: &HeaderMap) -> Result<Target, RemoteError> {
        let location = headers.get(header::LOCATION);
        let location = location.and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        let location =
            location.ok_or_else(|| RemoteError::lasting("redirects without an address"))?;
        // The other host is part of the answer: it is not named.
        let refused = |why: Refusal| RemoteError::lasting(format!("redirects, but there {why}"));
        let to = self.hosts.target(&absolute(&from.uri, location));
        let to = to.map_err(|error| refused(error.why))?;
        if from.uri.scheme_str() == Some("https") && to.uri.scheme_str() != Some("https") {
            return Err(refused(Refusal::Downgrade));
        }
        Ok(to)
    }

    fn receive(&self, response: Response) -> Result<Bytes, RemoteError> {
        let most = self.limits.bytes;
        let too_large = || RemoteError::lasting(format!("the picture is larger than {most} bytes"));
        if response.body().content_length() > Some(most) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let reader = response.into_body().into_reader();
        reader
            .take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| self.failed(error.into()))?;
        if bytes.len() as u64 > most {
            return Err(too_large());
        }
        Ok(bytes.into())
    }

    /// An error of ureq without what the other side said.
    fn failed(&self, error: ureq::Error) -> RemoteError {
        let within = |limit: Duration| humantime::format_duration(limit);
        match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                let limit = within(self.limits.connect);
                RemoteError::passing(format!("is not reached within {limit}"))
            }
            ureq::Error::Timeout(_) => {
                let limit = within(self.limits.total);
                RemoteError::passing(format!("the picture did not come within {limit}"))
            }
            ureq::Error::HostNotFound => RemoteError::passing("is not found"),
            // The kind alone: TLS puts what it was sent into the text.
            ureq::Error::Io(error) => {
                RemoteError::passing(format!("the connection failed ({})", error.kind()))
            }
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
                RemoteError::passing("there is no secure connection")
            }
            ureq::Error::ConnectionFailed => RemoteError::passing("the connection failed"),
            ureq::Error::Other(why) => match why.downcast::<Refusal>() {
                Ok(why) => RemoteError::lasting(why),
                Err(_) => RemoteError::passing("the connection failed"),
            },
            _ => RemoteError::lasting("the answer is not HTTP"),
        }
    }
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
mod tests {
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
    use http_body::Frame;
    use tokio::time::Sleep;

    use super::super::hosts::Class;
    use super::super::hosts::tests::hosts;
    use super::*;

    const PICTURE: &[u8] = b"\x89PNG and more";
    const SHORT: Limits = Limits {
        total: Duration::from_millis(700),
        bytes: 100_000,
        ..LIMITS
    };

    fn remote(hosts: PictureHosts) -> Remote {
        Remote::with(hosts, SHORT, DefaultResolver::default())
    }

    /// A server on 127.0.0.1 for the rest of the process.
    fn serve(router: Router) -> u16 {
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
        assert!(error.again, "{error}");

        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let nobody = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let refused = super::tests::remote(hosts(&[&nobody])).get(&format!("http://{nobody}/"));
        let refused = refused.expect_err("nobody is there");
        let said = "127.0.0.1: the connection failed (connection refused)";
        assert_eq!((refused.reason.as_str(), refused.again), (said, true));
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
            let to = remote.follow(from, &headers);
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
