//! Shopify's CSV of products, with the headers of before and since 2025
//! (<https://help.shopify.com/manual/products/import-export/using-csv>).
//!
//! Rows of one handle are a product: variants, and pictures alone. Each variant becomes a product of
//! the style that is the handle.

use std::collections::HashMap;

use super::facts::{attribute, categories, levels};
use super::input::Input;
use super::row::{Lost, NOT_UTF8, Row, SourceError};
use super::sink::Sink;
use super::table::{Cells, Header, Table, Untaken, id_of};
use crate::domain::{Money, text::clean};

/// A field, with its columns in the old header and the new one, by their plain names.
const COLUMNS: [(&str, &[&str]); 33] = [
    ("handle", &["handle", "url_handle"]),
    ("title", &["title"]),
    ("body", &["body_(html)", "description"]),
    ("vendor", &["vendor"]),
    ("category", &["product_category", "standard_product_type"]),
    ("type", &["type", "custom_product_type"]),
    ("tags", &["tags"]),
    ("published", &["published", "published_on_online_store"]),
    ("status", &["status"]),
    ("name1", &["option1_name"]),
    ("value1", &["option1_value"]),
    ("name2", &["option2_name"]),
    ("value2", &["option2_value"]),
    ("name3", &["option3_name"]),
    ("value3", &["option3_value"]),
    ("sku", &["variant_sku", "sku"]),
    (
        "barcode",
        &["variant_barcode", "variant_barcodes", "barcode"],
    ),
    (
        "tracker",
        &["variant_inventory_tracker", "inventory_tracker"],
    ),
    ("quantity", &["variant_inventory_qty", "inventory_quantity"]),
    (
        "policy",
        &[
            "variant_inventory_policy",
            "continue_selling_when_out_of_stock",
        ],
    ),
    ("price", &["variant_price", "price"]),
    ("compare", &["variant_compare_at_price", "compare_at_price"]),
    ("image", &["image_src", "product_image_url"]),
    ("position", &["image_position"]),
    ("variant_image", &["variant_image", "variant_image_url"]),
    (
        "google_category",
        &["google_shopping_/_google_product_category"],
    ),
    ("gender", &["google_shopping_/_gender"]),
    ("age_group", &["google_shopping_/_age_group"]),
    (
        "mpn",
        &[
            "google_shopping_/_mpn",
            "google_shopping_/_manufacturer_part_number_(mpn)",
        ],
    ),
    ("condition", &["google_shopping_/_condition"]),
    // Known, and of no use: what stands beside values that are taken.
    ("linked1", &["option1_linked_to"]),
    ("linked2", &["option2_linked_to"]),
    ("linked3", &["option3_linked_to"]),
];

pub(super) fn is(header: &Header) -> bool {
    let old = header.has("handle")
        && [
            "body_(html)",
            "variant_sku",
            "variant_price",
            "option1_name",
        ]
        .iter()
        .any(|name| header.has(name));
    let new = header.has("url_handle") && header.has("title");
    old || new
}

/// Where the columns of a table are.
struct Columns {
    fields: HashMap<&'static str, usize>,
    /// Metafields of Shopify's own, by the attribute that they are.
    meta: Vec<(String, usize)>,
}

impl Columns {
    fn of(header: &Header) -> Self {
        let mut fields = HashMap::new();
        for (field, names) in COLUMNS {
            if let Some(place) = names.iter().find_map(|name| header.find(name)) {
                fields.insert(field, place);
            }
        }
        let meta = header.names.iter().enumerate().filter_map(|(place, name)| {
            let (label, key) = name.split_once("(product.metafields.")?;
            key.starts_with("shopify.")
                .then_some((attribute(label)?, place))
        });
        Self {
            meta: meta.collect(),
            fields,
        }
    }

    fn place(&self, field: &str) -> Option<usize> {
        self.fields.get(field).copied()
    }

    fn get<'a>(&self, cells: &'a Cells, field: &str) -> Option<&'a str> {
        cells.get(self.place(field))
    }

    fn takes(&self, place: usize) -> bool {
        self.fields.values().any(|taken| *taken == place)
            || self.meta.iter().any(|(_, taken)| *taken == place)
    }
}

