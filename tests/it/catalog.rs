//! The catalog: what comes in, what is embedded, what survives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aglet::catalog::ingest::{self, Embedder, ImportOptions, IngestError, Progress, Summary};
use aglet::catalog::source::Source;
use aglet::catalog::{Catalog, CatalogError, Counts, ImageSource, Snapshot};
use aglet::domain::{Embedding, ModelId, ProductId};
use aglet::encode::{EncodeError, ImageError};
use bytes::Bytes;

const DIMENSIONS: usize = 8;

/// Embeds anything into a vector that its bytes decide; what begins with `broken` it refuses.
#[derive(Clone)]
struct Fake {
    model: ModelId,
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
            pause: Duration::ZERO,
            photos: Arc::default(),
            words: Arc::default(),
            lives: usize::MAX,
            busy: Arc::default(),
        }
    }

    fn calls(&self) -> (usize, usize) {
        (self.photos.swap(0, Ordering::SeqCst), self.words.swap(0, Ordering::SeqCst))
    }
}

fn vector(content: &[u8]) -> Embedding {
    let mut values = vec![1.0_f32; DIMENSIONS];
    for (i, byte) in content.iter().enumerate() {
        values[i % DIMENSIONS] += f32::from(*byte);
    }
    Embedding::new(values, DIMENSIONS).expect("positive values")
}

impl Embedder for Fake {
    fn model(&self) -> &ModelId {
        &self.model
    }
    async fn photo(&self, file: Bytes) -> Result<Embedding, EncodeError> {
        tokio::time::sleep(self.pause).await;
        if self.busy.swap(false, Ordering::SeqCst) {
            return Err(EncodeError::Overloaded);
        }
        if self.photos.fetch_add(1, Ordering::SeqCst) >= self.lives {
            return Err(EncodeError::WorkerGone);
        }
        if file.starts_with(b"broken") {
            return Err(ImageError::Broken { reason: "it is".to_owned() }.into());
        }
        Ok(vector(&file))
    }
    async fn words(&self, text: &str) -> Result<Embedding, EncodeError> {
        self.words.fetch_add(1, Ordering::SeqCst);
        Ok(vector(text.as_bytes()))
    }
}

/// A shop on disk, and the data folder it is imported into.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    fn new(rows: &[(u32, &str)]) -> Self {
        let shop = Self { folder: tempfile::tempdir().expect("temporary folder") };
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
        let mut text = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,\
                        productDisplayName\n"
            .to_owned();
        for (id, name) in rows {
            text += &format!("{id},Men,Footwear,Shoes,Casual Shoes,Black,,NA,Casual,{name}\n");
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
        Source::Kaggle { styles: self.path("styles.csv"), images: vec![self.path("images")], shoelaces: None }
    }

    async fn catalog(&self) -> Catalog {
        Catalog::open(&self.path("data")).await.expect("opens")
    }

    async fn import(&self, catalog: &Catalog, fake: &Fake, source: &Source, prune: bool) -> Summary {
        let options = ImportOptions { prune, ..ImportOptions::default() };
        ingest::import(catalog, fake, source, &options, &Progress::default()).await.expect("imports")
    }
}

async fn snapshot(catalog: &Catalog, fake: &Fake) -> Snapshot {
    catalog.embedded(&fake.model, DIMENSIONS).await.expect("reads")
}

async fn title(catalog: &Catalog, id: &str) -> Option<String> {
    let id = ProductId::new(id).expect("id");
    catalog.product(&id).await.expect("reads").map(|p| p.product.title)
}

fn rejects(summary: &Summary) -> Vec<(String, String, String)> {
    let Some(path) = &summary.rejects else { return Vec::new() };
    let mut reader = csv::Reader::from_path(path).expect("rejects");
    let rows = reader.records().map(|r| r.expect("row"));
    rows.map(|r| (r[0].to_owned(), r[1].to_owned(), r[2].to_owned())).collect()
}

