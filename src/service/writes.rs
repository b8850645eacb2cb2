//! Products written by whoever runs the shop, and read back as they came in.
//!
//! A change is in the catalog when its answer is here; the index follows. [`Service::searchable`]
//! waits until it has.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value};

use super::api::Service;
use super::check;
use super::error::ServiceError;
use crate::catalog::Catalog;
use crate::domain::{
    Conditions, Filters, ProductId, ProductKey, Write, WriteOp, WriteResult, WriteStatus,
};
use crate::util::blocking::blocking;

/// How often the index in use is looked at by those who wait for it.
const LOOK: Duration = Duration::from_millis(20);
/// Products that are read at a time.
const PAGE: u32 = 500;

impl Service {
    /// Makes the changes in one transaction, each of them alone under its conditions, and wakes
    /// whoever follows the catalog. Answers in the order given.
    ///
    /// # Errors
    /// When the catalog cannot be changed: then none of them is made.
    pub async fn write(&self, writes: Vec<Write>) -> Result<Vec<WriteResult>, ServiceError> {
        let results = self.inner.catalog.write(writes).await?;
        let changed = results
            .iter()
            .filter_map(|result| result.result.as_ref().ok());
        let changed = changed.filter(|written| written.status != WriteStatus::Unchanged);
        if let Some(revision) = changed.map(|written| written.revision).max() {
            self.inner.fresh.written(revision);
            // The index may have been quicker than this answer.
            let held = self.generation().version().catalog;
            self.inner.fresh.searchable(held);
            self.inner.written.notify_one();
        }
        Ok(results)
    }

    /// [`Service::write`] of one change.
    ///
    /// # Errors
    /// When the catalog cannot be changed.
    pub async fn write_one(&self, write: Write) -> Result<WriteResult, ServiceError> {
        let result = self.write(vec![write]).await?.pop();
        result.ok_or_else(|| ServiceError::Failed("a write has no result".into()))
    }

    /// Keeps an uploaded picture and gives it to a product, under this number.
    ///
    /// # Errors
    /// When there is no such product, the file is not an image that can be decoded, or it cannot be
    /// written.
    pub async fn put_picture(
        &self,
        id: ProductId,
        number: u8,
        file: Bytes,
        conditions: Conditions,
        deadline: Option<Instant>,
    ) -> Result<WriteResult, ServiceError> {
        let catalog = &self.inner.catalog;
        // Nothing is kept for a product that is not there.
        self.product(&id).await?;
        let encoder = self.generation().encoder.clone();
        encoder.check_image(file.clone(), deadline).await?;
        let sha256 = catalog.keep_upload(file).await?;
        let write = Write {
            id: Some(id),
            op: WriteOp::PutPicture(number, sha256),
            json: Map::new(),
            conditions,
        };
        self.write_one(write).await
    }

    /// Waits until the index in use is of this revision or a later one; false when it is not by
    /// `until`.
    pub async fn searchable(&self, revision: u64, until: Instant) -> bool {
        loop {
            if self.generation().version().catalog >= revision {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            tokio::time::sleep(LOOK.min(left)).await;
        }
    }

    /// All products, from the first or from the one after `after`; with filters, those that the index
    /// in use finds by them.
    ///
    /// # Errors
    /// When there is no product `after`, or the catalog cannot be read; with filters also when no
    /// index answers yet, or it has no such attribute.
    pub async fn all_products(
        &self,
        after: Option<&ProductId>,
        filters: &Filters,
    ) -> Result<ProductRows, ServiceError> {
        let after = match after {
            Some(id) => self.product(id).await?.key,
            None => ProductKey(0),
        };
        let rest = if filters.is_empty() {
            Rest::Behind(after)
        } else {
            let generation = self.answering()?;
            check::filters(&generation.index.facets(), self.known(), filters)?;
            let filters = filters.clone();
            let matching = blocking(move || generation.index.matching(&filters)).await;
            let matching = matching.map_err(|e| ServiceError::Failed(e.to_string().into()))?;
            Rest::These(Box::new(matching.skip_while(move |key| *key <= after)))
        };
        let catalog = self.inner.catalog.clone();
        Ok(ProductRows { catalog, rest })
    }
}

/// Products of the catalog in its order, page by page. A page is of one moment; what changes between
/// two pages shows in the later one.
pub struct ProductRows {
    catalog: Catalog,
    rest: Rest,
}

/// The products that no page had yet.
enum Rest {
    Behind(ProductKey),
    These(Box<dyn Iterator<Item = ProductKey> + Send>),
}

impl ProductRows {
    /// The next of them, each as the row of JSON Lines that it came in, but for its picture; none at
    /// the end.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn page(&mut self) -> Result<Vec<Map<String, Value>>, ServiceError> {
        match &mut self.rest {
            Rest::Behind(after) => {
                let page = self.catalog.rows(*after, PAGE).await?;
                if let Some((last, _)) = page.last() {
                    *after = *last;
                }
                Ok(page.into_iter().map(|(_, row)| row).collect())
            }
            // A page may be empty before the end: all of its products were removed meanwhile.
            Rest::These(keys) => loop {
                let keys: Vec<_> = keys.take(PAGE as usize).collect();
                let page = self.catalog.rows_of(&keys).await?;
                if keys.is_empty() || !page.is_empty() {
                    return Ok(page);
                }
            },
        }
    }
}
