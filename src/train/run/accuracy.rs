//! How well a model recognizes the attribute that it learns.
//!
//! The measure is zero-shot classification as in CLIP (arXiv 2103.00020, section 3.1): each value
//! is put into words by several prompts, their unit embeddings are averaged, and a photo's value is
//! the one with the nearest words.

use serde::{Deserialize, Serialize};

use crate::evaluate::stats::classification::{Report, Rows, ZeroDivision};
use crate::train::data::attribute::Classes;
use crate::train::data::product::Product;

/// How well an attribute's values are recognized, over the products whose value is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Over all of these products and all values.
    pub accuracy: f32,
    pub macro_f1: f32,
    pub products: usize,
    /// Over those that have the thing at all, among the values other than absent.
    pub present: f32,
    pub present_macro_f1: f32,
    pub present_products: usize,
}

/// Classifies the products' photos, given their unit embeddings (`products x projection`) and those
/// of the classes; a product whose value is not among them, or not known, is left out. `None` if
/// all are, or there are no values.
#[must_use]
pub fn classify(
    classes: &Classes,
    words: &[f32],
    products: &[&Product],
    photos: &[f32],
) -> Option<Accuracy> {
    let width = words
        .len()
        .checked_div(classes.values.len())
        .filter(|&width| width > 0)?;
    let known = products.iter().zip(photos.chunks_exact(width));
    let known: Vec<(usize, &[f32])> = known
        .filter_map(|(product, photo)| {
            let label = product.label.as_deref()?;
            Some((classes.of(label)?, photo))
        })
        .collect();
    accuracy(classes, &known, |photo, without| {
        nearest(words, photo, without)
    })
}

/// Measures `predict`, which gets a member and the value that it must not choose.
fn accuracy<M: Copy>(
    classes: &Classes,
    known: &[(usize, M)],
    predict: impl Fn(M, Option<usize>) -> usize,
) -> Option<Accuracy> {
    let absent = classes.absent();
    let judge = |members: &[(usize, M)], without: Option<usize>| {
        let truth: Vec<usize> = members.iter().map(|(value, _)| *value).collect();
        let predicted: Vec<usize> = members
            .iter()
            .map(|(_, member)| predict(*member, without))
            .collect();
        Report::new(
            &truth,
            &predicted,
            &classes.values,
            Rows::Present,
            ZeroDivision::Zero,
        )
        .ok()
    };
    let all = judge(known, None)?;
    let having: Vec<(usize, M)> = known
        .iter()
        .filter(|(value, _)| Some(*value) != absent)
        .copied()
        .collect();
    let present = judge(&having, absent);
    #[expect(clippy::cast_possible_truncation, reason = "shares")]
    Some(Accuracy {
        accuracy: all.accuracy as f32,
        macro_f1: all.macro_average.f1 as f32,
        products: all.support,
        present: present.as_ref().map_or(0.0, |p| p.accuracy as f32),
        present_macro_f1: present.as_ref().map_or(0.0, |p| p.macro_average.f1 as f32),
        present_products: present.map_or(0, |p| p.support),
    })
}

/// Which of the words' embeddings a photo's is nearest to, one aside.
pub(super) fn nearest(words: &[f32], photo: &[f32], without: Option<usize>) -> usize {
    let scored = words
        .chunks_exact(photo.len())
        .enumerate()
        .filter(|(at, _)| Some(*at) != without);
    let scored =
        scored.map(|(at, word)| (word.iter().zip(photo).map(|(a, b)| a * b).sum::<f32>(), at));
    scored
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(0, |(_, at)| at)
}

