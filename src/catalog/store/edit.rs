//! Products changed one by one, by whoever runs the shop: [`Catalog::write`].
//!
//! Some hundred changes are one transaction, and each of them is made or refused alone. What a change
//! asks of the product's version is looked at within the transaction, so that of two that ask for the
//! same version one alone is made.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use serde_json::{Map, Value};
use sqlx::Row;

use super::database::Catalog;
use super::db::Tx;
use super::pictures::{self, Numbered, PlaceColumns, Places};
use super::read;
use super::row::Columns;
use super::write::{Log, Writer};
use crate::catalog::error::CatalogError;
use crate::catalog::media::hosts::PictureHosts;
use crate::catalog::media::upload::{IMPORTED, UPLOADS};
use crate::catalog::media::{PictureSource, kept};
use crate::catalog::source::describe::{self, RowImage};
use crate::domain::write::merge;
use crate::domain::{
    Conditions, FieldFault, Product, ProductId, Refused, Write, WriteOp, WriteResult, WriteStatus,
    Written,
};

/// The version of a product that this transaction has changed: it is known at its end.
const OF_NOW: u64 = u64::MAX;

impl Catalog {
    /// Makes the changes in one transaction, beside an import if one runs. Answers in the order given;
    /// what is refused costs nothing but itself.
    ///
    /// # Errors
    /// When the database cannot be changed: then none of them is made.
    pub async fn write(&self, writes: Vec<Write>) -> Result<Vec<WriteResult>, CatalogError> {
        Writer::beside(self).write(writes).await
    }

    /// Keeps the file of a picture that was uploaded, whole, for [`WriteOp::PutPicture`]; its sha256.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn keep_upload(&self, file: Bytes) -> Result<[u8; 32], CatalogError> {
        let kept = &self.inner.kept;
        // Below the place where a folder is mounted, its pictures would be lost.
        if kept.is_bare().await? && self.keeps_pictures().await? {
            return Err(kept.unmounted());
        }
        kept.keep(file).await
    }

    async fn keeps_pictures(&self) -> Result<bool, CatalogError> {
        let sql = "SELECT product FROM pictures WHERE root IN ($1, $2) LIMIT 1";
        let one: Result<Option<i64>, _> = sqlx::query_scalar(sql)
            .bind(UPLOADS)
            .bind(IMPORTED)
            .fetch_optional(&self.inner.upkeep)
            .await;
        one.map(|one| one.is_some()).map_err(|e| self.error(e))
    }
}

/// A change as far as it can be read before the product is known.
struct Prepared {
    id: ProductId,
    edit: Edit,
    conditions: Conditions,
}

enum Edit {
    Put(Box<Described>),
    Patch(Map<String, Value>),
    Delete,
    /// `None`: it is removed.
    Picture(u8, Option<PictureSource>),
}

/// What a product is to be.
struct Described {
    product: Product,
    /// `None`: those that it has.
    pictures: Option<Vec<Numbered>>,
    /// Fields that mean nothing here.
    ignored: Vec<String>,
}

/// A product as it is at this point of the transaction.
struct Known {
    columns: Columns,
    version: u64,
    pictures: Places,
}

impl Writer {
    /// See [`Catalog::write`].
    pub(in crate::catalog) async fn write(
        &self,
        writes: Vec<Write>,
    ) -> Result<Vec<WriteResult>, CatalogError> {
        let written = self.try_write(writes).await;
        written.map_err(|e| self.catalog().error(e))
    }

    async fn try_write(&self, writes: Vec<Write>) -> Result<Vec<WriteResult>, sqlx::Error> {
        let prepared: Vec<_> = writes
            .into_iter()
            .map(|write| prepare(write, self.catalog()))
            .collect();
        let ids: HashSet<&str> = prepared
            .iter()
            .filter_map(|(_, prepared)| prepared.as_ref().ok())
            .map(|prepared| prepared.id.as_str())
            .collect();
        let mut results = Vec::with_capacity(prepared.len());
        let mut transaction = self.begin().await?;
        let mut known = known(&ids, &mut transaction).await?;
        let mut log = Log::default();
        for (id, prepared) in prepared {
            let result = match prepared {
                Ok(prepared) => {
                    self.edit(prepared, &mut known, &mut log, &mut transaction)
                        .await?
                }
                Err(refused) => Err(refused),
            };
            results.push(WriteResult { id, result });
        }
        let revision = log
            .write(self.catalog().kind(), &mut transaction)
            .await?
            .unwrap_or_default();
        transaction.commit().await?;
        for result in &mut results {
            let version = match &mut result.result {
                Ok(written) => Some(&mut written.revision),
                Err(Refused::Condition { version }) => version.as_mut(),
                Err(_) => None,
            };
            if let Some(version) = version.filter(|version| **version == OF_NOW) {
                *version = revision;
            }
        }
        Ok(results)
    }

