//! Keys: who may ask what of a service.
//!
//! A key is the text `aglet_ID_SECRET`. Its id is no secret: it stands in lists and logs. Of its secret
//! only the SHA-256 is kept, which is enough for 256 random bits.

use std::fmt;
use std::num::NonZeroU32;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::util::digest::hex;

/// What a key is good for; each scope holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Searches, single products and their pictures.
    Search,
    /// Products are written and listed.
    Write,
    /// Keys and the service itself.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Search, Self::Write, Self::Admin];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key as a client sends it. Nothing prints it but [`ApiKey::text`].
#[derive(Clone)]
pub struct ApiKey {
    id: String,
    secret: String,
}

/// What every key begins with: scanners for secrets in code find it by that.
const MARK: &str = "aglet_";
const ID_LENGTH: usize = 12;
const SECRET_LENGTH: usize = 64;

impl ApiKey {
    /// A key of random bits: the first of them its id, the others its secret.
    #[must_use]
    pub fn of(id: [u8; ID_LENGTH / 2], secret: [u8; SECRET_LENGTH / 2]) -> Self {
        Self {
            id: hex(&id),
            secret: hex(&secret),
        }
    }

    /// `None`: the text is not of the form of a key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(MARK)?.split_once('_')?;
        let is_hex = |text: &str, length| {
            text.len() == length
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        (is_hex(id, ID_LENGTH) && is_hex(secret, SECRET_LENGTH)).then(|| Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
        })
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What its owner keeps.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{MARK}{}_{}", self.id, self.secret)
    }

    /// What is kept of its secret.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret.as_bytes()).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.id)
    }
}

/// How often something may be asked: `burst` times at once, and `per_second` times from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// What so many of them give may be asked at once where nothing else is said.
const SECONDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

impl Rate {
    /// `burst` 0: what ten seconds give. `None`: `per_second` is 0, and there is no limit.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        Some(Self {
            per_second,
            burst: NonZeroU32::new(burst).unwrap_or(per_second.saturating_mul(SECONDS)),
        })
    }
}

/// A key that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiKey {
    /// What its owner is called.
    pub name: String,
    pub scope: Scope,
    /// See [`ApiKeyRecord::origins`].
    pub origins: Vec<String>,
    /// In Unix seconds.
    pub expires: Option<u64>,
    pub rate: Option<Rate>,
}

/// Why a key cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewKeyFault {
    #[error("the name must have 1 to 200 characters, none of them a control character")]
    Name,
    #[error("{0:?} is not an origin such as https://shop.example")]
    Origin(String),
    #[error("a key for web pages can only search: everybody can read it there")]
    Public,
    #[error("the key would have expired already")]
    Expired,
}

impl NewApiKey {
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self, now: u64) -> Result<(), NewKeyFault> {
        let named = (1..=200).contains(&self.name.chars().count());
        if !named || self.name.chars().any(char::is_control) {
            return Err(NewKeyFault::Name);
        }
        if let Some(wrong) = self.origins.iter().find(|origin| !is_origin(origin)) {
            return Err(NewKeyFault::Origin(wrong.clone()));
        }
        if !self.origins.is_empty() && self.scope > Scope::Search {
            return Err(NewKeyFault::Public);
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(NewKeyFault::Expired);
        }
        Ok(())
    }
}

/// Whether a text is a web origin as browsers send it: `https://shop.example`, with a port where it is
/// not the scheme's own.
#[must_use]
pub fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty()
            && host.bytes().all(|b| {
                b.is_ascii_graphic() && !b.is_ascii_uppercase() && !b"/*?#@\\\"<>,".contains(&b)
            })
    })
}

/// What is kept of a key. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRecord {
    pub id: String,
    /// What its owner is called.
    pub name: String,
    pub hash: [u8; 32],
    pub scope: Scope,
    /// Web origins (`https://shop.example`) whose pages may use it; empty: it is no browser's, and
    /// any may.
    pub origins: Vec<String>,
    pub created: u64,
    pub expires: Option<u64>,
    pub revoked: Option<u64>,
    /// How often it may be used: by all together, or where it has origins, from each address.
    pub rate: Option<Rate>,
}

/// Why a key does not open a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("there is no such key")]
    Unknown,
    #[error("the key was revoked")]
    Revoked,
    #[error("the key has expired")]
    Expired,
    #[error("the key is not for pages of this origin")]
    Origin,
    #[error("the key's scope is {has}, and this needs {needs}")]
    Scope { has: Scope, needs: Scope },
}

impl ApiKeyRecord {
    /// Whether `key`, sent by a page of `origin` (`None`: by no page), may do what needs the scope.
    ///
    /// # Errors
    /// Why it may not. A wrong secret is [`KeyFault::Unknown`], however much else is right.
    pub fn check(
        &self,
        key: &ApiKey,
        origin: Option<&str>,
        needs: Scope,
        now: u64,
    ) -> Result<(), KeyFault> {
        // Takes as long for a secret that is nearly right as for one that is not at all.
        if !bool::from(self.hash.ct_eq(&key.hash())) {
            return Err(KeyFault::Unknown);
        }
        if self.revoked.is_some() {
            return Err(KeyFault::Revoked);
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(KeyFault::Expired);
        }
        if !self.origins.is_empty() && !origin.is_some_and(|origin| self.is_of(origin)) {
            return Err(KeyFault::Origin);
        }
        if self.scope < needs {
            return Err(KeyFault::Scope {
                has: self.scope,
                needs,
            });
        }
        Ok(())
    }