pub(super) fn read(
    input: Input,
    separator: Option<char>,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let mut table = Table::open(input, separator)?;
    let columns = Columns::of(&table.header);
    let Some(handle) = columns.place("handle") else {
        let what =
            "has no column \"Handle\" or \"URL handle\", which Shopify's file of products has";
        return Err(SourceError::not(&table.path, what));
    };
    let mut untaken = Untaken::of(&table.header, |place, _| columns.takes(place));
    // In the order of their first rows; rows of one handle need not be adjacent.
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut products: Vec<(String, Vec<Cells>)> = Vec::new();
    while let Some(row) = table.next()? {
        let cells = match row {
            Ok(cells) => cells,
            Err(bad) => {
                let id = id_of(&bad.cells, Some(handle));
                if !sink.reject(bad.line, id.as_deref(), Lost::Row, bad.reason) {
                    return Ok(());
                }
                continue;
            }
        };
        untaken.count(&cells);
        let Some(of) = cells.get(Some(handle)).map(clean) else {
            let reason = "the row has no handle";
            if !sink.reject(cells.line, None, Lost::Row, reason) {
                return Ok(());
            }
            continue;
        };
        let place = *places.entry(of.clone()).or_insert_with(|| {
            products.push((of, Vec::new()));
            products.len() - 1
        });
        products[place].1.push(cells);
    }
    for (handle, rows) in &products {
        if !product(handle, rows, &columns, sink) {
            break;
        }
    }
    let known: Vec<&str> = COLUMNS
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .collect();
    untaken.say(&table.header, &known, &mut sink.ignored);
    Ok(())
}

/// Takes the variants of a product; whether anybody listens.
fn product(handle: &str, rows: &[Cells], columns: &Columns, sink: &mut Sink<'_>) -> bool {
    let titled = rows.iter().find(|row| columns.get(row, "title").is_some());
    let first = titled.unwrap_or(&rows[0]);
    let options: Vec<&str> = ["name1", "name2", "name3"]
        .iter()
        .map(|name| {
            rows.iter()
                .find_map(|row| columns.get(row, name))
                .unwrap_or_default()
        })
        .collect();
    let value = |row: &'_ Cells, number: usize| -> Option<String> {
        let value = columns
            .get(row, ["value1", "value2", "value3"][number])
            .map(clean)?;
        let default = value == "Default Title";
        (!value.is_empty() && !default).then_some(value)
    };
    let has_option = |row: &Cells| (0..3).any(|number| value(row, number).is_some());
    let variants: Vec<&Cells> = rows.iter().filter(|row| has_option(row)).collect();
    let (sold, styled) = if variants.is_empty() {
        (vec![first], false)
    } else {
        (variants, true)
    };
    let id = |row: &Cells| {
        let sku = columns
            .get(row, "sku")
            .map(unquoted)
            .filter(|sku| !sku.is_empty());
        sku.map_or_else(
            || {
                let values = (0..3).filter_map(|number| value(row, number));
                let parts = values.map(|value| value.to_lowercase().replace(' ', "-"));
                std::iter::once(handle.to_owned())
                    .chain(parts)
                    .collect::<Vec<_>>()
                    .join("-")
            },
            str::to_owned,
        )
    };
    if let Some(reason) = not_sold(rows, columns) {
        return sink.reject(rows[0].line, Some(&id(sold[0])), Lost::Row, reason);
    }
    if titled.is_none() {
        let reason = "none of its rows has a title";
        return sink.reject(rows[0].line, Some(&id(sold[0])), Lost::Row, reason);
    }
    let images = images(rows, columns);
    // Looked for once: a product may have as many variants as the file has rows.
    let mut of_all = Row::default();
    of_all.text(
        "description",
        rows.iter().find_map(|row| columns.get(row, "body")),
    );
    shared(&mut of_all, rows, columns);
    sold.into_iter().all(|variant| {
        if variant.has_damaged(columns.place("sku")) || variant.has_damaged(columns.place("handle"))
        {
            return sink.reject(variant.line, Some(&id(variant)), Lost::Row, NOT_UTF8);
        }
        let mut row = Row {
            line: variant.line,
            json: of_all.json.clone(),
            lost: variant.lost(),
            ..Row::default()
        };
        row.text("id", Some(&id(variant)));
        row.text("title", columns.get(first, "title"));
        if styled {
            row.text("style", Some(handle));
        }
        prices(&mut row, variant, columns, sink.decimal);
        for (number, name) in options.iter().enumerate() {
            let Some(value) = value(variant, number) else {
                continue;
            };
            match attribute(name) {
                Some(name) => {
                    // A variant has its own value, not those of all.
                    row.unset(&name);
                    row.attribute(&name, Some(&value));
                }
                None => row.lose(
                    Lost::Attribute,
                    format!("the option {name:?} has no name that an attribute can have"),
                ),
            }
        }
        row.attribute("gtin", columns.get(variant, "barcode").map(unquoted));
        stock(&mut row, variant, columns);
        if let Some(own) = columns.get(variant, "variant_image") {
            row.image(own);
        }
        for image in &images {
            row.image(image);
        }
        sink.row(row)
    })
}

