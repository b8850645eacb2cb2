//! Feeds of the formats that shops have: imported by path and by address, exported, searched for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aglet::catalog::ingest::{self, FetchedFeed, ImportOptions, IngestError, Progress, Summary};
use aglet::catalog::source::{Mapping, Source};
use aglet::catalog::{Catalog, PictureHosts};
use aglet::domain::{ProductId, ProductKey};
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::{Fake, Shop, open, rejects, title};
use crate::support::postgres;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/feeds")
}

/// A feed of the fixtures, with its mapping where it has one.
fn fixture(name: &str) -> Source {
    let mapping = (name == "plain.csv")
        .then(|| Mapping::read(&fixtures().join("mapping.toml")).expect("a mapping"));
    Source {
        mapping,
        ..Source::feed(fixtures().join(name), vec![])
    }
}

async fn load(
    catalog: &Catalog,
    source: &Source,
    options: &ImportOptions,
) -> Result<Summary, IngestError> {
    ingest::load(catalog, source, options, &Progress::default()).await
}

async fn rows(catalog: &Catalog) -> Vec<Map<String, Value>> {
    let rows = catalog.rows(ProductKey(0), 10_000).await.expect("reads");
    let mut rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    rows.sort_by_key(|row| row["id"].to_string());
    rows
}

/// A catalog that lets pictures of any host be, and fetches none: nothing is embedded.
async fn anywhere(folder: &Path) -> Catalog {
    allowing(folder, "*").await
}

