//! Reading the database.

use std::collections::HashMap;
use std::iter::Peekable;

use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::{Any, AnyConnection, AnyPool, Row};

use super::database::Catalog;
use super::db::{DbRow, flag, number, undecodable};
use super::pictures::{self, kept};
use crate::catalog::error::CatalogError;
use crate::catalog::media::PictureSource;
use crate::catalog::media::picture::{Picture, PictureFrom, ShownPicture};
use crate::catalog::media::upload::UPLOADS;
use crate::catalog::source::describe;
use crate::catalog::values::{
    AllEmbedded, Changed, Counts, Embedded, PartProgress, ProductProgress, StoredPicture,
    StoredProduct,
};
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

    /// The products after `after`, `most` at most, in the order of the keys: for those who can wait.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn products_after(
        &self,
        after: ProductKey,
        most: u32,
    ) -> Result<Vec<StoredProduct>, CatalogError> {
        let found = products_after(&self.inner.upkeep, after, most).await;
        found.map_err(|e| self.error(e))
    }

    /// Says of a product's pictures where clients get them past the service, as the setting
    /// `picture_links` has it. To be called when an answer is made: an address is good for a while.
    pub async fn link(&self, product: &mut StoredProduct) {
        for picture in &mut product.pictures {
            if let (true, Some(name)) = (picture.shown, &picture.kept) {
                picture.link = self.inner.kept.link(name).await;
            }
        }
    }

    /// Gives every product that changed after the revision `after` to `each`, none where it was removed,
    /// and says which revision that was the state of. `None`, and nothing given, when there are more
    /// than `most`, or the log of changes does not reach back so far.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn products_since(
        &self,
        after: u64,
        most: usize,
        each: impl FnMut(ProductKey, Option<StoredProduct>),
    ) -> Result<Option<u64>, CatalogError> {
        let since = products_since(self, (after, most), each).await;
        since.map_err(|e| self.error(e))
    }

    /// The keys of the products with these ids, in no order; ids that are unknown are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn keys(&self, ids: &[ProductId]) -> Result<Vec<ProductKey>, CatalogError> {
        let reader = self.reader().await;
        keys(self, &mut *reader.map_err(|e| self.error(e))?, ids).await
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
        let found = products_after(&self.inner.searches, after, most).await;
        let found = found.map_err(|e| self.error(e))?;
        Ok(found
            .iter()
            .map(|stored| (stored.key, row(stored)))
            .collect())
    }

    /// As [`Catalog::rows`], of the products of these keys in that order; keys that are gone are left
    /// out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn rows_of(
        &self,
        keys: &[ProductKey],
    ) -> Result<Vec<Map<String, Value>>, CatalogError> {
        let stored = products(self, keys).await?;
        Ok(stored.iter().map(row).collect())
    }

    /// A picture of the product with the shop's id `id`, for a client: that with the number, or the
    /// first that can be shown. `None` when there is no such product; in it, `None` when it has no
    /// such picture that was decoded.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn picture(
        &self,
        id: &ProductId,
        number: Option<u8>,
    ) -> Result<Option<Option<ShownPicture>>, CatalogError> {
        picture(self, id, number).await
    }

    /// How far a product is embedded by a model.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn progress(
        &self,
        product: ProductKey,
        model: &ModelId,
    ) -> Result<ProductProgress, CatalogError> {
        let progress = progress(self, product, model).await;
        progress.map_err(|e| self.error(e))
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

    /// Whether it has no product.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn is_empty(&self) -> Result<bool, CatalogError> {
        let first: Option<i64> = sqlx::query_scalar("SELECT key FROM products LIMIT 1")
            .fetch_optional(&self.inner.upkeep)
            .await
            .map_err(|e| self.error(e))?;
        Ok(first.is_none())
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

/// The attributes of the product with the id `of`. What cannot be read costs that product its
/// attributes, and not all products the index.
pub(super) fn attributes(json: &str, of: &str) -> Attributes {
    serde_json::from_str(json).unwrap_or_else(|error| {
        tracing::warn!(product = of, %error, "a product's attributes are damaged: it is served without them until it is written anew");
        Attributes::new()
    })
}

pub(super) fn key(row: &DbRow) -> Result<ProductKey, sqlx::Error> {
    number(row, "key").map(ProductKey)
}

pub(super) fn version(row: &DbRow) -> Result<u64, sqlx::Error> {
    row.try_get::<i64, _>("version").map(i64::unsigned_abs)
}

/// The columns of a product that [`stored`] reads, of `products AS p`.
macro_rules! stored_sql {
    ($from:literal) => {
        concat!(
            "SELECT p.key, p.id, p.title, p.description, p.price, p.sale_price, p.currency, p.created,
                    p.url, p.attributes, p.version,
                    (SELECT '[' || coalesce(string_agg(
                        '[' || number || ',' || json_quote(address) || ',' || decoded || ',' ||
                        json_quote(CASE WHEN root IN ('uploads', 'uploads:import') AND stamp IS NOT NULL
                                   THEN file END) || ']',
                        ',' ORDER BY number), '') || ']'
                     FROM pictures WHERE product = p.key) AS pictures ",
            $from
        )
    };
}

pub(super) fn product_row(row: &DbRow) -> Result<Product, sqlx::Error> {
    let id = ProductId::stored(row.try_get("id")?);
    Ok(Product {
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        attributes: attributes(row.try_get("attributes")?, id.as_str()),
        id,
        price: row.try_get("price")?,
        sale_price: row.try_get("sale_price")?,
        currency: row.try_get("currency")?,
        created: row.try_get("created")?,
        url: row.try_get("url")?,
    })
}

fn stored(row: &DbRow) -> Result<StoredProduct, sqlx::Error> {
    let pictures: Vec<(u8, Option<String>, u8, Option<String>)> =
        serde_json::from_str(row.try_get("pictures")?).map_err(undecodable)?;
    let pictures = pictures.into_iter();
    let pictures = pictures.map(|(number, address, decoded, file)| {
        let name = file.as_deref().and_then(|file| kept(file, Some(UPLOADS)));
        StoredPicture {
            number,
            address,
            shown: decoded > 0,
            kept: name.map(str::to_owned),
            link: None,
        }
    });
    Ok(StoredProduct {
        key: key(row)?,
        product: product_row(row)?,
        pictures: pictures.collect(),
        version: version(row)?,
    })
}

async fn picture(
    catalog: &Catalog,
    id: &ProductId,
    number: Option<u8>,
) -> Result<Option<Option<ShownPicture>>, CatalogError> {
    let sql = "SELECT file, root, member, address, stamp, hash FROM products AS p
               LEFT JOIN pictures AS i ON i.product = p.key AND i.decoded = 1 AND i.number = coalesce($2,
                 (SELECT min(number) FROM pictures WHERE product = p.key AND decoded = 1))
               WHERE p.id = $1";
    let mut reader = catalog.reader().await.map_err(|e| catalog.error(e))?;
    let row = sqlx::query(sql)
        .bind(id.as_str())
        .bind(number.map(i64::from))
        .fetch_optional(&mut *reader)
        .await
        .map_err(|e| catalog.error(e))?;
    let Some(row) = row else { return Ok(None) };
    let picture = || -> Result<Option<ShownPicture>, sqlx::Error> {
        let from = match pictures::source(&row, catalog.data())? {
            None => return Ok(None),
            Some(PictureSource::Address(address)) => {
                return Ok(Some(ShownPicture::Elsewhere(address)));
            }
            Some(PictureSource::Stored(place)) => PictureFrom::File(place.into()),
            Some(PictureSource::Kept { name, .. }) => match catalog.inner.kept.place(&name) {
                Ok(filed) => PictureFrom::File(filed),
                Err(bucket) => PictureFrom::Bucket(bucket.clone(), name),
            },
        };
        let Some(hash) = row.try_get::<Option<&[u8]>, _>("hash")? else {
            return Ok(None);
        };
        Ok(Some(ShownPicture::Here(Box::new(Picture {
            sha256: hash.try_into().map_err(undecodable)?,
            from,
            stamp: row.try_get("stamp")?,
            photos: catalog.inner.photos.clone(),
            readers: catalog.inner.readers.clone(),
            memory: catalog.inner.pictures.clone(),
        }))))
    };
    picture().map(Some).map_err(|e| catalog.error(e))
}

/// See [`Catalog::progress`].
async fn progress(
    catalog: &Catalog,
    product: ProductKey,
    model: &ModelId,
) -> Result<ProductProgress, sqlx::Error> {
    // Words first: they have the number 0.
    let sql = "WITH parts AS (
                 SELECT key AS product, 0 AS number, 'words' AS kind, caption_hash AS hash,
                        NULL AS error
                 FROM products WHERE key = $1
                 UNION ALL
                 SELECT product, number, 'photo', hash, error FROM pictures WHERE product = $1)
               SELECT p.number, CASE WHEN e.key IS NULL THEN 0 ELSE 1 END AS embedded,
                      coalesce(w.reason, p.error, f.reason) AS failed,
                      CASE WHEN w.key IS NULL THEN 0 ELSE 1 END AS waits,
                      coalesce(w.attempts, 0) AS attempts, w.due
               FROM parts AS p
               LEFT JOIN models AS m ON m.id = $2
               LEFT JOIN embeddings AS e ON e.model = m.key AND e.kind = p.kind AND e.hash = p.hash
               LEFT JOIN failures AS f ON f.model = m.key AND f.kind = p.kind AND f.hash = p.hash
               LEFT JOIN work AS w ON w.model = m.key AND w.product = p.product AND w.number = p.number
               ORDER BY p.number";
    let rows = sqlx::query(sql)
        .bind(i64::from(product.0))
        .bind(model.as_str())
        .fetch_all(&mut *catalog.reader().await?)
        .await?;
    let mut parts = Vec::with_capacity(rows.len());
    for row in &rows {
        let attempts: u32 = number(row, "attempts")?;
        let due: Option<i64> = row.try_get("due")?;
        let progress = PartProgress {
            embedded: flag(row, "embedded")?,
            waits: flag(row, "waits")?,
            failed: row.try_get("failed")?,
            attempts,
            again_at: due.filter(|_| attempts > 0),
        };
        parts.push((number::<u8>(row, "number")?, progress));
    }
    let mut parts = parts.into_iter();
    Ok(ProductProgress {
        words: parts.next().map(|(_, words)| words).unwrap_or_default(),
        pictures: parts.collect(),
    })
}

