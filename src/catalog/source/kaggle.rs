//! The layout of Kaggle's "Fashion Product Images"
//! (<https://www.kaggle.com/datasets/paramaggarwal/fashion-product-images-dataset>).
//!
//! `styles.csv` is read by the names of its columns: `id` and `productDisplayName` must be there,
//! [`COLUMNS`] are attributes; `price`, `sale_price` and `currency` (ISO 4217) are read where a shop has
//! added them, others are ignored. A value that is empty or `NA` is left out. The
//! original file does not quote names that hold commas: fields beyond the header belong to the
//! name, its last column. Each line is a row of its own: a stray quote costs that row and not the
//! rest of the file.
//!
//! `shoelaces.csv` (`id`, `shoelace_colour`) adds the attribute `shoelace_color`; `none` (slip-on,
//! buckle) stays a value, so that a filter can ask for it. `brand` is derived from the names, see
//! [`brand`](super::brand).

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::brand::Brands;
use super::lines::{Line, Lines};
use super::pictures::PictureFolders;
use super::row::{Item, Lost, NOT_UTF8, Record, Reject, SourceError};
use crate::catalog::media::PictureSource;
use crate::domain::{
    AttributeName, AttributeValue, Product, ProductError, ProductId, check_currency, typed,
};

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

fn given(value: &str) -> Option<&str> {
    Some(value.trim()).filter(|v| !v.is_empty() && *v != "NA")
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "most reasons are made where they are given"
)]
fn reject(line: u64, id: Option<&str>, lost: Lost, reason: impl ToString) -> Item {
    Item::Reject(Reject {
        line,
        id: id.map(str::to_owned),
        lost,
        reason: reason.to_string(),
    })
}

pub(super) fn read(
    styles: &Path,
    shelves: &PictureFolders,
    shoelaces: Option<&Path>,
    emit: &mut dyn FnMut(Item) -> bool,
) -> Result<(), SourceError> {
    let mut laces = shoelaces
        .map(|path| read_laces(path, emit))
        .transpose()?
        .unwrap_or_default();
    let rows = read_styles(styles, emit)?;
    let taken: HashSet<String> = rows
        .iter()
        .flat_map(|r| {
            r.product
                .attributes
                .values()
                .flatten()
                .map(AttributeValue::folded)
        })
        .collect();
    let hint = shelves.hint();
    let brands = Brands::of(rows.iter().map(|r| r.product.title.as_str()), |words| {
        taken.contains(words)
    });
    let mut seen = HashSet::new();
    for mut row in rows {
        let id = row.product.id.as_str().to_owned();
        if let Some((_, value)) = laces.get(&id) {
            row.product
                .attributes
                .insert(attribute("shoelace_color"), vec![value.clone()]);
        }
        seen.insert(id.clone());
        if let Some(brand) = brands
            .brand(&row.product.title)
            .and_then(|b| AttributeValue::new(b).ok())
        {
            row.product
                .attributes
                .insert(attribute("brand"), vec![brand]);
        }
        let picture = shelves.0.iter().find_map(|shelf| shelf.find(&id));
        row.pictures = picture
            .map(|place| (1, PictureSource::Stored(place)))
            .into_iter()
            .collect();
        if row.pictures.is_empty() && !shelves.0.is_empty() {
            let reason = format!("none of the picture sources has {id}.jpg{hint}");
            if !emit(reject(row.line, Some(&id), Lost::Photo, reason)) {
                return Ok(());
            }
        }
        if !emit(Item::Record(row)) {
            return Ok(());
        }
    }
    laces.retain(|id, _| !seen.contains(id));
    let mut strangers: Vec<_> = laces
        .into_iter()
        .map(|(id, (line, _))| (line, id))
        .collect();
    strangers.sort_unstable();
    for (line, id) in strangers {
        emit(reject(
            line,
            Some(&id),
            Lost::Attribute,
            "in the file of laces: no such product in the styles",
        ));
    }
    Ok(())
}

fn attribute(name: &str) -> AttributeName {
    AttributeName::new(name).expect("the attribute names of this layout are written above")
}

