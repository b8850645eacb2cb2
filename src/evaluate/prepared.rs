//! Aglet's data set folder, as `aglet-train prepare` writes it: `train.jsonl`, `validation.jsonl`
//! and `test.jsonl`, a product a line.
//!
//! ```json
//! {"id": "1163", "title": "Red Sneakers", "image": {"file": "shop/images/1163.jpg"},
//!  "attributes": {"category": ["Casual Shoes"], "shoelace_color": ["white"]}, "captions": ["..."]}
//! ```
//!
//! A picture may lie in an archive, `{"archive": "images.zip", "member": "images/1163.jpg"}`. A
//! relative path is taken from the current folder, as training takes it, and from the data set's
//! own folder where nothing is there. What training alone needs (captions, sentences) is passed
//! over. Read is one file: the test side of a folder, or the side that is named.
//!
//! Refused: a file that is missing, a line that is no such product, an id that comes twice, a file
//! without products.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::shop::Offer;
use crate::catalog::ImageSource;
use crate::domain::{AttributeName, AttributeValue, Product, ProductError, ProductId};

const TEST: &str = "test.jsonl";
const SIDES: [&str; 3] = ["train.jsonl", "validation.jsonl", TEST];
/// Beside the sides lie the templates that their captions were made of.
const BESIDE: &str = "captions.toml";

#[derive(Debug, thiserror::Error)]
pub enum PreparedError {
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
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    title: String,
    image: Picture,
    attributes: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Picture {
    File { file: PathBuf },
    Member { archive: PathBuf, member: String },
}

/// The file of products that a path means: one of the sides by its name, or the test side of a
/// folder; `None` when the path is no data set's.
#[must_use]
pub fn side_at(path: &Path) -> Option<PathBuf> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let named = path
        .file_name()
        .is_some_and(|name| SIDES.iter().any(|side| name == *side));
    if !folder.join(BESIDE).is_file() || !(path.is_dir() || named) {
        return None;
    }
    Some(if path.is_dir() {
        path.join(TEST)
    } else {
        path.to_owned()
    })
}

/// Every side of the data set that a path is a side of, as far as it is there; none when the path
/// is no data set's.
#[must_use]
pub fn sides_at(path: &Path) -> Vec<PathBuf> {
    let Some(side) = side_at(path) else {
        return Vec::new();
    };
    SIDES
        .iter()
        .map(|name| side.with_file_name(name))
        .filter(|side| side.is_file())
        .collect()
}

/// The products of a side.
///
/// # Errors
/// See the module.
pub fn read(side: &Path) -> Result<Vec<Offer>, PreparedError> {
    let text = std::fs::read_to_string(side).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => PreparedError::Missing {
            path: side.to_owned(),
        },
        _ => PreparedError::Io {
            path: side.to_owned(),
            source,
        },
    })?;
    let folder = side.parent().unwrap_or(Path::new(""));
    let mut offers = Vec::new();
    let mut ids = BTreeSet::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let wrong = |reason: String| PreparedError::Line {
            path: side.to_owned(),
            line: number + 1,
            reason,
        };
        let entry: Entry = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
        let offer = offer(entry, folder).map_err(|e| wrong(e.to_string()))?;
        if !ids.insert(offer.product.id.clone()) {
            return Err(wrong(format!("product {} came before", offer.product.id)));
        }
        offers.push(offer);
    }
    if offers.is_empty() {
        return Err(PreparedError::Empty {
            path: side.to_owned(),
        });
    }
    Ok(offers)
}

fn offer(entry: Entry, folder: &Path) -> Result<Offer, ProductError> {
    let mut product = Product::new(ProductId::new(&entry.id)?, &entry.title)?;
    for (name, values) in entry.attributes {
        let values: Result<Vec<_>, _> = values.iter().map(|v| AttributeValue::new(v)).collect();
        product
            .attributes
            .insert(AttributeName::new(&name)?, values?);
    }
    let at = |path: PathBuf| {
        if path.is_relative() && !path.exists() {
            folder.join(path)
        } else {
            path
        }
    };
    let image = match entry.image {
        Picture::File { file } => ImageSource::file(&at(file)),
        Picture::Member { archive, member } => ImageSource::Zip {
            archive: at(archive),
            member,
        },
    };
    Ok(Offer {
        product,
        image: Some(image),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, category: &str) -> String {
        format!(
            r#"{{"id":"{id}","title":"Shoe {id}","image":{{"file":"photos/{id}.jpg"}},"attributes":{{"category":["{category}"]}},"captions":["a shoe"]}}"#
        )
    }

    fn data_set(test: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(BESIDE), "").expect("written");
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
        let offers = read(&side_at(folder.path()).expect("a data set")).expect("readable");
        assert_eq!(
            offers
                .iter()
                .map(|o| o.product.id.as_str())
                .collect::<Vec<_>>(),
            ["1", "2"]
        );
        assert_eq!(
            offers[0].product.attribute("category"),
            Some("Casual Shoes")
        );
        assert_eq!(
            offers[0].image,
            Some(ImageSource::file(&folder.path().join("photos/1.jpg")))
        );
        let member = ImageSource::Zip {
            archive: "/shop/images.zip".into(),
            member: "images/2.jpg".to_owned(),
        };
        assert_eq!(offers[1].image, Some(member));
        let train = side_at(&folder.path().join("train.jsonl")).expect("a side");
        assert_eq!(read(&train).expect("readable")[0].product.id.as_str(), "9");
        assert_eq!(
            sides_at(&train),
            [train.clone(), folder.path().join(TEST)],
            "there is no validation side"
        );
        assert_eq!(side_at(&folder.path().join("report.json")), None);
        assert_eq!(
            side_at(folder.path().parent().expect("above")),
            None,
            "any other folder is no data set"
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |test: &str| {
            read(&data_set(test).path().join(TEST))
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
        let gone = read(Path::new("/nowhere/test.jsonl")).expect_err("refused");
        assert!(
            matches!(gone, PreparedError::Missing { .. })
                && gone.to_string().contains("aglet-train prepare")
        );
    }
}
