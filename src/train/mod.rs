//! The training companion: from a catalog to a model that the server loads.
//!
//! The network runs in burn on the CPU ([`network`]); the weights, the optimizer and the
//! checkpoints are plain arrays on the host. Everything that is drawn by chance comes from a named
//! stream ([`dice`]), so that a run taken up again after a kill goes on as the unbroken one would
//! have.

pub mod attention;
pub mod attribute;
pub mod batch;
pub mod bf16;
pub mod captions;
pub mod channels;
pub mod checkpoint;
pub mod clip;
pub mod dataset;
pub mod dice;
pub mod enrich;
pub mod epochs;
pub mod fit;
pub mod folder;
pub mod fused;
pub mod images;
pub mod interpolate;
pub mod label;
pub mod lora;
pub mod loss;
pub mod metrics;
pub mod network;
pub mod optimizer;
pub mod plain;
pub mod positions;
pub mod prepare;
pub mod recipe;
pub mod report;
pub mod sampler;
pub mod scheduler;
pub mod step;
pub mod validate;
pub mod vocabulary;
pub mod wide;
