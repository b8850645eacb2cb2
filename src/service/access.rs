//! Keys at work: made, revoked, followed as the catalog has them, and asked for.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::api::Service;
use super::error::ServiceError;
use super::keys::{Denied, Door};
use crate::catalog::Catalog;
use crate::domain::{ApiKey, ApiKeyRecord, NewApiKey, NewKeyFault, Scope};

/// How often the catalog is looked at for other keys.
const LOOK: Duration = Duration::from_secs(1);

impl Service {
    /// Whether a request with this key, of a page of this origin, may do what needs the scope; what is
    /// kept of the key, where it has a good one.
    ///
    /// # Errors
    /// Why it may not.
    pub fn admit(
        &self,
        door: Door,
        key: Option<&str>,
        origin: Option<&str>,
        needs: Scope,
    ) -> Result<Option<Arc<ApiKeyRecord>>, Denied> {
        self.inner.keys.admit(door, key, origin, needs, now())
    }

    /// Makes a key, which is in force at once.
    ///
    /// # Errors
    /// When it would be wrong, or the catalog cannot be written.
    pub async fn make_key(&self, new: NewApiKey) -> Result<(ApiKey, ApiKeyRecord), NoNewKey> {
        let made = make_key(&self.inner.catalog, new).await?;
        // It is told this once, and so it is told: if it cannot be read back now, the following does that.
        if let Err(error) = self.renew_keys().await {
            tracing::warn!(%error, "a key that was made is in force later");
        }
        Ok(made)
    }

    /// All keys that were ever made, the oldest first.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn keys(&self) -> Result<Vec<ApiKeyRecord>, ServiceError> {
        Ok(self.inner.catalog.api_keys().await?)
    }

    /// Revokes a key for good, at once; `None`: there is no such key.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn revoke_key(&self, id: &str) -> Result<Option<ApiKeyRecord>, ServiceError> {
        let revoked = self.inner.catalog.revoke_api_key(id).await?;
        self.renew_keys().await?;
        Ok(revoked)
    }

    /// Whether any key was ever made.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.inner.keys.any()
    }

    /// Whether a key is for pages of this origin.
    #[must_use]
    pub fn has_key_of(&self, origin: &str) -> bool {
        self.inner.keys.any_of(origin)
    }

    /// Takes over the keys that the catalog has.
    ///
    /// # Errors
    /// When the catalog cannot be read: the keys stay as they were.
    pub async fn renew_keys(&self) -> Result<(), ServiceError> {
        let keys = self.inner.catalog.api_keys().await?;
        self.inner.keys.set(keys);
        Ok(())
    }
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum NoNewKey {
    #[error(transparent)]
    Fault(#[from] NewKeyFault),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// Makes a key of a catalog that nobody need serve.
///
/// # Errors
/// When it would be wrong, or the catalog cannot be written.
pub async fn make_key(
    catalog: &Catalog,
    new: NewApiKey,
) -> Result<(ApiKey, ApiKeyRecord), NoNewKey> {
    new.check(now())?;
    Ok(catalog.add_api_key(new).await.map_err(ServiceError::from)?)
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

/// Takes over keys that another process made or revoked, for as long as the service runs.
pub async fn follow(service: Service) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = service.renew_keys().await {
            tracing::warn!(%error, "the keys cannot be read; those known stay in force");
        }
    }
}
