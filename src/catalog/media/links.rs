//! Addresses of kept pictures that lead past the service: straight to the bucket, or to what serves
//! it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::bucket::Bucket;

/// How long the same signed address is given. It is valid for an hour, so that whoever gets it has
/// half of that left.
const SAME: Duration = Duration::from_mins(30);
/// Bytes of addresses that are kept.
const MEMORY: u64 = 16 << 20;

/// The setting `picture_links`: where the addresses of kept pictures lead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PictureLinks {
    /// Through the service.
    #[default]
    Service,
    /// To the bucket, signed for an hour.
    Presigned,
    /// To what serves the bucket or the folder: this, without a slash at its end, and the picture's
    /// name.
    Public(String),
}

impl FromStr for PictureLinks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "service" => Ok(Self::Service),
            "presigned" => Ok(Self::Presigned),
            _ if is_address(text) => Ok(Self::Public(text.trim_end_matches('/').to_owned())),
            _ => Err(
                "it is none of service, presigned, and an address such as https://cdn.shop.example/pictures"
                    .to_owned(),
            ),
        }
    }
}

/// An absolute http(s) address without query and fragment.
fn is_address(text: &str) -> bool {
    let schemes = ["https://", "http://"];
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    let of_none = ['?', '#', '*', '"', '<', '\\', ' '];
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.contains(of_none)
            && !rest.contains(char::is_control)
    })
}

impl TryFrom<String> for PictureLinks {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for PictureLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "service",
            Self::Presigned => "presigned",
            Self::Public(base) => base,
        })
    }
}

impl Serialize for PictureLinks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Makes addresses. A clonable handle; clones share what was signed.
#[derive(Clone)]
pub(super) struct Links {
    to: PictureLinks,
    signed: moka::sync::Cache<String, String>,
}

impl Links {
    pub(super) fn new(to: PictureLinks) -> Self {
        let bytes = |name: &String, address: &String| {
            u32::try_from(name.len() + address.len()).unwrap_or(u32::MAX)
        };
        let signed = moka::sync::Cache::builder()
            .weigher(bytes)
            .max_capacity(MEMORY)
            .time_to_live(SAME)
            .build();
        Self { to, signed }
    }

    /// The address of a kept picture; `None`: that of the service, also when none can be signed now.
    pub(super) async fn to(&self, name: &str, bucket: Option<&Bucket>) -> Option<String> {
        match &self.to {
            PictureLinks::Service => None,
            PictureLinks::Public(base) => Some(format!("{base}/{name}")),
            PictureLinks::Presigned => {
                if let Some(address) = self.signed.get(name) {
                    return Some(address);
                }
                let signed = bucket?.sign(name).await;
                let address = signed
                    .inspect_err(|error| tracing::warn!(%error, "an address is not signed"))
                    .ok()?;
                self.signed.insert(name.to_owned(), address.clone());
                Some(address)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::media::bucket::Access;

    #[test]
    fn links_are_read_and_shown_as_they_were_written() {
        for text in ["service", "presigned", "https://cdn.shop.example/pictures"] {
            let links: PictureLinks = text.parse().expect(text);
            assert_eq!(links.to_string(), text);
        }
        assert_eq!("".parse(), Ok(PictureLinks::Service));
        let slash: PictureLinks = "http://cdn/".parse().expect("an address");
        assert_eq!(slash.to_string(), "http://cdn");
        for wrong in [
            "signed",
            "cdn.shop.example",
            "https://",
            "https://a?b",
            "ftp://a",
        ] {
            assert!(wrong.parse::<PictureLinks>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn an_address_is_signed_without_asking_anybody_and_stays_the_same() {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "s3cret"),
            // Nobody listens there.
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let bucket = Bucket::open("shop", "a/b", &Access::of(variables)).expect("opens");
        let links = Links::new(PictureLinks::Presigned);
        let first = links.to("ab/abcd", Some(&bucket)).await.expect("signed");
        assert!(
            first.starts_with("http://127.0.0.1:1/shop/a/b/ab/abcd?")
                && first.contains("X-Amz-Expires=3600")
                && !first.contains("s3cret"),
            "{first}"
        );
        // Signed again it would have the time of then.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert_eq!(
            links.to("ab/abcd", Some(&bucket)).await,
            Some(first.clone())
        );
        let other = links.to("ab/abce", Some(&bucket)).await.expect("signed");
        assert_ne!(other, first);
        let public = Links::new(PictureLinks::Public("https://cdn".to_owned()));
        let public = public.to("ab/abcd", Some(&bucket)).await;
        assert_eq!(public.as_deref(), Some("https://cdn/ab/abcd"));
        let service = Links::new(PictureLinks::Service);
        assert_eq!(service.to("ab/abcd", Some(&bucket)).await, None);
    }
}
