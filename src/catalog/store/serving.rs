//! Which model answers: the table `serving`.

use std::path::{Path, PathBuf};

use sqlx::Row;

use super::database::Catalog;
use super::db::{DbRow, flag, some_number};
use crate::catalog::error::CatalogError;
use crate::domain::{Served, Serving, Wanted};

impl Catalog {
    /// What was chosen.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn serving(&self) -> Result<Serving, CatalogError> {
        let row = sqlx::query("SELECT * FROM serving")
            .fetch_one(&self.inner.upkeep)
            .await;
        row.and_then(|row| serving(&row)).map_err(|e| self.error(e))
    }

    /// Asks the services of this catalog to put another model in use; `None`: to leave it at the one
    /// that is.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn want(&self, served: Option<&Served>, checked: bool) -> Result<(), CatalogError> {
        let sql = "UPDATE serving SET wanted_model = $1, wanted_words = $2, wanted_checked = $3, wanted_failed = NULL";
        sqlx::query(sql)
            .bind(served.map(|served| text(&served.model)))
            .bind(served.and_then(|served| served.words_percent.map(i64::from)))
            .bind(i64::from(checked))
            .execute(&self.inner.writer)
            .await
            .map(|_| ())
            .map_err(|e| self.error(e))
    }

    /// Gives up what is wanted, for as long as nothing else is.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn give_up(&self, wanted: &Served, reason: &str) -> Result<(), CatalogError> {
        let sql = "UPDATE serving SET wanted_failed = $1 WHERE wanted_model = $2 AND wanted_words IS NOT DISTINCT FROM $3";
        sqlx::query(sql)
            .bind(reason)
            .bind(text(&wanted.model))
            .bind(wanted.words_percent.map(i64::from))
            .execute(&self.inner.writer)
            .await
            .map(|_| ())
            .map_err(|e| self.error(e))
    }

    /// Notes that what was wanted answers now, in the place of the setting and of `before`; whether it
    /// was still wanted.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn chosen(
        &self,
        setting: &Path,
        before: &Served,
        now: &Served,
    ) -> Result<bool, CatalogError> {
        let sql = "UPDATE serving SET setting = $1, model = $2, words = $3, previous_model = $4,
                   previous_words = $5, wanted_model = NULL, wanted_words = NULL, wanted_failed = NULL
                   WHERE wanted_model = $2 AND wanted_words IS NOT DISTINCT FROM $3";
        let done = sqlx::query(sql)
            .bind(text(setting))
            .bind(text(&now.model))
            .bind(now.words_percent.map(i64::from))
            .bind(text(&before.model))
            .bind(before.words_percent.map(i64::from))
            .execute(&self.inner.writer)
            .await
            .map_err(|e| self.error(e))?;
        Ok(done.rows_affected() > 0)
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn serving(row: &DbRow) -> Result<Serving, sqlx::Error> {
    let served = |model: &str, words: &str| -> Result<Option<Served>, sqlx::Error> {
        let model: Option<String> = row.try_get(model)?;
        let words_percent = some_number(row, words)?;
        Ok(model.map(|model| Served {
            model: model.into(),
            words_percent,
        }))
    };
    let setting: Option<String> = row.try_get("setting")?;
    let wanted = match served("wanted_model", "wanted_words")? {
        Some(served) => Some(Wanted {
            served,
            checked: flag(row, "wanted_checked")?,
            failed: row.try_get("wanted_failed")?,
        }),
        None => None,
    };
    Ok(Serving {
        chosen: setting.map(PathBuf::from).zip(served("model", "words")?),
        previous: served("previous_model", "previous_words")?,
        wanted,
    })
}
