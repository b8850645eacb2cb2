//! What is left when something dies, is full, or is not what it should be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aglet::catalog::ingest::{self, ImportOptions, IngestError, Progress};
use aglet::catalog::source::Source;
use aglet::catalog::{Catalog, CatalogError};
use aglet::domain::ModelId;
use aglet::encode::EncodeError;

use super::{Fake, Shop, snapshot, title};
use crate::support::skipped::skipped;

/// How many products are embedded once what was given to the database is written: that goes on when
/// whoever gave it is gone.
async fn settled(catalog: &Catalog, fake: &Fake) -> u64 {
    let embedded = async || catalog.counts(&fake.model).await.expect("counts").embedded;
    let mut before = embedded().await;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = embedded().await;
        if now == std::mem::replace(&mut before, now) {
            return now;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_reported_done_survives_a_model_that_dies_and_an_import_that_is_dropped() {
    let rows: Vec<(u32, &str)> = (1..=600).map(|id| (id, "Puma Many")).collect();
    let shop = Shop::new(&rows);
    let catalog = shop.catalog().await;
    let dying = Fake {
        lives: 300,
        ..Fake::new("a")
    };
    let progress = Progress::default();
    let options = ImportOptions::default();
    let died = ingest::import(&catalog, &dying, &shop.kaggle(), &options, &progress).await;
    assert!(
        matches!(died, Err(IngestError::Encode(EncodeError::WorkerGone))),
        "{died:?}"
    );
    let reported = progress.status().photos_done;
    assert!((200..=300).contains(&reported), "{reported}");
    assert_eq!(
        catalog.counts(&dying.model).await.expect("counts").embedded,
        reported
    );

    let slow = Fake {
        pause: Duration::from_millis(20),
        ..Fake::new("a")
    };
    let progress = Arc::new(Progress::default());
    let (watched, task_catalog, source) = (progress.clone(), catalog.clone(), shop.kaggle());
    let task = tokio::spawn(async move {
        ingest::import(
            &task_catalog,
            &slow,
            &source,
            &ImportOptions::default(),
            &watched,
        )
        .await
        .map(|_| ())
    });
    while progress.status().photos_done < 20 {
        assert!(!task.is_finished(), "too quick to be dropped");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    task.abort();
    assert!(task.await.expect_err("aborted").is_cancelled());

    let fake = Fake::new("a");
    let before = settled(&catalog, &fake).await;
    let rest = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(rest.embedded.photos + before, 600);
    assert_eq!(fake.calls().0 as u64, rest.embedded.photos);
}

/// Not a test: what [`killed`] starts and kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by killed"]
async fn victim() {
    let Some(folder) = std::env::var_os("AGLET_TEST_VICTIM").map(PathBuf::from) else {
        return;
    };
    let catalog = Catalog::open(&folder.join("data")).await.expect("opens");
    let fake = Fake {
        pause: Duration::from_millis(10),
        ..Fake::new("a")
    };
    let source = Source::kaggle(folder.join("styles.csv"), vec![folder.join("images")], None);
    let progress = Arc::new(Progress::default());
    let watched = progress.clone();
    std::thread::spawn(move || {
        loop {
            std::fs::write(
                folder.join("next"),
                progress.status().photos_done.to_string(),
            )
            .expect("written");
            std::fs::rename(folder.join("next"), folder.join("reported")).expect("renamed");
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    ingest::import(
        &catalog,
        &fake,
        &source,
        &ImportOptions::default(),
        &watched,
    )
    .await
    .expect("imports");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed() {
    let rows: Vec<(u32, &str)> = (1..=3000).map(|id| (id, "Puma Many")).collect();
    let shop = Shop::new(&rows);
    let reported = || {
        std::fs::read_to_string(shop.path("reported"))
            .ok()
            .and_then(|n| n.parse::<u64>().ok())
    };
    let mut seen = 0;
    for enough in [1, 700, 1400] {
        let mut child = std::process::Command::new(std::env::current_exe().expect("this binary"))
            .args(["--ignored", "--exact", "catalog::survive::victim"])
            .env("AGLET_TEST_VICTIM", shop.folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        while reported().is_none_or(|n| n < enough) {
            assert!(
                child.try_wait().expect("status").is_none(),
                "ended before it could be killed"
            );
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
    assert_eq!(
        (rest.embedded.photos, fake.calls().0 as u64),
        (3000 - before, 3000 - before)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_writer_many_readers() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, other) = (shop.catalog().await, shop.catalog().await);
    let slow = Fake {
        pause: Duration::from_mins(1),
        ..Fake::new("a")
    };
    let (task_catalog, source) = (catalog.clone(), shop.kaggle());
    let progress = Arc::new(Progress::default());
    let watched = progress.clone();
    let task = tokio::spawn(async move {
        ingest::import(
            &task_catalog,
            &slow,
            &source,
            &ImportOptions::default(),
            &watched,
        )
        .await
        .map(|_| ())
    });
    while progress.status().photos == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = ingest::embed_missing(&other, &Fake::new("a"), &Progress::default()).await;
    match refused {
        Err(IngestError::Catalog(CatalogError::Locked { holder, .. })) => {
            assert_eq!(holder, Some(std::process::id()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(title(&other, "1").await.as_deref(), Some("Puma One"));
    task.abort();
    assert!(task.await.is_err());
    ingest::embed_missing(&other, &Fake::new("a"), &Progress::default())
        .await
        .expect("the lock was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_taken_at_once_beside_an_embedding_and_after_another_import_by_waiting() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, other) = (shop.catalog().await, shop.catalog().await);
    let options = ImportOptions::default();
    let load = async |options: &ImportOptions| {
        ingest::load(&other, &shop.kaggle(), options, &Progress::default()).await
    };
    load(&options).await.expect("loads");
    // A service embeds, and does not come to an end.
    let endless = Fake {
        pause: Duration::from_hours(1),
        ..Fake::new("a")
    };
    let progress = Arc::new(Progress::default());
    let (beside, watched) = (catalog.clone(), progress.clone());
    let embedding =
        tokio::spawn(async move { ingest::embed_missing(&beside, &endless, &watched).await });
    while progress.status().photos == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    shop.styles(&[(1, "Puma Other"), (2, "Puma Two")]);
    assert_eq!(load(&options).await.expect("at once").changed, 1);
    assert_eq!(title(&catalog, "1").await.as_deref(), Some("Puma Other"));

    // An import waits for the embedding when its rows are in; another import waits for it.
    shop.styles(&[(1, "Puma Third"), (2, "Puma Two")]);
    let (beside, source) = (catalog.clone(), shop.kaggle());
    let importing = tokio::spawn(async move {
        let (options, progress) = (ImportOptions::default(), Progress::default());
        ingest::import(&beside, &Fake::new("a"), &source, &options, &progress).await
    });
    while title(&catalog, "1").await.as_deref() != Some("Puma Third") {
        assert!(!importing.is_finished());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = load(&options).await;
    assert!(
        matches!(
            refused,
            Err(IngestError::Catalog(CatalogError::Locked { .. }))
        ),
        "{refused:?}"
    );
    let patient = ImportOptions {
        wait: true,
        ..ImportOptions::default()
    };
    let mut waiting = std::pin::pin!(load(&patient));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "{early:?}");
    embedding.abort();
    assert!(embedding.await.is_err());
    let imported = importing.await.expect("ends").expect("imports");
    assert_eq!(imported.embedded.photos, 2);
    assert_eq!(waiting.await.expect("loads").unchanged, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_and_a_damaged_one_are_refused() {
    let shop = Shop::new(&[]);
    shop.catalog().await.close().await;
    let file = shop.path("data/catalog.sqlite");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let pool = sqlx::SqlitePool::connect_with(options)
        .await
        .expect("opens");
    sqlx::query(
        "INSERT INTO _sqlx_migrations VALUES (9999, 'later', CURRENT_TIMESTAMP, TRUE, x'00', 0)",
    )
    .execute(&pool)
    .await
    .expect("inserted");
    // One that only added is opened all the same.
    shop.catalog().await.close().await;
    sqlx::query("UPDATE state SET opened_by = 9999")
        .execute(&pool)
        .await
        .expect("updated");
    pool.close().await;
    let newer = Catalog::open(&shop.path("data")).await.err();
    assert!(
        matches!(newer, Some(CatalogError::Newer { found: 9999, .. })),
        "{newer:?}"
    );

    let mut bytes = std::fs::read(&file).expect("database");
    bytes[..4096].fill(0x5a);
    std::fs::write(&file, bytes).expect("written");
    let corrupt = Catalog::open(&shop.path("data")).await.err();
    assert!(
        matches!(corrupt, Some(CatalogError::Corrupt { .. })),
        "{corrupt:?}"
    );

    shop.write("file", "");
    let nowhere = Catalog::open(&shop.path("file/data")).await.err();
    assert!(
        matches!(nowhere, Some(CatalogError::Io { .. })),
        "{nowhere:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_attributes_cost_their_product_alone_and_an_import_mends_them() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new();
    let options = options.filename(shop.path("data/catalog.sqlite"));
    let pool = sqlx::SqlitePool::connect_with(options).await;
    let pool = pool.expect("opens");
    let damage = "UPDATE products SET attributes = '{\"color\": [\"Bl' WHERE id = '1'";
    sqlx::query(damage).execute(&pool).await.expect("damaged");
    let carried = async || {
        let all = snapshot(&catalog, &fake).await.products;
        all.iter().map(|p| p.attributes.len()).collect::<Vec<_>>()
    };
    let whole = carried().await;
    assert!(whole[0] == 0 && whole[1] > 0, "{whole:?}");
    assert_eq!(title(&catalog, "1").await.as_deref(), Some("Puma One"));
    let again = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((again.changed, again.unchanged), (1, 1));
    let mended = carried().await;
    assert_eq!(mended, [whole[1]; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_lost_its_database_gets_no_empty_one() {
    let shop = Shop::new(&[]);
    shop.catalog().await.close().await;
    let database = shop.path("data/catalog.sqlite");
    // Nothing is lost with an empty one.
    std::fs::remove_file(&database).expect("removed");
    shop.catalog().await.close().await;
    for what in ["index", "uploads"] {
        let folder = shop.path("data").join(what);
        std::fs::create_dir_all(folder.join("63c3e4d780f0")).expect("a folder");
        for empty in [false, true] {
            std::fs::remove_file(&database).expect("removed");
            if empty {
                std::fs::write(&database, "").expect("written");
            }
            let refused = Catalog::open(&shop.path("data")).await.err();
            let Some(refused) = refused else {
                panic!("{what}: an empty catalog was made");
            };
            let text = refused.to_string();
            assert!(text.contains(&format!("remove {what}/")), "{text}");
            assert_eq!(database.exists(), empty, "{what}");
            if !empty {
                std::fs::write(&database, "").expect("written");
            }
        }
        std::fs::remove_dir_all(folder).expect("removed");
    }
    shop.catalog().await.close().await;
}

/// Without root there is nobody whose files it could be.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_root_imports_belongs_to_the_owner_of_the_folder() {
    use std::os::unix::fs::{MetadataExt as _, chown};

    let shop = Shop::new(&[(1, "Puma One")]);
    let data = shop.path("data");
    std::fs::create_dir(&data).expect("a folder");
    if chown(&data, Some(10_001), Some(10_002)).is_err() {
        skipped(
            "what_root_imports_belongs_to_the_owner_of_the_folder",
            "it is not run as root",
        );
        return;
    }
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    let mut seen = Vec::new();
    for file in std::fs::read_dir(&data).expect("reads") {
        let file = file.expect("a file");
        let of = file.metadata().expect("reads");
        seen.push(file.file_name().into_string().expect("UTF-8"));
        assert_eq!((of.uid(), of.gid()), (10_001, 10_002), "{seen:?}");
    }
    for name in [
        "catalog.sqlite",
        "catalog.sqlite-wal",
        "writer.lock",
        "embed.lock",
    ] {
        assert!(seen.iter().any(|file| file == name), "{seen:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_says_so() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "")]);
    let catalog = shop.catalog().await;
    let options = ImportOptions {
        rejects: Some(PathBuf::from("/dev/full")),
        ..ImportOptions::default()
    };
    let full = ingest::load(&catalog, &shop.kaggle(), &options, &Progress::default()).await;
    assert!(
        matches!(full, Err(IngestError::Catalog(CatalogError::Full { .. }))),
        "{full:?}"
    );
    // The full database itself: catalog::writer.
}
