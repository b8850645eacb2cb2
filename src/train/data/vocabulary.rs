//! A small vocabulary of CLIP's kind, learned from the captions, and the words of a text as token
//! ids.
//!
//! `tokenizer.json` behaves as transformers' `CLIPTokenizerFast`: lower-cased, split into words,
//! digits and punctuation, byte-level pair encoding with `</w>` at the end of a word,
//! `<|startoftext|>` before and `<|endoftext|>` after. The end's id is the highest, which is how
//! the text tower finds it. Every byte is in the vocabulary, so no text is unknown.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Tokenizer, Trainer,
};

use crate::model::tokenizer::{END, Marks, START, clip_tokenizer};

/// CLIP's pattern of what is one word.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    #[error("the vocabulary: {0}")]
    Tokenizer(tokenizers::Error),
    #[error(
        "a vocabulary of {asked} tokens is too small: bytes and the start and end tokens take 514"
    )]
    TooSmall { asked: usize },
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// Words -> ids, ready for the text tower.
#[derive(Clone)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    context: usize,
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocabulary")
            .field("size", &self.size())
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Vocabulary {
    /// Reads a `tokenizer.json`; texts are cut to `context` tokens, the end kept.
    ///
    /// # Errors
    /// If the file cannot be read as a tokenizer.
    pub fn open(file: &Path, context: usize) -> Result<Self, VocabularyError> {
        Self::with(
            Tokenizer::from_file(file).map_err(VocabularyError::Tokenizer)?,
            context,
        )
    }

    /// Reads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// If it is not a tokenizer.
    pub fn parse(json: &str, context: usize) -> Result<Self, VocabularyError> {
        Self::with(json.parse().map_err(VocabularyError::Tokenizer)?, context)
    }

    fn with(mut tokenizer: Tokenizer, context: usize) -> Result<Self, VocabularyError> {
        let truncation = tokenizers::TruncationParams {
            max_length: context,
            ..Default::default()
        };
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(VocabularyError::Tokenizer)?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, context })
    }

    /// How many ids there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The text's ids, start and end included, at most `context`.
    ///
    /// # Panics
    /// Never: every byte is in the vocabulary.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer
            .encode_fast(text, true)
            .expect("every byte has a token")
            .get_ids()
            .to_vec()
    }
}

/// Learns a vocabulary of at most `size` ids; the text of its `tokenizer.json`.
///
/// # Errors
/// If `size` leaves no room for a single merge.
pub fn learn<'a>(
    texts: impl Iterator<Item = &'a str>,
    size: usize,
) -> Result<String, VocabularyError> {
    // Every byte twice (inside and at the end of a word), and the two marks.
    const FIXED: usize = 2 * 256 + 2;
    if size <= FIXED {
        return Err(VocabularyError::TooSmall { asked: size });
    }
    let splitter: Tokenizer = clip_tokenizer(&json!({END: 0}), &json!([]), WORDS, None)
        .to_string()
        .parse()
        .map_err(VocabularyError::Tokenizer)?;
    let words_of = |text: &str| -> tokenizers::Result<Vec<String>> {
        let mut words = PreTokenizedString::from(text.to_lowercase());
        if let Some(pre) = splitter.get_pre_tokenizer() {
            pre.pre_tokenize(&mut words)?;
        }
        let splits = words.get_splits(OffsetReferential::Original, OffsetType::Byte);
        Ok(splits
            .into_iter()
            .map(|(word, _, _)| word.to_owned())
            .collect())
    };
    let alphabet: HashSet<char> = ByteLevel::alphabet().into_iter().collect();
    let mut letters: Vec<char> = alphabet.iter().copied().collect();
    letters.sort_unstable();
    let mut trainer = BpeTrainer::builder()
        .vocab_size(size)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(alphabet)
        .end_of_word_suffix("</w>".into())
        .build();
    let texts: Vec<&str> = texts.collect();
    trainer
        .feed(texts.iter(), words_of)
        .map_err(VocabularyError::Tokenizer)?;
    let mut model = BPE::default();
    trainer
        .train(&mut model)
        .map_err(VocabularyError::Tokenizer)?;
    let learned = serde_json::to_value(&model)?;
    let pairs: Vec<(String, String)> = match &learned["merges"] {
        Value::Array(list) => list.iter().filter_map(pair).take(size - FIXED).collect(),
        _ => Vec::new(),
    };
    let mut tokens: Vec<String> = letters.iter().map(char::to_string).collect();
    tokens.extend(letters.iter().map(|c| format!("{c}</w>")));
    let mut known: HashSet<String> = tokens.iter().cloned().collect();
    for (a, b) in &pairs {
        let joined = format!("{a}{b}");
        if known.insert(joined.clone()) {
            tokens.push(joined);
        }
    }
    let marks = Marks {
        start: tokens.len() as u64,
        end: tokens.len() as u64 + 1,
        start_normalized: true,
    };
    tokens.extend([START.to_owned(), END.to_owned()]);
    let vocab: serde_json::Map<String, Value> = tokens
        .into_iter()
        .enumerate()
        .map(|(id, token)| (token, id.into()))
        .collect();
    Ok(serde_json::to_string(&clip_tokenizer(
        &vocab.into(),
        &json!(pairs),
        WORDS,
        Some(marks),
    ))?)
}

fn pair(merge: &Value) -> Option<(String, String)> {
    match merge {
        Value::Array(two) => Some((
            two.first()?.as_str()?.to_owned(),
            two.get(1)?.as_str()?.to_owned(),
        )),
        Value::String(line) => line
            .split_once(' ')
            .map(|(a, b)| (a.to_owned(), b.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_the_highest_id_and_stays_when_a_text_is_cut() {
        let texts = ["black casual shoes", "blue shoes for men", "black shoes"];
        let json = learn(texts.iter().copied(), 600).expect("a vocabulary");
        let vocabulary = Vocabulary::parse(&json, 5).expect("parses");
        let end = u32::try_from(vocabulary.size()).expect("small") - 1;
        let ids = vocabulary.encode("Black  SHOES");
        assert_eq!(ids, vocabulary.encode("black shoes"));
        assert_eq!((ids[0], *ids.last().expect("ids")), (end - 1, end));
        let long = vocabulary.encode("black shoes, black shoes and more ünknown wörds ☂");
        assert_eq!((long.len(), long[4]), (5, end));
        let whole = Vocabulary::parse(&json, 77).expect("parses").encode("☂ ☂");
        assert!(
            whole[1..whole.len() - 1].iter().all(|&id| id < end - 1),
            "bytes, no unknown mark: {whole:?}"
        );
    }
}