    async fn edit(
        &self,
        change: Prepared,
        known: &mut HashMap<String, Known>,
        log: &mut Log,
        transaction: &mut Tx,
    ) -> Result<Result<Written, Refused>, sqlx::Error> {
        let id = change.id;
        let old = known.get(id.as_str());
        if old.is_none() && !matches!(change.edit, Edit::Put(..)) {
            return Ok(Err(Refused::NoProduct { id: id.to_string() }));
        }
        let version = old.map(|old| old.version);
        if !change.conditions.met(version) {
            return Ok(Err(Refused::Condition { version }));
        }
        let hosts = self.catalog().inner.photos.hosts();
        let described = match (change.edit, old) {
            (Edit::Put(described), _) => *described,
            (Edit::Patch(patch), Some(old)) => {
                let mut row = describe::row(&old.columns.product(id.clone()), &[]);
                let removes = ["image", "images"];
                let removes = removes
                    .iter()
                    .any(|field| patch.get(*field) == Some(&Value::Null));
                merge(&mut row, patch);
                match described(row, hosts) {
                    Ok(mut described) => {
                        if removes && described.pictures.is_none() {
                            described.pictures = Some(Vec::new());
                        }
                        described
                    }
                    Err(fault) => return Ok(Err(fault.into())),
                }
            }
            (Edit::Picture(number, source), Some(old)) => {
                let mut pictures = old.pictures.clone();
                match source {
                    Some(source) => {
                        let place = PlaceColumns::of(&source, self.catalog().data());
                        pictures.insert(number, place);
                    }
                    None if pictures.remove(&number).is_none() => {
                        let id = id.to_string();
                        return Ok(Err(Refused::NoPicture { id, number }));
                    }
                    None => {}
                }
                let now = Known {
                    columns: old.columns.clone(),
                    version: OF_NOW,
                    pictures,
                };
                let (status, revision) = self.bring_to(old, &now, log, transaction).await?;
                known.insert(
                    id.into(),
                    Known {
                        version: revision,
                        ..now
                    },
                );
                return Ok(Ok(Written {
                    status,
                    revision,
                    ignored: Vec::new(),
                }));
            }
            (Edit::Patch(_) | Edit::Delete | Edit::Picture(..), _) => {
                if let Some(old) = known.remove(id.as_str()) {
                    sqlx::query("DELETE FROM products WHERE key = $1")
                        .bind(i64::from(old.columns.key))
                        .execute(&mut **transaction)
                        .await?;
                    log.add(old.columns.key, "removed");
                }
                return Ok(Ok(Written {
                    status: WriteStatus::Deleted,
                    revision: OF_NOW,
                    ignored: Vec::new(),
                }));
            }
        };
        let mut columns = Columns::of(&described.product);
        let named = described.pictures.as_deref();
        let named = named.map(|named| pictures::numbered(named, self.catalog().data()));
        let (now, status, revision) = if let Some(old) = old {
            columns.keep(&old.columns);
            let now = Known {
                columns,
                version: OF_NOW,
                pictures: named.unwrap_or_else(|| old.pictures.clone()),
            };
            let (status, revision) = self.bring_to(old, &now, log, transaction).await?;
            (now, status, revision)
        } else {
            columns.key = columns.insert(&id, transaction).await?.0;
            let now = Known {
                columns,
                version: OF_NOW,
                pictures: named.unwrap_or_default(),
            };
            let none = Places::new();
            pictures::bring_to(now.columns.key, &none, &now.pictures, transaction).await?;
            log.add(now.columns.key, "new");
            (now, WriteStatus::Created, OF_NOW)
        };
        known.insert(
            id.into(),
            Known {
                version: revision,
                ..now
            },
        );
        Ok(Ok(Written {
            status,
            revision,
            ignored: described.ignored,
        }))
    }

    /// Makes of a product what it is to be; whether that changed anything, and its version then.
    async fn bring_to(
        &self,
        old: &Known,
        now: &Known,
        log: &mut Log,
        transaction: &mut Tx,
    ) -> Result<(WriteStatus, u64), sqlx::Error> {
        let same = old.columns.same(&now.columns);
        if same && pictures::same(&old.pictures, &now.pictures) {
            return Ok((WriteStatus::Unchanged, old.version));
        }
        if !same {
            now.columns.update(&old.columns, transaction).await?;
        }
        let key = now.columns.key;
        pictures::bring_to(key, &old.pictures, &now.pictures, transaction).await?;
        log.add(key, "changed");
        Ok((WriteStatus::Changed, OF_NOW))
    }
}

