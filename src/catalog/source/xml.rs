//! The items of RSS 2.0 and the entries of Atom, one by one: one that is no XML costs itself.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::PathBuf;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::input::Input;
use super::lines::{Lines, newlines};
use super::row::SourceError;
use super::table::plain;
use crate::domain::text::{clean, decoded, windows_1252};

/// The names and texts of a product.
#[derive(Default)]
pub(super) struct Item {
    pub(super) line: u64,
    /// Bytes that are not UTF-8 were replaced.
    pub(super) lossy: bool,
    /// By their plain names, in their order, with whether they had the prefix `g:`.
    texts: Vec<(String, String, bool)>,
    /// Names and values of `product_detail`.
    pub(super) details: Vec<(String, String)>,
}

impl Item {
    pub(super) fn at(line: u64) -> Self {
        Self {
            line,
            ..Self::default()
        }
    }

    /// Adds a text by its plain name.
    pub(super) fn add(&mut self, name: &str, text: &str) {
        self.texts.push((name.to_owned(), text.to_owned(), false));
    }

    /// The first text of a name that says something; what Merchant Center says goes before what RSS
    /// and Atom say themselves.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let all = || {
            self.texts
                .iter()
                .filter(|(known, text, _)| known == name && !clean(text).is_empty())
        };
        let own = all()
            .find(|(.., prefixed)| *prefixed)
            .or_else(|| all().next());
        own.map(|(_, text, _)| text.as_str())
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let all = self.texts.iter().filter(move |(known, ..)| known == name);
        all.map(|(_, text, _)| text.as_str())
    }

    /// Each name once.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.texts.iter().map(|(name, ..)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Splits a feed into its items, without looking into them.
pub(super) struct Items {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    line: u64,
    /// It says that it is not in UTF-8, but in the letters of Western Europe.
    is_latin: bool,
    /// The tag of an item that began before the one before had ended.
    begun: Option<(u64, Vec<u8>)>,
    closed: bool,
    ended: bool,
}

impl Items {
    pub(super) fn of(input: Input) -> Self {
        let text = input.text();
        let declaration = text.split("?>").next().unwrap_or_default().to_lowercase();
        let is_latin = ["iso-8859-1", "iso-8859-15", "windows-1252", "latin1"]
            .iter()
            .any(|name| declaration.starts_with("<?xml") && declaration.contains(name));
        Self {
            path: input.path,
            reader: input.reader,
            line: 1,
            is_latin,
            begun: None,
            closed: false,
            ended: false,
        }
    }

    /// Reads up to a byte and with it, into `bytes`; false at the end.
    fn until(&mut self, byte: u8, bytes: &mut Vec<u8>) -> Result<bool, SourceError> {
        let start = bytes.len();
        let mut most = std::io::Read::take(&mut self.reader, Lines::LONGEST + 2);
        let read = most.read_until(byte, bytes);
        read.map_err(|source| SourceError::Io {
            path: self.path.clone(),
            source,
        })?;
        let new = &bytes[start..];
        self.line += newlines(new);
        Ok(new.last() == Some(&byte) || new.len() as u64 > Lines::LONGEST)
    }

    /// The next tag, comment or section of characters, with what stands before it; `None` at the end.
    fn tag(&mut self, bytes: &mut Vec<u8>) -> Result<Option<Tag>, SourceError> {
        if !self.until(b'<', bytes)? {
            return Ok(None);
        }
        let start = bytes.len();
        if !self.until(b'>', bytes)? {
            return Ok(None);
        }
        for (open, close) in [(&b"![CDATA["[..], &b"]]>"[..]), (b"!--", b"-->")] {
            if bytes[start..].starts_with(open) {
                while !bytes.ends_with(close) && (bytes.len() as u64) < Lines::LONGEST {
                    if !self.until(b'>', bytes)? {
                        return Ok(None);
                    }
                }
                return Ok(Some(Tag::Other));
            }
        }
        // A tag that is not closed costs itself, not the one behind it.
        let inner = bytes[start..].iter().rposition(|byte| *byte == b'<');
        let tag = &bytes[start + inner.map_or(0, |at| at + 1)..];
        let closes = tag.starts_with(b"/");
        let name = &tag[usize::from(closes)..];
        let end = name
            .iter()
            .position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'));
        let name = &name[..end.unwrap_or(name.len())];
        let local = name.rsplit(|b| *b == b':').next().unwrap_or_default();
        Ok(Some(match (local, closes) {
            (b"item" | b"entry", true) => Tag::ItemEnds,
            (b"item" | b"entry", false) if !tag.ends_with(b"/>") => Tag::ItemBegins,
            (b"rss" | b"feed" | b"RDF", true) => Tag::FeedEnds,
            _ => Tag::Other,
        }))
    }

