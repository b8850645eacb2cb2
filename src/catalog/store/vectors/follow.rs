//! The set becomes what the catalog says.
//!
//! Whichever service notices brings it up to date, step by step, each step a transaction under a lock of
//! the set: what one service that was killed has done stays done, and another goes on. A set is filled in
//! pages of products in the order of their keys; what changes meanwhile is in the log of changes and
//! comes after. When the index over it is built the set is whole, and takes the place of one that there
//! was before. From then on a step takes over what changed since the set's revision, of this the vectors
//! that are others: a price that changes costs a look at the product's vectors.
//!
//! A set that the log does not reach any more is filled anew, beside the one in use.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

use super::server::State;
use super::set::{NOW, VectorSet, drop_table};
use super::wire::{Half, Row, copied};
use crate::catalog::error::CatalogError;
use crate::catalog::store::read;
use crate::catalog::values::{Changed, Embedded};
use crate::domain::Embedding;

/// Changes that are taken over in one step; for more the set is filled anew.
const MOST_CHANGES: usize = 50_000;
/// Products that are looked up, and written, by one statement.
const PAGE: usize = 1_000;
/// Products of a page of the filling.
const FILLED: i64 = 1_024;
/// Before another look, while another service is at it: twice as long each time.
const BUSY: Duration = Duration::from_millis(10);
const LONGEST_BUSY: Duration = Duration::from_millis(500);
/// As our own graphs have it (`index/graph.rs`).
const CONNECTIVITY: u32 = 16;
const EXPANSION_ADD: u32 = 128;
/// What the index takes in memory for each vector beside its values, about.
const BESIDE: i64 = 800;
/// Memory that the server is asked to build with, at most, where its own setting has less.
const MOST_MEMORY: i64 = 1 << 30;

/// What a step came to.
enum Step {
    Done,
    /// Another service is at it.
    Busy,
}

/// A set that is being filled.
struct Filling {
    place: i64,
    revision: i64,
    filled_to: i64,
    vectors: i64,
    sums: Vec<f64>,
}

impl VectorSet {
    /// Brings the set up to this revision of the catalog or a later one. `vectors`: what represents a
    /// product, each with the number of its picture.
    ///
    /// # Errors
    /// When the database cannot be read or changed. What was done stays done.
    pub async fn catch_up(
        &self,
        revision: u64,
        vectors: impl Fn(&Embedded) -> Vec<(u8, Embedding)> + Sync,
    ) -> Result<(), CatalogError> {
        let mut rest = BUSY;
        while self.revision().await?.is_none_or(|of| of < revision) {
            match self.step(&vectors).await? {
                Step::Done => rest = BUSY,
                Step::Busy => {
                    tokio::time::sleep(rest).await;
                    rest = (2 * rest).min(LONGEST_BUSY);
                }
            }
        }
        Ok(())
    }