/// Why a product is not in the shop.
fn not_sold(rows: &[Cells], columns: &Columns) -> Option<String> {
    let said = |field: &str| rows.iter().find_map(|row| columns.get(row, field));
    let status = said("status").map(str::to_lowercase);
    if let Some(status) = status.filter(|status| status != "active") {
        return Some(format!("the product is not sold: its status is {status}"));
    }
    let hidden = said("published").is_some_and(|said| said.eq_ignore_ascii_case("false"));
    hidden.then(|| "the product is not published".to_owned())
}

/// Shopify's own limit is 250 pictures of a product; each variant has all of them.
const MOST_IMAGES: usize = 1_000;

/// The pictures of a product, by their positions where they have some.
fn images<'a>(rows: &'a [Cells], columns: &Columns) -> Vec<&'a str> {
    let images = rows.iter().filter_map(|row| {
        let position = columns
            .get(row, "position")
            .and_then(|text| text.parse().ok());
        Some((position.unwrap_or(u32::MAX), columns.get(row, "image")?))
    });
    let mut images: Vec<(u32, &str)> = images.collect();
    images.sort_by_key(|(position, _)| *position);
    let images = images.into_iter().map(|(_, image)| image);
    images.take(MOST_IMAGES).collect()
}

/// What spreadsheets write before digits that are to stay text.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('\'').unwrap_or(text).trim()
}

/// What all variants of a product share.
fn shared(row: &mut Row, rows: &[Cells], columns: &Columns) {
    let said = |field: &str| rows.iter().find_map(|row| columns.get(row, field));
    row.attribute("brand", said("vendor"));
    let standard = said("category").map(levels).unwrap_or_default();
    match (said("type"), said("google_category").map(levels)) {
        (Some(kind), _) => {
            row.attribute("category", Some(kind));
            if standard.len() > 1 {
                row.attribute("department", standard.first().map(String::as_str));
            }
        }
        (None, google) => {
            let google =
                google.filter(|path| !path.iter().all(|level| level.parse::<u32>().is_ok()));
            let path = if standard.is_empty() {
                google.unwrap_or_default()
            } else {
                standard
            };
            categories(row, &[path]);
        }
    }
    for tag in said("tags").into_iter().flat_map(|tags| tags.split(',')) {
        row.attribute("tags", Some(tag));
    }
    for field in ["gender", "age_group", "mpn", "condition"] {
        row.attribute(field, said(field));
    }
    for (name, place) in &columns.meta {
        if row.has_attribute(name) {
            continue;
        }
        let said = rows.iter().find_map(|row| row.get(Some(*place)));
        for value in said.into_iter().flat_map(|values| values.split(';')) {
            row.attribute(name, Some(value));
        }
    }
}

/// `Compare At Price` is what a reduced product cost before.
fn prices(row: &mut Row, variant: &Cells, columns: &Columns, decimal: Option<char>) {
    let (price, before) = (
        columns.get(variant, "price"),
        columns.get(variant, "compare"),
    );
    let amount = |text: Option<&str>| Money::parse(text?, decimal).map(|money| money.amount);
    match (amount(price), amount(before)) {
        (Some(now), Some(former)) if former > now => {
            row.text("price", before);
            row.text("sale_price", price);
        }
        _ => row.text("price", price),
    }
}

fn stock(row: &mut Row, variant: &Cells, columns: &Columns) {
    if columns.place("tracker").is_some() && columns.get(variant, "tracker").is_none() {
        row.attribute("in_stock", Some("true"));
        return;
    }
    let Some(quantity) = columns.get(variant, "quantity") else {
        return;
    };
    let Ok(number) = quantity.parse::<i64>() else {
        let quantity: String = quantity.chars().take(80).collect();
        row.lose(
            Lost::Attribute,
            format!("the quantity {quantity:?} is not a number"),
        );
        return;
    };
    let goes_on = columns.get(variant, "policy").map(str::to_lowercase);
    let goes_on = goes_on.is_some_and(|policy| policy == "continue" || policy == "true");
    let is = if number > 0 || goes_on {
        "true"
    } else {
        "false"
    };
    row.attribute("in_stock", Some(is));
    row.attribute("stock", Some(quantity));
}
