//! Whether a set is what the catalog says.

use std::collections::{BTreeMap, HashSet};

use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::ask::{key, picture};
use super::set::VectorSet;
use super::wire::Half;
use crate::catalog::error::CatalogError;
use crate::domain::{Embedding, ProductKey};
use crate::util::digest::sha256;

/// Rows that are read at a time.
const PAGE: i64 = 2_048;

/// What the vectors of the products should be: of each a digest.
#[derive(Default)]
pub struct Expected(BTreeMap<ProductKey, [u8; 16]>);

/// What came of a comparison.
pub enum Difference {
    /// There is no set, or none that is whole.
    Nothing,
    /// The set is of a later state than what is expected: it is read again.
    Later,
    /// Products of which the set does not hold what is expected, in the order of their keys. Those that
    /// changed since the set's revision are not compared: a start takes them over.
    Compared(Vec<ProductKey>),
}

impl Expected {
    /// Notes what represents a product.
    pub fn add(&mut self, key: ProductKey, vectors: &[(u8, Embedding)]) {
        if !vectors.is_empty() {
            let vectors = vectors.iter();
            let vectors = vectors.map(|(picture, embedding)| (*picture, Half::of(embedding)));
            self.0.insert(key, digest(vectors));
        }
    }
}

fn digest(vectors: impl Iterator<Item = (u8, Half)>) -> [u8; 16] {
    let mut bytes = Vec::new();
    for (picture, vector) in vectors {
        bytes.push(picture);
        bytes.extend(vector.0.iter().flat_map(|value| value.to_be_bytes()));
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&sha256(&bytes)[..16]);
    digest
}

impl VectorSet {
    /// Compares the set with what its products should have at this revision of the catalog.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn compare(
        &self,
        mut expected: Expected,
        revision: u64,
    ) -> Result<Difference, CatalogError> {
        let compared = async {
            let mut connection = self.server.asking.acquire().await?;
            // One state of the set, and of the log.
            let mut read = connection
                .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await?;
            let Some(state) = self.look(&mut read).await? else {
                return Ok(Difference::Nothing);
            };
            if state.revision > revision {
                return Ok(Difference::Later);
            }
            let since: Vec<i64> =
                sqlx::query_scalar("SELECT DISTINCT key FROM changes WHERE seq > $1")
                    .bind(i64::try_from(state.revision).unwrap_or(i64::MAX))
                    .fetch_all(&mut *read)
                    .await?;
            let since: HashSet<ProductKey> =
                since.into_iter().map(key).collect::<Result<_, _>>()?;
            let sql = format!(
                "SELECT product, picture, vector::real[] AS vector FROM vectors_{}
                 WHERE (product, picture) > ($1, $2) ORDER BY product, picture LIMIT {PAGE}",
                state.place
            );
            let mut differing = Vec::new();
            let mut compare = |product: ProductKey, vectors: &[(u8, Half)]| {
                let should = expected.0.remove(&product);
                let is = digest(vectors.iter().cloned());
                if should != Some(is) && !since.contains(&product) {
                    differing.push(product);
                }
            };
            let (mut after, mut product) = ((0_i64, 0_i16), None);
            let mut vectors: Vec<(u8, Half)> = Vec::new();
            loop {
                let rows = sqlx::query(AssertSqlSafe(sql.clone()))
                    .bind(after.0)
                    .bind(after.1)
                    .fetch_all(&mut *read)
                    .await?;
                let Some(last) = rows.last() else { break };
                after = (last.try_get("product")?, last.try_get("picture")?);
                for row in &rows {
                    let of = key(row.try_get("product")?)?;
                    if let Some(before) = product.filter(|before| *before != of) {
                        compare(before, &std::mem::take(&mut vectors));
                    }
                    product = Some(of);
                    let values: Vec<f32> = row.try_get("vector")?;
                    vectors.push((picture(row.try_get("picture")?)?, Half::restored(&values)));
                }
            }
            if let Some(last) = product {
                compare(last, &vectors);
            }
            let missing = expected.0.into_keys();
            differing.extend(missing.filter(|product| !since.contains(product)));
            differing.sort_unstable();
            Ok(Difference::Compared(differing))
        };
        let compared: Result<Difference, sqlx::Error> = compared.await;
        compared.map_err(|e| self.catalog.error(e))
    }
}
