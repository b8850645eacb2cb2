//! A local page on which a person labels photos with an attribute's values, one after the other.
//!
//! [`Labeling::open`] takes a data set folder (see [`crate::train::data::set::prepare`]) and a CSV file for the
//! result (`id` and the attribute, what [`crate::train::data::set::prepare`] joins again); [`router`] serves the
//! page. Every decision is in the file before it is answered. The file is written under another name
//! and renamed, so that a kill leaves the old one or the new one. What the file holds already counts as
//! done, and lines of products that are not in the data set stay.
//!
//! The page is for one person on this machine: requests that name another host (a web page that
//! resolved its own name to this address) are refused, as are decisions that are not JSON (a form
//! on another page cannot send that).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path as UrlPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::catalog::PictureFiles;
use crate::domain::{AttributeName, AttributeValue, ProductError};
use crate::evaluate::data::data_set::{self, DataSetError, Entry, Side};

const PAGE: &str = include_str!("label.html");

#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    #[error(transparent)]
    Folder(#[from] DataSetError),
    #[error("{path}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {source}", path = path.display())]
    Csv { path: PathBuf, source: csv::Error },
    #[error("{path} does not hold labels for {attribute}: its first line is {found:?}", path = path.display())]
    Header {
        path: PathBuf,
        attribute: String,
        found: String,
    },
    #[error("the values to choose from: {0}")]
    Value(#[from] ProductError),
    #[error("there are no values to choose from: name some with --values")]
    NoValues,
}

/// A labeling under way: the photos, and the decisions so far.
pub struct Labeling {
    attribute: AttributeName,
    values: Vec<String>,
    entries: Vec<Entry>,
    photos: PictureFiles,
    file: PathBuf,
    /// Id -> value, as in the file.
    labels: Mutex<BTreeMap<String, String>>,
}

/// A photo to decide about.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Item {
    pub number: usize,
    pub total: usize,
    pub labeled: usize,
    pub id: String,
    pub title: String,
    /// What was decided.
    pub value: Option<String>,
    /// The data set's value, to be checked.
    pub proposal: Option<String>,
    /// The next photo nobody decided about, from here on and then from the start; `None` when all
    /// are done.
    pub next_open: Option<usize>,
}

/// What the page loads once.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    pub attribute: String,
    pub values: Vec<String>,
    /// The photo to begin with.
    pub start: usize,
}

/// A person's decision; `None` clears it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Decision {
    pub value: Option<String>,
}

