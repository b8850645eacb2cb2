//! Words or pixels -> [`Embedding`](crate::domain::Embedding): the one door to the model.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`encoder`] | the way of words and of photos |
//! | [`text`] | words -> token ids |
//! | [`session`] | ONNX Runtime: the library, the device, a model's two graphs |
//! | [`device`] | what is asked for, and what is in use |
//! | `meters` | what is reported |
//!
//! Photos are decoded and made small by [`vision`](crate::vision), requests are gathered by
//! [`batcher`](crate::util::batcher).
//!
//! The way of words: tokens, the cache of query embeddings, the text batcher. The way of a photo:
//! the decode pool (a batcher too, of single jobs), from which small squares come out, what the
//! model sees of it, then the image batcher.
//!
//! Refuses work rather than piling it up: a search that finds its queue full is
//! [`EncodeError::Overloaded`], catalog work ([`Priority::Bulk`]) waits. Decoded photos in flight
//! are bounded by their pixels, whatever the number of requests; the files themselves belong to the
//! caller, who bounds them (the HTTP server by size and concurrency). No async thread decodes,
//! resizes or runs a model.

pub mod device;
pub mod encoder;
mod meters;
pub mod session;
pub mod text;

pub use crate::util::batcher::Priority;
pub use crate::vision::{ImageError, ImageLimits};
pub use device::{Device, Provider};
pub use encoder::{EncodeError, Encoder, EncoderOptions, EncoderStatus};
pub use session::{SessionError, check_export};
pub use text::TextError;
