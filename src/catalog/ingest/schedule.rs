//! Feeds that a running service fetches by itself: the file that the setting `feeds` names.
//!
//! ```toml
//! [[feed]]
//! address = "https://shop.example/feeds/products.xml"
//! every = "1h"              # default 1h; 1m at least
//! format = "merchant"       # default: as it can be seen in the file
//! mapping = "mapping.toml"  # default: none; beside this file
//! images = ["/mnt/photos"]  # default: pictures are named by web addresses
//! prune = true              # default: products that came from this feed and are not in it any more are removed
//! max_removed = "50%"       # default; a feed that would take away more is refused
//! max_megabytes = 4096      # default
//! timeout = "30m"           # default
//! ```

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::max_removed::MaxRemoved;
use super::progress::{FeedLimits, ImportOptions};
use crate::catalog::source::{Format, Mapping, Source};

/// A feed, and how often it is fetched.
#[derive(Clone, Debug)]
pub struct ScheduledFeed {
    pub address: String,
    pub every: Duration,
    pub source: Source,
    pub options: ImportOptions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    feed: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    address: String,
    every: Option<String>,
    format: Option<Format>,
    mapping: Option<PathBuf>,
    #[serde(default)]
    images: Vec<PathBuf>,
    prune: Option<bool>,
    max_removed: Option<String>,
    max_megabytes: Option<u64>,
    timeout: Option<String>,
}

/// The shortest time between two fetches of a feed.
const SHORTEST: Duration = Duration::from_mins(1);

impl ScheduledFeed {
    /// The feeds that a file names.
    ///
    /// # Errors
    /// In words, when it cannot be read, or is wrong.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse_all(&text, folder)
    }

    fn parse_all(text: &str, folder: &Path) -> Result<Vec<Self>, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut seen = HashSet::new();
        let feeds = file.feed.into_iter().map(|written| {
            if !seen.insert(written.address.clone()) {
                return Err(format!("{} is there twice", written.address));
            }
            let address = written.address.clone();
            Self::of(written, folder).map_err(|why| format!("{address}: {why}"))
        });
        feeds.collect()
    }

    fn of(written: Written, folder: &Path) -> Result<Self, String> {
        let is_web = ["http://", "https://"]
            .iter()
            .any(|scheme| written.address.starts_with(scheme));
        if !is_web {
            return Err("the address does not begin with http:// or https://".to_owned());
        }
        let duration = |name: &str, text: Option<String>, default: Duration| match text {
            None => Ok(default),
            Some(text) => humantime::parse_duration(&text)
                .map_err(|_| format!("{name} is {text:?}: a time such as 30m, 1h or 1d")),
        };
        let every = duration("every", written.every, Duration::from_hours(1))?;
        if every < SHORTEST {
            return Err("every is 1m at least".to_owned());
        }
        let usual = FeedLimits::default();
        let limits = FeedLimits {
            bytes: written
                .max_megabytes
                .map_or(usual.bytes, |mega| mega.saturating_mul(1 << 20)),
            time: duration("timeout", written.timeout, usual.time)?,
        };
        let max_removed = match written.max_removed {
            Some(text) => text
                .parse()
                .map_err(|error| format!("max_removed: {error}"))?,
            None => MaxRemoved::Percent(50),
        };
        let mapping = written
            .mapping
            .map(|mapping| Mapping::read(&folder.join(mapping)));
        let mapping = mapping.transpose().map_err(|error| error.to_string())?;
        Ok(Self {
            source: Source {
                format: written.format,
                mapping,
                ..Source::at(&written.address, written.images)
            },
            address: written.address,
            every,
            options: ImportOptions {
                prune: written.prune.unwrap_or(true),
                max_removed,
                feed_limits: limits,
                wait: true,
                ..ImportOptions::default()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_which_feeds_are_fetched() {
        let parse = |text: &str| ScheduledFeed::parse_all(text, Path::new("."));
        let feeds = parse(
            "[[feed]]\naddress = \"https://shop.example/a.xml\"\n[[feed]]\naddress = \"http://shop.example/b\"\n\
             every = \"15m\"\nformat = \"merchant\"\nprune = false\nmax_removed = \"10\"\nmax_megabytes = 1\ntimeout = \"10s\"\n",
        )
        .expect("feeds");
        assert_eq!(feeds[0].every, Duration::from_hours(1));
        assert!(feeds[0].options.prune && feeds[0].options.max_removed == MaxRemoved::Percent(50));
        let second = &feeds[1];
        assert_eq!(
            (second.every, second.source.format),
            (Duration::from_mins(15), Some(Format::Merchant))
        );
        assert!(!second.options.prune && second.options.max_removed == MaxRemoved::Number(10));
        assert_eq!(
            (
                second.options.feed_limits.bytes,
                second.options.feed_limits.time
            ),
            (1 << 20, Duration::from_secs(10))
        );
        assert!(parse("").expect("none").is_empty());
        let one = |more: &str| format!("[[feed]]\naddress = \"https://shop.example/a\"\n{more}");
        for (text, says) in [
            (one("every = \"often\""), "every is \"often\""),
            (one("every = \"1s\""), "1m at least"),
            (one("format = \"xls\""), "is not a format"),
            (one("max_removed = \"all\""), "max_removed"),
            (one("mapping = \"nowhere.toml\""), "nowhere.toml"),
            (one("interval = 1"), "interval"),
            (
                one("\n[[feed]]\naddress = \"https://shop.example/a\""),
                "twice",
            ),
            ("[[feed]]\naddress = \"shop.csv\"".to_owned(), "http://"),
            ("[[feed]]".to_owned(), "address"),
        ] {
            let error = parse(&text).expect_err(&text);
            assert!(error.contains(says), "{error}");
        }
    }
}
