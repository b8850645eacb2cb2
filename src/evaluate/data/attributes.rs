//! What products carry, letter case aside.

use std::collections::BTreeMap;

use crate::domain::{AttributeName, AttributeValue, Attributes, Product};

/// Whether one of the values of the attribute `name` is `wanted`.
#[must_use]
pub fn has_value(attributes: &Attributes, name: &AttributeName, wanted: &AttributeValue) -> bool {
    let wanted = wanted.folded();
    attributes
        .get(name)
        .is_some_and(|values| values.iter().any(|v| v.folded() == wanted))
}

/// The values of an attribute, each once as it is written first, in alphabetical order.
pub fn values<'a>(
    products: impl Iterator<Item = &'a Product>,
    name: &AttributeName,
) -> Vec<AttributeValue> {
    let mut found = BTreeMap::new();
    for value in products.filter_map(|p| p.attributes.get(name)).flatten() {
        found.entry(value.folded()).or_insert_with(|| value.clone());
    }
    found.into_values().collect()
}
