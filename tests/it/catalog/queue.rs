//! Several pictures a product, and the queue of what is to be embedded.

use aglet::catalog::ingest::{self, ImportOptions, Progress, Summary};
use aglet::catalog::source::Source;
use aglet::catalog::{Catalog, PartProgress, ProductProgress};
use aglet::domain::{Conditions, ModelId, ProductId, Write, WriteOp, WriteStatus};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Fake, Shop, reject, rejects, shown, snapshot, vector};
use crate::support::{postgres, serve};

async fn database(shop: &Shop) -> sqlx::AnyConnection {
    postgres::raw(&shop.path("data")).await
}

fn lines(shop: &Shop, rows: &[Value]) -> Source {
    let text: Vec<String> = rows.iter().map(ToString::to_string).collect();
    shop.write("products.jsonl", text.join("\n"));
    Source::feed(shop.path("products.jsonl"), vec![shop.path("images")])
}

async fn import(shop: &Shop, catalog: &Catalog, fake: &Fake, rows: &[Value]) -> Summary {
    shop.import(catalog, fake, &lines(shop, rows), false).await
}

pub(super) async fn write(catalog: &Catalog, id: &str, op: WriteOp, json: Value) -> WriteStatus {
    let write = Write {
        id: Some(ProductId::new(id).expect("id")),
        op,
        json: json.as_object().cloned().unwrap_or_default(),
        conditions: Conditions::default(),
    };
    let results = catalog.write(vec![write]).await.expect("written");
    results[0].result.as_ref().expect("taken").status
}

async fn progress(catalog: &Catalog, id: &str, fake: &Fake) -> ProductProgress {
    let id = ProductId::new(id).expect("id");
    let stored = catalog.product(&id).await.expect("reads").expect("there");
    let progress = catalog.progress(stored.key, &fake.model).await;
    progress.expect("reads")
}

async fn embed(catalog: &Catalog, fake: &Fake) -> (u64, u64, u64) {
    let done = ingest::embed_queued(catalog, fake, &Progress::default()).await;
    let done = done.expect("embeds");
    (done.photos, done.words, done.failed)
}

fn embedded() -> PartProgress {
    PartProgress {
        embedded: true,
        ..PartProgress::default()
    }
}

