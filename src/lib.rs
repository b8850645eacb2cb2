//! Aglet: product search for fashion shops, in words or by photo.
//!
//! # The map
//!
//! | room | what it is for |
//! | --- | --- |
//! | [`util`] | the ground floor: digests, percent-encoding, budgets, random numbers, blocking work |
//! | [`domain`] | pure values: products, attributes, queries, embeddings; no I/O |
//! | [`model`] | the model folder at rest: manifest, download, the ONNX graph writer |
//! | [`encode`] | words or pixels -> [`domain::Embedding`], batched over ONNX Runtime sessions |
//! | [`index`] | embedding -> ranked products: HNSW index, exact filters |
//! | [`catalog`] | products and embeddings at rest (SQLite), and how they get there |
//! | [`evaluate`] | metrics and the retrieval suite |
//! | [`http`] | the API, its errors, its OpenAPI document and the search page |
//! | [`demo`] | draws the demonstration catalogue |
//! | `train` | the training companion (cargo feature `train`) |
//! | [`config`], [`telemetry`], [`app`] | settings, observability, and the order in which the parts start and stop |
//!
//! # Invariants
//!
//! 1. `domain` imports nothing of ours; dependencies point downwards: `http -> search, catalog,
//!    encode -> domain`.
//! 2. `encode` and `catalog` do not know each other; `catalog::ingest` is where they meet. `model`
//!    knows neither burn nor ort.
//! 3. Only `http` knows the API's status codes. Only `index/graph.rs` names usearch. Only
//!    `encode/session.rs` runs ort. Only `config` (and `bin/`) reads the environment.
//! 4. The server build never compiles `train`. Preprocessing constants live in a model's manifest
//!    and nowhere else.
//! 5. An [`domain::Embedding`] that exists is finite and of unit length.
//! 6. Every embedding and every index says which model made it; vectors of two models never meet.

pub mod app;
pub mod catalog;
pub mod config;
pub mod demo;
pub mod domain;
pub mod encode;
pub mod evaluate;
pub mod http;
pub mod index;
pub mod model;
pub mod service;
pub mod telemetry;
#[cfg(feature = "train")]
pub mod train;
pub mod util;
pub mod vision;
