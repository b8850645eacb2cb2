//! What SQLite and PostgreSQL do not have in common, and what the statements for both are made of.
//!
//! A statement is written once, in what both read: a parameter is `$1`, a whole number has 64 bits, a
//! truth value is 0 or 1, and a list is one text, a JSON array that `json_each` opens. PostgreSQL has
//! `json_each` and `json_quote` of text from its first migration.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyPool, Row as _};

/// A row of either.
pub(super) type DbRow = AnyRow;
/// A transaction of either.
pub(super) type Tx = sqlx::Transaction<'static, sqlx::Any>;

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// Begins a transaction that writes. They go one after the other, so that the numbers of the log of
    /// changes come in their order.
    pub(super) fn write(self) -> &'static str {
        match self {
            // One that begins by reading and then writes could fail where waiting would do.
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN; LOCK TABLE state IN SHARE ROW EXCLUSIVE MODE",
        }
    }

    /// Begins one that reads one state of the database.
    pub(super) fn snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }
}

/// Connections to a database.
pub(super) struct Pools {
    pub(super) searches: AnyPool,
    /// Of those who follow and report: searches, however many, do not keep them waiting.
    pub(super) upkeep: AnyPool,
    /// One connection of who follows the changes: whoever counts or embeds does not keep it waiting.
    pub(super) following: AnyPool,
    pub(super) writer: AnyPool,
}

/// Binds a number, or null.
///
/// The Any driver of sqlx 0.9.0 gives a null of f64 the type of f32 and the other way round
/// (`AnyArguments::convert_into`). PostgreSQL types a prepared statement by its first values, and
/// would then refuse every number in the place of that null.
pub(super) fn bind_real(
    query: Query<'_, Any, AnyArguments>,
    value: Option<f64>,
) -> Query<'_, Any, AnyArguments> {
    match value {
        Some(value) => query.bind(value),
        None => query.bind(None::<f32>),
    }
}

/// A stored value that this version would not have written.
pub(super) fn undecodable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// A whole number.
pub(super) fn number<T>(row: &DbRow, column: &str) -> Result<T, sqlx::Error>
where
    T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
{
    T::try_from(row.try_get::<i64, _>(column)?).map_err(undecodable)
}

/// A whole number, or null.
pub(super) fn some_number<T>(row: &DbRow, column: &str) -> Result<Option<T>, sqlx::Error>
where
    T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
{
    let given: Option<i64> = row.try_get(column)?;
    given.map(T::try_from).transpose().map_err(undecodable)
}

/// Whether it is not 0.
pub(super) fn flag(row: &DbRow, column: &str) -> Result<bool, sqlx::Error> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}