fn reject(line: &str, id: &str, lost: &str) -> (String, String, String) {
    (line.to_owned(), id.to_owned(), lost.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_import_does_nothing() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two"), (3, "Puma Three")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    fake.busy.store(true, Ordering::SeqCst);
    let before = catalog.revision().await.expect("revision");
    let first = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((first.new, first.changed, first.unchanged), (3, 0, 0));
    assert_eq!((first.embedded.photos, first.embedded.words, first.rejects), (3, 3, None));
    assert_eq!(fake.calls(), (3, 3));
    let after = snapshot(&catalog, &fake).await;
    assert!(after.revision > before);
    assert_eq!(after.products.len(), 3);
    assert_eq!(after.products[0].photo, Some(vector(b"photo of 1")));
    assert_eq!(after.products[0].words, Some(vector(b"Puma One, black casual shoes for men")));
    let counts = Counts { products: 3, embedded: 3, without_embedding: 0 };
    assert_eq!(catalog.counts(&fake.model).await.expect("counts"), counts);

    let second = shop.import(&catalog, &fake, &shop.kaggle(), true).await;
    assert_eq!((second.new, second.changed, second.unchanged, second.removed), (0, 0, 3, 0));
    assert_eq!((second.embedded.photos, second.embedded.words, second.embedded.failed), (0, 0, 0));
    assert_eq!(fake.calls(), (0, 0));
    assert_eq!(catalog.revision().await.expect("revision"), after.revision);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_embedded_and_the_revision_follows_the_index() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    fake.calls();
    let start = catalog.revision().await.expect("revision");

    // The same bytes under another time: read, not embedded, nothing to follow.
    shop.photo(1, "photo of 1");
    let touched = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((touched.unchanged, fake.calls()), (2, (0, 0)));
    assert_eq!(catalog.revision().await.expect("revision"), start);

    // The pictures move into an archive: products change, the index does not.
    let mut zip = zip::ZipWriter::new(std::fs::File::create(shop.path("moved.zip")).expect("zip"));
    for id in [1, 2] {
        zip.start_file(format!("images/{id}.jpg"), zip::write::SimpleFileOptions::default()).expect("member");
        std::io::Write::write_all(&mut zip, format!("photo of {id}").as_bytes()).expect("bytes");
    }
    zip.finish().expect("zip");
    let archive =
        Source::Kaggle { styles: shop.path("styles.csv"), images: vec![shop.path("moved.zip")], shoelaces: None };
    let moved = shop.import(&catalog, &fake, &archive, false).await;
    assert_eq!((moved.changed, fake.calls()), (2, (0, 0)));
    assert_eq!(catalog.revision().await.expect("revision"), start);
    let stored = catalog.product(&ProductId::new("2").expect("id")).await.expect("reads").expect("there");
    let image = stored.image.expect("picture");
    assert!(matches!(&image, ImageSource::Zip { member, .. } if member == "images/2.jpg"), "{image:?}");
    assert_eq!(catalog.image(&image).await.expect("reads"), Some(Bytes::from_static(b"photo of 2")));

    // Another picture, another name: one of each is embedded.
    shop.photo(1, "new photo of 1");
    shop.styles(&[(1, "Puma One"), (2, "Puma Too")]);
    let changed = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((changed.changed, fake.calls()), (2, (1, 1)));
    let now = snapshot(&catalog, &fake).await;
    assert!(now.revision > start);
    assert_eq!(now.products[0].photo, Some(vector(b"new photo of 1")));
    assert_eq!(title(&catalog, "2").await.as_deref(), Some("Puma Too"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_product_comes_back_without_being_embedded() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    let key = snapshot(&catalog, &fake).await.products[1].key;
    fake.calls();
    shop.styles(&[(1, "Puma One")]);
    let kept = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((kept.removed, title(&catalog, "2").await.as_deref()), (0, Some("Puma Two")));
    let revision = catalog.revision().await.expect("revision");
    let pruned = shop.import(&catalog, &fake, &shop.kaggle(), true).await;
    assert_eq!((pruned.removed, title(&catalog, "2").await), (1, None));
    assert!(catalog.revision().await.expect("revision") > revision);
    assert!(catalog.products(&[key]).await.expect("reads").is_empty());
    shop.styles(&[(1, "Puma One"), (2, "Puma Two")]);
    let back = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((back.new, fake.calls()), (1, (0, 0)));
    let now = snapshot(&catalog, &fake).await;
    assert_eq!(now.products.len(), 2);
    assert_ne!(now.products[1].key, key, "a key is never used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_spares_what_it_cannot_be_sure_of() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    // The row of 2 is there and cannot be used.
    shop.styles(&[(1, "Puma One"), (2, "")]);
    let summary = shop.import(&catalog, &fake, &shop.kaggle(), true).await;
    assert_eq!((summary.removed, summary.prune_skipped, rejects(&summary)), (0, false, vec![reject("3", "2", "row")]));
    // Which product the bad row is, nobody knows.
    shop.write("catalog.jsonl", "{\"id\": 1, \"title\": \"One\"}\n{\"id\": 2,,\n");
    let lines = Source::JsonLines { file: shop.path("catalog.jsonl"), images: vec![] };
    let summary = shop.import(&catalog, &fake, &lines, true).await;
    assert_eq!((summary.removed, summary.prune_skipped, rejects(&summary)), (0, true, vec![reject("2", "", "row")]));
    // An empty file is a mistake, not a wish.
    shop.styles(&[]);
    let options = ImportOptions { prune: true, ..ImportOptions::default() };
    let wiped = ingest::load(&catalog, &shop.kaggle(), &options, &Progress::default()).await;
    assert!(matches!(wiped, Err(IngestError::NothingToKeep)), "{wiped:?}");
    assert_eq!(catalog.counts(&fake.model).await.expect("counts").products, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_model_has_its_own_vectors() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, first, second) = (shop.catalog().await, Fake::new("a"), Fake::new("b"));
    shop.import(&catalog, &first, &shop.kaggle(), false).await;
    assert!(snapshot(&catalog, &second).await.products.is_empty());
    assert_eq!(catalog.counts(&second.model).await.expect("counts").pending(), 2);
    let progress = Progress::default();
    let done = ingest::embed_missing(&catalog, &second, &progress).await.expect("embeds");
    assert_eq!((done.photos, done.words, second.calls()), (2, 2, (2, 2)));
    let status = progress.status();
    assert_eq!((status.running, status.photos, status.photos_done, status.words_done), (false, 2, 2, 2));
    assert_eq!(snapshot(&catalog, &second).await.products.len(), 2);
    assert_eq!(snapshot(&catalog, &first).await.products.len(), 2);
    // Vectors of another size than the model's are no vectors.
    assert!(catalog.embedded(&first.model, DIMENSIONS + 1).await.expect("reads").products.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_photo_costs_the_photo_only() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two"), (3, "Puma Three")]);
    shop.photo(2, "broken");
    std::fs::remove_file(shop.path("images/3.jpg")).expect("removed");
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let summary = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((summary.new, summary.rejected_rows, summary.rejected_parts), (3, 0, 2));
    assert_eq!(rejects(&summary), [reject("4", "3", "photo"), reject("3", "2", "photo")]);
    let counts = Counts { products: 3, embedded: 1, without_embedding: 2 };
    assert_eq!(catalog.counts(&fake.model).await.expect("counts"), counts);
    let found = snapshot(&catalog, &fake).await;
    let photos: Vec<bool> = found.products.iter().map(|p| p.photo.is_some()).collect();
    assert_eq!(photos, [true, false, false]);
    assert!(found.products.iter().all(|p| p.words.is_some()));
    fake.calls();

    // A service that starts does not try again; an import does, and says so again.
    ingest::embed_missing(&catalog, &fake, &Progress::default()).await.expect("embeds");
    assert_eq!(fake.calls(), (0, 0));
    let again = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((fake.calls(), again.rejected_parts), ((1, 0), 2));
    assert_eq!(catalog.revision().await.expect("revision"), found.revision);

    // Mended, both are taken.
    shop.photo(2, "mended");
    shop.photo(3, "found");
    let mended = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((mended.embedded.photos, mended.rejects), (2, None));

    // And when a picture vanishes, nothing breaks.
    let stored = catalog.product(&ProductId::new("3").expect("id")).await.expect("reads").expect("there");
    std::fs::remove_file(shop.path("images/3.jpg")).expect("removed");
    assert_eq!(catalog.image(&stored.image.expect("picture")).await.expect("reads"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_picture_is_embedded_once() {
    let rows: Vec<(u32, &str)> = (1..=40).map(|id| (id, "Puma Same")).collect();
    let shop = Shop::new(&rows);
    for (id, _) in &rows {
        shop.photo(*id, "the same");
    }
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(fake.calls(), (1, 1));
    let counts = Counts { products: 40, embedded: 40, without_embedding: 0 };
    assert_eq!(catalog.counts(&fake.model).await.expect("counts"), counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_reported_done_survives_a_model_that_dies_and_an_import_that_is_dropped() {
    let rows: Vec<(u32, &str)> = (1..=600).map(|id| (id, "Puma Many")).collect();
    let shop = Shop::new(&rows);
    let catalog = shop.catalog().await;
    let dying = Fake { lives: 300, ..Fake::new("a") };
    let progress = Progress::default();
    let options = ImportOptions::default();
    let died = ingest::import(&catalog, &dying, &shop.kaggle(), &options, &progress).await;
    assert!(matches!(died, Err(IngestError::Encode(EncodeError::WorkerGone))), "{died:?}");
    let reported = progress.status().photos_done;
    assert!((200..=300).contains(&reported), "{reported}");
    assert_eq!(catalog.counts(&dying.model).await.expect("counts").embedded, reported);

    let slow = Fake { pause: Duration::from_millis(20), ..Fake::new("a") };
    let progress = Arc::new(Progress::default());
    let (watched, task_catalog, source) = (progress.clone(), catalog.clone(), shop.kaggle());
    let task = tokio::spawn(async move {
        ingest::import(&task_catalog, &slow, &source, &ImportOptions::default(), &watched).await.map(|_| ())
    });
    while progress.status().photos_done < 320 {
        assert!(!task.is_finished(), "too quick to be dropped");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    task.abort();
    assert!(task.await.expect_err("aborted").is_cancelled());

    let fake = Fake::new("a");
    let before = catalog.counts(&fake.model).await.expect("counts").embedded;
    let rest = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(rest.embedded.photos + before, 600);
    assert_eq!(fake.calls().0 as u64, rest.embedded.photos);
}

/// Not a test: what [`killed`] starts and kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by catalog::killed"]
async fn victim() {
    let Some(folder) = std::env::var_os("AGLET_TEST_VICTIM").map(PathBuf::from) else { return };
    let catalog = Catalog::open(&folder.join("data")).await.expect("opens");
    let fake = Fake { pause: Duration::from_millis(10), ..Fake::new("a") };
    let source =
        Source::Kaggle { styles: folder.join("styles.csv"), images: vec![folder.join("images")], shoelaces: None };
    let progress = Arc::new(Progress::default());
    let watched = progress.clone();
    std::thread::spawn(move || {
        loop {
            std::fs::write(folder.join("next"), progress.status().photos_done.to_string()).expect("written");
            std::fs::rename(folder.join("next"), folder.join("reported")).expect("renamed");
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    ingest::import(&catalog, &fake, &source, &ImportOptions::default(), &watched).await.expect("imports");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed() {
    let rows: Vec<(u32, &str)> = (1..=3000).map(|id| (id, "Puma Many")).collect();
    let shop = Shop::new(&rows);
    let reported = || std::fs::read_to_string(shop.path("reported")).ok().and_then(|n| n.parse::<u64>().ok());
    let mut seen = 0;
    for enough in [1, 700, 1400] {
        let mut child = std::process::Command::new(std::env::current_exe().expect("this binary"))
            .args(["--ignored", "--exact", "catalog::victim"])
            .env("AGLET_TEST_VICTIM", shop.folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        while reported().is_none_or(|n| n < enough) {
            assert!(child.try_wait().expect("status").is_none(), "ended before it could be killed");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("ended");
        seen = reported().expect("reported").max(seen);
        let catalog = shop.catalog().await;
        let there = catalog.counts(&ModelId::new("a")).await.expect("counts");
        assert!(there.embedded >= seen, "{} < {seen}", there.embedded);
        catalog.close().await;
        std::fs::remove_file(shop.path("reported")).expect("removed");
    }
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let before = catalog.counts(&fake.model).await.expect("counts").embedded;
    let rest = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((rest.new, rest.unchanged), (0, 3000));
    assert_eq!((rest.embedded.photos, fake.calls().0 as u64), (3000 - before, 3000 - before));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_writer_many_readers() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, other) = (shop.catalog().await, shop.catalog().await);
    let slow = Fake { pause: Duration::from_secs(60), ..Fake::new("a") };
    let (task_catalog, source) = (catalog.clone(), shop.kaggle());
    let progress = Arc::new(Progress::default());
    let watched = progress.clone();
    let task = tokio::spawn(async move {
        ingest::import(&task_catalog, &slow, &source, &ImportOptions::default(), &watched).await.map(|_| ())
    });
    while progress.status().photos == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = ingest::embed_missing(&other, &Fake::new("a"), &Progress::default()).await;
    match refused {
        Err(IngestError::Catalog(CatalogError::Locked { holder, .. })) => assert_eq!(holder, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    assert_eq!(title(&other, "1").await.as_deref(), Some("Puma One"));
    task.abort();
    assert!(task.await.is_err());
    ingest::embed_missing(&other, &Fake::new("a"), &Progress::default()).await.expect("the lock was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn products_come_in_the_order_asked_for() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two"), (3, "Puma Three")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    let mut keys: Vec<_> = snapshot(&catalog, &fake).await.products.iter().map(|p| p.key).collect();
    keys.reverse();
    keys.insert(1, aglet::domain::ProductKey(4_000_000_000));
    let ids: Vec<String> =
        catalog.products(&keys).await.expect("reads").into_iter().map(|p| p.product.id.to_string()).collect();
    assert_eq!(ids, ["3", "2", "1"]);
    assert!(catalog.products(&[]).await.expect("reads").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_and_a_damaged_one_are_refused() {
    let shop = Shop::new(&[]);
    shop.catalog().await.close().await;
    let file = shop.path("data/catalog.sqlite");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("opens");
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (9999, 'later', CURRENT_TIMESTAMP, TRUE, x'00', 0)")
        .execute(&pool)
        .await
        .expect("inserted");
    pool.close().await;
    let newer = Catalog::open(&shop.path("data")).await.err();
    assert!(matches!(newer, Some(CatalogError::Newer { found: 9999, .. })), "{newer:?}");

    let mut bytes = std::fs::read(&file).expect("database");
    bytes[..4096].fill(0x5a);
    std::fs::write(&file, bytes).expect("written");
    let corrupt = Catalog::open(&shop.path("data")).await.err();
    assert!(matches!(corrupt, Some(CatalogError::Corrupt { .. })), "{corrupt:?}");

    shop.write("file", "");
    let nowhere = Catalog::open(&shop.path("file/data")).await.err();
    assert!(matches!(nowhere, Some(CatalogError::Io { .. })), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kaggle_layout_as_it_is() {
    let shop = Shop::new(&[]);
    let header = "\u{feff}id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,\
                  productDisplayName\r\n";
    let mut text = header.as_bytes().to_vec();
    let rows: [&[u8]; 10] = [
        b"1,Men,Footwear,Shoes,Casual Shoes,Navy Blue,Fall,2011,Casual,Puma Men, the \"low\" one, black\r\n",
        b"2,Women,Footwear,Shoes,Heels,NA,,2012,,\"Catwalk Women, red\"\r\n",
        b"\r\n",
        b"3,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011\r\n",
        b"4,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,\"never closed\r\n",
        b"2,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,Again\r\n",
        b",Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,No id\r\n",
        b"5,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,Caf\xe9\r\n",
        b"../6,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,Sneaky\r\n",
        b"7,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,Last",
    ];
    rows.iter().for_each(|row| text.extend_from_slice(row));
    shop.write("styles.csv", text);
    for id in ["1", "5", "7"] {
        shop.write(&format!("images/{id}.jpg"), id);
    }
    std::fs::create_dir(shop.path("small")).expect("folder");
    shop.write("small/1.jpg", "small 1");
    shop.write("small/2.png", "small 2");
    shop.write("6.jpg", "outside");
    shop.write(
        "shoelaces.csv",
        "id,shoelace_colour,basis\n1,white,agreed\n7,none,agreed\n2,NA,agreed\n99,red,agreed\n",
    );
    let source = Source::Kaggle {
        styles: shop.path("styles.csv"),
        images: vec![shop.path("images"), shop.path("small")],
        shoelaces: Some(shop.path("shoelaces.csv")),
    };
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let summary = shop.import(&catalog, &fake, &source, false).await;
    let mut rejects = rejects(&summary);
    rejects.sort();
    let expected = [
        reject("10", "../6", "photo"),
        reject("5", "3", "row"),
        reject("5", "99", "attribute"),
        reject("6", "4", "row"),
        reject("7", "2", "row"),
        reject("7", "2", "photo"),
        reject("8", "", "row"),
        reject("9", "5", "letters"),
    ];
    let mut expected = expected.to_vec();
    expected.retain(|r| r != &reject("7", "2", "photo"));
    expected.sort();
    assert_eq!(rejects, expected);
    assert_eq!((summary.new, summary.rejected_rows, summary.rejected_parts), (5, 4, 3));

    let get = |id: &'static str| {
        let catalog = catalog.clone();
        async move { catalog.product(&ProductId::new(id).expect("id")).await.expect("reads").expect("there") }
    };
    let one = get("1").await;
    assert_eq!(one.product.title, "Puma Men, the \"low\" one, black");
    let attributes: BTreeMap<&str, &str> =
        one.product.attributes.iter().map(|(n, v)| (n.as_str(), v[0].as_str())).collect();
    let expected = [
        ("category", "Casual Shoes"),
        ("color", "Navy Blue"),
        ("department", "Footwear"),
        ("gender", "Men"),
        ("season", "Fall"),
        ("section", "Shoes"),
        ("shoelace_color", "white"),
        ("usage", "Casual"),
        ("year", "2011"),
    ];
    assert_eq!(attributes, BTreeMap::from(expected));
    assert_eq!(one.image, Some(ImageSource::File(shop.path("images/1.jpg").canonicalize().expect("there"))));
    let two = get("2").await;
    assert_eq!((two.product.title.as_str(), two.product.attribute("color")), ("Catwalk Women, red", None));
    assert_eq!(two.product.attribute("shoelace_color"), None);
    assert_eq!(two.image, Some(ImageSource::File(shop.path("small/2.png").canonicalize().expect("there"))));
    assert_eq!(get("5").await.product.title, "Caf\u{fffd}");
    assert_eq!(get("../6").await.image, None);
    assert_eq!(get("7").await.product.attribute("shoelace_color"), Some("none"));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines() {
    let shop = Shop::new(&[]);
    shop.write("images/7.jpg", "seven");
    shop.write("secret.jpg", "outside");
    #[cfg(unix)]
    std::os::unix::fs::symlink(shop.path("secret.jpg"), shop.path("images/link.jpg")).expect("link");
    let rows = [
        r#"{"id": 7, "title": " Urban Low ", "image": "./images/7.jpg", "price": 49.9, "url": "https://shop.example/7", "description": "Long.", "vendor": "x", "attributes": {"Color": ["Black", "White", "Black"], "heel height": 3.5, "vegan": true, "size": [41, 42], "empty": "", "none": null}}"#,
        r#"{"id": "b", "title": "B", "image": "../secret.jpg"}"#,
        r#"{"id": "c", "title": "C", "image": "images/8.jpg", "attributes": {"q": "x", "color": "Red", "deep": {"a": 1}}}"#,
        r#"{"id": "d", "title": "D", "price": -1}"#,
        r#"{"id": "e"}"#,
        r#"{"id": 1.5, "title": "F"}"#,
        r#"["g"]"#,
        r#"{"id": "h", "title": "H", "price": "12"}"#,
        r#"{"id": "i", "title": "I", "vendor": "y", "price": null, "image": null}"#,
        r#"{"id": "j", "title": "J", "image": "https://shop.example/j.jpg"}"#,
    ];
    shop.write("catalog.jsonl", rows.join("\n"));
    let source = Source::JsonLines { file: shop.path("catalog.jsonl"), images: vec![] };
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let summary = shop.import(&catalog, &fake, &source, false).await;
    let expected = [
        reject("2", "b", "photo"),
        reject("3", "c", "attribute"),
        reject("3", "c", "attribute"),
        reject("3", "c", "photo"),
        reject("4", "d", "row"),
        reject("5", "e", "row"),
        reject("6", "", "row"),
        reject("7", "", "row"),
        reject("8", "h", "row"),
        reject("10", "j", "photo"),
    ];
    assert_eq!(rejects(&summary), expected);
    assert_eq!(summary.ignored, BTreeMap::from([("vendor".to_owned(), 2)]));
    let seven = catalog.product(&ProductId::new("7").expect("id")).await.expect("reads").expect("there");
    let product = &seven.product;
    assert_eq!((product.title.as_str(), product.price), ("Urban Low", Some(49.9)));
    assert_eq!(product.url.as_deref(), Some("https://shop.example/7"));
    assert_eq!(product.description.as_deref(), Some("Long."));
    let json = serde_json::json!(product.attributes);
    let expected = serde_json::json!({"color": ["Black", "White"], "heel_height": ["3.5"], "size": ["41", "42"],
                                      "vegan": ["true"]});
    assert_eq!(json, expected);
    assert_eq!(catalog.image(&seven.image.expect("picture")).await.expect("reads"), Some(Bytes::from_static(b"seven")));

    // Beside a folder of its own, and a link that leads out of it.
    shop.write("catalog.jsonl", "{\"id\": \"7\", \"title\": \"Urban Low\", \"image\": \"link.jpg\"}\n");
    let source = Source::JsonLines { file: shop.path("catalog.jsonl"), images: vec![shop.path("images")] };
    let summary = shop.import(&catalog, &fake, &source, false).await;
    assert_eq!(rejects(&summary), [reject("1", "7", "photo")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_read_is_an_error() {
    let shop = Shop::new(&[]);
    let catalog = shop.catalog().await;
    let load = |source: Source| {
        let catalog = catalog.clone();
        async move {
            let options = ImportOptions::default();
            ingest::load(&catalog, &source, &options, &Progress::default()).await.expect_err("refused").to_string()
        }
    };
    shop.write("styles.csv", "number,name\n");
    assert!(load(shop.kaggle()).await.contains("no column \"id\""));
    shop.write("styles.csv", b"\xff\xfei\0d\0");
    assert!(load(shop.kaggle()).await.contains("UTF-16"));
    std::fs::remove_file(shop.path("styles.csv")).expect("removed");
    assert!(load(shop.kaggle()).await.contains("styles.csv"));
    shop.styles(&[]);
    shop.write("no.zip", "PK no archive");
    let archive =
        Source::Kaggle { styles: shop.path("styles.csv"), images: vec![shop.path("no.zip")], shoelaces: None };
    assert!(load(archive).await.contains("no.zip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_catalog_is_taken_whole() {
    let Some(data) = crate::support::shared_data("the_real_catalog_is_taken_whole") else { return };
    let data = data.join("fashion-product-images");
    let folder = tempfile::tempdir().expect("temporary folder");
    let catalog = Catalog::open(folder.path()).await.expect("opens");
    let source = real(&data);
    let options = ImportOptions::default();
    let summary = ingest::load(&catalog, &source, &options, &Progress::default()).await.expect("loads");
    assert_eq!((summary.new, summary.rejected_rows, summary.rejected_parts, summary.rejects), (41_615, 0, 0, None));
    let counts = catalog.counts(&ModelId::new("a")).await.expect("counts");
    assert_eq!((counts.products, counts.pending()), (41_615, 41_615));
    let stored = catalog.product(&ProductId::new("1635").expect("id")).await.expect("reads").expect("there");
    assert_eq!(stored.product.attribute("shoelace_color"), Some("white"));
    assert!(matches!(stored.image, Some(ImageSource::File(_))), "the larger picture goes first");
    let again = ingest::load(&catalog, &source, &options, &Progress::default()).await.expect("loads");
    assert_eq!((again.unchanged, again.changed), (41_615, 0));
}

fn real(data: &Path) -> Source {
    Source::Kaggle {
        styles: data.join("styles.csv"),
        images: vec![data.join("images"), data.join("images-60x80.zip")],
        shoelaces: Some(data.join("shoelaces.csv")),
    }
}
