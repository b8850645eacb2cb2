//! The catalog: what comes in, what is embedded, what survives.

mod backup;
mod cli;
mod cost;
mod feeds;
mod gc;
mod import;
mod pictures;
mod queue;
mod sources;
mod survive;
mod upgrade;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aglet::catalog::ingest::{self, Embedder, ImportOptions, Lane, Progress, Summary};
use aglet::catalog::source::Source;
use aglet::catalog::{Catalog, Embedded, PictureHosts, ShownPicture};
use aglet::domain::{Embedding, ModelId, ProductId};
use aglet::encode::{EncodeError, ImageError};
use bytes::Bytes;
use sqlx::Row;

use crate::support::postgres;

const DIMENSIONS: usize = 8;

/// Embeds anything into a vector that its bytes decide; what begins with `broken` it refuses.
#[derive(Clone)]
struct Fake {
    model: ModelId,
    dimensions: usize,
    pause: Duration,
    photos: Arc<AtomicUsize>,
    words: Arc<AtomicUsize>,
    /// Answers after which the model is gone.
    lives: usize,
    busy: Arc<AtomicBool>,
}

impl Fake {
    fn new(model: &str) -> Self {
        Self {
            model: ModelId::new(model),
            dimensions: DIMENSIONS,
            pause: Duration::ZERO,
            photos: Arc::default(),
            words: Arc::default(),
            lives: usize::MAX,
            busy: Arc::default(),
        }
    }

    fn calls(&self) -> (usize, usize) {
        (
            self.photos.swap(0, Ordering::SeqCst),
            self.words.swap(0, Ordering::SeqCst),
        )
    }
}

fn vector(content: &[u8]) -> Embedding {
    vector_of(content, DIMENSIONS)
}

fn vector_of(content: &[u8], dimensions: usize) -> Embedding {
    let mut values = vec![1.0_f32; dimensions];
    for (i, byte) in content.iter().enumerate() {
        values[i % dimensions] += f32::from(*byte);
    }
    Embedding::new(values, dimensions).expect("positive values")
}

impl Embedder for Fake {
    fn model(&self) -> &ModelId {
        &self.model
    }
    async fn photo(&self, file: Bytes, _: Lane) -> Result<Embedding, EncodeError> {
        tokio::time::sleep(self.pause).await;
        if self.busy.swap(false, Ordering::SeqCst) {
            return Err(EncodeError::Overloaded);
        }
        if self.photos.fetch_add(1, Ordering::SeqCst) >= self.lives {
            return Err(EncodeError::WorkerGone);
        }
        if file.starts_with(b"broken") {
            return Err(ImageError::Broken {
                reason: "it is".to_owned(),
            }
            .into());
        }
        Ok(vector_of(&file, self.dimensions))
    }
    async fn words(&self, text: &str, _: Lane) -> Result<Embedding, EncodeError> {
        self.words.fetch_add(1, Ordering::SeqCst);
        Ok(vector_of(text.as_bytes(), self.dimensions))
    }
}

/// The catalog of a data folder, in whichever database the tests are about.
async fn open(data: &Path) -> Catalog {
    let database = postgres::database(data);
    Catalog::open_with(data, &database, PictureHosts::default())
        .await
        .expect("opens")
}

