//! What an index knows of words: which products hold which word in their text, and every word as it
//! is written.
//!
//! A word's products are a bitmap of slots, as an attribute's are (`columns`): titles are short, so
//! that how often a word comes in one says nothing, and sets can be joined with filters as they are.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;

use super::text::{self, Language, Stems};
use crate::index::columns::AttributeTable;
use crate::util::digest::sha256;

/// The words of the products of one index.
pub struct Lexicon {
    language: Language,
    stems: Stems,
    /// Stem -> the products that hold it.
    pub(super) terms: HashMap<String, Term>,
    /// Every word of titles and attributes as it is written, in order, with the number of products
    /// that hold it.
    pub(super) vocabulary: Vec<Vocable>,
    /// Digest of a whole title, folded -> slot; in order.
    titles: Vec<(u64, u32)>,
    /// Digest of a product's id, folded -> slot; in order.
    ids: Vec<(u64, u32)>,
}

/// The products that hold a word.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Term {
    pub title: RoaringBitmap,
    pub description: RoaringBitmap,
}

/// A word as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocable {
    pub text: String,
    pub products: u32,
    /// See [`letters`].
    pub(super) letters: u64,
}

impl Vocable {
    #[must_use]
    pub fn new(text: String, products: u32) -> Self {
        Self {
            letters: letters(&text),
            text,
            products,
        }
    }
}

/// A bit for each letter a to z and digit that comes in a word, and one for all others: tells cheaply
/// that two words are far from each other.
pub(super) fn letters(word: &str) -> u64 {
    word.bytes().fold(0, |letters, byte| {
        letters
            | 1 << match byte {
                b'a'..=b'z' => byte - b'a',
                b'0'..=b'9' => 26 + byte - b'0',
                _ => 63,
            }
    })
}

/// What of a product is read as text; its attributes are in the columns.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProductText<'a> {
    pub id: &'a str,
    pub title: &'a str,
    pub description: Option<&'a str>,
}

/// Gathers a [`Lexicon`].
pub struct LexiconBuilder {
    language: Language,
    stems: Stems,
    terms: HashMap<String, Term>,
    vocabulary: HashMap<String, u32>,
    titles: Vec<(u64, u32)>,
    ids: Vec<(u64, u32)>,
    slots: u32,
    /// Stems by word: a catalog says the same few thousand words over and over.
    known_stems: HashMap<String, String>,
}

impl LexiconBuilder {
    #[must_use]
    pub fn new(language: Language) -> Self {
        Self {
            language,
            stems: Stems::of(language),
            terms: HashMap::new(),
            vocabulary: HashMap::new(),
            titles: Vec::new(),
            ids: Vec::new(),
            slots: 0,
            known_stems: HashMap::new(),
        }
    }

    /// Adds the product of the next slot.
    pub fn add(&mut self, product: ProductText<'_>) {
        let slot = self.slots;
        self.slots += 1;
        self.ids
            .push((digest([text::fold(product.id).as_str()]), slot));
        let title = text::words(product.title);
        let whole = title.iter().map(|word| word.text.as_str());
        self.titles.push((digest(whole), slot));
        for word in distinct(text::indexed(product.title)) {
            self.term(&word).title.insert(slot);
            *self.vocabulary.entry(word).or_default() += 1;
        }
        for word in distinct(text::indexed(product.description.unwrap_or_default())) {
            self.term(&word).description.insert(slot);
        }
    }

    fn term(&mut self, word: &str) -> &mut Term {
        let known = self.known_stems.get(word).cloned();
        let stem = known.unwrap_or_else(|| {
            let stem = self.stems.stem(word);
            self.known_stems.insert(word.to_owned(), stem.clone());
            stem
        });
        self.terms.entry(stem).or_default()
    }

