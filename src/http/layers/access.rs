//! Who is let in, and how often: which scope a route needs, whether the request has a key for it, and
//! the rate of that key or of the client's address.
//!
//! A key comes as `Authorization: Bearer KEY` (RFC 6750). It is never logged: the access log has its id.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::DefaultClock;

use super::client;
use super::edge::LineOfRequest;
use super::rates::{Allowance, Counted, Rates};
use crate::domain::{ApiKeyRecord, Scope};
use crate::http::output::error::ApiError;
use crate::http::state::{HttpOptions, Listener};
use crate::service::{Denied, Service};

/// What the routes of a listener are behind.
#[derive(Clone)]
pub struct Guard {
    service: Service,
    options: Arc<HttpOptions>,
    rates: Arc<Rates>,
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// Nothing on the admin listener, elsewhere the scope of an operator.
    Operator,
    Scope(Scope),
}

impl Needs {
    /// Of a route by its template. One that is not named here is for those who may do everything.
    pub fn of(method: &Method, path: &str) -> Self {
        let reads = *method == Method::GET || *method == Method::HEAD;
        match path {
            // A page shows pictures by their address alone.
            "/products/{id}/image" | "/products/{id}/pictures/{number}" if reads => Self::Nothing,
            "/search" | "/search/image" | "/products/{id}/similar" | "/attributes" => {
                Self::Scope(Scope::Search)
            }
            "/products/{id}" if reads => Self::Scope(Scope::Search),
            "/products"
            | "/products:bulk"
            | "/products/{id}"
            | "/products/{id}/pictures/{number}" => Self::Scope(Scope::Write),
            "/livez" | "/readyz" | "/version" | "/openapi.json" | "/problems/{code}" | "/" => {
                Self::Nothing
            }
            "/metrics" => Self::Operator,
            path if path.starts_with("/docs") || path.starts_with("/page/") => Self::Nothing,
            _ => Self::Scope(Scope::Admin),
        }
    }

    /// The scope that a key needs for it on this listener; `None`: no key is needed.
    pub fn scope(self, listener: Listener) -> Option<Scope> {
        match self {
            Self::Nothing => None,
            Self::Operator => (listener == Listener::Public).then_some(Scope::Admin),
            Self::Scope(scope) => Some(scope),
        }
    }
}

impl Guard {
    pub fn new(service: Service, options: Arc<HttpOptions>) -> Self {
        Self {
            service,
            options,
            rates: Arc::new(Rates::new(DefaultClock::default())),
        }
    }

    /// Counts the request for its key, or for its address where it has no good one.
    fn count(&self, key: Option<&ApiKeyRecord>, request: &Request) -> Option<Allowance> {
        let live = self.options.live.load();
        let address = || client::network(client::address(request, &live.trusted_proxies));
        match key {
            Some(key) if key.origins.is_empty() => {
                Some(self.rates.count(Counted::Key(&key.id), key.rate?))
            }
            Some(key) => {
                let rate = key.rate.or(live.address_rate)?;
                Some(self.rates.count(Counted::KeyAt(&key.id, address()), rate))
            }
            None => {
                let rate = live.address_rate?;
                Some(self.rates.count(Counted::Address(address()), rate))
            }
        }
    }

    fn admit(&self, request: &Request, needed: Scope) -> Result<Option<Arc<ApiKeyRecord>>, Denied> {
        let headers = request.headers();
        let (key, page) = (bearer(headers), page(headers));
        self.service.admit(self.options.door(), key, page, needed)
    }
}

pub async fn access(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let needs = path.map_or(Needs::Nothing, |path| {
        Needs::of(request.method(), path.as_str())
    });
    let Some(needed) = needs.scope(guard.options.listener) else {
        return next.run(request).await;
    };
    let admitted = guard.admit(&request, needed);
    let key = admitted.as_ref().ok().and_then(|key| key.as_deref());
    if let Some((key, line)) = key.zip(request.extensions().get::<LineOfRequest>()) {
        line.0.record("key", &key.id);
    }
    let allowance = guard.count(key, &request);
    let late = allowance.filter(|allowance| allowance.wait.is_some());
    let mut response = match (late, admitted) {
        (Some(late), _) => ApiError::RateLimited {
            retry_after_s: late.retry_after(),
        }
        .into_response(),
        (None, Err(denied)) => ApiError::Denied(denied).into_response(),
        (None, Ok(_)) => next.run(request).await,
    };
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    response
}

/// What stands behind `Bearer`; another scheme is no key.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// The origin of the page that asks, where a page does. Browsers leave `Origin` out when a page gets
/// something from its own origin, but not `Referer`.
fn page(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(header::ORIGIN).or_else(|| {
        let address = text(header::REFERER)?;
        let host = address.find("://")? + 3;
        let end = address[host..].find(['/', '?', '#']);
        Some(end.map_or(address, |end| &address[..host + end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let value = header::HeaderValue::from_static;
        all.iter()
            .map(|(name, text)| (name.clone(), value(text)))
            .collect()
    }

    #[test]
    fn a_page_is_known_by_its_origin_or_its_address() {
        let of = |all: &[_]| page(&headers(all)).map(str::to_owned);
        let shop = Some("https://shop.example:8443".to_owned());
        let address = "https://shop.example:8443/shoes?color=red#top";
        assert_eq!(of(&[(header::ORIGIN, "https://shop.example:8443")]), shop);
        assert_eq!(of(&[(header::REFERER, address)]), shop);
        assert_eq!(of(&[(header::REFERER, "https://shop.example:8443")]), shop);
        assert_eq!(of(&[(header::REFERER, "shop")]), None);
        let both = [(header::REFERER, address), (header::ORIGIN, "null")];
        assert_eq!(of(&both), Some("null".to_owned()));
    }

    #[test]
    fn a_key_is_what_stands_behind_bearer() {
        let of = |text| bearer(&headers(&[(header::AUTHORIZATION, text)])).map(str::to_owned);
        assert_eq!(of("Bearer aglet_1"), Some("aglet_1".to_owned()));
        assert_eq!(of("bearer  aglet_1 "), Some("aglet_1".to_owned()));
        assert_eq!(of("Basic aglet_1"), None);
        assert_eq!(of("aglet_1"), None);
    }

    #[test]
    fn a_route_that_is_not_named_is_for_those_who_may_do_everything() {
        let of = |path| Needs::of(&Method::GET, path).scope(Listener::Public);
        assert_eq!(of("/admin/model"), Some(Scope::Admin));
        assert_eq!(of("/metrics"), Some(Scope::Admin));
        assert_eq!(
            Needs::of(&Method::GET, "/metrics").scope(Listener::Admin),
            None
        );
        assert_eq!(of("/products/{id}"), Some(Scope::Search));
        assert_eq!(
            Needs::of(&Method::HEAD, "/products/{id}").scope(Listener::Public),
            Some(Scope::Search)
        );
        assert_eq!(
            Needs::of(&Method::PATCH, "/products/{id}").scope(Listener::Admin),
            Some(Scope::Write)
        );
    }
}
