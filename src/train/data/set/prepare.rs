//! From a catalog to a data set: chosen products, split, put into words.
//!
//! [`prepare`] reads a catalog (as `aglet import` does), keeps the products that the filters want
//! and whose picture can be decoded, joins attribute labels from CSV files, splits by product, and
//! writes a folder: `train.jsonl`, `validation.jsonl` and `test.jsonl` (one [`Entry`] a line), the
//! caption templates, and `report.json` with the counts per class and everything that was dropped
//! and why. Pictures are referred to, not copied.
//!
//! Products with the very same picture stay on one side of the split, or a test would ask for what
//! was trained on. The same catalog and seed give the same folder, byte for byte. It refuses a
//! folder that holds a data set already.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::split::{self, Side, Test};
use super::templates::{self, TemplateError, Templates};
use crate::catalog::source::{self, Lost, Source, SourceError};
use crate::catalog::{CatalogError, ImageSource, Photos};
use crate::domain::{AttributeName, AttributeValue, Attributes, Filters, Product};
use crate::encode::image::{self, ImageError};
use crate::train::data::product;

#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("{path}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}, line {line}: {source}", path = path.display())]
    Line {
        path: PathBuf,
        line: usize,
        source: serde_json::Error,
    },
    #[error("{path}: {source}", path = path.display())]
    Csv { path: PathBuf, source: csv::Error },
    #[error("{path} has no column {column:?}; it has {}", found.join(", "), path = path.display())]
    Column {
        path: PathBuf,
        column: String,
        found: Vec<String>,
    },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Pictures(#[from] CatalogError),
    #[error(transparent)]
    Templates(#[from] TemplateError),
    #[error("what was prepared cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the caption templates name {}, which no product has", .0.join(", "))]
    Slots(Vec<String>),
    #[error("{path} holds a data set already", path = path.display())]
    Exists { path: PathBuf },
    #[error("nothing is left of the catalog: {}", counts(.0))]
    Empty(BTreeMap<String, u64>),
}

fn counts(dropped: &BTreeMap<String, u64>) -> String {
    dropped
        .iter()
        .map(|(why, n)| format!("{n} {why}"))
        .collect::<Vec<_>>()
        .join(", ")
}

impl PrepareError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Where an entry's picture is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Picture {
    File { file: PathBuf },
    Member { archive: PathBuf, member: String },
}

impl From<ImageSource> for Picture {
    fn from(source: ImageSource) -> Self {
        match source {
            ImageSource::File(file) => Self::File { file },
            ImageSource::Zip { archive, member } => Self::Member { archive, member },
        }
    }
}

impl From<Picture> for ImageSource {
    fn from(picture: Picture) -> Self {
        match picture {
            Picture::File { file } => Self::File(file),
            Picture::Member { archive, member } => Self::Zip { archive, member },
        }
    }
}

/// A product of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub id: String,
    pub title: String,
    pub image: Picture,
    pub attributes: BTreeMap<String, Vec<String>>,
    /// What a vision-language model says of the picture (`aglet-train enrich`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
    /// The product in words; training draws one each time.
    pub captions: Vec<String>,
}

impl Entry {
    #[cfg(test)]
    pub(super) fn test(id: &str, title: &str) -> Self {
        let image = Picture::File {
            file: PathBuf::new(),
        };
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            image,
            attributes: BTreeMap::new(),
            sentence: None,
            captions: Vec::new(),
        }
    }
}

