//! A database on a server, by PostgreSQL: any number of services share it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener};
use sqlx::{AnyPool, ConnectOptions as _, Executor as _};
use tokio::sync::Mutex;

use super::db::Pools;
use super::schema::{self, migrate};
use crate::catalog::error::CatalogError;

/// What is said when the catalog changed.
pub(super) const CHANNEL: &str = "aglet";
const READERS: u32 = 8;
const UPKEEP: u32 = 4;
const WRITERS: u32 = 2;
/// How long whoever asks waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before another try to listen.
const AGAIN: Duration = Duration::from_secs(2);
/// As the server's own lists of connections have it.
const NAME: &str = "aglet";
/// What takes longer than any statement of ours was forgotten. Whether it may be written to is the
/// server's to say (`default_transaction_read_only`): so a failover keeps the former one from it.
const WRITES: &str = "SET application_name = 'aglet'; SET statement_timeout = '300s'; \
                      SET idle_in_transaction_session_timeout = '300s'; \
                      SET client_min_messages = 'error'";
const READS: &str = "SET application_name = 'aglet'; SET default_transaction_read_only = on; SET statement_timeout = '60s'; \
                     SET idle_in_transaction_session_timeout = '600s'; \
                     SET client_min_messages = 'error'";

/// A server, by its address.
pub(super) struct Server {
    options: PgConnectOptions,
    /// As it is shown: without the password.
    pub(super) shown: PathBuf,
    listener: Mutex<Option<PgListener>>,
}

impl Server {
    /// # Errors
    /// When the address is none, or the server cannot be reached.
    pub(super) async fn open(address: &str) -> Result<(Self, Pools), CatalogError> {
        let shown = PathBuf::from(shown(address));
        let error = |error| meaning(error, &shown);
        let options: PgConnectOptions = address.parse().map_err(error)?;
        let options = options.application_name(NAME).disable_statement_logging();
        // Of the address itself: what is made of it loses some of its parameters.
        let any: AnyConnectOptions = address.parse().map_err(error)?;
        // Asking whether a statement would be logged makes a filter of tracing forget the next line.
        let any = any.disable_statement_logging();
        let options_of = |most: u32, settings: &'static str| {
            AnyPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(PATIENCE)
                .after_connect(move |connection, _| {
                    Box::pin(async move { connection.execute(settings).await.map(|_| ()) })
                })
        };
        let pool = |most: u32, settings: &'static str| -> AnyPool {
            options_of(most, settings).connect_lazy_with(any.clone())
        };
        // A connection that could only read when it was made would stay so: another is made in its
        // place, perhaps to another server.
        let writer = options_of(WRITERS, WRITES).before_acquire(|connection, _| {
            Box::pin(async move {
                let only_read = sqlx::query_scalar("SHOW transaction_read_only");
                let only_read: String = only_read.fetch_one(connection).await?;
                Ok(only_read == "off")
            })
        });
        let pools = Pools {
            searches: pool(READERS, READS),
            upkeep: pool(UPKEEP, READS),
            following: pool(1, READS),
            writer: writer.connect_lazy_with(any.clone()),
        };
        migrate(&schema::POSTGRES, &pools.writer, &shown, error).await?;
        let server = Self {
            options,
            shown,
            listener: Mutex::default(),
        };
        Ok((server, pools))
    }

    /// Waits until somebody says that the catalog changed, or somebody may have.
    pub(super) async fn told(&self) {
        let mut listener = self.listener.lock().await;
        loop {
            if let Some(here) = listener.as_mut() {
                // Of several changes one word is enough. A connection that was lost is made again by
                // itself, and what was said meanwhile is not known.
                if here.try_recv().await.is_ok() {
                    return;
                }
                *listener = None;
            } else if let Ok(connected) = self.listen().await {
                *listener = Some(connected);
                return;
            }
            // The pools say what is wrong with the server.
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }

    /// How it is connected to.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// A connection of its own, for what is held as long as that.
    pub(super) async fn session(&self) -> Result<PgConnection, sqlx::Error> {
        self.options.connect().await
    }
}

/// An address without its password.
pub(super) fn shown(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return "postgres".to_owned();
    };
    let rest = rest.split('?').next().unwrap_or_default();
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let user = rest
        .rsplit_once('@')
        .and_then(|(user, _)| user.split(':').next());
    match user {
        Some(user) => format!("{scheme}://{user}@{place}"),
        None => format!("{scheme}://{place}"),
    }
}

/// What the server's error codes mean to whoever runs the shop
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
pub(super) fn meaning(error: sqlx::Error, server: &Path) -> CatalogError {
    let away = |source| CatalogError::Away {
        server: server.to_owned(),
        source,
    };
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .map(std::borrow::Cow::into_owned);
    // A connection that does not come about, or ends.
    let gone = matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    );
    match (code.as_deref(), &error) {
        (Some("53100"), _) => CatalogError::Full {
            path: server.to_owned(),
        },
        // A deadlock, a statement that took too long, a lock that was not given.
        (Some("40001" | "40P01" | "55P03" | "57014"), _) => CatalogError::Busy(error),
        // It has no connection left, or can only be read: it is a standby.
        (Some("53300" | "25006"), _) => away(error),
        // It stops or starts.
        (Some(code), _) if code.starts_with("08") || code.starts_with("57P") => away(error),
        (None, _) if gone => away(error),
        (None, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
            CatalogError::Corrupt {
                path: server.to_owned(),
                reason: error.to_string(),
            }
        }
        _ => CatalogError::Database(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (address, as_shown) in [
            (
                "postgres://aglet:s3cr:et@db.example:5432/shop?sslmode=require",
                "postgres://aglet@db.example:5432/shop",
            ),
            ("postgres://db/shop?password=s3cret", "postgres://db/shop"),
            ("s3cret", "postgres"),
        ] {
            assert_eq!(shown(address), as_shown);
        }
    }
}
