//! Which web addresses pictures may be fetched from.
//!
//! An address is written by whoever writes products, and the service that fetches it is inside the
//! shop's network. So [`PictureHosts`] says which hosts are asked at all, and [`Trust`] which IP
//! addresses a host may be at: one that only a wildcard allows, at public addresses alone.
//!
//! An address is taken apart here and put together anew: what was checked is what is asked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use ureq::http::Uri;

/// Characters in an address.
const LONGEST: usize = 2_048;
/// What a path or a query may not have as it is; characters beyond ASCII are escaped as well.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Which hosts pictures are fetched from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PictureHosts(Arc<[Entry]>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hosts: Pattern,
    /// `None`: 80 and 443.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    /// The names that end with this, such as `.shop.example`.
    Below(String),
    One(Host),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// In lower case.
    Name(String),
    Address(IpAddr),
}

/// An entry of `picture_hosts` that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("an entry is empty")]
    Empty,
    #[error("{0:?} is more than a host: write only the host, such as cdn.shop.example")]
    MoreThanHost(String),
    #[error("{0:?}: a \"*\" is the whole host or its first part, as in *.shop.example")]
    Wildcard(String),
    #[error("{0:?}: the port is not a number from 1 to 65535")]
    Port(String),
    #[error(
        "{0:?} is not a host such as cdn.shop.example, *.shop.example, 192.0.2.1 or [2001:db8::1]"
    )]
    Host(String),
}

/// How a host is allowed, which decides the IP addresses that it may be at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// By a wildcard: public addresses.
    Wildcard,
    /// By its name: also the shop's own network.
    Name,
    /// By this very IP address.
    Address,
}

/// An address that may be fetched.
#[derive(Debug)]
pub(super) struct Target {
    /// Put together anew from the parts that were checked.
    pub(super) uri: Uri,
    pub(super) host: String,
}

/// Why an address is not fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("pictures are not fetched from web addresses: the setting picture_hosts is empty")]
    Off,
    #[error("the address is longer than {LONGEST} characters")]
    TooLong,
    #[error("the address does not begin with http:// or https://")]
    Scheme,
    #[error("the address has a user or a password")]
    User,
    #[error("the host of the address is neither a name nor an IP address in its usual form")]
    Host,
    #[error("the port of the address is not a number from 1 to 65535")]
    Port,
    #[error("the address has a character that no address has")]
    Character,
    #[error("the setting picture_hosts does not name the host")]
    NotListed,
    #[error("the setting picture_hosts names the host with another port")]
    OtherPort,
    #[error("https does not go on to http")]
    Downgrade,
    #[error("it is at {0}, and only a wildcard of the setting picture_hosts names it")]
    NotPublic(Class),
    #[error("it is at {0}")]
    Never(Class),
}

/// A refusal and, where the address has one, its host.
#[derive(Debug)]
pub(super) struct Refused {
    host: Option<String>,
    pub(super) why: Refusal,
}

impl From<Refusal> for Refused {
    fn from(why: Refusal) -> Self {
        Self { host: None, why }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}: {}", self.why),
            None => self.why.fmt(f),
        }
    }
}

impl PictureHosts {
    /// # Errors
    /// With the first entry that is not a host, a wildcard, or one of them with a port.
    pub fn new(hosts: &[String]) -> Result<Self, HostError> {
        let entries = hosts.iter().map(|entry| Entry::parse(entry));
        Ok(Self(entries.collect::<Result<_, _>>()?))
    }

    /// Whether no picture is fetched from a web address.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a picture may be fetched from there at all, by the address alone.
    ///
    /// # Errors
    /// In words, for whoever wrote the address.
    pub fn check(&self, address: &str) -> Result<(), String> {
        let target = self.target(address);
        target.map(drop).map_err(|refused| refused.to_string())
    }