impl Labeling {
    /// Opens the data set in `folder`, and the labels in `file` where there is one. Without
    /// `values`, those that the data set and the file hold are offered, the commonest first.
    /// Blocking.
    ///
    /// # Errors
    /// When one of the two cannot be read, the file is of another attribute, or there is no value
    /// to offer.
    pub fn open(
        folder: &Path,
        attribute: AttributeName,
        values: &[String],
        file: &Path,
    ) -> Result<Self, LabelError> {
        let mut entries = Vec::new();
        for side in Side::ALL {
            entries.extend(data_set::read_side(folder, side)?);
        }
        entries.sort_by(|a, b| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
        let labels = read(file, &attribute)?;
        let values: Vec<String> = if values.is_empty() {
            offered(&entries, &attribute, &labels)
        } else {
            values
                .iter()
                .map(|v| AttributeValue::new(v).map(String::from))
                .collect::<Result<_, _>>()?
        };
        if values.is_empty() {
            return Err(LabelError::NoValues);
        }
        let labels = Mutex::new(labels);
        Ok(Self {
            attribute,
            values,
            entries,
            photos: PictureFiles::default(),
            file: file.to_owned(),
            labels,
        })
    }

    fn labels(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many photos there are, and how many are decided.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        let labels = self.labels();
        (
            self.entries.len(),
            self.entries
                .iter()
                .filter(|e| labels.contains_key(&e.id))
                .count(),
        )
    }

    fn next_open(&self, from: usize, labels: &BTreeMap<String, String>) -> Option<usize> {
        let total = self.entries.len();
        (0..total)
            .map(|i| (from + i) % total)
            .find(|&n| !labels.contains_key(&self.entries[n].id))
    }

    fn item(&self, number: usize) -> Option<Item> {
        let entry = self.entries.get(number)?;
        let labels = self.labels();
        Some(Item {
            number,
            total: self.entries.len(),
            labeled: self
                .entries
                .iter()
                .filter(|e| labels.contains_key(&e.id))
                .count(),
            id: entry.id.clone(),
            title: entry.title.clone(),
            value: labels.get(&entry.id).cloned(),
            proposal: entry
                .attributes
                .get(self.attribute.as_str())
                .and_then(|v| v.first())
                .cloned(),
            next_open: self.next_open(number, &labels),
        })
    }

    /// Notes a decision; it is in the file when this returns. Blocking.
    fn decide(&self, number: usize, value: Option<String>) -> Result<(), LabelError> {
        let id = self.entries[number].id.clone();
        let mut labels = self.labels();
        let mut changed = labels.clone();
        match value {
            Some(value) => changed.insert(id, value),
            None => changed.remove(&id),
        };
        write(&self.file, &self.attribute, &changed)?;
        *labels = changed;
        Ok(())
    }
}

fn offered(
    entries: &[Entry],
    attribute: &AttributeName,
    labels: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let given = entries
        .iter()
        .filter_map(|e| e.attributes.get(attribute.as_str()))
        .flatten();
    for value in given.chain(labels.values()) {
        *counts.entry(value).or_default() += 1;
    }
    let mut values: Vec<(&str, usize)> = counts.into_iter().collect();
    values.sort_by_key(|&(value, count)| (std::cmp::Reverse(count), value));
    values
        .into_iter()
        .map(|(value, _)| value.to_owned())
        .collect()
}

fn read(file: &Path, attribute: &AttributeName) -> Result<BTreeMap<String, String>, LabelError> {
    if !file.exists() {
        return Ok(BTreeMap::new());
    }
    let failed = |source| LabelError::Csv {
        path: file.to_owned(),
        source,
    };
    let mut reader = csv::Reader::from_path(file).map_err(failed)?;
    let header: Vec<String> = reader
        .headers()
        .map_err(failed)?
        .iter()
        .map(str::to_owned)
        .collect();
    if header != ["id", attribute.as_str()] {
        let (attribute, found) = (attribute.to_string(), header.join(","));
        return Err(LabelError::Header {
            path: file.to_owned(),
            attribute,
            found,
        });
    }
    let rows = reader
        .into_records()
        .map(|row| row.map(|r| (r[0].to_owned(), r[1].to_owned())));
    rows.collect::<Result<_, _>>().map_err(failed)
}

fn write(
    file: &Path,
    attribute: &AttributeName,
    labels: &BTreeMap<String, String>,
) -> Result<(), LabelError> {
    let failed = |source| LabelError::Csv {
        path: file.to_owned(),
        source,
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["id", attribute.as_str()])
        .map_err(failed)?;
    for (id, value) in labels {
        writer.write_record([id, value]).map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|e| failed(e.into_error().into()))?;
    data_set::replace(file, &bytes).map_err(|source| LabelError::Io {
        path: file.to_owned(),
        source,
    })
}

type Shared = Arc<Labeling>;

/// The page and what it asks for.
pub fn router(labeling: Labeling) -> Router {
    Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/task", get(task))
        .route("/items/{number}", get(item).post(decide))
        .route("/items/{number}/image", get(photo))
        .layer(from_fn(from_here))
        .with_state(Arc::new(labeling))
}

/// Serves the page until the process is ended.
///
/// # Errors
/// When the socket fails.
pub async fn serve(listener: tokio::net::TcpListener, labeling: Labeling) -> std::io::Result<()> {
    axum::serve(listener, router(labeling)).await
}

/// Refuses requests that name another host.
async fn from_here(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if ["localhost", "127.0.0.1", "[::1]"].contains(&name) {
        return next.run(request).await;
    }
    (
        StatusCode::FORBIDDEN,
        "this page is served on localhost only",
    )
        .into_response()
}

async fn task(State(labeling): State<Shared>) -> Json<Task> {
    let start = labeling.next_open(0, &labeling.labels()).unwrap_or(0);
    Json(Task {
        attribute: labeling.attribute.to_string(),
        values: labeling.values.clone(),
        start,
    })
}

async fn item(
    State(labeling): State<Shared>,
    UrlPath(number): UrlPath<usize>,
) -> Result<Json<Item>, StatusCode> {
    labeling.item(number).map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn decide(
    State(labeling): State<Shared>,
    UrlPath(number): UrlPath<usize>,
    Json(decision): Json<Decision>,
) -> Result<Json<Item>, (StatusCode, String)> {
    if number >= labeling.entries.len() {
        return Err((StatusCode::NOT_FOUND, "no such photo".to_owned()));
    }
    if let Some(value) = decision
        .value
        .as_ref()
        .filter(|v| !labeling.values.contains(v))
    {
        return Err((
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("{value:?} is not one of the values"),
        ));
    }
    let shared = labeling.clone();
    let written = tokio::task::spawn_blocking(move || shared.decide(number, decision.value)).await;
    let internal = |reason: String| (StatusCode::INTERNAL_SERVER_ERROR, reason);
    written
        .map_err(|e| internal(e.to_string()))?
        .map_err(|e| internal(e.to_string()))?;
    labeling
        .item(number)
        .map(Json)
        .ok_or_else(|| internal("the photo is gone".to_owned()))
}

async fn photo(State(labeling): State<Shared>, UrlPath(number): UrlPath<usize>) -> Response {
    let Some(entry) = labeling.entries.get(number) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (image, photos) = (entry.image.clone().into(), labeling.photos.clone());
    match tokio::task::spawn_blocking(move || photos.read(&image)).await {
        Ok(Ok(Some(bytes))) => {
            let kind = ::image::guess_format(&bytes)
                .map_or("application/octet-stream", |f| f.to_mime_type());
            (
                [(header::CONTENT_TYPE, HeaderValue::from_static(kind))],
                bytes,
            )
                .into_response()
        }
        Ok(Ok(None)) => StatusCode::NOT_FOUND.into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
