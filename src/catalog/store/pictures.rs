//! Rows of `pictures`: compared with what the shop says, and written.
//!
//! What is known of a picture's content stays until the one in its new place is read, so that no
//! product loses a vector meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use sqlx::Row;

use super::db::{DbRow, Tx, number};
use super::queue::{self, PictureKey};
use crate::catalog::media::upload::{IMPORTED, UPLOADS};
use crate::catalog::media::{PicturePlace, PictureSource};

/// A picture's number among those of its product, and where it is.
pub(in crate::catalog) type Numbered = (u8, PictureSource);

/// Where a picture is, as the columns say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::catalog) struct PlaceColumns {
    pub(super) file: Option<String>,
    pub(super) member: Option<String>,
    pub(super) address: Option<String>,
    /// Not compared: a folder may be given by another of its parents.
    root: Option<String>,
}

/// The pictures of a product by their numbers.
pub(super) type Places = BTreeMap<u8, PlaceColumns>;

impl PlaceColumns {
    pub(super) fn of(source: &PictureSource, data: &Path) -> Self {
        // Relative to the data folder where it lies inside, so that the folder can be moved or
        // mounted elsewhere.
        let stored = |path: &Path| {
            let path = path.strip_prefix(data).unwrap_or(path);
            Some(path.to_string_lossy().into_owned())
        };
        let nowhere = Self {
            file: None,
            member: None,
            address: None,
            root: None,
        };
        match source {
            PictureSource::Stored(PicturePlace::File { folder, name }) => Self {
                file: stored(&folder.join(name)),
                root: stored(folder),
                ..nowhere
            },
            PictureSource::Stored(PicturePlace::Zip { archive, member }) => Self {
                file: stored(archive),
                member: Some(member.clone()),
                ..nowhere
            },
            // The same wherever they are kept.
            PictureSource::Kept { name, imported } => Self {
                file: Some(format!("{UPLOADS}/{name}")),
                root: Some(if *imported { IMPORTED } else { UPLOADS }.to_owned()),
                ..nowhere
            },
            PictureSource::Address(address) => Self {
                address: Some(address.clone()),
                ..nowhere
            },
        }
    }

    pub(super) fn read(row: &DbRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            file: row.try_get("file")?,
            member: row.try_get("member")?,
            address: row.try_get("address")?,
            root: row.try_get("root")?,
        })
    }

    /// `None` for a row without a place.
    pub(super) fn source(self, data: &Path) -> Option<PictureSource> {
        if let Some(address) = self.address {
            return Some(PictureSource::Address(address));
        }
        let file = self.file?;
        if let Some(name) = kept(&file, self.root.as_deref()) {
            return Some(PictureSource::Kept {
                name: name.to_owned(),
                imported: self.root.as_deref() == Some(IMPORTED),
            });
        }
        let file = data.join(file);
        if let Some(member) = self.member {
            let archive = file;
            return Some(PictureSource::Stored(PicturePlace::Zip { archive, member }));
        }
        let below = self.root.and_then(|root| {
            let folder = data.join(root);
            let name = file.strip_prefix(&folder).ok()?.to_owned();
            Some(PicturePlace::File { folder, name })
        });
        let place = below.unwrap_or_else(|| PicturePlace::file(&file));
        Some(PictureSource::Stored(place))
    }

    fn same(&self, other: &Self) -> bool {
        self.file == other.file && self.member == other.member && self.address == other.address
    }

    /// Whether it came over HTTP: no file of products says where it is.
    pub(super) fn is_upload(&self) -> bool {
        self.root.as_deref() == Some(UPLOADS)
    }
}

/// The name of a picture that the catalog keeps, by the columns `file` and `root`.
pub(super) fn kept<'a>(file: &'a str, root: Option<&str>) -> Option<&'a str> {
    let name = file.strip_prefix(UPLOADS)?.strip_prefix('/')?;
    root.is_some_and(|root| [UPLOADS, IMPORTED].contains(&root))
        .then_some(name)
}

