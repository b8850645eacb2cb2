//! Queries made from a catalog, for shops that have no file of what their shoppers type: brands,
//! whole titles and article numbers, as a shopper types them who knows what is wanted.
//!
//! The same catalog gives the same queries: products are taken in the order of the sha256 of their
//! ids.

use std::collections::{BTreeMap, HashMap};

use super::shopper::{ShopperQueries, ShopperQuery};
use crate::domain::{AttributeName, AttributeValue, Product, single_spaced};
use crate::util::digest::sha256_hex;

/// How many queries of each kind are made at most.
pub const BRANDS: usize = 60;
pub const TITLES: usize = 300;
pub const NUMBERS: usize = 200;
/// The longest title that a search takes, in characters.
const LONGEST: usize = 512;

impl ShopperQueries {
    /// The commonest brands (right: products of that brand), titles that one product alone has, and
    /// ids (right: that product).
    #[must_use]
    pub fn of_catalog<'a>(products: impl Iterator<Item = &'a Product> + Clone) -> Self {
        let mut queries = brands(products.clone());
        let mut order: Vec<(String, &Product)> = products
            .map(|product| (sha256_hex(product.id.as_str().as_bytes()), product))
            .collect();
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut titles: HashMap<String, usize> = HashMap::new();
        let folded = |product: &Product| single_spaced(&product.title).to_lowercase();
        for (_, product) in &order {
            *titles.entry(folded(product)).or_default() += 1;
        }
        let alone = order.iter().filter(|(_, product)| {
            titles[&folded(product)] == 1 && product.title.chars().count() <= LONGEST
        });
        queries.extend(alone.take(TITLES).map(|(_, product)| {
            ShopperQuery::of_value("title", &product.title, "id", product.id.as_str(), 1)
        }));
        // From the other end: other products than those of the titles, where there are enough.
        queries.extend(order.iter().rev().take(NUMBERS).map(|(_, product)| {
            let id = product.id.as_str();
            ShopperQuery::of_value("article number", id, "id", id, 1)
        }));
        let all: Vec<String> = queries
            .iter()
            .map(|query| format!("{}\t{}", query.kind, query.text))
            .collect();
        Self {
            sha256: sha256_hex(all.join("\n").as_bytes()),
            queries,
        }
    }
}

fn brands<'a>(products: impl Iterator<Item = &'a Product>) -> Vec<ShopperQuery> {
    let Ok(brand) = AttributeName::new("brand") else {
        return Vec::new();
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for product in products {
        let values = product.attributes.get(&brand).into_iter().flatten();
        for value in values.map(AttributeValue::as_str) {
            *counts.entry(value).or_default() += 1;
        }
    }
    let mut commonest: Vec<(&str, usize)> = counts.into_iter().collect();
    // Stable: equals stay in the order of their names.
    commonest.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let commonest = commonest.into_iter().take(BRANDS);
    commonest
        .map(|(name, count)| ShopperQuery::of_value("brand", name, "brand", name, count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProductId;

    fn product(id: &str, title: &str, brand: &str) -> Product {
        let id = ProductId::new(id).expect("id");
        let mut product = Product::new(id, title).expect("title");
        if !brand.is_empty() {
            let brand = AttributeValue::new(brand).expect("value");
            let name = AttributeName::new("brand").expect("name");
            product.attributes.insert(name, vec![brand]);
        }
        product
    }

    #[test]
    fn brands_titles_that_are_one_products_and_numbers() {
        let products = [
            product("1", "Plain  Shirt", "Acme"),
            product("2", "plain shirt", "Acme"),
            product("3", "Red Boot", "Zed"),
            product("4", "Blue Boot", ""),
        ];
        let made = ShopperQueries::of_catalog(products.iter());
        let of = |kind: &str| {
            let of = made.queries.iter().filter(|query| query.kind == kind);
            let mut texts: Vec<&str> = of.map(|query| query.text.as_str()).collect();
            texts.sort_unstable();
            texts
        };
        assert_eq!(of("brand"), ["Acme", "Zed"]);
        assert_eq!(of("title"), ["Blue Boot", "Red Boot"]);
        assert_eq!(of("article number"), ["1", "2", "3", "4"]);
        assert_eq!(made.queries[0].relevant, Some(2));
        let same = ShopperQueries::of_catalog(products.iter().rev());
        assert_eq!(same.sha256, made.sha256, "whatever the order of the file");
    }
}
