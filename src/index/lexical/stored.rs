//! A lexicon as bytes.
//!
//! Three lists, each after its length (u32): the terms (stem, title bitmap, description bitmap), the
//! vocabulary (word, title bitmap, number in values as u32), and twice the digests (u64 and slot as u32) of titles
//! and ids. Text and bitmaps come after their length in bytes (u32); bitmaps are in Roaring's
//! portable format. Numbers are little endian.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::lexicon::{Lexicon, Term, Terms, Vocable};
use super::text::Language;

/// Appends a lexicon.
///
/// # Errors
/// When something in it outgrew its length field.
pub fn write(lexicon: &Lexicon, bytes: &mut Vec<u8>) -> io::Result<()> {
    // In order, so that equal lexicons have equal bytes.
    let terms: BTreeMap<_, _> = lexicon.terms().iter().collect();
    length(terms.len(), bytes)?;
    for (stem, term) in terms {
        text(stem, bytes)?;
        for slots in [&term.title, &term.description] {
            length(slots.serialized_size(), bytes)?;
            slots.serialize_into(&mut *bytes)?;
        }
    }
    length(lexicon.vocabulary().len(), bytes)?;
    for vocable in lexicon.vocabulary() {
        text(&vocable.text, bytes)?;
        length(vocable.titles.serialized_size(), bytes)?;
        vocable.titles.serialize_into(&mut *bytes)?;
        bytes.extend(vocable.in_values.to_le_bytes());
    }
    for digests in [lexicon.titles(), lexicon.ids()] {
        length(digests.len(), bytes)?;
        for (digest, slot) in digests {
            bytes.extend(digest.to_le_bytes());
            bytes.extend(slot.to_le_bytes());
        }
    }
    Ok(())
}

fn length(length: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    let length = u32::try_from(length);
    let length = length.map_err(|_| io::Error::other("a list outgrew its length field"))?;
    bytes.extend(length.to_le_bytes());
    Ok(())
}

fn text(text: &str, bytes: &mut Vec<u8>) -> io::Result<()> {
    length(text.len(), bytes)?;
    bytes.extend(text.as_bytes());
    Ok(())
}

/// Takes a lexicon of `count` products off the front; `None` when the bytes are not one.
#[must_use]
pub fn read(bytes: &mut &[u8], language: Language, count: usize) -> Option<Lexicon> {
    let mut terms = Terms::new();
    for _ in 0..take_length(bytes)? {
        let stem = take_text(bytes)?;
        let title = take_slots(bytes, count)?;
        let description = take_slots(bytes, count)?;
        terms.insert(Arc::from(stem), Arc::new(Term { title, description }));
    }
    let mut vocabulary = Vec::new();
    for _ in 0..take_length(bytes)? {
        let text = take_text(bytes)?;
        let titles = take_slots(bytes, count)?;
        let in_values = u32::from_le_bytes(take(bytes)?);
        vocabulary.push(Vocable::new(&text, titles, in_values));
    }
    let titles = take_digests(bytes, count)?;
    let ids = take_digests(bytes, count)?;
    let ordered =
        vocabulary.is_sorted_by(|a, b| a.text < b.text) && titles.is_sorted() && ids.is_sorted();
    ordered.then(|| Lexicon::of(language, terms, vocabulary, titles, ids))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(take(bytes)?) as usize;
    // Each item has a byte at least: a length beyond what is left is not one.
    (length <= bytes.len()).then_some(length)
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_length(bytes)?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    String::from_utf8(take_bytes(bytes)?.to_vec()).ok()
}

fn take_slots(bytes: &mut &[u8], count: usize) -> Option<RoaringBitmap> {
    let slots = RoaringBitmap::deserialize_from(take_bytes(bytes)?).ok()?;
    let fits = slots.max().is_none_or(|slot| (slot as usize) < count);
    fits.then_some(slots)
}

fn take_digests(bytes: &mut &[u8], count: usize) -> Option<Vec<(u64, u32)>> {
    let mut digests = Vec::new();
    for _ in 0..take_length(bytes)? {
        let digest = u64::from_le_bytes(take(bytes)?);
        let slot = u32::from_le_bytes(take(bytes)?);
        if slot as usize >= count {
            return None;
        }
        digests.push((digest, slot));
    }
    Some(digests)
}