async fn product(catalog: &Catalog, id: &ProductId) -> Result<Option<StoredProduct>, CatalogError> {
    let mut reader = catalog.reader().await.map_err(|e| catalog.error(e))?;
    let row = sqlx::query(stored_sql!("FROM products AS p WHERE p.id = $1"))
        .bind(id.as_str())
        .fetch_optional(&mut *reader);
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
    let mut reader = catalog.reader().await.map_err(|e| catalog.error(e))?;
    let rows = sqlx::query(stored_sql!(
        "FROM json_each($1) AS wanted CROSS JOIN products AS p
         WHERE p.key = CAST(wanted.value AS bigint) ORDER BY wanted.key"
    ))
    .bind(keys)
    .fetch_all(&mut *reader)
    .await
    .map_err(|e| catalog.error(e))?;
    rows.iter()
        .map(stored)
        .collect::<Result<_, _>>()
        .map_err(|e| catalog.error(e))
}

async fn products_after(
    from: &AnyPool,
    after: ProductKey,
    most: u32,
) -> Result<Vec<StoredProduct>, sqlx::Error> {
    let rows = sqlx::query(stored_sql!(
        "FROM products AS p WHERE p.key > $1 ORDER BY p.key LIMIT $2"
    ))
    .bind(i64::from(after.0))
    .bind(i64::from(most))
    .fetch_all(from)
    .await?;
    rows.iter().map(stored).collect()
}