/// What to prepare.
#[derive(Clone, Debug)]
pub struct Plan {
    pub source: Source,
    /// The columns or attributes that must have one of the values (`subCategory=Shoes`).
    pub filters: Vec<(String, String)>,
    /// Attribute -> CSV file with the columns `id` and the attribute's name.
    pub labels: Vec<(AttributeName, PathBuf)>,
    /// Attributes without which a product is dropped.
    pub require: Vec<AttributeName>,
    /// The attribute whose values are the classes of the split and of the report.
    pub class: AttributeName,
    pub test: Test,
    pub validation: f64,
    pub seed: u64,
    pub templates: Templates,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    pub products: BTreeMap<Side, usize>,
    /// Attribute -> value -> side -> products, of the class and of every label.
    pub classes: BTreeMap<String, BTreeMap<String, BTreeMap<Side, usize>>>,
    /// Products that share their picture with another.
    pub duplicates: usize,
    /// Why -> how many.
    pub dropped: BTreeMap<String, u64>,
    /// The dropped products by id, as far as they have one, except those that the filters left out.
    pub dropped_products: Vec<(String, String)>,
    /// Labels of products that are not in the data set.
    pub unused_labels: BTreeMap<String, usize>,
    pub seed: u64,
}

impl Report {
    fn drop(&mut self, id: Option<&str>, why: &str, detail: &str) {
        *self.dropped.entry(why.to_owned()).or_default() += 1;
        if let Some(id) = id {
            self.dropped_products.push((
                id.to_owned(),
                if detail.is_empty() { why } else { detail }.to_owned(),
            ));
        }
    }
}

/// Writes the data set to `out`. Blocking. `seen` is told how many pictures were read.
///
/// # Errors
/// When the catalog or a label file cannot be read, a template names what no product has, nothing
/// is left, `out` holds a data set already, or a file cannot be written.
pub fn prepare(
    plan: &Plan,
    out: &Path,
    seen: impl Fn(usize, usize),
) -> Result<Report, PrepareError> {
    if out.join("train.jsonl").exists() {
        return Err(PrepareError::Exists {
            path: out.to_owned(),
        });
    }
    let mut report = Report {
        seed: plan.seed,
        ..Report::default()
    };
    let chosen = choose(plan, &mut report)?;
    let (entries, groups) = look(plan, chosen, &mut report, seen)?;
    if entries.is_empty() {
        return Err(PrepareError::Empty(report.dropped));
    }
    let unknown: Vec<String> = plan.templates.unknown(entries.iter()).into_iter().collect();
    // A catalog without brands or laces is no mistake of the default templates; one's own are meant
    // as written.
    if !unknown.is_empty() && plan.templates.source() != templates::DEFAULT {
        return Err(PrepareError::Slots(unknown));
    }
    let sides = split::split(&groups, plan.test, plan.validation, plan.seed);
    report.duplicates = groups.iter().map(|g| g.ids.len()).filter(|&n| n > 1).sum();
    let side_of: HashMap<&str, Side> = groups
        .iter()
        .zip(&sides)
        .flat_map(|(g, &side)| g.ids.iter().map(move |id| (id.as_str(), side)))
        .collect();
    let names: Vec<&AttributeName> = std::iter::once(&plan.class)
        .chain(plan.labels.iter().map(|(n, _)| n))
        .collect();
    let mut parts: BTreeMap<Side, Vec<Entry>> = Side::ALL.map(|side| (side, Vec::new())).into();
    for mut entry in entries {
        let side = side_of[entry.id.as_str()];
        entry.captions = plan.templates.fill(&entry);
        for name in &names {
            let value = entry
                .attributes
                .get(name.as_str())
                .and_then(|v| v.first())
                .map_or("(not known)", |v| v);
            let class = report
                .classes
                .entry(name.to_string())
                .or_default()
                .entry(value.to_owned())
                .or_default();
            *class.entry(side).or_default() += 1;
        }
        *report.products.entry(side).or_default() += 1;
        parts.entry(side).or_default().push(entry);
    }
    std::fs::create_dir_all(out).map_err(|e| PrepareError::io(out, e))?;
    put(
        &out.join("captions.toml"),
        plan.templates.source().as_bytes(),
    )?;
    let text = serde_json::to_vec_pretty(&report)?;
    put(&out.join("report.json"), &text)?;
    // The training part is written last: a folder that has it is complete.
    for (side, entries) in parts.iter().rev() {
        write_side(out, *side, entries)?;
    }
    Ok(report)
}

