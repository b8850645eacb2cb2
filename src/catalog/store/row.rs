//! A row of `products`: compared with what a source says, and written.

use sqlx::Row;

use super::db::{DbRow, Tx, bind_real};
use super::queue;
use super::read;
use crate::catalog::caption::Caption;
use crate::domain::{Product, ProductId, ProductKey};
use crate::util::digest::sha256;

/// sha256 of the content that was embedded.
pub(in crate::catalog) type Hash = [u8; 32];

pub(in crate::catalog) fn hash(content: &[u8]) -> Hash {
    sha256(content)
}

pub(super) fn hash_column(bytes: &[u8]) -> Result<Hash, sqlx::Error> {
    Hash::try_from(bytes).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

/// A row of `products` as it is compared and written.
#[derive(Clone, PartialEq)]
pub(super) struct Columns {
    pub(super) key: u32,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) price: Option<f64>,
    pub(super) sale_price: Option<f64>,
    pub(super) currency: Option<String>,
    /// `None`, of a source: it does not say.
    pub(super) created: Option<i64>,
    pub(super) url: Option<String>,
    pub(super) attributes: String,
    pub(super) caption_hash: Hash,
}

/// Sets the caption ?2 and more of the product ?1. The hash of the former caption stays until the
/// new one is embedded, so that no product drops out of the index meanwhile.
macro_rules! caption_sql {
    ($more:literal) => {
        concat!(
            "UPDATE products SET words_hash = CASE WHEN EXISTS (
                 SELECT 1 FROM models AS m CROSS JOIN embeddings AS e
                 WHERE e.model = m.key AND e.kind = 'words' AND e.hash = products.caption_hash)
               THEN caption_hash ELSE words_hash END,
               caption_hash = $2",
            $more,
            " WHERE key = $1"
        )
    };
}

impl Columns {
    pub(super) fn of(product: &Product) -> Self {
        Self {
            key: 0,
            title: product.title.clone(),
            description: product.description.clone(),
            price: product.price,
            sale_price: product.sale_price,
            currency: product.currency.clone(),
            created: product.created,
            url: product.url.clone(),
            attributes: serde_json::json!(product.attributes).to_string(),
            caption_hash: hash(Caption::of(product).content().as_bytes()),
        }
    }

    pub(super) fn read(row: &DbRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            key: read::key(row)?.0,
            title: row.try_get("title")?,
            description: row.try_get("description")?,
            price: row.try_get("price")?,
            sale_price: row.try_get("sale_price")?,
            currency: row.try_get("currency")?,
            created: row.try_get("created")?,
            url: row.try_get("url")?,
            attributes: row.try_get("attributes")?,
            caption_hash: hash_column(row.try_get("caption_hash")?)?,
        })
    }

    /// The product of a row, whose id is not in the columns.
    pub(super) fn product(&self, id: ProductId) -> Product {
        Product {
            title: self.title.clone(),
            description: self.description.clone(),
            attributes: read::attributes(&self.attributes, id.as_str()),
            id,
            price: self.price,
            sale_price: self.sale_price,
            currency: self.currency.clone(),
            created: self.created,
            url: self.url.clone(),
        }
    }

    /// Takes over what a product keeps that is written anew.
    pub(super) fn keep(&mut self, old: &Self) {
        self.key = old.key;
        self.created = self.created.or(old.created);
    }

    pub(super) fn same(&self, new: &Self) -> bool {
        *self
            == Self {
                key: self.key,
                created: new.created.or(self.created),
                ..new.clone()
            }
    }

    pub(super) async fn insert(
        &self,
        id: &ProductId,
        transaction: &mut Tx,
    ) -> Result<ProductKey, sqlx::Error> {
        let sql = "INSERT INTO products
                   (id, title, description, price, url, attributes, words_hash, caption_hash,
                    sale_price, currency, created)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10)
                   RETURNING key";
        let query = sqlx::query(sql)
            .bind(id.as_str())
            .bind(&self.title)
            .bind(&self.description);
        let query = bind_real(query, self.price)
            .bind(&self.url)
            .bind(&self.attributes)
            .bind(self.caption_hash.as_slice());
        let query = bind_real(query, self.sale_price)
            .bind(&self.currency)
            .bind(self.created.unwrap_or_else(queue::now));
        let key = read::key(&query.fetch_one(&mut **transaction).await?)?;
        queue::words(key.0, transaction).await?;
        Ok(key)
    }

    pub(super) async fn update(&self, old: &Self, transaction: &mut Tx) -> Result<(), sqlx::Error> {
        let sql = caption_sql!(
            ", title = $3, description = $4, price = $5, url = $6, attributes = $7, sale_price = $8,
             currency = $9, created = coalesce($10, created)"
        );
        let query = sqlx::query(sql)
            .bind(i64::from(old.key))
            .bind(self.caption_hash.as_slice())
            .bind(&self.title)
            .bind(&self.description);
        let query = bind_real(query, self.price)
            .bind(&self.url)
            .bind(&self.attributes);
        let query = bind_real(query, self.sale_price)
            .bind(&self.currency)
            .bind(self.created);
        query.execute(&mut **transaction).await?;
        if old.caption_hash != self.caption_hash {
            queue::words(old.key, transaction).await?;
        }
        Ok(())
    }

    /// Gives it a caption that is made in another way of what it was.
    pub(super) async fn renew_caption(
        &self,
        caption_hash: &Hash,
        transaction: &mut Tx,
    ) -> Result<(), sqlx::Error> {
        let query = sqlx::query(caption_sql!("")).bind(i64::from(self.key));
        let query = query.bind(caption_hash.as_slice());
        query.execute(&mut **transaction).await.map(|_| ())
    }
}
