//! Pictures of many hosts at a time, each within bounds.
//!
//! A fetch waits for its host, which has [`WebOptions::per_host`] at a time, then for one of the
//! threads, which all hosts share, and for memory. A slow host holds its own fetches alone. What may
//! pass is tried again after a pause that grows, or the one that the host asks for. A host that does
//! not answer again and again is left alone for a while, twice as long each time: its pictures fail
//! at once, and the queue gives them their turn later.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::hosts::PictureHosts;
use super::readers::{Readers, Threads};
use super::remote::{FetchOptions, Fetched, Remote, RemoteError, Validators};
use crate::util::digest::sha256;

/// Hosts that are remembered; more, and those that nobody waits for are forgotten.
const HOSTS: usize = 4_096;
/// Memory is counted in so many bytes.
const UNIT: u64 = 1 << 10;
/// What a fetch takes of memory before it is known how large the picture is.
const SMALL: u64 = 512 << 10;
/// What a host that does not answer counts beside one that answers that it cannot now.
const SILENT: u32 = 4;

/// What all fetches together may do.
#[derive(Clone, Copy, Debug)]
struct WebOptions {
    fetch: FetchOptions,
    /// Fetches at a time, and those of one host.
    slots: usize,
    per_host: usize,
    /// Bytes of pictures that came and are not embedded yet.
    memory: u64,
    /// Tries of one fetch, the pause after the first, and the longest that a host may ask for.
    tries: u32,
    pause: Duration,
    longest_pause: Duration,
    /// Failures in a row, each counted as [`SILENT`] or as one, after which a host is left alone; for how
    /// long at first, and at most.
    failures: u32,
    alone: Duration,
    longest_alone: Duration,
}

const OPTIONS: WebOptions = WebOptions {
    fetch: FetchOptions::PICTURE,
    slots: 64,
    per_host: 8,
    memory: 256 << 20,
    tries: 3,
    pause: Duration::from_millis(500),
    longest_pause: Duration::from_secs(30),
    failures: 5 * SILENT,
    alone: Duration::from_secs(15),
    longest_alone: Duration::from_mins(10),
};

/// Fetches pictures. A clonable handle; clones share the bounds.
#[derive(Clone)]
pub(in crate::catalog) struct Web(Arc<Inner>);

struct Inner {
    remote: Remote,
    threads: Readers,
    slots: Semaphore,
    memory: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    options: WebOptions,
}

/// What came of a fetch.
#[derive(Debug)]
pub(in crate::catalog) enum FromWeb {
    /// It is what the validators stand for.
    Same,
    Picture(WebPicture),
}

#[derive(Debug)]
pub(in crate::catalog) struct WebPicture {
    pub bytes: Bytes,
    pub sha256: [u8; 32],
    pub validators: Validators,
    pub room: Room,
}

/// The memory of a picture, until it is dropped.
#[derive(Debug)]
pub(in crate::catalog) struct Room {
    _memory: OwnedSemaphorePermit,
}

/// What is known of a host.
struct Host {
    name: String,
    slots: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Failures in a row, and what they count.
    failures: u32,
    counted: u32,
    /// Why the last one was.
    reason: String,
    /// Until when it is left alone, and for how long that was. Afterwards one fetch looks whether it is
    /// there again.
    alone: Option<(Instant, Duration)>,
    looked_for: bool,
    /// Until when it asked not to be asked.
    quiet: Option<Instant>,
}

/// Why a try gave nothing.
enum Failed {
    /// It did not fit into the memory that is free now.
    NoRoom,
    Remote(RemoteError),
}

impl Web {
    pub(in crate::catalog) fn new(hosts: PictureHosts) -> Self {
        Self::with(Remote::new(hosts), OPTIONS)
    }

