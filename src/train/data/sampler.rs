//! Which products of the main list make a batch.
//!
//! By default every product is seen once an epoch, in a new order each time. To learn an attribute
//! from few labeled products, two settings help: values in more even numbers than the catalog has
//! them, and batches with products of the same category and color that differ in that attribute
//! alone.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::product::Product;
use crate::train::draws::{Purpose, Stream};

/// How the products of a batch are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// 0: values of the attribute come as often as the catalog has them; 1: equally often; between:
    /// by the power.
    pub balance: f32,
    /// Up to so many products of the same category and color with different values come together;
    /// below 2: none do.
    pub contrast: usize,
}

impl Sampling {
    /// Everything that is wrong, one line each.
    pub(in crate::train) fn problems(self) -> impl Iterator<Item = String> {
        let right = (0.0..=1.0).contains(&self.balance);
        (!right)
            .then(|| "attribute.sampling.balance is in [0, 1]".to_owned())
            .into_iter()
    }
}

/// Chooses by [`Sampling`] from one list of products.
#[derive(Clone, Debug)]
pub struct Sampler {
    seed: u64,
    count: usize,
    /// Where the draw is weighted: the weights summed up to each product.
    sums: Option<Vec<f32>>,
    /// Products of each category and color with more than one value, and which of these is each
    /// product's.
    groups: Vec<Vec<u32>>,
    group_of: Vec<Option<u32>>,
    /// The attribute's value of each product, as a number.
    values: Vec<Option<u32>>,
    contrast: usize,
}

