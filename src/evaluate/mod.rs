//! Metrics and the retrieval suite: figures that decide which model ships.

pub mod split;
