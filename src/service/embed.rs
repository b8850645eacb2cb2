//! A worker that embeds what waits in a catalog, for the model that answers and for the one that is to, and
//! serves nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::change::folder_of;
use crate::catalog::ingest::{self, IngestError, Progress};
use crate::catalog::{Catalog, CatalogError};
use crate::encode::{EncodeError, Encoder, EncoderOptions};
use crate::model::{ModelError, ModelFolder};
use crate::util::blocking::{BlockingError, blocking};

/// How often is looked when nobody says that something waits.
const LOOK: Duration = Duration::from_secs(2);
/// The same after an error that may pass.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the model does not start: {0}")]
    Encoder(#[from] EncodeError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl WorkError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Catalog(error) | Self::Ingest(IngestError::Catalog(error)) => error.may_pass(),
            _ => false,
        }
    }
}

/// Embeds what waits and what comes, for as long as it is let; `once`: until nothing waits.
///
/// # Errors
/// When a model does not start, or the catalog fails in a way that does not pass.
pub async fn work(
    catalog: &Catalog,
    setting: &Path,
    options: &EncoderOptions,
    once: bool,
) -> Result<(), WorkError> {
    let mut encoders: HashMap<PathBuf, Encoder> = HashMap::new();
    loop {
        let waiting = match turn(catalog, setting, options, &mut encoders).await {
            Ok(waiting) => waiting,
            Err(error) if error.may_pass() => {
                tracing::warn!(%error, "it is tried again");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        if once && waiting == 0 {
            break;
        }
        tokio::select! {
            () = catalog.told() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    for encoder in encoders.into_values() {
        encoder.shutdown().await;
    }
    Ok(())
}

/// Embeds what waits now; how much waits then, of which others may have begun some.
async fn turn(
    catalog: &Catalog,
    setting: &Path,
    options: &EncoderOptions,
    encoders: &mut HashMap<PathBuf, Encoder>,
) -> Result<u64, WorkError> {
    let serving = catalog.serving().await?;
    let mut models = vec![folder_of(setting, &serving.of(setting).model)];
    let wanted = serving.wanted.filter(|wanted| wanted.failed.is_none());
    models.extend(wanted.map(|wanted| folder_of(setting, &wanted.served.model)));
    let former: Vec<PathBuf> = encoders
        .keys()
        .filter(|folder| !models.contains(folder))
        .cloned()
        .collect();
    for folder in former {
        if let Some(encoder) = encoders.remove(&folder) {
            encoder.shutdown().await;
        }
    }
    let mut waits = 0;
    for folder in models {
        let begun = encoders.contains_key(&folder);
        if !begun {
            let (at, options) = (folder.clone(), options.clone());
            let encoder = blocking(move || -> Result<_, WorkError> {
                Ok(Encoder::start(&ModelFolder::open(&at)?, &options)?)
            });
            let encoder = encoder.await??;
            tracing::info!(model = %folder.display(), "embeds what waits");
            encoders.insert(folder.clone(), encoder);
        }
        let Some(encoder) = encoders.get(&folder) else {
            continue;
        };
        let progress = Progress::default();
        let done = if begun {
            ingest::embed_queued(catalog, encoder, &progress).await?
        } else {
            ingest::embed_missing(catalog, encoder, &progress).await?
        };
        let (photos, words, failed) = (done.photos, done.words, done.failed);
        if photos + words + failed > 0 {
            tracing::info!(photos, words, failed, elapsed = ?done.elapsed, "embedded");
        }
        waits += catalog.waiting(encoder.model_id()).await?.waiting;
    }
    Ok(waits)
}
