//! Formats of feeds, and which one a file is in, by its content.

use std::fmt;
use std::str::FromStr;

use super::input::Input;
use super::row::SourceError;
use super::table::{Header, Table};
use super::{kaggle, merchant, plain, shopify, woocommerce};

/// How a feed is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Our own rows: JSON Lines, or an array of them.
    Json,
    /// schema.org's `Product` and `ProductGroup`.
    JsonLd,
    /// Google Merchant Center: TSV, CSV, RSS 2.0 or Atom.
    Merchant,
    /// Shopify's CSV of products.
    Shopify,
    /// WooCommerce's CSV of products.
    WooCommerce,
    /// Any other table, by the names of its columns or by a mapping.
    Table,
    /// Kaggle's "Fashion Product Images".
    Kaggle,
}

impl Format {
    const ALL: [(Self, &str); 7] = [
        (Self::Merchant, "merchant"),
        (Self::Shopify, "shopify"),
        (Self::WooCommerce, "woocommerce"),
        (Self::JsonLd, "json-ld"),
        (Self::Json, "json"),
        (Self::Table, "table"),
        (Self::Kaggle, "kaggle"),
    ];

    /// The format that a feed is in, as far as it can be seen.
    pub(super) fn of(input: &Input) -> Result<Self, SourceError> {
        let text = input.text();
        let text = text.trim_start();
        match text.chars().next() {
            None => return Err(SourceError::not(&input.path, "is empty")),
            Some('<') => return merchant_xml(input, text),
            Some('{' | '[') => {
                let linked = text.contains("\"@type\"") || text.contains("\"@context\"");
                return Ok(if linked { Self::JsonLd } else { Self::Json });
            }
            _ => {}
        }
        let (header, separator) = Table::header_of(text, None);
        for (format, is) in [
            (Self::Kaggle, kaggle::is as fn(&Header) -> bool),
            (Self::Shopify, shopify::is),
            (Self::WooCommerce, woocommerce::is),
            (Self::Merchant, merchant::is),
            (Self::Table, plain::is),
        ] {
            if is(&header) {
                return Ok(format);
            }
        }
        Err(unknown(input, &header, separator))
    }
}

fn merchant_xml(input: &Input, text: &str) -> Result<Format, SourceError> {
    let start: String = text.chars().take(4_096).collect::<String>().to_lowercase();
    if start.contains("<html") || start.contains("<!doctype html") {
        let what =
            "is a web page (HTML), not a feed: is the address right, and does it want a log-in?";
        return Err(SourceError::not(&input.path, what));
    }
    let has_items = [
        "<rss", "<feed", ":feed", "<rdf", "<channel", "<item", "<entry",
    ];
    if has_items.iter().any(|root| start.contains(root)) {
        return Ok(Format::Merchant);
    }
    let what = "is XML, but no feed as Google Merchant Center takes it: RSS 2.0 (<rss>, <item>) or Atom (<feed>, <entry>)";
    Err(SourceError::not(&input.path, what))
}

/// What was looked for, and what was found.
fn unknown(input: &Input, header: &Header, separator: char) -> SourceError {
    let names: Vec<String> = header
        .names
        .iter()
        .take(12)
        .map(|n| format!("{:?}", n.chars().take(40).collect::<String>()))
        .collect();
    let more = if header.names.len() > 12 { ", .." } else { "" };
    let parted = match separator {
        '\t' => "tabs",
        ';' => "semicolons",
        '|' => "bars",
        _ => "commas",
    };
    let what = format!(
        "is a table whose columns are not known: the first line has {} fields parted by {parted} ({}{more}). It needs a \
         column of ids (\"id\" or \"sku\") and one of titles (\"title\" or \"name\"); a mapping says which columns these are",
        header.names.len(),
        names.join(", "),
    );
    SourceError::not(&input.path, what)
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(format, _)| format == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(format, _)| *format).ok_or_else(|| {
            let names = Self::ALL.map(|(_, name)| name).join(", ");
            format!("{text:?} is not a format that is read; these are: {names}")
        })
    }
}

impl<'de> serde::Deserialize<'de> for Format {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How the objects of a file of JSON are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Each in a line.
    Lines,
    /// One behind the other; or in an array that begins behind so many bytes.
    Objects(Option<usize>),
}

impl Layout {
    /// Fields of an object that hold the list of products.
    const LISTS: [&str; 8] = [
        "products",
        "items",
        "data",
        "results",
        "rows",
        "catalog",
        "@graph",
        "itemListElement",
    ];

