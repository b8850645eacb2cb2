//! Pictures read and hashed ahead of the encoder.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use crate::catalog::media::PictureSource;
use crate::catalog::media::read::PictureFiles;
use crate::catalog::media::readers::{LONG, Readers};
use crate::catalog::store::pictures::PlaceColumns;
use crate::catalog::store::queue::PictureKey;
use crate::catalog::store::row::{Hash, hash};
use crate::catalog::store::work::{Outcome, PictureWork};
use crate::domain::Embedding;

/// How many pictures are read and hashed at a time, and how many may wait for the encoder.
const READERS: usize = 4;
const READ_AHEAD: usize = 16;

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

/// Readers of the pictures that are pushed. They end when this is dropped.
pub(super) struct ReadAhead {
    jobs: mpsc::UnboundedSender<(i64, PictureWork)>,
    found: mpsc::Receiver<(i64, Reading)>,
    waiting: usize,
}

impl ReadAhead {
    pub(super) fn start(photos: &PictureFiles, readers: &Readers) -> Self {
        let (jobs, receive) = mpsc::unbounded_channel::<(i64, PictureWork)>();
        let (send, found) = mpsc::channel(READ_AHEAD);
        let receive = Arc::new(Mutex::new(receive));
        for _ in 0..READERS {
            let (receive, send) = (Arc::clone(&receive), send.clone());
            let (photos, readers) = (photos.clone(), readers.clone());
            tokio::spawn(async move {
                loop {
                    let Some((key, work)) = receive.lock().await.recv().await else {
                        return;
                    };
                    let reading = read_in_time(work, &photos, &readers).await;
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

async fn read_in_time(work: PictureWork, photos: &PictureFiles, readers: &Readers) -> Reading {
    let (picture, place) = (work.picture, work.place.clone());
    let photos = photos.clone();
    let what = work.source.to_string();
    let read = readers.run(&what, LONG, move || read(work, &photos)).await;
    read.unwrap_or_else(|error| {
        Reading::Unreadable(Outcome::Unreadable {
            picture,
            place,
            reason: error.to_string(),
            gone: false,
            again: true,
        })
    })
}

fn read(work: PictureWork, photos: &PictureFiles) -> Reading {
    let (picture, place) = (work.picture, work.place.clone());
    let unreadable = |reason: String, gone, again| {
        Reading::Unreadable(Outcome::Unreadable {
            picture,
            place,
            reason,
            gone,
            again,
        })
    };
    let (stamp, bytes) = match &work.source {
        PictureSource::Address(address) => match photos.remote().get(address) {
            Ok(bytes) => (format!("{}", bytes.len()), bytes),
            Err(error) => return unreadable(error.reason, !error.again, error.again),
        },
        PictureSource::Stored(place) => {
            // The stamp before the bytes: a file that is replaced in between is read again next time.
            let stamp = photos.stamp(place);
            let read = stamp.and_then(|stamp| Ok(stamp.zip(photos.read(place)?)));
            match read {
                Ok(Some(read)) => read,
                Ok(None) => return unreadable("the picture is gone".to_owned(), true, true),
                Err(error) => return unreadable(error.to_string(), true, true),
            }
        }
    };
    let hash = hash(&bytes);
    let moved = work.hash != Some(hash);
    let read = ReadPicture {
        picture,
        place: work.place,
        stamp,
        hash,
        moved,
        news: moved || !work.embedded,
    };
    Reading::Read(read, bytes)
}