    /// Whether pages of this origin may use it.
    #[must_use]
    pub fn is_of(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &ApiKey) -> ApiKeyRecord {
        ApiKeyRecord {
            id: key.id().to_owned(),
            name: "a shop".to_owned(),
            hash: key.hash(),
            scope: Scope::Write,
            origins: Vec::new(),
            created: 100,
            expires: Some(200),
            revoked: None,
            rate: None,
        }
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let key = ApiKey::of([1; 6], [0xab; 32]);
        let text = key.text();
        assert_eq!(text, format!("aglet_010101010101_{}", "ab".repeat(32)));
        let read = ApiKey::parse(&text).expect("a key");
        assert_eq!((read.id(), read.hash()), (key.id(), key.hash()));
        assert_eq!(format!("{read:?}"), "ApiKey(010101010101)");
        let wrong = [
            String::new(),
            text.replace("aglet_", "alget_"),
            text.replace("ab", "AB"),
            text[..text.len() - 1].to_owned(),
            format!("{text}0"),
            format!("{text}_"),
            text.replacen('_', "", 2),
        ];
        for wrong in wrong {
            assert!(ApiKey::parse(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_key_opens_what_it_is_for() {
        let key = ApiKey::of([1; 6], [2; 32]);
        let record = record(&key);
        let check = |record: &ApiKeyRecord, needs, now| record.check(&key, None, needs, now);
        assert_eq!(check(&record, Scope::Search, 150), Ok(()));
        assert_eq!(check(&record, Scope::Write, 199), Ok(()));
        assert_eq!(check(&record, Scope::Write, 200), Err(KeyFault::Expired));
        let (has, needs) = (Scope::Write, Scope::Admin);
        assert_eq!(
            check(&record, Scope::Admin, 150),
            Err(KeyFault::Scope { has, needs })
        );
        let other = ApiKey::of([1; 6], [3; 32]);
        assert_eq!(
            record.check(&other, None, Scope::Search, 150),
            Err(KeyFault::Unknown)
        );
        let revoked = ApiKeyRecord {
            revoked: Some(120),
            ..record
        };
        assert_eq!(check(&revoked, Scope::Search, 150), Err(KeyFault::Revoked));
        // Who has no secret learns nothing about the key.
        assert_eq!(
            revoked.check(&other, None, Scope::Search, 150),
            Err(KeyFault::Unknown)
        );
    }

    #[test]
    fn a_key_of_a_browser_is_for_the_pages_of_its_origins() {
        let key = ApiKey::of([1; 6], [2; 32]);
        let record = ApiKeyRecord {
            origins: vec!["https://shop.example".to_owned()],
            ..record(&key)
        };
        let check = |origin| record.check(&key, origin, Scope::Search, 150);
        assert_eq!(check(Some("https://shop.example")), Ok(()));
        for origin in [
            None,
            Some("null"),
            Some("https://shop.example.evil.example"),
        ] {
            assert_eq!(check(origin), Err(KeyFault::Origin));
        }
    }

    #[test]
    fn a_key_that_would_be_wrong_is_not_made() {
        let good = NewApiKey {
            name: "the shop's pages".to_owned(),
            scope: Scope::Search,
            origins: vec!["https://shop.example".to_owned()],
            expires: Some(200),
            rate: Rate::new(5, 0),
        };
        assert_eq!(good.check(100), Ok(()));
        let wrong = |change: &dyn Fn(&mut NewApiKey)| {
            let mut key = good.clone();
            change(&mut key);
            key.check(100)
        };
        assert_eq!(wrong(&|key| key.name.clear()), Err(NewKeyFault::Name));
        assert_eq!(wrong(&|key| key.name.push('\n')), Err(NewKeyFault::Name));
        assert_eq!(
            wrong(&|key| key.name = "x".repeat(201)),
            Err(NewKeyFault::Name)
        );
        assert_eq!(
            wrong(&|key| key.scope = Scope::Write),
            Err(NewKeyFault::Public)
        );
        assert_eq!(
            wrong(&|key| key.expires = Some(100)),
            Err(NewKeyFault::Expired)
        );
        for origin in [
            "*",
            "shop.example",
            "https://",
            "https://a/b",
            "https://A.example",
            "null",
        ] {
            assert_eq!(
                wrong(&|key| key.origins.push(origin.to_owned())),
                Err(NewKeyFault::Origin(origin.to_owned()))
            );
        }
    }

    #[test]
    fn a_rate_without_a_burst_has_that_of_ten_seconds() {
        let rate = |per_second, burst| {
            Rate::new(per_second, burst).map(|r| (r.per_second.get(), r.burst.get()))
        };
        assert_eq!(rate(5, 0), Some((5, 50)));
        assert_eq!(rate(5, 7), Some((5, 7)));
        assert_eq!(rate(0, 7), None);
        assert_eq!(rate(u32::MAX, 0), Some((u32::MAX, u32::MAX)));
    }
}
