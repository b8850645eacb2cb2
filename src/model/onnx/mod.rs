//! Writes the two graphs of a CLIP model as ONNX, without Python and without copying a weight.
//!
//! `proto` holds the parts of the format that are used, `graph` builds a graph whose weights lie in
//! the safetensors file beside it, `clip` is CLIP's two towers.

mod clip;
mod graph;
mod proto;

pub use clip::{image_graph, text_graph};
