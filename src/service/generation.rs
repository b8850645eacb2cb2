//! An encoder and the index of what it embedded: they are put in use together, so that the model,
//! the version and the hits of one answer belong together.

use std::path::PathBuf;

use serde::Serialize;

use super::distant;
use crate::catalog::{Catalog, CatalogError, Changed, Counts, Embedded};
use crate::domain::{ModelId, Types};
use crate::encode::Encoder;
use crate::index::lexical::{Language, ProductText};
use crate::index::{
    Builder, Entry, IndexVersion, Saved, SearchError, Searcher, Update, Vector, rank,
};
use crate::util::blocking::{BlockingError, blocking};

/// Changes that an index takes over at once; for more it is built anew.
const MOST_CHANGES: usize = 50_000;

/// One generation. Never changed: another one takes its place.
#[derive(Clone)]
pub struct Generation {
    pub encoder: Encoder,
    pub index: Searcher,
    /// Whether everything that the catalog had for this model was in the index when it was built,
    /// or in the one before it: what is searchable stays so.
    pub whole: bool,
}

/// How an index is made of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Making {
    /// See [`rank::fuse`].
    pub words_percent: u8,
    pub language: Language,
    /// What the shop says its attributes are.
    pub types: Types,
}

impl Making {
    /// With another share of the words; `None`: the same.
    #[must_use]
    pub fn with_words(&self, percent: Option<u8>) -> Self {
        Self {
            words_percent: percent.unwrap_or(self.words_percent),
            ..self.clone()
        }
    }

    pub(super) fn version(&self, catalog: u64, model: &ModelId) -> IndexVersion {
        IndexVersion {
            catalog,
            model: model.clone(),
            words_percent: self.words_percent,
            language: self.language,
        }
    }
}

/// The model that made the embeddings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelName {
    pub name: String,
    /// Names the exact weights and preprocessing.
    pub id: ModelId,
}

impl Generation {
    /// Over nothing, for a service that starts before its catalog is embedded.
    #[must_use]
    pub fn empty(encoder: Encoder, making: &Making) -> Self {
        let version = making.version(0, encoder.model_id());
        let index = Searcher::empty(version, encoder.dimensions());
        Self {
            encoder,
            index,
            whole: false,
        }
    }

    #[must_use]
    pub fn model(&self) -> ModelName {
        ModelName {
            name: self.encoder.model_name().to_owned(),
            id: self.encoder.model_id().clone(),
        }
    }

    #[must_use]
    pub fn version(&self) -> &IndexVersion {
        self.index.version()
    }

    /// Whether searches are answered: something is indexed, or it is known that there is nothing.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.whole || !self.index.is_empty()
    }
}

/// Why there is no generation.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Index(#[from] SearchError),
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl GenerationError {
    /// Whether another try may go through.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Catalog(error) if error.may_pass())
    }
}

/// Where the indexes of a catalog are saved.
pub(super) fn folder(catalog: &Catalog) -> PathBuf {
    catalog.data().join("index")
}

/// The index that was saved last of this model and database, when it is whole.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn saved(
    catalog: &Catalog,
    model: &ModelId,
    dimensions: usize,
    making: &Making,
) -> Result<Option<(Searcher, Saved)>, GenerationError> {
    let expected = making.version(catalog.revision().await?, model);
    let (store, folder) = (catalog.identity().await?, folder(catalog));
    let types = making.types.clone();
    let vectors = distant::of(catalog, &expected, dimensions);
    let restore =
        move || Searcher::restore_at(&folder, &expected, dimensions, &store, &types, vectors);
    Ok(blocking(restore).await?)
}

/// With the index that was saved last, also when the catalog has changed since; with an empty one
/// when none fits.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn restore(
    catalog: &Catalog,
    encoder: Encoder,
    making: &Making,
) -> Result<Generation, GenerationError> {
    let saved = saved(catalog, encoder.model_id(), encoder.dimensions(), making).await?;
    Ok(match saved {
        Some((index, saved)) if distant::reaches(catalog, &index).await? => Generation {
            encoder,
            index,
            whole: saved.whole,
        },
        _ => Generation::empty(encoder, making),
    })
}

