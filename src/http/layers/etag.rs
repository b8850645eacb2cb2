//! Conditional requests: validators and `If-None-Match` (RFC 9110, sections 8.8.3 and 13.1.2).

use axum::http::{HeaderMap, header};

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
}
