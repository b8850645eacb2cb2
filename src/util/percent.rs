//! Percent-encoding as RFC 3986 has it, over the crate `percent-encoding`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A text as one segment of a path or one value of a query string.
#[must_use]
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// One name or value of `application/x-www-form-urlencoded`: `+` is a space, and a `%` that starts
/// no escape is itself (WHATWG URL standard, section 5.1). `None` when the result is not UTF-8.
#[must_use]
pub fn decode_form(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_unreserved_characters_is_escaped() {
        assert_eq!(encode("a/b c?#%"), "a%2Fb%20c%3F%23%25");
        assert_eq!(encode("é-._~9"), "%C3%A9-._~9");
    }

    #[test]
    fn forms_are_decoded_as_browsers_write_them() {
        assert_eq!(
            decode_form("black+shoes%21").as_deref(),
            Some("black shoes!")
        );
        assert_eq!(decode_form("100%+%zz%4").as_deref(), Some("100% %zz%4"));
        assert_eq!(decode_form("%2B").as_deref(), Some("+"));
        assert_eq!(decode_form("%FF"), None);
    }
}
