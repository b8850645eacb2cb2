//! Whose request it is: the address of a client, also behind the shop's own proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use axum::http::HeaderMap;
use ipnet::IpNet;

/// The address at the other end of the connection; an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address: that of the connection, or where that is a trusted proxy's, the last one of
/// `X-Forwarded-For` that is not. What stands before it there anybody can have written.
pub fn address(request: &Request, trusted: &[IpNet]) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
        peer.0.to_canonical()
    });
    behind(peer, request.headers(), trusted)
}

fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let values: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    let mut hops = values.iter().rev().flat_map(|value| value.rsplit(','));
    let mut last = peer;
    while is_trusted(&last) {
        match hops.next().and_then(|hop| parse(hop.trim())) {
            Some(hop) => last = hop,
            None => break,
        }
    }
    last
}

/// An address, with or without a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let address = hop
        .parse()
        .ok()
        .or_else(|| Some(hop.parse::<std::net::SocketAddr>().ok()?.ip()));
    let address = address.or_else(|| {
        let inner = hop.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse().ok()
    });
    address.map(|address: IpAddr| address.to_canonical())
}

/// What limits are counted by: an IPv6 client has a whole /64 for itself.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let prefix = v6.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let headers = forwarded.iter().map(|value| {
            let name = axum::http::HeaderName::from_static(FORWARDED_FOR);
            (name, value.parse().expect("a header"))
        });
        let trusted: Vec<IpNet> = trusted
            .iter()
            .map(|net| net.parse().expect("a network"))
            .collect();
        let peer: IpAddr = peer.parse().expect("an address");
        behind(peer.to_canonical(), &headers.collect(), &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_say_that_he_is_another() {
        assert_eq!(client("203.0.113.9", &["10.0.0.1"], &[]), "203.0.113.9");
        let proxies = ["10.0.0.0/8"];
        assert_eq!(
            client("203.0.113.9", &["198.51.100.1"], &proxies),
            "203.0.113.9"
        );
        // The proxy appended whom it saw to what the client had made up.
        assert_eq!(
            client("10.0.0.2", &["1.2.3.4, 203.0.113.9"], &proxies),
            "203.0.113.9"
        );
    }

    #[test]
    fn behind_proxies_the_last_that_is_none_counts() {
        let proxies = ["10.0.0.0/8", "fd00::/8"];
        let of = |forwarded: &[&str]| client("10.0.0.2", forwarded, &proxies);
        assert_eq!(of(&["203.0.113.9, 10.0.0.3"]), "203.0.113.9");
        assert_eq!(of(&["203.0.113.9", "10.0.0.4,10.0.0.3"]), "203.0.113.9");
        assert_eq!(of(&["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(of(&["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(of(&["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(of(&["::ffff:203.0.113.9"]), "203.0.113.9");
        // Nothing that can be read: the proxy itself.
        assert_eq!(of(&[]), "10.0.0.2");
        assert_eq!(of(&["unknown"]), "10.0.0.2");
        assert_eq!(of(&["10.0.0.5"]), "10.0.0.5");
        assert_eq!(
            client("::ffff:10.0.0.2", &["203.0.113.9"], &proxies),
            "203.0.113.9"
        );
    }

    #[test]
    fn clients_of_one_ipv6_network_are_one() {
        let of = |text: &str| network(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("203.0.113.9"), "203.0.113.9");
    }
}