impl Sampler {
    /// # Panics
    /// If there are more than 2^32 products.
    #[must_use]
    pub fn new(products: &[Product], sampling: Sampling, seed: u64) -> Self {
        let mut names: Vec<&str> = products.iter().filter_map(|p| p.label.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        let number = |label: &str| {
            names
                .binary_search(&label)
                .ok()
                .and_then(|at| u32::try_from(at).ok())
        };
        let values: Vec<Option<u32>> = products
            .iter()
            .map(|p| p.label.as_deref().and_then(number))
            .collect();
        let plain = sampling.balance == 0.0 && sampling.contrast < 2;
        let mut sampler = Self {
            seed,
            count: products.len(),
            sums: (!plain).then(|| summed(&values, sampling.balance)),
            groups: Vec::new(),
            group_of: vec![None; products.len()],
            values,
            contrast: sampling.contrast,
        };
        if sampling.contrast >= 2 {
            sampler.group(products);
        }
        sampler
    }

    fn group(&mut self, products: &[Product]) {
        let mut alike: HashMap<(&str, &str), Vec<u32>> = HashMap::new();
        let mut order = Vec::new();
        for (at, product) in (0_u32..).zip(products).filter(|(_, p)| p.label.is_some()) {
            let key = (
                product.facts.category.as_str(),
                product.facts.color.as_str(),
            );
            let group = alike.entry(key).or_default();
            if group.is_empty() {
                order.push(key);
            }
            group.push(at);
        }
        for key in order {
            let group = alike.remove(&key).expect("a key of this map");
            if group
                .iter()
                .any(|&at| self.values[at as usize] != self.values[group[0] as usize])
            {
                let number =
                    u32::try_from(self.groups.len()).expect("as many groups as products at most");
                for &at in &group {
                    self.group_of[at as usize] = Some(number);
                }
                self.groups.push(group);
            }
        }
    }

    /// The `count` products of a step, the same each time.
    ///
    /// # Panics
    /// If there are no products.
    #[must_use]
    pub fn pick(&self, step: u64, count: usize) -> Vec<u32> {
        let Some(sums) = &self.sums else {
            return self.in_turn(step, count);
        };
        let mut draws = Stream::new(self.seed, Purpose::Sample, step);
        let mut chosen: Vec<u32> = Vec::with_capacity(count);
        while chosen.len() < count {
            let first = weighted(sums, &mut draws);
            chosen.push(first);
            let Some(group) = self.group_of[first as usize] else {
                continue;
            };
            let mut seen = vec![self.values[first as usize]];
            let mut others: Vec<u32> = self.groups[group as usize].clone();
            draws.shuffle(&mut others);
            for other in others {
                if seen.len() >= self.contrast || chosen.len() >= count {
                    break;
                }
                let value = self.values[other as usize];
                if !seen.contains(&value) {
                    seen.push(value);
                    chosen.push(other);
                }
            }
        }
        chosen
    }

    /// Every product once an epoch, in a new order.
    fn in_turn(&self, step: u64, count: usize) -> Vec<u32> {
        let steps = (self.count / count).max(1) as u64;
        let mut order: Vec<u32> =
            (0..u32::try_from(self.count).expect("fewer than 2^32 products")).collect();
        Stream::new(self.seed, Purpose::Order, step / steps).shuffle(&mut order);
        let at = usize::try_from(step % steps).expect("below a count") * count;
        (0..count).map(|i| order[(at + i) % order.len()]).collect()
    }
}

/// Weights of 1 / frequency^balance, summed up; a product without a value counts as of one more
/// value.
#[expect(clippy::cast_precision_loss, reason = "counts of products")]
fn summed(values: &[Option<u32>], balance: f32) -> Vec<f32> {
    let mut counts: HashMap<Option<u32>, usize> = HashMap::new();
    for value in values {
        *counts.entry(*value).or_default() += 1;
    }
    let mut sum = 0.0;
    let weights = values
        .iter()
        .map(|value| (counts[value] as f32).powf(-balance));
    weights
        .map(|weight| {
            sum += weight;
            sum
        })
        .collect()
}

fn weighted(sums: &[f32], draws: &mut Stream) -> u32 {
    let at = draws.unit() * sums.last().copied().expect("there are products");
    u32::try_from(sums.partition_point(|&sum| sum <= at).min(sums.len() - 1))
        .expect("fewer than 2^32 products")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::data::product::Facts;
    use crate::vision::Photo;

    fn shoe(at: usize, category: &str, color: &str, label: Option<&str>) -> Product {
        let facts = Facts {
            category: category.into(),
            color: color.into(),
            ..Facts::default()
        };
        let label = label.map(str::to_owned);
        Product {
            id: at.to_string(),
            facts,
            captions: Vec::new(),
            label,
            square: Photo::new(1, 1),
        }
    }

    /// 90 shoes with black laces, 10 with red ones, half of each casual.
    fn shoes() -> Vec<Product> {
        let laces = |at| if at < 90 { "black" } else { "red" };
        let category = |at| {
            if at % 2 == 0 {
                "Casual Shoes"
            } else {
                "Sports Shoes"
            }
        };
        (0..100)
            .map(|at| shoe(at, category(at), "Blue", Some(laces(at))))
            .collect()
    }

    #[test]
    fn an_epoch_sees_every_product_once() {
        let sampler = Sampler::new(&shoes(), Sampling::default(), 1);
        let epoch = |from| {
            let mut seen: Vec<u32> = (from..from + 5)
                .flat_map(|step| sampler.pick(step, 20))
                .collect();
            let order = seen.clone();
            seen.sort_unstable();
            assert_eq!(seen, (0..100).collect::<Vec<u32>>());
            order
        };
        assert_ne!(epoch(0), epoch(5));
        assert_eq!(sampler.pick(3, 20), sampler.pick(3, 20));
    }

    #[test]
    fn balance_evens_out_the_values() {
        let products = shoes();
        let red = |balance| {
            let sampler = Sampler::new(
                &products,
                Sampling {
                    balance,
                    contrast: 0,
                },
                1,
            );
            let drawn = (0..200).flat_map(|step| sampler.pick(step, 50));
            drawn
                .filter(|&at| products[at as usize].label.as_deref() == Some("red"))
                .count()
        };
        // Of 10,000: a half, and by the square root 1/4 (a weight of 1 against 3, at 10 against
        // 90).
        assert!(
            (4700..5300).contains(&red(1.0)) && (2300..2700).contains(&red(0.5)),
            "{} {}",
            red(1.0),
            red(0.5)
        );
    }

    #[test]
    fn contrast_brings_products_together_that_differ_in_the_value_alone() {
        let mut products = shoes();
        products.push(shoe(100, "Boots", "Blue", Some("black")));
        products.push(shoe(101, "Casual Shoes", "Blue", None));
        let sampler = Sampler::new(
            &products,
            Sampling {
                balance: 0.0,
                contrast: 2,
            },
            1,
        );
        let mut pairs = 0;
        for step in 0..100 {
            let mut chosen = sampler
                .pick(step, 30)
                .into_iter()
                .map(|at| &products[at as usize])
                .peekable();
            while let Some(first) = chosen.next() {
                let partner = |other: &&Product| {
                    other.facts == first.facts
                        && other.label.is_some()
                        && other.label != first.label
                };
                if first.label.is_some()
                    && first.facts.category != "Boots"
                    && chosen.peek().is_some()
                {
                    let other = chosen.next().expect("peeked");
                    assert!(partner(&other), "{first:?} {other:?}");
                    pairs += 1;
                }
            }
        }
        assert!(pairs > 1000);
    }
}
