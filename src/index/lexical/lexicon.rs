//! What an index knows of words: which products hold which word in their text, and every word as it
//! is written.
//!
//! A word's products are a bitmap of slots, as an attribute's are (`columns`): titles are short, so
//! that how often a word comes in one says nothing, and sets can be joined with filters as they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::text::{self, Language, Stems};
use crate::index::columns::{AttributeTable, ChangedValue};
use crate::util::digest::sha256;

/// The words of the products of one index. One with other texts of some products
/// ([`Lexicon::with`]) shares what did not change.
pub struct Lexicon {
    language: Language,
    stems: Stems,
    /// Stem -> the products that hold it.
    pub(super) terms: Arc<Terms>,
    /// Every word of titles and attributes as it is written, in order.
    pub(super) vocabulary: Arc<Vec<Vocable>>,
    /// Digest of a whole title, folded -> slot; in order.
    titles: Digests,
    /// Digest of a product's id, folded -> slot; in order.
    ids: Digests,
}

pub(super) type Terms = HashMap<Arc<str>, Arc<Term>>;

/// Digests with their slots.
#[derive(Clone, Default)]
struct Digests {
    sorted: Arc<Vec<(u64, u32)>>,
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
    pub text: Arc<str>,
    /// How many products hold it, in their title or, each counted by itself, in their values.
    pub products: u32,
    /// The products that hold it in their title.
    pub(super) titles: Arc<RoaringBitmap>,
    /// How often it comes in the values of products.
    pub(super) in_values: u32,
    /// See [`letters`].
    pub(super) letters: u64,
}

