//! What waits to be embedded, taken from the queue, and what became of it.
//!
//! A row of `work` goes in the transaction that writes what became of it. What failed for a reason
//! that may pass stays and is tried again, each time after a longer pause; what cannot be embedded
//! at all leaves the queue, and the reason stays with its picture or its content.

use std::collections::BTreeMap;

use sqlx::{Any, Row};

use super::database::Catalog;
use super::db::{DbRow, Kind, Tx, flag, number};
use super::pictures::PlaceColumns;
use super::queue::{AGAIN, Lane, PictureKey, WORDS, now};
use super::read;
use super::row::{Hash, hash_column};
use super::write::{Log, Writer};
use crate::catalog::error::CatalogError;
use crate::catalog::media::PictureSource;
use crate::catalog::values::Waiting;
use crate::domain::{Embedding, ModelId, ProductKey};

/// Rows that are looked for or put into the queue at a time.
const PAGE: i64 = 2_000;
/// The first pause after a failure, in seconds; each next one is twice as long, up to the longest.
const FIRST_PAUSE: i64 = 5;
const LONGEST_PAUSE: i64 = 3_600;
/// Before another try where pictures are kept that do not answer, in seconds. It does not count.
const AWAY: i64 = 15;
/// How long what one of several workers took is its own, in seconds: many times what it takes.
const LEASE: i64 = 120;
/// Failures after which something is given up: a day and a half after the first.
const MOST_ATTEMPTS: i64 = 45;

/// Something to embed.
#[derive(Clone, Debug)]
pub(in crate::catalog) enum Work {
    Words { product: ProductKey },
    Picture(Box<PictureWork>),
}

/// A picture to read and to embed.
#[derive(Clone, Debug)]
pub(in crate::catalog) struct PictureWork {
    pub picture: PictureKey,
    pub source: PictureSource,
    /// As the catalog says it.
    pub place: PlaceColumns,
    /// What was noted of what was read of it last, and the hash of that.
    pub stamp: Option<String>,
    pub hash: Option<Hash>,
    /// Whether its model has a vector of that.
    pub embedded: bool,
}

/// What became of one piece of work.
#[derive(Debug)]
pub(in crate::catalog) enum Outcome {
    Words {
        hash: Hash,
        embedding: Result<Embedding, String>,
    },
    /// `embedding` is `None` when its content is known already. `moved`: the picture was another one,
    /// or none; `news`: it had no embedding of this one.
    Photo {
        picture: PictureKey,
        place: PlaceColumns,
        stamp: String,
        hash: Hash,
        moved: bool,
        news: bool,
        embedding: Option<Result<Embedding, String>>,
    },
    /// `gone`: what was there is not there any more; else nothing is known of it. `again`: another
    /// try may find it.
    Unreadable {
        picture: PictureKey,
        place: PlaceColumns,
        reason: String,
        gone: bool,
        again: bool,
    },
    /// Where the picture is kept does not answer: nothing is known of the picture.
    Away { picture: PictureKey, reason: String },
    /// A caption that the model has seen already.
    KnownWords { hash: Hash },
}

/// Of a picture `p` and a model ?1: whether the model has settled what it can do with it.
macro_rules! seen_sql {
    ($kind:literal, $hash:literal) => {
        concat!(
            "(EXISTS (SELECT 1 FROM embeddings AS e
                      WHERE e.model = $1 AND e.kind = '",
            $kind,
            "' AND e.hash = ",
            $hash,
            ")
              OR EXISTS (SELECT 1 FROM failures AS f
                         WHERE f.model = $1 AND f.kind = '",
            $kind,
            "' AND f.hash = ",
            $hash,
            "))"
        )
    };
}

/// Of rows of the queue what [`Writer::work`] reads; $1: the model.
macro_rules! work_sql {
    ($rows:literal) => {
        concat!(
            "SELECT w.key AS work, w.product AS key, w.number, p.file, p.member, p.address, p.root,
                    p.hash, p.stamp, CASE WHEN p.error IS NULL AND EXISTS (
                      SELECT 1 FROM embeddings AS e
                      WHERE e.model = $1 AND e.kind = 'photo' AND e.hash = p.hash)
                    THEN 1 ELSE 0 END AS embedded
             FROM ",
            $rows,
            " AS w LEFT JOIN pictures AS p ON p.product = w.product AND p.number = w.number"
        )
    };
}

impl Catalog {
    /// How much waits to be embedded by a model.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn waiting(&self, model: &ModelId) -> Result<Waiting, CatalogError> {
        waiting(self, model).await.map_err(|e| self.error(e))
    }
}

