//! JSON Lines (<https://jsonlines.org>): one product a line, for any shop.
//!
//! ```json
//! {"id": "7", "title": "Urban Low", "image": "photos/7.jpg", "price": 49.9, "sale_price": 39.9, "currency": "EUR",
//!  "url": "https://shop.example/7", "created": "2026-11-29", "description": "..", "attributes": {"color": "Black", "size": [41, 42], "vegan": true}}
//! ```
//!
//! `id` (a string or a whole number) and `title` must be there. `image` is a path relative to the
//! file, or to one of the picture sources given, or a web address of a host that pictures are fetched
//! from; `images` is a list of such, in their order, at most 32 in all. Attribute values are strings, numbers, booleans,
//! or lists of them; names are lowered and their spaces and hyphens become `_`. No attribute may be
//! called `image`: the upload form of the API has a field of that name. `created` is a day or a time
//! (RFC 3339): when the shop got the product; without it, when the catalog first did. Fields that are not named
//! here are ignored and counted; null is the same as absent. An attribute, a picture, a
//! sale price, a currency or a date that cannot be used is rejected alone, anything else with the row.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::lines::{Line, Lines};
use super::pictures::PictureFolders;
use super::row::{Ignored, Item, Lost, NOT_UTF8, Record, Reject, SourceError};
use crate::catalog::media::PictureSource;
use crate::catalog::media::hosts::PictureHosts;
use crate::catalog::values::StoredPicture;
use crate::domain::{
    AttributeName, AttributeValue, Attributes, FieldFault, MOST_PICTURES, Product, ProductError,
    ProductId, check_currency, is_field, is_parameter, typed,
};

/// What a row says, before its picture is looked for.
pub(in crate::catalog) struct Described {
    pub(in crate::catalog) product: Product,
    /// Its pictures; `None`: it does not say.
    pub(in crate::catalog) images: Option<Vec<RowImage>>,
    /// Fields that mean nothing here.
    pub(in crate::catalog) unknown: Vec<String>,
}

/// A picture as a row names it.
pub(in crate::catalog) struct RowImage {
    /// Where in the row: `image`, `images[1]`.
    pub(in crate::catalog) field: String,
    /// Its path or address, as it is written.
    pub(in crate::catalog) at: String,
}

/// A part of a row that was not taken.
type Part = (Lost, FieldFault);

