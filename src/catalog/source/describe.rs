//! A row -> a product: the one door that products of all formats, and of the API, come in by.
//!
//! ```json
//! {"id": "7", "title": "Urban Low", "style": "urban", "image": "photos/7.jpg", "price": 49.9, "sale_price": 39.9,
//!  "currency": "EUR", "url": "https://shop.example/7", "created": "2026-11-29", "description": "..",
//!  "attributes": {"color": "Black", "size": [41, 42], "vegan": true}}
//! ```
//!
//! `id` (a string or a whole number) and `title` must be there. `image` is a path relative to the
//! file, or to one of the picture sources given, or a web address of a host that pictures are fetched
//! from; `images` is a list of such, in their order, at most 32 in all. `style` is the same for products that
//! are variants of one: it becomes the attribute of that name. Attribute values are strings, numbers, booleans,
//! or lists of them; names are lowered and their spaces and hyphens become `_`. No attribute may be
//! called `image`: the upload form of the API has a field of that name. `created` is a day or a time
//! (RFC 3339): when the shop got the product; without it, when the catalog first did. Fields that are not named
//! here are ignored and counted; null is the same as absent. A part that cannot be used is rejected alone:
//! only a row without an id or a title is lost.
//!
//! Text is cleaned here, for all sources: HTML becomes text, and see [`clean`].

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::row::Lost;
use crate::catalog::values::StoredPicture;
use crate::domain::text::{clean, decoded, plain_text};
use crate::domain::{
    AttributeName, AttributeValue, Attributes, FieldFault, MOST_PICTURES, Product, ProductId,
    check_currency, is_field, is_parameter, typed,
};

