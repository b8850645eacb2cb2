//! A catalog copied from one database to another, of either kind, row by row.

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row as _};

use super::database::Catalog;
use super::db::{DbRow, Kind, Tx, bind_real};
use super::write::Writer;
use crate::catalog::error::CatalogError;

/// Rows that are read and written at a time.
const PAGE: i64 = 256;

#[derive(Clone, Copy)]
enum Column {
    Number(&'static str),
    Real(&'static str),
    Text(&'static str),
    Bytes(&'static str),
}

/// A table: its columns, the first `order` of which say which row is which.
struct Table {
    name: &'static str,
    order: usize,
    columns: &'static [Column],
}

use Column::{Bytes, Number, Real, Text};

/// In the order in which they refer to each other.
const TABLES: [Table; 10] = [
    Table {
        name: "models",
        order: 1,
        columns: &[Number("key"), Text("id"), Number("used")],
    },
    Table {
        name: "feeds",
        order: 1,
        columns: &[
            Number("key"),
            Text("address"),
            Text("etag"),
            Text("last_modified"),
            Text("settings"),
            Number("products"),
            Number("taken"),
            Number("tried"),
            Text("error"),
        ],
    },
    Table {
        name: "products",
        order: 1,
        columns: &[
            Number("key"),
            Text("id"),
            Text("title"),
            Text("description"),
            Real("price"),
            Real("sale_price"),
            Text("currency"),
            Number("created"),
            Text("url"),
            Text("attributes"),
            Bytes("caption_hash"),
            Bytes("words_hash"),
            Number("version"),
            Number("feed"),
        ],
    },
    Table {
        name: "pictures",
        order: 2,
        columns: &[
            Number("product"),
            Number("number"),
            Text("file"),
            Text("member"),
            Text("address"),
            Text("root"),
            Text("stamp"),
            Bytes("hash"),
            Number("decoded"),
            Text("error"),
        ],
    },
    Table {
        name: "embeddings",
        order: 1,
        columns: &[
            Number("key"),
            Number("model"),
            Text("kind"),
            Bytes("hash"),
            Bytes("vector"),
        ],
    },
    Table {
        name: "failures",
        order: 3,
        columns: &[Number("model"), Text("kind"), Bytes("hash"), Text("reason")],
    },
    Table {
        name: "unneeded",
        order: 1,
        columns: &[Number("embedding"), Number("since")],
    },
    Table {
        name: "work",
        order: 1,
        columns: &[
            Number("key"),
            Number("model"),
            Number("product"),
            Number("number"),
            Number("lane"),
            Number("attempts"),
            Number("due"),
            Text("reason"),
        ],
    },
    Table {
        name: "changes",
        order: 2,
        columns: &[Number("seq"), Number("key"), Text("op")],
    },
    Table {
        name: "api_keys",
        order: 1,
        columns: &[
            Text("id"),
            Text("name"),
            Bytes("hash"),
            Text("scope"),
            Text("origins"),
            Number("created"),
            Number("expires"),
            Number("revoked"),
            Number("rate"),
            Number("burst"),
        ],
    },
];

/// But for the name of the database: an index that was saved beside one is of no use beside the other.
const STATE: Table = Table {
    name: "state",
    order: 1,
    columns: &[
        Number("one"),
        Number("revision"),
        Number("log_from"),
        Text("captions"),
    ],
};

const SERVING: Table = Table {
    name: "serving",
    order: 1,
    columns: &[
        Number("id"),
        Text("setting"),
        Text("model"),
        Number("words"),
        Text("previous_model"),
        Number("previous_words"),
        Text("wanted_model"),
        Number("wanted_words"),
        Number("wanted_checked"),
        Text("wanted_failed"),
    ],
};

/// Copies all of a catalog into an empty one: products, pictures' places, embeddings, the log of changes,
/// keys, what waits. Both may be in use meanwhile; what comes into the first one later is not in the
/// second. How many products that were.
///
/// # Errors
/// When the second one is not empty, or either fails: then nothing was copied.
pub async fn copy(from: &Catalog, to: &Catalog) -> Result<u64, CopyError> {
    let reading = |e| CopyError::From(from.error(e));
    let writing = |e| CopyError::To(to.error(e));
    let mut read = from.snapshot(&from.inner.upkeep).await.map_err(reading)?;
    // Held to the end: an import that began meanwhile would find what is not all there yet.
    let writer = Writer::lock(to).await.map_err(CopyError::To)?;
    let mut write = writer.begin().await.map_err(writing)?;
    for table in ["products", "embeddings", "api_keys"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut *write)
            .await
            .map_err(writing)?;
        if count > 0 {
            return Err(CopyError::NotEmpty);
        }
    }
    let mut products = 0;
    for table in &TABLES {
        let copied = copy_table(table, &mut read, &mut write).await;
        let copied = copied.map_err(|(read, e)| if read { reading(e) } else { writing(e) })?;
        if table.name == "products" {
            products = copied;
        }
    }
    for table in [&STATE, &SERVING] {
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT {} FROM {}",
            names(table.columns),
            table.name
        )))
        .fetch_one(&mut *read)
        .await
        .map_err(reading)?;
        let sets = table.columns.iter().enumerate().skip(1);
        let sets = sets.map(|(at, column)| format!("{} = ${}", column.name(), at + 1));
        let sql = format!(
            "UPDATE {} SET {} WHERE {} = $1",
            table.name,
            sets.collect::<Vec<_>>().join(", "),
            table.columns[0].name()
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (at, column) in table.columns.iter().enumerate() {
            query = column.bind(query, &row, at).map_err(reading)?;
        }
        query.execute(&mut *write).await.map_err(writing)?;
    }
    let last = last_key(from.kind(), &mut read).await.map_err(reading)?;
    go_on_after(to.kind(), last, &mut write)
        .await
        .map_err(writing)?;
    write.commit().await.map_err(writing)?;
    Ok(products)
}

/// Why a catalog was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("there is a catalog already in the database that was to be copied to")]
    NotEmpty,
    #[error("what is copied: {0}")]
    From(#[source] CatalogError),
    #[error("what is copied to: {0}")]
    To(#[source] CatalogError),
}

/// How many rows; with an error, whether it came of reading.
async fn copy_table(
    table: &Table,
    read: &mut Tx,
    write: &mut Tx,
) -> Result<u64, (bool, sqlx::Error)> {
    let order = &table.columns[..table.order];
    let (names, by) = (names(table.columns), self::names(order));
    let behind: Vec<String> = (1..=order.len()).map(|at| format!("${at}")).collect();
    let limit = order.len() + 1;
    let first = format!("SELECT {names} FROM {} ORDER BY {by} LIMIT $1", table.name);
    let next = format!(
        "SELECT {names} FROM {} WHERE ({by}) > ({}) ORDER BY {by} LIMIT ${limit}",
        table.name,
        behind.join(", ")
    );
    let (mut copied, mut last): (u64, Option<DbRow>) = (0, None);
    loop {
        let mut query = match &last {
            None => sqlx::query(AssertSqlSafe(first.clone())),
            Some(_) => sqlx::query(AssertSqlSafe(next.clone())),
        };
        if let Some(last) = &last {
            for (at, column) in order.iter().enumerate() {
                query = column.bind(query, last, at).map_err(|e| (true, e))?;
            }
        }
        let rows = query.bind(PAGE).fetch_all(&mut **read).await;
        let mut rows = rows.map_err(|e| (true, e))?;
        if rows.is_empty() {
            return Ok(copied);
        }
        let width = table.columns.len();
        let tuples = (0..rows.len()).map(|row| {
            let places = (1..=width).map(|at| format!("${}", row * width + at));
            format!("({})", places.collect::<Vec<_>>().join(", "))
        });
        let tuples = tuples.collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO {} ({names}) VALUES {tuples}", table.name);
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for row in &rows {
            for (at, column) in table.columns.iter().enumerate() {
                query = column.bind(query, row, at).map_err(|e| (true, e))?;
            }
        }
        let written = query.execute(&mut **write).await.map_err(|e| (false, e))?;
        copied += written.rows_affected();
        last = rows.pop();
    }
}

/// The last key that a product ever got.
async fn last_key(kind: Kind, read: &mut Tx) -> Result<i64, sqlx::Error> {
    let sql = match kind {
        Kind::Sqlite => "SELECT seq FROM sqlite_sequence WHERE name = 'products'",
        Kind::Postgres => "SELECT last_value FROM products_key_seq WHERE is_called",
    };
    let last: Option<i64> = sqlx::query_scalar(sql).fetch_optional(&mut **read).await?;
    Ok(last.unwrap_or_default())
}

/// What gets a key by itself gets one that was not given before.
async fn go_on_after(kind: Kind, last: i64, write: &mut Tx) -> Result<(), sqlx::Error> {
    if kind == Kind::Sqlite {
        let sql = "UPDATE sqlite_sequence SET seq = $1 WHERE name = 'products' AND seq < $1";
        let set = sqlx::query(sql).bind(last).execute(&mut **write).await?;
        if set.rows_affected() == 0 {
            let sql = "INSERT INTO sqlite_sequence (name, seq)
                       SELECT 'products', $1 WHERE NOT EXISTS (
                         SELECT 1 FROM sqlite_sequence WHERE name = 'products')";
            sqlx::query(sql).bind(last).execute(&mut **write).await?;
        }
        return Ok(());
    }
    for table in ["models", "products", "embeddings", "work"] {
        let sql = format!(
            "SELECT setval('{table}_key_seq', greatest($1, (SELECT coalesce(max(key), 0) FROM {table}), 1))"
        );
        let last = if table == "products" { last } else { 0 };
        let query = sqlx::query(AssertSqlSafe(sql)).bind(last);
        query.execute(&mut **write).await?;
    }
    Ok(())
}

fn names(columns: &[Column]) -> String {
    let names = columns.iter().map(|column| column.name());
    names.collect::<Vec<_>>().join(", ")
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Number(name) | Real(name) | Text(name) | Bytes(name) => name,
        }
    }

    /// Binds the value that a row has at this place.
    fn bind<'q>(
        self,
        query: Query<'q, Any, AnyArguments>,
        row: &DbRow,
        at: usize,
    ) -> Result<Query<'q, Any, AnyArguments>, sqlx::Error> {
        Ok(match self {
            Number(_) => query.bind(row.try_get::<Option<i64>, _>(at)?),
            Real(_) => bind_real(query, row.try_get(at)?),
            Text(_) => query.bind(row.try_get::<Option<String>, _>(at)?),
            Bytes(_) => query.bind(row.try_get::<Option<Vec<u8>>, _>(at)?),
        })
    }
}
