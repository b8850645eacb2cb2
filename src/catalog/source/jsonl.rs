//! JSON Lines (<https://jsonlines.org>): one product a line, for any shop.
//!
//! ```json
//! {"id": "7", "title": "Urban Low", "image": "photos/7.jpg", "price": 49.9, "sale_price": 39.9, "currency": "EUR",
//!  "url": "https://shop.example/7", "created": "2026-11-29", "description": "..", "attributes": {"color": "Black", "size": [41, 42], "vegan": true}}
//! ```
//!
//! `id` (a string or a whole number) and `title` must be there. `image` is a path relative to the
//! file, or to one of the picture sources given. Attribute values are strings, numbers, booleans,
//! or lists of them; names are lowered and their spaces and hyphens become `_`. No attribute may be
//! called `image`: the upload form of the API has a field of that name. `created` is a day or a time
//! (RFC 3339): when the shop got the product; without it, when the catalog first did. Fields that are not named
//! here are ignored and counted; null is the same as absent. An attribute, a picture, a
//! sale price, a currency or a date that cannot be used is rejected alone, anything else with the row.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::lines::{Line, Lines};
use super::pictures::PictureFolders;
use super::row::{Ignored, Item, Lost, NOT_UTF8, Record, Reject, SourceError};
use crate::catalog::media::PicturePlace;
use crate::domain::{
    AttributeName, AttributeValue, Attributes, Product, ProductId, check_currency, is_field,
    is_parameter, typed,
};

