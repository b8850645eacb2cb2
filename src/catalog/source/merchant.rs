//! Google Merchant Center: TSV, CSV, RSS 2.0 or Atom
//! (<https://support.google.com/merchants/answer/7052112>).
//!
//! A product is a list of names and texts, whether it comes as a row or as an element. `g:` decides
//! nothing: exporters leave it out or double it.

use jiff::Timestamp;

use super::facts::{addresses, attribute, availability, categories, levels};
use super::input::Input;
use super::row::{Lost, NOT_UTF8, Row, SourceError, nearest};
use super::sink::Sink;
use super::table::{Header, Table, Untaken, id_of, plain};
use super::xml::{Item, Items};
use crate::domain::text::clean;

/// Names that are taken.
const TAKEN: [&str; 37] = [
    "id",
    "offer_id",
    "title",
    "description",
    "summary",
    "content",
    "link",
    "image_link",
    "additional_image_link",
    "additional_image_links",
    "availability",
    "price",
    "sale_price",
    "sale_price_effective_date",
    "google_product_category",
    "product_type",
    "brand",
    "gtin",
    "ean",
    "upc",
    "isbn",
    "mpn",
    "condition",
    "age_group",
    "color",
    "colour",
    "gender",
    "material",
    "pattern",
    "size",
    "size_type",
    "size_system",
    "item_group_id",
    "product_detail",
    "inventory",
    "quantity_to_sell_on_facebook",
    "quantity",
];
/// Names of an attribute that goes by the same name.
const PLAIN: [&str; 8] = [
    "brand",
    "mpn",
    "condition",
    "age_group",
    "gender",
    "pattern",
    "size",
    "size_type",
];

pub(super) fn is(header: &Header) -> bool {
    let marks = [
        "link",
        "image_link",
        "availability",
        "item_group_id",
        "google_product_category",
        "product_type",
    ];
    let marked = marks.iter().filter(|name| header.has(name)).count();
    header.has_all(&["id", "title"]) && marked >= 2
}

/// Reads a table of products.
pub(super) fn read_table(
    input: Input,
    separator: Option<char>,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let mut table = Table::open(input, separator)?;
    // `product_detail(section_name:attribute_name:attribute_value)`.
    let base = |name: &str| plain(name.split('(').next().unwrap_or_default());
    let names: Vec<String> = table.header.names.iter().map(|name| base(name)).collect();
    let header = Header::new(names.clone());
    let id = header.find("id").or_else(|| header.find("offer_id"));
    if id.is_none() || !header.has("title") {
        let what =
            "has no columns \"id\" and \"title\", which a feed of Google Merchant Center has";
        return Err(SourceError::not(&table.path, what));
    }
    let taken = |place: usize, _: &str| TAKEN.contains(&names[place].as_str());
    let mut untaken = Untaken::of(&table.header, taken);
    while let Some(row) = table.next()? {
        let cells = match row {
            Ok(cells) => cells,
            Err(bad) => {
                let known = id_of(&bad.cells, id);
                if !sink.reject(bad.line, known.as_deref(), Lost::Row, bad.reason) {
                    break;
                }
                continue;
            }
        };
        untaken.count(&cells);
        let mut item = Item::at(cells.line);
        for (place, name) in names.iter().enumerate() {
            let Some(text) = cells.get(Some(place)) else {
                continue;
            };
            match name.as_str() {
                "product_type" | "google_product_category" => {
                    // A comma without a space parts values, one with a space belongs to a name.
                    for path in parted(text) {
                        item.add(name, path);
                    }
                }
                "product_detail" => {
                    for detail in text.split(',') {
                        let mut parts = detail.rsplitn(3, ':');
                        if let (Some(value), Some(named)) = (parts.next(), parts.next()) {
                            item.details.push((named.to_owned(), value.to_owned()));
                        }
                    }
                }
                name => item.add(name, text),
            }
        }
        let goes_on = if cells.has_damaged(id) {
            sink.reject(cells.line, cells.get(id), Lost::Row, NOT_UTF8)
        } else {
            take(&item, cells.lost(), sink)
        };
        if !goes_on {
            break;
        }
    }
    untaken.say(&table.header, &TAKEN, &mut sink.ignored);
    Ok(())
}

/// The values of a field that a comma without a space behind it parts.
fn parted(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(',') {
        let before = text[..at].chars().next_back();
        let after = text[at + 1..].chars().next();
        let spaced =
            before.is_some_and(char::is_whitespace) || after.is_none_or(char::is_whitespace);
        if !spaced {
            all.push(text[start..at].trim());
            start = at + 1;
        }
    }
    all.push(text[start..].trim());
    all
}