/// The products with these ids.
async fn known(
    ids: &HashSet<&str>,
    transaction: &mut Tx,
) -> Result<HashMap<String, Known>, sqlx::Error> {
    let sql = "SELECT p.* FROM json_each($1) AS wanted
               CROSS JOIN products AS p WHERE p.id = wanted.value";
    let rows = sqlx::query(sql)
        .bind(serde_json::json!(ids).to_string())
        .fetch_all(&mut **transaction)
        .await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        let product = Known {
            columns: Columns::read(row)?,
            version: read::version(row)?,
            pictures: Places::new(),
        };
        known.insert(row.try_get("id")?, product);
    }
    let keys = known.values().map(|known: &Known| known.columns.key);
    let mut pictures = pictures::known(keys, transaction).await?;
    for known in known.values_mut() {
        known.pictures = pictures.remove(&known.columns.key).unwrap_or_default();
    }
    Ok(known)
}

/// The id as far as it can be read, and the change or what is wrong with it.
fn prepare(write: Write, catalog: &Catalog) -> (Option<String>, Result<Prepared, Refused>) {
    let Write {
        id,
        op,
        mut json,
        conditions,
    } = write;
    let shown = id.as_ref().map(ToString::to_string);
    let shown = shown.or_else(|| describe::id_of(&json).map(|id| id.chars().take(128).collect()));
    let prepared = || {
        let id = id_of(id, &json)?;
        json.insert("id".to_owned(), id.as_str().into());
        let edit = match op {
            WriteOp::Put => {
                let hosts = catalog.inner.photos.hosts();
                Edit::Put(Box::new(described(json, hosts)?))
            }
            WriteOp::Patch => Edit::Patch(plain_names(json)),
            WriteOp::Delete => Edit::Delete,
            WriteOp::PutPicture(number, sha256) => {
                Edit::Picture(number, Some(kept::uploaded(&sha256)))
            }
            WriteOp::DeletePicture(number) => Edit::Picture(number, None),
        };
        Ok(Prepared {
            id,
            edit,
            conditions,
        })
    };
    (shown, prepared().map_err(|fault: FieldFault| fault.into()))
}

/// The id that the address and the JSON agree on; one of them may be silent.
fn id_of(address: Option<ProductId>, json: &Map<String, Value>) -> Result<ProductId, FieldFault> {
    let fault = |reason: String| FieldFault::new("id", reason);
    let given = json.get("id").filter(|id| !id.is_null());
    let Some(given) = given else {
        return address.ok_or_else(|| fault("missing field `id`".to_owned()));
    };
    let text = describe::id_of(json).ok_or_else(|| {
        let given: String = given.to_string().chars().take(80).collect();
        fault(format!(
            "the id {given} is neither a string nor a whole number"
        ))
    })?;
    let id = ProductId::new(&text).map_err(|error| fault(error.to_string()))?;
    match address {
        Some(address) if address != id => Err(fault(format!(
            "the id in the body is {:?}, that in the address {:?}",
            id.as_str(),
            address.as_str()
        ))),
        _ => Ok(id),
    }
}

/// The product that a row describes, all of it.
fn described(row: Map<String, Value>, hosts: &PictureHosts) -> Result<Described, FieldFault> {
    let mut lost = Vec::new();
    let described = describe::describe(row, &mut lost)?;
    // An import takes what is right of a row; here somebody reads the answer.
    if let Some((_, fault)) = lost.into_iter().next() {
        return Err(fault);
    }
    let pictures = match described.images {
        None => None,
        Some(images) => Some(addresses(images, hosts)?),
    };
    let unknown = described.unknown.into_iter().take(32);
    let unknown = unknown.map(|name| name.chars().take(64).collect());
    Ok(Described {
        product: described.product,
        pictures,
        ignored: unknown.collect(),
    })
}

/// Pictures by address: a path would be one on this machine, which nobody outside knows.
fn addresses(images: Vec<RowImage>, hosts: &PictureHosts) -> Result<Vec<Numbered>, FieldFault> {
    let addresses = (1..).zip(images).map(|(number, RowImage { field, at })| {
        hosts
            .check(&at)
            .map_err(|reason| FieldFault::new(field, format!("the picture {at:?}: {reason}")))?;
        Ok((number, PictureSource::Address(at)))
    });
    addresses.collect()
}

