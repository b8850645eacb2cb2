//! Lines of text files that may be damaged.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;

use super::input::Input;
use super::row::SourceError;

/// A line of a text file, without its end.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) text: String,
    /// Bytes that are not UTF-8 were replaced.
    pub(super) lossy: bool,
    /// Longer than [`Lines::LONGEST`]; `text` is only its beginning.
    pub(super) too_long: bool,
}

impl Line {
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }
}

/// How many lines end in these bytes.
pub(super) fn newlines(bytes: &[u8]) -> u64 {
    bytes.split(|byte| *byte == b'\n').count() as u64 - 1
}

/// Lines of a file that may be damaged: a bad line never costs its neighbors, nor more memory than
/// [`Self::LONGEST`].
pub(super) struct Lines {
    pub(super) path: PathBuf,
    reader: Box<dyn BufRead>,
    number: u64,
    end: u8,
}

impl Lines {
    pub(super) const LONGEST: u64 = 1 << 20;

    pub(super) fn of(input: Input) -> Self {
        // Old programs for the Mac end a line with a carriage return alone.
        let old_mac = input.head.contains(&b'\r') && !input.head.contains(&b'\n');
        Self {
            path: input.path,
            reader: input.reader,
            number: 0,
            end: if old_mac { b'\r' } else { b'\n' },
        }
    }

    /// The next line; blank ones as well.
    pub(super) fn next(&mut self) -> Result<Option<Line>, SourceError> {
        let (bytes, too_long) = self.read().map_err(|source| SourceError::Io {
            path: self.path.clone(),
            source,
        })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let text = bytes.strip_suffix(&[self.end]).unwrap_or(&bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let (text, lossy) = match std::str::from_utf8(text) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (String::from_utf8_lossy(text).into_owned(), true),
        };
        Ok(Some(Line {
            number: self.number,
            text,
            // The cut of a line that is too long may go through a letter.
            lossy: lossy && !too_long,
            too_long,
        }))
    }

    fn read(&mut self) -> io::Result<(Vec<u8>, bool)> {
        let mut bytes = Vec::new();
        let most = &mut (&mut self.reader).take(Self::LONGEST);
        let read = most.read_until(self.end, &mut bytes)?;
        let too_long = read as u64 == Self::LONGEST && bytes.last() != Some(&self.end);
        if too_long {
            self.reader.skip_until(self.end)?;
        }
        Ok((bytes, too_long))
    }
}
