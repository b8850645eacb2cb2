//! Reproducible random numbers: every draw of training comes from a stream named by the seed, a
//! purpose and a number (the step, the epoch), so that a run taken up again draws what the unbroken
//! run would have drawn.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

/// What a stream is for; two purposes never share draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Weights,
    Order,
    Batch,
    Vocabulary,
    Sample,
    Adapters,
}

impl Stream {
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose, number: u64) -> Self {
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = match purpose {
            Purpose::Weights => 1,
            Purpose::Order => 2,
            Purpose::Batch => 3,
            Purpose::Vocabulary => 4,
            Purpose::Sample => 5,
            Purpose::Adapters => 6,
        };
        key[16..24].copy_from_slice(&number.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in 0..1.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit a float exactly")]
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / 16_777_216.0
    }

    /// Uniform between `low` and `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..count`.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        assert!(count > 0, "nothing to choose from");
        // The bias of the multiplication is below count / 2^64.
        usize::try_from((u128::from(self.0.next_u64()) * count as u128) >> 64).expect("below count")
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// A normal number of mean 0 and deviation 1 (Box and Muller).
    #[expect(clippy::cast_possible_truncation, reason = "24 bits are wanted")]
    pub fn normal(&mut self) -> f32 {
        let mut uniform = || (f64::from(self.0.next_u32()) + 0.5) / 4_294_967_296.0;
        let (u, v) = (uniform(), uniform());
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}