    pub(super) fn target(&self, address: &str) -> Result<Target, Refused> {
        if self.is_empty() {
            return Err(Refusal::Off.into());
        }
        if address.chars().count() > LONGEST {
            return Err(Refusal::TooLong.into());
        }
        let (scheme, rest) = address.split_once("://").ok_or(Refusal::Scheme)?;
        let (scheme, usual_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return Err(Refusal::Scheme.into()),
        };
        // A fragment is for whoever looks at the picture, not for the server.
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(Refusal::User.into());
        }
        let (host, port) = split_port(authority);
        let host = Host::parse(host).ok_or(Refusal::Host)?;
        let name = host.to_string();
        let refused = |why| Refused {
            host: Some(name.clone()),
            why,
        };
        let port = match port {
            Some(port) => parse_port(port).ok_or_else(|| refused(Refusal::Port))?,
            None => usual_port,
        };
        if path.chars().any(char::is_control) {
            return Err(refused(Refusal::Character));
        }
        self.trust(&host, port).map_err(&refused)?;
        let mut text = format!("{scheme}://{name}");
        if port != usual_port {
            text.push(':');
            text.push_str(&port.to_string());
        }
        if !path.starts_with('/') {
            text.push('/');
        }
        text.extend(utf8_percent_encode(path, ESCAPED));
        let uri = text.parse().map_err(|_| refused(Refusal::Character))?;
        Ok(Target { uri, host: name })
    }

    /// How this host is allowed; by its own entry before a wildcard.
    pub(super) fn trust(&self, host: &Host, port: u16) -> Result<Trust, Refusal> {
        let named = || self.0.iter().filter(|entry| entry.hosts.fits(host));
        let mut allowed = named().filter(|entry| entry.has_port(port)).peekable();
        if allowed.peek().is_none() {
            let other_port = named().next().is_some();
            return Err(if other_port {
                Refusal::OtherPort
            } else {
                Refusal::NotListed
            });
        }
        if !allowed.any(|entry| matches!(entry.hosts, Pattern::One(_))) {
            return Ok(Trust::Wildcard);
        }
        Ok(match host {
            Host::Name(_) => Trust::Name,
            Host::Address(_) => Trust::Address,
        })
    }
}

impl Entry {
    fn parse(entry: &str) -> Result<Self, HostError> {
        if entry.is_empty() {
            return Err(HostError::Empty);
        }
        if entry.contains(['/', '@', '?', '#']) {
            return Err(HostError::MoreThanHost(entry.to_owned()));
        }
        let (host, port) = split_port(entry);
        let hosts = if host == "*" {
            Pattern::Any
        } else if host.contains('*') {
            let below = host.strip_prefix("*.").and_then(Host::parse);
            let Some(Host::Name(name)) = below else {
                return Err(HostError::Wildcard(entry.to_owned()));
            };
            Pattern::Below(format!(".{name}"))
        } else {
            Pattern::One(Host::parse(host).ok_or_else(|| HostError::Host(entry.to_owned()))?)
        };
        let wrong_port = || HostError::Port(entry.to_owned());
        let port = port.map(|port| parse_port(port).ok_or_else(wrong_port));
        let port = port.transpose()?;
        Ok(Self { hosts, port })
    }

    fn has_port(&self, port: u16) -> bool {
        match self.port {
            Some(only) => only == port,
            None => matches!(port, 80 | 443),
        }
    }
}

impl Pattern {
    fn fits(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            // A name has no empty part: something is before the dot.
            (Self::Below(end), Host::Name(name)) => name.ends_with(end),
            (Self::Below(_), Host::Address(_)) => false,
            (Self::One(one), host) => one == host,
        }
    }
}

impl Host {
    /// A name, an IPv4 address in four decimal parts, or an IPv6 address in brackets.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        is_name(text).then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Whether this is a host's name. What ends in a number is not: the system's resolver takes
/// `2130706433`, `0x7f.1` and `0177.0.0.1` for 127.0.0.1.
fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        (1..=63).contains(&part.len())
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    text.len() <= 253 && text.split('.').all(is_part) && !is_number
}

/// `host:port` or `[address]:port` at its colon.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    let host_end = text.rfind(']').map_or(0, |bracket| bracket + 1);
    match text[host_end..].find(':') {
        Some(colon) => {
            let (host, port) = text.split_at(host_end + colon);
            (host, Some(&port[1..]))
        }
        None => (text, None),
    }
}

