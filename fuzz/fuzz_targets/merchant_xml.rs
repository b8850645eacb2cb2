#![no_main]

use aglet::catalog::source::Format;
use aglet_fuzz::feed;
use libfuzzer_sys::fuzz_target;

// What does not begin so is read as a table.
fuzz_target!(|bytes: &[u8]| {
    let xml = [b"<", bytes.strip_prefix(b"<").unwrap_or(bytes)].concat();
    feed(&xml, Some(Format::Merchant), None);
});
