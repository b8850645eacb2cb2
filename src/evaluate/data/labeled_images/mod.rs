//! Labeled images: readers for the layouts that benchmarks come in.
//!
//! | file | layout |
//! | --- | --- |
//! | [`images`] | what all of them become: [`LabeledImages`] |
//! | [`fashion_mnist`] | `t10k-images-idx3-ubyte(.gz)` and `t10k-labels-idx1-ubyte(.gz)` |
//! | [`in_shop`] | DeepFashion In-shop: `Eval/list_eval_partition.txt` and `img/` |
//! | [`csv_file`] | a CSV of paths and labels |
//! | [`folders`] | a folder of class folders |
//! | [`products`] | a catalog or a data set of `aglet-train prepare`, an attribute of which is the label |
//! | [`location`] | any of them, as a command line names it: `csv:FILE` |
//!
//! Each refuses a file that is missing or malformed, and says which, where, and what was expected.
//! No picture is opened here: one that cannot be read is left out of the evaluation and counted.

pub mod csv_file;
pub mod fashion_mnist;
pub mod folders;
pub mod images;
pub mod in_shop;
pub mod location;
pub mod products;

pub use images::{LabeledImage, LabeledImages, LabeledImagesError};
