//! From a product to the parts of one shoe: which last, which sole, which paint.
//!
//! | file | what it makes |
//! | --- | --- |
//! | `sneaker`, `runner`, `dress`, `boot`, `open` | shoes of a kind |
//! | `closed` | what closed shoes share: the upper, the collar, the throat |
//! | `lacing` | laces and the tongue |
//! | `sole` | soles, heels, straps |
//! | `dyes` | the colors of one shoe, seams and linings |

mod boot;
mod closed;
mod dress;
mod dyes;
mod lacing;
mod open;
mod runner;
mod sneaker;
mod sole;

use super::mesh::Part;
use super::product::{Category, DemoProduct};
use crate::util::random::Random;
use dyes::Dyes;

/// The parts of one shoe (the left one, its outer side at negative `y`).
pub(super) fn build(product: &DemoProduct) -> Vec<Part> {
    let mut random = Random::new(product.look);
    let dyes = Dyes::new(product, &mut random);
    match product.category {
        Category::CasualShoes if dyes.laces.is_none() && random.chance(0.45) => {
            dress::loafer(&dyes, &mut random, false)
        }
        Category::CasualShoes => sneaker::sneaker(&dyes, &mut random),
        Category::SportsShoes => runner::runner(&dyes, &mut random),
        Category::FormalShoes if dyes.laces.is_none() => dress::loafer(&dyes, &mut random, true),
        Category::FormalShoes => dress::oxford(&dyes, &mut random),
        Category::Boots => boot::boot(&dyes, &mut random),
        Category::Heels => open::pump(&dyes, &mut random),
        Category::Flats => open::ballerina(&dyes, &mut random),
        Category::Sandals => open::sandal(&dyes, &mut random),
        Category::FlipFlops => open::flip_flop(&dyes, &mut random),
    }
}