pub(super) fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse().ok().filter(|port| *port > 0);
    port.filter(|_| digits)
}

/// What an IP address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Public,
    Loopback,
    Private,
    /// Of one cable; many a cloud tells a machine its secrets at such an address.
    LinkLocal,
    /// Where else a cloud tells a machine about itself.
    Metadata,
    /// Multicast, documentation, tests, what nobody has.
    Reserved,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "an address of a cloud's metadata",
            Self::Reserved => "a reserved address",
        })
    }
}

/// Networks of IPv4 that are not public: the registry of RFC 6890, and multicast.
const IPV4: [(Ipv4Addr, u32, Class); 16] = [
    (Ipv4Addr::UNSPECIFIED, 8, Class::Reserved),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Class::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Class::Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Class::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Class::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Class::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Class::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Class::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Class::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Class::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Class::Reserved),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Class::Reserved),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Class::Reserved),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Class::Reserved),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Class::Reserved),
    (Ipv4Addr::BROADCAST, 32, Class::Reserved),
];

/// Networks of IPv6 that are not public; beside them, all that is outside of 2000::/3.
const IPV6: [(Ipv6Addr, u32, Class); 6] = [
    (
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
        10,
        Class::LinkLocal,
    ),
    (
        Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0),
        10,
        Class::Private,
    ),
    (
        Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0),
        7,
        Class::Private,
    ),
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        Class::Reserved,
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        Class::Reserved,
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        Class::Reserved,
    ),
];

/// Alibaba's, Oracle's, Azure's, Amazon's and Google's, which are not link-local.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

impl Class {
    fn of(address: IpAddr) -> Self {
        if METADATA.contains(&address) {
            return Self::Metadata;
        }
        match address {
            IpAddr::V4(address) => Self::of_ipv4(address),
            IpAddr::V6(address) => Self::of_ipv6(address),
        }
    }

    fn of_ipv4(address: Ipv4Addr) -> Self {
        let is_in = |network: Ipv4Addr, length: u32| {
            (address.to_bits() ^ network.to_bits()) >> (32 - length) == 0
        };
        let found = IPV4
            .iter()
            .find(|(network, length, _)| is_in(*network, *length));
        found.map_or(Self::Public, |(.., class)| *class)
    }

