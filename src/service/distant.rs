//! Where the catalog's database has the vectors: the index asks it, and it is brought up to date before
//! an index is put in use.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::error::ServiceError;
use crate::catalog::{Catalog, CatalogError, Embedded, VectorSet};
use crate::domain::{Embedding, ProductKey};
use crate::index::distant::port::{Among, Distant, DistantError, Found};
use crate::index::{IndexVersion, SearchError, Searcher, Vector};
use crate::util::blocking::{BlockingError, blocking};

/// A set of vectors, asked by threads that wait.
struct Asked {
    set: VectorSet,
    runtime: Handle,
}

impl Asked {
    /// Not on a thread of the runtime: those do not wait.
    fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, CatalogError>>,
    ) -> Result<T, DistantError> {
        let answer = self.runtime.block_on(answer);
        answer.map_err(|error| DistantError(Box::new(error)))
    }
}

fn found((key, picture, cosine): (ProductKey, u8, f32)) -> Found {
    Found {
        key,
        picture,
        cosine,
    }
}

impl Distant for Asked {
    fn nearest(&self, query: &Embedding, most: usize) -> Result<Vec<Found>, DistantError> {
        let all = self.wait(self.set.nearest(query, most))?;
        Ok(all.into_iter().map(found).collect())
    }

    fn cosines(&self, query: &Embedding, of: &[ProductKey]) -> Result<Vec<Found>, DistantError> {
        let all = self.wait(self.set.cosines(query, of))?;
        Ok(all.into_iter().map(found).collect())
    }

    fn best(
        &self,
        query: &Embedding,
        among: Among<'_>,
        most: usize,
    ) -> Result<Vec<(ProductKey, f32)>, DistantError> {
        let (products, but) = match among {
            Among::These(products) => (products, false),
            Among::AllBut(products) => (products, true),
        };
        self.wait(self.set.best(query, products, but, most))
    }

    fn vectors(&self, of: &[ProductKey]) -> Result<Vec<(ProductKey, u8, Embedding)>, DistantError> {
        self.wait(self.set.vectors(of))
    }

    fn mean(&self, query: &Embedding) -> f32 {
        self.set.mean(query)
    }
}

/// The set of vectors that an index of this version and size is of; `None` where they are in memory.
pub(super) fn set(
    catalog: &Catalog,
    version: &IndexVersion,
    dimensions: usize,
) -> Option<VectorSet> {
    catalog.vector_set(&version.model, version.words_percent, dimensions)
}

/// The same, as an index asks it. To be called on the runtime.
pub(super) fn of(
    catalog: &Catalog,
    version: &IndexVersion,
    dimensions: usize,
) -> Option<Arc<dyn Distant>> {
    let set = set(catalog, version, dimensions)?;
    let runtime = Handle::current();
    Some(Arc::new(Asked { set, runtime }))
}

/// Whether the vectors are of the state that the index is of, or of a later one. Those in memory are.
pub(super) async fn reaches(catalog: &Catalog, index: &Searcher) -> Result<bool, CatalogError> {
    let version = index.version();
    match set(catalog, version, index.dimensions()) {
        None => Ok(true),
        Some(set) => {
            let revision = set.revision().await?;
            Ok(revision.is_some_and(|revision| revision >= version.catalog))
        }
    }
}

/// Brings the vectors up to the state that an index is of. `vectors`: those of a product.
pub(super) async fn catch_up(
    catalog: &Catalog,
    index: &Searcher,
    vectors: impl Fn(&Embedded) -> Vec<Vector> + Sync,
) -> Result<(), CatalogError> {
    let version = index.version();
    let Some(set) = set(catalog, version, index.dimensions()) else {
        return Ok(());
    };
    let of = |product: &Embedded| pairs(vectors(product));
    set.catch_up(version.catalog, of).await
}

/// Each vector with the number of its picture.
pub(super) fn pairs(vectors: Vec<Vector>) -> Vec<(u8, Embedding)> {
    let vectors = vectors.into_iter();
    vectors
        .map(|vector| (vector.picture, vector.embedding))
        .collect()
}

/// See [`Searcher::embedding`].
pub(super) async fn embedding(
    index: &Searcher,
    key: ProductKey,
) -> Result<Option<Embedding>, ServiceError> {
    if !index.is_distant() {
        return Ok(index.embedding(key)?);
    }
    let index = index.clone();
    let found = blocking(move || index.embedding(key)).await;
    let ended = |error: BlockingError| ServiceError::Failed(error.to_string().into());
    Ok(found.map_err(ended)??)
}

impl From<SearchError> for ServiceError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Distant(DistantError(source)) => match source.downcast() {
                Ok(catalog) => Self::Catalog(*catalog),
                Err(source) => Self::Index(SearchError::Distant(DistantError(source))),
            },
            other => Self::Index(other),
        }
    }
}
