//! What a query in words asks for: its words become parts, each with the products that match it and
//! how strongly.
//!
//! In order: an article number or a whole title; what is ruled out ("without", "not", "-"); parts of
//! a product that have attributes of their own ("with red laces"); then, from left to right, the
//! longest phrase that is a value of an attribute or that there is a synonym for, words that are
//! written apart or together in the catalog, words as they are, and slips corrected.

use roaring::RoaringBitmap;

use super::matches::{Form, Phrase, Reader, Reading};
use super::spelling;
use super::strengths::Strengths;
use super::text::{self, Word};
use crate::domain::AttributeName;
use crate::index::rank::{self, strength};

/// Words that say nothing of a product.
const FILLERS: [&str; 30] = [
    "a", "an", "the", "for", "with", "in", "of", "and", "or", "on", "to", "from", "by", "my", "i",
    "me", "want", "need", "looking", "find", "show", "please", "some", "is", "are", "at", "that",
    "under", "s", "d",
];
/// Words that say nothing behind a color.
const COLORED: [&str; 4] = ["color", "colour", "colored", "coloured"];
/// Words that rule out what comes after them.
const NEGATIONS: [&str; 7] = [
    "without",
    "no",
    "not",
    "non",
    "except",
    "minus",
    "excluding",
];
/// Behind the noun of a part: the product has none ("laceless").
const NONE_OF_IT: &str = "less";
/// Words of the longest phrase that is looked for.
const LONGEST_PHRASE: usize = 5;
/// A query of so many words may be a title in another order.
const TITLE_WORDS: usize = 3;
/// Most words of a query that are looked at.
const MOST_WORDS: usize = 32;
/// Most words of a query that are corrected, and that a correction is held against: each goes
/// through the whole vocabulary.
const MOST_SLIPS: usize = 8;

/// What a query asks for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub parts: Vec<Part>,
    /// Products with the article number, or with the title, that the query is.
    pub exact: RoaringBitmap,
    /// Products whose title holds every word of a query of [`TITLE_WORDS`] and more.
    pub entitled: RoaringBitmap,
    /// Products that the query rules out.
    pub excluded: RoaringBitmap,
    /// The query with its slips corrected, when there were any.
    pub corrected: Option<String>,
    /// Words that the catalog does not hold and that were not corrected.
    pub unknown: Vec<String>,
}

/// A part of a query: a word or a phrase.
#[derive(Clone, Debug)]
pub struct Part {
    /// As it was understood.
    pub text: String,
    /// How many words it has.
    pub words: usize,
    /// Whether it says what the product is (it names a value of the category, or one of its words).
    pub kind: bool,
    /// Whether it names a value of an attribute outright, or what the product is.
    pub named: bool,
    pub strengths: Strengths,
}

