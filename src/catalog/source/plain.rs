//! Any other table: by the names of its columns, or by a shop's [`Mapping`].
//!
//! Without a mapping the columns that are called as our own fields are those, some others are known by
//! another name (`sku`, `name`, `image_url`), and every other one is an attribute.

use super::facts::{addresses, attribute, categories, levels};
use super::input::Input;
use super::mapping::{Field, Mapping};
use super::row::{Lost, NOT_UTF8, Row, SourceError};
use super::sink::Sink;
use super::table::{Cells, Header, Table, Untaken, id_of, plain};

/// Our own fields by the other names that their columns have.
const NAMES: [(&str, &[&str]); 11] = [
    (
        "id",
        &[
            "id",
            "product_id",
            "sku",
            "item_id",
            "article_number",
            "artikelnummer",
            "artikel_nr",
            "handle",
        ],
    ),
    (
        "title",
        &[
            "title",
            "name",
            "product_name",
            "product_title",
            "bezeichnung",
            "titel",
            "artikelname",
        ],
    ),
    (
        "description",
        &["description", "beschreibung", "body", "long_description"],
    ),
    ("url", &["url", "link", "product_url", "deeplink"]),
    (
        "price",
        &[
            "price",
            "regular_price",
            "preis",
            "prix",
            "precio",
            "prezzo",
        ],
    ),
    (
        "sale_price",
        &["sale_price", "special_price", "angebotspreis"],
    ),
    ("currency", &["currency", "waehrung", "währung"]),
    ("created", &["created", "created_at", "date_added"]),
    (
        "style",
        &[
            "style",
            "item_group_id",
            "parent_id",
            "parent_sku",
            "group_id",
            "style_group",
        ],
    ),
    (
        "image",
        &[
            "image",
            "images",
            "image_url",
            "image_link",
            "picture",
            "photo",
            "bild",
            "bilder",
            "bild_url",
        ],
    ),
    (
        "category",
        &[
            "category",
            "categories",
            "category_path",
            "product_type",
            "kategorie",
        ],
    ),
];

fn field_of(name: &str) -> Option<&'static str> {
    let found = NAMES.iter().find(|(_, names)| names.contains(&name));
    found.map(|(field, _)| *field)
}

pub(super) fn is(header: &Header) -> bool {
    let has = |wanted: &str| {
        header
            .names
            .iter()
            .any(|name| field_of(&plain(name)) == Some(wanted))
    };
    has("id") && has("title")
}

/// What each column of a table is.
struct Columns {
    fields: Vec<Option<Field>>,
    id: Option<usize>,
    /// Parts the values of attributes in one field.
    list: Option<char>,
}

impl Columns {
    fn by_mapping(header: &Header, mapping: &Mapping) -> Result<Self, String> {
        let mut fields = vec![None; header.names.len()];
        for (column, field) in &mapping.columns {
            let Some(place) = header.find(&plain(column)) else {
                let what = format!("has no column {column:?}, which the mapping names");
                // A column that some exports lack costs itself, those that make a product cost all.
                let needed = [Field::Of("id"), Field::Of("title")].contains(field);
                if needed {
                    return Err(what);
                }
                continue;
            };
            fields[place] = Some(field.clone());
        }
        Ok(Self::of(fields, mapping.list))
    }

    fn by_name(header: &Header) -> Result<Self, String> {
        let mut fields = vec![None; header.names.len()];
        // Of several columns for a field the one that goes by its first name.
        for (field, names) in NAMES {
            let places = names.iter().filter_map(|name| header.find(name));
            let places: Vec<usize> = if field == "image" {
                places.collect()
            } else {
                places.take(1).collect()
            };
            for place in places {
                fields[place] = Some(Field::Of(field));
            }
        }
        for (place, name) in header.names.iter().enumerate() {
            if fields[place].is_none() {
                fields[place] = attribute(name).map(Field::Attribute);
            }
        }
        let columns = Self::of(fields, None);
        for field in ["id", "title"] {
            if !columns.fields.contains(&Some(Field::Of(field))) {
                return Err(format!(
                    "has no column for the {field} of products: a mapping says which one it is"
                ));
            }
        }
        Ok(columns)
    }

    fn of(fields: Vec<Option<Field>>, list: Option<char>) -> Self {
        let id = fields
            .iter()
            .position(|field| *field == Some(Field::Of("id")));
        Self { fields, id, list }
    }

    fn row(&self, cells: &Cells) -> Row {
        let mut row = Row {
            line: cells.line,
            lost: cells.lost(),
            ..Row::default()
        };
        let mut paths = Vec::new();
        for (place, field) in self.fields.iter().enumerate() {
            let (Some(field), Some(text)) = (field, cells.get(Some(place))) else {
                continue;
            };
            match field {
                Field::Of("image" | "images") => {
                    for text in self.parts(text) {
                        for address in addresses(text) {
                            row.image(address);
                        }
                    }
                }
                Field::Of("category") => paths.extend(self.parts(text).into_iter().map(levels)),
                Field::Of(name) => row.text(name, Some(text)),
                Field::Attribute(name) => {
                    for value in self.parts(text) {
                        row.attribute(name, Some(value));
                    }
                }
                Field::Nothing => {}
            }
        }
        categories(&mut row, &paths);
        row
    }

    fn parts<'a>(&self, text: &'a str) -> Vec<&'a str> {
        match self.list {
            Some(list) => text
                .split(list)
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .collect(),
            None => vec![text],
        }
    }
}

pub(super) fn read(
    input: Input,
    mapping: &Mapping,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let mut table = Table::open(input, mapping.separator)?;
    let columns = if mapping.columns.is_empty() {
        Columns::by_name(&table.header)
    } else {
        Columns::by_mapping(&table.header, mapping)
    };
    let columns = columns.map_err(|what| SourceError::not(&table.path, what))?;
    let mut untaken = Untaken::of(&table.header, |place, _| columns.fields[place].is_some());
    while let Some(row) = table.next()? {
        let goes_on = match row {
            Ok(cells) => {
                untaken.count(&cells);
                if cells.has_damaged(columns.id) {
                    sink.reject(cells.line, cells.get(columns.id), Lost::Row, NOT_UTF8)
                } else {
                    sink.row(columns.row(&cells))
                }
            }
            Err(bad) => {
                let id = id_of(&bad.cells, columns.id);
                sink.reject(bad.line, id.as_deref(), Lost::Row, bad.reason)
            }
        };
        if !goes_on {
            break;
        }
    }
    let known: Vec<&str> = mapping.columns.keys().map(String::as_str).collect();
    untaken.say(&table.header, &known, &mut sink.ignored);
    for column in mapping.columns.keys() {
        if !table.header.has(&plain(column)) {
            let name = format!("{column} (of the mapping: the file has no such column)");
            sink.ignored.add(&name, 0, || None);
        }
    }
    Ok(())
}
