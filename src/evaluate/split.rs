//! Which products are kept out of training: a fixed function of the product's id.
//!
//! Training, evaluation and anyone with the public API alone agree on the split without exchanging a file, and a
//! catalogue that grows keeps its old products on the side where they were.

use sha2::{Digest, Sha256};

/// One product in this many is held out.
pub const HELD_OUT_ONE_IN: u64 = 10;

/// Whether no model of ours is trained on the product: a tenth of all ids. A number is itself (see
/// [`held_out_number`]); any other id is the number that the first 8 bytes of its sha256 are, most significant first.
#[must_use]
pub fn held_out(id: &str) -> bool {
    held_out_number(id.parse().unwrap_or_else(|_| {
        let digest = Sha256::digest(id.as_bytes());
        digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
    }))
}

/// The split of numbers: Fibonacci hashing (`id * 2^64 / golden ratio`), the upper half of the product modulo
/// [`HELD_OUT_ONE_IN`]. In Python: `(id * 0x9E3779B97F4A7C15 % 2**64 >> 32) % 10 == 0`.
#[must_use]
pub fn held_out_number(id: u64) -> bool {
    (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).is_multiple_of(HELD_OUT_ONE_IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_never_moves() {
        // Recorded with Python, as the functions' documentation says.
        let held: Vec<u64> = (1..=200).filter(|id: &u64| held_out(&id.to_string())).collect();
        assert_eq!(held, [22, 26, 27, 31, 58, 62, 63, 67, 98, 102, 103, 107, 134, 138, 139, 143, 174, 178, 179]);
        assert!((1..=200).all(|id: u64| held_out_number(id) == held_out(&id.to_string())));
        let held: Vec<String> = (1..=40).map(|n| format!("sku-{n}")).filter(|id| held_out(id)).collect();
        assert_eq!(held, ["sku-14", "sku-15", "sku-23", "sku-28", "sku-34"]);
    }
}