impl Reader<'_> {
    #[must_use]
    pub fn read(&self, text: &str, reading: Reading<'_>) -> Asked {
        let mut words = text::words(text);
        words.truncate(MOST_WORDS);
        let mut asked = Asked {
            exact: self.exact(text, &words),
            ..Asked::default()
        };
        let (mut kept, mut corrections) = (self.without_fillers(&words), Vec::new());
        asked.entitled = self.entitled(&kept);
        if !self.is_value(&words) {
            self.take_parts_of_products(&mut kept, &mut asked);
        }
        let mut phrases = self.phrases(&kept, reading, &mut asked.unknown, &mut corrections);
        // Among words of another language one that looks like a slip is none.
        let sure = asked.unknown.is_empty() || phrases.len() > corrections.len();
        if !corrections.is_empty() && !sure && asked.parts.is_empty() {
            asked
                .unknown
                .extend(corrections.drain(..).map(|(typed, _)| typed));
            phrases.clear();
        }
        for phrase in phrases {
            let found = self.found(&phrase, reading);
            let (kind, named) = (!found.of_kind.is_empty(), found.named);
            let strengths = found.joined();
            if phrase.negated {
                asked.excluded |= strengths.from(strength::TITLE);
            } else if !strengths.is_empty() {
                asked.parts.push(Part {
                    text: phrase.words.join(" "),
                    words: phrase.words.len(),
                    kind,
                    named: named || kind,
                    strengths,
                });
            }
        }
        if !corrections.is_empty() {
            asked.corrected = Some(replaced(&words, &corrections));
        }
        asked
    }

    fn exact(&self, text: &str, words: &[Word]) -> RoaringBitmap {
        let mut exact = self.lexicon.with_id(text);
        for word in words {
            let number = word.text.len() > 2 && word.text.bytes().any(|b| b.is_ascii_digit());
            // "nike 2011": a number that titles hold is meant as their word.
            let in_titles = || {
                let term = self.lexicon.term(&self.lexicon.stems().stem(&word.text));
                term.is_some_and(|term| !term.title.is_empty())
            };
            if number && (words.len() == 1 || !in_titles()) {
                exact |= self.lexicon.with_id(&word.text);
            }
        }
        if words.len() > 1 {
            exact |= self
                .lexicon
                .with_title(words.iter().map(|word| word.text.as_str()));
        }
        exact
    }

    /// The products whose title holds every word, in whatever order; none for few words, which many
    /// titles hold by chance.
    fn entitled(&self, kept: &[(&Word, bool)]) -> RoaringBitmap {
        if kept.len() < TITLE_WORDS || kept.iter().any(|(_, negated)| *negated) {
            return RoaringBitmap::new();
        }
        let stems = kept
            .iter()
            .map(|(word, _)| self.lexicon.stems().stem(&word.text));
        let mut titles = stems.map(|stem| self.lexicon.term(&stem).map(|term| &term.title));
        let Some(Some(first)) = titles.next() else {
            return RoaringBitmap::new();
        };
        titles
            .try_fold(first.clone(), |all, title| title.map(|title| all & title))
            .unwrap_or_default()
    }

    /// The words that say something, and whether each is ruled out.
    fn without_fillers<'w>(&self, words: &'w [Word]) -> Vec<(&'w Word, bool)> {
        let mut kept: Vec<(&Word, bool)> = Vec::new();
        let mut negated = false;
        // Whether the word before was ruled out by a word: then "or" goes on with it.
        let mut goes_on = false;
        let mut place = 0;
        while let Some(word) = words.get(place) {
            let next = words.get(place + 1);
            if next.is_some_and(|next| is_negation(&word.text, &next.text))
                && words.len() > place + 2
            {
                (negated, place) = (true, place + 2);
                continue;
            }
            place += 1;
            let is = |list: &[&str]| list.contains(&word.text.as_str());
            if is(&NEGATIONS) && next.is_some_and(|next| !self.is_name(&word.text, &next.text)) {
                negated = true;
                continue;
            }
            if goes_on && is(&["or", "nor"]) && next.is_some() {
                negated = true;
                continue;
            }
            // A filler that hangs together with its neighbor belongs to a name ("in-ear", "d&g").
            let alone = word.glue.is_none() && next.is_none_or(|next| next.glue.is_none());
            // "show me red shoes", but "no show socks".
            let says_something = word.text == "show" && place > 1;
            if is(&FILLERS) && alone && !says_something {
                continue;
            }
            // "wine colored heels", but "lip color".
            if is(&COLORED)
                && kept
                    .last()
                    .is_some_and(|last| !self.is_phrase(last.0, word))
            {
                continue;
            }
            kept.push((word, negated || word.minus));
            goes_on = negated;
            negated = false;
        }
        if kept.is_empty() {
            // Nothing but fillers: then they are what is asked for.
            kept = words.iter().map(|word| (word, false)).collect();
        }
        kept
    }

    /// Whether two words are a value together, or have a synonym.
    fn is_phrase(&self, first: &Word, second: &Word) -> bool {
        let stems = [first, second].map(|word| self.lexicon.stems().stem(&word.text));
        self.values.whole(&stems).next().is_some() || !self.synonyms.of(&stems).is_empty()
    }

    /// Whether products are called so ("no show socks"): then it is not a negation.
    fn is_name(&self, negation: &str, next: &str) -> bool {
        let stem = |word: &str| self.lexicon.stems().stem(word);
        let title = |word: &str| self.lexicon.term(&stem(word)).map(|term| &term.title);
        let (Some(of_negation), Some(of_next)) = (title(negation), title(next)) else {
            return false;
        };
        // Of the products that say the word most say the negation, too; "non" is said of nothing
        // else ("non leather").
        let least = if negation == "non" {
            of_negation.len().min(of_next.len())
        } else {
            of_next.len()
        };
        2 * of_negation.intersection_len(of_next) > least
    }

    /// Whether all of a query is one value ("shoe laces"): then it asks for these and not for products
    /// with them.
    fn is_value(&self, words: &[Word]) -> bool {
        let stems = words
            .iter()
            .map(|word| self.lexicon.stems().stem(&word.text));
        let apart = || matches!(words, [word] if self.apart(&word.text).is_some());
        self.values
            .whole(&stems.collect::<Vec<_>>())
            .next()
            .is_some()
            || apart()
    }

    /// Takes out the nouns of a product's parts with the values beside them.
    fn take_parts_of_products(&self, kept: &mut Vec<(&Word, bool)>, asked: &mut Asked) {
        while let Some((place, attribute, none)) = self.part_of_a_product(kept) {
            let stem = |word: &Word| self.lexicon.stems().stem(&word.text);
            let negated = kept[place].1 != none;
            let value_at = |from: usize, to: usize| {
                let words = kept.get(from..to)?;
                let stems: Vec<String> = words.iter().map(|(word, _)| stem(word)).collect();
                let others = self.synonyms.of(&stems).iter();
                let others = others.filter(|synonym| !synonym.near);
                let value = std::iter::once(stems.clone())
                    .chain(others.map(|synonym| self.stems(&synonym.words)))
                    .find_map(|stems| self.values.of_part(&attribute, &stems))?;
                Some((from, to, value.slots(self.attributes)?, words[0].1))
            };
            // "dark blue laces", "red laces", "laces red" (of "laces in red").
            let found = [(2, 0), (1, 0)]
                .into_iter()
                .filter_map(|(back, _)| Some((place.checked_sub(back)?, place)))
                .chain([(place + 1, place + 2)])
                .find_map(|(from, to)| value_at(from, to));
            let carriers = self.attributes.of(&attribute);
            let with = carriers.filter(|(value, _)| !says_none(value)).fold(
                RoaringBitmap::new(),
                |mut all, (_, slots)| {
                    all |= slots;
                    all
                },
            );
            let mut strengths = Strengths::default();
            let mut text = kept[place].0.text.clone();
            let (mut from, mut to) = (place, place + 1);
            match found {
                Some((first, last, slots, ruled_out)) => {
                    (from, to) = (from.min(first), to.max(last));
                    text = kept[from..to]
                        .iter()
                        .map(|(word, _)| word.text.as_str())
                        .collect::<Vec<_>>()
                        .join(" ");
                    if negated || ruled_out {
                        asked.excluded |= slots;
                    } else {
                        strengths.add(strength::WHOLE_VALUE, slots);
                    }
                }
                None if negated => {
                    asked.excluded |= &with;
                    let none = self
                        .attributes
                        .of(&attribute)
                        .filter(|(value, _)| says_none(value));
                    for (_, slots) in none {
                        strengths.add(strength::WHOLE_VALUE, slots);
                    }
                }
                None => strengths.add(strength::WHOLE_VALUE, &with),
            }
            if !strengths.is_empty() {
                asked.parts.push(Part {
                    text,
                    words: to - from,
                    kind: false,
                    named: true,
                    strengths,
                });
            }
            kept.drain(from..to);
        }
    }

    /// The first noun of a part that has an attribute, and whether it says that there is none
    /// ("laceless").
    fn part_of_a_product(&self, kept: &[(&Word, bool)]) -> Option<(usize, AttributeName, bool)> {
        kept.iter().enumerate().find_map(|(place, (word, _))| {
            if let Some(attribute) = self.attribute_of_part(&word.text) {
                return Some((place, attribute.clone(), false));
            }
            let attribute = self.attribute_of_part(word.text.strip_suffix(NONE_OF_IT)?)?;
            Some((place, attribute.clone(), true))
        })
    }

    fn attribute_of_part(&self, noun: &str) -> Option<&AttributeName> {
        let stem = self.lexicon.stems().stem(noun);
        self.values.part(&stem).or_else(|| {
            let others = self.synonyms.of(std::slice::from_ref(&stem)).iter();
            let nouns = others.filter(|synonym| synonym.words.len() == 1 && !synonym.near);
            nouns
                .map(|synonym| self.lexicon.stems().stem(&synonym.words[0]))
                .find_map(|stem| self.values.part(&stem))
        })
    }

    /// The phrases, from left to right.
    fn phrases(
        &self,
        kept: &[(&Word, bool)],
        reading: Reading<'_>,
        unknown: &mut Vec<String>,
        corrections: &mut Vec<(String, String)>,
    ) -> Vec<Phrase> {
        let begins = |text: &str| self.lexicon.beginning(text).next().is_some();
        let mut phrases = Vec::new();
        let mut place = 0;
        while place < kept.len() {
            let (word, negated) = kept[place];
            let text = word.text.as_str();
            let last = place + 1 == kept.len();
            // Words that are ruled out together with this one do not go on behind a break.
            let most = kept[place..]
                .iter()
                .enumerate()
                .take_while(|(i, (word, negated))| *i == 0 || (!negated && !word.minus))
                .count();
            if let Some(length) = self.longest_phrase(&kept[place..], most) {
                phrases.push(Phrase::of(
                    &kept[place..place + length],
                    negated,
                    Form::Words,
                ));
                place += length;
                continue;
            }
            if let Some((next, false)) = kept.get(place + 1) {
                let joined = format!("{text}{}", next.text);
                let unfinished = reading.prefix && place + 2 == kept.len();
                let form = if self.lexicon.products(&joined) > 1 {
                    Some(Form::Also(vec![joined]))
                } else if unfinished && next.glue.is_some() && begins(&joined) {
                    Some(Form::Beginning(joined))
                } else {
                    None
                };
                if let Some(form) = form {
                    phrases.push(Phrase::of(&kept[place..place + 2], negated, form));
                    place += 2;
                    continue;
                }
            }
            place += 1;
            let single = |text: &str, form| Phrase {
                words: vec![text.to_owned()],
                negated,
                form,
            };
            if last && reading.prefix && begins(text) {
                phrases.push(single(text, Form::Beginning(text.to_owned())));
                continue;
            }
            let stem = self.lexicon.stems().stem(text);
            let has_synonym = !self.synonyms.of(std::slice::from_ref(&stem)).is_empty();
            if has_synonym {
                phrases.push(single(text, Form::Words));
                continue;
            }
            if let Some(apart) = self.apart(text) {
                phrases.push(single(text, Form::Also(apart)));
                continue;
            }
            if let Some(form) = spelling::known(self.lexicon, text) {
                phrases.push(single(&form, Form::Words));
                continue;
            }
            let others: Vec<&str> = kept
                .iter()
                .take(MOST_SLIPS)
                .map(|(word, _)| word.text.as_str())
                .collect();
            let looked_for = corrections.len() + unknown.len();
            let corrected =
                || spelling::corrected(self.lexicon, text, |word| self.fits(word, &others));
            let typo = reading.typo && looked_for < MOST_SLIPS;
            if let Some(meant) = typo.then(corrected).flatten() {
                corrections.push((text.to_owned(), meant.clone()));
                phrases.push(single(&meant, Form::Words));
            } else if let Some((first, second)) = spelling::split(self.lexicon, text) {
                phrases.push(single(&first, Form::Words));
                phrases.push(single(&second, Form::Words));
            } else if self.lexicon.term(&stem).is_some() {
                phrases.push(single(text, Form::Words));
            } else {
                unknown.push(text.to_owned());
            }
        }
        phrases
    }

    /// The two words as which a value of an attribute writes this one ("trackpants": "Track Pants").
    fn apart(&self, word: &str) -> Option<Vec<String>> {
        let stem = |word: &str| self.lexicon.stems().stem(word);
        let cuts = word.char_indices().map(|(at, _)| at).skip(2);
        cuts.map(|at| word.split_at(at))
            .find(|(first, second)| {
                let stems = [stem(first), stem(second)];
                self.values.whole(&stems).next().is_some()
            })
            .map(|(first, second)| vec![first.to_owned(), second.to_owned()])
    }

    /// Words of the longest phrase of two or more that begins here and is a value or has a synonym.
    fn longest_phrase(&self, kept: &[(&Word, bool)], most: usize) -> Option<usize> {
        let longest = self
            .values
            .longest()
            .max(self.synonyms.longest())
            .min(LONGEST_PHRASE)
            .min(most);
        let stems: Vec<String> = kept[..longest.min(kept.len())]
            .iter()
            .map(|(word, _)| self.lexicon.stems().stem(&word.text))
            .collect();
        (2..=stems.len()).rev().find(|length| {
            let stems = &stems[..*length];
            self.values.whole(stems).next().is_some() || !self.synonyms.of(stems).is_empty()
        })
    }

    /// How many products hold the word beside another one of the query.
    fn fits(&self, word: &str, others: &[&str]) -> u32 {
        let all = |word: &str| {
            let mut all = RoaringBitmap::new();
            let stem = self.lexicon.stems().stem(word);
            if let Some(term) = self.lexicon.term(&stem) {
                all |= &term.title;
            }
            for value in self.values.holding(&stem) {
                if let Some(slots) = value.slots(self.attributes) {
                    all |= slots;
                }
            }
            all
        };
        let own = all(word);
        let together = others.iter().map(|other| own.intersection_len(&all(other)));
        u32::try_from(together.sum::<u64>()).unwrap_or(u32::MAX)
    }
}

