//! Pictures read and hashed ahead of the encoder.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::catalog::media::PicturePlace;
use crate::catalog::media::read::PictureFiles;
use crate::catalog::media::readers::{LONG, Readers};
use crate::catalog::store::row::{Hash, hash};
use crate::catalog::store::write::Outcome;
use crate::domain::{Embedding, ProductKey};

/// How many pictures are read and hashed at a time, and how many may wait for the encoder.
const READERS: usize = 2;
const READ_AHEAD: usize = 16;

/// A product's picture, read.
pub(super) struct ReadPicture {
    pub(super) key: ProductKey,
    pub(super) stamp: String,
    pub(super) hash: Hash,
    pub(super) moved: bool,
    pub(super) news: bool,
}

impl ReadPicture {
    pub(super) fn outcome(self, embedding: Option<Result<Embedding, String>>) -> Outcome {
        let Self {
            key,
            stamp,
            hash,
            moved,
            news,
        } = self;
        Outcome::Photo {
            key,
            stamp,
            hash,
            moved,
            news,
            embedding,
        }
    }
}

/// A picture to picture at.
pub(super) struct PictureToRead {
    pub(super) key: ProductKey,
    pub(super) image: PicturePlace,
    pub(super) stamp: Option<String>,
    pub(super) hash: Option<Hash>,
    /// Read it even if its stamp says that it is the same.
    pub(super) embed: bool,
}

/// What a reader found.
pub(super) enum Reading {
    Unchanged,
    Read(ReadPicture, Bytes),
    Unreadable {
        key: ProductKey,
        reason: String,
    },
    /// Its storage does not answer: what is known of it stays.
    Unanswered {
        key: ProductKey,
        reason: String,
    },
}

/// Reads pictures ahead of the encoder until all are read, or nobody listens.
pub(super) fn read_ahead(
    pictures: VecDeque<PictureToRead>,
    photos: &PictureFiles,
    readers: &Readers,
) -> mpsc::Receiver<Reading> {
    let (send, receive) = mpsc::channel(READ_AHEAD);
    let queue = Arc::new(Mutex::new(pictures));
    for _ in 0..READERS {
        let (queue, send) = (queue.clone(), send.clone());
        let (photos, readers) = (photos.clone(), readers.clone());
        tokio::spawn(async move {
            let next = || {
                queue
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front()
            };
            while let Some(picture) = next() {
                let (key, what) = (picture.key, picture.image.path().display().to_string());
                let photos = photos.clone();
                let seen = readers
                    .run(&what, LONG, move || read(&picture, &photos))
                    .await;
                let seen = seen.unwrap_or_else(|error| Reading::Unanswered {
                    key,
                    reason: error.to_string(),
                });
                if send.send(seen).await.is_err() {
                    break;
                }
            }
        });
    }
    receive
}

fn read(picture: &PictureToRead, photos: &PictureFiles) -> Reading {
    let key = picture.key;
    let gone = || Reading::Unreadable {
        key,
        reason: "the picture is gone".to_owned(),
    };
    // The stamp before the bytes: a file that is replaced in between is read again next time.
    let stamp = match photos.stamp(&picture.image) {
        Ok(Some(stamp)) => stamp,
        Ok(None) => return gone(),
        Err(error) => {
            return Reading::Unreadable {
                key,
                reason: error.to_string(),
            };
        }
    };
    if !picture.embed && picture.hash.is_some() && picture.stamp.as_ref() == Some(&stamp) {
        return Reading::Unchanged;
    }
    match photos.read(&picture.image) {
        Ok(Some(bytes)) => {
            let hash = hash(&bytes);
            let moved = picture.hash != Some(hash);
            Reading::Read(
                ReadPicture {
                    key,
                    stamp,
                    hash,
                    moved,
                    news: moved || picture.embed,
                },
                bytes,
            )
        }
        Ok(None) => gone(),
        Err(error) => Reading::Unreadable {
            key,
            reason: error.to_string(),
        },
    }
}
