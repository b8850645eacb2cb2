//! WooCommerce's CSV of products
//! (<https://woocommerce.com/document/product-csv-importer-exporter/>), with its headers in English,
//! German, French and Spanish.
//!
//! A variable product is no product of its own: its variations are, each with what the parent says
//! where it says nothing itself.

use std::collections::HashMap;

use jiff::Timestamp;

use super::facts::{addresses, attribute, availability, categories, levels};
use super::input::Input;
use super::row::{Lost, NOT_UTF8, Row, SourceError};
use super::sink::Sink;
use super::table::{Cells, Header, Table, Untaken, id_of};
use crate::domain::text::clean;

/// A field, with its columns by their plain names.
const COLUMNS: [(&str, &[&str]); 23] = [
    ("id", &["id"]),
    ("type", &["type", "typ", "tipo"]),
    ("sku", &["sku", "artikelnummer", "ugs"]),
    (
        "gtin",
        &["gtin,_upc,_ean,_or_isbn", "gtin,_upc,_ean_oder_isbn"],
    ),
    ("name", &["name", "nom", "nombre"]),
    (
        "published",
        &["published", "veröffentlicht", "publié", "publicado"],
    ),
    (
        "short",
        &[
            "short_description",
            "kurzbeschreibung",
            "description_courte",
            "descripción_corta",
        ],
    ),
    (
        "description",
        &["description", "beschreibung", "descripción"],
    ),
    (
        "sale_from",
        &[
            "date_sale_price_starts",
            "datum,_an_dem_angebotspreis_beginnt",
        ],
    ),
    (
        "sale_to",
        &["date_sale_price_ends", "datum,_an_dem_angebotspreis_endet"],
    ),
    (
        "in_stock",
        &[
            "in_stock?",
            "vorrätig?",
            "en_stock_?",
            "en_stock?",
            "¿existencias?",
        ],
    ),
    ("stock", &["stock", "bestand", "lager", "inventario"]),
    (
        "sale_price",
        &[
            "sale_price",
            "angebotspreis",
            "tarif_promo",
            "precio_rebajado",
        ],
    ),
    (
        "price",
        &[
            "regular_price",
            "regulärer_preis",
            "tarif_régulier",
            "precio_normal",
        ],
    ),
    (
        "categories",
        &["categories", "kategorien", "catégories", "categorías"],
    ),
    ("tags", &["tags", "schlagwörter", "étiquettes", "etiquetas"]),
    ("images", &["images", "bilder", "imágenes"]),
    ("parent", &["parent", "übergeordnetes_produkt", "superior"]),
    ("url", &["external_url", "externe_url"]),
    ("brands", &["brands", "brand", "marken"]),
    // Known, and of no use here.
    ("featured", &["is_featured?"]),
    ("visibility", &["visibility_in_catalog"]),
    ("position", &["position"]),
];

pub(super) fn is(header: &Header) -> bool {
    let has = |field: &str| names_of(field).iter().any(|name| header.has(name));
    let marks = [
        "published",
        "price",
        "parent",
        "in_stock",
        "categories",
        "images",
    ];
    has("name")
        && has("sku")
        && marks.iter().filter(|field| has(field)).count() >= 2
        && !header.has("handle")
}

fn names_of(field: &str) -> &'static [&'static str] {
    COLUMNS
        .iter()
        .find(|(known, _)| *known == field)
        .map_or(&[], |(_, names)| names)
}

/// Where the columns of a table are.
struct Columns {
    fields: HashMap<&'static str, usize>,
    /// Of each attribute: its name and its values.
    attributes: Vec<(usize, usize)>,
    /// What stands beside attributes.
    beside: Vec<usize>,
}

