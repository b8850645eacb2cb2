//! Text -> the words that are compared: folded, joined, stemmed.

use std::str::FromStr;

use frostem::{Algorithm, Stemmer};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::domain::text::is_unseen;

/// Longest word that is kept, in characters; the rest of a longer one is dropped.
const LONGEST: usize = 40;

/// By whose rules endings are cut off. `None`: by nobody's, a word matches as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    None,
    #[default]
    English,
    Danish,
    Dutch,
    Finnish,
    French,
    German,
    Hungarian,
    Italian,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Turkish,
}

/// Not a language that there is a stemmer for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a language that is known here; these are: {known}", known = Language::names())]
pub struct UnknownLanguage {
    pub name: String,
}

impl Language {
    const ALL: [(Self, &str); 16] = [
        (Self::None, "none"),
        (Self::English, "english"),
        (Self::Danish, "danish"),
        (Self::Dutch, "dutch"),
        (Self::Finnish, "finnish"),
        (Self::French, "french"),
        (Self::German, "german"),
        (Self::Hungarian, "hungarian"),
        (Self::Italian, "italian"),
        (Self::Norwegian, "norwegian"),
        (Self::Portuguese, "portuguese"),
        (Self::Romanian, "romanian"),
        (Self::Russian, "russian"),
        (Self::Spanish, "spanish"),
        (Self::Swedish, "swedish"),
        (Self::Turkish, "turkish"),
    ];

    fn names() -> String {
        Self::ALL.map(|(_, name)| name).join(", ")
    }

    fn algorithm(self) -> Option<Algorithm> {
        Some(match self {
            Self::None => return None,
            Self::English => Algorithm::English,
            Self::Danish => Algorithm::Danish,
            Self::Dutch => Algorithm::Dutch,
            Self::Finnish => Algorithm::Finnish,
            Self::French => Algorithm::French,
            Self::German => Algorithm::German,
            Self::Hungarian => Algorithm::Hungarian,
            Self::Italian => Algorithm::Italian,
            Self::Norwegian => Algorithm::Norwegian,
            Self::Portuguese => Algorithm::Portuguese,
            Self::Romanian => Algorithm::Romanian,
            Self::Russian => Algorithm::Russian,
            Self::Spanish => Algorithm::Spanish,
            Self::Swedish => Algorithm::Swedish,
            Self::Turkish => Algorithm::Turkish,
        })
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Self::ALL.iter().find(|(language, _)| language == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(name: &str) -> Result<Self, UnknownLanguage> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found
            .map(|(language, _)| *language)
            .ok_or_else(|| UnknownLanguage {
                name: name.to_owned(),
            })
    }
}

/// Cuts off endings, so that "shoe" and "shoes" are one word (the Snowball stemmers).
pub struct Stems {
    language: Language,
    stemmer: Option<Stemmer>,
}

impl Stems {
    #[must_use]
    pub fn of(language: Language) -> Self {
        Self {
            language,
            stemmer: language.algorithm().map(Stemmer::new),
        }
    }

    /// Whether a noun phrase ends with the word that says what it is, as an English one does ("shoe
    /// accessories").
    #[must_use]
    pub fn last_word_is_head(&self) -> bool {
        self.language == Language::English
    }

    #[must_use]
    pub fn stem(&self, word: &str) -> String {
        match &self.stemmer {
            // Numbers have no endings.
            Some(stemmer) if !word.bytes().any(|b| b.is_ascii_digit()) => {
                stemmer.stem(word).to_string()
            }
            _ => word.to_owned(),
        }
    }
}

/// In lower case, without accents and without what is not seen: "Été" is "ete".
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfkd()
        .filter(|c| !is_combining_mark(*c) && !is_unseen(*c))
        .flat_map(char::to_lowercase)
        .collect()
}

/// A word of a text, folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// What stands right before it without white space between: `-` in "t-shirt" before "shirt".
    pub glue: Option<char>,
    /// Whether white space, and then a minus sign, comes before it: "shoes -leather".
    pub minus: bool,
    /// Whether more than white space or a hyphen keeps it apart from the word before: "tops/tees".
    pub apart: bool,
}