    fn of_ipv6(address: Ipv6Addr) -> Self {
        if address == Ipv6Addr::LOCALHOST {
            return Self::Loopback;
        }
        let ipv4 = |high: u16, low: u16| {
            let bits = u32::from(high) << 16 | u32::from(low);
            Self::of(Ipv4Addr::from_bits(bits).into())
        };
        match address.segments() {
            // The forms that lead to an IPv4 address: mapped, NAT64 (RFC 6052), 6to4.
            [0, 0, 0, 0, 0, 0xffff, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => return ipv4(high, low),
            // Those that lead to one in a network of its own (RFC 8215), or did so once.
            [0x64, 0xff9b, 1, .., high, low] | [0, 0, 0, 0, 0 | 0xffff, 0, high, low] => {
                return match ipv4(high, low) {
                    Self::Public => Self::Reserved,
                    class => class,
                };
            }
            _ => {}
        }
        let is_in = |network: Ipv6Addr, length: u32| {
            (address.to_bits() ^ network.to_bits()) >> (128 - length) == 0
        };
        let found = IPV6
            .iter()
            .find(|(network, length, _)| is_in(*network, *length));
        let unlisted = if address.segments()[0] >> 13 == 1 {
            Self::Public
        } else {
            Self::Reserved
        };
        found.map_or(unlisted, |(.., class)| *class)
    }
}

impl Trust {
    pub(super) fn allows(self, address: IpAddr) -> Result<(), Refusal> {
        match (self, Class::of(address)) {
            (Self::Address, _) | (_, Class::Public) => Ok(()),
            (_, class @ (Class::LinkLocal | Class::Metadata)) => Err(Refusal::Never(class)),
            (Self::Name, _) => Ok(()),
            (Self::Wildcard, class) => Err(Refusal::NotPublic(class)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::catalog::media) fn hosts(entries: &[&str]) -> PictureHosts {
        let entries: Vec<_> = entries.iter().map(ToString::to_string).collect();
        PictureHosts::new(&entries).expect("hosts")
    }

    #[test]
    fn entries_say_which_hosts_and_ports() {
        let hosts = hosts(&[
            "CDN.shop.example",
            "img.shop.example:8443",
            "*.wild.example",
            "10.0.0.7",
            "[fd00::7]:81",
        ]);
        let target = |address: &str| hosts.target(address).map(|t| t.uri.to_string());
        for (address, asked) in [
            ("https://cdn.shop.example", "https://cdn.shop.example/"),
            (
                "HTTP://cdn.SHOP.example:80/A?b#c",
                "http://cdn.shop.example/A?b",
            ),
            (
                "http://cdn.shop.example:443/",
                "http://cdn.shop.example:443/",
            ),
            ("http://cdn.shop.example?a", "http://cdn.shop.example/?a"),
            (
                "https://img.shop.example:8443/",
                "https://img.shop.example:8443/",
            ),
            ("https://a.b.wild.example/", "https://a.b.wild.example/"),
            ("https://10.0.0.7/", "https://10.0.0.7/"),
            ("http://[FD00:0::7]:81/", "http://[fd00::7]:81/"),
            ("http://cdn.shop.example#@x", "http://cdn.shop.example/"),
        ] {
            assert!(hosts.check(address).is_ok(), "{address}");
            assert_eq!(target(address).expect("allowed"), asked);
        }
        for (address, why) in [
            ("https://shop.example/", Refusal::NotListed),
            ("https://wild.example/", Refusal::NotListed),
            ("https://notwild.example/", Refusal::NotListed),
            ("https://cdn.shop.example.evil.example/", Refusal::NotListed),
            ("https://evil.example/cdn.shop.example", Refusal::NotListed),
            ("https://evil.example?.wild.example", Refusal::NotListed),
            ("https://evil.example#.wild.example", Refusal::NotListed),
            ("http://[::ffff:10.0.0.7]/", Refusal::NotListed),
            ("https://cdn.shop.example:8080/", Refusal::OtherPort),
            ("https://img.shop.example/", Refusal::OtherPort),
            ("https://cdn.shop.example:0/", Refusal::Port),
            ("https://cdn.shop.example:65536/", Refusal::Port),
            ("https://cdn.shop.example:+443/", Refusal::Port),
            ("https://cdn.shop.example:/", Refusal::Port),
            ("https://user:password@cdn.shop.example/", Refusal::User),
            ("https://cdn.shop.example@evil.example/", Refusal::User),
            ("https://@cdn.shop.example/", Refusal::User),
            ("https://evil.example\\.wild.example/", Refusal::Host),
            ("https://cdn.shop.example./", Refusal::Host),
            ("https://cdn.sh%6fp.example/", Refusal::Host),
            ("https://cdn.shöp.example/", Refusal::Host),
            ("https:///cdn.shop.example/", Refusal::Host),
            ("http://[fe80::1%25eth0]/", Refusal::Host),
            ("http://[10.0.0.7]/", Refusal::Host),
            ("http://a[fd00::7]:81/", Refusal::Host),
            ("https://cdn.shop.example/\r\nx: y", Refusal::Character),
            ("ftp://cdn.shop.example/", Refusal::Scheme),
            ("file:///etc/passwd", Refusal::Scheme),
            ("file:/etc/passwd", Refusal::Scheme),
            ("gopher://cdn.shop.example/", Refusal::Scheme),
            ("cdn.shop.example/1.jpg", Refusal::Scheme),
            ("//cdn.shop.example/1.jpg", Refusal::Scheme),
            (" https://cdn.shop.example/", Refusal::Scheme),
            ("", Refusal::Scheme),
        ] {
            let refused = hosts.target(address).expect_err("refused");
            assert_eq!(refused.why, why, "{address}");
            assert_eq!(hosts.check(address), Err(refused.to_string()));
        }
        let long = format!("https://cdn.shop.example/{}", "x".repeat(2_048 - 25));
        assert_eq!(long.len(), 2_048);
        assert!(hosts.check(&long).is_ok());
        let longer = hosts.target(&format!("{long}x")).expect_err("refused");
        assert_eq!(longer.why, Refusal::TooLong);
        let named = hosts.check("https://Shop.example/").expect_err("refused");
        assert_eq!(
            named,
            "shop.example: the setting picture_hosts does not name the host"
        );
    }

    #[test]
    fn entries_that_are_no_hosts_are_errors() {
        let more = |entry: &str| HostError::MoreThanHost(entry.to_owned());
        let wildcard = |entry: &str| HostError::Wildcard(entry.to_owned());
        let port = |entry: &str| HostError::Port(entry.to_owned());
        let host = |entry: &str| HostError::Host(entry.to_owned());
        for (entry, error) in [
            ("", HostError::Empty),
            ("http://x", more("http://x")),
            ("x/y", more("x/y")),
            ("user@x", more("user@x")),
            ("*.*", wildcard("*.*")),
            ("*.", wildcard("*.")),
            ("*x", wildcard("*x")),
            ("x.*", wildcard("x.*")),
            ("**", wildcard("**")),
            ("*.10.0.0.1", wildcard("*.10.0.0.1")),
            ("x:", port("x:")),
            ("x:0", port("x:0")),
            ("x:y", port("x:y")),
            ("x:65536", port("x:65536")),
            ("::1", host("::1")),
            ("a b", host("a b")),
            ("x.", host("x.")),
            ("2130706433", host("2130706433")),
            ("[::1", host("[::1")),
        ] {
            let entries = ["cdn.example".to_owned(), entry.to_owned()];
            assert_eq!(PictureHosts::new(&entries), Err(error), "{entry:?}");
        }
    }

    #[test]
    fn addresses_have_classes() {
        for (addresses, class) in [
            (
                "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
                 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 \
                 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 2001:200::1 \
                 2001:db7::1 2003::1 ::ffff:1.1.1.1 64:ff9b::1.1.1.1 2002:101:101::1",
                Class::Public,
            ),
            (
                "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::1 \
                 ::127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b:1::127.0.0.1",
                Class::Loopback,
            ),
            (
                "10.0.0.1 10.255.255.255 100.64.0.0 100.127.255.255 172.16.0.0 172.31.255.255 \
                 192.168.0.1 fc00::1 fd12::1 fec0::1 ::ffff:10.0.0.1 64:ff9b::192.168.0.1 \
                 2002:a00:1:: 64:ff9b:1::10.0.0.1",
                Class::Private,
            ),
            (
                "169.254.0.1 169.254.169.254 fe80::1 febf::1 ::ffff:169.254.169.254 \
                 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1",
                Class::LinkLocal,
            ),
            (
                "100.100.100.200 192.0.0.192 168.63.129.16 fd00:ec2::254 fd20:ce::254 \
                 ::ffff:168.63.129.16",
                Class::Metadata,
            ),
            (
                "0.0.0.0 0.1.2.3 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.0 198.19.255.255 \
                 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 \
                 :: ::2 ::1.1.1.1 100::1 ff02::1 2001::1 2001:2::1 2001:1ff::1 2001:db8::1 \
                 3fff::1 5f00::1 64:ff9b:1::1.1.1.1 ::ffff:224.0.0.1 1::1",
                Class::Reserved,
            ),
        ] {
            for text in addresses.split_whitespace() {
                let address: IpAddr = text.parse().expect("an address");
                assert_eq!(Class::of(address), class, "{text}");
                let public = class == Class::Public;
                assert_eq!(Trust::Wildcard.allows(address).is_ok(), public, "{text}");
                let never = matches!(class, Class::LinkLocal | Class::Metadata);
                assert_eq!(Trust::Name.allows(address).is_err(), never, "{text}");
                assert!(Trust::Address.allows(address).is_ok(), "{text}");
            }
        }
    }
}
