//! The demonstration catalog: invented footwear, drawn from numbers alone.
//!
//! | file | what it does |
//! | --- | --- |
//! | `product` | [`draw`]: a product's type, colors and name |
//! | `shoe`, `shape`, `mesh` | its parts, as small three-dimensional models |
//! | `photo`, `raster` | [`render`]: its photo, by a camera |
//! | `palette` | the colors, by their names |
//! | `write` | [`write()`]: a whole catalog as the Kaggle data set has it (`styles.csv`, `shoelaces.csv`, `images/ID.jpg`) |
//!
//! One model gives the side view, the three-quarter view and the pair from above. The same seed
//! gives the same bytes, and product `i` does not depend on how many there are.
//!
//! It uses no outside pictures, fonts or names, so that a catalog can be shown and tested
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