/// The words of a text: runs of letters and digits. An apostrophe belongs to its word and is left
/// out, as is the `'s` of a possessive: "Levi's" is "levi".
#[must_use]
pub fn words(text: &str) -> Vec<Word> {
    let text = fold(text).replace('\u{2019}', "'");
    let mut words: Vec<Word> = Vec::new();
    let mut characters = text.char_indices().peekable();
    // What was between the last word and here.
    let mut between = String::new();
    let mut any_before = false;
    while let Some(&(start, c)) = characters.peek() {
        if !c.is_alphanumeric() {
            between.push(c);
            characters.next();
            continue;
        }
        let mut end = start;
        while let Some(&(at, c)) = characters.peek() {
            if c.is_alphanumeric() {
                characters.next();
                end = at + c.len_utf8();
                continue;
            }
            let after = &text[at + c.len_utf8()..];
            // Inside of a word.
            if c == '\'' && after.starts_with(char::is_alphanumeric) {
                characters.next();
                continue;
            }
            break;
        }
        let raw = &text[start..end];
        let raw = raw.strip_suffix("'s").unwrap_or(raw);
        let word: String = raw.chars().filter(|c| *c != '\'').take(LONGEST).collect();
        let mut gap = between.chars();
        let glue = match (any_before, gap.next(), gap.next()) {
            (true, Some(c), None) if "-./&+_".contains(c) => Some(c),
            _ => None,
        };
        let minus = {
            let between = between.trim_end_matches(['"', '\'', '\u{201c}', '\u{201e}']);
            let dashes = ['-', '\u{2013}', '\u{2212}'];
            let before = between.trim_end_matches(dashes);
            before.len() < between.len()
                && (before.ends_with(char::is_whitespace) || (!any_before && before.is_empty()))
        };
        let joins = |c: char| c.is_whitespace() || "-_.+".contains(c);
        words.push(Word {
            text: word,
            glue,
            minus,
            apart: any_before && !between.chars().all(joins),
        });
        between.clear();
        any_before = true;
    }
    words
}

/// The words of a text as an index holds them: each, and those that hang together joined ("t-shirt":
/// "t", "shirt" and "tshirt"; "U.S.": "u", "s" and "us").
#[must_use]
pub fn indexed(text: &str) -> Vec<String> {
    let words = words(text);
    let mut all: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
    let mut start = 0;
    while start < words.len() {
        let mut end = start + 1;
        while end < words.len() && words[end].glue.is_some() {
            end += 1;
        }
        if end - start > 1 {
            let joined: String = words[start..end].iter().map(|w| w.text.as_str()).collect();
            if joined.chars().count() <= LONGEST {
                all.push(joined);
            }
        }
        start = end;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_folded_and_possessives_cut() {
        assert_eq!(plain("Été CAFÉ, naïve"), ["ete", "cafe", "naive"]);
        assert_eq!(plain("Levi's Men's jeans"), ["levi", "men", "jeans"]);
        assert_eq!(plain("rock'n'roll \u{2019}80s"), ["rocknroll", "80s"]);
        assert_eq!(plain("50% off!!"), ["50", "off"]);
        assert_eq!(
            plain("for\u{200b}mal sh\u{ad}oes\u{feff}"),
            ["formal", "shoes"]
        );
        assert_eq!(plain("ﬁne Ⅳ"), ["fine", "iv"]);
        assert_eq!(plain(" \u{200b} -- "), [""; 0]);
        assert_eq!(plain(&"x".repeat(500)), ["x".repeat(LONGEST)]);
    }

    #[test]
    fn a_minus_before_a_word_is_not_a_hyphen_in_it() {
        let minus = |text: &str| -> Vec<bool> { words(text).iter().map(|w| w.minus).collect() };
        assert_eq!(minus("shoes -leather"), [false, true]);
        assert_eq!(minus("-leather"), [true]);
        assert_eq!(minus("t-shirt"), [false, false]);
        assert_eq!(minus("shoes - leather"), [false, false]);
    }

    #[test]
    fn what_hangs_together_is_joined_too() {
        assert_eq!(indexed("White T-Shirt"), ["white", "t", "shirt", "tshirt"]);
        assert_eq!(indexed("U.S. Polo"), ["u", "s", "polo", "us"]);
        assert_eq!(indexed("plain words"), ["plain", "words"]);
    }

    #[test]
    fn endings_are_those_of_the_language() {
        let english = Stems::of(Language::English);
        assert_eq!(english.stem("shoes"), english.stem("shoe"));
        assert_eq!(english.stem("watches"), english.stem("watch"));
        assert_eq!(english.stem("501s"), "501s");
        let german = Stems::of(Language::German);
        assert_eq!(german.stem("schuhe"), german.stem("schuh"));
        assert_eq!(Stems::of(Language::None).stem("shoes"), "shoes");
        assert_eq!("german".parse(), Ok(Language::German));
        let error = "klingon".parse::<Language>().expect_err("unknown");
        assert!(error.to_string().contains("english"), "{error}");
        for (language, name) in Language::ALL {
            assert_eq!(language.to_string(), name);
            assert_eq!(name.parse(), Ok(language));
        }
    }
}
