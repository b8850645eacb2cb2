//! A product's picture for a client.
//!
//! Only what was decoded as a picture at import is shown: the file must have the size and the time
//! that it had then, or else the same sha256; an object of a bucket is named by that. The validator
//! of a conditional request is that sha256, which the database has: an answer that nothing has changed
//! opens no file.
//!
//! A picture is read in pieces, each on the [`readers`](super::readers), while the client takes
//! them: a client that does not read costs three pieces of memory, and after [`UNREAD`] its
//! picture.

use std::io::Read as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::bucket::{Bucket, Opened as Object};
use super::kept::Filed;
use super::read::{self, PictureFiles, io_error};
use super::readers::{Readers, SHORT};
use crate::catalog::error::CatalogError;
use crate::util::budget::{Budget, Share};
use crate::util::digest::{hex, sha256};

/// Read at a time; smaller pictures are answered as a whole.
const PIECE: usize = 64 << 10;
/// How long a piece may wait for a client to take it.
const UNREAD: Duration = Duration::from_secs(30);

/// A picture that was decoded when it was imported.
#[derive(Clone)]
pub struct Picture {
    pub sha256: [u8; 32],
    pub(in crate::catalog) from: PictureFrom,
    /// What the file's size and time were then.
    pub(in crate::catalog) stamp: Option<String>,
    pub(in crate::catalog) photos: PictureFiles,
    pub(in crate::catalog) readers: Readers,
    /// Bytes of pictures that are held whole.
    pub(in crate::catalog) memory: Budget,
}

/// What a picture is read from.
#[derive(Clone)]
pub(in crate::catalog) enum PictureFrom {
    File(Filed),
    /// An object of this name.
    Bucket(Bucket, String),
}

/// Where a client gets a picture.
#[derive(Clone)]
pub enum ShownPicture {
    Here(Box<Picture>),
    /// On the web, at this address.
    Elsewhere(String),
}

/// An opened picture.
pub struct OpenPicture {
    /// Such as `image/jpeg`, by the file's first bytes.
    pub media_type: &'static str,
    pub body: PictureBody,
}

/// The bytes of a picture.
pub struct PictureBody {
    length: u64,
    first: Option<Bytes>,
    rest: Option<mpsc::Receiver<Result<Bytes, CatalogError>>>,
    _memory: Option<Share>,
}

/// What [`Picture::open`] found.
enum Opened {
    Whole(Bytes, Option<Share>),
    Begun(Bytes, std::fs::File, u64),
}

impl Picture {
    /// `None` when the picture is gone or is not any more what was imported.
    ///
    /// # Errors
    /// When it cannot be read, hangs, or too many are being read.
    pub async fn open(self) -> Result<Option<OpenPicture>, CatalogError> {
        let filed = match &self.from {
            PictureFrom::File(filed) => filed.clone(),
            // Another one was uploaded since, and was not read yet.
            PictureFrom::Bucket(_, name) if !name.ends_with(&hex(&self.sha256)) => return Ok(None),
            PictureFrom::Bucket(bucket, name) => return open_object(bucket, name).await,
        };
        let (readers, what) = (self.readers.clone(), filed.place.path());
        let what = what.display().to_string();
        let opened = readers
            .run(&what, SHORT, move || self.begin(&filed))
            .await??;
        let Some(opened) = opened else {
            return Ok(None);
        };
        let (first, length, rest, memory) = match opened {
            Opened::Whole(bytes, memory) => {
                let length = bytes.len() as u64;
                (bytes, length, None, memory)
            }
            Opened::Begun(first, file, length) => {
                let (send, receive) = mpsc::channel(1);
                let left = length - first.len() as u64;
                tokio::spawn(pieces(readers, what, file, left, send));
                (first, length, Some(receive), None)
            }
        };
        Ok(Some(OpenPicture::new(first, length, rest, memory)))
    }