    pub(super) fn of(input: &Input) -> Self {
        let head = &input.head;
        let start = head
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        if head.get(start) == Some(&b'[') {
            return Self::Objects(Some(start + 1));
        }
        if let Some(list) = Self::list(head) {
            return Self::Objects(Some(list));
        }
        let mut lines = head[start..].split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok();
        let next = lines.map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
        let goes_on = next.is_some_and(|next| !next.starts_with(b"{"));
        if is_whole || !goes_on {
            return Self::Lines;
        }
        Self::Objects(None)
    }

    /// The bytes up to the list in the object that a file is, where it has one.
    fn list(head: &[u8]) -> Option<usize> {
        let (mut depth, mut string, mut escaped) = (0_usize, None, false);
        let mut name: &[u8] = &[];
        for (at, byte) in head.iter().enumerate() {
            if let Some(start) = string {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => {
                        name = &head[start..at];
                        string = None;
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => string = Some(at + 1),
                b'[' if depth == 1 && Self::LISTS.iter().any(|list| list.as_bytes() == name) => {
                    return Some(at + 1);
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    // The first object of several.
                    if depth == 0 {
                        return None;
                    }
                }
                b',' => name = &[],
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use super::*;

    fn input(text: &str) -> Input {
        Input::of(
            Path::new("f"),
            Box::new(Cursor::new(text.as_bytes().to_vec())),
        )
        .expect("text")
    }

    #[test]
    fn a_format_is_seen_in_the_content() {
        for (text, format) in [
            ("{\"id\": 1, \"title\": \"x\"}", Format::Json),
            ("\u{feff} [{\"id\": 1}]", Format::Json),
            (
                "{\"@context\": \"https://schema.org\", \"@type\": \"Product\"}",
                Format::JsonLd,
            ),
            (
                "<?xml version=\"1.0\"?>\n<rss><channel><item>",
                Format::Merchant,
            ),
            (
                "<feed xmlns=\"http://www.w3.org/2005/Atom\">",
                Format::Merchant,
            ),
            ("id\ttitle\tlink\timage link\tprice", Format::Merchant),
            (
                "g:id,g:title,g:link,g:price,g:availability",
                Format::Merchant,
            ),
            (
                "Handle,Title,Body (HTML),Vendor,Variant SKU",
                Format::Shopify,
            ),
            ("Title,URL handle,Description,Vendor,SKU", Format::Shopify),
            (
                "ID,Type,SKU,Name,Published,\"Regular price\"",
                Format::WooCommerce,
            ),
            ("id,gender,articleType,productDisplayName", Format::Kaggle),
            ("sku;name;price", Format::Table),
        ] {
            assert_eq!(Format::of(&input(text)).expect(text), format, "{text}");
        }
        for (text, says) in [
            ("", "is empty"),
            ("<!DOCTYPE html><html>", "web page"),
            ("<products><product/></products>", "no feed"),
            ("Artikel;Bezeichnung", "\"Artikel\", \"Bezeichnung\""),
            ("version https://git-lfs.github.com/spec/v1", "Git LFS"),
            ("i\0d\0,\0t\0i\0", "UTF-16"),
        ] {
            let bytes = Box::new(Cursor::new(text.as_bytes().to_vec()));
            let read = Input::of(Path::new("f"), bytes).and_then(|input| Format::of(&input));
            let error = read.expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
        }
        for (format, name) in Format::ALL {
            assert_eq!(name.parse(), Ok(format));
            assert_eq!(format.to_string(), name);
        }
        let error = "xls".parse::<Format>().expect_err("unknown");
        assert!(error.contains("shopify"), "{error}");
    }

    #[test]
    fn objects_of_json_are_laid_out_as_people_like() {
        for (text, layout) in [
            ("{\"id\": 1}\n{\"id\": 2}", Layout::Lines),
            ("{\"id\": 1}", Layout::Lines),
            ("{\"id\": 1\n{\"id\": 2}", Layout::Lines),
            ("{\n  \"id\": 1\n}\n{\n", Layout::Objects(None)),
            (" [{\"id\": 1}]", Layout::Objects(Some(2))),
            ("{\"total\": 2, \"products\": [{", Layout::Objects(Some(26))),
            (
                "{\"id\": 1, \"images\": [\"a\"]}\n{\"products\": [",
                Layout::Lines,
            ),
        ] {
            assert_eq!(Layout::of(&input(text)), layout, "{text}");
        }
    }
}
