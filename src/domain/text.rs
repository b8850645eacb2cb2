//! Text as it comes from shops and shoppers, cleaned once: what looks the same is the same.
//!
//! Titles, values, ids and queries pass [`clean`]; titles and descriptions pass [`plain_text`] before,
//! since shops write them as HTML.

use std::borrow::Cow;

use quick_xml::escape::resolve_html5_entity;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// On one line: in Unicode's composed form (NFC), one space between words and none around them,
/// without characters that nobody sees, and with one hyphen for those that look like it. Control
/// characters other than white space stay: whoever takes the text says what they mean.
#[must_use]
pub fn clean(text: &str) -> String {
    if is_clean(text) {
        return text.to_owned();
    }
    let composed: Cow<str> = if is_nfc(text) {
        text.into()
    } else {
        text.nfc().collect::<String>().into()
    };
    let mut cleaned = String::with_capacity(composed.len());
    let mut pending_space = false;
    let mut letters = composed.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() || is_blank(letter) {
            pending_space = true;
            continue;
        }
        let joins = matches!(letter, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}');
        if is_unseen(letter) && !(joins && joins_here(&cleaned, pending_space, letters.peek())) {
            continue;
        }
        if pending_space && !cleaned.is_empty() {
            cleaned.push(' ');
        }
        pending_space = false;
        cleaned.push(match letter {
            '\u{2010}' | '\u{2011}' | '\u{fe63}' | '\u{ff0d}' => '-',
            letter => letter,
        });
    }
    // What was dropped may have kept a letter and its accent apart.
    if is_nfc(&cleaned) {
        cleaned
    } else {
        cleaned.nfc().collect()
    }
}

fn is_clean(text: &str) -> bool {
    let seen = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    text.bytes().all(|byte| seen(&byte))
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains("  ")
}

/// Characters without a shape: zero-width spaces and joiners, soft hyphens, byte order marks, marks of
/// direction, selectors of a variant, tags.
#[must_use]
pub fn is_unseen(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Letters that are drawn as white space and are none by Unicode's property.
fn is_blank(letter: char) -> bool {
    matches!(
        letter,
        '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
    )
}

/// Whether a joiner or a selector means something after this letter and before that one: between
/// letters of Persian and of the scripts of India, and in emoji.
fn joins_here(before: &str, space: bool, after: Option<&char>) -> bool {
    let scripts = |letter: char| {
        matches!(letter, '\u{600}'..='\u{109f}' | '\u{1780}'..='\u{18af}' | '\u{2190}'..='\u{2bff}')
            || letter >= '\u{1f000}'
    };
    let before = before.chars().next_back().is_some_and(scripts);
    // A joiner at the end joins nothing; a selector stands behind what it selects.
    before && !space && after.is_none_or(|after| scripts(*after) || is_unseen(*after))
}

/// What values are compared by: [`clean`], in lower case, with compatible characters as one (NFKC):
/// `ﬁ` is `fi`, `Ｍ` is `m`.
#[must_use]
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let plain = text.nfkc().filter(|letter| !is_unseen(*letter));
    let lower: String = plain.flat_map(char::to_lowercase).collect();
    // A letter in lower case may be another composed one.
    clean(&lower)
}

/// The text of HTML: without tags and comments, entities decoded. What is no HTML comes back as it is:
/// `sizes < 40 & more`. Blocks and line breaks become white space.
#[must_use]
pub fn plain_text(text: &str) -> Cow<'_, str> {
    let mut text: Cow<str> = text.into();
    // Exports escape once too often: `&amp;amp;`, `&lt;p&gt;`.
    for _ in 0..3 {
        if !text.contains(['<', '&']) {
            break;
        }
        let next = decoded(&without_tags(&text)).into_owned();
        if next == text {
            break;
        }
        text = next.into();
    }
    text
}

/// Elements whose content is not for readers.
const SILENT: [&str; 6] = ["script", "style", "template", "noscript", "iframe", "head"];
/// Elements that stand inside of a line; all others break it.
const INLINE: [&str; 27] = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font",
    "i", "ins", "kbd", "mark", "q", "s", "small", "span", "strike", "strong", "sub", "sup", "tt",
    "u",
];
const BLOCKS: [&str; 58] = [
    "address",
    "article",
    "aside",
    "audio",
    "blockquote",
    "body",
    "br",
    "button",
    "caption",
    "center",
    "col",
    "colgroup",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "embed",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "html",
    "img",
    "input",
    "label",
    "li",
    "link",
    "main",
    "meta",
    "nav",
    "object",
    "ol",
    "p",
    "param",
    "picture",
    "pre",
    "section",
    "source",
    "summary",
    "svg",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "ul",
];

