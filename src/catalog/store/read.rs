//! Opening the database and reading it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::Serialize;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row, SqlSafeStr, SqlitePool};

use crate::catalog::media::readers::Readers;
use crate::catalog::{
    AllEmbedded, Catalog, CatalogError, Counts, Embedded, ImageSource, Inner, Photos, Picture,
    StoredProduct,
};
use crate::domain::{Attributes, Embedding, ModelId, Product, ProductId, ProductKey};
use crate::util::blocking::blocking;
use crate::util::budget::Budget;

/// The files of `migrations/`: (version, name, text). Written out, because sqlx's macro that reads the
/// folder would compile sqlx and SQLite a second time, for the compiler's own use.
const MIGRATION_FILES: [(i64, &str, &str); 2] = [
    (
        1,
        "catalog",
        include_str!("../../../migrations/0001_catalog.sql"),
    ),
    (
        2,
        "pictures and captions",
        include_str!("../../../migrations/0002_pictures_and_captions.sql"),
    ),
];

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let migrations = MIGRATION_FILES.map(|(version, name, text)| {
        let kind = MigrationType::Simple;
        Migration::new(version, name.into(), kind, text.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.into())
});

const FILE: &str = "catalog.sqlite";
const READERS: u32 = 4;
/// Connections of those who follow and report: searches, however many, do not keep them waiting.
const UPKEEP: u32 = 2;
/// Bytes of pictures that are held whole for clients at a time.
const PICTURES: u64 = 256 << 20;
/// A page of [`embedded`]: bounds what is held twice while rows become values.
const PAGE: i64 = 1024;

pub(in crate::catalog) async fn open(data: &Path) -> Result<Catalog, CatalogError> {
    let io = |source| CatalogError::io(data, source);
    std::fs::create_dir_all(data).map_err(io)?;
    let data = data.canonicalize().map_err(io)?;
    let path = data.join(FILE);

    // FULL: an import that reports a batch as done has it on the disk, also when the power fails. A
    // commit holds some hundred rows, so that its fsync costs nothing beside them.
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10))
        .log_slow_statements(tracing::log::LevelFilter::Off, Duration::ZERO);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None);
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(None)
        .max_lifetime(None);
    let upkeep = SqlitePoolOptions::new()
        .max_connections(UPKEEP)
        .idle_timeout(None)
        .max_lifetime(None);
    let read_only = options.clone().pragma("query_only", "ON");
    let catalog = Catalog {
        inner: Arc::new(Inner {
            upkeep: upkeep.connect_lazy_with(read_only.clone()),
            writer: writer.connect_lazy_with(options.clone()),
            searches: readers.connect_lazy_with(read_only),
            photos: Photos::default(),
            readers: Readers::default(),
            pictures: Budget::new(PICTURES),
            data,
        }),
    };
    migrate(&catalog).await?;
    Ok(catalog)
}

/// Brings the schema up to date; two processes that start together do so one after the other.
async fn migrate(catalog: &Catalog) -> Result<(), CatalogError> {
    let lock = catalog.data().join("migrate.lock");
    let io = |source| CatalogError::io(&lock, source);
    let file = File::options()
        .create(true)
        .append(true)
        .open(&lock)
        .map_err(io)?;
    let _held = blocking(move || file.lock().map(|()| file))
        .await?
        .map_err(io)?;

    let path = catalog.path();
    let known = MIGRATIONS
        .iter()
        .map(|m| m.version)
        .max()
        .unwrap_or_default();
    MIGRATIONS
        .run(&catalog.inner.writer)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMissing(found) if found > known => {
                CatalogError::Newer { path, found, known }
            }
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                catalog.error(error)
            }
            other => CatalogError::Corrupt {
                path,
                reason: other.to_string(),
            },
        })
}

impl Catalog {
    pub(in crate::catalog) fn path(&self) -> PathBuf {
        self.inner.data.join(FILE)
    }

