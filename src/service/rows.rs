//! The rows of products in memory, where the catalog is on a server: what a search shows comes without
//! asking the server, and still comes while that is away.
//!
//! The rows follow the log of changes from a revision of their own, whoever put the index in use: the
//! following of the catalog, or a change of the model. They are brought up to date before an index
//! that the following puts in use. Each is kept as JSON, in one piece of memory. Where the bound is
//! too small for all of them, those of the products that came first are here, and the others are read
//! from the server.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::catalog::{Catalog, CatalogError, StoredProduct};
use crate::domain::{ProductId, ProductKey};
use crate::index::Searcher;

/// Products that are read at a time.
const PAGE: u32 = 2_000;
/// Changes that are taken over at once; after more all are read again.
const MOST_CHANGES: usize = 50_000;
/// What an entry of the table costs beside its text.
const ENTRY: usize = 40;
const SHORT: &str =
    "no more rows of products fit into rows_memory_bytes: searches read the others from the server";

/// The rows.
pub(super) struct Rows {
    /// Bytes that they may take; 0: there are none.
    most: usize,
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    rows: HashMap<ProductKey, Packed>,
    bytes: usize,
    /// What changed after it is not here; `None`: nothing was read yet.
    revision: Option<u64>,
    /// The last product that was looked at.
    after: ProductKey,
    /// Whether all were looked at, or as many as fit.
    filled: bool,
    /// Whether not all fit.
    short: bool,
}

/// A row as JSON.
type Packed = Box<[u8]>;

impl Rows {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            held: RwLock::default(),
        }
    }

    /// Those that are here of these products.
    pub(super) fn get(&self, keys: &[ProductKey]) -> HashMap<ProductKey, StoredProduct> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let found = keys
            .iter()
            .filter_map(|key| Some((*key, unpacked(held.rows.get(key)?)?)));
        found.collect()
    }

    /// The key of the product with this id, when its row is here.
    pub(super) fn key(&self, index: &Searcher, id: &ProductId) -> Option<ProductKey> {
        // The index knows ids with their letter case aside.
        let alike = index.with_id(id.as_str());
        let found = self.get(&alike);
        alike
            .into_iter()
            .find(|key| found.get(key).is_some_and(|row| row.product.id == *id))
    }

    /// Whether it holds the row of every product.
    pub(super) fn complete(&self) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.filled && !held.short
    }

    /// Reads the next rows, until all were read or the bound is reached; whether there are more.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(super) async fn fill(&self, catalog: &Catalog) -> Result<bool, CatalogError> {
        let after = {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            // Changes are taken over from a revision on: without one they would be missed.
            if held.filled || held.revision.is_none() {
                return Ok(false);
            }
            held.after
        };
        let rows = catalog.products_after(after, PAGE).await?;
        let packed: Vec<(ProductKey, Packed)> = rows.iter().map(packed).collect();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = rows.last() else {
            held.filled = true;
            let (rows, bytes) = (held.rows.len(), held.bytes);
            tracing::info!(rows, bytes, "the rows of products are in memory");
            return Ok(false);
        };
        held.after = last.key;
        for (key, packed) in packed {
            held.set(key, packed, self.most);
        }
        held.filled |= held.short;
        Ok(!held.filled)
    }

    /// Takes over what changed since it was last asked.
    ///
    /// # Errors
    /// When the catalog cannot be read: then nothing is taken over.
    pub(super) async fn follow(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        if self.most == 0 {
            return Ok(());
        }
        let since = {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            held.revision
        };
        let mut changes: Vec<(ProductKey, Option<Packed>)> = Vec::new();
        let revision = match since {
            None => None,
            Some(since) => {
                let each = |key, row: Option<StoredProduct>| {
                    changes.push((key, row.map(|row| packed(&row).1)));
                };
                catalog.products_since(since, MOST_CHANGES, each).await?
            }
        };
        let Some(revision) = revision else {
            // They are read from the first on.
            let revision = Some(catalog.revision().await?);
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            *held = Held {
                revision,
                ..Held::default()
            };
            return Ok(());
        };
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.revision = Some(revision);
        for (key, packed) in changes {
            let had = held.remove(key);
            // Those that were not looked at yet are read when their turn comes.
            let wanted = had || (!held.short && (held.filled || key <= held.after));
            if let Some(packed) = packed.filter(|_| wanted) {
                held.set(key, packed, self.most);
            }
        }
        Ok(())
    }
}

impl Held {
    /// Puts a row in its place, where it fits.
    fn set(&mut self, key: ProductKey, packed: Packed, most: usize) {
        self.remove(key);
        let bytes = self.bytes + packed.len() + ENTRY;
        if bytes <= most {
            self.bytes = bytes;
            self.rows.insert(key, packed);
        } else if !std::mem::replace(&mut self.short, true) {
            tracing::warn!(rows = self.rows.len(), bytes = self.bytes, "{SHORT}");
        }
    }