async fn waiting(catalog: &Catalog, model: &ModelId) -> Result<Waiting, sqlx::Error> {
    let sql = "SELECT w.lane, count(*) AS number, count(*) FILTER (WHERE w.due <= $2) AS due
               FROM models AS m CROSS JOIN work AS w
               WHERE w.model = m.key AND m.id = $1 GROUP BY w.lane";
    let rows = sqlx::query(sql)
        .bind(model.as_str())
        .bind(now())
        .fetch_all(&catalog.inner.upkeep)
        .await?;
    let mut waiting = Waiting::default();
    for row in rows {
        let here: u64 = number(&row, "number")?;
        waiting.due += number::<u64>(&row, "due")?;
        if number::<i64>(&row, "lane")? == AGAIN {
            waiting.retrying += here;
        } else {
            waiting.waiting += here;
        }
    }
    Ok(waiting)
}

impl Writer {
    /// Puts everything into the queue that a model lacks and that is not in it: all of what a new
    /// model has to see. Looks beside whoever writes, and writes in small transactions.
    pub(in crate::catalog) async fn queue_missing(&self, model: i64) -> Result<(), CatalogError> {
        let queued = self.try_queue_missing(model).await;
        queued.map_err(|e| self.catalog().error(e))
    }

    async fn try_queue_missing(&self, model: i64) -> Result<(), sqlx::Error> {
        let words = concat!(
            "SELECT p.key AS key, 0 AS number FROM products AS p WHERE p.key > $2 AND $3 >= 0 AND NOT ",
            seen_sql!("words", "p.caption_hash"),
            " AND NOT EXISTS (SELECT 1 FROM work AS w
                              WHERE w.product = p.key AND w.number = 0 AND w.model = $1)
             ORDER BY p.key LIMIT $4"
        );
        let pictures = concat!(
            "SELECT p.product AS key, p.number AS number FROM pictures AS p
             WHERE (p.product, p.number) > ($2, $3) AND p.error IS NULL
               AND (p.stamp IS NULL OR NOT ",
            seen_sql!("photo", "p.hash"),
            ") AND NOT EXISTS (SELECT 1 FROM work AS w
                               WHERE w.product = p.product AND w.number = p.number AND w.model = $1)
             ORDER BY p.product, p.number LIMIT $4"
        );
        for sql in [words, pictures] {
            let mut after = (0_i64, 0_i64);
            loop {
                let missing = sqlx::query(sql)
                    .bind(model)
                    .bind(after.0)
                    .bind(after.1)
                    .bind(PAGE)
                    .fetch_all(&self.catalog().inner.upkeep)
                    .await?;
                let missing = missing.iter().map(|row| {
                    let pair: (i64, i64) = (row.try_get("key")?, row.try_get("number")?);
                    Ok(pair)
                });
                let missing = missing.collect::<Result<Vec<_>, sqlx::Error>>()?;
                let Some(last) = missing.last() else { break };
                after = *last;
                self.queue_all(model, &missing, 1).await?;
            }
        }
        Ok(())
    }

    /// Puts these into the queue, (product, number) each, unless they are in it or gone.
    async fn queue_all(
        &self,
        model: i64,
        all: &[(i64, i64)],
        lane: i64,
    ) -> Result<(), sqlx::Error> {
        let mut by_number: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (product, number) in all {
            by_number.entry(*number).or_default().push(*product);
        }
        for (number, products) in by_number {
            let sql = "INSERT INTO work (model, product, number, lane)
                       SELECT $1, p.key, $2, $3
                       FROM json_each($4) AS wanted CROSS JOIN products AS p
                       WHERE p.key = CAST(wanted.value AS bigint)
                       ORDER BY wanted.key
                       ON CONFLICT DO NOTHING";
            sqlx::query(sql)
                .bind(model)
                .bind(number)
                .bind(lane)
                .bind(serde_json::json!(products).to_string())
                .execute(&self.catalog().inner.writer)
                .await?;
        }
        Ok(())
    }

    /// The pictures of products where a model is through with them.
    pub(in crate::catalog) async fn settled_pictures(
        &self,
        model: i64,
        products: &[ProductKey],
    ) -> Result<Vec<PictureWork>, CatalogError> {
        let sql = concat!(
            "SELECT p.product AS key, p.number, p.file, p.member, p.address, p.root, p.hash, p.stamp,
                    CASE WHEN p.error IS NULL AND EXISTS (
                      SELECT 1 FROM embeddings AS e
                      WHERE e.model = $1 AND e.kind = 'photo' AND e.hash = p.hash)
                    THEN 1 ELSE 0 END AS embedded
             FROM json_each($2) AS wanted CROSS JOIN pictures AS p
             WHERE p.product = CAST(wanted.value AS bigint) AND (p.error IS NOT NULL OR ",
            seen_sql!("photo", "p.hash"),
            ")"
        );
        let read = async {
            let keys: Vec<u32> = products.iter().map(|key| key.0).collect();
            let rows = sqlx::query(sql)
                .bind(model)
                .bind(serde_json::json!(keys).to_string())
                .fetch_all(&self.catalog().inner.upkeep)
                .await?;
            let data = self.catalog().data();
            let pictures = rows
                .iter()
                .filter_map(|row| picture_work(row, data).transpose());
            pictures.collect::<Result<Vec<_>, sqlx::Error>>()
        };
        read.await.map_err(|e| self.catalog().error(e))
    }

    /// Puts pictures into the queue that are to be looked at once more, and the words of these
    /// products that could not be embedded: what is known to fail is tried once more.
    pub(in crate::catalog) async fn queue_again(
        &self,
        model: i64,
        pictures: &[PictureKey],
        products: &[ProductKey],
    ) -> Result<(), CatalogError> {
        let queued = self.try_queue_again(model, pictures, products).await;
        queued.map_err(|e| self.catalog().error(e))
    }

    async fn try_queue_again(
        &self,
        model: i64,
        pictures: &[PictureKey],
        products: &[ProductKey],
    ) -> Result<(), sqlx::Error> {
        let keys: Vec<u32> = products.iter().map(|key| key.0).collect();
        let sql = "SELECT p.key FROM json_each($2) AS wanted
                   CROSS JOIN products AS p CROSS JOIN failures AS f
                   WHERE p.key = CAST(wanted.value AS bigint)
                     AND f.model = $1 AND f.kind = 'words' AND f.hash = p.caption_hash";
        let failed: Vec<i64> = sqlx::query_scalar(sql)
            .bind(model)
            .bind(serde_json::json!(keys).to_string())
            .fetch_all(&self.catalog().inner.upkeep)
            .await?;
        if failed.is_empty() && pictures.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        for key in failed {
            let sql = "DELETE FROM failures WHERE model = $1 AND kind = 'words'
                       AND hash = (SELECT caption_hash FROM products WHERE key = $2)";
            let query = sqlx::query(sql).bind(model).bind(key);
            query.execute(&mut *transaction).await?;
            queue_one(model, key, WORDS, &mut transaction).await?;
        }
        for picture in pictures {
            let sql = "DELETE FROM failures WHERE model = $1 AND kind = 'photo'
                       AND hash = (SELECT hash FROM pictures WHERE product = $2 AND number = $3)";
            let query = sqlx::query(sql)
                .bind(model)
                .bind(i64::from(picture.product))
                .bind(i64::from(picture.number));
            query.execute(&mut *transaction).await?;
            let product = i64::from(picture.product);
            queue_one(model, product, picture.number, &mut transaction).await?;
        }
        transaction.commit().await
    }

    /// What is to be embedded next, in the order of its turn, with the keys in the queue: `most` at most
    /// beside `begun` ones that the caller has been given and is not through with, which may be among
    /// them.
    pub(in crate::catalog) async fn due(
        &self,
        model: i64,
        lane: Lane,
        begun: usize,
        most: usize,
    ) -> Result<Vec<(i64, Work)>, CatalogError> {
        let due = match self.catalog().kind() {
            Kind::Sqlite => self.try_due(model, lane, begun + most).await,
            Kind::Postgres => self.take_due(model, lane, most).await,
        };
        due.map_err(|e| self.catalog().error(e))
    }

    async fn try_due(
        &self,
        model: i64,
        lane: Lane,
        most: usize,
    ) -> Result<Vec<(i64, Work)>, sqlx::Error> {
        let sql = concat!(
            work_sql!("work"),
            " WHERE w.model = $1 AND w.lane BETWEEN $2 AND $3 AND w.due <= $4
              ORDER BY w.lane, w.due, w.key LIMIT $5"
        );
        let (first, last) = lane.bounds();
        let rows = sqlx::query(sql)
            .bind(model)
            .bind(first)
            .bind(last)
            .bind(now())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&self.catalog().inner.upkeep)
            .await?;
        self.work(&rows)
    }

    /// The same among others that embed: what is taken is nobody else's until [`LEASE`] is over. So what a
    /// worker that died had taken comes to its turn again.
    async fn take_due(
        &self,
        model: i64,
        lane: Lane,
        most: usize,
    ) -> Result<Vec<(i64, Work)>, sqlx::Error> {
        let sql = concat!(
            "WITH taken AS (
               UPDATE work SET due = $4 + $6 WHERE key IN (
                 SELECT key FROM work
                 WHERE model = $1 AND lane BETWEEN $2 AND $3 AND due <= $4
                 ORDER BY lane, due, key LIMIT $5 FOR UPDATE SKIP LOCKED)
               RETURNING key, product, number, lane) ",
            work_sql!("taken"),
            " ORDER BY w.lane, w.key"
        );
        let (first, last) = lane.bounds();
        let rows = sqlx::query(sql)
            .bind(model)
            .bind(first)
            .bind(last)
            .bind(now())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .bind(LEASE)
            .fetch_all(&self.catalog().inner.writer)
            .await?;
        self.work(&rows)
    }

    fn work(&self, rows: &[DbRow]) -> Result<Vec<(i64, Work)>, sqlx::Error> {
        let data = self.catalog().data();
        let work = rows.iter().filter_map(|row| {
            let picture = match picture_work(row, data) {
                Ok(Some(picture)) => Work::Picture(Box::new(picture)),
                // The picture left the product after the row was read.
                Ok(None) if number(row, "number").is_ok_and(|number: u8| number != WORDS) => {
                    return None;
                }
                Ok(None) => match read::key(row) {
                    Ok(product) => Work::Words { product },
                    Err(error) => return Some(Err(error)),
                },
                Err(error) => return Some(Err(error)),
            };
            Some(row.try_get("work").map(|key| (key, picture)))
        });
        work.collect()
    }

    /// How many captions and how many pictures wait for a model.
    pub(in crate::catalog) async fn waiting_now(
        &self,
        model: i64,
        lane: Lane,
    ) -> Result<(u64, u64), CatalogError> {
        let (first, last) = lane.bounds();
        let sql = "SELECT count(*) FILTER (WHERE number = 0) AS words,
                          count(*) FILTER (WHERE number > 0) AS pictures
                   FROM work WHERE model = $1 AND lane BETWEEN $2 AND $3 AND due <= $4";
        let row = sqlx::query(sql)
            .bind(model)
            .bind(first)
            .bind(last)
            .bind(now())
            .fetch_one(&self.catalog().inner.upkeep);
        let counted = async {
            let row = row.await?;
            Ok((number(&row, "words")?, number(&row, "pictures")?))
        };
        counted.await.map_err(|e| self.catalog().error(e))
    }

    /// Some of the products with a caption.
    pub(in crate::catalog) async fn with_caption(
        &self,
        hash: &Hash,
    ) -> Result<Vec<ProductKey>, CatalogError> {
        let keys: Result<Vec<i64>, _> =
            sqlx::query_scalar("SELECT key FROM products WHERE caption_hash = $1 LIMIT 100")
                .bind(hash.as_slice())
                .fetch_all(&self.catalog().inner.upkeep)
                .await;
        let keys = keys.map_err(|e| self.catalog().error(e))?;
        let keys = keys.into_iter().filter_map(|key| u32::try_from(key).ok());
        Ok(keys.map(ProductKey).collect())
    }

    /// Whether a model has seen a content: nothing when it has not; `Some(None)` when it is embedded,
    /// else why it could not be.
    pub(in crate::catalog) async fn seen(
        &self,
        model: i64,
        kind: &str,
        hash: &Hash,
    ) -> Result<Option<Option<String>>, CatalogError> {
        let seen = seen(model, kind, hash, &self.catalog().inner.upkeep).await;
        seen.map_err(|e| self.catalog().error(e))
    }

    /// Writes what was found out, in one transaction: once this returns, it outlives a crash.
    pub(in crate::catalog) async fn store(
        &self,
        model: i64,
        outcomes: &[Outcome],
    ) -> Result<(), CatalogError> {
        let stored = self.try_store(model, outcomes).await;
        stored.map_err(|e| self.catalog().error(e))
    }

    async fn try_store(&self, model: i64, outcomes: &[Outcome]) -> Result<(), sqlx::Error> {
        let mut transaction = self.begin().await?;
        let mut log = Log::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Words { hash, embedding } => {
                    if put(&mut transaction, model, "words", hash, embedding).await? {
                        let sql = "SELECT key FROM products WHERE caption_hash = $1";
                        log.add_those(sql, hash, &mut transaction).await?;
                    }
                    done_with_words(model, hash, &mut transaction).await?;
                }
                Outcome::Photo {
                    picture,
                    place,
                    stamp,
                    hash,
                    moved,
                    embedding,
                    ..
                } => {
                    let sql =
                        "UPDATE pictures SET stamp = $6, hash = $7, decoded = $8, error = NULL
                               WHERE product = $1 AND number = $2
                                 AND file IS NOT DISTINCT FROM $3
                                 AND member IS NOT DISTINCT FROM $4
                                 AND address IS NOT DISTINCT FROM $5";
                    let decoded = !matches!(embedding, Some(Err(_)));
                    let query = of_picture(sql, *picture, place);
                    let query = query.bind(stamp).bind(hash.as_slice());
                    let query = query.bind(i64::from(decoded));
                    let still = query.execute(&mut *transaction).await?.rows_affected() > 0;
                    if let Some(embedding) = embedding
                        && put(&mut transaction, model, "photo", hash, embedding).await?
                    {
                        let sql = "SELECT product FROM pictures WHERE hash = $1";
                        log.add_those(sql, hash, &mut transaction).await?;
                    }
                    // Another picture is there meanwhile: its own turn comes.
                    if !still {
                        continue;
                    }
                    if *moved {
                        log.add(picture.product, "embedded");
                    }
                    // What was known may have been deleted since.
                    if embedding.is_some()
                        || seen(model, "photo", hash, &mut *transaction)
                            .await?
                            .is_some()
                    {
                        done(model, *picture, &mut transaction).await?;
                    }
                }
                Outcome::Unreadable {
                    picture,
                    place,
                    reason,
                    gone,
                    again,
                } => {
                    let sql = "UPDATE pictures SET error = $6, 
                                      stamp = CASE WHEN $7 = 1 THEN NULL ELSE stamp END,
                                      decoded = CASE WHEN $7 = 1 THEN 0 ELSE decoded END
                               WHERE product = $1 AND number = $2
                                 AND file IS NOT DISTINCT FROM $3
                                 AND member IS NOT DISTINCT FROM $4
                                 AND address IS NOT DISTINCT FROM $5";
                    let query = of_picture(sql, *picture, place);
                    let written = query
                        .bind(reason)
                        .bind(i64::from(*gone))
                        .execute(&mut *transaction);
                    if written.await?.rows_affected() == 0 {
                        continue;
                    }
                    if *again {
                        put_off(model, *picture, reason, &mut transaction).await?;
                    } else {
                        done(model, *picture, &mut transaction).await?;
                    }
                }
                Outcome::Away { picture, .. } => {
                    let sql = "UPDATE work SET due = $4
                               WHERE product = $1 AND number = $2 AND model = $3";
                    let query = sqlx::query(sql)
                        .bind(i64::from(picture.product))
                        .bind(i64::from(picture.number))
                        .bind(model)
                        .bind(now() + AWAY);
                    query.execute(&mut *transaction).await?;
                }
                Outcome::KnownWords { hash } => {
                    done_with_words(model, hash, &mut transaction).await?;
                }
            }
        }
        log.write(self.catalog().kind(), &mut transaction).await?;
        transaction.commit().await
    }
}

