//! Data folders of earlier versions, and captions of earlier templates.

use std::fs;
use std::path::Path;

use aglet::catalog::Catalog;
use aglet::catalog::ingest::{self, Progress};
use aglet::domain::{ModelId, ProductId};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::{Fake, Shop, shown, snapshot, vector};

/// See `tests/reference/catalog-0.1/README.md`.
const MODEL_OF_0_1: &str = "63c3e4d780f0240514a7c0007817e0bd7bf92104b69ea188a6a34719845d3c7b";

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_0_1_is_taken_over_whole() {
    let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/catalog-0.1");
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    fs::create_dir(data.join("pictures")).expect("made");
    fs::copy(written.join("catalog.sqlite"), data.join("catalog.sqlite")).expect("copied");
    for id in ["100001", "100002", "100003"] {
        let picture = format!("pictures/{id}.jpg");
        fs::copy(written.join(&picture), data.join(&picture)).expect("copied");
    }
    for _ in 0..2 {
        let catalog = Catalog::open(data).await.expect("opens");
        let model = ModelId::new(MODEL_OF_0_1);
        let mut products = 0;
        let all = catalog
            .embedded(&model, 256, |product| {
                assert!(!product.photos.is_empty() && product.words.is_some());
                products += 1;
            })
            .await
            .expect("reads");
        assert_eq!(
            (products, all.counts.embedded, all.counts.pending),
            (3, 3, 0)
        );
        let id = ProductId::new("100002").expect("an id");
        let stored = catalog.product(&id).await.expect("reads").expect("there");
        assert!(stored.pictures.iter().any(|picture| picture.shown));
        assert_eq!(stored.product.attribute("color"), Some("Olive"));
        let picture = fs::read(data.join("pictures/100002.jpg")).expect("reads");
        assert_eq!(shown(&catalog, "100002").await.expect("shown"), picture);
        assert!(!catalog.identity().await.expect("reads").is_empty());
        // Its captions are as this version makes them: nothing is embedded anew.
        let fake = Fake {
            model,
            ..Fake::new("a")
        };
        let done = ingest::embed_missing(&catalog, &fake, &Progress::default()).await;
        assert_eq!(done.expect("embeds").words, 0);
        assert_eq!(fake.calls(), (0, 0));
        catalog.close().await;
    }
}

/// As if `caption` had been changed: what is stored was made by another template.
async fn made_by_another_template(shop: &Shop) {
    let file = shop.path("data/catalog.sqlite");
    let mut database = SqliteConnectOptions::new()
        .filename(file)
        .connect()
        .await
        .expect("opens");
    for change in [
        "UPDATE embeddings SET hash = CAST(substr(hash, 2) || x'00' AS BLOB) WHERE kind = 'words'",
        "UPDATE products SET caption_hash = CAST(substr(caption_hash, 2) || x'00' AS BLOB),
                             words_hash = CAST(substr(words_hash, 2) || x'00' AS BLOB)",
        "UPDATE state SET captions = 'another'",
    ] {
        sqlx::query(change)
            .execute(&mut database)
            .await
            .expect("changed");
    }
    database.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_template_embeds_every_caption_once_and_leaves_nothing_pending() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    fake.calls();
    made_by_another_template(&shop).await;
    // Until it is embedded, the former vector serves.
    let before = snapshot(&catalog, &fake).await;
    assert!(
        before
            .products
            .iter()
            .all(|product| product.words.is_some())
    );
    let embed = async || {
        let done = ingest::embed_missing(&catalog, &fake, &Progress::default()).await;
        (done.expect("embeds").words, fake.calls())
    };
    assert_eq!(embed().await, (2, (0, 2)));
    assert_eq!(embed().await, (0, (0, 0)), "nothing is left to do");
    let counts = catalog.counts(&fake.model).await.expect("counts");
    assert_eq!(counts.pending, 0);
    let after = snapshot(&catalog, &fake).await;
    assert!(after.revision > before.revision, "an index follows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_caption_keeps_its_vector_until_the_new_one_is_there() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    let words = async || -> Vec<_> {
        let products = snapshot(&catalog, &fake).await.products;
        products.into_iter().map(|product| product.words).collect()
    };
    let before = words().await;
    shop.styles(&[(1, "Nike One"), (2, "Puma Two")]);
    shop.load(&catalog, &shop.kaggle()).await;
    assert_eq!(words().await, before);
    // And through a second change before the first is embedded.
    shop.styles(&[(1, "Adidas One"), (2, "Puma Two")]);
    shop.load(&catalog, &shop.kaggle()).await;
    assert_eq!(words().await, before);
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    let caption = b"Adidas One, black casual shoes for men";
    assert_eq!(words().await[0], Some(vector(caption)));
}
