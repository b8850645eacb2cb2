//! The integration tests: one binary, one file a room.

#![allow(
    clippy::too_many_lines,
    reason = "a test that goes through a whole way is long"
)]

mod catalog;
mod change;
mod clients;
mod demo;
mod distant;
mod doctor;
mod encode;
mod evaluate;
mod feeds;
mod http;
mod index;
mod kept;
mod live;
mod living;
mod model;
mod observability;
mod operate;
mod order;
mod pgvector;
mod pictures;
mod postgres;
mod serve;
mod support;
#[cfg(feature = "train")]
mod train;
mod words;
