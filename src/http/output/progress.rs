//! How far a product is embedded, as clients see it.

use serde::Serialize;
use utoipa::ToSchema;

use super::picture::picture_url;
use crate::catalog::{PartProgress, ProductProgress, StoredProduct};
use crate::domain::typed;

/// A picture of a product.
#[derive(Debug, Serialize, ToSchema)]
pub struct PictureView {
    /// Which of the product's pictures it is: they are shown in the order of their numbers.
    #[schema(minimum = 1, maximum = 32)]
    pub number: u8,
    /// Where it is; null while it cannot be shown: it was not read yet, or cannot be read.
    #[schema(required)]
    pub url: Option<String>,
    pub embedding: EmbeddingView,
}

/// How far a picture, or the words of a product, is embedded by the model in use.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EmbeddingView {
    pub status: EmbeddingStatus,
    /// Of `retrying` and `failed`: what went wrong the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Of `retrying`: how often it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub attempts: Option<u32>,
    /// Of `retrying`: when it is tried again, at the earliest (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_try: Option<String>,
}

/// - `embedded`: it is found by its vector.
/// - `waiting`: its turn is still to come.
/// - `retrying`: it could not be read or embedded, and is tried again at `next_try`.
/// - `failed`: it cannot be embedded, and is not tried again until the shop changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingStatus {
    Embedded,
    Waiting,
    Retrying,
    Failed,
}

impl EmbeddingView {
    fn of(status: EmbeddingStatus, reason: Option<String>) -> Self {
        Self {
            status,
            reason,
            attempts: None,
            next_try: None,
        }
    }
}

impl From<PartProgress> for EmbeddingView {
    fn from(part: PartProgress) -> Self {
        if part.embedded {
            // Also where it is looked at anew.
            return Self::of(EmbeddingStatus::Embedded, None);
        }
        if part.waits && part.attempts > 0 {
            return Self {
                attempts: Some(part.attempts),
                next_try: part.again_at.and_then(typed::date_text),
                ..Self::of(EmbeddingStatus::Retrying, part.failed)
            };
        }
        if !part.waits && part.failed.is_some() {
            return Self::of(EmbeddingStatus::Failed, part.failed);
        }
        Self::of(EmbeddingStatus::Waiting, None)
    }
}

/// The pictures of a product, in their order, and its words.
pub fn parts(
    stored: &StoredProduct,
    progress: ProductProgress,
    public_url: &str,
) -> (Vec<PictureView>, EmbeddingView) {
    let mut known = progress.pictures;
    let pictures = stored.pictures.iter().map(|picture| {
        // The two were read one after the other: a picture may be in one of them alone.
        let at = known
            .iter()
            .position(|(number, _)| *number == picture.number);
        let part = at.map(|at| known.swap_remove(at).1).unwrap_or_default();
        PictureView {
            number: picture.number,
            url: picture_url(&stored.product.id, picture, public_url),
            embedding: part.into(),
        }
    });
    (pictures.collect(), progress.words.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_part_is_in_one_of_four_states() {
        let seen = |part: PartProgress| {
            serde_json::to_value(EmbeddingView::from(part)).expect("serializes")
        };
        let part = |embedded, waits, failed: &str, attempts| PartProgress {
            embedded,
            waits,
            failed: Some(failed.to_owned()).filter(|failed| !failed.is_empty()),
            attempts,
            again_at: (attempts > 0).then_some(1_795_980_125),
        };
        let embedded = json!({"status": "embedded"});
        assert_eq!(seen(part(true, false, "", 0)), embedded);
        assert_eq!(seen(part(true, true, "gone", 2)), embedded);
        let waiting = json!({"status": "waiting"});
        assert_eq!(seen(PartProgress::default()), waiting);
        assert_eq!(seen(part(false, true, "", 0)), waiting);
        let retrying = json!({"status": "retrying", "reason": "gone", "attempts": 2,
            "next_try": "2026-11-29T19:22:05Z"});
        assert_eq!(seen(part(false, true, "gone", 2)), retrying);
        let failed = json!({"status": "failed", "reason": "gone"});
        assert_eq!(seen(part(false, false, "gone", 0)), failed);
    }
}
