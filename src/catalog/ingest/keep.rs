//! Pictures of an import, put where the catalog keeps pictures, so that every machine reaches them.
//!
//! Each is read and hashed, and written unless it is there: an import that is repeated writes nothing.
//! One that cannot be read stays where the file says it is, and is found missing when it is its turn
//! to be embedded. A bucket that does not answer ends the import.

use std::collections::HashSet;

use tokio::task::JoinSet;

use crate::catalog::error::CatalogError;
use crate::catalog::media::readers::LONG;
use crate::catalog::media::{PicturePlace, PictureSource, upload};
use crate::catalog::source::row::Record;
use crate::catalog::store::Catalog;
use crate::util::digest::sha256;

/// Pictures on their way at a time.
const TOGETHER: usize = 8;

/// Keeps the pictures of these records that lie in files and archives, and says so in the records; how
/// many were not there.
pub(super) async fn pictures(
    catalog: &Catalog,
    records: &mut [Record],
) -> Result<u64, CatalogError> {
    let mut stored = Vec::new();
    for (record, of) in records.iter().enumerate() {
        for (picture, (_, source)) in of.pictures.iter().enumerate() {
            if let PictureSource::Stored(place) = source {
                stored.push((record, picture, place.clone()));
            }
        }
    }
    let (mut waiting, mut running) = (stored.into_iter(), JoinSet::new());
    // Two at a time may find that the same one is not there.
    let mut written = HashSet::new();
    loop {
        for (record, picture, place) in waiting.by_ref().take(TOGETHER - running.len()) {
            let catalog = catalog.clone();
            running.spawn(async move { Ok((record, picture, keep(&catalog, place).await?)) });
        }
        let Some(done) = running.join_next().await else {
            return Ok(written.len() as u64);
        };
        let done: Result<_, CatalogError> =
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let (record, picture, kept) = done?;
        let Some((name, new)) = kept else { continue };
        if new {
            written.insert(name.clone());
        }
        let of = records.get_mut(record).map(|record| &mut record.pictures);
        if let Some((_, source)) = of.and_then(|pictures| pictures.get_mut(picture)) {
            *source = PictureSource::Kept {
                name,
                imported: true,
            };
        }
    }
}

/// The name of a picture, and whether it was not there; `None` when it cannot be read.
async fn keep(
    catalog: &Catalog,
    place: PicturePlace,
) -> Result<Option<(String, bool)>, CatalogError> {
    let inner = &catalog.inner;
    let (photos, what) = (inner.photos.clone(), place.path().display().to_string());
    let read = move || {
        let bytes = photos.read(&place)?;
        Ok::<_, CatalogError>(bytes.map(|bytes| (sha256(&bytes), bytes)))
    };
    let read = inner.readers.run(&what, LONG, read).await.flatten();
    let Ok(Some((digest, bytes))) = read else {
        return Ok(None);
    };
    let name = upload::name(&digest);
    if inner.kept.has(&name).await? {
        return Ok(Some((name, false)));
    }
    catalog.keep_upload(bytes).await?;
    Ok(Some((name, true)))
}