fn without_tags(text: &str) -> Cow<'_, str> {
    if !text.contains('<') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let (before, tagged) = rest.split_at(start);
        plain.push_str(before);
        let Some((tag, after)) = Tag::read(tagged) else {
            plain.push('<');
            rest = &tagged[1..];
            continue;
        };
        rest = after;
        match tag {
            Tag::Inline => {}
            Tag::Block => plain.push('\n'),
            Tag::Silent(name) => {
                plain.push('\n');
                rest = behind_end_of(name, rest);
            }
        }
    }
    plain.push_str(rest);
    plain.into()
}

enum Tag {
    Inline,
    Block,
    /// An element that is left out with its content.
    Silent(&'static str),
}

impl Tag {
    /// The tag or comment that a text begins with, and what comes behind it; `None` when it is none.
    fn read(text: &str) -> Option<(Self, &str)> {
        if let Some(comment) = text.strip_prefix("<!--") {
            let end = comment.find("-->").map_or(comment.len(), |end| end + 3);
            return Some((Self::Inline, &comment[end..]));
        }
        if let Some(data) = text.strip_prefix("<![CDATA[") {
            return Some((Self::Inline, data));
        }
        let closing = text.starts_with("</");
        let named = &text[if closing { 2 } else { 1 }..];
        if named
            .get(..8)
            .is_some_and(|name| name.eq_ignore_ascii_case("!doctype"))
        {
            return Some((Self::Block, &named[named.find('>')? + 1..]));
        }
        let letters = |c: char| !c.is_ascii_alphanumeric();
        let name = &named[..named.find(letters).unwrap_or(named.len())];
        let lower = name.to_ascii_lowercase();
        let is = |names: &[&'static str]| names.iter().find(|known| **known == lower).copied();
        let tag = if let Some(silent) = is(&SILENT) {
            if closing {
                Self::Block
            } else {
                Self::Silent(silent)
            }
        } else if is(&INLINE).is_some() {
            Self::Inline
        } else if is(&BLOCKS).is_some() {
            Self::Block
        } else {
            return None;
        };
        let end = attributes_end(&named[name.len()..])?;
        let empty = named[name.len()..][..end].ends_with("/>");
        let tag = match tag {
            Self::Silent(_) if empty => Self::Block,
            tag => tag,
        };
        Some((tag, &named[name.len() + end..]))
    }
}

/// The length of the attributes of a tag with the `>` behind them; `None` when there is none, or
/// something else than attributes: `<s and m>` is no tag.
fn attributes_end(text: &str) -> Option<usize> {
    /// Attributes that a tag may have: texts of open tags would be read to their end again and again.
    const MOST: usize = 100;
    let mut rest = text;
    for _ in 0..2 * MOST {
        let trimmed = rest.trim_start();
        if let Some(after) = trimmed.strip_prefix('>') {
            return Some(text.len() - after.len());
        }
        if let Some(after) = trimmed.strip_prefix('/') {
            rest = after;
            continue;
        }
        if trimmed.len() == rest.len() {
            return None;
        }
        let name_end = trimmed.find(|c: char| c.is_whitespace() || "=/><\"'".contains(c))?;
        let valued = trimmed[name_end..]
            .trim_start()
            .strip_prefix('=')?
            .trim_start();
        rest = match valued.chars().next()? {
            quote @ ('"' | '\'') => &valued[1 + valued[1..].find(quote)? + 1..],
            _ => &valued[valued.find(|c: char| c.is_whitespace() || c == '>')?..],
        };
        // Attributes may follow each other without a space between.
        if rest.starts_with(|c: char| !c.is_whitespace() && !"/>".contains(c)) {
            return None;
        }
    }
    None
}

/// What comes behind `</name ..>`; nothing when it is not closed.
fn behind_end_of<'a>(name: &str, text: &'a str) -> &'a str {
    let mut rest = text;
    while let Some(start) = rest.find("</") {
        let named = &rest[start + 2..];
        let is_it = named
            .get(..name.len())
            .is_some_and(|n| n.eq_ignore_ascii_case(name));
        if is_it {
            return named.find('>').map_or("", |end| &named[end + 1..]);
        }
        rest = named;
    }
    ""
}

/// With entities decoded: `&eacute;`, `&#233;`, `&#xe9;`, and `&nbsp;` as a space.
#[must_use]
pub fn decoded(text: &str) -> Cow<'_, str> {
    /// The longest name of an entity: `CounterClockwiseContourIntegral`.
    const LONGEST: usize = 31;
    if !text.contains('&') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        let (before, entity) = rest.split_at(start);
        plain.push_str(before);
        let named = &entity[1..];
        let end = named
            .bytes()
            .take(LONGEST + 1)
            .position(|byte| byte == b';');
        let meant = end.and_then(|end| Some((entity_of(&named[..end])?, end)));
        if let Some((meant, end)) = meant {
            plain.push_str(&meant);
            rest = &named[end + 1..];
        } else {
            plain.push('&');
            rest = named;
        }
    }
    plain.push_str(rest);
    plain.into()
}

