//! A source, read row by row or at once.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::pictures::PictureFolders;
use super::row::{Ignored, Item, Lost, Reject, SourceError};
use super::{jsonl, kaggle};
use crate::catalog::error::CatalogError;
use crate::catalog::media::PicturePlace;
use crate::catalog::media::read::PictureFiles;
use crate::domain::{Product, ProductId};
use crate::util::blocking::blocking;

/// A catalog as a shop hands it over.
#[derive(Clone, Debug)]
pub enum Source {
    /// The layout of Kaggle's "Fashion Product Images": a `styles.csv`, pictures called `ID.jpg`,
    /// and our `shoelaces.csv`.
    Kaggle {
        styles: PathBuf,
        images: Vec<PathBuf>,
        shoelaces: Option<PathBuf>,
    },
    /// One JSON object a line: `id`, `title`, `description?`, `image?`, `images?`, `attributes?`, `price?`,
    /// `url?`.
    JsonLines { file: PathBuf, images: Vec<PathBuf> },
}

/// A source whose files can be read as often as one likes.
pub(in crate::catalog) struct Rereadable {
    pub source: Source,
    /// What pipes held; removed when dropped.
    _copies: Vec<NamedTempFile>,
}

impl Rereadable {
    /// A pipe (`/dev/stdin`) is copied to a file in `folder` first.
    ///
    /// # Errors
    /// When a pipe cannot be read, or the folder is full.
    pub(in crate::catalog) async fn of(
        source: &Source,
        folder: &Path,
    ) -> Result<Self, SourceError> {
        let (mut source, folder) = (source.clone(), folder.to_owned());
        let copied = blocking(move || -> Result<Self, SourceError> {
            let mut copies = Vec::new();
            if let Source::JsonLines { file, images } = &mut source
                && images.is_empty()
            {
                images.push(beside(file));
            }
            let files = match &mut source {
                Source::Kaggle {
                    styles, shoelaces, ..
                } => vec![Some(styles), shoelaces.as_mut()],
                Source::JsonLines { file, .. } => vec![Some(file)],
            };
            for path in files.into_iter().flatten() {
                // What is not there is said by whoever reads it.
                if path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir()) {
                    let io = |e| CatalogError::io(&folder, e);
                    let mut copy = NamedTempFile::new_in(&folder).map_err(io)?;
                    let mut pipe = File::open(&*path).map_err(|e| CatalogError::io(path, e))?;
                    io::copy(&mut pipe, &mut copy).map_err(io)?;
                    copy.path().clone_into(path);
                    copies.push(copy);
                }
            }
            Ok(Self {
                source,
                _copies: copies,
            })
        });
        copied.await.map_err(CatalogError::from)?
    }
}

/// The folder that a file is in.
fn beside(file: &Path) -> PathBuf {
    let parent = file.parent().filter(|p| !p.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

/// Reads the whole source, blocking. `emit` answers false when nobody listens any more.
///
/// Of rows with the same id the first is taken, the later ones are rejected: which of them is right
/// is the shop's to say, and the result must not depend on who sorted the file.
pub(in crate::catalog) fn read(
    source: &Source,
    photos: &PictureFiles,
    emit: &mut dyn FnMut(Item) -> bool,
) -> Result<Ignored, SourceError> {
    let mut lines: HashMap<ProductId, u64> = HashMap::new();
    let mut once = |item: Item| match item {
        Item::Record(record) => {
            if let Some(first) = lines.get(&record.product.id) {
                return emit(Item::Reject(Reject {
                    line: record.line,
                    id: Some(record.product.id.to_string()),
                    lost: Lost::Row,
                    reason: format!("the id was already used in line {first}"),
                }));
            }
            lines.insert(record.product.id.clone(), record.line);
            emit(Item::Record(record))
        }
        reject @ Item::Reject(_) => emit(reject),
    };
    match source {
        Source::Kaggle {
            styles,
            images,
            shoelaces,
        } => {
            kaggle::read(
                styles,
                &PictureFolders::open(images, photos)?,
                shoelaces.as_deref(),
                &mut once,
            )?;
            Ok(Ignored::new())
        }
        Source::JsonLines { file, images } => {
            let shelves = if images.is_empty() {
                PictureFolders::open(&[beside(file)], photos)?
            } else {
                PictureFolders::open(images, photos)?
            };
            jsonl::read(file, &shelves, photos.hosts(), &mut once)
        }
    }
}

/// The attribute that a column of the Kaggle layout becomes: `subCategory` is `section`.
#[must_use]
pub fn attribute_of_column(column: &str) -> Option<&'static str> {
    kaggle::COLUMNS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(column))
        .map(|(_, attribute)| *attribute)
}

/// A source in memory.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// In the order of the file, each with where its first picture is.
    pub products: Vec<(Product, Option<PicturePlace>)>,
    pub rejects: Vec<Reject>,
}

/// Reads the whole source at once, for those who need no database. Blocking.
///
/// # Errors
/// When the file of products cannot be read at all, or a source of pictures is not there.
pub fn load(source: &Source, photos: &PictureFiles) -> Result<Loaded, SourceError> {
    let mut loaded = Loaded::default();
    read(source, photos, &mut |item| {
        match item {
            Item::Record(record) => {
                let picture = record.first_stored();
                loaded.products.push((record.product, picture));
            }
            Item::Reject(reject) => loaded.rejects.push(reject),
        }
        true
    })?;
    Ok(loaded)
}
