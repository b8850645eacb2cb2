//! Pictures read and hashed ahead of the encoder.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use crate::catalog::error::CatalogError;
use crate::catalog::media::PictureSource;
use crate::catalog::media::bucket::Bucket;
use crate::catalog::media::kept::{Filed, Kept};
use crate::catalog::media::read::PictureFiles;
use crate::catalog::media::readers::{LONG, Readers};
use crate::catalog::media::remote::{FetchOptions, Remote, RemoteError, Validators};
use crate::catalog::store::pictures::PlaceColumns;
use crate::catalog::store::queue::PictureKey;
use crate::catalog::store::row::{Hash, hash};
use crate::catalog::store::work::{Outcome, PictureWork};
use crate::domain::Embedding;

/// How many pictures are read and hashed at a time, and how many may wait for the encoder.
const READERS: usize = 4;
const READ_AHEAD: usize = 16;
/// For how long what is away is not asked again.
const MOMENT: Duration = Duration::from_secs(10);

/// A product's picture, read.
pub(super) struct ReadPicture {
    pub(super) picture: PictureKey,
    place: PlaceColumns,
    stamp: String,
    pub(super) hash: Hash,
    moved: bool,
    news: bool,
}

impl ReadPicture {
    pub(super) fn outcome(self, embedding: Option<Result<Embedding, String>>) -> Outcome {
        let Self {
            picture,
            place,
            stamp,
            hash,
            moved,
            news,
        } = self;
        Outcome::Photo {
            picture,
            place,
            stamp,
            hash,
            moved,
            news,
            embedding,
        }
    }
}

/// What a reader found.
pub(super) enum Reading {
    Read(ReadPicture, Bytes),
    Unreadable(Outcome),
}

/// What a thread reads a picture from.
enum Begun {
    Web(String),
    File(Filed),
}

/// Why the pictures that are kept could not be reached a moment ago: the others are not waited for.
#[derive(Default)]
struct Away(std::sync::Mutex<Option<(Instant, String)>>);

impl Away {
    fn now(&self) -> Option<String> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = noted.as_ref().filter(|(at, _)| at.elapsed() < MOMENT);
        noted.map(|(_, reason)| reason.clone())
    }

    fn note(&self, reading: &Reading) {
        if let Reading::Unreadable(Outcome::Away { reason, .. }) = reading {
            let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if noted.as_ref().is_none_or(|(at, _)| at.elapsed() >= MOMENT) {
                *noted = Some((Instant::now(), reason.clone()));
            }
        }
    }
}

/// Readers of the pictures that are pushed. They end when this is dropped.
pub(super) struct ReadAhead {
    jobs: mpsc::UnboundedSender<(i64, PictureWork)>,
    found: mpsc::Receiver<(i64, Reading)>,
    waiting: usize,
}

impl ReadAhead {
    pub(super) fn start(photos: &PictureFiles, readers: &Readers, kept: &Kept) -> Self {
        let (jobs, receive) = mpsc::unbounded_channel::<(i64, PictureWork)>();
        let (send, found) = mpsc::channel(READ_AHEAD);
        let receive = Arc::new(Mutex::new(receive));
        let away = Arc::new(Away::default());
        for _ in 0..READERS {
            let (receive, send) = (Arc::clone(&receive), send.clone());
            let away = Arc::clone(&away);
            let (photos, readers, kept) = (photos.clone(), readers.clone(), kept.clone());
            tokio::spawn(async move {
                loop {
                    let Some((key, work)) = receive.lock().await.recv().await else {
                        return;
                    };
                    let is_kept = matches!(work.source, PictureSource::Kept { .. });
                    let reading = match away.now().filter(|_| is_kept) {
                        Some(reason) => away_for(work.picture, reason),
                        None => read_in_time(work, &photos, &readers, &kept).await,
                    };
                    away.note(&reading);
                    if send.send((key, reading)).await.is_err() {
                        return;
                    }
                }
            });
        }
        Self {
            jobs,
            found,
            waiting: 0,
        }
    }

    pub(super) fn push(&mut self, key: i64, work: PictureWork) {
        if self.jobs.send((key, work)).is_ok() {
            self.waiting += 1;
        }
    }

