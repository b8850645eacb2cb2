//! Reading the database.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};

use super::database::Catalog;
use crate::catalog::error::CatalogError;
use crate::catalog::media::PicturePlace;
use crate::catalog::media::picture::Picture;
use crate::catalog::source::jsonl;
use crate::catalog::values::{AllEmbedded, Changed, Counts, Embedded, StoredProduct};
use crate::domain::{
    Attributes, Embedding, ModelId, Product, ProductFields, ProductId, ProductKey,
};

/// A page of [`embedded`]: bounds what is held twice while rows become values.
const PAGE: i64 = 1024;

impl Catalog {
    /// The product with the shop's id `id`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn product(&self, id: &ProductId) -> Result<Option<StoredProduct>, CatalogError> {
        product(self, id).await
    }

    /// The products of `keys` in that order, by one query; keys that are gone are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn products(&self, keys: &[ProductKey]) -> Result<Vec<StoredProduct>, CatalogError> {
        products(self, keys).await
    }

    /// The keys of the products with these ids, in no order; ids that are unknown are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn keys(&self, ids: &[ProductId]) -> Result<Vec<ProductKey>, CatalogError> {
        keys(self, self.readers(), ids).await
    }

    /// The products after `after`, `most` at most, in the order of the keys; each as the row of the
    /// JSON Lines format that it came in, but for its picture.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn rows(
        &self,
        after: ProductKey,
        most: u32,
    ) -> Result<Vec<(ProductKey, Map<String, Value>)>, CatalogError> {
        rows(self, after, most).await.map_err(|e| self.error(e))
    }

    /// The picture of the product with the shop's id `id`, for a client. `None` when there is no
    /// such product; in it, `None` when it has no picture that was decoded at import.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn picture(&self, id: &ProductId) -> Result<Option<Option<Picture>>, CatalogError> {
        picture(self, id).await
    }

    /// Gives every product to `each`, with the embeddings of `model` that it has, in the order of the
    /// keys, and says which revision that was the state of and how far the catalog is embedded. A
    /// stored vector that is not an embedding of `dimensions` values is left out with a warning in
    /// the log.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn embedded(
        &self,
        model: &ModelId,
        dimensions: usize,
        each: impl FnMut(Embedded),
    ) -> Result<AllEmbedded, CatalogError> {
        embedded(self, model, dimensions, each).await
    }

    /// Names this database: another one in its place has another name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn identity(&self) -> Result<String, CatalogError> {
        identity(self).await
    }

    /// Gives every product that changed after the revision `after` to `each`, as
    /// [`Catalog::embedded`] does and in the order of the keys, and says which revision that was the
    /// state of. `None`, and nothing given, when there are more than `most`, or the log of changes
    /// does not reach back so far.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn changed(
        &self,
        model: &ModelId,
        dimensions: usize,
        after: u64,
        most: usize,
        each: impl FnMut(Changed),
    ) -> Result<Option<u64>, CatalogError> {
        let changed = changed(self, model, dimensions, (after, most), each).await;
        changed.map_err(|e| self.error(e))
    }

    /// Which state the catalog is in: a number that grows with every change. It starts at or after
    /// the time of creation in Unix milliseconds, so that another database in the same place never
    /// answers with a number that this one had.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn revision(&self) -> Result<u64, CatalogError> {
        state(&self.inner.following)
            .await
            .map_err(|e| self.error(e))
    }

    /// How many products there are, and how many of them have an embedding of `model`. Goes through
    /// all products: for those who can wait.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn counts(&self, model: &ModelId) -> Result<Counts, CatalogError> {
        counts(self, model).await
    }
}

/// A stored value that this version would not have written.
fn undecodable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

pub(super) fn attributes(json: &str) -> Result<Attributes, sqlx::Error> {
    serde_json::from_str(json).map_err(undecodable)
}

pub(super) fn key(row: &SqliteRow) -> Result<ProductKey, sqlx::Error> {
    u32::try_from(row.try_get::<i64, _>("key")?)
        .map(ProductKey)
        .map_err(undecodable)
}

pub(super) fn version(row: &SqliteRow) -> Result<u64, sqlx::Error> {
    row.try_get::<i64, _>("version").map(i64::unsigned_abs)
}

