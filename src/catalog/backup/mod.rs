//! A catalog as one file, and back.
//!
//! A backup is a zip archive: the database, `uploads/`, where it is asked for the pictures that the
//! shop keeps elsewhere (`pictures/`), and last `manifest.json`, which says what the archive holds
//! and the sha256 of every file. The index is not in it: a start builds it.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `manifest` | what a backup says of itself |
//! | [`write`](mod@write) | a data folder becomes a backup, also while a service writes to it |
//! | [`restore`](mod@restore) | a backup becomes a data folder |
//! | `error` | why not |
//!
//! A backup comes into being whole or not at all, under a temporary name. It is restored into an empty
//! folder, and only when every byte is what was written; the database is moved to its place last.

mod error;
mod manifest;
pub mod restore;
pub mod write;

pub use error::BackupError;
pub use restore::restore;
pub use write::{Backup, BackupOptions, back_up};