fn of_picture<'a>(
    sql: &'static str,
    picture: PictureKey,
    place: &PlaceColumns,
) -> sqlx::query::Query<'a, Any, sqlx::any::AnyArguments> {
    sqlx::query(sql)
        .bind(i64::from(picture.product))
        .bind(i64::from(picture.number))
        .bind(place.file.clone())
        .bind(place.member.clone())
        .bind(place.address.clone())
}

/// Takes it out of the queue.
async fn done(model: i64, picture: PictureKey, transaction: &mut Tx) -> Result<(), sqlx::Error> {
    let sql = "DELETE FROM work WHERE product = $1 AND number = $2 AND model = $3";
    let query = sqlx::query(sql)
        .bind(i64::from(picture.product))
        .bind(i64::from(picture.number))
        .bind(model);
    query.execute(&mut **transaction).await.map(|_| ())
}

/// Takes the products with a caption out of the queue, as far as it is their words that wait.
async fn done_with_words(model: i64, hash: &Hash, transaction: &mut Tx) -> Result<(), sqlx::Error> {
    let sql = "DELETE FROM work WHERE model = $1 AND number = 0
               AND product IN (SELECT key FROM products WHERE caption_hash = $2)";
    let query = sqlx::query(sql).bind(model).bind(hash.as_slice());
    query.execute(&mut **transaction).await.map(|_| ())
}