/// The products that the filters want, with their labels.
fn choose(plan: &Plan, report: &mut Report) -> Result<Vec<(Product, ImageSource)>, PrepareError> {
    let loaded = source::load(&plan.source, &Photos::default())?;
    for reject in loaded.rejects.iter().filter(|r| r.lost == Lost::Row) {
        report.drop(
            reject.id.as_deref(),
            "rows that cannot be read",
            &reject.reason,
        );
    }
    let mut labels = Vec::new();
    for (name, path) in &plan.labels {
        labels.push((name, read_labels(path, name)?));
    }
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let filters = filters(&plan.filters);
    let mut chosen = Vec::new();
    for (mut product, image) in loaded.products {
        let mut labeled = Vec::new();
        for (name, values) in &labels {
            if let Some(value) = values.get(product.id.as_str()) {
                product
                    .attributes
                    .insert((*name).clone(), vec![value.clone()]);
                labeled.push(name.to_string());
            }
        }
        if !filters
            .as_ref()
            .is_some_and(|f| f.matches(&product.attributes))
        {
            report.drop(None, "left out by the filters", "");
            continue;
        }
        let missing = std::iter::once(&plan.class)
            .chain(&plan.require)
            .find(|n| !product.attributes.contains_key(*n));
        if let Some(name) = missing {
            report.drop(Some(product.id.as_str()), &format!("without {name}"), "");
            continue;
        }
        let Some(image) = image else {
            report.drop(Some(product.id.as_str()), "without a picture", "");
            continue;
        };
        for name in labeled {
            *used.entry(name).or_default() += 1;
        }
        chosen.push((product, image));
    }
    for (name, values) in &labels {
        let used = used.get(name.as_str()).copied().unwrap_or(0);
        report
            .unused_labels
            .insert(name.to_string(), values.len() - used);
    }
    Ok(chosen)
}

/// The filters over attributes; `None` when a value or a name can be no product's, so that nothing
/// matches.
fn filters(wanted: &[(String, String)]) -> Option<Filters> {
    let pairs = wanted.iter().map(|(column, value)| {
        let name = source::attribute_of_column(column)
            .map_or_else(|| column.to_lowercase(), str::to_owned);
        Some((
            AttributeName::new(&name).ok()?,
            AttributeValue::new(value).ok()?,
        ))
    });
    Filters::new(pairs.collect::<Option<Vec<_>>>()?).ok()
}

/// Id -> value, of a CSV file with a header: the column of the attribute's name (`colour` for
/// `color` will do).
fn read_labels(
    path: &Path,
    name: &AttributeName,
) -> Result<HashMap<String, AttributeValue>, PrepareError> {
    let failed = |source| PrepareError::Csv {
        path: path.to_owned(),
        source,
    };
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(path)
        .map_err(failed)?;
    let header: Vec<String> = reader
        .headers()
        .map_err(failed)?
        .iter()
        .map(|h| h.trim().to_lowercase())
        .collect();
    let column = |wanted: &str| {
        let british = wanted.replace("color", "colour");
        header
            .iter()
            .position(|h| h == wanted || *h == british)
            .ok_or_else(|| PrepareError::Column {
                path: path.to_owned(),
                column: wanted.to_owned(),
                found: header.clone(),
            })
    };
    let (id, value) = (column("id")?, column(name.as_str())?);
    let mut labels = HashMap::new();
    for row in reader.records() {
        let row = row.map_err(failed)?;
        if let (Some(id), Some(Ok(value))) = (row.get(id), row.get(value).map(AttributeValue::new))
        {
            labels.insert(id.trim().to_owned(), value);
        }
    }
    Ok(labels)
}

/// What a picture is seen to be.
enum Looked {
    Gone,
    Broken(ImageError),
    /// The sha256 of its bytes.
    Whole(Vec<u8>),
}