/// As the product came in.
fn row(stored: &StoredProduct) -> Map<String, Value> {
    describe::row(&stored.product, &stored.pictures)
}

/// The keys of products by id; unknown ids are left out.
pub(super) async fn keys<S: Serialize>(
    catalog: &Catalog,
    connection: &mut AnyConnection,
    ids: &[S],
) -> Result<Vec<ProductKey>, CatalogError> {
    let sql = "SELECT p.key FROM json_each($1) AS wanted CROSS JOIN products AS p WHERE p.id = wanted.value";
    let rows = sqlx::query(sql)
        .bind(serde_json::json!(ids).to_string())
        .fetch_all(connection)
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
        "WITH seen AS (
           SELECT p.product, max(CASE WHEN e.key IS NULL THEN 0 ELSE 1 END) AS embedded,
                  max(CASE WHEN e.key IS NULL AND f.reason IS NULL AND p.error IS NULL
                      THEN 1 ELSE 0 END) AS waits
           FROM pictures AS p
           LEFT JOIN models AS m ON m.id = $1
           LEFT JOIN embeddings AS e ON e.model = m.key AND e.kind = 'photo' AND e.hash = p.hash
           LEFT JOIN failures AS f ON f.model = m.key AND f.kind = 'photo' AND f.hash = p.hash
           GROUP BY p.product),
         found AS (
           SELECT coalesce(s.embedded, 0) AS embedded, coalesce(s.waits, 0) AS waits,
                  CASE WHEN words.key IS NULL AND bad_words.reason IS NULL THEN 0 ELSE 1 END AS told
           FROM products AS p
           LEFT JOIN seen AS s ON s.product = p.key
           LEFT JOIN models AS m ON m.id = $1
           LEFT JOIN embeddings AS words ON words.model = m.key AND words.kind = 'words' AND words.hash = p.caption_hash
           LEFT JOIN failures AS bad_words
                  ON bad_words.model = m.key AND bad_words.kind = 'words' AND bad_words.hash = p.caption_hash)
         SELECT COUNT(*) AS products,
                COUNT(*) FILTER (WHERE embedded = 1) AS embedded,
                COUNT(*) FILTER (WHERE embedded = 0 AND waits = 0) AS bare,
                COUNT(*) FILTER (WHERE waits = 1 OR told = 0) AS pending
         FROM found",
    )
    .bind(model.as_str())
    .fetch_one(&catalog.inner.upkeep)
    .await?;
    Ok(Counts {
        products: number(&row, "products")?,
        embedded: number(&row, "embedded")?,
        without_embedding: number(&row, "bare")?,
        pending: number(&row, "pending")?,
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

/// The products that a condition names, with the vector of the model ?1 of their words, in the order
/// of the keys.
macro_rules! embedded_sql {
    ($condition:literal) => {
        concat!(
            "SELECT p.key, p.id, p.title, p.description, p.attributes, p.price, p.sale_price, p.created,
                    coalesce(words.vector, former.vector) AS words,
                    CASE WHEN words.key IS NOT NULL OR EXISTS (
                        SELECT 1 FROM failures AS f
                        WHERE f.model = m.key AND f.kind = 'words' AND f.hash = p.caption_hash)
                      THEN 1 ELSE 0 END AS told
             FROM products AS p
             LEFT JOIN models AS m ON m.id = $1
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

/// The pictures of the products that a condition names, with their vector of the model ?1, in the
/// order of the products and the numbers.
macro_rules! pictures_sql {
    ($condition:literal) => {
        concat!(
            "SELECT p.product, p.number, e.vector,
                    CASE WHEN e.key IS NULL AND p.error IS NULL AND NOT EXISTS (
                        SELECT 1 FROM failures AS f
                        WHERE f.model = m.key AND f.kind = 'photo' AND f.hash = p.hash)
                      THEN 1 ELSE 0 END AS waits
             FROM pictures AS p
             LEFT JOIN models AS m ON m.id = $1
             LEFT JOIN embeddings AS e ON e.model = m.key AND e.kind = 'photo' AND e.hash = p.hash
             WHERE ",
            $condition,
            " ORDER BY p.product, p.number"
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
        let mut read = catalog.snapshot(&catalog.inner.upkeep).await?;
        let revision = state(&mut *read).await?;
        let (mut counts, mut after) = (Counts::default(), 0_i64);
        loop {
            let sql = embedded_sql!("p.key > $2 ORDER BY p.key LIMIT $3");
            let rows = sqlx::query(sql)
                .bind(model.as_str())
                .bind(after)
                .bind(PAGE)
                .fetch_all(&mut *read)
                .await?;
            let Some(last) = rows.last() else { break };
            let before = std::mem::replace(&mut after, last.try_get("key")?);
            let pictures = sqlx::query(pictures_sql!("p.product > $2 AND p.product <= $3"))
                .bind(model.as_str())
                .bind(before)
                .bind(after)
                .fetch_all(&mut *read)
                .await?;
            let mut pictures = pictures.iter().peekable();
            for row in &rows {
                each(embedded_row(row, &mut pictures, dimensions, &mut counts)?);
            }
            // Rows become values without waiting for anything: others get their turn.
            tokio::task::yield_now().await;
        }
        Ok(AllEmbedded { revision, counts })
    };
    read.await.map_err(|e| catalog.error(e))
}

/// The products after a key, so many at most, as [`Catalog::embedded`] gives them: of now, and not of
/// one state of the database with those of another page.
pub(super) async fn embedded_page(
    catalog: &Catalog,
    model: &ModelId,
    dimensions: usize,
    (after, most): (i64, i64),
) -> Result<Vec<Embedded>, CatalogError> {
    let read = async {
        let mut read = catalog.snapshot(&catalog.inner.upkeep).await?;
        let sql = embedded_sql!("p.key > $2 ORDER BY p.key LIMIT $3");
        let rows = sqlx::query(sql)
            .bind(model.as_str())
            .bind(after)
            .bind(most)
            .fetch_all(&mut *read)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(Vec::new());
        };
        let last: i64 = last.try_get("key")?;
        let pictures = sqlx::query(pictures_sql!("p.product > $2 AND p.product <= $3"))
            .bind(model.as_str())
            .bind(after)
            .bind(last)
            .fetch_all(&mut *read)
            .await?;
        let mut pictures = pictures.iter().peekable();
        let none = &mut Counts::default();
        let products = rows
            .iter()
            .map(|row| embedded_row(row, &mut pictures, dimensions, none));
        products.collect::<Result<_, sqlx::Error>>()
    };
    read.await.map_err(|e| catalog.error(e))
}

/// The revision of the database, and the products that the log has after another one, so many at most.
/// `None`: there are more, or the log does not reach back so far.
async fn logged(
    read: &mut AnyConnection,
    (after, most): (u64, usize),
) -> Result<Option<(i64, Vec<i64>)>, sqlx::Error> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let row = sqlx::query("SELECT revision, log_from FROM state")
        .fetch_one(&mut *read)
        .await?;
    let revision = row.try_get::<i64, _>("revision")?;
    // Of a revision that this database never had, nothing is known either.
    if after < row.try_get::<i64, _>("log_from")? || after > revision {
        return Ok(None);
    }
    let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let keys: Vec<i64> =
        sqlx::query_scalar("SELECT DISTINCT key FROM changes WHERE seq > $1 ORDER BY key LIMIT $2")
            .bind(after)
            .bind(limit)
            .fetch_all(&mut *read)
            .await?;
    Ok((keys.len() <= most).then_some((revision, keys)))
}

/// See [`Catalog::products_since`].
async fn products_since(
    catalog: &Catalog,
    since: (u64, usize),
    mut each: impl FnMut(ProductKey, Option<StoredProduct>),
) -> Result<Option<u64>, sqlx::Error> {
    let mut read = catalog.snapshot(&catalog.inner.following).await?;
    let Some((revision, keys)) = logged(&mut read, since).await? else {
        return Ok(None);
    };
    for page in keys.chunks(usize::try_from(PAGE).unwrap_or(1)) {
        let rows = sqlx::query(stored_sql!(
            "FROM products AS p WHERE p.key IN (SELECT CAST(value AS bigint) FROM json_each($1))"
        ))
        .bind(serde_json::json!(page).to_string())
        .fetch_all(&mut *read)
        .await?;
        let rows: Result<Vec<_>, _> = rows.iter().map(stored).collect();
        let mut rows: HashMap<_, _> = rows?.into_iter().map(|row| (row.key, row)).collect();
        for changed in page {
            let changed = ProductKey(u32::try_from(*changed).map_err(undecodable)?);
            each(changed, rows.remove(&changed));
        }
        tokio::task::yield_now().await;
    }
    Ok(Some(revision.unsigned_abs()))
}

/// See [`Catalog::changed`]. `since`: after which revision, and how many at most.
async fn changed(
    catalog: &Catalog,
    model: &ModelId,
    dimensions: usize,
    since: (u64, usize),
    mut each: impl FnMut(Changed),
) -> Result<Option<u64>, sqlx::Error> {
    let mut read = catalog.snapshot(&catalog.inner.following).await?;
    let Some((revision, keys)) = logged(&mut read, since).await? else {
        return Ok(None);
    };
    for page in keys.chunks(usize::try_from(PAGE).unwrap_or(1)) {
        let sql = embedded_sql!(
            "p.key IN (SELECT CAST(value AS bigint) FROM json_each($2)) ORDER BY p.key"
        );
        let rows = sqlx::query(sql)
            .bind(model.as_str())
            .bind(serde_json::json!(page).to_string())
            .fetch_all(&mut *read)
            .await?;
        let pictures = sqlx::query(pictures_sql!(
            "p.product IN (SELECT CAST(value AS bigint) FROM json_each($2))"
        ))
        .bind(model.as_str())
        .bind(serde_json::json!(page).to_string())
        .fetch_all(&mut *read)
        .await?;
        let mut pictures = pictures.iter().peekable();
        let mut rows = rows.iter().peekable();
        for changed in page {
            let here = rows.next_if(|row| row.try_get::<i64, _>("key").ok() == Some(*changed));
            match here {
                Some(row) => {
                    let none = &mut Counts::default();
                    let product = embedded_row(row, &mut pictures, dimensions, none)?;
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

/// `pictures`: the rows of the pictures of this product and of those after it.
fn embedded_row<'a>(
    row: &DbRow,
    pictures: &mut Peekable<impl Iterator<Item = &'a DbRow>>,
    dimensions: usize,
    counts: &mut Counts,
) -> Result<Embedded, sqlx::Error> {
    let key = key(row)?;
    let vector = |row: &DbRow, column: &str| -> Result<Option<Embedding>, sqlx::Error> {
        Ok(row
            .try_get::<Option<&[u8]>, _>(column)?
            .and_then(|blob| from_blob(blob, dimensions, key)))
    };
    let (mut photos, mut embedded, mut waits) = (Vec::new(), false, false);
    while let Some(picture) =
        pictures.next_if(|picture| number(picture, "product").ok() == Some(key.0))
    {
        embedded |= picture.try_get::<Option<&[u8]>, _>("vector")?.is_some();
        waits |= flag(picture, "waits")?;
        if let Some(vector) = vector(picture, "vector")? {
            photos.push((number(picture, "number")?, vector));
        }
    }
    let told = flag(row, "told")?;
    counts.products += 1;
    counts.embedded += u64::from(embedded);
    counts.without_embedding += u64::from(!embedded && !waits);
    counts.pending += u64::from(waits || !told);
    Ok(Embedded {
        key,
        id: row.try_get("id")?,
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        photos,
        words: vector(row, "words")?,
        attributes: attributes(row.try_get("attributes")?, row.try_get("id")?),
        fields: fields_row(row)?,
    })
}

fn fields_row(row: &DbRow) -> Result<ProductFields, sqlx::Error> {
    Ok(ProductFields {
        price: row.try_get("price")?,
        sale_price: row.try_get("sale_price")?,
        created: row.try_get("created")?,
    })
}

async fn state<'a>(from: impl sqlx::Executor<'a, Database = Any>) -> Result<u64, sqlx::Error> {
    let revision: i64 = sqlx::query_scalar("SELECT revision FROM state")
        .fetch_one(from)
        .await?;
    Ok(revision.unsigned_abs())
}
