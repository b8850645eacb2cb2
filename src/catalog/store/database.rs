//! Opening the database: [`Catalog`], its connections, what its errors mean.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use sqlx::Sqlite;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlSafeStr};

use crate::catalog::error::CatalogError;
use crate::catalog::media::hosts::PictureHosts;
use crate::catalog::media::read::PictureFiles;
use crate::catalog::media::readers::Readers;
use crate::catalog::media::upload::UPLOADS;
use crate::util::blocking::blocking;
use crate::util::budget::Budget;
use crate::util::owner::leave_to_folder;

/// The files of `migrations/`: (version, name, text). Written out, because sqlx's macro that reads the
/// folder would compile sqlx and SQLite a second time, for the compiler's own use.
const MIGRATION_FILES: [(i64, &str, &str); 8] = [
    (
        1,
        "catalog",
        include_str!("../../../migrations/0001_catalog.sql"),
    ),
    (
        2,
        "pictures and captions",
        include_str!("../../../migrations/0002_pictures_and_captions.sql"),
    ),
    (
        3,
        "unneeded embeddings",
        include_str!("../../../migrations/0003_unneeded.sql"),
    ),
    (
        4,
        "prices and dates",
        include_str!("../../../migrations/0004_prices_and_dates.sql"),
    ),
    (
        5,
        "a log of changes",
        include_str!("../../../migrations/0005_changes.sql"),
    ),
    (
        6,
        "pictures and work",
        include_str!("../../../migrations/0006_pictures.sql"),
    ),
    (
        7,
        "keys of the API",
        include_str!("../../../migrations/0007_api_keys.sql"),
    ),
    (
        8,
        "which model answers",
        include_str!("../../../migrations/0008_models.sql"),
    ),
];

pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let migrations = MIGRATION_FILES.map(|(version, name, text)| {
        let kind = MigrationType::Simple;
        Migration::new(version, name.into(), kind, text.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.into())
});

/// SQLite's code when the file beside the write-ahead log cannot be made larger: the first thing that
/// an opened database needs room for.
const IOERR_SHMSIZE: i32 = 4874;
/// Where a restore puts what is not whole yet, below the data folder.
pub(in crate::catalog) const RESTORING: &str = "restoring";
pub(in crate::catalog) const FILE: &str = "catalog.sqlite";
const WAIT_METRIC: &str = "aglet_store_wait_seconds";
const READERS: u32 = 4;
/// Connections of those who follow and report: searches, however many, do not keep them waiting.
const UPKEEP: u32 = 3;
/// Bytes of pictures that are held whole for clients at a time.
const PICTURES: u64 = 256 << 20;

/// A cheap, clonable handle on the database and the pictures.
#[derive(Clone)]
pub struct Catalog {
    pub(in crate::catalog) inner: Arc<Inner>,
}

/// Device and inode: another file in the same place has another one.
type FileName = (u64, u64);

pub(in crate::catalog) struct Inner {
    /// The data folder, absolute.
    pub(super) data: PathBuf,
    /// Which file the database is.
    file: Option<FileName>,
    pub(super) searches: sqlx::SqlitePool,
    pub(super) upkeep: sqlx::SqlitePool,
    /// One connection of who follows the changes: whoever counts or embeds does not keep it waiting.
    pub(super) following: sqlx::SqlitePool,
    /// One connection: writers wait here instead of in SQLite's busy loop.
    pub(super) writer: sqlx::SqlitePool,
    pub(in crate::catalog) photos: PictureFiles,
    pub(in crate::catalog) readers: Readers,
    /// Bytes of pictures that are held whole for clients.
    pub(super) pictures: Budget,
    /// How long searches wait for a connection.
    wait: metrics::Histogram,
}

impl Catalog {
    /// Opens the database in the data folder, creating folder and database and bringing the schema
    /// up to date.
    ///
    /// # Errors
    /// When the folder cannot be made, or the database is damaged, of a newer version, or not to be
    /// opened.
    pub async fn open(data: &Path) -> Result<Self, CatalogError> {
        open(data, PictureHosts::default()).await
    }

    /// The same; pictures are also fetched from `hosts`.
    ///
    /// # Errors
    /// As [`Catalog::open`].
    pub async fn open_with(data: &Path, hosts: PictureHosts) -> Result<Self, CatalogError> {
        open(data, hosts).await
    }

