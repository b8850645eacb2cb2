//! Attribute filters: which products may answer, exactly, and which way of searching finds them
//! cheaper.
//!
//! Every value of every attribute has a bitmap of the slots that carry it. A question is answered
//! by OR within an attribute and AND across attributes, so the set of products that match is known
//! before the search: the search never guesses how many there are, and never finds fewer than it
//! should because others were in the way.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::Facet;
use crate::domain::{AttributeName, Attributes, Filters};

/// Which slots carry which value of which attribute.
#[derive(Debug, Default, PartialEq)]
pub struct AttributeTable(pub(super) BTreeMap<AttributeName, BTreeMap<String, Carriers>>);

/// The products that carry a value (see
/// [`AttributeValue::folded`](crate::domain::AttributeValue::folded)).
#[derive(Debug, PartialEq)]
pub(super) struct Carriers {
    /// How the shop most often writes the value; of two ways equally frequent, the one that sorts
    /// first.
    pub spelling: String,
    pub slots: RoaringBitmap,
}

impl AttributeTable {
    /// `products` in the order of their slots. O(values in all).
    pub fn build<'a>(products: impl Iterator<Item = &'a Attributes>) -> Self {
        #[derive(Default)]
        struct Found<'a> {
            spellings: BTreeMap<&'a str, usize>,
            slots: RoaringBitmap,
        }
        let mut found: BTreeMap<&AttributeName, BTreeMap<String, Found<'a>>> = BTreeMap::new();
        for (slot, attributes) in (0_u32..).zip(products) {
            for (name, values) in attributes {
                let of_name = found.entry(name).or_default();
                for value in values {
                    let of_value = of_name.entry(value.folded()).or_default();
                    *of_value.spellings.entry(value.as_str()).or_default() += 1;
                    of_value.slots.insert(slot);
                }
            }
        }
        let carriers = |Found { spellings, slots }: Found<'a>| {
            // `max_by_key` takes the last of equals: reversed, that is the one that sorts first.
            let spelling = spellings
                .iter()
                .rev()
                .max_by_key(|(_, n)| **n)
                .map_or("", |(s, _)| s);
            Carriers {
                spelling: spelling.to_owned(),
                slots,
            }
        };
        Self(
            found
                .into_iter()
                .map(|(name, values)| {
                    (
                        name.clone(),
                        values.into_iter().map(|(v, f)| (v, carriers(f))).collect(),
                    )
                })
                .collect(),
        )
    }

    /// The slots that match; `None` when nothing is asked for and every slot does. An attribute or
    /// a value that no product has matches none. Costs some microseconds for 100,000 products.
    #[must_use]
    pub fn matching(&self, filters: &Filters) -> Option<RoaringBitmap> {
        let mut matching: Option<RoaringBitmap> = None;
        for (name, wanted) in filters.iter() {
            let known = self.0.get(name);
            let any = wanted.iter().filter_map(|value| known?.get(value)).fold(
                RoaringBitmap::new(),
                |mut any, c| {
                    any |= &c.slots;
                    any
                },
            );
            matching = Some(match matching {
                None => any,
                Some(all) => all & any,
            });
        }
        matching
    }

    /// The slots that carry each of an attribute's values, in the order of the values; none of an
    /// unknown attribute.
    pub(super) fn carriers(&self, name: &str) -> impl Iterator<Item = &RoaringBitmap> {
        let values = self
            .0
            .iter()
            .find(|(own, _)| own.as_str() == name)
            .map(|(_, values)| values);
        values
            .into_iter()
            .flat_map(|values| values.values().map(|carriers| &carriers.slots))
    }

    /// Each attribute with its values as the shop writes them and the number of products that carry
    /// each; the most frequent value first, of equals the one that sorts first.
    #[must_use]
    pub fn facets(&self) -> Vec<Facet> {
        let facet = |(name, values): (&AttributeName, &BTreeMap<String, Carriers>)| {
            let mut values: Vec<_> = values
                .values()
                .map(|c| (c.spelling.clone(), c.slots.len()))
                .collect();
            values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            Facet {
                name: name.clone(),
                values,
            }
        };
        self.0.iter().map(facet).collect()
    }
}

