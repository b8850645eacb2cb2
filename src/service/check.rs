//! Whether a query asks for what the products have.

use super::error::ServiceError;
use crate::domain::{
    AttributeName, Condition, Filters, KnownAttributes, Query, Range, Test, ValueType, is_field,
    typed,
};
use crate::index::Facet;

/// A misspelled attribute is an error, not an empty page; so is a range of what has no order. Before
/// anything is indexed, nothing is known, and nothing is misspelled.
///
/// # Errors
/// [`ServiceError::UnknownAttribute`], [`ServiceError::NoRange`], [`ServiceError::NoGroup`].
pub fn attributes(
    facets: &[Facet],
    known: &KnownAttributes,
    query: &Query,
) -> Result<(), ServiceError> {
    if let Some(name) = query
        .order
        .group_by
        .as_ref()
        .filter(|n| is_field(n.as_str()))
    {
        return Err(ServiceError::NoGroup {
            name: name.to_string(),
        });
    }
    if facets.is_empty() {
        return Ok(());
    }
    filters(facets, known, &query.filters)?;
    let named = query.facets.names.iter();
    let named = named
        .chain(query.order.names())
        .chain(&query.order.group_by);
    for name in named {
        is_there(facets, known, name)?;
    }
    for (name, ranges) in &query.facets.ranges {
        for range in ranges {
            has_range(facets, name, range)?;
        }
    }
    Ok(())
}

/// [`attributes`], of filters alone.
///
/// # Errors
/// [`ServiceError::UnknownAttribute`], [`ServiceError::NoRange`].
pub fn filters(
    facets: &[Facet],
    known: &KnownAttributes,
    filters: &Filters,
) -> Result<(), ServiceError> {
    if facets.is_empty() {
        return Ok(());
    }
    for (name, _) in filters.iter() {
        is_there(facets, known, name)?;
    }
    for (name, Condition { any, none }) in filters.iter() {
        for test in any.iter().chain(none) {
            match test {
                Test::Within(range) if is_value(facets, name, &range.to_string()) => {}
                Test::Within(range) => has_range(facets, name, range)?,
                Test::Value(value) if is_field(name.as_str()) => {
                    let exact = Range::new(Some(value), Some(value));
                    let wrong = || no_range(name, kind(facets, name), value);
                    has_range(facets, name, &exact.map_err(|_| wrong())?)?;
                }
                Test::Value(_) | Test::Present => {}
            }
        }
    }
    Ok(())
}

fn is_there(
    facets: &[Facet],
    known: &KnownAttributes,
    name: &AttributeName,
) -> Result<(), ServiceError> {
    let carried = facets.iter().any(|facet| facet.name == *name);
    if carried || known.shown.contains(name) || is_field(name.as_str()) {
        return Ok(());
    }
    Err(ServiceError::UnknownAttribute {
        name: name.to_string(),
        known: facets.iter().map(|facet| facet.name.to_string()).collect(),
    })
}

/// Whether a text that is written like a range is a value of the attribute.
fn is_value(facets: &[Facet], name: &AttributeName, text: &str) -> bool {
    let facet = facets.iter().find(|facet| facet.name == *name);
    let values = facet.into_iter().flat_map(|facet| &facet.values);
    let folded = text.to_lowercase();
    values
        .into_iter()
        .any(|(value, _)| value.to_lowercase() == folded)
}

fn kind(facets: &[Facet], name: &AttributeName) -> Option<ValueType> {
    let seen = facets.iter().find(|facet| facet.name == *name);
    let seen = seen.map(|facet| facet.kind);
    typed::field_type(name.as_str()).or(seen)
}

fn has_range(facets: &[Facet], name: &AttributeName, range: &Range) -> Result<(), ServiceError> {
    let kind = kind(facets, name);
    let good = match kind {
        Some(ValueType::Number) => range.numbers().is_some(),
        Some(ValueType::Date) => range.dates().is_some(),
        Some(ValueType::Text | ValueType::Boolean) => false,
        // Known, and no product has one.
        None => true,
    };
    if good {
        return Ok(());
    }
    Err(no_range(name, kind, &range.to_string()))
}

