//! What the catalog is embedded with.

use bytes::Bytes;

use crate::catalog::store::queue::Lane;
use crate::domain::{Embedding, ModelId};
use crate::encode::{EncodeError, Encoder, Priority};

/// What turns pictures and words into embeddings; [`Encoder`], or something quicker in a test.
pub trait Embedder: Clone + Send + Sync + 'static {
    fn model(&self) -> &ModelId;
    /// Embeds the picture in `file`, behind all searches; what is new goes before all else.
    fn photo(
        &self,
        file: Bytes,
        lane: Lane,
    ) -> impl Future<Output = Result<Embedding, EncodeError>> + Send;
    /// Whether a text is read to its end, or its end is cut off.
    fn reads_whole(&self, _text: &str) -> bool {
        true
    }
    /// Embeds a caption, likewise.
    fn words(
        &self,
        text: &str,
        lane: Lane,
    ) -> impl Future<Output = Result<Embedding, EncodeError>> + Send;
}

impl Embedder for Encoder {
    fn model(&self) -> &ModelId {
        self.model_id()
    }
    async fn photo(&self, file: Bytes, lane: Lane) -> Result<Embedding, EncodeError> {
        self.image(file, priority(lane), None).await
    }
    fn reads_whole(&self, text: &str) -> bool {
        Encoder::reads_whole(self, text)
    }
    async fn words(&self, text: &str, lane: Lane) -> Result<Embedding, EncodeError> {
        self.text(text, priority(lane), None).await
    }
}

fn priority(lane: Lane) -> Priority {
    match lane {
        Lane::New => Priority::New,
        Lane::Later => Priority::Bulk,
    }
}