/// What guessing from category and color alone reaches, without the photo: the most
/// frequent value of the training products that share both, else the category, else of all. A model
/// that learned the attribute beats it.
#[must_use]
pub fn guess(classes: &Classes, train: &[Product], products: &[&Product]) -> Option<Accuracy> {
    let place = |label: &Option<String>| classes.of(label.as_deref()?);
    let count = classes.values.len();
    let most = |like: &dyn Fn(&Product) -> bool, without: Option<usize>| {
        let mut counts = vec![0_usize; count];
        let found = train
            .iter()
            .filter(|p| like(p))
            .filter_map(|p| place(&p.label));
        found
            .filter(|at| Some(*at) != without)
            .for_each(|at| counts[at] += 1);
        // Of equals the first.
        (0..count)
            .rev()
            .max_by_key(|&at| counts[at])
            .filter(|&at| counts[at] > 0)
    };
    let guessed = |product: &Product, without: Option<usize>| {
        let (category, color) = (&product.facts.category, &product.facts.color);
        most(
            &|p| p.facts.category == *category && p.facts.color == *color,
            without,
        )
        .or_else(|| most(&|p| p.facts.category == *category, without))
        .or_else(|| most(&|_| true, without))
        .unwrap_or_default()
    };
    let known: Vec<(usize, &Product)> = products
        .iter()
        .filter_map(|p| Some((place(&p.label)?, *p)))
        .collect();
    accuracy(classes, &known, guessed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::data::attribute::{Attribute, values};
    use crate::train::data::product::Facts;
    use crate::vision::Photo;

    #[test]
    fn absent_is_a_class_of_the_one_figure_and_not_of_the_other() {
        let product = |label: Option<&str>| Product {
            id: String::new(),
            facts: Facts::default(),
            captions: Vec::new(),
            label: label.map(str::to_owned),
            square: Photo::new(1, 1),
        };
        let list = [Some("black"), Some("black"), Some("none"), None].map(product);
        let products: Vec<&Product> = list.iter().collect();
        let classes = Classes {
            attribute: Attribute::laces(),
            values: values(&list),
        };
        assert_eq!(classes.values, ["black", "none"]);
        let words = [1.0, 0.0, 0.0, 1.0];
        // The second black one looks like none: wrong among all, right among those that have laces.
        let photos = [0.9, 0.1, 0.4, 0.6, 0.0, 1.0, 0.5, 0.5];
        let found = classify(&classes, &words, &products, &photos).expect("some are known");
        assert_eq!((found.products, found.present_products), (3, 2));
        assert!(
            (found.accuracy - 2.0 / 3.0).abs() < 1e-6 && (found.present - 1.0).abs() < 1e-6,
            "{found:?}"
        );
        assert_eq!(
            classify(&classes, &words, &products[3..], &photos[6..]),
            None
        );
        let none = Classes {
            values: Vec::new(),
            ..classes
        };
        assert_eq!(classify(&none, &[], &products, &photos), None);
    }

    #[test]
    fn a_guess_goes_by_category_and_color() {
        let shoe = |category: &str, color: &str, label: &str| Product {
            id: String::new(),
            facts: Facts {
                category: category.into(),
                color: color.into(),
                ..Facts::default()
            },
            captions: Vec::new(),
            label: Some(label.into()),
            square: Photo::new(1, 1),
        };
        let train = [
            shoe("Casual", "Blue", "white"),
            shoe("Casual", "Red", "none"),
            shoe("Casual", "Red", "none"),
            shoe("Casual", "Red", "red"),
            shoe("Formal", "Black", "black"),
        ];
        let asked = [
            shoe("Casual", "Blue", "white"),
            shoe("Casual", "Red", "red"),
            shoe("Formal", "Brown", "black"),
            shoe("Boots", "Pink", "none"),
        ];
        let classes = Classes {
            attribute: Attribute::laces(),
            values: values(&train),
        };
        let found = guess(&classes, &train, &asked.iter().collect::<Vec<_>>()).expect("known");
        // Red casual shoes mostly have none; among those that have laces, red. Boots are unknown:
        // none, as most are.
        assert_eq!((found.accuracy, found.products), (0.75, 4));
        assert_eq!((found.present, found.present_products), (1.0, 3));
    }
}
