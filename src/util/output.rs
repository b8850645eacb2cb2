//! What a command prints, for a reader that may have gone.
//!
//! `println!` and `eprintln!` panic when the other end of a pipe is closed (`aglet import ... | head`).
//! A command whose reader has left goes on with its work and says nothing more, so that its exit
//! code is that of the work. The binaries use these two in place of the standard library's macros.

use std::fmt;
use std::io::{self, Write};

/// Writes to standard output.
///
/// Ends the process with exit code 1 when it cannot be written to though somebody reads it: a result
/// that went to a full disk is none.
pub fn out(text: fmt::Arguments<'_>) {
    if let Err(error) = write(&mut io::stdout().lock(), text) {
        err(format_args!("Error: standard output: {error}\n"));
        std::process::exit(1);
    }
}

/// Writes to standard error; what cannot be written there cannot be said anywhere.
pub fn err(text: fmt::Arguments<'_>) {
    let _ = write(&mut io::stderr().lock(), text);
}

fn write(to: &mut impl Write, text: fmt::Arguments<'_>) -> io::Result<()> {
    match to.write_fmt(text).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