fn read_styles(
    path: &Path,
    emit: &mut dyn FnMut(Item) -> bool,
) -> Result<Vec<Record>, SourceError> {
    let mut table = Table::open(path)?;
    let (id, name) = (table.column("id")?, table.column(NAME)?);
    let columns: Vec<(usize, AttributeName)> = COLUMNS
        .iter()
        .filter_map(|(column, name)| Some((table.find(column)?, attribute(name))))
        .collect();
    let money = Money {
        price: table.find("price"),
        sale_price: table.find("sale_price"),
        currency: table.find("currency"),
    };
    let mut rows = Vec::new();
    while let Some(line) = table.lines.next()? {
        let fields = match table.fields(&line, Some(name)) {
            Ok(fields) => fields,
            Err((id, reason)) => {
                emit(reject(line.number, id.as_deref(), Lost::Row, reason));
                continue;
            }
        };
        if line.lossy {
            let in_id = fields[id].contains(char::REPLACEMENT_CHARACTER);
            emit(reject(
                line.number,
                given(&fields[id]),
                if in_id { Lost::Row } else { Lost::Letters },
                NOT_UTF8,
            ));
            if in_id {
                continue;
            }
        }
        match product(&fields, id, name, &columns) {
            Ok(mut product) => {
                for reason in money.read(&fields, &mut product) {
                    let id = given(&fields[id]);
                    emit(reject(line.number, id, Lost::Attribute, reason));
                }
                rows.push(Record {
                    line: line.number,
                    product,
                    pictures: Vec::new(),
                });
            }
            Err(error) => {
                emit(reject(line.number, given(&fields[id]), Lost::Row, error));
            }
        }
    }
    Ok(rows)
}

/// The columns of prices, where there are any.
struct Money {
    price: Option<usize>,
    sale_price: Option<usize>,
    currency: Option<usize>,
}

impl Money {
    /// Puts the prices of a row on its product; what cannot be read costs itself alone.
    fn read(&self, fields: &[String], product: &mut Product) -> Vec<String> {
        let mut lost = Vec::new();
        let text = |column: Option<usize>| given(&fields[column?]);
        let mut price = |column| {
            let text = text(column)?;
            let price = typed::number(text).filter(|price| *price >= 0.0);
            if price.is_none() {
                lost.push(format!("{text:?} is not a price"));
            }
            price
        };
        product.price = price(self.price);
        product.sale_price = price(self.sale_price);
        if let Some(text) = text(self.currency) {
            let currency = text.to_uppercase();
            match check_currency(&currency) {
                Ok(()) => product.currency = Some(currency),
                Err(error) => lost.push(error.to_string()),
            }
        }
        lost
    }
}

fn product(
    fields: &[String],
    id: usize,
    name: usize,
    columns: &[(usize, AttributeName)],
) -> Result<Product, ProductError> {
    let id = ProductId::new(&fields[id])?;
    let mut product = Product::new(id, given(&fields[name]).unwrap_or_default())?;
    for (column, attribute) in columns {
        if let Some(value) = given(&fields[*column]) {
            product
                .attributes
                .insert(attribute.clone(), vec![AttributeValue::new(value)?]);
        }
    }
    product.check()
}

/// Id -> line and color.
type Laces = HashMap<String, (u64, AttributeValue)>;

fn read_laces(path: &Path, emit: &mut dyn FnMut(Item) -> bool) -> Result<Laces, SourceError> {
    let mut table = Table::open(path)?;
    let id = table.column("id")?;
    let color = table
        .find("shoelace_color")
        .map_or_else(|| table.column("shoelace_colour"), Ok)?;
    let mut laces = Laces::new();
    while let Some(line) = table.lines.next()? {
        let in_file = |reason: &dyn std::fmt::Display| format!("in the file of laces: {reason}");
        let fields = match table.fields(&line, None) {
            Ok(fields) => fields,
            Err((id, reason)) => {
                emit(reject(
                    line.number,
                    id.as_deref(),
                    Lost::Attribute,
                    in_file(&reason),
                ));
                continue;
            }
        };
        let Some(value) = given(&fields[color]) else {
            continue;
        };
        let id = fields[id].trim();
        match AttributeValue::new(value) {
            Err(error) => emit(reject(
                line.number,
                Some(id),
                Lost::Attribute,
                in_file(&error),
            )),
            Ok(_) if laces.contains_key(id) => emit(reject(
                line.number,
                Some(id),
                Lost::Attribute,
                in_file(&"the id was already used"),
            )),
            Ok(value) => laces.insert(id.to_owned(), (line.number, value)).is_none(),
        };
    }
    Ok(laces)
}

