//! Why products cannot be read.

use std::path::PathBuf;

use crate::catalog::CatalogError;
use crate::catalog::source::SourceError;
use crate::evaluate::data::data_set::{DataSetError, Side};
use crate::vision::ImageError;

#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("no product of {path} has a photo that can be read")]
    Empty { path: PathBuf },
    #[error(
        "the {side} side of {path} has no product: prepare the data set with other proportions (--test, --validation)"
    )]
    EmptySide { path: PathBuf, side: Side },
    #[error("no product of {path} has the attribute {attribute:?}; they have {}", found.join(", "))]
    Attribute {
        path: PathBuf,
        attribute: String,
        found: Vec<String>,
    },
    #[error(transparent)]
    Set(#[from] DataSetError),
    #[error(transparent)]
    Picture(#[from] CatalogError),
    #[error("the photo of product {id}: {source}")]
    Photo { id: String, source: ImageError },
}