    /// `attributes`: of the same products; their values' words belong to the vocabulary.
    #[must_use]
    pub fn finish(mut self, attributes: &AttributeTable) -> Lexicon {
        for (value, carriers) in attributes.values() {
            let products = u32::try_from(carriers.len()).unwrap_or(u32::MAX);
            for word in distinct(text::indexed(value)) {
                let known = self.vocabulary.entry(word).or_default();
                *known = known.saturating_add(products);
            }
        }
        let sorted: BTreeMap<String, u32> = self.vocabulary.into_iter().collect();
        let vocabulary = sorted
            .into_iter()
            .map(|(text, products)| Vocable::new(text, products));
        self.titles.sort_unstable();
        self.ids.sort_unstable();
        Lexicon {
            language: self.language,
            stems: self.stems,
            terms: self.terms,
            vocabulary: vocabulary.collect(),
            titles: self.titles,
            ids: self.ids,
        }
    }
}

impl Lexicon {
    /// From what was saved.
    pub(in crate::index) fn of(
        language: Language,
        terms: HashMap<String, Term>,
        vocabulary: Vec<Vocable>,
        titles: Vec<(u64, u32)>,
        ids: Vec<(u64, u32)>,
    ) -> Self {
        Self {
            language,
            stems: Stems::of(language),
            terms,
            vocabulary,
            titles,
            ids,
        }
    }

    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    #[must_use]
    pub fn stems(&self) -> &Stems {
        &self.stems
    }

    pub(in crate::index) fn terms(&self) -> &HashMap<String, Term> {
        &self.terms
    }

    pub(in crate::index) fn vocabulary(&self) -> &[Vocable] {
        &self.vocabulary
    }

    pub(in crate::index) fn titles(&self) -> &[(u64, u32)] {
        &self.titles
    }

    pub(in crate::index) fn ids(&self) -> &[(u64, u32)] {
        &self.ids
    }

    /// The products that hold the stem in their title or description.
    #[must_use]
    pub fn term(&self, stem: &str) -> Option<&Term> {
        self.terms.get(stem)
    }

    /// How many products hold the word as it is written.
    #[must_use]
    pub fn products(&self, word: &str) -> u32 {
        let place = self
            .vocabulary
            .binary_search_by(|vocable| vocable.text.as_str().cmp(word));
        place.map_or(0, |place| self.vocabulary[place].products)
    }

    /// The words that begin so.
    pub fn beginning<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Vocable> {
        let first = self
            .vocabulary
            .partition_point(|vocable| vocable.text.as_str() < prefix);
        self.vocabulary[first..]
            .iter()
            .take_while(move |vocable| vocable.text.starts_with(prefix))
    }

    /// The products with this id, letter case aside: one, or several that differ in case alone.
    #[must_use]
    pub fn with_id(&self, id: &str) -> RoaringBitmap {
        with_digest(&self.ids, digest([text::fold(id.trim()).as_str()]))
    }

    /// The products whose title has just these words in this order.
    #[must_use]
    pub fn with_title<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> RoaringBitmap {
        with_digest(&self.titles, digest(words))
    }

    /// Bytes held, roughly.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let terms = self.terms.iter().map(|(stem, term)| {
            stem.len()
                + 2 * size_of::<Term>()
                + term.title.serialized_size()
                + term.description.serialized_size()
        });
        let vocabulary = self
            .vocabulary
            .iter()
            .map(|vocable| vocable.text.len() + size_of::<Vocable>());
        terms.sum::<usize>()
            + vocabulary.sum::<usize>()
            + (self.titles.len() + self.ids.len()) * size_of::<(u64, u32)>()
    }
}

fn distinct(mut words: Vec<String>) -> Vec<String> {
    words.sort_unstable();
    words.dedup();
    words
}

fn with_digest(sorted: &[(u64, u32)], digest: u64) -> RoaringBitmap {
    let first = sorted.partition_point(|(known, _)| *known < digest);
    sorted[first..]
        .iter()
        .take_while(|(known, _)| *known == digest)
        .map(|(_, slot)| *slot)
        .collect()
}

/// 64 bits of the words in their order: two different ones of a million meet by chance once in
/// thirty million catalogs.
fn digest<'a>(words: impl IntoIterator<Item = &'a str>) -> u64 {
    let words: Vec<&str> = words.into_iter().collect();
    let sha256 = sha256(words.join("\u{1f}").as_bytes());
    sha256
        .first_chunk::<8>()
        .map_or(0, |first| u64::from_le_bytes(*first))
}
