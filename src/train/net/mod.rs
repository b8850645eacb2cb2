//! The network: a CLIP in burn, with its weights as plain arrays on the host.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`config`] | the sizes of the towers, and what a network sees of a photo |
//! | [`parameters`] | the weights, named as Hugging Face names them; random ones to begin with |
//! | [`input`] | a batch of photos as patches, a batch of texts as token ids |
//! | [`network`] | the two towers over these |
//! | [`fused`] | layer norm, linear layers and activations, one pass each, on the CPU |
//! | [`attention`] | attention over sequences of different lengths, on the CPU |
//! | [`bf16`] | matrix products on a CPU's tile unit; unsafe code is here and in `util::process` alone |
//! | [`plain`] | the same operations in burn's own terms, for a GPU |
//! | [`lora`] | low-rank pairs beside the matrices |
//! | [`positions`] | a trained vision tower with an input of another size |

pub mod attention;
pub mod bf16;
pub mod config;
pub mod fused;
pub mod input;
pub mod lora;
pub mod network;
pub mod parameters;
pub mod plain;
pub mod positions;
