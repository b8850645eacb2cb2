//! Deleting embeddings that nobody needs any more: those of former models, and those of pictures
//! and captions that no product has; and uploaded pictures that no product shows.
//!
//! All are kept for a while: a model may be taken back, and a product that was removed by mistake
//! returns without being embedded again.

use std::collections::HashSet;
use std::time::Duration;

use super::database::Catalog;
use super::pictures::kept;
use super::queue::now;
use super::write::Writer;
use crate::catalog::error::CatalogError;
use crate::catalog::media::upload::{IMPORTED, UPLOADS};
use crate::domain::ModelId;

/// Rows deleted in one transaction.
const PAGE: i64 = 2_000;
/// An upload may not belong to a product yet for so long.
const UPLOADING: Duration = Duration::from_hours(1);
/// Changes that the log keeps.
const CHANGES: u32 = 500_000;

/// What was deleted, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Garbage {
    /// Models that no service or import has used for as long as embeddings are kept.
    pub models: u64,
    /// Embeddings, those of the models included.
    pub embeddings: u64,
    /// Embeddings that no product needs, but not for long enough yet.
    pub waiting: u64,
    /// Uploaded pictures that no product shows.
    pub uploads: u64,
}

/// The content of the products: of their pictures, of their captions, and of the former caption of
/// those whose new one a model has not embedded yet.
const NEEDED: &str = "SELECT hash FROM pictures WHERE hash IS NOT NULL
                      UNION ALL SELECT caption_hash FROM products
                      UNION ALL
                      SELECT words_hash FROM products AS p WHERE words_hash <> caption_hash AND EXISTS (
                        SELECT 1 FROM models AS m WHERE NOT EXISTS (
                          SELECT 1 FROM embeddings AS e
                          WHERE e.model = m.key AND e.kind = 'words' AND e.hash = p.caption_hash))";

impl Catalog {
    /// Deletes the embeddings that no product has needed for `keep`, and those of models that
    /// nobody has used for `keep`; the model used last stays in any case. `dry`: counts only.
    /// `in_use`: a model that is being used now.
    ///
    /// What no product needs is noted with the time at each call, so that the first call deletes
    /// nothing unless `keep` is zero.
    ///
    /// # Errors
    /// When another process is changing the catalog, or the database fails.
    pub async fn collect_garbage(
        &self,
        keep: Duration,
        in_use: Option<&ModelId>,
        dry: bool,
    ) -> Result<Garbage, CatalogError> {
        let writer = Writer::lock(self).await?;
        let in_use = match in_use {
            Some(model) => Some(writer.model(model).await?),
            None => None,
        };
        writer.collect(keep, in_use, dry).await
    }

    /// Gives the space of deleted rows back to the file system: rewrites the database, which needs
    /// as much room again while it does.
    ///
    /// # Errors
    /// When another process is changing the catalog, or there is no room.
    pub async fn compact(&self) -> Result<(), CatalogError> {
        let writer = Writer::lock(self).await?;
        sqlx::query("VACUUM")
            .execute(&writer.catalog().inner.writer)
            .await
            .map(|_| ())
            .map_err(|e| self.error(e))
    }
}

impl Writer {
    async fn collect(
        &self,
        keep: Duration,
        in_use: Option<i64>,
        dry: bool,
    ) -> Result<Garbage, CatalogError> {
        let error = |e| self.catalog().error(e);
        if !dry {
            self.note_unneeded().await.map_err(error)?;
            self.shorten_log(CHANGES).await.map_err(error)?;
        }
        let uploads = if dry {
            0
        } else {
            self.remove_uploads(keep).await?
        };
        let keep = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
        let models = self.unused_models(keep, in_use).await.map_err(error)?;
        let mut garbage = Garbage {
            models: models.len() as u64,
            uploads,
            ..Garbage::default()
        };
        for model in models {
            garbage.embeddings += self.remove_model(model, dry).await.map_err(error)?;
        }
        garbage.embeddings += self.remove_unneeded(keep, dry).await.map_err(error)?;
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM unneeded")
            .fetch_one(&self.catalog().inner.writer)
            .await
            .map_err(error)?;
        garbage.waiting = waiting.unsigned_abs();
        Ok(garbage)
    }