impl Columns {
    fn of(header: &Header) -> Self {
        let mut fields = HashMap::new();
        for (field, names) in COLUMNS {
            if let Some(place) = names.iter().find_map(|name| header.find(name)) {
                fields.insert(field, place);
            }
        }
        let (mut attributes, mut beside) = (Vec::new(), Vec::new());
        for number in 1..=200 {
            let find = |forms: &[&str]| {
                let mut forms = forms
                    .iter()
                    .map(|form| form.replace('N', &number.to_string()));
                forms.find_map(|name| header.find(&name))
            };
            let name = find(&[
                "attribute_N_name",
                "attribut_N_name",
                "nom_de_l’attribut_N",
                "nom_de_l'attribut_N",
                "nombre_del_atributo_N",
            ]);
            let values = find(&[
                "attribute_N_value(s)",
                "attribut_N_wert(e)",
                "valeur(s)_de_l’attribut_N",
                "valeur(s)_de_l'attribut_N",
                "valor(es)_del_atributo_N",
            ]);
            attributes.extend(name.zip(values));
            for what in ["visible", "global", "default", "sichtbar", "standard"] {
                beside.extend(find(&[
                    &format!("attribute_N_{what}"),
                    &format!("attribut_N_{what}"),
                ]));
            }
        }
        Self {
            fields,
            attributes,
            beside,
        }
    }

    fn place(&self, field: &str) -> Option<usize> {
        self.fields.get(field).copied()
    }

    /// A field without what the exporter writes before signs that a spreadsheet would reckon with.
    fn get<'a>(&self, cells: &'a Cells, field: &str) -> Option<&'a str> {
        let text = cells.get(self.place(field))?;
        let rest = text
            .strip_prefix('\'')
            .filter(|rest| rest.starts_with(['=', '+', '-', '@']));
        Some(rest.unwrap_or(text))
    }

    fn takes(&self, place: usize) -> bool {
        self.fields
            .values()
            .chain(&self.beside)
            .any(|taken| *taken == place)
            || self
                .attributes
                .iter()
                .any(|(name, values)| *name == place || *values == place)
    }

    /// The id that a product has here: its article number, else the shop's number.
    fn id(&self, cells: &Cells) -> Option<String> {
        let id = self.get(cells, "sku").or_else(|| self.get(cells, "id"));
        id.map(clean)
    }

    fn is(&self, cells: &Cells, kind: &str) -> bool {
        let kinds = self.get(cells, "type").unwrap_or("simple");
        kinds.split(',').any(|named| {
            let named = named.trim().to_lowercase().replace('_', "-");
            named == kind
                || (kind == "variation" && named.ends_with("-variation"))
                || (kind == "variable" && named.starts_with("variable-"))
        })
    }

    /// The names and values of attributes.
    fn attributes(&self, cells: &Cells) -> Vec<(String, String)> {
        let pairs = self.attributes.iter().filter_map(|(name, values)| {
            let name = attribute(cells.get(Some(*name))?)?;
            Some((
                name,
                cells.get(Some(*values)).unwrap_or_default().to_owned(),
            ))
        });
        pairs.collect()
    }
}

pub(super) fn read(
    input: Input,
    separator: Option<char>,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let mut table = Table::open(input, separator)?;
    let columns = Columns::of(&table.header);
    if columns.place("name").is_none()
        || (columns.place("sku").is_none() && columns.place("id").is_none())
    {
        let what = "has no column \"Name\", or neither \"SKU\" nor \"ID\", which WooCommerce's file of products has";
        return Err(SourceError::not(&table.path, what));
    }
    let id = columns.place("sku").or(columns.place("id"));
    let mut untaken = Untaken::of(&table.header, |place, _| columns.takes(place));
    let mut rows: Vec<Cells> = Vec::new();
    while let Some(row) = table.next()? {
        match row {
            Ok(cells) => {
                untaken.count(&cells);
                rows.push(cells);
            }
            Err(bad) => {
                let id = id_of(&bad.cells, id);
                if !sink.reject(bad.line, id.as_deref(), Lost::Row, bad.reason) {
                    return Ok(());
                }
            }
        }
    }
    sink.called = [("id", "SKU (or ID)"), ("title", "Name")];
    let shop = Shop::of(&columns, &rows);
    for (place, cells) in rows.iter().enumerate() {
        if !shop.product(place, cells, sink) {
            break;
        }
    }
    let known: Vec<&str> = COLUMNS
        .iter()
        .filter_map(|(_, names)| names.first().copied())
        .collect();
    untaken.say(&table.header, &known, &mut sink.ignored);
    Ok(())
}

