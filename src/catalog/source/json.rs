//! Our own JSON: a product a line (<https://jsonlines.org>), or an array of products, or an object that
//! holds one (`{"products": [..]}`). [`describe`](super::describe) says which fields a product has.

use serde_json::Value;

use super::input::Input;
use super::lines::Lines;
use super::objects::{Object, Objects};
use super::row::{Lost, NOT_UTF8, Row, SourceError};
use super::sink::Sink;

/// Reads products, each a line.
pub(super) fn read_lines(input: Input, sink: &mut Sink<'_>) -> Result<(), SourceError> {
    let mut lines = Lines::of(input);
    while let Some(line) = lines.next()? {
        if line.is_blank() {
            continue;
        }
        let object = if line.too_long {
            let reason = format!("the line is longer than {} bytes", Lines::LONGEST);
            Err(reason)
        } else {
            Ok(line.text)
        };
        if !take(line.number, object, line.lossy, sink) {
            break;
        }
    }
    Ok(())
}

/// Reads products that go over lines as they like; `array`: as [`Objects::of`] has it.
pub(super) fn read_objects(
    input: Input,
    array: Option<usize>,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let mut objects = Objects::of(input, array)?;
    while let Some(Object { line, text, lossy }) = objects.next()? {
        if !take(line, text, lossy, sink) {
            break;
        }
    }
    Ok(())
}

/// Takes what should be a product; whether anybody listens.
fn take(line: u64, text: Result<String, String>, lossy: bool, sink: &mut Sink<'_>) -> bool {
    let text = match text {
        Ok(text) => text,
        Err(reason) => return sink.reject(line, None, Lost::Row, reason),
    };
    let value: Value = match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(error) => {
            let reason = format!("no JSON: {error}");
            return sink.reject(line, None, Lost::Row, reason);
        }
    };
    let Value::Object(json) = value else {
        return sink.reject(line, None, Lost::Row, "it is not a JSON object");
    };
    let mut row = Row {
        line,
        json,
        ..Row::default()
    };
    if lossy {
        let id = super::describe::id_of(&row.json);
        if id
            .as_ref()
            .is_some_and(|id| id.contains(char::REPLACEMENT_CHARACTER))
        {
            let reason = "the id has bytes that are not UTF-8";
            return sink.reject(line, id.as_deref(), Lost::Row, reason);
        }
        row.lose(Lost::Letters, NOT_UTF8);
    }
    variants(row, sink)
}

/// Variants that a product may have: each of them has all that the product says.
const MOST_VARIANTS: usize = 2_000;

/// Takes the products of a row: with `variants` each of them, with the row's fields where it has none
/// of its own, and the row's id as the style. Whether anybody listens.
fn variants(mut row: Row, sink: &mut Sink<'_>) -> bool {
    let mut given = match row.json.remove("variants") {
        Some(Value::Array(given)) if !given.is_empty() => given,
        Some(Value::Array(_) | Value::Null) | None => return sink.row(row),
        Some(_) => {
            row.lose(Lost::Attribute, "variants is not a list of objects");
            return sink.row(row);
        }
    };
    let Some(id) = super::describe::id_of(&row.json) else {
        return sink.row(row);
    };
    if given.len() > MOST_VARIANTS {
        let reason = format!(
            "{} variants, at most {MOST_VARIANTS} are taken",
            given.len()
        );
        row.lose(Lost::Attribute, reason);
        given.truncate(MOST_VARIANTS);
    }
    row.json.entry("style").or_insert_with(|| id.clone().into());
    let mut lost = std::mem::take(&mut row.lost);
    // Said with the first variant.
    let bad = (0..)
        .zip(&given)
        .filter(|(_, variant)| !variant.is_object());
    lost.extend(bad.map(|(place, _): (usize, _)| {
        let reason = format!("variants[{place}] is not an object");
        (Lost::Attribute, reason)
    }));
    let mut none = true;
    for (number, variant) in (1..).zip(given) {
        let Value::Object(own) = variant else {
            continue;
        };
        none = false;
        let mut json = row.json.clone();
        json.insert("id".to_owned(), format!("{id}-{number}").into());
        let mut pictures = Vec::new();
        for (name, value) in own {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("attributes", Value::Object(own)) => match json.get_mut("attributes") {
                    Some(Value::Object(all)) => all.extend(own),
                    _ => drop(json.insert(name, Value::Object(own))),
                },
                // Its own first, then those of the product.
                ("image" | "images", Value::Array(own)) => pictures.extend(own),
                ("image" | "images", own) => pictures.push(own),
                (_, value) => drop(json.insert(name, value)),
            }
        }
        if !pictures.is_empty() {
            for of_all in ["image", "images"].map(|name| json.remove(name)) {
                match of_all {
                    Some(Value::Array(more)) => pictures.extend(more),
                    Some(one @ Value::String(_)) => pictures.push(one),
                    _ => {}
                }
            }
            json.insert("images".to_owned(), Value::Array(pictures));
        }
        // One at a time: together they may be a thousand times the row.
        let variant = Row {
            line: row.line,
            json,
            lost: std::mem::take(&mut lost),
            ..Row::default()
        };
        if !sink.row(variant) {
            return false;
        }
    }
    if none {
        row.lost = lost;
        return sink.row(row);
    }
    true
}
