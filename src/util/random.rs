//! Reproducible random numbers: SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom
//! Number Generators", OOPSLA 2014). Written here because drawn catalogs and intervals must stay
//! the same to the byte however the crates around them change. Not for secrets.

/// A stream of random numbers, decided by its seed alone.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream of one item: streams of neighboring items have nothing in common.
    #[must_use]
    pub fn of(seed: u64, index: u64) -> Self {
        let mut outer = Self(seed ^ 0xA61E_7000_0000_0001);
        let base = outer.number();
        let mut inner = Self(base ^ index.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        Self(inner.number())
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "24 bits fit an f32 exactly")]
        let bits = (self.number() >> 40) as f32;
        bits / 16_777_216.0
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// A number below `n` (which must not be 0), each as likely up to 2^-64 * n.
    pub fn below(&mut self, n: usize) -> usize {
        let wide = u128::from(self.number()) * (n as u128);
        // Below n, so that it fits.
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// One of the choices, each as likely as the others.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the remainder is below a slice's length"
        )]
        let at = (self.number() % choices.len() as u64) as usize;
        &choices[at]
    }

    /// One of the choices, as likely as its weight says. Weights are positive.
    pub fn weighted<T: Copy>(&mut self, choices: &[(T, f32)]) -> T {
        let mut left = self.unit() * choices.iter().map(|(_, w)| w).sum::<f32>();
        for &(choice, weight) in choices {
            if left < weight {
                return choice;
            }
            left -= weight;
        }
        choices[choices.len() - 1].0
    }

    /// `n` of `items` in a random order, all of them when there are fewer (Fisher and Yates).
    #[must_use]
    pub fn sample<T: Clone>(&mut self, items: &[T], n: usize) -> Vec<T> {
        let mut left: Vec<usize> = (0..items.len()).collect();
        for i in 0..n.min(items.len()) {
            let j = i + self.below(left.len() - i);
            left.swap(i, j);
        }
        left.truncate(n);
        left.into_iter().map(|i| items[i].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn follows_the_published_sequence() {
        // The first values of the reference implementation for seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.number(), 6_457_827_717_110_365_317);
        assert_eq!(random.number(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn weights_are_kept() {
        let mut random = Random::of(1, 2);
        let ones = (0..10_000)
            .filter(|_| random.weighted(&[(1, 3.0), (2, 1.0)]) == 1)
            .count();
        assert!((7_200..7_800).contains(&ones), "{ones}");
    }

    #[test]
    fn a_sample_repeats_no_item() {
        let items: Vec<u32> = (0..50).collect();
        let mut sample = Random::new(3).sample(&items, 50);
        sample.sort_unstable();
        assert_eq!(sample, items);
        assert!(Random::new(3).sample(&items, 0).is_empty());
    }
}
