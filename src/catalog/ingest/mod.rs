//! How products come in, and how those without an embedding get one: where `catalog` meets
//! `encode`.
//!
//! [`import()`] reads a [`Source`](crate::catalog::source::Source), writes its products in batches, and embeds what is missing;
//! [`embed_missing`] does the latter alone, for a service that was given another model, and
//! [`embed_queued`] what came into the queue since. All may be
//! ended at any point and run again: every batch is one transaction, and what [`Progress`] counts
//! as embedded is on the disk. Contents are identified by their sha256, so that nothing is embedded
//! twice by the same model.
//!
//! A row or a picture that cannot be used is noted in the rejects file and the rest goes on; a full
//! disk, a broken database, a second writer or a dead model end the import with an error.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`mod@import`] | a source into the catalog |
//! | [`feed`] | a feed that is fetched from a web address |
//! | [`schedule`] | feeds that a running service fetches by itself |
//! | `rows` | the rows of a source, read ahead |
//! | `survey` | what an import would take away, looked at before |
//! | [`max_removed`] | how much that may be |
//! | `keep` | pictures put where the catalog keeps them |
//! | `embed` | the queue of what is to be embedded, worked off |
//! | `read_ahead` | pictures read and hashed ahead of the encoder |
//! | [`embedder`] | what it is embedded with |
//! | [`progress`] | how far it is, what was done, why it ended |
//! | `rejects` | the file of what was not taken |

mod embed;
pub mod embedder;
pub mod feed;
pub mod import;
mod keep;
pub mod max_removed;
pub mod progress;
mod read_ahead;
mod rejects;
mod rows;
pub mod schedule;
mod survey;

pub use crate::catalog::store::queue::Lane;
pub use embedder::Embedder;
pub use import::{embed_for, embed_missing, embed_queued, import, load};
pub use max_removed::MaxRemoved;
pub use progress::{
    EmbedSummary, FeedLimits, FetchedFeed, ImportOptions, IngestError, Progress, Status, Summary,
};
pub use schedule::ScheduledFeed;