    /// What SQLite's result codes mean to whoever runs the shop.
    pub(in crate::catalog) fn error(&self, error: sqlx::Error) -> CatalogError {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .and_then(|c| c.parse::<i32>().ok());
        // The low byte is the primary result code (https://www.sqlite.org/rescode.html).
        match code.map(|c| c & 0xff) {
            Some(11 | 26) => CatalogError::Corrupt {
                path: self.path(),
                reason: error.to_string(),
            },
            Some(13) => CatalogError::Full { path: self.path() },
            Some(5 | 6) => CatalogError::Busy(error),
            _ if matches!(
                error,
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)
            ) =>
            {
                CatalogError::Corrupt {
                    path: self.path(),
                    reason: error.to_string(),
                }
            }
            _ => CatalogError::Database(error),
        }
    }

    pub(in crate::catalog) fn readers(&self) -> &SqlitePool {
        &self.inner.searches
    }
}

/// A stored value that this version would not have written.
fn undecodable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

pub(in crate::catalog) fn attributes(json: &str) -> Result<Attributes, sqlx::Error> {
    serde_json::from_str(json).map_err(undecodable)
}

pub(in crate::catalog) fn key(row: &SqliteRow) -> Result<ProductKey, sqlx::Error> {
    u32::try_from(row.try_get::<i64, _>("key")?)
        .map(ProductKey)
        .map_err(undecodable)
}

/// Columns `image_file`, `image_root` and `image_member`. A relative path lies in the data folder,
/// which may have moved.
pub(in crate::catalog) fn image(
    row: &SqliteRow,
    data: &Path,
) -> Result<Option<ImageSource>, sqlx::Error> {
    let Some(file) = row
        .try_get::<Option<&str>, _>("image_file")?
        .map(|f| data.join(f))
    else {
        return Ok(None);
    };
    if let Some(member) = row.try_get::<Option<String>, _>("image_member")? {
        return Ok(Some(ImageSource::Zip {
            archive: file,
            member,
        }));
    }
    let root = row.try_get::<Option<&str>, _>("image_root")?;
    let below = root.map(|root| data.join(root)).and_then(|folder| {
        let name = file.strip_prefix(&folder).ok()?.to_owned();
        Some(ImageSource::File { folder, name })
    });
    Ok(Some(below.unwrap_or_else(|| ImageSource::file(&file))))
}

pub(super) fn stored(row: &SqliteRow, data: &Path) -> Result<StoredProduct, sqlx::Error> {
    let product = Product {
        id: ProductId::new(row.try_get("id")?).map_err(undecodable)?,
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        attributes: attributes(row.try_get("attributes")?)?,
        price: row.try_get("price")?,
        url: row.try_get("url")?,
    };
    Ok(StoredProduct {
        key: key(row)?,
        product,
        image: image(row, data)?,
        has_picture: row.try_get("image_decoded")?,
    })
}

