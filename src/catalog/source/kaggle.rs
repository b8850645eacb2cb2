//! The layout of Kaggle's "Fashion Product Images"
//! (<https://www.kaggle.com/datasets/paramaggarwal/fashion-product-images-dataset>).
//!
//! `styles.csv` is read by the names of its columns: `id` and `productDisplayName` must be there,
//! [`COLUMNS`] are attributes; [`MORE`] are read where a shop has added them, others are not taken and
//! said. A value that is empty or `NA` is left out. The original file does not quote names that hold
//! commas: fields beyond the header belong to the name, its last column.
//!
//! `shoelaces.csv` (`id`, `shoelace_colour`) adds the attribute `shoelace_color`; `none` (slip-on,
//! buckle) stays a value, so that a filter can ask for it. `brand` is derived from the names, see
//! [`brand`](super::brand).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::brand::Brands;
use super::input::Input;
use super::row::{Lost, NOT_UTF8, Row, SourceError};
use super::sink::Sink;
use super::table::{BadRow, Cells, Header, Table, Untaken, id_of, plain};
use crate::catalog::media::PictureSource;
use crate::domain::AttributeValue;
use crate::domain::text::{clean, folded};

/// Column -> attribute.
pub(super) const COLUMNS: [(&str, &str); 8] = [
    ("articleType", "category"),
    ("baseColour", "color"),
    ("gender", "gender"),
    ("masterCategory", "department"),
    ("subCategory", "section"),
    ("usage", "usage"),
    ("season", "season"),
    ("year", "year"),
];
const NAME: &str = "productDisplayName";

/// Columns that shops add: fields of a product, and attributes.
const MORE: [(&str, bool); 15] = [
    ("description", true),
    ("price", true),
    ("sale_price", true),
    ("currency", true),
    ("url", true),
    ("created", true),
    ("style", true),
    ("size", false),
    ("brand", false),
    ("material", false),
    ("pattern", false),
    ("in_stock", false),
    ("stock", false),
    ("gtin", false),
    ("mpn", false),
];

pub(super) fn is(header: &Header) -> bool {
    header.has(&plain(NAME))
}

/// A field that says something.
fn given(cells: &Cells, place: Option<usize>) -> Option<&str> {
    cells.get(place).filter(|value| *value != "NA")
}

