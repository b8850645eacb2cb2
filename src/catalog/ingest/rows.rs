//! The rows of a source, read ahead of the database.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::progress::IngestError;
use crate::catalog::error::CatalogError;
use crate::catalog::source::read::{self, Source};
use crate::catalog::source::row::{Ignored, Item, SourceError};
use crate::catalog::store::write::Writer;
use crate::util::blocking::{BlockingError, blocking};

/// Products in one transaction.
pub(super) const BATCH: usize = 500;

/// A thread that reads a source.
pub(super) struct Reader(JoinHandle<Result<Result<Ignored, SourceError>, BlockingError>>);

impl Reader {
    /// Fields that were ignored, once everything is read.
    pub(super) async fn ended(self) -> Result<Ignored, IngestError> {
        let read = self.0.await.map_err(BlockingError::from);
        let read = read.and_then(|read| read).map_err(CatalogError::from)?;
        Ok(read?)
    }
}

/// What a source holds, read ahead.
pub(super) fn rows(writer: &Writer, source: &Source) -> (mpsc::Receiver<Item>, Reader) {
    let (send, receive) = mpsc::channel(2 * BATCH);
    let (source, photos) = (source.clone(), writer.catalog().inner.photos.clone());
    let reader = tokio::spawn(blocking(move || {
        read::read(&source, &photos, &mut |item| {
            send.blocking_send(item).is_ok()
        })
    }));
    (receive, Reader(reader))
}