/// Columns `image_file`, `image_root` and `image_member`. A relative path lies in the data folder,
/// which may have moved.
pub(super) fn image(row: &SqliteRow, data: &Path) -> Result<Option<PicturePlace>, sqlx::Error> {
    let Some(file) = row
        .try_get::<Option<&str>, _>("image_file")?
        .map(|f| data.join(f))
    else {
        return Ok(None);
    };
    if let Some(member) = row.try_get::<Option<String>, _>("image_member")? {
        return Ok(Some(PicturePlace::Zip {
            archive: file,
            member,
        }));
    }
    let root = row.try_get::<Option<&str>, _>("image_root")?;
    let below = root.map(|root| data.join(root)).and_then(|folder| {
        let name = file.strip_prefix(&folder).ok()?.to_owned();
        Some(PicturePlace::File { folder, name })
    });
    Ok(Some(below.unwrap_or_else(|| PicturePlace::file(&file))))
}

pub(super) fn stored(row: &SqliteRow) -> Result<StoredProduct, sqlx::Error> {
    let product = Product {
        id: ProductId::new(row.try_get("id")?).map_err(undecodable)?,
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        attributes: attributes(row.try_get("attributes")?)?,
        price: row.try_get("price")?,
        sale_price: row.try_get("sale_price")?,
        currency: row.try_get("currency")?,
        created: row.try_get("created")?,
        url: row.try_get("url")?,
    };
    Ok(StoredProduct {
        key: key(row)?,
        product,
        has_picture: row.try_get("image_decoded")?,
        version: version(row)?,
    })
}

async fn picture(
    catalog: &Catalog,
    id: &ProductId,
) -> Result<Option<Option<Picture>>, CatalogError> {
    let sql = "SELECT image_file, image_root, image_member, image_stamp, image_hash, image_decoded
               FROM products WHERE id = ?";
    let row = sqlx::query(sql)
        .bind(id.as_str())
        .fetch_optional(catalog.readers())
        .await
        .map_err(|e| catalog.error(e))?;
    let Some(row) = row else { return Ok(None) };
    let picture = || -> Result<Option<Picture>, sqlx::Error> {
        let source = image(&row, catalog.data())?;
        let hash = row.try_get::<Option<&[u8]>, _>("image_hash")?;
        let (Some(source), Some(hash), true) = (source, hash, row.try_get("image_decoded")?) else {
            return Ok(None);
        };
        Ok(Some(Picture {
            sha256: hash.try_into().map_err(undecodable)?,
            source,
            stamp: row.try_get("image_stamp")?,
            photos: catalog.inner.photos.clone(),
            readers: catalog.inner.readers.clone(),
            memory: catalog.inner.pictures.clone(),
        }))
    };
    picture().map(Some).map_err(|e| catalog.error(e))
}

async fn product(catalog: &Catalog, id: &ProductId) -> Result<Option<StoredProduct>, CatalogError> {
    let row = sqlx::query(
        "SELECT key, id, title, description, price, sale_price, currency, created, url, attributes,
                image_decoded, version
         FROM products WHERE id = ?",
    )
    .bind(id.as_str())
    .fetch_optional(catalog.readers());
    let row = row.await.map_err(|e| catalog.error(e))?;
    row.map(|row| stored(&row))
        .transpose()
        .map_err(|e| catalog.error(e))
}

async fn products(
    catalog: &Catalog,
    keys: &[ProductKey],
) -> Result<Vec<StoredProduct>, CatalogError> {
    // One bound array instead of one parameter a key: a single prepared statement for every page
    // size.
    let keys = serde_json::json!(keys.iter().map(|k| k.0).collect::<Vec<_>>()).to_string();
    let rows = sqlx::query(
        "SELECT p.key, p.id, p.title, p.description, p.price, p.sale_price, p.currency, p.created,
                p.url, p.attributes, p.image_decoded, p.version
         FROM json_each(?) AS wanted CROSS JOIN products AS p ON p.key = wanted.value
         ORDER BY wanted.key",
    )
    .bind(keys)
    .fetch_all(catalog.readers())
    .await
    .map_err(|e| catalog.error(e))?;
    rows.iter()
        .map(stored)
        .collect::<Result<_, _>>()
        .map_err(|e| catalog.error(e))
}

async fn rows(
    catalog: &Catalog,
    after: ProductKey,
    most: u32,
) -> Result<Vec<(ProductKey, Map<String, Value>)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT key, id, title, description, price, sale_price, currency, created, url, attributes,
                image_decoded, version
         FROM products WHERE key > ? ORDER BY key LIMIT ?",
    )
    .bind(after.0)
    .bind(most)
    .fetch_all(catalog.readers())
    .await?;
    let row = |row| stored(row).map(|stored| (stored.key, jsonl::row(&stored.product)));
    rows.iter().map(row).collect()
}

