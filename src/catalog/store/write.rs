//! Changing the database. There is one [`Writer`] at a time, in this process or any other.

use std::collections::{BTreeMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::Row;

use super::database::Catalog;
use super::db::{Kind, Tx, number};
use super::lock::{self, Duty, Held};
use super::pictures::{self, Places};
use super::postgres::CHANNEL;
use super::queue::now;
use super::read;
use super::row::{Columns, Hash, hash};
use crate::catalog::caption::{Caption, template_digest};
use crate::catalog::error::CatalogError;
use crate::catalog::media::upload::UPLOADS;
use crate::catalog::source::row::Record;
use crate::domain::{ModelId, ProductKey};

/// The right to change the catalog; given back when dropped, or when the process ends in whatever
/// way.
pub(in crate::catalog) struct Writer {
    catalog: Catalog,
    _lock: Option<Held>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::catalog) enum Change {
    New,
    Changed,
    Unchanged,
}

impl Writer {
    /// For an import.
    ///
    /// # Errors
    /// [`CatalogError::Locked`] when another one is running.
    pub(in crate::catalog) async fn lock(catalog: &Catalog) -> Result<Self, CatalogError> {
        Ok(Self {
            catalog: catalog.clone(),
            _lock: Some(lock::take(catalog, Duty::Writing).await?),
        })
    }

    /// The same; waits until another one is through.
    pub(in crate::catalog) async fn wait(catalog: &Catalog) -> Result<Self, CatalogError> {
        Ok(Self {
            catalog: catalog.clone(),
            _lock: Some(lock::wait(catalog, Duty::Writing).await?),
        })
    }

    /// For an embedding of what is missing. An import that begins meanwhile waits before it embeds.
    /// With PostgreSQL any number embed, each what it has taken.
    ///
    /// # Errors
    /// [`CatalogError::Locked`] when an import is running, which embeds what it brings, or another
    /// process embeds.
    pub(in crate::catalog) async fn embedder(catalog: &Catalog) -> Result<Self, CatalogError> {
        if catalog.kind() == Kind::Postgres {
            return Ok(Self::beside(catalog));
        }
        drop(lock::take(catalog, Duty::Writing).await?);
        Ok(Self {
            catalog: catalog.clone(),
            _lock: Some(lock::take(catalog, Duty::Embedding).await?),
        })
    }

    /// Waits until nobody else embeds; nobody else does until what is given back is dropped.
    pub(in crate::catalog) async fn embedding(&self) -> Result<Option<Held>, CatalogError> {
        match self.catalog.kind() {
            Kind::Postgres => Ok(None),
            Kind::Sqlite => lock::wait(&self.catalog, Duty::Embedding).await.map(Some),
        }
    }

    /// For one short transaction, beside whoever has the lock: the database puts them one after the
    /// other.
    pub(in crate::catalog) fn beside(catalog: &Catalog) -> Self {
        Self {
            catalog: catalog.clone(),
            _lock: None,
        }
    }

    pub(in crate::catalog) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(super) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        let begin = self.catalog.kind().write();
        self.catalog.inner.writer.begin_with(begin).await
    }

    /// The number that stands for a model in the table of embeddings.
    pub(in crate::catalog) async fn model(&self, id: &ModelId) -> Result<i64, CatalogError> {
        let error = |e| self.catalog.error(e);
        let sql = "SELECT key FROM models WHERE id = $1 AND used > $2";
        let known = sqlx::query_scalar(sql)
            .bind(id.as_str())
            .bind(now() - 600)
            .fetch_optional(&self.catalog.inner.upkeep)
            .await;
        if let Some(key) = known.map_err(error)? {
            return Ok(key);
        }
        let sql = "INSERT INTO models (id, used) VALUES ($1, $2)
                   ON CONFLICT (id) DO UPDATE SET used = $2 RETURNING key";
        let key = sqlx::query_scalar(sql)
            .bind(id.as_str())
            .bind(now())
            .fetch_one(&self.catalog.inner.writer)
            .await;
        key.map_err(error)
    }

    /// Adds products and brings those that are there up to date, in one transaction. Answers in the
    /// order given.
    pub(in crate::catalog) async fn upsert(
        &self,
        records: &[Record],
    ) -> Result<Vec<(ProductKey, Change)>, CatalogError> {
        self.try_upsert(records)
            .await
            .map_err(|e| self.catalog.error(e))
    }

    async fn try_upsert(
        &self,
        records: &[Record],
    ) -> Result<Vec<(ProductKey, Change)>, sqlx::Error> {
        let mut transaction = self.begin().await?;
        let ids = serde_json::json!(
            records
                .iter()
                .map(|r| r.product.id.as_str())
                .collect::<Vec<_>>()
        )
        .to_string();
        let known = sqlx::query(
            "SELECT wanted.key AS position, p.* FROM json_each($1) AS wanted
             CROSS JOIN products AS p WHERE p.id = wanted.value",
        );
        let mut known_rows: Vec<Option<Columns>> = vec![None; records.len()];
        for row in known.bind(ids).fetch_all(&mut *transaction).await? {
            let position =
                usize::try_from(row.try_get::<i64, _>("position")?).unwrap_or(usize::MAX);
            if let Some(place) = known_rows.get_mut(position) {
                *place = Some(Columns::read(&row)?);
            }
        }
        let keys = known_rows.iter().flatten().map(|known| known.key);
        let known_pictures = pictures::known(keys, &mut transaction).await?;
        let none = Places::new();
        let mut changes = Vec::with_capacity(records.len());
        let mut log = Log::default();
        for (record, old) in records.iter().zip(known_rows) {
            let columns = Columns::of(&record.product);
            let before = old.as_ref().and_then(|old| known_pictures.get(&old.key));
            let now = pictures::of_source(&record.pictures, before, self.catalog.data());
            let before = before.unwrap_or(&none);
            let (key, change) = if let Some(old) = &old {
                let same = old.same(&columns);
                if !same {
                    columns.update(old, &mut transaction).await?;
                }
                // Another picture in the place of one is noticed when it is read: a shop that moved
                // its folder changed nothing.
                if !same || !before.keys().eq(now.keys()) {
                    log.add(old.key, "changed");
                }
                let change = if same && pictures::same(before, &now) {
                    Change::Unchanged
                } else {
                    Change::Changed
                };
                (ProductKey(old.key), change)
            } else {
                let key = columns.insert(&record.product.id, &mut transaction).await?;
                log.add(key.0, "new");
                (key, Change::New)
            };
            pictures::bring_to(key.0, before, &now, &mut transaction).await?;
            changes.push((key, change));
        }
        log.write(self.catalog.kind(), &mut transaction).await?;
        transaction.commit().await?;
        Ok(changes)
    }

    /// How many products there are, and how many pictures that did not come over HTTP.
    pub(in crate::catalog) async fn stock(
        &self,
        feed: Option<i64>,
    ) -> Result<(u64, u64), CatalogError> {
        let sql =
            "SELECT (SELECT count(*) FROM products WHERE CAST($2 AS bigint) IS NULL OR feed = $2),
                          (SELECT count(*) FROM pictures WHERE root IS DISTINCT FROM $1)";
        let (products, pictures): (i64, i64) = sqlx::query_as(sql)
            .bind(UPLOADS)
            .bind(feed)
            .fetch_one(&self.catalog.inner.upkeep)
            .await
            .map_err(|e| self.catalog.error(e))?;
        Ok((products.unsigned_abs(), pictures.unsigned_abs()))
    }

    /// The products that are there among `records`, and how many pictures [`Writer::upsert`] would take
    /// from them, those that came over HTTP not counted.
    pub(in crate::catalog) async fn would_keep(
        &self,
        records: &[Record],
    ) -> Result<(Vec<ProductKey>, u64), CatalogError> {
        self.try_would_keep(records)
            .await
            .map_err(|e| self.catalog.error(e))
    }

    async fn try_would_keep(
        &self,
        records: &[Record],
    ) -> Result<(Vec<ProductKey>, u64), sqlx::Error> {
        let mut read = self.catalog.snapshot(&self.catalog.inner.upkeep).await?;
        let ids: Vec<&str> = records.iter().map(|r| r.product.id.as_str()).collect();
        let sql = "SELECT wanted.key AS position, p.key FROM json_each($1) AS wanted
                   CROSS JOIN products AS p WHERE p.id = wanted.value";
        let rows = sqlx::query(sql)
            .bind(serde_json::json!(ids).to_string())
            .fetch_all(&mut *read)
            .await?;
        let there = rows.iter().map(|row| {
            let pair: (usize, u32) = (number(row, "position")?, number(row, "key")?);
            Ok(pair)
        });
        let there = there.collect::<Result<Vec<_>, sqlx::Error>>()?;
        let pictures = pictures::known(there.iter().map(|(_, key)| *key), &mut read).await?;
        let mut lost = 0;
        for (position, key) in &there {
            let record = records.get(*position);
            if let (Some(record), Some(before)) = (record, pictures.get(key)) {
                let now = pictures::of_source(&record.pictures, Some(before), self.catalog.data());
                let gone = before
                    .iter()
                    .filter(|(number, place)| !place.is_upload() && !now.contains_key(number));
                lost += gone.count() as u64;
            }
        }
        Ok((
            there.into_iter().map(|(_, key)| ProductKey(key)).collect(),
            lost,
        ))
    }

    /// Removes every product that is not in `kept`, or of a feed every one of its own; their embeddings
    /// stay, for the day that they come back.
    pub(in crate::catalog) async fn keep_only(
        &self,
        kept: &HashSet<ProductKey>,
        feed: Option<i64>,
    ) -> Result<u64, CatalogError> {
        let removed = async {
            let mut transaction = self.begin().await?;
            let keys = serde_json::json!(kept.iter().map(|k| k.0).collect::<Vec<_>>()).to_string();
            let sql = "DELETE FROM products WHERE key NOT IN (SELECT CAST(value AS bigint) FROM json_each($1))
                       AND (CAST($2 AS bigint) IS NULL OR feed = $2) RETURNING key";
            let removed: Vec<i64> = sqlx::query_scalar(sql)
                .bind(keys)
                .bind(feed)
                .fetch_all(&mut *transaction)
                .await?;
            let mut log = Log::default();
            log.add_all(&removed, "removed");
            log.write(self.catalog.kind(), &mut transaction).await?;
            transaction.commit().await?;
            Ok(removed.len() as u64)
        };
        removed.await.map_err(|e| self.catalog.error(e))
    }

    /// Makes every caption anew when captions are made of something else than before; whoever embeds
    /// finds what is missing then. Some hundred products a transaction.
    pub(in crate::catalog) async fn renew_captions(&self) -> Result<u64, CatalogError> {
        let made_of = template_digest();
        let now: String = sqlx::query_scalar("SELECT captions FROM state")
            .fetch_one(&self.catalog.inner.writer)
            .await
            .map_err(|e| self.catalog.error(e))?;
        if now == made_of {
            return Ok(0);
        }
        let (mut renewed, mut after) = (0, 0);
        while let Some((last, changed)) = self
            .renew_page(after)
            .await
            .map_err(|e| self.catalog.error(e))?
        {
            (after, renewed) = (last, renewed + changed);
        }
        sqlx::query("UPDATE state SET captions = $1")
            .bind(made_of)
            .execute(&self.catalog.inner.writer)
            .await
            .map_err(|e| self.catalog.error(e))?;
        Ok(renewed)
    }

    /// The captions of the products after the key `after`; the last one's key, and how many
    /// captions are others now. `None` when there are no more products.
    async fn renew_page(&self, after: i64) -> Result<Option<(i64, u64)>, sqlx::Error> {
        let mut transaction = self.begin().await?;
        let rows = sqlx::query("SELECT * FROM products WHERE key > $1 ORDER BY key LIMIT 500")
            .bind(after)
            .fetch_all(&mut *transaction)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        let last = last.try_get("key")?;
        let mut changed = 0;
        for row in &rows {
            let old = Columns::read(row)?;
            let caption_hash = hash(Caption::of(&read::product_row(row)?).content().as_bytes());
            if caption_hash != old.caption_hash {
                old.renew_caption(&caption_hash, &mut transaction).await?;
                changed += 1;
            }
        }
        transaction.commit().await?;
        Ok(Some((last, changed)))
    }

    /// The keys of products by id; unknown ids are left out.
    pub(in crate::catalog) async fn keys(
        &self,
        ids: &[String],
    ) -> Result<Vec<ProductKey>, CatalogError> {
        let writer = self.catalog.inner.writer.acquire().await;
        let mut writer = writer.map_err(|e| self.catalog.error(e))?;
        read::keys(&self.catalog, &mut writer, ids).await
    }

    /// Forgets the oldest changes: the newest `keep` stay. An index that is older is built anew.
    pub(super) async fn shorten_log(&self, keep: u32) -> Result<(), sqlx::Error> {
        let mut transaction = self.begin().await?;
        let oldest: Option<i64> =
            sqlx::query_scalar("SELECT seq FROM changes ORDER BY seq DESC LIMIT 1 OFFSET $1")
                .bind(i64::from(keep))
                .fetch_optional(&mut *transaction)
                .await?;
        if let Some(oldest) = oldest {
            for sql in [
                "DELETE FROM changes WHERE seq <= $1",
                "UPDATE state SET log_from = CASE WHEN log_from < $1 THEN $1 ELSE log_from END",
            ] {
                sqlx::query(sql)
                    .bind(oldest)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await
    }
}

/// What a transaction changes, for the log of changes.
#[derive(Default)]
pub(super) struct Log(BTreeMap<i64, &'static str>);

impl Log {
    pub(super) fn add(&mut self, key: u32, op: &'static str) {
        self.0.insert(i64::from(key), op);
    }

    pub(super) fn add_all(&mut self, keys: &[i64], op: &'static str) {
        self.0.extend(keys.iter().map(|key| (*key, op)));
    }

    /// The products that a query names by the hash of a content that was embedded.
    pub(super) async fn add_those(
        &mut self,
        sql: &'static str,
        hash: &Hash,
        transaction: &mut Tx,
    ) -> Result<(), sqlx::Error> {
        let keys = sqlx::query_scalar(sql).bind(hash.as_slice());
        let keys: Vec<i64> = keys.fetch_all(&mut **transaction).await?;
        self.add_all(&keys, "embedded");
        Ok(())
    }

    /// Raises the revision and writes the changes with it; nothing when there are none. The
    /// revision is never below the clock: see the table `state`.
    pub(super) async fn write(
        &self,
        kind: Kind,
        transaction: &mut Tx,
    ) -> Result<Option<u64>, sqlx::Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let sql = "UPDATE state SET revision = CASE WHEN revision < $1 THEN $1 ELSE revision + 1 END RETURNING revision";
        let revision: i64 = sqlx::query_scalar(sql)
            .bind(i64::try_from(now).unwrap_or_default())
            .fetch_one(&mut **transaction)
            .await?;
        let mut by_op: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (key, op) in &self.0 {
            by_op.entry(op).or_default().push(*key);
        }
        for (op, keys) in by_op {
            let sql = "INSERT INTO changes (seq, key, op)
                       SELECT $1, CAST(value AS bigint), $2 FROM json_each($3)";
            sqlx::query(sql)
                .bind(revision)
                .bind(op)
                .bind(serde_json::json!(keys).to_string())
                .execute(&mut **transaction)
                .await?;
        }
        let sql = "UPDATE products SET version = $1 WHERE key IN
                   (SELECT key FROM changes WHERE seq = $1 AND op IN ('new', 'changed'))";
        sqlx::query(sql)
            .bind(revision)
            .execute(&mut **transaction)
            .await?;
        if kind == Kind::Postgres {
            // Said when the transaction is committed.
            sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(revision.to_string())
                .execute(&mut **transaction)
                .await?;
        }
        Ok(Some(revision.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::store::work::Outcome;
    use crate::domain::{Embedding, Product, ProductId};

    fn records(ids: std::ops::Range<u32>) -> Vec<Record> {
        let product = |id: u32| {
            let mut product = Product::new(ProductId::new(&id.to_string()).expect("id"), "A shoe")
                .expect("title");
            product.description = Some("long ".repeat(400));
            Record {
                line: u64::from(id),
                product,
                pictures: Vec::new(),
            }
        };
        ids.map(product).collect()
    }

    #[tokio::test]
    async fn a_full_database_says_so_and_keeps_what_was_written() {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = Catalog::open(folder.path()).await.expect("opens");
        let writer = Writer::lock(&catalog).await.expect("locks");
        let pages = async |sql: &'static str| {
            sqlx::query(sql)
                .execute(&catalog.inner.writer)
                .await
                .expect("pragma");
        };
        pages("PRAGMA max_page_count = 100").await;
        let mut written = 0;
        let full = loop {
            match writer.upsert(&records(written..written + 10)).await {
                Ok(_) => written += 10,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, CatalogError::Full { .. }), "{full}");
        assert!(full.to_string().contains("free some"), "{full}");
        let count = async || {
            catalog
                .counts(&ModelId::new("a"))
                .await
                .expect("counts")
                .products
        };
        assert!(written > 0);
        assert_eq!(count().await, u64::from(written));
        pages("PRAGMA max_page_count = 100000").await;
        writer
            .upsert(&records(0..500))
            .await
            .expect("there is space again");
        assert_eq!(count().await, 500);
    }

    #[tokio::test]
    async fn a_vector_that_is_none_is_left_out() {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = Catalog::open(folder.path()).await.expect("opens");
        let writer = Writer::lock(&catalog).await.expect("locks");
        let records = records(0..3);
        writer.upsert(&records).await.expect("written");
        let id = ModelId::new("a");
        let model = writer.model(&id).await.expect("model");
        assert_eq!(writer.model(&id).await.expect("model"), model);
        let embedding = Embedding::new(vec![0.6, 0.8], 2).expect("embedding");
        let hash = hash(Caption::of(&records[0].product).content().as_bytes());
        let outcome = Outcome::Words {
            hash,
            embedding: Ok(embedding.clone()),
        };
        writer.store(model, &[outcome]).await.expect("written");
        let read = async || {
            let mut products = Vec::new();
            let all = catalog.embedded(&id, 2, |product| products.push(product));
            all.await.expect("reads");
            products
        };
        assert_eq!(
            read()
                .await
                .iter()
                .map(|p| p.words.clone())
                .collect::<Vec<_>>(),
            vec![Some(embedding); 3]
        );
        let nan = [0.5_f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat();
        for blob in [nan, vec![0; 8], vec![0; 7], Vec::new()] {
            let sql = "UPDATE embeddings SET vector = $1";
            sqlx::query(sql)
                .bind(blob)
                .execute(&catalog.inner.writer)
                .await
                .expect("damaged");
            assert!(read().await.iter().all(|product| product.words.is_none()));
        }
    }
}
