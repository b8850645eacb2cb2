//! Aglet: product search for fashion shops, in words or by photo.
//!
//! # The map
//!
//! From the ground floor up; a room stands on the rooms above it in this table, as far as
//! `.ci/house-rules` says.
//!
//! | room | what it is for |
//! | --- | --- |
//! | [`util`] | digests, percent-encoding, budgets, random numbers, batches, blocking work |
//! | [`domain`] | pure values: products, attributes, queries, embeddings; no I/O |
//! | [`vision`] | the bytes of a photo -> the pixels that a model sees |
//! | [`model`] | the model folder at rest: manifest, download, the ONNX graph writer |
//! | [`encode`] | words or photos -> [`domain::Embedding`], batched over ONNX Runtime sessions |
//! | [`index`] | embedding -> ranked products: filters, HNSW graph, ranking |
//! | [`catalog`] | products, pictures and embeddings at rest, and how they get there |
//! | [`telemetry`], [`config`] | log, metrics and traces; settings |
//! | [`service`] | query -> page: the encoder, the index and the catalog together |
//! | [`http`] | the API, its errors, its OpenAPI document and the search page |
//! | [`evaluate`] | figures that decide which model ships |
//! | [`gate`] | the shop's own check of a model that is to answer |
//! | [`app`] | the order in which the parts start and stop |
//! | [`doctor`] | what could keep a service from starting or working |
//! | [`demo`] | draws the demonstration catalog |
//! | `train` | the training companion (cargo feature `train`) |
//!
//! # Invariants
//!
//! 1. Dependencies point downward, and no two files use each other, however indirectly
//!    (`.ci/house-rules` reads the `use` lines).
//! 2. `http` knows status codes and JSON and nothing else: it gives [`service`] a
//!    [`domain::Query`] and gets a page. Keys, threads, snapshots and rows never reach it.
//! 3. One answer comes from one [`service::Generation`]: its model, its index version and its hits
//!    belong together.
//! 4. Only `index/graph.rs` names usearch. Only `encode/session.rs` runs ort. Only `telemetry` names
//!    opentelemetry. Only `config` (and `bin/`) reads the environment. `encode` and `catalog` do not
//!    know each other; `catalog::ingest` is where they meet.
//! 5. The store is the truth: an index is a cache of it that can be thrown away at any time.
//! 6. The server build never compiles `train`. Preprocessing constants are in a model's manifest
//!    and nowhere else; another way to compute them is another [`vision::ALGORITHM`].
//! 7. An [`domain::Embedding`] that exists is finite and of unit length. Every embedding and every
//!    index says which model made it; vectors of two models never meet.
//! 8. The names of API parameters are checked at import and in `http`, never in a domain type.

pub mod app;
pub mod catalog;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod domain;
pub mod encode;
pub mod evaluate;
pub mod gate;
pub mod http;
pub mod index;
pub mod model;
pub mod service;
pub mod telemetry;
#[cfg(feature = "train")]
pub mod train;
pub mod util;
pub mod vision;
