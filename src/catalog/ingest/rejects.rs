//! The rejects file: what of an import was not taken, and why. CSV: `line`, `id`, `lost`, `reason`.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::catalog::error::CatalogError;
use crate::catalog::source::row::{Lost, Reject};

/// Made at the first reject, so that a clean import leaves no file.
pub(in crate::catalog) struct Rejects {
    path: PathBuf,
    file: Option<csv::Writer<File>>,
    rows: u64,
    parts: u64,
    /// A whole row was rejected whose id is not known.
    nameless: bool,
}

impl Rejects {
    pub(in crate::catalog) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            rows: 0,
            parts: 0,
            nameless: false,
        }
    }

    /// The file, when there is one.
    pub(in crate::catalog) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }

    /// Whole rows.
    pub(in crate::catalog) fn rows(&self) -> u64 {
        self.rows
    }

    /// PictureFiles, attributes and letters of rows that were taken.
    pub(in crate::catalog) fn parts(&self) -> u64 {
        self.parts
    }

    pub(in crate::catalog) fn nameless(&self) -> bool {
        self.nameless
    }

    pub(in crate::catalog) fn add(&mut self, reject: &Reject) -> Result<(), CatalogError> {
        if self.file.is_none() {
            let mut file = csv::Writer::from_path(&self.path).map_err(|e| self.error(e.into()))?;
            file.write_record(["line", "id", "lost", "reason"])
                .map_err(|e| self.error(e.into()))?;
            self.file = Some(file);
        }
        let line = reject.line.to_string();
        let id = reject.id.as_deref();
        if let Some(file) = &mut self.file {
            let written = file.write_record([
                line.as_str(),
                id.unwrap_or(""),
                reject.lost.as_str(),
                &reject.reason,
            ]);
            written.map_err(|e| self.error(e.into()))?;
        }
        if reject.lost == Lost::Row {
            self.rows += 1;
            self.nameless |= id.is_none();
        } else {
            self.parts += 1;
        }
        Ok(())
    }

    pub(in crate::catalog) fn flush(&mut self) -> Result<(), CatalogError> {
        let flushed = self.file.as_mut().map_or(Ok(()), csv::Writer::flush);
        flushed.map_err(|e| self.error(e))
    }

    fn error(&self, source: std::io::Error) -> CatalogError {
        CatalogError::io(&self.path, source)
    }
}
