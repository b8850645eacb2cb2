//! What decides the order of the products: pure functions.

use crate::domain::Embedding;

/// One vector for a product out of its photo's and its words' embedding (title and attributes):
/// `normalize((1 - w) * photo + w * words)` with `w = words_percent / 100`. With one of them missing, the other alone.
/// `None` when both are.
#[must_use]
pub fn fuse(photo: Option<&Embedding>, words: Option<&Embedding>, words_percent: u8) -> Option<Embedding> {
    todo!("{photo:?} {words:?} {words_percent}")
}

/// Share of the words in a product's vector unless the configuration says otherwise.
pub const DEFAULT_WORDS_PERCENT: u8 = 30;
