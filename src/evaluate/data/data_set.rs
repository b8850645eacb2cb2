//! Aglet's data set folder: what `aglet-train prepare` writes, and training and evaluation read.
//! This file is its one definition.
//!
//! | in the folder | what it is |
//! | --- | --- |
//! | `train.jsonl`, `validation.jsonl`, `test.jsonl` | the three sides ([`Side`]), an [`Entry`] a line |
//! | `captions.toml` | the templates that captions were made of; a folder with it is a data set |
//!
//! ```json
//! {"id": "1163", "title": "Red Sneakers", "image": {"file": "shop/images/1163.jpg"},
//!  "attributes": {"category": ["Casual Shoes"], "shoelace_color": ["white"]}, "captions": ["..."]}
//! ```
//!
//! A picture may lie in an archive, `{"archive": "images.zip", "member": "images/1163.jpg"}`.
//! Pictures are referred to, not copied.
//!
//! [`read_entries`] and [`write_side`] read and write a side unchanged. [`products`] reads it as
//! a catalog: a relative path of a picture is taken from the current folder, as training takes it,
//! and from the data set's own folder where nothing is there. It refuses an id that comes twice, a
//! product that is not one, and a side without products.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::catalog::PicturePlace;
use crate::domain::{AttributeName, AttributeValue, Product, ProductError, ProductId};

/// The file that makes a folder a data set.
pub const CAPTIONS: &str = "captions.toml";

/// A side of the split.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Trained on.
    Train,
    /// Chooses the best epoch.
    Validation,
    /// Kept for the test.
    Test,
}

impl Side {
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// Its file in the folder: `train.jsonl`.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{self}.jsonl")
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A product of a data set, as a line of its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub id: String,
    pub title: String,
    pub image: PictureLocation,
    pub attributes: BTreeMap<String, Vec<String>>,
    /// What a vision-language model says of the picture (`aglet-train enrich`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
    /// The product in words; training draws one each time. Evaluation needs none.
    #[serde(default)]
    pub captions: Vec<String>,
}

/// Where an entry's picture is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PictureLocation {
    File { file: PathBuf },
    Member { archive: PathBuf, member: String },
}

impl From<PicturePlace> for PictureLocation {
    fn from(source: PicturePlace) -> Self {
        match source {
            file @ PicturePlace::File { .. } => Self::File { file: file.path() },
            PicturePlace::Zip { archive, member } => Self::Member { archive, member },
        }
    }
}

impl From<PictureLocation> for PicturePlace {
    fn from(location: PictureLocation) -> Self {
        match location {
            PictureLocation::File { file } => Self::file(&file),
            PictureLocation::Member { archive, member } => Self::Zip { archive, member },
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DataSetError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not there: a data set folder, made by `aglet-train prepare`, was expected")]
    Missing { path: PathBuf },
    #[error("{path}, line {line}: {reason}")]
    Line {
        path: PathBuf,
        line: usize,
        reason: String,
    },
    #[error("{path} has no product")]
    Empty { path: PathBuf },
    #[error("an entry of the data set cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The file of products that a path means: one of the sides by its name, or the test side of a
/// folder; `None` when the path is not a data set's.
#[must_use]
pub fn side_at(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        let test = path.join(Side::Test.file_name());
        return path.join(CAPTIONS).is_file().then_some(test);
    }
    let name = path.file_name()?;
    let named = Side::ALL
        .iter()
        .any(|side| name == side.file_name().as_str());
    (named && path.with_file_name(CAPTIONS).is_file()).then(|| path.to_owned())
}

/// Every side of the data set that a path is a side of, as far as it is there; none when the path
/// is not a data set's.
#[must_use]
pub fn sides_at(path: &Path) -> Vec<PathBuf> {
    let Some(side) = side_at(path) else {
        return Vec::new();
    };
    Side::ALL
        .iter()
        .map(|one| side.with_file_name(one.file_name()))
        .filter(|side| side.is_file())
        .collect()
}

/// The entries of a side's file, unchanged.
///
/// # Errors
/// When the file is missing or cannot be read, or a line is not an [`Entry`].
pub fn read_entries(file: &Path) -> Result<Vec<Entry>, DataSetError> {
    Ok(numbered_entries(file)?
        .into_iter()
        .map(|(_, entry)| entry)
        .collect())
}

/// The entries of a side of the data set in `folder`.
///
/// # Errors
/// As [`read_entries`].
pub fn read_side(folder: &Path, side: Side) -> Result<Vec<Entry>, DataSetError> {
    read_entries(&folder.join(side.file_name()))
}

/// Replaces a side of a data set, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write_side(folder: &Path, side: Side, entries: &[Entry]) -> Result<(), DataSetError> {
    let mut text = String::new();
    for entry in entries {
        text.push_str(&serde_json::to_string(entry)?);
        text.push('\n');
    }
    let path = folder.join(side.file_name());
    replace(&path, text.as_bytes()).map_err(|source| DataSetError::Io { path, source })
}

/// Writes a file under another name first, so that a kill leaves the old one or the new one.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut file = std::fs::File::create(&partial)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)
}