pub(super) fn read(
    input: Input,
    shoelaces: Option<&Path>,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let mut laces = match shoelaces {
        Some(path) => read_laces(path, sink)?,
        None => Laces::new(),
    };
    let rows = read_styles(input, sink)?;
    let taken: HashSet<String> = rows.iter().flat_map(|row| values(&row.json)).collect();
    let title = |row: &Row| {
        row.json
            .get("title")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let titles: Vec<String> = rows.iter().map(title).collect();
    let brands = Brands::of(titles.iter().map(String::as_str), |words| {
        taken.contains(words)
    });
    sink.called = [("id", "id"), ("title", NAME)];
    let pictures = sink.pictures();
    let hint = pictures.hint();
    let mut seen = HashSet::new();
    for (mut row, title) in rows.into_iter().zip(&titles) {
        let id = super::describe::id_of(&row.json)
            .map(|id| clean(&id))
            .unwrap_or_default();
        if let Some((_, value)) = laces.get(&id) {
            row.attribute("shoelace_color", Some(value.as_str()));
        }
        if !row.has_attribute("brand") {
            row.attribute("brand", brands.brand(title));
        }
        let picture = pictures.0.iter().find_map(|folder| folder.find(&id));
        row.found = picture.map(PictureSource::Stored).into_iter().collect();
        if row.found.is_empty() && !pictures.0.is_empty() {
            let reason = format!("none of the picture sources has {id}.jpg{hint}");
            row.lose(Lost::Photo, reason);
        }
        seen.insert(id);
        if !sink.row(row) {
            return Ok(());
        }
    }
    laces.retain(|id, _| !seen.contains(id));
    let strangers: BTreeSet<_> = laces
        .into_iter()
        .map(|(id, (line, _))| (line, id))
        .collect();
    for (line, id) in strangers {
        let reason = "in the file of laces: no such product in the styles";
        if !sink.reject(line, Some(&id), Lost::Attribute, reason) {
            break;
        }
    }
    Ok(())
}

/// The values of attributes, as they are compared.
fn values(json: &Map<String, Value>) -> impl Iterator<Item = String> {
    let attributes = json.get("attributes").and_then(Value::as_object);
    let lists = attributes
        .into_iter()
        .flat_map(|attributes| attributes.values());
    let values = lists.filter_map(Value::as_array).flatten();
    values.filter_map(Value::as_str).map(folded)
}

fn no_column(table: &Table, column: &str) -> SourceError {
    let what = format!("has no column {column:?} in its first line");
    SourceError::not(&table.path, what)
}

fn read_styles(input: Input, sink: &mut Sink<'_>) -> Result<Vec<Row>, SourceError> {
    let mut table = Table::open(input, None)?;
    let find = |table: &Table, column: &str| table.header.find(&plain(column));
    let id = find(&table, "id").ok_or_else(|| no_column(&table, "id"))?;
    let name = find(&table, NAME).ok_or_else(|| no_column(&table, NAME))?;
    table.last_takes_rest(&plain(NAME));
    let columns: Vec<(usize, &str)> = COLUMNS
        .iter()
        .filter_map(|(column, attribute)| Some((find(&table, column)?, *attribute)))
        .collect();
    let more: Vec<(usize, &str, bool)> = MORE
        .iter()
        .filter_map(|(column, is_field)| Some((find(&table, column)?, *column, *is_field)))
        .collect();
    let is_taken = |place: usize, _: &str| {
        place == id
            || place == name
            || columns.iter().any(|(taken, _)| *taken == place)
            || more.iter().any(|(taken, ..)| *taken == place)
    };
    let mut untaken = Untaken::of(&table.header, is_taken);
    let mut rows = Vec::new();
    let mut open = true;
    while let Some(row) = table.next()?.filter(|_| open) {
        let cells = match row {
            Ok(cells) => cells,
            Err(BadRow {
                line,
                cells,
                reason,
            }) => {
                let id = id_of(&cells, Some(id));
                open = sink.reject(line, id.as_deref(), Lost::Row, reason);
                continue;
            }
        };
        untaken.count(&cells);
        let key = given(&cells, Some(id));
        if cells.has_damaged(Some(id)) {
            open = sink.reject(cells.line, key, Lost::Row, NOT_UTF8);
            continue;
        }
        let mut row = Row {
            line: cells.line,
            lost: cells.lost(),
            ..Row::default()
        };
        row.text("id", key);
        row.text("title", given(&cells, Some(name)));
        for (place, attribute) in &columns {
            row.attribute(attribute, given(&cells, Some(*place)));
        }
        for (place, column, is_field) in &more {
            let text = given(&cells, Some(*place));
            if *is_field {
                row.text(column, text);
            } else {
                row.attribute(column, text);
            }
        }
        rows.push(row);
    }
    let known: Vec<&str> = COLUMNS
        .iter()
        .map(|(column, _)| *column)
        .chain(MORE.iter().map(|(column, _)| *column))
        .collect();
    untaken.say(&table.header, &known, &mut sink.ignored);
    Ok(rows)
}

/// Id -> line and color.
type Laces = HashMap<String, (u64, AttributeValue)>;

fn read_laces(path: &Path, sink: &mut Sink<'_>) -> Result<Laces, SourceError> {
    let mut table = Table::open(Input::open(path)?, None)?;
    let id = table
        .header
        .find("id")
        .ok_or_else(|| no_column(&table, "id"))?;
    let color = ["shoelace_color", "shoelace_colour"]
        .iter()
        .find_map(|name| table.header.find(name));
    let color = color.ok_or_else(|| no_column(&table, "shoelace_colour"))?;
    let mut laces = Laces::new();
    let mut open = true;
    while let Some(row) = table.next()?.filter(|_| open) {
        let in_file = |reason: &dyn std::fmt::Display| format!("in the file of laces: {reason}");
        let cells = match row {
            Ok(cells) => cells,
            Err(BadRow {
                line,
                cells,
                reason,
            }) => {
                let id = id_of(&cells, Some(id));
                open = sink.reject(line, id.as_deref(), Lost::Attribute, in_file(&reason));
                continue;
            }
        };
        let (Some(key), Some(value)) = (id_of(&cells, Some(id)), given(&cells, Some(color))) else {
            continue;
        };
        let refused = match AttributeValue::new(value) {
            Err(error) => in_file(&error),
            Ok(_) if laces.contains_key(&key) => in_file(&"the id was already used"),
            Ok(value) => {
                laces.insert(key, (cells.line, value));
                continue;
            }
        };
        open = sink.reject(cells.line, Some(&key), Lost::Attribute, refused);
    }
    Ok(laces)
}
