//! The training companion: from a catalog to a model that the server loads.
//!
//! | room | what it holds |
//! | --- | --- |
//! | [`draws`] | reproducible random numbers |
//! | [`net`] | the network, and its weights as plain arrays |
//! | [`data`] | products, data sets, batches |
//! | [`optim`] | losses, optimizers, learning rates |
//! | [`run`] | a run: recipe, steps, validation, checkpoints, report |
//! | [`tools`] | labeling, scoring, mixing, timing |
//!
//! A room uses those above it in this table, never one below.
//!
//! The network runs in burn, on the CPU or a GPU; the weights, the optimizer and the checkpoints are
//! plain arrays on the host. A run that is taken up again after a kill goes on as the unbroken one
//! would have.

pub mod data;
pub mod draws;
pub mod net;
pub mod optim;
pub mod run;
pub mod tools;
