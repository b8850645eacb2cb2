//! A source, read row by row or at once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::format::{Format, Layout};
use super::input::Input;
use super::mapping::Mapping;
use super::pictures::PictureFolders;
use super::row::{Ignored, Item, Reject, SourceError};
use super::sink::Sink;
use super::{json, jsonld, kaggle, merchant, plain, shopify, woocommerce};
use crate::catalog::error::CatalogError;
use crate::catalog::media::PicturePlace;
use crate::catalog::media::read::PictureFiles;
use crate::domain::Product;
use crate::util::blocking::blocking;

/// A catalog as a shop hands it over.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file of products; where there is an address, it is fetched to one.
    pub feed: PathBuf,
    /// The web address of the file.
    pub address: Option<String>,
    /// `None`: as it can be seen in the file.
    pub format: Option<Format>,
    /// What the shop says of its columns.
    pub mapping: Option<Mapping>,
    /// Folders and zip archives of pictures. None, and the format names pictures by their paths: the
    /// folder that the feed is in.
    pub images: Vec<PathBuf>,
    /// Of Kaggle's format: our `shoelaces.csv`.
    pub shoelaces: Option<PathBuf>,
}

impl Source {
    /// A file of any format.
    #[must_use]
    pub fn feed(feed: PathBuf, images: Vec<PathBuf>) -> Self {
        Self {
            feed,
            images,
            ..Self::default()
        }
    }

    /// A file of any format, by its path or its web address.
    #[must_use]
    pub fn at(place: &str, images: Vec<PathBuf>) -> Self {
        if place.contains("://") {
            return Self {
                address: Some(place.to_owned()),
                ..Self::feed(PathBuf::new(), images)
            };
        }
        Self::feed(place.into(), images)
    }

    /// What the feed is called in messages.
    pub(in crate::catalog) fn name(&self) -> String {
        let address = self.address.as_deref();
        address.map_or_else(
            || self.feed.display().to_string(),
            |address| {
                address
                    .split(['?', '#'])
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            },
        )
    }

    /// Kaggle's "Fashion Product Images": a `styles.csv`, pictures called `ID.jpg`, and our
    /// `shoelaces.csv`.
    #[must_use]
    pub fn kaggle(styles: PathBuf, images: Vec<PathBuf>, shoelaces: Option<PathBuf>) -> Self {
        Self {
            feed: styles,
            format: Some(Format::Kaggle),
            images,
            shoelaces,
            ..Self::default()
        }
    }
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
            // Said before a pipe is copied to where no pictures are.
            let by_path = source.format != Some(Format::Kaggle) && source.address.is_none();
            if source.images.is_empty() && by_path {
                source.images.push(beside(&source.feed));
            }
            for path in [Some(&mut source.feed), source.shoelaces.as_mut()]
                .into_iter()
                .flatten()
            {
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
pub(in crate::catalog) fn read(
    source: &Source,
    photos: &PictureFiles,
    emit: &mut dyn FnMut(Item) -> bool,
) -> Result<Ignored, SourceError> {
    read_input(source, Input::open(&source.feed)?, photos, emit)
}

fn read_input(
    source: &Source,
    input: Input,
    photos: &PictureFiles,
    emit: &mut dyn FnMut(Item) -> bool,
) -> Result<Ignored, SourceError> {
    let none = Mapping::default();
    let mapping = source.mapping.as_ref().unwrap_or(&none);
    let format = match source.format {
        Some(format) => format,
        // Whoever says what columns mean has a table of their own.
        None if !mapping.columns.is_empty() => Format::Table,
        None => Format::of(&input)?,
    };
    let folders = match (source.images.as_slice(), format) {
        ([], Format::Kaggle) => PictureFolders::open(&[], photos)?,
        // Where the file lies that it was fetched to are no pictures of the shop.
        ([], _) if source.address.is_some() => PictureFolders::open(&[], photos)?,
        ([], _) => PictureFolders::open(&[beside(&source.feed)], photos)?,
        (images, _) => PictureFolders::open(images, photos)?,
    };
    let hosts = photos.hosts();
    let mut sink = Sink::new(emit, &folders, hosts, &mapping.values, mapping.decimal);
    sink.address = source.address.as_deref();
    let sink = &mut sink;
    match format {
        Format::Json => match Layout::of(&input) {
            Layout::Lines => json::read_lines(input, sink),
            Layout::Objects(array) => json::read_objects(input, array, sink),
        },
        Format::JsonLd => jsonld::read(input, sink),
        Format::Merchant if input.text().trim_start().starts_with('<') => {
            merchant::read_xml(input, sink)
        }
        Format::Merchant => merchant::read_table(input, mapping.separator, sink),
        Format::Shopify => shopify::read(input, mapping.separator, sink),
        Format::WooCommerce => woocommerce::read(input, mapping.separator, sink),
        Format::Table => plain::read(input, mapping, sink),
        Format::Kaggle => kaggle::read(input, source.shoelaces.as_deref(), sink),
    }?;
    Ok(std::mem::take(&mut sink.ignored))
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
    /// Fields or columns that are not taken.
    pub ignored: Ignored,
}

/// Reads the whole source at once, for those who need no database. Blocking.
///
/// # Errors
/// When the file of products cannot be read at all, or a source of pictures is not there.
pub fn load(source: &Source, photos: &PictureFiles) -> Result<Loaded, SourceError> {
    let mut loaded = Loaded::default();
    loaded.ignored = read(source, photos, &mut |item| loaded.take(item))?;
    Ok(loaded)
}

/// Reads a feed that is in memory; its pictures are not looked for. `source` says its format.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(source: &Source, bytes: Vec<u8>) -> Result<Loaded, SourceError> {
    let input = Input::of(&source.feed, Box::new(io::Cursor::new(bytes)))?;
    let mut loaded = Loaded::default();
    let photos = PictureFiles::default();
    loaded.ignored = read_input(source, input, &photos, &mut |item| loaded.take(item))?;
    Ok(loaded)
}

impl Loaded {
    fn take(&mut self, item: Item) -> bool {
        match item {
            Item::Record(record) => {
                let picture = record.first_stored();
                self.products.push((record.product, picture));
            }
            Item::Reject(reject) => self.rejects.push(reject),
        }
        true
    }
}