    /// Whether it was here.
    fn remove(&mut self, key: ProductKey) -> bool {
        let Some(former) = self.rows.remove(&key) else {
            return false;
        };
        self.bytes -= former.len() + ENTRY;
        true
    }
}

fn packed(row: &StoredProduct) -> (ProductKey, Packed) {
    // Nothing in a row fails to be written; one that did would be read from the server.
    let packed = serde_json::to_vec(row).unwrap_or_default();
    (row.key, packed.into_boxed_slice())
}

fn unpacked(packed: &[u8]) -> Option<StoredProduct> {
    serde_json::from_slice(packed).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::StoredPicture;
    use crate::domain::{AttributeName, AttributeValue, Conditions, Product, Write, WriteOp};

    fn product(key: u32, title: &str) -> StoredProduct {
        let id = ProductId::new(&format!("A-{key}")).expect("an id");
        let mut product = Product::new(id, title).expect("a product");
        // What a reader of JSON rounds that is not exact.
        product.price = Some(1_358.860_000_000_000_1);
        product.created = Some(-5);
        let color = AttributeName::new("color").expect("a name");
        let red = AttributeValue::new("Réd \"1\"").expect("a value");
        product.attributes.insert(color, vec![red.clone(), red]);
        StoredProduct {
            key: ProductKey(key),
            product,
            pictures: vec![StoredPicture {
                number: 2,
                address: Some("https://a.example/1.jpg".to_owned()),
                shown: true,
                kept: Some("ab/abcd".to_owned()),
                link: None,
            }],
            version: u64::MAX,
        }
    }

    #[test]
    fn a_row_comes_back_as_it_went_in() {
        let row = product(7, "A shoe");
        let (key, packed) = packed(&row);
        assert_eq!((key, unpacked(&packed)), (ProductKey(7), Some(row.clone())));
        let rows = Rows::new(1_000);
        let mut held = rows.held.write().expect("unpoisoned");
        held.set(key, packed, rows.most);
        drop(held);
        let found = rows.get(&[ProductKey(6), ProductKey(7)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&ProductKey(7)], row);
    }

    async fn write(catalog: &Catalog, id: &str, op: WriteOp, title: &str) {
        let json = json!({"id": id, "title": title});
        let write = Write {
            id: Some(ProductId::new(id).expect("an id")),
            op,
            json: json.as_object().expect("an object").clone(),
            conditions: Conditions::default(),
        };
        let written = catalog.write(vec![write]).await.expect("written");
        assert!(written[0].result.is_ok(), "{written:?}");
    }

    fn titles(rows: &Rows) -> Vec<String> {
        let held = rows.held.read().expect("unpoisoned");
        let titles = held.rows.values();
        let mut titles: Vec<String> = titles
            .map(|packed| unpacked(packed).expect("a row").product.title)
            .collect();
        titles.sort();
        titles
    }

    /// Also what changed while nobody asked, as when an index was put in use by somebody else.
    #[tokio::test]
    async fn the_rows_are_what_the_log_of_changes_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = Catalog::open(folder.path()).await.expect("opened");
        write(&catalog, "a", WriteOp::Put, "One").await;
        let rows = Rows::new(10_000);
        assert!(!rows.fill(&catalog).await.expect("read") && !rows.complete());
        rows.follow(&catalog).await.expect("read");
        // Between the first look and the filling.
        write(&catalog, "b", WriteOp::Put, "Two").await;
        while rows.fill(&catalog).await.expect("read") {}
        assert!(rows.complete());
        assert_eq!(titles(&rows), ["One", "Two"]);
        write(&catalog, "a", WriteOp::Put, "Other").await;
        write(&catalog, "b", WriteOp::Delete, "").await;
        write(&catalog, "c", WriteOp::Put, "Three").await;
        rows.follow(&catalog).await.expect("read");
        assert_eq!(titles(&rows), ["Other", "Three"]);
        catalog.close().await;
    }

    #[test]
    fn bytes_are_counted_as_rows_come_and_go() {
        let mut held = Held::default();
        let (key, one) = packed(&product(1, "One"));
        let (_, another) = packed(&product(1, "Another one"));
        let bytes = another.len() + ENTRY;
        held.set(key, one, bytes);
        held.set(key, another.clone(), bytes);
        assert_eq!((held.rows.len(), held.bytes, held.short), (1, bytes, false));
        // No other fits beside it, nor it where there is less room.
        held.set(ProductKey(2), another.clone(), bytes);
        assert_eq!((held.rows.len(), held.bytes, held.short), (1, bytes, true));
        held.set(key, another, bytes - 1);
        assert_eq!((held.rows.len(), held.bytes), (0, 0));
        assert!(!held.remove(key));
    }
}