/// A patch whose attributes have the names that the product's have: `Color` is `color`.
fn plain_names(mut patch: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(attributes)) = patch.get_mut("attributes") {
        let named = std::mem::take(attributes).into_iter();
        *attributes = named
            .map(|(name, value)| (describe::plain_name(&name), value))
            .collect();
    }
    patch
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Versions;
    use WriteStatus::{Changed, Created, Deleted, Unchanged};

    fn write(op: WriteOp, json: &Value) -> Write {
        Write {
            id: None,
            op,
            json: json.as_object().expect("an object").clone(),
            conditions: Conditions::default(),
        }
    }

    async fn of(catalog: &Catalog, writes: Vec<Write>) -> Vec<(WriteStatus, u64)> {
        let results = catalog.write(writes).await.expect("written");
        let written = results.into_iter().map(|r| r.result.expect("taken"));
        written.map(|w| (w.status, w.revision)).collect()
    }

    #[tokio::test]
    async fn changes_of_one_product_in_one_transaction_follow_each_other() {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = Catalog::open(folder.path()).await.expect("opens");
        let put = |price: f64| {
            write(
                WriteOp::Put,
                &json!({"id": 7, "title": "A", "price": price}),
            )
        };
        let patch = write(
            WriteOp::Patch,
            &json!({"id": "7", "attributes": {"Color": ["Red"]}}),
        );
        let delete = || write(WriteOp::Delete, &json!({"id": "7"}));
        let all = vec![put(1.0), put(1.0), patch, delete(), put(2.0), put(3.0)];
        let written = of(&catalog, all).await;
        let revision = catalog.revision().await.expect("revision");
        let statuses = [Created, Unchanged, Changed, Deleted, Created, Changed];
        assert_eq!(written, statuses.map(|status| (status, revision)));
        let id = ProductId::new("7").expect("an id");
        let stored = catalog.product(&id).await.expect("reads").expect("there");
        assert_eq!(
            (stored.product.price, stored.version),
            (Some(3.0), revision)
        );
        assert!(stored.product.attributes.is_empty() && stored.product.created.is_some());

        // What changes nothing raises nothing.
        assert_eq!(of(&catalog, vec![put(3.0)]).await, [(Unchanged, revision)]);
        assert_eq!(catalog.revision().await.expect("revision"), revision);
        let keys: Vec<(i64, String)> = sqlx::query_as("SELECT key, op FROM changes ORDER BY key")
            .fetch_all(&catalog.inner.writer)
            .await
            .expect("the log");
        let expected = [(1, "removed".to_owned()), (2, "changed".to_owned())];
        assert_eq!(keys, expected);
    }

    #[tokio::test]
    async fn a_version_of_the_same_transaction_is_nobodys() {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = Catalog::open(folder.path()).await.expect("opens");
        let put = |price: u64| {
            write(
                WriteOp::Put,
                &json!({"id": "7", "title": "A", "price": price}),
            )
        };
        let first = of(&catalog, vec![put(1)]).await[0].1;
        let under = |price| Write {
            conditions: Conditions {
                is: Some(Versions::These(vec![first])),
                is_not: None,
            },
            ..put(price)
        };
        let results = catalog.write(vec![under(2), under(3)]).await;
        let results = results.expect("written");
        let now = catalog.revision().await.expect("revision");
        assert!(now > first && results[0].result.as_ref().is_ok_and(|w| w.revision == now));
        let version = Some(now);
        assert_eq!(results[1].result, Err(Refused::Condition { version }));
    }

    #[tokio::test]
    async fn a_full_database_takes_none_of_them() {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = Catalog::open(folder.path()).await.expect("opens");
        sqlx::query("PRAGMA max_page_count = 100")
            .execute(&catalog.inner.writer)
            .await
            .expect("pragma");
        let long = "long ".repeat(400);
        let many = (0..500).map(|id| {
            write(
                WriteOp::Put,
                &json!({"id": id, "title": "A", "description": long}),
            )
        });
        let before = catalog.revision().await.expect("revision");
        let full = catalog.write(many.collect()).await.expect_err("full");
        assert!(matches!(full, CatalogError::Full { .. }), "{full}");
        assert_eq!(catalog.revision().await.expect("revision"), before);
        let id = ProductId::new("0").expect("an id");
        assert!(catalog.product(&id).await.expect("reads").is_none());
    }
}