    /// The next item, or its line and why it cannot be read; `None` at the end.
    #[expect(clippy::type_complexity, reason = "an item or a rejected row")]
    pub(super) fn next(&mut self) -> Result<Option<Result<Item, (u64, String)>>, SourceError> {
        let (line, mut bytes) = loop {
            if self.ended {
                return Ok(None);
            }
            if let Some(begun) = self.begun.take() {
                break begun;
            }
            let mut bytes = Vec::new();
            match self.tag(&mut bytes)? {
                Some(Tag::ItemBegins) => {
                    let tag = bytes.iter().rposition(|b| *b == b'<').unwrap_or_default();
                    break (self.line, bytes.split_off(tag));
                }
                Some(Tag::FeedEnds) => self.closed = true,
                Some(_) => {}
                None => {
                    self.ended = true;
                    if !self.closed {
                        let reason = "the file ends before the feed does".to_owned();
                        return Ok(Some(Err((self.line, reason))));
                    }
                }
            }
        };
        loop {
            if bytes.len() as u64 > Lines::LONGEST {
                let reason = format!(
                    "the item is longer than {} bytes, or does not end",
                    Lines::LONGEST
                );
                self.skip()?;
                return Ok(Some(Err((line, reason))));
            }
            let before = bytes.len();
            match self.tag(&mut bytes)? {
                Some(Tag::ItemEnds) => break,
                Some(Tag::Other) => {}
                Some(Tag::ItemBegins) => {
                    let tag = bytes.iter().rposition(|b| *b == b'<').unwrap_or(before);
                    self.begun = Some((self.line, bytes.split_off(tag)));
                    let reason = "the item does not end before the next one begins".to_owned();
                    return Ok(Some(Err((line, reason))));
                }
                Some(Tag::FeedEnds) => {
                    self.closed = true;
                    let reason = "the item does not end before the feed does".to_owned();
                    return Ok(Some(Err((line, reason))));
                }
                None => {
                    self.ended = true;
                    let reason = "the file ends in the middle of an item".to_owned();
                    return Ok(Some(Err((line, reason))));
                }
            }
        }
        let (text, lossy) = self.decode(bytes);
        let item = parse(&text).map(|item| Item {
            line,
            lossy,
            ..item
        });
        Ok(Some(item.map_err(|reason| (line, reason))))
    }

    /// Goes behind the end of an item.
    fn skip(&mut self) -> Result<(), SourceError> {
        loop {
            let mut bytes = Vec::new();
            match self.tag(&mut bytes)? {
                Some(Tag::ItemEnds) => return Ok(()),
                Some(Tag::ItemBegins) => {
                    let tag = bytes.iter().rposition(|b| *b == b'<').unwrap_or_default();
                    self.begun = Some((self.line, bytes.split_off(tag)));
                    return Ok(());
                }
                Some(Tag::FeedEnds) => {
                    self.closed = true;
                    return Ok(());
                }
                Some(Tag::Other) => {}
                None => {
                    self.ended = true;
                    return Ok(());
                }
            }
        }
    }