/// An index after what changed in the catalog since, and how many products that were: at the cost of
/// these alone. `None` when the catalog does not know any more what changed, or it is too much.
///
/// # Errors
/// When the catalog cannot be read.
pub(super) async fn changed(
    catalog: &Catalog,
    index: &Searcher,
) -> Result<Option<(Searcher, usize)>, GenerationError> {
    let next = next(catalog, index).await?;
    if let Some((next, _)) = &next {
        catch_up(catalog, next).await?;
    }
    Ok(next)
}

/// Where the vectors are not in the index, they are brought up to its state before it is put in use.
async fn catch_up(catalog: &Catalog, index: &Searcher) -> Result<(), CatalogError> {
    let words_percent = index.version().words_percent;
    distant::catch_up(catalog, index, |product| vectors(product, words_percent)).await
}

/// As [`changed`], and reads alone: vectors that are not in the index are those that they were.
pub(super) async fn next(
    catalog: &Catalog,
    index: &Searcher,
) -> Result<Option<(Searcher, usize)>, GenerationError> {
    let version = index.version();
    let mut all: Vec<Changed> = Vec::new();
    let read = catalog.changed(
        &version.model,
        index.dimensions(),
        version.catalog,
        MOST_CHANGES,
        |changed| all.push(changed),
    );
    let Some(revision) = read.await? else {
        return Ok(None);
    };
    let (changes, index) = (all.len(), index.clone());
    let next = blocking(move || {
        let words_percent = index.version().words_percent;
        let vectors: Vec<Vec<Vector>> = all
            .iter()
            .map(|changed| match changed {
                Changed::Is(product) => vectors(product, words_percent),
                Changed::Gone(_) => Vec::new(),
            })
            .collect();
        let updates = all
            .iter()
            .zip(&vectors)
            .map(|(changed, vectors)| match changed {
                Changed::Is(product) => Update::Is(entry(product, vectors)),
                Changed::Gone(key) => Update::Gone(*key),
            });
        index.with(&updates.collect::<Vec<_>>(), revision)
    });
    Ok(next.await??.map(|next| (next, changes)))
}

/// What represents a product: each of its pictures with its words; without a picture, its words
/// alone.
pub(super) fn vectors(product: &Embedded, words_percent: u8) -> Vec<Vector> {
    let words = product.words.as_ref();
    if product.photos.is_empty() {
        let words = words.cloned().into_iter();
        return words
            .map(|embedding| Vector {
                picture: 0,
                embedding,
            })
            .collect();
    }
    let photos = product.photos.iter().filter_map(|(picture, photo)| {
        let embedding = rank::fuse(Some(photo), words, words_percent)?;
        Some(Vector {
            picture: *picture,
            embedding,
        })
    });
    photos.collect()
}

pub(super) fn entry<'a>(product: &'a Embedded, vectors: &'a [Vector]) -> Entry<'a> {
    Entry {
        key: product.key,
        vectors,
        attributes: &product.attributes,
        fields: product.fields,
        text: ProductText {
            id: product.id.as_str(),
            title: &product.title,
            description: product.description.as_deref(),
        },
    }
}

/// With an index of all products with what is embedded of them now, and how far the catalog is; whole when
/// hardly anything is pending.
///
/// # Errors
/// When the catalog cannot be read, or memory runs out.
pub async fn build(
    catalog: &Catalog,
    encoder: Encoder,
    making: &Making,
) -> Result<(Generation, Counts), GenerationError> {
    let (dimensions, language) = (encoder.dimensions(), making.language);
    let version = making.version(0, encoder.model_id());
    let mut builder = match distant::of(catalog, &version, dimensions) {
        Some(vectors) => Builder::distant(vectors, dimensions, language),
        None => Builder::new(dimensions, language),
    };
    let mut failed = None;
    let read = catalog
        .embedded(encoder.model_id(), encoder.dimensions(), |product| {
            let vectors = vectors(&product, making.words_percent);
            let entry = entry(&product, &vectors);
            if let Err(error) = builder.add(&entry) {
                failed.get_or_insert(error);
            }
        })
        .await?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let version = making.version(read.revision, encoder.model_id());
    let types = making.types.clone();
    let index = blocking(move || builder.build(version, &types)).await??;
    catch_up(catalog, &index).await?;
    let whole = read.counts.settled();
    let generation = Generation {
        encoder,
        index,
        whole,
    };
    Ok((generation, read.counts))
}
