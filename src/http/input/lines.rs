//! A body of lines, read as a stream: as it is, or compressed with gzip.
//!
//! Held are one line, what arrived of the next ones, and what a kibibyte of gzip becomes: a body of
//! any size, and one that grows a thousandfold, costs no more than that.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, Request};
use bytes::{Buf, Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;

use super::body::{BYTE_ORDER_MARK, essence, is_gzip, within};
use crate::http::layers::limits::Place;
use crate::http::output::error::ApiError;
use crate::http::state::HttpOptions;
use crate::util::budget::Share;

/// Bytes of a line, its end left out.
pub const LONGEST_LINE: usize = 1 << 20;
/// What is given to the decoder at a time: deflate makes at most 1,032 times as much of it.
const PIECE: usize = 1 << 10;
const KINDS: [&str; 3] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
];

/// A line with its number: the first is 1.
pub struct BodyLine {
    pub number: u64,
    /// `None`: it is longer than [`LONGEST_LINE`].
    pub text: Option<Bytes>,
}

/// The lines of a body of NDJSON; blank ones are counted and passed over.
pub struct BodyLines {
    body: Body,
    timeout: Duration,
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
    /// What arrived and was not read yet.
    arrived: Bytes,
    /// What was read, from the beginning of a line on.
    read: BytesMut,
    /// How much of it has no end of a line.
    searched: usize,
    /// The line that has begun is too long; the rest of it is passed over.
    too_long: bool,
    number: u64,
    ended: bool,
    /// The request's place in the work, and its room in memory: for as long as it is read.
    _held: (Option<Place>, Option<Share>),
}

/// Room that is taken for a body of lines, whatever its size.
const ROOM: u64 = 8 << 20;

impl<S: Send + Sync> FromRequest<S> for BodyLines
where
    Arc<HttpOptions>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let options = Arc::<HttpOptions>::from_ref(state);
        if !KINDS.contains(&essence(request.headers()).as_str()) {
            return Err(ApiError::UnsupportedMediaType { expected: KINDS[0] });
        }
        let gzip = is_gzip(request.headers())?;
        let place = request.extensions().get::<Place>().cloned();
        place.as_ref().map_or(Ok(()), Place::take)?;
        let share = options.uploads.take(ROOM).ok_or(ApiError::Overloaded)?;
        Ok(Self {
            _held: (place, Some(share)),
            ..Self::new(request.into_body(), gzip, options.body_timeout)
        })
    }
}

impl BodyLines {
    /// `timeout`: how long nothing may arrive.
    fn new(body: Body, gzip: bool, timeout: Duration) -> Self {
        Self {
            body,
            timeout,
            gzip: gzip.then(|| MultiGzDecoder::new(Vec::new())),
            arrived: Bytes::new(),
            read: BytesMut::new(),
            searched: 0,
            too_long: false,
            number: 0,
            ended: false,
            _held: (None, None),
        }
    }

    /// The number of the line that comes next.
    pub fn next_number(&self) -> u64 {
        self.number + 1
    }

    /// The next line that is not blank; `None` at the end. May be dropped and called again.
    ///
    /// # Errors
    /// When the body breaks off, is not what its encoding says, or nothing arrives in time.
    pub async fn next(&mut self) -> Result<Option<BodyLine>, ApiError> {
        loop {
            let end = self.read[self.searched..].iter().position(|b| *b == b'\n');
            let line = match end {
                Some(end) => {
                    let line = self.read.split_to(self.searched + end);
                    self.read.advance(1);
                    line
                }
                None if self.ended => {
                    if self.read.is_empty() && !self.too_long {
                        return Ok(None);
                    }
                    std::mem::take(&mut self.read)
                }
                None => {
                    self.searched = self.read.len();
                    if self.searched > LONGEST_LINE {
                        self.too_long = true;
                    }
                    if self.too_long {
                        self.read.clear();
                        self.searched = 0;
                    }
                    self.more().await?;
                    continue;
                }
            };
            self.searched = 0;
            self.number += 1;
            let number = self.number;
            if std::mem::take(&mut self.too_long) || line.len() > LONGEST_LINE {
                let text = None;
                return Ok(Some(BodyLine { number, text }));
            }
            let mut line = line.freeze();
            if number == 1 && line.starts_with(BYTE_ORDER_MARK) {
                line.advance(BYTE_ORDER_MARK.len());
            }
            if !line.trim_ascii().is_empty() {
                let text = Some(line);
                return Ok(Some(BodyLine { number, text }));
            }
        }
    }

