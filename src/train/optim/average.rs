//! The averaged weights of a run: an exponential mean over its steps. They are what is validated and
//! exported.

use rayon::prelude::*;

use crate::train::net::parameters::Parameters;
use crate::util::simd::vectorized;

/// Moves the averaged weights towards the present ones: `keep` of theirs stays.
pub fn average(average: &mut Parameters, now: &Parameters, keep: f32) {
    average
        .0
        .par_iter_mut()
        .zip(&now.0)
        .for_each(|(average, now)| {
            vectorized(
                #[inline(always)]
                || {
                    for (a, &w) in average.values.iter_mut().zip(&now.values) {
                        *a += (w - *a) * (1.0 - keep);
                    }
                },
            );
        });
}
