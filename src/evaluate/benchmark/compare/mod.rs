//! Many models or epochs on the same questions: one table, the best by a stated rule, and why.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`mod@candidates`] | what may be compared: model folders, checkpoints, training runs |
//! | [`tasks`] | what every model is asked, and the answers that were kept |
//! | [`comparison`] | the rule, and the choice that it makes |
//! | [`error`] | why a comparison cannot be made |
//!
//! What a model answered is kept (`MODEL-DATA.json`, named by the hash of the model and that of the
//! questions), so that a run with one more epoch measures that epoch.

pub mod candidates;
pub mod comparison;
pub mod error;
pub mod tasks;

pub use candidates::{Candidate, candidates};
pub use comparison::{Comparison, Rule};
pub use error::CompareError;
pub use tasks::Tasks;
