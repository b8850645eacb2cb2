//! What is measured: a model folder or a running service, asked the same questions.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`engine`] | the question, the answer, and the trait that both kinds have |
//! | [`folder`] | a model folder: exact search over the pictures of a labeled catalog |
//! | [`api`] | a running service, through its public API alone |
//! | [`embedder`] | the encoder as evaluation uses it, with the embeddings that it made before |
//! | [`error`] | why a question is not answered |

pub mod api;
pub mod embedder;
pub mod engine;
pub mod error;
pub mod folder;

pub use engine::{Ask, Engine, Found, How, Need, Subject};
pub use error::{ApiError, EngineError};
