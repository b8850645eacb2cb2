//! What comes in, and what is embedded for it.

use std::sync::atomic::Ordering;

use aglet::catalog::ingest::{self, ImportOptions, IngestError, MaxRemoved, Progress, Summary};
use aglet::catalog::source::Source;
use aglet::catalog::{Catalog, Changed, Counts};
use aglet::domain::{ModelId, ProductFields, ProductId};
use bytes::Bytes;

use super::{
    DIMENSIONS, Fake, Shop, place, reject, rejects, shown, snapshot, snapshot_of, title, vector,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_second_import_does_nothing() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two"), (3, "Puma Three")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    fake.busy.store(true, Ordering::SeqCst);
    let before = catalog.revision().await.expect("revision");
    let first = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((first.new, first.changed, first.unchanged), (3, 0, 0));
    assert_eq!(
        (first.embedded.photos, first.embedded.words, first.rejects),
        (3, 3, None)
    );
    assert_eq!(fake.calls(), (3, 3));
    let after = snapshot(&catalog, &fake).await;
    assert!(after.revision > before);
    assert_eq!(after.products.len(), 3);
    assert_eq!(after.products[0].photos, [(1, vector(b"photo of 1"))]);
    assert_eq!(
        after.products[0].words,
        Some(vector(b"Puma One, black casual shoes for men"))
    );
    let counts = Counts {
        products: 3,
        embedded: 3,
        without_embedding: 0,
        pending: 0,
    };
    assert_eq!(catalog.counts(&fake.model).await.expect("counts"), counts);

    let second = shop.import(&catalog, &fake, &shop.kaggle(), true).await;
    assert_eq!(
        (second.new, second.changed, second.unchanged, second.removed),
        (0, 0, 3, 0)
    );
    assert_eq!(
        (
            second.embedded.photos,
            second.embedded.words,
            second.embedded.failed
        ),
        (0, 0, 0)
    );
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
        zip.start_file(
            format!("images/{id}.jpg"),
            zip::write::SimpleFileOptions::default(),
        )
        .expect("member");
        std::io::Write::write_all(&mut zip, format!("photo of {id}").as_bytes()).expect("bytes");
    }
    zip.finish().expect("zip");
    let archive = Source::kaggle(shop.path("styles.csv"), vec![shop.path("moved.zip")], None);
    let moved = shop.import(&catalog, &fake, &archive, false).await;
    assert_eq!((moved.changed, fake.calls()), (2, (0, 0)));
    assert_eq!(catalog.revision().await.expect("revision"), start);
    let (_, member) = place(&catalog, "2").await.expect("a picture");
    assert_eq!(member.as_deref(), Some("images/2.jpg"));
    assert_eq!(
        shown(&catalog, "2").await,
        Some(Bytes::from_static(b"photo of 2"))
    );

    // Another picture, another name: one of each is embedded.
    shop.photo(1, "new photo of 1");
    shop.styles(&[(1, "Puma One"), (2, "Puma Too")]);
    let changed = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!((changed.changed, fake.calls()), (2, (1, 1)));
    let now = snapshot(&catalog, &fake).await;
    assert!(now.revision > start);
    assert_eq!(now.products[0].photos, [(1, vector(b"new photo of 1"))]);
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
    assert_eq!(
        (kept.removed, title(&catalog, "2").await.as_deref()),
        (0, Some("Puma Two"))
    );
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
    assert_eq!(
        (summary.removed, summary.prune_skipped, rejects(&summary)),
        (0, false, vec![reject("3", "2", "row")])
    );
    // Which product the bad row is, nobody knows.
    shop.write(
        "catalog.jsonl",
        "{\"id\": 1, \"title\": \"One\"}\n{\"id\": 2,,\n",
    );
    let lines = Source::feed(shop.path("catalog.jsonl"), vec![]);
    let summary = shop.import(&catalog, &fake, &lines, true).await;
    assert_eq!(
        (summary.removed, summary.prune_skipped, rejects(&summary)),
        (0, true, vec![reject("2", "", "row")])
    );
    // An empty file is a mistake, not a wish.
    shop.styles(&[]);
    let options = ImportOptions {
        prune: true,
        ..ImportOptions::default()
    };
    let wiped = ingest::load(&catalog, &shop.kaggle(), &options, &Progress::default()).await;
    assert!(
        matches!(wiped, Err(IngestError::NothingToKeep)),
        "{wiped:?}"
    );
    assert_eq!(
        catalog.counts(&fake.model).await.expect("counts").products,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_removes_a_product_whose_laces_are_left() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.write(
        "shoelaces.csv",
        "id,shoelace_colour\n1,White\n2,Red\n2,Blue\n",
    );
    let source = Source::kaggle(
        shop.path("styles.csv"),
        vec![shop.path("images")],
        Some(shop.path("shoelaces.csv")),
    );
    shop.import(&catalog, &fake, &source, false).await;
    shop.styles(&[(1, "Puma One")]);
    let pruned = shop.import(&catalog, &fake, &source, true).await;
    assert_eq!((pruned.removed, title(&catalog, "2").await), (1, None));
    // Both rows of its laces are still reported.
    let lost = [reject("4", "2", "attribute"), reject("3", "2", "attribute")];
    assert_eq!(rejects(&pruned), lost);
}

