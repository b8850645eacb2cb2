//! Lines of text files that may be damaged.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::row::SourceError;

/// A line of a text file, without its end; the first without a byte order mark.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) text: String,
    /// Bytes that are not UTF-8 were replaced.
    pub(super) lossy: bool,
    /// Longer than [`Lines::LONGEST`]; `text` is only its beginning.
    pub(super) too_long: bool,
}

/// Lines of a file that may be damaged: a bad line never costs its neighbors, nor more memory than
/// [`Self::LONGEST`].
pub(super) struct Lines {
    pub(super) path: PathBuf,
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    pub(super) const LONGEST: u64 = 1 << 20;

    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|source| SourceError::Io {
            path: path.to_owned(),
            source,
        })?;
        let mut lines = Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(1 << 16, file),
            number: 0,
        };
        let start = lines.reader.fill_buf().map_err(|source| SourceError::Io {
            path: path.to_owned(),
            source,
        })?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err(SourceError::Utf16 {
                path: path.to_owned(),
            });
        }
        if start.starts_with(b"\xef\xbb\xbf") {
            lines.reader.consume(3);
        }
        Ok(lines)
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self) -> Result<Option<Line>, SourceError> {
        loop {
            let mut bytes = Vec::new();
            let read = (&mut self.reader)
                .take(Self::LONGEST)
                .read_until(b'\n', &mut bytes);
            let read = read.and_then(|n| {
                let too_long = n as u64 == Self::LONGEST && bytes.last() != Some(&b'\n');
                if too_long {
                    self.reader.skip_until(b'\n')?;
                }
                Ok((n, too_long))
            });
            let (n, too_long) = read.map_err(|source| SourceError::Io {
                path: self.path.clone(),
                source,
            })?;
            if n == 0 {
                return Ok(None);
            }
            self.number += 1;
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.trim_ascii().is_empty() {
                continue;
            }
            let (text, lossy) = match std::str::from_utf8(text) {
                Ok(text) => (text.to_owned(), false),
                Err(_) => (String::from_utf8_lossy(text).into_owned(), true),
            };
            return Ok(Some(Line {
                number: self.number,
                text,
                lossy,
                too_long,
            }));
        }
    }
}
