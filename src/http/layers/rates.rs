//! How often somebody may ask: a rate for each key that has one, and one for each address.
//!
//! The generic cell rate algorithm (governor): a burst at once, then one more whenever the rate gives
//! one. Answers say how it stands in the fields of the IETF's draft "RateLimit header fields for HTTP":
//! `RateLimit-Policy: "address";q=100;w=10` (100 at once, which come back within 10 s) and
//! `RateLimit: "address";r=7;t=10` (7 are left, all are back in 10 s).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::domain::Rate;

/// How often addresses that ask no more are forgotten.
const TIDY: Duration = Duration::from_mins(1);

type Limiter<C> = RateLimiter<IpAddr, DashMapStateStore<IpAddr>, C, StateInformationMiddleware>;

/// Whom a request counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted<'a> {
    /// Its address: whoever has no key.
    Address(IpAddr),
    /// Its key, from wherever it comes: the shop's own systems.
    Key(&'a str),
    /// Its key at its address: a page's key is everybody's.
    KeyAt(&'a str, IpAddr),
}

/// What is left of a rate after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    policy: &'static str,
    rate: Rate,
    left: u32,
    /// How long to wait for one more; `None`: this request is allowed.
    pub wait: Option<Duration>,
}

/// One rate and what was counted against it.
struct Limited<C: Clock> {
    rate: Rate,
    limiter: Limiter<C>,
}

/// All rates, by the id of the key; that of addresses has no id.
pub struct Rates<C: Clock = DefaultClock> {
    clock: C,
    limited: Mutex<HashMap<String, Arc<Limited<C>>>>,
    started: Instant,
    /// Seconds after `started` when it was tidied last.
    tidied: AtomicU64,
}

impl<C: Clock + Clone> Rates<C> {
    pub fn new(clock: C) -> Self {
        Self {
            clock,
            limited: Mutex::default(),
            started: Instant::now(),
            tidied: AtomicU64::new(0),
        }
    }

    /// Counts a request.
    pub fn count(&self, whom: Counted<'_>, rate: Rate) -> Allowance {
        let whole = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let (policy, id, address) = match whom {
            Counted::Address(address) => ("address", "", address),
            Counted::Key(id) => ("key", id, whole),
            Counted::KeyAt(id, address) => ("key", id, address),
        };
        let limited = self.limited(id, rate);
        self.tidy();
        let (left, wait) = match limited.limiter.check_key(&address) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(not_until) => (0, Some(not_until.wait_time_from(self.clock.now()))),
        };
        Allowance {
            policy,
            rate,
            left,
            wait,
        }
    }

    /// The counts of one rate; new where it is another rate than before.
    fn limited(&self, id: &str, rate: Rate) -> Arc<Limited<C>> {
        let mut all = self.limited.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limited) = all.get(id).filter(|limited| limited.rate == rate) {
            return Arc::clone(limited);
        }
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let limited = Arc::new(Limited {
            rate,
            limiter: RateLimiter::dashmap_with_clock(quota, self.clock.clone()).with_middleware(),
        });
        all.insert(id.to_owned(), Arc::clone(&limited));
        limited
    }

    /// Forgets who has all of a burst again, so that memory is bounded by those who ask now.
    fn tidy(&self) {
        let now = self.started.elapsed().as_secs();
        let last = self.tidied.load(Ordering::Relaxed);
        let due = now >= last + TIDY.as_secs();
        let one = Ordering::Relaxed;
        if !due || self.tidied.compare_exchange(last, now, one, one).is_err() {
            return;
        }
        let all = self.limited.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = all.values().map(Arc::clone).collect();
        for limited in all {
            limited.limiter.retain_recent();
            limited.limiter.shrink_to_fit();
        }
    }
}

impl Allowance {
    /// Seconds to wait, as `Retry-After` has them: at least one.
    pub fn retry_after(&self) -> u64 {
        self.wait.map_or(0, |wait| whole_seconds(wait).max(1))
    }

    /// Adds the fields that say how it stands.
    pub fn write(&self, headers: &mut HeaderMap) {
        let (burst, per_second) = (self.rate.burst.get(), self.rate.per_second.get());
        let policy = self.policy;
        let window = burst.div_ceil(per_second).max(1);
        let back = (burst - self.left.min(burst)).div_ceil(per_second);
        let fields = [
            (
                "ratelimit-policy",
                format!("\"{policy}\";q={burst};w={window}"),
            ),
            (
                "ratelimit",
                format!("\"{policy}\";r={};t={back}", self.left),
            ),
        ];
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

fn whole_seconds(of: Duration) -> u64 {
    of.as_secs() + u64::from(of.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate::new(per_second, burst).expect("a rate")
    }

    #[test]
    fn a_burst_is_allowed_and_no_more() {
        let clock = FakeRelativeClock::default();
        let rates = Rates::new(clock.clone());
        let (one, other) = ([203, 0, 113, 9].into(), [203, 0, 113, 10].into());
        let slow = rate(1, 3);
        let left = |whom| rates.count(whom, slow);
        assert_eq!(left(Counted::Address(one)).left, 2);
        assert_eq!(left(Counted::Address(one)).left, 1);
        let last = left(Counted::Address(one));
        assert_eq!((last.left, last.wait), (0, None));
        let refused = left(Counted::Address(one));
        assert_eq!(refused.wait, Some(Duration::from_secs(1)));
        assert_eq!(refused.retry_after(), 1);
        let mut headers = HeaderMap::new();
        refused.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"address\";q=3;w=3");
        assert_eq!(headers["ratelimit"], "\"address\";r=0;t=3");
        // Others are not concerned.
        assert_eq!(left(Counted::Address(other)).left, 2);
        assert_eq!(left(Counted::Key("a")).left, 2);
        assert_eq!(left(Counted::KeyAt("b", one)).left, 2);
        assert_eq!(left(Counted::KeyAt("b", other)).left, 2);
        assert_eq!(left(Counted::Key("a")).left, 1);
        // One comes back each second.
        clock.advance(Duration::from_secs(1));
        assert_eq!(left(Counted::Address(one)).wait, None);
        assert!(left(Counted::Address(one)).wait.is_some());
        clock.advance(Duration::from_mins(1));
        assert_eq!(left(Counted::Address(one)).left, 2);
    }

    #[test]
    fn another_rate_begins_anew() {
        let rates = Rates::new(FakeRelativeClock::default());
        let whom = Counted::Key("a");
        assert_eq!(rates.count(whom, rate(1, 1)).wait, None);
        assert!(rates.count(whom, rate(1, 1)).wait.is_some());
        assert_eq!(rates.count(whom, rate(1, 2)).left, 1);
    }
}