fn waits() -> PartProgress {
    PartProgress {
        waits: true,
        ..PartProgress::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_picture_is_embedded_and_a_bad_one_costs_itself() {
    let shop = Shop::new(&[]);
    for (id, content) in [(1, "front"), (2, "side"), (3, "broken sole"), (5, "other")] {
        shop.photo(id, content);
    }
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let row = |images: Value| json!({"id": "a", "title": "Urban Low", "image": "1.jpg", "images": images});
    let all = json!(["2.jpg", "3.jpg", "4.jpg", "1.jpg", "5.jpg"]);
    let summary = import(&shop, &catalog, &fake, &[row(all.clone())]).await;
    assert_eq!(
        rejects(&summary),
        [reject("1", "a", "photo"), reject("1", "a", "photo")],
        "the broken one and the one that is not there"
    );
    let photos = async || snapshot(&catalog, &fake).await.products[0].photos.clone();
    let of = |content: &str| vector(content.as_bytes());
    assert_eq!(
        photos().await,
        [(1, of("front")), (2, of("side")), (5, of("other"))]
    );
    let now = progress(&catalog, "a", &fake).await;
    let failed = |number| {
        let found = now.pictures.iter().find(|(known, _)| *known == number);
        found.and_then(|(_, progress)| progress.failed.clone())
    };
    assert_eq!(now.words, embedded());
    assert!(failed(3).expect("broken").contains("it is"), "{now:?}");
    assert_eq!((failed(1), failed(4)), (None, None));
    let counts = catalog.counts(&fake.model).await.expect("counts");
    assert_eq!((counts.embedded, counts.pending), (1, 0));

    // The same again changes nothing; another order is another product, and nothing is embedded.
    fake.calls();
    let revision = catalog.revision().await.expect("revision");
    let again = import(&shop, &catalog, &fake, &[row(all)]).await;
    assert_eq!(
        (again.unchanged, fake.calls()),
        (1, (1, 0)),
        "the broken one"
    );
    assert_eq!(catalog.revision().await.expect("revision"), revision);
    let turned = json!({"id": "a", "title": "Urban Low", "images": ["5.jpg", "2.jpg", "1.jpg"]});
    let turned = import(&shop, &catalog, &fake, &[turned]).await;
    assert_eq!((turned.changed, fake.calls()), (1, (0, 0)));
    assert_eq!(
        photos().await,
        [(1, of("other")), (2, of("side")), (3, of("front"))]
    );
    assert_eq!(
        shown(&catalog, "a").await,
        Some(Bytes::from_static(b"other"))
    );

    // One of them changes in its place.
    shop.photo(2, "side in the sun");
    let row = json!({"id": "a", "title": "Urban Low", "images": ["5.jpg", "2.jpg"]});
    let changed = import(&shop, &catalog, &fake, &[row]).await;
    assert_eq!((changed.embedded.photos, fake.calls()), (1, (1, 0)));
    assert_eq!(
        photos().await,
        [(1, of("other")), (2, of("side in the sun"))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_shop_writes_waits_in_the_queue_until_it_is_embedded() {
    let shop = Shop::new(&[]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    import(
        &shop,
        &catalog,
        &fake,
        &[json!({"id": "a", "title": "One"})],
    )
    .await;
    assert_eq!(embed(&catalog, &fake).await, (0, 0, 0));
    let upload = async |content: &'static str| {
        let file = Bytes::from_static(content.as_bytes());
        catalog.keep_upload(file).await.expect("kept")
    };
    write(&catalog, "b", WriteOp::Put, json!({"title": "Two"})).await;
    let side = upload("side").await;
    let put = async |number, sha256| {
        write(
            &catalog,
            "b",
            WriteOp::PutPicture(number, sha256),
            json!({}),
        )
        .await
    };
    assert_eq!(put(2, side).await, WriteStatus::Changed);
    assert_eq!(put(2, side).await, WriteStatus::Unchanged);
    let now = progress(&catalog, "b", &fake).await;
    assert_eq!((now.words, now.pictures), (waits(), vec![(2, waits())]));
    let waiting = async || catalog.waiting(&fake.model).await.expect("reads");
    assert_eq!((waiting().await.waiting, waiting().await.due), (2, 2));
    assert_eq!(embed(&catalog, &fake).await, (1, 1, 0));
    assert_eq!(waiting().await.waiting, 0);
    let now = progress(&catalog, "b", &fake).await;
    assert_eq!(
        (now.words, now.pictures),
        (embedded(), vec![(2, embedded())])
    );
    assert_eq!(
        shown(&catalog, "b").await,
        Some(Bytes::from_static(b"side"))
    );

    // A price waits for nothing; a title does; one that was embedded before does not.
    write(&catalog, "b", WriteOp::Patch, json!({"price": 5})).await;
    assert_eq!(waiting().await.waiting, 0);
    write(&catalog, "b", WriteOp::Patch, json!({"title": "Too"})).await;
    assert_eq!(waiting().await.waiting, 1);
    assert_eq!(embed(&catalog, &fake).await, (0, 1, 0));
    write(&catalog, "b", WriteOp::Patch, json!({"title": "Two"})).await;
    assert_eq!(waiting().await.waiting, 0);

    // Another picture in its place: the former vector serves until it is read.
    let back = upload("back").await;
    put(2, back).await;
    let photos = async || snapshot(&catalog, &fake).await.products[1].photos.clone();
    assert_eq!(photos().await, [(2, vector(b"side"))]);
    assert_eq!(embed(&catalog, &fake).await, (1, 0, 0));
    assert_eq!(photos().await, [(2, vector(b"back"))]);
    // An import that names no picture leaves what was uploaded.
    let rows = [json!({"id": "b", "title": "Two"})];
    import(&shop, &catalog, &fake, &rows).await;
    assert_eq!(photos().await, [(2, vector(b"back"))]);
    write(&catalog, "b", WriteOp::DeletePicture(2), json!({})).await;
    assert!(photos().await.is_empty());

    // What is removed waits for nothing.
    write(&catalog, "c", WriteOp::Put, json!({"title": "Three"})).await;
    write(&catalog, "c", WriteOp::Delete, json!({})).await;
    assert_eq!(waiting().await.waiting, 0);
    assert_eq!(embed(&catalog, &fake).await, (0, 0, 0));

    // The files that nobody shows go when they are old enough.
    let files = || {
        let folders = std::fs::read_dir(shop.path("data/uploads")).expect("a folder");
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.expect("one").path()));
        files.flatten().count()
    };
    assert_eq!(files(), 2);
    write(&catalog, "b", WriteOp::PutPicture(1, back), json!({})).await;
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(2);
    for folder in std::fs::read_dir(shop.path("data/uploads")).expect("a folder") {
        for file in std::fs::read_dir(folder.expect("one").path()).expect("a folder") {
            let file = std::fs::File::options()
                .append(true)
                .open(file.expect("one").path());
            file.expect("opens").set_modified(old).expect("set");
        }
    }
    let collected = catalog
        .collect_garbage(std::time::Duration::ZERO, None, false)
        .await;
    assert_eq!((collected.expect("collects").uploads, files()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_tried_again_after_a_pause_that_grows() {
    let shop = Shop::new(&[]);
    shop.photo(1, "front");
    shop.photo(2, "side");
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let row = json!({"id": "a", "title": "Urban Low", "images": ["1.jpg", "2.jpg"]});
    shop.load(&catalog, &lines(&shop, &[row])).await;
    std::fs::remove_file(shop.path("images/2.jpg")).expect("removed");
    let done = ingest::embed_missing(&catalog, &fake, &Progress::default()).await;
    let done = done.expect("embeds");
    assert_eq!((done.photos, done.words, done.failed), (1, 1, 1));
    let second = async || progress(&catalog, "a", &fake).await.pictures[1].1.clone();
    let first_failure = second().await;
    assert_eq!((first_failure.waits, first_failure.attempts), (true, 1));
    assert!(first_failure.failed.expect("a reason").contains("gone"));
    let waiting = async || catalog.waiting(&fake.model).await.expect("reads");
    let now = waiting().await;
    assert_eq!((now.waiting, now.retrying, now.due), (0, 1, 0));
    let counts = catalog.counts(&fake.model).await.expect("counts");
    assert_eq!(
        (counts.embedded, counts.pending),
        (1, 0),
        "it holds nobody up"
    );
    assert_eq!(embed(&catalog, &fake).await, (0, 0, 0), "its turn is later");

    let due_now = async || {
        sqlx::query("UPDATE work SET due = 0")
            .execute(&mut database(&shop).await)
            .await
            .expect("changed");
    };
    due_now().await;
    assert_eq!(embed(&catalog, &fake).await, (0, 0, 1));
    let again = second().await;
    let pause = again.again_at.zip(first_failure.again_at);
    assert_eq!(again.attempts, 2);
    assert!(
        pause.is_some_and(|(second, first)| second - first >= 5),
        "{pause:?}"
    );
    // It is there now.
    shop.photo(2, "side");
    due_now().await;
    assert_eq!(embed(&catalog, &fake).await, (1, 0, 0));
    assert_eq!(second().await, embedded());
    // And at some time it is given up.
    shop.photo(1, "front again");
    std::fs::remove_file(shop.path("images/2.jpg")).expect("removed");
    let rows = [json!({"id": "a", "title": "Urban Low", "images": ["2.jpg", "1.jpg"]})];
    let source = lines(&shop, &rows);
    shop.photo(2, "side");
    shop.load(&catalog, &source).await;
    std::fs::remove_file(shop.path("images/2.jpg")).expect("removed");
    sqlx::query("UPDATE work SET attempts = 44, lane = 2")
        .execute(&mut database(&shop).await)
        .await
        .expect("changed");
    assert_eq!(embed(&catalog, &fake).await.2, 1);
    let first = progress(&catalog, "a", &fake).await.pictures[0].1.clone();
    assert!(!first.waits && first.failed.is_some(), "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_does_not_wait_for_another_model() {
    let shop = Shop::new(&[]);
    let (catalog, first) = (shop.catalog().await, Fake::new("a"));
    let rows: Vec<Value> = (0..400)
        .map(|n| {
            shop.photo(n, &format!("photo {n}"));
            json!({"id": n, "title": format!("Shoe {n}"), "image": format!("{n}.jpg")})
        })
        .collect();
    import(&shop, &catalog, &first, &rows).await;
    let second = Fake {
        pause: std::time::Duration::from_millis(200),
        ..Fake::new("b")
    };
    let (task_catalog, embedder) = (catalog.clone(), second.clone());
    let all = tokio::spawn(async move {
        ingest::embed_missing(&task_catalog, &embedder, &Progress::default()).await
    });
    let waiting = async || catalog.waiting(&second.model).await.expect("reads").waiting;
    while waiting().await < 400 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let file = catalog
        .keep_upload(Bytes::from_static(b"new"))
        .await
        .expect("kept");
    write(&catalog, "new", WriteOp::Put, json!({"title": "New"})).await;
    write(&catalog, "new", WriteOp::PutPicture(1, file), json!({})).await;
    let is_embedded = async || {
        let now = progress(&catalog, "new", &second).await;
        now.words.embedded && now.pictures[0].1.embedded
    };
    while !is_embedded().await {
        assert!(!all.is_finished(), "it waited for all the others");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(waiting().await > 0, "the others are not through");
    let done = all.await.expect("no panic").expect("embeds");
    assert_eq!((done.photos, done.words), (401, 401));
    assert_eq!(waiting().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_refused_without_its_host() {
    let shop = Shop::new(&[]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let row =
        json!({"id": "a", "title": "Urban Low", "images": ["https://cdn.shop.example/1.jpg"]});
    let source = lines(&shop, &[row]);
    let summary = ingest::import(
        &catalog,
        &fake,
        &source,
        &ImportOptions::default(),
        &Progress::default(),
    )
    .await;
    let summary = summary.expect("imports");
    assert_eq!(rejects(&summary), [reject("1", "a", "photo")]);
    let noted = std::fs::read_to_string(summary.rejects.expect("rejects")).expect("reads");
    assert!(noted.contains("picture_hosts"), "{noted}");
    let model = ModelId::new("a");
    let counts = catalog.counts(&model).await.expect("counts");
    assert_eq!((counts.without_embedding, counts.pending), (1, 0));
}

/// A shop's server of pictures: each is its path, until it is told that they changed; how often it
/// sent one.
fn web() -> (String, std::sync::Arc<[std::sync::atomic::AtomicUsize; 2]>) {
    use std::sync::atomic::Ordering;

    use axum::http::{HeaderMap, StatusCode, Uri, header};
    use axum::response::IntoResponse as _;

    let state: std::sync::Arc<[std::sync::atomic::AtomicUsize; 2]> = std::sync::Arc::default();
    let shared = std::sync::Arc::clone(&state);
    let answer = async move |uri: Uri, headers: HeaderMap| {
        let edition = shared[1].load(Ordering::SeqCst);
        let path = uri.path().to_owned();
        let tag = format!("\"{path} {}\"", if path == "/2" { edition } else { 0 });
        if headers
            .get(header::IF_NONE_MATCH)
            .is_some_and(|known| known == tag.as_str())
        {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        shared[0].fetch_add(1, Ordering::SeqCst);
        if path == "/plain" {
            return path.into_response();
        }
        ([(header::ETAG, tag.clone())], tag).into_response()
    };
    let router = axum::Router::new().fallback(axum::routing::get(answer));
    (format!("127.0.0.1:{}", serve(router)), state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_import_downloads_what_changed_on_the_web_and_nothing_else() {
    use std::sync::atomic::Ordering;

    let shop = Shop::new(&[]);
    let (host, state) = web();
    let hosts = aglet::catalog::PictureHosts::new(std::slice::from_ref(&host)).expect("a host");
    let data = shop.path("data");
    let catalog = Catalog::open_with(&data, &postgres::database(&data), hosts).await;
    let (catalog, fake) = (catalog.expect("opens"), Fake::new("a"));
    let rows: Vec<Value> = ["1", "2", "3", "plain"]
        .iter()
        .map(|id| json!({"id": id, "title": id, "image": format!("http://{host}/{id}")}))
        .collect();
    let sent = || state[0].swap(0, Ordering::SeqCst);
    let summary = import(&shop, &catalog, &fake, &rows).await;
    assert_eq!((summary.embedded.photos, summary.embedded.failed), (4, 0));
    assert_eq!((sent(), fake.calls().0), (4, 4));
    let summary = import(&shop, &catalog, &fake, &rows).await;
    assert_eq!((summary.embedded.photos, summary.embedded.failed), (0, 0));
    assert_eq!((sent(), fake.calls().0), (0, 0), "nothing changed");
    state[1].store(1, Ordering::SeqCst);
    let summary = import(&shop, &catalog, &fake, &rows).await;
    assert_eq!((summary.embedded.photos, summary.embedded.failed), (1, 0));
    assert_eq!((sent(), fake.calls().0), (1, 1), "the second picture");
    let summary = import(&shop, &catalog, &fake, &rows).await;
    assert_eq!((sent(), summary.embedded.photos), (0, 0));
    let model = ModelId::new("a");
    assert_eq!(catalog.waiting(&model).await.expect("reads").waiting, 0);
}