/// Its next try comes later; after too many there is none.
async fn put_off(
    model: i64,
    picture: PictureKey,
    reason: &str,
    transaction: &mut Tx,
) -> Result<(), sqlx::Error> {
    let sql = "UPDATE work SET lane = $4, attempts = attempts + 1, reason = $5,
                      due = $6 + CASE WHEN attempts < 10 THEN $8 << CAST(attempts AS integer)
                                      ELSE $7 END
               WHERE product = $1 AND number = $2 AND model = $3 RETURNING attempts";
    let attempts: Option<i64> = sqlx::query_scalar(sql)
        .bind(i64::from(picture.product))
        .bind(i64::from(picture.number))
        .bind(model)
        .bind(AGAIN)
        .bind(reason)
        .bind(now())
        .bind(LONGEST_PAUSE)
        .bind(FIRST_PAUSE)
        .fetch_optional(&mut **transaction)
        .await?;
    match attempts {
        Some(MOST_ATTEMPTS..) => done(model, picture, transaction).await,
        _ => Ok(()),
    }
}

/// Puts one thing into the queue of one model, as new.
async fn queue_one(
    model: i64,
    product: i64,
    number: u8,
    transaction: &mut Tx,
) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO work (model, product, number)
               SELECT $1, p.key, $3 FROM products AS p WHERE p.key = $2
               ON CONFLICT (product, number, model)
               DO UPDATE SET lane = 0, attempts = 0, due = 0, reason = NULL";
    let query = sqlx::query(sql)
        .bind(model)
        .bind(product)
        .bind(i64::from(number));
    query.execute(&mut **transaction).await.map(|_| ())
}