/// A file of comma-separated values, one row a line.
struct Table {
    lines: Lines,
    header: Vec<String>,
}

impl Table {
    fn open(path: &Path) -> Result<Self, SourceError> {
        let mut lines = Lines::open(path)?;
        let header = lines
            .next()?
            .and_then(|line| split(&line.text))
            .unwrap_or_default();
        Ok(Self {
            lines,
            header: header.iter().map(|name| name.trim().to_owned()).collect(),
        })
    }

    fn find(&self, column: &str) -> Option<usize> {
        self.header.iter().position(|name| name == column)
    }

    fn column(&self, column: &'static str) -> Result<usize, SourceError> {
        self.find(column).ok_or_else(|| SourceError::Column {
            path: self.lines.path.clone(),
            column,
        })
    }

    /// As many fields as the header has; more are joined when the last column is `rest`. Else what
    /// is known of the id, and the reason.
    fn fields(
        &self,
        line: &Line,
        rest: Option<usize>,
    ) -> Result<Vec<String>, (Option<String>, String)> {
        let first = |fields: &[String]| {
            let at = self.find("id")?;
            fields.get(at).and_then(|id| given(id)).map(str::to_owned)
        };
        if line.too_long {
            return Err((
                None,
                format!("the line is longer than {} bytes", Lines::LONGEST),
            ));
        }
        let Some(mut fields) = split(&line.text) else {
            let id = line.text.split(',').map(str::to_owned).collect::<Vec<_>>();
            return Err((first(&id), "a quote is not closed in its line".to_owned()));
        };
        let want = self.header.len();
        if fields.len() > want && rest == Some(want - 1) {
            let joined = fields.split_off(want - 1).join(",");
            fields.push(joined);
        }
        if fields.len() != want {
            return Err((
                first(&fields),
                format!("{} fields, the header has {want}", fields.len()),
            ));
        }
        Ok(fields)
    }
}

/// The fields of one line (RFC 4180, lenient: a quote inside a field that does not begin with one
/// is a letter). `None` when a quote is not closed. By hand because a reader of whole files would
/// take the next lines for the rest of that field.
fn split(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let mut field = String::new();
        if let Some(mut quoted) = rest.strip_prefix('"') {
            loop {
                let end = quoted.find('"')?;
                field.push_str(&quoted[..end]);
                quoted = &quoted[end + 1..];
                match quoted.strip_prefix('"') {
                    Some(after) => {
                        field.push('"');
                        quoted = after;
                    }
                    None => break,
                }
            }
            rest = quoted;
        }
        let end = rest.find(',').unwrap_or(rest.len());
        field.push_str(&rest[..end]);
        fields.push(field);
        match rest.get(end + 1..) {
            Some(after) => rest = after,
            None => return Some(fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_the_writer_meant() {
        let split = |line| split(line).map(|f| f.join("|"));
        assert_eq!(split("1,a,b").as_deref(), Some("1|a|b"));
        assert_eq!(split("1,\"a, b\",c").as_deref(), Some("1|a, b|c"));
        assert_eq!(
            split("1,\"3.5\"\" short\",").as_deref(),
            Some("1|3.5\" short|")
        );
        assert_eq!(split("1,3.5\" short,x").as_deref(), Some("1|3.5\" short|x"));
        assert_eq!(split("").as_deref(), Some(""));
        assert_eq!(split("1,\"a"), None);
        assert_eq!(split("é,\"ü\"").as_deref(), Some("é|ü"));
    }
}