/// The keys of products by id; unknown ids are left out.
pub(super) async fn keys<S: Serialize>(
    catalog: &Catalog,
    pool: &SqlitePool,
    ids: &[S],
) -> Result<Vec<ProductKey>, CatalogError> {
    let sql =
        "SELECT p.key FROM json_each(?) AS wanted CROSS JOIN products AS p ON p.id = wanted.value";
    let rows = sqlx::query(sql)
        .bind(serde_json::json!(ids).to_string())
        .fetch_all(pool)
        .await;
    rows.and_then(|rows| rows.iter().map(key).collect())
        .map_err(|e| catalog.error(e))
}

async fn identity(catalog: &Catalog) -> Result<String, CatalogError> {
    sqlx::query_scalar("SELECT identity FROM state")
        .fetch_one(&catalog.inner.upkeep)
        .await
        .map_err(|e| catalog.error(e))
}

async fn counts(catalog: &Catalog, model: &ModelId) -> Result<Counts, CatalogError> {
    count(catalog, model).await.map_err(|e| catalog.error(e))
}

async fn count(catalog: &Catalog, model: &ModelId) -> Result<Counts, sqlx::Error> {
    let row = sqlx::query(
        "WITH found AS (
           SELECT photo.key IS NOT NULL AS embedded,
                  p.image_file IS NULL OR p.image_error IS NOT NULL OR bad_photo.reason IS NOT NULL AS lost,
                  words.key IS NOT NULL OR bad_words.reason IS NOT NULL AS told
           FROM products AS p
           LEFT JOIN models AS m ON m.id = ?
           LEFT JOIN embeddings AS photo ON photo.model = m.key AND photo.kind = 'photo' AND photo.hash = p.image_hash
           LEFT JOIN embeddings AS words ON words.model = m.key AND words.kind = 'words' AND words.hash = p.caption_hash
           LEFT JOIN failures AS bad_photo
                  ON bad_photo.model = m.key AND bad_photo.kind = 'photo' AND bad_photo.hash = p.image_hash
           LEFT JOIN failures AS bad_words
                  ON bad_words.model = m.key AND bad_words.kind = 'words' AND bad_words.hash = p.caption_hash)
         SELECT COUNT(*) AS products,
                COUNT(*) FILTER (WHERE embedded) AS embedded,
                COUNT(*) FILTER (WHERE NOT embedded AND lost) AS without,
                COUNT(*) FILTER (WHERE NOT (embedded OR lost) OR NOT told) AS pending
         FROM found",
    )
    .bind(model.as_str())
    .fetch_one(&catalog.inner.upkeep)
    .await?;
    let number = |column: &str| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    Ok(Counts {
        products: number("products")?,
        embedded: number("embedded")?,
        without_embedding: number("without")?,
        pending: number("pending")?,
    })
}

/// A vector as the database keeps it: little-endian f32.
pub(super) fn to_blob(embedding: &Embedding) -> Vec<u8> {
    embedding
        .as_slice()
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect()
}

fn from_blob(blob: &[u8], dimensions: usize, key: ProductKey) -> Option<Embedding> {
    let (values, rest) = blob.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
    match Embedding::new(values, dimensions) {
        Ok(embedding) if rest.is_empty() => Some(embedding),
        Ok(_) => {
            tracing::warn!(
                product = key.0,
                bytes = blob.len(),
                "a stored vector is cut off; left out"
            );
            None
        }
        Err(error) => {
            tracing::warn!(product = key.0, %error, "a stored vector is not an embedding; left out");
            None
        }
    }
}

/// The products that a condition names, with the vectors of the model ?1, in the order of the keys.
macro_rules! embedded_sql {
    ($condition:literal) => {
        concat!(
            "SELECT p.key, p.id, p.title, p.description, p.attributes, p.price, p.sale_price, p.created,
                    photo.vector AS photo, photo.key IS NOT NULL AS embedded,
                    coalesce(words.vector, former.vector) AS words,
                    photo.key IS NULL AND (p.image_file IS NULL OR p.image_error IS NOT NULL OR EXISTS (
                        SELECT 1 FROM failures AS f
                        WHERE f.model = m.key AND f.kind = 'photo' AND f.hash = p.image_hash)) AS lost,
                    words.key IS NOT NULL OR EXISTS (
                        SELECT 1 FROM failures AS f
                        WHERE f.model = m.key AND f.kind = 'words' AND f.hash = p.caption_hash) AS told
             FROM products AS p
             LEFT JOIN models AS m ON m.id = ?1
             LEFT JOIN embeddings AS photo
                    ON photo.model = m.key AND photo.kind = 'photo' AND photo.hash = p.image_hash
             LEFT JOIN embeddings AS words
                    ON words.model = m.key AND words.kind = 'words' AND words.hash = p.caption_hash
             LEFT JOIN embeddings AS former
                    ON words.key IS NULL
                   AND former.model = m.key AND former.kind = 'words' AND former.hash = p.words_hash
             WHERE ",
            $condition
        )
    };
}

