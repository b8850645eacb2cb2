//! Pictures read and hashed ahead of the encoder.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::catalog::error::CatalogError;
use crate::catalog::media::PictureSource;
use crate::catalog::media::bucket::Bucket;
use crate::catalog::media::kept::{Filed, Kept};
use crate::catalog::media::read::PictureFiles;
use crate::catalog::media::readers::{LONG, Readers};
use crate::catalog::media::remote::{RemoteError, Validators};
use crate::catalog::media::web::{FromWeb, Room};
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
    /// With the memory that its bytes have, where that is bounded.
    Read(ReadPicture, Bytes, Option<Room>),
    /// Its server says that it is what it was: it was not read.
    Same(ReadPicture),
    Unreadable(Outcome),
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
///
/// Those on the web have a task each, since how many are fetched at a time is for
/// [`Web`](crate::catalog::media::web::Web) to say.
pub(super) struct ReadAhead {
    jobs: mpsc::UnboundedSender<(i64, PictureWork)>,
    found: mpsc::Receiver<Found>,
    send: mpsc::Sender<Found>,
    fetches: JoinSet<()>,
    photos: PictureFiles,
    files: usize,
    web: usize,
}

struct Found {
    key: i64,
    reading: Reading,
    of_web: bool,
}

impl ReadAhead {
    pub(super) fn start(photos: &PictureFiles, readers: &Readers, kept: &Kept) -> Self {
        let (jobs, receive) = mpsc::unbounded_channel::<(i64, PictureWork)>();
        let (send, found) = mpsc::channel(READ_AHEAD);
        let receive = Arc::new(Mutex::new(receive));
        let away = Arc::new(Away::default());
        for _ in 0..READERS {
            let (receive, send) = (Arc::clone(&receive), send.clone());
            let photos = photos.clone();
            let away = Arc::clone(&away);
            let (readers, kept) = (readers.clone(), kept.clone());
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
                    let found = Found {
                        key,
                        reading,
                        of_web: false,
                    };
                    if send.send(found).await.is_err() {
                        return;
                    }
                }
            });
        }
        Self {
            jobs,
            found,
            send,
            fetches: JoinSet::new(),
            photos: photos.clone(),
            files: 0,
            web: 0,
        }
    }

    pub(super) fn push(&mut self, key: i64, work: PictureWork) {
        let PictureSource::Address(address) = &work.source else {
            if self.jobs.send((key, work)).is_ok() {
                self.files += 1;
            }
            return;
        };
        let (address, photos, send) = (address.clone(), self.photos.clone(), self.send.clone());
        self.fetches.spawn(async move {
            let reading = fetch(work, &address, &photos).await;
            let found = Found {
                key,
                reading,
                of_web: true,
            };
            let _ = send.send(found).await;
        });
        self.web += 1;
    }

    /// Pictures of files, and of the web, that were pushed and did not come out yet.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.files, self.web)
    }

    /// The next that was read; `None` when none waits.
    pub(super) async fn next(&mut self) -> Option<(i64, Reading)> {
        if self.files + self.web == 0 {
            return None;
        }
        let found = self.found.recv().await?;
        if found.of_web {
            self.web -= 1;
        } else {
            self.files -= 1;
        }
        while self.fetches.try_join_next().is_some() {}
        Some((found.key, found.reading))
    }
}

async fn read_in_time(
    work: PictureWork,
    photos: &PictureFiles,
    readers: &Readers,
    kept: &Kept,
) -> Reading {
    let filed = match &work.source.clone() {
        PictureSource::Stored(place) => Filed::from(place.clone()),
        PictureSource::Kept { name, .. } => match kept.place(name) {
            Ok(filed) => filed,
            Err(bucket) => {
                let name = name.clone();
                return read_object(work, bucket, &name, readers).await;
            }
        },
        PictureSource::Address(address) => return fetch(work, address, photos).await,
    };
    let (picture, place) = (work.picture, work.place.clone());
    let shared = filed.shared.is_some();
    let (what, photos) = (work.source.to_string(), photos.clone());
    let read = move || read(work, &filed, &photos);
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

/// Asks the web for a picture; for another one only, where the model has a vector of the one that
/// came last and its server said how to ask.
async fn fetch(work: PictureWork, address: &str, photos: &PictureFiles) -> Reading {
    let stamp = work.stamp.clone().filter(|_| work.embedded);
    let known = stamp.as_deref().map(Validators::of_stamp);
    let got = photos.web().get(address, &known.unwrap_or_default()).await;
    match (got, work.hash, stamp) {
        (Ok(FromWeb::Picture(picture)), ..) => {
            let stamp = picture.validators.stamp(picture.bytes.len());
            let read = read_picture(work, stamp, picture.sha256);
            Reading::Read(read, picture.bytes, Some(picture.room))
        }
        (Ok(FromWeb::Same), Some(hash), Some(stamp)) => {
            Reading::Same(read_picture(work, stamp, hash))
        }
        (Ok(FromWeb::Same), ..) => {
            let unasked = RemoteError::passing("answered that nothing has changed, unasked");
            not_fetched(work, unasked)
        }
        (Err(error), ..) => not_fetched(work, error),
    }
}

fn not_fetched(work: PictureWork, error: RemoteError) -> Reading {
    Reading::Unreadable(Outcome::Unreadable {
        picture: work.picture,
        place: work.place,
        reason: error.reason,
        gone: !error.again,
        again: error.again,
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
        Ok(hash) => {
            let read = read_picture(work, bytes.len().to_string(), hash);
            Reading::Read(read, bytes, None)
        }
        Err(error) => away(work.picture, &error),
    }
}

fn read(work: PictureWork, filed: &Filed, photos: &PictureFiles) -> Reading {
    // The stamp before the bytes: a file that is replaced in between is read again next time.
    let stamp = photos.stamp(&filed.place);
    let read = stamp.and_then(|stamp| Ok(stamp.zip(photos.read(&filed.place)?)));
    let (stamp, bytes) = match read.map_err(|error| filed.meaning(error)) {
        Ok(Some(read)) => read,
        Ok(None) => match filed.is_there() {
            Ok(()) => return gone(work, "the picture is gone".to_owned()),
            Err(error) => return away(work.picture, &error),
        },
        Err(error @ CatalogError::PicturesAway { .. }) => return away(work.picture, &error),
        Err(error) => return gone(work, error.to_string()),
    };
    let hash = hash(&bytes);
    Reading::Read(read_picture(work, stamp, hash), bytes, None)
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
