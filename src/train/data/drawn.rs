//! Drawn footwear as training's products: what a catalog knows little of, here always known.

use rayon::prelude::*;

use super::product::{Facts, Frame, Product};
use crate::demo;

/// Drawn footwear (see [`demo`]), whose laces are known.
#[must_use]
pub fn drawn(seed: u64, count: u64, frame: Frame) -> Vec<Product> {
    (0..count)
        .into_par_iter()
        .map(|index| {
            let product = demo::draw(seed, index);
            let facts = Facts {
                title: product.title.clone(),
                category: product.category.name().to_owned(),
                section: product.category.section().to_owned(),
                color: product.color.name.to_owned(),
                gender: product.gender.to_owned(),
                usage: product.usage.to_owned(),
                shoelaces: Some(product.shoelace_color().to_owned()),
            };
            let square = frame.square(&demo::render(&product));
            Product {
                id: product.id.to_string(),
                facts,
                captions: Vec::new(),
                label: None,
                square,
            }
        })
        .collect()
}
