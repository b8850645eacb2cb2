//! The encoder as evaluation uses it: many pictures at once, blocking, and never the same picture
//! twice.
//!
//! Embeddings are kept in a file per model (`MODEL_ID.embeddings`: records of a picture's sha256
//! and its vector as little-endian f32), so that a model is measured again in seconds. A file
//! that ends in the middle of a record, as after a kill, loses that record only. Pictures that the
//! encoder refuses are reported, not fatal: a catalog of tens of thousands always has some.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::domain::Embedding;
use crate::encode::{EncodeError, Encoder, EncoderOptions, Priority};
use crate::model::ModelFolder;
use crate::util::digest::sha256;

/// Pictures on their way at a time: enough to fill the encoder's batches.
const IN_FLIGHT: usize = 32;

/// The sha256 of a picture's file.
pub type PictureHash = [u8; 32];

/// A picture's sha256 and embedding, or why it has none.
pub type Embedded = Result<(PictureHash, Embedding), String>;

/// A started model, and what it made of pictures so far.
pub struct Embedder {
    runtime: Runtime,
    encoder: Encoder,
    known: HashMap<PictureHash, Embedding>,
    file: Option<File>,
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("no thread for the encoder: {0}")]
    Runtime(std::io::Error),
}

impl Embedder {
    /// Starts the model. `cache`: the folder for embeddings that were made before; `None` keeps
    /// them in memory.
    ///
    /// # Errors
    /// When the model does not start or the cache's file cannot be used.
    pub fn start(
        model: &ModelFolder,
        options: &EncoderOptions,
        cache: Option<&Path>,
    ) -> Result<Self, EmbedderError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(EmbedderError::Runtime)?;
        let encoder = {
            let _inside = runtime.enter();
            Encoder::start(model, options)?
        };
        let mut embedder = Self {
            runtime,
            encoder,
            known: HashMap::new(),
            file: None,
            path: PathBuf::new(),
        };
        if let Some(folder) = cache {
            embedder.path = folder.join(format!(
                "{}.embeddings",
                embedder.encoder.model_id().short()
            ));
            embedder
                .open_cache(folder)
                .map_err(|source| EmbedderError::Io {
                    path: embedder.path.clone(),
                    source,
                })?;
        }
        Ok(embedder)
    }

    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// # Errors
    /// When the model makes no embedding of the text.
    pub fn text(&self, text: &str) -> Result<Embedding, EmbedderError> {
        Ok(self.runtime.block_on(patiently(|| {
            self.encoder.text(text, Priority::Search, None)
        }))?)
    }

    /// Embeds one picture, given as the bytes of its file.
    ///
    /// # Errors
    /// When the bytes are not a picture or the model makes no embedding of it.
    pub fn image(&mut self, file: &Bytes) -> Result<Embedding, EmbedderError> {
        let hash = sha256(file);
        if let Some(known) = self.known.get(&hash) {
            return Ok(known.clone());
        }
        let made = self.runtime.block_on(patiently(|| {
            self.encoder.image(file.clone(), Priority::Search, None)
        }))?;
        self.keep(hash, made.clone())?;
        Ok(made)
    }

    /// Embeds pictures in the order given; a picture that cannot be read or embedded is an error in
    /// its place. `done` is called with the number that is finished.
    ///
    /// # Errors
    /// When the encoder has ended or the cache cannot be written.
    pub fn images<E: std::fmt::Display>(
        &mut self,
        files: impl Iterator<Item = Result<Bytes, E>>,
        mut done: impl FnMut(usize),
    ) -> Result<Vec<Embedded>, EmbedderError> {
        let mut results: Vec<Option<Embedded>> = Vec::new();
        let mut running = JoinSet::new();
        let mut finished = 0;
        for (position, file) in files.enumerate() {
            results.push(None);
            match file {
                Err(error) => results[position] = Some(Err(error.to_string())),
                Ok(file) => {
                    let hash = sha256(&file);
                    if let Some(known) = self.known.get(&hash) {
                        results[position] = Some(Ok((hash, known.clone())));
                    } else {
                        let encoder = self.encoder.clone();
                        running.spawn_on(
                            async move {
                                let made =
                                    patiently(|| encoder.image(file.clone(), Priority::Bulk, None))
                                        .await;
                                (position, hash, made)
                            },
                            self.runtime.handle(),
                        );
                    }
                }
            }
            if results[position].is_some() {
                finished += 1;
            }
            while running.len() >= IN_FLIGHT {
                finished += self.collect(&mut running, &mut results)?;
            }
            done(finished);
        }
        while !running.is_empty() {
            finished += self.collect(&mut running, &mut results)?;
            done(finished);
        }
        Ok(results
            .into_iter()
            .map(|r| r.unwrap_or_else(|| Err("the encoder gave no answer".to_owned())))
            .collect())
    }

    /// Waits for one running picture and puts it in its place.
    fn collect(
        &mut self,
        running: &mut JoinSet<(usize, PictureHash, Result<Embedding, EncodeError>)>,
        results: &mut [Option<Embedded>],
    ) -> Result<usize, EmbedderError> {
        match self.runtime.block_on(running.join_next()) {
            Some(Ok((position, hash, Ok(made)))) => {
                self.keep(hash, made.clone())?;
                results[position] = Some(Ok((hash, made)));
            }
            Some(Ok((_, _, Err(EncodeError::WorkerGone)))) => {
                return Err(EncodeError::WorkerGone.into());
            }
            Some(Ok((position, _, Err(error)))) => results[position] = Some(Err(error.to_string())),
            Some(Err(panic)) => tracing::error!(%panic, "a picture's embedding was not finished"),
            None => {}
        }
        Ok(1)
    }

    fn keep(&mut self, hash: PictureHash, made: Embedding) -> Result<(), EmbedderError> {
        if let Some(file) = &mut self.file {
            let vector = made.as_slice().iter().flat_map(|v| v.to_le_bytes());
            let record: Vec<u8> = hash.iter().copied().chain(vector).collect();
            // One write a record: another process that appends to the same file cannot fall into
            // the middle.
            file.write_all(&record)
                .map_err(|source| EmbedderError::Io {
                    path: self.path.clone(),
                    source,
                })?;
        }
        self.known.insert(hash, made);
        Ok(())
    }

    fn open_cache(&mut self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let dimensions = self.encoder.dimensions();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (known, whole) = read_records(&bytes, dimensions);
        if whole < bytes.len() {
            file.set_len(whole as u64)?;
            file.seek(SeekFrom::End(0))?;
        }
        self.known = known;
        self.file = Some(file);
        Ok(())
    }
}