    /// Notes what no product needs any more, and what is needed again. Looks beside the writer, which
    /// takes long over a large catalog, and writes in small transactions.
    async fn note_unneeded(&self) -> Result<(), sqlx::Error> {
        let inner = &self.catalog().inner;
        let again = format!(
            "SELECT embedding FROM unneeded WHERE embedding IN
             (SELECT key FROM embeddings WHERE hash IN ({NEEDED}))"
        );
        let new = format!(
            "SELECT key FROM embeddings WHERE hash NOT IN ({NEEDED})
             AND key NOT IN (SELECT embedding FROM unneeded)"
        );
        for (look, write, since) in [
            (
                again,
                "DELETE FROM unneeded WHERE embedding IN
                 (SELECT CAST(value AS bigint) FROM json_each($1))",
                None,
            ),
            (
                new,
                "INSERT INTO unneeded (embedding, since)
                 SELECT key, $2 FROM embeddings
                 WHERE key IN (SELECT CAST(value AS bigint) FROM json_each($1))
                 ON CONFLICT DO NOTHING",
                Some(now()),
            ),
        ] {
            let keys: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(look))
                .fetch_all(&inner.upkeep)
                .await?;
            for page in keys.chunks(usize::try_from(PAGE).unwrap_or(1)) {
                let query = sqlx::query(write).bind(serde_json::json!(page).to_string());
                let query = match since {
                    Some(since) => query.bind(since),
                    None => query,
                };
                query.execute(&inner.writer).await?;
            }
        }
        let failed = format!("SELECT DISTINCT hash FROM failures WHERE hash NOT IN ({NEEDED})");
        let failed: Vec<Vec<u8>> = sqlx::query_scalar(sqlx::AssertSqlSafe(failed))
            .fetch_all(&inner.upkeep)
            .await?;
        for hash in failed {
            sqlx::query("DELETE FROM failures WHERE hash = $1")
                .bind(hash)
                .execute(&inner.writer)
                .await?;
        }
        // Written by a version that did not note when.
        sqlx::query("UPDATE models SET used = $1 WHERE used = 0")
            .bind(now())
            .execute(&inner.writer)
            .await
            .map(|_| ())
    }

    /// Removes kept pictures that were written longer ago than `keep` and that no product shows. An
    /// upload is written before its product is, and its time is renewed when it comes again.
    async fn remove_uploads(&self, keep: Duration) -> Result<u64, CatalogError> {
        let sql = "SELECT DISTINCT file FROM pictures WHERE root IN ($1, $2)";
        let needed: Vec<String> = sqlx::query_scalar(sql)
            .bind(UPLOADS)
            .bind(IMPORTED)
            .fetch_all(&self.catalog().inner.upkeep)
            .await
            .map_err(|e| self.catalog().error(e))?;
        let names = needed.iter().filter_map(|file| kept(file, Some(UPLOADS)));
        let needed: HashSet<String> = names.map(str::to_owned).collect();
        let keep = keep.max(UPLOADING);
        self.catalog().inner.kept.sweep(keep, needed).await
    }

    async fn unused_models(&self, keep: i64, in_use: Option<i64>) -> Result<Vec<i64>, sqlx::Error> {
        let sql = "SELECT key FROM models WHERE used > 0 AND used <= $1 AND key <>
                   coalesce($2, (SELECT key FROM models ORDER BY used DESC, key DESC LIMIT 1))";
        sqlx::query_scalar(sql)
            .bind(now().saturating_sub(keep))
            .bind(in_use)
            .fetch_all(&self.catalog().inner.writer)
            .await
    }

    async fn remove_model(&self, model: i64, dry: bool) -> Result<u64, sqlx::Error> {
        if dry {
            return self
                .count("SELECT count(*) FROM embeddings WHERE model = $1", model)
                .await;
        }
        let sql = "DELETE FROM embeddings WHERE key IN
                   (SELECT key FROM embeddings WHERE model = $1 LIMIT $2)";
        let removed = self.page_by_page(sql, model).await?;
        sqlx::query("DELETE FROM models WHERE key = $1")
            .bind(model)
            .execute(&self.catalog().inner.writer)
            .await?;
        Ok(removed)
    }

    async fn remove_unneeded(&self, keep: i64, dry: bool) -> Result<u64, sqlx::Error> {
        let before = now().saturating_sub(keep);
        if dry {
            let sql = "SELECT count(*) FROM unneeded WHERE since <= $1";
            return self.count(sql, before).await;
        }
        // What a product came to need since it was noted stays: the next look takes the note back.
        let sql = "DELETE FROM embeddings WHERE key IN
                   (SELECT e.key FROM unneeded AS u CROSS JOIN embeddings AS e
                    WHERE e.key = u.embedding AND u.since <= $1
                      AND NOT EXISTS (SELECT 1 FROM pictures AS p WHERE p.hash = e.hash)
                      AND NOT EXISTS (SELECT 1 FROM products AS p WHERE p.caption_hash = e.hash)
                    LIMIT $2)";
        self.page_by_page(sql, before).await
    }

    async fn count(&self, sql: &'static str, about: i64) -> Result<u64, sqlx::Error> {
        let count: i64 = sqlx::query_scalar(sql)
            .bind(about)
            .fetch_one(&self.catalog().inner.writer)
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Small transactions, so that whoever else writes does not wait for long.
    async fn page_by_page(&self, sql: &'static str, about: i64) -> Result<u64, sqlx::Error> {
        let mut removed = 0;
        loop {
            let page = sqlx::query(sql)
                .bind(about)
                .bind(PAGE)
                .execute(&self.catalog().inner.writer)
                .await?
                .rows_affected();
            removed += page;
            if page < PAGE.unsigned_abs() {
                return Ok(removed);
            }
        }
    }
}
