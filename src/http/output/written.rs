//! What became of products that were written.

use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, LineProblem};
use crate::domain::{WriteStatus, Written};

/// What became of a product that was written.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "100017", "status": "changed", "revision": 1_795_980_125_796_u64}))]
pub struct WriteResponse {
    pub id: String,
    pub status: StatusName,
    /// In which revision of the catalog the product became what it is, or was deleted; its ETag is
    /// made of it.
    pub revision: u64,
    /// With `wait=searchable`: whether the index holds it by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub searchable: Option<bool>,
    /// Fields that were given and mean nothing here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = WriteStatus)]
pub enum StatusName {
    Created,
    Changed,
    /// It was so already: nothing was written.
    Unchanged,
    Deleted,
}

impl From<WriteStatus> for StatusName {
    fn from(status: WriteStatus) -> Self {
        match status {
            WriteStatus::Created => Self::Created,
            WriteStatus::Changed => Self::Changed,
            WriteStatus::Unchanged => Self::Unchanged,
            WriteStatus::Deleted => Self::Deleted,
        }
    }
}

impl WriteResponse {
    pub fn new(id: String, written: Written, searchable: Option<bool>) -> Self {
        Self {
            id,
            status: written.status.into(),
            revision: written.revision,
            searchable,
            ignored: written.ignored,
        }
    }
}

/// What became of one line of a bulk: it has a `status` or an `error`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"line": 1, "id": "100017", "status": "created", "revision": 1_795_980_125_796_u64}))]
pub struct BulkStatus {
    /// Its number; the first line of the body is 1.
    pub line: u64,
    /// Of the product, as far as it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<StatusName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub revision: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<LineProblem>,
}

impl BulkStatus {
    pub fn new(line: u64, id: Option<String>, result: Result<Written, &ApiError>) -> Self {
        let (written, error) = match result {
            Ok(written) => (Some(written), None),
            Err(error) => (None, Some(LineProblem::from(error))),
        };
        Self {
            line,
            id,
            status: written.as_ref().map(|written| written.status.into()),
            revision: written.as_ref().map(|written| written.revision),
            ignored: written.map(|written| written.ignored).unwrap_or_default(),
            error,
        }
    }
}

/// The last line of a bulk with `wait=searchable`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"searchable": true, "revision": 1_795_980_125_796_u64}))]
pub struct BulkEnd {
    /// Whether the index holds all that was written by now.
    pub searchable: bool,
    /// The latest revision that a line has; 0 when none was written.
    pub revision: u64,
}

/// Adds a value as a line of JSON.
pub fn add_line(lines: &mut Vec<u8>, value: &impl Serialize) {
    // Plain data into memory: it cannot fail.
    if serde_json::to_writer(&mut *lines, value).is_ok() {
        lines.push(b'\n');
    }
}
