//! `model.json`: sizes, preprocessing, and the hash of every file.
//!
//! Refuses a format that it does not know and names that lead out of the folder. What the program
//! computes with (sizes, preprocessing, token ids) stands here and nowhere else; `provenance` is
//! for people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::ModelId;
use crate::util::digest::hex;
use crate::vision::{ALGORITHM, Preprocessing};

/// The format of `model.json` that this program writes and reads.
pub const FORMAT: u32 = 1;

/// The manifest's own name in the folder.
pub const MANIFEST: &str = "model.json";
pub const TEXT_GRAPH: &str = "text.onnx";
pub const IMAGE_GRAPH: &str = "image.onnx";
pub const WEIGHTS: &str = "model.safetensors";
pub const TOKENIZER: &str = "tokenizer.json";

/// The files that decide what a model computes; without them there is no model.
pub const COMPUTING: [&str; 4] = [IMAGE_GRAPH, WEIGHTS, TEXT_GRAPH, TOKENIZER];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's format: [`FORMAT`].
    pub format: u32,
    pub name: String,
    /// Length of an embedding.
    pub dimensions: usize,
    /// Longest input of the text tower in tokens, start and end included.
    pub context_length: usize,
    /// Id of the token that ends a text; the text tower is pooled at its first occurrence.
    pub end_of_text: u32,
    /// exp(logit_scale): the factor that training put on the cosine.
    pub temperature_scale: f32,
    pub preprocessing: Preprocessing,
    /// File name -> hash, for every file but this one and MODEL_CARD.md.
    pub files: BTreeMap<String, FileEntry>,
    /// Where the weights came from, how they were trained, what they score: for people, not read by
    /// the program.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub provenance: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// Why the text of a `model.json` is not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error(
        "its format is {found}, this program reads format {FORMAT}: export the model again with this version"
    )]
    Format { found: u64 },
    #[error("`files` has no entry for {name}")]
    Missing { name: &'static str },
    #[error("`files` names {name:?}, which is not a plain file name")]
    Name { name: String },
    #[error("`{field}` has no usable value")]
    Value { field: &'static str },
}

impl Manifest {
    /// Parses and checks a `model.json`.
    ///
    /// # Errors
    /// [`ManifestError`], the unknown format before everything else, so that a newer file is called
    /// newer and not broken.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            format: u64,
        }
        let Version { format: found } = serde_json::from_slice(json)?;
        if found != u64::from(FORMAT) {
            return Err(ManifestError::Format { found });
        }
        let manifest: Self = serde_json::from_slice(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let bad = |field| Err(ManifestError::Value { field });
        let Preprocessing {
            size,
            mean,
            std,
            views,
            ..
        } = &self.preprocessing;
        if self.dimensions == 0 {
            return bad("dimensions");
        }
        if self.context_length < 2 {
            return bad("context_length");
        }
        if !(self.temperature_scale.is_finite() && self.temperature_scale > 0.0) {
            return bad("temperature_scale");
        }
        if *size == 0 {
            return bad("preprocessing.size");
        }
        if views.len() > Preprocessing::MOST_VIEWS || views.iter().any(|edge| edge < size) {
            return bad("preprocessing.views");
        }
        if !mean.iter().all(|v| v.is_finite()) || !std.iter().all(|v| v.is_finite() && *v > 0.0) {
            return bad("preprocessing.mean/std");
        }
        for name in COMPUTING {
            if !self.files.contains_key(name) {
                return Err(ManifestError::Missing { name });
            }
        }
        let odd =
            |name: &&String| name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']);
        match self.files.keys().find(odd) {
            Some(name) => Err(ManifestError::Name { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// The sha256 over everything that decides which embedding comes out for which words and photo:
    /// graphs, weights and tokenizer by their hashes, preprocessing and context length by value. A
    /// new name, card or provenance leaves it as it is.
    #[must_use]
    pub fn id(&self) -> ModelId {
        let mut hash = Sha256::new();
        hash.update(b"aglet model 1\n");
        for name in COMPUTING {
            let sha256 = self
                .files
                .get(name)
                .map_or("", |entry| entry.sha256.as_str());
            hash.update(format!("{name} {sha256}\n"));
        }
        let Preprocessing {
            size,
            fit,
            mean,
            std,
            ..
        } = &self.preprocessing;
        hash.update(format!(
            "context {}\nsize {size}\nfit {fit:?}\n",
            self.context_length
        ));
        // The first is not named: models that are in use keep their ids.
        if ALGORITHM > 1 {
            hash.update(format!("algorithm {ALGORITHM}\n"));
        }
        let edges = self.preprocessing.edges();
        if edges != [*size] {
            hash.update(format!("views {edges:?}\n"));
        }
        for value in mean.iter().chain(std) {
            hash.update(value.to_bits().to_le_bytes());
        }
        ModelId::new(hex(&hash.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::Fit;

    fn sample() -> Manifest {
        let entry = |n: u64| FileEntry {
            bytes: n,
            sha256: hex(&Sha256::digest(n.to_le_bytes())),
        };
        Manifest {
            format: FORMAT,
            name: "sample".into(),
            dimensions: 16,
            context_length: 32,
            end_of_text: 511,
            temperature_scale: 100.0,
            preprocessing: Preprocessing {
                size: 32,
                fit: Fit::Crop,
                views: vec![],
                mean: [0.5; 3],
                std: [0.25; 3],
            },
            files: COMPUTING
                .iter()
                .zip(1..)
                .map(|(name, n)| ((*name).to_owned(), entry(n)))
                .collect(),
            provenance: serde_json::Value::Null,
        }
    }

    fn round_trip(manifest: &Manifest) -> Result<Manifest, ManifestError> {
        Manifest::parse(&serde_json::to_vec(manifest).expect("serializes"))
    }

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(round_trip(&sample()).expect("valid"), sample());
    }

    #[test]
    fn a_newer_format_is_named_even_when_nothing_else_fits() {
        assert!(matches!(
            Manifest::parse(br#"{"format": 7}"#),
            Err(ManifestError::Format { found: 7 })
        ));
    }

    #[test]
    fn refuses_values_that_cannot_be() {
        let mut zero = sample();
        zero.preprocessing.std[1] = 0.0;
        assert!(matches!(
            round_trip(&zero),
            Err(ManifestError::Value { .. })
        ));
        let mut smaller = sample();
        for views in [vec![32, 31], vec![32; 9]] {
            smaller.preprocessing.views = views;
            let refused = round_trip(&smaller);
            assert!(
                matches!(
                    refused,
                    Err(ManifestError::Value {
                        field: "preprocessing.views"
                    })
                ),
                "{refused:?}"
            );
        }
        let mut outside = sample();
        outside.files.insert(
            "../weights".into(),
            FileEntry {
                bytes: 0,
                sha256: String::new(),
            },
        );
        assert!(matches!(
            round_trip(&outside),
            Err(ManifestError::Name { .. })
        ));
        let mut missing = sample();
        missing.files.remove(TOKENIZER);
        assert!(matches!(
            round_trip(&missing),
            Err(ManifestError::Missing { name: TOKENIZER })
        ));
    }

    #[test]
    fn the_id_follows_what_is_computed_and_nothing_else() {
        let id = sample().id();
        let mut renamed = sample();
        renamed.name = "other".into();
        renamed.files.insert(
            "config.json".into(),
            FileEntry {
                bytes: 1,
                sha256: "00".into(),
            },
        );
        assert_eq!(renamed.id(), id);
        let mut pixels = sample();
        pixels.preprocessing.fit = Fit::Pad;
        assert_ne!(pixels.id(), id);
        let mut middle = sample();
        middle.preprocessing.views = vec![32, 36];
        assert_ne!(middle.id(), id);
        middle.preprocessing.views = vec![32];
        assert_eq!(middle.id(), id, "all of the square, said in other words");
        let mut weights = sample();
        weights.files.insert(
            WEIGHTS.into(),
            FileEntry {
                bytes: 2,
                sha256: "ab".into(),
            },
        );
        assert_ne!(weights.id(), id);
        assert_eq!(id.as_str().len(), 64);
    }
}
