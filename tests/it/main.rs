//! The integration tests: one binary, one file a room.

mod catalog;
mod demo;
mod encode;
mod evaluate;
mod http;
mod model;
mod search;
mod serve;
mod support;
#[cfg(feature = "train")]
mod train;
