//! The integration tests: one binary, one file a room.

mod model;
mod support;
