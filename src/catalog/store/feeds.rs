//! Feeds that are fetched from web addresses: what was taken of each, and which products are its own.

use sqlx::Row;

use super::database::Catalog;
use super::db::{DbRow, number};
use super::queue::now;
use super::write::Writer;
use crate::catalog::error::CatalogError;
use crate::catalog::media::remote::Validators;
use crate::catalog::values::FeedState;
use crate::domain::ProductKey;

/// A feed as it was last taken.
#[derive(Clone, Debug)]
pub(in crate::catalog) struct KnownFeed {
    pub key: i64,
    pub validators: Validators,
    /// Of what it was read with.
    pub settings: String,
    /// Products that it had; 0: it was never taken.
    pub products: u64,
}

const COLUMNS: &str = "key, address, etag, last_modified, settings, products, taken, tried, error";

impl Writer {
    /// What is known of a feed, by its address.
    pub(in crate::catalog) async fn feed(&self, address: &str) -> Result<KnownFeed, CatalogError> {
        let sql = format!(
            "INSERT INTO feeds (address) VALUES ($1)
             ON CONFLICT (address) DO UPDATE SET address = excluded.address RETURNING {COLUMNS}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(address)
            .fetch_one(&self.catalog().inner.writer)
            .await;
        let known = row.and_then(|row| {
            Ok(KnownFeed {
                key: row.try_get("key")?,
                validators: Validators {
                    etag: row.try_get("etag")?,
                    last_modified: row.try_get("last_modified")?,
                },
                settings: row.try_get("settings")?,
                products: number(&row, "products")?,
            })
        });
        known.map_err(|e| self.catalog().error(e))
    }

    /// Notes that a feed was taken, or is what it was.
    pub(in crate::catalog) async fn feed_taken(
        &self,
        feed: &KnownFeed,
    ) -> Result<(), CatalogError> {
        let sql = "UPDATE feeds SET etag = $2, last_modified = $3, settings = $4, products = $5,
                                    taken = $6, tried = $6, error = NULL WHERE key = $1";
        sqlx::query(sql)
            .bind(feed.key)
            .bind(&feed.validators.etag)
            .bind(&feed.validators.last_modified)
            .bind(&feed.settings)
            .bind(i64::try_from(feed.products).unwrap_or(i64::MAX))
            .bind(now())
            .execute(&self.catalog().inner.writer)
            .await
            .map_err(|e| self.catalog().error(e))?;
        Ok(())
    }

    /// Says of products that they came from a feed.
    pub(in crate::catalog) async fn set_feed(
        &self,
        feed: i64,
        products: &[ProductKey],
    ) -> Result<(), CatalogError> {
        let keys: Vec<u32> = products.iter().map(|key| key.0).collect();
        let sql = "UPDATE products SET feed = $1
                   WHERE key IN (SELECT CAST(value AS bigint) FROM json_each($2)) AND feed IS DISTINCT FROM $1";
        sqlx::query(sql)
            .bind(feed)
            .bind(serde_json::json!(keys).to_string())
            .execute(&self.catalog().inner.writer)
            .await
            .map_err(|e| self.catalog().error(e))?;
        Ok(())
    }
}

impl Catalog {
    /// The feeds that were ever fetched, by their addresses.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn feeds(&self) -> Result<Vec<FeedState>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} FROM feeds ORDER BY address");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_all(&self.inner.upkeep)
            .await;
        let rows = rows.and_then(|rows| rows.iter().map(state).collect());
        rows.map_err(|e| self.error(e))
    }

    /// Takes the turn of a feed, when `every` seconds went by since somebody last did: of several
    /// services one has it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn take_turn_of_feed(&self, address: &str, every: u64) -> Result<bool, CatalogError> {
        let every = i64::try_from(every).unwrap_or(i64::MAX);
        let sql = "INSERT INTO feeds (address, tried) VALUES ($1, $2)
                   ON CONFLICT (address) DO UPDATE SET tried = excluded.tried
                   WHERE feeds.tried <= excluded.tried - $3";
        let taken = sqlx::query(sql)
            .bind(address)
            .bind(now())
            .bind(every)
            .execute(&self.inner.writer)
            .await;
        taken
            .map(|taken| taken.rows_affected() > 0)
            .map_err(|e| self.error(e))
    }

    /// Notes why a feed could not be taken.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn feed_failed(&self, address: &str, reason: &str) -> Result<(), CatalogError> {
        sqlx::query("UPDATE feeds SET error = $2 WHERE address = $1")
            .bind(address)
            .bind(reason)
            .execute(&self.inner.writer)
            .await
            .map_err(|e| self.error(e))?;
        Ok(())
    }
}

fn state(row: &DbRow) -> Result<FeedState, sqlx::Error> {
    Ok(FeedState {
        address: row.try_get("address")?,
        products: number(row, "products")?,
        taken: row.try_get("taken")?,
        error: row.try_get("error")?,
    })
}