/// All rows, and which belong together.
struct Shop<'a> {
    columns: &'a Columns,
    rows: &'a [Cells],
    /// Article number, or `id:NUMBER`, of each row -> its place.
    places: HashMap<String, usize>,
    /// Whether a row is the parent of another one.
    is_parent: Vec<bool>,
}

impl<'a> Shop<'a> {
    fn of(columns: &'a Columns, rows: &'a [Cells]) -> Self {
        let mut places = HashMap::new();
        for (place, cells) in rows.iter().enumerate() {
            if let Some(sku) = columns.get(cells, "sku") {
                places.entry(clean(sku)).or_insert(place);
            }
            if let Some(id) = columns.get(cells, "id") {
                places.entry(format!("id:{}", clean(id))).or_insert(place);
            }
        }
        let mut shop = Self {
            columns,
            rows,
            places,
            is_parent: vec![false; rows.len()],
        };
        for place in 0..rows.len() {
            if let Some(parent) = shop.parent(place) {
                shop.is_parent[parent] = true;
            }
        }
        shop
    }

    fn parent_name(&self, place: usize) -> Option<String> {
        let cells = &self.rows[place];
        if !self.columns.is(cells, "variation") {
            return None;
        }
        self.columns.get(cells, "parent").map(clean)
    }

    fn parent(&self, place: usize) -> Option<usize> {
        let parent = *self.places.get(&self.parent_name(place)?)?;
        (parent != place).then_some(parent)
    }

    /// Why a row is not in the shop: it is not published, or the product that it is of is not.
    fn not_sold(&self, place: usize) -> Option<String> {
        let hidden = |cells: &Cells| {
            let state = self
                .columns
                .get(cells, "published")
                .unwrap_or("1")
                .to_lowercase();
            match state.as_str() {
                "1" | "true" | "yes" => None,
                "0" | "false" | "no" => Some("private".to_owned()),
                "-1" => Some("a draft".to_owned()),
                "2" => Some("pending".to_owned()),
                other => Some(format!("{:?}", other.chars().take(20).collect::<String>())),
            }
        };
        if let Some(state) = self
            .parent(place)
            .and_then(|parent| hidden(&self.rows[parent]))
        {
            return Some(format!(
                "the product that it is of is not published: it is {state}"
            ));
        }
        let is_variation = self.columns.is(&self.rows[place], "variation");
        let state = hidden(&self.rows[place])?;
        // A variation that is switched on has this where its product is a draft.
        if is_variation && state == "a draft" {
            return None;
        }
        Some(format!("the product is not published: it is {state}"))
    }