pub(in crate::catalog) async fn picture(
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

pub(in crate::catalog) async fn product(
    catalog: &Catalog,
    id: &ProductId,
) -> Result<Option<StoredProduct>, CatalogError> {
    let row = sqlx::query("SELECT * FROM products WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(catalog.readers());
    let row = row.await.map_err(|e| catalog.error(e))?;
    row.map(|row| stored(&row, catalog.data()))
        .transpose()
        .map_err(|e| catalog.error(e))
}

pub(in crate::catalog) async fn products(
    catalog: &Catalog,
    keys: &[ProductKey],
) -> Result<Vec<StoredProduct>, CatalogError> {
    // One bound array instead of one parameter a key: a single prepared statement for every page
    // size.
    let keys = serde_json::json!(keys.iter().map(|k| k.0).collect::<Vec<_>>()).to_string();
    let rows = sqlx::query(
        "SELECT p.* FROM json_each(?) AS wanted CROSS JOIN products AS p ON p.key = wanted.value ORDER BY wanted.key",
    )
    .bind(keys)
    .fetch_all(catalog.readers())
    .await
    .map_err(|e| catalog.error(e))?;
    rows.iter()
        .map(|row| stored(row, catalog.data()))
        .collect::<Result<_, _>>()
        .map_err(|e| catalog.error(e))
}

/// The keys of products by id; unknown ids are left out.
pub(in crate::catalog) async fn keys<S: Serialize>(
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

pub(in crate::catalog) async fn revision(catalog: &Catalog) -> Result<u64, CatalogError> {
    let revision = sqlx::query_scalar::<_, i64>("SELECT revision FROM state")
        .fetch_one(&catalog.inner.upkeep)
        .await;
    revision
        .map(i64::unsigned_abs)
        .map_err(|e| catalog.error(e))
}

pub(in crate::catalog) async fn identity(catalog: &Catalog) -> Result<String, CatalogError> {
    sqlx::query_scalar("SELECT identity FROM state")
        .fetch_one(&catalog.inner.upkeep)
        .await
        .map_err(|e| catalog.error(e))
}

pub(in crate::catalog) async fn counts(
    catalog: &Catalog,
    model: &ModelId,
) -> Result<Counts, CatalogError> {
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
pub(in crate::catalog) fn to_blob(embedding: &Embedding) -> Vec<u8> {
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
            tracing::warn!(product = key.0, %error, "a stored vector is no embedding; left out");
            None
        }
    }
}

pub(in crate::catalog) async fn embedded(
    catalog: &Catalog,
    model: &ModelId,
    dimensions: usize,
    mut each: impl FnMut(Embedded),
) -> Result<AllEmbedded, CatalogError> {
    // One read transaction: the vectors are the state of the revision that is answered with them.
    let mut read = catalog
        .inner
        .upkeep
        .begin()
        .await
        .map_err(|e| catalog.error(e))?;
    let revision = sqlx::query_scalar::<_, i64>("SELECT revision FROM state")
        .fetch_one(&mut *read)
        .await;
    let revision = revision.map_err(|e| catalog.error(e))?.unsigned_abs();
    let (mut counts, mut after) = (Counts::default(), 0_i64);
    loop {
        let rows = sqlx::query(
            "SELECT p.key, p.attributes, photo.vector AS photo,
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
             WHERE p.key > ?2 ORDER BY p.key LIMIT ?3",
        )
        .bind(model.as_str())
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut *read)
        .await
        .map_err(|e| catalog.error(e))?;
        let Some(last) = rows.last() else { break };
        after = last.try_get("key").map_err(|e| catalog.error(e))?;
        for row in &rows {
            let product =
                embedded_row(row, dimensions, &mut counts).map_err(|e| catalog.error(e))?;
            if product.photo.is_some() || product.words.is_some() {
                each(product);
            }
        }
        // Rows become values without waiting for anything: others get their turn.
        tokio::task::yield_now().await;
    }
    Ok(AllEmbedded { revision, counts })
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
    let photo = vector("photo")?;
    let (lost, told): (bool, bool) = (row.try_get("lost")?, row.try_get("told")?);
    counts.products += 1;
    counts.embedded += u64::from(photo.is_some());
    counts.without_embedding += u64::from(lost);
    counts.pending += u64::from((photo.is_none() && !lost) || !told);
    Ok(Embedded {
        key,
        photo,
        words: vector("words")?,
        attributes: attributes(row.try_get("attributes")?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_migration_of_the_folder_is_in_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let folder = Migrator::new(folder.as_path()).await.expect("readable");
        let listed = |migrator: &Migrator| -> Vec<(i64, String, Vec<u8>)> {
            migrator
                .iter()
                .map(|m| (m.version, m.description.to_string(), m.checksum.to_vec()))
                .collect()
        };
        assert_eq!(listed(&MIGRATIONS), listed(&folder));
    }
}
