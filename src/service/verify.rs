//! Whether what a service would answer from is what the catalog says: `aglet verify`.

use std::collections::BTreeSet;

use super::distant;
use super::generation::{self, GenerationError, Making};
use crate::catalog::{Catalog, Difference, Expected};
use crate::domain::{ModelId, ProductKey};

/// How often the comparison begins anew when the catalog changes under it.
const TRIES: usize = 5;

/// What a comparison came to.
#[derive(Clone, Debug)]
pub enum Verified {
    /// There is no snapshot that a start would use: it builds the index of the catalog.
    Nothing { reason: &'static str },
    Compared {
        products: u64,
        /// Products that changed since the snapshot, which a start takes over.
        changes: usize,
        /// Products that differ: their id, where the catalog has one, and in what.
        differences: Vec<(ProductKey, Option<String>, &'static str)>,
    },
}

/// Restores the saved index as a start does, takes over what changed since, and compares it with the
/// catalog product by product. Reads alone: a service may run beside it.
///
/// # Errors
/// When the catalog cannot be read, or changes all the time.
pub async fn verify(
    catalog: &Catalog,
    model: &ModelId,
    dimensions: usize,
    making: &Making,
) -> Result<Verified, GenerationError> {
    let saved = generation::saved(catalog, model, dimensions, making).await?;
    let Some((mut index, _)) = saved else {
        return Ok(Verified::Nothing {
            reason: "no saved index fits the catalog and the settings",
        });
    };
    let mut changes = 0;
    for _ in 0..TRIES {
        let Some((next, more)) = generation::next(catalog, &index).await? else {
            return Ok(Verified::Nothing {
                reason: "too much changed since the index was saved",
            });
        };
        (index, changes) = (next, changes + more);
        let mut comparison = index.comparison();
        let words_percent = making.words_percent;
        let set = distant::set(catalog, index.version(), dimensions);
        let mut expected = Expected::default();
        let read = catalog.embedded(model, dimensions, |product| {
            let vectors = generation::vectors(&product, words_percent);
            comparison.add(&generation::entry(&product, &vectors));
            if set.is_some() {
                expected.add(product.key, &distant::pairs(vectors));
            }
        });
        if read.await?.revision != index.version().catalog {
            continue;
        }
        let (products, found) = comparison.finish();
        let found = found.into_iter().map(|found| (found.key, found.what));
        let mut found: BTreeSet<_> = found.collect();
        if let Some(set) = &set {
            match set.compare(expected, index.version().catalog).await? {
                Difference::Nothing => {
                    return Ok(Verified::Nothing {
                        reason: "the database has no whole set of the vectors",
                    });
                }
                Difference::Later => continue,
                Difference::Compared(keys) => {
                    found.extend(keys.into_iter().map(|key| (key, "its vectors are others")));
                }
            }
        }
        let mut differences = Vec::with_capacity(found.len());
        for (key, what) in found {
            let stored = catalog.products(&[key]).await?;
            let id = stored.first().map(|stored| stored.product.id.to_string());
            differences.push((key, id, what));
        }
        return Ok(Verified::Compared {
            products,
            changes,
            differences,
        });
    }
    Ok(Verified::Nothing {
        reason: "the catalog changes all the time: try again when fewer write to it",
    })
}
