//! Who alone may do something to a catalog: by a lock on a file of the data folder, or one that the
//! server of PostgreSQL has for as long as a connection. Either ends with its process.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::database::Catalog;
use super::sqlite::open_lock;
use crate::catalog::error::CatalogError;
use crate::util::blocking::blocking;

const TRIES: u32 = 8;
const MOMENT: Duration = Duration::from_millis(40);

/// What one alone does at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Duty {
    /// Brings in a catalog, or deletes what nobody needs.
    Writing,
    /// Embeds. With PostgreSQL many do, each what it has taken.
    Embedding,
}

/// A lock; given back when dropped.
#[expect(dead_code, reason = "they are held, and that is all")]
pub(in crate::catalog) enum Held {
    File(File),
    Session(Box<PgConnection>),
}

impl Duty {
    fn file(self) -> &'static str {
        match self {
            Self::Writing => "writer.lock",
            Self::Embedding => "embed.lock",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Writing => "changes the catalog",
            Self::Embedding => "embeds",
        }
    }

    /// Among the advisory locks of a database of PostgreSQL.
    fn number(self) -> i64 {
        match self {
            Self::Writing => 0x0061_676c_6574_0001,
            Self::Embedding => 0x0061_676c_6574_0002,
        }
    }
}

/// # Errors
/// [`CatalogError::Locked`] when somebody else has it.
pub(super) async fn take(catalog: &Catalog, duty: Duty) -> Result<Held, CatalogError> {
    let Some(server) = &catalog.inner.server else {
        let catalog = catalog.clone();
        return blocking(move || locked(&catalog, duty).map(Held::File)).await?;
    };
    let error = |e| catalog.error(e);
    let mut session = server.session().await.map_err(error)?;
    // The server sees a moment later that a connection has ended, and its lock with it.
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(MOMENT).await;
        }
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(duty.number())
            .fetch_one(&mut session)
            .await
            .map_err(error)?;
        if taken {
            return Ok(Held::Session(Box::new(session)));
        }
    }
    Err(CatalogError::Locked {
        folder: server.shown.clone(),
        holder: None,
    })
}

/// The same; waits until whoever has it is through.
pub(super) async fn wait(catalog: &Catalog, duty: Duty) -> Result<Held, CatalogError> {
    match take(catalog, duty).await {
        Err(CatalogError::Locked { holder, .. }) => {
            let who = holder.map_or_else(
                || "another process".to_owned(),
                |pid| format!("process {pid}"),
            );
            tracing::warn!("{who} {}: waiting until it is done", duty.what());
        }
        lock => return lock,
    }
    if let Some(server) = &catalog.inner.server {
        let error = |e| catalog.error(e);
        let mut session = server.session().await.map_err(error)?;
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(duty.number())
            .execute(&mut session)
            .await
            .map_err(error)?;
        return Ok(Held::Session(Box::new(session)));
    }
    let path = catalog.data().join(duty.file());
    let io = |source| CatalogError::io(&path, source);
    let mut file = open_lock(&path).map_err(io)?;
    let held = blocking(move || {
        file.lock()?;
        sign(&mut file)?;
        Ok(file)
    });
    held.await?.map_err(io).map(Held::File)
}

fn locked(catalog: &Catalog, duty: Duty) -> Result<File, CatalogError> {
    let path = catalog.data().join(duty.file());
    let io = |source| CatalogError::io(&path, source);
    let mut file = open_lock(&path).map_err(io)?;
    let mut tried = file.try_lock();
    // An embedding that begins looks at the lock for an instant.
    for _ in 0..TRIES {
        if !matches!(tried, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(MOMENT);
        tried = file.try_lock();
    }
    match tried {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let folder = catalog.data().to_owned();
            return Err(CatalogError::Locked {
                folder,
                holder: holder.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    sign(&mut file).map_err(io)?;
    Ok(file)
}

/// Writes down whose lock it is. Only for messages: the lock itself is the system's and ends with the
/// process.
fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}
