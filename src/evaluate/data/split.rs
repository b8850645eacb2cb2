//! Which products are kept out of training: a fixed function of the product's id.
//!
//! Training, evaluation and a client of the public API agree on the split without exchanging a
//! file. A catalog that grows keeps its old products on their side.

use crate::util::digest::sha256;

/// One product in this many is held out.
pub const HELD_OUT_ONE_IN: u64 = 10;

/// True for the tenth of the products that no model of ours is trained on: the first 8 bytes of the
/// id's sha256, read as a big-endian number, are divisible by [`HELD_OUT_ONE_IN`].
///
/// In Python: `int.from_bytes(hashlib.sha256(id.encode()).digest()[:8], "big") % 10 == 0`.
#[must_use]
pub fn held_out(id: &str) -> bool {
    let digest = sha256(id.as_bytes());
    let head = digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    head.is_multiple_of(HELD_OUT_ONE_IN)
}

/// True for the half of the held-out products by which a model is chosen: the best epoch, the share
/// of a mixture. The other half has no part in the choice, so that its figures are not biased by
/// it. The 9th byte of the id's sha256, which [`held_out`] does not use, is even.
///
/// In Python: `held_out(id) and hashlib.sha256(id.encode()).digest()[8] % 2 == 0`.
#[must_use]
pub fn validates(id: &str) -> bool {
    held_out(id) && sha256(id.as_bytes())[8].is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_never_moves() {
        // Recorded with the lines of Python in the functions' documentation, over the ids 1 to 200.
        let held: Vec<u32> = (1..=200)
            .filter(|id: &u32| held_out(&id.to_string()))
            .collect();
        assert_eq!(held, HELD_OUT_TO_200);
        let validating: Vec<u32> = (1..=200)
            .filter(|id: &u32| validates(&id.to_string()))
            .collect();
        assert_eq!(validating, VALIDATING_TO_200);
    }

    const HELD_OUT_TO_200: &[u32] = &[
        7, 9, 10, 33, 40, 44, 51, 57, 59, 70, 71, 74, 90, 108, 110, 140, 154, 155, 159, 170, 189,
        193, 194, 195,
    ];

    const VALIDATING_TO_200: &[u32] = &[7, 33, 51, 70, 71, 74, 155, 193, 194];
}
