//! The report for people: one HTML file with everything in it (pictures, styles), light and dark,
//! no script.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`page`] | the report of a document, and that of a comparison |
//! | `figures` | figures as bars with their intervals |
//! | `classes` | the part of labeled images: bars per class, the confusion matrix |
//! | `cases` | the part of a suite: the sums, and each case with the pictures that came back |
//! | [`thumbnails`] | the pictures, small, inside the file |
//! | `elements` | bars, signed differences, tables |

mod cases;
mod classes;
mod elements;
mod figures;
pub mod page;
pub mod thumbnails;

pub use page::{comparison, render};
pub use thumbnails::Thumbnails;