async fn embedded(
    catalog: &Catalog,
    model: &ModelId,
    dimensions: usize,
    mut each: impl FnMut(Embedded),
) -> Result<AllEmbedded, CatalogError> {
    let read = async {
        // One read transaction: the vectors are the state of the revision that is answered with them.
        let mut read = catalog.inner.upkeep.begin().await?;
        let revision = state(&mut *read).await?;
        let (mut counts, mut after) = (Counts::default(), 0_i64);
        loop {
            let sql = embedded_sql!("p.key > ?2 ORDER BY p.key LIMIT ?3");
            let rows = sqlx::query(sql)
                .bind(model.as_str())
                .bind(after)
                .bind(PAGE)
                .fetch_all(&mut *read)
                .await?;
            let Some(last) = rows.last() else { break };
            after = last.try_get("key")?;
            for row in &rows {
                each(embedded_row(row, dimensions, &mut counts)?);
            }
            // Rows become values without waiting for anything: others get their turn.
            tokio::task::yield_now().await;
        }
        Ok(AllEmbedded { revision, counts })
    };
    read.await.map_err(|e| catalog.error(e))
}

/// See [`Catalog::changed`]. `since`: after which revision, and how many at most.
async fn changed(
    catalog: &Catalog,
    model: &ModelId,
    dimensions: usize,
    since: (u64, usize),
    mut each: impl FnMut(Changed),
) -> Result<Option<u64>, sqlx::Error> {
    let (after, most) = since;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut read = catalog.inner.following.begin().await?;
    let row = sqlx::query("SELECT revision, log_from FROM state")
        .fetch_one(&mut *read)
        .await?;
    let revision = row.try_get::<i64, _>("revision")?;
    // Of a revision that this database never had, nothing is known either.
    if after < row.try_get("log_from")? || after > revision {
        return Ok(None);
    }
    let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let keys: Vec<i64> =
        sqlx::query_scalar("SELECT DISTINCT key FROM changes WHERE seq > ? ORDER BY key LIMIT ?")
            .bind(after)
            .bind(limit)
            .fetch_all(&mut *read)
            .await?;
    if keys.len() > most {
        return Ok(None);
    }
    for page in keys.chunks(usize::try_from(PAGE).unwrap_or(1)) {
        let sql = embedded_sql!("p.key IN (SELECT value FROM json_each(?2)) ORDER BY p.key");
        let rows = sqlx::query(sql)
            .bind(model.as_str())
            .bind(serde_json::json!(page).to_string())
            .fetch_all(&mut *read)
            .await?;
        let mut rows = rows.iter().peekable();
        for changed in page {
            let here = rows.next_if(|row| row.try_get::<i64, _>("key").ok() == Some(*changed));
            match here {
                Some(row) => {
                    let product = embedded_row(row, dimensions, &mut Counts::default())?;
                    each(Changed::Is(Box::new(product)));
                }
                None => each(Changed::Gone(ProductKey(
                    u32::try_from(*changed).map_err(undecodable)?,
                ))),
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(Some(revision.unsigned_abs()))
}

fn embedded_row(
    row: &SqliteRow,
    dimensions: usize,
    counts: &mut Counts,
) -> Result<Embedded, sqlx::Error> {
    let key = key(row)?;
    let vector = |column: &str| -> Result<Option<Embedding>, sqlx::Error> {
        Ok(row
            .try_get::<Option<&[u8]>, _>(column)?
            .and_then(|blob| from_blob(blob, dimensions, key)))
    };
    let embedded: bool = row.try_get("embedded")?;
    let (lost, told): (bool, bool) = (row.try_get("lost")?, row.try_get("told")?);
    counts.products += 1;
    counts.embedded += u64::from(embedded);
    counts.without_embedding += u64::from(lost);
    counts.pending += u64::from(!(embedded || lost) || !told);
    Ok(Embedded {
        key,
        id: row.try_get("id")?,
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        photo: vector("photo")?,
        words: vector("words")?,
        attributes: attributes(row.try_get("attributes")?)?,
        fields: fields_row(row)?,
    })
}

fn fields_row(row: &SqliteRow) -> Result<ProductFields, sqlx::Error> {
    Ok(ProductFields {
        price: row.try_get("price")?,
        sale_price: row.try_get("sale_price")?,
        created: row.try_get("created")?,
    })
}

async fn state<'a>(
    from: impl sqlx::Executor<'a, Database = sqlx::Sqlite>,
) -> Result<u64, sqlx::Error> {
    let revision: i64 = sqlx::query_scalar("SELECT revision FROM state")
        .fetch_one(from)
        .await?;
    Ok(revision.unsigned_abs())
}