#[derive(Deserialize)]
struct Row {
    id: Value,
    title: String,
    description: Option<String>,
    image: Option<String>,
    attributes: Option<Map<String, Value>>,
    price: Option<f64>,
    url: Option<String>,
    sale_price: Option<Value>,
    currency: Option<Value>,
    created: Option<Value>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

pub(super) fn read(
    path: &Path,
    shelves: &PictureFolders,
    emit: &mut dyn FnMut(Item) -> bool,
) -> Result<Ignored, SourceError> {
    let mut ignored = Ignored::new();
    let mut lines = Lines::open(path)?;
    while let Some(line) = lines.next()? {
        let mut lost = Vec::new();
        if line.lossy {
            lost.push((Lost::Letters, NOT_UTF8.to_owned()));
        }
        let (id, record) = match parse(&line, shelves, &mut ignored, &mut lost) {
            Ok(record) => (Some(record.product.id.to_string()), Some(record)),
            Err((id, reason)) => {
                lost.push((Lost::Row, reason));
                (id, None)
            }
        };
        let rejects = lost.into_iter().map(|(lost, reason)| Reject {
            line: line.number,
            id: id.clone(),
            lost,
            reason,
        });
        if !rejects
            .map(Item::Reject)
            .chain(record.map(Item::Record))
            .all(&mut *emit)
        {
            break;
        }
    }
    Ok(ignored)
}

/// A record; or the id as far as it is known, and why not.
fn parse(
    line: &Line,
    shelves: &PictureFolders,
    ignored: &mut Ignored,
    lost: &mut Vec<(Lost, String)>,
) -> Result<Record, (Option<String>, String)> {
    if line.too_long {
        return Err((
            None,
            format!("the line is longer than {} bytes", Lines::LONGEST),
        ));
    }
    let row: Value =
        serde_json::from_str(&line.text).map_err(|e| (None, format!("no JSON: {e}")))?;
    let id = row.get("id").and_then(id_text);
    let fail = |reason: String| (id.clone(), reason);
    let row = Row::deserialize(row).map_err(|e| fail(e.to_string()))?;
    for name in row.unknown.into_iter().map(|(name, _)| name) {
        *ignored.entry(name.chars().take(64).collect()).or_default() += 1;
    }
    let key = id_text(&row.id)
        .ok_or_else(|| fail("the id is neither a string nor a whole number".to_owned()))?;
    if line.lossy && key.contains(char::REPLACEMENT_CHARACTER) {
        return Err(fail("the id has bytes that are not UTF-8".to_owned()));
    }
    let key = ProductId::new(&key).map_err(|e| fail(e.to_string()))?;
    let mut product = Product::new(key, &row.title).map_err(|e| fail(e.to_string()))?;
    let text = |text: Option<String>| text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    (product.description, product.url, product.price) =
        (text(row.description), text(row.url), row.price);
    product.sale_price = part(row.sale_price, lost, |value| {
        value
            .as_f64()
            .filter(|price| *price >= 0.0)
            .ok_or_else(|| format!("sale_price {value} is not a price"))
    });
    product.currency = part(row.currency, lost, |value| {
        let text = value.as_str().unwrap_or_default().trim().to_uppercase();
        check_currency(&text).map_err(|_| format!("currency {value} is not one: EUR, say"))?;
        Ok(text)
    });
    product.created = part(row.created, lost, |value| {
        let period = value.as_str().and_then(typed::date);
        #[expect(clippy::cast_possible_truncation, reason = "seconds of a date")]
        let seconds = period.map(|period| period.first as i64);
        seconds
            .ok_or_else(|| format!("created {value} is neither a day nor a time: 2026-11-29, say"))
    });
    product.attributes = attributes(row.attributes.unwrap_or_default(), lost);
    let product = product.check().map_err(|e| fail(e.to_string()))?;
    let image = row.image.filter(|i| !i.trim().is_empty()).and_then(|path| {
        match picture(path.trim(), shelves) {
            Ok(image) => Some(image),
            Err(reason) => {
                lost.push((Lost::Photo, format!("image {path:?} {reason}")));
                None
            }
        }
    });
    Ok(Record {
        line: line.number,
        product,
        image,
    })
}

/// A part of a row that is lost alone when it cannot be read.
fn part<T>(
    given: Option<Value>,
    lost: &mut Vec<(Lost, String)>,
    read: impl Fn(&Value) -> Result<T, String>,
) -> Option<T> {
    let given = given.filter(|value| !value.is_null())?;
    match read(&given) {
        Ok(value) => Some(value),
        Err(reason) => {
            let reason: String = reason.chars().take(200).collect();
            lost.push((Lost::Attribute, reason));
            None
        }
    }
}

fn id_text(id: &Value) -> Option<String> {
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

fn picture(path: &str, shelves: &PictureFolders) -> Result<PicturePlace, String> {
    for shelf in &shelves.0 {
        if let Some(found) = shelf.at(path)? {
            return Ok(found);
        }
    }
    Err("is not there".to_owned())
}

fn attributes(given: Map<String, Value>, lost: &mut Vec<(Lost, String)>) -> Attributes {
    let mut attributes = Attributes::new();
    for (name, value) in given {
        match attribute(&name, value) {
            Ok((_, values)) if values.is_empty() => {}
            Ok((name, values)) => {
                let all = attributes.entry(name).or_default();
                for value in values {
                    if !all.contains(&value) {
                        all.push(value);
                    }
                }
            }
            Err(reason) => lost.push((Lost::Attribute, reason)),
        }
    }
    attributes
}

fn attribute(name: &str, value: Value) -> Result<(AttributeName, Vec<AttributeValue>), String> {
    let plain = name.trim().to_lowercase().replace([' ', '-'], "_");
    let plain = AttributeName::new(&plain).map_err(|e| e.to_string())?;
    if is_parameter(plain.as_str()) {
        return Err(format!(
            "{:?} is a parameter of the search itself and cannot name an attribute",
            plain.as_str()
        ));
    }
    if is_field(plain.as_str()) {
        return Err(format!(
            "{:?} is a field of a product itself and cannot name an attribute",
            plain.as_str()
        ));
    }
    let list = if let Value::Array(list) = value {
        list
    } else {
        vec![value]
    };
    let mut values = Vec::new();
    for value in list {
        let text = match value {
            Value::Null => continue,
            Value::String(text) if text.trim().is_empty() => continue,
            Value::String(text) => text,
            Value::Bool(yes) => yes.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(format!(
                    "attribute {name:?} holds neither text nor a number"
                ));
            }
        };
        values.push(AttributeValue::new(&text).map_err(|e| format!("attribute {name:?}: {e}"))?);
    }
    Ok((plain, values))
}