/// The products of a side's file, each with where its picture is.
///
/// # Errors
/// See the module.
pub fn products(file: &Path) -> Result<Vec<(Product, PicturePlace)>, DataSetError> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut found = Vec::new();
    let mut ids = BTreeSet::new();
    for (line, entry) in numbered_entries(file)? {
        let wrong = |reason: String| DataSetError::Line {
            path: file.to_owned(),
            line,
            reason,
        };
        let product = product(&entry).map_err(|e| wrong(e.to_string()))?;
        if !ids.insert(product.id.clone()) {
            return Err(wrong(format!("product {} came before", product.id)));
        }
        found.push((product, located(entry.image, folder)));
    }
    if found.is_empty() {
        return Err(DataSetError::Empty {
            path: file.to_owned(),
        });
    }
    Ok(found)
}

/// The entries with their lines, the first of which is 1.
fn numbered_entries(file: &Path) -> Result<Vec<(usize, Entry)>, DataSetError> {
    let path = || file.to_owned();
    let text = std::fs::read_to_string(file).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => DataSetError::Missing { path: path() },
        _ => DataSetError::Io {
            path: path(),
            source,
        },
    })?;
    let entry = |(at, text): (usize, &str)| {
        let entry = serde_json::from_str(text).map_err(|e| DataSetError::Line {
            path: path(),
            line: at + 1,
            reason: e.to_string(),
        })?;
        Ok((at + 1, entry))
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(entry)
        .collect()
}

fn product(entry: &Entry) -> Result<Product, ProductError> {
    let mut product = Product::new(ProductId::new(&entry.id)?, &entry.title)?;
    for (name, values) in &entry.attributes {
        let values: Result<Vec<_>, _> = values.iter().map(|v| AttributeValue::new(v)).collect();
        product
            .attributes
            .insert(AttributeName::new(name)?, values?);
    }
    Ok(product)
}

fn located(image: PictureLocation, folder: &Path) -> PicturePlace {
    let at = |path: PathBuf| {
        if path.is_relative() && !path.exists() {
            folder.join(path)
        } else {
            path
        }
    };
    match PicturePlace::from(image) {
        file @ PicturePlace::File { .. } => PicturePlace::file(&at(file.path())),
        PicturePlace::Zip { archive, member } => PicturePlace::Zip {
            archive: at(archive),
            member,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = "test.jsonl";

    fn line(id: &str, category: &str) -> String {
        format!(
            r#"{{"id":"{id}","title":"Shoe {id}","image":{{"file":"photos/{id}.jpg"}},"attributes":{{"category":["{category}"]}},"captions":["a shoe"]}}"#
        )
    }

    fn data_set(test: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(CAPTIONS), "").expect("written");
        std::fs::write(folder.path().join(TEST), test).expect("written");
        std::fs::write(folder.path().join("train.jsonl"), line("9", "Sandals")).expect("written");
        folder
    }

    #[test]
    fn reads_the_test_side_or_the_one_that_is_named() {
        let member = line("2", "Boots").replace(
            r#"{"file":"photos/2.jpg"}"#,
            r#"{"archive":"/shop/images.zip","member":"images/2.jpg"}"#,
        );
        let folder = data_set(&format!("{}\n\n{member}\n", line("1", "Casual Shoes")));
        let found = products(&side_at(folder.path()).expect("a data set")).expect("readable");
        assert_eq!(
            found.iter().map(|(p, _)| p.id.as_str()).collect::<Vec<_>>(),
            ["1", "2"]
        );
        assert_eq!(found[0].0.attribute("category"), Some("Casual Shoes"));
        assert_eq!(
            found[0].1,
            PicturePlace::file(&folder.path().join("photos/1.jpg"))
        );
        let member = PicturePlace::Zip {
            archive: "/shop/images.zip".into(),
            member: "images/2.jpg".to_owned(),
        };
        assert_eq!(found[1].1, member);
        let train = side_at(&folder.path().join("train.jsonl")).expect("a side");
        assert_eq!(products(&train).expect("readable")[0].0.id.as_str(), "9");
        assert_eq!(
            sides_at(&train),
            [train.clone(), folder.path().join(TEST)],
            "there is no validation side"
        );
        assert_eq!(side_at(&folder.path().join("report.json")), None);
        assert_eq!(
            side_at(folder.path().parent().expect("above")),
            None,
            "any other folder is not a data set"
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |test: &str| {
            products(&data_set(test).path().join(TEST))
                .expect_err("refused")
                .to_string()
        };
        assert!(
            error(&format!("{}\n{{\"id\": \"2\"}}\n", line("1", "Boots")))
                .contains("line 2: missing field")
        );
        assert!(
            error(&line("1", " ")).contains("line 1"),
            "an attribute without a value"
        );
        assert!(
            error(&format!("{0}\n{0}\n", line("1", "Boots")))
                .contains("line 2: product 1 came before")
        );
        assert!(error("\n").contains("has no product"));
        let gone = products(Path::new("/nowhere/test.jsonl")).expect_err("refused");
        assert!(
            matches!(gone, DataSetError::Missing { .. })
                && gone.to_string().contains("aglet-train prepare")
        );
    }

    #[test]
    fn a_side_is_written_as_it_was_read() {
        let text = format!("{}\n{}\n", line("1", "Boots"), line("2", "Sandals"));
        let folder = data_set(&text);
        let entries = read_side(folder.path(), Side::Test).expect("readable");
        write_side(folder.path(), Side::Validation, &entries).expect("written");
        let written = folder.path().join("validation.jsonl");
        assert_eq!(std::fs::read_to_string(written).expect("there"), text);
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 4, "no partial file stays");
    }
}