    /// Pictures that were pushed and did not come out yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The next that was read; `None` when none waits.
    pub(super) async fn next(&mut self) -> Option<(i64, Reading)> {
        if self.waiting == 0 {
            return None;
        }
        let next = self.found.recv().await;
        self.waiting -= 1;
        next
    }
}

async fn read_in_time(
    work: PictureWork,
    photos: &PictureFiles,
    readers: &Readers,
    kept: &Kept,
) -> Reading {
    let from = match &work.source {
        PictureSource::Address(address) => Begun::Web(address.clone()),
        PictureSource::Stored(place) => Begun::File(place.clone().into()),
        PictureSource::Kept { name, .. } => match kept.place(name) {
            Ok(filed) => Begun::File(filed),
            Err(bucket) => {
                let name = name.clone();
                return read_object(work, bucket, &name, readers).await;
            }
        },
    };
    let (picture, place) = (work.picture, work.place.clone());
    let shared = matches!(&from, Begun::File(filed) if filed.shared.is_some());
    let (what, photos) = (work.source.to_string(), photos.clone());
    let read = move || read(work, &from, &photos);
    let read = readers.run(&what, LONG, read).await;
    read.unwrap_or_else(|error| {
        if shared {
            return away(picture, &error);
        }
        Reading::Unreadable(Outcome::Unreadable {
            picture,
            place,
            reason: error.to_string(),
            gone: false,
            again: true,
        })
    })
}

async fn read_object(work: PictureWork, bucket: &Bucket, name: &str, readers: &Readers) -> Reading {
    let bytes = match bucket.read(name).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return gone(work, "the picture is gone".to_owned()),
        Err(error @ CatalogError::Io { .. }) => return gone(work, error.to_string()),
        Err(error) => return away(work.picture, &error),
    };
    let hashed = bytes.clone();
    match readers.run(name, LONG, move || hash(&hashed)).await {
        Ok(hash) => Reading::Read(read_picture(work, bytes.len().to_string(), hash), bytes),
        Err(error) => away(work.picture, &error),
    }
}

fn read(work: PictureWork, from: &Begun, photos: &PictureFiles) -> Reading {
    let (stamp, bytes) = match from {
        Begun::Web(address) => match fetch(photos.remote(), address) {
            Ok(bytes) => (format!("{}", bytes.len()), bytes),
            Err(error) => {
                return Reading::Unreadable(Outcome::Unreadable {
                    picture: work.picture,
                    place: work.place,
                    reason: error.reason,
                    gone: !error.again,
                    again: error.again,
                });
            }
        },
        Begun::File(filed) => {
            // The stamp before the bytes: a file that is replaced in between is read again next time.
            let stamp = photos.stamp(&filed.place);
            let read = stamp.and_then(|stamp| Ok(stamp.zip(photos.read(&filed.place)?)));
            match read.map_err(|error| filed.meaning(error)) {
                Ok(Some(read)) => read,
                Ok(None) => match filed.is_there() {
                    Ok(()) => return gone(work, "the picture is gone".to_owned()),
                    Err(error) => return away(work.picture, &error),
                },
                Err(error @ CatalogError::PicturesAway { .. }) => {
                    return away(work.picture, &error);
                }
                Err(error) => return gone(work, error.to_string()),
            }
        }
    };
    let hash = hash(&bytes);
    Reading::Read(read_picture(work, stamp, hash), bytes)
}

fn fetch(remote: &Remote, address: &str) -> Result<Bytes, RemoteError> {
    let mut bytes = Vec::new();
    let none = Validators::default();
    remote.fetch_to(address, &none, &FetchOptions::PICTURE, &mut bytes)?;
    Ok(bytes.into())
}

fn read_picture(work: PictureWork, stamp: String, hash: Hash) -> ReadPicture {
    let moved = work.hash != Some(hash);
    ReadPicture {
        picture: work.picture,
        place: work.place,
        stamp,
        hash,
        moved,
        news: moved || !work.embedded,
    }
}

fn gone(work: PictureWork, reason: String) -> Reading {
    Reading::Unreadable(Outcome::Unreadable {
        picture: work.picture,
        place: work.place,
        reason,
        gone: true,
        again: true,
    })
}

fn away(picture: PictureKey, error: &CatalogError) -> Reading {
    away_for(picture, error.to_string())
}

fn away_for(picture: PictureKey, reason: String) -> Reading {
    Reading::Unreadable(Outcome::Away { picture, reason })
}