impl Vocable {
    #[must_use]
    pub(super) fn new(text: &str, titles: RoaringBitmap, in_values: u32) -> Self {
        let in_titles = u32::try_from(titles.len()).unwrap_or(u32::MAX);
        Self {
            letters: letters(text),
            text: Arc::from(text),
            products: in_titles.saturating_add(in_values),
            titles: Arc::new(titles),
            in_values,
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

/// The words of texts, with the products that hold them.
#[derive(Default)]
struct Words {
    terms: HashMap<String, Term>,
    /// Words of titles as they are written.
    titles: HashMap<String, RoaringBitmap>,
    /// Stems by word: a catalog says the same few thousand words over and over.
    stems: HashMap<String, String>,
}

impl Words {
    fn add(&mut self, slot: u32, product: ProductText<'_>, stems: &Stems) {
        for word in distinct(text::indexed(product.title)) {
            self.term(&word, stems).title.insert(slot);
            self.titles.entry(word).or_default().insert(slot);
        }
        for word in distinct(text::indexed(product.description.unwrap_or_default())) {
            self.term(&word, stems).description.insert(slot);
        }
    }

    fn term(&mut self, word: &str, stems: &Stems) -> &mut Term {
        let known = self.stems.get(word).cloned();
        let stem = known.unwrap_or_else(|| {
            let stem = stems.stem(word);
            self.stems.insert(word.to_owned(), stem.clone());
            stem
        });
        self.terms.entry(stem).or_default()
    }
}

fn id_digest(id: &str) -> u64 {
    digest([text::fold(id.trim()).as_str()])
}

fn title_digest(title: &str) -> u64 {
    let title = text::words(title);
    digest(title.iter().map(|word| word.text.as_str()))
}

/// Gathers a [`Lexicon`].
pub struct LexiconBuilder {
    language: Language,
    stems: Stems,
    words: Words,
    titles: Vec<(u64, u32)>,
    ids: Vec<(u64, u32)>,
    slots: u32,
}

impl LexiconBuilder {
    #[must_use]
    pub fn new(language: Language) -> Self {
        Self {
            language,
            stems: Stems::of(language),
            words: Words::default(),
            titles: Vec::new(),
            ids: Vec::new(),
            slots: 0,
        }
    }

    /// Adds the product of the next slot.
    pub fn add(&mut self, product: ProductText<'_>) {
        let slot = self.slots;
        self.slots += 1;
        self.ids.push((id_digest(product.id), slot));
        self.titles.push((title_digest(product.title), slot));
        self.words.add(slot, product, &self.stems);
    }

    /// `attributes`: of the same products; their values' words belong to the vocabulary.
    #[must_use]
    pub fn finish(self, attributes: &AttributeTable) -> Lexicon {
        let mut in_values: HashMap<String, u32> = HashMap::new();
        for (value, carriers) in attributes.values() {
            let products = u32::try_from(carriers.len()).unwrap_or(u32::MAX);
            for word in distinct(text::indexed(value)) {
                let known = in_values.entry(word).or_default();
                *known = known.saturating_add(products);
            }
        }
        let Words {
            terms, mut titles, ..
        } = self.words;
        let words: BTreeSet<String> = titles.keys().chain(in_values.keys()).cloned().collect();
        let vocabulary = words.into_iter().map(|word| {
            let of_titles = titles.remove(&word).unwrap_or_default();
            Vocable::new(&word, of_titles, in_values.get(&word).copied().unwrap_or(0))
        });
        let vocabulary = vocabulary.collect();
        let terms = terms.into_iter();
        let terms = terms.map(|(stem, term)| (Arc::from(stem), Arc::new(term)));
        Lexicon {
            language: self.language,
            stems: self.stems,
            terms: Arc::new(terms.collect()),
            vocabulary: Arc::new(vocabulary),
            titles: Digests::of(self.titles),
            ids: Digests::of(self.ids),
        }
    }
}

impl Digests {
    fn of(mut digests: Vec<(u64, u32)>) -> Self {
        digests.sort_unstable();
        Self {
            sorted: Arc::new(digests),
        }
    }

    /// With other digests of some slots; `None`: the slot has none any more.
    fn with(&self, others: &HashMap<u32, Option<u64>>) -> Self {
        let now = self.sorted.iter();
        let now: HashMap<u32, u64> = now
            .filter(|(_, slot)| others.contains_key(slot))
            .map(|(digest, slot)| (*slot, *digest))
            .collect();
        if others.iter().all(|(slot, of)| now.get(slot) == of.as_ref()) {
            return self.clone();
        }
        let kept = self.sorted.iter().copied();
        let kept = kept.filter(|(_, slot)| !others.contains_key(slot));
        let new = others.iter().filter_map(|(slot, of)| Some(((*of)?, *slot)));
        Self::of(kept.chain(new).collect())
    }
}

impl Lexicon {
    /// From what was saved.
    pub(super) fn of(
        language: Language,
        terms: Terms,
        vocabulary: Vec<Vocable>,
        titles: Vec<(u64, u32)>,
        ids: Vec<(u64, u32)>,
    ) -> Self {
        Self {
            language,
            stems: Stems::of(language),
            terms: Arc::new(terms),
            vocabulary: Arc::new(vocabulary),
            titles: Digests::of(titles),
            ids: Digests::of(ids),
        }
    }

    /// With other texts of some slots, `None` for a product that was removed, and the values of
    /// attributes that changed. Goes through all words, which are few beside the products.
    pub(in crate::index) fn with(
        &self,
        others: &[(u32, Option<ProductText<'_>>)],
        values: &[ChangedValue],
    ) -> Self {
        let touched: RoaringBitmap = others.iter().map(|(slot, _)| *slot).collect();
        let mut words = Words::default();
        for (slot, text) in others {
            if let Some(text) = text {
                words.add(*slot, *text, &self.stems);
            }
        }
        let digests = |of: fn(&ProductText<'_>) -> u64| {
            let all = others.iter();
            all.map(|(slot, text)| (*slot, text.as_ref().map(of)))
                .collect()
        };
        Self {
            language: self.language,
            stems: Stems::of(self.language),
            terms: self.terms_with(&touched, words.terms),
            vocabulary: self.vocabulary_with(&touched, words.titles, values),
            titles: self.titles.with(&digests(|text| title_digest(text.title))),
            ids: self.ids.with(&digests(|text| id_digest(text.id))),
        }
    }

    fn terms_with(&self, touched: &RoaringBitmap, mut wanted: HashMap<String, Term>) -> Arc<Terms> {
        let mut new: Vec<(Arc<str>, Term)> = Vec::new();
        for (stem, term) in &*self.terms {
            let wants = wanted.remove(&**stem);
            let idle = wants.is_none()
                && term.title.is_disjoint(touched)
                && term.description.is_disjoint(touched);
            if idle {
                continue;
            }
            let Term { title, description } = wants.unwrap_or_default();
            let next = Term {
                title: (&term.title - touched) | title,
                description: (&term.description - touched) | description,
            };
            if next != **term {
                new.push((Arc::clone(stem), next));
            }
        }
        let added = wanted.into_iter();
        new.extend(added.map(|(stem, term)| (Arc::from(stem), term)));
        if new.is_empty() {
            return Arc::clone(&self.terms);
        }
        let mut terms = Terms::clone(&self.terms);
        for (stem, term) in new {
            if term == Term::default() {
                terms.remove(&stem);
            } else {
                terms.insert(stem, Arc::new(term));
            }
        }
        Arc::new(terms)
    }

    fn vocabulary_with(
        &self,
        touched: &RoaringBitmap,
        mut wanted: HashMap<String, RoaringBitmap>,
        values: &[ChangedValue],
    ) -> Arc<Vec<Vocable>> {
        let mut in_values: HashMap<String, i64> = HashMap::new();
        for value in values {
            let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            for word in distinct(text::indexed(&value.folded)) {
                *in_values.entry(word).or_default() += number(value.after) - number(value.before);
            }
        }
        let mut new: BTreeMap<Arc<str>, Vocable> = BTreeMap::new();
        let count = |before: u32, more: i64| {
            u32::try_from(i64::from(before).saturating_add(more).max(0)).unwrap_or(u32::MAX)
        };
        for vocable in &*self.vocabulary {
            let wants = wanted.remove(&*vocable.text);
            let more = in_values.remove(&*vocable.text).unwrap_or(0);
            if wants.is_none() && more == 0 && vocable.titles.is_disjoint(touched) {
                continue;
            }
            let titles = (&*vocable.titles - touched) | wants.unwrap_or_default();
            if more != 0 || titles != *vocable.titles {
                let of_values = count(vocable.in_values, more);
                let text = Arc::clone(&vocable.text);
                new.insert(text, Vocable::new(&vocable.text, titles, of_values));
            }
        }
        let unknown: BTreeSet<String> = wanted.keys().chain(in_values.keys()).cloned().collect();
        for word in unknown {
            let titles = wanted.remove(&word).unwrap_or_default();
            let more = in_values.get(&word).copied().unwrap_or(0);
            let vocable = Vocable::new(&word, titles, count(0, more));
            new.insert(Arc::clone(&vocable.text), vocable);
        }
        if new.is_empty() {
            return Arc::clone(&self.vocabulary);
        }
        let mut vocabulary = Vec::with_capacity(self.vocabulary.len() + new.len());
        let mut old = self.vocabulary.iter().peekable();
        for (word, vocable) in new {
            while let Some(before) = old.next_if(|old| old.text < word) {
                vocabulary.push(before.clone());
            }
            old.next_if(|old| old.text == word);
            if vocable.products > 0 {
                vocabulary.push(vocable);
            }
        }
        vocabulary.extend(old.cloned());
        Arc::new(vocabulary)
    }

    /// The slots of which two lexicons hold different words.
    pub(in crate::index) fn differing(&self, other: &Self) -> RoaringBitmap {
        let mut differing = RoaringBitmap::new();
        let stems: BTreeSet<&Arc<str>> = self.terms.keys().chain(other.terms.keys()).collect();
        for stem in stems {
            let of = |lexicon: &Self| lexicon.term(stem).cloned().unwrap_or_default();
            let (one, other) = (of(self), of(other));
            differing |= one.title ^ other.title;
            differing |= one.description ^ other.description;
        }
        for (one, other) in [(&self.titles, &other.titles), (&self.ids, &other.ids)] {
            let set = |digests: &Digests| digests.sorted.iter().copied().collect::<BTreeSet<_>>();
            let (one, other) = (set(one), set(other));
            differing.extend(one.symmetric_difference(&other).map(|(_, slot)| *slot));
        }
        differing
    }

    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    #[must_use]
    pub fn stems(&self) -> &Stems {
        &self.stems
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(super) fn vocabulary(&self) -> &[Vocable] {
        &self.vocabulary
    }

    pub(super) fn titles(&self) -> &[(u64, u32)] {
        &self.titles.sorted
    }

    pub(super) fn ids(&self) -> &[(u64, u32)] {
        &self.ids.sorted
    }

    /// The products that hold the stem in their title or description.
    #[must_use]
    pub fn term(&self, stem: &str) -> Option<&Term> {
        self.terms.get(stem).map(Arc::as_ref)
    }

    /// How many products hold the word as it is written.
    #[must_use]
    pub fn products(&self, word: &str) -> u32 {
        let place = self
            .vocabulary
            .binary_search_by(|vocable| (*vocable.text).cmp(word));
        place.map_or(0, |place| self.vocabulary[place].products)
    }

    /// The words that begin so.
    pub fn beginning<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Vocable> {
        let first = self
            .vocabulary
            .partition_point(|vocable| &*vocable.text < prefix);
        self.vocabulary[first..]
            .iter()
            .take_while(move |vocable| vocable.text.starts_with(prefix))
    }

    /// The products with this id, letter case aside: one, or several that differ in case alone.
    #[must_use]
    pub fn with_id(&self, id: &str) -> RoaringBitmap {
        with_digest(self.ids(), id_digest(id))
    }

    /// The products whose title has just these words in this order.
    #[must_use]
    pub fn with_title<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> RoaringBitmap {
        with_digest(self.titles(), digest(words))
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
        let vocabulary = self.vocabulary.iter().map(|vocable| {
            vocable.text.len() + vocable.titles.serialized_size() + size_of::<Vocable>()
        });
        terms.sum::<usize>()
            + vocabulary.sum::<usize>()
            + (self.titles().len() + self.ids().len()) * size_of::<(u64, u32)>()
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
