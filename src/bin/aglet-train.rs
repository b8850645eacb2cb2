//! `aglet-train`: the training companion.

fn main() {}
