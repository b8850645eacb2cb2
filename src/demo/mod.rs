//! The demonstration catalogue: invented footwear, drawn from numbers alone.
//!
//! [`draw`] decides a product (its type, colors, name), [`render`] makes its photo, and [`write`]
//! lays a whole catalogue of them out as the Kaggle data set does (`styles.csv`, `shoelaces.csv`,
//! `images/ID.jpg`). Shoes are small three-dimensional models (`shape`, `shoe`, `mesh`) seen by a
//! camera (`raster`, `photo`): one model gives the side view, the three-quarter view and the pair
//! from above. The same seed gives the same bytes, and product `i` does not depend on how many
//! there are.
//!
//! It uses no outside pictures, fonts or names, so that a catalogue can be shown and tested
//! anywhere. It does not try to fool anybody: a person recognizes the kind of shoe, its color and
//! the color of its laces, and so can a model. Nothing here fails but the writing of files
//! ([`DemoError`]).

mod mesh;
mod palette;
mod photo;
mod product;
mod raster;
mod shape;
mod shoe;
mod write;

pub use palette::{LACE_COLORS, SHOE_COLORS, Swatch};
pub use photo::{HEIGHT, WIDTH, render};
pub use product::{Category, DemoProduct, View, draw};
pub use write::{DemoError, Plan, contact_sheet, write};
