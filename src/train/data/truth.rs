//! Which captions of a batch are true of which of its photos.

/// Which pairs of a batch belong together: `rows x columns`, 1 where they do.
///
/// A caption such as "blue tshirts" is true of every blue T-shirt in the batch. To treat the others
/// as wrong answers (as the plain loss of CLIP does) teaches the model to tell apart what the words
/// do not; so all of them count as right answers, each with an equal share (UniCL, arXiv
/// 2204.03610; SupCon, arXiv 2004.11362).
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    pub rows: usize,
    pub columns: usize,
    pub pairs: Vec<f32>,
}

impl Truth {
    /// # Panics
    /// If a row or a column belongs to nothing: it would have no right answer.
    #[must_use]
    pub fn new(rows: usize, columns: usize, belongs: impl Fn(usize, usize) -> bool) -> Self {
        let pairs: Vec<f32> = (0..rows * columns)
            .map(|at| f32::from(u8::from(belongs(at / columns, at % columns))))
            .collect();
        let truth = Self {
            rows,
            columns,
            pairs,
        };
        assert!(
            truth.shares(true).iter().all(|s| s.is_finite()),
            "a row without a partner"
        );
        assert!(
            truth.shares(false).iter().all(|s| s.is_finite()),
            "a column without a partner"
        );
        truth
    }

    /// The pairs with each row (or each column) summing to one.
    pub(in crate::train) fn shares(&self, by_row: bool) -> Vec<f32> {
        let group = |at: usize| {
            if by_row {
                at / self.columns
            } else {
                at % self.columns
            }
        };
        let mut sums = vec![0.0_f32; if by_row { self.rows } else { self.columns }];
        for (at, &pair) in self.pairs.iter().enumerate() {
            sums[group(at)] += pair;
        }
        self.pairs
            .iter()
            .enumerate()
            .map(|(at, &pair)| pair / sums[group(at)])
            .collect()
    }
}