    /// Takes a row; whether anybody listens.
    fn product(&self, place: usize, cells: &Cells, sink: &mut Sink<'_>) -> bool {
        let columns = self.columns;
        let id = columns.id(cells);
        if let Some(reason) = self.not_sold(place) {
            return sink.reject(cells.line, id.as_deref(), Lost::Row, reason);
        }
        if self.is_parent[place] {
            return true;
        }
        if cells.has_damaged(columns.place("sku").or(columns.place("id"))) {
            return sink.reject(cells.line, id.as_deref(), Lost::Row, NOT_UTF8);
        }
        let mut row = Row {
            line: cells.line,
            lost: cells.lost(),
            ..Row::default()
        };
        let parent = self.parent(place).map(|parent| &self.rows[parent]);
        // The variation, then the product that it is of.
        let sources: Vec<&Cells> = std::iter::once(cells).chain(parent).collect();
        let said = |field: &str| sources.iter().find_map(|cells| columns.get(cells, field));
        row.text("id", id.as_deref());
        row.text(
            "title",
            parent.and_then(|parent| columns.get(parent, "name")),
        );
        row.text("title", columns.get(cells, "name"));
        for field in ["description", "short"] {
            row.text("description", said(field).map(unescaped).as_deref());
        }
        row.text("url", columns.get(cells, "url"));
        if let Some(name) = self.parent_name(place) {
            let style = parent.and_then(|parent| columns.id(parent));
            let style =
                style.unwrap_or_else(|| name.strip_prefix("id:").unwrap_or(&name).to_owned());
            row.text("style", Some(&style));
        }
        row.text("price", columns.get(cells, "price"));
        self.sale_price(&mut row, cells);
        let paths: Vec<Vec<String>> = list(said("categories").unwrap_or_default())
            .iter()
            .map(|path| levels(path))
            .collect();
        categories(&mut row, &paths);
        for tag in list(said("tags").unwrap_or_default()) {
            row.attribute("tags", Some(&tag));
        }
        for brand in list(said("brands").unwrap_or_default()) {
            row.attribute("brand", levels(&brand).last().map(String::as_str));
        }
        row.attribute("gtin", columns.get(cells, "gtin"));
        self.stock(&mut row, cells, parent);
        let of_parent = parent
            .map(|parent| columns.attributes(parent))
            .unwrap_or_default();
        let own = columns.attributes(cells);
        for (name, values) in &own {
            let all = of_parent.iter().find(|(known, _)| known == name);
            let all = all.map(|(_, values)| list(values)).unwrap_or_default();
            if values.is_empty() {
                // Any of them.
                for value in &all {
                    row.attribute(name, Some(value));
                }
            } else if all.iter().any(|value| value == values) {
                // A variation's value is one, though its comma is not escaped.
                row.attribute(name, Some(values));
            } else {
                for value in list(values) {
                    row.attribute(name, Some(&value));
                }
            }
        }
        for (name, values) in of_parent
            .iter()
            .filter(|(name, _)| !own.iter().any(|(own, _)| own == name))
        {
            for value in list(values) {
                row.attribute(name, Some(&value));
            }
        }
        for cells in &sources {
            for image in list(columns.get(cells, "images").unwrap_or_default()) {
                for address in addresses(&image) {
                    row.image(address);
                }
            }
        }
        sink.row(row)
    }

    fn sale_price(&self, row: &mut Row, cells: &Cells) {
        let Some(price) = self.columns.get(cells, "sale_price") else {
            return;
        };
        let now = Timestamp::now();
        let time = |field: &str, last: bool| -> Option<Timestamp> {
            let day = self.columns.get(cells, field)?.get(..10)?;
            let day: jiff::civil::Date = day.parse().ok()?;
            let day = if last { day.tomorrow().ok()? } else { day };
            jiff::tz::TimeZone::UTC
                .to_timestamp(day.at(0, 0, 0, 0))
                .ok()
        };
        let begun = time("sale_from", false).is_none_or(|from| from <= now);
        let over = time("sale_to", true).is_some_and(|to| to <= now);
        if begun && !over {
            row.text("sale_price", Some(price));
        }
    }

    fn stock(&self, row: &mut Row, cells: &Cells, parent: Option<&Cells>) {
        if let Some(word) = self.columns.get(cells, "in_stock") {
            availability(row, word);
        }
        let stock = self.columns.get(cells, "stock");
        let stock = if stock == Some("parent") {
            parent.and_then(|parent| self.columns.get(parent, "stock"))
        } else {
            stock
        };
        row.attribute("stock", stock);
    }
}

/// The values of a field that commas part; `\,` is a comma.
fn list(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&',') => {
                letters.next();
                if let Some(last) = all.last_mut() {
                    last.push(',');
                }
            }
            ',' => all.push(String::new()),
            letter => {
                if let Some(last) = all.last_mut() {
                    last.push(letter);
                }
            }
        }
    }
    let all = all.into_iter().map(|value| value.trim().to_owned());
    all.filter(|value| !value.is_empty()).collect()
}

/// A text in which line breaks are written as `\n`.
fn unescaped(text: &str) -> String {
    const KEPT: &str = "\u{0}";
    text.replace("\\\\n", KEPT)
        .replace("\\n", "\n")
        .replace(KEPT, "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_line_breaks_are_escaped() {
        assert_eq!(
            list("Perfume\\, Cologne > X, B,, C "),
            ["Perfume, Cologne > X", "B", "C"]
        );
        assert!(list("").is_empty());
        assert_eq!(unescaped("a\\nb\\\\nc"), "a\nb\\nc");
    }
}