/// Columns `file`, `member`, `address` and `root`. A relative path lies in the data folder, which
/// may have moved.
pub(super) fn source(row: &DbRow, data: &Path) -> Result<Option<PictureSource>, sqlx::Error> {
    Ok(PlaceColumns::read(row)?.source(data))
}

/// The same pictures, wherever their folders lie.
pub(super) fn same(one: &Places, other: &Places) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|((a, one), (b, other))| a == b && one.same(other))
}

/// The pictures of products; those that have none are left out.
pub(super) async fn known(
    products: impl IntoIterator<Item = u32>,
    transaction: &mut Tx,
) -> Result<HashMap<u32, Places>, sqlx::Error> {
    let products: Vec<u32> = products.into_iter().collect();
    let mut known: HashMap<u32, Places> = HashMap::new();
    if products.is_empty() {
        return Ok(known);
    }
    let sql = "SELECT i.product, i.number, i.file, i.member, i.address, i.root
               FROM json_each($1) AS wanted CROSS JOIN pictures AS i
               WHERE i.product = CAST(wanted.value AS bigint)";
    let rows = sqlx::query(sql)
        .bind(serde_json::json!(products).to_string())
        .fetch_all(&mut **transaction)
        .await?;
    for row in &rows {
        let places = known.entry(number(row, "product")?).or_default();
        places.insert(number(row, "number")?, PlaceColumns::read(row)?);
    }
    Ok(known)
}

/// Brings a product's pictures to `new`; those in another place than before are to be embedded.
pub(super) async fn bring_to(
    product: u32,
    old: &Places,
    new: &Places,
    transaction: &mut Tx,
) -> Result<(), sqlx::Error> {
    for number in old.keys().filter(|number| !new.contains_key(number)) {
        for sql in [
            "DELETE FROM pictures WHERE product = $1 AND number = $2",
            "DELETE FROM work WHERE product = $1 AND number = $2",
        ] {
            let query = sqlx::query(sql)
                .bind(i64::from(product))
                .bind(i64::from(*number));
            query.execute(&mut **transaction).await?;
        }
    }
    for (number, place) in new {
        let moved = !old.get(number).is_some_and(|old| old.same(place));
        if !moved && old.get(number) == Some(place) {
            continue;
        }
        let sql = "INSERT INTO pictures (product, number, file, member, address, root)
                   VALUES ($1, $2, $3, $4, $5, $6)
                   ON CONFLICT (product, number) DO UPDATE SET
                     file = $3, member = $4, address = $5, root = $6,
                     stamp = CASE WHEN $7 = 1 THEN NULL ELSE pictures.stamp END,
                     error = CASE WHEN $7 = 1 THEN NULL ELSE pictures.error END";
        let query = sqlx::query(sql)
            .bind(i64::from(product))
            .bind(i64::from(*number));
        let query = query
            .bind(&place.file)
            .bind(&place.member)
            .bind(&place.address)
            .bind(&place.root)
            .bind(i64::from(moved));
        query.execute(&mut **transaction).await?;
        if moved {
            let picture = PictureKey {
                product,
                number: *number,
            };
            queue::picture(picture, transaction).await?;
        }
    }
    Ok(())
}

/// The pictures of a row of a source: what it names; where it names none, what came over HTTP stays.
pub(super) fn of_source(named: &[Numbered], old: Option<&Places>, data: &Path) -> Places {
    if named.is_empty() {
        let uploads = old
            .into_iter()
            .flatten()
            .filter(|(_, place)| place.is_upload());
        return uploads
            .map(|(number, place)| (*number, place.clone()))
            .collect();
    }
    numbered(named, data)
}

pub(super) fn numbered(named: &[Numbered], data: &Path) -> Places {
    named
        .iter()
        .map(|(number, place)| (*number, PlaceColumns::of(place, data)))
        .collect()
}
