//! The schema of either database, as the files of `migrations/` make it.
//!
//! From version 8 on a change of the schema is a file of the same number in both folders. Services of one
//! catalog are renewed one after the other, so the version before works beside it, and starts
//! beside it too: a database says by `state.opened_by` which migration a program must know.

use std::path::Path;
use std::sync::LazyLock;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyPool, SqlSafeStr as _};

use crate::catalog::error::CatalogError;

/// (version, name, text). Written out, because sqlx's macro that reads the folder would compile sqlx
/// and SQLite a second time, for the compiler's own use.
type MigrationFile = (i64, &'static str, &'static str);

const OF_SQLITE: [MigrationFile; 10] = [
    (
        1,
        "catalog",
        include_str!("../../../migrations/sqlite/0001_catalog.sql"),
    ),
    (
        2,
        "pictures and captions",
        include_str!("../../../migrations/sqlite/0002_pictures_and_captions.sql"),
    ),
    (
        3,
        "unneeded embeddings",
        include_str!("../../../migrations/sqlite/0003_unneeded.sql"),
    ),
    (
        4,
        "prices and dates",
        include_str!("../../../migrations/sqlite/0004_prices_and_dates.sql"),
    ),
    (
        5,
        "a log of changes",
        include_str!("../../../migrations/sqlite/0005_changes.sql"),
    ),
    (
        6,
        "pictures and work",
        include_str!("../../../migrations/sqlite/0006_pictures.sql"),
    ),
    (
        7,
        "keys of the API",
        include_str!("../../../migrations/sqlite/0007_api_keys.sql"),
    ),
    (
        8,
        "which model answers",
        include_str!("../../../migrations/sqlite/0008_models.sql"),
    ),
    (
        9,
        "who may open it",
        include_str!("../../../migrations/sqlite/0009_opened_by.sql"),
    ),
    (
        10,
        "feeds",
        include_str!("../../../migrations/sqlite/0010_feeds.sql"),
    ),
];

const OF_POSTGRES: [MigrationFile; 3] = [
    (
        8,
        "catalog",
        include_str!("../../../migrations/postgres/0008_catalog.sql"),
    ),
    (
        9,
        "who may open it",
        include_str!("../../../migrations/postgres/0009_opened_by.sql"),
    ),
    (
        10,
        "feeds",
        include_str!("../../../migrations/postgres/0010_feeds.sql"),
    ),
];

pub(super) static SQLITE: LazyLock<Migrator> = LazyLock::new(|| migrator(&OF_SQLITE));
pub(super) static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| migrator(&OF_POSTGRES));

/// The last version that this version knows, of either.
pub(in crate::catalog) fn known() -> i64 {
    SQLITE.iter().map(|m| m.version).max().unwrap_or_default()
}

/// The last migration that a program must know to open the database.
pub(super) const OPENED_BY: &str = "SELECT opened_by FROM state";

/// Brings the schema of a database up to date; `place`: where it is.
pub(super) async fn migrate(
    to: &Migrator,
    writer: &AnyPool,
    place: &Path,
    meaning: impl Fn(sqlx::Error) -> CatalogError,
) -> Result<(), CatalogError> {
    let path = || place.to_owned();
    to.run(writer).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => meaning(error),
        other => CatalogError::Corrupt {
            path: path(),
            reason: other.to_string(),
        },
    })?;
    let found: i64 = sqlx::query_scalar(OPENED_BY)
        .fetch_one(writer)
        .await
        .map_err(meaning)?;
    let known = known();
    if found > known {
        let path = path();
        return Err(CatalogError::Newer { path, found, known });
    }
    Ok(())
}

fn migrator(files: &[MigrationFile]) -> Migrator {
    let migrations = files.iter().map(|(version, name, text)| {
        let kind = MigrationType::Simple;
        Migration::new(
            *version,
            (*name).into(),
            kind,
            (*text).into_sql_str(),
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // Of a newer version: whether this one may open it is looked at afterwards.
    migrator.set_ignore_missing(true);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_end_at_the_same_version() {
        let last = |of: &Migrator| of.iter().map(|m| m.version).max();
        assert_eq!(last(&SQLITE), last(&POSTGRES));
    }
}
