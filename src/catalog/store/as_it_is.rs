//! A database as it is: opened beside whoever uses it, and not brought up to date.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};

use super::database::Database;
use super::postgres;
use super::schema::{OPENED_BY, known};
use super::sqlite::{FILE, is_there, meaning};
use crate::catalog::error::CatalogError;

/// What a look at a database found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Its last migration, and the last that this version knows: a start brings it up to date.
    pub schema: i64,
    pub known: i64,
    pub products: u64,
    pub bytes: u64,
}

pub(in crate::catalog) fn error(error: sqlx::Error, path: &Path) -> CatalogError {
    meaning(error, path)
}

/// A connection that only reads, and the last migration of the database.
///
/// # Errors
/// When it is none of Aglet's, or of a newer version.
pub(in crate::catalog) async fn open(data: &Path) -> Result<(SqliteConnection, i64), CatalogError> {
    let path = data.join(FILE);
    let opened = options(&path).read_only(true).connect().await;
    let mut database = opened.map_err(|e| error(e, &path))?;
    let found = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations");
    let found: Option<i64> = match found.fetch_one(&mut database).await {
        Ok(found) => found,
        Err(e) => {
            return Err(match error(e, &path) {
                CatalogError::Database(e) => CatalogError::Corrupt {
                    path,
                    reason: e.to_string(),
                },
                other => other,
            });
        }
    };
    let (found, known) = (found.unwrap_or_default(), known());
    if found > known {
        let least: i64 = sqlx::query_scalar(OPENED_BY)
            .fetch_one(&mut database)
            .await
            .map_err(|e| error(e, &path))?;
        if least > known {
            let found = least;
            return Err(CatalogError::Newer { path, found, known });
        }
    }
    Ok((database, found))
}

/// A connection to a copy of a database that nobody else uses.
pub(in crate::catalog) async fn open_file(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    options(path).connect().await
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_secs(10))
        .log_slow_statements(tracing::log::LevelFilter::Off, Duration::ZERO)
}

/// Reads the whole database of the folder `data`, or asks its server how it is, and changes nothing.
/// `None` when there is none, and nothing of one.
///
/// # Errors
/// When it is damaged, lost, of a newer version, or its server cannot be reached.
pub async fn inspect(data: &Path, database: &Database) -> Result<Option<Inspected>, CatalogError> {
    match database {
        Database::Folder => inspect_file(data).await,
        Database::Server(address) => inspect_server(address).await,
    }
}

async fn inspect_server(address: &str) -> Result<Option<Inspected>, CatalogError> {
    let place = std::path::PathBuf::from(postgres::shown(address));
    let look = async {
        let options: PgConnectOptions = address.parse()?;
        let mut server = options.connect().await?;
        let there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
            .fetch_one(&mut server)
            .await?;
        if !there {
            return Ok(None);
        }
        let schema: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut server)
            .await?;
        let (products, bytes): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM products), pg_database_size(current_database())",
        )
        .fetch_one(&mut server)
        .await?;
        let schema = schema.unwrap_or_default();
        let least = if schema > known() {
            sqlx::query_scalar(OPENED_BY).fetch_one(&mut server).await?
        } else {
            0
        };
        let inspected = Inspected {
            schema,
            known: known(),
            products: products.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
        };
        Ok(Some((inspected, least)))
    };
    let looked = look.await.map_err(|e| postgres::meaning(e, &place))?;
    let Some((inspected, least)) = looked else {
        return Ok(None);
    };
    let known = known();
    if least > known {
        return Err(CatalogError::Newer {
            path: place,
            found: least,
            known,
        });
    }
    Ok(Some(inspected))
}

async fn inspect_file(data: &Path) -> Result<Option<Inspected>, CatalogError> {
    if !is_there(data)? {
        return Ok(None);
    }
    let path = data.join(FILE);
    let bytes = path
        .metadata()
        .map_err(|e| CatalogError::io(&path, e))?
        .len();
    let (mut database, schema) = open(data).await?;
    let look = async {
        let said: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(5)")
            .fetch_all(&mut database)
            .await?;
        let products: i64 = sqlx::query_scalar("SELECT count(*) FROM products")
            .fetch_one(&mut database)
            .await?;
        Ok((said, products))
    };
    let (said, products) = look.await.map_err(|e| error(e, &path))?;
    if said != ["ok"] {
        return Err(CatalogError::Corrupt {
            path,
            reason: said.join("; "),
        });
    }
    Ok(Some(Inspected {
        schema,
        known: known(),
        products: products.unsigned_abs(),
        bytes,
    }))
}
