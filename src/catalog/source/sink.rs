//! Where the readers of all formats put their rows: made products of, their pictures looked for, an id
//! taken once.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::describe::{self, Described, FIELDS};
use super::facts;
use super::pictures::PictureFolders;
use super::row::{Ignored, Item, Lost, Record, Reject, Row, nearest};
use crate::catalog::media::PictureSource;
use crate::catalog::media::hosts::PictureHosts;
use crate::domain::text::clean;
use crate::domain::{Money, ProductId};

/// Attributes that are often written beside the fields of a product.
const ATTRIBUTES: [&str; 10] = [
    "color", "size", "brand", "category", "gender", "material", "pattern", "in_stock", "stock",
    "tags",
];

/// What is the same for all rows of a source.
pub(super) struct Sink<'a> {
    emit: &'a mut dyn FnMut(Item) -> bool,
    pictures: &'a PictureFolders,
    hosts: &'a PictureHosts,
    /// What rows that do not say it have: a currency, a brand.
    values: &'a Map<String, Value>,
    /// Before the decimals of prices, where the shop says it.
    pub(super) decimal: Option<char>,
    pub(super) ignored: Ignored,
    /// What the format calls the id and the title.
    /// The web address of the feed: paths of pictures are meant from there.
    pub(super) address: Option<&'a str>,
    pub(super) called: [(&'static str, &'static str); 2],
    lines: HashMap<ProductId, u64>,
    open: bool,
}

impl<'a> Sink<'a> {
    /// In characters.
    const LONGEST_REASON: usize = 400;

    /// `emit` answers false when nobody listens any more.
    pub(super) fn new(
        emit: &'a mut dyn FnMut(Item) -> bool,
        pictures: &'a PictureFolders,
        hosts: &'a PictureHosts,
        values: &'a Map<String, Value>,
        decimal: Option<char>,
    ) -> Self {
        Self {
            emit,
            pictures,
            hosts,
            values,
            decimal,
            ignored: Ignored::default(),
            address: None,
            called: [("id", "id"), ("title", "title")],
            lines: HashMap::new(),
            open: true,
        }
    }