/// The slots that may answer a search.
#[derive(Clone, Debug)]
pub enum Candidates {
    /// All of `count` slots but these.
    All {
        count: u32,
        except: RoaringBitmap,
    },
    Some(RoaringBitmap),
}

impl Candidates {
    /// Those of `count` slots that are in `matching` (`None`: all), without `except`.
    #[must_use]
    pub fn new(count: u32, matching: Option<RoaringBitmap>, mut except: RoaringBitmap) -> Self {
        match matching {
            None => {
                except.remove_range(count..);
                Self::All { count, except }
            }
            Some(slots) => Self::Some(slots - except),
        }
    }

    /// Those that are among `slots`, too.
    #[must_use]
    pub fn among(&self, slots: &RoaringBitmap) -> Self {
        Self::Some(match self {
            Self::All { except, .. } => slots - except,
            Self::Some(own) => own & slots,
        })
    }

    /// Those that are not among `slots`.
    #[must_use]
    pub fn without(&self, slots: &RoaringBitmap) -> Self {
        match self {
            Self::All { count, except } => Self::All {
                count: *count,
                except: except | slots,
            },
            Self::Some(own) => Self::Some(own - slots),
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::All { count, except } => {
                *count as usize - usize::try_from(except.len()).unwrap_or(*count as usize)
            }
            Self::Some(slots) => usize::try_from(slots.len()).unwrap_or(usize::MAX),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Never panics: the vector library calls it where a panic would abort the process.
    #[must_use]
    pub fn contains(&self, slot: u32) -> bool {
        match self {
            Self::All { count, except } => slot < *count && !except.contains(slot),
            Self::Some(slots) => slots.contains(slot),
        }
    }

    /// In ascending order.
    #[must_use]
    pub fn slots(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Self::All { count, except } => {
                Box::new((0..*count).filter(|slot| !except.contains(*slot)))
            }
            Self::Some(slots) => Box::new(slots.iter()),
        }
    }
}

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Score every candidate: exact, and cheap when they are few.
    Scan,
    /// Walk the graph, keeping what is a candidate: approximate, and cheap when most are.
    Graph,
}

/// How many scores of a scan cost as much as an unfiltered walk of the graph (measured, see
/// [`plan`]).
const WALK: u64 = 3_000;

