//! Who may ask what: the keys of the catalog, in memory.
//!
//! Where no key was ever made, a listener is open as far as its [`Door`] says. From the first key on
//! it is open to nobody without one, also when every key was revoked or has expired; what a [`Door`]
//! leaves open always is the exception. A page in a browser never does more than search without a key:
//! otherwise any page that somebody opens beside the service could write to it.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::{ApiKey, ApiKeyRecord, KeyFault, Scope};

/// How far a listener is open without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// While there is no key.
    pub unlocked: Option<Scope>,
    /// Whether there are keys or not.
    pub always: Option<Scope>,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error(
        "this needs a key of scope {needs}, and no key was made yet: make one with `aglet key create`, \
         or ask the admin listener, which needs none until then"
    )]
    NoKeys { needs: Scope },
    #[error("this needs a key of scope {needs}: Authorization: Bearer KEY")]
    NoKey { needs: Scope },
    #[error("what Authorization holds is no key of this service: Bearer aglet_...")]
    NotAKey,
    #[error(transparent)]
    Key(#[from] KeyFault),
}

/// The keys, by their ids.
#[derive(Default)]
pub(super) struct Keys(ArcSwap<HashMap<String, Arc<ApiKeyRecord>>>);

impl Keys {
    pub(super) fn set(&self, records: Vec<ApiKeyRecord>) {
        let keys = records
            .into_iter()
            .map(|key| (key.id.clone(), Arc::new(key)));
        let keys: HashMap<_, _> = keys.collect();
        if **self.0.load() != keys {
            self.0.store(keys.into());
        }
    }

    pub(super) fn admit(
        &self,
        door: Door,
        key: Option<&str>,
        origin: Option<&str>,
        needs: Scope,
        now: u64,
    ) -> Result<Option<Arc<ApiKeyRecord>>, Denied> {
        let keys = self.0.load();
        let open = if keys.is_empty() {
            door.always.max(door.unlocked)
        } else {
            door.always
        };
        let denied = match key {
            None if keys.is_empty() => Denied::NoKeys { needs },
            None => Denied::NoKey { needs },
            Some(text) => match ApiKey::parse(text) {
                None => Denied::NotAKey,
                Some(key) => match keys.get(key.id()) {
                    None => KeyFault::Unknown.into(),
                    Some(record) => match record.check(&key, origin, needs, now) {
                        Ok(()) => return Ok(Some(Arc::clone(record))),
                        Err(fault) => fault.into(),
                    },
                },
            },
        };
        let by_page = origin.is_some() && needs > Scope::Search;
        if open >= Some(needs) && !by_page {
            return Ok(None);
        }
        Err(denied)
    }

    /// Whether any was ever made.
    pub(super) fn any(&self) -> bool {
        !self.0.load().is_empty()
    }

    /// Whether one is for pages of this origin.
    pub(super) fn any_of(&self, origin: &str) -> bool {
        let keys = self.0.load();
        keys.values()
            .any(|key| key.revoked.is_none() && key.is_of(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: Door = Door {
        unlocked: Some(Scope::Search),
        always: None,
    };

    fn key(number: u8, scope: Scope) -> (ApiKey, ApiKeyRecord) {
        let key = ApiKey::of([number; 6], [number; 32]);
        let record = ApiKeyRecord {
            id: key.id().to_owned(),
            name: String::new(),
            hash: key.hash(),
            scope,
            origins: Vec::new(),
            created: 0,
            expires: None,
            revoked: None,
            rate: None,
        };
        (key, record)
    }

    #[test]
    fn without_keys_a_listener_is_open_as_far_as_its_door_says() {
        let keys = Keys::default();
        let admit = |door, needs| {
            keys.admit(door, None, None, needs, 1)
                .map(|key| key.is_none())
        };
        assert_eq!(admit(PUBLIC, Scope::Search), Ok(true));
        let needs = Scope::Write;
        assert_eq!(admit(PUBLIC, needs), Err(Denied::NoKeys { needs }));
        let open = Door {
            unlocked: Some(Scope::Admin),
            always: None,
        };
        assert_eq!(admit(open, Scope::Admin), Ok(true));
        // A page that somebody has open on the same machine.
        let page = |needs| keys.admit(open, None, Some("https://evil.example"), needs, 1);
        assert_eq!(page(Scope::Search), Ok(None));
        let needs = Scope::Write;
        assert_eq!(page(needs), Err(Denied::NoKeys { needs }));
    }

    #[test]
    fn from_the_first_key_on_every_request_needs_one() {
        let keys = Keys::default();
        let (search, search_record) = key(1, Scope::Search);
        let (write, write_record) = key(2, Scope::Write);
        let revoked = ApiKeyRecord {
            revoked: Some(1),
            ..write_record.clone()
        };
        keys.set(vec![search_record.clone(), write_record]);
        let text = search.text();
        let admit = |key, needs| {
            let admitted = keys.admit(PUBLIC, key, None, needs, 1);
            admitted.map(|key| key.map(|key| key.id.clone()))
        };
        let id = search.id().to_owned();
        assert_eq!(admit(Some(&text), Scope::Search), Ok(Some(id)));
        let (has, needs) = (Scope::Search, Scope::Write);
        let fault = KeyFault::Scope { has, needs };
        assert_eq!(admit(Some(&text), needs), Err(fault.into()));
        let needs = Scope::Search;
        assert_eq!(admit(None, needs), Err(Denied::NoKey { needs }));
        assert_eq!(admit(Some("aglet"), needs), Err(Denied::NotAKey));
        let unknown = key(3, Scope::Admin).0.text();
        assert_eq!(admit(Some(&unknown), needs), Err(KeyFault::Unknown.into()));

        // Without a good one left it stays shut.
        keys.set(vec![revoked]);
        let text = write.text();
        assert_eq!(
            keys.admit(PUBLIC, Some(&text), None, needs, 1),
            Err(KeyFault::Revoked.into())
        );
        let open = Door {
            always: Some(Scope::Search),
            ..PUBLIC
        };
        assert_eq!(keys.admit(open, Some(&text), None, needs, 1), Ok(None));
    }
}
