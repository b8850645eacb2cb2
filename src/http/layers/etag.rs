//! Conditional requests: validators, `If-Match` and `If-None-Match` (RFC 9110, sections 8.8.3 and
//! 13.1).

use axum::http::{HeaderMap, HeaderName, header};

use crate::domain::{Conditions, Versions};
use crate::util::digest::hex;

/// A strong validator of content with this sha256: the same bytes, the same tag.
pub fn etag(sha256: &[u8; 32]) -> String {
    format!("\"{}\"", hex(&sha256[..16]))
}

/// Whether `If-None-Match` names the tag: weak comparison, a list, or `*`.
pub fn matches(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// What `If-Match` and `If-None-Match` ask of a product's version. A tag that is no version's matches
/// none; what is not a tag at all is met by no product that is there.
pub fn conditions(headers: &HeaderMap) -> Conditions {
    Conditions {
        is: versions(headers, &header::IF_MATCH, strong),
        is_not: versions(headers, &header::IF_NONE_MATCH, |tag| {
            strong(tag.strip_prefix("W/").unwrap_or(tag))
        }),
    }
}

fn versions(
    headers: &HeaderMap,
    name: &HeaderName,
    version: impl Fn(&str) -> Option<u64>,
) -> Option<Versions> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let values = values.map(|value| value.to_str().unwrap_or_default());
    let mut these = Vec::new();
    for tag in values.flat_map(|value| value.split(',')).map(str::trim) {
        let is_tag = tag.strip_prefix("W/").unwrap_or(tag).starts_with('"');
        if tag == "*" || (!is_tag && name == header::IF_NONE_MATCH) {
            return Some(Versions::Any);
        }
        these.extend(version(tag));
    }
    Some(Versions::These(these))
}

/// The version that a strong tag is made of.
fn strong(tag: &str) -> Option<u64> {
    let text = tag.strip_prefix('"')?.strip_suffix('"')?;
    let version: u64 = text.parse().ok()?;
    Some(version).filter(|version| version.to_string() == text)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn if_none_match() {
        let matches = |value: &'static str| {
            let header = (header::IF_NONE_MATCH, HeaderValue::from_static(value));
            matches(&HeaderMap::from_iter([header]), "\"abc\"")
        };
        assert!(matches("\"abc\"") && matches("W/\"abc\""));
        assert!(matches("\"x\", \"abc\"") && matches("*"));
        assert!(!matches("\"ab\"") && !matches("abc") && !matches(""));
    }

    #[test]
    fn versions_in_conditions() {
        let of = |name: HeaderName, value: &'static str| {
            conditions(&HeaderMap::from_iter([(
                name,
                HeaderValue::from_static(value),
            )]))
        };
        let is = |value| of(header::IF_MATCH, value).is;
        let is_not = |value| of(header::IF_NONE_MATCH, value).is_not;
        let these = |versions: &[u64]| Some(Versions::These(versions.to_vec()));
        assert_eq!(conditions(&HeaderMap::new()), Conditions::default());
        assert_eq!(is("*"), Some(Versions::Any));
        assert_eq!(is("\"7\", \"x\",\"8\""), these(&[7, 8]));
        for none in ["W/\"7\"", "7", "\"07\"", "\"+7\"", "", "\"-1\""] {
            assert_eq!(is(none), these(&[]), "{none}");
        }
        assert_eq!(is_not("W/\"7\""), these(&[7]));
        assert_eq!(is_not("*"), Some(Versions::Any));
        assert_eq!(is_not("\"x\""), these(&[]));
        assert_eq!(is_not("7"), Some(Versions::Any));
    }
}
