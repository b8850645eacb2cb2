//! What an import reads: a file of products in one of two formats, and the pictures that belong to
//! it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::media::folder::Shelf;
use super::{CatalogError, ImageSource, Photos};
use crate::domain::{Product, ProductId};

pub mod brand;
mod jsonl;
mod kaggle;

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
    /// One JSON object a line: `id`, `title`, `description?`, `image?`, `attributes?`, `price?`,
    /// `url?`.
    JsonLines { file: PathBuf, images: Vec<PathBuf> },
}

/// Why a file of products cannot be read at all; a single bad row is a [`Reject`].
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} has no column {column:?} in its first line", path = path.display())]
    Column { path: PathBuf, column: &'static str },
    #[error("{path} is written in UTF-16: save it as UTF-8", path = path.display())]
    Utf16 { path: PathBuf },
    #[error(transparent)]
    Pictures(#[from] CatalogError),
}

/// What of a row was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// All of it.
    Row,
    /// Its picture: the product is found by its words.
    Photo,
    /// One of its attributes, or its laces.
    Attribute,
    /// Letters that are not UTF-8, shown as U+FFFD.
    Letters,
}

impl Lost {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Photo => "photo",
            Self::Attribute => "attribute",
            Self::Letters => "letters",
        }
    }
}

/// A row, or a part of one, that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// In the file of products, or the one of laces (the reason then says so); the first line is 1.
    pub line: u64,
    pub id: Option<String>,
    pub lost: Lost,
    pub reason: String,
}

/// A row that was taken.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub line: u64,
    pub product: Product,
    pub image: Option<ImageSource>,
}

pub(super) enum Item {
    Record(Record),
    Reject(Reject),
}

const NOT_UTF8: &str = "bytes that are not UTF-8 were replaced by U+FFFD";

/// Fields of the file that mean nothing here, with the number of rows that have them.
pub type Ignored = BTreeMap<String, u64>;

/// Reads the whole source, blocking. `emit` answers false when nobody listens any more.
///
/// Of rows with the same id the first is taken, the later ones are rejected: which of them is right
/// is the shop's to say, and the result must not depend on who sorted the file.
pub(super) fn read(
    source: &Source,
    photos: &Photos,
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
                &Shelves::open(images, photos)?,
                shoelaces.as_deref(),
                &mut once,
            )?;
            Ok(Ignored::new())
        }
        Source::JsonLines { file, images } => {
            let beside = file
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            let shelves = if images.is_empty() {
                Shelves::open(&[beside.to_owned()], photos)?
            } else {
                Shelves::open(images, photos)?
            };
            jsonl::read(file, &shelves, &mut once)
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
    /// In the order of the file, each with where its picture is.
    pub products: Vec<(Product, Option<ImageSource>)>,
    pub rejects: Vec<Reject>,
}

/// Reads the whole source at once, for those who need no database. Blocking.
///
/// # Errors
/// When the file of products cannot be read at all, or a source of pictures is not there.
pub fn load(source: &Source, photos: &Photos) -> Result<Loaded, SourceError> {
    let mut loaded = Loaded::default();
    read(source, photos, &mut |item| {
        match item {
            Item::Record(record) => loaded.products.push((record.product, record.image)),
            Item::Reject(reject) => loaded.rejects.push(reject),
        }
        true
    })?;
    Ok(loaded)
}

/// Several folders and archives of pictures: the first that has one gives it.
struct Shelves(Vec<Shelf>);

impl Shelves {
    fn open(paths: &[PathBuf], photos: &Photos) -> Result<Self, CatalogError> {
        paths
            .iter()
            .map(|path| Shelf::open(path, photos))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// For a picture that is not there: the folder that was probably meant.
    fn hint(&self) -> String {
        let within = self.0.iter().find_map(Shelf::images_within);
        within.map_or_else(String::new, |folder| {
            format!(" (was {} meant?)", folder.display())
        })
    }
}

/// A line of a text file, without its end; the first without a byte order mark.
struct Line {
    number: u64,
    text: String,
    /// Bytes that are not UTF-8 were replaced.
    lossy: bool,
    /// Longer than [`Lines::LONGEST`]; `text` is only its beginning.
    too_long: bool,
}

/// Lines of a file that may be damaged: a bad line never costs its neighbors, nor more memory than
/// [`Self::LONGEST`].
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    const LONGEST: u64 = 1 << 20;

    fn open(path: &Path) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|source| SourceError::Io {
            path: path.to_owned(),
            source,
        })?;
        let mut lines = Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(1 << 16, file),
            number: 0,
        };
        let start = lines.reader.fill_buf().map_err(|source| SourceError::Io {
            path: path.to_owned(),
            source,
        })?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err(SourceError::Utf16 {
                path: path.to_owned(),
            });
        }
        if start.starts_with(b"\xef\xbb\xbf") {
            lines.reader.consume(3);
        }
        Ok(lines)
    }

    /// The next line that is not blank.
    fn next(&mut self) -> Result<Option<Line>, SourceError> {
        loop {
            let mut bytes = Vec::new();
            let read = (&mut self.reader)
                .take(Self::LONGEST)
                .read_until(b'\n', &mut bytes);
            let read = read.and_then(|n| {
                let too_long = n as u64 == Self::LONGEST && bytes.last() != Some(&b'\n');
                if too_long {
                    self.reader.skip_until(b'\n')?;
                }
                Ok((n, too_long))
            });
            let (n, too_long) = read.map_err(|source| SourceError::Io {
                path: self.path.clone(),
                source,
            })?;
            if n == 0 {
                return Ok(None);
            }
            self.number += 1;
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.trim_ascii().is_empty() {
                continue;
            }
            let (text, lossy) = match std::str::from_utf8(text) {
                Ok(text) => (text.to_owned(), false),
                Err(_) => (String::from_utf8_lossy(text).into_owned(), true),
            };
            return Ok(Some(Line {
                number: self.number,
                text,
                lossy,
                too_long,
            }));
        }
    }
}
