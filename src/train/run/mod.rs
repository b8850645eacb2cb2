//! A run: from a recipe to weights, with a way back after a kill.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`recipe`] | everything that decides a run: a TOML file |
//! | [`begin`] | a run from its recipe |
//! | [`plan`] | how long, how fast, what is watched |
//! | [`products`] | what is trained on, what is mixed in, what is held out |
//! | [`fit`] | the loop over steps |
//! | [`step`] | a batch's loss and gradients |
//! | [`losses`] | the parts of the loss, and what they weigh |
//! | [`training`] | which parts of a model are trained |
//! | [`embed`] | embeddings as the server makes them |
//! | [`validate`] | retrieval over held-out products |
//! | [`accuracy`] | how well the attribute is recognized |
//! | [`metrics`] | `metrics.jsonl`, and the figure that chooses the best epoch |
//! | [`report`] | `curves.svg` and `report.html` |
//! | [`state`] | how far a run is |
//! | [`checkpoint`] | arrays in safetensors files |
//! | [`folder`] | a run's weights as a checkpoint folder |
//! | [`epochs`] | a run's epochs as model folders |

pub mod accuracy;
pub mod begin;
pub mod checkpoint;
pub mod embed;
pub mod epochs;
pub mod fit;
pub mod folder;
pub mod losses;
pub mod metrics;
pub mod plan;
pub mod products;
pub mod recipe;
pub mod report;
pub mod state;
pub mod step;
pub mod training;
pub mod validate;