/// The cheaper plan for `matching` candidates of `total` products.
///
/// A scan scores each candidate. A walk that keeps one product in `s` must look at `s` times as
/// many nodes before it has kept enough, so it costs `WALK * total / matching` scores. The scan is
/// chosen while `matching` is below that.
///
/// Measured with 100,000 vectors of 512 dimensions (docs/benchmarks.md): a score of a scan takes
/// about 0.2 microseconds and an unfiltered walk 0.56 ms; they meet where some 17% match, which is
/// what 3,000 says. For 41,615 products that is at 27%, for a million at 5.5%. Near the border both
/// cost about the same, and the scan is exact.
#[must_use]
pub fn plan(total: usize, matching: usize) -> Plan {
    let (total, matching) = (total as u64, matching as u64);
    if matching.saturating_mul(matching) <= WALK.saturating_mul(total) {
        Plan::Scan
    } else {
        Plan::Graph
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AttributeValue;

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        let mut all = Attributes::new();
        for (name, value) in pairs {
            let name = AttributeName::new(name).expect("a name");
            all.entry(name)
                .or_default()
                .push(AttributeValue::new(value).expect("a value"));
        }
        all
    }

    fn table() -> AttributeTable {
        let products = [
            attributes(&[("color", "Black"), ("gender", "Men")]),
            attributes(&[("color", "BLACK"), ("gender", "Women")]),
            attributes(&[("color", "Black"), ("color", "White"), ("gender", "Men")]),
            attributes(&[("color", "white"), ("color", "White")]),
            attributes(&[]),
        ];
        AttributeTable::build(products.iter())
    }

    fn matching(pairs: &[(&str, &str)]) -> Option<Vec<u32>> {
        let filters = attributes(pairs)
            .into_iter()
            .flat_map(|(n, vs)| vs.into_iter().map(move |v| (n.clone(), v)));
        let filters = Filters::new(filters).expect("few");
        table()
            .matching(&filters)
            .map(|slots| slots.iter().collect())
    }

    #[test]
    fn or_within_an_attribute_and_across() {
        assert_eq!(matching(&[]), None);
        assert_eq!(matching(&[("color", "black")]), Some(vec![0, 1, 2]));
        assert_eq!(
            matching(&[("color", "black"), ("color", "WHITE")]),
            Some(vec![0, 1, 2, 3])
        );
        assert_eq!(
            matching(&[("color", "black"), ("gender", "men")]),
            Some(vec![0, 2])
        );
        assert_eq!(
            matching(&[("color", "black"), ("gender", "nobody")]),
            Some(vec![])
        );
        assert_eq!(matching(&[("heel", "flat")]), Some(vec![]));
    }

    #[test]
    fn facets_count_products_and_keep_the_usual_spelling() {
        let facets = table().facets();
        let color = facets
            .iter()
            .find(|f| f.name.as_str() == "color")
            .expect("color");
        // Slot 3 carries white twice, in two spellings, and counts once; "White" is written twice,
        // "white" once.
        assert_eq!(
            color.values,
            [("Black".to_owned(), 3), ("White".to_owned(), 2)]
        );
        let gender = facets
            .iter()
            .find(|f| f.name.as_str() == "gender")
            .expect("gender");
        assert_eq!(
            gender.values,
            [("Men".to_owned(), 2), ("Women".to_owned(), 1)]
        );
    }

    #[test]
    fn of_two_spellings_equally_frequent_the_first_in_order() {
        let products = [
            attributes(&[("color", "red")]),
            attributes(&[("color", "Red")]),
        ];
        assert_eq!(
            AttributeTable::build(products.iter()).facets()[0].values,
            [("Red".to_owned(), 2)]
        );
    }

    #[test]
    fn candidates_leave_out_what_is_excluded() {
        let slots = |slots: &[u32]| slots.iter().copied().collect::<RoaringBitmap>();
        let all = Candidates::new(4, None, slots(&[2, 9]));
        assert_eq!(
            (all.len(), all.slots().collect::<Vec<_>>()),
            (3, vec![0, 1, 3])
        );
        assert!(!all.contains(2) && all.contains(3) && !all.contains(4));
        assert_eq!(Candidates::new(4, None, slots(&[9])).len(), 4);
        let some = Candidates::new(4, Some(slots(&[1, 2])), slots(&[2]));
        assert_eq!((some.len(), some.slots().collect::<Vec<_>>()), (1, vec![1]));
        assert!(Candidates::new(0, None, slots(&[])).is_empty());
        for candidates in [all, Candidates::new(4, Some(slots(&[0, 1, 3])), slots(&[]))] {
            let of = |c: Candidates| c.slots().collect::<Vec<_>>();
            assert_eq!(of(candidates.among(&slots(&[1, 2, 3]))), [1, 3]);
            assert_eq!(of(candidates.without(&slots(&[1, 2]))), [0, 3]);
        }
    }

    #[test]
    fn few_are_scanned_and_most_are_walked_to() {
        assert_eq!(plan(0, 0), Plan::Scan);
        assert_eq!(plan(500, 500), Plan::Scan);
        assert_eq!(plan(100_000, 1_000), Plan::Scan);
        assert_eq!(plan(100_000, 50_000), Plan::Graph);
        assert_eq!(plan(100_000, 100_000), Plan::Graph);
        assert_eq!(
            plan(usize::MAX, usize::MAX),
            plan(usize::MAX, usize::MAX),
            "no overflow"
        );
    }
}
