//! Questions about a set: the nearest vectors, cosines, vectors.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::set::VectorSet;
use super::wire::Half;
use crate::catalog::error::CatalogError;
use crate::catalog::store::db::undecodable;
use crate::domain::{Embedding, ProductKey};

/// A vector of a product, and its cosine: the product, the picture, the cosine.
type Cosine = (ProductKey, u8, f32);

/// How often a question is asked: a connection may have ended since it was used, a table may have been
/// replaced by another.
const TRIES: usize = 3;
/// Longer than the server lets a statement take.
const PATIENCE: Duration = Duration::from_secs(12);

/// One row with a list for each column: read faster than many rows are.
macro_rules! lists {
    ($of:expr) => {
        format!(
            "SELECT array_agg(product) AS products, array_agg(picture) AS pictures,
                    array_agg(cosine) AS cosines FROM ({}) AS found",
            $of
        )
    };
}

impl VectorSet {
    /// The vectors nearest to the query, the nearest first, `most` at most; approximate.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn nearest(
        &self,
        query: &Embedding,
        most: usize,
    ) -> Result<Vec<Cosine>, CatalogError> {
        let sql = |place| {
            lists!(format_args!(
                "SELECT product, picture, (1 - (vector <=> $1))::real AS cosine
                 FROM vectors_{place} ORDER BY vector <=> $1 LIMIT $2"
            ))
        };
        let query = Half::of(query);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.ask(async |connection, place| {
            let row = sqlx::query(AssertSqlSafe(sql(place)))
                .bind(query.clone())
                .bind(most)
                .fetch_one(connection)
                .await?;
            cosines(&row)
        })
        .await
    }

    /// Of each of these products the vector that is nearest to the query.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn cosines(
        &self,
        query: &Embedding,
        products: &[ProductKey],
    ) -> Result<Vec<Cosine>, CatalogError> {
        let sql = |place| {
            lists!(format_args!(
                "SELECT product, picture, (1 - (vector <=> $1))::real AS cosine
                 FROM vectors_{place} WHERE product = ANY($2) ORDER BY product, picture"
            ))
        };
        let (query, products) = (Half::of(query), numbers(products));
        let all: Vec<Cosine> = self
            .ask(async |connection, place| {
                let row = sqlx::query(AssertSqlSafe(sql(place)))
                    .bind(query.clone())
                    .bind(&products)
                    .fetch_one(connection)
                    .await?;
                cosines(&row)
            })
            .await?;
        let best = |of: &[Cosine]| {
            let of = of.iter().copied();
            of.reduce(|best, next| if next.2 > best.2 { next } else { best })
        };
        Ok(all.chunk_by(|a, b| a.0 == b.0).filter_map(best).collect())
    }

    /// The `most` products nearest to the query of these, or of all but these; exact, and the nearest
    /// first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn best(
        &self,
        query: &Embedding,
        products: &[ProductKey],
        but: bool,
        most: usize,
    ) -> Result<Vec<(ProductKey, f32)>, CatalogError> {
        let condition = if but { "<> ALL($2)" } else { "= ANY($2)" };
        let sql = |place| {
            format!(
                "SELECT product, max((1 - (vector <=> $1))::real) AS cosine FROM vectors_{place}
                 WHERE product {condition} GROUP BY product ORDER BY cosine DESC, product LIMIT $3"
            )
        };
        let (query, products) = (Half::of(query), numbers(products));
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.ask(async |connection, place| {
            let rows = sqlx::query(AssertSqlSafe(sql(place)))
                .bind(query.clone())
                .bind(&products)
                .bind(most)
                .fetch_all(connection)
                .await?;
            let best = rows.iter().map(|row| {
                let key = key(row.try_get("product")?)?;
                Ok((key, row.try_get("cosine")?))
            });
            best.collect()
        })
        .await
    }

    /// All vectors of these products, by product and picture.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn vectors(
        &self,
        products: &[ProductKey],
    ) -> Result<Vec<(ProductKey, u8, Embedding)>, CatalogError> {
        let sql = |place| {
            format!(
                "SELECT product, picture, vector::real[] AS vector FROM vectors_{place}
                 WHERE product = ANY($1) ORDER BY product, picture"
            )
        };
        let products = numbers(products);
        self.ask(async |connection, place| {
            let rows = sqlx::query(AssertSqlSafe(sql(place)))
                .bind(&products)
                .fetch_all(connection)
                .await?;
            let vector = |row: &PgRow| {
                let values = row.try_get("vector")?;
                let embedding = Embedding::new(values, self.dimensions).map_err(undecodable)?;
                let key = key(row.try_get("product")?)?;
                Ok((key, picture(row.try_get("picture")?)?, embedding))
            };
            rows.iter().map(vector).collect()
        })
        .await
    }

    /// Asks of the table that the set is in; a server that says nothing for too long is away.
    async fn ask<T>(
        &self,
        question: impl AsyncFn(&mut PgConnection, i64) -> Result<T, sqlx::Error>,
    ) -> Result<T, CatalogError> {
        let answer = tokio::time::timeout(PATIENCE, self.ask_again(question));
        answer.await.unwrap_or_else(|_| {
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(self.catalog.error(sqlx::Error::Io(late)))
        })
    }

    async fn ask_again<T>(
        &self,
        question: impl AsyncFn(&mut PgConnection, i64) -> Result<T, sqlx::Error>,
    ) -> Result<T, CatalogError> {
        let asking = &self.server.asking;
        let error = |e| self.catalog.error(e);
        let mut tries = 1;
        loop {
            let mut connection = asking.acquire().await.map_err(error)?;
            let known = self.state.load_full();
            let state = match known {
                Some(state) => Some(state),
                None => self.look(&mut connection).await.map_err(error)?,
            };
            let Some(state) = state else {
                return Err(self.catalog.error(sqlx::Error::RowNotFound));
            };
            let failed = match question(&mut connection, state.place).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let code = failed
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code);
            let replaced = code.as_deref() == Some("42P01");
            let meaning = self.catalog.error(failed);
            let again = replaced || matches!(meaning, CatalogError::Away { .. });
            if !again || tries >= TRIES {
                return Err(meaning);
            }
            if replaced {
                self.look(&mut connection).await.map_err(error)?;
            } else {
                // It has ended, or is about to.
                connection.detach();
            }
            tries += 1;
        }
    }
}

fn cosines(row: &PgRow) -> Result<Vec<Cosine>, sqlx::Error> {
    let products: Option<Vec<i64>> = row.try_get("products")?;
    let pictures: Option<Vec<i16>> = row.try_get("pictures")?;
    let cosines: Option<Vec<f32>> = row.try_get("cosines")?;
    let (products, pictures) = (products.unwrap_or_default(), pictures.unwrap_or_default());
    let all = products.into_iter().zip(pictures);
    let all = all.zip(cosines.unwrap_or_default());
    all.map(|((product, of), cosine)| {
        let cosine = if cosine.is_finite() { cosine } else { 0.0 };
        Ok((key(product)?, picture(of)?, cosine.clamp(-1.0, 1.0)))
    })
    .collect()
}

fn numbers(products: &[ProductKey]) -> Vec<i64> {
    products.iter().map(|key| i64::from(key.0)).collect()
}

pub(super) fn key(product: i64) -> Result<ProductKey, sqlx::Error> {
    u32::try_from(product).map(ProductKey).map_err(undecodable)
}

pub(super) fn picture(number: i16) -> Result<u8, sqlx::Error> {
    u8::try_from(number).map_err(undecodable)
}
