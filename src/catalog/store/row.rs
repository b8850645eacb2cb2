//! A row of `products`: compared with what a source says, and written.

use std::path::Path;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::read;
use crate::catalog::caption::caption;
use crate::catalog::media::PicturePlace;
use crate::catalog::source::row::Record;
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
    pub(super) image_file: Option<String>,
    pub(super) image_member: Option<String>,
    /// Not compared: a folder may be given by another of its parents.
    pub(super) image_root: Option<String>,
}

impl Columns {
    pub(super) fn of(record: &Record, data: &Path) -> Self {
        let product = &record.product;
        // Relative to the data folder where it lies inside, so that the folder can be moved or
        // mounted elsewhere.
        let stored = |path: &Path| {
            let path = path.strip_prefix(data).unwrap_or(path);
            path.to_string_lossy().into_owned()
        };
        let file = record.image.as_ref().map(|image| stored(&image.path()));
        let (root, member) = match &record.image {
            None => (None, None),
            Some(PicturePlace::File { folder, .. }) => (Some(stored(folder)), None),
            Some(PicturePlace::Zip { member, .. }) => (None, Some(member.clone())),
        };
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
            caption_hash: hash(caption(product).as_bytes()),
            image_file: file,
            image_member: member,
            image_root: root,
        }
    }

    pub(super) fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
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
            image_file: row.try_get("image_file")?,
            image_member: row.try_get("image_member")?,
            image_root: row.try_get("image_root")?,
        })
    }

    /// The product of a row, whose id is not in the columns.
    pub(super) fn product(&self, id: ProductId) -> Result<Product, sqlx::Error> {
        Ok(Product {
            id,
            title: self.title.clone(),
            description: self.description.clone(),
            attributes: read::attributes(&self.attributes)?,
            price: self.price,
            sale_price: self.sale_price,
            currency: self.currency.clone(),
            created: self.created,
            url: self.url.clone(),
        })
    }

    /// Takes over what a product keeps when it is written without its picture.
    pub(super) fn keep(&mut self, old: &Self) {
        self.key = old.key;
        self.created = self.created.or(old.created);
        self.image_file.clone_from(&old.image_file);
        self.image_member.clone_from(&old.image_member);
        self.image_root.clone_from(&old.image_root);
    }

    pub(super) fn same(&self, new: &Self) -> bool {
        *self
            == Self {
                key: self.key,
                image_root: self.image_root.clone(),
                created: new.created.or(self.created),
                ..new.clone()
            }
    }

    /// Whether it is another product to a shopper. Another picture is noticed when it is read: a shop
    /// that moved its folder changed nothing.
    pub(super) fn says_otherwise(&self, new: &Self) -> bool {
        let elsewhere = Self {
            image_file: self.image_file.clone(),
            image_member: self.image_member.clone(),
            ..new.clone()
        };
        !self.same(&elsewhere) || self.image_file.is_some() != new.image_file.is_some()
    }

    pub(super) fn same_image(&self, new: &Self) -> bool {
        self.image_file == new.image_file && self.image_member == new.image_member
    }

    pub(super) async fn insert(
        &self,
        record: &Record,
        transaction: &mut Transaction<'static, Sqlite>,
    ) -> Result<ProductKey, sqlx::Error> {
        let sql = "INSERT INTO products
                   (id, title, description, price, url, attributes, words_hash, caption_hash,
                    image_file, image_member, image_root, sale_price, currency, created)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12,
                           coalesce(?13, unixepoch())) RETURNING key";
        let query = sqlx::query(sql)
            .bind(record.product.id.as_str())
            .bind(&self.title)
            .bind(&self.description);
        let query = query
            .bind(self.price)
            .bind(&self.url)
            .bind(&self.attributes)
            .bind(self.caption_hash.as_slice());
        let query = query
            .bind(&self.image_file)
            .bind(&self.image_member)
            .bind(&self.image_root);
        let query = query
            .bind(self.sale_price)
            .bind(&self.currency)
            .bind(self.created);
        read::key(&query.fetch_one(&mut **transaction).await?)
    }

    /// The hash of a picture stays until the new one is read, and that of a caption until the new
    /// one is embedded, so that no product drops out of the index meanwhile.
    pub(super) async fn update(
        &self,
        old: &Self,
        transaction: &mut Transaction<'static, Sqlite>,
    ) -> Result<(), sqlx::Error> {
        let sql =
            "UPDATE products SET title = ?1, description = ?2, price = ?3, url = ?4, attributes = ?5,
                   words_hash = CASE WHEN EXISTS (
                     SELECT 1 FROM models AS m CROSS JOIN embeddings AS e
                         ON e.model = m.key AND e.kind = 'words' AND e.hash = products.caption_hash)
                     THEN caption_hash ELSE words_hash END,
                   caption_hash = ?6, image_file = ?7, image_member = ?8, image_root = ?9,
                   image_stamp = iif(?10, image_stamp, NULL), image_error = iif(?10, image_error, NULL),
                   image_hash = iif(?11, image_hash, NULL), image_decoded = iif(?11, image_decoded, 0),
                   sale_price = ?13, currency = ?14, created = coalesce(?15, created)
             WHERE key = ?12";
        let same = old.same_image(self);
        let query = sqlx::query(sql)
            .bind(&self.title)
            .bind(&self.description)
            .bind(self.price)
            .bind(&self.url);
        let query = query
            .bind(&self.attributes)
            .bind(self.caption_hash.as_slice());
        let query = query
            .bind(&self.image_file)
            .bind(&self.image_member)
            .bind(&self.image_root);
        let query = query
            .bind(same)
            .bind(self.image_file.is_some())
            .bind(old.key)
            .bind(self.sale_price)
            .bind(&self.currency)
            .bind(self.created);
        query.execute(&mut **transaction).await.map(|_| ())
    }
}
