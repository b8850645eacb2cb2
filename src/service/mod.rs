//! What a request becomes: a [`Query`](crate::domain::Query) goes in, a [`Page`] comes out. The
//! only room that knows the encoder, the index and the catalog at once.
//!
//! | file | what it is for |
//! | --- | --- |
//! | [`api`] | [`Service`]: query -> page, products, pictures |
//! | `keys` | who may ask what |
//! | [`access`] | keys made, revoked and followed |
//! | [`writes`] | products written, and read back as they came in |
//! | [`change`] | another model is put in use |
//! | `status` | how far such a change is |
//! | [`feeds`] | feeds are fetched again and again |
//! | [`embed`] | a worker that embeds and serves nothing |
//! | `check` | whether a query asks for what the products have |
//! | `worker` | the threads that search |
//! | `rows` | what hits show, in memory |
//! | [`thesaurus`] | the synonyms in use, read again when their file changes |
//! | [`generation`] | an encoder and the index of what it embedded, put in use together |
//! | `distant` | vectors that the catalog's database has |
//! | [`follow`] | the index follows the catalog; what is missing is embedded |
//! | `meters` | what the following reports of itself |
//! | `fresh` | how long writes take until they can be found |
//! | [`ready`] | whether searches are answered |
//! | [`health`] | what was last seen of the model and the catalog |
//! | `verify` | whether the saved index is what the catalog says |
//! | [`page`] | what a search answers |
//! | [`error`] | why there is no answer |
//!
//! Knows no HTTP: status codes, JSON and addresses are [`http`](crate::http)'s. Refuses work that
//! cannot be done in time ([`ServiceError::Overloaded`]) rather than piling it up.

pub mod access;
pub mod api;
pub mod change;
mod check;
mod distant;
pub mod embed;
pub mod error;
pub mod feeds;
pub mod follow;
mod fresh;
pub mod generation;
pub mod health;
mod keys;
mod meters;
pub mod page;
pub mod ready;
mod rows;
mod status;
pub mod thesaurus;
mod verify;
mod worker;
pub mod writes;

pub use api::{Service, ServiceOptions};
pub use change::{Changer, Check, Checked, in_use};
pub use error::ServiceError;
pub use follow::Follower;
pub use generation::{Generation, Making, ModelName};
pub use keys::{Denied, Door};
pub use page::{Hit, Page};
pub use ready::Readiness;
pub use verify::{Verified, verify};
