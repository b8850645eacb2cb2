//! Labeled images in memory: their names, classes and where the pictures are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::{CatalogError, PictureFiles, PicturePlace};
use crate::domain::AttributeName;
use crate::evaluate::data::labeled_catalog::LabeledCatalogError;
use crate::evaluate::data::prompts::Prompts;

/// Images of which the class is known.
pub struct LabeledImages {
    pub name: String,
    /// In the data's own order where it has one, else sorted.
    pub classes: Vec<String>,
    pub items: Vec<LabeledImage>,
    /// What is said of the classes when nothing else is given; see [`LabeledImages::prompts`].
    pub(super) prompts: Prompts,
    pub(super) pictures: PictureFiles,
}

/// One of them.
pub struct LabeledImage {
    pub id: String,
    /// Position in the classes.
    pub class: usize,
    /// What templates may say of the image beside its class: attribute -> value.
    pub attributes: BTreeMap<String, String>,
    pub(super) content: Content,
}

pub(super) enum Content {
    File(PicturePlace),
    /// A gray picture of 8 bits, row by row.
    Gray {
        edge: u32,
        pixels: Arc<[u8]>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum LabeledImagesError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not there: {expected}")]
    Missing {
        path: PathBuf,
        expected: &'static str,
    },
    #[error("{path}{}: {reason}", line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Malformed {
        path: PathBuf,
        line: Option<usize>,
        reason: String,
    },
    #[error("{path} has no labeled image")]
    Empty { path: PathBuf },
    #[error("no product has the attribute {attribute} and a picture")]
    NoLabel { attribute: AttributeName },
    #[error("{id} is of the class {class:?}, which is not among those to be asked")]
    NotAsked { id: String, class: String },
    #[error("the picture is not there")]
    NoPicture,
    #[error(transparent)]
    Picture(#[from] CatalogError),
    #[error(transparent)]
    Catalog(#[from] LabeledCatalogError),
    #[error("a gray picture could not be written as PNG: {0}")]
    Png(String),
}

impl LabeledImages {
    /// Out of (id, label, path): the classes are the labels, sorted.
    pub(crate) fn of_files(name: String, files: Vec<(String, String, PathBuf)>) -> Self {
        let mut classes: Vec<String> = files.iter().map(|(_, label, _)| label.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        let items = files
            .into_iter()
            .map(|(id, label, path)| LabeledImage {
                id,
                class: classes.binary_search(&label).unwrap_or(0),
                attributes: BTreeMap::new(),
                content: Content::File(PicturePlace::file(&path)),
            })
            .collect();
        Self {
            name,
            classes,
            items,
            prompts: Prompts::default(),
            pictures: PictureFiles::default(),
        }
    }

    /// The file of a picture, whatever it is kept in.
    ///
    /// # Errors
    /// When it is gone or cannot be read.
    pub fn picture(&self, position: usize) -> Result<Bytes, LabeledImagesError> {
        match &self.items[position].content {
            Content::File(source) => self
                .pictures
                .read(source)?
                .ok_or(LabeledImagesError::NoPicture),
            Content::Gray { edge, pixels } => png(*edge, pixels),
        }
    }

    /// What the set's classes are asked with when nothing else is given.
    #[must_use]
    pub fn prompts(&self) -> Prompts {
        self.prompts.clone().only(&self.classes)
    }

    /// The same images, asked for other classes than those that occur: the few that a subset has
    /// are easier to tell apart than all that there are.
    ///
    /// # Errors
    /// When an image's class is not among them (letter case aside).
    pub fn asked(mut self, classes: Vec<String>) -> Result<Self, LabeledImagesError> {
        let folded: Vec<String> = classes.iter().map(|class| class.to_lowercase()).collect();
        let place = |class: &String| {
            folded
                .iter()
                .position(|other| *other == class.to_lowercase())
        };
        let places: Vec<Option<usize>> = self.classes.iter().map(place).collect();
        for item in &mut self.items {
            let asked = places[item.class];
            let not_asked = || LabeledImagesError::NotAsked {
                id: item.id.clone(),
                class: self.classes[item.class].clone(),
            };
            item.class = asked.ok_or_else(not_asked)?;
        }
        self.classes = classes;
        Ok(self)
    }

    /// Before the names of its figures: `fashion_mnist`.
    #[must_use]
    pub fn prefix(&self) -> String {
        let letter = |c: char| {
            if c.is_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        };
        self.name.chars().map(letter).collect()
    }

    /// Every n-th image, so that about `most` are left, the same for every model.
    pub fn thin(&mut self, most: usize) {
        let step = self.items.len().div_ceil(most.max(1)).max(1);
        let mut position = 0;
        self.items.retain(|_| {
            position += 1;
            (position - 1) % step == 0
        });
    }
}

fn png(edge: u32, pixels: &[u8]) -> Result<Bytes, LabeledImagesError> {
    let mut file = std::io::Cursor::new(Vec::new());
    image::write_buffer_with_format(
        &mut file,
        pixels,
        edge,
        edge,
        image::ExtendedColorType::L8,
        image::ImageFormat::Png,
    )
    .map_err(|e| LabeledImagesError::Png(e.to_string()))?;
    Ok(file.into_inner().into())
}

pub(super) fn malformed(
    path: &Path,
    line: Option<usize>,
    reason: impl Into<String>,
) -> LabeledImagesError {
    LabeledImagesError::Malformed {
        path: path.to_owned(),
        line,
        reason: reason.into(),
    }
}

pub(super) fn read_text(path: &Path, expected: &'static str) -> Result<String, LabeledImagesError> {
    std::fs::read_to_string(path).map_err(|source| missing_or(path, expected, source))
}

pub(super) fn missing_or(
    path: &Path,
    expected: &'static str,
    source: std::io::Error,
) -> LabeledImagesError {
    let path = path.to_owned();
    match source.kind() {
        std::io::ErrorKind::NotFound => LabeledImagesError::Missing { path, expected },
        _ => LabeledImagesError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, labels: &[&str]) -> LabeledImages {
        let files = labels.iter().map(|label| {
            (
                format!("{label}.jpg"),
                (*label).to_owned(),
                PathBuf::from(label),
            )
        });
        LabeledImages::of_files(name.to_owned(), files.collect())
    }

    #[test]
    fn other_classes_may_be_asked_than_occur() {
        let all = ["black", "green", "Red"].map(str::to_owned).to_vec();
        let asked = set("laces", &["red", "black"])
            .asked(all)
            .expect("among them");
        let classes: Vec<&str> = asked
            .items
            .iter()
            .map(|item| asked.classes[item.class].as_str())
            .collect();
        assert_eq!((classes, asked.classes.len()), (vec!["Red", "black"], 3));
        let error = set("laces", &["red", "blue"])
            .asked(vec!["Red".to_owned()])
            .err()
            .expect("refused")
            .to_string();
        assert!(
            error.contains("blue.jpg") && error.contains("not among those"),
            "{error}"
        );
    }
}
