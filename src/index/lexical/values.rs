//! The words of attributes' values, so that a query can name them: "red" is a value of `color`,
//! "casual shoes" one of `category`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::text::{self, Stems};
use crate::domain::AttributeName;
use crate::index::columns::{AttributeTable, ChangedValue};

/// Words that end a noun phrase.
const BETWEEN: [&str; 7] = ["and", "or", "for", "with", "without", "of", "in"];

/// A value of an attribute.
pub(super) struct Value {
    pub attribute: AttributeName,
    /// As the columns know it.
    pub folded: String,
    /// The stems of the words that say what it is: "shoe" of "casual shoes", "perfume" and "mist" of
    /// "perfume and body mist".
    heads: Vec<String>,
}

/// The values of an index by their words.
#[derive(Clone, Default)]
pub struct ValueWords {
    words: Arc<Words>,
    /// The products that have any value of an attribute.
    carriers: HashMap<AttributeName, Arc<RoaringBitmap>>,
}

#[derive(Default)]
struct Words {
    values: Vec<Value>,
    /// Stem -> the values that hold it.
    holding: HashMap<String, Vec<usize>>,
    /// Stems of a whole value, in order -> the values that are just these.
    whole: HashMap<Vec<String>, Vec<usize>>,
    /// Of the longest value, in words.
    longest: usize,
    /// The noun of an attribute that is about a part of a product (`shoelace_color`, where there is
    /// a `color` too) -> the attribute. Its values count only beside the noun: "red shoes" are not
    /// those with red laces.
    parts: HashMap<String, AttributeName>,
}

impl ValueWords {
    #[must_use]
    pub fn of(attributes: &AttributeTable, stems: &Stems) -> Self {
        let mut all = Self {
            words: Arc::new(Words::of(attributes, stems)),
            carriers: HashMap::new(),
        };
        for name in attributes.names() {
            all.count_carriers(attributes, name);
        }
        all
    }

    /// After these values changed.
    pub(in crate::index) fn with(
        &self,
        attributes: &AttributeTable,
        stems: &Stems,
        changed: &[ChangedValue],
    ) -> Self {
        if changed
            .iter()
            .any(|value| value.before == 0 || value.after == 0)
        {
            return Self::of(attributes, stems);
        }
        let mut next = self.clone();
        let names: BTreeSet<&AttributeName> = changed.iter().map(|value| &value.name).collect();
        for name in names {
            next.count_carriers(attributes, name);
        }
        next
    }

    fn count_carriers(&mut self, attributes: &AttributeTable, name: &AttributeName) {
        let mut carriers = RoaringBitmap::new();
        for (_, slots) in attributes.of(name) {
            carriers |= slots;
        }
        self.carriers.insert(name.clone(), Arc::new(carriers));
    }

    /// The attribute of a part that this stemmed noun names.
    pub(super) fn part(&self, noun: &str) -> Option<&AttributeName> {
        self.words.parts.get(noun)
    }

    fn is_part(&self, attribute: &AttributeName) -> bool {
        self.words.parts.values().any(|part| part == attribute)
    }

    /// The values, but for those of parts, that hold the stem.
    pub(super) fn holding(&self, stem: &str) -> impl Iterator<Item = &Value> {
        self.among(self.words.holding.get(stem))
    }

    /// The values, but for those of parts, that are just these stems.
    pub(super) fn whole(&self, stems: &[String]) -> impl Iterator<Item = &Value> {
        self.among(self.words.whole.get(stems))
    }

    fn among<'a>(&'a self, values: Option<&'a Vec<usize>>) -> impl Iterator<Item = &'a Value> {
        let values = values
            .into_iter()
            .flatten()
            .map(|value| &self.words.values[*value]);
        values.filter(|value| !self.is_part(&value.attribute))
    }

    /// The products that have any value of an attribute.
    pub(super) fn carriers(&self, attribute: &AttributeName) -> Option<&RoaringBitmap> {
        self.carriers.get(attribute).map(Arc::as_ref)
    }

    /// The value of a part's attribute that is just these stems.
    pub(super) fn of_part(&self, part: &AttributeName, stems: &[String]) -> Option<&Value> {
        let values = self.words.whole.get(stems)?.iter();
        values
            .map(|value| &self.words.values[*value])
            .find(|value| value.attribute == *part)
    }

    /// Words of the longest value.
    pub(super) fn longest(&self) -> usize {
        self.words.longest
    }
}

impl Words {
    fn of(attributes: &AttributeTable, stems: &Stems) -> Self {
        let mut words = Self::default();
        for name in attributes.names() {
            let Some((noun, of)) = name.as_str().rsplit_once('_') else {
                continue;
            };
            if attributes.names().any(|other| other.as_str() == of) {
                let noun = noun.rsplit('_').next().unwrap_or(noun);
                words.parts.insert(stems.stem(noun), name.clone());
            }
        }
        for (attribute, folded) in attributes.folded() {
            let value = words.values.len();
            words.values.push(Value {
                attribute: attribute.clone(),
                folded: folded.to_owned(),
                heads: heads(folded, stems),
            });
            let whole: Vec<String> = text::words(folded)
                .iter()
                .map(|word| stems.stem(&word.text))
                .collect();
            let mut held: Vec<String> = text::indexed(folded)
                .iter()
                .map(|word| stems.stem(word))
                .collect();
            held.sort_unstable();
            held.dedup();
            for stem in held {
                words.holding.entry(stem).or_default().push(value);
            }
            words.longest = words.longest.max(whole.len());
            words.whole.entry(whole).or_default().push(value);
        }
        words
    }
}

/// In English the last word of a noun phrase is what it is, and the others say which one.
fn heads(value: &str, stems: &Stems) -> Vec<String> {
    let all = text::words(value);
    let ends = |place: usize| {
        let next = all.get(place + 1);
        next.is_none_or(|next| next.apart || BETWEEN.contains(&next.text.as_str()))
    };
    let words = all.iter().enumerate();
    words
        .filter(|(place, _)| !stems.last_word_is_head() || ends(*place))
        .map(|(_, word)| stems.stem(&word.text))
        .collect()
}

impl Value {
    /// Whether the stem is of a word that says what the value is.
    pub(super) fn is_head(&self, stem: &str) -> bool {
        self.heads.iter().any(|head| head == stem)
    }

    pub(super) fn slots<'a>(&self, attributes: &'a AttributeTable) -> Option<&'a RoaringBitmap> {
        attributes.slots(&self.attribute, &self.folded)
    }
}