async fn seen<'a>(
    model: i64,
    kind: &str,
    hash: &Hash,
    from: impl sqlx::Executor<'a, Database = Any>,
) -> Result<Option<Option<String>>, sqlx::Error> {
    let sql = "SELECT NULL AS failed FROM embeddings WHERE model = $1 AND kind = $2 AND hash = $3
               UNION ALL
               SELECT reason FROM failures WHERE model = $1 AND kind = $2 AND hash = $3";
    sqlx::query_scalar(sql)
        .bind(model)
        .bind(kind)
        .bind(hash.as_slice())
        .fetch_optional(from)
        .await
}

/// `None`: there is no picture of that number.
fn picture_work(row: &DbRow, data: &std::path::Path) -> Result<Option<PictureWork>, sqlx::Error> {
    let place = PlaceColumns::read(row)?;
    let Some(source) = place.clone().source(data) else {
        return Ok(None);
    };
    let hash = row.try_get::<Option<&[u8]>, _>("hash")?;
    Ok(Some(PictureWork {
        picture: PictureKey {
            product: read::key(row)?.0,
            number: number(row, "number")?,
        },
        source,
        place,
        stamp: row.try_get("stamp")?,
        hash: hash.map(hash_column).transpose()?,
        embedded: flag(row, "embedded")?,
    }))
}

/// Whether an index has to follow: a vector came in. A vector is never replaced: the content and
/// the model are what they were.
async fn put(
    transaction: &mut Tx,
    model: i64,
    kind: &str,
    hash: &Hash,
    embedding: &Result<Embedding, String>,
) -> Result<bool, sqlx::Error> {
    let about = |sql| {
        sqlx::query(sql)
            .bind(model)
            .bind(kind)
            .bind(hash.as_slice())
    };
    match embedding {
        Ok(embedding) => {
            let sql = "INSERT INTO embeddings (model, kind, hash, vector) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            let added = about(sql)
                .bind(read::to_blob(embedding))
                .execute(&mut **transaction)
                .await?;
            let sql = "DELETE FROM failures WHERE model = $1 AND kind = $2 AND hash = $3";
            about(sql).execute(&mut **transaction).await?;
            Ok(added.rows_affected() > 0)
        }
        Err(reason) => {
            let sql = "INSERT INTO failures (model, kind, hash, reason) VALUES ($1, $2, $3, $4)
                       ON CONFLICT (model, kind, hash) DO UPDATE SET reason = excluded.reason";
            about(sql).bind(reason).execute(&mut **transaction).await?;
            Ok(false)
        }
    }
}
