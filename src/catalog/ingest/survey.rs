//! What an import would take away, looked at before it writes anything.
//!
//! A feed that was cut short and a folder of pictures that is not mounted look like a shop that sells
//! nothing any more. So the source is read twice: once to count what would be gone, and once to be
//! written.

use std::collections::HashSet;

use super::feed::AskedFeed;
use super::max_removed::MaxRemoved;
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
    feed: Option<&AskedFeed>,
) -> Result<(), IngestError> {
    let (products, pictures) = writer.stock(feed.map(|feed| feed.known.key)).await?;
    let max = if options.force {
        MaxRemoved::Percent(100)
    } else {
        options.max_removed
    };
    let before = feed.map_or(0, |feed| feed.before);
    let may_shrink = options.force || before == 0;
    let all_products_may_go = !options.prune || max.of(products) >= products;
    if all_products_may_go && max.of(pictures) >= pictures && may_shrink {
        return Ok(());
    }
    let found = look(writer, source).await?;
    if !may_shrink && found.records.saturating_mul(2) < before {
        let now = found.records;
        return Err(IngestError::FeedShrank { now, before });
    }
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
    if found.records == 0 {
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
    /// Products that can be used.
    records: u64,
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
    found.records += batch.len() as u64;
    let (kept, lost) = writer.would_keep(batch).await?;
    found.kept.extend(kept);
    found.lost_pictures += lost;
    batch.clear();
    Ok(())
}
