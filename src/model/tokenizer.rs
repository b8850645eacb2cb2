//! `tokenizer.json`: found, or built from the `vocab.json` and `merges.txt` of older checkpoints;
//! and checked to be one that a CLIP text tower was trained with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::clip_config::{Pooling, TextTower};
use super::manifest::TOKENIZER;

pub(crate) const START: &str = "<|startoftext|>";
pub(crate) const END: &str = "<|endoftext|>";

/// How CLIP splits text before BPE (Radford et al. 2021, `simple_tokenizer.py`; case is folded
/// before).
const SPLIT: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{folder} has no tokenizer.json, and no vocab.json and merges.txt to build one from")]
    Missing { folder: PathBuf },
    #[error("{file}: {reason}")]
    Broken { file: &'static str, reason: String },
    #[error(
        "the tokenizer puts no start and end tokens around a text: this is not a CLIP tokenizer"
    )]
    NoEnds,
    #[error(
        "the tokenizer ends a text with id {tokenizer}, config.json's eos_token_id is {config}"
    )]
    EndOfText { tokenizer: u32, config: u32 },
    #[error("the tokenizer makes ids up to {highest}, the text tower knows {vocabulary} tokens")]
    Vocabulary { highest: u32, vocabulary: usize },
}

/// The text of the folder's `tokenizer.json`, built from `vocab.json` and `merges.txt` where it has
/// none.
///
/// # Errors
/// [`TokenizerError`]: when neither is there or a file cannot be read.
pub fn read(folder: &Path) -> Result<Vec<u8>, TokenizerError> {
    let whole = folder.join(TOKENIZER);
    let (vocabulary, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
    let read =
        |path: PathBuf| fs::read(&path).map_err(|source| TokenizerError::Io { path, source });
    if whole.is_file() {
        read(whole)
    } else if vocabulary.is_file() && merges.is_file() {
        build(&read(vocabulary)?, &String::from_utf8_lossy(&read(merges)?))
    } else {
        Err(TokenizerError::Missing {
            folder: folder.to_owned(),
        })
    }
}

/// A `tokenizer.json` that does what transformers' `CLIPTokenizer` does with these two files.
fn build(vocabulary: &[u8], merges: &str) -> Result<Vec<u8>, TokenizerError> {
    let broken = |file, reason: String| TokenizerError::Broken { file, reason };
    let ids: BTreeMap<String, u32> =
        serde_json::from_slice(vocabulary).map_err(|e| broken("vocab.json", e.to_string()))?;
    let id = |token: &str| {
        ids.get(token)
            .copied()
            .ok_or_else(|| broken("vocab.json", format!("it lacks {token}")))
    };
    let marks = Marks {
        start: id(START)?.into(),
        end: id(END)?.into(),
        start_normalized: false,
    };
    let mut pairs = Vec::new();
    for line in merges
        .lines()
        .filter(|line| !line.starts_with("#version") && !line.trim().is_empty())
    {
        let pair = line
            .split_once(' ')
            .ok_or_else(|| broken("merges.txt", format!("no pair: {line:?}")))?;
        pairs.push(json!([pair.0, pair.1.trim_end()]));
    }
    let tokenizer = clip_tokenizer(&json!(ids), &Value::from(pairs), SPLIT, Some(marks));
    Ok(serde_json::to_vec(&tokenizer).expect("JSON values serialize"))
}

/// The ids of the tokens around every text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    pub start: u64,
    pub end: u64,
    /// Whether the start is looked for in the normalized text.
    pub start_normalized: bool,
}

/// The `tokenizer.json` of a CLIP with these tokens and merges: case folded, split by the pattern
/// `split`, byte-level pair encoding with `</w>` at the end of a word. Without `marks` nothing is
/// put around a text.
pub(crate) fn clip_tokenizer(
    vocabulary: &Value,
    merges: &Value,
    split: &str,
    marks: Option<Marks>,
) -> Value {
    let special = |id: u64, content: &str, normalized: bool| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": normalized, "special": true})
    };
    let mut added = Vec::new();
    let mut around = Value::Null;
    if let Some(marks) = marks {
        added.push((
            marks.start,
            special(marks.start, START, marks.start_normalized),
        ));
        added.push((marks.end, special(marks.end, END, false)));
        around = json!({"type": "RobertaProcessing", "sep": [END, marks.end],
            "cls": [START, marks.start], "trim_offsets": false, "add_prefix_space": false});
    }
    added.sort_by_key(|(id, _)| *id);
    let added: Vec<Value> = added.into_iter().map(|(_, entry)| entry).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": split}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]},
        "post_processor": around,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": merges},
    })
}

/// Loads the tokenizer and answers the id that ends a text.
///
/// # Errors
/// [`TokenizerError`]: when it does not load, adds no start and end tokens, ends a text with
/// another id than the one that the text tower is pooled at, or makes ids that the text tower does
/// not know.
pub fn end_of_text(json: &[u8], text: &TextTower) -> Result<u32, TokenizerError> {
    let broken = |e: tokenizers::Error| TokenizerError::Broken {
        file: TOKENIZER,
        reason: e.to_string(),
    };
    if super::is_lfs_pointer(json) {
        return Err(TokenizerError::Broken {
            file: TOKENIZER,
            reason: "it is a Git LFS pointer: run git lfs pull where it was cloned".to_owned(),
        });
    }
    let mut tokenizer = Tokenizer::from_bytes(json).map_err(broken)?;
    // What a file says of the length of texts is switched off in serving: it decides nothing here.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(broken)?;
    let bare = tokenizer
        .encode("a", false)
        .map_err(broken)?
        .get_ids()
        .len();
    let ends = tokenizer.encode("a", true).map_err(broken)?;
    let end = match ends.get_ids() {
        [_, .., end] if ends.get_ids().len() == bare + 2 => *end,
        _ => return Err(TokenizerError::NoEnds),
    };
    if let Pooling::EndOfText(config) = text.pooling
        && config != end
    {
        return Err(TokenizerError::EndOfText {
            tokenizer: end,
            config,
        });
    }
    let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
    if highest as usize >= text.vocabulary {
        return Err(TokenizerError::Vocabulary {
            highest,
            vocabulary: text.vocabulary,
        });
    }
    Ok(end)
}