/// A load that may take away so much.
async fn load(
    catalog: &Catalog,
    source: &Source,
    prune: bool,
    max_removed: MaxRemoved,
) -> Result<Summary, IngestError> {
    let options = ImportOptions {
        prune,
        max_removed,
        ..ImportOptions::default()
    };
    ingest::load(catalog, source, &options, &Progress::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_was_cut_short_removes_nothing_unless_that_is_meant() {
    let rows: Vec<(u32, &str)> = (1..=30).map(|id| (id, "Puma Many")).collect();
    let shop = Shop::new(&rows);
    let (catalog, source) = (shop.catalog().await, shop.kaggle());
    let default = MaxRemoved::default();
    let first = load(&catalog, &source, true, default).await.expect("new");
    assert_eq!(first.new, 30);
    let before = catalog.revision().await.expect("revision");

    let mut cut = rows[..26].to_vec();
    cut[0].1 = "Puma Other";
    shop.styles(&cut);
    let refused = load(&catalog, &source, true, default).await;
    let Err(IngestError::TooManyRemoved {
        removed: 4,
        all: 30,
        limit: 3,
    }) = &refused
    else {
        panic!("{refused:?}");
    };
    let text = refused.expect_err("refused").to_string();
    assert!(
        text.contains("4 of 30") && text.contains("--max-removed 4"),
        "{text}"
    );
    // Nothing else was written either.
    assert_eq!(catalog.revision().await.expect("revision"), before);
    let all = load(&catalog, &source, false, default).await;
    assert_eq!(all.expect("removes nothing").changed, 1);
    let meant = load(&catalog, &source, true, MaxRemoved::Number(4)).await;
    assert_eq!(meant.expect("meant").removed, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_of_pictures_takes_none_away_unless_that_is_meant() {
    let rows: Vec<(u32, &str)> = (1..=30).map(|id| (id, "Puma Many")).collect();
    let shop = Shop::new(&rows);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    let before = catalog.revision().await.expect("revision");
    let default = MaxRemoved::default();
    std::fs::create_dir(shop.path("not-mounted")).expect("a folder");
    let with_images =
        |images: Vec<std::path::PathBuf>| Source::kaggle(shop.path("styles.csv"), images, None);
    let empty = with_images(vec![shop.path("not-mounted")]);
    for source in [&empty, &with_images(vec![])] {
        for prune in [false, true] {
            let refused = load(&catalog, source, prune, default).await;
            let Err(IngestError::PicturesGone {
                lost: 30,
                all: 30,
                limit: 3,
            }) = &refused
            else {
                panic!("{refused:?}");
            };
            let text = refused.expect_err("refused").to_string();
            assert!(text.contains("mounted"), "{text}");
        }
    }
    assert_eq!(catalog.revision().await.expect("revision"), before);
    assert_eq!(
        shown(&catalog, "30").await,
        Some(Bytes::from_static(b"photo of 30"))
    );
    // Three of thirty are an ordinary day.
    for id in 1..=3 {
        std::fs::remove_file(shop.path(&format!("images/{id}.jpg"))).expect("removed");
    }
    let few = load(&catalog, &shop.kaggle(), false, default).await;
    assert_eq!(few.expect("few").rejected_parts, 3);
    let meant = load(&catalog, &empty, false, MaxRemoved::Percent(100)).await;
    assert_eq!(meant.expect("meant").rejected_parts, 30);
    assert_eq!(shown(&catalog, "30").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_model_has_its_own_vectors() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let (catalog, first, second) = (shop.catalog().await, Fake::new("a"), Fake::new("b"));
    shop.import(&catalog, &first, &shop.kaggle(), false).await;
    assert_eq!(snapshot(&catalog, &second).await.embedded(), 0);
    assert_eq!(
        catalog.counts(&second.model).await.expect("counts").pending,
        2
    );
    let progress = Progress::default();
    let done = ingest::embed_missing(&catalog, &second, &progress)
        .await
        .expect("embeds");
    assert_eq!((done.photos, done.words, second.calls()), (2, 2, (2, 2)));
    let status = progress.status();
    assert_eq!(
        (
            status.running,
            status.photos,
            status.photos_done,
            status.words_done
        ),
        (false, 2, 2, 2)
    );
    assert_eq!(snapshot(&catalog, &second).await.products.len(), 2);
    assert_eq!(snapshot(&catalog, &first).await.products.len(), 2);
    // Vectors of another size than the model's are no vectors.
    assert_eq!(
        snapshot_of(&catalog, &first, DIMENSIONS + 1)
            .await
            .embedded(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_model_is_counted_and_moves_the_revision() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    std::fs::remove_file(shop.path("images/2.jpg")).expect("removed");
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    let counts = async || catalog.counts(&fake.model).await.expect("counts");
    let settled = Counts {
        products: 2,
        embedded: 1,
        without_embedding: 1,
        pending: 0,
    };
    assert_eq!(counts().await, settled);
    let load = async || {
        let before = catalog.revision().await.expect("revision");
        let (options, progress) = (ImportOptions::default(), Progress::default());
        ingest::load(&catalog, &shop.kaggle(), &options, &progress)
            .await
            .expect("loads");
        assert!(catalog.revision().await.expect("revision") > before);
        counts().await
    };
    let embed = async || {
        let done = ingest::embed_missing(&catalog, &fake, &Progress::default())
            .await
            .expect("embeds");
        (done.photos, done.words)
    };
    // A first picture, then another name: each waits until it is embedded.
    shop.photo(2, "photo of 2");
    assert_eq!(
        load().await,
        Counts {
            without_embedding: 0,
            pending: 1,
            ..settled
        }
    );
    assert_eq!(embed().await, (1, 0));
    assert_eq!(
        counts().await,
        Counts {
            embedded: 2,
            without_embedding: 0,
            ..settled
        }
    );
    shop.styles(&[(1, "Puma Won"), (2, "Puma Two")]);
    assert_eq!(
        load().await,
        Counts {
            embedded: 2,
            without_embedding: 0,
            pending: 1,
            ..settled
        }
    );
    assert_eq!(embed().await, (0, 1));
    assert_eq!(counts().await.pending, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_photo_costs_the_photo_only() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two"), (3, "Puma Three")]);
    shop.photo(2, "broken");
    std::fs::remove_file(shop.path("images/3.jpg")).expect("removed");
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let summary = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(
        (summary.new, summary.rejected_rows, summary.rejected_parts),
        (3, 0, 2)
    );
    assert_eq!(
        rejects(&summary),
        [reject("4", "3", "photo"), reject("3", "2", "photo")]
    );
    let counts = Counts {
        products: 3,
        embedded: 1,
        without_embedding: 2,
        pending: 0,
    };
    assert_eq!(catalog.counts(&fake.model).await.expect("counts"), counts);
    let found = snapshot(&catalog, &fake).await;
    let photos: Vec<bool> = found
        .products
        .iter()
        .map(|p| !p.photos.is_empty())
        .collect();
    assert_eq!(photos, [true, false, false]);
    assert!(found.products.iter().all(|p| p.words.is_some()));
    fake.calls();

    // A service that starts does not try again; an import does, and says so again.
    ingest::embed_missing(&catalog, &fake, &Progress::default())
        .await
        .expect("embeds");
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
    assert_eq!(
        shown(&catalog, "3").await,
        Some(Bytes::from_static(b"found"))
    );
    std::fs::remove_file(shop.path("images/3.jpg")).expect("removed");
    assert_eq!(shown(&catalog, "3").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_picture_is_embedded_once() {
    let rows: Vec<(u32, &str)> = (1..=40).map(|id| (id, "Puma Same")).collect();
    let shop = Shop::new(&rows);
    for (id, _) in &rows {
        shop.photo(*id, "the same");
    }
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let summary = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(fake.calls(), (1, 1));
    assert_eq!(
        (
            summary.embedded.photos,
            summary.embedded.contents,
            summary.embedded.words
        ),
        (40, 1, 1)
    );
    let counts = Counts {
        products: 40,
        embedded: 40,
        without_embedding: 0,
        pending: 0,
    };
    assert_eq!(catalog.counts(&fake.model).await.expect("counts"), counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_broken_picture_is_every_products_loss() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two"), (3, "Puma Three")]);
    for id in 1..=3 {
        shop.photo(id, "broken");
    }
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let summary = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(
        (
            fake.calls().0,
            summary.embedded.photos,
            summary.embedded.failed
        ),
        (1, 0, 3)
    );
    assert_eq!(rejects(&summary).len(), 3);
    let counts = Counts {
        products: 3,
        embedded: 0,
        without_embedding: 3,
        pending: 0,
    };
    assert_eq!(catalog.counts(&fake.model).await.expect("counts"), counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn products_come_in_the_order_asked_for() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two"), (3, "Puma Three")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    let mut keys: Vec<_> = snapshot(&catalog, &fake)
        .await
        .products
        .iter()
        .map(|p| p.key)
        .collect();
    keys.reverse();
    keys.insert(1, aglet::domain::ProductKey(4_000_000_000));
    let ids: Vec<String> = catalog
        .products(&keys)
        .await
        .expect("reads")
        .into_iter()
        .map(|p| p.product.id.to_string())
        .collect();
    assert_eq!(ids, ["3", "2", "1"]);
    assert!(catalog.products(&[]).await.expect("reads").is_empty());
}

/// The products of a feed with prices, and what they are filtered and sorted by.
async fn fields(catalog: &Catalog) -> (Vec<ProductFields>, u64) {
    let mut all = Vec::new();
    let read = catalog
        .embedded(&ModelId::new("a"), DIMENSIONS, |product| {
            all.push(product.fields);
        })
        .await
        .expect("reads");
    let revision = catalog.revision().await.expect("revision");
    assert_eq!(revision, read.revision);
    (all, revision)
}

/// What changed after a revision, by key: the title of what is there, nothing of what is gone.
async fn changed(catalog: &Catalog, after: u64, most: usize) -> Option<Vec<(u32, Option<String>)>> {
    let mut all = Vec::new();
    let each = |changed| match changed {
        Changed::Is(product) => all.push((product.key.0, Some(product.title))),
        Changed::Gone(key) => all.push((key.0, None)),
    };
    let model = ModelId::new("a");
    let revision = catalog
        .changed(&model, DIMENSIONS, after, most, each)
        .await
        .expect("reads");
    if revision.is_some() {
        assert_eq!(revision, catalog.revision().await.ok());
    }
    revision.map(|_| all)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_what_changed_after_a_revision() {
    let names = [(1, "Puma One"), (2, "Puma Two"), (3, "Puma Three")];
    let shop = Shop::new(&names);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let revision = async || catalog.revision().await.expect("revision");
    let title = |title: &str| Some(title.to_owned());
    let empty = revision().await;
    assert_eq!(changed(&catalog, empty, 9).await, Some(vec![]));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    let all: Vec<_> = names.map(|(key, name)| (key, title(name))).into();
    assert_eq!(changed(&catalog, empty, 9).await, Some(all.clone()));
    assert_eq!(changed(&catalog, empty, 3).await, Some(all));
    assert_eq!(changed(&catalog, empty, 2).await, None, "too many");
    let imported = revision().await;
    assert_eq!(changed(&catalog, imported, 9).await, Some(vec![]));
    // Another name, one removed, one new; then its embeddings.
    shop.styles(&[(1, "Puma One"), (2, "Puma Too"), (4, "Puma Four")]);
    let (options, progress) = (ImportOptions::default(), Progress::default());
    let prune = ImportOptions {
        prune: true,
        ..options
    };
    ingest::load(&catalog, &shop.kaggle(), &prune, &progress)
        .await
        .expect("loads");
    let expected = vec![(2, title("Puma Too")), (3, None), (4, title("Puma Four"))];
    assert_eq!(changed(&catalog, imported, 9).await, Some(expected.clone()));
    let loaded = revision().await;
    ingest::embed_missing(&catalog, &fake, &progress)
        .await
        .expect("embeds");
    let embedded = vec![(2, title("Puma Too")), (4, title("Puma Four"))];
    assert_eq!(changed(&catalog, loaded, 9).await, Some(embedded));
    assert_eq!(changed(&catalog, imported, 9).await, Some(expected));
    // Before the log, and of a time that this database never had.
    assert_eq!(changed(&catalog, empty - 1, 9).await, None);
    assert_eq!(changed(&catalog, revision().await + 1, 9).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_and_dates_are_taken_over_and_move_the_revision() {
    let shop = Shop::new(&[]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let source = Source::feed(shop.path("catalog.jsonl"), vec![]);
    let feed = async |rows: &[&str]| {
        shop.write("catalog.jsonl", rows.join("\n"));
        shop.import(&catalog, &fake, &source, false).await
    };
    let summary = feed(&[
        r#"{"id":"1","title":"A","price":20,"sale_price":15.5,"currency":"eur","created":"2026-11-01"}"#,
        r#"{"id":"2","title":"B","price":30}"#,
        r#"{"id":"3","title":"C","sale_price":"cheap","currency":"euros","created":"yesterday"}"#,
    ])
    .await;
    assert_eq!(
        (summary.new, summary.rejected_rows, summary.rejected_parts),
        (3, 0, 3)
    );
    let (all, start) = fields(&catalog).await;
    assert_eq!((all[0].price, all[0].sale_price), (Some(20.0), Some(15.5)));
    assert_eq!(all[0].created, Some(1_793_491_200));
    assert!(
        all[1].created > Some(1_700_000_000),
        "when the catalog got it"
    );
    assert_eq!((all[2].price, all[2].sale_price), (None, None));
    let id = ProductId::new("1").expect("an id");
    let stored = catalog.product(&id).await.expect("reads").expect("there");
    assert_eq!(stored.product.currency.as_deref(), Some("EUR"));

    // Another price alone: nothing is embedded, and the index need not be built anew.
    fake.calls();
    let other = feed(&[
        r#"{"id":"1","title":"A","price":20,"currency":"eur"}"#,
        r#"{"id":"2","title":"B","price":31}"#,
        r#"{"id":"3","title":"C"}"#,
    ])
    .await;
    assert_eq!(
        (other.changed, other.unchanged, fake.calls()),
        (2, 1, (0, 0))
    );
    let (now, revision) = fields(&catalog).await;
    assert_eq!((now[0].sale_price, now[1].price), (None, Some(31.0)));
    assert_eq!(
        now[0].created, all[0].created,
        "a feed that does not say changes nothing"
    );
    assert!(revision > start);
    let which = changed(&catalog, start, 9).await.expect("in the log");
    assert_eq!(
        which.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        [1, 2]
    );

    // Another description: nothing is embedded, but searches in words look into it.
    fake.calls();
    feed(&[r#"{"id":"2","title":"B","price":31,"description":"Woven."}"#]).await;
    let (_, described) = fields(&catalog).await;
    assert!(described > revision && fake.calls() == (0, 0));

    // The same again: nothing moves.
    let same = feed(&[r#"{"id":"2","title":"B","price":31,"description":"Woven."}"#]).await;
    assert_eq!((same.unchanged, fields(&catalog).await.1), (1, described));
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_beside_the_columns_of_kaggle() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two"), (3, "Puma Three")]);
    shop.write(
        "styles.csv",
        "id,articleType,price,sale_price,currency,productDisplayName\n\
         1,Shoes,49.90,39.90,EUR,Puma One\n2,Shoes,dear,,,Puma Two\n3,Shoes,-1,,Pounds,Puma, Three\n",
    );
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let summary = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(
        (summary.new, summary.rejected_rows, summary.rejected_parts),
        (3, 0, 3)
    );
    let (all, _) = fields(&catalog).await;
    assert_eq!((all[0].price, all[0].sale_price), (Some(49.9), Some(39.9)));
    assert_eq!((all[1].price, all[2].price), (None, None));
}
