//! What an import would take away, looked at before it writes anything.
//!
//! A feed that was cut short and a folder of pictures that is not mounted look like a shop that sells
//! nothing any more. So the source is read twice: once to count what would be gone, and once to be
//! written.

use std::collections::HashSet;

use super::progress::{ImportOptions, IngestError};
use super::rows::{BATCH, rows};
use crate::catalog::error::CatalogError;
use crate::catalog::source::read::Source;
use crate::catalog::source::row::{Item, Lost, Record};
use crate::catalog::store::write::Writer;
use crate::domain::ProductKey;

/// Refuses an import that would take away more than [`ImportOptions::max_removed`]. It reads the
/// source, and writes nothing.
pub(super) async fn check(
    writer: &Writer,
    source: &Source,
    options: &ImportOptions,
) -> Result<(), IngestError> {
    let (products, pictures) = writer.stock().await?;
    let max = options.max_removed;
    let all_products_may_go = !options.prune || max.of(products) >= products;
    if all_products_may_go && max.of(pictures) >= pictures {
        return Ok(());
    }
    let found = look(writer, source).await?;
    let limit = max.of(pictures);
    if found.lost_pictures > limit {
        return Err(IngestError::PicturesGone {
            lost: found.lost_pictures,
            all: pictures,
            limit,
        });
    }
    if !options.prune || found.nameless {
        return Ok(());
    }
    if !found.any {
        return Err(IngestError::NothingToKeep);
    }
    let (limit, removed) = (
        max.of(products),
        products.saturating_sub(found.kept.len() as u64),
    );
    if removed > limit {
        return Err(IngestError::TooManyRemoved {
            removed,
            all: products,
            limit,
        });
    }
    Ok(())
}

#[derive(Default)]
struct Found {
    /// The source holds a product that can be used.
    any: bool,
    /// The catalog's products that the source has.
    kept: HashSet<ProductKey>,
    lost_pictures: u64,
    /// A row was rejected whose id is not known.
    nameless: bool,
}

async fn look(writer: &Writer, source: &Source) -> Result<Found, IngestError> {
    let (mut receive, reader) = rows(writer, source);
    let mut found = Found::default();
    let (mut batch, mut rejected) = (Vec::with_capacity(BATCH), Vec::new());
    while let Some(item) = receive.recv().await {
        match item {
            Item::Record(record) => batch.push(record),
            Item::Reject(reject) if reject.lost == Lost::Row => {
                found.nameless |= reject.id.is_none();
                rejected.extend(reject.id);
            }
            Item::Reject(_) => {}
        }
        if batch.len() == BATCH {
            compare(writer, &mut batch, &mut found).await?;
        }
    }
    compare(writer, &mut batch, &mut found).await?;
    reader.ended().await?;
    found.kept.extend(writer.keys(&rejected).await?);
    Ok(found)
}

async fn compare(
    writer: &Writer,
    batch: &mut Vec<Record>,
    found: &mut Found,
) -> Result<(), CatalogError> {
    found.any |= !batch.is_empty();
    let (kept, lost) = writer.would_keep(batch).await?;
    found.kept.extend(kept);
    found.lost_pictures += lost;
    batch.clear();
    Ok(())
}
