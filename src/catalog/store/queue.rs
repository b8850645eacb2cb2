//! What waits to be embedded, put into the queue: the table `work`.
//!
//! A change that makes something embeddable puts it there in its own transaction, for every model
//! that the catalog knows. So nothing that waits is forgotten, whatever is killed when.

use std::time::{SystemTime, UNIX_EPOCH};

use super::db::Tx;

/// The number of the words of a product in the queue; its pictures have theirs.
pub(super) const WORDS: u8 = 0;

/// Which of what waits is taken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What the shop changed.
    New,
    /// What another model or other captions want embedded again, and what failed before.
    Later,
}

impl Lane {
    /// The first and the last `lane` of the table.
    pub(super) fn bounds(self) -> (i64, i64) {
        match self {
            Self::New => (0, 0),
            Self::Later => (1, AGAIN),
        }
    }
}

/// The `lane` of what failed and is tried again.
pub(super) const AGAIN: i64 = 2;

/// A picture of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::catalog) struct PictureKey {
    pub product: u32,
    pub number: u8,
}

/// Unix seconds.
pub(super) fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Takes its turn from the start, also when it failed before.
macro_rules! queue_sql {
    ($from:literal) => {
        concat!(
            "INSERT INTO work (model, product, number) SELECT m.key, $1, $2 FROM models AS m ",
            $from,
            " ON CONFLICT (product, number, model) DO UPDATE SET lane = 0, attempts = 0, due = 0, reason = NULL"
        )
    };
}

/// The words of a product, for the models that have not seen its caption.
pub(super) async fn words(product: u32, transaction: &mut Tx) -> Result<(), sqlx::Error> {
    let sql = queue_sql!(
        "CROSS JOIN products AS p
         WHERE p.key = $1
           AND NOT EXISTS (SELECT 1 FROM embeddings AS e
                           WHERE e.model = m.key AND e.kind = 'words' AND e.hash = p.caption_hash)
           AND NOT EXISTS (SELECT 1 FROM failures AS f
                           WHERE f.model = m.key AND f.kind = 'words' AND f.hash = p.caption_hash)"
    );
    let query = sqlx::query(sql)
        .bind(i64::from(product))
        .bind(i64::from(WORDS));
    query.execute(&mut **transaction).await.map(|_| ())
}

/// A picture that is to be read.
pub(super) async fn picture(picture: PictureKey, transaction: &mut Tx) -> Result<(), sqlx::Error> {
    let sql = queue_sql!("WHERE true");
    let query = sqlx::query(sql)
        .bind(i64::from(picture.product))
        .bind(i64::from(picture.number));
    query.execute(&mut **transaction).await.map(|_| ())
}
