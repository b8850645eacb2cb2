//! Opening the database: [`Catalog`], its connections, what its errors mean.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde::{Deserialize, Serialize, Serializer};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Any, AnyPool};

use super::db::{Kind, Pools, Tx};
use super::postgres::{self, Server};
use super::sqlite::{self, FILE, FileName};
use super::vectors::server::VectorServer;
use crate::catalog::error::CatalogError;
use crate::catalog::media::hosts::PictureHosts;
use crate::catalog::media::kept::{Kept, PictureOptions};
use crate::catalog::media::read::PictureFiles;
use crate::catalog::media::readers::Readers;
use crate::util::budget::Budget;

const WAIT_METRIC: &str = "aglet_store_wait_seconds";
/// Bytes of pictures that are held whole for clients at a time.
const PICTURES: u64 = 256 << 20;

/// Where the database of a catalog is.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Database {
    /// A file in the data folder, by SQLite.
    #[default]
    Folder,
    /// A server of PostgreSQL, by its address: `postgres://user:password@host:5432/name`.
    Server(String),
}

impl FromStr for Database {
    type Err = String;

    /// Empty: a file in the data folder.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Folder);
        }
        let schemes = ["postgres://", "postgresql://"];
        if !schemes.iter().any(|scheme| text.starts_with(scheme)) {
            let expected =
                "postgres://user:password@host/name, or nothing for a file in the data folder";
            return Err(format!("it is not {expected}"));
        }
        let options: Result<PgConnectOptions, _> = text.parse();
        options.map_err(|error| error.to_string())?;
        Ok(Self::Server(text.to_owned()))
    }
}

impl TryFrom<String> for Database {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Serialize for Database {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Without the password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => f.write_str(""),
            Self::Server(address) => f.write_str(&postgres::shown(address)),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// A cheap, clonable handle on the database and the pictures.
#[derive(Clone)]
pub struct Catalog {
    pub(in crate::catalog) inner: Arc<Inner>,
}

pub(in crate::catalog) struct Inner {
    /// The data folder, absolute.
    pub(super) data: PathBuf,
    /// Which file the database is, where it is one.
    file: Option<FileName>,
    /// Where it is not.
    pub(super) server: Option<Server>,
    pub(super) searches: AnyPool,
    pub(super) upkeep: AnyPool,
    pub(super) following: AnyPool,
    pub(super) writer: AnyPool,
    /// Where the vectors of indexes are there, too.
    pub(super) vectors: OnceLock<Arc<VectorServer>>,
    pub(in crate::catalog) photos: PictureFiles,
    pub(in crate::catalog) readers: Readers,
    /// Where pictures are kept.
    pub(in crate::catalog) kept: Kept,
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
        open(data, &Database::Folder, PictureHosts::default().into()).await
    }

    /// The same of a database wherever it is. `pictures`: where they are fetched from, or all that has
    /// to be known of them. Whoever uses those that are kept calls [`Catalog::check_pictures`] first.
    ///
    /// # Errors
    /// As [`Catalog::open`], and when a server cannot be reached.
    pub async fn open_with(
        data: &Path,
        database: &Database,
        pictures: impl Into<PictureOptions>,
    ) -> Result<Self, CatalogError> {
        open(data, database, pictures.into()).await
    }

    /// Whether the pictures that are kept can be reached.
    ///
    /// # Errors
    /// [`CatalogError::PicturesAway`], which says what is wrong.
    pub async fn check_pictures(&self) -> Result<(), CatalogError> {
        self.inner.kept.check().await
    }

    /// The data folder, absolute.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.inner.data
    }

    /// Whether it is on a server, where other services may use it too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.inner.server.is_some()
    }

    /// Whether the database is still the file that was opened: a folder that was removed, or replaced by
    /// a copy, leaves this one open and without a name. Blocking.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn in_place(&self) -> Result<bool, CatalogError> {
        if self.inner.server.is_some() {
            return Ok(true);
        }
        let now = sqlite::file_name(&self.path()).map_err(|e| CatalogError::io(&self.path(), e))?;
        Ok(now == self.inner.file)
    }

    /// Ends all connections; the write-ahead log is folded into the database by the last one.
    pub async fn close(&self) {
        self.inner.searches.close().await;
        self.inner.upkeep.close().await;
        self.inner.following.close().await;
        self.inner.writer.close().await;
        if let Some(vectors) = self.inner.vectors.get() {
            vectors.close().await;
        }
    }
}

async fn open(
    data: &Path,
    database: &Database,
    pictures: PictureOptions,
) -> Result<Catalog, CatalogError> {
    sqlx::any::install_default_drivers();
    let io = |source| CatalogError::io(data, source);
    std::fs::create_dir_all(data).map_err(io)?;
    let data = data.canonicalize().map_err(io)?;
    let readers = Readers::default();
    let kept = Kept::open(&data, &pictures, readers.clone())?;
    let (pools, file, server) = match database {
        Database::Folder => {
            let (pools, file) = sqlite::open(&data).await?;
            (pools, file, None)
        }
        Database::Server(address) => {
            let (server, pools) = Server::open(address).await?;
            (pools, None, Some(server))
        }
    };
    metrics::describe_histogram!(
        WAIT_METRIC,
        metrics::Unit::Seconds,
        "What searches and readers of products wait for a connection to the database"
    );
    let Pools {
        searches,
        upkeep,
        following,
        writer,
    } = pools;
    Ok(Catalog {
        inner: Arc::new(Inner {
            searches,
            upkeep,
            following,
            writer,
            vectors: OnceLock::new(),
            photos: PictureFiles::new(pictures.hosts),
            readers,
            kept,
            pictures: Budget::new(PICTURES),
            wait: metrics::histogram!(WAIT_METRIC),
            data,
            file,
            server,
        }),
    })
}

impl Catalog {
    pub(super) fn path(&self) -> PathBuf {
        match &self.inner.server {
            Some(server) => server.shown.clone(),
            None => self.inner.data.join(FILE),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match &self.inner.server {
            Some(_) => Kind::Postgres,
            None => Kind::Sqlite,
        }
    }

    /// What an error of the database means to whoever runs the shop.
    pub(super) fn error(&self, error: sqlx::Error) -> CatalogError {
        match &self.inner.server {
            Some(server) => postgres::meaning(error, &server.shown),
            None => sqlite::meaning(error, &self.path()),
        }
    }

    /// Waits until somebody says that the catalog changed; nobody does of one in a folder, which is
    /// looked at every so often.
    pub async fn told(&self) {
        match &self.inner.server {
            Some(server) => server.told().await,
            None => std::future::pending().await,
        }
    }

    /// A transaction that reads one state of the database.
    pub(super) async fn snapshot(&self, from: &AnyPool) -> Result<Tx, sqlx::Error> {
        from.begin_with(self.kind().snapshot()).await
    }

    /// One of the connections for searches, when one is free.
    pub(super) async fn reader(&self) -> Result<PoolConnection<Any>, sqlx::Error> {
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
