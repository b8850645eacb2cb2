//! How many of the products found carry which value.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::columns::ordinals::Ordinals;
use super::inner::Inner;
use super::lexical::text::fold;
use super::searcher::Searcher;
use super::values::{Hits, Selection};
use crate::domain::{AttributeName, Facets, Interval, ValueType, typed};

/// An attribute's values among some products.
#[derive(Clone, Debug, PartialEq)]
pub struct FacetCounts {
    pub name: AttributeName,
    pub kind: ValueType,
    /// As the shop most often writes them, with the number of products; the most frequent first.
    pub values: Vec<(String, u64)>,
    /// How many values there are, those that are not listed included.
    pub distinct: usize,
    /// The least and the greatest, of numbers and dates.
    pub bounds: Option<(f64, f64)>,
    /// The ranges asked for.
    pub ranges: Vec<(Interval, u64)>,
}

impl Searcher {
    /// How many of the products that `found` means carry each value of the attributes asked for, the
    /// most frequent first, with how many values there are in all. The filters count, but for what
    /// the attribute itself must be: so a shopper who chose one value sees what the others would
    /// bring. Where products are grouped, groups are counted.
    #[must_use]
    pub fn counts(&self, found: &Hits, facets: &Facets, selection: &Selection) -> Vec<FacetCounts> {
        let inner = &*self.inner;
        let except = inner.slots_of(&selection.exclude);
        let meant = match &found.meant {
            Some(meant) => meant - except,
            None => inner.all() - except,
        };
        let groups = selection.order.group_by.as_ref();
        let groups = groups.map(|name| inner.columns.ordinals(name));
        let counted = facets.names.iter().map(|name| {
            let others = inner.columns.matching(&selection.filters.without(name));
            let base = match others {
                Some(others) => others & &meant,
                None => meant.clone(),
            };
            inner.count_values(name, &base, facets, groups.as_deref())
        });
        counted.collect()
    }
}

impl Inner {
    fn count_values(
        &self,
        name: &AttributeName,
        base: &RoaringBitmap,
        facets: &Facets,
        groups: Option<&Ordinals>,
    ) -> FacetCounts {
        let count = |slots: &RoaringBitmap| match groups {
            None => slots.intersection_len(base),
            Some(groups) => groups.groups((slots & base).iter()) as u64,
        };
        let beginning = facets.beginnings.get(name).map(|text| fold(text));
        let listed = |spelling: &str| {
            let beginning = beginning.as_deref();
            beginning.is_none_or(|beginning| has_word(&fold(spelling), beginning))
        };
        let kind = self.columns.kind(name).unwrap_or_default();
        let values = self.columns.table().spelled(name);
        let values = values.filter(|(spelling, _)| listed(spelling));
        let mut values: Vec<(&str, u64)> = if kind == ValueType::Boolean {
            // "yes" and "true" are one value, as they are to a filter.
            let mut alike: BTreeMap<_, (&str, RoaringBitmap)> = BTreeMap::new();
            for (spelling, slots) in values {
                let key = typed::boolean(spelling).ok_or(spelling);
                let (usual, all) = alike.entry(key).or_default();
                if slots.len() > all.len() {
                    *usual = spelling;
                }
                *all |= slots;
            }
            alike
                .into_values()
                .map(|(spelling, slots)| (spelling, count(&slots)))
                .collect()
        } else {
            values
                .map(|(spelling, slots)| (spelling, count(slots)))
                .collect()
        };
        values.retain(|(_, products)| *products > 0);
        let distinct = values.len();
        let first = |a: &(&str, u64), b: &(&str, u64)| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0));
        if facets.values < values.len() {
            values.select_nth_unstable_by(facets.values, first);
            values.truncate(facets.values);
        }
        values.sort_unstable_by(first);
        let ranges = facets.ranges.get(name).into_iter().flatten();
        let ranges = ranges.filter_map(|range| {
            let within = self.columns.within(name, range);
            Some((self.columns.interval(name, range)?, count(&within)))
        });
        FacetCounts {
            name: name.clone(),
            kind,
            values: values
                .into_iter()
                .map(|(value, products)| (value.to_owned(), products))
                .collect(),
            distinct,
            bounds: self.columns.bounds(name, base),
            ranges: ranges.collect(),
        }
    }
}

/// Whether a word of `text` begins so, both folded.
fn has_word(text: &str, beginning: &str) -> bool {
    let starts = text.match_indices(beginning).map(|(at, _)| at);
    starts.into_iter().any(|at| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::has_word;

    #[test]
    fn values_are_found_by_the_beginning_of_a_word() {
        for (text, beginning) in [
            ("nike", "ni"),
            ("red tape", "ta"),
            ("d&g", "g"),
            ("nike", ""),
        ] {
            assert!(has_word(text, beginning), "{text} {beginning}");
        }
        assert!(!has_word("nike", "ike") && !has_word("", "x"));
    }
}