    fn decode(&self, bytes: Vec<u8>) -> (String, bool) {
        if self.is_latin {
            let letter = |byte: &u8| windows_1252(u32::from(*byte)).unwrap_or(char::from(*byte));
            return (bytes.iter().map(letter).collect(), false);
        }
        match String::from_utf8(bytes) {
            Ok(text) => (text, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        }
    }
}

enum Tag {
    ItemBegins,
    ItemEnds,
    FeedEnds,
    Other,
}

/// Elements whose own elements are part of their text: HTML that was not escaped.
const MARKED_UP: [&str; 4] = ["title", "description", "summary", "content"];

/// The names and texts of one item. What stands in an element of an element is not the item's: the
/// `price` of a `shipping`, say.
fn parse(text: &str) -> Result<Item, String> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut item = Item::default();
    // The names of the elements that are open, the item first, as they are written.
    let mut open: Vec<String> = Vec::new();
    // How many elements of a name are open: ends that nothing began are passed over quickly.
    let mut counts: HashMap<String, usize> = HashMap::new();
    // The element that is the item's own is a text with elements of its own.
    let mut marked_up = false;
    let (mut own, mut child) = (String::new(), String::new());
    let mut detail = (String::new(), String::new());
    loop {
        let event = reader
            .read_event()
            .map_err(|error| format!("no XML: {error}"))?;
        match event {
            Event::Start(tag) => {
                let name = lossy(tag.name().as_ref());
                match open.len() {
                    1 => {
                        own = link(&tag)
                            .filter(|_| local(&name) == "link")
                            .unwrap_or_default();
                    }
                    2 => child.clear(),
                    _ => {}
                }
                if marked_up && open.len() > 1 {
                    own.extend(["<", &name, ">"]);
                }
                if open.len() == 1 {
                    marked_up = MARKED_UP.contains(&local(&name).as_str());
                }
                *counts.entry(name.clone()).or_default() += 1;
                open.push(name);
            }
            Event::Empty(tag) if open.len() == 1 => {
                let name = lossy(tag.name().as_ref());
                if let Some(link) = link(&tag).filter(|_| local(&name) == "link") {
                    item.close(local(&name), is_google(&name), link);
                }
            }
            Event::Empty(tag) if marked_up && open.len() > 1 => {
                own.extend(["<", &lossy(tag.name().as_ref()), "/>"]);
            }
            Event::Text(text) => add(open.len(), marked_up, &mut own, &mut child, &lossy(&text)),
            Event::CData(data) => add(open.len(), marked_up, &mut own, &mut child, &lossy(&data)),
            Event::GeneralRef(entity) => {
                let text = decoded(&format!("&{};", lossy(&entity))).into_owned();
                add(open.len(), marked_up, &mut own, &mut child, &text);
            }
            Event::End(tag) => {
                let name = lossy(tag.name().as_ref());
                // An end that nothing began is passed over; one of an outer element ends the inner ones.
                if counts.get(&name).is_none_or(|count| *count == 0) {
                    continue;
                }
                let Some(place) = open.iter().rposition(|open| *open == name) else {
                    continue;
                };
                for ended in open.drain(place..) {
                    if let Some(count) = counts.get_mut(&ended) {
                        *count -= 1;
                    }
                }
                match place {
                    0 => return Ok(item),
                    1 if local(&name) == "product_detail" => {
                        item.details.push(std::mem::take(&mut detail));
                        item.close(local(&name), true, String::new());
                    }
                    1 => item.close(local(&name), is_google(&name), std::mem::take(&mut own)),
                    2 if local(&open[1]) == "product_detail" => match local(&name).as_str() {
                        "attribute_name" => detail.0 = std::mem::take(&mut child),
                        "attribute_value" => detail.1 = std::mem::take(&mut child),
                        _ => {}
                    },
                    _ if marked_up => own.extend(["</", &name, ">"]),
                    _ => {}
                }
            }
            Event::Eof => return Ok(item),
            _ => {}
        }
    }
}

/// Prefixes of modules whose names are not Merchant Center's: `dc:title` is no title.
const MODULES: [&str; 12] = [
    "dc", "media", "content", "sy", "slash", "itunes", "wfw", "georss", "excerpt", "wp", "xhtml",
    "xml",
];