    /// Opens the file and reads its first piece.
    fn begin(&self, filed: &Filed) -> Result<Option<Opened>, CatalogError> {
        let place = &filed.place;
        let stamp = match self.photos.stamp(place).map_err(|e| filed.meaning(e)) {
            Ok(stamp) => stamp,
            Err(error @ CatalogError::PicturesAway { .. }) => return Err(error),
            // A link that leads out, a pipe, a file that may not be read.
            Err(error) => {
                tracing::warn!(%error, "a picture is not shown");
                return Ok(None);
            }
        };
        let same = stamp.is_some() && stamp == self.stamp;
        if same && let Some((mut file, length, _)) = read::open(place)? {
            let mut first = Vec::with_capacity(PIECE);
            (&mut file)
                .take(PIECE as u64)
                .read_to_end(&mut first)
                .map_err(|e| io_error(&place.path(), e))?;
            let whole = first.len() as u64 == length;
            return Ok(Some(if whole {
                Opened::Whole(first.into(), None)
            } else {
                Opened::Begun(first.into(), file, length)
            }));
        }
        if stamp.is_none() {
            return filed.is_there().map(|()| None);
        }
        // A member of an archive, or a file that was touched: held whole, and compared.
        let length = self.photos.length(place)?.unwrap_or_default();
        let memory = self.memory.take(length).ok_or(CatalogError::PicturesBusy)?;
        let bytes = self.photos.read(place)?;
        let bytes = bytes.filter(|bytes| same || sha256(bytes) == self.sha256);
        Ok(bytes.map(|bytes| Opened::Whole(bytes, Some(memory))))
    }
}

impl OpenPicture {
    fn new(
        first: Bytes,
        length: u64,
        rest: Option<mpsc::Receiver<Result<Bytes, CatalogError>>>,
        memory: Option<Share>,
    ) -> Self {
        // What was decoded has a format.
        let media_type = image::guess_format(&first)
            .map_or("application/octet-stream", |format| format.to_mime_type());
        let body = PictureBody {
            length,
            first: Some(first),
            rest,
            _memory: memory,
        };
        Self { media_type, body }
    }
}

async fn open_object(bucket: &Bucket, name: &str) -> Result<Option<OpenPicture>, CatalogError> {
    let Some(mut object) = bucket.open_object(name).await? else {
        return Ok(None);
    };
    let first = object.piece().await?.unwrap_or_default();
    let length = object.length;
    let rest = if (first.len() as u64) < length {
        let (send, receive) = mpsc::channel(1);
        tokio::spawn(objects_pieces(object, send));
        Some(receive)
    } else {
        None
    };
    Ok(Some(OpenPicture::new(first, length, rest, None)))
}

/// Takes the pieces of an object as fast as the client takes them.
async fn objects_pieces(mut object: Object, send: mpsc::Sender<Result<Bytes, CatalogError>>) {
    loop {
        let piece = match object.piece().await {
            Ok(Some(piece)) => Ok(piece),
            Ok(None) => return,
            Err(error) => {
                let _ = send.send_timeout(Err(error), UNREAD).await;
                return;
            }
        };
        if send.send_timeout(piece, UNREAD).await.is_err() {
            return;
        }
    }
}

/// Reads on while the client takes what was read.
async fn pieces(
    readers: Readers,
    what: String,
    mut file: std::fs::File,
    mut left: u64,
    send: mpsc::Sender<Result<Bytes, CatalogError>>,
) {
    while left > 0 {
        let path = what.clone();
        let read = readers.run(&what, SHORT, move || {
            let mut piece = Vec::with_capacity(PIECE);
            let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece);
            (
                file,
                read.map(|_| Bytes::from(piece))
                    .map_err(|e| io_error(path.as_ref(), e)),
            )
        });
        let piece = match read.await {
            Ok((back, Ok(piece))) if !piece.is_empty() => {
                file = back;
                left = left.saturating_sub(piece.len() as u64);
                Ok(piece)
            }
            // Shorter than it was: the connection ends before the promised length.
            Ok((_, Ok(_))) => return,
            Ok((_, Err(error))) | Err(error) => {
                let _ = send.send_timeout(Err(error), UNREAD).await;
                return;
            }
        };
        if send.send_timeout(piece, UNREAD).await.is_err() {
            return;
        }
    }
}

impl Body for PictureBody {
    type Data = Bytes;
    type Error = CatalogError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CatalogError>>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut self.rest {
            None => Poll::Ready(None),
            Some(rest) => rest
                .poll_recv(context)
                .map(|piece| piece.map(|p| p.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
