//! A backup holds one state of the catalog, and what is restored is that or nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aglet::catalog::backup::{Backup, BackupError, BackupOptions, back_up, restore};
use aglet::catalog::ingest::{self, ImportOptions, Progress};
use aglet::catalog::source::Source;
use aglet::catalog::{Catalog, CatalogError};
use aglet::domain::WriteOp;
use bytes::Bytes;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::queue::write;
use super::{Fake, Shop, Snapshot, place, shown, snapshot};

const DEFAULT: BackupOptions = BackupOptions {
    pictures: false,
    kept_elsewhere: false,
    force: false,
};

async fn open(folder: &Path) -> Catalog {
    Catalog::open(folder).await.expect("opens")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("reads");
    let names = entries.map(|e| {
        e.expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

/// Every product with all that it has.
fn said(snapshot: &Snapshot) -> Vec<String> {
    let products = snapshot.products.iter();
    products.map(|product| format!("{product:?}")).collect()
}

/// A shop of two imported products with pictures and one that came over HTTP.
async fn shop() -> (Shop, Catalog, Fake) {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    let upload = catalog.keep_upload(Bytes::from_static(b"uploaded"));
    let upload = upload.await.expect("kept");
    write(&catalog, "c", WriteOp::Put, json!({"title": "Three"})).await;
    write(&catalog, "c", WriteOp::PutPicture(1, upload), json!({})).await;
    let embedded = ingest::embed_queued(&catalog, &fake, &Progress::default()).await;
    assert_eq!(embedded.expect("embeds").photos, 1);
    (shop, catalog, fake)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_is_what_was_backed_up() {
    let (shop, catalog, fake) = shop().await;
    let (to, data) = (shop.path("backup.zip"), shop.path("restored/data"));
    let written = back_up(&shop.path("data"), &to, DEFAULT).await;
    let bytes = fs::metadata(&to).expect("there").len();
    let expected = Backup {
        products: 3,
        uploads: 1,
        pictures: 0,
        missing: 0,
        bytes,
    };
    assert_eq!(written.expect("written"), expected);
    assert_eq!(restore(&to, &data).await.expect("restored"), 3);
    assert_eq!(names(&data), ["catalog.sqlite", "uploads"]);

    let restored = open(&data).await;
    let (before, after) = (
        snapshot(&catalog, &fake).await,
        snapshot(&restored, &fake).await,
    );
    assert_eq!(before.revision, after.revision);
    assert_eq!(said(&before), said(&after));
    assert_eq!(
        catalog.identity().await.expect("reads"),
        restored.identity().await.expect("reads")
    );
    for id in ["1", "c"] {
        let picture = shown(&restored, id).await;
        assert!(
            picture.is_some() && picture == shown(&catalog, id).await,
            "{id}"
        );
    }
    // Nothing is embedded anew, and the import goes on from there.
    fake.calls();
    let embedded = ingest::embed_missing(&restored, &fake, &Progress::default()).await;
    assert_eq!(
        (embedded.expect("embeds").contents, fake.calls()),
        (0, (0, 0))
    );
    let again = shop.import(&restored, &fake, &shop.kaggle(), false).await;
    assert_eq!((again.unchanged, fake.calls()), (2, (0, 0)));

    // A file that is there is kept, unless that is said.
    let exists = back_up(&shop.path("data"), &to, DEFAULT).await;
    assert!(matches!(exists, Err(BackupError::Exists(_))), "{exists:?}");
    let force = BackupOptions {
        force: true,
        ..DEFAULT
    };
    back_up(&shop.path("data"), &to, force)
        .await
        .expect("replaced");
    let nowhere = back_up(&shop.path("images"), &to, force).await;
    assert!(
        matches!(nowhere, Err(BackupError::NoCatalog(_))),
        "{nowhere:?}"
    );
    let folder = back_up(&shop.path("data"), &shop.path("images"), force).await;
    assert!(matches!(folder, Err(BackupError::Folder(_))), "{folder:?}");
    let into = back_up(&shop.path("data"), &shop.path("no/where.zip"), DEFAULT).await;
    assert!(matches!(into, Err(BackupError::Io { .. })), "{into:?}");
    assert_eq!(
        names(shop.folder.path()),
        ["backup.zip", "data", "images", "restored", "styles.csv"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_pictures_it_needs_nothing_of_the_shop() {
    let (shop, catalog, fake) = shop().await;
    // One in an archive, one that is gone.
    let mut zip = ZipWriter::new(File::create(shop.path("more.zip")).expect("made"));
    zip.start_file("4.jpg", SimpleFileOptions::default())
        .expect("begun");
    zip.write_all(b"photo of 4").expect("written");
    zip.finish().expect("whole");
    shop.styles(&[(1, "Puma One"), (2, "Puma Two"), (4, "Puma Four")]);
    let source = Source::kaggle(
        shop.path("styles.csv"),
        vec![shop.path("images"), shop.path("more.zip")],
        None,
    );
    shop.import(&catalog, &fake, &source, false).await;
    fs::remove_file(shop.path("images/2.jpg")).expect("removed");
    let to = shop.path("backup.zip");
    let pictures = BackupOptions {
        pictures: true,
        ..DEFAULT
    };
    let written = back_up(&shop.path("data"), &to, pictures).await;
    let written = written.expect("written");
    assert_eq!(
        (written.uploads, written.pictures, written.missing),
        (1, 2, 1)
    );
    // The original is not touched.
    let (original, _) = place(&catalog, "1").await.expect("a picture");
    assert_eq!(
        original,
        shop.path("images/1.jpg").canonicalize().expect("there")
    );

    fs::remove_dir_all(shop.path("images")).expect("removed");
    fs::remove_file(shop.path("more.zip")).expect("removed");
    let data = shop.path("restored");
    restore(&to, &data).await.expect("restored");
    let restored = open(&data).await;
    for (id, photo) in [("1", "photo of 1"), ("4", "photo of 4"), ("c", "uploaded")] {
        assert_eq!(shown(&restored, id).await, Some(Bytes::from(photo)), "{id}");
    }
    assert_eq!(shown(&restored, "2").await, None);
    assert_eq!(
        said(&snapshot(&restored, &fake).await),
        said(&snapshot(&catalog, &fake).await)
    );
    // The folder can be moved.
    restored.close().await;
    fs::rename(&data, shop.path("moved")).expect("renamed");
    let moved = open(&shop.path("moved")).await;
    assert!(shown(&moved, "1").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_one_state_whatever_is_written_meanwhile() {
    const PRODUCTS: usize = 40;
    let shop = Shop::new(&[]);
    let catalog = shop.catalog().await;
    let source = Source::feed(shop.path("rows.jsonl"), vec![]);
    // All of one price, in one transaction.
    let rows = |price: u32| {
        let row = |id| json!({"id": format!("p{id}"), "title": "Shoe", "price": price}).to_string();
        (0..PRODUCTS).map(row).collect::<Vec<_>>().join("\n")
    };
    let load = async |price| {
        shop.write("rows.jsonl", rows(price));
        let (options, progress) = (ImportOptions::default(), Progress::default());
        let loaded = ingest::load(&catalog, &source, &options, &progress).await;
        loaded.expect("loads");
    };
    load(1).await;
    let done = Arc::new(AtomicBool::new(false));
    let (over, data) = (done.clone(), shop.path("data"));
    let backups: Vec<PathBuf> = (0..5).map(|n| shop.path(&format!("{n}.zip"))).collect();
    let to = backups.clone();
    let backing_up = tokio::spawn(async move {
        for to in to {
            let written = back_up(&data, &to, DEFAULT).await.expect("written");
            assert_eq!(written.products, PRODUCTS as u64);
        }
        over.store(true, Ordering::SeqCst);
    });
    let mut last = 1;
    while !done.load(Ordering::SeqCst) && !backing_up.is_finished() {
        last += 1;
        load(last).await;
    }
    backing_up.await.expect("no panic");
    let mut seen = Vec::new();
    for (number, backup) in backups.iter().enumerate() {
        let data = shop.path(&format!("restored-{number}"));
        restore(backup, &data).await.expect("restored");
        let restored = open(&data).await;
        let fake = Fake::new("a");
        let all = snapshot(&restored, &fake).await;
        let prices = all
            .products
            .iter()
            .map(|p| p.fields.price.expect("a price").to_string());
        let prices: BTreeSet<String> = prices.collect();
        assert_eq!(
            (all.products.len(), prices.len()),
            (PRODUCTS, 1),
            "{prices:?}"
        );
        seen.extend(prices);
    }
    assert!(last > 2 && seen.len() == 5, "{last} {seen:?}");
}

/// An archive of these entries.
fn archive(path: &Path, entries: &[(&str, &[u8])]) {
    let mut zip = ZipWriter::new(File::create(path).expect("made"));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default())
            .expect("begun");
        zip.write_all(bytes).expect("written");
    }
    zip.finish().expect("whole");
}

fn entry(path: &Path, name: &str) -> Vec<u8> {
    let mut zip = ZipArchive::new(File::open(path).expect("opens")).expect("an archive");
    let mut bytes = Vec::new();
    let mut entry = zip.by_name(name).expect("there");
    entry.read_to_end(&mut bytes).expect("reads");
    bytes
}

/// The backup's manifest, changed.
fn with_manifest(
    good: &Path,
    path: &Path,
    change: impl FnOnce(&mut Value),
    more: &[(&str, &[u8])],
) {
    let mut manifest: Value = serde_json::from_slice(&entry(good, "manifest.json")).expect("JSON");
    let uploads = manifest["files"][1]["path"]
        .as_str()
        .expect("a path")
        .to_owned();
    change(&mut manifest);
    let (database, upload) = (entry(good, "catalog.sqlite"), entry(good, &uploads));
    let manifest = manifest.to_string();
    let mut entries = vec![
        ("catalog.sqlite", &database[..]),
        (&uploads, &upload),
        ("manifest.json", manifest.as_bytes()),
    ];
    entries.extend(more);
    archive(path, &entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_backup_is_refused_and_leaves_nothing() {
    let (shop, catalog, _) = shop().await;
    catalog.close().await;
    let (good, bad) = (shop.path("good.zip"), shop.path("bad.zip"));
    back_up(&shop.path("data"), &good, DEFAULT)
        .await
        .expect("written");
    let refused = async || {
        let data = shop.path("refused/data");
        let error = restore(&bad, &data).await.expect_err("refused");
        assert!(!data.exists(), "{error}");
        // Nor into a folder that was there.
        let data = shop.path("empty");
        fs::create_dir_all(&data).expect("a folder");
        restore(&bad, &data).await.expect_err("refused");
        assert_eq!(names(&data), [""; 0], "{error}");
        error
    };
    macro_rules! refused {
        ($pattern:pat) => {
            let error = refused().await;
            assert!(matches!(error, $pattern), "{error:?}");
        };
    }
    fs::write(&bad, "no archive at all").expect("written");
    refused!(BackupError::NotABackup { .. });
    fs::write(&bad, "").expect("written");
    refused!(BackupError::NotABackup { .. });
    archive(&bad, &[("catalog.sqlite", b"x")]);
    refused!(BackupError::NotABackup { .. });
    fs::remove_file(&bad).expect("removed");
    refused!(BackupError::Io { .. });

    // The control: written again in this way, it is good.
    with_manifest(&good, &bad, |_| {}, &[]);
    restore(&bad, &shop.path("control"))
        .await
        .expect("restored");
    with_manifest(&good, &bad, |m| m["format"] = json!(2), &[]);
    refused!(BackupError::Newer { .. });
    with_manifest(&good, &bad, |m| m["schema"] = json!(9_999), &[]);
    refused!(BackupError::Catalog(CatalogError::Newer {
        found: 9_999,
        ..
    }));
    with_manifest(&good, &bad, |m| m["files"][0]["sha256"] = json!("0"), &[]);
    refused!(BackupError::Damaged { .. });
    with_manifest(&good, &bad, |m| m["files"][1]["bytes"] = json!(3), &[]);
    refused!(BackupError::Damaged { .. });
    with_manifest(&good, &bad, |m| m["files"] = json!([]), &[]);
    refused!(BackupError::Damaged { .. });
    let add = |path: &'static str| {
        move |m: &mut Value| {
            let mut file = m["files"][1].clone();
            file["path"] = json!(path);
            m["files"].as_array_mut().expect("files").push(file);
        }
    };
    with_manifest(&good, &bad, add("uploads/aa/aa"), &[]);
    refused!(BackupError::Damaged { .. });
    with_manifest(&good, &bad, add("catalog.sqlite"), &[]);
    refused!(BackupError::Foreign { .. });
    with_manifest(&good, &bad, |_| {}, &[("uploads/aa/aa", b"more")]);
    refused!(BackupError::Foreign { .. });
    for path in [
        "../escaped",
        "uploads/../../escaped",
        "/tmp/aglet-escaped",
        "index/x",
    ] {
        with_manifest(&good, &bad, add(path), &[(path, b"uploaded")]);
        refused!(BackupError::Foreign { .. });
    }
    assert!(!shop.path("escaped").exists() && !shop.path("refused/escaped").exists());
    // A link in the place of a file.
    let manifest = entry(&good, "manifest.json");
    let mut zip = ZipWriter::new(File::create(&bad).expect("made"));
    zip.add_symlink(
        "catalog.sqlite",
        "/etc/passwd",
        SimpleFileOptions::default(),
    )
    .expect("added");
    zip.start_file("manifest.json", SimpleFileOptions::default())
        .expect("begun");
    zip.write_all(&manifest).expect("written");
    zip.finish().expect("whole");
    refused!(BackupError::Foreign { .. });

    // Cut, and one bit flipped: refused, or, where the bit means nothing, restored as it was.
    let bytes = fs::read(&good).expect("reads");
    for length in (1..20).map(|n| n * bytes.len() / 20) {
        fs::write(&bad, &bytes[..length]).expect("written");
        refused().await;
    }
    let whole = entry(&good, "catalog.sqlite");
    let mut wrong = 0;
    for at in (0..bytes.len()).step_by(bytes.len() / 150) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&bad, &flipped).expect("written");
        let data = shop.path(&format!("flipped-{at}"));
        match restore(&bad, &data).await {
            Ok(_) => assert_eq!(
                fs::read(data.join("catalog.sqlite")).expect("reads"),
                whole,
                "{at}"
            ),
            Err(error) => {
                wrong += 1;
                assert!(!data.exists(), "{at}: {error}");
            }
        }
    }
    assert!(wrong > 100, "{wrong}");

    // Over what is there.
    let full = restore(&good, &shop.path("control")).await;
    assert!(
        matches!(full, Err(BackupError::NotEmpty { .. })),
        "{full:?}"
    );
    assert_eq!(names(&shop.path("control")), ["catalog.sqlite", "uploads"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_killed_looks_like_no_catalog() {
    let shop = Shop::new(&[]);
    let data = shop.path("data");
    // As far as it gets before the database is moved.
    fs::create_dir_all(data.join("restoring/uploads")).expect("a folder");
    fs::write(data.join("restoring/catalog.sqlite"), "half").expect("written");
    let refused = Catalog::open(&data).await.err();
    assert!(
        matches!(
            refused,
            Some(CatalogError::NoDatabase {
                what: "restoring",
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(names(&data), ["restoring"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_of_an_earlier_version_is_backed_up_as_it_is() {
    let shop = Shop::new(&[]);
    let (data, to) = (shop.path("old"), shop.path("old.zip"));
    let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/catalog-0.1");
    let before = fs::read(written.join("catalog.sqlite")).expect("reads");
    fs::create_dir(&data).expect("a folder");
    fs::write(data.join("catalog.sqlite"), &before).expect("written");
    let pictures = BackupOptions {
        pictures: true,
        ..DEFAULT
    };
    let refused = back_up(&data, &to, pictures).await;
    assert!(
        matches!(refused, Err(BackupError::OldPictures(_))),
        "{refused:?}"
    );
    let backup = back_up(&data, &to, DEFAULT).await.expect("written");
    let after = fs::read(data.join("catalog.sqlite")).expect("reads");
    assert!(before == after, "it is not brought up to date");
    let data = shop.path("restored");
    restore(&to, &data).await.expect("restored");
    let restored = open(&data).await;
    let counts = restored
        .counts(&Fake::new("a").model)
        .await
        .expect("counts");
    assert_eq!((counts.products, backup.products), (3, 3));
}