/// Whether a value of a part says that there is none ("none", "no laces").
fn says_none(folded: &str) -> bool {
    folded == "none"
        || folded == "no"
        || folded.starts_with("no ")
        || folded.starts_with("without ")
}

/// The query with words replaced.
fn replaced(words: &[Word], corrections: &[(String, String)]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(word.glue.unwrap_or(' '));
        }
        let meant = corrections.iter().find(|(typed, _)| *typed == word.text);
        text.push_str(meant.map_or(&word.text, |(_, meant)| meant));
    }
    text
}

/// Two words that rule out what comes after them.
fn is_negation(first: &str, second: &str) -> bool {
    match second {
        "than" => first == "other",
        "but" => ["anything", "everything", "all"].contains(&first),
        _ => false,
    }
}

impl Asked {
    /// Whether the query rules out products and asks for none.
    #[must_use]
    pub fn only_excludes(&self) -> bool {
        self.parts.is_empty() && self.unknown.is_empty() && !self.excluded.is_empty()
    }

    /// The products that match each part, as a value or in a title.
    #[must_use]
    pub fn whole(&self) -> RoaringBitmap {
        let mut parts = self
            .parts
            .iter()
            .map(|part| part.strengths.from(rank::SAID));
        let first = parts.next().unwrap_or_default();
        parts.fold(first, |all, part| all & part) - &self.excluded
    }

    /// The products that match all that the query names outright; `None` when it names nothing, or
    /// no product matches all of it.
    #[must_use]
    pub fn named(&self) -> Option<RoaringBitmap> {
        let mut named = self.parts.iter().filter(|part| part.named);
        let first = named.next()?.strengths.from(rank::NAMED);
        let all = named.fold(first, |all, part| all & part.strengths.from(rank::NAMED));
        Some(all - &self.excluded).filter(|all| !all.is_empty())
    }

    /// The weight of each part in the ranking.
    #[must_use]
    pub fn weights(&self, products: u32) -> Vec<f32> {
        let matching = self.parts.iter().map(|part| part.strengths.all().len());
        let known: Vec<(u64, usize, bool)> = matching
            .zip(&self.parts)
            .map(|(matching, part)| (matching, part.words, part.kind))
            .collect();
        rank::weights(&known, u64::from(products))
    }
}
