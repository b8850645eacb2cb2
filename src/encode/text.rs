//! Words -> token ids, as transformers' `CLIPTokenizer` makes them.
//!
//! What a tokenizer does (normal form, lower case, splitting, byte-pair merges, start and end
//! tokens) stands in the model's `tokenizer.json`, and the `tokenizers` crate does it. Truncation
//! is set here: at the manifest's context length, the end token kept. Nothing is padded: the graph
//! takes any length.

use std::path::{Path, PathBuf};

use tokenizers::{Tokenizer, TruncationParams};

#[derive(Debug, thiserror::Error)]
pub enum TextError {
    #[error("{path} is no usable tokenizer: {reason}")]
    Load { path: PathBuf, reason: String },
    #[error("the text cannot be tokenized: {reason}")]
    Tokenize { reason: String },
}

pub struct TextTokenizer {
    tokenizer: Tokenizer,
}

impl TextTokenizer {
    /// `context_length`: the longest text in tokens, start and end included.
    ///
    /// # Errors
    /// When the file is not a tokenizer, or one that does not end texts with `end_of_text`, where the
    /// text tower is pooled.
    pub fn open(path: &Path, context_length: usize, end_of_text: u32) -> Result<Self, TextError> {
        let load = |reason: String| TextError::Load {
            path: path.to_owned(),
            reason,
        };
        let mut tokenizer = Tokenizer::from_file(path).map_err(|e| load(e.to_string()))?;
        tokenizer.with_padding(None);
        let truncation = TruncationParams {
            max_length: context_length,
            ..TruncationParams::default()
        };
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(|e| load(e.to_string()))?;
        let tokenizer = Self { tokenizer };
        let long = "shoe ".repeat(context_length + 1);
        for text in ["", "shoe", &long] {
            let ids = tokenizer.ids(text)?;
            if ids.last() != Some(&end_of_text) || ids.len() > context_length {
                let words = text.chars().take(10).collect::<String>();
                return Err(load(format!(
                    "it does not end {words:?} with token {end_of_text}"
                )));
            }
        }
        Ok(tokenizer)
    }

    /// Whether a word is one token: training has seen it often enough for one of its own.
    #[must_use]
    pub fn knows(&self, word: &str) -> bool {
        self.ids(word).is_ok_and(|ids| ids.len() == 3)
    }

    /// Whether no token of a text is beyond the context length. A text that cannot be tokenized has none.
    #[must_use]
    pub fn reads_whole(&self, text: &str) -> bool {
        let encoding = self.tokenizer.encode_fast(text, true);
        encoding.is_ok_and(|encoding| encoding.get_overflowing().is_empty())
    }

    /// Start token, words, end token; 2 to the context length of them.
    ///
    /// # Errors
    /// When the tokenizer fails, as one without a token for unknown words may.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|e| TextError::Tokenize {
                reason: e.to_string(),
            })?;
        Ok(encoding.get_ids().to_vec())
    }
}