/// The fields of a row.
pub(in crate::catalog) const FIELDS: [&str; 12] = [
    "id",
    "title",
    "description",
    "price",
    "sale_price",
    "currency",
    "created",
    "url",
    "style",
    "image",
    "images",
    "attributes",
];
/// The attribute that variants of one product share.
pub(super) const STYLE: &str = "style";

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
    if !row.contains_key("id") {
        return Err(FieldFault::new("id", "missing field `id`"));
    }
    let key = id_of(&row)
        .ok_or_else(|| FieldFault::new("id", "the id is neither a string nor a whole number"))?;
    row.remove("id");
    let key = ProductId::new(&key).map_err(|e| FieldFault::new("id", e.to_string()))?;
    let title = title(row.remove("title"), lost)?;
    let mut product =
        Product::new(key, &title).map_err(|e| FieldFault::new("title", e.to_string()))?;
    product.description = part(&mut row, "description", lost, |value| {
        let text = value.as_str();
        let text = text.ok_or_else(|| format!("description {value} is not a text"))?;
        Ok(text.to_owned())
    });
    product.description = product
        .description
        .map(|text| cleaned("description", &text, Product::LONGEST_DESCRIPTION, lost))
        .filter(|text| !text.is_empty());
    product.url = part(&mut row, "url", lost, |value| {
        let text = value.as_str().map(str::trim);
        let text = text.ok_or_else(|| format!("url {value} is not a text"))?;
        let long = text.chars().count() > Product::LONGEST_URL;
        if long || text.contains(|c: char| c.is_control()) {
            let most = Product::LONGEST_URL;
            return Err(format!(
                "url {value} is longer than {most} characters, or has a control character"
            ));
        }
        Ok(text.to_owned())
    });
    product.url = product.url.filter(|url| !url.is_empty());
    product.price = part(&mut row, "price", lost, |value| price("price", value));
    product.sale_price = part(&mut row, "sale_price", lost, |value| {
        price("sale_price", value)
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
    let mut given = given.unwrap_or_default();
    if let Some(style) = row.remove(STYLE).filter(|style| !style.is_null()) {
        given.insert(STYLE.to_owned(), style);
    }
    product.attributes = attributes(given, lost);
    let images = images(&mut row, lost);
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
    let mut known: HashSet<String> = HashSet::new();
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
                Some(at) if !known.insert(at.to_owned()) => {}
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

fn price(name: &str, value: &Value) -> Result<f64, String> {
    let price = value.as_f64().filter(|price| *price >= 0.0);
    price.ok_or_else(|| format!("{name} {value} is not a price: a number that is not negative"))
}

/// A title that can be used, cut where it is too long.
fn title(given: Option<Value>, lost: &mut Vec<Part>) -> Result<String, FieldFault> {
    let fault = |reason: String| FieldFault::new("title", reason);
    let given = given.filter(|title| !title.is_null());
    let given = given.ok_or_else(|| fault("missing field `title`".to_owned()))?;
    let text = given.as_str().ok_or_else(|| {
        let given: String = given.to_string().chars().take(80).collect();
        fault(format!("title {given} is not a text"))
    })?;
    Ok(cleaned("title", text, Product::LONGEST_TITLE, lost))
}

/// A text without HTML and control characters, and of at most `most` characters: cut between words.
fn cleaned(name: &'static str, given: &str, most: usize, lost: &mut Vec<Part>) -> String {
    /// HTML has so many times the characters of its text, at most; beyond that it is not looked at, so
    /// that a text that a thousand variants share does not cost a thousand times its length.
    const MARKUP: usize = 8;
    let whole = given
        .char_indices()
        .nth(MARKUP * most)
        .map(|(end, _)| &given[..end]);
    let mut text = clean(&plain_text(whole.unwrap_or(given)));
    if text.contains(char::is_control) {
        text.retain(|letter| !letter.is_control());
        // Two spaces may have stood on either side of one.
        text = clean(&text);
        let reason = format!("{name}: control characters were left out");
        lost.push((Lost::Letters, FieldFault::new(name, reason)));
    }
    let end = text.char_indices().nth(most).map(|(at, _)| at);
    if let Some(end) = end {
        let end = text[..end]
            .rfind(' ')
            .filter(|at| *at > end / 2)
            .unwrap_or(end);
        text.truncate(end);
    }
    if end.is_some() || whole.is_some() {
        let got = given.chars().count();
        let reason =
            format!("the {name} has {got} characters and was cut: at most {most} are taken");
        lost.push((Lost::Letters, FieldFault::new(name, reason)));
    }
    text
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

fn attributes(given: Map<String, Value>, lost: &mut Vec<Part>) -> Attributes {
    let mut attributes = Attributes::new();
    for (name, value) in given {
        let field = format!("attributes.{}", name.chars().take(80).collect::<String>());
        let mut reject = |reason| {
            lost.push((Lost::Attribute, FieldFault::new(field.clone(), reason)));
        };
        match attribute_name(&name) {
            Ok(known) => {
                let values = values(&name, value, &mut reject);
                let all: &mut Vec<AttributeValue> = attributes.entry(known).or_default();
                let mut folded: HashSet<String> = all.iter().map(AttributeValue::folded).collect();
                all.extend(
                    values
                        .into_iter()
                        .filter(|value| folded.insert(value.folded())),
                );
            }
            Err(reason) => reject(reason),
        }
    }
    attributes.retain(|_, values| !values.is_empty());
    attributes
}

/// An attribute's name with what is forgiven in one made plain.
pub(in crate::catalog) fn plain_name(name: &str) -> String {
    clean(name).to_lowercase().replace([' ', '-'], "_")
}

/// The attribute that is called so.
pub(super) fn attribute_name(name: &str) -> Result<AttributeName, String> {
    let plain = AttributeName::new(&plain_name(name)).map_err(|e| e.to_string())?;
    let what = match plain.as_str() {
        name if is_parameter(name) => "a parameter of the search itself",
        name if is_field(name) => "a field of a product itself",
        _ => return Ok(plain),
    };
    Err(format!(
        "{:?} is {what} and cannot name an attribute",
        plain.as_str()
    ))
}

/// The values of an attribute; of a list, those that can be used.
fn values(name: &str, value: Value, lose: &mut dyn FnMut(String)) -> Vec<AttributeValue> {
    // Said of each value that is lost.
    let name: String = name.chars().take(80).collect();
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    let mut values = Vec::new();
    for value in list {
        let text = match value {
            Value::Null => continue,
            Value::String(text) if clean(&text).is_empty() => continue,
            Value::String(text) => decoded(&text).into_owned(),
            Value::Bool(yes) => yes.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Array(_) | Value::Object(_) => {
                lose(format!(
                    "attribute {name:?} holds neither text nor a number"
                ));
                continue;
            }
        };
        match AttributeValue::new(&text) {
            Ok(value) => values.push(value),
            Err(error) => lose(format!("attribute {name:?}: {error}")),
        }
    }
    values
}
