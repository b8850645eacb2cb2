//! An answer that is made while it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// How long a client may take nothing of its answer.
const STALLED: Duration = Duration::from_mins(5);

/// Where the parts of the answer go.
pub struct Parts(mpsc::Sender<Part>);

enum Part {
    Data(Bytes),
    End,
}

struct Sent(Option<mpsc::Receiver<Part>>);

/// A body, and where its parts go; `waiting`: how many may wait for the client.
pub fn stream(waiting: usize) -> (Parts, Body) {
    let (send, receive) = mpsc::channel(waiting);
    (Parts(send), Body::new(Sent(Some(receive))))
}

impl Parts {
    /// Waits until there is room for the part; false when the client has left, or takes nothing.
    pub async fn send(&self, part: impl Into<Bytes>) -> bool {
        let part = Part::Data(part.into());
        self.0.send_timeout(part, STALLED).await.is_ok()
    }

    /// The answer is whole. Without this the client sees that it broke off.
    pub async fn end(self) {
        // Nobody is left to see it when it does not arrive.
        let _ = self.0.send_timeout(Part::End, STALLED).await;
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
struct BrokenOff;

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Some(receive) = &mut self.0 else {
            return Poll::Ready(None);
        };
        match receive.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Part::Data(data))) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Poll::Ready(end) => {
                self.0 = None;
                Poll::Ready(match end {
                    Some(_) => None,
                    None => Some(Err(BrokenOff)),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_without_its_end_is_seen_to_be_cut() {
        let (parts, body) = stream(4);
        assert!(parts.send("a").await && parts.send("b").await);
        parts.end().await;
        let whole = axum::body::to_bytes(body, 10).await.expect("whole");
        assert_eq!(whole, "ab");
        let (parts, body) = stream(4);
        assert!(parts.send("a").await);
        drop(parts);
        assert!(axum::body::to_bytes(body, 10).await.is_err());
        let (parts, body) = stream(4);
        drop(body);
        assert!(!parts.send("a").await);
    }
}