async fn allowing(folder: &Path, host: &str) -> Catalog {
    let hosts = PictureHosts::new(&[host.to_owned()]).expect("hosts");
    let database = postgres::database(folder);
    Catalog::open_with(folder, &database, hosts)
        .await
        .expect("opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_format_is_imported_and_exported_and_imported_again() {
    let names = [
        "merchant.tsv",
        "merchant.csv",
        "merchant-rss.xml",
        "merchant-atom.xml",
        "merchant-prefixes.xml",
        "shopify-old.csv",
        "shopify-new.csv",
        "woocommerce.csv",
        "woocommerce-de.csv",
        "product.jsonld",
        "products.json",
        "products.jsonl",
        "plain.csv",
        "kaggle.csv",
    ];
    for name in names {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = anywhere(&folder.path().join("a")).await;
        let options = ImportOptions::default();
        let summary = load(&catalog, &fixture(name), &options).await.expect(name);
        let expected = std::fs::read_to_string(fixtures().join(format!("{name}.expected.json")));
        let expected: Vec<Map<String, Value>> =
            serde_json::from_str(&expected.expect("there")).expect("JSON");
        assert_eq!(summary.new, expected.len() as u64, "{name}");
        let exported = rows(&catalog).await;
        // What an export says is what an import takes.
        let lines: Vec<String> = exported.iter().map(|row| json!(row).to_string()).collect();
        let file = folder.path().join("export.jsonl");
        std::fs::write(&file, lines.join("\n")).expect("written");
        let other = anywhere(&folder.path().join("b")).await;
        let again = load(&other, &Source::feed(file, vec![]), &options)
            .await
            .expect(name);
        assert_eq!(
            (again.new, again.rejected_parts),
            (expected.len() as u64, 0),
            "{name}: {again:?}"
        );
        assert_eq!(rows(&other).await, exported, "{name}");
        // A second import of the same feed changes nothing.
        let same = load(&catalog, &fixture(name), &options).await.expect(name);
        assert_eq!(
            (same.unchanged, same.changed),
            (expected.len() as u64, 0),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_same_to_the_eye_is_one_value_and_one_id() {
    let shop = Shop::new(&[]);
    let catalog = shop.catalog().await;
    let lines = [
        json!({"id": "nfc-é", "title": "Boot", "attributes": {"color": "Écru"}}),
        json!({"id": "nfd-e\u{301}", "title": "Bo\u{ad}ot", "attributes": {"color": "E\u{301}cru"}}),
        json!({"id": "a\u{200b}", "title": "<b>Boot</b> &amp; more", "attributes": {"color": "Écru\u{feff}"}}),
        json!({"id": "a", "title": "The same id", "attributes": {"color": "Red"}}),
        json!({"id": "b c", "title": "Boot", "attributes": {"color": ["Off\u{a0}White", "Off  White", "off white"]}}),
    ];
    shop.write("p.jsonl", lines.map(|line| line.to_string()).join("\n"));
    let summary = shop
        .load(&catalog, &Source::feed(shop.path("p.jsonl"), vec![]))
        .await;
    assert_eq!((summary.new, summary.rejected_rows), (4, 1));
    let colors: BTreeSet<String> = rows(&catalog)
        .await
        .iter()
        .map(|row| row["attributes"]["color"].to_string())
        .collect();
    assert_eq!(
        colors,
        BTreeSet::from(["[\"Écru\"]".to_owned(), "[\"Off White\"]".to_owned()])
    );
    assert_eq!(title(&catalog, "nfd-é").await.as_deref(), Some("Boot"));
    assert_eq!(title(&catalog, "a").await.as_deref(), Some("Boot & more"));
    assert_eq!(title(&catalog, "b\u{a0}c").await.as_deref(), Some("Boot"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_took_nothing_is_an_error_and_changes_nothing() {
    let shop = Shop::new(&[]);
    let catalog = shop.catalog().await;
    let options = ImportOptions::default();
    for (name, content, says) in [
        (
            "a.jsonl",
            "{\"id\": 1}\n{\"id\": 2}\n",
            "2 rows were rejected, the first in line 1: missing field `title`",
        ),
        (
            "b.csv",
            "id,title\n",
            "holds no product: nothing was changed",
        ),
        ("c.json", "[]", "holds no product"),
        ("d.csv", "", "is empty"),
        ("e.csv", "Nummer;Wort\n1;2\n", "columns are not known"),
        ("f.xml", "<html><body>Log in</body></html>", "web page"),
        (
            "g.csv",
            "version https://git-lfs.github.com/spec/v1\noid sha256:x\n",
            "git lfs pull",
        ),
        ("h.csv", "i\0d\0,\0t\0i\0t\0l\0e\0", "UTF-16"),
        ("i.csv", "PK\u{3}\u{4}xxxx", "spreadsheet of Excel"),
    ] {
        shop.write(name, content);
        let error = load(&catalog, &Source::feed(shop.path(name), vec![]), &options).await;
        let error = error.expect_err(name).to_string();
        assert!(
            error.contains(says) && error.contains(name),
            "{name}: {error}"
        );
    }
    assert!(catalog.is_empty().await.expect("reads"));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_line_ends_and_separators_are_seen() {
    for (name, content) in [
        (
            "cr.csv",
            "id,title,color\r1,One,Red\r2,\"Two\rlines\",Blue\r",
        ),
        (
            "semicolons.csv",
            "id;title;color\r\n1;One;Red\r\n2;\"Two\r\nlines\";Blue\r\n",
        ),
        (
            "tabs.txt",
            "\u{feff}id\ttitle\tcolor\n1\tOne\tRed\n2\tTwo lines\tBlue",
        ),
        ("bars.csv", "ID|Name|Colour\n1|One|Red\n2|Two lines|Blue\n"),
        (
            "array.json",
            "[\n {\"id\": 1, \"title\": \"One\", \"attributes\": {\"color\": \"Red\"}},\n {\"id\": 2, \"title\": \"Two lines\", \"attributes\": {\"color\": \"Blue\"}}\n]",
        ),
        (
            "wrapped.json",
            "{\"total\": 2, \"products\": [{\"id\": 1, \"title\": \"One\", \"attributes\": {\"color\": \"Red\"}},{\"id\": 2, \"title\": \"Two lines\", \"attributes\": {\"color\": \"Blue\"}}], \"next\": {}}",
        ),
    ] {
        let shop = Shop::new(&[]);
        let catalog = shop.catalog().await;
        shop.write(name, content);
        let summary = shop
            .load(&catalog, &Source::feed(shop.path(name), vec![]))
            .await;
        assert_eq!(
            (summary.new, summary.rejected_rows, summary.rejected_parts),
            (2, 0, 0),
            "{name}"
        );
        let rows = rows(&catalog).await;
        let expected = json!([
            {"id": "1", "title": "One", "attributes": {"color": ["Red"]}},
            {"id": "2", "title": "Two lines", "attributes": {"color": ["Blue"]}}
        ]);
        let plain: Vec<Value> = rows
            .into_iter()
            .map(|mut row| {
                row.remove("created");
                Value::Object(row)
            })
            .collect();
        assert_eq!(json!(plain), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_object_of_an_array_costs_itself() {
    let shop = Shop::new(&[]);
    let catalog = shop.catalog().await;
    let text = "[\n  {\"id\": 1, \"title\": \"One\"},\n  {\"id\": 2,\n   \"title\": \"never closed},\n  {\"id\": 3, \"title\": \"Three\"},\n  17,\n  {\"id\": 4, \"title\": \"Four\"}\n";
    shop.write("p.json", text);
    let summary = shop
        .load(&catalog, &Source::feed(shop.path("p.json"), vec![]))
        .await;
    let lost: Vec<(String, String)> = rejects(&summary)
        .into_iter()
        .map(|(line, _, lost)| (line, lost))
        .collect();
    let row = |line: &str| (line.to_owned(), "row".to_owned());
    // The last: the list does not end.
    assert_eq!(lost, [row("3"), row("6"), row("8")]);
    assert_eq!(summary.new, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_are_products_of_one_style() {
    let shop = Shop::new(&[]);
    let catalog = shop.catalog().await;
    let row = json!({
        "id": "urban", "title": "Urban Low", "price": 60, "images": ["https://shop.example/all.jpg"],
        "attributes": {"brand": "Norrfold", "color": "Red"},
        "variants": [
            {"id": "urban-41", "attributes": {"size": 41, "in_stock": true}},
            {"attributes": {"size": 42, "color": "Blue", "in_stock": false}, "price": 50, "image": "https://shop.example/blue.jpg"},
            7
        ]
    });
    shop.write("p.jsonl", row.to_string());
    let catalog_with = anywhere(&shop.path("other")).await;
    drop(catalog);
    let summary = shop
        .load(&catalog_with, &Source::feed(shop.path("p.jsonl"), vec![]))
        .await;
    assert_eq!((summary.new, summary.rejected_parts), (2, 1));
    let rows = rows(&catalog_with).await;
    let of = |at: usize, field: &str| rows[at][field].clone();
    assert_eq!(
        (of(0, "id"), of(1, "id")),
        (json!("urban-2"), json!("urban-41"))
    );
    assert_eq!(
        of(0, "attributes"),
        json!({"brand": ["Norrfold"], "color": ["Blue"], "in_stock": ["false"], "size": ["42"], "style": ["urban"]})
    );
    assert_eq!(
        of(0, "images"),
        json!([
            "https://shop.example/blue.jpg",
            "https://shop.example/all.jpg"
        ])
    );
    assert_eq!((of(0, "price"), of(1, "price")), (json!(50.0), json!(60.0)));
    assert_eq!(of(1, "attributes")["color"], json!(["Red"]));
}

/// What a shop's server says of its feed.
#[derive(Default)]
struct Feed {
    body: Vec<u8>,
    etag: Option<String>,
    gzip: bool,
    /// The body breaks off before its end.
    cut: bool,
    fails: usize,
    /// Requests, and those that were answered 304.
    asked: usize,
    same: usize,
}

type Shared = Arc<Mutex<Feed>>;

fn answer(feed: &Shared, headers: &HeaderMap) -> axum::response::Response {
    let mut feed = feed.lock().unwrap_or_else(PoisonError::into_inner);
    feed.asked += 1;
    if feed.fails > 0 {
        feed.fails -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    if known.is_some() && known == feed.etag.as_deref() {
        feed.same += 1;
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let mut answer = HeaderMap::new();
    if let Some(etag) = &feed.etag {
        answer.insert(header::ETAG, etag.parse().expect("a header"));
    }
    let mut body = feed.body.clone();
    if feed.gzip {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, &body).expect("packed");
        body = packed.finish().expect("packed");
        answer.insert(header::CONTENT_ENCODING, "gzip".parse().expect("a header"));
    }
    if feed.cut {
        body.truncate(body.len() / 2);
    }
    (answer, body).into_response()
}

/// A shop's server, for the rest of the process, and the address of its feed.
fn serve() -> (Shared, String) {
    let feed = Shared::default();
    let shared = feed.clone();
    let get_feed = get(move |headers: HeaderMap| {
        let shared = shared.clone();
        async move { answer(&shared, &headers) }
    });
    let router = Router::new().route("/feeds/products.csv", get_feed);
    let port = crate::support::serve(router);
    (
        feed,
        format!("http://127.0.0.1:{port}/feeds/products.csv?token=secret"),
    )
}

fn table(products: std::ops::Range<u32>) -> Vec<u8> {
    let rows = products.map(|id| format!("{id},Boot {id},../images/{id}.jpg\n"));
    format!("id,title,image\n{}", rows.collect::<String>()).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_by_address_is_fetched_once_and_read_when_it_changed() {
    let shop = Shop::new(&[]);
    let (feed, address) = serve();
    let host = address.split('/').nth(2).expect("a host");
    let catalog = allowing(&shop.path("data"), host).await;
    let source = Source::at(&address, vec![]);
    let set = |change: &dyn Fn(&mut Feed)| {
        change(&mut feed.lock().unwrap_or_else(PoisonError::into_inner));
    };
    let prune = ImportOptions {
        prune: true,
        max_removed: "50%".parse().expect("a share"),
        ..ImportOptions::default()
    };
    let force = ImportOptions {
        force: true,
        ..prune.clone()
    };
    // What did not come from the feed is not the feed's to remove.
    shop.write("own.jsonl", "{\"id\": \"own\", \"title\": \"Own\"}");
    shop.load(&catalog, &Source::feed(shop.path("own.jsonl"), vec![]))
        .await;

    set(&|feed| {
        feed.body = table(0..20);
        feed.etag = Some("\"1\"".to_owned());
        feed.gzip = true;
        feed.fails = 1;
    });
    let first = load(&catalog, &source, &prune).await.expect("taken");
    assert_eq!((first.new, first.removed), (20, 0));
    assert!(
        matches!(first.fetched, Some(FetchedFeed::Read(bytes)) if bytes > 100),
        "{first:?}"
    );
    // Paths are meant from where the feed is.
    let images = rows(&catalog).await[0]["images"].clone();
    let image = images[0].as_str().expect("an address");
    assert!(
        image.starts_with("http://127.0.0.1:") && image.ends_with("/feeds/../images/0.jpg"),
        "{image}"
    );

    let same = load(&catalog, &source, &prune).await.expect("the same");
    assert_eq!(
        (same.fetched, same.new, same.unchanged),
        (Some(FetchedFeed::Same), 0, 0)
    );
    // With another mapping the same file says another thing.
    let mapped = Source {
        mapping: Some(Mapping::default()),
        ..source.clone()
    };
    let read = load(&catalog, &mapped, &prune).await.expect("read anew");
    assert_eq!(read.unchanged, 20);

    set(&|feed| {
        feed.body = table(2..20);
        feed.etag = Some("\"2\"".to_owned());
    });
    let changed = load(&catalog, &source, &prune).await.expect("taken");
    assert_eq!((changed.unchanged, changed.removed), (18, 2));
    assert_eq!(title(&catalog, "own").await.as_deref(), Some("Own"));

    // Less than half: refused, and nothing is changed.
    set(&|feed| {
        feed.body = table(0..5);
        feed.etag = Some("\"3\"".to_owned());
    });
    for options in [&prune, &ImportOptions::default()] {
        let error = load(&catalog, &source, options).await.expect_err("refused");
        assert!(
            matches!(error, IngestError::FeedShrank { now: 5, before: 18 }),
            "{error}"
        );
        assert!(error.to_string().contains("--force"), "{error}");
    }
    assert_eq!(title(&catalog, "7").await.as_deref(), Some("Boot 7"));
    assert_eq!(title(&catalog, "0").await, None);
    let forced = load(&catalog, &source, &force).await.expect("forced");
    assert_eq!((forced.new, forced.removed), (2, 15));

    // A body that breaks off takes nothing away.
    set(&|feed| {
        feed.body = table(0..50);
        feed.etag = Some("\"4\"".to_owned());
        feed.cut = true;
    });
    let error = load(&catalog, &source, &force)
        .await
        .expect_err("cut off")
        .to_string();
    assert!(
        error.contains("127.0.0.1") && !error.contains("secret"),
        "{error}"
    );
    assert_eq!(title(&catalog, "4").await.as_deref(), Some("Boot 4"));
    set(&|feed| feed.cut = false);
    let whole = load(&catalog, &source, &prune).await.expect("whole");
    assert_eq!(whole.new + whole.unchanged, 50);

    let known = catalog.feeds().await.expect("reads");
    assert_eq!((known.len(), known[0].products), (1, 50));
    assert!(known[0].taken.is_some());
    let feed = feed.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(feed.same, 1, "asked {} times", feed.asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_cannot_be_fetched_says_why() {
    let shop = Shop::new(&[]);
    let catalog = open(&shop.path("data")).await;
    let refused = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = refused.local_addr().expect("an address").port();
    let nobody = {
        drop(refused);
        format!("http://127.0.0.1:{port}/f.csv?token=secret")
    };
    for (address, says) in [
        (nobody.as_str(), "127.0.0.1"),
        (
            "https://user:secret@shop.example/f.csv",
            "a user or a password",
        ),
        ("ftp://shop.example/f.csv", "http:// or https://"),
    ] {
        let error = load(
            &catalog,
            &Source::at(address, vec![]),
            &ImportOptions::default(),
        )
        .await;
        let error = error.expect_err(address).to_string();
        assert!(error.contains(says) && !error.contains("secret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_turn_of_a_feed_is_one_services() {
    let shop = Shop::new(&[]);
    let catalog = shop.catalog().await;
    let turn = async || {
        catalog
            .take_turn_of_feed("https://shop.example/f", 3_600)
            .await
            .expect("asked")
    };
    assert_eq!((turn().await, turn().await), (true, false));
    assert!(
        catalog
            .take_turn_of_feed("https://shop.example/f", 0)
            .await
            .expect("asked")
    );
    catalog
        .feed_failed("https://shop.example/f", "it did not come")
        .await
        .expect("noted");
    let feeds = catalog.feeds().await.expect("reads");
    assert_eq!(feeds[0].error.as_deref(), Some("it did not come"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brand_new_field_costs_itself() {
    let shop = Shop::new(&[]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.write(
        "p.jsonl",
        "{\"id\": 1, \"title\": \"A\", \"price\": \"cheap\", \"sale_price\": -1, \"url\": 7, \"description\": {}, \
         \"created\": \"soon\", \"currency\": \"coins\", \"colour\": \"Red\", \"titel\": \"B\", \"attributes\": {\"size\": [41, {\"x\": 1}]}}\n",
    );
    let source = Source::feed(shop.path("p.jsonl"), vec![]);
    let summary = shop.import(&catalog, &fake, &source, false).await;
    assert_eq!(
        (summary.new, summary.rejected_rows, summary.rejected_parts),
        (1, 0, 7)
    );
    let meant: Vec<(&str, Option<&str>)> = summary
        .ignored
        .0
        .iter()
        .map(|(name, field)| (name.as_str(), field.meant.as_deref()))
        .collect();
    assert_eq!(
        meant,
        [
            ("colour", Some("attributes.color")),
            ("titel", Some("title"))
        ]
    );
    let id = ProductId::new("1").expect("an id");
    let product = catalog
        .product(&id)
        .await
        .expect("reads")
        .expect("there")
        .product;
    assert_eq!(product.attributes.len(), 1);
}