    async fn step(
        &self,
        vectors: &(impl Fn(&Embedded) -> Vec<(u8, Embedding)> + Sync),
    ) -> Result<Step, CatalogError> {
        let error = |e| self.catalog.error(e);
        let mut connection = self.server.filling.acquire().await.map_err(error)?;
        let mut tx = connection.begin().await.map_err(error)?;
        let lock = format!("aglet vectors {} {}", self.model, self.words_percent);
        let locked: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))")
                .bind(lock)
                .fetch_one(&mut *tx)
                .await
                .map_err(error)?;
        if !locked {
            return Ok(Step::Busy);
        }
        let whole = self.look(&mut tx).await.map_err(error)?;
        if let Some(state) = whole {
            let mut changes = Vec::new();
            let revision = self
                .catalog
                .changed(
                    &self.model,
                    self.dimensions,
                    state.revision,
                    MOST_CHANGES,
                    |changed| changes.push(changed),
                )
                .await?;
            if let Some(revision) = revision {
                let applied = self.apply(&mut tx, &state, &changes, revision, vectors);
                applied.await.map_err(error)?;
                tx.commit().await.map_err(error)?;
                return Ok(Step::Done);
            }
        }
        self.fill(&mut tx, vectors).await?;
        tx.commit().await.map_err(error)?;
        Ok(Step::Done)
    }

    /// Takes over what changed since the set's revision.
    async fn apply(
        &self,
        tx: &mut PgConnection,
        state: &State,
        changes: &[Changed],
        revision: u64,
        vectors: &(impl Fn(&Embedded) -> Vec<(u8, Embedding)> + Sync),
    ) -> Result<(), sqlx::Error> {
        let place = state.place;
        let sums: Vec<f64> = sqlx::query_scalar("SELECT sums FROM vector_sets WHERE place = $1")
            .bind(place)
            .fetch_one(&mut *tx)
            .await?;
        let mut tally = Tally {
            vectors: i64::try_from(state.vectors).unwrap_or(i64::MAX),
            sums,
        };
        for page in changes.chunks(PAGE) {
            let mut wanted: HashMap<i64, Vec<Row>> = HashMap::new();
            for changed in page {
                let (key, rows) = match changed {
                    Changed::Is(product) => (product.key, rows(product, vectors)),
                    Changed::Gone(key) => (*key, Vec::new()),
                };
                wanted.insert(i64::from(key.0), rows);
            }
            replace(tx, place, wanted, &mut tally).await?;
            tokio::task::yield_now().await;
        }
        let sql = format!(
            "UPDATE vector_sets SET revision = $2, vectors = $3, sums = $4, used = {NOW} WHERE place = $1"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(place)
            .bind(i64::try_from(revision).unwrap_or(i64::MAX))
            .bind(tally.vectors)
            .bind(&tally.sums)
            .execute(&mut *tx)
            .await?;
        Ok(())
    }

    /// Goes on with the filling of a set, or begins it: a page of products, or the index at its end.
    async fn fill(
        &self,
        tx: &mut PgConnection,
        vectors: &(impl Fn(&Embedded) -> Vec<(u8, Embedding)> + Sync),
    ) -> Result<(), CatalogError> {
        let error = |e| self.catalog.error(e);
        let begun = self.filling(tx).await.map_err(error)?;
        let Some(mut filling) = begun else {
            return self.begin(tx).await;
        };
        let page = read::embedded_page(
            &self.catalog,
            &self.model,
            self.dimensions,
            (filling.filled_to, FILLED),
        );
        let page = page.await?;
        let Some(last) = page.last() else {
            return self.finish(tx, &filling).await.map_err(error);
        };
        filling.filled_to = i64::from(last.key.0);
        let rows: Vec<Row> = page
            .iter()
            .flat_map(|product| rows(product, vectors))
            .collect();
        let mut tally = Tally {
            vectors: filling.vectors,
            sums: std::mem::take(&mut filling.sums),
        };
        let written = async {
            for rows in rows.chunks(PAGE) {
                write(tx, filling.place, rows, &mut tally).await?;
            }
            let sql = format!(
                "UPDATE vector_sets SET filled_to = $2, vectors = $3, sums = $4, used = {NOW} WHERE place = $1"
            );
            sqlx::query(AssertSqlSafe(sql))
                .bind(filling.place)
                .bind(filling.filled_to)
                .bind(tally.vectors)
                .bind(&tally.sums)
                .execute(&mut *tx)
                .await
        };
        written.await.map(|_| ()).map_err(error)
    }

    /// The set that is being filled; one that the log of changes does not reach any more is dropped.
    async fn filling(&self, tx: &mut PgConnection) -> Result<Option<Filling>, sqlx::Error> {
        let found = sqlx::query(
            "SELECT s.place, s.revision, s.filled_to, s.vectors, s.sums,
                    s.dimensions = $3 AND s.revision >= state.log_from
                    AND s.revision <= state.revision AS good
             FROM vector_sets AS s, state
             WHERE s.model = $1 AND s.words_percent = $2 AND s.filled_to IS NOT NULL
             ORDER BY s.place DESC",
        )
        .bind(self.model.as_str())
        .bind(i64::from(self.words_percent))
        .bind(i64::try_from(self.dimensions).unwrap_or(i64::MAX))
        .fetch_all(&mut *tx)
        .await?;
        let mut good = None;
        for row in found {
            let place: i64 = row.try_get("place")?;
            if good.is_none() && row.try_get("good")? {
                good = Some(Filling {
                    place,
                    revision: row.try_get("revision")?,
                    filled_to: row.try_get("filled_to")?,
                    vectors: row.try_get("vectors")?,
                    sums: row.try_get("sums")?,
                });
                continue;
            }
            self.forget(tx, place).await?;
        }
        Ok(good)
    }

    async fn forget(&self, tx: &mut PgConnection, place: i64) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM vector_sets WHERE place = $1")
            .bind(place)
            .execute(&mut *tx)
            .await?;
        drop_table(tx, place).await
    }

    /// An empty table, of the revision that the catalog is at now.
    async fn begin(&self, tx: &mut PgConnection) -> Result<(), CatalogError> {
        let revision = self.catalog.revision().await?;
        tracing::info!(model = self.model.short(), "the set of vectors is filled");
        let begun = async {
            let sql = format!(
                "INSERT INTO vector_sets (model, words_percent, dimensions, revision, filled_to, sums, used)
                 VALUES ($1, $2, $3, $4, 0, $5, {NOW}) RETURNING place"
            );
            let place: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(self.model.as_str())
                .bind(i64::from(self.words_percent))
                .bind(i64::try_from(self.dimensions).unwrap_or(i64::MAX))
                .bind(i64::try_from(revision).unwrap_or(i64::MAX))
                .bind(vec![0.0_f64; self.dimensions])
                .fetch_one(&mut *tx)
                .await?;
            // Without its key until it is filled.
            let sql = format!(
                "CREATE TABLE vectors_{place} (
                     product bigint NOT NULL, picture smallint NOT NULL,
                     vector halfvec({}) NOT NULL)",
                self.dimensions
            );
            sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await?;
            // Beside its key, and not in another place: it is read whole, and is no shorter compressed.
            let sql = format!("ALTER TABLE vectors_{place} ALTER COLUMN vector SET STORAGE PLAIN");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await
        };
        begun.await.map(|_| ()).map_err(|e| self.catalog.error(e))
    }

    /// Builds the index over a set that is filled, and puts the set in the place of the one before it.
    async fn finish(&self, tx: &mut PgConnection, filled: &Filling) -> Result<(), sqlx::Error> {
        let started = Instant::now();
        let place = filled.place;
        let values = i64::try_from(2 * self.dimensions).unwrap_or(i64::MAX);
        let needed = filled.vectors.saturating_mul(values + BESIDE);
        let kilobytes = needed.min(MOST_MEMORY) / 1024;
        sqlx::query(
            "SELECT set_config('maintenance_work_mem', $1::bigint || 'kB', true)
             WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < $1::bigint * 1024",
        )
        .bind(kilobytes)
        .execute(&mut *tx)
        .await?;
        let sql = format!("ALTER TABLE vectors_{place} ADD PRIMARY KEY (product, picture)");
        tx.execute(AssertSqlSafe(sql)).await?;
        let index = format!(
            "CREATE INDEX ON vectors_{place} USING hnsw (vector halfvec_cosine_ops)
             WITH (m = {CONNECTIVITY}, ef_construction = {EXPANSION_ADD})"
        );
        let mut alone = tx.begin().await?;
        match alone.execute(AssertSqlSafe(index.clone())).await {
            Ok(_) => alone.commit().await?,
            // Its workers share memory, of which a container has little.
            Err(error) if is_out_of_memory(&error) => {
                alone.rollback().await?;
                tracing::warn!(%error, "the index over the vectors is built by one worker");
                tx.execute("SET LOCAL max_parallel_maintenance_workers = 0")
                    .await?;
                tx.execute(AssertSqlSafe(index)).await?;
            }
            Err(error) => return Err(error),
        }
        tx.execute(AssertSqlSafe(format!("ANALYZE vectors_{place}")))
            .await?;
        let before: Vec<i64> = sqlx::query_scalar(
            "SELECT place FROM vector_sets WHERE model = $1 AND words_percent = $2 AND place <> $3",
        )
        .bind(self.model.as_str())
        .bind(i64::from(self.words_percent))
        .bind(place)
        .fetch_all(&mut *tx)
        .await?;
        for place in before {
            self.forget(tx, place).await?;
        }
        sqlx::query("UPDATE vector_sets SET filled_to = NULL WHERE place = $1")
            .bind(place)
            .execute(&mut *tx)
            .await?;
        tracing::info!(
            vectors = filled.vectors,
            revision = filled.revision,
            index = ?started.elapsed(),
            "the set of vectors is filled and indexed"
        );
        Ok(())
    }
}

