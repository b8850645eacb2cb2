//! The database: opened and read in `read`, changed in `write`.

pub(super) mod read;
pub(super) mod write;