fn no_range(name: &AttributeName, kind: Option<ValueType>, range: &str) -> ServiceError {
    ServiceError::NoRange {
        name: name.to_string(),
        kind: kind.unwrap_or_default(),
        range: range.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Ask, AttributeValue, Facets, Filters, Order, SortBy, SortKey, Window, WordSearch,
    };

    fn name(name: &str) -> AttributeName {
        AttributeName::new(name).expect("a name")
    }

    fn query(filters: Filters) -> Query {
        Query {
            ask: Ask::All,
            filters,
            exclude: Vec::new(),
            window: Window::new(1, 0).expect("small"),
            order: Order::default(),
            facets: Facets::default(),
            words: WordSearch::default(),
            explain: false,
        }
    }

    fn facets(carried: &[(&str, ValueType)]) -> Vec<Facet> {
        let facet = |(carried, kind): &(&str, ValueType)| Facet {
            name: name(carried),
            kind: *kind,
            values: vec![("x".to_owned(), 1)],
            bounds: None,
        };
        carried.iter().map(facet).collect()
    }

    #[test]
    fn a_misspelled_attribute_is_an_error_once_there_are_products() {
        let check = |asked: &str, carried: &[(&str, ValueType)]| {
            let value = AttributeValue::new("x").expect("a value");
            let filters = Filters::new([(name(asked), value)]).expect("few");
            attributes(
                &facets(carried),
                &KnownAttributes::default(),
                &query(filters),
            )
        };
        let text = ValueType::Text;
        assert!(check("heel_height", &[]).is_ok());
        assert!(check("heel_height", &[("category", text), ("heel_height", text)]).is_ok());
        assert!(
            check("shoelace_color", &[("category", text)]).is_ok(),
            "known"
        );
        let wrong = check("colour", &[("category", text), ("color", text)]);
        let Err(ServiceError::UnknownAttribute { name, known }) = wrong else {
            panic!("{wrong:?}");
        };
        assert_eq!((name.as_str(), known.len()), ("colour", 2));
    }

    #[test]
    fn ranges_are_of_numbers_and_dates() {
        let carried = [("size", ValueType::Text), ("heel", ValueType::Number)];
        let check = |of: &str, range: &str| {
            let range = Range::parse(range).expect("a range").expect("good");
            let filters = Filters::of([(name(of), Test::Within(range), true)]).expect("one");
            attributes(
                &facets(&carried),
                &KnownAttributes::default(),
                &query(filters),
            )
        };
        assert!(check("heel", "1..2").is_ok() && check("price", "1..2").is_ok());
        assert!(check("created", "2026-01-01..").is_ok());
        assert!(
            check("shoelace_color", "1..2").is_ok(),
            "known, and nobody has one"
        );
        for (of, range) in [
            ("size", "1..2"),
            ("heel", "2026-01-01.."),
            ("created", "1.."),
        ] {
            let wrong = check(of, range);
            assert!(
                matches!(wrong, Err(ServiceError::NoRange { .. })),
                "{of} {wrong:?}"
            );
        }
    }

    #[test]
    fn sorts_and_groups_are_of_what_is_there() {
        let check = |order: Order| {
            let query = Query {
                order,
                ..query(Filters::default())
            };
            let carried = facets(&[("style", ValueType::Text)]);
            attributes(&carried, &KnownAttributes::default(), &query)
        };
        let sorted = |by: &str| Order {
            keys: vec![SortKey {
                by: SortBy::Attribute(name(by)),
                descending: false,
            }],
            ..Order::default()
        };
        assert!(check(sorted("style")).is_ok() && check(sorted("price")).is_ok());
        assert!(matches!(
            check(sorted("stile")),
            Err(ServiceError::UnknownAttribute { .. })
        ));
        let grouped = |by: &str| Order {
            group_by: Some(name(by)),
            ..Order::default()
        };
        assert!(check(grouped("style")).is_ok());
        assert!(matches!(
            check(grouped("price")),
            Err(ServiceError::NoGroup { .. })
        ));
    }
}