    /// Reads on: a piece of what has arrived, or what arrives next.
    async fn more(&mut self) -> Result<(), ApiError> {
        if self.arrived.is_empty() {
            let frame = within(self.timeout, async { Ok(self.body.frame().await) }).await?;
            if let Some(frame) = frame {
                // Trailers are no part of the content.
                let frame = frame.map_err(|_| ApiError::IncompleteBody)?;
                self.arrived = frame.into_data().unwrap_or_default();
            } else {
                if let Some(gzip) = &mut self.gzip {
                    gzip.try_finish().map_err(broken)?;
                    self.read.extend_from_slice(gzip.get_ref());
                    gzip.get_mut().clear();
                }
                self.ended = true;
            }
            return Ok(());
        }
        let piece = self.arrived.split_to(PIECE.min(self.arrived.len()));
        match &mut self.gzip {
            None => self.read.extend_from_slice(&piece),
            Some(gzip) => {
                gzip.write_all(&piece).map_err(broken)?;
                // What the decoder holds back would wait for the next piece.
                gzip.flush().map_err(broken)?;
                self.read.extend_from_slice(gzip.get_ref());
                gzip.get_mut().clear();
            }
        }
        Ok(())
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that map_err asks for"
)]
fn broken(error: std::io::Error) -> ApiError {
    ApiError::BrokenGzip {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("memory");
        encoder.finish().expect("memory")
    }

    async fn all(mut lines: BodyLines) -> (Vec<(u64, Option<String>)>, Option<&'static str>) {
        let mut seen = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => {
                    assert!(lines.read.capacity() < 4 * LONGEST_LINE);
                    let text = line.text.map(|text| String::from_utf8_lossy(&text).into());
                    seen.push((line.number, text));
                }
                Ok(None) => return (seen, None),
                Err(error) => return (seen, Some(error.code().as_str())),
            }
        }
    }

    fn lines(body: impl Into<Body>, gzip: bool) -> BodyLines {
        BodyLines::new(body.into(), gzip, Duration::from_secs(5))
    }

    fn text(number: u64, text: &str) -> (u64, Option<String>) {
        (number, Some(text.to_owned()))
    }

    #[tokio::test]
    async fn lines_have_the_numbers_that_an_editor_shows() {
        let body = "\u{feff}one\r\n\n  \ntwo\nlast";
        let expected = [text(1, "one\r"), text(4, "two"), text(5, "last")];
        assert_eq!(all(lines(body, false)).await, (expected.to_vec(), None));
        let packed = [gzip(b"\xef\xbb\xbfone\r\n\n  \ntw"), gzip(b"o\nlast")].concat();
        assert_eq!(all(lines(packed, true)).await, (expected.to_vec(), None));
        for empty in ["", "\n\n"] {
            assert_eq!(all(lines(empty, false)).await, (vec![], None));
            assert_eq!(
                all(lines(gzip(empty.as_bytes()), true)).await,
                (vec![], None)
            );
        }
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_costs_itself_alone() {
        let just = "x".repeat(LONGEST_LINE);
        let body = format!("a\n{just}\n{just}x\nb\n{just}{just}{just}");
        let expected = vec![
            text(1, "a"),
            text(2, &just),
            (3, None),
            text(4, "b"),
            (5, None),
        ];
        assert!(all(lines(body.clone(), false)).await == (expected.clone(), None));
        assert!(all(lines(gzip(body.as_bytes()), true)).await == (expected, None));
    }

    #[tokio::test]
    async fn a_bomb_costs_a_line() {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        for _ in 0..200 {
            bomb.write_all(&vec![b'x'; 1 << 20]).expect("memory");
        }
        bomb.write_all(b"\nend").expect("memory");
        let bomb = bomb.finish().expect("memory");
        assert!(bomb.len() < 300_000);
        let expected = vec![(1, None), text(2, "end")];
        assert_eq!(all(lines(bomb, true)).await, (expected, None));
    }

    #[tokio::test]
    async fn what_is_broken_ends_behind_the_lines_that_are_whole() {
        let mut cut = gzip(b"one\ntwo\n");
        cut.truncate(cut.len() - 4);
        let (seen, error) = all(lines(cut, true)).await;
        assert_eq!(
            (seen.last(), error),
            (Some(&text(2, "two")), Some("incomplete_body"))
        );
        assert_eq!(
            all(lines("one\n", true)).await,
            (vec![], Some("incomplete_body"))
        );
    }

    /// A body that never goes on.
    struct Stopped;

    impl http_body::Body for Stopped {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_that_stops_is_given_up() {
        let stopped = BodyLines::new(Body::new(Stopped), false, Duration::from_millis(20));
        assert_eq!(all(stopped).await, (vec![], Some("request_timeout")));
    }
}