/// Reads and decodes a picture: what training could not read is better dropped now than met then.
fn look_at(photos: &Photos, image: &ImageSource) -> Result<Looked, CatalogError> {
    let Some(bytes) = photos.read(image)? else {
        return Ok(Looked::Gone);
    };
    Ok(match image::decode(&bytes, &product::LIMITS) {
        Ok(_) => Looked::Whole(Sha256::digest(&bytes).to_vec()),
        Err(error) => Looked::Broken(error),
    })
}

/// Products whose pictures are looked at together, before the progress is told.
const TOGETHER: usize = 64;

/// Decodes every picture once: those that are none are dropped, and the very same ones are grouped.
fn look(
    plan: &Plan,
    chosen: Vec<(Product, ImageSource)>,
    report: &mut Report,
    seen: impl Fn(usize, usize),
) -> Result<(Vec<Entry>, Vec<split::Group>), PrepareError> {
    let photos = Photos::default();
    let total = chosen.len();
    let mut entries = Vec::new();
    let mut groups: Vec<split::Group> = Vec::new();
    let mut group_of: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut looked = Vec::with_capacity(total);
    for some in chosen.chunks(TOGETHER) {
        let found = some.par_iter().map(|(_, image)| look_at(&photos, image));
        looked.extend(found.collect::<Result<Vec<_>, _>>()?);
        seen(looked.len(), total);
    }
    for ((product, image), looked) in chosen.into_iter().zip(looked) {
        let id = product.id.to_string();
        let digest = match looked {
            Looked::Whole(digest) => digest,
            Looked::Gone => {
                report.drop(Some(&id), "without a picture", "");
                continue;
            }
            Looked::Broken(error) => {
                report.drop(
                    Some(&id),
                    "with a picture that cannot be read",
                    &error.to_string(),
                );
                continue;
            }
        };
        let class = product
            .attribute(plan.class.as_str())
            .unwrap_or_default()
            .to_owned();
        let group = *group_of.entry(digest).or_insert_with(|| {
            groups.push(split::Group {
                class,
                ids: Vec::new(),
            });
            groups.len() - 1
        });
        groups[group].ids.push(id.clone());
        entries.push(Entry {
            id,
            title: product.title,
            image: image.into(),
            attributes: plain(product.attributes),
            sentence: None,
            captions: Vec::new(),
        });
    }
    Ok((entries, groups))
}

fn plain(attributes: Attributes) -> BTreeMap<String, Vec<String>> {
    let values = |v: Vec<AttributeValue>| v.into_iter().map(String::from).collect();
    attributes
        .into_iter()
        .map(|(name, v)| (name.into(), values(v)))
        .collect()
}

/// The products of a side of a data set.
///
/// # Errors
/// When the file cannot be read or a line is no [`Entry`].
pub fn read_side(folder: &Path, side: Side) -> Result<Vec<Entry>, PrepareError> {
    let path = folder.join(format!("{side}.jsonl"));
    let text = std::fs::read_to_string(&path).map_err(|e| PrepareError::io(&path, e))?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let entry = |(at, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|source| PrepareError::Line {
            path: path.clone(),
            line: at + 1,
            source,
        })
    };
    lines.map(entry).collect()
}

/// Replaces a side of a data set, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write_side(folder: &Path, side: Side, entries: &[Entry]) -> Result<(), PrepareError> {
    let mut text = String::new();
    for entry in entries {
        text.push_str(&serde_json::to_string(entry)?);
        text.push('\n');
    }
    put(&folder.join(format!("{side}.jsonl")), text.as_bytes())
}

/// Writes a file under another name first, so that a kill leaves the old one or the new one.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), PrepareError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = std::fs::File::create(&partial).and_then(|mut file| {
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()
    });
    written.map_err(|e| PrepareError::io(&partial, e))?;
    std::fs::rename(&partial, path).map_err(|e| PrepareError::io(path, e))
}
