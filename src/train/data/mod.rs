//! Products, and batches made of them.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`set`] | data sets on disk: made, added to, read |
//! | [`product`] | a product in memory: facts, captions, label, photo |
//! | [`catalog`] | products of a catalog in the Kaggle layout |
//! | [`drawn`] | products of the demonstration, drawn |
//! | [`error`] | why products cannot be read |
//! | [`attribute`] | the attribute that is to be learned, and its values in words |
//! | [`captions`] | a product in words, drawn from its facts |
//! | [`vocabulary`] | words as token ids; learned from captions |
//! | [`images`] | photos cropped, blurred and cut into patches |
//! | [`channels`] | a photo with its color channels exchanged, and its words after it |
//! | [`sampler`] | which products make a batch |
//! | [`truth`] | which captions of a batch are true of which photos |
//! | [`batch`] | one step's input |
//! | [`batch_source`] | makes the batch of a step |
//! | [`loader`] | makes batches ahead, on a thread of its own |

pub mod attribute;
pub mod batch;
pub mod batch_source;
pub mod captions;
pub mod catalog;
pub mod channels;
pub mod drawn;
pub mod error;
pub mod images;
pub mod loader;
pub mod product;
pub mod sampler;
pub mod set;
pub mod truth;
pub mod vocabulary;
