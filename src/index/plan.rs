//! Which products may answer a search, and which way of finding the nearest of them is cheaper.

use roaring::RoaringBitmap;

use super::vectors::Density;

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

    /// As a set.
    #[must_use]
    pub fn bitmap(&self) -> RoaringBitmap {
        match self {
            Self::All { count, except } => {
                let mut all = RoaringBitmap::new();
                all.insert_range(0..*count);
                all - except
            }
            Self::Some(slots) => slots.clone(),
        }
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

/// How many scores of a scan cost as much as an unfiltered walk of the graph, with one vector a product
/// (measured, see [`plan`]).
const WALK: u64 = 3_000;

/// The cheaper plan for `matching` candidates of `total` products.
///
/// A scan scores each vector of each candidate. A walk that keeps one product in `s` must look at `s`
/// times as many nodes before it has kept enough, so it costs `WALK * total / matching` scores; with
/// several vectors a product it looks for more nodes ([`Density::walked`]) and costs so many times as
/// much. The scan is chosen while it costs less.
///
/// Measured with 100,000 vectors of 512 dimensions (docs/benchmarks.md): a score of a scan takes
/// about 0.2 microseconds and an unfiltered walk 0.56 ms; they meet where some 17% match, which is
/// what 3,000 says. For 41,615 products that is at 27%, for a million at 5.5%. Near the border both
/// cost about the same, and the scan is exact.
#[must_use]
pub fn plan(total: usize, matching: usize, density: Density) -> Plan {
    plan_where(WALK, total, matching, density)
}

/// The same where an unfiltered walk costs as much as so many scores.
pub(super) fn plan_where(cost: u64, total: usize, matching: usize, density: Density) -> Plan {
    let (total, matching) = (total as u128, matching as u128);
    let scan = matching.saturating_mul(u128::from(density.vectors));
    let walk = total.saturating_mul(walk(cost, density));
    if matching.saturating_mul(scan) <= walk {
        Plan::Scan
    } else {
        Plan::Graph
    }
}

/// What an unfiltered walk costs, in scores of a scan and for as many products as have a vector: a
/// scan costs `matching * density.vectors` then.
fn walk(cost: u64, density: Density) -> u128 {
    u128::from(cost) * u128::from(density.walked()) * u128::from(density.products)
}

/// Nodes that a walk has looked at before it judges its surroundings.
const FIRST_LOOK: u32 = 1_000;

/// Whether a walk that has looked at `seen` nodes near the query, `passed` of them candidates, goes
/// on: [`plan`] asked again, with the share that matches near the query in place of the share that
/// matches overall.
///
/// A filter that has nothing to do with the query ("red shoes" among T-shirts) lets half of all
/// products pass and none of those near the query. Such a walk looks at most of the graph: over
/// 1,000,000 products 214 ms at the median where a scan of the 16% that matched took 32.
#[must_use]
pub fn goes_on(seen: u32, passed: u32, matching: usize, density: Density) -> bool {
    goes_on_where(WALK, (seen, passed), matching, density)
}

/// The same where an unfiltered walk costs as much as so many scores.
pub(super) fn goes_on_where(
    cost: u64,
    (seen, passed): (u32, u32),
    matching: usize,
    density: Density,
) -> bool {
    let scan = (matching as u128).saturating_mul(u128::from(density.vectors));
    seen < FIRST_LOOK
        || walk(cost, density).saturating_mul(u128::from(seen))
            <= scan.saturating_mul(u128::from(passed) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_leave_out_what_is_excluded() {
        let slots = |slots: &[u32]| slots.iter().copied().collect::<RoaringBitmap>();
        let all = Candidates::new(4, None, slots(&[2, 9]));
        assert_eq!(
            (all.len(), all.slots().collect::<Vec<_>>()),
            (3, vec![0, 1, 3])
        );
        assert_eq!(all.bitmap().iter().collect::<Vec<_>>(), [0, 1, 3]);
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
    fn a_walk_that_meets_no_candidate_ends() {
        let one = Density::ONE;
        assert!(goes_on(10, 0, 160_000, one), "too early to tell");
        assert!(!goes_on(1_000, 0, 160_000, one));
        // As many near the query as everywhere: 16% of a million.
        assert!(goes_on(1_000, 160, 160_000, one));
        assert!(goes_on(50_000, 8_000, 160_000, one));
        assert!(!goes_on(50_000, 100, 160_000, one));
        // Half of a million match, a hundredth of those near.
        assert!(goes_on(2_000, 20, 500_000, one));
    }

    #[test]
    fn few_are_scanned_and_most_are_walked_to() {
        let one = Density::ONE;
        assert_eq!(plan(0, 0, one), Plan::Scan);
        assert_eq!(plan(500, 500, one), Plan::Scan);
        assert_eq!(plan(100_000, 1_000, one), Plan::Scan);
        assert_eq!(plan(100_000, 50_000, one), Plan::Graph);
        assert_eq!(plan(100_000, 100_000, one), Plan::Graph);
        assert_eq!(
            plan(usize::MAX, usize::MAX, one),
            plan(usize::MAX, usize::MAX, one),
            "no overflow"
        );
    }

    #[test]
    fn several_vectors_make_scan_and_walk_dearer_alike() {
        let of = |products, vectors| Density { products, vectors };
        for matching in [100, 17_000, 17_400, 50_000] {
            let one = plan(100_000, matching, Density::ONE);
            assert_eq!(plan(100_000, matching, of(90_000, 90_000)), one);
            assert_eq!(plan(100_000, matching, of(90_000, 270_000)), one);
        }
        // With few vectors more, a walk looks for twice as many nodes, and a scan scores few more.
        assert_eq!(plan(100_000, 20_000, Density::ONE), Plan::Graph);
        assert_eq!(plan(100_000, 20_000, of(100_000, 110_000)), Plan::Scan);
        assert_eq!(plan(100_000, 30_000, of(100_000, 110_000)), Plan::Graph);
        // With very many, a walk looks for no more, and a scan scores them all.
        assert_eq!(plan(100_000, 15_000, of(100_000, 800_000)), Plan::Graph);
        // What a walk is asked after each node says the same of all products as the plan does.
        for density in [
            of(90_000, 270_000),
            of(100_000, 110_000),
            of(100_000, 800_000),
        ] {
            for matching in [8_000, 15_000, 20_000, 30_000] {
                let goes_on = goes_on(100_000, matching, matching as usize, density);
                let plan = plan(100_000, matching as usize, density);
                assert_eq!(goes_on, plan == Plan::Graph, "{density:?} {matching}");
            }
        }
    }
}
