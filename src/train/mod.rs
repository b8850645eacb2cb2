//! The training companion: from a catalog to a model that the server loads.
//!
//! The network runs in burn on the CPU ([`net`]); the weights, the optimizer and the
//! checkpoints are plain arrays on the host. Everything that is drawn by chance comes from a named
//! stream ([`draws`]), so that a run taken up again after a kill goes on as the unbroken one would
//! have.

pub mod data;
pub mod draws;
pub mod net;
pub mod optim;
pub mod run;
pub mod simd;
pub mod tools;
