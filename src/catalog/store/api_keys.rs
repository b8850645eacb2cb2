//! The keys of the API, as far as they are kept.

use sqlx::Row;

use super::database::Catalog;
use super::db::{DbRow, some_number};
use super::queue::now;
use crate::catalog::error::CatalogError;
use crate::domain::{ApiKey, ApiKeyRecord, NewApiKey, Rate, Scope};

const COLUMNS: &str = "id, name, hash, scope, origins, created, expires, revoked, rate, burst";

impl Catalog {
    /// All keys that were ever made, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} FROM api_keys ORDER BY created, id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_all(&self.inner.upkeep)
            .await;
        let rows = rows.and_then(|rows| rows.iter().map(record).collect());
        rows.map_err(|e| self.error(e))
    }

    /// Makes a key. Its text is known to the caller alone: only its hash is kept.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn add_api_key(
        &self,
        new: NewApiKey,
    ) -> Result<(ApiKey, ApiKeyRecord), CatalogError> {
        let key = random_key();
        let record = ApiKeyRecord {
            id: key.id().to_owned(),
            name: new.name,
            hash: key.hash(),
            scope: new.scope,
            origins: new.origins,
            created: u64::try_from(now()).unwrap_or_default(),
            expires: new.expires,
            revoked: None,
            rate: new.rate,
        };
        let sql =
            "INSERT INTO api_keys (id, name, hash, scope, origins, created, expires, rate, burst)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        sqlx::query(sql)
            .bind(&record.id)
            .bind(&record.name)
            .bind(&record.hash[..])
            .bind(record.scope.as_str())
            .bind(serde_json::json!(record.origins).to_string())
            .bind(seconds(record.created))
            .bind(record.expires.map(seconds))
            .bind(record.rate.map(|rate| i64::from(rate.per_second.get())))
            .bind(record.rate.map(|rate| i64::from(rate.burst.get())))
            .execute(&self.inner.writer)
            .await
            .map_err(|e| self.error(e))?;
        Ok((key, record))
    }

    /// Revokes a key for good; what it is then. `None`: there is no such key.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn revoke_api_key(&self, id: &str) -> Result<Option<ApiKeyRecord>, CatalogError> {
        let sql = format!(
            "UPDATE api_keys SET revoked = coalesce(revoked, $1) WHERE id = $2 RETURNING {COLUMNS}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(now())
            .bind(id)
            .fetch_optional(&self.inner.writer)
            .await;
        let row = row.and_then(|row| row.as_ref().map(record).transpose());
        row.map_err(|e| self.error(e))
    }
}

fn seconds(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

fn random_key() -> ApiKey {
    let random = || uuid::Uuid::new_v4().into_bytes();
    let (mut id, mut secret) = ([0; 6], [0; 32]);
    // Of a UUID the bytes 6 and 8 are not all random: three make up for it.
    id.copy_from_slice(&random()[..6]);
    secret[..16].copy_from_slice(&random());
    secret[16..].copy_from_slice(&random());
    ApiKey::of(id, secret)
}

fn record(row: &DbRow) -> Result<ApiKeyRecord, sqlx::Error> {
    let decode = |what: &str| sqlx::Error::Decode(what.to_owned().into());
    let time = |name| -> Result<Option<u64>, sqlx::Error> {
        let time: Option<i64> = row.try_get(name)?;
        Ok(time.map(|time| u64::try_from(time).unwrap_or_default()))
    };
    let times =
        |name| -> Result<u32, sqlx::Error> { Ok(some_number(row, name)?.unwrap_or_default()) };
    let hash: Vec<u8> = row.try_get("hash")?;
    let scope: &str = row.try_get("scope")?;
    let origins: &str = row.try_get("origins")?;
    Ok(ApiKeyRecord {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        hash: hash.try_into().map_err(|_| decode("a key's hash"))?,
        scope: Scope::parse(scope).ok_or_else(|| decode("a key's scope"))?,
        origins: serde_json::from_str(origins).map_err(|e| sqlx::Error::Decode(e.into()))?,
        created: time("created")?.unwrap_or_default(),
        expires: time("expires")?,
        revoked: time("revoked")?,
        rate: Rate::new(times("rate")?, times("burst")?),
    })
}