pub(super) fn read(
    path: &Path,
    shelves: &PictureFolders,
    hosts: &PictureHosts,
    emit: &mut dyn FnMut(Item) -> bool,
) -> Result<Ignored, SourceError> {
    let mut ignored = Ignored::new();
    let mut lines = Lines::open(path)?;
    while let Some(line) = lines.next()? {
        let mut lost = Vec::new();
        if line.lossy {
            lost.push((Lost::Letters, NOT_UTF8.to_owned()));
        }
        let (id, record) = match parse(&line, (shelves, hosts), &mut ignored, &mut lost) {
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
    places: (&PictureFolders, &PictureHosts),
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
    let Value::Object(row) = row else {
        return Err((None, "the line is not a JSON object".to_owned()));
    };
    let id = id_of(&row);
    if line.lossy
        && id
            .as_ref()
            .is_some_and(|id| id.contains(char::REPLACEMENT_CHARACTER))
    {
        return Err((id, "the id has bytes that are not UTF-8".to_owned()));
    }
    let mut parts = Vec::new();
    let described = describe(row, &mut parts).map_err(|fault| (id, fault.reason))?;
    lost.extend(parts.into_iter().map(|(lost, fault)| (lost, fault.reason)));
    for name in described.unknown {
        *ignored.entry(name.chars().take(64).collect()).or_default() += 1;
    }
    let images = described.images.unwrap_or_default();
    let mut pictures = Vec::with_capacity(images.len());
    for (number, image) in (1..).zip(images) {
        match picture(&image.at, places) {
            Ok(source) => pictures.push((number, source)),
            Err(reason) => {
                let at = image.at;
                lost.push((Lost::Photo, format!("image {at:?}: {reason}")));
            }
        }
    }
    Ok(Record {
        line: line.number,
        product: described.product,
        pictures,
    })
}

/// The id of a row as text; `None` when it is neither a string nor a whole number.
pub(in crate::catalog) fn id_of(row: &Map<String, Value>) -> Option<String> {
    match row.get("id")? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// What a row says. `lost`: the parts that cannot be used, where the rest can.
///
/// # Errors
/// When nothing of the row can be used.
pub(in crate::catalog) fn describe(
    mut row: Map<String, Value>,
    lost: &mut Vec<Part>,
) -> Result<Described, FieldFault> {
    let fault = |field: &'static str| {
        move |error: &dyn std::fmt::Display| FieldFault::new(field, error.to_string())
    };
    if !row.contains_key("id") {
        return Err(FieldFault::new("id", "missing field `id`"));
    }
    let key = id_of(&row)
        .ok_or_else(|| FieldFault::new("id", "the id is neither a string nor a whole number"))?;
    row.remove("id");
    let key = ProductId::new(&key).map_err(|e| fault("id")(&e))?;
    let title = row
        .remove("title")
        .ok_or_else(|| FieldFault::new("title", "missing field `title`"))?;
    let title = String::deserialize(title).map_err(|e| fault("title")(&format!("title: {e}")))?;
    let mut product = Product::new(key, &title).map_err(|e| fault("title")(&e))?;
    product.description = text(&mut row, "description")?;
    product.url = text(&mut row, "url")?;
    product.price = optional(&mut row, "price")?;
    product.sale_price = part(&mut row, "sale_price", lost, |value| {
        value
            .as_f64()
            .filter(|price| *price >= 0.0)
            .ok_or_else(|| format!("sale_price {value} is not a price"))
    });
    product.currency = part(&mut row, "currency", lost, |value| {
        let text = value.as_str().unwrap_or_default().trim().to_uppercase();
        check_currency(&text).map_err(|_| format!("currency {value} is not one: EUR, say"))?;
        Ok(text)
    });
    product.created = part(&mut row, "created", lost, |value| {
        let period = value.as_str().and_then(typed::date);
        #[expect(clippy::cast_possible_truncation, reason = "seconds of a date")]
        let seconds = period.map(|period| period.first as i64);
        seconds
            .ok_or_else(|| format!("created {value} is neither a day nor a time: 2026-11-29, say"))
    });
    let given = part(&mut row, "attributes", lost, |value| match value {
        Value::Object(given) => Ok(given.clone()),
        _ => Err("attributes is not an object of names and values".to_owned()),
    });
    product.attributes = attributes(given.unwrap_or_default(), lost);
    let images = images(&mut row, lost);
    let product = product
        .check()
        .map_err(|e| FieldFault::new(field_of(&e), e.to_string()))?;
    Ok(Described {
        product,
        images,
        unknown: row.into_iter().map(|(name, _)| name).collect(),
    })
}

/// The pictures of a row, in their order, none twice; `None`: it does not say. `image` and `images` are
/// each a text or a list of texts.
fn images(row: &mut Map<String, Value>, lost: &mut Vec<Part>) -> Option<Vec<RowImage>> {
    let mut images: Vec<RowImage> = Vec::new();
    let mut said = false;
    for name in ["image", "images"] {
        let listed = |place: usize| format!("{name}[{place}]");
        let given: Vec<(String, Value)> = match row.remove(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) if text.trim().is_empty() => continue,
            Some(Value::Array(all)) => (0..).map(listed).zip(all).collect(),
            Some(one) => vec![(name.to_owned(), one)],
        };
        said = true;
        for (field, value) in given {
            match value.as_str().map(str::trim) {
                Some("") => {}
                Some(at) if images.iter().any(|known| known.at == at) => {}
                Some(at) => {
                    let at = at.to_owned();
                    images.push(RowImage { field, at });
                }
                None => {
                    let value: String = value.to_string().chars().take(80).collect();
                    let reason = format!("{field}: {value} is not a text");
                    lost.push((Lost::Photo, FieldFault::new(field, reason)));
                }
            }
        }
    }
    let most = usize::from(MOST_PICTURES);
    if images.len() > most {
        let reason = format!("{} images, at most {most} are taken", images.len());
        lost.push((Lost::Photo, FieldFault::new("images", reason)));
        images.truncate(most);
    }
    said.then_some(images)
}

/// The row that describes a product: [`describe`] reads it back. Its pictures are in it when all of
/// them are on the web: where files of this machine are is nobody's business outside.
pub(in crate::catalog) fn row(product: &Product, pictures: &[StoredPicture]) -> Map<String, Value> {
    let addresses = pictures.iter().map(|picture| picture.address.as_deref());
    let images: Option<Vec<&str>> = addresses.collect();
    let images = images.filter(|images| !images.is_empty());
    let fields = [
        ("id", Some(json!(product.id))),
        ("title", Some(json!(product.title))),
        (
            "description",
            product.description.as_ref().map(|d| json!(d)),
        ),
        ("price", product.price.map(|p| json!(p))),
        ("sale_price", product.sale_price.map(|p| json!(p))),
        ("currency", product.currency.as_ref().map(|c| json!(c))),
        (
            "created",
            product.created.and_then(typed::date_text).map(|d| json!(d)),
        ),
        ("url", product.url.as_ref().map(|u| json!(u))),
        ("images", images.map(|images| json!(images))),
        (
            "attributes",
            Some(json!(product.attributes)).filter(|_| !product.attributes.is_empty()),
        ),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// Which field a product is refused for.
fn field_of(error: &ProductError) -> &'static str {
    match error {
        ProductError::Empty { what }
        | ProductError::TooLong { what, .. }
        | ProductError::ControlCharacter { what } => what.strip_prefix("the ").unwrap_or(what),
        ProductError::AttributeName { .. } => "attributes",
        ProductError::Price { .. } => "price",
        ProductError::Currency { .. } => "currency",
    }
}

/// A field that may be absent or null.
fn optional<T: for<'a> Deserialize<'a>>(
    row: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<T>, FieldFault> {
    let given = row.remove(name).unwrap_or_default();
    Option::deserialize(given).map_err(|e| FieldFault::new(name, format!("{name}: {e}")))
}

/// The same, trimmed; an empty text is none.
fn text(row: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>, FieldFault> {
    let text: Option<String> = optional(row, name)?;
    Ok(text
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty()))
}

/// A part of a row that is lost alone when it cannot be read.
fn part<T>(
    row: &mut Map<String, Value>,
    name: &'static str,
    lost: &mut Vec<Part>,
    read: impl Fn(&Value) -> Result<T, String>,
) -> Option<T> {
    let given = row.remove(name).filter(|value| !value.is_null())?;
    match read(&given) {
        Ok(value) => Some(value),
        Err(reason) => {
            let reason: String = reason.chars().take(200).collect();
            lost.push((Lost::Attribute, FieldFault::new(name, reason)));
            None
        }
    }
}

/// A path or a web address.
fn picture(
    image: &str,
    (shelves, hosts): (&PictureFolders, &PictureHosts),
) -> Result<PictureSource, String> {
    if image.contains("://") {
        hosts.check(image)?;
        return Ok(PictureSource::Address(image.to_owned()));
    }
    for shelf in &shelves.0 {
        if let Some(place) = shelf.at(image)? {
            return Ok(PictureSource::Stored(place));
        }
    }
    Err("is not there".to_owned())
}

fn attributes(given: Map<String, Value>, lost: &mut Vec<Part>) -> Attributes {
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
            Err(reason) => {
                let name: String = name.chars().take(80).collect();
                let fault = FieldFault::new(format!("attributes.{name}"), reason);
                lost.push((Lost::Attribute, fault));
            }
        }
    }
    attributes
}

/// An attribute's name with what is forgiven in one made plain.
pub(in crate::catalog) fn plain_name(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

fn attribute(name: &str, value: Value) -> Result<(AttributeName, Vec<AttributeValue>), String> {
    let plain = plain_name(name);
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