/// A shop on disk, and the data folder it is imported into.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    fn new(rows: &[(u32, &str)]) -> Self {
        let shop = Self {
            folder: tempfile::tempdir().expect("temporary folder"),
        };
        std::fs::create_dir(shop.path("images")).expect("images");
        shop.styles(rows);
        for (id, _) in rows {
            shop.photo(*id, &format!("photo of {id}"));
        }
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn styles(&self, rows: &[(u32, &str)]) {
        let mut text =
            "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,\
                        productDisplayName\n"
                .to_owned();
        for (id, name) in rows {
            text.extend([
                "",
                &id.to_string(),
                ",Men,Footwear,Shoes,Casual Shoes,Black,,NA,Casual,",
                name,
                "\n",
            ]);
        }
        self.write("styles.csv", text);
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("written");
    }

    fn photo(&self, id: u32, content: &str) {
        self.write(&format!("images/{id}.jpg"), content);
    }

    fn kaggle(&self) -> Source {
        Source::kaggle(self.path("styles.csv"), vec![self.path("images")], None)
    }

    async fn catalog(&self) -> Catalog {
        open(&self.path("data")).await
    }

    async fn import(
        &self,
        catalog: &Catalog,
        fake: &Fake,
        source: &Source,
        prune: bool,
    ) -> Summary {
        let options = ImportOptions {
            prune,
            ..ImportOptions::default()
        };
        ingest::import(catalog, fake, source, &options, &Progress::default())
            .await
            .expect("imports")
    }

    /// An import without embedding.
    async fn load(&self, catalog: &Catalog, source: &Source) -> Summary {
        let options = ImportOptions::default();
        ingest::load(catalog, source, &options, &Progress::default())
            .await
            .expect("loads")
    }
}

/// What an index would be built of.
struct Snapshot {
    revision: u64,
    products: Vec<Embedded>,
}

impl Snapshot {
    /// How many products have an embedding.
    fn embedded(&self) -> usize {
        let has = |product: &&Embedded| !product.photos.is_empty() || product.words.is_some();
        self.products.iter().filter(has).count()
    }
}

async fn snapshot(catalog: &Catalog, fake: &Fake) -> Snapshot {
    snapshot_of(catalog, fake, DIMENSIONS).await
}

async fn snapshot_of(catalog: &Catalog, fake: &Fake, dimensions: usize) -> Snapshot {
    let mut products = Vec::new();
    let all = catalog
        .embedded(&fake.model, dimensions, |product| products.push(product))
        .await
        .expect("reads");
    assert_eq!(
        all.counts,
        catalog.counts(&fake.model).await.expect("counts")
    );
    Snapshot {
        revision: all.revision,
        products,
    }
}

/// A product's picture as a client gets it.
async fn shown(catalog: &Catalog, id: &str) -> Option<Bytes> {
    let id = ProductId::new(id).expect("id");
    let shown = catalog.picture(&id, None).await.expect("reads");
    let Some(ShownPicture::Here(picture)) = shown.expect("there") else {
        return None;
    };
    let file = picture.open().await.expect("reads")?;
    let body = http_body_util::BodyExt::collect(file.body).await;
    Some(body.expect("whole").to_bytes())
}

/// Where a product's picture is: the file, or the archive and its member.
async fn place(catalog: &Catalog, id: &str) -> Option<(PathBuf, Option<String>)> {
    let mut database = postgres::raw(catalog.data()).await;
    let row = sqlx::query("SELECT i.file, i.member FROM products AS p LEFT JOIN pictures AS i ON i.product = p.key AND i.number = 1 WHERE p.id = $1")
        .bind(id)
        .fetch_one(&mut database)
        .await
        .expect("there");
    let file: Option<String> = row.get("file");
    // A relative path is below the data folder.
    file.map(|file| (catalog.data().join(file), row.get("member")))
}

async fn title(catalog: &Catalog, id: &str) -> Option<String> {
    let id = ProductId::new(id).expect("id");
    catalog
        .product(&id)
        .await
        .expect("reads")
        .map(|p| p.product.title)
}

fn rejects(summary: &Summary) -> Vec<(String, String, String)> {
    let Some(path) = &summary.rejects else {
        return Vec::new();
    };
    let mut reader = csv::Reader::from_path(path).expect("rejects");
    let rows = reader.records().map(|r| r.expect("row"));
    rows.map(|r| (r[0].to_owned(), r[1].to_owned(), r[2].to_owned()))
        .collect()
}

fn reject(line: &str, id: &str, lost: &str) -> (String, String, String) {
    (line.to_owned(), id.to_owned(), lost.to_owned())
}
