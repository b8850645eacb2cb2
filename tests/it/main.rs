//! The integration tests: one binary, one file a room.

mod catalog;
mod demo;
mod encode;
mod evaluate;
mod http;
mod index;
mod model;
mod serve;
mod support;
#[cfg(feature = "train")]
mod train;