/// Reads the items of RSS or the entries of Atom.
pub(super) fn read_xml(input: Input, sink: &mut Sink<'_>) -> Result<(), SourceError> {
    let mut items = Items::of(input);
    while let Some(item) = items.next()? {
        let goes_on = match item {
            Ok(item) => {
                for name in item.names() {
                    if !TAKEN.contains(&name) {
                        sink.ignored
                            .add(name, 1, || nearest(name, TAKEN.into_iter()));
                    }
                }
                let id = item.get("id");
                if item.lossy && id.is_some_and(|id| id.contains(char::REPLACEMENT_CHARACTER)) {
                    sink.reject(item.line, id, Lost::Row, NOT_UTF8)
                } else {
                    let lost = item.lossy.then(|| (Lost::Letters, NOT_UTF8.to_owned()));
                    take(&item, lost.into_iter().collect(), sink)
                }
            }
            Err((line, reason)) => sink.reject(line, None, Lost::Row, reason),
        };
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// Takes an item; whether anybody listens.
fn take(item: &Item, lost: Vec<(Lost, String)>, sink: &mut Sink<'_>) -> bool {
    let id = item.get("id").or_else(|| item.get("offer_id"));
    let mut row = Row {
        line: item.line,
        lost,
        ..Row::default()
    };
    row.text("id", id);
    row.text("title", item.get("title"));
    for name in ["description", "summary", "content"] {
        row.text("description", item.get(name));
    }
    row.text("url", item.get("link"));
    row.text("price", item.get("price"));
    sale_price(&mut row, item);
    row.text("style", item.get("item_group_id"));
    if let Some(word) = item.get("availability") {
        availability(&mut row, word);
    }
    let stock = ["inventory", "quantity_to_sell_on_facebook", "quantity"];
    row.attribute("stock", stock.iter().find_map(|name| item.get(name)));
    let mut paths: Vec<Vec<String>> = item.all("product_type").map(levels).collect();
    if paths.iter().all(Vec::is_empty) {
        for google in item.all("google_product_category") {
            // Its number says nothing to a shopper.
            if clean(google).parse::<u32>().is_ok() {
                let reason = format!(
                    "google_product_category is the number {google}: product_type says what it is called"
                );
                row.lose(Lost::Attribute, reason);
            } else {
                paths.push(levels(google));
            }
        }
    }
    categories(&mut row, &paths);
    for name in PLAIN {
        for value in item.all(name) {
            row.attribute(name, Some(value));
        }
    }
    row.attribute("size_system", item.get("size_system"));
    let gtin = ["gtin", "ean", "upc", "isbn"];
    row.attribute("gtin", gtin.iter().find_map(|name| item.get(name)));
    for (name, of) in [
        ("color", "color"),
        ("colour", "color"),
        ("material", "material"),
    ] {
        for value in item.all(name).flat_map(|text| text.split('/')) {
            row.attribute(of, Some(value));
        }
    }
    for (name, value) in &item.details {
        if let Some(name) = attribute(name) {
            row.attribute(&name, Some(value));
        }
    }
    if let Some(image) = item.get("image_link") {
        row.image(image);
    }
    let more = ["additional_image_link", "additional_image_links"];
    for image in more
        .into_iter()
        .flat_map(|name| item.all(name))
        .flat_map(addresses)
    {
        row.image(image);
    }
    sink.row(row)
}

/// The sale price where it is asked for now.
fn sale_price(row: &mut Row, item: &Item) {
    let Some(price) = item.get("sale_price") else {
        return;
    };
    let now = Timestamp::now();
    let effective = item.get("sale_price_effective_date");
    match effective.map(|text| period(text).map(|(from, to)| from <= now && now <= to)) {
        None | Some(Some(true)) => row.text("sale_price", Some(price)),
        // It is over, or not begun: no fault.
        Some(Some(false)) => {}
        Some(None) => {
            let text: String = effective.unwrap_or_default().chars().take(80).collect();
            row.lose(
                Lost::Attribute,
                format!("sale_price_effective_date {text:?} is not two times with a \"/\" between: the sale price is not taken"),
            );
        }
    }
}

/// From and to, of `2026-02-24T11:07+0100/2026-02-29T23:07+0100`.
fn period(text: &str) -> Option<(Timestamp, Timestamp)> {
    let (from, to) = text.split_once('/')?;
    let time = |text: &str, last: bool| {
        let text = text.trim();
        let zoned = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M%z", text)
            .or_else(|_| jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", text))
            .or_else(|_| text.parse::<Timestamp>());
        zoned.ok().or_else(|| {
            let date: jiff::civil::Date = text.get(..10)?.parse().ok()?;
            let day = if last { date.tomorrow().ok()? } else { date };
            let midnight = day.at(0, 0, 0, 0);
            jiff::tz::TimeZone::UTC.to_timestamp(midnight).ok()
        })
    };
    Some((time(from, false)?, time(to, true)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_of_sale_prices() {
        let (from, to) = period("2026-02-24T11:07+0100/2026-02-28T23:07+0100").expect("a period");
        assert_eq!(from.to_string(), "2026-02-24T10:07:00Z");
        assert_eq!(to.to_string(), "2026-02-28T22:07:00Z");
        let (from, to) = period("2026-02-24/2026-02-28").expect("days");
        assert_eq!(
            (from.to_string(), to.to_string()),
            ("2026-02-24T00:00:00Z".into(), "2026-03-01T00:00:00Z".into())
        );
        assert!(period("2026-02-24T11:07:00Z / 2026-03-01T00:00:00Z").is_some());
        assert_eq!(period("tomorrow"), None);
    }

    #[test]
    fn a_comma_without_a_space_parts_values() {
        assert_eq!(parted("A > B,C > D"), ["A > B", "C > D"]);
        assert_eq!(
            parted("Handbags, Wallets & Cases > Bags"),
            ["Handbags, Wallets & Cases > Bags"]
        );
    }
}
