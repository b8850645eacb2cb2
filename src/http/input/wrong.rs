//! What is wrong with JSON, in words of those who write it: serde speaks of `usize` and of sequences.

use serde_path_to_error::Path;

/// The reason without the names of Rust's types, with the field before it.
pub fn reason(path: &Path, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (text, place) = match text.rfind(" at line ") {
        Some(at) => (&text[..at], text[at..].to_owned()),
        None => (text.as_str(), String::new()),
    };
    let field = path.to_string();
    let plain = plain(text);
    if field == "." || plain.contains(&format!("`{field}`")) {
        return format!("{plain}{place}");
    }
    format!("{field}: {plain}{place}")
}

fn plain(text: &str) -> String {
    for start in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some(rest) = text.strip_prefix(start)
            && let Some((got, wanted)) = rest.rsplit_once(", expected ")
        {
            let got = if start == "invalid length " {
                format!("{got} parts")
            } else {
                given(got)
            };
            return format!("{got} is not {}", expected(wanted));
        }
    }
    text.to_owned()
}

/// What was written.
fn given(text: &str) -> String {
    let (kind, value) = text.split_once(' ').unwrap_or((text, ""));
    let value = value.trim_matches('`');
    match kind {
        "string" | "character" => format!("the text {value}"),
        "integer" => format!("the number {value}"),
        "floating" => format!("the number {}", value.trim_start_matches("point `")),
        "boolean" => value.to_owned(),
        "null" | "unit" | "Option" => "null".to_owned(),
        "sequence" | "tuple" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        _ => text.to_owned(),
    }
}

/// What should have been.
fn expected(text: &str) -> &str {
    match text {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number that is not negative",
        "i64" | "i32" | "i16" | "i8" => "a whole number",
        "f64" | "f32" | "a JSON number" => "a number",
        "a string" | "string" | "str" => "a text",
        "a boolean" | "bool" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        "any valid JSON value" => "a value",
        other if other.starts_with("struct ") || other.starts_with("internally tagged") => {
            "an object"
        }
        other if other.contains("enum ") => "one of the texts that it may be",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::http::input::json::SearchBody;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only their errors are looked at")]
    struct All {
        count: Option<u32>,
        below: Option<i64>,
        share: Option<f64>,
        list: Option<Vec<String>>,
        map: Option<BTreeMap<String, bool>>,
    }

    fn wrong<T: serde::de::DeserializeOwned>(text: &str) -> Option<String> {
        let read = &mut serde_json::Deserializer::from_str(text);
        let error = serde_path_to_error::deserialize::<_, T>(read).err()?;
        Some(reason(error.path(), error.inner()))
    }

    #[test]
    fn no_name_of_rust_is_in_a_reason() {
        for (text, says) in [
            (
                r#"{"count": "10"}"#,
                "count: the text \"10\" is not a whole number that is not negative",
            ),
            (
                r#"{"count": -1}"#,
                "count: the number -1 is not a whole number that is not negative",
            ),
            (
                r#"{"below": 1.5}"#,
                "below: the number 1.5 is not a whole number",
            ),
            (r#"{"share": []}"#, "share: a list is not a number"),
            (r#"{"list": "x"}"#, "list: the text \"x\" is not a list"),
            (r#"{"list": [7]}"#, "list[0]: the number 7 is not a text"),
            (
                r#"{"map": {"a": "yes"}}"#,
                "map.a: the text \"yes\" is not true or false",
            ),
            (r#"{"map": true}"#, "map: true is not an object"),
            ("7", "the number 7 is not an object"),
        ] {
            let reason = wrong::<All>(text).expect(text);
            assert!(reason.starts_with(says), "{text}: {reason}");
        }
    }

    #[test]
    fn each_field_of_a_search_says_what_it_wants() {
        let fields = [
            "q",
            "filters",
            "filter",
            "limit",
            "offset",
            "sort",
            "group_by",
            "diversify",
            "mode",
            "words_weight",
            "typo",
            "prefix",
            "cut",
            "facets",
            "facet_limit",
            "facet_query",
            "facet_ranges",
            "explain",
            "exclude",
        ];
        let values = [
            "\"x\"",
            "7",
            "-1.5",
            "true",
            "[]",
            "{}",
            "[7]",
            "{\"a\": 1}",
            "[[]]",
            "null",
        ];
        let rust = [
            "usize",
            "u64",
            "i64",
            "f32",
            "f64",
            "struct",
            "enum",
            "sequence",
            "map",
            "variant of",
            "string",
            "SearchBody",
        ];
        for field in fields {
            assert_eq!(
                wrong::<SearchBody>(&format!("{{\"{field}\": null}}")),
                None,
                "{field}: null is none"
            );
            for value in values {
                let text = format!("{{\"{field}\": {value}}}");
                let Some(reason) = wrong::<SearchBody>(&text) else {
                    continue;
                };
                let words: Vec<&str> = reason
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .collect();
                let named = rust.iter().find(|name| {
                    words.contains(name) || (name.contains(' ') && reason.contains(*name))
                });
                assert_eq!(named, None, "{text}: {reason}");
                assert!(reason.contains(field), "{text}: {reason}");
            }
        }
        assert_eq!(
            wrong::<SearchBody>(r#"{"q": "boots", "filters": []}"#),
            None
        );
    }
}
