//! Tests that cannot run here: without the data, the program or the processor that they need.
//!
//! Rust's harness has no word for such a test and counts it as passed. `make test` names a file in
//! `AGLET_SKIPS`, reads from it which tests were skipped and why, and counts them as skipped.
//!
//! The integration tests include this file by its path.

use std::io::Write;

/// Notes that `test` is skipped. The test then returns.
///
/// # Panics
/// When the file of skipped tests cannot be written.
pub fn skipped(test: &str, reason: &str) {
    let line = format!("skipped {test}: {reason}\n");
    // Written past the harness, which keeps to itself what a test prints that does not fail.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("AGLET_SKIPS") {
        // One write a line, so that tests of several threads and processes do not mix.
        let mut options = std::fs::OpenOptions::new();
        let opened = options.create(true).append(true).open(&file);
        opened
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}
