//! Which products match a phrase, and how strongly.

use roaring::RoaringBitmap;

use super::lexicon::Lexicon;
use super::strengths::Strengths;
use super::synonyms::Synonyms;
use super::text::Word;
use super::values::ValueWords;
use crate::domain::AttributeName;
use crate::index::columns::AttributeTable;
use crate::index::rank::strength;

/// Most words of the catalog that an unfinished word may be.
const MOST_ENDINGS: usize = 64;

/// How a query in words is read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Slips are corrected.
    pub typo: bool,
    /// The last word may be unfinished.
    pub prefix: bool,
    /// The attribute that says what a product is.
    pub category: &'a AttributeName,
    /// The attributes by which shoppers name what they want: who says "red" wants nothing else.
    /// Those of parts of a product are among them.
    pub named: &'a [AttributeName],
}

/// The index that a query is read against.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub lexicon: &'a Lexicon,
    pub values: &'a ValueWords,
    pub attributes: &'a AttributeTable,
    pub synonyms: &'a Synonyms,
}

/// A part before its products are looked up.
pub(super) struct Phrase {
    pub(super) words: Vec<String>,
    pub(super) negated: bool,
    pub(super) form: Form,
}

pub(super) enum Form {
    /// The words together, or each.
    Words,
    /// Or these: written together in the catalog, or apart.
    Also(Vec<String>),
    /// Or what begins so.
    Beginning(String),
}

impl Phrase {
    pub(super) fn of(words: &[(&Word, bool)], negated: bool, form: Form) -> Self {
        Self {
            words: words.iter().map(|(word, _)| word.text.clone()).collect(),
            negated,
            form,
        }
    }
}

impl Reader<'_> {
    /// Which products match a phrase.
    pub(super) fn found(&self, phrase: &Phrase, reading: Reading<'_>) -> Found {
        let mut found = self.together(&phrase.words, reading);
        match &phrase.form {
            Form::Words => {}
            Form::Also(words) => {
                let other = self.together(words, reading);
                found.add(strength::JOINED, &other);
                found.named |= other.named;
            }
            Form::Beginning(beginning) => {
                let mut endings: Vec<_> = self.lexicon.beginning(beginning).collect();
                endings.sort_by_key(|vocable| std::cmp::Reverse(vocable.products));
                for vocable in endings.into_iter().take(MOST_ENDINGS) {
                    let other = self.together(&[vocable.text.to_string()], reading);
                    found.add(strength::UNFINISHED, &other);
                }
            }
        }
        let stems = self.stems(&phrase.words);
        for synonym in self.synonyms.of(&stems) {
            // What is near is not ruled out.
            if synonym.near && phrase.negated {
                continue;
            }
            let share = if synonym.near {
                strength::NEAR
            } else {
                strength::SYNONYM
            };
            let other = self.together(&synonym.words, reading);
            found.add(share, &other);
            found.named |= other.named && !synonym.near;
        }
        found
    }

    pub(super) fn stems(&self, words: &[String]) -> Vec<String> {
        let stems = words.iter().map(|word| self.lexicon.stems().stem(word));
        stems.collect()
    }

    /// The products that match all of the words, as a whole value or each for itself.
    fn together(&self, words: &[String], reading: Reading<'_>) -> Found {
        let stems = self.stems(words);
        let (of_kind, others): (Vec<Strengths>, Vec<Strengths>) = stems
            .iter()
            .map(|stem| self.word(stem, reading.category))
            .map(|found| (found.of_kind, found.others))
            .unzip();
        // "sports bra": a product of the kind for one of the words is enough.
        let mut any = others.clone();
        for (any, of_kind) in any.iter_mut().zip(&of_kind) {
            any.add_all(1.0, of_kind);
        }
        let mut found = Found {
            of_kind: Strengths::least(&of_kind),
            others: Strengths::least(&any),
            named: false,
        };
        for value in self.values.whole(&stems) {
            if let Some(slots) = value.slots(self.attributes) {
                let strengths = if value.attribute == *reading.category {
                    &mut found.of_kind
                } else {
                    &mut found.others
                };
                strengths.add(strength::WHOLE_VALUE, slots);
                found.named |= reading.named.contains(&value.attribute);
            }
        }
        found
    }

    /// The products that hold a word.
    fn word(&self, stem: &str, category: &AttributeName) -> Found {
        let mut found = Found::default();
        let alone = [stem.to_owned()];
        // The attributes that the word is a value of.
        let of: Vec<&AttributeName> = self.values.whole(&alone).map(|v| &v.attribute).collect();
        for value in self.values.holding(stem) {
            let Some(slots) = value.slots(self.attributes) else {
                continue;
            };
            if value.attribute == *category && value.is_head(stem) {
                found.of_kind.add(strength::IN_VALUE, slots);
            } else if value.attribute == *category {
                found.others.add(strength::BESIDE, slots);
            } else if of.is_empty() || of.contains(&&value.attribute) {
                found.others.add(strength::IN_VALUE, slots);
            } else {
                // "red" in the brand Red Tape.
                found.others.add(strength::MENTION, slots);
            }
        }
        if let Some(term) = self.lexicon.term(stem) {
            let mut otherwise = RoaringBitmap::new();
            for attribute in of {
                if let Some(carriers) = self.values.carriers(attribute) {
                    otherwise |= carriers;
                }
            }
            found
                .others
                .add(strength::TITLE, &(&term.title - &otherwise));
            found.others.add(strength::MENTION, &term.title);
            found.others.add(strength::DESCRIPTION, &term.description);
        }
        found
    }
}

/// The products that match words.
#[derive(Default)]
pub(super) struct Found {
    /// In the attribute that says what they are.
    pub(super) of_kind: Strengths,
    /// Elsewhere.
    others: Strengths,
    /// Whether the words are a value.
    pub(super) named: bool,
}

impl Found {
    fn add(&mut self, share: f32, other: &Self) {
        self.of_kind.add_all(share, &other.of_kind);
        self.others.add_all(share, &other.others);
    }

    /// All together.
    pub(super) fn joined(self) -> Strengths {
        if self.of_kind.is_empty() {
            return self.others;
        }
        let mut all = self.of_kind;
        all.add_all(strength::OTHER_KIND, &self.others);
        all
    }
}