/// The records of a cache file, and how many bytes of it are whole records.
fn read_records(bytes: &[u8], dimensions: usize) -> (HashMap<PictureHash, Embedding>, usize) {
    let size = 32 + 4 * dimensions;
    let mut known = HashMap::with_capacity(bytes.len() / size);
    for record in bytes.chunks_exact(size) {
        let (hash, vector) = record.split_at(32);
        let values = vector
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        if let (Ok(hash), Ok(made)) = (hash.try_into(), Embedding::new(values, dimensions)) {
            known.insert(hash, made);
        }
    }
    (known, bytes.len() / size * size)
}

/// Asks again while the encoder's queue is full: evaluation has time.
async fn patiently<F>(mut ask: impl FnMut() -> F) -> Result<Embedding, EncodeError>
where
    F: Future<Output = Result<Embedding, EncodeError>>,
{
    loop {
        match ask().await {
            Err(EncodeError::Overloaded) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_cache_loses_its_last_record_only() {
        let made = Embedding::new(vec![0.6, 0.8], 2).expect("valid");
        let mut bytes = Vec::new();
        for picture in [b"first", b"other"] {
            bytes.extend(sha256(picture));
            bytes.extend(made.as_slice().iter().flat_map(|v| v.to_le_bytes()));
        }
        let (known, whole) = read_records(&bytes, 2);
        assert_eq!((known.len(), whole), (2, 80));
        assert_eq!(known.get(&sha256(b"first")), Some(&made));
        let (known, whole) = read_records(&bytes[..79], 2);
        assert_eq!((known.len(), whole), (1, 40));
    }

    #[test]
    fn a_record_that_is_not_an_embedding_is_made_again() {
        let mut bytes = sha256(b"picture").to_vec();
        bytes.extend(f32::NAN.to_le_bytes().iter().chain(&1.0_f32.to_le_bytes()));
        assert!(read_records(&bytes, 2).0.is_empty());
    }
}
