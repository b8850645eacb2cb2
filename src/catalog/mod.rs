//! Products and embeddings at rest: a database, in the data folder or on a server, and the pictures
//! where the shop keeps them.
//!
//! | room | what it is for |
//! | --- | --- |
//! | `store` | [`Catalog`]: the database, opened and read, changed |
//! | [`media`] | pictures: opened, read, shown |
//! | [`source`] | the file formats that a catalog comes in |
//! | [`ingest`] | products in, embeddings for those that lack one: where the catalog meets `encode` |
//! | [`backup`] | a catalog as one file, and back |
//! | [`caption`] | the words that the text tower reads for a product |
//! | `values` | products, vectors and counts as the catalog gives them |
//! | `error` | why it could not |
//!
//! Any number of processes may read; one at a time may write, held by a lock file, not by luck.
//! Pictures are not copied into the database: it remembers where they are, their sha256, and what
//! each model made of them. What waits to be embedded is a queue in the database.
//!
//! Refused: a database of a newer version, a damaged one, a second writer, picture paths that leave
//! the folder that was named for them. Nothing here decodes a picture or knows a model.

pub mod backup;
pub mod caption;
mod error;
pub mod ingest;
pub mod media;
pub mod source;
mod store;
mod values;

pub use error::CatalogError;
pub use media::PicturePlace;
pub use media::hosts::{HostError, PictureHosts};
pub use media::kept::{Access, PictureOptions, PicturesAt, check_pictures};
pub use media::links::PictureLinks;
pub use media::picture::{OpenPicture, Picture, PictureBody, ShownPicture};
pub use media::read::PictureFiles;
pub use store::{
    Catalog, CopyError, Database, Difference, Expected, Garbage, Inspected, Pgvector, VectorPlace,
    VectorSet, copy, inspect,
};
pub use values::{
    AllEmbedded, Changed, Counts, Embedded, FeedState, PartProgress, ProductProgress,
    StoredPicture, StoredProduct, Waiting,
};
