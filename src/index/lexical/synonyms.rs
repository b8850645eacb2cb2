//! Other words for the same thing: the default list of a fashion shop, and a shop's own.
//!
//! One rule a line; `#` begins a comment; words of a phrase are separated by spaces:
//!
//! | rule | meaning |
//! | --- | --- |
//! | `purse, handbag` | either finds both |
//! | `pants => trousers, track pants` | "pants" finds the others, they do not find it |
//! | `red ~> maroon, burgundy` | as `=>`, for what is near and comes after what was asked for |

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::text::{self, Stems};

/// The default list.
const FASHION: &str = include_str!("synonyms.txt");
/// Most bytes of a shop's own file.
const LARGEST: u64 = 4 << 20;

/// A phrase that may stand for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// Folded, not stemmed.
    pub words: Vec<String>,
    /// Only near in meaning.
    pub near: bool,
}

/// The rules, by what is asked for.
#[derive(Default)]
pub struct Synonyms {
    /// Stemmed phrase -> what it may stand for.
    rules: HashMap<Vec<String>, Vec<Synonym>>,
    /// Of the longest phrase, in words.
    longest: usize,
}

/// Why a file of synonyms cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SynonymsError {
    #[error("the synonyms in {path} cannot be read: {source}", path = path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("line {line} of the synonyms: {reason}")]
    Line { line: usize, reason: &'static str },
}

impl Synonyms {
    /// The default list, and a shop's own rules after it.
    ///
    /// # Errors
    /// When the file cannot be read, or a line of it is not a rule.
    pub fn read(stems: &Stems, own: Option<&Path>) -> Result<Self, SynonymsError> {
        let mut synonyms = Self::default();
        synonyms.add(stems, FASHION)?;
        if let Some(path) = own {
            let read = |source| SynonymsError::Read {
                path: path.to_owned(),
                source,
            };
            if std::fs::metadata(path).map_err(read)?.len() > LARGEST {
                let large = std::io::Error::other(format!("it is larger than {LARGEST} bytes"));
                return Err(read(large));
            }
            synonyms.add(stems, &std::fs::read_to_string(path).map_err(read)?)?;
        }
        Ok(synonyms)
    }

    /// Adds the rules of `text`.
    ///
    /// # Errors
    /// At the first line that is not a rule.
    pub fn add(&mut self, stems: &Stems, text: &str) -> Result<(), SynonymsError> {
        for (line, rule) in text.lines().enumerate() {
            let rule = rule.split('#').next().unwrap_or_default().trim();
            if !rule.is_empty() {
                self.add_rule(stems, rule)
                    .map_err(|reason| SynonymsError::Line {
                        line: line + 1,
                        reason,
                    })?;
            }
        }
        Ok(())
    }

    fn add_rule(&mut self, stems: &Stems, rule: &str) -> Result<(), &'static str> {
        let phrases = |list: &str| -> Vec<Vec<String>> {
            list.split(',')
                .map(phrase)
                .filter(|p| !p.is_empty())
                .collect()
        };
        let one_way = [("=>", false), ("~>", true)]
            .into_iter()
            .find_map(|(arrow, near)| Some((rule.split_once(arrow)?, near)));
        if let Some(((from, to), near)) = one_way {
            let (from, to) = (phrases(from), phrases(to));
            if from.is_empty() || to.is_empty() {
                return Err("there is nothing on one side of the arrow");
            }
            for from in &from {
                self.extend(stems, from, &to, near);
            }
            return Ok(());
        }
        let group = phrases(rule);
        if group.len() < 2 {
            return Err("a rule needs two phrases, separated by a comma or an arrow");
        }
        for from in &group {
            self.extend(stems, from, &group, false);
        }
        Ok(())
    }

    fn extend(&mut self, stems: &Stems, from: &[String], to: &[Vec<String>], near: bool) {
        let key: Vec<String> = from.iter().map(|word| stems.stem(word)).collect();
        self.longest = self.longest.max(key.len());
        let known = self.rules.entry(key).or_default();
        for words in to {
            if words != from && !known.iter().any(|synonym| synonym.words == *words) {
                known.push(Synonym {
                    words: words.clone(),
                    near,
                });
            }
        }
    }

    /// What a stemmed phrase may stand for.
    #[must_use]
    pub fn of(&self, stems: &[String]) -> &[Synonym] {
        self.rules.get(stems).map_or(&[], Vec::as_slice)
    }

    /// Words of the longest phrase that there is a rule for.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }
}

fn phrase(text: &str) -> Vec<String> {
    let words = text::words(text).into_iter();
    words.map(|word| word.text).collect()
}

#[cfg(test)]
mod tests {
    use super::super::text::Language;
    use super::*;

    fn of(text: &str, asked: &str) -> Vec<String> {
        let stems = Stems::of(Language::English);
        let mut synonyms = Synonyms::default();
        synonyms.add(&stems, text).expect("rules");
        let key: Vec<String> = phrase(asked).iter().map(|word| stems.stem(word)).collect();
        synonyms
            .of(&key)
            .iter()
            .map(|s| format!("{}{}", if s.near { "~" } else { "" }, s.words.join(" ")))
            .collect()
    }

    #[test]
    fn rules_go_one_way_or_both() {
        let text = "purse, handbag # bags\n\npants => trousers, track pants\nred ~> maroon\n";
        assert_eq!(of(text, "purses"), ["handbag"]);
        assert_eq!(of(text, "handbag"), ["purse"]);
        assert_eq!(of(text, "pants"), ["trousers", "track pants"]);
        assert_eq!(of(text, "track pants"), [""; 0]);
        assert_eq!(of(text, "red"), ["~maroon"]);
        assert_eq!(of(text, "maroon"), [""; 0]);
    }

    #[test]
    fn a_line_that_is_not_a_rule_is_named() {
        let stems = Stems::of(Language::English);
        for (text, line) in [("a, b\nalone", 2), ("=> b", 1), ("a ~> ,", 1)] {
            let error = Synonyms::default().add(&stems, text).expect_err(text);
            assert!(
                matches!(error, SynonymsError::Line { line: at, .. } if at == line),
                "{error}"
            );
        }
    }

    #[test]
    fn the_default_list_can_be_read() {
        let stems = Stems::of(Language::English);
        let synonyms = Synonyms::read(&stems, None).expect("the list");
        let tee = synonyms.of(&[stems.stem("tee")]);
        assert!(tee.iter().any(|s| s.words == ["tshirt"]), "{tee:?}");
        let missing = Synonyms::read(&stems, Some(Path::new("/nowhere/synonyms.txt")));
        assert!(matches!(missing, Err(SynonymsError::Read { .. })));
    }
}
