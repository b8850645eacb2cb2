//! The bytes of a feed: a file, unpacked where it is gzip, with a look at its beginning.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::row::SourceError;

/// What is looked at to see what a feed is.
const HEAD: u64 = 64 << 10;
/// No feed is larger, unpacked, in bytes.
const LARGEST: u64 = 16 << 30;

/// A feed that was opened.
pub(super) struct Input {
    pub(super) path: PathBuf,
    /// Its beginning, without a byte order mark.
    pub(super) head: Vec<u8>,
    pub(super) reader: Box<dyn BufRead>,
}

impl Input {
    /// # Errors
    /// When there is no such file, or what is in it is no text.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let io = |source| SourceError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(SourceError::not(
                path,
                "is a folder: name the file of products in it",
            ));
        }
        Self::of(path, Box::new(file))
    }

    /// # Errors
    /// As [`Input::open`].
    pub(super) fn of(path: &Path, bytes: Box<dyn Read>) -> Result<Self, SourceError> {
        let io = |source| SourceError::Io {
            path: path.to_owned(),
            source,
        };
        let mut packed = BufReader::with_capacity(1 << 16, bytes);
        let is_gzip = packed.fill_buf().map_err(io)?.starts_with(&[0x1f, 0x8b]);
        let mut bytes: Box<dyn Read> = if is_gzip {
            Box::new(Bounded {
                bytes: MultiGzDecoder::new(packed),
                left: LARGEST,
            })
        } else {
            Box::new(packed)
        };
        let mut head = Vec::new();
        bytes
            .by_ref()
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(io)?;
        if let Some(what) = no_text(&head) {
            return Err(SourceError::not(path, what));
        }
        if head.starts_with(b"\xef\xbb\xbf") {
            head.drain(..3);
        }
        let reader = Cursor::new(head.clone()).chain(bytes);
        Ok(Self {
            path: path.to_owned(),
            head,
            reader: Box::new(BufReader::with_capacity(1 << 16, reader)),
        })
    }

    /// The beginning as text; what is not UTF-8 is replaced.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }
}

/// What a file is that holds no text in UTF-8, by its first bytes, with what to do.
fn no_text(head: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 9] = [
        (
            b"version https://git-lfs.github.com/spec/",
            "is a Git LFS pointer, not the file itself: run git lfs pull",
        ),
        (
            b"PK\x03\x04",
            "is a zip archive or a spreadsheet of Excel (xlsx): unpack it, or save the sheet as CSV (UTF-8)",
        ),
        (
            b"\xd0\xcf\x11\xe0",
            "is a spreadsheet of Excel (xls): save the sheet as CSV (UTF-8)",
        ),
        (b"\xff\xfe", "is written in UTF-16: save it as UTF-8"),
        (b"\xfe\xff", "is written in UTF-16: save it as UTF-8"),
        (b"%PDF", "is a PDF, not a file of products"),
        (
            b"\x28\xb5\x2f\xfd",
            "is packed with zstd: unpack it, or pack it with gzip",
        ),
        (
            b"BZh",
            "is packed with bzip2: unpack it, or pack it with gzip",
        ),
        (
            b"SQLite format 3\0",
            "is a database of SQLite, not a file of products",
        ),
    ];
    for (start, what) in KINDS {
        if head.starts_with(start) {
            return Some(what);
        }
    }
    let zeros = |of: &dyn Fn(usize) -> bool| {
        let start = head.iter().take(200).enumerate();
        let (all, zero) = start
            .filter(|(at, _)| of(*at))
            .fold((0, 0), |(all, zero), (_, byte)| {
                (all + 1, zero + usize::from(*byte == 0))
            });
        all > 3 && zero * 2 > all
    };
    let (even, odd) = (zeros(&|at| at % 2 == 0), zeros(&|at| at % 2 == 1));
    if even != odd {
        return Some("is written in UTF-16: save it as UTF-8");
    }
    let zero = head.contains(&0);
    zero.then_some("is no text: it has zero bytes")
}

/// An error where a file that is unpacked becomes larger than any feed is.
struct Bounded<R> {
    bytes: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let what = format!("unpacked, it is larger than {} GiB", LARGEST >> 30);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = self.bytes.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}
