//! The integration tests: one binary, one file a room.

mod demo;
mod model;
mod support;