    pub(super) fn pictures(&self) -> &'a PictureFolders {
        self.pictures
    }

    fn emit(&mut self, item: Item) -> bool {
        self.open = self.open && (self.emit)(item);
        self.open
    }

    /// Whether anybody listens.
    pub(super) fn reject(
        &mut self,
        line: u64,
        id: Option<&str>,
        lost: Lost,
        reason: impl Into<String>,
    ) -> bool {
        let mut reason = reason.into();
        // It names what is wrong; an address may be a whole picture (`data:`).
        if let Some((end, _)) = reason.char_indices().nth(Self::LONGEST_REASON) {
            reason.truncate(end);
            reason.push_str("..");
        }
        let reject = Reject {
            line,
            id: id.map(|id| id.chars().take(128).collect()),
            lost,
            reason,
        };
        self.emit(Item::Reject(reject))
    }

    /// Takes a row; whether anybody listens.
    ///
    /// Of rows with the same id the first is taken, the later ones are rejected: which of them is right
    /// is the shop's to say, and the result must not depend on who sorted the file.
    pub(super) fn row(&mut self, row: Row) -> bool {
        let Row {
            line,
            mut json,
            mut lost,
            found,
        } = row;
        for field in ["title", "description"] {
            if let Some(Value::Number(number)) = json.get(field) {
                let text = number.to_string();
                json.insert(field.to_owned(), text.into());
            }
        }
        self.prices(&mut json, &mut lost);
        for (name, value) in self.values {
            set_default(&mut json, name, value);
        }
        let id = describe::id_of(&json);
        let mut parts = Vec::new();
        let described = describe::describe(json, &mut parts);
        lost.extend(parts.into_iter().map(|(lost, fault)| (lost, fault.reason)));
        let described = match described {
            Ok(described) => described,
            Err(fault) => {
                let reason = self.in_words_of_the_format(fault.reason);
                return self.reject(line, id.as_deref(), Lost::Row, reason);
            }
        };
        if let Some(first) = self.lines.get(&described.product.id) {
            let reason = format!("the id was already used in line {first}");
            return self.reject(line, id.as_deref(), Lost::Row, reason);
        }
        self.lines.insert(described.product.id.clone(), line);
        let record = self.record(line, described, found, &mut lost);
        for (what, reason) in lost {
            if !self.reject(line, Some(record.product.id.as_str()), what, reason) {
                return false;
            }
        }
        self.emit(Item::Record(record))
    }

    fn in_words_of_the_format(&self, reason: String) -> String {
        for (field, called) in self.called {
            if reason == format!("missing field `{field}`") && field != called {
                return format!("it has no {field}: {called} says nothing");
            }
        }
        reason
    }

    fn record(
        &mut self,
        line: u64,
        described: Described,
        found: Vec<PictureSource>,
        lost: &mut Vec<(Lost, String)>,
    ) -> Record {
        for name in &described.unknown {
            let known = || {
                let attribute = facts::attribute(name).unwrap_or_default();
                if ATTRIBUTES.contains(&attribute.as_str()) {
                    return Some(format!("attributes.{attribute}"));
                }
                nearest(name, FIELDS.into_iter())
            };
            self.ignored.add(name, 1, known);
        }
        let mut pictures: Vec<(u8, PictureSource)> = (1..).zip(found).collect();
        for (number, image) in (1..).zip(described.images.unwrap_or_default()) {
            match self.picture(&image.at) {
                Ok(source) => pictures.push((number, source)),
                Err(reason) => {
                    let at = image.at;
                    lost.push((Lost::Photo, format!("image {at:?}: {reason}")));
                }
            }
        }
        Record {
            line,
            product: described.product,
            pictures,
        }
    }

    /// A path or a web address.
    fn picture(&self, image: &str) -> Result<PictureSource, String> {
        if image.contains("://") {
            self.hosts.check(image)?;
            return Ok(PictureSource::Address(image.to_owned()));
        }
        // Protocol-relative, as in pages of shops.
        if image.starts_with("//") {
            let address = format!("https:{image}");
            self.hosts.check(&address)?;
            return Ok(PictureSource::Address(address));
        }
        for folder in &self.pictures.0 {
            if let Some(place) = folder.at(image)? {
                return Ok(PictureSource::Stored(place));
            }
        }
        if let Some(feed) = self.address {
            let address = beside(feed, image);
            self.hosts.check(&address)?;
            return Ok(PictureSource::Address(address));
        }
        Err(format!("is not there{}", self.pictures.hint()))
    }

    /// Prices that are texts become numbers; the currency that they say is the product's, unless it
    /// says another. A sale price in another currency, or not below the price, is none.
    fn prices(&self, json: &mut Map<String, Value>, lost: &mut Vec<(Lost, String)>) {
        let mut reject = |field: &str, text: &str, why: &str| {
            let text: String = text.chars().take(80).collect();
            lost.push((Lost::Attribute, format!("{field} {text:?} {why}")));
        };
        let mut read = |field: &str| -> Option<(Money, String)> {
            let Some(Value::String(text)) = json.get(field) else {
                return None;
            };
            let text = text.clone();
            let money = Money::parse(&text, self.decimal);
            match &money {
                Some(money) => drop(json.insert(field.to_owned(), money.amount.into())),
                None => drop(json.remove(field)),
            }
            if money.is_none() && !clean(&text).is_empty() {
                reject(field, &text, "is not a price");
            }
            Some((money?, text))
        };
        let (price, sale) = (read("price"), read("sale_price"));
        if let (Some((price, _)), Some((sale, text))) = (&price, &sale) {
            let other = sale.currency.is_some()
                && price.currency.is_some()
                && sale.currency != price.currency;
            if other || sale.amount >= price.amount {
                let why = if other {
                    "is in another currency than the price"
                } else {
                    "is not below the price"
                };
                reject("sale_price", text, why);
                json.remove("sale_price");
            }
        }
        let mut said = [price, sale].into_iter().flatten();
        if let Some(currency) = said.find_map(|(money, _)| money.currency) {
            json.entry("currency").or_insert_with(|| currency.into());
        }
    }
}

/// The address that a path stands for in a file at an address (RFC 3986, 5.2); `..` is the server's.
fn beside(feed: &str, path: &str) -> String {
    let feed = feed.split(['?', '#']).next().unwrap_or_default();
    let root = feed.find("://").map_or(0, |scheme| scheme + 3);
    let root = feed[root..]
        .find('/')
        .map_or(feed.len(), |slash| root + slash);
    if path.starts_with('/') {
        return format!("{}{path}", &feed[..root]);
    }
    let folder = feed[root..].rfind('/').map_or(root, |slash| root + slash);
    format!("{}/{path}", &feed[..folder])
}

/// Sets `name`, or `attributes.name`, where the row does not say it.
fn set_default(json: &mut Map<String, Value>, name: &str, value: &Value) {
    let says_nothing = |value: Option<&Value>| value.is_none_or(Value::is_null);
    if let Some(name) = name.strip_prefix("attributes.") {
        let attributes = json
            .entry("attributes")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(attributes) = attributes
            && says_nothing(attributes.get(name))
        {
            attributes.insert(name.to_owned(), value.clone());
        }
    } else if says_nothing(json.get(name)) {
        json.insert(name.to_owned(), value.clone());
    }
}