    fn with(remote: Remote, options: WebOptions) -> Self {
        let units = usize::try_from(options.memory / UNIT).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            remote,
            threads: Readers::with(Threads {
                working: options.slots,
                waiting: 2 * options.slots,
                given_up: 2 * options.slots,
            }),
            slots: Semaphore::new(options.slots),
            memory: Arc::new(Semaphore::new(units)),
            hosts: Mutex::default(),
            options,
        }))
    }

    /// The picture at a web address, unless it is what `known` stands for.
    ///
    /// # Errors
    /// When the address may not be fetched, or nothing came from there after some tries.
    pub(in crate::catalog) async fn get(
        &self,
        address: &str,
        known: &Validators,
    ) -> Result<FromWeb, RemoteError> {
        let options = &self.0.options;
        let host = self.host(address)?;
        let (mut tries, mut pause, mut room) = (0, options.pause, SMALL);
        loop {
            let error = match self.one_try(&host, address, known, room).await {
                Ok(got) => return Ok(got),
                Err(Failed::NoRoom) => {
                    room = options.fetch.bytes;
                    continue;
                }
                Err(Failed::Remote(error)) => error,
            };
            tries += 1;
            let wait = error.after.unwrap_or(pause);
            if !error.again || tries >= options.tries || wait > options.longest_pause {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            pause *= 4;
        }
    }

    fn host(&self, address: &str) -> Result<Arc<Host>, RemoteError> {
        let (name, port) = self.0.remote.host(address)?;
        let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= HOSTS {
            hosts.retain(|_, host| Arc::strong_count(host) > 1 || host.state().alone.is_some());
        }
        let host = hosts.entry(format!("{name}:{port}")).or_insert_with(|| {
            Arc::new(Host {
                name,
                slots: Semaphore::new(self.0.options.per_host),
                state: Mutex::default(),
            })
        });
        Ok(Arc::clone(host))
    }

    async fn one_try(
        &self,
        host: &Arc<Host>,
        address: &str,
        known: &Validators,
        room: u64,
    ) -> Result<FromWeb, Failed> {
        let closed = |_| Failed::Remote(RemoteError::passing("the service ends"));
        let _at_host = host.slots.acquire().await.map_err(closed)?;
        let looks = host.turn().await.map_err(Failed::Remote)?;
        let _slot = self.0.slots.acquire().await.map_err(closed)?;
        let memory = Arc::clone(&self.0.memory);
        let room = memory
            .acquire_many_owned(units(room))
            .await
            .map_err(closed)?;
        let options = self.0.options;
        let fetch = {
            let (remote, memory) = (self.0.remote.clone(), Arc::clone(&self.0.memory));
            let (address, known) = (address.to_owned(), known.clone());
            move || {
                let mut buffer = Buffer {
                    bytes: Vec::new(),
                    room,
                    memory,
                    full: false,
                };
                let fetched = remote.fetch_to(&address, &known, &options.fetch, &mut buffer);
                match fetched {
                    _ if buffer.full => Err(Failed::NoRoom),
                    Ok(Fetched::Same) => Ok(FromWeb::Same),
                    Ok(Fetched::Body(body)) => Ok(buffer.picture(body.validators)),
                    Err(error) => Err(Failed::Remote(error)),
                }
            }
        };
        // It ends by itself before that.
        let time = options.fetch.total + 2 * options.fetch.connect;
        let fetched = self.0.threads.run(address, time, fetch).await;
        let fetched = fetched.unwrap_or_else(|error| {
            Err(Failed::Remote(RemoteError::passing(error).of(&host.name)))
        });
        match &fetched {
            Err(Failed::Remote(error)) if error.again => host.failed(error, &options),
            Ok(_) | Err(Failed::Remote(_)) => host.answered(),
            Err(Failed::NoRoom) => {}
        }
        drop(looks);
        fetched
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the host asked not to be asked.
    async fn turn(self: &Arc<Self>) -> Result<Option<Looks>, RemoteError> {
        loop {
            let wait = {
                let mut state = self.state();
                let now = Instant::now();
                if let Some((until, _)) = state.alone {
                    if until > now || state.looked_for {
                        return Err(state.left_alone(until.saturating_duration_since(now)));
                    }
                    state.looked_for = true;
                    return Ok(Some(Looks(Arc::clone(self))));
                }
                match state.quiet {
                    Some(until) if until > now => until - now,
                    _ => return Ok(None),
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    fn answered(&self) {
        let mut state = self.state();
        *state = State {
            looked_for: state.looked_for,
            ..State::default()
        };
    }

    fn failed(&self, error: &RemoteError, options: &WebOptions) {
        let mut state = self.state();
        let now = Instant::now();
        state.failures += 1;
        state.counted += if error.silent { SILENT } else { 1 };
        state.reason.clone_from(&error.reason);
        let asked = error.after.filter(|after| *after > options.longest_pause);
        if let (Some(after), None) = (error.after, asked) {
            state.quiet = Some(now + after);
        }
        if asked.is_none() && state.counted < options.failures {
            return;
        }
        // Those that were on their way with the first that failed say nothing new.
        if state.alone.is_some_and(|(until, _)| until > now) {
            return;
        }
        let last = state.alone.map(|(_, pause)| 2 * pause);
        let pause = last.or(asked).unwrap_or(options.alone);
        let pause = pause.min(options.longest_alone);
        state.alone = Some((now + pause, pause));
        let (host, reason) = (&self.name, &error.reason);
        tracing::warn!(host, reason, ?pause, "a host of pictures is left alone");
    }
}

impl State {
    fn left_alone(&self, rest: Duration) -> RemoteError {
        let rest = humantime::format_duration(Duration::from_secs(rest.as_secs() + 1));
        let Self {
            failures, reason, ..
        } = self;
        RemoteError::passing(format!(
            "{reason}; after {failures} such failures in a row the host is left alone for {rest}"
        ))
    }
}

/// The one fetch that looks whether a host is there again.
struct Looks(Arc<Host>);

impl Drop for Looks {
    fn drop(&mut self) {
        self.0.state().looked_for = false;
    }
}

/// Takes a picture as it comes, as far as there is memory for it.
struct Buffer {
    bytes: Vec<u8>,
    room: OwnedSemaphorePermit,
    memory: Arc<Semaphore>,
    full: bool,
}

impl Buffer {
    fn picture(mut self, validators: Validators) -> FromWeb {
        self.bytes.shrink_to_fit();
        let spare = self.room.num_permits();
        let spare = spare.saturating_sub(units(self.bytes.len() as u64) as usize);
        drop(self.room.split(spare));
        FromWeb::Picture(WebPicture {
            sha256: sha256(&self.bytes),
            bytes: self.bytes.into(),
            validators,
            room: Room { _memory: self.room },
        })
    }
}

impl Write for Buffer {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let have = self.room.num_permits() as u64 * UNIT;
        let needed = (self.bytes.len() + piece.len()) as u64;
        if needed > have {
            let more = units((needed - have).max(have));
            let Ok(more) = Arc::clone(&self.memory).try_acquire_many_owned(more) else {
                self.full = true;
                return Err(io::ErrorKind::OutOfMemory.into());
            };
            self.room.merge(more);
        }
        if self.bytes.capacity() < self.bytes.len() + piece.len() {
            let room = self.room.num_permits() as u64 * UNIT;
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::header;
    use axum::routing::get;
    use ureq::unversioned::resolver::DefaultResolver;

    use super::super::hosts::tests::hosts;
    use super::super::remote::tests::{SHORT, serve};
    use super::*;

    const QUICK: WebOptions = WebOptions {
        fetch: SHORT,
        memory: 4 << 20,
        pause: Duration::from_millis(10),
        longest_pause: Duration::from_secs(2),
        alone: Duration::from_millis(300),
        ..OPTIONS
    };

    fn web(named: &[&str], options: WebOptions) -> Web {
        let resolver = DefaultResolver::default();
        Web::with(Remote::with(hosts(named), options.fetch, resolver), options)
    }

    fn shop(router: Router, options: WebOptions) -> (Web, String) {
        let host = format!("127.0.0.1:{}", serve(router));
        (web(&[&host], options), format!("http://{host}"))
    }

    async fn all(web: &Web, addresses: Vec<String>) -> Vec<Result<FromWeb, RemoteError>> {
        let fetches = addresses.into_iter().map(|address| {
            let web = web.clone();
            tokio::spawn(async move { web.get(&address, &Validators::default()).await })
        });
        let mut found = Vec::new();
        for fetch in fetches.collect::<Vec<_>>() {
            found.push(fetch.await.expect("no panic"));
        }
        found
    }

    /// A server that counts how many it answers at a time.
    fn counting(pause: Duration) -> (Router, Arc<AtomicUsize>) {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = Arc::clone(&most);
        let answer = async move || {
            let here = now.fetch_add(1, Ordering::SeqCst) + 1;
            counts.fetch_max(here, Ordering::SeqCst);
            tokio::time::sleep(pause).await;
            now.fetch_sub(1, Ordering::SeqCst);
            "picture"
        };
        (Router::new().fallback(get(answer)), most)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_host_has_so_many_at_a_time_and_a_slow_one_holds_no_other() {
        let (slow, most_slow) = counting(Duration::from_millis(400));
        let (quick, most_quick) = counting(Duration::from_millis(5));
        let slow = format!("127.0.0.1:{}", serve(slow));
        let quick = format!("127.0.0.1:{}", serve(quick));
        let web = web(&[&slow, &quick], QUICK);
        let of = |host: &str, n: usize| -> Vec<String> {
            (0..n).map(|n| format!("http://{host}/{n}")).collect()
        };
        let begun = Instant::now();
        let behind = tokio::spawn({
            let (web, addresses) = (web.clone(), of(&slow, 40));
            async move { all(&web, addresses).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let found = all(&web, of(&quick, 100)).await;
        assert!(found.iter().all(Result::is_ok));
        assert!(!behind.is_finished(), "{:?}", begun.elapsed());
        let found = behind.await.expect("no panic");
        assert!(found.iter().all(Result::is_ok));
        assert_eq!(most_slow.load(Ordering::SeqCst), 8);
        assert!(most_quick.load(Ordering::SeqCst) <= 8);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_dead_host_costs_a_few_tries_and_is_looked_for_after_a_while() {
        let asked = Arc::new(AtomicUsize::new(0));
        let (counts, alive) = (Arc::clone(&asked), Arc::new(AtomicUsize::new(0)));
        let lives = Arc::clone(&alive);
        let answer = async move || {
            counts.fetch_add(1, Ordering::SeqCst);
            if lives.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_mins(1)).await;
            }
            "picture"
        };
        let (web, shop) = shop(Router::new().fallback(get(answer)), QUICK);
        let begun = Instant::now();
        let addresses = (0..500).map(|n| format!("{shop}/{n}")).collect();
        let found = all(&web, addresses).await;
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{:?}",
            begun.elapsed()
        );
        let asked_then = asked.load(Ordering::SeqCst);
        assert!((8..=40).contains(&asked_then), "{asked_then} requests");
        let said = |error: &RemoteError| {
            assert!(error.again);
            error
                .reason
                .contains("such failures in a row the host is left alone for")
        };
        let left = found
            .iter()
            .filter(|found| said(found.as_ref().expect_err("dead")));
        assert!(left.count() > 400);
        alive.store(1, Ordering::SeqCst);
        let mut back = false;
        while begun.elapsed() < Duration::from_secs(20) && !back {
            tokio::time::sleep(Duration::from_millis(50)).await;
            back = web.get(&shop, &Validators::default()).await.is_ok();
        }
        assert!(back, "it is found again");
        let found = all(&web, (0..20).map(|n| format!("{shop}/{n}")).collect()).await;
        assert!(found.iter().all(Result::is_ok));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_may_pass_is_tried_three_times_and_when_the_host_says() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&asked);
        let answer = async move |path: axum::extract::Path<String>| {
            let times = counts.fetch_add(1, Ordering::SeqCst) + 1;
            let (status, after) = match path.as_str() {
                "third" if times == 3 => (200, None),
                "wait" if times == 2 => (200, None),
                "wait" => (503, Some("1")),
                "long" => (429, Some("3600")),
                "gone" => (404, None),
                _ => (500, None),
            };
            let mut answer = axum::http::Response::builder().status(status);
            if let Some(after) = after {
                answer = answer.header(header::RETRY_AFTER, after);
            }
            answer
                .body(axum::body::Body::from("picture"))
                .expect("an answer")
        };
        let (web, shop) = shop(Router::new().route("/{path}", get(answer)), QUICK);
        let fetch = async |path: &str| {
            asked.store(0, Ordering::SeqCst);
            let begun = Instant::now();
            let got = web
                .get(&format!("{shop}/{path}"), &Validators::default())
                .await;
            (got, asked.load(Ordering::SeqCst), begun.elapsed())
        };
        let (got, times, _) = fetch("third").await;
        assert!(got.is_ok() && times == 3, "{got:?}");
        let (got, times, _) = fetch("broken").await;
        assert!(got.expect_err("500").again);
        assert_eq!(times, 3);
        let (got, times, _) = fetch("gone").await;
        assert!(!got.expect_err("404").again);
        assert_eq!(times, 1);
        let (got, times, took) = fetch("wait").await;
        assert!(got.is_ok() && times == 2, "{got:?}");
        assert!(took >= Duration::from_secs(1), "{took:?}");
        let (got, times, _) = fetch("long").await;
        assert!(got.expect_err("429").again);
        assert_eq!(times, 1, "longer than anybody waits");
        let (got, times, _) = fetch("third").await;
        let error = got.expect_err("it is left alone").reason;
        assert!(error.contains("left alone for 10m"), "{error}");
        assert_eq!(times, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn pictures_that_wait_for_the_encoder_hold_the_memory() {
        let large = async || vec![7_u8; 3 << 20];
        let options = WebOptions {
            fetch: FetchOptions {
                bytes: 4 << 20,
                total: Duration::from_secs(10),
                ..SHORT
            },
            ..QUICK
        };
        let (web, shop) = shop(Router::new().fallback(get(large)), options);
        let first = web.get(&shop, &Validators::default()).await.expect("comes");
        let FromWeb::Picture(first) = first else {
            panic!("nothing was known")
        };
        assert_eq!(
            (first.bytes.len(), first.sha256),
            (3 << 20, sha256(&first.bytes))
        );
        let held = web.0.memory.available_permits();
        assert_eq!(held, 1 << 10, "what it is, and not what it might have been");
        let second = tokio::spawn({
            let web = web.clone();
            async move { web.get(&shop, &Validators::default()).await }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!second.is_finished(), "there is no room for it");
        drop(first);
        assert!(second.await.expect("no panic").is_ok());
    }
}
