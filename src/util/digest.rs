//! sha256 of bytes and files, and hexadecimal. A digest of several parts is made with `sha2` and
//! written by [`hex`].

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};

use sha2::{Digest as _, Sha256};

/// Read from a file at a time.
const PIECE: usize = 1 << 20;

/// Lower case, two digits a byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// 64 hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

/// Length and sha256 (64 hexadecimal digits) of what is left of a file, read in pieces: it may be
/// as large as the memory that is left.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of_file(file: &mut File) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut length = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok((length, hex(&hash.finalize()))),
            Ok(read) => {
                length += read as u64;
                hash.update(&piece[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_published_digest_of_abc() {
        assert_eq!(sha256_hex(b"abc"), ABC);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("abc");
        std::fs::write(&path, b"abc").expect("written");
        let mut file = File::open(path).expect("opened");
        assert_eq!(
            sha256_of_file(&mut file).expect("read"),
            (3, ABC.to_owned())
        );
    }

    #[test]
    fn hexadecimal_is_lower_case_and_keeps_zeros() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