    /// The data folder, absolute.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.inner.data
    }

    /// Whether the database is still the file that was opened: a folder that was removed, or replaced by
    /// a copy, leaves this one open and without a name. Blocking.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn in_place(&self) -> Result<bool, CatalogError> {
        let now = file_name(&self.path()).map_err(|e| CatalogError::io(&self.path(), e))?;
        Ok(now == self.inner.file)
    }

    /// Ends all connections; the write-ahead log is folded into the database by the last one.
    pub async fn close(&self) {
        self.inner.searches.close().await;
        self.inner.upkeep.close().await;
        self.inner.following.close().await;
        self.inner.writer.close().await;
    }
}

async fn open(data: &Path, hosts: PictureHosts) -> Result<Catalog, CatalogError> {
    let io = |source| CatalogError::io(data, source);
    std::fs::create_dir_all(data).map_err(io)?;
    let data = data.canonicalize().map_err(io)?;
    let path = data.join(FILE);
    is_there(&data)?;
    let io = |source| CatalogError::io(&path, source);
    make(&path).map_err(io)?;
    let file = file_name(&path).map_err(io)?;

    // FULL: an import that reports a batch as done has it on the disk, also when the power fails. A
    // commit holds some hundred rows, so that its fsync costs nothing beside them.
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10))
        .log_slow_statements(tracing::log::LevelFilter::Off, Duration::ZERO);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None);
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(None)
        .max_lifetime(None);
    let upkeep = SqlitePoolOptions::new()
        .max_connections(UPKEEP)
        .idle_timeout(None)
        .max_lifetime(None);
    metrics::describe_histogram!(
        WAIT_METRIC,
        metrics::Unit::Seconds,
        "What searches and readers of products wait for a connection to the database"
    );
    let read_only = options.clone().pragma("query_only", "ON");
    let catalog = Catalog {
        inner: Arc::new(Inner {
            upkeep: upkeep.connect_lazy_with(read_only.clone()),
            following: writer.clone().connect_lazy_with(read_only.clone()),
            writer: writer.connect_lazy_with(options.clone()),
            searches: readers.connect_lazy_with(read_only),
            photos: PictureFiles::new(hosts),
            readers: Readers::default(),
            pictures: Budget::new(PICTURES),
            wait: metrics::histogram!(WAIT_METRIC),
            data,
            file,
        }),
    };
    migrate(&catalog).await?;
    Ok(catalog)
}

/// Which file it is; `None` when there is none.
fn file_name(path: &Path) -> std::io::Result<Option<FileName>> {
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

/// Brings the schema up to date; two processes that start together do so one after the other.
async fn migrate(catalog: &Catalog) -> Result<(), CatalogError> {
    let lock = catalog.data().join("migrate.lock");
    let io = |source| CatalogError::io(&lock, source);
    let file = open_lock(&lock).map_err(io)?;
    let _held = blocking(move || file.lock().map(|()| file))
        .await?
        .map_err(io)?;

    let path = catalog.path();
    let known = MIGRATIONS
        .iter()
        .map(|m| m.version)
        .max()
        .unwrap_or_default();
    MIGRATIONS
        .run(&catalog.inner.writer)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMissing(found) if found > known => {
                CatalogError::Newer { path, found, known }
            }
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                catalog.error(error)
            }
            other => CatalogError::Corrupt {
                path,
                reason: other.to_string(),
            },
        })
}

/// What SQLite's result codes mean to whoever runs the shop.
pub(super) fn database_error(error: sqlx::Error, path: &Path) -> CatalogError {
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

impl Catalog {
    pub(super) fn path(&self) -> PathBuf {
        self.inner.data.join(FILE)
    }

    /// See [`database_error`].
    pub(super) fn error(&self, error: sqlx::Error) -> CatalogError {
        database_error(error, &self.path())
    }

    /// One of the connections for searches, when one is free.
    pub(super) async fn reader(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        let asked = Instant::now();
        let connection = self.inner.searches.acquire().await;
        self.inner.wait.record(asked.elapsed());
        connection
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::error::Error;

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    /// What SQLite says on a disk that is full before anything was written.
    #[derive(Debug, thiserror::Error)]
    #[error("disk I/O error")]
    struct Said;

    impl DatabaseError for Said {
        fn message(&self) -> &'static str {
            "disk I/O error"
        }
        fn code(&self) -> Option<Cow<'_, str>> {
            Some("4874".into())
        }
        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    #[tokio::test]
    async fn a_disk_that_is_full_at_the_start_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = Catalog::open(folder.path()).await.expect("opens");
        let error = catalog.error(sqlx::Error::Database(Box::new(Said)));
        assert!(
            error.to_string().starts_with("no space is left for"),
            "{error}"
        );
    }
}
