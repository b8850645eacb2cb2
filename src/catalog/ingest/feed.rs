//! A feed that is fetched from a web address, before it is read.
//!
//! What the server says of the file goes along with the next request, so that a feed that is what it
//! was costs a few hundred bytes. The host of the address is whoever imports it's own word; a redirect
//! leads to that host or to public addresses.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::progress::{FeedLimits, FetchedFeed, ImportOptions, IngestError};
use crate::catalog::error::CatalogError;
use crate::catalog::media::hosts::PictureHosts;
use crate::catalog::media::remote::{FetchOptions, Fetched, Remote, Validators};
use crate::catalog::source::Source;
use crate::catalog::store::feeds::KnownFeed;
use crate::catalog::store::write::Writer;
use crate::util::blocking::blocking;
use crate::util::digest::sha256_hex;

/// Tries, and the pauses between them: a host that cannot now may be able to in a moment.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// A feed that was asked for.
pub(super) struct AskedFeed {
    /// As it will be known once it is taken.
    pub known: KnownFeed,
    /// Products that it had before.
    pub before: u64,
    pub fetched: FetchedFeed,
    /// Where it is; removed when dropped. `None`: it is what it was.
    pub file: Option<NamedTempFile>,
}

/// An address as people may see it: without what lets somebody in.
#[must_use]
pub fn shown(address: &str) -> String {
    let plain = address.split(['?', '#']).next().unwrap_or_default();
    match plain.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => plain.to_owned(),
    }
}

/// Asks for the feed at `address`.
pub(super) async fn ask(
    writer: &Writer,
    source: &Source,
    address: &str,
    options: &ImportOptions,
) -> Result<AskedFeed, IngestError> {
    let mut known = writer.feed(address).await?;
    let before = known.products;
    // Another version may read another thing out of the same file.
    let read_with = format!(
        "{:?} {:?} {:?} {}",
        source.format,
        source.mapping,
        source.images,
        env!("CARGO_PKG_VERSION")
    );
    let settings = sha256_hex(read_with.as_bytes());
    let asks_again = options.force || known.settings != settings || before == 0;
    let validators = if asks_again {
        Validators::default()
    } else {
        known.validators.clone()
    };
    let (limits, folder) = (options.feed_limits, writer.catalog().data().to_owned());
    let (address, of) = (address.to_owned(), shown(address));
    let fetch = move || fetch(&address, &validators, limits, &folder);
    let fetched = blocking(fetch).await.map_err(CatalogError::from)?;
    let (fetched, file) =
        fetched.map_err(|reason| IngestError::Fetch(format!("{of}: {reason}")))?;
    let (fetched, file) = match fetched {
        Fetched::Same => (FetchedFeed::Same, None),
        Fetched::Body(body) => {
            known.validators = body.validators;
            (FetchedFeed::Read(body.bytes), Some(file))
        }
    };
    known.settings = settings;
    Ok(AskedFeed {
        known,
        before,
        fetched,
        file,
    })
}

fn fetch(
    address: &str,
    validators: &Validators,
    limits: FeedLimits,
    folder: &std::path::Path,
) -> Result<(Fetched, NamedTempFile), String> {
    let what = FetchOptions {
        what: "the feed",
        accept: "*/*",
        gzip: true,
        connect: Duration::from_secs(10),
        total: limits.time,
        bytes: limits.bytes,
        redirects: 5,
    };
    let remote = Remote::new(hosts(address)?);
    let mut pauses = PAUSES.iter();
    loop {
        let file = NamedTempFile::new_in(folder);
        let mut file = file.map_err(|error| format!("it cannot be kept: {error}"))?;
        match remote.fetch_to(address, validators, &what, file.as_file_mut()) {
            Ok(fetched) => {
                let flushed = file.as_file_mut().flush();
                flushed.map_err(|error| format!("it cannot be kept: {error}"))?;
                return Ok((fetched, file));
            }
            Err(error) => match pauses.next().filter(|_| error.again) {
                Some(pause) => thread::sleep(error.after.unwrap_or(*pause).min(PAUSES[1] * 3)),
                None => return Err(error.reason),
            },
        }
    }
}

/// The host of the address itself, wherever it is, and public ones.
fn hosts(address: &str) -> Result<PictureHosts, String> {
    let (_, rest) = address.split_once("://").ok_or("it is no web address")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let instead = "a token in the address, or a proxy of your own, does what they would";
        return Err(format!("the address has a user or a password: {instead}"));
    }
    PictureHosts::new(&[authority.to_owned(), "*".to_owned()]).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_an_address_are_not_shown() {
        for (address, is) in [
            (
                "https://u:p@shop.example/f.xml?token=x#y",
                "https://shop.example/f.xml",
            ),
            ("https://shop.example", "https://shop.example"),
            ("f.xml", "f.xml"),
        ] {
            assert_eq!(shown(address), is);
        }
        assert!(hosts("https://u:p@shop.example/").is_err());
        let hosts = hosts("http://127.0.0.1:8081/f.xml").expect("hosts");
        assert!(hosts.check("http://127.0.0.1:8081/other").is_ok());
        assert!(hosts.check("http://127.0.0.1:8082/").is_err());
    }
}