/// Of the disk that shared memory is taken from, too.
fn is_out_of_memory(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("53100" | "53200"))
}

/// How many vectors there are, and their sum.
struct Tally {
    vectors: i64,
    sums: Vec<f64>,
}

impl Tally {
    fn add(&mut self, vector: &Half) {
        self.vectors += 1;
        let sums = self.sums.iter_mut().zip(vector.values());
        sums.for_each(|(sum, value)| *sum += value);
    }

    fn remove(&mut self, vector: &Half) {
        self.vectors -= 1;
        let sums = self.sums.iter_mut().zip(vector.values());
        sums.for_each(|(sum, value)| *sum -= value);
    }
}

/// The rows of a product.
fn rows(product: &Embedded, vectors: &impl Fn(&Embedded) -> Vec<(u8, Embedding)>) -> Vec<Row> {
    let vectors = vectors(product).into_iter();
    let row = |(picture, embedding): (u8, Embedding)| Row {
        product: i64::from(product.key.0),
        picture: i16::from(picture),
        vector: Half::of(&embedding),
    };
    vectors.map(row).collect()
}

/// Makes the rows of these products what is wanted. Those that are so already stay.
async fn replace(
    tx: &mut PgConnection,
    place: i64,
    mut wanted: HashMap<i64, Vec<Row>>,
    tally: &mut Tally,
) -> Result<(), sqlx::Error> {
    let products: Vec<i64> = wanted.keys().copied().collect();
    let sql = format!(
        "SELECT product, picture, vector::real[] AS vector FROM vectors_{place}
         WHERE product = ANY($1)"
    );
    let found = sqlx::query(AssertSqlSafe(sql))
        .bind(&products)
        .fetch_all(&mut *tx)
        .await?;
    let (mut gone, mut gone_pictures) = (Vec::new(), Vec::new());
    for row in found {
        let (product, picture): (i64, i16) = (row.try_get("product")?, row.try_get("picture")?);
        let vector = Half::restored(&row.try_get::<Vec<f32>, _>("vector")?);
        let rows = wanted.entry(product).or_default();
        let same = rows
            .iter()
            .position(|row| row.picture == picture && row.vector == vector);
        if let Some(same) = same {
            rows.swap_remove(same);
        } else {
            tally.remove(&vector);
            gone.push(product);
            gone_pictures.push(picture);
        }
    }
    if !gone.is_empty() {
        let sql = format!(
            "DELETE FROM vectors_{place} AS v
             USING unnest($1::bigint[], $2::smallint[]) AS gone (product, picture)
             WHERE v.product = gone.product AND v.picture = gone.picture"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(&gone)
            .bind(&gone_pictures)
            .execute(&mut *tx)
            .await?;
    }
    let mut new: Vec<Row> = wanted.into_values().flatten().collect();
    new.sort_by_key(|row| (row.product, row.picture));
    write(tx, place, &new, tally).await
}

async fn write(
    tx: &mut PgConnection,
    place: i64,
    rows: &[Row],
    tally: &mut Tally,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!("COPY vectors_{place} (product, picture, vector) FROM STDIN (FORMAT binary)");
    let mut copy = tx.copy_in_raw(&sql).await?;
    copy.send(copied(rows)?).await?;
    copy.finish().await?;
    for row in rows {
        tally.add(&row.vector);
    }
    Ok(())
}
