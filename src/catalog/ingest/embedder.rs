//! What the catalog is embedded with.

use bytes::Bytes;

use crate::domain::{Embedding, ModelId};
use crate::encode::{EncodeError, Encoder, Priority};

/// What turns pictures and words into embeddings; [`Encoder`], or something quicker in a test.
pub trait Embedder: Clone + Send + Sync + 'static {
    fn model(&self) -> &ModelId;
    /// Embeds the picture in `file`, behind all searches.
    fn photo(&self, file: Bytes) -> impl Future<Output = Result<Embedding, EncodeError>> + Send;
    /// Embeds a caption, behind all searches.
    fn words(&self, text: &str) -> impl Future<Output = Result<Embedding, EncodeError>> + Send;
}

impl Embedder for Encoder {
    fn model(&self) -> &ModelId {
        self.model_id()
    }
    async fn photo(&self, file: Bytes) -> Result<Embedding, EncodeError> {
        self.image(file, Priority::Bulk, None).await
    }
    async fn words(&self, text: &str) -> Result<Embedding, EncodeError> {
        self.text(text, Priority::Bulk, None).await
    }
}
