//! A database in a file of the data folder, by SQLite.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

use super::db::Pools;
use super::schema::{self, migrate};
use crate::catalog::error::CatalogError;
use crate::catalog::media::upload::UPLOADS;
use crate::util::blocking::blocking;
use crate::util::owner::leave_to_folder;

/// SQLite's code when the file beside the write-ahead log cannot be made larger: the first thing that
/// an opened database needs room for.
const IOERR_SHMSIZE: i32 = 4874;
/// Where a restore puts what is not whole yet, below the data folder.
pub(in crate::catalog) const RESTORING: &str = "restoring";
pub(in crate::catalog) const FILE: &str = "catalog.sqlite";
/// Of every connection. Nothing here touches the file: a pool would try for long what fails.
const WRITES: &str = "PRAGMA busy_timeout = 10000";
const READS: &str = "PRAGMA busy_timeout = 10000; PRAGMA query_only = ON";
/// Of the file. What a commit says is on the disk also when the power fails: that is SQLite's default.
const FILE_MODE: &str = "PRAGMA journal_mode = WAL";
const READERS: u32 = 4;
/// Connections of those who follow and report: searches, however many, do not keep them waiting.
const UPKEEP: u32 = 3;

/// Device and inode: another file in the same place has another one.
pub(super) type FileName = (u64, u64);

/// The database of a data folder: its file, made where there is none, and connections to it.
pub(super) async fn open(data: &Path) -> Result<(Pools, Option<FileName>), CatalogError> {
    let path = data.join(FILE);
    is_there(data)?;
    let io = |source| CatalogError::io(&path, source);
    make(&path).map_err(io)?;
    let file = file_name(&path).map_err(io)?;
    let url = SqliteConnectOptions::new().filename(&path).to_url_lossy();
    let options = AnyConnectOptions::from_url(&url)
        .map_err(|error| meaning(error, &path))?
        .disable_statement_logging();
    let mut first = options.connect().await.map_err(|e| meaning(e, &path))?;
    let opened = first.execute(FILE_MODE).await;
    opened.map_err(|e| meaning(e, &path))?;
    let pool = |most: u32, pragmas: &'static str| {
        AnyPoolOptions::new()
            .max_connections(most)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                Box::pin(async move { connection.execute(pragmas).await.map(|_| ()) })
            })
            .connect_lazy_with(options.clone())
    };
    let pools = Pools {
        searches: pool(READERS, READS),
        upkeep: pool(UPKEEP, READS),
        following: pool(1, READS),
        // Writers wait here instead of in SQLite's busy loop.
        writer: pool(1, WRITES),
    };
    bring_up_to_date(data, &pools).await?;
    let closed = sqlx::Connection::close(first).await;
    closed.map_err(|e| meaning(e, &path))?;
    Ok((pools, file))
}

/// Brings the schema up to date; two processes that start together do so one after the other.
async fn bring_up_to_date(data: &Path, pools: &Pools) -> Result<(), CatalogError> {
    let lock = data.join("migrate.lock");
    let io = |source| CatalogError::io(&lock, source);
    let file = open_lock(&lock).map_err(io)?;
    let _held = blocking(move || file.lock().map(|()| file))
        .await?
        .map_err(io)?;
    let path = data.join(FILE);
    let error = |error| meaning(error, &path);
    migrate(&schema::SQLITE, &pools.writer, &path, error).await
}

/// Which file it is; `None` when there is none.
pub(super) fn file_name(path: &Path) -> std::io::Result<Option<FileName>> {
    match path.metadata() {
        Ok(file) => Ok(Some((file.dev(), file.ino()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a data folder has a database.
///
/// # Errors
/// [`CatalogError::NoDatabase`] when it has none, and something that belongs to one.
pub(super) fn is_there(data: &Path) -> Result<bool, CatalogError> {
    if data.join(FILE).metadata().is_ok_and(|file| file.len() > 0) {
        return Ok(true);
    }
    let holds = |folder: &&str| {
        let entries = data.join(folder).read_dir();
        entries.is_ok_and(|mut entries| entries.next().is_some())
    };
    match [RESTORING, "index", UPLOADS].into_iter().find(holds) {
        None => Ok(false),
        Some(what) => Err(CatalogError::NoDatabase {
            folder: data.to_owned(),
            what,
        }),
    }
}

/// Opens a lock file, making it where there is none.
pub(super) fn open_lock(path: &Path) -> std::io::Result<File> {
    let file = File::options()
        .create(true)
        .read(true)
        .append(true)
        .open(path)?;
    leave_to_folder(path)?;
    Ok(file)
}

/// Makes an empty database where there is none. By its path alone: whoever opens and closes the file
/// beside SQLite takes away the locks that the same process has on it.
fn make(path: &Path) -> std::io::Result<()> {
    match File::create_new(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The files beside it SQLite gives to its owner.
    leave_to_folder(path)
}

/// What SQLite's result codes mean to whoever runs the shop.
pub(super) fn meaning(error: sqlx::Error, path: &Path) -> CatalogError {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .and_then(|c| c.parse::<i32>().ok());
    if code == Some(IOERR_SHMSIZE) {
        return CatalogError::Full {
            path: path.to_owned(),
        };
    }
    // The low byte is the primary result code (https://www.sqlite.org/rescode.html).
    match code.map(|c| c & 0xff) {
        Some(11 | 26) => CatalogError::Corrupt {
            path: path.to_owned(),
            reason: error.to_string(),
        },
        Some(13) => CatalogError::Full {
            path: path.to_owned(),
        },
        Some(5 | 6) => CatalogError::Busy(error),
        _ if matches!(
            error,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)
        ) =>
        {
            CatalogError::Corrupt {
                path: path.to_owned(),
                reason: error.to_string(),
            }
        }
        _ => CatalogError::Database(error),
    }
}