/// The plain name of an element: Merchant Center's prefix is `g` by habit, any by right, and exporters
/// forget to declare it.
fn local(name: &str) -> String {
    match name.split_once(':') {
        Some((prefix, rest)) if !MODULES.contains(&prefix) => plain(rest),
        _ => plain(name),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Adds a text that so many elements are open around.
fn add(open: usize, marked_up: bool, own: &mut String, child: &mut String, text: &str) {
    match open {
        2 => own.push_str(text),
        3.. if marked_up => own.push_str(text),
        3 => child.push_str(text),
        _ => {}
    }
}

/// The address in `href`, as Atom's `link` has it, unless it is the feed's own.
fn link(tag: &BytesStart<'_>) -> Option<String> {
    let attribute = |name: &str| {
        let mut all = tag.html_attributes();
        let named = all.with_checks(false).flatten();
        let mut named = named.filter(|attribute| attribute.key.as_ref() == name.as_bytes());
        let value = named.next().map(|attribute| lossy(&attribute.value));
        value.map(|value| decoded(&value).into_owned())
    };
    let address = attribute("href")?;
    let rel = attribute("rel");
    rel.is_none_or(|rel| rel == "alternate").then_some(address)
}

/// Whether a name has a prefix: it is Merchant Center's, not one of RSS and Atom themselves.
fn is_google(name: &str) -> bool {
    name.contains(':')
}

impl Item {
    /// Takes the text of an element that ends.
    fn close(&mut self, name: String, is_google: bool, text: String) {
        self.texts.push((name, text, is_google));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use super::*;

    /// Each item as `line:name=text`, or `line!reason`.
    fn items(text: &[u8]) -> Vec<String> {
        let input = Input::of(Path::new("f.xml"), Box::new(Cursor::new(text.to_vec())));
        let mut items = Items::of(input.expect("text"));
        let mut all = Vec::new();
        while let Some(item) = items.next().expect("reads") {
            all.push(match item {
                Ok(item) => {
                    let texts = item
                        .texts
                        .iter()
                        .map(|(name, text, _)| format!("{name}={}", clean(text)));
                    format!("{}:{}", item.line, texts.collect::<Vec<_>>().join("|"))
                }
                Err((line, reason)) => format!("{line}!{reason}"),
            });
        }
        all
    }

    #[test]
    fn each_item_is_read_alone() {
        let text = "<rss><channel><title>Shop</title>\n<item><g:id>1</g:id><title>A &amp; B &nbsp; R&D</title>\
                    <g:shipping><g:price>1</g:price></g:shipping><link>https://x/?a=1&amp;b=2</link></item>\n\
                    <item><g:id>2</g:id><description><![CDATA[<p>x ]] </item></p>]]></description></item>\n\
                    <item><g:id>3</g:id>\n<item><g:id>4</g:id><description>a<br>b<b>c</b></description><g:size>1</g:size></item>\
                    </channel></rss>";
        assert_eq!(
            items(text.as_bytes()),
            [
                "2:id=1|title=A & B R&D|shipping=|link=https://x/?a=1&b=2",
                "3:id=2|description=<p>x ]] </item></p>",
                "4!the item does not end before the next one begins",
                "5:id=4|description=a<br>b<b>c</b>|size=1",
            ]
        );
        let atom = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a:feed><a:entry><a:link rel='self' href='x'/>\
                    <a:link href='y'/><g:g:color>Gr\u{fc}n</g:g:color></a:entry></a:feed>";
        let latin: Vec<u8> = atom
            .chars()
            .map(|c| u8::try_from(u32::from(c)).expect("latin"))
            .collect();
        assert_eq!(items(&latin), ["1:link=y|color=Grün"]);
    }

    #[test]
    fn a_feed_that_was_cut_off_says_so() {
        assert_eq!(
            items(b"<rss><item><id>1</id></item><item><id>2"),
            ["1:id=1", "1!the file ends in the middle of an item"]
        );
        assert_eq!(
            items(b"<rss><item><id>1</id></item>\n"),
            ["1:id=1", "2!the file ends before the feed does"]
        );
        let long = format!(
            "<rss><item><id>{}</id></item><item><id>2</id></item></rss>",
            "x".repeat(2 << 20)
        );
        let read = items(long.as_bytes());
        assert!(read[0].contains("is longer than"), "{}", &read[0][..80]);
        assert_eq!(read[1], "1:id=2");
    }
}