/// What an entity stands for, by its name without `&` and `;`.
fn entity_of(name: &str) -> Option<String> {
    let Some(number) = name.strip_prefix('#') else {
        return resolve_html5_entity(name).map(str::to_owned);
    };
    let number = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None if number.bytes().all(|b| b.is_ascii_digit()) => number.parse().ok()?,
        None => return None,
    };
    // As browsers read what editors of Windows once wrote (HTML, 13.2.5.80).
    let letter = match number {
        0x80..=0x9f => windows_1252(number)?,
        _ => char::from_u32(number).filter(|letter| *letter != '\0')?,
    };
    Some(letter.to_string())
}

/// The letter of a byte as Windows writes it in Western Europe; `None` for ASCII and its like, and for
/// what it has none for.
#[must_use]
pub fn windows_1252(number: u32) -> Option<char> {
    const LETTERS: [u16; 32] = [
        0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039,
        0x0152, 0, 0x017d, 0, 0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc,
        0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
    ];
    let letter = LETTERS.get(usize::try_from(number.checked_sub(0x80)?).ok()?)?;
    char::from_u32((*letter).into()).filter(|letter| *letter != '\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_is_the_same() {
        for (text, is) in [
            ("E\u{301}cru", "Écru"),
            ("Ankle\u{a0}Boots", "Ankle Boots"),
            (" Ankle \t\r\n Boots ", "Ankle Boots"),
            ("Ankle\u{3000}Boots\u{2003}", "Ankle Boots"),
            ("Ankle Boots\u{200b}", "Ankle Boots"),
            ("\u{feff}Ankle\u{ad} Bo\u{2060}ots\u{200e}", "Ankle Boots"),
            ("\u{202b}Ankle\u{202c} \u{2067}Boots\u{2069}", "Ankle Boots"),
            ("T\u{2011}Shirt", "T-Shirt"),
            ("e\u{200b}\u{301}", "é"),
            ("a\u{200d}b\u{fe0f}", "ab"),
            ("\u{200b}\u{200d}\u{feff}", ""),
            ("\u{3164}\u{2800}", ""),
            ("a\0b", "a\0b"),
            // Where they mean something.
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("👩\u{200d}🦰", "👩\u{200d}🦰"),
            ("❤\u{fe0f}", "❤\u{fe0f}"),
            ("❤\u{fe0f} red", "❤ red"),
        ] {
            assert_eq!(clean(text), is, "{text:?}");
            assert_eq!(clean(&clean(text)), clean(text), "{text:?} cleaned twice");
        }
        assert_eq!(folded("ÉCRU"), "écru");
        assert_eq!(folded("Ｍ ﬁt"), "m fit");
        assert_eq!(folded("İ"), folded("i\u{307}"));
    }

    #[test]
    fn html_becomes_its_text() {
        for (html, text) in [
            (
                "<p>Soft &amp; warm</p><ul><li>One<li>Two</ul>",
                "Soft & warm One Two",
            ),
            ("Caf&eacute; &#233;&#xE9; &copy;&nbsp;x", "Café éé © x"),
            ("&amp;amp; &lt;b&gt;bold&lt;/b&gt;", "& bold"),
            ("H&M, size < 40 & > 36", "H&M, size < 40 & > 36"),
            ("<S and M> a<b 3<4", "<S and M> a<b 3<4"),
            (
                "<a href=\"x>y\" class='z'>link</a><br/>next<BR>last",
                "link next last",
            ),
            (
                "a<script>if (a < b) {}</script>b<style>p{}</style>c",
                "a b c",
            ),
            ("a<!-- never --> b<!-- open", "a b"),
            ("<b>un</b>split", "unsplit"),
            (
                "&unknown; &#0; &#x110000; &;&",
                "&unknown; &#0; &#x110000; &;&",
            ),
            ("it&#146;s", "it’s"),
            ("<p", "<p"),
            ("<div class=a><img src=x.jpg alt=\"\" />A</div>", "A"),
            ("1 <2 <br", "1 <2 <br"),
            ("<![CDATA[x]]>", "x]]>"),
        ] {
            assert_eq!(clean(&plain_text(html)), text, "{html:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn cleaning_ends_and_stays(text in "\\PC*|[<>&;/a-z \"'=!-]*") {
            let once = clean(&plain_text(&text));
            proptest::prop_assert_eq!(clean(&once), once.clone());
            proptest::prop_assert_eq!(folded(&folded(&once)), folded(&once));
        }
    }
}
