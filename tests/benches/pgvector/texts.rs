//! What products take in memory without their vectors: what they are filtered and sorted by, and their
//! words. Prices and dates are made up.
//!
//! `cargo bench --bench pgvector -- texts --data FOLDER [COPIES]` makes an index of the products of a data
//! folder, each so many times under other ids, without vectors; saves it; and restores it in a process of
//! its own.

use std::path::Path;
use std::process::Command;

use aglet::domain::{
    AttributeName, AttributeValue, Attributes, ModelId, ProductFields, ProductKey, Types,
};
use aglet::index::lexical::{Language, ProductText};
use aglet::index::{Builder, Entry, IndexVersion, Saved, Searcher};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::runtime::Runtime;

use crate::{megabytes, of_status, resident};

const DIMENSIONS: usize = 512;
const STORE: &str = "a database";

struct Product {
    id: String,
    title: String,
    description: Option<String>,
    attributes: Attributes,
}

fn version() -> IndexVersion {
    IndexVersion {
        catalog: 1,
        model: ModelId::new("00"),
        words_percent: 0,
        language: Language::English,
    }
}

pub fn run(data: &Path, copies: usize, runtime: &Runtime) {
    let products = runtime.block_on(read(data)).expect("a catalog");
    let before = resident();
    let mut builder = Builder::new(DIMENSIONS, Language::English);
    for copy in 0..copies {
        for (place, product) in products.iter().enumerate() {
            let key = u32::try_from(copy * products.len() + place).expect("few");
            let entry = Entry {
                key: ProductKey(key),
                vectors: &[],
                attributes: &product.attributes,
                fields: ProductFields {
                    price: Some(f64::from(key % 5_000) / 10.0),
                    sale_price: None,
                    created: Some(1_700_000_000 + i64::from(key) * 60),
                },
                text: ProductText {
                    id: &format!("{}-{copy}", product.id),
                    title: &product.title,
                    description: product.description.as_deref(),
                },
            };
            builder.add(&entry).expect("in order");
        }
    }
    let searcher = builder.build(version(), &Types::default()).expect("built");
    said("built", searcher.len(), resident().saturating_sub(before));
    let folder = tempfile::tempdir().expect("a folder");
    let saved = Saved {
        store: STORE.to_owned(),
        whole: true,
    };
    searcher.save(folder.path(), &saved).expect("saved");
    let itself = std::env::current_exe().expect("a path");
    let mut again = Command::new(itself);
    again
        .args(["--bench", "restored", "--data"])
        .arg(folder.path());
    assert!(again.status().expect("runs").success());
}

/// What [`run`] saved.
pub fn restored(folder: &Path) {
    let before = resident();
    let types = Types::default();
    let (searcher, _) =
        Searcher::restore(folder, &version(), DIMENSIONS, STORE, &types).expect("whole");
    said(
        "restored",
        searcher.len(),
        resident().saturating_sub(before),
    );
}

fn said(how: &str, products: usize, bytes: usize) {
    println!(
        "| {how} | {products} products | {} | {} bytes a product | the process {} at most |",
        megabytes(bytes),
        bytes / products.max(1),
        megabytes(of_status("VmHWM:"))
    );
}

async fn read(data: &Path) -> Result<Vec<Product>, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(data.join("catalog.sqlite"))
        .read_only(true);
    let mut connection = options.connect().await?;
    let rows = sqlx::query("SELECT id, title, description, attributes FROM products ORDER BY key")
        .fetch_all(&mut connection)
        .await?;
    connection.close().await?;
    let product = |row: &sqlx::sqlite::SqliteRow| Product {
        id: row.get(0),
        title: row.get(1),
        description: row.get(2),
        attributes: attributes(row.get(3)),
    };
    Ok(rows.iter().map(product).collect())
}

fn attributes(json: &str) -> Attributes {
    let parsed: std::collections::BTreeMap<String, Vec<String>> =
        serde_json::from_str(json).expect("attributes");
    let values = |values: &[String]| {
        let value = |value: &String| AttributeValue::new(value).expect("a value");
        values.iter().map(value).collect()
    };
    parsed
        .iter()
        .map(|(name, of)| (AttributeName::new(name).expect("a name"), values(of)))
        .collect()
}
