//! Whether a file is still the one that was read.

use std::path::Path;
use std::time::SystemTime;

/// A file's size and time of change: cheap to take, and another one for another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(u64, Option<SystemTime>);

impl Stamp {
    /// `None`: there is no such file, or it may not be seen.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self(metadata.len(), metadata.modified().ok()))
    }
}
