//! Connections for statements about vectors, and what is known of each set.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Executor as _};

use crate::domain::ModelId;

/// Searches that ask at a time.
pub(in crate::catalog) const ASKING: u32 = 12;
const FILLING: u32 = 2;
/// How long a search waits for a connection: a server that is away is said to be, soon.
const PATIENCE: Duration = Duration::from_secs(2);
/// A connection that was idle for as long is tried before it is used.
const IDLE: Duration = Duration::from_secs(1);
/// Connections beyond the first that nobody has used for as long are ended.
const UNUSED: Duration = Duration::from_mins(1);
/// The table's own order is worth nothing to a search: it goes by an index where one can serve. The scan
/// of the HNSW index goes on until enough was found, and no further than so many vectors. What comes after
/// the first `ef_search` is not all in the order of the distance: whoever asks compares it again.
const ASKS: &str = "SET application_name = 'aglet vectors'; SET default_transaction_read_only = on; \
                    SET statement_timeout = '10s'; SET client_min_messages = 'error'; SET jit = off; \
                    SET enable_seqscan = off; SET hnsw.ef_search = 200; \
                    SET hnsw.iterative_scan = relaxed_order; SET hnsw.max_scan_tuples = 20000; \
                    SET hnsw.scan_mem_multiplier = 4";
/// An index over many vectors is built for as long as it takes.
const FILLS: &str = "SET application_name = 'aglet vectors'; SET default_transaction_read_only = off; \
                     SET statement_timeout = 0; SET client_min_messages = 'error'; SET jit = off";

/// What is known of a set.
#[derive(Debug)]
pub(super) struct State {
    /// The table is `vectors_<place>`.
    pub place: i64,
    pub revision: u64,
    /// How many there are.
    pub vectors: u64,
    /// The mean of all.
    pub mean: Vec<f32>,
}

/// What is known of the sets.
type States = HashMap<(ModelId, u8), Arc<ArcSwapOption<State>>>;

/// The server as whoever keeps vectors there sees it.
pub(in crate::catalog::store) struct VectorServer {
    pub(super) asking: PgPool,
    pub(super) filling: PgPool,
    states: Mutex<States>,
}

impl VectorServer {
    pub fn new(options: &PgConnectOptions) -> Self {
        let pool = |most: u32, settings: &'static str| {
            PgPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(PATIENCE)
                .idle_timeout(UNUSED)
                .test_before_acquire(false)
                .before_acquire(|connection, of| {
                    Box::pin(async move {
                        if of.idle_for > IDLE {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                })
                .after_connect(move |connection, _| {
                    Box::pin(async move { connection.execute(settings).await.map(|_| ()) })
                })
                .connect_lazy_with(options.clone())
        };
        Self {
            asking: pool(ASKING, ASKS),
            filling: pool(FILLING, FILLS),
            states: Mutex::default(),
        }
    }

    pub(super) fn state(&self, model: &ModelId, words: u8) -> Arc<ArcSwapOption<State>> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.entry((model.clone(), words)).or_default();
        Arc::clone(state)
    }

    pub async fn close(&self) {
        self.asking.close().await;
        self.filling.close().await;
    }
}
